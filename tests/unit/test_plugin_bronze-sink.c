/*
 * bronze-sink's plain files under small hosts of the test's own: random flushes, commits, failing
 * stores, crashes, and two hosts that share one state and hand streams to each other. Whatever
 * happens, every record is in the files once.
 */
#include <check.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "columns/raw.h"
#include "sluice/plugin.h"
#include "store/store.h"

#define STREAMS 3
#define HOSTS 2
#define RECORDS 400

struct sl_request {
    int done;
    sl_error *error;
};

static void ok(sl_error *error) {
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
}

static uint64_t random_state;

static uint64_t below(uint64_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % n;
}

/* ---- services ---- */

static sl_store *files;
static sl_store *state;
static sl_store_ops shared_ops; /* a store in memory that outlives whoever closes it */

static void close_nothing(sl_store *store) {
    (void)store;
}

static sl_error *error_new(sl_error_class error_class, const char *message) {
    return sl_error_new(error_class, "%s", message);
}

static void done(sl_request *request, sl_error *error) {
    ck_assert_int_eq(request->done, 0);
    request->done = 1;
    request->error = error;
}

static void hold(sl_object *self, size_t bytes) {
    (void)self;
    (void)bytes;
}

static sl_error *store_open(sl_object *self, const char *url, sl_store **out) {
    (void)self;
    (void)url;
    *out = files;
    return NULL;
}

static sl_store *state_store(sl_object *self) {
    (void)self;
    return state;
}

static int64_t now_us(sl_object *self) {
    (void)self;
    return INT64_C(1700000000000000);
}

static void log_line(sl_object *self, sl_log_level level, const char *format, ...) {
    (void)self;
    (void)level;
    (void)format;
}

static sl_metric *metric(sl_object *self, sl_metric_kind kind, const char *name, const char *help) {
    (void)self;
    (void)kind;
    (void)name;
    (void)help;
    return NULL;
}

static void metric_add(sl_metric *m, int64_t amount) {
    (void)m;
    (void)amount;
}

static const sl_services services = {
    .struct_bytes = sizeof(sl_services),
    .error_new = error_new,
    .done = done,
    .hold = hold,
    .store_open = store_open,
    .state_store = state_store,
    .now_us = now_us,
    .log = log_line,
    .metric = metric,
    .metric_add = metric_add,
};

/* ---- a host ---- */

/* A stream as one host has it. */
struct reader {
    sl_stream pub;
    char key[64];
    bool attached;
    int64_t committed; /* what the node said, or commits since */
    int64_t taken;
};

struct host {
    sl_node *node; /* NULL: down */
    sl_task *task;
    struct reader readers[STREAMS];
    bool owned[STREAMS];
};

static void *library;
static const sl_role *role;
static void *config;
static struct ArrowSchema raw_schema;
static struct host hosts[HOSTS];

/* The plugin's config struct, by its own option table. */
static void set_option(const char *name, const char *text, int32_t number) {
    for (const sl_option *o = role->options; o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0) {
            char *field = (char *)config + o->offset;
            if (text != NULL) {
                memcpy(field, &text, sizeof(text));
            } else {
                memcpy(field, &number, sizeof(number));
            }
            return;
        }
    }
    ck_abort_msg("no option %s", name);
}

static void recover(struct host *host, int s) {
    struct reader *r = &host->readers[s];
    sl_position position = {&r->pub, r->key, 0, 0, SL_OFFSET_NONE, 0};
    sl_request request = {0};
    role->node->recover(host->node, &position, 1, &request);
    ck_assert_int_eq(request.done, 1);
    ok(request.error);
    void *handle = NULL;
    int64_t offset = position.from == SL_OFFSET_NONE ? 0 : position.from;
    request = (sl_request){0};
    role->node->resume(host->node, &r->pub, offset, position.from, &handle, &request);
    ck_assert_int_eq(request.done, 1);
    ok(request.error);
    const sl_attach how = {sizeof(how), 0, offset, position.from, handle};
    ok(role->task->attach(host->task, &r->pub, &how));
    r->attached = true;
    r->committed = position.from;
    r->taken = offset;
}

static void detach(struct host *host, int s) {
    if (host->readers[s].attached) {
        role->task->detach(host->task, &host->readers[s].pub);
        host->readers[s].attached = false;
    }
}

static void recover_all(struct host *host) {
    for (int s = 0; s < STREAMS; s++) {
        detach(host, s);
        if (host->owned[s]) {
            recover(host, s);
        }
    }
}

