/*
 * The topology is replaced while it runs: nodes are changed, added and removed, do not open, do not
 * start, break, pause and restart meanwhile; nothing is lost or repeated, and who is not concerned
 * is not touched.
 */
#include "host_random.h"

enum { BUFFER = 1 << 20 };

/* ---- topologies to come ---- */

static int generation[NODES_MAX]; /* of each node's configuration */
static bool removed[NODES_MAX];

/* The world's topology with its nodes' generations, without those that are removed. The host's. */
static struct topology *make_next(void) {
    struct loaded_topology *loaded = calloc(1, sizeof(*loaded));
    struct topology *next = &loaded->topology;
    size_t place[NODES_MAX];
    *next = topology;
    next->nodes = arena_array(&loaded->arena, topology.n_nodes, sizeof(*next->nodes));
    next->n_nodes = 0;
    for (size_t n = 0; n < topology.n_nodes; n++) {
        if (removed[n]) {
            continue;
        }
        struct topology_node *node = &next->nodes[next->n_nodes];
        *node = nodes[n];
        node->config_json = arena_printf(&loaded->arena, "{\"generation\":%d}", generation[n]);
        node->inputs = arena_array(&loaded->arena, INPUTS_MAX, sizeof(*node->inputs));
        for (size_t i = 0; i < node->n_inputs; i++) {
            node->inputs[i] = edges[n][i];
            node->inputs[i].from = place[edges[n][i].from];
            node->inputs[i].to = next->n_nodes;
        }
        place[n] = next->n_nodes++;
    }
    ck_assert(!loaded->arena.failed);
    return next;
}

/* ---- reloads under way ---- */

static int reloads;       /* still to be given */
static bool under_way;    /* one is */
static int taken, failed; /* how those that began ended */
static int refused;
static char last_error[512];

static void note(const sl_error *error) {
    snprintf(last_error, sizeof(last_error), "%s", error == NULL ? "" : sl_error_message(error));
}

static void reloaded(void *arg, sl_error *error) {
    (void)arg;
    note(error);
    taken += error == NULL ? 1 : 0;
    failed += error == NULL ? 0 : 1;
    sl_error_free(error);
    under_way = false;
}

static void give_reload(void) {
    struct topology *next = make_next();
    under_way = true;
    sl_error *error = host_reload(running, next, reloaded, NULL);
    if (error != NULL) {
        note(error);
        ck_assert_msg(sl_error_is(error, SL_ERROR_CONFLICT), "%s", last_error);
        sl_error_free(error);
        topology_free(next);
        refused++;
        under_way = false;
    }
}

static void reset(void) {
    memset(generation, 0, sizeof(generation));
    memset(removed, 0, sizeof(removed));
    reloads = taken = failed = refused = 0;
    under_way = false;
    orders = turns = 0;
    endless = false;
    at_report = NULL;
    last_error[0] = 0;
}

/* ---- by hand ---- */

