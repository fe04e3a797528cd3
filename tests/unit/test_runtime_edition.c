/*
 * Editions of the configuration: what is kept of a topology, what counts as a change, and the
 * topology that is made of an edition again. Whole runs over a change are tested in
 * tests/integration.
 */
#include "host/editions.h"
#include "host/network.h"
#include "topology/edition.h"
#include "topology_text.h"

#define SECRET "correct-horse"

static void setup(void) {
    (void)setenv("SLUICE_TEST_TEXT", "from the environment", 1);
    (void)unsetenv("SLUICE_TEST_ABSENT");
    begin_texts("{\"a\": \"\\u00e4\"}");
}

static struct edition *edition_of(const struct topology *topology, sl_buffer *text) {
    struct edition *edition = NULL;
    ck_assert_ptr_null(edition_write(topology, text));
    ck_assert_ptr_null(edition_parse((const char *)text->data, text->bytes, "memory/1", &edition));
    return edition;
}

#define TOPOLOGY(source, transform, sink)                                                          \
    "{\"pipeline\":\"p\",\"state\":\"state\",\"sources\":{\"events\":{\"plugin\":\"good\","        \
    "\"config\":{\"topics\":[\"a\"]" source "}}},\"transforms\":{\"t\":{\"plugin\":\"good\","      \
    "\"inputs\":[\"events\"],\"errors.tolerance\":\"none\",\"config\":{\"schema\":\"%"             \
    "s\"" transform "}}},\"sinks\":{\"out\":{\"plugin\":\"good\",\"inputs\":[\"t\"],\"config\":{"  \
    "\"table\":\"x\"" sink "}}}}"
#define PLAIN TOPOLOGY("", "", "")

/* The same in a state folder. */
static struct topology *load_with_state(const char *state, const char *source, const char *sink) {
    char text[4096];
    (void)snprintf(
        text, sizeof(text),
        "{\"pipeline\":\"p\",\"state\":\"file://%s\",\"sources\":{\"events\":{\"plugin\":"
        "\"good\",\"config\":{\"topics\":[\"a\"]%s}}},\"sinks\":{\"out\":{\"plugin\":"
        "\"good\",\"inputs\":[\"events\"],\"config\":{\"table\":\"x\"%s}}}}",
        state, source, sink);
    return load(text);
}

/* What is said to have changed from one topology to another. */
static void compare(const char *then, const char *now, const char *expected, bool same) {
    sl_buffer text = SL_BUFFER_INIT;
    struct topology *before = load(then);
    struct edition *edition = edition_of(before, &text);
    struct topology *after = load(now);
    struct edition_change change;
    ck_assert_ptr_null(edition_compare(edition, after, &change));
    if (expected == NULL) {
        ck_assert_msg(change.text == NULL, "%s", change.text);
    } else {
        ck_assert_ptr_nonnull(change.text);
        ck_assert_str_eq(change.text, expected);
    }
    ck_assert_int_eq(change.same, same);
    edition_free(edition);
    topology_free(before);
    topology_free(after);
    sl_buffer_free(&text);
}

START_TEST(what_is_a_change) {
    compare(PLAIN, PLAIN, NULL, true);
    compare(PLAIN, TOPOLOGY(",\"count\":10", "", ""), NULL, true); /* the default */
    compare(PLAIN, TOPOLOGY(",\"count\":11", "", ""), "events (count)", false);
    compare(PLAIN, TOPOLOGY(",\"size\":\"2MiB\"", "", ""), NULL, false);            /* tuning */
    compare(PLAIN, TOPOLOGY("", "", ",\"compression\":\"earliest\""), NULL, false); /* a sink */
    compare(PLAIN, TOPOLOGY("", ",\"names\":{\"a\":\"b\"}", ""), "t (names)", false);
    compare(TOPOLOGY("", ",\"deduplicate\":{\"within\":\"1m\"}", ""),
            TOPOLOGY("", ",\"deduplicate\":{\"within\":\"60s\"}", ""), NULL, true);
    compare(TOPOLOGY("", ",\"deduplicate\":{\"within\":\"1m\"}", ""),
            TOPOLOGY(",\"ratio\":1", "", ""), "events (ratio), t (deduplicate)", false);
}
END_TEST

