/*
 * moody-source: partitions of `count` records each, of which a record says only its place; fails at
 * one of its calls (moody.h). It goes on from any offset.
 */
#include "moody.h"

#include <stdlib.h>

#include "base/slots.h"
#include "sluice/sluice.h"

enum { ROWS_A_POLL = 50, PARTITIONS_MAX = 16 };

struct config {
    int64_t count;
    int64_t partitions;
    struct mood mood;
};

struct sl_node {
    const struct config *config;
    const sl_services *services;
    sl_object *self;
    bool until_end;
};

/* One attached partition. */
struct reading {
    int64_t next;
};

struct sl_task {
    sl_node *node;
    sl_object *self;
    sl_slots readings; /* by stream index */
    sl_rows *rows;
};

static const sl_field fields[] = {{"partition", "l", 0}, {"offset", "l", 0}};

static bool strikes(const sl_node *node, int32_t moment) {
    return mood_strikes(&node->config->mood, moment);
}

static sl_error *fails_at(const sl_node *node, int32_t moment) {
    return strikes(node, moment) ? mood_error(&node->config->mood) : NULL;
}

/* False: the request has failed, or is never answered. */
static bool goes_on(const sl_node *node, int32_t moment, sl_request *request) {
    if (!strikes(node, moment)) {
        return true;
    }
    sl_error *error = mood_error(&node->config->mood);
    if (error != NULL) {
        node->services->done(request, error);
    }
    return false;
}

static void answer(const sl_node *node, int32_t moment, sl_request *request) {
    if (goes_on(node, moment, request)) {
        node->services->done(request, NULL);
    }
}

/* ---- node ---- */

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    const struct config *config = context->config;
    bool for_good = (context->flags & SL_RUN_VALIDATE_ONLY) == 0;
    if (for_good && mood_strikes(&config->mood, OPEN)) {
        return mood_error(&config->mood);
    }
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return sl_error_no_memory();
    }
    **out = (sl_node){.config = config,
                      .services = context->services,
                      .self = context->self,
                      .until_end = (context->flags & SL_RUN_UNTIL_END) != 0};
    return NULL;
}

static sl_error *node_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)node;
    (void)output;
    return sl_rows_schema(fields, 2, out) ? NULL : sl_error_no_memory();
}

/* A start that fails has assigned nothing. */
static void node_start(sl_node *node, sl_request *request) {
    if (!goes_on(node, START, request)) {
        return;
    }
    sl_stream_name names[PARTITIONS_MAX];
    for (int32_t i = 0; i < node->config->partitions; i++) {
        names[i] = (sl_stream_name){.topic = "places", .partition = i};
    }
    node->services->assign(node->self, names, (size_t)node->config->partitions);
    if (node->until_end) {
        node->services->all_assigned(node->self);
    }
    node->services->done(request, NULL);
}

static void node_resolve(sl_node *node, const sl_stream *stream, int64_t *offset,
                         sl_request *request) {
    (void)stream;
    *offset = 0;
    answer(node, RESOLVE, request);
}

static void node_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                        void **handle, sl_request *request) {
    (void)stream;
    (void)offset;
    (void)position;
    (void)handle;
    answer(node, RESUME, request);
}

/* Nobody waits for an answer: it says by itself that it cannot go on. */
static void node_acknowledge(sl_node *node, const sl_stream *stream, int64_t position) {
    (void)stream;
    (void)position;
    sl_error *error = fails_at(node, ACKNOWLEDGE);
    if (error != NULL) {
        node->services->fail(node->self, error);
    }
}

static void node_close(sl_node *node) {
    sl_error_free(fails_at(node, CLOSE));
    free(node);
}

/* ---- task ---- */

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_error *error = fails_at(node, TASK);
    if (error != NULL) {
        return error;
    }
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return sl_error_no_memory();
    }
    **out = (sl_task){.node = node, .self = context->self, .rows = sl_rows_new(fields, 2)};
    if ((*out)->rows == NULL) {
        free(*out);
        return sl_error_no_memory();
    }
    return NULL;
}

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    sl_error *error = fails_at(task->node, ATTACH);
    if (error != NULL) {
        return error;
    }
    struct reading *reading = malloc(sizeof(*reading));
    if (reading == NULL || !sl_slots_set(&task->readings, stream->index, reading)) {
        free(reading);
        return sl_error_no_memory();
    }
    reading->next = how->offset;
    return NULL;
}

