/*
 * What the operator wants of the nodes: who is to be PAUSED or STOPPED, until he says otherwise. In
 * the state store, as versions under targets/, so that it holds for all hosts of the pipeline and
 * after a restart; without one, until the process ends.
 */
#ifndef HOST_TARGETS_H
#define HOST_TARGETS_H

#include <stdbool.h>

#include "base/base.h"

enum target { TARGET_RUNNING, TARGET_PAUSED, TARGET_STOPPED };

struct network;
struct topology;
struct targets;

/* Reads what is stored; topology and network live longer. Blocks. Errors: the store's, CORRUPT,
 * UNSUPPORTED (a format version that is not ours), NO_MEMORY. */
sl_error *targets_open(const struct topology *topology, struct network *network,
                       struct targets **out);
/* Nothing is being written. NULL is allowed. */
void targets_close(struct targets *targets);

/* What is wanted of a node. Control loop. */
enum target targets_get(const struct targets *targets, const char *node);
/* Changes it here; targets_write makes it durable. Errors: NO_MEMORY. Control loop. */
sl_error *targets_set(struct targets *targets, const char *node, enum target target);
/* Something was set that no targets_write has taken yet. Control loop. */
bool targets_are_dirty(const struct targets *targets);
/* Writes what was set, on top of what other hosts have written meanwhile. Blocks; one at a time, on
 * any thread. Errors: the store's, and those of targets_open. */
sl_error *targets_write(struct targets *targets);

#endif /* HOST_TARGETS_H */
