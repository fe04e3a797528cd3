/*
 * Attaching streams to their lanes and taking them away again: the lane's half of an assignment.
 * Each function is called on the control loop, works on the lane, and answers on the control loop.
 */
#ifndef DELIVERY_ATTACH_H
#define DELIVERY_ATTACH_H

#include "delivery/stream.h"

typedef void (*attach_done)(void *arg, sl_error *error);

/* Every task on the stream's path learns of it, readers of its results first; then it is polled. */
void attach_stream(struct stream *stream, attach_done done, void *arg);
/* It is polled no more, and what was read of it has left the queues. Never fails. */
void stop_stream(struct stream *stream, attach_done done, void *arg);
/* Answers for the streams whose queues have run empty. On the lane, after each turn. */
void attach_look_at_stopping(struct lane *lane);
/* Streams that are being stopped have stopped, whatever still waits on their paths: it is dropped
 * when they detach. Control loop. */
void attach_stop_waiting(struct host *host);
/* Every task on its path forgets it; batches that still wait are dropped; the nodes are told
 * (node.suspend). Never fails. */
void detach_stream(struct stream *stream, attach_done done, void *arg);

/* The same for a feed (lane/branch.h), on its lane. attach_path takes the handle; after an error
 * the feed must be detached, too. */
sl_error *attach_path(struct stream *stream, void **handle);
void detach_path(struct stream *stream);
/* No plugin is busy with a feed of the stream any more: a detaching that waited goes on. On the
 * lane. */
void attach_branch_idle(struct stream *stream);

/* The node is told that the stream has left. Any thread that has it in use. */
void attach_suspend_node(struct host_node *node, struct stream *stream);

#endif /* DELIVERY_ATTACH_H */
