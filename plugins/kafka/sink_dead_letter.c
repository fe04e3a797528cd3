/*
 * The headers of a dead letter, as org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter
 * writes them: all values are text in UTF-8. What Connect calls a connector is a node here, a task
 * is its lane, an exception's class is the reason of the rejection.
 */
#include "sink_dead_letter.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "columns/rejects.h"

#define PREFIX "__connect.errors."

struct text {
    const char *data;
    size_t bytes;
};

static struct text text_at(const sl_batch *batch, int column, int64_t row) {
    const struct ArrowArray *array = batch->columns->children[column];
    const int32_t *at = (const int32_t *)array->buffers[1] + row;
    return (struct text){(const char *)array->buffers[2] + at[0], (size_t)(at[1] - at[0])};
}

static bool add(rd_kafka_headers_t *headers, const char *name, const char *data, size_t bytes) {
    return rd_kafka_header_add(headers, name, -1, bytes == 0 ? "" : data, (ssize_t)bytes) ==
           RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool add_number(rd_kafka_headers_t *headers, const char *name, int64_t number) {
    char text[24];
    int bytes = snprintf(text, sizeof(text), "%lld", (long long)number);
    return add(headers, name, text, (size_t)bytes);
}

static bool add_place(rd_kafka_headers_t *headers, const sl_batch *batch, int64_t row) {
    struct ArrowArray *const *columns = batch->columns->children;
    struct text topic = text_at(batch, SL_REJECT_TOPIC, row);
    return add(headers, PREFIX "topic", topic.data, topic.bytes) &&
           add_number(headers, PREFIX "partition",
                      ((const int32_t *)columns[SL_REJECT_PARTITION]->buffers[1])[row]) &&
           add_number(headers, PREFIX "offset",
                      ((const int64_t *)columns[SL_REJECT_OFFSET]->buffers[1])[row]);
}

static bool add_executor(rd_kafka_headers_t *headers, const char *input, const sl_batch *batch) {
    size_t plugin_bytes = 0;
    const char *plugin = sl_rejects_of(batch->schema, &plugin_bytes);
    return add(headers, PREFIX "connector.name", input, strcspn(input, ".")) &&
           add_number(headers, PREFIX "task.id", batch->stream->lane) &&
           add(headers, PREFIX "stage", "TRANSFORMATION", strlen("TRANSFORMATION")) &&
           add(headers, PREFIX "class.name", plugin, plugin_bytes);
}

/* Reason, "path: detail", and both as the first line of a Java stack trace has them. */
static bool add_exception(rd_kafka_headers_t *headers, const sl_batch *batch, int64_t row) {
    struct text reason = text_at(batch, SL_REJECT_REASON, row);
    struct text path = text_at(batch, SL_REJECT_PATH, row);
    struct text detail = text_at(batch, SL_REJECT_DETAIL, row);
    sl_buffer trace = SL_BUFFER_INIT;
    bool good =
        sl_buffer_append(&trace, reason.data, reason.bytes) &&
        sl_buffer_append_text(&trace, ": ") && sl_buffer_append(&trace, path.data, path.bytes) &&
        sl_buffer_append_text(&trace, ": ") && sl_buffer_append(&trace, detail.data, detail.bytes);
    if (good) {
        const char *text = (const char *)trace.data;
        size_t message = reason.bytes + 2;
        good = add(headers, PREFIX "exception.class.name", reason.data, reason.bytes) &&
               add(headers, PREFIX "exception.message", text + message, trace.bytes - message) &&
               add(headers, PREFIX "exception.stacktrace", text, trace.bytes);
    }
    sl_buffer_free(&trace);
    return good;
}

bool dead_letter_headers(rd_kafka_headers_t *headers, const char *input, const sl_batch *batch,
                         int64_t row) {
    return add_place(headers, batch, row) && add_executor(headers, input, batch) &&
           add_exception(headers, batch, row);
}
