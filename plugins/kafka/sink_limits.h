/*
 * What makes a row no record that the topic would take: a topic's name that is none, too many
 * bytes, a key that is missing where the topic is compacted. It is told when the batch comes and
 * before anything of it is handed over, so that rejected rows leave in order, and in a replay the
 * same.
 */
#ifndef KAFKA_SINK_LIMITS_H
#define KAFKA_SINK_LIMITS_H

#include "sink_record.h"

/*
 * Asks the broker what the fixed topic takes. True: smaller batches than the producer makes, so it
 * has to be made anew (sink_producer_new knows the limit now). What the broker does not tell (old
 * ones, missing rights, several topics) is not known, and what it refuses then fails the node.
 * Node thread; blocks.
 */
bool sink_limits_learn(struct sl_node *node);

/* Rows of a batch by number; NULL: none. */
typedef uint8_t sink_faults;
static inline bool sink_is_fault(const sink_faults *faults, int64_t row) {
    return faults != NULL && (faults[row >> 3] >> (row & 7) & 1) != 0;
}

/*
 * Rejects the rows of a batch that are at fault (services->reject) and marks them in *faults, which
 * is the caller's to free. On an error nothing is the caller's. Inside process. Errors: what reject
 * answers, NO_MEMORY.
 */
sl_error *sink_find_faults(struct sink_writer *writer, sl_object *task, uint32_t input,
                           const sl_batch *batch, sink_faults **faults);

#endif /* KAFKA_SINK_LIMITS_H */
