/*
 * window: windows over event time, and mergeable aggregates per window and group.
 *
 * A *plan* is the checked description: time column, window, group columns, aggregates. A *table*
 * holds partial aggregates of a plan, per window and group: of what one lane took from one stream
 * since its last flush, of one commit, or of a node's whole state. Tables are updated from batches,
 * merged, written as bytes and read back.
 *
 * Everything is independent of order: the same rows give the same results, and the same bytes,
 * however they were spread over tables and whatever the order of merging. Sums of integers and
 * decimals are kept in 192 bits, sums of doubles exactly (a superaccumulator); quantiles are
 * DDSketches with 1 % relative error; distinct counts are exact up to 1,024 values, then
 * HyperLogLogs with a standard error of 0.81 %; first and last go by (event time, topic,
 * partition, offset).
 *
 * Lateness: a row is late for a window when the window has ended at or before the watermark of the
 * row's own stream, which is the largest event time at lower offsets minus `lateness`. Windows of a
 * whole are closed by the smallest watermark of its streams; since a stream's watermark never
 * falls, no row that is not late belongs to a closed window.
 *
 * Any thread; one object by one thread at a time. A plan is immutable and may be shared.
 */
#ifndef SL_WINDOW_H
#define SL_WINDOW_H

#include "columns/columns.h"

/* No event time seen. */
#define SL_TIME_NONE INT64_MIN

/* Quantiles are within this share of the exact one, for values whose ratio to the largest magnitude
 * of the group is above 10^-35. */
#define SL_QUANTILE_ERROR 0.01
/* Distinct counts are exact up to here. */
#define SL_DISTINCT_EXACT 1024

typedef enum sl_window_kind {
    SL_WINDOW_TUMBLING, /* [k * size, (k + 1) * size) since 1970-01-01T00:00:00Z */
    SL_WINDOW_HOPPING,  /* [k * every, k * every + size) */
    /* Rows of a group whose neighbours are less than `size` apart; [first, last + size). */
    SL_WINDOW_SESSION
} sl_window_kind;

typedef struct sl_window_aggregate {
    const char *name;       /* of the output column */
    const char *expression; /* "count()", "sum(amount)", "quantile(session.duration_ms, 0.99)" */
} sl_window_aggregate;

typedef struct sl_window_config {
    sl_window_kind kind;
    int64_t size_us;  /* session: the gap */
    int64_t every_us; /* hopping */
    int64_t lateness_us;
    const char *time;            /* path of a timestamp column */
    const char *record_time;     /* path of the record's own timestamp, for max_ahead; or NULL */
    int64_t max_ahead_us;        /* with record_time; 0: no bound */
    const char *const *group_by; /* paths */
    size_t n_group_by;
    const sl_window_aggregate *aggregates;
    size_t n_aggregates;
} sl_window_config;

typedef struct sl_window_plan sl_window_plan;
typedef struct sl_window_table sl_window_table;

/* ---- plans (plan.c, expression.c) ---- */

/*
 * Checks `config` against the schema of the rows; nothing is kept of either. Aggregates:
 *   count()              rows                                     long
 *   count(x)             rows in which x is not null              long
 *   sum(x)               integers: long (uint64: decimal(38,0)); decimal(p,s): decimal(p+10,s), at
 *                        most 38; float, double: double. null when it does not fit the type
 *   avg(x)               double, from the exact sum
 *   stddev(x)            sample standard deviation (n - 1, as in SQL), null for less than 2 rows;
 *                        also stddev_samp(x); stddev_pop(x) divides by n. double
 *   min(x), max(x)       x's type; strings and binaries by bytes, NaN is the largest double
 *   count_distinct(x)    long
 *   quantile(x, q)       double, 0 <= q <= 1; 1 % relative error; NaN is left out
 *   first(x), last(x)    x's type: the value that is not null with the smallest (largest) event
 *                        time, then topic, partition and offset
 * Nulls are left out of all but count(); of no values, all but the counts are null. Errors: CONFIG,
 * with what is allowed and the nearest right name.
 */
sl_error *sl_window_plan_new(const struct ArrowSchema *rows, const sl_window_config *config,
                             sl_window_plan **out);
void sl_window_plan_free(sl_window_plan *plan);

/*
 * The schema of results: window_start, window_end ("tsu:UTC"), the group columns (a path a.b is
 * called a_b), the aggregates; metadata "sluice.key" names the key columns. Borrowed.
 */
const struct ArrowSchema *sl_window_plan_results(const sl_window_plan *plan);

