/* A loop of poll(2) for tests of lib/http: proof that the library needs no other. One thread runs
 * it; posts come from any. */
#ifndef TESTS_HTTP_LOOP_POLL_H
#define TESTS_HTTP_LOOP_POLL_H

#include "http/http.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LOOP_HANDLES = 64 };

struct poll_watch {
    int fd; /* -1: free */
    unsigned events;
    void (*ready)(void *arg, unsigned events);
    void *arg;
};

struct poll_timer {
    bool used;
    int64_t at_us; /* 0: stopped */
    void (*fire)(void *arg);
    void *arg;
};

struct poll_post {
    struct poll_post *next;
    void (*run)(void *arg);
    void *arg;
};

struct poll_loop {
    struct poll_watch watches[LOOP_HANDLES];
    struct poll_timer timers[LOOP_HANDLES];
    int wake;
    pthread_mutex_t lock;
    struct poll_post *posts;
    struct poll_post **tail;
    bool stop;
};

static sl_error *poll_loop_watch(void *context, int fd, void (*ready)(void *, unsigned), void *arg,
                                 void **out) {
    struct poll_loop *loop = context;
    for (size_t i = 0; i < LOOP_HANDLES; i++) {
        if (loop->watches[i].fd < 0) {
            loop->watches[i] = (struct poll_watch){.fd = fd, .ready = ready, .arg = arg};
            *out = &loop->watches[i];
            return NULL;
        }
    }
    return sl_error_no_memory();
}

static sl_error *poll_loop_events(void *watch, unsigned events) {
    ((struct poll_watch *)watch)->events = events;
    return NULL;
}

static void poll_loop_unwatch(void *watch) {
    ((struct poll_watch *)watch)->fd = -1;
}

static sl_error *poll_loop_timer(void *context, void (*fire)(void *), void *arg, void **out) {
    struct poll_loop *loop = context;
    for (size_t i = 0; i < LOOP_HANDLES; i++) {
        if (!loop->timers[i].used) {
            loop->timers[i] = (struct poll_timer){.used = true, .fire = fire, .arg = arg};
            *out = &loop->timers[i];
            return NULL;
        }
    }
    return sl_error_no_memory();
}

static void poll_loop_timer_start(void *timer, uint64_t delay_ms) {
    ((struct poll_timer *)timer)->at_us = sl_monotonic_us() + (int64_t)delay_ms * 1000 + 1;
}

static void poll_loop_timer_stop(void *timer) {
    ((struct poll_timer *)timer)->at_us = 0;
}

static void poll_loop_timer_close(void *timer) {
    *(struct poll_timer *)timer = (struct poll_timer){0};
}

static sl_error *poll_loop_post(void *context, void (*run)(void *), void *arg) {
    struct poll_loop *loop = context;
    struct poll_post *post = malloc(sizeof(*post));
    if (post == NULL) {
        return sl_error_no_memory();
    }
    *post = (struct poll_post){.run = run, .arg = arg};
    pthread_mutex_lock(&loop->lock);
    *loop->tail = post;
    loop->tail = &post->next;
    pthread_mutex_unlock(&loop->lock);
    const uint64_t one = 1;
    return write(loop->wake, &one, sizeof(one)) == sizeof(one) ? NULL : sl_error_no_memory();
}

static void poll_loop_run_posts(struct poll_loop *loop) {
    uint64_t count;
    while (read(loop->wake, &count, sizeof(count)) == sizeof(count)) {
    }
    pthread_mutex_lock(&loop->lock);
    struct poll_post *post = loop->posts;
    loop->posts = NULL;
    loop->tail = &loop->posts;
    pthread_mutex_unlock(&loop->lock);
    while (post != NULL) {
        struct poll_post *next = post->next;
        post->run(post->arg);
        free(post);
        post = next;
    }
}

static int poll_loop_fire_timers(struct poll_loop *loop) {
    int64_t next_us = 1000000;
    for (size_t i = 0; i < LOOP_HANDLES; i++) {
        struct poll_timer *timer = &loop->timers[i];
        int64_t left_us = timer->at_us - sl_monotonic_us();
        if (timer->at_us != 0 && left_us <= 0) {
            timer->at_us = 0;
            timer->fire(timer->arg);
            next_us = 0;
        } else if (timer->at_us != 0 && left_us < next_us) {
            next_us = left_us;
        }
    }
    return (int)(next_us / 1000) + (next_us > 0);
}

static void *poll_loop_main(void *arg) {
    struct poll_loop *loop = arg;
    while (!loop->stop) {
        int timeout_ms = poll_loop_fire_timers(loop);
        struct pollfd fds[LOOP_HANDLES + 1];
        for (size_t i = 0; i < LOOP_HANDLES; i++) {
            const struct poll_watch *watch = &loop->watches[i];
            short events = (short)(((watch->events & SL_HTTP_READABLE) != 0 ? POLLIN : 0) |
                                   ((watch->events & SL_HTTP_WRITABLE) != 0 ? POLLOUT : 0));
            fds[i] = (struct pollfd){.fd = watch->fd, .events = events};
        }
        fds[LOOP_HANDLES] = (struct pollfd){.fd = loop->wake, .events = POLLIN};
        poll(fds, LOOP_HANDLES + 1, timeout_ms);
        for (size_t i = 0; i < LOOP_HANDLES; i++) {
            struct poll_watch *watch = &loop->watches[i];
            unsigned ready =
                ((fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) * SL_HTTP_READABLE |
                ((fds[i].revents & POLLOUT) != 0) * SL_HTTP_WRITABLE;
            if (fds[i].fd >= 0 && watch->fd == fds[i].fd && ready != 0) {
                watch->ready(watch->arg, ready);
            }
        }
        poll_loop_run_posts(loop);
    }
    return NULL;
}

static void poll_loop_stop(void *arg) {
    ((struct poll_loop *)arg)->stop = true;
}

static void poll_loop_init(struct poll_loop *loop) {
    *loop = (struct poll_loop){.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    for (size_t i = 0; i < LOOP_HANDLES; i++) {
        loop->watches[i].fd = -1;
    }
    loop->tail = &loop->posts;
    pthread_mutex_init(&loop->lock, NULL);
}

static void poll_loop_free(struct poll_loop *loop) {
    close(loop->wake);
    pthread_mutex_destroy(&loop->lock);
}

static sl_http_loop poll_loop_table(struct poll_loop *loop) {
    return (sl_http_loop){
        .context = loop,
        .watch = poll_loop_watch,
        .watch_events = poll_loop_events,
        .unwatch = poll_loop_unwatch,
        .timer_open = poll_loop_timer,
        .timer_start = poll_loop_timer_start,
        .timer_stop = poll_loop_timer_stop,
        .timer_close = poll_loop_timer_close,
        .post = poll_loop_post,
    };
}

#endif /* TESTS_HTTP_LOOP_POLL_H */
