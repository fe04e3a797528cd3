/* The node of plain files: recovers from the record of closed files, records, stores. Runs on a
 * thread of its own, so its operations block. */
#include "plain.h"
#include "widen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "columns/raw.h"

/* Records between two looks for old ones. */
#define CLEAN_EVERY 256
/* Lost races for the next record before the commit is given up. */
#define MAX_RACES 16

static const char *const FORMATS[] = {"delta", "parquet", "jsonl", "raw"};
static const char *const CODECS[] = {"zstd", "snappy", "lz4", "none"};

static sl_error *make_config(const struct bronze_config *from, void **out) {
    struct plain_config *config = calloc(1, sizeof(*config));
    if (config == NULL) {
        return sl_error_no_memory();
    }
    *config = (struct plain_config){.location = from->table,
                                    .format = from->format,
                                    .partition_by = from->partition_by,
                                    .level = (int)from->compression_level,
                                    .row_group_bytes = (size_t)from->row_group_bytes};
    (void)sl_parquet_codec_parse(CODECS[from->compression], &config->codec);
    bool block = config->codec == SL_PARQUET_SNAPPY || config->codec == SL_PARQUET_LZ4_RAW;
    if (from->format != FORMAT_PARQUET && block) {
        free(config);
        return sl_error_new(SL_ERROR_CONFIG,
                            "compression: files of lines are compressed as zstd or none, not as %s",
                            CODECS[from->compression]);
    }
    *out = config;
    return NULL;
}

/* ---- open and start ---- */

static void release_schema(struct ArrowSchema *schema) {
    if (schema->release != NULL) {
        schema->release(schema);
    }
}

static void forget_replays(sl_node *node) {
    for (size_t i = 0; i < node->n_replays; i++) {
        free(node->replays[i].spans);
    }
    free(node->replays);
    node->replays = NULL;
    node->n_replays = 0;
}

static void node_close(sl_node *node) {
    plain_sweep_stop(node);
    forget_replays(node);
    closes_free(&node->closes);
    release_schema(&node->file_schema);
    release_schema(&node->raw_schema);
    if (node->store != NULL) {
        node->store->ops->close(node->store);
    }
    free(node);
}

static void make_layout(sl_node *node) {
    const char *const *columns = bronze_partition_columns(node->config->partition_by);
    const char *codec = "none";
    for (size_t i = 0; i < SL_ARRAY_LENGTH(CODECS); i++) {
        sl_parquet_codec known;
        if (sl_parquet_codec_parse(CODECS[i], &known) && known == node->config->codec) {
            codec = CODECS[i];
        }
    }
    while (columns[node->n_partition_columns] != NULL) {
        node->n_partition_columns++;
    }
    snprintf(node->layout, sizeof(node->layout), "%s %s %s", FORMATS[node->config->format], codec,
             node->n_partition_columns == 0 ? "none" : columns[node->n_partition_columns - 1]);
}

static sl_error *make_schemas(sl_node *node) {
    sl_error *error = sl_raw_schema(&node->raw_schema);
    if (error != NULL) {
        node->raw_schema.release = NULL;
        return error;
    }
    error = widen_schema(PARTITION_NONE, false, &node->file_schema);
    if (error != NULL) {
        node->file_schema.release = NULL;
    }
    return error;
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    sl_store *state = context->services->state_store(context->self);
    if (state == NULL) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "plain files are exactly once by a record of what is closed, which "
                            "needs a place: set \"state\" at the top of the topology");
    }
    sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    node->config = context->config;
    node->schema = context->inputs[0].schema;
    node->n_inputs = context->n_inputs;
    node->services = context->services;
    node->self = context->self;
    node->state = state;
    sl_error *error = make_schemas(node);
    if (error != NULL) {
        node_close(node);
        return error;
    }
    make_layout(node);
    *out = node;
    return NULL;
}

static int find_any(const sl_store_entry *entry, void *arg) {
    (void)entry;
    *(bool *)arg = true;
    return 1;
}

