/* The commit cycle: IDLE → FLUSHING → COMMITTING → IDLE, with pauses (…_AGAIN) where a step may
 * succeed later. See cycle.h. */
#include "delivery/cycle.h"

#include "delivery/accounts.h"
#include "delivery/assignment.h"
#include "delivery/keeper.h"
#include "delivery/stream.h"
#include "host/run.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONFLICTS_MAX = 20,       /* in a row, before the node gives up */
    POSITION_ONLY_MS = 60000, /* a node without rows moves its position this often */
    RESULTS_WAIT_MS = 20,     /* until one whose results wait looks again whether there is room */
};

static struct host_node *cycle_node(struct cycle *cycle) {
    return (struct host_node *)(void *)((char *)cycle - offsetof(struct host_node, cycle));
}

static void cycle_begin(struct cycle *cycle);
static void cycle_commit(struct cycle *cycle);
static void flush_again(uv_timer_t *timer);
static void commit_again(uv_timer_t *timer);
static void give_up(struct cycle *cycle, sl_error *error);
static bool node_has_failed(struct cycle *cycle);

/* A flush or commit is under way, or waits to be tried again. */
static bool cycle_is_busy(const struct cycle *cycle) {
    return cycle->state == CYCLE_FLUSHING || cycle->state == CYCLE_COMMITTING ||
           cycle->state == CYCLE_FLUSH_AGAIN || cycle->state == CYCLE_COMMIT_AGAIN;
}

/* A node that has failed makes no use any more of what a flush of it still has. */
bool cycle_rests(const struct cycle *cycle) {
    const struct host_node *node =
        (const struct host_node *)(const void *)((const char *)cycle -
                                                 offsetof(struct host_node, cycle));
    bool rests = !cycle_is_busy(cycle) && cycle->n_pieces == 0 &&
                 atomic_load_explicit(&cycle->dropping, memory_order_acquire) == 0;
    for (uint32_t i = 0; i < node->host->n_lanes && !atomic_load(&node->failed); i++) {
        rests = rests && !node->tasks[i].flush_again;
    }
    return rests;
}

/* ---- latency ---- */

/* Buckets grow by a twelfth of a power of two from 1 ms: within 6 % up to half an hour. */
int64_t cycle_latency_bound_us(size_t bucket) {
    int64_t octave = (int64_t)1000 << (bucket / 12);
    return octave + octave * (int64_t)(bucket % 12 + 1) / 12;
}

static size_t bucket_of(int64_t us) {
    size_t bucket = 0;
    while (bucket + 1 < LATENCY_BUCKETS && cycle_latency_bound_us(bucket) < us) {
        bucket++;
    }
    return bucket;
}

static void record_latency(struct cycle *cycle, int64_t us, const struct latency_sample *sample) {
    cycle->latency_histogram[bucket_of(us)] += sample->rows;
    if (us > cycle->latency_max_us) {
        cycle->latency_max_us = us;
    }
    if (sample->age_us >= 0) {
        cycle->durable_histogram[bucket_of(us + sample->age_us)] += sample->rows;
        cycle->durable_sum_s += (double)(us + sample->age_us) / 1e6 * (double)sample->rows;
    }
}

static void record_latencies(struct cycle *cycle) {
    int64_t now = sl_monotonic_us();
    for (size_t i = 0; i < cycle->latencies.n; i++) {
        const struct latency_sample *sample = &cycle->latencies.items[i];
        record_latency(cycle, now - sample->read_us, sample);
    }
    cycle->latencies.n = 0;
}

static void note_oldest(struct cycle *cycle) {
    const struct latency_sample *oldest = NULL;
    for (size_t i = 0; i < cycle->latencies.n; i++) {
        const struct latency_sample *sample = &cycle->latencies.items[i];
        oldest = oldest == NULL || sample->read_us < oldest->read_us ? sample : oldest;
    }
    atomic_store(&cycle->oldest_age_us, oldest != NULL ? oldest->age_us : -1);
    atomic_store(&cycle->oldest_read_us, oldest != NULL ? oldest->read_us : 0);
}

