/*
 * How many rows a second flow over each edge: the lanes' counters, sampled each second, over the
 * last few. Control loop.
 */
#ifndef HOST_RATES_H
#define HOST_RATES_H

#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum { RATE_SAMPLES = 6 }; /* five seconds */

struct host;
struct host_node;

/* Of one input or output of a node: its rows, by the sample's turn. */
struct rate {
    int64_t rows[RATE_SAMPLES];
};

/* When the samples were taken. */
struct rate_times {
    int64_t us[RATE_SAMPLES];
    size_t n; /* ever taken */
};

/* Takes the next sample of all nodes. */
void rates_sample(struct host *host);

/* 0 before there are two samples, and when the counter began anew. */
double rate_per_second(const struct rate_times *times, const struct rate *rate);

/* Those of the node's edges, all 0 so far; they are the node's. Errors: NO_MEMORY. */
sl_error *rates_init(struct host_node *node);
void rates_free(struct host_node *node);

#endif /* HOST_RATES_H */
