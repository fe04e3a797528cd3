/*
 * scope group: several hosts share the work. Each writes what it aggregated of its partitions to
 * their delta logs, which are the partitions' positions; the host with the first partition merges
 * them into the chain. docs/architecture/aggregation.md says why nothing is lost or counted twice
 * when partitions, and the merging, move.
 *
 * A delta log is numbered objects, put if absent, each with the next offset and the clock after it.
 * An object without rows moves the position, or raises the floor of an idle partition.
 */
#include "gold.h"

#include <stdlib.h>

#define GROUP_MARK UINT64_C(0x67726f7570) /* "group" */
#define REGISTER_TRIES 100
#define TAKE_AT_ONCE 64 /* objects of one log in one entry */
/* Hosts may have been told different values of `keep`. What one of them removes is older than any
 * of them may have stood still for. */
#define GROUP_KEEP_US INT64_C(3600000000)

bool node_in_group(const sl_node *node) {
    return node->config->scope == SCOPE_GROUP;
}

uint64_t node_fingerprint(const sl_node *node) {
    uint64_t plan = sl_window_plan_fingerprint(node->plan);
    return node_in_group(node) ? plan ^ GROUP_MARK : plan;
}

sl_error *node_check_entry(const sl_node *node, const struct entry *entry) {
    uint64_t own = node_fingerprint(node);
    if (entry->fingerprint == own) {
        return NULL;
    }
    if ((entry->fingerprint ^ GROUP_MARK) == own) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "the state was written with \"scope\": \"%s\", and now it is \"%s\"; "
                            "go back, or give the node another name to begin anew",
                            node_in_group(node) ? "host" : "group",
                            node_in_group(node) ? "group" : "host");
    }
    return sl_error_new(SL_ERROR_CONFIG,
                        "the state was written with other windows, group columns or aggregates "
                        "(plan %016llx, configured is %016llx); go back to that configuration, or "
                        "give the node a new name to start afresh",
                        (unsigned long long)entry->fingerprint, (unsigned long long)own);
}

int64_t node_keep_us(const sl_node *node) {
    int64_t keep = node->config->keep_us;
    return node_in_group(node) && keep < GROUP_KEEP_US ? GROUP_KEEP_US : keep;
}

/* ---- the chain, as every host sees it ---- */

sl_error *group_apply(sl_node *node, const struct entry *last) {
    for (size_t i = 0; i < last->n_streams; i++) {
        const struct entry_stream *stored = &last->streams[i];
        struct gold_stream *stream;
        sl_error *error = node_stream_of(node, stored->key, stored->key_bytes, &stream);
        if (error != NULL) {
            return error;
        }
        stream->listed = true;
        stream->applied = stored->position;
        stream->applied_clock = stored->clock;
        stream->applied_idle = stored->idle;
    }
    return NULL;
}

/* The last entry; all zero when there is none. Free with entry_free. */
static sl_error *read_last(sl_node *node, struct entry *out) {
    int64_t number;
    memset(out, 0, sizeof(*out));
    sl_error *error = chain_last(node->store, CHAIN_FOLDER, &number);
    if (error == NULL && number > 0) {
        error = entry_get(node->store, CHAIN_FOLDER, number, out);
    }
    if (error == NULL && number > 0 && (error = node_check_entry(node, out)) != NULL) {
        entry_free(out);
    }
    return error;
}

/* Whether the configuration is that of the state; before anything is written to a delta log. */
sl_error *group_start(sl_node *node) {
    struct entry last;
    sl_error *error = read_last(node, &last);
    if (error == NULL) {
        entry_free(&last);
    }
    return error;
}

/* What others have published. The merger's own view is newer. */
static sl_error *look_at_chain(sl_node *node) {
    struct entry last;
    if (node->loaded) {
        return NULL;
    }
    sl_error *error = read_last(node, &last);
    if (error == NULL) {
        error = group_apply(node, &last);
        entry_free(&last);
    }
    return error;
}

