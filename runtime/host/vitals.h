/*
 * What is measured each second: how late the loops are, how much room the state has on its disk,
 * and how many rows flow (rates.h). Control loop.
 */
#ifndef HOST_VITALS_H
#define HOST_VITALS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct host;

struct vitals {
    uv_timer_t timer;
    int64_t due_us; /* when the timer should fire next */
    int64_t control_lag_us;
    /* of the state's folder, when it is a local one */
    uv_fs_t statfs;
    bool asking;
    bool has_disk;
    int64_t disk_free_bytes; /* to sluice */
    int64_t disk_bytes;
};

/* Before the control loop runs; ended while it does, or once it will not. */
void vitals_start(struct host *host);
void vitals_end(struct host *host);

#endif /* HOST_VITALS_H */
