/*
 * DELTA_BINARY_PACKED (apache/parquet-format, Encodings.md, = 5): integers, and the lengths of the
 * delta string encodings.
 */
#ifndef SL_PARQUET_READER_DELTA_H
#define SL_PARQUET_READER_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sl_pqr_delta {
    const uint8_t *at; /* next block */
    const uint8_t *end;
    uint64_t left; /* values not yet given */
    bool first;    /* the first value stands in the header and has not been given */
    uint64_t value;
    uint64_t min_delta;
    uint32_t mini_values; /* of a miniblock */
    uint32_t minis;       /* of a block */
    uint32_t minis_left;  /* of this block */
    const uint8_t *widths;
    const uint8_t *mini;
    uint32_t mini_at;
    uint32_t mini_left;
    unsigned width;
} sl_pqr_delta;

/* Reads the header; false when it is malformed. delta->left then is the number of values. */
bool sl_pqr_delta_init(sl_pqr_delta *delta, const uint8_t *data, size_t bytes);
/* Decodes up to n values (INT32: the low 32 bits); fewer only at the end or when malformed. */
size_t sl_pqr_delta_read(sl_pqr_delta *delta, size_t n, int64_t *out);
/* Where the values end: the byte after the last miniblock; NULL when malformed. Leaves `delta`. */
const uint8_t *sl_pqr_delta_end(const sl_pqr_delta *delta);

#endif /* SL_PARQUET_READER_DELTA_H */
