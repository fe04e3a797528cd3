/*
 * delta: Delta Lake tables (delta-io/delta PROTOCOL.md) over a store whose root is the table's
 * folder. Opening and creating, the snapshot, commits that compare and set positions, schema
 * evolution, checkpoints, clean-up. Data files are written with delta/data_file.h, rows are
 * replaced by key with delta/upsert.h.
 *
 * A table handle keeps the protocol, the metadata, the txn positions and the actions since the last
 * checkpoint; files below the checkpoint stay in it and are streamed when asked for, so that memory
 * does not grow with the table.
 *
 * Every function that takes a table or a store blocks on the store: use a worker. Any thread; one
 * table by one thread at a time; many tables (also handles of one folder) in parallel.
 *
 * Errors, beside those of the store: CORRUPT (the log does not follow the protocol; the message
 * names file and line), UNSUPPORTED (a feature that we do not have, by its name in the protocol),
 * CONFIG (the caller's schema or options), CONFLICT (sl_delta_commit), NO_MEMORY.
 */
#ifndef SL_DELTA_H
#define SL_DELTA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "columns/columns.h"
#include "sluice/arrow.h"
#include "sluice/store.h"

typedef struct sl_delta_table sl_delta_table;

/* No position is stored yet: `from` of the first commit of an app id. */
#define SL_DELTA_NO_POSITION INT64_C(-1)

/* Tag of a data file: rows of open windows, replaced whole by the owner that the value names;
 * compaction leaves such files alone. */
#define SL_DELTA_TAG_TAIL "sluice.tail"

/* Every data file that sluice writes has a name that begins with this: the mark by which orphan
 * clean-up knows what is ours. */
#define SL_DELTA_FILE_PREFIX "sluice-"

/* ---- files (file.c) ---- */

/*
 * A data file of a table: what an `add` action says. Owned strings, freed by
 * sl_delta_file_clear; the file of a visit is borrowed.
 */
typedef struct sl_delta_file {
    char *path;              /* in the store: plain text, not URI-encoded */
    char *uri;               /* as another writer spells it in the log; NULL: as we do */
    char **partition_values; /* one for each partition column of the table, in its order; NULL:
                                null. NULL when n is 0 */
    size_t n_partition_values;
    int64_t size_bytes;
    int64_t modified_ms; /* Unix time */
    int64_t rows;        /* -1: not known */
    char *stats;         /* Delta's per-file statistics, JSON text; NULL: none */
    char *tail_owner;    /* value of SL_DELTA_TAG_TAIL; NULL: not a tail file */
    char *tags;          /* the other tags as a JSON object; NULL: none */
    bool data_change;
} sl_delta_file;

void sl_delta_file_clear(sl_delta_file *file);
sl_error *sl_delta_file_copy(const sl_delta_file *file, sl_delta_file *out);

/* A growing list that owns its files. Zero-initialise. */
typedef struct sl_delta_files {
    sl_delta_file *items;
    size_t n;
    size_t capacity;
} sl_delta_files;

/* Moves `file` into the list (it is zeroed); on failure it stays the caller's. */
sl_error *sl_delta_files_add(sl_delta_files *files, sl_delta_file *file);
/* Moves all of `from` to the end of `files`. */
sl_error *sl_delta_files_move(sl_delta_files *files, sl_delta_files *from);
void sl_delta_files_free(sl_delta_files *files);

/* ---- open and create (table.c, create.c) ---- */

/*
 * Opens the table in the store's root at its newest version. Borrows `store` until close. Errors:
 * NOT_FOUND when there is no table. A table whose protocol we cannot read is UNSUPPORTED; one that
 * we can read but not write opens, and sl_delta_check_writable and every commit refuse it.
 */
sl_error *sl_delta_open(sl_store *store, sl_delta_table **out);

typedef struct sl_delta_create_options {
    const struct ArrowSchema *schema; /* "+s": all columns, partition columns too. Borrowed */
    const char *const *partition_columns;
    size_t n_partition_columns;
    const char *name;        /* NULL: none */
    const char *description; /* NULL: none */
    /* Table properties ("delta.appendOnly"), over the defaults: zstd, removed files kept one day,
     * log kept seven days. */
    const char *const *configuration_keys;
    const char *const *configuration_values;
    size_t n_configuration;
} sl_delta_create_options;

