/*
 * Clean-up. Expired log entries: those below the newest checkpoint from which every unexpired
 * version can still be read. Data files: those with our name's mark that no live file and no
 * unexpired tombstone names, untouched for a day and longer than removed files are kept. Files of
 * other writers are left to their own vacuum.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "delta/internal.h"

#define DAY_MS (INT64_C(86400) * 1000)
#define MAX_REMOVALS 20000 /* of one run: the rest waits an hour */

/* ---- a list of paths to remove ---- */

typedef struct path_list {
    delta_texts paths;
    int64_t bytes;
    sl_error *error;
} path_list;

static int list_path(path_list *list, const sl_store_entry *entry) {
    list->error = delta_texts_add(&list->paths, entry->path, strlen(entry->path));
    list->bytes += entry->bytes > 0 ? entry->bytes : 0;
    return list->error != NULL || list->paths.n >= MAX_REMOVALS;
}

static bool is_stopped(const atomic_bool *stop) {
    return stop != NULL && atomic_load(stop);
}

static sl_error *remove_paths(sl_delta_table *table, path_list *list, const atomic_bool *stop,
                              int64_t *count) {
    sl_error *error = list->error;
    for (size_t i = 0; i < list->paths.n && error == NULL && !is_stopped(stop); i++) {
        error = table->store->ops->remove(table->store, list->paths.items[i]);
        *count += error == NULL;
    }
    delta_texts_free(&list->paths);
    return error;
}

/* ---- log ---- */

typedef struct log_cleaning {
    int64_t expired_before_ms;
    int64_t first_kept;      /* the first version whose entry is not expired */
    int64_t last_version;    /* of any entry */
    int64_t base_checkpoint; /* the newest at or below first_kept; -1 */
    path_list list;
} log_cleaning;

/* The version that a name of the log begins with, and what follows; -1 when none. */
static int64_t name_version(const char *path, const char **rest) {
    const char *name = path + sizeof(DELTA_LOG) - 1;
    int64_t version = 0;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9' || __builtin_mul_overflow(version, 10, &version) ||
            __builtin_add_overflow(version, name[i] - '0', &version)) {
            return -1;
        }
    }
    *rest = name + 20;
    return version;
}

static int find_first_kept(const sl_store_entry *entry, void *arg) {
    log_cleaning *c = arg;
    const char *rest;
    int64_t version = name_version(entry->path, &rest);
    if (version < 0 || strcmp(rest, ".json") != 0) {
        return 0;
    }
    c->last_version = version;
    if (c->first_kept < 0 &&
        (entry->modified_ms == 0 || entry->modified_ms >= c->expired_before_ms)) {
        c->first_kept = version;
    }
    return 0;
}

static int find_base(const sl_store_entry *entry, void *arg) {
    log_cleaning *c = arg;
    const char *rest;
    int64_t version = name_version(entry->path, &rest);
    if (version >= 0 && version <= c->first_kept && strcmp(rest, ".checkpoint.parquet") == 0) {
        c->base_checkpoint = version;
    }
    return 0;
}

static int list_expired(const sl_store_entry *entry, void *arg) {
    log_cleaning *c = arg;
    const char *rest;
    int64_t version = name_version(entry->path, &rest);
    if (version >= c->base_checkpoint) {
        return 1; /* ascending: the rest is kept */
    }
    bool known = version >= 0 && (strcmp(rest, ".json") == 0 || strcmp(rest, ".crc") == 0 ||
                                  strncmp(rest, ".checkpoint.", 12) == 0);
    return known ? list_path(&c->list, entry) : 0;
}

static sl_error *visit_log(sl_delta_table *table, sl_store_visit visit, log_cleaning *c) {
    return table->store->ops->list(table->store, DELTA_LOG, NULL, 0, visit, c);
}

static sl_error *clean_log(sl_delta_table *table, int64_t now_ms, const atomic_bool *stop,
                           int64_t *count) {
    const char *enabled = delta_configuration(table, "delta.enableExpiredLogCleanup");
    if (enabled != NULL && strcasecmp(enabled, "false") == 0) {
        return NULL;
    }
    log_cleaning c = {.first_kept = -1, .last_version = -1, .base_checkpoint = -1};
    c.expired_before_ms =
        now_ms - delta_interval_ms(table, "delta.logRetentionDuration", 30 * DAY_MS);
    sl_error *error = visit_log(table, find_first_kept, &c);
    if (error != NULL) {
        return error;
    }
    if (c.first_kept < 0) {
        c.first_kept = c.last_version;
    }
    error = visit_log(table, find_base, &c);
    if (error != NULL || c.base_checkpoint <= 0) {
        return error;
    }
    error = visit_log(table, list_expired, &c);
    if (error != NULL) {
        delta_texts_free(&c.list.paths);
        return error;
    }
    return remove_paths(table, &c.list, stop, count);
}

/* ---- data files ---- */

