/*
 * What the shims for LD_PRELOAD (preload.c, ../faults/inject.c) have in common: the real calls, the
 * kind of what each descriptor is open to, and the calls that libc has under two names. One file of
 * a shim includes this.
 */
#ifndef TESTS_CRASH_INTERPOSE_H
#define TESTS_CRASH_INTERPOSE_H

#include "preload.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#define INTERPOSED __attribute__((visibility("default")))
#define MAX_FD 65536

static atomic_uchar fd_kinds[MAX_FD];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The includer's: looks the real calls up and reads the environment; `open` and `pwrite`. */
static void start(void);
static int open_here(const char *path, int flags, mode_t mode);
static ssize_t write_here(int fd, const void *data, size_t bytes, off_t offset);

static void *next(const char *name) {
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL) {
        _exit(98);
    }
    return symbol;
}

static enum kind kind_of_fd(int fd) {
    pthread_once(&once, start);
    return fd < 0 || fd >= MAX_FD ? KIND_NONE : (enum kind)atomic_load(&fd_kinds[fd]);
}

static mode_t mode_argument(int flags, va_list arguments) {
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

INTERPOSED int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_argument(flags, arguments);
    va_end(arguments);
    return open_here(path, flags, mode);
}

INTERPOSED int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_argument(flags, arguments);
    va_end(arguments);
    return open_here(path, flags, mode);
}

INTERPOSED ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    return write_here(fd, data, bytes, offset);
}

INTERPOSED ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t offset) {
    return write_here(fd, data, bytes, offset);
}

#endif /* TESTS_CRASH_INTERPOSE_H */
