/*
 * The lanes: a table of partial aggregates per stream since the last flush, judged late or not by
 * the stream's own clock. A flush hands the tables over as they are; merging and writing them is
 * the node's, off the lane.
 */
#include "gold.h"

#include <stdlib.h>

#define HOLD_EVERY 16 /* batches between two looks at the memory held */
#define SKEW_MS 50    /* between two looks at streams that wait */

/* A stream on this lane. */
struct lane_stream {
    const sl_stream *stream;
    struct shared_clock *shared;
    sl_window_clock clock;
    sl_window_table *table; /* NULL until a row comes */
    sl_builder late;
    bool taking; /* rows came since the last flush */
    bool at_end;
    bool held; /* max_skew: it waits for others */
    uint64_t take;
    int64_t partly_late;
};

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    struct lane_stream **streams; /* by stream->index; NULL where it is another lane's */
    size_t capacity;
    sl_window_outcome outcome;
    unsigned batches;
    sl_timer *skew_timer; /* while streams wait */
    sl_metric *held_metric;
};

void gold_piece_free(struct gold_piece *piece) {
    for (size_t i = 0; i < piece->n; i++) {
        sl_window_table_free(piece->deltas[i].table);
        if (piece->deltas[i].late.release != NULL) {
            piece->deltas[i].late.release(&piece->deltas[i].late);
        }
    }
    free(piece->deltas);
    free(piece);
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    task->node = node;
    task->services = context->services;
    task->self = context->self;
    task->held_metric =
        context->services->metric(context->self, SL_METRIC_GAUGE, "gold_partitions_ahead",
                                  "Partitions that wait for others, by max_skew");
    *out = task;
    return NULL;
}

static void stream_free(struct lane_stream *stream) {
    if (stream != NULL) {
        sl_window_table_free(stream->table);
        sl_builder_free(&stream->late);
        free(stream);
    }
}

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    struct gold_handle *handle = how->handle;
    if (stream->index >= task->capacity) {
        size_t capacity = (size_t)stream->index + 16;
        struct lane_stream **grown =
            realloc(task->streams, capacity * sizeof(struct lane_stream *));
        if (grown == NULL) {
            free(handle);
            return sl_error_no_memory();
        }
        memset(grown + task->capacity, 0,
               (capacity - task->capacity) * sizeof(struct lane_stream *));
        task->streams = grown;
        task->capacity = capacity;
    }
    struct lane_stream *added = calloc(1, sizeof(*added));
    if (added == NULL) {
        free(handle);
        return sl_error_no_memory();
    }
    *added =
        (struct lane_stream){.stream = stream, .shared = handle->shared, .clock = handle->clock};
    free(handle);
    sl_error *error = sl_builder_init(&added->late, task->node->rows_schema);
    if (error != NULL) {
        free(added);
        return error;
    }
    stream_free(task->streams[stream->index]);
    task->streams[stream->index] = added;
    return NULL;
}

static void task_detach(sl_task *task, const sl_stream *stream) {
    if (stream->index < task->capacity) {
        stream_free(task->streams[stream->index]);
        task->streams[stream->index] = NULL;
    }
}

/* The first rows since a flush: from now on the node may not raise the stream's floor. */
static sl_error *begin_take(struct lane_stream *stream, const sl_window_plan *plan) {
    if (!stream->taking) {
        (void)pthread_mutex_lock(&stream->shared->mutex);
        stream->take = ++stream->shared->takes;
        int64_t floor = stream->shared->floor_us;
        (void)pthread_mutex_unlock(&stream->shared->mutex);
        stream->clock.floor_us = floor > stream->clock.floor_us ? floor : stream->clock.floor_us;
        stream->taking = true;
    }
    return stream->table != NULL ? NULL : sl_window_table_new(plan, &stream->table);
}

static void set_at_end(struct lane_stream *stream, int64_t since) {
    (void)pthread_mutex_lock(&stream->shared->mutex);
    stream->shared->at_end_since = since;
    (void)pthread_mutex_unlock(&stream->shared->mutex);
    stream->at_end = since != 0;
}

static sl_error *keep_late(sl_task *task, struct lane_stream *stream, const sl_batch *batch) {
    struct ArrowArray rows;
    sl_error *error = sl_array_take(batch->schema, batch->columns, task->outcome.late,
                                    (int64_t)task->outcome.n_late, &rows);
    if (error != NULL) {
        return error;
    }
    error = sl_builder_append_array(&stream->late, task->node->rows_schema, &rows, 0, rows.length);
    rows.release(&rows);
    return error;
}

static void tell_held(sl_task *task) {
    size_t bytes = 0;
    for (size_t i = 0; i < task->capacity; i++) {
        const struct lane_stream *stream = task->streams[i];
        if (stream != NULL && stream->table != NULL) {
            bytes += sl_window_table_bytes(stream->table);
        }
    }
    task->services->hold(task->self, bytes);
}

