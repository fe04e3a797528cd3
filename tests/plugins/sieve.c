/*
 * sieve: a transform that gives each record {"id": n} to one of its two outputs, in two versions of
 * one source: built with UPGRADED it is the next one, which divides by another number, has an
 * option more and a column more. For tests of what becomes of rows when a plugin is upgraded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "sluice/sluice.h"

#ifdef UPGRADED
#define VERSION "2.0.0"
#else
#define VERSION "1.0.0"
#endif

enum { FIT, REST, OUTPUTS };

static const sl_field fields[] = {
    {"id", "l", 0},
#ifdef UPGRADED
    {"judged_by", "u", 1},
#endif
};
enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

struct config {
    int64_t step;
};

struct sl_node {
    const sl_services *services;
    int64_t step;
};

struct sl_task {
    const sl_services *services;
    sl_object *self;
    int64_t step;
    sl_rows *rows[OUTPUTS];
};

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return sl_error_no_memory();
    }
    (*out)->services = context->services;
#ifdef UPGRADED
    (*out)->step = ((const struct config *)context->config)->step;
#else
    (*out)->step = 2;
#endif
    return NULL;
}

static sl_error *node_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)node;
    (void)output;
    return sl_rows_schema(fields, FIELDS, out) ? NULL : sl_error_no_memory();
}

static void node_close(sl_node *node) {
    free(node);
}

static void task_close(sl_task *task) {
    for (int output = 0; output < OUTPUTS; output++) {
        sl_rows_free(task->rows[output]);
    }
    free(task);
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    bool good = task != NULL;
    for (int output = 0; output < OUTPUTS && good; output++) {
        task->rows[output] = sl_rows_new(fields, FIELDS);
        good = task->rows[output] != NULL;
    }
    if (!good) {
        if (task != NULL) {
            task_close(task);
        }
        return sl_error_no_memory();
    }
    task->services = context->services;
    task->self = context->self;
    task->step = node->step;
    *out = task;
    return NULL;
}

static bool read_id(sl_column value, int64_t row, int64_t *id) {
    char text[64];
    size_t bytes = 0;
    long long number = 0;
    const char *json = sl_column_text(value, row, &bytes);
    (void)snprintf(text, sizeof(text), "%.*s", (int)bytes, json);
    bool good = sscanf(text, "{\"id\": %lld}", &number) == 1;
    *id = number;
    return good;
}

static sl_error *emit(sl_task *task, uint32_t output, const sl_batch *batch) {
    struct ArrowArray columns;
    if (task->rows[output]->rows == 0) {
        return NULL;
    }
    if (!sl_rows_finish(task->rows[output], &columns)) {
        return sl_error_no_memory();
    }
    sl_emission emission = {.struct_bytes = sizeof(emission),
                            .stream = batch->stream,
                            .first_offset = batch->first_offset,
                            .next_offset = batch->next_offset,
                            .max_event_time_us = SL_EVENT_TIME_NONE,
                            .columns = &columns};
    return task->services->emit(task->self, output, &emission);
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    sl_column value = sl_column_of(batch, "value");
    for (int64_t row = 0; row < batch->rows; row++) {
        int64_t id = 0;
        if (!read_id(value, row, &id)) {
            return sl_error_new(SL_ERROR_FATAL, "a record has no id");
        }
        sl_rows *rows = task->rows[id % task->step == 0 ? FIT : REST];
        sl_rows_i64(rows, 0, id);
#ifdef UPGRADED
        sl_rows_text(rows, 1, VERSION, strlen(VERSION));
#endif
        sl_rows_end(rows);
    }
    sl_error *error = emit(task, FIT, batch);
    return error != NULL ? error : emit(task, REST, batch);
}

static const sl_node_ops node_ops = {.struct_bytes = sizeof(sl_node_ops),
                                     .open = node_open,
                                     .output_schema = node_schema,
                                     .close = node_close};
static const sl_task_ops task_ops = {.struct_bytes = sizeof(sl_task_ops),
                                     .open = task_open,
                                     .process = task_process,
                                     .close = task_close};

static const sl_option options[] = {
#ifdef UPGRADED
    {.name = "step",
     .type = SL_OPTION_INTEGER,
     .flags = SL_OPTION_RANGE,
     .offset = offsetof(struct config, step),
     .default_text = "3",
     .min = 1,
     .max = 1e9,
     .doc = "multiples of it are fit"},
#endif
    {.name = NULL},
};

static const char *const outputs[] = {"", "rest", NULL};

static const sl_role transform = {.struct_bytes = sizeof(sl_role),
                                  .guarantee = SL_EXACTLY_ONCE,
                                  .option_bytes = sizeof(sl_option),
                                  .options = options,
                                  .config_bytes = sizeof(struct config),
                                  .outputs = outputs,
                                  .min_inputs = 1,
                                  .max_inputs = 1,
                                  .node = &node_ops,
                                  .task = &task_ops};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,   .name = "sieve",
    .version = VERSION, .summary = "multiples to one output, the rest to the other",
    .licence = "MIT",   .transform = &transform};
