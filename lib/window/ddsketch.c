/*
 * DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
 * relative-error guarantees", 2019), relative error 1 %. A value's bucket is ceil(log_gamma x). At
 * most MAX_BUCKETS from the highest down are kept apart; what is below counts for the lowest of
 * them. That depends only on the highest bucket, so merging in any order gives the same sketch.
 *
 * Groups of short windows hold a handful of values each, spread over hundreds of buckets: up to
 * FEW buckets are pairs, which are written, merged and searched as fast as they are short.
 */
#include "sketch.h"
#include "varint.h"
#include "window.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define MAX_BUCKETS 4096
#define GRAIN 32 /* buckets are allocated in such steps */
#define FEW 128u
#define FIRST_FEW 8u
#define BUCKET_LIMIT 40000

static const double gamma_base = (1 + SL_QUANTILE_ERROR) / (1 - SL_QUANTILE_ERROR);
/* 1 / ln(gamma) and ln(gamma) for an error of 1 % */
#define LN_GAMMA 0.0200006667066695238
#define INVERSE_LN_GAMMA (1 / LN_GAMMA)

static int32_t bucket_of(double magnitude) {
    return (int32_t)ceil(log(magnitude) * INVERSE_LN_GAMMA);
}

/* The value that is within 1 % of all values of a bucket. */
static double value_of(int32_t bucket) {
    double value = exp((double)bucket * LN_GAMMA) * (2 / (1 + gamma_base));
    return value > DBL_MAX ? DBL_MAX : value;
}

static int32_t floor_to_grain(int32_t bucket) {
    int32_t rest = bucket % GRAIN;
    return bucket - (rest < 0 ? rest + GRAIN : rest);
}

/* Makes the buckets [from, to] exist; none in use is below `from`. What grows, grows by half of
 * what there was, so that values that spread out bit by bit move the counts a few times only. */
static bool store_cover(dd_store *store, int32_t from, int32_t to) {
    int32_t slack = store->capacity / 2;
    if (store->capacity > 0) {
        if (from >= store->first && to < store->first + store->capacity) {
            return true;
        }
        from -= from < store->first ? slack : 0;
        to += to >= store->first + store->capacity ? slack : 0;
    }
    int32_t first = floor_to_grain(from);
    int32_t capacity = floor_to_grain(to) + GRAIN - first;
    uint64_t *counts = calloc((size_t)capacity, sizeof(*counts));
    if (counts == NULL) {
        return false;
    }
    for (int32_t i = store->lowest; store->counts != NULL && i <= store->highest; i++) {
        counts[i - first] = store->counts[i - store->first];
    }
    free(store->counts);
    store->counts = counts;
    store->first = first;
    store->capacity = capacity;
    return true;
}

/* ---- few buckets ---- */

typedef enum few_result { FEW_ADDED, FEW_FULL, FEW_NO_MEMORY } few_result;

