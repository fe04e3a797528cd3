/*
 * The host, run on topologies of plugins that live in this program: every row arrives once,
 * positions and coverage are right across restarts, cuts, filters, retries and failures. No dlopen,
 * no files, no network.
 */
#include "host/host.h"
#include "host_disk.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARTITIONS = 4, MAX_ROWS = 20000, NODES_MAX = 8 };

/* What survives a run, as a durable system would keep it. */
static struct disk {
    int seen[PARTITIONS][MAX_ROWS]; /* rows of the sink, by partition and offset */
    int64_t sums;                   /* rows of the owner's outbox */
    int commits;
} disk;

static struct {
    int64_t rows;    /* of each partition */
    int64_t batch;   /* rows a poll */
    int filter;      /* the transform keeps offsets that are not multiples of this */
    int retriable;   /* so many commits fail first */
    int crash_at;    /* the sink "good" crashes at this offset; 0: never */
    int fatal_after; /* the sink's process fails at this offset; 0: never */
    int stop_after;  /* commits after which the sink's commit "crashes" the run: fails */
    int conflicts;   /* so many commits lose a race */
    int applied;     /* ... although they were applied, as after an unclear answer */
    int unready;     /* so many steps of the start fail first */
    /* stores of another host between a commit and the keeping of its positions */
    const char *state; /* NULL: there is no other host */
    int others;        /* so many versions each time */
    int64_t by_others; /* its position */
} script;

/* Each step of the start that calls this fails as often as the script says before it succeeds. */
static sl_error *passing_error(void) {
    if (script.unready == 0) {
        return NULL;
    }
    script.unready--;
    return services->error_new(SL_ERROR_RETRIABLE, "not yet");
}

static void recover(sl_node *node, sl_position *positions, size_t n, sl_request *request) {
    (void)node;
    recover_positions(positions, n);
    services->done(request, NULL);
}

/* ---- source ---- */

struct sl_node {
    sl_object *self;
    int owner;
    int64_t pending_sum;
};
struct source_task {
    sl_object *self;
    int64_t next[PARTITIONS];
};

static sl_error *open_node(const sl_node_context *context, sl_node **out) {
    services = context->services;
    sl_node *node = calloc(1, sizeof(*node));
    node->self = context->self;
    *out = node;
    return NULL;
}

static void close_node(sl_node *node) {
    free(node);
}

static sl_error *raw_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)node;
    (void)output;
    return sl_raw_schema(out);
}

static void source_start(sl_node *node, sl_request *request) {
    sl_error *error = passing_error();
    if (error != NULL) {
        services->done(request, error);
        return;
    }
    sl_stream_name names[PARTITIONS];
    for (int i = 0; i < PARTITIONS; i++) {
        names[i] = (sl_stream_name){"topic", i};
    }
    services->assign(node->self, names, PARTITIONS);
    services->all_assigned(node->self);
    services->done(request, NULL);
}

static void source_resolve(sl_node *node, const sl_stream *stream, int64_t *offset,
                           sl_request *request) {
    (void)node;
    (void)stream;
    *offset = 0;
    services->done(request, passing_error());
}

static sl_error *source_task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    (void)node;
    struct source_task *task = calloc(1, sizeof(*task));
    task->self = context->self;
    *out = (sl_task *)task;
    return NULL;
}

static sl_error *source_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    ((struct source_task *)task)->next[stream->partition] = how->offset;
    return NULL;
}

static sl_error *source_poll(sl_task *opaque, const sl_stream *stream, size_t max_bytes,
                             sl_poll_state *state) {
    struct source_task *task = (struct source_task *)opaque;
    (void)max_bytes;
    int64_t first = task->next[stream->partition];
    int64_t last = first + script.batch < script.rows ? first + script.batch : script.rows;
    if (first >= script.rows) {
        *state = SL_POLL_ENDED;
        return NULL;
    }
    int64_t offsets[1024];
    ck_assert_int_le(last - first, SL_ARRAY_LENGTH(offsets));
    for (int64_t i = first; i < last; i++) {
        offsets[i - first] = i;
    }
    task->next[stream->partition] = last;
    if (stream->partition > 0) {
        services->end_seen(task->self, stream, first);
    }
    *state = SL_POLL_MORE;
    return emit_rows(task->self, stream, first, last - first, offsets);
}

static void free_task(sl_task *task) {
    free(task);
}

