/*
 * What has gone does not stay: streams that leave and come back many times are freed, with the
 * numbers that plugins keep tables by, whatever happens to their nodes meanwhile; and nobody who
 * may still refer to one is left with a pointer to nothing (to be run under ASan as well).
 */
#include "delivery/stream.h"
#include "host/run.h"
#include "host_topology.h"

enum { BUFFER = 1 << 20, TIMES = 150, ALIVE_MAX = 120 };

static uint32_t made;    /* streams, since the run began */
static uint32_t numbers; /* most that had one at a time, feeds among them */
static size_t most_here, most_gone;

static size_t count_gone(const struct host *host) {
    size_t n = 0;
    for (const struct stream *stream = host->gone; stream != NULL; stream = stream->next_gone) {
        n++;
    }
    return n;
}

static void count(const struct host_snapshot *snapshot) {
    (void)snapshot;
    size_t gone = count_gone(running);
    most_here = running->n_streams > most_here ? running->n_streams : most_here;
    most_gone = gone > most_gone ? gone : most_gone;
    made = running->n_epochs;
    numbers = running->n_stream_indexes;
}

/* A source with a node of each kind behind it. */
static void build(int times) {
    world_reset();
    made = numbers = 0;
    most_here = most_gone = 0;
    orders = turns = 0;
    endless = false;
    add_node(TOPOLOGY_SOURCE, &source_role)->revocations = times;
    add_node(TOPOLOGY_TRANSFORM, &split_role)->filter = 3;
    add_input(0, 0, BUFFER);
    add_node(TOPOLOGY_TRANSFORM, &replay_role);
    add_input(0, 0, BUFFER);
    add_node(TOPOLOGY_TRANSFORM, &owner_role);
    add_input(0, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(1, 0, BUFFER);
    add_input(1, 1, BUFFER);
    add_node(TOPOLOGY_SINK, &blocking_sink_role);
    add_input(2, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(3, 0, BUFFER);
    for (size_t n = 0; n < topology.n_nodes; n++) {
        behaviours[n].rows = 400;
        behaviours[n].batch = 1;
        nodes[n].commit_interval_us = 2000;
    }
    at_report = count;
}

static void assert_flat(void) {
    ck_assert_msg(made > TIMES, "only %u streams", (unsigned)made);
    ck_assert_msg(numbers <= ALIVE_MAX, "%u of %u streams at a time", (unsigned)numbers,
                  (unsigned)made);
    ck_assert_uint_le(most_here, ALIVE_MAX);
    ck_assert_uint_le(most_gone, ALIVE_MAX);
}

START_TEST(test_streams_that_leave_are_freed) {
    build(TIMES);
    assert_runs();
    assert_each_once();
    assert_flat();
}
END_TEST

/* Branches have feeds of their own, which are freed with their streams. */
START_TEST(test_so_are_their_branches) {
    build(TIMES);
    for (size_t n = 4; n < topology.n_nodes; n++) {
        edges[n][0].when_full = TOPOLOGY_DETACH;
        edges[n][0].buffer_bytes = 4096;
        behaviours[n].one_in_pauses = 20;
    }
    topology.revoke_timeout_us = 20000;
    assert_runs();
    assert_each_once();
    assert_flat();
}
END_TEST

/* While a flush or commit is tried again its pieces name streams, which wait for it. */
START_TEST(test_races_and_failures_do_not_keep_them) {
    build(TIMES);
    topology.revoke_timeout_us = 5000;
    for (size_t n = 2; n < topology.n_nodes; n++) {
        behaviours[n].failing_flushes = 1;
        behaviours[n].failing_commits = 1;
        behaviours[n].conflicts = 5;
        nodes[n].restart_after_us = 1000;
        nodes[n].restart_attempts = 1000;
    }
    orders = 20;
    behaviours[4].overtaken = behaviours[5].overtaken = 20;
    assert_runs();
    assert_each_once();
    assert_flat();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("runtime_gone");
    TCase *gone = tcase_create("gone");
    tcase_set_timeout(gone, 120);
    tcase_add_test(gone, test_streams_that_leave_are_freed);
    tcase_add_test(gone, test_so_are_their_branches);
    tcase_add_test(gone, test_races_and_failures_do_not_keep_them);
    suite_add_tcase(suite, gone);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
