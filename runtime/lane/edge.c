/* Edges: the queues of batches between the tasks of one lane, and what makes them full. */
#include "delivery/cycle.h"
#include "delivery/stream.h"
#include "lane/lane.h"

#include <stdlib.h>

/* A node that has taken nothing since its last flush gets one batch, whatever the bound: it could
 * never go on otherwise. */
bool edge_is_full(const struct lane_edge *edge, const struct lane_task *to) {
    return edge->queued_bytes + to->held_bytes >= edge->limit_bytes &&
           (edge->head != NULL || to->rows_since_flush > 0);
}

void edge_note_fill(struct lane_edge *edge, const struct lane_task *to) {
    atomic_store_explicit(&edge->fill_bytes, (int64_t)(edge->queued_bytes + to->held_bytes),
                          memory_order_relaxed);
}

static bool edge_append(struct lane_edge *edge, struct batch *batch) {
    struct batch_link *link = malloc(sizeof(*link));
    if (link == NULL) {
        return false;
    }
    link->next = NULL;
    link->batch = batch;
    *edge->tail = link;
    edge->tail = &link->next;
    edge->queued_bytes += batch->pub.memory_bytes;
    return true;
}

bool edge_push_back(struct lane_edge *edge, struct batch *batch) {
    struct batch_link *link = malloc(sizeof(*link));
    if (link == NULL) {
        return false;
    }
    link->next = edge->head;
    link->batch = batch;
    if (edge->head == NULL) {
        edge->tail = &link->next;
    }
    edge->head = link;
    edge->queued_bytes += batch->pub.memory_bytes;
    return true;
}

struct batch *edge_pop(struct lane_edge *edge) {
    struct batch_link *link = edge->head;
    if (link == NULL) {
        return NULL;
    }
    edge->head = link->next;
    if (edge->head == NULL) {
        edge->tail = &edge->head;
    }
    struct batch *batch = link->batch;
    edge->queued_bytes -= batch->pub.memory_bytes;
    free(link);
    return batch;
}

void edge_clear(struct lane_edge *edge) {
    struct batch *batch;
    while ((batch = edge_pop(edge)) != NULL) {
        batch_release(&batch->pub);
    }
}

void lane_push(struct lane *lane, struct host_node *from, uint32_t output, struct batch *batch) {
    for (size_t i = 0; i < from->n_routes[output]; i++) {
        const struct route *route = &from->routes[output][i];
        struct lane_task *task = &route->to->tasks[lane->index];
        struct lane_edge *edge = &task->inputs[route->input];
        if (atomic_load_explicit(&route->to->failed, memory_order_relaxed)) {
            continue;
        }
        batch_retain(&batch->pub);
        if (!edge_append(edge, batch)) {
            batch_release(&batch->pub);
            task_fail(task, sl_error_no_memory());
            continue;
        }
        edge_note_fill(edge, task);
        if (route->to->has_cycle && edge_is_full(edge, task)) {
            cycle_kick(&route->to->cycle);
        }
        task_ready(task);
    }
    batch_release(&batch->pub);
}
