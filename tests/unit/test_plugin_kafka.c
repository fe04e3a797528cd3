/*
 * kafka in the harness: sink and source against the embedded broker and, for group membership,
 * against a mock cluster of the test's own.
 */
#include "harness/harness.h"

#include <check.h>
#include <dlfcn.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"
#include "columns/raw.h"

#define PLUGIN SL_BUILD_DIR "/plugins/kafka.so"
#define LIMIT_MS 60000

/* What the plugin calls of librdkafka comes here first. */
#define CALLED_FIRST __attribute__((visibility("default")))

static void check_no_error(sl_error *error) {
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
}

static sl_harness *open_node(sl_harness_role role, const char *const *section,
                             const char *const *config, const sl_input *inputs, size_t n,
                             uint32_t flags) {
    sl_harness_options options = {.plugin = PLUGIN,
                                  .role = role,
                                  .config = config,
                                  .section = section,
                                  .inputs = inputs,
                                  .n_inputs = n,
                                  .flags = flags,
                                  .real_time = 1};
    sl_harness *harness = NULL;
    check_no_error(sl_harness_open(&options, &harness));
    return harness;
}

static const char *const EMBEDDED[] = {"embedded=true", "embedded.partitions=2", NULL};

/* ---- raw rows ---- */

static void make_rows(struct ArrowArray *out, int first, int n, size_t value_bytes) {
    sl_raw_builder builder;
    check_no_error(sl_raw_builder_init(&builder));
    char *value = malloc(value_bytes + 32);
    for (int i = first; i < first + n; i++) {
        char key[16];
        int key_bytes = snprintf(key, sizeof(key), "k%d", i % 50);
        int head = snprintf(value, 32, "value %d ", i);
        unsigned x = (unsigned)i * 2654435761u + 1;
        for (size_t b = (size_t)head; b < value_bytes; b++) {
            x = x * 1664525u + 1013904223u; /* not compressible */
            value[b] = (char)('!' + (x >> 24) % 90);
        }
        size_t bytes = value_bytes > (size_t)head ? value_bytes : (size_t)head;
        ck_assert(sl_raw_append(&builder, i % 7 == 0 ? NULL : key, (size_t)key_bytes,
                                i % 11 == 0 ? NULL : value, bytes, 1700000000000000 + i * 1000, i));
        if (i % 5 == 0) {
            ck_assert(sl_raw_append_header(&builder, "trace", 5, "abc", 3));
            ck_assert(sl_raw_append_header(&builder, "none", 4, NULL, 0));
        }
        ck_assert(sl_raw_end_row(&builder));
    }
    free(value);
    check_no_error(sl_builder_finish(&builder.root, out));
    sl_raw_builder_free(&builder);
}

static int64_t count_rows(sl_harness *harness) {
    const sl_harness_batch *batches = NULL;
    size_t n = sl_harness_batches(harness, &batches);
    int64_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        rows += batches[i].batch.rows;
    }
    return rows;
}

/* Lines of JSON without offsets, sorted: what must be equal before and after Kafka. */
static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}
static char *describe(const struct ArrowSchema *schema, const struct ArrowArray *const *arrays,
                      size_t n) {
    char **lines = NULL;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        lines = realloc(lines, (count + (size_t)arrays[i]->length + 1) * sizeof(*lines));
        for (int64_t row = 0; row < arrays[i]->length; row++) {
            sl_buffer line = SL_BUFFER_INIT;
            for (int c = 0; c < SL_RAW_OFFSET; c++) {
                ck_assert(
                    sl_array_append_json(schema->children[c], arrays[i]->children[c], row, &line));
            }
            sl_buffer_append(&line, "\n", 2);
            size_t bytes = 0;
            lines[count++] = (char *)sl_buffer_take(&line, &bytes);
        }
    }
    if (count > 0) {
        qsort(lines, count, sizeof(*lines), compare_lines);
    }
    sl_buffer all = SL_BUFFER_INIT;
    for (size_t i = 0; i < count; i++) {
        sl_buffer_append_text(&all, lines[i]);
        free(lines[i]);
    }
    free(lines);
    sl_buffer_append_byte(&all, 0);
    size_t bytes = 0;
    return (char *)sl_buffer_take(&all, &bytes);
}