static const sl_node_ops source_node = {.struct_bytes = sizeof(sl_node_ops),
                                        .open = open_node,
                                        .output_schema = raw_schema,
                                        .start = source_start,
                                        .resolve = source_resolve,
                                        .close = close_node};
static const sl_task_ops source_task = {.struct_bytes = sizeof(sl_task_ops),
                                        .open = source_task_open,
                                        .attach = source_attach,
                                        .poll = source_poll,
                                        .close = free_task};
static const sl_role source_role = {.struct_bytes = sizeof(sl_role),
                                    .guarantee = SL_EXACTLY_ONCE,
                                    .node = &source_node,
                                    .task = &source_task};

/* ---- transform: keeps some rows, sends the others to "rejects" ---- */

/* What the source says of all partitions but the first. */
static void check_end_seen(sl_object *self, const sl_batch *batch) {
    int64_t end = -7;
    int64_t ago_us = services->end_seen_ago_us(self, batch->stream, &end);
    if (batch->stream->partition == 0) {
        ck_assert(ago_us == -1 && end == -7);
    } else {
        ck_assert(ago_us >= 0 && ago_us < INT64_C(600000000) && end >= 0);
    }
}

static sl_error *split(sl_task *opaque, uint32_t input, const sl_batch *batch) {
    struct source_task *task = (struct source_task *)opaque;
    (void)input;
    check_end_seen(task->self, batch);
    uint8_t outputs[1024];
    ck_assert_int_le(batch->rows, SL_ARRAY_LENGTH(outputs));
    const int64_t *offsets = batch->columns->children[SL_RAW_OFFSET]->buffers[1];
    for (int64_t i = 0; i < batch->rows; i++) {
        outputs[i] = script.filter != 0 && offsets[i] % script.filter == 0;
    }
    return emit_split(task->self, batch, outputs);
}

static const char *const split_outputs[] = {"", "rejects", NULL};
static const sl_node_ops split_node = {.struct_bytes = sizeof(sl_node_ops),
                                       .open = open_node,
                                       .output_schema = raw_schema,
                                       .close = close_node};
static const sl_task_ops split_task = {.struct_bytes = sizeof(sl_task_ops),
                                       .open = source_task_open,
                                       .process = split,
                                       .close = free_task};
static const sl_role split_role = {.struct_bytes = sizeof(sl_role),
                                   .guarantee = SL_EXACTLY_ONCE,
                                   .outputs = split_outputs,
                                   .min_inputs = 1,
                                   .max_inputs = 1,
                                   .node = &split_node,
                                   .task = &split_task};

/* ---- durable sink: rows become visible with the commit of their piece ---- */

struct piece {
    size_t n;
    struct {
        int32_t partition;
        int64_t offset;
    } rows[];
};
struct sink_task {
    sl_object *self;
    struct piece *piece;
};

static sl_error *sink_process(sl_task *opaque, uint32_t input, const sl_batch *batch) {
    struct sink_task *task = (struct sink_task *)opaque;
    (void)input;
    size_t old = task->piece != NULL ? task->piece->n : 0;
    task->piece = realloc(task->piece, sizeof(struct piece) + (old + (size_t)batch->rows) *
                                                                  sizeof(task->piece->rows[0]));
    task->piece->n = old + (size_t)batch->rows;
    const int64_t *offsets = batch->columns->children[SL_RAW_OFFSET]->buffers[1];
    for (int64_t i = 0; i < batch->rows; i++) {
        task->piece->rows[old + (size_t)i].partition = batch->stream->partition;
        task->piece->rows[old + (size_t)i].offset = offsets[i];
        if (script.crash_at != 0 && offsets[i] >= script.crash_at &&
            offsets[i] % script.filter != 0) {
            raise(SIGSEGV);
        }
        if (script.fatal_after != 0 && offsets[i] >= script.fatal_after) {
            return services->error_new(SL_ERROR_FATAL, "the sink broke");
        }
    }
    services->hold(task->self, task->piece->n * 100);
    return NULL;
}

static void sink_flush(sl_task *opaque, void **piece, sl_request *request) {
    struct sink_task *task = (struct sink_task *)opaque;
    *piece = task->piece;
    task->piece = NULL;
    services->hold(task->self, 0);
    services->done(request, NULL);
}

static void count_rows(const sl_commit *commit) {
    for (size_t p = 0; p < commit->n_pieces; p++) {
        const struct piece *piece = commit->pieces[p];
        for (size_t i = 0; i < piece->n; i++) {
            disk.seen[piece->rows[i].partition][piece->rows[i].offset]++;
        }
    }
}

