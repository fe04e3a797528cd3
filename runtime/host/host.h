/*
 * The host: runs a topology from start to end. Owns the control loop, the lanes, the streams and
 * the commit cycles.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "host/snapshot.h"
#include "topology/topology.h"

#include <stdbool.h>

struct host_options {
    bool until_end;
    /* One line of log; `node` may be NULL. Any thread, so it must be safe to call from several at a
     * time. */
    void (*log)(void *arg, sl_log_level level, const char *node, const char *message);
    void *log_arg;
    /* Called on the control loop every progress_interval_ms and once at the end (last = true).
     * NULL: never. */
    void (*progress)(void *arg, const struct host_snapshot *snapshot, bool last);
    void *progress_arg;
    uint64_t progress_interval_ms;
};

/*
 * Runs until a signal (SIGTERM, SIGINT: stop reading, drain, flush, commit), until the end of data
 * with until_end, or until nothing can go on. NULL when everything that was read is durable;
 * otherwise the first failure. Blocks; call from the main thread.
 */
sl_error *host_run(const struct topology *topology, const struct host_options *options);

#endif /* HOST_HOST_H */
