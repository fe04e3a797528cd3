/*
 * Loading topologies and plugins, in process: values as the plugin gets them, --set, references and
 * what is masked, places, the order of nodes, the registry's copies. Messages of faults are tested
 * in tests/topology.
 */
#include "topology/graph.h"
#include "topology/guarantee.h"
#include "topology/location.h"
#include "topology/secrets.h"
#include "topology/topology.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLUGINS SL_BUILD_DIR "/tests/plugins"
#define SOURCES "\"sources\":{\"events\":{\"plugin\":\"good\",\"config\":{\"topics\":[\"a\"]}}}"
#define SINKS                                                                                      \
    "\"sinks\":{\"bronze\":{\"plugin\":\"good\",\"inputs\":[\"events\"],\"config\":{\"table\":"    \
    "\"lake/bronze\"}}}"
#define SMALL "{\"pipeline\":\"p\"," SOURCES "," SINKS "}"

static struct plugin_registry *registry;
static struct topology *topology;
static struct topology_faults *faults;

static void setup(void) {
    const char *const paths[] = {PLUGINS};
    ck_assert_ptr_null(plugin_registry_new(paths, 1, &registry));
    topology = NULL;
    faults = NULL;
}

static void teardown(void) {
    topology_free(topology);
    topology_faults_free(faults);
    plugin_registry_free(registry);
}

/* Loads `text` with `n` values of --set; prints the faults when it does not load. */
static void load_with(const char *text, const char *const *sets, size_t n) {
    struct topology_options options = {.sets = sets, .n_sets = n};
    sl_error *error = topology_load_text(text, strlen(text), "test.json", "/base", &options,
                                         registry, &topology, &faults);
    for (size_t i = 0; error != NULL && i < topology_faults_count(faults); i++) {
        const struct topology_fault *fault = topology_faults_at(faults, i);
        (void)fprintf(stderr, "%d:%d %s: %s\n", fault->line, fault->column, fault->path,
                      fault->text);
    }
    ck_assert_msg(error == NULL, "it does not load");
}

static void load(const char *text) {
    load_with(text, NULL, 0);
}

/* Loads what must fail; the first fault. */
static const struct topology_fault *load_bad(const char *text) {
    sl_error *error = topology_load_text(text, strlen(text), "test.json", "/base", NULL, registry,
                                         &topology, &faults);
    ck_assert_ptr_nonnull(error);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    sl_error_free(error);
    ck_assert_ptr_null(topology);
    ck_assert_uint_gt(topology_faults_errors(faults), 0);
    return topology_faults_at(faults, 0);
}

/* Loads with one --set, which must fail with a fault that says `part`. */
static void load_bad_with(const char *text, const char *set, const char *part) {
    struct topology_options options = {.sets = &set, .n_sets = 1};
    struct topology_faults *list = NULL;
    struct topology *made = NULL;
    sl_error *error = topology_load_text(text, strlen(text), "test.json", "/base", &options,
                                         registry, &made, &list);
    ck_assert_ptr_nonnull(error);
    sl_error_free(error);
    ck_assert_ptr_nonnull(strstr(topology_faults_at(list, 0)->text, part));
    topology_faults_free(list);
}

static const struct topology_node *node(const char *name) {
    for (size_t i = 0; i < topology->n_nodes; i++) {
        if (strcmp(topology->nodes[i].name, name) == 0) {
            return &topology->nodes[i];
        }
    }
    ck_abort_msg("no node %s", name);
    return NULL;
}

/* ---- values ---- */

START_TEST(defaults_of_the_top) {
    load(SMALL);
    ck_assert_str_eq(topology->pipeline, "p");
    ck_assert_ptr_null(topology->state_url);
    ck_assert_uint_eq(topology->lanes, 0);
    ck_assert_int_eq(topology->shutdown_timeout_us, 30000000);
    ck_assert_int_eq(topology->memory_max_bytes, 0);
    ck_assert_int_eq(node("bronze")->commit_interval_us, 1000000);
    ck_assert_int_eq(node("bronze")->inputs[0].buffer_bytes, 32 << 20);
    ck_assert_ptr_null(node("events")->section);
}
END_TEST

