/*
 * Replacing the topology while it runs. What is kept goes on with its objects; what is changed is a
 * node that leaves and a new one, of the same name, that comes:
 *
 * - leave: the streams of those that leave are taken away, which commits what they have, and return
 *   without them; they are closed
 * - come: those that come are opened and started, while the others go on
 * - effect: the edition of the configuration is stored
 * - enter: the streams of those that come are taken away, and return with them; in between the new
 *   topology replaces the old one
 *
 * Sinks that can be open twice (SL_ROLE_BESIDE) leave only when the new ones enter, and are closed
 * after that, so that streams are away once.
 *
 * Before streams are taken away for the first time, those that read them commit what they have
 * (settle): all goes on meanwhile, and what is left to commit while the streams are away is little.
 *
 * When a step fails, those that came are closed, those that left are opened again, and enter. Every
 * node that was ever made stays until the run's end, since streams and lanes know it. Control loop.
 */
#include "host/reload.h"

#include "delivery/assignment.h"
#include "delivery/cycle.h"
#include "delivery/stream.h"
#include "delivery/whole.h"
#include "host/build.h"
#include "host/pause.h"
#include "host/reopen.h"
#include "host/restart.h"
#include "lane/tap.h"

#include <stdlib.h>

/* Some of the host's nodes, in topological order. */
struct some_nodes {
    struct host_node **list;
    size_t n;
};

struct reload {
    struct host *host;
    struct reloaded *reloaded; /* `next` and its graph */
    struct topology_plan *plan;
    bool *affected;
    bool beside;              /* those that leave go on until the others enter */
    struct host_node **nodes; /* those of `next`, by its index */
    struct some_nodes leaving;
    struct some_nodes coming;
    struct link *links;
    size_t at;            /* of those that are opened one after the other */
    unsigned outstanding; /* of the step under way */
    struct cycle_waiter *waiters;
    void (*settled)(struct reload *reload);
    sl_error *error; /* why it goes back */
    uv_work_t work;
    sl_error *work_error;
    void (*done)(void *arg, sl_error *error);
    void *arg;
};

static void go_back(struct reload *reload, sl_error *error);

sl_error *host_plan(struct host *host, const struct topology *next, struct topology_plan **out) {
    sl_error *error = topology_plan_new(host->topology, next, out);
    if (error == NULL) {
        reload_check(host, next, *out);
    }
    return error;
}

void reload_mask(struct host *host, sl_buffer *text) {
    for (const struct reloaded *r = atomic_load(&host->reloads); r != NULL; r = r->next) {
        topology_mask(r->topology, text);
    }
}

/* ---- the end ---- */

static void reload_free(struct reload *reload) {
    topology_plan_free(reload->plan);
    links_free(reload->links);
    free(reload->affected);
    free(reload->nodes);
    free(reload->leaving.list);
    free(reload->coming.list);
    free(reload->waiters);
    free(reload);
}

static void end(struct reload *reload) {
    struct host *host = reload->host;
    sl_error *error = reload->error;
    host->reload = NULL;
    host_log(host, error == NULL ? SL_LOG_INFO : SL_LOG_ERROR, NULL, "%s%s",
             error == NULL ? "the new topology runs"
                           : "the topology stays as it was: the new one could not take its place: ",
             error == NULL ? "" : sl_error_message(error));
    reload->done(reload->arg, error);
    reload_free(reload);
    host_advance(host);
}

/* Nothing will run in it any more. */
static void retire(struct host_node *node) {
    node->kept_out = true;
    node->drain = DRAIN_DONE;
    node->restart.under_way = false;
    sl_error_free(node->failure);
    node->failure = NULL;
    if (node->own_thread && node->own_loop.threaded) {
        loop_stop(&node->own_loop);
    }
}

static void retire_all(const struct some_nodes *nodes) {
    for (size_t i = 0; i < nodes->n; i++) {
        retire(nodes->list[i]);
    }
}

/* ---- whose streams ---- */

static bool concerns_one(const struct some_nodes *nodes, const struct stream *stream) {
    for (size_t i = 0; i < nodes->n; i++) {
        if (stream->owner == nodes->list[i] || stream_flows_to(stream, nodes->list[i])) {
            return true;
        }
    }
    return false;
}

