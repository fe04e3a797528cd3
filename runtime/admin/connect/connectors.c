/*
 * What changes connectors in Kafka Connect's REST API: each request is a change of the topology's
 * document (topology/connector.h), which then goes the way of all changes (revision.h).
 */
#include "admin/change/revision.h"
#include "admin/handlers.h"
#include "topology/connector.h"
#include "topology/edit.h"
#include "topology/hidden.h"

#include <strings.h>

/* A request's document, and what it is made with. */
struct edit {
    struct exchange *exchange;
    struct arena arena;
    struct connectors in;
    struct revision_order order;
};

/* ---- the answers ---- */

static void answer_connector_now(struct exchange *exchange, const struct revision_result *result) {
    if (!connect_write_connector(exchange, result->node, result->is_new ? 201 : 200)) {
        return;
    }
    if (result->is_new) {
        (void)sl_buffer_append_text(&exchange->location, "/connectors/");
        (void)sl_percent_encode(&exchange->location, result->node, strlen(result->node), "");
    }
}

static void answer_deleted(struct exchange *exchange, const struct revision_result *result) {
    (void)result;
    exchange->status = 204;
}

/* ---- the steps ---- */

/* False after an answer. */
static bool begin(struct edit *edit, struct exchange *exchange) {
    struct host *host = exchange->host;
    edit->exchange = exchange;
    edit->in = (struct connectors){.arena = &edit->arena,
                                   .registry = host->options->registry,
                                   .document = hidden_parse(&edit->arena, host->topology),
                                   .lanes = host->n_lanes};
    edit->order = (struct revision_order){
        .document = edit->in.document, .for_connect = true, .answer = answer_connector_now};
    if (edit->in.document == NULL) {
        exchange_fail(exchange, 500, "memory is short");
    }
    return edit->in.document != NULL;
}

/* After the document has been edited: an error (taken) is the answer, else the change begins. */
static void proceed(struct edit *edit, const char *name, sl_error *error) {
    if (error != NULL) {
        bool config = sl_error_is(error, SL_ERROR_CONFIG);
        exchange_fail(edit->exchange, config ? 400 : 500, "%s", sl_error_message(error));
        sl_error_free(error);
    } else {
        edit->order.node = name;
        revision_begin(edit->exchange, &edit->order);
    }
}

static bool is_there(const struct edit *edit, const char *name) {
    enum topology_kind kind;
    return connector_find(&edit->in, name, &kind) != NULL;
}

/* False after a 404. */
static bool must_be_there(const struct edit *edit, const char *name) {
    if (is_there(edit, name)) {
        return true;
    }
    exchange_fail(edit->exchange, 404, "Connector %s not found", name);
    return false;
}

/* Who asks for fewer tasks than there will be is told; it is no fault, since his client may always
 * send it. */
static void warn_of_tasks(const struct edit *edit, const char *name,
                          const struct json_value *config) {
    int64_t tasks;
    if (connector_tasks(config, &tasks) && tasks != 0 && tasks < edit->in.lanes) {
        host_log(
            edit->exchange->host, SL_LOG_WARN, "admin", /* the name is not checked yet */
            "%.200s: tasks.max %lld is without effect: it has a task on each of the %u lanes, of "
            "which the topology's \"lanes\" says how many there are",
            name, (long long)tasks, edit->in.lanes);
    }
}

static void put(struct edit *edit, const char *name, const struct json_value *config) {
    sl_error *error = connector_put(&edit->in, name, config);
    if (error == NULL) {
        warn_of_tasks(edit, name, config);
    }
    proceed(edit, name, error);
}

/* ---- POST /connectors ---- */

/* False after a 400. */
static bool read_target(struct edit *edit, const struct json_value *body) {
    static const char *const names[] = {
        [TARGET_RUNNING] = "RUNNING", [TARGET_PAUSED] = "PAUSED", [TARGET_STOPPED] = "STOPPED"};
    const struct json_value *given = json_member(body, "initial_state");
    if (given == NULL || given->kind == JSON_NULL) {
        return true;
    }
    for (size_t i = 0; given->kind == JSON_STRING && i < SL_ARRAY_LENGTH(names); i++) {
        if (strcasecmp(given->text, names[i]) == 0) {
            edit->order.target = (enum target)i;
            return true;
        }
    }
    exchange_fail(edit->exchange, 400,
                  "initial_state is %s; allowed are RUNNING, PAUSED and STOPPED",
                  given->kind == JSON_STRING ? given->text : json_kind_name(given->kind));
    return false;
}

static void create(struct edit *edit, const struct json_value *body) {
    const struct json_value *name = json_member(body, "name");
    const struct json_value *config = json_member(body, "config");
    if (name == NULL || name->kind != JSON_STRING) {
        exchange_fail(edit->exchange, 400, "\"name\" is missing, or no string");
    } else if (config == NULL || config->kind != JSON_OBJECT) {
        exchange_fail(edit->exchange, 400, "\"config\" is missing, or no object");
    } else if (is_there(edit, name->text)) {
        exchange_fail(edit->exchange, 409, "Connector %s already exists", name->text);
    } else if (read_target(edit, body)) {
        put(edit, name->text, config);
    }
}

void answer_create(struct exchange *exchange) {
    struct edit edit = {0};
    const struct json_value *body = exchange_object(exchange, &edit.arena);
    if (body != NULL && begin(&edit, exchange)) {
        create(&edit, body);
    }
    arena_free(&edit.arena);
}

/* ---- one connector ---- */

void answer_put_config(struct exchange *exchange) {
    struct edit edit = {0};
    const char *name = exchange->parts[1];
    const struct json_value *config = exchange_object(exchange, &edit.arena);
    if (config != NULL && begin(&edit, exchange)) {
        put(&edit, name, config);
    }
    arena_free(&edit.arena);
}

/* KIP-477: members that are null are taken away, the others set. */
void answer_patch_config(struct exchange *exchange) {
    struct edit edit = {0};
    const char *name = exchange->parts[1];
    const struct json_value *patch = exchange_object(exchange, &edit.arena);
    if (patch != NULL && begin(&edit, exchange) && must_be_there(&edit, name)) {
        struct json_value *config = NULL;
        sl_error *error = connector_config(&edit.in, name, &config);
        if (error == NULL) {
            config = json_merge_patch(&edit.arena, config, patch);
            error = config == NULL ? sl_error_no_memory() : NULL;
        }
        if (error == NULL) {
            put(&edit, name, config);
        } else {
            proceed(&edit, name, error);
        }
    }
    arena_free(&edit.arena);
}

void answer_delete(struct exchange *exchange) {
    struct edit edit = {0};
    const char *name = exchange->parts[1];
    if (begin(&edit, exchange) && must_be_there(&edit, name)) {
        edit.order.answer = answer_deleted;
        proceed(&edit, name, connector_remove(&edit.in, name));
    }
    arena_free(&edit.arena);
}
