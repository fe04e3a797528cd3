/* Regions: see region.h. */
#include "delta/region.h"

#include <string.h>
#include <sys/mman.h>

#include "base/base.h"

#define FIRST_BYTES ((size_t)64 << 10)

static void *map(size_t bytes) {
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer does not see mremap: it would take pages that one thread's region has left and
 * another's has moved to for pages that both write. */
static void *move(const delta_region *region, size_t bytes) {
    void *data = map(bytes);
    if (data != MAP_FAILED) {
        memcpy(data, region->data, region->bytes);
        (void)munmap(region->data, region->capacity_bytes);
    }
    return data;
}
#else
static void *move(const delta_region *region, size_t bytes) {
    return mremap(region->data, region->capacity_bytes, bytes, MREMAP_MAYMOVE);
}
#endif

static bool grow(delta_region *region, size_t wanted) {
    size_t capacity = region->capacity_bytes == 0 ? FIRST_BYTES : region->capacity_bytes;
    while (capacity < wanted) {
        if (!sl_mul_size(capacity, 2, &capacity)) {
            return false;
        }
    }
    void *data = region->data == NULL ? map(capacity) : move(region, capacity);
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
