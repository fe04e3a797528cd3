/*
 * Rows replaced by key, in two ways.
 *
 * A tail holds the rows that are still going to change (of open windows): few, in memory, and in
 * the table in files tagged with their owner, which each commit replaces whole. A row that is final
 * leaves the tail and is appended once. The cost follows the open rows, not the table.
 *
 * Other writers may move a tail's rows into files without the tag (OPTIMIZE does). Whoever keeps
 * count of its rows sees it, and takes them out of where they are by sl_delta_displace.
 *
 * sl_delta_upsert replaces rows anywhere in the table: it finds the files that hold the keys, by
 * partition and statistics, then by reading their key columns, and rewrites those files without the
 * replaced rows (copy on write).
 *
 * Keys are columns at the top level: strings, binary, numbers, booleans, dates, timestamps,
 * decimals. Null is a key value like others; in a partition column an empty text is null, too, as
 * it is to Delta.
 *
 * Blocking where a table is passed. One object by one thread at a time.
 */
#ifndef SL_DELTA_UPSERT_H
#define SL_DELTA_UPSERT_H

#include "delta/data_file.h"
#include "delta/delta.h"

/* CONFIG when a key column is not in the schema or is nested; indexes_out has room for n. */
sl_error *sl_delta_resolve_key(const struct ArrowSchema *schema, const char *const *key, size_t n,
                               int64_t *indexes_out);

/* ---- tail (tail.c) ---- */

typedef struct sl_delta_tail sl_delta_tail;

/* An empty tail of rows of `schema` ("+s", copied). On failure nothing is owned. */
sl_error *sl_delta_tail_new(const struct ArrowSchema *schema, const char *const *key, size_t n_key,
                            sl_delta_tail **out);
void sl_delta_tail_free(sl_delta_tail *tail);
void sl_delta_tail_clear(sl_delta_tail *tail);

/* Replaces the content by the rows of `owner`'s live tail files, whose descriptions are appended to
 * `files`. After an error the tail is to be cleared. */
sl_error *sl_delta_tail_load(sl_delta_tail *tail, sl_delta_table *table, const char *owner,
                             sl_delta_files *files);
/* Each row of the array (of the tail's schema) replaces the row of its key; copied. After an error
 * the tail is to be cleared and loaded. */
sl_error *sl_delta_tail_put(sl_delta_tail *tail, const struct ArrowArray *rows);
/* The keys of these rows leave the tail. */
sl_error *sl_delta_tail_drop(sl_delta_tail *tail, const struct ArrowArray *rows);
int64_t sl_delta_tail_rows(const sl_delta_tail *tail);
size_t sl_delta_tail_memory_bytes(const sl_delta_tail *tail);
/* Appends all rows to an encoder of the tail's schema. */
sl_error *sl_delta_tail_write(const sl_delta_tail *tail, sl_delta_encoder *encoder);

/* ---- anywhere (upsert.c) ---- */

typedef struct sl_delta_upsert_info {
    /* The rows: batches of `schema` in their order; of several rows of one key the last holds. */
    const struct ArrowSchema *schema;
    const struct ArrowArray *const *batches;
    size_t n_batches;
    const char *const *key;
    size_t n_key;
    int64_t delete_column; /* a row that is null there deletes its key; -1: none does */
    const sl_delta_encoder_options *encoder; /* schema, partitions and tail owner are set by us */
    const sl_delta_advance *advances;
    size_t n_advances;
    const struct ArrowSchema *new_schema; /* as in sl_delta_commit_info */
    char token[40];                       /* as in sl_delta_commit_info */
    /* Results. */
    int64_t version;
    sl_delta_conflict conflict;
    int64_t rows_written;
    int64_t rows_deleted;
    int64_t files_rewritten;
} sl_delta_upsert_info;

/*
 * Replaces, adds and deletes rows by key, and advances positions, in one commit. Computed anew when
 * other writers change the files it read. Errors as sl_delta_commit; CONFLICT only for positions
 * and metadata. Memory: the batches, their keys, and one batch of each file that is read.
 */
sl_error *sl_delta_upsert(sl_delta_table *table, sl_delta_upsert_info *info);

/*
 * Takes rows out, wherever they are but in the tail files of `owner`: files that hold keys of the
 * rows in `info` are written anew without them, for a commit of the caller's. `removes` and `adds`
 * get the files before and after; info->rows_deleted is how many rows went. After an error nothing
 * is left. Of `info` only rows, key and encoder count.
 */
sl_error *sl_delta_displace(sl_delta_table *table, sl_delta_upsert_info *info, const char *owner,
                            sl_delta_files *removes, sl_delta_files *adds);

#endif /* SL_DELTA_UPSERT_H */
