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
 * it reads are there, its tasks and inputs (`nodes`: by index in its topology), at last its routes
 * to all that reads it in host->nodes, which may be done again. Errors: NO_MEMORY, those of its
 * state store. Control loop; main thread before it runs.
 */
sl_error *host_node_new(struct host *host, const struct topology_node *spec,
                        struct host_node **out);
sl_error *host_node_wire(struct host_node *node, struct host_node *const *nodes);
sl_error *host_node_link(struct host_node *node);
/* Starts the threads of lanes and blocking nodes. */
sl_error *host_start_threads(struct host *host);
/* Ends the threads and frees all; every node is closed. Main thread, the control loop does not run.
 */
void host_free(struct host *host);

#endif /* HOST_BUILD_H */
