/* The node: opens or makes the table, tells positions, commits. Runs on a thread of its own, so its
 * operations block. */
#include "sink.h"

#include <stdlib.h>
#include <string.h>

#include "columns/raw.h"

/* How often a commit is made anew when others keep changing the table's schema or its files. */
#define MAX_ANEW 10

/* ---- open: no I/O ---- */

/* What start has made; a start that may succeed later begins anew. */
static void undo_start(struct sl_node *node) {
    sink_tail_free(node);
    if (node->grown.release != NULL) {
        node->grown.release(&node->grown);
    }
    for (size_t i = 0; node->demanded != NULL && i < node->n_inputs; i++) {
        if (node->demanded[i].release != NULL) {
            node->demanded[i].release(&node->demanded[i]);
        }
    }
    free(node->demanded);
    node->demanded = NULL;
    free(node->own_inputs);
    node->own_inputs = NULL;
    for (size_t i = 0; i < node->n_partitions; i++) {
        free(node->partitions[i]);
    }
    free(node->partitions);
    node->partitions = NULL;
    node->n_partitions = 0;
    sl_delta_close(node->table);
    node->table = NULL;
    if (node->store != NULL) {
        node->store->ops->close(node->store);
        node->store = NULL;
    }
}

void sink_release(struct sl_node *node) {
    if (atomic_fetch_sub(&node->users, 1) > 1) {
        return;
    }
    undo_start(node);
    free((void *)node->key);
    free(node->key_text);
    free(node);
}

/* Upkeep gives way. */
static void node_closing(sl_node *node) {
    node->closed = true;
}

static void node_close(sl_node *node) {
    node->closed = true;
    sink_release(node);
}

/* The key that the input's schema declares ("a,b"), split in place. */
static sl_error *declared_key(struct sl_node *node) {
    size_t bytes = 0;
    const char *text = sl_schema_metadata(node->inputs[0].schema, "sluice.key", &bytes);
    if (text == NULL || bytes == 0) {
        return NULL;
    }
    size_t n = 1;
    for (size_t i = 0; i < bytes; i++) {
        n += text[i] == ',';
    }
    node->key_text = strndup(text, bytes);
    node->key = calloc(n, sizeof(*node->key));
    if (node->key_text == NULL || node->key == NULL) {
        return sl_error_no_memory();
    }
    char *rest = node->key_text;
    for (size_t i = 0; i < n; i++) {
        node->key[i] = strsep(&rest, ",");
    }
    node->n_key = n;
    return NULL;
}

static bool key_is(const struct sl_node *node, const sl_list *key) {
    if (node->n_key != key->count) {
        return false;
    }
    for (size_t i = 0; i < key->count; i++) {
        if (strcmp(node->key[i], key->items[i]) != 0) {
            return false;
        }
    }
    return true;
}

static sl_error *find_delete_column(struct sl_node *node) {
    const struct ArrowSchema *schema = node->inputs[0].schema;
    const char *name = node->config->delete_when_null;
    node->delete_column = -1;
    if (name == NULL && sl_raw_is(schema)) {
        node->delete_column = SL_RAW_VALUE;
    } else if (name != NULL) {
        node->delete_column = sl_schema_find(schema, name);
        if (node->delete_column < 0) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "delete_when_null: the input \"%s\" has no column \"%s\"",
                                node->inputs[0].name, name);
        }
    }
    return NULL;
}

static sl_error *check_key(const struct sl_node *node) {
    int64_t *indexes = calloc(node->n_key + 1, sizeof(*indexes));
    if (indexes == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = sl_delta_resolve_key(node->inputs[0].schema, node->key, node->n_key, indexes);
    free(indexes);
    return error ? sl_error_wrap(error, "key") : NULL;
}

static sl_error *choose_way(struct sl_node *node) {
    const struct sink_config *config = node->config;
    node->way = WAY_APPEND;
    if (config->mode == MODE_APPEND) {
        return config->key.count == 0
                   ? NULL
                   : sl_error_new(SL_ERROR_CONFIG,
                                  "key is only for mode upsert; the mode is append");
    }
    if (node->n_inputs != 1) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "mode upsert takes one input, and there are %zu; use a sink and a "
                            "table for each",
                            node->n_inputs);
    }
    sl_error *error = declared_key(node);
    if (error != NULL) {
        return error;
    }
    node->way = WAY_TAIL;
    if (config->key.count > 0 && !key_is(node, &config->key)) {
        node->way = WAY_REPLACE;
        free((void *)node->key);
        node->key = calloc(config->key.count, sizeof(*node->key));
        if (node->key == NULL) {
            return sl_error_no_memory();
        }
        memcpy((void *)node->key, config->key.items, config->key.count * sizeof(*node->key));
        node->n_key = config->key.count;
    }
    if (node->n_key == 0) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "mode upsert needs a key, and the input \"%s\" declares none; set "
                            "\"key\" to the columns that name a row",
                            node->inputs[0].name);
    }
    error = check_key(node);
    return error ? error : find_delete_column(node);
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    struct sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    *node = (struct sl_node){.users = 1,
                             .config = context->config,
                             .services = context->services,
                             .self = context->self,
                             .pipeline = context->pipeline,
                             .name = context->name,
                             .inputs = context->inputs,
                             .n_inputs = context->n_inputs,
                             .delete_column = -1};
    sl_error *error = choose_way(node);
    for (size_t i = 0; i < node->n_inputs && error == NULL; i++) {
        error = sl_delta_check_schema(node->inputs[i].schema);
        if (error != NULL) {
            error = sl_error_wrap(error, "input %s", node->inputs[i].name);
        }
    }
    if (error != NULL) {
        node_close(node);
        return error;
    }
    *out = node;
    return NULL;
}