static char *describe_read(sl_harness *harness) {
    const sl_harness_batch *batches = NULL;
    size_t n = sl_harness_batches(harness, &batches);
    const struct ArrowArray **arrays = calloc(n + 1, sizeof(*arrays));
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (batches[i].batch.rows > 0) {
            arrays[kept++] = batches[i].batch.columns;
        }
    }
    char *text = describe(sl_harness_schema(harness, 0), arrays, kept);
    free(arrays);
    return text;
}

/* ---- tests ---- */

struct pair {
    sl_harness *source;
    sl_harness *sink;
    struct ArrowSchema schema;
    sl_input input;
};

static void open_pair(struct pair *pair, const char *const *section, const char *const *sink,
                      const char *const *source) {
    check_no_error(sl_raw_schema(&pair->schema));
    pair->input = (sl_input){"generated", &pair->schema};
    pair->source = open_node(SL_HARNESS_SOURCE, section, source, NULL, 0, SL_RUN_UNTIL_END);
    pair->sink = open_node(SL_HARNESS_SINK, section, sink, &pair->input, 1, SL_RUN_UNTIL_END);
    check_no_error(sl_harness_start(pair->source));
    check_no_error(sl_harness_start(pair->sink));
}

static void close_pair(struct pair *pair) {
    ck_assert_int_eq(sl_harness_close(pair->source, 1), 0);
    pair->schema.release(&pair->schema);
}

static const char *const TOPICS[] = {"topics=events", NULL};
static const char *const TOPIC[] = {"topic=events", NULL};

START_TEST(records_come_back_as_they_were) {
    struct pair pair;
    open_pair(&pair, EMBEDDED, TOPIC, TOPICS);
    struct ArrowArray rows;
    struct ArrowArray copy;
    make_rows(&rows, 0, 500, 40);
    make_rows(&copy, 0, 500, 40);
    check_no_error(sl_harness_process(pair.sink, 0, "generated", 0, &rows, 0, 500, LIMIT_MS));
    check_no_error(sl_harness_flush(pair.sink, LIMIT_MS));
    ck_assert_int_eq(sl_harness_metric(pair.sink, "kafka_records_delivered_total"), 500);
    /* Fed by a sink that is not done: the reader waits. */
    ck_assert_int_eq(sl_harness_run_to_end(pair.source, 300), 0);
    ck_assert_int_eq(sl_harness_close(pair.sink, 1), 0);
    ck_assert_int_eq(sl_harness_run_to_end(pair.source, LIMIT_MS), 1);
    ck_assert_int_eq(count_rows(pair.source), 500);
    const struct ArrowArray *sent = &copy;
    char *expected = describe(&pair.schema, &sent, 1);
    char *got = describe_read(pair.source);
    ck_assert_str_eq(got, expected);
    free(expected);
    free(got);
    copy.release(&copy);
    close_pair(&pair);
}
END_TEST

static int is_not_paused(void *arg) {
    return !sl_harness_paused(arg);
}

START_TEST(the_embedded_broker_never_forgets_what_is_unread) {
    /* No thread drives the source while the sink is fed: the sink must come to a stop. */
    static const char *const ONE[] = {"embedded=true", "embedded.partitions=1", NULL};
    struct pair pair;
    open_pair(&pair, ONE, TOPIC, TOPICS);
    int sent = 0;
    int64_t read = 0;
    int stops = 0;
    while (sent < 40000) { /* 16 MB of noise in one partition */
        struct ArrowArray rows;
        make_rows(&rows, sent, 1000, 400);
        check_no_error(
            sl_harness_process(pair.sink, 0, "generated", 0, &rows, sent, sent + 1000, LIMIT_MS));
        sent += 1000;
        if (!sl_harness_run(pair.sink, is_not_paused, pair.sink, 100)) {
            stops++;
            while (sl_harness_paused(pair.sink)) {
                sl_harness_run(pair.source, NULL, NULL, 20);
                sl_harness_run(pair.sink, is_not_paused, pair.sink, 5);
                read += count_rows(pair.source);
                sl_harness_forget(pair.source);
            }
        }
    }
    ck_assert_int_gt(stops, 2);
    sl_harness_run(pair.source, NULL, NULL, 200);
    check_no_error(sl_harness_flush(pair.sink, LIMIT_MS));
    ck_assert_int_eq(sl_harness_close(pair.sink, 1), 0);
    ck_assert_int_eq(sl_harness_run_to_end(pair.source, LIMIT_MS), 1);
    ck_assert_ptr_null(sl_harness_failure(pair.source));
    read += count_rows(pair.source);
    ck_assert_int_eq(read, sent);
    close_pair(&pair);
}
END_TEST

