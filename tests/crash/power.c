/*
 * A power cut, as far as a file system allows: SIGKILL leaves what the kernel holds, so the shim
 * remembers which files and names have not been synced, and takes them away before it kills.
 *
 * A file's bytes are safe up to its size at the last fsync or fdatasync; its name is safe once its
 * folder has been synced after it got it. What is both is forgotten. A removed name stays removed,
 * what a rename replaced stays replaced, and folders stay: the kinder half of what may happen.
 */
#include "preload.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES 8192
#define PATH_BYTES 768

struct file {
    char path[PATH_BYTES]; /* empty: a free place */
    off_t synced_bytes;
    bool name_synced;
    int fd; /* -1: closed */
};

static struct file files[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct file *find_path(const char *path) {
    for (size_t i = 0; i < FILES; i++) {
        if (strcmp(files[i].path, path) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

static struct file *find_fd(int fd) {
    for (size_t i = 0; i < FILES; i++) {
        if (files[i].path[0] != 0 && files[i].fd == fd) {
            return &files[i];
        }
    }
    return NULL;
}

void power_made(int fd, const char *path) {
    pthread_mutex_lock(&lock);
    struct file *file = find_path("");
    if (file != NULL && strlen(path) < PATH_BYTES) {
        *file = (struct file){.fd = fd};
        strcpy(file->path, path);
    }
    pthread_mutex_unlock(&lock);
}

void power_synced(int fd) {
    pthread_mutex_lock(&lock);
    struct file *file = find_fd(fd);
    struct stat status;
    if (file != NULL && fstat(fd, &status) == 0) {
        file->synced_bytes = status.st_size;
    }
    pthread_mutex_unlock(&lock);
}

void power_closed(int fd) {
    pthread_mutex_lock(&lock);
    struct file *file = find_fd(fd);
    if (file != NULL) {
        file->fd = -1;
    }
    pthread_mutex_unlock(&lock);
}

void power_named(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    struct file *replaced = find_path(to);
    if (replaced != NULL) {
        replaced->path[0] = 0;
    }
    struct file *file = find_path(from);
    if (file != NULL && strlen(to) < PATH_BYTES) {
        strcpy(file->path, to);
        file->name_synced = false;
    }
    pthread_mutex_unlock(&lock);
}

void power_removed(const char *path) {
    pthread_mutex_lock(&lock);
    struct file *file = find_path(path);
    if (file != NULL) {
        file->path[0] = 0;
    }
    pthread_mutex_unlock(&lock);
}

static bool is_in(const char *path, const char *folder) {
    size_t bytes = strlen(folder);
    return strncmp(path, folder, bytes) == 0 && path[bytes] == '/' &&
           strchr(path + bytes + 1, '/') == NULL;
}

void power_folder_synced(const char *path) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < FILES; i++) {
        struct file *file = &files[i];
        struct stat status;
        if (file->path[0] == 0 || !is_in(file->path, path)) {
            continue;
        }
        file->name_synced = true;
        if (file->fd < 0 && stat(file->path, &status) == 0 &&
            status.st_size == file->synced_bytes) {
            file->path[0] = 0;
        }
    }
    pthread_mutex_unlock(&lock);
}

void power_cut(unsigned seed) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < FILES; i++) {
        const struct file *file = &files[i];
        struct stat status;
        if (file->path[0] == 0 || stat(file->path, &status) != 0) {
            continue;
        }
        if (!file->name_synced && rand_r(&seed) % 2 == 0) {
            (void)syscall(SYS_unlink, file->path); /* unlink() is the shim's own */
        } else if (status.st_size > file->synced_bytes &&
                   truncate(file->path, file->synced_bytes) != 0) {
            _exit(99); /* the loss could not be made: the harness sees that it was no kill */
        }
    }
}
