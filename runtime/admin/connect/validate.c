/*
 * PUT /connector-plugins/PLUGIN/config/validate: a flat config, as Kafka Connect's clients write
 * it, against the plugin's option table. References (${env:}, ${file:}) are not followed: nobody
 * reads files through here.
 */
#include "admin/handlers.h"
#include "topology/connector.h"
#include "topology/flat.h"
#include "topology/keys.h"
#include "topology/options.h"

#include <cjson/cJSON.h>
#include <stdio.h>

struct validation {
    struct exchange *exchange;
    struct arena arena;
    struct topology_faults *faults;
    struct secrets secrets;
    const struct json_value *body;
    enum topology_kind kind;
    const sl_option *table; /* NULL: no options */
    cJSON *effective;       /* what the good options mean, masked */
    int64_t error_count;
};

/* ---- from flat to nested ---- */

/* What a config says besides the plugin's options. */
static bool is_own_key(const struct validation *v, const char *key) {
    return connector_owns_key(v->table, key) || flat_node_key(v->kind, v->table, key) != NULL;
}

static struct json_value *nest(struct validation *v) {
    struct json_value *object = json_new(&v->arena, JSON_OBJECT, v->body->place);
    for (const struct json_value *m = v->body->first; m != NULL && object != NULL; m = m->next) {
        if (m->kind != JSON_NULL && !is_own_key(v, m->key)) {
            flat_put(&v->arena, v->table, object, m);
        }
    }
    return object;
}

/* ---- checking ---- */

/* False after an answer. */
static bool check(struct validation *v, const sl_role *role) {
    struct claimed_location *claimed = NULL;
    sl_buffer effective = SL_BUFFER_INIT;
    const struct json_value *config = nest(v);
    const struct option_context context = {
        .arena = &v->arena,
        .faults = v->faults,
        .secrets = &v->secrets,
        .directory = v->exchange->host->topology->directory,
        .claimed = &claimed,
        .owner = "this config",
    };
    if (config != NULL) {
        (void)options_parse(&context, role->options, role->config_bytes, config, config->place, "$",
                            &effective);
    }
    const char *text = sl_buffer_text(&effective);
    v->effective = text != NULL ? cJSON_Parse(text) : NULL;
    sl_buffer_free(&effective);
    topology_faults_mask(v->faults, &v->secrets);
    if (v->arena.failed || v->effective == NULL || topology_faults_failed(v->faults)) {
        exchange_fail(v->exchange, 500, "memory is short");
        return false;
    }
    return true;
}

/* ---- the answer ---- */

/* Whether the fault is about the option, or about something inside it. */
static bool is_about(const char *fault_path, const char *path) {
    size_t bytes = strlen(path);
    return strncmp(fault_path, path, bytes) == 0 &&
           (fault_path[bytes] == 0 || fault_path[bytes] == '.' || fault_path[bytes] == '[');
}

static void write_errors(struct validation *v, struct json_out *out, const char *name) {
    const char *path = json_path_member(&v->arena, "$", name);
    json_out_key(out, "errors");
    json_out_array(out);
    for (size_t i = 0; path != NULL && i < topology_faults_count(v->faults); i++) {
        const struct topology_fault *fault = topology_faults_at(v->faults, i);
        if (!fault->warning && is_about(fault->path, path)) {
            json_out_masked(out, fault->text);
            v->error_count++;
        }
    }
    json_out_end_array(out);
}

/* What it means if it is good, else what was given unless that may be secret. */
static void write_given(const struct validation *v, struct json_out *out, const sl_option *option,
                        const char *name) {
    const cJSON *shown = cJSON_GetObjectItemCaseSensitive(v->effective, name);
    const struct json_value *given = json_member(v->body, name);
    json_out_key(out, "value");
    if (shown != NULL) {
        char *text = cJSON_IsString(shown) ? NULL : cJSON_PrintUnformatted(shown);
        json_out_masked(out, text != NULL ? text : shown->valuestring);
        cJSON_free(text);
    } else if (given != NULL && option != NULL && option->type != SL_OPTION_SECRET &&
               !option_is_secret_name(name)) {
        json_out_masked(out, given->text);
    } else {
        json_out_string(out, NULL);
    }
}

static void write_value(struct validation *v, struct json_out *out, const sl_option *option,
                        const char *name) {
    json_out_key(out, "value");
    json_out_object(out);
    json_out_member(out, "name", name);
    write_given(v, out, option, name);
    json_out_key(out, "recommended_values");
    json_out_array(out);
    for (size_t i = 0;
         option != NULL && option->type == SL_OPTION_ENUM && option->enum_names[i] != NULL; i++) {
        json_out_string(out, option->enum_names[i]);
    }
    json_out_end_array(out);
    write_errors(v, out, name);
    json_out_member_bool(out, "visible", true);
    json_out_end_object(out);
}

