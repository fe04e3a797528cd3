/*
 * Accumulators: the state of one aggregate of one group. Updated column-wise from a batch, merged
 * pairwise. A zeroed state is empty.
 */
#include <stdlib.h>

#define XXH_INLINE_ALL
#include "internal.h"

#include <xxhash.h>

size_t accumulator_bytes(accumulator_kind kind) {
    size_t bytes = 0;
    switch (kind) {
    case ACCUMULATE_ROWS:
    case ACCUMULATE_COUNT:
        bytes = sizeof(int64_t);
        break;
    case ACCUMULATE_SUM:
        bytes = sizeof(wide_sum);
        break;
    case ACCUMULATE_SQUARES:
        bytes = sizeof(wide_squares);
        break;
    case ACCUMULATE_DOUBLE_SUM:
        bytes = sizeof(double_sum);
        break;
    case ACCUMULATE_DOUBLE_SQUARES:
        bytes = sizeof(exact_sum);
        break;
    case ACCUMULATE_MIN:
    case ACCUMULATE_MAX:
        bytes = sizeof(held_value);
        break;
    case ACCUMULATE_DISTINCT:
        bytes = sizeof(hll_sketch);
        break;
    case ACCUMULATE_SKETCH:
        bytes = sizeof(dd_sketch);
        break;
    case ACCUMULATE_FIRST:
    case ACCUMULATE_LAST:
        bytes = sizeof(ordered_value);
        break;
    }
    return (bytes + 15) & ~(size_t)15;
}

