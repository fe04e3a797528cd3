/*
 * The topology that most tests of a run's course share, and what is asked of its runs.
 */
#ifndef TESTS_HOST_FLOW_H
#define TESTS_HOST_FLOW_H

#include "host_topology.h"

enum { BUFFER = 20000 };

/* source → split → sink; split.rejects → sink; source → sink */
static void build(const sl_role *sink) {
    world_reset();
    add_node(TOPOLOGY_SOURCE, &source_role);
    add_node(TOPOLOGY_TRANSFORM, &split_role)->filter = 7;
    add_input(0, 0, BUFFER);
    add_node(TOPOLOGY_SINK, sink);
    add_input(1, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(1, 1, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(0, 0, BUFFER);
}

/* Node 0 gets operations of its own: those of the source, to be changed. */
static sl_node_ops *own_source(void) {
    static sl_node_ops ops;
    static sl_role role;
    ops = source_node;
    role = source_role;
    role.node = &ops;
    nodes[0].role = &role;
    return &ops;
}

static void assert_fails(const char *with) {
    sl_error *error = run();
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(sl_error_message(error), with) != NULL, "%s", sl_error_message(error));
    sl_error_free(error);
}

static void assert_goes_on(void) {
    assert_runs();
    assert_each_once();
}

static void assert_has_from(size_t n, int partition, int64_t first) {
    for (int64_t o = 0; o < behaviours[0].rows; o++) {
        ck_assert_int_eq(disk.seen[n][0][partition][o], o >= first ? 1 : 0);
    }
}

static int restarts_wanted;

static void restart_failed(const struct host_snapshot *snapshot) {
    for (size_t n = 0; n < snapshot->n_nodes; n++) {
        if (snapshot->nodes[n].state == HOST_NODE_FAILED) {
            sl_error *error = host_restart_node(running, names[n]);
            restarts_wanted -= error == NULL ? 1 : 0;
            sl_error_free(error);
        }
    }
    if (restarts_wanted <= 0) {
        atomic_store(&released, true);
    }
}

/* What fails in the next run is restarted by order; it does not end before `n` orders are given. */
static void restart_by_order(int n) {
    restarts_wanted = n;
    behaviours[0].ends_late = true;
    atomic_store(&released, false);
    at_report = restart_failed;
}

#endif /* TESTS_HOST_FLOW_H */
