/*
 * A loop: one libuv loop with an inbox, on its own thread or on the caller's. The inbox is the only
 * way from one loop to another; messages are run in the order in which they were posted.
 */
#ifndef HOST_LOOP_H
#define HOST_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "base/base.h"

/* Owned by the poster until it runs; may be posted again from inside its own run. */
struct loop_message {
    struct loop_message *next;
    void (*run)(void *arg);
    void *arg;
    bool allocated; /* by loop_post_new */
};

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_mutex_t lock;
    struct loop_message *head;
    struct loop_message **tail;
    uv_thread_t thread;
    bool threaded;
    bool stopped; /* loop_stop has been called */
    const char *name;
    struct loop_message ping;
    _Atomic int64_t pinged_us; /* 0: no ping is under way */
    _Atomic int64_t lag_us;    /* of the last ping */
};

/* On failure nothing is left. `name` is borrowed. */
sl_error *loop_init(struct loop *loop, const char *name);
/* Runs the loop on a thread of its own until loop_stop. */
sl_error *loop_start(struct loop *loop);
/* Runs it on the calling thread until loop_stop. */
void loop_run(struct loop *loop);

/* Any thread; cannot fail. */
void loop_post(struct loop *loop, struct loop_message *message, void (*run)(void *arg), void *arg);
/* The same with a message of its own. Any thread. */
sl_error *loop_post_new(struct loop *loop, void (*run)(void *arg), void *arg);

/* Posts a message that measures how long the loop lets messages wait, unless one is under way. Any
 * thread; not once the loop may have ended. */
void loop_ping(struct loop *loop);
/* What the last ping measured, or how long the one under way has taken so far. Any thread. */
int64_t loop_lag_us(const struct loop *loop);

/* Ends the loop after the messages posted before. Any thread. */
void loop_stop(struct loop *loop);
/* Waits for the thread, if there is one, and frees the loop. Every handle on it must be closing or
 * closed. */
void loop_close(struct loop *loop);

#endif /* HOST_LOOP_H */
