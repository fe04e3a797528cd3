/*
 * A store: a folder or an object-store path that holds data files, table logs and state. Everything
 * durable goes through this interface, so that a plugin works the same on a POSIX folder and on
 * Azure. The host opens stores (credentials, connections and limits are its own) and hands them to
 * plugins; lib/delta and tests take one as they take any object.
 *
 * Beyond get, list and delete there is one primitive: put if absent. All operations block and may
 * be called from any thread, so never from a lane or from the control loop: use
 * sl_services.work() there.
 *
 * Paths are relative to the store's root, '/'-separated, UTF-8, without ".", ".." or empty parts;
 * they are plain text, not URI-encoded.
 */
#ifndef SLUICE_STORE_H
#define SLUICE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sl_store sl_store;
typedef struct sl_store_writer sl_store_writer;

/* Bytes owned by their receiver: call release(&bytes) once when done; `data` may be NULL when bytes
 * is 0. */
typedef struct sl_store_bytes {
    uint8_t *data;
    size_t bytes;
    void (*release)(struct sl_store_bytes *);
} sl_store_bytes;

/* One listed object; borrowed for the call. */
typedef struct sl_store_entry {
    const char *path;    /* relative to the store's root */
    int64_t bytes;       /* -1: not known */
    int64_t modified_ms; /* Unix time; 0: not known */
} sl_store_entry;

/* Returns 0 to go on, another number to end the listing early (which is success). */
typedef int (*sl_store_visit)(const sl_store_entry *entry, void *arg);

enum {
    SL_STORE_IF_ABSENT = 1u, /* fail with SL_ERROR_EXISTS, changing nothing, when the path exists */
    SL_STORE_VOLATILE = 2u   /* need not survive a power failure (caches) */
};

/*
 * struct_bytes first. Every operation: on failure nothing is owned by the caller, out-pointers are
 * untouched, and the message names the operation and the full URL. Errors: RETRIABLE (I/O,
 * time-out, throttling), FATAL (permission, read-only), NOT_FOUND, EXISTS, CONFIG (bad path),
 * NO_MEMORY.
 */
typedef struct sl_store_ops {
    uint32_t struct_bytes;

    /* Borrowed: the root's URL without credentials. */
    const char *(*url)(const sl_store *store);

    /*
     * Makes the object with exactly these bytes, whole and durable when it returns success: a
     * reader sees all of it or nothing. Without SL_STORE_IF_ABSENT an existing object is replaced.
     * Missing folders are made.
     */
    sl_error *(*put)(sl_store *store, const char *path, const void *data, size_t bytes,
                     unsigned flags);

    /* Reads `length` bytes from `offset` (clipped at the end; length < 0: to the end; offset < 0:
     * the last -offset bytes). */
    sl_error *(*get)(sl_store *store, const char *path, int64_t offset, int64_t length,
                     sl_store_bytes *out);

    /* Size and time of one object; entry->path is the caller's own pointer. */
    sl_error *(*stat)(sl_store *store, const char *path, sl_store_entry *out);

    /*
     * Visits every object below `prefix` (a folder path ending in '/', or "") whose path is greater
     * than `start_after` (NULL: from the first) in ascending byte order. A missing folder is empty.
     * `recursive` 0: only direct children that are objects.
     */
    sl_error *(*list)(sl_store *store, const char *prefix, const char *start_after, int recursive,
                      sl_store_visit visit, void *arg);

    /* Deletes one object; success when it was not there. */
    sl_error *(*remove)(sl_store *store, const char *path);

    /*
     * Streaming put: the object appears, whole and durable, when writer_commit succeeds. Either
     * writer_commit or writer_abort ends the writer's life, whatever they return. One thread at a
     * time.
     */
    sl_error *(*writer_open)(sl_store *store, const char *path, unsigned flags,
                             sl_store_writer **out);
    sl_error *(*writer_write)(sl_store_writer *writer, const void *data, size_t bytes);
    sl_error *(*writer_commit)(sl_store_writer *writer);
    void (*writer_abort)(sl_store_writer *writer);

    /* Gives the store back. Called once, by whoever opened it. */
    void (*close)(sl_store *store);

    /*
     * Reads several objects and asks for all of them at once: what sl_store_get_all does, which
     * also serves where this is NULL. Since ABI 1.1.
     */
    sl_error *(*get_all)(sl_store *store, const char *const *paths, size_t n, int64_t length,
                         sl_store_bytes *out, size_t *n_read);
} sl_store_ops;

/* An implementation's object begins with this. */
struct sl_store {
    const sl_store_ops *ops;
};
struct sl_store_writer {
    sl_store *store;
};

/*
 * Reads the first `length` bytes (< 0: all) of each of `n` objects, in the time of one where the
 * store can. out[0] to out[*n_read - 1] are the caller's, also after an error, which is that of
 * paths[*n_read]: those behind it are not read.
 */
static inline sl_error *sl_store_get_all(sl_store *store, const char *const *paths, size_t n,
                                         int64_t length, sl_store_bytes *out, size_t *n_read) {
    const sl_store_ops *ops = store->ops;
    if (ops->struct_bytes >= offsetof(sl_store_ops, get_all) + sizeof(ops->get_all) &&
        ops->get_all != NULL) {
        return ops->get_all(store, paths, n, length, out, n_read);
    }
    sl_error *error = NULL;
    for (*n_read = 0; *n_read < n; ++*n_read) {
        error = ops->get(store, paths[*n_read], 0, length, &out[*n_read]);
        if (error != NULL) {
            break;
        }
    }
    return error;
}

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_STORE_H */
