/*
 * Raw records and rejected ones keep what they had; rows with other columns become one JSON object
 * each.
 */
#include "sink_record.h"

#include "rights.h"
#include "sink_dead_letter.h"

#include "columns/columns.h"
#include "sluice/batch.h"

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

static struct sink_bytes bytes_at(const struct ArrowArray *array, int64_t row) {
    if (sl_array_is_null(array, row)) {
        return (struct sink_bytes){NULL, 0};
    }
    const int32_t *offsets = array->buffers[1];
    const char *data = array->buffers[2];
    size_t bytes = (size_t)(offsets[row + 1] - offsets[row]);
    return (struct sink_bytes){bytes == 0 ? "" : data + offsets[row], bytes};
}

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
        struct sink_bytes name = bytes_at(column->children[0]->children[0], i);
        struct sink_bytes value = bytes_at(column->children[0]->children[1], i);
        rd_kafka_header_add(headers, name.data, (ssize_t)name.bytes, value.data,
                            (ssize_t)value.bytes);
    }
    return headers;
}

/* librdkafka takes 0 for "now", so 1970 begins a millisecond late. */
static int64_t milliseconds_at(const struct ArrowArray *column, int64_t row) {
    int64_t ms = ((const int64_t *)column->buffers[1])[row] / 1000;
    return ms == 0 ? 1 : ms;
}

static void take_raw(const sl_batch *batch, int64_t row, struct sink_record *record) {
    struct ArrowArray *const *columns = batch->columns->children;
    record->key = bytes_at(columns[SL_RAW_KEY], row);
    record->value = bytes_at(columns[SL_RAW_VALUE], row);
    record->timestamp_ms = milliseconds_at(columns[SL_RAW_TIMESTAMP], row);
    record->headers = headers_at(columns[SL_RAW_HEADERS], row, 0);
}

/* A dead letter: the record as it was, and why it is here. */
static bool take_reject(const sl_batch *batch, const struct sink_input *input, int64_t row,
                        struct sink_record *record) {
    struct ArrowArray *const *columns = batch->columns->children;
    const struct ArrowArray *time = columns[SL_REJECT_TIMESTAMP];
    record->key = bytes_at(columns[SL_REJECT_KEY], row);
    record->value = bytes_at(columns[SL_REJECT_VALUE], row);
    record->timestamp_ms = sl_array_is_null(time, row) ? 0 : milliseconds_at(time, row);
    record->headers = headers_at(columns[SL_REJECT_HEADERS], row, DEAD_LETTER_HEADERS);
    if (dead_letter_headers(record->headers, input->name, batch, row)) {
        return true;
    }
    rd_kafka_headers_destroy(record->headers);
    return false;
}

static bool take_key(struct sink_writer *writer, const sl_batch *batch,
                     const struct sink_input *input, int64_t row, struct sink_record *record) {
    const struct ArrowSchema *schema = NULL;
    const struct ArrowArray *array = walk(batch, input->key_path, input->key_depth, row, &schema);
    if (array == NULL) {
        return true;
    }
    char kind = schema->format[0];
    if (kind == 'u' || kind == 'z') {
        record->key = bytes_at(array, row);
        return true;
    }
    sl_buffer_clear(&writer->key);
    if (!sl_array_append_json(schema, array, row, &writer->key)) {
        return false;
    }
    record->key = (struct sink_bytes){writer->key.data, writer->key.bytes};
    return true;
}

static bool take_row(struct sink_writer *writer, const sl_batch *batch,
                     const struct sink_input *input, int64_t row, struct sink_record *record) {
    sl_buffer_clear(&writer->value);
    if (!sl_array_append_json(batch->schema, batch->columns, row, &writer->value)) {
        return false;
    }
    record->value = (struct sink_bytes){writer->value.data, writer->value.bytes};
    return input->key_depth == 0 || take_key(writer, batch, input, row, record);
}

