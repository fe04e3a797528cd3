/*
 * Accounting: how many records of a source's stream a reader has had since the pipeline began, how
 * many rows of them reached it and how many were dropped on the way. A reader's counts belong to
 * its position: they are stored with it in one step, under keys of their own, and what is read
 * again from a stored position is counted on from the counts that are stored there. So they are
 * exact at every position, whatever crashed.
 *
 * Kept for sinks whose positions the host keeps, and for nodes with SL_ROLE_COUNTS.
 */
#ifndef DELIVERY_ACCOUNTS_H
#define DELIVERY_ACCOUNTS_H

#include "delivery/stream.h"
#include "host/batch.h"

/* Makes the keys, if this reader's counts are kept. Errors: NO_MEMORY. */
sl_error *accounts_open(struct reader *reader);
void accounts_free(struct reader *reader);

/* Writes at most TALLIES entries that ask for what is stored; returns how many. Control loop. */
size_t accounts_ask(struct reader *reader, sl_position *out);
/* The answers to them. */
void accounts_answer(struct reader *reader, const sl_position *answers);
/* Writes at most TALLIES entries that move the counts to what the flush covers; returns how many.
 */
size_t accounts_move(struct reader *reader, sl_position *out);
/* The commit that had them has succeeded. */
void accounts_moved(struct reader *reader);

/* The stream is about to be read anew, from stream->offset: its readers count on from what is
 * stored. Control loop, before it is attached. */
void accounts_begin(struct stream *stream);
/* The source has sent a batch. On its lane. */
void accounts_sent(struct stream *stream, const struct batch *batch);
/* The reader has taken a batch, all but the rows that it rejected, of which `lost` went nowhere. On
 * its lane. */
static inline void accounts_took(struct reader *reader, const struct batch *batch, int64_t rejected,
                                 int64_t lost) {
    if (batch->pub.next_offset > reader->position) {
        reader->counts[TALLY_RECORDS] += batch->records;
        reader->counts[TALLY_ROWS] += batch->pub.rows - rejected;
        reader->counts[TALLY_DROPPED] += batch->dropped + lost;
    }
}

/* Records of the stream that the source has read since the pipeline began; -1: nobody counts them.
 * Control loop. */
int64_t accounts_read(const struct stream *stream);
/* What the reader has made durable. Control loop. */
static inline int64_t accounts_stored(const struct reader *reader, enum tally tally) {
    int64_t stored = reader->stored_counts[tally];
    return stored == SL_OFFSET_NONE ? 0 : stored;
}

#endif /* DELIVERY_ACCOUNTS_H */
