/*
 * A small host for the test of gold-agg: options as the parser would make them, several streams on
 * two lanes, a store in memory that fails on demand, a reader behind the outputs that checks what
 * it is told. For one program; everything is static.
 */
#ifndef TESTS_UNIT_GOLD_AGG_HOST_H
#define TESTS_UNIT_GOLD_AGG_HOST_H

#include "failing_malloc.h"

#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "columns/columns.h"
#include "sluice/plugin.h"
#include "store/store.h"
#include "window/window.h"

#define PLUGIN SL_BUILD_DIR "/plugins/gold-agg.so"
#define SECOND INT64_C(1000000)
enum { STREAMS = 3, LANES = 2, EVENTS = 1500, OUTPUTS = 2 };

static uint64_t random_state;

static uint64_t random_u64(void) { /* splitmix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static bool chance(unsigned percent) {
    return random_u64() % 100 < percent;
}

static void ok(sl_error *error) {
    if (error != NULL) {
        ck_abort_msg("%s", sl_error_message(error));
    }
}

/* ---- the plugin's config, as the option parser would make it ---- */

struct window_options {
    int64_t tumbling_us;
    const void *hopping;
    int64_t session_us;
};
struct options { /* in the order of the option table, checked in load_plugin */
    const char *time;
    const struct window_options *window;
    int64_t lateness_us;
    sl_list group_by;
    sl_map aggregates;
    int64_t idle_us;
    int64_t max_ahead_us;
    const char *record_time;
    int32_t updates;
    int64_t outbox_max_bytes;
    int64_t keep_us;
    int64_t max_skew_us;
    int32_t scope;
};

static const sl_pair aggregate_pairs[] = {{"events", "count()"},
                                          {"revenue", "sum(amount)"},
                                          {"p90", "quantile(amount, 0.9)"},
                                          {"last_id", "last(id)"}};
static const char *const group_items[] = {"kind"};
static const struct window_options tumbling = {10 * SECOND, NULL, 0};
static const struct window_options session = {0, NULL, 2 * SECOND};

static struct options make_options(const struct window_options *window) {
    return (struct options){.time = "ts",
                            .window = window,
                            .lateness_us = 8 * SECOND,
                            .group_by = {1, group_items},
                            .aggregates = {4, aggregate_pairs},
                            .updates = 1,
                            .outbox_max_bytes = INT64_C(1) << 30,
                            .keep_us = 86400 * SECOND};
}

static struct ArrowSchema event_schema(void) {
    struct ArrowSchema schema;
    ok(sl_schema_new_struct(5, &schema));
    ok(sl_schema_set_field(&schema, 0, "ts", "tsu:UTC", true, 0));
    ok(sl_schema_set_field(&schema, 1, "kind", "u", true, 0));
    ok(sl_schema_set_field(&schema, 2, "amount", "d:12,2", true, 0));
    ok(sl_schema_set_field(&schema, 3, "id", "l", false, 0));
    ok(sl_schema_set_field(&schema, 4, "_offset", "l", false, 0));
    return schema;
}

/* ---- the reader behind the node ---- */

struct kept_batch {
    uint32_t output;
    uint32_t flags;
    int64_t first;
    int64_t next;
    char *text; /* rows as JSON lines */
};

struct reader {
    int64_t position[OUTPUTS];
    char **finals; /* lines */
    size_t n_finals;
    char **open;
    size_t n_open;
    char **late;
    size_t n_late;
};

static size_t key_bytes(const char *line) {
    return (size_t)(strstr(line, "\"events\":") - line);
}

static void drop_open(struct reader *reader, const char *line) {
    for (size_t i = 0; i < reader->n_open; i++) {
        if (key_bytes(reader->open[i]) == key_bytes(line) &&
            memcmp(reader->open[i], line, key_bytes(line)) == 0) {
            free(reader->open[i]);
            reader->open[i] = reader->open[--reader->n_open];
            return;
        }
    }
}

static void add_line(char ***lines, size_t *n, const char *line) {
    *lines = realloc(*lines, (*n + 1) * sizeof(char *));
    (*lines)[(*n)++] = strdup(line);
}

static void apply(struct reader *reader, const struct kept_batch *batch) {
    int64_t *position = &reader->position[batch->output];
    if (batch->next <= *position) {
        return;
    }
    ck_assert_int_eq(batch->first, *position);
    *position = batch->next;
    char *text = strdup(batch->text);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (batch->output == 1) {
            add_line(&reader->late, &reader->n_late, line);
            continue;
        }
        drop_open(reader, line);
        if ((batch->flags & SL_BATCH_UPDATES) != 0) {
            add_line(&reader->open, &reader->n_open, line);
        } else {
            for (size_t i = 0; i < reader->n_finals; i++) {
                ck_assert_msg(key_bytes(reader->finals[i]) != key_bytes(line) ||
                                  memcmp(reader->finals[i], line, key_bytes(line)) != 0,
                              "final twice: %s", line);
            }
            add_line(&reader->finals, &reader->n_finals, line);
        }
    }
    free(text);
}

