/*
 * lines: batches as lines of JSON, for sinks that write text.
 */
#ifndef SL_COLUMNS_LINES_H
#define SL_COLUMNS_LINES_H

#include "columns/columns.h"

/* How rows of raw records are written: their value as it is, or the whole row as an object. Other
 * rows are always objects. */
typedef enum sl_lines_raw { SL_LINES_VALUE, SL_LINES_RECORD } sl_lines_raw;

/*
 * Appends rows [first, first + rows) of a struct array, one line each. Raw values keep their bytes,
 * except that line ends inside become spaces, which JSON allows wherever it allows them at all; a
 * null value becomes "null". False when memory is short, and then `out` is unchanged.
 */
bool sl_lines_append(const struct ArrowSchema *schema, const struct ArrowArray *array,
                     int64_t first, int64_t rows, sl_lines_raw raw, sl_buffer *out);

#endif /* SL_COLUMNS_LINES_H */
