/*
 * Whether a plan can take effect in a run as it is: nothing else may be under way with the nodes
 * that it concerns, and where rows change all that reads them must be at one position.
 */
#include "delivery/assignment.h"
#include "delivery/stream.h"
#include "host/reload.h"
#include "topology/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

SL_PRINTF(2, 3)
static void refuse(struct topology_plan *plan, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    topology_plan_refuse(plan, text);
}

/* The same for what passes by itself. */
SL_PRINTF(2, 3)
static void refuse_for_now(struct topology_plan *plan, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    plan->refused_for_now = plan->refused_for_now || plan->refusal == NULL;
    topology_plan_refuse(plan, text);
}

static void check_run(const struct host *host, struct topology_plan *plan) {
    size_t n_new = 0;
    for (size_t i = 0; i < plan->n_nodes; i++) {
        enum plan_action action = plan->nodes[i].action;
        n_new += action == PLAN_KEPT || action == PLAN_REMOVED ? 0 : 1;
    }
    if (host->reload != NULL) {
        refuse_for_now(plan, "another reload is under way");
    } else if (!host->started) {
        refuse_for_now(plan, "the run has not started yet");
    } else if (host->draining || host->finished) {
        refuse_for_now(plan, "the run ends");
    } else if (host->n_made + n_new > HOST_NODES_MAX) {
        refuse(plan, "a process opens at most %d nodes, and those that reloads have replaced count",
               HOST_NODES_MAX);
    }
}

/* Being paused, stopped or resumed. One that could not be resumed waits, too, but nothing of it is
 * under way. */
static bool turns(const struct host_node *node) {
    bool waits = atomic_load(&node->waiting);
    return waits != node_must_wait(node) && !(waits && node->failure != NULL);
}

static void check_old(const struct host_node *node, struct topology_plan *plan) {
    const char *name = node->spec->name;
    if (node->restart.under_way) {
        refuse_for_now(plan, "%s is being restarted or stopped just now", name);
    } else if (node->unanswered > 0) {
        refuse_for_now(plan, "%s has still to answer what it was asked", name);
    } else if (turns(node)) {
        refuse_for_now(plan, "%s is being paused, stopped or resumed just now", name);
    } else if (node->drain != DRAIN_OPEN || !assignment_can_take_away(node)) {
        refuse(plan, "what %s reads has ended, so that it cannot be read again", name);
    }
}

/* Rows come out of another node's change: what reads them has to be at one position. */
static void check_reader(const struct host_node *node, struct topology_plan *plan) {
    if (!node->has_cycle) {
        return;
    }
    const char *why = node->target != TARGET_RUNNING ? "is paused or stopped: resume or remove it "
                                                       "first"
                      : atomic_load(&node->failed)   ? "has FAILED: restart or remove it first"
                      : atomic_load(&node->waiting)  ? "waits for partitions of other hosts"
                                                     : NULL;
    if (why != NULL) {
        refuse(plan,
               "%s, which reads what changes, %s; a change of rows takes effect where all that "
               "reads them has the same position",
               node->spec->name, why);
    }
}

/*
 * Hosts are told one after the other. A node that several of them share (gold-agg with "scope":
 * "group") may get other settings so, but what it counts has to be the same on all of them: it
 * cannot begin with the partitions of one host, since it would close windows without the others'
 * rows, nor have rows of another kind from one.
 */
static void check_in_group(const struct host *host, const struct topology *next,
                           const struct plan_node *planned, const bool *affected,
                           struct topology_plan *plan) {
    if (planned->next == SIZE_MAX) {
        return;
    }
    const struct topology_node *node = &next->nodes[planned->next];
    bool is = (topology_node_flags(node) & SL_ROLE_ASSIGNS) != 0;
    bool was =
        planned->now != SIZE_MAX && (host->nodes[planned->now]->flags & SL_ROLE_ASSIGNS) != 0;
    bool same_rows = true;
    for (size_t i = 0; i < node->n_inputs; i++) {
        same_rows = same_rows && !affected[node->inputs[i].from];
    }
    const char *why = is != was && planned->now != SIZE_MAX ? "its scope changes"
                      : is && !was                          ? "it is added"
                      : is && !same_rows                    ? "what it reads changes"
                                                            : NULL;
    if (why != NULL) {
        refuse(plan,
               "%s: %s, and with \"scope\": \"group\" that has to be so on all hosts at once: end "
               "sluice on every host of the pipeline (SIGTERM), then start it with the new "
               "topology",
               planned->name, why);
    }
}