static bool concerns_leaving(const void *arg, const struct stream *stream) {
    return concerns_one(&((const struct reload *)arg)->leaving, stream);
}

static bool concerns_both(const void *arg, const struct stream *stream) {
    return concerns_leaving(arg, stream) ||
           concerns_one(&((const struct reload *)arg)->coming, stream);
}

static bool move(struct reload *reload,
                 bool (*concerns)(const void *arg, const struct stream *stream),
                 void (*between)(void *arg, struct assignment *turn, bool whole)) {
    const struct assignment_move moving = {concerns, between, reload};
    return assignment_move(reload->host, &moving);
}

static sl_error *run_ends(void) {
    return sl_error_new(SL_ERROR_CONFLICT, "the run ends");
}

/* A node gets its streams with the next turn, if nothing else keeps it from them. */
static void let_in(struct host_node *node) {
    node->kept_out = false;
    node->restart.under_way = false;
    whole_look(node);
    atomic_store(&node->waiting, node_must_wait(node));
    if (node->failure != NULL) {
        restart_after_failure(node);
        return;
    }
    node->state = node_resting_state(node);
    node->restart.revived_us = sl_monotonic_us();
    node->restart.commits = node->cycle.commits;
    atomic_store(&node->failed, false);
    if (node->has_cycle) {
        cycle_restart(&node->cycle);
    }
    sl_error *error = atomic_load(&node->waiting) ? NULL : assignment_add_own(node);
    if (error != NULL) {
        host_node_failed(node, error);
    }
}

/* The run ends: it does not need those any more that were closed; what they have is durable. */
static void cut_short(struct reload *reload) {
    reload->host->uneven = true;
    for (size_t i = 0; i < reload->leaving.n; i++) {
        reload->leaving.list[i]->restart.under_way = false;
    }
    end(reload);
}

/* ---- back again ---- */

static void restored(void *arg, struct assignment *turn, bool whole) {
    struct reload *reload = arg;
    (void)whole; /* else they read what is assigned from now on, and a restart brings the rest */
    for (size_t i = 0; i < reload->leaving.n; i++) {
        struct host_node *node = reload->leaving.list[i];
        node->kept_out = false;
        if (node->restart.under_way) {
            let_in(node);
        }
    }
    assignment_give_back(turn);
    end(reload);
}

/* They cannot be opened once more: each is as one that has failed. */
static void fail_old(struct host_node *node, sl_error *error) {
    sl_error_free(node->failure);
    node->failure = error;
    node->failed_us = sl_monotonic_us();
    node->state = HOST_NODE_FAILED;
    host_log(node->host, SL_LOG_ERROR, node->spec->name, "%s", sl_error_message(error));
}

static void bring_back(struct reload *reload);

static void old_started(sl_request *request, sl_error *error);

static void start_old_again(void *arg) {
    host_start_node(arg, old_started);
}

static void old_started(sl_request *request, sl_error *error) {
    struct host_node *node =
        (struct host_node *)(void *)((char *)request - offsetof(struct host_node, start));
    if (error != NULL && host_try_again(node->host, &node->start_retry, node->spec->name, "start",
                                        error, start_old_again, node)) {
        return;
    }
    node->start_retry = (struct retry){0};
    if (error != NULL) {
        fail_old(node, sl_error_wrap(error, "cannot start again"));
    }
    struct reload *reload = node->host->reload;
    reload->at++;
    bring_back(reload);
}

static void old_opened(struct host_node *node, sl_error *error) {
    if (error == NULL) {
        sl_error_free(node->failure);
        node->failure = NULL;
        node->start_retry = (struct retry){0};
        host_start_node(node, old_started);
        return;
    }
    fail_old(node, sl_error_wrap(error, "cannot be opened again"));
    node->host->reload->at++;
    bring_back(node->host->reload);
}

/* Those that were closed, one after the other. */
static void bring_back(struct reload *reload) {
    const struct some_nodes *leaving = &reload->leaving;
    while (reload->at < leaving->n && !leaving->list[reload->at]->restart.under_way) {
        reload->at++; /* it was stopped before, or never closed */
    }
    if (reload->at < leaving->n) {
        node_open(leaving->list[reload->at], old_opened);
    } else if (reload->host->draining || !move(reload, concerns_leaving, restored)) {
        cut_short(reload);
    }
}

