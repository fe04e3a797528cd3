/*
 * A leaf column of the file's schema: its path and levels, how its values are stored, and how
 * Arrow's values become Parquet's.
 */
#ifndef SL_PARQUET_WRITER_LEAF_H
#define SL_PARQUET_WRITER_LEAF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "columns/columns.h"
#include "parquet/format.h"
#include "parquet/writer_shred.h"
#include "parquet/writer_stats.h"

typedef struct sl_pqw_leaf {
    sl_pqw_shred_path shred;
    char **path; /* path_in_schema */
    size_t n_path;
    char *described; /* the path with dots */
    sl_type type;
    sl_parquet_type physical;
    size_t width; /* of a raw value in memory; 0: strings. Booleans: 1 */
    sl_pqw_stats_kind stats;
} sl_pqw_leaf;

/*
 * The leaves of `schema` ("+s"), depth first. On failure nothing is owned. CONFIG: no columns, an
 * empty struct, a type that we do not have, nested too deep.
 */
sl_error *sl_pqw_leaves_new(const struct ArrowSchema *schema, sl_pqw_leaf **out, size_t *n);
void sl_pqw_leaves_free(sl_pqw_leaf *leaves, size_t n);

/* How values of a leaf type are stored, and the bytes of one in memory (0: strings; booleans: 1).
 * The type is one that sl_pqw_leaves_new accepts. */
sl_parquet_type sl_pqw_leaf_physical(const sl_type *type, size_t *width);

/* Names of the groups between a list or map and its values. */
#define SL_PQW_LIST_GROUP "list"
#define SL_PQW_LIST_ELEMENT "element"
#define SL_PQW_MAP_GROUP "key_value"
#define SL_PQW_MAP_KEY "key"
#define SL_PQW_MAP_VALUE "value"

/*
 * The values of a leaf that has a width, one after the other in the form of PLAIN (booleans: bytes
 * 0 and 1): in the array's own buffer where they lie so already, else gathered into `scratch`.
 * Errors: RECORD (a decimal beyond its precision), NO_MEMORY.
 */
sl_error *sl_pqw_leaf_values(const sl_pqw_leaf *leaf, const sl_pqw_shredded *shredded,
                             sl_buffer *scratch, const void **out);

/* Appends strings' lengths (uint32_t) and bytes to two buffers. */
sl_error *sl_pqw_leaf_strings(const sl_pqw_shredded *shredded, sl_buffer *lengths,
                              sl_buffer *bytes);

#endif /* SL_PARQUET_WRITER_LEAF_H */
