/*
 * The lexical layer: strings, numbers and white space of RFC 8259, strictly. Shared by the decoder
 * to columns, which calls the inline parts, and by the parser of documents.
 *
 * The text is always a private copy: text[bytes] and the SLJ_PADDING - 1 bytes behind it are 0.
 * The 0 ends every scan, so no scan checks for the end; whether a 0 is the end is asked only after
 * something went wrong. Loads of 16 bytes from any place within the text are in bounds.
 */
#ifndef SLJ_READER_H
#define SLJ_READER_H

#include <string.h>

#include "json/block16.h"
#include "json/json.h"

#define SLJ_PADDING 64
#define slj_likely(x) __builtin_expect(!!(x), 1)
#define slj_unlikely(x) __builtin_expect(!!(x), 0)
/* Where a call would cost as much as what it does. */
#define SLJ_INLINE static inline __attribute__((always_inline))

/* A key of an object that is being read, for finding duplicates: a place in the text, or in
 * key_text when the key had escapes. */
typedef struct slj_key {
    uint32_t at;
    uint32_t bytes;
    bool unescaped;
} slj_key;

typedef struct slj_reader {
    const uint8_t *start;
    const uint8_t *end; /* where the text's closing 0 stands */
    uint32_t max_depth;
    bool reject_duplicates;
    bool no_memory;
    sl_json_reason reason; /* of the last failure */
    const uint8_t *error_at;
    uint8_t *text; /* the private copy */
    size_t text_capacity_bytes;
    slj_key *keys;
    size_t n_keys;
    size_t keys_capacity;
    sl_buffer key_text;
} slj_reader;

/* Copies the text in; false when memory is short. */
bool slj_reader_begin(slj_reader *reader, const void *text, size_t bytes);
void slj_reader_free(slj_reader *reader);

/* Notes a failure at `at` (TRUNCATED instead of `reason` when the text ends there); returns NULL.
 */
const uint8_t *slj_fail(slj_reader *reader, sl_json_reason reason, const uint8_t *at);

/* Reads over one value of any kind, checking all of it; returns the place behind it or NULL.
 * `depth` is the number of arrays and objects around it. */
const uint8_t *slj_skip_value(slj_reader *reader, const uint8_t *p, uint32_t depth);

#define SLJ_STRING_ESCAPES 1u
#define SLJ_STRING_NON_ASCII 2u
/* `p` stands behind the opening quote; returns the place of the closing one or NULL. */
const uint8_t *slj_scan_string(slj_reader *reader, const uint8_t *p, unsigned *flags);

/* Replaces the escapes of a scanned string; `out` has room for `bytes` and may be `raw`. Returns
 * the length. */
size_t slj_unescape(const uint8_t *raw, size_t bytes, uint8_t *out);

/* Code points of valid UTF-8. */
size_t slj_code_points(const uint8_t *text, size_t bytes);

/* Length of the UTF-8 sequence at p (1 to 4), 0 when malformed. Bytes up to p + 3 are readable. */
unsigned slj_utf8_sequence(const uint8_t *p);

/* Remembers a key of the object that began at mark n_keys; false when memory is short. */
bool slj_push_key(slj_reader *reader, const uint8_t *raw, size_t bytes, unsigned flags);
/* Drops the keys from `mark` on; NULL (with reason) when two of them were equal and duplicates are
 * rejected, else `p`. */
const uint8_t *slj_pop_keys(slj_reader *reader, size_t mark, const uint8_t *p);

static inline const uint8_t *slj_skip_space(const uint8_t *p) {
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
        p++;
    }
    return p;
}