START_TEST(values_reach_the_config) {
    load("{\"pipeline\":\"p\",\"sources\":{\"events\":{\"plugin\":\"good\",\"config\":{"
         "\"topics\":\"one\",\"count\":7,\"ratio\":1e-1,\"size\":2097152,\"wait\":\"1s500ms\","
         "\"start\":\"timestamp\",\"eager\":false,\"password\":\"pass word\"}}}," SINKS "}");
    ck_assert_str_eq(node("events")->config_json,
                     "{\"topics\":[\"one\"],\"password\":\"***\",\"count\":7,\"ratio\":1e-1,"
                     "\"size\":\"2MiB\",\"wait\":\"1500ms\",\"start\":\"timestamp\","
                     "\"eager\":false}");
    ck_assert_str_eq(node("bronze")->config_json,
                     "{\"table\":\"file:///base/lake/bronze\",\"compression\":\"latest\"}");
}
END_TEST

START_TEST(buffers_of_node_and_edge) {
    load("{\"pipeline\":\"p\",\"buffer\":\"1MiB\"," SOURCES ",\"transforms\":{\"t\":{\"plugin\":"
         "\"good\",\"buffer\":\"2MiB\",\"inputs\":[{\"from\":\"events\",\"buffer\":4096}]},"
         "\"u\":{\"plugin\":\"good\",\"buffer\":\"2MiB\",\"inputs\":[\"t.late\"]}}," SINKS "}");
    ck_assert_int_eq(node("t")->inputs[0].buffer_bytes, 4096);
    ck_assert_int_eq(node("u")->inputs[0].buffer_bytes, 2 << 20);
    ck_assert_uint_eq(node("u")->inputs[0].output, 2);
    ck_assert_int_eq(node("bronze")->inputs[0].buffer_bytes, 1 << 20);
}
END_TEST

START_TEST(order_is_topological) {
    load("{\"pipeline\":\"p\",\"state\":\"s\"," SOURCES ",\"transforms\":{"
         "\"c\":{\"plugin\":\"stateful\",\"inputs\":[\"b\",\"a\"]},"
         "\"b\":{\"plugin\":\"good\",\"inputs\":[\"a\"]},"
         "\"a\":{\"plugin\":\"good\",\"inputs\":[\"events\"]}}," SINKS "}");
    ck_assert_uint_eq(topology->n_nodes, 5);
    for (size_t i = 0; i < topology->n_nodes; i++) {
        for (size_t k = 0; k < topology->nodes[i].n_inputs; k++) {
            const struct topology_edge *edge = &topology->nodes[i].inputs[k];
            ck_assert_uint_lt(edge->from, i);
            ck_assert_uint_eq(edge->to, i);
            ck_assert_uint_eq(edge->input, k);
            ck_assert_str_eq(topology->nodes[edge->from].name, edge->name);
        }
    }
}
END_TEST

/* ---- --set ---- */

START_TEST(set_reaches_everything) {
    static const char *const sets[] = {"memory.max=64MiB",
                                       "lanes=3",
                                       "sources.events.config.count=5",
                                       "sources.events.config.topics.0=b",
                                       "good.servers=a:1",
                                       "good.client.rack=r1",
                                       "good.`client.id`=x",
                                       "transforms.t.plugin=good",
                                       "transforms.t.inputs=[\"events\"]",
                                       "transforms.t.config.deduplicate.within=5m",
                                       "transforms.t.config.names.old.name=new",
                                       "sinks.bronze.commit.interval=3s",
                                       "pipeline=other"};
    load_with(SMALL, sets, SL_ARRAY_LENGTH(sets));
    ck_assert_str_eq(topology->pipeline, "other");
    ck_assert_int_eq(topology->memory_max_bytes, 64 << 20);
    ck_assert_uint_eq(topology->lanes, 3);
    ck_assert_ptr_nonnull(strstr(node("events")->config_json, "\"topics\":[\"b\"]"));
    ck_assert_ptr_nonnull(strstr(node("events")->config_json, "\"count\":5"));
    ck_assert_str_eq(node("t")->config_json, "{\"deduplicate\":{\"within\":\"5m\",\"key\":\"id\"},"
                                             "\"names\":{\"old.name\":\"new\"}}");
    ck_assert_int_eq(node("bronze")->commit_interval_us, 3000000);
    /* struct section of tests/plugins/good.c */
    struct section {
        const char *servers;
        int32_t embedded;
        sl_map rest;
    };
    const struct section *section = node("events")->section;
    ck_assert_str_eq(section->servers, "a:1");
    ck_assert_uint_eq(section->rest.count, 2);
    ck_assert_str_eq(section->rest.pairs[0].key, "client.rack");
    ck_assert_str_eq(section->rest.pairs[1].key, "client.id");
    ck_assert_str_eq(section->rest.pairs[1].value, "x");
}
END_TEST

