/*
 * A world for tests of the host: plugins that live in the test's program, whose behaviour (slow,
 * failing, revoking, pausing, crashing) each node's config says, and a "disk" that outlives a run.
 * Every row carries where it came from, so that a test can say how often each sink must have it.
 * The plugins check what the host owes them: ranges without gaps, pieces inside their positions.
 */
#ifndef TESTS_HOST_WORLD_H
#define TESTS_HOST_WORLD_H

#include "host/host.h"
#include "host_disk.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCES_MAX = 2, PARTITIONS = 4, ROWS_MAX = 1500, NODES_MAX = 12, INPUTS_MAX = 3 };
enum { STREAMS_MAX = 8192, OUTBOX_MAX = 4 * SOURCES_MAX * PARTITIONS * ROWS_MAX };

enum slowness { AT_ONCE, ON_POOL_THREAD, BY_TIMER };

/* What a sink does not do while streams of the first source still are to leave: take a batch,
 * flush, commit, answer a commit, return from a commit (on a thread of its own). */
enum gate { GATE_NONE, GATE_PROCESS, GATE_FLUSH, GATE_COMMIT, GATE_ANSWER, GATE_HANG, GATES };

enum question { ASKED_NOTHING, ASKED_FOR_POSITIONS, ASKED_TO_RESUME, ASKED_TO_COMMIT };

/* What a node does besides its work. Numbers count down: so many times. */
struct behaviour {
    size_t index; /* of the node */
    uint64_t seed;
    int rows; /* source: of each partition */
    int batch;
    int filter; /* transform: every so manieth row goes to "rejects"; 0: none */
    int one_in_pauses;
    int one_in_holds;
    int one_in_empty; /* source: a poll finds nothing, a timer wakes */
    bool ends_late;   /* source: its partition 0, not until `released` */
    int one_in_retries;
    enum slowness flush;
    enum gate gate;
    atomic_int failing_flushes;
    atomic_int failing_commits;
    atomic_int conflicts;      /* commits that lose a race */
    atomic_int late_conflicts; /* the same, of the last commit at the end of the data */
    bool applied;              /* ... although they were applied, as after an unclear answer */
    atomic_int failing_resumes;
    atomic_int overtaken;        /* resumes that are refused: somebody else has gone on */
    atomic_int failing_attaches; /* for good */
    atomic_int broken_batches;   /* fail the node */
    atomic_int broken_commits;   /* the same */
    atomic_int renewals;         /* it asks to be made anew */
    enum question hangs;         /* in its answer, until `released` */
    atomic_bool hanging;         /* it has been asked */
    bool unrecoverable;          /* positions cannot be asked for */
    bool unresumable;            /* the last stream cannot be resumed */
    atomic_int revocations;
    bool lost;
    bool tells_missing;       /* source: what is revoked is with another host until it comes back */
    bool stays_away;          /* ... which it does not until `released` */
    atomic_int fatal_flush;   /* fails for good when it comes to 0 from above */
    atomic_int commits_left;  /* then it fails for good; negative: never */
    atomic_int signal_after;  /* polls until SIGTERM; 0: never */
    atomic_int failing_opens; /* for good, and starts that fail for good */
    atomic_int failing_starts;
    atomic_int passing_starts; /* that fail, and may pass */
    bool starts_late;          /* they do until `released` */
    atomic_int failing_tasks;  /* for good: on so many lanes */
    atomic_int open;           /* objects of its node */
    atomic_int most_open;
    int outbox_max; /* owner: more results are not kept for detached readers; 0: all are */
};

static atomic_int handles; /* of resume, that nobody has freed yet */
static atomic_bool released;

static struct behaviour behaviours[NODES_MAX];

/* ---- the disk ---- */

static struct {
    uint8_t seen[NODES_MAX][SOURCES_MAX][PARTITIONS][ROWS_MAX];
    int64_t outbox[NODES_MAX][OUTBOX_MAX];
    int64_t n_outbox[NODES_MAX];
} disk;

static int64_t row_id(size_t source, int partition, int64_t offset) {
    return (int64_t)source << 48 | (int64_t)partition << 32 | offset;
}

/* ---- nodes and tasks ---- */

struct sl_node {
    sl_object *self;
    const char *name;
    struct behaviour *does;
    /* source */
    sl_timer *timer;
    /* owner of streams */
    const sl_stream *own;
    int64_t emitted;
    /* one that assigns them, while the first partition is here */
    const sl_stream *first;
    enum { OWN_AWAY, OWN_ASSIGNED, OWN_REVOKED } has_own;
    /* commit that is answered late */
    const sl_commit *commit;
    sl_request *request;
};