static void free_lines(char **lines, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(lines[i]);
    }
    free(lines);
}

static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *joined(char **lines, size_t n, char **more, size_t n_more) {
    char **all = calloc(n + n_more + 1, sizeof(char *));
    size_t total = 1;
    for (size_t i = 0; i < n + n_more; i++) {
        all[i] = i < n ? lines[i] : more[i - n];
        total += strlen(all[i]) + 1;
    }
    qsort(all, n + n_more, sizeof(char *), compare_lines);
    char *text = malloc(total);
    char *end = text;
    *end = 0;
    for (size_t i = 0; i < n + n_more; i++) {
        end = stpcpy(end, all[i]);
        *end++ = '\n';
        *end = 0;
    }
    free(all);
    return text;
}

/* ---- the host ---- */

struct sl_request {
    bool done;
    sl_error *error;
};
struct sl_object {
    struct host *host;
};
struct sl_timer {
    struct sl_timer *next;
    struct host *host;
    uint64_t repeat_ms;
    void (*fire)(void *arg);
    void *arg;
};

struct host {
    const sl_plugin *plugin;
    struct options options;
    struct ArrowSchema schema;
    struct ArrowSchema schemas[OUTPUTS];
    sl_store *store;
    struct sl_object object;
    sl_node *node; /* NULL: crashed */
    sl_task *tasks[LANES];
    sl_stream streams[STREAMS];
    sl_stream own[OUTPUTS];
    char keys[STREAMS][32];
    int64_t stored[STREAMS]; /* positions as the node last said or committed */
    size_t fed[STREAMS];     /* events given to the task */
    int64_t fed_to[STREAMS]; /* next offset */
    void *pieces[64];
    size_t n_pieces;
    int64_t flushed_to[STREAMS];
    struct kept_batch *queue; /* emitted, not applied by the reader */
    size_t n_queue;
    struct reader *reader;
    sl_stream feed;        /* the results once more, for `behind`, who is not with the others */
    struct reader *behind; /* NULL: there is none */
    struct kept_batch *fed_rows; /* to it */
    size_t n_fed_rows;
    bool shares; /* store and reader, with other hosts of a group */
    bool paused; /* left out of all streams, as an operator may order */
    bool has[STREAMS];
    bool owns;              /* the node has asked for its own streams ... */
    bool attached[OUTPUTS]; /* ... which are there */
    void (*revoked)(void *arg);
    void *revoked_arg;
    int64_t now_us;
    int64_t seen_us[STREAMS]; /* when the source saw last where it ends; 0: it never says */
    int64_t seen_end[STREAMS];
    sl_timer *timers;
    bool held[STREAMS]; /* by services->hold_back */
    uint32_t run_flags;
    int64_t dropped;
    int64_t overtaken; /* results below are not kept for readers that fell behind */
    char failure[300];
};

static void service_done(sl_request *request, sl_error *error) {
    if (request->done) { /* ck_assert allocates */
        ck_abort_msg("a request was ended twice");
    }
    request->done = true;
    request->error = error;
}

