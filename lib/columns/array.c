/*
 * Arrays as they come: structural checks, sizes, and copies (ranges and selections), which also
 * make offsets 0 and null counts exact. Row numbers in here are logical: without array->offset.
 */
#include <stdlib.h>

#include "columns/columns.h"

static bool is_string(const sl_type *type) {
    return type->id == SL_TYPE_UTF8 || type->id == SL_TYPE_BINARY;
}

static bool is_list(const sl_type *type) {
    return type->id == SL_TYPE_LIST || type->id == SL_TYPE_MAP;
}

static const int32_t *offsets_of(const struct ArrowArray *array) {
    return (const int32_t *)array->buffers[1];
}

/* ---- sizes ---- */

size_t sl_array_bytes(const struct ArrowSchema *schema, const struct ArrowArray *array) {
    sl_type type;
    if (!sl_type_parse(schema->format, &type)) {
        return 0;
    }
    size_t end = (size_t)(array->offset + array->length);
    size_t total = array->n_buffers > 0 && array->buffers[0] != NULL ? (end + 7) / 8 : 0;
    if (is_string(&type) || is_list(&type)) {
        total += (end + 1) * sizeof(int32_t);
    }
    if (is_string(&type)) {
        total += end == 0 || offsets_of(array) == NULL ? 0 : (size_t)offsets_of(array)[end];
    } else if (type.id == SL_TYPE_BOOL) {
        total += (end + 7) / 8;
    } else {
        total += end * (size_t)type.width_bytes;
    }
    for (int64_t i = 0; i < array->n_children && i < schema->n_children; i++) {
        total += sl_array_bytes(schema->children[i], array->children[i]);
    }
    return total;
}

/* ---- checks ---- */

static sl_error *bad(const struct ArrowSchema *schema, const char *what) {
    return sl_error_new(SL_ERROR_CONFIG, "Arrow array of field \"%s\" (type \"%s\"): %s",
                        schema->name == NULL ? "" : schema->name, schema->format, what);
}

static sl_error *check_offsets(const struct ArrowSchema *schema, const struct ArrowArray *array,
                               int64_t end, int64_t *last) {
    *last = 0;
    const int32_t *offsets = offsets_of(array);
    if (offsets == NULL) {
        return end == 0 ? NULL : bad(schema, "the offsets buffer is missing");
    }
    for (int64_t i = array->offset; i < end; i++) {
        if (offsets[i] < 0 || offsets[i + 1] < offsets[i]) {
            return bad(schema, "offsets are negative or descend");
        }
    }
    *last = end == 0 ? 0 : offsets[end];
    return NULL;
}

static sl_error *check_own_buffers(const struct ArrowSchema *schema, const struct ArrowArray *array,
                                   const sl_type *type, int64_t *child_rows) {
    int64_t end;
    if (array->length < 0 || array->offset < 0 ||
        __builtin_add_overflow(array->offset, array->length, &end) || end > INT32_MAX) {
        return bad(schema, "length or offset is out of range");
    }
    int64_t wanted = type->id == SL_TYPE_STRUCT ? 1 : is_string(type) ? 3 : 2;
    if (array->n_buffers != wanted || array->buffers == NULL) {
        return bad(schema, "the number of buffers is not that of its type");
    }
    if (array->null_count < -1 || array->null_count > array->length ||
        (array->null_count > 0 && array->buffers[0] == NULL)) {
        return bad(schema, "null_count does not fit its length and validity bitmap");
    }
    *child_rows = end;
    if (is_string(type) || is_list(type)) {
        sl_error *error = check_offsets(schema, array, end, child_rows);
        if (error != NULL) {
            return error;
        }
    }
    bool data_needed = is_string(type) ? *child_rows > 0 : !is_list(type) && end > 0;
    if (type->id != SL_TYPE_STRUCT && !is_list(type) && data_needed &&
        array->buffers[wanted - 1] == NULL) {
        return bad(schema, "the data buffer is missing");
    }
    return NULL;
}

