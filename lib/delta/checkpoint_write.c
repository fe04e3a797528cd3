/*
 * Writing V1 checkpoints. The old checkpoint is streamed into the new one, less what was removed
 * since, so that memory is bounded by the entries of one checkpoint interval and by the Parquet
 * writer, whatever the table's size. When a checkpoint is due is decided here, too.
 */
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"
#include "parquet/writer.h"

#define BATCH_ROWS 2048
#define BATCH_BYTES ((size_t)4 << 20)

/* Rewriting F actions each F / ACTIONS_PER_COMMIT commits costs the same per commit at any size;
 * past MAX_INTERVAL readers would have to replay too many entries. */
#define MIN_INTERVAL 10
#define MAX_INTERVAL 1000
#define ACTIONS_PER_COMMIT 100

#define DAY_MS (INT64_C(86400) * 1000)
#define DEFAULT_FILE_RETENTION_MS (7 * DAY_MS)

#define FIELD(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define STRUCT(fields) "{\"type\":\"struct\",\"fields\":[" fields "]}"
#define TEXTS "{\"type\":\"array\",\"elementType\":\"string\",\"containsNull\":true}"
#define PAIRS                                                                                      \
    "{\"type\":\"map\",\"keyType\":\"string\",\"valueType\":\"string\","                           \
    "\"valueContainsNull\":true}"
#define TEXT "\"string\""
#define LONG "\"long\""
#define INTEGER "\"integer\""
#define BOOLEAN "\"boolean\""

/* PROTOCOL.md, "Checkpoint Schema". The order of fields is that of the append_ functions. */
static const char checkpoint_schema[] = STRUCT(
    /* clang-format off */
    FIELD("txn", STRUCT(
        FIELD("appId", TEXT) "," FIELD("version", LONG) "," FIELD("lastUpdated", LONG))) ","
    FIELD("add", STRUCT(
        FIELD("path", TEXT) "," FIELD("partitionValues", PAIRS) "," FIELD("size", LONG) ","
        FIELD("modificationTime", LONG) "," FIELD("dataChange", BOOLEAN) "," FIELD("stats", TEXT)
        "," FIELD("tags", PAIRS))) ","
    FIELD("remove", STRUCT(
        FIELD("path", TEXT) "," FIELD("deletionTimestamp", LONG) "," FIELD("dataChange", BOOLEAN)
        "," FIELD("extendedFileMetadata", BOOLEAN) "," FIELD("partitionValues", PAIRS) ","
        FIELD("size", LONG))) ","
    FIELD("metaData", STRUCT(
        FIELD("id", TEXT) "," FIELD("name", TEXT) "," FIELD("description", TEXT) ","
        FIELD("format", STRUCT(FIELD("provider", TEXT) "," FIELD("options", PAIRS))) ","
        FIELD("schemaString", TEXT) "," FIELD("partitionColumns", TEXTS) ","
        FIELD("configuration", PAIRS) "," FIELD("createdTime", LONG))) ","
    FIELD("protocol", STRUCT(
        FIELD("minReaderVersion", INTEGER) "," FIELD("minWriterVersion", INTEGER) ","
        FIELD("readerFeatures", TEXTS) "," FIELD("writerFeatures", TEXTS))) ","
    FIELD("domainMetadata", STRUCT(
        FIELD("domain", TEXT) "," FIELD("configuration", TEXT) "," FIELD("removed", BOOLEAN)))
    /* clang-format on */
);
enum { ROW_TXN, ROW_ADD, ROW_REMOVE, ROW_METADATA, ROW_PROTOCOL, ROW_DOMAIN, ROW_KINDS };

typedef struct checkpoint_writer {
    const sl_delta_table *table;
    sl_store_writer *out;
    struct ArrowSchema schema;
    sl_builder builder;
    sl_parquet_writer *parquet;
    size_t batch_bytes;
    int64_t actions;
    int64_t adds;
    int64_t add_bytes;
    int64_t keep_after_ms; /* tombstones deleted before are expired */
} checkpoint_writer;

/* ---- one value; false when memory is short ---- */

static bool put_text(checkpoint_writer *w, sl_builder *to, const char *text) {
    if (text == NULL) {
        return sl_builder_append_null(to);
    }
    size_t bytes = strlen(text);
    w->batch_bytes += bytes;
    return sl_builder_append_bytes(to, text, bytes);
}

/* -1 is null */
static bool put_long(sl_builder *to, int64_t value) {
    return value < 0 ? sl_builder_append_null(to) : sl_builder_append_i64(to, value);
}

