/* A POSIX timer, whose expiry makes a thread. */
#include "host/watchdog.h"

#include <signal.h>

static void expired(union sigval value) {
    const struct watchdog *watchdog = value.sival_ptr;
    watchdog->bark(watchdog->arg);
}

void watchdog_set(struct watchdog *watchdog, int64_t us, void (*bark)(void *arg), void *arg) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD,
                             .sigev_value.sival_ptr = watchdog,
                             .sigev_notify_function = expired};
    struct itimerspec when = {
        .it_value = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 + 1}};
    if (watchdog->is_set || timer_create(CLOCK_MONOTONIC, &event, &watchdog->timer) != 0) {
        return;
    }
    watchdog->is_set = true;
    watchdog->bark = bark;
    watchdog->arg = arg;
    (void)timer_settime(watchdog->timer, 0, &when, NULL);
}

void watchdog_end(struct watchdog *watchdog) {
    if (watchdog->is_set) {
        (void)timer_delete(watchdog->timer);
        watchdog->is_set = false;
    }
}