sl_error *sl_array_check(const struct ArrowSchema *schema, const struct ArrowArray *array) {
    sl_type type;
    if (!sl_type_parse(schema->format, &type)) {
        return bad(schema, "the type is not supported");
    }
    if (array->release == NULL) {
        return bad(schema, "the array is released");
    }
    if (array->dictionary != NULL || schema->dictionary != NULL) {
        return bad(schema, "dictionary-encoded arrays are not supported");
    }
    int64_t child_rows = 0;
    sl_error *error = check_own_buffers(schema, array, &type, &child_rows);
    if (error != NULL) {
        return error;
    }
    if (array->n_children != schema->n_children || (is_list(&type) && (schema->n_children != 1))) {
        return bad(schema, "the number of children is not the schema's");
    }
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->length < child_rows) {
            return bad(schema, "a child is shorter than its parent needs");
        }
        error = sl_array_check(schema->children[i], array->children[i]);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

/* ---- appending ranges ---- */

/* Sets bits [to, to + n) to source bits [from, from + n); bits before `to` are kept. */
static void copy_bits(uint8_t *bits, int64_t to, const uint8_t *source, int64_t from, int64_t n) {
    if ((to & 7) == 0 && (from & 7) == 0 && n > 0) {
        memcpy(bits + (to >> 3), source + (from >> 3), (size_t)(n + 7) / 8);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        sl_bit_append(bits, to + i, sl_bit_get(source, from + i));
    }
}

static int64_t count_zeros(const uint8_t *bits, int64_t from, int64_t n) {
    int64_t zeros = 0;
    int64_t i = from;
    int64_t end = from + n;
    for (; i < end && (i & 63) != 0; i++) {
        zeros += sl_bit_get(bits, i) ? 0 : 1;
    }
    for (; i + 64 <= end; i += 64) {
        uint64_t word;
        memcpy(&word, bits + (i >> 3), sizeof(word));
        zeros += 64 - __builtin_popcountll(word);
    }
    for (; i < end; i++) {
        zeros += sl_bit_get(bits, i) ? 0 : 1;
    }
    return zeros;
}

static void fill_ones(uint8_t *bits, int64_t to, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        sl_bit_append(bits, to + i, true);
    }
}

/* Validity of `rows` rows that are about to be counted; room for them is there. */
static sl_error *append_validity(sl_builder *builder, const struct ArrowArray *array, int64_t at,
                                 int64_t rows) {
    const uint8_t *source = array->null_count == 0 ? NULL : (const uint8_t *)array->buffers[0];
    int64_t nulls = source == NULL ? 0 : count_zeros(source, at, rows);
    if (nulls > 0 && builder->validity == NULL && !sl_builder_start_validity(builder)) {
        return sl_error_no_memory();
    }
    if (nulls > 0) {
        copy_bits(builder->validity, builder->length, source, at, rows);
    } else if (builder->validity != NULL) {
        fill_ones(builder->validity, builder->length, rows);
    }
    builder->null_count += nulls;
    return NULL;
}

/* Offsets of rows [at, at + rows), moved so that they go on at `base`. */
static void append_offsets(sl_builder *builder, const int32_t *offsets, int64_t at, int64_t rows,
                           int64_t base) {
    int64_t shift = base - offsets[at];
    int32_t *out = builder->offsets + builder->length + 1;
    for (int64_t i = 0; i < rows; i++) {
        out[i] = (int32_t)(offsets[at + i + 1] + shift);
    }
}

