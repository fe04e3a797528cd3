/*
 * The services that the harness offers: small versions of the host's, on one loop.
 */
#include "inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- errors ---- */

static sl_error no_memory = {sizeof(sl_error), SL_ERROR_NO_MEMORY, "out of memory", NULL};

static void release_error(sl_error *error) {
    free(error);
}

static sl_error *error_new(sl_error_class error_class, const char *message) {
    size_t bytes = strlen(message) + 1;
    sl_error *error = malloc(sizeof(*error) + bytes);
    if (error == NULL) {
        return &no_memory;
    }
    memcpy((char *)(error + 1), message, bytes);
    *error = (sl_error){sizeof(*error), error_class, (char *)(error + 1), release_error};
    return error;
}

sl_error *harness_error(sl_error_class error_class, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return error_new(error_class, text);
}

void harness_violation(sl_harness *harness, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "harness: rule broken: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    harness->violations++;
}

void harness_fail(sl_harness *harness, sl_error *error) {
    pthread_mutex_lock(&harness->mutex);
    if (harness->failure == NULL) {
        harness->failure = error;
        error = NULL;
    }
    pthread_mutex_unlock(&harness->mutex);
    sl_error_free(error);
}

static void fail(sl_object *self, sl_error *error) {
    harness_fail(self->harness, error);
}

/* ---- loop ---- */

static int64_t monotonic_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t harness_now_us(const sl_harness *harness) {
    return harness->now_us +
           (harness->options.real_time ? monotonic_us() - harness->real_start_us : 0);
}

static int64_t now_us(sl_object *self) {
    return harness_now_us(self->harness);
}

static void wake_loop(sl_harness *harness) {
    uint64_t one = 1;
    if (write(harness->wake_fd, &one, sizeof(one)) < 0) {
        harness_violation(harness, "the loop's eventfd is full");
    }
}

static sl_error *enqueue(sl_harness *harness, void (*run)(void *), void (*fn)(void *), void *arg) {
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        return &no_memory;
    }
    *call = (struct call){NULL, run, fn, arg};
    pthread_mutex_lock(&harness->mutex);
    *harness->last_call = call;
    harness->last_call = &call->next;
    pthread_mutex_unlock(&harness->mutex);
    wake_loop(harness);
    return NULL;
}

static sl_error *work(sl_object *self, void (*run)(void *), void (*done)(void *), void *arg) {
    return enqueue(self->harness, run, done, arg);
}

static sl_error *post(sl_object *self, void (*fn)(void *), void *arg) {
    return enqueue(self->harness, NULL, fn, arg);
}

static void done(sl_request *request, sl_error *error) {
    sl_harness *harness = request->harness;
    pthread_mutex_lock(&harness->mutex);
    int twice = request->done;
    if (!twice) {
        request->done = 1;
        request->error = error;
    }
    pthread_mutex_unlock(&harness->mutex);
    if (twice) {
        harness_violation(harness, "a request was ended twice");
        sl_error_free(error);
    }
    wake_loop(harness);
}

static sl_error *timer_start(sl_object *self, uint64_t delay_ms, uint64_t repeat_ms,
                             void (*fire)(void *), void *arg, sl_timer **out) {
    struct sl_timer *timer = calloc(1, sizeof(*timer));
    if (timer == NULL) {
        return &no_memory;
    }
    timer->harness = self->harness;
    timer->due_us = harness_now_us(self->harness) + (int64_t)delay_ms * 1000;
    timer->repeat_us = (int64_t)repeat_ms * 1000;
    timer->fire = fire;
    timer->arg = arg;
    timer->next = self->harness->timers;
    self->harness->timers = timer;
    *out = timer;
    return NULL;
}

static void timer_stop(sl_timer *timer) {
    struct sl_timer **at = &timer->harness->timers;
    while (*at != NULL && *at != timer) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = timer->next;
    }
    free(timer);
}

static sl_error *watch(sl_object *self, int fd, void (*readable)(void *), void *arg,
                       sl_watch **out) {
    struct sl_watch *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return &no_memory;
    }
    *made = (struct sl_watch){self->harness->watches, self->harness, fd, readable, arg};
    self->harness->watches = made;
    *out = made;
    return NULL;
}

static void unwatch(sl_watch *watched) {
    struct sl_watch **at = &watched->harness->watches;
    while (*at != NULL && *at != watched) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = watched->next;
    }
    free(watched);
}

/* ---- batches ---- */

struct batch *harness_batch_new(sl_harness *harness, const struct ArrowSchema *schema,
                                const sl_stream *stream, struct ArrowArray *columns) {
    struct batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return NULL;
    }
    if (columns != NULL) {
        batch->columns = *columns;
        columns->release = NULL;
    }
    batch->references = 1;
    batch->public.batch.struct_bytes = sizeof(sl_batch);
    batch->public.batch.schema = schema;
    batch->public.batch.columns = &batch->columns;
    batch->public.batch.rows = batch->columns.length;
    batch->public.batch.stream = stream;
    batch->public.batch.epoch = stream->epoch;
    batch->next = harness->live;
    harness->live = batch;
    return batch;
}

