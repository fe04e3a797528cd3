/* The table handle: its life, the snapshot's state, how actions change it, and the getters. What
 * reads the log is in log.c. */
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"

void delta_table_reset(sl_delta_table *table) {
    delta_protocol_clear(&table->protocol);
    delta_metadata_clear(&table->metadata);
    if (table->schema.release != NULL) {
        table->schema.release(&table->schema);
    }
    delta_map_free(&table->txns, delta_txn_free);
    delta_map_free(&table->domains, delta_domain_free);
    delta_map_free(&table->entries, delta_entry_free);
    table->version = -1;
    table->checkpoint_version = -1;
    table->checkpoint_parts = 0;
    table->checkpoint_bytes = -1;
    table->checkpoint_actions = 0;
    table->in_commit_timestamp_ms = -1;
}

sl_delta_table *delta_table_new(sl_store *store) {
    sl_delta_table *table = calloc(1, sizeof(*table));
    if (table == NULL) {
        return NULL;
    }
    table->store = store;
    table->url = store->ops->url(store);
    /* not at once: a start has better things to do */
    table->cleaned_ms = sl_now_us() / 1000 - DELTA_CLEAN_INTERVAL_MS + DELTA_FIRST_CLEAN_MS;
    delta_table_reset(table);
    return table;
}

sl_error *sl_delta_open(sl_store *store, sl_delta_table **out) {
    sl_delta_table *table = delta_table_new(store);
    sl_error *error = table == NULL ? sl_error_no_memory() : delta_log_load(table);
    if (error != NULL) {
        sl_delta_close(table);
        return error;
    }
    *out = table;
    return NULL;
}

void sl_delta_close(sl_delta_table *table) {
    if (table != NULL) {
        delta_table_reset(table);
        free(table);
    }
}

sl_error *sl_delta_refresh(sl_delta_table *table) {
    return delta_log_refresh(table, NULL);
}

/* ---- actions ---- */

static sl_error *apply_metadata(sl_delta_table *table, delta_metadata *metadata) {
    struct ArrowSchema schema;
    sl_error *error = delta_schema_parse(metadata->schema_string, &schema);
    if (error != NULL) {
        return error;
    }
    for (size_t i = 0; i < metadata->partition_columns.n; i++) {
        const char *name = metadata->partition_columns.items[i];
        if (sl_schema_find(&schema, name) < 0) {
            schema.release(&schema);
            return sl_error_new(SL_ERROR_CORRUPT,
                                "the partition column \"%s\" is not in schemaString", name);
        }
    }
    delta_metadata_clear(&table->metadata);
    if (table->schema.release != NULL) {
        table->schema.release(&table->schema);
    }
    table->metadata = *metadata;
    table->schema = schema;
    memset(metadata, 0, sizeof(*metadata));
    return NULL;
}

static sl_error *apply_txn(sl_delta_table *table, delta_txn *txn) {
    delta_txn *known = delta_map_find(&table->txns, txn->app_id);
    if (known != NULL) {
        known->version = txn->version;
        known->last_updated_ms = txn->last_updated_ms;
        return NULL;
    }
    known = malloc(sizeof(*known));
    if (known == NULL) {
        return sl_error_no_memory();
    }
    *known = *txn;
    if (!delta_map_add(&table->txns, known)) {
        free(known);
        return sl_error_no_memory();
    }
    txn->app_id = NULL;
    return NULL;
}

static sl_error *apply_domain(sl_delta_table *table, delta_domain *domain) {
    delta_domain *known = delta_map_find(&table->domains, domain->name);
    if (known != NULL) {
        free(known->configuration);
        known->configuration = domain->configuration;
        known->removed = domain->removed;
        domain->configuration = NULL;
        return NULL;
    }
    known = malloc(sizeof(*known));
    if (known == NULL) {
        return sl_error_no_memory();
    }
    *known = *domain;
    if (!delta_map_add(&table->domains, known)) {
        free(known);
        return sl_error_no_memory();
    }
    memset(domain, 0, sizeof(*domain));
    return NULL;
}

/* The newest word on a path wins: an add, or a tombstone that hides one in the checkpoint. */
static sl_error *apply_file(sl_delta_table *table, sl_delta_file *file, bool removed,
                            int64_t deleted_ms) {
    delta_entry *entry = delta_map_find(&table->entries, file->path);
    if (entry != NULL) {
        if (removed) { /* statistics and tags of a removed file are of no use */
            free(entry->file.stats);
            entry->file.stats = NULL;
        } else {
            /* the map's key is the old path's memory: keep it, drop the new one */
            free(file->path);
            file->path = entry->path;
            entry->file.path = NULL;
            sl_delta_file_clear(&entry->file);
            entry->file = *file;
            memset(file, 0, sizeof(*file));
        }
        entry->removed = removed;
        entry->deleted_ms = deleted_ms;
        return NULL;
    }
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return sl_error_no_memory();
    }
    *entry = (delta_entry){file->path, *file, removed, deleted_ms};
    if (!delta_map_add(&table->entries, entry)) {
        free(entry);
        return sl_error_no_memory();
    }
    memset(file, 0, sizeof(*file));
    return NULL;
}

