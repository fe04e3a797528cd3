/*
 * moody: fails at one of its calls (moody.h); for tests of what the real program does then. As a
 * transform it passes the offsets of its input on; as a sink it appends
 * them to a file, with its positions behind them, in one write.
 */
#include "moody.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "columns/columns.h"
#include "sluice/sluice.h"

struct config {
    const char *path;
    struct mood mood;
};

struct sl_node {
    const struct config *config;
    const sl_services *services;
    bool is_transform;
};

struct sl_task {
    sl_node *node;
    sl_object *self;
    sl_buffer lines; /* of a sink */
    sl_rows *rows;   /* of a transform */
};

static const sl_field fields[] = {{"partition", "l", 0}, {"offset", "l", 0}};

static sl_error *fails_at(sl_node *node, int32_t moment) {
    return mood_strikes(&node->config->mood, moment) ? mood_error(&node->config->mood) : NULL;
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    const struct config *config = context->config;
    bool for_good = (context->flags & SL_RUN_VALIDATE_ONLY) == 0;
    if (for_good && mood_strikes(&config->mood, OPEN)) {
        return mood_error(&config->mood);
    }
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return sl_error_no_memory();
    }
    (*out)->config = config;
    (*out)->services = context->services;
    return NULL;
}

static sl_error *node_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)output;
    node->is_transform = true;
    sl_rows_schema(fields, 2, out);
    return NULL;
}

static void node_start(sl_node *node, sl_request *request) {
    node->services->done(request, fails_at(node, START));
}

/* The last place that the file has for `key`. */
static int64_t stored(const char *path, const char *key) {
    FILE *file = fopen(path, "r");
    char line[1024], name[900];
    int64_t place = SL_OFFSET_NONE;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        long long at;
        if (sscanf(line, "at %lld %899s", &at, name) == 2 && strcmp(name, key) == 0) {
            place = at;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return place;
}

static void node_recover(sl_node *node, sl_position *positions, size_t n, sl_request *request) {
    for (size_t i = 0; i < n; i++) {
        positions[i].from = stored(node->config->path, positions[i].key);
    }
    node->services->done(request, fails_at(node, RECOVER));
}

static void node_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                        void **handle, sl_request *request) {
    (void)stream;
    (void)offset;
    (void)position;
    (void)handle;
    node->services->done(request, fails_at(node, RESUME));
}

static void drop_piece(sl_node *node, void *piece) {
    (void)node;
    sl_buffer_free(piece);
    free(piece);
}

static sl_error *append(const char *path, const sl_buffer *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    bool written = fd >= 0 && write(fd, text->data, text->bytes) == (ssize_t)text->bytes;
    written = fd >= 0 && close(fd) == 0 && written;
    return written ? NULL : sl_error_new(SL_ERROR_FATAL, "cannot append to %s", path);
}

static sl_error *commit(sl_node *node, const sl_commit *commit) {
    sl_buffer text = SL_BUFFER_INIT;
    for (size_t i = 0; i < commit->n_positions; i++) {
        if (stored(node->config->path, commit->positions[i].key) != commit->positions[i].from) {
            return sl_error_new(SL_ERROR_CONFLICT, "a position has moved");
        }
    }
    for (size_t i = 0; i < commit->n_pieces; i++) {
        const sl_buffer *lines = commit->pieces[i];
        (void)sl_buffer_append(&text, lines->data, lines->bytes);
    }
    for (size_t i = 0; i < commit->n_positions; i++) {
        (void)sl_buffer_printf(&text, "at %lld %s\n", (long long)commit->positions[i].to,
                               commit->positions[i].key);
    }
    sl_error *error = text.failed ? sl_error_no_memory() : append(node->config->path, &text);
    sl_buffer_free(&text);
    return error;
}

/* AFTER: it has acted all the same. */
static void node_commit(sl_node *node, const sl_commit *what, sl_request *request) {
    sl_error *error = fails_at(node, COMMIT);
    error = error != NULL ? error : commit(node, what);
    error = error != NULL ? error : fails_at(node, AFTER);
    for (size_t i = 0; i < what->n_pieces && error == NULL; i++) {
        drop_piece(node, what->pieces[i]);
    }
    node->services->done(request, error);
}

static void node_close(sl_node *node) {
    sl_error_free(fails_at(node, CLOSE));
    free(node);
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_error *error = fails_at(node, TASK);
    if (error != NULL) {
        return error;
    }
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return sl_error_no_memory();
    }
    **out = (sl_task){.node = node, .self = context->self, .rows = sl_rows_new(fields, 2)};
    if ((*out)->rows == NULL) {
        free(*out);
        return sl_error_no_memory();
    }
    return NULL;
}

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    (void)stream;
    (void)how;
    return fails_at(task->node, ATTACH);
}