START_TEST(set_wins_over_an_unset_variable) {
    static const char *const sets[] = {"state=/tmp/state"};
    (void)unsetenv("SLUICE_TEST_UNSET");
    load_with("{\"pipeline\":\"p\",\"state\":\"${env:SLUICE_TEST_UNSET}\"," SOURCES "," SINKS "}",
              sets, 1);
    ck_assert_str_eq(topology->state_url, "file:///tmp/state");
}
END_TEST

START_TEST(set_does_not_nest_without_end) {
    sl_buffer path = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&path, "transforms.t.config");
    for (int i = 0; i < 50000; i++) {
        (void)sl_buffer_append_text(&path, ".a");
        if (i == 400) {
            sl_buffer shorter = SL_BUFFER_INIT;
            (void)sl_buffer_append(&shorter, path.data, path.bytes);
            (void)sl_buffer_append_text(&shorter, "=1");
            load_bad_with(SMALL, sl_buffer_text(&shorter), "a path is names");
            sl_buffer_free(&shorter);
        }
    }
    (void)sl_buffer_append_text(&path, "=1");
    load_bad_with(SMALL, sl_buffer_text(&path), "more than 1024 bytes");
    sl_buffer_free(&path);
}
END_TEST

/* ---- references and secrets ---- */

static void check_masked(const char *text, const char *wanted) {
    sl_buffer buffer = SL_BUFFER_INIT;
    ck_assert(sl_buffer_append_text(&buffer, text));
    topology_mask(topology, &buffer);
    ck_assert_str_eq(sl_buffer_text(&buffer), wanted);
    sl_buffer_free(&buffer);
}

START_TEST(references_are_put_in_and_masked) {
    char file[] = "/tmp/sluice-test-XXXXXX";
    int fd = mkstemp(file);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "from the \"file\"\n", 16), 16);
    (void)close(fd);
    (void)setenv("SLUICE_TEST_A", "correct-horse", 1);
    (void)setenv("SLUICE_TEST_N", "12", 1);
    (void)unsetenv("SLUICE_TEST_UNSET");
    char text[2048];
    (void)snprintf(text, sizeof(text),
                   "{\"pipeline\":\"p\",\"state\":\"/s/${env:SLUICE_TEST_A}/x\",\"sources\":{"
                   "\"events\":{\"plugin\":\"good\",\"config\":{\"topics\":[\"${file:%s}\"],"
                   "\"text\":\"${env:SLUICE_TEST_UNSET:-fall:-back} $${env:X}\","
                   "\"count\":\"${env:SLUICE_TEST_N}\",\"password\":\"hunter2\"}}}," SINKS "}",
                   file);
    load(text);
    ck_assert_str_eq(topology->state_url, "file:///s/correct-horse/x");
    char wanted[1024];
    (void)snprintf(wanted, sizeof(wanted),
                   "{\"topics\":[\"${file:%s}\"],\"text\":\"${env:SLUICE_TEST_UNSET} $${env:X}\","
                   "\"password\":\"***\",\"count\":\"${env:SLUICE_TEST_N}\",\"ratio\":0.5,"
                   "\"size\":\"1MiB\",\"wait\":\"10s\",\"start\":\"earliest\",\"eager\":true}",
                   file);
    ck_assert_str_eq(node("events")->config_json, wanted);
    check_masked("x correct-horse y hunter2", "x *** y ***");
    check_masked("{\"a\":\"from the \\\"file\\\"\"}", "{\"a\":\"***\"}");
    check_masked("from%20the%20%22file%22", "***");
    check_masked("fall:-back", "***");
    check_masked("count 12, but 312 and a12b", "count ***, but 312 and a12b");
    (void)unlink(file);
}
END_TEST

