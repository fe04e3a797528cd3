/*
 * Commits: one entry of the log, put if absent. What makes them safe:
 *
 *   - positions are compared with the snapshot before each attempt, and the snapshot is the version
 *     right below the entry, so nothing can come between the comparison and the commit;
 *   - losing the race for a version means reading what won it, and deciding by PROTOCOL.md's rules
 *     whether the commit still holds on top of that;
 *   - an entry carries a token (commitInfo.txnId). After an answer that says nothing (a time-out)
 *     the log is asked whether the entry is there, and a retry writes the very same bytes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "delta/internal.h"

/* Lost races after which the caller should back off. */
#define MAX_ATTEMPTS 100

/* ---- the token: 12 hex digits of the time in ms, which the entry's timestamp is taken from, and
 * 24 random ones ---- */

static sl_error *make_token(char token[40]) {
    uint8_t b[12];
    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b)) {
        return sl_error_new(SL_ERROR_RETRIABLE, "the system gives no random bytes");
    }
    int at = snprintf(token, 40, "%012" PRIx64, (uint64_t)(sl_now_us() / 1000));
    for (size_t i = 0; i < sizeof(b); i++) {
        at += snprintf(token + at, (size_t)(40 - at), "%02x", b[i]);
    }
    return NULL;
}

static int64_t token_ms(const char *token) {
    char digits[13];
    memcpy(digits, token, 12);
    digits[12] = 0;
    return (int64_t)strtoull(digits, NULL, 16);
}

/* ---- the entry ---- */

static void write_metrics(sl_buffer *out, const sl_delta_commit_info *info) {
    int64_t rows = 0;
    int64_t bytes = 0;
    bool rows_known = true;
    for (size_t i = 0; i < info->n_adds; i++) {
        rows_known = rows_known && info->adds[i].rows >= 0;
        rows += info->adds[i].rows;
        bytes += info->adds[i].size_bytes;
    }
    sl_buffer_printf(out, "\"operationMetrics\":{\"numAddedFiles\":\"%zu\"", info->n_adds);
    sl_buffer_printf(out, ",\"numRemovedFiles\":\"%zu\"", info->n_removes);
    if (rows_known) {
        sl_buffer_printf(out, ",\"numOutputRows\":\"%lld\"", (long long)rows);
    }
    sl_buffer_printf(out, ",\"numOutputBytes\":\"%lld\"}", (long long)bytes);
}

static bool in_commit_timestamps(const sl_delta_table *table) {
    const char *value = delta_configuration(table, "delta.enableInCommitTimestamps");
    return value != NULL && strcasecmp(value, "true") == 0;
}

/* It depends on no file of the table. */
static bool is_blind_append(const sl_delta_commit_info *info) {
    return info->n_removes == 0 && !info->reads_table;
}

/* First in the entry, as the feature inCommitTimestamp wants it. */
static void write_commit_info(sl_buffer *out, const sl_delta_table *table,
                              const sl_delta_commit_info *info) {
    int64_t now = token_ms(info->token);
    sl_buffer_append_text(out, "{\"commitInfo\":{");
    if (in_commit_timestamps(table)) {
        int64_t last = table->in_commit_timestamp_ms;
        sl_buffer_printf(out, "\"inCommitTimestamp\":%lld,",
                         (long long)(now > last ? now : last + 1));
    }
    const char *operation = info->operation == NULL ? "STREAMING UPDATE" : info->operation;
    sl_buffer_printf(out, "\"timestamp\":%lld,\"operation\":", (long long)now);
    sl_buffer_append_json_string(out, operation, strlen(operation));
    sl_buffer_printf(out, ",\"operationParameters\":{\"outputMode\":\"%s\"},\"readVersion\":%lld,",
                     info->n_removes > 0 ? "Update" : "Append", (long long)table->version);
    sl_buffer_printf(out, "\"isolationLevel\":\"Serializable\",\"isBlindAppend\":%s,",
                     is_blind_append(info) ? "true" : "false");
    write_metrics(out, info);
    sl_buffer_printf(out, ",\"engineInfo\":\"sluice/" SL_VERSION "\",\"txnId\":\"%s\"}}\n",
                     info->token);
}