/* Rows that were not flushed are forgotten. */
static void task_detach(sl_task *task, const sl_stream *stream) {
    char prefix[32];
    size_t prefix_bytes =
        (size_t)snprintf(prefix, sizeof(prefix), "row %d ", (int)stream->partition);
    sl_buffer kept = SL_BUFFER_INIT;
    const char *line = (const char *)task->lines.data;
    const char *end = line == NULL ? NULL : line + task->lines.bytes;
    while (line != end) {
        size_t bytes = (size_t)((const char *)memchr(line, '\n', (size_t)(end - line)) - line) + 1;
        if (strncmp(line, prefix, prefix_bytes) != 0) {
            (void)sl_buffer_append(&kept, line, bytes);
        }
        line += bytes;
    }
    sl_buffer_free(&task->lines);
    task->lines = kept;
}

static sl_error *emit(sl_task *task, const sl_batch *batch) {
    sl_column offset = sl_column_of(batch, "offset");
    for (int64_t row = 0; row < batch->rows; row++) {
        sl_rows_i64(task->rows, 0, batch->stream->partition);
        sl_rows_i64(task->rows, 1, sl_column_i64(offset, row));
        sl_rows_end(task->rows);
    }
    struct ArrowArray columns;
    if (!sl_rows_finish(task->rows, &columns)) {
        return sl_error_no_memory();
    }
    sl_emission emission = {.struct_bytes = sizeof(emission),
                            .stream = batch->stream,
                            .first_offset = batch->first_offset,
                            .next_offset = batch->next_offset,
                            .max_event_time_us = SL_EVENT_TIME_NONE,
                            .columns = &columns};
    return task->node->services->emit(task->self, 0, &emission);
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    sl_error *error = fails_at(task->node, PROCESS);
    if (error != NULL || task->node->is_transform) {
        return error != NULL ? error : emit(task, batch);
    }
    sl_column offset = sl_column_of(batch, "offset");
    for (int64_t row = 0; row < batch->rows; row++) {
        (void)sl_buffer_printf(&task->lines, "row %d %lld\n", (int)batch->stream->partition,
                               (long long)sl_column_i64(offset, row));
    }
    return task->lines.failed ? sl_error_no_memory() : NULL;
}

static void task_flush(sl_task *task, void **piece, sl_request *request) {
    const sl_services *services = task->node->services;
    sl_error *error = fails_at(task->node, FLUSH);
    sl_buffer *handed = error == NULL ? malloc(sizeof(*handed)) : NULL;
    if (handed == NULL) {
        services->done(request, error != NULL ? error : sl_error_no_memory());
        return;
    }
    *handed = task->lines;
    task->lines = (sl_buffer)SL_BUFFER_INIT;
    *piece = handed;
    services->done(request, NULL);
}

static void task_close(sl_task *task) {
    sl_buffer_free(&task->lines);
    sl_rows_free(task->rows);
    free(task);
}

static const sl_node_ops transform_node = {.struct_bytes = sizeof(sl_node_ops),
                                           .open = node_open,
                                           .output_schema = node_schema,
                                           .start = node_start,
                                           .close = node_close};
static const sl_node_ops sink_node = {.struct_bytes = sizeof(sl_node_ops),
                                      .open = node_open,
                                      .start = node_start,
                                      .recover = node_recover,
                                      .resume = node_resume,
                                      .commit = node_commit,
                                      .drop_piece = drop_piece,
                                      .close = node_close};
static const sl_task_ops transform_task = {.struct_bytes = sizeof(sl_task_ops),
                                           .open = task_open,
                                           .attach = task_attach,
                                           .process = task_process,
                                           .close = task_close};
static const sl_task_ops sink_task = {.struct_bytes = sizeof(sl_task_ops),
                                      .open = task_open,
                                      .attach = task_attach,
                                      .detach = task_detach,
                                      .process = task_process,
                                      .flush = task_flush,
                                      .close = task_close};

static const sl_option options[] = {
    {.name = "path",
     .type = SL_OPTION_PATH,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct config, path),
     .doc = "file that a sink appends to"},
    MOOD_OPTIONS(struct config),
    {.name = NULL},
};

#define ROLE(node_ops, task_ops)                                                                   \
    .struct_bytes = sizeof(sl_role), .option_bytes = sizeof(sl_option), .options = options,        \
    .config_bytes = sizeof(struct config), .min_inputs = 1, .max_inputs = 1, .node = &(node_ops),  \
    .task = &(task_ops), .guarantee = SL_EXACTLY_ONCE
static const sl_role transform = {ROLE(transform_node, transform_task)};
static const sl_role sink = {ROLE(sink_node, sink_task),
                             .flags = SL_ROLE_DURABLE | SL_ROLE_BLOCKING};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER, .name = "moody",         .version = "1.0.0", .summary = "fails as it is told",
    .licence = "MIT", .transform = &transform, .sink = &sink};
