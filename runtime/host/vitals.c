/* Vital signs (see vitals.h): a timer that pings the lanes, whose own lateness is that of the
 * control loop. */
#include "host/vitals.h"

#include "delivery/stream.h"
#include "host/run.h"

enum { EVERY_MS = 1000 };

#define FILE_URL "file://"

/* The state's folder; NULL: it is not on this machine's disks. */
static const char *state_folder(const struct host *host) {
    const char *url = host->settings->state_url;
    if (url != NULL && strncmp(url, FILE_URL, strlen(FILE_URL)) == 0) {
        url += strlen(FILE_URL);
    }
    return url != NULL && *url == '/' ? url : NULL;
}

static void took_statfs(uv_fs_t *request) {
    struct host *host = request->data;
    struct vitals *vitals = &host->vitals;
    const uv_statfs_t *found = request->ptr;
    vitals->has_disk = request->result == 0 && found != NULL;
    if (vitals->has_disk) {
        vitals->disk_free_bytes = (int64_t)(found->f_bavail * found->f_bsize);
        vitals->disk_bytes = (int64_t)(found->f_blocks * found->f_bsize);
    }
    vitals->asking = false;
    uv_fs_req_cleanup(request);
}

/* On the pool, since a folder of the network may take its time. */
static void ask_disk(struct host *host) {
    struct vitals *vitals = &host->vitals;
    const char *folder = state_folder(host);
    if (folder != NULL && !vitals->asking) {
        vitals->statfs.data = host;
        vitals->asking = uv_fs_statfs(&host->control.uv, &vitals->statfs, folder, took_statfs) == 0;
    }
}

static void fires(uv_timer_t *timer) {
    struct host *host = timer->data;
    struct vitals *vitals = &host->vitals;
    int64_t now_us = sl_monotonic_us();
    vitals->control_lag_us = now_us > vitals->due_us ? now_us - vitals->due_us : 0;
    vitals->due_us = now_us + EVERY_MS * 1000;
    uv_timer_start(timer, fires, EVERY_MS, 0);
    for (uint32_t i = 0; i < host->n_lanes; i++) {
        loop_ping(&host->lanes[i].loop);
    }
    ask_disk(host);
    rates_sample(host);
    streams_forget_gone(host);
}

void vitals_start(struct host *host) {
    host->vitals.due_us = sl_monotonic_us();
    uv_timer_init(&host->control.uv, &host->vitals.timer);
    host->vitals.timer.data = host;
    uv_timer_start(&host->vitals.timer, fires, 0, 0);
}

void vitals_end(struct host *host) {
    uv_close((uv_handle_t *)&host->vitals.timer, NULL);
}
