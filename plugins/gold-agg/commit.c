/*
 * A commit: merges the lanes' deltas, moves positions and clocks, closes windows by the smallest
 * watermark, encodes all that as one entry of the chain, puts it, and only then emits the results.
 *
 * What is in memory moves while the entry is prepared. A retriable failure keeps the prepared entry
 * for the next try of the same commit; after any other the state is loaded anew from the chain.
 */
#include "gold.h"

#include <stdlib.h>

#define MIN_BASE_BYTES ((size_t)1 << 20)
#define MAX_ENTRIES_PER_BASE 500
#define COLLECT_EVERY 600 /* entries between two looks for old objects */

void prepared_free(struct prepared *prepared) {
    struct ArrowArray *arrays[] = {&prepared->finals, &prepared->updates, &prepared->late};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(arrays); i++) {
        if (arrays[i]->release != NULL) {
            arrays[i]->release(arrays[i]);
        }
    }
    for (int i = 0; i < OUTPUTS; i++) {
        sl_buffer_free(&prepared->rows_bytes[i]);
    }
    sl_buffer_free(&prepared->bytes);
    sl_buffer_free(&prepared->delta);
    free(prepared->entry.streams);
    memset(prepared, 0, sizeof(*prepared));
}

/* ---- the watermark ---- */

/*
 * Idle: at its end for long enough, which its source has seen again at the end of that time, and
 * nothing taken that is not merged. In a run to the end of the data only what has no rows at all
 * counts as idle, so that such runs do not depend on how fast each stream ends. The lock is held.
 */
static bool is_idle(const sl_node *node, const struct gold_stream *stream) {
    const struct shared_clock *shared = &stream->shared;
    if (node->config->idle_us == 0 || stream->stream == NULL || shared->at_end_since == 0 ||
        shared->takes != stream->merged) {
        return false;
    }
    if ((node->flags & SL_RUN_UNTIL_END) != 0) {
        return stream->clock.max_event_us == SL_TIME_NONE;
    }
    int64_t since = shared->at_end_since;
    since = since > node->awake_since ? since : node->awake_since;
    since = since > stream->unsure_us ? since : stream->unsure_us;
    return stream->seen_us - since >= node->config->idle_us;
}

bool stream_is_idle(const sl_node *node, struct gold_stream *stream) {
    (void)pthread_mutex_lock(&stream->shared.mutex);
    bool idle = is_idle(node, stream);
    (void)pthread_mutex_unlock(&stream->shared.mutex);
    return idle;
}

bool stream_raise_floor(const sl_node *node, struct gold_stream *stream, int64_t watermark) {
    (void)pthread_mutex_lock(&stream->shared.mutex);
    bool idle = is_idle(node, stream);
    if (idle && watermark > stream->shared.floor_us) {
        stream->shared.floor_us = watermark;
    }
    int64_t floor = stream->shared.floor_us;
    (void)pthread_mutex_unlock(&stream->shared.mutex);
    if (idle && floor > stream->clock.floor_us) {
        stream->clock.floor_us = floor;
    }
    return idle;
}

/* Smallest watermark of the streams that count; when all are idle, the largest: as if the last of
 * them had become idle after the others. */
static int64_t smallest(sl_node *node) {
    int64_t least = INT64_MAX;
    int64_t largest = SL_TIME_NONE;
    for (struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        int64_t own = sl_window_clock_watermark(node->plan, &stream->clock);
        largest = own > largest ? own : largest;
        if (own < least && !stream_is_idle(node, stream)) {
            least = own;
        }
    }
    return least == INT64_MAX ? largest : least;
}

