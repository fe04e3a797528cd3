/*
 * Arrays as bytes, for state that outlives the process; version 1. Little-endian:
 *
 *   version (1 byte), then for the array and, behind each one's buffers, for its children:
 *     length (4 bytes), 1 and the validity bitmap or 0,
 *     strings and lists: length + 1 offsets (4 bytes each, from 0),
 *     fixed widths and booleans: the values; strings: the bytes that the last offset counts.
 *
 * The type is not in the bytes: the reader brings the schema.
 */
#include "columns/columns.h"

#define VERSION 1

static bool is_string(const sl_type *type) {
    return type->id == SL_TYPE_UTF8 || type->id == SL_TYPE_BINARY;
}
static bool is_list(const sl_type *type) {
    return type->id == SL_TYPE_LIST || type->id == SL_TYPE_MAP;
}

static size_t value_bytes(const sl_type *type, size_t rows) {
    return type->id == SL_TYPE_BOOL ? (rows + 7) / 8 : rows * (size_t)type->width_bytes;
}

/* ---- writing: of a built array, whose offsets are 0 ---- */

static bool write_array(const struct ArrowSchema *schema, const struct ArrowArray *array,
                        sl_buffer *out) {
    sl_type type;
    if (!sl_type_parse(schema->format, &type)) {
        return false;
    }
    size_t rows = (size_t)array->length;
    uint32_t length = (uint32_t)rows;
    bool nulls = array->null_count > 0;
    bool good = sl_buffer_append(out, &length, sizeof(length)) &&
                sl_buffer_append_byte(out, nulls ? 1 : 0) &&
                (!nulls || sl_buffer_append(out, array->buffers[0], (rows + 7) / 8));
    if (is_string(&type) || is_list(&type)) {
        const int32_t *offsets = array->buffers[1];
        good =
            good && sl_buffer_append(out, offsets, (rows + 1) * sizeof(int32_t)) &&
            (!is_string(&type) || sl_buffer_append(out, array->buffers[2], (size_t)offsets[rows]));
    } else if (type.id != SL_TYPE_STRUCT) {
        good = good && sl_buffer_append(out, array->buffers[1], value_bytes(&type, rows));
    }
    for (int64_t i = 0; i < array->n_children && good; i++) {
        good = write_array(schema->children[i], array->children[i], out);
    }
    return good;
}

sl_error *sl_array_write(const struct ArrowSchema *schema, const struct ArrowArray *array,
                         sl_buffer *out) {
    size_t start_bytes = out->bytes;
    struct ArrowArray built; /* a copy has offset 0 at every level and exact null counts */
    sl_error *error = sl_array_copy(schema, array, 0, array->length, &built);
    if (error != NULL) {
        return error;
    }
    if (!sl_buffer_append_byte(out, VERSION) || !write_array(schema, &built, out)) {
        out->bytes = start_bytes;
        error = sl_error_no_memory();
    }
    built.release(&built);
    return error;
}

/* ---- reading: into a builder's buffers ---- */

static sl_error *short_bytes(const struct ArrowSchema *schema) {
    return sl_error_new(SL_ERROR_CORRUPT, "stored rows: column \"%s\" is cut short or malformed",
                        schema->name == NULL ? "" : schema->name);
}

static const uint8_t *take(const uint8_t **at, const uint8_t *end, size_t bytes) {
    if ((size_t)(end - *at) < bytes) {
        return NULL;
    }
    const uint8_t *taken = *at;
    *at += bytes;
    return taken;
}

static sl_error *read_validity(sl_builder *builder, const struct ArrowSchema *schema, int64_t rows,
                               const uint8_t **at, const uint8_t *end) {
    const uint8_t *has = take(at, end, 1);
    if (has == NULL || *has > 1) {
        return short_bytes(schema);
    }
    const uint8_t *bits = *has == 0 ? NULL : take(at, end, (size_t)(rows + 7) / 8);
    if (*has == 1 && bits == NULL) {
        return short_bytes(schema);
    }
    /* appending nulls would touch the values: the bitmap is laid over them at the end */
    for (int64_t i = 0; bits != NULL && i < rows; i++) {
        if (!sl_bit_get(bits, i)) {
            if (builder->validity == NULL && !sl_builder_start_validity(builder)) {
                return sl_error_no_memory();
            }
            builder->null_count++;
        }
    }
    if (builder->validity != NULL) {
        memcpy(builder->validity, bits, (size_t)(rows + 7) / 8);
    }
    return NULL;
}

