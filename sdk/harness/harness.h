/*
 * A harness that runs one plugin as a black box: it loads the shared object, parses options by the
 * plugin's table, offers the host's services on one loop with a virtual clock, and drives a node
 * with one task as the host would. For the tests of plugins; depends on nothing but libc, pthread
 * and the SDK.
 *
 * Everything happens in the calling thread, inside sl_harness_* calls; services->work runs its job
 * there too. A plugin's own threads may call what is marked "any thread" in services.h.
 *
 * What a plugin does against the rules (a request ended twice, a batch for a stream that is not
 * attached, offsets that go back, a timer left behind) is collected in sl_harness_violations.
 */
#ifndef SLUICE_HARNESS_H
#define SLUICE_HARNESS_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sl_harness sl_harness;

typedef enum sl_harness_role {
    SL_HARNESS_SOURCE,
    SL_HARNESS_TRANSFORM,
    SL_HARNESS_SINK
} sl_harness_role;

typedef struct sl_harness_options {
    const char *plugin; /* path of the shared object */
    sl_harness_role role;
    const char *name;           /* of the node; NULL: "node" */
    const char *const *config;  /* "option=value" texts, NULL-ended, as an operator writes them;
                                   lists by comma, options of objects by dot; NULL: none */
    const char *const *section; /* the same for the plugin's section; NULL: no section */
    uint32_t flags;             /* SL_RUN_* */
    uint32_t lanes;             /* what the node is told; 0: 1 */
    int64_t now_us;             /* the virtual clock's start */
    int real_time;              /* 1: the clock runs by itself, timers wait for real */
    size_t max_bytes;           /* of poll; 0: 256 KiB */
    const sl_input *inputs;     /* of transforms and sinks; borrowed */
    size_t n_inputs;
    /* Stores for store_open; NULL: store_open answers UNSUPPORTED. `state` may be NULL. */
    sl_error *(*store_open)(const char *url, sl_store **out);
    sl_store *state;
} sl_harness_options;

/* A batch that the plugin emitted, kept until sl_harness_forget or close. */
typedef struct sl_harness_batch {
    uint32_t output;
    sl_batch batch;
} sl_harness_batch;

/* Loads and opens the node; on failure nothing is left. Errors: the plugin's, or CONFIG for what
 * keeps it from being loaded or configured. */
sl_error *sl_harness_open(const sl_harness_options *options, sl_harness **out);
/* Starts the node and opens its task; waits for the end of `start`. */
sl_error *sl_harness_start(sl_harness *harness);
/* Stops and frees everything, with detach, suspend, drained (when `drain`), close. Returns the
 * number of violations of the whole life, and prints them to stderr. */
int sl_harness_close(sl_harness *harness, int drain);

/*
 * Runs the loop until `until(arg)` is not 0 or limit_ms of real time have passed; returns 1 or 0.
 * Assigned streams are resolved, resumed, attached, and polled. With a virtual clock time jumps to
 * the next timer when nothing else can happen.
 */
int sl_harness_run(sl_harness *harness, int (*until)(void *arg), void *arg, int64_t limit_ms);
/* Until every assigned stream has ended and all_assigned was said, or the node failed. */
int sl_harness_run_to_end(sl_harness *harness, int64_t limit_ms);

/* The position that a stream is resumed at when it is assigned; without one, resolve is asked. */
sl_error *sl_harness_set_position(sl_harness *harness, const char *topic, int32_t partition,
                                  int64_t offset);
/* Detaches a stream and resumes it at `offset`, as the host recovers it. */
sl_error *sl_harness_recover(sl_harness *harness, const char *topic, int32_t partition,
                             int64_t offset, int64_t limit_ms);

/* What came out so far; borrowed until the next call that runs the loop. */
size_t sl_harness_batches(const sl_harness *harness, const sl_harness_batch **out);
void sl_harness_forget(sl_harness *harness);
const struct ArrowSchema *sl_harness_schema(const sl_harness *harness, uint32_t output);

/* Feeds transforms and sinks. The stream is made and attached at its first use. `columns` is moved.
 * Waits while the task is paused, at most limit_ms (RETRIABLE error then). */
sl_error *sl_harness_process(sl_harness *harness, uint32_t input, const char *topic,
                             int32_t partition, struct ArrowArray *columns, int64_t first_offset,
                             int64_t next_offset, int64_t limit_ms);
/* Flushes and, when the node commits, commits. */
sl_error *sl_harness_flush(sl_harness *harness, int64_t limit_ms);
/* Whether the task said "not now". */
int sl_harness_paused(const sl_harness *harness);

/* Records that the task rejected so far, and why the last one was: "reason path detail". */
size_t sl_harness_rejects(const sl_harness *harness, const char **last);

/* Moves the virtual clock; due timers fire in the next run. */
void sl_harness_advance(sl_harness *harness, int64_t us);
/* The value of a metric, summed over objects; -1 when nobody made it. */
int64_t sl_harness_metric(const sl_harness *harness, const char *name);
/* The node's failure (services->fail or an operation's error), or NULL. Borrowed. */
const sl_error *sl_harness_failure(const sl_harness *harness);
/* Number of streams that the node holds, and of those that have ended. */
size_t sl_harness_streams(const sl_harness *harness, size_t *ended);
/* How often the plugin broke the rules so far; each time has been printed to stderr. */
int sl_harness_violations(const sl_harness *harness);

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_HARNESS_H */
