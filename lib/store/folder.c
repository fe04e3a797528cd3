/* The folder store: opening, reading, and what its parts share (paths, errors). Writing is in
 * folder_write.c, listing in folder_list.c. */
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/implementations.h"

static sl_error_class class_of(int code) {
    switch (code) {
    case ENOENT:
    case ENOTDIR:
        return SL_ERROR_NOT_FOUND;
    case EEXIST:
        return SL_ERROR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return SL_ERROR_FATAL;
    case ENAMETOOLONG:
    case EINVAL:
    case EISDIR:
    case ELOOP:
        return SL_ERROR_CONFIG;
    default:
        return SL_ERROR_RETRIABLE;
    }
}

static const char *advice_of(int code) {
    switch (code) {
    case ENOSPC:
    case EDQUOT:
        return "; make room on the disk";
    case EACCES:
    case EPERM:
        return "; give the user that runs sluice the right to it";
    case EROFS:
        return "; the file system is mounted read-only";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files";
    case EISDIR:
        return "; a folder stands where a file is to be";
    default:
        return "";
    }
}

sl_error *sl_folder_error(int code, const char *action, const char *full_path) {
    if (code == ENOMEM) {
        return sl_error_no_memory();
    }
    char text[128];
    return sl_error_new(class_of(code), "cannot %s %s: %s%s", action, full_path,
                        strerror_r(code, text, sizeof(text)), advice_of(code));
}

sl_error *sl_folder_path(const folder_store *folder, const char *path, char **out) {
    sl_error *error = sl_store_check_path(folder->url, path);
    if (error != NULL) {
        return error;
    }
    sl_buffer full = SL_BUFFER_INIT;
    if (!sl_buffer_printf(&full, "%s/%s", folder->root, path) || sl_buffer_text(&full) == NULL) {
        sl_buffer_free(&full);
        return sl_error_no_memory();
    }
    *out = (char *)full.data;
    return NULL;
}

sl_error *sl_folder_may_write(const folder_store *folder, const char *action, const char *path) {
    if (!folder->read_only) {
        return NULL;
    }
    return sl_error_new(SL_ERROR_FATAL, "cannot %s %s/%s: the store was opened for reading only",
                        action, folder->root, path);
}

static const char *folder_url(const sl_store *store) {
    return ((const folder_store *)store)->url;
}

static void bytes_release(sl_store_bytes *bytes) {
    free(bytes->data);
    bytes->data = NULL;
    bytes->bytes = 0;
}

static sl_error *read_all(int fd, const char *full, int64_t offset, size_t bytes,
                          sl_store_bytes *out) {
    uint8_t *data = malloc(bytes > 0 ? bytes : 1);
    if (data == NULL) {
        return sl_error_no_memory();
    }
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = pread(fd, data + done, bytes - done, (off_t)(offset + (int64_t)done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            sl_error *error = sl_folder_error(errno, "read", full);
            free(data);
            return error;
        }
        if (n == 0) {
            break; /* it shrank: the caller sees fewer bytes */
        }
        done += (size_t)n;
    }
    out->data = data;
    out->bytes = done;
    out->release = bytes_release;
    return NULL;
}

static sl_error *get_open(int fd, const char *full, int64_t offset, int64_t length,
                          sl_store_bytes *out) {
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return sl_folder_error(errno, "stat", full);
    }
    if (!S_ISREG(status.st_mode)) {
        return sl_folder_error(S_ISDIR(status.st_mode) ? EISDIR : EINVAL, "read", full);
    }
    int64_t size = (int64_t)status.st_size;
    if (offset < 0) {
        offset = offset < -size ? 0 : size + offset;
    }
    int64_t rest = offset > size ? 0 : size - offset;
    if (length < 0 || length > rest) {
        length = rest;
    }
    return read_all(fd, full, offset, (size_t)length, out);
}

static sl_error *folder_get(sl_store *store, const char *path, int64_t offset, int64_t length,
                            sl_store_bytes *out) {
    char *full = NULL;
    sl_error *error = sl_folder_path((folder_store *)store, path, &full);
    if (error != NULL) {
        return error;
    }
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error = sl_folder_error(errno, "open", full);
    } else {
        error = get_open(fd, full, offset, length, out);
        close(fd);
    }
    free(full);
    return error;
}

static sl_error *folder_stat(sl_store *store, const char *path, sl_store_entry *out) {
    char *full = NULL;
    sl_error *error = sl_folder_path((folder_store *)store, path, &full);
    if (error != NULL) {
        return error;
    }
    struct stat status;
    if (stat(full, &status) != 0) {
        error = sl_folder_error(errno, "stat", full);
    } else if (!S_ISREG(status.st_mode)) {
        error = sl_folder_error(ENOENT, "find a file at", full);
    } else {
        out->path = path;
        out->bytes = (int64_t)status.st_size;
        out->modified_ms =
            (int64_t)status.st_mtim.tv_sec * 1000 + (int64_t)status.st_mtim.tv_nsec / 1000000;
    }
    free(full);
    return error;
}

static void folder_close(sl_store *store) {
    folder_store *folder = (folder_store *)store;
    free(folder->root);
    free(folder->url);
    free(folder);
}

static const sl_store_ops folder_ops = {
    .struct_bytes = sizeof(sl_store_ops),
    .url = folder_url,
    .put = sl_folder_put,
    .get = folder_get,
    .stat = folder_stat,
    .list = sl_folder_list,
    .remove = sl_folder_remove,
    .writer_open = sl_folder_writer_open,
    .writer_write = sl_folder_writer_write,
    .writer_commit = sl_folder_writer_commit,
    .writer_abort = sl_folder_writer_abort,
    .close = folder_close,
};

/* "file://" and the path, with what a URL cannot hold percent-encoded. */
static char *url_of(const char *root) {
    sl_buffer url = SL_BUFFER_INIT;
    sl_buffer_append_text(&url, "file://");
    for (const char *p = root[0] == 0 ? "/" : root; *p != 0; p++) {
        unsigned char c = (unsigned char)*p;
        if (c <= 0x20 || c >= 0x7f || strchr("%?#\"<>\\^`{|}", c) != NULL) {
            sl_buffer_printf(&url, "%%%02X", c);
        } else {
            sl_buffer_append_byte(&url, c);
        }
    }
    if (url.failed || sl_buffer_text(&url) == NULL) {
        sl_buffer_free(&url);
        return NULL;
    }
    return (char *)url.data;
}

sl_error *sl_folder_open(const char *root, bool read_only, sl_store **out) {
    folder_store *folder = calloc(1, sizeof(*folder));
    if (folder == NULL) {
        return sl_error_no_memory();
    }
    folder->base.ops = &folder_ops;
    folder->read_only = read_only;
    folder->root = strdup(root);
    folder->url = url_of(root);
    if (folder->root == NULL || folder->url == NULL) {
        folder_close(&folder->base);
        return sl_error_no_memory();
    }
    *out = &folder->base;
    return NULL;
}
