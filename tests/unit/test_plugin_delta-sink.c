/*
 * The delta-sink plugin, driven by a small host of this test's own, which marks batches as updates,
 * gives positions, takes streams away in the middle, and lets operations of the store fail.
 */
#include "../../plugins/delta-sink/sink.h"
#include "delta_support.h"

#include <dlfcn.h>

static sl_store *store;
static sl_store_ops lasting_ops; /* the store outlives the node that "closes" it */
static void (*close_store)(sl_store *);
static const sl_plugin *plugin;

/* ---- the host ---- */

struct sl_request {
    int done;
    sl_error *error;
};
struct sl_object {
    size_t held_bytes;
};
struct sl_metric {
    int64_t value;
};

static struct sl_object object;
static struct sl_metric metric;
static int64_t references;
static char logged[500];
static int64_t clock_ahead_us;
static struct {
    void (*done)(void *arg);
    void *arg;
} job; /* one whose `done` waits to be called on the lane */

static void host_done(sl_request *request, sl_error *error) {
    ck_assert_int_eq(request->done, 0);
    request->done = 1;
    request->error = error;
}
static void host_retain(const sl_batch *batch) {
    (void)batch;
    references++;
}
static void host_release(const sl_batch *batch) {
    references--;
    /* the last reference of a batch that was made for this test frees it */
    struct ArrowArray *columns = (struct ArrowArray *)(uintptr_t)batch->columns;
    sl_batch *own = (sl_batch *)(uintptr_t)batch;
    if (--own->reserved == 0) {
        columns->release(columns);
        free(columns);
        free(own);
    }
}
static void host_hold(sl_object *self, size_t bytes) {
    self->held_bytes = bytes;
}
static sl_error *host_store_open(sl_object *self, const char *url, sl_store **out) {
    (void)self;
    (void)url;
    *out = store;
    return NULL;
}
static sl_error *host_work(sl_object *self, void (*run)(void *arg), void (*done)(void *arg),
                           void *arg) {
    (void)self;
    ck_assert_ptr_null(job.done);
    run(arg);
    job.done = done;
    job.arg = arg;
    return NULL;
}
static int64_t host_now_us(sl_object *self) {
    (void)self;
    return sl_now_us() + clock_ahead_us;
}
static void host_log(sl_object *self, sl_log_level level, const char *format, ...) {
    (void)self;
    (void)level;
    snprintf(logged, sizeof(logged), "%s", format);
}
static sl_metric *host_metric(sl_object *self, sl_metric_kind kind, const char *name,
                              const char *help) {
    (void)self;
    (void)kind;
    (void)name;
    (void)help;
    return &metric;
}
static void host_metric_add(sl_metric *to, int64_t amount) {
    to->value += amount;
}
static void host_metric_set(sl_metric *to, int64_t value) {
    to->value = value;
}

static const sl_services services = {
    .struct_bytes = sizeof(services),
    .done = host_done,
    .retain = host_retain,
    .release = host_release,
    .hold = host_hold,
    .store_open = host_store_open,
    .work = host_work,
    .now_us = host_now_us,
    .log = host_log,
    .metric = host_metric,
    .metric_add = host_metric_add,
    .metric_set = host_metric_set,
};

/* Calls the lane's waiting callbacks until the request has ended. */
static sl_error *wait_for(sl_request *request) {
    while (!request->done) {
        ck_assert_ptr_nonnull(job.done);
        void (*done)(void *) = job.done;
        job.done = NULL;
        done(job.arg);
    }
    return request->error;
}

/* ---- one node with one task ---- */

struct run {
    struct sink_config config;
    struct ArrowSchema schemas[2];
    sl_input inputs[2];
    size_t n_inputs;
    sl_node *node;
    sl_task *task;
    sl_stream streams[3];
    char keys[3][80];
    void *pieces[4];
    size_t n_pieces;
};

static struct sink_config defaults(void) {
    return (struct sink_config){.table = "memory:",
                                .compression_level = 1,
                                .file_bytes = 1 << 28,
                                .row_group_bytes = 1 << 25,
                                .memory_bytes = 1 << 26,
                                .open_files = 64};
}

