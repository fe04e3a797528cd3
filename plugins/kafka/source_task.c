/*
 * The source's task: drains the queue of each partition of its lane, copies each record once into
 * the columns of raw records, and knows where a partition ends.
 *
 * rd_kafka_consume_callback_queue checks the version of each message as it is handed over; it may
 * repeat some after a rebalance, so offsets below the expected one are dropped. Not draining a
 * queue is the backpressure.
 */
#include "rights.h"
#include "source.h"
#include "wakeup.h"

#include <stdlib.h>

#include "base/slots.h"
#include "columns/raw.h"

/* One attached partition. */
struct reading {
    struct sl_task *task;
    const sl_stream *stream;
    struct source_handle *handle;
    sl_watch *watch;
    int64_t expected; /* next offset to come */
    int was_full;     /* the prefetch, since the last nudge */
    size_t row_bytes; /* of a record of the last poll that had any */
    /* of the poll under way */
    size_t max_bytes;
    int full;
    int at_end;
    sl_error *error;
};

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    sl_slots readings; /* by stream index */
    sl_raw_builder builder;
    struct source_nudge *nudge;
    sl_metric *records, *bytes;
    sl_metric *left; /* of the rows that the node expects, those that left with their partition */
};

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    task->nudge = source_nudge_new(node);
    sl_error *error =
        task->nudge == NULL ? sl_error_no_memory() : sl_raw_builder_init(&task->builder);
    if (error != NULL) {
        if (task->nudge != NULL) {
            source_nudge_close(task->nudge);
        }
        free(task);
        return error;
    }
    task->node = node;
    task->services = context->services;
    task->self = context->self;
    task->records = task->services->metric(task->self, SL_METRIC_COUNTER,
                                           "kafka_records_read_total", "records read from Kafka");
    task->bytes = task->services->metric(task->self, SL_METRIC_COUNTER, "kafka_bytes_read_total",
                                         "bytes of keys and values read from Kafka");
    if (node->until_end) {
        task->left = task->services->metric(task->self, SL_METRIC_GAUGE, SL_METRIC_EXPECTED_ROWS,
                                            "rows to read to the end");
    }
    *out = task;
    return NULL;
}

static void on_readable(void *arg) {
    struct reading *reading = arg;
    wakeup_clear(reading->handle->fd);
    reading->task->services->wake(reading->task->self, reading->stream);
}

static void free_reading(struct reading *reading) {
    if (reading->watch != NULL) {
        reading->task->services->unwatch(reading->watch);
    }
    source_handle_free(reading->handle);
    sl_error_free(reading->error);
    free(reading);
}

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    static const uint64_t one = 1;
    struct source_handle *handle = how->handle;
    struct reading *reading = calloc(1, sizeof(*reading));
    if (reading == NULL || !sl_slots_set(&task->readings, stream->index, reading)) {
        free(reading);
        source_handle_free(handle);
        return sl_error_no_memory();
    }
    reading->task = task;
    reading->stream = stream;
    reading->handle = handle;
    reading->expected = how->offset;
    sl_error *error =
        task->services->watch(task->self, handle->fd, on_readable, reading, &reading->watch);
    if (error != NULL) {
        sl_slots_set(&task->readings, stream->index, NULL);
        free_reading(reading);
        return error;
    }
    rd_kafka_queue_io_event_enable(handle->queue, handle->fd, &one, sizeof(one));
    return NULL;
}

/* What the partition had left to read is for somebody else: the run will not read it. */
static void take_back_expected(sl_task *task, const struct reading *reading) {
    const struct source_handle *handle = reading->handle;
    if (!handle->aside && handle->partition->node->until_end && handle->end > reading->expected) {
        task->services->metric_add(task->left, reading->expected - handle->end);
    }
}

static void task_detach(sl_task *task, const sl_stream *stream) {
    struct reading *reading = sl_slots_get(&task->readings, stream->index);
    if (reading != NULL) {
        take_back_expected(task, reading);
        sl_slots_set(&task->readings, stream->index, NULL);
        free_reading(reading);
    }
}

/* ---- messages ---- */

