/*
 * Nodes that wait: those that make sense only of everything (SL_ROLE_WHOLE), while streams of a
 * source above them are with other hosts, and those that the operator has paused. Such a node is
 * left out of every stream, so that nothing holds the other nodes back, and nothing is acknowledged
 * that it has not read. When it waits no longer, the streams that it was left out of are detached
 * and assigned again, from its own position on. A source that waits has its streams set aside.
 */
#include "delivery/whole.h"

#include "delivery/assignment_steps.h"
#include "host/pause.h"

static bool misses_streams(const struct host_node *node) {
    if (node->spec->kind == TOPOLOGY_SOURCE) {
        return node->missing > 0;
    }
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        if (misses_streams(node->tasks[0].inputs[i].from)) {
            return true;
        }
    }
    return false;
}

void whole_look(struct host_node *node) {
    node->must_wait = (node->flags & SL_ROLE_WHOLE) != 0 && misses_streams(node);
}

static bool concerns(const struct host_node *node, const struct stream *stream) {
    return stream->owner == node || stream_flows_to(stream, node);
}

/* Whether the streams can be assigned again once they are detached. */
static bool can_come_back(const struct assignment *a) {
    bool open = !a->host->draining;
    for (size_t i = 0; i < a->n_streams; i++) {
        open = open && node_is_open(a->streams[i]->owner);
    }
    return open;
}

static void step_turn(struct assignment *a) {
    bool turns = atomic_load(&a->owner->waiting) != node_must_wait(a->owner);
    if (turns && !node_must_wait(a->owner)) {
        host_reopen(a->owner); /* what it has still to read may have come to its end for others */
    }
    if (turns && !assignment_gather(a, concerns)) {
        assignment_go_on(a);
    } else if (turns && can_come_back(a)) {
        a->turns = a->again = true;
        assignment_stop(a);
    } else {
        assignment_end(a);
    }
}

static void turn(struct host_node *node) {
    bool waits = !atomic_load(&node->waiting);
    atomic_store(&node->waiting, waits);
    if (node->state == HOST_NODE_RUNNING || node->state == HOST_NODE_WAITING ||
        node->state == HOST_NODE_PAUSED) {
        node->state = node_resting_state(node);
    }
}

sl_error *assignment_turn(struct host_node *node) {
    struct assignment *a = assignment_new(node->host, node, 0, step_turn);
    if (a == NULL) {
        return sl_error_no_memory();
    }
    a->leaves = true;
    assignment_queue(a);
    return NULL;
}

void whole_turn(struct assignment *a) {
    struct host_node *node = a->owner;
    sl_error *error = NULL;
    bool ordered = node->state == HOST_NODE_PAUSED;
    turn(node);
    bool waits = atomic_load(&node->waiting);
    if (waits) {
        pause_left_out(node);
    } else {
        host_log(a->host, SL_LOG_INFO, node->spec->name,
                 ordered ? "resumed" : "all partitions of its sources are here: it goes on");
        /* what is closed, or being closed, gets its own streams once it is open again */
        bool open = !node->restart.under_way && !node_is_closed(node);
        error = open ? assignment_add_own(node) : NULL;
    }
    if (error == NULL && waits != node_must_wait(node)) {
        error = assignment_turn(node); /* it has changed again meanwhile */
    }
    if (error != NULL) {
        host_node_failed(node, error);
    }
}

static sl_error *look_at(struct host_node *node, const struct host_node *source, size_t total) {
    struct host *host = node->host;
    node->must_wait = misses_streams(node);
    if (node->must_wait) {
        host_log(host, host->started ? SL_LOG_INFO : SL_LOG_DEBUG, node->spec->name,
                 "waits: %zu of %zu partitions of %s are not with this host; it goes on when all "
                 "of them are",
                 source->missing, total, source->spec->name);
    }
    if (node_must_wait(node) == atomic_load(&node->waiting)) {
        return NULL; /* a turn that is under way sees it when it is through */
    }
    if (!host->started) {
        turn(node); /* nothing is attached yet */
        return NULL;
    }
    return assignment_turn(node);
}

static bool is_below(const struct host_node *node, const struct host_node *source) {
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        const struct host_node *from = node->tasks[0].inputs[i].from;
        if (from == source || is_below(from, source)) {
            return true;
        }
    }
    return false;
}

sl_error *assignment_missing(struct host_node *source, size_t missing, size_t total) {
    struct host *host = source->host;
    sl_error *error = NULL;
    bool changed = source->missing > 0 || missing > 0;
    source->missing = missing;
    for (size_t n = 0; n < host->n_nodes && error == NULL && changed; n++) {
        struct host_node *node = host->nodes[n];
        if ((node->flags & SL_ROLE_WHOLE) != 0 && is_below(node, source)) {
            error = look_at(node, source, total);
        }
    }
    return error;
}
