/*
 * The source's two halves: the node (control loop) owns the client, the group membership and what
 * is known of each partition; the tasks (lanes) drain one queue for each partition.
 */
#ifndef KAFKA_SOURCE_H
#define KAFKA_SOURCE_H

#include "flow.h"
#include "kafka.h"
#include "link.h"
#include "properties.h"

#include <pthread.h>

#define SOURCE_QUERY_LIMIT_MS 15000
#define SOURCE_END_LIMIT_S 5 /* of a client */
#define SOURCE_LOOK_S 5      /* between looks at the group */

/* A record that was read, to know the topic by (source_seen.c). */
struct source_mark {
    int64_t offset; /* SL_OFFSET_NONE: none */
    int64_t timestamp_ms;
    uint64_t checksum;
};

/* One partition that the node has (had). Lives as long as the node. */
struct source_partition {
    struct sl_node *node;
    char *topic;
    int32_t number;
    int owned;     /* the group gave it to us and has not taken it back */
    int leaving;   /* revoked, not yet given back */
    int assigned;  /* the client fetches it */
    int given_up;  /* it does so only until the revocations under way have ended */
    int64_t end;   /* --until-end: where it ended when the run began; SL_OFFSET_NONE: not known */
    int64_t acked; /* positions of all readers */
    int ack_dirty; /* not yet told to the group */
    struct source_mark seen;            /* under the node's seen_mutex, as the next two */
    struct source_mark looked;          /* one that was seen before, and is compared next */
    bool other;                         /* the topic is another one: marks stay as they are */
    pthread_mutex_t compare_mutex;      /* one comparison at a time */
    int64_t kept_offset;                /* of the mark that the state store has */
    const sl_stream *stream;            /* what it is for the host, since it was last resumed */
    const sl_stream *asked;             /* the newest that was to be resumed */
    const struct source_handle *newest; /* the newest handle; to be compared, it may be gone */
    int64_t high;                       /* the client's high watermark when it was last looked at */
    int64_t asked_high;                 /* the broker's, when it was asked for; -1: never */
    struct flow *flow;
    struct flow_reader *reader;
};

/* A topic that existed when the node started. */
struct source_topic {
    char *name;
    int32_t partitions;
};

struct sl_node {
    const sl_services *services;
    sl_object *self;
    const struct kafka_source_config *config;
    const struct kafka_section *section;
    const char *pipeline;
    const char *name;
    int until_end;
    sl_metric *expected; /* rows that the run has still to read of what is resumed */
    int64_t start_timestamp_ms;
    struct kafka_link link;
    int has_broker; /* a share of the embedded broker */
    rd_kafka_t *client;
    rd_kafka_queue_t *queue; /* rebalances and errors; messages come by the partitions' queues */
    int queue_fd;
    sl_watch *queue_watch;
    sl_timer *timer;
    int64_t prefetch_bytes; /* librdkafka's bound for each partition */
    int said_all;
    int rebalancing; /* revocations under way */
    uint64_t rebalances;
    bool joining;       /* the group has not answered yet what is ours */
    bool lost;          /* the last that we heard of the group is that we are out of it */
    bool commits;       /* offsets are on their way to the group */
    char *group;        /* its name; NULL: none yet */
    bool asks_group;    /* source_members.c: a question is open */
    sl_metric *nobodys; /* partitions that no member has, by the last look */
    unsigned calm;      /* looks in a row that saw no trouble, since the last rebalance */
    unsigned skipped;   /* times at which nothing was asked, since */
    unsigned sightings; /* in a row, of partitions that nobody has */
    unsigned rejoins;   /* because of them, since the group was last well */
    int abandoned;      /* a fatal error: the client is never ended (source_node.c) */
    pthread_mutex_t seen_mutex;
    rd_kafka_t *seen_client; /* outside of the group; made when it is wanted */
    bool looks;              /* a job is under way */
    size_t look_from;        /* the partition that the next one begins with */
    uint64_t ticks;
    bool asks_ends; /* a job is under way */
    struct source_topic *topics;
    size_t n_topics;
    size_t n_known; /* partitions that the broker has of the topics, when it was last asked */
    struct source_partition **partitions;
    size_t n_partitions;
    struct source_side *sides; /* control loop; what is in one belongs to its job */
    struct side_client *side_clients;
    pthread_mutex_t side_mutex; /* guards side_clients */
};

/* What a lane gets to read a partition with: owned by the task once attached. */
struct source_handle {
    struct source_partition *partition;
    rd_kafka_queue_t *queue;
    int fd;        /* eventfd: the queue has something, or feeding has ended */
    int64_t begin; /* where it was asked to begin */
    int64_t end;
    bool aside; /* outside of the group: see source_side.c */
};
void source_handle_free(struct source_handle *handle);

/* ---- source_client.c: what may block, for pool threads ---- */

/* Does the config name the topic, or its expression match it? Any thread. */
bool source_wants(const struct sl_node *node, const char *topic);
/* Starts the embedded broker if wanted, looks topics up, makes the client. */
sl_error *source_connect(struct sl_node *node);
/* A client as that one, without the group. */
sl_error *source_make_side(struct sl_node *node, rd_kafka_t **out);
/* The first offset that a partition still has, and the one that its next record will get. */
sl_error *source_watermarks(struct sl_node *node, const char *topic, int32_t number, int64_t *low,
                            int64_t *high);
