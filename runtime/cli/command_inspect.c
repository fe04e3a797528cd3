/*
 * sluice inspect: the plugins there are, what one of them takes, and the JSON Schema of topologies,
 * all from the plugins' own option tables.
 */
#include "cli/common.h"
#include "cli/option_print.h"
#include "cli/topology_schema.h"
#include "topology/guarantee.h"
#include "topology/keys.h"

#include <stdio.h>

static int print_buffer(sl_buffer *out) {
    bool good = !out->failed && fwrite(out->data, 1, out->bytes, stdout) == out->bytes &&
                fflush(stdout) == 0;
    sl_buffer_free(out);
    return good ? CLI_DONE : CLI_FAILED;
}

/* ---- one plugin ---- */

static void append_role(sl_buffer *out, const sl_role *role, int kind) {
    (void)sl_buffer_printf(out, "\n  %s: %s\n", topology_kind_name((enum topology_kind)kind),
                           delivery_name((sl_guarantee)role->guarantee));
    if (kind != TOPOLOGY_SOURCE && role->max_inputs == UINT32_MAX) {
        (void)sl_buffer_printf(out, "    inputs: %u or more\n", role->min_inputs);
    } else if (kind != TOPOLOGY_SOURCE) {
        (void)sl_buffer_printf(out, "    inputs: %u to %u\n", role->min_inputs, role->max_inputs);
    }
    for (size_t i = 0; role->outputs != NULL && role->outputs[i] != NULL; i++) {
        if (role->outputs[i][0] != 0) {
            (void)sl_buffer_printf(out, "    further output: NODE.%s\n", role->outputs[i]);
        }
    }
    if (role->options == NULL || role->options[0].name == NULL) {
        (void)sl_buffer_append_text(out, "    no options\n");
    } else {
        option_print_text(role->options, "", out);
    }
}

static int print_plugin_text(const struct plugin *plugin) {
    const sl_plugin *d = &plugin->descriptor;
    sl_buffer out = SL_BUFFER_INIT;
    (void)sl_buffer_printf(&out, "%s %s (%s)\n%s\n%s\n", d->name, d->version, d->licence,
                           d->summary, plugin->file);
    if (d->section != NULL) {
        (void)sl_buffer_printf(&out, "\n  section \"%s\" of the topology, for all its nodes\n",
                               d->section);
        option_print_text(d->section_options, "", &out);
    }
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        if (plugin_role(plugin, kind) != NULL) {
            append_role(&out, plugin_role(plugin, kind), kind);
        }
    }
    return print_buffer(&out);
}

static void write_role(struct json_out *out, const sl_role *role) {
    json_out_object(out);
    json_out_member(out, "guarantee", delivery_name((sl_guarantee)role->guarantee));
    json_out_member_bool(out, "blocking", (role->flags & SL_ROLE_BLOCKING) != 0);
    json_out_member_bool(out, "durable", (role->flags & SL_ROLE_DURABLE) != 0);
    json_out_member_bool(out, "repeatable", (role->flags & SL_ROLE_UNREPEATABLE) == 0);
    json_out_key(out, "outputs");
    json_out_array(out);
    for (size_t i = 0; role->outputs != NULL && role->outputs[i] != NULL; i++) {
        json_out_string(out, role->outputs[i]);
    }
    json_out_end_array(out);
    json_out_member_integer(out, "min_inputs", role->min_inputs);
    json_out_key(out, "max_inputs");
    if (role->max_inputs == UINT32_MAX) {
        json_out_string(out, NULL);
    } else {
        json_out_integer(out, role->max_inputs);
    }
    json_out_key(out, "options");
    option_print_json(role->options, out);
    json_out_end_object(out);
}

static void write_plugin(struct json_out *out, const struct plugin *plugin, bool options) {
    const sl_plugin *d = &plugin->descriptor;
    char abi[32];
    (void)snprintf(abi, sizeof(abi), "%u.%u", d->abi_major, d->abi_minor);
    json_out_object(out);
    json_out_member(out, "name", d->name);
    json_out_member(out, "version", d->version);
    json_out_member(out, "summary", d->summary);
    json_out_member(out, "licence", d->licence);
    json_out_member(out, "file", plugin->file);
    json_out_member(out, "abi", abi);
    json_out_key(out, "roles");
    if (options) {
        json_out_object(out);
    } else {
        json_out_array(out);
    }
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        const sl_role *role = plugin_role(plugin, kind);
        if (role != NULL && options) {
            json_out_key(out, topology_kind_name((enum topology_kind)kind));
            write_role(out, role);
        } else if (role != NULL) {
            json_out_string(out, topology_kind_name((enum topology_kind)kind));
        }
    }
    if (options) {
        json_out_end_object(out);
        json_out_member(out, "section", d->section);
        if (d->section != NULL) {
            json_out_key(out, "section_options");
            option_print_json(d->section_options, out);
        }
    } else {
        json_out_end_array(out);
    }
    json_out_end_object(out);
}