static bool is_listed(const sl_node *node, const char *key) {
    const struct gold_stream *stream = node->streams;
    while (stream != NULL && strcmp(stream->key, key) != 0) {
        stream = stream->next;
    }
    return stream != NULL && stream->listed;
}

/* Appends to the chain what it says already, and the streams that it does not list. */
static sl_error *append_streams(sl_node *node, const struct entry *last,
                                const sl_position *positions, size_t n) {
    struct entry next = {.number = last->number + 1,
                         .token = random_token(),
                         .fingerprint = node_fingerprint(node),
                         .watermark_us = last->number > 0 ? last->watermark_us : SL_TIME_NONE,
                         .base_number = last->base_number,
                         .base_token = last->base_token,
                         .max_event_us = SL_TIME_NONE};
    sl_buffer bytes = SL_BUFFER_INIT;
    next.streams = calloc(last->n_streams + n + 1, sizeof(*next.streams));
    if (next.streams == NULL) {
        return sl_error_no_memory();
    }
    for (int i = 0; i < OUTPUTS; i++) {
        next.first[i] = next.next[i] = last->next[i];
        next.sent[i] = last->sent[i];
    }
    if (last->n_streams > 0) {
        memcpy(next.streams, last->streams, last->n_streams * sizeof(*next.streams));
    }
    next.n_streams = last->n_streams;
    for (size_t i = 0; i < n; i++) {
        if (!is_listed(node, positions[i].key)) {
            next.streams[next.n_streams++] = (struct entry_stream){
                .key = positions[i].key,
                .key_bytes = strlen(positions[i].key),
                .clock = {SL_TIME_NONE, next.watermark_us},
            };
        }
    }
    sl_error *error = entry_encode(&next, &bytes);
    error = error != NULL ? error : entry_put(node->store, CHAIN_FOLDER, next.number, &bytes);
    sl_buffer_free(&bytes);
    free(next.streams);
    return error;
}

static bool are_listed(const sl_node *node, const sl_position *positions, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!is_listed(node, positions[i].key)) {
            return false;
        }
    }
    return true;
}

/*
 * Reads what the chain says, and enters the streams that it does not list. When somebody else
 * writes to it meanwhile, this begins anew, so that no window is closed without a stream after its
 * floor was read.
 */
static sl_error *register_streams(sl_node *node, const sl_position *positions, size_t n) {
    sl_error *error = NULL;
    if (node->loaded && !node->slept && are_listed(node, positions, n)) {
        return NULL;
    }
    node_unload(node); /* the merger loads its state behind the new entry */
    for (int tries = 0; tries < REGISTER_TRIES; tries++) {
        struct entry last;
        sl_error_free(error);
        error = read_last(node, &last);
        if (error != NULL) {
            return error;
        }
        error = group_apply(node, &last);
        bool listed = error == NULL && are_listed(node, positions, n);
        if (error == NULL && !listed) {
            error = append_streams(node, &last, positions, n);
        }
        entry_free(&last);
        if (listed || (error != NULL && !sl_error_is(error, SL_ERROR_CONFLICT))) {
            return error;
        }
    }
    return error;
}

/* ---- delta logs ---- */

static sl_error *get_delta(sl_node *node, const struct gold_stream *stream, int64_t number,
                           struct entry *out) {
    char folder[FOLDER_BYTES];
    delta_folder(stream->key, folder);
    sl_error *error = entry_get(node->store, folder, number, out);
    if (error != NULL) {
        return error;
    }
    if (out->n_streams != 1 || out->streams[0].key_bytes != strlen(stream->key) ||
        memcmp(out->streams[0].key, stream->key, out->streams[0].key_bytes) != 0) {
        entry_free(out);
        return sl_error_new(SL_ERROR_CORRUPT, "%s/%s%lld is not of %s",
                            node->store->ops->url(node->store), folder, (long long)number,
                            stream->key);
    }
    return NULL;
}

