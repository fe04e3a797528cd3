/* A sink that hands over what it took, and has nothing that makes it durable. */
#include "simple.h"

struct sl_task {
    const sl_services *services;
};

static sl_error *open_task(sl_node *node, const sl_task_context *context, sl_task **out) {
    (void)node;
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return sl_error_no_memory();
    }
    (*out)->services = context->services;
    return NULL;
}

static void flush(sl_task *task, void **piece, sl_request *request) {
    *piece = task;
    task->services->done(request, NULL);
}

static void close_task(sl_task *task) {
    free(task);
}

static const sl_node_ops node = {
    .struct_bytes = sizeof(sl_node_ops), .open = simple_node_open, .close = simple_node_close};
static const sl_task_ops task = {.struct_bytes = sizeof(sl_task_ops),
                                 .open = open_task,
                                 .process = simple_process,
                                 .flush = flush,
                                 .close = close_task};
static const sl_role sink = {.struct_bytes = sizeof(sl_role),
                             .guarantee = SL_AT_LEAST_ONCE,
                             .min_inputs = 1,
                             .max_inputs = 1,
                             .node = &node,
                             .task = &task};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {SL_PLUGIN_HEADER,   .name = "no-commit",
                                                  .version = "1.0.0", .summary = "keeps nothing",
                                                  .licence = "MIT",   .sink = &sink};
