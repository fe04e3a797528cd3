/*
 * The generator as a source: one stream a partition, offsets from 0. The node remembers how far
 * each partition has come, so that none runs far ahead of the others in event time; the tasks, one
 * a lane, write events straight into the columns of raw records.
 */
#include "events.h"
#include "generator.h"
#include "truth.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/slots.h"
#include "base/timestamp.h"
#include "columns/raw.h"

/* While a partition waits for its rate or for slower ones. */
#define TICK_MS 5

struct sl_node {
    const sl_services *services;
    sl_object *self;
    const struct generator_config *config;
    struct event_plan plan;
    int until_end;
    int64_t skew_offsets;
    _Atomic int64_t *progress; /* next offset of each partition; INT64_MAX: waits for nobody */
    struct truth *truth;       /* of [0, next offset) of each partition, once its task has left */
};

/* One attached partition. */
struct partition {
    const sl_stream *stream;
    int64_t next;
    int64_t end;
    int64_t first; /* where it was attached, at attached_us */
    int64_t attached_us;
    int waiting; /* poll answered EMPTY */
    struct truth truth;
};

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    sl_slots partitions; /* by stream index */
    sl_raw_builder builder;
    struct event_calendar calendar;
    sl_timer *ticker; /* runs while a partition waits */
    sl_metric *expected;
    sl_metric *events, *valid_unique, *duplicates, *late, *too_late, *invalid[FAULTS];
};

/* ---- node ---- */

static uint32_t share_of(double share) {
    double scaled = share * 4294967296.0;
    return scaled >= 4294967295.0 ? UINT32_MAX : (uint32_t)scaled;
}

/* Offsets of one partition that lie in `us` of arrival time, at least 1. */
static int64_t offsets_in(const struct generator_config *config, int64_t us) {
    double n = (double)us / 1e6 * (double)config->event_rate / (double)config->partitions;
    return n < 1 ? 1 : n > 1e15 ? INT64_C(1000000000000000) : (int64_t)n;
}

static sl_error *make_plan(const struct generator_config *config, struct event_plan *plan) {
    int64_t start_us = 0;
    if (!sl_parse_timestamp(config->start_time, strlen(config->start_time), &start_us) ||
        start_us < INT64_C(946684800000000) || start_us > INT64_C(221845392000000000)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "start_time is \"%s\"; it must be a time of the years 2000 to 9000 as "
                            "\"2026-11-22T10:00:00Z\"",
                            config->start_time);
    }
    if (config->late + config->too_late > 1) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "late and too_late are %g and %g; together they may "
                            "be at most 1",
                            config->late, config->too_late);
    }
    *plan = (struct event_plan){
        .seed = (uint64_t)config->seed,
        .partitions = config->partitions,
        .start_ms = start_us / 1000,
        .event_rate = config->event_rate,
        .late_by_ms = config->late_by_us / 1000,
        .span_offsets = offsets_in(config, config->duplicate_span_us),
        .invalid = share_of(config->invalid),
        .duplicates = share_of(config->duplicates),
        .late = share_of(config->late),
        .too_late = share_of(config->too_late),
    };
    return NULL;
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    const struct generator_config *config = context->config;
    struct event_plan plan;
    sl_error *error = make_plan(config, &plan);
    if (error != NULL) {
        return error;
    }
    if (config->count == 0 && (context->flags & SL_RUN_UNTIL_END) != 0) {
        return sl_error_new(SL_ERROR_CONFIG, "count is 0, so the events never end; a run with "
                                             "--until-end needs a count");
    }
    sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    size_t n = (size_t)config->partitions;
    node->progress = calloc(n, sizeof(*node->progress));
    node->truth = calloc(n, sizeof(*node->truth));
    if (node->progress == NULL || node->truth == NULL) {
        free((void *)node->progress);
        free(node->truth);
        free(node);
        return sl_error_no_memory();
    }
    node->services = context->services;
    node->self = context->self;
    node->config = config;
    node->plan = plan;
    node->until_end = (context->flags & SL_RUN_UNTIL_END) != 0;
    node->skew_offsets = offsets_in(config, config->max_skew_us);
    *out = node;
    return NULL;
}

static sl_error *node_output_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)node;
    (void)output;
    return sl_raw_schema(out);
}