static bool append_headers(sl_raw_builder *builder, const rd_kafka_message_t *message) {
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return true;
    }
    const char *name = NULL;
    const void *value = NULL;
    size_t bytes = 0;
    bool good = true;
    for (size_t i = 0; good && rd_kafka_header_get_all(headers, i, &name, &value, &bytes) ==
                                   RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        good = sl_raw_append_header(builder, name, strlen(name), value, bytes);
    }
    return good;
}

static sl_error *out_of_range(const struct reading *reading) {
    const struct source_partition *partition = reading->handle->partition;
    int64_t low = -1;
    int64_t high = -1;
    rd_kafka_get_watermark_offsets(partition->node->client, partition->topic, partition->number,
                                   &low, &high);
    return source_out_of_range(partition, reading->expected, low, high);
}

/* What comes in place of a message. */
static void on_trouble(struct reading *reading, const rd_kafka_message_t *message) {
    const struct source_partition *partition = reading->handle->partition;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        reading->expected =
            message->offset > reading->expected ? message->offset : reading->expected;
        reading->at_end = 1;
    } else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
               message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
        reading->error = out_of_range(reading);
    } else if (kafka_is_refused(message->err)) {
        reading->error = kafka_refused(&partition->node->link, message->err, "read the topic",
                                       partition->topic, "READ on it");
    } else {
        sl_error *error =
            kafka_error(message->err, "%s partition %d", partition->topic, (int)partition->number);
        if (sl_error_is(error, SL_ERROR_FATAL)) {
            reading->error = error;
            return;
        }
        reading->task->services->log(reading->task->self, SL_LOG_WARN, "%s",
                                     sl_error_message(error));
        sl_error_free(error);
    }
}

static void on_message(rd_kafka_message_t *message, void *opaque) {
    struct reading *reading = opaque;
    if (reading->error != NULL) {
        return;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        on_trouble(reading, message);
        return;
    }
    if (message->offset < reading->expected) {
        return;
    }
    sl_raw_builder *builder = &reading->task->builder;
    rd_kafka_timestamp_type_t type;
    int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
    if (!sl_raw_append(builder, message->key, message->key_len, message->payload, message->len,
                       source_time_us(timestamp_ms), message->offset) ||
        !append_headers(builder, message) || !sl_raw_end_row(builder)) {
        reading->error = sl_error_no_memory();
        return;
    }
    reading->expected = message->offset + 1;
    reading->at_end = 0;
    if (sl_raw_bytes(builder) >= reading->max_bytes) {
        reading->full = 1;
        rd_kafka_yield(reading->handle->partition->node->client);
    }
}

/* ---- poll ---- */

/* --until-end: nothing more belongs to this run. */
static bool has_ended(const struct reading *reading) {
    const struct source_handle *handle = reading->handle;
    struct source_partition *partition = handle->partition;
    if (handle->aside || !partition->node->until_end || flow_is_fed(partition->flow)) {
        return false;
    }
    int64_t delivered = flow_end(partition->flow, partition->number);
    int64_t end = handle->end > delivered ? handle->end : delivered;
    return reading->expected >= end;
}

/* The bytes of a column's last row; NULL: null or empty, which a checksum need not tell apart. */
static const void *last_of(const sl_builder *column, size_t *bytes) {
    size_t begin = (size_t)column->offsets[column->length - 1];
    *bytes = column->data_bytes - begin;
    return *bytes == 0 ? NULL : column->data + begin;
}

/* Remembers the batch's last record. */
static void see_last(const struct reading *reading) {
    const sl_builder *columns = reading->task->builder.root.children;
    int64_t row = columns[SL_RAW_OFFSET].length - 1;
    size_t key_bytes = 0;
    size_t value_bytes = 0;
    const void *key = last_of(&columns[SL_RAW_KEY], &key_bytes);
    const void *value = last_of(&columns[SL_RAW_VALUE], &value_bytes);
    const struct source_mark mark = {
        .offset = ((const int64_t *)columns[SL_RAW_OFFSET].data)[row],
        .timestamp_ms = ((const int64_t *)columns[SL_RAW_TIMESTAMP].data)[row] / 1000,
        .checksum = source_checksum(key, key_bytes, value, value_bytes),
    };
    source_see(reading->handle->partition, &mark);
}

