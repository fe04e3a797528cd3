/* Linear probing; taking out shifts the run behind back, so that no marks of the dead remain. */
#include "delta/key_map.h"

#include <stdlib.h>

void delta_key_map_free(key_map *map) {
    free(map->slots);
    map->slots = NULL;
    map->n = 0;
    map->n_slots = 0;
}

static bool is_key(const key_map *map, const key_slot *slot, uint64_t hash, const delta_rows *rows,
                   int64_t row) {
    if (slot->hash != hash) {
        return false;
    }
    delta_rows known = {map->schema, map->batches[slot->place.batch], map->columns, map->n_columns,
                        map->partition};
    return delta_rows_equal(&known, slot->place.row, rows, row);
}

/* The slot of the key, or the free one where it belongs. */
static size_t slot_of(const key_map *map, uint64_t hash, const delta_rows *rows, int64_t row) {
    size_t mask = map->n_slots - 1;
    size_t i = (size_t)hash & mask;
    while (map->slots[i].used && !is_key(map, &map->slots[i], hash, rows, row)) {
        i = (i + 1) & mask;
    }
    return i;
}

key_place *delta_key_map_find(const key_map *map, const delta_rows *rows, int64_t row) {
    if (map->n == 0) {
        return NULL;
    }
    size_t at = slot_of(map, delta_rows_hash(rows, row), rows, row);
    return map->slots[at].used ? &map->slots[at].place : NULL;
}

static bool grow(key_map *map) {
    size_t n_slots = map->n_slots == 0 ? 64 : map->n_slots * 2;
    key_slot *slots = calloc(n_slots, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < map->n_slots; i++) {
        if (map->slots[i].used) {
            size_t at = (size_t)map->slots[i].hash & (n_slots - 1);
            while (slots[at].used) {
                at = (at + 1) & (n_slots - 1);
            }
            slots[at] = map->slots[i];
        }
    }
    free(map->slots);
    map->slots = slots;
    map->n_slots = n_slots;
    return true;
}

bool delta_key_map_put(key_map *map, const delta_rows *rows, int64_t row, key_place place,
                       key_place *old, bool *had) {
    if ((map->n + 1) * 4 > map->n_slots * 3 && !grow(map)) {
        return false;
    }
    uint64_t hash = delta_rows_hash(rows, row);
    key_slot *slot = &map->slots[slot_of(map, hash, rows, row)];
    *had = slot->used;
    *old = slot->place;
    map->n += !slot->used;
    *slot = (key_slot){hash, place, true};
    return true;
}

bool delta_key_map_remove(key_map *map, const delta_rows *rows, int64_t row, key_place *old) {
    if (map->n == 0) {
        return false;
    }
    size_t mask = map->n_slots - 1;
    size_t hole = slot_of(map, delta_rows_hash(rows, row), rows, row);
    if (!map->slots[hole].used) {
        return false;
    }
    *old = map->slots[hole].place;
    for (size_t i = (hole + 1) & mask; map->slots[i].used; i = (i + 1) & mask) {
        size_t home = (size_t)map->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole].used = false;
    map->n--;
    return true;
}
