/*
 * What takes long in the field, and what happens late, for the crash tests. Environment:
 *
 *   SLUICE_CRASH_SLOW   "FOLDER MS": syncing a file whose path has FOLDER in it takes so long
 *   SLUICE_CRASH_AHEAD  once it has written some log entries the process has a wall clock that is
 *                       so many seconds ahead: what it does ten minutes after, it does then
 *
 * libraries keep their clock, since librdkafka waits until a time of day.
 */
#include "preload.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_FD 65536
#define ENTRIES 20 /* of all tables, each of which has written some by then */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static char slow_folder[256];
static long slow_ms;
static time_t ahead_s;
static atomic_int entries;
static atomic_bool fd_slow[MAX_FD];

static void start(void) {
    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *slow = getenv("SLUICE_CRASH_SLOW"), *ahead = getenv("SLUICE_CRASH_AHEAD");
    if (real_clock_gettime == NULL ||
        (slow != NULL && sscanf(slow, "%255s %ld", slow_folder, &slow_ms) != 2)) {
        _exit(98);
    }
    ahead_s = ahead == NULL ? 0 : atol(ahead);
}

void slow_opened(int fd, const char *path) {
    pthread_once(&once, start);
    if (fd < MAX_FD) {
        atomic_store(&fd_slow[fd], slow_ms > 0 && strstr(path, slow_folder) != NULL);
    }
}

void slow_sync(int fd) {
    if (fd < MAX_FD && atomic_load(&fd_slow[fd])) {
        usleep((useconds_t)slow_ms * 1000);
    }
}

void slow_entry_written(void) {
    atomic_fetch_add(&entries, 1);
}

static bool is_library(void *caller) {
    Dl_info info;
    return dladdr(caller, &info) == 0 || info.dli_fname == NULL ||
           strncmp(info.dli_fname, "/lib", 4) == 0 || strncmp(info.dli_fname, "/usr/", 5) == 0;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *out) {
    pthread_once(&once, start);
    int result = real_clock_gettime(clock, out);
    if (result == 0 && clock == CLOCK_REALTIME && ahead_s > 0 && atomic_load(&entries) >= ENTRIES &&
        !is_library(__builtin_return_address(0))) {
        out->tv_sec += ahead_s;
    }
    return result;
}
