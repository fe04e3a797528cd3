/*
 * gold-agg under a small host of this test's own: several streams and lanes, random flushes,
 * commits, failing stores and crashes. Whatever happens, the reader ends with the same rows, each
 * once.
 */
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

/*
 * Allocations that fail on demand, in the plugin too; sanitizers have their own malloc, so with
 * them nothing fails.
 */
static long allowed = -1; /* allocations until they fail; -1: no end */
static long live;         /* blocks */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void __libc_free(void *block);
#define REPLACED __attribute__((visibility("default")))

static bool refused(void) {
    if (allowed > 0) {
        allowed--;
        return false;
    }
    return allowed == 0;
}
REPLACED void *malloc(size_t bytes) {
    void *block = refused() ? NULL : __libc_malloc(bytes);
    live += block != NULL ? 1 : 0;
    return block;
}
REPLACED void *calloc(size_t n, size_t bytes) {
    void *block = refused() ? NULL : __libc_calloc(n, bytes);
    live += block != NULL ? 1 : 0;
    return block;
}
REPLACED void *realloc(void *old, size_t bytes) {
    void *block = refused() ? NULL : __libc_realloc(old, bytes);
    live += old == NULL && block != NULL ? 1 : 0;
    return block;
}
REPLACED void free(void *block) {
    live -= block != NULL ? 1 : 0;
    __libc_free(block);
}
#endif

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
    struct reader reader;
    int64_t now_us;
    void (*fire)(void *arg);
    void *fire_arg;
    uint32_t run_flags;
    int64_t dropped;
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
    ck_assert(emission->stream == &host->own[output]);
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
    host->queue = realloc(host->queue, (host->n_queue + 1) * sizeof(batch));
    host->queue[host->n_queue++] = batch;
    return NULL;
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
    (void)repeat_ms;
    self->host->fire = fire;
    self->host->fire_arg = arg;
    *out = (sl_timer *)(void *)self->host;
    return NULL;
}
static void service_timer_stop(sl_timer *timer) {
    ((struct host *)(void *)timer)->fire = NULL;
}
static int64_t service_now(sl_object *self) {
    return self->host->now_us;
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
static void service_fail(sl_object *self, sl_error *error) {
    snprintf(self->host->failure, sizeof(self->host->failure), "%s", sl_error_message(error));
    sl_error_free(error);
}

static const sl_services services = {.struct_bytes = sizeof(sl_services),
                                     .done = service_done,
                                     .emit = service_emit,
                                     .dropped = service_dropped,
                                     .hold = service_hold,
                                     .state_store = service_state_store,
                                     .timer_start = service_timer_start,
                                     .timer_stop = service_timer_stop,
                                     .now_us = service_now,
                                     .log = service_log,
                                     .metric = service_metric,
                                     .metric_add = service_metric_value,
                                     .metric_set = service_metric_value,
                                     .fail = service_fail};

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
        node_ops(host)->resume(host->node, &host->own[o], host->reader.position[o], SL_OFFSET_NONE,
                               &handle, &resumed);
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
    return error != NULL ? error : resume_all(host);
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
    for (int o = 0; o < OUTPUTS; o++) {
        host->schemas[o].release(&host->schemas[o]);
    }
    ck_assert_ptr_null(host->fire);
}

static struct host *new_host(const struct window_options *window) {
    struct host *host = calloc(1, sizeof(*host));
    host->plugin = load_plugin();
    host->options = make_options(window);
    host->schema = event_schema();
    host->object.host = host;
    host->now_us = 1000 * SECOND;
    ok(sl_store_open_memory(&host->store));
    for (int s = 0; s < STREAMS; s++) {
        host->streams[s] = (sl_stream){.struct_bytes = sizeof(sl_stream),
                                       .index = (uint32_t)s,
                                       .source = "events",
                                       .topic = "events",
                                       .partition = s,
                                       .lane = (uint32_t)(s % LANES)};
        snprintf(host->keys[s], sizeof(host->keys[s]), "key/%d", s);
    }
    for (int o = 0; o < OUTPUTS; o++) {
        host->own[o] = (sl_stream){.struct_bytes = sizeof(sl_stream),
                                   .index = (uint32_t)(STREAMS + o),
                                   .source = "gold",
                                   .topic = o == 0 ? "" : "late"};
    }
    return host;
}