START_TEST(a_partition_can_be_read_again) {
    static const char *const ONE[] = {"embedded=true", "embedded.partitions=1", NULL};
    struct pair pair;
    open_pair(&pair, ONE, TOPIC, TOPICS);
    struct ArrowArray rows;
    make_rows(&rows, 0, 300, 40);
    check_no_error(sl_harness_process(pair.sink, 0, "generated", 0, &rows, 0, 300, LIMIT_MS));
    check_no_error(sl_harness_flush(pair.sink, LIMIT_MS));
    ck_assert_int_eq(sl_harness_close(pair.sink, 1), 0);
    ck_assert_int_eq(sl_harness_run_to_end(pair.source, LIMIT_MS), 1);
    ck_assert_int_eq(count_rows(pair.source), 300);
    sl_harness_forget(pair.source);
    check_no_error(sl_harness_recover(pair.source, "events", 0, 120, LIMIT_MS));
    ck_assert_int_eq(sl_harness_run_to_end(pair.source, LIMIT_MS), 1);
    ck_assert_int_eq(count_rows(pair.source), 180);
    const sl_harness_batch *batches = NULL;
    ck_assert_uint_ge(sl_harness_batches(pair.source, &batches), 1);
    ck_assert_int_eq(batches[0].batch.first_offset, 120);
    close_pair(&pair);
}
END_TEST

static int has_failed(void *arg) {
    return sl_harness_failure(arg) != NULL;
}

START_TEST(a_position_beyond_the_topic_is_an_error) {
    struct pair pair;
    check_no_error(sl_raw_schema(&pair.schema));
    pair.input = (sl_input){"generated", &pair.schema};
    pair.source = open_node(SL_HARNESS_SOURCE, EMBEDDED, TOPICS, NULL, 0, 0);
    check_no_error(sl_harness_set_position(pair.source, "events", 0, 123456));
    check_no_error(sl_harness_start(pair.source));
    for (int i = 0; i < 500 && sl_harness_failure(pair.source) == NULL; i++) {
        sl_harness_run(pair.source, NULL, NULL, 20);
    }
    const sl_error *failure = sl_harness_failure(pair.source);
    ck_assert_ptr_nonnull(failure);
    ck_assert_msg(strstr(sl_error_message(failure), "events partition 0: the position 123456 is "
                                                    "not on the broker") != NULL,
                  "%s", sl_error_message(failure));
    close_pair(&pair);
}
END_TEST

/* Whether the records that are read next have behind them, in the same poll, the answer that the
 * position is gone. */
static bool retention_overtakes;

struct taker {
    void (*take)(rd_kafka_message_t *, void *);
    void *arg;
    int records;
};

static void count_and_take(rd_kafka_message_t *message, void *arg) {
    struct taker *taker = arg;
    taker->records += message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? 1 : 0;
    taker->take(message, taker->arg);
}

typedef int consume(rd_kafka_queue_t *, int, void (*)(rd_kafka_message_t *, void *), void *);

CALLED_FIRST int rd_kafka_consume_callback_queue(rd_kafka_queue_t *queue, int limit_ms,
                                                 void (*take)(rd_kafka_message_t *, void *),
                                                 void *arg) {
    consume *real = (consume *)dlsym(RTLD_NEXT, "rd_kafka_consume_callback_queue");
    struct taker taker = {.take = take, .arg = arg};
    int n = real(queue, limit_ms, count_and_take, &taker);
    if (taker.records > 0 && retention_overtakes) {
        rd_kafka_message_t gone = {.err = RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET};
        take(&gone, arg);
    }
    return n;
}

