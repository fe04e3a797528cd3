/* Compaction: collects small files, sorts them by partition and age, rewrites each partition's. */
#include "delta/compact.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "delta/internal.h"

#define MOST_FILES 8192
/* Bytes that wait in memory before a part of a file goes up. */
#define PART_BYTES ((size_t)8 << 20)

/* How many small files a partition has. */
typedef struct tally {
    uint64_t partition; /* hash */
    size_t files;       /* 0: a free slot */
} tally;

typedef struct compaction {
    sl_delta_table *table;
    sl_delta_compact_info *info;
    size_t most_files;
    size_t least_files;
    sl_delta_files small;
    /* of all small files */
    size_t n_small;
    tally *tallies; /* a hash table; when chosen, the partitions of this pass, sorted */
    size_t n_tallies;
    size_t n_slots;
    bool chosen;
    /* of the partition at hand */
    sl_delta_encoder *encoder;
    sl_delta_files adds;
    int64_t rows;
} compaction;

/* ---- which partitions ---- */

static uint64_t partition_hash(const sl_delta_file *file) {
    uint64_t hash = 0;
    for (size_t i = 0; i < file->n_partition_values; i++) {
        const char *value = file->partition_values[i];
        hash = XXH3_64bits_withSeed(value, value == NULL ? 0 : strlen(value) + 1, hash);
    }
    return hash;
}

static tally *slot_of(tally *slots, size_t n_slots, uint64_t partition) {
    size_t i = (size_t)partition & (n_slots - 1);
    while (slots[i].files > 0 && slots[i].partition != partition) {
        i = (i + 1) & (n_slots - 1);
    }
    return &slots[i];
}

static bool grow_tallies(compaction *c) {
    size_t n = c->n_slots == 0 ? 64 : 2 * c->n_slots;
    tally *slots = calloc(n, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < c->n_slots; i++) {
        if (c->tallies[i].files > 0) {
            *slot_of(slots, n, c->tallies[i].partition) = c->tallies[i];
        }
    }
    free(c->tallies);
    c->tallies = slots;
    c->n_slots = n;
    return true;
}

static sl_error *count_small(compaction *c, const sl_delta_file *file) {
    if (c->n_tallies * 2 >= c->n_slots && !grow_tallies(c)) {
        return sl_error_no_memory();
    }
    tally *slot = slot_of(c->tallies, c->n_slots, partition_hash(file));
    c->n_tallies += slot->files == 0 ? 1 : 0;
    slot->partition = partition_hash(file);
    slot->files++;
    c->n_small++;
    return NULL;
}

static int compare_counts(const void *x, const void *y) {
    const tally *a = x, *b = y;
    int order = (a->files < b->files) - (a->files > b->files);
    return order != 0 ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static int compare_hashes(const void *x, const void *y) {
    const tally *a = x, *b = y;
    return (a->partition > b->partition) - (a->partition < b->partition);
}

/* The table has more small files than a pass takes: those of whole partitions are taken, where
 * there are most of them first, and never those of partitions that are not worth it yet. */
static void choose_partitions(compaction *c) {
    qsort(c->tallies, c->n_slots, sizeof(*c->tallies), compare_counts); /* free slots come last */
    size_t n = 0;
    size_t files = 0;
    while (n < c->n_tallies && c->tallies[n].files >= c->least_files &&
           (n == 0 || files + c->tallies[n].files <= c->most_files)) {
        files += c->tallies[n++].files;
    }
    qsort(c->tallies, n, sizeof(*c->tallies), compare_hashes);
    c->n_tallies = n;
    c->chosen = true;
}

static bool is_chosen(const compaction *c, const sl_delta_file *file) {
    const tally wanted = {.partition = partition_hash(file)};
    return bsearch(&wanted, c->tallies, c->n_tallies, sizeof(wanted), compare_hashes) != NULL;
}

/* ---- which files ---- */

static sl_error *collect_small(const sl_delta_file *file, void *arg) {
    compaction *c = arg;
    if (file->tail_owner != NULL || file->size_bytes >= c->info->small_bytes ||
        (c->chosen && !is_chosen(c, file))) {
        return NULL;
    }
    sl_error *error = c->chosen ? NULL : count_small(c, file);
    if (error != NULL || c->small.n >= c->most_files) {
        return error;
    }
    sl_delta_file copy;
    error = sl_delta_file_copy(file, &copy);
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

/* The files of this pass. */
static sl_error *collect(compaction *c) {
    sl_error *error = sl_delta_visit_files(c->table, collect_small, c);
    if (error == NULL && c->n_small > c->most_files) {
        choose_partitions(c);
        sl_delta_files_free(&c->small);
        error = sl_delta_visit_files(c->table, collect_small, c);
    }
    free(c->tallies);
    c->tallies = NULL;
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
    compaction c = {
        .table = table,
        .info = info,
        .most_files = info->most_files == 0 ? MOST_FILES : info->most_files,
        .least_files = info->least_files < 2 ? 2 : info->least_files,
    };
    info->files_before = info->files_after = info->rows = info->commits = info->lost = 0;
    sl_error *error = sl_delta_check_writable(table, false);
    error = error ? error : sl_delta_refresh(table);
    error = error ? error : collect(&c);
    if (c.small.n > 1) {
        qsort(c.small.items, c.small.n, sizeof(*c.small.items), compare_files);
    }
    for (size_t i = 0, end; i < c.small.n && error == NULL && !is_stopped(&c); i = end) {
        const sl_delta_file *first = &c.small.items[i];
        for (end = i + 1; end < c.small.n && compare_partitions(first, &c.small.items[end]) == 0;) {
            end++;
        }
        if (end - i >= c.least_files) {
            error = compact_partition(&c, first, end - i);
        }
    }
    sl_delta_files_free(&c.small);
    return error;
}
