/*
 * The sink's node: opens the producer, counts deliveries on the control loop, and fails when the
 * broker refuses one.
 */
#include "embedded.h"
#include "sink_transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "columns/raw.h"
#include "columns/rejects.h"

#define LOOK_UP_LIMIT_MS 15000
#define LOOK_UP_TRIES 20
#define LOOK_UP_PAUSE_US 250000

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

static sl_error *check_delivery(const struct kafka_sink_config *config,
                                const struct kafka_section *section) {
    bool transactions = config->delivery == DELIVERY_EXACTLY_ONCE;
    if (!transactions && (config->transactional_id != NULL || config->positions_topic != NULL)) {
        return sl_error_new(SL_ERROR_CONFIG, "%s needs \"delivery\": \"exactly-once\"",
                            config->transactional_id != NULL ? "transactional.id"
                                                             : "positions_topic");
    }
    if (transactions && section->embedded) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "delivery is \"exactly-once\", but the embedded broker has no "
                            "transactions; take a real broker, or \"at-least-once\"");
    }
    if (transactions && config->topic == NULL && config->positions_topic == NULL) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "delivery is \"exactly-once\" with topic_column: name a topic that "
                            "exists in positions_topic, under which positions are committed");
    }
    return NULL;
}

static sl_error *check_config(const sl_node_context *context,
                              const struct kafka_section **section) {
    const struct kafka_sink_config *config = context->config;
    sl_error *error = kafka_choose_section(context->section, config->cluster, section);
    if (error == NULL && (config->topic != NULL) == (config->topic_column != NULL)) {
        error = sl_error_new(SL_ERROR_CONFIG, "a kafka sink needs either topic or topic_column");
    }
    return error != NULL ? error : check_delivery(config, *section);
}

void sink_stop_feeding(struct sl_node *node) {
    pthread_mutex_lock(&node->mutex);
    for (struct sink_topic *topic = node->topics.list; topic != NULL; topic = topic->next) {
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
    kafka_link_free(&node->link, NULL);
    sink_places_free(node);
    free(node->writer_id);
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
        node->fed = flow_get(sink_cluster(node), node->config->topic);
        if (node->fed == NULL) {
            return sl_error_no_memory();
        }
        flow_feed(node->fed);
    }
    return error;
}

/* The id of this host's writer: the same after a restart. */
static sl_error *name_writer(struct sl_node *node) {
    char host[256] = "host";
    sl_buffer id = SL_BUFFER_INIT;
    gethostname(host, sizeof(host) - 1);
    if (node->config->transactional_id != NULL) {
        sl_buffer_append_text(&id, node->config->transactional_id);
    } else {
        sl_buffer_printf(&id, "sluice/%s/%s/%s", node->pipeline, node->name, host);
    }
    size_t bytes = 0;
    bool whole = sl_buffer_append_byte(&id, 0);
    node->writer_id = whole ? (char *)sl_buffer_take(&id, &bytes) : NULL;
    sl_buffer_free(&id);
    if (node->writer_id != NULL && bytes > sizeof(((struct sink_stored *)NULL)->owner)) {
        return sl_error_new(SL_ERROR_CONFIG, "transactional.id \"%s\" is longer than 255 bytes",
                            node->writer_id);
    }
    return node->writer_id == NULL ? sl_error_no_memory() : NULL;
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    const struct kafka_section *section = NULL;
    sl_error *error = check_config(context, &section);
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
    node->section = section;
    node->pipeline = context->pipeline;
    node->name = context->name;
    node->transactional = node->config->delivery == DELIVERY_EXACTLY_ONCE;
    node->lanes = context->lanes == 0 ? 1 : context->lanes;
    node->validate_only = (context->flags & SL_RUN_VALIDATE_ONLY) != 0;
    node->inputs = inputs;
    node->n_inputs = context->n_inputs;
    node->queue_fd = -1;
    pthread_mutex_init(&node->mutex, NULL);
    kafka_link_init(&node->link, node->services, node->self, node->section);
    error = name_writer(node);
    error = error != NULL ? error : open_inputs(node, context);
    if (error != NULL) {
        free_node(node);
        return error;
    }
    *out = node;
    return NULL;
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
    for (const struct sink_topic *topic = node->topics.list; topic != NULL; topic = topic->next) {
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

static void node_start(sl_node *node, sl_request *request) {
    node->delivered =
        node->services->metric(node->self, SL_METRIC_COUNTER, "kafka_records_delivered_total",
                               "records that the broker has acknowledged");
    node->failed_deliveries =
        node->services->metric(node->self, SL_METRIC_COUNTER, "kafka_deliveries_failed_total",
                               "records that the broker has refused");
    node->services->done(request, sink_connect(node));
}

/* ---- commits: with transactions only; otherwise the host keeps the positions ---- */

static void node_recover(sl_node *node, sl_position *positions, size_t n, sl_request *request) {
    node->services->done(request, sink_recover(node, positions, n));
}

static void node_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    sl_error *error = node->transactional ? sink_commit(node, commit) : NULL;
    for (size_t i = 0; error == NULL && i < commit->n_pieces; i++) {
        sink_piece_free(commit->pieces[i], node->services);
    }
    node->services->done(request, error);
}

static void node_drop_piece(sl_node *node, void *piece) {
    sink_piece_free(piece, node->services);
}

static sl_guarantee node_guarantee(const void *config) {
    const struct kafka_sink_config *sink = config;
    return sink->delivery == DELIVERY_EXACTLY_ONCE ? SL_EXACTLY_ONCE : SL_AT_LEAST_ONCE;
}

static uint32_t node_flags(const void *config) {
    uint32_t all = SL_ROLE_BLOCKING | SL_ROLE_REPLAYS;
    return node_guarantee(config) == SL_EXACTLY_ONCE ? all | SL_ROLE_DURABLE : all;
}

static void node_drained(sl_node *node) {
    sink_stop_feeding(node); /* every record is acknowledged */
    if (node->transactional) {
        sink_refresh_last(node);
    }
}

static void node_close(sl_node *node) {
    sink_refresh_stop(node);
    sink_stop_feeding(node);
    sink_disconnect(node);
    free_node(node);
}

const sl_node_ops kafka_sink_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .start = node_start,
    .recover = node_recover,
    .commit = node_commit,
    .drop_piece = node_drop_piece,
    .drained = node_drained,
    .close = node_close,
    .guarantee = node_guarantee,
    .flags = node_flags,
};
