/* A hash map from text to items whose first member is that text. No public interface. */
#ifndef SL_DELTA_MAP_H
#define SL_DELTA_MAP_H

#include "base/base.h"

/* Items begin with `char *key`; the map holds pointers, the user owns the items. Zero-initialise.
 */
typedef struct delta_map {
    void **slots; /* NULL: free */
    size_t n;
    size_t n_slots; /* a power of two, at most 3/4 used */
} delta_map;

void *delta_map_find(const delta_map *map, const char *key);
/* Adds an item whose key is not in the map; false when memory is short. */
bool delta_map_add(delta_map *map, void *item);
/* Frees the slots after calling drop for each item. */
void delta_map_free(delta_map *map, void (*drop)(void *item));

#endif /* SL_DELTA_MAP_H */
