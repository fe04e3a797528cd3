/*
 * The last lines of the log, for who asks the endpoint: what happened lately, without a way to the
 * log's file. Any thread; lines are rare, so a lock keeps them.
 */
#ifndef HOST_EVENTS_H
#define HOST_EVENTS_H

#include "base/base.h"
#include "sluice/services.h"

enum { EVENTS_KEPT = 500, EVENT_BYTES = 1000 };

struct events;

/* NULL: memory is short. */
struct events *events_new(void);
void events_free(struct events *events); /* NULL is allowed */

/* Keeps a line (copied; its end is cut off when it is longer than EVENT_BYTES); `node` may be NULL.
 * Without memory it is not kept. */
void events_add(struct events *events, sl_log_level level, const char *node, const char *text);

/* One line. Lines are numbered from 1. */
struct event {
    int64_t number;
    int64_t time_us; /* Unix time */
    sl_log_level level;
    const char *node; /* NULL: none */
    const char *text;
};

/* Calls visit(arg, event) for each line that is kept with a number above `after`, oldest first;
 * `visit` must not log. */
void events_list(struct events *events, int64_t after,
                 void (*visit)(void *arg, const struct event *event), void *arg);

#endif /* HOST_EVENTS_H */
