/*
 * Rows that cannot be written: values that a column, or the log, has no place for. They are told
 * before anything of their batch is encoded, since an encoder cannot take a row back.
 *
 * What a batch's schema promises already is not looked at again row by row: columns are looked at
 * as a whole first, and nearly every batch is let through by that.
 */
#ifndef SL_DELTA_ROW_FAULT_H
#define SL_DELTA_ROW_FAULT_H

#include "columns/columns.h"

/* What rows are written as. */
typedef struct sl_delta_row_rules {
    const struct ArrowSchema *schema;     /* "+s" of the batches; a field that is not nullable may
                                             not be null */
    const char *const *partition_columns; /* of the table */
    size_t n_partition_columns;
} sl_delta_row_rules;

/*
 * Why a row cannot be written. Reasons:
 *   null        in a column that must have a value
 *   decimal     more digits than the column has
 *   date        a partition column's date or timestamp outside of the years 1 to 9999, which
 * Delta's text for it does not reach zero_byte   in a partition column's text, which becomes part
 * of a file's name bad_utf8    text that is none: readers refuse the whole file too_large   more
 * bytes than a page of Parquet holds
 */
typedef struct sl_delta_row_fault {
    const char *reason; /* static */
    char path[200];     /* "$.order.lines[2].price" */
    char detail[160];   /* what was found, what is allowed */
} sl_delta_row_fault;

/* False: no row of the "+s" array (offset 0 at every level) is at fault. True: look at each. */
bool sl_delta_rows_suspect(const sl_delta_row_rules *rules, const struct ArrowArray *array);

/* Whether the row is at fault; `out` then gets the first one found. */
bool sl_delta_row_is_at_fault(const sl_delta_row_rules *rules, const struct ArrowArray *array,
                              int64_t row, sl_delta_row_fault *out);

#endif /* SL_DELTA_ROW_FAULT_H */
