/*
 * Plans: what is said of the difference between two topologies, and what may not take effect while
 * the run goes on.
 */
#include "report/plan_report.h"
#include "topology/plan.h"
#include "topology_text.h"

static void setup(void) {
    begin_texts("{}");
    (void)setenv("SLUICE_TEST_TEXT", "first", 1);
}

#define TOPOLOGY(top, source, transform, sink, more)                                               \
    "{" top "\"pipeline\":\"p\",\"state\":\"state\",\"sources\":{\"events\":{\"plugin\":\"good\"," \
    "\"config\":{\"topics\":[\"a\"]" source "}}},\"transforms\":{\"t\":{\"plugin\":\"good\","      \
    "\"inputs\":[\"events\"],\"errors.tolerance\":\"none\",\"config\":{\"schema\":\"%"             \
    "s\"" transform "}}},\"sinks\":{\"out\":{\"plugin\":\"good\",\"inputs\":[\"t\"]" sink          \
    ",\"config\":{\"table\":\"x\"}},\"raw\":{\"plugin\":\"good\",\"inputs\":[\"events\"],"         \
    "\"config\":{\"table\":\"y\"}}" more "}}"
#define PLAIN TOPOLOGY("", "", "", "", "")
#define SINK(name)                                                                                 \
    ",\"" name "\":{\"plugin\":\"good\",\"inputs\":[\"t\"],\"config\":{\"table\":\"" name "\"}}"

/* The plan between two loaded topologies, which are freed. */
static void assert_plan(struct topology *now, struct topology *next, const char *expected) {
    struct topology_plan *plan = NULL;
    sl_buffer text = SL_BUFFER_INIT;
    ck_assert_ptr_null(topology_plan_new(now, next, &plan));
    plan_text(&text, plan);
    ck_assert_str_eq(sl_buffer_text(&text), expected);
    struct json_out out = {0};
    plan_json(&out, plan);
    ck_assert(!out.text.failed);
    sl_buffer_free(&out.text);
    sl_buffer_free(&text);
    topology_plan_free(plan);
    topology_free(now);
    topology_free(next);
}

static void assert_says(const char *now, const char *next, const char *expected) {
    assert_plan(load(now), load(next), expected);
}

START_TEST(nothing_differs) {
    assert_says(PLAIN, PLAIN, "Nothing differs.\n");
    /* a default that is spelt out, another order, another spelling */
    assert_says(PLAIN, TOPOLOGY("", ",\"count\":10", "", "", ""), "Nothing differs.\n");
    assert_says(PLAIN, TOPOLOGY("\"commit.interval\":\"1000ms\",", "", "", "", ""),
                "Nothing differs.\n");
    assert_says(PLAIN, TOPOLOGY("", "", "", ",\"buffer\":\"32MiB\"", ""), "Nothing differs.\n");
}
END_TEST

START_TEST(sinks_come_go_and_change) {
    assert_says(PLAIN, TOPOLOGY("", "", "", "", SINK("new")),
                "  + sink new: added\n"
                "4 nodes are kept.\n");
    assert_says(TOPOLOGY("", "", "", "", SINK("old")), PLAIN,
                "  - sink old: removed\n"
                "4 nodes are kept.\n");
    assert_says(PLAIN, TOPOLOGY("", "", "", ",\"buffer\":\"1MiB\",\"commit.interval\":\"5s\"", ""),
                "  ~ sink out: changed\n"
                "      $.sinks.out.inputs[0].buffer: \"32MiB\" -> \"1MiB\"\n"
                "      $.sinks.out['commit.interval']: \"1s\" -> \"5s\"\n"
                "3 nodes are kept.\n");
}
END_TEST

START_TEST(what_reads_of_a_changed_node_is_opened_anew) {
    assert_says(PLAIN, TOPOLOGY("", "", ",\"names\":{\"a\":\"b\"}", "", ""),
                "  ~ transform t: changed\n"
                "      $.transforms.t.config.names: {\"a\":\"b\"} is new\n"
                "  ~ sink out: opened anew, since what it reads of is changed\n"
                "2 nodes are kept.\n");
}
END_TEST

