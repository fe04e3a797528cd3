/*
 * The course of a run: start nodes → open tasks → run → (end of data, signal or failure) → drain in
 * topological order → close. Everything here happens on the control loop, in steps that wait for
 * answers of the other loops. A node that fails at its start is FAILED as one that fails later: the
 * others go on.
 */
#include "host/run.h"

#include "admin/server.h"
#include "delivery/assignment.h"
#include "delivery/cycle.h"
#include "delivery/stream.h"
#include "host/allocator.h"
#include "host/build.h"
#include "host/crash.h"
#include "host/pause.h"
#include "host/reload.h"
#include "host/reopen.h"
#include "host/restart.h"
#include "host/snapshot_take.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_AT_STARTS_MS = 250 };

static void host_close(struct host *host);

const struct topology *host_topology(const struct host *host) {
    return host->topology;
}

static void log_text(struct host *host, sl_log_level level, const char *node, const char *text) {
    if (level <= SL_LOG_INFO && host->events != NULL) {
        events_add(host->events, level, node, text);
    }
    if (host->options->log != NULL) {
        host->options->log(host->options->log_arg, level, node, text);
    }
}

void host_log(struct host *host, sl_log_level level, const char *node, const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (atomic_load(&host->reloads) == NULL) {
        log_text(host, level, node, text);
        return;
    }
    sl_buffer masked = SL_BUFFER_INIT; /* the caller knows the first topology's secrets only */
    (void)sl_buffer_append_text(&masked, text);
    reload_mask(host, &masked);
    const char *shown = sl_buffer_text(&masked);
    log_text(host, level, node, shown == NULL ? "***" : shown);
    sl_buffer_free(&masked);
}

/* ---- failures ---- */

static bool all_sinks_failed(const struct host *host) {
    bool any = false;
    for (size_t n = 0; n < host->n_nodes; n++) {
        const struct host_node *node = host->nodes[n];
        if (node->spec->kind == TOPOLOGY_SINK) {
            if (node->state != HOST_NODE_FAILED || node->restart.pending ||
                node->restart.under_way) {
                return false;
            }
            any = true;
        }
    }
    return any;
}

static void look_again(void *arg) {
    struct lane *lane = arg;
    for (size_t n = 0; n < host_count_all(lane->host); n++) {
        struct lane_task *task = &lane->host->all[n]->tasks[lane->index];
        if (task->lane == NULL) {
            continue; /* of a node that could not be made */
        }
        task_ready(task);
        if (atomic_load(&task->object.node->failed)) {
            host_charge(lane->host, -(int64_t)task->held_bytes);
            task->held_bytes = 0;
            edges_note_fill(task);
        }
    }
    lane_spin(lane);
}

/* Streams that a full edge of the failed node held back may go on, what waits before the node is
 * dropped, and its memory holds no reading back. */
void host_release_lanes(struct host *host) {
    for (uint32_t i = 0; i < host->n_lanes; i++) {
        sl_error_free(loop_post_new(&host->lanes[i].loop, look_again, &host->lanes[i]));
    }
}

/* The run's error is that of the node that failed first, of those that have not come back. */
static void note_error(struct host *host) {
    const struct host_node *first = NULL;
    for (size_t n = 0; n < host->n_nodes; n++) {
        const struct host_node *node = host->nodes[n];
        if (node->failure != NULL && (first == NULL || node->failed_us < first->failed_us)) {
            first = node;
        }
    }
    if (first != NULL && host->error == NULL) {
        host->error = sl_error_new(sl_error_get_class(first->failure), "node %s failed: %s",
                                   first->spec->name, sl_error_message(first->failure));
    }
}

/* Takes the error; the first one counts. */
static void set_failed(struct host_node *node, sl_error *error) {
    atomic_store(&node->failed, true);
    if (node->failure != NULL) {
        sl_error_free(error);
        return;
    }
    node->failure = error;
    node->state = HOST_NODE_FAILED;
    node->failures++;
    node->failed_us = sl_monotonic_us();
    host_log(node->host, SL_LOG_ERROR, node->spec->name, "FAILED: %s", sl_error_message(error));
}

static void note_failure(void *arg) {
    struct host_node *node = arg;
    struct host *host = node->host;
    bool known = node->failure != NULL;
    set_failed(node, atomic_exchange(&node->reported, NULL));
    if (!known && host->started) { /* else its restart waits for the others' start */
        restart_after_failure(node);
    }
    if (!known && !host->finished) {
        host_release_lanes(host);
    }
    host_advance(host);
}

