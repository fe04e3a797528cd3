/*
 * A lane: a thread that runs its streams' whole path. Polls sources, carries batches over the edges
 * of the graph, runs tasks. Nothing here is locked: other loops reach a lane through its inbox
 * only.
 */
#ifndef LANE_LANE_H
#define LANE_LANE_H

#include "host/batch.h"
#include "host/object.h"

/* What one poll asks for: large enough that the cost per batch vanishes, small enough to stay in
 * the cache. */
enum { LANE_POLL_BYTES = 1024 * 1024 };

struct branch;

struct lane {
    struct loop loop;
    struct host *host;
    uint32_t index;
    struct lane_task *ready_head;
    struct lane_task **ready_tail;
    struct stream **streams; /* that its tasks poll */
    size_t n_streams;
    size_t capacity_streams;
    size_t turn;
    uv_idle_t idle;
    bool spinning;
    bool again;              /* asked for during this turn */
    struct stream *stopping; /* polled no more; what was read of them is on its way */
    bool stopped;            /* no more polls: the run drains */
    uv_timer_t look_timer;   /* looks again at what only time changes, see lane_look_later */
    struct branch *branches; /* apart from their streams, or about to join them */
    struct loop_message message;
};

/* ---- lane.c: the loop, polling ---- */

sl_error *lane_init(struct lane *lane, struct host *host, uint32_t index);
/* Something may be possible now: look again soon. On the lane. */
void lane_spin(struct lane *lane);
/* Look again in a few milliseconds: for what no message tells of. On the lane. */
void lane_look_later(struct lane *lane);
/* The streams that `stop` covers are no longer polled; each reports its end. On the lane. */
void lane_stop_polling(struct lane *lane);
/* Takes a stream into the turn of polls, or out of it. On the lane. */
sl_error *lane_add_stream(struct lane *lane, struct stream *stream);
void lane_remove_stream(struct lane *lane, struct stream *stream);
/* services->wake; of a stream that the lane does not poll (any more) nothing: a plugin's timer may
 * be late. */
void lane_wake(struct lane *lane, const sl_stream *pub);

/* ---- edge.c: queues between tasks ---- */

bool edge_is_full(const struct lane_edge *edge, const struct lane_task *to);
/* What happens to what does not fit: by the topology's when_full. */
bool edge_drops(const struct lane_edge *edge);
/* Hands a batch (a reference of the caller's, taken) to every reader of an output. On the lane. */
void lane_push(struct lane *lane, struct host_node *from, uint32_t output, struct batch *batch);
/* Puts a batch (taken) on an edge. On the lane. */
void edge_push(struct lane_task *to, struct lane_edge *edge, struct batch *batch);
/* For how long the edge has been full lately: time full, less a quarter of the time that it was
 * not. */
int64_t edge_debt_us(const struct lane_edge *edge);
/* The next batch of an edge, with its reference; NULL. */
struct batch *edge_pop(struct lane_edge *edge);
/* Puts a popped batch back in front. False when memory is short: the batch is then still the
 * caller's. */
bool edge_push_back(struct lane_edge *edge, struct batch *batch);
void edge_clear(struct lane_edge *edge);
/* Brings the fill that others see up to date, and since when it is full. */
void edge_note_fill(struct lane_edge *edge, const struct lane_task *to);
/* The same for every input of a task: what it holds has changed. */
void edges_note_fill(struct lane_task *task);
/* Whether it was full when its fill was last noted. Any thread. */
static inline bool edge_is_noted_full(const struct lane_edge *edge) {
    return atomic_load_explicit(&edge->full_since_us, memory_order_relaxed) != 0;
}
/* Appends a batch (taken). False when memory is short: it is then still the caller's. */
bool edge_append(struct lane_edge *edge, struct batch *batch);

/* ---- drop.c: edges that drop rows instead of holding anybody back ---- */

/* Appends a batch (taken) to an edge that drops, without its rows when there is no room for them or
 * at the cost of older ones. Errors: NO_MEMORY; the batch is taken all the same. */
sl_error *edge_append_or_drop(struct lane_edge *edge, struct lane_task *to, struct batch *batch);

/* ---- task.c: process, emit, flush ---- */

sl_error *task_open(struct lane_task *task);
void task_close(struct lane_task *task);
/* For a node that is restarted: ends the plugin's task and forgets what it was in the middle of;
 * no stream is attached to it. Then the plugin's task anew. */
void task_shut(struct lane_task *task);
sl_error *task_reopen(struct lane_task *task);
sl_error *task_add_reader(struct lane_task *task, struct reader *reader);
void task_remove_reader(struct lane_task *task, const struct reader *reader);
/* Queues the task when it has something to do and may. */
void task_ready(struct lane_task *task);
/* One batch through the task. */
void task_step(struct lane_task *task);
bool task_is_empty(const struct lane_task *task);
sl_error *task_emit(struct lane_task *task, uint32_t output, sl_emission *emission);
/* Hands a batch to the readers of an output of a node that numbers the stream, cut at the position
 * of every node that has part of it already. Takes the batch. */
sl_error *task_push_cut(struct lane_task *task, uint32_t output, struct batch *batch);
sl_error *task_forward(struct lane_task *task, uint32_t output, const sl_batch *batch);
void task_dropped(struct lane_task *task, const sl_stream *stream, const char *reason,
                  int64_t rows);
/* Runs on the lane by a message of the control loop: see cycle.c. */
void task_flush(void *task);
/* The same: tells the control loop once the inputs have run empty. */
void task_drain(void *task);
/* The node fails: its plugin is not called any more. Any loop of the node's objects; takes the
 * error. */
void task_fail(struct lane_task *task, sl_error *error);

#endif /* LANE_LANE_H */