static void free_host(struct host *host) {
    if (host->node != NULL) {
        crash(host);
    }
    free(host->queue);
    free_lines(host->reader.finals, host->reader.n_finals);
    free_lines(host->reader.open, host->reader.n_open);
    free_lines(host->reader.late, host->reader.n_late);
    host->store->ops->close(host->store);
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
        if (host->flushed_to[s] != host->stored[s] && host->flushed_to[s] != SL_OFFSET_NONE) {
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

static void read_some(struct host *host, size_t n) {
    n = n > host->n_queue ? host->n_queue : n;
    if (n == 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        apply(&host->reader, &host->queue[i]);
        free(host->queue[i].text);
    }
    host->n_queue -= n;
    memmove(host->queue, host->queue + n, host->n_queue * sizeof(*host->queue));
    for (int o = 0; o < OUTPUTS; o++) {
        node_ops(host)->acknowledge(host->node, &host->own[o], host->reader.position[o]);
    }
}

/* ---- what must come out ---- */

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
    sl_window_outcome outcome = {0};
    sl_builder results;
    sl_window_result_counts counts;
    struct reader all = {0};
    ok(sl_window_plan_new(&host->schema, &config, &plan));
    ok(sl_window_table_new(plan, &table));
    for (int s = 0; s < STREAMS; s++) {
        sl_window_clock clock = {SL_TIME_NONE, SL_TIME_NONE};
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
            add_line(&all.late, &all.n_late, sl_buffer_text(&line));
            sl_buffer_free(&line);
        }
        array.release(&array);
        sl_builder_free(&b);
    }
    struct ArrowArray array;
    ok(sl_builder_init(&results, sl_window_plan_results(plan)));
    ok(sl_window_table_close(table, INT64_MAX / 4, &results, &counts));
    ok(sl_builder_finish(&results, &array));
    for (int64_t i = 0; i < array.length; i++) {
        sl_buffer line = SL_BUFFER_INIT;
        ck_assert(sl_array_append_json(sl_window_plan_results(plan), &array, i, &line));
        add_line(&all.finals, &all.n_finals, sl_buffer_text(&line));
        sl_buffer_free(&line);
    }
    *rows = joined(all.finals, all.n_finals, NULL, 0);
    *late_rows = joined(all.late, all.n_late, NULL, 0);
    ck_assert_uint_gt(all.n_late, 5);
    free_lines(all.finals, all.n_finals);
    free_lines(all.late, all.n_late);
    array.release(&array);
    sl_builder_free(&results);
    sl_window_outcome_free(&outcome);
    sl_window_table_free(table);
    sl_window_plan_free(plan);
}

static void check_reader(struct host *host, bool sessions) {
    char *expected;
    char *expected_late;
    expect(host, &expected, &expected_late);
    struct reader *r = &host->reader;
    char *late = joined(r->late, r->n_late, NULL, 0);
    char *rows = joined(r->finals, r->n_finals, r->open, r->n_open);
    ck_assert_str_eq(late, expected_late);
    if (sessions) { /* the last ones are open, and open sessions are not sent */
        char *open_line;
        while ((open_line = strstr(expected, "{\"window_start\":\"1970-01-01T02:46:40Z")) != NULL) {
            char *next = strchr(open_line, '\n') + 1;
            memmove(open_line, next, strlen(next) + 1);
        }
        ck_assert_uint_eq(r->n_open, 0);
    }
    ck_assert_str_eq(rows, expected);
    free(rows);
    free(late);
    free(expected);
    free(expected_late);
}

/* ---- random histories ---- */

static void maybe_fault(struct host *host) {
    if (chance(20)) {
        sl_store_memory_fail(host->store, SL_STORE_OP_PUT, chance(50) ? "log/" : NULL,
                             1 + (int64_t)(random_u64() % 2),
                             chance(50) ? SL_STORE_FAULT_BEFORE : SL_STORE_FAULT_AFTER,
                             SL_ERROR_RETRIABLE);
    }
}

/* One commit, tried again while it may be, or given up by a crash. */
static void commit_or_crash(struct host *host, bool calm) {
    sl_error *error;
    while ((error = commit(host)) != NULL) {
        ck_assert_msg(sl_error_is(error, SL_ERROR_RETRIABLE), "%s", sl_error_message(error));
        sl_error_free(error);
        if (!calm && chance(30)) {
            sl_store_memory_fail(host->store, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE,
                                 SL_ERROR_RETRIABLE);
            crash(host);
            ok(start(host));
            return;
        }
    }
}

