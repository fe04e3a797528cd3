/*
 * Deduplication states of streams that are detached at the moment. A stream that is only taken away
 * and given back (a reload or a pause of another node, say) goes on where it was committed, with
 * what lay in memory; reading that again from the state store would hold up all who share the
 * stream, for seconds where there are many keys. What does not come back soon is dropped.
 */
#ifndef SILVER_PARKED_H
#define SILVER_PARKED_H

#include "dedup.h"

#include <pthread.h>

#include "sluice/batch.h"

struct parked_state;

struct parked {
    pthread_mutex_t mutex; /* lanes put, the node's thread takes */
    struct parked_state *first;
};

void parked_init(struct parked *parked);
/* Frees what is left. */
void parked_close(struct parked *parked);

/* Keeps the state, which is taken, until it is taken out or dropped. Without memory it is freed.
 * Any thread. */
void parked_put(struct parked *parked, const sl_stream *stream, struct dedup_stream *state,
                int64_t now_us);
/* The state of the stream of this name when it is that of `offset` exactly, all of it durable; to
 * be owned by the caller. Else NULL, and what there is of the stream is freed. Any thread. */
struct dedup_stream *parked_take(struct parked *parked, const sl_stream *stream, int64_t offset);
/* Frees those that were put before; whether any is left. Any thread. */
bool parked_drop(struct parked *parked, int64_t before_us);

#endif /* SILVER_PARKED_H */
