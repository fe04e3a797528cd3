/* Per-file statistics as the log has them, from what the Parquet writer knows. No public interface.
 */
#ifndef SL_DELTA_STATS_H
#define SL_DELTA_STATS_H

#include "base/base.h"
#include "columns/columns.h"
#include "parquet/writer.h"

/*
 * Writes {"numRecords":…,"minValues":{…},"maxValues":{…},"nullCount":{…}} for a finished file whose
 * columns are `schema`. Only the first `columns` leaves get more than numRecords; negative: all.
 */
sl_error *delta_stats_write(const struct ArrowSchema *schema, const sl_parquet_summary *summary,
                            int64_t columns, sl_buffer *out);

#endif /* SL_DELTA_STATS_H */
