/*
 * sluice validate: loads a topology and its plugins, lets every plugin check its configuration, and
 * prints the graph, the columns that flow, and the delivery guarantee of each path.
 */
#include "admin/listen.h"
#include "cli/common.h"
#include "cli/validate_services.h"
#include "topology/faults.h"
#include "topology/graph.h"
#include "topology/guarantee.h"
#include "topology/keys.h"

#include <stdio.h>
#include <stdlib.h>

#include "columns/columns.h"

/* ---- text ---- */

/* A checked topology on its way out. */
struct checked {
    const struct topology *topology;
    const struct validate_host *host;
    const struct graph *graph;
};

/* A line of text that may quote what came from a reference. */
static void append_masked(sl_buffer *out, const struct topology *topology, const char *label,
                          const char *text) {
    sl_buffer masked = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&masked, text);
    topology_mask(topology, &masked);
    (void)sl_buffer_append_text(out, label);
    (void)sl_buffer_append(out, masked.data, masked.bytes);
    (void)sl_buffer_append_byte(out, '\n');
    sl_buffer_free(&masked);
}

static void append_columns(sl_buffer *out, const struct topology *topology,
                           const struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        const struct ArrowSchema *child = schema->children[i];
        sl_buffer line = SL_BUFFER_INIT;
        (void)sl_buffer_printf(&line, "%-24s ", child->name == NULL ? "" : child->name);
        (void)sl_type_describe(child, &line);
        (void)sl_buffer_append_text(&line,
                                    (child->flags & ARROW_FLAG_NULLABLE) != 0 ? "" : " not null");
        const char *text = sl_buffer_text(&line);
        append_masked(out, topology, "      ", text == NULL ? "" : text);
        sl_buffer_free(&line);
    }
}

static void append_node(sl_buffer *out, const struct checked *checked, size_t index) {
    const struct topology_node *node = &checked->topology->nodes[index];
    const struct graph_node *opened = &checked->graph->nodes[index];
    char size[32];
    char interval[32];
    (void)sl_buffer_printf(out, "\n  %s %s (%s %s)\n", topology_kind_name(node->kind), node->name,
                           node->plugin->descriptor.name, node->plugin->descriptor.version);
    for (size_t i = 0; i < node->n_inputs; i++) {
        const struct topology_edge *edge = &node->inputs[i];
        (void)sl_buffer_printf(out, "    reads %s (buffer %s, when full: %s)\n", edge->name,
                               sl_format_size(edge->buffer_bytes, size),
                               topology_when_full_names[edge->when_full]);
    }
    (void)sl_buffer_printf(out, "    config %s\n", node->config_json);
    if (node->kind == TOPOLOGY_SINK || (topology_node_flags(node) & SL_ROLE_DURABLE) != 0) {
        (void)sl_buffer_printf(out, "    commits every %s\n",
                               sl_format_duration(node->commit_interval_us, interval));
    }
    const char *note;
    for (size_t i = 0; (note = validate_host_note(checked->host, index, i)) != NULL; i++) {
        append_masked(out, checked->topology, "    note: ", note);
    }
    for (size_t i = 0; i < opened->n_outputs; i++) {
        const char *name = opened->output_names[i];
        (void)sl_buffer_printf(out, "    gives %s%s%s\n", node->name, name[0] == 0 ? "" : ".",
                               name);
        append_columns(out, checked->topology, &opened->outputs[i]);
    }
}

static void append_edges(sl_buffer *out, const struct topology *topology) {
    (void)sl_buffer_append_text(out, "\nGraph\n");
    for (size_t i = 0; i < topology->n_nodes; i++) {
        for (size_t k = 0; k < topology->nodes[i].n_inputs; k++) {
            (void)sl_buffer_printf(out, "  %s → %s\n", topology->nodes[i].inputs[k].name,
                                   topology->nodes[i].name);
        }
    }
}

static bool append_paths(sl_buffer *out, const struct topology *topology) {
    struct arena arena = {NULL, false};
    size_t n;
    bool complete;
    const struct delivery_path *paths = delivery_paths(topology, &arena, &n, &complete);
    (void)sl_buffer_append_text(out, "\nDelivery\n");
    for (size_t i = 0; paths != NULL && i < n; i++) {
        (void)sl_buffer_printf(out, "  %s: %s\n    %s\n", paths[i].text, paths[i].name,
                               paths[i].why);
    }
    if (topology->state_url == NULL) {
        (void)sl_buffer_append_text(
            out, "  Without \"state\" nobody remembers the configuration: change it only after a "
                 "clean stop.\n");
    }
    if (!complete) {
        (void)sl_buffer_printf(out, "  (only the first %d paths)\n", DELIVERY_MAX_PATHS);
    }
    arena_free(&arena);
    return paths != NULL;
}