static sl_error *of_two_moments(const sl_node *node, const struct gold_stream *stream,
                                int64_t last) {
    return sl_error_new(SL_ERROR_FATAL,
                        "the state goes on with number %lld of the partial aggregates of %s, of "
                        "which %s number %lld: log/ and delta/ of %s are not of one moment (one of "
                        "them is of an older backup, say); delete it, then bring the newest state "
                        "back there whole, or delete the tables of all readers of this node as "
                        "well, and everything that its sources still have is aggregated anew",
                        (long long)stream->applied + 1, stream->key,
                        last < stream->applied ? "those that are there end with"
                                               : "only later ones are there, up to",
                        (long long)last, node->store->ops->url(node->store));
}

static void take_place(struct gold_stream *stream, int64_t number, const struct entry *object) {
    stream->logged = number;
    stream->position = object->streams[0].position;
    stream->clock = object->streams[0].clock;
    stream->idle = object->streams[0].idle;
}

/*
 * Reads a log from what the chain has merged to its end: the position, and the clock there. The
 * last that was merged stays, and of a log of which nothing was merged nothing is removed: where
 * these lack, log and chain are not of one moment.
 */
static sl_error *locate(sl_node *node, struct gold_stream *stream) {
    char folder[FOLDER_BYTES];
    int64_t last = 0;
    delta_folder(stream->key, folder);
    stream->logged = stream->applied;
    stream->position = SL_OFFSET_NONE;
    stream->clock = stream->applied_clock;
    stream->idle = false;
    for (int64_t n = stream->applied > 0 ? stream->applied : 1;;) {
        struct entry object;
        sl_error *error = get_delta(node, stream, n, &object);
        if (error == NULL) {
            take_place(stream, n++, &object);
            entry_free(&object);
            continue;
        }
        if (!sl_error_is(error, SL_ERROR_NOT_FOUND)) {
            return error;
        }
        sl_error_free(error);
        if (n > stream->applied && n > 1) {
            return NULL;
        }
        bool again = last >= n; /* it was there in the list, and may have come since it was read */
        error = again ? NULL : chain_last(node->store, folder, &last);
        if (error != NULL || (last == 0 && stream->applied == 0)) {
            return error;
        }
        if (again || last < n) {
            return of_two_moments(node, stream, last);
        }
    }
}

static void consider_merging(sl_node *node);

sl_error *group_recover(sl_node *node, sl_position *positions, size_t n) {
    sl_error *error = register_streams(node, positions, n);
    for (size_t i = 0; i < n && error == NULL; i++) {
        struct gold_stream *stream;
        error = node_stream_of(node, positions[i].key, strlen(positions[i].key), &stream);
        error = error != NULL ? error : locate(node, stream);
        if (error == NULL) {
            stream->stream = positions[i].stream;
            positions[i].from = stream->position;
        }
    }
    if (error == NULL) {
        node->slept = false;
        node->awake_us = node->services->now_us(node->self);
        consider_merging(node);
    }
    return error;
}

/* What the commit has of one stream, as one table; the pieces keep it. */
static sl_error *gather_table(sl_node *node, const sl_commit *commit,
                              const struct gold_stream *stream, const struct gold_delta **last) {
    *last = NULL;
    for (size_t p = 0; p < commit->n_pieces; p++) {
        const struct gold_piece *piece = commit->pieces[p];
        for (size_t d = 0; d < piece->n; d++) {
            const struct gold_delta *part = &piece->deltas[d];
            if (node_find_stream(node, part->stream) != stream) {
                continue;
            }
            if (*last != NULL) {
                sl_error *error = sl_window_table_merge(part->table, (*last)->table);
                if (error != NULL) {
                    return error;
                }
            }
            *last = part;
        }
    }
    return NULL;
}

/*
 * Puts the next object of a stream's log: offsets below `to` are aggregated, the rows are `table`
 * (NULL: none). The token is 0, so that the same once more is the same.
 *
 * The clock's floor is the watermark itself: no row behind it is judged by less, and no host need
 * know by which `lateness` another one judges, or whether that is changed later.
 */
