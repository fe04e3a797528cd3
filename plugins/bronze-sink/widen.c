/* Raw records to rows of bronze: see widen.h. No value is copied; what a batch's rows share is
 * filled in once for each stream. */
#include "widen.h"

#include "bronze.h"

#include <string.h>

#include "columns/columns.h"

#define DAY_US INT64_C(86400000000)
#define HOUR_US INT64_C(3600000000)
/* 0001-01-01 and 9999-12-31: the dates that a table's partition can be. */
#define FIRST_DAY INT64_C(-719162)
#define LAST_DAY INT64_C(2932896)

const char *const *bronze_partition_columns(int32_t partition_by) {
    static const char *const none[] = {NULL};
    static const char *const event_date[] = {"event_date", NULL};
    static const char *const event_hour[] = {"event_date", "event_hour", NULL};
    static const char *const ingest_date[] = {"ingest_date", NULL};
    static const char *const ingest_hour[] = {"ingest_date", "ingest_hour", NULL};
    switch (partition_by) {
    case PARTITION_EVENT_DATE:
        return event_date;
    case PARTITION_EVENT_HOUR:
        return event_hour;
    case PARTITION_INGEST_DATE:
        return ingest_date;
    case PARTITION_INGEST_HOUR:
        return ingest_hour;
    default:
        return none;
    }
}

static sl_error *headers_field(struct ArrowSchema *schema, size_t at) {
    sl_error *error = sl_schema_set_field(schema, at, "headers", "+l", true, 1);
    if (error != NULL) {
        return error;
    }
    struct ArrowSchema *list = schema->children[at];
    error = sl_schema_set_field(list, 0, "element", "+s", true, 2);
    if (error == NULL) {
        error = sl_schema_set_field(list->children[0], 0, "key", "u", true, 0);
    }
    return error ? error : sl_schema_set_field(list->children[0], 1, "value", "z", true, 0);
}

sl_error *widen_schema(int32_t partition_by, bool ingest_time, struct ArrowSchema *out) {
    static const struct {
        const char *name;
        const char *format;
    } fields[] = {
        {"value", "z"},     {"key", "z"},    {"headers", "+l"},        {"topic", "u"},
        {"partition", "i"}, {"offset", "l"}, {"timestamp", "tsu:UTC"}, {"ingested_at", "tsu:UTC"}};
    size_t n = SL_ARRAY_LENGTH(fields) - !ingest_time;
    const char *const *columns = bronze_partition_columns(partition_by);
    size_t more = columns[0] == NULL ? 0 : columns[1] == NULL ? 1 : 2;
    sl_error *error = sl_schema_new_struct(n + more, out);
    if (error != NULL) {
        return error;
    }
    for (size_t i = 0; i < n && error == NULL; i++) {
        error = strcmp(fields[i].format, "+l") == 0
                    ? headers_field(out, i)
                    : sl_schema_set_field(out, i, fields[i].name, fields[i].format, true, 0);
    }
    for (size_t i = 0; i < more && error == NULL; i++) {
        error = sl_schema_set_field(out, n + i, columns[i], i == 0 ? "tdD" : "i", true, 0);
    }
    if (error != NULL) {
        out->release(out);
    }
    return error;
}

void widen_init(struct widen *widen, int32_t partition_by, bool ingest_time) {
    memset(widen, 0, sizeof(*widen));
    widen->partition_by = partition_by;
    widen->ingest_time = ingest_time;
    widen->stream = UINT32_MAX;
}

void widen_free(struct widen *widen) {
    sl_buffer_free(&widen->offsets);
    sl_buffer_free(&widen->topics);
    sl_buffer_free(&widen->partitions);
    sl_buffer_free(&widen->ingested);
    sl_buffer_free(&widen->days);
    sl_buffer_free(&widen->hours);
}

/* Room for n items and what may be read past them. */
static void *room(sl_buffer *buffer, size_t n, size_t item_bytes) {
    size_t bytes;
    sl_buffer_clear(buffer);
    if (!sl_mul_size(n, item_bytes, &bytes) ||
        !sl_buffer_reserve(buffer, bytes + SL_COLUMNS_PADDING)) {
        return NULL;
    }
    return buffer->data;
}

