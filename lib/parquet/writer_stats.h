/*
 * Smallest and largest value of a column chunk and of a whole file, in the order that Parquet
 * defines for the column's type (ColumnOrder TYPE_ORDER): signed or unsigned numbers, IEEE without
 * NaN, unsigned bytes.
 */
#ifndef SL_PARQUET_WRITER_STATS_H
#define SL_PARQUET_WRITER_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "columns/columns.h"
#include "parquet/writer.h"

/* How the raw values of a column lie in memory, and their order. */
typedef enum sl_pqw_stats_kind {
    SL_PQW_STATS_BOOL, /* bytes 0 and 1 */
    SL_PQW_STATS_I32,
    SL_PQW_STATS_U32,
    SL_PQW_STATS_I64,
    SL_PQW_STATS_U64,
    SL_PQW_STATS_FLOAT,
    SL_PQW_STATS_DOUBLE,
    SL_PQW_STATS_BIG_ENDIAN, /* two's complement, up to 16 bytes: decimals */
    SL_PQW_STATS_BYTES       /* strings, binary, fixed binary */
} sl_pqw_stats_kind;

/* Strings longer than this are cut. */
#define SL_PQW_STATS_STRING_BYTES 64

__extension__ typedef __int128 sl_pqw_stats_wide;
__extension__ typedef unsigned __int128 sl_pqw_stats_head;

/* The first bytes of a string: one more than is shown, to know what was cut. */
typedef struct sl_pqw_stats_string {
    sl_pqw_stats_head head; /* the first 16 bytes as a big-endian number, padded with 0 */
    uint32_t bytes;         /* at most SL_PQW_STATS_STRING_BYTES + 1 */
    uint8_t data[SL_PQW_STATS_STRING_BYTES + 8];
} sl_pqw_stats_string;

typedef struct sl_pqw_stats {
    sl_pqw_stats_kind kind;
    bool any; /* there is a value (other than NaN) */
    bool has_nan;
    union {
        int64_t i64;
        uint64_t u64;
        double f64;
        sl_pqw_stats_wide wide;
        sl_pqw_stats_string string;
    } min, max;
} sl_pqw_stats;

void sl_pqw_stats_clear(sl_pqw_stats *stats, sl_pqw_stats_kind kind);
/* n values of `width` bytes. */
void sl_pqw_stats_add(sl_pqw_stats *stats, const void *values, size_t n, size_t width);
/* Strings one after the other; readable 16 bytes past the end. */
void sl_pqw_stats_add_strings(sl_pqw_stats *stats, const uint8_t *data, const uint32_t *lengths,
                              size_t n);
/* One string of its own. */
void sl_pqw_stats_add_string(sl_pqw_stats *stats, const uint8_t *data, size_t bytes);
/* Takes in another's values; same kind. */
void sl_pqw_stats_merge(sl_pqw_stats *stats, const sl_pqw_stats *other);

/*
 * Fills has_min, has_max, min_exact, max_exact, min, max and has_nan of a column whose type is
 * set. Strings are put into `memory` (2 * SL_PQW_STATS_STRING_BYTES), which `column` then borrows.
 */
void sl_pqw_stats_describe(const sl_pqw_stats *stats, sl_parquet_column *column, uint8_t *memory);

#endif /* SL_PARQUET_WRITER_STATS_H */