void harness_batch_release(struct batch *batch) {
    int left = __atomic_sub_fetch(&batch->references, 1, __ATOMIC_ACQ_REL);
    if (left == 0 && batch->columns.release != NULL) {
        batch->columns.release(&batch->columns);
    }
}

/* Plugins see the public sl_batch; find what it is part of. */
static struct batch *outer(const sl_batch *batch) {
    char *at = (char *)(uintptr_t)batch;
    return (struct batch *)(void *)(at - offsetof(struct batch, public.batch));
}

static void retain(const sl_batch *batch) {
    __atomic_add_fetch(&outer(batch)->references, 1, __ATOMIC_ACQ_REL);
}

static void release(const sl_batch *batch) {
    harness_batch_release(outer(batch));
}

static sl_error *capture(sl_harness *harness, uint32_t output, struct batch *batch) {
    if (harness->n_captured == harness->captured_capacity) {
        size_t capacity = (harness->captured_capacity + 16) * 2;
        sl_harness_batch *views = realloc(harness->captured, capacity * sizeof(*views));
        struct batch **batches =
            realloc((void *)harness->captured_batches, capacity * sizeof(*batches));
        harness->captured = views != NULL ? views : harness->captured;
        harness->captured_batches = batches != NULL ? batches : harness->captured_batches;
        if (views == NULL || batches == NULL) {
            return &no_memory;
        }
        harness->captured_capacity = capacity;
    }
    batch->public.output = output;
    harness->captured[harness->n_captured] = batch->public;
    harness->captured_batches[harness->n_captured++] = batch;
    return NULL;
}

static struct stream *stream_of(sl_harness *harness, const sl_stream *stream) {
    for (size_t i = 0; i < harness->n_streams; i++) {
        if (&harness->streams[i]->public == stream) {
            return harness->streams[i];
        }
    }
    return NULL;
}

static sl_error *emit(sl_object *self, uint32_t output, sl_emission *emission) {
    sl_harness *harness = self->harness;
    struct stream *stream = stream_of(harness, emission->stream);
    if (stream == NULL || stream->state != STREAM_ATTACHED) {
        harness_violation(harness, "a batch for a stream that is not attached");
    } else if (emission->first_offset < stream->expected ||
               emission->next_offset < emission->first_offset) {
        harness_violation(harness, "%s/%d: batch [%lld, %lld) after offset %lld", stream->topic,
                          (int)stream->public.partition, (long long)emission->first_offset,
                          (long long)emission->next_offset, (long long)stream->expected);
    } else if (harness->options.role == SL_HARNESS_SOURCE) {
        stream->expected = emission->next_offset;
    }
    if (output >= harness->n_outputs) {
        harness_violation(harness, "output %u does not exist", (unsigned)output);
        output = 0;
    }
    struct batch *batch =
        harness_batch_new(harness, &harness->schemas[output], emission->stream, emission->columns);
    if (batch == NULL) {
        if (emission->columns != NULL && emission->columns->release != NULL) {
            emission->columns->release(emission->columns);
        }
        return &no_memory;
    }
    batch->public.batch.flags = emission->flags;
    batch->public.batch.first_offset = emission->first_offset;
    batch->public.batch.next_offset = emission->next_offset;
    batch->public.batch.max_event_time_us = emission->max_event_time_us;
    return capture(harness, output, batch);
}

static sl_error *forward(sl_object *self, uint32_t output, const sl_batch *batch) {
    retain(batch);
    return capture(self->harness, output, outer(batch));
}

static sl_error *reject(sl_object *self, const sl_batch *batch, int64_t row, const sl_reject *why) {
    sl_harness *harness = self->harness;
    if (row < 0 || row >= batch->rows) {
        harness_violation(harness, "row %lld of a batch of %lld is rejected", (long long)row,
                          (long long)batch->rows);
    }
    harness->rejects++;
    snprintf(harness->last_reject, sizeof(harness->last_reject), "%.*s %.*s %.*s",
             (int)why->reason_bytes, why->reason, (int)why->path_bytes, why->path,
             (int)why->detail_bytes, why->detail);
    return NULL;
}

static void dropped(sl_object *self, const sl_stream *stream, const char *reason, int64_t rows) {
    (void)stream;
    char name[128];
    snprintf(name, sizeof(name), "dropped:%s", reason);
    sl_metric *metric = harness_services.metric(self, SL_METRIC_COUNTER, name, "");
    harness_services.metric_add(metric, rows);
}

static void hold(sl_object *self, size_t bytes) {
    (void)self;
    (void)bytes;
}

static void pause_task(sl_object *self, int on) {
    self->harness->paused = on;
}

/* ---- sources ---- */