void host_node_failed(struct host_node *node, sl_error *error) {
    sl_error *none = NULL;
    bool first = atomic_compare_exchange_strong(&node->reported, &none, error);
    atomic_store(&node->failed, true);
    if (first) {
        loop_post(&node->host->control, &node->reported_message, note_failure, node);
    } else {
        sl_error_free(error);
    }
}

/* ---- draining ---- */

static void stop_polling(void *arg) {
    lane_stop_polling(arg);
}

void host_drain(struct host *host) {
    if (host->draining) {
        return;
    }
    host->draining = true;
    host_hurry(host);
    assignment_hurry(host);
    if (!host->started) {
        return; /* seen once the start is through */
    }
    for (uint32_t i = 0; i < host->n_lanes; i++) {
        loop_post(&host->lanes[i].loop, &host->lanes[i].message, stop_polling, &host->lanes[i]);
    }
    host_advance(host);
}

static void tell_drained(void *arg) {
    struct host_node *node = arg;
    if (node->opened->node == NULL) {
        return; /* it could not be opened again */
    }
    struct object_clock clock = object_enter(&node->object);
    node->ops->drained(node->opened->node);
    object_leave(&node->object, clock);
}

static void open_again(struct host_node *node) {
    node->drain = DRAIN_OPEN;
    node->reopens = false;
    if (node->failure == NULL) {
        node->state = node_resting_state(node);
    }
    if (node->has_cycle) {
        cycle_reopen(&node->cycle);
    }
}

static bool is_or_is_below(const struct host_node *node, const struct host_node *above) {
    bool found = node == above;
    for (size_t i = 0; i < node->spec->n_inputs && !found; i++) {
        found = is_or_is_below(node->tasks[0].inputs[i].from, above);
    }
    return found;
}

static void reopen_from(struct host_node *owner) {
    struct host *host = owner->host;
    for (size_t n = 0; n < host->n_nodes; n++) {
        struct host_node *node = host->nodes[n];
        if (node->drain == DRAIN_OPEN || !is_or_is_below(node, owner)) {
            continue;
        }
        if (node->drain == DRAIN_DONE) {
            open_again(node);
        } else {
            node->reopens = true;
        }
    }
}

void host_reopen(struct host_node *reader) {
    struct host *host = reader->host;
    for (size_t s = 0; s < host->n_streams && !host->draining && !host->finished; s++) {
        struct stream *stream = host->streams[s];
        if (stream_flows_to(stream, reader)) {
            reopen_from(stream->owner);
        }
    }
}

/* A source hears of it also when it has failed: whoever feeds what it reads need not wait for it.
 */
static void node_drained(struct host_node *node) {
    if (node->reopens && !node->host->draining) {
        open_again(node);
        return;
    }
    node->drain = DRAIN_DONE;
    bool failed = node->state == HOST_NODE_FAILED;
    bool source = node->spec->kind == TOPOLOGY_SOURCE;
    if (node->state == HOST_NODE_WAITING) {
        host_log(node->host, SL_LOG_WARN, node->spec->name,
                 "has waited until the end: what it has not read, it reads in a run that has all "
                 "partitions of its sources");
    } else if (!failed || source) {
        node->state = failed ? HOST_NODE_FAILED : HOST_NODE_DRAINED;
        if (node->ops->drained != NULL && !node->told_drained) {
            node->told_drained = true;
            loop_post(node->object.loop, &node->drained_message, tell_drained, node);
        }
    }
    host_log(node->host, SL_LOG_DEBUG, node->spec->name, "drained");
}

static void cycle_finished(void *arg) {
    struct host_node *node = arg;
    node_drained(node);
    host_advance(node->host);
}

static void task_empty_on_control(void *arg) {
    struct host_node *node = arg;
    if (--node->emptying > 0) {
        return;
    }
    bool reopens = node->reopens && !node->host->draining;
    if (node->cycle.held && !reopens) {
        node->drain = DRAIN_OPEN; /* drained again once its streams are detached */
    } else if (node->has_cycle && !reopens) {
        node->drain = DRAIN_COMMITTING;
        node->drain_waiter = (struct cycle_waiter){.then = cycle_finished, .arg = node};
        cycle_finish(&node->cycle, true, &node->drain_waiter);
    } else {
        node_drained(node);
        host_advance(node->host);
    }
}

void host_task_empty(struct lane_task *task) {
    loop_post(&task->object.host->control, &task->drain_message, task_empty_on_control,
              task->object.node);
}

