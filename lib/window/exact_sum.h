/*
 * The exact sum of doubles: a superaccumulator after R. Neal, "Fast exact summation using small and
 * large superaccumulators" (2015), with 32-bit digits in 64-bit chunks, of which only the range
 * that the values need is kept. Additions commute and associate, so sums do not depend on order.
 */
#ifndef SL_WINDOW_EXACT_SUM_H
#define SL_WINDOW_EXACT_SUM_H

#include "base/base.h"

__extension__ typedef __float128 sl_quad;

/* Zero-initialise. */
typedef struct exact_sum {
    int64_t *chunks; /* chunk i has the weight 2^(32 * (first + i) - 1074) */
    uint8_t first;
    uint8_t count;
    uint8_t flags; /* NaN and infinities that were added */
    uint8_t reserved;
    uint32_t pending; /* additions since carries were last moved on */
} exact_sum;

bool exact_sum_add(exact_sum *sum, double value);
bool exact_sum_merge(exact_sum *sum, const exact_sum *other);
double exact_sum_value(exact_sum *sum); /* correctly rounded, ties to even */
sl_quad exact_sum_quad(exact_sum *sum); /* 113 bits; NaN or infinite as the sum is */
/* Canonical: equal sums give equal bytes. */
bool exact_sum_write(exact_sum *sum, sl_buffer *out);
/* Adds what was written; false when the bytes are none (*corrupt) or memory is short. */
bool exact_sum_read(exact_sum *sum, const uint8_t **at, const uint8_t *end, bool *corrupt);
void exact_sum_free(exact_sum *sum);

#endif /* SL_WINDOW_EXACT_SUM_H */