static sl_error *service_emit(sl_object *self, uint32_t output, sl_emission *emission) {
    struct host *host = self->host;
    if (allowed >= 0) { /* the test of short memory looks at nothing */
        if (emission->columns != NULL) {
            emission->columns->release(emission->columns);
        }
        return NULL;
    }
    bool again = emission->stream == &host->feed;
    ck_assert(again ? output == 0 : emission->stream == &host->own[output]);
    ck_assert_int_lt(emission->first_offset, emission->next_offset);
    struct kept_batch batch = {output, emission->flags, emission->first_offset,
                               emission->next_offset, NULL};
    sl_buffer text = SL_BUFFER_INIT;
    if (emission->columns != NULL) {
        ok(sl_array_check(&host->schemas[output], emission->columns));
        ck_assert_int_eq(emission->columns->length, emission->next_offset - emission->first_offset);
        for (int64_t i = 0; i < emission->columns->length; i++) {
            ck_assert(sl_array_append_json(&host->schemas[output], emission->columns, i, &text));
            ck_assert(sl_buffer_append_byte(&text, '\n'));
        }
        emission->columns->release(emission->columns);
    }
    ck_assert_ptr_nonnull(sl_buffer_text(&text));
    size_t bytes;
    batch.text = (char *)sl_buffer_take(&text, &bytes);
    struct kept_batch **queue = again ? &host->fed_rows : &host->queue;
    size_t *n = again ? &host->n_fed_rows : &host->n_queue;
    *queue = realloc(*queue, (*n + 1) * sizeof(batch));
    (*queue)[(*n)++] = batch;
    return NULL;
}

static void service_assign(sl_object *self, const sl_stream_name *names, size_t n) {
    ck_assert_uint_eq(n, OUTPUTS);
    ck_assert_str_eq(names[1].topic, "late");
    ck_assert(!self->host->owns);
    self->host->owns = true;
}

static void service_revoke(sl_object *self, const sl_stream_name *names, size_t n, int lost,
                           void (*revoked)(void *arg), void *arg) {
    (void)names;
    ck_assert(self->host->owns && n == OUTPUTS && lost == 0);
    self->host->owns = false;
    self->host->revoked = revoked;
    self->host->revoked_arg = arg;
}

static void service_dropped(sl_object *self, const sl_stream *stream, const char *reason,
                            int64_t rows) {
    (void)stream;
    (void)reason;
    self->host->dropped += rows;
}
static void service_hold(sl_object *self, size_t bytes) {
    (void)self;
    (void)bytes;
}
static sl_store *service_state_store(sl_object *self) {
    return self->host->store;
}
static sl_error *service_timer_start(sl_object *self, uint64_t delay_ms, uint64_t repeat_ms,
                                     void (*fire)(void *arg), void *arg, sl_timer **out) {
    (void)delay_ms;
    sl_timer *timer = malloc(sizeof(*timer));
    if (timer == NULL) {
        return sl_error_no_memory();
    }
    *timer = (sl_timer){self->host->timers, self->host, repeat_ms, fire, arg};
    self->host->timers = timer;
    *out = timer;
    return NULL;
}
static void service_timer_stop(sl_timer *timer) {
    sl_timer **at = &timer->host->timers;
    while (*at != timer) {
        at = &(*at)->next;
    }
    *at = timer->next;
    free(timer);
}
/* Fires the timers of one period, each once; a timer may stop itself. */
static inline void fire(struct host *host, uint64_t repeat_ms) {
    for (sl_timer *timer = host->timers, *next; timer != NULL; timer = next) {
        next = timer->next;
        if (timer->repeat_ms == repeat_ms) {
            timer->fire(timer->arg);
        }
    }
}
static void service_hold_back(sl_object *self, const sl_stream *stream, int on) {
    ck_assert(self->host->held[stream->index] != (on != 0));
    self->host->held[stream->index] = on != 0;
}
static int64_t service_now(sl_object *self) {
    return self->host->now_us;
}
static int64_t service_end_seen_ago(sl_object *self, const sl_stream *stream, int64_t *offset) {
    const struct host *host = self->host;
    if (host->seen_us[stream->index] == 0) {
        return -1;
    }
    *offset = host->seen_end[stream->index];
    return host->now_us - host->seen_us[stream->index];
}
static void service_log(sl_object *self, sl_log_level level, const char *format, ...) {
    (void)self;
    (void)level;
    (void)format;
}
static sl_metric *service_metric(sl_object *self, sl_metric_kind kind, const char *name,
                                 const char *help) {
    (void)self;
    (void)kind;
    (void)name;
    (void)help;
    return NULL;
}
static void service_metric_value(sl_metric *metric, int64_t value) {
    (void)metric;
    (void)value;
}
static void service_overtaken(sl_object *self, const sl_stream *stream, int64_t offset) {
    (void)stream;
    self->host->overtaken = offset;
}
static void service_fail(sl_object *self, sl_error *error) {
    snprintf(self->host->failure, sizeof(self->host->failure), "%s", sl_error_message(error));
    sl_error_free(error);
}

