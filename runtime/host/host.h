/*
 * The host: runs a topology from start to end. Owns the control loop, the lanes, the streams and
 * the commit cycles.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "host/snapshot.h"
#include "topology/plan.h"
#include "topology/topology.h"

#include <stdbool.h>

struct host;
struct network;
struct targets;

/* What a run tells besides its error. */
struct host_outcome {
    bool signalled; /* it was stopped from outside */
    bool level; /* of every stream that it held at its end, all readers have the same position */
    int64_t left_bytes; /* of memory.max that were not given back when all was closed: none */
};

struct host_options {
    bool until_end;
    struct plugin_registry *registry;    /* of the topology's plugins; for the admin endpoint */
    const struct topology_options *load; /* what a next topology is loaded with; NULL: nothing */
    /* One line of log; `node` may be NULL. Any thread, so it must be safe to call from several at a
     * time. */
    void (*log)(void *arg, sl_log_level level, const char *node, const char *message);
    void *log_arg;
    /* The log's level and its change, with log_arg; NULL: it has none. Control loop. */
    sl_log_level (*log_level)(void *arg);
    void (*set_log_level)(void *arg, sl_log_level level);
    /* Called on the control loop every progress_interval_ms and once at the end (last = true).
     * NULL: never. */
    void (*progress)(void *arg, const struct host_snapshot *snapshot, bool last);
    void *progress_arg;
    uint64_t progress_interval_ms;
    /*
     * Catching up, with until_end: by node of the topology, whether what it reads is to become
     * level. Each stream of a source is read to the largest position of these nodes and no further.
     * NULL: a run as any.
     */
    const bool *catch_up;
    /* Why nothing may be read to catch up; then it is an error that a stream is not level. NULL: it
     * may. */
    const char *catch_up_refused;
    /* Called once on a pool thread, when every node has started or failed to, and before anything
     * is read; an error (moved) ends the run. NULL: nothing to do. */
    sl_error *(*begin)(void *arg);
    void *begin_arg;
    /* Called on a pool thread while a topology replaces another, when all that the change concerns
     * has the same position and nothing of it is read; an error (moved) ends the attempt. NULL:
     * nothing to do. */
    sl_error *(*take_effect)(void *arg, const struct topology *next);
    void *take_effect_arg;
    struct host_outcome *outcome; /* filled when host_run returns; NULL: nobody asks */
    /* Called once, when every node has started or failed to: from now on, until progress says that
     * it is the last time, the functions below may be called. Control loop. NULL: never. */
    void (*began)(void *arg, struct host *host);
    void *began_arg;
    /* Called once if `began` was, with its argument, when the run closes: what was opened on the
     * control loop is closed here. NULL: nothing. */
    void (*ended)(void *arg);
    struct targets *targets; /* which nodes are to be PAUSED or STOPPED; NULL: none is kept */
    struct network *network; /* the way out; lives longer. NULL: the host has one of its own */
};

/*
 * Restarts a node, FAILED or not: it is closed, opened and started anew, and gets its streams from
 * its durable positions; what it had not committed is read again. The others go on. Returns once
 * that has begun; how it ends the snapshot says (RESTARTING, then RUNNING or FAILED). Errors:
 * CONFIG (no such node), CONFLICT (it is being restarted already, what it reads has ended, or the
 * run ends). Control loop.
 */
sl_error *host_restart_node(struct host *host, const char *name);

/*
 * Pauses a node: what it has is committed, then its streams flow past it, and past what reads of
 * it alone; a source reads nothing. The others go on. It stays open, a source with its partitions.
 * Stopping closes it, too. Resuming it, from either, goes on at its durable positions. The order
 * outlives the process (host_options.targets), and one that holds already is no fault. All return
 * once that has begun; the snapshot's state says when it is so. Errors: CONFIG (no such node),
 * CONFLICT (a restart or reload is under way, what it reads has ended, or the run ends). Control
 * loop.
 */
sl_error *host_pause_node(struct host *host, const char *name);
sl_error *host_stop_node(struct host *host, const char *name);
sl_error *host_resume_node(struct host *host, const char *name);

/*
 * What a reload would do: the plan from the topology that runs to `next`, with its refusal when the
 * run's state forbids it at present. On success *out is the caller's (topology_plan_free). Errors:
 * NO_MEMORY. Control loop.
 */
sl_error *host_plan(struct host *host, const struct topology *next, struct topology_plan **out);

/*
 * Replaces the running topology by `next`: nodes that are the same go on untouched; those that are
 * changed or removed commit what they have and are closed; changed and added ones are opened and go
 * on at their durable positions. When that fails, what was there before is back. NULL: it has
 * begun; `next` (made with the host's plugin registry, by topology_load) is the host's until the
 * run's end, and done(arg, error) is called once, error moved, on the control loop, maybe before
 * this returns: NULL when the new topology runs, else what the nodes' opening says, or CONFLICT
 * (the run ends, or the nodes could not be brought to one position). Otherwise nothing has begun,
 * `next` is still the caller's and `done` is not called. Errors: CONFLICT (the plan's refusal,
 * another reload is under way), those of the nodes' state stores. Control loop.
 */
sl_error *host_reload(struct host *host, struct topology *next,
                      void (*done)(void *arg, sl_error *error), void *arg);

/*
 * Runs until a signal (SIGTERM, SIGINT: stop reading, drain, flush, commit), until the end of data
 * with until_end, or until nothing can go on. NULL when everything that was read is durable;
 * otherwise the first failure. Blocks; call from the main thread.
 */
sl_error *host_run(const struct topology *topology, const struct host_options *options);

#endif /* HOST_HOST_H */