/* ---- start ---- */

static sl_error *open_table(struct sl_node *node) {
    const struct sink_config *config = node->config;
    size_t n = config->properties.count;
    const char **texts = calloc(2 * n + 1, sizeof(*texts));
    if (texts == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < n; i++) {
        texts[i] = config->properties.pairs[i].key;
        texts[n + i] = config->properties.pairs[i].value;
    }
    sl_delta_create_options options = {
        .schema = node->inputs[0].schema,
        .partition_columns = config->partition_by.items,
        .n_partition_columns = config->partition_by.count,
        .configuration_keys = texts,
        .configuration_values = texts + n,
        .n_configuration = n,
    };
    sl_error *error = sl_delta_open_or_create(node->store, &options, &node->table);
    free((void *)texts);
    return error;
}

/* The table's partition columns, kept for the tasks; they must be the operator's, if said. */
static sl_error *take_partitions(struct sl_node *node) {
    const sl_list *wanted = &node->config->partition_by;
    size_t n = 0;
    const char *const *columns = sl_delta_partition_columns(node->table, &n);
    bool same = wanted->count == n;
    node->partitions = calloc(n + 1, sizeof(*node->partitions));
    if (node->partitions == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < n; i++) {
        same = same && strcmp(columns[i], wanted->items[i]) == 0;
        node->partitions[i] = strdup(columns[i]);
        if (node->partitions[i] == NULL) {
            return sl_error_no_memory();
        }
        node->n_partitions++;
    }
    if (wanted->count > 0 && !same) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s: the table is partitioned by %zu column(s)%s%s, not as "
                            "partition_by says; leave the option out, or write to a new table",
                            sl_delta_url(node->table), n, n > 0 ? ", first " : "",
                            n > 0 ? columns[0] : "");
    }
    return NULL;
}

/*
 * The inputs' schemas with what the table declares NOT NULL. It is demanded of rows, one by one, as
 * far as the table says so now; what another writer demands while we run is for fit_inputs to say.
 */
static sl_error *demand_values(struct sl_node *node) {
    node->demanded = calloc(node->n_inputs, sizeof(*node->demanded));
    node->own_inputs = calloc(node->n_inputs, sizeof(*node->own_inputs));
    if (node->demanded == NULL || node->own_inputs == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < node->n_inputs; i++) {
        const sl_input *input = &node->inputs[i];
        bool changed = false;
        sl_error *error = sl_delta_demand(sl_delta_schema(node->table), input->schema, &changed,
                                          &node->demanded[i]);
        if (error != NULL) {
            return error;
        }
        node->own_inputs[i] = (sl_input){input->name, &node->demanded[i]};
        if (changed) {
            node->services->log(node->self, SL_LOG_INFO,
                                "%s: columns that may be null in the input \"%s\" are NOT NULL in "
                                "the table: rows without a value there are records at fault",
                                sl_delta_url(node->table), input->name);
        }
    }
    node->inputs = node->own_inputs;
    return NULL;
}

/* Files are on their way that are divided by the columns of the start. */
static sl_error *check_partitions(const struct sl_node *node) {
    size_t n = 0;
    const char *const *columns = sl_delta_partition_columns(node->table, &n);
    bool same = n == node->n_partitions;
    for (size_t i = 0; i < n && same; i++) {
        same = strcmp(columns[i], node->partitions[i]) == 0;
    }
    return same ? NULL
                : sl_error_new(SL_ERROR_CONFIG,
                               "%s: another writer has changed the table's partition columns while "
                               "we write to it; restart the node, which then divides its files by "
                               "the new ones",
                               sl_delta_url(node->table));
}

