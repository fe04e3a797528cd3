/*
 * The task: rows of each stream go into the open files of its partitions; a flush closes them all.
 * A stream that is read again after a crash first passes through the recorded ranges: rows of
 * stored ones are skipped, missing ones are made again with exactly their rows.
 */
#include "gate.h"
#include "plain.h"

#include <stdlib.h>
#include <string.h>

/* A stream on one input. */
struct plain_stream {
    uint32_t index;
    uint32_t input;
    const sl_stream *pub;
    int64_t start;               /* where the range of the open files begins */
    int64_t next;                /* rows below are taken */
    struct plain_replay *replay; /* NULL: nothing left */
    size_t span;                 /* the next of its spans */
    struct plain_file **open;
    size_t n_open;
};

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    struct sink_gate gate;
    struct plain_maker maker;
    struct plain_stream **streams;
    size_t n_streams;
    struct plain_piece *piece; /* closed since the last flush; NULL: nothing */
};

/* ---- pieces ---- */

static void range_clear(struct plain_range *range) {
    for (size_t i = 0; i < range->n_files; i++) {
        plain_file_free(range->files[i]);
        free(range->paths[i]);
    }
    free(range->files);
    free(range->paths);
}

void plain_piece_free(struct plain_piece *piece) {
    if (piece == NULL) {
        return;
    }
    for (size_t i = 0; i < piece->n; i++) {
        range_clear(&piece->ranges[i]);
    }
    free(piece->ranges);
    free(piece);
}

static struct plain_range *new_range(sl_task *task) {
    if (task->piece == NULL) {
        task->piece = calloc(1, sizeof(*task->piece));
        if (task->piece == NULL) {
            return NULL;
        }
    }
    struct plain_piece *piece = task->piece;
    struct plain_range *grown = realloc(piece->ranges, (piece->n + 1) * sizeof(*grown));
    if (grown == NULL) {
        return NULL;
    }
    piece->ranges = grown;
    return &grown[piece->n];
}

/* Ends the open files: they become a range of the piece. */
static sl_error *close_range(sl_task *task, struct plain_stream *stream, const sl_stream *pub,
                             int64_t first, int64_t next) {
    size_t n = stream->n_open;
    sl_error *error = NULL;
    if (n == 0) {
        return NULL;
    }
    struct plain_range *range = new_range(task);
    char **paths = calloc(n, sizeof(*paths));
    if (range == NULL || paths == NULL) {
        free(paths);
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < n && error == NULL; i++) {
        error = plain_file_finish(&task->maker, stream->open[i]);
        if (error == NULL) {
            paths[i] = plain_file_path(task->node, pub, stream->open[i], first, next);
            error = paths[i] == NULL ? sl_error_no_memory() : NULL;
        }
    }
    *range =
        (struct plain_range){stream->index, stream->input, first, next, stream->open, paths, n};
    task->piece->n++;
    stream->open = NULL;
    stream->n_open = 0;
    return error;
}

/* ---- streams ---- */

static void drop_open(struct plain_stream *stream) {
    for (size_t i = 0; i < stream->n_open; i++) {
        plain_file_free(stream->open[i]);
    }
    free(stream->open);
    stream->open = NULL;
    stream->n_open = 0;
}

static void drop_replay(struct plain_stream *stream) {
    if (stream->replay != NULL) {
        plain_replay_free(stream->replay);
        stream->replay = NULL;
    }
}

static void stream_free(struct plain_stream *stream) {
    drop_open(stream);
    drop_replay(stream);
    free(stream);
}

static struct plain_stream *find(const sl_task *task, uint32_t index, uint32_t input) {
    for (size_t i = 0; i < task->n_streams; i++) {
        if (task->streams[i]->index == index && task->streams[i]->input == input) {
            return task->streams[i];
        }
    }
    return NULL;
}

static void tell_memory(const sl_task *task) {
    size_t bytes = 0;
    for (size_t i = 0; i < task->n_streams; i++) {
        for (size_t k = 0; k < task->streams[i]->n_open; k++) {
            bytes += plain_file_memory(task->streams[i]->open[k]);
        }
    }
    for (size_t i = 0; task->piece != NULL && i < task->piece->n; i++) {
        for (size_t k = 0; k < task->piece->ranges[i].n_files; k++) {
            bytes += plain_file_memory(task->piece->ranges[i].files[k]);
        }
    }
    task->services->hold(task->self, bytes);
}

