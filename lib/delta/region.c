/* Regions: see region.h. */
#include "delta/region.h"

#include <string.h>
#include <sys/mman.h>

#include "base/base.h"

#define FIRST_BYTES ((size_t)64 << 10)

static bool grow(delta_region *region, size_t wanted) {
    size_t capacity = region->capacity_bytes == 0 ? FIRST_BYTES : region->capacity_bytes;
    while (capacity < wanted) {
        if (!sl_mul_size(capacity, 2, &capacity)) {
            return false;
        }
    }
    void *data =
        region->data == NULL
            ? mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            : mremap(region->data, region->capacity_bytes, capacity, MREMAP_MAYMOVE);
    if (data == MAP_FAILED) {
        return false;
    }
    region->data = data;
    region->capacity_bytes = capacity;
    return true;
}

bool delta_region_append(delta_region *region, const void *data, size_t bytes) {
    size_t wanted;
    if (!sl_add_size(region->bytes, bytes, &wanted) ||
        (wanted > region->capacity_bytes && !grow(region, wanted))) {
        return false;
    }
    if (bytes > 0) {
        memcpy(region->data + region->bytes, data, bytes);
    }
    region->bytes = wanted;
    return true;
}

void delta_region_free(delta_region *region) {
    if (region->data != NULL) {
        (void)munmap(region->data, region->capacity_bytes);
    }
    *region = (delta_region){0};
}
