/* A store in memory whose operations fail on demand, so that tests can put a fault at any place of
 * an algorithm, or let another process act in the middle of one. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

typedef struct memory_object {
    char *path;
    uint8_t *data;
    size_t bytes;
    int64_t modified_ms;
} memory_object;

typedef struct memory_fault {
    int64_t n; /* calls until it strikes; 0: none */
    char *path_part;
    sl_store_fault kind;
    sl_error_class error_class;
} memory_fault;

typedef struct memory_hook {
    void (*call)(void *arg);
    void *arg;
    char *path_part;
} memory_hook;

typedef struct memory_store {
    sl_store base;
    pthread_mutex_t lock;
    memory_object **objects; /* ascending by path */
    size_t n;
    size_t capacity;
    memory_fault faults[SL_STORE_OPS];
    memory_hook hooks[SL_STORE_OPS];
    int64_t calls[SL_STORE_OPS];
} memory_store;

typedef struct memory_writer {
    sl_store_writer base;
    unsigned flags;
    char *path;
    sl_buffer content;
} memory_writer;

/* What a call does with the fault that it met. */
typedef struct verdict {
    sl_error *before;
    sl_error *after;
} verdict;

static const char *const op_names[SL_STORE_OPS] = {
    "put", "get", "stat", "list", "remove", "writer_open", "writer_write", "writer_commit",
};

static const char memory_root[] = "memory:";

static bool part_matches(const char *part, const char *path) {
    return part == NULL || strstr(path, part) != NULL;
}

/* Counts the call, runs its hook, and says whether it is to fail. Takes no lock afterwards. */
static verdict enter(memory_store *store, sl_store_op op, const char *path) {
    verdict v = {NULL, NULL};
    pthread_mutex_lock(&store->lock);
    store->calls[op]++;
    memory_hook hook = {NULL, NULL, NULL};
    if (store->hooks[op].call != NULL && part_matches(store->hooks[op].path_part, path)) {
        hook = store->hooks[op];
        store->hooks[op] = (memory_hook){NULL, NULL, NULL};
    }
    memory_fault *fault = &store->faults[op];
    if (fault->n > 0 && part_matches(fault->path_part, path) && --fault->n == 0) {
        sl_error *error = sl_error_new(fault->error_class, "cannot %s %s/%s: injected fault",
                                       op_names[op], memory_root, path);
        *(fault->kind == SL_STORE_FAULT_BEFORE ? &v.before : &v.after) = error;
    }
    pthread_mutex_unlock(&store->lock);
    if (hook.call != NULL) {
        hook.call(hook.arg);
        free(hook.path_part);
    }
    return v;
}

/* The answer of a call whose own result is `error`. */
static sl_error *leave(verdict v, sl_error *error) {
    if (error != NULL) {
        sl_error_free(v.after);
        return error;
    }
    return v.after;
}

