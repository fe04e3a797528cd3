/* lib/http's table of watches and timers, by libuv handles. Handles are freed when libuv says that
 * they are closed, the descriptor of a watch may be closed before. */
#include "host/http_loop.h"

#include <stdlib.h>

struct watch {
    uv_poll_t poll;
    void (*ready)(void *arg, unsigned events);
    void *arg;
};

struct timer {
    uv_timer_t timer;
    void (*fire)(void *arg);
    void *arg;
};

static void free_handle(uv_handle_t *handle) {
    free(handle->data);
}

static sl_error *watch(void *context, int fd, void (*ready)(void *arg, unsigned events), void *arg,
                       void **out) {
    struct loop *loop = context;
    struct watch *watch = malloc(sizeof(*watch));
    if (watch == NULL) {
        return sl_error_no_memory();
    }
    *watch = (struct watch){.ready = ready, .arg = arg};
    int status = uv_poll_init_socket(&loop->uv, &watch->poll, fd);
    if (status != 0) {
        free(watch);
        return sl_error_new(SL_ERROR_RETRIABLE, "cannot watch a connection: %s",
                            uv_strerror(status));
    }
    watch->poll.data = watch;
    *out = watch;
    return NULL;
}

static void poll_ready(uv_poll_t *poll, int status, int events) {
    struct watch *watch = poll->data;
    unsigned ready = ((events & UV_READABLE) != 0 ? SL_HTTP_READABLE : 0) |
                     ((events & UV_WRITABLE) != 0 ? SL_HTTP_WRITABLE : 0);
    /* after an error, reading tells what it was */
    watch->ready(watch->arg, status < 0 ? SL_HTTP_READABLE : ready);
}

static sl_error *watch_events(void *handle, unsigned events) {
    struct watch *watch = handle;
    int wanted = ((events & SL_HTTP_READABLE) != 0 ? UV_READABLE : 0) |
                 ((events & SL_HTTP_WRITABLE) != 0 ? UV_WRITABLE : 0);
    int status = uv_poll_start(&watch->poll, wanted, poll_ready);
    return status == 0 ? NULL
                       : sl_error_new(SL_ERROR_RETRIABLE, "cannot watch a connection: %s",
                                      uv_strerror(status));
}

static void unwatch(void *handle) {
    struct watch *watch = handle;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, free_handle);
}

static sl_error *timer_open(void *context, void (*fire)(void *arg), void *arg, void **out) {
    struct loop *loop = context;
    struct timer *timer = malloc(sizeof(*timer));
    if (timer == NULL) {
        return sl_error_no_memory();
    }
    *timer = (struct timer){.fire = fire, .arg = arg};
    uv_timer_init(&loop->uv, &timer->timer);
    timer->timer.data = timer;
    *out = timer;
    return NULL;
}

static void timer_fires(uv_timer_t *handle) {
    struct timer *timer = handle->data;
    timer->fire(timer->arg);
}

static void timer_start(void *handle, uint64_t delay_ms) {
    struct timer *timer = handle;
    uv_update_time(timer->timer.loop);
    uv_timer_start(&timer->timer, timer_fires, delay_ms, 0);
}

static void timer_stop(void *handle) {
    struct timer *timer = handle;
    uv_timer_stop(&timer->timer);
}

static void timer_close(void *handle) {
    struct timer *timer = handle;
    uv_close((uv_handle_t *)&timer->timer, free_handle);
}

static sl_error *post(void *context, void (*run)(void *arg), void *arg) {
    return loop_post_new(context, run, arg);
}

sl_http_loop http_loop(struct loop *loop) {
    return (sl_http_loop){
        .context = loop,
        .watch = watch,
        .watch_events = watch_events,
        .unwatch = unwatch,
        .timer_open = timer_open,
        .timer_start = timer_start,
        .timer_stop = timer_stop,
        .timer_close = timer_close,
        .post = post,
    };
}
