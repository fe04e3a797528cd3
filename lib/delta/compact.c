/* Compaction: collects small files, sorts them by partition and age, rewrites each partition's. */
#include "delta/compact.h"

#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"

/* Of one pass: more wait for the next. */
#define MAX_FILES 8192
/* Bytes that wait in memory before a part of a file goes up. */
#define PART_BYTES ((size_t)8 << 20)

typedef struct compaction {
    sl_delta_table *table;
    sl_delta_compact_info *info;
    sl_delta_files small;
    /* of the partition at hand */
    sl_delta_encoder *encoder;
    sl_delta_files adds;
    int64_t rows;
} compaction;

/* ---- which files ---- */

static sl_error *collect_small(const sl_delta_file *file, void *arg) {
    compaction *c = arg;
    if (file->tail_owner != NULL || file->size_bytes >= c->info->small_bytes ||
        c->small.n >= MAX_FILES) {
        return NULL;
    }
    sl_delta_file copy;
    sl_error *error = sl_delta_file_copy(file, &copy);
    if (error != NULL) {
        return error;
    }
    free(copy.stats); /* a remove has none */
    copy.stats = NULL;
    error = sl_delta_files_add(&c->small, &copy);
    if (error != NULL) {
        sl_delta_file_clear(&copy);
    }
    return error;
}

static int compare_partitions(const sl_delta_file *a, const sl_delta_file *b) {
    for (size_t i = 0; i < a->n_partition_values && i < b->n_partition_values; i++) {
        const char *x = a->partition_values[i], *y = b->partition_values[i];
        int order = x == NULL || y == NULL ? (x != NULL) - (y != NULL) : strcmp(x, y);
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

/* By partition, and within it by age, so that neighbours in time stay neighbours. */
static int compare_files(const void *x, const void *y) {
    const sl_delta_file *a = x, *b = y;
    int order = compare_partitions(a, b);
    if (order == 0) {
        order = (a->modified_ms > b->modified_ms) - (a->modified_ms < b->modified_ms);
    }
    return order != 0 ? order : strcmp(a->path, b->path);
}

/* ---- rewriting ---- */

static sl_error *upload_part(compaction *c) {
    sl_delta_upload *upload = NULL;
    sl_error *error = sl_delta_encoder_take(c->encoder, &upload);
    if (error != NULL || upload == NULL) {
        return error;
    }
    error = sl_delta_upload_run(upload, c->table->store);
    sl_error *ended = sl_delta_upload_end(upload, c->encoder, &c->adds);
    if (error == NULL) {
        return ended;
    }
    sl_error_free(ended);
    return error;
}

static bool is_stopped(const compaction *c) {
    return c->info->stop != NULL && atomic_load(c->info->stop);
}

static sl_error *append_rows(struct ArrowArray *rows, void *arg) {
    compaction *c = arg;
    if (is_stopped(c)) {
        return sl_error_new(SL_ERROR_CONFLICT, "%s: compaction was stopped", c->table->url);
    }
    c->rows += rows->length;
    sl_error *error = sl_delta_encoder_append(c->encoder, rows, 0, rows->length);
    if (error == NULL && sl_delta_encoder_ready_bytes(c->encoder) >= PART_BYTES) {
        error = upload_part(c);
    }
    return error;
}

static sl_error *rewrite(compaction *c, const sl_delta_file *files, size_t n) {
    sl_delta_encoder_options options = *c->info->encoder;
    options.schema = &c->table->schema;
    options.partition_columns = sl_delta_partition_columns(c->table, &options.n_partition_columns);
    options.tail_owner = NULL;
    sl_error *error = sl_delta_encoder_new(&options, &c->encoder);
    for (size_t i = 0; i < n && error == NULL; i++) {
        error = sl_delta_read_file(c->table, &files[i], append_rows, c);
    }
    error = error ? error : sl_delta_encoder_store(c->encoder, c->table->store, &c->adds);
    sl_delta_encoder_free(c->encoder);
    c->encoder = NULL;
    return error;
}

static sl_error *commit(compaction *c, const sl_delta_file *files, size_t n) {
    sl_delta_commit_info commit = {
        .adds = c->adds.items,
        .n_adds = c->adds.n,
        .removes = files,
        .n_removes = n,
        .operation = "OPTIMIZE",
        .reads_only_removes = true,
        .data_change = false,
    };
    sl_error *error = sl_delta_commit(c->table, &commit);
    if (error == NULL) {
        c->info->commits++;
        c->info->files_before += (int64_t)n;
        c->info->files_after += (int64_t)c->adds.n;
        c->info->rows += c->rows;
    }
    return error;
}

/* A file that was removed, and perhaps vacuumed, since the snapshot: the same as a lost commit. */
static bool is_lost(const sl_error *error) {
    return sl_error_is(error, SL_ERROR_CONFLICT) || sl_error_is(error, SL_ERROR_NOT_FOUND);
}

static sl_error *compact_partition(compaction *c, const sl_delta_file *files, size_t n) {
    c->rows = 0;
    sl_error *error = rewrite(c, files, n);
    bool named = error == NULL; /* a commit that failed may have named the files all the same */
    error = error ? error : commit(c, files, n);
    if (error != NULL && (!named || sl_error_is(error, SL_ERROR_CONFLICT))) {
        sl_delta_remove_files(c->table->store, &c->adds);
    }
    sl_delta_files_free(&c->adds);
    if (is_lost(error)) {
        sl_error_free(error);
        c->info->lost++;
        return NULL;
    }
    return error;
}

sl_error *sl_delta_compact(sl_delta_table *table, sl_delta_compact_info *info) {
    compaction c = {.table = table, .info = info};
    info->files_before = info->files_after = info->rows = info->commits = info->lost = 0;
    sl_error *error = sl_delta_check_writable(table, false);
    error = error ? error : sl_delta_refresh(table);
    error = error ? error : sl_delta_visit_files(table, collect_small, &c);
    if (c.small.n > 1) {
        qsort(c.small.items, c.small.n, sizeof(*c.small.items), compare_files);
    }
    size_t least = info->least_files < 2 ? 2 : info->least_files;
    for (size_t i = 0, end; i < c.small.n && error == NULL && !is_stopped(&c); i = end) {
        const sl_delta_file *first = &c.small.items[i];
        for (end = i + 1; end < c.small.n && compare_partitions(first, &c.small.items[end]) == 0;) {
            end++;
        }
        if (end - i >= least) {
            error = compact_partition(&c, first, end - i);
        }
    }
    sl_delta_files_free(&c.small);
    return error;
}
