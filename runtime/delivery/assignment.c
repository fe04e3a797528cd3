/*
 * The steps of an assignment, each a set of calls to nodes that run at the same time; the next step
 * begins when all have answered: recover → resolve → store starts → resume readers → resume source
 * → attach → (resume owner of streams) → running and of a revocation: stop → commit → detach →
 * suspend.
 */
#include "delivery/assignment.h"

#include "delivery/attach.h"
#include "delivery/cycle.h"
#include "delivery/keeper.h"
#include "delivery/stream.h"
#include "host/run.h"

#include <stdlib.h>
#include <string.h>

enum call_kind { CALL_RECOVER, CALL_RESOLVE, CALL_STORE_START, CALL_RESUME };

/* One call of one node within a step. */
struct call {
    sl_request request;
    struct loop_message message;
    struct call *next;
    struct assignment *assignment;
    enum call_kind kind;
    struct host_node *node;
    struct stream *stream;
    struct reader *reader;   /* of a reader's resume */
    struct reader **readers; /* of positions */
    sl_position *positions;
    size_t n;
    sl_commit commit;
    int64_t offset;
    void *handle;
    struct retry retry;
};

struct assignment {
    struct assignment *next;
    struct host *host;
    struct host_node *owner;
    struct stream **streams;
    size_t n_streams;
    struct call *calls;
    unsigned outstanding;
    sl_error *error;
    void (*after_commit)(struct assignment *a);  /* NULL: detach, as a revocation does */
    void (*step)(struct assignment *assignment); /* when nothing is outstanding */
    bool running;
    /* revocation; its streams may have several owners */
    bool again; /* they are assigned anew afterwards */
    bool lost;
    void (*revoked)(void *arg);
    void *revoked_arg;
    struct cycle_waiter *waiters;
};

static void go_on(struct assignment *a);
static void step_resolve(struct assignment *a);
static void step_place(struct assignment *a);
static void step_resume_readers(struct assignment *a);
static void step_resume_source(struct assignment *a);
static void step_attach(struct assignment *a);
static void step_resume_owner(struct assignment *a);
static void step_running(struct assignment *a);

/* ---- calls ---- */

static void free_calls(struct assignment *a) {
    while (a->calls != NULL) {
        struct call *call = a->calls;
        a->calls = call->next;
        free(call->readers);
        free(call->positions);
        free(call);
    }
}

/* The cycles that step_commit holds go on. */
static void let_cycles_go(struct host *host) {
    for (size_t n = 0; n < host->n_nodes; n++) {
        host->nodes[n].cycle.held = false;
    }
}

static void assignment_end(struct assignment *a) {
    struct host *host = a->host;
    let_cycles_go(host);
    host->assignments = a->next;
    free_calls(a);
    free(a->streams);
    free(a->waiters);
    free(a);
    assignment_continue(host);
    host_advance(host);
}

/* The stream is gone for good: what is said of it from now on is not heard. */
static void forget_stream(struct stream *stream) {
    stream->state = STREAM_DETACHED;
    stream->owner->n_streams--;
    if (!stream->ended_seen) {
        stream->owner->open_streams--;
    }
}

static void step_failed(struct assignment *a) {
    for (size_t i = 0; i < a->n_streams; i++) {
        forget_stream(a->streams[i]);
    }
    assignment_end(a);
}

static void detached(void *arg, sl_error *error);
static void step_commit(struct assignment *a);

/* Those of its streams that are attached, or half so. Answers come to `detached`. */
static bool leave_attached(struct assignment *a,
                           void (*leave)(struct stream *, attach_done, void *)) {
    bool any = false;
    for (size_t i = 0; i < a->n_streams; i++) {
        if (a->streams[i]->first_attached != SIZE_MAX) {
            any = true;
            a->outstanding++;
            leave(a->streams[i], detached, a);
        }
    }
    return any;
}

static void step_detach_failed(struct assignment *a) {
    a->step = step_failed;
    leave_attached(a, detach_stream);
    go_on(a);
}

/* What was read already of its attached streams is committed before they are detached: pieces hold
 * it among other rows. */
