/*
 * The transaction log: finding the newest checkpoint and the entries behind it, replaying them,
 * and following what others commit (PROTOCOL.md, "Delta Log Entries", "Last Checkpoint File").
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"

#define VERSION_DIGITS 20

enum { ENTRIES_AT_A_TIME = 16 };

/* What a listing of the log found. */
typedef struct log_listing {
    int64_t *versions; /* ascending: N.json */
    size_t n_versions;
    size_t capacity;
    int64_t checkpoint_version; /* newest complete one; -1 */
    int64_t checkpoint_parts;
    int64_t checkpoint_bytes; /* of a single one; -1: not known */
    /* the multi-part checkpoint that is being counted */
    int64_t part_version;
    int64_t part_parts;
    int64_t parts_seen;
    bool has_v2_checkpoint;
    bool no_memory;
} log_listing;

void delta_log_path(int64_t version, char path[DELTA_PATH_BYTES]) {
    snprintf(path, DELTA_PATH_BYTES, DELTA_LOG "%020lld.json", (long long)version);
}

void delta_checkpoint_path(int64_t version, int64_t part, int64_t parts,
                           char path[DELTA_PATH_BYTES]) {
    if (parts == 0) {
        snprintf(path, DELTA_PATH_BYTES, DELTA_LOG "%020lld.checkpoint.parquet",
                 (long long)version);
    } else {
        snprintf(path, DELTA_PATH_BYTES, DELTA_LOG "%020lld.checkpoint.%010lld.%010lld.parquet",
                 (long long)version, (long long)part, (long long)parts);
    }
}

/* Exactly `n` digits at `text`. */
static bool fixed_digits(const char *text, size_t n, int64_t *out) {
    int64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text[i] - '0', &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

static void note_version(log_listing *listing, int64_t version) {
    if (listing->n_versions == listing->capacity) {
        size_t capacity = listing->capacity == 0 ? 256 : listing->capacity * 2;
        int64_t *versions = realloc(listing->versions, capacity * sizeof(*versions));
        if (versions == NULL) {
            listing->no_memory = true;
            return;
        }
        listing->versions = versions;
        listing->capacity = capacity;
    }
    listing->versions[listing->n_versions++] = version;
}

/* Parts come in ascending order of (version, part): all `parts` of them make a checkpoint. */
static void note_part(log_listing *listing, int64_t version, int64_t part, int64_t parts) {
    if (part == 1) {
        listing->part_version = version;
        listing->part_parts = parts;
        listing->parts_seen = 0;
    }
    if (version != listing->part_version || parts != listing->part_parts ||
        part != listing->parts_seen + 1) {
        return;
    }
    listing->parts_seen = part;
    if (part == parts && version > listing->checkpoint_version) {
        listing->checkpoint_version = version;
        listing->checkpoint_parts = parts;
        listing->checkpoint_bytes = -1;
    }
}

static int note_entry(const sl_store_entry *entry, void *arg) {
    log_listing *listing = arg;
    const char *name = entry->path + sizeof(DELTA_LOG) - 1;
    int64_t version;
    int64_t part;
    int64_t parts;
    if (strlen(name) <= VERSION_DIGITS || !fixed_digits(name, VERSION_DIGITS, &version)) {
        return 0;
    }
    const char *rest = name + VERSION_DIGITS;
    if (strcmp(rest, ".json") == 0) {
        note_version(listing, version);
    } else if (strcmp(rest, ".checkpoint.parquet") == 0) {
        if (version >= listing->checkpoint_version) {
            listing->checkpoint_version = version;
            listing->checkpoint_parts = 0;
            listing->checkpoint_bytes = entry->bytes;
        }
    } else if (strlen(rest) == 12 + 10 + 1 + 10 + 8 && strncmp(rest, ".checkpoint.", 12) == 0 &&
               fixed_digits(rest + 12, 10, &part) && rest[22] == '.' &&
               fixed_digits(rest + 23, 10, &parts) && strcmp(rest + 33, ".parquet") == 0) {
        note_part(listing, version, part, parts);
    } else if (strncmp(rest, ".checkpoint.", 12) == 0) {
        listing->has_v2_checkpoint = true;
    }
    return listing->no_memory;
}

/* Lists what is at or behind `from`. */
static sl_error *list_log(sl_delta_table *table, int64_t from, log_listing *listing) {
    char start[DELTA_PATH_BYTES];
    snprintf(start, sizeof(start), DELTA_LOG "%020lld", (long long)from);
    *listing = (log_listing){.checkpoint_version = -1, .part_version = -1};
    sl_error *error = table->store->ops->list(table->store, DELTA_LOG, from > 0 ? start : NULL, 0,
                                              note_entry, listing);
    return error == NULL && listing->no_memory ? sl_error_no_memory() : error;
}

/* The version that `_last_checkpoint` names, or -1: it is only a hint. */
static sl_error *read_hint(sl_delta_table *table, int64_t *version) {
    sl_store_bytes bytes = {0};
    *version = -1;
    sl_error *error = table->store->ops->get(table->store, DELTA_LAST_CHECKPOINT, 0, -1, &bytes);
    if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        return NULL;
    }
    if (error != NULL) {
        return error;
    }
    json_arena arena = {0};
    const json_value *root = NULL;
    error = delta_json_parse(&arena, (const char *)bytes.data, bytes.bytes, &root);
    if (error != NULL || !delta_json_int(root, "version", version) || *version < 0) {
        *version = -1;
        sl_error_free(error);
    }
    delta_json_arena_free(&arena);
    bytes.release(&bytes);
    return NULL;
}

