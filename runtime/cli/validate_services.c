/* Services for `validate` (see validate_services.h). */
#include "cli/validate_services.h"

#include "host/network.h"

#include <stdio.h>
#include <stdlib.h>

/* What stands behind a plugin's sl_object here. */
struct checked_node {
    struct validate_host *host;
    sl_store *state;
    sl_buffer notes; /* each with a 0 byte behind it */
};

struct validate_host {
    struct network *network;
    size_t n;
    struct checked_node nodes[];
};

static struct checked_node *node_of(sl_object *self) {
    return (struct checked_node *)(void *)self;
}

static sl_error *not_now(void) {
    return sl_error_new(SL_ERROR_FATAL,
                        "the configuration is only checked: nothing runs before `start`");
}

sl_error *validate_host_new(const struct topology *topology, struct validate_host **out) {
    struct validate_host *host =
        calloc(1, sizeof(*host) + topology->n_nodes * sizeof(host->nodes[0]));
    if (host == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = network_new(topology, NULL, NULL, &host->network);
    if (error != NULL) {
        free(host);
        return error;
    }
    host->n = topology->n_nodes;
    for (size_t i = 0; i < host->n; i++) {
        host->nodes[i].host = host;
        if (topology->state_url != NULL) {
            error =
                network_store_open(host->network, topology->state_url, true, &host->nodes[i].state);
        }
        if (error != NULL) {
            validate_host_free(host);
            return error;
        }
    }
    *out = host;
    return NULL;
}

void validate_host_free(struct validate_host *host) {
    for (size_t i = 0; host != NULL && i < host->n; i++) {
        if (host->nodes[i].state != NULL) {
            host->nodes[i].state->ops->close(host->nodes[i].state);
        }
        sl_buffer_free(&host->nodes[i].notes);
    }
    if (host != NULL) {
        network_free(host->network);
    }
    free(host);
}

sl_object *validate_host_object(void *host, size_t index) {
    return (sl_object *)(void *)&((struct validate_host *)host)->nodes[index];
}

const char *validate_host_note(const struct validate_host *host, size_t index, size_t i) {
    const sl_buffer *notes = &host->nodes[index].notes;
    for (size_t at = 0; at < notes->bytes;) {
        const char *note = (const char *)notes->data + at;
        if (i-- == 0) {
            return note;
        }
        at += strlen(note) + 1;
    }
    return NULL;
}

/* ---- the table ---- */

static sl_error *service_error_new(sl_error_class error_class, const char *message) {
    return sl_error_new(error_class, "%s", message);
}

static void service_done(sl_request *request, sl_error *error) {
    (void)request;
    sl_error_free(error);
}

static void service_batch(const sl_batch *batch) {
    (void)batch;
}

static sl_error *service_emit(sl_object *self, uint32_t output, sl_emission *emission) {
    (void)self;
    (void)output;
    if (emission->columns != NULL && emission->columns->release != NULL) {
        emission->columns->release(emission->columns);
    }
    return not_now();
}

static sl_error *service_forward(sl_object *self, uint32_t output, const sl_batch *batch) {
    (void)self;
    (void)output;
    (void)batch;
    return not_now();
}

static void service_dropped(sl_object *self, const sl_stream *stream, const char *reason,
                            int64_t rows) {
    (void)self;
    (void)stream;
    (void)reason;
    (void)rows;
}

static sl_error *service_reject(sl_object *self, const sl_batch *batch, int64_t row,
                                const sl_reject *why) {
    (void)self;
    (void)batch;
    (void)row;
    (void)why;
    return not_now();
}

static void service_hold(sl_object *self, size_t bytes) {
    (void)self;
    (void)bytes;
}

static void service_pause(sl_object *self, int on) {
    (void)self;
    (void)on;
}

static void service_assign(sl_object *node, const sl_stream_name *names, size_t n) {
    (void)node;
    (void)names;
    (void)n;
}

static void service_revoke(sl_object *node, const sl_stream_name *names, size_t n, int lost,
                           void (*revoked)(void *arg), void *arg) {
    (void)node;
    (void)names;
    (void)n;
    (void)lost;
    revoked(arg);
}

static void service_wake(sl_object *task, const sl_stream *stream) {
    (void)task;
    (void)stream;
}

static void service_all_assigned(sl_object *node) {
    (void)node;
}

static sl_error *service_store_open(sl_object *self, const char *url, sl_store **out) {
    return network_store_open(node_of(self)->host->network, url, true, out);
}

static sl_store *service_state_store(sl_object *self) {
    return node_of(self)->state;
}

static sl_error *service_work(sl_object *self, void (*run)(void *arg), void (*done)(void *arg),
                              void *arg) {
    (void)self;
    (void)run;
    (void)done;
    (void)arg;
    return not_now();
}

static sl_error *service_timer_start(sl_object *self, uint64_t delay_ms, uint64_t repeat_ms,
                                     void (*fire)(void *arg), void *arg, sl_timer **out) {
    (void)self;
    (void)delay_ms;
    (void)repeat_ms;
    (void)fire;
    (void)arg;
    (void)out;
    return not_now();
}

static void service_timer_stop(sl_timer *timer) {
    (void)timer;
}

static sl_error *service_watch(sl_object *self, int fd, void (*readable)(void *arg), void *arg,
                               sl_watch **out) {
    (void)self;
    (void)fd;
    (void)readable;
    (void)arg;
    (void)out;
    return not_now();
}

static void service_unwatch(sl_watch *watch) {
    (void)watch;
}

static sl_error *service_post(sl_object *self, void (*fn)(void *arg), void *arg) {
    (void)self;
    (void)fn;
    (void)arg;
    return not_now();
}

static int64_t service_now_us(sl_object *self) {
    (void)self;
    return sl_now_us();
}

SL_SDK_PRINTF(3, 4)
static void service_log(sl_object *self, sl_log_level level, const char *format, ...) {
    if (level > SL_LOG_INFO) {
        return;
    }
    char text[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)sl_buffer_append(&node_of(self)->notes, text, strlen(text) + 1);
}

static sl_metric *service_metric(sl_object *self, sl_metric_kind kind, const char *name,
                                 const char *help) {
    (void)self;
    (void)kind;
    (void)name;
    (void)help;
    return NULL;
}

static void service_metric_change(sl_metric *metric, int64_t value) {
    (void)metric;
    (void)value;
}

static void service_fail(sl_object *self, sl_error *error) {
    (void)self;
    sl_error_free(error);
}

static void service_missing(sl_object *node, size_t missing, size_t total) {
    (void)node;
    (void)missing;
    (void)total;
}

static void service_hold_back(sl_object *task, const sl_stream *stream, int on) {
    (void)task;
    (void)stream;
    (void)on;
}

static void service_offset(sl_object *node, const sl_stream *stream, int64_t offset) {
    (void)node;
    (void)stream;
    (void)offset;
}

static int64_t service_end_seen_ago_us(sl_object *node, const sl_stream *stream, int64_t *offset) {
    (void)node;
    (void)stream;
    (void)offset;
    return -1;
}

const sl_services validate_services = {
    .struct_bytes = sizeof(sl_services),
    .error_new = service_error_new,
    .done = service_done,
    .retain = service_batch,
    .release = service_batch,
    .emit = service_emit,
    .forward = service_forward,
    .dropped = service_dropped,
    .hold = service_hold,
    .pause = service_pause,
    .assign = service_assign,
    .revoke = service_revoke,
    .wake = service_wake,
    .all_assigned = service_all_assigned,
    .store_open = service_store_open,
    .state_store = service_state_store,
    .work = service_work,
    .timer_start = service_timer_start,
    .timer_stop = service_timer_stop,
    .watch = service_watch,
    .unwatch = service_unwatch,
    .post = service_post,
    .now_us = service_now_us,
    .log = service_log,
    .metric = service_metric,
    .metric_add = service_metric_change,
    .metric_set = service_metric_change,
    .fail = service_fail,
    .reject = service_reject,
    .missing = service_missing,
    .hold_back = service_hold_back,
    .overtaken = service_offset,
    .log_end_offset = service_offset,
    .end_seen = service_offset,
    .end_seen_ago_us = service_end_seen_ago_us,
};