struct row {
    uint32_t stream;
    uint32_t input;
    int64_t offset;
    int64_t id;
};
struct piece {
    size_t n;
    size_t capacity;
    struct row *rows;
};

struct sl_task {
    sl_object *self;
    struct behaviour *does;
    uint64_t random;
    int64_t next[STREAMS_MAX]; /* by stream: what must come next */
    struct piece *taken;
    struct piece *flushing;
    void **piece_out;
    sl_request *request;
    sl_timer *timer;      /* of pauses */
    sl_timer *wake_timer; /* of empty polls and slow flushes */
    const sl_stream *waiting;
    const sl_stream *held; /* back, until `timer` */
};

static bool one_in(struct sl_task *task, int n) {
    task->random ^= task->random << 13;
    task->random ^= task->random >> 7;
    task->random ^= task->random << 17;
    return n > 0 && task->random % (uint64_t)n == 0;
}

/* Takes one of what is left; true when there was one. */
static bool take_one(atomic_int *left) {
    int now = atomic_load(left);
    while (now > 0 && !atomic_compare_exchange_weak(left, &now, now - 1)) {
    }
    return now > 0;
}

static sl_error *retriable(const char *what) {
    return services->error_new(SL_ERROR_RETRIABLE, what);
}

static sl_error *world_open(const sl_node_context *context, sl_node **out) {
    if (services == NULL) { /* a node that is opened anew finds other threads reading it */
        services = context->services;
    }
    struct behaviour *does = (struct behaviour *)(uintptr_t)context->config;
    if (take_one(&does->failing_opens)) {
        return services->error_new(SL_ERROR_FATAL, "does not open");
    }
    sl_node *node = calloc(1, sizeof(*node));
    node->self = context->self;
    node->name = context->name;
    node->does = does;
    int open = atomic_fetch_add(&does->open, 1) + 1;
    if (open > atomic_load(&does->most_open)) {
        atomic_store(&does->most_open, open);
    }
    *out = node;
    return NULL;
}

static sl_error *failing_start(struct behaviour *does) {
    if (take_one(&does->failing_starts)) {
        return services->error_new(SL_ERROR_FATAL, "does not start");
    }
    bool late = does->starts_late && !atomic_load(&released);
    return late || take_one(&does->passing_starts) ? retriable("not started yet") : NULL;
}

static void world_start(sl_node *node, sl_request *request) {
    services->done(request, failing_start(node->does));
}

static void world_close(sl_node *node) {
    if (node->timer != NULL) {
        services->timer_stop(node->timer);
    }
    atomic_fetch_sub(&node->does->open, 1);
    free(node);
}

static sl_error *world_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)node;
    (void)output;
    return sl_raw_schema(out);
}

static void hang(const sl_node *node, enum question question) {
    const struct timespec pause = {.tv_nsec = 1000000};
    while (node->does->hangs == question && !atomic_load(&released)) {
        atomic_store(&node->does->hanging, true);
        (void)nanosleep(&pause, NULL);
    }
}

static void world_recover(sl_node *node, sl_position *positions, size_t n, sl_request *request) {
    hang(node, ASKED_FOR_POSITIONS);
    if (node->does->unrecoverable) {
        services->done(request, services->error_new(SL_ERROR_FATAL, "has lost its positions"));
        return;
    }
    recover_positions(positions, n);
    services->done(request, NULL);
}

static bool gate_is_closed(const struct behaviour *does, enum gate gate) {
    return does->gate == gate && atomic_load(&behaviours[0].revocations) > 0;
}

static sl_error *world_task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    if (take_one(&node->does->failing_tasks)) {
        return services->error_new(SL_ERROR_FATAL, "opens no more");
    }
    sl_task *task = calloc(1, sizeof(*task));
    task->self = context->self;
    task->does = node->does;
    task->random = node->does->seed * 2654435761u + context->lane + 1;
    *out = task;
    return NULL;
}

static void piece_free(struct piece *piece) {
    if (piece != NULL) {
        free(piece->rows);
        free(piece);
    }
}

static void world_task_close(sl_task *task) {
    ck_assert_ptr_null(task->request);
    if (task->timer != NULL) {
        services->timer_stop(task->timer);
    }
    if (task->wake_timer != NULL) {
        services->timer_stop(task->wake_timer);
    }
    piece_free(task->taken);
    piece_free(task->flushing);
    free(task);
}

static void world_drop(sl_node *node, void *piece) {
    (void)node;
    piece_free(piece);
}

