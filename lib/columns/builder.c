/*
 * Builders of Arrow arrays: growth, nulls, nested rows, truncation, and the hand-over of what was
 * built. The appends of plain values are inline in builder_inline.h.
 */
#include <stdlib.h>

#include "columns/columns.h"

#define FIRST_CAPACITY_ROWS 64
#define MAX_ROWS INT64_C(0x7ffffffe)
#define MAX_STRING_BYTES ((size_t)INT32_MAX)

static bool has_offsets(const sl_type *type) {
    return type->id == SL_TYPE_LIST || type->id == SL_TYPE_MAP ||
           ((type->id == SL_TYPE_UTF8 || type->id == SL_TYPE_BINARY));
}

static bool is_string(const sl_type *type) {
    return type->id == SL_TYPE_UTF8 || type->id == SL_TYPE_BINARY;
}

/* Bytes of the data buffer for `rows` rows of a fixed-width type or bits. */
static size_t fixed_bytes(const sl_type *type, int64_t rows) {
    return type->id == SL_TYPE_BOOL ? (size_t)(rows + 7) / 8
                                    : (size_t)rows * (size_t)type->width_bytes;
}

static bool resize(void *buffer_pointer, size_t bytes) {
    void *old;
    memcpy(&old, buffer_pointer, sizeof(old));
    void *grown = realloc(old, bytes + SL_COLUMNS_PADDING);
    if (grown == NULL) {
        return false;
    }
    memcpy(buffer_pointer, &grown, sizeof(grown));
    return true;
}

static sl_error *check_shape(const struct ArrowSchema *schema, const sl_type *type) {
    int64_t n = schema->n_children;
    bool good = type->id == SL_TYPE_STRUCT || (type->id == SL_TYPE_LIST && n == 1) ||
                (type->id == SL_TYPE_MAP && n == 1 && schema->children[0]->n_children == 2) ||
                (type->id < SL_TYPE_STRUCT && n == 0);
    return good ? NULL
                : sl_error_new(
                      SL_ERROR_CONFIG, "field \"%s\" of Arrow type \"%s\" has %lld children",
                      schema->name == NULL ? "" : schema->name, schema->format, (long long)n);
}

sl_error *sl_builder_init(sl_builder *builder, const struct ArrowSchema *schema) {
    memset(builder, 0, sizeof(*builder));
    if (schema->dictionary != NULL || !sl_type_parse(schema->format, &builder->type)) {
        return sl_error_new(SL_ERROR_CONFIG, "field \"%s\": Arrow type \"%s\"%s is not supported",
                            schema->name == NULL ? "" : schema->name, schema->format,
                            schema->dictionary != NULL ? " with a dictionary" : "");
    }
    sl_error *error = check_shape(schema, &builder->type);
    if (error != NULL || schema->n_children == 0) {
        return error;
    }
    builder->children = calloc((size_t)schema->n_children, sizeof(*builder->children));
    if (builder->children == NULL) {
        return sl_error_no_memory();
    }
    for (int64_t i = 0; i < schema->n_children; i++) {
        error = sl_builder_init(&builder->children[i], schema->children[i]);
        if (error != NULL) {
            sl_builder_free(builder);
            return error;
        }
        builder->n_children++;
    }
    return NULL;
}

void sl_builder_free(sl_builder *builder) {
    for (size_t i = 0; i < builder->n_children; i++) {
        sl_builder_free(&builder->children[i]);
    }
    free(builder->children);
    free(builder->validity);
    free(builder->data);
    free(builder->offsets);
    memset(builder, 0, sizeof(*builder));
}

void sl_builder_clear(sl_builder *builder) {
    builder->length = 0;
    builder->null_count = 0;
    builder->data_bytes = 0;
    for (size_t i = 0; i < builder->n_children; i++) {
        sl_builder_clear(&builder->children[i]);
    }
}

void sl_builder_truncate(sl_builder *builder, int64_t length) {
    if (length < builder->length) {
        if (builder->null_count > 0) {
            for (int64_t i = length; i < builder->length; i++) {
                builder->null_count -= sl_bit_get(builder->validity, i) ? 0 : 1;
            }
        }
        builder->length = length;
    }
    if (is_string(&builder->type)) {
        builder->data_bytes = builder->length == 0 ? 0 : (size_t)builder->offsets[builder->length];
    }
    for (size_t i = 0; i < builder->n_children; i++) {
        bool list = has_offsets(&builder->type);
        int64_t rows = !list                  ? builder->length
                       : builder->length == 0 ? 0
                                              : builder->offsets[builder->length];
        sl_builder_truncate(&builder->children[i], rows);
    }
}

