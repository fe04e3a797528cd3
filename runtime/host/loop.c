/* The inbox is a list under a mutex plus a coalescing uv_async: see loop.h. */
#include "host/loop.h"

#include <stdlib.h>

static void drain_inbox(uv_async_t *wake) {
    struct loop *loop = wake->data;
    uv_mutex_lock(&loop->lock);
    struct loop_message *message = loop->head;
    loop->head = NULL;
    loop->tail = &loop->head;
    uv_mutex_unlock(&loop->lock);
    while (message != NULL) {
        struct loop_message *next = message->next;
        void (*run)(void *) = message->run;
        void *arg = message->arg;
        if (message->allocated) {
            free(message);
        }
        run(arg);
        message = next;
    }
}

sl_error *loop_init(struct loop *loop, const char *name) {
    *loop = (struct loop){.name = name};
    int status = uv_loop_init(&loop->uv);
    if (status != 0) {
        return sl_error_new(SL_ERROR_FATAL, "cannot make the event loop %s: %s", name,
                            uv_strerror(status));
    }
    status = uv_async_init(&loop->uv, &loop->wake, drain_inbox);
    if (status == 0) {
        status = uv_mutex_init(&loop->lock);
    }
    if (status != 0) {
        uv_loop_close(&loop->uv);
        return sl_error_new(SL_ERROR_FATAL, "cannot make the inbox of the event loop %s: %s", name,
                            uv_strerror(status));
    }
    loop->wake.data = loop;
    loop->tail = &loop->head;
    return NULL;
}

void loop_run(struct loop *loop) {
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void thread_main(void *arg) {
    loop_run(arg);
}

sl_error *loop_start(struct loop *loop) {
    int status = uv_thread_create(&loop->thread, thread_main, loop);
    if (status != 0) {
        return sl_error_new(SL_ERROR_FATAL, "cannot start the thread %s: %s", loop->name,
                            uv_strerror(status));
    }
    loop->threaded = true;
    return NULL;
}

void loop_post(struct loop *loop, struct loop_message *message, void (*run)(void *arg), void *arg) {
    message->run = run;
    message->arg = arg;
    message->next = NULL;
    uv_mutex_lock(&loop->lock);
    *loop->tail = message;
    loop->tail = &message->next;
    uv_mutex_unlock(&loop->lock);
    uv_async_send(&loop->wake);
}

sl_error *loop_post_new(struct loop *loop, void (*run)(void *arg), void *arg) {
    struct loop_message *message = calloc(1, sizeof(*message));
    if (message == NULL) {
        return sl_error_no_memory();
    }
    message->allocated = true;
    loop_post(loop, message, run, arg);
    return NULL;
}

static void pinged(void *arg) {
    struct loop *loop = arg;
    int64_t now_us = sl_monotonic_us();
    atomic_store(&loop->lag_us, now_us - atomic_load(&loop->pinged_us));
    atomic_store(&loop->pinged_us, 0);
}

void loop_ping(struct loop *loop) {
    int64_t none = 0;
    if (atomic_compare_exchange_strong(&loop->pinged_us, &none, sl_monotonic_us())) {
        loop_post(loop, &loop->ping, pinged, loop);
    }
}

int64_t loop_lag_us(const struct loop *loop) {
    int64_t since_us = atomic_load(&loop->pinged_us);
    int64_t last_us = atomic_load(&loop->lag_us);
    int64_t so_far_us = since_us != 0 ? sl_monotonic_us() - since_us : 0;
    return so_far_us > last_us ? so_far_us : last_us;
}

static void stop_here(void *arg) {
    struct loop *loop = arg;
    uv_stop(&loop->uv);
}

void loop_stop(struct loop *loop) {
    if (loop->stopped) {
        return;
    }
    loop->stopped = true;
    if (loop_post_new(loop, stop_here, loop) != NULL) {
        /* Without memory for a message: stop at the next wake-up instead. */
        uv_stop(&loop->uv);
        uv_async_send(&loop->wake);
    }
}

void loop_close(struct loop *loop) {
    if (loop->threaded) {
        uv_thread_join(&loop->thread);
    }
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    uv_mutex_destroy(&loop->lock);
}
