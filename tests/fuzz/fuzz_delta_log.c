/*
 * Fuzzing the log reader: any bytes in `_delta_log` either give a table or an error. What opens is
 * walked; and if we may write to it, a commit and a checkpoint of ours must leave the same files.
 *
 * The input is cut at 0 bytes: the first part is `_last_checkpoint`, the others are the entries 0,
 * 1, 2, …; one that begins with "PAR1" (0 bytes follow: it takes the rest) is a checkpoint.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delta/delta.h"
#include "delta/internal.h"
#include "store/store.h"

#define MAX_ENTRIES 64

static void put(sl_store *store, const char *path, const uint8_t *data, size_t bytes) {
    sl_error_free(store->ops->put(store, path, data, bytes, 0));
}

static void fill(sl_store *store, const uint8_t *data, size_t bytes) {
    const uint8_t *end = data + bytes;
    for (int64_t i = -1; data < end && i < MAX_ENTRIES; i++) {
        char path[DELTA_PATH_BYTES];
        const uint8_t *stop = memchr(data, 0, (size_t)(end - data));
        stop = stop == NULL ? end : stop;
        if (i < 0) {
            put(store, DELTA_LAST_CHECKPOINT, data, (size_t)(stop - data));
        } else if (end - data > 4 && memcmp(data, "PAR1", 4) == 0) {
            delta_checkpoint_path(i, 0, 0, path);
            put(store, path, data, (size_t)(end - data));
            return;
        } else {
            delta_log_path(i, path);
            put(store, path, data, (size_t)(stop - data));
        }
        data = stop + 1;
    }
}

typedef struct walk {
    int64_t files;
    sl_delta_table *table;
} walk;

static sl_error *visit(const sl_delta_file *file, void *arg) {
    walk *w = arg;
    sl_delta_file copy;
    sl_error *error = sl_delta_file_copy(file, &copy);
    w->files++;
    if (error == NULL) {
        sl_delta_file_clear(&copy);
    }
    return error;
}

static int visit_position(const char *app_id, int64_t position, void *arg) {
    if (sl_delta_position(arg, app_id) != position) {
        abort();
    }
    return 0;
}

static sl_error *walk_table(sl_delta_table *table, int64_t *files) {
    walk w = {.table = table};
    sl_error *error = sl_delta_visit_files(table, visit, &w);
    sl_delta_visit_positions(table, visit_position, table);
    *files = w.files;
    return error;
}

/* A commit of ours and a checkpoint; then the table must open with the same files. */
static void write_table(sl_store *store, sl_delta_table *table, int64_t files) {
    sl_delta_commit_info info = {.data_change = true};
    sl_error *error = sl_delta_commit(table, &info);
    error = error ? error : sl_delta_checkpoint(table);
    if (error != NULL) {
        sl_error_free(error);
        return;
    }
    sl_delta_table *again = NULL;
    int64_t found = 0;
    error = sl_delta_open(store, &again);
    error = error ? error : walk_table(again, &found);
    if (error != NULL || found != files) {
        fprintf(stderr, "after our checkpoint: %lld files instead of %lld: %s\n", (long long)found,
                (long long)files, error == NULL ? "" : sl_error_message(error));
        abort();
    }
    sl_delta_close(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    sl_store *store = NULL;
    sl_delta_table *table = NULL;
    int64_t files = 0;
    sl_error *error = sl_store_open_memory(&store);
    if (error != NULL) {
        sl_error_free(error);
        return 0;
    }
    fill(store, data, bytes);
    error = sl_delta_open(store, &table);
    error = error ? error : walk_table(table, &files);
    if (error == NULL) {
        bool changed = false;
        struct ArrowSchema merged;
        sl_error_free(
            sl_delta_fit_schema(table, sl_delta_schema(table), SL_DELTA_STRICT, &changed, &merged));
        write_table(store, table, files);
    }
    sl_error_free(error);
    sl_delta_close(table);
    store->ops->close(store);
    return 0;
}
