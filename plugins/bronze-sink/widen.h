/*
 * Raw records widened by where they come from and when they came: the columns of bronze, in this
 * order: value, key, headers, topic, partition, offset, timestamp, ingested_at (if wanted), and the
 * partition columns <event|ingest>_date, <event|ingest>_hour.
 */
#ifndef BRONZE_WIDEN_H
#define BRONZE_WIDEN_H

#include "base/base.h"
#include "sluice/batch.h"

#define WIDEN_MAX_COLUMNS 10

/* Columns that all rows of a batch share, or that are computed; grown as batches need. */
struct widen {
    int32_t partition_by;
    bool ingest_time;
    int64_t capacity;  /* rows */
    uint32_t stream;   /* whose topic and partition are filled in; UINT32_MAX: none */
    sl_buffer offsets; /* of `topics` */
    sl_buffer topics;
    sl_buffer partitions;
    sl_buffer ingested;
    sl_buffer days;
    sl_buffer hours;
    /* The widened batch. */
    struct ArrowArray columns;
    struct ArrowArray own[WIDEN_MAX_COLUMNS];
    struct ArrowArray *children[WIDEN_MAX_COLUMNS];
    const void *buffers[WIDEN_MAX_COLUMNS][3];
    const void *no_buffers[1];
};

/* Fills `out` (owned by the caller) with the widened schema. */
sl_error *widen_schema(int32_t partition_by, bool ingest_time, struct ArrowSchema *out);

void widen_init(struct widen *widen, int32_t partition_by, bool ingest_time);
void widen_free(struct widen *widen);

/* Makes widen->columns of a raw batch: borrowed from both, valid until the next call. */
sl_error *widen_batch(struct widen *widen, const sl_batch *batch, int64_t now_us);

#endif /* BRONZE_WIDEN_H */
