/*
 * The record of closed files: a chain of numbered objects in the state store, each put only if
 * absent, so that of two writers one loses. Each tells all positions and the files that its commit
 * names; files of a record that are missing were not stored before a crash.
 *
 * Format, version 1: lines of tab-separated fields.
 *     sluice-closes   1
 *     layout          <format compression partitioning>
 *     position        <offset>   <key>
 *     file            <first>    <next>   <key>   <path>
 */
#ifndef BRONZE_CLOSES_H
#define BRONZE_CLOSES_H

#include "base/base.h"
#include "sluice/store.h"

struct closes_position {
    char *key;
    int64_t offset;
};

struct closes_file {
    char *key;
    char *path;
    int64_t first;
    int64_t next;
};

struct closes {
    int64_t version; /* of the last record; 0: there is none */
    char *layout;
    struct closes_position *positions;
    size_t n_positions;
    struct closes_file *files;
    size_t n_files;
};

void closes_free(struct closes *closes);

/* Reads the newest record; closes->version says from where to look. CORRUPT, the store's. */
sl_error *closes_load(struct closes *closes, sl_store *state);

/* -1 when the key has none. */
int64_t closes_position(const struct closes *closes, const char *key);

/* NO_MEMORY. A key or path with a tab or line end is CONFIG. */
sl_error *closes_set_position(struct closes *closes, const char *key, int64_t offset);
sl_error *closes_add_file(struct closes *closes, const char *key, const char *path, int64_t first,
                          int64_t next);
/* Forgets file i. */
void closes_remove_file(struct closes *closes, size_t i);

/* Writes the next record, durable on success. CONFLICT when somebody else has written it. */
sl_error *closes_write(struct closes *closes, sl_store *state, const char *layout);

/* Deletes records that are older than a day and not the newest. */
sl_error *closes_clean(const struct closes *closes, sl_store *state, int64_t now_ms);

#endif /* BRONZE_CLOSES_H */
