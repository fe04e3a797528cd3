/* The node: makes the inner sink with the widened schema, and passes everything on to it. */
#include "bronze.h"
#include "widen.h"

#include <stdlib.h>

#include "columns/raw.h"

static struct bronze_node *outer(sl_node *node) {
    return (struct bronze_node *)(void *)node;
}

static void bronze_free(struct bronze_node *node) {
    if (node->schema.release != NULL) {
        node->schema.release(&node->schema);
    }
    free(node->inputs);
    free(node->inner_config);
    free(node);
}

static sl_error *check(const sl_node_context *context) {
    const struct bronze_config *config = context->config;
    for (size_t i = 0; i < context->n_inputs; i++) {
        if (!sl_raw_is(context->inputs[i].schema)) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "bronze-sink takes raw records, as sources emit them, and the "
                                "input \"%s\" has columns of its own; use delta-sink for it",
                                context->inputs[i].name);
        }
    }
    bool ingest = config->partition_by == PARTITION_INGEST_DATE ||
                  config->partition_by == PARTITION_INGEST_HOUR;
    if (ingest && config->format != FORMAT_DELTA) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "partition_by: plain files are made again after a crash, at another "
                            "time, so they cannot be partitioned by it; use event_date, event_hour "
                            "or none, or the format delta");
    }
    return NULL;
}

static sl_error *make(struct bronze_node *node, const sl_node_context *context) {
    node->inner = node->config->format == FORMAT_DELTA ? &bronze_delta : &bronze_plain;
    sl_error *error =
        widen_schema(node->config->partition_by, node->inner->ingest_time, &node->schema);
    if (error != NULL) {
        node->schema.release = NULL;
        return error;
    }
    node->inputs = calloc(context->n_inputs, sizeof(*node->inputs));
    if (node->inputs == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < context->n_inputs; i++) {
        node->inputs[i] = (sl_input){context->inputs[i].name, &node->schema};
    }
    error = node->inner->config(node->config, &node->inner_config);
    if (error != NULL) {
        return error;
    }
    sl_node_context inside = *context;
    inside.config = node->inner_config;
    inside.inputs = node->inputs;
    return node->inner->node->open(&inside, &node->inside);
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    sl_error *error = check(context);
    if (error != NULL) {
        return error;
    }
    struct bronze_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    node->config = context->config;
    node->services = context->services;
    error = make(node, context);
    if (error != NULL) {
        bronze_free(node);
        return error;
    }
    *out = (sl_node *)(void *)node;
    return NULL;
}

static void node_start(sl_node *node, sl_request *request) {
    outer(node)->inner->node->start(outer(node)->inside, request);
}

static void node_recover(sl_node *node, sl_position *positions, size_t n, sl_request *request) {
    outer(node)->inner->node->recover(outer(node)->inside, positions, n, request);
}

static void node_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                        void **handle, sl_request *request) {
    const struct bronze_node *bronze = outer(node);
    if (bronze->inner->node->resume == NULL) {
        bronze->services->done(request, NULL);
        return;
    }
    bronze->inner->node->resume(bronze->inside, stream, offset, position, handle, request);
}

static void node_suspend(sl_node *node, const sl_stream *stream) {
    if (outer(node)->inner->node->suspend != NULL) {
        outer(node)->inner->node->suspend(outer(node)->inside, stream);
    }
}

static void node_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    outer(node)->inner->node->commit(outer(node)->inside, commit, request);
}

static void node_drop_piece(sl_node *node, void *piece) {
    outer(node)->inner->node->drop_piece(outer(node)->inside, piece);
}

static void node_drop_handle(sl_node *node, const sl_stream *stream, void *handle) {
    if (outer(node)->inner->node->drop_handle != NULL) {
        outer(node)->inner->node->drop_handle(outer(node)->inside, stream, handle);
    }
}

static void node_drained(sl_node *node) {
    if (outer(node)->inner->node->drained != NULL) {
        outer(node)->inner->node->drained(outer(node)->inside);
    }
}

static void node_closing(sl_node *node) {
    outer(node)->inner->node->closing(outer(node)->inside);
}

static void node_close(sl_node *node) {
    outer(node)->inner->node->close(outer(node)->inside);
    bronze_free(outer(node));
}

/* Plain files record closes, not positions by name, and at its start the sink finishes those that
 * it finds. */
static uint32_t node_flags(const void *config) {
    const struct bronze_config *bronze = config;
    return bronze->format == FORMAT_DELTA ? UINT32_MAX
                                          : ~(uint32_t)(SL_ROLE_COUNTS | SL_ROLE_BESIDE);
}

const sl_node_ops bronze_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .start = node_start,
    .recover = node_recover,
    .resume = node_resume,
    .suspend = node_suspend,
    .commit = node_commit,
    .drop_piece = node_drop_piece,
    .drained = node_drained,
    .close = node_close,
    .flags = node_flags,
    .drop_handle = node_drop_handle,
    .closing = node_closing,
};
