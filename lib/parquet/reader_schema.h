/*
 * The schema of a Parquet file as a tree that mirrors its Arrow schema node by node, with the
 * levels at which each node's nulls and repetitions show in the leaves ("Dremel" levels).
 */
#ifndef SL_PARQUET_READER_SCHEMA_H
#define SL_PARQUET_READER_SCHEMA_H

#include "columns/columns.h"
#include "parquet/reader_footer.h"

/* How a stored value becomes an Arrow value. */
typedef enum sl_pqr_convert {
    SL_PQR_COPY,    /* same bytes: 4, 8, or the length of a fixed binary */
    SL_PQR_BOOL,    /* bits */
    SL_PQR_STRING,  /* BYTE_ARRAY as text or binary */
    SL_PQR_I32_I8,  /* narrowed; outside the range: corrupt */
    SL_PQR_I32_U8,  /* same */
    SL_PQR_I32_I16, /* same */
    SL_PQR_I32_U16, /* same */
    SL_PQR_I32_DECIMAL,
    SL_PQR_I64_DECIMAL,
    SL_PQR_FIXED_DECIMAL,  /* FIXED_LEN_BYTE_ARRAY, big-endian */
    SL_PQR_STRING_DECIMAL, /* BYTE_ARRAY, big-endian */
    SL_PQR_MILLIS_MICROS,
    SL_PQR_NANOS_MICROS,
    SL_PQR_INT96_MICROS,
    SL_PQR_HALF_FLOAT
} sl_pqr_convert;

typedef enum sl_pqr_kind {
    SL_PQR_LEAF,
    SL_PQR_STRUCT,
    SL_PQR_LIST,
    SL_PQR_MAP /* its one child is the entries' struct */
} sl_pqr_kind;

/*
 * One node. With levels (repetition r, definition d) of a leaf below it, an instance of the node
 * begins where r <= rep_level and d >= list_def, and is not null where d >= def_level. An element
 * of a list or map begins where r <= rep_level + 1 and d >= def_level + 1.
 */
typedef struct sl_pqr_node {
    sl_pqr_kind kind;
    bool nullable;
    uint8_t def_level;
    uint8_t rep_level;
    uint8_t list_def; /* definition level from which on the node's nearest list has an element */
    char format[24];  /* Arrow */
    char *name;
    struct sl_pqr_node *children;
    size_t n_children;
    size_t id; /* in depth-first order */
    /* leaves only */
    size_t leaf;          /* column index */
    sl_parquet_type type; /* as stored */
    size_t stored_bytes;  /* of one value; 0: bits or variable */
    sl_pqr_convert convert;
    char *path; /* as in the file */
} sl_pqr_node;

typedef struct sl_pqr_schema {
    sl_pqr_node root;
    size_t n_nodes;
    sl_pqr_node **leaves; /* borrowed from the tree, in column order */
    size_t n_leaves;
    struct ArrowSchema arrow; /* of root */
} sl_pqr_schema;

/* Builds the tree; errors CORRUPT and UNSUPPORTED name the column. On failure nothing is owned. */
sl_error *sl_pqr_schema_build(const sl_pqr_footer *footer, sl_pqr_schema *out);
void sl_pqr_schema_free(sl_pqr_schema *schema);

/*
 * The Arrow schema of `node` whose chosen descendants (chosen[node->id]) alone take part;
 * chosen NULL: all.
 */
sl_error *sl_pqr_schema_arrow(const sl_pqr_node *root, const bool *chosen, struct ArrowSchema *out);

/* Fills in format, stored_bytes and convert of a leaf (reader_type.c). */
sl_error *sl_pqr_leaf_type(const sl_pqr_element *element, sl_pqr_node *node);

#endif /* SL_PARQUET_READER_SCHEMA_H */