static void assign(sl_object *node, const sl_stream_name *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct stream *known = harness_find(node->harness, names[i].topic, names[i].partition);
        if (known != NULL && known->state != STREAM_GONE) {
            harness_violation(node->harness, "%s/%d is assigned twice", names[i].topic,
                              (int)names[i].partition);
        } else if (harness_add_stream(node->harness, names[i].topic, names[i].partition) == NULL) {
            harness_fail(node->harness, &no_memory);
        }
    }
}

static void revoke_streams(sl_object *node, const sl_stream_name *names, size_t n, int lost,
                           void (*revoked)(void *), void *arg) {
    (void)lost;
    struct revocation *revocation = calloc(1, sizeof(*revocation));
    sl_stream_name *copy = calloc(n == 0 ? 1 : n, sizeof(*copy));
    if (revocation == NULL || copy == NULL) {
        free(revocation);
        free(copy);
        harness_fail(node->harness, &no_memory);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct stream *stream = harness_find(node->harness, names[i].topic, names[i].partition);
        copy[i] = (sl_stream_name){stream == NULL ? "" : stream->topic, names[i].partition};
    }
    *revocation = (struct revocation){node->harness->revocations, copy, n, revoked, arg};
    node->harness->revocations = revocation;
}

static void wake(sl_object *task, const sl_stream *stream) {
    struct stream *found = stream_of(task->harness, stream);
    if (found != NULL) {
        found->ready = 1;
    }
}

static void all_assigned(sl_object *node) {
    node->harness->all_assigned = 1;
}

/* ---- I/O and telling ---- */

static sl_error *store_open(sl_object *self, const char *url, sl_store **out) {
    const sl_harness_options *options = &self->harness->options;
    return options->store_open != NULL ? options->store_open(url, out)
                                       : error_new(SL_ERROR_UNSUPPORTED, "no store here");
}

static sl_store *state_store(sl_object *self) {
    return self->harness->options.state;
}

static void log_line(sl_object *self, sl_log_level level, const char *format, ...) {
    (void)self;
    if (level > SL_LOG_WARN && getenv("SL_HARNESS_LOG") == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    fprintf(stderr, "harness: log: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
}

static sl_metric *metric(sl_object *self, sl_metric_kind kind, const char *name, const char *help) {
    (void)kind;
    (void)help;
    for (sl_metric *m = self->harness->metrics; m != NULL; m = m->next) {
        if (strcmp(m->name, name) == 0) {
            return m;
        }
    }
    sl_metric *made = calloc(1, sizeof(*made));
    char *copy = strdup(name);
    if (made == NULL || copy == NULL) {
        free(made);
        free(copy);
        return NULL;
    }
    *made = (sl_metric){self->harness->metrics, copy, 0};
    self->harness->metrics = made;
    return made;
}

static void metric_add(sl_metric *target, int64_t amount) {
    if (target != NULL) {
        target->value += amount;
    }
}

static void metric_set(sl_metric *target, int64_t value) {
    if (target != NULL) {
        target->value = value;
    }
}

/* All streams of the harness are here. */
static void missing(sl_object *self, size_t n, size_t total) {
    (void)self;
    (void)n;
    (void)total;
}

/* The harness polls when it is told to. */
static void hold_back(sl_object *self, const sl_stream *stream, int on) {
    (void)self;
    (void)stream;
    (void)on;
}

/* The harness lets no reader fall behind. */
static void overtaken(sl_object *self, const sl_stream *stream, int64_t offset) {
    (void)self;
    (void)stream;
    (void)offset;
}

/* What runs in the harness has no lag. */
static void log_end_offset(sl_object *self, const sl_stream *stream, int64_t offset) {
    (void)self;
    (void)stream;
    (void)offset;
}

static void end_seen(sl_object *self, const sl_stream *stream, int64_t offset) {
    (void)self;
    (void)stream;
    (void)offset;
}

/* Its streams do not grow elsewhere. */
static int64_t end_seen_ago_us(sl_object *self, const sl_stream *stream, int64_t *offset) {
    (void)self;
    (void)stream;
    (void)offset;
    return -1;
}

const sl_services harness_services = {
    .struct_bytes = sizeof(sl_services),
    .error_new = error_new,
    .done = done,
    .retain = retain,
    .release = release,
    .emit = emit,
    .forward = forward,
    .dropped = dropped,
    .reject = reject,
    .hold = hold,
    .pause = pause_task,
    .assign = assign,
    .revoke = revoke_streams,
    .wake = wake,
    .all_assigned = all_assigned,
    .store_open = store_open,
    .state_store = state_store,
    .work = work,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .watch = watch,
    .unwatch = unwatch,
    .post = post,
    .now_us = now_us,
    .log = log_line,
    .metric = metric,
    .metric_add = metric_add,
    .metric_set = metric_set,
    .fail = fail,
    .missing = missing,
    .hold_back = hold_back,
    .overtaken = overtaken,
    .log_end_offset = log_end_offset,
    .end_seen = end_seen,
    .end_seen_ago_us = end_seen_ago_us,
};