static void take_pieces(const sl_commit *commit) {
    count_rows(commit);
    for (size_t p = 0; p < commit->n_pieces; p++) {
        free(commit->pieces[p]);
    }
}

static void sink_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    (void)node;
    pthread_mutex_lock(&disk_lock);
    sl_error *error = NULL;
    if (script.retriable > 0) {
        script.retriable--;
        error = services->error_new(SL_ERROR_RETRIABLE, "try later");
    } else if (script.stop_after != 0 && disk.commits >= script.stop_after) {
        error = services->error_new(SL_ERROR_FATAL, "pulled the plug");
    } else if (script.conflicts > 0 && disk.commits > 1 && commit->n_pieces > 0) {
        script.conflicts--;
        if (script.applied == 0) {
            error = services->error_new(SL_ERROR_CONFLICT, "somebody was faster");
        } else {
            error = move_positions(commit);
            count_rows(commit);
            sl_error_free(error);
            error = services->error_new(SL_ERROR_CONFLICT, "the answer was lost");
        }
    } else {
        error = move_positions(commit);
    }
    if (error == NULL) {
        disk.commits++;
        take_pieces(commit);
    }
    pthread_mutex_unlock(&disk_lock);
    services->done(request, error);
}

static void sink_drop(sl_node *node, void *piece) {
    (void)node;
    free(piece);
}

static void sink_close(sl_task *opaque) {
    free(((struct sink_task *)opaque)->piece);
    free(opaque);
}

static sl_error *sink_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    (void)node;
    struct sink_task *task = calloc(1, sizeof(*task));
    task->self = context->self;
    *out = (sl_task *)task;
    return NULL;
}

static const sl_node_ops sink_node = {.struct_bytes = sizeof(sl_node_ops),
                                      .open = open_node,
                                      .recover = recover,
                                      .commit = sink_commit,
                                      .drop_piece = sink_drop,
                                      .close = close_node};
static const sl_task_ops sink_task = {.struct_bytes = sizeof(sl_task_ops),
                                      .open = sink_open,
                                      .process = sink_process,
                                      .flush = sink_flush,
                                      .close = sink_close};
static const sl_role sink_role = {.struct_bytes = sizeof(sl_role),
                                  .flags = SL_ROLE_DURABLE | SL_ROLE_BLOCKING,
                                  .guarantee = SL_EXACTLY_ONCE,
                                  .min_inputs = 1,
                                  .max_inputs = 2,
                                  .node = &sink_node,
                                  .task = &sink_task};

/* ---- another host of the group, which keeps positions of the same sink ---- */

#define OTHERS_KEY "\"sluice/p/good/source/source/topic/99\":"

static void version_path(int64_t number, char *out, size_t bytes) {
    (void)snprintf(out, bytes, "%s/nodes/good/positions/%020lld.json", script.state,
                   (long long)number);
}

/* The newest version's text; its number, or 0. */
static int64_t newest_version(char *text, size_t bytes) {
    char path[256];
    int64_t newest = 0;
    for (int64_t n = 1; n < 5000; n++) {
        version_path(n, path, sizeof(path));
        newest = access(path, F_OK) == 0 ? n : newest;
    }
    text[0] = '\0';
    version_path(newest, path, sizeof(path));
    FILE *file = newest > 0 ? fopen(path, "r") : NULL;
    if (file != NULL) {
        text[fread(text, 1, bytes - 1, file)] = '\0';
        (void)fclose(file);
    }
    return newest;
}

/* What that host does: its own position moves, the others stay; old versions go. */
static void store_as_another_host(void) {
    static const char head[] = "{\"version\":1,\"positions\":{";
    static char text[1 << 16];
    char path[256];
    int64_t newest = newest_version(text, sizeof(text));
    for (int i = 0; i < script.others && newest > 0; i++) {
        const char *rest = text + strlen(head);
        const char *own = strstr(rest, OTHERS_KEY);
        ck_assert_int_eq(strncmp(text, head, strlen(head)), 0);
        version_path(++newest, path, sizeof(path));
        FILE *file = fopen(path, "wx");
        ck_assert_ptr_nonnull(file);
        if (own == NULL) {
            (void)fprintf(file, "%s" OTHERS_KEY "%d,%s", head, (int)++script.by_others, rest);
        } else {
            (void)fprintf(file, "%s%.*s" OTHERS_KEY "%d%s", head, (int)(own - rest), rest,
                          (int)++script.by_others,
                          own + strlen(OTHERS_KEY) +
                              strspn(own + strlen(OTHERS_KEY), "0123456789"));
        }
        (void)fclose(file);
        version_path(newest - 8, path, sizeof(path));
        (void)unlink(path);
        ck_assert_int_eq(newest_version(text, sizeof(text)), newest);
    }
}

