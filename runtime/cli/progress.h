/*
 * Progress of a run: a status line on a terminal, else a log line every few seconds; at the end the
 * summary.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/log.h"
#include "host/snapshot.h"

struct progress;

/* `json`: the summary is JSON for programs. NULL when memory is short. */
struct progress *progress_new(struct log *log, bool json);
void progress_free(struct progress *progress);
/* How often a run should call progress_update. */
uint64_t progress_interval_ms(const struct log *log);
/* For struct host_options: `progress` is the struct progress. With `last` the summary is kept. */
void progress_update(void *progress, const struct host_snapshot *snapshot, bool last);
/* The summary of the last snapshot; NULL: there was none. Borrowed. */
const char *progress_summary(struct progress *progress);

#endif /* CLI_PROGRESS_H */
