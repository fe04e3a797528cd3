/*
 * The ground truth: what a correct pipeline must find in a range of offsets.
 */
#ifndef GENERATOR_TRUTH_H
#define GENERATOR_TRUTH_H

#include "events.h"

#include "base/base.h"

struct truth {
    int64_t events;
    int64_t valid_unique;
    int64_t duplicates;
    int64_t late;     /* among the valid unique ones */
    int64_t too_late; /* among the valid unique ones */
    int64_t invalid[FAULTS];
    struct {
        int64_t events;
        int64_t cents;
    } gold[EVENT_TYPES]; /* over the valid unique ones */
};

static inline void truth_count(struct truth *truth, const struct event_facts *facts) {
    truth->events++;
    if (facts->is_duplicate) {
        truth->duplicates++;
    } else if (facts->fault != FAULT_NONE) {
        truth->invalid[facts->fault]++;
    } else {
        truth->valid_unique++;
        truth->late += facts->lateness == LATENESS_LATE;
        truth->too_late += facts->lateness == LATENESS_TOO_LATE;
        truth->gold[facts->type].events++;
        truth->gold[facts->type].cents += facts->cents;
    }
}

void truth_add(struct truth *sum, const struct truth *part);
/* The truth of offsets [0, end) of one partition, computed anew. */
void truth_of_range(const struct event_plan *plan, int32_t partition, int64_t end,
                    struct truth *out);
/* Writes it as a JSON object to `path`, replacing the file whole. RETRIABLE error on I/O trouble.
 */
sl_error *truth_write(const struct truth *truth, const char *path);

#endif /* GENERATOR_TRUTH_H */
