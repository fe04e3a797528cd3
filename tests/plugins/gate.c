/*
 * gate: a sink that stands still while a file exists, then appends its rows to another as lines of
 * JSON. Rows of open windows are left out. For tests of backpressure with the real program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "columns/lines.h"
#include "sluice/plugin.h"

struct gate_config {
    const char *path;
    const char *gate;
};

struct sl_node {
    const sl_services *services;
    const struct gate_config *config;
};

struct sl_task {
    const sl_services *services;
    sl_object *self;
    sl_buffer lines;
};

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    node->services = context->services;
    node->config = context->config;
    *out = node;
    return NULL;
}

static void free_piece(sl_node *node, void *piece) {
    (void)node;
    sl_buffer_free(piece);
    free(piece);
}

/* On the node's own thread. */
static void node_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    const struct timespec pause = {.tv_nsec = 10000000};
    while (access(node->config->gate, F_OK) == 0) {
        (void)nanosleep(&pause, NULL);
    }
    FILE *file = fopen(node->config->path, "a");
    bool written = file != NULL;
    for (size_t i = 0; i < commit->n_pieces && written; i++) {
        const sl_buffer *lines = commit->pieces[i];
        written = fwrite(lines->data, 1, lines->bytes, file) == lines->bytes;
    }
    written = file != NULL && fclose(file) == 0 && written;
    for (size_t i = 0; i < commit->n_pieces && written; i++) {
        free_piece(node, commit->pieces[i]);
    }
    node->services->done(request,
                         written ? NULL : sl_error_new(SL_ERROR_FATAL, "cannot write the rows"));
}

static void node_close(sl_node *node) {
    free(node);
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    task->services = node->services;
    task->self = context->self;
    *out = task;
    return NULL;
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    if ((batch->flags & SL_BATCH_UPDATES) == 0 &&
        !sl_lines_append(batch->schema, batch->columns, 0, batch->rows, SL_LINES_RECORD,
                         &task->lines)) {
        return sl_error_no_memory();
    }
    task->services->hold(task->self, task->lines.bytes);
    return NULL;
}

static void task_flush(sl_task *task, void **piece, sl_request *request) {
    sl_buffer *handed = malloc(sizeof(*handed));
    if (handed == NULL) {
        task->services->done(request, sl_error_no_memory());
        return;
    }
    *handed = task->lines;
    task->lines = (sl_buffer)SL_BUFFER_INIT;
    *piece = handed;
    task->services->hold(task->self, 0);
    task->services->done(request, NULL);
}

static void task_close(sl_task *task) {
    sl_buffer_free(&task->lines);
    free(task);
}

static const sl_node_ops node_ops = {.struct_bytes = sizeof(sl_node_ops),
                                     .open = node_open,
                                     .commit = node_commit,
                                     .drop_piece = free_piece,
                                     .close = node_close};
static const sl_task_ops task_ops = {.struct_bytes = sizeof(sl_task_ops),
                                     .open = task_open,
                                     .process = task_process,
                                     .flush = task_flush,
                                     .close = task_close};

static const sl_option options[] = {
    {.name = "path",
     .type = SL_OPTION_STRING,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct gate_config, path),
     .doc = "file that rows are appended to"},
    {.name = "gate",
     .type = SL_OPTION_STRING,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct gate_config, gate),
     .doc = "while this file exists nothing is committed"},
    {.name = NULL},
};

static const sl_role sink = {.struct_bytes = sizeof(sl_role),
                             .flags = SL_ROLE_BLOCKING,
                             .guarantee = SL_AT_LEAST_ONCE,
                             .option_bytes = sizeof(sl_option),
                             .options = options,
                             .config_bytes = sizeof(struct gate_config),
                             .min_inputs = 1,
                             .max_inputs = 1,
                             .node = &node_ops,
                             .task = &task_ops};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,   .name = "gate",
    .version = "1.0.0", .summary = "stands still while a file exists",
    .licence = "MIT",   .sink = &sink};
