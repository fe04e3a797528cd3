/*
 * Shredding: rows of nested Arrow arrays to the entries of one leaf column, each with its
 * repetition and definition level (Dremel's, apache/parquet-format README, "Nested Encoding").
 *
 * It works column-wise, one step of the path at a time over all entries; what has no nulls and no
 * lists costs nothing: no level is written down, and the values stay where they are.
 */
#ifndef SL_PARQUET_WRITER_SHRED_H
#define SL_PARQUET_WRITER_SHRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "columns/columns.h"

/* Levels are bytes, and no schema that a person wrote nests so deep. */
#define SL_PQW_SHRED_MAX_STEPS 64

/* One step down from the root "+s" to the leaf. */
typedef struct sl_pqw_shred_step {
    int64_t child; /* of the array above */
    bool nullable;
    bool list; /* or map: its values are those of its only child, the next step */
} sl_pqw_shred_step;

typedef struct sl_pqw_shred_path {
    sl_pqw_shred_step *steps; /* the last one is the leaf */
    size_t n_steps;
    uint8_t max_definition;
    uint8_t max_repetition;
    size_t value_bytes;    /* of a value in Arrow; 0: a string */
    const char *described; /* dotted name, for messages */
} sl_pqw_shred_path;

/* The entries of a run of rows; arrays are the shredder's, valid until its next use. */
typedef struct sl_pqw_shredded {
    const struct ArrowArray *leaf;
    size_t entries;
    const uint8_t *definition; /* NULL: all have the largest */
    const uint8_t *repetition; /* NULL: all are 0 */
    size_t values;             /* entries with a value */
    int64_t first;             /* the values are rows first, first + 1, ... of `leaf` */
    const int32_t *rows;       /* or these, when not NULL */
} sl_pqw_shredded;

/* Memory for it, shared by all columns of a writer. Zero-initialise. */
typedef struct sl_pqw_shredder {
    sl_buffer definition[2];
    sl_buffer repetition[2];
    sl_buffer rows[2];
} sl_pqw_shredder;

void sl_pqw_shredder_free(sl_pqw_shredder *shredder);

/* Errors: RECORD (a null where the schema has none), CONFIG (an array of another shape),
 * NO_MEMORY. */
sl_error *sl_pqw_shred(sl_pqw_shredder *shredder, const sl_pqw_shred_path *path,
                       const struct ArrowArray *columns, int64_t first, int64_t rows,
                       sl_pqw_shredded *out);

/* About how many bytes of raw values and levels these rows have in this column; cheap. */
size_t sl_pqw_shred_weight(const sl_pqw_shred_path *path, const struct ArrowArray *columns,
                           int64_t first, int64_t rows);

#endif /* SL_PARQUET_WRITER_SHRED_H */
