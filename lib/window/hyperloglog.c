/*
 * Distinct counts: the set of 64-bit hashes itself up to SL_DISTINCT_EXACT of them, then a
 * HyperLogLog with 2^14 registers (standard error 1.04 / sqrt(2^14) = 0.81 %), estimated after O.
 * Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), which needs no
 * bias tables. Which of the two it is depends only on the size of the set.
 */
#include "sketch.h"
#include "varint.h"
#include "window.h"

#include <math.h>
#include <stdlib.h>

#define PRECISION 14
#define N_REGISTERS (1u << PRECISION)
#define MAX_RANK (64 - PRECISION + 1)
#define FIRST_SLOTS 8u

static void raise_register(uint8_t *registers, uint64_t hash) {
    uint64_t rest = hash << PRECISION;
    uint8_t rank = rest == 0 ? MAX_RANK : (uint8_t)(__builtin_clzll(rest) + 1);
    uint8_t *at = registers + (hash >> (64 - PRECISION));
    *at = *at < rank ? rank : *at;
}

static uint32_t set_size(const hll_sketch *sketch) {
    return sketch->used + (sketch->has_zero ? 1u : 0u);
}

static bool to_registers(hll_sketch *sketch) {
    uint8_t *registers = calloc(N_REGISTERS, 1);
    if (registers == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < sketch->n_slots; i++) {
        if (sketch->slots[i] != 0) {
            raise_register(registers, sketch->slots[i]);
        }
    }
    if (sketch->has_zero) {
        raise_register(registers, 0);
    }
    free(sketch->slots);
    *sketch = (hll_sketch){.registers = registers};
    return true;
}

static bool insert_slot(uint64_t *slots, uint32_t n_slots, uint64_t hash) {
    uint32_t mask = n_slots - 1;
    uint32_t i = (uint32_t)(hash >> 32) & mask;
    while (slots[i] != 0) {
        if (slots[i] == hash) {
            return false;
        }
        i = (i + 1) & mask;
    }
    slots[i] = hash;
    return true;
}

static bool grow_slots(hll_sketch *sketch) {
    uint32_t n = sketch->n_slots == 0 ? FIRST_SLOTS : sketch->n_slots * 2;
    uint64_t *slots = calloc(n, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < sketch->n_slots; i++) {
        if (sketch->slots[i] != 0) {
            insert_slot(slots, n, sketch->slots[i]);
        }
    }
    free(sketch->slots);
    sketch->slots = slots;
    sketch->n_slots = n;
    return true;
}

bool hll_sketch_add(hll_sketch *sketch, uint64_t hash) {
    if (sketch->registers != NULL) {
        raise_register(sketch->registers, hash);
        return true;
    }
    if (hash == 0) {
        sketch->has_zero = true;
    } else {
        if (sketch->used + sketch->used / 2 >= sketch->n_slots && !grow_slots(sketch)) {
            return false;
        }
        sketch->used += insert_slot(sketch->slots, sketch->n_slots, hash) ? 1u : 0u;
    }
    return set_size(sketch) <= SL_DISTINCT_EXACT || to_registers(sketch);
}

bool hll_sketch_merge(hll_sketch *sketch, const hll_sketch *other) {
    if (other->registers != NULL) {
        if (sketch->registers == NULL && !to_registers(sketch)) {
            return false;
        }
        for (uint32_t i = 0; i < N_REGISTERS; i++) {
            uint8_t theirs = other->registers[i];
            sketch->registers[i] = sketch->registers[i] < theirs ? theirs : sketch->registers[i];
        }
        return true;
    }
    bool good = !other->has_zero || hll_sketch_add(sketch, 0);
    for (uint32_t i = 0; i < other->n_slots && good; i++) {
        good = other->slots[i] == 0 || hll_sketch_add(sketch, other->slots[i]);
    }
    return good;
}

static double sigma(double x) {
    if (x >= 1) {
        return INFINITY;
    }
    double y = 1;
    double z = x;
    double before;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z > before);
    return z;
}

static double tau(double x) {
    if (x <= 0 || x >= 1) {
        return 0;
    }
    double y = 1;
    double z = 1 - x;
    double before;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z < before);
    return z / 3;
}

int64_t hll_sketch_count(const hll_sketch *sketch) {
    if (sketch->registers == NULL) {
        return set_size(sketch);
    }
    uint32_t histogram[MAX_RANK + 1] = {0};
    for (uint32_t i = 0; i < N_REGISTERS; i++) {
        histogram[sketch->registers[i]]++;
    }
    const double m = N_REGISTERS;
    double z = m * tau(1 - histogram[MAX_RANK] / m);
    for (int k = MAX_RANK - 1; k >= 1; k--) {
        z = 0.5 * (z + histogram[k]);
    }
    z += m * sigma(histogram[0] / m);
    return (int64_t)llround(m * m / (2 * 0.69314718055994530942 * z));
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* 1 and the registers, or 0, the number of hashes and the hashes in ascending order */
bool hll_sketch_write(const hll_sketch *sketch, sl_buffer *out) {
    if (sketch->registers != NULL) {
        return sl_buffer_append_byte(out, 1) &&
               sl_buffer_append(out, sketch->registers, N_REGISTERS);
    }
    uint64_t hashes[SL_DISTINCT_EXACT];
    uint32_t n = 0;
    if (sketch->has_zero) {
        hashes[n++] = 0;
    }
    for (uint32_t i = 0; i < sketch->n_slots; i++) {
        if (sketch->slots[i] != 0) {
            hashes[n++] = sketch->slots[i];
        }
    }
    qsort(hashes, n, sizeof(hashes[0]), compare_hashes);
    return sl_buffer_append_byte(out, 0) && varint_write(out, n) &&
           sl_buffer_append(out, hashes, n * sizeof(hashes[0]));
}

bool hll_sketch_read(hll_sketch *sketch, const uint8_t **at, const uint8_t *end, bool *corrupt) {
    *corrupt = true;
    if (*at >= end || **at > 1) {
        return false;
    }
    if (*(*at)++ == 1) {
        if (end - *at < (ptrdiff_t)N_REGISTERS) {
            return false;
        }
        for (uint32_t i = 0; i < N_REGISTERS; i++) {
            if ((*at)[i] > MAX_RANK) {
                return false;
            }
        }
        *corrupt = false;
        hll_sketch other = {.registers = (uint8_t *)(uintptr_t)*at};
        *at += N_REGISTERS;
        return hll_sketch_merge(sketch, &other);
    }
    uint64_t n;
    if (!varint_read(at, end, &n) || n > SL_DISTINCT_EXACT ||
        (size_t)(end - *at) < n * sizeof(uint64_t)) {
        return false;
    }
    *corrupt = false;
    bool good = true;
    for (uint64_t i = 0; i < n && good; i++) {
        uint64_t hash;
        memcpy(&hash, *at, sizeof(hash));
        *at += sizeof(hash);
        good = hll_sketch_add(sketch, hash);
    }
    return good;
}

size_t hll_sketch_bytes(const hll_sketch *sketch) {
    return sketch->n_slots * sizeof(uint64_t) + (sketch->registers != NULL ? N_REGISTERS : 0);
}

void hll_sketch_free(hll_sketch *sketch) {
    free(sketch->slots);
    free(sketch->registers);
    memset(sketch, 0, sizeof(*sketch));
}
