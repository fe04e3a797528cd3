/*
 * A plan: what differs between the topology that runs and the one that is to follow it, node by
 * node, and whether it can take effect while the run goes on. Values are shown as `validate` shows
 * them, so nothing secret is in it.
 */
#ifndef TOPOLOGY_PLAN_H
#define TOPOLOGY_PLAN_H

#include "topology/topology.h"

enum plan_action {
    PLAN_KEPT,
    PLAN_CHANGED,
    PLAN_REOPENED, /* the same, but what it reads of is changed */
    PLAN_ADDED,
    PLAN_REMOVED
};

/* A value that differs. */
struct plan_difference {
    const char *path;   /* JSON path in the topology: "$.sinks.bronze.config.table" */
    const char *before; /* JSON text; NULL: there was none */
    const char *after;  /* NULL: there is none; equal to `before` when what differs is not shown (a
                           secret, the contents of a file) */
};

struct plan_node {
    const char *name;
    enum topology_kind kind; /* in the next topology, or, of one that is removed, in the present */
    enum plan_action action;
    size_t now;  /* index in the present topology; SIZE_MAX: added */
    size_t next; /* index in the next topology; SIZE_MAX: removed */
    bool rows;   /* other rows may come out of it: what reads of it must be level */
    const struct plan_difference *differences;
    size_t n_differences;
};

struct topology_plan {
    bool same;                     /* nothing differs */
    const struct plan_node *nodes; /* in the next topology's order, then those removed */
    size_t n_nodes;
    const struct plan_difference *settings; /* everything that belongs to no node */
    size_t n_settings;
    const char *refusal;  /* why it cannot take effect while the run goes on; NULL: it can */
    bool refused_for_now; /* what is in its way passes by itself */
};

/* Compares two topologies, which live longer than the plan. On success *out is the caller's.
 * Errors: NO_MEMORY. Any thread. */
sl_error *topology_plan_new(const struct topology *now, const struct topology *next,
                            struct topology_plan **out);
/* Refuses it with a sentence (copied), unless it is refused already. */
void topology_plan_refuse(struct topology_plan *plan, const char *sentence);
/* NULL is allowed. */
void topology_plan_free(struct topology_plan *plan);

/* "kept", "changed", "reopened", "added", "removed" */
const char *plan_action_name(enum plan_action action);

#endif /* TOPOLOGY_PLAN_H */
