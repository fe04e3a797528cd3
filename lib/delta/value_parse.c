/* Partition values back from their text (PROTOCOL.md, "Partition Value Serialization"): both
 * spellings of timestamps, with and without fraction. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/timestamp.h"
#include "delta/read_internal.h"

__extension__ typedef unsigned __int128 uint128;

/* `n` digits, and then `*text` is behind them. */
static bool take_digits(const char **text, int n, int *out) {
    int value = 0;
    for (int i = 0; i < n; i++) {
        char c = (*text)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *text += n;
    *out = value;
    return true;
}

static bool take_char(const char **text, char c) {
    if (**text != c) {
        return false;
    }
    ++*text;
    return true;
}

static bool take_date(const char **text, int64_t *days) {
    int year;
    int month;
    int day;
    if (!take_digits(text, 4, &year) || !take_char(text, '-') || !take_digits(text, 2, &month) ||
        !take_char(text, '-') || !take_digits(text, 2, &day) || month < 1 || month > 12 ||
        day < 1 || day > 31) {
        return false;
    }
    *days = sl_days_from_civil(year, month, day);
    return true;
}

static bool parse_timestamp(const char *text, int64_t *us) {
    int64_t days;
    int hour;
    int minute;
    int second;
    if (!take_date(&text, &days) || (!take_char(&text, ' ') && !take_char(&text, 'T')) ||
        !take_digits(&text, 2, &hour) || !take_char(&text, ':') ||
        !take_digits(&text, 2, &minute) || !take_char(&text, ':') ||
        !take_digits(&text, 2, &second)) {
        return false;
    }
    int64_t fraction = 0;
    if (take_char(&text, '.')) {
        int64_t unit = 100000;
        for (; *text >= '0' && *text <= '9'; text++, unit /= 10) {
            fraction += (*text - '0') * unit;
        }
    }
    (void)take_char(&text, 'Z');
    *us = ((days * 24 + hour) * 60 + minute) * 60000000 + (int64_t)second * 1000000 + fraction;
    return *text == 0;
}

static bool parse_decimal(const char *text, int32_t scale, uint8_t out[16]) {
    uint128 value = 0;
    bool negative = take_char(&text, '-');
    int decimals = -1;
    for (; *text != 0; text++) {
        if (*text == '.' && decimals < 0) {
            decimals = 0;
        } else if (*text >= '0' && *text <= '9') {
            value = value * 10 + (unsigned)(*text - '0');
            decimals += decimals >= 0;
        } else {
            return false;
        }
    }
    for (decimals = decimals < 0 ? 0 : decimals; decimals < scale; decimals++) {
        value *= 10;
    }
    if (negative) {
        value = ~value + 1;
    }
    memcpy(out, &value, 16);
    return decimals == scale;
}

static bool parse_double(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end); /* takes "NaN" and "Infinity", too */
    return end != text && *end == 0;
}

static bool append_number(const sl_type *type, const char *text, sl_builder *to) {
    int64_t whole;
    double real;
    switch (type->id) {
    case SL_TYPE_FLOAT:
    case SL_TYPE_DOUBLE:
        return parse_double(text, &real) && sl_builder_append_double(to, real);
    case SL_TYPE_DATE32:
        return take_date(&text, &whole) && *text == 0 && sl_builder_append_i64(to, whole);
    case SL_TYPE_TIMESTAMP_UTC:
    case SL_TYPE_TIMESTAMP_NTZ:
        return parse_timestamp(text, &whole) && sl_builder_append_i64(to, whole);
    default:
        return sl_parse_i64(text, strlen(text), &whole) && sl_builder_append_i64(to, whole);
    }
}

bool delta_partition_append(const struct ArrowSchema *schema, const char *text, sl_builder *to) {
    sl_type type;
    uint8_t decimal[16];
    if (text == NULL) {
        return sl_builder_append_null(to);
    }
    if (!sl_type_parse(schema->format, &type)) {
        return false;
    }
    switch (type.id) {
    case SL_TYPE_UTF8:
    case SL_TYPE_BINARY:
        return sl_builder_append_bytes(to, text, strlen(text));
    case SL_TYPE_BOOL:
        return (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) &&
               sl_builder_append_bool(to, text[0] == 't');
    case SL_TYPE_DECIMAL128:
        return parse_decimal(text, type.scale, decimal) &&
               sl_builder_append_bytes(to, decimal, sizeof(decimal));
    default:
        return type.id < SL_TYPE_STRUCT && append_number(&type, text, to);
    }
}
