/*
 * The life of the plugin under test: loading, the loop, streams through their states, feeding,
 * flushing, the end.
 */
#include "harness.h"

#include "inside.h"

#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define OPERATION_LIMIT_MS 60000

static int64_t real_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- streams ---- */

struct stream *harness_find(sl_harness *harness, const char *topic, int32_t partition) {
    for (size_t i = 0; i < harness->n_streams; i++) {
        struct stream *stream = harness->streams[i];
        if (strcmp(stream->topic, topic) == 0 && stream->public.partition == partition) {
            return stream;
        }
    }
    return NULL;
}

struct stream *harness_add_stream(sl_harness *harness, const char *topic, int32_t partition) {
    struct stream *stream = harness_find(harness, topic, partition);
    if (stream != NULL) { /* it comes back */
        stream->state = STREAM_ASSIGNED;
        stream->public.epoch++;
        return stream;
    }
    stream = calloc(1, sizeof(*stream));
    char *copy = strdup(topic);
    if (stream == NULL || copy == NULL || harness->n_streams == 256) {
        free(stream);
        free(copy);
        return NULL;
    }
    stream->topic = copy;
    stream->position = SL_OFFSET_NONE;
    stream->public = (sl_stream){.struct_bytes = sizeof(sl_stream),
                                 .index = harness->next_index++,
                                 .source = "source",
                                 .topic = copy,
                                 .partition = partition};
    for (size_t i = 0; i < harness->n_positions; i++) {
        if (strcmp(harness->positions[i].topic, topic) == 0 &&
            harness->positions[i].partition == partition) {
            stream->position = harness->positions[i].offset;
        }
    }
    harness->streams[harness->n_streams++] = stream;
    return stream;
}

static void detach(sl_harness *harness, struct stream *stream) {
    if (stream->state != STREAM_ATTACHED && stream->state != STREAM_ENDED) {
        return;
    }
    if (harness->role->task->detach != NULL) {
        harness->role->task->detach(harness->task, &stream->public);
    }
    if (harness->role->node->suspend != NULL) {
        harness->role->node->suspend(harness->node, &stream->public);
    }
    stream->state = STREAM_GONE;
}

static void start_resume(sl_harness *harness, struct stream *stream) {
    stream->state = STREAM_RESUMING;
    stream->handle = NULL;
    stream->request = (sl_request){harness, 0, NULL};
    if (harness->role->node->resume == NULL) {
        stream->request.done = 1;
        return;
    }
    harness->role->node->resume(harness->node, &stream->public, stream->offset, SL_OFFSET_NONE,
                                &stream->handle, &stream->request);
}

static void start_stream(sl_harness *harness, struct stream *stream) {
    if (stream->position != SL_OFFSET_NONE || harness->role->node->resolve == NULL) {
        stream->offset = stream->position == SL_OFFSET_NONE ? 0 : stream->position;
        start_resume(harness, stream);
        return;
    }
    stream->state = STREAM_RESOLVING;
    stream->request = (sl_request){harness, 0, NULL};
    stream->offset = SL_OFFSET_NONE;
    harness->role->node->resolve(harness->node, &stream->public, &stream->offset, &stream->request);
}

static void attach(sl_harness *harness, struct stream *stream) {
    sl_attach how = {.struct_bytes = sizeof(how),
                     .offset = stream->offset,
                     .position = SL_OFFSET_NONE,
                     .handle = stream->handle};
    stream->expected = stream->offset;
    stream->ready = 1;
    stream->state = STREAM_ATTACHED;
    sl_error *error = harness->role->task->attach == NULL
                          ? NULL
                          : harness->role->task->attach(harness->task, &stream->public, &how);
    if (error != NULL) {
        stream->state = STREAM_GONE;
        harness_fail(harness, error);
    }
}

static int request_done(sl_request *request) {
    pthread_mutex_lock(&request->harness->mutex);
    int done = request->done;
    pthread_mutex_unlock(&request->harness->mutex);
    return done;
}

