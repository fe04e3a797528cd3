/* Rows compared and hashed by some of their columns, on their typed values. No public interface. */
#ifndef SL_DELTA_ROWS_H
#define SL_DELTA_ROWS_H

#include "columns/columns.h"

/*
 * Columns of a batch: `columns` are indexes into both schema and array. Strings, binary, booleans
 * and fixed-width types only; nulls equal nulls; doubles are compared by their bits.
 */
typedef struct delta_rows {
    const struct ArrowSchema *schema;
    const struct ArrowArray *array;
    const int64_t *columns;
    size_t n_columns;
    const bool *partition; /* by place in `columns`: it is a partition column, where an empty text
                              is null to Delta; NULL: none is */
} delta_rows;

uint64_t delta_rows_hash(const delta_rows *rows, int64_t row);
/* The columns of both must have the same types in the same order. */
bool delta_rows_equal(const delta_rows *a, int64_t a_row, const delta_rows *b, int64_t b_row);

#endif /* SL_DELTA_ROWS_H */
