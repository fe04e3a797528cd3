/* Steps of the control loop that are tried again after a pause. A run that ends hurries them: their
 * next try is the last. */
#include "host/retry.h"

#include "host/run.h"

#include <stdio.h>
#include <stdlib.h>

enum { RETRY_MIN_MS = 100, RETRY_MAX_MS = 10000 };

struct later {
    uv_timer_t timer;
    struct later *next;
    struct host *host;
    void (*run)(void *arg);
    void *arg;
};

/* Between half and all of RETRY_MIN_MS * 2^(attempt-1). */
static uint64_t backoff_ms(uint32_t attempt) {
    uint32_t doublings = attempt - 1;
    uint64_t delay = doublings > 20 ? RETRY_MAX_MS : (uint64_t)RETRY_MIN_MS << doublings;
    delay = delay > RETRY_MAX_MS ? RETRY_MAX_MS : delay;
    uint64_t jitter = (uint64_t)uv_hrtime() % (delay / 2 + 1);
    return delay - jitter;
}

bool retry_allowed(const struct host *host, struct retry *retry, const sl_error *error) {
    int64_t now = sl_monotonic_us();
    if (retry->attempts == 0) {
        retry->since_us = now;
    }
    return sl_error_is(error, SL_ERROR_RETRIABLE) &&
           now - retry->since_us < host->settings->retry_timeout_us;
}

uint64_t retry_pause_ms(struct host *host, struct retry *retry, const char *node, const char *step,
                        sl_error *error) {
    retry->attempts++;
    (void)snprintf(retry->why, sizeof(retry->why), "%s", sl_error_message(error));
    uint64_t pause_ms = backoff_ms(retry->attempts);
    host_log(host, SL_LOG_WARN, node, "%s: %s; trying again in %llu ms", step,
             sl_error_message(error), (unsigned long long)pause_ms);
    sl_error_free(error);
    return pause_ms;
}

static void free_later(uv_handle_t *handle) {
    free(handle->data);
}

static void unlink_later(struct later *later) {
    struct later **at = &later->host->laters;
    while (*at != later) {
        at = &(*at)->next;
    }
    *at = later->next;
}

static void fires(uv_timer_t *timer) {
    struct later *later = timer->data;
    void (*run)(void *) = later->run;
    void *arg = later->arg;
    unlink_later(later);
    uv_close((uv_handle_t *)timer, free_later);
    run(arg);
}

static void wait_and_run(struct host *host, struct later *later, uint64_t delay_ms,
                         void (*run)(void *), void *arg) {
    later->host = host;
    later->run = run;
    later->arg = arg;
    later->next = host->laters;
    host->laters = later;
    uv_timer_init(&host->control.uv, &later->timer);
    later->timer.data = later;
    uv_timer_start(&later->timer, fires, delay_ms, 0);
}

bool host_try_again(struct host *host, struct retry *retry, const char *node, const char *step,
                    sl_error *error, void (*again)(void *arg), void *arg) {
    if (!retry_allowed(host, retry, error) || host->draining || host->finished) {
        return false;
    }
    struct later *later = calloc(1, sizeof(*later));
    if (later == NULL) {
        return false;
    }
    wait_and_run(host, later, retry_pause_ms(host, retry, node, step, error), again, arg);
    return true;
}

bool host_later(struct host *host, uint64_t delay_ms, void (*run)(void *arg), void *arg) {
    struct later *later = calloc(1, sizeof(*later));
    if (later != NULL) {
        wait_and_run(host, later, delay_ms, run, arg);
    }
    return later != NULL;
}

void host_hurry(struct host *host) {
    for (struct later *later = host->laters; later != NULL; later = later->next) {
        uv_timer_start(&later->timer, fires, 0, 0);
    }
}

void host_forget_laters(struct host *host) {
    while (host->laters != NULL) {
        struct later *later = host->laters;
        host->laters = later->next;
        uv_close((uv_handle_t *)&later->timer, free_later);
    }
}
