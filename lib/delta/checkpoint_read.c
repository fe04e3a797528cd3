/*
 * V1 checkpoints, single and multi-part, as a stream of actions (PROTOCOL.md, "Checkpoints"). Only
 * the columns that are wanted are read; memory is bounded by the Parquet reader's batches. Columns
 * that a writer left out mean nulls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"
#include "parquet/reader.h"

#define BATCH_ROWS 4096

static const struct {
    unsigned kinds;
    const char *path;
} columns[] = {
    {DELTA_CHECKPOINT_STATE, "protocol"},
    {DELTA_CHECKPOINT_STATE, "metaData"},
    {DELTA_CHECKPOINT_STATE, "txn"},
    {DELTA_CHECKPOINT_STATE, "domainMetadata"},
    {DELTA_CHECKPOINT_FILES | DELTA_CHECKPOINT_PATHS, "add.path"},
    {DELTA_CHECKPOINT_FILES, "add.partitionValues"},
    {DELTA_CHECKPOINT_FILES, "add.size"},
    {DELTA_CHECKPOINT_FILES, "add.modificationTime"},
    {DELTA_CHECKPOINT_FILES, "add.dataChange"},
    {DELTA_CHECKPOINT_FILES, "add.stats"},
    {DELTA_CHECKPOINT_FILES, "add.tags"},
    {DELTA_CHECKPOINT_TOMBSTONES, "remove.path"},
    {DELTA_CHECKPOINT_TOMBSTONES, "remove.deletionTimestamp"},
    {DELTA_CHECKPOINT_TOMBSTONES, "remove.dataChange"},
    {DELTA_CHECKPOINT_TOMBSTONES, "remove.partitionValues"},
    {DELTA_CHECKPOINT_TOMBSTONES, "remove.size"},
};

/* One struct column of a batch, or a struct within it; `array` NULL: the file has no such column.
 */
typedef struct struct_view {
    const struct ArrowSchema *schema;
    const struct ArrowArray *array;
} struct_view;

static struct_view child_of(struct_view parent, const char *name) {
    if (parent.array == NULL) {
        return (struct_view){NULL, NULL};
    }
    int64_t i = sl_schema_find(parent.schema, name);
    return i < 0 ? (struct_view){NULL, NULL}
                 : (struct_view){parent.schema->children[i], parent.array->children[i]};
}

static bool present(struct_view view, int64_t row) {
    return view.array != NULL && row < view.array->length && !sl_array_is_null(view.array, row);
}

/* A text of a utf8 or binary column, copied; *out stays NULL when it is null or not there. */
static sl_error *take_text(struct_view view, int64_t row, char **out) {
    if (!present(view, row) || (view.schema->format[0] != 'u' && view.schema->format[0] != 'z')) {
        return NULL;
    }
    const int32_t *offsets = view.array->buffers[1];
    const char *data = view.array->buffers[2];
    *out = strndup(data + offsets[row], (size_t)(offsets[row + 1] - offsets[row]));
    return *out == NULL ? sl_error_no_memory() : NULL;
}

static bool take_int(struct_view view, int64_t row, int64_t *out) {
    if (!present(view, row)) {
        return false;
    }
    if (view.schema->format[0] == 'l') {
        *out = ((const int64_t *)view.array->buffers[1])[row];
        return true;
    }
    if (view.schema->format[0] == 'i') {
        *out = ((const int32_t *)view.array->buffers[1])[row];
        return true;
    }
    return false;
}

static bool take_bool(struct_view view, int64_t row, bool fallback) {
    if (!present(view, row) || view.schema->format[0] != 'b') {
        return fallback;
    }
    return sl_bit_get(view.array->buffers[1], row);
}

/* First and one past the last child row of a list or map. */
static bool take_range(struct_view view, int64_t row, const char *format, int64_t *first,
                       int64_t *end) {
    if (!present(view, row) || strcmp(view.schema->format, format) != 0) {
        return false;
    }
    const int32_t *offsets = view.array->buffers[1];
    *first = offsets[row];
    *end = offsets[row + 1];
    return true;
}

