/*
 * The sink's task: makes records of rows and hands them to the producer, which copies them. When
 * there is no room (too many unacknowledged bytes, or readers of the embedded broker that lag) it
 * keeps the batch, says "not now", and goes on where it stopped as soon as deliveries or readers
 * have moved.
 *
 * A flush ends when every record handed over before it is acknowledged. Records after it are
 * counted apart, in the other generation, so that process can go on meanwhile.
 *
 * With transactions the task only keeps the batches; the node writes them (sink_transaction.c).
 */
#include "sink_transaction.h"
#include "wakeup.h"

#include <stdlib.h>

#include "columns/replayed.h"

/* After so many rows or bytes, room is looked for again. */
#define CHUNK_ROWS 64
#define CHUNK_BYTES 65536

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    struct sink_lane *lane;
    sl_watch *watch;
    const sl_batch *batch; /* retained: not yet handed over whole */
    uint32_t input;
    int64_t row;                        /* of batch */
    sink_faults *faults;                /* of batch */
    struct sink_generation *generation; /* of new batches */
    struct sink_generation *of_batch;
    sl_request *flush;
    struct sink_generation *flushing;
    struct sink_writer writer;
    struct sink_piece *piece; /* in transactions: what was taken since the last flush */
    sl_replayed replayed;
    sl_metric *records, *bytes;
};

/* ---- handing over ---- */

enum outcome { HANDED, FULL, BROKEN };

/* One row; *bytes gets what it costs. */
static enum outcome hand_row(sl_task *task, int64_t row, int64_t *bytes, sl_error **error) {
    struct sink_record record;
    if (sink_is_fault(task->faults, row)) {
        return HANDED;
    }
    *error = sink_record_make(&task->writer, task->batch, task->input, row, &record);
    if (*error != NULL) {
        return BROKEN;
    }
    *bytes = (int64_t)(record.key.bytes + record.value.bytes + SINK_RECORD_BYTES);
    rd_kafka_resp_err_t code = sink_record_produce(&task->writer, &record, task->of_batch);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return HANDED;
    }
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        return FULL;
    }
    *error = sink_record_refused(&task->writer, task->batch, row, &record, code);
    return BROKEN;
}

/* Rows up to the chunk's bounds. */
static enum outcome hand_chunk(sl_task *task, sl_error **error) {
    int64_t rows = 0;
    int64_t sum = 0;
    enum outcome outcome = HANDED;
    while (task->row < task->batch->rows && rows < CHUNK_ROWS && sum < CHUNK_BYTES) {
        int64_t bytes = 0;
        outcome = hand_row(task, task->row, &bytes, error);
        if (outcome != HANDED) {
            break;
        }
        sum += bytes;
        rows += bytes > 0 ? 1 : 0;
        task->row++;
    }
    task->of_batch->handed += rows;
    atomic_fetch_add(&task->lane->handed_bytes, sum);
    task->services->metric_add(task->records, rows);
    task->services->metric_add(task->bytes, sum - rows * SINK_RECORD_BYTES);
    return outcome;
}

/* Asks for a signal, then looks again, so that none is missed. */
static bool wait_for_room(sl_task *task) {
    atomic_store(&task->lane->waiting, 1);
    if (task->node->section->embedded && !flow_wait(task->lane->fd)) {
        return false;
    }
    if (!sink_has_room(task->node, task->lane)) {
        return true;
    }
    if (task->node->section->embedded) {
        flow_wait_end(task->lane->fd);
    }
    return false;
}

/* What is not acknowledged yet counts against the input's buffer. Asks for a signal first, so that
 * the host hears of every delivery, also when nothing else happens. */
static int64_t tell_held(sl_task *task) {
    atomic_store(&task->lane->waiting, 1);
    int64_t held =
        atomic_load(&task->lane->handed_bytes) - atomic_load(&task->lane->answered_bytes);
    task->services->hold(task->self, (size_t)held);
    return held;
}

static enum outcome hand_over(sl_task *task, sl_error **error) {
    enum outcome outcome = HANDED;
    while (task->row < task->batch->rows && outcome == HANDED) {
        if (!sink_has_room(task->node, task->lane) && wait_for_room(task)) {
            outcome = FULL;
            break;
        }
        outcome = hand_chunk(task, error);
    }
    if (tell_held(task) == 0 && outcome == FULL && !task->node->section->embedded) {
        /* The producer was full of what has been answered since: nobody else would signal. */
        wakeup_signal(task->lane->fd);
    }
    return outcome;
}

/* ---- flushing ---- */

static void check_flush(sl_task *task) {
    struct sink_generation *flushing = task->flushing;
    if (task->flush == NULL) {
        return;
    }
    atomic_store(&task->lane->waiting, 1);
    int failed = atomic_load(&task->node->has_failed);
    bool handed = task->batch == NULL || task->of_batch != flushing;
    bool answered =
        atomic_load_explicit(&flushing->answered, memory_order_acquire) == flushing->handed;
    if (failed || (handed && answered)) {
        sl_request *request = task->flush;
        task->flush = NULL;
        task->services->done(request, failed ? sink_failure(task->node) : NULL);
    }
}