static int print_text(const struct checked *checked) {
    const struct topology *topology = checked->topology;
    sl_buffer out = SL_BUFFER_INIT;
    (void)sl_buffer_printf(&out, "%s is good: pipeline %s, %u lanes\n", topology->file,
                           topology->pipeline, cli_lanes(topology));
    if (topology->state_url != NULL) {
        append_masked(&out, topology, "State in ", topology->state_url);
    }
    (void)sl_buffer_append_text(&out, "\nNodes");
    for (size_t i = 0; i < topology->n_nodes; i++) {
        append_node(&out, checked, i);
    }
    append_edges(&out, topology);
    bool good = append_paths(&out, topology);
    good = good && !out.failed && fwrite(out.data, 1, out.bytes, stdout) == out.bytes &&
           fflush(stdout) == 0;
    sl_buffer_free(&out);
    return good ? CLI_DONE : CLI_FAILED;
}

/* ---- JSON ---- */

static void write_columns(struct json_out *out, const struct ArrowSchema *schema) {
    json_out_array(out);
    for (int64_t i = 0; i < schema->n_children; i++) {
        const struct ArrowSchema *child = schema->children[i];
        sl_buffer type = SL_BUFFER_INIT;
        (void)sl_type_describe(child, &type);
        json_out_object(out);
        json_out_key(out, "name");
        json_out_masked(out, child->name == NULL ? "" : child->name);
        json_out_key(out, "type");
        json_out_masked(out, sl_buffer_text(&type));
        json_out_member_bool(out, "nullable", (child->flags & ARROW_FLAG_NULLABLE) != 0);
        json_out_end_object(out);
        sl_buffer_free(&type);
    }
    json_out_end_array(out);
}

static void write_inputs(struct json_out *out, const struct topology *topology,
                         const struct topology_node *node) {
    json_out_array(out);
    for (size_t i = 0; i < node->n_inputs; i++) {
        const struct topology_edge *edge = &node->inputs[i];
        const struct topology_node *from = &topology->nodes[edge->from];
        json_out_object(out);
        json_out_member(out, "name", edge->name);
        json_out_member(out, "from", from->name);
        json_out_member(out, "output", topology_node_output_name(from, edge->output));
        json_out_member_integer(out, "buffer_bytes", edge->buffer_bytes);
        json_out_member(out, "when_full", topology_when_full_names[edge->when_full]);
        json_out_end_object(out);
    }
    json_out_end_array(out);
}

static void write_notes(struct json_out *out, const struct validate_host *host, size_t index) {
    const char *note;
    json_out_array(out);
    for (size_t i = 0; (note = validate_host_note(host, index, i)) != NULL; i++) {
        json_out_masked(out, note);
    }
    json_out_end_array(out);
}

static void write_node(struct json_out *out, const struct checked *checked, size_t index) {
    const struct topology_node *node = &checked->topology->nodes[index];
    const struct graph_node *opened = &checked->graph->nodes[index];
    json_out_object(out);
    json_out_member(out, "name", node->name);
    json_out_member(out, "kind", topology_kind_name(node->kind));
    json_out_member(out, "plugin", node->plugin->descriptor.name);
    json_out_member(out, "version", node->plugin->descriptor.version);
    json_out_member(out, "guarantee", delivery_name(delivery_of_node(node)));
    json_out_member_integer(out, "commit_interval_us", node->commit_interval_us);
    json_out_key(out, "config");
    json_out_raw(out, node->config_json);
    json_out_key(out, "inputs");
    write_inputs(out, checked->topology, node);
    json_out_key(out, "notes");
    write_notes(out, checked->host, index);
    json_out_key(out, "outputs");
    json_out_array(out);
    for (size_t i = 0; i < opened->n_outputs; i++) {
        json_out_object(out);
        json_out_member(out, "name", opened->output_names[i]);
        json_out_key(out, "columns");
        write_columns(out, &opened->outputs[i]);
        json_out_end_object(out);
    }
    json_out_end_array(out);
    json_out_end_object(out);
}

