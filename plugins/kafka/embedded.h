/*
 * The embedded broker: librdkafka's mock cluster, one for the process, started by the first kafka
 * node that wants it and ended with the last. Any thread.
 */
#ifndef KAFKA_EMBEDDED_H
#define KAFKA_EMBEDDED_H

#include <stdint.h>

#include "base/base.h"

/* Takes a share of the broker; starts it when this is the first. *bootstrap is borrowed until the
 * share is given back. */
sl_error *embedded_acquire(const char **bootstrap);
void embedded_release(void);

/* Makes the topic unless this process has made it. A share must be held. */
sl_error *embedded_topic(const char *topic, int64_t partitions);

/* Calls visit for each topic made so far, with its number of partitions; the broker's lock is held
 * meanwhile. */
void embedded_visit(void (*visit)(void *arg, const char *topic, int64_t partitions), void *arg);

#endif /* KAFKA_EMBEDDED_H */