/* ---- one entry ---- */

typedef struct parsed_entry {
    delta_action *actions;
    size_t n;
    size_t capacity;
} parsed_entry;

static void parsed_free(parsed_entry *parsed) {
    for (size_t i = 0; i < parsed->n; i++) {
        delta_action_clear(&parsed->actions[i]);
    }
    free(parsed->actions);
    *parsed = (parsed_entry){0};
}

static sl_error *parsed_room(parsed_entry *parsed) {
    if (parsed->n < parsed->capacity) {
        return NULL;
    }
    size_t capacity = parsed->capacity == 0 ? 16 : parsed->capacity * 2;
    delta_action *actions = realloc(parsed->actions, capacity * sizeof(*actions));
    if (actions == NULL) {
        return sl_error_no_memory();
    }
    parsed->actions = actions;
    parsed->capacity = capacity;
    return NULL;
}

/* Does the line's object begin with "metaData"? */
static bool line_is_metadata(const char *line, size_t bytes) {
    static const char name[] = "\"metaData\"";
    const char *end = line + bytes;
    while (line < end && (*line == ' ' || *line == '\t' || *line == '{')) {
        line++;
    }
    return (size_t)(end - line) >= sizeof(name) - 1 && memcmp(line, name, sizeof(name) - 1) == 0;
}

/* Parses the lines that are metaData (or, the second time, those that are not): an entry's files
 * are read with the partition columns that it sets itself. */
static sl_error *parse_lines(const uint8_t *data, size_t bytes, bool metadata,
                             const delta_texts *columns, parsed_entry *parsed) {
    const char *at = (const char *)data;
    const char *end = at + bytes;
    for (size_t line = 1; at < end; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline == NULL ? end : newline;
        size_t length = (size_t)(stop - at);
        bool blank = strspn(at, " \t\r") >= length;
        if (!blank && line_is_metadata(at, length) == metadata) {
            sl_error *error = parsed_room(parsed);
            error = error != NULL
                        ? error
                        : delta_action_parse(at, length, columns, &parsed->actions[parsed->n]);
            if (error != NULL) {
                return sl_error_wrap(error, "line %zu", line);
            }
            parsed->n++;
        }
        at = stop + 1;
    }
    return NULL;
}

static const delta_texts *columns_of(const sl_delta_table *table, const parsed_entry *parsed) {
    for (size_t i = 0; i < parsed->n; i++) {
        if (parsed->actions[i].kind == DELTA_METADATA) {
            return &parsed->actions[i].metadata.partition_columns;
        }
    }
    return &table->metadata.partition_columns;
}

static void note_changes(const parsed_entry *parsed, int64_t version, delta_changes *changes) {
    for (size_t i = 0; i < parsed->n; i++) {
        const delta_action *action = &parsed->actions[i];
        changes->metadata = changes->metadata || action->kind == DELTA_METADATA;
        changes->protocol = changes->protocol || action->kind == DELTA_PROTOCOL;
        changes->added = changes->added || (action->kind == DELTA_ADD && action->file.data_change);
        if (changes->token != NULL && action->token != NULL &&
            strcmp(changes->token, action->token) == 0) {
            changes->token_version = version;
        }
    }
}

/* `data` must be followed by a 0 byte. */
static sl_error *parse_entry(sl_delta_table *table, const uint8_t *data, size_t bytes,
                             parsed_entry *parsed) {
    static const delta_texts none = {0};
    sl_error *error = parse_lines(data, bytes, true, &none, parsed);
    if (error != NULL) {
        return error;
    }
    /* The list may move while it grows: a copy of the struct keeps pointing at the texts. */
    delta_texts columns = *columns_of(table, parsed);
    return parse_lines(data, bytes, false, &columns, parsed);
}

