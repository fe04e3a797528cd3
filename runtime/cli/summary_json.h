/* The summary of a run as JSON, for programs: `sluice run --json`. */
#ifndef CLI_SUMMARY_JSON_H
#define CLI_SUMMARY_JSON_H

#include "cli/log.h"
#include "host/snapshot.h"

#include "base/base.h"

/* Appends one JSON object with every number of the snapshot; times in microseconds. Failures are
 * masked as `log` masks messages. Memory that ran short shows as out->failed. */
void summary_json(const struct host_snapshot *snapshot, struct log *log, sl_buffer *out);

#endif /* CLI_SUMMARY_JSON_H */