static void assignment_fail(struct assignment *a) {
    sl_error *error = a->error;
    a->error = NULL;
    if (a->host->draining) {
        sl_error_free(error); /* nothing was read of it: the next run asks again */
    } else {
        host_node_failed(a->owner, error);
    }
    a->after_commit = step_detach_failed;
    a->step = leave_attached(a, stop_stream) ? step_commit : step_failed;
    go_on(a);
}

static void go_on(struct assignment *a) {
    if (a->outstanding > 0) {
        return;
    }
    if (a->error != NULL) {
        assignment_fail(a);
        return;
    }
    a->step(a);
}

static struct call *call_new(struct assignment *a, enum call_kind kind, struct host_node *node) {
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        if (a->error == NULL) {
            a->error = sl_error_no_memory();
        }
        return NULL;
    }
    call->kind = kind;
    call->assignment = a;
    call->node = node;
    call->next = a->calls;
    a->calls = call;
    return call;
}

static void call_again(void *arg);

static void call_finished(sl_request *request, sl_error *error) {
    static const char *const steps[] = {[CALL_RECOVER] = "asking for positions",
                                        [CALL_RESOLVE] = "asking for the start",
                                        [CALL_STORE_START] = "storing the start",
                                        [CALL_RESUME] = "resuming"};
    struct call *call = (struct call *)(void *)((char *)request - offsetof(struct call, request));
    struct assignment *a = call->assignment;
    if (error != NULL && host_try_again(a->host, &call->retry, call->node->spec->name,
                                        steps[call->kind], error, call_again, call)) {
        return;
    }
    if (error != NULL) {
        error = sl_error_wrap(error, "node %s", call->node->spec->name);
        if (a->error == NULL) {
            a->error = error;
        } else {
            sl_error_free(error);
        }
    } else if (call->kind == CALL_RECOVER) {
        for (size_t i = 0; i < call->n; i++) {
            call->readers[i]->stored = call->positions[i].from;
        }
    } else if (call->kind == CALL_RESOLVE) {
        call->stream->offset = call->offset;
    } else if (call->kind == CALL_STORE_START) {
        for (size_t i = 0; i < call->n; i++) {
            call->readers[i]->stored = call->positions[i].to;
        }
    } else if (call->reader != NULL) {
        call->reader->handle = call->handle;
    } else {
        call->stream->handle = call->handle;
    }
    a->outstanding--;
    go_on(a);
}

static void call_run(void *arg) {
    struct call *call = arg;
    struct host_node *host_node = call->node; /* the call is gone once the plugin has ended it */
    const sl_node_ops *ops = host_node->ops;
    sl_node *node = host_node->opened->node;
    struct object_clock clock = object_enter(&host_node->object);
    switch (call->kind) {
    case CALL_RECOVER:
        ops->recover(node, call->positions, call->n, &call->request);
        break;
    case CALL_RESOLVE:
        ops->resolve(node, &call->stream->pub, &call->offset, &call->request);
        break;
    case CALL_STORE_START:
        ops->commit(node, &call->commit, &call->request);
        break;
    case CALL_RESUME:
        ops->resume(node, &call->stream->pub, call->stream->offset, call->offset, &call->handle,
                    &call->request);
        break;
    }
    object_leave(&host_node->object, clock);
}

/* The keeper of a sink answers in its place. */
static void call_again(void *arg) {
    struct call *call = arg;
    struct host_node *node = call->node;
    if (node->keeper != NULL && call->kind == CALL_RECOVER) {
        keeper_recover(node->keeper, call->positions, call->n, &call->request);
    } else if (node->keeper != NULL && call->kind == CALL_STORE_START) {
        keeper_store(node->keeper, call->positions, call->n, &call->request);
    } else {
        loop_post(node->object.loop, &call->message, call_run, call);
    }
}

static void call_start(struct call *call) {
    call->assignment->outstanding++;
    call->request.home = &call->assignment->host->control;
    call->request.finish = call_finished;
    call_again(call);
}

/* ---- positions ---- */

