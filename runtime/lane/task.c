/*
 * A task on its lane: takes batches from its inputs one by one, emits, flushes. Keeps the coverage
 * of its readers, so that rows that were filtered out still move positions.
 */
#include "delivery/accounts.h"
#include "delivery/cycle.h"
#include "delivery/stream.h"
#include "host/run.h"
#include "lane/branch.h"
#include "lane/lane.h"
#include "lane/rejects.h"

#include <stdlib.h>
#include <string.h>

#include "columns/raw.h"

bool task_is_empty(const struct lane_task *task) {
    for (size_t i = 0; i < task->object.node->spec->n_inputs; i++) {
        if (task->inputs[i].head != NULL) {
            return false;
        }
    }
    return true;
}

void task_ready(struct lane_task *task) {
    bool waits = task->paused || task->backing_off;
    if (task->ready || task_is_empty(task) ||
        (waits && !atomic_load_explicit(&task->object.node->failed, memory_order_relaxed))) {
        return;
    }
    task->ready = true;
    *task->lane->ready_tail = task;
    task->lane->ready_tail = &task->next_ready;
    lane_spin(task->lane);
}

void task_fail(struct lane_task *task, sl_error *error) {
    struct host_node *node = task->object.node;
    atomic_store(&node->failed, true);
    host_node_failed(node, error);
    lane_spin(task->lane);
}

static void retry_fires(uv_timer_t *timer) {
    struct lane_task *task = timer->data;
    task->backing_off = false;
    task_ready(task);
}

/* Puts the batch back and tries again later, or gives up after retry.timeout. Takes the error and
 * the batch. */
static void back_off(struct lane_task *task, struct lane_edge *edge, struct batch *batch,
                     sl_error *error) {
    struct host *host = task->object.host;
    if (!retry_allowed(host, &task->retry, error) || !edge_push_back(edge, batch)) {
        batch_release(&batch->pub);
        task_fail(task, error);
        return;
    }
    task->backing_off = true;
    atomic_fetch_add_explicit(&task->retries, 1, memory_order_relaxed);
    uint64_t pause_ms =
        retry_pause_ms(host, &task->retry, task->object.node->spec->name, "process", error);
    uv_timer_start(&task->retry_timer, retry_fires, pause_ms, 0);
}

static bool sample_latency(struct lane_task *task, const struct batch *batch) {
    struct latency_samples *taken = &task->taken;
    if (taken->n == taken->capacity) {
        size_t capacity = taken->capacity == 0 ? 64 : taken->capacity * 2;
        struct latency_sample *grown = realloc(taken->items, capacity * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        taken->items = grown;
        taken->capacity = capacity;
    }
    taken->items[taken->n++] =
        (struct latency_sample){batch->read_us, batch->age_us, batch->pub.rows};
    return true;
}

/* What leaves with the end of an input's range accounts for its records. */
static void carry_counts(const struct lane_task *task, const struct batch *from,
                         struct batch *batch) {
    if (batch->pub.next_offset >= from->pub.next_offset) {
        batch->records = from->records;
        batch->dropped = from->dropped + task->dropping;
    }
}

/* Sends on what the task did not: every output must cover what the input covered. */
static void cover_outputs(struct lane_task *task, const struct batch *batch) {
    struct host_node *node = task->object.node;
    struct stream *stream = stream_of(batch->pub.stream);
    int64_t *emitted_to = stream->emitted_to + node->first_output;
    for (uint32_t output = 0; output < node->opened->n_outputs; output++) {
        bool covered = emitted_to[output] >= batch->pub.next_offset;
        if (covered && (batch->pub.flags & SL_BATCH_AT_END) == 0) {
            continue;
        }
        struct batch *empty;
        int64_t first = emitted_to[output] < batch->pub.first_offset ? batch->pub.first_offset
                                                                     : emitted_to[output];
        sl_error *error = batch_new_empty(&node->opened->outputs[output], batch->pub.stream,
                                          batch->pub.flags & SL_BATCH_AT_END, first,
                                          batch->pub.next_offset, batch->read_us, &empty);
        if (error != NULL) {
            task_fail(task, error);
            return;
        }
        emitted_to[output] = batch->pub.next_offset;
        if (!covered) {
            carry_counts(task, batch, empty);
        }
        lane_push(task->lane, node, output, empty);
    }
}

static void took(struct lane_task *task, struct lane_edge *edge, struct reader *reader,
                 const struct batch *batch) {
    const sl_batch *pub = &batch->pub;
    int64_t rejected = rejects_since(task);
    if (stream_of(pub->stream)->fed == NULL) {
        atomic_fetch_add_explicit(&edge->rows, pub->rows, memory_order_relaxed);
        atomic_fetch_add_explicit(&edge->batches, pub->rows > 0, memory_order_relaxed);
        atomic_fetch_add_explicit(&edge->bytes, pub->rows > 0 ? (int64_t)pub->memory_bytes : 0,
                                  memory_order_relaxed);
    }
    if (edge->taken_us == 0 && pub->rows > 0 && task->object.node->has_cycle) {
        edge->taken_us = batch->read_us;
    }
    task->rows_since_flush += pub->rows;
    task->retry = (struct retry){0};
    if (reader != NULL) {
        accounts_took(reader, batch, rejected, task->dropping);
        if (pub->next_offset > reader->covered) {
            reader->covered = pub->next_offset;
        }
        if (pub->rows > 0 && !sample_latency(task, batch)) {
            task->taken.n = 0; /* a lost sample is no reason to fail */
        }
        cycle_mark_dirty(&task->object.node->cycle);
    }
    if (task->object.node->passes) {
        cover_outputs(task, batch);
    }
}

static sl_error *process(struct lane_task *task, uint32_t input, struct batch *batch) {
    struct host_node *node = task->object.node;
    task->dropping = 0;
    task->refused = false;
    if (node->spec->kind == TOPOLOGY_SINK && batch->pub.rows == 0) {
        return NULL;
    }
    task->current = batch;
    struct object_clock clock = object_enter(&task->object);
    sl_error *error = node->task_ops->process(task->plugin, input, &batch->pub);
    object_leave(&task->object, clock);
    if (error == NULL) {
        error = rejects_settle(task, &batch->pub);
    } else {
        rejects_forget(task);
    }
    task->current = NULL;
    return error;
}

/* The input in turn that has a batch. */
static uint32_t choose_input(struct lane_task *task) {
    uint32_t n = (uint32_t)task->object.node->spec->n_inputs;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t input = (task->next_input + i) % n;
        if (task->inputs[input].head != NULL) {
            task->next_input = (input + 1) % n;
            return input;
        }
    }
    return 0;
}

