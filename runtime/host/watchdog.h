/*
 * What ends the process when its stop takes too long. It needs no loop: a plugin, or a library of
 * its, that hangs while it is closed may hang the control loop.
 */
#ifndef HOST_WATCHDOG_H
#define HOST_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct watchdog {
    timer_t timer;
    bool is_set;
    void (*bark)(void *arg);
    void *arg;
};

/* After `us` microseconds bark(arg) is called, on a thread of its own, unless watchdog_end comes
 * first. When it is set already, or without memory for a timer, nothing happens. */
void watchdog_set(struct watchdog *watchdog, int64_t us, void (*bark)(void *arg), void *arg);
void watchdog_end(struct watchdog *watchdog);

#endif /* HOST_WATCHDOG_H */
