/* See attach.h. */
#include "delivery/attach.h"

#include "delivery/cycle.h"
#include "host/run.h"
#include "lane/branch.h"

#include <stdlib.h>

static void answer(void *arg) {
    struct stream *stream = arg;
    sl_error *error = stream->then_error;
    stream->then_error = NULL;
    stream->then(stream->then_arg, error);
}

static void answer_control(struct stream *stream, sl_error *error) {
    stream->then_error = error;
    loop_post(&stream->host->control, &stream->lane_message, answer, stream);
}

static void ask_lane(struct stream *stream, void (*run)(void *), attach_done done, void *arg) {
    stream->then = done;
    stream->then_arg = arg;
    loop_post(&stream->lane->loop, &stream->lane_message, run, stream);
}

/* ---- attaching ---- */

/* The task takes the handle, if it takes any. */
static sl_error *attach_task(struct stream *stream, struct lane_task *task, uint32_t input,
                             int64_t offset, struct reader *reader, void **handle) {
    const struct host_node *node = task->object.node;
    if (node->task_ops->attach == NULL) {
        return NULL;
    }
    const sl_attach how = {.struct_bytes = sizeof(how),
                           .input = input,
                           .offset = offset,
                           .position = reader != NULL ? reader->stored : SL_OFFSET_NONE,
                           .handle = handle != NULL ? *handle : NULL};
    if (handle != NULL) {
        *handle = NULL;
    }
    struct object_clock clock = object_enter(&task->object);
    sl_error *error = node->task_ops->attach(task->plugin, &stream->pub, &how);
    object_leave(&task->object, clock);
    return error;
}

static void set_covered_outputs(struct stream *stream) {
    for (size_t i = 0; i < stream->n_all_outputs; i++) {
        stream->emitted_to[i] = stream->offset;
    }
    atomic_store_explicit(&stream->next_offset, stream->offset, memory_order_relaxed);
}

/* A task that cannot take the stream fails its node; the others go on. */
static void attach_edge(struct stream *stream, size_t i) {
    struct lane_task *task = stream->edge_tasks[i];
    struct reader *reader = stream->reader_by_edge[stream->edges[i]->index];
    uint32_t input = (uint32_t)(stream->edges[i] - task->inputs);
    if (atomic_load(&task->object.node->failed)) {
        return;
    }
    sl_error *error = reader != NULL ? task_add_reader(task, reader) : NULL;
    if (error == NULL) {
        int64_t offset =
            reader != NULL ? reader->begins : branches_begin(stream, stream->edges[i]->index);
        error = attach_task(stream, task, input, offset, reader,
                            reader != NULL ? &reader->handle : NULL);
        stream->told[i] = error == NULL;
    }
    if (error != NULL) {
        task_fail(task, sl_error_wrap(error, "attaching %s partition %d", stream->topic,
                                      (int)stream->pub.partition));
    }
}

sl_error *attach_path(struct stream *stream, void **handle) {
    sl_error *error = NULL;
    set_covered_outputs(stream);
    stream->entered = true;
    /* edges are in topological order: from the last to the first, readers are ready before writers
     */
    for (size_t i = stream->n_edges; i-- > 0;) {
        attach_edge(stream, i);
    }
    if (stream->owner->spec->kind == TOPOLOGY_SOURCE) {
        struct lane_task *source = &stream->owner->tasks[stream->lane->index];
        error = attach_task(stream, source, 0, stream->offset, NULL, handle);
        if (error == NULL) {
            stream->source = source;
        }
    }
    if (error == NULL && (stream->source != NULL || stream->fed != NULL)) {
        error = lane_add_stream(stream->lane, stream);
    }
    stream->attached = error == NULL;
    return error;
}

static void attach_on_lane(void *arg) {
    struct stream *stream = arg;
    sl_error *error = attach_path(stream, &stream->handle);
    if (error == NULL) {
        branches_attach(stream);
    }
    answer_control(stream, error);
}

void attach_stream(struct stream *stream, attach_done done, void *arg) {
    ask_lane(stream, attach_on_lane, done, arg);
}

/* ---- stopping, detaching ---- */

static bool path_is_empty(const struct stream *stream) {
    for (size_t i = 0; i < stream->n_edges; i++) {
        const struct lane_task *task = stream->edge_tasks[i];
        if (stream->edges[i]->head != NULL && !atomic_load(&task->object.node->failed)) {
            return false;
        }
    }
    return true;
}

