/*
 * The queue of assignments and revocations, one under way at a time: how each begins, goes from
 * step to step, fails and ends. The steps themselves are in assign.c and revoke.c.
 */
#include "delivery/assignment_steps.h"

#include <stdlib.h>

/* The cycles that assignment_commit holds go on. */
static void let_cycles_go(struct host *host) {
    for (size_t n = 0; n < host->n_nodes; n++) {
        host->nodes[n]->cycle.held = false;
    }
}

struct assignment *assignment_new(struct host *host, struct host_node *owner, size_t n,
                                  void (*step)(struct assignment *a)) {
    struct assignment *a = calloc(1, sizeof(*a));
    if (a == NULL || (a->streams = calloc(n + 1, sizeof(struct stream *))) == NULL) {
        free(a);
        return NULL;
    }
    a->host = host;
    a->owner = owner;
    a->step = step;
    a->asked_us = sl_monotonic_us();
    return a;
}

void assignment_free(struct assignment *a) {
    calls_free(a);
    sl_error_free(a->error);
    free(a->streams);
    free(a->waiters);
    free(a);
}

struct dropped_handle {
    struct host_node *node;
    struct stream *stream;
    void *handle;
};

static void drop_on_node(void *arg) {
    struct dropped_handle *dropped = arg;
    struct host_node *node = dropped->node;
    struct object_clock clock = object_enter(&node->object);
    if (node->opened->node != NULL) {
        node->ops->drop_handle(node->opened->node, &dropped->stream->pub, dropped->handle);
    }
    object_leave(&node->object, clock);
    stream_let_go(dropped->stream);
    free(dropped);
}

/* Of a plugin that is being closed nobody can be told any more, and without memory nobody either:
 * it stays, and its stream with it, as does all else of a process that has none. */
void assignment_drop_handle(struct host_node *node, struct stream *stream, void **handle) {
    if (*handle == NULL || node->ops->drop_handle == NULL || node->reopening.closes) {
        return;
    }
    stream_use(stream);
    struct dropped_handle *dropped = calloc(1, sizeof(*dropped));
    if (dropped == NULL) {
        return;
    }
    *dropped = (struct dropped_handle){node, stream, *handle};
    *handle = NULL;
    sl_error *error = loop_post_new(node->object.loop, drop_on_node, dropped);
    if (error != NULL) {
        sl_error_free(error);
        free(dropped);
    }
}

/* Those that no task has taken. */
static void drop_handles(struct assignment *a) {
    for (size_t i = 0; i < a->n_streams; i++) {
        struct stream *stream = a->streams[i];
        assignment_drop_handle(stream->owner, stream, &stream->handle);
        for (size_t r = 0; r < stream->n_readers; r++) {
            assignment_drop_handle(stream->readers[r].node, stream, &stream->readers[r].handle);
        }
    }
}

void assignment_end(struct assignment *a) {
    struct host *host = a->host;
    let_cycles_go(host);
    uv_timer_stop(&host->deadline);
    drop_handles(a);
    host->assignments = a->next;
    assignment_free(a);
    streams_look_at_gone(host);
    assignment_continue(host);
    host_advance(host);
}

void assignment_forget_stream(struct stream *stream) {
    stream->state = STREAM_DETACHED;
    stream->owner->n_streams--;
    if (!stream->ended_seen) {
        stream->owner->open_streams--;
    }
}

/* Whether the host assigns it again; else its owner has asked for it meanwhile, or will assign it.
 */
static bool comes_back(const struct assignment *a, struct stream *stream) {
    bool own = (a->turns || a->not_own) && stream->owner == a->owner;
    bool waits = atomic_load(&stream->owner->waiting);
    if (!stream->leaving && (waits || own)) {
        stream->set_aside = waits && node_assigns(stream->owner);
    }
    return !stream->leaving && !waits && !own;
}

static void swap(struct stream **streams, size_t i, size_t k) {
    struct stream *stream = streams[i];
    streams[i] = streams[k];
    streams[k] = stream;
}

/* Moves those of the first's output to the front; how many they are. */
static size_t gather_output(struct stream **streams, size_t n) {
    size_t gathered = 0;
    for (size_t i = 0; i < n; i++) {
        if (streams[i]->owner == streams[0]->owner && streams[i]->output == streams[0]->output) {
            swap(streams, gathered++, i);
        }
    }
    return gathered;
}

/* All of one output of an owner. */
static sl_error *add_again(struct stream *const *streams, size_t n) {
    sl_stream_name *names = calloc(n, sizeof(*names));
    if (names == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < n; i++) {
        names[i] = (sl_stream_name){streams[i]->topic, streams[i]->pub.partition};
    }
    sl_error *error = assignment_add(streams[0]->owner, streams[0]->output, names, n);
    free(names);
    return error;
}

