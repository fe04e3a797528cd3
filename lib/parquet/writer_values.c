/* Arrow's values of one leaf in the form that Parquet stores: see writer_leaf.h. */
#include <string.h>

#include "parquet/writer_leaf.h"

/* Strings and the scratch may be read this far past their end. */
#define SLACK_BYTES 16

static inline int64_t row_at(const sl_pqw_shredded *s, size_t i) {
    return s->rows == NULL ? s->first + (int64_t)i : s->rows[i];
}

/* Values of one size to another, by row. */
#define GATHER(from, to)                                                                           \
    do {                                                                                           \
        const from *in = data;                                                                     \
        to *values = out;                                                                          \
        for (size_t i = 0; i < s->values; i++) {                                                   \
            values[i] = (to)in[row_at(s, i)];                                                      \
        }                                                                                          \
    } while (0)

static void gather_bytes(const sl_pqw_shredded *s, const uint8_t *data, size_t width,
                         uint8_t *out) {
    for (size_t i = 0; i < s->values; i++) {
        memcpy(out + i * width, data + (size_t)row_at(s, i) * width, width);
    }
}

static void gather_bools(const sl_pqw_shredded *s, const uint8_t *bits, uint8_t *out) {
    for (size_t i = 0; i < s->values; i++) {
        out[i] = sl_bit_get(bits, row_at(s, i));
    }
}

static sl_pqw_stats_wide power_of_ten(int32_t n) {
    sl_pqw_stats_wide power = 1;
    while (n-- > 0) {
        power *= 10;
    }
    return power;
}

/* Decimals in 16 bytes little-endian to numbers, or to the fewest bytes big-endian. */
static sl_error *gather_decimals(const sl_pqw_leaf *leaf, const sl_pqw_shredded *s,
                                 const uint8_t *data, uint8_t *out) {
    sl_pqw_stats_wide limit = power_of_ten(leaf->type.precision);
    bool fits = true;
    for (size_t i = 0; i < s->values; i++) {
        sl_pqw_stats_wide value;
        memcpy(&value, data + (size_t)row_at(s, i) * sizeof(value), sizeof(value));
        fits &= value < limit && value > -limit;
        if (leaf->physical != SL_PARQUET_FIXED_LEN_BYTE_ARRAY) {
            memcpy(out + i * leaf->width, &value, leaf->width);
            continue;
        }
        for (size_t k = leaf->width; k > 0; k--) {
            out[i * leaf->width + k - 1] = (uint8_t)value;
            value >>= 8;
        }
    }
    return fits ? NULL
                : sl_error_new(SL_ERROR_RECORD, "column %s: a value does not fit decimal(%d,%d)",
                               leaf->described, leaf->type.precision, leaf->type.scale);
}

/* True when Arrow's buffer is Parquet's PLAIN form. */
static bool stored_alike(const sl_pqw_leaf *leaf) {
    return leaf->type.id != SL_TYPE_BOOL && leaf->type.id != SL_TYPE_DECIMAL128 &&
           (size_t)leaf->type.width_bytes == leaf->width;
}

static sl_error *gather(const sl_pqw_leaf *leaf, const sl_pqw_shredded *s, const void *data,
                        void *out) {
    switch (leaf->type.id) {
    case SL_TYPE_BOOL:
        gather_bools(s, data, out);
        return NULL;
    case SL_TYPE_INT8:
        GATHER(int8_t, int32_t);
        return NULL;
    case SL_TYPE_INT16:
        GATHER(int16_t, int32_t);
        return NULL;
    case SL_TYPE_UINT8:
        GATHER(uint8_t, uint32_t);
        return NULL;
    case SL_TYPE_UINT16:
        GATHER(uint16_t, uint32_t);
        return NULL;
    case SL_TYPE_DECIMAL128:
        return gather_decimals(leaf, s, data, out);
    default:
        if (leaf->width == 4) {
            GATHER(uint32_t, uint32_t);
        } else if (leaf->width == 8) {
            GATHER(uint64_t, uint64_t);
        } else {
            gather_bytes(s, data, leaf->width, out);
        }
        return NULL;
    }
}

sl_error *sl_pqw_leaf_values(const sl_pqw_leaf *leaf, const sl_pqw_shredded *shredded,
                             sl_buffer *scratch, const void **out) {
    const uint8_t *data = shredded->leaf->buffers[1];
    size_t bytes;
    if (shredded->rows == NULL && stored_alike(leaf) && shredded->values > 0) {
        *out = data + (size_t)shredded->first * leaf->width;
        return NULL;
    }
    sl_buffer_clear(scratch);
    if (!sl_mul_size(shredded->values, leaf->width, &bytes) ||
        !sl_buffer_reserve(scratch, bytes + SLACK_BYTES)) {
        return sl_error_no_memory();
    }
    *out = scratch->data;
    return shredded->values == 0 ? NULL : gather(leaf, shredded, data, scratch->data);
}

sl_error *sl_pqw_leaf_strings(const sl_pqw_shredded *s, sl_buffer *lengths, sl_buffer *bytes) {
    if (s->values == 0) {
        return NULL;
    }
    const int32_t *offsets = s->leaf->buffers[1];
    const uint8_t *data = s->leaf->buffers[2];
    if (!sl_buffer_reserve(lengths, s->values * sizeof(uint32_t))) {
        return sl_error_no_memory();
    }
    uint32_t *length = (uint32_t *)(void *)(lengths->data + lengths->bytes);
    size_t total = 0;
    for (size_t i = 0; i < s->values; i++) {
        int64_t row = row_at(s, i);
        length[i] = (uint32_t)(offsets[row + 1] - offsets[row]);
        total += length[i];
    }
    if (!sl_buffer_reserve(bytes, total + SLACK_BYTES)) {
        return sl_error_no_memory();
    }
    uint8_t *to = bytes->data + bytes->bytes;
    if (s->rows == NULL && total > 0) {
        memcpy(to, data + offsets[s->first], total);
    } else {
        for (size_t i = 0; i < s->values && total > 0; i++) {
            memcpy(to, data + offsets[s->rows[i]], length[i]);
            to += length[i];
        }
    }
    lengths->bytes += s->values * sizeof(uint32_t);
    bytes->bytes += total;
    return NULL;
}