static void task_flush(sl_task *task, void **piece, sl_request *request) {
    *piece = task->piece;
    task->piece = NULL;
    if (task->node->transactional) {
        task->services->done(request, NULL);
        return;
    }
    task->flush = request;
    task->flushing = task->generation;
    task->generation = task->generation == &task->lane->generations[0]
                           ? &task->lane->generations[1]
                           : &task->lane->generations[0];
    check_flush(task);
}

/* ---- life ---- */

static void forget_batch(sl_task *task) {
    task->batch = NULL;
    free(task->faults);
    task->faults = NULL;
}

static void let_go(sl_task *task) {
    const sl_batch *batch = task->batch;
    forget_batch(task);
    task->services->release(batch);
}

static void on_signal(void *arg) {
    sl_task *task = arg;
    wakeup_clear(task->lane->fd);
    tell_held(task);
    if (task->batch != NULL) {
        sl_error *error = NULL;
        enum outcome outcome = hand_over(task, &error);
        if (outcome == BROKEN) {
            sink_stop_feeding(task->node);
            task->services->fail(task->self, error);
            return;
        }
        if (outcome == HANDED) {
            let_go(task);
            task->services->pause(task->self, 0);
        }
    }
    check_flush(task);
}

static sl_error *take(sl_task *task, uint32_t input, const sl_batch *batch, sink_faults *faults) {
    task->batch = batch;
    task->faults = faults;
    task->input = input;
    task->row = 0;
    task->of_batch = task->generation;
    sl_error *error = NULL;
    enum outcome outcome = hand_over(task, &error);
    if (outcome == FULL) {
        task->services->retain(batch);
        task->services->pause(task->self, 1);
        return NULL;
    }
    forget_batch(task);
    if (outcome == BROKEN) {
        sink_stop_feeding(task->node);
    }
    return error;
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    sink_faults *faults = NULL;
    if (!task->node->transactional && atomic_load(&task->node->has_failed)) {
        return sink_failure(task->node);
    }
    sl_error *error = sink_find_faults(&task->writer, task->self, input, batch, &faults);
    if (error != NULL) {
        return error;
    }
    if (sl_replayed_has(&task->replayed, input, batch)) {
        free(faults);
        return NULL;
    }
    if (!task->node->transactional) {
        return take(task, input, batch, faults);
    }
    error = sink_piece_add(&task->piece, task->services, input, batch, faults);
    if (error != NULL) {
        free(faults);
    }
    return error;
}

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    return sl_replayed_attach(&task->replayed, stream, how->input, how->position);
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    struct sink_lane *lane = calloc(1, sizeof(*lane));
    int fd = wakeup_new();
    sl_error *error = task == NULL || lane == NULL
                          ? sl_error_no_memory()
                          : sl_replayed_open(&task->replayed, node->n_inputs);
    if (error == NULL && fd < 0) {
        error = sl_error_new(SL_ERROR_RETRIABLE, "cannot make an eventfd for a lane");
    }
    if (error == NULL) {
        task->node = task->writer.node = node;
        task->services = context->services;
        task->self = context->self;
        error = task->services->watch(task->self, fd, on_signal, task, &task->watch);
    }
    if (error != NULL) {
        if (task != NULL) {
            sl_replayed_close(&task->replayed);
        }
        free(task);
        free(lane);
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    lane->fd = fd;
    lane->generations[0].lane = lane->generations[1].lane = lane;
    task->lane = lane;
    task->generation = &lane->generations[0];
    task->records =
        task->services->metric(task->self, SL_METRIC_COUNTER, "kafka_records_written_total",
                               "records handed to the producer");
    task->bytes = task->services->metric(task->self, SL_METRIC_COUNTER, "kafka_bytes_written_total",
                                         "bytes of keys and values handed to the producer");
    pthread_mutex_lock(&node->mutex);
    lane->next = node->lane_list;
    node->lane_list = lane;
    pthread_mutex_unlock(&node->mutex);
    *out = task;
    return NULL;
}

/* What was not flushed of the stream is not to be written. (Records that were handed over without a
 * transaction are out.) */
static void task_detach(sl_task *task, const sl_stream *stream) {
    sink_piece_forget(task->piece, task->services, stream);
    sl_replayed_detach(&task->replayed, stream);
}

static void task_close(sl_task *task) {
    sink_piece_free(task->piece, task->services);
    if (task->batch != NULL) {
        let_go(task);
    }
    task->services->unwatch(task->watch);
    flow_wait_end(task->lane->fd);
    pthread_mutex_lock(&task->node->mutex); /* nobody may be signalling */
    close(task->lane->fd);
    task->lane->fd = -1;
    pthread_mutex_unlock(&task->node->mutex);
    sink_writer_free(&task->writer);
    sl_replayed_close(&task->replayed);
    free(task);
}

const sl_task_ops kafka_sink_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .attach = task_attach,
    .detach = task_detach,
    .process = task_process,
    .flush = task_flush,
    .close = task_close,
};