static void after_step(struct lane_task *task) {
    if (!task_is_empty(task)) {
        return;
    }
    if (task->flush_when_empty) {
        task->flush_when_empty = false;
        task_flush(task);
    }
    if (task->drain_asked) {
        task_drain(task);
    }
}

/* Takes the batch through the plugin and accounts for it; false when it was put back to be tried
 * again. Takes the batch unless so. */
static bool take(struct lane_task *task, uint32_t input, struct reader *reader,
                 struct batch *batch) {
    struct lane_edge *edge = &task->inputs[input];
    sl_error *error = process(task, input, batch);
    if (error != NULL && sl_error_is(error, SL_ERROR_RETRIABLE)) {
        back_off(task, edge, batch, error);
        return false;
    }
    if (error != NULL && task->refused) {
        task_fail(task, error); /* it names the record */
    } else if (error != NULL) {
        const sl_stream *stream = batch->pub.stream;
        const char *blind = sl_error_is(error, SL_ERROR_RECORD)
                                ? " (the plugin does not say at which, so \"errors.tolerance\" "
                                  "does not apply)"
                                : "";
        task_fail(task,
                  sl_error_wrap(error, "at %s partition %d offsets %lld to %lld%s", stream->topic,
                                (int)stream->partition, (long long)batch->pub.first_offset,
                                (long long)batch->pub.next_offset - 1, blind));
    } else {
        took(task, edge, reader, batch);
    }
    batch_release(&batch->pub);
    return true;
}

static int64_t needed_from(const struct host_node *node, const struct reader *reader) {
    return (node->flags & SL_ROLE_REPLAYS) != 0 ? reader->begins : reader->position;
}

/* What the node has already stays away from it, but not that the stream is at its end. Takes the
 * batch; NULL: nothing is left of it. */
static struct batch *withhold(struct lane_task *task, struct lane_edge *edge, struct batch *batch) {
    const sl_batch *pub = &batch->pub;
    atomic_fetch_add_explicit(&edge->replayed_rows, pub->rows, memory_order_relaxed);
    struct batch *empty = NULL;
    if ((pub->flags & SL_BATCH_AT_END) != 0) {
        sl_error *error = batch_new_empty(pub->schema, pub->stream, pub->flags, pub->next_offset,
                                          pub->next_offset, batch->read_us, &empty);
        if (error != NULL) {
            task_fail(task, error);
        }
    }
    batch_release(pub);
    return empty;
}

