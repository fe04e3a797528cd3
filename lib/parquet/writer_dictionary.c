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

void sl_pqw_dictionary_init(sl_pqw_dictionary *dictionary, uint32_t width) {
    memset(dictionary, 0, sizeof(*dictionary));
    dictionary->width = width;
}

void sl_pqw_dictionary_clear(sl_pqw_dictionary *dictionary) {
    if (dictionary->slots != NULL && dictionary->count > 0) {
        memset(dictionary->slots, 0, ((size_t)dictionary->mask + 1) * sizeof(*dictionary->slots));
    }
    dictionary->count = 0;
    memset(&dictionary->last, 0, sizeof(dictionary->last));
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
    dictionary->last = slot;
    return slot.index - 1;
}

static bool same_bytes(const sl_pqw_dictionary *dictionary, uint32_t index, const uint8_t *data,
                       uint32_t bytes) {
    size_t stored_bytes;
    return memcmp(sl_pqw_dictionary_value(dictionary, index, &stored_bytes), data, bytes) == 0;
}

__attribute__((always_inline)) static inline uint32_t find(sl_pqw_dictionary *dictionary,
                                                           uint64_t low, uint64_t high,
                                                           const uint8_t *data, uint32_t bytes) {
    const sl_pqw_dictionary_slot *last = &dictionary->last;
    if (last->low == low && last->high == high && last->bytes == bytes && last->index != 0 &&
        (bytes <= SHORT_BYTES || same_bytes(dictionary, last->index - 1, data, bytes))) {
        return last->index - 1;
    }
    if (dictionary->slots != NULL) {
        uint32_t at = hash(low, high, bytes) & dictionary->mask;
        for (; dictionary->slots[at].index != 0; at = (at + 1) & dictionary->mask) {
            const sl_pqw_dictionary_slot *slot = &dictionary->slots[at];
            if (slot->low == low && slot->high == high && slot->bytes == bytes &&
                (bytes <= SHORT_BYTES || same_bytes(dictionary, slot->index - 1, data, bytes))) {
                dictionary->last = *slot;
                return slot->index - 1;
            }
            dictionary->steps++;
        }
    }
    return insert(dictionary, low, high, data, bytes);
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

bool sl_pqw_dictionary_index_i32(sl_pqw_dictionary *dictionary, const int32_t *values, size_t n,
                                 uint32_t *indexes) {
    for (size_t i = 0; i < n; i++) {
        indexes[i] = find(dictionary, (uint64_t)values[i], 0, (const uint8_t *)&values[i],
                          (uint32_t)sizeof(values[i]));
        if (indexes[i] == NONE) {
            return false;
        }
    }
    return healthy(dictionary, n);
}

bool sl_pqw_dictionary_index_i64(sl_pqw_dictionary *dictionary, const int64_t *values, size_t n,
                                 uint32_t *indexes) {
    for (size_t i = 0; i < n; i++) {
        indexes[i] = find(dictionary, (uint64_t)values[i], 0, (const uint8_t *)&values[i],
                          (uint32_t)sizeof(values[i]));
        if (indexes[i] == NONE) {
            return false;
        }
    }
    return healthy(dictionary, n);
}

/* The first `bytes` (0 to 8) bytes at `data` as a number; 8 may be read. */
static uint64_t load_part(const uint8_t *data, uint32_t bytes) {
    uint64_t word;
    memcpy(&word, data, 8);
    return bytes == 0 ? 0 : word & (UINT64_MAX >> (64 - 8 * bytes));
}

__attribute__((always_inline)) static inline uint32_t
find_bytes(sl_pqw_dictionary *dictionary, const uint8_t *data, size_t bytes) {
    if (bytes <= 8) {
        return find(dictionary, load_part(data, (uint32_t)bytes), 0, data, (uint32_t)bytes);
    }
    if (bytes <= SHORT_BYTES) {
        uint64_t low = load_part(data, 8);
        uint64_t high = load_part(data + 8, (uint32_t)bytes - 8);
        return find(dictionary, low, high, data, (uint32_t)bytes);
    }
    if (bytes > PAGE_MAX_BYTES) {
        dictionary->exhausted = true;
        return NONE;
    }
    XXH128_hash_t wide = XXH3_128bits(data, bytes);
    return find(dictionary, wide.low64, wide.high64, data, (uint32_t)bytes);
}

bool sl_pqw_dictionary_index_fixed(sl_pqw_dictionary *dictionary, const uint8_t *values, size_t n,
                                   uint32_t *indexes) {
    size_t width = dictionary->width;
    for (size_t i = 0; i < n; i++) {
        indexes[i] = find_bytes(dictionary, values + i * width, width);
        if (indexes[i] == NONE) {
            return false;
        }
    }
    return healthy(dictionary, n);
}

bool sl_pqw_dictionary_index_lengths(sl_pqw_dictionary *dictionary, const uint8_t *data,
                                     const uint32_t *lengths, size_t n, uint32_t *indexes) {
    for (size_t i = 0; i < n; i++) {
        indexes[i] = find_bytes(dictionary, data, lengths[i]);
        if (indexes[i] == NONE) {
            return false;
        }
        data += lengths[i];
    }
    return healthy(dictionary, n);
}

bool sl_pqw_dictionary_index_strings(sl_pqw_dictionary *dictionary, const uint8_t *data,
                                     const int32_t *offsets, int64_t first, const int32_t *rows,
                                     size_t n, uint32_t *indexes) {
    for (size_t i = 0; i < n; i++) {
        int64_t row = rows == NULL ? first + (int64_t)i : rows[i];
        int32_t begin = offsets[row];
        indexes[i] = find_bytes(dictionary, data + begin, (size_t)(offsets[row + 1] - begin));
        if (indexes[i] == NONE) {
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
