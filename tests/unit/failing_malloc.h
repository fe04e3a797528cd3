/*
 * A malloc that fails on demand and counts the blocks that are alive, on top of glibc's: the test
 * program's own, in front of the one that the libraries and plugins would take. With
 * AddressSanitizer it is on top of that one's, which checks what is done when memory runs out, and
 * what is left behind: nothing is counted then. With ThreadSanitizer nothing fails. For one
 * program; everything is static.
 */
#ifndef TESTS_UNIT_FAILING_MALLOC_H
#define TESTS_UNIT_FAILING_MALLOC_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static long allowed = -1; /* allocations until they fail; -1: no end */
static long live;         /* blocks */

#ifndef __SANITIZE_THREAD__

static bool only_one; /* the one fails, those behind it do not */
static bool hit;      /* one has failed */

#ifdef __SANITIZE_ADDRESS__
#define BELOW(name) __interceptor_##name
enum { COUNTED = 0 };
#else
#define BELOW(name) __libc_##name
enum { COUNTED = 1 };
#endif

void *BELOW(malloc)(size_t bytes);
void *BELOW(calloc)(size_t n, size_t bytes);
void *BELOW(realloc)(void *old, size_t bytes);
void BELOW(free)(void *block);

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
    void *block = refused() ? NULL : BELOW(malloc)(bytes);
    live += block != NULL ? COUNTED : 0;
    return block;
}

REPLACED void *calloc(size_t n, size_t bytes) {
    void *block = refused() ? NULL : BELOW(calloc)(n, bytes);
    live += block != NULL ? COUNTED : 0;
    return block;
}

REPLACED void *realloc(void *old, size_t bytes) {
    void *block = refused() ? NULL : BELOW(realloc)(old, bytes);
    live += old == NULL && block != NULL ? COUNTED : 0;
    return block;
}

REPLACED void free(void *block) {
    live -= block != NULL ? COUNTED : 0;
    BELOW(free)(block);
}

#ifdef __SANITIZE_ADDRESS__
/* AddressSanitizer's take their memory past this malloc. */
REPLACED char *strndup(const char *text, size_t most) {
    size_t bytes = strnlen(text, most);
    char *copy = malloc(bytes + 1);
    if (copy != NULL) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

REPLACED char *strdup(const char *text) {
    return strndup(text, strlen(text));
}
#endif

#endif

#endif /* TESTS_UNIT_FAILING_MALLOC_H */