static void take_samples(struct cycle *cycle, const struct latency_samples *from) {
    struct latency_samples *to = &cycle->latencies;
    if (to->n + from->n > to->capacity) {
        size_t capacity = to->n + from->n + 256;
        struct latency_sample *grown = realloc(to->items, capacity * sizeof(*grown));
        if (grown == NULL) {
            return; /* figures only */
        }
        to->items = grown;
        to->capacity = capacity;
    }
    if (from->n > 0) {
        memcpy(to->items + to->n, from->items, from->n * sizeof(*from->items));
        to->n += from->n;
    }
}

/* ---- ticking ---- */

static void tick(uv_timer_t *timer) {
    cycle_begin(timer->data);
}

static void wait_for_tick(struct cycle *cycle) {
    struct host_node *node = cycle_node(cycle);
    int64_t took = sl_monotonic_us() - cycle->started_us;
    int64_t wait = node->spec->commit_interval_us - took;
    /* A slow commit stretches the interval instead of following itself without a pause. */
    if (wait < took / 4) {
        wait = took / 4;
    }
    uint64_t wait_ms = wait <= 0 ? 1 : (uint64_t)(wait + 999) / 1000;
    uv_timer_start(&cycle->timer, tick, cycle->kick ? 0 : wait_ms, 0);
    if (cycle->kick) {
        atomic_store(&cycle->wanted, true);
    }
    cycle->kick = false;
}

static void tell_waiters(struct cycle *cycle) {
    struct cycle_waiter *waiter = cycle->waiters;
    cycle->waiters = NULL;
    while (waiter != NULL) {
        struct cycle_waiter *next = waiter->next;
        cycle->held = cycle->held || waiter->hold;
        waiter->then(waiter->arg);
        waiter = next;
    }
}

void cycle_forgive(struct cycle *cycle) {
    const struct host_node *node = cycle_node(cycle);
    if (!cycle->discard || cycle->recover || cycle_is_busy(cycle)) {
        return;
    }
    for (size_t s = 0; s < node->host->n_streams; s++) {
        const struct stream *stream = node->host->streams[s];
        if (stream_is_attached(stream) && stream_is_read_by(stream, node)) {
            return;
        }
    }
    cycle->discard = false;
}

/* At the end of the data, too. */
static bool recover_streams(struct cycle *cycle) {
    host_reopen(cycle_node(cycle));
    return assignment_recover(cycle_node(cycle));
}

/* What was abandoned has come to its end: now that nothing of it is under way, the streams are
 * recovered. */
static sl_error *recover_abandoned(struct cycle *cycle) {
    cycle->recover = false;
    if (node_has_failed(cycle) || recover_streams(cycle)) {
        return NULL;
    }
    return sl_error_new(SL_ERROR_FATAL,
                        "what it read was not committed within revoke.timeout, and the run ends "
                        "before it can be read again; the next run does that");
}

static void cycle_end(struct cycle *cycle) {
    cycle->state = CYCLE_IDLE;
    cycle->rests += cycle_rests(cycle) ? 1 : 0;
    sl_error *error = cycle->recover ? recover_abandoned(cycle) : NULL;
    if (error != NULL) {
        give_up(cycle, error);
        return;
    }
    cycle_forgive(cycle);
    if (cycle->again) {
        cycle->again = false;
        cycle_begin(cycle);
        return;
    }
    if (cycle->last) {
        cycle->state = CYCLE_STOPPED;
    } else {
        wait_for_tick(cycle);
    }
    tell_waiters(cycle);
}

/* The node has failed, here (error, taken) or elsewhere (NULL): nothing is committed any more. */
static void give_up(struct cycle *cycle, sl_error *error) {
    if (error != NULL) {
        host_node_failed(cycle_node(cycle), error);
    }
    cycle_stop(cycle);
    tell_waiters(cycle);
}

static bool node_has_failed(struct cycle *cycle) {
    return atomic_load(&cycle_node(cycle)->failed);
}

/* True when the step is to be tried again (the error is then freed); else the caller fails the
 * cycle. */
