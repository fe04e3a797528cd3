/*
 * What the files of lib/window share: the plan, the accumulators and the table's layout.
 */
#ifndef SL_WINDOW_INTERNAL_H
#define SL_WINDOW_INTERNAL_H

#include "exact_sum.h"
#include "sketch.h"
#include "window.h"

#define MAX_PATH 16
#define MAX_COLUMNS 64 /* group columns, and inputs of aggregates */

/* ---- expressions (expression.c) ---- */

typedef enum function_id {
    FUNCTION_COUNT,
    FUNCTION_SUM,
    FUNCTION_AVG,
    FUNCTION_STDDEV,
    FUNCTION_STDDEV_POP,
    FUNCTION_MIN,
    FUNCTION_MAX,
    FUNCTION_COUNT_DISTINCT,
    FUNCTION_QUANTILE,
    FUNCTION_FIRST,
    FUNCTION_LAST
} function_id;

typedef struct expression {
    function_id function;
    char *path; /* owned; NULL for count() */
    double q;
} expression;

sl_error *expression_parse(const char *text, expression *out);
void expression_free(expression *parsed);

/* ---- values: how a column is read ---- */

typedef enum value_class {
    VALUE_INT,    /* int64: integers up to int64, booleans, dates, timestamps */
    VALUE_DOUBLE, /* float, double */
    VALUE_WIDE,   /* 128 bits: decimals, uint64 */
    VALUE_BYTES   /* strings, binaries, fixed binaries */
} value_class;

/* A column that the plan reads. */
typedef struct plan_column {
    int64_t path[MAX_PATH];
    size_t depth;
    sl_type type;
    value_class class;
} plan_column;

/* One batch's column, ready to read; built by column_load in columns.c. */
typedef struct column_view {
    value_class class;
    const uint8_t *valid; /* bitmap, NULL: no nulls */
    const int64_t *ints;
    const double *doubles;
    const sl_i128 *wides;   /* may be unaligned to 16: read by memcpy */
    const int32_t *offsets; /* VALUE_BYTES; NULL for fixed binaries */
    const uint8_t *bytes;
    size_t width;
} column_view;

/* Scratch memory of a column's view, used again for each batch. */
typedef struct column_scratch {
    uint8_t *values;
    size_t values_bytes;
    uint8_t *bitmap;
    size_t bitmap_bytes;
} column_scratch;

bool value_class_of(const sl_type *type, value_class *out);
bool column_load(const plan_column *column, const struct ArrowArray *batch, column_scratch *scratch,
                 column_view *view);
void column_scratch_free(column_scratch *scratch);

static inline bool view_is_null(const column_view *view, int64_t row) {
    return view->valid != NULL && !sl_bit_get(view->valid, row);
}
static inline const uint8_t *view_bytes(const column_view *view, int64_t row, size_t *bytes) {
    if (view->offsets == NULL) {
        *bytes = view->width;
        return view->bytes + (size_t)row * view->width;
    }
    *bytes = (size_t)(view->offsets[row + 1] - view->offsets[row]);
    return view->bytes + view->offsets[row];
}
static inline sl_i128 view_wide(const column_view *view, int64_t row) {
    sl_i128 value;
    memcpy(&value, (const uint8_t *)view->wides + (size_t)row * 16, sizeof(value));
    return value;
}

/* ---- accumulators (accumulator.c, accumulator_bytes.c) ---- */

typedef enum accumulator_kind {
    ACCUMULATE_ROWS,    /* count() */
    ACCUMULATE_COUNT,   /* count(x) */
    ACCUMULATE_SUM,     /* integers and decimals */
    ACCUMULATE_SQUARES, /* of integers and decimals */
    ACCUMULATE_DOUBLE_SUM,
    ACCUMULATE_DOUBLE_SQUARES,
    ACCUMULATE_MIN,
    ACCUMULATE_MAX,
    ACCUMULATE_DISTINCT,
    ACCUMULATE_SKETCH,
    ACCUMULATE_FIRST,
    ACCUMULATE_LAST
} accumulator_kind;

