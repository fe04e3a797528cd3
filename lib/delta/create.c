/* New tables: version 0 with protocol 1/2, the schema as Delta spells it, and properties that fit a
 * table with a commit a second. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "delta/internal.h"

/*
 * Removed files and expired log entries are kept for a day: with the protocol's defaults (7 and 30
 * days) a commit a second would leave 600,000 tombstones in each checkpoint and 2.6 million entries
 * in the log.
 */
static const char *const default_configuration[][2] = {
    {"delta.parquet.compression.codec", "zstd"},
    {"delta.deletedFileRetentionDuration", "interval 1 days"},
    {"delta.logRetentionDuration", "interval 1 days"},
};

/* A random UUID (RFC 9562, version 4). */
static sl_error *make_uuid(char **out) {
    uint8_t b[16];
    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b)) {
        return sl_error_new(SL_ERROR_RETRIABLE, "the system gives no random bytes");
    }
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    sl_buffer text = SL_BUFFER_INIT;
    for (size_t i = 0; i < sizeof(b); i++) {
        sl_buffer_printf(&text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    }
    if (text.failed || sl_buffer_text(&text) == NULL) {
        sl_buffer_free(&text);
        return sl_error_no_memory();
    }
    *out = (char *)text.data;
    return NULL;
}

static sl_error *check_partition_columns(const sl_delta_create_options *options) {
    const struct ArrowSchema *schema = options->schema;
    for (size_t i = 0; i < options->n_partition_columns; i++) {
        const char *name = options->partition_columns[i];
        int64_t at = sl_schema_find(schema, name);
        sl_type type;
        if (at < 0) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "the partition column \"%s\" is not a column of the table", name);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(options->partition_columns[j], name) == 0) {
                return sl_error_new(SL_ERROR_CONFIG, "the partition column \"%s\" is named twice",
                                    name);
            }
        }
        if (!sl_type_parse(schema->children[at]->format, &type) || type.id == SL_TYPE_BINARY ||
            schema->children[at]->n_children > 0) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "the column \"%s\" cannot be a partition column: allowed are "
                                "strings, numbers, booleans, dates and timestamps",
                                name);
        }
    }
    if ((int64_t)options->n_partition_columns >= schema->n_children) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "all columns are partition columns; leave one that is not");
    }
    return NULL;
}

static sl_error *fill_configuration(const sl_delta_create_options *options, delta_pairs *out) {
    sl_error *error = NULL;
    for (size_t i = 0; i < SL_ARRAY_LENGTH(default_configuration) && error == NULL; i++) {
        error = delta_pairs_set(out, default_configuration[i][0], default_configuration[i][1]);
    }
    for (size_t i = 0; i < options->n_configuration && error == NULL; i++) {
        error =
            delta_pairs_set(out, options->configuration_keys[i], options->configuration_values[i]);
    }
    return error;
}

static sl_error *copy_optional(const char *text, char **out) {
    *out = text == NULL ? NULL : strdup(text);
    return text != NULL && *out == NULL ? sl_error_no_memory() : NULL;
}

static sl_error *fill_metadata(const sl_delta_create_options *options, delta_metadata *out) {
    sl_buffer schema = SL_BUFFER_INIT;
    out->created_ms = sl_now_us() / 1000;
    sl_error *error = make_uuid(&out->id);
    error = error ? error : copy_optional(options->name, &out->name);
    error = error ? error : copy_optional(options->description, &out->description);
    error = error ? error : copy_optional("parquet", &out->provider);
    error = error ? error : delta_schema_write(options->schema, &schema);
    if (error == NULL) {
        error = sl_buffer_text(&schema) == NULL
                    ? sl_error_no_memory()
                    : copy_optional((const char *)schema.data, &out->schema_string);
    }
    sl_buffer_free(&schema);
    for (size_t i = 0; i < options->n_partition_columns && error == NULL; i++) {
        error = delta_texts_add(&out->partition_columns, options->partition_columns[i],
                                strlen(options->partition_columns[i]));
    }
    return error ? error : fill_configuration(options, &out->configuration);
}

/* timestamp_ntz columns need the table feature of that name. */
static bool has_timestamp_ntz(const struct ArrowSchema *schema) {
    if (strcmp(schema->format, "tsu:") == 0) {
        return true;
    }
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (has_timestamp_ntz(schema->children[i])) {
            return true;
        }
    }
    return false;
}

