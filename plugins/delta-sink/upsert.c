/*
 * Upsert. Of windows (the input declares its key, and marks rows that are still going to change):
 * open rows live in memory and in tail files that each commit replaces, final rows are appended
 * once. By a key of the operator's choice: rows are replaced wherever they are.
 *
 * Another writer's OPTIMIZE puts open rows into files that are no tail files any more. The number
 * of open rows is kept in the table, as a txn beside the positions, so it shows after a restart,
 * too, that some have gone *astray*: each of them is then taken out of where it is by the commit
 * that replaces it.
 */
#include "sink.h"

#include <stdlib.h>
#include <string.h>

struct tail_state {
    sl_delta_tail *rows;
    char *owner;
    char *app_id;             /* of the number of open rows in the table */
    bool loaded;              /* rows, live and astray are what the table has */
    sl_delta_files live;      /* the tail files in the table */
    int64_t astray;           /* open rows that are in no tail file */
    bool prepared;            /* a commit is being made: what follows belongs to it */
    sl_delta_files tail;      /* the tail files that are to replace the live ones */
    sl_delta_files finals;    /* files of final rows */
    sl_delta_files displaced; /* files with rows astray that the commit replaces... */
    sl_delta_files instead;   /* ...and what stays of them */
    int64_t found;            /* how many rows astray the commit replaces */
    sl_delta_files adds;      /* all files of the commit; strings are borrowed */
    sl_delta_files removes;   /* all that it takes away, likewise */
    bool replaces;            /* the commit replaces the tail */
};

/* ---- tail ---- */

static sl_error *name_tail(struct tail_state *tail, const struct sl_node *node) {
    sl_buffer owner = SL_BUFFER_INIT;
    sl_buffer_printf(&owner, "%s/%s", node->pipeline, node->name);
    sl_buffer app_id = SL_BUFFER_INIT;
    sink_key_prefix(&app_id, node->pipeline, node->name);
    sl_buffer_append_text(&app_id, "open-rows");
    if (sl_buffer_text(&owner) == NULL || sl_buffer_text(&app_id) == NULL) {
        sl_buffer_free(&owner);
        sl_buffer_free(&app_id);
        return sl_error_no_memory();
    }
    tail->owner = (char *)owner.data;
    tail->app_id = (char *)app_id.data;
    return NULL;
}

sl_error *sink_tail_new(struct sl_node *node) {
    struct tail_state *tail = calloc(1, sizeof(*tail));
    if (tail == NULL) {
        return sl_error_no_memory();
    }
    node->tail = tail;
    sl_error *error = name_tail(tail, node);
    return error ? error
                 : sl_delta_tail_new(node->inputs[0].schema, node->key, node->n_key, &tail->rows);
}

/* `adds` and `removes` borrow from the other lists: only their arrays are freed. */
static void forget_prepared(struct tail_state *tail) {
    free(tail->adds.items);
    free(tail->removes.items);
    tail->adds = (sl_delta_files){0};
    tail->removes = (sl_delta_files){0};
    sl_delta_files_free(&tail->tail);
    sl_delta_files_free(&tail->finals);
    sl_delta_files_free(&tail->displaced);
    sl_delta_files_free(&tail->instead);
    tail->found = 0;
    tail->prepared = false;
    tail->replaces = false;
}

void sink_tail_free(struct sl_node *node) {
    struct tail_state *tail = node->tail;
    if (tail == NULL) {
        return;
    }
    forget_prepared(tail);
    sl_delta_files_free(&tail->live);
    sl_delta_tail_free(tail->rows);
    free(tail->owner);
    free(tail->app_id);
    free(tail);
    node->tail = NULL;
}

void sink_tail_forget(struct sl_node *node) {
    struct tail_state *tail = node->tail;
    if (tail != NULL) {
        forget_prepared(tail);
        sl_delta_tail_clear(tail->rows);
        sl_delta_files_free(&tail->live);
        tail->loaded = false;
    }
}

void sink_tail_undo(struct sl_node *node) {
    struct tail_state *tail = node->tail;
    sl_delta_remove_files(node->store, &tail->tail);
    sl_delta_remove_files(node->store, &tail->finals);
    sl_delta_remove_files(node->store, &tail->instead);
    sink_tail_forget(node);
}