static void poll_stream(sl_harness *harness, struct stream *stream) {
    sl_poll_state state = SL_POLL_MORE;
    size_t max_bytes = harness->options.max_bytes == 0 ? 262144 : harness->options.max_bytes;
    sl_error *error = harness->role->task->poll(harness->task, &stream->public, max_bytes, &state);
    if (error != NULL) {
        stream->ready = 0;
        harness_fail(harness, error);
        return;
    }
    stream->ready = state == SL_POLL_MORE;
    if (state == SL_POLL_ENDED) {
        stream->state = STREAM_ENDED;
    }
}

/* Takes the stream one step further; returns whether there was one. */
static int step(sl_harness *harness, struct stream *stream) {
    if (harness->task == NULL || harness->failure != NULL) {
        return 0;
    }
    if (stream->state == STREAM_ASSIGNED) {
        start_stream(harness, stream);
        return 1;
    }
    if (stream->state == STREAM_RESOLVING || stream->state == STREAM_RESUMING) {
        if (!request_done(&stream->request)) {
            return 0;
        }
        if (stream->request.error != NULL) {
            stream->state = STREAM_GONE;
            harness_fail(harness, stream->request.error);
        } else if (stream->state == STREAM_RESOLVING) {
            start_resume(harness, stream);
        } else {
            attach(harness, stream);
        }
        return 1;
    }
    if (stream->state == STREAM_ATTACHED && stream->ready &&
        harness->options.role == SL_HARNESS_SOURCE) {
        poll_stream(harness, stream);
        return 1;
    }
    return 0;
}

/* ---- loop ---- */

static int run_calls(sl_harness *harness) {
    pthread_mutex_lock(&harness->mutex);
    struct call *call = harness->first_call;
    harness->first_call = NULL;
    harness->last_call = &harness->first_call;
    pthread_mutex_unlock(&harness->mutex);
    int n = 0;
    while (call != NULL) {
        struct call *next = call->next;
        if (call->run != NULL) {
            call->run(call->arg);
        }
        call->fn(call->arg);
        free(call);
        call = next;
        n++;
    }
    return n;
}

static int fire_timers(sl_harness *harness) {
    int n = 0;
    int64_t now = harness_now_us(harness);
    for (int again = 1; again;) {
        again = 0;
        for (struct sl_timer *t = harness->timers; t != NULL; t = t->next) {
            if (!t->fired && t->due_us <= now) {
                t->fired = t->repeat_us == 0;
                t->due_us = now + t->repeat_us;
                n++;
                again = 1;
                t->fire(t->arg); /* may stop timers: begin again */
                break;
            }
        }
        again = again && n < 1000;
    }
    return n;
}

static int64_t next_due_us(const sl_harness *harness) {
    int64_t due = INT64_MAX;
    for (const struct sl_timer *t = harness->timers; t != NULL; t = t->next) {
        due = !t->fired && t->due_us < due ? t->due_us : due;
    }
    return due;
}

static int run_revocations(sl_harness *harness) {
    int n = 0;
    while (harness->revocations != NULL) {
        struct revocation *revocation = harness->revocations;
        harness->revocations = revocation->next;
        for (size_t i = 0; i < revocation->n; i++) {
            struct stream *stream =
                harness_find(harness, revocation->names[i].topic, revocation->names[i].partition);
            if (stream != NULL) {
                detach(harness, stream);
                stream->state = STREAM_GONE;
            }
        }
        revocation->revoked(revocation->arg);
        free(revocation->names);
        free(revocation);
        n++;
    }
    return n;
}

