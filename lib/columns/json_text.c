/*
 * Values as JSON text (RFC 8259), for stdout, logs and dead letters: exact, not fast.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/timestamp.h"
#include "columns/columns.h"

#define US_PER_DAY INT64_C(86400000000)
/* No number, time, `null`, or pair of quotes or brackets is longer; nor a byte of text, \u0000. */
#define SCALAR_BYTES 48
#define ESCAPED_BYTES 6

static bool append_date(int64_t days, sl_buffer *out) {
    int64_t year;
    int month;
    int day;
    sl_civil_from_days(days, &year, &month, &day);
    return sl_buffer_printf(out, "%04" PRId64 "-%02d-%02d", year, month, day);
}

static bool append_timestamp(int64_t us, bool utc, sl_buffer *out) {
    int64_t days = us / US_PER_DAY - (us % US_PER_DAY < 0 ? 1 : 0);
    int64_t rest = us % US_PER_DAY + (us % US_PER_DAY < 0 ? US_PER_DAY : 0);
    int64_t seconds = rest / 1000000;
    int64_t fraction = rest % 1000000;
    bool good = sl_buffer_append_byte(out, '"') && append_date(days, out) &&
                sl_buffer_printf(out, "T%02d:%02d:%02d", (int)(seconds / 3600),
                                 (int)(seconds / 60 % 60), (int)(seconds % 60));
    if (good && fraction % 1000 != 0) {
        good = sl_buffer_printf(out, ".%06d", (int)fraction);
    } else if (good && fraction != 0) {
        good = sl_buffer_printf(out, ".%03d", (int)(fraction / 1000));
    }
    return good && sl_buffer_append_text(out, utc ? "Z\"" : "\"");
}

/* The shortest of 15, 16 and 17 digits that reads back the same. */
static bool append_double(double value, bool is_float, sl_buffer *out) {
    if (!isfinite(value)) {
        return sl_buffer_append_text(out, "null");
    }
    char text[40];
    for (int digits = is_float ? 6 : 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (is_float ? (float)back == (float)value : !(back < value) && !(back > value)) {
            break;
        }
    }
    return sl_buffer_append_text(out, text);
}