int64_t commit_watermark(sl_node *node) {
    if (node_in_group(node)) { /* floors are raised by the streams' owners */
        int64_t published = group_watermark(node);
        return published > node->watermark_us ? published : node->watermark_us;
    }
    int64_t watermark = smallest(node);
    if (watermark <= node->watermark_us) {
        return node->watermark_us;
    }
    for (struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        if (stream_is_idle(node, stream) && !stream_raise_floor(node, stream, watermark)) {
            return node->watermark_us; /* it woke up meanwhile: the next commit sees its rows */
        }
    }
    /* a stream may have woken between the two looks; its rows are judged by the floor it saw */
    int64_t again = smallest(node);
    again = again < watermark ? again : watermark;
    return again > node->watermark_us ? again : node->watermark_us;
}

/* ---- preparing ---- */

sl_error *commit_late_rows(sl_node *node, const sl_commit *commit, const struct gold_stream *stream,
                           struct ArrowArray *out) {
    sl_builder late;
    sl_error *error = sl_builder_init(&late, node->rows_schema);
    for (size_t p = 0; p < commit->n_pieces && error == NULL; p++) {
        const struct gold_piece *piece = commit->pieces[p];
        for (size_t d = 0; d < piece->n && error == NULL; d++) {
            const struct ArrowArray *rows = &piece->deltas[d].late;
            const struct gold_stream *from = node_find_stream(node, piece->deltas[d].stream);
            bool wanted = from != NULL && (stream == NULL || stream == from);
            if (wanted && rows->release != NULL) {
                error = sl_builder_append_array(&late, node->rows_schema, rows, 0, rows->length);
            }
        }
    }
    if (error == NULL && late.length > 0) {
        error = sl_builder_finish(&late, out);
    }
    sl_builder_free(&late);
    return error;
}

/* Merges the deltas into one, writes it, adds it to the state; moves the clocks. */
static sl_error *merge_deltas(sl_node *node, const sl_commit *commit, struct prepared *prepared) {
    sl_window_table *delta;
    sl_error *error = sl_window_table_new(node->plan, &delta);
    if (error != NULL) {
        return error;
    }
    for (size_t p = 0; p < commit->n_pieces && error == NULL; p++) {
        const struct gold_piece *piece = commit->pieces[p];
        for (size_t d = 0; d < piece->n && error == NULL; d++) {
            struct gold_delta *part = &piece->deltas[d];
            struct gold_stream *stream = node_find_stream(node, part->stream);
            if (stream == NULL) {
                continue; /* it has left: its rows come again from its stored position */
            }
            if (part->moved) {
                error = sl_error_new(SL_ERROR_CONFLICT,
                                     "the state that this commit was merged into is gone");
                break;
            }
            part->moved = true;
            error = sl_window_table_merge(delta, part->table);
            stream->clock = part->clock;
            stream->merged = part->take;
            node->services->metric_add(node->partly_late_metric, part->partly_late);
        }
    }
    if (error == NULL && sl_window_table_groups(delta) > 0) {
        error = sl_window_table_write(delta, &prepared->delta);
        error = error != NULL ? error : sl_window_table_merge(node->state, delta);
    }
    sl_window_table_free(delta);
    return error != NULL ? error : commit_late_rows(node, commit, NULL, &prepared->late);
}

static void count_results(sl_node *node, const sl_window_result_counts *counts) {
    node->services->metric_add(node->overflow_metric, counts->overflows);
    if (counts->overflows > 0) {
        node->services->log(node->self, SL_LOG_WARN,
                            "%lld sums do not fit their column's type and are null",
                            (long long)counts->overflows);
    }
}

bool commit_sends_updates(const sl_node *node) {
    return node->config->updates != 0 && node->config->window->session_us == 0;
}

