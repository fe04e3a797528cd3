/*
 * The folder store's listing, in ascending byte order of whole paths: within a folder the names are
 * sorted as if a subfolder's name ended in '/', which makes the walk's order the order of the
 * paths. A folder's names are held in memory, never the tree's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/folder.h"

#define MAX_DEPTH 64 /* of folders; stops a loop of symbolic links */

typedef struct name_list {
    char **items; /* subfolders' names end in '/' */
    size_t n;
    size_t capacity;
} name_list;

typedef struct walk {
    const folder_store *folder;
    const char *start_after; /* NULL: from the first */
    int recursive;
    sl_store_visit visit;
    void *arg;
    bool stopped;
} walk;

static void names_free(name_list *names) {
    for (size_t i = 0; i < names->n; i++) {
        free(names->items[i]);
    }
    free(names->items);
}

static sl_error *names_add(name_list *names, const char *name, bool folder) {
    if (names->n == names->capacity) {
        size_t capacity = names->capacity == 0 ? 64 : names->capacity * 2;
        char **items = realloc(names->items, capacity * sizeof(*items));
        if (items == NULL) {
            return sl_error_no_memory();
        }
        names->items = items;
        names->capacity = capacity;
    }
    size_t bytes = strlen(name);
    char *copy = malloc(bytes + 2);
    if (copy == NULL) {
        return sl_error_no_memory();
    }
    memcpy(copy, name, bytes);
    copy[bytes] = folder ? '/' : 0;
    copy[bytes + 1] = 0;
    names->items[names->n++] = copy;
    return NULL;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A crashed writer's file is removed by whoever meets it a day later. */
static void sweep(const walk *w, int fd, const char *name) {
    struct stat status;
    if (!w->folder->read_only && fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(status.st_mode) && status.st_mtime < time(NULL) - FOLDER_TEMPORARY_AGE_S) {
        (void)unlinkat(fd, name, 0);
    }
}

/* 1: a folder, 0: a file, -1: neither (or gone). */
static int kind_of(int fd, const struct dirent *entry) {
    if (entry->d_type == DT_REG) {
        return 0;
    }
    if (entry->d_type == DT_DIR) {
        return 1;
    }
    struct stat status;
    if ((entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) ||
        fstatat(fd, entry->d_name, &status, 0) != 0) {
        return -1;
    }
    return S_ISDIR(status.st_mode) ? 1 : S_ISREG(status.st_mode) ? 0 : -1;
}

/* Whether start_after leaves anything of the subtree or file at `path` + `name` (+ '/'). */
static bool wanted(const walk *w, const char *path, const char *name, bool folder) {
    if (w->start_after == NULL) {
        return true;
    }
    size_t path_bytes = strlen(path);
    int order = strncmp(path, w->start_after, path_bytes);
    if (order != 0) {
        return order > 0;
    }
    const char *rest = w->start_after + path_bytes;
    size_t name_bytes = strlen(name);
    if (!folder) {
        return strcmp(name, rest) > 0;
    }
    order = strncmp(name, rest, name_bytes);
    return order > 0 || (order == 0 && rest[name_bytes] <= '/');
}

static sl_error *read_names(walk *w, DIR *dir, const char *full, const char *path,
                            name_list *names) {
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            return errno == 0 ? NULL : sl_folder_error(errno, "list", full);
        }
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            continue;
        }
        if (strncmp(name, FOLDER_TEMPORARY, sizeof(FOLDER_TEMPORARY) - 1) == 0) {
            sweep(w, dirfd(dir), name);
            continue;
        }
        int kind = kind_of(dirfd(dir), entry);
        if (kind < 0 || (kind == 1 && !w->recursive) || !wanted(w, path, name, kind == 1)) {
            continue;
        }
        sl_error *error = names_add(names, name, kind == 1);
        if (error != NULL) {
            return error;
        }
    }
}

static sl_error *walk_folder(walk *w, const char *path, int depth);

static sl_error *visit_name(walk *w, int fd, const char *path, const char *name, int depth) {
    sl_buffer whole = SL_BUFFER_INIT;
    sl_buffer_append_text(&whole, path);
    sl_buffer_append_text(&whole, name);
    const char *text = sl_buffer_text(&whole);
    sl_error *error = NULL;
    struct stat status;
    if (text == NULL || whole.failed) {
        error = sl_error_no_memory();
    } else if (name[strlen(name) - 1] == '/') {
        error = walk_folder(w, text, depth + 1);
    } else if (fstatat(fd, name, &status, 0) == 0) {
        sl_store_entry entry = {
            .path = text,
            .bytes = (int64_t)status.st_size,
            .modified_ms =
                (int64_t)status.st_mtim.tv_sec * 1000 + (int64_t)status.st_mtim.tv_nsec / 1000000,
        };
        w->stopped = w->visit(&entry, w->arg) != 0;
    } else if (errno != ENOENT) {
        error = sl_folder_error(errno, "stat", text);
    }
    sl_buffer_free(&whole);
    return error;
}

/* Lists the folder `path` ("" or ending in '/') below the root. */
static sl_error *walk_folder(walk *w, const char *path, int depth) {
    if (depth > MAX_DEPTH) {
        return sl_error_new(SL_ERROR_CONFIG, "cannot list %s/%s: folders nested over %d deep",
                            w->folder->root, path, MAX_DEPTH);
    }
    sl_buffer full = SL_BUFFER_INIT;
    sl_buffer_printf(&full, "%s/%s", w->folder->root, path);
    const char *text = sl_buffer_text(&full);
    if (text == NULL || full.failed) {
        sl_buffer_free(&full);
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    name_list names = {0};
    DIR *dir = opendir(text);
    if (dir == NULL) {
        error = errno == ENOENT || errno == ENOTDIR ? NULL : sl_folder_error(errno, "list", text);
    } else {
        error = read_names(w, dir, text, path, &names);
    }
    if (names.n > 1) {
        qsort(names.items, names.n, sizeof(*names.items), compare_names);
    }
    for (size_t i = 0; i < names.n && error == NULL && !w->stopped; i++) {
        error = visit_name(w, dirfd(dir), path, names.items[i], depth);
    }
    names_free(&names);
    if (dir != NULL) {
        closedir(dir);
    }
    sl_buffer_free(&full);
    return error;
}

sl_error *sl_folder_list(sl_store *store, const char *prefix, const char *start_after,
                         int recursive, sl_store_visit visit, void *arg) {
    const folder_store *folder = (folder_store *)store;
    sl_error *error = sl_store_check_prefix(folder->url, prefix);
    if (error != NULL) {
        return error;
    }
    walk w = {
        .folder = folder,
        .start_after = start_after,
        .recursive = recursive,
        .visit = visit,
        .arg = arg,
    };
    return walk_folder(&w, prefix, 0);
}
