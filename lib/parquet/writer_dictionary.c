/* The dictionary of a column chunk: see writer_dictionary.h. */
#include "parquet/writer_dictionary.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define FIRST_SLOTS 512
#define SHORT_BYTES 16
#define NONE UINT32_MAX
#define PAGE_MAX_BYTES ((size_t)INT32_MAX)
/* Probes beyond the first that a lookup may take on average before hashing counts as degenerated
 * (chosen values): the dictionary is then given up, which costs only size. */
#define STEPS_PER_VALUE 8
#define STEPS_FREE 65536
/* Values that are looked up together. */
#define BLOCK 32

void sl_pqw_dictionary_init(sl_pqw_dictionary *dictionary, uint32_t width) {
    memset(dictionary, 0, sizeof(*dictionary));
    dictionary->width = width;
}

void sl_pqw_dictionary_clear(sl_pqw_dictionary *dictionary) {
    if (dictionary->slots != NULL && dictionary->count > 0) {
        memset(dictionary->slots, 0, ((size_t)dictionary->mask + 1) * sizeof(*dictionary->slots));
    }
    dictionary->count = 0;
    dictionary->steps = 0;
    dictionary->exhausted = false;
    sl_buffer_clear(&dictionary->page);
    sl_buffer_clear(&dictionary->positions);
}

void sl_pqw_dictionary_free(sl_pqw_dictionary *dictionary) {
    free(dictionary->slots);
    sl_buffer_free(&dictionary->page);
    sl_buffer_free(&dictionary->positions);
    sl_pqw_dictionary_init(dictionary, dictionary->width);
}

size_t sl_pqw_dictionary_bytes(const sl_pqw_dictionary *dictionary) {
    size_t slots = dictionary->slots == NULL ? 0 : (size_t)dictionary->mask + 1;
    return slots * sizeof(*dictionary->slots) + dictionary->page.bytes +
           dictionary->positions.bytes;
}

static uint32_t hash(uint64_t low, uint64_t high, uint32_t bytes) {
    uint64_t a = low ^ UINT64_C(0x9e3779b97f4a7c15);
    uint64_t b = high ^ UINT64_C(0xd6e8feb86659fd93) ^ ((uint64_t)bytes << 56);
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64));
}

static void place(sl_pqw_dictionary_slot *slots, uint32_t mask,
                  const sl_pqw_dictionary_slot *slot) {
    uint32_t at = hash(slot->low, slot->high, slot->bytes) & mask;
    while (slots[at].index != 0) {
        at = (at + 1) & mask;
    }
    slots[at] = *slot;
}

static bool grow(sl_pqw_dictionary *dictionary) {
    size_t old = dictionary->slots == NULL ? 0 : (size_t)dictionary->mask + 1;
    size_t wanted = old == 0 ? FIRST_SLOTS : old * 2;
    sl_pqw_dictionary_slot *slots = calloc(wanted, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < old; i++) {
        if (dictionary->slots[i].index != 0) {
            place(slots, (uint32_t)wanted - 1, &dictionary->slots[i]);
        }
    }
    free(dictionary->slots);
    dictionary->slots = slots;
    dictionary->mask = (uint32_t)wanted - 1;
    return true;
}

static bool append_value(sl_pqw_dictionary *dictionary, const uint8_t *data, uint32_t bytes) {
    uint32_t position = (uint32_t)dictionary->page.bytes;
    size_t page_bytes = dictionary->page.bytes;
    if (page_bytes + bytes + sizeof(bytes) > PAGE_MAX_BYTES) {
        return false;
    }
    if (dictionary->width == 0) {
        sl_buffer_append(&dictionary->page, &bytes, sizeof(bytes));
    }
    sl_buffer_append(&dictionary->page, data, bytes);
    if (dictionary->page.failed ||
        !sl_buffer_append(&dictionary->positions, &position, sizeof(position))) {
        dictionary->page.bytes = page_bytes;
        return false;
    }
    return true;
}

