/*
 * The producer: making it, with or without transactions, asking whether the topic is there, and
 * ending it.
 */
#include "embedded.h"
#include "rights.h"
#include "sink_limits.h"
#include "sink_transaction.h"
#include "wakeup.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_UP_LIMIT_MS 15000
#define LOOK_UP_TRIES 20
#define LOOK_UP_PAUSE_US 250000

const char *sink_cluster(const struct sl_node *node) {
    return node->section->embedded ? "embedded" : node->section->bootstrap;
}

/* ---- making it ---- */

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
    if (error == NULL && node->batch_bytes_max > 0) {
        error = kafka_conf_set_number(conf, "message.max.bytes", node->batch_bytes_max);
    }
    return error != NULL ? error : kafka_conf_set_map(conf, &config->properties);
}

sl_error *sink_producer_new(struct sl_node *node, const char *transactional_id, rd_kafka_t **out) {
    sl_error *error = NULL;
    rd_kafka_conf_t *conf = kafka_link_conf(&node->link, &error);
    if (error != NULL) {
        return error;
    }
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    error = set_producer(node, conf);
    if (error == NULL && transactional_id != NULL) {
        error = kafka_conf_set(conf, "transactional.id", transactional_id);
    }
    if (error != NULL) {
        rd_kafka_conf_destroy(conf);
        return error;
    }
    return kafka_link_client(&node->link, RD_KAFKA_PRODUCER, conf, out);
}

sl_error *sink_refused(const struct sl_node *node, rd_kafka_resp_err_t code, const char *topic) {
    const char *right =
        code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED
            ? "WRITE on it, and of brokers before Kafka 2.8 IDEMPOTENT_WRITE on the cluster"
        : node->transactional ? "WRITE on it, and READ to commit positions under its name"
                              : "WRITE on it";
    return topic != NULL
               ? kafka_refused(&node->link, code, "write to the topic", topic, right)
               : kafka_refused(&node->link, code, "write to any topic", "", "WRITE on some");
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
    if (kafka_is_refused(code)) {
        return sink_refused(node, code, node->config->topic);
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

static void on_queue_readable(void *arg) {
    struct sl_node *node = arg;
    wakeup_clear(node->queue_fd);
    sink_serve(node, 0);
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

static sl_error *make_producer(struct sl_node *node) {
    sl_error *error =
        sink_producer_new(node, node->transactional ? node->writer_id : NULL, &node->producer);
    if (error != NULL) {
        return error;
    }
    return node->config->topic != NULL ? check_topic(node) : check_broker(node);
}

static sl_error *make_and_check(struct sl_node *node) {
    sl_error *error = make_producer(node);
    if (error == NULL && sink_limits_learn(node)) {
        sink_disconnect(node);
        error = make_producer(node);
    }
    if (error == NULL && node->transactional) {
        rd_kafka_error_t *refused =
            rd_kafka_init_transactions(node->producer, SINK_TRANSACTION_LIMIT_MS);
        error = refused == NULL ? NULL
                                : sink_transaction_error(node, node->producer, refused,
                                                         "getting ready for transactions");
    }
    return error != NULL ? error : watch_queue(node);
}

sl_error *sink_connect(struct sl_node *node) {
    if (node->producer != NULL && !node->broken) {
        return NULL;
    }
    sink_disconnect(node);
    if (node->section->embedded && !node->has_broker) {
        sl_error *error = embedded_acquire(&node->link.bootstrap);
        if (error != NULL) {
            return error;
        }
        node->has_broker = 1;
    }
    node->incarnation++;
    node->handed = node->answered = 0;
    sink_forget_failure(node);
    sl_error *error = make_and_check(node);
    if (error != NULL) {
        sink_disconnect(node); /* the host may try again */
    }
    return error;
}

void sink_disconnect(struct sl_node *node) {
    node->broken = false;
    if (node->queue_watch != NULL) {
        node->services->unwatch(node->queue_watch);
        node->queue_watch = NULL;
    }
    if (node->queue != NULL) {
        rd_kafka_queue_io_event_enable(node->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(node->queue);
        node->queue = NULL;
    }
    sink_topics_free(node);
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
