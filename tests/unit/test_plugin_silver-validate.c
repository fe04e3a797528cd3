/*
 * silver-validate under a small host of this test's own: rows, rejects, computed columns; and
 * deduplication with random flushes, commits, failing stores and crashes, where every replay must
 * answer as a plain model of the definition does.
 */
#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "columns/raw.h"
#include "columns/rejects.h"
#include "sluice/plugin.h"
#include "store/store.h"

#define PLUGIN SL_BUILD_DIR "/plugins/silver-validate.so"
#define SECOND INT64_C(1000000)
enum { STREAMS = 3, RECORDS = 600, MANY = 3000 };

static uint64_t random_state;

static uint64_t random_u64(void) { /* splitmix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static int64_t below(int64_t n) {
    return (int64_t)(random_u64() % (uint64_t)n);
}

static void ok(sl_error *error) {
    if (error != NULL) {
        ck_abort_msg("%s", sl_error_message(error));
    }
}

/* ---- the plugin's config, as the option parser would make it ---- */

struct dedup_options { /* in the order of the plugin's struct */
    sl_list key;
    int64_t within_us;
    int64_t max_ahead_us;
    int64_t keep_us;
    int64_t memory_bytes;
    const char *spill;
};
struct options {
    const char *schema;
    sl_map coerce;
    sl_map computed;
    const struct dedup_options *deduplicate;
    int32_t rescue;
    int32_t duplicate_keys;
    int32_t check_formats;
    int64_t max_depth;
    int64_t max_record_bytes;
};

static const char *const KEY[] = {"id"};

static char *write_schema(const char *text) {
    char *path = strdup("/tmp/silver-test-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void remove_schema(char *path) {
    unlink(path);
    free(path);
}

/* ---- the host ---- */

struct sl_request {
    bool done;
    sl_error *error;
};

/* What became of the records: by stream and offset. */
enum outcome { NONE, ROW, REJECT, DUPLICATE };

typedef struct record {
    char value[160];
    bool null;
    int64_t time_us; /* -1: none */
    enum outcome expected;
} record;

typedef struct host {
    const sl_plugin *plugin;
    sl_services services;
    sl_store *store;
    sl_node *node;
    sl_task *task;
    char *schema; /* a file */
    struct options options;
    sl_stream streams[STREAMS];
    const record *records[STREAMS]; /* by offset */
    int64_t durable[STREAMS];       /* what recover says */
    int64_t flushed[STREAMS];       /* processed when the last flush was */
    int64_t processed[STREAMS];     /* next offset */
    enum outcome seen[STREAMS][MANY];
    sl_buffer text; /* emitted rows as JSON lines, when asked for */
    bool keep_text;
    bool intolerant; /* errors.tolerance: none */
    int64_t now_us;
    int warnings;
    void (*timer)(void *arg); /* that runs; its argument is the node */
    int64_t covered;
    int64_t dropped;
} host;

static host *the_host;

static void service_done(sl_request *request, sl_error *error) {
    ck_assert(!request->done);
    request->done = true;
    request->error = error;
}

static void note(uint32_t output, const sl_emission *emission) {
    struct ArrowSchema schema;
    const struct ArrowArray *columns = emission->columns;
    ok(the_host->plugin->transform->node->output_schema(the_host->node, output, &schema));
    ok(sl_array_check(&schema, columns));
    ck_assert_uint_eq(output, 0);
    int64_t at = sl_schema_find(&schema, "_offset");
    const int64_t *offsets = columns->children[at]->buffers[1];
    for (int64_t row = 0; row < columns->length; row++) {
        ck_assert_int_ge(offsets[row], emission->first_offset);
        ck_assert_int_lt(offsets[row], emission->next_offset);
        the_host->seen[emission->stream->index][offsets[row]] = ROW;
        if (the_host->keep_text) {
            sl_array_append_json(&schema, columns, row, &the_host->text);
            sl_buffer_append_byte(&the_host->text, '\n');
        }
    }
    schema.release(&schema);
}

static sl_error *service_emit(sl_object *self, uint32_t output, sl_emission *emission) {
    (void)self;
    the_host->covered += emission->next_offset - emission->first_offset;
    if (emission->columns != NULL) {
        note(output, emission);
        emission->columns->release(emission->columns);
    }
    return NULL;
}

static sl_error *service_reject(sl_object *self, const sl_batch *batch, int64_t row,
                                const sl_reject *why) {
    (void)self;
    if (the_host->intolerant) {
        return sl_error_new(SL_ERROR_RECORD, "row %d", (int)row);
    }
    int64_t offset = sl_rejects_offset(batch, row);
    the_host->seen[batch->stream->index][offset] = REJECT;
    if (the_host->keep_text) {
        sl_buffer_printf(&the_host->text, "%d %.*s %.*s %.*s\n", (int)offset,
                         (int)why->reason_bytes, why->reason, (int)why->path_bytes, why->path,
                         (int)why->detail_bytes, why->detail);
    }
    return NULL;
}

static void service_dropped(sl_object *self, const sl_stream *stream, const char *reason,
                            int64_t rows) {
    (void)self;
    (void)stream;
    ck_assert_str_eq(reason, "duplicate");
    the_host->dropped += rows;
}

static sl_store *service_state_store(sl_object *self) {
    (void)self;
    return the_host->store;
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

static void service_log(sl_object *self, sl_log_level level, const char *format, ...) {
    (void)self;
    (void)format;
    the_host->warnings += level == SL_LOG_WARN;
}

/* Nothing is parked for so long here. */
static sl_error *service_timer_start(sl_object *self, uint64_t delay_ms, uint64_t repeat_ms,
                                     void (*fn)(void *arg), void *arg, sl_timer **out) {
    (void)self;
    (void)delay_ms;
    (void)repeat_ms;
    the_host->timer = fn;
    *out = arg;
    return NULL;
}

static void service_timer_stop(sl_timer *timer) {
    (void)timer;
    the_host->timer = NULL;
}

static int64_t service_now(sl_object *self) {
    (void)self;
    return the_host->now_us;
}

/* Runs an operation that ends by its request at once. */
#define RUN(call, request)                                                                         \
    sl_request request = {0};                                                                      \
    call;                                                                                          \
    ck_assert(request.done)

/* deduplicate: NULL, or what outlives the host. */
static host *host_new(const char *schema, const struct dedup_options *deduplicate) {
    host *h = calloc(1, sizeof(*h));
    void *library = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library != NULL, "%s", dlerror());
    h->plugin = dlsym(library, SL_PLUGIN_SYMBOL);
    ck_assert_ptr_nonnull(h->plugin);
    ck_assert_uint_eq(h->plugin->transform->config_bytes, sizeof(struct options));
    ok(sl_store_open_memory(&h->store));
    h->services = (sl_services){.struct_bytes = sizeof(sl_services),
                                .done = service_done,
                                .emit = service_emit,
                                .dropped = service_dropped,
                                .reject = service_reject,
                                .state_store = service_state_store,
                                .metric = service_metric,
                                .metric_add = service_metric_value,
                                .metric_set = service_metric_value,
                                .log = service_log,
                                .timer_start = service_timer_start,
                                .timer_stop = service_timer_stop,
                                .now_us = service_now};
    for (uint32_t i = 0; i < STREAMS; i++) {
        h->streams[i] = (sl_stream){.struct_bytes = sizeof(sl_stream),
                                    .index = i,
                                    .source = "events",
                                    .topic = "topic",
                                    .partition = (int32_t)i};
        h->durable[i] = SL_OFFSET_NONE;
    }
    h->schema = write_schema(schema);
    h->options = (struct options){.schema = h->schema,
                                  .deduplicate = deduplicate,
                                  .max_depth = 64,
                                  .max_record_bytes = 1 << 20};
    the_host = h;
    return h;
}

static sl_error *host_open(host *h) {
    struct ArrowSchema raw;
    ok(sl_raw_schema(&raw));
    sl_input input = {"events", &raw};
    sl_node_context context = {.struct_bytes = sizeof(context),
                               .services = &h->services,
                               .pipeline = "p",
                               .name = "silver",
                               .config = &h->options,
                               .inputs = &input,
                               .n_inputs = 1,
                               .lanes = 1};
    sl_error *error = h->plugin->transform->node->open(&context, &h->node);
    if (error == NULL) {
        sl_task_context task = {.struct_bytes = sizeof(task), .services = &h->services};
        ok(h->plugin->transform->task->open(h->node, &task, &h->task));
    }
    raw.release(&raw);
    return error;
}

static void host_key(uint32_t stream, char *out) {
    sprintf(out, "sluice/p/silver/events/events/topic/%u", stream);
}

/* Recovers a stream and begins to read at `offset` (at most its position), or at the position. */
static void host_attach(host *h, uint32_t i, int64_t offset) {
    char key[80];
    const sl_node_ops *ops = h->plugin->transform->node;
    host_key(i, key);
    sl_position position = {.stream = &h->streams[i], .key = key};
    RUN(ops->recover(h->node, &position, 1, &request), request);
    ok(request.error);
    ck_assert_int_eq(position.from, h->durable[i]);
    sl_attach how = {.struct_bytes = sizeof(how), .offset = offset, .position = position.from};
    RUN(ops->resume(h->node, &h->streams[i], offset, position.from, &how.handle, &resumed),
        resumed);
    ok(resumed.error);
    ok(h->plugin->transform->task->attach(h->task, &h->streams[i], &how));
    h->processed[i] = h->flushed[i] = offset;
}

/* Opens it with all streams from their first record. */
static void host_start(host *h) {
    ok(host_open(h));
    for (uint32_t i = 0; i < STREAMS; i++) {
        host_attach(h, i, 0);
    }
}

static void host_detach(host *h, uint32_t i) {
    h->plugin->transform->task->detach(h->task, &h->streams[i]);
    h->plugin->transform->node->suspend(h->node, &h->streams[i]);
}

static void host_close(host *h) {
    if (h->task != NULL) {
        for (uint32_t i = 0; i < STREAMS; i++) {
            host_detach(h, i);
        }
        h->plugin->transform->task->close(h->task);
    }
    if (h->node != NULL) {
        h->plugin->transform->node->close(h->node);
    }
    h->task = NULL;
    h->node = NULL;
}

static void host_free(host *h) {
    host_close(h);
    remove_schema(h->schema);
    h->store->ops->close(h->store);
    sl_buffer_free(&h->text);
    free(h);
}

/* Flushes and commits all streams; false when the commit failed. */
static bool host_commit(host *h, bool drop) {
    const sl_role *role = h->plugin->transform;
    void *piece = NULL;
    char keys[STREAMS][80];
    sl_position positions[STREAMS];
    size_t n = 0;
    RUN(role->task->flush(h->task, &piece, &request), request);
    ok(request.error);
    for (uint32_t i = 0; i < STREAMS; i++) {
        /* the host never moves a position back */
        if (h->processed[i] > h->durable[i]) {
            host_key(i, keys[n]);
            positions[n++] = (sl_position){.stream = &h->streams[i],
                                           .key = keys[n - 1],
                                           .from = h->durable[i],
                                           .to = h->processed[i]};
        }
    }
    sl_commit commit = {.struct_bytes = sizeof(commit),
                        .positions = positions,
                        .n_positions = n,
                        .pieces = &piece,
                        .n_pieces = piece != NULL};
    if (drop || n == 0) {
        if (piece != NULL) {
            role->node->drop_piece(h->node, piece);
        }
        return !drop;
    }
    for (int attempt = 0; attempt < 20; attempt++) {
        RUN(role->node->commit(h->node, &commit, &committed), committed);
        if (committed.error == NULL) {
            for (size_t k = 0; k < n; k++) {
                h->durable[positions[k].stream->index] = positions[k].to;
            }
            return true;
        }
        ck_assert_msg(sl_error_is(committed.error, SL_ERROR_RETRIABLE), "%s",
                      sl_error_message(committed.error));
        sl_error_free(committed.error);
    }
    ck_abort_msg("the commit does not come to an end");
    return false;
}

/* All that read of the streams have what is durable here. */
static void host_acknowledge(host *h) {
    for (uint32_t i = 0; i < STREAMS; i++) {
        if (h->durable[i] >= 0) {
            h->plugin->transform->node->acknowledge(h->node, &h->streams[i], h->durable[i]);
        }
    }
}

/* ---- records ---- */

static void process(host *h, uint32_t i, int64_t n) {
    const record *records = h->records[i];
    sl_raw_builder builder;
    struct ArrowArray columns;
    struct ArrowSchema schema;
    int64_t first = h->processed[i];
    ok(sl_raw_builder_init(&builder));
    ok(sl_raw_schema(&schema));
    for (int64_t k = first; k < first + n; k++) {
        const record *r = &records[k];
        const char *value = r->null ? NULL : r->value;
        ck_assert(sl_raw_append(&builder, NULL, 0, value, value == NULL ? 0 : strlen(value),
                                r->time_us, k) &&
                  sl_raw_end_row(&builder));
    }
    ok(sl_builder_finish(&builder.root, &columns));
    sl_batch batch = {.struct_bytes = sizeof(batch),
                      .schema = &schema,
                      .columns = &columns,
                      .rows = n,
                      .stream = &h->streams[i],
                      .first_offset = first,
                      .next_offset = first + n};
    for (int64_t k = first; k < first + n; k++) {
        h->seen[i][k] = DUPLICATE; /* unless it comes out */
    }
    ok(h->plugin->transform->task->process(h->task, 0, &batch));
    for (int64_t k = first; k < first + n; k++) {
        ck_assert_msg(h->seen[i][k] == records[k].expected,
                      "stream %u offset %lld: %d, expected %d: %s", i, (long long)k, h->seen[i][k],
                      records[k].expected, records[k].value);
    }
    h->processed[i] = first + n;
    columns.release(&columns);
    schema.release(&schema);
    sl_raw_builder_free(&builder);
}

#define ID_SCHEMA                                                                                  \
    "{\"type\":\"object\",\"required\":[\"v\"],\"properties\":{\"id\":{\"type\":[\"string\","      \
    "\"null\"]},\"v\":{\"type\":\"integer\",\"minimum\":0}}}"

/* Random records of one stream, with what the definition says of each. */
static void make_records(record *records, int64_t within_us, int64_t max_ahead_us) {
    int64_t last[40]; /* clock of the last occurrence of each key, -1: none */
    int64_t clock_us = 0, base_us = 1000 * SECOND;
    bool known = false;
    for (int k = 0; k < 40; k++) {
        last[k] = -1;
    }
    for (int64_t k = 0; k < RECORDS; k++) {
        record *r = &records[k];
        int64_t key = below(40);
        bool valid = below(10) != 0, has_key = below(12) != 0;
        base_us += below(SECOND);
        base_us += below(60) == 0 ? 3 * within_us : 0; /* a gap */
        r->time_us =
            below(15) == 0 ? -1 : base_us - below(3 * SECOND) + (below(80) == 0) * 90 * SECOND;
        r->null = !valid && below(3) == 0;
        if (has_key) {
            snprintf(r->value, sizeof(r->value), "{\"id\":\"key-%lld\",\"v\":%s}", (long long)key,
                     valid ? "1" : "-1");
        } else {
            snprintf(r->value, sizeof(r->value), "{\"id\":null,\"v\":%s}", valid ? "2" : "x");
        }
        if (r->time_us >= 0 && (!known || r->time_us > clock_us)) {
            int64_t most = known && max_ahead_us != 0 ? clock_us + max_ahead_us : INT64_MAX;
            clock_us = r->time_us < most ? r->time_us : most;
            known = true;
        }
        r->expected = valid ? ROW : REJECT;
        if (valid && has_key) {
            if (last[key] >= 0 && clock_us - last[key] <= within_us) {
                r->expected = DUPLICATE;
            }
            last[key] = clock_us;
        }
    }
}

static void run_random(uint64_t seed) {
    static record records[STREAMS][RECORDS];
    random_state = seed;
    struct dedup_options dedup = {.key = {1, KEY},
                                  .within_us = (1 + below(40)) * SECOND,
                                  .max_ahead_us = below(2) * 20 * SECOND,
                                  .keep_us = below(2) * 3600 * SECOND,
                                  .memory_bytes = below(2) == 0 ? 0 : 1 << 20,
                                  .spill = "/tmp"};
    host *h = host_new(ID_SCHEMA, &dedup);
    for (uint32_t i = 0; i < STREAMS; i++) {
        make_records(records[i], dedup.within_us, dedup.max_ahead_us);
        h->records[i] = records[i];
    }
    host_start(h);
    for (bool busy = true; busy;) {
        uint32_t i = (uint32_t)below(STREAMS);
        int64_t left = RECORDS - h->processed[i];
        int64_t n = 1 + below(30);
        process(h, i, n < left ? n : left);
        if (below(6) == 0) {
            if (below(4) == 0) {
                sl_store_fault fault = below(2) ? SL_STORE_FAULT_AFTER : SL_STORE_FAULT_BEFORE;
                sl_store_memory_fail(h->store, SL_STORE_OP_PUT, ".seg", 1 + below(2), fault,
                                     SL_ERROR_RETRIABLE);
            }
            if (below(8) == 0) { /* a merge or a deletion that fails half way */
                sl_store_op op = below(2) ? SL_STORE_OP_PUT : SL_STORE_OP_REMOVE;
                sl_store_memory_fail(
                    h->store, op, op == SL_STORE_OP_PUT ? "-" : ".seg", 1 + below(3),
                    below(2) ? SL_STORE_FAULT_AFTER : SL_STORE_FAULT_BEFORE, SL_ERROR_RETRIABLE);
            }
            h->now_us += below(3) == 0 ? below(600) * SECOND : SECOND;
            host_commit(h, false);
            if (dedup.keep_us == 0) {
                host_acknowledge(h);
            }
        }
        if (below(15) == 0) { /* taken away and given back, at times with rows not committed */
            int64_t position = h->durable[i] < 0 ? 0 : h->durable[i];
            host_detach(h, i);
            host_attach(h, i, position);
        }
        if (below(25) == 0) { /* a crash: what was not committed is gone; sinks may lag behind us */
            if (below(2) == 0) {
                host_commit(h, true);
            }
            host_close(h);
            ok(host_open(h));
            for (uint32_t k = 0; k < STREAMS; k++) {
                int64_t position = h->durable[k] < 0 ? 0 : h->durable[k];
                /* nothing older is kept without `keep` */
                int64_t lag = dedup.keep_us == 0 ? 0 : below(position / 4 + 1);
                host_attach(h, k, position - lag);
            }
        }
        busy = false;
        for (uint32_t k = 0; k < STREAMS; k++) {
            busy = busy || h->processed[k] < RECORDS;
        }
    }
    host_commit(h, false);
    host_free(h);
}

START_TEST(replays_answer_the_same) {
    for (uint64_t seed = 0; seed < 40; seed++) {
        run_random(seed * 1000 + 7);
    }
}
END_TEST

/* ---- merging ---- */

static int count_entry(const sl_store_entry *entry, void *arg) {
    (void)entry;
    ++*(size_t *)arg;
    return 0;
}

static size_t count_segments(host *h) {
    size_t n = 0;
    ok(h->store->ops->list(h->store, "", NULL, 1, count_entry, &n));
    return n;
}

#define KEEP (86400 * SECOND)

/* A host with one stream in use, whose records come one a second, each committed by itself. */
static host *host_with_small_segments(int64_t keep_us) {
    static record records[MANY];
    static struct dedup_options dedup;
    dedup = (struct dedup_options){
        .key = {1, KEY}, .within_us = 150 * SECOND, .keep_us = keep_us, .spill = "/tmp"};
    for (int64_t k = 0; k < MANY; k++) {
        bool again = k >= 100 && k % 7 == 0; /* the key of 100 s before */
        snprintf(records[k].value, sizeof(records[k].value), "{\"id\":\"key-%lld\",\"v\":1}",
                 (long long)(again ? k - 100 : k));
        records[k].time_us = (1000 + k) * SECOND;
        records[k].expected = again && (k - 100) % 7 != 0 ? DUPLICATE : ROW;
    }
    host *h = host_new(ID_SCHEMA, &dedup);
    h->records[0] = records;
    host_start(h);
    return h;
}

static void commit_each(host *h, int64_t n) {
    for (int64_t i = 0; i < n && h->processed[0] < MANY; i++) {
        process(h, 0, 1);
        h->now_us += SECOND;
        host_commit(h, false);
    }
}

/* Every stream goes on `lag` records before what is durable. */
static void host_restart(host *h, int64_t lag) {
    host_close(h);
    ok(host_open(h));
    for (uint32_t i = 0; i < STREAMS; i++) {
        int64_t position = h->durable[i] < 0 ? 0 : h->durable[i];
        host_attach(h, i, position < lag ? 0 : position - lag);
    }
}

START_TEST(small_segments_are_merged) {
    host *h = host_with_small_segments(KEEP);
    commit_each(h, MANY - 50);
    /* those of the last five minutes, an unfinished block of each level */
    ck_assert_uint_lt(count_segments(h), 300 + 64 + 16 + 16 + 2 * 64);
    ck_assert_int_eq(h->warnings, 0);
    host_restart(h, MANY / 2);
    process(h, 0, MANY / 2);
    commit_each(h, 50);
    host_free(h);
}
END_TEST

/* ---- deleting ---- */

/* A sink that is paused is left out of the stream, which begins where the others are; nothing is
 * acknowledged meanwhile. When it goes on, the stream begins where it had come to. */
START_TEST(what_somebody_is_left_out_of_is_kept) {
    host *h = host_with_small_segments(0);
    commit_each(h, 300);
    host_restart(h, 0);
    commit_each(h, 300);
    host_restart(h, 600);
    process(h, 0, 600);
    host_acknowledge(h);
    size_t there = count_segments(h);
    commit_each(h, 100);
    ck_assert_uint_lt(count_segments(h), there); /* now it is deleted */
    host_free(h);
}
END_TEST

/* The same where the streams are taken away and given back to a process that goes on. */
START_TEST(what_is_given_back_is_acknowledged_by_nobody) {
    host *h = host_with_small_segments(0);
    commit_each(h, 300);
    for (uint32_t i = 0; i < STREAMS; i++) {
        h->plugin->transform->task->detach(h->task, &h->streams[i]);
        h->plugin->transform->node->suspend(h->node, &h->streams[i]);
        host_attach(h, i, h->durable[i] < 0 ? 0 : h->durable[i]);
    }
    commit_each(h, 300);
    host_restart(h, 600);
    process(h, 0, 600);
    host_free(h);
}
END_TEST

/* The first segment of a stream that has a start and no record yet holds no clock. */
START_TEST(an_empty_first_segment_goes_with_the_next) {
    host *h = host_with_small_segments(500 * SECOND);
    ck_assert(host_commit(h, false)); /* each stream begins at 0 */
    for (int i = 0; i < 200; i++) {
        commit_each(h, 1);
        host_acknowledge(h);
    }
    host_restart(h, 200);
    process(h, 0, 200);
    host_free(h);
}
END_TEST

/* The process ends at the nth operation of its kind on a merge, which has taken effect or not. */
static void kill_merge(sl_store_op op, const char *part, int64_t nth, sl_store_fault fault) {
    host *h = host_with_small_segments(KEEP);
    int64_t before = sl_store_memory_calls(h->store, SL_STORE_OP_REMOVE);
    sl_store_memory_fail(h->store, op, part, nth, fault, SL_ERROR_FATAL);
    while (h->processed[0] < MANY - 100 && h->warnings == 0) {
        int64_t removed = sl_store_memory_calls(h->store, SL_STORE_OP_REMOVE) - before;
        if (op == SL_STORE_OP_REMOVE && removed >= nth) {
            break;
        }
        commit_each(h, 1);
    }
    ck_assert_int_lt(h->processed[0], MANY - 100); /* it was hit */
    host_restart(h, 200);
    commit_each(h, 700);
    ck_assert_uint_lt(count_segments(h), 300 + 64 + 16 + 16 + 2 * 64);
    host_restart(h, h->durable[0]);
    process(h, 0, MANY);
    host_free(h);
}

START_TEST(a_merge_may_end_anywhere) {
    for (int64_t nth = 1; nth <= 3; nth++) {
        for (int after = 0; after < 2; after++) {
            sl_store_fault fault = after ? SL_STORE_FAULT_AFTER : SL_STORE_FAULT_BEFORE;
            kill_merge(SL_STORE_OP_GET, ".seg", 20 * nth, fault);
            kill_merge(SL_STORE_OP_PUT, "-", nth, fault);
            kill_merge(SL_STORE_OP_REMOVE, ".seg", 25 * nth, fault);
        }
    }
}
END_TEST

/* A writer stands still; another one goes on and merges what would be in the first one's way. */
START_TEST(a_writer_that_stood_still_is_fenced_by_merged_segments) {
    host *h = host_with_small_segments(KEEP);
    commit_each(h, 100);
    process(h, 0, 1);
    sl_node *node = h->node;
    sl_task *task = h->task;
    ok(host_open(h));
    host_attach(h, 0, 100);
    commit_each(h, 600);
    sl_node *other_node = h->node;
    sl_task *other_task = h->task;
    h->node = node;
    h->task = task;
    size_t there = count_segments(h);
    sl_position position = {.stream = &h->streams[0], .key = "", .from = 100, .to = 101};
    sl_commit commit = {.struct_bytes = sizeof(commit), .positions = &position, .n_positions = 1};
    RUN(h->plugin->transform->node->commit(h->node, &commit, &request), request);
    ck_assert(sl_error_is(request.error, SL_ERROR_CONFLICT));
    sl_error_free(request.error);
    ck_assert_uint_eq(count_segments(h), there + 1); /* its own, which nobody reads */
    host_close(h);
    h->node = other_node;
    h->task = other_task;
    commit_each(h, 10);
    host_restart(h, h->durable[0]);
    process(h, 0, h->durable[0]);
    host_free(h);
}
END_TEST

/* What an attach reads: the header that holds the position, and whole segments if it must. */
static int64_t reads_of_attach(host *h) {
    int64_t before = sl_store_memory_calls(h->store, SL_STORE_OP_GET);
    host_attach(h, 0, h->durable[0]);
    return sl_store_memory_calls(h->store, SL_STORE_OP_GET) - before;
}

START_TEST(a_stream_that_comes_back_soon_is_not_loaded_again) {
    host *h = host_with_small_segments(KEEP);
    commit_each(h, 150);
    host_detach(h, 0);
    ck_assert_int_eq(reads_of_attach(h), 1);
    commit_each(h, 50); /* duplicates of the first 150 among them */
    process(h, 0, 10);
    host_detach(h, 0); /* with rows that are not durable: they come again */
    ck_assert_int_gt(reads_of_attach(h), 1);
    commit_each(h, 50);
    host_detach(h, 0);
    h->now_us += 11 * SECOND;
    h->timer(h->node);
    ck_assert(h->timer == NULL);
    ck_assert_int_gt(reads_of_attach(h), 1);
    commit_each(h, 50);
    host_free(h);
}
END_TEST

START_TEST(a_second_writer_is_fenced) {
    struct dedup_options dedup = {.key = {1, KEY}, .within_us = SECOND, .spill = "/tmp"};
    record records[4];
    for (int i = 0; i < 4; i++) {
        records[i] = (record){.value = "{\"v\":1}", .time_us = SECOND, .expected = ROW};
    }
    host *h = host_new(ID_SCHEMA, &dedup);
    h->records[0] = records;
    host_start(h);
    process(h, 0, 2);
    ck_assert(host_commit(h, false));
    /* another process commits from where this one stands */
    const char *other = "sluice%2Fp%2Fsilver%2Fevents%2Fevents%2Ftopic%2F0/"
                        "00000000000000000003.seg";
    ok(h->store->ops->put(h->store, other, "x", 1, SL_STORE_IF_ABSENT));
    process(h, 0, 2);
    sl_position position = {.stream = &h->streams[0], .key = "", .from = 2, .to = 4};
    sl_commit commit = {.struct_bytes = sizeof(commit), .positions = &position, .n_positions = 1};
    RUN(h->plugin->transform->node->commit(h->node, &commit, &request), request);
    ck_assert(sl_error_is(request.error, SL_ERROR_CONFLICT));
    sl_error_free(request.error);
    host_free(h);
}
END_TEST

START_TEST(rows_rejects_and_computed_columns) {
    static const char *const schema =
        "{\"type\":\"object\",\"required\":[\"id\"],\"properties\":{\"id\":{\"type\":\"string\"},"
        "\"ts\":{\"type\":\"string\",\"format\":\"date-time\"},\"amount\":{\"type\":\"number\","
        "\"x-sluice-type\":\"decimal(8,2)\"},\"n\":{\"type\":\"integer\"}}}";
    static const sl_pair computed[] = {{"revenue", "amount * n"},
                                       {"day", "date(ts)"},
                                       {"upper_id", "upper(concat(id, '-', 'x'))"},
                                       {"m", "coalesce(n, 0) + 1"},
                                       {"h", "-hour(ts)"},
                                       {"half", "n / 2"}};
    record records[] = {
        {.value = "{\"id\":\"a\",\"ts\":\"2026-11-22T10:30:00Z\",\"amount\":2.50,\"n\":3}",
         .time_us = 5 * SECOND,
         .expected = ROW},
        {.value = "{\"id\":7}", .time_us = 6 * SECOND, .expected = REJECT},
        {.null = true, .time_us = 7 * SECOND, .expected = REJECT},
        {.value = "{\"id\":\"b\"}", .time_us = 8 * SECOND, .expected = ROW},
    };
    host *h = host_new(schema, NULL);
    h->options.computed = (sl_map){6, computed};
    h->records[1] = records;
    h->keep_text = true;
    host_start(h);
    process(h, 1, 4);
    ck_assert_int_eq(h->covered, 4);
    ck_assert_str_eq(
        sl_buffer_text(&h->text),
        "1 type $.id found 7, allowed type: string\n"
        "2 null_value $ the record has no value\n"
        "{\"id\":\"a\",\"ts\":\"2026-11-22T10:30:00Z\",\"amount\":2.50,\"n\":3,\"revenue\":7.5,"
        "\"day\":\"2026-11-22\",\"upper_id\":\"A-X\",\"m\":4,\"h\":-10,\"half\":1.5,"
        "\"_topic\":\"topic\",\"_partition\":1,\"_offset\":0}\n"
        "{\"id\":\"b\",\"ts\":null,\"amount\":null,\"n\":null,\"revenue\":null,\"day\":null,"
        "\"upper_id\":\"B-X\",\"m\":1,\"h\":null,\"half\":null,\"_topic\":\"topic\","
        "\"_partition\":1,\"_offset\":3}\n");
    host_free(h);
}
END_TEST

static void refuses(const char *schema, const sl_pair *computed, const struct dedup_options *dedup,
                    const char *message) {
    host *h = host_new(schema, dedup);
    h->options.computed = (sl_map){computed != NULL, computed};
    sl_error *error = host_open(h);
    ck_assert_msg(error != NULL, "accepted, expected: %s", message);
    ck_assert_int_eq(sl_error_get_class(error), SL_ERROR_CONFIG);
    ck_assert_msg(strstr(sl_error_message(error), message) != NULL, "%s", sl_error_message(error));
    sl_error_free(error);
    h->node = NULL;
    host_free(h);
}

START_TEST(bad_options_name_the_place) {
    static const sl_pair cases[] = {
        {"x", "idd"},           {"x", "lower(v)"}, {"x", "v +"},         {"x", "sqrt(v)"},
        {"x", "concat(id, v)"}, {"x", "'abc"},     {"V", "v"},           {"x", "v v"},
        {"_offset", "v"},       {"x", "id * 2"},   {"x", "round(v, 2)"}, {"x", "(v"},
    };
    static const char *const messages[] = {
        "idd",
        "lower takes a string here, found a integer",
        "expected a column",
        "no such function",
        "concat takes a string here",
        "no closing quote",
        "two columns \"v\" and \"V\"",
        "expected an operator or the end",
        "two columns \"_offset\" and \"_offset\"",
        "'*' is for numbers",
        "too many arguments",
        "expected ')'",
    };
    for (size_t i = 0; i < SL_ARRAY_LENGTH(cases); i++) {
        refuses(ID_SCHEMA, &cases[i], NULL, messages[i]);
    }
    refuses("{\"type\":\"object\",\"properties\":{\"_topic\":{}}}", NULL, NULL, "_topic");
    refuses("{", NULL, NULL, "line 1");
    static const char *const wrong[] = {"idd"};
    struct dedup_options dedup = {.key = {1, wrong}, .within_us = SECOND, .spill = "/tmp"};
    refuses(ID_SCHEMA, NULL, &dedup, "deduplicate.key");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("silver-validate");
    TCase *cases = tcase_create("silver-validate");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, replays_answer_the_same);
    tcase_add_test(cases, a_stream_that_comes_back_soon_is_not_loaded_again);
    tcase_add_test(cases, a_second_writer_is_fenced);
    tcase_add_test(cases, small_segments_are_merged);
    tcase_add_test(cases, a_merge_may_end_anywhere);
    tcase_add_test(cases, what_somebody_is_left_out_of_is_kept);
    tcase_add_test(cases, what_is_given_back_is_acknowledged_by_nobody);
    tcase_add_test(cases, an_empty_first_segment_goes_with_the_next);
    tcase_add_test(cases, a_writer_that_stood_still_is_fenced_by_merged_segments);
    tcase_add_test(cases, rows_rejects_and_computed_columns);
    tcase_add_test(cases, bad_options_name_the_place);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
