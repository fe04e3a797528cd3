/*
 * rejects: the columns of rejected records (sluice/batch.h): their schema, and the row for a record
 * of a batch that somebody rejects.
 */
#ifndef SL_COLUMNS_REJECTS_H
#define SL_COLUMNS_REJECTS_H

#include "columns/columns.h"
#include "sluice/batch.h"

/* Fills `out` (owned by the caller) with the schema of rejected records; `plugin` is who rejects.
 */
sl_error *sl_rejects_schema(const char *plugin, struct ArrowSchema *out);

/* The plugin that rejects when `schema` is that of rejected records, else NULL. *bytes gets the
 * name's length. Borrowed. */
const char *sl_rejects_of(const struct ArrowSchema *schema, size_t *bytes);

/* Why, in texts that end with a 0 byte and are borrowed; for services->reject. */
static inline sl_reject sl_reject_of(const char *reason, const char *path, const char *detail) {
    return (sl_reject){.struct_bytes = sizeof(sl_reject),
                       .reason = reason,
                       .reason_bytes = strlen(reason),
                       .path = path,
                       .path_bytes = strlen(path),
                       .detail = detail,
                       .detail_bytes = strlen(detail)};
}

/*
 * Appends the rejected record `row` of `batch` to a builder of sl_rejects_schema. A raw record
 * keeps its key, value, headers and timestamp; any other row becomes JSON. False when memory is
 * short, and then the builder is unchanged.
 */
bool sl_rejects_append(sl_builder *builder, const sl_batch *batch, int64_t row,
                       const sl_reject *why);

/*
 * The offset of a row: of a raw batch its own; else the column `_offset`, the place in a batch
 * without gaps, or the batch's first offset.
 */
int64_t sl_rejects_offset(const sl_batch *batch, int64_t row);

#endif /* SL_COLUMNS_REJECTS_H */
