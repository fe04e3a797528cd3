/* Edges: the queues of batches between the tasks of one lane, and what makes them full. */
#include "delivery/cycle.h"
#include "delivery/stream.h"
#include "lane/branch.h"
#include "lane/lane.h"
#include "lane/tap.h"

#include <stdlib.h>

/* Time full is forgiven after four times as long without. */
enum { FORGIVE = 4 };

/* A node that has taken nothing since its last flush gets one batch, whatever the bound: it could
 * never go on otherwise. */
bool edge_is_full(const struct lane_edge *edge, const struct lane_task *to) {
    return edge->queued_bytes + to->held_bytes >= edge->limit_bytes &&
           (edge->head != NULL || to->rows_since_flush > 0);
}

bool edge_drops(const struct lane_edge *edge) {
    return edge->spec->when_full == TOPOLOGY_DROP_NEWEST ||
           edge->spec->when_full == TOPOLOGY_DROP_OLDEST;
}

/* ---- what others see ---- */

static void store(_Atomic int64_t *number, int64_t value) {
    atomic_store_explicit(number, value, memory_order_relaxed);
}

static void note_full(struct lane_edge *edge, bool full) {
    int64_t since = atomic_load_explicit(&edge->full_since_us, memory_order_relaxed);
    if (full == (since != 0)) {
        return;
    }
    int64_t now = sl_monotonic_us();
    if (full) {
        int64_t forgiven = (now - edge->free_since_us) / FORGIVE;
        edge->debt_us = forgiven < edge->debt_us ? edge->debt_us - forgiven : 0;
        store(&edge->full_since_us, now);
    } else {
        edge->debt_us += now - since;
        edge->free_since_us = now;
        store(&edge->full_us, atomic_load(&edge->full_us) + now - since);
        store(&edge->full_since_us, 0);
    }
}

int64_t edge_debt_us(const struct lane_edge *edge) {
    int64_t since = atomic_load_explicit(&edge->full_since_us, memory_order_relaxed);
    return edge->debt_us + (since != 0 ? sl_monotonic_us() - since : 0);
}

void edge_note_fill(struct lane_edge *edge, const struct lane_task *to) {
    bool holds = to->rows_since_flush > 0 && edge->taken_us != 0;
    int64_t oldest = edge->head != NULL ? edge->head->batch->read_us : 0;
    store(&edge->fill_bytes, (int64_t)(edge->queued_bytes + to->held_bytes));
    store(&edge->waiting_rows, edge->queued_rows);
    store(&edge->oldest_us, holds ? edge->taken_us : oldest);
    note_full(edge, edge_is_full(edge, to));
}

void edges_note_fill(struct lane_task *task) {
    for (size_t i = 0; i < task->object.node->spec->n_inputs; i++) {
        edge_note_fill(&task->inputs[i], task);
    }
}

/* ---- the queue ---- */

bool edge_append(struct lane_edge *edge, struct batch *batch) {
    struct batch_link *link = malloc(sizeof(*link));
    if (link == NULL) {
        return false;
    }
    link->next = NULL;
    link->batch = batch;
    *edge->tail = link;
    edge->tail = &link->next;
    edge->markers = NULL;
    edge->queued_bytes += batch->pub.memory_bytes;
    edge->queued_rows += batch->pub.rows;
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
    edge->queued_rows += batch->pub.rows;
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
    if (edge->markers == link) {
        edge->markers = link->next;
    }
    struct batch *batch = link->batch;
    edge->queued_bytes -= batch->pub.memory_bytes;
    edge->queued_rows -= batch->pub.rows;
    free(link);
    return batch;
}

void edge_clear(struct lane_edge *edge) {
    struct batch *batch;
    while ((batch = edge_pop(edge)) != NULL) {
        batch_release(&batch->pub);
    }
}

/* ---- routing ---- */

void edge_push(struct lane_task *task, struct lane_edge *edge, struct batch *batch) {
    sl_error *error = NULL;
    if (edge_drops(edge)) {
        error = edge_append_or_drop(edge, task, batch);
    } else if (!edge_append(edge, batch)) {
        batch_release(&batch->pub);
        error = sl_error_no_memory();
    }
    if (error != NULL) {
        task_fail(task, error);
        return;
    }
    edge_note_fill(edge, task);
    if (task->object.node->has_cycle && edge_is_full(edge, task)) {
        cycle_kick(&task->object.node->cycle);
    }
    task_ready(task);
}

void lane_push(struct lane *lane, struct host_node *from, uint32_t output, struct batch *batch) {
    struct stream *stream = stream_of(batch->pub.stream);
    uint32_t taps = atomic_load_explicit(&from->tapped[output], memory_order_relaxed);
    if (taps != 0) {
        tap_offer(from, output, taps, batch);
    }
    for (size_t i = 0; i < from->n_routes[output]; i++) {
        const struct route *route = &from->routes[output][i];
        struct lane_task *task = &route->to->tasks[lane->index];
        if (!stream->on_edge[route->edge] ||
            atomic_load_explicit(&route->to->failed, memory_order_relaxed) ||
            atomic_load_explicit(&route->to->waiting, memory_order_relaxed)) {
            continue;
        }
        struct branch *branch =
            stream->branch_by_edge == NULL ? NULL : stream->branch_by_edge[route->edge];
        if (branch != NULL) {
            branch_push(branch, stream, batch);
        } else {
            batch_retain(&batch->pub);
            edge_push(task, &task->inputs[route->input], batch);
        }
    }
    batch_release(&batch->pub);
}
