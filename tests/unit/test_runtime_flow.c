/*
 * The host under everything that may happen to a run: streams that leave and come back, signals,
 * pauses, slow and failing flushes, failing starts, results of stateful nodes, crashes; each alone,
 * then all together on random topologies (SLUICE_SEEDS=n: so many, SLUICE_SEED=n: only this one).
 */
#include "host_flow.h"
#include "host_random.h"

enum { SEEDS = 60 };

START_TEST(test_streams_leave_and_come_back) {
    build(&blocking_sink_role);
    behaviours[0].batch = 7;
    behaviours[0].revocations = 10;
    behaviours[0].lost = _i == 1;
    behaviours[2].flush = ON_POOL_THREAD;
    behaviours[3].flush = BY_TIMER;
    assert_goes_on();
    ck_assert_int_eq(behaviours[0].revocations, 0);
}
END_TEST

START_TEST(test_more_streams_than_there_is_room_for_come_while_flushes_run) {
    build(&blocking_sink_role);
    topology.lanes = 1;
    for (int i = 0; i < 6; i++) {
        add_node(TOPOLOGY_SINK, &sink_role)->flush = ON_POOL_THREAD;
        nodes[topology.n_nodes - 1].commit_interval_us = 1;
        for (uint32_t input = 0; input < 3; input++) {
            add_input(input == 2 ? 0 : 1, input % 2, BUFFER);
        }
    }
    behaviours[0].batch = 7;
    behaviours[0].revocations = 20;
    assert_goes_on();
}
END_TEST

START_TEST(test_a_signal_ends_a_run_cleanly) {
    build(&blocking_sink_role);
    behaviours[0].one_in_empty = 3;
    for (int i = 1; i < 20; i += 3) {
        behaviours[0].signal_after = 3 * i;
        assert_runs();
    }
    assert_goes_on();
}
END_TEST

START_TEST(test_a_signal_while_streams_leave) {
    build(&blocking_sink_role);
    behaviours[0].one_in_empty = 2;
    behaviours[0].lost = _i == 1;
    for (int i = 1; i < 12; i++) {
        behaviours[0].signal_after = 10;
        behaviours[0].revocations = 50;
        assert_runs();
    }
    behaviours[0].signal_after = behaviours[0].revocations = 0;
    assert_goes_on();
}
END_TEST

START_TEST(test_lost_races_while_streams_leave) {
    build(&blocking_sink_role);
    behaviours[0].batch = 7;
    behaviours[0].one_in_empty = 5;
    behaviours[0].revocations = 10;
    for (size_t n = 2; n < topology.n_nodes; n++) {
        behaviours[n].conflicts = 3;
        behaviours[n].applied = _i == 1;
        behaviours[n].flush = ON_POOL_THREAD;
    }
    assert_goes_on();
}
END_TEST

static void build_with_short_revocations(void) {
    build(&blocking_sink_role);
    topology.revoke_timeout_us = 20000;
    behaviours[0].batch = 7;
    behaviours[0].one_in_empty = 5;
    behaviours[0].revocations = 6;
}

/* A sink that gets on only once most of the revocations are through cannot hold them up: what it
 * has not committed is dropped, and read again. */
START_TEST(test_a_revocation_waits_no_longer_than_its_timeout) {
    build_with_short_revocations();
    behaviours[2 + _i % 3].gate = (enum gate)(1 + _i % (GATE_HANG - 1));
    assert_goes_on();
}
END_TEST

/* Nor can one that hangs, whose thread answers nothing at all. */
START_TEST(test_a_revocation_does_not_wait_for_a_sink_that_hangs) {
    build_with_short_revocations();
    behaviours[2].gate = GATE_HANG;
    if (_i == 1) {
        add_node(TOPOLOGY_SINK, &blocking_sink_role)->gate = GATE_HANG;
        add_input(0, 0, BUFFER);
    }
    assert_goes_on();
}
END_TEST

START_TEST(test_streams_wait_for_others) {
    build(&sink_role);
    behaviours[0].batch = 10;
    behaviours[1].one_in_holds = 3;
    behaviours[2].one_in_holds = 5;
    behaviours[3].one_in_pauses = 4;
    assert_goes_on();
}
END_TEST

START_TEST(test_nodes_pause) {
    build(&blocking_sink_role);
    for (size_t i = 1; i < topology.n_nodes; i++) {
        behaviours[i].one_in_pauses = 5;
    }
    behaviours[1].one_in_retries = 40;
    assert_goes_on();
}
END_TEST

START_TEST(test_flushes_fail_and_pass) {
    build(&blocking_sink_role);
    for (size_t i = 2; i < topology.n_nodes; i++) {
        behaviours[i].failing_flushes = 3;
        behaviours[i].failing_commits = 2;
        behaviours[i].flush = (enum slowness)_i;
    }
    assert_goes_on();
}
END_TEST

START_TEST(test_a_flush_fails_for_good) {
    build(&blocking_sink_role);
    behaviours[2].flush = (enum slowness)_i;
    behaviours[2].fatal_flush = 2;
    assert_fails("flushes no more");
    assert_goes_on();
}
END_TEST

/* It is paused for ever when another lane fails: what waits before it is dropped. */
static sl_error *pause_or_fail(sl_task *task, uint32_t input, const sl_batch *batch) {
    (void)input;
    if (batch->stream->partition == 1) {
        return services->error_new(SL_ERROR_FATAL, "broke");
    }
    services->pause(task->self, 1);
    return NULL;
}

START_TEST(test_a_node_that_fails_while_paused_holds_nothing_up) {
    build(&sink_role);
    sl_task_ops ops = sink_task;
    sl_role role = sink_role;
    ops.process = pause_or_fail;
    role.task = &ops;
    nodes[2].role = &role;
    topology.lanes = 4;
    assert_fails("broke");
}
END_TEST

