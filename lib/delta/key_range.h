/* Which files may hold some keys, by what the log says of them. No public interface. */
#ifndef SL_DELTA_KEY_RANGE_H
#define SL_DELTA_KEY_RANGE_H

#include "delta/internal.h"

typedef struct key_ranges key_ranges;

/* The least and the greatest value of each key column of the batches. */
sl_error *delta_key_ranges_new(const struct ArrowSchema *schema, const int64_t *key, size_t n_key,
                               const struct ArrowArray *const *batches, size_t n_batches,
                               key_ranges **out);
void delta_key_ranges_free(key_ranges *ranges);
/* False only when no row of the file can have one of the keys. */
bool delta_key_ranges_may_hold(const key_ranges *ranges, const sl_delta_file *file,
                               const delta_texts *partition_columns);

#endif /* SL_DELTA_KEY_RANGE_H */
