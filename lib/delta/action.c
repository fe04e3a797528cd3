/*
 * Actions of the transaction log, from their JSON lines (PROTOCOL.md, "Actions"). What a line must
 * have and has not is CORRUPT; what we do not know is passed over, as the protocol wants.
 */
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"

void delta_protocol_clear(delta_protocol *protocol) {
    delta_texts_free(&protocol->reader_features);
    delta_texts_free(&protocol->writer_features);
    memset(protocol, 0, sizeof(*protocol));
}

void delta_metadata_clear(delta_metadata *metadata) {
    free(metadata->id);
    free(metadata->name);
    free(metadata->description);
    free(metadata->provider);
    delta_pairs_free(&metadata->format_options);
    free(metadata->schema_string);
    delta_texts_free(&metadata->partition_columns);
    delta_pairs_free(&metadata->configuration);
    memset(metadata, 0, sizeof(*metadata));
}

void delta_txn_free(void *item) {
    delta_txn *txn = item;
    free(txn->app_id);
    free(txn);
}

void delta_entry_free(void *item) {
    delta_entry *entry = item;
    sl_delta_file_clear(&entry->file);
    free(entry);
}

void delta_domain_free(void *item) {
    delta_domain *domain = item;
    free(domain->name);
    free(domain->configuration);
    free(domain);
}

void delta_action_clear(delta_action *action) {
    sl_delta_file_clear(&action->file);
    free(action->txn.app_id);
    delta_metadata_clear(&action->metadata);
    delta_protocol_clear(&action->protocol);
    free(action->domain.name);
    free(action->domain.configuration);
    free(action->token);
    memset(action, 0, sizeof(*action));
}

static sl_error *missing(const char *action, const char *field) {
    return sl_error_new(SL_ERROR_CORRUPT, "the action \"%s\" has no valid \"%s\"", action, field);
}

/* Copies a string member when it is there. */
static sl_error *copy_member(const json_value *object, const char *name, char **out) {
    const char *text = delta_json_text(object, name);
    if (text == NULL) {
        return NULL;
    }
    *out = strdup(text);
    return *out == NULL ? sl_error_no_memory() : NULL;
}

