/* /v1: sluice's own view, where Kafka Connect has none. */
#include "admin/handlers.h"
#include "host/snapshot_take.h"
#include "report/snapshot_json.h"
#include "topology/keys.h"

void answer_v1_status(struct exchange *exchange) {
    struct host_snapshot snapshot;
    if (!snapshot_take(exchange->host, &snapshot)) {
        exchange_fail(exchange, 500, "memory is short");
        return;
    }
    struct json_out out = exchange_writer(exchange);
    snapshot_json(&out, &snapshot);
    snapshot_free(&snapshot);
    exchange_json(exchange, 200, &out);
}

static void write_inputs(struct json_out *out, const struct topology_node *node) {
    json_out_key(out, "inputs");
    json_out_array(out);
    for (size_t i = 0; i < node->n_inputs; i++) {
        json_out_string(out, node->inputs[i].name);
    }
    json_out_end_array(out);
}

static void write_nodes(struct json_out *out, const struct topology *topology,
                        enum topology_kind kind) {
    json_out_key(out, topology_kind_key(kind));
    json_out_object(out);
    for (size_t n = 0; n < topology->n_nodes; n++) {
        const struct topology_node *node = &topology->nodes[n];
        if (node->kind != kind) {
            continue;
        }
        json_out_key(out, node->name);
        json_out_object(out);
        json_out_member(out, "plugin", node->plugin->descriptor.name);
        if (kind != TOPOLOGY_SOURCE) {
            write_inputs(out, node);
        }
        json_out_key(out, "config");
        json_out_raw(out, node->config_json);
        json_out_end_object(out);
    }
    json_out_end_object(out);
}

/* The effective topology: defaults filled in, secrets masked. */
void answer_v1_topology(struct exchange *exchange) {
    const struct topology *topology = exchange->host->topology;
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    json_out_member(&out, "pipeline", topology->pipeline);
    json_out_member(&out, "file", topology->file);
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        write_nodes(&out, topology, (enum topology_kind)kind);
    }
    json_out_end_object(&out);
    exchange_json(exchange, 200, &out);
}
