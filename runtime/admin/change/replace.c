/* See replace.h. */
#include "admin/change/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static sl_error *failed(const char *file, const char *what) {
    return sl_error_new(SL_ERROR_FATAL, "%s cannot be %s: %s", file, what, strerror(errno));
}

/* Whether the file holds this. */
static sl_error *check_contents(const char *file, const char *expected, size_t bytes) {
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        return failed(file, "read");
    }
    bool same = true;
    char chunk[16384];
    size_t at = 0;
    for (size_t n; same && (n = fread(chunk, 1, sizeof(chunk), stream)) > 0; at += n) {
        same = n <= bytes - at && memcmp(chunk, expected + at, n) == 0;
    }
    same = same && at == bytes && ferror(stream) == 0;
    (void)fclose(stream);
    return same ? NULL
                : sl_error_new(SL_ERROR_CONFLICT,
                               "%s has been changed since it was loaded: reload it first, or put "
                               "back what was there",
                               file);
}

static bool write_all(int fd, const char *text, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = write(fd, text, bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        text += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* With the rights of the old one; the owner too, as far as this process may. */
static bool copy_rights(const char *file, int fd) {
    struct stat old;
    if (stat(file, &old) != 0) {
        return false;
    }
    if (fchown(fd, old.st_uid, old.st_gid) != 0 && errno != EPERM) {
        return false;
    }
    return fchmod(fd, old.st_mode & 07777) == 0;
}

static sl_error *make(struct replacement *replacement, const char *text, size_t bytes) {
    int fd = mkostemp(replacement->made, O_CLOEXEC);
    if (fd < 0) {
        sl_error *error = failed(replacement->file, "replaced: no file can be made beside it");
        free(replacement->made);
        replacement->made = NULL;
        return error;
    }
    bool good = copy_rights(replacement->file, fd) && write_all(fd, text, bytes) && fsync(fd) == 0;
    sl_error *error = good ? NULL : failed(replacement->made, "written");
    if (close(fd) != 0 && error == NULL) {
        error = failed(replacement->made, "written");
    }
    return error;
}

sl_error *replacement_prepare(struct replacement *replacement, const char *file,
                              const char *expected, size_t expected_bytes, const char *text,
                              size_t bytes) {
    replacement->file = realpath(file, NULL);
    if (replacement->file == NULL) {
        return failed(file, "found");
    }
    sl_error *error = check_contents(replacement->file, expected, expected_bytes);
    if (error != NULL) {
        return error;
    }
    if (asprintf(&replacement->made, "%s.XXXXXX", replacement->file) < 0) {
        replacement->made = NULL;
        return sl_error_no_memory();
    }
    return make(replacement, text, bytes);
}

/* The folder's entry is durable, too. */
static void sync_folder(const char *file) {
    char *copy = strdup(file);
    int fd = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    free(copy);
}

sl_error *replacement_commit(struct replacement *replacement) {
    if (rename(replacement->made, replacement->file) != 0) {
        return failed(replacement->file, "replaced");
    }
    free(replacement->made);
    replacement->made = NULL;
    sync_folder(replacement->file);
    return NULL;
}

void replacement_end(struct replacement *replacement) {
    if (replacement->made != NULL) {
        (void)unlink(replacement->made);
    }
    free(replacement->made);
    free(replacement->file);
    *replacement = (struct replacement){0};
}