static const sl_services services = {.struct_bytes = sizeof(sl_services),
                                     .done = service_done,
                                     .overtaken = service_overtaken,
                                     .emit = service_emit,
                                     .dropped = service_dropped,
                                     .hold = service_hold,
                                     .assign = service_assign,
                                     .revoke = service_revoke,
                                     .state_store = service_state_store,
                                     .timer_start = service_timer_start,
                                     .timer_stop = service_timer_stop,
                                     .now_us = service_now,
                                     .log = service_log,
                                     .metric = service_metric,
                                     .metric_add = service_metric_value,
                                     .metric_set = service_metric_value,
                                     .fail = service_fail,
                                     .hold_back = service_hold_back,
                                     .end_seen_ago_us = service_end_seen_ago};

static const sl_plugin *load_plugin(void) {
    void *library = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library != NULL, "%s", dlerror());
    const sl_plugin *plugin = dlsym(library, SL_PLUGIN_SYMBOL);
    ck_assert_ptr_nonnull(plugin);
    ck_assert_uint_eq(plugin->transform->config_bytes, sizeof(struct options));
    return plugin;
}

static const sl_node_ops *node_ops(const struct host *host) {
    return host->plugin->transform->node;
}
static const sl_task_ops *task_ops(const struct host *host) {
    return host->plugin->transform->task;
}

static sl_error *ended(sl_request *request) {
    ck_assert(request->done);
    return request->error;
}

/* Streams lie on lanes by their number; own streams are resumed before inputs, as the host does. */
static sl_error *resume_all(struct host *host) {
    sl_position positions[STREAMS];
    for (int s = 0; s < STREAMS; s++) {
        positions[s] =
            (sl_position){.stream = &host->streams[s], .key = host->keys[s], .from = -7, .to = -7};
    }
    sl_request recovered = {0};
    node_ops(host)->recover(host->node, positions, STREAMS, &recovered);
    ok(ended(&recovered));
    for (int o = 0; o < OUTPUTS; o++) {
        sl_request resumed = {0};
        void *handle = NULL;
        int64_t at = host->reader->position[o];
        host->own[o].reached = at;
        int64_t needed = host->behind == NULL || o > 0 ? SL_OFFSET_NONE : host->behind->position[o];
        node_ops(host)->resume(host->node, &host->own[o], at, needed, &handle, &resumed);
        sl_error *error = ended(&resumed);
        if (error != NULL) {
            return error;
        }
    }
    for (int s = 0; s < STREAMS; s++) {
        sl_request resumed = {0};
        sl_attach how = {.struct_bytes = sizeof(how), .position = positions[s].from};
        host->stored[s] = host->flushed_to[s] = positions[s].from;
        host->fed_to[s] = positions[s].from == SL_OFFSET_NONE ? 0 : positions[s].from;
        host->fed[s] = 0; /* found anew by offset */
        how.offset = host->fed_to[s];
        node_ops(host)->resume(host->node, &host->streams[s], how.offset, positions[s].from,
                               &how.handle, &resumed);
        ok(ended(&resumed));
        ok(task_ops(host)->attach(host->tasks[s % LANES], &host->streams[s], &how));
    }
    return NULL;
}

static sl_error *start(struct host *host) {
    sl_input input = {"silver", &host->schema};
    sl_node_context context = {.struct_bytes = sizeof(context),
                               .flags = host->run_flags,
                               .services = &services,
                               .self = &host->object,
                               .pipeline = "test",
                               .name = "gold",
                               .config = &host->options,
                               .inputs = &input,
                               .n_inputs = 1,
                               .lanes = LANES};
    sl_error *error = node_ops(host)->open(&context, &host->node);
    if (error != NULL) {
        return error;
    }
    for (uint32_t o = 0; o < OUTPUTS; o++) {
        ok(node_ops(host)->output_schema(host->node, o, &host->schemas[o]));
    }
    sl_request started = {0};
    node_ops(host)->start(host->node, &started);
    error = ended(&started);
    for (uint32_t l = 0; l < LANES; l++) {
        sl_task_context task = {sizeof(task), l, &services, &host->object};
        ok(task_ops(host)->open(host->node, &task, &host->tasks[l]));
    }
    return error != NULL || host->shares ? error : resume_all(host);
}

