/*
 * DELTA_BINARY_PACKED decoder: blocks of miniblocks, each of its own bit width. Sums wrap as the
 * format says.
 */
#include "parquet/reader_delta.h"

#include <string.h>

#include "parquet/reader_rle.h"

/* Writers use blocks of 128 to a few thousand values; this bounds what a header may ask for. */
#define MAX_MINIBLOCK_VALUES (1u << 24)
#define UNPACK_VALUES 128

static bool read_varint(sl_pqr_delta *delta, uint64_t *out) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && delta->at < delta->end; shift += 7) {
        uint8_t byte = *delta->at++;
        if (shift == 63 && byte > 1) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool read_zigzag(sl_pqr_delta *delta, uint64_t *out) {
    uint64_t value;
    if (!read_varint(delta, &value)) {
        return false;
    }
    *out = (value >> 1) ^ (0 - (value & 1));
    return true;
}

bool sl_pqr_delta_init(sl_pqr_delta *delta, const uint8_t *data, size_t bytes) {
    memset(delta, 0, sizeof(*delta));
    delta->at = data;
    delta->end = data + bytes;
    uint64_t block_values;
    uint64_t minis;
    if (!read_varint(delta, &block_values) || !read_varint(delta, &minis) ||
        !read_varint(delta, &delta->left) || !read_zigzag(delta, &delta->value)) {
        return false;
    }
    if (minis == 0 || block_values == 0 || block_values % minis != 0 ||
        (block_values / minis) % 8 != 0 || block_values / minis > MAX_MINIBLOCK_VALUES ||
        minis > UINT32_MAX) {
        return false;
    }
    delta->minis = (uint32_t)minis;
    delta->mini_values = (uint32_t)(block_values / minis);
    delta->first = true;
    return true;
}

/* Begins the next miniblock, and the next block when this one has none left. */
static bool next_mini(sl_pqr_delta *delta) {
    if (delta->minis_left == 0) {
        if (!read_zigzag(delta, &delta->min_delta) ||
            (size_t)(delta->end - delta->at) < delta->minis) {
            return false;
        }
        delta->widths = delta->at;
        delta->at += delta->minis;
        delta->minis_left = delta->minis;
    }
    delta->width = *delta->widths++;
    delta->minis_left--;
    size_t bytes = (size_t)delta->mini_values / 8 * delta->width;
    if (delta->width > 64 || bytes > (size_t)(delta->end - delta->at)) {
        return false;
    }
    delta->mini = delta->at;
    delta->at += bytes;
    delta->mini_at = 0;
    delta->mini_left = delta->mini_values;
    return true;
}

size_t sl_pqr_delta_read(sl_pqr_delta *delta, size_t n, int64_t *out) {
    size_t done = 0;
    n = n < delta->left ? n : (size_t)delta->left;
    if (delta->first && n > 0) {
        out[done++] = (int64_t)delta->value;
        delta->first = false;
        delta->left--;
    }
    while (done < n) {
        if (delta->mini_left == 0 && !next_mini(delta)) {
            break;
        }
        uint64_t packed[UNPACK_VALUES];
        size_t take = n - done < delta->mini_left ? n - done : delta->mini_left;
        take = take < UNPACK_VALUES ? take : UNPACK_VALUES;
        sl_pqr_unpack_u64(delta->mini, (size_t)(delta->end - delta->mini), delta->mini_at, take,
                          delta->width, packed);
        uint64_t value = delta->value;
        for (size_t i = 0; i < take; i++) {
            value += packed[i] + delta->min_delta;
            out[done + i] = (int64_t)value;
        }
        delta->value = value;
        delta->mini_at += (uint32_t)take;
        delta->mini_left -= (uint32_t)take;
        delta->left -= take;
        done += take;
    }
    return done;
}

const uint8_t *sl_pqr_delta_end(const sl_pqr_delta *delta) {
    sl_pqr_delta walker = *delta;
    uint64_t left = walker.left - (walker.first && walker.left > 0 ? 1 : 0);
    while (left > 0) {
        if (walker.mini_left == 0 && !next_mini(&walker)) {
            return NULL;
        }
        left -= left < walker.mini_left ? left : walker.mini_left;
        walker.mini_left = 0;
    }
    return walker.at;
}