/* Every offset below the batch has come to this input, or none of what follows may be committed:
 * what is missing would never be asked for again. The node fails, and goes on from what is stored
 * once it is restarted. True when it had to. */
static bool fail_on_gap(struct lane_task *task, const struct reader *reader,
                        const sl_batch *batch) {
    if (reader == NULL || batch->first_offset <= reader->covered) {
        return false;
    }
    task_fail(task, sl_error_new(
                        SL_ERROR_FATAL,
                        "offsets %lld to %lld of %s %s partition %d have not come to input %s, "
                        "and %lld has: a fault of sluice, or of a plugin between the two, that "
                        "left out what it covers. Nothing of it is committed; a restart of the "
                        "node reads it again",
                        (long long)reader->covered, (long long)batch->first_offset - 1,
                        batch->stream->source, batch->stream->topic, (int)batch->stream->partition,
                        task->object.node->spec->inputs[reader->input].name,
                        (long long)batch->first_offset));
    return true;
}

static void drop_inputs(struct lane_task *task) {
    for (size_t i = 0; i < task->object.node->spec->n_inputs; i++) {
        edge_clear(&task->inputs[i]);
        task->inputs[i].taken_us = 0;
    }
    edges_note_fill(task);
    after_step(task);
}

void task_step(struct lane_task *task) {
    struct host_node *node = task->object.node;
    if (atomic_load_explicit(&node->failed, memory_order_relaxed)) {
        drop_inputs(task);
        return;
    }
    uint32_t input = choose_input(task);
    struct lane_edge *edge = &task->inputs[input];
    struct batch *batch = edge_pop(edge);
    if (batch == NULL) {
        return;
    }
    struct stream *stream = stream_of(batch->pub.stream);
    struct reader *reader = stream->reader_by_edge[edge->index];
    if (!stream->attached || batch->pub.epoch != stream->pub.epoch) {
        /* Of an assignment that has ended: whoever has the stream now reads it again. So does a
         * feed that was started anew meanwhile. */
        batch_release(&batch->pub);
        batch = NULL;
    } else if (fail_on_gap(task, reader, &batch->pub)) {
        batch_release(&batch->pub);
        batch = NULL;
    } else if (reader != NULL && batch->pub.next_offset <= needed_from(node, reader)) {
        batch = withhold(task, edge, batch);
    }
    if (batch == NULL) {
        task->retry = (struct retry){0};
    }
    bool taken = batch == NULL || take(task, input, reader, batch);
    edge_note_fill(edge, task);
    if (taken) {
        after_step(task);
    }
}

/* ---- emitting ---- */

/* What a feed reads again has been counted, or will be, when its stream passes. */
static void count_out(struct lane_task *task, uint32_t output, const struct batch *batch) {
    if (stream_of(batch->pub.stream)->fed != NULL) {
        return;
    }
    atomic_fetch_add_explicit(&task->rows_out[output], batch->pub.rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&task->bytes_out[output], (int64_t)batch->pub.memory_bytes,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&task->batches_out[output], batch->pub.rows > 0,
                              memory_order_relaxed);
}

static void push_sent(struct lane_task *task, uint32_t output, struct batch *batch) {
    accounts_sent(stream_of(batch->pub.stream), batch);
    lane_push(task->lane, task->object.node, output, batch);
}

sl_error *task_push_cut(struct lane_task *task, uint32_t output, struct batch *batch) {
    struct stream *stream = stream_of(batch->pub.stream);
    while (stream->next_cut < stream->n_cuts) {
        int64_t cut = stream->cuts[stream->next_cut];
        if (cut >= batch->pub.next_offset) {
            break;
        }
        stream->next_cut++;
        if (cut <= batch->pub.first_offset) {
            continue;
        }
        struct batch *head;
        struct batch *tail;
        sl_error *error = batch_cut(batch, cut, &head, &tail);
        batch_release(&batch->pub);
        if (error != NULL) {
            return error;
        }
        push_sent(task, output, head);
        batch = tail;
    }
    if (batch->pub.first_offset >= stream->stop && batch->pub.next_offset > stream->stop) {
        batch_release(&batch->pub); /* beyond the bound, which is one of the cuts */
        return NULL;
    }
    push_sent(task, output, batch);
    return NULL;
}

/* How old the batch's first record is, by its own timestamp; others may be older where producers
 * set timestamps. */