START_TEST(what_was_read_before_an_error_comes_first) {
    static const char *const ONE[] = {"embedded=true", "embedded.partitions=1", NULL};
    struct pair pair;
    open_pair(&pair, ONE, TOPIC, TOPICS);
    struct ArrowArray rows;
    make_rows(&rows, 0, 300, 40);
    check_no_error(sl_harness_process(pair.sink, 0, "generated", 0, &rows, 0, 300, LIMIT_MS));
    check_no_error(sl_harness_flush(pair.sink, LIMIT_MS));
    ck_assert_int_eq(sl_harness_close(pair.sink, 1), 0);
    retention_overtakes = true;
    sl_harness_run(pair.source, has_failed, pair.source, LIMIT_MS);
    const sl_error *failure = sl_harness_failure(pair.source);
    ck_assert_ptr_nonnull(failure);
    int64_t read = count_rows(pair.source);
    char position[60];
    snprintf(position, sizeof(position), "the position %d is not on the broker", (int)read);
    ck_assert_int_gt(read, 0);
    ck_assert_msg(strstr(sl_error_message(failure), position) != NULL, "read %d: %s", (int)read,
                  sl_error_message(failure));
    close_pair(&pair);
}
END_TEST

static void make_table(struct ArrowSchema *schema, struct ArrowArray *out) {
    check_no_error(sl_schema_new_struct(3, schema));
    check_no_error(sl_schema_set_field(schema, 0, "country", "u", true, 0));
    check_no_error(sl_schema_set_field(schema, 1, "events", "l", false, 0));
    check_no_error(sl_schema_set_field(schema, 2, "to", "u", false, 0));
    sl_builder builder;
    check_no_error(sl_builder_init(&builder, schema));
    for (int i = 0; i < 10; i++) {
        sl_builder_append_bytes(&builder.children[0], i % 2 ? "DE" : "FR", 2);
        sl_builder_append_i64(&builder.children[1], i);
        sl_builder_append_bytes(&builder.children[2], i % 2 ? "odd" : "even", i % 2 ? 3 : 4);
        sl_builder_append_struct(&builder);
    }
    check_no_error(sl_builder_finish(&builder, out));
    sl_builder_free(&builder);
}

START_TEST(rows_become_json_with_key_and_topic_by_column) {
    struct ArrowSchema schema;
    struct ArrowArray rows;
    make_table(&schema, &rows);
    sl_input input = {"gold", &schema};
    const char *topics[] = {"topics=odd", NULL};
    const char *config[] = {"topic_column=to", "key=country", NULL};
    sl_harness *source = open_node(SL_HARNESS_SOURCE, EMBEDDED, topics, NULL, 0, SL_RUN_UNTIL_END);
    sl_harness *sink = open_node(SL_HARNESS_SINK, EMBEDDED, config, &input, 1, 0);
    check_no_error(sl_harness_start(source));
    check_no_error(sl_harness_start(sink));
    check_no_error(sl_harness_process(sink, 0, "gold", 0, &rows, 0, 10, LIMIT_MS));
    check_no_error(sl_harness_flush(sink, LIMIT_MS));
    ck_assert_int_eq(sl_harness_close(sink, 1), 0);
    schema.release(&schema);
    ck_assert_int_eq(sl_harness_run_to_end(source, LIMIT_MS), 1);
    ck_assert_int_eq(count_rows(source), 5);
    const sl_harness_batch *batches = NULL;
    size_t n = sl_harness_batches(source, &batches);
    for (size_t i = 0; i < n; i++) {
        for (int64_t row = 0; row < batches[i].batch.rows; row++) {
            const struct ArrowArray *values = batches[i].batch.columns->children[SL_RAW_VALUE];
            const struct ArrowArray *keys = batches[i].batch.columns->children[SL_RAW_KEY];
            const int32_t *ends = values->buffers[1];
            const char *text = (const char *)values->buffers[2] + ends[row];
            ck_assert(memcmp(text, "{\"country\":\"DE\",\"events\":", 25) == 0);
            ck_assert_int_eq(((const int32_t *)keys->buffers[1])[row], (int32_t)row * 2);
        }
    }
    ck_assert_int_eq(sl_harness_close(source, 1), 0);
}
END_TEST