static void init_run(struct run *run, const struct sink_config *config, const char *name,
                     const char *declared_key) {
    *run = (struct run){.config = *config, .n_inputs = 1};
    make_schema(&run->schemas[0]);
    if (declared_key != NULL) {
        const char *key = "sluice.key";
        GOOD(sl_schema_set_metadata(&run->schemas[0], &key, &declared_key, 1));
    }
    run->inputs[0] = (sl_input){"in", &run->schemas[0]};
    for (uint32_t i = 0; i < 3; i++) {
        run->streams[i] = (sl_stream){.struct_bytes = sizeof(sl_stream),
                                      .index = i,
                                      .source = "s",
                                      .topic = "t",
                                      .partition = (int32_t)i};
        snprintf(run->keys[i], sizeof(run->keys[i]), "sluice/pipe/%s/in/s/t/%u", name, i);
    }
}

static sl_error *open_run(struct run *run, const char *name) {
    sl_node_context context = {.struct_bytes = sizeof(context),
                               .services = &services,
                               .self = &object,
                               .pipeline = "pipe",
                               .name = name,
                               .config = &run->config,
                               .inputs = run->inputs,
                               .n_inputs = run->n_inputs,
                               .lanes = 1};
    sl_error *error = plugin->sink->node->open(&context, &run->node);
    if (error != NULL) {
        run->node = NULL;
        return error;
    }
    sl_request request = {0, NULL};
    plugin->sink->node->start(run->node, &request);
    error = wait_for(&request);
    if (error == NULL) {
        sl_task_context task_context = {sizeof(task_context), 0, &services, &object};
        error = plugin->sink->task->open(run->node, &task_context, &run->task);
    }
    return error;
}

static void start_run(struct run *run, const struct sink_config *config, const char *declared_key) {
    init_run(run, config, "gold", declared_key);
    GOOD(open_run(run, "gold"));
}

static void close_run(struct run *run) {
    for (size_t i = 0; i < run->n_pieces; i++) {
        plugin->sink->node->drop_piece(run->node, run->pieces[i]);
    }
    if (run->task != NULL) {
        plugin->sink->task->close(run->task);
    }
    if (run->node != NULL) {
        plugin->sink->node->close(run->node);
    }
    for (size_t i = 0; i < run->n_inputs; i++) {
        run->schemas[i].release(&run->schemas[i]);
    }
    ck_assert_int_eq(references, 0);
}

/* Takes the array's content over. */
static sl_error *process_array(struct run *run, uint32_t stream, uint32_t flags,
                               const struct ArrowArray *array) {
    struct ArrowArray *columns = malloc(sizeof(*columns));
    sl_batch *batch = calloc(1, sizeof(*batch));
    *columns = *array;
    *batch = (sl_batch){.struct_bytes = sizeof(*batch),
                        .flags = flags,
                        .schema = &run->schemas[0],
                        .columns = columns,
                        .rows = columns->length,
                        .stream = &run->streams[stream],
                        .reserved = 1};
    int64_t before = references;
    sl_error *error = plugin->sink->task->process(run->task, 0, batch);
    batch->reserved += (uint32_t)(references - before);
    references++;
    host_release(batch);
    return error;
}

static sl_error *process(struct run *run, uint32_t stream, uint32_t flags, const row *rows,
                         size_t n) {
    struct ArrowArray columns;
    make_batch(rows, n, &columns);
    return process_array(run, stream, flags, &columns);
}

static sl_error *flush(struct run *run) {
    sl_request request = {0, NULL};
    void *piece = NULL;
    plugin->sink->task->flush(run->task, &piece, &request);
    sl_error *error = wait_for(&request);
    if (error == NULL && piece != NULL) {
        run->pieces[run->n_pieces++] = piece;
    }
    return error;
}

static int64_t recover(struct run *run, uint32_t stream) {
    sl_request request = {0, NULL};
    sl_position position = {&run->streams[stream], run->keys[stream], 0, 0, -7, -7};
    plugin->sink->node->recover(run->node, &position, 1, &request);
    GOOD(wait_for(&request));
    return position.from;
}

