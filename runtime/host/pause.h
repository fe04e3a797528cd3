/*
 * Pausing, stopping and resuming nodes by order (host.h). A node that leaves is left out of all
 * streams (delivery/whole.c), and closed after that if it is to be STOPPED. Control loop.
 */
#ifndef HOST_PAUSE_H
#define HOST_PAUSE_H

#include "host/object.h"

/* The node has been left out of all streams: if it is to be stopped, it is closed. */
void pause_left_out(struct host_node *node);
/* The run begins: what the operator wanted of nodes in the run before holds. */
void pause_heed_targets(struct host *host);
/* What was set of the targets becomes durable. */
void pause_write_targets(struct host *host);

#endif /* HOST_PAUSE_H */
