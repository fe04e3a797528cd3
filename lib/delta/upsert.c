/*
 * Keyed upsert by copy on write. A file is a candidate unless its partition values or statistics
 * say that it holds none of the keys; a candidate's key columns are read, and when a key occurs the
 * file is rewritten without those rows. What other writers add or remove meanwhile makes the commit
 * fail, and the whole is computed anew from the new snapshot.
 */
#include "delta/upsert.h"

#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"
#include "delta/key_map.h"
#include "delta/key_range.h"
#include "delta/read_internal.h"

#define MAX_ATTEMPTS 10

/* One computation against one snapshot. */
typedef struct upsert {
    sl_delta_table *table;
    sl_delta_upsert_info *info;
    const char *owner; /* only its tail files are left alone; NULL: all tail files are */
    int64_t *key;      /* in the rows' schema */
    bool *partition;   /* by place in the key: it is a partition column */
    struct ArrowSchema key_schema; /* only the key columns, in their order */
    int64_t *key_positions;        /* 0, 1, …: the key in batches of key_schema */
    key_map map;                   /* key to the row that holds */
    key_ranges *ranges;            /* what to ask statistics about */
    sl_delta_encoder *encoder;     /* rows of the table's schema */
    sl_delta_files candidates;
    sl_delta_files removes;
    sl_delta_files adds;
    /* of the file being looked at */
    int64_t matched;
    int64_t *table_key; /* the key in the table's schema */
} upsert;

static void upsert_free(upsert *u) {
    delta_key_map_free(&u->map);
    delta_key_ranges_free(u->ranges);
    if (u->key_schema.release != NULL) {
        u->key_schema.release(&u->key_schema);
    }
    free(u->key);
    free(u->partition);
    free(u->key_positions);
    free(u->table_key);
    sl_delta_encoder_free(u->encoder);
    sl_delta_files_free(&u->candidates);
    sl_delta_files_free(&u->removes);
    sl_delta_files_free(&u->adds);
}

/* ---- keys ---- */

static sl_error *make_key_schema(upsert *u) {
    const sl_delta_upsert_info *info = u->info;
    sl_error *error = sl_schema_new_struct(info->n_key, &u->key_schema);
    for (size_t i = 0; i < info->n_key && error == NULL; i++) {
        u->key_positions[i] = (int64_t)i;
        error = sl_schema_copy(info->schema->children[u->key[i]], u->key_schema.children[i]);
    }
    return error;
}

static sl_error *enter_keys(upsert *u) {
    const sl_delta_upsert_info *info = u->info;
    u->map.schema = info->schema;
    u->map.columns = u->key;
    u->map.n_columns = info->n_key;
    u->map.partition = u->partition;
    u->map.batches = info->batches;
    for (size_t b = 0; b < info->n_batches; b++) {
        delta_rows rows = {info->schema, info->batches[b], u->key, info->n_key, u->partition};
        for (int64_t i = 0; i < info->batches[b]->length; i++) {
            key_place place = {(uint32_t)b, (uint32_t)i};
            key_place old;
            bool had;
            if (!delta_key_map_put(&u->map, &rows, i, place, &old, &had)) {
                return sl_error_no_memory();
            }
        }
    }
    return NULL;
}