static sl_error *read_values(sl_builder *builder, const struct ArrowSchema *schema, int64_t rows,
                             const uint8_t **at, const uint8_t *end) {
    const sl_type *type = &builder->type;
    if (type->id == SL_TYPE_STRUCT) {
        return NULL;
    }
    if (!is_string(type) && !is_list(type)) {
        size_t bytes = value_bytes(type, (size_t)rows);
        const uint8_t *values = take(at, end, bytes);
        if (values == NULL) {
            return short_bytes(schema);
        }
        if (bytes > 0) {
            memcpy(builder->data, values, bytes);
        }
        return NULL;
    }
    size_t offset_bytes = ((size_t)rows + 1) * sizeof(int32_t);
    const uint8_t *offsets = take(at, end, offset_bytes);
    if (offsets == NULL) {
        return short_bytes(schema);
    }
    int32_t last = 0;
    memcpy(&last, offsets + offset_bytes - sizeof(last), sizeof(last));
    const uint8_t *data = is_string(type) && last > 0 ? take(at, end, (size_t)last) : NULL;
    if (last < 0 || (is_string(type) && last > 0 && data == NULL)) {
        return short_bytes(schema);
    }
    if (rows > 0) {
        memcpy(builder->offsets, offsets, offset_bytes);
    }
    if (data != NULL) {
        sl_error *error = sl_builder_reserve(builder, 0, (size_t)last);
        if (error != NULL) {
            return error;
        }
        memcpy(builder->data, data, (size_t)last);
        builder->data_bytes = (size_t)last;
    }
    return NULL;
}

static sl_error *read_array(sl_builder *builder, const struct ArrowSchema *schema,
                            const uint8_t **at, const uint8_t *end) {
    const uint8_t *head = take(at, end, sizeof(uint32_t));
    uint32_t length;
    if (head == NULL) {
        return short_bytes(schema);
    }
    memcpy(&length, head, sizeof(length));
    /* every row but a struct's needs a bit at least: a huge length fails before it is allocated */
    if (length > INT32_MAX ||
        (length / 8 > (size_t)(end - *at) && builder->type.id != SL_TYPE_STRUCT)) {
        return short_bytes(schema);
    }
    sl_error *error = sl_builder_reserve(builder, length, 0);
    error = error != NULL ? error : read_validity(builder, schema, length, at, end);
    error = error != NULL ? error : read_values(builder, schema, length, at, end);
    builder->length = error == NULL ? length : 0;
    for (size_t i = 0; i < builder->n_children && error == NULL; i++) {
        error = read_array(&builder->children[i], schema->children[i], at, end);
    }
    return error;
}

sl_error *sl_array_read(const struct ArrowSchema *schema, const void *data, size_t bytes,
                        struct ArrowArray *out) {
    const uint8_t *at = data;
    const uint8_t *end = at + bytes;
    if (bytes == 0) {
        return sl_error_new(SL_ERROR_CORRUPT, "stored rows: there are no bytes");
    }
    if (*at != VERSION) {
        return sl_error_format("the block of rows", *at, VERSION, VERSION);
    }
    at++;
    sl_builder builder;
    struct ArrowArray made = {0};
    sl_error *error = sl_builder_init(&builder, schema);
    if (error != NULL) {
        return error;
    }
    error = read_array(&builder, schema, &at, end);
    error = error == NULL && at != end ? short_bytes(schema) : error;
    error = error != NULL ? error : sl_builder_finish(&builder, &made);
    sl_builder_free(&builder);
    if (error == NULL && (error = sl_array_check(schema, &made)) != NULL) {
        made.release(&made);
        sl_error *corrupt =
            sl_error_new(SL_ERROR_CORRUPT, "stored rows: %s", sl_error_message(error));
        sl_error_free(error);
        return corrupt;
    }
    if (error == NULL) {
        *out = made;
    }
    return error;
}