/* Hosts that start at the same moment all see the same last edition; the first stores the next. */
START_TEST(hosts_that_start_together_may_differ_in_tuning) {
    static const struct {
        const char *source;
        const char *sink;
        bool good;
    } hosts[] = {{"", "", true},
                 {"", "", true},
                 {",\"size\":\"2MiB\"", "", true},
                 {",\"count\":11", "", false},
                 {"", ",\"compression\":\"earliest\"", false}};
    enum { HOSTS = sizeof(hosts) / sizeof(hosts[0]) };
    char state[] = "/tmp/test_editions_XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(state));
    struct topology *topologies[HOSTS];
    struct network *networks[HOSTS];
    struct editions *editions[HOSTS];
    for (size_t i = 0; i < HOSTS; i++) {
        topologies[i] = load_with_state(state, hosts[i].source, hosts[i].sink);
        ck_assert_ptr_null(network_new(topologies[i], NULL, NULL, &networks[i]));
        ck_assert_ptr_null(editions_open(topologies[i], networks[i], &editions[i]));
    }
    for (size_t i = 0; i < HOSTS; i++) {
        sl_error *error = editions_add(editions[i]);
        ck_assert_msg((error == NULL) == hosts[i].good, "host %zu", i);
        ck_assert(error == NULL || sl_error_is(error, SL_ERROR_CONFLICT));
        sl_error_free(error);
    }
    for (size_t i = 0; i < HOSTS; i++) {
        editions_close(editions[i]);
        network_free(networks[i]);
        topology_free(topologies[i]);
    }
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -r %s", state);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(what_a_file_holds) {
    sl_buffer text = SL_BUFFER_INIT;
    struct topology *topology = load(PLAIN);
    struct edition *edition = edition_of(topology, &text);
    struct edition_change change;
    topology_free(topology);
    write_schema("{}");
    topology = load(PLAIN);
    ck_assert_ptr_null(edition_compare(edition, topology, &change));
    ck_assert_str_eq(change.text, "t (schema (what the file holds))");
    ck_assert_uint_eq(change.n_nodes, 1);
    ck_assert_str_eq(change.nodes[0], "t");
    ck_assert_ptr_null(change.plugins);

    struct topology *then = NULL;
    struct topology_faults *faults = NULL;
    ck_assert_ptr_null(edition_restore(edition, topology, registry, &then, &faults));
    const char *path = NULL;
    for (size_t i = 0; i < then->n_nodes; i++) {
        const char *at = strstr(then->nodes[i].config_json, "/proc/self/fd/");
        path = at != NULL ? at : path;
    }
    ck_assert_ptr_nonnull(path);
    char name[64];
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(path, "\""), path);
    char held[64] = "";
    FILE *file = fopen(name, "re");
    ck_assert_ptr_nonnull(file);
    (void)fread(held, 1, sizeof(held) - 1, file);
    (void)fclose(file);
    ck_assert_str_eq(held, "{\"a\": \"\\u00e4\"}");
    topology_free(then);
    topology_faults_free(faults);
    edition_free(edition);
    topology_free(topology);
    sl_buffer_free(&text);
}
END_TEST