static int64_t id_at(const sl_batch *batch, int64_t row) {
    const struct ArrowArray *values = batch->columns->children[SL_RAW_VALUE];
    const int32_t *offsets = values->buffers[1];
    int64_t id;
    memcpy(&id, (const char *)values->buffers[2] + offsets[row], sizeof(id));
    return id;
}

static int64_t offset_at(const sl_batch *batch, int64_t row) {
    return ((const int64_t *)batch->columns->children[SL_RAW_OFFSET]->buffers[1])[row];
}

/* ---- source ---- */

static void revoke_some(void *arg);

static void plan_revocation(sl_node *node) {
    if (!take_one(&node->does->revocations)) {
        services->all_assigned(node->self);
        return;
    }
    sl_error *error = services->timer_start(node->self, 2 + node->does->seed % 9, 0, revoke_some,
                                            node, &node->timer);
    ck_assert_ptr_null(error);
}

static void topic_names(sl_stream_name *of) {
    for (int i = 0; i < PARTITIONS; i++) {
        of[i] = (sl_stream_name){"topic", i};
    }
}

static void tell_missing(sl_node *node, size_t missing) {
    if (node->does->tells_missing) {
        services->missing(node->self, missing, PARTITIONS);
    }
}

static void revoked(void *arg);

static void look_again(void *arg) {
    sl_node *node = arg;
    services->timer_stop(node->timer);
    node->timer = NULL;
    revoked(node);
}

static void revoked(void *arg) {
    sl_node *node = arg;
    if (node->does->stays_away && !atomic_load(&released)) {
        ck_assert_ptr_null(services->timer_start(node->self, 1, 0, look_again, node, &node->timer));
        return;
    }
    sl_stream_name topics[PARTITIONS];
    topic_names(topics);
    tell_missing(node, 0);
    services->assign(node->self, topics + 1, 2);
    plan_revocation(node);
}

static void revoke_some(void *arg) {
    sl_node *node = arg;
    services->timer_stop(node->timer);
    node->timer = NULL;
    sl_stream_name topics[PARTITIONS];
    topic_names(topics);
    services->revoke(node->self, topics + 1, 2, node->does->lost, revoked, node);
    tell_missing(node, 2);
}

static void source_start(sl_node *node, sl_request *request) {
    sl_error *error = failing_start(node->does);
    if (error != NULL) {
        services->done(request, error);
        return;
    }
    sl_stream_name topics[PARTITIONS];
    topic_names(topics);
    tell_missing(node, PARTITIONS);
    tell_missing(node, 0);
    services->assign(node->self, topics, PARTITIONS);
    plan_revocation(node);
    services->done(request, NULL);
}

static void source_resolve(sl_node *node, const sl_stream *stream, int64_t *offset,
                           sl_request *request) {
    (void)stream;
    *offset = 0;
    services->done(request,
                   take_one(&node->does->failing_resumes) ? retriable("not known yet") : NULL);
}

static void drop_handle(sl_node *node, const sl_stream *stream, void *handle) {
    (void)node;
    (void)stream;
    atomic_fetch_sub(&handles, 1);
    free(handle);
}

static sl_error *world_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    if (how->handle != NULL) {
        drop_handle(NULL, stream, how->handle);
    }
    if (atomic_load(&task->does->failing_attaches) > 0 && stream->partition == 2 &&
        take_one(&task->does->failing_attaches)) {
        return services->error_new(SL_ERROR_FATAL, "attaches no more");
    }
    ck_assert_uint_lt(stream->index, SL_ARRAY_LENGTH(task->next));
    task->next[stream->index] = how->offset;
    return NULL;
}

static void wake_up(void *arg) {
    sl_task *task = arg;
    services->timer_stop(task->wake_timer);
    task->wake_timer = NULL;
    services->wake(task->self, task->waiting);
}

static sl_error *poll_later(sl_task *task, const sl_stream *stream, sl_poll_state *state) {
    *state = SL_POLL_EMPTY;
    task->waiting = stream;
    return services->timer_start(task->self, 1, 0, wake_up, task, &task->wake_timer);
}

static sl_error *poll_end(sl_task *task, const sl_stream *stream, sl_poll_state *state) {
    bool waits = task->does->ends_late && stream->partition == 0 && !atomic_load(&released);
    if (waits && stream->reader == 0 && task->wake_timer == NULL) {
        return poll_later(task, stream, state);
    }
    *state = stream->reader != 0 ? SL_POLL_EMPTY : waits ? SL_POLL_MORE : SL_POLL_ENDED;
    return NULL;
}

/* Once it has got on. (Check has a macro named fail.) */
static void ask_for_renewal(sl_task *task, int64_t offset) {
    if (offset > 0 && take_one(&task->does->renewals)) {
        (services->fail)(task->self, services->error_new(SL_ERROR_RETRIABLE, "wants to be new"));
    }
}

