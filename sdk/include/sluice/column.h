/*
 * Reading the columns of a batch row by row: for plugins that link no library of ours. A column is
 * looked up once per batch, its values are read by inline functions that cost what an array access
 * costs.
 *
 *     sl_column country = sl_column_of(batch, "country");
 *     if (country.array == NULL) { ... no such column ... }
 *     for (int64_t row = 0; row < batch->rows; row++) {
 *         size_t bytes;
 *         const char *text = sl_column_text(country, row, &bytes);
 *     }
 *
 * Rows must lie in [0, batch->rows); the type must be the one that the function names
 * (sl_column_is). Values are borrowed from the batch.
 */
#ifndef SLUICE_COLUMN_H
#define SLUICE_COLUMN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sluice/batch.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sl_column {
    const struct ArrowSchema *schema;
    const struct ArrowArray *array; /* NULL: there is no such column */
} sl_column;

/* The child called `name` of a struct column (as a batch is one at its top). */
static inline sl_column sl_column_child(const struct ArrowSchema *schema,
                                        const struct ArrowArray *array, const char *name) {
    sl_column column = {NULL, NULL};
    int64_t i;
    for (i = 0; i < schema->n_children; i++) {
        if (strcmp(schema->children[i]->name, name) == 0) {
            column.schema = schema->children[i];
            column.array = array->children[i];
            break;
        }
    }
    return column;
}

static inline sl_column sl_column_of(const sl_batch *batch, const char *name) {
    return sl_column_child(batch->schema, batch->columns, name);
}

/* Whether the column has this Arrow format: "l" int64, "g" double, "u" text, "z" bytes, "b"
 * boolean, "tsu:UTC" ... */
static inline int sl_column_is(sl_column column, const char *format) {
    return column.array != NULL && strcmp(column.schema->format, format) == 0;
}

static inline int sl_column_is_null(sl_column column, int64_t row) {
    const uint8_t *valid = (const uint8_t *)column.array->buffers[0];
    return valid != NULL && ((valid[row >> 3] >> (row & 7)) & 1) == 0;
}

/* int64, and timestamps and times of 64 bits in the unit of their format. */
static inline int64_t sl_column_i64(sl_column column, int64_t row) {
    return ((const int64_t *)column.array->buffers[1])[row];
}

/* int32 and date32 (days since 1970-01-01). */
static inline int32_t sl_column_i32(sl_column column, int64_t row) {
    return ((const int32_t *)column.array->buffers[1])[row];
}

static inline double sl_column_double(sl_column column, int64_t row) {
    return ((const double *)column.array->buffers[1])[row];
}

static inline int sl_column_bool(sl_column column, int64_t row) {
    const uint8_t *bits = (const uint8_t *)column.array->buffers[1];
    return (bits[row >> 3] >> (row & 7)) & 1;
}

/* Text and bytes; not 0-terminated. */
static inline const char *sl_column_text(sl_column column, int64_t row, size_t *bytes) {
    const int32_t *offsets = (const int32_t *)column.array->buffers[1];
    *bytes = (size_t)(offsets[row + 1] - offsets[row]);
    return (const char *)column.array->buffers[2] + offsets[row];
}

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_COLUMN_H */