/* Those of one output come back together, so that their steps run beside each other. */
void assignment_assign_again(struct assignment *a) {
    size_t n = 0;
    for (size_t i = 0; i < a->n_streams; i++) {
        if (comes_back(a, a->streams[i])) {
            swap(a->streams, n++, i);
        }
    }
    for (struct stream **at = a->streams; n > 0;) {
        size_t some = gather_output(at, n);
        sl_error *error = add_again(at, some);
        if (error != NULL) {
            host_node_failed(at[0]->owner, error);
        }
        at += some;
        n -= some;
    }
}

static void step_put_off(struct assignment *a) {
    for (size_t i = 0; i < a->n_streams; i++) {
        assignment_forget_stream(a->streams[i]);
    }
    assignment_assign_again(a);
    assignment_end(a);
}

static void step_failed(struct assignment *a) {
    for (size_t i = 0; i < a->n_streams; i++) {
        assignment_forget_stream(a->streams[i]);
    }
    assignment_end(a);
}

void assignment_answered(void *assignment, sl_error *error) {
    struct assignment *a = assignment;
    if (error != NULL && a->error == NULL) {
        a->error = error;
    } else {
        sl_error_free(error);
    }
    a->outstanding--;
    assignment_go_on(a);
}

/* Those of its streams that are attached, or half so. */
static bool leave_attached(struct assignment *a,
                           void (*leave)(struct stream *, attach_done, void *)) {
    bool any = false;
    for (size_t i = 0; i < a->n_streams; i++) {
        if (a->streams[i]->entered) {
            any = true;
            a->outstanding++;
            leave(a->streams[i], assignment_answered, a);
        }
    }
    return any;
}

static void step_detach_failed(struct assignment *a) {
    uv_timer_stop(&a->host->deadline);
    a->step = step_failed;
    leave_attached(a, detach_stream);
    assignment_go_on(a);
}

/* ---- revoke.timeout: half of it for what waits on the way, all of it for the commit ---- */

static void stop_listening(struct assignment *a);

static void deadline_passes(uv_timer_t *timer) {
    struct host *host = timer->data;
    struct assignment *a = host->assignments;
    if (!a->leaves && a->after_commit == NULL) {
        stop_listening(a);
    } else if (!a->late) {
        a->late = true;
        attach_stop_waiting(host);
        assignment_start_deadline(a);
    } else {
        assignment_commit_no_longer(a);
    }
}

void assignment_wait_longer(struct assignment *a, int64_t us) {
    uv_timer_start(&a->host->deadline, deadline_passes, (uint64_t)us / 1000 + 1, 0);
}

static bool waits_for_detachable(const struct assignment *a) {
    for (size_t s = 0; s < a->n_streams; s++) {
        if (a->streams[s]->n_branches > 0) {
            return true;
        }
    }
    return false;
}

/* A recovery may take its time, but not that of a revocation behind it: with a limit of its own it
 * would drop what others have not committed, which asks for more recoveries. Nodes that may fall
 * behind alone are not waited for so long: see assignment_commit_no_longer. */
void assignment_start_deadline(struct assignment *a) {
    const struct assignment *pressing = assignment_pressing(a);
    if (pressing == NULL && waits_for_detachable(a)) {
        pressing = a;
    }
    if (pressing == NULL) {
        return;
    }
    int64_t limit = a->host->settings->revoke_timeout_us / (a->late ? 1 : 2);
    int64_t left = pressing->asked_us + limit - sl_monotonic_us();
    uv_timer_start(&a->host->deadline, deadline_passes, left > 0 ? (uint64_t)left / 1000 : 0, 0);
}

/* ---- nodes that do not answer while a revocation waits ---- */

/* What the calls of an assignment say may come at any time: no lane knows of its streams, and
 * nothing is being stored. */
static bool may_stop_listening(const struct assignment *a) {
    bool may = !a->leaves && a->after_commit == NULL && a->running;
    for (size_t i = 0; i < a->n_streams; i++) {
        may = may && a->streams[i]->state == STREAM_ASSIGNED;
    }
    for (const struct call *call = a->calls; call != NULL; call = call->next) {
        may = may && (call->kind != CALL_STORE_START || call->answered);
    }
    return may;
}

/* A quarter of revoke.timeout, since what is committed then takes its time, too. */
static void limit_listening(struct assignment *a) {
    const struct assignment *pressing = assignment_revocation_behind(a);
    if (pressing != NULL && may_stop_listening(a)) {
        int64_t left = pressing->asked_us + a->host->settings->revoke_timeout_us / 4;
        left -= sl_monotonic_us();
        assignment_wait_longer(a, left > 0 ? left : 0);
    }
}

/* Its streams are assigned again behind the revocation, and whatever is answered until then to the
 * old calls is dropped. */
