/*
 * The source's node operations, on the control loop. What would wait goes to pool threads as jobs.
 */
#include "embedded.h"
#include "source.h"
#include "wakeup.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/timestamp.h"
#include "columns/raw.h"

#define TICK_MS 1000
#define SEEN_TICKS 30 /* seconds between marks of what was seen */
#define LOOK_TICKS 5  /* seconds between looks whether topics are still the same */
#define ENDS_TICKS 2  /* seconds between questions for ends that do not move */
#define LAST_COMMIT_MS 2000
#define LEAVE_LIMIT_MS 3000

/* ---- open ---- */

static sl_error *parse_start(const struct kafka_source_config *config, int64_t *timestamp_ms) {
    const char *text = config->start_timestamp;
    int64_t us = 0;
    if ((config->start == START_TIMESTAMP) != (text != NULL)) {
        return sl_error_new(SL_ERROR_CONFIG, "start and start_timestamp do not go together: "
                                             "start_timestamp is given if, and only if, start is "
                                             "\"timestamp\"");
    }
    if (text == NULL || sl_parse_i64(text, strlen(text), timestamp_ms)) {
        return NULL;
    }
    if (!sl_parse_timestamp(text, strlen(text), &us)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "start_timestamp is \"%s\"; it must be RFC 3339 as "
                            "\"2026-11-22T10:00:00Z\" or milliseconds of Unix time",
                            text);
    }
    *timestamp_ms = us / 1000;
    return NULL;
}

static sl_error *check_topics(const struct kafka_section *section,
                              const struct kafka_source_config *config) {
    if ((config->topics.count > 0) == (config->topics_regex != NULL)) {
        return sl_error_new(SL_ERROR_CONFIG, "a kafka source needs either topics or topics_regex");
    }
    if (config->topics_regex != NULL && section->embedded) {
        return sl_error_new(SL_ERROR_CONFIG, "topics_regex needs a real broker: with embedded, "
                                             "list the topics");
    }
    for (size_t i = 0; i < config->topics.count; i++) {
        const char *name = config->topics.items[i];
        if (name[0] == '\0' || strlen(name) > 249 || name[0] == '^' ||
            name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789._-")] != '\0') {
            return sl_error_new(SL_ERROR_CONFIG,
                                "\"%s\" is no topic name: 1 to 249 letters, digits, '.', '_' and "
                                "'-'%s",
                                name, name[0] == '^' ? "; for a pattern use topics_regex" : "");
        }
    }
    return NULL;
}

/* With an embedded broker, readers count from the start: its sinks must not run away from them. */
static sl_error *announce_readers(struct sl_node *node) {
    for (size_t i = 0; i < node->config->topics.count; i++) {
        for (int64_t p = 0; p < node->section->embedded_partitions; p++) {
            if (source_partition_get(node, node->config->topics.items[i], (int32_t)p) == NULL) {
                return sl_error_no_memory();
            }
        }
    }
    return NULL;
}

static void free_node(struct sl_node *node) {
    for (size_t i = 0; i < node->n_partitions; i++) {
        flow_reader_free(node->partitions[i]->reader);
        flow_release(node->partitions[i]->flow);
        pthread_mutex_destroy(&node->partitions[i]->compare_mutex);
        free(node->partitions[i]->topic);
        free(node->partitions[i]);
    }
    for (size_t i = 0; i < node->n_topics; i++) {
        free(node->topics[i].name);
    }
    if (node->has_broker) {
        embedded_release();
    }
    source_sides_free(node);
    pthread_mutex_destroy(&node->seen_mutex);
    free((void *)node->partitions);
    free(node->topics);
    free(node->group);
    if (!node->abandoned) { /* its client still points here */
        kafka_link_free(&node->link, node);
    }
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    const struct kafka_source_config *config = context->config;
    const struct kafka_section *section = NULL;
    int64_t timestamp_ms = 0;
    sl_error *error = kafka_choose_section(context->section, config->cluster, &section);
    if (error == NULL) {
        error = check_topics(section, config);
    }
    if (error == NULL) {
        error = parse_start(config, &timestamp_ms);
    }
    if (error != NULL) {
        return error;
    }
    struct sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    *node = (struct sl_node){
        .services = context->services,
        .self = context->self,
        .config = config,
        .section = section,
        .pipeline = context->pipeline,
        .name = context->name,
        .until_end = (context->flags & SL_RUN_UNTIL_END) != 0,
        .start_timestamp_ms = timestamp_ms,
        .queue_fd = -1,
    };
    pthread_mutex_init(&node->side_mutex, NULL);
    pthread_mutex_init(&node->seen_mutex, NULL);
    kafka_link_init(&node->link, context->services, context->self, section);
    error = section->embedded ? announce_readers(node) : NULL;
    if (error != NULL) {
        free_node(node);
        return error;
    }
    *out = node;
    return NULL;
}

