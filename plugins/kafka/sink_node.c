/*
 * The sink's node: opens the producer, counts deliveries on the control loop, and fails when the
 * broker refuses one.
 */
#include "embedded.h"
#include "sink.h"
#include "wakeup.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "columns/raw.h"
#include "columns/rejects.h"

#define LOOK_UP_LIMIT_MS 15000
#define LOOK_UP_TRIES 20
#define LOOK_UP_PAUSE_US 250000

static const char *cluster_of(const struct sl_node *node) {
    return node->section->embedded ? "embedded" : node->section->bootstrap;
}

/* ---- open ---- */

static sl_error *resolve_topic_column(const struct kafka_sink_config *config,
                                      struct sink_input *input) {
    sl_error *error = sl_schema_resolve(input->schema, config->topic_column, input->topic_path,
                                        SINK_MAX_PATH, &input->topic_depth);
    if (error != NULL) {
        return sl_error_wrap(error, "topic_column");
    }
    const struct ArrowSchema *at = input->schema;
    for (size_t i = 0; i < input->topic_depth; i++) {
        at = at->children[input->topic_path[i]];
    }
    return strcmp(at->format, "u") == 0
               ? NULL
               : sl_error_new(SL_ERROR_CONFIG, "topic_column \"%s\" is no text column",
                              config->topic_column);
}

static sl_error *open_input(const struct kafka_sink_config *config, const sl_input *from,
                            struct sink_input *input) {
    size_t bytes;
    *input = (struct sink_input){.schema = from->schema,
                                 .name = from->name,
                                 .raw = sl_raw_is(from->schema),
                                 .rejects = sl_rejects_of(from->schema, &bytes) != NULL};
    sl_error *error = NULL;
    if (config->key != NULL && (input->raw || input->rejects)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "key is \"%s\", but the input \"%s\" has raw or rejected records, "
                            "which keep their own keys; leave the option out",
                            config->key, from->name);
    }
    if (config->key != NULL) {
        error = sl_schema_resolve(input->schema, config->key, input->key_path, SINK_MAX_PATH,
                                  &input->key_depth);
        error = error == NULL ? NULL : sl_error_wrap(error, "key");
    }
    if (error == NULL && config->topic_column != NULL) {
        error = resolve_topic_column(config, input);
    }
    return error;
}

static sl_error *check_config(const sl_node_context *context) {
    const struct kafka_sink_config *config = context->config;
    sl_error *error = kafka_check_section(context->section);
    if (error == NULL && (config->topic != NULL) == (config->topic_column != NULL)) {
        error = sl_error_new(SL_ERROR_CONFIG, "a kafka sink needs either topic or topic_column");
    }
    return error;
}

void sink_stop_feeding(struct sl_node *node) {
    pthread_mutex_lock(&node->mutex);
    for (struct sink_topic *topic = node->topics; topic != NULL; topic = topic->next) {
        if (topic->feeds) {
            flow_feed_end(topic->flow);
        }
        topic->feeds = false;
    }
    if (node->fed != NULL && !node->done_feeding) {
        flow_feed_end(node->fed);
    }
    node->done_feeding = true;
    pthread_mutex_unlock(&node->mutex);
}

static void free_topics(struct sl_node *node) {
    while (node->topics != NULL) {
        struct sink_topic *next = node->topics->next;
        if (node->topics->handle != NULL) {
            rd_kafka_topic_destroy(node->topics->handle);
        }
        if (node->topics->feeds) {
            flow_feed_end(node->topics->flow);
        }
        flow_release(node->topics->flow);
        free(node->topics);
        node->topics = next;
    }
}

static void free_node(struct sl_node *node) {
    while (node->lane_list != NULL) {
        struct sink_lane *next = node->lane_list->next;
        free(node->lane_list);
        node->lane_list = next;
    }
    if (node->fed != NULL) {
        flow_release(node->fed);
    }
    if (node->has_broker) {
        embedded_release();
    }
    pthread_mutex_destroy(&node->mutex);
    kafka_link_free(&node->link);
    free(node->failure);
    free(node->inputs);
    free(node);
}

