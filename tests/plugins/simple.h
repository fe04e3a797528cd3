/* The smallest operations that the host accepts, for plugins that never run. */
#ifndef TESTS_PLUGINS_SIMPLE_H
#define TESTS_PLUGINS_SIMPLE_H

#include <stdlib.h>

#include "columns/columns.h"
#include "sluice/plugin.h"

struct sl_node {
    int unused;
};

static inline sl_error *simple_node_open(const sl_node_context *context, sl_node **out) {
    (void)context;
    *out = calloc(1, sizeof(**out));
    return *out == NULL ? sl_error_no_memory() : NULL;
}

static inline sl_error *simple_output_schema(sl_node *node, uint32_t output,
                                             struct ArrowSchema *out) {
    (void)node;
    (void)output;
    sl_error *error = sl_schema_new_struct(1, out);
    return error != NULL ? error : sl_schema_set_field(out, 0, "n", "l", false, 0);
}

static inline void simple_node_close(sl_node *node) {
    free(node);
}

static inline sl_error *simple_task_open(sl_node *node, const sl_task_context *context,
                                         sl_task **out) {
    (void)node;
    (void)context;
    (void)out;
    return sl_error_new(SL_ERROR_FATAL, "this plugin is only for validation");
}

static inline sl_error *simple_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)task;
    (void)input;
    (void)batch;
    return NULL;
}

static inline void simple_recover(sl_node *node, sl_position *positions, size_t n,
                                  sl_request *request) {
    (void)node;
    (void)positions;
    (void)n;
    (void)request;
}

static inline void simple_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    (void)node;
    (void)commit;
    (void)request;
}

#define SIMPLE_NODE                                                                                \
    .struct_bytes = sizeof(sl_node_ops), .open = simple_node_open,                                 \
    .output_schema = simple_output_schema, .recover = simple_recover, .commit = simple_commit,     \
    .close = simple_node_close
#define SIMPLE_TASK                                                                                \
    .struct_bytes = sizeof(sl_task_ops), .open = simple_task_open, .process = simple_process

#endif /* TESTS_PLUGINS_SIMPLE_H */
