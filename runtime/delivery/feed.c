/*
 * Making the branches of a stream, where each begins, and starting and ending their feeds. See
 * lane/branch.h.
 */
#include "delivery/attach.h"
#include "host/run.h"
#include "lane/branch.h"

#include <stdlib.h>
#include <string.h>

/* Further behind than its buffer holds, at this size of a row, a branch begins apart. */
enum { ROW_BYTES = 256 };

/* ---- making ---- */

/* Marks the edges between the stream's owner and `edge`; false when a node with state of its own
 * stands there. */
static bool mark_above(const struct stream *stream, const struct lane_edge *edge, bool *above) {
    const struct host_node *from = edge->from;
    if (from == stream->owner) {
        return true;
    }
    if (!from->passes || from->has_cycle) {
        return false;
    }
    for (size_t i = 0; i < stream->n_edges; i++) {
        if (stream->edge_tasks[i]->object.node != from) {
            continue;
        }
        above[stream->edges[i]->index] = true;
        if (!mark_above(stream, stream->edges[i], above)) {
            return false;
        }
    }
    return true;
}

/* Edges stand in topological order. */
static void mark_below(const struct stream *stream, const struct lane_edge *edge, bool *below) {
    below[edge->index] = true;
    for (size_t i = 0; i < stream->n_edges; i++) {
        const struct host_node *from = stream->edges[i]->from;
        for (size_t j = 0; j < i && from->passes; j++) {
            bool reaches = stream->edge_tasks[j]->object.node == from;
            if (reaches && below[stream->edges[j]->index]) {
                below[stream->edges[i]->index] = true;
            }
        }
    }
}

static bool can_feed(const struct host_node *owner) {
    return (owner->flags & SL_ROLE_OWNS_STREAMS) != 0 ? owner->ops->again != NULL
                                                      : (owner->flags & SL_ROLE_REREADS) != 0;
}

static sl_error *feed_new(struct stream *stream, size_t edge, bool *on_edge, struct stream **out) {
    struct host *host = stream->host;
    struct stream *feed = calloc(1, sizeof(*feed));
    if (feed == NULL) {
        return sl_error_no_memory();
    }
    feed->pub.index = stream_take_index(host);
    feed->host = host;
    feed->owner = stream->owner;
    feed->output = stream->output;
    feed->lane = stream->lane;
    feed->topic = strdup(stream->topic);
    feed->n_all_edges = stream->n_all_edges;
    feed->n_all_outputs = stream->n_all_outputs;
    feed->on_edge = calloc(host->n_edges + 1, sizeof(bool));
    feed->reader_by_edge = calloc(host->n_edges + 1, sizeof(struct reader *));
    feed->emitted_to = calloc(host->n_outputs + 1, sizeof(int64_t));
    feed->edges = calloc(stream->n_edges + 1, sizeof(struct lane_edge *));
    feed->edge_tasks = calloc(stream->n_edges + 1, sizeof(struct lane_task *));
    feed->told = calloc(stream->n_edges + 1, sizeof(bool));
    feed->held = calloc(stream->n_edges + 1, sizeof(bool));
    feed->stop = INT64_MAX;
    feed->branch_by_edge = calloc(host->n_edges + 1, sizeof(struct branch *));
    if (feed->topic == NULL || feed->on_edge == NULL || feed->reader_by_edge == NULL ||
        feed->emitted_to == NULL || feed->edges == NULL || feed->edge_tasks == NULL ||
        feed->told == NULL || feed->held == NULL || feed->branch_by_edge == NULL) {
        stream_free(feed);
        return sl_error_no_memory();
    }
    memcpy(feed->on_edge, on_edge, host->n_edges * sizeof(bool));
    feed->on_edge[edge] = true;
    for (size_t i = 0; i < stream->n_edges; i++) {
        if (on_edge[stream->edges[i]->index]) {
            feed->edges[feed->n_edges] = stream->edges[i];
            feed->edge_tasks[feed->n_edges++] = stream->edge_tasks[i];
        }
    }
    uint32_t index = feed->pub.index;
    feed->pub = stream->pub;
    feed->pub.index = index;
    feed->pub.reader = (uint32_t)edge + 1;
    feed->pub.topic = feed->topic;
    *out = feed;
    return NULL;
}

static sl_error *branch_new(struct stream *stream, size_t i, bool *above) {
    struct branch *branch = calloc(1, sizeof(*branch));
    if (branch == NULL) {
        return sl_error_no_memory();
    }
    branch->main = stream;
    branch->edge = stream->edges[i];
    branch->task = stream->edge_tasks[i];
    branch->below = calloc(stream->host->n_edges + 1, sizeof(bool));
    sl_error *error = branch->below == NULL
                          ? sl_error_no_memory()
                          : feed_new(stream, branch->edge->index, above, &branch->feed);
    if (error != NULL) {
        free(branch->below);
        free(branch);
        return error;
    }
    mark_below(stream, branch->edge, branch->below);
    branch->feed->fed = branch;
    branch->feed->branch_by_edge[branch->edge->index] = branch;
    stream->branch_by_edge[branch->edge->index] = branch;
    stream->branches[stream->n_branches++] = branch;
    return NULL;
}

