/*
 * Appending whole lines: a line that a crash cut off is taken away when the file is opened again,
 * and what a failed append left behind is cut off at once. Rotated files get the time and a number
 * into their name and never replace another.
 */
#include "appender.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static sl_error *trouble(const char *what, const char *path) {
    int code = errno;
    bool lasting = code == EACCES || code == EPERM || code == EROFS || code == ENOTDIR ||
                   code == EISDIR || code == ENAMETOOLONG;
    return sl_error_new(lasting ? SL_ERROR_FATAL : SL_ERROR_RETRIABLE, "cannot %s %s: %s", what,
                        path, strerror(code));
}

/* Makes the folders above `path`. */
static sl_error *make_folders(const char *path) {
    char *copy = strdup(path);
    if (copy == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    for (char *at = strchr(copy + 1, '/'); at != NULL && error == NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            error = trouble("make the folder", copy);
        }
        *at = '/';
    }
    free(copy);
    return error;
}

static sl_error *sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL   ? strdup(".")
                   : slash == path ? strdup("/")
                                   : strndup(path, (size_t)(slash - path));
    if (folder == NULL) {
        return sl_error_no_memory();
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sl_error *error = fd < 0 || fsync(fd) != 0 ? trouble("sync the folder", folder) : NULL;
    if (fd >= 0) {
        close(fd);
    }
    free(folder);
    return error;
}

/* The size of the file without a last line that has no end. */
static sl_error *whole_lines(int fd, const char *path, int64_t bytes, int64_t *whole) {
    char block[65536];
    while (bytes > 0) {
        size_t n = bytes < (int64_t)sizeof(block) ? (size_t)bytes : sizeof(block);
        if (pread(fd, block, n, bytes - (int64_t)n) != (ssize_t)n) {
            return trouble("read", path);
        }
        const char *end = memrchr(block, '\n', n);
        if (end != NULL) {
            *whole = bytes - (int64_t)n + (end - block) + 1;
            return NULL;
        }
        bytes -= (int64_t)n;
    }
    *whole = 0;
    return NULL;
}

static sl_error *open_file(struct appender *appender, int64_t now_us) {
    sl_error *error = make_folders(appender->path);
    if (error != NULL) {
        return error;
    }
    int fd = open(appender->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        error = trouble("open", appender->path);
        goto failed;
    }
    int64_t whole = 0;
    error = whole_lines(fd, appender->path, status.st_size, &whole);
    if (error == NULL && whole < status.st_size && ftruncate(fd, whole) != 0) {
        error = trouble("cut the unfinished last line of", appender->path);
    }
    if (error == NULL) {
        error = sync_folder(appender->path);
    }
    if (error == NULL) {
        appender->fd = fd;
        appender->bytes = whole;
        appender->first_us = whole > 0 ? status.st_ctim.tv_sec * INT64_C(1000000) : now_us;
        return NULL;
    }
failed:
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

void appender_close(struct appender *appender) {
    if (appender->fd >= 0) {
        close(appender->fd);
        appender->fd = -1;
    }
}

/* "out/events.jsonl" becomes "out/events-20261122T100000Z-1.jsonl". */
static sl_error *put_aside(struct appender *appender, int64_t now_us) {
    const char *path = appender->path;
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(path, '.');
    if (dot == NULL || (slash != NULL && dot < slash + 2)) {
        dot = path + strlen(path);
    }
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm parts;
    char stamp[32] = "";
    gmtime_r(&seconds, &parts);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &parts);
    sl_buffer name = SL_BUFFER_INIT;
    for (;;) {
        sl_buffer_clear(&name);
        sl_buffer_printf(&name, "%.*s-%s-%lld%s", (int)(dot - path), path, stamp,
                         (long long)++appender->files_aside, dot);
        const char *to = sl_buffer_text(&name);
        if (to == NULL) {
            sl_buffer_free(&name);
            return sl_error_no_memory();
        }
        if (link(path, to) == 0) {
            break;
        }
        if (errno != EEXIST) {
            sl_error *error = trouble("rename", path);
            sl_buffer_free(&name);
            return error;
        }
    }
    sl_buffer_free(&name);
    sl_error *error = unlink(path) != 0 ? trouble("rename", path) : sync_folder(path);
    appender_close(appender);
    return error;
}

static bool is_due(const struct appender *appender, int64_t now_us) {
    return appender->fd >= 0 && appender->bytes > 0 &&
           ((appender->rotate_bytes > 0 && appender->bytes >= appender->rotate_bytes) ||
            (appender->rotate_us > 0 && now_us - appender->first_us >= appender->rotate_us));
}

static bool write_all(int fd, const sl_buffer *buffer) {
    size_t written = 0;
    while (written < buffer->bytes) {
        ssize_t n = write(fd, buffer->data + written, buffer->bytes - written);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        written += n > 0 ? (size_t)n : 0;
    }
    return true;
}

sl_error *appender_append(struct appender *appender, sl_buffer *const *buffers, size_t n,
                          int64_t now_us) {
    sl_error *error = is_due(appender, now_us) ? put_aside(appender, now_us) : NULL;
    if (error == NULL && appender->fd < 0) {
        error = open_file(appender, now_us);
        if (error == NULL && is_due(appender, now_us)) { /* of an earlier run */
            error = put_aside(appender, now_us);
            error = error != NULL ? error : open_file(appender, now_us);
        }
    }
    int64_t bytes = 0;
    for (size_t i = 0; i < n && error == NULL; i++) {
        bytes += (int64_t)buffers[i]->bytes;
        error = write_all(appender->fd, buffers[i]) ? NULL : trouble("write to", appender->path);
    }
    if (error == NULL && fdatasync(appender->fd) != 0) {
        error = trouble("sync", appender->path);
    }
    if (error != NULL && appender->fd >= 0) {
        int cut = ftruncate(appender->fd, appender->bytes);
        (void)cut; /* what stays is at least once; an unfinished line is cut at the next opening */
        appender_close(appender);
    } else if (error == NULL) {
        appender->first_us = appender->bytes == 0 ? now_us : appender->first_us;
        appender->bytes += bytes;
    }
    return error;
}