static void run_history(const struct window_options *window, uint64_t seed) {
    random_state = seed;
    make_events();
    struct host *host = new_host(window);
    ok(start(host));
    bool more = true;
    while (more) {
        int s = (int)(random_u64() % STREAMS);
        feed(host, s, 1 + random_u64() % 40, false);
        if (chance(20)) {
            flush(host, s % LANES);
        }
        if (chance(15) && host->n_pieces > 0) {
            maybe_fault(host);
            commit_or_crash(host, false);
        }
        read_some(host, random_u64() % 4);
        if (chance(2)) {
            sl_store_memory_fail(host->store, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE,
                                 SL_ERROR_RETRIABLE);
            crash(host);
            ok(start(host));
        }
        more = false;
        for (int i = 0; i < STREAMS; i++) {
            more = more || host->fed[i] < EVENTS;
        }
    }
    sl_store_memory_fail(host->store, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
    for (int lane = 0; lane < LANES; lane++) {
        flush(host, lane);
    }
    commit_or_crash(host, true);
    read_some(host, SIZE_MAX);
    check_reader(host, window->session_us > 0);
    ck_assert_str_eq(host->failure, "");
    /* a start without anything new brings the reader nothing wrong */
    crash(host);
    ok(start(host));
    read_some(host, SIZE_MAX);
    check_reader(host, window->session_us > 0);
    free_host(host);
}

START_TEST(tumbling_survives_everything) {
    for (uint64_t seed = 0; seed < 25; seed++) {
        run_history(&tumbling, 1000 + seed);
    }
}
END_TEST

START_TEST(sessions_survive_everything) {
    for (uint64_t seed = 0; seed < 10; seed++) {
        run_history(&session, 2000 + seed);
    }
}
END_TEST

/* ---- details ---- */

static void feed_all(struct host *host, int s) {
    while (feed(host, s, 100, false)) {
    }
}

static void commit_all(struct host *host) {
    for (int lane = 0; lane < LANES; lane++) {
        flush(host, lane);
    }
    ok(commit(host));
    read_some(host, SIZE_MAX);
}

START_TEST(idle_streams_hold_nothing_open) {
    random_state = 3;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.idle_us = 30 * SECOND;
    ok(start(host));
    feed_all(host, 0);
    feed_all(host, 1);
    commit_all(host);
    ck_assert_uint_eq(host->reader.n_finals, 0); /* stream 2 has said nothing */
    feed(host, 2, 0, false);
    host->fed[2] = EVENTS;
    ck_assert(!feed(host, 2, 1, true)); /* it is at its end, empty */
    host->now_us += 29 * SECOND;
    host->fire(host->fire_arg);
    read_some(host, SIZE_MAX);
    ck_assert_uint_eq(host->reader.n_finals, 0);
    host->now_us += 2 * SECOND;
    host->fire(host->fire_arg); /* without any commit of the host's */
    read_some(host, SIZE_MAX);
    size_t finals = host->reader.n_finals;
    ck_assert_uint_gt(finals, 20);
    /* what it has after all is judged by what is closed: late, or in open windows; never twice */
    host->fed[2] = 0;
    feed_all(host, 2);
    commit_all(host);
    ck_assert_uint_ge(host->reader.n_finals, finals);
    size_t late = host->reader.n_late;
    ck_assert_uint_gt(late, EVENTS / STREAMS / 2);
    /* and the same after a crash before the commit */
    crash(host);
    ok(start(host));
    commit_all(host);
    ck_assert_uint_eq(host->reader.n_late, late);
    ck_assert_str_eq(host->failure, "");
    free_host(host);
}
END_TEST

START_TEST(all_streams_idle) {
    random_state = 7;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.idle_us = 30 * SECOND;
    ok(start(host));
    for (int s = 0; s < STREAMS; s++) {
        while (feed(host, s, 100, false)) {
        }
        feed(host, s, 1, true);
    }
    commit_all(host);
    size_t finals = host->reader.n_finals;
    size_t open = host->reader.n_open;
    host->now_us += 31 * SECOND;
    host->fire(host->fire_arg); /* the streams end at one time, so nothing more is closed */
    read_some(host, SIZE_MAX);
    ck_assert_uint_eq(host->reader.n_finals, finals);
    ck_assert_uint_eq(host->reader.n_open, open);
    check_reader(host, false);
    free_host(host);
}
END_TEST

START_TEST(runs_to_the_end_wait_for_no_time) {
    random_state = 8;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.idle_us = 30 * SECOND;
    host->run_flags = SL_RUN_UNTIL_END;
    ok(start(host));
    feed_all(host, 0);
    while (host->fed[1] < EVENTS / 2) { /* stream 1 is slow */
        feed(host, 1, 10, false);
    }
    feed(host, 0, 1, true);
    host->now_us += 100 * SECOND;
    commit_all(host);
    size_t finals = host->reader.n_finals;
    ck_assert_uint_eq(finals, 0); /* stream 2 has not begun */
    size_t fed = host->fed[2];
    host->fed[2] = EVENTS; /* it is empty, and at its end */
    feed(host, 2, 1, true);
    feed(host, 1, 1, false);
    commit_all(host);
    ck_assert_uint_gt(host->reader.n_finals, 0);
    ck_assert_uint_lt(host->reader.n_finals, 40); /* stream 1 counts, stream 0 is far ahead */
    host->fed[2] = fed;
    free_host(host);
}
END_TEST

START_TEST(a_second_writer_is_fenced) {
    random_state = 4;
    make_events();
    struct host *host = new_host(&tumbling);
    ok(start(host));
    feed(host, 0, 50, false);
    commit_all(host);
    feed(host, 0, 50, false);
    flush(host, 0);
    ok(host->store->ops->put(host->store, "log/00000000000000000002", "other", 5, 0));
    sl_error *error = commit(host);
    ck_assert(sl_error_is(error, SL_ERROR_CONFLICT));
    sl_error_free(error);
    free_host(host);
}
END_TEST

START_TEST(lost_or_foreign_state_is_refused) {
    random_state = 5;
    make_events();
    struct host *host = new_host(&tumbling);
    ok(start(host));
    for (int s = 0; s < STREAMS; s++) {
        feed_all(host, s);
    }
    commit_all(host);
    ck_assert_int_gt(host->reader.position[0], 0);
    crash(host);
    /* other aggregates: the state does not fit */
    host->options.aggregates.count = 3;
    sl_error *error = start(host);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    ck_assert_ptr_nonnull(strstr(sl_error_message(error), "other windows, group columns or"));
    sl_error_free(error);
    crash(host);
    host->options.aggregates.count = 4;
    /* a damaged entry */
    ok(host->store->ops->put(host->store, "log/00000000000000000002", "SLGA\1damaged entry", 19,
                             0));
    error = start(host);
    ck_assert(sl_error_is(error, SL_ERROR_CORRUPT));
    sl_error_free(error);
    crash(host);
    /* the reader is ahead of an empty state */
    ok(host->store->ops->remove(host->store, "log/00000000000000000002"));
    ok(host->store->ops->remove(host->store, "log/00000000000000000001"));
    error = start(host);
    ck_assert(sl_error_is(error, SL_ERROR_FATAL));
    ck_assert_ptr_nonnull(strstr(sl_error_message(error), "the state was lost"));
    sl_error_free(error);
    free_host(host);
}
END_TEST

START_TEST(snapshots_bound_the_chain) {
    random_state = 6;
    make_events();
    struct host *host = new_host(&tumbling);
    host->options.keep_us = 60 * SECOND;
    ok(start(host));
    /* many small commits: more than entries per snapshot */
    for (int round = 0; round < 1300; round++) {
        int s = round % STREAMS;
        feed(host, s, 1, false);
        flush(host, s % LANES);
        host->now_us = sl_now_us() + 3600 * SECOND; /* all that is there is old */
        ok(commit(host));
        read_some(host, SIZE_MAX);
    }
    sl_store_entry entry;
    sl_error *error = host->store->ops->stat(host->store, "log/00000000000000000001", &entry);
    ck_assert(sl_error_is(error, SL_ERROR_NOT_FOUND));
    sl_error_free(error);
    crash(host);
    ok(start(host));
    for (int s = 0; s < STREAMS; s++) {
        feed_all(host, s);
    }
    commit_all(host);
    check_reader(host, false);
    free_host(host);
}
END_TEST

/* One life from open to commit, up to the first error; what is open is closed. */
static sl_error *short_life(struct host *host, const struct ArrowArray *rows) {
    sl_input input = {"silver", &host->schema};
    sl_node_context context = {.struct_bytes = sizeof(context),
                               .services = &services,
                               .self = &host->object,
                               .name = "gold",
                               .config = &host->options,
                               .inputs = &input,
                               .n_inputs = 1,
                               .lanes = 1};
    sl_task_context task_context = {sizeof(task_context), 0, &services, &host->object};
    sl_position position = {.stream = &host->streams[0], .key = "key/0"};
    sl_attach how = {.struct_bytes = sizeof(how), .position = SL_OFFSET_NONE};
    sl_request requests[5] = {0};
    sl_task *task = NULL;
    void *piece = NULL;
    void *none = NULL;
    sl_batch batch = {.struct_bytes = sizeof(batch),
                      .schema = &host->schema,
                      .columns = rows,
                      .rows = rows->length,
                      .stream = &host->streams[0],
                      .next_offset = 5000};
    sl_error *error = node_ops(host)->open(&context, &host->node);
    if (error != NULL) {
        return error;
    }
    node_ops(host)->start(host->node, &requests[0]);
    error = requests[0].error;
    error = error != NULL ? error : task_ops(host)->open(host->node, &task_context, &task);
    if (error == NULL) {
        node_ops(host)->recover(host->node, &position, 1, &requests[1]);
        error = requests[1].error;
    }
    if (error == NULL) {
        node_ops(host)->resume(host->node, &host->own[0], 0, SL_OFFSET_NONE, &none, &requests[2]);
        error = requests[2].error;
    }
    if (error == NULL) {
        node_ops(host)->resume(host->node, &host->streams[0], 0, SL_OFFSET_NONE, &how.handle,
                               &requests[3]);
        error = requests[3].error;
    }
    error = error != NULL ? error : task_ops(host)->attach(task, &host->streams[0], &how);
    error = error != NULL ? error : task_ops(host)->process(task, 0, &batch);
    if (error == NULL) {
        task_ops(host)->flush(task, &piece, &requests[4]);
        error = requests[4].error;
    }
    if (error == NULL) {
        sl_request committed = {0};
        position.from = SL_OFFSET_NONE;
        position.to = 5000;
        sl_commit commit = {.struct_bytes = sizeof(commit),
                            .positions = &position,
                            .n_positions = 1,
                            .pieces = &piece,
                            .n_pieces = 1};
        node_ops(host)->commit(host->node, &commit, &committed);
        error = committed.error;
        if (error != NULL) {
            node_ops(host)->drop_piece(host->node, piece);
        }
    }
    if (task != NULL) {
        task_ops(host)->close(task);
    }
    node_ops(host)->close(host->node);
    return error;
}

START_TEST(each_allocation_fails) {
    random_state = 9;
    make_events();
    struct ArrowArray rows;
    struct ArrowSchema schema = event_schema();
    sl_builder b;
    ok(sl_builder_init(&b, &schema));
    for (int i = 0; i < 400; i++) {
        append_event(&b, &events[i]);
    }
    ok(sl_builder_finish(&b, &rows));
    sl_builder_free(&b);
    bool all = false;
    long failures = 0;
    for (long n = 0; !all; n++) {
        long live_before = live;
        struct host *host = new_host(&tumbling);
        allowed = n;
        sl_error *error = short_life(host, &rows);
        all = allowed != 0; /* some were not even needed */
        allowed = -1;
        ck_assert_msg(error == NULL || (!all && sl_error_is(error, SL_ERROR_NO_MEMORY)), "%ld: %s",
                      n, error == NULL ? "" : sl_error_message(error));
        failures += error != NULL ? 1 : 0;
        sl_error_free(error);
        host->node = NULL;
        free_host(host);
        ck_assert_msg(n == 0 || live == live_before, "%ld: %ld blocks left", n, live - live_before);
    }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ck_assert_int_gt(failures, 100);
#endif
    rows.release(&rows);
    schema.release(&schema);
}
END_TEST

START_TEST(bad_windows_are_refused) {
    static const struct window_options none = {0, NULL, 0};
    static const struct window_options two = {SECOND, NULL, SECOND};
    const struct window_options *bad[] = {&none, &two};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(bad); i++) {
        struct host *host = new_host(bad[i]);
        sl_error *error = start(host);
        ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
        ck_assert_ptr_nonnull(strstr(sl_error_message(error), "exactly one of"));
        sl_error_free(error);
        free_host(host);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gold-agg");
    TCase *cases = tcase_create("gold-agg");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, tumbling_survives_everything);
    tcase_add_test(cases, sessions_survive_everything);
    tcase_add_test(cases, idle_streams_hold_nothing_open);
    tcase_add_test(cases, all_streams_idle);
    tcase_add_test(cases, runs_to_the_end_wait_for_no_time);
    tcase_add_test(cases, a_second_writer_is_fenced);
    tcase_add_test(cases, lost_or_foreign_state_is_refused);
    tcase_add_test(cases, snapshots_bound_the_chain);
    tcase_add_test(cases, each_allocation_fails);
    tcase_add_test(cases, bad_windows_are_refused);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