static void one_is_closed(struct reload *reload) {
    if (--reload->outstanding > 0) {
        return;
    }
    retire_all(&reload->coming);
    reload->at = 0;
    if (reload->host->draining) {
        cut_short(reload);
    } else if (reload->beside) {
        end(reload);
    } else {
        bring_back(reload);
    }
}

static void coming_closed(struct host_node *node) {
    one_is_closed(node->host->reload);
}

/* Whatever of them is open. One whose thread has not begun never was. */
static void close_coming(struct reload *reload) {
    reload->outstanding = 1;
    for (size_t i = reload->coming.n; i-- > 0;) {
        struct host_node *node = reload->coming.list[i];
        if (!node->own_thread || node->own_loop.threaded) {
            reload->outstanding++;
            node_close(node, coming_closed);
        }
    }
    one_is_closed(reload);
}

static void go_back(struct reload *reload, sl_error *error) {
    if (reload->error == NULL) {
        reload->error = error;
    } else {
        sl_error_free(error);
    }
    close_coming(reload);
}

/* ---- enter ---- */

/* From here on `next` is what runs. */
static void swap(struct reload *reload) {
    struct host *host = reload->host;
    links_apply(reload->links);
    reload->links = NULL;
    free(host->nodes);
    host->nodes = reload->nodes;
    host->n_nodes = reload->reloaded->topology->n_nodes;
    host->topology = reload->reloaded->topology;
    reload->nodes = NULL;
    for (size_t i = 0; i < reload->coming.n; i++) {
        let_in(reload->coming.list[i]);
    }
    taps_end(host);
}

static void forget_removed(struct reload *reload) {
    struct host *host = reload->host;
    for (size_t i = 0; i < reload->plan->n_nodes && host->options->targets != NULL; i++) {
        if (reload->plan->nodes[i].action == PLAN_REMOVED) {
            sl_error_free(
                targets_set(host->options->targets, reload->plan->nodes[i].name, TARGET_RUNNING));
        }
    }
    pause_write_targets(host);
}

static void finish(struct reload *reload) {
    retire_all(&reload->leaving);
    forget_removed(reload);
    end(reload);
}

static void replaced_closed(struct host_node *node) {
    struct reload *reload = node->host->reload;
    if (--reload->outstanding == 0) {
        finish(reload);
    }
}

/* Nothing flows to those that were beside the new ones. */
static void close_replaced(struct reload *reload) {
    reload->outstanding = 1; /* they may be closed at once */
    for (size_t i = 0; i < reload->leaving.n; i++) {
        struct host_node *node = reload->leaving.list[i];
        if (!node_is_closed(node)) {
            reload->outstanding++;
            node_close(node, replaced_closed);
        }
    }
    if (--reload->outstanding == 0) {
        finish(reload);
    }
}

static void entered(void *arg, struct assignment *turn, bool whole) {
    struct reload *reload = arg;
    if (!whole || reload->host->draining) {
        assignment_give_back(turn);
        go_back(reload, whole ? run_ends() : sl_error_no_memory());
        return;
    }
    swap(reload);
    for (size_t i = 0; i < reload->leaving.n; i++) {
        reload->leaving.list[i]->kept_out = true; /* so is one that has failed: it stays so */
    }
    assignment_give_back(turn);
    for (size_t i = 0; i < reload->coming.n; i++) {
        if (reload->coming.list[i]->target == TARGET_STOPPED) {
            pause_left_out(reload->coming.list[i]);
        }
    }
    if (reload->beside) {
        close_replaced(reload);
    } else {
        finish(reload);
    }
}

static void enter(struct reload *reload) {
    if (!move(reload, concerns_both, entered)) {
        go_back(reload, sl_error_no_memory());
    }
}

/* ---- settle ---- */

static void one_has_settled(void *arg) {
    struct reload *reload = arg;
    if (--reload->outstanding == 0) {
        reload->settled(reload);
    }
}

