/* The lane's half of branches: who feeds an edge, and when that changes. See branch.h. */
#include "lane/branch.h"

#include "delivery/assignment.h"
#include "delivery/attach.h"
#include "host/run.h"

#include <stdlib.h>

/* A feed that is no further behind than about what its buffer holds catches up first: its stream
 * waits for it for milliseconds. */
enum { ROW_BYTES = 256 };

static bool is_close(const struct branch *branch, int64_t to) {
    return to - branch->delivered_to <= (int64_t)(branch->edge->limit_bytes / ROW_BYTES);
}

/* Whether the stream comes to this node through nodes that work. */
static bool is_reached(const struct stream *stream, const struct host_node *at) {
    bool reached = at == stream->owner;
    for (size_t i = 0; i < at->spec->n_inputs && !reached; i++) {
        const struct lane_edge *edge = &at->tasks[0].inputs[i];
        reached = stream->on_edge[edge->index] && is_reached(stream, edge->from);
    }
    return reached && !atomic_load_explicit(&at->failed, memory_order_relaxed);
}

/* The node behind the edge has failed, or every way to the edge: nothing will come any more. A
 * restart of what failed attaches the stream anew, and with it the branch. */
static bool has_failed(const struct branch *branch) {
    const struct host_node *node = branch->task->object.node;
    return atomic_load_explicit(&node->failed, memory_order_relaxed) ||
           !is_reached(branch->main, branch->edge->from);
}

/* Where the stream has come to. */
static int64_t stream_at(const struct stream *stream) {
    return stream->emitted_to[stream->owner->first_output + stream->output];
}

static void list(struct branch *branch) {
    if (!branch->listed) {
        struct lane *lane = branch->main->lane;
        branch->listed = true;
        stream_use(branch->main);
        branch->next = lane->branches;
        lane->branches = branch;
        lane_spin(lane);
    }
}

static void set_apart(struct branch *branch, bool apart) {
    branch->apart = apart;
    atomic_store_explicit(&branch->is_apart, apart, memory_order_relaxed);
}

/* ---- leaving ---- */

bool branch_may_leave(const struct branch *branch) {
    return edge_debt_us(branch->edge) >= branch->main->host->settings->detach_after_us;
}

void branch_leave(struct branch *branch) {
    struct host *host = branch->main->host;
    set_apart(branch, true);
    atomic_fetch_add_explicit(&branch->edge->detached_times, 1, memory_order_relaxed);
    list(branch);
    host_log(host, SL_LOG_DEBUG, branch->task->object.node->spec->name,
             "leaves %s %s partition %d at %lld", branch->main->pub.source, branch->main->topic,
             (int)branch->main->pub.partition, (long long)branch->delivered_to);
}

bool branch_passes_by(const struct stream *stream, size_t edge) {
    for (size_t i = 0; i < stream->n_branches; i++) {
        if (stream->branches[i]->apart && stream->branches[i]->below[edge]) {
            return true;
        }
    }
    return false;
}

/* ---- at the edge ---- */

/* Results lie in the owner's outbox: to leave them there costs nothing. */
static bool costs_nothing(const struct branch *branch) {
    return branch->main->source == NULL && edge_is_full(branch->edge, branch->task);
}

/* Only what follows what the edge has. Results that an owner had on their way when it failed may
 * come when the branch counts as gone, and lie beyond: they come again after the restart. */
static bool is_for_main(struct branch *branch, const sl_batch *batch) {
    int64_t at = branch->delivered_to;
    bool had = batch->next_offset <= at && batch->next_offset > batch->first_offset;
    bool straddles = batch->first_offset < at && batch->next_offset > at;
    bool misses = batch->first_offset > at;
    if (!branch->apart && !had && !has_failed(branch) &&
        (straddles || misses || costs_nothing(branch))) {
        branch_leave(branch);
    }
    if (branch->apart) {
        branch->passed_to =
            batch->next_offset > branch->passed_to ? batch->next_offset : branch->passed_to;
    }
    return !branch->apart && !had && !misses && !straddles;
}

/* Of an earlier start of the feed nothing is taken: it may come twice, or too late. */
static bool is_for_feed(const struct branch *branch, const sl_batch *batch) {
    bool at_end = (batch->flags & SL_BATCH_AT_END) != 0;
    return branch->apart && batch->epoch == branch->feed->pub.epoch &&
           (batch->next_offset > branch->delivered_to ||
            (at_end && batch->next_offset == branch->delivered_to));
}