/* A sink that keeps no positions: the host's keeper does. */
static void plain_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    (void)node;
    take_pieces(commit);
    if (script.state != NULL) {
        store_as_another_host();
    }
    services->done(request, NULL);
}
static const sl_node_ops plain_node = {.struct_bytes = sizeof(sl_node_ops),
                                       .open = open_node,
                                       .commit = plain_commit,
                                       .drop_piece = sink_drop,
                                       .close = close_node};
static const sl_role plain_role = {.struct_bytes = sizeof(sl_role),
                                   .guarantee = SL_AT_LEAST_ONCE,
                                   .min_inputs = 1,
                                   .max_inputs = 1,
                                   .node = &plain_node,
                                   .task = &sink_task};

/* ---- topologies ---- */

static struct plugin plugin = {.descriptor = {.name = "test"}, .file = "here"};
static struct topology_node nodes[NODES_MAX];
static struct topology_edge edges[NODES_MAX];
static struct topology topology;

static void add_node(const char *name, enum topology_kind kind, const sl_role *role) {
    nodes[topology.n_nodes] = (struct topology_node){.name = name,
                                                     .kind = kind,
                                                     .plugin = &plugin,
                                                     .role = role,
                                                     .config = "",
                                                     .commit_interval_us = 20000};
    topology.n_nodes++;
}

static void add_input(size_t from, uint32_t output, const char *name, int64_t buffer) {
    struct topology_node *to = &nodes[topology.n_nodes - 1];
    size_t edge = topology.n_nodes - 1;
    edges[edge] = (struct topology_edge){
        .from = from, .output = output, .to = edge, .name = name, .buffer_bytes = buffer};
    to->inputs = &edges[edge];
    to->n_inputs = 1;
}

/* source → split → good; split.rejects → bad; source → plain sink or durable sink */
static void build(const sl_role *last, int64_t buffer) {
    topology = (struct topology){.file = "test.json",
                                 .directory = "/",
                                 .pipeline = "p",
                                 .lanes = 3,
                                 .shutdown_timeout_us = 5000000,
                                 .retry_timeout_us = 2000000,
                                 .revoke_timeout_us = 1000000,
                                 .nodes = nodes};
    add_node("source", TOPOLOGY_SOURCE, &source_role);
    add_node("split", TOPOLOGY_TRANSFORM, &split_role);
    add_input(0, 0, "source", buffer);
    add_node("good", TOPOLOGY_SINK, last);
    add_input(1, 0, "split", buffer);
    add_node("bad", TOPOLOGY_SINK, &sink_role);
    add_input(1, 1, "split.rejects", buffer);
}

static struct host_snapshot final;
static struct snapshot_node final_nodes[NODES_MAX];
static int64_t split_out[2];

static void progress(void *arg, const struct host_snapshot *snapshot, bool last) {
    (void)arg;
    if (last) {
        final = *snapshot;
        for (size_t i = 0; i < snapshot->n_nodes; i++) {
            final_nodes[i] = snapshot->nodes[i];
        }
        for (size_t i = 0; snapshot->n_nodes > 1 && i < snapshot->nodes[1].n_outputs; i++) {
            split_out[i] = snapshot->nodes[1].outputs[i].rows;
        }
    }
}

static sl_error *run(void) {
    const struct host_options options = {.until_end = true, .progress = progress};
    return host_run(&topology, &options);
}

static void setup(void) {
    memset(&disk, 0, sizeof(disk));
    memset(&disk_positions, 0, sizeof(disk_positions));
    memset(&script, 0, sizeof(script));
    script.rows = 5000;
    script.batch = 137;
    script.filter = 7;
}

static void assert_each_once(void) {
    for (int p = 0; p < PARTITIONS; p++) {
        for (int64_t i = 0; i < script.rows; i++) {
            ck_assert_msg(disk.seen[p][i] == 1, "partition %d offset %d was seen %d times", p,
                          (int)i, disk.seen[p][i]);
        }
    }
}