static sl_error *source_poll(sl_task *task, const sl_stream *stream, size_t max_bytes,
                             sl_poll_state *state) {
    (void)max_bytes;
    struct behaviour *does = task->does;
    if (task->next[stream->index] > 0 && take_one(&does->broken_batches)) {
        return services->error_new(SL_ERROR_FATAL, "reads no more");
    }
    ask_for_renewal(task, task->next[stream->index]);
    if (atomic_load(&does->signal_after) > 0 && atomic_fetch_sub(&does->signal_after, 1) == 1) {
        raise(SIGTERM);
    }
    int64_t first = task->next[stream->index];
    if (first >= does->rows) {
        return poll_end(task, stream, state);
    }
    if (task->wake_timer == NULL && one_in(task, does->one_in_empty)) {
        return poll_later(task, stream, state);
    }
    int64_t n = does->rows - first < does->batch ? does->rows - first : does->batch;
    int64_t ids[ROWS_MAX];
    for (int64_t i = 0; i < n; i++) {
        ids[i] = row_id(does->index, stream->partition, first + i);
    }
    task->next[stream->index] = first + n;
    *state = SL_POLL_MORE;
    return emit_rows(task->self, stream, first, n, ids);
}

static void source_detach(sl_task *task, const sl_stream *stream) {
    if (task->wake_timer != NULL && task->waiting == stream) {
        services->timer_stop(task->wake_timer);
        task->wake_timer = NULL;
    }
}

static const sl_node_ops source_node = {.struct_bytes = sizeof(sl_node_ops),
                                        .open = world_open,
                                        .output_schema = world_schema,
                                        .start = source_start,
                                        .resolve = source_resolve,
                                        .close = world_close};
static const sl_task_ops source_task = {.struct_bytes = sizeof(sl_task_ops),
                                        .open = world_task_open,
                                        .attach = world_attach,
                                        .detach = source_detach,
                                        .poll = source_poll,
                                        .close = world_task_close};
static const sl_role source_role = {.struct_bytes = sizeof(sl_role),
                                    .flags = SL_ROLE_REREADS,
                                    .guarantee = SL_EXACTLY_ONCE,
                                    .node = &source_node,
                                    .task = &source_task};

/* ---- what all that take batches do ---- */

static void go_on(void *arg) {
    sl_task *task = arg;
    services->timer_stop(task->timer);
    task->timer = NULL;
    if (task->held != NULL) {
        services->hold_back(task->self, task->held, 0);
        task->held = NULL;
    } else {
        services->pause(task->self, 0);
    }
}

/* It is held no longer, since it has gone. */
static void split_detach(sl_task *task, const sl_stream *stream) {
    if (task->held == stream) {
        services->timer_stop(task->timer);
        task->timer = NULL;
        task->held = NULL;
    }
}

/* What the host owes, then perhaps a pause or a failure that passes. */
static sl_error *before_taking(sl_task *task, const sl_batch *batch) {
    if (batch->rows > 0 && batch->first_offset > 0 && take_one(&task->does->broken_batches)) {
        return services->error_new(SL_ERROR_FATAL, "broke");
    }
    ask_for_renewal(task, batch->rows > 0 ? batch->first_offset : 0);
    if (gate_is_closed(task->does, GATE_PROCESS) || one_in(task, task->does->one_in_retries)) {
        return retriable("process: not now");
    }
    if (task->timer == NULL && one_in(task, task->does->one_in_pauses)) {
        services->pause(task->self, 1);
        ck_assert_ptr_null(services->timer_start(task->self, 1, 0, go_on, task, &task->timer));
    }
    if (task->timer == NULL && one_in(task, task->does->one_in_holds)) {
        task->held = batch->stream;
        services->hold_back(task->self, batch->stream, 1);
        ck_assert_ptr_null(services->timer_start(task->self, 1, 0, go_on, task, &task->timer));
    }
    ck_assert_int_le(batch->first_offset, batch->next_offset);
    return NULL;
}

/* ---- transform without state, or with it (replays) ---- */

static sl_error *split(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    sl_error *error = before_taking(task, batch);
    if (error != NULL) {
        return error;
    }
    int filter = task->does->filter;
    if (filter == 0) {
        return batch->rows == 0 ? NULL : services->forward(task->self, 0, batch);
    }
    uint8_t outputs[ROWS_MAX];
    for (int64_t i = 0; i < batch->rows; i++) {
        outputs[i] = (id_at(batch, i) & UINT32_MAX) % filter == 0;
    }
    return emit_split(task->self, batch, outputs);
}