/* It reads a stream that will be away, and is waited for then, too. */
static bool is_held_up(const struct reload *reload, const struct host_node *node) {
    const struct host *host = reload->host;
    if (node_may_fall_behind(node)) {
        return false;
    }
    for (size_t s = 0; s < host->n_streams; s++) {
        const struct stream *stream = host->streams[s];
        if (stream_is_attached(stream) && stream_is_read_by(stream, node) &&
            concerns_both(reload, stream)) {
            return true;
        }
    }
    return false;
}

/* While an assignment is under way the streams' readers are its own to commit. */
static void settle(struct reload *reload, void (*then)(struct reload *reload)) {
    struct host *host = reload->host;
    bool may = assignment_is_idle(host);
    reload->settled = then;
    reload->outstanding = 1; /* they may answer at once */
    for (size_t n = 0; may && n < host->n_nodes; n++) {
        struct host_node *node = host->nodes[n];
        if (node->has_cycle && is_held_up(reload, node)) {
            reload->outstanding++;
            reload->waiters[n] = (struct cycle_waiter){.then = one_has_settled, .arg = reload};
            cycle_finish(&node->cycle, false, &reload->waiters[n]);
        }
    }
    one_has_settled(reload);
}

/* ---- effect ---- */

static void took_effect(struct reload *reload, sl_error *error) {
    for (size_t i = 0; i < reload->coming.n && error == NULL; i++) {
        if (reload->coming.list[i]->failure != NULL) {
            error =
                sl_error_new(SL_ERROR_CONFLICT, "node %s %s", reload->coming.list[i]->spec->name,
                             sl_error_message(reload->coming.list[i]->failure));
        }
    }
    if (error == NULL && reload->host->draining) {
        error = run_ends();
    }
    if (error != NULL) {
        go_back(reload, error);
    } else if (reload->beside || reload->leaving.n == 0) {
        settle(reload, enter);
    } else {
        enter(reload);
    }
}

static void call_take_effect(uv_work_t *work) {
    struct reload *reload = work->data;
    const struct host_options *options = reload->host->options;
    reload->work_error = options->take_effect(options->take_effect_arg, reload->reloaded->topology);
}

static void effect_called(uv_work_t *work, int status) {
    struct reload *reload = work->data;
    (void)status;
    took_effect(reload, reload->work_error);
}

static void take_effect(struct reload *reload) {
    struct host *host = reload->host;
    reload->work.data = reload;
    if (host->options->take_effect == NULL) {
        took_effect(reload, NULL);
    } else if (uv_queue_work(&host->control.uv, &reload->work, call_take_effect, effect_called) !=
               0) {
        took_effect(reload, sl_error_no_memory());
    }
}

/* ---- come ---- */

static void new_started(sl_request *request, sl_error *error);

static void start_new_again(void *arg) {
    host_start_node(arg, new_started);
}

static void new_started(sl_request *request, sl_error *error) {
    struct host_node *node =
        (struct host_node *)(void *)((char *)request - offsetof(struct host_node, start));
    struct reload *reload = node->host->reload;
    if (error != NULL && host_try_again(node->host, &node->start_retry, node->spec->name, "start",
                                        error, start_new_again, node)) {
        return;
    }
    node->start_retry = (struct retry){0};
    if (error != NULL && reload->error == NULL) {
        reload->error = sl_error_wrap(error, "node %s cannot start", node->spec->name);
    } else {
        sl_error_free(error);
    }
    if (--reload->outstanding > 0) {
        return;
    }
    if (reload->error != NULL) {
        go_back(reload, NULL);
    } else {
        take_effect(reload);
    }
}

static void start_coming(struct reload *reload) {
    reload->outstanding = (unsigned)reload->coming.n;
    if (reload->coming.n == 0) {
        take_effect(reload);
        return;
    }
    for (size_t i = reload->coming.n; i-- > 0;) {
        host_start_node(reload->coming.list[i], new_started);
    }
}

static void open_next(struct reload *reload);

static void new_opened(struct host_node *node, sl_error *error) {
    struct reload *reload = node->host->reload;
    if (error != NULL) {
        go_back(reload, sl_error_wrap(error, "%s:%d: %s", reload->reloaded->topology->file,
                                      node->spec->line, node->spec->config_path));
        return;
    }
    reload->at++;
    open_next(reload);
}