/* The stream has no reader ahead of this one: what comes next goes to all. */
static void join(struct branch *branch) {
    set_apart(branch, false);
    branch->retry = (struct retry){0};
    atomic_store_explicit(&branch->behind, 0, memory_order_relaxed);
    host_log(branch->main->host, SL_LOG_DEBUG, branch->task->object.node->spec->name,
             "joins %s %s partition %d at %lld", branch->main->pub.source, branch->main->topic,
             (int)branch->main->pub.partition, (long long)branch->delivered_to);
}

static bool may_join(const struct branch *branch) {
    bool caught_up =
        branch->delivered_to == branch->joins_at || branch->delivered_to >= stream_at(branch->main);
    return caught_up && branch->passed_to <= branch->delivered_to;
}

/* What is sent again from an outbox may begin a little before what is needed. */
static sl_error *give_feed(struct branch *branch, struct batch *batch, struct batch **out) {
    struct batch *had;
    struct batch *rest;
    const sl_stream *stream = &branch->main->pub;
    if (batch->pub.first_offset >= branch->delivered_to ||
        batch->pub.next_offset <= branch->delivered_to) {
        return batch_relabel(batch, stream, out);
    }
    sl_error *error = batch_cut(batch, branch->delivered_to, &had, &rest);
    if (error != NULL) {
        return error;
    }
    error = batch_relabel(rest, stream, out);
    batch_release(&had->pub);
    batch_release(&rest->pub);
    return error;
}

void branch_push(struct branch *branch, struct stream *from, struct batch *batch) {
    struct batch *given = NULL;
    sl_error *error = NULL;
    if (from != branch->main) {
        if (is_for_feed(branch, &batch->pub)) {
            error = give_feed(branch, batch, &given);
        }
    } else if (is_for_main(branch, &batch->pub)) {
        given = batch;
        batch_retain(&batch->pub);
    }
    if (error != NULL) {
        task_fail(branch->task, error);
        return;
    }
    if (given == NULL) {
        return;
    }
    branch->delivered_to = given->pub.next_offset > branch->delivered_to ? given->pub.next_offset
                                                                         : branch->delivered_to;
    edge_push(branch->task, branch->edge, given);
    if (branch->apart && may_join(branch)) {
        join(branch); /* the stream's next batch may be right behind */
    }
}

sl_error *branch_limit(struct stream *feed, uint32_t output, struct batch *batch,
                       struct batch **out) {
    struct branch *branch = feed->fed;
    int64_t limit = branch->main->emitted_to[feed->owner->first_output + output];
    *out = batch;
    if (batch->pub.next_offset <= limit) {
        return NULL;
    }
    branch->joins_at = limit;
    *out = NULL;
    sl_error *error = NULL;
    if (batch->pub.first_offset < limit) {
        struct batch *rest;
        error = batch_cut(batch, limit, out, &rest);
        if (error == NULL) {
            batch_release(&rest->pub);
        }
    }
    batch_release(&batch->pub);
    return error;
}

/* ---- turns ---- */

/* A try that failed is followed by a pause. */
static bool must_wait(const struct branch *branch) {
    if (branch->not_before_us == 0 || sl_monotonic_us() >= branch->not_before_us) {
        return false;
    }
    lane_look_later(branch->main->lane);
    return true;
}

bool branch_wants(const struct stream *feed) {
    const struct branch *branch = feed->fed;
    return branch->apart && branch->state == FEED_READING && branch->joins_at == SL_OFFSET_NONE &&
           !branch->asked && !has_failed(branch) && !must_wait(branch);
}

struct stream *branch_first(const struct stream *stream) {
    for (size_t i = 0; i < stream->n_branches; i++) {
        struct stream *feed = stream->branches[i]->feed;
        if (feed->awake && branch_wants(feed) && is_close(stream->branches[i], stream_at(stream))) {
            return feed;
        }
    }
    return NULL;
}

static void answered(sl_request *request, sl_error *error) {
    struct branch *branch =
        (struct branch *)(void *)((char *)request - offsetof(struct branch, request));
    struct host *host = branch->main->host;
    const struct host_node *owner = branch->main->owner;
    branch->asked = false;
    branch->feed->awake = true;
    if (error == NULL && branch->delivered_to > branch->asked_from) {
        branch->retry = (struct retry){0};
    } else if (error != NULL && retry_allowed(host, &branch->retry, error)) {
        uint64_t pause =
            retry_pause_ms(host, &branch->retry, owner->spec->name, "sending results again", error);
        branch->not_before_us = sl_monotonic_us() + (int64_t)pause * 1000;
    } else if (error != NULL && branch->main->attached) {
        task_fail(branch->task, error);
    } else {
        sl_error_free(error);
    }
    attach_branch_idle(branch->main);
    lane_spin(branch->main->lane);
}

