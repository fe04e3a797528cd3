/* What a run has done, as text for people. */
#ifndef CLI_SUMMARY_H
#define CLI_SUMMARY_H

#include "cli/log.h"
#include "host/snapshot.h"

/* Appends the totals, a paragraph for each node, and the accounts since the pipeline's first run.
 * `log` masks what failures say. */
void summary_append(sl_buffer *out, const struct host_snapshot *s, struct log *log);

#endif /* CLI_SUMMARY_H */