/*
 * Makes a table (reader 1, writer 2) without rows, as version 0. Columns that Delta or Parquet
 * cannot hold are CONFIG errors that propose a rename. EXISTS when there is a table already.
 */
sl_error *sl_delta_create(sl_store *store, const sl_delta_create_options *options,
                          sl_delta_table **out);

/* Opens, or creates when there is none (and opens when somebody else was faster). Does not check
 * an existing table against the options: see sl_delta_fit_schema, sl_delta_partition_columns. */
sl_error *sl_delta_open_or_create(sl_store *store, const sl_delta_create_options *options,
                                  sl_delta_table **out);

/* Frees the handle; the store stays the caller's. NULL is allowed. */
void sl_delta_close(sl_delta_table *table);

/* Reads what others committed since. Costs one get when there is nothing new. */
sl_error *sl_delta_refresh(sl_delta_table *table);

/* UNSUPPORTED, naming the feature, when the table asks of a writer what we cannot do. `removes`:
 * the caller will remove files with data change, which delta.appendOnly forbids (CONFIG). */
sl_error *sl_delta_check_writable(const sl_delta_table *table, bool removes);

/* ---- snapshot (table.c): borrowed until the next call that takes the table non-const ---- */

const char *sl_delta_url(const sl_delta_table *table);
int64_t sl_delta_version(const sl_delta_table *table);
/* All columns, partition columns too, in the table's order. */
const struct ArrowSchema *sl_delta_schema(const sl_delta_table *table);
const char *const *sl_delta_partition_columns(const sl_delta_table *table, size_t *n);
/* The stored position of an app id, or SL_DELTA_NO_POSITION. */
int64_t sl_delta_position(const sl_delta_table *table, const char *app_id);
/* Every app id with its position; visit returns 0 to go on. */
void sl_delta_visit_positions(const sl_delta_table *table,
                              int (*visit)(const char *app_id, int64_t position, void *arg),
                              void *arg);

/*
 * Visits every live file of the snapshot, streamed from the checkpoint and the actions since, in no
 * order. visit returns an error to stop, which is passed on. The file is borrowed for the call.
 */
typedef sl_error *(*sl_delta_visit_file)(const sl_delta_file *file, void *arg);
sl_error *sl_delta_visit_files(sl_delta_table *table, sl_delta_visit_file visit, void *arg);

/* The live tail files of one owner; *out is the caller's. */
sl_error *sl_delta_tail_files(sl_delta_table *table, const char *owner, sl_delta_files *out);

/* ---- schema (schema_fit.c) ---- */

typedef enum sl_delta_evolution {
    SL_DELTA_STRICT,  /* every input column must be in the table */
    SL_DELTA_ADDITIVE /* new columns and struct fields are added, nullable */
} sl_delta_evolution;

/*
 * Checks rows of `input` ("+s") against the table: types equal, names equal (names that differ only
 * in case are refused), a column that the table declares NOT NULL present and not nullable. On
 * success *changed says whether the table's schema has to grow; then `merged` gets the new schema
 * (release it), to be passed to sl_delta_commit. Errors: CONFIG, naming the column and both types.
 */
sl_error *sl_delta_fit_schema(const sl_delta_table *table, const struct ArrowSchema *input,
                              sl_delta_evolution evolution, bool *changed,
                              struct ArrowSchema *merged);

/* The same against a schema that is not the table's yet (several inputs, one after the other);
 * `url` is for messages. */
sl_error *sl_delta_fit_schema_to(const char *url, const struct ArrowSchema *table,
                                 const struct ArrowSchema *input, sl_delta_evolution evolution,
                                 bool *changed, struct ArrowSchema *merged);

/*
 * A copy of `input` in which every field that the table declares NOT NULL is not nullable, for
 * callers that keep rows without it out (row_fault.h); *changed: some field is so now. Owned by the
 * caller.
 */
sl_error *sl_delta_demand(const struct ArrowSchema *table, const struct ArrowSchema *input,
                          bool *changed, struct ArrowSchema *out);

/* Names that Delta and Parquet can hold, types that Delta has, no two names that differ only in
 * case. CONFIG with a proposed rename. */
