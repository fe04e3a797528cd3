/*
 * The node: opens the plan, loads the state from the chain, keeps the streams' positions and
 * clocks. It runs on a thread of its own, so it may wait for the store.
 */
#include "gold.h"

#include <stdio.h>
#include <stdlib.h>

#define TICK_MS 1000
/* More than this between two ticks was no time in which anything was read. */
#define GAP_US INT64_C(10000000)
/* Sources that ask others for their ends (services->end_seen) do so every two seconds or so. */
#define MIN_SILENCE_US INT64_C(5000000)
#define SKEW_MS 50
#define ABSENT_US INT64_C(60000000)

/* ---- opening ---- */

static sl_error *window_of(const struct gold_config *config, sl_window_config *out) {
    const struct gold_window *window = config->window;
    int given = (window->tumbling_us > 0) + (window->hopping != NULL) + (window->session_us > 0);
    if (given != 1) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "window: %s; allowed is exactly one of {\"tumbling\": \"10s\"}, "
                            "{\"hopping\": {\"size\": \"1m\", \"every\": \"10s\"}}, {\"session\": "
                            "\"5m\"}, above 0",
                            given == 0 ? "none is given" : "more than one is given");
    }
    out->kind = window->hopping != NULL  ? SL_WINDOW_HOPPING
                : window->session_us > 0 ? SL_WINDOW_SESSION
                                         : SL_WINDOW_TUMBLING;
    out->size_us = window->hopping != NULL ? window->hopping->size_us
                                           : window->tumbling_us + window->session_us;
    out->every_us = window->hopping != NULL ? window->hopping->every_us : 0;
    return NULL;
}

static sl_error *find_record_time(const struct gold_config *config,
                                  const struct ArrowSchema *schema, const char **out) {
    *out = config->record_time;
    if (config->max_ahead_us == 0 || config->record_time != NULL) {
        return NULL;
    }
    static const char *const names[] = {"_timestamp", "timestamp"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        if (sl_schema_find(schema, names[i]) >= 0) {
            *out = names[i];
            return NULL;
        }
    }
    return sl_error_new(SL_ERROR_CONFIG,
                        "max_ahead: the input has no column _timestamp or timestamp to compare "
                        "with; name the column with the record's own time in record_time");
}

static sl_error *make_plan(const sl_node_context *context, sl_window_plan **out) {
    const struct gold_config *config = context->config;
    const struct ArrowSchema *schema = context->inputs[0].schema;
    sl_window_config window = {.lateness_us = config->lateness_us,
                               .time = config->time,
                               .max_ahead_us = config->max_ahead_us,
                               .group_by = config->group_by.items,
                               .n_group_by = config->group_by.count,
                               .n_aggregates = config->aggregates.count};
    sl_error *error = window_of(config, &window);
    error = error != NULL ? error : find_record_time(config, schema, &window.record_time);
    if (error != NULL) {
        return error;
    }
    sl_window_aggregate *aggregates =
        calloc(config->aggregates.count + 1, sizeof(*window.aggregates));
    if (aggregates == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < config->aggregates.count; i++) {
        aggregates[i] = (sl_window_aggregate){config->aggregates.pairs[i].key,
                                              config->aggregates.pairs[i].value};
    }
    window.aggregates = aggregates;
    error = sl_window_plan_new(schema, &window, out);
    free(aggregates);
    return error;
}

/* Offsets order first() and last() exactly as the topic does. */
static int64_t find_offsets(const struct ArrowSchema *schema) {
    static const char *const names[] = {"_offset", "offset"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        int64_t index = sl_schema_find(schema, names[i]);
        if (index >= 0 && strcmp(schema->children[index]->format, "l") == 0 &&
            (schema->children[index]->flags & ARROW_FLAG_NULLABLE) == 0) {
            return index;
        }
    }
    return -1;
}

static void make_metrics(sl_node *node) {
    const sl_services *s = node->services;
    node->windows_metric = s->metric(node->self, SL_METRIC_COUNTER, "gold_final_rows_total",
                                     "Rows of closed windows, by window and group");
    node->late_metric = s->metric(node->self, SL_METRIC_COUNTER, "gold_late_rows_total",
                                  "Rows that came after all their windows had ended");
    node->partly_late_metric =
        s->metric(node->self, SL_METRIC_COUNTER, "gold_partly_late_rows_total",
                  "Rows that came after some of their windows had ended");
    node->overflow_metric = s->metric(node->self, SL_METRIC_COUNTER, "gold_overflows_total",
                                      "Sums written as null because they do not fit their type");
    node->groups_metric =
        s->metric(node->self, SL_METRIC_GAUGE, "gold_open_groups", "Open windows and groups");
    node->state_metric =
        s->metric(node->self, SL_METRIC_GAUGE, "gold_state_bytes", "Memory of the open windows");
    node->watermark_metric = s->metric(node->self, SL_METRIC_GAUGE, "gold_watermark_seconds",
                                       "Event time up to which windows are closed");
}

