/* The lane's loop: takes turns between running tasks that have input and polling streams that have
 * room. */
#include "lane/lane.h"

#include "delivery/assignment.h"
#include "delivery/attach.h"
#include "delivery/cycle.h"
#include "delivery/stream.h"
#include "host/run.h"

#include <stdlib.h>

/* What one poll asks for: large enough that the cost per batch vanishes, small enough to stay in
 * the cache. */
enum { POLL_BYTES = 1024 * 1024, MEMORY_RETRY_MS = 5 };

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

/* A stream is held back by any full edge on its path that does not drop, and by tasks that want it
 * to wait; the nodes behind full edges are asked to flush. */
static bool stream_is_blocked(const struct stream *stream) {
    bool blocked = false;
    for (size_t i = 0; i < stream->n_edges; i++) {
        struct lane_task *to = stream->edge_tasks[i];
        if (atomic_load_explicit(&to->object.node->failed, memory_order_relaxed)) {
            continue;
        }
        blocked = blocked || stream->held[i];
        if (edge_is_full(stream->edges[i], to)) {
            blocked = blocked || !edge_drops(stream->edges[i]);
            if (to->object.node->has_cycle) {
                cycle_kick(&to->object.node->cycle);
            }
        }
    }
    return blocked;
}

static void stream_ends(struct stream *stream) {
    stream->ended = true;
    stream->awake = false;
    assignment_stream_ended(stream);
}

static void poll_stream(struct stream *stream) {
    struct lane_task *task = stream->source;
    sl_poll_state state = SL_POLL_EMPTY;
    stream->awake = false; /* a wake during the poll must not be lost */
    struct object_clock clock = object_enter(&task->object);
    sl_error *error =
        task->object.node->task_ops->poll(task->plugin, &stream->pub, POLL_BYTES, &state);
    object_leave(&task->object, clock);
    if (error != NULL) {
        task_fail(task, sl_error_wrap(error, "reading %s partition %d", stream->topic,
                                      (int)stream->pub.partition));
        stream_ends(stream);
        return;
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
        if (!stream->ended &&
            stream->emitted_to[host_first_output(stream->owner)] >= stream->stop) {
            stream_ends(stream);
        }
        if (stream->awake && !stream->ended && !stream_is_blocked(stream)) {
            lane->turn = (lane->turn + i + 1) % lane->n_streams;
            poll_stream(stream);
            return true;
        }
    }
    return false;
}

static void memory_timer_fires(uv_timer_t *timer) {
    lane_spin(timer->data);
}

/* memory.max stops reading, never the work behind it. What other lanes give back wakes nobody, so
 * this looks again by time. */
static bool memory_is_short(struct lane *lane) {
    int64_t limit = lane->host->topology->memory_max_bytes;
    int64_t used = atomic_load_explicit(&lane->host->memory_bytes, memory_order_relaxed);
    if (limit == 0 || used < limit) {
        return false;
    }
    uv_timer_start(&lane->memory_timer, memory_timer_fires, MEMORY_RETRY_MS, 0);
    return true;
}

static void lane_turn(uv_idle_t *idle) {
    struct lane *lane = idle->data;
    run_ready(lane);
    bool polled = !lane->stopped && !memory_is_short(lane) && poll_one(lane);
    run_ready(lane);
    attach_look_at_stopping(lane);
    if (!polled) {
        uv_idle_stop(&lane->idle);
        lane->spinning = false;
    }
}

void lane_spin(struct lane *lane) {
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
    uv_timer_init(&lane->loop.uv, &lane->memory_timer);
    lane->memory_timer.data = lane;
    return NULL;
}

void lane_stop_polling(struct lane *lane) {
    lane->stopped = true;
    for (size_t i = 0; i < lane->n_streams; i++) {
        if (!lane->streams[i]->ended) {
            stream_ends(lane->streams[i]);
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

void lane_wake(struct stream *stream) {
    stream->awake = true;
    lane_spin(stream->lane);
}
