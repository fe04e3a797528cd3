/*
 * A restart: the node's streams are taken away; when nothing of it is under way its tasks and
 * itself are closed and opened anew, and the streams return to the other nodes. Then it is started,
 * for which it may take its time, and gets its streams, from its durable positions, in a second
 * turn. A source starts with its lanes open to it, and assigns its streams itself.
 */
#include "host/restart.h"

#include "delivery/assignment.h"
#include "delivery/cycle.h"
#include "host/run.h"

#include <string.h>

enum { PAUSE_MAX_MS = 600000, FORGIVEN_AFTER = 10 };

static void begin(struct host_node *node);
static void reopen(void *arg);
static void close_for_now(void *arg);

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
    return host->storing;
}

/* ---- by itself ---- */

/* Its streams can be taken away, and come back. */
static bool may_change(const struct host_node *node) {
    const struct host *host = node->host;
    return host->started && !host->draining && !host->finished && node->drain == DRAIN_OPEN &&
           (node->flags & SL_ROLE_ASSIGNS) == 0 && !node->restart.under_way &&
           assignment_can_take_away(node);
}

static bool may_restart(const struct host_node *node) {
    return node->target == TARGET_RUNNING && may_change(node);
}

static void fires(void *arg) {
    struct host_node *node = arg;
    node->restart.pending = false;
    if (may_restart(node) && node->state == HOST_NODE_FAILED) {
        begin(node);
    }
    host_advance(node->host);
}

/* After twice as long each time. */
static void schedule(struct host_node *node) {
    struct restart *restart = &node->restart;
    const struct topology_node *spec = node->spec;
    if (spec->restart_after_us == 0 || restart->pending || !may_restart(node)) {
        return;
    }
    if (restart->attempts >= spec->restart_attempts) {
        host_log(node->host, SL_LOG_ERROR, spec->name,
                 "stays FAILED: it was restarted %u times in a row, as often as restart.attempts "
                 "allows",
                 (unsigned)restart->attempts);
        return;
    }
    uint64_t pause_ms = (uint64_t)spec->restart_after_us / 1000;
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
    if (got_on && restart->revived_us != 0 &&
        ran_us > FORGIVEN_AFTER * node->spec->restart_after_us) {
        restart->attempts = 0;
    }
    schedule(node);
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
    host_log(node->host, SL_LOG_ERROR, node->spec->name, "cannot be restarted: %s",
             sl_error_message(error));
    schedule(node);
    give_back(node);
    host_advance(node->host);
}

static void start(struct host_node *node);
static void ask_tasks(struct host_node *node, void (*run)(void *task));

static void all_open(struct host_node *node) {
    sl_error *error = node->restart.error;
    node->restart.error = NULL;
    if (error != NULL) {
        fail_again(node, error);
    } else {
        start(node);
    }
}

static void task_opened(void *arg) {
    struct lane_task *task = arg;
    struct host_node *node = task->object.node;
    if (node->restart.error == NULL) {
        node->restart.error = task->open_error;
    } else {
        sl_error_free(task->open_error);
    }
    task->open_error = NULL;
    if (--node->restart.outstanding == 0) {
        all_open(node);
    }
}

static void open_task(void *arg) {
    struct lane_task *task = arg;
    task->open_error = task_reopen(task);
    loop_post(&task->object.host->control, &task->drain_message, task_opened, task);
}

static void reopened(void *arg) {
    struct host_node *node = arg;
    assignment_forget_owner(node, false); /* what it asked for while it was told to close */
    if (node->restart.error != NULL) {
        all_open(node);
    } else {
        ask_tasks(node, open_task);
    }
}

/* False when it has to wait for jobs that run on pool threads. On the node's loop. */
static bool close_plugin(struct host_node *node) {
    if (node->object.works > 0) {
        return false;
    }
    if (node->ops->close != NULL && node->opened->node != NULL) {
        struct object_clock clock = object_enter(&node->object);
        node->ops->close(node->opened->node);
        object_leave(&node->object, clock);
    }
    node->opened->node = NULL;
    object_reset_gauges(&node->object);
    return true;
}

/* On the node's loop. */
static void reopen(void *arg) {
    struct host_node *node = arg;
    if (!close_plugin(node)) {
        loop_post(node->object.loop, &node->start_message, reopen, node);
        return;
    }
    const struct graph_options options = host_graph_options(node->host);
    struct object_clock clock = object_enter(&node->object);
    node->restart.error = graph_reopen(node->host->graph, &options, node->index);
    object_leave(&node->object, clock);
    loop_post(&node->host->control, &node->start_message, reopened, node);
}

/* It is closed until it is resumed. */
static void closed(void *arg) {
    struct host_node *node = arg;
    assignment_forget_owner(node, false);
    sl_error_free(node->failure);
    node->failure = NULL;
    node->restart.under_way = node->restart.closes = false;
    node->state = node_resting_state(node);
    host_log(node->host, SL_LOG_INFO, node->spec->name,
             node->state == HOST_NODE_STOPPED ? "stopped" : "paused");
    host_advance(node->host);
}

