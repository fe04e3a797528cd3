/* The services table: what plugins may ask of the host. See sdk/include/sluice/services.h. */
#include "delivery/assignment.h"
#include "delivery/cycle.h"
#include "delivery/stream.h"
#include "host/batch.h"
#include "host/network.h"
#include "host/run.h"
#include "host/services_http.h"
#include "lane/branch.h"
#include "lane/lane.h"
#include "lane/rejects.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

/* ---- errors and requests ---- */

static sl_error *error_new(sl_error_class error_class, const char *message) {
    return sl_error_new(error_class, "%s", message);
}

static void finish_request(void *arg) {
    sl_request *request = arg;
    sl_error *error = request->error;
    request->error = NULL;
    request->finish(request, error);
}

void host_done(sl_request *request, sl_error *error) {
    request->error = error;
    loop_post(request->home, &request->message, finish_request, request);
}

/* ---- batches ---- */

struct node_emission {
    struct stream *stream;
    struct batch *batch;
};

/* Results came with a commit: their readers commit at once instead of waiting for a second timer.
 */
static void kick_readers(struct stream *stream) {
    if (stream->fed != NULL) {
        cycle_kick(&stream->fed->task->object.node->cycle);
    }
    for (size_t i = 0; i < stream->n_readers; i++) {
        cycle_kick(&stream->readers[i].node->cycle);
    }
}

static void push_on_lane(void *arg) {
    struct node_emission *emission = arg;
    struct stream *stream = emission->stream;
    if (stream->attached) {
        struct lane_task *task = &stream->owner->tasks[stream->lane->index];
        size_t output = stream->owner->first_output + stream->output;
        stream->emitted_to[output] = emission->batch->pub.next_offset;
        sl_error *error = task_push_cut(task, stream->output, emission->batch);
        if (error != NULL) {
            task_fail(task, error);
        }
        kick_readers(stream);
    } else {
        batch_release(&emission->batch->pub);
    }
    stream_let_go(stream);
    free(emission);
}

/* From the node of a stateful transform: its results go to the lane of its stream. */
static sl_error *node_emit(struct host_node *node, uint32_t output, sl_emission *emission) {
    struct batch *batch;
    int64_t read_us = atomic_load(&node->cycle.oldest_read_us);
    sl_error *error = batch_new(&node->opened->outputs[output], emission,
                                read_us != 0 ? read_us : sl_monotonic_us(), &batch);
    if (error != NULL) {
        return error;
    }
    batch->age_us = read_us != 0 ? atomic_load(&node->cycle.oldest_age_us) : -1;
    struct node_emission *message = malloc(sizeof(*message));
    if (message == NULL) {
        batch_release(&batch->pub);
        return sl_error_no_memory();
    }
    *message = (struct node_emission){stream_of(emission->stream), batch};
    if (message->stream->fed == NULL) {
        atomic_fetch_add_explicit(&node->tasks[0].rows_out[output], batch->pub.rows,
                                  memory_order_relaxed);
        atomic_fetch_add_explicit(&node->tasks[0].bytes_out[output],
                                  (int64_t)batch->pub.memory_bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&node->tasks[0].batches_out[output], batch->pub.rows > 0,
                                  memory_order_relaxed);
    }
    struct stream *stream = message->stream;
    stream_use(stream); /* beyond the batch */
    error = loop_post_new(&stream->lane->loop, push_on_lane, message);
    if (error != NULL) {
        batch_release(&batch->pub);
        stream_let_go(stream);
        free(message);
    }
    return error;
}

static sl_error *emit(sl_object *self, uint32_t output, sl_emission *emission) {
    if (output >= self->node->opened->n_outputs) {
        if (emission->columns != NULL && emission->columns->release != NULL) {
            emission->columns->release(emission->columns);
        }
        return sl_error_new(SL_ERROR_FATAL, "emitted to output %u of %zu", (unsigned)output,
                            self->node->opened->n_outputs);
    }
    if (self->kind == OBJECT_NODE) {
        return node_emit(object_node(self), output, emission);
    }
    return task_emit(object_task(self), output, emission);
}