static void node_close(sl_node *node) {
    node_unload(node);
    while (node->streams != NULL) {
        struct gold_stream *stream = node->streams;
        node->streams = stream->next;
        (void)pthread_mutex_destroy(&stream->shared.mutex);
        free(stream->key);
        free(stream);
    }
    for (int i = 0; i < OUTPUTS; i++) {
        free(node->outputs[i].items);
    }
    if (node->timer != NULL) {
        node->services->timer_stop(node->timer);
    }
    if (node->skew_timer != NULL) {
        node->services->timer_stop(node->skew_timer);
    }
    sl_builder_free(&node->finals_builder);
    sl_builder_free(&node->updates_builder);
    sl_window_plan_free(node->plan);
    free(node);
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    node->services = context->services;
    node->self = context->self;
    node->config = context->config;
    node->name = context->name;
    node->flags = context->flags;
    node->skew_limit_us = INT64_MAX;
    node->rows_schema = context->inputs[0].schema;
    node->offset_column = find_offsets(node->rows_schema);
    sl_error *error = make_plan(context, &node->plan);
    if (error == NULL) {
        const struct ArrowSchema *results = sl_window_plan_results(node->plan);
        error = sl_builder_init(&node->finals_builder, results);
        error = error != NULL ? error : sl_builder_init(&node->updates_builder, results);
    }
    if (error != NULL) {
        node_close(node);
        return error;
    }
    *out = node;
    return NULL;
}

static sl_error *node_output_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    return sl_schema_copy(
        output == OUTPUT_LATE ? node->rows_schema : sl_window_plan_results(node->plan), out);
}

/* ---- streams ---- */

sl_error *node_stream_of(sl_node *node, const char *key, size_t key_bytes,
                         struct gold_stream **out) {
    for (struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        if (strlen(stream->key) == key_bytes && memcmp(stream->key, key, key_bytes) == 0) {
            *out = stream;
            return NULL;
        }
    }
    struct gold_stream *added = calloc(1, sizeof(*added));
    char *copy = malloc(key_bytes + 1);
    if (added == NULL || copy == NULL || pthread_mutex_init(&added->shared.mutex, NULL) != 0) {
        free(added);
        free(copy);
        return sl_error_no_memory();
    }
    memcpy(copy, key, key_bytes);
    copy[key_bytes] = 0;
    added->key = copy;
    added->position = SL_OFFSET_NONE;
    added->clock = (sl_window_clock){SL_TIME_NONE, node->watermark_us};
    added->shared.floor_us = SL_TIME_NONE;
    added->next = node->streams;
    node->streams = added;
    *out = added;
    return NULL;
}

struct gold_stream *node_find_stream(sl_node *node, const sl_stream *stream) {
    struct gold_stream *found = node->streams;
    while (found != NULL && found->stream != stream) {
        found = found->next;
    }
    return found;
}

/* ---- the state ---- */

void node_unload(sl_node *node) {
    prepared_free(&node->prepared);
    sl_window_table_free(node->state);
    node->state = NULL;
    node->loaded = false;
}

static sl_error *apply_last(sl_node *node, const struct entry *last) {
    sl_error *error = node_check_entry(node, last);
    if (error != NULL) {
        return error;
    }
    node->number = last->number;
    node->base_number = last->base_number;
    node->base_token = last->base_token;
    node->watermark_us = last->watermark_us;
    for (int i = 0; i < OUTPUTS; i++) {
        node->next[i] = last->next[i];
        node->sent[i] = last->sent[i];
    }
    if (node_in_group(node)) {
        return group_apply(node, last);
    }
    for (size_t i = 0; i < last->n_streams && error == NULL; i++) {
        const struct entry_stream *stored = &last->streams[i];
        struct gold_stream *stream;
        error = node_stream_of(node, stored->key, stored->key_bytes, &stream);
        if (error == NULL) {
            stream->position = stored->position;
            stream->clock = stored->clock;
            if (stream->clock.floor_us < last->watermark_us) { /* `lateness` has been raised */
                stream->clock.floor_us = last->watermark_us;
            }
        }
    }
    return error;
}