/* The metadata action with the grown schema. */
static sl_error *write_new_schema(sl_buffer *out, const sl_delta_table *table,
                                  const struct ArrowSchema *schema) {
    sl_buffer text = SL_BUFFER_INIT;
    sl_error *error = delta_schema_write(schema, &text);
    if (error == NULL && sl_buffer_text(&text) == NULL) {
        error = sl_error_no_memory();
    }
    if (error == NULL) {
        delta_metadata metadata = table->metadata; /* borrows all but the schema */
        metadata.schema_string = (char *)text.data;
        delta_write_metadata(out, &metadata);
    }
    sl_buffer_free(&text);
    return error;
}

static sl_error *write_entry(sl_buffer *out, const sl_delta_table *table,
                             const sl_delta_commit_info *info) {
    const delta_texts *columns = &table->metadata.partition_columns;
    sl_buffer_clear(out);
    write_commit_info(out, table, info);
    sl_error *error = info->schema == NULL ? NULL : write_new_schema(out, table, info->schema);
    if (error != NULL) {
        return error;
    }
    for (size_t i = 0; i < info->n_advances; i++) {
        delta_write_txn(out, info->advances[i].app_id, info->advances[i].to);
    }
    for (size_t i = 0; i < info->n_removes; i++) {
        delta_write_remove(out, &info->removes[i], columns, token_ms(info->token),
                           info->data_change);
    }
    for (size_t i = 0; i < info->n_adds; i++) {
        delta_write_add(out, &info->adds[i], columns, info->data_change);
    }
    return out->failed ? sl_error_no_memory() : NULL;
}

/* ---- may it be made? ---- */

static sl_error *conflict(sl_delta_commit_info *info, sl_delta_conflict why, sl_error *error) {
    info->conflict = why;
    return error;
}

static sl_error *check_positions(const sl_delta_table *table, sl_delta_commit_info *info) {
#ifdef SLUICE_LIE_POSITIONS /* a build that the crash tests must find out (make crash-lies) */
    return NULL;
#endif
    for (size_t i = 0; i < info->n_advances; i++) {
        const sl_delta_advance *advance = &info->advances[i];
        int64_t stored = sl_delta_position(table, advance->app_id);
        if (stored != advance->from) {
            return conflict(
                info, SL_DELTA_CONFLICT_POSITION,
                sl_error_new(SL_ERROR_CONFLICT,
                             "%s: the table's position of %s is %lld, but the commit goes from "
                             "%lld to %lld: another writer was here",
                             table->url, advance->app_id, (long long)stored,
                             (long long)advance->from, (long long)advance->to));
        }
    }
    return NULL;
}

/* What the caller got wrong: found before anything is written. */
static sl_error *check_info(const sl_delta_table *table, const sl_delta_commit_info *info) {
    size_t columns = table->metadata.partition_columns.n;
    for (size_t i = 0; i < info->n_adds; i++) {
        if (info->adds[i].n_partition_values != columns) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "%s: the file %s has %zu partition values, the table %zu partition "
                                "columns",
                                table->url, info->adds[i].path, info->adds[i].n_partition_values,
                                columns);
        }
    }
    for (size_t i = 0; i < info->n_advances; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(info->advances[i].app_id, info->advances[j].app_id) == 0) {
                return sl_error_new(SL_ERROR_CONFIG, "%s: a commit has two positions of %s",
                                    table->url, info->advances[i].app_id);
            }
        }
    }
    return NULL;
}

static sl_error *gone(const sl_delta_table *table, sl_delta_commit_info *info, const char *path) {
    return conflict(info, SL_DELTA_CONFLICT_REMOVED,
                    sl_error_new(SL_ERROR_CONFLICT,
                                 "%s: the file %s, which the commit replaces, was removed by "
                                 "another writer",
                                 table->url, path));
}

/* Paths that are to be found in the checkpoint. */
typedef struct path_search {
    const sl_delta_table *table;
    delta_map wanted; /* const char *[1] items: pointers to the paths */
    size_t found;
} path_search;

static sl_error *find_path(delta_action *action, void *arg) {
    path_search *search = arg;
    search->found += delta_map_find(&search->wanted, action->file.path) != NULL;
    return NULL;
}

static void drop_nothing(void *item) {
    (void)item;
}