/* Waits for descriptors, calls back those that are readable. */
static int run_watches(sl_harness *harness, int64_t wait_ms) {
    struct pollfd fds[256] = {{.fd = harness->wake_fd, .events = POLLIN}};
    struct sl_watch *watches[256] = {NULL};
    nfds_t n = 1;
    for (struct sl_watch *w = harness->watches; w != NULL && n < 256; w = w->next) {
        fds[n] = (struct pollfd){.fd = w->fd, .events = POLLIN};
        watches[n++] = w;
    }
    int ready = poll(fds, n, (int)wait_ms);
    if (ready <= 0) {
        return 0;
    }
    uint64_t count = 0;
    if ((fds[0].revents & POLLIN) != 0 && read(harness->wake_fd, &count, sizeof(count)) < 0) {
        harness_violation(harness, "the loop's eventfd cannot be read");
    }
    for (nfds_t i = 1; i < n; i++) {
        struct sl_watch *w = harness->watches;
        while (w != NULL && w != watches[i]) {
            w = w->next; /* gone meanwhile? */
        }
        if (w != NULL && (fds[i].revents & POLLIN) != 0) {
            w->readable(w->arg);
        }
    }
    return 1;
}

void harness_turn(sl_harness *harness, int64_t wait_ms) {
    int busy = run_calls(harness) + run_revocations(harness) + fire_timers(harness);
    for (size_t i = 0; i < harness->n_streams; i++) {
        busy += step(harness, harness->streams[i]);
    }
    int64_t due = next_due_us(harness);
    if (!busy && harness->options.real_time && due != INT64_MAX) {
        int64_t until_ms = (due - harness_now_us(harness)) / 1000 + 1;
        wait_ms = until_ms < wait_ms ? (until_ms < 0 ? 0 : until_ms) : wait_ms;
    }
    if (!harness->options.real_time && due != INT64_MAX) {
        wait_ms = 0;
    }
    int seen = run_watches(harness, busy ? 0 : wait_ms);
    if (!busy && !seen && !harness->options.real_time && due != INT64_MAX) {
        harness->now_us = due > harness->now_us ? due : harness->now_us;
    }
}

int sl_harness_run(sl_harness *harness, int (*until)(void *arg), void *arg, int64_t limit_ms) {
    int64_t end = real_us() + limit_ms * 1000;
    while (until == NULL || !until(arg)) {
        if (real_us() > end) {
            return until == NULL;
        }
        harness_turn(harness, 20);
    }
    return 1;
}

static int at_end(void *arg) {
    sl_harness *harness = arg;
    size_t ended = 0;
    size_t n = sl_harness_streams(harness, &ended);
    return sl_harness_failure(harness) != NULL || (harness->all_assigned && ended == n);
}

int sl_harness_run_to_end(sl_harness *harness, int64_t limit_ms) {
    return sl_harness_run(harness, at_end, harness, limit_ms);
}

static int request_ended(void *arg) {
    return request_done(arg);
}

/* Waits for a request and hands out its error; a request that never ends is a violation. */
static sl_error *finish(sl_harness *harness, sl_request *request, const char *what) {
    if (!sl_harness_run(harness, request_ended, request, OPERATION_LIMIT_MS)) {
        harness_violation(harness, "%s did not end", what);
        return harness_error(SL_ERROR_FATAL, "%s did not end", what);
    }
    return request->error;
}

/* ---- life ---- */

static sl_error *load(sl_harness *harness) {
    const sl_harness_options *options = &harness->options;
    harness->library = dlopen(options->plugin, RTLD_NOW | RTLD_LOCAL);
    if (harness->library == NULL) {
        return harness_error(SL_ERROR_CONFIG, "%s", dlerror());
    }
    harness->plugin = dlsym(harness->library, SL_PLUGIN_SYMBOL);
    if (harness->plugin == NULL || harness->plugin->abi_major != SL_ABI_MAJOR ||
        harness->plugin->abi_minor > SL_ABI_MINOR) {
        return harness_error(SL_ERROR_CONFIG, "%s is no plugin of ABI %d.%d", options->plugin,
                             SL_ABI_MAJOR, SL_ABI_MINOR);
    }
    harness->role = options->role == SL_HARNESS_SOURCE      ? harness->plugin->source
                    : options->role == SL_HARNESS_TRANSFORM ? harness->plugin->transform
                                                            : harness->plugin->sink;
    if (harness->role == NULL) {
        return harness_error(SL_ERROR_CONFIG, "plugin %s has no such role", harness->plugin->name);
    }
    sl_error *error = harness_parse(harness, harness->role->options, harness->role->config_bytes,
                                    options->config, &harness->config);
    if (error == NULL && options->section != NULL && harness->plugin->section != NULL) {
        error = harness_parse(harness, harness->plugin->section_options,
                              harness->plugin->section_bytes, options->section, &harness->section);
    }
    return error;
}

