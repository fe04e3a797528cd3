/*
 * The exact sum of doubles; see exact_sum.h. Two's complement in base 2^32, least digit 2^-1074:
 * a chunk holds its digit plus carries that have not been moved on yet.
 */
#include "exact_sum.h"

#include <math.h>
#include <stdlib.h>

#define MAX_CHUNKS 72    /* 2^64 values of 2^1024 need 69 */
#define MAX_PENDING 512u /* pieces are below 2^53: 512 of them and a digit stay below 2^63 */
#define LEAST_EXPONENT 1074

enum { FLAG_NAN = 1, FLAG_PLUS_INFINITY = 2, FLAG_MINUS_INFINITY = 4 };

/* Makes chunks [from, to) exist. */
static bool cover(exact_sum *sum, unsigned from, unsigned to) {
    unsigned old_to = (unsigned)sum->first + sum->count;
    if (sum->count > 0) {
        from = from < sum->first ? from : sum->first;
        to = to > old_to ? to : old_to;
    }
    if (to - from == sum->count) {
        return true;
    }
    if (to > MAX_CHUNKS) {
        return false; /* more than 2^64 values, or bytes that claim such sums */
    }
    int64_t *chunks = calloc(to - from, sizeof(*chunks));
    if (chunks == NULL) {
        return false;
    }
    if (sum->count > 0) {
        memcpy(chunks + (sum->first - from), sum->chunks, sum->count * sizeof(*chunks));
    }
    free(sum->chunks);
    sum->chunks = chunks;
    sum->first = (uint8_t)from;
    sum->count = (uint8_t)(to - from);
    return true;
}

/* Moves carries up until every chunk but the top is a digit in [0, 2^32). */
static void carry_on(exact_sum *sum) {
    for (unsigned i = 0; i + 1 < sum->count; i++) {
        int64_t carry = sum->chunks[i] >> 32;
        sum->chunks[i] &= 0xffffffff;
        sum->chunks[i + 1] += carry;
    }
    sum->pending = 0;
}

/* As carry_on, and the top chunk is small, so that additions have room. */
static bool normalise(exact_sum *sum) {
    carry_on(sum);
    if (sum->count == 0) {
        return true;
    }
    int64_t top = sum->chunks[sum->count - 1];
    if (top >= INT64_C(-0x100000000) && top <= INT64_C(0xffffffff)) {
        return true;
    }
    unsigned end = (unsigned)sum->first + sum->count;
    if (!cover(sum, sum->first, end + 1)) {
        return false;
    }
    carry_on(sum);
    return true;
}

bool exact_sum_add(exact_sum *sum, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    unsigned exponent = (unsigned)(bits >> 52) & 0x7ff;
    uint64_t mantissa = bits & 0xfffffffffffff;
    bool negative = (bits >> 63) != 0;
    if (exponent == 0x7ff) {
        sum->flags |= (uint8_t)(mantissa != 0 ? FLAG_NAN
                                : negative    ? FLAG_MINUS_INFINITY
                                              : FLAG_PLUS_INFINITY);
        return true;
    }
    if (exponent != 0) {
        mantissa |= UINT64_C(1) << 52;
        exponent--; /* now the place of the mantissa's last bit */
    }
    if (mantissa == 0) {
        return true;
    }
    unsigned index = exponent >> 5;
    unsigned shift = exponent & 31;
    if (index < sum->first || index + 2 > (unsigned)sum->first + sum->count) {
        if (!cover(sum, index, index + 2)) {
            return false;
        }
    }
    if (sum->pending >= MAX_PENDING && !normalise(sum)) {
        return false;
    }
    sum->pending++;
    int64_t low = (int64_t)((mantissa << shift) & 0xffffffff);
    int64_t high = (int64_t)(mantissa >> (32 - shift));
    int64_t *chunk = sum->chunks + (index - sum->first);
    chunk[0] += negative ? -low : low;
    chunk[1] += negative ? -high : high;
    return true;
}

bool exact_sum_merge(exact_sum *sum, const exact_sum *other) {
    sum->flags |= other->flags;
    if (other->count == 0) {
        return true;
    }
    unsigned end = (unsigned)other->first + other->count;
    /* the other's carries are moved on in a copy: it may be shared */
    int64_t chunks[MAX_CHUNKS];
    memcpy(chunks, other->chunks, other->count * sizeof(*chunks));
    exact_sum copy = *other;
    copy.chunks = chunks;
    carry_on(&copy);
    if (!cover(sum, other->first, end + 1) || !normalise(sum)) {
        return false;
    }
    int64_t *to = sum->chunks + (other->first - sum->first);
    unsigned last = other->count - 1u;
    for (unsigned i = 0; i < last; i++) {
        to[i] += chunks[i];
    }
    to[last] += chunks[last] & 0xffffffff;
    to[last + 1] += chunks[last] >> 32;
    sum->pending = 2;
    return true;
}

/*
 * The digits of the sum's magnitude, least first, in `digits`; returns their number without leading
 * zeros. *negative is the sign.
 */