static sl_error *forward(sl_object *self, uint32_t output, const sl_batch *batch) {
    return task_forward(object_task(self), output, batch);
}

static void dropped(sl_object *self, const sl_stream *stream, const char *reason, int64_t rows) {
    task_dropped(object_task(self), stream, reason, rows);
}

static sl_error *reject(sl_object *self, const sl_batch *batch, int64_t row, const sl_reject *why) {
    return rejects_add(object_task(self), batch, row, why);
}

static void hold(sl_object *self, size_t bytes) {
    struct lane_task *task = object_task(self);
    if (atomic_load_explicit(&self->node->failed, memory_order_relaxed)) {
        bytes = 0; /* it gives nothing back any more, and memory.max must not wait for it */
    }
    bool less = bytes < task->held_bytes;
    host_charge(self->host, (int64_t)bytes - (int64_t)task->held_bytes);
    task->held_bytes = bytes;
    edges_note_fill(task);
    if (less) {
        lane_spin(task->lane);
    }
}

static void pause_task(sl_object *self, int on) {
    struct lane_task *task = object_task(self);
    task->paused = on != 0;
    if (!task->paused) {
        task_ready(task);
    }
}

static void hold_back(sl_object *self, const sl_stream *pub, int on) {
    struct stream *stream = stream_of(pub);
    for (size_t i = 0; i < stream->n_edges; i++) {
        if (stream->edge_tasks[i] == object_task(self)) {
            stream->held[i] = on != 0;
        }
    }
    if (on == 0) {
        lane_spin(stream->lane);
    }
}

/* ---- sources ---- */

/* Stream names on their way to the control loop. */
struct names {
    struct host_node *node;
    sl_stream_name *items;
    size_t n;
    bool lost;
    void (*revoked)(void *arg);
    void *revoked_arg;
};

static void names_free(struct names *names) {
    for (size_t i = 0; i < names->n; i++) {
        free((char *)(uintptr_t)names->items[i].topic);
    }
    free(names->items);
    free(names);
}

static struct names *names_copy(struct host_node *node, const sl_stream_name *items, size_t n) {
    struct names *names = calloc(1, sizeof(*names));
    if (names == NULL || (names->items = calloc(n + 1, sizeof(*items))) == NULL) {
        free(names);
        return NULL;
    }
    names->node = node;
    for (size_t i = 0; i < n; i++) {
        char *topic = strdup(items[i].topic);
        if (topic == NULL) {
            names_free(names);
            return NULL;
        }
        names->items[names->n++] = (sl_stream_name){topic, items[i].partition};
    }
    return names;
}

/* A transform's own streams are named as its outputs. */
static uint32_t output_of(const struct host_node *node, const char *topic) {
    uint32_t output = 0;
    for (uint32_t o = 0; node->spec->kind == TOPOLOGY_TRANSFORM && o < node->opened->n_outputs;
         o++) {
        output = strcmp(node->opened->output_names[o], topic) == 0 ? o : output;
    }
    return output;
}

static void assign_on_control(void *arg) {
    struct names *names = arg;
    sl_error *error = NULL;
    for (size_t i = 0, n; i < names->n && error == NULL; i += n) {
        uint32_t output = output_of(names->node, names->items[i].topic);
        for (n = 1; i + n < names->n; n++) {
            if (output_of(names->node, names->items[i + n].topic) != output) {
                break;
            }
        }
        error = assignment_add(names->node, output, names->items + i, n);
    }
    if (error != NULL) {
        host_node_failed(names->node, error);
    }
    names_free(names);
}

