/* Sums over a run's snapshot that its progress and its summary show. */
#ifndef CLI_TALLY_H
#define CLI_TALLY_H

#include "host/snapshot.h"

/* Rows that a node took from its inputs, that it gave to its outputs. */
int64_t tally_taken(const struct snapshot_node *node);
int64_t tally_given(const struct snapshot_node *node);
/* Rows that all sources have read. */
int64_t tally_read(const struct host_snapshot *s);
/* Rows a second; 0 in no time. */
int64_t tally_per_second(int64_t rows, int64_t us);

#endif /* CLI_TALLY_H */