START_TEST(no_more_topics_than_allowed) {
    struct ArrowSchema schema;
    struct ArrowArray rows;
    make_table(&schema, &rows);
    sl_input input = {"gold", &schema};
    const char *config[] = {"topic_column=to", "max_topics=1", NULL};
    sl_harness *sink = open_node(SL_HARNESS_SINK, EMBEDDED, config, &input, 1, 0);
    check_no_error(sl_harness_start(sink));
    sl_error *error = sl_harness_process(sink, 0, "gold", 0, &rows, 0, 10, LIMIT_MS);
    ck_assert(sl_error_is(error, SL_ERROR_FATAL));
    ck_assert_msg(strstr(sl_error_message(error), "more than 1 topics") != NULL, "%s",
                  sl_error_message(error));
    sl_error_free(error);
    ck_assert_int_eq(sl_harness_close(sink, 1), 0);
    schema.release(&schema);
}
END_TEST

static void append_at(sl_raw_builder *builder, int64_t time_us, int64_t offset) {
    ck_assert(sl_raw_append(builder, "k", 1, "v", 1, time_us, offset));
    ck_assert(sl_raw_end_row(builder));
}

START_TEST(a_record_of_1970_is_not_one_of_today) {
    struct pair pair;
    open_pair(&pair, EMBEDDED, TOPIC, TOPICS);
    sl_raw_builder builder;
    struct ArrowArray rows;
    check_no_error(sl_raw_builder_init(&builder));
    append_at(&builder, 0, 0);
    append_at(&builder, 5000, 1);
    check_no_error(sl_builder_finish(&builder.root, &rows));
    sl_raw_builder_free(&builder);
    check_no_error(sl_harness_process(pair.sink, 0, "generated", 0, &rows, 0, 2, LIMIT_MS));
    check_no_error(sl_harness_flush(pair.sink, LIMIT_MS));
    ck_assert_int_eq(sl_harness_close(pair.sink, 1), 0);
    ck_assert_int_eq(sl_harness_run_to_end(pair.source, LIMIT_MS), 1);
    const sl_harness_batch *batches = NULL;
    size_t n = sl_harness_batches(pair.source, &batches);
    int64_t sum_us = 0;
    for (size_t i = 0; i < n; i++) {
        for (int64_t row = 0; row < batches[i].batch.rows; row++) {
            const struct ArrowArray *times = batches[i].batch.columns->children[SL_RAW_TIMESTAMP];
            sum_us += ((const int64_t *)times->buffers[1])[row];
        }
    }
    ck_assert_int_eq(count_rows(pair.source), 2);
    ck_assert_int_eq(sum_us, 1000 + 5000);
    close_pair(&pair);
}
END_TEST

START_TEST(what_is_too_large_is_rejected_and_the_rest_written) {
    const char *config[] = {"topic=events", "message.max.bytes=1000", NULL};
    struct pair pair;
    open_pair(&pair, EMBEDDED, config, TOPICS);
    struct ArrowArray rows;
    make_rows(&rows, 0, 10, 400);
    check_no_error(sl_harness_process(pair.sink, 0, "generated", 0, &rows, 0, 10, LIMIT_MS));
    make_rows(&rows, 10, 3, 3000); /* the second has no value */
    check_no_error(sl_harness_process(pair.sink, 0, "generated", 0, &rows, 10, 13, LIMIT_MS));
    check_no_error(sl_harness_flush(pair.sink, LIMIT_MS));
    const char *last = NULL;
    ck_assert_uint_eq(sl_harness_rejects(pair.sink, &last), 2);
    ck_assert_msg(strncmp(last, "too_large $ found a record of 30", 32) == 0, "%s", last);
    ck_assert_int_eq(sl_harness_metric(pair.sink, "kafka_records_delivered_total"), 11);
    ck_assert_int_eq(sl_harness_close(pair.sink, 1), 0);
    ck_assert_int_eq(sl_harness_run_to_end(pair.source, LIMIT_MS), 1);
    ck_assert_int_eq(count_rows(pair.source), 11);
    close_pair(&pair);
}
END_TEST

