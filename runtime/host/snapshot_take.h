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
void snapshot_free(struct host_snapshot *snapshot);

#endif /* HOST_SNAPSHOT_TAKE_H */
