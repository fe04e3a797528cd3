/* Opening and closing the nodes of a topology (see graph.h). */
#include "topology/graph.h"

#include "topology/faults.h"

#include <stdlib.h>
#include <string.h>

#include "columns/rejects.h"

size_t topology_node_outputs(const struct topology_node *node) {
    size_t n = 0;
    if (node->role->outputs == NULL) {
        return node->kind == TOPOLOGY_SINK ? 0 : 1;
    }
    while (node->role->outputs[n] != NULL) {
        n++;
    }
    return n;
}

uint32_t topology_rejects_output(const struct topology_node *node) {
    size_t n = topology_node_outputs(node);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(topology_node_output_name(node, i), SL_REJECT_OUTPUT) == 0) {
            return (uint32_t)i;
        }
    }
    return TOPOLOGY_NO_OUTPUT;
}

bool topology_output_is_read(const struct topology *topology, size_t node, uint32_t output) {
    for (size_t n = 0; n < topology->n_nodes; n++) {
        for (size_t i = 0; i < topology->nodes[n].n_inputs; i++) {
            const struct topology_edge *edge = &topology->nodes[n].inputs[i];
            if (edge->from == node && edge->output == output) {
                return true;
            }
        }
    }
    return false;
}

uint32_t topology_node_flags(const struct topology_node *node) {
    const sl_role *role = node->role;
    if (role->node->flags == NULL) {
        return role->flags;
    }
    return role->flags & (role->node->flags(node->config) | SL_ROLE_BLOCKING);
}

const char *topology_node_output_name(const struct topology_node *node, size_t output) {
    return node->role->outputs == NULL ? "" : node->role->outputs[output];
}

static sl_error *prepare(struct graph *graph, size_t index) {
    static const char *const only_output[] = {"", NULL};
    const struct topology_node *spec = &graph->topology->nodes[index];
    struct graph_node *node = &graph->nodes[index];
    node->prepared = true;
    node->n_outputs = topology_node_outputs(spec);
    node->output_names = spec->role->outputs == NULL ? only_output : spec->role->outputs;
    node->outputs = calloc(node->n_outputs + 1, sizeof(*node->outputs));
    node->n_inputs = spec->n_inputs;
    node->inputs = calloc(node->n_inputs + 1, sizeof(*node->inputs));
    if (node->outputs == NULL || node->inputs == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < node->n_inputs; i++) {
        const struct topology_edge *edge = &spec->inputs[i];
        node->inputs[i] = (sl_input){edge->name, graph_edge_schema(graph, edge)};
    }
    return NULL;
}

/* Sinks need not say anything of the one output that they can have. */
static sl_error *ask_schema(const sl_node_ops *ops, sl_node *node, size_t output,
                            struct ArrowSchema *out) {
    return ops->output_schema == NULL ? NULL : ops->output_schema(node, (uint32_t)output, out);
}

static sl_error *collect_schemas(struct graph *graph, size_t index) {
    const struct topology_node *spec = &graph->topology->nodes[index];
    struct graph_node *node = &graph->nodes[index];
    for (size_t i = 0; i < node->n_outputs; i++) {
        struct ArrowSchema *schema = &node->outputs[i];
        sl_error *error = ask_schema(spec->role->node, node->node, i, schema);
        if (error != NULL) {
            return error;
        }
        if (schema->release == NULL && strcmp(node->output_names[i], SL_REJECT_OUTPUT) == 0) {
            error = sl_rejects_schema(spec->plugin->descriptor.name, schema);
            if (error != NULL) {
                return error;
            }
        }
        if (schema->release == NULL || schema->format == NULL ||
            strcmp(schema->format, "+s") != 0) {
            return sl_error_new(SL_ERROR_FATAL,
                                "the plugin gave no struct schema for its output \"%s\"",
                                node->output_names[i]);
        }
    }
    return NULL;
}

static sl_error *call_open(struct graph *graph, const struct graph_options *options, size_t index) {
    const struct topology *topology = graph->topology;
    const struct topology_node *spec = &topology->nodes[index];
    struct graph_node *node = &graph->nodes[index];
    sl_node_context context = {.struct_bytes = sizeof(context),
                               .flags = options->flags,
                               .services = options->services,
                               .self = options->object(options->object_arg, index),
                               .pipeline = topology->pipeline,
                               .name = spec->name,
                               .config = spec->config,
                               .section = spec->section,
                               .inputs = node->inputs,
                               .n_inputs = node->n_inputs,
                               .lanes = options->lanes};
    sl_node *opened = NULL;
    sl_error *error = spec->role->node->open(&context, &opened);
    if (error == NULL) {
        node->node = opened;
    }
    return error;
}