static sl_error *read_schemas(sl_harness *harness) {
    const char *const *outputs = harness->role->outputs;
    const sl_node_ops *ops = harness->role->node;
    harness->n_outputs = harness->options.role == SL_HARNESS_SINK ? 0 : 1;
    while (outputs != NULL && harness->n_outputs < 8 && outputs[harness->n_outputs] != NULL) {
        harness->n_outputs++;
    }
    sl_error *error = NULL;
    for (uint32_t i = 0; i < harness->n_outputs && error == NULL && ops->output_schema != NULL;
         i++) {
        error = ops->output_schema(harness->node, i, &harness->schemas[i]);
    }
    return error;
}

static void free_harness(sl_harness *harness) {
    for (size_t i = 0; i < harness->n_outputs; i++) {
        if (harness->schemas[i].release != NULL) {
            harness->schemas[i].release(&harness->schemas[i]);
        }
    }
    for (size_t i = 0; i < harness->n_streams; i++) {
        free(harness->streams[i]->topic);
        free(harness->streams[i]);
    }
    for (size_t i = 0; i < harness->n_positions; i++) {
        free(harness->positions[i].topic);
    }
    for (size_t i = 0; i < harness->n_owned; i++) {
        free(harness->owned[i]);
    }
    while (harness->metrics != NULL) {
        sl_metric *next = harness->metrics->next;
        free(harness->metrics->name);
        free(harness->metrics);
        harness->metrics = next;
    }
    while (harness->live != NULL) {
        struct batch *next = harness->live->next;
        free(harness->live);
        harness->live = next;
    }
    free((void *)harness->owned);
    free(harness->captured);
    free((void *)harness->captured_batches);
    sl_error_free(harness->failure);
    if (harness->wake_fd >= 0) {
        close(harness->wake_fd);
    }
    pthread_mutex_destroy(&harness->mutex);
    free(harness); /* the library stays loaded, as the host keeps it */
}

static sl_error *open_node(sl_harness *harness) {
    sl_error *error = load(harness);
    if (error != NULL) {
        return error;
    }
    const sl_harness_options *options = &harness->options;
    sl_node_context context = {
        .struct_bytes = sizeof(context),
        .flags = options->flags,
        .services = &harness_services,
        .self = &harness->node_object,
        .pipeline = "test",
        .name = options->name != NULL ? options->name : "node",
        .config = harness->config,
        .section = harness->section,
        .inputs = options->inputs,
        .n_inputs = options->n_inputs,
        .lanes = options->lanes == 0 ? 1 : options->lanes,
    };
    error = harness->role->node->open(&context, &harness->node);
    if (error != NULL) {
        return error;
    }
    error = read_schemas(harness);
    if (error != NULL) {
        harness->role->node->close(harness->node);
    }
    return error;
}

sl_error *sl_harness_open(const sl_harness_options *options, sl_harness **out) {
    sl_harness *harness = calloc(1, sizeof(*harness));
    if (harness == NULL) {
        return harness_error(SL_ERROR_NO_MEMORY, "out of memory");
    }
    harness->options = *options;
    harness->now_us = options->now_us;
    harness->real_start_us = real_us();
    harness->node_object.harness = harness->task_object.harness = harness;
    harness->last_call = &harness->first_call;
    pthread_mutex_init(&harness->mutex, NULL);
    harness->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    sl_error *error =
        harness->wake_fd < 0 ? harness_error(SL_ERROR_FATAL, "no eventfd") : open_node(harness);
    if (error != NULL) {
        free_harness(harness);
        return error;
    }
    *out = harness;
    return NULL;
}

