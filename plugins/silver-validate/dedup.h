/*
 * Deduplication of one stream: which keys occurred within W on the stream's clock, and the log of
 * the occurrences that makes it durable.
 *
 * The keys lie in two open-addressing tables of 24 bytes a slot: one for the present slice of W on
 * the clock, one for the slice before. When a slice ends, the older table is dropped whole; nothing
 * is ever deleted one by one.
 */
#ifndef SILVER_DEDUP_H
#define SILVER_DEDUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* What all tables of a node share. */
struct dedup_shared {
    int64_t within_us;
    int64_t max_ahead_us; /* 0: no bound on a step of the clock */
    int64_t memory_bytes; /* beyond it tables are mapped from unlinked files in `spill` */
    const char *spill;
    _Atomic int64_t used_bytes;
};

struct dedup_hash {
    uint64_t low, high;
};

struct dedup_slot {
    struct dedup_hash hash; /* both 0: empty */
    int64_t clock_us;
};

struct dedup_table {
    struct dedup_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

/* Occurrences in offset order: for each a varint of the offset's step (times 2, plus 1 when only
 * the clock moved), a varint of the clock's step, and 16 bytes of hash unless only the clock moved.
 */
struct dedup_log {
    sl_buffer bytes;
    uint64_t entries;
    int64_t last_offset;
    int64_t last_clock_us;
};

struct dedup_stream {
    struct dedup_shared *shared;
    struct dedup_table present, before;
    int64_t slice;         /* clock divided by W, */
    int64_t slice_from_us; /* and its bounds */
    int64_t slice_to_us;
    int64_t clock_us;
    bool clock_known;
    struct dedup_log log;
    size_t log_expected_bytes; /* about as much as the last log held */
    int64_t log_from;          /* offsets below are durable already and not logged again */
    int64_t next_offset;       /* all below have been looked up; -1: not known */
};

/* NULL when memory is short. */
struct dedup_stream *dedup_stream_new(struct dedup_shared *shared);
void dedup_stream_free(struct dedup_stream *stream);

/*
 * Moves the clock for a record with this Kafka timestamp (negative: none). Returns whether it
 * moved.
 */
bool dedup_tick(struct dedup_stream *stream, int64_t timestamp_us);

/* Has the memory that a look-up of `hash` will touch fetched meanwhile. */
void dedup_prefetch(const struct dedup_stream *stream, struct dedup_hash hash);

/* Notes that `hash` occurs at the present clock; *duplicate: it did within W before. False when
 * memory is short. */
bool dedup_occurs(struct dedup_stream *stream, struct dedup_hash hash, bool *duplicate);

/* Logs the record at `offset`: an occurrence, or (NULL) only a moved clock. */
bool dedup_log_record(struct dedup_stream *stream, int64_t offset, const struct dedup_hash *hash);

/* Hands the log over and begins an empty one. */
void dedup_log_take(struct dedup_stream *stream, struct dedup_log *out);

/* Replays the log's entries below `end_offset` into the stream. CORRUPT when it is malformed. */
sl_error *dedup_replay(struct dedup_stream *stream, const uint8_t *log, size_t bytes,
                       int64_t end_offset);

#endif /* SILVER_DEDUP_H */