/* Every input of the commit must be live: by the entries since the checkpoint, or in it. */
static sl_error *check_removes(sl_delta_table *table, sl_delta_commit_info *info) {
    path_search search = {.table = table};
    sl_error *error = NULL;
    for (size_t i = 0; i < info->n_removes && error == NULL; i++) {
        const sl_delta_file *file = &info->removes[i];
        const delta_entry *entry = delta_map_find(&table->entries, file->path);
        if (entry != NULL) {
            error = entry->removed ? gone(table, info, file->path) : NULL;
        } else if (table->checkpoint_version < 0) {
            error = gone(table, info, file->path);
        } else if (!delta_map_add(&search.wanted, (void *)(uintptr_t)&file->path)) {
            error = sl_error_no_memory();
        }
    }
    if (error == NULL && search.wanted.n > 0) {
        error = delta_checkpoint_visit(table, DELTA_CHECKPOINT_PATHS, find_path, &search, NULL);
        if (error == NULL && search.found < search.wanted.n) {
            error = gone(table, info, info->removes[0].path);
        }
    }
    delta_map_free(&search.wanted, drop_nothing);
    return error;
}

/* A new schema that was made before another writer grew the table would take columns away again,
 * also where the snapshot has followed since. */
static sl_error *check_new_schema(const sl_delta_table *table, sl_delta_commit_info *info) {
    bool changed = false;
    struct ArrowSchema merged;
    sl_error *error = info->schema == NULL
                          ? NULL
                          : sl_delta_fit_schema_to(table->url, info->schema, &table->schema,
                                                   SL_DELTA_STRICT, &changed, &merged);
    if (!sl_error_is(error, SL_ERROR_CONFIG)) {
        return error;
    }
    sl_error *why = sl_error_new(SL_ERROR_CONFLICT,
                                 "another writer changed the table's schema, and the commit's does "
                                 "not have all of it: %s",
                                 sl_error_message(error));
    sl_error_free(error);
    return conflict(info, SL_DELTA_CONFLICT_METADATA, why);
}

static bool removes_data(const sl_delta_commit_info *info) {
    return info->n_removes > 0 && info->data_change;
}

static sl_error *check_all(sl_delta_table *table, sl_delta_commit_info *info) {
    sl_error *error = sl_delta_check_writable(table, removes_data(info));
    error = error ? error : check_info(table, info);
    error = error ? error : check_positions(table, info);
    error = error ? error : check_new_schema(table, info);
    return error ? error : check_removes(table, info);
}

/* The rules for what others did between the snapshot and now. */
static sl_error *check_changes(const sl_delta_table *table, sl_delta_commit_info *info,
                               const delta_changes *changes) {
    if (changes->reloaded) {
        return conflict(info, SL_DELTA_CONFLICT_METADATA,
                        sl_error_new(SL_ERROR_CONFLICT,
                                     "%s: the log had to be read anew, so what other writers "
                                     "changed is not known",
                                     table->url));
    }
    if (changes->metadata || changes->protocol) {
        return conflict(info, SL_DELTA_CONFLICT_METADATA,
                        sl_error_new(SL_ERROR_CONFLICT, "%s: another writer changed the table's %s",
                                     table->url,
                                     changes->metadata ? "schema or properties" : "protocol"));
    }
    if (changes->added && !is_blind_append(info) && !info->reads_only_removes) {
        return conflict(info, SL_DELTA_CONFLICT_ADDED,
                        sl_error_new(SL_ERROR_CONFLICT,
                                     "%s: another writer added files that the commit did not read",
                                     table->url));
    }
    return NULL;
}

/* ---- making it ---- */

/* The entry is in the log: the snapshot follows from what was written. */
static sl_error *apply_own(sl_delta_table *table, const sl_buffer *entry,
                           sl_delta_commit_info *info) {
    sl_error *error = delta_log_apply(table, entry->data, entry->bytes, NULL);
    info->version = table->version;
    table->seen_us = sl_monotonic_us();
    if (error != NULL) { /* it is committed all the same: the next call reads the log anew */
        sl_error_free(error);
        info->version = table->version + 1;
        table->broken = true;
    }
    return NULL;
}

/* Reads what others committed. *done: our own entry was among it, whatever comes behind it: that
 * may be what we cannot read. */
static sl_error *catch_up(sl_delta_table *table, sl_delta_commit_info *info, bool *done) {
    delta_changes changes = {.token = info->token, .token_version = -1};
    sl_error *error = delta_log_refresh(table, &changes);
    if (changes.token_version >= 0) {
        sl_error_free(error); /* of the next call to say */
        info->version = changes.token_version;
        *done = true;
        return NULL;
    }
    return error ? error : check_changes(table, info, &changes);
}

/* A put whose answer says nothing. *state: 1 ours is there, 0 somebody else's, -1 nothing is. */
static sl_error *resolve_unclear(sl_delta_table *table, sl_error *unclear, const char *token,
                                 int *state) {
    bool ours = false;
    sl_error *error = delta_log_has_token(table, table->version + 1, token, &ours);
    if (error != NULL) { /* absent, or the store does not answer: the caller tries again */
        sl_error_free(error);
        *state = -1;
        return unclear;
    }
    sl_error_free(unclear);
    *state = ours ? 1 : 0;
    return NULL;
}

