/*
 * /v1/topology: the document that runs, planned and real changes of it, its history, and what it
 * means with all defaults.
 */
#include "admin/change/history.h"
#include "admin/change/revision.h"
#include "admin/handlers.h"
#include "report/plan_report.h"
#include "topology/edit.h"
#include "topology/hidden.h"
#include "topology/keys.h"

#include <inttypes.h>
#include <stdlib.h>

enum { HISTORY_SHOWN = 50 };

/* ---- what runs ---- */

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

static void answer_effective(struct exchange *exchange) {
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

/* The document as it was written, secrets hidden; with `effective` defaults are filled in. */
void answer_topology(struct exchange *exchange) {
    bool effective;
    if (!exchange_flag(exchange, "effective", &effective)) {
        return;
    }
    if (effective) {
        answer_effective(exchange);
        return;
    }
    struct arena arena = {0};
    struct json_value *document = hidden_parse(&arena, exchange->host->topology);
    if (document == NULL) {
        exchange_fail(exchange, 500, "memory is short");
    } else {
        struct json_out out = {0};
        hidden_hide(exchange->host->topology, document);
        json_print(&out, document);
        exchange_json(exchange, 200, &out);
    }
    arena_free(&arena);
}

/* ---- changing it ---- */

static void write_warnings(struct json_out *out, const struct topology_faults *faults) {
    json_out_key(out, "warnings");
    json_out_array(out);
    for (size_t i = 0; i < topology_faults_count(faults); i++) {
        const struct topology_fault *fault = topology_faults_at(faults, i);
        json_out_object(out);
        json_out_member(out, "path", fault->path);
        json_out_member(out, "text", fault->text);
        json_out_end_object(out);
    }
    json_out_end_array(out);
}

/* For people, who ask for text. */
static void answer_change_as_text(struct exchange *exchange, const struct revision_result *result) {
    for (size_t i = 0; i < topology_faults_count(result->warnings); i++) {
        const struct topology_fault *fault = topology_faults_at(result->warnings, i);
        (void)sl_buffer_printf(&exchange->body, "warning: %s: %s\n", fault->path, fault->text);
    }
    plan_text(&exchange->body, result->plan);
    if (result->version > 0) {
        (void)sl_buffer_printf(&exchange->body, "Applied as version %" PRId64 ".\n",
                               result->version);
    } else if (result->applied) {
        (void)sl_buffer_append_text(&exchange->body, "Applied.\n");
    }
    exchange->status = 200;
    exchange->content_type = "text/plain; charset=utf-8";
}

static void answer_change(struct exchange *exchange, const struct revision_result *result) {
    if (strcmp(exchange->accept, "text/plain") == 0) {
        answer_change_as_text(exchange, result);
        return;
    }
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    json_out_member_bool(&out, "applied", result->applied);
    json_out_key(&out, "version");
    if (result->version > 0) {
        json_out_integer(&out, result->version);
    } else {
        json_out_string(&out, NULL);
    }
    json_out_key(&out, "plan");
    plan_json(&out, result->plan);
    write_warnings(&out, result->warnings);
    json_out_end_object(&out);
    exchange_json(exchange, 200, &out);
}

static void change(struct exchange *exchange, struct json_value *document, const char *text,
                   size_t bytes) {
    struct revision_order order = {
        .document = document, .text = text, .text_bytes = bytes, .answer = answer_change};
    if (exchange_flag(exchange, "dry_run", &order.dry_run)) {
        revision_begin(exchange, &order);
    } else if (exchange->waits) {
        exchange_finish(exchange);
    }
}

void answer_put_topology(struct exchange *exchange) {
    struct arena arena = {0};
    struct json_value *document = exchange_object(exchange, &arena);
    if (document != NULL) {
        change(exchange, document, (const char *)exchange->request_body, exchange->request_bytes);
    }
    arena_free(&arena);
}

/* JSON Merge Patch (RFC 7386) of what GET answers. */
void answer_patch_topology(struct exchange *exchange) {
    struct arena arena = {0};
    const struct json_value *patch = exchange_object(exchange, &arena);
    struct json_value *now = patch == NULL ? NULL : hidden_parse(&arena, exchange->host->topology);
    if (now != NULL) {
        now = json_merge_patch(&arena, now, patch);
    }
    if (patch != NULL && (now == NULL || arena.failed)) {
        exchange_fail(exchange, 500, "memory is short");
    } else if (patch != NULL) {
        change(exchange, now, NULL, 0);
    }
    arena_free(&arena);
}

/* ---- the history ---- */

/* One look into the store, on the thread pool. */
struct look {
    struct exchange *exchange; /* NULL: the endpoint has ended */
    const struct topology *topology;
    struct network *network;
    int64_t number; /* 0: the list */
    bool roll_back;
    uv_work_t work;
    sl_buffer text;
    sl_error *error;
};

static void look_abandoned(struct exchange *exchange) {
    ((struct look *)exchange->waiter)->exchange = NULL;
}

static void look_work(uv_work_t *work) {
    struct look *look = work->data;
    if (look->number > 0) {
        look->error = history_get(look->topology, look->network, look->number, &look->text);
        return;
    }
    struct json_out out = {0};
    look->error = history_list(look->topology, look->network, HISTORY_SHOWN, &out);
    look->text = out.text;
}

/* The document of a version, as if somebody had put it. */
static void roll_back(struct exchange *exchange, const sl_buffer *text) {
    struct arena arena = {0};
    struct json_value *document = json_member(history_parse(&arena, text), "document");
    if (document == NULL || document->kind != JSON_OBJECT) {
        exchange_fail(exchange, 500, "this version holds no document");
        exchange_finish(exchange);
    } else {
        change(exchange, document, NULL, 0);
    }
    arena_free(&arena);
}

static void looked(uv_work_t *work, int status) {
    struct look *look = work->data;
    struct exchange *exchange = look->exchange;
    (void)status;
    if (exchange == NULL) {
        sl_error_free(look->error);
    } else if (look->error != NULL) {
        exchange->abandon = NULL;
        exchange_fail(exchange, sl_error_is(look->error, SL_ERROR_NOT_FOUND) ? 404 : 500, "%s",
                      sl_error_message(look->error));
        sl_error_free(look->error);
        exchange_finish(exchange);
    } else if (look->roll_back) {
        exchange->abandon = NULL;
        roll_back(exchange, &look->text);
    } else {
        struct json_out out = {.text = look->text};
        look->text = (sl_buffer)SL_BUFFER_INIT;
        exchange->abandon = NULL;
        exchange_json(exchange, 200, &out);
        exchange_finish(exchange);
    }
    sl_buffer_free(&look->text);
    free(look);
}

static void look_at(struct exchange *exchange, int64_t number, bool roll_back_to) {
    struct look *look = calloc(1, sizeof(*look));
    if (look == NULL) {
        exchange_fail(exchange, 500, "memory is short");
        return;
    }
    look->exchange = exchange;
    look->topology = exchange->host->topology;
    look->network = exchange->host->network;
    look->number = number;
    look->roll_back = roll_back_to;
    look->work.data = look;
    exchange->abandon = look_abandoned;
    exchange->waiter = look;
    exchange_wait(exchange);
    uv_queue_work(&exchange->host->control.uv, &look->work, look_work, looked);
}

/* False after a 404. */
static bool read_number(struct exchange *exchange, int64_t *number) {
    const char *text = exchange->parts[3];
    if (sl_parse_i64(text, strlen(text), number) && *number > 0) {
        return true;
    }
    exchange_fail(exchange, 404, "the history has no version %s", text);
    return false;
}

void answer_history(struct exchange *exchange) {
    look_at(exchange, 0, false);
}

void answer_version(struct exchange *exchange) {
    int64_t number;
    if (read_number(exchange, &number)) {
        look_at(exchange, number, false);
    }
}

void answer_roll_back(struct exchange *exchange) {
    int64_t number;
    bool dry_run;
    if (exchange_flag(exchange, "dry_run", &dry_run) && read_number(exchange, &number)) {
        look_at(exchange, number, true);
    }
}