/* Gathers the readers of `node` that `wanted` picks into a call with room for their positions. */
static struct call *gather(struct assignment *a, enum call_kind kind, struct host_node *node,
                           bool (*wanted)(const struct reader *)) {
    size_t n = 0;
    for (size_t s = 0; s < a->n_streams; s++) {
        for (size_t r = 0; r < a->streams[s]->n_readers; r++) {
            const struct reader *reader = &a->streams[s]->readers[r];
            n += reader->node == node && wanted(reader) ? 1 : 0;
        }
    }
    struct call *call = n == 0 ? NULL : call_new(a, kind, node);
    if (call == NULL) {
        return NULL;
    }
    call->readers = calloc(n, sizeof(struct reader *));
    call->positions = calloc(n, sizeof(*call->positions));
    if (call->readers == NULL || call->positions == NULL) {
        a->error = a->error == NULL ? sl_error_no_memory() : a->error;
        return NULL;
    }
    for (size_t s = 0; s < a->n_streams; s++) {
        for (size_t r = 0; r < a->streams[s]->n_readers; r++) {
            struct reader *reader = &a->streams[s]->readers[r];
            if (reader->node != node || !wanted(reader)) {
                continue;
            }
            call->positions[call->n] = (sl_position){.stream = &reader->stream->pub,
                                                     .key = reader->key,
                                                     .input = reader->input,
                                                     .from = SL_OFFSET_NONE,
                                                     .to = reader->position};
            call->readers[call->n++] = reader;
        }
    }
    return call;
}

static bool any_reader(const struct reader *reader) {
    (void)reader;
    return true;
}

static void step_recover(struct assignment *a) {
    struct host *host = a->host;
    a->step = step_resolve;
    for (size_t n = 0; n < host->topology->n_nodes; n++) {
        struct host_node *node = &host->nodes[n];
        if (!node->has_cycle || (node->keeper == NULL && node->ops->recover == NULL)) {
            continue;
        }
        struct call *call = gather(a, CALL_RECOVER, node, any_reader);
        if (call != NULL) {
            call_start(call);
        }
    }
    go_on(a);
}

static bool needs_start(const struct stream *stream) {
    bool needs = stream->n_readers == 0;
    for (size_t r = 0; r < stream->n_readers; r++) {
        needs = needs || stream->readers[r].stored == SL_OFFSET_NONE;
    }
    return needs;
}

static void step_resolve(struct assignment *a) {
    a->step = step_place;
    for (size_t s = 0; s < a->n_streams; s++) {
        struct stream *stream = a->streams[s];
        stream->offset = 0;
        if (!needs_start(stream) || a->owner->ops->resolve == NULL ||
            (a->owner->flags & SL_ROLE_OWNS_STREAMS) != 0) {
            continue;
        }
        struct call *call = call_new(a, CALL_RESOLVE, a->owner);
        if (call != NULL) {
            call->stream = stream;
            call_start(call);
        }
    }
    go_on(a);
}

