/*
 * The appends of a builder that run once per value; included by columns/columns.h, whose comments
 * describe them. They only write: every byte of a bitmap is set whole when its first bit is
 * appended, so that memory needs no clearing beforehand.
 */
#ifndef SL_COLUMNS_BUILDER_INLINE_H
#define SL_COLUMNS_BUILDER_INLINE_H

/* Slow paths (builder.c). */
bool sl_builder_grow_rows(sl_builder *builder, int64_t rows);
bool sl_builder_grow_bytes(sl_builder *builder, size_t bytes);
/* Makes the bitmap, with all rows so far valid. */
bool sl_builder_start_validity(sl_builder *builder);

static inline bool sl_builder_room(sl_builder *builder) {
    return builder->length < builder->capacity || sl_builder_grow_rows(builder, 1);
}

static inline bool sl_builder_room_bytes(sl_builder *builder, size_t bytes) {
    return bytes <= builder->data_capacity_bytes - builder->data_bytes ||
           sl_builder_grow_bytes(builder, bytes);
}

/* Writes bit `i`, where all bits before it are written and none after it matters. */
static inline void sl_bit_append(uint8_t *bits, int64_t i, bool value) {
    unsigned shift = (unsigned)(i & 7);
    unsigned low = shift == 0 ? 0u : bits[i >> 3] & ((1u << shift) - 1u);
    bits[i >> 3] = (uint8_t)(low | ((unsigned)value << shift));
}

/* The value is written: counts the row as valid. */
static inline void sl_builder_advance(sl_builder *builder) {
    if (builder->validity != NULL) {
        sl_bit_append(builder->validity, builder->length, true);
    }
    builder->length++;
}

static inline bool sl_builder_append_bool(sl_builder *builder, bool value) {
    if (!sl_builder_room(builder)) {
        return false;
    }
    sl_bit_append(builder->data, builder->length, value);
    sl_builder_advance(builder);
    return true;
}

static inline bool sl_builder_append_i64(sl_builder *builder, int64_t value) {
    if (!sl_builder_room(builder)) {
        return false;
    }
    size_t width = (size_t)builder->type.width_bytes;
    uint8_t *slot = builder->data + (size_t)builder->length * width;
    switch (width) { /* little-endian: the low bytes come first */
    case 8:
        memcpy(slot, &value, 8);
        break;
    case 4:
        memcpy(slot, &value, 4);
        break;
    case 2:
        memcpy(slot, &value, 2);
        break;
    default:
        memcpy(slot, &value, 1);
        break;
    }
    sl_builder_advance(builder);
    return true;
}

static inline bool sl_builder_append_double(sl_builder *builder, double value) {
    if (!sl_builder_room(builder)) {
        return false;
    }
    if (builder->type.width_bytes == 8) {
        memcpy(builder->data + (size_t)builder->length * 8, &value, 8);
    } else {
        float narrow = (float)value;
        memcpy(builder->data + (size_t)builder->length * 4, &narrow, 4);
    }
    sl_builder_advance(builder);
    return true;
}

static inline bool sl_builder_append_bytes(sl_builder *builder, const void *data, size_t bytes) {
    if (!sl_builder_room(builder)) {
        return false;
    }
    if (builder->type.width_bytes != 0) {
        memcpy(builder->data + (size_t)builder->length * (size_t)builder->type.width_bytes, data,
               (size_t)builder->type.width_bytes);
        sl_builder_advance(builder);
        return true;
    }
    if (!sl_builder_room_bytes(builder, bytes)) {
        return false;
    }
    if (bytes > 0) {
        memcpy(builder->data + builder->data_bytes, data, bytes);
    }
    builder->data_bytes += bytes;
    builder->offsets[builder->length + 1] = (int32_t)builder->data_bytes;
    sl_builder_advance(builder);
    return true;
}

#endif /* SL_COLUMNS_BUILDER_INLINE_H */
