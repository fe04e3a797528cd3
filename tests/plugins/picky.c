/*
 * Rejects every so manieth record, as a transform (which passes the offsets of the others on) and
 * as a sink. Links nothing: what a plugin author has is the SDK alone.
 */
#include "sluice/sluice.h"

struct config {
    int64_t every;
    int32_t wrongly;
};

static const sl_option options[] = {{.name = "every",
                                     .type = SL_OPTION_INTEGER,
                                     .flags = SL_OPTION_RANGE,
                                     .offset = offsetof(struct config, every),
                                     .default_text = "10",
                                     .min = 1,
                                     .max = 1e9,
                                     .doc = "records whose offset it divides are rejected"},
                                    {.name = "wrongly",
                                     .type = SL_OPTION_BOOL,
                                     .offset = offsetof(struct config, wrongly),
                                     .default_text = "false",
                                     .doc = "by an error of process, which no plugin may"},
                                    {.name = NULL}};

struct sl_node {
    const struct config *config;
    int is_transform;
};

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    sl_rows *rows;
};

static const sl_field fields[] = {{"offset", "l", 0}};

static sl_error *open_node(const sl_node_context *context, sl_node **out) {
    *out = (sl_node *)calloc(1, sizeof(**out));
    if (*out == NULL) {
        return context->services->error_new(SL_ERROR_NO_MEMORY, "out of memory");
    }
    (*out)->config = (const struct config *)context->config;
    return NULL;
}

/* The schema of the second output, `rejects`, is the host's. */
static sl_error *output_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    node->is_transform = 1;
    if (output == 0) {
        sl_rows_schema(fields, 1, out);
    }
    return NULL;
}

static void close_node(sl_node *node) {
    free(node);
}

static sl_error *open_task(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = (sl_task *)calloc(1, sizeof(*task));
    sl_rows *rows = task == NULL ? NULL : sl_rows_new(fields, 1);
    if (rows == NULL) {
        free(task);
        return context->services->error_new(SL_ERROR_NO_MEMORY, "out of memory");
    }
    *task = (sl_task){node, context->services, context->self, rows};
    *out = task;
    return NULL;
}

static sl_error *emit(sl_task *task, const sl_batch *batch) {
    struct ArrowArray columns;
    if (!sl_rows_finish(task->rows, &columns)) {
        return task->services->error_new(SL_ERROR_NO_MEMORY, "out of memory");
    }
    sl_emission emission = {.struct_bytes = sizeof(emission),
                            .stream = batch->stream,
                            .first_offset = batch->first_offset,
                            .next_offset = batch->next_offset,
                            .max_event_time_us = SL_EVENT_TIME_NONE,
                            .columns = &columns};
    return task->services->emit(task->self, 0, &emission);
}

static sl_error *process(sl_task *task, uint32_t input, const sl_batch *batch) {
    static const sl_reject why = {sizeof(why), 0, "picked", 6, "$", 1, "not to my taste", 15};
    (void)input;
    sl_column offset = sl_column_of(batch, "offset");
    for (int64_t row = 0; row < batch->rows; row++) {
        int64_t at = sl_column_i64(offset, row);
        if (at % task->node->config->every == 0 && task->node->config->wrongly) {
            return task->services->error_new(SL_ERROR_RECORD, "not to my taste");
        }
        if (at % task->node->config->every == 0) {
            sl_error *error = task->services->reject(task->self, batch, row, &why);
            if (error != NULL) {
                return error;
            }
            continue;
        }
        sl_rows_i64(task->rows, 0, at);
        sl_rows_end(task->rows);
    }
    if (task->node->is_transform) {
        return emit(task, batch);
    }
    struct ArrowArray columns;
    if (sl_rows_finish(task->rows, &columns)) {
        columns.release(&columns);
    }
    return NULL;
}

static void close_task(sl_task *task) {
    sl_rows_free(task->rows);
    free(task);
}

static const sl_node_ops transform_node = {.struct_bytes = sizeof(sl_node_ops),
                                           .open = open_node,
                                           .output_schema = output_schema,
                                           .close = close_node};
static const sl_node_ops sink_node = {
    .struct_bytes = sizeof(sl_node_ops), .open = open_node, .close = close_node};
static const sl_task_ops task_ops = {.struct_bytes = sizeof(sl_task_ops),
                                     .open = open_task,
                                     .process = process,
                                     .close = close_task};
static const char *const outputs[] = {"", SL_REJECT_OUTPUT, NULL};
static const char *const sink_outputs[] = {SL_REJECT_OUTPUT, NULL};

#define ROLE(ops)                                                                                  \
    .struct_bytes = sizeof(sl_role), .option_bytes = sizeof(sl_option), .options = options,        \
    .config_bytes = sizeof(struct config), .min_inputs = 1, .max_inputs = 1, .node = &(ops),       \
    .task = &task_ops
static const sl_role transform = {ROLE(transform_node), .guarantee = SL_EXACTLY_ONCE,
                                  .outputs = outputs};
static const sl_role sink = {ROLE(sink_node), .flags = SL_ROLE_REPLAYS,
                             .guarantee = SL_AT_LEAST_ONCE, .outputs = sink_outputs};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER, .name = "picky",         .version = "1.0.0", .summary = "rejects records",
    .licence = "MIT", .transform = &transform, .sink = &sink};