/* Takes in what an entry has changed. */
static sl_error *take_delta(sl_node *node, const struct entry *entry) {
    node->delta_bytes += entry->delta_bytes;
    sl_error *error = entry->delta_bytes == 0
                          ? NULL
                          : sl_window_table_read(node->state, entry->delta, entry->delta_bytes);
    return entry_fault(node->store, CHAIN_FOLDER, entry->number, error);
}

/* The entries behind the base, up to `last`, which is read already. */
static sl_error *load_state(sl_node *node, const struct entry *last) {
    sl_error *error = NULL;
    if (node->base_number > 0) {
        error = base_load(node->store, node->base_number, node->base_token, node->state,
                          &node->base_bytes);
    }
    for (int64_t n = node->base_number + 1; n < last->number && error == NULL;) {
        struct entry entries[ENTRIES_AT_A_TIME];
        size_t n_got;
        int64_t left = last->number - n;
        error = entries_get(node->store, CHAIN_FOLDER, n,
                            left < ENTRIES_AT_A_TIME ? (size_t)left : ENTRIES_AT_A_TIME, entries,
                            &n_got);
        for (size_t i = 0; i < n_got; i++) {
            error = error != NULL ? error : take_delta(node, &entries[i]);
            entry_free(&entries[i]);
        }
        n += (int64_t)n_got;
    }
    if (error == NULL && last->number > node->base_number) {
        error = take_delta(node, last);
    }
    return error != NULL ? error : sl_window_table_discard(node->state, node->watermark_us);
}

static void forget_positions(sl_node *node) {
    node->number = 0;
    node->base_number = 0;
    node->base_token = 0;
    node->base_bytes = 0;
    node->delta_bytes = 0;
    node->watermark_us = SL_TIME_NONE;
    memset(node->next, 0, sizeof(node->next));
    memset(node->sent, 0, sizeof(node->sent));
    for (struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        if (!node_in_group(node)) {
            stream->position = SL_OFFSET_NONE;
        }
    }
}

/* Of a stream that is not in the chain nothing older than what is closed already can count. */
static void start_clocks(sl_node *node) {
    for (struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        if (stream->position == SL_OFFSET_NONE && !node_in_group(node)) {
            stream->clock = (sl_window_clock){SL_TIME_NONE, node->watermark_us};
        }
    }
}

/* Streams come or are here. Without any, another host may go on with the chain meanwhile; in a
 * group the merger unloads it when it is to merge no more. */
static bool in_use(const sl_node *node) {
    bool used = node_in_group(node);
    for (int i = 0; i < OUTPUTS; i++) {
        used = used || node->outputs[i].stream != NULL;
    }
    for (const struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        used = used || stream->stream != NULL;
    }
    return used;
}

/* Unloads what another host may have gone on from; what the start has loaded is not read twice. */
static sl_error *unload_unused(sl_node *node) {
    int64_t last = -1;
    sl_error *error = NULL;
    if (node->loaded && !in_use(node)) {
        error = node->fresh ? chain_last(node->store, CHAIN_FOLDER, &last) : NULL;
        if (error != NULL || last != node->number) {
            node_unload(node);
        }
    }
    node->fresh = false;
    return error;
}

sl_error *node_load(sl_node *node) {
    sl_error *unlisted = unload_unused(node);
    if (unlisted != NULL) {
        return sl_error_wrap(unlisted, "the state of %s", node->name);
    }
    if (node->loaded) {
        return NULL;
    }
    node_unload(node);
    forget_positions(node);
    int64_t number;
    struct entry last;
    sl_error *error = sl_window_table_new(node->plan, &node->state);
    error = error != NULL ? error : chain_last(node->store, CHAIN_FOLDER, &number);
    if (error == NULL && number > 0) {
        error = entry_get(node->store, CHAIN_FOLDER, number, &last);
        if (error == NULL) {
            error = apply_last(node, &last);
            error = error != NULL ? error : load_state(node, &last);
            entry_free(&last);
        }
    }
    if (error != NULL) {
        return sl_error_wrap(error, "the state of %s", node->name);
    }
    start_clocks(node);
    node->loaded = true;
    return NULL;
}

/* ---- operations ---- */

