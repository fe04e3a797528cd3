/*
 * Exact arithmetic on number texts, and the conversions of numbers that the inline scan leaves.
 */
#include "json/decimal.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

static int64_t parse_exponent(const uint8_t *p, const uint8_t *end) {
    bool negative = *p == '-';
    int64_t value = 0;
    p += *p == '-' || *p == '+';
    for (; p < end; p++) {
        value = value < INT64_C(1000000000000) ? value * 10 + (*p - '0') : value;
    }
    return negative ? -value : value;
}

slj_decimal slj_decimal_from_text(const uint8_t *text, size_t bytes) {
    slj_decimal out = {.negative = bytes > 0 && text[0] == '-'};
    const uint8_t *end = text + bytes;
    const uint8_t *p = text + out.negative;
    const uint8_t *digits_end = p;
    const uint8_t *point = NULL;
    int64_t power = -1; /* of the digit that comes next, counted from the point, minus exponent */
    for (; digits_end < end && (*digits_end | 0x20) != 'e'; digits_end++) {
        point = *digits_end == '.' ? digits_end : point;
    }
    int64_t exponent = digits_end < end ? parse_exponent(digits_end + 1, end) : 0;
    power = (int64_t)((point == NULL ? digits_end : point) - p) - 1 + exponent;
    for (; p < digits_end; p++) {
        if (*p == '.') {
            continue;
        }
        if (*p != '0') {
            if (out.first == NULL) {
                out.first = p;
                out.first_power = power;
            }
            out.last = p;
            out.last_power = power;
        }
        power--;
    }
    return out;
}

static int compare_magnitudes(const slj_decimal *a, const slj_decimal *b) {
    if (a->first_power != b->first_power) {
        return a->first_power < b->first_power ? -1 : 1;
    }
    const uint8_t *x = a->first, *y = b->first;
    while (x <= a->last && y <= b->last) {
        x += *x == '.';
        y += *y == '.';
        if (*x != *y) {
            return *x < *y ? -1 : 1;
        }
        x++;
        y++;
    }
    /* the one that has digits left is the larger one: its last digit is not 0 */
    return (x <= a->last) - (y <= b->last);
}

int slj_decimal_compare(const slj_decimal *a, const slj_decimal *b) {
    int sign_a = a->first == NULL ? 0 : a->negative ? -1 : 1;
    int sign_b = b->first == NULL ? 0 : b->negative ? -1 : 1;
    if (sign_a != sign_b) {
        return sign_a < sign_b ? -1 : 1;
    }
    return sign_a == 0 ? 0 : sign_a * compare_magnitudes(a, b);
}

bool slj_decimal_is_integer(const slj_decimal *a) {
    return a->first == NULL || a->last_power >= 0;
}

/* a * b modulo m, for m below 2^124. */
static slj_u128 multiply_modulo(slj_u128 a, slj_u128 b, slj_u128 m) {
    if (m <= UINT64_MAX) {
        return a * b % m;
    }
    slj_u128 result = 0;
    for (; b > 0; b >>= 1) {
        result = b & 1 ? (result + a) % m : result;
        a = a * 2 % m;
    }
    return result;
}

static slj_u128 power_of_ten_modulo(uint64_t exponent, slj_u128 m) {
    slj_u128 result = 1 % m, base = 10 % m;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) {
            result = multiply_modulo(result, base, m);
        }
        base = multiply_modulo(base, base, m);
    }
    return result;
}

bool slj_decimal_is_multiple(const slj_decimal *a, const slj_decimal *divisor) {
    if (a->first == NULL) {
        return true;
    }
    /* Both are an integer without trailing zeros times a power of ten. With the divisor's power
     * the larger one, a would have to end in 0. */
    if (divisor->first == NULL || a->last_power < divisor->last_power) {
        return false;
    }
    slj_u128 modulus = 0;
    for (const uint8_t *p = divisor->first; p <= divisor->last; p++) {
        if (*p != '.') {
            modulus = modulus * 10 + (unsigned)(*p - '0');
        }
    }
    slj_u128 rest = 0;
    for (const uint8_t *p = a->first; p <= a->last; p++) {
        if (*p != '.') {
            rest = (rest * 10 + (unsigned)(*p - '0')) % modulus;
        }
    }
    uint64_t zeros = (uint64_t)(a->last_power - divisor->last_power);
    return multiply_modulo(rest, power_of_ten_modulo(zeros, modulus), modulus) == 0;
}

slj_scaled_result slj_decimal_scale(const slj_decimal *a, int32_t scale, slj_i128 *out) {
    *out = 0;
    if (a->first == NULL) {
        return SLJ_SCALED_OK;
    }
    if (a->first_power + scale >= 38) {
        return SLJ_SCALED_RANGE;
    }
    int64_t power = a->first_power + scale;
    slj_i128 value = 0;
    for (const uint8_t *p = a->first; p <= a->last && power >= 0; p++) {
        if (*p != '.') {
            value = value * 10 + (*p - '0');
            power--;
        }
    }
    for (; power >= 0; power--) {
        value *= 10;
    }
    bool fraction = a->last_power + scale < 0;
    *out = a->negative ? -value - fraction : value;
    return fraction ? SLJ_SCALED_FRACTION : SLJ_SCALED_OK;
}

slj_integer_result slj_number_to_i64(const slj_number *number, int64_t *out) {
    if (slj_likely(!number->inexact && number->exponent == 0)) {
        uint64_t limit = (uint64_t)INT64_MAX + number->negative;
        if (slj_unlikely(number->mantissa > limit)) {
            return SLJ_INTEGER_RANGE;
        }
        *out = number->negative ? (int64_t)(0 - number->mantissa) : (int64_t)number->mantissa;
        return SLJ_INTEGER_OK;
    }
    slj_decimal decimal = slj_decimal_from_text(number->text, number->bytes);
    if (!slj_decimal_is_integer(&decimal)) {
        return SLJ_INTEGER_FRACTION;
    }
    slj_i128 value;
    if (slj_decimal_scale(&decimal, 0, &value) != SLJ_SCALED_OK || value > INT64_MAX ||
        value < INT64_MIN) {
        return SLJ_INTEGER_RANGE;
    }
    *out = (int64_t)value;
    return SLJ_INTEGER_OK;
}

/* strtod follows the process's locale; a number is JSON's, whatever the locale. */
static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void) {
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool slj_number_to_double_slow(const slj_number *number, double *out) {
    pthread_once(&c_locale_once, make_c_locale);
    const char *text = (const char *)number->text;
    *out = c_locale != (locale_t)0 ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
    return isfinite(*out);
}