START_TEST(faults_do_not_show_values) {
    (void)setenv("SLUICE_TEST_A", "correct-horse", 1);
    const struct topology_fault *fault = load_bad(
        "{\"pipeline\":\"p\",\"state\":\"nosuch://${env:SLUICE_TEST_A}/x\"," SOURCES "," SINKS "}");
    ck_assert_str_eq(fault->path, "$.state");
    ck_assert_ptr_null(strstr(fault->text, "correct-horse"));
    ck_assert_ptr_nonnull(strstr(fault->text, "${env:SLUICE_TEST_A}"));
}
END_TEST

START_TEST(property_names_that_look_secret) {
    load("{\"pipeline\":\"p\",\"good\":{\"servers\":\"a\",\"sasl.password\":\"open "
         "sesame\"}," SOURCES "," SINKS "}");
    check_masked("failed with open sesame", "failed with ***");
}
END_TEST

/* ---- places ---- */

START_TEST(columns_count_characters) {
    const struct topology_fault *fault = load_bad(
        "\xef\xbb\xbf{\"pipeline\": \"p\",\n \"größe\": 1, \"lanes\": 0," SOURCES "," SINKS "}");
    ck_assert_int_eq(fault->line, 2);
    ck_assert_int_eq(fault->column, 2);
    ck_assert_str_eq(fault->path, "$['größe']");
    ck_assert_int_eq(topology_faults_at(faults, 1)->column, 23);
}
END_TEST

START_TEST(a_thousand_nodes_are_enough) {
    sl_buffer text = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&text, "{\"pipeline\":\"p\"," SOURCES ",\"sinks\":{");
    for (int i = 0; i < 1200; i++) {
        (void)sl_buffer_printf(&text,
                               "%s\"s%d\":{\"plugin\":\"good\",\"inputs\":[\"events\"],\"config\":"
                               "{\"table\":\"t%d\"}}",
                               i == 0 ? "" : ",", i, i);
    }
    (void)sl_buffer_append_text(&text, "}}");
    const struct topology_fault *fault = load_bad(sl_buffer_text(&text));
    ck_assert_str_eq(fault->text, "more than 1000 nodes");
    sl_buffer_free(&text);
}
END_TEST

/* ---- locations ---- */

START_TEST(locations) {
    struct arena arena = {NULL, false};
    const char *why;
    ck_assert_str_eq(location_url(&arena, "/base", "lake/a b", &why), "file:///base/lake/a%20b");
    ck_assert_str_eq(location_url(&arena, "/base", "./x/../y//z/", &why), "file:///base/y/z");
    ck_assert_str_eq(location_url(&arena, "/base", "/", &why), "file:///");
    ck_assert_str_eq(location_url(&arena, "/base", "file:/x/.", &why), "file:///x");
    ck_assert_ptr_null(location_url(&arena, "/base", "file://host/x", &why));
    ck_assert_ptr_nonnull(why);
    ck_assert_str_eq(location_path(&arena, "/base", "./a.json"), "/base/a.json");
    ck_assert_str_eq(location_key(&arena, "file:///nowhere/a%20b"), "file:///nowhere/a b");
    ck_assert_str_eq(location_key(&arena, "ABFSS://C@Host/Path/"), "abfss://c@host/Path");
    arena_free(&arena);
}
END_TEST

START_TEST(links_are_one_place) {
    char folder[] = "/tmp/sluice-test-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    char real[64];
    char link[64];
    char text[2048];
    (void)snprintf(real, sizeof(real), "%s/real", folder);
    (void)snprintf(link, sizeof(link), "%s/link", folder);
    ck_assert_int_eq(mkdir(real, 0700), 0);
    ck_assert_int_eq(symlink(real, link), 0);
    (void)snprintf(text, sizeof(text),
                   "{\"pipeline\":\"p\"," SOURCES ",\"sinks\":{"
                   "\"a\":{\"plugin\":\"good\",\"inputs\":[\"events\"],\"config\":{\"table\":\"%s/"
                   "t\"}},"
                   "\"b\":{\"plugin\":\"good\",\"inputs\":[\"events\"],\"config\":{\"table\":\"%s/"
                   "t\"}}}}",
                   real, link);
    const struct topology_fault *fault = load_bad(text);
    ck_assert_str_eq(fault->path, "$.sinks.b.config.table");
    (void)unlink(link);
    (void)rmdir(real);
    (void)rmdir(folder);
}
END_TEST