/* One that must see everything from where the stream begins, without a gap. */
static sl_error *replay(sl_task *task, uint32_t input, const sl_batch *batch) {
    ck_assert_int_eq(batch->first_offset, task->next[batch->stream->index]);
    sl_error *error = split(task, input, batch);
    if (error == NULL) {
        task->next[batch->stream->index] = batch->next_offset;
    }
    return error;
}

static void replay_flush(sl_task *task, void **piece, sl_request *request) {
    (void)piece;
    services->done(request,
                   take_one(&task->does->failing_flushes) ? retriable("flush: not now") : NULL);
}

/* Every row of a piece lies in what the commit covers of its stream. */
static void check_covered(const sl_commit *commit, const struct row *row) {
    for (size_t i = 0; i < commit->n_positions; i++) {
        const sl_position *position = &commit->positions[i];
        if (position->stream->index == row->stream && position->input == row->input) {
            ck_assert_int_ge(row->offset, position->from == SL_OFFSET_NONE ? 0 : position->from);
            ck_assert_int_lt(row->offset, position->to);
            return;
        }
    }
    ck_abort_msg("a piece has offset %d of a stream that its commit does not cover",
                 (int)row->offset);
}

/* For as long as there is enough to come that the node can be restarted. */
static bool comes_early(const sl_commit *commit) {
    return commit->n_positions > 0 && commit->positions[0].to < behaviours[0].rows / 2;
}

static sl_error *failing_commit(struct behaviour *does, const sl_commit *commit) {
    if (gate_is_closed(does, GATE_COMMIT) || take_one(&does->failing_commits)) {
        return retriable("commit: not now");
    }
    if (comes_early(commit) && take_one(&does->broken_commits)) {
        return services->error_new(SL_ERROR_FATAL, "commits no more");
    }
    int left = atomic_load(&does->commits_left);
    if (left >= 0 && !take_one(&does->commits_left)) {
        return services->error_new(SL_ERROR_FATAL, "pulled the plug");
    }
    return NULL;
}

/* Commits, as the node's behaviour says: each(node, row) for each row of the pieces. */
static sl_error *commit_pieces(sl_node *node, const sl_commit *commit,
                               void (*each)(size_t node, int64_t id)) {
    bool last = (commit->flags & SL_COMMIT_LAST) != 0;
    bool lost = take_one(&node->does->conflicts) || (last && take_one(&node->does->late_conflicts));
    bool applied = !lost || node->does->applied;
    sl_error *error = failing_commit(node->does, commit);
    error = error != NULL || !applied ? error : move_positions(commit);
    for (size_t p = 0; error == NULL && p < commit->n_pieces; p++) {
        struct piece *piece = commit->pieces[p];
        for (size_t i = 0; applied && i < piece->n; i++) {
            check_covered(commit, &piece->rows[i]);
            each(node->does->index, piece->rows[i].id);
        }
        if (!lost) {
            piece_free(piece);
        }
    }
    return error == NULL && lost ? services->error_new(SL_ERROR_CONFLICT, "somebody was faster")
                                 : error;
}

static void replay_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    pthread_mutex_lock(&disk_lock);
    sl_error *error = commit_pieces(node, commit, NULL);
    pthread_mutex_unlock(&disk_lock);
    services->done(request, error);
}

static const char *const split_outputs[] = {"", "rejects", NULL};
static const sl_node_ops split_node = {.struct_bytes = sizeof(sl_node_ops),
                                       .open = world_open,
                                       .output_schema = world_schema,
                                       .start = world_start,
                                       .close = world_close};
static const sl_task_ops split_task = {.struct_bytes = sizeof(sl_task_ops),
                                       .open = world_task_open,
                                       .detach = split_detach,
                                       .process = split,
                                       .close = world_task_close};
static const sl_role split_role = {.struct_bytes = sizeof(sl_role),
                                   .guarantee = SL_EXACTLY_ONCE,
                                   .outputs = split_outputs,
                                   .min_inputs = 1,
                                   .max_inputs = 1,
                                   .node = &split_node,
                                   .task = &split_task};

static const sl_node_ops replay_node = {.struct_bytes = sizeof(sl_node_ops),
                                        .open = world_open,
                                        .output_schema = world_schema,
                                        .start = world_start,
                                        .recover = world_recover,
                                        .commit = replay_commit,
                                        .drop_piece = world_drop,
                                        .close = world_close};
static const sl_task_ops replay_task = {.struct_bytes = sizeof(sl_task_ops),
                                        .open = world_task_open,
                                        .attach = world_attach,
                                        .detach = split_detach,
                                        .process = replay,
                                        .flush = replay_flush,
                                        .close = world_task_close};
