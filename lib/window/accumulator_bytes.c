/*
 * Accumulators as bytes: canonical, so that equal states give equal bytes. Part of the format that
 * table_bytes.c describes; changing anything here needs a new version there.
 */
#include "internal.h"
#include "varint.h"

static bool take(const uint8_t **at, const uint8_t *end, void *out, size_t bytes) {
    if ((size_t)(end - *at) < bytes) {
        return false;
    }
    memcpy(out, *at, bytes);
    *at += bytes;
    return true;
}

/* count, then the sum's three 64-bit limbs, least first */
static bool write_sum(const wide_sum *sum, sl_buffer *out) {
    return varint_write(out, (uint64_t)sum->count) &&
           sl_buffer_append(out, &sum->low, sizeof(sum->low)) &&
           sl_buffer_append(out, &sum->high, sizeof(sum->high));
}

static bool read_sum(wide_sum *sum, const uint8_t **at, const uint8_t *end) {
    uint64_t count;
    if (!varint_read(at, end, &count) || !take(at, end, &sum->low, sizeof(sum->low)) ||
        !take(at, end, &sum->high, sizeof(sum->high))) {
        return false;
    }
    sum->count = (int64_t)count;
    return true;
}

/* present, then the value */
static bool write_held(value_class class, const held_value *held, sl_buffer *out) {
    if (!sl_buffer_append_byte(out, held->present ? 1 : 0) || !held->present) {
        return !out->failed;
    }
    switch (class) {
    case VALUE_BYTES:
        return varint_write(out, held->as.bytes.length) &&
               sl_buffer_append(out, held->as.bytes.data, held->as.bytes.length);
    case VALUE_WIDE:
        return sl_buffer_append(out, &held->as.wide, sizeof(held->as.wide));
    default:
        return sl_buffer_append(out, &held->as.integer, sizeof(held->as.integer));
    }
}

/* A view of the bytes: what it points at is borrowed from them. */
static bool read_held(value_class class, held_value *held, const uint8_t **at, const uint8_t *end) {
    uint8_t present;
    memset(held, 0, sizeof(*held));
    if (!take(at, end, &present, 1) || present > 1) {
        return false;
    }
    held->present = present == 1;
    if (!held->present) {
        return true;
    }
    if (class == VALUE_WIDE) {
        return take(at, end, &held->as.wide, sizeof(held->as.wide));
    }
    if (class != VALUE_BYTES) {
        return take(at, end, &held->as.integer, sizeof(held->as.integer));
    }
    uint64_t length;
    if (!varint_read(at, end, &length) || length > (uint64_t)(end - *at) || length > INT32_MAX) {
        return false;
    }
    held->as.bytes.data = (uint8_t *)(uintptr_t)*at;
    held->as.bytes.length = (uint32_t)length;
    held->as.bytes.capacity = (uint32_t)length;
    *at += length;
    return true;
}

static bool write_ordered(value_class class, const ordered_value *ordered, sl_buffer *out) {
    const order_key *key = &ordered->key;
    return write_held(class, &ordered->value, out) &&
           (!ordered->value.present ||
            (sl_buffer_append(out, &key->time_us, sizeof(key->time_us)) &&
             sl_buffer_append(out, &key->topic, sizeof(key->topic)) &&
             sl_buffer_append(out, &key->topic_hash, sizeof(key->topic_hash)) &&
             sl_buffer_append(out, &key->partition, sizeof(key->partition)) &&
             sl_buffer_append(out, &key->offset, sizeof(key->offset))));
}

static bool read_ordered(value_class class, ordered_value *ordered, const uint8_t **at,
                         const uint8_t *end) {
    order_key *key = &ordered->key;
    return read_held(class, &ordered->value, at, end) &&
           (!ordered->value.present || (take(at, end, &key->time_us, sizeof(key->time_us)) &&
                                        take(at, end, &key->topic, sizeof(key->topic)) &&
                                        take(at, end, &key->topic_hash, sizeof(key->topic_hash)) &&
                                        take(at, end, &key->partition, sizeof(key->partition)) &&
                                        take(at, end, &key->offset, sizeof(key->offset))));
}