static void drain_node(struct host_node *node) {
    if (node->spec->kind == TOPOLOGY_SOURCE) {
        node_drained(node);
        return;
    }
    node->drain = DRAIN_EMPTYING;
    node->emptying = node->host->n_lanes;
    for (uint32_t i = 0; i < node->host->n_lanes; i++) {
        struct lane_task *task = &node->tasks[i];
        loop_post(&task->lane->loop, &task->drain_message, task_drain, task);
    }
}

static bool input_has_ended(const struct host_node *node) {
    if (atomic_load(&node->reported) != NULL) {
        return false; /* lanes have ended its streams; it may be restarted */
    }
    if (node->spec->kind == TOPOLOGY_SOURCE) {
        bool whole = node->all_assigned || node->host->draining || atomic_load(&node->failed);
        return whole && node->open_streams == 0 && assignment_is_idle(node->host);
    }
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        if (node->tasks[0].inputs[i].from->drain != DRAIN_DONE) {
            return false;
        }
    }
    /* its own streams may be away to be assigned again, which a node that drains is refused */
    return (node->flags & SL_ROLE_OWNS_STREAMS) == 0 || assignment_is_idle(node->host);
}

static void close_finished(void *arg) {
    host_close(arg);
}

static void shutdown_passed(void *arg);

static bool owe_answers(const struct host *host) {
    bool owe = host->unheard != NULL;
    for (size_t n = 0; n < host->n_nodes; n++) {
        owe = owe || host->nodes[n]->unanswered > 0;
    }
    return owe;
}

/* Nobody can be closed who still has something to answer. */
static void wait_for_answers(struct host *host) {
    if (!host->shutdown.is_set) {
        host_log(host, SL_LOG_WARN, NULL,
                 "all is committed, but a node has still to answer what it was asked: it is waited "
                 "for until shutdown.timeout");
        watchdog_set(&host->shutdown, host->settings->shutdown_timeout_us, shutdown_passed, host);
    }
}

void host_advance(struct host *host) {
    if (!host->started || host->finished) {
        return;
    }
    if (!host->draining && all_sinks_failed(host)) {
        host_drain(host); /* which goes on from here */
        return;
    }
    bool done = !restart_holds_end(host);
    for (size_t n = 0; done && n < host->n_nodes; n++) {
        struct host_node *node = host->nodes[n];
        if (node->drain == DRAIN_OPEN && input_has_ended(node)) {
            drain_node(node);
        }
    }
    for (size_t n = 0; n < host->n_nodes; n++) {
        done = done && host->nodes[n]->drain == DRAIN_DONE;
    }
    if (done && assignment_is_idle(host) && owe_answers(host)) {
        wait_for_answers(host);
    } else if (done && assignment_is_idle(host)) {
        host->finished = true;
        /* behind failures that are on their way: the last report tells of them */
        loop_post(&host->control, &host->end_message, close_finished, host);
    }
}

/* ---- starting ---- */

/* Who did not start, or whose tasks did not open, is as one that fails later. */
static void begin_node(struct host_node *node) {
    if (node->restart.not_yet != NULL && node->failure == NULL) {
        restart_start_late(node);
        return;
    }
    if (node->failure != NULL) {
        restart_after_failure(node);
    } else {
        node->state = node_resting_state(node);
        if (node->has_cycle) {
            cycle_start(&node->cycle);
        }
    }
    if (node->target == TARGET_STOPPED ||
        (node->target == TARGET_PAUSED && node->failure != NULL)) {
        pause_left_out(node);
    }
}

static void began(struct host *host) {
    host->started = true;
    for (size_t n = 0; n < host->n_nodes; n++) {
        begin_node(host->nodes[n]);
    }
    if (host->draining) {
        host->draining = false;
        host_drain(host);
    }
    host->has_begun = true;
    if (host->options->began != NULL) {
        host->options->began(host->options->began_arg, host);
    }
    assignment_continue(host);
    host_advance(host);
}

static void call_begin(uv_work_t *work) {
    struct host *host = work->data;
    host->error = host->options->begin(host->options->begin_arg);
}

static void begin_called(uv_work_t *work, int status) {
    struct host *host = work->data;
    (void)status;
    if (host->error != NULL) {
        host_close(host);
    } else {
        began(host);
    }
}

