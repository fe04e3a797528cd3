/*
 * The two sketches: quantiles (DDSketch) and distinct counts (HyperLogLog, exact while small). The
 * state of both is a function of the multiset of what was added, whatever the order.
 */
#ifndef SL_WINDOW_SKETCH_H
#define SL_WINDOW_SKETCH_H

#include "base/base.h"

/* ---- quantiles (ddsketch.c) ---- */

typedef struct dd_pair {
    int32_t bucket;
    uint32_t count;
} dd_pair;

/* Counts of buckets. While those in use are few, they are pairs by ascending bucket; then counts of
 * the buckets first..first + capacity - 1, where lowest and highest are those in use. */
typedef struct dd_store {
    dd_pair *few; /* NULL: none in use, or `counts` */
    uint64_t *counts;
    uint32_t n_few;
    uint32_t few_capacity;
    int32_t first;
    int32_t capacity;
    int32_t lowest;
    int32_t highest;
} dd_store;

/* Zero-initialise. */
typedef struct dd_sketch {
    uint64_t total;
    uint64_t zeros;
    dd_store positive;
    dd_store negative; /* by magnitude */
} dd_sketch;

bool dd_sketch_add(dd_sketch *sketch, double value);
bool dd_sketch_merge(dd_sketch *sketch, const dd_sketch *other);
double dd_sketch_quantile(const dd_sketch *sketch, double q); /* of at least one value */
bool dd_sketch_write(const dd_sketch *sketch, sl_buffer *out);
bool dd_sketch_read(dd_sketch *sketch, const uint8_t **at, const uint8_t *end, bool *corrupt);
size_t dd_sketch_bytes(const dd_sketch *sketch);
void dd_sketch_free(dd_sketch *sketch);

/* ---- distinct counts (hyperloglog.c) ---- */

/* Zero-initialise. Either the set of hashes (`slots`, 0 is empty) or `registers`. */
typedef struct hll_sketch {
    uint64_t *slots;
    uint8_t *registers;
    uint32_t n_slots; /* a power of two */
    uint32_t used;
    bool has_zero; /* the hash 0 is in the set */
} hll_sketch;

bool hll_sketch_add(hll_sketch *sketch, uint64_t hash);
bool hll_sketch_merge(hll_sketch *sketch, const hll_sketch *other);
int64_t hll_sketch_count(const hll_sketch *sketch);
bool hll_sketch_write(const hll_sketch *sketch, sl_buffer *out);
bool hll_sketch_read(hll_sketch *sketch, const uint8_t **at, const uint8_t *end, bool *corrupt);
size_t hll_sketch_bytes(const hll_sketch *sketch);
void hll_sketch_free(hll_sketch *sketch);

#endif /* SL_WINDOW_SKETCH_H */
