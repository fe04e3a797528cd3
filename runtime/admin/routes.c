/* Which path and method lead where. */
#include "admin/access/guard.h"
#include "admin/handlers.h"

#include <string.h>

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