sl_error *delta_log_apply(sl_delta_table *table, const uint8_t *data, size_t bytes,
                          delta_changes *changes) {
    parsed_entry parsed = {0};
    int64_t version = table->version + 1;
    uint8_t *copy = malloc(bytes + 1);
    if (copy == NULL) {
        return sl_error_no_memory();
    }
    memcpy(copy, data, bytes);
    copy[bytes] = 0;
    table->in_commit_timestamp_ms = -1;
    sl_error *error = parse_entry(table, copy, bytes, &parsed);
    if (error == NULL) {
        if (changes != NULL) {
            note_changes(&parsed, version, changes);
        }
        error = delta_table_apply(table, parsed.actions, parsed.n);
    }
    parsed_free(&parsed);
    free(copy);
    if (error != NULL && !sl_error_is(error, SL_ERROR_NO_MEMORY)) {
        char path[DELTA_PATH_BYTES];
        delta_log_path(version, path);
        error = sl_error_wrap(error, "%s/%s", table->url, path);
    }
    return error;
}

/* Reads and applies version + 1. NOT_FOUND: there is none yet. */
static sl_error *apply_next(sl_delta_table *table, delta_changes *changes) {
    char path[DELTA_PATH_BYTES];
    sl_store_bytes bytes = {0};
    delta_log_path(table->version + 1, path);
    sl_error *error = table->store->ops->get(table->store, path, 0, -1, &bytes);
    if (error != NULL) {
        return error;
    }
    error = delta_log_apply(table, bytes.data, bytes.bytes, changes);
    bytes.release(&bytes);
    return error;
}

sl_error *delta_log_has_token(sl_delta_table *table, int64_t version, const char *token,
                              bool *ours) {
    char path[DELTA_PATH_BYTES];
    sl_store_bytes bytes = {0};
    delta_log_path(version, path);
    sl_error *error = table->store->ops->get(table->store, path, 0, -1, &bytes);
    if (error != NULL) {
        return error;
    }
    *ours = memmem(bytes.data, bytes.bytes, token, strlen(token)) != NULL;
    bytes.release(&bytes);
    return NULL;
}

/* ---- loading ---- */

static sl_error *apply_state(delta_action *action, void *arg) {
    return delta_table_apply_one(arg, action);
}

static sl_error *load_checkpoint(sl_delta_table *table, const log_listing *listing) {
    int64_t actions = 0;
    table->checkpoint_version = listing->checkpoint_version;
    table->checkpoint_parts = listing->checkpoint_parts;
    table->checkpoint_bytes = listing->checkpoint_bytes;
    sl_error *error =
        delta_checkpoint_visit(table, DELTA_CHECKPOINT_STATE, apply_state, table, &actions);
    table->checkpoint_bytes = -1; /* another writer may put it anew at any time */
    if (error == NULL) {
        table->version = table->checkpoint_version;
        table->checkpoint_actions = actions;
    }
    return error;
}

/* Reads and applies the next `n` versions, which the listing shows. */
static sl_error *apply_run(sl_delta_table *table, size_t n) {
    char names[ENTRIES_AT_A_TIME][DELTA_PATH_BYTES];
    const char *paths[ENTRIES_AT_A_TIME];
    sl_store_bytes entries[ENTRIES_AT_A_TIME];
    size_t n_read = 0;
    for (size_t i = 0; i < n; i++) {
        delta_log_path(table->version + 1 + (int64_t)i, names[i]);
        paths[i] = names[i];
    }
    sl_error *error = sl_store_get_all(table->store, paths, n, -1, entries, &n_read);
    for (size_t i = 0; i < n_read; i++) {
        if (error == NULL) {
            error = delta_log_apply(table, entries[i].data, entries[i].bytes, NULL);
        }
        entries[i].release(&entries[i]);
    }
    return error;
}

static sl_error *apply_listed(sl_delta_table *table, const log_listing *listing) {
    size_t i = 0;
    while (i < listing->n_versions && listing->versions[i] <= table->version) {
        i++;
    }
    while (i < listing->n_versions) {
        size_t n = 0;
        while (i + n < listing->n_versions && n < ENTRIES_AT_A_TIME &&
               listing->versions[i + n] == table->version + 1 + (int64_t)n) {
            n++;
        }
        if (n == 0) {
            const char *why =
                listing->has_v2_checkpoint
                    ? "; the log is only readable through a checkpoint of the feature "
                      "v2Checkpoint, which sluice does not have"
                    : ", and no checkpoint covers it";
            return sl_error_new(listing->has_v2_checkpoint ? SL_ERROR_UNSUPPORTED
                                                           : SL_ERROR_CORRUPT,
                                "%s/" DELTA_LOG ": the entry of version %lld is missing%s",
                                table->url, (long long)(table->version + 1), why);
        }
        sl_error *error = apply_run(table, n);
        if (error != NULL) {
            return error;
        }
        i += n;
    }
    return NULL;
}

/* After a checkpoint without entries behind it: the newest entry's in-commit timestamp, which the
 * next must exceed. */
