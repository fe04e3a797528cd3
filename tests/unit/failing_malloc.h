/*
 * A malloc that fails on demand and counts the blocks that are alive, on top of glibc's: the test
 * program's own, in front of the one that the libraries and plugins would take. Sanitizers have
 * theirs, so with them nothing fails. For one program; everything is static.
 */
#ifndef TESTS_UNIT_FAILING_MALLOC_H
#define TESTS_UNIT_FAILING_MALLOC_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static long allowed = -1; /* allocations until they fail; -1: no end */
static long live;         /* blocks */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

static bool only_one; /* the one fails, those behind it do not */
static bool hit;      /* one has failed */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void __libc_free(void *block);

/* shown to the libraries too: their blocks count, and fail, as well */
#define REPLACED __attribute__((visibility("default")))

static bool refused(void) {
    if (allowed > 0) {
        allowed--;
        return false;
    }
    bool refuse = allowed == 0;
    if (refuse) {
        hit = true;
        errno = ENOMEM;
        allowed = only_one ? -1 : 0;
    }
    return refuse;
}

REPLACED void *malloc(size_t bytes) {
    void *block = refused() ? NULL : __libc_malloc(bytes);
    live += block != NULL ? 1 : 0;
    return block;
}

REPLACED void *calloc(size_t n, size_t bytes) {
    void *block = refused() ? NULL : __libc_calloc(n, bytes);
    live += block != NULL ? 1 : 0;
    return block;
}

REPLACED void *realloc(void *old, size_t bytes) {
    void *block = refused() ? NULL : __libc_realloc(old, bytes);
    live += old == NULL && block != NULL ? 1 : 0;
    return block;
}

REPLACED void free(void *block) {
    live -= block != NULL ? 1 : 0;
    __libc_free(block);
}

#endif

#endif /* TESTS_UNIT_FAILING_MALLOC_H */
