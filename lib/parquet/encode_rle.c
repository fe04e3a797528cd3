/*
 * The RLE / bit-packing hybrid: levels and dictionary indexes.
 *
 * Runs are looked for at multiples of eight values only, where a bit-packed run may end; that costs
 * at most seven values at the start of a run and makes random values cost one comparison in eight.
 */
#include <string.h>

#include "parquet/encode.h"

#define GROUP 8
/* 63 groups: the header of a bit-packed run is then one byte. */
#define LITERAL_MAX ((size_t)63 * GROUP)
#define RUN_MIN ((size_t)8)

__attribute__((always_inline)) static inline uint32_t value_at(const void *values, size_t wide,
                                                               size_t i) {
    return wide == 1 ? ((const uint8_t *)values)[i] : ((const uint32_t *)values)[i];
}

/* Length of the run of equal values that begins at i. */
__attribute__((always_inline)) static inline size_t run_length(const void *values, size_t wide,
                                                               size_t i, size_t n) {
    uint32_t first = value_at(values, wide, i);
    size_t end = i + 1;
    while (end < n && value_at(values, wide, end) == first) {
        end++;
    }
    return end - i;
}

/* Packs count values (padded with zeros to full groups); room is there. */
__attribute__((always_inline)) static inline uint8_t *put_literals(const void *values, size_t wide,
                                                                   size_t i, size_t count,
                                                                   unsigned width, uint8_t *out) {
    size_t groups = (count + GROUP - 1) / GROUP;
    *out++ = (uint8_t)(groups << 1 | 1);
    uint64_t staged[32];
    for (size_t done = 0; done < count; done += 32) {
        size_t part = count - done < 32 ? count - done : 32;
        for (size_t k = 0; k < part; k++) {
            staged[k] = value_at(values, wide, i + done + k);
        }
        if (part < 32) {
            memset(staged + part, 0, (32 - part) * sizeof(*staged));
        }
        sl_pqw_pack32(staged, width, out + done / GROUP * width);
    }
    return out + groups * width;
}

static uint8_t *put_run(uint32_t value, size_t count, unsigned width, uint8_t *out) {
    out += sl_pqw_varint_encode((uint64_t)count << 1, out);
    for (unsigned bits = 0; bits < width; bits += 8) {
        *out++ = (uint8_t)(value >> bits);
    }
    return out;
}

/* Most bytes that n values can take, with slack for the padding of the last sl_pqw_pack32. */
static bool reserve(sl_buffer *out, size_t n, unsigned width) {
    size_t groups = n / GROUP + 1;
    size_t bytes;
    return sl_mul_size(groups, (size_t)width + SL_PQW_VARINT_MAX_BYTES + sizeof(uint32_t),
                       &bytes) &&
           sl_add_size(bytes, 256, &bytes) && sl_buffer_reserve(out, bytes);
}

__attribute__((always_inline)) static inline bool encode(const void *values, size_t wide, size_t n,
                                                         unsigned width, sl_buffer *out) {
    if (!reserve(out, n, width)) {
        return false;
    }
    uint8_t *to = out->data + out->bytes;
    size_t literals = 0; /* values before i not yet written */
    size_t i = 0;
    while (i < n) {
        size_t run = run_length(values, wide, i, n);
        if (run >= RUN_MIN) {
            if (literals > 0) {
                to = put_literals(values, wide, i - literals, literals, width, to);
                literals = 0;
            }
            to = put_run(value_at(values, wide, i), run, width, to);
            i += run;
            continue;
        }
        size_t group = n - i < GROUP ? n - i : GROUP;
        literals += group;
        i += group;
        if (literals == LITERAL_MAX) {
            to = put_literals(values, wide, i - literals, literals, width, to);
            literals = 0;
        }
    }
    if (literals > 0) {
        to = put_literals(values, wide, n - literals, literals, width, to);
    }
    out->bytes = (size_t)(to - out->data);
    return true;
}

bool sl_pqw_rle_encode_u8(const uint8_t *values, size_t n, unsigned width, sl_buffer *out) {
    return encode(values, 1, n, width, out);
}

bool sl_pqw_rle_encode_u32(const uint32_t *values, size_t n, unsigned width, sl_buffer *out) {
    return encode(values, 4, n, width, out);
}

bool sl_pqw_rle_encode_run(uint32_t value, size_t n, unsigned width, sl_buffer *out) {
    if (!sl_buffer_reserve(out, SL_PQW_VARINT_MAX_BYTES + sizeof(uint32_t))) {
        return false;
    }
    if (n > 0) {
        out->bytes = (size_t)(put_run(value, n, width, out->data + out->bytes) - out->data);
    }
    return true;
}
