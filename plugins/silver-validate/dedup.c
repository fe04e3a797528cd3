/*
 * Tables of occurrences by clock, and their log.
 */
#include "dedup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIRST_CAPACITY ((size_t)4096)
#define REHASH_AHEAD 16

/* ---- memory ---- */

/* An unlinked file, so that the kernel may move its pages out. */
static void *map_file(const char *folder, size_t bytes) {
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        return MAP_FAILED;
    }
    void *memory = MAP_FAILED;
    if (ftruncate(fd, (off_t)bytes) == 0) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    close(fd);
    return memory;
}

static bool table_make(struct dedup_shared *shared, struct dedup_table *table, size_t capacity) {
    size_t bytes = capacity * sizeof(struct dedup_slot);
    bool over = atomic_load(&shared->used_bytes) + (int64_t)bytes > shared->memory_bytes;
    void *memory = over ? map_file(shared->spill, bytes) : MAP_FAILED;
    if (memory == MAP_FAILED) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory != MAP_FAILED && bytes >= (size_t)1 << 21) {
            madvise(memory, bytes, MADV_HUGEPAGE); /* one look-up, one miss */
        }
    }
    if (memory == MAP_FAILED) {
        return false;
    }
    atomic_fetch_add(&shared->used_bytes, (int64_t)bytes);
    *table = (struct dedup_table){memory, capacity, 0};
    return true;
}

static void table_drop(struct dedup_shared *shared, struct dedup_table *table) {
    if (table->slots != NULL) {
        size_t bytes = table->capacity * sizeof(struct dedup_slot);
        munmap(table->slots, bytes);
        atomic_fetch_sub(&shared->used_bytes, (int64_t)bytes);
    }
    *table = (struct dedup_table){NULL, 0, 0};
}

/* The slot of `hash`, or the empty one where it belongs. */
static struct dedup_slot *table_find(const struct dedup_table *table, struct dedup_hash hash) {
    size_t mask = table->capacity - 1;
    size_t i = (size_t)hash.low & mask;
    for (;; i = (i + 1) & mask) {
        struct dedup_slot *slot = &table->slots[i];
        bool same = slot->hash.low == hash.low && slot->hash.high == hash.high;
        if (same || (slot->hash.low == 0 && slot->hash.high == 0)) {
            return slot;
        }
    }
}

static void table_prefetch(const struct dedup_table *table, struct dedup_hash hash) {
    if (table->capacity != 0) {
        __builtin_prefetch(&table->slots[(size_t)hash.low & (table->capacity - 1)]);
    }
}

static bool table_grow(struct dedup_shared *shared, struct dedup_table *table, size_t least) {
    struct dedup_table grown;
    size_t capacity = table->capacity == 0 ? least : table->capacity * 2;
    if (!table_make(shared, &grown, capacity)) {
        return false;
    }
    for (size_t i = 0; i < table->capacity; i++) {
        const struct dedup_slot *slot = &table->slots[i];
        if (i + REHASH_AHEAD < table->capacity) {
            table_prefetch(&grown, slot[REHASH_AHEAD].hash);
        }
        if (slot->hash.low != 0 || slot->hash.high != 0) {
            *table_find(&grown, slot->hash) = *slot;
        }
    }
    grown.count = table->count;
    table_drop(shared, table);
    *table = grown;
    return true;
}

/* ---- a stream ---- */

struct dedup_stream *dedup_stream_new(struct dedup_shared *shared) {
    struct dedup_stream *stream = calloc(1, sizeof(*stream));
    if (stream != NULL) {
        stream->shared = shared;
        stream->log_expected_bytes = 40;
    }
    return stream;
}

void dedup_stream_free(struct dedup_stream *stream) {
    if (stream != NULL) {
        table_drop(stream->shared, &stream->present);
        table_drop(stream->shared, &stream->before);
        sl_buffer_free(&stream->log.bytes);
        free(stream);
    }
}

/* The slice of W is over: its table becomes the one before, and the next one begins as large as it
 * had to be. */
static void turn_over(struct dedup_stream *stream) {
    struct dedup_table old = stream->before;
    stream->before = stream->present;
    stream->present = (struct dedup_table){NULL, 0, 0};
    bool fits = old.capacity == stream->before.capacity && old.capacity != 0 &&
                stream->before.count > old.capacity / 4;
    if (fits) {
        memset(old.slots, 0, old.capacity * sizeof(*old.slots));
        stream->present = (struct dedup_table){old.slots, old.capacity, 0};
    } else {
        table_drop(stream->shared, &old);
    }
}

static void set_clock(struct dedup_stream *stream, int64_t clock_us) {
    stream->clock_us = clock_us;
    if (clock_us >= stream->slice_from_us && clock_us < stream->slice_to_us) {
        return;
    }
    int64_t within_us = stream->shared->within_us, slice = clock_us / within_us;
    if (slice == stream->slice + 1) {
        turn_over(stream);
    } else if (slice != stream->slice) {
        table_drop(stream->shared, &stream->before);
        table_drop(stream->shared, &stream->present);
    }
    stream->slice = slice;
    stream->slice_from_us = slice * within_us;
    stream->slice_to_us = stream->slice_from_us + within_us;
}