static bool try_again(struct cycle *cycle, sl_error *error, enum cycle_state wait) {
    bool flush = wait == CYCLE_FLUSH_AGAIN;
    struct host_node *node = cycle_node(cycle);
    if (!retry_allowed(node->host, &cycle->retry, error)) {
        return false;
    }
    uint64_t pause_ms = retry_pause_ms(node->host, &cycle->retry, node->spec->name,
                                       flush ? "flush" : "commit", error);
    cycle->retries++;
    cycle->state = wait;
    uv_timer_start(&cycle->timer, flush ? flush_again : commit_again, pause_ms, 0);
    return true;
}

struct dropping {
    struct host_node *node;
    size_t n;
    void *pieces[];
};

static void drop_on_node(void *arg) {
    struct dropping *dropping = arg;
    struct host_node *node = dropping->node;
    struct object_clock clock = object_enter(&node->object);
    for (size_t i = 0; i < dropping->n; i++) {
        node->ops->drop_piece(node->opened->node, dropping->pieces[i]);
    }
    object_leave(&node->object, clock);
    atomic_fetch_sub_explicit(&node->cycle.dropping, 1, memory_order_release);
    free(dropping);
}

/* The node frees them on its own loop. Without memory to tell it they stay, as does all else of a
 * process that has none. */
static void send_to_drop(struct host_node *node, void *const *pieces, size_t n) {
    if (n == 0 || node->ops->drop_piece == NULL) {
        return;
    }
    struct dropping *dropping = malloc(sizeof(*dropping) + n * sizeof(void *));
    if (dropping == NULL) {
        return;
    }
    *dropping = (struct dropping){.node = node, .n = n};
    memcpy(dropping->pieces, pieces, n * sizeof(void *));
    atomic_fetch_add_explicit(&node->cycle.dropping, 1, memory_order_relaxed);
    sl_error *error = loop_post_new(node->object.loop, drop_on_node, dropping);
    if (error != NULL) {
        sl_error_free(error);
        free(dropping);
        atomic_fetch_sub_explicit(&node->cycle.dropping, 1, memory_order_relaxed);
    }
}

/* What was flushed and not committed is void: its pieces, what they cover, and what a flush that
 * would be tried again still hands over. */
static void drop_pieces(struct cycle *cycle) {
    struct host_node *node = cycle_node(cycle);
    send_to_drop(node, cycle->pieces, cycle->n_pieces);
    cycle->n_pieces = 0;
    cycle->rows = false;
    cycle->latencies.n = 0;
    for (size_t s = 0; s < node->host->n_streams; s++) {
        struct stream *stream = node->host->streams[s];
        for (size_t r = 0; r < stream->n_readers; r++) {
            if (stream->readers[r].node == node) {
                stream->readers[r].pending = SL_OFFSET_NONE;
            }
        }
    }
    for (uint32_t i = 0; node->tasks != NULL && i < node->host->n_lanes; i++) {
        node->tasks[i].flush_void = node->tasks[i].flush_again;
        if (node->tasks[i].flush_again) { /* what was taken since would wait for more to come */
            atomic_store(&cycle->dirty, true);
        }
    }
}

/*
 * A lost race: what is in hand is void, and everything after it. The streams are recovered from
 * what is stored now. False when it cannot be; the error (freed otherwise) is then still the
 * caller's.
 */
static bool recover(struct cycle *cycle, sl_error *error) {
    struct host_node *node = cycle_node(cycle);
    if (!sl_error_is(error, SL_ERROR_CONFLICT) || cycle->conflicts >= CONFLICTS_MAX ||
        !recover_streams(cycle)) {
        return false;
    }
    host_log(node->host, SL_LOG_WARN, node->spec->name,
             "%s; what was not committed is read again from the stored positions",
             sl_error_message(error));
    sl_error_free(error);
    cycle->conflicts++;
    cycle->discard = true;
    cycle->recover = false;
    drop_pieces(cycle);
    cycle_end(cycle);
    return true;
}

/* ---- flushing ---- */

