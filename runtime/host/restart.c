/*
 * A restart: the node's streams are taken away; when nothing of it is under way its tasks and
 * itself are closed and opened anew, and the streams return to the other nodes. Then it is started,
 * for which it may take its time, and gets its streams, from its durable positions, in a second
 * turn. A source starts with its lanes open to it, and assigns its streams itself.
 *
 * A node whose very first start fails, and may succeed later, does not hold up the others: it is on
 * the second half of this way, with its tasks open.
 */
#include "host/restart.h"

#include "delivery/assignment.h"
#include "delivery/cycle.h"
#include "host/pause.h"
#include "host/reopen.h"
#include "host/run.h"

#include <string.h>

enum {
    PAUSE_MAX_MS = 600000,
    FORGIVEN_AFTER = 10,
    RENEWED_AFTER_MS = 100, /* at first */
    RENEWED_WELL_US = 60000000,
    AFTER_RELOAD_MS = 100
};

static const char owes_answer[] = "it has still to answer what it was asked";

static void begin(struct host_node *node);
static void leave_out(struct host_node *node);

/* A run to the end of the data ends without those that are paused: the next one has the rest. */
static bool waits_to_be_resumed(const struct host_node *node) {
    return node->target != TARGET_RUNNING && !node->host->options->until_end &&
           node->drain == DRAIN_OPEN;
}

bool restart_holds_end(const struct host *host) {
    for (size_t n = 0; n < host->n_nodes; n++) {
        const struct host_node *node = host->nodes[n];
        bool waits = node->restart.pending || waits_to_be_resumed(node);
        if (node->restart.under_way || (waits && !host->draining)) {
            return true;
        }
    }
    return host->storing || host->reload != NULL;
}

/* ---- by itself ---- */

/* Its streams can be taken away, and come back. */
bool restart_may_change(const struct host_node *node) {
    const struct host *host = node->host;
    return host->started && !host->draining && !host->finished && node->drain == DRAIN_OPEN &&
           !node->restart.under_way && node->unanswered == 0 && assignment_can_take_away(node);
}

static bool may_restart(const struct host_node *node) {
    return node->target == TARGET_RUNNING && !node->kept_out && restart_may_change(node);
}

static void fires(void *arg) {
    struct host_node *node = arg;
    node->restart.pending =
        node->host->reload != NULL && host_later(node->host, AFTER_RELOAD_MS, fires, node);
    if (!node->restart.pending && may_restart(node) && node->state == HOST_NODE_FAILED) {
        begin(node);
    }
    host_advance(node->host);
}

/* As the topology says, or else as the node does. */
static bool is_wanted(struct host_node *node) {
    struct restart *restart = &node->restart;
    const struct topology_node *spec = node->spec;
    if (spec->restart_after_us == 0) {
        bool wanted = atomic_load(&node->renewable) &&
                      retry_allowed(node->host, &restart->renewal, node->failure);
        restart->renewal.attempts += wanted ? 1 : 0;
        return wanted;
    }
    if (restart->attempts >= spec->restart_attempts) {
        host_log(node->host, SL_LOG_ERROR, spec->name,
                 "stays FAILED: it was restarted %u times in a row, as often as restart.attempts "
                 "allows",
                 (unsigned)restart->attempts);
        return false;
    }
    return true;
}

/* After twice as long each time. */
static void schedule(struct host_node *node) {
    struct restart *restart = &node->restart;
    const struct topology_node *spec = node->spec;
    if (restart->pending || !may_restart(node) || !is_wanted(node)) {
        return;
    }
    uint64_t pause_ms =
        spec->restart_after_us == 0 ? RENEWED_AFTER_MS : (uint64_t)spec->restart_after_us / 1000;
    for (uint32_t i = 0; i < restart->attempts && pause_ms < PAUSE_MAX_MS / 2; i++) {
        pause_ms *= 2;
    }
    restart->pending = host_later(node->host, pause_ms, fires, node);
    if (restart->pending) {
        restart->attempts++;
        host_log(node->host, SL_LOG_WARN, spec->name, "will be restarted in %.3g s",
                 (double)pause_ms / 1000);
    }
}