static void call_again(void *arg) {
    struct branch *branch = arg;
    struct host_node *owner = branch->main->owner;
    struct object_clock clock = object_enter(&owner->object);
    owner->ops->again(owner->opened->node, &branch->feed->pub, branch->asked_from, LANE_POLL_BYTES,
                      &branch->request);
    object_leave(&owner->object, clock);
}

void branch_ask(struct stream *feed) {
    struct branch *branch = feed->fed;
    feed->awake = false;
    branch->asked = true;
    branch->asked_from = branch->delivered_to;
    branch->request.home = &feed->lane->loop;
    branch->request.finish = answered;
    loop_post(feed->owner->object.loop, &branch->message, call_again, branch);
}

void branch_poll_failed(struct stream *feed, sl_error *error) {
    struct branch *branch = feed->fed;
    if (branch->failed_at == branch->delivered_to) {
        task_fail(branch->task, error);
        return;
    }
    host_log(feed->host, SL_LOG_WARN, branch->task->object.node->spec->name,
             "%s; its reader is started anew", sl_error_message(error));
    sl_error_free(error);
    branch->failed_at = branch->delivered_to;
    feed_end(branch);
}

/* Room for half of the buffer, or nothing waits at all: worth a reader. */
static bool has_room(const struct branch *branch) {
    const struct lane_edge *edge = branch->edge;
    return !edge_is_full(edge, branch->task) &&
           (edge->queued_bytes + branch->task->held_bytes <= edge->limit_bytes / 2 ||
            edge->head == NULL);
}

/* The stream was at its end when the branch was not. */
static void tell_end(struct branch *branch) {
    struct stream *stream = branch->main;
    struct host_node *from = branch->edge->from;
    if (!stream->at_end) {
        return;
    }
    struct batch *empty;
    sl_error *error = batch_new_empty(&from->opened->outputs[branch->edge->spec->output],
                                      &stream->pub, SL_BATCH_AT_END, branch->delivered_to,
                                      branch->delivered_to, sl_monotonic_us(), &empty);
    if (error != NULL) {
        task_fail(branch->task, error);
        return;
    }
    edge_push(branch->task, branch->edge, empty);
}

/* The branch is with its stream again, or gone: what has waited for it goes on. */
static void settle(struct branch *branch) {
    struct stream *stream = branch->main;
    if (!has_failed(branch) && stream->attached) {
        tell_end(branch);
    }
    if (stream->end_waits && !branches_are_apart(stream)) {
        stream->end_waits = false;
        assignment_stream_ended(stream);
    }
    if (branch->task->drain_asked) {
        task_drain(branch->task);
    }
}

/* True when it stays in the list. */
static bool look(struct branch *branch) {
    struct stream *stream = branch->main;
    if (branch->apart && (has_failed(branch) || !stream->attached)) {
        set_apart(branch, false);
    } else if (branch->apart && branch->state != FEED_STARTING && may_join(branch)) {
        join(branch);
    }
    bool missed = branch->delivered_to == branch->joins_at; /* and yet it could not join */
    if (branch->state == FEED_READING && !branch->asked &&
        (!branch->apart || missed || stream->stopping)) {
        feed_end(branch);
    }
    if (!branch->apart) {
        if (branch->state != FEED_NONE) {
            return true;
        }
        settle(branch);
        return false;
    }
    if (stream->lane->stopped && branch->task->drain_asked && task_is_empty(branch->task)) {
        task_drain(branch->task); /* what the branch lacks is for the next run */
    }
    int64_t behind = stream_at(stream) - branch->delivered_to;
    atomic_store_explicit(&branch->behind, behind, memory_order_relaxed);
    if (branch->state == FEED_NONE && !stream->stopping && !stream->lane->stopped &&
        has_room(branch) && !must_wait(branch)) {
        feed_start(branch);
    }
    return true;
}

void branches_look(struct lane *lane) {
    struct branch **at = &lane->branches;
    while (*at != NULL) {
        struct branch *branch = *at;
        if (look(branch)) {
            at = &branch->next;
        } else {
            *at = branch->next;
            branch->listed = false;
            stream_let_go(branch->main);
        }
    }
}

bool branches_owe(const struct lane_task *task) {
    for (const struct branch *b = task->lane->branches; b != NULL; b = b->next) {
        if (b->task == task && b->apart && !task->lane->stopped) {
            return true;
        }
    }
    return false;
}

bool branches_are_apart(const struct stream *stream) {
    for (size_t i = 0; i < stream->n_branches; i++) {
        if (stream->branches[i]->apart) {
            return true;
        }
    }
    return false;
}