static void stop_listening(struct assignment *a) {
    struct host *host = a->host;
    if (!may_stop_listening(a)) {
        return;
    }
    for (const struct call *call = a->calls; call != NULL; call = call->next) {
        if (!call->answered) {
            host_log(host, SL_LOG_WARN, call->node->spec->name,
                     "does not say where it begins with %zu partitions of %s, and others of them "
                     "are to be given up now: it is asked again afterwards",
                     a->n_streams, a->owner->spec->name);
        }
    }
    for (size_t i = 0; i < a->n_streams; i++) {
        assignment_forget_stream(a->streams[i]);
    }
    drop_handles(a);
    assignment_assign_again(a);
    host->assignments = a->next;
    a->unheard = true;
    a->next = host->unheard;
    host->unheard = a;
    assignment_continue(host);
}

static void end_unheard(struct assignment *a) {
    struct host *host = a->host;
    struct assignment **at = &host->unheard;
    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    assignment_free(a);
    host_advance(host);
}

/* ---- steps, and their failure ---- */

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
    a->asked_us = sl_monotonic_us();
    assignment_start_deadline(a);
    a->step = leave_attached(a, stop_stream) ? assignment_commit : step_failed;
    assignment_go_on(a);
}

void assignment_go_on(struct assignment *a) {
    if (a->unheard) { /* before its node is asked again, or closed */
        drop_handles(a);
    }
    if (a->outstanding > 0) {
        limit_listening(a);
        return;
    }
    if (a->unheard) {
        end_unheard(a);
    } else if (a->error != NULL) {
        assignment_fail(a);
    } else if (a->put_off) {
        a->put_off = false;
        step_put_off(a);
    } else {
        a->step(a);
    }
}

const struct assignment *assignment_revocation_behind(const struct assignment *a) {
    const struct assignment *b = a->next;
    while (b != NULL && b->revoked == NULL) {
        b = b->next;
    }
    return b;
}

const struct assignment *assignment_pressing(const struct assignment *a) {
    return a->again ? assignment_revocation_behind(a) : a;
}

void assignment_queue(struct assignment *a) {
    struct assignment **tail = &a->host->assignments;
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    *tail = a;
    if (a->host->assignments == a) {
        assignment_continue(a->host);
    } else if (a->revoked != NULL && a->host->started) {
        struct assignment *first = a->host->assignments;
        host_hurry(a->host); /* what is under way may wait for its next try */
        if (first->again) {
            assignment_start_deadline(first);
        } else {
            limit_listening(first);
        }
    }
}

void assignment_continue(struct host *host) {
    struct assignment *a = host->assignments;
    if (a == NULL || !host->started || host->finished || a->outstanding > 0 || a->running) {
        return;
    }
    a->running = true;
    if (a->leaves) {
        assignment_start_deadline(a);
    }
    assignment_go_on(a);
}

sl_error *assignment_answer(struct assignment *a) {
    if (a->answered || a->owner->reopening.closes) {
        return NULL;
    }
    a->answered = true;
    return loop_post_new(a->owner->object.loop, a->revoked, a->revoked_arg);
}

void assignment_answer_late(struct host *host) {
    for (struct assignment *a = host->assignments; a != NULL; a = a->next) {
        if (a->revoked != NULL) {
            sl_error_free(assignment_answer(a));
        }
    }
}

static void forget(struct assignment *a, bool answer) {
    if (a->revoked == NULL) {
        for (size_t i = 0; i < a->n_streams; i++) {
            assignment_forget_stream(a->streams[i]);
        }
    } else if (answer) {
        sl_error_free(assignment_answer(a));
    }
    assignment_free(a);
}

void assignment_forget_owner(struct host_node *node, bool answer) {
    for (size_t s = 0; s < node->host->n_streams; s++) {
        struct stream *stream = node->host->streams[s];
        stream->set_aside = stream->set_aside && stream->owner != node;
    }
    struct assignment **at = &node->host->assignments;
    while (*at != NULL) {
        struct assignment *a = *at;
        bool asked = a->revoked != NULL || !a->leaves; /* not by the host */
        if (a->owner == node && !a->running && asked) {
            *at = a->next;
            forget(a, answer);
        } else if (a->owner == node && a->revoked != NULL && answer) {
            sl_error_free(assignment_answer(a)); /* its streams are gone already */
            at = &a->next;
        } else {
            at = &a->next;
        }
    }
}

bool assignment_is_idle(const struct host *host) {
    return host->assignments == NULL;
}

/* ---- ends of streams, and of all ---- */

static void ended(void *arg) {
    struct stream *stream = arg;
    stream_let_go(stream);
    if (!stream->ended_seen && stream->state != STREAM_DETACHED) {
        stream->ended_seen = true;
        stream->owner->open_streams--;
        host_advance(stream->host);
    }
}

void assignment_stream_ended(struct stream *stream) {
    stream_use(stream);
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

static void free_queue(struct assignment *a) {
    while (a != NULL) {
        struct assignment *next = a->next;
        assignment_free(a);
        a = next;
    }
}

void assignment_free_all(struct host *host) {
    free_queue(host->assignments);
    free_queue(host->unheard);
    host->assignments = host->unheard = NULL;
}