static const sl_role replay_role = {.struct_bytes = sizeof(sl_role),
                                    .flags = SL_ROLE_DURABLE | SL_ROLE_REPLAYS | SL_ROLE_BLOCKING,
                                    .guarantee = SL_EXACTLY_ONCE,
                                    .outputs = split_outputs,
                                    .min_inputs = 1,
                                    .max_inputs = 1,
                                    .node = &replay_node,
                                    .task = &replay_task};

/* ---- pieces: sinks and the owner of streams collect rows ---- */

static sl_error *collect(sl_task *task, uint32_t input, const sl_batch *batch) {
    sl_error *error = before_taking(task, batch);
    if (error != NULL || batch->rows == 0) {
        return error;
    }
    struct piece *piece = task->taken;
    if (piece == NULL) {
        piece = task->taken = calloc(1, sizeof(*piece));
    }
    if (piece->n + (size_t)batch->rows > piece->capacity) {
        piece->capacity = 2 * (piece->n + (size_t)batch->rows);
        piece->rows = realloc(piece->rows, piece->capacity * sizeof(*piece->rows));
    }
    for (int64_t i = 0; i < batch->rows; i++) {
        piece->rows[piece->n++] =
            (struct row){batch->stream->index, input, offset_at(batch, i), id_at(batch, i)};
    }
    services->hold(task->self, piece->n * 100);
    return NULL;
}

/* Rows of a stream that went are forgotten, as long as no flush has them. */
static void collect_detach(sl_task *task, const sl_stream *stream) {
    split_detach(task, stream);
    size_t kept = 0;
    for (size_t i = 0; task->taken != NULL && i < task->taken->n; i++) {
        if (task->taken->rows[i].stream != stream->index) {
            task->taken->rows[kept++] = task->taken->rows[i];
        }
    }
    if (task->taken != NULL) {
        task->taken->n = kept;
    }
}

static void hand_over(sl_task *task) {
    sl_request *request = task->request;
    task->request = NULL;
    if (gate_is_closed(task->does, GATE_FLUSH) || take_one(&task->does->failing_flushes)) {
        services->done(request, retriable("flush: not now"));
        return;
    }
    if (atomic_load(&task->does->fatal_flush) > 0 && take_one(&task->does->fatal_flush) &&
        atomic_load(&task->does->fatal_flush) == 0) {
        services->done(request, services->error_new(SL_ERROR_FATAL, "flushes no more"));
        return;
    }
    *task->piece_out = task->flushing;
    task->flushing = NULL;
    services->done(request, NULL);
}

static void hand_over_later(void *arg) {
    sl_task *task = arg;
    services->timer_stop(task->wake_timer);
    task->wake_timer = NULL;
    hand_over(task);
}

static void on_pool_thread(void *arg) {
    hand_over(arg);
}

static void nothing(void *arg) {
    (void)arg;
}

static void collect_flush(sl_task *task, void **piece, sl_request *request) {
    ck_assert_ptr_null(task->request);
    if (task->flushing == NULL) { /* else it is tried again */
        task->flushing = task->taken;
        task->taken = NULL;
        services->hold(task->self, 0);
    }
    task->request = request;
    task->piece_out = piece;
    if (task->does->flush == ON_POOL_THREAD) {
        ck_assert_ptr_null(services->work(task->self, on_pool_thread, nothing, task));
    } else if (task->does->flush == BY_TIMER) {
        ck_assert_ptr_null(
            services->timer_start(task->self, 1, 0, hand_over_later, task, &task->wake_timer));
    } else {
        hand_over(task);
    }
}

/* ---- durable sink ---- */

static void see(size_t node, int64_t id) {
    disk.seen[node][id >> 48][id >> 32 & 0xff][id & UINT32_MAX]++;
}

static void look_at_gate(void *arg) {
    sl_node *node = arg;
    if (gate_is_closed(node->does, GATE_ANSWER)) {
        return;
    }
    services->timer_stop(node->timer);
    node->timer = NULL;
    pthread_mutex_lock(&disk_lock);
    sl_error *error = commit_pieces(node, node->commit, see);
    pthread_mutex_unlock(&disk_lock);
    services->done(node->request, error);
}

static void sink_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    const struct timespec pause = {.tv_nsec = 1000000};
    hang(node, ASKED_TO_COMMIT);
    while (gate_is_closed(node->does, GATE_HANG)) {
        (void)nanosleep(&pause, NULL);
    }
    if (gate_is_closed(node->does, GATE_ANSWER)) {
        node->commit = commit;
        node->request = request;
        ck_assert_ptr_null(
            services->timer_start(node->self, 1, 1, look_at_gate, node, &node->timer));
        return;
    }
    pthread_mutex_lock(&disk_lock);
    sl_error *error = commit_pieces(node, commit, see);
    pthread_mutex_unlock(&disk_lock);
    services->done(request, error);
}