bool sl_builder_grow_rows(sl_builder *builder, int64_t rows) {
    if (rows > MAX_ROWS - builder->length) {
        return false;
    }
    int64_t wanted = builder->length + rows;
    int64_t capacity = builder->capacity == 0 ? builder->expected_rows + builder->expected_rows / 8
                                              : builder->capacity * 2;
    capacity = capacity < FIRST_CAPACITY_ROWS ? FIRST_CAPACITY_ROWS : capacity;
    capacity = capacity < wanted ? wanted : capacity;
    capacity = (capacity + 7) & ~INT64_C(7);
    size_t bytes = 0;
    if (builder->type.width_bytes > 0 &&
        !sl_mul_size((size_t)capacity, (size_t)builder->type.width_bytes, &bytes)) {
        return false;
    }
    bool fixed = builder->type.id < SL_TYPE_STRUCT && !is_string(&builder->type);
    if ((builder->validity != NULL && !resize(&builder->validity, (size_t)capacity / 8)) ||
        (fixed && !resize(&builder->data, fixed_bytes(&builder->type, capacity)))) {
        return false;
    }
    if (has_offsets(&builder->type)) {
        if (!resize(&builder->offsets, ((size_t)capacity + 1) * sizeof(int32_t))) {
            return false;
        }
        builder->offsets[0] = 0;
    }
    builder->capacity = capacity;
    return true;
}

/* As many bytes a row as the last array had, for the rows that there is room for, and an eighth. */
static size_t expected_bytes(const sl_builder *builder) {
    if (builder->expected_rows == 0) {
        return 0;
    }
    double row_bytes = (double)builder->expected_bytes / (double)builder->expected_rows;
    double bytes = row_bytes * (double)builder->capacity * 1.125;
    return bytes < (double)MAX_STRING_BYTES ? (size_t)bytes : MAX_STRING_BYTES;
}

bool sl_builder_grow_bytes(sl_builder *builder, size_t bytes) {
    if (bytes > MAX_STRING_BYTES - builder->data_bytes) {
        return false;
    }
    size_t wanted = builder->data_bytes + bytes;
    size_t capacity = builder->data_capacity_bytes == 0 ? expected_bytes(builder)
                                                        : builder->data_capacity_bytes * 2;
    capacity = capacity < 256 ? 256 : capacity;
    capacity = capacity < wanted ? wanted : capacity;
    if (!resize(&builder->data, capacity)) {
        return false;
    }
    builder->data_capacity_bytes = capacity;
    return true;
}

sl_error *sl_builder_reserve(sl_builder *builder, int64_t rows, size_t bytes) {
    if (rows > MAX_ROWS - builder->length ||
        (is_string(&builder->type) && bytes > MAX_STRING_BYTES - builder->data_bytes)) {
        return sl_error_new(SL_ERROR_FATAL,
                            "an array cannot grow by %lld rows and %zu bytes: 2^31-1 is the limit "
                            "of both; use smaller batches",
                            (long long)rows, bytes);
    }
    if ((builder->capacity - builder->length < rows && !sl_builder_grow_rows(builder, rows)) ||
        (is_string(&builder->type) && !sl_builder_room_bytes(builder, bytes))) {
        return sl_error_no_memory();
    }
    return NULL;
}

/* The bitmap appears at the first null, with all rows before it valid. */
bool sl_builder_start_validity(sl_builder *builder) {
    if (!resize(&builder->validity, (size_t)(builder->capacity + 7) / 8)) {
        return false;
    }
    memset(builder->validity, 0xff, (size_t)(builder->length + 7) / 8);
    return true;
}

bool sl_builder_append_null(sl_builder *builder) {
    if (!sl_builder_room(builder) ||
        (builder->validity == NULL && !sl_builder_start_validity(builder))) {
        return false;
    }
    if (builder->type.id == SL_TYPE_STRUCT) {
        for (size_t i = 0; i < builder->n_children; i++) {
            if (!sl_builder_append_null(&builder->children[i])) {
                return false;
            }
        }
    } else if (is_string(&builder->type)) {
        builder->offsets[builder->length + 1] = (int32_t)builder->data_bytes;
    } else if (has_offsets(&builder->type)) {
        builder->offsets[builder->length + 1] = (int32_t)builder->children[0].length;
    } else if (builder->type.id == SL_TYPE_BOOL) {
        sl_bit_append(builder->data, builder->length, false);
    } else {
        size_t width = (size_t)builder->type.width_bytes;
        memset(builder->data + (size_t)builder->length * width, 0, width);
    }
    sl_bit_append(builder->validity, builder->length, false);
    builder->length++;
    builder->null_count++;
    return true;
}

bool sl_builder_append_struct(sl_builder *builder) {
    if (!sl_builder_room(builder)) {
        return false;
    }
    sl_builder_advance(builder);
    return true;
}

