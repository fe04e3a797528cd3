/*
 * Flows: what sinks and sources of this process know of each other when they meet in one topic.
 *
 * A flow is one topic of one cluster. Sinks say that they feed it, how far their deliveries have
 * come, and when they are done; sources say how far they have read. From that a source knows when a
 * topic that is fed by this process has really ended, and a sink of the embedded broker, which
 * forgets what exceeds 5 MiB a partition, knows when it must wait for readers.
 *
 * Any thread. Calls come once a batch, never once a record.
 */
#ifndef KAFKA_FLOW_H
#define KAFKA_FLOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct flow;

/* The flow of a topic, made when it is new; NULL when memory is short. Give it back with
 * flow_release. `cluster` is "embedded" or the bootstrap servers. */
struct flow *flow_get(const char *cluster, const char *topic);
void flow_release(struct flow *flow);

/* ---- feeding ---- */

/* A sink begins (ends) to feed the topic. The end wakes its readers. */
void flow_feed(struct flow *flow);
void flow_feed_end(struct flow *flow);
bool flow_is_fed(struct flow *flow);

/* Messages below `end` of the partition are delivered; `bytes` more than before. */
void flow_delivered(struct flow *flow, int32_t partition, int64_t end, size_t bytes);
/* The offset after the last delivery of this process; 0: there was none. */
int64_t flow_end(struct flow *flow, int32_t partition);

/* The largest number of delivered bytes in a partition that some reader has not read yet. */
size_t flow_unread_bytes(struct flow *flow);

/* Has `fd` (an eventfd) signalled at the next progress of any reader of any flow, once. False when
 * memory is short. */
bool flow_wait(int fd);
void flow_wait_end(int fd);

/* ---- reading ---- */

/* One reader of one partition. */
struct flow_reader {
    struct flow *flow;
    struct flow_reader *next;
    int32_t partition;
    _Atomic int64_t offset; /* what lies below is read */
    _Atomic int fd;         /* woken when feeding ends; -1: nobody is there */
};

struct flow_reader *flow_reader_new(struct flow *flow, int32_t partition); /* NULL: no memory */
void flow_reader_free(struct flow_reader *reader);
void flow_reader_advance(struct flow_reader *reader, int64_t offset);
/* Sets the eventfd; -1 before it is closed. */
void flow_reader_watch(struct flow_reader *reader, int fd);

#endif /* KAFKA_FLOW_H */