static bool keep_piece(struct cycle *cycle, void *piece) {
    if (cycle->n_pieces == cycle->capacity_pieces) {
        size_t capacity = cycle->capacity_pieces == 0 ? 8 : cycle->capacity_pieces * 2;
        void **grown = realloc(cycle->pieces, capacity * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        cycle->pieces = grown;
        cycle->capacity_pieces = capacity;
    }
    cycle->pieces[cycle->n_pieces++] = piece;
    return true;
}

static bool commit_is_due(struct cycle *cycle) {
    /* A sink whose positions are kept for it may hand over nothing but the fact that its rows are
     * out. */
    bool kept_rows = cycle->rows && cycle_node(cycle)->keeper != NULL;
    if (cycle->n_pieces > 0 || cycle->waiters != NULL || kept_rows) {
        return true;
    }
    return sl_monotonic_us() - cycle->last_commit_us >= (int64_t)POSITION_ONLY_MS * 1000;
}

static void flush_again(uv_timer_t *timer) {
    struct cycle *cycle = timer->data;
    struct host_node *node = cycle_node(cycle);
    if (node_has_failed(cycle)) {
        give_up(cycle, NULL);
        return;
    }
    cycle->state = CYCLE_FLUSHING;
    for (uint32_t i = 0; i < node->host->n_lanes; i++) {
        struct lane_task *task = &node->tasks[i];
        if (task->flush_again) {
            cycle->flushing++;
            loop_post(&task->lane->loop, &task->flush_message, task_flush, task);
        }
    }
}

/* What a flush's error asks for; the larger goes first. */
enum flush_severity { FLUSH_FINE, FLUSH_AGAIN, FLUSH_LOST, FLUSH_FATAL };

static enum flush_severity flush_severity(const sl_error *error) {
    if (error == NULL) {
        return FLUSH_FINE;
    }
    if (sl_error_is(error, SL_ERROR_RETRIABLE)) {
        return FLUSH_AGAIN;
    }
    return sl_error_is(error, SL_ERROR_CONFLICT) ? FLUSH_LOST : FLUSH_FATAL;
}

static void all_flushed(struct cycle *cycle) {
    if (node_has_failed(cycle)) {
        give_up(cycle, NULL);
        return;
    }
    if (cycle->discard && flush_severity(cycle->flush_error) < FLUSH_FATAL) {
        sl_error_free(cycle->flush_error); /* the recovery that it asks for is under way */
        cycle->flush_error = NULL;
    }
    if (cycle->flush_error != NULL) {
        sl_error *error = cycle->flush_error;
        cycle->flush_error = NULL;
        if (!recover(cycle, error) && !try_again(cycle, error, CYCLE_FLUSH_AGAIN)) {
            give_up(cycle, error);
        }
        return;
    }
    if (cycle->discard) {
        drop_pieces(cycle);
        cycle_end(cycle);
        return;
    }
    cycle->retry = (struct retry){0};
    if (commit_is_due(cycle)) {
        cycle_commit(cycle);
    } else {
        cycle_end(cycle);
    }
}

/* The worst of the lanes' errors decides. */
static void note_flush_error(struct cycle *cycle, sl_error *error) {
    if (flush_severity(error) > flush_severity(cycle->flush_error)) {
        sl_error_free(cycle->flush_error);
        cycle->flush_error = error;
    } else {
        sl_error_free(error);
    }
}

/* Takes the piece of a flush and what it covers. */
static void take_flushed(struct cycle *cycle, struct lane_task *task) {
    for (size_t i = 0; i < task->n_flushed_to; i++) {
        const struct flushed_to *flushed = &task->flushed_to[i];
        flushed->reader->pending = flushed->to;
        memcpy(flushed->reader->pending_counts, flushed->counts, sizeof(flushed->counts));
    }
    take_samples(cycle, &task->flushed);
    cycle->rows = cycle->rows || task->flushed_rows;
    if (task->piece != NULL && !keep_piece(cycle, task->piece)) {
        send_to_drop(task->object.node, &task->piece, 1);
        note_flush_error(cycle, sl_error_new(SL_ERROR_FATAL, "out of memory in a flush"));
    }
}

/* What was to be tried again has been recovered meanwhile: it is dropped, and what was taken since
 * is flushed at once. */
static void drop_flushed(struct cycle *cycle, struct lane_task *task) {
    if (task->piece != NULL) {
        send_to_drop(task->object.node, &task->piece, 1);
    }
    task->flush_void = false;
    atomic_store(&cycle->dirty, true);
    cycle->again = true;
}

static void lane_flushed(sl_request *request, sl_error *error) {
    struct lane_task *task =
        (struct lane_task *)(void *)((char *)request - offsetof(struct lane_task, flush));
    struct cycle *cycle = &task->object.node->cycle;
    task->flush_again = sl_error_is(error, SL_ERROR_RETRIABLE);
    if (error != NULL) {
        note_flush_error(cycle, error);
    } else if (task->flush_void) {
        drop_flushed(cycle, task);
    } else {
        take_flushed(cycle, task);
    }
    task->piece = NULL;
    if (--cycle->flushing == 0) {
        all_flushed(cycle);
    }
}

/* Results that nobody takes hold their node back: what a `block` edge behind it holds is full. As a
 * lane does with what holds a stream back, it asks the node behind to flush: nobody else would. */
static bool results_wait(const struct host_node *node) {
    for (uint32_t o = 0; (node->flags & SL_ROLE_OWNS_STREAMS) != 0 && o < node->opened->n_outputs;
         o++) {
        for (size_t i = 0; i < node->n_routes[o]; i++) {
            const struct route *route = &node->routes[o][i];
            bool blocks = route->to->spec->inputs[route->input].when_full == TOPOLOGY_BLOCK &&
                          !atomic_load(&route->to->failed);
            for (uint32_t lane = 0; blocks && lane < node->host->n_lanes; lane++) {
                if (edge_is_noted_full(&route->to->tasks[lane].inputs[route->input])) {
                    if (route->to->has_cycle) {
                        cycle_kick(&route->to->cycle);
                    }
                    return true;
                }
            }
        }
    }
    return false;
}

static void cycle_begin(struct cycle *cycle) {
    struct host_node *node = cycle_node(cycle);
    if (cycle->state != CYCLE_IDLE) {
        return;
    }
    uv_timer_stop(&cycle->timer);
    if (node_has_failed(cycle)) {
        give_up(cycle, NULL);
        return;
    }
    cycle->started_us = sl_monotonic_us();
    if (cycle->waiters == NULL && cycle->held) {
        wait_for_tick(cycle);
        return;
    }
    if (cycle->waiters == NULL && results_wait(node)) {
        uv_timer_start(&cycle->timer, tick, RESULTS_WAIT_MS, 0);
        return;
    }
    bool dirty = atomic_exchange(&cycle->dirty, false);
    if (!dirty && cycle->waiters == NULL) {
        wait_for_tick(cycle);
        return;
    }
    if (dirty) {
        atomic_store(&cycle->wanted, false);
    }
    cycle->state = CYCLE_FLUSHING;
    cycle->flushing = node->host->n_lanes;
    for (uint32_t i = 0; i < node->host->n_lanes; i++) {
        struct lane_task *task = &node->tasks[i];
        task->flush_last = cycle->last;
        task->flush.home = &node->host->control;
        task->flush.finish = lane_flushed;
        loop_post(&task->lane->loop, &task->flush_message, task_flush, task);
    }
}

/* ---- committing ---- */

static bool collect_positions(struct cycle *cycle) {
    struct host_node *node = cycle_node(cycle);
    struct host *host = node->host;
    size_t n = 0;
    for (size_t s = 0; s < host->n_streams; s++) {
        n += host->streams[s]->state == STREAM_DETACHED ? 0 : host->streams[s]->n_readers;
    }
    size_t room = n * (1 + TALLIES) + 1;
    sl_position *positions = realloc(cycle->positions, room * sizeof(*positions));
    if (positions == NULL) {
        return false;
    }
    cycle->positions = positions;
    struct reader **committing = realloc(cycle->committing, (n + 1) * sizeof(struct reader *));
    if (committing == NULL) {
        return false;
    }
    cycle->committing = committing;
    cycle->n_committing = 0;
    for (size_t s = 0; s < host->n_streams; s++) {
        struct stream *stream = host->streams[s];
        for (size_t r = 0; r < stream->n_readers; r++) {
            struct reader *reader = &stream->readers[r];
            if (reader->node != node || reader->pending == SL_OFFSET_NONE ||
                reader->pending == reader->stored || stream->state == STREAM_DETACHED) {
                continue;
            }
            positions[cycle->n_committing] = (sl_position){.stream = &stream->pub,
                                                           .key = reader->key,
                                                           .input = reader->input,
                                                           .from = reader->stored,
                                                           .to = reader->pending};
            committing[cycle->n_committing++] = reader;
        }
    }
    cycle->n_positions = cycle->n_committing;
    for (size_t i = 0; i < cycle->n_committing; i++) {
        cycle->n_positions += accounts_move(committing[i], positions + cycle->n_positions);
    }
    return true;
}

static void committed(struct cycle *cycle) {
    for (size_t i = 0; i < cycle->n_committing; i++) {
        struct reader *reader = cycle->committing[i];
        reader->stored = cycle->positions[i].to;
        accounts_moved(reader);
        assignment_acknowledge(reader->stream);
    }
    cycle->n_pieces = 0;
    cycle->rows = false;
    cycle->retry = (struct retry){0};
    cycle->conflicts = 0;
    cycle->abandoned = 0;
    cycle->commits++;
    cycle->last_commit_us = sl_monotonic_us();
    record_latencies(cycle);
    atomic_store(&cycle->oldest_read_us, 0);
    cycle_end(cycle);
}

static void send_commit(struct cycle *cycle);

static void commit_again(uv_timer_t *timer) {
    struct cycle *cycle = timer->data;
    if (node_has_failed(cycle)) {
        give_up(cycle, NULL);
    } else {
        send_commit(cycle);
    }
}

static void kept(sl_request *request, sl_error *error) {
    struct cycle *cycle =
        (struct cycle *)(void *)((char *)request - offsetof(struct cycle, request));
    if (error == NULL) {
        committed(cycle);
    } else if (!recover(cycle, error) && !try_again(cycle, error, CYCLE_COMMIT_AGAIN)) {
        give_up(cycle, error);
    }
}

static void node_committed(sl_request *request, sl_error *error) {
    struct cycle *cycle =
        (struct cycle *)(void *)((char *)request - offsetof(struct cycle, request));
    struct host_node *node = cycle_node(cycle);
    if (error != NULL || node->keeper == NULL) {
        kept(request, error);
        return;
    }
    /* the node has them: what may be repeated now is only the keeping */
    cycle->n_pieces = cycle->commit.n_pieces = 0;
    request->finish = kept;
    keeper_store(node->keeper, cycle->positions, cycle->n_positions, request);
}

static void call_commit(void *arg) {
    struct cycle *cycle = arg;
    struct host_node *node = cycle_node(cycle);
    if (node->ops->commit == NULL) {
        host_done(&cycle->request,
                  cycle->commit.n_pieces == 0
                      ? NULL
                      : sl_error_new(SL_ERROR_FATAL,
                                     "the plugin's flush handed over a piece, but it has no "
                                     "operation node.commit to take it: the rows would be lost"));
        return;
    }
    struct object_clock clock = object_enter(&node->object);
    node->ops->commit(node->opened->node, &cycle->commit, &cycle->request);
    object_leave(&node->object, clock);
}

/* The same commit each time, whatever becomes of the streams meanwhile. */
static void send_commit(struct cycle *cycle) {
    struct host_node *node = cycle_node(cycle);
    cycle->state = CYCLE_COMMITTING;
    cycle->request.home = &node->host->control;
    cycle->request.finish = node_committed;
    loop_post(node->object.loop, &cycle->call, call_commit, cycle);
}

static void cycle_commit(struct cycle *cycle) {
    if (!collect_positions(cycle)) {
        give_up(cycle, sl_error_no_memory());
        return;
    }
    if (cycle->n_committing == 0 && cycle->n_pieces == 0) {
        cycle_end(cycle);
        return;
    }
    cycle->commit = (sl_commit){.struct_bytes = sizeof(cycle->commit),
                                .flags = cycle->last && !cycle->again ? SL_COMMIT_LAST : 0,
                                .positions = cycle->positions,
                                .n_positions = cycle->n_positions,
                                .pieces = cycle->pieces,
                                .n_pieces = cycle->n_pieces};
    note_oldest(cycle);
    send_commit(cycle);
}

/* ---- the outside ---- */

static void kicked(void *arg) {
    struct cycle *cycle = arg;
    atomic_store(&cycle->kicked, false);
    if (cycle->state != CYCLE_IDLE) {
        cycle->kick = true;
        return;
    }
    atomic_store(&cycle->wanted, true); /* the lane may not have come to the batches yet */
    cycle_begin(cycle);
}

void cycle_kick(struct cycle *cycle) {
    if (!atomic_exchange(&cycle->kicked, true)) {
        loop_post(&cycle_node(cycle)->host->control, &cycle->kick_message, kicked, cycle);
    }
}

void cycle_init(struct cycle *cycle, struct host_node *node) {
    uv_timer_init(&node->host->control.uv, &cycle->timer);
    cycle->timer.data = cycle;
    cycle->state = CYCLE_STOPPED;
}

void cycle_start(struct cycle *cycle) {
    cycle->state = CYCLE_IDLE;
    cycle->last_commit_us = cycle->started_us = sl_monotonic_us();
    wait_for_tick(cycle);
}

void cycle_reopen(struct cycle *cycle) {
    if (cycle->state == CYCLE_STOPPED && !node_has_failed(cycle)) {
        cycle->last = false;
        cycle_start(cycle);
    }
}

void cycle_restart(struct cycle *cycle) {
    sl_error_free(cycle->flush_error);
    cycle->flush_error = NULL;
    cycle->retry = (struct retry){0};
    cycle->conflicts = 0;
    cycle->last = cycle->again = cycle->kick = cycle->discard = cycle->recover = false;
    cycle_start(cycle);
}

void cycle_finish(struct cycle *cycle, bool last, struct cycle_waiter *waiter) {
    if (cycle->state == CYCLE_STOPPED) {
        cycle->held = cycle->held || waiter->hold; /* it may be reopened meanwhile */
        waiter->then(waiter->arg);
        return;
    }
    waiter->next = cycle->waiters;
    cycle->waiters = waiter;
    cycle->last = cycle->last || last;
    if (cycle->state == CYCLE_IDLE) {
        cycle_begin(cycle);
    } else {
        /* What the cycle under way has flushed may be too little: one more follows it. */
        cycle->again = true;
    }
}

static bool leave(struct cycle *cycle, const struct cycle_waiter *waiter) {
    struct cycle_waiter **at = &cycle->waiters;
    while (*at != NULL && *at != waiter) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        return false;
    }
    *at = waiter->next;
    return true;
}

bool cycle_abandon(struct cycle *cycle, const struct cycle_waiter *waiter) {
    if (!leave(cycle, waiter)) {
        return false;
    }
    cycle->held = cycle->held || waiter->hold;
    cycle->again = cycle->again && cycle->waiters != NULL;
    /* a recovery that does not wait for what is under way cannot forgive it */
    cycle->recover = cycle->recover || !cycle->discard || cycle->state != CYCLE_FLUSH_AGAIN;
    cycle->abandoned += cycle->discard ? 0 : 1;
    cycle->discard = true;
    if (cycle->state == CYCLE_FLUSH_AGAIN) {
        uv_timer_stop(&cycle->timer);
        drop_pieces(cycle);
        cycle_end(cycle);
    }
    return true;
}

void cycle_stop(struct cycle *cycle) {
    uv_timer_stop(&cycle->timer);
    cycle->state = CYCLE_STOPPED;
    drop_pieces(cycle);
}

void cycle_free(struct cycle *cycle) {
    sl_error_free(cycle->flush_error);
    free(cycle->pieces);
    free(cycle->positions);
    free(cycle->committing);
    free(cycle->latencies.items);
}
