/*
 * The bytes of a data file on their way to the store: one run of pages of their own. It grows
 * without being copied, begins at a page, and is used again for the next file, so that writing
 * neither moves nor faults in what was written before.
 */
#ifndef SL_DELTA_REGION_H
#define SL_DELTA_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What goes into a store in pieces goes in multiples of this, as far as it can: a store may then
 * write around the page cache. */
#define DELTA_REGION_BLOCK ((size_t)4096)

/* Zero-initialise. */
typedef struct delta_region {
    uint8_t *data;
    size_t bytes;
    size_t capacity_bytes;
} delta_region;

/* False when memory is short; the region is as before then. */
bool delta_region_append(delta_region *region, const void *data, size_t bytes);
void delta_region_free(delta_region *region);

#endif /* SL_DELTA_REGION_H */
