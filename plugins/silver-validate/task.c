/*
 * The task of one lane: decodes each record, drops duplicates, computes columns, and emits rows and
 * rejects, one batch of each for a batch that came in.
 */
#include "silver.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/slots.h"
#include "columns/raw.h"

/* One attached stream. */
struct lane_stream {
    const sl_stream *stream;
    struct dedup_stream *dedup; /* NULL without deduplication */
    size_t topic_bytes;
};

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    sl_json_decoder *decoder;
    struct silver_expression **computed; /* the task's own: they hold scratch memory */
    size_t n_computed;
    sl_builder rows;
    sl_json_rejects rejects; /* of the batch */
    sl_buffer key;
    sl_slots streams; /* by stream index */
    uint64_t dropped_properties;
    sl_metric *valid, *invalid, *duplicates, *dropped, *memory;
};

/* A raw batch's columns at hand. */
struct raw {
    const struct ArrowArray *values;
    const int32_t *value_offsets;
    const uint8_t *value_data;
    const struct ArrowArray *timestamps;
    const int64_t *times_us;
    const int64_t *offsets;
};

/* ---- deduplication ---- */

static bool append_key_part(sl_buffer *out, const sl_builder *column, int64_t row) {
    if (column->offsets != NULL) {
        uint32_t bytes = (uint32_t)(column->offsets[row + 1] - column->offsets[row]);
        return sl_buffer_append(out, &bytes, sizeof(bytes)) &&
               sl_buffer_append(out, column->data + column->offsets[row], bytes);
    }
    if (column->type.id == SL_TYPE_BOOL) {
        return sl_buffer_append_byte(out, sl_bit_get(column->data, row));
    }
    size_t width = (size_t)column->type.width_bytes;
    return sl_buffer_append(out, column->data + (size_t)row * width, width);
}

static struct dedup_hash hash_bytes(const void *data, size_t bytes) {
    XXH128_hash_t hash = XXH3_128bits(data, bytes);
    return (struct dedup_hash){hash.low64, hash.high64};
}

/* The hash of the row's key columns. *null: one of them is null. */
static bool hash_key(sl_task *task, int64_t row, struct dedup_hash *out, bool *null) {
    const sl_node *node = task->node;
    sl_buffer_clear(&task->key);
    *null = false;
    for (size_t k = 0; k < node->n_keys; k++) {
        const sl_builder *column = &task->rows;
        for (size_t i = 0; i < node->keys[k].n; i++) {
            column = &column->children[node->keys[k].steps[i]];
            if (column->null_count > 0 && !sl_bit_get(column->validity, row)) {
                *null = true;
                return true;
            }
        }
        if (node->n_keys == 1 && column->offsets != NULL) {
            const int32_t *at = column->offsets + row;
            *out = hash_bytes(column->data + at[0], (size_t)(at[1] - at[0]));
            return true;
        }
        if (!append_key_part(&task->key, column, row)) {
            return false;
        }
    }
    *out = hash_bytes(task->key.data, task->key.bytes);
    return true;
}

/* The columns of a row's origin, behind the computed ones. */
enum { ROW_TOPIC, ROW_PARTITION, ROW_OFFSET };

/* One record of a group. */
struct record {
    bool accepted;
    bool keyed; /* no part of its key is null */
    bool duplicate;
    struct dedup_hash hash;
};

/* Whether the record is a duplicate, and the log of it. */
static bool look_up(struct dedup_stream *dedup, int64_t offset, int64_t time_us,
                    struct record *record) {
    bool moved = dedup_tick(dedup, time_us);
    if (!record->keyed) {
        return !moved || dedup_log_record(dedup, offset, NULL);
    }
    return dedup_occurs(dedup, record->hash, &record->duplicate) &&
           dedup_log_record(dedup, offset, &record->hash);
}

/* ---- one batch ---- */

/* The computed columns of a row, and its offset. */
static bool finish_row(sl_task *task, int64_t row, int64_t offset) {
    sl_builder *column = &task->rows.children[task->node->first_computed];
    for (size_t i = 0; i < task->n_computed; i++, column++) {
        if (!expression_append(task->computed[i], &task->rows, row, column)) {
            return false;
        }
    }
    return sl_builder_append_i64(column + ROW_OFFSET, offset);
}

