/*
 * Restarting nodes while the run goes on: by order (host_restart_node), or by itself when the
 * topology says so (restart.after). Control loop.
 */
#ifndef HOST_RESTART_H
#define HOST_RESTART_H

#include "host/object.h"

/* The node has failed: if it is to be restarted by itself, that begins to be waited for. */
void restart_after_failure(struct host_node *node);
/* A restart is under way or waits for its time: the end of the data is not the end of the run. */
bool restart_holds_end(const struct host *host);

#endif /* HOST_RESTART_H */
