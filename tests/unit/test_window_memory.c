/*
 * lib/window when memory runs out: each allocation of a life of plans and tables fails, and all
 * after it; the answer is the out-of-memory error, and nothing is left behind. This program's own
 * malloc does it (failing_malloc.h).
 */
#include "failing_malloc.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "window/window.h"

static void ok(sl_error *error) {
    if (error != NULL) {
        ck_abort_msg("%s", sl_error_message(error));
    }
}

#define SECOND INT64_C(1000000)

static const char *const groups[] = {"kind"};
static const sl_window_aggregate aggregates[] = {
    {"a", "count()"},           {"b", "sum(weight)"},           {"c", "stddev(n)"},
    {"d", "count_distinct(n)"}, {"e", "quantile(weight, 0.9)"}, {"f", "min(kind)"},
    {"g", "last(kind)"},        {"h", "stddev(weight)"}};

static void make_input(struct ArrowSchema *schema, struct ArrowArray *batch) {
    static const char *const fields[][2] = {
        {"ts", "tsu:UTC"}, {"kind", "u"}, {"weight", "f"}, {"n", "s"}};
    sl_builder b;
    ok(sl_schema_new_struct(4, schema));
    for (size_t i = 0; i < 4; i++) {
        ok(sl_schema_set_field(schema, i, fields[i][0], fields[i][1], true, 0));
    }
    ok(sl_builder_init(&b, schema));
    for (int64_t i = 0; i < 300; i++) {
        char kind[32];
        size_t bytes = (size_t)(i % 20);
        memset(kind, 'a' + (int)(i % 5), sizeof(kind));
        int64_t time = (i * 37 % 100) * SECOND;
        ck_assert(sl_builder_append_i64(&b.children[0], time));
        ck_assert(i % 6 == 0 ? sl_builder_append_null(&b.children[1])
                             : sl_builder_append_bytes(&b.children[1], kind, bytes));
        ck_assert(sl_builder_append_double(&b.children[2], (double)(i * i) * 1e-3));
        ck_assert(sl_builder_append_i64(&b.children[3], i % 50));
        ck_assert(sl_builder_append_struct(&b));
    }
    ok(sl_builder_finish(&b, batch));
    sl_builder_free(&b);
}

/* One table, and what it says when it is written, read, merged and closed. */
static sl_error *use_tables(const sl_window_plan *plan, const struct ArrowArray *batch,
                            sl_window_table *first, sl_window_table *second, sl_builder *rows,
                            sl_buffer *bytes, sl_window_outcome *outcome) {
    sl_window_clock clock = {SL_TIME_NONE, SL_TIME_NONE};
    sl_window_origin origin = {"topic", 0, 0, NULL};
    sl_window_result_counts counts;
    struct ArrowArray results;
    sl_error *error = sl_window_table_update(first, &clock, &origin, batch, outcome);
    error = error != NULL ? error : sl_window_table_write(first, bytes);
    error = error != NULL ? error : sl_window_table_read(second, bytes->data, bytes->bytes);
    error = error != NULL ? error : sl_window_table_merge(second, first);
    error = error != NULL ? error : sl_builder_init(rows, sl_window_plan_results(plan));
    error = error != NULL ? error : sl_window_table_changes(second, false, rows, &counts);
    error = error != NULL ? error : sl_window_table_close(second, 50 * SECOND, rows, &counts);
    error = error != NULL ? error : sl_builder_finish(rows, &results);
    if (error == NULL) {
        results.release(&results);
    }
    return error;
}

static sl_error *live_once(const struct ArrowSchema *schema, const struct ArrowArray *batch,
                           sl_window_kind kind) {
    sl_window_config config = {.kind = kind,
                               .size_us = 3 * SECOND,
                               .every_us = 2 * SECOND,
                               .lateness_us = 60 * SECOND,
                               .time = "ts",
                               .group_by = groups,
                               .n_group_by = 1,
                               .aggregates = aggregates,
                               .n_aggregates = SL_ARRAY_LENGTH(aggregates)};
    sl_window_plan *plan = NULL;
    sl_window_table *tables[2] = {NULL, NULL};
    sl_window_outcome outcome = {0};
    sl_buffer bytes = SL_BUFFER_INIT;
    sl_builder rows = {0};
    sl_error *error = sl_window_plan_new(schema, &config, &plan);
    error = error != NULL ? error : sl_window_table_new(plan, &tables[0]);
    error = error != NULL ? error : sl_window_table_new(plan, &tables[1]);
    if (error == NULL) {
        error = use_tables(plan, batch, tables[0], tables[1], &rows, &bytes, &outcome);
    }
    sl_builder_free(&rows);
    sl_buffer_free(&bytes);
    sl_window_outcome_free(&outcome);
    sl_window_table_free(tables[0]);
    sl_window_table_free(tables[1]);
    sl_window_plan_free(plan);
    return error;
}

START_TEST(each_allocation_fails) {
    static const sl_window_kind kinds[] = {SL_WINDOW_TUMBLING, SL_WINDOW_HOPPING,
                                           SL_WINDOW_SESSION};
    struct ArrowSchema schema;
    struct ArrowArray batch;
    make_input(&schema, &batch);
    long live_before = live;
    bool all = false;
    for (long n = 0; !all; n++) {
        allowed = n;
        sl_error *error = live_once(&schema, &batch, kinds[_i]);
        all = allowed > 0; /* some were not even needed */
        allowed = -1;
        /* qsort does without memory, more slowly */
        ck_assert_msg(error == NULL || (!all && sl_error_is(error, SL_ERROR_NO_MEMORY)), "%ld: %s",
                      n, error == NULL ? "" : sl_error_message(error));
        sl_error_free(error);
        ck_assert_int_eq(live, live_before);
    }
    batch.release(&batch);
    schema.release(&schema);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("window_memory");
    TCase *cases = tcase_create("window_memory");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, each_allocation_fails, 0, 3);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
