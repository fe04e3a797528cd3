/* The parts of the folder store, shared between its files: no public interface. */
#ifndef SL_STORE_FOLDER_H
#define SL_STORE_FOLDER_H

#include "store/store.h"

/* Unfinished files have names that begin so: listings leave them out, whoever meets one older than
 * FOLDER_TEMPORARY_AGE_S removes it. */
#define FOLDER_TEMPORARY ".sluice-tmp-"
#define FOLDER_TEMPORARY_AGE_S (24 * 60 * 60)

typedef struct folder_store {
    sl_store base;
    bool read_only;
    char *root; /* without a trailing '/', but "/" itself is "" */
    char *url;
} folder_store;

/* The error for `code` (errno) of "<action> <full path>". */
sl_error *sl_folder_error(int code, const char *action, const char *full_path);
/* root + "/" + path, to be freed; checks the path. */
sl_error *sl_folder_path(const folder_store *folder, const char *path, char **out);
/* FATAL when the store is read-only. */
sl_error *sl_folder_may_write(const folder_store *folder, const char *action, const char *path);

/* folder_write.c: the operations of the same names. */
sl_error *sl_folder_put(sl_store *store, const char *path, const void *data, size_t bytes,
                        unsigned flags);
sl_error *sl_folder_remove(sl_store *store, const char *path);
sl_error *sl_folder_writer_open(sl_store *store, const char *path, unsigned flags,
                                sl_store_writer **out);
sl_error *sl_folder_writer_write(sl_store_writer *writer, const void *data, size_t bytes);
sl_error *sl_folder_writer_commit(sl_store_writer *writer);
void sl_folder_writer_abort(sl_store_writer *writer);

/* folder_list.c */
sl_error *sl_folder_list(sl_store *store, const char *prefix, const char *start_after,
                         int recursive, sl_store_visit visit, void *arg);

#endif /* SL_STORE_FOLDER_H */