static void assert_positions(int64_t at, size_t n) {
    ck_assert_uint_eq(disk_positions.n, n);
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(disk_positions.at[i].offset == at, "%s is at %d", disk_positions.at[i].key,
                      (int)disk_positions.at[i].offset);
    }
}

START_TEST(test_every_row_arrives_once) {
    build(&sink_role, 1 << 20);
    ck_assert_ptr_null(run());
    assert_each_once();
    assert_positions(script.rows, 2 * PARTITIONS);
    ck_assert_int_eq(split_out[0] + split_out[1], PARTITIONS * script.rows);
    ck_assert_str_eq(disk_positions.at[0].key + strlen(disk_positions.at[0].key) -
                         strlen("/source/topic/0"),
                     "/source/topic/0");
}
END_TEST

START_TEST(test_a_second_run_adds_nothing_and_new_rows_once) {
    build(&sink_role, 1 << 20);
    ck_assert_ptr_null(run());
    topology.lanes = 1;
    ck_assert_ptr_null(run());
    assert_each_once();
    script.rows += 1000;
    topology.lanes = 2;
    ck_assert_ptr_null(run());
    assert_each_once();
    assert_positions(script.rows, 2 * PARTITIONS);
}
END_TEST

/* A filter that lets nothing through: the sink behind it must still move. */
START_TEST(test_positions_move_without_rows) {
    script.filter = 1;
    build(&sink_role, 1 << 20);
    ck_assert_ptr_null(run());
    assert_each_once();
    assert_positions(script.rows, 2 * PARTITIONS);
}
END_TEST

START_TEST(test_a_full_edge_holds_reading_back_and_loses_nothing) {
    build(&sink_role, 1000);
    ck_assert_ptr_null(run());
    assert_each_once();
}
END_TEST

/* One batch of all partitions is more than the bound: reading goes on one by one, and what was
 * charged is given back. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
START_TEST(test_a_crash_names_the_node_that_was_running) {
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(fds[1], STDERR_FILENO);
        script.crash_at = 100;
        build(&sink_role, 1 << 20);
        run();
        _exit(0);
    }
    close(fds[1]);
    char text[4096] = "";
    size_t n = 0;
    ssize_t got;
    while (n < sizeof(text) - 1 && (got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0) {
        n += (size_t)got;
    }
    text[n] = '\0';
    close(fds[0]);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    ck_assert_msg(strstr(text, "crashed by SIGSEGV while node good was running") != NULL, "%s",
                  text);
    ck_assert_ptr_nonnull(strstr(text, "Stack:"));
}
END_TEST
#endif

START_TEST(test_memory_max_holds_reading_back_and_loses_nothing) {
    build(&sink_role, 1 << 20);
    topology.memory_max_bytes = 2000;
    ck_assert_ptr_null(run());
    assert_each_once();
    ck_assert_int_eq(final.path_bytes, 0);
}
END_TEST

START_TEST(test_a_retriable_commit_is_tried_again) {
    script.retriable = 3;
    build(&sink_role, 1 << 20);
    ck_assert_ptr_null(run());
    assert_each_once();
}
END_TEST

/* Different nodes stop at different positions; the next run reads from the smallest and cuts at the
 * others. */
START_TEST(test_a_lost_race_is_recovered_from_what_is_stored) {
    script.conflicts = 5;
    script.batch = 20;
    build(&sink_role, 6000);
    ck_assert_ptr_null(run());
    assert_each_once();
    assert_positions(script.rows, 2 * PARTITIONS);
    ck_assert_int_eq(script.conflicts, 0);
}
END_TEST

START_TEST(test_a_commit_that_was_applied_after_all_is_not_repeated) {
    script.conflicts = 5;
    script.applied = 1;
    script.batch = 20;
    build(&sink_role, 6000);
    ck_assert_ptr_null(run());
    assert_each_once();
    assert_positions(script.rows, 2 * PARTITIONS);
}
END_TEST

START_TEST(test_steps_of_the_start_are_tried_again) {
    script.unready = 4;
    build(&sink_role, 1 << 20);
    topology.retry_timeout_us = 60000000;
    ck_assert_ptr_null(run());
    assert_each_once();
    ck_assert_int_eq(script.unready, 0);
}
END_TEST

START_TEST(test_a_start_that_never_succeeds_ends_the_run) {
    script.unready = 1 << 30;
    build(&sink_role, 1 << 20);
    topology.retry_timeout_us = 300000;
    sl_error *error = run();
    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_nonnull(
        strstr(sl_error_message(error), "node source failed: cannot start: not yet"));
    sl_error_free(error);
}
END_TEST

