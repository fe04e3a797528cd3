/*
 * Two passes over the same rules: one by column, which may suspect without cause but misses nothing
 * (values under a null, rows of a list that nobody has), and one by row, which is exact.
 */
#include "delta/row_fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "delta/internal.h"
#include "parquet/writer.h"

#define DAY_US (INT64_C(86400) * 1000000)
/* Years 1 to 9999, as days since 1970. */
#define FIRST_DAY (-719162)
#define LAST_DAY 2932896
/* Bytes of a value beside its own: length and level, or the widest fixed one. */
#define VALUE_BYTES 17

static bool is_required(const struct ArrowSchema *field) {
    return (field->flags & ARROW_FLAG_NULLABLE) == 0;
}

static bool is_partition(const sl_delta_row_rules *rules, const char *name) {
    for (size_t i = 0; i < rules->n_partition_columns; i++) {
        if (strcmp(rules->partition_columns[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static sl_i128 decimal_limit(int32_t precision) {
    sl_i128 limit = 1;
    while (precision-- > 0) {
        limit *= 10;
    }
    return limit;
}

static sl_i128 decimal_at(const struct ArrowArray *array, int64_t row) {
    sl_i128 value;
    memcpy(&value, (const uint8_t *)array->buffers[1] + (size_t)row * sizeof(value), sizeof(value));
    return value;
}

static int64_t time_at(const sl_type *type, const struct ArrowArray *array, int64_t row) {
    return type->id == SL_TYPE_DATE32 ? ((const int32_t *)array->buffers[1])[row]
                                      : ((const int64_t *)array->buffers[1])[row];
}

/* Whether Delta's text for partition values has the time. */
static bool has_text(const sl_type *type, int64_t time) {
    return type->id == SL_TYPE_DATE32
               ? time >= FIRST_DAY && time <= LAST_DAY
               : time >= FIRST_DAY * DAY_US && time < (LAST_DAY + INT64_C(1)) * DAY_US;
}

static bool is_time(const sl_type *type) {
    return type->id == SL_TYPE_DATE32 || type->id == SL_TYPE_TIMESTAMP_UTC ||
           type->id == SL_TYPE_TIMESTAMP_NTZ;
}

static bool has_offsets(const sl_type *type) {
    return type->id == SL_TYPE_UTF8 || type->id == SL_TYPE_BINARY;
}

/* ---- by column ---- */

/* Rows [first, first + n) of a field. */
struct span {
    const struct ArrowSchema *field;
    const struct ArrowArray *array;
    const uint8_t *parent; /* validity of the struct that it is in; NULL: every row is there */
    int64_t first;
    int64_t n;
    bool partition;
};

/* Some row of the parent's is there without its value. */
static bool misses_value(const struct span *s) {
    const uint8_t *own = s->array->null_count == 0 ? NULL : s->array->buffers[0];
    int64_t at = s->first;
    int64_t end = s->first + s->n;
    if (own == NULL) {
        return false;
    }
    while (at < end) {
        bool whole = (at & 7) == 0 && end - at >= 8;
        int mask = whole ? 0xff : 1 << (at & 7);
        uint8_t there = s->parent == NULL ? 0xff : s->parent[at >> 3];
        if ((there & ~own[at >> 3] & mask) != 0) {
            return true;
        }
        at += whole ? 8 : 1;
    }
    return false;
}

static bool decimals_suspect(const struct span *s, const sl_type *type) {
    sl_i128 limit = decimal_limit(type->precision);
    bool fits = true;
    for (int64_t i = s->first; i < s->first + s->n; i++) {
        sl_i128 value = decimal_at(s->array, i);
        fits &= value < limit && value > -limit;
    }
    return !fits;
}

static bool times_suspect(const struct span *s, const sl_type *type) {
    bool good = true;
    for (int64_t i = s->first; i < s->first + s->n; i++) {
        good &= has_text(type, time_at(type, s->array, i));
    }
    return !good;
}

/* What only a partition's text may not have: a zero byte, and nothing where it must be something.
 */
static bool name_suspect(const struct span *s, const int32_t *offsets, const uint8_t *data) {
    bool empty = false;
    for (int64_t i = 0; i < s->n && is_required(s->field); i++) {
        empty |= offsets[i] == offsets[i + 1];
    }
    size_t bytes = (size_t)(offsets[s->n] - offsets[0]);
    return empty || (bytes > 0 && memchr(data + offsets[0], 0, bytes) != NULL);
}

/* The values' bytes as one text: right when it is, and no value begins inside of a character. */
static bool text_suspect(const struct span *s) {
    const int32_t *offsets = (const int32_t *)s->array->buffers[1] + s->first;
    const uint8_t *data = s->array->buffers[2];
    size_t bytes = (size_t)(offsets[s->n] - offsets[0]);
    if (s->partition && name_suspect(s, offsets, data)) {
        return true;
    }
    size_t ascii = bytes == 0 ? 0 : sl_ascii_prefix(data + offsets[0], bytes);
    if (ascii == bytes) {
        return false;
    }
    bool begins = true;
    for (int64_t i = 0; i < s->n; i++) {
        begins &= offsets[i] == offsets[s->n] || (data[offsets[i]] & 0xc0) != 0x80;
    }
    return !begins || !sl_utf8_is_valid(data + offsets[0] + ascii, bytes - ascii);
}

/* All rows together are no larger than one may be. */
static bool size_suspect(const struct span *s, const sl_type *type) {
    size_t bytes = (size_t)s->n * VALUE_BYTES;
    if (has_offsets(type)) {
        const int32_t *offsets = (const int32_t *)s->array->buffers[1] + s->first;
        bytes += (size_t)(offsets[s->n] - offsets[0]);
    }
    return bytes > SL_PARQUET_ROW_MAX_BYTES;
}

static bool suspect(const sl_delta_row_rules *rules, const struct span *s);

static bool children_suspect(const sl_delta_row_rules *rules, const struct span *s, bool list) {
    const uint8_t *own = s->array->null_count == 0 ? NULL : s->array->buffers[0];
    struct span inner = {.parent = own != NULL ? own : s->parent, .first = s->first, .n = s->n};
    if (list) {
        const int32_t *offsets = (const int32_t *)s->array->buffers[1] + s->first;
        inner.parent = NULL;
        inner.first = offsets[0];
        inner.n = offsets[s->n] - offsets[0];
    }
    for (int64_t i = 0; i < s->field->n_children && inner.n > 0; i++) {
        inner.field = s->field->children[i];
        inner.array = s->array->children[i];
        if (suspect(rules, &inner)) {
            return true;
        }
    }
    return false;
}

static bool suspect(const sl_delta_row_rules *rules, const struct span *s) {
    sl_type type;
    if (!sl_type_parse(s->field->format, &type)) {
        return true;
    }
    if (is_required(s->field) && misses_value(s)) {
        return true;
    }
    switch (type.id) {
    case SL_TYPE_STRUCT:
        return children_suspect(rules, s, false);
    case SL_TYPE_LIST:
    case SL_TYPE_MAP:
        return children_suspect(rules, s, true);
    case SL_TYPE_DECIMAL128:
        return size_suspect(s, &type) || decimals_suspect(s, &type);
    case SL_TYPE_UTF8:
        return size_suspect(s, &type) || text_suspect(s);
    default:
        return size_suspect(s, &type) ||
               (s->partition && is_time(&type) && times_suspect(s, &type));
    }
}

bool sl_delta_rows_suspect(const sl_delta_row_rules *rules, const struct ArrowArray *array) {
    for (int64_t i = 0; i < rules->schema->n_children && array->length > 0; i++) {
        const struct span s = {.field = rules->schema->children[i],
                               .array = array->children[i],
                               .n = array->length,
                               .partition = is_partition(rules, rules->schema->children[i]->name)};
        if (suspect(rules, &s)) {
            return true;
        }
    }
    return false;
}

/* ---- by row ---- */

/* One value on the way down. */
struct look {
    sl_delta_row_fault *out;
    size_t path_bytes; /* of out->path */
    bool partition;
};

SL_PRINTF(3, 4)
static bool say(sl_delta_row_fault *out, const char *reason, const char *format, ...) {
    va_list args;
    va_start(args, format);
    out->reason = reason;
    (void)vsnprintf(out->detail, sizeof(out->detail), format, args);
    va_end(args);
    return true;
}

/* Appends to the path, which is cut at its end; the caller puts path_bytes back. */
SL_PRINTF(2, 3)
static void go_into(struct look *look, const char *format, ...) {
    size_t room = sizeof(look->out->path) - look->path_bytes;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(look->out->path + look->path_bytes, room, format, args);
    va_end(args);
    look->path_bytes += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

static void go_back(struct look *look, size_t path_bytes) {
    look->path_bytes = path_bytes;
    look->out->path[path_bytes] = 0;
}

static bool text_fault(const struct look *look, const struct ArrowSchema *field,
                       const uint8_t *text, size_t bytes) {
    if (!sl_utf8_is_valid(text, bytes)) {
        return say(look->out, "bad_utf8", "found bytes that are not UTF-8, allowed is text");
    }
    if (look->partition && bytes == 0 && is_required(field)) {
        return say(look->out, "null",
                   "found \"\", which is null in a partition column, and the column must have a "
                   "value");
    }
    return look->partition && bytes > 0 && memchr(text, 0, bytes) != NULL &&
           say(look->out, "zero_byte", "found a zero byte, which a partition's value cannot hold");
}

static bool decimal_fault(const struct look *look, const sl_type *type,
                          const struct ArrowArray *array, int64_t row) {
    sl_i128 value = decimal_at(array, row);
    sl_i128 limit = decimal_limit(type->precision);
    if (value < limit && value > -limit) {
        return false;
    }
    char text[64];
    delta_decimal_text((const uint8_t *)&value, type->scale, text);
    return say(look->out, "decimal", "found %s, allowed is decimal(%d,%d)", text,
               (int)type->precision, (int)type->scale);
}

static bool leaf_fault(const struct look *look, const struct ArrowSchema *field,
                       const sl_type *type, const struct ArrowArray *array, int64_t row) {
    if (has_offsets(type)) {
        const int32_t *offsets = (const int32_t *)array->buffers[1] + row;
        size_t bytes = (size_t)(offsets[1] - offsets[0]);
        if (bytes + VALUE_BYTES > SL_PARQUET_ROW_MAX_BYTES) {
            return say(look->out, "too_large", "found %zu bytes, allowed are %zu", bytes,
                       SL_PARQUET_ROW_MAX_BYTES - VALUE_BYTES);
        }
        return type->id == SL_TYPE_UTF8 &&
               text_fault(look, field, (const uint8_t *)array->buffers[2] + offsets[0], bytes);
    }
    if (type->id == SL_TYPE_DECIMAL128) {
        return decimal_fault(look, type, array, row);
    }
    return look->partition && is_time(type) && !has_text(type, time_at(type, array, row)) &&
           say(look->out, "date",
               "found %lld %s since 1970, allowed in a partition column are the years 1 to 9999",
               (long long)time_at(type, array, row),
               type->id == SL_TYPE_DATE32 ? "days" : "microseconds");
}

static bool value_fault(struct look *look, const struct ArrowSchema *field,
                        const struct ArrowArray *array, int64_t row);

/* The bytes of rows [first, first + n) of every leaf below; lists of a row go into one page. */
static size_t largest_leaf(const struct ArrowSchema *field, const struct ArrowArray *array,
                           int64_t first, int64_t n) {
    sl_type type;
    size_t most = (size_t)n * VALUE_BYTES;
    if (!sl_type_parse(field->format, &type) || n == 0) {
        return most;
    }
    if (has_offsets(&type) || type.id == SL_TYPE_LIST || type.id == SL_TYPE_MAP) {
        const int32_t *offsets = (const int32_t *)array->buffers[1] + first;
        first = offsets[0];
        n = offsets[n] - offsets[0];
        most += has_offsets(&type) ? (size_t)n : 0;
    }
    for (int64_t i = 0; i < field->n_children; i++) {
        size_t bytes = largest_leaf(field->children[i], array->children[i], first, n);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static bool list_fault(struct look *look, const struct ArrowSchema *field,
                       const struct ArrowArray *array, int64_t row) {
    const int32_t *offsets = (const int32_t *)array->buffers[1] + row;
    size_t before = look->path_bytes;
    size_t bytes = largest_leaf(field, array, row, 1);
    if (bytes > SL_PARQUET_ROW_MAX_BYTES) {
        return say(look->out, "too_large", "found %zu bytes in %d elements, allowed are %zu", bytes,
                   (int)(offsets[1] - offsets[0]), SL_PARQUET_ROW_MAX_BYTES);
    }
    for (int32_t i = offsets[0]; i < offsets[1]; i++) {
        go_into(look, "[%d]", (int)(i - offsets[0]));
        if (value_fault(look, field->children[0], array->children[0], i)) {
            return true;
        }
        go_back(look, before);
    }
    return false;
}

static bool struct_fault(struct look *look, const struct ArrowSchema *schema,
                         const struct ArrowArray *array, int64_t row) {
    size_t before = look->path_bytes;
    for (int64_t i = 0; i < schema->n_children; i++) {
        go_into(look, ".%s", schema->children[i]->name == NULL ? "" : schema->children[i]->name);
        if (value_fault(look, schema->children[i], array->children[i], row)) {
            return true;
        }
        go_back(look, before);
    }
    return false;
}

static bool value_fault(struct look *look, const struct ArrowSchema *field,
                        const struct ArrowArray *array, int64_t row) {
    sl_type type;
    if (sl_array_is_null(array, row)) {
        return is_required(field) &&
               say(look->out, "null", "found null, and the column must have a value");
    }
    if (!sl_type_parse(field->format, &type)) {
        return false; /* no schema of ours: the encoder says so */
    }
    switch (type.id) {
    case SL_TYPE_STRUCT:
        return struct_fault(look, field, array, row);
    case SL_TYPE_LIST:
    case SL_TYPE_MAP:
        return list_fault(look, field, array, row);
    default:
        return leaf_fault(look, field, &type, array, row);
    }
}

bool sl_delta_row_is_at_fault(const sl_delta_row_rules *rules, const struct ArrowArray *array,
                              int64_t row, sl_delta_row_fault *out) {
    struct look look = {.out = out, .path_bytes = 1};
    memcpy(out->path, "$", 2);
    for (int64_t i = 0; i < rules->schema->n_children; i++) {
        const struct ArrowSchema *field = rules->schema->children[i];
        look.partition = is_partition(rules, field->name);
        go_into(&look, ".%s", field->name);
        if (value_fault(&look, field, array->children[i], row)) {
            return true;
        }
        go_back(&look, 1);
    }
    return false;
}