/* Opened once more: the schemas are as before, since config and inputs are. */
static sl_error *drop_schemas(struct graph *graph, size_t index) {
    struct graph_node *node = &graph->nodes[index];
    const sl_node_ops *ops = graph->topology->nodes[index].role->node;
    sl_error *error = NULL;
    for (size_t i = 0; i < node->n_outputs && error == NULL; i++) {
        struct ArrowSchema schema = {0};
        error = ask_schema(ops, node->node, i, &schema);
        if (schema.release != NULL) {
            schema.release(&schema);
        }
    }
    return error;
}

sl_error *graph_open_node(struct graph_node *node, const struct graph_options *options) {
    struct graph *graph = node->graph;
    size_t index = (size_t)(node - graph->nodes);
    bool again = node->prepared;
    sl_error *error = again ? NULL : prepare(graph, index);
    error = error != NULL ? error : call_open(graph, options, index);
    if (error != NULL) {
        return error;
    }
    bool collected = again && (node->n_outputs == 0 || node->outputs[0].release != NULL);
    return collected ? drop_schemas(graph, index) : collect_schemas(graph, index);
}

/* True when all that the node reads is there. */
static bool inputs_are_open(const struct graph *graph, const bool *failed, size_t index) {
    const struct topology_node *spec = &graph->topology->nodes[index];
    for (size_t i = 0; i < spec->n_inputs; i++) {
        if (failed[spec->inputs[i].from]) {
            return false;
        }
    }
    return true;
}

static sl_error *open_all(struct graph *graph, const struct graph_options *options,
                          struct topology_faults *faults, bool *failed) {
    size_t n_failed = 0;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const struct topology_node *spec = &graph->topology->nodes[i];
        failed[i] = !inputs_are_open(graph, failed, i);
        sl_error *error = failed[i] ? NULL : graph_open_node(&graph->nodes[i], options);
        if (error == NULL) {
            continue;
        }
        if (faults == NULL || sl_error_is(error, SL_ERROR_NO_MEMORY)) {
            return sl_error_wrap(error, "%s:%d: %s", graph->topology->file, spec->line,
                                 spec->config_path);
        }
        failed[i] = true;
        n_failed++;
        struct json_place place = {spec->line, spec->column, false};
        topology_fault_add(faults, place, spec->config_path, "%s", sl_error_message(error));
        sl_error_free(error);
    }
    return n_failed == 0 ? NULL
                         : sl_error_new(SL_ERROR_CONFIG, "%zu %s not open with this configuration",
                                        n_failed, n_failed == 1 ? "node does" : "nodes do");
}

sl_error *graph_new(const struct topology *topology, struct graph **out) {
    struct graph *graph = calloc(1, sizeof(*graph));
    struct graph_node *nodes = calloc(topology->n_nodes + 1, sizeof(*nodes));
    if (graph == NULL || nodes == NULL) {
        free(graph);
        free(nodes);
        return sl_error_no_memory();
    }
    graph->topology = topology;
    graph->nodes = nodes;
    graph->n_nodes = topology->n_nodes;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        nodes[i].graph = graph;
    }
    *out = graph;
    return NULL;
}

void graph_borrow(struct graph_node *node, const struct graph_node *from) {
    node->prepared = node->borrowed = true;
    node->output_names = from->output_names;
    node->outputs = from->outputs;
    node->n_outputs = from->n_outputs;
}

sl_error *graph_open(const struct topology *topology, const struct graph_options *options,
                     struct topology_faults *faults, struct graph **out) {
    struct graph *graph = NULL;
    bool *failed = calloc(topology->n_nodes + 1, sizeof(*failed));
    sl_error *error = failed == NULL ? sl_error_no_memory() : graph_new(topology, &graph);
    error = error != NULL ? error : open_all(graph, options, faults, failed);
    free(failed);
    if (error != NULL) {
        graph_close(graph);
        return error;
    }
    *out = graph;
    return NULL;
}

void graph_close(struct graph *graph) {
    if (graph == NULL) {
        return;
    }
    for (size_t i = graph->n_nodes; i-- > 0;) {
        struct graph_node *node = &graph->nodes[i];
        const sl_node_ops *ops = graph->topology->nodes[i].role->node;
        if (node->node != NULL && ops->close != NULL) {
            ops->close(node->node);
        }
    }
    for (size_t i = 0; i < graph->n_nodes; i++) {
        struct graph_node *node = &graph->nodes[i];
        if (node->borrowed) {
            continue;
        }
        for (size_t k = 0; node->outputs != NULL && k < node->n_outputs; k++) {
            if (node->outputs[k].release != NULL) {
                node->outputs[k].release(&node->outputs[k]);
            }
        }
        free(node->outputs);
        free(node->inputs);
    }
    free(graph->nodes);
    free(graph);
}