static int compare_offsets(const void *a, const void *b) {
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Sets where reading begins, each reader's first offset, and the cuts between them. stream->offset
 * comes in as the resolved start. */
static sl_error *place(struct stream *stream) {
    int64_t start = stream->offset;
    int64_t smallest = needs_start(stream) ? start : INT64_MAX;
    free(stream->cuts);
    stream->cuts = calloc(stream->n_readers + 1, sizeof(int64_t));
    if (stream->cuts == NULL) {
        return sl_error_no_memory();
    }
    stream->n_cuts = stream->next_cut = 0;
    for (size_t r = 0; r < stream->n_readers; r++) {
        struct reader *reader = &stream->readers[r];
        reader->position = reader->stored == SL_OFFSET_NONE ? start : reader->stored;
        reader->covered = reader->position;
        smallest = reader->position < smallest ? reader->position : smallest;
        stream->cuts[stream->n_cuts++] = reader->position;
    }
    qsort(stream->cuts, stream->n_cuts, sizeof(int64_t), compare_offsets);
    stream->offset = smallest;
    return NULL;
}

/* A start other than the very first offset must survive a crash, or `latest` would skip what came
 * meanwhile. */
static bool start_must_be_kept(const struct reader *reader) {
    return reader->stored == SL_OFFSET_NONE && reader->position != 0;
}

static void step_place(struct assignment *a) {
    struct host *host = a->host;
    a->step = step_resume_readers;
    for (size_t s = 0; s < a->n_streams && a->error == NULL; s++) {
        a->error = place(a->streams[s]);
    }
    for (size_t n = 0; n < host->topology->n_nodes && a->error == NULL; n++) {
        struct host_node *node = &host->nodes[n];
        if (!node->has_cycle || (node->keeper == NULL && node->ops->commit == NULL)) {
            continue;
        }
        struct call *call = gather(a, CALL_STORE_START, node, start_must_be_kept);
        if (call == NULL) {
            continue;
        }
        call->commit = (sl_commit){.struct_bytes = sizeof(call->commit),
                                   .positions = call->positions,
                                   .n_positions = call->n};
        call_start(call);
    }
    go_on(a);
}

/* ---- resuming ---- */

static void step_resume_readers(struct assignment *a) {
    a->step = (a->owner->flags & SL_ROLE_OWNS_STREAMS) != 0 ? step_attach : step_resume_source;
    for (size_t s = 0; s < a->n_streams; s++) {
        struct stream *stream = a->streams[s];
        for (size_t r = 0; r < stream->n_readers; r++) {
            struct reader *reader = &stream->readers[r];
            if (reader->node->ops->resume == NULL) {
                continue;
            }
            struct call *call = call_new(a, CALL_RESUME, reader->node);
            if (call != NULL) {
                call->stream = stream;
                call->reader = reader;
                call->offset = reader->stored;
                call_start(call);
            }
        }
    }
    go_on(a);
}

static void resume_owner(struct assignment *a) {
    bool own = (a->owner->flags & SL_ROLE_OWNS_STREAMS) != 0;
    for (size_t s = 0; s < a->n_streams && a->owner->ops->resume != NULL; s++) {
        if (own && a->streams[s]->n_readers == 0) {
            continue; /* nobody reads these results: they need not be sent from the first on */
        }
        struct call *call = call_new(a, CALL_RESUME, a->owner);
        if (call != NULL) {
            call->stream = a->streams[s];
            call->offset = SL_OFFSET_NONE;
            call_start(call);
        }
    }
    go_on(a);
}

static void step_resume_source(struct assignment *a) {
    a->step = step_attach;
    resume_owner(a);
}

static void attached(void *arg, sl_error *error) {
    struct assignment *a = arg;
    if (error != NULL && a->error == NULL) {
        a->error = error;
    } else {
        sl_error_free(error);
    }
    a->outstanding--;
    go_on(a);
}

static void step_attach(struct assignment *a) {
    a->step = (a->owner->flags & SL_ROLE_OWNS_STREAMS) != 0 ? step_resume_owner : step_running;
    a->outstanding = (unsigned)a->n_streams;
    for (size_t s = 0; s < a->n_streams; s++) {
        attach_stream(a->streams[s], attached, a);
    }
    go_on(a);
}

/* A transform's own results flow only once its readers are attached. */
static void step_resume_owner(struct assignment *a) {
    a->step = step_running;
    resume_owner(a);
}

static void step_running(struct assignment *a) {
    for (size_t s = 0; s < a->n_streams; s++) {
        struct stream *stream = a->streams[s];
        stream->state = STREAM_RUNNING;
        host_log(a->host, SL_LOG_DEBUG, a->owner->spec->name,
                 "reads %s partition %d from offset %lld", stream->topic,
                 (int)stream->pub.partition, (long long)stream->offset);
    }
    assignment_end(a);
}

/* ---- queueing ---- */

static void assignment_queue(struct assignment *a) {
    struct assignment **tail = &a->host->assignments;
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    *tail = a;
    if (a->host->assignments == a) {
        assignment_continue(a->host);
    }
}

static sl_error *add_stream(struct host *host, struct stream *stream) {
    if (host->n_streams == host->capacity_streams) {
        size_t capacity = host->capacity_streams == 0 ? 64 : host->capacity_streams * 2;
        struct stream **grown = realloc(host->streams, capacity * sizeof(struct stream *));
        if (grown == NULL) {
            return sl_error_no_memory();
        }
        host->streams = grown;
        host->capacity_streams = capacity;
    }
    host->streams[host->n_streams++] = stream;
    return NULL;
}

sl_error *assignment_add(struct host_node *owner, uint32_t output, const sl_stream_name *names,
                         size_t n) {
    if (owner->host->draining || owner->drain != DRAIN_OPEN) {
        return NULL; /* nothing will be read any more */
    }
    struct assignment *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return sl_error_no_memory();
    }
    a->host = owner->host;
    a->owner = owner;
    a->step = step_recover;
    a->streams = calloc(n + 1, sizeof(struct stream *));
    sl_error *error = a->streams == NULL ? sl_error_no_memory() : NULL;
    for (size_t i = 0; i < n && error == NULL; i++) {
        const struct stream *there = stream_find(owner, names[i].topic, names[i].partition);
        if (there != NULL && !there->leaving) {
            error = sl_error_new(SL_ERROR_FATAL, "%s partition %d is assigned twice",
                                 names[i].topic, (int)names[i].partition);
            break;
        }
        struct stream *stream;
        error = stream_new(owner, output, names[i].topic, names[i].partition, &stream);
        if (error == NULL && (error = add_stream(a->host, stream)) != NULL) {
            stream_free(stream);
        }
        if (error == NULL) {
            a->streams[a->n_streams++] = stream;
            owner->n_streams++;
            owner->open_streams++;
        }
    }
    if (error != NULL) {
        for (size_t i = 0; i < a->n_streams; i++) {
            a->streams[i]->state = STREAM_DETACHED;
        }
        owner->n_streams -= a->n_streams;
        owner->open_streams -= a->n_streams;
        free(a->streams);
        free(a);
        return error;
    }
    assignment_queue(a);
    return NULL;
}