static void sink_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                        void **handle, sl_request *request) {
    ck_assert(position == SL_OFFSET_NONE || offset <= position);
    hang(node, ASKED_TO_RESUME);
    if (take_one(&node->does->failing_resumes)) {
        services->done(request, retriable("not resumed yet"));
        return;
    }
    if (take_one(&node->does->overtaken)) {
        services->done(request, services->error_new(SL_ERROR_CONFLICT, "has gone on"));
        return;
    }
    if (node->does->unresumable && stream->partition == PARTITIONS - 1) {
        services->done(request, services->error_new(SL_ERROR_FATAL, "resumes no more"));
        return;
    }
    *handle = calloc(1, 1);
    atomic_fetch_add(&handles, 1);
    services->done(request, NULL);
}

static const sl_node_ops sink_node = {.struct_bytes = sizeof(sl_node_ops),
                                      .open = world_open,
                                      .start = world_start,
                                      .recover = world_recover,
                                      .resume = sink_resume,
                                      .commit = sink_commit,
                                      .drop_piece = world_drop,
                                      .close = world_close,
                                      .drop_handle = drop_handle};
static const sl_task_ops sink_task = {.struct_bytes = sizeof(sl_task_ops),
                                      .open = world_task_open,
                                      .attach = world_attach,
                                      .detach = collect_detach,
                                      .process = collect,
                                      .flush = collect_flush,
                                      .close = world_task_close};
static const sl_role sink_role = {.struct_bytes = sizeof(sl_role),
                                  .flags = SL_ROLE_DURABLE | SL_ROLE_COUNTS | SL_ROLE_BESIDE,
                                  .guarantee = SL_EXACTLY_ONCE,
                                  .min_inputs = 1,
                                  .max_inputs = INPUTS_MAX,
                                  .node = &sink_node,
                                  .task = &sink_task};
static const sl_role blocking_sink_role = {.struct_bytes = sizeof(sl_role),
                                           .flags =
                                               SL_ROLE_DURABLE | SL_ROLE_BLOCKING | SL_ROLE_COUNTS,
                                           .guarantee = SL_EXACTLY_ONCE,
                                           .min_inputs = 1,
                                           .max_inputs = INPUTS_MAX,
                                           .node = &sink_node,
                                           .task = &sink_task};

/* ---- owner of streams: rows are numbered anew, kept in an outbox, then sent ---- */

static sl_error *send_results(sl_node *node) {
    int64_t end = disk.n_outbox[node->does->index];
    sl_error *error = NULL;
    while (node->own != NULL && node->emitted < end && error == NULL) {
        int64_t n = end - node->emitted < 100 ? end - node->emitted : 100;
        error = emit_rows(node->self, node->own, node->emitted, n,
                          &disk.outbox[node->does->index][node->emitted]);
        node->emitted += n;
    }
    return error;
}

static void put_out(size_t node, int64_t id) {
    ck_assert_int_lt(disk.n_outbox[node], OUTBOX_MAX);
    disk.outbox[node][disk.n_outbox[node]++] = id;
}

static void owner_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    pthread_mutex_lock(&disk_lock);
    sl_error *error = commit_pieces(node, commit, put_out);
    error = error != NULL ? error : send_results(node);
    if (node->does->outbox_max > 0 && node->own != NULL && node->emitted > node->does->outbox_max) {
        services->overtaken(node->self, node->own, node->emitted - node->does->outbox_max);
    }
    pthread_mutex_unlock(&disk_lock);
    services->done(request, error);
}

static void owner_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                         void **handle, sl_request *request) {
    (void)position;
    (void)handle;
    sl_error *error = NULL;
    if (take_one(&node->does->failing_resumes)) {
        error = retriable("not resumed yet");
    } else if (strcmp(stream->source, node->name) == 0) {
        pthread_mutex_lock(&disk_lock);
        node->own = stream;
        node->emitted = offset;
        error = send_results(node);
        pthread_mutex_unlock(&disk_lock);
    }
    services->done(request, error);
}

static void owner_again(sl_node *node, const sl_stream *stream, int64_t offset, size_t max_bytes,
                        sl_request *request) {
    (void)max_bytes;
    if (take_one(&node->does->failing_resumes)) {
        services->done(request, retriable("not again yet"));
        return;
    }
    pthread_mutex_lock(&disk_lock);
    int64_t n = node->emitted - offset < 100 ? node->emitted - offset : 100;
    sl_error *error =
        n <= 0 ? NULL
               : emit_rows(node->self, stream, offset, n, &disk.outbox[node->does->index][offset]);
    pthread_mutex_unlock(&disk_lock);
    services->done(request, error);
}

