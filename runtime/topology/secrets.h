/*
 * What must never be shown: the values of secret options and all text that came from `${env:}` or
 * `${file:}`. Kept in every spelling in which it may reach an output (as it is, escaped for JSON,
 * percent-encoded), longest first.
 */
#ifndef TOPOLOGY_SECRETS_H
#define TOPOLOGY_SECRETS_H

#include "topology/arena.h"

#include <stdbool.h>

#include "base/base.h"

struct secret;
struct secret_place;

struct secrets {
    struct secret *list; /* longest first */
    struct secret_place *places;
};

/* Adds a value; an empty one has nothing to hide. Memory is the arena's, whose failure tells. */
void secrets_add(struct secrets *secrets, struct arena *arena, const char *value);
bool secrets_is_empty(const struct secrets *secrets);

/* A secret stands at this place of the document; line 0: in no document. */
void secrets_add_place(struct secrets *secrets, struct arena *arena, int line, int column);
bool secrets_stand_at(const struct secrets *secrets, int line, int column);

/*
 * Replaces each occurrence in `text` by "***". A value shorter than 4 bytes is replaced only where
 * it stands alone, between characters that are no letters or digits: otherwise a port or a flag
 * from the environment would blank parts of words. When memory is short, all of `text` is blanked.
 * Any thread.
 */
void secrets_mask(const struct secrets *secrets, sl_buffer *text);

#endif /* TOPOLOGY_SECRETS_H */