/* Answers once what was read of the stream has gone its way: a flush after that has it all. */
static void stop_on_lane(void *arg) {
    struct stream *stream = arg;
    lane_remove_stream(stream->lane, stream);
    branches_stop(stream);
    stream->next_stopping = stream->lane->stopping;
    stream->lane->stopping = stream;
    lane_spin(stream->lane);
}

static void answer_stopped(struct lane *lane, bool all) {
    struct stream **at = &lane->stopping;
    while (*at != NULL) {
        struct stream *stream = *at;
        if (all || path_is_empty(stream)) {
            *at = stream->next_stopping;
            answer_control(stream, NULL);
        } else {
            at = &stream->next_stopping;
        }
    }
}

void attach_look_at_stopping(struct lane *lane) {
    answer_stopped(lane, false);
}

static void stop_waiting(void *arg) {
    answer_stopped(arg, true);
}

void attach_stop_waiting(struct host *host) {
    for (uint32_t i = 0; i < host->n_lanes; i++) {
        sl_error_free(loop_post_new(&host->lanes[i].loop, stop_waiting, &host->lanes[i]));
    }
}

void stop_stream(struct stream *stream, attach_done done, void *arg) {
    ask_lane(stream, stop_on_lane, done, arg);
}

static void detach_task(struct stream *stream, struct lane_task *task) {
    if (task->opened && task->object.node->task_ops->detach != NULL) {
        struct object_clock clock = object_enter(&task->object);
        task->object.node->task_ops->detach(task->plugin, &stream->pub);
        object_leave(&task->object, clock);
    }
}

struct suspension {
    struct host_node *node;
    struct stream *stream;
};

static void suspend(void *arg) {
    struct suspension *suspension = arg;
    struct host_node *node = suspension->node;
    if (node->opened->node != NULL) { /* else it could not be opened again */
        struct object_clock clock = object_enter(&node->object);
        node->ops->suspend(node->opened->node, &suspension->stream->pub);
        object_leave(&node->object, clock);
    }
    stream_let_go(suspension->stream);
    free(suspension);
}

void attach_suspend_node(struct host_node *node, struct stream *stream) {
    if (node->ops->suspend == NULL) {
        return;
    }
    stream_use(stream); /* without memory to tell the node the stream stays: it may name it */
    struct suspension *suspension = malloc(sizeof(*suspension));
    if (suspension == NULL) {
        return;
    }
    *suspension = (struct suspension){node, stream};
    sl_error *error = loop_post_new(node->object.loop, suspend, suspension);
    if (error != NULL) {
        sl_error_free(error);
        free(suspension);
    }
}

void detach_path(struct stream *stream) {
    lane_remove_stream(stream->lane, stream);
    stream->attached = false;
    if (stream->n_branches > 0) {
        lane_spin(stream->lane); /* nobody waits any more for those that were apart */
    }
    if (stream->source != NULL) {
        detach_task(stream, stream->source);
    }
    for (size_t i = 0; i < stream->n_edges; i++) {
        struct reader *reader = stream->reader_by_edge[stream->edges[i]->index];
        if (reader != NULL) {
            task_remove_reader(stream->edge_tasks[i], reader);
        }
        if (stream->told[i]) {
            stream->told[i] = stream->held[i] = false;
            detach_task(stream, stream->edge_tasks[i]);
        }
    }
    for (size_t r = 0; r < stream->n_readers; r++) {
        attach_suspend_node(stream->readers[r].node, stream);
    }
    if (stream->fed == NULL || stream->source != NULL) {
        attach_suspend_node(stream->owner, stream);
    }
    stream->source = NULL;
}

/* Not while a plugin is busy with one of its feeds: the answer would come to a stream that is gone.
 */
static void detach_on_lane(void *arg) {
    struct stream *stream = arg;
    branches_stop(stream);
    stream->detach_waits = branches_are_busy(stream);
    if (!stream->detach_waits) {
        detach_path(stream);
        answer_control(stream, NULL);
    }
}

void attach_branch_idle(struct stream *stream) {
    if (stream->detach_waits && !branches_are_busy(stream)) {
        detach_on_lane(stream);
    }
}

void detach_stream(struct stream *stream, attach_done done, void *arg) {
    ask_lane(stream, detach_on_lane, done, arg);
}