/* Secrets, references and their defaults: not in the edition, there again in what is made of it. */
START_TEST(secrets_and_references_are_those_of_today) {
    static const char then[] =
        TOPOLOGY(",\"password\":\"" SECRET "\",\"text\":\"${env:SLUICE_TEST_TEXT}\"",
                 ",\"names\":{\"plain\":\"$${no}\",\"token\":\"" SECRET "\"},"
                 "\"anything\":[\"${env:SLUICE_TEST_ABSENT:-fallback}\"]",
                 "");
    static const char now[] =
        TOPOLOGY(",\"password\":\"another\",\"text\":\"${env:SLUICE_TEST_TEXT}\",\"count\":7,"
                 "\"size\":4096",
                 ",\"names\":{\"plain\":\"$${no}\",\"token\":\"third\"},"
                 "\"anything\":[\"${env:SLUICE_TEST_ABSENT:-fallback}\"]",
                 "");
    sl_buffer text = SL_BUFFER_INIT;
    struct topology *before = load(then);
    struct topology *after = load(now);
    struct edition *edition = edition_of(before, &text);
    ck_assert_ptr_null(strstr(sl_buffer_text(&text), SECRET));
    ck_assert_ptr_null(strstr(sl_buffer_text(&text), "from the environment"));
    ck_assert_ptr_null(strstr(sl_buffer_text(&text), "fallback"));
    struct topology *made = NULL;
    struct topology_faults *faults = NULL;
    ck_assert_ptr_null(edition_restore(edition, after, registry, &made, &faults));
    struct { /* the beginning of the test plugin's config */
        sl_list topics;
        const char *text;
        const char *password;
        int64_t count;
        double ratio;
        int64_t size_bytes;
    } config;
    memcpy(&config, made->nodes[0].config, sizeof(config));
    ck_assert_str_eq(config.text, "from the environment");
    ck_assert_str_eq(config.password, "another");
    ck_assert_int_eq(config.count, 10);        /* as it was */
    ck_assert_int_eq(config.size_bytes, 4096); /* tuning: as it is */
    ck_assert_ptr_nonnull(strstr(made->nodes[1].config_json, "\"$${no}\""));
    ck_assert_ptr_nonnull(strstr(made->nodes[1].config_json, "${env:SLUICE_TEST_ABSENT}"));
    topology_free(made);
    topology_faults_free(faults);
    edition_free(edition);
    topology_free(before);
    topology_free(after);
    sl_buffer_free(&text);
}
END_TEST

START_TEST(nothing_but_an_edition_is_read) {
    static const char *const bad[][2] = {
        {"", "no edition"},
        {"[1]", "no edition"},
        {"{\"format\":1", "no edition"},
        {"{\"format\":\"1\"}", "no \"format\""},
        {"{\"format\":1}", "parts are missing"},
        {"{\"format\":2,\"new\":{}}", "has format version 2, this sluice reads version 1"},
        {"{\"format\":1,\"pipeline\":\"p\",\"sources\":{\"a\":{\"plugin\":\"x\"}},"
         "\"transforms\":{},\"sinks\":{}}",
         "parts are missing"},
        {"{\"format\":1,\"pipeline\":\"p\",\"sources\":{\"a\":{\"plugin\":\"x\",\"version\":\"1\","
         "\"config\":{\"schema\":\"f\"},\"files\":{\"schema\":{}}}},\"transforms\":{},\"sinks\":{}"
         "}",
         "parts are missing"},
    };
    for (size_t i = 0; i < SL_ARRAY_LENGTH(bad); i++) {
        struct edition *edition = NULL;
        sl_error *error = edition_parse(bad[i][0], strlen(bad[i][0]), "memory/1", &edition);
        ck_assert_ptr_nonnull(error);
        ck_assert_msg(strstr(sl_error_message(error), bad[i][1]) != NULL, "%s",
                      sl_error_message(error));
        ck_assert_ptr_nonnull(strstr(sl_error_message(error), "memory/1"));
        sl_error_free(error);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("runtime_edition");
    TCase *cases = tcase_create("editions");
    tcase_add_checked_fixture(cases, setup, end_texts);
    tcase_add_test(cases, what_is_a_change);
    tcase_add_test(cases, hosts_that_start_together_may_differ_in_tuning);
    tcase_add_test(cases, what_a_file_holds);
    tcase_add_test(cases, secrets_and_references_are_those_of_today);
    tcase_add_test(cases, nothing_but_an_edition_is_read);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