static void assign(sl_object *self, const sl_stream_name *items, size_t n) {
    struct names *names = names_copy(self->node, items, n);
    sl_error *error = names == NULL ? sl_error_no_memory()
                                    : loop_post_new(&self->host->control, assign_on_control, names);
    if (error != NULL) {
        if (names != NULL) {
            names_free(names);
        }
        host_node_failed(self->node, error);
    }
}

static void revoke_on_control(void *arg) {
    struct names *names = arg;
    sl_error *error = assignment_revoke(names->node, names->items, names->n, names->lost,
                                        names->revoked, names->revoked_arg);
    if (error != NULL) {
        host_node_failed(names->node, error);
    }
    names_free(names);
}

static void revoke_streams(sl_object *self, const sl_stream_name *items, size_t n, int lost,
                           void (*revoked)(void *arg), void *arg) {
    struct names *names = names_copy(self->node, items, n);
    sl_error *error = sl_error_no_memory();
    if (names != NULL) {
        names->lost = lost != 0;
        names->revoked = revoked;
        names->revoked_arg = arg;
        error = loop_post_new(&self->host->control, revoke_on_control, names);
    }
    if (error != NULL) {
        if (names != NULL) {
            names_free(names);
        }
        host_node_failed(self->node, error);
    }
}

static void wake(sl_object *self, const sl_stream *stream) {
    lane_wake(object_task(self)->lane, stream);
}

static void all_assigned_on_control(void *arg) {
    struct host_node *node = arg;
    node->all_assigned = true;
    host_advance(node->host);
}

static void all_assigned(sl_object *self) {
    sl_error *error = loop_post_new(&self->host->control, all_assigned_on_control, self->node);
    if (error != NULL) {
        host_node_failed(self->node, error);
    }
}

struct missing_streams {
    struct host_node *node;
    size_t missing;
    size_t total;
};

static void missing_on_control(void *arg) {
    struct missing_streams *said = arg;
    sl_error *error = assignment_missing(said->node, said->missing, said->total);
    if (error != NULL) {
        host_node_failed(said->node, error);
    }
    free(said);
}

static void missing(sl_object *self, size_t n, size_t total) {
    struct missing_streams *said = malloc(sizeof(*said));
    sl_error *error = sl_error_no_memory();
    if (said != NULL) {
        *said = (struct missing_streams){self->node, n, total};
        error = loop_post_new(&self->host->control, missing_on_control, said);
    }
    if (error != NULL) {
        free(said);
        host_node_failed(self->node, error);
    }
}

struct overtaking {
    struct stream *stream;
    int64_t offset;
};

static void overtaken_on_control(void *arg) {
    struct overtaking *said = arg;
    assignment_overtaken(said->stream, said->offset);
    stream_let_go(said->stream);
    free(said);
}

/* Lost for want of memory: the node says it again. */
static void overtaken(sl_object *self, const sl_stream *stream, int64_t offset) {
    struct overtaking *said = malloc(sizeof(*said));
    if (said == NULL) {
        return;
    }
    *said = (struct overtaking){stream_of(stream), offset};
    stream_use(said->stream);
    sl_error *error = loop_post_new(&self->host->control, overtaken_on_control, said);
    if (error != NULL) {
        sl_error_free(error);
        stream_let_go(said->stream);
        free(said);
    }
}

/* ---- I/O ---- */

static sl_error *store_open(sl_object *self, const char *url, sl_store **out) {
    return network_store_open(self->host->network, url, false, out);
}

static sl_store *state_store(sl_object *self) {
    return self->node->state_store;
}

