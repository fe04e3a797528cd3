/*
 * The harness itself: what a plugin rejects is counted, and what it does against the rules is told.
 */
#include "harness/harness.h"

#include <check.h>
#include <stdlib.h>

#include "base/base.h"
#include "columns/raw.h"

#define LIMIT_MS 30000

static void check_no_error(sl_error *error) {
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
}

/* Ten records through a sink that rejects every fifth; what process answered. */
static sl_error *feed(const char *const *config, size_t *rejects, int *violations) {
    struct ArrowSchema schema;
    check_no_error(sl_raw_schema(&schema));
    const sl_input input = {"rows", &schema};
    const sl_harness_options options = {.plugin = SL_BUILD_DIR "/tests/plugins/picky.so",
                                        .role = SL_HARNESS_SINK,
                                        .config = config,
                                        .inputs = &input,
                                        .n_inputs = 1};
    sl_harness *harness = NULL;
    check_no_error(sl_harness_open(&options, &harness));
    check_no_error(sl_harness_start(harness));
    sl_raw_builder builder;
    check_no_error(sl_raw_builder_init(&builder));
    for (int64_t i = 0; i < 10; i++) {
        ck_assert(sl_raw_append(&builder, NULL, 0, "v", 1, 0, i));
        ck_assert(sl_raw_end_row(&builder));
    }
    struct ArrowArray rows;
    check_no_error(sl_builder_finish(&builder.root, &rows));
    sl_raw_builder_free(&builder);
    sl_error *error = sl_harness_process(harness, 0, "rows", 0, &rows, 0, 10, LIMIT_MS);
    const char *last = NULL;
    *rejects = sl_harness_rejects(harness, &last);
    int so_far = sl_harness_violations(harness);
    *violations = sl_harness_close(harness, 1);
    ck_assert_int_eq(so_far, *violations);
    schema.release(&schema);
    return error;
}

START_TEST(what_is_rejected_is_counted) {
    static const char *const config[] = {"every=5", NULL};
    size_t rejects = 0;
    int violations = 0;
    check_no_error(feed(config, &rejects, &violations));
    ck_assert_uint_eq(rejects, 2);
    ck_assert_int_eq(violations, 0);
}
END_TEST

START_TEST(a_record_at_fault_as_an_error_is_against_the_rules) {
    static const char *const config[] = {"every=5", "wrongly=true", NULL};
    size_t rejects = 0;
    int violations = 0;
    sl_error *error = feed(config, &rejects, &violations);
    ck_assert(sl_error_is(error, SL_ERROR_RECORD));
    sl_error_free(error);
    ck_assert_uint_eq(rejects, 0);
    ck_assert_int_eq(violations, 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("harness");
    TCase *tests = tcase_create("harness");
    tcase_add_test(tests, what_is_rejected_is_counted);
    tcase_add_test(tests, a_record_at_fault_as_an_error_is_against_the_rules);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
