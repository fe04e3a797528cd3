/*
 * The opened graph: one plugin node for each node of the topology, opened in topological order,
 * with the schemas that flow between them. `run` goes on from here; `validate` closes it again.
 */
#ifndef TOPOLOGY_GRAPH_H
#define TOPOLOGY_GRAPH_H

#include "topology/topology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct graph_node {
    sl_node *node; /* the plugin's; set to NULL by whoever closes it before graph_close does */
    const char *const *output_names; /* the first is "", but of a sink */
    struct ArrowSchema *outputs;     /* schema of each output; borrowed for the graph's life */
    size_t n_outputs;
    sl_input *inputs; /* as `open` got them, in the topology's order */
    size_t n_inputs;
    struct graph *graph; /* that it stands in, at its topology's index */
    bool prepared;
    bool borrowed; /* the schemas are another graph's */
};

struct graph {
    const struct topology *topology;
    struct graph_node *nodes; /* nodes[i] is topology->nodes[i] */
    size_t n_nodes;
};

struct graph_options {
    uint32_t flags; /* SL_RUN_* */
    uint32_t lanes;
    const sl_services *services;
    /* The host's side of node `index`: what `open` gets as `self`. */
    sl_object *(*object)(void *arg, size_t index);
    void *object_arg;
};

/*
 * Opens all nodes; the calling thread runs their `open` and `output_schema`. On failure everything
 * opened is closed again. The first error ends it when `faults` is NULL and is returned with the
 * place of the node's config; otherwise every node that can be opened is (not those that read a
 * failed one), each error becomes a fault at the node's config, and the error returned says how
 * many there are. On success *out is the caller's (graph_close). Errors: CONFIG, or what the plugin
 * says.
 */
sl_error *graph_open(const struct topology *topology, const struct graph_options *options,
                     struct topology_faults *faults, struct graph **out);

/* A graph of which nothing is open yet. On success *out is the caller's (graph_close). Errors:
 * NO_MEMORY. */
sl_error *graph_new(const struct topology *topology, struct graph **out);
/* The node is open in another graph, which lives longer: this one has its schemas. */
void graph_borrow(struct graph_node *node, const struct graph_node *from);
/* Opens one node, after all that it reads; also anew when its caller has closed it: its schemas
 * stay then. After an error in its schemas it is open all the same. On the loop of the node.
 * Errors: what the plugin says. */
sl_error *graph_open_node(struct graph_node *node, const struct graph_options *options);

/* Closes what is still open, readers before what they read, and frees the graph and its schemas. */
void graph_close(struct graph *graph);

/* Schema that flows over an edge; borrowed. */
static inline const struct ArrowSchema *graph_edge_schema(const struct graph *graph,
                                                          const struct topology_edge *edge) {
    return &graph->nodes[edge->from].outputs[edge->output];
}

#define TOPOLOGY_NO_OUTPUT UINT32_MAX

/* Number of outputs of a node: its role's list, or one for sources and transforms, none for sinks.
 */
size_t topology_node_outputs(const struct topology_node *node);
/* The output on which it rejects records (SL_REJECT_OUTPUT), or TOPOLOGY_NO_OUTPUT. */
uint32_t topology_rejects_output(const struct topology_node *node);
/* Whether some node reads an output of node `node`. */
bool topology_output_is_read(const struct topology *topology, size_t node, uint32_t output);
/* The role's flags as far as they hold under the node's config, which must be a good one. */
uint32_t topology_node_flags(const struct topology_node *node);
/* Name of an output; "" for the first of a source or transform. */
const char *topology_node_output_name(const struct topology_node *node, size_t output);

#endif /* TOPOLOGY_GRAPH_H */
