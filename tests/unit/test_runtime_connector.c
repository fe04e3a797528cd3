/*
 * Connectors of Kafka Connect as nodes of a topology's document: flat configs both ways, sources
 * found and made for topics, what cannot be said, and merge patches (RFC 7386) of documents.
 */
#include "topology/connector.h"
#include "topology/edit.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define PLUGINS SL_BUILD_DIR "/tests/plugins"

static struct plugin_registry *registry;
static struct arena arena;

static void setup(void) {
    const char *const paths[] = {PLUGINS};
    ck_assert_ptr_null(plugin_registry_new(paths, 1, &registry));
}

static void teardown(void) {
    plugin_registry_free(registry);
    arena_free(&arena);
}

static void no_fault(void *arg, struct json_place place, const char *path, const char *text) {
    (void)arg;
    (void)place;
    ck_abort_msg("%s: %s", path, text);
}

static struct json_value *parse(const char *text) {
    return json_parse(&arena, text, strlen(text), no_fault, NULL);
}

static const char *text_of(const struct json_value *value) {
    sl_buffer out = SL_BUFFER_INIT;
    ck_assert(json_write(value, JSON_WRITTEN, &out));
    return arena_take(&arena, &out);
}

#define DOCUMENT                                                                                   \
    "{\"pipeline\":\"p\",\"sources\":{\"events\":{\"plugin\":\"good\",\"config\":{\"topics\":["    \
    "\"a\",\"b\"],\"count\":5}}},\"transforms\":{\"t\":{\"plugin\":\"good\",\"inputs\":["          \
    "\"events\"],\"config\":{}}},\"sinks\":{\"out\":{\"plugin\":\"good\",\"inputs\":[\"t\"],"      \
    "\"config\":{\"table\":\"x\"}}}}"

static struct connectors connectors(const char *document) {
    return (struct connectors){
        .arena = &arena, .registry = registry, .document = parse(document), .lanes = 2};
}

/* After the config is put, the document's node (of `kind`) is this. */
static void put(const struct connectors *in, const char *name, const char *config, const char *kind,
                const char *expected) {
    sl_error *error = connector_put(in, name, parse(config));
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
    const struct json_value *node = json_member(json_member(in->document, kind), name);
    ck_assert_ptr_nonnull(node);
    ck_assert_str_eq(text_of(node), expected);
}

static void refuse(const struct connectors *in, const char *name, const char *config,
                   const char *expected) {
    sl_error *error = connector_put(in, name, parse(config));
    ck_assert_ptr_nonnull(error);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    ck_assert_msg(strstr(sl_error_message(error), expected) != NULL, "%s", sl_error_message(error));
    sl_error_free(error);
}

static struct json_value *config_of(const struct connectors *in, const char *name) {
    struct json_value *config = NULL;
    ck_assert_ptr_null(connector_config(in, name, &config));
    return config;
}

START_TEST(test_texts_become_what_options_have) {
    struct connectors in = connectors(DOCUMENT);
    put(&in, "more",
        "{\"name\":\"more\",\"connector.class\":\"good\",\"tasks.max\":\"4\",\"topics\":\"c, d\","
        "\"count\":\"7\",\"ratio\":\"0.25\",\"eager\":\"false\",\"size\":\"2MiB\",\"text\":\"12\","
        "\"wait\":null,\"restart.after\":\"5s\"}",
        "sources",
        "{\"plugin\":\"good\",\"restart.after\":\"5s\",\"config\":{\"topics\":[\"c\",\"d\"],"
        "\"count\":7,\"ratio\":0.25,\"eager\":false,\"size\":\"2MiB\",\"text\":\"12\"}}");
    put(&in, "t",
        "{\"connector.class\":\"good\",\"inputs\":\"events,more\",\"deduplicate.within\":\"1h\","
        "\"deduplicate.key\":\"k\",\"names.a.b\":\"c\",\"anything\":\"{\\\"x\\\":[1]}\","
        "\"errors.tolerance\":\"none\",\"buffer\":\"1MiB\",\"unheard\":\"of\"}",
        "transforms",
        "{\"plugin\":\"good\",\"inputs\":[\"events\",\"more\"],\"errors.tolerance\":\"none\","
        "\"buffer\":\"1MiB\",\"config\":{\"deduplicate\":{\"within\":\"1h\",\"key\":\"k\"},"
        "\"names\":{\"a.b\":\"c\"},\"anything\":{\"x\":[1]},\"unheard\":\"of\"}}");
}
END_TEST