sl_error *branches_new(struct stream *stream) {
    size_t n = 0;
    for (size_t i = 0; i < stream->n_edges && can_feed(stream->owner); i++) {
        n += stream->edges[i]->spec->when_full == TOPOLOGY_DETACH ? 1 : 0;
    }
    if (n == 0) {
        return NULL;
    }
    stream->branches = calloc(n, sizeof(struct branch *));
    stream->branch_by_edge = calloc(stream->host->n_edges + 1, sizeof(struct branch *));
    if (stream->branches == NULL || stream->branch_by_edge == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    for (size_t i = 0; i < stream->n_edges && error == NULL; i++) {
        const struct lane_edge *edge = stream->edges[i];
        if (edge->spec->when_full != TOPOLOGY_DETACH ||
            !stream->edge_tasks[i]->object.node->has_cycle) {
            continue;
        }
        bool *above = calloc(stream->host->n_edges + 1, sizeof(bool));
        error = above == NULL ? sl_error_no_memory() : NULL;
        if (error == NULL && mark_above(stream, edge, above)) {
            error = branch_new(stream, i, above);
        }
        free(above);
    }
    return error;
}

void branches_free(struct stream *stream) {
    for (size_t i = 0; i < stream->n_branches; i++) {
        stream_free(stream->branches[i]->feed);
        free(stream->branches[i]->below);
        free(stream->branches[i]);
    }
    free(stream->branches);
    free(stream->branch_by_edge);
}

/* ---- where they begin ---- */

static struct branch *branch_over(const struct stream *stream, size_t edge) {
    for (size_t i = 0; i < stream->n_branches; i++) {
        if (stream->branches[i]->below[edge]) {
            return stream->branches[i];
        }
    }
    return NULL;
}

static void use_smaller(int64_t *smallest, int64_t offset) {
    *smallest = offset < *smallest ? offset : *smallest;
}

/* The smallest position that the stream must begin at whatever its branches do; INT64_MAX: none.
 * Sets the smallest position of each branch. */
static int64_t smallest_positions(struct stream *stream) {
    int64_t base = INT64_MAX;
    for (size_t i = 0; i < stream->n_branches; i++) {
        stream->branches[i]->begins = INT64_MAX;
    }
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        size_t edge = reader->node->tasks[0].inputs[reader->input].index;
        struct branch *branch = branch_over(stream, edge);
        if (!atomic_load(&reader->node->failed)) {
            use_smaller(branch != NULL ? &branch->begins : &base, reader->position);
        }
    }
    return base;
}

static bool copy_cuts(struct stream *feed, const struct stream *stream) {
    free(feed->cuts);
    feed->cuts = calloc(stream->n_cuts + 1, sizeof(int64_t));
    if (feed->cuts != NULL && stream->n_cuts > 0) {
        memcpy(feed->cuts, stream->cuts, stream->n_cuts * sizeof(int64_t));
    }
    feed->n_cuts = feed->cuts != NULL ? stream->n_cuts : 0;
    return feed->cuts != NULL;
}

sl_error *branches_place(struct stream *stream, int64_t *start) {
    int64_t base = smallest_positions(stream);
    if (base == INT64_MAX) { /* all may be apart: the stream goes with the first */
        base = *start;
        for (size_t i = 0; i < stream->n_branches; i++) {
            int64_t begins = stream->branches[i]->begins;
            base = begins != INT64_MAX && begins > base ? begins : base;
        }
    }
    *start = base;
    for (size_t i = 0; i < stream->n_branches; i++) {
        struct branch *branch = stream->branches[i];
        int64_t near = (int64_t)(branch->edge->limit_bytes / ROW_BYTES);
        branch->begins_apart = branch->begins < base && base - branch->begins > near;
        if (!branch->begins_apart) {
            use_smaller(start, branch->begins);
        }
        if (!copy_cuts(branch->feed, stream)) {
            return sl_error_no_memory();
        }
    }
    for (size_t i = 0; i < stream->n_branches; i++) {
        struct branch *branch = stream->branches[i];
        branch->begins = branch->begins_apart ? branch->begins : *start;
    }
    return NULL;
}

int64_t branches_begin(const struct stream *stream, size_t edge) {
    const struct branch *branch = branch_over(stream, edge);
    return branch != NULL ? branch->begins : stream->offset;
}

/* ---- with the stream ---- */

static void cover_below(struct stream *stream, const struct branch *branch) {
    for (size_t i = 0; i < stream->n_edges; i++) {
        const struct host_node *node = stream->edge_tasks[i]->object.node;
        for (size_t o = 0;
             branch->below[stream->edges[i]->index] && node->passes && o < node->opened->n_outputs;
             o++) {
            stream->emitted_to[node->first_output + o] = branch->begins;
        }
    }
}