static void start(struct host *host) {
    static const sl_input inputs[] = {{"events", &raw_schema}};
    const sl_node_context context = {.struct_bytes = sizeof(context),
                                     .services = &services,
                                     .pipeline = "p",
                                     .name = "bronze",
                                     .config = config,
                                     .inputs = inputs,
                                     .n_inputs = 1,
                                     .lanes = 1};
    const sl_task_context task = {.struct_bytes = sizeof(task), .services = &services};
    sl_request request = {0};
    ok(role->node->open(&context, &host->node));
    role->node->start(host->node, &request);
    ck_assert_int_eq(request.done, 1);
    ok(request.error);
    ok(role->task->open(host->node, &task, &host->task));
    for (int s = 0; s < STREAMS; s++) {
        struct reader *r = &host->readers[s];
        *r = (struct reader){.pub = {.struct_bytes = sizeof(r->pub),
                                     .index = (uint32_t)s,
                                     .source = "events",
                                     .topic = "t",
                                     .partition = s}};
        snprintf(r->key, sizeof(r->key), "sluice/p/bronze/events/events/t/%d", s);
    }
    recover_all(host);
}

/* Ends without a flush: as if it had been killed. */
static void crash(struct host *host) {
    if (host->node == NULL) {
        return;
    }
    for (int s = 0; s < STREAMS; s++) {
        detach(host, s);
    }
    role->task->close(host->task);
    role->node->close(host->node);
    host->node = NULL;
}

/* Record `offset` of stream s exists unless the topic was compacted there. */
static bool exists(int s, int64_t offset) {
    return (offset * 7 + s) % 5 != 0;
}

static void feed(struct host *host, int s, int64_t n) {
    struct reader *r = &host->readers[s];
    sl_raw_builder b;
    struct ArrowArray columns;
    int64_t next = r->taken + n < RECORDS ? r->taken + n : RECORDS;
    ok(sl_raw_builder_init(&b));
    for (int64_t o = r->taken; o < next; o++) {
        char value[32];
        int bytes = snprintf(value, sizeof(value), "%d-%lld", s, (long long)o);
        if (exists(s, o)) {
            /* an hour is 10 records long */
            ck_assert(sl_raw_append(&b, NULL, 0, value, (size_t)bytes, o * INT64_C(360000000), o) &&
                      sl_raw_end_row(&b));
        }
    }
    ok(sl_builder_finish(&b.root, &columns));
    sl_batch batch = {.struct_bytes = sizeof(batch),
                      .schema = &raw_schema,
                      .columns = &columns,
                      .rows = columns.length,
                      .stream = &r->pub,
                      .first_offset = r->taken,
                      .next_offset = next};
    if (batch.rows > 0) { /* the host tells a sink of no other */
        ok(role->task->process(host->task, 0, &batch));
    }
    columns.release(&columns);
    sl_raw_builder_free(&b);
    r->taken = next;
}

/* One try of a commit; the answer is the caller's. */
static sl_error *try_commit(struct host *host, const sl_commit *commit) {
    sl_request request = {0};
    role->node->commit(host->node, commit, &request);
    ck_assert_int_eq(request.done, 1);
    return request.error;
}

static int conflicts; /* of all commits */

/* Flushes and commits until it is done, lost, or given up by a crash. */
static void commit(struct host *host) {
    sl_position positions[STREAMS];
    size_t n = 0;
    void *piece = NULL;
    sl_request request = {0};
    role->task->flush(host->task, &piece, &request);
    ck_assert_int_eq(request.done, 1);
    ok(request.error);
    for (int s = 0; s < STREAMS; s++) {
        struct reader *r = &host->readers[s];
        if (r->attached && r->taken != r->committed) {
            positions[n++] = (sl_position){&r->pub, r->key, 0, 0, r->committed, r->taken};
        }
    }
    const sl_commit what = {.struct_bytes = sizeof(what),
                            .positions = positions,
                            .n_positions = n,
                            .pieces = &piece,
                            .n_pieces = piece != NULL};
    sl_error *error = try_commit(host, &what);
    while (sl_error_is(error, SL_ERROR_RETRIABLE) && below(4) > 0) {
        sl_error_free(error);
        error = try_commit(host, &what);
    }
    if (error == NULL) {
        for (size_t i = 0; i < n; i++) {
            host->readers[positions[i].stream->index].committed = positions[i].to;
        }
        return;
    }
    bool retriable = sl_error_is(error, SL_ERROR_RETRIABLE);
    conflicts += !retriable;
    ck_assert_msg(retriable || sl_error_is(error, SL_ERROR_CONFLICT), "%s",
                  sl_error_message(error));
    sl_error_free(error);
    if (piece != NULL) {
        role->node->drop_piece(host->node, piece);
    }
    sl_store_memory_fail(files, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE, 0);
    sl_store_memory_fail(state, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE, 0);
    if (retriable) {
        crash(host);
        start(host);
    } else {
        recover_all(host);
    }
}