static sl_error *node_output_schema(sl_node *node, uint32_t output, struct ArrowSchema *out) {
    (void)node;
    (void)output;
    return sl_raw_schema(out);
}

/* ---- jobs on pool threads ---- */

struct job {
    struct sl_node *node;
    sl_request *request;
    struct source_partition *partition;
    const sl_stream *stream;
    int64_t offset;
    int64_t *out_offset; /* resolve, bounds */
    int64_t *out_latest; /* bounds */
    int64_t latest;
    int64_t end;       /* resume: that of the partition, when it is known */
    void **out_handle; /* resume */
    sl_error *error;
};

static void start_job(struct sl_node *node, struct job job, void (*run)(void *),
                      void (*done)(void *)) {
    struct job *made = malloc(sizeof(*made));
    sl_error *error = made == NULL ? sl_error_no_memory() : NULL;
    if (error == NULL) {
        *made = job;
        error = node->services->work(node->self, run, done, made);
    }
    if (error != NULL) {
        free(made);
        node->services->done(job.request, error);
    }
}

static void end_job(struct job *job) {
    sl_request *request = job->request;
    sl_error *error = job->error;
    const sl_services *services = job->node->services;
    free(job);
    services->done(request, error);
}

/* ---- start ---- */

static void on_queue_readable(void *arg) {
    struct sl_node *node = arg;
    wakeup_clear(node->queue_fd);
    source_serve(node);
}

/* What is kept at each time: the partitions that there are then. */
struct keeping {
    struct sl_node *node;
    size_t n;
    struct source_partition *partitions[];
};

static void keep_run(void *arg) {
    struct keeping *keeping = arg;
    for (size_t i = 0; i < keeping->n; i++) {
        source_keep_seen(keeping->partitions[i], false);
    }
}

/* Best effort: without memory the marks stay as they were. */
static void keep_all_seen(struct sl_node *node) {
    struct keeping *keeping =
        malloc(sizeof(*keeping) + node->n_partitions * sizeof(keeping->partitions[0]));
    if (keeping == NULL) {
        return;
    }
    keeping->node = node;
    keeping->n = node->n_partitions;
    for (size_t i = 0; i < keeping->n; i++) {
        keeping->partitions[i] = node->partitions[i];
    }
    sl_error *error = node->services->work(node->self, keep_run, free, keeping);
    if (error != NULL) {
        sl_error_free(error);
        free(keeping);
    }
}

/* The client counts a group member as alive only while its queue is served. */
static void on_tick(void *arg) {
    struct sl_node *node = arg;
    source_serve(node);
    source_commit(node, 0);
    if (++node->ticks % ENDS_TICKS == 0) {
        source_ask_ends(node);
    }
    source_tell_ends(node);
    if (node->ticks % LOOK_TICKS == 0) {
        source_look_again(node);
    }
    if (node->ticks % SOURCE_LOOK_S == 0) {
        source_look_at_group(node);
    }
    if (node->ticks % SEEN_TICKS == 0) {
        keep_all_seen(node);
    }
}

static sl_error *watch_queue(struct sl_node *node) {
    static const uint64_t one = 1;
    node->queue = rd_kafka_queue_get_consumer(node->client);
    node->queue_fd = wakeup_new();
    if (node->queue_fd < 0) {
        return sl_error_new(SL_ERROR_RETRIABLE, "cannot make an eventfd for the consumer");
    }
    rd_kafka_queue_io_event_enable(node->queue, node->queue_fd, &one, sizeof(one));
    sl_error *error = node->services->watch(node->self, node->queue_fd, on_queue_readable, node,
                                            &node->queue_watch);
    return error != NULL ? error
                         : node->services->timer_start(node->self, TICK_MS, TICK_MS, on_tick, node,
                                                       &node->timer);
}

static void connect_run(void *arg) {
    struct job *job = arg;
    job->error = source_connect(job->node);
}