/* ---- plugins ---- */

START_TEST(an_older_minor_is_filled_up_with_zeros) {
    const struct plugin *plugin;
    ck_assert_ptr_null(plugin_registry_get(registry, "older-minor", &plugin));
    const sl_role *sink = plugin->descriptor.sink;
    ck_assert_ptr_null(plugin->descriptor.section);
    ck_assert_ptr_nonnull(sink->node->open);
    ck_assert_ptr_nonnull(sink->node->output_schema);
    ck_assert_ptr_null(sink->node->recover);
    ck_assert_ptr_null(sink->node->close);
    ck_assert_ptr_null(sink->node->guarantee);
    ck_assert_uint_eq(sink->option_bytes, sizeof(sl_option));
    ck_assert_str_eq(sink->options[0].name, "first");
    ck_assert_ptr_null(sink->options[0].doc);
    ck_assert_double_eq(sink->options[0].max, 9);
    ck_assert_str_eq(sink->options[1].name, "second");
    ck_assert_ptr_null(sink->options[2].name);
    const struct plugin *again;
    ck_assert_ptr_null(plugin_registry_get(registry, "older-minor", &again));
    ck_assert_ptr_eq(plugin, again);
}
END_TEST

START_TEST(bad_plugins_give_one_sentence) {
    static const char *const names[] = {"other-major", "newer-minor",   "not-shared",
                                        "wrong-name",  "no-descriptor", "bad-table",
                                        "no-process",  "nowhere",       "../good"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        const struct plugin *plugin;
        sl_error *error = plugin_registry_get(registry, names[i], &plugin);
        ck_assert_ptr_nonnull(error);
        ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
        ck_assert_ptr_nonnull(strstr(sl_error_message(error), names[i]));
        ck_assert_ptr_null(strchr(sl_error_message(error), '\n'));
        sl_error_free(error);
    }
}
END_TEST

START_TEST(names_are_sorted) {
    const char *const *names;
    size_t n;
    ck_assert_ptr_null(plugin_registry_names(registry, &names, &n));
    ck_assert_uint_gt(n, 5);
    for (size_t i = 1; i < n; i++) {
        ck_assert_int_lt(strcmp(names[i - 1], names[i]), 0);
    }
}
END_TEST

/* ---- the graph ---- */

static sl_object *no_object(void *arg, size_t index) {
    (void)arg;
    (void)index;
    return NULL;
}

START_TEST(graph_collects_schemas) {
    load("{\"pipeline\":\"p\"," SOURCES ",\"transforms\":{\"t\":{\"plugin\":\"good\",\"inputs\":"
         "[\"events\"]}},\"sinks\":{\"s\":{\"plugin\":\"good\",\"inputs\":[\"t.rejects\"],"
         "\"config\":{\"table\":\"x\"}}}}");
    static const sl_services services = {.struct_bytes = sizeof(services)};
    struct graph_options options = {
        .flags = SL_RUN_VALIDATE_ONLY, .lanes = 1, .services = &services, .object = no_object};
    struct graph *graph;
    ck_assert_ptr_null(graph_open(topology, &options, NULL, &graph));
    ck_assert_uint_eq(graph->nodes[1].n_outputs, 3);
    ck_assert_str_eq(graph->nodes[1].output_names[2], "late");
    ck_assert_uint_eq(graph->nodes[2].n_outputs, 0);
    ck_assert_str_eq(graph->nodes[2].inputs[0].name, "t.rejects");
    ck_assert_ptr_eq(graph->nodes[2].inputs[0].schema, &graph->nodes[1].outputs[1]);
    ck_assert_str_eq(graph->nodes[1].outputs[1].children[0]->name, "n");
    graph_close(graph);
}
END_TEST