void branches_attach(struct stream *stream) {
    for (size_t i = 0; i < stream->n_branches; i++) {
        struct branch *branch = stream->branches[i];
        branch->delivered_to = branch->begins;
        branch->passed_to = branch->joins_at = branch->failed_at = SL_OFFSET_NONE;
        cover_below(stream, branch);
        if (branch->begins_apart) {
            branch_leave(branch);
        }
    }
}

void branches_stop(struct stream *stream) {
    stream->stopping = true;
    for (size_t i = 0; i < stream->n_branches; i++) {
        if (stream->branches[i]->state == FEED_READING && !stream->branches[i]->asked) {
            feed_end(stream->branches[i]);
        }
    }
}

bool branches_are_busy(const struct stream *stream) {
    for (size_t i = 0; i < stream->n_branches; i++) {
        if (stream->branches[i]->state == FEED_STARTING || stream->branches[i]->asked) {
            return true;
        }
    }
    return false;
}

/* ---- feeds ---- */

static void attach_feed(struct branch *branch) {
    sl_error *error = attach_path(branch->feed, &branch->handle);
    branch->state = FEED_READING;
    if (error != NULL) {
        feed_end(branch);
        task_fail(branch->task, error);
    }
}

/* What was resumed is not wanted any more. */
static void let_go(void *arg) {
    struct branch *branch = arg;
    struct host_node *owner = branch->main->owner;
    struct object_clock clock = object_enter(&owner->object);
    if (branch->handle != NULL && owner->ops->drop_handle != NULL) {
        owner->ops->drop_handle(owner->opened->node, &branch->feed->pub, branch->handle);
    }
    branch->handle = NULL;
    if (owner->ops->suspend != NULL) {
        owner->ops->suspend(owner->opened->node, &branch->feed->pub);
    }
    object_leave(&owner->object, clock);
    host_done(&branch->request, NULL);
}

static void has_let_go(sl_request *request, sl_error *error) {
    struct branch *branch =
        (struct branch *)(void *)((char *)request - offsetof(struct branch, request));
    sl_error_free(error);
    branch->state = FEED_NONE;
    attach_branch_idle(branch->main);
}

static void resume_failed(struct branch *branch, sl_error *error) {
    struct host *host = branch->main->host;
    branch->state = FEED_NONE;
    if (!branch->apart || branch->main->stopping || !branch->main->attached) {
        sl_error_free(error);
    } else if (retry_allowed(host, &branch->retry, error)) {
        uint64_t pause = retry_pause_ms(host, &branch->retry, branch->main->owner->spec->name,
                                        "reading on for a branch that fell behind", error);
        branch->not_before_us = sl_monotonic_us() + (int64_t)pause * 1000;
    } else {
        task_fail(branch->task, sl_error_wrap(error, "reading on from %s %s partition %d",
                                              branch->main->pub.source, branch->main->topic,
                                              (int)branch->main->pub.partition));
    }
}

static void resumed(sl_request *request, sl_error *error) {
    struct branch *branch =
        (struct branch *)(void *)((char *)request - offsetof(struct branch, request));
    bool wanted = branch->apart && !branch->main->stopping && branch->main->attached &&
                  !atomic_load(&branch->task->object.node->failed);
    if (error != NULL) {
        resume_failed(branch, error);
    } else if (wanted) {
        attach_feed(branch);
    } else {
        branch->request.finish = has_let_go;
        loop_post(branch->main->owner->object.loop, &branch->message, let_go, branch);
        return;
    }
    attach_branch_idle(branch->main);
    lane_spin(branch->main->lane);
}

static void call_resume(void *arg) {
    struct branch *branch = arg;
    struct host_node *owner = branch->main->owner;
    struct object_clock clock = object_enter(&owner->object);
    owner->ops->resume(owner->opened->node, &branch->feed->pub, branch->feed->offset,
                       SL_OFFSET_NONE, &branch->handle, &branch->request);
    object_leave(&owner->object, clock);
}

void feed_start(struct branch *branch) {
    struct stream *feed = branch->feed;
    feed->offset = branch->delivered_to;
    feed->pub.epoch++;
    feed->next_cut = 0;
    branch->joins_at = SL_OFFSET_NONE;
    branch->state = FEED_STARTING;
    branch->handle = NULL;
    if (branch->main->source == NULL || feed->owner->ops->resume == NULL) {
        attach_feed(branch);
        return;
    }
    branch->request.home = &feed->lane->loop;
    branch->request.finish = resumed;
    loop_post(feed->owner->object.loop, &branch->message, call_resume, branch);
}

void feed_end(struct branch *branch) {
    detach_path(branch->feed);
    branch->joins_at = SL_OFFSET_NONE;
    branch->state = FEED_NONE;
}
