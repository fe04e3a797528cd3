/*
 * The file sink: lanes make lines, the node appends them at each commit on a pool thread, all lanes
 * in one step.
 */
#include "appender.h"
#include "file.h"

#include <stdlib.h>

#include "columns/lines.h"

struct sl_node {
    const sl_services *services;
    sl_object *self;
    const struct file_sink_config *config;
    struct appender appender; /* of the commit under way, one at a time */
};

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    sl_buffer lines;
};

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    const struct file_sink_config *config = context->config;
    size_t bytes = strlen(config->path);
    if (bytes == 0 || config->path[bytes - 1] == '/') {
        return sl_error_new(SL_ERROR_CONFIG, "path is \"%s\", a folder; it must name a file",
                            config->path);
    }
    sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    node->services = context->services;
    node->self = context->self;
    node->config = config;
    node->appender = (struct appender){.path = config->path,
                                       .rotate_bytes = config->rotate_bytes,
                                       .rotate_us = config->rotate_us,
                                       .fd = -1};
    *out = node;
    return NULL;
}

struct appending {
    sl_node *node;
    sl_request *request;
    const sl_commit *commit;
    int64_t now_us;
    sl_error *error;
};

static void free_piece(sl_buffer *piece) {
    sl_buffer_free(piece);
    free(piece);
}

static void append_run(void *arg) {
    struct appending *appending = arg;
    appending->error =
        appender_append(&appending->node->appender, (sl_buffer *const *)appending->commit->pieces,
                        appending->commit->n_pieces, appending->now_us);
}

static void append_done(void *arg) {
    struct appending *appending = arg;
    const sl_services *services = appending->node->services;
    sl_request *request = appending->request;
    sl_error *error = appending->error;
    for (size_t i = 0; error == NULL && i < appending->commit->n_pieces; i++) {
        free_piece(appending->commit->pieces[i]);
    }
    free(appending);
    services->done(request, error);
}

static void node_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    if (commit->n_pieces == 0) {
        node->services->done(request, NULL);
        return;
    }
    struct appending *appending = calloc(1, sizeof(*appending));
    sl_error *error = appending == NULL ? sl_error_no_memory() : NULL;
    if (error == NULL) {
        *appending = (struct appending){.node = node,
                                        .request = request,
                                        .commit = commit,
                                        .now_us = node->services->now_us(node->self)};
        error = node->services->work(node->self, append_run, append_done, appending);
    }
    if (error != NULL) {
        free(appending);
        node->services->done(request, error);
    }
}

static void node_drop_piece(sl_node *node, void *piece) {
    (void)node;
    free_piece(piece);
}

static void node_close(sl_node *node) {
    appender_close(&node->appender);
    free(node);
}

const sl_node_ops file_sink_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .commit = node_commit,
    .drop_piece = node_drop_piece,
    .close = node_close,
};

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    task->node = node;
    task->services = context->services;
    task->self = context->self;
    *out = task;
    return NULL;
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    if (batch->rows > 0 && !sl_lines_append(batch->schema, batch->columns, 0, batch->rows,
                                            (sl_lines_raw)task->node->config->raw, &task->lines)) {
        return sl_error_no_memory();
    }
    task->services->hold(task->self, task->lines.bytes);
    return NULL;
}

static void task_flush(sl_task *task, void **piece, sl_request *request) {
    sl_error *error = NULL;
    *piece = NULL;
    if (task->lines.bytes > 0) {
        sl_buffer *handed = malloc(sizeof(*handed));
        if (handed == NULL) {
            error = sl_error_no_memory();
        } else {
            *handed = task->lines;
            task->lines = (sl_buffer)SL_BUFFER_INIT;
            *piece = handed;
            task->services->hold(task->self, 0);
        }
    }
    task->services->done(request, error);
}

static void task_close(sl_task *task) {
    sl_buffer_free(&task->lines);
    free(task);
}

const sl_task_ops file_sink_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .process = task_process,
    .flush = task_flush,
    .close = task_close,
};
