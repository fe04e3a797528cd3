/*
 * RLE / bit-packing hybrid decoder. Bit-packed groups of eight values are unpacked by code
 * specialised for each width; what stands within eight bytes of the end, where whole words cannot
 * be loaded, value by value.
 */
#include "parquet/reader_rle.h"

#include <string.h>

bool sl_pqr_rle_init(sl_pqr_rle *rle, const uint8_t *data, size_t bytes, unsigned width) {
    memset(rle, 0, sizeof(*rle));
    rle->at = data;
    rle->end = data + bytes;
    rle->width = width;
    return width <= 32;
}

void sl_pqr_rle_init_packed_levels(sl_pqr_rle *rle, const uint8_t *data, size_t bytes,
                                   unsigned width) {
    sl_pqr_rle_init(rle, data + bytes, 0, width);
    rle->packed = data;
    rle->packed_bytes = bytes;
    rle->packed_left = bytes * 8 / (width == 0 ? 1 : width);
    rle->most_significant_first = true;
}

void sl_pqr_rle_init_bits(sl_pqr_rle *rle, const uint8_t *data, size_t bytes) {
    sl_pqr_rle_init(rle, data + bytes, 0, 1);
    rle->packed = data;
    rle->packed_bytes = bytes;
    rle->packed_left = bytes * 8;
}

/* One value at a bit position, without reading past `bytes`. */
static uint64_t unpack_one(const uint8_t *data, size_t bytes, uint64_t bit, unsigned width) {
    size_t byte = (size_t)(bit >> 3);
    unsigned shift = (unsigned)(bit & 7);
    uint8_t window[16] = {0};
    size_t left = bytes - byte;
    memcpy(window, data + byte, left < 9 ? left : 9);
    uint64_t low;
    memcpy(&low, window, 8);
    uint64_t value = low >> shift;
    if (shift + width > 64) {
        value |= (uint64_t)window[8] << (64 - shift);
    }
    return width >= 64 ? value : value & ((UINT64_C(1) << width) - 1);
}

void sl_pqr_unpack_u64(const uint8_t *data, size_t bytes, size_t first, size_t n, unsigned width,
                       uint64_t *out) {
    uint64_t bit = (uint64_t)first * width;
    if (width == 0) {
        memset(out, 0, n * sizeof(*out));
        return;
    }
    uint64_t mask = width >= 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    size_t i = 0;
    for (; i < n && (bit >> 3) + 16 <= bytes; i++, bit += width) {
        const uint8_t *at = data + (bit >> 3);
        unsigned shift = (unsigned)(bit & 7);
        uint64_t low;
        memcpy(&low, at, 8);
        uint64_t value = low >> shift;
        if (shift + width > 64) {
            value |= (uint64_t)at[8] << (64 - shift);
        }
        out[i] = value & mask;
    }
    for (; i < n; i++, bit += width) {
        out[i] = unpack_one(data, bytes, bit, width);
    }
}

/* ---- groups of eight ---- */

static inline __attribute__((always_inline)) uint32_t
value_of_group(const uint8_t *group, unsigned index, unsigned width) {
    uint64_t word;
    memcpy(&word, group + (index * width >> 3), 8);
    return (uint32_t)(word >> (index * width & 7)) & (uint32_t)((UINT64_C(1) << width) - 1);
}

#define UNPACK_GROUPS(name, out_type)                                                              \
    static inline __attribute__((always_inline)) void name(const uint8_t *data, size_t groups,     \
                                                           unsigned width, out_type *out) {        \
        for (size_t g = 0; g < groups; g++, data += width, out += 8) {                             \
            for (unsigned k = 0; k < 8; k++) {                                                     \
                out[k] = (out_type)value_of_group(data, k, width);                                 \
            }                                                                                      \
        }                                                                                          \
    }
UNPACK_GROUPS(unpack_groups_u8, uint8_t)
UNPACK_GROUPS(unpack_groups_u32, uint32_t)