static sl_error *open_inputs(struct sl_node *node, const sl_node_context *context) {
    sl_error *error = NULL;
    for (size_t i = 0; i < context->n_inputs && error == NULL; i++) {
        error = open_input(context->config, &context->inputs[i], &node->inputs[i]);
    }
    if (error == NULL && node->config->topic != NULL && !node->validate_only) {
        node->fed = flow_get(cluster_of(node), node->config->topic);
        if (node->fed == NULL) {
            return sl_error_no_memory();
        }
        flow_feed(node->fed);
    }
    return error;
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    sl_error *error = check_config(context);
    if (error != NULL) {
        return error;
    }
    struct sl_node *node = calloc(1, sizeof(*node));
    struct sink_input *inputs = calloc(context->n_inputs + 1, sizeof(*inputs));
    if (node == NULL || inputs == NULL) {
        free(node);
        free(inputs);
        return sl_error_no_memory();
    }
    node->services = context->services;
    node->self = context->self;
    node->config = context->config;
    node->section = context->section;
    node->lanes = context->lanes == 0 ? 1 : context->lanes;
    node->validate_only = (context->flags & SL_RUN_VALIDATE_ONLY) != 0;
    node->inputs = inputs;
    node->n_inputs = context->n_inputs;
    node->queue_fd = -1;
    pthread_mutex_init(&node->mutex, NULL);
    kafka_link_init(&node->link, node->services, node->self, node->section);
    error = open_inputs(node, context);
    if (error != NULL) {
        free_node(node);
        return error;
    }
    *out = node;
    return NULL;
}

/* ---- topics ---- */

sl_error *sink_topic_get(struct sl_node *node, const char *name, size_t bytes,
                         struct sink_topic **out) {
    sl_error *error = NULL;
    pthread_mutex_lock(&node->mutex);
    struct sink_topic *topic = node->topics;
    while (topic != NULL && (topic->name_bytes != bytes || memcmp(topic->name, name, bytes) != 0)) {
        topic = topic->next;
    }
    if (topic == NULL) {
        topic = calloc(1, sizeof(*topic) + bytes + 1);
        if (topic == NULL) {
            error = sl_error_no_memory();
            goto out;
        }
        memcpy(topic->name, name, bytes);
        topic->name_bytes = bytes;
        if (node->section->embedded) {
            error = embedded_topic(topic->name, node->section->embedded_partitions);
        }
        topic->flow = error == NULL ? flow_get(cluster_of(node), topic->name) : NULL;
        topic->handle =
            topic->flow == NULL ? NULL : rd_kafka_topic_new(node->producer, topic->name, NULL);
        if (topic->handle == NULL) {
            if (error == NULL) {
                error = sl_error_new(SL_ERROR_FATAL, "cannot write to a topic named \"%s\": %s",
                                     topic->name, rd_kafka_err2str(rd_kafka_last_error()));
            }
            if (topic->flow != NULL) {
                flow_release(topic->flow);
            }
            free(topic);
            goto out;
        }
        topic->feeds = !node->done_feeding;
        if (topic->feeds) {
            flow_feed(topic->flow);
        }
        topic->next = node->topics;
        node->topics = topic;
    }
    *out = topic;
out:
    pthread_mutex_unlock(&node->mutex);
    return error;
}