static bool few_reserve(dd_store *store, uint32_t n) {
    uint32_t capacity = store->few_capacity == 0 ? FIRST_FEW : store->few_capacity;
    while (capacity < n) {
        capacity *= 2;
    }
    if (capacity > store->few_capacity) {
        dd_pair *grown = realloc(store->few, capacity * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        store->few = grown;
        store->few_capacity = capacity;
    }
    return true;
}

static few_result few_insert(dd_store *store, uint32_t at, int32_t bucket, uint32_t count) {
    if (store->n_few == FEW) {
        return FEW_FULL;
    }
    if (!few_reserve(store, store->n_few + 1)) {
        return FEW_NO_MEMORY;
    }
    memmove(store->few + at + 1, store->few + at, (store->n_few - at) * sizeof(*store->few));
    store->few[at] = (dd_pair){bucket, count};
    store->n_few++;
    return FEW_ADDED;
}

/* The place of the first pair whose bucket is not below `bucket`. */
static uint32_t few_find(const dd_store *store, int32_t bucket) {
    uint32_t at = 0;
    uint32_t n = store->n_few;
    while (n > 0) {
        uint32_t half = (n + 1) / 2;
        at += store->few[at + half - 1].bucket < bucket ? half : 0;
        n -= half;
    }
    return at;
}

static few_result few_add(dd_store *store, int32_t bucket, uint64_t count) {
    uint32_t n = store->n_few;
    if (n > 0 && (bucket - store->few[0].bucket >= MAX_BUCKETS ||
                  store->few[n - 1].bucket - bucket >= MAX_BUCKETS)) {
        return FEW_FULL; /* what has to be folded is the counts' business */
    }
    uint32_t at = few_find(store, bucket);
    bool known = at < n && store->few[at].bucket == bucket;
    if (count > UINT32_MAX - (known ? store->few[at].count : 0)) {
        return FEW_FULL;
    }
    if (known) {
        store->few[at].count += (uint32_t)count;
        return FEW_ADDED;
    }
    return few_insert(store, at, bucket, (uint32_t)count);
}

/* Adds pairs to pairs in one pass. FEW_FULL: nothing is done, they are too many or too far apart.
 */
static few_result few_merge(dd_store *store, const dd_store *other) {
    dd_pair merged[2 * FEW];
    const dd_pair *a = store->few, *b = other->few;
    const dd_pair *a_end = a + store->n_few, *b_end = b + other->n_few;
    if (b_end[-1].bucket - a->bucket >= MAX_BUCKETS ||
        a_end[-1].bucket - b->bucket >= MAX_BUCKETS) {
        return FEW_FULL;
    }
    uint32_t n = 0;
    while (a < a_end && b < b_end) {
        bool from_a = a->bucket <= b->bucket;
        bool from_b = b->bucket <= a->bucket;
        uint64_t count = (from_a ? a->count : 0) + (uint64_t)(from_b ? b->count : 0);
        if (count > UINT32_MAX) {
            return FEW_FULL;
        }
        merged[n++] = (dd_pair){from_a ? a->bucket : b->bucket, (uint32_t)count};
        a += from_a;
        b += from_b;
    }
    uint32_t rest_a = (uint32_t)(a_end - a), rest_b = (uint32_t)(b_end - b);
    memcpy(merged + n, rest_a > 0 ? a : b, (rest_a + rest_b) * sizeof(*merged));
    n += rest_a + rest_b;
    if (n > FEW) {
        return FEW_FULL;
    }
    if (!few_reserve(store, n)) {
        return FEW_NO_MEMORY;
    }
    memcpy(store->few, merged, n * sizeof(*merged));
    store->n_few = n;
    return FEW_ADDED;
}

/* From pairs to counts. */
static bool few_spread(dd_store *store, int32_t bucket) {
    if (store->n_few == 0) {
        store->lowest = store->highest = bucket;
        return store_cover(store, bucket, bucket);
    }
    int32_t lowest = store->few[0].bucket;
    int32_t highest = store->few[store->n_few - 1].bucket;
    if (!store_cover(store, lowest, highest)) {
        return false;
    }
    for (uint32_t i = 0; i < store->n_few; i++) {
        store->counts[store->few[i].bucket - store->first] = store->few[i].count;
    }
    store->lowest = lowest;
    store->highest = highest;
    free(store->few);
    store->few = NULL;
    store->n_few = store->few_capacity = 0;
    return true;
}

/* ---- all buckets ---- */

static bool counts_add(dd_store *store, int32_t bucket, uint64_t count) {
    if (bucket > store->highest || bucket < store->lowest) {
        int32_t highest = bucket > store->highest ? bucket : store->highest;
        int32_t least = highest - MAX_BUCKETS + 1;
        int32_t lowest = bucket < store->lowest ? bucket : store->lowest;
        lowest = lowest < least ? least : lowest;
        if (lowest > store->lowest) { /* fold what falls below */
            int32_t to = lowest;
            uint64_t folded = 0;
            for (int32_t i = store->lowest; i <= store->highest && i < to; i++) {
                folded += store->counts[i - store->first];
                store->counts[i - store->first] = 0;
            }
            store->lowest = to;
            if (store->highest < to) { /* all of it went below: nothing is left above */
                store->highest = to;
                free(store->counts);
                store->counts = NULL;
                store->capacity = 0;
            }
            if (!store_cover(store, lowest, highest)) {
                return false;
            }
            store->counts[to - store->first] += folded;
        } else if (!store_cover(store, lowest, highest)) {
            return false;
        }
        store->lowest = lowest;
        store->highest = highest;
        bucket = bucket < lowest ? lowest : bucket;
    }
    store->counts[bucket - store->first] += count;
    return true;
}

static bool store_add(dd_store *store, int32_t bucket, uint64_t count) {
    if (store->counts == NULL) {
        few_result result = few_add(store, bucket, count);
        if (result != FEW_FULL) {
            return result == FEW_ADDED;
        }
        if (!few_spread(store, bucket)) {
            return false;
        }
    }
    return counts_add(store, bucket, count);
}

bool dd_sketch_add(dd_sketch *sketch, double value) {
    if (isnan(value)) {
        return true;
    }
    double magnitude = fabs(value);
    bool good = true;
    if (magnitude == 0) {
        sketch->zeros++;
    } else {
        magnitude = magnitude > DBL_MAX ? DBL_MAX : magnitude;
        good =
            store_add(value > 0 ? &sketch->positive : &sketch->negative, bucket_of(magnitude), 1);
    }
    sketch->total++;
    return good;
}

static bool store_merge(dd_store *store, const dd_store *other) {
    if (store->n_few > 0 && other->n_few > 0) {
        few_result result = few_merge(store, other);
        if (result != FEW_FULL) {
            return result == FEW_ADDED;
        }
    }
    bool good = true;
    for (uint32_t i = other->n_few; i > 0 && good; i--) {
        good = store_add(store, other->few[i - 1].bucket, other->few[i - 1].count);
    }
    for (int32_t i = other->highest; other->counts != NULL && i >= other->lowest && good; i--) {
        uint64_t count = other->counts[i - other->first];
        good = count == 0 || store_add(store, i, count);
    }
    return good;
}

bool dd_sketch_merge(dd_sketch *sketch, const dd_sketch *other) {
    sketch->total += other->total;
    sketch->zeros += other->zeros;
    return store_merge(&sketch->positive, &other->positive) &&
           store_merge(&sketch->negative, &other->negative);
}

/* The bucket, from the lowest upwards or from the highest downwards, by which more than `rank` are
 * seen; false when there are not as many. */
static bool store_seek(const dd_store *store, bool upwards, uint64_t rank, uint64_t *seen,
                       int32_t *bucket) {
    for (uint32_t i = 0; i < store->n_few; i++) {
        const dd_pair *pair = &store->few[upwards ? i : store->n_few - 1 - i];
        *seen += pair->count;
        if (*seen > rank) {
            *bucket = pair->bucket;
            return true;
        }
    }
    for (int32_t i = store->lowest; store->counts != NULL && i <= store->highest; i++) {
        int32_t at = upwards ? i : store->lowest + (store->highest - i);
        *seen += store->counts[at - store->first];
        if (*seen > rank) {
            *bucket = at;
            return true;
        }
    }
    return false;
}

double dd_sketch_quantile(const dd_sketch *sketch, double q) {
    double place = q * (double)(sketch->total - 1);
    uint64_t rank = place < 0x1p63 ? (uint64_t)place : sketch->total - 1;
    rank = rank < sketch->total ? rank : sketch->total - 1;
    uint64_t seen = 0;
    int32_t bucket = 0;
    if (store_seek(&sketch->negative, false, rank, &seen, &bucket)) {
        return -value_of(bucket);
    }
    seen += sketch->zeros;
    if (seen > rank || !store_seek(&sketch->positive, true, rank, &seen, &bucket)) {
        return 0.0;
    }
    return value_of(bucket);
}

/* number of buckets that are not empty, then (bucket as a difference, count) from the highest down;
 * the first bucket as a zigzag number */
static bool store_write(const dd_store *store, sl_buffer *out) {
    uint64_t n = store->n_few;
    for (int32_t i = store->lowest; store->counts != NULL && i <= store->highest; i++) {
        n += store->counts[i - store->first] != 0 ? 1 : 0;
    }
    bool good = varint_write(out, n);
    for (uint32_t i = store->n_few; i > 0 && good; i--) {
        const dd_pair *pair = &store->few[i - 1];
        good = varint_write(out, i == store->n_few ? zigzag(pair->bucket)
                                                   : (uint64_t)(pair[1].bucket - pair->bucket)) &&
               varint_write(out, pair->count);
    }
    int32_t last = store->highest;
    for (int32_t i = store->highest; store->counts != NULL && i >= store->lowest && good; i--) {
        uint64_t count = store->counts[i - store->first];
        if (count != 0) {
            good = varint_write(out, i == store->highest ? zigzag(i) : (uint64_t)(last - i)) &&
                   varint_write(out, count);
            last = i;
        }
    }
    return good;
}

static bool store_read(dd_store *store, const uint8_t **at, const uint8_t *end, uint64_t *total,
                       bool *corrupt) {
    uint64_t n;
    *corrupt = true;
    if (!varint_read(at, end, &n)) {
        return false;
    }
    int64_t bucket = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t step;
        uint64_t count;
        if (!varint_read(at, end, &step) || !varint_read(at, end, &count) || count == 0 ||
            (i > 0 && (step == 0 || step >= MAX_BUCKETS))) {
            return false;
        }
        bucket = i == 0 ? unzigzag(step) : bucket - (int64_t)step;
        if (bucket < -BUCKET_LIMIT || bucket > BUCKET_LIMIT) {
            return false;
        }
        if (!store_add(store, (int32_t)bucket, count)) {
            *corrupt = false;
            return false;
        }
        *total += count;
    }
    *corrupt = false;
    return true;
}

