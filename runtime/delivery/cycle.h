/*
 * The commit cycle of one durable node: every commit.interval all lanes flush, then the node
 * commits their pieces and the positions that they cover in one step. Retries what may succeed
 * later. Control loop only, unless said otherwise.
 */
#ifndef DELIVERY_CYCLE_H
#define DELIVERY_CYCLE_H

#include "host/object.h"

void cycle_init(struct cycle *cycle, struct host_node *node);
/* Begins the ticking. */
void cycle_start(struct cycle *cycle);
/* Flush and commit soon, what is taken or, if nothing is, what is taken next: an edge is full, or
 * results have come. Any thread. */
void cycle_kick(struct cycle *cycle);
/* A lane has taken something. Any thread. */
static inline void cycle_mark_dirty(struct cycle *cycle) {
    if (!atomic_load_explicit(&cycle->dirty, memory_order_relaxed)) {
        atomic_store(&cycle->dirty, true);
    }
    if (atomic_load(&cycle->wanted) && atomic_exchange(&cycle->wanted, false)) {
        cycle_kick(cycle);
    }
}
/*
 * Flushes and commits everything that the lanes have taken, then calls waiter->then(waiter->arg):
 * at once when the node has failed. `last`: nothing follows. The waiter is the caller's until then.
 */
void cycle_finish(struct cycle *cycle, bool last, struct cycle_waiter *waiter);
/*
 * The waiter, if it still waits (else false), is told no more and is the caller's again. What the
 * node has not committed by now is void, but for a commit that is under way: that goes on, and is
 * valid if nobody else has moved the positions. As soon as nothing is under way the node's streams
 * are recovered.
 */
bool cycle_abandon(struct cycle *cycle, const struct cycle_waiter *waiter);
/* A node that throws away what it could not commit starts afresh if none of its streams is attached
 * and nothing is under way. */
void cycle_forgive(struct cycle *cycle);
/* What has come to its end, and has not failed, goes on: there will be more to commit. */
void cycle_reopen(struct cycle *cycle);
/* A node that had failed begins anew. */
void cycle_restart(struct cycle *cycle);
/* Stops ticking and drops the pieces in hand. */
void cycle_stop(struct cycle *cycle);
/* Nothing is flushed and not committed, and nothing of it is under way. */
bool cycle_rests(const struct cycle *cycle);
void cycle_free(struct cycle *cycle);

/* The upper bound of latency bucket i, in microseconds. */
int64_t cycle_latency_bound_us(size_t bucket);

#endif /* DELIVERY_CYCLE_H */
