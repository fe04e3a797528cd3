/* Typed values of rows, hashed and compared without making text of them. */
#include "delta/rows.h"

#include <string.h>
#include <xxhash.h>

/* The bytes of one value; NULL and 0 for null. A boolean is put into `flag`. */
static const void *value_at(const struct ArrowSchema *schema, const struct ArrowArray *array,
                            int64_t row, size_t *bytes, uint8_t *flag) {
    if (sl_array_is_null(array, row)) {
        *bytes = 0;
        return NULL;
    }
    switch (schema->format[0]) {
    case 'u':
    case 'z': {
        const int32_t *offsets = array->buffers[1];
        *bytes = (size_t)(offsets[row + 1] - offsets[row]);
        return (const uint8_t *)array->buffers[2] + offsets[row];
    }
    case 'b':
        *flag = sl_bit_get(array->buffers[1], row);
        *bytes = 1;
        return flag;
    default: {
        sl_type type = {.width_bytes = 0};
        (void)sl_type_parse(schema->format, &type);
        *bytes = (size_t)type.width_bytes;
        return (const uint8_t *)array->buffers[1] + (size_t)row * *bytes;
    }
    }
}

static const void *cell(const delta_rows *rows, size_t i, int64_t row, size_t *bytes,
                        uint8_t *flag) {
    int64_t at = rows->columns[i];
    const void *value =
        value_at(rows->schema->children[at], rows->array->children[at], row, bytes, flag);
    return *bytes == 0 && rows->partition != NULL && rows->partition[i] ? NULL : value;
}

uint64_t delta_rows_hash(const delta_rows *rows, int64_t row) {
    uint64_t hash = 0;
    for (size_t i = 0; i < rows->n_columns; i++) {
        size_t bytes;
        uint8_t flag;
        const void *value = cell(rows, i, row, &bytes, &flag);
        hash = value == NULL ? hash * 31 + 7 : XXH3_64bits_withSeed(value, bytes, hash);
    }
    return hash;
}

bool delta_rows_equal(const delta_rows *a, int64_t a_row, const delta_rows *b, int64_t b_row) {
    for (size_t i = 0; i < a->n_columns; i++) {
        size_t a_bytes;
        size_t b_bytes;
        uint8_t a_flag;
        uint8_t b_flag;
        const void *x = cell(a, i, a_row, &a_bytes, &a_flag);
        const void *y = cell(b, i, b_row, &b_bytes, &b_flag);
        if ((x == NULL) != (y == NULL) || a_bytes != b_bytes ||
            (a_bytes > 0 && memcmp(x, y, a_bytes) != 0)) {
            return false;
        }
    }
    return true;
}
