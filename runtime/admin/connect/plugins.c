/* /connector-plugins: what can be used, from the plugins' own option tables. */
#include "admin/handlers.h"
#include "plugin/registry.h"
#include "topology/keys.h"

static void write_plugin(struct json_out *out, const struct plugin *plugin) {
    for (enum topology_kind kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        if (plugin_role(plugin, kind) != NULL) {
            json_out_object(out);
            json_out_member(out, "class", plugin->descriptor.name);
            json_out_member(out, "type", topology_kind_name((enum topology_kind)kind));
            json_out_member(out, "version", plugin->descriptor.version);
            json_out_end_object(out);
        }
    }
}

void answer_plugins(struct exchange *exchange) {
    struct plugin_registry *registry = exchange->host->options->registry;
    const char *const *names = NULL;
    size_t n = 0;
    sl_error *error = plugin_registry_names(registry, &names, &n);
    if (error != NULL) {
        exchange_fail(exchange, 500, "%s", sl_error_message(error));
        sl_error_free(error);
        return;
    }
    struct json_out out = exchange_writer(exchange);
    json_out_array(&out);
    for (size_t i = 0; i < n; i++) {
        const struct plugin *plugin = NULL;
        error = plugin_registry_get(registry, names[i], &plugin);
        if (error == NULL) {
            write_plugin(&out, plugin);
        }
        sl_error_free(error); /* one that does not load cannot be used */
    }
    json_out_end_array(&out);
    exchange_json(exchange, 200, &out);
}

/* Connect's types of config values. */
static const char *type_of(const sl_option *option) {
    switch (option->type) {
    case SL_OPTION_SECRET:
        return "PASSWORD";
    case SL_OPTION_INTEGER:
        return "LONG";
    case SL_OPTION_NUMBER:
        return "DOUBLE";
    case SL_OPTION_BOOL:
        return "BOOLEAN";
    case SL_OPTION_LIST:
        return "LIST";
    default:
        return "STRING";
    }
}

void plugin_option(struct json_out *out, const sl_option *option, const char *group,
                   int64_t order) {
    bool required = (option->flags & SL_OPTION_REQUIRED) != 0;
    json_out_object(out);
    json_out_member(out, "name", option->name);
    json_out_member(out, "type", type_of(option));
    json_out_member_bool(out, "required", required);
    json_out_member(out, "default_value", option->default_text);
    json_out_member(out, "importance", required ? "HIGH" : "MEDIUM");
    json_out_member(out, "documentation", option->doc);
    json_out_member(out, "group", group);
    json_out_member(out, "width", "NONE");
    json_out_member(out, "display_name", option->name);
    json_out_key(out, "dependents");
    json_out_array(out);
    json_out_end_array(out);
    json_out_member_integer(out, "order", order);
    json_out_end_object(out);
}

const struct plugin *exchange_plugin(struct exchange *exchange) {
    const struct plugin *plugin = NULL;
    sl_error *error =
        plugin_registry_get(exchange->host->options->registry, exchange->parts[1], &plugin);
    if (error != NULL) {
        exchange_fail(exchange, 404, "%s", sl_error_message(error));
        sl_error_free(error);
    }
    return plugin;
}

void answer_plugin_config(struct exchange *exchange) {
    const struct plugin *plugin = exchange_plugin(exchange);
    if (plugin == NULL) {
        return;
    }
    struct json_out out = exchange_writer(exchange);
    json_out_array(&out);
    for (enum topology_kind kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        const sl_role *role = plugin_role(plugin, kind);
        const sl_option *options = role != NULL ? role->options : NULL;
        for (int64_t i = 0; options != NULL && options[i].name != NULL; i++) {
            plugin_option(&out, &options[i], topology_kind_name((enum topology_kind)kind), i);
        }
    }
    json_out_end_array(&out);
    exchange_json(exchange, 200, &out);
}