/* Who has run for long enough, and got on, is no longer in a row of failures. */
void restart_after_failure(struct host_node *node) {
    struct restart *restart = &node->restart;
    int64_t ran_us = sl_monotonic_us() - restart->revived_us;
    bool got_on = !node->has_cycle || node->cycle.commits > restart->commits;
    int64_t long_enough_us = node->spec->restart_after_us == 0
                                 ? RENEWED_WELL_US
                                 : FORGIVEN_AFTER * node->spec->restart_after_us;
    if (got_on && restart->revived_us != 0 && ran_us > long_enough_us) {
        restart->attempts = 0;
        restart->renewal = (struct retry){0};
    }
    schedule(node);
}

/* ---- late ---- */

static void started(sl_request *request, sl_error *error);

/* Not where the others must know its positions: to finish what an edition before has begun. Who
 * assigns streams does it while it starts, so that it has to be there already. */
bool restart_is_late(struct host_node *node, sl_error *error) {
    struct host *host = node->host;
    if ((node->flags & SL_ROLE_ASSIGNS) != 0 || host->options->catch_up != NULL || host->draining ||
        !retry_allowed(host, &node->start_retry, error)) {
        return false;
    }
    node->restart.first = true;
    node->restart.not_yet = error;
    /* lanes pass it by; a source has nothing to be passed by with */
    atomic_store(&node->failed, node->spec->kind != TOPOLOGY_SOURCE);
    return true;
}

void restart_start_late(struct host_node *node) {
    sl_error *error = node->restart.not_yet;
    node->restart.not_yet = NULL;
    node->restart.under_way = true;
    started(&node->start, error);
}

/* ---- closing ---- */

/* Its streams, if they are away, go back to the others. */
static void give_back(struct host_node *node) {
    struct assignment *turn = node->restart.turn;
    node->restart.turn = NULL;
    if (turn != NULL) {
        assignment_give_back(turn);
    }
}

static void fail_again(struct host_node *node, sl_error *error) {
    sl_error_free(node->failure);
    node->failure = error;
    node->failed_us = sl_monotonic_us();
    node->state = HOST_NODE_FAILED;
    node->restart.under_way = false;
    host_log(node->host, SL_LOG_ERROR, node->spec->name, "%s: %s",
             node->restart.first ? "FAILED" : "cannot be restarted", sl_error_message(error));
    node->failures += node->restart.first ? 1 : 0;
    node->restart.first = false;
    schedule(node);
    give_back(node);
    leave_out(node);
    host_advance(node->host);
}

/* The run's end came first, and the streams do not come back: what the node has is durable, and the
 * next run goes on from there. One that was restarted because it had failed stays FAILED. */
static void cut_short(struct host_node *node) {
    node->host->uneven = true;
    node->restart.under_way = false;
    if (node->failure != NULL) {
        node->state = HOST_NODE_FAILED;
    }
    host_log(node->host, SL_LOG_INFO, node->spec->name,
             "is not back before the run ends: it goes on in the next one");
    host_advance(node->host);
}

static sl_error *cannot_come_back(void) {
    return sl_error_new(SL_ERROR_CONFLICT,
                        "what it reads has ended, so that it cannot be read again");
}

static void start(struct host_node *node);

static void opened(struct host_node *node, sl_error *error) {
    if (error != NULL) {
        fail_again(node, error);
    } else {
        start(node);
    }
}

static void closed(struct host_node *node) {
    node_open(node, opened);
}

static void taken_away(struct host_node *node, struct assignment *turn) {
    node->restart.turn = turn;
    if (node->unanswered > 0) { /* the others do not wait for it */
        fail_again(node, sl_error_new(SL_ERROR_CONFLICT, "%s", owes_answer));
    } else {
        node_close(node, closed);
    }
}

static void begin(struct host_node *node) {
    node->restart.under_way = true;
    node->state = HOST_NODE_RESTARTING;
    atomic_store(&node->failed, true); /* lanes pass it by */
    host_release_lanes(node->host);
    if (!assignment_take_away(node, taken_away)) {
        fail_again(node, cannot_come_back());
    }
}

/* ---- starting ---- */