static sl_error *commit(struct run *run, uint32_t stream, int64_t from, int64_t to) {
    sl_request request = {0, NULL};
    sl_position position = {&run->streams[stream], run->keys[stream], 0, 0, from, to};
    sl_commit commit = {.struct_bytes = sizeof(commit),
                        .positions = &position,
                        .n_positions = 1,
                        .pieces = run->pieces,
                        .n_pieces = run->n_pieces};
    plugin->sink->node->commit(run->node, &commit, &request);
    sl_error *error = wait_for(&request);
    run->n_pieces = error == NULL ? 0 : run->n_pieces;
    return error;
}

static void write_rows(struct run *run, uint32_t flags, int64_t from, const row *rows, size_t n) {
    GOOD(process(run, 0, flags, rows, n));
    GOOD(flush(run));
    GOOD(commit(run, 0, from, from < 0 ? 1 : from + 1));
}

static void no_close(sl_store *ignored) {
    (void)ignored;
}

static void set_up(void) {
    void *library = dlopen(SL_BUILD_DIR "/plugins/delta-sink.so", RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library != NULL, "%s", library == NULL ? dlerror() : "");
    plugin = dlsym(library, "sluice_plugin");
    ck_assert_ptr_nonnull(plugin);
    GOOD(sl_store_open_memory(&store));
    lasting_ops = *store->ops;
    close_store = lasting_ops.close;
    lasting_ops.close = no_close;
    store->ops = &lasting_ops;
    references = 0;
    job.done = NULL;
}

static void tear_down(void) {
    close_store(store);
}

/* ---- append ---- */

START_TEST(rows_and_positions_go_together) {
    struct run run;
    struct sink_config config = defaults();
    start_run(&run, &config, NULL);
    ck_assert_int_eq(recover(&run, 0), SL_OFFSET_NONE);
    GOOD(process(&run, 0, 0, (row[]){{1, "a", "p"}, {2, "b", "p"}}, 2));
    ck_assert_uint_gt(object.held_bytes, 0);
    GOOD(process(&run, 0, SL_BATCH_UPDATES, (row[]){{3, "open", "p"}}, 1));
    GOOD(flush(&run));
    ck_assert_uint_eq(run.n_pieces, 1);
    GOOD(commit(&run, 0, SL_OFFSET_NONE, 10));
    GOOD(flush(&run)); /* nothing to hand over */
    ck_assert_uint_eq(run.n_pieces, 0);
    GOOD(commit(&run, 0, 10, 15)); /* positions alone */
    expect_error(commit(&run, 0, 10, 20), SL_ERROR_CONFLICT, "is 15");
    ck_assert_int_eq(recover(&run, 0), 15);
    ck_assert_int_eq(recover(&run, 1), SL_OFFSET_NONE);
    close_run(&run);
    start_run(&run, &config, NULL);
    ck_assert_int_eq(recover(&run, 0), 15);
    write_rows(&run, 0, 15, (row[]){{4, "d", "p"}}, 1);
    close_run(&run);
    expect_rows(store, "{\"id\":1,\"name\":\"a\",\"part\":\"p\"}\n"
                       "{\"id\":2,\"name\":\"b\",\"part\":\"p\"}\n"
                       "{\"id\":4,\"name\":\"d\",\"part\":\"p\"}\n");
}
END_TEST

