/* What handlers read of a request and make of its answer (see exchange.h). */
#include "admin/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

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

/* In Kafka Connect's words, which its clients know, and then in ours. */
static void not_found(struct exchange *exchange, const char *name) {
    size_t n = exchange->host->n_nodes;
    const char **names = calloc(n + 1, sizeof(*names));
    sl_buffer all = SL_BUFFER_INIT;
    for (size_t i = 0; names != NULL && i < n; i++) {
        names[i] = exchange->host->nodes[i]->spec->name;
        sl_buffer_printf(&all, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    const char *nearest = names == NULL ? NULL : sl_nearest_name(name, names, n);
    const char *text = sl_buffer_text(&all);
    if (nearest != NULL) {
        exchange_fail(exchange, 404, "Connector %s not found; did you mean %s?", name, nearest);
    } else {
        exchange_fail(exchange, 404, "Connector %s not found; the nodes are %.2000s", name,
                      text != NULL ? text : "not told: memory is short");
    }
    sl_buffer_free(&all);
    free((void *)names);
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
    not_found(exchange, name);
    return NULL;
}
