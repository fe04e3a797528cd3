/*
 * The node: reads the schema and what the options say about its columns, and keeps deduplication's
 * state in the state store. Its operations block, on a thread of their own.
 */
#include "segments.h"
#include "silver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "columns/raw.h"

#define MAX_SCHEMA_BYTES ((size_t)16 << 20)
#define PARKED_MS 10000

static const char *const META_NAMES[] = {"_topic", "_partition", "_offset"};
static const char *const META_FORMATS[] = {"u", "i", "l"};

/* ---- schemas ---- */

static sl_error *read_file(const char *path, sl_buffer *out) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "schema: cannot read %s: %s", path, strerror(errno));
    }
    sl_error *error = NULL;
    for (;;) {
        if (!sl_buffer_reserve(out, 65536)) {
            error = sl_error_no_memory();
            break;
        }
        size_t n = fread(out->data + out->bytes, 1, 65536, file);
        out->bytes += n;
        if (n == 0 || out->bytes > MAX_SCHEMA_BYTES) {
            break;
        }
    }
    if (error == NULL && (ferror(file) || out->bytes > MAX_SCHEMA_BYTES)) {
        error = sl_error_new(SL_ERROR_CONFIG, "schema: %s %s", path,
                             ferror(file) ? "cannot be read to its end" : "is above 16 MiB");
    }
    fclose(file);
    return error;
}

static sl_error *compile_schema(sl_node *node) {
    const struct silver_config *config = node->config;
    sl_buffer text = SL_BUFFER_INIT;
    sl_json_options options = {
        .max_value_bytes = (size_t)config->max_record_bytes,
        .max_depth = (uint32_t)config->max_depth,
        .duplicates = (sl_json_duplicates)config->duplicate_keys,
        .rescue = config->rescue != 0,
        .assert_formats = config->check_formats != 0,
        .n_coercions = config->coerce.count,
    };
    sl_json_coercion *coercions = calloc(config->coerce.count + 1, sizeof(*coercions));
    if (coercions == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < config->coerce.count; i++) {
        const sl_pair *pair = &config->coerce.pairs[i];
        coercions[i] = (sl_json_coercion){pair->key, pair->value};
    }
    options.coercions = coercions;
    sl_error *error = read_file(config->schema, &text);
    if (error == NULL) {
        error =
            sl_json_schema_compile((const char *)text.data, text.bytes, &options, &node->schema);
        error = error == NULL ? NULL : sl_error_wrap(error, "%s", config->schema);
    }
    sl_buffer_free(&text);
    free(coercions);
    return error;
}

static sl_error *parse_computed(sl_node *node) {
    const sl_map *map = &node->config->computed;
    const struct ArrowSchema *columns = sl_json_schema_columns(node->schema);
    node->computed = calloc(map->count + 1, sizeof(*node->computed));
    sl_error *error = node->computed == NULL ? sl_error_no_memory() : NULL;
    for (size_t i = 0; i < map->count && error == NULL; i++) {
        error =
            expression_parse(map->pairs[i].key, map->pairs[i].value, columns, &node->computed[i]);
        node->n_computed += error == NULL;
    }
    return error;
}

/* Tables take no two columns whose names differ only in case. */
static sl_error *check_names(const struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        for (int64_t k = 0; k < i; k++) {
            if (strcasecmp(schema->children[i]->name, schema->children[k]->name) == 0) {
                return sl_error_new(SL_ERROR_CONFIG,
                                    "the output would have two columns \"%s\" and \"%s\"; rename "
                                    "the computed column or the property",
                                    schema->children[k]->name, schema->children[i]->name);
            }
        }
    }
    return NULL;
}

/* Moves a field's deep copy into `out`'s child `index`. */
static sl_error *copy_field(const struct ArrowSchema *field, struct ArrowSchema *out,
                            size_t index) {
    sl_error *error =
        sl_schema_set_field(out, index, field->name, field->format,
                            (field->flags & ARROW_FLAG_NULLABLE) != 0, (size_t)field->n_children);
    for (int64_t i = 0; i < field->n_children && error == NULL; i++) {
        error = copy_field(field->children[i], out->children[index], (size_t)i);
    }
    return error;
}

static sl_error *make_rows_schema(sl_node *node) {
    const struct ArrowSchema *columns = sl_json_schema_columns(node->schema);
    size_t n = (size_t)columns->n_children;
    node->first_computed = n;
    struct ArrowSchema *out = &node->rows_schema;
    sl_error *error = sl_schema_new_struct(n + node->n_computed + SL_ARRAY_LENGTH(META_NAMES), out);
    for (size_t i = 0; i < n && error == NULL; i++) {
        error = copy_field(columns->children[i], out, i);
    }
    for (size_t i = 0; i < node->n_computed && error == NULL; i++) {
        error = sl_schema_set_field(out, n + i, node->config->computed.pairs[i].key,
                                    expression_format(node->computed[i]), true, 0);
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(META_NAMES) && error == NULL; i++) {
        error = sl_schema_set_field(out, n + node->n_computed + i, META_NAMES[i], META_FORMATS[i],
                                    false, 0);
    }
    return error != NULL ? error : check_names(out);
}

