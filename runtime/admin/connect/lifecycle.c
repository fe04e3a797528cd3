/*
 * Restarting, pausing, stopping and resuming, as Kafka Connect's clients order it. A node is
 * restarted whole: its lanes' tasks share what it has opened, so a task's restart is its node's.
 */
#include "admin/handlers.h"

/* Gives the host an order; false after a 409. */
static bool order(struct exchange *exchange, const struct host_node *node,
                  sl_error *(*give)(struct host *host, const char *name)) {
    sl_error *error = give(exchange->host, node->spec->name);
    if (error == NULL) {
        return true;
    }
    exchange_fail(exchange, sl_error_is(error, SL_ERROR_CONFLICT) ? 409 : 500, "%s",
                  sl_error_message(error));
    sl_error_free(error);
    return false;
}

/* ---- restart ---- */

/* 204 by itself; 202 and the status when includeTasks or onlyFailed was asked for (KIP-745). */
void answer_restart(struct exchange *exchange) {
    struct host_node *node = exchange_node(exchange);
    bool include_tasks;
    bool only_failed;
    if (node == NULL || !exchange_flag(exchange, "includeTasks", &include_tasks) ||
        !exchange_flag(exchange, "onlyFailed", &only_failed)) {
        return;
    }
    bool wanted = !only_failed || node->state == HOST_NODE_FAILED;
    if (wanted && !order(exchange, node, host_restart_node)) {
        return;
    }
    if (include_tasks || only_failed) {
        answer_status(exchange);
        exchange->status = 202;
    } else {
        exchange->status = 204;
    }
}

void answer_task_restart(struct exchange *exchange) {
    struct host_node *node = exchange_node(exchange);
    int64_t task;
    if (node != NULL && exchange_task(exchange, node, &task) &&
        order(exchange, node, host_restart_node)) {
        exchange->status = 204;
    }
}

/* ---- pause, stop, resume ---- */

static void answer_order(struct exchange *exchange,
                         sl_error *(*give)(struct host *host, const char *name)) {
    const struct host_node *node = exchange_node(exchange);
    if (node != NULL && order(exchange, node, give)) {
        exchange->status = 202;
    }
}

void answer_pause(struct exchange *exchange) {
    answer_order(exchange, host_pause_node);
}

void answer_stop(struct exchange *exchange) {
    answer_order(exchange, host_stop_node);
}

void answer_resume(struct exchange *exchange) {
    answer_order(exchange, host_resume_node);
}
