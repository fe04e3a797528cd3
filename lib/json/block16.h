/*
 * Blocks of 16 bytes, for scanning text: a mask has one bit for each byte, the first byte's lowest.
 * With SSE2, with NEON, or in plain C (SLJ_BLOCK_PLAIN, or where neither is there); all answer the
 * same. Bytes are numbered as in memory, so the plain form is for little-endian machines.
 */
#ifndef SLJ_BLOCK16_H
#define SLJ_BLOCK16_H

#include <stdint.h>
#include <string.h>

/*
 *   slj_load16(p)       16 bytes from any place
 *   slj_store16(p, b)
 *   slj_equal16(a, b)   which bytes are equal
 *   slj_special16(b)    which bytes end a run of plain text: quote, backslash, control character,
 * or not ASCII
 *
 * Flipping bit 1 puts the quote (0x22) beside the control characters and moves nothing else there,
 * so that one signed comparison catches all but the backslash.
 */

#if defined(__SSE2__) && !defined(SLJ_BLOCK_PLAIN)
#include <emmintrin.h>

typedef __m128i slj_block16;

static inline slj_block16 slj_load16(const void *p) {
    return _mm_loadu_si128((const __m128i *)p);
}
static inline void slj_store16(void *p, slj_block16 b) {
    _mm_storeu_si128((__m128i *)p, b);
}
static inline unsigned slj_equal16(slj_block16 a, slj_block16 b) {
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(a, b));
}
static inline unsigned slj_special16(slj_block16 b) {
    __m128i hit = _mm_cmplt_epi8(_mm_xor_si128(b, _mm_set1_epi8(2)), _mm_set1_epi8(0x21));
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(b, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(hit);
}

#elif defined(__aarch64__) && !defined(SLJ_BLOCK_PLAIN)
#include <arm_neon.h>

typedef uint8x16_t slj_block16;

static inline slj_block16 slj_load16(const void *p) {
    return vld1q_u8((const uint8_t *)p);
}
static inline void slj_store16(void *p, slj_block16 b) {
    vst1q_u8((uint8_t *)p, b);
}
/* Of bytes that are 0 or 0xFF: there is no instruction for it. */
static inline unsigned slj_mask16(uint8x16_t hit) {
    static const uint8_t BITS[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t bits = vandq_u8(hit, vld1q_u8(BITS));
    return (unsigned)vaddv_u8(vget_low_u8(bits)) | (unsigned)vaddv_u8(vget_high_u8(bits)) << 8;
}
static inline unsigned slj_equal16(slj_block16 a, slj_block16 b) {
    return slj_mask16(vceqq_u8(a, b));
}
static inline unsigned slj_special16(slj_block16 b) {
    int8x16_t flipped = vreinterpretq_s8_u8(veorq_u8(b, vdupq_n_u8(2)));
    uint8x16_t hit = vcltq_s8(flipped, vdupq_n_s8(0x21));
    return slj_mask16(vorrq_u8(hit, vceqq_u8(b, vdupq_n_u8('\\'))));
}

#else

typedef struct slj_block16 {
    uint64_t half[2];
} slj_block16;

#define SLJ_EACH(byte) ((byte)*UINT64_C(0x0101010101010101))

static inline slj_block16 slj_load16(const void *p) {
    slj_block16 b;
    memcpy(b.half, p, sizeof(b.half));
    return b;
}
static inline void slj_store16(void *p, slj_block16 b) {
    memcpy(p, b.half, sizeof(b.half));
}
/* The top bits of 8 bytes, side by side. */
static inline unsigned slj_tops8(uint64_t v) {
    return (unsigned)(((v & SLJ_EACH(0x80)) >> 7) * UINT64_C(0x0102040810204080) >> 56);
}
/* Has the top bit of each byte that is 0. No sum reaches the next byte. */
static inline uint64_t slj_zeros8(uint64_t v) {
    return ~(((v & SLJ_EACH(0x7F)) + SLJ_EACH(0x7F)) | v);
}
static inline uint64_t slj_special8(uint64_t v) {
    uint64_t flipped = v ^ SLJ_EACH(2);
    uint64_t at_least = (flipped & SLJ_EACH(0x7F)) + SLJ_EACH(0x80 - 0x21);
    return flipped | ~at_least | slj_zeros8(v ^ SLJ_EACH((uint64_t)'\\'));
}
static inline unsigned slj_equal16(slj_block16 a, slj_block16 b) {
    return slj_tops8(slj_zeros8(a.half[0] ^ b.half[0])) |
           slj_tops8(slj_zeros8(a.half[1] ^ b.half[1])) << 8;
}
static inline unsigned slj_special16(slj_block16 b) {
    return slj_tops8(slj_special8(b.half[0])) | slj_tops8(slj_special8(b.half[1])) << 8;
}

#endif

#endif /* SLJ_BLOCK16_H */
