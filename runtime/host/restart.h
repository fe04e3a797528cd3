/*
 * Restarting nodes while the run goes on: by order (host_restart_node), or by itself when the
 * topology says so (restart.after), or the node (services->fail). Control loop.
 */
#ifndef HOST_RESTART_H
#define HOST_RESTART_H

#include "host/object.h"

/* The node has failed: if it is to be restarted by itself, that begins to be waited for. */
void restart_after_failure(struct host_node *node);
/* A restart is under way or waits for its time, or a node waits to be resumed: the end of the data
 * is not the end of the run. */
bool restart_holds_end(const struct host *host);

/*
 * A node's first start has failed. True when it may succeed later, and the others need not wait:
 * then the error is taken, and restart_start_late goes on with it once they run. Control loop.
 */
bool restart_is_late(struct host_node *node, sl_error *error);
void restart_start_late(struct host_node *node);
/* Opens it anew, closed or not, though it may be paused no more. restart_may_change holds. */
void restart_begin(struct host_node *node);
/* Its streams can be taken away and come back, and nothing else is done to it. */
bool restart_may_change(const struct host_node *node);
/* The node of this name. Errors: CONFIG (there is none). */
sl_error *restart_find_node(const struct host *host, const char *name, struct host_node **out);
/* Why it cannot be `what` ("restarted"). */
sl_error *restart_refusal(const struct host_node *node, const char *what);

#endif /* HOST_RESTART_H */
