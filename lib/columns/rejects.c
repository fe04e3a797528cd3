/*
 * The schema of rejected records, and the row for one.
 */
#include "columns/rejects.h"

#include "columns/raw.h"

static const struct reject_field {
    const char *name;
    const char *format;
    bool nullable;
} FIELDS[SL_REJECT_COLUMNS] = {
    [SL_REJECT_REASON] = {"reason", "u", false},
    [SL_REJECT_PATH] = {"path", "u", false},
    [SL_REJECT_DETAIL] = {"detail", "u", false},
    [SL_REJECT_VALUE] = {"value", "z", true},
    [SL_REJECT_TOPIC] = {"topic", "u", false},
    [SL_REJECT_PARTITION] = {"partition", "i", false},
    [SL_REJECT_OFFSET] = {"offset", "l", false},
    [SL_REJECT_TIMESTAMP] = {"timestamp", "tsu:UTC", true},
    [SL_REJECT_KEY] = {"key", "z", true},
    [SL_REJECT_HEADERS] = {"headers", "+l", true},
};

sl_error *sl_rejects_schema(const char *plugin, struct ArrowSchema *out) {
    sl_error *error = sl_schema_new_struct(SL_REJECT_COLUMNS, out);
    if (error != NULL) {
        return error;
    }
    for (size_t i = 0; i < SL_REJECT_COLUMNS && error == NULL; i++) {
        error = sl_schema_set_field(out, i, FIELDS[i].name, FIELDS[i].format, FIELDS[i].nullable,
                                    i == SL_REJECT_HEADERS ? 1 : 0);
    }
    if (error == NULL) {
        error = sl_raw_set_headers(out->children[SL_REJECT_HEADERS]);
    }
    if (error == NULL) {
        static const char *const keys[] = {SL_REJECT_METADATA};
        error = sl_schema_set_metadata(out, keys, &plugin, 1);
    }
    if (error != NULL) {
        out->release(out);
    }
    return error;
}

const char *sl_rejects_of(const struct ArrowSchema *schema, size_t *bytes) {
    if (schema->n_children < SL_REJECT_COLUMNS) {
        return NULL;
    }
    for (size_t i = 0; i < SL_REJECT_COLUMNS; i++) {
        if (strcmp(schema->children[i]->name, FIELDS[i].name) != 0 ||
            strcmp(schema->children[i]->format, FIELDS[i].format) != 0) {
            return NULL;
        }
    }
    return sl_schema_metadata(schema, SL_REJECT_METADATA, bytes);
}

int64_t sl_rejects_offset(const sl_batch *batch, int64_t row) {
    int64_t column =
        sl_raw_is(batch->schema) ? SL_RAW_OFFSET : sl_schema_find(batch->schema, "_offset");
    if (column >= 0 && strcmp(batch->schema->children[column]->format, "l") == 0) {
        return ((const int64_t *)batch->columns->children[column]->buffers[1])[row];
    }
    bool dense = batch->next_offset - batch->first_offset == batch->rows;
    return batch->first_offset + (dense ? row : 0);
}

static bool append_binary(sl_builder *out, const struct ArrowArray *from, int64_t row) {
    if (sl_array_is_null(from, row)) {
        return sl_builder_append_null(out);
    }
    const int32_t *at = (const int32_t *)from->buffers[1] + row;
    return sl_builder_append_bytes(out, (const uint8_t *)from->buffers[2] + at[0],
                                   (size_t)(at[1] - at[0]));
}

static bool append_raw(sl_builder *columns, const sl_batch *batch, int64_t row) {
    struct ArrowArray *const *from = batch->columns->children;
    const struct ArrowArray *time = from[SL_RAW_TIMESTAMP];
    sl_error *error = sl_builder_append_array(&columns[SL_REJECT_HEADERS],
                                              batch->schema->children[SL_RAW_HEADERS],
                                              from[SL_RAW_HEADERS], row, 1);
    bool good = error == NULL;
    sl_error_free(error);
    return good && append_binary(&columns[SL_REJECT_KEY], from[SL_RAW_KEY], row) &&
           append_binary(&columns[SL_REJECT_VALUE], from[SL_RAW_VALUE], row) &&
           (sl_array_is_null(time, row)
                ? sl_builder_append_null(&columns[SL_REJECT_TIMESTAMP])
                : sl_builder_append_i64(&columns[SL_REJECT_TIMESTAMP],
                                        ((const int64_t *)time->buffers[1])[row]));
}

static bool append_row(sl_builder *columns, const sl_batch *batch, int64_t row) {
    sl_buffer text = SL_BUFFER_INIT;
    bool good = sl_array_append_json(batch->schema, batch->columns, row, &text) &&
                sl_builder_append_bytes(&columns[SL_REJECT_VALUE], text.data, text.bytes) &&
                sl_builder_append_null(&columns[SL_REJECT_KEY]) &&
                sl_builder_append_null(&columns[SL_REJECT_HEADERS]) &&
                sl_builder_append_null(&columns[SL_REJECT_TIMESTAMP]);
    sl_buffer_free(&text);
    return good;
}

bool sl_rejects_append(sl_builder *builder, const sl_batch *batch, int64_t row,
                       const sl_reject *why) {
    sl_builder *columns = builder->children;
    int64_t before = builder->length;
    const char *topic = batch->stream->topic;
    bool good =
        sl_builder_append_bytes(&columns[SL_REJECT_REASON], why->reason, why->reason_bytes) &&
        sl_builder_append_bytes(&columns[SL_REJECT_PATH], why->path, why->path_bytes) &&
        sl_builder_append_bytes(&columns[SL_REJECT_DETAIL], why->detail, why->detail_bytes) &&
        sl_builder_append_bytes(&columns[SL_REJECT_TOPIC], topic, strlen(topic)) &&
        sl_builder_append_i64(&columns[SL_REJECT_PARTITION], batch->stream->partition) &&
        sl_builder_append_i64(&columns[SL_REJECT_OFFSET], sl_rejects_offset(batch, row)) &&
        (sl_raw_is(batch->schema) ? append_raw(columns, batch, row)
                                  : append_row(columns, batch, row)) &&
        sl_builder_append_struct(builder);
    if (!good) {
        sl_builder_truncate(builder, before);
    }
    return good;
}