/* All is there and nothing has been read. */
static void begin(struct host *host) {
    if (host->options->begin == NULL) {
        began(host);
        return;
    }
    host->begin_work.data = host;
    int status = uv_queue_work(&host->control.uv, &host->begin_work, call_begin, begin_called);
    if (status != 0) {
        host->error = sl_error_new(SL_ERROR_FATAL, "cannot queue work: %s", uv_strerror(status));
        host_close(host);
    }
}

static void note_open_errors(struct host_node *node) {
    for (uint32_t i = 0; i < node->host->n_lanes; i++) {
        struct lane_task *task = &node->tasks[i];
        if (task->open_error != NULL) {
            set_failed(node, sl_error_wrap(task->open_error, "cannot open a task"));
            task->open_error = NULL;
            node->restart.first = false;
        }
    }
}

static void lane_opened(void *arg) {
    struct host *host = arg;
    if (--host->outstanding > 0) {
        return;
    }
    for (size_t n = 0; n < host->n_nodes; n++) {
        note_open_errors(host->nodes[n]);
    }
    begin(host);
}

static void open_tasks(void *arg) {
    struct lane *lane = arg;
    struct host *host = lane->host;
    for (size_t n = host->n_nodes; n-- > 0;) {
        struct lane_task *task = &host->nodes[n]->tasks[lane->index];
        if (!atomic_load(&host->nodes[n]->failed) || host->nodes[n]->restart.first) {
            task->open_error = task_open(task);
        }
    }
    loop_post(&host->control, &lane->message, lane_opened, host);
}

static void all_started(struct host *host) {
    uv_timer_stop(&host->starting);
    host->outstanding = host->n_lanes;
    for (uint32_t i = 0; i < host->n_lanes; i++) {
        loop_post(&host->lanes[i].loop, &host->lanes[i].message, open_tasks, &host->lanes[i]);
    }
}

static void call_start(void *arg) {
    struct host_node *node = arg;
    if (node->ops->start == NULL) {
        host_done(&node->start, NULL);
        return;
    }
    struct object_clock clock = object_enter(&node->object);
    node->ops->start(node->opened->node, &node->start);
    object_leave(&node->object, clock);
}

void host_start_node(struct host_node *node, void (*finish)(sl_request *request, sl_error *error)) {
    node->start.home = &node->host->control;
    node->start.finish = finish;
    loop_post(node->object.loop, &node->start_message, call_start, node);
}

static void node_started(sl_request *request, sl_error *error);

static void start_first(void *arg) {
    struct host_node *node = arg;
    node->start_asked_us = sl_monotonic_us();
    host_start_node(node, node_started);
}

static void start_is_through(struct host *host) {
    if (--host->outstanding == 0) {
        all_started(host);
    }
}

static void answered_late(sl_request *request, sl_error *error) {
    struct host_node *node =
        (struct host_node *)(void *)((char *)request - offsetof(struct host_node, start));
    sl_error_free(error);
    host_log(node->host, SL_LOG_INFO, node->spec->name, "has answered at last: start");
    node->unanswered--;
    node_answered(node);
    host_advance(node->host);
}

/* Who does not answer has FAILED after a while, and the others begin. */
static void look_at_starts(uv_timer_t *timer) {
    struct host *host = timer->data;
    int64_t patience_us = assignment_patience_us(host);
    for (size_t n = 0; n < host->n_nodes; n++) {
        struct host_node *node = host->nodes[n];
        int64_t waited_us = sl_monotonic_us() - node->start_asked_us;
        if (node->start_asked_us == 0 || waited_us < patience_us) {
            continue;
        }
        node->start_asked_us = 0;
        node->start.finish = answered_late;
        node->unanswered++;
        set_failed(node, sl_error_new(SL_ERROR_FATAL,
                                      "cannot start: it has not answered for %.3g s, and the "
                                      "others go on without it; once it has answered it can be "
                                      "restarted. If it needs longer, raise retry.timeout",
                                      (double)waited_us / 1e6));
        start_is_through(host);
    }
}

static void node_started(sl_request *request, sl_error *error) {
    struct host_node *node =
        (struct host_node *)(void *)((char *)request - offsetof(struct host_node, start));
    struct host *host = node->host;
    node->start_asked_us = 0;
    bool late = error != NULL && restart_is_late(node, error);
    if (error != NULL && !late &&
        host_try_again(host, &node->start_retry, node->spec->name, "start", error, start_first,
                       node)) {
        return;
    }
    if (!late) {
        node->start_retry = (struct retry){0};
    }
    if (error != NULL && !late) {
        set_failed(node, sl_error_wrap(error, "cannot start"));
    }
    node->has_started = error == NULL;
    start_is_through(host);
}

