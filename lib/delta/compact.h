/*
 * Compaction: the small files that many commits have left become few large ones with the same rows.
 * Each partition is a commit of its own, which says that it changes no data. It gives way to
 * everybody: when another writer has removed one of its files meanwhile, or changed the schema, its
 * work is thrown away. Tail files are left alone, and large ones.
 *
 * Blocking; on a handle of its own it may run beside the commits of others. One table by one thread
 * at a time.
 */
#ifndef SL_DELTA_COMPACT_H
#define SL_DELTA_COMPACT_H

#include <stdatomic.h>

#include "delta/data_file.h"
#include "delta/delta.h"

typedef struct sl_delta_compact_info {
    /* How files are written, file_bytes among it: the size they are to have. Schema and partition
     * columns are the table's, whatever is set. */
    const sl_delta_encoder_options *encoder;
    int64_t small_bytes;     /* files below this are put together... */
    size_t least_files;      /* ...where a partition has at least so many of them (2 or more) */
    size_t most_files;       /* of one pass, the partitions with most of them first; 0: 8,192 */
    const atomic_bool *stop; /* once true, the pass ends soon, its work thrown away; NULL: never */
    /* Results. */
    int64_t files_before;
    int64_t files_after;
    int64_t rows;
    int64_t commits;
    int64_t lost; /* commits that others have made void */
} sl_delta_compact_info;

/*
 * One pass over the newest snapshot; what most_files leaves is taken by the passes that follow.
 * Memory: a description of each file that is taken, 32 bytes or so for each partition, one open row
 * group, one batch. RETRIABLE after an unclear answer: the files of that commit are left, as the
 * table may name them.
 */
sl_error *sl_delta_compact(sl_delta_table *table, sl_delta_compact_info *info);

#endif /* SL_DELTA_COMPACT_H */