/* ---- revoking ---- */

/* To be asked while no stream is on its way from one state to the other. */
static bool is_attached(const struct stream *stream) {
    return stream->state == STREAM_RUNNING || stream->state == STREAM_REVOKING;
}

/* A node that has thrown away what it could not commit starts afresh once none of its streams is
 * attached. */
static void forgive(struct host_node *node) {
    const struct host *host = node->host;
    for (size_t s = 0; s < host->n_streams; s++) {
        const struct stream *stream = host->streams[s];
        for (size_t r = 0; r < stream->n_readers; r++) {
            if (stream->readers[r].node == node && is_attached(stream)) {
                return;
            }
        }
    }
    node->cycle.discard = false;
}

static void assign_again(struct assignment *a) {
    for (size_t i = 0; i < a->n_streams; i++) {
        struct stream *stream = a->streams[i];
        if (stream->leaving) {
            continue; /* its owner has asked for it meanwhile */
        }
        const sl_stream_name name = {stream->topic, stream->pub.partition};
        sl_error *error = assignment_add(stream->owner, stream->output, &name, 1);
        if (error != NULL) {
            host_node_failed(stream->owner, error);
        }
    }
}

static void step_revoked(struct assignment *a) {
    for (size_t i = 0; i < a->n_streams; i++) {
        forget_stream(a->streams[i]);
    }
    for (size_t n = 0; n < a->host->n_nodes; n++) {
        if (a->host->nodes[n].cycle.discard) {
            forgive(&a->host->nodes[n]);
        }
    }
    if (a->again) {
        assign_again(a);
    } else {
        sl_error *error = loop_post_new(a->owner->object.loop, a->revoked, a->revoked_arg);
        if (error != NULL) {
            host_node_failed(a->owner, error);
        }
    }
    assignment_end(a);
}

static void detached(void *arg, sl_error *error) {
    struct assignment *a = arg;
    sl_error_free(error);
    a->outstanding--;
    go_on(a);
}

static void step_detach(struct assignment *a) {
    a->step = step_revoked;
    a->outstanding = (unsigned)a->n_streams;
    for (size_t i = 0; i < a->n_streams; i++) {
        detach_stream(a->streams[i], detached, a);
    }
    go_on(a);
}

static void waited(void *arg) {
    struct assignment *a = arg;
    a->outstanding--;
    go_on(a);
}

/*
 * Every node that reads one of the streams commits what it has of them. Then it commits nothing
 * until they are detached: results of a stateful node may still arrive, and a flush could not be
 * covered once its stream is gone.
 */