/* Closes windows and collects the changed ones. */
static sl_error *make_results(sl_node *node, struct prepared *prepared) {
    sl_window_result_counts counts;
    node->watermark_us = commit_watermark(node);
    sl_error *error =
        sl_window_table_close(node->state, node->watermark_us, &node->finals_builder, &counts);
    if (error == NULL && counts.rows > 0) {
        count_results(node, &counts);
        node->services->metric_add(node->windows_metric, counts.rows);
        prepared->entry.finals = counts.rows;
        prepared->entry.max_event_us = counts.max_event_us;
        error = sl_builder_finish(&node->finals_builder, &prepared->finals);
    }
    if (error == NULL && commit_sends_updates(node)) {
        error = sl_window_table_changes(node->state, prepared->refreshes, &node->updates_builder,
                                        &counts);
        if (error == NULL && counts.rows > 0) {
            prepared->updates_max_event_us = counts.max_event_us;
            error = sl_builder_finish(&node->updates_builder, &prepared->updates);
        }
    }
    return error;
}

/* Every now and then the whole state, so that a start need not read deltas without end: when they
 * are as large as the state, the cost of it is that of the deltas. A snapshot that cannot be put is
 * left out; the delta stands in the entry then. */
static sl_error *make_base(sl_node *node, struct prepared *prepared) {
    size_t limit = node->base_bytes > MIN_BASE_BYTES ? node->base_bytes : MIN_BASE_BYTES;
    if (node->delta_bytes + prepared->delta.bytes < limit &&
        node->number - node->base_number < MAX_ENTRIES_PER_BASE) {
        return NULL;
    }
    sl_buffer table = SL_BUFFER_INIT;
    uint64_t token = random_token();
    sl_error *error = sl_window_table_write(node->state, &table);
    if (error == NULL) {
        error = base_put(node->store, prepared->entry.number, token, &table);
        if (error == NULL) {
            prepared->has_base = true;
            prepared->entry.base_number = prepared->entry.number;
            prepared->entry.base_token = token;
            node->base_bytes = table.bytes;
        } else {
            node->services->log(node->self, SL_LOG_WARN, "snapshot: %s", sl_error_message(error));
            sl_error_free(error);
            error = NULL;
        }
    }
    sl_buffer_free(&table);
    return error;
}

static sl_error *list_streams(sl_node *node, struct entry *entry) {
    size_t n = 0;
    for (const struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        n++;
    }
    entry->streams = calloc(n + 1, sizeof(*entry->streams));
    if (entry->streams == NULL) {
        return sl_error_no_memory();
    }
    for (const struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        size_t bytes = strlen(stream->key);
        if (node_in_group(node) && stream->listed) {
            entry->streams[entry->n_streams++] = (struct entry_stream){
                stream->key, bytes, stream->applied, stream->applied_clock, stream->applied_idle};
        } else if (!node_in_group(node) && stream->position != SL_OFFSET_NONE) {
            entry->streams[entry->n_streams++] =
                (struct entry_stream){stream->key, bytes, stream->position, stream->clock, false};
        }
    }
    return NULL;
}

static sl_error *encode(sl_node *node, struct prepared *prepared) {
    struct entry *entry = &prepared->entry;
    struct ArrowArray *arrays[OUTPUTS] = {&prepared->finals, &prepared->late};
    const struct ArrowSchema *schemas[OUTPUTS] = {sl_window_plan_results(node->plan),
                                                  node->rows_schema};
    int64_t rows[OUTPUTS] = {entry->finals + prepared->updates.length, prepared->late.length};
    sl_error *error = list_streams(node, entry);
    for (int i = 0; i < OUTPUTS && error == NULL; i++) {
        entry->first[i] = node->next[i];
        entry->next[i] = node->next[i] + rows[i];
        entry->sent[i] = node->outputs[i].stream != NULL ? entry->next[i] : node->sent[i];
        if (arrays[i]->release != NULL) {
            error = sl_array_write(schemas[i], arrays[i], &prepared->rows_bytes[i]);
        }
        entry->rows[i] = prepared->rows_bytes[i].data;
        entry->rows_bytes[i] = prepared->rows_bytes[i].bytes;
    }
    if (!prepared->has_base) {
        entry->delta = prepared->delta.data;
        entry->delta_bytes = prepared->delta.bytes;
    }
    return error != NULL ? error : entry_encode(entry, &prepared->bytes);
}