/* What all rows of a batch have in common: topic and partition. */
static bool finish_rows(sl_task *task, const struct lane_stream *lane) {
    sl_builder *column = &task->rows.children[task->node->first_computed + task->n_computed];
    int64_t rows = task->rows.length;
    return sl_builder_repeat_bytes(column + ROW_TOPIC, lane->stream->topic, lane->topic_bytes,
                                   rows) &&
           sl_builder_repeat_i64(column + ROW_PARTITION, lane->stream->partition, rows);
}

static sl_error *reject(sl_task *task, const sl_batch *batch, const sl_json_reject *from) {
    const char *text = (const char *)task->rejects.text.data;
    const char *reason = sl_json_reason_name(from->reason);
    const sl_reject why = {.struct_bytes = sizeof(why),
                           .reason = reason,
                           .reason_bytes = strlen(reason),
                           .path = text + from->path_at,
                           .path_bytes = from->path_bytes,
                           .detail = text + from->detail_at,
                           .detail_bytes = from->detail_bytes};
    return task->services->reject(task->self, batch, from->row, &why);
}

static sl_error *decode_row(sl_task *task, const struct raw *raw, int64_t row, bool *accepted) {
    *accepted = false;
    if (sl_array_is_null(raw->values, row)) { /* its own reason, which the batch call gives */
        return sl_json_decode(task->decoder, raw->values, row, 1, &task->rows, &task->rejects);
    }
    const int32_t *at = raw->value_offsets + row;
    return sl_json_decode_text(task->decoder, raw->value_data + at[0], (size_t)(at[1] - at[0]), row,
                               &task->rows, &task->rejects, accepted);
}

/* Decodes the group's records, and has the memory of their keys fetched on the way. */
static sl_error *decode_group(sl_task *task, const struct lane_stream *lane, const struct raw *raw,
                              int64_t first, int n, struct record *records) {
    for (int i = 0; i < n; i++) {
        struct record *record = &records[i];
        bool null = true;
        *record = (struct record){0};
        sl_error *error = decode_row(task, raw, first + i, &record->accepted);
        if (error != NULL) {
            return error;
        }
        if (lane->dedup == NULL || !record->accepted) {
            continue;
        }
        if (!hash_key(task, task->rows.length - 1, &record->hash, &null)) {
            return sl_error_no_memory();
        }
        record->keyed = !null;
        if (!null) {
            dedup_prefetch(lane->dedup, record->hash);
        }
    }
    return NULL;
}

/* There are duplicates among the group's rows: takes the rows back and decodes the others again,
 * which is rare and cheaper than moving columns. */
static sl_error *decode_again(sl_task *task, const struct raw *raw, int64_t first, int n,
                              const struct record *records, int64_t before) {
    uint64_t dropped = sl_json_decoder_dropped(task->decoder);
    sl_builder_truncate(&task->rows, before);
    for (int i = 0; i < n; i++) {
        bool accepted;
        if (!records[i].accepted || records[i].duplicate) {
            continue;
        }
        sl_error *error = decode_row(task, raw, first + i, &accepted);
        if (error != NULL) {
            return error;
        }
    }
    /* their properties have been counted */
    task->dropped_properties += sl_json_decoder_dropped(task->decoder) - dropped;
    return NULL;
}

/* A look-up in the tables of keys mostly misses every cache. Decoding a few records further before
 * looking up gives the memory time to come. */
#define GROUP 8

static sl_error *take_group(sl_task *task, const struct lane_stream *lane, const struct raw *raw,
                            int64_t first, int n, int64_t *duplicates) {
    struct record records[GROUP];
    int64_t before = task->rows.length, found = 0;
    sl_error *error = decode_group(task, lane, raw, first, n, records);
    if (error != NULL) {
        return error;
    }
    for (int i = 0; i < n && lane->dedup != NULL; i++) {
        int64_t row = first + i;
        int64_t time_us = sl_array_is_null(raw->timestamps, row) ? -1 : raw->times_us[row];
        if (!look_up(lane->dedup, raw->offsets[row], time_us, &records[i])) {
            return sl_error_no_memory();
        }
        found += records[i].duplicate;
    }
    *duplicates += found;
    if (found > 0) {
        error = decode_again(task, raw, first, n, records, before);
    }
    for (int i = 0; i < n && error == NULL; i++) {
        if (records[i].accepted && !records[i].duplicate &&
            !finish_row(task, before++, raw->offsets[first + i])) {
            error = sl_error_no_memory();
        }
    }
    return error;
}

