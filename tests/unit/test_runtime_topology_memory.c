/*
 * Loading a topology when memory runs out: every single allocation of a whole load fails once,
 * alone and with all that follow, and each time the answer is the out-of-memory error and nothing
 * is left behind. This program's own malloc does it (failing_malloc.h).
 */
#include "failing_malloc.h"
#include "topology/guarantee.h"
#include "topology/topology.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char good[] =
    "{\"pipeline\":\"p\",\"state\":\"s/${env:SLUICE_TEST_A}\",\"good\":{\"servers\":\"a\","
    "\"client.id\":\"x\",\"sasl.password\":\"secret word\"},"
    "\"sources\":{\"events\":{\"plugin\":\"good\",\"config\":{\"topics\":[\"a\",\"b\"],"
    "\"password\":\"pass\",\"wait\":\"2s\",\"size\":\"2MiB\",\"start\":\"latest\"}}},"
    "\"transforms\":{\"t\":{\"plugin\":\"good\",\"inputs\":[{\"from\":\"events\",\"buffer\":4096}],"
    "\"config\":{\"schema\":\"x.json\",\"deduplicate\":{\"within\":\"1m\"},\"names\":{\"a\":[1]},"
    "\"anything\":{\"b\":null}},\"errors.tolerance\":\"none\"}},"
    "\"sinks\":{\"a\":{\"plugin\":\"good\",\"inputs\":[\"t.late\"],\"config\":{\"table\":\"t a\"}},"
    "\"b\":{\"plugin\":\"stateful\",\"inputs\":[\"t\",\"events\"]}}}";

/* faults of every step: syntax, keys, values, plugins, wiring */
static const char bad[] =
    "{\"pipeline\":\"p p\",/**/\"lane\":1,\"good\":{\"zzz\":1},"
    "\"sources\":{\"events\":{\"plugin\":\"good\",\"config\":{\"topics\":7,\"wiat\":\"2s\","
    "\"size\":\"2 MiB\",\"start\":\"lastest\",\"text\":\"${what}\"}}},"
    "\"transforms\":{\"t\":{\"plugin\":\"good\",\"inputs\":[\"t\",\"evnts\",\"events.x\"],"
    "\"when_full\":\"detach\",\"schema\":\"x\",\"config\":{\"deduplicate\":{}}}},"
    "\"sinks\":{\"a\":{\"plugin\":\"good\",\"inputs\":[],\"config\":{\"table\":\"x\"}},"
    "\"b\":{\"plugin\":\"good\",\"inputs\":[\"t\",\"a\"],\"config\":{\"table\":\"./x\"}},}}";

static struct plugin_registry *registry;

static sl_error *load(const char *text, struct topology **topology) {
    static const char *const sets[] = {"sources.events.config.count=5", "memory.max=64MiB"};
    struct topology_options options = {.sets = sets, .n_sets = SL_ARRAY_LENGTH(sets)};
    struct topology_faults *faults = NULL;
    *topology = NULL;
    sl_error *error = topology_load_text(text, strlen(text), "test.json", "/base", &options,
                                         registry, topology, &faults);
    topology_faults_free(faults);
    return error;
}

/* Blocks that live; the registry keeps the names of the plugins that it has listed last. */
static long blocks(void) {
    const char *const *names;
    size_t n;
    ck_assert_ptr_null(plugin_registry_names(registry, &names, &n));
    return live;
}

/* The first allocation after which the load has the memory that it needs. */
static long fail_each(const char *text, bool loads) {
    for (long n = 0;; n++) {
        struct topology *topology;
        long before = blocks();
        hit = false;
        allowed = n;
        sl_error *error = load(text, &topology);
        bool enough = !hit;
        allowed = -1;
        ck_assert_msg(enough || sl_error_is(error, SL_ERROR_NO_MEMORY), "allocation %ld: %s", n,
                      error == NULL ? "it loads" : sl_error_message(error));
        ck_assert((topology != NULL) == (error == NULL));
        ck_assert(!enough || loads == (error == NULL));
        sl_error_free(error);
        topology_free(topology);
        long left = blocks() - before;
        ck_assert_msg(left == 0, "allocation %ld: %ld blocks are left", n, left);
        if (enough) {
            return n;
        }
    }
}

START_TEST(no_allocation_of_a_load_may_fail_unnoticed) {
    const char *const paths[] = {SL_BUILD_DIR "/tests/plugins"};
    const struct plugin *plugin;
    (void)setenv("SLUICE_TEST_A", "correct-horse", 1);
    ck_assert_ptr_null(plugin_registry_new(paths, 1, &registry));
    ck_assert_ptr_null(plugin_registry_get(registry, "good", &plugin));
    ck_assert_ptr_null(plugin_registry_get(registry, "stateful", &plugin));
    for (int i = 0; i < 2; i++) {
        only_one = i == 0;
        ck_assert_int_gt(fail_each(good, true), 20);
        ck_assert_int_gt(fail_each(bad, false), 20);
    }
    plugin_registry_free(registry);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("runtime_topology_memory");
    TCase *cases = tcase_create("memory");
    tcase_add_test(cases, no_allocation_of_a_load_may_fail_unnoticed);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