sl_error *delta_table_apply_one(sl_delta_table *table, delta_action *action) {
    switch (action->kind) {
    case DELTA_ADD:
        return apply_file(table, &action->file, false, 0);
    case DELTA_REMOVE:
        return apply_file(table, &action->file, true, action->deleted_ms);
    case DELTA_TXN:
        return apply_txn(table, &action->txn);
    case DELTA_METADATA:
        return apply_metadata(table, &action->metadata);
    case DELTA_DOMAIN:
        return apply_domain(table, &action->domain);
    case DELTA_PROTOCOL: {
        sl_error *error = delta_protocol_check_read(&action->protocol, table->url);
        if (error == NULL) {
            delta_protocol_clear(&table->protocol);
            table->protocol = action->protocol;
            memset(&action->protocol, 0, sizeof(action->protocol));
        }
        return error;
    }
    case DELTA_COMMIT_INFO:
        table->in_commit_timestamp_ms = action->in_commit_timestamp_ms;
        return NULL;
    case DELTA_OTHER:
        break;
    }
    return NULL;
}

sl_error *delta_table_apply(sl_delta_table *table, delta_action *actions, size_t n) {
    for (size_t i = 0; i < n; i++) {
        sl_error *error = delta_table_apply_one(table, &actions[i]);
        if (error != NULL) {
            table->broken = true;
            return error;
        }
    }
    table->version++;
    return NULL;
}

/* ---- getters ---- */

const char *sl_delta_url(const sl_delta_table *table) {
    return table->url;
}

int64_t sl_delta_version(const sl_delta_table *table) {
    return table->version;
}

const struct ArrowSchema *sl_delta_schema(const sl_delta_table *table) {
    return &table->schema;
}

const char *const *sl_delta_partition_columns(const sl_delta_table *table, size_t *n) {
    *n = table->metadata.partition_columns.n;
    return (const char *const *)table->metadata.partition_columns.items;
}

bool delta_is_partition(const sl_delta_table *table, const char *column) {
    const delta_texts *columns = &table->metadata.partition_columns;
    for (size_t i = 0; i < columns->n; i++) {
        if (strcmp(columns->items[i], column) == 0) {
            return true;
        }
    }
    return false;
}

int64_t sl_delta_position(const sl_delta_table *table, const char *app_id) {
    const delta_txn *txn = delta_map_find(&table->txns, app_id);
    return txn == NULL ? SL_DELTA_NO_POSITION : txn->version;
}

void sl_delta_visit_positions(const sl_delta_table *table,
                              int (*visit)(const char *app_id, int64_t position, void *arg),
                              void *arg) {
    for (size_t i = 0; i < table->txns.n_slots; i++) {
        const delta_txn *txn = table->txns.slots[i];
        if (txn != NULL && visit(txn->app_id, txn->version, arg) != 0) {
            return;
        }
    }
}

/* ---- live files ---- */

typedef struct file_visit {
    const sl_delta_table *table;
    sl_delta_visit_file visit;
    void *arg;
} file_visit;

/* A file of the checkpoint is live unless something was said about its path since. */
static sl_error *visit_checkpoint_file(delta_action *action, void *arg) {
    file_visit *v = arg;
    if (delta_map_find(&v->table->entries, action->file.path) != NULL) {
        return NULL;
    }
    return v->visit(&action->file, v->arg);
}

sl_error *sl_delta_visit_files(sl_delta_table *table, sl_delta_visit_file visit, void *arg) {
    file_visit v = {table, visit, arg};
    if (table->checkpoint_version >= 0) {
        sl_error *error =
            delta_checkpoint_visit(table, DELTA_CHECKPOINT_FILES, visit_checkpoint_file, &v, NULL);
        if (error != NULL) {
            return error;
        }
    }
    for (size_t i = 0; i < table->entries.n_slots; i++) {
        const delta_entry *entry = table->entries.slots[i];
        if (entry != NULL && !entry->removed) {
            sl_error *error = visit(&entry->file, arg);
            if (error != NULL) {
                return error;
            }
        }
    }
    return NULL;
}

typedef struct tail_search {
    const char *owner;
    sl_delta_files *out;
} tail_search;

static sl_error *collect_tail(const sl_delta_file *file, void *arg) {
    tail_search *search = arg;
    if (file->tail_owner == NULL || strcmp(file->tail_owner, search->owner) != 0) {
        return NULL;
    }
    sl_delta_file copy;
    sl_error *error = sl_delta_file_copy(file, &copy);
    if (error == NULL) {
        error = sl_delta_files_add(search->out, &copy);
        if (error != NULL) {
            sl_delta_file_clear(&copy);
        }
    }
    return error;
}

sl_error *sl_delta_tail_files(sl_delta_table *table, const char *owner, sl_delta_files *out) {
    tail_search search = {owner, out};
    return sl_delta_visit_files(table, collect_tail, &search);
}
