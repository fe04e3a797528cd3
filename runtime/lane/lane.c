/* The lane's loop: takes turns between running tasks that have input and polling streams that have
 * room. */
#include "lane/lane.h"

#include "delivery/assignment.h"
#include "delivery/attach.h"
#include "delivery/cycle.h"
#include "delivery/stream.h"
#include "host/run.h"
#include "lane/branch.h"

#include <stdlib.h>

enum { LOOK_AGAIN_MS = 5 };

static void run_ready(struct lane *lane) {
    while (lane->ready_head != NULL) {
        struct lane_task *task = lane->ready_head;
        lane->ready_head = task->next_ready;
        if (lane->ready_head == NULL) {
            lane->ready_tail = &lane->ready_head;
        }
        task->next_ready = NULL;
        task->ready = false;
        task_step(task);
        task_ready(task);
    }
}

/* Whether a full edge holds the stream back. The node behind is asked to flush; a branch that may
 * leave does when its time has come. */
static bool edge_blocks(const struct stream *stream, const struct lane_edge *edge,
                        const struct lane_task *to) {
    if (!edge_is_full(edge, to) ||
        atomic_load_explicit(&to->object.node->failed, memory_order_relaxed)) {
        return false;
    }
    if (to->object.node->has_cycle) {
        cycle_kick(&to->object.node->cycle);
    }
    struct branch *branch =
        stream->branch_by_edge == NULL ? NULL : stream->branch_by_edge[edge->index];
    if (branch == NULL || stream->fed != NULL) {
        return !edge_drops(edge);
    }
    if (branch_may_leave(branch)) {
        branch_leave(branch);
        return false;
    }
    lane_look_later(stream->lane);
    return true;
}

/* The task lets the stream wait for others. */
static bool is_held(const struct stream *stream, size_t i) {
    const struct host_node *node = stream->edge_tasks[i]->object.node;
    return stream->held[i] && !atomic_load_explicit(&node->failed, memory_order_relaxed);
}

/* A stream is held back by any full edge on its path that does not drop, and by tasks that want it
 * to wait. */
static bool stream_is_blocked(const struct stream *stream) {
    bool blocked = false;
    for (size_t i = 0; i < stream->n_edges; i++) {
        const struct lane_edge *edge = stream->edges[i];
        if (!branch_passes_by(stream, edge->index)) {
            blocked = edge_blocks(stream, edge, stream->edge_tasks[i]) || blocked;
            blocked = is_held(stream, i) || blocked;
        }
    }
    const struct branch *branch = stream->fed;
    for (size_t i = 0; branch != NULL && i < branch->main->n_edges; i++) {
        const struct lane_edge *edge = branch->main->edges[i];
        if (branch->below[edge->index]) {
            blocked = edge_blocks(stream, edge, branch->main->edge_tasks[i]) || blocked;
            blocked = is_held(branch->main, i) || blocked;
        }
    }
    return blocked;
}

/* While a branch is behind, the run goes on for it. */
static void stream_ends(struct stream *stream) {
    stream->ended = true;
    stream->awake = false;
    bool failed = atomic_load_explicit(&stream->owner->failed, memory_order_relaxed);
    stream->end_waits = !stream->lane->stopped && !failed && branches_are_apart(stream);
    if (stream->fed == NULL && !stream->end_waits) {
        assignment_stream_ended(stream);
    }
}

/* The same poll again after a pause. */
static void poll_later(struct stream *stream, sl_error *error) {
    struct host *host = stream->host;
    uint64_t pause_ms =
        retry_pause_ms(host, &stream->retry, stream->owner->spec->name, "poll", error);
    stream->not_before_us = sl_monotonic_us() + (int64_t)pause_ms * 1000;
    stream->awake = true;
    atomic_fetch_add_explicit(&stream->source->retries, 1, memory_order_relaxed);
}

static bool must_wait(const struct stream *stream) {
    if (stream->not_before_us == 0 || sl_monotonic_us() >= stream->not_before_us) {
        return false;
    }
    lane_look_later(stream->lane);
    return true;
}

/* A failure long after the last one is none of the same trouble. A reader of a branch's own that
 * fails takes only what is behind it along. */
static void poll_failed(struct stream *stream, sl_error *error) {
    int64_t quiet_us = sl_monotonic_us() - stream->not_before_us;
    if (quiet_us > stream->host->settings->retry_timeout_us) {
        stream->retry.attempts = 0;
    }
    error =
        sl_error_wrap(error, "reading %s partition %d", stream->topic, (int)stream->pub.partition);
    if (stream->fed != NULL) {
        branch_poll_failed(stream, error);
    } else if (retry_allowed(stream->host, &stream->retry, error)) {
        poll_later(stream, error);
    } else {
        task_fail(stream->source, error);
        stream_ends(stream);
    }
}

static int64_t polled_to(const struct stream *stream) {
    return stream->emitted_to[stream->owner->first_output];
}

