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
/* Starts the threads of lanes and blocking nodes. */
sl_error *host_start_threads(struct host *host);
/* Ends the threads and frees all; every node is closed. Main thread, the control loop does not run.
 */
void host_free(struct host *host);

#endif /* HOST_BUILD_H */