static sl_error *put_delta(sl_node *node, struct gold_stream *stream, int64_t to,
                           const sl_window_clock *clock, bool idle, const sl_window_table *table,
                           const struct ArrowArray *late) {
    int64_t watermark = sl_window_clock_watermark(node->plan, clock);
    const sl_window_clock after = {clock->max_event_us, watermark};
    char folder[FOLDER_BYTES];
    sl_buffer delta = SL_BUFFER_INIT;
    sl_buffer rows = SL_BUFFER_INIT;
    sl_buffer bytes = SL_BUFFER_INIT;
    struct entry_stream own = {stream->key, strlen(stream->key), to, after, idle};
    struct entry object = {.number = stream->logged + 1,
                           .fingerprint = node_fingerprint(node),
                           .max_event_us = SL_TIME_NONE,
                           .next = {[OUTPUT_LATE] = late->release != NULL ? late->length : 0},
                           .streams = &own,
                           .n_streams = 1};
    delta_folder(stream->key, folder);
    sl_error *error = NULL;
    if (table != NULL && sl_window_table_groups(table) > 0) {
        error = sl_window_table_write(table, &delta);
    }
    if (error == NULL && late->release != NULL) {
        error = sl_array_write(node->rows_schema, late, &rows);
    }
    object.delta = delta.data;
    object.delta_bytes = delta.bytes;
    object.rows[OUTPUT_LATE] = rows.data;
    object.rows_bytes[OUTPUT_LATE] = rows.bytes;
    error = error != NULL ? error : entry_encode(&object, &bytes);
    error = error != NULL ? error : entry_put(node->store, folder, object.number, &bytes);
    if (error == NULL) {
        stream->logged = object.number;
        stream->position = to;
        stream->clock = after;
        stream->idle = idle;
    }
    sl_buffer_free(&delta);
    sl_buffer_free(&rows);
    sl_buffer_free(&bytes);
    return error;
}

/* ---- commits ---- */

static sl_error *commit_stream(sl_node *node, const sl_commit *commit,
                               const sl_position *position) {
    struct gold_stream *stream = node_find_stream(node, position->stream);
    if (stream != NULL && stream->position == position->to && position->to != position->from) {
        return NULL; /* by the first try of this commit */
    }
    if (stream == NULL || stream->position != position->from) {
        return sl_error_new(SL_ERROR_CONFLICT,
                            "%s partition %d: the stored position is %lld, the commit begins at "
                            "%lld",
                            position->stream->topic, (int)position->stream->partition,
                            stream == NULL ? -1 : (long long)stream->position,
                            (long long)position->from);
    }
    const struct gold_delta *last;
    struct ArrowArray late = {0};
    sl_error *error = gather_table(node, commit, stream, &last);
    error = error != NULL ? error : commit_late_rows(node, commit, stream, &late);
    if (error == NULL) {
        error = put_delta(node, stream, position->to, last != NULL ? &last->clock : &stream->clock,
                          last == NULL && stream->idle, last != NULL ? last->table : NULL, &late);
    }
    if (error == NULL && last != NULL) {
        stream->merged = last->take;
        node->services->metric_add(node->partly_late_metric, last->partly_late);
    }
    if (late.release != NULL) {
        late.release(&late);
    }
    return error;
}

/* A host that was stopped for long knows neither who went on nor what has been collected since. */
static sl_error *check_awake(sl_node *node) {
    int64_t now = node->services->now_us(node->self);
    node->slept = node->slept || now - node->awake_us > GROUP_KEEP_US / 2;
    int64_t since = node->awake_us;
    node->awake_us = now;
    return !node->slept
               ? NULL
               : sl_error_new(
                     SL_ERROR_CONFLICT,
                     "this host has stood still for up to %lld s: others may have merged meanwhile "
                     "what it would write, and removed it",
                     (long long)((now - since) / 1000000));
}

sl_error *group_commit(sl_node *node, const sl_commit *commit) {
    sl_error *error = check_awake(node);
    for (size_t i = 0; i < commit->n_positions && error == NULL; i++) {
        error = commit_stream(node, commit, &commit->positions[i]);
    }
    for (size_t i = 0; i < commit->n_pieces && error == NULL; i++) {
        gold_piece_free(commit->pieces[i]);
    }
    if (error == NULL) {
        group_merge_all(node);
    }
    return error;
}