/* Clients of Kafka Connect set it, and are to know that it does nothing. */
static void write_tasks(struct validation *v, struct json_out *out) {
    static const sl_option option = {
        .name = "tasks.max",
        .type = SL_OPTION_INTEGER,
        .default_text = "1",
        .doc = "how many tasks there may be; without effect, since each node has a task on every "
               "lane, and how many lanes there are the topology's \"lanes\" says for all nodes"};
    char lanes[16];
    int64_t tasks;
    bool good = connector_tasks(v->body, &tasks);
    (void)snprintf(lanes, sizeof(lanes), "%u", v->exchange->host->n_lanes);
    json_out_object(out);
    json_out_key(out, "definition");
    plugin_option(out, &option, topology_kind_name(v->kind), 0);
    json_out_key(out, "value");
    json_out_object(out);
    json_out_member(out, "name", option.name);
    write_given(v, out, &option, option.name);
    json_out_key(out, "recommended_values");
    json_out_array(out);
    json_out_string(out, lanes);
    json_out_end_array(out);
    json_out_key(out, "errors");
    json_out_array(out);
    if (!good) {
        json_out_string(out, CONNECTOR_TASKS_ALLOWED);
        v->error_count++;
    }
    json_out_end_array(out);
    json_out_member_bool(out, "visible", true);
    json_out_end_object(out);
    json_out_end_object(out);
}

/* Those of the table, then those that it does not know: their definition is null. */
static void write_configs(struct validation *v, struct json_out *out) {
    int64_t order = 1;
    if (flat_option(v->table, "tasks.max") == NULL) {
        write_tasks(v, out);
    }
    for (const sl_option *o = v->table; o != NULL && o->name != NULL; o++, order++) {
        if ((o->flags & SL_OPTION_REST) == 0) {
            json_out_object(out);
            json_out_key(out, "definition");
            plugin_option(out, o, topology_kind_name(v->kind), order);
            write_value(v, out, o, o->name);
            json_out_end_object(out);
        }
    }
    for (const struct json_value *m = v->body->first; m != NULL; m = m->next) {
        if (!is_own_key(v, m->key) && flat_option(v->table, m->key) == NULL) {
            json_out_object(out);
            json_out_member(out, "definition", NULL);
            write_value(v, out, NULL, m->key);
            json_out_end_object(out);
        }
    }
}

static void write_answer(struct validation *v) {
    struct json_out out = exchange_writer(v->exchange);
    json_out_object(&out);
    json_out_member(&out, "name", v->exchange->parts[1]);
    json_out_key(&out, "groups");
    json_out_array(&out);
    json_out_string(&out, topology_kind_name(v->kind));
    json_out_end_array(&out);
    json_out_key(&out, "configs");
    json_out_array(&out);
    write_configs(v, &out);
    json_out_end_array(&out);
    json_out_member_integer(&out, "error_count", v->error_count);
    json_out_end_object(&out);
    exchange_json(v->exchange, 200, &out);
}

/* ---- what is asked ---- */

/* A plugin with several roles is a source without `inputs`; with them it is not. */
static const sl_role *choose_role(struct validation *v, const struct plugin *plugin) {
    bool inputs = json_member(v->body, "inputs") != NULL;
    const sl_role *role = NULL;
    for (enum topology_kind kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        const sl_role *of_kind = plugin_role(plugin, kind);
        if (of_kind != NULL && (role == NULL || (inputs && v->kind == TOPOLOGY_SOURCE))) {
            role = of_kind;
            v->kind = kind;
        }
    }
    v->table = role != NULL ? role->options : NULL;
    return role;
}

/* False after a 400. */
static bool names_plugin(struct validation *v) {
    const struct json_value *given = json_member(v->body, "connector.class");
    const char *wanted = v->exchange->parts[1];
    if (given == NULL || (given->kind == JSON_STRING && strcmp(given->text, wanted) == 0)) {
        return true;
    }
    exchange_fail(v->exchange, 400, "connector.class is %s%s; the path says %s",
                  given->kind == JSON_STRING ? "" : json_kind_name(given->kind),
                  given->kind == JSON_STRING ? given->text : "", wanted);
    return false;
}

void answer_validate(struct exchange *exchange) {
    const struct plugin *plugin = exchange_plugin(exchange);
    struct validation v = {.exchange = exchange};
    v.body = plugin != NULL ? exchange_object(exchange, &v.arena) : NULL;
    if (v.body != NULL && names_plugin(&v)) {
        const sl_role *role = choose_role(&v, plugin);
        v.faults = topology_faults_new();
        if (v.faults == NULL) {
            exchange_fail(exchange, 500, "memory is short");
        } else if (check(&v, role)) {
            write_answer(&v);
        }
    }
    cJSON_Delete(v.effective);
    topology_faults_free(v.faults);
    arena_free(&v.arena);
}
