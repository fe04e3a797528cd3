/*
 * file in the harness: patterns, positions, following, an unfinished last line; appending,
 * rotation, recovery from a cut line.
 */
#include "harness/harness.h"

#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "columns/raw.h"

#define PLUGIN SL_BUILD_DIR "/plugins/file.so"
#define LIMIT_MS 20000

static char folder[64];

static void setup(void) {
    snprintf(folder, sizeof(folder), "/tmp/sluice-file-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void) {
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof(pattern), "%s/*", folder);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            remove(found.gl_pathv[i]);
        }
        globfree(&found);
    }
    rmdir(folder);
}

static const char *in_folder(const char *name) {
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text, const char *mode) {
    FILE *file = fopen(in_folder(name), mode);
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static char *read_whole(const char *path) {
    static char text[65536];
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    text[bytes] = '\0';
    fclose(file);
    return text;
}

static void check_no_error(sl_error *error) {
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
}

static sl_harness *open_source(const char *pattern, uint32_t flags) {
    char option[200];
    snprintf(option, sizeof(option), "path=%s", in_folder(pattern));
    const char *config[] = {option, "max_line=2000", NULL};
    sl_harness_options options = {.plugin = PLUGIN,
                                  .role = SL_HARNESS_SOURCE,
                                  .config = config,
                                  .flags = flags,
                                  .max_bytes = 40};
    sl_harness *harness = NULL;
    check_no_error(sl_harness_open(&options, &harness));
    return harness;
}

/* "offset:value " of every row in the order of emission. */
static const char *rows_of(sl_harness *harness) {
    static char text[4096];
    size_t at = 0;
    const sl_harness_batch *batches = NULL;
    size_t n = sl_harness_batches(harness, &batches);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        for (int64_t row = 0; row < batches[i].batch.rows; row++) {
            struct ArrowArray *const *columns = batches[i].batch.columns->children;
            const int32_t *ends = columns[SL_RAW_VALUE]->buffers[1];
            const char *data = columns[SL_RAW_VALUE]->buffers[2];
            at += (size_t)snprintf(
                text + at, sizeof(text) - at, "%lld:%.*s ",
                (long long)((const int64_t *)columns[SL_RAW_OFFSET]->buffers[1])[row],
                (int)(ends[row + 1] - ends[row]), data + ends[row]);
        }
    }
    return text;
}

START_TEST(reads_every_line_once_with_byte_offsets) {
    write_file("a.jsonl", "{\"a\":1}\n\n{\"a\":2}\r\n{\"a\":3}", "w");
    write_file("b.jsonl", "", "w");
    write_file("c.txt", "no\n", "w");
    sl_harness *harness = open_source("*.jsonl", SL_RUN_UNTIL_END);
    check_no_error(sl_harness_start(harness));
    ck_assert(sl_harness_run_to_end(harness, LIMIT_MS));
    ck_assert_ptr_null(sl_harness_failure(harness));
    ck_assert_str_eq(rows_of(harness), "0:{\"a\":1} 9:{\"a\":2} 18:{\"a\":3} ");
    size_t ended = 0;
    ck_assert_uint_eq(sl_harness_streams(harness, &ended), 2);
    ck_assert_int_eq(sl_harness_close(harness, 1), 0);
}
END_TEST

START_TEST(goes_on_at_a_position) {
    write_file("a.jsonl", "one\ntwo\nthree\n", "w");
    sl_harness *harness = open_source("a.jsonl", SL_RUN_UNTIL_END);
    check_no_error(sl_harness_set_position(harness, in_folder("a.jsonl"), 0, 4));
    check_no_error(sl_harness_start(harness));
    ck_assert(sl_harness_run_to_end(harness, LIMIT_MS));
    ck_assert_str_eq(rows_of(harness), "4:two 8:three ");
    ck_assert_int_eq(sl_harness_close(harness, 1), 0);
}
END_TEST

static void wait_for_rows(sl_harness *harness, const char *wanted) {
    for (int i = 0; i < 1000 && strcmp(rows_of(harness), wanted) != 0; i++) {
        sl_harness_run(harness, NULL, NULL, 5);
    }
    ck_assert_str_eq(rows_of(harness), wanted);
}

START_TEST(follows_growing_and_new_files) {
    write_file("a.jsonl", "one\ntw", "w");
    sl_harness *harness = open_source("*.jsonl", 0);
    check_no_error(sl_harness_start(harness));
    wait_for_rows(harness, "0:one ");
    write_file("a.jsonl", "o\nthree\n", "a");
    wait_for_rows(harness, "0:one 4:two 8:three ");
    write_file("b.jsonl", "new\n", "w");
    wait_for_rows(harness, "0:one 4:two 8:three 0:new ");
    ck_assert_int_eq(sl_harness_close(harness, 0), 0);
}
END_TEST

static void check_failure(const char *text, int64_t position, const char *part) {
    write_file("a.jsonl", text, "w");
    sl_harness *harness = open_source("a.jsonl", SL_RUN_UNTIL_END);
    check_no_error(sl_harness_set_position(harness, in_folder("a.jsonl"), 0, position));
    check_no_error(sl_harness_start(harness));
    ck_assert(sl_harness_run_to_end(harness, LIMIT_MS));
    ck_assert_ptr_nonnull(sl_harness_failure(harness));
    ck_assert_msg(strstr(sl_error_message(sl_harness_failure(harness)), part) != NULL, "%s",
                  sl_error_message(sl_harness_failure(harness)));
    ck_assert_int_eq(sl_harness_close(harness, 0), 0);
}