/* All that is in memory goes: of the node, of the lanes, of the reader. */
static void crash(struct host *host) {
    for (size_t i = 0; i < host->n_pieces; i++) {
        node_ops(host)->drop_piece(host->node, host->pieces[i]);
    }
    host->n_pieces = 0;
    for (int l = 0; l < LANES; l++) {
        task_ops(host)->close(host->tasks[l]);
    }
    node_ops(host)->close(host->node);
    host->node = NULL;
    for (size_t i = 0; i < host->n_queue; i++) {
        free(host->queue[i].text);
    }
    host->n_queue = 0;
    for (size_t i = 0; i < host->n_fed_rows; i++) {
        free(host->fed_rows[i].text);
    }
    host->n_fed_rows = 0;
    for (int o = 0; o < OUTPUTS; o++) {
        host->schemas[o].release(&host->schemas[o]);
    }
    ck_assert_ptr_null(host->timers);
}

static struct host *new_host(const struct window_options *window) {
    struct host *host = calloc(1, sizeof(*host));
    host->plugin = load_plugin();
    host->options = make_options(window);
    host->schema = event_schema();
    host->object.host = host;
    host->now_us = 1000 * SECOND;
    ok(sl_store_open_memory(&host->store));
    host->reader = calloc(1, sizeof(*host->reader));
    for (int s = 0; s < STREAMS; s++) {
        host->streams[s] = (sl_stream){.struct_bytes = sizeof(sl_stream),
                                       .index = (uint32_t)s,
                                       .source = "events",
                                       .topic = "events",
                                       .partition = s,
                                       .lane = (uint32_t)(s % LANES)};
        snprintf(host->keys[s], sizeof(host->keys[s]), "key/%d", s);
        host->has[s] = true;
    }
    for (int o = 0; o < OUTPUTS; o++) {
        host->own[o] = (sl_stream){.struct_bytes = sizeof(sl_stream),
                                   .index = (uint32_t)(STREAMS + o),
                                   .source = "gold",
                                   .topic = o == 0 ? "" : "late"};
    }
    host->feed = host->own[0];
    host->feed.reader = 1;
    return host;
}

static void free_reader(struct reader *reader) {
    free_lines(reader->finals, reader->n_finals);
    free_lines(reader->open, reader->n_open);
    free_lines(reader->late, reader->n_late);
    free(reader);
}

static void free_host(struct host *host) {
    if (host->node != NULL) {
        crash(host);
    }
    free(host->queue);
    free(host->fed_rows);
    if (host->behind != NULL) {
        free_reader(host->behind);
    }
    if (!host->shares) {
        free_reader(host->reader);
        host->store->ops->close(host->store);
    }
    host->schema.release(&host->schema);
    free(host);
}

/* ---- events ---- */

struct event {
    int stream;
    int64_t offset;
    int64_t time_us;
    int kind;
    int64_t cents;
    int64_t id;
};
static struct event events[EVENTS];

static void make_events(void) {
    int64_t offsets[STREAMS] = {0};
    for (int64_t i = 0; i < EVENTS; i++) {
        struct event *e = &events[i];
        e->stream = (int)(random_u64() % STREAMS);
        e->offset = offsets[e->stream];
        offsets[e->stream] += 1 + (int64_t)(random_u64() % 2);
        e->time_us = i * SECOND / 10 - (int64_t)(chance(25) ? random_u64() % (25 * SECOND) : 0);
        e->kind = (int)(random_u64() % 4);
        e->cents = (int64_t)(random_u64() % 100000);
        e->id = i;
        if (i >= EVENTS - STREAMS) { /* the last of each stream close everything before them */
            e->stream = (int)(i % STREAMS);
            e->offset = 2 * EVENTS;
            e->time_us = 10000 * SECOND;
        }
    }
}

static void append_event(sl_builder *b, const struct event *e) {
    static const char *const kinds[] = {"a", "bb", "ccc"};
    sl_i128 cents = e->cents;
    sl_builder *c = b->children;
    ck_assert(sl_builder_append_i64(&c[0], e->time_us) &&
              (e->kind == 3
                   ? sl_builder_append_null(&c[1])
                   : sl_builder_append_bytes(&c[1], kinds[e->kind], strlen(kinds[e->kind]))) &&
              sl_builder_append_bytes(&c[2], &cents, 16) && sl_builder_append_i64(&c[3], e->id) &&
              sl_builder_append_i64(&c[4], e->offset) && sl_builder_append_struct(b));
}

