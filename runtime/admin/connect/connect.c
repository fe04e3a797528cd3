/*
 * Kafka Connect's REST API, as its documentation for Kafka 4 has it: a node is a connector, its
 * lanes are its tasks, its config is the plugin's options as flat texts.
 */
#include "admin/handlers.h"
#include "topology/connector.h"
#include "topology/hidden.h"
#include "topology/keys.h"

#include <stdio.h>
#include <unistd.h>

/* Of the API that this is: clients ask nothing of a worker that they think too old for it. */
#define CONNECT_VERSION "4.0.0"

static const char *state_of(const struct host_node *node) {
    switch (node->state) {
    case HOST_NODE_STARTING:
    case HOST_NODE_WAITING:
        return "UNASSIGNED";
    case HOST_NODE_FAILED:
        return "FAILED";
    case HOST_NODE_DRAINED:
    case HOST_NODE_STOPPED:
        return "STOPPED";
    case HOST_NODE_PAUSED:
        return "PAUSED";
    case HOST_NODE_RESTARTING:
        return "RESTARTING";
    default:
        return "RUNNING";
    }
}

/* Connect knows sources and sinks; a transform is told apart by its own word. */
static const char *type_of(const struct host_node *node) {
    return topology_kind_name(node->spec->kind);
}

/* "host:port" in Connect; here the machine's name. */
static void worker_id(char *out, size_t out_bytes) {
    if (gethostname(out, out_bytes) != 0) {
        out[0] = 0;
    }
    out[out_bytes - 1] = 0;
}

/* ---- the worker ---- */

void answer_root(struct exchange *exchange) {
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    json_out_member(&out, "version", CONNECT_VERSION "-sluice-" SL_VERSION);
    json_out_member(&out, "commit", "sluice");
    json_out_member(&out, "kafka_cluster_id", exchange->host->topology->pipeline);
    json_out_end_object(&out);
    exchange_json(exchange, 200, &out);
}

/* ---- configs ---- */

/* The document that runs, as it may be shown. */
struct shown {
    struct arena arena;
    struct connectors in;
};

/* False after a 500. */
static bool show(struct exchange *exchange, struct shown *shown) {
    const struct host *host = exchange->host;
    *shown = (struct shown){.in = {.registry = host->options->registry, .lanes = host->n_lanes}};
    shown->in.arena = &shown->arena;
    shown->in.document = hidden_parse(&shown->arena, host->topology);
    if (shown->in.document == NULL) {
        exchange_fail(exchange, 500, "memory is short");
        arena_free(&shown->arena);
        return false;
    }
    hidden_hide(host->topology, shown->in.document);
    return true;
}

static void write_config(struct json_out *out, const struct shown *shown,
                         const struct host_node *node) {
    struct json_value *config = NULL;
    sl_error *error = connector_config(&shown->in, node->spec->name, &config);
    json_out_object(out);
    for (const struct json_value *m = error == NULL ? config->first : NULL; m != NULL;
         m = m->next) {
        json_out_member(out, m->key, m->text);
    }
    json_out_end_object(out);
    sl_error_free(error);
}

void answer_config(struct exchange *exchange) {
    const struct host_node *node = exchange_node(exchange);
    struct shown shown;
    if (node != NULL && show(exchange, &shown)) {
        struct json_out out = exchange_writer(exchange);
        write_config(&out, &shown, node);
        exchange_json(exchange, 200, &out);
        arena_free(&shown.arena);
    }
}

/* ---- connectors ---- */

static void write_info(struct json_out *out, const struct shown *shown,
                       const struct host_node *node) {
    json_out_object(out);
    json_out_member(out, "name", node->spec->name);
    json_out_key(out, "config");
    write_config(out, shown, node);
    json_out_key(out, "tasks");
    json_out_array(out);
    for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
        json_out_object(out);
        json_out_member(out, "connector", node->spec->name);
        json_out_member_integer(out, "task", lane);
        json_out_end_object(out);
    }
    json_out_end_array(out);
    json_out_member(out, "type", type_of(node));
    json_out_end_object(out);
}

static void write_state(struct json_out *out, const struct host_node *node, const char *worker) {
    json_out_member(out, "state", state_of(node));
    json_out_member(out, "worker_id", worker);
    if (node->state == HOST_NODE_FAILED && node->failure != NULL) {
        json_out_key(out, "trace");
        json_out_masked(out, sl_error_message(node->failure));
    }
}

