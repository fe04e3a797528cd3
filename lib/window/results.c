/*
 * Results: closes windows by a watermark, and turns accumulators into columns.
 */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

/* ---- finishing ---- */

static sl_quad ten_to(int32_t exponent) {
    sl_quad power = 1;
    for (int32_t i = 0; i < exponent; i++) {
        power *= 10;
    }
    return power;
}

/* The sum's magnitude in three limbs. */
static bool sum_magnitude(const wide_sum *sum, uint64_t limbs[3]) {
    bool negative = sum->high < 0;
    sl_u128 low = negative ? -sum->low : sum->low;
    uint64_t high = (uint64_t)sum->high;
    if (negative) {
        high = ~high + (low == 0 ? 1 : 0);
    }
    limbs[0] = (uint64_t)low;
    limbs[1] = (uint64_t)(low >> 64);
    limbs[2] = high;
    return negative;
}

static sl_quad quad_of_limbs(const uint64_t *limbs, size_t n) {
    sl_quad value = 0;
    for (size_t i = n; i > 0; i--) {
        value = value * (sl_quad)18446744073709551616.0 + (sl_quad)limbs[i - 1];
    }
    return value;
}

static double average(const wide_sum *sum, int32_t scale) {
    uint64_t limbs[3];
    bool negative = sum_magnitude(sum, limbs);
    sl_quad mean = quad_of_limbs(limbs, 3) / (sl_quad)sum->count / ten_to(scale);
    return negative ? -(double)mean : (double)mean;
}