/* Ends the client without telling the group when its membership is static. */
static void disconnect(struct sl_node *node) {
    if (node->timer != NULL) {
        node->services->timer_stop(node->timer);
        node->timer = NULL;
    }
    if (node->queue_watch != NULL) {
        node->services->unwatch(node->queue_watch);
        node->queue_watch = NULL;
    }
    if (node->queue != NULL) {
        rd_kafka_queue_io_event_enable(node->queue, -1, NULL, 0);
        source_answer(node);
        source_await_group(node);
    }
    if (node->client != NULL && node->queue != NULL && node->config->instance != NULL &&
        node->config->instance[0] == 0) {
        source_leave(node, LEAVE_LIMIT_MS);
    }
    if (node->queue != NULL) {
        rd_kafka_queue_destroy(node->queue);
        node->queue = NULL;
    }
    if (node->seen_client != NULL) {
        kafka_link_end(&node->link, node->seen_client, SOURCE_END_LIMIT_S);
        node->seen_client = NULL;
    }
    if (node->client != NULL && node->abandoned) {
        /* librdkafka 2.0 ends the process by an assertion when a leader of its group that was
         * fenced before it had assigned anything is destroyed: it stays to the process's end. */
        rd_kafka_set_log_level(node->client, -1);
    } else if (node->client != NULL) {
        kafka_link_end(&node->link, node->client, SOURCE_END_LIMIT_S);
    }
    node->client = NULL;
    if (node->queue_fd >= 0) {
        close(node->queue_fd);
        node->queue_fd = -1;
    }
}

static void connect_done(void *arg) {
    struct job *job = arg;
    struct sl_node *node = job->node;
    if (job->error == NULL) {
        job->error = watch_queue(node);
    }
    node->n_known = 0;
    for (size_t i = 0; i < node->n_topics; i++) {
        node->n_known += (size_t)node->topics[i].partitions;
    }
    if (job->error == NULL) {
        source_tell_missing(node);
        job->error = source_join(node);
    }
    if (job->error != NULL) {
        disconnect(node); /* the host may start again */
    }
    end_job(job);
}

static void node_start(sl_node *node, sl_request *request) {
    if (!node->section->embedded && node->nobodys == NULL) {
        node->nobodys =
            node->services->metric(node->self, SL_METRIC_GAUGE, "kafka_partitions_without_member",
                                   "partitions that no member of the group has");
    }
    if (node->until_end && node->expected == NULL) {
        node->expected = node->services->metric(node->self, SL_METRIC_GAUGE,
                                                SL_METRIC_EXPECTED_ROWS, "rows to read to the end");
    }
    start_job(node, (struct job){.node = node, .request = request}, connect_run, connect_done);
}

/* ---- streams ---- */

/* A job about the partition that a stream is. */
static void ask(struct sl_node *node, const sl_stream *stream, struct job job, void (*run)(void *),
                void (*done)(void *)) {
    job.node = node;
    job.stream = stream;
    job.partition = source_partition_get(node, stream->topic, stream->partition);
    if (job.partition == NULL) {
        node->services->done(job.request, sl_error_no_memory());
        return;
    }
    start_job(node, job, run, done);
}

static void resolve_run(void *arg) {
    struct job *job = arg;
    job->error =
        source_find_start(job->node, job->partition->topic, job->partition->number, &job->offset);
}

static void resolve_done(void *arg) {
    struct job *job = arg;
    if (job->error == NULL) {
        *job->out_offset = job->offset;
    }
    end_job(job);
}

static void node_resolve(sl_node *node, const sl_stream *stream, int64_t *offset,
                         sl_request *request) {
    ask(node, stream, (struct job){.request = request, .out_offset = offset}, resolve_run,
        resolve_done);
}

static void bounds_run(void *arg) {
    struct job *job = arg;
    job->error = source_watermarks(job->node, job->partition->topic, job->partition->number,
                                   &job->offset, &job->latest);
}

static void bounds_done(void *arg) {
    struct job *job = arg;
    if (job->error == NULL) {
        *job->out_offset = job->offset;
        *job->out_latest = job->latest;
    }
    end_job(job);
}

static void node_bounds(sl_node *node, const sl_stream *stream, int64_t *earliest, int64_t *latest,
                        sl_request *request) {
    ask(node, stream,
        (struct job){.request = request, .out_offset = earliest, .out_latest = latest}, bounds_run,
        bounds_done);
}