/* ---- the merger ---- */

struct taking {
    sl_window_table *table;
    sl_builder late;
};

static sl_error *take_object(sl_node *node, struct taking *taking, const struct entry *object) {
    sl_error *error = NULL;
    if (object->delta_bytes > 0) {
        error = sl_window_table_read(taking->table, object->delta, object->delta_bytes);
    }
    if (error == NULL && object->rows_bytes[OUTPUT_LATE] > 0) {
        struct ArrowArray rows;
        error = sl_array_read(node->rows_schema, object->rows[OUTPUT_LATE],
                              object->rows_bytes[OUTPUT_LATE], &rows);
        if (error == NULL) {
            error =
                sl_builder_append_array(&taking->late, node->rows_schema, &rows, 0, rows.length);
            rows.release(&rows);
        }
    }
    return error;
}

static sl_error *take_stream(sl_node *node, struct taking *taking, struct gold_stream *stream,
                             size_t *taken) {
    char folder[FOLDER_BYTES];
    for (int i = 0; i < TAKE_AT_ONCE; i++) {
        struct entry object;
        sl_error *error = get_delta(node, stream, stream->applied + 1, &object);
        if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
            sl_error_free(error);
            return NULL;
        }
        if (error == NULL) {
            delta_folder(stream->key, folder);
            error =
                entry_fault(node->store, folder, object.number, take_object(node, taking, &object));
            stream->applied++;
            stream->applied_clock = object.streams[0].clock;
            stream->applied_idle = object.streams[0].idle;
            ++*taken;
            entry_free(&object);
        }
        if (error != NULL) {
            return error;
        }
    }
    node->backlog = true;
    return NULL;
}

sl_error *group_take(sl_node *node, struct prepared *prepared) {
    struct taking taking = {0};
    node->backlog = false;
    sl_error *error = sl_builder_init(&taking.late, node->rows_schema);
    error = error != NULL ? error : sl_window_table_new(node->plan, &taking.table);
    for (struct gold_stream *stream = node->streams; stream != NULL && error == NULL;
         stream = stream->next) {
        /* what this host has written last itself it need not look for */
        bool known = stream->stream != NULL && stream->applied == stream->logged;
        if (stream->listed && !known) {
            error = take_stream(node, &taking, stream, &prepared->taken);
        }
    }
    if (error == NULL && sl_window_table_groups(taking.table) > 0) {
        error = sl_window_table_write(taking.table, &prepared->delta);
        error = error != NULL ? error : sl_window_table_merge(node->state, taking.table);
    }
    if (error == NULL && taking.late.length > 0) {
        error = sl_builder_finish(&taking.late, &prepared->late);
    }
    sl_window_table_free(taking.table);
    sl_builder_free(&taking.late);
    return error;
}

int64_t group_watermark(const sl_node *node) {
    int64_t least = INT64_MAX;
    for (const struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        int64_t own = stream->applied_clock.floor_us;
        least = stream->listed && own < least ? own : least;
    }
    return least == INT64_MAX ? SL_TIME_NONE : least;
}

sl_error *group_merge(sl_node *node) {
    if (node->merging != MERGES) {
        return sl_error_new(SL_ERROR_RETRIABLE, "another host of the group merges");
    }
    if (node->slept) {
        node_unload(node);
    }
    sl_error *error = node_load(node);
    return error != NULL ? error : commit_alone(node);
}

void group_merge_all(sl_node *node) {
    if (node->merging != MERGES) {
        return;
    }
    sl_error *error;
    do {
        error = outbox_check(node);
        error = error != NULL ? error : group_merge(node);
    } while (error == NULL && node->backlog);
    if (sl_error_is(error, SL_ERROR_RETRIABLE) || sl_error_is(error, SL_ERROR_CONFLICT)) {
        bool lost = sl_error_is(error, SL_ERROR_CONFLICT);
        node->services->log(node->self, lost ? SL_LOG_DEBUG : SL_LOG_WARN,
                            "merging: %s; it is tried again", sl_error_message(error));
        sl_error_free(error);
    } else if (error != NULL) {
        node->services->fail(node->self, error);
    }
}

