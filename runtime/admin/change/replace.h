/*
 * Replacing a file whole, so that a crash leaves the old one or the new one: written beside it and
 * made durable first, then put in its place. Blocks.
 */
#ifndef ADMIN_REPLACE_H
#define ADMIN_REPLACE_H

#include "base/base.h"

/* Zero-initialise. */
struct replacement {
    char *file; /* with links followed */
    char *made; /* the new one, beside it */
};

/*
 * Writes the new file beside `file`, with its rights. Errors: CONFLICT (the file does not hold
 * `expected` any more), FATAL (it cannot be written), NO_MEMORY.
 */
sl_error *replacement_prepare(struct replacement *replacement, const char *file,
                              const char *expected, size_t expected_bytes, const char *text,
                              size_t bytes);
/* Puts it in its place. Errors: FATAL. */
sl_error *replacement_commit(struct replacement *replacement);
/* Forgets it, and removes what was not committed. */
void replacement_end(struct replacement *replacement);

#endif /* ADMIN_REPLACE_H */