static sl_error *append_values(sl_builder *builder, const struct ArrowSchema *schema,
                               const struct ArrowArray *array, int64_t at, int64_t rows) {
    const sl_type *type = &builder->type;
    if (is_string(type)) {
        const int32_t *offsets = offsets_of(array);
        size_t bytes = (size_t)(offsets[at + rows] - offsets[at]);
        sl_error *error = sl_builder_reserve(builder, rows, bytes);
        if (error != NULL) {
            return error;
        }
        append_offsets(builder, offsets, at, rows, (int64_t)builder->data_bytes);
        if (bytes > 0) {
            memcpy(builder->data + builder->data_bytes,
                   (const uint8_t *)array->buffers[2] + offsets[at], bytes);
        }
        builder->data_bytes += bytes;
        return NULL;
    }
    if (is_list(type)) {
        const int32_t *offsets = offsets_of(array);
        int64_t base = builder->children[0].length;
        sl_error *error =
            sl_builder_append_array(&builder->children[0], schema->children[0], array->children[0],
                                    offsets[at], offsets[at + rows] - offsets[at]);
        if (error == NULL) {
            append_offsets(builder, offsets, at, rows, base);
        }
        return error;
    }
    if (type->id == SL_TYPE_BOOL) {
        copy_bits(builder->data, builder->length, array->buffers[1], at, rows);
        return NULL;
    }
    size_t width = (size_t)type->width_bytes;
    memcpy(builder->data + (size_t)builder->length * width,
           (const uint8_t *)array->buffers[1] + (size_t)at * width, (size_t)rows * width);
    return NULL;
}

sl_error *sl_builder_append_array(sl_builder *builder, const struct ArrowSchema *schema,
                                  const struct ArrowArray *array, int64_t first, int64_t rows) {
    if (rows == 0) {
        return NULL;
    }
    int64_t at = array->offset + first;
    sl_error *error = sl_builder_reserve(builder, rows, 0);
    if (error != NULL) {
        return error;
    }
    if (builder->type.id == SL_TYPE_STRUCT) {
        for (size_t i = 0; i < builder->n_children && error == NULL; i++) {
            error = sl_builder_append_array(&builder->children[i], schema->children[i],
                                            array->children[i], at, rows);
        }
    } else {
        error = append_values(builder, schema, array, at, rows);
    }
    error = error != NULL ? error : append_validity(builder, array, at, rows);
    if (error != NULL) {
        sl_builder_truncate(builder, builder->length);
        return error;
    }
    builder->length += rows;
    return NULL;
}

/* ---- appending selections ---- */

static sl_error *take_strings(sl_builder *builder, const struct ArrowArray *array,
                              const int32_t *indexes, int64_t n) {
    const int32_t *offsets = offsets_of(array) + array->offset;
    size_t bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        bytes += (size_t)(offsets[indexes[i] + 1] - offsets[indexes[i]]);
    }
    sl_error *error = sl_builder_reserve(builder, n, bytes);
    if (error != NULL) {
        return error;
    }
    const uint8_t *data = array->buffers[2];
    int32_t *out = builder->offsets + builder->length + 1;
    size_t end = builder->data_bytes;
    for (int64_t i = 0; i < n; i++) {
        int32_t from = offsets[indexes[i]];
        size_t length = (size_t)(offsets[indexes[i] + 1] - from);
        if (length > 0) {
            memcpy(builder->data + end, data + from, length);
        }
        end += length;
        out[i] = (int32_t)end;
    }
    builder->data_bytes = end;
    return NULL;
}

#define TAKE_WIDTH(width_type)                                                                     \
    do {                                                                                           \
        const width_type *source = (const width_type *)array->buffers[1] + array->offset;          \
        width_type *out = (width_type *)(void *)builder->data + builder->length;                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            out[i] = source[indexes[i]];                                                           \
        }                                                                                          \
    } while (0)

static void take_fixed(sl_builder *builder, const struct ArrowArray *array, const int32_t *indexes,
                       int64_t n) {
    size_t width = (size_t)builder->type.width_bytes;
    if (builder->type.id == SL_TYPE_BOOL) {
        const uint8_t *bits = array->buffers[1];
        for (int64_t i = 0; i < n; i++) {
            sl_bit_append(builder->data, builder->length + i,
                          sl_bit_get(bits, array->offset + indexes[i]));
        }
    } else if (width == 8) {
        TAKE_WIDTH(uint64_t);
    } else if (width == 4) {
        TAKE_WIDTH(uint32_t);
    } else {
        const uint8_t *source = (const uint8_t *)array->buffers[1] + (size_t)array->offset * width;
        uint8_t *out = builder->data + (size_t)builder->length * width;
        for (int64_t i = 0; i < n; i++) {
            memcpy(out + (size_t)i * width, source + (size_t)indexes[i] * width, width);
        }
    }
}