START_TEST(what_may_succeed_later_is_tried_again) {
    struct run run;
    struct sink_config config = defaults();
    start_run(&run, &config, NULL);
    GOOD(process(&run, 0, 0, (row[]){{1, "a", "p"}}, 1));
    sl_store_memory_fail(store, SL_STORE_OP_PUT, "parquet", 1, SL_STORE_FAULT_AFTER,
                         SL_ERROR_RETRIABLE);
    expect_error(flush(&run), SL_ERROR_RETRIABLE, "injected");
    GOOD(process(&run, 0, 0, (row[]){{2, "next", "p"}}, 1));
    GOOD(flush(&run)); /* hands over what the first try would have, and no more */
    ck_assert_uint_eq(run.n_pieces, 1);
    sl_store_memory_fail(store, SL_STORE_OP_PUT, "json", 1, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
    expect_error(commit(&run, 0, -1, 5), SL_ERROR_RETRIABLE, "injected");
    GOOD(commit(&run, 0, -1, 5));
    expect_rows(store, "{\"id\":1,\"name\":\"a\",\"part\":\"p\"}\n");
    GOOD(flush(&run));
    ck_assert_uint_eq(run.n_pieces, 1);
    GOOD(commit(&run, 0, 5, 6));
    close_run(&run);
    expect_rows(store, "{\"id\":1,\"name\":\"a\",\"part\":\"p\"}\n"
                       "{\"id\":2,\"name\":\"next\",\"part\":\"p\"}\n");
}
END_TEST

START_TEST(rows_of_a_lost_stream_are_forgotten) {
    struct run run;
    struct sink_config config = defaults();
    start_run(&run, &config, NULL);
    GOOD(process(&run, 0, 0, (row[]){{1, "a", "p"}}, 1));
    GOOD(process(&run, 1, 0, (row[]){{2, "b", "p"}}, 1));
    plugin->sink->task->detach(run.task, &run.streams[2]); /* had no rows */
    plugin->sink->task->detach(run.task, &run.streams[1]);
    expect_error(flush(&run), SL_ERROR_CONFLICT, "taken away");
    plugin->sink->task->detach(run.task, &run.streams[0]); /* the host recovers it */
    GOOD(process(&run, 0, 0, (row[]){{1, "a", "p"}}, 1));
    plugin->sink->task->detach(run.task, &run.streams[0]); /* nobody else has rows */
    GOOD(flush(&run));
    ck_assert_uint_eq(run.n_pieces, 0);
    GOOD(process(&run, 0, 0, (row[]){{1, "a", "p"}}, 1));
    GOOD(flush(&run));
    GOOD(commit(&run, 0, -1, 5));
    plugin->sink->task->detach(run.task, &run.streams[0]); /* all flushed */
    GOOD(flush(&run));
    ck_assert_uint_eq(run.n_pieces, 0);
    close_run(&run);
    expect_rows(store, "{\"id\":1,\"name\":\"a\",\"part\":\"p\"}\n");
}
END_TEST

static void process_noise(struct run *run) {
    for (int64_t i = 0; i < 10; i++) {
        struct ArrowArray columns;
        noisy_batch(i * 20000, 20000, &columns);
        GOOD(process_array(run, 0, 0, &columns));
    }
    ck_assert_ptr_nonnull(job.done); /* a file goes up while it grows */
}

static sl_error *add_rows(const sl_delta_file *file, void *arg) {
    *(int64_t *)arg += file->rows;
    return NULL;
}

static int64_t count_rows(void) {
    sl_delta_table *table = NULL;
    int64_t rows = 0;
    GOOD(sl_delta_open(store, &table));
    GOOD(sl_delta_visit_files(table, add_rows, &rows));
    sl_delta_close(table);
    return rows;
}

START_TEST(large_files_go_up_before_the_flush) {
    struct run run;
    struct sink_config config = defaults();
    config.row_group_bytes = 1 << 20;
    start_run(&run, &config, NULL);
    process_noise(&run);
    sl_request request = {0, NULL};
    void *piece = NULL;
    plugin->sink->task->flush(run.task, &piece, &request);
    ck_assert_int_eq(request.done, 0); /* the upload is still under way */
    GOOD(process(&run, 0, 0, (row[]){{7, "of the next flush", NULL}}, 1));
    GOOD(wait_for(&request));
    run.pieces[run.n_pieces++] = piece;
    GOOD(commit(&run, 0, -1, 200000));
    ck_assert_int_eq(count_rows(), 200000);
    GOOD(flush(&run));
    GOOD(commit(&run, 0, 200000, 200001));
    ck_assert_int_eq(count_rows(), 200001);
    close_run(&run);
    sl_delta_table *table = NULL;
    GOOD(sl_delta_open(store, &table));
    ck_assert_int_eq(count_files(table), 2);
    sl_delta_close(table);
    /* one that is under way when everything is closed ends on its own */
    start_run(&run, &config, NULL);
    process_noise(&run);
    close_run(&run);
    job.done(job.arg);
    job.done = NULL;
    /* and one whose pieces are lost makes the flush fail */
    start_run(&run, &config, NULL);
    sl_store_memory_fail(store, SL_STORE_OP_WRITER_WRITE, NULL, 1, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
    process_noise(&run);
    expect_error(flush(&run), SL_ERROR_CONFLICT, "begun again");
    expect_error(flush(&run), SL_ERROR_CONFLICT, "discarded");
    plugin->sink->task->detach(run.task, &run.streams[0]);
    GOOD(flush(&run)); /* nothing of it is left */
    ck_assert_uint_eq(run.n_pieces, 0);
    close_run(&run);
}
END_TEST

START_TEST(upkeep_runs_beside_the_commits) {
    struct run run;
    struct sink_config config = defaults();
    sl_store_entry entry;
    char checkpoint[DELTA_PATH_BYTES];
    clock_ahead_us = 0;
    start_run(&run, &config, NULL);
    GOOD(store->ops->put(store, "sluice-orphan.parquet", "x", 1, 0));
    for (int64_t i = 0; i < 10; i++) {
        write_rows(&run, 0, i == 0 ? -1 : i, (row[]){{i, "a", "p"}}, 1);
    }
    ck_assert_ptr_null(job.done);
    delta_checkpoint_path(10, 0, 0, checkpoint);
    GOOD(store->ops->stat(store, checkpoint, &entry));
    clock_ahead_us = INT64_C(2) * 86400 * 1000000;
    GOOD(commit(&run, 0, 10, 11));
    ck_assert_ptr_nonnull(job.done); /* the clean-up */
    void (*done)(void *) = job.done;
    void *arg = job.arg;
    job.done = NULL;
    write_rows(&run, 0, 11, (row[]){{11, "a", "p"}}, 1); /* while it is under way */
    done(arg);
    ck_assert_ptr_nonnull(strstr(logged, "nobody needs"));
    expect_error(store->ops->stat(store, "sluice-orphan.parquet", &entry), SL_ERROR_NOT_FOUND,
                 NULL);
    close_run(&run);
    clock_ahead_us = 0;
}
END_TEST

START_TEST(tables_are_partitioned_and_grow) {
    struct run run;
    struct sink_config config = defaults();
    const char *part[] = {"part"};
    config.partition_by = (sl_list){1, part};
    start_run(&run, &config, NULL);
    write_rows(&run, 0, -1, (row[]){{1, "a", "x"}, {2, "b", "y"}, {3, "c", "x"}}, 3);
    close_run(&run);
    init_run(&run, &config, "gold", NULL);
    run.n_inputs = 2; /* a second input brings a column */
    make_schema(&run.schemas[1]);
    run.inputs[1] = (sl_input){"more", &run.schemas[1]};
    GOOD(sl_schema_set_field(&run.schemas[1], 1, "extra", "g", true, 0));
    GOOD(open_run(&run, "gold"));
    write_rows(&run, 0, 1, (row[]){{4, "d", NULL}}, 1);
    close_run(&run);
    expect_rows(store, "{\"id\":1,\"name\":\"a\",\"part\":\"x\",\"extra\":null}\n"
                       "{\"id\":2,\"name\":\"b\",\"part\":\"y\",\"extra\":null}\n"
                       "{\"id\":3,\"name\":\"c\",\"part\":\"x\",\"extra\":null}\n"
                       "{\"id\":4,\"name\":\"d\",\"part\":null,\"extra\":null}\n");
    config.evolution = EVOLUTION_STRICT;
    const char *other[] = {"name"};
    config.partition_by = (sl_list){1, other};
    init_run(&run, &config, "gold", NULL);
    expect_error(open_run(&run, "gold"), SL_ERROR_CONFIG, "partition_by");
    close_run(&run);
}
END_TEST

START_TEST(positions_of_a_vanished_node) {
    struct run run;
    struct sink_config config = defaults();
    init_run(&run, &config, "old", NULL);
    GOOD(open_run(&run, "old"));
    write_rows(&run, 0, -1, (row[]){{1, "a", "p"}}, 1);
    close_run(&run);
    init_run(&run, &config, "new", NULL);
    expect_error(open_run(&run, "new"), SL_ERROR_CONFIG, "\"adopt\"");
    close_run(&run);
    config.positions = POSITIONS_ADOPT;
    init_run(&run, &config, "new", NULL);
    GOOD(open_run(&run, "new"));
    ck_assert_int_eq(recover(&run, 0), 1);
    ck_assert_int_eq(recover(&run, 1), SL_OFFSET_NONE);
    write_rows(&run, 0, 1, (row[]){{2, "b", "p"}}, 1);
    ck_assert_int_eq(recover(&run, 0), 2);
    close_run(&run);
    config.positions = POSITIONS_START;
    init_run(&run, &config, "third", NULL);
    GOOD(open_run(&run, "third"));
    ck_assert_int_eq(recover(&run, 0), SL_OFFSET_NONE);
    close_run(&run);
    expect_rows(store, "{\"id\":1,\"name\":\"a\",\"part\":\"p\"}\n"
                       "{\"id\":2,\"name\":\"b\",\"part\":\"p\"}\n");
}
END_TEST

/* ---- upsert ---- */

START_TEST(windows_are_updated_and_become_final) {
    struct run run;
    struct sink_config config = defaults();
    config.mode = MODE_UPSERT;
    start_run(&run, &config, "id");
    write_rows(&run, SL_BATCH_UPDATES, -1, (row[]){{1, "1", "p"}, {2, "1", "p"}}, 2);
    write_rows(&run, SL_BATCH_UPDATES, 1, (row[]){{2, "2", "p"}, {3, "1", "p"}}, 2);
    expect_rows(store, "{\"id\":1,\"name\":\"1\",\"part\":\"p\"}\n"
                       "{\"id\":2,\"name\":\"2\",\"part\":\"p\"}\n"
                       "{\"id\":3,\"name\":\"1\",\"part\":\"p\"}\n");
    GOOD(process(&run, 0, SL_BATCH_UPDATES, (row[]){{3, "2", "p"}}, 1));
    GOOD(process(&run, 0, 0, (row[]){{1, "final", "p"}}, 1));
    GOOD(flush(&run));
    sl_store_memory_fail(store, SL_STORE_OP_PUT, "json", 1, SL_STORE_FAULT_BEFORE,
                         SL_ERROR_RETRIABLE);
    expect_error(commit(&run, 0, 2, 3), SL_ERROR_RETRIABLE, NULL);
    GOOD(commit(&run, 0, 2, 3));
    close_run(&run);
    start_run(&run, &config, "id"); /* the tail is read back */
    ck_assert_int_eq(recover(&run, 0), 3);
    write_rows(&run, 0, 3, (row[]){{3, "final", "p"}}, 1);
    expect_rows(store, "{\"id\":1,\"name\":\"final\",\"part\":\"p\"}\n"
                       "{\"id\":2,\"name\":\"2\",\"part\":\"p\"}\n"
                       "{\"id\":3,\"name\":\"final\",\"part\":\"p\"}\n");
    /* a commit that does not hold leaves no trace in the tail */
    GOOD(process(&run, 0, SL_BATCH_UPDATES, (row[]){{2, "void", "p"}, {9, "void", "p"}}, 2));
    GOOD(flush(&run));
    expect_error(commit(&run, 0, 3, 4), SL_ERROR_CONFLICT, "is 4");
    plugin->sink->node->drop_piece(run.node, run.pieces[0]);
    run.n_pieces = 0;
    ck_assert_int_eq(recover(&run, 0), 4);
    write_rows(&run, SL_BATCH_UPDATES, 4, (row[]){{2, "3", "p"}}, 1);
    write_rows(&run, 0, 5, (row[]){{2, "final", "p"}}, 1);
    close_run(&run);
    expect_rows(store, "{\"id\":1,\"name\":\"final\",\"part\":\"p\"}\n"
                       "{\"id\":2,\"name\":\"final\",\"part\":\"p\"}\n"
                       "{\"id\":3,\"name\":\"final\",\"part\":\"p\"}\n");
    sl_delta_table *table = NULL;
    GOOD(sl_delta_open(store, &table));
    sl_delta_files tails = {0};
    GOOD(sl_delta_tail_files(table, "pipe/gold", &tails));
    ck_assert_uint_eq(tails.n, 0);
    sl_delta_close(table);
}
END_TEST

START_TEST(rows_are_replaced_and_deleted_by_key) {
    struct run run;
    struct sink_config config = defaults();
    const char *key[] = {"name"};
    config.mode = MODE_UPSERT;
    config.key = (sl_list){1, key};
    config.delete_when_null = "part";
    start_run(&run, &config, "id"); /* the operator's key, not the declared one */
    write_rows(&run, 0, -1, (row[]){{1, "a", "p"}, {2, "b", "p"}, {3, "c", "p"}}, 3);
    write_rows(&run, 0, 1, (row[]){{4, "b", "q"}, {5, "a", NULL}, {6, "d", "q"}}, 3);
    GOOD(process(&run, 0, 0, (row[]){{7, "c", "r"}}, 1));
    GOOD(flush(&run));
    sl_store_memory_fail(store, SL_STORE_OP_PUT, "json", 1, SL_STORE_FAULT_AFTER,
                         SL_ERROR_RETRIABLE);
    GOOD(commit(&run, 0, 2, 3));
    close_run(&run);
    expect_rows(store, "{\"id\":4,\"name\":\"b\",\"part\":\"q\"}\n"
                       "{\"id\":6,\"name\":\"d\",\"part\":\"q\"}\n"
                       "{\"id\":7,\"name\":\"c\",\"part\":\"r\"}\n");
}
END_TEST

static void expect_refusal(const struct sink_config *config, const char *declared_key,
                           const char *part) {
    struct run run;
    init_run(&run, config, "gold", declared_key);
    expect_error(open_run(&run, "gold"), SL_ERROR_CONFIG, part);
    close_run(&run);
}

START_TEST(configurations_that_cannot_work) {
    struct sink_config config = defaults();
    const char *key[] = {"nope"};
    config.key = (sl_list){1, key};
    expect_refusal(&config, NULL, "only for mode upsert");
    config.mode = MODE_UPSERT;
    expect_refusal(&config, NULL, "\"nope\"");
    config.key = (sl_list){0, NULL};
    expect_refusal(&config, NULL, "declares none");
    config.delete_when_null = "nothing";
    expect_refusal(&config, "id", "\"nothing\"");
    config = defaults();
    const char *names[] = {"delta.appendOnly"};
    sl_pair property = {names[0], "true"};
    config.properties = (sl_map){1, &property};
    struct run run;
    start_run(&run, &config, NULL);
    close_run(&run);
    config.mode = MODE_UPSERT;
    expect_refusal(&config, "id", "delta.appendOnly");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("delta-sink");
    TCase *tests = tcase_create("delta-sink");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, rows_and_positions_go_together);
    tcase_add_test(tests, what_may_succeed_later_is_tried_again);
    tcase_add_test(tests, rows_of_a_lost_stream_are_forgotten);
    tcase_add_test(tests, large_files_go_up_before_the_flush);
    tcase_add_test(tests, upkeep_runs_beside_the_commits);
    tcase_add_test(tests, tables_are_partitioned_and_grow);
    tcase_add_test(tests, positions_of_a_vanished_node);
    tcase_add_test(tests, windows_are_updated_and_become_final);
    tcase_add_test(tests, rows_are_replaced_and_deleted_by_key);
    tcase_add_test(tests, configurations_that_cannot_work);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