static void start_nodes(struct host *host) {
    for (size_t n = 0; n < host->n_nodes && host->error == NULL; n++) {
        host->error = assignment_add_own(host->nodes[n]);
    }
    if (host->error != NULL) {
        host_close(host);
        return;
    }
    host->outstanding = (unsigned)host->n_nodes;
    for (size_t n = host->n_nodes; n-- > 0;) {
        start_first(host->nodes[n]);
    }
    uv_timer_start(&host->starting, look_at_starts, LOOK_AT_STARTS_MS, LOOK_AT_STARTS_MS);
}

/* ---- ending ---- */

static void report(struct host *host, bool last) {
    struct host_snapshot snapshot;
    if (host->options->progress != NULL && snapshot_take(host, &snapshot)) {
        host->options->progress(host->options->progress_arg, &snapshot, last);
        snapshot_free(&snapshot);
    }
}

static void node_closed(void *arg) {
    struct host *host = arg;
    if (--host->outstanding == 0) {
        loop_stop(&host->control);
    }
}

static void close_node(void *arg) {
    struct host_node *node = arg;
    if (node_close_plugin(node, close_node)) {
        loop_post(&node->host->control, &node->start_message, node_closed, node->host);
    }
}

static void lane_closed(void *arg) {
    struct host *host = arg;
    if (--host->outstanding > 0) {
        return;
    }
    assignment_answer_late(host);
    host->outstanding = (unsigned)host->n_nodes;
    for (size_t n = host->n_nodes; n-- > 0;) {
        struct host_node *node = host->nodes[n];
        loop_post(node->object.loop, &node->start_message, close_node, node);
    }
}

static bool lane_has_works(const struct lane *lane) {
    unsigned works = 0;
    for (size_t n = 0; n < host_count_all(lane->host); n++) {
        works += lane->host->all[n]->tasks[lane->index].object.works;
    }
    return works > 0;
}

static void close_tasks(void *arg) {
    struct lane *lane = arg;
    if (lane_has_works(lane)) {
        loop_post(&lane->loop, &lane->message, close_tasks, lane);
        return;
    }
    for (size_t n = 0; n < host_count_all(lane->host); n++) {
        struct lane_task *task = &lane->host->all[n]->tasks[lane->index];
        if (task->lane != NULL) {
            task_close(task);
        }
    }
    loop_post(&lane->host->control, &lane->message, lane_closed, lane->host);
}

static void all_detached(void *arg) {
    struct host *host = arg;
    host->outstanding = host->n_lanes;
    for (uint32_t i = 0; i < host->n_lanes; i++) {
        loop_post(&host->lanes[i].loop, &host->lanes[i].message, close_tasks, &host->lanes[i]);
    }
}

static void close_handles(struct host *host) {
    uv_close((uv_handle_t *)&host->sigterm, NULL);
    uv_close((uv_handle_t *)&host->sigint, NULL);
    uv_close((uv_handle_t *)&host->deadline, NULL);
    uv_close((uv_handle_t *)&host->starting, NULL);
    uv_close((uv_handle_t *)&host->patience, NULL);
    uv_close((uv_handle_t *)&host->progress, NULL);
    vitals_end(host);
    admin_close(host->admin);
    if (host->has_begun && host->options->ended != NULL) {
        host->options->ended(host->options->began_arg);
    }
}

static int64_t position_of(const struct reader *reader) {
    return reader->stored == SL_OFFSET_NONE ? reader->position : reader->stored;
}

/* Whether two streams are of one partition: a branch may have its own reading of it. */
static bool of_one_partition(const struct stream *a, const struct stream *b) {
    return a->owner == b->owner && a->output == b->output && strcmp(a->topic, b->topic) == 0 &&
           a->pub.partition == b->pub.partition;
}

/* Whether all readers of each stream that is here have the same position. Who is paused has not. */
static bool is_level(const struct host *host) {
    if (host->uneven) {
        return false;
    }
    for (size_t n = 0; n < host->n_nodes; n++) {
        if (host->nodes[n]->target != TARGET_RUNNING) {
            return false;
        }
    }
    for (size_t s = 0; s < host->n_streams; s++) {
        const struct stream *stream = host->streams[s];
        if (stream->state != STREAM_RUNNING || stream->n_readers == 0) {
            continue;
        }
        int64_t position = position_of(&stream->readers[0]);
        for (size_t other = s; other < host->n_streams; other++) {
            const struct stream *same = host->streams[other];
            for (size_t r = 0; same->state == STREAM_RUNNING && r < same->n_readers; r++) {
                if (position_of(&same->readers[r]) != position && of_one_partition(stream, same)) {
                    return false;
                }
            }
        }
    }
    return true;
}