bool accumulator_write(const accumulator *acc, const plan_column *columns, uint8_t *state_base,
                       sl_buffer *out) {
    void *state = state_base + acc->offset;
    value_class class = acc->kind == ACCUMULATE_ROWS ? VALUE_INT : columns[acc->column].class;
    switch (acc->kind) {
    case ACCUMULATE_ROWS:
    case ACCUMULATE_COUNT:
        return varint_write(out, *(const uint64_t *)state);
    case ACCUMULATE_SUM:
        return write_sum(state, out);
    case ACCUMULATE_SQUARES:
        return sl_buffer_append(out, state, sizeof(((wide_squares *)state)->limbs));
    case ACCUMULATE_DOUBLE_SUM:
        return varint_write(out, (uint64_t)((double_sum *)state)->count) &&
               exact_sum_write(state, out);
    case ACCUMULATE_DOUBLE_SQUARES:
        return exact_sum_write(state, out);
    case ACCUMULATE_MIN:
    case ACCUMULATE_MAX:
        return write_held(class, state, out);
    case ACCUMULATE_DISTINCT:
        return hll_sketch_write(state, out);
    case ACCUMULATE_SKETCH:
        return dd_sketch_write(state, out);
    case ACCUMULATE_FIRST:
    case ACCUMULATE_LAST:
        return write_ordered(class, state, out);
    }
    return false;
}

/* Kinds whose bytes can be read into a value of their own and merged as such. */
static bool read_plain(const accumulator *acc, const plan_column *columns, uint8_t *state_base,
                       const uint8_t **at, const uint8_t *end, bool *corrupt) {
    union {
        uint64_t count;
        wide_sum sum;
        wide_squares squares;
        held_value held;
        ordered_value ordered;
    } other;
    memset(&other, 0, sizeof(other));
    value_class class = acc->kind == ACCUMULATE_ROWS ? VALUE_INT : columns[acc->column].class;
    bool good = false;
    switch (acc->kind) {
    case ACCUMULATE_ROWS:
    case ACCUMULATE_COUNT:
        good = varint_read(at, end, &other.count);
        break;
    case ACCUMULATE_SUM:
        good = read_sum(&other.sum, at, end);
        break;
    case ACCUMULATE_SQUARES:
        good = take(at, end, other.squares.limbs, sizeof(other.squares.limbs));
        break;
    case ACCUMULATE_MIN:
    case ACCUMULATE_MAX:
        good = read_held(class, &other.held, at, end);
        break;
    default:
        good = read_ordered(class, &other.ordered, at, end);
        break;
    }
    *corrupt = !good;
    accumulator alone = *acc;
    alone.offset = 0;
    return good &&
           accumulator_merge(&alone, columns, state_base + acc->offset, (const uint8_t *)&other);
}

bool accumulator_read(const accumulator *acc, const plan_column *columns, uint8_t *state_base,
                      const uint8_t **at, const uint8_t *end, bool *corrupt) {
    void *state = state_base + acc->offset;
    uint64_t count;
    *corrupt = false;
    switch (acc->kind) {
    case ACCUMULATE_DOUBLE_SUM:
        if (!varint_read(at, end, &count)) {
            *corrupt = true;
            return false;
        }
        double_sum_count(state, count);
        return exact_sum_read(state, at, end, corrupt);
    case ACCUMULATE_DOUBLE_SQUARES:
        return exact_sum_read(state, at, end, corrupt);
    case ACCUMULATE_DISTINCT:
        return hll_sketch_read(state, at, end, corrupt);
    case ACCUMULATE_SKETCH:
        return dd_sketch_read(state, at, end, corrupt);
    default:
        return read_plain(acc, columns, state_base, at, end, corrupt);
    }
}
