/*
 * Parquet's encodings of values (apache/parquet-format, Encodings.md), writing side: bit packing,
 * the RLE / bit-packing hybrid and DELTA_BINARY_PACKED. Pure functions over arrays; each appends to
 * a buffer and answers false when memory is short.
 */
#ifndef SL_PARQUET_ENCODE_H
#define SL_PARQUET_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define SL_PQW_VARINT_MAX_BYTES 10

/* Unsigned LEB128 into `out` (SL_PQW_VARINT_MAX_BYTES of room); returns its length. */
static inline size_t sl_pqw_varint_encode(uint64_t value, uint8_t *out) {
    size_t n = 0;
    while (value >= 0x80) {
        out[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (uint8_t)value;
    return n;
}

/* Bits that hold every number up to `largest`. */
static inline unsigned sl_pqw_bit_width(uint64_t largest) {
    return largest == 0 ? 0 : 64u - (unsigned)__builtin_clzll(largest);
}

/* Packs 32 values of `width` bits (0 to 64), lowest bits first, into 4 * width bytes. Bits above
 * the width must be 0. */
void sl_pqw_pack32(const uint64_t *values, unsigned width, uint8_t *out);

/* Packs n booleans (bytes 0 or 1) into (n + 7) / 8 bytes. */
void sl_pqw_pack_bools(const uint8_t *values, size_t n, uint8_t *out);

/*
 * RLE / bit-packing hybrid without any length before it. Values are below 2^width, width 0 to 32.
 * Bit-packed runs are at most 504 values long, so that their header is one byte, as parquet-mr
 * writes them.
 */
bool sl_pqw_rle_encode_u8(const uint8_t *values, size_t n, unsigned width, sl_buffer *out);
bool sl_pqw_rle_encode_u32(const uint32_t *values, size_t n, unsigned width, sl_buffer *out);
/* The same for n equal values: one run. */
bool sl_pqw_rle_encode_run(uint32_t value, size_t n, unsigned width, sl_buffer *out);

/* DELTA_BINARY_PACKED, blocks of 128 in 4 miniblocks. INT32 columns need the 32-bit one: its deltas
 * wrap at 32 bits. */
bool sl_pqw_delta_encode_i32(const int32_t *values, size_t n, sl_buffer *out);
bool sl_pqw_delta_encode_i64(const int64_t *values, size_t n, sl_buffer *out);

#endif /* SL_PARQUET_ENCODE_H */