/* On the node's loop. */
static void close_for_now(void *arg) {
    struct host_node *node = arg;
    bool done = close_plugin(node);
    loop_post(done ? &node->host->control : node->object.loop, &node->start_message,
              done ? closed : close_for_now, node);
}

static void task_is_shut(void *arg) {
    struct host_node *node = arg;
    if (--node->restart.outstanding == 0) {
        assignment_forget_owner(node, true);
        loop_post(node->object.loop, &node->start_message,
                  node->restart.closes ? close_for_now : reopen, node);
    }
}

static void shut_task(void *arg) {
    struct lane_task *task = arg;
    if (task->object.works > 0) {
        loop_post(&task->lane->loop, &task->drain_message, shut_task, task);
        return;
    }
    task_shut(task);
    loop_post(&task->object.host->control, &task->drain_message, task_is_shut, task->object.node);
}

static void ask_tasks(struct host_node *node, void (*run)(void *task)) {
    node->restart.outstanding = node->host->n_lanes;
    for (uint32_t i = 0; i < node->host->n_lanes; i++) {
        struct lane_task *task = &node->tasks[i];
        loop_post(&task->lane->loop, &task->drain_message, run, task);
    }
}

/* No flush and no commit is under way. */
static void quiet(void *arg) {
    ask_tasks(arg, shut_task);
}

static void shut_when_quiet(struct host_node *node) {
    node->restart.waiter = (struct cycle_waiter){.then = quiet, .arg = node};
    if (node->has_cycle) {
        cycle_finish(&node->cycle, false, &node->restart.waiter);
    } else {
        quiet(node);
    }
}

static void shut(struct host_node *node, struct assignment *turn) {
    node->restart.turn = turn;
    shut_when_quiet(node);
}

static void begin(struct host_node *node) {
    node->restart.under_way = true;
    node->state = HOST_NODE_RESTARTING;
    atomic_store(&node->failed, true); /* lanes pass it by */
    host_release_lanes(node->host);
    if (!assignment_take_away(node, shut)) {
        fail_again(node, sl_error_new(SL_ERROR_CONFLICT,
                                      "what it reads has ended, so that it cannot be read again"));
    }
}

/* ---- starting ---- */

static void revive(struct host_node *node) {
    sl_error_free(node->failure);
    node->failure = NULL;
    atomic_store(&node->waiting, node_must_wait(node));
    node->state = node_resting_state(node);
    node->restart.revived_us = sl_monotonic_us();
    node->restart.succeeded++;
    node->restart.commits = node->cycle.commits;
    atomic_store(&node->failed, false);
    if (node->has_cycle) {
        cycle_restart(&node->cycle);
    }
    host_log(node->host, SL_LOG_INFO, node->spec->name, "restarted");
}

static void let_in(struct host_node *node, struct assignment *turn) {
    revive(node);
    sl_error *error = atomic_load(&node->waiting) ? NULL : assignment_add_own(node);
    if (error != NULL) {
        host_node_failed(node, error);
    }
    node->restart.under_way = false;
    assignment_give_back(turn);
    host_advance(node->host);
}

static void started(sl_request *request, sl_error *error);

static void start_again(void *arg) {
    host_start_node(arg, started);
}