static void resume_run(void *arg) {
    struct job *job = arg;
    struct source_partition *partition = job->partition;
    if (job->node->until_end && job->end == SL_OFFSET_NONE && !flow_is_fed(partition->flow)) {
        job->error = source_find_end(job->node, partition->topic, partition->number, &job->end);
    }
    if (job->error == NULL) {
        job->error = source_check_position(partition, job->offset);
    }
}

static void resume_done(void *arg) {
    struct job *job = arg;
    struct source_partition *partition = job->partition;
    struct source_handle *handle = NULL;
    if (partition->end == SL_OFFSET_NONE) {
        partition->end = job->end; /* here only: of two jobs for one partition, the first tells */
    }
    if (job->error == NULL && partition->asked != job->stream) {
        job->error =
            sl_error_new(SL_ERROR_RETRIABLE, "%s partition %d was asked for anew meanwhile",
                         partition->topic, (int)partition->number);
    }
    if (job->error == NULL && (!partition->owned || partition->leaving)) {
        job->error = sl_error_new(SL_ERROR_RETRIABLE, "%s partition %d was revoked meanwhile",
                                  partition->topic, (int)partition->number);
    }
    if (job->error == NULL) {
        job->error = source_fetch(partition, job->offset, &handle);
    }
    if (job->error == NULL) {
        *job->out_handle = handle;
        partition->stream = job->stream;
        source_begin_seeing(partition);
        if (partition->end > job->offset) {
            job->node->services->metric_add(job->node->expected, partition->end - job->offset);
        }
    }
    end_job(job);
}

static void node_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                        void **handle, sl_request *request) {
    (void)position;
    if (stream->reader != 0) {
        source_side_resume(node, stream, offset, handle, request);
        return;
    }
    struct source_partition *partition =
        source_partition_get(node, stream->topic, stream->partition);
    if (partition != NULL) {
        partition->asked = stream;
    }
    struct job job = {.request = request,
                      .offset = offset,
                      .end = partition != NULL ? partition->end : SL_OFFSET_NONE,
                      .out_handle = handle};
    ask(node, stream, job, resume_run, resume_done);
}

static void node_suspend(sl_node *node, const sl_stream *stream) {
    if (stream->reader != 0) {
        source_side_suspend(node, stream);
        return;
    }
    struct source_partition *partition =
        source_partition_get(node, stream->topic, stream->partition);
    if (partition != NULL) {
        partition->stream = partition->stream == stream ? NULL : partition->stream;
        source_unfetch(partition);
    }
}

static void node_acknowledge(sl_node *node, const sl_stream *stream, int64_t position) {
    struct source_partition *partition =
        source_partition_get(node, stream->topic, stream->partition);
    if (partition != NULL && position != SL_OFFSET_NONE && position != partition->acked) {
        partition->acked = position;
        partition->ack_dirty = 1;
    }
}

/* The stream was given up before a lane had it. */
static void node_drop_handle(sl_node *node, const sl_stream *stream, void *handle) {
    struct source_handle *dropped = handle;
    (void)stream;
    if (!dropped->aside && dropped->end > dropped->begin) {
        node->services->metric_add(node->expected, dropped->begin - dropped->end);
    }
    if (!dropped->aside && dropped->partition->newest == dropped) {
        dropped->partition->stream = NULL;
        source_unfetch(dropped->partition);
    }
    source_handle_free(dropped);
}

static void node_close(sl_node *node) {
    source_commit(node, LAST_COMMIT_MS);
    for (size_t i = 0; i < node->n_partitions; i++) {
        source_keep_seen(node->partitions[i], true);
    }
    disconnect(node);
    free_node(node);
}

/* The topics of an embedded broker are gone with the process. */
static sl_guarantee node_guarantee_in(const void *config, const void *section) {
    const struct kafka_source_config *source = config;
    const struct kafka_section *of_node = source->cluster != NULL ? source->cluster : section;
    return of_node != NULL && of_node->embedded ? SL_AT_MOST_ONCE : SL_EXACTLY_ONCE;
}

const sl_node_ops kafka_source_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .output_schema = node_output_schema,
    .start = node_start,
    .resolve = node_resolve,
    .bounds = node_bounds,
    .resume = node_resume,
    .suspend = node_suspend,
    .acknowledge = node_acknowledge,
    .drained = source_stop_reading,
    .close = node_close,
    .guarantee_in = node_guarantee_in,
    .drop_handle = node_drop_handle,
};