static sl_error *load(struct sl_node *node) {
    struct tail_state *tail = node->tail;
    if (tail->loaded) {
        return NULL;
    }
    sl_error *error = sl_delta_tail_load(tail->rows, node->table, tail->owner, &tail->live);
    int64_t open_rows = sink_stored_position(node, tail->app_id);
    int64_t astray = open_rows - sl_delta_tail_rows(tail->rows);
    tail->astray = open_rows == SL_DELTA_NO_POSITION || astray < 0 ? 0 : astray;
    tail->loaded = error == NULL;
    if (tail->loaded && tail->astray > 0) {
        node->services->log(node->self, SL_LOG_INFO,
                            "%s: another writer has put %lld rows of open windows into other "
                            "files; each is taken from there when it changes",
                            sl_delta_url(node->table), (long long)tail->astray);
    }
    return error;
}

static sl_error *encoder_of(struct sl_node *node, const char *owner, sl_delta_encoder **out) {
    sl_delta_encoder_options options = sink_encoder_options(node, node->inputs[0].schema);
    options.tail_owner = owner;
    return sl_delta_encoder_new(&options, out);
}

/* One batch: open rows into the tail, final ones out of it and into files. What was there of a key
 * whose row is at fault goes, too: it is out of date. */
static sl_error *take_batch(struct sl_node *node, const struct sink_kept *kept,
                            sl_delta_encoder **finals) {
    struct tail_state *tail = node->tail;
    const struct ArrowArray *rows = sink_kept_rows(kept);
    int64_t before = sl_delta_tail_rows(tail->rows);
    sl_error *error = kept->passed.faulty.release == NULL
                          ? NULL
                          : sl_delta_tail_drop(tail->rows, &kept->passed.faulty);
    if (error == NULL && (kept->batch->flags & SL_BATCH_UPDATES) != 0) {
        tail->replaces = true;
        return rows->length == 0 ? NULL : sl_delta_tail_put(tail->rows, rows);
    }
    error = error ? error : sl_delta_tail_drop(tail->rows, rows);
    tail->replaces = tail->replaces || sl_delta_tail_rows(tail->rows) != before;
    if (error == NULL && *finals == NULL) {
        error = encoder_of(node, NULL, finals);
    }
    return error ? error : sl_delta_encoder_append(*finals, rows, 0, rows->length);
}

static sl_error *take_batches(struct sl_node *node, const sl_commit *commit) {
    sl_delta_encoder *finals = NULL;
    sl_error *error = NULL;
    for (size_t i = 0; i < commit->n_pieces && error == NULL; i++) {
        const struct sink_piece *piece = commit->pieces[i];
        for (size_t j = 0; j < piece->n_batches && error == NULL; j++) {
            error = take_batch(node, &piece->batches[j], &finals);
        }
    }
    if (error == NULL && finals != NULL) {
        error = sl_delta_encoder_store(finals, node->store, &node->tail->finals);
    }
    sl_delta_encoder_free(finals);
    return error;
}

static sl_error *write_tail(struct sl_node *node) {
    struct tail_state *tail = node->tail;
    if (!tail->replaces || sl_delta_tail_rows(tail->rows) == 0) {
        return NULL;
    }
    sl_delta_encoder *encoder = NULL;
    sl_error *error = encoder_of(node, tail->owner, &encoder);
    error = error ? error : sl_delta_tail_write(tail->rows, encoder);
    error = error ? error : sl_delta_encoder_store(encoder, node->store, &tail->tail);
    sl_delta_encoder_free(encoder);
    return error;
}

/* `faulty`: the rows at fault, too, for the sake of their keys. */
static sl_error *collect_batches(const sl_commit *commit, bool faulty,
                                 const struct ArrowArray ***out, size_t *n) {
    size_t most = 0;
    for (size_t i = 0; i < commit->n_pieces; i++) {
        most += 2 * ((const struct sink_piece *)commit->pieces[i])->n_batches;
    }
    const struct ArrowArray **batches = calloc(most + 1, sizeof(*batches));
    if (batches == NULL) {
        return sl_error_no_memory();
    }
    size_t at = 0;
    for (size_t i = 0; i < commit->n_pieces; i++) {
        const struct sink_piece *piece = commit->pieces[i];
        for (size_t j = 0; j < piece->n_batches; j++) {
            const struct sink_kept *kept = &piece->batches[j];
            batches[at++] = sink_kept_rows(kept);
            if (faulty && kept->passed.faulty.release != NULL) {
                batches[at++] = &kept->passed.faulty;
            }
        }
    }
    *out = batches;
    *n = at;
    return NULL;
}

