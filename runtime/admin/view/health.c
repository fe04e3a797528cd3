/* /health: the control loop turns. /ready: every node runs and reads, or why not. */
#include "admin/handlers.h"
#include "report/snapshot_json.h"

void answer_health(struct exchange *exchange) {
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    json_out_member(&out, "status", "healthy");
    json_out_member(&out, "message", "the control loop turns");
    json_out_end_object(&out);
    exchange_json(exchange, 200, &out);
}

/* A start that fails is tried again for a while. */
static const char *starting(const struct host_node *node, const char *otherwise, sl_buffer *text) {
    if (node->start_retry.attempts == 0) {
        return otherwise;
    }
    (void)sl_buffer_printf(text, "%s, and its start is tried again: %s", otherwise,
                           node->start_retry.why);
    const char *why = sl_buffer_text(text);
    return why != NULL ? why : otherwise;
}

/* Why the node is not ready, maybe in `text`; NULL: it is. */
static const char *obstacle(const struct host_node *node, sl_buffer *text) {
    switch (node->state) {
    case HOST_NODE_STARTING:
        return node->has_started ? "it waits until the others have started"
                                 : starting(node, "it starts", text);
    case HOST_NODE_WAITING:
        return "streams of its sources are with other hosts";
    case HOST_NODE_FAILED:
        return node->failure != NULL ? sl_error_message(node->failure) : "it failed";
    case HOST_NODE_RESTARTING:
        return starting(node, "it is being restarted", text);
    default:
        break;
    }
    return node->spec->kind == TOPOLOGY_SOURCE && node->n_streams == 0 &&
                   node->state == HOST_NODE_RUNNING
               ? "it has no partition yet"
               : NULL;
}

void answer_ready(struct exchange *exchange) {
    const struct host *host = exchange->host;
    struct json_out out = exchange_writer(exchange);
    bool ready = host->started && !host->draining;
    json_out_object(&out);
    json_out_key(&out, "not_ready");
    json_out_array(&out);
    for (size_t n = 0; n < host->n_nodes; n++) {
        sl_buffer text = SL_BUFFER_INIT;
        const char *why = obstacle(host->nodes[n], &text);
        ready = ready && why == NULL;
        if (why != NULL && (exchange->access == NULL || exchange->user != NULL)) {
            json_out_object(&out);
            json_out_member(&out, "node", host->nodes[n]->spec->name);
            json_out_member(&out, "state", snapshot_state_name(host->nodes[n]->state));
            json_out_key(&out, "why");
            json_out_masked(&out, why);
            json_out_end_object(&out);
        }
        sl_buffer_free(&text);
    }
    json_out_end_array(&out);
    json_out_member_bool(&out, "draining", host->draining);
    json_out_member_bool(&out, "ready", ready);
    json_out_end_object(&out);
    exchange_json(exchange, ready ? 200 : 503, &out);
}
