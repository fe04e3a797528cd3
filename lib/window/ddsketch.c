/*
 * DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
 * relative-error guarantees", 2019), relative error 1 %. A value's bucket is ceil(log_gamma x). At
 * most MAX_BUCKETS from the highest down are kept apart; what is below counts for the lowest of
 * them. That depends only on the highest bucket, so merging in any order gives the same sketch.
 */
#include "sketch.h"
#include "varint.h"
#include "window.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define MAX_BUCKETS 4096
#define GRAIN 32 /* buckets are allocated in such steps */
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

/* Makes the buckets [from, to] exist; none in use is below `from`. */
static bool store_cover(dd_store *store, int32_t from, int32_t to) {
    if (store->capacity > 0 && from >= store->first && to < store->first + store->capacity) {
        return true;
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

static bool store_add(dd_store *store, int32_t bucket, uint64_t count) {
    if (store->counts == NULL) {
        if (!store_cover(store, bucket, bucket)) {
            return false;
        }
        store->lowest = bucket;
        store->highest = bucket;
    }
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
    bool good = true;
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

double dd_sketch_quantile(const dd_sketch *sketch, double q) {
    double place = q * (double)(sketch->total - 1);
    uint64_t rank = place < 0x1p63 ? (uint64_t)place : sketch->total - 1;
    uint64_t seen = 0;
    const dd_store *negative = &sketch->negative;
    for (int32_t i = negative->highest; negative->counts != NULL && i >= negative->lowest; i--) {
        seen += negative->counts[i - negative->first];
        if (seen > rank) {
            return -value_of(i);
        }
    }
    seen += sketch->zeros;
    if (seen > rank) {
        return 0.0;
    }
    const dd_store *positive = &sketch->positive;
    for (int32_t i = positive->lowest; positive->counts != NULL && i < positive->highest; i++) {
        seen += positive->counts[i - positive->first];
        if (seen > rank) {
            return value_of(i);
        }
    }
    return value_of(positive->highest);
}

/* number of buckets that are not empty, then (bucket as a difference, count) from the highest down;
 * the first bucket as a zigzag number */
static bool store_write(const dd_store *store, sl_buffer *out) {
    uint64_t n = 0;
    for (int32_t i = store->lowest; store->counts != NULL && i <= store->highest; i++) {
        n += store->counts[i - store->first] != 0 ? 1 : 0;
    }
    bool good = varint_write(out, n);
    int32_t last = store->highest;
    for (int32_t i = store->highest; n > 0 && i >= store->lowest; i--) {
        uint64_t count = store->counts[i - store->first];
        if (count != 0) {
            good = good &&
                   varint_write(out, i == store->highest ? zigzag(i) : (uint64_t)(last - i)) &&
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
    return (size_t)(sketch->positive.capacity + sketch->negative.capacity) * sizeof(uint64_t);
}

void dd_sketch_free(dd_sketch *sketch) {
    free(sketch->positive.counts);
    free(sketch->negative.counts);
    memset(sketch, 0, sizeof(*sketch));
}