/* A number that differs when the plan's windows, groups, aggregates or their types differ: tables
 * of different plans do not merge. Lateness is not part of it. */
uint64_t sl_window_plan_fingerprint(const sl_window_plan *plan);

/* NULL when `expression` is well-formed in itself (without knowing the columns), else a CONFIG
 * error. */
sl_error *sl_window_check_expression(const char *expression);

/* ---- tables (table.c, session.c, table_bytes.c) ---- */

/* `plan` must outlive the table. */
sl_error *sl_window_table_new(const sl_window_plan *plan, sl_window_table **out);
void sl_window_table_free(sl_window_table *table);

/* Windows and groups held, and the memory of it in bytes (near enough for limits). */
size_t sl_window_table_groups(const sl_window_table *table);
size_t sl_window_table_bytes(const sl_window_table *table);

/* The event-time clock of one stream. Begins as {SL_TIME_NONE, SL_TIME_NONE}. */
typedef struct sl_window_clock {
    int64_t max_event_us; /* largest event time so far */
    int64_t floor_us;     /* the watermark is at least this (streams that had been idle) */
} sl_window_clock;

/* Largest event time minus lateness, at least the floor; SL_TIME_NONE when neither is known. */
int64_t sl_window_clock_watermark(const sl_window_plan *plan, const sl_window_clock *clock);

/* Where a batch comes from; orders first and last. */
typedef struct sl_window_origin {
    const char *topic; /* borrowed for the call */
    int32_t partition;
    int64_t first_offset; /* of the batch */
    /* One a row, when they are known. NULL: rows count from first_offset, which gives the same
     * order within a stream. */
    const int64_t *offsets;
} sl_window_origin;

/* What became of a batch's rows. The caller owns `late`, an array that grows and is used again. */
typedef struct sl_window_outcome {
    int32_t *late; /* rows that were late for all of their windows */
    size_t n_late;
    size_t late_capacity;
    int64_t without_time; /* event time null or outside the years -9999 to 9999 */
    int64_t ahead;        /* beyond max_ahead; they do not move the clock */
    int64_t partly_late;  /* hopping: late for some of their windows only */
} sl_window_outcome;
void sl_window_outcome_free(sl_window_outcome *outcome);

/*
 * Adds the rows of a batch (a "+s" array of the plan's row schema, offset 0 at every level), in
 * order, and moves `clock`. `outcome` is overwritten. On failure (NO_MEMORY) the table is good for
 * nothing but freeing.
 */
sl_error *sl_window_table_update(sl_window_table *table, sl_window_clock *clock,
                                 const sl_window_origin *origin, const struct ArrowArray *batch,
                                 sl_window_outcome *outcome);

/* Moves what `other` (of the same plan) holds into `table`; it is empty afterwards. On failure
 * (NO_MEMORY) both are good for nothing but freeing. */
sl_error *sl_window_table_merge(sl_window_table *table, sl_window_table *other);

/*
 * Appends the table to `out`: a versioned format that carries the plan's fingerprint, described in
 * table_bytes.c. Equal contents give equal bytes. NO_MEMORY.
 */
sl_error *sl_window_table_write(const sl_window_table *table, sl_buffer *out);

/* Merges what write has written. CORRUPT when it is not that; CONFIG when it is of another plan;
 * after a failure `table` is good for nothing but freeing. */
sl_error *sl_window_table_read(sl_window_table *table, const void *data, size_t bytes);

/* ---- results (results.c) ---- */

typedef struct sl_window_result_counts {
    int64_t rows;
    int64_t overflows;    /* sums written as null because they do not fit their type */
    int64_t max_event_us; /* largest window_end among the rows; SL_TIME_NONE */
} sl_window_result_counts;

/*
 * Appends one row for each window and group that `watermark` closes (a session one gap after its
 * end, see results.c) to `rows`, a builder of the plan's results, in order of window_start and key
 * (sessions: of key and window_start), and forgets them. `counts` is overwritten. NO_MEMORY.
 */
sl_error *sl_window_table_close(sl_window_table *table, int64_t watermark, sl_builder *rows,
                                sl_window_result_counts *counts);

/* As close, but forgets the windows without results: for the replay of what is closed already.
 * NO_MEMORY. */
sl_error *sl_window_table_discard(sl_window_table *table, int64_t watermark);

/*
 * Appends the present rows of the windows and groups that have changed since they were last
 * appended, or of all of them; nothing is forgotten.
 */
sl_error *sl_window_table_changes(sl_window_table *table, bool all, sl_builder *rows,
                                  sl_window_result_counts *counts);

#endif /* SL_WINDOW_H */