struct cluster {
    rd_kafka_t *owner;
    rd_kafka_mock_cluster_t *mock;
    char bootstrap[300];
};

static void open_cluster(struct cluster *cluster, int partitions) {
    char why[200];
    cluster->owner = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof(why));
    cluster->mock = rd_kafka_mock_cluster_new(cluster->owner, 1);
    rd_kafka_mock_topic_create(cluster->mock, "events", partitions, 1);
    snprintf(cluster->bootstrap, sizeof(cluster->bootstrap), "bootstrap.servers=%s",
             rd_kafka_mock_cluster_bootstraps(cluster->mock));
}

static void close_cluster(struct cluster *cluster) {
    rd_kafka_mock_cluster_destroy(cluster->mock);
    rd_kafka_destroy(cluster->owner);
}

START_TEST(a_group_member_gets_all_partitions) {
    struct cluster cluster;
    open_cluster(&cluster, 3);
    const char *section[] = {cluster.bootstrap, NULL};
    struct pair pair;
    open_pair(&pair, section, TOPIC, TOPICS);
    struct ArrowArray rows;
    make_rows(&rows, 0, 900, 60);
    check_no_error(sl_harness_process(pair.sink, 0, "generated", 0, &rows, 0, 900, LIMIT_MS));
    check_no_error(sl_harness_flush(pair.sink, LIMIT_MS));
    ck_assert_int_eq(sl_harness_close(pair.sink, 1), 0);
    ck_assert_int_eq(sl_harness_run_to_end(pair.source, LIMIT_MS), 1);
    ck_assert_ptr_null(sl_harness_failure(pair.source));
    size_t ended = 0;
    ck_assert_uint_eq(sl_harness_streams(pair.source, &ended), 3);
    ck_assert_int_eq(count_rows(pair.source), 900);
    close_pair(&pair);
    close_cluster(&cluster);
}
END_TEST

static int has_batch(void *arg) {
    const sl_harness_batch *batches;
    return sl_harness_batches(arg, &batches) > 0;
}

/* The progress bar: what a partition had left when it went is not expected twice when it comes
 * back. */
START_TEST(what_is_expected_is_read) {
    struct cluster cluster;
    open_cluster(&cluster, 3);
    const char *section[] = {cluster.bootstrap, NULL};
    struct pair pair;
    open_pair(&pair, section, TOPIC, TOPICS);
    struct ArrowArray rows;
    make_rows(&rows, 0, 900, 3000); /* a partition takes several polls */
    check_no_error(sl_harness_process(pair.sink, 0, "generated", 0, &rows, 0, 900, LIMIT_MS));
    check_no_error(sl_harness_flush(pair.sink, LIMIT_MS));
    ck_assert_int_eq(sl_harness_close(pair.sink, 1), 0);
    ck_assert_int_eq(sl_harness_run(pair.source, has_batch, pair.source, LIMIT_MS), 1);
    const sl_harness_batch *batches;
    (void)sl_harness_batches(pair.source, &batches);
    check_no_error(
        sl_harness_recover(pair.source, "events", batches[0].batch.stream->partition, 0, LIMIT_MS));
    ck_assert_int_eq(sl_harness_run_to_end(pair.source, LIMIT_MS), 1);
    int64_t read = sl_harness_metric(pair.source, "kafka_records_read_total");
    ck_assert_int_gt(read, 900);
    ck_assert_int_eq(sl_harness_metric(pair.source, SL_METRIC_EXPECTED_ROWS), read);
    close_pair(&pair);
    close_cluster(&cluster);
}
END_TEST