static sl_error *find_in_commit_timestamp(sl_delta_table *table) {
    const char *enabled = delta_configuration(table, "delta.enableInCommitTimestamps");
    if (enabled == NULL || strcasecmp(enabled, "true") != 0 || table->in_commit_timestamp_ms >= 0) {
        return NULL;
    }
    char path[DELTA_PATH_BYTES];
    sl_store_bytes bytes = {0};
    delta_log_path(table->version, path);
    sl_error *error = table->store->ops->get(table->store, path, 0, -1, &bytes);
    if (error != NULL) {
        return error;
    }
    const uint8_t *newline = memchr(bytes.data, '\n', bytes.bytes);
    size_t length = newline == NULL ? bytes.bytes : (size_t)(newline - bytes.data);
    delta_action first;
    error = delta_action_parse((const char *)bytes.data, length, &table->metadata.partition_columns,
                               &first);
    if (error == NULL) {
        if (first.kind == DELTA_COMMIT_INFO) {
            table->in_commit_timestamp_ms = first.in_commit_timestamp_ms;
        }
        delta_action_clear(&first);
    }
    bytes.release(&bytes);
    return error;
}

/* Checks what every snapshot must have. */
static sl_error *check_complete(const sl_delta_table *table) {
    if (table->protocol.min_reader == 0 && table->protocol.min_writer == 0) {
        return sl_error_new(SL_ERROR_CORRUPT, "%s/" DELTA_LOG ": the log has no protocol action",
                            table->url);
    }
    if (table->schema.release == NULL) {
        return sl_error_new(SL_ERROR_CORRUPT, "%s/" DELTA_LOG ": the log has no metaData action",
                            table->url);
    }
    return NULL;
}

/* *exists: there is a log, so that NOT_FOUND means a file of it went away while it was read. */
static sl_error *load_from(sl_delta_table *table, int64_t hint, bool *exists) {
    log_listing listing;
    delta_table_reset(table);
    sl_error *error = list_log(table, hint, &listing);
    if (error == NULL && hint > 0 && listing.checkpoint_version < 0) {
        free(listing.versions); /* the hint points at nothing: look at the whole log */
        error = list_log(table, 0, &listing);
    }
    *exists = listing.checkpoint_version >= 0 || listing.n_versions > 0;
    if (error == NULL && listing.checkpoint_version >= 0) {
        error = load_checkpoint(table, &listing);
    } else if (error == NULL && !*exists) {
        error = sl_error_new(SL_ERROR_NOT_FOUND, "%s: there is no Delta table", table->url);
    }
    if (error == NULL) {
        error = apply_listed(table, &listing);
    }
    free(listing.versions);
    error = error != NULL ? error : check_complete(table);
    return error != NULL ? error : find_in_commit_timestamp(table);
}

sl_error *delta_log_load(sl_delta_table *table) {
    int64_t hint;
    bool exists = false;
    sl_error *error = read_hint(table, &hint);
    if (error != NULL) {
        return error;
    }
    /* Log clean-up of others may take away files between listing and reading: look again. */
    error = load_from(table, hint, &exists);
    for (int again = 0; again < 2 && exists && sl_error_is(error, SL_ERROR_NOT_FOUND); again++) {
        sl_error_free(error);
        error = load_from(table, 0, &exists);
    }
    if (exists && sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error *corrupt =
            sl_error_new(SL_ERROR_CORRUPT, "%s: the log lacks a file that its listing shows: %s",
                         table->url, sl_error_message(error));
        sl_error_free(error);
        error = corrupt;
    }
    table->broken = error != NULL;
    table->seen_us = sl_monotonic_us();
    return error;
}

/* True when the log has something behind the snapshot although the next entry is not there. */
static sl_error *fell_behind(sl_delta_table *table, bool *behind) {
    log_listing listing;
    sl_error *error = list_log(table, table->version + 1, &listing);
    if (error == NULL) {
        *behind = listing.checkpoint_version > table->version ||
                  (listing.n_versions > 0 && listing.versions[0] > table->version + 1);
    }
    free(listing.versions);
    return error;
}

sl_error *delta_log_refresh(sl_delta_table *table, delta_changes *changes) {
    if (table->broken) {
        if (changes != NULL) {
            changes->reloaded = true;
        }
        return delta_log_load(table);
    }
    sl_error *error;
    int64_t before = table->version;
    do {
        error = apply_next(table, changes);
    } while (error == NULL);
    if (!sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        return error;
    }
    sl_error_free(error);
    if (table->version == before && sl_monotonic_us() - table->seen_us > DELTA_STALE_US) {
        bool behind = false;
        error = fell_behind(table, &behind);
        if (error != NULL) {
            return error;
        }
        if (behind) {
            if (changes != NULL) {
                changes->reloaded = true;
            }
            return delta_log_load(table);
        }
    }
    table->seen_us = sl_monotonic_us();
    return NULL;
}