sl_error *group_collect(sl_node *node, int64_t before_ms) {
    sl_error *error = NULL;
    for (const struct gold_stream *stream = node->streams;
         node_in_group(node) && stream != NULL && error == NULL; stream = stream->next) {
        char folder[FOLDER_BYTES];
        delta_folder(stream->key, folder);
        if (stream->listed) {
            error = chain_collect(node->store, folder, stream->applied, before_ms);
        }
    }
    return error;
}

/* ---- who merges ---- */

static const sl_stream_name own_names[] = {{"", 0}, {"late", 0}};

static void handed_over(void *arg) {
    sl_node *node = arg;
    node->merging = MERGES_NOT;
    node_unload(node);
}

/* Merging goes with the first of the partitions. */
static void consider_merging(sl_node *node) {
    const struct gold_stream *first = NULL;
    for (const struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        if (stream->listed && (first == NULL || strcmp(stream->key, first->key) < 0)) {
            first = stream;
        }
    }
    bool here = first != NULL && first->stream != NULL;
    if (here && node->merging == MERGES_NOT) {
        node->services->log(node->self, SL_LOG_INFO, "this host merges what the group aggregates");
        node_unload(node); /* others have gone on with the chain */
        node->merging = MERGES;
        node->services->assign(node->self, own_names, SL_ARRAY_LENGTH(own_names));
    } else if (!here && node->merging == MERGES) {
        node->services->log(node->self, SL_LOG_INFO, "another host of the group merges");
        node->merging = MERGES_NO_MORE;
        node->services->revoke(node->self, own_names, SL_ARRAY_LENGTH(own_names), false,
                               handed_over, node);
    }
}

/* ---- idle streams ---- */

/* The smallest watermark of the streams that are not idle, by what each has said last; when all
 * are, the largest. */
static int64_t watermark_to_follow(sl_node *node) {
    int64_t least = INT64_MAX;
    int64_t largest = SL_TIME_NONE;
    for (struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        bool here = stream->stream != NULL;
        if (!stream->listed) {
            continue;
        }
        int64_t own = here ? sl_window_clock_watermark(node->plan, &stream->clock)
                           : stream->applied_clock.floor_us;
        largest = own > largest ? own : largest;
        if (own < least && !(here ? stream_is_idle(node, stream) : stream->applied_idle)) {
            least = own;
        }
    }
    return least == INT64_MAX ? largest : least;
}

/* Only what is published counts: a floor that cannot be put now is put with the next object. */
static sl_error *follow(sl_node *node) {
    static const struct ArrowArray no_rows = {0};
    bool any = false;
    for (struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        any = any || stream_is_idle(node, stream);
    }
    sl_error *error = any ? look_at_chain(node) : NULL;
    int64_t watermark = any && error == NULL ? watermark_to_follow(node) : SL_TIME_NONE;
    for (struct gold_stream *stream = node->streams; any && stream != NULL && error == NULL;
         stream = stream->next) {
        int64_t before = stream->clock.floor_us;
        if (!stream_is_idle(node, stream) || !stream_raise_floor(node, stream, watermark)) {
            continue;
        }
        if (stream->clock.floor_us > before || !stream->idle) {
            error = put_delta(node, stream, stream->position, &stream->clock, true, NULL, &no_rows);
        }
    }
    return error;
}

void group_tick(sl_node *node) {
    sl_error *error = check_awake(node);
    error = error != NULL ? error : follow(node);
    if (error != NULL) { /* the next commit, or the next tick, finds out more */
        node->services->log(node->self, SL_LOG_DEBUG, "idle partitions: %s",
                            sl_error_message(error));
        sl_error_free(error);
    }
    consider_merging(node);
    group_merge_all(node);
}