double double_of_sortable(int64_t sortable) {
    if (sortable == INT64_MAX) {
        return __builtin_nan("");
    }
    int64_t bits = sortable < 0 ? sortable ^ INT64_MAX : sortable;
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* ---- sums ---- */

static inline void sum_add(wide_sum *sum, sl_i128 value) {
    sum->high += __builtin_add_overflow(sum->low, (sl_u128)value, &sum->low) ? 1 : 0;
    sum->high -= value < 0 ? 1 : 0;
    sum->count++;
}

static void squares_add(wide_squares *squares, const uint64_t *limbs, size_t n) {
    uint64_t carry = 0;
    for (size_t i = 0; i < SL_ARRAY_LENGTH(squares->limbs); i++) {
        sl_u128 sum = (sl_u128)squares->limbs[i] + (i < n ? limbs[i] : 0) + carry;
        squares->limbs[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
}

static void square_add(wide_squares *squares, sl_i128 value) {
    sl_u128 magnitude = value < 0 ? -(sl_u128)value : (sl_u128)value;
    uint64_t low = (uint64_t)magnitude;
    uint64_t high = (uint64_t)(magnitude >> 64);
    sl_u128 low_low = (sl_u128)low * low;
    if (high == 0) {
        uint64_t limbs[2] = {(uint64_t)low_low, (uint64_t)(low_low >> 64)};
        squares_add(squares, limbs, 2);
        return;
    }
    sl_u128 cross = (sl_u128)low * high; /* counts twice */
    sl_u128 high_high = (sl_u128)high * high;
    sl_u128 second = (low_low >> 64) + ((cross << 1) & UINT64_MAX);
    sl_u128 third = (second >> 64) + ((cross >> 63) & UINT64_MAX) + (uint64_t)high_high;
    sl_u128 fourth = (third >> 64) + (cross >> 127) + (high_high >> 64);
    uint64_t limbs[4] = {(uint64_t)low_low, (uint64_t)second, (uint64_t)third, (uint64_t)fourth};
    squares_add(squares, limbs, 4);
}

/* x^2 as the sum of two doubles: exact but where it over- or underflows. */
static bool double_square_add(exact_sum *sum, double value) {
    double high = value * value;
    double low = __builtin_fma(value, value, -high);
    return exact_sum_add(sum, high) && (high - high != 0 || exact_sum_add(sum, low));
}

/* ---- held values ---- */

static bool hold_bytes(held_value *held, const uint8_t *data, size_t bytes) {
    if (bytes > held->as.bytes.capacity || held->as.bytes.data == NULL) {
        size_t capacity = bytes < 16 ? 16 : bytes;
        uint8_t *grown = realloc(held->as.bytes.data, capacity);
        if (grown == NULL) {
            return false;
        }
        held->as.bytes.data = grown;
        held->as.bytes.capacity = (uint32_t)capacity;
    }
    if (bytes > 0) {
        memcpy(held->as.bytes.data, data, bytes);
    }
    held->as.bytes.length = (uint32_t)bytes;
    held->present = true;
    return true;
}

static int compare_bytes(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes) {
    size_t shared = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = shared == 0 ? 0 : memcmp(a, b, shared);
    return order != 0 ? order : a_bytes < b_bytes ? -1 : a_bytes > b_bytes;
}

static int compare_held(value_class class, const held_value *a, const held_value *b) {
    if (class == VALUE_BYTES) {
        return compare_bytes(a->as.bytes.data, a->as.bytes.length, b->as.bytes.data,
                             b->as.bytes.length);
    }
    if (class == VALUE_WIDE) {
        return a->as.wide < b->as.wide ? -1 : a->as.wide > b->as.wide;
    }
    return a->as.integer < b->as.integer ? -1 : a->as.integer > b->as.integer;
}

static bool hold_copy(value_class class, held_value *held, const held_value *other) {
    if (class == VALUE_BYTES) {
        return hold_bytes(held, other->as.bytes.data, other->as.bytes.length);
    }
    *held = *other;
    return true;
}

static bool hold_from_view(held_value *held, const column_view *view, int64_t row) {
    size_t bytes;
    const uint8_t *data;
    switch (view->class) {
    case VALUE_INT:
        held->as.integer = view->ints[row];
        break;
    case VALUE_DOUBLE:
        held->as.integer = sortable_double(view->doubles[row]);
        break;
    case VALUE_WIDE:
        held->as.wide = view_wide(view, row);
        break;
    case VALUE_BYTES:
        data = view_bytes(view, row, &bytes);
        return hold_bytes(held, data, bytes);
    }
    held->present = true;
    return true;
}

static bool min_max_row(held_value *held, const column_view *view, int64_t row, bool want_max) {
    int order = 0;
    if (held->present) {
        size_t bytes;
        const uint8_t *data;
        int64_t integer;
        sl_i128 wide;
        switch (view->class) {
        case VALUE_INT:
        case VALUE_DOUBLE:
            integer =
                view->class == VALUE_INT ? view->ints[row] : sortable_double(view->doubles[row]);
            order = integer < held->as.integer ? -1 : integer > held->as.integer;
            break;
        case VALUE_WIDE:
            wide = view_wide(view, row);
            order = wide < held->as.wide ? -1 : wide > held->as.wide;
            break;
        case VALUE_BYTES:
            data = view_bytes(view, row, &bytes);
            order = compare_bytes(data, bytes, held->as.bytes.data, held->as.bytes.length);
            break;
        }
        if (want_max ? order <= 0 : order >= 0) {
            return true;
        }
    }
    return hold_from_view(held, view, row);
}

static int compare_order(const order_key *a, const order_key *b) {
    if (a->time_us != b->time_us) {
        return a->time_us < b->time_us ? -1 : 1;
    }
    if (a->topic != b->topic) {
        return a->topic < b->topic ? -1 : 1;
    }
    if (a->topic_hash != b->topic_hash) {
        return a->topic_hash < b->topic_hash ? -1 : 1;
    }
    if (a->partition != b->partition) {
        return a->partition < b->partition ? -1 : 1;
    }
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static bool ordered_row(ordered_value *held, const column_view *view, const row_order *order,
                        int64_t row, bool want_last) {
    order_key key = order->base;
    key.time_us = order->times[row];
    key.offset = order->offsets != NULL ? order->offsets[row] : key.offset + row;
    if (held->value.present) {
        int comparison = compare_order(&key, &held->key);
        if (want_last ? comparison <= 0 : comparison >= 0) {
            return true;
        }
    }
    held->key = key;
    return hold_from_view(&held->value, view, row);
}

/* ---- updates ---- */

static uint64_t hash_value(const column_view *view, int64_t row) {
    size_t bytes;
    const uint8_t *data;
    int64_t integer;
    sl_i128 wide;
    switch (view->class) {
    case VALUE_BYTES:
        data = view_bytes(view, row, &bytes);
        return XXH3_64bits(data, bytes);
    case VALUE_WIDE:
        wide = view_wide(view, row);
        return XXH3_64bits(&wide, sizeof(wide));
    default:
        integer = view->class == VALUE_INT ? view->ints[row] : sortable_double(view->doubles[row]);
        return XXH3_64bits(&integer, sizeof(integer));
    }
}

static double as_double(const column_view *view, int64_t row, double divisor) {
    switch (view->class) {
    case VALUE_INT:
        return (double)view->ints[row];
    case VALUE_DOUBLE:
        return view->doubles[row];
    default: {
        sl_i128 wide = view_wide(view, row);
        int64_t narrow = (int64_t)wide;
        return (narrow == wide ? (double)narrow : (double)wide) / divisor;
    }
    }
}

static double power_of_ten(int32_t exponent) {
    double power = 1;
    for (int32_t i = 0; i < exponent; i++) {
        power *= 10;
    }
    return power;
}

static void update_sums(size_t offset, const column_view *view, const target *targets, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int32_t row = targets[i].row;
        if (!view_is_null(view, row)) {
            sl_i128 value = view->class == VALUE_INT ? view->ints[row] : view_wide(view, row);
            sum_add((wide_sum *)(void *)(targets[i].state + offset), value);
        }
    }
}

/* One value into one state; the kinds whose loops gain nothing from being apart. */
static bool update_one(const accumulator *acc, const column_view *view, const row_order *order,
                       double divisor, uint8_t *state, int32_t row) {
    switch (acc->kind) {
    case ACCUMULATE_SQUARES:
        square_add((wide_squares *)(void *)state,
                   view->class == VALUE_INT ? view->ints[row] : view_wide(view, row));
        return true;
    case ACCUMULATE_DOUBLE_SUM:
        ((double_sum *)(void *)state)->count++;
        return exact_sum_add((exact_sum *)(void *)state, view->doubles[row]);
    case ACCUMULATE_DOUBLE_SQUARES:
        return double_square_add((exact_sum *)(void *)state, view->doubles[row]);
    case ACCUMULATE_MIN:
    case ACCUMULATE_MAX:
        return min_max_row((held_value *)(void *)state, view, row, acc->kind == ACCUMULATE_MAX);
    case ACCUMULATE_DISTINCT:
        return hll_sketch_add((hll_sketch *)(void *)state, hash_value(view, row));
    case ACCUMULATE_SKETCH:
        return dd_sketch_add((dd_sketch *)(void *)state, as_double(view, row, divisor));
    case ACCUMULATE_FIRST:
    case ACCUMULATE_LAST:
        return ordered_row((ordered_value *)(void *)state, view, order, row,
                           acc->kind == ACCUMULATE_LAST);
    default:
        return false;
    }
}

bool accumulator_update(const accumulator *acc, const plan_column *columns,
                        const column_view *views, const row_order *order, const target *targets,
                        size_t n) {
    if (acc->kind == ACCUMULATE_ROWS) {
        for (size_t i = 0; i < n; i++) {
            ++*(int64_t *)(void *)(targets[i].state + acc->offset);
        }
        return true;
    }
    const column_view *view = &views[acc->column];
    if (acc->kind == ACCUMULATE_COUNT) {
        for (size_t i = 0; i < n; i++) {
            *(int64_t *)(void *)(targets[i].state + acc->offset) +=
                view_is_null(view, targets[i].row) ? 0 : 1;
        }
        return true;
    }
    if (acc->kind == ACCUMULATE_SUM) {
        update_sums(acc->offset, view, targets, n);
        return true;
    }
    double divisor = power_of_ten(columns[acc->column].type.scale);
    for (size_t i = 0; i < n; i++) {
        if (!view_is_null(view, targets[i].row) &&
            !update_one(acc, view, order, divisor, targets[i].state + acc->offset,
                        targets[i].row)) {
            return false;
        }
    }
    return true;
}

/* ---- merging ---- */

void double_sum_count(double_sum *sum, uint64_t more) {
    sum->count = (int64_t)((uint64_t)sum->count + more);
}

static void sum_merge(wide_sum *sum, const wide_sum *other) {
    uint64_t carry = __builtin_add_overflow(sum->low, other->low, &sum->low) ? 1 : 0;
    /* unsigned, so that stored bytes may hold anything */
    sum->high = (int64_t)((uint64_t)sum->high + (uint64_t)other->high + carry);
    sum->count = (int64_t)((uint64_t)sum->count + (uint64_t)other->count);
}

static bool min_max_merge(value_class class, held_value *held, const held_value *other,
                          bool want_max) {
    if (!other->present) {
        return true;
    }
    int order = held->present ? compare_held(class, other, held) : 0;
    bool better = !held->present || (want_max ? order > 0 : order < 0);
    return !better || hold_copy(class, held, other);
}

static bool ordered_merge(value_class class, ordered_value *held, const ordered_value *other,
                          bool want_last) {
    if (!other->value.present) {
        return true;
    }
    int order = held->value.present ? compare_order(&other->key, &held->key) : 0;
    if (held->value.present && (want_last ? order <= 0 : order >= 0)) {
        return true;
    }
    held->key = other->key;
    return hold_copy(class, &held->value, &other->value);
}

bool accumulator_merge(const accumulator *acc, const plan_column *columns, uint8_t *state_base,
                       const uint8_t *other_base) {
    void *state = state_base + acc->offset;
    const void *other = other_base + acc->offset;
    value_class class = acc->kind == ACCUMULATE_ROWS ? VALUE_INT : columns[acc->column].class;
    switch (acc->kind) {
    case ACCUMULATE_ROWS:
    case ACCUMULATE_COUNT:
        *(uint64_t *)state += *(const uint64_t *)other;
        return true;
    case ACCUMULATE_SUM:
        sum_merge(state, other);
        return true;
    case ACCUMULATE_SQUARES:
        squares_add(state, ((const wide_squares *)other)->limbs, 5);
        return true;
    case ACCUMULATE_DOUBLE_SUM:
        double_sum_count(state, (uint64_t)((const double_sum *)other)->count);
        return exact_sum_merge(state, other);
    case ACCUMULATE_DOUBLE_SQUARES:
        return exact_sum_merge(state, other);
    case ACCUMULATE_MIN:
    case ACCUMULATE_MAX:
        return min_max_merge(class, state, other, acc->kind == ACCUMULATE_MAX);
    case ACCUMULATE_DISTINCT:
        return hll_sketch_merge(state, other);
    case ACCUMULATE_SKETCH:
        return dd_sketch_merge(state, other);
    case ACCUMULATE_FIRST:
    case ACCUMULATE_LAST:
        return ordered_merge(class, state, other, acc->kind == ACCUMULATE_LAST);
    }
    return false;
}

/* ---- memory ---- */

static const held_value *held_of(const accumulator *acc, const plan_column *columns,
                                 const uint8_t *state) {
    bool holds = acc->kind == ACCUMULATE_MIN || acc->kind == ACCUMULATE_MAX ||
                 acc->kind == ACCUMULATE_FIRST || acc->kind == ACCUMULATE_LAST;
    return holds && columns[acc->column].class == VALUE_BYTES
               ? (const held_value *)(const void *)(state + acc->offset)
               : NULL;
}

void accumulator_free(const accumulator *acc, const plan_column *columns, uint8_t *state) {
    const held_value *held = held_of(acc, columns, state);
    if (held != NULL) {
        free(held->as.bytes.data);
    } else if (acc->kind == ACCUMULATE_DOUBLE_SUM || acc->kind == ACCUMULATE_DOUBLE_SQUARES) {
        exact_sum_free((exact_sum *)(void *)(state + acc->offset));
    } else if (acc->kind == ACCUMULATE_DISTINCT) {
        hll_sketch_free((hll_sketch *)(void *)(state + acc->offset));
    } else if (acc->kind == ACCUMULATE_SKETCH) {
        dd_sketch_free((dd_sketch *)(void *)(state + acc->offset));
    }
}

size_t accumulator_extra_bytes(const accumulator *acc, const plan_column *columns,
                               const uint8_t *state) {
    const held_value *held = held_of(acc, columns, state);
    const void *at = state + acc->offset;
    if (held != NULL) {
        return held->as.bytes.capacity;
    }
    if (acc->kind == ACCUMULATE_DOUBLE_SUM || acc->kind == ACCUMULATE_DOUBLE_SQUARES) {
        return ((const exact_sum *)at)->count * sizeof(int64_t);
    }
    if (acc->kind == ACCUMULATE_DISTINCT) {
        return hll_sketch_bytes(at);
    }
    return acc->kind == ACCUMULATE_SKETCH ? dd_sketch_bytes(at) : 0;
}