static void note_age(struct lane_task *task, struct batch *batch) {
    if (batch->pub.rows == 0 || !sl_raw_is(batch->pub.schema)) {
        return;
    }
    const int64_t *timestamps = batch->columns.children[SL_RAW_TIMESTAMP]->buffers[1];
    if (timestamps[0] <= 0) {
        return; /* Kafka has none for the record */
    }
    int64_t age_us = sl_now_us() - timestamps[0];
    batch->age_us = age_us > 0 ? age_us : 0;
    if (stream_of(batch->pub.stream)->fed == NULL) {
        atomic_store_explicit(&task->age_us, batch->age_us, memory_order_relaxed);
    }
}

/* What is made of rows of open windows is no more final than they are, whatever the plugin says. */
static void carry_updates(const struct batch *from, struct batch *batch) {
    if (batch->pub.stream == from->pub.stream &&
        batch->pub.first_offset >= from->pub.first_offset) {
        batch->pub.flags |= from->pub.flags & SL_BATCH_UPDATES;
    }
}

sl_error *task_emit(struct lane_task *task, uint32_t output, sl_emission *emission) {
    struct host_node *node = task->object.node;
    struct stream *stream = stream_of(emission->stream);
    bool source = node->spec->kind == TOPOLOGY_SOURCE;
    int64_t read_us = source || task->current == NULL ? sl_monotonic_us() : task->current->read_us;
    struct batch *batch;
    sl_error *error = batch_new(&node->opened->outputs[output], emission, read_us, &batch);
    if (error != NULL) {
        return error;
    }
    if (source) {
        note_age(task, batch);
    } else if (task->current != NULL) {
        batch->age_us = task->current->age_us;
        carry_updates(task->current, batch);
    }
    count_out(task, output, batch);
    stream->emitted_to[node->first_output + output] = batch->pub.next_offset;
    if (!source) {
        if (task->current != NULL) {
            carry_counts(task, task->current, batch);
        }
        lane_push(task->lane, node, output, batch);
        return NULL;
    }
    batch->records = batch->pub.rows;
    atomic_store_explicit(&stream->next_offset, batch->pub.next_offset, memory_order_relaxed);
    if (stream->fed != NULL) {
        error = branch_limit(stream, output, batch, &batch);
    } else {
        stream->at_end = (batch->pub.flags & SL_BATCH_AT_END) != 0;
    }
    return error != NULL || batch == NULL ? error : task_push_cut(task, output, batch);
}

sl_error *task_forward(struct lane_task *task, uint32_t output, const sl_batch *pub) {
    struct host_node *node = task->object.node;
    struct batch *batch = batch_of(pub);
    batch_retain(pub);
    count_out(task, output, batch);
    stream_of(pub->stream)->emitted_to[node->first_output + output] = pub->next_offset;
    lane_push(task->lane, node, output, batch);
    return NULL;
}

void task_dropped(struct lane_task *task, const sl_stream *stream, const char *reason,
                  int64_t rows) {
    task->dropping += rows;
    size_t i = 0;
    if (stream_of(stream)->fed != NULL) {
        return;
    }
    while (i < DROPPED_REASONS_MAX - 1) {
        const char *known = atomic_load_explicit(&task->dropped[i].reason, memory_order_relaxed);
        if (known == NULL || strcmp(known, reason) == 0) {
            break;
        }
        i++;
    }
    atomic_store(&task->dropped[i].reason, reason);
    atomic_fetch_add_explicit(&task->dropped[i].rows, rows, memory_order_relaxed);
}

/* ---- flushing ---- */

/* Notes how far each reader of the task has got: that is what the piece covers. Between two flushes
 * the notes are the control loop's, so they grow here and not when a reader comes. */