/* Nodes whose flat config, put back, gives them again. */
static const char *const nodes[] = {
    "{\"plugin\":\"good\",\"inputs\":[\"events\",\"t.more\"],\"config\":{\"table\":\"x\"}}",
    "{\"plugin\":\"good\",\"inputs\":[{\"from\":\"t\",\"when_full\":\"block\"}],\"config\":{}}",
    "{\"plugin\":\"good\",\"inputs\":[\"t\"],\"buffer\":\"8MiB\",\"errors.log.enable\":true,"
    "\"config\":{\"table\":\"${env:HOME}/x\",\"compression\":\"latest\"}}",
    "{\"plugin\":\"good\",\"inputs\":[\"a,b\",\"\"],\"config\":{}}",
};

START_TEST(test_flat_configs_lead_back) {
    struct connectors in = connectors(DOCUMENT);
    struct json_value *sinks = json_member(in.document, "sinks");
    json_set(&arena, sinks, "out", parse(nodes[_i]));
    const struct json_value *config = config_of(&in, "out");
    for (const struct json_value *m = config->first; m != NULL; m = m->next) {
        ck_assert_int_eq(m->kind, JSON_STRING);
    }
    put(&in, "out", text_of(config), "sinks", nodes[_i]);
}
END_TEST

static const char *const transforms[] = {
    "{\"deduplicate\":{\"within\":\"1h\"},\"names\":{\"a\":\"b\",\"c.d\":\"e,f\"}}",
    "{\"names\":{},\"anything\":null}",
    "{\"anything\":\"5\"}",
    "{\"anything\":5}",
    "{\"anything\":\"plain text\"}",
    "{\"anything\":[{\"a\":\"b\"},true,\"\\\"quoted\\\"\"]}",
};

START_TEST(test_options_lead_back) {
    struct connectors in = connectors(DOCUMENT);
    struct json_value *t = json_member(json_member(in.document, "transforms"), "t");
    struct json_value *given = parse(transforms[_i]);
    json_set(&arena, t, "config", given);
    const struct json_value *flat = config_of(&in, "t");
    ck_assert_ptr_null(connector_put(&in, "t", flat));
    t = json_member(json_member(in.document, "transforms"), "t");
    (void)json_remove(given, _i == 1 ? "anything" : "");
    ck_assert_str_eq(text_of(json_member(t, "config")), text_of(given));
}
END_TEST

START_TEST(test_topics_find_or_make_a_source) {
    struct connectors in = connectors(DOCUMENT);
    /* the order of topics is no difference */
    put(&in, "out", "{\"connector.class\":\"good\",\"topics\":\"b,a\",\"table\":\"x\"}", "sinks",
        "{\"plugin\":\"good\",\"inputs\":[\"events\"],\"config\":{\"table\":\"x\"}}");
    ck_assert_str_eq(json_member(config_of(&in, "out"), "topics")->text, "a,b");
    ck_assert_ptr_null(json_member(config_of(&in, "out"), "inputs"));
    put(&in, "out", "{\"connector.class\":\"good\",\"topics\":\"c\",\"table\":\"x\"}", "sinks",
        "{\"plugin\":\"good\",\"inputs\":[\"out-topics\"],\"config\":{\"table\":\"x\"}}");
    const struct json_value *sources = json_member(in.document, "sources");
    ck_assert_str_eq(text_of(json_member(sources, "out-topics")),
                     "{\"plugin\":\"good\",\"config\":{\"topics\":[\"c\"]}}");
    /* other topics by the same source, whose positions hold */
    put(&in, "out", "{\"connector.class\":\"good\",\"topics\":\"c,d\",\"table\":\"x\"}", "sinks",
        "{\"plugin\":\"good\",\"inputs\":[\"out-topics\"],\"config\":{\"table\":\"x\"}}");
    ck_assert_str_eq(text_of(json_member(json_member(sources, "out-topics"), "config")),
                     "{\"topics\":[\"c\",\"d\"]}");
    /* and it goes when nobody reads it */
    put(&in, "out", "{\"connector.class\":\"good\",\"inputs\":\"t\",\"table\":\"x\"}", "sinks",
        "{\"plugin\":\"good\",\"inputs\":[\"t\"],\"config\":{\"table\":\"x\"}}");
    ck_assert_uint_eq(sources->n_children, 1);
}
END_TEST