/* The value is not there. */
static __attribute__((noinline)) uint32_t insert(sl_pqw_dictionary *dictionary, uint64_t low,
                                                 uint64_t high, const uint8_t *data,
                                                 uint32_t bytes) {
    bool full = dictionary->slots == NULL || dictionary->count >= dictionary->mask / 2;
    if ((full && !grow(dictionary)) || !append_value(dictionary, data, bytes)) {
        dictionary->exhausted = true;
        return NONE;
    }
    sl_pqw_dictionary_slot slot = {low, high, bytes, ++dictionary->count};
    place(dictionary->slots, dictionary->mask, &slot);
    return slot.index - 1;
}

static bool same_bytes(const sl_pqw_dictionary *dictionary, uint32_t index, const uint8_t *data,
                       uint32_t bytes) {
    size_t stored_bytes;
    return memcmp(sl_pqw_dictionary_value(dictionary, index, &stored_bytes), data, bytes) == 0;
}

/* Values on their way through the dictionary. */
typedef struct block {
    const uint8_t *data[BLOCK];
    uint32_t bytes[BLOCK];
    uint64_t low[BLOCK]; /* the first 16 bytes, or a hash of 128 bits */
    uint64_t high[BLOCK];
    uint32_t hash[BLOCK];
} block;

/* Bytes of a value that count, by its length up to 16: of the first eight and the second. */
#define ONES(bytes) (UINT64_MAX >> (64 - 8 * (bytes)))
#define LOW(bytes)                                                                                 \
    { ONES(bytes), 0 }
#define HIGH(bytes)                                                                                \
    { UINT64_MAX, ONES(bytes) }
static const uint64_t masks[SHORT_BYTES + 1][2] = {
    {0, 0},  LOW(1),  LOW(2),  LOW(3),  LOW(4),  LOW(5),  LOW(6),  LOW(7), LOW(8),
    HIGH(1), HIGH(2), HIGH(3), HIGH(4), HIGH(5), HIGH(6), HIGH(7), HIGH(8)};

static inline uint64_t load(const uint8_t *data) {
    uint64_t word;
    memcpy(&word, data, sizeof(word));
    return word;
}

static void make_key(block *b, size_t k) {
    if (b->bytes[k] <= SHORT_BYTES) {
        b->low[k] = load(b->data[k]) & masks[b->bytes[k]][0];
        b->high[k] = load(b->data[k] + 8) & masks[b->bytes[k]][1];
    } else {
        XXH128_hash_t wide = XXH3_128bits(b->data[k], b->bytes[k]);
        b->low[k] = wide.low64;
        b->high[k] = wide.high64;
    }
    b->hash[k] = hash(b->low[k], b->high[k], b->bytes[k]);
}

static uint32_t find(sl_pqw_dictionary *dictionary, const block *b, size_t k) {
    uint64_t low = b->low[k];
    uint64_t high = b->high[k];
    uint32_t bytes = b->bytes[k];
    if (dictionary->slots != NULL) {
        uint32_t mask = dictionary->mask;
        for (uint32_t at = b->hash[k] & mask; dictionary->slots[at].index != 0;
             at = (at + 1) & mask) {
            const sl_pqw_dictionary_slot *slot = &dictionary->slots[at];
            /* one branch, which is nearly always taken: what differs does not matter */
            if (((slot->low ^ low) | (slot->high ^ high) | (slot->bytes ^ bytes)) == 0 &&
                (bytes <= SHORT_BYTES ||
                 same_bytes(dictionary, slot->index - 1, b->data[k], bytes))) {
                return slot->index - 1;
            }
            dictionary->steps++;
        }
    }
    return insert(dictionary, low, high, b->data[k], bytes);
}