static unsigned magnitude(exact_sum *sum, uint32_t digits[MAX_CHUNKS + 2], bool *negative) {
    carry_on(sum);
    unsigned n = sum->count;
    int64_t carry = 0;
    *negative = n > 0 && sum->chunks[n - 1] < 0;
    for (unsigned i = 0; i < n; i++) {
        int64_t chunk = (*negative ? -sum->chunks[i] : sum->chunks[i]) + carry;
        digits[i] = (uint32_t)(chunk & 0xffffffff);
        carry = chunk >> 32;
    }
    digits[n] = (uint32_t)carry;
    digits[n + 1] = 0;
    n++;
    while (n > 0 && digits[n - 1] == 0) {
        n--;
    }
    return n;
}

static bool special(const exact_sum *sum, double *value) {
    if (sum->flags == 0) {
        return false;
    }
    *value = sum->flags == FLAG_PLUS_INFINITY    ? INFINITY
             : sum->flags == FLAG_MINUS_INFINITY ? -INFINITY
                                                 : NAN;
    return true;
}

double exact_sum_value(exact_sum *sum) {
    double value;
    if (special(sum, &value)) {
        return value;
    }
    uint32_t digits[MAX_CHUNKS + 2];
    bool negative;
    unsigned n = magnitude(sum, digits, &negative);
    if (n == 0) {
        return 0.0;
    }
    unsigned top_bits = 32u - (unsigned)__builtin_clz(digits[n - 1]);
    unsigned bits = (n - 1) * 32 + top_bits; /* of the magnitude, above 2^(32 first - 1074) */
    int exponent = (int)sum->first * 32 - LEAST_EXPONENT;
    uint64_t mantissa = 0;
    if (bits <= 53) {
        mantissa = digits[0] | (n > 1 ? (uint64_t)digits[1] << 32 : 0);
    } else {
        unsigned drop = bits - 53; /* low bits that do not fit */
        for (unsigned b = 0; b < 53; b++) {
            unsigned place = drop + b;
            mantissa |= (uint64_t)(digits[place / 32] >> (place % 32) & 1) << b;
        }
        bool half = (digits[(drop - 1) / 32] >> ((drop - 1) % 32) & 1) != 0;
        bool sticky = false;
        for (unsigned place = 0; place + 1 < drop && !sticky; place++) {
            sticky = (digits[place / 32] >> (place % 32) & 1) != 0;
        }
        mantissa += half && (sticky || (mantissa & 1) != 0) ? 1 : 0;
        exponent += (int)drop;
    }
    value = ldexp((double)mantissa, exponent);
    return negative ? -value : value;
}

sl_quad exact_sum_quad(exact_sum *sum) {
    double value;
    if (special(sum, &value)) {
        return (sl_quad)value;
    }
    uint32_t digits[MAX_CHUNKS + 2];
    bool negative;
    unsigned n = magnitude(sum, digits, &negative);
    sl_quad quad = 0;
    for (unsigned i = n; i > 0; i--) {
        quad = quad * (sl_quad)4294967296.0 + (sl_quad)digits[i - 1];
    }
    int exponent = (int)sum->first * 32 - LEAST_EXPONENT;
    for (; exponent >= 32; exponent -= 32) {
        quad *= (sl_quad)4294967296.0;
    }
    for (; exponent <= -32; exponent += 32) {
        quad /= (sl_quad)4294967296.0;
    }
    quad *= (sl_quad)ldexp(1.0, exponent);
    return negative ? -quad : quad;
}

/* flags, negative, index of the least digit, number of digits, digits of the magnitude */
bool exact_sum_write(exact_sum *sum, sl_buffer *out) {
    uint32_t digits[MAX_CHUNKS + 2];
    bool negative;
    unsigned n = magnitude(sum, digits, &negative);
    unsigned least = 0;
    while (least < n && digits[least] == 0) {
        least++;
    }
    uint8_t head[4] = {sum->flags, (uint8_t)negative, (uint8_t)(n == 0 ? 0 : sum->first + least),
                       (uint8_t)(n - least)};
    return sl_buffer_append(out, head, sizeof(head)) &&
           sl_buffer_append(out, digits + least, (n - least) * sizeof(uint32_t));
}

bool exact_sum_read(exact_sum *sum, const uint8_t **at, const uint8_t *end, bool *corrupt) {
    const uint8_t *head = *at;
    *corrupt = end - head < 4 || head[0] > 7 || head[1] > 1 || head[2] + head[3] > MAX_CHUNKS - 3 ||
               end - head - 4 < head[3] * 4;
    if (*corrupt) {
        return false;
    }
    int64_t chunks[MAX_CHUNKS];
    for (unsigned i = 0; i < head[3]; i++) {
        uint32_t digit;
        memcpy(&digit, head + 4 + 4 * (size_t)i, sizeof(digit));
        chunks[i] = head[1] != 0 ? -(int64_t)digit : (int64_t)digit;
    }
    *at = head + 4 + 4 * (size_t)head[3];
    exact_sum other = {chunks, head[2], head[3], head[0], 0, 0};
    return exact_sum_merge(sum, &other);
}

void exact_sum_free(exact_sum *sum) {
    free(sum->chunks);
    sum->chunks = NULL;
    sum->count = 0;
}