static void node_start(sl_node *node, sl_request *request) {
    size_t n = (size_t)node->config->partitions;
    sl_stream_name *names = calloc(n, sizeof(*names));
    if (names == NULL) {
        node->services->done(request, sl_error_no_memory());
        return;
    }
    for (size_t i = 0; i < n; i++) {
        names[i] = (sl_stream_name){.topic = node->config->topic, .partition = (int32_t)i};
    }
    node->services->assign(node->self, names, n);
    free(names);
    if (node->until_end) {
        node->services->all_assigned(node->self);
    }
    node->services->done(request, NULL);
}

static void node_resolve(sl_node *node, const sl_stream *stream, int64_t *offset,
                         sl_request *request) {
    (void)stream;
    *offset = 0;
    node->services->done(request, NULL);
}

/* The truth of what an earlier run emitted, counted off the loops. */
struct recount {
    sl_node *node;
    int32_t partition;
    int64_t end;
    struct truth truth;
    sl_request *request;
};

static void recount_run(void *arg) {
    struct recount *recount = arg;
    truth_of_range(&recount->node->plan, recount->partition, recount->end, &recount->truth);
}

static void recount_done(void *arg) {
    struct recount *recount = arg;
    sl_node *node = recount->node;
    node->truth[recount->partition] = recount->truth;
    sl_request *request = recount->request;
    free(recount);
    node->services->done(request, NULL);
}

static void node_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                        void **handle, sl_request *request) {
    (void)position;
    (void)handle;
    atomic_store(&node->progress[stream->partition], offset);
    if (node->config->truth == NULL || offset == 0) {
        memset(&node->truth[stream->partition], 0, sizeof(node->truth[0]));
        node->services->done(request, NULL);
        return;
    }
    struct recount *recount = calloc(1, sizeof(*recount));
    sl_error *error = recount == NULL ? sl_error_no_memory() : NULL;
    if (error == NULL) {
        *recount = (struct recount){
            .node = node, .partition = stream->partition, .end = offset, .request = request};
        error = node->services->work(node->self, recount_run, recount_done, recount);
    }
    if (error != NULL) {
        free(recount);
        node->services->done(request, error);
    }
}

static void node_suspend(sl_node *node, const sl_stream *stream) {
    atomic_store(&node->progress[stream->partition], INT64_MAX);
}

static void node_close(sl_node *node) {
    if (node->config->truth != NULL) {
        struct truth sum = {0};
        for (int64_t i = 0; i < node->config->partitions; i++) {
            truth_add(&sum, &node->truth[i]);
        }
        sl_error *error = truth_write(&sum, node->config->truth);
        if (error != NULL) {
            node->services->log(node->self, SL_LOG_ERROR, "%s", sl_error_message(error));
            sl_error_free(error);
        }
    }
    free((void *)node->progress);
    free(node->truth);
    free(node);
}

const sl_node_ops generator_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .output_schema = node_output_schema,
    .start = node_start,
    .resolve = node_resolve,
    .resume = node_resume,
    .suspend = node_suspend,
    .close = node_close,
};

/* ---- task ---- */

static void make_metrics(sl_task *task) {
    static const char *const NAMES[FAULTS] = {
#define FAULT_METRIC(constant, name) "generated_invalid_" name "_total",
        EVENT_FAULT_MAP(FAULT_METRIC)
#undef FAULT_METRIC
    };
    const sl_services *services = task->services;
    sl_object *self = task->self;
    task->events =
        services->metric(self, SL_METRIC_COUNTER, "generated_events_total", "events generated");
    task->expected = services->metric(self, SL_METRIC_GAUGE, SL_METRIC_EXPECTED_ROWS,
                                      "rows to generate to the end");
    task->valid_unique = services->metric(self, SL_METRIC_COUNTER, "generated_valid_unique_total",
                                          "valid events, copies not counted");
    task->duplicates = services->metric(self, SL_METRIC_COUNTER, "generated_duplicates_total",
                                        "copies of earlier events");
    task->late = services->metric(self, SL_METRIC_COUNTER, "generated_late_total",
                                  "valid events up to late_by behind");
    task->too_late = services->metric(self, SL_METRIC_COUNTER, "generated_too_late_total",
                                      "valid events far beyond late_by");
    for (int i = 0; i < FAULTS; i++) {
        task->invalid[i] =
            services->metric(self, SL_METRIC_COUNTER, NAMES[i], "events made invalid in this way");
    }
}

