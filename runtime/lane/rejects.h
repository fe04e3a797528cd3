/*
 * Records that a task rejects (services->reject): what errors.tolerance and errors.log say happens
 * with them. On the lane.
 */
#ifndef LANE_REJECTS_H
#define LANE_REJECTS_H

#include "host/object.h"

struct rejects;

/* services->reject */
sl_error *rejects_add(struct lane_task *task, const sl_batch *batch, int64_t row,
                      const sl_reject *why);
/* process has taken `batch`: what it rejected of it leaves on the node's output, or is counted as
 * lost. */
sl_error *rejects_settle(struct lane_task *task, const sl_batch *batch);
/* How many rows were rejected since this was asked last: of the batch that process has taken. */
int64_t rejects_since(struct lane_task *task);
/* process has failed: the batch may come again. */
void rejects_forget(struct lane_task *task);
void rejects_free(struct rejects *rejects);

#endif /* LANE_REJECTS_H */
