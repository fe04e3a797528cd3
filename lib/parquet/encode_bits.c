/*
 * Bit packing. One copy of the packing loop is compiled for each width up to 32, where all shifts
 * are constants; wider values are rare and share one loop.
 */
#include <string.h>

#include "parquet/encode.h"

__attribute__((always_inline)) static inline void pack32(const uint64_t *values, unsigned width,
                                                         uint8_t *out) {
    uint64_t word = 0;
    unsigned used = 0;
#pragma GCC unroll 32
    for (unsigned i = 0; i < 32; i++) {
        uint64_t value = values[i];
        word |= value << used;
        used += width;
        if (used >= 64) {
            memcpy(out, &word, 8);
            out += 8;
            used -= 64;
            word = used == 0 ? 0 : value >> (width - used);
        }
    }
    if (used != 0) { /* an odd width leaves half a word */
        memcpy(out, &word, 4);
    }
}

#define PACK_CASE(width)                                                                           \
    case width:                                                                                    \
        pack32(values, width, out);                                                                \
        return;
#define PACK_CASES(first)                                                                          \
    PACK_CASE(first) PACK_CASE(first + 1) PACK_CASE(first + 2) PACK_CASE(first + 3)

void sl_pqw_pack32(const uint64_t *values, unsigned width, uint8_t *out) {
    switch (width) {
    case 0:
        return;
        PACK_CASES(1)
        PACK_CASES(5)
        PACK_CASES(9)
        PACK_CASES(13)
        PACK_CASES(17)
        PACK_CASES(21)
        PACK_CASES(25)
        PACK_CASES(29)
    default:
        pack32(values, width, out);
    }
}

void sl_pqw_pack_bools(const uint8_t *values, size_t n, uint8_t *out) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t eight;
        memcpy(&eight, values + i, 8);
        /* gathers the lowest bit of each byte into the top byte, first value lowest */
        out[i / 8] = (uint8_t)((eight * UINT64_C(0x0102040810204080)) >> 56);
    }
    if (i < n) {
        unsigned last = 0;
        for (unsigned k = 0; i + k < n; k++) {
            last |= (unsigned)values[i + k] << k;
        }
        out[i / 8] = (uint8_t)last;
    }
}