START_TEST(test_a_stream_that_does_not_attach_fails_who_refused_it_alone) {
    build(&sink_role);
    topology.lanes = 1 + (uint32_t)_i;
    behaviours[_i % 2 == 0 ? 0 : 4].failing_attaches = 1;
    assert_fails("attaches no more");
    if (_i % 2 == 1) {
        assert_has_each_once(2);
        assert_has_each_once(3);
    }
    assert_goes_on();
}
END_TEST

/* What the others have loaded for its streams finds its way back. */
START_TEST(test_a_reader_that_cannot_begin_fails_alone) {
    build(&blocking_sink_role);
    behaviours[2].unrecoverable = _i == 0;
    behaviours[2].unresumable = _i == 1;
    assert_fails(_i == 0 ? "has lost its positions" : "resumes no more");
    assert_has_each_once(3);
    assert_has_each_once(4);
    behaviours[2].unrecoverable = behaviours[2].unresumable = false;
    assert_goes_on();
}
END_TEST

static enum host_node_state state_of(const struct host_snapshot *snapshot, size_t n) {
    return snapshot->nodes[n].state;
}

static void release_behind_the_others(const struct host_snapshot *snapshot) {
    if (state_of(snapshot, 3) == HOST_NODE_DRAINED && state_of(snapshot, 4) == HOST_NODE_DRAINED) {
        atomic_store(&released, true);
    }
}

static void build_hanging(enum question question) {
    build(&blocking_sink_role);
    topology.retry_timeout_us = topology.revoke_timeout_us = 1000;
    behaviours[2].hangs = question;
    atomic_store(&released, false);
}

START_TEST(test_a_node_that_does_not_answer_fails_alone) {
    build_hanging((enum question)_i);
    at_report = release_behind_the_others;
    assert_fails("it has not answered for");
    assert_has_each_once(3);
    assert_has_each_once(4);
    at_report = NULL;
    assert_goes_on();
}
END_TEST

/* Pauses a node, so that the run does not end, until the one that hung runs again. */
static void release_when_failed(const struct host_snapshot *snapshot) {
    if (state_of(snapshot, 2) == HOST_NODE_FAILED) {
        sl_error *error = host_restart_node(running, names[2]);
        ck_assert(error != NULL || atomic_load(&released));
        sl_error_free(error);
        atomic_store(&released, true);
    }
    sl_error_free(atomic_load(&released) && state_of(snapshot, 2) == HOST_NODE_RUNNING
                      ? host_resume_node(running, names[4])
                      : host_pause_node(running, names[4]));
}

START_TEST(test_a_node_that_answers_at_last_is_restarted) {
    build_hanging((enum question)_i);
    nodes[2].restart_after_us = 1000;
    nodes[2].restart_attempts = 5;
    at_report = release_when_failed;
    endless = true;
    assert_goes_on();
    at_report = NULL;
    endless = false;
}
END_TEST

/* Somebody else goes on while a node is asked; it does not help for ever to ask again. */
START_TEST(test_positions_that_were_moved_meanwhile_are_asked_for_anew) {
    build(&blocking_sink_role);
    behaviours[2].overtaken = behaviours[3].overtaken = 2 * PARTITIONS;
    behaviours[0].revocations = 2;
    assert_goes_on();
    ck_assert_int_eq(seen_in[HOST_NODE_FAILED], 0);
    behaviours[2].overtaken = 5 * PARTITIONS;
    assert_fails("node n2 failed: resuming: has gone on");
    assert_goes_on();
}
END_TEST

START_TEST(test_what_was_resumed_for_a_source_that_cannot_begin_is_freed) {
    build(&blocking_sink_role);
    sl_node_ops *ops = own_source();
    ops->resume = sink_resume;
    ops->drop_handle = drop_handle;
    behaviours[0].unresumable = true;
    assert_fails("resumes no more");
    nodes[0].role = &source_role;
    assert_goes_on();
}
END_TEST

START_TEST(test_starts_fail_and_pass) {
    build(&blocking_sink_role);
    behaviours[0].passing_starts = 2;
    behaviours[0].failing_resumes = 2;
    behaviours[2].failing_resumes = 3;
    assert_goes_on();
}
END_TEST

/* source → owner → two sinks that commit at their own times */
static void build_owner(void) {
    world_reset();
    add_node(TOPOLOGY_SOURCE, &source_role);
    add_node(TOPOLOGY_TRANSFORM, &owner_role);
    add_input(0, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &blocking_sink_role);
    add_input(1, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role)->flush = ON_POOL_THREAD;
    add_input(1, 0, BUFFER);
    nodes[3].commit_interval_us = 20000;
}

START_TEST(test_results_arrive_once_whoever_crashes) {
    build_owner();
    for (int i = 0; i < 20; i++) {
        behaviours[0].rows = 100 + 40 * i;
        behaviours[1 + i % 3].commits_left = 1 + i / 3;
        sl_error_free(run());
        behaviours[1 + i % 3].commits_left = -1;
    }
    assert_goes_on();
    ck_assert_int_eq(disk.n_outbox[1], PARTITIONS * behaviours[0].rows);
}
END_TEST

/* Both sinks stop somewhere: the results come again from the smaller position, cut at the other. */
START_TEST(test_results_are_cut_at_every_readers_position) {
    build_owner();
    behaviours[0].batch = 10;
    behaviours[0].one_in_empty = 2;
    for (size_t n = 1; n < topology.n_nodes; n++) {
        nodes[n].commit_interval_us = 1000;
    }
    for (int i = 0; i < 20; i++) {
        behaviours[0].rows = 100 + 40 * i;
        behaviours[2].commits_left = 1 + i % 3;
        behaviours[3].commits_left = 1 + i % 4;
        sl_error_free(run());
    }
    behaviours[2].commits_left = behaviours[3].commits_left = -1;
    assert_goes_on();
}
END_TEST