/* Files without a record would be written a second time. */
static sl_error *check_state(sl_node *node) {
    bool any = false;
    if (node->closes.version > 0) {
        return NULL;
    }
    sl_error *error = node->store->ops->list(node->store, "", NULL, 1, find_any, &any);
    if (error == NULL && any) {
        error =
            sl_error_new(SL_ERROR_CONFIG,
                         "%s holds files, and the state store has no record of them (%s): their "
                         "rows would be written again; name a new folder, or bring the state "
                         "back",
                         node->store->ops->url(node->store), node->state->ops->url(node->state));
    }
    return error;
}

static void node_start(sl_node *node, sl_request *request) {
    const sl_services *s = node->services;
    node->files = s->metric(node->self, SL_METRIC_COUNTER, "files_written_total", "files stored");
    node->bytes =
        s->metric(node->self, SL_METRIC_COUNTER, "file_bytes_total", "bytes of files stored");
    node->rows = s->metric(node->self, SL_METRIC_COUNTER, "file_rows_total", "rows stored");
    sl_error *error = s->store_open(node->self, node->config->location, &node->store);
    error = error ? error : closes_load(&node->closes, node->state);
    error = error ? error : check_state(node);
    error = error ? error : plain_sweep_begin(node);
    s->done(request, error);
}

/* ---- recovery ---- */

static struct plain_replay *find_replay(const sl_node *node, const sl_position *position) {
    for (size_t i = 0; i < node->n_replays; i++) {
        struct plain_replay *replay = &node->replays[i];
        if (replay->stream == position->stream->index && replay->input == position->input) {
            return replay;
        }
    }
    return NULL;
}

/* Of an earlier stream that had its index. */
static void empty_replays(sl_node *node, const sl_stream *stream) {
    for (size_t i = 0; i < node->n_replays; i++) {
        if (node->replays[i].stream == stream->index) {
            node->replays[i].n = 0;
        }
    }
}

static struct plain_replay *replay_for(sl_node *node, const sl_position *position) {
    struct plain_replay *replay = find_replay(node, position);
    if (replay != NULL) {
        replay->n = 0;
        return replay;
    }
    struct plain_replay *grown = realloc(node->replays, (node->n_replays + 1) * sizeof(*grown));
    if (grown == NULL) {
        return NULL;
    }
    node->replays = grown;
    grown[node->n_replays] = (struct plain_replay){
        .stream = position->stream->index, .input = position->input, .stored = SL_OFFSET_NONE};
    return &grown[node->n_replays++];
}

static void node_recover(sl_node *node, sl_position *positions, size_t n, sl_request *request) {
    node->recorded = false;
    sl_error *error = closes_load(&node->closes, node->state);
    for (size_t i = 0; i < n; i++) {
        empty_replays(node, positions[i].stream);
    }
    for (size_t i = 0; i < n && error == NULL; i++) {
        struct plain_replay *replay = replay_for(node, &positions[i]);
        int64_t offset = -1;
        error = replay == NULL ? sl_error_no_memory()
                               : plain_replay_find(node, positions[i].key, replay, &offset);
        positions[i].from = offset < 0 ? SL_OFFSET_NONE : offset;
    }
    node->services->done(request, error);
}

static void node_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                        void **handle, sl_request *request) {
    struct plain_replay **replays = NULL;
    (void)offset;
    (void)position;
    sl_error *error = plain_replays_take(node, stream, &replays);
    *handle = replays;
    node->services->done(request, error);
}

/* ---- commit ---- */

static const sl_position *position_of(const sl_commit *commit, const struct plain_range *range) {
    for (size_t i = 0; i < commit->n_positions; i++) {
        const sl_position *position = &commit->positions[i];
        if (position->stream->index == range->stream && position->input == range->input) {
            return position;
        }
    }
    return NULL;
}