static void poll_stream(struct stream *stream) {
    struct lane_task *task = stream->source;
    if (task == NULL) {
        branch_ask(stream);
        return;
    }
    sl_poll_state state = SL_POLL_EMPTY;
    int64_t before = polled_to(stream);
    stream->awake = false; /* a wake during the poll must not be lost */
    struct object_clock clock = object_enter(&task->object);
    sl_error *error =
        task->object.node->task_ops->poll(task->plugin, &stream->pub, LANE_POLL_BYTES, &state);
    object_leave(&task->object, clock);
    if (error != NULL) {
        poll_failed(stream, error);
        return;
    }
    if (polled_to(stream) > before) {
        stream->not_before_us = 0;
        stream->retry.attempts = 0;
    }
    if (state == SL_POLL_MORE) {
        stream->awake = true;
    } else if (state == SL_POLL_ENDED) {
        stream_ends(stream);
    }
}

/* Polls the next stream in turn that is awake and has room; false when there is none. */
static bool poll_one(struct lane *lane) {
    for (size_t i = 0; i < lane->n_streams; i++) {
        struct stream *stream = lane->streams[(lane->turn + i) % lane->n_streams];
        if (!stream->ended && atomic_load_explicit(&stream->owner->failed, memory_order_relaxed)) {
            stream_ends(stream);
        }
        if (!stream->ended && polled_to(stream) >= stream->stop) {
            stream_ends(stream);
        }
        bool due = stream->awake && !stream->ended && !must_wait(stream) &&
                   (stream->fed == NULL || branch_wants(stream));
        if (due && !stream_is_blocked(stream)) {
            struct stream *first = branch_first(stream);
            bool leads = first != NULL && !stream_is_blocked(first);
            lane->turn = (lane->turn + i + 1) % lane->n_streams;
            poll_stream(leads ? first : stream);
            return true;
        }
    }
    return false;
}

static void look_timer_fires(uv_timer_t *timer) {
    lane_spin(timer->data);
}

void lane_look_later(struct lane *lane) {
    if (!uv_is_active((uv_handle_t *)&lane->look_timer)) {
        uv_timer_start(&lane->look_timer, look_timer_fires, LOOK_AGAIN_MS, 0);
    }
}

/* memory.max stops reading, never the work behind it. What other lanes give back wakes nobody, so
 * this looks again by time. */
static bool memory_is_short(struct lane *lane) {
    int64_t limit = lane->host->settings->memory_max_bytes;
    int64_t used = atomic_load_explicit(&lane->host->memory_bytes, memory_order_relaxed);
    if (limit == 0 || used < limit) {
        return false;
    }
    lane_look_later(lane);
    return true;
}

static void lane_turn(uv_idle_t *idle) {
    struct lane *lane = idle->data;
    lane->again = false;
    run_ready(lane);
    branches_look(lane);
    bool polled = !lane->stopped && !memory_is_short(lane) && poll_one(lane);
    run_ready(lane);
    branches_look(lane);
    attach_look_at_stopping(lane);
    if (!polled && !lane->again) {
        uv_idle_stop(&lane->idle);
        lane->spinning = false;
    }
}

void lane_spin(struct lane *lane) {
    lane->again = true;
    if (!lane->spinning) {
        lane->spinning = true;
        uv_idle_start(&lane->idle, lane_turn);
    }
}

sl_error *lane_init(struct lane *lane, struct host *host, uint32_t index) {
    *lane = (struct lane){.host = host, .index = index};
    lane->ready_tail = &lane->ready_head;
    sl_error *error = loop_init(&lane->loop, "lane");
    if (error != NULL) {
        return error;
    }
    uv_idle_init(&lane->loop.uv, &lane->idle);
    lane->idle.data = lane;
    uv_timer_init(&lane->loop.uv, &lane->look_timer);
    lane->look_timer.data = lane;
    return NULL;
}

void lane_stop_polling(struct lane *lane) {
    lane->stopped = true;
    for (size_t i = 0; i < lane->n_streams; i++) {
        struct stream *stream = lane->streams[i];
        if (!stream->ended || stream->end_waits) {
            stream_ends(stream);
        }
    }
    lane_spin(lane);
}

sl_error *lane_add_stream(struct lane *lane, struct stream *stream) {
    if (lane->n_streams == lane->capacity_streams) {
        size_t capacity = lane->capacity_streams == 0 ? 16 : lane->capacity_streams * 2;
        struct stream **grown = realloc(lane->streams, capacity * sizeof(*grown));
        if (grown == NULL) {
            return sl_error_no_memory();
        }
        lane->streams = grown;
        lane->capacity_streams = capacity;
    }
    lane->streams[lane->n_streams++] = stream;
    stream->awake = true;
    stream->ended = false;
    stream->not_before_us = 0;
    stream->retry.attempts = 0;
    if (lane->stopped) {
        stream_ends(stream);
    }
    lane_spin(lane);
    return NULL;
}

void lane_remove_stream(struct lane *lane, struct stream *stream) {
    for (size_t i = 0; i < lane->n_streams; i++) {
        if (lane->streams[i] == stream) {
            lane->streams[i] = lane->streams[--lane->n_streams];
            break;
        }
    }
    stream->awake = false;
}

void lane_wake(struct lane *lane, const sl_stream *pub) {
    for (size_t i = 0; i < lane->n_streams; i++) {
        if (&lane->streams[i]->pub == pub) {
            lane->streams[i]->awake = true;
            lane_spin(lane);
            return;
        }
    }
}
