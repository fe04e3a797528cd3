/*
 * Regular expressions of ECMA-262 (as JSON Schema writes them), matched by PCRE2 with limits.
 */
#ifndef SLJ_REGEX_H
#define SLJ_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct slj_regex slj_regex; /* immutable; any thread */

typedef enum slj_regex_result {
    SLJ_REGEX_NO_MATCH,
    SLJ_REGEX_MATCH,
    SLJ_REGEX_LIMIT, /* gave up: too many steps */
} slj_regex_result;

/* NULL when malformed: `message` (room for 256 bytes) says why; it is "" when memory is short. */
slj_regex *slj_regex_new(const void *pattern, size_t bytes, char *message);
void slj_regex_free(slj_regex *regex);

/* Scratch memory of one thread. */
typedef struct slj_matcher slj_matcher;
slj_matcher *slj_matcher_new(void);
void slj_matcher_free(slj_matcher *matcher);

/* Whether the pattern occurs anywhere in `text` (valid UTF-8). */
slj_regex_result slj_regex_match(const slj_regex *regex, slj_matcher *matcher, const void *text,
                                 size_t bytes);

#endif /* SLJ_REGEX_H */
