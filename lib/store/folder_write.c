/*
 * The folder store's writes. An object is written under a temporary name in its own folder, synced,
 * and given its name in one step: rename() to replace, renameat2(RENAME_NOREPLACE) or, on file
 * systems without it, link() for put-if-absent. Then the folder is synced, and every folder that
 * was made, so that success means it survives a power failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/folder.h"

/* Blocks that any file system writes around the page cache, and from how many bytes on it pays. */
#define DIRECT_BLOCK ((size_t)4096)
#define DIRECT_BYTES ((size_t)256 << 10)

typedef struct folder_writer {
    sl_store_writer base;
    unsigned flags;
    int fd;
    uint64_t written; /* bytes */
    char *full;       /* the object's path */
    char *temporary;  /* where its bytes go until commit */
} folder_writer;

static sl_error *sync_folder(const char *folder) {
    int fd = open(folder[0] == 0 ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return sl_folder_error(errno, "open the folder", folder);
    }
    sl_error *error = NULL;
    /* EINVAL: a file system that has no such thing as syncing a folder. */
    if (fsync(fd) != 0 && errno != EINVAL) {
        error = sl_folder_error(errno, "sync the folder", folder);
    }
    close(fd);
    return error;
}

/* Runs fn on the folder of `full`, which is cut there for the call. */
static sl_error *with_parent(char *full, sl_error *(*fn)(char *folder)) {
    char *slash = strrchr(full, '/');
    if (slash == NULL || slash == full) {
        return NULL;
    }
    *slash = 0;
    sl_error *error = fn(full);
    *slash = '/';
    return error;
}

static sl_error *sync_parent(char *folder) {
    return sync_folder(folder);
}

/* Makes `folder` and the missing ones above it, each synced into the one above. */
static sl_error *make_folders(char *folder) {
    if (mkdir(folder, 0777) == 0) {
        return with_parent(folder, sync_parent);
    }
    if (errno == EEXIST) {
        return NULL;
    }
    if (errno != ENOENT) {
        return sl_folder_error(errno, "make the folder", folder);
    }
    sl_error *error = with_parent(folder, make_folders);
    if (error != NULL) {
        return error;
    }
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        return sl_folder_error(errno, "make the folder", folder);
    }
    return with_parent(folder, sync_parent);
}

/* "<folder>/.sluice-tmp-<pid>-<clock>-<count>": no two processes or threads get the same. */
static char *temporary_name(const char *full) {
    static atomic_uint_fast64_t count;
    const char *slash = strrchr(full, '/');
    sl_buffer name = SL_BUFFER_INIT;
    sl_buffer_append(&name, full, (size_t)(slash - full) + 1);
    sl_buffer_printf(&name, FOLDER_TEMPORARY "%ld-%lld-%llu", (long)getpid(),
                     (long long)sl_now_us(), (unsigned long long)atomic_fetch_add(&count, 1));
    if (name.failed || sl_buffer_text(&name) == NULL) {
        sl_buffer_free(&name);
        return NULL;
    }
    return (char *)name.data;
}

static sl_error *open_temporary(folder_writer *writer) {
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    writer->fd = open(writer->temporary, flags, 0666);
    if (writer->fd < 0 && errno == ENOENT) {
        sl_error *error = with_parent(writer->full, make_folders);
        if (error != NULL) {
            return error;
        }
        writer->fd = open(writer->temporary, flags, 0666);
    }
    if (writer->fd < 0 && errno == ENOTDIR) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "cannot write %s: a file stands where a folder is to be", writer->full);
    }
    return writer->fd >= 0 ? NULL : sl_folder_error(errno, "write", writer->full);
}

static void writer_free(folder_writer *writer) {
    if (writer->fd >= 0) {
        close(writer->fd);
    }
    free(writer->full);
    free(writer->temporary);
    free(writer);
}

sl_error *sl_folder_writer_open(sl_store *store, const char *path, unsigned flags,
                                sl_store_writer **out) {
    folder_store *folder = (folder_store *)store;
    sl_error *error = sl_folder_may_write(folder, "write", path);
    if (error != NULL) {
        return error;
    }
    folder_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return sl_error_no_memory();
    }
    writer->base.store = store;
    writer->flags = flags;
    writer->fd = -1;
    error = sl_folder_path(folder, path, &writer->full);
    if (error == NULL) {
        writer->temporary = temporary_name(writer->full);
        error = writer->temporary == NULL ? sl_error_no_memory() : open_temporary(writer);
    }
    if (error != NULL) {
        writer_free(writer);
        return error;
    }
    *out = &writer->base;
    return NULL;
}

