/* Pausing, stopping and resuming nodes: see pause.h. */
#include "host/pause.h"

#include "delivery/assignment.h"
#include "host/reopen.h"
#include "host/restart.h"
#include "host/run.h"

static void call_write(uv_work_t *work) {
    struct host *host = work->data;
    host->store_error = targets_write(host->options->targets);
}

static void targets_written(uv_work_t *work, int status) {
    struct host *host = work->data;
    sl_error *error = host->store_error;
    (void)status;
    host->store_error = NULL;
    host->storing = false;
    if (error == NULL) {
        pause_write_targets(host); /* what was ordered meanwhile */
    } else {
        host_log(host, SL_LOG_WARN, NULL,
                 "which nodes are paused could not be stored, and holds until the process ends: %s",
                 sl_error_message(error));
        sl_error_free(error);
    }
    host_advance(host);
}

void pause_write_targets(struct host *host) {
    struct targets *targets = host->options->targets;
    if (targets == NULL || host->storing || !targets_are_dirty(targets)) {
        return;
    }
    host->store_work.data = host;
    host->storing =
        uv_queue_work(&host->control.uv, &host->store_work, call_write, targets_written) == 0;
}

static sl_error *keep_target(struct host_node *node, enum target target) {
    struct host *host = node->host;
    sl_error *error = host->options->targets == NULL
                          ? NULL
                          : targets_set(host->options->targets, node->spec->name, target);
    if (error == NULL) {
        node->target = target;
        pause_write_targets(host);
    }
    return error;
}

/* It is closed until it is resumed. */
static void closed(struct host_node *node) {
    sl_error_free(node->failure);
    node->failure = NULL;
    node->restart.under_way = node->restart.stops = false;
    node->state = node_resting_state(node);
    host_log(node->host, SL_LOG_INFO, node->spec->name,
             node->state == HOST_NODE_STOPPED ? "stopped" : "paused");
    host_advance(node->host);
}

void pause_left_out(struct host_node *node) {
    bool closes = node->target == TARGET_STOPPED ||
                  (node->target == TARGET_PAUSED && atomic_load(&node->failed));
    if (closes && !node->restart.under_way && !node_is_closed(node)) {
        node->restart.under_way = node->restart.stops = true;
        node_close(node, closed);
    } else if (node->target == TARGET_PAUSED) {
        host_log(node->host, SL_LOG_INFO, node->spec->name, "paused");
    }
}

static sl_error *leave(struct host *host, const char *name, enum target target) {
    struct host_node *node = NULL;
    sl_error *error = restart_find_node(host, name, &node);
    if (error != NULL || node->target == target) {
        return error;
    }
    if (!restart_may_change(node) || host->reload != NULL) {
        return restart_refusal(node, target == TARGET_PAUSED ? "paused" : "stopped");
    }
    error = keep_target(node, target);
    if (error == NULL && !atomic_load(&node->waiting)) {
        return assignment_turn(node);
    }
    if (error == NULL) {
        node->state = node_resting_state(node);
        pause_left_out(node);
    }
    return error;
}

sl_error *host_pause_node(struct host *host, const char *name) {
    return leave(host, name, TARGET_PAUSED);
}

sl_error *host_stop_node(struct host *host, const char *name) {
    return leave(host, name, TARGET_STOPPED);
}

sl_error *host_resume_node(struct host *host, const char *name) {
    struct host_node *node = NULL;
    sl_error *error = restart_find_node(host, name, &node);
    if (error != NULL || node->target == TARGET_RUNNING) {
        return error;
    }
    if (!restart_may_change(node) || host->reload != NULL) {
        return restart_refusal(node, "resumed");
    }
    error = keep_target(node, TARGET_RUNNING);
    if (error != NULL) {
        return error;
    }
    if (!node_is_closed(node) && !atomic_load(&node->failed)) {
        return assignment_turn(node);
    }
    restart_begin(node); /* what was closed is opened and started as by a restart */
    return NULL;
}

void pause_heed_targets(struct host *host) {
    for (size_t n = 0; n < host->n_nodes && host->options->targets != NULL; n++) {
        struct host_node *node = host->nodes[n];
        node->target = targets_get(host->options->targets, node->spec->name);
        if (node->target != TARGET_RUNNING) {
            atomic_store(&node->waiting, true);
            host_log(host, SL_LOG_WARN, node->spec->name,
                     "is %s, as it was told to be; it goes on once it is resumed",
                     node->target == TARGET_PAUSED ? "paused" : "stopped");
        }
    }
}