bool sl_builder_append_list(sl_builder *builder) {
    if (builder->children[0].length > MAX_ROWS || !sl_builder_room(builder)) {
        return false;
    }
    builder->offsets[builder->length + 1] = (int32_t)builder->children[0].length;
    sl_builder_advance(builder);
    return true;
}

static bool make_room(sl_builder *builder, int64_t rows, size_t bytes) {
    sl_error *error = sl_builder_reserve(builder, rows, bytes);
    sl_error_free(error);
    return error == NULL;
}

bool sl_builder_repeat_i64(sl_builder *builder, int64_t value, int64_t n) {
    if (!make_room(builder, n, 0)) {
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        (void)sl_builder_append_i64(builder, value);
    }
    return true;
}

bool sl_builder_repeat_bytes(sl_builder *builder, const void *data, size_t bytes, int64_t n) {
    size_t total = bytes * (size_t)n;
    if (n <= 0 || (bytes != 0 && total / bytes != (size_t)n)) {
        return n == 0;
    }
    if (!make_room(builder, n, total)) {
        return false;
    }
    uint8_t *to = builder->data + builder->data_bytes;
    for (size_t done = 0; done < total;) { /* what is there is copied behind itself */
        size_t step = done == 0 ? bytes : done < total - done ? done : total - done;
        memcpy(to + done, done == 0 ? data : to, step);
        done += step;
    }
    for (int64_t i = 0; i < n; i++) {
        builder->data_bytes += bytes;
        builder->offsets[builder->length + 1] = (int32_t)builder->data_bytes;
        sl_builder_advance(builder);
    }
    return true;
}

/* ---- finish ---- */

/* What an array made here owns, in one block: the pointers that ArrowArray shows, then the child
 * structs. */
typedef struct array_block {
    const void *buffers[3];
    struct ArrowArray *children[];
} array_block;

static void release_array(struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_buffers; i++) {
        free((void *)(uintptr_t)array->buffers[i]);
    }
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release != NULL) {
            array->children[i]->release(array->children[i]);
        }
    }
    free(array->private_data);
    memset(array, 0, sizeof(*array));
}

/* Every buffer but the validity bitmap exists, also for no rows. */
static bool complete_buffers(sl_builder *builder) {
    bool data = builder->type.id < SL_TYPE_STRUCT;
    if ((data && builder->data == NULL && !resize(&builder->data, 0)) ||
        (has_offsets(&builder->type) && builder->offsets == NULL &&
         !resize(&builder->offsets, sizeof(int32_t)))) {
        return false;
    }
    if (builder->offsets != NULL) {
        builder->offsets[0] = 0;
    }
    return true;
}

static void forget_buffers(sl_builder *builder) {
    builder->expected_rows = builder->length;
    builder->expected_bytes = builder->data_bytes;
    builder->validity = NULL;
    builder->data = NULL;
    builder->offsets = NULL;
    builder->capacity = 0;
    builder->data_capacity_bytes = 0;
    builder->length = 0;
    builder->null_count = 0;
    builder->data_bytes = 0;
}

static bool finish(sl_builder *builder, struct ArrowArray *out) {
    size_t n = builder->n_children;
    array_block *block =
        calloc(1, sizeof(*block) + n * (sizeof(struct ArrowArray *) + sizeof(struct ArrowArray)));
    memset(out, 0, sizeof(*out));
    if (block == NULL || !complete_buffers(builder)) {
        free(block);
        return false;
    }
    if (builder->null_count == 0) {
        free(builder->validity);
        builder->validity = NULL;
    }
    int64_t used = 0;
    block->buffers[used++] = builder->validity;
    if (builder->offsets != NULL) {
        block->buffers[used++] = builder->offsets;
    }
    if (builder->data != NULL) {
        block->buffers[used++] = builder->data;
    }
    *out = (struct ArrowArray){.length = builder->length,
                               .null_count = builder->null_count,
                               .n_buffers = used,
                               .buffers = block->buffers,
                               .children = n == 0 ? NULL : block->children,
                               .release = release_array,
                               .private_data = block};
    forget_buffers(builder);
    struct ArrowArray *structs = (struct ArrowArray *)(void *)(block->children + n);
    for (size_t i = 0; i < n; i++) {
        block->children[i] = &structs[i];
        out->n_children = (int64_t)i + 1;
        if (!finish(&builder->children[i], &structs[i])) {
            out->release(out);
            return false;
        }
    }
    return true;
}

sl_error *sl_builder_finish(sl_builder *builder, struct ArrowArray *out) {
    struct ArrowArray made;
    if (!finish(builder, &made)) {
        sl_builder_clear(builder);
        return sl_error_no_memory();
    }
    *out = made;
    return NULL;
}
