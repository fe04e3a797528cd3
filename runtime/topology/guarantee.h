/* The delivery guarantee of each path from a source to a sink, and why it is no better. */
#ifndef TOPOLOGY_GUARANTEE_H
#define TOPOLOGY_GUARANTEE_H

#include "topology/arena.h"
#include "topology/topology.h"

/* More paths than this are not listed. */
#define DELIVERY_MAX_PATHS 500

struct delivery_path {
    const char *text; /* "events → silver.rejects → quarantine" */
    const struct topology_node *source;
    const struct topology_node *sink;
    const char *name; /* of the guarantee: delivery_name's, or "none" */
    const char *why;  /* one sentence without a full stop */
};

/*
 * All paths, in the order of the sinks; everything lives in `arena`. *complete is false when there
 * are more than DELIVERY_MAX_PATHS. NULL when memory is short.
 */
const struct delivery_path *delivery_paths(const struct topology *topology, struct arena *arena,
                                           size_t *n, bool *complete);

/* What one node guarantees with its config. */
sl_guarantee delivery_of_node(const struct topology_node *node);
/* "at-most-once", "at-least-once", "exactly-once" */
const char *delivery_name(sl_guarantee guarantee);

#endif /* TOPOLOGY_GUARANTEE_H */