/* Aggregates of the plan share accumulators: sum(x), avg(x) and count(x) have one sum. */
typedef struct accumulator {
    accumulator_kind kind;
    size_t column; /* of the plan; not for ACCUMULATE_ROWS */
    size_t offset; /* of its state behind the row's head */
} accumulator;

/* 192 bits, two's complement: 2^64 values of 128 bits fit. */
typedef struct wide_sum {
    sl_u128 low;
    int64_t high;
    int64_t count;
} wide_sum;

/* 320 bits: 2^64 squares of 128-bit values fit. */
typedef struct wide_squares {
    uint64_t limbs[5];
} wide_squares;

typedef struct double_sum {
    exact_sum sum;
    int64_t count;
} double_sum;

/* A value of any class; VALUE_DOUBLE as a sortable integer (sortable_double). */
typedef struct held_value {
    union {
        int64_t integer;
        sl_i128 wide;
        struct {
            uint8_t *data; /* owned */
            uint32_t length;
            uint32_t capacity;
        } bytes;
    } as;
    bool present;
} held_value;

typedef struct order_key {
    int64_t time_us;
    uint64_t topic; /* its first 8 bytes, big-endian */
    int64_t offset;
    int32_t partition;
    uint32_t topic_hash;
} order_key;

typedef struct ordered_value {
    held_value value;
    order_key key;
} ordered_value;

/* Total order of doubles as integers: -0 is 0, NaN is the largest. */
static inline int64_t sortable_double(double value) {
    int64_t bits;
    if (value != value) {
        return INT64_MAX;
    }
    value = value + 0.0; /* -0 becomes 0 */
    memcpy(&bits, &value, sizeof(bits));
    return bits < 0 ? bits ^ INT64_MAX : bits;
}
double double_of_sortable(int64_t sortable);

/* One pair of a row and the group that it counts for. `state` points at the group's accumulators.
 */
typedef struct target {
    uint8_t *state;
    int32_t row;
} target;

/* What the rows of a batch have in common for first and last. */
typedef struct row_order {
    const int64_t *times;
    const int64_t *offsets; /* or NULL */
    order_key base;         /* time_us and offset are those of the batch's first row */
} row_order;

size_t accumulator_bytes(accumulator_kind kind);
void double_sum_count(double_sum *sum, uint64_t more);
bool accumulator_update(const accumulator *acc, const plan_column *columns,
                        const column_view *views, const row_order *order, const target *targets,
                        size_t n);
bool accumulator_merge(const accumulator *acc, const plan_column *columns, uint8_t *state,
                       const uint8_t *other);
void accumulator_free(const accumulator *acc, const plan_column *columns, uint8_t *state);
/* Memory outside the row. */
size_t accumulator_extra_bytes(const accumulator *acc, const plan_column *columns,
                               const uint8_t *state);
bool accumulator_write(const accumulator *acc, const plan_column *columns, uint8_t *state,
                       sl_buffer *out);
/* Merges what was written into `state`; false: memory is short, or *corrupt. */
bool accumulator_read(const accumulator *acc, const plan_column *columns, uint8_t *state,
                      const uint8_t **at, const uint8_t *end, bool *corrupt);

/* ---- the plan (plan.c) ---- */

typedef struct plan_result {
    function_id function;
    sl_type type; /* of the output column */
    size_t sum;   /* accumulators; which of them are used depends on the function */
    size_t squares;
    double q;
    int32_t scale; /* of the input, when it is a decimal */
} plan_result;

struct sl_window_plan {
    sl_window_kind kind;
    int64_t size_us;
    int64_t every_us;
    int64_t lateness_us;
    int64_t max_ahead_us;
    plan_column time;
    plan_column record_time;
    bool has_record_time;
    plan_column groups[MAX_COLUMNS];
    size_t n_groups;
    plan_column columns[MAX_COLUMNS]; /* inputs of accumulators */
    size_t n_columns;
    accumulator *accumulators;
    size_t n_accumulators;
    size_t state_bytes; /* of all accumulators of one row */
    plan_result *results;
    size_t n_results;
    struct ArrowSchema schema; /* of results */
    uint64_t fingerprint;
};