/* ---- what must be there ---- */

static int count_file(const sl_store_entry *entry, void *arg) {
    int(*seen)[RECORDS] = arg;
    sl_store_bytes bytes;
    ok(files->ops->get(files, entry->path, 0, -1, &bytes));
    char *text = strndup((const char *)bytes.data, bytes.bytes);
    char *rest = text;
    char *line;
    while ((line = strsep(&rest, "\n")) != NULL && *line != 0) {
        int s;
        int o;
        ck_assert_int_eq(sscanf(line, "%d-%d", &s, &o), 2);
        seen[s][o]++;
    }
    free(text);
    bytes.release(&bytes);
    return 0;
}

static void check_files(void) {
    static int seen[STREAMS][RECORDS];
    memset(seen, 0, sizeof(seen));
    ok(files->ops->list(files, "", NULL, 1, count_file, seen));
    for (int s = 0; s < STREAMS; s++) {
        for (int o = 0; o < RECORDS; o++) {
            ck_assert_msg(seen[s][o] == exists(s, o), "record %d-%d is there %d times", s, o,
                          seen[s][o]);
        }
    }
}

/* ---- histories ---- */

static void open_all(void) {
    ok(sl_raw_schema(&raw_schema));
    ok(sl_store_open_memory(&files));
    ok(sl_store_open_memory(&state));
    shared_ops = *files->ops;
    shared_ops.close = close_nothing;
    memset(hosts, 0, sizeof(hosts));
}

static void close_all(void) {
    void (*really)(sl_store *) = NULL;
    for (int h = 0; h < HOSTS; h++) {
        crash(&hosts[h]);
    }
    really = state->ops->close;
    really(files);
    really(state);
    raw_schema.release(&raw_schema);
}

static void maybe_fail(sl_store *store) {
    if (below(3) == 0) {
        sl_store_memory_fail(store, SL_STORE_OP_PUT, NULL, 1 + (int64_t)below(4),
                             below(2) ? SL_STORE_FAULT_BEFORE : SL_STORE_FAULT_AFTER,
                             SL_ERROR_RETRIABLE);
    }
}

/* A stream goes to another host, with or without what was in flight. */
static void hand_over(int s) {
    struct host *from = hosts[0].owned[s] ? &hosts[0] : &hosts[1];
    struct host *to = from == &hosts[0] ? &hosts[1] : &hosts[0];
    if (below(2) == 0) {
        commit(from);
    }
    detach(from, s);
    from->owned[s] = false;
    to->owned[s] = true;
    recover(to, s);
}

static void step(struct host *host, int n_hosts) {
    int s = (int)below(STREAMS);
    uint64_t what = below(100);
    if (what < 70) {
        if (host->owned[s]) {
            feed(host, s, 1 + (int64_t)below(30));
        }
    } else if (what < 90) {
        maybe_fail(files);
        maybe_fail(state);
        commit(host);
        sl_store_memory_fail(files, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE, 0);
        sl_store_memory_fail(state, SL_STORE_OP_PUT, NULL, 0, SL_STORE_FAULT_BEFORE, 0);
    } else if (what < 96) {
        crash(host);
        start(host);
    } else if (n_hosts > 1) {
        hand_over(s);
    }
}

static bool all_taken(int n_hosts) {
    for (int h = 0; h < n_hosts; h++) {
        for (int s = 0; s < STREAMS; s++) {
            if (hosts[h].owned[s] && hosts[h].readers[s].committed < RECORDS) {
                return false;
            }
        }
    }
    return true;
}

static void run_history(uint64_t seed, int n_hosts) {
    random_state = seed;
    open_all();
    files->ops = &shared_ops;
    for (int s = 0; s < STREAMS; s++) {
        hosts[s % n_hosts].owned[s] = true;
    }
    for (int h = 0; h < n_hosts; h++) {
        start(&hosts[h]);
    }
    for (int i = 0; i < 100000 && !all_taken(n_hosts); i++) {
        step(&hosts[below((uint64_t)n_hosts)], n_hosts);
    }
    ck_assert(all_taken(n_hosts));
    check_files();
    for (int h = 0; h < n_hosts; h++) { /* a start without anything new changes nothing */
        crash(&hosts[h]);
        start(&hosts[h]);
        commit(&hosts[h]);
    }
    check_files();
    close_all();
}

