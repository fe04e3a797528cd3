/*
 * Building the host's graph from a topology, and taking it apart: loops, objects, routes, state
 * stores.
 */
#ifndef HOST_BUILD_H
#define HOST_BUILD_H

#include "host/run.h"

/* Fills `host` (zeroed but for topology and options). On failure everything is freed again. Main
 * thread. */
sl_error *host_build(struct host *host);
/*
 * One node of the host's, in host->all, whatever comes of it: first itself, then, once those that
 * it reads are there, its tasks and inputs (`nodes`: by index in its topology). Lanes see it once
 * it is published. Errors: NO_MEMORY, those of its state store. Control loop; main thread before
 * that runs.
 */
sl_error *host_node_new(struct host *host, const struct topology_node *spec,
                        struct host_node **out);
sl_error *host_node_wire(struct host_node *node, struct host_node *const *nodes);
void host_publish_nodes(struct host *host);

/* Where the outputs of `nodes` go, when these are all nodes. On success *out is the caller's.
 * Errors: NO_MEMORY. */
struct link;
sl_error *links_new(struct host_node *const *nodes, size_t n, struct link **out);
/* Makes it so, and frees them. No lane has a batch of a node whose readers change. Control loop. */
void links_apply(struct link *links);
void links_free(struct link *links);

/* Starts the threads of lanes and blocking nodes. */
sl_error *host_start_threads(struct host *host);
/* Ends the threads and frees all; every node is closed. Main thread, the control loop does not run.
 */
void host_free(struct host *host);

#endif /* HOST_BUILD_H */