/* Rows astray whose keys are among the commit's go out of where they are. */
static sl_error *displace(struct sl_node *node, const sl_commit *commit) {
    struct tail_state *tail = node->tail;
    if (tail->astray == 0 || commit->n_pieces == 0) {
        return NULL;
    }
    const struct ArrowArray **batches = NULL;
    sl_delta_encoder_options options = sink_encoder_options(node, node->inputs[0].schema);
    sl_delta_upsert_info info = {
        .schema = node->inputs[0].schema,
        .key = node->key,
        .n_key = node->n_key,
        .delete_column = -1,
        .encoder = &options,
    };
    sl_error *error = collect_batches(commit, true, &batches, &info.n_batches);
    info.batches = batches;
    error = error ? error
                  : sl_delta_displace(node->table, &info, tail->owner, &tail->displaced,
                                      &tail->instead);
    tail->found = error == NULL ? info.rows_deleted : 0;
    free((void *)batches);
    return error;
}

/* Appends the files of `from`, borrowed, to a list that has room. */
static void borrow(sl_delta_files *to, const sl_delta_files *from) {
    if (from->n > 0) {
        memcpy(to->items + to->n, from->items, from->n * sizeof(*to->items));
        to->n += from->n;
    }
}

static sl_error *list_files(struct tail_state *tail) {
    size_t adds = tail->finals.n + tail->tail.n + tail->instead.n;
    size_t removes = tail->live.n + tail->displaced.n;
    tail->adds.items = calloc(adds + 1, sizeof(*tail->adds.items));
    tail->removes.items = calloc(removes + 1, sizeof(*tail->removes.items));
    if (tail->adds.items == NULL || tail->removes.items == NULL) {
        return sl_error_no_memory();
    }
    borrow(&tail->adds, &tail->finals);
    borrow(&tail->adds, &tail->tail);
    borrow(&tail->adds, &tail->instead);
    if (tail->replaces) {
        borrow(&tail->removes, &tail->live);
    }
    borrow(&tail->removes, &tail->displaced);
    return NULL;
}

static sl_error *prepare(struct sl_node *node, const sl_commit *commit) {
    struct tail_state *tail = node->tail;
    sl_error *error = load(node);
    error = error ? error : take_batches(node, commit);
    error = error ? error : write_tail(node);
    error = error ? error : displace(node, commit);
    return error ? error : list_files(tail);
}

sl_error *sink_tail_prepare(struct sl_node *node, const sl_commit *commit,
                            sl_delta_commit_info *info, sl_delta_advance *open_rows) {
    struct tail_state *tail = node->tail;
    if (!tail->prepared) {
        sl_error *error = prepare(node, commit);
        if (error != NULL) { /* the rows are half in: the next try begins from the table */
            sink_tail_undo(node);
            return error;
        }
        tail->prepared = true;
    }
    info->adds = tail->adds.items;
    info->n_adds = tail->adds.n;
    info->removes = tail->removes.items;
    info->n_removes = tail->removes.n;
    info->reads_only_removes = true;
    int64_t stored = sl_delta_position(node->table, tail->app_id);
    int64_t rows = sl_delta_tail_rows(tail->rows) + tail->astray - tail->found;
    if (rows != (stored == SL_DELTA_NO_POSITION ? 0 : stored)) {
        *open_rows = (sl_delta_advance){tail->app_id, stored, rows};
        info->n_advances++;
    }
    return NULL;
}

void sink_tail_committed(struct sl_node *node) {
    struct tail_state *tail = node->tail;
    if (tail->replaces) {
        sl_delta_files_free(&tail->live);
        tail->live = tail->tail;
        tail->tail = (sl_delta_files){0};
    }
    tail->astray -= tail->found < tail->astray ? tail->found : tail->astray;
    forget_prepared(tail);
}

/* ---- by key, anywhere ---- */

sl_error *sink_replace(struct sl_node *node, const sl_commit *commit,
                       const sl_delta_advance *advances, sl_delta_conflict *conflict) {
    const struct ArrowArray **batches = NULL;
    size_t n = 0;
    sl_error *error = collect_batches(commit, false, &batches, &n);
    if (error != NULL) {
        return error;
    }
    const struct ArrowSchema *schema = node->inputs[0].schema;
    sl_delta_encoder_options options = sink_encoder_options(node, schema);
    sl_delta_upsert_info info = {
        .schema = schema,
        .batches = batches,
        .n_batches = n,
        .key = node->key,
        .n_key = node->n_key,
        .delete_column = node->delete_column,
        .encoder = &options,
        .advances = advances,
        .n_advances = commit->n_positions,
        .new_schema = node->grown.release != NULL ? &node->grown : NULL,
    };
    memcpy(info.token, node->token, sizeof(info.token));
    error = sl_delta_upsert(node->table, &info);
    memcpy(node->token, info.token, sizeof(info.token));
    *conflict = info.conflict;
    free((void *)batches);
    return error;
}