static bool put_texts(checkpoint_writer *w, sl_builder *to, const delta_texts *texts) {
    for (size_t i = 0; i < texts->n; i++) {
        if (!put_text(w, &to->children[0], texts->items[i])) {
            return false;
        }
    }
    return sl_builder_append_list(to);
}

static bool put_pair(checkpoint_writer *w, sl_builder *map, const char *key, const char *value) {
    sl_builder *entries = &map->children[0];
    return put_text(w, &entries->children[0], key) && put_text(w, &entries->children[1], value) &&
           sl_builder_append_struct(entries);
}

static bool put_pairs(checkpoint_writer *w, sl_builder *to, const delta_pairs *pairs) {
    for (size_t i = 0; i < pairs->n; i++) {
        if (!put_pair(w, to, pairs->keys[i], pairs->values[i])) {
            return false;
        }
    }
    return sl_builder_append_list(to);
}

static bool put_partition_values(checkpoint_writer *w, sl_builder *to, const sl_delta_file *file) {
    const delta_texts *columns = &w->table->metadata.partition_columns;
    for (size_t i = 0; i < columns->n; i++) {
        const char *value = i < file->n_partition_values ? file->partition_values[i] : NULL;
        if (!put_pair(w, to, columns->items[i], value)) {
            return false;
        }
    }
    return sl_builder_append_list(to);
}

static bool put_path(checkpoint_writer *w, sl_builder *to, const sl_delta_file *file) {
    sl_buffer uri = SL_BUFFER_INIT;
    bool good = delta_uri_append(&uri, file) && sl_buffer_text(&uri) != NULL &&
                put_text(w, to, (const char *)uri.data);
    sl_buffer_free(&uri);
    return good;
}

static bool put_tags(checkpoint_writer *w, sl_builder *to, const sl_delta_file *file) {
    if (file->tags == NULL && file->tail_owner == NULL) {
        return sl_builder_append_null(to);
    }
    json_arena arena = {0};
    const json_value *root = NULL;
    bool good = true;
    if (file->tags != NULL) { /* written by us from parsed tags: it parses */
        sl_error *error = delta_json_parse(&arena, file->tags, strlen(file->tags), &root);
        good = error == NULL;
        sl_error_free(error);
    }
    for (const json_value *v = root == NULL ? NULL : root->child; v != NULL && good; v = v->next) {
        good = put_pair(w, to, v->name, v->text);
    }
    if (good && file->tail_owner != NULL) {
        good = put_pair(w, to, SL_DELTA_TAG_TAIL, file->tail_owner);
    }
    delta_json_arena_free(&arena);
    return good && sl_builder_append_list(to);
}

/* ---- rows ---- */

static sl_error *write_batch(checkpoint_writer *w) {
    struct ArrowArray batch;
    sl_error *error = sl_builder_finish(&w->builder, &batch);
    if (error == NULL) {
        error = sl_parquet_writer_append(w->parquet, &batch, 0, batch.length);
        batch.release(&batch);
    }
    w->batch_bytes = 0;
    return error;
}

/* The column `kind` has got its value: the others are null. */
static sl_error *end_row(checkpoint_writer *w, int kind, bool good) {
    for (int i = 0; i < ROW_KINDS && good; i++) {
        good = i == kind ? sl_builder_append_struct(&w->builder.children[i])
                         : sl_builder_append_null(&w->builder.children[i]);
    }
    if (!good || !sl_builder_append_struct(&w->builder)) {
        return sl_error_no_memory();
    }
    w->actions++;
    bool full = w->builder.length >= BATCH_ROWS || w->batch_bytes >= BATCH_BYTES;
    return full ? write_batch(w) : NULL;
}

static sl_error *append_txn(checkpoint_writer *w, const delta_txn *txn) {
    sl_builder *c = w->builder.children[ROW_TXN].children;
    bool good = put_text(w, &c[0], txn->app_id) && sl_builder_append_i64(&c[1], txn->version) &&
                put_long(&c[2], txn->last_updated_ms);
    return end_row(w, ROW_TXN, good);
}

static sl_error *append_add(checkpoint_writer *w, const sl_delta_file *file) {
    sl_builder *c = w->builder.children[ROW_ADD].children;
    bool good = put_path(w, &c[0], file) && put_partition_values(w, &c[1], file) &&
                sl_builder_append_i64(&c[2], file->size_bytes) &&
                sl_builder_append_i64(&c[3], file->modified_ms) &&
                sl_builder_append_bool(&c[4], false) && put_text(w, &c[5], file->stats) &&
                put_tags(w, &c[6], file);
    w->adds++;
    w->add_bytes += file->size_bytes;
    return end_row(w, ROW_ADD, good);
}