static bool append_decimal(const uint8_t *bytes, int32_t scale, sl_buffer *out) {
    sl_i128 value;
    memcpy(&value, bytes, sizeof(value));
    bool negative = value < 0;
    sl_u128 rest = negative ? -(sl_u128)value : (sl_u128)value;
    char text[48];
    size_t at = sizeof(text);
    int32_t digits = 0;
    while (rest != 0 || digits <= scale) {
        if (digits == scale && scale > 0) {
            text[--at] = '.';
        }
        text[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
        digits++;
    }
    if (negative) {
        text[--at] = '-';
    }
    return sl_buffer_append(out, text + at, sizeof(text) - at);
}

static bool append_base64(const uint8_t *data, size_t bytes, sl_buffer *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bool good = sl_buffer_append_byte(out, '"');
    for (size_t i = 0; i < bytes && good; i += 3) {
        size_t n = bytes - i < 3 ? bytes - i : 3;
        uint32_t group = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (n > 2 ? data[i + 2] : 0u);
        char text[4] = {digits[group >> 18], digits[group >> 12 & 63],
                        n > 1 ? digits[group >> 6 & 63] : '=', n > 2 ? digits[group & 63] : '='};
        good = sl_buffer_append(out, text, sizeof(text));
    }
    return good && sl_buffer_append_byte(out, '"');
}

static int64_t read_integer(const uint8_t *slot, int32_t width, bool is_signed) {
    switch (width) {
    case 1:
        return is_signed ? (int8_t)slot[0] : slot[0];
    case 2: {
        uint16_t value;
        memcpy(&value, slot, sizeof(value));
        return is_signed ? (int16_t)value : value;
    }
    case 4: {
        uint32_t value;
        memcpy(&value, slot, sizeof(value));
        return is_signed ? (int32_t)value : (int64_t)value;
    }
    default: {
        int64_t value;
        memcpy(&value, slot, sizeof(value));
        return value;
    }
    }
}

static bool append_fixed(const sl_type *type, const uint8_t *slot, sl_buffer *out) {
    switch (type->id) {
    case SL_TYPE_FLOAT: {
        float value;
        memcpy(&value, slot, sizeof(value));
        return append_double((double)value, true, out);
    }
    case SL_TYPE_DOUBLE: {
        double value;
        memcpy(&value, slot, sizeof(value));
        return append_double(value, false, out);
    }
    case SL_TYPE_UINT64: {
        uint64_t value;
        memcpy(&value, slot, sizeof(value));
        return sl_buffer_printf(out, "%" PRIu64, value);
    }
    case SL_TYPE_DECIMAL128:
        return append_decimal(slot, type->scale, out);
    case SL_TYPE_FIXED_BINARY:
        return append_base64(slot, (size_t)type->width_bytes, out);
    case SL_TYPE_DATE32:
        return sl_buffer_append_byte(out, '"') && append_date(read_integer(slot, 4, true), out) &&
               sl_buffer_append_byte(out, '"');
    case SL_TYPE_TIMESTAMP_UTC:
    case SL_TYPE_TIMESTAMP_NTZ:
        return append_timestamp(read_integer(slot, 8, true), type->id == SL_TYPE_TIMESTAMP_UTC,
                                out);
    default: {
        bool is_signed = type->id <= SL_TYPE_INT64;
        return sl_buffer_printf(out, "%" PRId64, read_integer(slot, type->width_bytes, is_signed));
    }
    }
}

static bool append_value(const struct ArrowSchema *schema, const struct ArrowArray *array,
                         int64_t row, sl_buffer *out);

static bool append_object(const struct ArrowSchema *schema, const struct ArrowArray *array,
                          int64_t at, sl_buffer *out) {
    bool good = sl_buffer_append_byte(out, '{');
    for (int64_t i = 0; i < schema->n_children && good; i++) {
        const char *name = schema->children[i]->name == NULL ? "" : schema->children[i]->name;
        good = (i == 0 || sl_buffer_append_byte(out, ',')) &&
               sl_buffer_append_json_string(out, name, strlen(name)) &&
               sl_buffer_append_byte(out, ':') &&
               append_value(schema->children[i], array->children[i], at, out);
    }
    return good && sl_buffer_append_byte(out, '}');
}

static bool append_list(const struct ArrowSchema *schema, const struct ArrowArray *array,
                        int64_t at, sl_buffer *out) {
    const int32_t *offsets = array->buffers[1];
    bool good = sl_buffer_append_byte(out, '[');
    for (int32_t i = offsets[at]; i < offsets[at + 1] && good; i++) {
        good = (i == offsets[at] || sl_buffer_append_byte(out, ',')) &&
               append_value(schema->children[0], array->children[0], i, out);
    }
    return good && sl_buffer_append_byte(out, ']');
}

static bool append_value(const struct ArrowSchema *schema, const struct ArrowArray *array,
                         int64_t row, sl_buffer *out) {
    sl_type type;
    int64_t at = array->offset + row;
    if (!sl_type_parse(schema->format, &type) || sl_array_is_null(array, at)) {
        return sl_buffer_append_text(out, "null");
    }
    switch (type.id) {
    case SL_TYPE_STRUCT:
        return append_object(schema, array, at, out);
    case SL_TYPE_LIST:
    case SL_TYPE_MAP:
        return append_list(schema, array, at, out);
    case SL_TYPE_BOOL:
        return sl_buffer_append_text(out, sl_bit_get(array->buffers[1], at) ? "true" : "false");
    case SL_TYPE_UTF8:
    case SL_TYPE_BINARY: {
        const int32_t *offsets = array->buffers[1];
        size_t bytes = (size_t)(offsets[at + 1] - offsets[at]);
        const char *text = bytes == 0 ? "" : (const char *)array->buffers[2] + offsets[at];
        return type.id == SL_TYPE_UTF8 ? sl_buffer_append_json_string(out, text, bytes)
                                       : append_base64((const uint8_t *)text, bytes, out);
    }
    default:
        return append_fixed(
            &type, (const uint8_t *)array->buffers[1] + (size_t)at * (size_t)type.width_bytes, out);
    }
}

static size_t longest(const struct ArrowArray *array) {
    const int32_t *offsets = (const int32_t *)array->buffers[1] + array->offset;
    int32_t most = 0;
    for (int64_t i = 0; i < array->length; i++) {
        int32_t n = offsets[i + 1] - offsets[i];
        most = n > most ? n : most;
    }
    return (size_t)most;
}

size_t sl_array_json_bound(const struct ArrowSchema *schema, const struct ArrowArray *array) {
    sl_type type;
    size_t bound = SCALAR_BYTES;
    if (!sl_type_parse(schema->format, &type) || array->length == 0) {
        return bound;
    }
    switch (type.id) {
    case SL_TYPE_STRUCT:
        for (int64_t i = 0; i < schema->n_children; i++) {
            const char *name = schema->children[i]->name;
            bound += ESCAPED_BYTES * (name == NULL ? 0 : strlen(name)) + 4 +
                     sl_array_json_bound(schema->children[i], array->children[i]);
        }
        return bound;
    case SL_TYPE_LIST:
    case SL_TYPE_MAP:
        return bound +
               longest(array) * (1 + sl_array_json_bound(schema->children[0], array->children[0]));
    case SL_TYPE_UTF8:
        return bound + ESCAPED_BYTES * longest(array);
    case SL_TYPE_BINARY:
        return bound + longest(array) / 3 * 4 + 4;
    case SL_TYPE_FIXED_BINARY:
        return bound + (size_t)type.width_bytes / 3 * 4 + 4;
    default:
        return bound;
    }
}

bool sl_array_append_json(const struct ArrowSchema *schema, const struct ArrowArray *array,
                          int64_t row, sl_buffer *out) {
    size_t start_bytes = out->bytes;
    bool good = append_value(schema, array, row, out);
    if (!good) {
        out->bytes = start_bytes;
    }
    return good;
}