START_TEST(test_what_cannot_be_said) {
    struct connectors in = connectors(DOCUMENT);
    refuse(&in, "n", "{}", "connector.class: the plugin's name is missing");
    refuse(&in, "n", "{\"connector.class\":\"gone\"}", "gone");
    refuse(&in, "n", "{\"connector.class\":\"good\",\"name\":\"m\"}", "doesn't match");
    refuse(&in, "n", "{\"connector.class\":\"good\",\"tasks.max\":\"0\"}", "an integer from 1");
    refuse(&in, "out", "{\"connector.class\":\"good\",\"table\":\"x\"}", "what the node reads");
    refuse(&in, "out", "{\"connector.class\":\"good\",\"topics\":\"a\",\"inputs\":\"t\"}",
           "give one of them");
    refuse(&in, "out", "{\"connector.class\":\"good\",\"inputs\":\"t\",\"transforms\":\"mask\"}",
           "transforms: a transform is a node of its own");
    refuse(&in, "out",
           "{\"connector.class\":\"good\",\"inputs\":\"t\","
           "\"errors.deadletterqueue.topic.name\":\"dead\"}",
           "NODE.rejects");
}
END_TEST

START_TEST(test_removing) {
    struct connectors in = connectors(DOCUMENT);
    sl_error *error = connector_remove(&in, "t");
    ck_assert_str_eq(sl_error_message(error),
                     "t is read by out: delete that first, or change what it reads");
    sl_error_free(error);
    error = connector_remove(&in, "none");
    ck_assert_str_eq(sl_error_message(error), "Connector none not found");
    sl_error_free(error);
    ck_assert_ptr_null(connector_remove(&in, "out"));
    ck_assert_ptr_null(connector_remove(&in, "t"));
    ck_assert_uint_eq(json_member(in.document, "sinks")->n_children, 0);
}
END_TEST

/* RFC 7386, appendix A: original, patch, result. */
static const char *const patches[][3] = {
    {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
    {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
    {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
    {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
    {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
    {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
    {"{\"a\":\"foo\"}", "null", "null"},
    {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
    {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
    {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
    {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
};

START_TEST(test_merge_patch) {
    const struct json_value *merged =
        json_merge_patch(&arena, parse(patches[_i][0]), parse(patches[_i][1]));
    ck_assert_str_eq(text_of(merged), patches[_i][2]);
    ck_assert(json_same(merged, parse(patches[_i][2])));
}
END_TEST

START_TEST(test_sameness) {
    ck_assert(json_same(parse("{\"a\":1,\"b\":[true]}"), parse("{\"b\":[true],\"a\":1}")));
    ck_assert(!json_same(parse("{\"a\":1}"), parse("{\"a\":\"1\"}")));
    ck_assert(!json_same(parse("[1,2]"), parse("[2,1]")));
    ck_assert(!json_same(parse("{\"a\":1}"), parse("{\"b\":1}")));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("connector");
    TCase *tests = tcase_create("connector");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_texts_become_what_options_have);
    tcase_add_loop_test(tests, test_flat_configs_lead_back, 0, SL_ARRAY_LENGTH(nodes));
    tcase_add_loop_test(tests, test_options_lead_back, 0, SL_ARRAY_LENGTH(transforms));
    tcase_add_test(tests, test_topics_find_or_make_a_source);
    tcase_add_test(tests, test_what_cannot_be_said);
    tcase_add_test(tests, test_removing);
    tcase_add_loop_test(tests, test_merge_patch, 0, SL_ARRAY_LENGTH(patches));
    tcase_add_test(tests, test_sameness);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
