/*
 * A topology's document as it may be shown, and back. A secret is shown as "***" unless it is
 * written as one reference, "${env:NAME}" or "${file:/path}". Who changes what he was shown may
 * leave "***" where it stands: there it means the value that stands there now.
 */
#ifndef TOPOLOGY_HIDDEN_H
#define TOPOLOGY_HIDDEN_H

#include "topology/document.h"
#include "topology/topology.h"

/* Parses the topology's text. NULL when memory is short. */
struct json_value *hidden_parse(struct arena *arena, const struct topology *topology);

/* Replaces what is secret in the topology's document, which hidden_parse gave. */
void hidden_hide(const struct topology *topology, struct json_value *document);

/* Puts the secrets of `now` (not hidden) into `next` where that has "***" at the same path; true
 * when there were any. */
bool hidden_restore(const struct topology *topology, const struct json_value *now,
                    struct json_value *next);

/* The path of a secret of the topology that is still "***"; NULL: there is none. In the arena. */
const char *hidden_left(struct arena *arena, const struct topology *topology,
                        const struct json_value *document);

#endif /* TOPOLOGY_HIDDEN_H */
