/*
 * What the parts of segments share: chains in memory, names, and reading one segment.
 *
 * An object `<stream>/<from + 1>.seg` is what one commit wrote; `<stream>/<from + 1>-<to>.seg`
 * holds what several of them held, which are then deleted (segments_merge.c). Where both are there,
 * the longer one counts and what it covers is left over from a merge that was cut short.
 */
#ifndef SILVER_SEGMENTS_CHAIN_H
#define SILVER_SEGMENTS_CHAIN_H

#include "segments.h"

#include <stdbool.h>

#include "base/slots.h"

struct segment_header {
    char magic[8];
    int64_t from;
    int64_t to;
    int64_t first_clock_us; /* before its first entry */
    int64_t last_clock_us;  /* after its last one */
    uint64_t entries;
    uint64_t payload_bytes;
    uint64_t checksum; /* XXH3-64 of the payload */
};
_Static_assert(sizeof(struct segment_header) == 64, "the header is a format");

struct segment {
    int64_t from;
    int64_t to;            /* of a merged one; SL_OFFSET_NONE: of one commit */
    int64_t last_clock_us; /* INT64_MAX: not read yet */
    int64_t since_us;      /* known to us since */
    int64_t bytes;
};

struct segment_list {
    struct segment *items;
    size_t n;
    size_t capacity;
};

/* What is known of one stream's chain. */
struct chain {
    const char *url; /* the store's */
    char *folder;
    struct segment_list live; /* ascending, each begins where the one before ends */
    struct segment_list dead; /* merged into others: to be deleted */
    int64_t position;
    int64_t acknowledged; /* no resume will be below */
    int64_t last_clock_us;
    int64_t fresh_us;       /* the chain was known to end at our position */
    int64_t merge_after_us; /* a merge has failed: not before */
};

struct segments {
    sl_store *store;
    const sl_services *services;
    sl_object *self;
    int64_t keep_us;
    sl_slots chains; /* by stream index */
};

/* False when memory is short. */
bool segment_list_push(struct segment_list *list, struct segment segment);

/* The path of a segment, in `out`. Errors: NO_MEMORY. */
sl_error *segment_path(const struct chain *chain, const struct segment *segment, sl_buffer *out,
                       const char **path);
/* Reads a segment, or only its header, and checks it. `out` is to be released by the caller. */
sl_error *segment_read(struct segments *segments, const struct chain *chain,
                       const struct segment *segment, bool whole, struct segment_header *header,
                       sl_store_bytes *out);
/* Checks what was read of a segment, and copies its header. Errors: CORRUPT, UNSUPPORTED. */
sl_error *segment_check(const struct chain *chain, const struct segment *segment, bool whole,
                        const sl_store_bytes *bytes, struct segment_header *header);
/* Puts a segment whose payload stands behind room for its header, which is filled. */
sl_error *segment_put(struct segments *segments, const struct chain *chain,
                      const struct segment *segment, struct segment_header *header,
                      sl_buffer *bytes);
sl_error *segment_corrupt(const struct chain *chain, const struct segment *segment,
                          const char *what);

#endif /* SILVER_SEGMENTS_CHAIN_H */