/* product[0..6) = a[0..a_n) * b[0..b_n), a_n + b_n <= 6 */
static void multiply(const uint64_t *a, size_t a_n, const uint64_t *b, size_t b_n,
                     uint64_t product[6]) {
    memset(product, 0, 6 * sizeof(product[0]));
    for (size_t i = 0; i < a_n; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < b_n; j++) {
            sl_u128 sum = (sl_u128)a[i] * b[j] + product[i + j] + carry;
            product[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
        if (i + b_n < 6) {
            product[i + b_n] = carry;
        }
    }
}

/* n * squares - sum^2, exactly, is n times the sum of squared differences from the mean. */
static double deviation(const wide_sum *sum, const wide_squares *squares, bool sample,
                        int32_t scale) {
    uint64_t magnitude[3];
    uint64_t count = (uint64_t)sum->count;
    uint64_t square_of_sum[6];
    uint64_t difference[6];
    (void)sum_magnitude(sum, magnitude);
    multiply(magnitude, 3, magnitude, 3, square_of_sum);
    multiply(squares->limbs, 5, &count, 1, difference);
    unsigned borrow = 0;
    for (size_t i = 0; i < 6; i++) {
        sl_u128 taken = (sl_u128)square_of_sum[i] + borrow;
        borrow = taken > difference[i] ? 1 : 0;
        difference[i] = (uint64_t)(difference[i] - taken);
    }
    sl_quad divisor = (sl_quad)sum->count * (sl_quad)(sum->count - (sample ? 1 : 0));
    sl_quad variance = quad_of_limbs(difference, 6) / divisor / ten_to(2 * scale);
    return sqrt((double)variance);
}

static double double_deviation(double_sum *sum, exact_sum *squares, bool sample) {
    sl_quad total = exact_sum_quad(&sum->sum);
    sl_quad count = (sl_quad)sum->count;
    sl_quad variance =
        (exact_sum_quad(squares) - total * total / count) / (count - (sample ? 1 : 0));
    return variance < 0 ? 0.0 : sqrt((double)variance);
}

/* The sum when it fits `type` (an int64 or a decimal). */
static bool sum_fits(const wide_sum *sum, const sl_type *type, sl_i128 *value) {
    *value = (sl_i128)sum->low;
    if (sum->high != (*value < 0 ? -1 : 0)) {
        return false;
    }
    if (type->id == SL_TYPE_INT64) {
        return *value >= INT64_MIN && *value <= INT64_MAX;
    }
    sl_i128 limit = 1;
    for (int32_t i = 0; i < type->precision; i++) {
        limit *= 10;
    }
    return *value<limit && * value> - limit;
}

static bool append_held(sl_builder *builder, value_class class, const held_value *held) {
    if (!held->present) {
        return sl_builder_append_null(builder);
    }
    switch (class) {
    case VALUE_BYTES:
        return sl_builder_append_bytes(builder, held->as.bytes.data, held->as.bytes.length);
    case VALUE_DOUBLE:
        return sl_builder_append_double(builder, double_of_sortable(held->as.integer));
    case VALUE_WIDE:
        return builder->type.width_bytes == 16
                   ? sl_builder_append_bytes(builder, &held->as.wide, 16)
                   : sl_builder_append_i64(builder, (int64_t)held->as.wide);
    default:
        return builder->type.id == SL_TYPE_BOOL
                   ? sl_builder_append_bool(builder, held->as.integer != 0)
                   : sl_builder_append_i64(builder, held->as.integer);
    }
}

static bool append_sum(sl_builder *builder, const accumulator *acc, uint8_t *state,
                       int64_t *overflows) {
    if (acc->kind == ACCUMULATE_DOUBLE_SUM) {
        double_sum *sum = (double_sum *)(void *)state;
        return sum->count == 0 ? sl_builder_append_null(builder)
                               : sl_builder_append_double(builder, exact_sum_value(&sum->sum));
    }
    const wide_sum *sum = (const wide_sum *)(void *)state;
    sl_i128 value;
    if (sum->count == 0) {
        return sl_builder_append_null(builder);
    }
    if (!sum_fits(sum, &builder->type, &value)) {
        ++*overflows;
        return sl_builder_append_null(builder);
    }
    return builder->type.id == SL_TYPE_INT64 ? sl_builder_append_i64(builder, (int64_t)value)
                                             : sl_builder_append_bytes(builder, &value, 16);
}

static bool append_moment(sl_builder *builder, const sl_window_plan *plan,
                          const plan_result *result, uint8_t *state) {
    const accumulator *acc = &plan->accumulators[result->sum];
    void *sum = state + acc->offset;
    bool floating = acc->kind == ACCUMULATE_DOUBLE_SUM;
    int64_t count = floating ? ((double_sum *)sum)->count : ((wide_sum *)sum)->count;
    if (count < (result->function == FUNCTION_STDDEV ? 2 : 1)) {
        return sl_builder_append_null(builder);
    }
    double value;
    if (result->function == FUNCTION_AVG) {
        value = floating ? (double)(exact_sum_quad(&((double_sum *)sum)->sum) / (sl_quad)count)
                         : average(sum, result->scale);
    } else {
        bool sample = result->function == FUNCTION_STDDEV;
        void *squares = state + plan->accumulators[result->squares].offset;
        value = floating ? double_deviation(sum, squares, sample)
                         : deviation(sum, squares, sample, result->scale);
    }
    return sl_builder_append_double(builder, value);
}

static bool append_result(sl_builder *builder, const sl_window_plan *plan,
                          const plan_result *result, uint8_t *row, int64_t *overflows) {
    const accumulator *acc = &plan->accumulators[result->sum];
    void *state = row + acc->offset;
    switch (result->function) {
    case FUNCTION_COUNT:
        return sl_builder_append_i64(builder, *(const int64_t *)state);
    case FUNCTION_COUNT_DISTINCT:
        return sl_builder_append_i64(builder, hll_sketch_count(state));
    case FUNCTION_SUM:
        return append_sum(builder, acc, state, overflows);
    case FUNCTION_QUANTILE:
        return ((dd_sketch *)state)->total == 0
                   ? sl_builder_append_null(builder)
                   : sl_builder_append_double(builder, dd_sketch_quantile(state, result->q));
    case FUNCTION_MIN:
    case FUNCTION_MAX:
        return append_held(builder, plan->columns[acc->column].class, state);
    case FUNCTION_FIRST:
    case FUNCTION_LAST:
        return append_held(builder, plan->columns[acc->column].class,
                           &((const ordered_value *)state)->value);
    default:
        return append_moment(builder, plan, result, row);
    }
}

/* ---- rows ---- */

/* Appends the group column at *at of the row's key. */
static bool append_group(sl_builder *builder, value_class class, const uint8_t **at) {
    if (*(*at)++ == 0) {
        return sl_builder_append_null(builder);
    }
    held_value held = {.present = true};
    size_t bytes = 8;
    if (class == VALUE_BYTES) {
        memcpy(&held.as.bytes.length, *at, sizeof(uint32_t));
        *at += sizeof(uint32_t);
        bytes = held.as.bytes.length;
        held.as.bytes.data = (uint8_t *)(uintptr_t)*at;
    } else if (class == VALUE_WIDE) {
        bytes = 16;
        memcpy(&held.as.wide, *at, bytes);
    } else {
        memcpy(&held.as.integer, *at, bytes);
    }
    *at += bytes;
    return append_held(builder, class, &held);
}

static bool append_row(const sl_window_plan *plan, const pane *in, table_row *row, sl_builder *rows,
                       sl_window_result_counts *counts) {
    sl_builder *columns = rows->children;
    int64_t end_us = row_window_end(plan, in, row);
    bool good = sl_builder_append_i64(&columns[0], row_window_start(plan, in, row)) &&
                sl_builder_append_i64(&columns[1], end_us);
    const uint8_t *key = row->key;
    for (size_t i = 0; i < plan->n_groups && good; i++) {
        good = append_group(&columns[2 + i], plan->groups[i].class, &key);
    }
    for (size_t i = 0; i < plan->n_results && good; i++) {
        good = append_result(&columns[2 + plan->n_groups + i], plan, &plan->results[i],
                             row_state(row), &counts->overflows);
    }
    counts->rows++;
    counts->max_event_us = end_us > counts->max_event_us ? end_us : counts->max_event_us;
    return good && sl_builder_append_struct(rows);
}

static void start_counts(sl_window_result_counts *counts) {
    *counts = (sl_window_result_counts){.max_event_us = SL_TIME_NONE};
}

typedef enum row_choice { CHOOSE_ALL, CHOOSE_CHANGED, CHOOSE_CLOSED } row_choice;

static bool append_pane(const sl_window_plan *plan, pane *in, row_choice choice, int64_t watermark,
                        sl_builder *rows, sl_window_result_counts *counts) {
    table_row **sorted;
    size_t n;
    if (!pane_sorted(in, &sorted, &n)) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < n && good; i++) {
        bool chosen = choice == CHOOSE_ALL || (choice == CHOOSE_CHANGED && sorted[i]->changed) ||
                      (choice == CHOOSE_CLOSED && session_is_closed(plan, sorted[i], watermark));
        good = !chosen || append_row(plan, in, sorted[i], rows, counts);
        if (chosen && choice != CHOOSE_CLOSED) {
            sorted[i]->changed = false;
        }
    }
    if (choice != CHOOSE_CLOSED) {
        in->n_changed = 0;
    }
    free(sorted);
    return good;
}

