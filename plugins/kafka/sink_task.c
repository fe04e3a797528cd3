/*
 * The sink's task: makes records of rows and hands them to the producer, which copies them. When
 * there is no room (too many unacknowledged bytes, or readers of the embedded broker that lag) it
 * keeps the batch, says "not now", and goes on where it stopped as soon as deliveries or readers
 * have moved.
 *
 * A flush ends when every record handed over before it is acknowledged. Records after it are
 * counted apart, in the other generation, so that process can go on meanwhile.
 */
#include "sink.h"
#include "sink_dead_letter.h"
#include "wakeup.h"

#include <stdlib.h>

#include "columns/columns.h"
#include "sluice/batch.h"

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
    struct sink_generation *generation; /* of new batches */
    struct sink_generation *of_batch;
    sl_request *flush;
    struct sink_generation *flushing;
    struct sink_topic *topic; /* the last one used */
    sl_buffer key;
    sl_buffer value;
    sl_metric *records, *bytes;
};

/* ---- records ---- */

/* A value at the end of a path, or NULL when it or a struct above it is null. */
static const struct ArrowArray *walk(const sl_batch *batch, const int64_t *path, size_t depth,
                                     int64_t row, const struct ArrowSchema **schema) {
    const struct ArrowArray *at = batch->columns;
    *schema = batch->schema;
    for (size_t i = 0; i < depth; i++) {
        at = at->children[path[i]];
        *schema = (*schema)->children[path[i]];
        if (sl_array_is_null(at, row)) {
            return NULL;
        }
    }
    return at;
}

struct bytes {
    const void *data; /* NULL: null */
    size_t bytes;
};

static struct bytes bytes_at(const struct ArrowArray *array, int64_t row) {
    if (sl_array_is_null(array, row)) {
        return (struct bytes){NULL, 0};
    }
    const int32_t *offsets = array->buffers[1];
    const char *data = array->buffers[2];
    size_t bytes = (size_t)(offsets[row + 1] - offsets[row]);
    return (struct bytes){bytes == 0 ? "" : data + offsets[row], bytes};
}

struct record {
    struct bytes key;
    struct bytes value;
    int64_t timestamp_ms; /* 0: now */
    rd_kafka_headers_t *headers;
};

/* The row's headers with room for `more`; NULL: there are none, and none to come. */
static rd_kafka_headers_t *headers_at(const struct ArrowArray *column, int64_t row, size_t more) {
    const int32_t *offsets = column->buffers[1];
    int32_t first = offsets[row];
    int32_t end = sl_array_is_null(column, row) ? first : offsets[row + 1];
    if (first == end && more == 0) {
        return NULL;
    }
    rd_kafka_headers_t *headers = rd_kafka_headers_new((size_t)(end - first) + more);
    for (int32_t i = first; i < end; i++) {
        struct bytes name = bytes_at(column->children[0]->children[0], i);
        struct bytes value = bytes_at(column->children[0]->children[1], i);
        rd_kafka_header_add(headers, name.data, (ssize_t)name.bytes, value.data,
                            (ssize_t)value.bytes);
    }
    return headers;
}

static void take_raw(const sl_batch *batch, int64_t row, struct record *record) {
    struct ArrowArray *const *columns = batch->columns->children;
    record->key = bytes_at(columns[SL_RAW_KEY], row);
    record->value = bytes_at(columns[SL_RAW_VALUE], row);
    record->timestamp_ms = ((const int64_t *)columns[SL_RAW_TIMESTAMP]->buffers[1])[row] / 1000;
    record->headers = headers_at(columns[SL_RAW_HEADERS], row, 0);
}

/* A dead letter: the record as it was, and why it is here. */
static bool take_reject(const sl_batch *batch, const struct sink_input *input, int64_t row,
                        struct record *record) {
    struct ArrowArray *const *columns = batch->columns->children;
    const struct ArrowArray *time = columns[SL_REJECT_TIMESTAMP];
    record->key = bytes_at(columns[SL_REJECT_KEY], row);
    record->value = bytes_at(columns[SL_REJECT_VALUE], row);
    record->timestamp_ms =
        sl_array_is_null(time, row) ? 0 : ((const int64_t *)time->buffers[1])[row] / 1000;
    record->headers = headers_at(columns[SL_REJECT_HEADERS], row, DEAD_LETTER_HEADERS);
    if (dead_letter_headers(record->headers, input->name, batch, row)) {
        return true;
    }
    rd_kafka_headers_destroy(record->headers);
    return false;
}

static bool take_key(sl_task *task, const struct sink_input *input, int64_t row,
                     struct record *record) {
    const struct ArrowSchema *schema = NULL;
    const struct ArrowArray *array =
        walk(task->batch, input->key_path, input->key_depth, row, &schema);
    if (array == NULL) {
        return true;
    }
    char kind = schema->format[0];
    if (kind == 'u' || kind == 'z') {
        record->key = bytes_at(array, row);
        return true;
    }
    sl_buffer_clear(&task->key);
    if (!sl_array_append_json(schema, array, row, &task->key)) {
        return false;
    }
    record->key = (struct bytes){task->key.data, task->key.bytes};
    return true;
}

static bool take_row(sl_task *task, const struct sink_input *input, int64_t row,
                     struct record *record) {
    sl_buffer_clear(&task->value);
    if (!sl_array_append_json(task->batch->schema, task->batch->columns, row, &task->value)) {
        return false;
    }
    record->value = (struct bytes){task->value.data, task->value.bytes};
    return input->key_depth == 0 || take_key(task, input, row, record);
}