/* Up to `want` events of the stream from its position; an empty batch at the end says so. */
static bool feed(struct host *host, int s, size_t want, bool at_end) {
    sl_builder b;
    struct ArrowArray array;
    ok(sl_builder_init(&b, &host->schema));
    int64_t next = host->fed_to[s];
    while (host->fed[s] < EVENTS && (size_t)b.length < want) {
        const struct event *e = &events[host->fed[s]++];
        if (e->stream == s && e->offset >= host->fed_to[s]) {
            append_event(&b, e);
            next = e->offset + 1;
        }
    }
    ok(sl_builder_finish(&b, &array));
    sl_builder_free(&b);
    sl_batch batch = {.struct_bytes = sizeof(batch),
                      .flags = at_end && array.length == 0 ? SL_BATCH_AT_END : 0,
                      .schema = &host->schema,
                      .columns = &array,
                      .rows = array.length,
                      .stream = &host->streams[s],
                      .first_offset = host->fed_to[s],
                      .next_offset = next,
                      .max_event_time_us = SL_EVENT_TIME_NONE};
    ok(task_ops(host)->process(host->tasks[s % LANES], 0, &batch));
    host->fed_to[s] = next;
    bool any = array.length > 0;
    array.release(&array);
    return any;
}

static void flush(struct host *host, int lane) {
    sl_request request = {0};
    void *piece = NULL;
    task_ops(host)->flush(host->tasks[lane], &piece, &request);
    ok(ended(&request));
    if (piece != NULL) {
        host->pieces[host->n_pieces++] = piece;
    }
    for (int s = lane; s < STREAMS; s += LANES) {
        host->flushed_to[s] = host->fed_to[s];
    }
}

static sl_error *commit(struct host *host) {
    sl_position positions[STREAMS];
    size_t n = 0;
    for (int s = 0; s < STREAMS; s++) {
        if (host->has[s] && host->flushed_to[s] != host->stored[s] &&
            host->flushed_to[s] != SL_OFFSET_NONE) {
            positions[n++] = (sl_position){.stream = &host->streams[s],
                                           .key = host->keys[s],
                                           .from = host->stored[s],
                                           .to = host->flushed_to[s]};
        }
    }
    sl_commit commit = {.struct_bytes = sizeof(commit),
                        .positions = positions,
                        .n_positions = n,
                        .pieces = host->pieces,
                        .n_pieces = host->n_pieces};
    sl_request request = {0};
    node_ops(host)->commit(host->node, &commit, &request);
    sl_error *error = ended(&request);
    if (error == NULL) {
        host->n_pieces = 0;
        memcpy(host->stored, host->flushed_to, sizeof(host->stored));
    }
    return error;
}

static inline void read_some(struct host *host, size_t n) {
    n = n > host->n_queue ? host->n_queue : n;
    if (n == 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        apply(host->reader, &host->queue[i]);
        free(host->queue[i].text);
    }
    host->n_queue -= n;
    memmove(host->queue, host->queue + n, host->n_queue * sizeof(*host->queue));
    for (int o = 0; o < OUTPUTS; o++) {
        node_ops(host)->acknowledge(host->node, &host->own[o], host->reader->position[o]);
    }
}

/* ---- what must come out ---- */

/* All events of a stream go into the table; those that are late are told. */
static void aggregate_stream(struct host *host, int s, sl_window_table *table, struct reader *all) {
    sl_window_clock clock = {SL_TIME_NONE, SL_TIME_NONE};
    sl_window_outcome outcome = {0};
    sl_builder b;
    struct ArrowArray array;
    ok(sl_builder_init(&b, &host->schema));
    for (int i = 0; i < EVENTS; i++) {
        if (events[i].stream == s) {
            append_event(&b, &events[i]);
        }
    }
    ok(sl_builder_finish(&b, &array));
    sl_window_origin origin = {"events", s, 0, array.children[4]->buffers[1]};
    ok(sl_window_table_update(table, &clock, &origin, &array, &outcome));
    for (size_t i = 0; i < outcome.n_late; i++) {
        sl_buffer line = SL_BUFFER_INIT;
        ck_assert(sl_array_append_json(&host->schema, &array, outcome.late[i], &line));
        add_line(&all->late, &all->n_late, sl_buffer_text(&line));
        sl_buffer_free(&line);
    }
    array.release(&array);
    sl_builder_free(&b);
    sl_window_outcome_free(&outcome);
}