/* Every input against the table; node->grown becomes the schema that takes them all. */
static sl_error *fit_inputs(struct sl_node *node) {
    sl_delta_evolution evolution =
        node->config->evolution == EVOLUTION_STRICT ? SL_DELTA_STRICT : SL_DELTA_ADDITIVE;
    sl_error *changed_partitions = check_partitions(node);
    if (changed_partitions != NULL) {
        return changed_partitions;
    }
    if (node->grown.release != NULL) {
        node->grown.release(&node->grown);
    }
    for (size_t i = 0; i < node->n_inputs; i++) {
        struct ArrowSchema grown;
        bool changed = false;
        const struct ArrowSchema *base =
            node->grown.release != NULL ? &node->grown : sl_delta_schema(node->table);
        sl_error *error = sl_delta_fit_schema_to(
            sl_delta_url(node->table), base, node->inputs[i].schema, evolution, &changed, &grown);
        if (error != NULL) {
            return sl_error_wrap(error, "input %s", node->inputs[i].name);
        }
        if (changed) {
            if (node->grown.release != NULL) {
                node->grown.release(&node->grown);
            }
            node->grown = grown;
        }
    }
    return NULL;
}

static void make_metrics(struct sl_node *node) {
    const sl_services *s = node->services;
    node->commits =
        s->metric(node->self, SL_METRIC_COUNTER, "delta_commits_total", "commits to the table");
    node->conflicts = s->metric(node->self, SL_METRIC_COUNTER, "delta_conflicts_total",
                                "commits that another writer's commit made void");
    node->version =
        s->metric(node->self, SL_METRIC_GAUGE, "delta_table_version", "version of the table");
    node->rows = s->metric(node->self, SL_METRIC_COUNTER, "delta_rows_total", "rows committed");
    node->files =
        s->metric(node->self, SL_METRIC_COUNTER, "delta_files_total", "data files committed");
    node->bytes = s->metric(node->self, SL_METRIC_COUNTER, "delta_bytes_total",
                            "bytes of data files committed");
    node->compacted = s->metric(node->self, SL_METRIC_COUNTER, "delta_compacted_files_total",
                                "small files put together");
}

static sl_error *start(struct sl_node *node) {
    sl_error *error = node->services->store_open(node->self, node->config->table, &node->store);
    error = error ? error : open_table(node);
    error = error ? error : sl_delta_check_writable(node->table, node->way != WAY_APPEND);
    error = error ? error : take_partitions(node);
    error = error ? error : demand_values(node);
    error = error ? error : fit_inputs(node);
    error = error ? error : sink_check_positions(node);
    return error || node->way != WAY_TAIL ? error : sink_tail_new(node);
}

static void node_start(sl_node *node, sl_request *request) {
    const sl_input *given = node->inputs;
    if (node->commits == NULL) {
        make_metrics(node);
    }
    sl_error *error = start(node);
    if (error == NULL) {
        sink_upkeep_begins(node);
    } else {
        node->inputs = given;
        undo_start(node);
    }
    node->services->done(request, error);
}

/* ---- positions ---- */

static void node_recover(sl_node *node, sl_position *positions, size_t n, sl_request *request) {
    sl_error *error = sl_delta_refresh(node->table);
    node->token[0] = 0;
    sink_tail_forget(node);
    error = error ? error : fit_inputs(node); /* to what others have made of the table since */
    for (size_t i = 0; i < n && error == NULL; i++) {
        int64_t position = sink_stored_position(node, positions[i].key);
        positions[i].from = position == SL_DELTA_NO_POSITION ? SL_OFFSET_NONE : position;
    }
    node->services->done(request, error);
}

/* ---- commit ---- */

static sl_error *list_files(const sl_commit *commit, sl_delta_file **out, size_t *n) {
    *n = 0;
    for (size_t i = 0; i < commit->n_pieces; i++) {
        *n += ((const struct sink_piece *)commit->pieces[i])->files.n;
    }
    sl_delta_file *files = calloc(*n + 1, sizeof(*files));
    if (files == NULL) {
        return sl_error_no_memory();
    }
    size_t at = 0;
    for (size_t i = 0; i < commit->n_pieces; i++) {
        const sl_delta_files *from = &((const struct sink_piece *)commit->pieces[i])->files;
        for (size_t j = 0; j < from->n; j++) {
            files[at++] = from->items[j]; /* strings stay the piece's */
        }
    }
    *out = files;
    return NULL;
}

static void count_files(const struct sl_node *node, const sl_delta_commit_info *info) {
    int64_t rows = 0;
    int64_t bytes = 0;
    for (size_t i = 0; i < info->n_adds; i++) {
        rows += info->adds[i].rows > 0 ? info->adds[i].rows : 0;
        bytes += info->adds[i].size_bytes;
    }
    node->services->metric_add(node->rows, rows);
    node->services->metric_add(node->files, (int64_t)info->n_adds);
    node->services->metric_add(node->bytes, bytes);
}