static int inspect_one(struct plugin_registry *registry, const char *name, bool json) {
    const struct plugin *plugin;
    sl_error *error = plugin_registry_get(registry, name, &plugin);
    if (error != NULL) {
        return cli_fail(error);
    }
    if (!json) {
        return print_plugin_text(plugin);
    }
    struct json_out out = {0};
    write_plugin(&out, plugin, true);
    return json_out_print(&out) ? CLI_DONE : CLI_FAILED;
}

/* ---- all plugins ---- */

static void append_line(sl_buffer *out, const struct plugin *plugin) {
    const sl_plugin *d = &plugin->descriptor;
    char roles[64] = "";
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        if (plugin_role(plugin, kind) != NULL) {
            size_t used = strlen(roles);
            (void)snprintf(roles + used, sizeof(roles) - used, "%s%s", used == 0 ? "" : ", ",
                           topology_kind_name((enum topology_kind)kind));
        }
    }
    (void)sl_buffer_printf(out, "%-18s %-9s %-24s %s\n", d->name, d->version, roles, d->summary);
}

static void write_broken(struct json_out *out, const char *name, const sl_error *error) {
    json_out_object(out);
    json_out_member(out, "name", name);
    json_out_member(out, "error", sl_error_message(error));
    json_out_end_object(out);
}

/* Names, which the registry keeps only until it is asked again, as one list of our own. */
static sl_error *copy_names(struct plugin_registry *registry, struct arena *arena,
                            const char ***names_out, size_t *n) {
    const char *const *names;
    sl_error *error = plugin_registry_names(registry, &names, n);
    if (error != NULL) {
        return error;
    }
    const char **copies = arena_array(arena, *n, sizeof(*copies));
    for (size_t i = 0; copies != NULL && i < *n; i++) {
        copies[i] = arena_text(arena, names[i]);
    }
    *names_out = copies;
    return arena->failed ? sl_error_no_memory() : NULL;
}

static int inspect_all(struct plugin_registry *registry, bool json) {
    struct arena arena = {NULL, false};
    const char **names;
    size_t n;
    sl_error *error = copy_names(registry, &arena, &names, &n);
    if (error != NULL) {
        arena_free(&arena);
        return cli_fail(error);
    }
    sl_buffer text = SL_BUFFER_INIT;
    struct json_out out = {0};
    json_out_array(&out);
    for (size_t i = 0; i < n; i++) {
        const struct plugin *plugin;
        error = plugin_registry_get(registry, names[i], &plugin);
        if (error != NULL) {
            (void)sl_buffer_printf(&text, "%-18s cannot be used: %s\n", names[i],
                                   sl_error_message(error));
            write_broken(&out, names[i], error);
            sl_error_free(error);
        } else {
            append_line(&text, plugin);
            write_plugin(&out, plugin, false);
        }
    }
    json_out_end_array(&out);
    arena_free(&arena);
    if (json) {
        sl_buffer_free(&text);
        return json_out_print(&out) ? CLI_DONE : CLI_FAILED;
    }
    sl_buffer_free(&out.text);
    return print_buffer(&text);
}

/* ---- the command ---- */

static int run(const struct cli_args *args) {
    struct plugin_registry *registry = NULL;
    sl_error *error = cli_registry(args, &registry);
    if (error != NULL) {
        return cli_fail(error);
    }
    bool json = cli_args_get(args, "--json") != NULL;
    int status;
    if (cli_args_get(args, "--topology-schema") != NULL) {
        status = topology_schema_print(registry);
    } else if (args->n_operands == 1) {
        status = inspect_one(registry, args->operands[0], json);
    } else {
        status = inspect_all(registry, json);
    }
    plugin_registry_free(registry);
    return status;
}

static const struct cli_option options[] = {
    CLI_JSON_OPTION,
    {"--topology-schema", NULL,
     "print a JSON Schema of topologies with these plugins, for editors"},
    CLI_PLUGIN_PATH_OPTION,
    {NULL, NULL, NULL}};

const struct cli_command cli_inspect_command = {
    .name = "inspect",
    .operands = "[PLUGIN]",
    .max_operands = 1,
    .summary = "List the plugins there are, or the roles and options of one.",
    .options = options,
    .run = run,
};