static sl_error *emit(struct reading *reading, int64_t first, uint32_t flags) {
    sl_task *task = reading->task;
    struct ArrowArray columns;
    int64_t rows = sl_raw_rows(&task->builder);
    if (rows > 0) {
        see_last(reading);
    }
    task->services->metric_add(task->records, rows);
    task->services->metric_add(task->bytes, (int64_t)sl_raw_bytes(&task->builder));
    sl_error *error = rows == 0 ? NULL : sl_builder_finish(&task->builder.root, &columns);
    if (error != NULL) {
        return error;
    }
    sl_emission emission = {
        .struct_bytes = sizeof(emission),
        .flags = flags,
        .stream = reading->stream,
        .first_offset = first,
        .next_offset = reading->expected,
        .max_event_time_us = SL_EVENT_TIME_NONE,
        .columns = rows == 0 ? NULL : &columns,
    };
    return task->services->emit(task->self, 0, &emission);
}

/* Keeps the fetcher going where the prefetch was full; see source_nudge.c. */
static void keep_fetching(struct reading *reading, int64_t rows, size_t bytes) {
    if (rows == 0) {
        return;
    }
    const struct source_partition *partition = reading->handle->partition;
    reading->row_bytes = bytes / (size_t)rows;
    int64_t waiting =
        (int64_t)(rd_kafka_queue_length(reading->handle->queue) * (reading->row_bytes + 1));
    int64_t prefetch = partition->node->prefetch_bytes;
    if (waiting > prefetch * 3 / 4) {
        reading->was_full = 1;
    } else if (reading->was_full && waiting < prefetch / 2 && !reading->handle->aside) {
        sl_task *task = reading->task;
        reading->was_full = !source_nudge_send(task->nudge, task->self, partition);
    }
}

/* Room for what waits, as far as a poll takes it: nothing is moved while it is copied in. */
static sl_error *make_room(struct reading *reading, size_t max_bytes) {
    size_t rows = rd_kafka_queue_length(reading->handle->queue);
    size_t most = max_bytes / (reading->row_bytes + 1) + 1;
    return sl_raw_reserve(&reading->task->builder, (int64_t)(rows < most ? rows : most));
}

/* What was read before an error goes first: it may not be on the broker any more. */
static bool has_whole_rows(const struct reading *reading) {
    return sl_raw_rows(&reading->task->builder) > 0 &&
           !sl_error_is(reading->error, SL_ERROR_NO_MEMORY);
}

static sl_error *take_error(struct reading *reading) {
    sl_error *error = reading->error;
    reading->error = NULL;
    sl_builder_clear(&reading->task->builder.root);
    if (!reading->handle->aside) {
        source_stop_reading(reading->task->node);
    }
    return error;
}

static sl_error *task_poll(sl_task *task, const sl_stream *stream, size_t max_bytes,
                           sl_poll_state *state) {
    struct reading *reading = sl_slots_get(&task->readings, stream->index);
    int64_t first = reading->expected;
    reading->max_bytes = max_bytes;
    reading->full = reading->at_end = 0;
    sl_error *error = make_room(reading, max_bytes);
    if (error != NULL) {
        return error;
    }
    if (reading->error == NULL && !has_ended(reading)) {
        rd_kafka_consume_callback_queue(reading->handle->queue, 0, on_message, reading);
    }
    if (reading->error != NULL && !has_whole_rows(reading)) {
        return take_error(reading);
    }
    keep_fetching(reading, sl_raw_rows(&task->builder), sl_raw_bytes(&task->builder));
    if (reading->expected > first && !reading->handle->aside) {
        flow_reader_advance(reading->handle->partition->reader, reading->expected);
    }
    bool ended = has_ended(reading);
    uint32_t flags = reading->at_end || ended ? SL_BATCH_AT_END : 0;
    if (reading->expected > first || flags != 0) {
        error = emit(reading, first, flags);
    }
    bool more = reading->error != NULL || (reading->full && !ended);
    *state = more ? SL_POLL_MORE : ended ? SL_POLL_ENDED : SL_POLL_EMPTY;
    return error;
}

static void task_close(sl_task *task) {
    source_nudge_close(task->nudge);
    sl_raw_builder_free(&task->builder);
    sl_slots_free(&task->readings);
    free(task);
}

const sl_task_ops kafka_source_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .attach = task_attach,
    .detach = task_detach,
    .poll = task_poll,
    .close = task_close,
};