sl_error *sl_delta_check_schema(const struct ArrowSchema *schema);

/* ---- commit (commit.c) ---- */

/* `to` is stored for app_id by this commit, which is valid only while the stored position equals
 * `from` (SL_DELTA_NO_POSITION: none stored). */
typedef struct sl_delta_advance {
    const char *app_id;
    int64_t from;
    int64_t to;
} sl_delta_advance;

/* Why a commit was refused with SL_ERROR_CONFLICT. */
typedef enum sl_delta_conflict {
    SL_DELTA_CONFLICT_NONE,
    SL_DELTA_CONFLICT_POSITION, /* a stored position is not `from`: recover from what is stored */
    SL_DELTA_CONFLICT_REMOVED,  /* an input of a commit with removes is gone: compute it anew */
    SL_DELTA_CONFLICT_ADDED, /* others added files that a commit with removes did not read: compute
                                it anew */
    SL_DELTA_CONFLICT_METADATA /* schema, partitioning, properties or protocol changed: check again
                                */
} sl_delta_conflict;

typedef struct sl_delta_commit_info {
    const sl_delta_file *adds;
    size_t n_adds;
    const sl_delta_file *removes; /* live files of the snapshot that the commit was made from */
    size_t n_removes;
    const sl_delta_advance *advances;
    size_t n_advances;
    const struct ArrowSchema *schema; /* the table's new schema, which has all of the present one:
                                         else CONFLICT_METADATA; NULL: as it is */
    const char *operation;            /* commitInfo; NULL: "STREAMING UPDATE" */
    /*
     * The commit read only the files that it removes (a tail replaced by its owner), so files that
     * others added meanwhile do not matter. Without removes it is a blind append anyway, unless
     * `reads_table` says that it looked for what it would have removed (an upsert of new keys).
     */
    bool reads_only_removes;
    bool reads_table;
    bool data_change; /* false: the same rows rearranged (compaction) */
    /*
     * The commit's identity, made by the first call when empty (zero-initialise) and kept by the
     * caller for a retry after a RETRIABLE error: an entry that did reach the log is then known
     * as one's own.
     */
    char token[40];
    /* Results. */
    int64_t version;            /* the version made */
    sl_delta_conflict conflict; /* set with SL_ERROR_CONFLICT */
} sl_delta_commit_info;

/*
 * Makes the next version: durable when it returns success. When others were faster it reads what
 * they did and rebases if the rules allow (PROTOCOL.md; DESIGN of delta in docs/architecture).
 * RETRIABLE: call again with the same info. CONFLICT: info->conflict says why, the snapshot is
 * refreshed, nothing was written. The files of `adds` are durable before this call.
 */
sl_error *sl_delta_commit(sl_delta_table *table, sl_delta_commit_info *info);

/* ---- upkeep (checkpoint.c, clean.c) ---- */

/* True when the next sl_delta_maintain has something to do. Cheap: any caller after a commit. */
bool sl_delta_maintenance_due(const sl_delta_table *table, int64_t now_ms);

/*
 * Writes a checkpoint when one is due (10 commits at first; the interval grows with the
 * checkpoint's size) and, at most once an hour, deletes expired log entries behind a checkpoint and
 * data files of ours that no version references and that are older than a day. Failures leave the
 * table as good as before: log them as warnings.
 */
sl_error *sl_delta_maintain(sl_delta_table *table, int64_t now_ms);

/*
 * The parts of it. Clean-up looks at every file of the table, which takes seconds when there are
 * hundreds of thousands; it may run on another handle of the same folder while commits go on.
 */
bool sl_delta_checkpoint_due(const sl_delta_table *table);
sl_error *sl_delta_checkpoint(sl_delta_table *table);
typedef struct sl_delta_cleaned {
    int64_t log_entries;
    int64_t data_files;
    int64_t data_bytes;
} sl_delta_cleaned;
/* Once *stop is true the run ends soon, and a later one does the rest; NULL: never. */
sl_error *sl_delta_clean(sl_delta_table *table, int64_t now_ms, const atomic_bool *stop,
                         sl_delta_cleaned *out);

#endif /* SL_DELTA_H */
