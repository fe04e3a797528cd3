/*
 * The generator in the harness: the events' shape, that every offset can be replayed, the ground
 * truth, pacing, and what the options refuse.
 */
#include "harness/harness.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "columns/columns.h"
#include "sluice/batch.h"

#define PLUGIN SL_BUILD_DIR "/plugins/generator.so"
#define LIMIT_MS 30000

static sl_harness *open_source(const char *const *config, uint32_t flags) {
    sl_harness_options options = {
        .plugin = PLUGIN, .role = SL_HARNESS_SOURCE, .config = config, .flags = flags};
    sl_harness *harness = NULL;
    sl_error *error = sl_harness_open(&options, &harness);
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
    return harness;
}

static void start(sl_harness *harness) {
    sl_error *error = sl_harness_start(harness);
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
}

static const char *text_at(const struct ArrowArray *column, int64_t row, size_t *bytes) {
    const int32_t *offsets = column->buffers[1];
    *bytes = (size_t)(offsets[row + 1] - offsets[row]);
    return (const char *)column->buffers[2] + offsets[row];
}

static int64_t number_at(const struct ArrowArray *column, int64_t row) {
    return ((const int64_t *)column->buffers[1])[row];
}

/* All rows as "partition offset timestamp key value" lines, by partition and offset. */
static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}
static char *collect(sl_harness *harness, size_t *rows) {
    const sl_harness_batch *batches = NULL;
    size_t n = sl_harness_batches(harness, &batches);
    char **lines = NULL;
    *rows = 0;
    for (size_t i = 0; i < n; i++) {
        const sl_batch *batch = &batches[i].batch;
        lines = realloc(lines, (*rows + (size_t)batch->rows) * sizeof(*lines) + 1);
        for (int64_t row = 0; row < batch->rows; row++) {
            struct ArrowArray *const *columns = batch->columns->children;
            size_t key_bytes = 0;
            size_t value_bytes = 0;
            const char *key = text_at(columns[SL_RAW_KEY], row, &key_bytes);
            const char *value = text_at(columns[SL_RAW_VALUE], row, &value_bytes);
            char *line = NULL;
            ck_assert(asprintf(&line, "%04d %012lld %lld %.*s %.*s\n",
                               (int)batch->stream->partition,
                               (long long)number_at(columns[SL_RAW_OFFSET], row),
                               (long long)number_at(columns[SL_RAW_TIMESTAMP], row), (int)key_bytes,
                               key, (int)value_bytes, value) > 0);
            lines[(*rows)++] = line;
        }
    }
    qsort(lines, *rows, sizeof(*lines), compare_lines);
    sl_buffer all = SL_BUFFER_INIT;
    for (size_t i = 0; i < *rows; i++) {
        sl_buffer_append_text(&all, lines[i]);
        free(lines[i]);
    }
    free(lines);
    sl_buffer_append_byte(&all, 0);
    size_t bytes = 0;
    return (char *)sl_buffer_take(&all, &bytes);
}

START_TEST(ends_with_exactly_count_events) {
    const char *config[] = {"count=1003", "partitions=4", "duplicates=0.1", "invalid=0.05", NULL};
    sl_harness *harness = open_source(config, SL_RUN_UNTIL_END);
    start(harness);
    ck_assert(sl_harness_run_to_end(harness, LIMIT_MS));
    size_t ended = 0;
    ck_assert_uint_eq(sl_harness_streams(harness, &ended), 4);
    ck_assert_uint_eq(ended, 4);
    size_t rows = 0;
    free(collect(harness, &rows));
    ck_assert_uint_eq(rows, 1003);
    ck_assert_int_eq(sl_harness_metric(harness, "generated_events_total"), 1003);
    int64_t unique = sl_harness_metric(harness, "generated_valid_unique_total");
    int64_t duplicates = sl_harness_metric(harness, "generated_duplicates_total");
    ck_assert_int_gt(duplicates, 50);
    ck_assert_int_lt(unique + duplicates, 1003);
    ck_assert_int_eq(sl_harness_close(harness, 1), 0);
}
END_TEST

START_TEST(events_have_their_shape) {
    const char *config[] = {"count=200", "invalid=0", "duplicates=0", "late=0", NULL};
    sl_harness *harness = open_source(config, SL_RUN_UNTIL_END);
    start(harness);
    ck_assert(sl_harness_run_to_end(harness, LIMIT_MS));
    const sl_harness_batch *batches = NULL;
    ck_assert_uint_ge(sl_harness_batches(harness, &batches), 1);
    for (int64_t row = 0; row < batches[0].batch.rows; row++) {
        size_t bytes = 0;
        const char *text = text_at(batches[0].batch.columns->children[SL_RAW_VALUE], row, &bytes);
        char copy[512] = {0};
        ck_assert_uint_lt(bytes, sizeof(copy));
        memcpy(copy, text, bytes);
        char id[40], type[20], page[20], currency[8], country[8], tag1[12], tag2[12], session[12];
        int device, customer, units, cents, duration, hour, minute, second, ms, whole, tenth,
            end = 0;
        int n =
            sscanf(copy,
                   "{\"event_id\":\"%32[0-9a-f]\",\"ts\":\"2026-11-22T%2d:%2d:%2d.%3dZ\","
                   "\"device_id\":\"dev-%5d\",\"customer_id\":%d,\"event_type\":\"%11[a-z_]\","
                   "\"amount\":%d.%2d,\"currency\":\"%3[A-Z]\",\"country\":\"%2[A-Z]\","
                   "\"session\":{\"id\":\"s-%8[0-9a-f]\",\"page\":\"%9[a-z/]\","
                   "\"duration_ms\":%d},\"temperature\":%d.%1d,\"tags\":[\"%6[a-z]\","
                   "\"%4[a-z]\"]}%n",
                   id, &hour, &minute, &second, &ms, &device, &customer, type, &units, &cents,
                   currency, country, session, page, &duration, &whole, &tenth, tag1, tag2, &end);
        ck_assert_msg(n == 19 && end == (int)bytes, "%d of 19 in %s", n, copy);
        ck_assert_int_eq(hour, 10);
        ck_assert(device >= 0 && device < 20000 && customer >= 1 && customer < 5000000);
    }
    ck_assert_int_eq(sl_harness_close(harness, 1), 0);
}
END_TEST

