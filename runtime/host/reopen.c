/* See reopen.h. */
#include "host/reopen.h"

#include "delivery/assignment.h"
#include "delivery/cycle.h"
#include "host/restart.h"
#include "host/run.h"

static void ask_tasks(struct host_node *node, void (*run)(void *task)) {
    node->reopening.outstanding = node->host->n_lanes;
    for (uint32_t i = 0; i < node->host->n_lanes; i++) {
        struct lane_task *task = &node->tasks[i];
        loop_post(&task->lane->loop, &task->drain_message, run, task);
    }
}

/* ---- closing ---- */

static void closed(void *arg) {
    struct host_node *node = arg;
    assignment_forget_owner(node, false); /* what it asked for while it was told to close */
    node->reopening.closed(node);
}

static void call(struct host_node *node, void (*op)(sl_node *node)) {
    if (op != NULL && node->opened->node != NULL) {
        struct object_clock clock = object_enter(&node->object);
        op(node->opened->node);
        object_leave(&node->object, clock);
    }
}

bool node_close_plugin(struct host_node *node, void (*again)(void *node)) {
    if (!object_is_idle(&node->object, &node->start_message, again, node)) {
        call(node, node->ops->closing);
        return false;
    }
    call(node, node->ops->close);
    node->opened->node = NULL;
    return true;
}

static void close_plugin(void *arg) {
    struct host_node *node = arg;
    if (!node_close_plugin(node, close_plugin)) {
        return;
    }
    object_reset_gauges(&node->object);
    loop_post(&node->host->control, &node->start_message, closed, node);
}

static void task_is_shut(void *arg) {
    struct host_node *node = arg;
    if (--node->reopening.outstanding == 0) {
        assignment_forget_owner(node, true);
        node->reopening.closes = true;
        loop_post(node->object.loop, &node->start_message, close_plugin, node);
    }
}

static void shut_task(void *arg) {
    struct lane_task *task = arg;
    if (!object_is_idle(&task->object, &task->drain_message, shut_task, task)) {
        return;
    }
    task_shut(task);
    loop_post(&task->object.host->control, &task->drain_message, task_is_shut, task->object.node);
}

/* No flush and no commit is under way. */
static void quiet(void *arg) {
    ask_tasks(arg, shut_task);
}

static void end_cycle(struct host_node *node) {
    node->reopening.waiter = (struct cycle_waiter){.then = quiet, .arg = node};
    if (node->has_cycle) {
        cycle_finish(&node->cycle, false, &node->reopening.waiter);
    } else {
        quiet(node);
    }
}

void node_close(struct host_node *node, void (*then)(struct host_node *node)) {
    atomic_store(&node->failed, true); /* lanes pass it by */
    host_release_lanes(node->host);
    node->reopening.closed = then;
    node->reopening.waits = node->unanswered > 0;
    if (!node->reopening.waits) {
        end_cycle(node);
    }
}

void node_answered(struct host_node *node) {
    if (node->unanswered > 0) {
        return;
    }
    if (node->reopening.waits) {
        node->reopening.waits = false;
        end_cycle(node);
    } else if (node->state == HOST_NODE_FAILED) {
        restart_after_failure(node);
    }
}

/* ---- opening ---- */

static void all_open(struct host_node *node) {
    sl_error *error = node->reopening.error;
    node->reopening.error = NULL;
    node->reopening.opened(node, error);
}

static void task_opened(void *arg) {
    struct lane_task *task = arg;
    struct host_node *node = task->object.node;
    if (node->reopening.error == NULL) {
        node->reopening.error = task->open_error;
    } else {
        sl_error_free(task->open_error);
    }
    task->open_error = NULL;
    if (--node->reopening.outstanding == 0) {
        all_open(node);
    }
}

static void open_task(void *arg) {
    struct lane_task *task = arg;
    task->open_error = task->has_timer ? task_reopen(task) : task_open(task);
    loop_post(&task->object.host->control, &task->drain_message, task_opened, task);
}

static void plugin_opened(void *arg) {
    struct host_node *node = arg;
    if (node->reopening.error != NULL) {
        all_open(node);
    } else {
        ask_tasks(node, open_task);
    }
}

static sl_object *own_object(void *arg, size_t index) {
    (void)index;
    return &((struct host_node *)arg)->object;
}

/* On the node's loop. */
static void open_plugin(void *arg) {
    struct host_node *node = arg;
    struct graph_options options = host_graph_options(node->host);
    options.object = own_object;
    options.object_arg = node;
    struct object_clock clock = object_enter(&node->object);
    node->reopening.error = graph_open_node(node->opened, &options);
    object_leave(&node->object, clock);
    loop_post(&node->host->control, &node->start_message, plugin_opened, node);
}

void node_open(struct host_node *node, void (*then)(struct host_node *node, sl_error *error)) {
    node->reopening.opened = then;
    node->reopening.closes = false;
    loop_post(node->object.loop, &node->start_message, open_plugin, node);
}