static size_t streams_of(sl_harness *harness) {
    size_t ended = 0;
    return sl_harness_streams(harness, &ended);
}

START_TEST(two_members_share_and_hand_over) {
    struct cluster cluster;
    open_cluster(&cluster, 4);
    const char *section[] = {cluster.bootstrap, NULL};
    const char *first[] = {"topics=events", "group.instance.id=", "session.timeout.ms=6000", NULL};
    sl_harness *a = open_node(SL_HARNESS_SOURCE, section, first, NULL, 0, 0);
    check_no_error(sl_harness_start(a));
    for (int i = 0; i < 1000 && streams_of(a) < 4; i++) {
        sl_harness_run(a, NULL, NULL, 20);
    }
    ck_assert_uint_eq(streams_of(a), 4);
    sl_harness *b = open_node(SL_HARNESS_SOURCE, section, first, NULL, 0, 0);
    check_no_error(sl_harness_start(b));
    for (int i = 0; i < 1000 && (streams_of(a) != 2 || streams_of(b) != 2); i++) {
        sl_harness_run(a, NULL, NULL, 10);
        sl_harness_run(b, NULL, NULL, 10);
    }
    ck_assert_uint_eq(streams_of(a), 2);
    ck_assert_uint_eq(streams_of(b), 2);
    ck_assert_int_eq(sl_harness_close(b, 0), 0);
    for (int i = 0; i < 1500 && streams_of(a) < 4; i++) {
        sl_harness_run(a, NULL, NULL, 20);
    }
    ck_assert_uint_eq(streams_of(a), 4);
    ck_assert_ptr_null(sl_harness_failure(a));
    ck_assert_int_eq(sl_harness_close(a, 0), 0);
    close_cluster(&cluster);
}
END_TEST

static rd_kafka_queue_t *members_queue;
static atomic_bool holds_end;
static atomic_int ends, ended;

CALLED_FIRST rd_kafka_queue_t *rd_kafka_queue_get_consumer(rd_kafka_t *client) {
    rd_kafka_queue_t *(*real)(rd_kafka_t *) =
        (rd_kafka_queue_t * (*)(rd_kafka_t *)) dlsym(RTLD_NEXT, "rd_kafka_queue_get_consumer");
    members_queue = real(client);
    return members_queue;
}

CALLED_FIRST void rd_kafka_destroy_flags(rd_kafka_t *client, int flags) {
    void (*real)(rd_kafka_t *, int) =
        (void (*)(rd_kafka_t *, int))dlsym(RTLD_NEXT, "rd_kafka_destroy_flags");
    atomic_fetch_add(&ends, 1);
    while (atomic_load(&holds_end)) {
        usleep(1000);
    }
    real(client, flags);
    atomic_fetch_add(&ended, 1);
}

/* A member that has been assigned partitions, and nobody has looked at that. */
static sl_harness *open_member(const struct cluster *cluster) {
    const char *section[] = {cluster->bootstrap, NULL};
    const char *config[] = {"topics=events", "session.timeout.ms=6000", NULL};
    sl_harness *member = open_node(SL_HARNESS_SOURCE, section, config, NULL, 0, 0);
    check_no_error(sl_harness_start(member));
    for (int i = 0; i < LIMIT_MS && rd_kafka_queue_length(members_queue) == 0; i++) {
        usleep(1000);
    }
    ck_assert_uint_eq(rd_kafka_queue_length(members_queue), 1);
    return member;
}

/* librdkafka 2.0 ends a consumer that was just assigned something only when that is answered. */
START_TEST(ends_although_nobody_has_looked_at_an_assignment) {
    struct cluster cluster;
    open_cluster(&cluster, 4);
    sl_harness *member = open_member(&cluster);
    ck_assert_int_eq(sl_harness_close(member, 0), 0);
    ck_assert_int_gt(ended, 0);
    ck_assert_int_eq(ended, ends);
    close_cluster(&cluster);
}
END_TEST

