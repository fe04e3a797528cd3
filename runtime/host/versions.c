/* See versions.h. */
#include "host/versions.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 128, DIGITS = 20 };

static void path_of(const char *folder, int64_t number, char out[PATH_BYTES]) {
    (void)snprintf(out, PATH_BYTES, "%s%020" PRId64 ".json", folder, number);
}

struct search {
    size_t folder_bytes;
    int64_t last;
};

static int find_last(const sl_store_entry *entry, void *arg) {
    struct search *search = arg;
    int64_t number;
    const char *digits = entry->path + search->folder_bytes;
    if (strspn(digits, "0123456789") == DIGITS && strcmp(digits + DIGITS, ".json") == 0 &&
        sscanf(digits, "%20" SCNd64, &number) == 1 && number > search->last &&
        number < INT64_MAX) { /* there is a next one */
        search->last = number;
    }
    return 0;
}

sl_error *versions_last(sl_store *store, const char *folder, int64_t *number) {
    struct search search = {strlen(folder), 0};
    sl_error *error = store->ops->list(store, folder, NULL, 0, find_last, &search);
    *number = search.last;
    return error;
}

sl_error *versions_get(sl_store *store, const char *folder, int64_t number, sl_buffer *out,
                       char *where, size_t where_bytes) {
    char path[PATH_BYTES];
    sl_store_bytes bytes;
    path_of(folder, number, path);
    if (where != NULL) {
        (void)snprintf(where, where_bytes, "%s/%s", store->ops->url(store), path);
    }
    sl_error *error = store->ops->get(store, path, 0, -1, &bytes);
    if (error != NULL) {
        return error;
    }
    (void)sl_buffer_append(out, bytes.data, bytes.bytes);
    bytes.release(&bytes);
    return out->failed ? sl_error_no_memory() : NULL;
}

sl_error *versions_has(sl_store *store, const char *folder, int64_t number, bool *has) {
    char path[PATH_BYTES];
    sl_store_entry entry;
    path_of(folder, number, path);
    sl_error *error = store->ops->stat(store, path, &entry);
    *has = error == NULL;
    if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        error = NULL;
    }
    return error;
}

sl_error *versions_put(sl_store *store, const char *folder, int64_t number, const sl_buffer *text) {
    char path[PATH_BYTES];
    path_of(folder, number, path);
    return text->failed ? sl_error_no_memory()
                        : store->ops->put(store, path, text->data, text->bytes, SL_STORE_IF_ABSENT);
}

sl_error *versions_remove(sl_store *store, const char *folder, int64_t number) {
    char path[PATH_BYTES];
    path_of(folder, number, path);
    return store->ops->remove(store, path);
}
