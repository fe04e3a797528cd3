/*
 * The RLE / bit-packing hybrid (apache/parquet-format, Encodings.md, RLE = 3): levels, dictionary
 * indexes, booleans; and the deprecated BIT_PACKED levels (= 4).
 */
#ifndef SL_PARQUET_READER_RLE_H
#define SL_PARQUET_READER_RLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sl_pqr_rle {
    const uint8_t *at; /* next run's header */
    const uint8_t *end;
    unsigned width; /* bits of a value, 0 to 32; 0: every value is 0 and nothing is stored */
    uint32_t run_left;
    uint32_t run_value;
    const uint8_t *packed; /* a bit-packed run's first byte */
    size_t packed_bytes;
    size_t packed_at; /* value within the run */
    size_t packed_left;
    bool most_significant_first; /* BIT_PACKED: one run, bits from the top of each byte */
} sl_pqr_rle;

/* width <= 32 (else false). */
bool sl_pqr_rle_init(sl_pqr_rle *rle, const uint8_t *data, size_t bytes, unsigned width);
/* Deprecated BIT_PACKED levels: n values of `width` <= 8 bits, without a header. */
void sl_pqr_rle_init_packed_levels(sl_pqr_rle *rle, const uint8_t *data, size_t bytes,
                                   unsigned width);

/* PLAIN booleans: a bit each, from the least significant one, without a header. */
void sl_pqr_rle_init_bits(sl_pqr_rle *rle, const uint8_t *data, size_t bytes);

/*
 * Decode up to n values; fewer only when the bytes end or are malformed. Values of sl_pqr_rle_u8
 * must have at most 8 bits.
 */
size_t sl_pqr_rle_u8(sl_pqr_rle *rle, size_t n, uint8_t *out);
size_t sl_pqr_rle_u32(sl_pqr_rle *rle, size_t n, uint32_t *out);

/*
 * n bit-packed values from value index `first` of `data`, as 64-bit numbers; width 0 to 64. All of
 * the values must lie within the `bytes` that may be read.
 */
void sl_pqr_unpack_u64(const uint8_t *data, size_t bytes, size_t first, size_t n, unsigned width,
                       uint64_t *out);

#endif /* SL_PARQUET_READER_RLE_H */