static void write_status(struct json_out *out, const struct host_node *node) {
    char worker[256];
    worker_id(worker, sizeof(worker));
    json_out_object(out);
    json_out_member(out, "name", node->spec->name);
    json_out_key(out, "connector");
    json_out_object(out);
    write_state(out, node, worker);
    json_out_end_object(out);
    json_out_key(out, "tasks");
    json_out_array(out);
    for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
        json_out_object(out);
        json_out_member_integer(out, "id", lane);
        write_state(out, node, worker);
        json_out_end_object(out);
    }
    json_out_end_array(out);
    json_out_member(out, "type", type_of(node));
    json_out_end_object(out);
}

static bool expands(const struct exchange *exchange, const char *what) {
    const char *value;
    for (size_t i = 0; (value = exchange->query(exchange, "expand", i)) != NULL; i++) {
        if (strcmp(value, what) == 0) {
            return true;
        }
    }
    return false;
}

void answer_connectors(struct exchange *exchange) {
    bool info = expands(exchange, "info");
    bool status = expands(exchange, "status");
    const struct host *host = exchange->host;
    struct shown shown;
    if (!show(exchange, &shown)) {
        return;
    }
    struct json_out out = exchange_writer(exchange);
    if (info || status) {
        json_out_object(&out);
    } else {
        json_out_array(&out);
    }
    for (size_t n = 0; n < host->n_nodes; n++) {
        const struct host_node *node = host->nodes[n];
        if (!info && !status) {
            json_out_string(&out, node->spec->name);
            continue;
        }
        json_out_key(&out, node->spec->name);
        json_out_object(&out);
        if (info) {
            json_out_key(&out, "info");
            write_info(&out, &shown, node);
        }
        if (status) {
            json_out_key(&out, "status");
            write_status(&out, node);
        }
        json_out_end_object(&out);
    }
    if (info || status) {
        json_out_end_object(&out);
    } else {
        json_out_end_array(&out);
    }
    arena_free(&shown.arena);
    exchange_json(exchange, 200, &out);
}

bool connect_write_connector(struct exchange *exchange, const char *name, int status) {
    const struct host_node *node = exchange_node_called(exchange, name);
    struct shown shown;
    if (node == NULL || !show(exchange, &shown)) {
        return false;
    }
    struct json_out out = exchange_writer(exchange);
    write_info(&out, &shown, node);
    exchange_json(exchange, status, &out);
    arena_free(&shown.arena);
    return true;
}

void answer_connector(struct exchange *exchange) {
    (void)connect_write_connector(exchange, exchange->parts[1], 200);
}

void answer_status(struct exchange *exchange) {
    const struct host_node *node = exchange_node(exchange);
    if (node != NULL) {
        struct json_out out = exchange_writer(exchange);
        write_status(&out, node);
        exchange_json(exchange, 200, &out);
    }
}

/* ---- tasks ---- */

void answer_tasks(struct exchange *exchange) {
    const struct host_node *node = exchange_node(exchange);
    struct shown shown;
    if (node == NULL || !show(exchange, &shown)) {
        return;
    }
    struct json_out out = exchange_writer(exchange);
    json_out_array(&out);
    for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
        json_out_object(&out);
        json_out_key(&out, "id");
        json_out_object(&out);
        json_out_member(&out, "connector", node->spec->name);
        json_out_member_integer(&out, "task", lane);
        json_out_end_object(&out);
        json_out_key(&out, "config");
        write_config(&out, &shown, node);
        json_out_end_object(&out);
    }
    json_out_end_array(&out);
    arena_free(&shown.arena);
    exchange_json(exchange, 200, &out);
}

bool exchange_task(struct exchange *exchange, const struct host_node *node, int64_t *task) {
    const char *text = exchange->parts[3];
    if (sl_parse_i64(text, strlen(text), task) && *task >= 0 && *task < node->host->n_lanes) {
        return true;
    }
    exchange_fail(exchange, 404, "No status found for task %s-%s", node->spec->name, text);
    return false;
}

void answer_task_status(struct exchange *exchange) {
    const struct host_node *node = exchange_node(exchange);
    int64_t task;
    if (node == NULL || !exchange_task(exchange, node, &task)) {
        return;
    }
    char worker[256];
    worker_id(worker, sizeof(worker));
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    json_out_member_integer(&out, "id", task);
    write_state(&out, node, worker);
    json_out_end_object(&out);
    exchange_json(exchange, 200, &out);
}