bool dedup_tick(struct dedup_stream *stream, int64_t timestamp_us) {
    int64_t most = INT64_MAX, bound = stream->shared->max_ahead_us;
    if (timestamp_us < 0 || (stream->clock_known && timestamp_us <= stream->clock_us)) {
        return false;
    }
    if (stream->clock_known && bound != 0 && stream->clock_us <= INT64_MAX - bound) {
        most = stream->clock_us + bound;
    }
    int64_t next = timestamp_us < most ? timestamp_us : most;
    bool moved = next != stream->clock_us || !stream->clock_known;
    stream->clock_known = true;
    set_clock(stream, next);
    return moved;
}

void dedup_prefetch(const struct dedup_stream *stream, struct dedup_hash hash) {
    table_prefetch(&stream->present, hash);
    table_prefetch(&stream->before, hash);
}

/* As large as the slice before came to need, and a fifth above that, so that growing happens once
 * and not every W. */
static size_t first_capacity(const struct dedup_stream *stream) {
    size_t capacity = FIRST_CAPACITY;
    while (capacity / 8 * 5 < stream->before.count) {
        capacity *= 2;
    }
    return capacity;
}

bool dedup_occurs(struct dedup_stream *stream, struct dedup_hash hash, bool *duplicate) {
    struct dedup_table *present = &stream->present;
    hash.low += hash.low == 0 && hash.high == 0; /* 0 is the empty slot */
    if (present->count >= present->capacity / 4 * 3 &&
        !table_grow(stream->shared, present, first_capacity(stream))) {
        return false;
    }
    struct dedup_slot *slot = table_find(present, hash);
    bool found = slot->hash.low != 0 || slot->hash.high != 0;
    int64_t last_us = slot->clock_us;
    if (!found) {
        present->count++;
        if (stream->before.count > 0) {
            const struct dedup_slot *old = table_find(&stream->before, hash);
            found = old->hash.low != 0 || old->hash.high != 0;
            last_us = old->clock_us;
        }
    }
    *duplicate = found && stream->clock_us - last_us <= stream->shared->within_us;
    *slot = (struct dedup_slot){hash, stream->clock_us};
    return true;
}

/* ---- the log ---- */

static size_t put_varint(uint64_t value, uint8_t *out) {
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) {
        out[n++] = (uint8_t)(value | 0x80);
    }
    out[n++] = (uint8_t)value;
    return n;
}

bool dedup_log_record(struct dedup_stream *stream, int64_t offset, const struct dedup_hash *hash) {
    struct dedup_log *log = &stream->log;
    if (offset < stream->log_from) {
        return true;
    }
    if (log->entries == 0) { /* the first entry holds both values whole */
        log->last_offset = 0;
        log->last_clock_us = 0;
    }
    if (!sl_buffer_reserve(&log->bytes, log->entries == 0 ? stream->log_expected_bytes : 40)) {
        return false;
    }
    uint8_t *out = log->bytes.data + log->bytes.bytes;
    uint64_t step = (uint64_t)(offset - log->last_offset);
    size_t n = put_varint(step << 1 | (hash == NULL), out);
    n += put_varint((uint64_t)(stream->clock_us - log->last_clock_us), out + n);
    if (hash != NULL) {
        memcpy(out + n, hash, sizeof(*hash));
        n += sizeof(*hash);
    }
    log->bytes.bytes += n;
    log->entries++;
    log->last_offset = offset;
    log->last_clock_us = stream->clock_us;
    return true;
}

void dedup_log_take(struct dedup_stream *stream, struct dedup_log *out) {
    size_t bytes = stream->log.bytes.bytes;
    stream->log_expected_bytes = bytes + bytes / 8 + 40;
    *out = stream->log;
    memset(&stream->log, 0, sizeof(stream->log));
}

static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *out) {
    uint64_t value = 0;
    for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t byte = *(*p)++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

sl_error *dedup_replay(struct dedup_stream *stream, const uint8_t *log, size_t bytes,
                       int64_t end_offset) {
    const uint8_t *p = log, *end = log + bytes;
    uint64_t offset = 0, clock_us = 0;
    while (p < end) {
        uint64_t step, clock_step;
        if (!get_varint(&p, end, &step) || !get_varint(&p, end, &clock_step)) {
            return sl_error_new(SL_ERROR_CORRUPT, "a deduplication log ends inside an entry");
        }
        bool only_clock = (step & 1) != 0;
        offset += step >> 1;
        clock_us += clock_step;
        struct dedup_hash hash;
        if (offset > INT64_MAX || clock_us > INT64_MAX || (int64_t)clock_us < stream->clock_us ||
            (!only_clock && (size_t)(end - p) < sizeof(hash))) {
            return sl_error_new(SL_ERROR_CORRUPT, "a deduplication log holds impossible values");
        }
        if ((int64_t)offset >= end_offset) {
            return NULL;
        }
        stream->clock_known = stream->clock_known || clock_us > 0;
        set_clock(stream, (int64_t)clock_us);
        if (!only_clock) {
            bool ignored;
            memcpy(&hash, p, sizeof(hash));
            p += sizeof(hash);
            if (!dedup_occurs(stream, hash, &ignored)) {
                return sl_error_no_memory();
            }
        }
    }
    return NULL;
}