bool sink_has_room(struct sl_node *node, const struct sink_lane *lane) {
    int64_t waiting = atomic_load(&lane->handed_bytes) - atomic_load(&lane->answered_bytes);
    if (waiting >= node->config->memory_bytes / node->lanes) {
        return false;
    }
    if (!node->section->embedded) {
        return true;
    }
    pthread_mutex_lock(&node->mutex);
    size_t unread = 0;
    for (const struct sink_topic *topic = node->topics; topic != NULL; topic = topic->next) {
        size_t of_topic = flow_unread_bytes(topic->flow);
        unread = of_topic > unread ? of_topic : unread;
    }
    for (const struct sink_lane *l = node->lane_list; l != NULL; l = l->next) {
        unread += (size_t)(atomic_load(&l->handed_bytes) - atomic_load(&l->answered_bytes));
    }
    pthread_mutex_unlock(&node->mutex);
    return unread < SINK_EMBEDDED_BYTES;
}

/* ---- start ---- */

static sl_error *set_producer(struct sl_node *node, rd_kafka_conf_t *conf) {
    const struct kafka_sink_config *config = node->config;
    char linger[24];
    char memory[24];
    snprintf(linger, sizeof(linger), "%.3f", (double)config->linger_us / 1000);
    /* The bound on bytes is ours; librdkafka's only has to be above it. */
    snprintf(memory, sizeof(memory), "%lld", (long long)(config->memory_bytes / 1024 * 2 + 2048));
    const struct {
        const char *name;
        const char *value;
    } values[] = {
        {"acks", "all"},
        {"enable.idempotence", "true"},
        {"linger.ms", linger},
        {"queue.buffering.max.messages", "10000000"},
        {"queue.buffering.max.kbytes", memory},
        {"compression.type", kafka_compressions[config->compression]},
        {"compression.level", config->compression == 0 ? "1" : "-1"},
        {"partitioner", kafka_partitioners[config->partitioner]},
        {"sticky.partitioning.linger.ms", "10"},
    };
    sl_error *error = NULL;
    for (size_t i = 0; i < SL_ARRAY_LENGTH(values) && error == NULL; i++) {
        error = kafka_conf_set(conf, values[i].name, values[i].value);
    }
    return error != NULL ? error : kafka_conf_set_map(conf, &config->properties);
}

static sl_error *make_producer(struct sl_node *node) {
    sl_error *error = NULL;
    rd_kafka_conf_t *conf = kafka_link_conf(&node->link, &error);
    if (error != NULL) {
        return error;
    }
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    error = set_producer(node, conf);
    if (error != NULL) {
        rd_kafka_conf_destroy(conf);
        return error;
    }
    return kafka_link_client(&node->link, RD_KAFKA_PRODUCER, conf, &node->producer);
}

/* Asks once for the fixed topic. A broker that makes topics by itself needs a moment for it. */
static sl_error *look_up(struct sl_node *node, rd_kafka_topic_t *handle,
                         rd_kafka_resp_err_t *code) {
    const struct rd_kafka_metadata *metadata = NULL;
    sl_error *error =
        kafka_link_ask(&node->link, node->producer, false, handle, LOOK_UP_LIMIT_MS, &metadata);
    if (error == NULL) {
        *code = metadata->topic_cnt == 1 ? metadata->topics[0].err
                                         : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        rd_kafka_metadata_destroy(metadata);
    }
    return error;
}

static sl_error *check_topic(struct sl_node *node) {
    struct sink_topic *topic = NULL;
    sl_error *error =
        sink_topic_get(node, node->config->topic, strlen(node->config->topic), &topic);
    if (error != NULL) {
        return error;
    }
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    error = look_up(node, topic->handle, &code);
    for (int i = 0; error == NULL && i < LOOK_UP_TRIES &&
                    (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
                     code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
         i++) {
        usleep(LOOK_UP_PAUSE_US);
        error = look_up(node, topic->handle, &code);
    }
    if (error != NULL) {
        return error;
    }
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "topic \"%s\" does not exist at %s, which does not make topics by "
                            "itself: create it first",
                            node->config->topic, node->link.bootstrap);
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? NULL
               : kafka_error(code, "cannot ask %s for topic \"%s\"", node->link.bootstrap,
                             node->config->topic);
}

