/*
 * What the files of the harness share. Not for its users.
 */
#ifndef HARNESS_INSIDE_H
#define HARNESS_INSIDE_H

#include "harness.h"

#include <pthread.h>

struct sl_object {
    sl_harness *harness;
};

/* A callback that waits for the loop. */
struct call {
    struct call *next;
    void (*run)(void *arg); /* of work: called before fn; else NULL */
    void (*fn)(void *arg);
    void *arg;
};

struct sl_timer {
    struct sl_timer *next;
    sl_harness *harness;
    int64_t due_us;
    int64_t repeat_us;
    int fired; /* once, without repeat */
    void (*fire)(void *arg);
    void *arg;
};

struct sl_watch {
    struct sl_watch *next;
    sl_harness *harness;
    int fd;
    void (*readable)(void *arg);
    void *arg;
};

struct sl_metric {
    struct sl_metric *next;
    char *name;
    int64_t value;
};

struct sl_request {
    sl_harness *harness;
    int done;
    sl_error *error;
};

/* An emitted or fed batch. The public part comes first. */
struct batch {
    sl_harness_batch public;
    struct ArrowArray columns;
    int references;
    struct batch *next; /* of all live batches */
};

enum stream_state {
    STREAM_ASSIGNED,
    STREAM_RESOLVING,
    STREAM_RESUMING,
    STREAM_ATTACHED,
    STREAM_ENDED,
    STREAM_GONE
};

struct stream {
    sl_stream public;
    enum stream_state state;
    char *topic;
    int ready; /* poll it */
    int64_t position;
    int64_t offset;   /* of resume */
    int64_t expected; /* next offset to come */
    void *handle;
    sl_request request;
};

struct position {
    char *topic;
    int32_t partition;
    int64_t offset;
};

struct revocation {
    struct revocation *next;
    sl_stream_name *names;
    size_t n;
    void (*revoked)(void *arg);
    void *arg;
};

struct sl_harness {
    sl_harness_options options;
    void *library;
    const sl_plugin *plugin;
    const sl_role *role;
    void *config;
    void *section;
    void **owned; /* texts and arrays of the config */
    size_t n_owned;
    sl_object node_object;
    sl_object task_object;
    sl_node *node;
    sl_task *task;
    struct ArrowSchema schemas[8];
    uint32_t n_outputs;

    pthread_mutex_t mutex; /* guards calls, requests, failure, batches' references */
    int wake_fd;
    struct call *first_call;
    struct call **last_call;
    sl_error *failure;

    struct sl_timer *timers;
    struct sl_watch *watches;
    struct sl_metric *metrics;
    int64_t now_us;
    int64_t real_start_us;

    struct stream *streams[256];
    size_t n_streams;
    struct position positions[256];
    size_t n_positions;
    struct revocation *revocations;
    int all_assigned;
    int paused;

    sl_harness_batch *captured;
    struct batch **captured_batches;
    size_t n_captured;
    size_t captured_capacity;
    struct batch *live;
    size_t rejects;
    char last_reject[256];
    int violations;
    uint32_t next_index;
};

extern const sl_services harness_services;

/* Parses "key=value" texts into a fresh config struct. */
sl_error *harness_parse(sl_harness *harness, const sl_option *options, size_t config_bytes,
                        const char *const *texts, void **out);
sl_error *harness_error(sl_error_class error_class, const char *format, ...) SL_SDK_PRINTF(2, 3);
void harness_violation(sl_harness *harness, const char *format, ...) SL_SDK_PRINTF(2, 3);
void harness_fail(sl_harness *harness, sl_error *error); /* any thread; moved */
int64_t harness_now_us(const sl_harness *harness);
struct batch *harness_batch_new(sl_harness *harness, const struct ArrowSchema *schema,
                                const sl_stream *stream, struct ArrowArray *columns);
void harness_batch_release(struct batch *batch);
struct stream *harness_find(sl_harness *harness, const char *topic, int32_t partition);
struct stream *harness_add_stream(sl_harness *harness, const char *topic, int32_t partition);
/* Runs what is ready once; waits at most wait_ms when nothing is. */
void harness_turn(sl_harness *harness, int64_t wait_ms);

#endif /* HARNESS_INSIDE_H */
