/* Actions as JSON lines of a log entry. Field order follows PROTOCOL.md's examples. */
#include <string.h>

#include "delta/internal.h"

static void text_field(sl_buffer *out, const char *name, const char *value) {
    sl_buffer_printf(out, "\"%s\":", name);
    sl_buffer_append_json_string(out, value, strlen(value));
}

static void texts_field(sl_buffer *out, const char *name, const delta_texts *texts) {
    sl_buffer_printf(out, "\"%s\":[", name);
    for (size_t i = 0; i < texts->n; i++) {
        sl_buffer_append_text(out, i == 0 ? "" : ",");
        sl_buffer_append_json_string(out, texts->items[i], strlen(texts->items[i]));
    }
    sl_buffer_append_byte(out, ']');
}

static void pairs_field(sl_buffer *out, const char *name, const delta_pairs *pairs) {
    sl_buffer_printf(out, "\"%s\":{", name);
    for (size_t i = 0; i < pairs->n; i++) {
        sl_buffer_append_text(out, i == 0 ? "" : ",");
        sl_buffer_append_json_string(out, pairs->keys[i], strlen(pairs->keys[i]));
        sl_buffer_append_byte(out, ':');
        if (pairs->values[i] == NULL) {
            sl_buffer_append_text(out, "null");
        } else {
            sl_buffer_append_json_string(out, pairs->values[i], strlen(pairs->values[i]));
        }
    }
    sl_buffer_append_byte(out, '}');
}

bool delta_write_protocol(sl_buffer *out, const delta_protocol *protocol) {
    sl_buffer_printf(out, "{\"protocol\":{\"minReaderVersion\":%d,\"minWriterVersion\":%d",
                     protocol->min_reader, protocol->min_writer);
    if (protocol->min_reader >= 3) {
        sl_buffer_append_byte(out, ',');
        texts_field(out, "readerFeatures", &protocol->reader_features);
    }
    if (protocol->min_writer >= 7) {
        sl_buffer_append_byte(out, ',');
        texts_field(out, "writerFeatures", &protocol->writer_features);
    }
    return sl_buffer_append_text(out, "}}\n");
}

bool delta_write_metadata(sl_buffer *out, const delta_metadata *metadata) {
    sl_buffer_append_text(out, "{\"metaData\":{");
    text_field(out, "id", metadata->id);
    if (metadata->name != NULL) {
        sl_buffer_append_byte(out, ',');
        text_field(out, "name", metadata->name);
    }
    if (metadata->description != NULL) {
        sl_buffer_append_byte(out, ',');
        text_field(out, "description", metadata->description);
    }
    sl_buffer_append_text(out, ",\"format\":{");
    text_field(out, "provider", metadata->provider == NULL ? "parquet" : metadata->provider);
    sl_buffer_append_byte(out, ',');
    pairs_field(out, "options", &metadata->format_options);
    sl_buffer_append_text(out, "},");
    text_field(out, "schemaString", metadata->schema_string);
    sl_buffer_append_byte(out, ',');
    texts_field(out, "partitionColumns", &metadata->partition_columns);
    sl_buffer_append_byte(out, ',');
    pairs_field(out, "configuration", &metadata->configuration);
    if (metadata->created_ms >= 0) {
        sl_buffer_printf(out, ",\"createdTime\":%lld", (long long)metadata->created_ms);
    }
    return sl_buffer_append_text(out, "}}\n");
}

static void partition_values(sl_buffer *out, const sl_delta_file *file,
                             const delta_texts *columns) {
    sl_buffer_append_text(out, ",\"partitionValues\":{");
    for (size_t i = 0; i < columns->n; i++) {
        const char *value = i < file->n_partition_values ? file->partition_values[i] : NULL;
        sl_buffer_append_text(out, i == 0 ? "" : ",");
        sl_buffer_append_json_string(out, columns->items[i], strlen(columns->items[i]));
        sl_buffer_append_byte(out, ':');
        if (value == NULL) {
            sl_buffer_append_text(out, "null");
        } else {
            sl_buffer_append_json_string(out, value, strlen(value));
        }
    }
    sl_buffer_append_byte(out, '}');
}

bool delta_write_tags(sl_buffer *out, const sl_delta_file *file) {
    size_t others = file->tags == NULL ? 0 : strlen(file->tags);
    if (file->tail_owner == NULL) {
        return sl_buffer_append(out, file->tags, others);
    }
    sl_buffer_append_byte(out, '{');
    if (others > 2) { /* without its braces */
        sl_buffer_append(out, file->tags + 1, others - 2);
        sl_buffer_append_byte(out, ',');
    }
    text_field(out, SL_DELTA_TAG_TAIL, file->tail_owner);
    return sl_buffer_append_byte(out, '}');
}

static void path_field(sl_buffer *out, const sl_delta_file *file) {
    sl_buffer uri = SL_BUFFER_INIT;
    if (!delta_uri_append(&uri, file) || sl_buffer_text(&uri) == NULL) {
        out->failed = true;
    } else {
        text_field(out, "path", (const char *)uri.data);
    }
    sl_buffer_free(&uri);
}

bool delta_write_add(sl_buffer *out, const sl_delta_file *file, const delta_texts *columns,
                     bool data_change) {
    sl_buffer_append_text(out, "{\"add\":{");
    path_field(out, file);
    partition_values(out, file, columns);
    sl_buffer_printf(out, ",\"size\":%lld,\"modificationTime\":%lld,\"dataChange\":%s",
                     (long long)file->size_bytes, (long long)file->modified_ms,
                     data_change ? "true" : "false");
    if (file->stats != NULL) {
        sl_buffer_append_byte(out, ',');
        text_field(out, "stats", file->stats);
    }
    if (file->tail_owner != NULL || file->tags != NULL) {
        sl_buffer_append_text(out, ",\"tags\":");
        delta_write_tags(out, file);
    }
    return sl_buffer_append_text(out, "}}\n");
}

bool delta_write_remove(sl_buffer *out, const sl_delta_file *file, const delta_texts *columns,
                        int64_t deleted_ms, bool data_change) {
    sl_buffer_append_text(out, "{\"remove\":{");
    path_field(out, file);
    sl_buffer_printf(out, ",\"deletionTimestamp\":%lld,\"dataChange\":%s", (long long)deleted_ms,
                     data_change ? "true" : "false");
    if (file->size_bytes >= 0) {
        sl_buffer_append_text(out, ",\"extendedFileMetadata\":true");
        partition_values(out, file, columns);
        sl_buffer_printf(out, ",\"size\":%lld", (long long)file->size_bytes);
    }
    return sl_buffer_append_text(out, "}}\n");
}

bool delta_write_txn(sl_buffer *out, const char *app_id, int64_t version) {
    sl_buffer_append_text(out, "{\"txn\":{");
    text_field(out, "appId", app_id);
    return sl_buffer_printf(out, ",\"version\":%lld}}\n", (long long)version);
}