/* With topic_column the topics are not known yet, but whether we are let in can be. */
static sl_error *check_broker(struct sl_node *node) {
    const struct rd_kafka_metadata *metadata = NULL;
    sl_error *error =
        kafka_link_ask(&node->link, node->producer, false, NULL, LOOK_UP_LIMIT_MS, &metadata);
    if (error == NULL) {
        rd_kafka_metadata_destroy(metadata);
    }
    return error;
}

struct start_job {
    struct sl_node *node;
    sl_request *request;
    sl_error *error;
};

static void start_run(void *arg) {
    struct start_job *job = arg;
    struct sl_node *node = job->node;
    if (node->section->embedded && !node->has_broker) {
        job->error = embedded_acquire(&node->link.bootstrap);
        node->has_broker = job->error == NULL;
    }
    if (job->error == NULL) {
        job->error = make_producer(node);
    }
    if (job->error == NULL) {
        job->error = node->config->topic != NULL ? check_topic(node) : check_broker(node);
    }
}

static void on_queue_readable(void *arg) {
    struct sl_node *node = arg;
    wakeup_clear(node->queue_fd);
    sink_serve(node);
}

static sl_error *watch_queue(struct sl_node *node) {
    static const uint64_t one = 1;
    node->queue = rd_kafka_queue_get_main(node->producer);
    node->queue_fd = wakeup_new();
    if (node->queue_fd < 0) {
        return sl_error_new(SL_ERROR_RETRIABLE, "cannot make an eventfd for the producer");
    }
    rd_kafka_queue_io_event_enable(node->queue, node->queue_fd, &one, sizeof(one));
    wakeup_signal(node->queue_fd); /* something may be there already */
    return node->services->watch(node->self, node->queue_fd, on_queue_readable, node,
                                 &node->queue_watch);
}

static void disconnect(struct sl_node *node) {
    if (node->queue_watch != NULL) {
        node->services->unwatch(node->queue_watch);
        node->queue_watch = NULL;
    }
    if (node->queue != NULL) {
        rd_kafka_queue_io_event_enable(node->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(node->queue);
        node->queue = NULL;
    }
    free_topics(node);
    if (node->producer != NULL) {
        rd_kafka_purge(node->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                           RD_KAFKA_PURGE_F_NON_BLOCKING);
        rd_kafka_destroy(node->producer);
        node->producer = NULL;
    }
    if (node->queue_fd >= 0) {
        close(node->queue_fd);
        node->queue_fd = -1;
    }
}

static void start_done(void *arg) {
    struct start_job *job = arg;
    struct sl_node *node = job->node;
    sl_request *request = job->request;
    sl_error *error = job->error != NULL ? job->error : watch_queue(node);
    free(job);
    if (error != NULL) {
        disconnect(node); /* the host may start again */
    }
    node->services->done(request, error);
}

static void node_start(sl_node *node, sl_request *request) {
    node->delivered =
        node->services->metric(node->self, SL_METRIC_COUNTER, "kafka_records_delivered_total",
                               "records that the broker has acknowledged");
    node->failed_deliveries =
        node->services->metric(node->self, SL_METRIC_COUNTER, "kafka_deliveries_failed_total",
                               "records that the broker has refused");
    struct start_job *job = calloc(1, sizeof(*job));
    sl_error *error = job == NULL ? sl_error_no_memory() : NULL;
    if (error == NULL) {
        *job = (struct start_job){.node = node, .request = request};
        error = node->services->work(node->self, start_run, start_done, job);
    }
    if (error != NULL) {
        free(job);
        node->services->done(request, error);
    }
}

static void node_close(sl_node *node) {
    sink_stop_feeding(node);
    disconnect(node);
    free_node(node);
}

const sl_node_ops kafka_sink_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .start = node_start,
    .drained = sink_stop_feeding, /* every record is acknowledged */
    .close = node_close,
};