/* One after the other: each gets the schemas of those before it. */
static void open_next(struct reload *reload) {
    if (reload->at == reload->coming.n) {
        start_coming(reload);
        return;
    }
    struct host_node *node = reload->coming.list[reload->at];
    sl_error *error = node->own_thread ? loop_start(&node->own_loop) : NULL;
    if (error != NULL) {
        go_back(reload, error);
    } else {
        node_open(node, new_opened);
    }
}

/* ---- leave ---- */

static void old_closed(struct host_node *node) {
    struct reload *reload = node->host->reload;
    if (--reload->outstanding == 0) {
        open_next(reload);
    }
}

static void close_leaving(struct reload *reload) {
    reload->at = 0;
    reload->outstanding = 1; /* they may be closed at once */
    for (size_t i = 0; i < reload->leaving.n; i++) {
        struct host_node *node = reload->leaving.list[i];
        if (!node_is_closed(node)) {
            node->restart.under_way = true;
            node->state = HOST_NODE_RESTARTING;
            reload->outstanding++;
            node_close(node, old_closed);
        }
    }
    if (--reload->outstanding == 0) {
        open_next(reload);
    }
}

static void left(void *arg, struct assignment *turn, bool whole) {
    struct reload *reload = arg;
    sl_error *error = reload->host->draining ? run_ends()
                      : !whole
                          ? sl_error_no_memory()
                          : reload_check_level(turn, reload->host, reload->plan, reload->affected);
    for (size_t i = 0; i < reload->leaving.n; i++) {
        struct host_node *node = reload->leaving.list[i];
        node->kept_out = error == NULL;
        atomic_store(&node->waiting, node_must_wait(node));
    }
    assignment_give_back(turn);
    if (error == NULL) {
        close_leaving(reload);
    } else {
        reload->error = error;
        reload->host->uneven = reload->host->uneven || reload->host->draining;
        retire_all(&reload->coming);
        end(reload);
    }
}

/* ---- the beginning ---- */

static bool is_new(enum plan_action action) {
    return action != PLAN_KEPT && action != PLAN_REMOVED;
}

/* Those that leave and those that stay, by the plan. */
static void sort_old(struct reload *reload) {
    for (size_t i = 0; i < reload->plan->n_nodes; i++) {
        const struct plan_node *planned = &reload->plan->nodes[i];
        struct host_node *old = planned->now == SIZE_MAX ? NULL : reload->host->nodes[planned->now];
        if (planned->action == PLAN_KEPT) {
            reload->nodes[planned->next] = old;
            graph_borrow(&reload->reloaded->graph->nodes[planned->next], old->opened);
        } else if (old != NULL) {
            reload->leaving.list[reload->leaving.n++] = old;
        }
    }
}

static enum target target_of(const struct host *host, const struct host_node *old,
                             const char *name) {
    const struct targets *targets = host->options->targets;
    return old != NULL       ? old->target
           : targets != NULL ? targets_get(targets, name)
                             : TARGET_RUNNING;
}

/* Inputs refer to nodes that stand before them. */
static sl_error *make_new(struct reload *reload, const struct plan_node *planned) {
    struct host *host = reload->host;
    const struct topology *next = reload->reloaded->topology;
    struct host_node *node = NULL;
    sl_error *error = host_node_new(host, &next->nodes[planned->next], &node);
    if (node != NULL) {
        const struct host_node *old = planned->now == SIZE_MAX ? NULL : host->nodes[planned->now];
        reload->nodes[planned->next] = node;
        reload->coming.list[reload->coming.n++] = node;
        node->opened = &reload->reloaded->graph->nodes[planned->next];
        node->target = target_of(host, old, planned->name);
        node->was_read = old != NULL && old->was_read;
        node->kept_out = true;
        atomic_store(&node->waiting, true);
    }
    return error != NULL ? error : host_node_wire(node, reload->nodes);
}