static void write_paths(struct json_out *out, const struct topology *topology) {
    struct arena arena = {NULL, false};
    size_t n = 0;
    bool complete = true;
    const struct delivery_path *paths = delivery_paths(topology, &arena, &n, &complete);
    json_out_array(out);
    for (size_t i = 0; paths != NULL && i < n; i++) {
        json_out_object(out);
        json_out_member(out, "path", paths[i].text);
        json_out_member(out, "source", paths[i].source->name);
        json_out_member(out, "sink", paths[i].sink->name);
        json_out_member(out, "guarantee", paths[i].name);
        json_out_member(out, "why", paths[i].why);
        json_out_end_object(out);
    }
    json_out_end_array(out);
    out->text.failed = out->text.failed || paths == NULL;
    arena_free(&arena);
}

static void mask(const void *topology, sl_buffer *text) {
    topology_mask(topology, text);
}

/* Topology and graph are NULL when the topology is bad. */
static int print_json(const char *file, const struct topology_faults *faults,
                      const struct checked *checked) {
    const struct topology *topology = checked->topology;
    bool good = checked->graph != NULL;
    struct json_out out = {0};
    if (topology != NULL) {
        out.mask = mask;
        out.mask_arg = topology;
    }
    json_out_object(&out);
    json_out_member(&out, "file", file);
    json_out_member_bool(&out, "good", good);
    json_out_key(&out, "faults");
    cli_write_faults(&out, faults);
    if (good) {
        json_out_member(&out, "pipeline", topology->pipeline);
        json_out_key(&out, "state");
        json_out_masked(&out, topology->state_url);
        json_out_member_integer(&out, "lanes", cli_lanes(topology));
        json_out_key(&out, "nodes");
        json_out_array(&out);
        for (size_t i = 0; i < topology->n_nodes; i++) {
            write_node(&out, checked, i);
        }
        json_out_end_array(&out);
        json_out_key(&out, "paths");
        write_paths(&out, topology);
    }
    json_out_end_object(&out);
    return !json_out_print(&out) ? CLI_FAILED : good ? CLI_DONE : CLI_BAD_USAGE;
}

/* ---- the command ---- */

/* What a run would refuse of the endpoint's address. */
static void check_admin(struct cli_loaded *loaded, struct graph **graph) {
    sl_error *error = loaded->topology->admin_enabled ? listen_check(loaded->topology) : NULL;
    if (error == NULL) {
        return;
    }
    topology_fault_add(loaded->faults, (struct json_place){0, 0, false}, "$.admin", "%s",
                       sl_error_message(error));
    sl_error_free(error);
    graph_close(*graph);
    *graph = NULL;
}

/* Opens every node as a check; *graph stays NULL after faults. */
static sl_error *check_nodes(struct cli_loaded *loaded, struct validate_host **host,
                             struct graph **graph) {
    const struct topology *topology = loaded->topology;
    sl_error *error = validate_host_new(topology, host);
    if (error != NULL) {
        return error;
    }
    struct graph_options options = {.flags = SL_RUN_VALIDATE_ONLY,
                                    .lanes = cli_lanes(topology),
                                    .services = &validate_services,
                                    .object = validate_host_object,
                                    .object_arg = *host};
    error = graph_open(topology, &options, loaded->faults, graph);
    check_admin(loaded, graph);
    topology_mask_faults(topology, loaded->faults);
    if (error != NULL && !sl_error_is(error, SL_ERROR_NO_MEMORY)) {
        sl_error_free(error);
        error = NULL;
    }
    return error;
}

static int run(const struct cli_args *args) {
    struct cli_loaded loaded = {0};
    struct validate_host *host = NULL;
    struct graph *graph = NULL;
    int status;
    sl_error *error = cli_load(args, &loaded);
    if (error == NULL && loaded.topology != NULL) {
        error = check_nodes(&loaded, &host, &graph);
    }
    struct checked checked = {loaded.topology, host, graph};
    if (error != NULL) {
        status = cli_fail(error);
    } else if (cli_args_get(args, "--json") != NULL) {
        status = print_json(args->operands[0], loaded.faults, &checked);
    } else {
        cli_print_faults(args->operands[0], loaded.faults);
        status = graph == NULL ? CLI_BAD_USAGE : print_text(&checked);
    }
    graph_close(graph);
    validate_host_free(host);
    cli_unload(&loaded);
    return status;
}

static const struct cli_option options[] = {
    CLI_SET_OPTION, CLI_PLUGIN_PATH_OPTION, CLI_JSON_OPTION, {NULL, NULL, NULL}};

const struct cli_command cli_validate_command = {
    .name = "validate",
    .operands = "TOPOLOGY",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Check a topology: all its faults, or its graph and what each path guarantees.",
    .details = "Plugins are loaded and check their configuration; nothing is read or written but\n"
               "local files that the configuration names. Exit code 2 when there is a fault.",
    .options = options,
    .run = run,
};