static sl_error *take_rows(sl_task *task, const struct lane_stream *lane, const struct raw *raw,
                           int64_t rows, int64_t *duplicates) {
    for (int64_t row = 0; row < rows; row += GROUP) {
        int n = rows - row < GROUP ? (int)(rows - row) : GROUP;
        sl_error *error = take_group(task, lane, raw, row, n, duplicates);
        if (error != NULL) {
            return error;
        }
    }
    return finish_rows(task, lane) ? NULL : sl_error_no_memory();
}

/* Sends what was built; without rows only how far the stream has come. */
static sl_error *emit_rows(sl_task *task, const sl_batch *batch) {
    struct ArrowArray columns;
    sl_emission emission = {
        .struct_bytes = sizeof(emission),
        .flags = batch->flags & SL_BATCH_AT_END,
        .stream = batch->stream,
        .first_offset = batch->first_offset,
        .next_offset = batch->next_offset,
        .max_event_time_us = SL_EVENT_TIME_NONE,
    };
    if (task->rows.length > 0) {
        sl_error *error = sl_builder_finish(&task->rows, &columns);
        if (error != NULL) {
            return error;
        }
        emission.columns = &columns;
    }
    return task->services->emit(task->self, SILVER_OUTPUT_ROWS, &emission);
}

static void count(sl_task *task, const sl_batch *batch, int64_t rows, int64_t duplicates) {
    const sl_services *services = task->services;
    uint64_t dropped = sl_json_decoder_dropped(task->decoder);
    services->metric_add(task->valid, rows);
    services->metric_add(task->invalid, (int64_t)task->rejects.n);
    services->metric_add(task->dropped, (int64_t)(dropped - task->dropped_properties));
    task->dropped_properties = dropped;
    if (duplicates > 0) {
        services->metric_add(task->duplicates, duplicates);
        services->dropped(task->self, batch->stream, "duplicate", duplicates);
    }
    if (task->node->segments != NULL) {
        services->metric_set(task->memory, atomic_load_explicit(&task->node->dedup.used_bytes,
                                                                memory_order_relaxed));
    }
}

static sl_error *reserve_rows(sl_builder *builder, int64_t rows) {
    sl_error *error = sl_builder_reserve(builder, rows, 0);
    for (size_t i = 0; i < builder->n_children && error == NULL; i++) {
        error = sl_builder_reserve(&builder->children[i], rows, 0);
    }
    return error;
}

static sl_error *process(sl_task *task, const struct lane_stream *lane, const sl_batch *batch) {
    struct ArrowArray *const *columns = batch->columns->children;
    int64_t duplicates = 0;
    sl_builder_clear(&task->rows);
    sl_json_rejects_clear(&task->rejects);
    if (batch->rows > 0) {
        struct raw raw = {
            .values = columns[SL_RAW_VALUE],
            .value_offsets = columns[SL_RAW_VALUE]->buffers[1],
            .value_data = columns[SL_RAW_VALUE]->buffers[2],
            .timestamps = columns[SL_RAW_TIMESTAMP],
            .times_us = columns[SL_RAW_TIMESTAMP]->buffers[1],
            .offsets = columns[SL_RAW_OFFSET]->buffers[1],
        };
        sl_error *error = reserve_rows(&task->rows, batch->rows);
        if (error == NULL) {
            error = take_rows(task, lane, &raw, batch->rows, &duplicates);
        }
        if (error != NULL) {
            return error;
        }
    }
    for (size_t i = 0; i < task->rejects.n; i++) {
        sl_error *error = reject(task, batch, &task->rejects.items[i]);
        if (error != NULL) {
            return error;
        }
    }
    count(task, batch, task->rows.length, duplicates);
    return emit_rows(task, batch);
}

static sl_error *task_process(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    const struct lane_stream *lane = sl_slots_get(&task->streams, batch->stream->index);
    int64_t next = lane->dedup != NULL ? lane->dedup->next_offset : SL_OFFSET_NONE;
    if (lane->dedup != NULL) {
        lane->dedup->next_offset = SL_OFFSET_NONE; /* an error may come between two rows */
    }
    sl_error *error = process(task, lane, batch);
    if (lane->dedup != NULL && error == NULL) {
        lane->dedup->next_offset = batch->next_offset > next ? batch->next_offset : next;
    }
    return error;
}

