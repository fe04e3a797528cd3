/*
 * Streams go: reading stops, what was read is committed, lanes detach, nodes suspend. They go for
 * good (their owner gives them up), or to be assigned again from what is stored (their position was
 * lost to somebody else).
 */
#include "delivery/assignment_steps.h"

#include <stdlib.h>

static void step_return(struct assignment *a);

static void step_revoked(struct assignment *a) {
    for (size_t i = 0; i < a->n_streams; i++) {
        assignment_forget_stream(a->streams[i]);
    }
    for (size_t n = 0; n < a->host->n_nodes; n++) {
        cycle_forgive(&a->host->nodes[n]->cycle);
    }
    if (a->turns) {
        whole_turn(a);
    }
    a->step = step_return;
    if (a->moves) {
        a->outstanding = 1;
        a->move.between(a->move.arg, a, !a->gathered_none);
        return;
    }
    if (a->between != NULL) {
        a->not_own = true;
        a->outstanding = 1;
        a->between(a->owner, a);
        return;
    }
    step_return(a);
}

void assignment_give_back(struct assignment *turn) {
    turn->outstanding--;
    assignment_go_on(turn);
}

static void step_return(struct assignment *a) {
    if (a->again) {
        assignment_assign_again(a);
    } else {
        sl_error *error = assignment_answer(a);
        if (error != NULL) {
            host_node_failed(a->owner, error);
        }
    }
    assignment_end(a);
}

static void step_detach(struct assignment *a) {
    uv_timer_stop(&a->host->deadline);
    a->step = step_revoked;
    a->outstanding = (unsigned)a->n_streams;
    for (size_t i = 0; i < a->n_streams; i++) {
        detach_stream(a->streams[i], assignment_answered, a);
    }
    assignment_go_on(a);
}

static void waited(void *arg) {
    struct assignment *a = arg;
    a->outstanding--;
    assignment_go_on(a);
}

/*
 * Every node that reads one of the streams commits what it has of them. Then it commits nothing
 * until they are detached: results of a stateful node may still arrive, and a flush could not be
 * covered once its stream is gone.
 */
