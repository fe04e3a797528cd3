/* A hash map from the key of a row to the place of the row, keys staying in their arrays. No public
 * interface. */
#ifndef SL_DELTA_KEY_MAP_H
#define SL_DELTA_KEY_MAP_H

#include "base/base.h"
#include "columns/columns.h"
#include "delta/rows.h"

/* Where a row is: the number of its batch, and the row there. */
typedef struct key_place {
    uint32_t batch;
    uint32_t row;
} key_place;

typedef struct key_slot {
    uint64_t hash;
    key_place place;
    bool used;
} key_slot;

typedef struct key_map {
    const struct ArrowSchema *schema;
    const int64_t *columns;
    size_t n_columns;
    const bool *partition;                   /* as in delta_rows */
    const struct ArrowArray *const *batches; /* what places point into; set before each use */
    key_slot *slots;
    size_t n;
    size_t n_slots;
} key_map;

void delta_key_map_free(key_map *map); /* the slots; the map is empty then */
/* The place of the key of `rows`' row; NULL when it has none. Borrowed until the next change. */
key_place *delta_key_map_find(const key_map *map, const delta_rows *rows, int64_t row);
/* Sets the place of a key. *old gets the place it had, if any. False when memory is short. */
bool delta_key_map_put(key_map *map, const delta_rows *rows, int64_t row, key_place place,
                       key_place *old, bool *had);
/* Takes a key out. *old gets its place. False when it was not there. */
bool delta_key_map_remove(key_map *map, const delta_rows *rows, int64_t row, key_place *old);

#endif /* SL_DELTA_KEY_MAP_H */
