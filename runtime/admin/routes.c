/* Which path and method lead where. */
#include "admin/guard.h"
#include "admin/handlers.h"

#include <stdio.h>
#include <strings.h>

struct admin_route {
    enum access_role role; /* that it takes; nobody's are open, for probes */
    const char *method;
    const char *path; /* "*" stands for any one part */
    void (*answer)(struct exchange *exchange);
};

static const struct admin_route routes[] = {
    {ACCESS_VIEWER, "GET", "", answer_front},
    {ACCESS_VIEWER, "GET", "ui/*", answer_page_file},
    {ACCESS_NOBODY, "GET", "health", answer_health},
    {ACCESS_NOBODY, "GET", "ready", answer_ready},
    {ACCESS_VIEWER, "GET", "metrics", answer_metrics},
    {ACCESS_VIEWER, "GET", "connectors", answer_connectors},
    {ACCESS_ADMIN, "POST", "connectors", answer_create},
    {ACCESS_VIEWER, "GET", "connectors/*", answer_connector},
    {ACCESS_ADMIN, "DELETE", "connectors/*", answer_delete},
    {ACCESS_VIEWER, "GET", "connectors/*/config", answer_config},
    {ACCESS_ADMIN, "PUT", "connectors/*/config", answer_put_config},
    {ACCESS_ADMIN, "PATCH", "connectors/*/config", answer_patch_config},
    {ACCESS_VIEWER, "GET", "connectors/*/status", answer_status},
    {ACCESS_VIEWER, "GET", "connectors/*/tasks", answer_tasks},
    {ACCESS_VIEWER, "GET", "connectors/*/tasks/*/status", answer_task_status},
    {ACCESS_VIEWER, "GET", "connectors/*/topics", answer_topics},
    {ACCESS_OPERATOR, "PUT", "connectors/*/topics/reset", answer_reset_topics},
    {ACCESS_VIEWER, "GET", "connectors/*/offsets", answer_offsets},
    {ACCESS_ADMIN, "PATCH", "connectors/*/offsets", answer_alter_offsets},
    {ACCESS_ADMIN, "DELETE", "connectors/*/offsets", answer_reset_offsets},
    {ACCESS_OPERATOR, "POST", "connectors/*/restart", answer_restart},
    {ACCESS_OPERATOR, "POST", "connectors/*/tasks/*/restart", answer_task_restart},
    {ACCESS_OPERATOR, "PUT", "connectors/*/pause", answer_pause},
    {ACCESS_OPERATOR, "PUT", "connectors/*/stop", answer_stop},
    {ACCESS_OPERATOR, "PUT", "connectors/*/resume", answer_resume},
    {ACCESS_VIEWER, "GET", "admin/loggers", answer_loggers},
    {ACCESS_VIEWER, "GET", "admin/loggers/*", answer_logger},
    {ACCESS_ADMIN, "PUT", "admin/loggers/*", answer_set_logger},
    {ACCESS_VIEWER, "GET", "connector-plugins", answer_plugins},
    {ACCESS_VIEWER, "GET", "connector-plugins/*/config", answer_plugin_config},
    {ACCESS_VIEWER, "PUT", "connector-plugins/*/config/validate", answer_validate},
    {ACCESS_VIEWER, "GET", "v1/openapi.json", answer_openapi},
    {ACCESS_VIEWER, "GET", "v1/status", answer_v1_status},
    {ACCESS_VIEWER, "GET", "v1/user", answer_user},
    {ACCESS_VIEWER, "GET", "v1/topology", answer_topology},
    {ACCESS_ADMIN, "PUT", "v1/topology", answer_put_topology},
    {ACCESS_ADMIN, "PATCH", "v1/topology", answer_patch_topology},
    {ACCESS_VIEWER, "GET", "v1/topology/history", answer_history},
    {ACCESS_VIEWER, "GET", "v1/topology/history/*", answer_version},
    {ACCESS_ADMIN, "POST", "v1/topology/history/*/rollback", answer_roll_back},
    {ACCESS_OPERATOR, "GET", "v1/nodes/*/tap", answer_tap},
    {ACCESS_VIEWER, "GET", "v1/events", answer_events},
    {ACCESS_OPERATOR, "GET", "v1/bundle", answer_bundle},
};

