/*
 * Strict parsing of integers, sizes and durations: the whole text is one, or the answer is no. And
 * the shortest exact spelling of sizes and durations.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/base.h"

typedef struct unit {
    const char *name;
    int64_t factor;
} unit;

#define KIB INT64_C(1024)
#define KB INT64_C(1000)
static const unit size_units[] = {
    {"B", 1},
    {"KiB", KIB},
    {"MiB", KIB *KIB},
    {"GiB", KIB *KIB *KIB},
    {"kB", KB},
    {"MB", KB *KB},
    {"GB", KB *KB *KB},
    {"TiB", KIB *KIB *KIB *KIB},
    {"TB", KB *KB *KB *KB},
};

/* Largest first: the parts of a duration come in this order. */
static const unit duration_units[] = {
    {"d", INT64_C(86400000000)}, {"h", INT64_C(3600000000)}, {"m", INT64_C(60000000)},
    {"s", INT64_C(1000000)},     {"ms", INT64_C(1000)},      {"us", 1},
};

/* Digits at text[*at...] into *out; false when there is none or the number is too large. */
static bool parse_digits(const char *text, size_t bytes, size_t *at, int64_t *out) {
    size_t start = *at;
    int64_t value = 0;
    while (*at < bytes && text[*at] >= '0' && text[*at] <= '9') {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text[*at] - '0', &value)) {
            return false;
        }
        (*at)++;
    }
    *out = value;
    return *at > start && (text[start] != '0' || *at == start + 1);
}

bool sl_parse_i64(const char *text, size_t bytes, int64_t *out) {
    static const char smallest[] = "-9223372036854775808"; /* its magnitude is no int64 */
    if (bytes == sizeof(smallest) - 1 && memcmp(text, smallest, bytes) == 0) {
        *out = INT64_MIN;
        return true;
    }
    bool negative = bytes > 0 && text[0] == '-';
    size_t at = negative ? 1 : 0;
    int64_t value;
    if (!parse_digits(text, bytes, &at, &value) || at != bytes) {
        return false;
    }
    *out = negative ? -value : value;
    return true;
}

bool sl_parse_size(const char *text, size_t bytes, int64_t *out_bytes) {
    size_t at = 0;
    int64_t value;
    if (!parse_digits(text, bytes, &at, &value)) {
        return false;
    }
    if (at == bytes) {
        *out_bytes = value;
        return true;
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(size_units); i++) {
        const char *name = size_units[i].name;
        if (strlen(name) == bytes - at && memcmp(name, text + at, bytes - at) == 0) {
            return !__builtin_mul_overflow(value, size_units[i].factor, out_bytes);
        }
    }
    return false;
}

bool sl_parse_duration(const char *text, size_t bytes, int64_t *out_us) {
    if (bytes == 1 && text[0] == '0') {
        *out_us = 0;
        return true;
    }
    int64_t total = 0;
    size_t at = 0;
    size_t next_unit = 0; /* units must get smaller */
    while (at < bytes) {
        int64_t value;
        if (!parse_digits(text, bytes, &at, &value)) {
            return false;
        }
        size_t letters = at;
        while (letters < bytes && (text[letters] < '0' || text[letters] > '9')) {
            letters++;
        }
        size_t i = next_unit;
        while (i < SL_ARRAY_LENGTH(duration_units) &&
               (strlen(duration_units[i].name) != letters - at ||
                memcmp(duration_units[i].name, text + at, letters - at) != 0)) {
            i++;
        }
        if (i == SL_ARRAY_LENGTH(duration_units) ||
            __builtin_mul_overflow(value, duration_units[i].factor, &value) ||
            __builtin_add_overflow(total, value, &total)) {
            return false;
        }
        next_unit = i + 1;
        at = letters;
    }
    *out_us = total;
    return bytes > 0;
}

char *sl_format_size(int64_t bytes, char *out) {
    int best = snprintf(out, 32, "%" PRId64, bytes);
    for (size_t i = 1; i < SL_ARRAY_LENGTH(size_units) && bytes != 0; i++) {
        if (bytes % size_units[i].factor == 0) {
            char text[32];
            int length = snprintf(text, sizeof(text), "%" PRId64 "%s", bytes / size_units[i].factor,
                                  size_units[i].name);
            if (length < best) {
                best = length;
                memcpy(out, text, (size_t)length + 1);
            }
        }
    }
    return out;
}

char *sl_format_duration(int64_t us, char *out) {
    if (us == 0) {
        (void)snprintf(out, 32, "0s");
        return out;
    }
    size_t i = 0;
    while (us % duration_units[i].factor != 0) {
        i++;
    }
    (void)snprintf(out, 32, "%" PRId64 "%s", us / duration_units[i].factor, duration_units[i].name);
    return out;
}