/* Runs of neighbouring rows are appended as ranges: for nested rows, whose children vary in
 * length. */
static sl_error *take_lists(sl_builder *builder, const struct ArrowSchema *schema,
                            const struct ArrowArray *array, const int32_t *indexes, int64_t n) {
    sl_error *error = NULL;
    for (int64_t i = 0; i < n && error == NULL;) {
        int64_t run = 1;
        while (i + run < n && indexes[i + run] == indexes[i] + run) {
            run++;
        }
        error = sl_builder_append_array(builder, schema, array, indexes[i], run);
        i += run;
    }
    return error;
}

static sl_error *take_validity(sl_builder *builder, const struct ArrowArray *array,
                               const int32_t *indexes, int64_t n) {
    const uint8_t *source = array->null_count == 0 ? NULL : (const uint8_t *)array->buffers[0];
    if (source == NULL) {
        if (builder->validity != NULL) {
            fill_ones(builder->validity, builder->length, n);
        }
        return NULL;
    }
    if (builder->validity == NULL && !sl_builder_start_validity(builder)) {
        return sl_error_no_memory();
    }
    for (int64_t i = 0; i < n; i++) {
        bool valid = sl_bit_get(source, array->offset + indexes[i]);
        sl_bit_append(builder->validity, builder->length + i, valid);
        builder->null_count += valid ? 0 : 1;
    }
    return NULL;
}

/* For children of a struct, whose rows start at the struct's offset. */
static struct ArrowArray shifted(const struct ArrowArray *array, int64_t by) {
    struct ArrowArray view = *array;
    view.offset += by;
    return view;
}

static sl_error *append_taken(sl_builder *builder, const struct ArrowSchema *schema,
                              const struct ArrowArray *array, const int32_t *indexes, int64_t n) {
    if (n == 0) {
        return NULL;
    }
    if (is_list(&builder->type)) {
        return take_lists(builder, schema, array, indexes, n);
    }
    sl_error *error = sl_builder_reserve(builder, n, 0);
    if (error != NULL) {
        return error;
    }
    if (is_string(&builder->type)) {
        error = take_strings(builder, array, indexes, n);
    } else if (builder->type.id != SL_TYPE_STRUCT) {
        take_fixed(builder, array, indexes, n);
    }
    for (size_t i = 0; i < builder->n_children && error == NULL; i++) {
        struct ArrowArray child = shifted(array->children[i], array->offset);
        error = append_taken(&builder->children[i], schema->children[i], &child, indexes, n);
    }
    error = error != NULL ? error : take_validity(builder, array, indexes, n);
    if (error == NULL) {
        builder->length += n;
    }
    return error;
}

/* ---- copies ---- */

static sl_error *finish_or_free(sl_builder *builder, sl_error *error, struct ArrowArray *out) {
    if (error == NULL) {
        error = sl_builder_finish(builder, out);
    }
    sl_builder_free(builder);
    return error;
}

sl_error *sl_array_copy(const struct ArrowSchema *schema, const struct ArrowArray *array,
                        int64_t first, int64_t rows, struct ArrowArray *out) {
    sl_builder builder;
    sl_error *error = sl_builder_init(&builder, schema);
    if (error != NULL) {
        return error;
    }
    return finish_or_free(&builder, sl_builder_append_array(&builder, schema, array, first, rows),
                          out);
}

sl_error *sl_array_take(const struct ArrowSchema *schema, const struct ArrowArray *array,
                        const int32_t *indexes, int64_t n, struct ArrowArray *out) {
    sl_builder builder;
    sl_error *error = sl_builder_init(&builder, schema);
    if (error != NULL) {
        return error;
    }
    return finish_or_free(&builder, append_taken(&builder, schema, array, indexes, n), out);
}

sl_error *sl_array_empty(const struct ArrowSchema *schema, struct ArrowArray *out) {
    sl_builder builder;
    sl_error *error = sl_builder_init(&builder, schema);
    if (error != NULL) {
        return error;
    }
    return finish_or_free(&builder, NULL, out);
}
