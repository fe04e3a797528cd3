/* Taking snapshots of a running host. */
#ifndef HOST_SNAPSHOT_TAKE_H
#define HOST_SNAPSHOT_TAKE_H

#include "host/run.h"
#include "host/snapshot.h"

/* Fills *out from the counters; false when memory is short. Control loop. */
bool snapshot_take(struct host *host, struct host_snapshot *out);
/* The parts that snapshot_accounts.c fills and frees. */
bool snapshot_take_accounts(const struct host *host, struct host_snapshot *out);
void snapshot_free_accounts(struct host_snapshot *snapshot);
/* A source's partitions and lag. */
bool snapshot_take_partitions(const struct host_node *node, struct snapshot_node *out);
void snapshot_free(struct host_snapshot *snapshot);

#endif /* HOST_SNAPSHOT_TAKE_H */