static void step_commit(struct assignment *a) {
    struct host *host = a->host;
    a->step = a->after_commit != NULL ? a->after_commit : step_detach;
    a->waiters = calloc(host->topology->n_nodes + 1, sizeof(*a->waiters));
    if (a->waiters == NULL) {
        go_on(a);
        return;
    }
    a->outstanding = 1; /* waiters may answer at once */
    for (size_t n = 0; n < host->topology->n_nodes; n++) {
        bool reads = false;
        for (size_t i = 0; i < a->n_streams; i++) {
            for (size_t r = 0; r < a->streams[i]->n_readers; r++) {
                reads = reads || a->streams[i]->readers[r].node == &host->nodes[n];
            }
        }
        if (reads) {
            a->outstanding++;
            a->waiters[n] = (struct cycle_waiter){.then = waited, .arg = a, .hold = true};
            cycle_finish(&host->nodes[n].cycle, false, &a->waiters[n]);
        }
    }
    a->outstanding--;
    go_on(a);
}

/* Some may have gone while the revocation waited for its turn. */
static void leave_out_detached(struct assignment *a) {
    size_t kept = 0;
    for (size_t i = 0; i < a->n_streams; i++) {
        if (a->streams[i]->state != STREAM_DETACHED) {
            a->streams[kept++] = a->streams[i];
        }
    }
    a->n_streams = kept;
}

static void step_stop(struct assignment *a) {
    leave_out_detached(a);
    a->step = step_commit;
    a->outstanding = (unsigned)a->n_streams;
    for (size_t i = 0; i < a->n_streams; i++) {
        a->streams[i]->state = STREAM_REVOKING;
        if (a->lost) {
            a->streams[i]->acknowledged = INT64_MAX; /* the owner may not speak for it any more */
        }
        stop_stream(a->streams[i], detached, a);
    }
    go_on(a);
}

sl_error *assignment_revoke(struct host_node *owner, const sl_stream_name *names, size_t n,
                            bool lost, void (*revoked)(void *arg), void *arg) {
    struct assignment *a = calloc(1, sizeof(*a));
    if (a == NULL || (a->streams = calloc(n + 1, sizeof(struct stream *))) == NULL) {
        free(a);
        return sl_error_no_memory();
    }
    a->host = owner->host;
    a->owner = owner;
    a->lost = lost;
    a->revoked = revoked;
    a->revoked_arg = arg;
    a->step = step_stop;
    for (size_t i = 0; i < n; i++) {
        struct stream *stream = stream_find(owner, names[i].topic, names[i].partition);
        if (stream != NULL && !stream->leaving) {
            stream->leaving = true;
            a->streams[a->n_streams++] = stream;
        }
    }
    assignment_queue(a);
    return NULL;
}

static bool reads(const struct host_node *node, const struct stream *stream) {
    bool found = false;
    for (size_t r = 0; r < stream->n_readers; r++) {
        found = found || stream->readers[r].node == node;
    }
    return found && stream->state != STREAM_DETACHED;
}

/* The streams are looked up only now: no other assignment is under way, so each is running or gone.
 */
static void step_gather(struct assignment *a) {
    const struct host *host = a->host;
    a->streams = calloc(host->n_streams + 1, sizeof(struct stream *));
    if (a->streams == NULL) {
        a->error = sl_error_no_memory();
        assignment_fail(a);
        return;
    }
    for (size_t s = 0; s < host->n_streams; s++) {
        if (reads(a->owner, host->streams[s]) && is_attached(host->streams[s])) {
            a->streams[a->n_streams++] = host->streams[s];
        }
    }
    step_stop(a);
}

bool assignment_recover(struct host_node *node) {
    struct host *host = node->host;
    for (size_t s = 0; s < host->n_streams; s++) {
        const struct stream *stream = host->streams[s];
        if (reads(node, stream) && (stream->owner->drain != DRAIN_OPEN || host->draining)) {
            return false;
        }
    }
    struct assignment *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return false;
    }
    a->host = host;
    a->owner = node;
    a->again = true;
    a->step = step_gather;
    assignment_queue(a);
    return true;
}

