/*
 * Nodes that cannot start with the others, and may later: nobody waits for them, and they begin
 * where they would have begun.
 */
#include "host_flow.h"

static void who_reads_runs(const struct host_snapshot *snapshot) {
    for (size_t n = 0; n < snapshot->n_nodes; n++) {
        bool reads = snapshot->nodes[n].n_outputs > 0 && snapshot->nodes[n].outputs[0].rows > 0;
        ck_assert(!reads || snapshot->nodes[n].state != HOST_NODE_STARTING);
    }
}

START_TEST(test_a_source_that_starts_late_runs) {
    build(&blocking_sink_role);
    behaviours[0].passing_starts = 2;
    behaviours[0].one_in_empty = 2;
    at_report = who_reads_runs;
    assert_goes_on();
    at_report = NULL;
}
END_TEST

/* Whether it has committed all of the first source, which it reads. */
static bool has_committed_all(size_t n) {
    bool all = true;
    pthread_mutex_lock(&disk_lock);
    for (int p = 0; p < PARTITIONS; p++) {
        all = all && stored_for(n, 0, 0, p, "") == behaviours[0].rows;
    }
    pthread_mutex_unlock(&disk_lock);
    return all;
}

static void release_once_others_have_all(const struct host_snapshot *snapshot) {
    (void)snapshot;
    if (has_committed_all(4)) {
        atomic_store(&released, true);
    }
}

static void build_late(void) {
    build(&blocking_sink_role);
    behaviours[2].starts_late = true;
    atomic_store(&released, false);
    at_report = release_once_others_have_all;
}

START_TEST(test_a_node_that_starts_late_holds_nobody_up) {
    build_late();
    nodes[2].start = _i == 0 ? TOPOLOGY_START_SOURCE : TOPOLOGY_START_EARLIEST;
    assert_goes_on();
    at_report = NULL;
}
END_TEST

START_TEST(test_a_node_that_never_starts_fails_alone) {
    build_late();
    at_report = NULL;
    topology.retry_timeout_us = 100000;
    assert_fails("node n2 failed: cannot start: not started yet");
    assert_has_each_once(3);
    assert_has_each_once(4);
    behaviours[2].starts_late = false;
    assert_goes_on();
}
END_TEST

static atomic_int resolved; /* how often, so far */

/* The end is at 300, and later at 600. */
static void resolve_at_moving_end(sl_node *node, const sl_stream *stream, int64_t *offset,
                                  sl_request *request) {
    (void)node;
    (void)stream;
    *offset = atomic_fetch_add(&resolved, 1) < PARTITIONS ? 300 : 600;
    services->done(request, NULL);
}

/* In a first run that reads from the end on, who starts late begins where the others began. */
START_TEST(test_a_node_that_starts_late_begins_with_the_others) {
    build_late();
    own_source()->resolve = resolve_at_moving_end;
    behaviours[1].filter = 0;
    assert_runs();
    at_report = NULL;
    ck_assert_int_gt(resolved, PARTITIONS);
    for (int p = 0; p < PARTITIONS; p++) {
        assert_has_from(4, p, 300);
        assert_has_from(2, p, 300);
    }
}
END_TEST

static void resolve_at_100(sl_node *node, const sl_stream *stream, int64_t *offset,
                           sl_request *request) {
    (void)node;
    (void)stream;
    *offset = 100;
    services->done(request, NULL);
}

/* A new sink that starts late, or only when it is restarted, begins where its source says, though
 * all others have their positions. */
START_TEST(test_a_new_sink_that_starts_late_begins_where_the_source_does) {
    build(&sink_role);
    own_source()->resolve = resolve_at_100;
    behaviours[0].rows = 300;
    assert_runs();
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(0, 0, BUFFER);
    behaviours[0].rows = 500;
    behaviours[5].passing_starts = _i == 0 ? 3 : 0;
    behaviours[5].failing_starts = _i == 0 ? 0 : 1;
    restart_by_order(_i);
    assert_runs();
    at_report = NULL;
    for (int p = 0; p < PARTITIONS; p++) {
        assert_has_from(5, p, 100);
    }
}
END_TEST

/* Where a new sink begins depends on where the others are: it waits for the one that starts late.
 */
START_TEST(test_a_new_sink_waits_for_one_that_starts_late) {
    build(&sink_role);
    behaviours[0].rows = 300;
    assert_goes_on();
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(1, 0, BUFFER);
    nodes[4].commit_interval_us = 1000;
    nodes[5].start = TOPOLOGY_START_WITH_OTHERS;
    for (size_t n = 2; n < 5; n++) {
        behaviours[n].passing_starts = 3;
    }
    behaviours[0].rows = 500;
    assert_runs();
    assert_has_each_once(4);
    for (int p = 0; p < PARTITIONS; p++) {
        int first = 300;
        while (first % behaviours[1].filter == 0) {
            first++;
        }
        ck_assert_int_eq(disk.seen[5][0][p][first], 1);
        ck_assert_int_eq(disk.seen[5][0][p][299], 0);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("runtime_late");
    TCase *late = tcase_create("late");
    tcase_set_timeout(late, 60);
    tcase_add_test(late, test_a_source_that_starts_late_runs);
    tcase_add_loop_test(late, test_a_node_that_starts_late_holds_nobody_up, 0, 2);
    tcase_add_test(late, test_a_node_that_never_starts_fails_alone);
    tcase_add_test(late, test_a_node_that_starts_late_begins_with_the_others);
    tcase_add_loop_test(late, test_a_new_sink_that_starts_late_begins_where_the_source_does, 0, 2);
    tcase_add_test(late, test_a_new_sink_waits_for_one_that_starts_late);
    suite_add_tcase(suite, late);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