START_TEST(a_consumer_that_does_not_end_holds_nobody_up) {
    struct cluster cluster;
    open_cluster(&cluster, 4);
    sl_harness *member = open_member(&cluster);
    int before = ends;
    atomic_store(&holds_end, true);
    ck_assert_int_eq(sl_harness_close(member, 0), 0);
    ck_assert_int_eq(ended, before);
    ck_assert_int_eq(ends, before + 1);
    atomic_store(&holds_end, false);
    for (int i = 0; i < LIMIT_MS && ended < ends; i++) {
        usleep(1000);
    }
    ck_assert_int_eq(ended, ends);
    close_cluster(&cluster);
}
END_TEST

static void check_refused(sl_harness_role role, const char *const *section,
                          const char *const *config, const char *part) {
    struct ArrowSchema schema;
    check_no_error(sl_raw_schema(&schema));
    sl_input input = {"in", &schema};
    sl_harness_options options = {.plugin = PLUGIN,
                                  .role = role,
                                  .config = config,
                                  .section = section,
                                  .inputs = &input,
                                  .n_inputs = role == SL_HARNESS_SINK};
    sl_harness *harness = NULL;
    sl_error *error = sl_harness_open(&options, &harness);
    ck_assert_msg(error != NULL, "not refused: %s", part);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    ck_assert_msg(strstr(sl_error_message(error), part) != NULL, "%s", sl_error_message(error));
    sl_error_free(error);
    schema.release(&schema);
}

START_TEST(refuses_bad_options) {
    const char *none[] = {NULL};
    check_refused(SL_HARNESS_SOURCE, none, TOPICS, "names no broker");
    check_refused(SL_HARNESS_SOURCE, EMBEDDED, none, "either topics or topics_regex");
    check_refused(SL_HARNESS_SOURCE, EMBEDDED, (const char *[]){"topics=^a", NULL},
                  "for a pattern use topics_regex");
    check_refused(SL_HARNESS_SOURCE, EMBEDDED,
                  (const char *[]){"topics=a", "start=timestamp", NULL}, "start_timestamp");
    check_refused(SL_HARNESS_SOURCE, EMBEDDED,
                  (const char *[]){"topics=a", "start=timestamp", "start_timestamp=noon", NULL},
                  "RFC 3339");
    check_refused(SL_HARNESS_SOURCE, EMBEDDED,
                  (const char *[]){"topics=a", "fetch.min.byte=1", NULL},
                  "nearest: fetch.min.bytes");
    check_refused(SL_HARNESS_SOURCE, EMBEDDED,
                  (const char *[]){"topics=a", "fetch.min.bytes=many", NULL}, "refuses the value");
    check_refused(SL_HARNESS_SOURCE, EMBEDDED,
                  (const char *[]){"topics=a", "enable.auto.commit=true", NULL},
                  "is set by sluice");
    check_refused(SL_HARNESS_SINK, EMBEDDED, none, "either topic or topic_column");
    check_refused(SL_HARNESS_SINK, EMBEDDED, (const char *[]){"topic=a", "key=key", NULL},
                  "keep their own keys");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("plugin kafka");
    TCase *tests = tcase_create("kafka");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, records_come_back_as_they_were);
    tcase_add_test(tests, the_embedded_broker_never_forgets_what_is_unread);
    tcase_add_test(tests, a_partition_can_be_read_again);
    tcase_add_test(tests, a_position_beyond_the_topic_is_an_error);
    tcase_add_test(tests, what_was_read_before_an_error_comes_first);
    tcase_add_test(tests, rows_become_json_with_key_and_topic_by_column);
    tcase_add_test(tests, no_more_topics_than_allowed);
    tcase_add_test(tests, a_record_of_1970_is_not_one_of_today);
    tcase_add_test(tests, what_is_too_large_is_rejected_and_the_rest_written);
    tcase_add_test(tests, a_group_member_gets_all_partitions);
    tcase_add_test(tests, what_is_expected_is_read);
    tcase_add_test(tests, two_members_share_and_hand_over);
    tcase_add_test(tests, ends_although_nobody_has_looked_at_an_assignment);
    tcase_add_test(tests, a_consumer_that_does_not_end_holds_nobody_up);
    tcase_add_test(tests, refuses_bad_options);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