static void guarantees(const char *state, const char *tolerance, const char *const expected[2][2]) {
    char text[1024];
    snprintf(text, sizeof(text),
             "{\"pipeline\":\"p\",%s" SOURCES
             ",\"sinks\":{\"a\":{\"plugin\":\"good\",\"inputs\":[\"events\"],%s\"config\":{"
             "\"table\":\"x\"}},\"b\":{\"plugin\":\"stateful\",\"inputs\":[\"events\"]}}}",
             state, tolerance);
    load(text);
    struct arena arena = {NULL, false};
    size_t n;
    bool complete;
    const struct delivery_path *paths = delivery_paths(topology, &arena, &n, &complete);
    ck_assert_uint_eq(n, 2);
    ck_assert(complete);
    ck_assert_str_eq(paths[0].text, "events → a");
    for (size_t i = 0; i < n; i++) {
        ck_assert_str_eq(paths[i].name, expected[i][0]);
        ck_assert_msg(strstr(paths[i].why, expected[i][1]) != NULL, "%s", paths[i].why);
    }
    arena_free(&arena);
    topology_free(topology);
    topology_faults_free(faults);
    topology = NULL;
    faults = NULL;
}

START_TEST(guarantee_is_the_weakest) {
    static const char *const kept[2][2] = {{"exactly-once", "positions and data in one step"},
                                           {"at-least-once", "\"b\" (stateful) may write rows"}};
    static const char *const unkept[2][2] = {{"exactly-once", "positions and data in one step"},
                                             {"none", "nobody keeps the positions of \"b\""}};
    static const char *const tolerant[2][2] = {{"at-most-once", "\"a\" (good) passes over records"},
                                               {"at-least-once", "\"b\" (stateful)"}};
    guarantees("\"state\":\"state\",", "", kept);
    guarantees("", "", unkept);
    guarantees("\"state\":\"state\",", "\"errors.tolerance\":\"all\",", tolerant);
}
END_TEST

/* Rows that may be lost on the way to a sink that may write some again: neither word would be true.
 */
START_TEST(what_loses_and_repeats_guarantees_nothing) {
    load("{\"pipeline\":\"p\",\"state\":\"state\"," SOURCES
         ",\"sinks\":{\"b\":{\"plugin\":\"stateful\",\"inputs\":[{\"from\":\"events\","
         "\"when_full\":\"drop_newest\"}]}}}");
    struct arena arena = {NULL, false};
    size_t n;
    bool complete;
    const struct delivery_path *paths = delivery_paths(topology, &arena, &n, &complete);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(paths[0].name, "none");
    ck_assert_str_eq(paths[0].why, "\"b\" drops rows when its buffer is full: drop_newest, and "
                                   "\"b\" (stateful) may write rows again after a failure");
    arena_free(&arena);
    topology_free(topology);
    topology_faults_free(faults);
    topology = NULL;
    faults = NULL;
}
END_TEST

int main(void) {
    Suite *suite = suite_create("runtime_topology");
    TCase *cases = tcase_create("topology");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, defaults_of_the_top);
    tcase_add_test(cases, values_reach_the_config);
    tcase_add_test(cases, buffers_of_node_and_edge);
    tcase_add_test(cases, order_is_topological);
    tcase_add_test(cases, set_reaches_everything);
    tcase_add_test(cases, set_does_not_nest_without_end);
    tcase_add_test(cases, set_wins_over_an_unset_variable);
    tcase_add_test(cases, references_are_put_in_and_masked);
    tcase_add_test(cases, faults_do_not_show_values);
    tcase_add_test(cases, property_names_that_look_secret);
    tcase_add_test(cases, columns_count_characters);
    tcase_add_test(cases, a_thousand_nodes_are_enough);
    tcase_add_test(cases, locations);
    tcase_add_test(cases, links_are_one_place);
    tcase_add_test(cases, an_older_minor_is_filled_up_with_zeros);
    tcase_add_test(cases, bad_plugins_give_one_sentence);
    tcase_add_test(cases, names_are_sorted);
    tcase_add_test(cases, graph_collects_schemas);
    tcase_add_test(cases, guarantee_is_the_weakest);
    tcase_add_test(cases, what_loses_and_repeats_guarantees_nothing);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