static sl_error *fill_protocol(const struct ArrowSchema *schema, delta_protocol *out) {
    static const char *const writer_features[] = {"appendOnly", "invariants", "timestampNtz"};
    if (!has_timestamp_ntz(schema)) {
        out->min_reader = 1;
        out->min_writer = 2;
        return NULL;
    }
    out->min_reader = 3;
    out->min_writer = 7;
    sl_error *error = delta_texts_add(&out->reader_features, "timestampNtz", 12);
    for (size_t i = 0; i < SL_ARRAY_LENGTH(writer_features) && error == NULL; i++) {
        error =
            delta_texts_add(&out->writer_features, writer_features[i], strlen(writer_features[i]));
    }
    return error;
}

static bool write_entry(sl_buffer *out, const delta_protocol *protocol,
                        const delta_metadata *metadata) {
    sl_buffer_printf(out,
                     "{\"commitInfo\":{\"timestamp\":%lld,\"operation\":\"CREATE TABLE\","
                     "\"operationParameters\":{},\"isBlindAppend\":true,"
                     "\"engineInfo\":\"sluice/" SL_VERSION "\",\"txnId\":\"%s\"}}\n",
                     (long long)metadata->created_ms, metadata->id);
    delta_write_protocol(out, protocol);
    return delta_write_metadata(out, metadata);
}

/* EXISTS when the store has a table, also one whose version 0 was cleaned up. */
static sl_error *check_absent(sl_store *store) {
    sl_delta_table *table = NULL;
    sl_error *error = sl_delta_open(store, &table);
    if (error == NULL) {
        sl_delta_close(table);
        return sl_error_new(SL_ERROR_EXISTS, "%s: there is a Delta table already",
                            store->ops->url(store));
    }
    if (!sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        return error;
    }
    sl_error_free(error);
    return NULL;
}

/* Puts version 0. After an unclear answer the table's id tells whether the entry is ours. */
static sl_error *put_first(sl_store *store, const delta_metadata *metadata,
                           const sl_buffer *entry) {
    char path[DELTA_PATH_BYTES];
    delta_log_path(0, path);
    sl_error *error = store->ops->put(store, path, entry->data, entry->bytes, SL_STORE_IF_ABSENT);
    if (error == NULL ||
        (!sl_error_is(error, SL_ERROR_RETRIABLE) && !sl_error_is(error, SL_ERROR_EXISTS))) {
        return error;
    }
    sl_store_bytes found = {0};
    sl_error *unread = store->ops->get(store, path, 0, -1, &found);
    if (unread != NULL) {
        sl_error_free(unread);
        return error;
    }
    if (memmem(found.data, found.bytes, metadata->id, strlen(metadata->id)) != NULL) {
        sl_error_free(error);
        error = NULL;
    }
    found.release(&found);
    return error;
}

/* The handle of a table that was just made: its only entry is known. */
static sl_error *open_first(sl_store *store, const sl_buffer *entry, sl_delta_table **out) {
    sl_delta_table *table = delta_table_new(store);
    if (table == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = delta_log_apply(table, entry->data, entry->bytes, NULL);
    if (error != NULL) {
        sl_delta_close(table);
        return error;
    }
    table->seen_us = sl_monotonic_us();
    *out = table;
    return NULL;
}

/* `look`: nobody has looked yet whether there is one. */
static sl_error *create(sl_store *store, const sl_delta_create_options *options, bool look,
                        sl_delta_table **out) {
    delta_metadata metadata = {0};
    delta_protocol protocol = {0};
    sl_buffer entry = SL_BUFFER_INIT;
    sl_error *error = sl_delta_check_schema(options->schema);
    error = error ? error : check_partition_columns(options);
    error = error != NULL || !look ? error : check_absent(store);
    error = error ? error : fill_metadata(options, &metadata);
    error = error ? error : fill_protocol(options->schema, &protocol);
    if (error == NULL && !write_entry(&entry, &protocol, &metadata)) {
        error = sl_error_no_memory();
    }
    error = error ? error : put_first(store, &metadata, &entry);
    error = error ? error : open_first(store, &entry, out);
    delta_metadata_clear(&metadata);
    delta_protocol_clear(&protocol);
    sl_buffer_free(&entry);
    return error;
}

sl_error *sl_delta_create(sl_store *store, const sl_delta_create_options *options,
                          sl_delta_table **out) {
    return create(store, options, true, out);
}

sl_error *sl_delta_open_or_create(sl_store *store, const sl_delta_create_options *options,
                                  sl_delta_table **out) {
    sl_error *error = sl_delta_open(store, out);
    if (!sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        return error;
    }
    sl_error_free(error);
    error = create(store, options, false, out);
    if (sl_error_is(error, SL_ERROR_EXISTS)) {
        sl_error_free(error);
        error = sl_delta_open(store, out);
    }
    return error;
}
