/* Paths and store locations as an operator writes them, made absolute. */
#ifndef TOPOLOGY_LOCATION_H
#define TOPOLOGY_LOCATION_H

#include "topology/arena.h"

/* A local file; relative ones start at `directory`. In the arena; NULL when memory is short. */
const char *location_path(struct arena *arena, const char *directory, const char *text);

/*
 * A store's URL: one with a scheme stays (a file URL is made regular: no "." or "..", no doubled or
 * trailing slash), a plain folder becomes file://, percent-encoded. In the arena. NULL with *why
 * (a sentence, in the arena or static) when it is none, NULL with *why NULL when memory is short.
 */
const char *location_url(struct arena *arena, const char *directory, const char *text,
                         const char **why);

/*
 * The text by which two URLs are the same place: links in the existing part of a local folder are
 * followed, scheme and host are folded to lower case. In the arena; NULL when memory is short.
 */
const char *location_key(struct arena *arena, const char *url);

#endif /* TOPOLOGY_LOCATION_H */