static sl_error *parse_texts(const json_value *array, delta_texts *out) {
    if (array == NULL || array->kind != JSON_ARRAY) {
        return NULL;
    }
    for (const json_value *v = array->child; v != NULL; v = v->next) {
        if (v->kind != JSON_STRING) {
            return sl_error_new(SL_ERROR_CORRUPT, "\"%s\" is not a list of strings", array->name);
        }
        sl_error *error = delta_texts_add(out, v->text, v->bytes);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

static sl_error *parse_pairs(const json_value *object, delta_pairs *out) {
    if (object == NULL || object->kind != JSON_OBJECT) {
        return NULL;
    }
    for (const json_value *v = object->child; v != NULL; v = v->next) {
        /* Some writers put numbers and booleans where the protocol has strings. */
        sl_error *error = NULL;
        if (v->kind == JSON_TRUE || v->kind == JSON_FALSE) {
            error = delta_pairs_set(out, v->name, v->kind == JSON_TRUE ? "true" : "false");
        } else if (v->kind == JSON_STRING || v->kind == JSON_NUMBER || v->kind == JSON_NULL) {
            error = delta_pairs_set(out, v->name, v->text);
        } else {
            error = sl_error_new(SL_ERROR_CORRUPT, "the value of \"%s\" is not a string", v->name);
        }
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

static sl_error *parse_protocol(const json_value *body, delta_action *out) {
    int64_t reader;
    int64_t writer;
    if (!delta_json_int(body, "minReaderVersion", &reader) || reader < 0 || reader > 1000) {
        return missing("protocol", "minReaderVersion");
    }
    if (!delta_json_int(body, "minWriterVersion", &writer) || writer < 0 || writer > 1000) {
        return missing("protocol", "minWriterVersion");
    }
    out->kind = DELTA_PROTOCOL;
    out->protocol.min_reader = (int32_t)reader;
    out->protocol.min_writer = (int32_t)writer;
    sl_error *error =
        parse_texts(delta_json_member(body, "readerFeatures"), &out->protocol.reader_features);
    return error != NULL ? error
                         : parse_texts(delta_json_member(body, "writerFeatures"),
                                       &out->protocol.writer_features);
}

static sl_error *parse_metadata(const json_value *body, delta_action *out) {
    delta_metadata *m = &out->metadata;
    out->kind = DELTA_METADATA;
    const json_value *format = delta_json_member(body, "format");
    sl_error *error = copy_member(body, "id", &m->id);
    error = error != NULL ? error : copy_member(body, "name", &m->name);
    error = error != NULL ? error : copy_member(body, "description", &m->description);
    error = error != NULL ? error : copy_member(format, "provider", &m->provider);
    error = error != NULL ? error : copy_member(body, "schemaString", &m->schema_string);
    error = error != NULL ? error
                          : parse_pairs(delta_json_member(format, "options"), &m->format_options);
    error = error != NULL
                ? error
                : parse_texts(delta_json_member(body, "partitionColumns"), &m->partition_columns);
    error = error != NULL
                ? error
                : parse_pairs(delta_json_member(body, "configuration"), &m->configuration);
    if (error != NULL) {
        return error;
    }
    if (!delta_json_int(body, "createdTime", &m->created_ms)) {
        m->created_ms = -1;
    }
    return m->id == NULL              ? missing("metaData", "id")
           : m->schema_string == NULL ? missing("metaData", "schemaString")
                                      : NULL;
}

static sl_error *parse_partition_values(const json_value *object, const delta_texts *columns,
                                        sl_delta_file *file) {
    if (columns->n == 0) {
        return NULL;
    }
    file->partition_values = calloc(columns->n, sizeof(char *));
    if (file->partition_values == NULL) {
        return sl_error_no_memory();
    }
    file->n_partition_values = columns->n;
    for (size_t i = 0; i < columns->n; i++) {
        const char *text = delta_json_text(object, columns->items[i]);
        if (text != NULL && text[0] != 0) {
            file->partition_values[i] = strdup(text);
            if (file->partition_values[i] == NULL) {
                return sl_error_no_memory();
            }
        }
    }
    return NULL;
}

/* Splits tags into the tail owner and the others. */
static sl_error *parse_tags(const json_value *tags, sl_delta_file *file) {
    if (tags == NULL || tags->kind != JSON_OBJECT) {
        return NULL;
    }
    sl_error *error = copy_member(tags, SL_DELTA_TAG_TAIL, &file->tail_owner);
    sl_buffer others = SL_BUFFER_INIT;
    for (const json_value *v = tags->child; v != NULL && error == NULL; v = v->next) {
        if (strcmp(v->name, SL_DELTA_TAG_TAIL) == 0) {
            continue;
        }
        sl_buffer_append_byte(&others, others.bytes == 0 ? '{' : ',');
        sl_buffer_append_json_string(&others, v->name, strlen(v->name));
        sl_buffer_append_byte(&others, ':');
        delta_json_write(v, &others);
    }
    if (error == NULL && others.bytes > 0) {
        sl_buffer_append_byte(&others, '}');
        if (others.failed || sl_buffer_text(&others) == NULL) {
            error = sl_error_no_memory();
        } else {
            size_t bytes;
            file->tags = (char *)sl_buffer_take(&others, &bytes);
        }
    }
    sl_buffer_free(&others);
    return error;
}

int64_t delta_stats_rows(const char *stats) {
    static const char name[] = "\"numRecords\"";
    const char *at = stats == NULL ? NULL : strstr(stats, name);
    if (at == NULL) {
        return -1;
    }
    at += sizeof(name) - 1;
    at += strspn(at, " \t\n\r:");
    int64_t rows;
    return sl_parse_i64(at, strspn(at, "0123456789"), &rows) ? rows : -1;
}

static sl_error *parse_path(const char *action, const json_value *body, sl_delta_file *file) {
    const char *path = delta_json_text(body, "path");
    if (path == NULL || path[0] == 0) {
        return missing(action, "path");
    }
    if (delta_json_member(body, "deletionVector") != NULL) {
        return sl_error_new(SL_ERROR_UNSUPPORTED,
                            "the file %s has a deletion vector: the table uses the feature "
                            "deletionVectors, which sluice does not have",
                            path);
    }
    return delta_uri_take(path, file);
}

static sl_error *parse_add(const json_value *body, const delta_texts *columns, delta_action *out) {
    out->kind = DELTA_ADD;
    sl_delta_file *file = &out->file;
    sl_error *error = parse_path("add", body, file);
    if (error != NULL) {
        return error;
    }
    if (!delta_json_int(body, "size", &file->size_bytes) || file->size_bytes < 0) {
        return missing("add", "size");
    }
    if (!delta_json_int(body, "modificationTime", &file->modified_ms)) {
        file->modified_ms = 0;
    }
    file->data_change = delta_json_bool(body, "dataChange", true);
    error = parse_partition_values(delta_json_member(body, "partitionValues"), columns, file);
    error = error != NULL ? error : copy_member(body, "stats", &file->stats);
    file->rows = delta_stats_rows(file->stats);
    return error != NULL ? error : parse_tags(delta_json_member(body, "tags"), file);
}

static sl_error *parse_remove(const json_value *body, const delta_texts *columns,
                              delta_action *out) {
    out->kind = DELTA_REMOVE;
    sl_error *error = parse_path("remove", body, &out->file);
    if (error != NULL) {
        return error;
    }
    if (!delta_json_int(body, "deletionTimestamp", &out->deleted_ms)) {
        out->deleted_ms = 0; /* the protocol: not said, so it may go at once */
    }
    if (!delta_json_int(body, "size", &out->file.size_bytes)) {
        out->file.size_bytes = -1;
    }
    out->file.rows = -1;
    out->file.data_change = delta_json_bool(body, "dataChange", true);
    const json_value *values = delta_json_member(body, "partitionValues");
    return values == NULL ? NULL : parse_partition_values(values, columns, &out->file);
}

static sl_error *parse_txn(const json_value *body, delta_action *out) {
    out->kind = DELTA_TXN;
    if (!delta_json_int(body, "version", &out->txn.version)) {
        return missing("txn", "version");
    }
    if (!delta_json_int(body, "lastUpdated", &out->txn.last_updated_ms)) {
        out->txn.last_updated_ms = -1;
    }
    sl_error *error = copy_member(body, "appId", &out->txn.app_id);
    return error == NULL && out->txn.app_id == NULL ? missing("txn", "appId") : error;
}

static sl_error *parse_domain(const json_value *body, delta_action *out) {
    out->kind = DELTA_DOMAIN;
    out->domain.removed = delta_json_bool(body, "removed", false);
    sl_error *error = copy_member(body, "domain", &out->domain.name);
    error = error != NULL ? error : copy_member(body, "configuration", &out->domain.configuration);
    return error == NULL && out->domain.name == NULL ? missing("domainMetadata", "domain") : error;
}

static sl_error *parse_commit_info(const json_value *body, delta_action *out) {
    out->kind = DELTA_COMMIT_INFO;
    if (!delta_json_int(body, "inCommitTimestamp", &out->in_commit_timestamp_ms)) {
        out->in_commit_timestamp_ms = -1;
    }
    return copy_member(body, "txnId", &out->token);
}

static sl_error *parse_body(const json_value *body, const delta_texts *columns, delta_action *out) {
    out->kind = DELTA_OTHER;
    if (strcmp(body->name, "add") == 0) {
        return parse_add(body, columns, out);
    }
    if (strcmp(body->name, "remove") == 0) {
        return parse_remove(body, columns, out);
    }
    if (strcmp(body->name, "txn") == 0) {
        return parse_txn(body, out);
    }
    if (strcmp(body->name, "metaData") == 0) {
        return parse_metadata(body, out);
    }
    if (strcmp(body->name, "protocol") == 0) {
        return parse_protocol(body, out);
    }
    if (strcmp(body->name, "domainMetadata") == 0) {
        return parse_domain(body, out);
    }
    return strcmp(body->name, "commitInfo") == 0 ? parse_commit_info(body, out) : NULL;
}

sl_error *delta_action_parse(const char *line, size_t bytes, const delta_texts *partition_columns,
                             delta_action *out) {
    json_arena arena = {0};
    const json_value *root = NULL;
    memset(out, 0, sizeof(*out));
    sl_error *error = delta_json_parse(&arena, line, bytes, &root);
    if (error == NULL && root->kind != JSON_OBJECT) {
        error = sl_error_new(SL_ERROR_CORRUPT, "the line is not a JSON object");
    }
    if (error == NULL) {
        const json_value *body = root->child;
        while (body != NULL && body->kind == JSON_NULL) { /* {"add":null,"remove":{...}} */
            body = body->next;
        }
        out->kind = DELTA_OTHER;
        error = body == NULL || body->kind != JSON_OBJECT
                    ? NULL
                    : parse_body(body, partition_columns, out);
    }
    if (error != NULL) {
        delta_action_clear(out);
    }
    delta_json_arena_free(&arena);
    return error;
}