/* Eight bits become eight bytes: each byte of the product keeps its own bit. */
static void unpack_bits(const uint8_t *data, size_t groups, uint8_t *out) {
    for (size_t g = 0; g < groups; g++, out += 8) {
        uint64_t bits = (data[g] * UINT64_C(0x0101010101010101)) & UINT64_C(0x8040201008040201);
        uint64_t bytes =
            ((bits + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7) & UINT64_C(0x0101010101010101);
        memcpy(out, &bytes, 8);
    }
}

static void unpack_u8(const uint8_t *data, size_t groups, unsigned width, uint8_t *out) {
    switch (width) {
    case 1:
        unpack_bits(data, groups, out);
        break;
    case 2:
        unpack_groups_u8(data, groups, 2, out);
        break;
    case 3:
        unpack_groups_u8(data, groups, 3, out);
        break;
    case 4:
        unpack_groups_u8(data, groups, 4, out);
        break;
    default:
        unpack_groups_u8(data, groups, width, out);
        break;
    }
}

#define UNPACK_CASE(width)                                                                         \
    case width:                                                                                    \
        unpack_groups_u32(data, groups, width, out);                                               \
        break;

static void unpack_u32(const uint8_t *data, size_t groups, unsigned width, uint32_t *out) {
    switch (width) {
        UNPACK_CASE(1)
        UNPACK_CASE(2)
        UNPACK_CASE(3)
        UNPACK_CASE(4)
        UNPACK_CASE(5)
        UNPACK_CASE(6)
        UNPACK_CASE(7)
        UNPACK_CASE(8)
        UNPACK_CASE(9)
        UNPACK_CASE(10)
        UNPACK_CASE(11)
        UNPACK_CASE(12)
        UNPACK_CASE(13)
        UNPACK_CASE(14)
        UNPACK_CASE(15)
        UNPACK_CASE(16)
        UNPACK_CASE(17)
        UNPACK_CASE(18)
        UNPACK_CASE(19)
        UNPACK_CASE(20)
    default:
        unpack_groups_u32(data, groups, width, out);
        break;
    }
}

/* How many whole groups of eight can be unpacked from value `first` on with 8-byte loads. */
static size_t whole_groups(const sl_pqr_rle *rle, size_t n) {
    size_t at = rle->packed_at / 8 * rle->width;
    size_t left = (size_t)(rle->end - (rle->packed + at)); /* later runs may be loaded with it */
    if (rle->packed_at % 8 != 0 || left < rle->width + 8u) {
        return 0;
    }
    size_t safe = (left - 8) / rle->width;
    return n / 8 < safe ? n / 8 : safe;
}

/* BIT_PACKED counts bits from the most significant one. */
static uint32_t value_from_top(const sl_pqr_rle *rle) {
    uint32_t value = 0;
    size_t bit = rle->packed_at * rle->width;
    for (unsigned i = 0; i < rle->width; i++, bit++) {
        value = value << 1 | ((uint32_t)rle->packed[bit >> 3] >> (7 - (bit & 7)) & 1u);
    }
    return value;
}

static uint32_t next_packed(sl_pqr_rle *rle) {
    uint32_t value = rle->most_significant_first
                         ? value_from_top(rle)
                         : (uint32_t)unpack_one(rle->packed, rle->packed_bytes,
                                                (uint64_t)rle->packed_at * rle->width, rle->width);
    rle->packed_at++;
    rle->packed_left--;
    return value;
}

/* ---- runs ---- */

static bool read_header(sl_pqr_rle *rle, uint32_t *header) {
    *header = 0;
    for (unsigned shift = 0; shift < 35 && rle->at < rle->end; shift += 7) {
        uint8_t byte = *rle->at++;
        if (shift == 28 && byte > 0x0f) {
            return false;
        }
        *header |= (uint32_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

static bool start_packed_run(sl_pqr_rle *rle, uint32_t groups) {
    uint64_t bytes = (uint64_t)groups * rle->width;
    size_t left = (size_t)(rle->end - rle->at);
    /* a writer may leave out the padding of its last group */
    rle->packed_bytes = bytes < left ? (size_t)bytes : left;
    rle->packed = rle->at;
    rle->packed_at = 0;
    uint64_t values = (uint64_t)rle->packed_bytes * 8 / rle->width;
    rle->packed_left = (size_t)(values < (uint64_t)groups * 8 ? values : (uint64_t)groups * 8);
    rle->at += rle->packed_bytes;
    return rle->packed_left > 0;
}

static bool start_repeated_run(sl_pqr_rle *rle, uint32_t count) {
    size_t bytes = (rle->width + 7) / 8;
    uint32_t value = 0;
    if ((size_t)(rle->end - rle->at) < bytes) {
        return false;
    }
    memcpy(&value, rle->at, bytes);
    rle->at += bytes;
    if (rle->width < 32 && value >> rle->width != 0) {
        return false;
    }
    rle->run_left = count;
    rle->run_value = value;
    return true;
}

/* Begins the next run that has values; false at the end of the bytes or when they are malformed. */
static bool next_run(sl_pqr_rle *rle) {
    while (rle->run_left == 0 && rle->packed_left == 0) {
        uint32_t header;
        if (!read_header(rle, &header)) {
            return false;
        }
        uint32_t count = header >> 1;
        if (count != 0 &&
            !((header & 1) != 0 ? start_packed_run(rle, count) : start_repeated_run(rle, count))) {
            return false;
        }
    }
    return true;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t sl_pqr_rle_u8(sl_pqr_rle *rle, size_t n, uint8_t *out) {
    if (rle->width == 0) {
        memset(out, 0, n);
        return n;
    }
    size_t done = 0;
    while (done < n && next_run(rle)) {
        if (rle->run_left > 0) {
            size_t take = smaller(n - done, rle->run_left);
            memset(out + done, (int)rle->run_value, take);
            rle->run_left -= (uint32_t)take;
            done += take;
            continue;
        }
        size_t take = smaller(n - done, rle->packed_left);
        size_t groups = rle->most_significant_first ? 0 : whole_groups(rle, take);
        unpack_u8(rle->packed + rle->packed_at / 8 * rle->width, groups, rle->width, out + done);
        rle->packed_at += groups * 8;
        rle->packed_left -= groups * 8;
        for (size_t i = groups * 8; i < take; i++) {
            out[done + i] = (uint8_t)next_packed(rle);
            if (rle->packed_at % 8 == 0 && whole_groups(rle, take - i - 1) > 0) {
                take = i + 1; /* aligned again: on with whole groups */
            }
        }
        done += take;
    }
    return done;
}

size_t sl_pqr_rle_u32(sl_pqr_rle *rle, size_t n, uint32_t *out) {
    if (rle->width == 0) {
        memset(out, 0, n * sizeof(*out));
        return n;
    }
    size_t done = 0;
    while (done < n && next_run(rle)) {
        if (rle->run_left > 0) {
            size_t take = smaller(n - done, rle->run_left);
            for (size_t i = 0; i < take; i++) {
                out[done + i] = rle->run_value;
            }
            rle->run_left -= (uint32_t)take;
            done += take;
            continue;
        }
        size_t take = smaller(n - done, rle->packed_left);
        size_t groups = whole_groups(rle, take);
        unpack_u32(rle->packed + rle->packed_at / 8 * rle->width, groups, rle->width, out + done);
        rle->packed_at += groups * 8;
        rle->packed_left -= groups * 8;
        for (size_t i = groups * 8; i < take; i++) {
            out[done + i] = next_packed(rle);
            if (rle->packed_at % 8 == 0 && whole_groups(rle, take - i - 1) > 0) {
                take = i + 1;
            }
        }
        done += take;
    }
    return done;
}
