/*
 * Memory that is freed all at once: the parsed document, the config structs and the faults of one
 * topology live in one arena each. Failure is sticky, so that a loader needs one check at its end.
 */
#ifndef TOPOLOGY_ARENA_H
#define TOPOLOGY_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"

struct arena_block;

/* Zero-initialise. */
struct arena {
    struct arena_block *blocks;
    bool failed; /* some allocation failed */
};

/* Zeroed memory, aligned for every type, valid until arena_free; NULL (and `failed`) when memory is
 * short. */
void *arena_alloc(struct arena *arena, size_t bytes);
/* n zeroed elements; checks the product. */
void *arena_array(struct arena *arena, size_t n, size_t element_bytes);
/* A copy with a 0 byte behind it. */
char *arena_copy(struct arena *arena, const char *text, size_t bytes);
char *arena_text(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...) SL_PRINTF(2, 3);
/* Moves what the buffer holds into the arena and frees the buffer; NULL when either failed. */
char *arena_take(struct arena *arena, sl_buffer *buffer);
void arena_free(struct arena *arena);

#endif /* TOPOLOGY_ARENA_H */