START_TEST(test_a_run_that_ends_anywhere_goes_on_exactly) {
    build(&sink_role, 20000);
    for (int i = 0; i < 50; i++) {
        script.stop_after = disk.commits + 1 + i % 3;
        script.batch = 60 + i * 13;
        topology.lanes = 1 + (uint32_t)i % 4;
        sl_error *error = run();
        bool ended = error == NULL;
        sl_error_free(error);
        if (ended) {
            break;
        }
    }
    script.stop_after = 0;
    ck_assert_ptr_null(run());
    assert_each_once();
    assert_positions(script.rows, 2 * PARTITIONS);
}
END_TEST

START_TEST(test_a_failing_node_leaves_the_others_alone) {
    build(&sink_role, 1 << 20);
    nodes[2].role = &plain_role;
    script.fatal_after = 4000;
    sl_error *error = run();
    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_nonnull(strstr(sl_error_message(error), "the sink broke"));
    ck_assert_ptr_nonnull(strstr(sl_error_message(error), "topic partition"));
    sl_error_free(error);
    script.fatal_after = 0;
    memset(disk.seen, 0, sizeof(disk.seen));
    disk_positions.n = 0;
    ck_assert_ptr_null(run());
    assert_each_once();
}
END_TEST

START_TEST(test_the_host_keeps_positions_for_a_sink_that_keeps_none) {
    char folder[] = "/tmp/sluice-host-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    build(&plain_role, 1 << 20);
    topology.state_url = folder;
    ck_assert_ptr_null(run());
    assert_each_once();
    ck_assert_ptr_null(run());
    assert_each_once();
    script.rows += 500;
    ck_assert_ptr_null(run());
    assert_each_once();
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* Each goes on from what the other has stored, and neither reads anything twice for it; also when
 * it has missed so many versions that those it knew are gone. */
static void run_beside_another_host(int others) {
    static char text[1 << 16];
    char folder[] = "/tmp/sluice-host-XXXXXX";
    char command[128];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    build(&plain_role, 20000);
    topology.state_url = folder;
    script.batch = 60;
    script.state = folder;
    script.others = others;
    ck_assert_ptr_null(run());
    assert_each_once();
    ck_assert_int_gt(script.by_others, 3 * others);
    script.rows += 500;
    ck_assert_ptr_null(run());
    assert_each_once();
    ck_assert_int_gt(newest_version(text, sizeof(text)), 0);
    const char *own = strstr(text, OTHERS_KEY);
    ck_assert_ptr_nonnull(own);
    ck_assert_int_eq(atoll(own + strlen(OTHERS_KEY)), script.by_others);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(test_hosts_of_a_group_keep_positions_of_one_sink) {
    run_beside_another_host(1);
}
END_TEST

START_TEST(test_a_host_that_missed_many_versions_goes_on_behind_them) {
    run_beside_another_host(20);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("runtime_host");
    TCase *host = tcase_create("host");
    tcase_set_timeout(host, 120);
    tcase_add_checked_fixture(host, setup, NULL);
    tcase_add_test(host, test_every_row_arrives_once);
    tcase_add_test(host, test_a_second_run_adds_nothing_and_new_rows_once);
    tcase_add_test(host, test_positions_move_without_rows);
    tcase_add_test(host, test_a_full_edge_holds_reading_back_and_loses_nothing);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(host, test_a_crash_names_the_node_that_was_running);
#endif
    tcase_add_test(host, test_memory_max_holds_reading_back_and_loses_nothing);
    tcase_add_test(host, test_a_retriable_commit_is_tried_again);
    tcase_add_test(host, test_a_lost_race_is_recovered_from_what_is_stored);
    tcase_add_test(host, test_a_commit_that_was_applied_after_all_is_not_repeated);
    tcase_add_test(host, test_steps_of_the_start_are_tried_again);
    tcase_add_test(host, test_a_start_that_never_succeeds_ends_the_run);
    tcase_add_test(host, test_a_run_that_ends_anywhere_goes_on_exactly);
    tcase_add_test(host, test_a_failing_node_leaves_the_others_alone);
    tcase_add_test(host, test_the_host_keeps_positions_for_a_sink_that_keeps_none);
    tcase_add_test(host, test_hosts_of_a_group_keep_positions_of_one_sink);
    tcase_add_test(host, test_a_host_that_missed_many_versions_goes_on_behind_them);
    suite_add_tcase(suite, host);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