/* What a node that waits has not read, it reads when everything is here, and nobody waits for it.
 */
START_TEST(test_a_node_that_needs_everything_waits_for_it) {
    build_owner();
    nodes[1].role = &whole_role;
    add_node(TOPOLOGY_TRANSFORM, &whole_role);
    add_input(1, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(4, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(0, 0, BUFFER);
    behaviours[0].tells_missing = true;
    behaviours[0].batch = 7;
    behaviours[0].one_in_empty = 3;
    behaviours[0].revocations = 10;
    assert_goes_on();
    ck_assert_int_eq(behaviours[0].revocations, 0);
    ck_assert_int_eq(disk.n_outbox[1], PARTITIONS * behaviours[0].rows);
}
END_TEST

/* What waits for `released` goes on once a report has said that it may. */
static void assert_runs_released_by(void (*report)(const struct host_snapshot *snapshot)) {
    atomic_store(&released, false);
    at_report = report;
    assert_runs();
    at_report = NULL;
    assert_each_once();
}

static void release_once_drained(const struct host_snapshot *snapshot) {
    atomic_store(&released, snapshot->nodes[1].state == HOST_NODE_DRAINED);
}

/* Another source may have come to its end while a node waited: it is read again then. */
START_TEST(test_what_has_ended_is_read_by_who_has_waited) {
    world_reset();
    add_node(TOPOLOGY_SOURCE, &source_role)->stays_away = true;
    add_node(TOPOLOGY_SOURCE, &source_role)->one_in_empty = 2;
    add_node(TOPOLOGY_TRANSFORM, &whole_role);
    add_input(0, 0, BUFFER);
    add_input(1, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(2, 0, BUFFER);
    behaviours[0].revocations = 1;
    behaviours[0].tells_missing = true;
    behaviours[1].batch = 7;
    assert_runs_released_by(release_once_drained);
}
END_TEST

static void release_once_committed(const struct host_snapshot *snapshot) {
    atomic_store(&released, snapshot->nodes[2].commits > 0);
}

/* Who reads results commits them as soon as it has taken them, also if it could not do so when they
 * came: here it has to try it again, and then there is nothing more to come. */
START_TEST(test_results_do_not_wait_for_an_interval) {
    build_owner();
    behaviours[0].rows = 50;
    behaviours[0].revocations = 2;
    behaviours[0].ends_late = true;
    behaviours[2].gate = GATE_PROCESS;
    nodes[1].commit_interval_us = 2000;
    nodes[2].commit_interval_us = 1000000000;
    assert_runs_released_by(release_once_committed);
}
END_TEST

/* source → replaying transform → owner of streams → sink; the transform → sink; source → sink */
static void build_all_kinds(void) {
    world_reset();
    add_node(TOPOLOGY_SOURCE, &source_role);
    add_node(TOPOLOGY_TRANSFORM, &replay_role)->filter = 7;
    add_input(0, 0, BUFFER);
    add_node(TOPOLOGY_TRANSFORM, &owner_role);
    add_input(1, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(2, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &blocking_sink_role)->flush = ON_POOL_THREAD;
    add_input(1, 1, BUFFER);
    add_node(TOPOLOGY_TRANSFORM, &split_role);
    add_input(0, 0, BUFFER);
    add_node(TOPOLOGY_SINK, &sink_role)->flush = BY_TIMER;
    add_input(5, 0, BUFFER);
    for (size_t n = 0; n < topology.n_nodes; n++) {
        behaviours[n].batch = 10;
        behaviours[n].one_in_empty = n == 0 ? 4 : 0;
        nodes[n].commit_interval_us = 2000;
    }
}

/* Somebody else moves a position when all has been read: it is read again within the run, whichever
 * node has lost it, and however far the others have come. */
START_TEST(test_a_race_lost_at_the_end_is_recovered) {
    build_all_kinds();
    topology.lanes = 1 + (uint32_t)_i % 3;
    for (size_t n = 1; n < topology.n_nodes; n++) {
        bool loses = _i == 0 || n == (size_t)_i;
        behaviours[n].late_conflicts = loses ? 2 : 0;
        behaviours[n].applied = _i % 2 == 1;
        nodes[n].commit_interval_us = loses ? 60000000 : 2000;
    }
    behaviours[0].revocations = _i % 2 == 0 ? 3 : 0;
    assert_goes_on();
    int left = 0;
    for (size_t n = 1; n < topology.n_nodes; n++) {
        left += behaviours[n].late_conflicts;
    }
    ck_assert(_i > 0 || left < 2 * (int)(topology.n_nodes - 1));
}
END_TEST

/* Each kind of node fails in its way, several times, and comes back by itself. */
START_TEST(test_a_node_that_fails_is_restarted) {
    build_all_kinds();
    nodes[_i].restart_after_us = 1000;
    nodes[_i].restart_attempts = 10;
    behaviours[_i].broken_batches = 2;
    behaviours[_i].broken_commits = 2;
    behaviours[0].revocations = 3;
    assert_goes_on();
    ck_assert_int_eq(behaviours[_i].broken_batches, 0);
}
END_TEST

/* ... and says itself that this helps, twice; it is not asked whether the topology says so. */
START_TEST(test_a_node_that_asks_for_it_is_made_anew) {
    build_all_kinds();
    behaviours[_i].renewals = 2;
    behaviours[0].revocations = 3;
    assert_goes_on();
    ck_assert_int_eq(behaviours[_i].renewals, 0);
}
END_TEST

/* Not for ever. */
START_TEST(test_a_node_that_asks_for_it_again_and_again_fails) {
    build_all_kinds();
    topology.retry_timeout_us = 1000;
    behaviours[_i].renewals = 1000;
    assert_fails("wants to be new");
    ck_assert_int_ge(behaviours[_i].renewals, 990);
    behaviours[_i].renewals = 0;
    assert_goes_on();
}
END_TEST

/* At the very beginning: a node that does not start, or of which a task does not open. */
static void break_start(size_t node, bool task) {
    behaviours[node].failing_starts = task ? 0 : 1;
    behaviours[node].failing_tasks = task ? 1 : 0;
}

START_TEST(test_a_node_that_does_not_start_is_restarted) {
    build_all_kinds();
    size_t node = (size_t)_i / 2;
    break_start(node, _i % 2 == 1);
    nodes[node].restart_after_us = 3000;
    nodes[node].restart_attempts = 2;
    behaviours[0].revocations = 3;
    assert_goes_on();
    ck_assert_int_eq(behaviours[node].failing_starts + behaviours[node].failing_tasks, 0);
}
END_TEST

START_TEST(test_a_node_that_does_not_start_fails_alone) {
    build_all_kinds();
    break_start(4, _i == 1);
    assert_fails(_i == 0 ? "node n4 failed: cannot start: does not start"
                         : "node n4 failed: cannot open a task: opens no more");
    assert_has_each_once(3);
    assert_has_each_once(6);
    assert_goes_on();
}
END_TEST

/* What may start later joins the others, whatever it is and whoever reads it. */
START_TEST(test_a_node_that_starts_late_has_it_all) {
    build_all_kinds();
    behaviours[_i].passing_starts = 2;
    behaviours[0].revocations = 3;
    assert_goes_on();
    ck_assert_int_eq(behaviours[_i].passing_starts + seen_in[HOST_NODE_FAILED], 0);
}
END_TEST

START_TEST(test_a_node_that_does_not_start_is_restarted_by_order) {
    build_all_kinds();
    behaviours[0].one_in_empty = 2;
    break_start(1, _i % 2 == 1);
    break_start(4, _i / 2 == 1);
    restart_by_order(2);
    assert_goes_on();
    at_report = NULL;
}
END_TEST

/* The signal comes while a node is restarted, or started after it was stopped. */
static bool stops_first;

static void restart_and_end(const struct host_snapshot *snapshot) {
    bool stopped = snapshot->nodes[6].state == HOST_NODE_STOPPED;
    if (stops_first && !stopped) {
        sl_error_free(host_stop_node(running, names[6]));
        return;
    }
    sl_error *error =
        stopped ? host_resume_node(running, names[6]) : host_restart_node(running, names[6]);
    if (error == NULL) {
        at_report = NULL;
        raise(SIGTERM);
    }
    sl_error_free(error);
}

START_TEST(test_a_signal_while_a_node_is_restarted) {
    build_all_kinds();
    endless = true;
    behaviours[0].one_in_empty = 2;
    stops_first = _i == 1;
    for (int i = 0; i < 5; i++) {
        at_report = restart_and_end;
        assert_runs();
        ck_assert_ptr_null(at_report);
    }
    endless = false;
    assert_goes_on();
}
END_TEST

/* Nobody is left to go on for, as when the last one fails later; the next run has it all. */
START_TEST(test_a_run_ends_if_all_sinks_or_the_source_do_not_start) {
    build_all_kinds();
    endless = true;
    for (size_t n = 0; n < topology.n_nodes; n++) {
        if (nodes[n].kind == (_i % 2 == 0 ? TOPOLOGY_SINK : TOPOLOGY_SOURCE)) {
            break_start(n, _i / 2 == 1);
        }
    }
    assert_fails(_i / 2 == 0 ? "cannot start: does not start"
                             : "cannot open a task: opens no more");
    endless = false;
    assert_goes_on();
}
END_TEST

START_TEST(test_a_node_that_fails_for_ever_stays_failed) {
    build_all_kinds();
    nodes[4].restart_after_us = 20000;
    nodes[4].restart_attempts = 3;
    nodes[4].commit_interval_us = 1000; /* its first commits come early, however loaded it is */
    behaviours[0].batch = 10;
    behaviours[4].broken_commits = 1 << 30;
    assert_fails("commits no more");
    ck_assert_int_eq(behaviours[4].broken_commits, (1 << 30) - 4);
    assert_has_each_once(3);
    assert_has_each_once(6);
}
END_TEST

START_TEST(test_all_nodes_are_restarted_by_order) {
    build_all_kinds();
    behaviours[0].revocations = 5;
    orders = 20;
    assert_goes_on();
    orders = 0;
    ck_assert_ptr_nonnull(running);
}
END_TEST

/* All kinds of nodes, sources among them, are paused, stopped and resumed, at times while they fail
 * or their streams leave, and nothing is lost or repeated. */
START_TEST(test_all_nodes_are_paused_stopped_and_resumed) {
    build_all_kinds();
    endless = true;
    turns = 60;
    if (_i > 0) {
        behaviours[0].revocations = 5;
        nodes[3].restart_after_us = 1000;
        nodes[3].restart_attempts = 10;
        behaviours[3].broken_batches = 2;
        behaviours[4].broken_commits = 2;
        nodes[4].restart_after_us = 3000;
        nodes[4].restart_attempts = 10;
    }
    orders = _i == 2 ? 20 : 0;
    assert_goes_on();
    ck_assert_int_eq(turns, 0);
    ck_assert_int_gt(seen_in[HOST_NODE_PAUSED], 0);
    ck_assert_int_gt(seen_in[HOST_NODE_STOPPED], 0);
    endless = false;
    orders = 0;
}
END_TEST

/* So is one that assigns its streams itself, at any moment of that. A run may end before it has
 * them again: the next one sends what is in the outbox. */
START_TEST(test_who_assigns_streams_takes_all_orders) {
    build_all_kinds();
    nodes[2].role = &assigning_role;
    endless = true;
    turns = 60;
    orders = _i >= 1 ? 20 : 0;
    if (_i == 2) {
        behaviours[0].revocations = 5;
        behaviours[2].broken_batches = 2;
        behaviours[2].broken_commits = 2;
        nodes[2].restart_after_us = 1000;
        nodes[2].restart_attempts = 10;
    }
    assert_runs();
    ck_assert_int_eq(turns, 0);
    ck_assert_int_gt(seen_in[HOST_NODE_PAUSED], 0);
    ck_assert_int_gt(seen_in[HOST_NODE_STOPPED], 0);
    endless = false;
    orders = 0;
    assert_goes_on();
}
END_TEST

/* It has opened once, and does not again: its tasks, or itself. */
static atomic_int openings;

static sl_error *opens_once(const sl_node_context *context, sl_node **out) {
    if (atomic_fetch_add(&openings, 1) > 0) {
        return services->error_new(SL_ERROR_FATAL, "opens no more");
    }
    return world_open(context, out);
}

static sl_error *tasks_open_once(sl_node *node, const sl_task_context *context, sl_task **out) {
    if (atomic_fetch_add(&openings, 1) >= 3) {
        return services->error_new(SL_ERROR_FATAL, "opens no more");
    }
    return world_task_open(node, context, out);
}

START_TEST(test_a_node_that_does_not_open_again_stays_failed) {
    build_all_kinds();
    sl_node_ops ops = sink_node;
    sl_task_ops task_ops = sink_task;
    sl_role role = sink_role;
    if (_i == 0) {
        ops.open = opens_once;
    } else {
        task_ops.open = tasks_open_once;
    }
    role.node = &ops;
    role.task = &task_ops;
    atomic_store(&openings, 0);
    nodes[6].role = &role;
    nodes[6].restart_after_us = 5000;
    nodes[6].restart_attempts = 2;
    behaviours[6].broken_batches = 1;
    assert_fails("opens no more");
    assert_has_each_once(3);
    assert_has_each_once(4);
    nodes[6].role = &sink_role;
    assert_goes_on();
}
END_TEST

/* Whoever feeds what a source reads would wait for it. */
static atomic_int told;

static void tell_drained(sl_node *node) {
    (void)node;
    atomic_fetch_add(&told, 1);
}

START_TEST(test_a_source_that_failed_is_told_the_end_all_the_same) {
    build(&sink_role);
    own_source()->drained = tell_drained;
    behaviours[0].broken_batches = 1;
    atomic_store(&told, 0);
    assert_fails("reads no more");
    ck_assert_int_eq(told, 1);
    nodes[0].role = &source_role;
    assert_goes_on();
}
END_TEST

static atomic_bool job_may_end;
static atomic_int jobs; /* that have come back */

static void long_job(void *arg) {
    const struct timespec pause = {.tv_nsec = 1000000};
    (void)arg;
    while (!atomic_load(&job_may_end)) {
        (void)nanosleep(&pause, NULL);
    }
}

static void count_job(void *arg) {
    (void)arg;
    atomic_fetch_add(&jobs, 1);
}

static void start_with_job(sl_node *node, sl_request *request) {
    atomic_store(&job_may_end, false);
    ck_assert_ptr_null(services->work(node->self, long_job, count_job, NULL));
    world_start(node, request);
}

static void end_job(sl_node *node) {
    (void)node;
    atomic_store(&job_may_end, true);
}

/* At the end of the run, and of a restart. */
START_TEST(test_jobs_that_nobody_needs_are_told_to_end) {
    build(&sink_role);
    sl_node_ops ops = sink_node;
    sl_role role = sink_role;
    ops.start = start_with_job;
    ops.closing = end_job;
    role.node = &ops;
    nodes[4].role = &role;
    nodes[4].restart_after_us = 5000;
    nodes[4].restart_attempts = 2;
    behaviours[4].broken_batches = _i;
    atomic_store(&jobs, 0);
    assert_goes_on();
    ck_assert_int_eq(jobs, 1 + _i);
}
END_TEST

START_TEST(test_what_replays_sees_everything_from_the_beginning_of_a_stream) {
    build(&blocking_sink_role);
    nodes[1].role = &replay_role;
    for (int i = 0; i < 20; i++) {
        behaviours[0].rows = 100 + 40 * i;
        behaviours[1 + i % 4].commits_left = 1 + i / 3;
        behaviours[0].revocations = 2;
        sl_error_free(run());
        behaviours[1 + i % 4].commits_left = -1;
    }
    assert_goes_on();
}
END_TEST

static int64_t rows_seen(size_t node) {
    int64_t rows = 0;
    for (int p = 0; p < PARTITIONS; p++) {
        for (int64_t o = 0; o < behaviours[0].rows; o++) {
            ck_assert_int_le(disk.seen[node][0][p][o], 1);
            rows += disk.seen[node][0][p][o];
        }
    }
    return rows;
}

/* Two slow sinks drop what does not fit; what they have and what they dropped add up, and their
 * positions are at the end. */
/* A source that begins at the end, and whose topic grows. */
static int n_assigned;

static void start_some(sl_node *node, sl_request *request) {
    sl_stream_name topics[PARTITIONS];
    topic_names(topics);
    services->assign(node->self, topics, (size_t)n_assigned);
    services->all_assigned(node->self);
    services->done(request, NULL);
}

static void resolve_at_end(sl_node *node, const sl_stream *stream, int64_t *offset,
                           sl_request *request) {
    (void)stream;
    *offset = node->does->rows;
    services->done(request, NULL);
}

static void tell_bounds(sl_node *node, const sl_stream *stream, int64_t *earliest, int64_t *latest,
                        sl_request *request) {
    (void)stream;
    *earliest = 0;
    *latest = node->does->rows;
    services->done(request, NULL);
}

START_TEST(test_a_partition_that_appears_later_begins_at_its_first_record) {
    build(&sink_role);
    sl_node_ops *ops = own_source();
    ops->start = start_some;
    ops->resolve = resolve_at_end;
    ops->bounds = tell_bounds;
    n_assigned = 2;
    behaviours[0].rows = 300;
    assert_runs(); /* to the end, which it is at */
    n_assigned = PARTITIONS;
    behaviours[0].rows = 500;
    assert_runs();
    assert_has_from(4, 0, 300);
    assert_has_from(4, 1, 300);
    assert_has_from(4, 2, 0);
    assert_has_from(4, 3, 0);
}
END_TEST

/* Reading is about to begin: where it does is durable. */
static void resume_what_is_kept(sl_node *node, const sl_stream *stream, int64_t offset,
                                int64_t position, void **handle, sl_request *request) {
    (void)node;
    (void)stream;
    (void)position;
    (void)handle;
    ck_assert_int_eq(offset, 0);
    pthread_mutex_lock(&disk_lock);
    for (size_t i = 0; i < disk_positions.n; i++) {
        bool is_count = strchr(disk_positions.at[i].key, '#') != NULL;
        ck_assert_msg(is_count || disk_positions.at[i].offset == 0, "%s is at %lld",
                      disk_positions.at[i].key, (long long)disk_positions.at[i].offset);
    }
    pthread_mutex_unlock(&disk_lock);
    services->done(request, NULL);
}

/* The end of what has no record yet is its first offset. After a crash it would be another one. */
START_TEST(test_the_end_of_an_empty_stream_is_kept) {
    build(&sink_role);
    sl_node_ops ops = source_node;
    sl_role role = source_role;
    ops.resolve = resolve_at_end;
    ops.bounds = tell_bounds;
    ops.resume = resume_what_is_kept;
    role.node = &ops;
    nodes[0].role = &role;
    behaviours[0].rows = 0;
    assert_runs();
}
END_TEST

/* A sink that is added to a pipeline begins where it says. */
START_TEST(test_a_new_sink_begins_where_it_says) {
    static const enum topology_start starts[] = {TOPOLOGY_START_EARLIEST, TOPOLOGY_START_LATEST,
                                                 TOPOLOGY_START_WITH_OTHERS, TOPOLOGY_START_SOURCE};
    static const int64_t firsts[] = {0, 500, 300, 0};
    build(&sink_role);
    own_source()->bounds = tell_bounds;
    behaviours[0].rows = 300;
    assert_goes_on();
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(0, 0, BUFFER);
    nodes[5].start = starts[_i];
    behaviours[0].rows = 500;
    assert_runs();
    for (int p = 0; p < PARTITIONS; p++) {
        assert_has_from(5, p, firsts[_i]);
    }
    behaviours[0].rows = 600;
    assert_runs();
    assert_has_from(5, 0, firsts[_i]);
    assert_has_each_once(4);
}
END_TEST

START_TEST(test_a_new_sink_cannot_begin_at_an_end_that_nobody_knows) {
    build(&sink_role);
    assert_goes_on();
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(0, 0, BUFFER);
    nodes[5].start = TOPOLOGY_START_LATEST;
    assert_fails("does not tell where its streams end");
    assert_has_each_once(4);
}
END_TEST

START_TEST(test_what_full_buffers_drop_is_counted) {
    build(&blocking_sink_role);
    behaviours[1].filter = 0;
    behaviours[0].revocations = 3;
    behaviours[0].batch = 20;
    for (size_t n = 2; n < topology.n_nodes; n += 2) {
        edges[n][0].when_full = _i == 0 ? TOPOLOGY_DROP_NEWEST : TOPOLOGY_DROP_OLDEST;
        edges[n][0].buffer_bytes = 4000;
        behaviours[n].flush = BY_TIMER;
        behaviours[n].one_in_pauses = 3;
    }
    assert_runs();
    int64_t emitted = PARTITIONS * behaviours[0].rows;
    ck_assert_int_eq(rows_seen(2) + dropped_rows[2], emitted);
    ck_assert_int_eq(rows_seen(4) + dropped_rows[4], emitted);
    ck_assert_int_gt(dropped_rows[2], 0);
    assert_runs();
    ck_assert_int_eq(dropped_rows[2] + dropped_rows[4], 0);
}
END_TEST

/* ---- branches that leave their streams ---- */

/* Whether the last sink has everything. */
static bool last_sink_is_done(void) {
    bool done = true;
    pthread_mutex_lock(&disk_lock);
    for (int p = 0; p < PARTITIONS; p++) {
        done = done && disk.seen[topology.n_nodes - 1][0][p][behaviours[0].rows - 1] > 0;
    }
    pthread_mutex_unlock(&disk_lock);
    return done;
}

/* A sink that does not flush before the last sink has everything: without `detach` the run would
 * never end. */
static void look_at_last_sink(void *arg) {
    sl_task *task = arg;
    if (task->wake_timer != NULL) {
        services->timer_stop(task->wake_timer);
        task->wake_timer = NULL;
    }
    if (last_sink_is_done()) {
        hand_over(task);
    } else {
        ck_assert_ptr_null(
            services->timer_start(task->self, 1, 0, look_at_last_sink, task, &task->wake_timer));
    }
}

static void blocked_flush(sl_task *task, void **piece, sl_request *request) {
    if (task->flushing == NULL) {
        task->flushing = task->taken;
        task->taken = NULL;
        services->hold(task->self, 0);
    }
    task->request = request;
    task->piece_out = piece;
    look_at_last_sink(task);
}

static void block(size_t node, sl_role *role, sl_task_ops *ops) {
    *ops = sink_task;
    *role = sink_role;
    ops->flush = blocked_flush;
    role->task = ops;
    nodes[node].role = role;
    for (size_t i = 0; i < nodes[node].n_inputs; i++) {
        edges[node][i].when_full = TOPOLOGY_DETACH;
        edges[node][i].buffer_bytes = 3000;
    }
}

/* source → [split →] blocked sink; source → sink */
START_TEST(test_a_blocked_sink_holds_nobody_up) {
    sl_role role;
    sl_task_ops ops;
    build(&sink_role);
    topology.lanes = 1 + (uint32_t)_i % 3;
    block(_i % 2 == 0 ? 2 : 3, &role, &ops);
    behaviours[0].batch = 20;
    behaviours[0].one_in_empty = _i == 5 ? 3 : 0;
    behaviours[1].one_in_pauses = _i >= 3 ? 7 : 0;
    behaviours[1].one_in_retries = _i >= 4 ? 11 : 0;
    assert_goes_on();
    ck_assert_int_gt(detached[_i % 2 == 0 ? 2 : 3], 0);
}
END_TEST

/* source → owner → blocked sink; owner → sink; source → sink */
START_TEST(test_a_blocked_sink_behind_results_holds_nobody_up) {
    sl_role role;
    sl_task_ops ops;
    build_owner();
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(0, 0, BUFFER);
    block(3, &role, &ops);
    topology.lanes = 1 + (uint32_t)_i % 3;
    behaviours[0].batch = 20;
    behaviours[0].one_in_empty = 5;
    nodes[1].commit_interval_us = 1000;
    assert_goes_on();
    ck_assert_int_gt(detached[3], 0);
}
END_TEST

/* It fails with the range that it lost; the other reader of the results has them all. */
START_TEST(test_a_branch_that_its_outbox_has_overtaken_fails_alone) {
    sl_role role;
    sl_task_ops ops;
    build_owner();
    add_node(TOPOLOGY_SINK, &sink_role);
    add_input(0, 0, BUFFER);
    block(3, &role, &ops);
    behaviours[0].batch = 20;
    behaviours[1].outbox_max = 500;
    nodes[1].commit_interval_us = 1000;
    assert_fails("results 0 to ");
    int64_t rows = 0;
    for (int p = 0; p < PARTITIONS; p++) {
        for (int o = 0; o < behaviours[0].rows; o++) {
            rows += disk.seen[2][0][p][o] == 1;
        }
    }
    ck_assert_int_eq(rows, PARTITIONS * behaviours[0].rows);
}
END_TEST

/* A sink that is new, or was stopped for long, does not make the others wait from the start. */
START_TEST(test_a_branch_far_behind_begins_apart) {
    sl_role role;
    sl_task_ops ops;
    build(&sink_role);
    behaviours[2].commits_left = 1;
    sl_error_free(run());
    behaviours[2].commits_left = -1;
    block(2, &role, &ops);
    behaviours[0].rows = 1400;
    assert_goes_on();
    ck_assert_int_ge(detached[2], PARTITIONS);
}
END_TEST

START_TEST(test_streams_leave_while_branches_are_apart) {
    sl_role role;
    sl_task_ops ops;
    build(&blocking_sink_role);
    topology.revoke_timeout_us = 20000;
    block(2, &role, &ops);
    behaviours[0].batch = 7;
    behaviours[0].revocations = 6;
    behaviours[0].lost = _i % 2 == 1;
    behaviours[4].conflicts = 2;
    assert_goes_on();
}
END_TEST

/* Its reader finds that what it needs is gone: the sink fails, and nobody else. */
static sl_error *overtaken_poll(sl_task *task, const sl_stream *stream, size_t max_bytes,
                                sl_poll_state *state) {
    return stream->reader != 0 ? services->error_new(SL_ERROR_FATAL, "records 5 to 7 are gone")
                               : source_poll(task, stream, max_bytes, state);
}

static sl_error *no_resume;
static void failing_resume(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                           void **handle, sl_request *request) {
    (void)node;
    (void)offset;
    (void)position;
    (void)handle;
    services->done(request, stream->reader != 0
                                ? services->error_new(SL_ERROR_FATAL, "no second reader")
                                : no_resume);
}

START_TEST(test_a_branch_that_is_overtaken_fails_alone) {
    sl_role role;
    sl_task_ops ops;
    sl_task_ops poll = source_task;
    sl_node_ops resume = source_node;
    sl_role source = source_role;
    build(&sink_role);
    block(2, &role, &ops);
    poll.poll = _i == 0 ? overtaken_poll : source_poll;
    resume.resume = _i == 0 ? NULL : failing_resume;
    source.task = &poll;
    source.node = &resume;
    nodes[0].role = &source;
    assert_fails(_i == 0 ? "records 5 to 7 are gone" : "no second reader");
    for (int p = 0; p < PARTITIONS; p++) {
        for (int o = 0; o < behaviours[0].rows; o++) {
            ck_assert_int_eq(disk.seen[4][0][p][o], 1);
        }
    }
    nodes[0].role = &source_role;
    assert_goes_on();
}
END_TEST

/* ---- random ---- */

static void run_seed(unsigned seed) {
    random_seed(seed);
    random_topology();
    for (int i = 0; i < 3; i++) {
        topology.lanes = (uint32_t)(1 + below(4));
        random_fate();
        orders = sometimes(5);
        turns = sometimes(20);
        sl_error_free(run());
    }
    orders = sometimes(5);
    turns = 0;
    no_fate();
    assert_goes_on();
}

START_TEST(test_random_topologies) {
    run_seeds(_i, SEEDS, run_seed);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("runtime_flow");
    TCase *flow = tcase_create("flow");
    tcase_set_timeout(flow, 120);
    tcase_add_loop_test(flow, test_streams_leave_and_come_back, 0, 2);
    tcase_add_test(flow, test_more_streams_than_there_is_room_for_come_while_flushes_run);
    tcase_add_test(flow, test_a_signal_ends_a_run_cleanly);
    tcase_add_loop_test(flow, test_a_signal_while_streams_leave, 0, 2);
    tcase_add_loop_test(flow, test_lost_races_while_streams_leave, 0, 2);
    tcase_add_loop_test(flow, test_a_revocation_waits_no_longer_than_its_timeout, 0, 12);
    tcase_add_loop_test(flow, test_a_revocation_does_not_wait_for_a_sink_that_hangs, 0, 2);
    tcase_add_test(flow, test_streams_wait_for_others);
    tcase_add_test(flow, test_nodes_pause);
    tcase_add_loop_test(flow, test_flushes_fail_and_pass, 0, 3);
    tcase_add_loop_test(flow, test_a_flush_fails_for_good, 0, 3);
    tcase_add_test(flow, test_a_node_that_fails_while_paused_holds_nothing_up);
    tcase_add_loop_test(flow, test_a_stream_that_does_not_attach_fails_who_refused_it_alone, 0, 4);
    tcase_add_loop_test(flow, test_a_reader_that_cannot_begin_fails_alone, 0, 2);
    tcase_add_test(flow, test_positions_that_were_moved_meanwhile_are_asked_for_anew);
    tcase_add_loop_test(flow, test_a_node_that_does_not_answer_fails_alone, ASKED_FOR_POSITIONS,
                        ASKED_TO_RESUME + 1);
    tcase_add_loop_test(flow, test_a_node_that_answers_at_last_is_restarted, ASKED_FOR_POSITIONS,
                        ASKED_TO_RESUME + 1);
    tcase_add_test(flow, test_what_was_resumed_for_a_source_that_cannot_begin_is_freed);
    tcase_add_test(flow, test_starts_fail_and_pass);
    tcase_add_test(flow, test_results_arrive_once_whoever_crashes);
    tcase_add_test(flow, test_results_are_cut_at_every_readers_position);
    tcase_add_test(flow, test_a_node_that_needs_everything_waits_for_it);
    tcase_add_test(flow, test_what_has_ended_is_read_by_who_has_waited);
    tcase_add_test(flow, test_results_do_not_wait_for_an_interval);
    tcase_add_loop_test(flow, test_a_race_lost_at_the_end_is_recovered, 0, 7);
    tcase_add_loop_test(flow, test_a_node_that_fails_is_restarted, 0, 7);
    tcase_add_loop_test(flow, test_a_node_that_asks_for_it_is_made_anew, 0, 7);
    tcase_add_loop_test(flow, test_a_node_that_asks_for_it_again_and_again_fails, 0, 7);
    tcase_add_loop_test(flow, test_a_node_that_does_not_start_is_restarted, 0, 14);
    tcase_add_loop_test(flow, test_a_node_that_does_not_start_fails_alone, 0, 2);
    tcase_add_loop_test(flow, test_a_node_that_does_not_start_is_restarted_by_order, 0, 4);
    tcase_add_loop_test(flow, test_a_signal_while_a_node_is_restarted, 0, 2);
    tcase_add_loop_test(flow, test_a_run_ends_if_all_sinks_or_the_source_do_not_start, 0, 4);
    tcase_add_loop_test(flow, test_a_node_that_starts_late_has_it_all, 0, 7);
    tcase_add_loop_test(flow, test_who_assigns_streams_takes_all_orders, 0, 3);
    tcase_add_test(flow, test_a_node_that_fails_for_ever_stays_failed);
    tcase_add_test(flow, test_all_nodes_are_restarted_by_order);
    tcase_add_loop_test(flow, test_all_nodes_are_paused_stopped_and_resumed, 0, 3);
    tcase_add_loop_test(flow, test_a_node_that_does_not_open_again_stays_failed, 0, 2);
    tcase_add_test(flow, test_a_source_that_failed_is_told_the_end_all_the_same);
    tcase_add_loop_test(flow, test_jobs_that_nobody_needs_are_told_to_end, 0, 2);
    tcase_add_test(flow, test_what_replays_sees_everything_from_the_beginning_of_a_stream);
    tcase_add_test(flow, test_a_partition_that_appears_later_begins_at_its_first_record);
    tcase_add_test(flow, test_the_end_of_an_empty_stream_is_kept);
    tcase_add_loop_test(flow, test_a_new_sink_begins_where_it_says, 0, 4);
    tcase_add_test(flow, test_a_new_sink_cannot_begin_at_an_end_that_nobody_knows);
    tcase_add_loop_test(flow, test_what_full_buffers_drop_is_counted, 0, 2);
    suite_add_tcase(suite, flow);
    TCase *branches = tcase_create("branches");
    tcase_set_timeout(branches, 60);
    tcase_add_loop_test(branches, test_a_blocked_sink_holds_nobody_up, 0, 6);
    tcase_add_loop_test(branches, test_a_blocked_sink_behind_results_holds_nobody_up, 0, 3);
    tcase_add_test(branches, test_a_branch_far_behind_begins_apart);
    tcase_add_test(branches, test_a_branch_that_its_outbox_has_overtaken_fails_alone);
    tcase_add_loop_test(branches, test_streams_leave_while_branches_are_apart, 0, 4);
    tcase_add_loop_test(branches, test_a_branch_that_is_overtaken_fails_alone, 0, 2);
    suite_add_tcase(suite, branches);
    TCase *random = tcase_create("random");
    tcase_set_timeout(random, 600);
    tcase_add_loop_test(random, test_random_topologies, 0, 10);
    suite_add_tcase(suite, random);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