static sl_error *take_texts(struct_view view, int64_t row, delta_texts *out) {
    int64_t first;
    int64_t end;
    if (!take_range(view, row, "+l", &first, &end)) {
        return NULL;
    }
    struct_view element = {view.schema->children[0], view.array->children[0]};
    for (int64_t i = first; i < end; i++) {
        char *text = NULL;
        sl_error *error = take_text(element, i, &text);
        if (error == NULL && text != NULL) {
            error = delta_texts_add(out, text, strlen(text));
        }
        free(text);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

static sl_error *take_pairs(struct_view view, int64_t row, delta_pairs *out) {
    int64_t first;
    int64_t end;
    if (!take_range(view, row, "+m", &first, &end)) {
        return NULL;
    }
    const struct ArrowSchema *entries_schema = view.schema->children[0];
    const struct ArrowArray *entries = view.array->children[0];
    struct_view keys = {entries_schema->children[0], entries->children[0]};
    struct_view values = {entries_schema->children[1], entries->children[1]};
    for (int64_t i = first; i < end; i++) {
        char *key = NULL;
        char *value = NULL;
        sl_error *error = take_text(keys, i, &key);
        error = error != NULL ? error : take_text(values, i, &value);
        if (error == NULL && key != NULL) {
            error = delta_pairs_set(out, key, value);
        }
        free(key);
        free(value);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

/* ---- actions ---- */

static sl_error *take_protocol(struct_view view, int64_t row, delta_action *out) {
    int64_t reader = 0;
    int64_t writer = 0;
    out->kind = DELTA_PROTOCOL;
    if (!take_int(child_of(view, "minReaderVersion"), row, &reader) ||
        !take_int(child_of(view, "minWriterVersion"), row, &writer)) {
        return sl_error_new(SL_ERROR_CORRUPT, "the protocol action has no versions");
    }
    out->protocol.min_reader = (int32_t)reader;
    out->protocol.min_writer = (int32_t)writer;
    sl_error *error =
        take_texts(child_of(view, "readerFeatures"), row, &out->protocol.reader_features);
    return error != NULL
               ? error
               : take_texts(child_of(view, "writerFeatures"), row, &out->protocol.writer_features);
}

static sl_error *take_metadata(struct_view view, int64_t row, delta_action *out) {
    delta_metadata *m = &out->metadata;
    struct_view format = child_of(view, "format");
    out->kind = DELTA_METADATA;
    sl_error *error = take_text(child_of(view, "id"), row, &m->id);
    error = error ? error : take_text(child_of(view, "name"), row, &m->name);
    error = error ? error : take_text(child_of(view, "description"), row, &m->description);
    error = error ? error : take_text(child_of(format, "provider"), row, &m->provider);
    error = error ? error : take_pairs(child_of(format, "options"), row, &m->format_options);
    error = error ? error : take_text(child_of(view, "schemaString"), row, &m->schema_string);
    error =
        error ? error : take_texts(child_of(view, "partitionColumns"), row, &m->partition_columns);
    error = error ? error : take_pairs(child_of(view, "configuration"), row, &m->configuration);
    if (error != NULL) {
        return error;
    }
    if (!take_int(child_of(view, "createdTime"), row, &m->created_ms)) {
        m->created_ms = -1;
    }
    return m->id != NULL && m->schema_string != NULL
               ? NULL
               : sl_error_new(SL_ERROR_CORRUPT, "the metaData action has no id or schemaString");
}

static sl_error *take_partition_values(struct_view view, int64_t row, const delta_texts *names,
                                       sl_delta_file *file) {
    delta_pairs pairs = {0};
    if (names->n == 0) {
        return NULL;
    }
    sl_error *error = take_pairs(view, row, &pairs);
    file->partition_values = error != NULL ? NULL : calloc(names->n, sizeof(char *));
    if (error == NULL && file->partition_values == NULL) {
        error = sl_error_no_memory();
    }
    if (error == NULL) {
        file->n_partition_values = names->n;
        for (size_t i = 0; i < names->n && error == NULL; i++) {
            const char *value = delta_pairs_get(&pairs, names->items[i]);
            if (value != NULL && value[0] != 0) {
                file->partition_values[i] = strdup(value);
                error = file->partition_values[i] == NULL ? sl_error_no_memory() : NULL;
            }
        }
    }
    delta_pairs_free(&pairs);
    return error;
}

static sl_error *take_path(struct_view view, int64_t row, sl_delta_file *file) {
    char *uri = NULL;
    sl_error *error = take_text(child_of(view, "path"), row, &uri);
    if (error == NULL && uri == NULL) {
        return sl_error_new(SL_ERROR_CORRUPT, "a file has no path");
    }
    if (error == NULL) {
        error = delta_uri_take(uri, file);
    }
    free(uri);
    return error;
}

static sl_error *take_tags(struct_view view, int64_t row, sl_delta_file *file) {
    delta_pairs tags = {0};
    sl_error *error = take_pairs(view, row, &tags);
    sl_buffer others = SL_BUFFER_INIT;
    for (size_t i = 0; i < tags.n && error == NULL; i++) {
        const char *value = tags.values[i] == NULL ? "" : tags.values[i];
        if (strcmp(tags.keys[i], SL_DELTA_TAG_TAIL) == 0) {
            file->tail_owner = strdup(value);
            error = file->tail_owner == NULL ? sl_error_no_memory() : NULL;
            continue;
        }
        sl_buffer_append_byte(&others, others.bytes == 0 ? '{' : ',');
        sl_buffer_append_json_string(&others, tags.keys[i], strlen(tags.keys[i]));
        sl_buffer_append_byte(&others, ':');
        sl_buffer_append_json_string(&others, value, strlen(value));
    }
    if (error == NULL && others.bytes > 0) {
        size_t bytes;
        sl_buffer_append_byte(&others, '}');
        error = others.failed || sl_buffer_text(&others) == NULL ? sl_error_no_memory() : NULL;
        file->tags = error == NULL ? (char *)sl_buffer_take(&others, &bytes) : NULL;
    }
    sl_buffer_free(&others);
    delta_pairs_free(&tags);
    return error;
}

static sl_error *take_add(struct_view view, int64_t row, const delta_texts *names,
                          delta_action *out) {
    sl_delta_file *file = &out->file;
    out->kind = DELTA_ADD;
    sl_error *error = take_path(view, row, file);
    if (!take_int(child_of(view, "size"), row, &file->size_bytes)) {
        file->size_bytes = -1;
    }
    if (!take_int(child_of(view, "modificationTime"), row, &file->modified_ms)) {
        file->modified_ms = 0;
    }
    file->data_change = take_bool(child_of(view, "dataChange"), row, false);
    error =
        error ? error : take_partition_values(child_of(view, "partitionValues"), row, names, file);
    error = error ? error : take_text(child_of(view, "stats"), row, &file->stats);
    file->rows = delta_stats_rows(file->stats);
    return error ? error : take_tags(child_of(view, "tags"), row, file);
}

static sl_error *take_remove(struct_view view, int64_t row, const delta_texts *names,
                             delta_action *out) {
    sl_delta_file *file = &out->file;
    out->kind = DELTA_REMOVE;
    file->rows = -1;
    sl_error *error = take_path(view, row, file);
    if (!take_int(child_of(view, "size"), row, &file->size_bytes)) {
        file->size_bytes = -1;
    }
    if (!take_int(child_of(view, "deletionTimestamp"), row, &out->deleted_ms)) {
        out->deleted_ms = 0;
    }
    file->data_change = take_bool(child_of(view, "dataChange"), row, true);
    return error ? error
                 : take_partition_values(child_of(view, "partitionValues"), row, names, file);
}

static sl_error *take_txn(struct_view view, int64_t row, delta_action *out) {
    out->kind = DELTA_TXN;
    sl_error *error = take_text(child_of(view, "appId"), row, &out->txn.app_id);
    if (error == NULL &&
        (out->txn.app_id == NULL || !take_int(child_of(view, "version"), row, &out->txn.version))) {
        return sl_error_new(SL_ERROR_CORRUPT, "a txn action has no appId or version");
    }
    if (!take_int(child_of(view, "lastUpdated"), row, &out->txn.last_updated_ms)) {
        out->txn.last_updated_ms = -1;
    }
    return error;
}

static sl_error *take_domain(struct_view view, int64_t row, delta_action *out) {
    out->kind = DELTA_DOMAIN;
    out->domain.removed = take_bool(child_of(view, "removed"), row, false);
    sl_error *error = take_text(child_of(view, "domain"), row, &out->domain.name);
    error =
        error ? error : take_text(child_of(view, "configuration"), row, &out->domain.configuration);
    return error == NULL && out->domain.name == NULL
               ? sl_error_new(SL_ERROR_CORRUPT, "a domainMetadata action has no domain")
               : error;
}

/* ---- the stream ---- */

typedef struct checkpoint_scan {
    const sl_delta_table *table;
    unsigned wanted;
    delta_visit_action visit;
    void *arg;
} checkpoint_scan;

static sl_error *take_action(const checkpoint_scan *s, struct_view batch, int64_t row,
                             delta_action *out) {
    const delta_texts *names = &s->table->metadata.partition_columns;
    out->kind = DELTA_OTHER;
    struct_view view = child_of(batch, "add");
    if (present(view, row)) {
        return take_add(view, row, names, out);
    }
    view = child_of(batch, "remove");
    if (present(view, row)) {
        return take_remove(view, row, names, out);
    }
    view = child_of(batch, "txn");
    if (present(view, row)) {
        return take_txn(view, row, out);
    }
    view = child_of(batch, "metaData");
    if (present(view, row)) {
        return take_metadata(view, row, out);
    }
    view = child_of(batch, "protocol");
    if (present(view, row)) {
        return take_protocol(view, row, out);
    }
    view = child_of(batch, "domainMetadata");
    return present(view, row) ? take_domain(view, row, out) : NULL;
}

static sl_error *visit_batch(const checkpoint_scan *s, struct_view batch) {
    for (int64_t row = 0; row < batch.array->length; row++) {
        delta_action action = {0};
        sl_error *error = take_action(s, batch, row, &action);
        if (error == NULL && action.kind != DELTA_OTHER) {
            error = s->visit(&action, s->arg);
        }
        delta_action_clear(&action);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

/* The wanted columns that the file has. */
static size_t choose(const struct ArrowSchema *schema, unsigned wanted, const char **chosen) {
    size_t n = 0;
    for (size_t i = 0; i < SL_ARRAY_LENGTH(columns); i++) {
        if ((columns[i].kinds & wanted) == 0) {
            continue;
        }
        const char *dot = strchr(columns[i].path, '.');
        char top[32];
        snprintf(top, sizeof(top), "%.*s",
                 (int)(dot == NULL ? strlen(columns[i].path) : (size_t)(dot - columns[i].path)),
                 columns[i].path);
        int64_t at = sl_schema_find(schema, top);
        if (at >= 0 && (dot == NULL || sl_schema_find(schema->children[at], dot + 1) >= 0)) {
            chosen[n++] = columns[i].path;
        }
    }
    return n;
}

static sl_error *visit_open(const checkpoint_scan *s, const sl_parquet_reader *reader) {
    const char *chosen[SL_ARRAY_LENGTH(columns)];
    sl_parquet_scan_options options = {.columns = chosen, .max_rows = BATCH_ROWS};
    options.n_columns = choose(sl_parquet_reader_schema(reader), s->wanted, chosen);
    if (options.n_columns == 0) {
        return NULL;
    }
    sl_parquet_scan *scan = NULL;
    sl_error *error = sl_parquet_scan_open(reader, &options, &scan);
    while (error == NULL) {
        struct ArrowArray batch = {0};
        error = sl_parquet_scan_next(scan, &batch);
        if (error != NULL || batch.release == NULL) {
            break;
        }
        error = visit_batch(s, (struct_view){sl_parquet_scan_schema(scan), &batch});
        batch.release(&batch);
    }
    sl_parquet_scan_close(scan);
    return error;
}

sl_error *delta_checkpoint_visit(const sl_delta_table *table, unsigned wanted,
                                 delta_visit_action visit, void *arg, int64_t *actions) {
    checkpoint_scan s = {table, wanted, visit, arg};
    int64_t parts = table->checkpoint_parts;
    int64_t bytes = parts == 0 ? table->checkpoint_bytes : -1;
    sl_error *error = NULL;
    for (int64_t part = parts == 0 ? 0 : 1; part <= parts && error == NULL; part++) {
        char path[DELTA_PATH_BYTES];
        sl_parquet_reader *reader = NULL;
        delta_checkpoint_path(table->checkpoint_version, part, parts, path);
        error = sl_parquet_reader_open_store(table->store, path, bytes, NULL, &reader);
        if (error == NULL) {
            if (actions != NULL) {
                *actions += sl_parquet_reader_rows(reader);
            }
            error = visit_open(&s, reader);
        }
        sl_parquet_reader_close(reader);
        if (sl_error_is(error, SL_ERROR_CORRUPT)) {
            error = sl_error_wrap(error, "%s/%s", table->url, path);
        }
    }
    return error;
}