bool *reload_find_affected(const struct topology_plan *plan, const struct topology *next) {
    bool *affected = calloc(plan->n_nodes + 1, sizeof(*affected));
    for (size_t i = 0; affected != NULL && i < plan->n_nodes; i++) {
        const struct plan_node *planned = &plan->nodes[i];
        affected[i] = planned->rows;
        if (planned->action != PLAN_REMOVED) {
            const struct topology_node *node = &next->nodes[planned->next];
            for (size_t k = 0; k < node->n_inputs; k++) {
                affected[i] = affected[i] || affected[node->inputs[k].from];
            }
        }
    }
    return affected;
}

void reload_check(const struct host *host, const struct topology *next,
                  struct topology_plan *plan) {
    bool *affected = reload_find_affected(plan, next);
    if (affected == NULL) {
        refuse(plan, "memory is short");
        return;
    }
    check_run(host, plan);
    for (size_t i = 0; i < plan->n_nodes && plan->refusal == NULL; i++) {
        const struct plan_node *planned = &plan->nodes[i];
        if (planned->action == PLAN_KEPT) {
            continue;
        }
        if (planned->now != SIZE_MAX) {
            check_old(host->nodes[planned->now], plan);
        }
        check_in_group(host, next, planned, affected, plan);
        if (planned->now != SIZE_MAX && affected[i]) {
            check_reader(host->nodes[planned->now], plan);
        }
    }
    free(affected);
}

/* ---- one position ---- */

static const struct reader *find_reader(const struct stream *stream, const struct host_node *node,
                                        uint32_t input) {
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        if (reader->node == node && reader->input == input) {
            return reader;
        }
    }
    return NULL;
}

static int64_t position_of(const struct reader *reader) {
    return reader->stored == SL_OFFSET_NONE ? reader->position : reader->stored;
}

/* Whether the node, where it reads the stream, has the same position as those before it. */
static sl_error *check_node(const struct stream *stream, const struct host_node *node,
                            const struct reader **first) {
    for (uint32_t input = 0; node->has_cycle && input < node->spec->n_inputs; input++) {
        const struct reader *reader = find_reader(stream, node, input);
        if (reader == NULL) {
            continue;
        }
        if (atomic_load(&node->failed)) {
            return sl_error_new(SL_ERROR_CONFLICT,
                                "%s, which reads what changes, has FAILED meanwhile",
                                node->spec->name);
        }
        if (*first != NULL && position_of(*first) != position_of(reader)) {
            return sl_error_new(SL_ERROR_CONFLICT,
                                "%s and %s, which read what changes, are at offsets %lld and %lld "
                                "of %s partition %d; once they are at the same one, try again",
                                (*first)->node->spec->name, node->spec->name,
                                (long long)position_of(*first), (long long)position_of(reader),
                                stream->topic, (int)stream->pub.partition);
        }
        *first = reader;
    }
    return NULL;
}

static sl_error *check_stream(const struct host *host, const struct stream *stream,
                              const struct topology_plan *plan, const bool *affected) {
    const struct reader *first = NULL;
    sl_error *error = NULL;
    for (size_t i = 0; i < plan->n_nodes && error == NULL; i++) {
        if (affected[i] && plan->nodes[i].now != SIZE_MAX) {
            error = check_node(stream, host->nodes[plan->nodes[i].now], &first);
        }
    }
    return error;
}

/* Of a stream that is not attached nobody can say where its readers are. */
static sl_error *check_absent(const struct host *host, const struct stream *stream,
                              const struct topology_plan *plan, const bool *affected) {
    for (size_t i = 0; i < plan->n_nodes; i++) {
        if (affected[i] && plan->nodes[i].now != SIZE_MAX &&
            stream_flows_to(stream, host->nodes[plan->nodes[i].now])) {
            return sl_error_new(
                SL_ERROR_CONFLICT, "%s partition %d %s", stream->topic, (int)stream->pub.partition,
                stream->set_aside ? "is not read, since its source is paused: resume it first"
                                  : "is only being assigned; once it is, try again");
        }
    }
    return NULL;
}

sl_error *reload_check_level(const struct assignment *turn, struct host *host,
                             const struct topology_plan *plan, const bool *affected) {
    size_t n;
    struct stream *const *streams = assignment_streams(turn, &n);
    sl_error *error = NULL;
    for (size_t s = 0; s < n && error == NULL; s++) {
        if (streams[s]->owner->spec->kind == TOPOLOGY_SOURCE) {
            error = check_stream(host, streams[s], plan, affected);
        }
    }
    for (size_t s = 0; s < host->n_streams && error == NULL; s++) {
        const struct stream *stream = host->streams[s];
        if (stream->owner->spec->kind == TOPOLOGY_SOURCE &&
            (stream->state == STREAM_ASSIGNED || stream->set_aside)) {
            error = check_absent(host, stream, plan, affected);
        }
    }
    return error;
}