struct sink_bytes sink_record_topic(const struct sink_writer *writer, const sl_batch *batch,
                                    uint32_t number, int64_t row) {
    const struct sink_input *input = &writer->node->inputs[number];
    const char *fixed = writer->node->config->topic;
    if (input->topic_depth == 0) {
        return (struct sink_bytes){fixed, strlen(fixed)};
    }
    const struct ArrowSchema *schema = NULL;
    const struct ArrowArray *array =
        walk(batch, input->topic_path, input->topic_depth, row, &schema);
    return array == NULL ? (struct sink_bytes){NULL, 0} : bytes_at(array, row);
}

bool sink_record_has_key(const struct sink_writer *writer, const sl_batch *batch, uint32_t number,
                         int64_t row) {
    const struct sink_input *input = &writer->node->inputs[number];
    if (input->raw || input->rejects) {
        int column = input->raw ? (int)SL_RAW_KEY : (int)SL_REJECT_KEY;
        return !sl_array_is_null(batch->columns->children[column], row);
    }
    const struct ArrowSchema *schema = NULL;
    return input->key_depth > 0 &&
           walk(batch, input->key_path, input->key_depth, row, &schema) != NULL;
}

static sl_error *choose_topic(struct sink_writer *writer, const sl_batch *batch, uint32_t input,
                              int64_t row) {
    if (writer->topic != NULL && writer->node->config->topic != NULL) {
        return NULL;
    }
    struct sink_bytes name = sink_record_topic(writer, batch, input, row);
    if (writer->topic != NULL && writer->topic->name_bytes == name.bytes &&
        memcmp(writer->topic->name, name.data, name.bytes) == 0) {
        return NULL;
    }
    return sink_topic_get(writer->node, name.data, name.bytes, &writer->topic);
}

sl_error *sink_record_fill(struct sink_writer *writer, const sl_batch *batch, uint32_t number,
                           int64_t row, struct sink_record *record) {
    const struct sink_input *input = &writer->node->inputs[number];
    *record = (struct sink_record){.timestamp_ms = 0};
    if (input->raw) {
        take_raw(batch, row, record);
        return NULL;
    }
    bool made = input->rejects ? take_reject(batch, input, row, record)
                               : take_row(writer, batch, input, row, record);
    return made ? NULL : sl_error_no_memory();
}

sl_error *sink_record_make(struct sink_writer *writer, const sl_batch *batch, uint32_t input,
                           int64_t row, struct sink_record *record) {
    sl_error *error = choose_topic(writer, batch, input, row);
    return error != NULL ? error : sink_record_fill(writer, batch, input, row, record);
}

sl_error *sink_record_refused(const struct sink_writer *writer, const sl_batch *batch, int64_t row,
                              const struct sink_record *record, rd_kafka_resp_err_t code) {
    if (kafka_is_refused(code)) {
        return sink_refused(writer->node, code, writer->topic->name);
    }
    return sl_error_new(SL_ERROR_FATAL,
                        "a record of %zu bytes cannot be written to topic \"%s\" (row %lld of a "
                        "batch of %s partition %d that begins at offset %lld): %s",
                        record->value.bytes, writer->topic->name, (long long)row,
                        batch->stream->topic, (int)batch->stream->partition,
                        (long long)batch->first_offset, rd_kafka_err2str(code));
}

rd_kafka_resp_err_t sink_record_produce(struct sink_writer *writer, struct sink_record *record,
                                        void *opaque) {
    rd_kafka_vu_t parts[8] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = writer->topic->handle},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = opaque},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {(void *)(uintptr_t)record->key.data, record->key.bytes}},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {(void *)(uintptr_t)record->value.data, record->value.bytes}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp_ms},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = record->headers},
    };
    rd_kafka_error_t *error =
        rd_kafka_produceva(writer->node->producer, parts, record->headers != NULL ? 7 : 6);
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

void sink_writer_free(struct sink_writer *writer) {
    sl_buffer_free(&writer->key);
    sl_buffer_free(&writer->value);
}