/* A partition that is gone for good (a topic deleted or no longer read) holds windows open. */
static void warn_of_absent(sl_node *node) {
    int64_t now = node->services->now_us(node->self);
    if (node->warned || now - node->started_us < ABSENT_US) {
        return;
    }
    node->warned = true;
    for (const struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        if (stream->stream == NULL) {
            node->services->log(node->self, SL_LOG_WARN,
                                "windows wait for %s, which the state knows and no source reads "
                                "here; if it is gone for good, give the node a new name",
                                stream->key);
        }
    }
}

static void watch(sl_node *node) {
    int64_t now = node->services->now_us(node->self);
    int64_t passed = now - node->looked_us;
    int64_t idle_us = node->config->idle_us;
    node->looked_us = now;
    if (passed < 0 || passed > (idle_us < GAP_US ? idle_us : GAP_US)) {
        node->awake_since = node->watched_us;
    } else {
        node->watched_us += passed;
    }
}

/* What sources see of their streams' ends. While a broker is away nothing comes from it, though
 * there may be rows by now, and the first partition that is read again must not leave the others
 * behind: those begin anew to be at their end. */
static void watch_ends(sl_node *node) {
    int64_t limit_us = node->config->idle_us < GAP_US ? node->config->idle_us : GAP_US;
    limit_us = limit_us > MIN_SILENCE_US ? limit_us : MIN_SILENCE_US;
    for (struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        int64_t end = 0;
        int64_t ago_us = stream->stream == NULL
                             ? -1
                             : node->services->end_seen_ago_us(node->self, stream->stream, &end);
        stream->seen_us = node->watched_us - (ago_us > 0 ? ago_us : 0);
        if (ago_us > limit_us || (ago_us >= 0 && end > atomic_load(&stream->shared.end))) {
            stream->unsure_us = node->watched_us;
        }
    }
}

/* Closes windows that idle streams no longer hold open. */
static void tick(void *arg) {
    sl_node *node = arg;
    watch(node);
    watch_ends(node);
    if (node_in_group(node)) {
        group_tick(node);
        return;
    }
    if (!node->loaded) {
        return;
    }
    warn_of_absent(node);
    sl_error *error = commit_alone(node);
    if (sl_error_is(error, SL_ERROR_RETRIABLE)) {
        node->services->log(node->self, SL_LOG_WARN, "closing windows: %s; it is tried again",
                            sl_error_message(error));
        sl_error_free(error);
    } else if (error != NULL) {
        node->services->fail(node->self, error);
    }
}

/* Streams at their end hold nobody back: there is nothing to catch up with. */
static void set_skew_limit(void *arg) {
    sl_node *node = arg;
    int64_t least = INT64_MAX;
    for (struct gold_stream *stream = node->streams; stream != NULL; stream = stream->next) {
        (void)pthread_mutex_lock(&stream->shared.mutex);
        bool counts = stream->stream != NULL && stream->shared.at_end_since == 0;
        (void)pthread_mutex_unlock(&stream->shared.mutex);
        int64_t reached = atomic_load(&stream->shared.reached_us);
        least = counts && reached < least ? reached : least;
    }
    bool bounded = least != INT64_MAX && least != SL_TIME_NONE;
    atomic_store(&node->skew_limit_us, bounded ? least + node->config->max_skew_us : least);
}

static void node_start(sl_node *node, sl_request *request) {
    sl_error *error = NULL;
    node->started_us = node->looked_us = node->services->now_us(node->self);
    node->watched_us = 1;
    for (int i = 0; i < OUTPUTS; i++) {
        node->outputs[i].absent_us = node->started_us;
    }
    node->store = node->services->state_store(node->self);
    if (node->store == NULL) {
        error = sl_error_new(SL_ERROR_CONFIG,
                             "gold-agg keeps open windows in the state store, and the topology "
                             "names none: add \"state\": \"file:///var/lib/sluice/NAME\"");
    } else {
        make_metrics(node);
        error = node_in_group(node) ? group_start(node) : node_load(node);
        node->fresh = error == NULL;
    }
    if (error == NULL && node->number > 0) {
        node->services->log(node->self, SL_LOG_INFO,
                            "%zu open windows and groups, %lld results "
                            "so far",
                            sl_window_table_groups(node->state),
                            (long long)node->next[OUTPUT_RESULTS]);
    }
    node->awake_us = node->started_us;
    if (error == NULL && (node->config->idle_us > 0 || node_in_group(node))) {
        error = node->services->timer_start(node->self, TICK_MS, TICK_MS, tick, node, &node->timer);
    }
    if (error == NULL && node->config->max_skew_us > 0) {
        error = node->services->timer_start(node->self, SKEW_MS, SKEW_MS, set_skew_limit, node,
                                            &node->skew_timer);
    }
    node->services->done(request, error);
}