/*
 * Writes what it can of a large run of blocks around the page cache: the bytes are to be durable in
 * a moment anyway, and copying them there costs more than all else in writing them. 0 when that is
 * not possible here; whatever is wrong, the usual write that follows will say it, and it goes to
 * the same place, should this one have left something there.
 */
static size_t write_direct(const folder_writer *writer, const uint8_t *data, size_t bytes) {
    bool cached = (writer->flags & SL_STORE_VOLATILE) != 0;
    if (cached || bytes < DIRECT_BYTES || writer->written % DIRECT_BLOCK != 0 ||
        (uintptr_t)data % DIRECT_BLOCK != 0) {
        return 0;
    }
    int flags = fcntl(writer->fd, F_GETFL);
    if (flags < 0 || fcntl(writer->fd, F_SETFL, flags | O_DIRECT) != 0) {
        return 0;
    }
    ssize_t n = pwrite(writer->fd, data, bytes - bytes % DIRECT_BLOCK, (off_t)writer->written);
    (void)fcntl(writer->fd, F_SETFL, flags);
    return n > 0 ? (size_t)n : 0;
}

sl_error *sl_folder_writer_write(sl_store_writer *base, const void *data, size_t bytes) {
    folder_writer *writer = (folder_writer *)base;
    const uint8_t *rest = data;
    size_t direct = write_direct(writer, rest, bytes);
    rest += direct;
    bytes -= direct;
    writer->written += direct;
    while (bytes > 0) {
        ssize_t n = pwrite(writer->fd, rest, bytes, (off_t)writer->written);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return sl_folder_error(errno, "write", writer->full);
        }
        rest += n;
        bytes -= (size_t)n;
        writer->written += (uint64_t)n;
    }
    return NULL;
}

/* Gives the temporary its name unless that is taken: errno on failure, 0 on success. */
static int name_if_absent(const char *temporary, const char *full) {
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, full, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) {
        return errno;
    }
    if (link(temporary, full) != 0) {
        return errno;
    }
    (void)unlink(temporary); /* a leftover is ignored and removed later */
    return 0;
}

static sl_error *give_name(folder_writer *writer) {
    int code = 0;
    if ((writer->flags & SL_STORE_IF_ABSENT) != 0) {
        code = name_if_absent(writer->temporary, writer->full);
    } else if (rename(writer->temporary, writer->full) != 0) {
        code = errno;
    }
    return code == 0 ? NULL : sl_folder_error(code, "write", writer->full);
}

sl_error *sl_folder_writer_commit(sl_store_writer *base) {
    folder_writer *writer = (folder_writer *)base;
    bool durable = (writer->flags & SL_STORE_VOLATILE) == 0;
    sl_error *error = NULL;
    if (durable && fdatasync(writer->fd) != 0) {
        error = sl_folder_error(errno, "sync", writer->full);
    }
    int fd = writer->fd;
    writer->fd = -1;
    if (close(fd) != 0 && error == NULL) {
        error = sl_folder_error(errno, "close", writer->full);
    }
    if (error == NULL) {
        error = give_name(writer);
    }
    if (error != NULL) {
        (void)unlink(writer->temporary);
    } else if (durable) {
        error = with_parent(writer->full, sync_parent);
    }
    writer_free(writer);
    return error;
}

void sl_folder_writer_abort(sl_store_writer *base) {
    folder_writer *writer = (folder_writer *)base;
    (void)unlink(writer->temporary);
    writer_free(writer);
}

sl_error *sl_folder_put(sl_store *store, const char *path, const void *data, size_t bytes,
                        unsigned flags) {
    sl_store_writer *writer = NULL;
    sl_error *error = sl_folder_writer_open(store, path, flags, &writer);
    if (error != NULL) {
        return error;
    }
    error = sl_folder_writer_write(writer, data, bytes);
    if (error != NULL) {
        sl_folder_writer_abort(writer);
        return error;
    }
    return sl_folder_writer_commit(writer);
}

sl_error *sl_folder_remove(sl_store *store, const char *path) {
    folder_store *folder = (folder_store *)store;
    sl_error *error = sl_folder_may_write(folder, "remove", path);
    char *full = NULL;
    if (error == NULL) {
        error = sl_folder_path(folder, path, &full);
    }
    if (error == NULL && unlink(full) != 0 && errno != ENOENT && errno != ENOTDIR) {
        error = sl_folder_error(errno, "remove", full);
    }
    free(full);
    return error;
}