bool dd_sketch_write(const dd_sketch *sketch, sl_buffer *out) {
    return varint_write(out, sketch->zeros) && store_write(&sketch->positive, out) &&
           store_write(&sketch->negative, out);
}

bool dd_sketch_read(dd_sketch *sketch, const uint8_t **at, const uint8_t *end, bool *corrupt) {
    uint64_t zeros;
    uint64_t total = 0;
    if (!varint_read(at, end, &zeros)) {
        *corrupt = true;
        return false;
    }
    sketch->zeros += zeros;
    bool good = store_read(&sketch->positive, at, end, &total, corrupt) &&
                store_read(&sketch->negative, at, end, &total, corrupt);
    sketch->total += total + zeros;
    return good;
}

size_t dd_sketch_bytes(const dd_sketch *sketch) {
    const dd_store *a = &sketch->positive;
    const dd_store *b = &sketch->negative;
    return (size_t)(a->capacity + b->capacity) * sizeof(uint64_t) +
           ((size_t)a->few_capacity + b->few_capacity) * sizeof(dd_pair);
}

void dd_sketch_free(dd_sketch *sketch) {
    free(sketch->positive.few);
    free(sketch->negative.few);
    free(sketch->positive.counts);
    free(sketch->negative.counts);
    memset(sketch, 0, sizeof(*sketch));
}