static sl_error *make_nodes(struct reload *reload) {
    sl_error *error = NULL;
    sort_old(reload);
    for (size_t i = 0; i < reload->plan->n_nodes && error == NULL; i++) {
        if (is_new(reload->plan->nodes[i].action)) {
            error = make_new(reload, &reload->plan->nodes[i]);
        }
    }
    if (error == NULL) {
        error = links_new(reload->nodes, reload->reloaded->topology->n_nodes, &reload->links);
    }
    host_publish_nodes(reload->host); /* what was made is freed with the others */
    return error;
}

static sl_error *reload_new(struct host *host, struct topology *next, struct topology_plan *plan,
                            struct reload **out) {
    size_t n = plan->n_nodes + 1;
    struct reload *reload = calloc(1, sizeof(*reload));
    if (reload == NULL) {
        return sl_error_no_memory();
    }
    *out = reload;
    reload->host = host;
    reload->reloaded = calloc(1, sizeof(*reload->reloaded));
    reload->affected = reload_find_affected(plan, next);
    reload->nodes = calloc(n, sizeof(struct host_node *));
    reload->leaving.list = calloc(n, sizeof(struct host_node *));
    reload->coming.list = calloc(n, sizeof(struct host_node *));
    reload->waiters = calloc(host->n_nodes + 1, sizeof(*reload->waiters));
    if (reload->reloaded == NULL || reload->affected == NULL || reload->nodes == NULL ||
        reload->leaving.list == NULL || reload->coming.list == NULL || reload->waiters == NULL) {
        return sl_error_no_memory();
    }
    reload->reloaded->topology = next;
    sl_error *error = graph_new(next, &reload->reloaded->graph);
    if (error == NULL) {
        reload->plan = plan;
    }
    return error;
}

static void leave(struct reload *reload) {
    if (!move(reload, concerns_leaving, left)) {
        reload->error = sl_error_no_memory();
        retire_all(&reload->coming);
        end(reload);
    }
}

/* Sinks whose rejects nobody reads are replaced, and nothing else changes. */
static bool can_be_beside(const struct reload *reload) {
    const struct topology *next = reload->reloaded->topology;
    for (size_t i = 0; i < reload->plan->n_nodes; i++) {
        const struct plan_node *planned = &reload->plan->nodes[i];
        if (planned->action == PLAN_KEPT) {
            continue;
        }
        if (planned->action != PLAN_CHANGED || planned->kind != TOPOLOGY_SINK) {
            return false;
        }
        const struct host_node *old = reload->host->nodes[planned->now];
        uint32_t both = old->flags & topology_node_flags(&next->nodes[planned->next]);
        if (old->passes || reload->affected[i] || (both & SL_ROLE_BESIDE) == 0) {
            return false;
        }
    }
    return reload->leaving.n > 0;
}

static void begin(struct reload *reload) {
    reload->beside = can_be_beside(reload);
    if (reload->beside || reload->leaving.n == 0) {
        open_next(reload);
    } else {
        settle(reload, leave);
    }
}

/* Takes the plan. */
static sl_error *start(struct host *host, struct topology *next, struct topology_plan *plan,
                       struct reload **out) {
    struct reload *reload = NULL;
    sl_error *error = reload_new(host, next, plan, &reload);
    if (error != NULL) {
        topology_plan_free(plan);
        if (reload != NULL) {
            free(reload->reloaded);
            reload_free(reload);
        }
        return error;
    }
    /* from here on it is the host's */
    reload->reloaded->next = atomic_load(&host->reloads);
    atomic_store(&host->reloads, reload->reloaded);
    *out = reload;
    return make_nodes(reload);
}

sl_error *host_reload(struct host *host, struct topology *next,
                      void (*done)(void *arg, sl_error *error), void *arg) {
    struct topology_plan *plan = NULL;
    struct reload *reload = NULL;
    sl_error *error = host_plan(host, next, &plan);
    if (error == NULL && plan->refusal != NULL) {
        error = sl_error_new(SL_ERROR_CONFLICT, "%s", plan->refusal);
        topology_plan_free(plan);
    }
    error = error != NULL ? error : start(host, next, plan, &reload);
    if (reload == NULL) {
        return error;
    }
    reload->done = done;
    reload->arg = arg;
    host->reload = reload;
    if (error == NULL) {
        begin(reload);
    } else {
        reload->error = error;
        retire_all(&reload->coming);
        end(reload);
    }
    return NULL;
}