/* ---- deduplication ---- */

static sl_error *resolve_keys(sl_node *node, const sl_list *key) {
    const struct ArrowSchema *columns = sl_json_schema_columns(node->schema);
    if (key->count == 0 || key->count > SILVER_MAX_KEYS) {
        return sl_error_new(SL_ERROR_CONFIG, "deduplicate.key: %zu columns, allowed are 1 to %d",
                            key->count, SILVER_MAX_KEYS);
    }
    for (size_t i = 0; i < key->count; i++) {
        struct silver_path *path = &node->keys[i];
        sl_error *error =
            sl_schema_resolve(columns, key->items[i], path->steps, SILVER_MAX_PATH, &path->n);
        if (error != NULL) {
            return sl_error_wrap(error, "deduplicate.key");
        }
        const struct ArrowSchema *column = columns;
        for (size_t s = 0; s < path->n; s++) {
            column = column->children[path->steps[s]];
        }
        if (column->n_children > 0) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "deduplicate.key: \"%s\" is an object or a list; name a single "
                                "value, as \"%s.NAME\"",
                                key->items[i], key->items[i]);
        }
    }
    node->n_keys = key->count;
    return NULL;
}

/* What the tables need: 24 bytes a slot, at least 3 of 8 slots in use, two tables of W each. */
static void tell_memory(sl_node *node, const struct silver_dedup_config *config) {
    const double key_bytes = 64;
    double keys = 10000.0 * (double)config->within_us / 1e6 * 2;
    char need[32], limit[32];
    node->services->log(node->self, SL_LOG_INFO,
                        "deduplication takes up to %.0f bytes a key and keeps keys for up to twice "
                        "`within`: %s at 10,000 records/s; beyond %s they lie in files in %s",
                        key_bytes,
                        sl_format_size((int64_t)(keys * key_bytes) / 1048576 * 1048576, need),
                        sl_format_size(config->memory_bytes, limit), config->spill);
}

static sl_error *open_dedup(sl_node *node, uint32_t flags) {
    const struct silver_dedup_config *config = node->config->deduplicate;
    if (config == NULL) {
        return NULL;
    }
    node->dedup = (struct dedup_shared){.within_us = config->within_us,
                                        .max_ahead_us = config->max_ahead_us,
                                        .memory_bytes = config->memory_bytes,
                                        .spill = config->spill};
    sl_error *error = resolve_keys(node, &config->key);
    if (error != NULL) {
        return error;
    }
    if ((flags & SL_RUN_VALIDATE_ONLY) != 0) {
        tell_memory(node, config);
        return NULL;
    }
    sl_store *store = node->services->state_store(node->self);
    if (store == NULL) {
        return sl_error_new(
            SL_ERROR_CONFIG,
            "deduplicate needs a state store: give the topology a \"state\" folder");
    }
    return segments_new(store, node->services, node->self, config->keep_us, &node->segments);
}

/* ---- operations ---- */

static void node_close(sl_node *node) {
    if (node->parked_timer != NULL) {
        node->services->timer_stop(node->parked_timer);
    }
    parked_close(&node->parked);
    for (size_t i = 0; i < node->n_computed; i++) {
        expression_free(node->computed[i]);
    }
    free(node->computed);
    if (node->rows_schema.release != NULL) {
        node->rows_schema.release(&node->rows_schema);
    }
    sl_json_schema_free(node->schema);
    segments_free(node->segments);
    free(node);
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    if (!sl_raw_is(context->inputs[0].schema)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "input \"%s\" has no raw records; silver-validate reads what a source "
                            "of records emits",
                            context->inputs[0].name);
    }
    sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    node->services = context->services;
    node->self = context->self;
    node->config = context->config;
    parked_init(&node->parked);
    sl_error *error = compile_schema(node);
    if (error == NULL) {
        error = parse_computed(node);
    }
    if (error == NULL) {
        error = make_rows_schema(node);
    }
    if (error == NULL) {
        error = open_dedup(node, context->flags);
    }
    if (error != NULL) {
        node_close(node);
        return error;
    }
    const char *keyword;
    if (sl_json_schema_needs_validator(node->schema, &keyword)) {
        node->services->log(node->self, SL_LOG_INFO,
                            "the schema's `%s` is checked by the full validator, which reads each "
                            "record a second time",
                            keyword);
    }
    *out = node;
    return NULL;
}

static sl_error *node_output_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    /* that of the rejects is the host's */
    return output == SILVER_OUTPUT_ROWS ? sl_schema_copy(&node->rows_schema, out) : NULL;
}

static void node_recover(sl_node *node, sl_position *positions, size_t n, sl_request *request) {
    for (size_t i = 0; i < n; i++) {
        positions[i].from = SL_OFFSET_NONE;
    }
    sl_error *error =
        node->segments == NULL ? NULL : segments_recover(node->segments, positions, n);
    node->services->done(request, error);
}