/* Number of panes from the first that end at or before the watermark. */
static size_t closed_panes(const sl_window_table *table, int64_t watermark) {
    size_t n = 0;
    while (n < table->n_panes && watermark != SL_TIME_NONE &&
           table->panes[n]->start_us + table->plan->size_us <= watermark) {
        n++;
    }
    return n;
}

static void drop_panes(sl_window_table *table, size_t n) {
    if (n == 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        pane_free(table->plan, table->panes[i]);
    }
    memmove(table->panes, table->panes + n, (table->n_panes - n) * sizeof(pane *));
    table->n_panes -= n;
    table->last = NULL;
}

static bool any_session_closed(const sl_window_plan *plan, const pane *in, int64_t watermark) {
    for (size_t i = 0; i < in->rows_used; i++) {
        if (!in->rows[i]->dead && session_is_closed(plan, in->rows[i], watermark)) {
            return true;
        }
    }
    return false;
}

static bool close_sessions(sl_window_table *table, int64_t watermark, sl_builder *rows,
                           sl_window_result_counts *counts) {
    pane *in = table->n_panes == 0 ? NULL : table->panes[0];
    if (in == NULL || !any_session_closed(table->plan, in, watermark)) {
        return true;
    }
    return (rows == NULL || append_pane(table->plan, in, CHOOSE_CLOSED, watermark, rows, counts)) &&
           session_remove(table->plan, in, watermark);
}

sl_error *sl_window_table_close(sl_window_table *table, int64_t watermark, sl_builder *rows,
                                sl_window_result_counts *counts) {
    start_counts(counts);
    if (table->plan->kind == SL_WINDOW_SESSION) {
        return close_sessions(table, watermark, rows, counts) ? NULL : sl_error_no_memory();
    }
    size_t n = closed_panes(table, watermark);
    for (size_t i = 0; i < n; i++) {
        if (!append_pane(table->plan, table->panes[i], CHOOSE_ALL, watermark, rows, counts)) {
            return sl_error_no_memory();
        }
    }
    drop_panes(table, n);
    return NULL;
}

sl_error *sl_window_table_discard(sl_window_table *table, int64_t watermark) {
    if (table->plan->kind == SL_WINDOW_SESSION) {
        return close_sessions(table, watermark, NULL, NULL) ? NULL : sl_error_no_memory();
    }
    drop_panes(table, closed_panes(table, watermark));
    return NULL;
}

sl_error *sl_window_table_changes(sl_window_table *table, bool all, sl_builder *rows,
                                  sl_window_result_counts *counts) {
    start_counts(counts);
    for (size_t i = 0; i < table->n_panes; i++) {
        pane *in = table->panes[i];
        if ((all ? in->n_rows : in->n_changed) > 0 &&
            !append_pane(table->plan, in, all ? CHOOSE_ALL : CHOOSE_CHANGED, SL_TIME_NONE, rows,
                         counts)) {
            return sl_error_no_memory();
        }
    }
    return NULL;
}