START_TEST(one_host_survives_everything) {
    for (uint64_t seed = 0; seed < 60; seed++) {
        run_history(1000 + seed, 1);
    }
}
END_TEST

START_TEST(two_hosts_share_one_state) {
    for (uint64_t seed = 0; seed < 60; seed++) {
        run_history(2000 + seed, 2);
    }
}
END_TEST

/* A host that does not know that its stream has gone to another cannot commit it. */
START_TEST(a_stale_host_is_fenced) {
    open_all();
    files->ops = &shared_ops;
    hosts[0].owned[0] = hosts[1].owned[0] = true;
    start(&hosts[0]);
    start(&hosts[1]);
    feed(&hosts[0], 0, 50);
    feed(&hosts[1], 0, 70);
    commit(&hosts[1]);
    ck_assert_int_eq(hosts[1].readers[0].committed, 70);
    commit(&hosts[0]); /* conflicts, and is recovered */
    ck_assert_int_eq(hosts[0].readers[0].committed, 70);
    close_all();
}
END_TEST

/* Its record was written, and the answer got lost: the next try finds its own work. */
START_TEST(a_lost_answer_is_no_conflict) {
    conflicts = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        random_state = 3000 + seed;
        open_all();
        files->ops = &shared_ops;
        hosts[0].owned[0] = true;
        start(&hosts[0]);
        for (int i = 0; i < 3; i++) {
            feed(&hosts[0], 0, 20);
            sl_store_memory_fail(state, SL_STORE_OP_PUT, NULL, 1, SL_STORE_FAULT_AFTER,
                                 SL_ERROR_RETRIABLE);
            commit(&hosts[0]);
        }
        close_all();
    }
    ck_assert_int_eq(conflicts, 0);
}
END_TEST

/* Files that a crash left out are made again also when the last offsets of their range, which have
 * no record, come by themselves. */
START_TEST(a_range_may_end_without_a_record) {
    for (uint64_t seed = 0; seed < 20; seed++) {
        random_state = 4000 + seed;
        open_all();
        files->ops = &shared_ops;
        hosts[0].owned[0] = hosts[0].owned[1] = hosts[0].owned[2] = true;
        start(&hosts[0]);
        feed(&hosts[0], 0, 21);
        sl_store_memory_fail(files, SL_STORE_OP_PUT, NULL, 1, SL_STORE_FAULT_BEFORE,
                             SL_ERROR_RETRIABLE);
        commit(&hosts[0]); /* of some seeds it is given up by a crash */
        ck_assert(!exists(0, 20));
        feed(&hosts[0], 0, 20 - hosts[0].readers[0].taken % 21);
        feed(&hosts[0], 0, 1);
        commit(&hosts[0]);
        crash(&hosts[0]);
        start(&hosts[0]);
        for (int s = 0; s < STREAMS; s++) {
            feed(&hosts[0], s, RECORDS);
        }
        commit(&hosts[0]);
        check_files();
        close_all();
    }
}
END_TEST

static void setup(void) {
    library = dlopen(SL_BUILD_DIR "/plugins/bronze-sink.so", RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library != NULL, "%s", dlerror());
    const sl_plugin *plugin = dlsym(library, SL_PLUGIN_SYMBOL);
    ck_assert_ptr_nonnull(plugin);
    role = plugin->sink;
    config = calloc(1, role->config_bytes);
    ck_assert_ptr_nonnull(config);
    set_option("table", "memory", 0);
    set_option("format", NULL, 3);       /* raw */
    set_option("partition_by", NULL, 2); /* event_hour */
    set_option("compression", NULL, 3);  /* none */
}

static void teardown(void) {
    free(config);
    dlclose(library);
}

int main(void) {
    Suite *suite = suite_create("bronze-sink");
    TCase *plain = tcase_create("plain files");
    tcase_add_checked_fixture(plain, setup, teardown);
    tcase_set_timeout(plain, 120);
    tcase_add_test(plain, one_host_survives_everything);
    tcase_add_test(plain, two_hosts_share_one_state);
    tcase_add_test(plain, a_stale_host_is_fenced);
    tcase_add_test(plain, a_lost_answer_is_no_conflict);
    tcase_add_test(plain, a_range_may_end_without_a_record);
    suite_add_tcase(suite, plain);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
