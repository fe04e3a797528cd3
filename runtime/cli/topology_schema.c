/*
 * The JSON Schema (draft 2020-12) of topologies, from the host's tables and those of the plugins at
 * hand. It says what one file alone can say: names of nodes, cycles and locations are `validate`'s.
 */
#include "cli/topology_schema.h"

#include "cli/common.h"
#include "cli/option_print.h"
#include "topology/arena.h"
#include "topology/keys.h"

#define MAX_PLUGINS 256

struct plugins {
    const struct plugin *list[MAX_PLUGINS];
    size_t n;
};

/* Loads what can be loaded. */
static sl_error *load_all(struct plugin_registry *registry, struct plugins *out) {
    struct arena arena = {NULL, false};
    const char *const *names;
    size_t n;
    sl_error *error = plugin_registry_names(registry, &names, &n);
    if (error != NULL) {
        return error;
    }
    const char **copies = arena_array(&arena, n, sizeof(*copies));
    for (size_t i = 0; copies != NULL && i < n; i++) {
        copies[i] = arena_text(&arena, names[i]);
    }
    for (size_t i = 0; !arena.failed && i < n && out->n < MAX_PLUGINS; i++) {
        sl_error *bad = plugin_registry_get(registry, copies[i], &out->list[out->n]);
        out->n += bad == NULL ? 1 : 0;
        sl_error_free(bad);
    }
    error = arena.failed ? sl_error_no_memory() : NULL;
    arena_free(&arena);
    return error;
}

static void write_plugin_name(struct json_out *out, const struct plugins *plugins,
                              enum topology_kind kind) {
    json_out_key(out, "plugin");
    json_out_object(out);
    json_out_key(out, "enum");
    json_out_array(out);
    for (size_t i = 0; i < plugins->n; i++) {
        if (plugin_role(plugins->list[i], kind) != NULL) {
            json_out_string(out, plugins->list[i]->descriptor.name);
        }
    }
    json_out_end_array(out);
    json_out_end_object(out);
}

/* {"type": "string"} or the object that an input may be. */
static void write_inputs(struct json_out *out) {
    json_out_key(out, "inputs");
    json_out_object(out);
    json_out_member(out, "type", "array");
    json_out_key(out, "items");
    json_out_object(out);
    json_out_key(out, "anyOf");
    json_out_array(out);
    json_out_object(out);
    json_out_member(out, "type", "string");
    json_out_end_object(out);
    option_print_schema(topology_input_keys, out);
    json_out_end_array(out);
    json_out_end_object(out);
    json_out_end_object(out);
}

/* {"if": {"properties": {"plugin": {"const": NAME}}}, "then": {"properties": {"config": ...}}} */
static void write_config_rule(struct json_out *out, const struct plugin *plugin,
                              const sl_role *role) {
    json_out_object(out);
    json_out_key(out, "if");
    json_out_object(out);
    json_out_key(out, "properties");
    json_out_object(out);
    json_out_key(out, "plugin");
    json_out_object(out);
    json_out_member(out, "const", plugin->descriptor.name);
    json_out_end_object(out);
    json_out_end_object(out);
    json_out_end_object(out);
    json_out_key(out, "then");
    json_out_object(out);
    json_out_key(out, "properties");
    json_out_object(out);
    json_out_key(out, "config");
    option_print_schema(role->options, out);
    json_out_end_object(out);
    json_out_end_object(out);
    json_out_end_object(out);
}

/* The keys of a node beside those written by hand. */
static void write_node_keys(struct json_out *out, enum topology_kind kind) {
    sl_option own[16];
    size_t n = 0;
    for (const sl_option *o = topology_node_keys(kind); o->name != NULL && n + 1 < 16; o++) {
        if (o->type != SL_OPTION_JSON && strcmp(o->name, "plugin") != 0) {
            own[n++] = *o;
        }
    }
    own[n] = (sl_option){.name = NULL};
    option_print_properties(own, out);
}

static void write_node(struct json_out *out, const struct plugins *plugins,
                       enum topology_kind kind) {
    json_out_object(out);
    json_out_member(out, "type", "object");
    json_out_key(out, "properties");
    json_out_object(out);
    write_plugin_name(out, plugins, kind);
    if (kind != TOPOLOGY_SOURCE) {
        write_inputs(out);
    }
    json_out_key(out, "config");
    json_out_object(out);
    json_out_member(out, "type", "object");
    json_out_end_object(out);
    write_node_keys(out, kind);
    json_out_end_object(out);
    json_out_key(out, "required");
    json_out_array(out);
    json_out_string(out, "plugin");
    if (kind != TOPOLOGY_SOURCE) {
        json_out_string(out, "inputs");
    }
    json_out_end_array(out);
    json_out_member_bool(out, "additionalProperties", false);
    json_out_key(out, "allOf");
    json_out_array(out);
    for (size_t i = 0; i < plugins->n; i++) {
        const sl_role *role = plugin_role(plugins->list[i], kind);
        if (role != NULL) {
            write_config_rule(out, plugins->list[i], role);
        }
    }
    json_out_end_array(out);
    json_out_end_object(out);
}

static void write_nodes(struct json_out *out, const struct plugins *plugins,
                        enum topology_kind kind) {
    json_out_key(out, topology_kind_key(kind));
    json_out_object(out);
    json_out_member(out, "type", "object");
    if (kind != TOPOLOGY_TRANSFORM) {
        json_out_member_integer(out, "minProperties", 1);
    }
    json_out_key(out, "propertyNames");
    json_out_object(out);
    json_out_member(out, "pattern", "^[A-Za-z_][A-Za-z0-9_-]{0,63}$");
    json_out_end_object(out);
    json_out_key(out, "additionalProperties");
    write_node(out, plugins, kind);
    json_out_end_object(out);
}

static void write_top_keys(struct json_out *out) {
    sl_option own[32];
    size_t n = 0;
    for (const sl_option *o = topology_top_keys; o->name != NULL && n + 1 < 32; o++) {
        if (o->type != SL_OPTION_JSON) {
            own[n++] = *o;
        }
    }
    own[n] = (sl_option){.name = NULL};
    option_print_properties(own, out);
}

int topology_schema_print(struct plugin_registry *registry) {
    struct plugins plugins = {.n = 0};
    sl_error *error = load_all(registry, &plugins);
    if (error != NULL) {
        return cli_fail(error);
    }
    struct json_out out = {0};
    json_out_object(&out);
    json_out_member(&out, "$schema", "https://json-schema.org/draft/2020-12/schema");
    json_out_member(&out, "title", "A topology of sluice");
    json_out_member(&out, "type", "object");
    json_out_key(&out, "properties");
    json_out_object(&out);
    write_top_keys(&out);
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        write_nodes(&out, &plugins, (enum topology_kind)kind);
    }
    for (size_t i = 0; i < plugins.n; i++) {
        if (plugins.list[i]->descriptor.section != NULL) {
            json_out_key(&out, plugins.list[i]->descriptor.section);
            option_print_schema(plugins.list[i]->descriptor.section_options, &out);
        }
    }
    json_out_end_object(&out);
    json_out_key(&out, "required");
    json_out_array(&out);
    for (const sl_option *o = topology_top_keys; o->name != NULL; o++) {
        if ((o->flags & SL_OPTION_REQUIRED) != 0) {
            json_out_string(&out, o->name);
        }
    }
    json_out_end_array(&out);
    json_out_member_bool(&out, "additionalProperties", false);
    json_out_end_object(&out);
    return json_out_print(&out) ? CLI_DONE : CLI_FAILED;
}
