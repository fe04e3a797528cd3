/* The summary of a run as JSON, for programs: `sluice run --json`. */
#ifndef CLI_SUMMARY_JSON_H
#define CLI_SUMMARY_JSON_H

#include "host/snapshot.h"

#include "base/base.h"

/* Appends one JSON object with every number of the snapshot; times in microseconds. Memory that ran
 * short shows as out->failed. */
void summary_json(const struct host_snapshot *snapshot, sl_buffer *out);

#endif /* CLI_SUMMARY_JSON_H */