/* What lies in memory, if it is what would be loaded. */
static sl_error *load_state(sl_node *node, const sl_stream *stream, int64_t offset,
                            struct dedup_stream **out) {
    *out = parked_take(&node->parked, stream, offset);
    if (*out != NULL && segments_adopt(node->segments, stream, offset, *out)) {
        return NULL;
    }
    dedup_stream_free(*out);
    return segments_load(node->segments, stream, offset, &node->dedup, out);
}

static void node_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                        void **handle, sl_request *request) {
    (void)position;
    struct dedup_stream *state = NULL;
    sl_error *error = NULL;
    if (node->segments != NULL) {
        error = load_state(node, stream, offset, &state);
    }
    *handle = state;
    node->services->done(request, error);
}

static void parked_too_long(void *arg) {
    sl_node *node = arg;
    int64_t now_us = node->services->now_us(node->self);
    if (!parked_drop(&node->parked, now_us - (int64_t)PARKED_MS * 1000)) {
        node->services->timer_stop(node->parked_timer);
        node->parked_timer = NULL;
    }
}

/* What is parked is dropped after a while. Without a timer it is not kept. */
static void watch_parked(sl_node *node) {
    if (node->parked_timer == NULL) {
        sl_error *error = node->services->timer_start(node->self, PARKED_MS, PARKED_MS,
                                                      parked_too_long, node, &node->parked_timer);
        if (error != NULL) {
            sl_error_free(error);
            (void)parked_drop(&node->parked, INT64_MAX);
        }
    }
}

/* Its task has parked the state. */
static void node_suspend(sl_node *node, const sl_stream *stream) {
    if (node->segments != NULL) {
        segments_forget(node->segments, stream);
        watch_parked(node);
    }
}

static void node_acknowledge(sl_node *node, const sl_stream *stream, int64_t position) {
    if (node->segments != NULL) {
        segments_acknowledge(node->segments, stream, position);
    }
}

#define MAX_LOGS 256

static sl_error *commit_position(sl_node *node, const sl_position *position,
                                 const sl_commit *commit) {
    const struct dedup_log *logs[MAX_LOGS];
    size_t n = 0;
    for (size_t i = 0; i < commit->n_pieces; i++) {
        const struct silver_piece *piece = commit->pieces[i];
        for (size_t k = 0; k < piece->n; k++) {
            const struct silver_piece_item *item = &piece->items[k];
            if (item->stream != position->stream || item->epoch != position->stream->epoch) {
                continue;
            }
            if (n == MAX_LOGS) {
                return sl_error_new(SL_ERROR_FATAL, "more than %d flushes in one commit", MAX_LOGS);
            }
            logs[n++] = &item->log;
        }
    }
    sl_error *error =
        segments_commit(node->segments, position->stream, position->from, position->to, logs, n);
    if (error == NULL) {
        segments_collect(node->segments, position->stream, node->dedup.within_us);
    }
    return error;
}

void silver_piece_free(struct silver_piece *piece) {
    for (size_t i = 0; i < piece->n; i++) {
        sl_buffer_free(&piece->items[i].log.bytes);
    }
    free(piece);
}

/* At most one merge a commit, by turns, so that none takes long. */
static void merge_one(sl_node *node, const sl_commit *commit, bool good) {
    size_t n = commit->n_positions;
    bool merged = !good || node->segments == NULL;
    for (size_t i = 0; i < n && !merged; i++) {
        merged = segments_merge(node->segments, commit->positions[(node->turn + i) % n].stream);
    }
    node->turn++;
}

static void node_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    sl_error *error = NULL;
    for (size_t i = 0; i < commit->n_positions && error == NULL && node->segments != NULL; i++) {
        error = commit_position(node, &commit->positions[i], commit);
    }
    merge_one(node, commit, error == NULL);
    for (size_t i = 0; i < commit->n_pieces && error == NULL; i++) {
        silver_piece_free(commit->pieces[i]);
    }
    node->services->done(request, error);
}

/* The stream was given up before a task had its state. */
static void node_drop_handle(sl_node *node, const sl_stream *stream, void *handle) {
    parked_put(&node->parked, stream, handle, node->services->now_us(node->self));
    watch_parked(node);
}

static void node_drop_piece(sl_node *node, void *piece) {
    (void)node;
    silver_piece_free(piece);
}

static uint32_t node_flags(const void *config) {
    const struct silver_config *own = config;
    return own->deduplicate != NULL ? SL_ROLE_BLOCKING | SL_ROLE_DURABLE | SL_ROLE_REPLAYS
                                    : SL_ROLE_BLOCKING;
}

const sl_node_ops silver_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .output_schema = node_output_schema,
    .recover = node_recover,
    .resume = node_resume,
    .suspend = node_suspend,
    .acknowledge = node_acknowledge,
    .commit = node_commit,
    .drop_piece = node_drop_piece,
    .drop_handle = node_drop_handle,
    .close = node_close,
    .flags = node_flags,
};