/* The offset at which a stream without position starts. */
sl_error *source_find_start(struct sl_node *node, const char *topic, int32_t number, int64_t *out);
/* The end of a partition as its reader sees it (last stable offset or high watermark). */
sl_error *source_find_end(struct sl_node *node, const char *topic, int32_t number, int64_t *out);

/* Before reading goes on at `position`: is it there, and is it the topic that it was? */
sl_error *source_check_position(struct source_partition *partition, int64_t position);
/* FATAL: the position is not in [begin, end]; -1: not known. */
sl_error *source_out_of_range(const struct source_partition *partition, int64_t position,
                              int64_t begin, int64_t end);

/* ---- source_seen.c: is it still the same topic ---- */

/*
 * A record's time. Producers may say any, as one that counts in nanoseconds does: what is beyond
 * all calendars is cut to where sums with a duration still fit. Very old brokers have none (-1):
 * the epoch.
 */
static inline int64_t source_time_us(int64_t timestamp_ms) {
    const int64_t most_ms = INT64_MAX / 2000;
    return timestamp_ms < 0 ? 0 : (timestamp_ms < most_ms ? timestamp_ms : most_ms) * 1000;
}

uint64_t source_checksum(const void *key, size_t key_bytes, const void *value, size_t value_bytes);
/* A record was read. Any thread; once a batch. */
void source_see(struct source_partition *partition, const struct source_mark *mark);
/* Stores the mark if it is a new one: the last that was seen, or else one that was seen some
 * seconds ago and is good. Pool threads. */
void source_keep_seen(struct source_partition *partition, bool last);
/* Compares what was seen some seconds ago, of some of what was read since; the node fails when a
 * topic is another one. Control loop. */
void source_look_again(struct sl_node *node);
/* Compares what was seen before reading goes on at `position` of the offsets [begin, end). FATAL:
 * the topic is another one. Pool threads. */
sl_error *source_check_seen(struct source_partition *partition, int64_t position, int64_t begin,
                            int64_t end);

/* ---- source_group.c: membership, on the control loop ---- */

struct source_partition *source_partition_get(struct sl_node *node, const char *topic,
                                              int32_t number); /* NULL: no memory */
/* Joins the group, or takes all partitions of the embedded broker. */
sl_error *source_join(struct sl_node *node);
/* Waits for the group's first answer, where the client could not be ended before it. */
void source_await_group(struct sl_node *node);
/* Leaves the group and joins it, so that it deals out all partitions once more. */
void source_rejoin(struct sl_node *node);
/* Serves the main queue until it is empty. */
void source_serve(struct sl_node *node);
/* Answers what has been assigned and nobody has looked at: nothing of it is taken. To be called
 * right before the client ends: librdkafka 2.0 waits for that answer for ever (its issue 4527). */
void source_answer(struct sl_node *node);
/* Leaves the group for good, so that others take over at once; waits for the answer. */
void source_leave(struct sl_node *node, int limit_ms);
/* Lets the client fetch a partition from `offset` on, into a queue of its own. */
sl_error *source_fetch(struct source_partition *partition, int64_t offset,
                       struct source_handle **out);
void source_unfetch(struct source_partition *partition);
/* Nothing more will be read (drained, failed): sinks of the embedded broker need not wait. Any
 * thread. */
void source_stop_reading(struct sl_node *node);
/* Tells the group what has been acknowledged since the last call; waits for the answer when
 * wait_ms is not 0. */
void source_commit(struct sl_node *node, int wait_ms);

/* ---- source_missing.c: what other members of the group have, on the control loop ---- */

/* Tells the host how many partitions are not ours. */
void source_tell_missing(struct sl_node *node);
/* Asks the broker how many there are, and tells the host when that has changed. */
void source_count_partitions(struct sl_node *node);
/* How many are not ours, as far as it is known. */
size_t source_count_missing(const struct sl_node *node);

/* ---- source_members.c: whether the group reads all partitions, on the control loop ---- */

/* To be called every few seconds: asks who has what, and joins the group anew when some partition
 * has been nobody's for a while. */
void source_look_at_group(struct sl_node *node);

/* ---- source_lag.c: where the partitions end, on the control loop ---- */

/* Tells the host how far each partition that is read reaches. */
void source_tell_ends(struct sl_node *node);
/* The partition is read from now on: its end is not known before it is seen, below. */
void source_begin_seeing(struct source_partition *partition);
/* Tells the host which ends are known at present: of partitions that have got something since the
 * last call, and of the others those that the brokers say when they are asked. Every two seconds.
 */
void source_ask_ends(struct sl_node *node);

/* ---- source_side.c: further readers, outside of the group, on the control loop ---- */

/* node.resume and suspend of a stream with a `reader`. */
void source_side_resume(struct sl_node *node, const sl_stream *stream, int64_t offset,
                        void **handle, sl_request *request);
void source_side_suspend(struct sl_node *node, const sl_stream *stream);
void source_sides_free(struct sl_node *node);

/* ---- source_nudge.c: waking librdkafka's fetcher, one for each task ---- */

struct source_nudge;
struct source_nudge *source_nudge_new(struct sl_node *node); /* NULL: no memory */
/* Has the partition's leader asked something; false when the last question is still open. */
bool source_nudge_send(struct source_nudge *nudge, sl_object *self,
                       const struct source_partition *partition);
void source_nudge_close(struct source_nudge *nudge); /* waits for an open question */

#endif /* KAFKA_SOURCE_H */