sl_error *sl_harness_start(sl_harness *harness) {
    sl_error *error = NULL;
    if (harness->role->node->start != NULL) {
        sl_request request = {harness, 0, NULL};
        harness->role->node->start(harness->node, &request);
        error = finish(harness, &request, "start");
    }
    if (error == NULL) {
        sl_task_context context = {.struct_bytes = sizeof(context),
                                   .lane = 0,
                                   .services = &harness_services,
                                   .self = &harness->task_object};
        error = harness->role->task->open(harness->node, &context, &harness->task);
    }
    return error;
}

static void check_nothing_left(sl_harness *harness) {
    if (harness->timers != NULL || harness->watches != NULL) {
        harness_violation(harness, "a timer or a watch was left behind");
    }
    for (struct batch *b = harness->live; b != NULL; b = b->next) {
        if (b->references != 0) {
            harness_violation(harness, "a batch was retained and not released");
        }
    }
}

int sl_harness_close(sl_harness *harness, int drain) {
    for (size_t i = 0; i < harness->n_streams; i++) {
        struct stream *stream = harness->streams[i];
        if ((stream->state == STREAM_RESOLVING || stream->state == STREAM_RESUMING)) {
            sl_error_free(finish(harness, &stream->request, "resolve or resume"));
            if (stream->state == STREAM_RESUMING && stream->request.done) {
                attach(harness, stream); /* the task frees the handle */
            }
        }
        detach(harness, stream);
    }
    if (drain && harness->role->node->drained != NULL) {
        harness->role->node->drained(harness->node);
    }
    if (harness->task != NULL) {
        harness->role->task->close(harness->task);
    }
    sl_harness_forget(harness);
    while (run_calls(harness) + run_revocations(harness) > 0) {
    }
    harness->role->node->close(harness->node);
    run_calls(harness);
    check_nothing_left(harness);
    int violations = harness->violations;
    free_harness(harness);
    return violations;
}

/* ---- positions ---- */

sl_error *sl_harness_set_position(sl_harness *harness, const char *topic, int32_t partition,
                                  int64_t offset) {
    char *copy = strdup(topic);
    if (copy == NULL || harness->n_positions == 256) {
        free(copy);
        return harness_error(SL_ERROR_NO_MEMORY, "out of memory");
    }
    harness->positions[harness->n_positions++] = (struct position){copy, partition, offset};
    struct stream *stream = harness_find(harness, topic, partition);
    if (stream != NULL) {
        stream->position = offset;
    }
    return NULL;
}

static int is_attached(void *arg) {
    const struct stream *stream = arg;
    return stream->state == STREAM_ATTACHED || stream->state == STREAM_ENDED;
}

sl_error *sl_harness_recover(sl_harness *harness, const char *topic, int32_t partition,
                             int64_t offset, int64_t limit_ms) {
    struct stream *stream = harness_find(harness, topic, partition);
    if (stream == NULL) {
        return harness_error(SL_ERROR_CONFIG, "no stream %s/%d", topic, (int)partition);
    }
    detach(harness, stream);
    stream->public.epoch++;
    stream->position = offset;
    stream->state = STREAM_ASSIGNED;
    return sl_harness_run(harness, is_attached, stream, limit_ms)
               ? NULL
               : harness_error(SL_ERROR_RETRIABLE, "%s/%d was not resumed", topic, (int)partition);
}

/* ---- batches ---- */

size_t sl_harness_batches(const sl_harness *harness, const sl_harness_batch **out) {
    *out = harness->captured;
    return harness->n_captured;
}

void sl_harness_forget(sl_harness *harness) {
    for (size_t i = 0; i < harness->n_captured; i++) {
        harness_batch_release(harness->captured_batches[i]);
    }
    harness->n_captured = 0;
}

const struct ArrowSchema *sl_harness_schema(const sl_harness *harness, uint32_t output) {
    return output < harness->n_outputs ? &harness->schemas[output] : NULL;
}

