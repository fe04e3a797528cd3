/*
 * Batches as the host owns them: the public sl_batch in front, a reference count and the lineage
 * behind.
 */
#ifndef HOST_BATCH_H
#define HOST_BATCH_H

#include "host/object.h"

#include <stdatomic.h>

struct batch {
    sl_batch pub; /* first: sl_batch* of the host's is its batch */
    atomic_uint references;
    struct ArrowArray columns;
    int64_t read_us;      /* when the oldest of its records was read, monotonic */
    int64_t age_us;       /* how old that record was then by its own timestamp; -1: not known */
    bool is_marker;       /* the range of rows that an edge has dropped */
    struct batch *parent; /* owns the columns, and is charged for them */
    /* Of the source's records in its range: how many there were, and how many of them were dropped
     * on the way (by a transform, or by a full edge). */
    int64_t records;
    int64_t dropped;
};

/* A place in an edge's queue. */
struct batch_link {
    struct batch_link *next;
    struct batch *batch;
};

/*
 * Makes a batch of the emission's columns (moved in any case; made to have offset 0 everywhere).
 * Errors: FATAL when the columns do not fit `schema`, NO_MEMORY.
 */
sl_error *batch_new(const struct ArrowSchema *schema, const sl_emission *emission, int64_t read_us,
                    struct batch **out);
/* A batch without rows that covers [first, next) of a stream. */
sl_error *batch_new_empty(const struct ArrowSchema *schema, const sl_stream *stream, uint32_t flags,
                          int64_t first, int64_t next, int64_t read_us, struct batch **out);
/*
 * Splits off the rows below `offset`: *head covers [first, offset), *tail the rest; both new,
 * `batch` is left alone. Rows are found by the column "offset", or counted when the batch is dense.
 */
sl_error *batch_cut(const struct batch *batch, int64_t offset, struct batch **head,
                    struct batch **tail);

/* The same rows as a batch of another stream; shares them with `batch`, which stays the caller's.
 */
sl_error *batch_relabel(struct batch *batch, const sl_stream *stream, struct batch **out);

void batch_retain(const sl_batch *batch);
void batch_release(const sl_batch *batch);

static inline struct batch *batch_of(const sl_batch *pub) {
    return (struct batch *)(uintptr_t)pub;
}

#endif /* HOST_BATCH_H */