START_TEST(defaults_of_nodes_are_theirs) {
    assert_says(PLAIN, TOPOLOGY("\"restart.after\":\"3s\",", "", "", "", ""),
                "  ~ source events: changed\n"
                "      $.sources.events['restart.after']: \"0s\" -> \"3s\"\n"
                "  ~ transform t: changed\n"
                "      $.transforms.t['restart.after']: \"0s\" -> \"3s\"\n"
                "  ~ sink out: changed\n"
                "      $.sinks.out['restart.after']: \"0s\" -> \"3s\"\n"
                "  ~ sink raw: changed\n"
                "      $.sinks.raw['restart.after']: \"0s\" -> \"3s\"\n"
                "0 nodes are kept.\n");
}
END_TEST

START_TEST(what_belongs_to_no_node_needs_a_new_process) {
    assert_says(PLAIN, TOPOLOGY("\"lanes\":3,", "", "", "", ""),
                "      $.lanes: 3 is new\n"
                "4 nodes are kept.\n"
                "It cannot take effect while sluice runs: $.lanes differs, and takes effect when "
                "sluice is started again: while it runs nodes are changed, and the defaults of "
                "their keys.\n");
}
END_TEST

START_TEST(contents_of_files_and_secrets_are_not_shown) {
    struct topology *now = load(PLAIN);
    write_schema("{\"type\":\"object\"}");
    assert_plan(now, load(PLAIN),
                "  ~ transform t: changed\n"
                "      $.transforms.t.config.schema: differs (not shown)\n"
                "  ~ sink out: opened anew, since what it reads of is changed\n"
                "2 nodes are kept.\n");
    assert_says(TOPOLOGY("", ",\"password\":\"one\"", "", "", ""),
                TOPOLOGY("", ",\"password\":\"two\"", "", "", ""),
                "  ~ source events: changed\n"
                "      $.sources.events.config: differs (not shown)\n"
                "  ~ transform t: opened anew, since what it reads of is changed\n"
                "  ~ sink out: opened anew, since what it reads of is changed\n"
                "  ~ sink raw: opened anew, since what it reads of is changed\n"
                "0 nodes are kept.\n");
    now = load(TOPOLOGY("", ",\"text\":\"${env:SLUICE_TEST_TEXT}\"", "", "", ""));
    (void)setenv("SLUICE_TEST_TEXT", "second", 1);
    assert_plan(now, load(TOPOLOGY("", ",\"text\":\"${env:SLUICE_TEST_TEXT}\"", "", "", "")),
                "  ~ source events: changed\n"
                "      $.sources.events.config: differs (not shown)\n"
                "  ~ transform t: opened anew, since what it reads of is changed\n"
                "  ~ sink out: opened anew, since what it reads of is changed\n"
                "  ~ sink raw: opened anew, since what it reads of is changed\n"
                "0 nodes are kept.\n");
}
END_TEST

/* Saved as UTF-16, say. */
START_TEST(a_file_that_is_no_text_differs) {
    static const char text[] = "{\0}\0";
    struct topology *now = load(PLAIN);
    FILE *file = fopen(schema, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, sizeof(text) - 1, file), sizeof(text) - 1);
    ck_assert_int_eq(fclose(file), 0);
    assert_plan(now, load(PLAIN),
                "  ~ transform t: changed\n"
                "      $.transforms.t.config: differs (not shown)\n"
                "  ~ sink out: opened anew, since what it reads of is changed\n"
                "2 nodes are kept.\n");
}
END_TEST

START_TEST(only_the_first_refusal_stands) {
    struct topology *now = load(PLAIN);
    struct topology_plan *plan = NULL;
    ck_assert_ptr_null(topology_plan_new(now, now, &plan));
    ck_assert(plan->same);
    ck_assert_ptr_null(plan->refusal);
    topology_plan_refuse(plan, "it is late");
    topology_plan_refuse(plan, "it rains");
    ck_assert_str_eq(plan->refusal, "it is late");
    topology_plan_free(plan);
    topology_free(now);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("runtime_plan");
    TCase *cases = tcase_create("plans");
    tcase_add_checked_fixture(cases, setup, end_texts);
    tcase_add_test(cases, nothing_differs);
    tcase_add_test(cases, sinks_come_go_and_change);
    tcase_add_test(cases, what_reads_of_a_changed_node_is_opened_anew);
    tcase_add_test(cases, defaults_of_nodes_are_theirs);
    tcase_add_test(cases, what_belongs_to_no_node_needs_a_new_process);
    tcase_add_test(cases, contents_of_files_and_secrets_are_not_shown);
    tcase_add_test(cases, a_file_that_is_no_text_differs);
    tcase_add_test(cases, only_the_first_refusal_stands);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