struct work {
    uv_work_t uv;
    sl_object *self;
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void work_run(uv_work_t *uv) {
    struct work *work = uv->data;
    struct object_clock clock = object_enter(work->self);
    work->run(work->arg);
    object_leave(work->self, clock);
}

static void work_done(uv_work_t *uv, int status) {
    struct work *work = uv->data;
    (void)status;
    struct object_clock clock = object_enter(work->self);
    work->done(work->arg);
    object_leave(work->self, clock);
    object_work_ended(work->self);
    free(work);
}

static sl_error *work_queue(sl_object *self, void (*run)(void *arg), void (*done)(void *arg),
                            void *arg) {
    struct work *work = calloc(1, sizeof(*work));
    if (work == NULL) {
        return sl_error_no_memory();
    }
    *work = (struct work){.self = self, .run = run, .done = done, .arg = arg};
    work->uv.data = work;
    int status = uv_queue_work(&self->loop->uv, &work->uv, work_run, work_done);
    if (status != 0) {
        free(work);
        return sl_error_new(SL_ERROR_FATAL, "cannot queue work: %s", uv_strerror(status));
    }
    self->works++;
    return NULL;
}

/* ---- loop ---- */

struct sl_timer {
    uv_timer_t uv;
    sl_object *self;
    void (*fire)(void *arg);
    void *arg;
};

static void timer_fires(uv_timer_t *uv) {
    sl_timer *timer = uv->data;
    struct object_clock clock = object_enter(timer->self);
    sl_object *self = timer->self; /* the callback may stop the timer */
    timer->fire(timer->arg);
    object_leave(self, clock);
}

static sl_error *timer_start(sl_object *self, uint64_t delay_ms, uint64_t repeat_ms,
                             void (*fire)(void *arg), void *arg, sl_timer **out) {
    sl_timer *timer = calloc(1, sizeof(*timer));
    if (timer == NULL) {
        return sl_error_no_memory();
    }
    timer->self = self;
    timer->fire = fire;
    timer->arg = arg;
    uv_timer_init(&self->loop->uv, &timer->uv);
    timer->uv.data = timer;
    uv_timer_start(&timer->uv, timer_fires, delay_ms, repeat_ms);
    *out = timer;
    return NULL;
}

static void free_handle(uv_handle_t *handle) {
    free(handle->data);
}

static void timer_stop(sl_timer *timer) {
    uv_close((uv_handle_t *)&timer->uv, free_handle);
}

struct sl_watch {
    uv_poll_t uv;
    sl_object *self;
    void (*readable)(void *arg);
    void *arg;
};

static void watch_fires(uv_poll_t *uv, int status, int events) {
    sl_watch *watch = uv->data;
    (void)status;
    (void)events;
    struct object_clock clock = object_enter(watch->self);
    sl_object *self = watch->self;
    watch->readable(watch->arg);
    object_leave(self, clock);
}

static sl_error *watch_start(sl_object *self, int fd, void (*readable)(void *arg), void *arg,
                             sl_watch **out) {
    sl_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        return sl_error_no_memory();
    }
    watch->self = self;
    watch->readable = readable;
    watch->arg = arg;
    watch->uv.data = watch;
    int status = uv_poll_init(&self->loop->uv, &watch->uv, fd);
    if (status != 0) {
        free(watch);
        return sl_error_new(SL_ERROR_FATAL, "cannot watch descriptor %d: %s", fd,
                            uv_strerror(status));
    }
    uv_poll_start(&watch->uv, UV_READABLE, watch_fires);
    *out = watch;
    return NULL;
}

static void unwatch(sl_watch *watch) {
    uv_poll_stop(&watch->uv);
    uv_close((uv_handle_t *)&watch->uv, free_handle);
}

struct post {
    sl_object *self;
    void (*fn)(void *arg);
    void *arg;
};

static void run_post(void *arg) {
    struct post *post = arg;
    struct object_clock clock = object_enter(post->self);
    post->fn(post->arg);
    object_leave(post->self, clock);
    free(post);
}

static sl_error *post_fn(sl_object *self, void (*fn)(void *arg), void *arg) {
    struct post *post = malloc(sizeof(*post));
    if (post == NULL) {
        return sl_error_no_memory();
    }
    *post = (struct post){self, fn, arg};
    sl_error *error = loop_post_new(self->loop, run_post, post);
    if (error != NULL) {
        free(post);
    }
    return error;
}

