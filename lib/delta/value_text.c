/* Values as text: dates and times (proleptic Gregorian, UTC), decimals, doubles; and partition
 * values as the log has them (PROTOCOL.md, "Partition Value Serialization"). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timestamp.h"
#include "delta/data_file.h"
#include "delta/internal.h"

__extension__ typedef unsigned __int128 uint128;

#define DAY_US (INT64_C(86400) * 1000000)

bool delta_date_text(int64_t days, char *out) {
    int64_t year;
    int month;
    int day;
    if (days < -719162 || days > 2932896) {
        return false;
    }
    sl_civil_from_days(days, &year, &month, &day);
    snprintf(out, 32, "%04d-%02d-%02d", (int)year, month, day);
    return true;
}

bool delta_timestamp_text(int64_t us, bool micros, const char *suffix, char *out) {
    int64_t days = us / DAY_US - (us % DAY_US < 0);
    int64_t rest = us % DAY_US + (us % DAY_US < 0 ? DAY_US : 0);
    if (!delta_date_text(days, out)) {
        return false;
    }
    int seconds = (int)(rest / 1000000);
    int fraction = (int)(rest % 1000000);
    int n =
        snprintf(out + 10, 22, "T%02d:%02d:%02d.", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if (micros) {
        snprintf(out + 10 + n, (size_t)(22 - n), "%06d%s", fraction, suffix);
    } else {
        snprintf(out + 10 + n, (size_t)(22 - n), "%03d%s", fraction / 1000, suffix);
    }
    return true;
}

void delta_decimal_text(const uint8_t *value, int32_t scale, char *out) {
    uint128 u;
    memcpy(&u, value, 16);
    bool negative = (value[15] & 0x80) != 0;
    if (negative) {
        u = ~u + 1;
    }
    char digits[48];
    int n = 0;
    do {
        digits[n++] = (char)('0' + (int)(u % 10));
        u /= 10;
    } while (u != 0);
    while (n <= scale) {
        digits[n++] = '0';
    }
    char *to = out;
    if (negative) {
        *to++ = '-';
    }
    while (n > 0) {
        *to++ = digits[--n];
        if (n == scale && n > 0) {
            *to++ = '.';
        }
    }
    *to = 0;
}

void delta_double_text(double value, bool single, char *out) {
    int most = single ? 9 : 17;
    for (int digits = single ? 6 : 15; digits <= most; digits++) {
        snprintf(out, DELTA_DOUBLE_TEXT_BYTES, "%.*g", digits, value);
        double back = strtod(out, NULL);
        if (single ? (float)back == (float)value : back == value) {
            return;
        }
    }
}

/* Text of a double in a partition value; JSON's rules do not bind here. */
static void append_double(double value, bool single, sl_buffer *out) {
    char text[DELTA_DOUBLE_TEXT_BYTES];
    if (isnan(value)) {
        sl_buffer_append_text(out, "NaN");
    } else if (isinf(value)) {
        sl_buffer_append_text(out, value < 0 ? "-Infinity" : "Infinity");
    } else {
        delta_double_text(value, single, text);
        sl_buffer_append_text(out, text);
    }
}

static sl_error *append_time(const struct ArrowSchema *schema, const sl_type *type, int64_t value,
                             sl_buffer *out) {
    char text[40];
    bool good =
        type->id == SL_TYPE_DATE32
            ? delta_date_text(value, text)
            : delta_timestamp_text(value, true, type->id == SL_TYPE_TIMESTAMP_UTC ? "Z" : "", text);
    if (!good) {
        return sl_error_new(SL_ERROR_RECORD,
                            "the partition column \"%s\" has a date outside the years 1 to 9999",
                            schema->name);
    }
    if (type->id == SL_TYPE_TIMESTAMP_NTZ) {
        text[10] = ' '; /* without zone the protocol has the older spelling */
    }
    sl_buffer_append_text(out, text);
    return NULL;
}

static int64_t integer_at(const sl_type *type, const void *data, int64_t row) {
    switch (type->width_bytes) {
    case 1:
        return ((const int8_t *)data)[row];
    case 2:
        return ((const int16_t *)data)[row];
    case 4:
        return ((const int32_t *)data)[row];
    default:
        return ((const int64_t *)data)[row];
    }
}

sl_error *sl_delta_partition_text(const struct ArrowSchema *schema, const struct ArrowArray *array,
                                  int64_t row, sl_buffer *out, bool *null) {
    sl_type type;
    sl_error *error = NULL;
    size_t before = out->bytes;
    *null = sl_array_is_null(array, row);
    if (*null) {
        return NULL;
    }
    if (!sl_type_parse(schema->format, &type)) {
        type.id = SL_TYPE_STRUCT;
    }
    const void *data = array->n_buffers > 1 ? array->buffers[1] : NULL;
    switch (type.id) {
    case SL_TYPE_BOOL:
        sl_buffer_append_text(out, sl_bit_get(data, row) ? "true" : "false");
        break;
    case SL_TYPE_INT8:
    case SL_TYPE_INT16:
    case SL_TYPE_INT32:
    case SL_TYPE_INT64:
        sl_buffer_printf(out, "%lld", (long long)integer_at(&type, data, row));
        break;
    case SL_TYPE_FLOAT:
        append_double(((const float *)data)[row], true, out);
        break;
    case SL_TYPE_DOUBLE:
        append_double(((const double *)data)[row], false, out);
        break;
    case SL_TYPE_DATE32:
    case SL_TYPE_TIMESTAMP_UTC:
    case SL_TYPE_TIMESTAMP_NTZ:
        error = append_time(schema, &type, integer_at(&type, data, row), out);
        break;
    case SL_TYPE_DECIMAL128: {
        char text[64];
        delta_decimal_text((const uint8_t *)data + row * 16, type.scale, text);
        sl_buffer_append_text(out, text);
        break;
    }
    case SL_TYPE_UTF8: {
        const int32_t *offsets = data;
        sl_buffer_append(out, (const char *)array->buffers[2] + offsets[row],
                         (size_t)(offsets[row + 1] - offsets[row]));
        *null = out->bytes == before && !out->failed;
        break;
    }
    default:
        error = sl_error_new(SL_ERROR_CONFIG, "the column \"%s\" cannot be a partition column",
                             schema->name);
    }
    return error == NULL && out->failed ? sl_error_no_memory() : error;
}
