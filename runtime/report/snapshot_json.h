/* A snapshot as JSON, for programs: `sluice run --json`, and the admin endpoint. */
#ifndef REPORT_SNAPSHOT_JSON_H
#define REPORT_SNAPSHOT_JSON_H

#include "host/snapshot.h"
#include "report/json_out.h"

/* Writes one JSON object with every number of the snapshot; times in microseconds. Failures pass
 * through out->mask. Memory that ran short shows as out->text.failed. */
void snapshot_json(struct json_out *out, const struct host_snapshot *snapshot);

/* "running", "failed", ... */
const char *snapshot_state_name(enum host_node_state state);

#endif /* REPORT_SNAPSHOT_JSON_H */