static void close_windows(const sl_window_plan *plan, sl_window_table *table, struct reader *all) {
    sl_builder results;
    sl_window_result_counts counts;
    struct ArrowArray array;
    ok(sl_builder_init(&results, sl_window_plan_results(plan)));
    ok(sl_window_table_close(table, INT64_MAX / 4, &results, &counts));
    ok(sl_builder_finish(&results, &array));
    for (int64_t i = 0; i < array.length; i++) {
        sl_buffer line = SL_BUFFER_INIT;
        ck_assert(sl_array_append_json(sl_window_plan_results(plan), &array, i, &line));
        add_line(&all->finals, &all->n_finals, sl_buffer_text(&line));
        sl_buffer_free(&line);
    }
    array.release(&array);
    sl_builder_free(&results);
}

static void expect(struct host *host, char **rows, char **late_rows) {
    sl_window_aggregate aggregates[4];
    for (int i = 0; i < 4; i++) {
        aggregates[i] = (sl_window_aggregate){aggregate_pairs[i].key, aggregate_pairs[i].value};
    }
    bool is_session = host->options.window->session_us > 0;
    sl_window_config config = {.kind = is_session ? SL_WINDOW_SESSION : SL_WINDOW_TUMBLING,
                               .size_us = is_session ? 2 * SECOND : 10 * SECOND,
                               .lateness_us = host->options.lateness_us,
                               .time = "ts",
                               .group_by = group_items,
                               .n_group_by = 1,
                               .aggregates = aggregates,
                               .n_aggregates = 4};
    sl_window_plan *plan;
    sl_window_table *table;
    struct reader all = {0};
    ok(sl_window_plan_new(&host->schema, &config, &plan));
    ok(sl_window_table_new(plan, &table));
    for (int s = 0; s < STREAMS; s++) {
        aggregate_stream(host, s, table, &all);
    }
    close_windows(plan, table, &all);
    *rows = joined(all.finals, all.n_finals, NULL, 0);
    *late_rows = joined(all.late, all.n_late, NULL, 0);
    ck_assert_uint_gt(all.n_late, 5);
    free_lines(all.finals, all.n_finals);
    free_lines(all.late, all.n_late);
    sl_window_table_free(table);
    sl_window_plan_free(plan);
}

static void check_reader(struct host *host, bool sessions) {
    char *expected;
    char *expected_late;
    expect(host, &expected, &expected_late);
    struct reader *r = host->reader;
    char *late = joined(r->late, r->n_late, NULL, 0);
    char *rows = joined(r->finals, r->n_finals, r->open, r->n_open);
    ck_assert_msg(strcmp(late, expected_late) == 0, "late rows: %zu bytes, expected %zu",
                  strlen(late), strlen(expected_late));
    if (sessions) { /* the last ones are open, and open sessions are not sent */
        char *open_line;
        while ((open_line = strstr(expected, "{\"window_start\":\"1970-01-01T02:46:40Z")) != NULL) {
            char *next = strchr(open_line, '\n') + 1;
            memmove(open_line, next, strlen(next) + 1);
        }
        ck_assert_uint_eq(r->n_open, 0);
    }
    ck_assert_msg(strcmp(rows, expected) == 0, "rows: %zu bytes, expected %zu", strlen(rows),
                  strlen(expected));
    free(rows);
    free(late);
    free(expected);
    free(expected_late);
}

static int64_t count_events(char *const *lines, size_t n) {
    int64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += strtoll(strstr(lines[i], "\"events\":") + strlen("\"events\":"), NULL, 10);
    }
    return total;
}

/* Of tumbling windows: each event has come into one result, or is late, whoever has judged it by
 * what lateness. That no final row came twice is seen where it comes. */
static inline void check_all_counted(const struct host *host) {
    const struct reader *r = host->reader;
    ck_assert_int_eq(count_events(r->finals, r->n_finals) + count_events(r->open, r->n_open) +
                         (int64_t)r->n_late,
                     EVENTS);
}

#endif /* TESTS_UNIT_GOLD_AGG_HOST_H */