static void owner_suspend(sl_node *node, const sl_stream *stream) {
    node->own = node->own == stream ? NULL : node->own;
}

static void owner_acknowledge(sl_node *node, const sl_stream *stream, int64_t position) {
    ck_assert(node->own == NULL || stream == node->own);
    pthread_mutex_lock(&disk_lock);
    ck_assert_int_le(position, disk.n_outbox[node->does->index]);
    pthread_mutex_unlock(&disk_lock);
}

static const sl_node_ops owner_node = {.struct_bytes = sizeof(sl_node_ops),
                                       .open = world_open,
                                       .output_schema = world_schema,
                                       .start = world_start,
                                       .recover = world_recover,
                                       .resume = owner_resume,
                                       .suspend = owner_suspend,
                                       .commit = owner_commit,
                                       .drop_piece = world_drop,
                                       .acknowledge = owner_acknowledge,
                                       .again = owner_again,
                                       .close = world_close};
static const sl_role owner_role = {.struct_bytes = sizeof(sl_role),
                                   .flags =
                                       SL_ROLE_DURABLE | SL_ROLE_OWNS_STREAMS | SL_ROLE_BLOCKING,
                                   .guarantee = SL_EXACTLY_ONCE,
                                   .min_inputs = 1,
                                   .max_inputs = INPUTS_MAX,
                                   .node = &owner_node,
                                   .task = &sink_task};

/* The same, but only while no stream of its sources is missing. */
static const sl_role whole_role = {.struct_bytes = sizeof(sl_role),
                                   .flags = SL_ROLE_DURABLE | SL_ROLE_OWNS_STREAMS |
                                            SL_ROLE_BLOCKING | SL_ROLE_WHOLE,
                                   .guarantee = SL_EXACTLY_ONCE,
                                   .min_inputs = 1,
                                   .max_inputs = INPUTS_MAX,
                                   .node = &owner_node,
                                   .task = &sink_task};

/* ---- the same, but its stream goes with the first partition: several hosts would share it ---- */

static const sl_stream_name own_name = {"", 0};

static void own_is_away(void *arg) {
    sl_node *node = arg;
    node->has_own = OWN_AWAY;
}

static void consider_own(void *arg) {
    sl_node *node = arg;
    if (node->first != NULL && node->has_own == OWN_AWAY) {
        node->has_own = OWN_ASSIGNED;
        services->assign(node->self, &own_name, 1);
    } else if (node->first == NULL && node->has_own == OWN_ASSIGNED) {
        node->has_own = OWN_REVOKED;
        services->revoke(node->self, &own_name, 1, false, own_is_away, node);
    }
}

static void assigning_start(sl_node *node, sl_request *request) {
    sl_error *error = failing_start(node->does);
    if (error == NULL) {
        error = services->timer_start(node->self, 4, 4, consider_own, node, &node->timer);
    }
    services->done(request, error);
}

static void assigning_recover(sl_node *node, sl_position *positions, size_t n,
                              sl_request *request) {
    for (size_t i = 0; i < n; i++) {
        node->first = positions[i].stream->partition == 0 ? positions[i].stream : node->first;
    }
    consider_own(node);
    world_recover(node, positions, n, request);
}

static void assigning_suspend(sl_node *node, const sl_stream *stream) {
    node->first = node->first == stream ? NULL : node->first;
    node->own = node->own == stream ? NULL : node->own;
}

static const sl_node_ops assigning_node = {.struct_bytes = sizeof(sl_node_ops),
                                           .open = world_open,
                                           .output_schema = world_schema,
                                           .start = assigning_start,
                                           .recover = assigning_recover,
                                           .suspend = assigning_suspend,
                                           .resume = owner_resume,
                                           .commit = owner_commit,
                                           .drop_piece = world_drop,
                                           .again = owner_again,
                                           .close = world_close};
static const sl_role assigning_role = {.struct_bytes = sizeof(sl_role),
                                       .flags = SL_ROLE_DURABLE | SL_ROLE_OWNS_STREAMS |
                                                SL_ROLE_BLOCKING | SL_ROLE_ASSIGNS,
                                       .guarantee = SL_EXACTLY_ONCE,
                                       .min_inputs = 1,
                                       .max_inputs = INPUTS_MAX,
                                       .node = &assigning_node,
                                       .task = &sink_task};

#endif /* TESTS_HOST_WORLD_H */
