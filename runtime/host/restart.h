/*
 * Restarting nodes while the run goes on: by order (host_restart_node), or by itself when the
 * topology says so (restart.after); pausing, stopping and resuming them. Control loop.
 */
#ifndef HOST_RESTART_H
#define HOST_RESTART_H

#include "host/object.h"

/* The node has failed: if it is to be restarted by itself, that begins to be waited for. */
void restart_after_failure(struct host_node *node);
/* A restart is under way or waits for its time, or a node waits to be resumed: the end of the data
 * is not the end of the run. */
bool restart_holds_end(const struct host *host);

/* The node has been left out of all streams: if it is to be stopped, it is closed. */
void restart_left_out(struct host_node *node);
/* The run begins: what the operator wanted of nodes in the run before holds. */
void restart_heed_targets(struct host *host);

#endif /* HOST_RESTART_H */