static bool path_fits(const char *path, const struct exchange *exchange) {
    size_t part = 0;
    while (*path != 0) {
        size_t bytes = strcspn(path, "/");
        bool any = bytes == 1 && *path == '*';
        if (part == exchange->n_parts ||
            (!any && (strncmp(path, exchange->parts[part], bytes) != 0 ||
                      exchange->parts[part][bytes] != 0))) {
            return false;
        }
        part++;
        path += bytes + (path[bytes] == '/');
    }
    return part == exchange->n_parts;
}

void exchange_answer(struct exchange *exchange) {
    bool head = strcmp(exchange->method, "HEAD") == 0;
    bool known = false;
    for (size_t i = 0; i < SL_ARRAY_LENGTH(routes); i++) {
        if (!path_fits(routes[i].path, exchange)) {
            continue;
        }
        if (strcmp(routes[i].method, head ? "GET" : exchange->method) == 0) {
            sl_buffer_free(&exchange->allow);
            if (guard_lets_in(exchange, routes[i].role)) {
                routes[i].answer(exchange);
            }
            if (!exchange->waits) {
                guard_record(exchange);
            }
            return;
        }
        sl_buffer_printf(&exchange->allow, "%s%s", known ? ", " : "", routes[i].method);
        known = true;
    }
    if (known) {
        exchange_fail(exchange, 405, "HTTP 405 Method Not Allowed");
    } else {
        exchange_fail(exchange, 404, "HTTP 404 Not Found");
    }
}

/* ---- answers ---- */

static void mask(const void *topology, sl_buffer *text) {
    topology_mask(topology, text);
}

struct json_out exchange_writer(const struct exchange *exchange) {
    return (struct json_out){.mask = mask, .mask_arg = exchange->host->topology};
}

void exchange_json(struct exchange *exchange, int status, struct json_out *out) {
    exchange->status = status;
    exchange->content_type = "application/json";
    sl_buffer_free(&exchange->body);
    exchange->body = out->text;
    *out = (struct json_out){0};
    (void)sl_buffer_append_byte(&exchange->body, '\n');
}

void exchange_fail(struct exchange *exchange, int status, const char *format, ...) {
    char message[8192]; /* as many faults as anybody will read */
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    json_out_member_integer(&out, "error_code", status);
    json_out_key(&out, "message");
    json_out_masked(&out, message);
    json_out_end_object(&out);
    exchange_json(exchange, status, &out);
}

/* ---- what is asked for ---- */

/* Keeps the first. */
static void note_fault(void *arg, struct json_place place, const char *path, const char *text) {
    (void)path;
    struct exchange *exchange = arg;
    if (exchange->status == 0) {
        exchange_fail(exchange, 400, "the body's line %d, column %d: %s", place.line, place.column,
                      text);
    }
}

struct json_value *exchange_object(struct exchange *exchange, struct arena *arena) {
    struct json_value *body = json_parse(arena, (const char *)exchange->request_body,
                                         exchange->request_bytes, note_fault, exchange);
    if (exchange->status != 0) {
        return NULL;
    }
    if (body == NULL || arena->failed) {
        exchange_fail(exchange, 500, "memory is short");
        return NULL;
    }
    if (body->kind != JSON_OBJECT) {
        exchange_fail(exchange, 400, "the body is %s; allowed is an object",
                      json_kind_name(body->kind));
        return NULL;
    }
    return body;
}

bool exchange_flag(struct exchange *exchange, const char *name, bool *out) {
    const char *text = exchange->query(exchange, name, 0);
    *out = text != NULL && strcasecmp(text, "true") == 0; /* Python writes True */
    if (text == NULL || *out || strcasecmp(text, "false") == 0) {
        return true;
    }
    exchange_fail(exchange, 400, "%s is \"%s\"; allowed are true and false", name, text);
    return false;
}

struct host_node *exchange_node(struct exchange *exchange) {
    bool v1 = strcmp(exchange->parts[0], "v1") == 0;
    return exchange_node_called(exchange, exchange->parts[v1 ? 2 : 1]);
}

struct host_node *exchange_node_called(struct exchange *exchange, const char *name) {
    for (size_t n = 0; n < exchange->host->n_nodes; n++) {
        struct host_node *node = exchange->host->nodes[n];
        if (strcmp(node->spec->name, name) == 0) {
            return node;
        }
    }
    exchange_fail(exchange, 404, "Connector %s not found", name);
    return NULL;
}