static bool is_listed(const struct closes *closes, const char *key, const char *path) {
    for (size_t i = 0; i < closes->n_files; i++) {
        if (strcmp(closes->files[i].path, path) == 0 && strcmp(closes->files[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

/* True when files of the key are recorded that reach beyond `offset`. */
static bool is_ahead(const struct closes *closes, const char *key, int64_t offset) {
    for (size_t i = 0; i < closes->n_files; i++) {
        if (strcmp(closes->files[i].key, key) == 0 && closes->files[i].next > offset) {
            return true;
        }
    }
    return false;
}

static bool is_in(const struct plain_piece *piece, const char *path) {
    for (size_t r = 0; r < piece->n; r++) {
        for (size_t f = 0; f < piece->ranges[r].n_files; f++) {
            if (strcmp(piece->ranges[r].paths[f], path) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* *lacks: a recorded file of the key is neither stored nor in the commit. */
static sl_error *lacks_files(const sl_node *node, const sl_commit *commit, const char *key,
                             bool *lacks) {
    sl_error *error = NULL;
    *lacks = false;
    for (size_t i = 0; i < node->closes.n_files && error == NULL && !*lacks; i++) {
        const struct closes_file *file = &node->closes.files[i];
        bool made = strcmp(file->key, key) != 0;
        for (size_t p = 0; p < commit->n_pieces && !made; p++) {
            made = is_in(commit->pieces[p], file->path);
        }
        error = made ? NULL : plain_is_missing(node, file->path, lacks);
    }
    return error;
}

/* Files that a crash left out are being made again: nobody has gone on since. */
static bool is_read_again(const sl_node *node, const sl_position *position) {
    const struct plain_replay *replay = find_replay(node, position);
    return replay != NULL && replay->n > 0 &&
           closes_position(&node->closes, position->key) == replay->stored;
}

/* The stored position must be what this commit goes on from, unless that is read again. */
static sl_error *check_position(const sl_node *node, const sl_position *position) {
    int64_t stored = closes_position(&node->closes, position->key);
    if (stored == position->from || is_read_again(node, position)) {
        return NULL;
    }
    return sl_error_new(SL_ERROR_CONFLICT,
                        "%s: the stored position is %lld, and this commit goes on from %lld: "
                        "somebody else has closed files of it",
                        position->key, (long long)stored, (long long)position->from);
}

static sl_error *advance(sl_node *node, const sl_commit *commit, const sl_position *position) {
    struct closes *closes = &node->closes;
    bool lacks = false;
    sl_error *error = check_position(node, position);
    if (error == NULL && is_read_again(node, position)) {
        error = lacks_files(node, commit, position->key, &lacks);
    }
    if (error != NULL || lacks || is_ahead(closes, position->key, position->to)) {
        return error; /* on the way through recorded files: what is recorded holds */
    }
    for (size_t i = closes->n_files; i-- > 0;) {
        if (strcmp(closes->files[i].key, position->key) == 0) {
            closes_remove_file(closes, i);
        }
    }
    return closes_set_position(closes, position->key, position->to);
}

static sl_error *list_range(struct closes *closes, const char *key,
                            const struct plain_range *range) {
    sl_error *error = NULL;
    for (size_t f = 0; f < range->n_files && error == NULL; f++) {
        if (!is_listed(closes, key, range->paths[f])) {
            error = closes_add_file(closes, key, range->paths[f], range->first, range->next);
        }
    }
    return error;
}

static sl_error *record_once(sl_node *node, const sl_commit *commit) {
    struct closes *closes = &node->closes;
    sl_error *error = NULL;
    for (size_t i = 0; i < commit->n_positions && error == NULL; i++) {
        error = advance(node, commit, &commit->positions[i]);
    }
    for (size_t p = 0; p < commit->n_pieces && error == NULL; p++) {
        const struct plain_piece *piece = commit->pieces[p];
        for (size_t r = 0; r < piece->n && error == NULL; r++) {
            const sl_position *position = position_of(commit, &piece->ranges[r]);
            if (position != NULL) {
                error = list_range(closes, position->key, &piece->ranges[r]);
            }
        }
    }
    return error ? error : closes_write(closes, node->state, node->layout);
}

/* Whether the record has this commit already: it was written, and its answer got lost. */
static bool is_recorded(const struct closes *closes, const sl_commit *commit) {
    for (size_t i = 0; i < commit->n_positions; i++) {
        const sl_position *position = &commit->positions[i];
        if (closes_position(closes, position->key) != position->to) {
            return false;
        }
    }
    for (size_t p = 0; p < commit->n_pieces; p++) {
        const struct plain_piece *piece = commit->pieces[p];
        for (size_t r = 0; r < piece->n; r++) {
            const struct plain_range *range = &piece->ranges[r];
            const sl_position *position = position_of(commit, range);
            for (size_t f = 0; position != NULL && f < range->n_files; f++) {
                if (!is_listed(closes, position->key, range->paths[f])) {
                    return false;
                }
            }
        }
    }
    return commit->n_positions > 0;
}

/*
 * Whoever else records (another host of the group) has other streams: the commit goes on top of
 * theirs as long as the positions hold.
 */
static sl_error *record(sl_node *node, const sl_commit *commit) {
    bool again = node->stale;
    sl_error *error = again ? closes_load(&node->closes, node->state) : NULL;
    if (error != NULL) {
        return error;
    }
    node->stale = false;
    if (again && is_recorded(&node->closes, commit)) {
        return NULL;
    }
    error = record_once(node, commit);
    for (int i = 0; i < MAX_RACES && sl_error_is(error, SL_ERROR_CONFLICT); i++) {
        int64_t version = node->closes.version;
        sl_error *loading = closes_load(&node->closes, node->state);
        if (loading != NULL || node->closes.version == version) {
            sl_error_free(loading);
            break; /* nobody was faster: the positions do not hold */
        }
        sl_error_free(error);
        error = record_once(node, commit);
    }
    node->stale = error != NULL; /* what was changed in memory is not in the store */
    return error;
}

static sl_error *store_file(sl_node *node, const struct plain_file *file, const char *path) {
    sl_error *error = node->store->ops->put(node->store, path, file->bytes.data, file->bytes.bytes,
                                            SL_STORE_IF_ABSENT);
    if (sl_error_is(error, SL_ERROR_EXISTS)) { /* stored before, of the same rows */
        sl_error_free(error);
        return NULL;
    }
    if (error == NULL) {
        node->services->metric_add(node->files, 1);
        node->services->metric_add(node->bytes, (int64_t)file->bytes.bytes);
        node->services->metric_add(node->rows, file->rows);
    }
    return error;
}

static sl_error *store_pieces(sl_node *node, const sl_commit *commit) {
    sl_error *error = NULL;
    for (size_t p = 0; p < commit->n_pieces && error == NULL; p++) {
        const struct plain_piece *piece = commit->pieces[p];
        for (size_t r = 0; r < piece->n && error == NULL; r++) {
            const struct plain_range *range = &piece->ranges[r];
            bool ours = position_of(commit, range) != NULL;
            for (size_t f = 0; ours && f < range->n_files && error == NULL; f++) {
                error = store_file(node, range->files[f], range->paths[f]);
            }
        }
    }
    return error;
}

static void clean(sl_node *node) {
    int64_t now_ms = node->services->now_us(node->self) / 1000;
    sl_error *error = closes_clean(&node->closes, node->state, now_ms);
    if (error != NULL) {
        node->services->log(node->self, SL_LOG_WARN, "old records of closed files: %s",
                            sl_error_message(error));
        sl_error_free(error);
    }
}

static void node_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    sl_error *error = node->recorded ? NULL : record(node, commit);
    node->recorded = node->recorded || error == NULL;
    error = error ? error : store_pieces(node, commit);
    if (error == NULL) {
        for (size_t i = 0; i < commit->n_pieces; i++) {
            plain_piece_free(commit->pieces[i]);
        }
        node->recorded = false;
    }
    node->services->done(request, error);
    if (error == NULL && node->closes.version % CLEAN_EVERY == 0) {
        clean(node);
    }
}

static void node_drop_piece(sl_node *node, void *piece) {
    (void)node;
    plain_piece_free(piece);
}

static void node_drop_handle(sl_node *node, const sl_stream *stream, void *handle) {
    (void)node;
    (void)stream;
    plain_replays_free(handle);
}

const sl_node_ops plain_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .start = node_start,
    .recover = node_recover,
    .resume = node_resume,
    .commit = node_commit,
    .drop_piece = node_drop_piece,
    .close = node_close,
    .drop_handle = node_drop_handle,
    .closing = plain_sweep_stop,
};

const struct bronze_inner bronze_plain = {
    .node = &plain_node_ops,
    .task = &plain_task_ops,
    .process = plain_process,
    .config = make_config,
    .ingest_time = false,
};