/* Two sources, a transform of each kind behind the first, sinks behind all of them. */
static void build(void) {
    reset();
    world_reset();
    add_node(TOPOLOGY_SOURCE, &source_role);
    add_node(TOPOLOGY_SOURCE, &source_role);
    add_node(TOPOLOGY_TRANSFORM, &split_role)->filter = 3;
    add_input(0, 0, BUFFER);
    add_node(TOPOLOGY_TRANSFORM, &owner_role);
    add_input(2, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(0, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &blocking_sink_role);
    add_input(2, 0, BUFFER);
    add_input(2, 1, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(3, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(1, 0, BUFFER);
    for (size_t n = 0; n < topology.n_nodes; n++) {
        behaviours[n].batch = 10;
        behaviours[n].one_in_empty = n < 2 ? 3 : 0;
        nodes[n].commit_interval_us = 2000;
        nodes[n].config_json = "{\"generation\":0}";
    }
}

static size_t changing; /* the node that the next report changes */

static void change_one(const struct host_snapshot *snapshot) {
    (void)snapshot;
    if (reloads > 0 && !under_way) {
        reloads--;
        generation[changing]++;
        give_reload();
    }
}

/* Each node of each kind is changed, as often as there is time. */
START_TEST(test_a_changed_node_goes_on_where_it_was) {
    build();
    changing = (size_t)_i;
    reloads = 10;
    at_report = change_one;
    assert_runs();
    assert_each_once();
    ck_assert_msg(taken > 0 && failed == 0, "%d taken, %d refused: %s", taken, refused, last_error);
    bool beside = (nodes[changing].role->flags & SL_ROLE_BESIDE) != 0;
    ck_assert_int_eq(atomic_load(&behaviours[changing].most_open), beside ? 2 : 1);
}
END_TEST

static void come_and_go(const struct host_snapshot *snapshot) {
    (void)snapshot;
    if (reloads > 0 && !under_way) {
        reloads--;
        for (size_t n = 4; n < 8; n++) {
            removed[n] = n == changing && reloads % 2 == 1;
        }
        give_reload();
    }
}

/* A sink is removed and added, and has all in the end. */
START_TEST(test_a_sink_that_is_added_goes_on_where_it_was) {
    build();
    changing = (size_t)_i;
    reloads = 10;
    at_report = come_and_go;
    /* The last report does not wait for results that nobody reads, when the sink is away at the
     * end; they are gone when all is closed, which run() checks. */
    sl_error *error = run();
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
    ck_assert_int_gt(taken, 0);
    reset();
    assert_runs();
    assert_each_once();
}
END_TEST

/* What does not open or start leaves all as it was. */
static bool armed;

/* One reload, of which the new node does not open, or does not start. */
static void break_one(const struct host_snapshot *snapshot) {
    (void)snapshot;
    if (armed) {
        return;
    }
    struct behaviour *does = &behaviours[changing / 2];
    armed = true;
    atomic_store(changing % 2 == 0 ? &does->failing_opens : &does->failing_starts, 1);
    generation[changing / 2]++;
    give_reload();
}

START_TEST(test_the_old_node_comes_back) {
    build();
    changing = (size_t)_i;
    armed = false;
    at_report = break_one;
    assert_runs();
    assert_each_once();
    ck_assert_int_eq(taken, 0);
    ck_assert_int_eq(failed, 1);
    ck_assert_ptr_nonnull(strstr(last_error, _i % 2 == 0 ? "does not open" : "does not start"));
}
END_TEST

static bool too_late; /* on a starved machine the data may end before there is a report */

static void change_while_another_hangs(const struct host_snapshot *snapshot) {
    if (snapshot->nodes[4].commits > 2 && atomic_load(&behaviours[5].hanging)) {
        change_one(snapshot);
    }
    too_late = snapshot->nodes[4].state == HOST_NODE_DRAINED || strstr(last_error, "has ended");
    if (taken > 0 || refused > 0 || too_late) {
        atomic_store(&released, true);
    }
}

/* Neither before the streams are away nor then. */
START_TEST(test_a_sink_that_may_fall_behind_does_not_hold_up_a_reload) {
    build();
    topology.revoke_timeout_us = 20000;
    for (size_t i = 0; i < nodes[5].n_inputs; i++) {
        edges[5][i].when_full = TOPOLOGY_DETACH;
    }
    behaviours[5].hangs = ASKED_TO_COMMIT;
    atomic_store(&released, false);
    changing = 4;
    reloads = 1;
    at_report = change_while_another_hangs;
    assert_runs();
    assert_each_once();
    ck_assert_msg(taken == 1 || too_late, "%d refused: %s", refused, last_error);
}
END_TEST

static void stop_and_change(const struct host_snapshot *snapshot) {
    (void)snapshot;
    if (armed) {
        sl_error_free(host_resume_node(running, names[changing]));
        return;
    }
    armed = true;
    ck_assert_ptr_null(host_stop_node(running, names[changing]));
    generation[changing]++;
    give_reload();
}

/* Its order is not carried out yet: both would close it. */
START_TEST(test_a_node_that_is_just_being_stopped_is_not_changed) {
    build();
    changing = (size_t)_i;
    armed = false;
    at_report = stop_and_change;
    assert_runs();
    ck_assert_msg(refused == 1 && strstr(last_error, "stopped or resumed just now") != NULL,
                  "%d taken, %d refused: %s", taken, refused, last_error);
    reset();
    assert_runs();
    assert_each_once();
}
END_TEST

/* One that assigns its streams itself is changed, or does not open and is there again. A run may
 * end before it has its streams again: the next one sends what is in the outbox. */
START_TEST(test_who_assigns_streams_is_changed) {
    build();
    nodes[3].role = &assigning_role;
    changing = _i == 0 ? 3 : 6 + (size_t)_i - 1;
    armed = false;
    reloads = 10;
    at_report = _i == 0 ? change_one : break_one;
    assert_runs();
    ck_assert_msg(_i == 0 ? taken > 0 && failed == 0 : taken == 0 && failed == 1, "%d taken: %s",
                  taken, last_error);
    reset();
    assert_runs();
    assert_each_once();
}
END_TEST

/* What several hosts share gets other rows on all of them at once. */
START_TEST(test_what_hosts_share_is_given_no_other_rows) {
    build();
    nodes[3].role = &assigning_role;
    changing = 2;
    reloads = 1;
    at_report = change_one;
    assert_runs();
    ck_assert_msg(refused == 1 && strstr(last_error, "n3: what it reads changes") != NULL &&
                      strstr(last_error, "on all hosts at once: end sluice on every host") != NULL,
                  "%d taken: %s", taken, last_error);
    reset();
    assert_runs();
    assert_each_once();
}
END_TEST

START_TEST(test_settings_need_a_new_process) {
    build();
    struct topology_plan *plan = NULL;
    struct topology *next = make_next();
    next->settings_json = "{\"lanes\":9}";
    ck_assert_ptr_null(topology_plan_new(&topology, next, &plan));
    ck_assert_ptr_nonnull(strstr(plan->refusal, "$.lanes differs"));
    topology_plan_free(plan);
    topology_free(next);
}
END_TEST

/* ---- random ---- */

static void random_reload(const struct host_snapshot *snapshot) {
    (void)snapshot;
    if (reloads == 0 || under_way || below(2) == 0) {
        return;
    }
    reloads--;
    size_t sinks = 0;
    for (size_t n = 0; n < topology.n_nodes; n++) {
        generation[n] += below(4) == 0 ? 1 : 0;
        removed[n] = nodes[n].kind == TOPOLOGY_SINK && below(4) == 0;
        sinks += nodes[n].kind == TOPOLOGY_SINK && !removed[n] ? 1 : 0;
        if (below(12) == 0) {
            atomic_store(
                below(2) == 0 ? &behaviours[n].failing_opens : &behaviours[n].failing_starts, 1);
        }
    }
    for (size_t n = 0; sinks == 0 && n < topology.n_nodes; n++) {
        removed[n] = false;
    }
    give_reload();
}

static void calm_down(void) {
    memset(removed, 0, sizeof(removed));
    for (size_t n = 0; n < topology.n_nodes; n++) {
        behaviours[n].failing_opens = behaviours[n].failing_starts = 0;
        behaviours[n].failing_tasks = 0;
    }
}

static void run_seed(unsigned seed) {
    random_seed(seed);
    random_topology();
    reset();
    at_report = random_reload;
    for (int i = 0; i < 3; i++) {
        topology.lanes = (uint32_t)(1 + below(4));
        random_fate();
        calm_down();
        orders = sometimes(5);
        turns = sometimes(10);
        reloads = 1 + below(8);
        sl_error_free(run());
        under_way = false;
    }
    at_report = NULL;
    orders = turns = 0;
    calm_down();
    no_fate();
    assert_runs();
    assert_each_once();
}

START_TEST(test_random_reloads) {
    run_seeds(_i, 40, run_seed);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("runtime_reload");
    TCase *cases = tcase_create("reload");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, test_a_changed_node_goes_on_where_it_was, 0, 8);
    tcase_add_loop_test(cases, test_a_sink_that_is_added_goes_on_where_it_was, 4, 8);
    tcase_add_loop_test(cases, test_the_old_node_comes_back, 0, 16);
    tcase_add_test(cases, test_a_sink_that_may_fall_behind_does_not_hold_up_a_reload);
    tcase_add_loop_test(cases, test_a_node_that_is_just_being_stopped_is_not_changed, 4, 8);
    tcase_add_loop_test(cases, test_who_assigns_streams_is_changed, 0, 3);
    tcase_add_test(cases, test_what_hosts_share_is_given_no_other_rows);
    tcase_add_test(cases, test_settings_need_a_new_process);
    suite_add_tcase(suite, cases);
    TCase *random = tcase_create("random");
    tcase_set_timeout(random, 600);
    tcase_add_loop_test(random, test_random_reloads, 0, 10);
    suite_add_tcase(suite, random);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures == 0 ? 0 : 1;
}