/* ---- feeding ---- */

static int may_process(void *arg) {
    const sl_harness *harness = arg;
    return !harness->paused || harness->failure != NULL;
}

sl_error *sl_harness_process(sl_harness *harness, uint32_t input, const char *topic,
                             int32_t partition, struct ArrowArray *columns, int64_t first_offset,
                             int64_t next_offset, int64_t limit_ms) {
    struct stream *stream = harness_find(harness, topic, partition);
    if (stream == NULL) {
        stream = harness_add_stream(harness, topic, partition);
    }
    struct batch *batch = stream == NULL
                              ? NULL
                              : harness_batch_new(harness, harness->options.inputs[input].schema,
                                                  &stream->public, columns);
    if (batch == NULL) {
        return harness_error(SL_ERROR_NO_MEMORY, "out of memory");
    }
    if (stream->state != STREAM_ATTACHED) {
        sl_error *error = sl_harness_run(harness, is_attached, stream, limit_ms)
                              ? NULL
                              : harness_error(SL_ERROR_RETRIABLE, "the stream did not attach");
        if (error != NULL) {
            harness_batch_release(batch);
            return error;
        }
    }
    batch->public.batch.first_offset = first_offset;
    batch->public.batch.next_offset = next_offset;
    batch->public.batch.max_event_time_us = SL_EVENT_TIME_NONE;
    sl_error *error = NULL;
    if (!sl_harness_run(harness, may_process, harness, limit_ms)) {
        error = harness_error(SL_ERROR_RETRIABLE, "the task stays paused");
    } else {
        error = harness->role->task->process(harness->task, input, &batch->public.batch);
        if (sl_error_is(error, SL_ERROR_RECORD)) {
            harness_violation(harness, "a record at fault is not handed to services->reject: %s",
                              sl_error_message(error));
        }
    }
    harness_batch_release(batch);
    return error;
}

sl_error *sl_harness_flush(sl_harness *harness, int64_t limit_ms) {
    if (harness->role->task->flush == NULL) {
        return NULL;
    }
    void *piece = NULL;
    sl_request request = {harness, 0, NULL};
    harness->role->task->flush(harness->task, &piece, &request);
    if (!sl_harness_run(harness, request_ended, &request, limit_ms)) {
        harness_violation(harness, "flush did not end within %lld ms", (long long)limit_ms);
        return harness_error(SL_ERROR_FATAL, "flush did not end");
    }
    if (request.error != NULL || harness->role->node->commit == NULL) {
        return request.error;
    }
    sl_commit commit = {
        .struct_bytes = sizeof(commit), .pieces = &piece, .n_pieces = piece == NULL ? 0 : 1};
    sl_request committed = {harness, 0, NULL};
    harness->role->node->commit(harness->node, &commit, &committed);
    return finish(harness, &committed, "commit");
}

int sl_harness_paused(const sl_harness *harness) {
    return harness->paused;
}

/* ---- looking ---- */

size_t sl_harness_rejects(const sl_harness *harness, const char **last) {
    *last = harness->last_reject;
    return harness->rejects;
}

void sl_harness_advance(sl_harness *harness, int64_t us) {
    harness->now_us += us;
}

int64_t sl_harness_metric(const sl_harness *harness, const char *name) {
    for (const sl_metric *m = harness->metrics; m != NULL; m = m->next) {
        if (strcmp(m->name, name) == 0) {
            return m->value;
        }
    }
    return -1;
}

const sl_error *sl_harness_failure(const sl_harness *harness) {
    return harness->failure;
}

size_t sl_harness_streams(const sl_harness *harness, size_t *ended) {
    size_t n = 0;
    *ended = 0;
    for (size_t i = 0; i < harness->n_streams; i++) {
        n += harness->streams[i]->state != STREAM_GONE;
        *ended += harness->streams[i]->state == STREAM_ENDED;
    }
    return n;
}

int sl_harness_violations(const sl_harness *harness) {
    return harness->violations;
}
