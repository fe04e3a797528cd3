/*
 * Exact arithmetic on the text of JSON numbers: comparing, multiples, and scaling to integers of
 * 128 bits, without rounding and whatever the number of digits.
 */
#ifndef SLJ_DECIMAL_H
#define SLJ_DECIMAL_H

#include "json/reader.h"

__extension__ typedef __int128 slj_i128;
__extension__ typedef unsigned __int128 slj_u128;

/* The digits between the first and the last that are not 0, in place; a '.' among them is skipped.
 */
typedef struct slj_decimal {
    const uint8_t *first; /* the first digit; NULL when the value is 0 */
    const uint8_t *last;  /* the last digit */
    int64_t first_power;  /* the power of ten of the first digit */
    int64_t last_power;
    bool negative;
} slj_decimal;

/* From the text of a JSON number (already scanned), which must outlive the result. */
slj_decimal slj_decimal_from_text(const uint8_t *text, size_t bytes);

int slj_decimal_compare(const slj_decimal *a, const slj_decimal *b);
bool slj_decimal_is_integer(const slj_decimal *a);
/* The divisor has at most SLJ_DIVISOR_DIGITS digits between its first and last. */
#define SLJ_DIVISOR_DIGITS 36
bool slj_decimal_is_multiple(const slj_decimal *a, const slj_decimal *divisor);

typedef enum slj_scaled_result {
    SLJ_SCALED_OK,
    SLJ_SCALED_FRACTION, /* digits below 10^-scale; *out is rounded towards minus infinity */
    SLJ_SCALED_RANGE,    /* more than 38 digits */
} slj_scaled_result;

/* value * 10^scale. */
slj_scaled_result slj_decimal_scale(const slj_decimal *a, int32_t scale, slj_i128 *out);

#endif /* SLJ_DECIMAL_H */
