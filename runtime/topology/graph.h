/*
 * The opened graph: every node of a topology opened in order, with the schemas that flow between
 * them. `validate` opens and closes it; `run` goes on from it.
 */
#ifndef TOPOLOGY_GRAPH_H
#define TOPOLOGY_GRAPH_H

#include "topology/topology.h"

struct graph_node {
    sl_node *node;                   /* the plugin's; NULL when open failed */
    const sl_input *inputs;          /* n_inputs of the topology's node */
    const char *const *output_names; /* n_outputs; the first is "" */
    struct ArrowSchema *outputs;     /* n_outputs schemas */
    size_t n_outputs;
};

struct graph {
    const struct topology *topology;
    struct graph_node *nodes; /* by the topology's index */
};

struct graph_options {
    const sl_services *services;
    sl_object *(*object_for)(void *arg, size_t node_index);
    void *object_arg;
    uint32_t run_flags; /* SL_RUN_* */
    uint32_t lanes;
};

/*
 * Opens all nodes, also after one has failed (its readers are left out), so that every fault is
 * reported: each is added to `faults` with the node's line and path. On failure everything is
 * closed again and the CONFIG error counts the faults.
 */
sl_error *graph_open(const struct topology *topology, const struct graph_options *options,
                     struct topology_faults *faults, struct graph **out);
/* Closes every node (reverse order) and frees the graph. No task may be open. */
void graph_close(struct graph *graph);

/* Outputs of a role: at least 1 for sources and transforms, 0 for sinks. */
size_t graph_output_count(const struct topology_node *node);

#endif /* TOPOLOGY_GRAPH_H */
