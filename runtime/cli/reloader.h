/*
 * `sluice run` reads its topology's file anew: on SIGHUP, and with --watch when it has changed. A
 * file with faults is reported, and the run goes on as it is.
 */
#ifndef CLI_RELOADER_H
#define CLI_RELOADER_H

#include "cli/log.h"
#include "host/host.h"

struct reloader;

/* Of a file that is read as host->load says. On success *out is the caller's, after the run.
 * Errors: NO_MEMORY. Main thread. */
sl_error *reloader_new(const char *file, bool watch, const struct host_options *options,
                       struct log *log, struct reloader **out);
void reloader_free(struct reloader *reloader);

/* For host_options.began and .ended, with the reloader. */
void reloader_begin(void *reloader, struct host *host);
void reloader_end(void *reloader);

#endif /* CLI_RELOADER_H */