static inline uint64_t slj_load8(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* ---- numbers ---- */

/* A scanned number: (-1)^negative * mantissa * 10^exponent, exactly, unless `inexact` (more than
 * 19 digits), when only the text tells. */
typedef struct slj_number {
    uint64_t mantissa;
    const uint8_t *text;
    uint32_t bytes;
    int32_t exponent;
    bool negative;
    bool inexact;
} slj_number;

typedef enum slj_integer_result {
    SLJ_INTEGER_OK,
    SLJ_INTEGER_FRACTION, /* has a fractional part */
    SLJ_INTEGER_RANGE,    /* outside int64 */
} slj_integer_result;

/* The value as int64: 1.0 and 1e2 are integers, as JSON Schema says. */
slj_integer_result slj_number_to_i64(const slj_number *number, int64_t *out);
/* Correctly rounded; false when beyond the range of double. */
bool slj_number_to_double_slow(const slj_number *number, double *out);

extern const double slj_powers_of_ten[23];

static inline bool slj_number_to_double(const slj_number *number, double *out) {
    if (slj_likely(!number->inexact && number->mantissa <= (UINT64_C(1) << 53) &&
                   number->exponent >= -22 && number->exponent <= 22)) {
        /* Clinger: both operands are exact, so one rounding happens. */
        double value = (double)number->mantissa;
        value = number->exponent < 0 ? value / slj_powers_of_ten[-number->exponent]
                                     : value * slj_powers_of_ten[number->exponent];
        *out = number->negative ? -value : value;
        return true;
    }
    return slj_number_to_double_slow(number, out);
}

/* The digits at p, at most 8: their count, and their value in *value. */
static inline unsigned slj_digits8(const uint8_t *p, uint32_t *value) {
    uint64_t digits = slj_load8(p) ^ UINT64_C(0x3030303030303030);
    uint64_t other =
        ((digits + UINT64_C(0x7676767676767676)) | digits) & UINT64_C(0x8080808080808080);
    unsigned n = other == 0 ? 8 : (unsigned)__builtin_ctzll(other) >> 3;
    if (n == 0) {
        return 0;
    }
    digits <<= 64 - 8 * n; /* leading zeros in front of the n digits */
    digits = digits * 10 + (digits >> 8);
    *value = (uint32_t)((((digits & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064)) +
                         (((digits >> 16) & UINT64_C(0x000000FF000000FF)) *
                          UINT64_C(0x0000271000000001))) >>
                        32);
    return n;
}

/* The part of a number behind its first 8 digits, and its exponent: out of the way of the common
 * case. Both return the place behind, NULL when malformed. */
const uint8_t *slj_scan_long_digits(const uint8_t *p, unsigned digits, slj_number *out,
                                    unsigned *total);
const uint8_t *slj_scan_exponent(const uint8_t *p, slj_number *out);

/* 10^n for n < 8 */
extern const uint32_t slj_small_powers[9];

/* Scans a number at p ('-' or a digit); the place behind it, NULL when it is none. */
static inline const uint8_t *slj_scan_number(const uint8_t *p, slj_number *out) {
    out->text = p;
    out->negative = *p == '-';
    out->inexact = false;
    out->exponent = 0;
    p += out->negative;
    uint32_t part = 0;
    unsigned digits = slj_digits8(p, &part);
    if (slj_unlikely(digits == 0 || (*p == '0' && digits > 1))) {
        return NULL;
    }
    out->mantissa = part;
    p += digits;
    if (slj_unlikely(digits == 8)) {
        p = slj_scan_long_digits(p, digits, out, &digits);
    }
    if (*p == '.') {
        unsigned fraction = slj_digits8(p + 1, &part);
        if (slj_unlikely(fraction == 0)) {
            return NULL;
        }
        if (slj_likely(digits + fraction <= 19 && fraction < 8)) {
            out->mantissa = out->mantissa * slj_small_powers[fraction] + part;
            p += 1 + fraction;
        } else {
            unsigned before = digits;
            p = slj_scan_long_digits(p + 1, digits, out, &digits);
            fraction = digits - before;
        }
        out->exponent = -(int32_t)fraction;
    }
    if (slj_unlikely((*p | 0x20) == 'e')) {
        p = slj_scan_exponent(p, out);
        if (p == NULL) {
            return NULL;
        }
    }
    out->bytes = (uint32_t)(p - out->text);
    return p;
}

#endif /* SLJ_READER_H */
