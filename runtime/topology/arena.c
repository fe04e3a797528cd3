/* Arenas: blocks in a list; what is larger than a block gets one of its own. */
#include "topology/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_BYTES ((size_t)16 * 1024)
#define ALIGNMENT ((size_t)16)

struct arena_block {
    struct arena_block *next;
    size_t used_bytes;
    size_t capacity_bytes;
    size_t unused; /* keeps `data` aligned */
    unsigned char data[];
};

static struct arena_block *add_block(struct arena *arena, size_t bytes) {
    size_t capacity = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    size_t total;
    struct arena_block *block = NULL;
    if (sl_add_size(capacity, sizeof(*block), &total)) {
        block = calloc(1, total);
    }
    if (block == NULL) {
        arena->failed = true;
        return NULL;
    }
    block->capacity_bytes = capacity;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t bytes) {
    size_t rounded;
    if (!sl_add_size(bytes == 0 ? 1 : bytes, ALIGNMENT - 1, &rounded)) {
        arena->failed = true;
        return NULL;
    }
    rounded &= ~(ALIGNMENT - 1);
    struct arena_block *block = arena->blocks;
    if (block == NULL || block->capacity_bytes - block->used_bytes < rounded) {
        block = add_block(arena, rounded);
        if (block == NULL) {
            return NULL;
        }
    }
    void *data = block->data + block->used_bytes;
    block->used_bytes += rounded;
    return data;
}

void *arena_array(struct arena *arena, size_t n, size_t element_bytes) {
    size_t bytes;
    if (!sl_mul_size(n, element_bytes, &bytes)) {
        arena->failed = true;
        return NULL;
    }
    return arena_alloc(arena, bytes);
}

char *arena_copy(struct arena *arena, const char *text, size_t bytes) {
    size_t total;
    if (!sl_add_size(bytes, 1, &total)) {
        arena->failed = true;
        return NULL;
    }
    char *copy = arena_alloc(arena, total);
    if (copy != NULL && bytes > 0) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

char *arena_text(struct arena *arena, const char *text) {
    return arena_copy(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (text != NULL) {
        (void)vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    return text;
}

char *arena_take(struct arena *arena, sl_buffer *buffer) {
    char *copy = NULL;
    if (buffer->failed) {
        arena->failed = true;
    } else {
        copy = arena_copy(arena, (const char *)buffer->data, buffer->bytes);
    }
    sl_buffer_free(buffer);
    return copy;
}

void arena_free(struct arena *arena) {
    struct arena_block *block = arena->blocks;
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (struct arena){NULL, false};
}