/* Index of the first object whose path is not below `path`. */
static size_t lower_bound(const memory_store *store, const char *path) {
    size_t low = 0;
    size_t high = store->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(store->objects[middle]->path, path) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static memory_object *find(const memory_store *store, const char *path) {
    size_t i = lower_bound(store, path);
    return i < store->n && strcmp(store->objects[i]->path, path) == 0 ? store->objects[i] : NULL;
}

static void object_free(memory_object *object) {
    if (object != NULL) {
        free(object->path);
        free(object->data);
        free(object);
    }
}

static memory_object *object_new(const char *path, const void *data, size_t bytes) {
    memory_object *object = calloc(1, sizeof(*object));
    if (object == NULL) {
        return NULL;
    }
    object->path = strdup(path);
    object->data = malloc(bytes > 0 ? bytes : 1);
    if (object->path == NULL || object->data == NULL) {
        object_free(object);
        return NULL;
    }
    if (bytes > 0) {
        memcpy(object->data, data, bytes);
    }
    object->bytes = bytes;
    object->modified_ms = sl_now_us() / 1000;
    return object;
}

static sl_error *insert(memory_store *store, memory_object *object) {
    size_t i = lower_bound(store, object->path);
    if (i < store->n && strcmp(store->objects[i]->path, object->path) == 0) {
        object_free(store->objects[i]);
        store->objects[i] = object;
        return NULL;
    }
    if (store->n == store->capacity) {
        size_t capacity = store->capacity == 0 ? 64 : store->capacity * 2;
        memory_object **objects = realloc(store->objects, capacity * sizeof(*objects));
        if (objects == NULL) {
            object_free(object);
            return sl_error_no_memory();
        }
        store->objects = objects;
        store->capacity = capacity;
    }
    memmove(store->objects + i + 1, store->objects + i, (store->n - i) * sizeof(*store->objects));
    store->objects[i] = object;
    store->n++;
    return NULL;
}

static sl_error *put_bytes(memory_store *store, const char *path, const void *data, size_t bytes,
                           unsigned flags) {
    memory_object *object = object_new(path, data, bytes);
    if (object == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    pthread_mutex_lock(&store->lock);
    if ((flags & SL_STORE_IF_ABSENT) != 0 && find(store, path) != NULL) {
        object_free(object);
        error = sl_error_new(SL_ERROR_EXISTS, "cannot write %s/%s: it exists", memory_root, path);
    } else {
        error = insert(store, object);
    }
    pthread_mutex_unlock(&store->lock);
    return error;
}

static const char *memory_url(const sl_store *store) {
    (void)store;
    return memory_root;
}

static sl_error *memory_put(sl_store *base, const char *path, const void *data, size_t bytes,
                            unsigned flags) {
    memory_store *store = (memory_store *)base;
    sl_error *error = sl_store_check_path(memory_root, path);
    if (error != NULL) {
        return error;
    }
    verdict v = enter(store, SL_STORE_OP_PUT, path);
    return v.before != NULL ? v.before : leave(v, put_bytes(store, path, data, bytes, flags));
}

static void bytes_release(sl_store_bytes *bytes) {
    free(bytes->data);
    bytes->data = NULL;
    bytes->bytes = 0;
}

static sl_error *not_found(const char *path) {
    return sl_error_new(SL_ERROR_NOT_FOUND, "cannot open %s/%s: there is no such object",
                        memory_root, path);
}

static sl_error *get_bytes(memory_store *store, const char *path, int64_t offset, int64_t length,
                           sl_store_bytes *out) {
    sl_error *error = NULL;
    pthread_mutex_lock(&store->lock);
    const memory_object *object = find(store, path);
    if (object == NULL) {
        error = not_found(path);
    } else {
        int64_t size = (int64_t)object->bytes;
        int64_t first = offset >= 0 ? offset : offset < -size ? 0 : size + offset;
        int64_t rest = first > size ? 0 : size - first;
        size_t bytes = (size_t)(length < 0 || length > rest ? rest : length);
        uint8_t *data = malloc(bytes > 0 ? bytes : 1);
        if (data == NULL) {
            error = sl_error_no_memory();
        } else {
            if (bytes > 0) {
                memcpy(data, object->data + first, bytes);
            }
            *out = (sl_store_bytes){data, bytes, bytes_release};
        }
    }
    pthread_mutex_unlock(&store->lock);
    return error;
}

static sl_error *memory_get(sl_store *base, const char *path, int64_t offset, int64_t length,
                            sl_store_bytes *out) {
    memory_store *store = (memory_store *)base;
    sl_error *error = sl_store_check_path(memory_root, path);
    if (error != NULL) {
        return error;
    }
    verdict v = enter(store, SL_STORE_OP_GET, path);
    if (v.before != NULL || v.after != NULL) {
        return v.before != NULL ? v.before : v.after;
    }
    return get_bytes(store, path, offset, length, out);
}

static sl_error *memory_stat(sl_store *base, const char *path, sl_store_entry *out) {
    memory_store *store = (memory_store *)base;
    sl_error *error = sl_store_check_path(memory_root, path);
    if (error != NULL) {
        return error;
    }
    verdict v = enter(store, SL_STORE_OP_STAT, path);
    if (v.before != NULL || v.after != NULL) {
        return v.before != NULL ? v.before : v.after;
    }
    pthread_mutex_lock(&store->lock);
    const memory_object *object = find(store, path);
    if (object == NULL) {
        error = not_found(path);
    } else {
        *out = (sl_store_entry){path, (int64_t)object->bytes, object->modified_ms};
    }
    pthread_mutex_unlock(&store->lock);
    return error;
}

/* Copies the next object's entry after `after`, so that visit runs without the lock; *path is NULL
 * at the end. */
static sl_error *next_entry(memory_store *store, const char *after, const char *prefix,
                            int recursive, sl_store_entry *entry, char **path) {
    bool found = false;
    *path = NULL;
    size_t prefix_bytes = strlen(prefix);
    pthread_mutex_lock(&store->lock);
    for (size_t i = lower_bound(store, after); i < store->n; i++) {
        const memory_object *object = store->objects[i];
        if (strcmp(object->path, after) == 0 || strncmp(object->path, prefix, prefix_bytes) != 0 ||
            (!recursive && strchr(object->path + prefix_bytes, '/') != NULL)) {
            continue;
        }
        found = true;
        *path = strdup(object->path);
        *entry = (sl_store_entry){*path, (int64_t)object->bytes, object->modified_ms};
        break;
    }
    pthread_mutex_unlock(&store->lock);
    return found && *path == NULL ? sl_error_no_memory() : NULL;
}

static sl_error *memory_list(sl_store *base, const char *prefix, const char *start_after,
                             int recursive, sl_store_visit visit, void *arg) {
    memory_store *store = (memory_store *)base;
    sl_error *error = sl_store_check_prefix(memory_root, prefix);
    if (error != NULL) {
        return error;
    }
    verdict v = enter(store, SL_STORE_OP_LIST, prefix);
    if (v.before != NULL || v.after != NULL) {
        return v.before != NULL ? v.before : v.after;
    }
    char *after = strdup(start_after == NULL ? "" : start_after);
    error = after == NULL ? sl_error_no_memory() : NULL;
    while (after != NULL) {
        sl_store_entry entry;
        char *path = NULL;
        error = next_entry(store, after, prefix, recursive, &entry, &path);
        free(after);
        after = path;
        if (path != NULL && visit(&entry, arg) != 0) {
            break;
        }
    }
    free(after);
    return error;
}

static sl_error *memory_remove(sl_store *base, const char *path) {
    memory_store *store = (memory_store *)base;
    sl_error *error = sl_store_check_path(memory_root, path);
    if (error != NULL) {
        return error;
    }
    verdict v = enter(store, SL_STORE_OP_REMOVE, path);
    if (v.before != NULL) {
        return v.before;
    }
    pthread_mutex_lock(&store->lock);
    size_t i = lower_bound(store, path);
    if (i < store->n && strcmp(store->objects[i]->path, path) == 0) {
        object_free(store->objects[i]);
        store->n--;
        memmove(store->objects + i, store->objects + i + 1,
                (store->n - i) * sizeof(*store->objects));
    }
    pthread_mutex_unlock(&store->lock);
    return v.after;
}

static void memory_writer_abort(sl_store_writer *base) {
    memory_writer *writer = (memory_writer *)base;
    sl_buffer_free(&writer->content);
    free(writer->path);
    free(writer);
}

static sl_error *memory_writer_open(sl_store *base, const char *path, unsigned flags,
                                    sl_store_writer **out) {
    sl_error *error = sl_store_check_path(memory_root, path);
    if (error != NULL) {
        return error;
    }
    verdict v = enter((memory_store *)base, SL_STORE_OP_WRITER_OPEN, path);
    if (v.before != NULL || v.after != NULL) {
        return v.before != NULL ? v.before : v.after;
    }
    memory_writer *writer = calloc(1, sizeof(*writer));
    char *copy = strdup(path);
    if (writer == NULL || copy == NULL) {
        free(writer);
        free(copy);
        return sl_error_no_memory();
    }
    writer->base.store = base;
    writer->flags = flags;
    writer->path = copy;
    *out = &writer->base;
    return NULL;
}

static sl_error *memory_writer_write(sl_store_writer *base, const void *data, size_t bytes) {
    memory_writer *writer = (memory_writer *)base;
    verdict v = enter((memory_store *)base->store, SL_STORE_OP_WRITER_WRITE, writer->path);
    if (v.before != NULL) {
        return v.before;
    }
    bool done = sl_buffer_append(&writer->content, data, bytes);
    return leave(v, done ? NULL : sl_error_no_memory());
}

static sl_error *memory_writer_commit(sl_store_writer *base) {
    memory_writer *writer = (memory_writer *)base;
    memory_store *store = (memory_store *)base->store;
    verdict v = enter(store, SL_STORE_OP_WRITER_COMMIT, writer->path);
    sl_error *error = v.before;
    if (error == NULL) {
        error = leave(v, put_bytes(store, writer->path, writer->content.data, writer->content.bytes,
                                   writer->flags));
    }
    memory_writer_abort(base);
    return error;
}

static void memory_close(sl_store *base) {
    memory_store *store = (memory_store *)base;
    for (size_t i = 0; i < store->n; i++) {
        object_free(store->objects[i]);
    }
    free(store->objects);
    for (size_t i = 0; i < SL_STORE_OPS; i++) {
        free(store->faults[i].path_part);
        free(store->hooks[i].path_part);
    }
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static const sl_store_ops memory_ops = {
    .struct_bytes = sizeof(sl_store_ops),
    .url = memory_url,
    .put = memory_put,
    .get = memory_get,
    .stat = memory_stat,
    .list = memory_list,
    .remove = memory_remove,
    .writer_open = memory_writer_open,
    .writer_write = memory_writer_write,
    .writer_commit = memory_writer_commit,
    .writer_abort = memory_writer_abort,
    .close = memory_close,
};

sl_error *sl_store_open_memory(sl_store **out) {
    memory_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return sl_error_no_memory();
    }
    if (pthread_mutex_init(&store->lock, NULL) != 0) {
        free(store);
        return sl_error_no_memory();
    }
    store->base.ops = &memory_ops;
    *out = &store->base;
    return NULL;
}

void sl_store_memory_fail(sl_store *base, sl_store_op op, const char *path_part, int64_t n,
                          sl_store_fault fault, sl_error_class error_class) {
    memory_store *store = (memory_store *)base;
    pthread_mutex_lock(&store->lock);
    memory_fault *slot = &store->faults[op];
    free(slot->path_part);
    *slot = (memory_fault){n, path_part == NULL ? NULL : strdup(path_part), fault, error_class};
    pthread_mutex_unlock(&store->lock);
}

int64_t sl_store_memory_calls(const sl_store *base, sl_store_op op) {
    return ((const memory_store *)base)->calls[op];
}

void sl_store_memory_hook(sl_store *base, sl_store_op op, const char *path_part,
                          void (*hook)(void *arg), void *arg) {
    memory_store *store = (memory_store *)base;
    pthread_mutex_lock(&store->lock);
    free(store->hooks[op].path_part);
    store->hooks[op] = (memory_hook){hook, arg, path_part == NULL ? NULL : strdup(path_part)};
    pthread_mutex_unlock(&store->lock);
}