START_TEST(reports_cut_files_and_long_lines) {
    char line[3000];
    memset(line, 'x', sizeof(line) - 2);
    line[sizeof(line) - 2] = '\n';
    line[sizeof(line) - 1] = '\0';
    check_failure("short\n", 100, "it was cut or replaced");
    /* The line's end is in the same chunk, so it is read; without it the bound holds. */
    line[sizeof(line) - 2] = 'x';
    write_file("b.jsonl", line, "w");
    sl_harness *harness = open_source("b.jsonl", 0);
    check_no_error(sl_harness_start(harness));
    for (int i = 0; i < 200 && sl_harness_failure(harness) == NULL; i++) {
        sl_harness_run(harness, NULL, NULL, 5);
    }
    ck_assert_ptr_nonnull(sl_harness_failure(harness));
    ck_assert_ptr_nonnull(
        strstr(sl_error_message(sl_harness_failure(harness)), "longer than max_line"));
    ck_assert_int_eq(sl_harness_close(harness, 0), 0);
}
END_TEST

/* ---- sink ---- */

static struct ArrowSchema raw_schema;

static sl_harness *open_sink(const char *const *more) {
    static sl_input input;
    check_no_error(sl_raw_schema(&raw_schema));
    input = (sl_input){"in", &raw_schema};
    char option[200];
    snprintf(option, sizeof(option), "path=%s", in_folder("deep/out.jsonl"));
    const char *config[8] = {option};
    for (int i = 0; more != NULL && more[i] != NULL; i++) {
        config[i + 1] = more[i];
    }
    sl_harness_options options = {.plugin = PLUGIN,
                                  .role = SL_HARNESS_SINK,
                                  .config = config,
                                  .inputs = &input,
                                  .n_inputs = 1,
                                  .now_us = 1795341600000000};
    sl_harness *harness = NULL;
    check_no_error(sl_harness_open(&options, &harness));
    check_no_error(sl_harness_start(harness));
    return harness;
}

static void put_lines(sl_harness *harness, const char *const *values, int64_t first) {
    sl_raw_builder builder;
    struct ArrowArray rows;
    check_no_error(sl_raw_builder_init(&builder));
    int64_t n = 0;
    for (; values[n] != NULL; n++) {
        ck_assert(sl_raw_append(&builder, "k", 1, values[n], strlen(values[n]), 0, first + n) &&
                  sl_raw_end_row(&builder));
    }
    check_no_error(sl_builder_finish(&builder.root, &rows));
    sl_raw_builder_free(&builder);
    check_no_error(sl_harness_process(harness, 0, "t", 0, &rows, first, first + n, LIMIT_MS));
    check_no_error(sl_harness_flush(harness, LIMIT_MS));
}

static void close_sink(sl_harness *harness) {
    ck_assert_int_eq(sl_harness_close(harness, 1), 0);
    raw_schema.release(&raw_schema);
}

static void remove_deep(void) {
    char command[200];
    snprintf(command, sizeof(command), "rm -r %s/deep", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(appends_and_cuts_what_a_crash_left) {
    sl_harness *harness = open_sink(NULL);
    put_lines(harness, (const char *[]){"{\"a\":1}", "{\"a\":\n2}", NULL}, 0);
    close_sink(harness);
    ck_assert_str_eq(read_whole(in_folder("deep/out.jsonl")), "{\"a\":1}\n{\"a\": 2}\n");
    write_file("deep/out.jsonl", "{\"half\":", "a");
    harness = open_sink(NULL);
    put_lines(harness, (const char *[]){"{\"a\":3}", NULL}, 2);
    close_sink(harness);
    ck_assert_str_eq(read_whole(in_folder("deep/out.jsonl")), "{\"a\":1}\n{\"a\": 2}\n{\"a\":3}\n");
    remove_deep();
}
END_TEST

START_TEST(rotates_by_size_and_time) {
    const char *by_size[] = {"rotate_size=10B", "rotate_interval=1h", NULL};
    sl_harness *harness = open_sink(by_size);
    put_lines(harness, (const char *[]){"0123456789", NULL}, 0);
    put_lines(harness, (const char *[]){"short", NULL}, 1);
    ck_assert_str_eq(read_whole(in_folder("deep/out-20261122T100000Z-1.jsonl")), "0123456789\n");
    ck_assert_str_eq(read_whole(in_folder("deep/out.jsonl")), "short\n");
    sl_harness_advance(harness, INT64_C(3600000000));
    put_lines(harness, (const char *[]){"later", NULL}, 2);
    ck_assert_str_eq(read_whole(in_folder("deep/out-20261122T110000Z-2.jsonl")), "short\n");
    ck_assert_str_eq(read_whole(in_folder("deep/out.jsonl")), "later\n");
    close_sink(harness);
    remove_deep();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("plugin file");
    TCase *tests = tcase_create("file");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, reads_every_line_once_with_byte_offsets);
    tcase_add_test(tests, goes_on_at_a_position);
    tcase_add_test(tests, follows_growing_and_new_files);
    tcase_add_test(tests, reports_cut_files_and_long_lines);
    tcase_add_test(tests, appends_and_cuts_what_a_crash_left);
    tcase_add_test(tests, rotates_by_size_and_time);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