static bool note_coverage(struct lane_task *task) {
    if (task->n_readers > task->capacity_flushed_to) {
        struct flushed_to *grown =
            realloc(task->flushed_to, task->capacity_readers * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        task->flushed_to = grown;
        task->capacity_flushed_to = task->capacity_readers;
    }
    for (size_t i = 0; i < task->n_readers; i++) {
        struct flushed_to *to = &task->flushed_to[i];
        *to = (struct flushed_to){task->readers[i], task->readers[i]->covered, {0}};
        memcpy(to->counts, task->readers[i]->counts, sizeof(to->counts));
    }
    task->n_flushed_to = task->n_readers;
    return true;
}

static void hand_over_samples(struct lane_task *task) {
    struct latency_samples emptied = task->flushed;
    emptied.n = 0;
    task->flushed = task->taken;
    task->taken = emptied;
}

/* What was taken is on its way: the inputs have room for what comes. */
static void forget_taken(struct lane_task *task) {
    for (size_t i = 0; i < task->object.node->spec->n_inputs; i++) {
        task->inputs[i].taken_us = 0;
    }
    edges_note_fill(task);
}

void task_flush(void *arg) {
    struct lane_task *task = arg;
    struct host_node *node = task->object.node;
    bool failed = atomic_load_explicit(&node->failed, memory_order_relaxed);
    if (task->flush_last && !task_is_empty(task) && !failed) {
        task->flush_when_empty = true;
        lane_spin(task->lane);
        return;
    }
    /* A flush that is tried again covers what its first try covered: what was taken since belongs
     * to the next one. */
    if (!task->flush_again) {
        task->flushed_rows = task->rows_since_flush > 0;
        if (!note_coverage(task)) {
            host_done(&task->flush, sl_error_no_memory());
            return;
        }
        hand_over_samples(task);
        task->rows_since_flush = 0;
        forget_taken(task);
        lane_spin(task->lane); /* an input that counted as full takes a batch again */
    }
    task->piece = NULL;
    if (failed || !task->flushed_rows || node->task_ops->flush == NULL) {
        host_done(&task->flush, NULL);
        return;
    }
    struct object_clock clock = object_enter(&task->object);
    node->task_ops->flush(task->plugin, &task->piece, &task->flush);
    object_leave(&task->object, clock);
}

void task_drain(void *arg) {
    struct lane_task *task = arg;
    bool failed = atomic_load_explicit(&task->object.node->failed, memory_order_relaxed);
    task->drain_asked = (!task_is_empty(task) || branches_owe(task)) && !failed;
    if (task->drain_asked) {
        lane_spin(task->lane);
        return;
    }
    host_task_empty(task);
}

/* ---- life ---- */

sl_error *task_add_reader(struct lane_task *task, struct reader *reader) {
    if (task->n_readers == task->capacity_readers) {
        size_t capacity = task->capacity_readers == 0 ? 16 : task->capacity_readers * 2;
        struct reader **readers = realloc(task->readers, capacity * sizeof(struct reader *));
        if (readers == NULL) {
            return sl_error_no_memory();
        }
        task->readers = readers;
        task->capacity_readers = capacity;
    }
    task->readers[task->n_readers++] = reader;
    return NULL;
}

void task_remove_reader(struct lane_task *task, const struct reader *reader) {
    for (size_t i = 0; i < task->n_readers; i++) {
        if (task->readers[i] == reader) {
            task->readers[i] = task->readers[--task->n_readers];
            return;
        }
    }
}

sl_error *task_reopen(struct lane_task *task) {
    struct host_node *node = task->object.node;
    const sl_task_context context = {.struct_bytes = sizeof(context),
                                     .lane = task->lane->index,
                                     .services = host_services(),
                                     .self = &task->object};
    struct object_clock clock = object_enter(&task->object);
    sl_error *error = node->task_ops->open(node->opened->node, &context, &task->plugin);
    object_leave(&task->object, clock);
    task->opened = error == NULL;
    return error;
}

sl_error *task_open(struct lane_task *task) {
    uv_timer_init(&task->lane->loop.uv, &task->retry_timer);
    task->retry_timer.data = task;
    task->has_timer = true;
    return task_reopen(task);
}

static void close_plugin(struct lane_task *task) {
    if (task->opened && task->object.node->task_ops->close != NULL) {
        struct object_clock clock = object_enter(&task->object);
        task->object.node->task_ops->close(task->plugin);
        object_leave(&task->object, clock);
    }
    task->opened = false;
    for (size_t i = 0; i < task->object.node->spec->n_inputs; i++) {
        edge_clear(&task->inputs[i]);
    }
    host_charge(task->object.host, -(int64_t)task->held_bytes);
    task->held_bytes = 0;
}

void task_shut(struct lane_task *task) {
    close_plugin(task);
    if (task->has_timer) {
        uv_timer_stop(&task->retry_timer);
    }
    task->retry = (struct retry){0};
    task->paused = task->backing_off = false;
    task->flush_again = task->flush_void = task->flush_last = task->flush_when_empty = false;
    task->rows_since_flush = 0;
    task->taken.n = 0;
    object_reset_gauges(&task->object);
}

void task_close(struct lane_task *task) {
    close_plugin(task);
    if (task->has_timer) {
        uv_close((uv_handle_t *)&task->retry_timer, NULL);
        task->has_timer = false;
    }
}
