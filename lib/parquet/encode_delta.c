/*
 * DELTA_BINARY_PACKED: blocks of 128 deltas, each block with its smallest delta and four miniblocks
 * of 32 of a bit width of their own.
 */
#include <string.h>

#include "parquet/encode.h"

#define BLOCK 128
#define MINIBLOCKS 4
#define MINIBLOCK (BLOCK / MINIBLOCKS)
/* A block at its widest: smallest delta, widths, values of 64 bits. */
#define BLOCK_MAX_BYTES (SL_PQW_VARINT_MAX_BYTES + MINIBLOCKS + BLOCK * 8)

static uint64_t zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

/* Writes one block of n (1 to 128) deltas; `deltas` has room for 128 and is used up. */
static uint8_t *put_block(int64_t *deltas, size_t n, uint8_t *out) {
    int64_t smallest = deltas[0];
    for (size_t i = 1; i < n; i++) {
        smallest = deltas[i] < smallest ? deltas[i] : smallest;
    }
    uint64_t relative[BLOCK];
    for (size_t i = 0; i < n; i++) {
        relative[i] = (uint64_t)deltas[i] - (uint64_t)smallest;
    }
    memset(relative + n, 0, (BLOCK - n) * sizeof(*relative));

    out += sl_pqw_varint_encode(zigzag(smallest), out);
    uint8_t *widths = out;
    out += MINIBLOCKS;
    for (size_t m = 0; m < MINIBLOCKS; m++) {
        const uint64_t *values = relative + m * MINIBLOCK;
        uint64_t any = 0;
        for (size_t i = 0; i < MINIBLOCK; i++) {
            any |= values[i];
        }
        /* miniblocks without values have width 0 and no bytes */
        unsigned width = sl_pqw_bit_width(any);
        widths[m] = (uint8_t)width;
        if (m * MINIBLOCK < n) {
            sl_pqw_pack32(values, width, out);
            out += (size_t)4 * width;
        }
    }
    return out;
}

static bool put_header(size_t n, int64_t first, sl_buffer *out) {
    size_t blocks = n / BLOCK + 1;
    size_t bytes;
    if (!sl_mul_size(blocks, BLOCK_MAX_BYTES, &bytes) ||
        !sl_add_size(bytes, (size_t)4 * SL_PQW_VARINT_MAX_BYTES, &bytes) ||
        !sl_buffer_reserve(out, bytes)) {
        return false;
    }
    uint8_t *to = out->data + out->bytes;
    to += sl_pqw_varint_encode(BLOCK, to);
    to += sl_pqw_varint_encode(MINIBLOCKS, to);
    to += sl_pqw_varint_encode(n, to);
    to += sl_pqw_varint_encode(zigzag(first), to);
    out->bytes = (size_t)(to - out->data);
    return true;
}

bool sl_pqw_delta_encode_i64(const int64_t *values, size_t n, sl_buffer *out) {
    if (!put_header(n, n == 0 ? 0 : values[0], out)) {
        return false;
    }
    uint8_t *to = out->data + out->bytes;
    int64_t deltas[BLOCK];
    for (size_t i = 1; i < n; i += BLOCK) {
        size_t part = n - i < BLOCK ? n - i : BLOCK;
        for (size_t k = 0; k < part; k++) {
            deltas[k] = (int64_t)((uint64_t)values[i + k] - (uint64_t)values[i + k - 1]);
        }
        to = put_block(deltas, part, to);
    }
    out->bytes = (size_t)(to - out->data);
    return true;
}

bool sl_pqw_delta_encode_i32(const int32_t *values, size_t n, sl_buffer *out) {
    if (!put_header(n, n == 0 ? 0 : values[0], out)) {
        return false;
    }
    uint8_t *to = out->data + out->bytes;
    int64_t deltas[BLOCK];
    for (size_t i = 1; i < n; i += BLOCK) {
        size_t part = n - i < BLOCK ? n - i : BLOCK;
        for (size_t k = 0; k < part; k++) {
            deltas[k] = (int32_t)((uint32_t)values[i + k] - (uint32_t)values[i + k - 1]);
        }
        to = put_block(deltas, part, to);
    }
    out->bytes = (size_t)(to - out->data);
    return true;
}