/* ---- tables (table.c) ---- */

/*
 * One window and group. Its accumulators follow behind it. Rows never move, so that pointers to
 * their states stay good while others are added.
 */
typedef struct table_row {
    uint64_t hash; /* of the key */
    const uint8_t *key;
    uint32_t key_bytes;
    bool changed;
    bool dead;        /* a session that was merged into another */
    int64_t first_us; /* sessions: smallest and largest event time */
    int64_t last_us;
    struct table_row *next; /* sessions: the next one of this group */
} table_row;

#define ROW_HEAD_BYTES ((sizeof(table_row) + 15) & ~(size_t)15)
static inline uint8_t *row_state(const table_row *row) {
    return (uint8_t *)(uintptr_t)row + ROW_HEAD_BYTES;
}

/* Memory in blocks that do not move. */
typedef struct block {
    struct block *next;
    size_t used_bytes;
    size_t capacity_bytes;
} block;

typedef struct slot {
    uint64_t hash;
    table_row *row;
} slot;

/* The groups of one window (all sessions are in one pane). */
typedef struct pane {
    int64_t start_us;
    slot *slots;
    size_t n_slots; /* a power of two */
    size_t n_keys;  /* used slots */
    size_t n_rows;  /* alive */
    size_t n_changed;
    table_row **rows; /* all of them, dead ones too, in order of arrival */
    size_t rows_used;
    size_t rows_capacity;
    block *row_blocks;
    block *key_blocks;
    size_t block_bytes; /* of all blocks */
} pane;

struct sl_window_table {
    const sl_window_plan *plan;
    pane **panes; /* ascending by start_us */
    size_t n_panes;
    size_t panes_capacity;
    pane *last; /* that was looked up */
    /* scratch of update, kept from batch to batch */
    column_scratch time_scratch;
    column_scratch record_time_scratch;
    column_scratch group_scratch[MAX_COLUMNS];
    column_scratch column_scratch[MAX_COLUMNS];
    target *targets;
    sl_buffer key; /* of a new group */
};

bool pane_get(sl_window_table *table, int64_t start_us, pane **out);
void pane_free(const sl_window_plan *plan, pane *freed);
void pane_free_row_values(const sl_window_plan *plan, table_row *row);
/* The row of `key` (sessions: the first of its list), or NULL when it is new. */
table_row *pane_find(const pane *searched, uint64_t hash, const uint8_t *key, size_t key_bytes);
/* A new row with zeroed accumulators. Not in a slot yet. The key is copied, or shared when it is
 * `known`. */
table_row *pane_add_row(const sl_window_plan *plan, pane *to, uint64_t hash, const uint8_t *key,
                        size_t key_bytes, bool known);
bool pane_add_key(pane *to, table_row *row);
bool row_merge(const sl_window_plan *plan, table_row *row, const uint8_t *other_state);
static inline void row_changed(pane *in, table_row *row) {
    in->n_changed += row->changed ? 0 : 1;
    row->changed = true;
}
/* The rows that are alive, by key, sessions by their beginning; *out is owned by the caller. */
bool pane_sorted(const pane *from, table_row ***out, size_t *n);
uint64_t key_hash(const uint8_t *key, size_t key_bytes);
int64_t row_window_start(const sl_window_plan *plan, const pane *in, const table_row *row);
int64_t row_window_end(const sl_window_plan *plan, const pane *in, const table_row *row);

/* ---- sessions (session.c) ---- */

/*
 * The session of `key` that [first_us, last_us] belongs to: extended, merged with others that it
 * connects, or new. NULL: memory is short.
 */
table_row *session_place(const sl_window_plan *plan, pane *in, uint64_t hash, const uint8_t *key,
                         size_t key_bytes, int64_t first_us, int64_t last_us);

/* Makes the pane anew without the sessions that are dead or that the watermark closes. */
bool session_remove(const sl_window_plan *plan, pane *from, int64_t watermark);
bool session_is_closed(const sl_window_plan *plan, const table_row *row, int64_t watermark);

#endif /* SL_WINDOW_INTERNAL_H */