static sl_error *task_open(sl_node *node, const sl_task_context *context, sl_task **out) {
    sl_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = sl_raw_builder_init(&task->builder);
    if (error != NULL) {
        free(task);
        return error;
    }
    task->node = node;
    task->services = context->services;
    task->self = context->self;
    make_metrics(task);
    *out = task;
    return NULL;
}

/* What is left of a partition, which comes (1) or goes to be read anew (-1). */
static void expect(sl_task *task, const struct partition *partition, int64_t sign) {
    if (task->node->config->count > 0 && partition->end > partition->next) {
        task->services->metric_add(task->expected, sign * (partition->end - partition->next));
    }
}

static sl_error *task_attach(sl_task *task, const sl_stream *stream, const sl_attach *how) {
    struct partition *partition = calloc(1, sizeof(*partition));
    if (partition == NULL || !sl_slots_set(&task->partitions, stream->index, partition)) {
        free(partition);
        return sl_error_no_memory();
    }
    const sl_node *node = task->node;
    const struct generator_config *config = node->config;
    partition->stream = stream;
    partition->next = partition->first = how->offset;
    partition->attached_us = task->services->now_us(task->self);
    partition->truth = node->truth[stream->partition];
    /* Event number i of all goes to partition i modulo partitions. */
    partition->end =
        config->count == 0
            ? INT64_MAX
            : (config->count - stream->partition + config->partitions - 1) / config->partitions;
    partition->end = partition->end < 0 ? 0 : partition->end;
    expect(task, partition, 1);
    if (config->count > 0) {
        task->services->log_end_offset(task->self, stream, partition->end);
    }
    return NULL;
}

static void task_detach(sl_task *task, const sl_stream *stream) {
    struct partition *partition = sl_slots_get(&task->partitions, stream->index);
    if (partition != NULL) {
        expect(task, partition, -1);
        task->node->truth[stream->partition] = partition->truth;
        sl_slots_set(&task->partitions, stream->index, NULL);
        free(partition);
    }
}

/* The offset that the partition may go to now: its end, its rate and the slowest partition. */
static int64_t allowed_to(sl_task *task, const struct partition *partition) {
    const sl_node *node = task->node;
    const struct generator_config *config = node->config;
    int64_t limit = partition->end;
    if (config->rate > 0) {
        double seconds =
            (double)(task->services->now_us(task->self) - partition->attached_us) / 1e6;
        double n = seconds * (double)config->rate / (double)config->partitions;
        int64_t paced = partition->first + (n < 1e15 ? (int64_t)n : INT64_C(1000000000000000));
        limit = paced < limit ? paced : limit;
    }
    int64_t slowest = INT64_MAX;
    for (int64_t i = 0; i < config->partitions; i++) {
        int64_t progress = atomic_load_explicit(&node->progress[i], memory_order_relaxed);
        slowest = progress < slowest ? progress : slowest;
    }
    return slowest < limit - node->skew_offsets ? slowest + node->skew_offsets : limit;
}

static bool append_event(sl_task *task, struct partition *partition) {
    const sl_node *node = task->node;
    const struct event_plan *plan = &node->plan;
    int32_t number = partition->stream->partition;
    struct event_facts facts;
    event_look(plan, number, partition->next, &facts);
    sl_builder *columns = task->builder.root.children;
    sl_builder *value = &columns[SL_RAW_VALUE];
    if (!sl_builder_room(value) || !sl_builder_room_bytes(value, EVENT_MAX_BYTES)) {
        return false;
    }
    char key[EVENT_KEY_MAX_BYTES];
    enum event_key kind = (enum event_key)node->config->key;
    size_t key_bytes = event_write_key(plan, number, &facts, kind, key);
    value->data_bytes +=
        event_write(plan, number, &facts, &task->calendar, (char *)value->data + value->data_bytes);
    value->offsets[value->length + 1] = (int32_t)value->data_bytes;
    sl_builder_advance(value);
    bool good =
        (kind == KEY_NONE ? sl_builder_append_null(&columns[SL_RAW_KEY])
                          : sl_builder_append_bytes(&columns[SL_RAW_KEY], key, key_bytes)) &&
        sl_builder_append_i64(&columns[SL_RAW_TIMESTAMP], facts.arrival_ms * 1000) &&
        sl_builder_append_i64(&columns[SL_RAW_OFFSET], partition->next) &&
        sl_raw_end_row(&task->builder);
    if (good) {
        truth_count(&partition->truth, &facts);
    }
    return good;
}