static sl_error *take_rows(sl_task *task, struct lane_stream *stream, const sl_batch *batch) {
    sl_node *node = task->node;
    sl_error *error = begin_take(stream, node->plan);
    if (error != NULL) {
        return error;
    }
    sl_window_origin origin = {batch->stream->topic, batch->stream->partition, batch->first_offset,
                               NULL};
    if (node->offset_column >= 0) {
        origin.offsets = batch->columns->children[node->offset_column]->buffers[1];
    }
    sl_window_outcome *outcome = &task->outcome;
    error = sl_window_table_update(stream->table, &stream->clock, &origin, batch->columns, outcome);
    if (error == NULL && outcome->n_late > 0) {
        error = keep_late(task, stream, batch);
    }
    if (error != NULL) {
        return error;
    }
    stream->partly_late += outcome->partly_late;
    if (outcome->without_time > 0) {
        task->services->dropped(task->self, batch->stream, "no_event_time", outcome->without_time);
    }
    if (outcome->ahead > 0) {
        task->services->dropped(task->self, batch->stream, "ahead", outcome->ahead);
    }
    return NULL;
}

/* ---- max_skew ---- */

static void end_looking(sl_task *task) {
    if (task->skew_timer != NULL) {
        task->services->timer_stop(task->skew_timer);
        task->skew_timer = NULL;
    }
}

/* Whether the stream is to wait for others; the limit follows the slowest. */
static void judge_skew(sl_task *task, struct lane_stream *stream) {
    bool hold = stream->clock.max_event_us > atomic_load(&task->node->skew_limit_us);
    if (hold != stream->held) {
        stream->held = hold;
        task->services->hold_back(task->self, stream->stream, hold);
    }
}

static void look_at_held(void *arg) {
    sl_task *task = arg;
    int64_t held = 0;
    for (size_t i = 0; i < task->capacity; i++) {
        if (task->streams[i] != NULL && task->streams[i]->held) {
            judge_skew(task, task->streams[i]);
            held += task->streams[i]->held ? 1 : 0;
        }
    }
    task->services->metric_set(task->held_metric, held);
    if (held == 0) {
        end_looking(task);
    }
}

static sl_error *watch_skew(sl_task *task, struct lane_stream *stream) {
    atomic_store(&stream->shared->reached_us, stream->clock.max_event_us);
    judge_skew(task, stream);
    return !stream->held || task->skew_timer != NULL
               ? NULL
               : task->services->timer_start(task->self, SKEW_MS, SKEW_MS, look_at_held, task,
                                             &task->skew_timer);
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    struct lane_stream *stream = task->streams[batch->stream->index];
    /* Of another aggregation only final rows count: each update would be one row more. */
    if (batch->rows > 0 && (batch->flags & SL_BATCH_UPDATES) == 0) {
        if (stream->at_end) {
            set_at_end(stream, 0);
        }
        sl_error *error = take_rows(task, stream, batch);
        if (error == NULL && task->node->config->max_skew_us > 0) {
            error = watch_skew(task, stream);
        }
        if (error != NULL) {
            return error;
        }
        if (++task->batches % HOLD_EVERY == 0) {
            tell_held(task);
        }
    }
    if ((batch->flags & SL_BATCH_AT_END) != 0) {
        atomic_store(&stream->shared->end, batch->next_offset);
        if (!stream->at_end) {
            set_at_end(stream, task->node->watched_us);
        }
    }
    return NULL;
}

static sl_error *move_delta(struct lane_stream *stream, struct gold_delta *out) {
    *out = (struct gold_delta){.stream = stream->stream,
                               .clock = stream->clock,
                               .take = stream->take,
                               .partly_late = stream->partly_late};
    if (stream->late.length > 0) {
        sl_error *error = sl_builder_finish(&stream->late, &out->late);
        if (error != NULL) {
            return error;
        }
    }
    out->table = stream->table;
    stream->table = NULL;
    stream->taking = false;
    stream->partly_late = 0;
    return NULL;
}

static void task_flush(sl_task *task, void **out, sl_request *request) {
    size_t n = 0;
    for (size_t i = 0; i < task->capacity; i++) {
        n += task->streams[i] != NULL && task->streams[i]->taking ? 1 : 0;
    }
    *out = NULL;
    if (n == 0) {
        task->services->done(request, NULL);
        return;
    }
    struct gold_piece *piece = calloc(1, sizeof(*piece));
    sl_error *error = piece == NULL ? sl_error_no_memory() : NULL;
    if (error == NULL && (piece->deltas = calloc(n, sizeof(*piece->deltas))) == NULL) {
        error = sl_error_no_memory();
    }
    for (size_t i = 0; i < task->capacity && error == NULL; i++) {
        if (task->streams[i] != NULL && task->streams[i]->taking) {
            error = move_delta(task->streams[i], &piece->deltas[piece->n++]);
        }
    }
    if (error != NULL && piece != NULL) {
        gold_piece_free(piece);
        piece = NULL;
    }
    *out = piece;
    task->services->hold(task->self, 0);
    task->services->done(request, error);
}

static void task_close(sl_task *task) {
    for (size_t i = 0; i < task->capacity; i++) {
        stream_free(task->streams[i]);
    }
    end_looking(task);
    free(task->streams);
    sl_window_outcome_free(&task->outcome);
    free(task);
}

const sl_task_ops gold_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .attach = task_attach,
    .detach = task_detach,
    .process = task_process,
    .flush = task_flush,
    .close = task_close,
};