static void task_detach(sl_task *task, const sl_stream *stream) {
    free(sl_slots_get(&task->readings, stream->index));
    sl_slots_set(&task->readings, stream->index, NULL);
}

static sl_error *emit(sl_task *task, const sl_stream *stream, struct reading *reading) {
    int64_t first = reading->next;
    struct ArrowArray columns;
    for (int i = 0; i < ROWS_A_POLL && reading->next < task->node->config->count; i++) {
        sl_rows_i64(task->rows, 0, stream->partition);
        sl_rows_i64(task->rows, 1, reading->next++);
        sl_rows_end(task->rows);
    }
    if (!sl_rows_finish(task->rows, &columns)) {
        return sl_error_no_memory();
    }
    bool at_end = reading->next == task->node->config->count;
    sl_emission emission = {.struct_bytes = sizeof(emission),
                            .flags = at_end ? SL_BATCH_AT_END : 0,
                            .stream = stream,
                            .first_offset = first,
                            .next_offset = reading->next,
                            .max_event_time_us = SL_EVENT_TIME_NONE,
                            .columns = &columns};
    return task->node->services->emit(task->self, 0, &emission);
}

/* SILENT: no wake will follow. */
static sl_error *task_poll(sl_task *task, const sl_stream *stream, size_t max_bytes,
                           sl_poll_state *state) {
    (void)max_bytes;
    struct reading *reading = sl_slots_get(&task->readings, stream->index);
    *state = SL_POLL_EMPTY;
    if (strikes(task->node, POLL)) {
        return mood_error(&task->node->config->mood);
    }
    sl_error *error = emit(task, stream, reading);
    if (reading->next < task->node->config->count) {
        *state = SL_POLL_MORE;
    } else if (task->node->until_end) {
        *state = SL_POLL_ENDED;
    }
    return error;
}

static void task_close(sl_task *task) {
    sl_slots_free(&task->readings);
    sl_rows_free(task->rows);
    free(task);
}

static const sl_node_ops node_ops = {.struct_bytes = sizeof(sl_node_ops),
                                     .open = node_open,
                                     .output_schema = node_schema,
                                     .start = node_start,
                                     .resolve = node_resolve,
                                     .resume = node_resume,
                                     .acknowledge = node_acknowledge,
                                     .close = node_close};
static const sl_task_ops task_ops = {.struct_bytes = sizeof(sl_task_ops),
                                     .open = task_open,
                                     .attach = task_attach,
                                     .detach = task_detach,
                                     .poll = task_poll,
                                     .close = task_close};

static const sl_option options[] = {
    {.name = "count",
     .type = SL_OPTION_INTEGER,
     .flags = SL_OPTION_REQUIRED | SL_OPTION_RANGE | SL_OPTION_TUNING,
     .offset = offsetof(struct config, count),
     .min = 1,
     .max = 1e9,
     .doc = "records of each partition"},
    {.name = "partitions",
     .type = SL_OPTION_INTEGER,
     .flags = SL_OPTION_RANGE | SL_OPTION_TUNING,
     .offset = offsetof(struct config, partitions),
     .default_text = "1",
     .min = 1,
     .max = PARTITIONS_MAX,
     .doc = "how many there are"},
    MOOD_OPTIONS(struct config),
    {.name = NULL},
};

static const sl_role source = {.struct_bytes = sizeof(sl_role),
                               .guarantee = SL_EXACTLY_ONCE,
                               .option_bytes = sizeof(sl_option),
                               .options = options,
                               .config_bytes = sizeof(struct config),
                               .node = &node_ops,
                               .task = &task_ops};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER, .name = "moody-source", .version = "1.0.0", .summary = "reads as it is told",
    .licence = "MIT", .source = &source};