/* Takes the replay of this input out of what the node handed over. */
static struct plain_replay *own_replay(struct plain_replay **replays, uint32_t input) {
    struct plain_replay *own = NULL;
    size_t kept = 0;
    for (size_t i = 0; replays != NULL && replays[i] != NULL; i++) {
        if (replays[i]->input == input && own == NULL) {
            own = replays[i];
        } else {
            replays[kept++] = replays[i];
        }
    }
    if (replays != NULL) {
        replays[kept] = NULL;
    }
    return own;
}

static sl_error *task_attach(sl_task *task, const sl_stream *pub, const sl_attach *how) {
    struct plain_replay *replay = own_replay(how->handle, how->input);
    plain_replays_free(how->handle);
    sl_error *error = sl_replayed_attach(&task->gate.replayed, pub, how->input, how->position);
    struct plain_stream **grown = realloc(task->streams, (task->n_streams + 1) * sizeof(*grown));
    if (grown != NULL) {
        task->streams = grown;
    }
    struct plain_stream *stream = grown == NULL ? NULL : calloc(1, sizeof(*stream));
    if (error != NULL || stream == NULL) {
        if (replay != NULL) {
            plain_replay_free(replay);
        }
        free(stream);
        return error ? error : sl_error_no_memory();
    }
    stream->index = pub->index;
    stream->pub = pub;
    stream->input = how->input;
    stream->start = how->position > how->offset ? how->position : how->offset;
    stream->next = stream->start;
    stream->replay = replay;
    task->streams[task->n_streams++] = stream;
    return NULL;
}

static void task_detach(sl_task *task, const sl_stream *pub) {
    sl_replayed_detach(&task->gate.replayed, pub);
    size_t kept = 0;
    for (size_t i = 0; i < task->n_streams; i++) {
        if (task->streams[i]->index == pub->index) {
            stream_free(task->streams[i]);
        } else {
            task->streams[kept++] = task->streams[i];
        }
    }
    task->n_streams = kept;
    for (size_t i = 0; task->piece != NULL && i < task->piece->n;) {
        if (task->piece->ranges[i].stream != pub->index) {
            i++;
            continue;
        }
        range_clear(&task->piece->ranges[i]);
        memmove(&task->piece->ranges[i], &task->piece->ranges[i + 1],
                (task->piece->n - i - 1) * sizeof(*task->piece->ranges));
        task->piece->n--;
    }
    tell_memory(task);
}

/* ---- rows ---- */

static sl_error *open_file(sl_task *task, struct plain_stream *stream, int32_t day, int32_t hour,
                           struct plain_file **out) {
    for (size_t i = stream->n_open; i-- > 0;) {
        if (stream->open[i]->day == day && stream->open[i]->hour == hour) {
            *out = stream->open[i];
            return NULL;
        }
    }
    struct plain_file **grown = realloc(stream->open, (stream->n_open + 1) * sizeof(*grown));
    if (grown == NULL) {
        return sl_error_no_memory();
    }
    stream->open = grown;
    sl_error *error = plain_file_new(&task->maker, out);
    if (error == NULL) {
        (*out)->day = day;
        (*out)->hour = hour;
        grown[stream->n_open++] = *out;
    }
    return error;
}

/* Rows [first, end) by partition; rows of one partition mostly come together. */
static sl_error *append_rows(sl_task *task, struct plain_stream *stream,
                             const struct ArrowArray *columns, int64_t first, int64_t end) {
    size_t n = task->node->n_partition_columns;
    struct ArrowArray *const *last = columns->children + columns->n_children;
    const int32_t *days = n > 0 ? last[-(ptrdiff_t)n]->buffers[1] : NULL;
    const int32_t *hours = n > 1 ? last[-1]->buffers[1] : NULL;
    sl_error *error = NULL;
    while (first < end && error == NULL) {
        int64_t run = first + 1;
        int32_t day = days == NULL ? 0 : days[first];
        int32_t hour = hours == NULL ? 0 : hours[first];
        while (run < end && (days == NULL || days[run] == day) &&
               (hours == NULL || hours[run] == hour)) {
            run++;
        }
        struct plain_file *file = NULL;
        error = open_file(task, stream, day, hour, &file);
        if (error == NULL) {
            error = plain_file_append(&task->maker, file, columns, first, run - first);
        }
        first = run;
    }
    return error;
}

static const int64_t *offsets_of(const sl_batch *batch) {
    return batch->rows == 0 ? NULL : batch->columns->children[PLAIN_OFFSET]->buffers[1];
}