/* Hashes of the paths that are in use. Two paths of one hash keep a file that could go. */
typedef struct hash_set {
    uint64_t *slots; /* 0: free */
    size_t n;
    size_t n_slots;
} hash_set;

static uint64_t path_hash(const char *path) {
    uint64_t hash = XXH3_64bits(path, strlen(path));
    return hash == 0 ? 1 : hash;
}

static size_t slot_of(const hash_set *set, uint64_t hash) {
    size_t i = (size_t)hash & (set->n_slots - 1);
    while (set->slots[i] != 0 && set->slots[i] != hash) {
        i = (i + 1) & (set->n_slots - 1);
    }
    return i;
}

static sl_error *set_add(hash_set *set, const char *path) {
    if ((set->n + 1) * 2 > set->n_slots) {
        hash_set bigger = {.n = set->n, .n_slots = set->n_slots == 0 ? 1024 : set->n_slots * 2};
        bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
        if (bigger.slots == NULL) {
            return sl_error_no_memory();
        }
        for (size_t i = 0; i < set->n_slots; i++) {
            if (set->slots[i] != 0) {
                bigger.slots[slot_of(&bigger, set->slots[i])] = set->slots[i];
            }
        }
        free(set->slots);
        *set = bigger;
    }
    uint64_t hash = path_hash(path);
    size_t at = slot_of(set, hash);
    set->n += set->slots[at] == 0;
    set->slots[at] = hash;
    return NULL;
}

typedef struct data_cleaning {
    sl_delta_table *table;
    hash_set used;
    int64_t older_than_ms; /* both files and tombstones */
    const atomic_bool *stop;
    path_list list;
} data_cleaning;

static sl_error *use_file(const sl_delta_file *file, void *arg) {
    return set_add(&((data_cleaning *)arg)->used, file->path);
}

static sl_error *use_tombstone(delta_action *action, void *arg) {
    data_cleaning *c = arg;
    return action->deleted_ms > c->older_than_ms ? set_add(&c->used, action->file.path) : NULL;
}

static sl_error *collect_used(data_cleaning *c) {
    const sl_delta_table *table = c->table;
    sl_error *error = sl_delta_visit_files(c->table, use_file, c);
    if (error == NULL && table->checkpoint_version >= 0) {
        error = delta_checkpoint_visit(table, DELTA_CHECKPOINT_TOMBSTONES, use_tombstone, c, NULL);
    }
    for (size_t i = 0; i < table->entries.n_slots && error == NULL; i++) {
        const delta_entry *entry = table->entries.slots[i];
        if (entry != NULL && entry->removed && entry->deleted_ms > c->older_than_ms) {
            error = set_add(&c->used, entry->path);
        }
    }
    return error;
}

static int list_orphan(const sl_store_entry *entry, void *arg) {
    data_cleaning *c = arg;
    if (is_stopped(c->stop)) {
        return 1;
    }
    const char *slash = strrchr(entry->path, '/');
    const char *name = slash == NULL ? entry->path : slash + 1;
    if (strncmp(entry->path, DELTA_LOG, sizeof(DELTA_LOG) - 1) == 0 ||
        strncmp(name, SL_DELTA_FILE_PREFIX, sizeof(SL_DELTA_FILE_PREFIX) - 1) != 0 ||
        entry->modified_ms <= 0 || entry->modified_ms > c->older_than_ms ||
        (c->used.n > 0 && c->used.slots[slot_of(&c->used, path_hash(entry->path))] != 0)) {
        return 0;
    }
    return list_path(&c->list, entry);
}

static sl_error *clean_data(sl_delta_table *table, int64_t now_ms, const atomic_bool *stop,
                            sl_delta_cleaned *out) {
    int64_t keep_ms = delta_interval_ms(table, "delta.deletedFileRetentionDuration", 7 * DAY_MS);
    data_cleaning c = {.table = table, .stop = stop};
    c.older_than_ms = now_ms - (keep_ms < DAY_MS ? DAY_MS : keep_ms);
    sl_error *error = collect_used(&c);
    error = error ? error : table->store->ops->list(table->store, "", NULL, 1, list_orphan, &c);
    free(c.used.slots);
    if (error != NULL) {
        delta_texts_free(&c.list.paths);
        sl_error_free(c.list.error);
        return error;
    }
    out->data_bytes = c.list.bytes;
    return remove_paths(table, &c.list, stop, &out->data_files);
}

sl_error *sl_delta_clean(sl_delta_table *table, int64_t now_ms, const atomic_bool *stop,
                         sl_delta_cleaned *out) {
    *out = (sl_delta_cleaned){0};
    table->cleaned_ms = now_ms;
    sl_error *error = sl_delta_refresh(table);
    error = error ? error : delta_protocol_check_write(table);
    error = error ? error : clean_data(table, now_ms, stop, out);
    return error ? error : clean_log(table, now_ms, stop, &out->log_entries);
}
