/*
 * Reading a batch's columns: walks struct paths, widens narrow numbers, joins the validity of a
 * field with that of the structs around it. What needs no change is read where it lies.
 */
#include "internal.h"

#include <stdlib.h>

bool value_class_of(const sl_type *type, value_class *out) {
    switch (type->id) {
    case SL_TYPE_FLOAT:
    case SL_TYPE_DOUBLE:
        *out = VALUE_DOUBLE;
        return true;
    case SL_TYPE_UINT64:
    case SL_TYPE_DECIMAL128:
        *out = VALUE_WIDE;
        return true;
    case SL_TYPE_UTF8:
    case SL_TYPE_BINARY:
    case SL_TYPE_FIXED_BINARY:
        *out = VALUE_BYTES;
        return true;
    case SL_TYPE_STRUCT:
    case SL_TYPE_LIST:
    case SL_TYPE_MAP:
        return false;
    default:
        *out = VALUE_INT;
        return true;
    }
}

static bool reserve(uint8_t **buffer, size_t *capacity_bytes, size_t bytes) {
    if (bytes <= *capacity_bytes) {
        return true;
    }
    uint8_t *grown = realloc(*buffer, bytes + bytes / 4);
    if (grown == NULL) {
        return false;
    }
    *buffer = grown;
    *capacity_bytes = bytes + bytes / 4;
    return true;
}

/* The bitmap of rows that are valid at every level of the path. */
static bool load_validity(const plan_column *column, const struct ArrowArray *batch,
                          column_scratch *scratch, column_view *view) {
    const struct ArrowArray *array = batch;
    size_t bytes = (size_t)(batch->length + 7) / 8;
    view->valid = NULL;
    for (size_t level = 0; level < column->depth; level++) {
        array = array->children[column->path[level]];
        const uint8_t *bitmap = array->null_count == 0 ? NULL : array->buffers[0];
        if (bitmap == NULL) {
            continue;
        }
        if (view->valid == NULL) {
            view->valid = bitmap;
            continue;
        }
        if (!reserve(&scratch->bitmap, &scratch->bitmap_bytes, bytes)) {
            return false;
        }
        for (size_t i = 0; i < bytes; i++) {
            scratch->bitmap[i] = view->valid[i] & bitmap[i];
        }
        view->valid = scratch->bitmap;
    }
    return true;
}

#define WIDEN(from_type, to_type)                                                                  \
    do {                                                                                           \
        const from_type *from = array->buffers[1];                                                 \
        to_type *to = (to_type *)(void *)scratch->values;                                          \
        for (int64_t i = 0; i < n; i++) {                                                          \
            to[i] = from[i];                                                                       \
        }                                                                                          \
    } while (0)

static void widen_bits(const uint8_t *bits, int64_t *to, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        to[i] = sl_bit_get(bits, i) ? 1 : 0;
    }
}

/* Numbers that are not as wide as their class: into the scratch memory. */
static bool widen(const plan_column *column, const struct ArrowArray *array,
                  column_scratch *scratch) {
    int64_t n = array->length;
    if (!reserve(&scratch->values, &scratch->values_bytes, (size_t)n * 16 + 16)) {
        return false;
    }
    switch (column->type.id) {
    case SL_TYPE_BOOL:
        widen_bits(array->buffers[1], (int64_t *)(void *)scratch->values, n);
        break;
    case SL_TYPE_INT8:
        WIDEN(int8_t, int64_t);
        break;
    case SL_TYPE_INT16:
        WIDEN(int16_t, int64_t);
        break;
    case SL_TYPE_UINT8:
        WIDEN(uint8_t, int64_t);
        break;
    case SL_TYPE_UINT16:
        WIDEN(uint16_t, int64_t);
        break;
    case SL_TYPE_UINT32:
        WIDEN(uint32_t, int64_t);
        break;
    case SL_TYPE_UINT64:
        WIDEN(uint64_t, sl_u128);
        break;
    case SL_TYPE_FLOAT: {
        const float *from = array->buffers[1];
        double *to = (double *)(void *)scratch->values;
        for (int64_t i = 0; i < n; i++) {
            to[i] = (double)from[i];
        }
        break;
    }
    default: /* int32, date32 */
        WIDEN(int32_t, int64_t);
        break;
    }
    return true;
}

bool column_load(const plan_column *column, const struct ArrowArray *batch, column_scratch *scratch,
                 column_view *view) {
    memset(view, 0, sizeof(*view));
    view->class = column->class;
    if (!load_validity(column, batch, scratch, view)) {
        return false;
    }
    const struct ArrowArray *array = batch;
    for (size_t level = 0; level < column->depth; level++) {
        array = array->children[column->path[level]];
    }
    const void *values = array->buffers[1];
    if (column->class == VALUE_BYTES) {
        view->offsets = column->type.id == SL_TYPE_FIXED_BINARY ? NULL : array->buffers[1];
        view->bytes = array->buffers[array->n_buffers - 1];
        view->width = (size_t)column->type.width_bytes;
        return true;
    }
    int32_t full_width = column->class == VALUE_WIDE ? 16 : 8;
    if (column->type.width_bytes != full_width) {
        if (!widen(column, array, scratch)) {
            return false;
        }
        values = scratch->values;
    }
    view->ints = column->class == VALUE_INT ? values : NULL;
    view->doubles = column->class == VALUE_DOUBLE ? values : NULL;
    view->wides = column->class == VALUE_WIDE ? values : NULL;
    return true;
}

void column_scratch_free(column_scratch *scratch) {
    free(scratch->values);
    free(scratch->bitmap);
    memset(scratch, 0, sizeof(*scratch));
}
