/*
 * The sink's two halves: one producer for the node, served on the node's thread; tasks that hand
 * records to it on the lanes. They meet in counters: a task counts what it hands over, the node
 * what the broker has acknowledged.
 */
#ifndef KAFKA_SINK_H
#define KAFKA_SINK_H

#include "flow.h"
#include "kafka.h"
#include "link.h"
#include "properties.h"

#include <pthread.h>
#include <stdatomic.h>

#define SINK_MAX_PATH 16

/* What each record costs beyond its key and value, for the bounds on memory. */
#define SINK_RECORD_BYTES 64

/*
 * The embedded broker keeps 5 MiB of a partition; unread and unacknowledged records may be as much
 * as this, counted before compression.
 */
#define SINK_EMBEDDED_BYTES (4u << 20)

/* Records of one task between two flushes; their opaque points here. */
struct sink_generation {
    struct sink_lane *lane;
    int64_t handed; /* task only */
    _Atomic int64_t answered;
};

/* A task's part that outlives it: deliveries may come until the producer has ended. */
struct sink_lane {
    struct sink_lane *next;
    struct sink_generation generations[2];
    _Atomic int64_t handed_bytes;
    _Atomic int64_t answered_bytes;
    _Atomic int waiting; /* wants a signal when deliveries have come */
    int fd;              /* under the node's mutex; -1: the task is closed */
};

struct sink_topic {
    struct sink_topic *next;
    struct sink_topic *in_bucket; /* the next one */
    rd_kafka_topic_t *handle;
    struct flow *flow;
    bool feeds; /* under the node's mutex */
    size_t name_bytes;
    char name[];
};

/* By name (sink_topics.c). */
struct sink_topics {
    struct sink_topic *list;
    size_t n;
    struct sink_topic **buckets;
    size_t n_buckets; /* a power of two */
};

/* How rows of one input become records. */
struct sink_input {
    const struct ArrowSchema *schema;
    const char *name;
    bool raw;
    bool rejects; /* they become dead letters */
    int64_t key_path[SINK_MAX_PATH];
    size_t key_depth; /* 0: no key */
    int64_t topic_path[SINK_MAX_PATH];
    size_t topic_depth; /* 0: the fixed topic */
};

struct sl_node {
    const sl_services *services;
    sl_object *self;
    const struct kafka_sink_config *config;
    const struct kafka_section *section;
    uint32_t lanes;
    int validate_only;
    struct kafka_link link;
    int has_broker;
    struct sink_input *inputs;
    size_t n_inputs;
    struct flow *fed; /* of the fixed topic, from open on */
    const char *pipeline;
    const char *name;
    rd_kafka_t *producer;
    rd_kafka_queue_t *queue;
    int queue_fd;
    /* what the topic takes (sink_limits.c); the node's thread, read by lanes */
    int64_t batch_bytes_max; /* 0: what the configuration says */
    _Atomic int64_t record_bytes_max;
    _Atomic bool needs_key;
    sl_watch *queue_watch;
    sl_metric *delivered, *failed_deliveries;
    /* with transactions (sink_transaction.h); node thread */
    bool transactional;
    bool broken;          /* the producer cannot go on: the next step makes another */
    char *writer_id;      /* our transactional id */
    unsigned incarnation; /* counts producers */
    int64_t handed;       /* to this producer */
    int64_t answered;
    struct sink_place *places;
    size_t n_places;
    sl_timer *refresh_timer;
    int64_t refresh_from_us; /* not before, since it has failed */

    pthread_mutex_t
        mutex; /* guards what follows; taken once a batch of deliveries, never a record */
    struct sink_lane *lane_list;
    struct sink_topics topics;
    bool done_feeding; /* drained, or failed: readers in this process need not wait */
    char *failure;     /* the first delivery that failed */
    rd_kafka_resp_err_t failure_code;
    _Atomic int has_failed;
};

/* The topic, made when it is new; it lives as long as the producer. FATAL beyond max_topics. Any
 * thread. */
sl_error *sink_topic_get(struct sl_node *node, const char *name, size_t bytes,
                         struct sink_topic **out);
/* Node thread, before the producer ends; no task has records to hand over. */
void sink_topics_free(struct sl_node *node);
/* Whether the bounds allow a lane to hand more over. Any thread. */
bool sink_has_room(struct sl_node *node, const struct sink_lane *lane);
/* Nothing more will be written: readers of the topics in this process may end. Any thread. */
void sink_stop_feeding(struct sl_node *node);
/* Makes the producer, unless there is one that works, and checks that the topic is there. Node
 * thread; blocks. On failure there is none. */
sl_error *sink_connect(struct sl_node *node);
void sink_disconnect(struct sl_node *node);
/* A further producer of this node's configuration; NULL: without transactions. */
sl_error *sink_producer_new(struct sl_node *node, const char *transactional_id, rd_kafka_t **out);
/* The cluster's name among flows. */
const char *sink_cluster(const struct sl_node *node);
/* Serves the producer's queue until it is empty; waits so long for the first event. Node thread. */
void sink_serve(struct sl_node *node, int wait_ms);
void sink_forget_failure(struct sl_node *node);
/* The brokers do not let us write to the topic; NULL: to any. Any thread. */
sl_error *sink_refused(const struct sl_node *node, rd_kafka_resp_err_t code, const char *topic);
/* A copy of the failure as an error. Any thread. */
sl_error *sink_failure(struct sl_node *node);

#endif /* KAFKA_SINK_H */