static sl_error *prepare(upsert *u) {
    size_t n = u->info->n_key > 0 ? u->info->n_key : 1;
    u->key = calloc(n, sizeof(int64_t));
    u->key_positions = calloc(n, sizeof(int64_t));
    u->table_key = calloc(n, sizeof(int64_t));
    u->partition = calloc(n, sizeof(bool));
    if (u->key == NULL || u->key_positions == NULL || u->table_key == NULL ||
        u->partition == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = sl_delta_resolve_key(u->info->schema, u->info->key, u->info->n_key, u->key);
    for (size_t i = 0; i < u->info->n_key && error == NULL; i++) {
        u->partition[i] = delta_is_partition(u->table, u->info->key[i]);
    }
    error = error ? error : make_key_schema(u);
    error = error ? error : enter_keys(u);
    return error ? error
                 : delta_key_ranges_new(u->info->schema, u->key, u->info->n_key, u->info->batches,
                                        u->info->n_batches, &u->ranges);
}

/* ---- finding files ---- */

static bool is_left_alone(const upsert *u, const sl_delta_file *file) {
    return file->tail_owner != NULL &&
           (u->owner == NULL || strcmp(file->tail_owner, u->owner) == 0);
}

static sl_error *collect_candidate(const sl_delta_file *file, void *arg) {
    upsert *u = arg;
    if (is_left_alone(u, file) ||
        !delta_key_ranges_may_hold(u->ranges, file, &u->table->metadata.partition_columns)) {
        return NULL;
    }
    sl_delta_file copy;
    sl_error *error = sl_delta_file_copy(file, &copy);
    if (error == NULL) {
        error = sl_delta_files_add(&u->candidates, &copy);
        if (error != NULL) {
            sl_delta_file_clear(&copy);
        }
    }
    return error;
}

static sl_error *count_matches(struct ArrowArray *batch, void *arg) {
    upsert *u = arg;
    delta_rows rows = {&u->key_schema, batch, u->key_positions, u->info->n_key, u->partition};
    for (int64_t i = 0; i < batch->length; i++) {
        u->matched += delta_key_map_find(&u->map, &rows, i) != NULL;
    }
    return NULL;
}

/* ---- rewriting ---- */

static sl_error *keep_others(struct ArrowArray *batch, void *arg) {
    upsert *u = arg;
    delta_rows rows = {&u->table->schema, batch, u->table_key, u->info->n_key, u->partition};
    int32_t *kept = malloc((size_t)(batch->length > 0 ? batch->length : 1) * sizeof(*kept));
    if (kept == NULL) {
        return sl_error_no_memory();
    }
    int64_t n = 0;
    for (int64_t i = 0; i < batch->length; i++) {
        if (delta_key_map_find(&u->map, &rows, i) == NULL) {
            kept[n++] = (int32_t)i;
        }
    }
    struct ArrowArray taken;
    sl_error *error = n == 0 ? NULL : sl_array_take(&u->table->schema, batch, kept, n, &taken);
    if (error == NULL && n > 0) {
        error = sl_delta_encoder_append(u->encoder, &taken, 0, n);
        taken.release(&taken);
    }
    free(kept);
    return error;
}

static sl_error *new_encoder(const upsert *u, const struct ArrowSchema *schema,
                             sl_delta_encoder **out) {
    sl_delta_encoder_options options = {0};
    if (u->info->encoder != NULL) {
        options = *u->info->encoder;
    }
    options.schema = schema;
    options.partition_columns = sl_delta_partition_columns(u->table, &options.n_partition_columns);
    options.tail_owner = NULL;
    return sl_delta_encoder_new(&options, out);
}

static sl_error *store_if_large(upsert *u, sl_delta_encoder *encoder) {
    return sl_delta_encoder_memory_bytes(encoder) < ((size_t)64 << 20)
               ? NULL
               : sl_delta_encoder_store(encoder, u->table->store, &u->adds);
}

static sl_error *rewrite(upsert *u, sl_delta_file *file) {
    u->matched = 0;
    sl_error *error = delta_read_as(u->table, file, &u->key_schema, count_matches, u);
    if (error != NULL || u->matched == 0) {
        return error;
    }
    u->info->rows_deleted += u->matched;
    u->info->files_rewritten++;
    if (u->encoder == NULL) {
        error = sl_delta_resolve_key(&u->table->schema, u->info->key, u->info->n_key, u->table_key);
        error = error ? error : new_encoder(u, &u->table->schema, &u->encoder);
    }
    error = error ? error : sl_delta_read_file(u->table, file, keep_others, u);
    error = error ? error : store_if_large(u, u->encoder);
    return error ? error : sl_delta_files_add(&u->removes, file);
}

/* ---- new rows ---- */

/* The rows of one batch that are the last of their key and do not delete it. */
static sl_error *append_batch(upsert *u, size_t b, sl_delta_encoder *encoder) {
    const sl_delta_upsert_info *info = u->info;
    const struct ArrowArray *batch = info->batches[b];
    delta_rows rows = {info->schema, batch, u->key, info->n_key, u->partition};
    int32_t *kept = malloc((size_t)(batch->length > 0 ? batch->length : 1) * sizeof(*kept));
    if (kept == NULL) {
        return sl_error_no_memory();
    }
    int64_t n = 0;
    for (int64_t i = 0; i < batch->length; i++) {
        const key_place *place = delta_key_map_find(&u->map, &rows, i);
        bool deletes =
            info->delete_column >= 0 && sl_array_is_null(batch->children[info->delete_column], i);
        if (place != NULL && place->batch == b && place->row == i && !deletes) {
            kept[n++] = (int32_t)i;
        }
    }
    sl_error *error = NULL;
    if (n == batch->length) {
        error = sl_delta_encoder_append(encoder, batch, 0, n);
    } else if (n > 0) {
        struct ArrowArray taken;
        error = sl_array_take(info->schema, batch, kept, n, &taken);
        if (error == NULL) {
            error = sl_delta_encoder_append(encoder, &taken, 0, n);
            taken.release(&taken);
        }
    }
    u->info->rows_written += n;
    free(kept);
    return error;
}

static sl_error *append_new(upsert *u) {
    sl_delta_encoder *encoder = NULL;
    sl_error *error = new_encoder(u, u->info->schema, &encoder);
    for (size_t b = 0; b < u->info->n_batches && error == NULL; b++) {
        error = append_batch(u, b, encoder);
        error = error ? error : store_if_large(u, encoder);
    }
    error = error ? error : sl_delta_encoder_store(encoder, u->table->store, &u->adds);
    sl_delta_encoder_free(encoder);
    return error;
}

/* ---- the whole ---- */

/* Files that hold the keys become files without them. */
static sl_error *take_out(upsert *u) {
    u->info->rows_written = 0;
    u->info->rows_deleted = 0;
    u->info->files_rewritten = 0;
    sl_error *error = prepare(u);
    error = error ? error : sl_delta_visit_files(u->table, collect_candidate, u);
    for (size_t i = 0; i < u->candidates.n && error == NULL; i++) {
        error = rewrite(u, &u->candidates.items[i]);
    }
    if (error == NULL && u->encoder != NULL) {
        error = sl_delta_encoder_store(u->encoder, u->table->store, &u->adds);
    }
    return error;
}

static sl_error *compute(upsert *u) {
    sl_error *error = take_out(u);
    return error ? error : append_new(u);
}

static sl_error *commit(upsert *u) {
    sl_delta_upsert_info *info = u->info;
    sl_delta_commit_info c = {
        .adds = u->adds.items,
        .n_adds = u->adds.n,
        .removes = u->removes.items,
        .n_removes = u->removes.n,
        .advances = info->advances,
        .n_advances = info->n_advances,
        .schema = info->new_schema,
        .operation = "MERGE",
        .reads_table = true,
        .data_change = true,
    };
    memcpy(c.token, info->token, sizeof(c.token));
    sl_error *error = sl_delta_commit(u->table, &c);
    memcpy(info->token, c.token, sizeof(c.token));
    info->version = c.version;
    info->conflict = c.conflict;
    return error;
}

static bool compute_anew(const sl_delta_upsert_info *info, const sl_error *error) {
    return sl_error_is(error, SL_ERROR_CONFLICT) && (info->conflict == SL_DELTA_CONFLICT_ADDED ||
                                                     info->conflict == SL_DELTA_CONFLICT_REMOVED);
}

/*
 * The files that are read must be the newest there are, whatever the handle has seen; rows and new
 * schema were fitted to what it had seen. *done: an earlier try, whose answer was lost, had
 * arrived.
 */
static sl_error *look(sl_delta_table *table, sl_delta_upsert_info *info, bool *done) {
    delta_changes changes = {.token = info->token[0] == 0 ? NULL : info->token,
                             .token_version = -1};
    info->conflict = SL_DELTA_CONFLICT_NONE;
    sl_error *error = delta_log_refresh(table, &changes);
    *done = changes.token_version >= 0;
    if (*done) {
        sl_error_free(error); /* of what comes behind it: of the next call to say */
        info->version = changes.token_version;
        return NULL;
    }
    if (error != NULL || !(changes.metadata || changes.protocol || changes.reloaded)) {
        return error;
    }
    info->conflict = SL_DELTA_CONFLICT_METADATA;
    return sl_error_new(SL_ERROR_CONFLICT,
                        "%s: another writer may have changed the table's schema or properties",
                        table->url);
}

sl_error *sl_delta_upsert(sl_delta_table *table, sl_delta_upsert_info *info) {
    bool done = false;
    sl_error *error = sl_delta_check_writable(table, true);
    error = error ? error : look(table, info, &done);
    if (done) {
        return NULL;
    }
    for (int i = 0; i < MAX_ATTEMPTS && error == NULL; i++) {
        upsert u = {.table = table, .info = info};
        error = compute(&u);
        bool named = error == NULL; /* a commit that failed may have named them all the same */
        error = error ? error : commit(&u);
        bool again = compute_anew(info, error);
        if (error != NULL && (!named || sl_error_is(error, SL_ERROR_CONFLICT))) {
            sl_delta_remove_files(table->store, &u.adds);
        }
        upsert_free(&u);
        if (error == NULL) {
            return NULL;
        }
        if (!again) {
            return error;
        }
        sl_error_free(error);
        error = NULL;
    }
    return error
               ? error
               : sl_error_new(SL_ERROR_RETRIABLE,
                              "%s: other writers changed the files of an upsert %d times in a row",
                              table->url, MAX_ATTEMPTS);
}

sl_error *sl_delta_displace(sl_delta_table *table, sl_delta_upsert_info *info, const char *owner,
                            sl_delta_files *removes, sl_delta_files *adds) {
    upsert u = {.table = table, .info = info, .owner = owner};
    sl_error *error = take_out(&u);
    if (error != NULL) {
        sl_delta_remove_files(table->store, &u.adds);
    }
    error = error ? error : sl_delta_files_move(removes, &u.removes);
    error = error ? error : sl_delta_files_move(adds, &u.adds);
    upsert_free(&u);
    return error;
}