void assignment_commit(struct assignment *a) {
    struct host *host = a->host;
    a->step = a->after_commit != NULL ? a->after_commit : step_detach;
    a->waiters = calloc(host->n_nodes + 1, sizeof(*a->waiters));
    if (a->waiters == NULL) {
        assignment_go_on(a);
        return;
    }
    a->outstanding = 1; /* waiters may answer at once */
    assignment_start_deadline(a);
    for (size_t n = 0; n < host->n_nodes; n++) {
        bool reads = false;
        for (size_t i = 0; i < a->n_streams; i++) {
            for (size_t r = 0; r < a->streams[i]->n_readers; r++) {
                reads = reads || a->streams[i]->readers[r].node == host->nodes[n];
            }
        }
        if (reads) {
            a->outstanding++;
            a->waiters[n] = (struct cycle_waiter){.then = waited, .arg = a, .hold = true};
            cycle_finish(&host->nodes[n]->cycle, false, &a->waiters[n]);
        }
    }
    a->outstanding--;
    assignment_go_on(a);
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

void assignment_stop(struct assignment *a) {
    leave_out_detached(a);
    a->step = assignment_commit;
    a->outstanding = (unsigned)a->n_streams;
    for (size_t i = 0; i < a->n_streams; i++) {
        a->streams[i]->state = STREAM_REVOKING;
        if (a->lost) {
            a->streams[i]->acknowledged = INT64_MAX; /* the owner may not speak for it any more */
        }
        stop_stream(a->streams[i], assignment_answered, a);
    }
    assignment_go_on(a);
}

static bool is_named(const struct stream *stream, const struct host_node *owner,
                     const sl_stream_name *name) {
    return stream->state == STREAM_DETACHED && stream->owner == owner &&
           stream->pub.partition == name->partition && strcmp(stream->topic, name->topic) == 0;
}

/* A stream that is detached just now, to be assigned again once a node has been restarted or its
 * source is resumed, does not come back: its owner gives it up meanwhile. */
static void keep_away(struct host_node *owner, const sl_stream_name *name) {
    const struct host *host = owner->host;
    const struct assignment *first = host->assignments;
    for (size_t i = 0; first != NULL && first->again && i < first->n_streams; i++) {
        if (is_named(first->streams[i], owner, name)) {
            first->streams[i]->leaving = true;
        }
    }
    for (size_t i = 0; i < host->n_streams; i++) {
        if (host->streams[i]->set_aside && is_named(host->streams[i], owner, name)) {
            host->streams[i]->set_aside = false;
        }
    }
}

sl_error *assignment_revoke(struct host_node *owner, const sl_stream_name *names, size_t n,
                            bool lost, void (*revoked)(void *arg), void *arg) {
    struct assignment *a = assignment_new(owner->host, owner, n, assignment_stop);
    if (a == NULL) {
        return sl_error_no_memory();
    }
    a->leaves = true;
    a->lost = lost;
    a->revoked = revoked;
    a->revoked_arg = arg;
    for (size_t i = 0; i < n; i++) {
        struct stream *stream = stream_find(owner, names[i].topic, names[i].partition);
        if (stream == NULL) {
            keep_away(owner, &names[i]);
        } else if (!stream->leaving) {
            stream->leaving = true;
            a->streams[a->n_streams++] = stream;
        }
    }
    assignment_queue(a);
    return NULL;
}

bool assignment_gather(struct assignment *a,
                       bool (*concerns)(const struct host_node *, const struct stream *)) {
    const struct host *host = a->host;
    struct stream **streams = realloc(a->streams, (host->n_streams + 1) * sizeof(*streams));
    if (streams == NULL) {
        a->error = sl_error_no_memory();
        return false;
    }
    a->streams = streams;
    for (size_t s = 0; s < host->n_streams; s++) {
        if (stream_is_attached(host->streams[s]) && concerns(a->owner, host->streams[s])) {
            a->streams[a->n_streams++] = host->streams[s];
        }
    }
    return true;
}

/* Without memory it ends with nothing done, which its caller is told. */
static void step_gather_moved(struct assignment *a) {
    const struct host *host = a->host;
    struct stream **streams = realloc(a->streams, (host->n_streams + 1) * sizeof(*streams));
    a->gathered_none = streams == NULL;
    a->streams = streams == NULL ? a->streams : streams;
    for (size_t s = 0; s < host->n_streams && !a->gathered_none; s++) {
        if (stream_is_attached(host->streams[s]) &&
            a->move.concerns(a->move.arg, host->streams[s])) {
            a->streams[a->n_streams++] = host->streams[s];
        }
    }
    assignment_stop(a);
}

bool assignment_move(struct host *host, const struct assignment_move *move) {
    struct assignment *a = assignment_new(host, NULL, 0, step_gather_moved);
    if (a == NULL) {
        return false;
    }
    a->again = a->leaves = a->moves = true;
    a->move = *move;
    assignment_queue(a);
    return true;
}

struct stream *const *assignment_streams(const struct assignment *turn, size_t *n) {
    *n = turn->n_streams;
    return turn->streams;
}

/* Results of its own are sent from where its readers are once it knows again what is stored. */
static bool is_concerned(const struct host_node *node, const struct stream *stream) {
    return stream_is_read_by(stream, node) ||
           (stream->state != STREAM_DETACHED && stream->owner == node);
}

static bool passes(const struct host_node *node, const struct stream *stream) {
    return stream->state != STREAM_DETACHED &&
           (stream->owner == node || stream_flows_to(stream, node));
}

/* The streams are looked up only now: no other assignment is under way, so each is running or gone.
 */
static void step_gather(struct assignment *a) {
    if (assignment_gather(a, a->between != NULL ? passes : is_concerned)) {
        assignment_stop(a);
    } else {
        assignment_go_on(a);
    }
}

/* Its streams can be taken away and come back. */
static bool can_return(const struct host_node *node,
                       bool (*wanted)(const struct host_node *, const struct stream *)) {
    const struct host *host = node->host;
    for (size_t s = 0; s < host->n_streams; s++) {
        const struct stream *stream = host->streams[s];
        if (wanted(node, stream) && (!node_is_open(stream->owner) || host->draining)) {
            return false;
        }
    }
    return true;
}

static bool can_recover(const struct host_node *node) {
    return can_return(node, is_concerned);
}

bool assignment_recover(struct host_node *node) {
    struct assignment *a =
        can_recover(node) ? assignment_new(node->host, node, 0, step_gather) : NULL;
    if (a == NULL) {
        return false;
    }
    a->again = a->leaves = true;
    assignment_queue(a);
    return true;
}

bool assignment_can_take_away(const struct host_node *node) {
    return can_return(node, passes);
}

bool assignment_take_away(struct host_node *node,
                          void (*between)(struct host_node *node, struct assignment *turn)) {
    struct assignment *a =
        assignment_can_take_away(node) ? assignment_new(node->host, node, 0, step_gather) : NULL;
    if (a == NULL) {
        return false;
    }
    a->again = a->leaves = true;
    a->between = between;
    assignment_queue(a);
    return true;
}

/* Two nodes that may fall behind alone could drop each other's rows for ever, each by its recovery:
 * who was not waited for and has committed nothing since is waited for twice as long. Not longer
 * than retry.timeout: what may still pass has passed by then, or has failed its node, and what is
 * left hangs. What drops all that it has under way need not be waited for. */
static int64_t patience_us(const struct host_node *node) {
    const struct topology *settings = node->host->settings;
    int64_t us = settings->revoke_timeout_us > 1000 ? settings->revoke_timeout_us : 1000;
    int64_t most = settings->retry_timeout_us > us ? settings->retry_timeout_us : us;
    if (node->cycle.discard) {
        return 0;
    }
    for (uint32_t i = 0; i < node->cycle.abandoned && us < most; i++) {
        us *= 2;
    }
    return us < most ? us : most;
}

/* A node that could not be recovered afterwards is waited for: the run ends. So are, unless a
 * revocation presses, those that must not fall behind. */
void assignment_commit_no_longer(struct assignment *a) {
    struct host *host = a->host;
    bool pressing = assignment_pressing(a) != NULL;
    int64_t waited = sl_monotonic_us() - a->asked_us;
    int64_t longer = INT64_MAX;
    for (size_t n = 0; a->waiters != NULL && n < host->n_nodes; n++) {
        struct host_node *node = host->nodes[n];
        if (!can_recover(node) || (!pressing && !node_may_fall_behind(node))) {
            continue;
        }
        int64_t left = pressing ? 0 : patience_us(node) - waited;
        if (left > 0) {
            longer = left < longer ? left : longer;
            continue;
        }
        if (!cycle_abandon(&node->cycle, &a->waiters[n])) {
            continue;
        }
        host_log(
            host, SL_LOG_WARN, node->spec->name,
            "revoke.timeout has passed: what is not committed of the partitions that are taken "
            "away is dropped, and read again by whoever has them next");
        a->outstanding--;
    }
    if (longer != INT64_MAX) {
        assignment_wait_longer(a, longer);
    }
    assignment_go_on(a);
}
