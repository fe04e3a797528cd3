/*
 * The generator's options and operation tables.
 */
#ifndef GENERATOR_H
#define GENERATOR_H

#include "sluice/plugin.h"

struct generator_config {
    int64_t count; /* 0: no end */
    int64_t partitions;
    int64_t seed;
    int64_t rate; /* events per second of output; 0: as fast as they are taken */
    int64_t event_rate;
    double invalid;
    double duplicates;
    double late;
    double too_late;
    int64_t duplicate_span_us;
    int64_t late_by_us;
    int64_t max_skew_us;
    const char *start_time;
    int32_t key; /* enum event_key */
    const char *topic;
    const char *truth; /* NULL: not written */
};

extern const sl_node_ops generator_node_ops;
extern const sl_task_ops generator_task_ops;

#endif /* GENERATOR_H */
