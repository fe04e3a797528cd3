/*
 * A plugin to begin from: `measure` turns each raw record into a row of its offset, its size and
 * the first bytes of its value. It links nothing; `make` in this folder builds measure.so, and
 * README.md says how to run it.
 */
#include <sluice/sluice.h>

/* ---- options: described once, parsed by the host before open ---- */

struct config {
    int64_t preview_bytes;
};

static const sl_option options[] = {
    {.name = "preview",
     .type = SL_OPTION_SIZE,
     .flags = SL_OPTION_RANGE,
     .offset = offsetof(struct config, preview_bytes),
     .default_text = "32",
     .min = 0,
     .max = 1024,
     .doc = "how much of the value the preview shows"},
    {.name = NULL},
};

/* ---- the node: one per node of the topology ---- */

struct sl_node {
    const sl_services *services;
    const struct config *config;
};

static const sl_field fields[] = {{"offset", "l", 0}, {"bytes", "l", 0}, {"preview", "z", 1}};
enum { OFFSET, BYTES, PREVIEW, FIELDS };

static sl_error *open_node(const sl_node_context *context, sl_node **out) {
    const struct ArrowSchema *schema = context->inputs[0].schema;
    if (schema->n_children != SL_RAW_COLUMNS ||
        strcmp(schema->children[SL_RAW_VALUE]->name, "value") != 0) {
        return context->services->error_new(SL_ERROR_CONFIG,
                                            "measure needs raw records: connect it to a source");
    }
    sl_node *node = (sl_node *)calloc(1, sizeof(*node));
    if (node == NULL) {
        return context->services->error_new(SL_ERROR_NO_MEMORY, "out of memory");
    }
    node->services = context->services;
    node->config = (const struct config *)context->config;
    *out = node;
    return NULL;
}

static sl_error *output_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)output;
    return sl_rows_schema(fields, FIELDS, out)
               ? NULL
               : node->services->error_new(SL_ERROR_NO_MEMORY, "out of memory");
}

static void close_node(sl_node *node) {
    free(node);
}

/* ---- the task: one per lane, where the rows go by ---- */

struct sl_task {
    const sl_services *services;
    sl_object *self;
    const struct config *config;
    sl_rows *rows;
};

static sl_error *open_task(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = (sl_task *)calloc(1, sizeof(*task));
    if (task != NULL) {
        task->rows = sl_rows_new(fields, FIELDS);
    }
    if (task == NULL || task->rows == NULL) {
        free(task);
        return context->services->error_new(SL_ERROR_NO_MEMORY, "out of memory");
    }
    task->services = context->services;
    task->self = context->self;
    task->config = node->config;
    *out = task;
    return NULL;
}

static sl_error *process(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    sl_column value = sl_column_of(batch, "value");
    sl_column offset = sl_column_of(batch, "offset");
    for (int64_t row = 0; row < batch->rows; row++) {
        size_t bytes = 0;
        const char *data = NULL;
        if (!sl_column_is_null(value, row)) {
            data = sl_column_text(value, row, &bytes);
        }
        size_t preview = (size_t)task->config->preview_bytes;
        sl_rows_i64(task->rows, OFFSET, sl_column_i64(offset, row));
        sl_rows_i64(task->rows, BYTES, (int64_t)bytes);
        if (data != NULL) {
            sl_rows_text(task->rows, PREVIEW, data, bytes < preview ? bytes : preview);
        }
        sl_rows_end(task->rows);
    }
    struct ArrowArray columns;
    if (!sl_rows_finish(task->rows, &columns)) {
        return task->services->error_new(SL_ERROR_NO_MEMORY, "out of memory");
    }
    sl_emission emission = {.struct_bytes = sizeof(emission),
                            .stream = batch->stream,
                            .first_offset = batch->first_offset,
                            .next_offset = batch->next_offset,
                            .max_event_time_us = batch->max_event_time_us,
                            .columns = &columns};
    return task->services->emit(task->self, 0, &emission);
}

static void close_task(sl_task *task) {
    sl_rows_free(task->rows);
    free(task);
}

/* ---- the descriptor: what the host sees ---- */

static const sl_node_ops node_ops = {.struct_bytes = sizeof(sl_node_ops),
                                     .open = open_node,
                                     .output_schema = output_schema,
                                     .close = close_node};
static const sl_task_ops task_ops = {.struct_bytes = sizeof(sl_task_ops),
                                     .open = open_task,
                                     .process = process,
                                     .close = close_task};
static const sl_role transform = {.struct_bytes = sizeof(sl_role),
                                  .guarantee = SL_EXACTLY_ONCE,
                                  .option_bytes = sizeof(sl_option),
                                  .options = options,
                                  .config_bytes = sizeof(struct config),
                                  .min_inputs = 1,
                                  .max_inputs = 1,
                                  .node = &node_ops,
                                  .task = &task_ops};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,   .name = "measure",
    .version = "1.0.0", .summary = "sizes and previews of raw records",
    .licence = "MIT",   .transform = &transform};