static void start_entry(sl_node *node, struct prepared *prepared) {
    memset(prepared, 0, sizeof(*prepared));
    prepared->used = true;
    prepared->entry = (struct entry){.number = node->number + 1,
                                     .token = random_token(),
                                     .fingerprint = node_fingerprint(node),
                                     .max_event_us = SL_TIME_NONE,
                                     .base_number = node->base_number,
                                     .base_token = node->base_token};
}

static sl_error *prepare(sl_node *node, const sl_commit *commit) {
    struct prepared *prepared = &node->prepared;
    start_entry(node, prepared);
    prepared->refreshes = node->refresh || outbox_lacks(node, OUTPUT_RESULTS);
    sl_error *error = NULL;
    if (commit != NULL) {
        prepared->of_commit = true;
        prepared->n_pieces = commit->n_pieces;
        prepared->first_piece = commit->n_pieces > 0 ? commit->pieces[0] : NULL;
        error = merge_deltas(node, commit, prepared);
        for (size_t i = 0; i < commit->n_positions; i++) {
            struct gold_stream *stream = node_find_stream(node, commit->positions[i].stream);
            stream->position = commit->positions[i].to;
        }
    } else if (node_in_group(node)) {
        error = group_take(node, prepared);
        if (error == NULL && prepared->taken == 0 && !prepared->refreshes && !outbox_unsaid(node) &&
            commit_watermark(node) <= node->watermark_us) {
            prepared_free(prepared); /* there is no news */
            return NULL;
        }
    }
    error = error != NULL ? error : make_results(node, prepared);
    prepared->entry.watermark_us = node->watermark_us;
    error = error != NULL ? error : make_base(node, prepared);
    return error != NULL ? error : encode(node, prepared);
}

/* ---- finishing ---- */

static void tell_metrics(sl_node *node, const struct prepared *prepared) {
    const sl_services *services = node->services;
    services->metric_add(node->late_metric, prepared->late.length);
    services->metric_set(node->groups_metric, (int64_t)sl_window_table_groups(node->state));
    services->metric_set(node->state_metric, (int64_t)sl_window_table_bytes(node->state));
    if (node->watermark_us != SL_TIME_NONE) {
        services->metric_set(node->watermark_metric, node->watermark_us / 1000000);
    }
}

static void collect_old(sl_node *node) {
    if (node->number % COLLECT_EVERY != 0) {
        return;
    }
    int64_t limit = node->base_number;
    int64_t now_us = node->services->now_us(node->self);
    int64_t before_ms = (now_us - node_keep_us(node)) / 1000;
    sl_error *error = outbox_limit(node, now_us, &limit);
    error = error != NULL ? error : chain_collect(node->store, CHAIN_FOLDER, limit, before_ms);
    error = error != NULL ? error : chain_collect(node->store, "base/", limit, before_ms);
    error = error != NULL ? error : group_collect(node, before_ms);
    if (error != NULL) { /* nothing depends on it; the next time does it */
        node->services->log(node->self, SL_LOG_WARN, "removing old state: %s",
                            sl_error_message(error));
        sl_error_free(error);
    }
}

/* Puts the prepared entry; when it is durable, the results go out. */
static sl_error *finish(sl_node *node) {
    struct prepared *prepared = &node->prepared;
    sl_error *error =
        entry_put(node->store, CHAIN_FOLDER, prepared->entry.number, &prepared->bytes);
    if (error != NULL) {
        return error;
    }
    node->number = prepared->entry.number;
    node->refresh = node->refresh && !prepared->refreshes;
    for (int i = 0; i < OUTPUTS; i++) {
        node->next[i] = prepared->entry.next[i];
        node->sent[i] = prepared->entry.sent[i];
    }
    node->base_number = prepared->entry.base_number;
    node->base_token = prepared->entry.base_token;
    node->delta_bytes = prepared->has_base ? 0 : node->delta_bytes + prepared->delta.bytes;
    tell_metrics(node, prepared);
    error = outbox_emit(node, prepared);
    prepared_free(prepared);
    collect_old(node);
    return error;
}

