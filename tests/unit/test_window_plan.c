/* lib/window's plans: the notation of aggregates, types of results, messages. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "window/window.h"

#define SECOND INT64_C(1000000)

static void ok(sl_error *error) {
    if (error != NULL) {
        ck_abort_msg("%s", sl_error_message(error));
    }
}

static void fails(sl_error *error, const char *message) {
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(sl_error_get_class(error), SL_ERROR_CONFIG);
    ck_assert_str_eq(sl_error_message(error), message);
    sl_error_free(error);
}

static struct ArrowSchema event_schema(void) {
    static const char *const fields[][2] = {
        {"ts", "tsu:UTC"},   {"day", "tdD"},      {"country", "u"}, {"amount", "d:12,2"},
        {"large", "d:35,4"}, {"small", "s"},      {"n", "l"},       {"unsigned", "L"},
        {"ratio", "f"},      {"weight", "g"},     {"flag", "b"},    {"session", "+s"},
        {"tags", "+l"},      {"dotted.name", "u"}};
    struct ArrowSchema schema;
    size_t n = SL_ARRAY_LENGTH(fields);
    ok(sl_schema_new_struct(n, &schema));
    for (size_t i = 0; i < n; i++) {
        size_t children = fields[i][1][0] == '+' ? 1 : 0;
        ok(sl_schema_set_field(&schema, i, fields[i][0], fields[i][1], true, children));
        if (children > 0) {
            ok(sl_schema_set_field(schema.children[i], 0, "duration_ms", "l", true, 0));
        }
    }
    return schema;
}

static sl_error *try_plan(const sl_window_config *config, sl_window_plan **out) {
    struct ArrowSchema schema = event_schema();
    sl_error *error = sl_window_plan_new(&schema, config, out);
    schema.release(&schema);
    return error;
}

static sl_error *try_aggregate(const char *expression) {
    sl_window_aggregate aggregate = {"x", expression};
    sl_window_config config = {.kind = SL_WINDOW_TUMBLING,
                               .size_us = SECOND,
                               .time = "ts",
                               .aggregates = &aggregate,
                               .n_aggregates = 1};
    sl_window_plan *plan = NULL;
    sl_error *error = try_plan(&config, &plan);
    if (error == NULL) {
        sl_window_plan_free(plan);
    }
    return error;
}

START_TEST(results_have_types) {
    static const char *const cases[][2] = {{"count()", "l"},
                                           {" count ( ) ", "l"},
                                           {"count(country)", "l"},
                                           {"sum(small)", "l"},
                                           {"sum(n)", "l"},
                                           {"sum(unsigned)", "d:38,0"},
                                           {"sum(amount)", "d:22,2"},
                                           {"sum(large)", "d:38,4"},
                                           {"sum(ratio)", "g"},
                                           {"sum(session.duration_ms)", "l"},
                                           {"avg(amount)", "g"},
                                           {"stddev(n)", "g"},
                                           {"stddev_samp(n)", "g"},
                                           {"stddev_pop(weight)", "g"},
                                           {"min(day)", "tdD"},
                                           {"max(amount)", "d:12,2"},
                                           {"min(country)", "u"},
                                           {"max(flag)", "b"},
                                           {"min(unsigned)", "L"},
                                           {"max(ratio)", "f"},
                                           {"count_distinct(country)", "l"},
                                           {"quantile(weight, 0.5)", "g"},
                                           {"quantile(amount,1)", "g"},
                                           {"first(`dotted.name`)", "u"},
                                           {"last(ts)", "tsu:UTC"}};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(cases); i++) {
        sl_window_aggregate aggregate = {"x", cases[i][0]};
        sl_window_config config = {.kind = SL_WINDOW_TUMBLING,
                                   .size_us = SECOND,
                                   .time = "ts",
                                   .aggregates = &aggregate,
                                   .n_aggregates = 1};
        sl_window_plan *plan;
        ok(try_plan(&config, &plan));
        const struct ArrowSchema *results = sl_window_plan_results(plan);
        ck_assert_int_eq(results->n_children, 3);
        ck_assert_str_eq(results->children[2]->format, cases[i][1]);
        sl_window_plan_free(plan);
        ck_assert_ptr_null(sl_window_check_expression(cases[i][0]));
    }
}
END_TEST

START_TEST(results_name_their_key) {
    static const char *const groups[] = {"country", "session.duration_ms", "`dotted.name`"};
    static const sl_window_aggregate aggregates[] = {{"n", "count()"}};
    sl_window_config config = {.kind = SL_WINDOW_HOPPING,
                               .size_us = 60 * SECOND,
                               .every_us = 10 * SECOND,
                               .time = "ts",
                               .group_by = groups,
                               .n_group_by = 3,
                               .aggregates = aggregates,
                               .n_aggregates = 1};
    sl_window_plan *plan;
    ok(try_plan(&config, &plan));
    const struct ArrowSchema *results = sl_window_plan_results(plan);
    static const char *const names[] = {"window_start",        "window_end",  "country",
                                        "session_duration_ms", "dotted.name", "n"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        ck_assert_str_eq(results->children[i]->name, names[i]);
    }
    size_t bytes;
    const char *key = sl_schema_metadata(results, "sluice.key", &bytes);
    ck_assert_uint_eq(bytes, strlen("window_start,country,session_duration_ms,dotted.name"));
    ck_assert_int_eq(memcmp(key, "window_start,country,session_duration_ms,dotted.name", bytes), 0);
    sl_window_plan_free(plan);
}
END_TEST

#define HOW "; write it as \"sum(column)\", \"count()\" or \"quantile(column, 0.99)\""

START_TEST(bad_expressions_are_explained) {
    static const char *const cases[][2] = {
        {"amount", "aggregates.x: aggregate \"amount\": the \"(\" after the function's name is "
                   "missing" HOW},
        {"sum(amount", "aggregates.x: aggregate \"sum(amount\": the closing \")\" is missing" HOW},
        {"sum()", "aggregates.x: aggregate \"sum()\": the column is missing" HOW},
        {"sum(amount) x", "aggregates.x: aggregate \"sum(amount) x\": there is text after the "
                          "closing \")\"" HOW},
        {"sum(amount, 0.5)", "aggregates.x: aggregate \"sum(amount, 0.5)\": only quantile has a "
                             "second argument" HOW},
        {"quantile(amount)",
         "aggregates.x: aggregate \"quantile(amount)\": quantile has two arguments" HOW},
        {"quantile(amount, 99)", "aggregates.x: aggregate \"quantile(amount, 99)\": the quantile "
                                 "must be from 0 to 1" HOW},
        {"quantile(amount, nan)", "aggregates.x: aggregate \"quantile(amount, nan)\": after the "
                                  "comma comes one number and \")\"" HOW},
        {"quantile(amount, )", "aggregates.x: aggregate \"quantile(amount, )\": after the comma "
                               "comes one number and \")\"" HOW},
        {"summ(amount)",
         "aggregates.x: aggregate \"summ(amount)\": there is no function \"summ\" (did you mean "
         "\"sum\"?); allowed are count, sum, avg, stddev, stddev_samp, stddev_pop, min, max, "
         "count_distinct, quantile, first, last"},
        {"sum(amont)",
         "aggregate \"x\": \"sum(amont)\": column \"amont\": there is no \"amont\" in "
         "the input (did you mean \"amount\"?); it has ts, day, country, amount, "
         "large, small, n, unsigned, ratio, weight, flag, session and 2 more"},
        {"sum(country)", "aggregate \"x\": \"sum(country)\": column \"country\" is of type string; "
                         "allowed are integers, decimals, float and double"},
        {"avg(ts)", "aggregate \"x\": \"avg(ts)\": column \"ts\" is of type timestamp; allowed are "
                    "integers, decimals, float and double"},
        {"max(session)", "aggregate \"x\": \"max(session)\": column \"session\" is of type "
                         "struct<duration_ms:long>; allowed are columns that are not nested"},
    };
    for (size_t i = 0; i < SL_ARRAY_LENGTH(cases); i++) {
        fails(try_aggregate(cases[i][0]), cases[i][1]);
    }
    fails(sl_window_check_expression("median(x)"),
          "aggregate \"median(x)\": there is no function \"median\"; allowed are count, sum, avg, "
          "stddev, stddev_samp, stddev_pop, min, max, count_distinct, quantile, first, last");
}
END_TEST

START_TEST(bad_plans_are_explained) {
    static const sl_window_aggregate count = {"country", "count()"};
    static const char *const groups[] = {"country", "weight"};
    sl_window_config config = {.kind = SL_WINDOW_TUMBLING,
                               .size_us = SECOND,
                               .time = "country",
                               .aggregates = &count,
                               .n_aggregates = 1};
    sl_window_plan *plan;
    fails(try_plan(&config, &plan),
          "time: column \"country\" is of type string; allowed are timestamps (\"format\": "
          "\"date-time\" in a JSON Schema)");
    config.time = "ts";
    config.group_by = groups;
    config.n_group_by = 1;
    fails(try_plan(&config, &plan),
          "two columns of the result would be called \"country\"; give each aggregate a name that "
          "no group column has and that is not window_start or window_end");
    config.n_group_by = 2;
    fails(try_plan(&config, &plan),
          "group_by: column \"weight\" is of type double; allowed are types with exact values: "
          "round it in a computed column first");
    config.size_us = 0;
    fails(try_plan(&config, &plan), "window: a size of 0s; sizes and gaps are above 0, and "
                                    "\"every\" is from above 0 to \"size\"");
    config.kind = SL_WINDOW_HOPPING;
    config.size_us = 10 * SECOND;
    config.every_us = 20 * SECOND;
    fails(try_plan(&config, &plan), "window: a size of 10s every 20s; sizes and gaps are above 0, "
                                    "and \"every\" is from above 0 to \"size\"");
    config.every_us = 1000;
    fails(try_plan(&config, &plan), "window: a size of 10s every 1ms puts each row into more than "
                                    "1000 windows; make \"every\" longer");
}
END_TEST

START_TEST(fingerprints_follow_the_meaning) {
    sl_window_aggregate aggregates[] = {{"a", "sum(n)"}, {"b", "avg(n)"}};
    sl_window_config config = {.kind = SL_WINDOW_TUMBLING,
                               .size_us = SECOND,
                               .time = "ts",
                               .aggregates = aggregates,
                               .n_aggregates = 1};
    sl_window_plan *plans[4];
    ok(try_plan(&config, &plans[0]));
    aggregates[0].name = "renamed"; /* the state is the same */
    config.lateness_us = SECOND;
    ok(try_plan(&config, &plans[1]));
    config.n_aggregates = 2; /* avg shares the sum's state */
    ok(try_plan(&config, &plans[2]));
    aggregates[1].expression = "max(n)";
    ok(try_plan(&config, &plans[3]));
    uint64_t first = sl_window_plan_fingerprint(plans[0]);
    ck_assert_uint_eq(first, sl_window_plan_fingerprint(plans[1]));
    ck_assert_uint_eq(first, sl_window_plan_fingerprint(plans[2]));
    ck_assert_uint_ne(first, sl_window_plan_fingerprint(plans[3]));
    for (int i = 0; i < 4; i++) {
        sl_window_plan_free(plans[i]);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("window plans");
    TCase *cases = tcase_create("plans");
    tcase_add_test(cases, results_have_types);
    tcase_add_test(cases, results_name_their_key);
    tcase_add_test(cases, bad_expressions_are_explained);
    tcase_add_test(cases, bad_plans_are_explained);
    tcase_add_test(cases, fingerprints_follow_the_meaning);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
