/*
 * Closing and opening the plugin's objects of one node while the run goes on: its tasks on their
 * lanes, itself on its loop. What that is for (a restart, a stop, a reload) is its caller's.
 */
#ifndef HOST_REOPEN_H
#define HOST_REOPEN_H

#include "host/object.h"

/* Closes them once no flush, no commit, no call and no job of theirs is under way; what the owner
 * of streams had asked for is forgotten. Nothing flows to the node, and it counts as failed from
 * now on. Then then(node), maybe before this returns. Control loop. */
void node_close(struct host_node *node, void (*then)(struct host_node *node));
/* Opens them, which are closed or were never there. Then then(node, error); after an error it still
 * has to be closed. Control loop. */
void node_open(struct host_node *node, void (*then)(struct host_node *node, sl_error *error));
/* Closes the plugin's node and returns true; while jobs of it are on pool threads, returns false,
 * and runs again(node) once they are back. On the node's loop. */
bool node_close_plugin(struct host_node *node, void (*again)(void *node));
/* A call that nobody waited for has come back. Control loop. */
void node_answered(struct host_node *node);

#endif /* HOST_REOPEN_H */
