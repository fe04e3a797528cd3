/*
 * What the broker answered: counts deliveries for flushes and bounds, tells the topics' flows how
 * far they have come, and fails the node when a record was refused. On the node's thread.
 */
#include "rights.h"
#include "sink.h"
#include "wakeup.h"

#include <stdlib.h>

/* NULL: no memory. */
static char *say_failure(const struct sl_node *node, const rd_kafka_message_t *message) {
    const char *topic = message->rkt == NULL ? "" : rd_kafka_topic_name(message->rkt);
    sl_error *error =
        kafka_is_refused(message->err)
            ? sink_refused(node, message->err, topic)
            : sl_error_new(SL_ERROR_FATAL,
                           "a record was not delivered to topic \"%s\" partition %d at %s: %s",
                           topic, (int)message->partition, node->link.bootstrap,
                           rd_kafka_err2str(message->err));
    char *sentence = strdup(sl_error_message(error));
    sl_error_free(error);
    return sentence;
}

static void keep_failure(struct sl_node *node, const rd_kafka_message_t *message) {
    char *sentence = say_failure(node, message);
    pthread_mutex_lock(&node->mutex);
    if (node->failure == NULL) {
        node->failure = sentence;
        node->failure_code = message->err;
        sentence = NULL;
    }
    pthread_mutex_unlock(&node->mutex);
    free(sentence);
    if (!atomic_exchange(&node->has_failed, 1) && !node->transactional) {
        sink_stop_feeding(node);
        node->services->fail(node->self, sink_failure(node));
    }
}

sl_error *sink_failure(struct sl_node *node) {
    pthread_mutex_lock(&node->mutex);
    sl_error_class error_class =
        node->transactional ? kafka_error_class(node->failure_code) : SL_ERROR_FATAL;
    sl_error *error = node->failure == NULL ? sl_error_no_memory()
                                            : sl_error_new(error_class, "%s", node->failure);
    pthread_mutex_unlock(&node->mutex);
    return error;
}

void sink_forget_failure(struct sl_node *node) {
    pthread_mutex_lock(&node->mutex);
    free(node->failure);
    node->failure = NULL;
    pthread_mutex_unlock(&node->mutex);
    atomic_store(&node->has_failed, 0);
}

/* A run of deliveries to one partition. */
struct delivered {
    rd_kafka_topic_t *topic;
    int32_t partition;
    int64_t end;
    size_t bytes;
};

static void tell_flow(struct sl_node *node, struct delivered *run) {
    if (run->topic != NULL) {
        const char *name = rd_kafka_topic_name(run->topic);
        struct sink_topic *topic = NULL;
        sl_error *error = sink_topic_get(node, name, strlen(name), &topic);
        if (error == NULL) {
            flow_delivered(topic->flow, run->partition, run->end, run->bytes);
        }
        sl_error_free(error);
    }
    *run = (struct delivered){.topic = NULL};
}

static void count_delivery(struct sl_node *node, const rd_kafka_message_t *message,
                           struct delivered *run) {
    struct sink_generation *generation = message->_private;
    size_t bytes = message->len + message->key_len + SINK_RECORD_BYTES;
    node->answered++;
    if (generation != NULL) {
        atomic_fetch_add_explicit(&generation->answered, 1, memory_order_release);
        atomic_fetch_add(&generation->lane->answered_bytes, (int64_t)bytes);
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        node->services->metric_add(node->failed_deliveries, 1);
        keep_failure(node, message);
        return;
    }
    if (run->topic != message->rkt || run->partition != message->partition) {
        tell_flow(node, run);
        *run = (struct delivered){.topic = message->rkt, .partition = message->partition};
    }
    run->bytes += bytes;
    run->end = message->offset + 1 > run->end ? message->offset + 1 : run->end;
}

static void signal_lanes(struct sl_node *node) {
    pthread_mutex_lock(&node->mutex);
    for (struct sink_lane *lane = node->lane_list; lane != NULL; lane = lane->next) {
        if (lane->fd >= 0 && atomic_exchange(&lane->waiting, 0)) {
            wakeup_signal(lane->fd);
        }
    }
    pthread_mutex_unlock(&node->mutex);
}

static void on_deliveries(struct sl_node *node, rd_kafka_event_t *event) {
    const rd_kafka_message_t *messages[256];
    struct delivered run = {.topic = NULL};
    size_t n = 0;
    while ((n = rd_kafka_event_message_array(event, messages, SL_ARRAY_LENGTH(messages))) > 0) {
        node->services->metric_add(node->delivered, (int64_t)n);
        for (size_t i = 0; i < n; i++) {
            count_delivery(node, messages[i], &run);
        }
        tell_flow(node, &run);
    }
}

static void on_error(struct sl_node *node, rd_kafka_event_t *event) {
    if (rd_kafka_event_error_is_fatal(event)) {
        char why[400] = "";
        rd_kafka_resp_err_t code = rd_kafka_fatal_error(node->producer, why, sizeof(why));
        if (node->transactional) {
            node->broken = true; /* the next commit settles it */
            return;
        }
        sink_stop_feeding(node);
        node->services->fail(node->self, kafka_is_refused(code)
                                             ? sink_refused(node, code, node->config->topic)
                                             : sl_error_new(SL_ERROR_FATAL,
                                                            "the producer for %s cannot go on: %s",
                                                            node->link.bootstrap, why));
        return;
    }
    kafka_link_hear(&node->link, node->producer, rd_kafka_event_error(event),
                    rd_kafka_event_error_string(event));
}

void sink_serve(struct sl_node *node, int wait_ms) {
    rd_kafka_event_t *event = NULL;
    for (; (event = rd_kafka_queue_poll(node->queue, wait_ms)) != NULL; wait_ms = 0) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
            on_deliveries(node, event);
        } else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR) {
            on_error(node, event);
        }
        rd_kafka_event_destroy(event);
    }
    signal_lanes(node);
}