static void started(sl_request *request, sl_error *error) {
    struct host_node *node =
        (struct host_node *)(void *)((char *)request - offsetof(struct host_node, start));
    bool source = node->spec->kind == TOPOLOGY_SOURCE;
    if (error != NULL && host_try_again(node->host, &node->start_retry, node->spec->name, "start",
                                        error, start_again, node)) {
        return;
    }
    if (error != NULL && source) {
        host_node_failed(node, sl_error_wrap(error, "cannot start"));
    } else if (error != NULL) {
        fail_again(node, sl_error_wrap(error, "cannot start"));
        return;
    }
    if (source) {
        node->restart.under_way = false;
        host_advance(node->host);
    } else if (!assignment_take_away(node, let_in)) {
        fail_again(node, sl_error_new(SL_ERROR_CONFLICT, "the run ends"));
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

static sl_error *find_node(const struct host *host, const char *name, struct host_node **out) {
    for (size_t n = 0; n < host->n_nodes; n++) {
        if (strcmp(host->nodes[n]->spec->name, name) == 0) {
            *out = host->nodes[n];
            return NULL;
        }
    }
    return sl_error_new(SL_ERROR_CONFIG, "there is no node \"%.100s\"", name);
}

static sl_error *refusal(const struct host_node *node, const char *what) {
    const char *why = "what it reads has ended, or the run ends";
    if (node->restart.under_way) {
        why = node->restart.closes ? "it is being stopped" : "it is being restarted already";
    } else if ((node->flags & SL_ROLE_ASSIGNS) != 0) {
        why = "with \"scope\": \"group\" it takes part in a group of hosts as long as it runs";
    } else if (node->target != TARGET_RUNNING) {
        why = "it is paused; resuming it starts it";
    }
    return sl_error_new(SL_ERROR_CONFLICT, "node %s cannot be %s: %s", node->spec->name, what, why);
}

sl_error *host_restart_node(struct host *host, const char *name) {
    struct host_node *node = NULL;
    sl_error *error = find_node(host, name, &node);
    if (error != NULL) {
        return error;
    }
    if (!may_restart(node)) {
        return refusal(node, "restarted");
    }
    node->restart.attempts = 0;
    begin(node);
    return NULL;
}

/* ---- paused, stopped, resumed ---- */

static void write_targets(struct host *host);

static void call_write(uv_work_t *work) {
    struct host *host = work->data;
    host->store_error = targets_write(host->options->targets);
}

static void targets_written(uv_work_t *work, int status) {
    struct host *host = work->data;
    sl_error *error = host->store_error;
    (void)status;
    host->store_error = NULL;
    host->storing = false;
    if (error == NULL) {
        write_targets(host); /* what was ordered meanwhile */
    } else {
        host_log(host, SL_LOG_WARN, NULL,
                 "which nodes are paused could not be stored, and holds until the process ends: %s",
                 sl_error_message(error));
        sl_error_free(error);
    }
    host_advance(host);
}

static void write_targets(struct host *host) {
    struct targets *targets = host->options->targets;
    if (targets == NULL || host->storing || !targets_are_dirty(targets)) {
        return;
    }
    host->store_work.data = host;
    host->storing =
        uv_queue_work(&host->control.uv, &host->store_work, call_write, targets_written) == 0;
}

static sl_error *keep_target(struct host_node *node, enum target target) {
    struct host *host = node->host;
    sl_error *error = host->options->targets == NULL
                          ? NULL
                          : targets_set(host->options->targets, node->spec->name, target);
    if (error == NULL) {
        node->target = target;
        write_targets(host);
    }
    return error;
}

/* Nothing flows to it any more. */
static void close_left_out(struct host_node *node) {
    node->restart.under_way = node->restart.closes = true;
    atomic_store(&node->failed, true);
    host_release_lanes(node->host);
    shut_when_quiet(node);
}

void restart_left_out(struct host_node *node) {
    bool closes = node->target == TARGET_STOPPED ||
                  (node->target == TARGET_PAUSED && atomic_load(&node->failed));
    if (closes && !node->restart.under_way && !node_is_closed(node)) {
        close_left_out(node);
    } else if (node->target == TARGET_PAUSED) {
        host_log(node->host, SL_LOG_INFO, node->spec->name, "paused");
    }
}

static sl_error *leave(struct host *host, const char *name, enum target target) {
    struct host_node *node = NULL;
    sl_error *error = find_node(host, name, &node);
    if (error != NULL || node->target == target) {
        return error;
    }
    if (!may_change(node)) {
        return refusal(node, target == TARGET_PAUSED ? "paused" : "stopped");
    }
    error = keep_target(node, target);
    if (error == NULL && !atomic_load(&node->waiting)) {
        return assignment_turn(node);
    }
    if (error == NULL) {
        node->state = node_resting_state(node);
        restart_left_out(node);
    }
    return error;
}

sl_error *host_pause_node(struct host *host, const char *name) {
    return leave(host, name, TARGET_PAUSED);
}

sl_error *host_stop_node(struct host *host, const char *name) {
    return leave(host, name, TARGET_STOPPED);
}

/* What was stopped is opened and started as by a restart. */
static void open_again(struct host_node *node) {
    node->restart.attempts = 0;
    node->restart.under_way = true;
    node->state = HOST_NODE_RESTARTING;
    loop_post(node->object.loop, &node->start_message, reopen, node);
}

sl_error *host_resume_node(struct host *host, const char *name) {
    struct host_node *node = NULL;
    sl_error *error = find_node(host, name, &node);
    if (error != NULL || node->target == TARGET_RUNNING) {
        return error;
    }
    if (!may_change(node)) {
        return refusal(node, "resumed");
    }
    error = keep_target(node, TARGET_RUNNING);
    if (error != NULL) {
        return error;
    }
    if (node_is_closed(node)) {
        open_again(node);
    } else if (atomic_load(&node->failed)) {
        begin(node);
    } else {
        return assignment_turn(node);
    }
    return NULL;
}

void restart_heed_targets(struct host *host) {
    for (size_t n = 0; n < host->n_nodes && host->options->targets != NULL; n++) {
        struct host_node *node = host->nodes[n];
        if ((node->flags & SL_ROLE_ASSIGNS) == 0) {
            node->target = targets_get(host->options->targets, node->spec->name);
        }
        if (node->target != TARGET_RUNNING) {
            atomic_store(&node->waiting, true);
            host_log(host, SL_LOG_WARN, node->spec->name,
                     "is %s, as it was told to be; it goes on once it is resumed",
                     node->target == TARGET_PAUSED ? "paused" : "stopped");
        }
    }
}