static void count(sl_task *task, const struct truth *before, const struct truth *after) {
    const sl_services *services = task->services;
    services->metric_add(task->events, after->events - before->events);
    services->metric_add(task->valid_unique, after->valid_unique - before->valid_unique);
    services->metric_add(task->duplicates, after->duplicates - before->duplicates);
    services->metric_add(task->late, after->late - before->late);
    services->metric_add(task->too_late, after->too_late - before->too_late);
    for (int i = 0; i < FAULTS; i++) {
        if (after->invalid[i] != before->invalid[i]) {
            services->metric_add(task->invalid[i], after->invalid[i] - before->invalid[i]);
        }
    }
}

static sl_error *emit(sl_task *task, struct partition *partition, int64_t first, uint32_t flags) {
    struct ArrowArray columns;
    sl_error *error = sl_builder_finish(&task->builder.root, &columns);
    if (error != NULL) {
        return error;
    }
    sl_emission emission = {
        .struct_bytes = sizeof(emission),
        .flags = flags,
        .stream = partition->stream,
        .first_offset = first,
        .next_offset = partition->next,
        .max_event_time_us = SL_EVENT_TIME_NONE,
        .columns = &columns,
    };
    return task->services->emit(task->self, 0, &emission);
}

static void tick(void *arg) {
    sl_task *task = arg;
    int waiting = 0;
    for (size_t i = 0; i < task->partitions.n; i++) {
        struct partition *partition = task->partitions.items[i];
        if (partition == NULL || !partition->waiting) {
            continue;
        }
        if (allowed_to(task, partition) > partition->next) {
            partition->waiting = 0;
            task->services->wake(task->self, partition->stream);
        } else {
            waiting++;
        }
    }
    if (waiting == 0) {
        task->services->timer_stop(task->ticker);
        task->ticker = NULL;
    }
}

/* Has the partition waked when it may go on. */
static sl_error *wait_for_turn(sl_task *task, struct partition *partition) {
    partition->waiting = 1;
    return task->ticker != NULL ? NULL
                                : task->services->timer_start(task->self, TICK_MS, TICK_MS, tick,
                                                              task, &task->ticker);
}

static sl_error *generate(sl_task *task, struct partition *partition, int64_t limit,
                          size_t max_bytes) {
    struct truth before = partition->truth;
    int64_t first = partition->next;
    while (partition->next < limit && sl_raw_bytes(&task->builder) < max_bytes) {
        if (!append_event(task, partition)) {
            sl_builder_truncate(&task->builder.root, sl_raw_rows(&task->builder));
            if (partition->next == first) {
                return sl_error_no_memory();
            }
            break; /* what there is fits */
        }
        partition->next++;
    }
    count(task, &before, &partition->truth);
    atomic_store_explicit(&task->node->progress[partition->stream->partition],
                          partition->next < partition->end ? partition->next : INT64_MAX,
                          memory_order_relaxed);
    return emit(task, partition, first, partition->next == partition->end ? SL_BATCH_AT_END : 0);
}

static sl_error *task_poll(sl_task *task, const sl_stream *stream, size_t max_bytes,
                           sl_poll_state *state) {
    struct partition *partition = sl_slots_get(&task->partitions, stream->index);
    sl_error *error = NULL;
    int64_t limit = allowed_to(task, partition);
    if (partition->next < limit || partition->next == partition->end) {
        error = generate(task, partition, limit, max_bytes);
    }
    if (error != NULL) {
        return error;
    }
    if (partition->next >= partition->end) {
        *state = task->node->until_end ? SL_POLL_ENDED : SL_POLL_EMPTY;
    } else if (partition->next < limit) {
        *state = SL_POLL_MORE;
    } else {
        *state = SL_POLL_EMPTY;
        error = wait_for_turn(task, partition);
    }
    return error;
}

static void task_close(sl_task *task) {
    if (task->ticker != NULL) {
        task->services->timer_stop(task->ticker);
    }
    sl_raw_builder_free(&task->builder);
    sl_slots_free(&task->partitions);
    free(task);
}

const sl_task_ops generator_task_ops = {
    .struct_bytes = sizeof(sl_task_ops),
    .open = task_open,
    .attach = task_attach,
    .detach = task_detach,
    .poll = task_poll,
    .close = task_close,
};
