/* Parts of reading data files: no public interface. */
#ifndef SL_DELTA_READ_INTERNAL_H
#define SL_DELTA_READ_INTERNAL_H

#include "columns/columns.h"
#include "delta/data_file.h"

/* Appends a partition value of the log (NULL: null) to a builder of the column's type; false when
 * the text is not a value of it, or memory is short. */
bool delta_partition_append(const struct ArrowSchema *schema, const char *text, sl_builder *to);

/*
 * As sl_delta_read_file, but batches have the columns of `as` ("+s", found by name; what the file
 * lacks is null).
 */
sl_error *delta_read_as(sl_delta_table *table, const sl_delta_file *file,
                        const struct ArrowSchema *as, sl_delta_visit_rows visit, void *arg);

#endif /* SL_DELTA_READ_INTERNAL_H */