/* Topic and partition for as many rows as the largest batch has. */
static sl_error *fill_stream(struct widen *widen, const sl_stream *stream, int64_t rows) {
    size_t n = (size_t)(rows > widen->capacity ? rows : widen->capacity);
    size_t bytes = strlen(stream->topic);
    if (n > (size_t)INT32_MAX / (bytes + 1)) {
        return sl_error_new(SL_ERROR_FATAL, "a batch of %zu rows is too large", n);
    }
    int32_t *offsets = room(&widen->offsets, n + 1, sizeof(*offsets));
    uint8_t *topics = room(&widen->topics, n, bytes);
    int32_t *partitions = room(&widen->partitions, n, sizeof(*partitions));
    widen->stream = UINT32_MAX;
    if (offsets == NULL || topics == NULL || partitions == NULL) {
        return sl_error_no_memory();
    }
    offsets[0] = 0;
    for (size_t i = 0; i < n; i++) {
        memcpy(topics + i * bytes, stream->topic, bytes);
        offsets[i + 1] = (int32_t)((i + 1) * bytes);
        partitions[i] = stream->partition;
    }
    widen->capacity = (int64_t)n;
    widen->stream = stream->index;
    return NULL;
}

static int64_t floor_divide(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

/* Days and hours of each row's time; `times` NULL: all `now_us`. */
static sl_error *fill_partition(struct widen *widen, const int64_t *times, int64_t now_us,
                                int64_t rows) {
    int32_t *days = room(&widen->days, (size_t)rows, sizeof(*days));
    int32_t *hours = room(&widen->hours, (size_t)rows, sizeof(*hours));
    if (days == NULL || hours == NULL) {
        return sl_error_no_memory();
    }
    for (int64_t i = 0; i < rows; i++) {
        int64_t time = times == NULL ? now_us : times[i];
        int64_t day = floor_divide(time, DAY_US);
        days[i] = (int32_t)(day < FIRST_DAY ? FIRST_DAY : day > LAST_DAY ? LAST_DAY : day);
        hours[i] = (int32_t)((time - day * DAY_US) / HOUR_US);
    }
    return NULL;
}

static sl_error *fill_ingested(struct widen *widen, int64_t now_us, int64_t rows) {
    int64_t *times = room(&widen->ingested, (size_t)rows, sizeof(*times));
    if (times == NULL) {
        return sl_error_no_memory();
    }
    for (int64_t i = 0; i < rows; i++) {
        times[i] = now_us;
    }
    return NULL;
}

/* Column `at` gets our own values. `offsets` NULL: fixed width. */
static void set_own(struct widen *widen, size_t at, const void *offsets, const void *data) {
    const void **buffers = widen->buffers[at];
    buffers[0] = NULL;
    buffers[1] = offsets != NULL ? offsets : data;
    buffers[2] = offsets != NULL ? data : NULL;
    widen->own[at] = (struct ArrowArray){
        .length = widen->columns.length, .n_buffers = offsets != NULL ? 3 : 2, .buffers = buffers};
    widen->children[at] = &widen->own[at];
}

sl_error *widen_batch(struct widen *widen, const sl_batch *batch, int64_t now_us) {
    struct ArrowArray *const *raw = batch->columns->children;
    int64_t rows = batch->rows;
    sl_error *error = NULL;
    if (widen->stream != batch->stream->index || rows > widen->capacity) {
        error = fill_stream(widen, batch->stream, rows);
    }
    bool event =
        widen->partition_by == PARTITION_EVENT_DATE || widen->partition_by == PARTITION_EVENT_HOUR;
    if (error == NULL && widen->partition_by != PARTITION_NONE) {
        const int64_t *times = event ? raw[SL_RAW_TIMESTAMP]->buffers[1] : NULL;
        error = fill_partition(widen, times, now_us, rows);
    }
    if (error == NULL && widen->ingest_time) {
        error = fill_ingested(widen, now_us, rows);
    }
    if (error != NULL) {
        return error;
    }
    size_t n = 0;
    widen->columns = (struct ArrowArray){
        .length = rows, .n_buffers = 1, .buffers = widen->no_buffers, .children = widen->children};
    widen->children[n++] = raw[SL_RAW_VALUE];
    widen->children[n++] = raw[SL_RAW_KEY];
    widen->children[n++] = raw[SL_RAW_HEADERS];
    set_own(widen, n++, widen->offsets.data, widen->topics.data);
    set_own(widen, n++, NULL, widen->partitions.data);
    widen->children[n++] = raw[SL_RAW_OFFSET];
    widen->children[n++] = raw[SL_RAW_TIMESTAMP];
    if (widen->ingest_time) {
        set_own(widen, n++, NULL, widen->ingested.data);
    }
    const char *const *columns = bronze_partition_columns(widen->partition_by);
    if (columns[0] != NULL) {
        set_own(widen, n++, NULL, widen->days.data);
        if (columns[1] != NULL) {
            set_own(widen, n++, NULL, widen->hours.data);
        }
    }
    widen->columns.n_children = (int64_t)n;
    return NULL;
}