void assignment_continue(struct host *host) {
    struct assignment *a = host->assignments;
    if (a == NULL || !host->started || host->finished || a->outstanding > 0 || a->running) {
        return;
    }
    a->running = true;
    go_on(a);
}

void assignment_answer_late(struct host *host) {
    for (struct assignment *a = host->assignments; a != NULL; a = a->next) {
        if (a->revoked != NULL) {
            sl_error_free(loop_post_new(a->owner->object.loop, a->revoked, a->revoked_arg));
        }
    }
}

bool assignment_is_idle(const struct host *host) {
    return host->assignments == NULL;
}

/* ---- acknowledging, ending ---- */

struct acknowledgement {
    struct host_node *node;
    struct stream *stream;
    int64_t position;
};

static void acknowledge(void *arg) {
    struct acknowledgement *ack = arg;
    struct host_node *node = ack->node;
    struct object_clock clock = object_enter(&node->object);
    node->ops->acknowledge(node->opened->node, &ack->stream->pub, ack->position);
    object_leave(&node->object, clock);
    free(ack);
}

/* Lost for want of memory: the next commit says it again. */
static void tell_acknowledged(struct host_node *node, struct stream *stream, int64_t position) {
    struct acknowledgement *ack =
        node->ops->acknowledge == NULL ? NULL : (struct acknowledgement *)malloc(sizeof(*ack));
    if (ack == NULL) {
        return;
    }
    *ack = (struct acknowledgement){node, stream, position};
    sl_error *error = loop_post_new(node->object.loop, acknowledge, ack);
    if (error != NULL) {
        sl_error_free(error);
        free(ack);
    }
}

void assignment_acknowledge(struct stream *stream) {
    int64_t smallest = INT64_MAX;
    for (size_t r = 0; r < stream->n_readers; r++) {
        smallest = stream->readers[r].stored < smallest ? stream->readers[r].stored : smallest;
    }
    if (stream->state == STREAM_DETACHED || smallest == SL_OFFSET_NONE || smallest == INT64_MAX ||
        smallest <= stream->acknowledged) {
        return;
    }
    stream->acknowledged = smallest;
    tell_acknowledged(stream->owner, stream, smallest);
    for (size_t r = 0; r < stream->n_readers; r++) {
        if ((stream->readers[r].node->flags & SL_ROLE_REPLAYS) != 0) {
            tell_acknowledged(stream->readers[r].node, stream, smallest);
        }
    }
}

static void ended(void *arg) {
    struct stream *stream = arg;
    if (!stream->ended_seen && stream->state != STREAM_DETACHED) {
        stream->ended_seen = true;
        stream->owner->open_streams--;
        host_advance(stream->host);
    }
}

void assignment_stream_ended(struct stream *stream) {
    loop_post(&stream->host->control, &stream->ended_message, ended, stream);
}

struct detaching {
    unsigned outstanding;
    void (*then)(void *arg);
    void *arg;
};

static void one_detached(void *arg, sl_error *error) {
    struct detaching *detaching = arg;
    sl_error_free(error);
    if (--detaching->outstanding == 0) {
        detaching->then(detaching->arg);
        free(detaching);
    }
}

void assignment_detach_all(struct host *host, void (*then)(void *arg), void *arg) {
    struct detaching *detaching = calloc(1, sizeof(*detaching));
    if (detaching == NULL) {
        then(arg); /* closing the tasks forgets the streams as well */
        return;
    }
    *detaching = (struct detaching){.outstanding = 1, .then = then, .arg = arg};
    for (size_t i = 0; i < host->n_streams; i++) {
        struct stream *stream = host->streams[i];
        if (stream->state == STREAM_RUNNING || stream->state == STREAM_REVOKING) {
            detaching->outstanding++;
            stream->state = STREAM_DETACHED;
            detach_stream(stream, one_detached, detaching);
        }
    }
    one_detached(detaching, NULL);
}

void assignment_free_all(struct host *host) {
    while (host->assignments != NULL) {
        struct assignment *a = host->assignments;
        host->assignments = a->next;
        free_calls(a);
        sl_error_free(a->error);
        free(a->streams);
        free(a->waiters);
        free(a);
    }
}