static sl_error *choose_topic(sl_task *task, const struct sink_input *input, int64_t row) {
    struct bytes name = {task->node->config->topic, 0};
    if (input->topic_depth > 0) {
        const struct ArrowSchema *schema = NULL;
        const struct ArrowArray *array =
            walk(task->batch, input->topic_path, input->topic_depth, row, &schema);
        name = array == NULL ? (struct bytes){NULL, 0} : bytes_at(array, row);
        if (name.bytes == 0) {
            return sl_error_new(SL_ERROR_FATAL,
                                "topic_column \"%s\" is null or empty in a row of %s at offset "
                                "%lld",
                                task->node->config->topic_column, task->batch->stream->topic,
                                (long long)(task->batch->first_offset + row));
        }
    } else if (task->topic != NULL) {
        return NULL;
    } else {
        name.bytes = strlen(name.data);
    }
    if (task->topic != NULL && task->topic->name_bytes == name.bytes &&
        memcmp(task->topic->name, name.data, name.bytes) == 0) {
        return NULL;
    }
    return sink_topic_get(task->node, name.data, name.bytes, &task->topic);
}

/* ---- handing over ---- */

enum outcome { HANDED, FULL, BROKEN };

static sl_error *refused(const sl_task *task, int64_t row, const struct record *record,
                         rd_kafka_resp_err_t code) {
    const char *hint = code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
                           ? "; raise \"message.max.bytes\" here and on the topic"
                           : "";
    return sl_error_new(SL_ERROR_FATAL,
                        "a record of %zu bytes cannot be written to topic \"%s\" (row %lld of a "
                        "batch of %s partition %d that begins at offset %lld): %s%s",
                        record->value.bytes, task->topic->name, (long long)row,
                        task->batch->stream->topic, (int)task->batch->stream->partition,
                        (long long)task->batch->first_offset, rd_kafka_err2str(code), hint);
}

static rd_kafka_resp_err_t produce(sl_task *task, struct record *record) {
    rd_kafka_vu_t parts[8] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = task->topic->handle},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = task->of_batch},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {(void *)(uintptr_t)record->key.data, record->key.bytes}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {(void *)(uintptr_t)record->value.data, record->value.bytes}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp_ms},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = record->headers},
    };
    rd_kafka_error_t *error =
        rd_kafka_produceva(task->node->producer, parts, record->headers != NULL ? 7 : 6);
    if (error == NULL) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (record->headers != NULL) {
        rd_kafka_headers_destroy(record->headers);
    }
    return code;
}

/* One row; *bytes gets what it costs. */
static enum outcome hand_row(sl_task *task, int64_t row, int64_t *bytes, sl_error **error) {
    const struct sink_input *input = &task->node->inputs[task->input];
    struct record record = {.timestamp_ms = 0};
    *error = choose_topic(task, input, row);
    if (*error != NULL) {
        return BROKEN;
    }
    if (input->raw) {
        take_raw(task->batch, row, &record);
    } else if (!(input->rejects ? take_reject(task->batch, input, row, &record)
                                : take_row(task, input, row, &record))) {
        *error = sl_error_no_memory();
        return BROKEN;
    }
    *bytes = (int64_t)(record.key.bytes + record.value.bytes + SINK_RECORD_BYTES);
    rd_kafka_resp_err_t code = produce(task, &record);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return HANDED;
    }
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        return FULL;
    }
    *error = refused(task, row, &record, code);
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
        rows++;
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
    *piece = NULL;
    task->flush = request;
    task->flushing = task->generation;
    task->generation = task->generation == &task->lane->generations[0]
                           ? &task->lane->generations[1]
                           : &task->lane->generations[0];
    check_flush(task);
}

/* ---- life ---- */

static void let_go(sl_task *task) {
    const sl_batch *batch = task->batch;
    task->batch = NULL;
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

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    if (atomic_load(&task->node->has_failed)) {
        return sink_failure(task->node);
    }
    task->batch = batch;
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
    task->batch = NULL;
    if (outcome == BROKEN) {
        sink_stop_feeding(task->node);
    }
    return error;
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    struct sink_lane *lane = calloc(1, sizeof(*lane));
    int fd = wakeup_new();
    sl_error *error = task == NULL || lane == NULL ? sl_error_no_memory() : NULL;
    if (error == NULL && fd < 0) {
        error = sl_error_new(SL_ERROR_RETRIABLE, "cannot make an eventfd for a lane");
    }
    if (error == NULL) {
        task->node = node;
        task->services = context->services;
        task->self = context->self;
        error = task->services->watch(task->self, fd, on_signal, task, &task->watch);
    }
    if (error != NULL) {
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

static void task_close(sl_task *task) {
    if (task->batch != NULL) {
        let_go(task);
    }
    task->services->unwatch(task->watch);
    flow_wait_end(task->lane->fd);
    pthread_mutex_lock(&task->node->mutex); /* nobody may be signalling */
    close(task->lane->fd);
    task->lane->fd = -1;
    pthread_mutex_unlock(&task->node->mutex);
    sl_buffer_free(&task->key);
    sl_buffer_free(&task->value);
    free(task);
}

const sl_task_ops kafka_sink_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .process = task_process,
    .flush = task_flush,
    .close = task_close,
};