static void node_recover(sl_node *node, sl_position *positions, size_t n, sl_request *request) {
    if (node_in_group(node)) {
        node->services->done(request, group_recover(node, positions, n));
        return;
    }
    sl_error *error = node_load(node);
    for (size_t i = 0; i < n && error == NULL; i++) {
        struct gold_stream *stream;
        error = node_stream_of(node, positions[i].key, strlen(positions[i].key), &stream);
        if (error == NULL) {
            stream->stream = positions[i].stream;
            positions[i].from = stream->position;
        }
    }
    node->services->done(request, error);
}

/* Without recover (a harness that keeps positions itself) the stream's names make its key. */
static sl_error *stream_by_name(sl_node *node, const sl_stream *stream, struct gold_stream **out) {
    sl_buffer key = SL_BUFFER_INIT;
    (void)sl_buffer_printf(&key, "%s/%s/%d", stream->source, stream->topic, (int)stream->partition);
    const char *text = sl_buffer_text(&key);
    sl_error *error =
        text == NULL ? sl_error_no_memory() : node_stream_of(node, text, key.bytes, out);
    sl_buffer_free(&key);
    if (error == NULL) {
        (*out)->stream = stream;
    }
    return error;
}

static sl_error *resume_input(sl_node *node, const sl_stream *stream, void **handle) {
    struct gold_stream *found = node_find_stream(node, stream);
    sl_error *error = node_in_group(node) ? NULL : node_load(node);
    if (error == NULL && found == NULL) {
        error = stream_by_name(node, stream, &found);
    }
    if (error != NULL) {
        return error;
    }
    struct gold_handle *made = malloc(sizeof(*made));
    if (made == NULL) {
        return sl_error_no_memory();
    }
    (void)pthread_mutex_lock(&found->shared.mutex);
    found->shared.at_end_since = 0;
    found->shared.floor_us = found->clock.floor_us;
    atomic_store(&found->shared.reached_us, found->clock.max_event_us);
    found->merged = found->shared.takes;
    (void)pthread_mutex_unlock(&found->shared.mutex);
    *made = (struct gold_handle){found->clock, &found->shared};
    *handle = made;
    return NULL;
}

static void node_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                        void **handle, sl_request *request) {
    sl_error *error;
    if (strcmp(stream->source, node->name) == 0) {
        uint32_t output = strcmp(stream->topic, "late") == 0 ? OUTPUT_LATE : OUTPUT_RESULTS;
        error = outbox_resume(node, output, stream, offset, position);
    } else {
        error = resume_input(node, stream, handle);
    }
    node->services->done(request, error);
}

static void node_suspend(sl_node *node, const sl_stream *stream) {
    struct gold_stream *found = node_find_stream(node, stream);
    if (found != NULL) {
        found->stream = NULL; /* its clock still holds windows open: it may come back */
    }
    for (int i = 0; i < OUTPUTS; i++) {
        if (node->outputs[i].stream == stream) {
            node->outputs[i].stream = NULL;
            node->outputs[i].absent_us = node->services->now_us(node->self);
        }
    }
    if (!in_use(node)) {
        node_unload(node);
    }
}

static void node_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    node->services->done(request, commit_run(node, commit));
}

static void node_drop_piece(sl_node *node, void *piece) {
    (void)node;
    gold_piece_free(piece);
}

static void node_again(sl_node *node, const sl_stream *stream, int64_t offset, size_t max_bytes,
                       sl_request *request) {
    node->services->done(request, outbox_again(node, stream, offset, max_bytes));
}

static void node_drop_handle(sl_node *node, const sl_stream *stream, void *handle) {
    (void)node;
    (void)stream;
    free(handle);
}

/* The host that merges is found by the group itself, not by the host. */
static uint32_t node_flags(const void *config) {
    const struct gold_config *gold = config;
    return ~(uint32_t)(gold->scope == SCOPE_GROUP ? SL_ROLE_WHOLE : SL_ROLE_ASSIGNS);
}

const sl_node_ops gold_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .output_schema = node_output_schema,
    .start = node_start,
    .recover = node_recover,
    .resume = node_resume,
    .suspend = node_suspend,
    .commit = node_commit,
    .drop_piece = node_drop_piece,
    .acknowledge = outbox_acknowledge,
    .close = node_close,
    .flags = node_flags,
    .drop_handle = node_drop_handle,
    .again = node_again,
};