static sl_error *append_remove(checkpoint_writer *w, const sl_delta_file *file,
                               int64_t deleted_ms) {
    sl_builder *c = w->builder.children[ROW_REMOVE].children;
    bool extended = file->size_bytes >= 0;
    bool good = put_path(w, &c[0], file) && sl_builder_append_i64(&c[1], deleted_ms) &&
                sl_builder_append_bool(&c[2], file->data_change) &&
                sl_builder_append_bool(&c[3], extended) &&
                (extended ? put_partition_values(w, &c[4], file) : sl_builder_append_null(&c[4])) &&
                put_long(&c[5], file->size_bytes);
    return end_row(w, ROW_REMOVE, good);
}

static sl_error *append_metadata(checkpoint_writer *w) {
    const delta_metadata *m = &w->table->metadata;
    sl_builder *c = w->builder.children[ROW_METADATA].children;
    sl_builder *format = &c[3];
    bool good = put_text(w, &c[0], m->id) && put_text(w, &c[1], m->name) &&
                put_text(w, &c[2], m->description) &&
                put_text(w, &format->children[0], m->provider == NULL ? "parquet" : m->provider) &&
                put_pairs(w, &format->children[1], &m->format_options) &&
                sl_builder_append_struct(format) && put_text(w, &c[4], m->schema_string) &&
                put_texts(w, &c[5], &m->partition_columns) &&
                put_pairs(w, &c[6], &m->configuration) && put_long(&c[7], m->created_ms);
    return end_row(w, ROW_METADATA, good);
}

static sl_error *append_protocol(checkpoint_writer *w) {
    const delta_protocol *p = &w->table->protocol;
    sl_builder *c = w->builder.children[ROW_PROTOCOL].children;
    bool good = sl_builder_append_i64(&c[0], p->min_reader) &&
                sl_builder_append_i64(&c[1], p->min_writer) &&
                (p->min_reader >= 3 ? put_texts(w, &c[2], &p->reader_features)
                                    : sl_builder_append_null(&c[2])) &&
                (p->min_writer >= 7 ? put_texts(w, &c[3], &p->writer_features)
                                    : sl_builder_append_null(&c[3]));
    return end_row(w, ROW_PROTOCOL, good);
}

static sl_error *append_domain(checkpoint_writer *w, const delta_domain *domain) {
    sl_builder *c = w->builder.children[ROW_DOMAIN].children;
    bool good = put_text(w, &c[0], domain->name) && put_text(w, &c[1], domain->configuration) &&
                sl_builder_append_bool(&c[2], false);
    return end_row(w, ROW_DOMAIN, good);
}

/* ---- the whole ---- */

static sl_error *copy_old(delta_action *action, void *arg) {
    checkpoint_writer *w = arg;
    if (delta_map_find(&w->table->entries, action->file.path) != NULL) {
        return NULL; /* something newer was said about this path */
    }
    if (action->kind == DELTA_ADD) {
        return append_add(w, &action->file);
    }
    return action->deleted_ms > w->keep_after_ms
               ? append_remove(w, &action->file, action->deleted_ms)
               : NULL;
}

static sl_error *append_state(checkpoint_writer *w) {
    const sl_delta_table *table = w->table;
    sl_error *error = append_protocol(w);
    error = error ? error : append_metadata(w);
    for (size_t i = 0; i < table->txns.n_slots && error == NULL; i++) {
        const delta_txn *txn = table->txns.slots[i];
        error = txn == NULL ? NULL : append_txn(w, txn);
    }
    for (size_t i = 0; i < table->domains.n_slots && error == NULL; i++) {
        const delta_domain *domain = table->domains.slots[i];
        error = domain == NULL || domain->removed ? NULL : append_domain(w, domain);
    }
    return error;
}

static sl_error *append_files(checkpoint_writer *w) {
    const sl_delta_table *table = w->table;
    sl_error *error = NULL;
    if (table->checkpoint_version >= 0) {
        error = delta_checkpoint_visit(table, DELTA_CHECKPOINT_FILES | DELTA_CHECKPOINT_TOMBSTONES,
                                       copy_old, w, NULL);
    }
    for (size_t i = 0; i < table->entries.n_slots && error == NULL; i++) {
        const delta_entry *entry = table->entries.slots[i];
        if (entry == NULL) {
            continue;
        }
        if (!entry->removed) {
            error = append_add(w, &entry->file);
        } else if (entry->deleted_ms > w->keep_after_ms) {
            error = append_remove(w, &entry->file, entry->deleted_ms);
        }
    }
    return error;
}

static sl_error *hand_on(void *arg, const void *data, size_t bytes) {
    checkpoint_writer *w = arg;
    return w->out->store->ops->writer_write(w->out, data, bytes);
}