static void revive(struct host_node *node) {
    sl_error_free(node->failure);
    node->failure = NULL;
    atomic_store(&node->renewable, false);
    atomic_store(&node->waiting, node_must_wait(node));
    node->state = node_resting_state(node);
    node->restart.revived_us = sl_monotonic_us();
    node->restart.succeeded += node->restart.first ? 0 : 1;
    node->restart.commits = node->cycle.commits;
    atomic_store(&node->failed, false);
    if (node->has_cycle) {
        cycle_restart(&node->cycle);
    }
    host_log(node->host, SL_LOG_INFO, node->spec->name,
             node->restart.first ? "started, and joins the others" : "restarted");
    node->restart.first = false;
}

/* It was stopped, or paused, before it could start; what has failed is closed in both. */
static void leave_out(struct host_node *node) {
    if (node->target == TARGET_STOPPED ||
        (node->target == TARGET_PAUSED && atomic_load(&node->failed))) {
        pause_left_out(node);
    }
}

static void let_in(struct host_node *node, struct assignment *turn) {
    revive(node);
    sl_error *error = atomic_load(&node->waiting) ? NULL : assignment_add_own(node);
    if (error != NULL) {
        host_node_failed(node, error);
    }
    node->restart.under_way = false;
    assignment_give_back(turn);
    leave_out(node);
    host_advance(node->host);
}

static void start_again(void *arg) {
    host_start_node(arg, started);
}

/* Its streams come by themselves. One that is restarted was revived before. */
static void source_started(struct host_node *node, sl_error *error) {
    if (error != NULL) {
        atomic_store(&node->failed, true);
        fail_again(node, sl_error_wrap(error, "cannot start"));
        return;
    }
    if (node->restart.first && node->failure == NULL) {
        revive(node);
    }
    node->restart.under_way = node->restart.first = false;
    leave_out(node);
    host_advance(node->host);
}

static void started(sl_request *request, sl_error *error) {
    struct host_node *node =
        (struct host_node *)(void *)((char *)request - offsetof(struct host_node, start));
    if (error != NULL && host_try_again(node->host, &node->start_retry, node->spec->name, "start",
                                        error, start_again, node)) {
        return;
    }
    node->start_retry = (struct retry){0};
    if (node->spec->kind == TOPOLOGY_SOURCE) {
        source_started(node, error);
    } else if (error != NULL) {
        fail_again(node, sl_error_wrap(error, "cannot start"));
    } else if (node->host->draining) {
        cut_short(node);
    } else if (!assignment_take_away(node, let_in)) {
        fail_again(node, cannot_come_back());
    }
}

static void start(struct host_node *node) {
    if (node->spec->kind == TOPOLOGY_SOURCE) {
        node->all_assigned = false;
        revive(node);
    }
    give_back(node);
    node->start_retry = (struct retry){0};
    host_start_node(node, started);
}

/* ---- by order ---- */

sl_error *restart_find_node(const struct host *host, const char *name, struct host_node **out) {
    for (size_t n = 0; n < host->n_nodes; n++) {
        if (strcmp(host->nodes[n]->spec->name, name) == 0) {
            *out = host->nodes[n];
            return NULL;
        }
    }
    return sl_error_new(SL_ERROR_CONFIG, "there is no node \"%.100s\"", name);
}

sl_error *restart_refusal(const struct host_node *node, const char *what) {
    const char *why = "what it reads has ended, or the run ends";
    if (node->host->reload != NULL) {
        why = "a reload is under way";
    } else if (node->restart.under_way) {
        why = node->restart.stops ? "it is being stopped" : "it is being restarted already";
    } else if (node->unanswered > 0) {
        why = owes_answer;
    } else if (node->target != TARGET_RUNNING) {
        why = "it is paused; resuming it starts it";
    }
    return sl_error_new(SL_ERROR_CONFLICT, "node %s cannot be %s: %s", node->spec->name, what, why);
}

void restart_begin(struct host_node *node) {
    node->restart.attempts = 0;
    if (!node_is_closed(node)) {
        begin(node);
        return;
    }
    node->restart.under_way = true;
    node->state = HOST_NODE_RESTARTING;
    node_open(node, opened);
}

sl_error *host_restart_node(struct host *host, const char *name) {
    struct host_node *node = NULL;
    sl_error *error = restart_find_node(host, name, &node);
    if (error != NULL) {
        return error;
    }
    if (!may_restart(node) || host->reload != NULL) {
        return restart_refusal(node, "restarted");
    }
    restart_begin(node);
    return NULL;
}