/* One commit of files: the tasks', or the tail's. */
static sl_error *commit_files(struct sl_node *node, const sl_commit *commit,
                              sl_delta_advance *advances, sl_delta_conflict *conflict) {
    sl_delta_file *files = NULL;
    sl_delta_commit_info info = {
        .advances = advances,
        .n_advances = commit->n_positions,
        .schema = node->grown.release != NULL ? &node->grown : NULL,
        .data_change = true,
    };
    sl_error *error = NULL;
    if (node->way == WAY_TAIL) {
        error = sink_tail_prepare(node, commit, &info, &advances[commit->n_positions]);
    } else {
        error = list_files(commit, &files, &info.n_adds);
        info.adds = files;
    }
    if (error == NULL) {
        memcpy(info.token, node->token, sizeof(info.token));
        error = sl_delta_commit(node->table, &info);
        memcpy(node->token, info.token, sizeof(info.token));
    }
    if (error == NULL) {
        count_files(node, &info);
    }
    *conflict = info.conflict;
    free(files);
    return error;
}

static sl_error *commit_once(struct sl_node *node, const sl_commit *commit,
                             sl_delta_conflict *conflict) {
    sl_delta_advance *advances = NULL;
    *conflict = SL_DELTA_CONFLICT_NONE;
    sl_error *error = sink_advances(node, commit, &advances);
    if (error == NULL) {
        error = node->way == WAY_REPLACE && commit->n_pieces > 0
                    ? sink_replace(node, commit, advances, conflict)
                    : commit_files(node, commit, advances, conflict);
    }
    free(advances);
    return error;
}

/* What another writer did to the table, that the commit can be made anew on top of. */
static bool can_be_anew(const struct sl_node *node, sl_delta_conflict conflict,
                        const sl_error *error) {
    return sl_error_is(error, SL_ERROR_CONFLICT) &&
           (conflict == SL_DELTA_CONFLICT_METADATA ||
            (conflict == SL_DELTA_CONFLICT_REMOVED && node->way == WAY_TAIL));
}

/* Commits; anew when another writer changed the schema, or moved rows of open windows. */
static sl_error *commit_anew(struct sl_node *node, const sl_commit *commit) {
    sl_delta_conflict conflict = SL_DELTA_CONFLICT_NONE;
    sl_error *error = commit_once(node, commit, &conflict);
    for (int i = 0; i < MAX_ANEW && can_be_anew(node, conflict, error); i++) {
        sl_error_free(error);
        error = NULL;
        node->token[0] = 0;
        node->services->metric_add(node->conflicts, 1);
        if (conflict == SL_DELTA_CONFLICT_REMOVED) {
            sink_tail_undo(node);
        } else {
            error = fit_inputs(node);
        }
        error = error ? error : commit_once(node, commit, &conflict);
    }
    if (!can_be_anew(node, conflict, error) || conflict != SL_DELTA_CONFLICT_REMOVED) {
        return error;
    }
    sl_error_free(error);
    node->token[0] = 0;
    sink_tail_undo(node);
    return sl_error_new(SL_ERROR_RETRIABLE,
                        "%s: other writers moved rows of open windows %d times in a row",
                        sl_delta_url(node->table), MAX_ANEW);
}

static void after_commit(struct sl_node *node, const sl_commit *commit) {
    for (size_t i = 0; i < commit->n_pieces; i++) {
        sink_piece_free(node->services, commit->pieces[i]);
    }
    node->token[0] = 0;
    if (node->grown.release != NULL) { /* the table has it now */
        node->grown.release(&node->grown);
    }
    if (node->way == WAY_TAIL) {
        sink_tail_committed(node);
    }
    node->services->metric_add(node->commits, 1);
    node->services->metric_set(node->version, sl_delta_version(node->table));
}

static void node_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    sl_error *error = commit_anew(node, commit);
    if (error == NULL) {
        after_commit(node, commit);
        node->services->done(request, NULL);
        sink_maintain(node); /* after the answer, so that nobody waits for it */
        return;
    }
    if (sl_error_is(error, SL_ERROR_CONFLICT)) {
        node->services->metric_add(node->conflicts, 1);
    }
    if (!sl_error_is(error, SL_ERROR_RETRIABLE)) {
        node->token[0] = 0;
        sink_tail_forget(node);
    }
    node->services->done(request, error);
}

static void node_drop_piece(sl_node *node, void *piece) {
    sink_piece_free(node->services, piece); /* its files are orphans: clean-up finds them */
}

const sl_node_ops sink_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .start = node_start,
    .recover = node_recover,
    .commit = node_commit,
    .drop_piece = node_drop_piece,
    .close = node_close,
    .closing = node_closing,
};