static int64_t now_us(sl_object *self) {
    (void)self;
    return sl_now_us();
}

/* ---- telling ---- */

static void log_line(sl_object *self, sl_log_level level, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    host_log(self->host, level, self->node->spec->name, "%s", text);
}

static sl_metric *metric(sl_object *self, sl_metric_kind kind, const char *name, const char *help) {
    sl_metric *metric = calloc(1, sizeof(*metric));
    if (metric == NULL) {
        return NULL;
    }
    metric->kind = kind;
    metric->name = strdup(name);
    metric->help = strdup(help != NULL ? help : "");
    if (metric->name == NULL || metric->help == NULL) {
        free(metric->name);
        free(metric->help);
        free(metric);
        return NULL;
    }
    metric->next = atomic_load(&self->metrics);
    while (!atomic_compare_exchange_weak(&self->metrics, &metric->next, metric)) {
    }
    return metric;
}

static void metric_add(sl_metric *counter, int64_t amount) {
    if (counter != NULL) {
        atomic_fetch_add_explicit(&counter->value, amount, memory_order_relaxed);
    }
}

static void metric_set(sl_metric *counter, int64_t value) {
    if (counter != NULL) {
        atomic_store_explicit(&counter->value, value, memory_order_relaxed);
    }
}

static void fail(sl_object *self, sl_error *error) {
    atomic_store(&self->node->renewable, sl_error_is(error, SL_ERROR_RETRIABLE));
    atomic_store(&self->node->failed, true);
    host_node_failed(self->node, error);
}

static void log_end_offset(sl_object *self, const sl_stream *stream, int64_t offset) {
    (void)self;
    atomic_store_explicit(&stream_of(stream)->log_end, offset, memory_order_relaxed);
}

/* The offset of whoever sees the time is of that time, or later. */
static void end_seen(sl_object *self, const sl_stream *stream, int64_t offset) {
    (void)self;
    struct stream *seen = stream_of(stream);
    atomic_store_explicit(&seen->seen_end, offset, memory_order_relaxed);
    atomic_store_explicit(&seen->seen_us, sl_monotonic_us(), memory_order_release);
}

static int64_t end_seen_ago_us(sl_object *self, const sl_stream *stream, int64_t *offset) {
    (void)self;
    struct stream *seen = stream_of(stream);
    int64_t seen_us = atomic_load_explicit(&seen->seen_us, memory_order_acquire);
    if (seen_us == 0) {
        return -1;
    }
    *offset = atomic_load_explicit(&seen->seen_end, memory_order_relaxed);
    int64_t ago_us = sl_monotonic_us() - seen_us;
    return ago_us > 0 ? ago_us : 0;
}

const sl_services *host_services(void) {
    static const sl_services services = {
        .struct_bytes = sizeof(sl_services),
        .error_new = error_new,
        .done = host_done,
        .retain = batch_retain,
        .release = batch_release,
        .emit = emit,
        .forward = forward,
        .dropped = dropped,
        .hold = hold,
        .pause = pause_task,
        .assign = assign,
        .revoke = revoke_streams,
        .wake = wake,
        .all_assigned = all_assigned,
        .store_open = store_open,
        .state_store = state_store,
        .http = &host_http_service,
        .work = work_queue,
        .timer_start = timer_start,
        .timer_stop = timer_stop,
        .watch = watch_start,
        .unwatch = unwatch,
        .post = post_fn,
        .now_us = now_us,
        .log = log_line,
        .metric = metric,
        .metric_add = metric_add,
        .metric_set = metric_set,
        .fail = fail,
        .reject = reject,
        .missing = missing,
        .hold_back = hold_back,
        .overtaken = overtaken,
        .log_end_offset = log_end_offset,
        .end_seen = end_seen,
        .end_seen_ago_us = end_seen_ago_us,
    };
    return &services;
}
