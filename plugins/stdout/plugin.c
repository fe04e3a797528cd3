/*
 * stdout: a sink that prints rows as lines of JSON, for trying things out. Lines are gathered on
 * the lanes and printed at each commit, off the loops, so that a slow terminal holds nothing up.
 */
#include "sluice/plugin.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"
#include "columns/lines.h"

struct stdout_config {
    int64_t limit;
    int32_t raw; /* sl_lines_raw */
};

struct sl_node {
    const sl_services *services;
    const struct stdout_config *config;
    sl_object *self;
    _Atomic int64_t left; /* rows that may still be printed */
};

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    sl_buffer lines;
    sl_metric *printed;
};

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    node->services = context->services;
    node->self = context->self;
    node->config = context->config;
    atomic_store(&node->left, node->config->limit == 0 ? INT64_MAX : node->config->limit);
    *out = node;
    return NULL;
}

/* ---- printing, on a pool thread ---- */

struct printing {
    sl_node *node;
    sl_request *request;
    const sl_commit *commit;
    sl_error *error;
};

static sl_error *print(sl_buffer *lines) {
    size_t written = 0;
    while (written < lines->bytes) {
        ssize_t n = write(STDOUT_FILENO, lines->data + written, lines->bytes - written);
        if (n < 0 && errno == EAGAIN) { /* whoever reads it has made it non-blocking, for us too */
            struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
            (void)poll(&out, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            int code = errno;
            lines->bytes = 0;
            return sl_error_new(SL_ERROR_FATAL, "cannot write to standard output: %s",
                                strerror(code));
        }
        written += n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

static void print_run(void *arg) {
    struct printing *printing = arg;
    for (size_t i = 0; i < printing->commit->n_pieces && printing->error == NULL; i++) {
        printing->error = print(printing->commit->pieces[i]);
    }
}

static void free_piece(sl_buffer *piece) {
    sl_buffer_free(piece);
    free(piece);
}

static void print_done(void *arg) {
    struct printing *printing = arg;
    sl_node *node = printing->node;
    sl_request *request = printing->request;
    sl_error *error = printing->error;
    for (size_t i = 0; error == NULL && i < printing->commit->n_pieces; i++) {
        free_piece(printing->commit->pieces[i]);
    }
    free(printing);
    node->services->done(request, error);
}

static void node_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    struct printing *printing = calloc(1, sizeof(*printing));
    sl_error *error = printing == NULL ? sl_error_no_memory() : NULL;
    if (error == NULL) {
        *printing = (struct printing){.node = node, .request = request, .commit = commit};
        error = node->services->work(node->self, print_run, print_done, printing);
    }
    if (error != NULL) {
        free(printing);
        node->services->done(request, error);
    }
}

static void node_drop_piece(sl_node *node, void *piece) {
    (void)node;
    free_piece(piece);
}

static void node_close(sl_node *node) {
    free(node);
}

static const sl_node_ops NODE = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .commit = node_commit,
    .drop_piece = node_drop_piece,
    .close = node_close,
};

/* ---- task ---- */

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    task->node = node;
    task->services = context->services;
    task->self = context->self;
    task->printed = task->services->metric(task->self, SL_METRIC_COUNTER, "rows_printed_total",
                                           "rows printed to standard output");
    *out = task;
    return NULL;
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    if (batch->rows == 0 || atomic_load(&task->node->left) <= 0) {
        return NULL;
    }
    int64_t left = atomic_fetch_sub(&task->node->left, batch->rows);
    int64_t rows = left < 0 ? 0 : left < batch->rows ? left : batch->rows;
    if (!sl_lines_append(batch->schema, batch->columns, 0, rows,
                         (sl_lines_raw)task->node->config->raw, &task->lines)) {
        return sl_error_no_memory();
    }
    task->services->metric_add(task->printed, rows);
    task->services->hold(task->self, task->lines.bytes);
    return NULL;
}

static void task_flush(sl_task *task, void **piece, sl_request *request) {
    *piece = NULL;
    if (task->lines.bytes > 0) {
        sl_buffer *handed = malloc(sizeof(*handed));
        if (handed == NULL) {
            task->services->done(request, sl_error_no_memory());
            return;
        }
        *handed = task->lines;
        task->lines = (sl_buffer)SL_BUFFER_INIT;
        *piece = handed;
        task->services->hold(task->self, 0);
    }
    task->services->done(request, NULL);
}

static void task_close(sl_task *task) {
    sl_buffer_free(&task->lines);
    free(task);
}

static const sl_task_ops TASK = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .process = task_process,
    .flush = task_flush,
    .close = task_close,
};

/* ---- descriptor ---- */

static const char *const RAW[] = {"value", "record", NULL};

static const sl_option OPTIONS[] = {
    {.name = "limit",
     .type = SL_OPTION_INTEGER,
     .offset = offsetof(struct stdout_config, limit),
     .default_text = "0",
     .flags = SL_OPTION_RANGE,
     .min = 0,
     .max = 1e15,
     .unit = "rows",
     .doc = "rows that are printed in all, the others are taken silently; 0: every one"},
    {.name = "raw",
     .type = SL_OPTION_ENUM,
     .offset = offsetof(struct stdout_config, raw),
     .default_text = "value",
     .enum_names = RAW,
     .doc = "of raw records print the value as it is, or the whole record as an object"},
    {.name = NULL},
};

static const sl_role SINK = {
    .struct_bytes = sizeof(sl_role),
    .flags = SL_ROLE_TAKES_ALL,
    .guarantee = SL_AT_LEAST_ONCE,
    .option_bytes = sizeof(sl_option),
    .options = OPTIONS,
    .config_bytes = sizeof(struct stdout_config),
    .min_inputs = 1,
    .max_inputs = 64,
    .node = &NODE,
    .task = &TASK,
};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,      .name = "stdout",
    .version = SL_VERSION, .summary = "prints rows as lines of JSON",
    .licence = "MIT",      .sink = &SINK,
};
