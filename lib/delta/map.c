/* Open addressing with linear probing over XXH3 of the key. Items are never taken out one by one:
 * a snapshot only replaces what an item says. */
#include "delta/map.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char *key_of(const void *item) {
    return *(const char *const *)item;
}

/* The slot that holds `key`, or the free one where it belongs. */
static size_t slot_of(const delta_map *map, const char *key) {
    size_t mask = map->n_slots - 1;
    size_t i = (size_t)XXH3_64bits(key, strlen(key)) & mask;
    while (map->slots[i] != NULL && strcmp(key_of(map->slots[i]), key) != 0) {
        i = (i + 1) & mask;
    }
    return i;
}

void *delta_map_find(const delta_map *map, const char *key) {
    return map->n == 0 ? NULL : map->slots[slot_of(map, key)];
}

static bool grow(delta_map *map) {
    delta_map bigger = {.n = map->n, .n_slots = map->n_slots == 0 ? 16 : map->n_slots * 2};
    bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
    if (bigger.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < map->n_slots; i++) {
        if (map->slots[i] != NULL) {
            bigger.slots[slot_of(&bigger, key_of(map->slots[i]))] = map->slots[i];
        }
    }
    free(map->slots);
    *map = bigger;
    return true;
}

bool delta_map_add(delta_map *map, void *item) {
    if ((map->n + 1) * 4 > map->n_slots * 3 && !grow(map)) {
        return false;
    }
    map->slots[slot_of(map, key_of(item))] = item;
    map->n++;
    return true;
}

void delta_map_free(delta_map *map, void (*drop)(void *item)) {
    for (size_t i = 0; i < map->n_slots; i++) {
        if (map->slots[i] != NULL) {
            drop(map->slots[i]);
        }
    }
    free(map->slots);
    *map = (delta_map){0};
}