/* What cannot be tried again leaves memory ahead of the store. */
static sl_error *settle(sl_node *node, sl_error *error) {
    if (error != NULL && !sl_error_is(error, SL_ERROR_RETRIABLE)) {
        node_unload(node);
    }
    return error;
}

static sl_error *check_positions(sl_node *node, const sl_commit *commit) {
    for (size_t i = 0; i < commit->n_positions; i++) {
        const sl_position *position = &commit->positions[i];
        const struct gold_stream *stream = node_find_stream(node, position->stream);
        if (stream == NULL || stream->position != position->from) {
            return sl_error_new(SL_ERROR_CONFLICT,
                                "%s partition %d: the stored position is %lld, the commit begins "
                                "at %lld",
                                position->stream->topic, (int)position->stream->partition,
                                stream == NULL ? -1 : (long long)stream->position,
                                (long long)position->from);
        }
    }
    return NULL;
}

/* The same commit again: its pieces are merged and its positions moved already. */
static bool is_prepared(sl_node *node, const sl_commit *commit) {
    const struct prepared *prepared = &node->prepared;
    if (!prepared->used || !prepared->of_commit || prepared->n_pieces != commit->n_pieces ||
        (commit->n_pieces > 0 && prepared->first_piece != commit->pieces[0])) {
        return false;
    }
    for (size_t i = 0; i < commit->n_positions; i++) {
        const struct gold_stream *stream = node_find_stream(node, commit->positions[i].stream);
        if (stream == NULL || stream->position != commit->positions[i].to) {
            return false;
        }
    }
    return true;
}

sl_error *commit_run(sl_node *node, const sl_commit *commit) {
    if (node_in_group(node)) {
        return group_commit(node, commit);
    }
    sl_error *error = NULL;
    if (!is_prepared(node, commit)) {
        if (node->prepared.used && !node->prepared.of_commit) {
            error = finish(node); /* one of the node's own stands for itself */
        } else if (node->prepared.used) {
            node_unload(node); /* that commit was given up */
        }
        error = error != NULL ? error : node_load(node);
        error = error != NULL ? error : outbox_check(node);
        error = error != NULL ? error : check_positions(node, commit);
        if (error != NULL) {
            return settle(node, error);
        }
        error = prepare(node, commit);
        if (error != NULL) { /* memory: nothing is prepared that could be tried again */
            node_unload(node);
            return error;
        }
    }
    error = settle(node, finish(node));
    for (size_t i = 0; i < commit->n_pieces && error == NULL; i++) {
        gold_piece_free(commit->pieces[i]);
    }
    return error;
}

static bool has_news(sl_node *node) {
    bool lacks = node->refresh;
    for (uint32_t i = 0; i < OUTPUTS; i++) {
        lacks = lacks || outbox_lacks(node, i);
    }
    return lacks || node_in_group(node) || commit_watermark(node) > node->watermark_us;
}

sl_error *commit_alone(sl_node *node) {
    const struct prepared *prepared = &node->prepared;
    if (prepared->used) {
        return prepared->of_commit ? NULL : settle(node, finish(node));
    }
    if (!has_news(node)) {
        return NULL;
    }
    node->fresh = false;
    sl_error *error = prepare(node, NULL);
    if (error != NULL) {
        node_unload(node);
        return error;
    }
    if (prepared->used && prepared->taken == 0 && !outbox_unsaid(node) &&
        prepared->entry.next[OUTPUT_RESULTS] == prepared->entry.first[OUTPUT_RESULTS]) {
        prepared_free(&node->prepared); /* nothing was closed, and nothing is open */
        node->refresh = false;
    }
    return prepared->used ? settle(node, finish(node)) : outbox_catch_up(node);
}