/* True when all values are alike and lie one after the other, as in columns of one value. */
static bool all_alike(const block *b, size_t n) {
    uint32_t bytes = b->bytes[0];
    if (bytes == 0 || b->data[n - 1] != b->data[0] + (n - 1) * bytes) {
        return false;
    }
    uint32_t differs = 0;
    for (size_t k = 1; k < n; k++) {
        differs |= b->bytes[k] ^ bytes;
    }
    return differs == 0 && memcmp(b->data[0], b->data[0] + bytes, (n - 1) * bytes) == 0;
}

/* All keys first, so that the slots are on their way from memory when they are looked at. */
static bool index_block(sl_pqw_dictionary *dictionary, block *b, size_t n, uint32_t *indexes) {
    size_t distinct = all_alike(b, n) ? 1 : n;
    for (size_t k = 0; k < distinct; k++) {
        make_key(b, k);
        if (dictionary->slots != NULL) {
            __builtin_prefetch(&dictionary->slots[b->hash[k] & dictionary->mask]);
        }
    }
    for (size_t k = 0; k < distinct; k++) {
        indexes[k] = find(dictionary, b, k);
        if (indexes[k] == NONE) {
            return false;
        }
    }
    for (size_t k = distinct; k < n; k++) {
        indexes[k] = indexes[0];
    }
    return true;
}

/* Hashing has degenerated when probes outnumber the values of this call by far; so that long series
 * of good calls do not hide it, steps start anew with each. */
static bool healthy(sl_pqw_dictionary *dictionary, size_t n) {
    if (dictionary->steps > STEPS_FREE + (uint64_t)n * STEPS_PER_VALUE) {
        dictionary->exhausted = true;
    }
    dictionary->steps = 0;
    return !dictionary->exhausted;
}

bool sl_pqw_dictionary_index_fixed(sl_pqw_dictionary *dictionary, const void *values, size_t n,
                                   uint32_t *indexes) {
    uint32_t width = dictionary->width;
    const uint8_t *data = values;
    block b;
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t part = n - i < BLOCK ? n - i : BLOCK;
        for (size_t k = 0; k < part; k++, data += width) {
            b.data[k] = data;
            b.bytes[k] = width;
        }
        if (!index_block(dictionary, &b, part, indexes + i)) {
            return false;
        }
    }
    return healthy(dictionary, n);
}

bool sl_pqw_dictionary_index_lengths(sl_pqw_dictionary *dictionary, const uint8_t *data,
                                     const uint32_t *lengths, size_t n, uint32_t *indexes) {
    block b;
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t part = n - i < BLOCK ? n - i : BLOCK;
        for (size_t k = 0; k < part; k++) {
            b.data[k] = data;
            b.bytes[k] = lengths[i + k];
            data += lengths[i + k];
        }
        if (!index_block(dictionary, &b, part, indexes + i)) {
            return false;
        }
    }
    return healthy(dictionary, n);
}

bool sl_pqw_dictionary_index_strings(sl_pqw_dictionary *dictionary, const uint8_t *data,
                                     const int32_t *offsets, int64_t first, const int32_t *rows,
                                     size_t n, uint32_t *indexes) {
    block b;
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t part = n - i < BLOCK ? n - i : BLOCK;
        for (size_t k = 0; k < part; k++) {
            int64_t row = rows == NULL ? first + (int64_t)(i + k) : rows[i + k];
            b.data[k] = data + offsets[row];
            b.bytes[k] = (uint32_t)(offsets[row + 1] - offsets[row]);
        }
        if (!index_block(dictionary, &b, part, indexes + i)) {
            return false;
        }
    }
    return healthy(dictionary, n);
}

const uint8_t *sl_pqw_dictionary_value(const sl_pqw_dictionary *dictionary, uint32_t i,
                                       size_t *bytes) {
    uint32_t position;
    memcpy(&position, dictionary->positions.data + (size_t)i * sizeof(position), sizeof(position));
    const uint8_t *value = dictionary->page.data + position;
    *bytes = dictionary->width;
    if (dictionary->width == 0) {
        uint32_t length;
        memcpy(&length, value, sizeof(length));
        *bytes = length;
        value += sizeof(length);
    }
    return value;
}