static sl_error *fill(checkpoint_writer *w) {
    sl_parquet_writer_options options = sl_parquet_writer_defaults();
    options.plain_encodings = true;
    sl_error *error = delta_schema_parse(checkpoint_schema, &w->schema);
    error = error ? error : sl_builder_init(&w->builder, &w->schema);
    error = error ? error : sl_parquet_writer_new(&w->schema, &options, hand_on, w, &w->parquet);
    error = error ? error : append_state(w);
    error = error ? error : append_files(w);
    error = error || w->builder.length == 0 ? error : write_batch(w);
    error = error ? error : sl_parquet_writer_finish(w->parquet, NULL);
    sl_parquet_writer_free(w->parquet);
    sl_builder_free(&w->builder);
    if (w->schema.release != NULL) {
        w->schema.release(&w->schema);
    }
    return error;
}

static sl_error *write_hint(const sl_delta_table *table, const checkpoint_writer *w) {
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer_printf(&text, "{\"version\":%lld,\"size\":%lld,\"numOfAddFiles\":%lld}",
                     (long long)table->version, (long long)w->actions, (long long)w->adds);
    sl_error *error = text.failed ? sl_error_no_memory()
                                  : table->store->ops->put(table->store, DELTA_LAST_CHECKPOINT,
                                                           text.data, text.bytes, 0);
    sl_buffer_free(&text);
    return error;
}

/* The entries since the old checkpoint are in the new one. */
static void rest_on(sl_delta_table *table, int64_t actions) {
    delta_map_free(&table->entries, delta_entry_free);
    table->checkpoint_version = table->version;
    table->checkpoint_parts = 0;
    table->checkpoint_actions = actions;
}

sl_error *sl_delta_checkpoint(sl_delta_table *table) {
    if (table->broken || table->checkpoint_version == table->version) {
        return NULL;
    }
    int64_t now_ms = sl_now_us() / 1000;
    checkpoint_writer w = {.table = table};
    w.keep_after_ms = now_ms - delta_interval_ms(table, "delta.deletedFileRetentionDuration",
                                                 DEFAULT_FILE_RETENTION_MS);
    char path[DELTA_PATH_BYTES];
    delta_checkpoint_path(table->version, 0, 0, path);
    sl_error *error = delta_protocol_check_write(table);
    error = error ? error
                  : table->store->ops->writer_open(table->store, path, SL_STORE_IF_ABSENT, &w.out);
    if (error != NULL) {
        return error;
    }
    error = fill(&w);
    if (error != NULL) {
        table->store->ops->writer_abort(w.out);
        return error;
    }
    error = table->store->ops->writer_commit(w.out);
    if (sl_error_is(error, SL_ERROR_EXISTS)) { /* another writer made the same one */
        sl_error_free(error);
        error = NULL;
    }
    if (error == NULL) {
        rest_on(table, w.actions);
        error = write_hint(table, &w);
    }
    return error;
}

/* ---- when ---- */

/* Commits from one checkpoint to the next: the table's own property, or what its size asks for. */
static int64_t checkpoint_interval(const sl_delta_table *table) {
    const char *own = delta_configuration(table, "delta.checkpointInterval");
    int64_t commits = own == NULL ? 0 : strtoll(own, NULL, 10);
    if (commits > 0) {
        return commits;
    }
    commits = table->checkpoint_actions / ACTIONS_PER_COMMIT;
    commits = commits < MIN_INTERVAL ? MIN_INTERVAL : commits;
    return commits > MAX_INTERVAL ? MAX_INTERVAL : commits;
}

bool sl_delta_checkpoint_due(const sl_delta_table *table) {
    int64_t from = table->checkpoint_version < 0 ? 0 : table->checkpoint_version;
    return !table->broken && table->version - from >= checkpoint_interval(table);
}

static bool clean_due(const sl_delta_table *table, int64_t now_ms) {
    return now_ms - table->cleaned_ms >= DELTA_CLEAN_INTERVAL_MS;
}

bool sl_delta_maintenance_due(const sl_delta_table *table, int64_t now_ms) {
    return sl_delta_checkpoint_due(table) || clean_due(table, now_ms);
}

sl_error *sl_delta_maintain(sl_delta_table *table, int64_t now_ms) {
    sl_error *error = sl_delta_checkpoint_due(table) ? sl_delta_checkpoint(table) : NULL;
    if (error == NULL && clean_due(table, now_ms)) {
        sl_delta_cleaned cleaned;
        error = sl_delta_clean(table, now_ms, NULL, &cleaned);
    }
    return error;
}