/* One try at version + 1. *lost: another entry has that number. */
static sl_error *attempt(sl_delta_table *table, const sl_buffer *entry, sl_delta_commit_info *info,
                         bool *lost) {
    char path[DELTA_PATH_BYTES];
    delta_log_path(table->version + 1, path);
    sl_error *error =
        table->store->ops->put(table->store, path, entry->data, entry->bytes, SL_STORE_IF_ABSENT);
    *lost = false;
    if (error == NULL) {
        return apply_own(table, entry, info);
    }
    if (sl_error_is(error, SL_ERROR_EXISTS)) {
        sl_error_free(error);
        *lost = true; /* or our own of an earlier, unclear try: catch_up tells */
        return NULL;
    }
    if (!sl_error_is(error, SL_ERROR_RETRIABLE)) {
        return error;
    }
    int state = -1;
    error = resolve_unclear(table, error, info->token, &state);
    if (state == 1) {
        return apply_own(table, entry, info);
    }
    *lost = state == 0;
    return error;
}

/* Sees to it that `version` is the newest: entries of an earlier, unclear try are found here. */
static sl_error *begin(sl_delta_table *table, sl_delta_commit_info *info, bool *done) {
    bool retry = info->token[0] != 0;
    info->conflict = SL_DELTA_CONFLICT_NONE;
    if (!retry) {
        sl_error *error = make_token(info->token);
        /* A fresh commit needs no read, since a lost race tells what it missed; but not by a handle
         * that has not looked for so long that the next number may have been used and cleaned up.
         */
        bool look = table->broken || sl_monotonic_us() - table->seen_us > DELTA_STALE_US;
        return error != NULL || !look ? error : catch_up(table, info, done);
    }
    sl_error *error = catch_up(table, info, done);
    if (error == NULL && !*done) { /* the entry may lie at or below the snapshot */
        bool ours = false;
        error = delta_log_has_token(table, table->version, info->token, &ours);
        if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
            sl_error_free(error);
            error = NULL;
        }
        if (ours) {
            info->version = table->version;
            *done = true;
        }
    }
    return error;
}

/* Whether the log has the entry; as an error when it has not, or cannot be asked. */
static sl_error *check_entry(const sl_delta_table *table, int64_t version) {
    char path[DELTA_PATH_BYTES];
    sl_store_entry entry;
    delta_log_path(version, path);
    return table->store->ops->stat(table->store, path, &entry);
}

/*
 * The entry that ours follows is there. An entry alone in a folder from which the table was
 * deleted, or behind the few of a new one, would be accepted by the store and read by nobody. Where
 * that entry was cleaned up behind newer ones, our number is taken: the race is lost, as any other.
 */
static sl_error *check_there(const sl_delta_table *table) {
    sl_error *error = check_entry(table, table->version);
    if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        error = check_entry(table, table->version + 1);
    }
    if (!sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        return error;
    }
    sl_error_free(error);
    char path[DELTA_PATH_BYTES];
    delta_log_path(table->version, path);
    return sl_error_new(
        SL_ERROR_FATAL,
        "%s: the table's newest entry, %s, is not there any more: the table was "
        "deleted or replaced by another one while we write to it; nothing more is "
        "written. Put it back, or restart the node, which then goes on from what it "
        "finds",
        table->url, path);
}

sl_error *sl_delta_commit(sl_delta_table *table, sl_delta_commit_info *info) {
    bool done = false;
    sl_error *error = begin(table, info, &done);
    sl_buffer entry = SL_BUFFER_INIT;
    for (int i = 0; i < MAX_ATTEMPTS && error == NULL && !done; i++) {
        bool lost = false;
        error = check_all(table, info);
        error = error ? error : check_there(table);
        error = error ? error : write_entry(&entry, table, info);
        error = error ? error : attempt(table, &entry, info, &lost);
        if (error == NULL && lost) {
            error = catch_up(table, info, &done);
        } else if (error == NULL) {
            done = true;
        }
    }
    sl_buffer_free(&entry);
    if (error == NULL && !done) {
        error = sl_error_new(SL_ERROR_RETRIABLE, "%s: other writers were faster %d times in a row",
                             table->url, MAX_ATTEMPTS);
    }
    return error;
}