/* ---- streams and flushes ---- */

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    struct lane_stream *lane = calloc(1, sizeof(*lane));
    if (lane == NULL || !sl_slots_set(&task->streams, stream->index, lane)) {
        free(lane);
        dedup_stream_free(how->handle);
        return sl_error_no_memory();
    }
    lane->stream = stream;
    lane->dedup = how->handle;
    lane->topic_bytes = strlen(stream->topic);
    return NULL;
}

static void task_detach(sl_task *task, const sl_stream *stream) {
    struct lane_stream *lane = sl_slots_get(&task->streams, stream->index);
    if (lane != NULL) {
        sl_slots_set(&task->streams, stream->index, NULL);
        if (lane->dedup != NULL) {
            parked_put(&task->node->parked, stream, lane->dedup,
                       task->services->now_us(task->self));
        }
        free(lane);
    }
}

static void task_flush(sl_task *task, void **out, sl_request *request) {
    size_t n = 0;
    for (size_t i = 0; i < task->streams.n; i++) {
        const struct lane_stream *lane = task->streams.items[i];
        n += lane != NULL && lane->dedup != NULL && lane->dedup->log.entries > 0;
    }
    if (n == 0) {
        task->services->done(request, NULL);
        return;
    }
    struct silver_piece *piece = calloc(1, sizeof(*piece) + n * sizeof(piece->items[0]));
    if (piece == NULL) {
        task->services->done(request, sl_error_no_memory());
        return;
    }
    for (size_t i = 0; i < task->streams.n; i++) {
        struct lane_stream *lane = task->streams.items[i];
        if (lane != NULL && lane->dedup != NULL && lane->dedup->log.entries > 0) {
            struct silver_piece_item *item = &piece->items[piece->n++];
            item->stream = lane->stream;
            item->epoch = lane->stream->epoch;
            dedup_log_take(lane->dedup, &item->log);
        }
    }
    *out = piece;
    task->services->done(request, NULL);
}

/* ---- life ---- */

static void task_close(sl_task *task) {
    for (size_t i = 0; i < task->streams.n; i++) {
        struct lane_stream *lane = task->streams.items[i];
        if (lane != NULL) {
            dedup_stream_free(lane->dedup);
            free(lane);
        }
    }
    sl_slots_free(&task->streams);
    for (size_t i = 0; i < task->n_computed; i++) {
        expression_free(task->computed[i]);
    }
    free(task->computed);
    sl_json_decoder_free(task->decoder);
    sl_json_rejects_free(&task->rejects);
    sl_builder_free(&task->rows);
    sl_buffer_free(&task->key);
    free(task);
}

static sl_error *make_expressions(sl_task *task) {
    const sl_map *map = &task->node->config->computed;
    task->computed = calloc(map->count + 1, sizeof(*task->computed));
    sl_error *error = task->computed == NULL ? sl_error_no_memory() : NULL;
    for (size_t i = 0; i < map->count && error == NULL; i++) {
        error = expression_parse(map->pairs[i].key, map->pairs[i].value,
                                 sl_json_schema_columns(task->node->schema), &task->computed[i]);
        task->n_computed += error == NULL;
    }
    return error;
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    const sl_services *services = context->services;
    task->node = node;
    task->services = services;
    task->self = context->self;
    sl_error *error = sl_json_decoder_new(node->schema, &task->decoder);
    if (error == NULL) {
        error = sl_builder_init(&task->rows, &node->rows_schema);
    }
    if (error == NULL) {
        error = make_expressions(task);
    }
    if (error != NULL) {
        task_close(task);
        return error;
    }
    task->valid = services->metric(task->self, SL_METRIC_COUNTER, "silver_rows_total",
                                   "records that became rows");
    task->invalid = services->metric(task->self, SL_METRIC_COUNTER, "silver_rejected_total",
                                     "records that were rejected");
    task->duplicates = services->metric(task->self, SL_METRIC_COUNTER, "silver_duplicates_total",
                                        "valid records whose key had occurred before");
    task->dropped =
        services->metric(task->self, SL_METRIC_COUNTER, "silver_properties_dropped_total",
                         "properties that the schema does not name");
    task->memory = services->metric(task->self, SL_METRIC_GAUGE, "deduplication_table_bytes",
                                    "tables of keys, of all lanes of the node");
    *out = task;
    return NULL;
}

const sl_task_ops silver_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .attach = task_attach,
    .detach = task_detach,
    .process = task_process,
    .flush = task_flush,
    .close = task_close,
};
