/*
 * From stored values to Arrow values: widths, units, byte orders. Loops over plain arrays; a value
 * that the Arrow type cannot hold is reported, never cut off.
 */
#include <math.h>
#include <string.h>

#include "parquet/reader_values.h"

#define MICROS_PER_DAY INT64_C(86400000000)
#define JULIAN_DAY_OF_1970 INT64_C(2440588)

static int32_t load_i32(const uint8_t *in) {
    int32_t value;
    memcpy(&value, in, sizeof(value));
    return value;
}

static int64_t load_i64(const uint8_t *in) {
    int64_t value;
    memcpy(&value, in, sizeof(value));
    return value;
}

/* Narrows INT32; `low` and `high` are the type's range. */
static const char *narrow(const uint8_t *in, size_t n, int32_t low, int32_t high,
                          size_t width_bytes, uint8_t *out) {
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        int32_t value = load_i32(in + i * 4);
        good = good && value >= low && value <= high;
        memcpy(out + i * width_bytes, &value, width_bytes);
    }
    return good ? NULL : "an integer is outside the range of its logical type";
}

static void widen(int64_t value, uint8_t *out) {
    int64_t sign = value < 0 ? -1 : 0;
    memcpy(out, &value, 8);
    memcpy(out + 8, &sign, 8);
}

static const char *millis_to_micros(const uint8_t *in, size_t n, uint8_t *out) {
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        int64_t value = load_i64(in + i * 8);
        int64_t micros;
        good = !__builtin_mul_overflow(value, INT64_C(1000), &micros) && good;
        memcpy(out + i * 8, &micros, 8);
    }
    return good ? NULL : "a timestamp of milliseconds does not fit into microseconds";
}

static int64_t floor_micros(int64_t nanos) {
    return nanos / 1000 - (nanos % 1000 < 0 ? 1 : 0);
}

static void nanos_to_micros(const uint8_t *in, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        int64_t micros = floor_micros(load_i64(in + i * 8));
        memcpy(out + i * 8, &micros, 8);
    }
}

/* INT96: nanoseconds of the day (8 bytes), Julian day (4 bytes). */
static const char *int96_to_micros(const uint8_t *in, size_t n, uint8_t *out) {
    bool good = true;
    for (size_t i = 0; i < n; i++, in += 12) {
        int64_t nanos = load_i64(in);
        int64_t day = (int64_t)(uint32_t)load_i32(in + 8) - JULIAN_DAY_OF_1970;
        int64_t micros = 0;
        good = !__builtin_mul_overflow(day, MICROS_PER_DAY, &micros) &&
               !__builtin_add_overflow(micros, floor_micros(nanos), &micros) && good;
        memcpy(out + i * 8, &micros, 8);
    }
    return good ? NULL : "an INT96 timestamp is outside the range of microseconds";
}

static float half_to_float(uint16_t half) {
    int exponent = (half >> 10) & 0x1f;
    int mantissa = half & 0x3ff;
    float value;
    if (exponent == 0x1f) {
        value = mantissa == 0 ? INFINITY : NAN;
    } else if (exponent == 0) {
        value = ldexpf((float)mantissa, -24);
    } else {
        value = ldexpf((float)(mantissa + 1024), exponent - 25);
    }
    return (half & 0x8000) != 0 ? -value : value;
}

static void halves_to_floats(const uint8_t *in, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, in + i * 2, 2);
        float value = half_to_float(half);
        memcpy(out + i * 4, &value, 4);
    }
}

bool sl_pqr_convert_decimal(const uint8_t *in, size_t bytes, uint8_t out[16]) {
    if (bytes == 0) {
        return false;
    }
    uint8_t sign = (in[0] & 0x80) != 0 ? 0xff : 0;
    for (; bytes > 16; in++, bytes--) {
        if (in[0] != sign || ((in[1] ^ sign) & 0x80) != 0) {
            return false;
        }
    }
    for (size_t i = 0; i < 16; i++) {
        out[i] = i < bytes ? in[bytes - 1 - i] : sign;
    }
    return true;
}

static const char *fixed_to_decimals(const uint8_t *in, size_t n, size_t bytes, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        if (!sl_pqr_convert_decimal(in + i * bytes, bytes, out + i * 16)) {
            return "a decimal does not fit into 128 bits";
        }
    }
    return NULL;
}

const char *sl_pqr_convert_values(const sl_pqr_node *leaf, const uint8_t *in, size_t n,
                                  uint8_t *out) {
    switch (leaf->convert) {
    case SL_PQR_COPY:
        if (n > 0) {
            memcpy(out, in, n * leaf->stored_bytes);
        }
        return NULL;
    case SL_PQR_I32_I8:
        return narrow(in, n, INT8_MIN, INT8_MAX, 1, out);
    case SL_PQR_I32_U8:
        return narrow(in, n, 0, UINT8_MAX, 1, out);
    case SL_PQR_I32_I16:
        return narrow(in, n, INT16_MIN, INT16_MAX, 2, out);
    case SL_PQR_I32_U16:
        return narrow(in, n, 0, UINT16_MAX, 2, out);
    case SL_PQR_I32_DECIMAL:
        for (size_t i = 0; i < n; i++) {
            widen(load_i32(in + i * 4), out + i * 16);
        }
        return NULL;
    case SL_PQR_I64_DECIMAL:
        for (size_t i = 0; i < n; i++) {
            widen(load_i64(in + i * 8), out + i * 16);
        }
        return NULL;
    case SL_PQR_FIXED_DECIMAL:
        return fixed_to_decimals(in, n, leaf->stored_bytes, out);
    case SL_PQR_MILLIS_MICROS:
        return millis_to_micros(in, n, out);
    case SL_PQR_NANOS_MICROS:
        nanos_to_micros(in, n, out);
        return NULL;
    case SL_PQR_INT96_MICROS:
        return int96_to_micros(in, n, out);
    case SL_PQR_HALF_FLOAT:
        halves_to_floats(in, n, out);
        return NULL;
    case SL_PQR_BOOL:
    case SL_PQR_STRING:
    case SL_PQR_STRING_DECIMAL:
        break;
    }
    return "the type has no fixed width";
}