/* The first row at or after `from` whose offset is not below `offset`. */
static int64_t row_of(const sl_batch *batch, int64_t from, int64_t offset) {
    const int64_t *offsets = offsets_of(batch);
    int64_t low = from;
    int64_t high = batch->rows;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (offsets[middle] < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Passes through the recorded ranges; *row is the first row behind them. */
static sl_error *replay(sl_task *task, struct plain_stream *stream, const sl_batch *batch,
                        int64_t *row) {
    sl_error *error = NULL;
    while (stream->replay != NULL && error == NULL) {
        const struct plain_span *span = &stream->replay->spans[stream->span];
        int64_t end = row_of(batch, *row, span->next);
        if (span->missing) {
            error = append_rows(task, stream, batch->columns, *row, end);
        }
        *row = end;
        if (error != NULL || batch->next_offset < span->next) {
            return error;
        }
        error = close_range(task, stream, batch->stream, span->first, span->next);
        stream->start = span->next;
        if (++stream->span == stream->replay->n) {
            drop_replay(stream);
        }
    }
    return error;
}

/* Where what was taken ends: behind the last record, whatever offsets without one follow it. They
 * may come by themselves when the range is made again, and sinks are not told of them. */
static int64_t end_of(const struct plain_stream *stream, const sl_batch *batch) {
    int64_t end = batch->rows == 0 ? 0 : offsets_of(batch)[batch->rows - 1] + 1;
    end = end > stream->start ? end : stream->start;
    return end > stream->next ? end : stream->next;
}

/* The rows that passed go into files. */
static sl_error *take(sl_task *task, struct plain_stream *stream, const sl_batch *batch) {
    int64_t row = 0;
    sl_error *error = replay(task, stream, batch, &row);
    if (error == NULL && row < batch->rows) {
        error = append_rows(task, stream, batch->columns, row, batch->rows);
    }
    stream->next = end_of(stream, batch);
    tell_memory(task);
    return error;
}

sl_error *plain_process(sl_task *task, uint32_t input, const sl_batch *batch,
                        const sl_batch *came) {
    struct plain_stream *stream = find(task, batch->stream->index, input);
    if (stream == NULL) {
        return sl_error_new(SL_ERROR_FATAL, "rows of a stream that is not attached");
    }
    const struct sink_look look = {
        .rules = {.schema = task->node->schema,
                  .partition_columns = bronze_partition_columns(task->node->config->partition_by),
                  .n_partition_columns = task->node->n_partition_columns},
        .delete_column = -1,
        .rows = batch->columns,
    };
    struct sink_passed passed;
    sl_error *error = sink_gate_pass(&task->gate, input, came, &look, &passed);
    if (error != NULL || passed.rows == NULL) {
        return error;
    }
    sl_batch rest = *batch;
    rest.columns = passed.rows;
    rest.rows = passed.rows->length;
    error = take(task, stream, &rest);
    sink_passed_free(&passed);
    return error;
}

/* ---- flush and life ---- */

static void task_flush(sl_task *task, void **piece, sl_request *request) {
    sl_error *error = NULL;
    for (size_t i = 0; i < task->n_streams && error == NULL; i++) {
        struct plain_stream *stream = task->streams[i];
        if (stream->replay != NULL) {
            continue; /* a range is made again whole or not at all */
        }
        error = close_range(task, stream, stream->pub, stream->start, stream->next);
        stream->start = stream->next;
    }
    if (error == NULL) {
        *piece = task->piece;
        task->piece = NULL;
    }
    tell_memory(task);
    task->services->done(request, error);
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    struct sl_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    task->node = node;
    task->services = task->gate.services = context->services;
    task->self = task->gate.self = context->self;
    sl_error *error = sl_replayed_open(&task->gate.replayed, node->n_inputs);
    error = error ? error : plain_maker_init(&task->maker, node);
    if (error != NULL) {
        sl_replayed_close(&task->gate.replayed);
        free(task);
        return error;
    }
    *out = task;
    return NULL;
}

static void task_close(sl_task *task) {
    for (size_t i = 0; i < task->n_streams; i++) {
        stream_free(task->streams[i]);
    }
    free(task->streams);
    plain_piece_free(task->piece);
    plain_maker_free(&task->maker);
    sl_replayed_close(&task->gate.replayed);
    free(task);
}

const sl_task_ops plain_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .attach = task_attach,
    .detach = task_detach,
    .flush = task_flush,
    .close = task_close,
};
