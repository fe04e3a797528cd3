/*
 * The bookkeeping of a step that is tried again: exponential pauses with jitter (100 ms to 10 s)
 * until retry.timeout has passed since the first failure. Who waits, and on which loop, is the
 * caller's.
 */
#ifndef HOST_RETRY_H
#define HOST_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct host;

/* Zeroed when a step begins, and again when it has succeeded. */
struct retry {
    uint32_t attempts;
    int64_t since_us; /* of the first failure */
    char why[256];    /* the last failure */
};

/* Whether the step that failed with `error` may be tried again: the error may pass, and
 * retry.timeout has not. Any thread. */
bool retry_allowed(const struct host *host, struct retry *retry, const sl_error *error);

/* Counts the try to come, warns of the error and frees it; returns the pause before it in
 * milliseconds. Any thread. */
uint64_t retry_pause_ms(struct host *host, struct retry *retry, const char *node, const char *step,
                        sl_error *error);

#endif /* HOST_RETRY_H */