static void tell_outcome(const struct host *host) {
    struct host_outcome *outcome = host->options->outcome;
    if (outcome != NULL) {
        *outcome = (struct host_outcome){.signalled = host->signalled, .level = is_level(host)};
    }
}

static void host_close(struct host *host) {
    host->finished = true;
    tell_outcome(host);
    note_error(host);
    host_forget_laters(host);
    report(host, true);
    for (size_t n = 0; n < host->n_nodes; n++) {
        cycle_stop(&host->nodes[n]->cycle);
    }
    close_handles(host);
    assignment_detach_all(host, all_detached, host);
}

/* ---- signals and timers ---- */

/* A thread of its own: the control loop may hang. */
static void shutdown_passed(void *arg) {
    log_text(arg, SL_LOG_ERROR, NULL,
             "shutdown.timeout has passed before everything was committed and closed; what is not "
             "committed will be read again by the next run");
    _exit(1);
}

static void signalled(uv_signal_t *handle, int number) {
    struct host *host = handle->data;
    const char *name = number == SIGINT ? "SIGINT" : "SIGTERM";
    if (host->signalled) {
        host_log(host, SL_LOG_WARN, NULL, "%s again: ending at once, without committing", name);
        _exit(1);
    }
    host->signalled = true;
    host_log(host, SL_LOG_INFO, NULL,
             "%s: reading stops, what was read is committed; again to end at once", name);
    watchdog_set(&host->shutdown, host->settings->shutdown_timeout_us, shutdown_passed, host);
    host_drain(host);
}

static void progress_fires(uv_timer_t *timer) {
    report(timer->data, false);
}

static void listen_to_signals(struct host *host) {
    uv_loop_t *uv = &host->control.uv;
    uv_signal_init(uv, &host->sigterm);
    uv_signal_init(uv, &host->sigint);
    uv_timer_init(uv, &host->deadline);
    uv_timer_init(uv, &host->starting);
    uv_timer_init(uv, &host->patience);
    uv_timer_init(uv, &host->progress);
    host->sigterm.data = host->sigint.data = host->progress.data = host;
    host->deadline.data = host->starting.data = host->patience.data = host;
    uv_signal_start(&host->sigterm, signalled, SIGTERM);
    uv_signal_start(&host->sigint, signalled, SIGINT);
    if (host->options->progress_interval_ms > 0) {
        uv_timer_start(&host->progress, progress_fires, host->options->progress_interval_ms,
                       host->options->progress_interval_ms);
    }
}

/* What the caller does not know as secret. */
static sl_error *mask_error(struct host *host, sl_error *error) {
    if (error == NULL || host->reloads == NULL) {
        return error;
    }
    sl_buffer text = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&text, sl_error_message(error));
    reload_mask(host, &text);
    const char *shown = sl_buffer_text(&text);
    sl_error *masked = sl_error_new(sl_error_get_class(error), "%s", shown == NULL ? "***" : shown);
    sl_buffer_free(&text);
    sl_error_free(error);
    return masked;
}

sl_error *host_run(const struct topology *topology, const struct host_options *options) {
    setenv("UV_THREADPOOL_SIZE", "8",
           0); /* uploads and fsyncs of several sinks wait side by side */
    signal(SIGPIPE, SIG_IGN);
    crash_handler_install();
    allocator_keep_pages();
    struct host host = {.topology = topology,
                        .settings = topology,
                        .options = options,
                        .started_us = sl_monotonic_us()};
    sl_error *error = host_build(&host);
    if (error != NULL) {
        return error;
    }
    listen_to_signals(&host);
    vitals_start(&host);
    pause_heed_targets(&host);
    error = admin_open(&host, &host.admin);
    if (error == NULL) {
        error = host_start_threads(&host);
    }
    if (error == NULL) {
        start_nodes(&host);
        loop_run(&host.control);
        error = mask_error(&host, host.error);
    } else {
        close_handles(&host);
    }
    host_free(&host);
    watchdog_end(&host.shutdown);
    if (options->outcome != NULL) {
        options->outcome->left_bytes = atomic_load(&host.memory_bytes);
    }
    return error;
}
