/*
 * Upsert. Of windows (the input declares its key, and marks rows that are still going to change):
 * open rows live in memory and in tail files that each commit replaces, final rows are appended
 * once. By a key of the operator's choice: rows are replaced wherever they are.
 */
#include "sink.h"

#include <stdlib.h>
#include <string.h>

struct tail_state {
    sl_delta_tail *rows;
    char *owner;
    bool loaded;           /* rows and live are what the table has */
    bool prepared;         /* a commit is being made: what follows belongs to it */
    sl_delta_files live;   /* the tail files in the table */
    sl_delta_files tail;   /* those that are to replace them */
    sl_delta_files adds;   /* all files of the commit, tail included; strings are borrowed */
    sl_delta_files finals; /* files of final rows */
    bool replaces;         /* the commit replaces the tail */
};

/* ---- tail ---- */

sl_error *sink_tail_new(struct sl_node *node) {
    struct tail_state *tail = calloc(1, sizeof(*tail));
    if (tail == NULL) {
        return sl_error_no_memory();
    }
    node->tail = tail;
    sl_buffer owner = SL_BUFFER_INIT;
    if (!sl_buffer_printf(&owner, "%s/%s", node->pipeline, node->name) ||
        sl_buffer_text(&owner) == NULL) {
        sl_buffer_free(&owner);
        return sl_error_no_memory();
    }
    tail->owner = (char *)owner.data;
    return sl_delta_tail_new(node->inputs[0].schema, node->key, node->n_key, &tail->rows);
}

/* `adds` borrows from the other lists: only its array is freed. */
static void forget_prepared(struct tail_state *tail) {
    free(tail->adds.items);
    tail->adds = (sl_delta_files){0};
    sl_delta_files_free(&tail->tail);
    sl_delta_files_free(&tail->finals);
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

static sl_error *load(struct sl_node *node) {
    struct tail_state *tail = node->tail;
    if (tail->loaded) {
        return NULL;
    }
    sl_error *error = sl_delta_tail_load(tail->rows, node->table, tail->owner, &tail->live);
    tail->loaded = error == NULL;
    return error;
}

static sl_error *encoder_of(struct sl_node *node, const char *owner, sl_delta_encoder **out) {
    sl_delta_encoder_options options = sink_encoder_options(node, node->inputs[0].schema);
    options.tail_owner = owner;
    return sl_delta_encoder_new(&options, out);
}

/* One batch: open rows into the tail, final ones out of it and into files. */
static sl_error *take_batch(struct sl_node *node, const sl_batch *batch,
                            sl_delta_encoder **finals) {
    struct tail_state *tail = node->tail;
    int64_t before = sl_delta_tail_rows(tail->rows);
    if ((batch->flags & SL_BATCH_UPDATES) != 0) {
        tail->replaces = true;
        return sl_delta_tail_put(tail->rows, batch->columns);
    }
    sl_error *error = sl_delta_tail_drop(tail->rows, batch->columns);
    tail->replaces = tail->replaces || sl_delta_tail_rows(tail->rows) != before;
    if (error == NULL && *finals == NULL) {
        error = encoder_of(node, NULL, finals);
    }
    return error ? error : sl_delta_encoder_append(*finals, batch->columns, 0, batch->rows);
}

static sl_error *take_batches(struct sl_node *node, const sl_commit *commit) {
    sl_delta_encoder *finals = NULL;
    sl_error *error = NULL;
    for (size_t i = 0; i < commit->n_pieces && error == NULL; i++) {
        const struct sink_piece *piece = commit->pieces[i];
        for (size_t j = 0; j < piece->n_batches && error == NULL; j++) {
            error = take_batch(node, piece->batches[j], &finals);
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

static sl_error *list_adds(struct tail_state *tail) {
    size_t n = tail->finals.n + tail->tail.n;
    tail->adds.items = calloc(n + 1, sizeof(*tail->adds.items));
    if (tail->adds.items == NULL) {
        return sl_error_no_memory();
    }
    if (tail->finals.n > 0) {
        memcpy(tail->adds.items, tail->finals.items, tail->finals.n * sizeof(*tail->adds.items));
    }
    if (tail->tail.n > 0) {
        memcpy(tail->adds.items + tail->finals.n, tail->tail.items,
               tail->tail.n * sizeof(*tail->adds.items));
    }
    tail->adds.n = n;
    return NULL;
}

sl_error *sink_tail_prepare(struct sl_node *node, const sl_commit *commit,
                            sl_delta_commit_info *info) {
    struct tail_state *tail = node->tail;
    if (!tail->prepared) {
        sl_error *error = load(node);
        error = error ? error : take_batches(node, commit);
        error = error ? error : write_tail(node);
        error = error ? error : list_adds(tail);
        if (error != NULL) { /* the rows are half in: the next try begins from the table */
            sink_tail_forget(node);
            return error;
        }
        tail->prepared = true;
    }
    info->adds = tail->adds.items;
    info->n_adds = tail->adds.n;
    info->removes = tail->live.items;
    info->n_removes = tail->replaces ? tail->live.n : 0;
    info->reads_only_removes = true;
    return NULL;
}

void sink_tail_committed(struct sl_node *node) {
    struct tail_state *tail = node->tail;
    if (tail->replaces) {
        sl_delta_files_free(&tail->live);
        tail->live = tail->tail;
        tail->tail = (sl_delta_files){0};
    }
    forget_prepared(tail);
}

/* ---- by key, anywhere ---- */

static sl_error *collect_batches(const sl_commit *commit, const struct ArrowArray ***out,
                                 size_t *n) {
    *n = 0;
    for (size_t i = 0; i < commit->n_pieces; i++) {
        *n += ((const struct sink_piece *)commit->pieces[i])->n_batches;
    }
    const struct ArrowArray **batches = calloc(*n + 1, sizeof(*batches));
    if (batches == NULL) {
        return sl_error_no_memory();
    }
    size_t at = 0;
    for (size_t i = 0; i < commit->n_pieces; i++) {
        const struct sink_piece *piece = commit->pieces[i];
        for (size_t j = 0; j < piece->n_batches; j++) {
            batches[at++] = piece->batches[j]->columns;
        }
    }
    *out = batches;
    return NULL;
}

sl_error *sink_replace(struct sl_node *node, const sl_commit *commit,
                       const sl_delta_advance *advances, sl_delta_conflict *conflict) {
    const struct ArrowArray **batches = NULL;
    size_t n = 0;
    sl_error *error = collect_batches(commit, &batches, &n);
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
