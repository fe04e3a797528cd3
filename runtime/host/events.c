/* A ring of lines under a mutex (see events.h). */
#include "host/events.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Its texts stand behind it, each with a 0 byte. */
struct line {
    struct event event;
    char texts[];
};

struct events {
    pthread_mutex_t lock;
    int64_t last; /* number */
    struct line *lines[EVENTS_KEPT];
};

struct events *events_new(void) {
    struct events *events = calloc(1, sizeof(*events));
    if (events != NULL) {
        (void)pthread_mutex_init(&events->lock, NULL);
    }
    return events;
}

void events_free(struct events *events) {
    if (events != NULL) {
        for (size_t i = 0; i < EVENTS_KEPT; i++) {
            free(events->lines[i]);
        }
        (void)pthread_mutex_destroy(&events->lock);
        free(events);
    }
}

/* Cuts no character in two. */
static size_t cut(const char *text) {
    size_t bytes = strnlen(text, EVENT_BYTES + 1);
    if (bytes <= EVENT_BYTES) {
        return bytes;
    }
    bytes = EVENT_BYTES;
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80) {
        bytes--;
    }
    return bytes;
}

static struct line *line_new(sl_log_level level, const char *node, const char *text) {
    size_t node_bytes = node != NULL ? strlen(node) + 1 : 0;
    size_t bytes = cut(text);
    struct line *line = calloc(1, sizeof(*line) + node_bytes + bytes + 1);
    if (line == NULL) {
        return NULL;
    }
    if (node != NULL) {
        memcpy(line->texts, node, node_bytes);
    }
    memcpy(line->texts + node_bytes, text, bytes);
    line->event = (struct event){.time_us = sl_now_us(),
                                 .level = level,
                                 .node = node != NULL ? line->texts : NULL,
                                 .text = line->texts + node_bytes};
    return line;
}

void events_add(struct events *events, sl_log_level level, const char *node, const char *text) {
    struct line *line = line_new(level, node, text);
    if (line == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&events->lock);
    struct line **place = &events->lines[events->last % EVENTS_KEPT];
    struct line *old = *place;
    line->event.number = ++events->last;
    *place = line;
    (void)pthread_mutex_unlock(&events->lock);
    free(old);
}

void events_list(struct events *events, int64_t after,
                 void (*visit)(void *arg, const struct event *event), void *arg) {
    (void)pthread_mutex_lock(&events->lock);
    int64_t first = events->last > EVENTS_KEPT ? events->last - EVENTS_KEPT : 0;
    for (int64_t number = after > first ? after : first; number < events->last; number++) {
        visit(arg, &events->lines[number % EVENTS_KEPT]->event);
    }
    (void)pthread_mutex_unlock(&events->lock);
}