START_TEST(replays_the_same_from_any_offset) {
    const char *config[] = {"count=3000",   "partitions=2",  "duplicates=0.2",
                            "invalid=0.05", "too_late=0.01", NULL};
    sl_harness *whole = open_source(config, SL_RUN_UNTIL_END);
    start(whole);
    ck_assert(sl_harness_run_to_end(whole, LIMIT_MS));
    size_t rows = 0;
    char *all = collect(whole, &rows);
    sl_harness *part = open_source(config, SL_RUN_UNTIL_END);
    sl_error_free(sl_harness_set_position(part, "events", 0, 1400));
    sl_error_free(sl_harness_set_position(part, "events", 1, 1500));
    start(part);
    ck_assert(sl_harness_run_to_end(part, LIMIT_MS));
    size_t part_rows = 0;
    char *tail = collect(part, &part_rows);
    ck_assert_uint_eq(part_rows, 100);
    ck_assert_ptr_nonnull(strstr(all, tail));
    free(all);
    free(tail);
    ck_assert_int_eq(sl_harness_close(whole, 1), 0);
    ck_assert_int_eq(sl_harness_close(part, 1), 0);
}
END_TEST

static char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    char *text = calloc(1, 4096);
    ck_assert_uint_gt(fread(text, 1, 4095, file), 0);
    fclose(file);
    return text;
}

static char *truth_of(const char *path, int64_t position) {
    char option[256];
    snprintf(option, sizeof(option), "truth=%s", path);
    const char *config[] = {
        "count=5000", "partitions=3", "duplicates=0.1", "invalid=0.05", "too_late=0.1", option,
        NULL};
    sl_harness *harness = open_source(config, SL_RUN_UNTIL_END);
    sl_error_free(sl_harness_set_position(harness, "events", 1, position));
    start(harness);
    ck_assert(sl_harness_run_to_end(harness, LIMIT_MS));
    ck_assert_int_eq(sl_harness_close(harness, 1), 0);
    return read_file(path);
}

START_TEST(truth_is_the_same_after_a_restart) {
    char path[] = "/tmp/sluice-truth-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    char *once = truth_of(path, 0);
    char *again = truth_of(path, 777);
    ck_assert_str_eq(once, again);
    ck_assert_ptr_nonnull(strstr(once, "\"events\": 5000,"));
    free(once);
    free(again);
    remove(path);
}
END_TEST

START_TEST(rate_paces_the_output) {
    const char *config[] = {"rate=1000", "partitions=2", NULL};
    sl_harness *harness = open_source(config, 0);
    start(harness);
    size_t ended = 0;
    while (sl_harness_streams(harness, &ended) < 2 ||
           sl_harness_metric(harness, "generated_events_total") < 1000) {
        sl_harness_run(harness, NULL, NULL, 1); /* virtual time jumps from timer to timer */
    }
    int64_t events = sl_harness_metric(harness, "generated_events_total");
    ck_assert_int_ge(events, 1000);
    ck_assert_int_eq(sl_harness_close(harness, 0), 0);
}
END_TEST

static void check_refused(const char *const *config, uint32_t flags, const char *part) {
    sl_harness_options options = {
        .plugin = PLUGIN, .role = SL_HARNESS_SOURCE, .config = config, .flags = flags};
    sl_harness *harness = NULL;
    sl_error *error = sl_harness_open(&options, &harness);
    ck_assert_ptr_nonnull(error);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    ck_assert_msg(strstr(sl_error_message(error), part) != NULL, "%s", sl_error_message(error));
    sl_error_free(error);
}

START_TEST(refuses_bad_options) {
    check_refused((const char *[]){"start_time=yesterday", NULL}, 0, "start_time");
    check_refused((const char *[]){"late=0.6", "too_late=0.6", NULL}, 0, "together");
    check_refused((const char *[]){NULL}, SL_RUN_UNTIL_END, "count is 0");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("plugin generator");
    TCase *tests = tcase_create("generator");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, ends_with_exactly_count_events);
    tcase_add_test(tests, events_have_their_shape);
    tcase_add_test(tests, replays_the_same_from_any_offset);
    tcase_add_test(tests, truth_is_the_same_after_a_restart);
    tcase_add_test(tests, rate_paces_the_output);
    tcase_add_test(tests, refuses_bad_options);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
