/*
 * Topologies of the world's plugins (host_world.h): making them, running them, and what each sink
 * must have then, computed from the topology.
 */
#ifndef TESTS_HOST_TOPOLOGY_H
#define TESTS_HOST_TOPOLOGY_H

#include "host_world.h"
#include "topology/loader.h"

/* ---- making them ---- */

static struct plugin plugin = {.descriptor = {.name = "test"}, .file = "here"};
static struct topology_node nodes[NODES_MAX];
static struct topology_edge edges[NODES_MAX][INPUTS_MAX];
static char names[NODES_MAX][8];
static char input_names[NODES_MAX][INPUTS_MAX][24];
static struct topology topology;

static void world_reset(void) {
    memset(&disk_positions, 0, sizeof(disk_positions));
    memset(&disk.seen, 0, sizeof(disk.seen));
    memset(&disk.n_outbox, 0, sizeof(disk.n_outbox));
    memset(behaviours, 0, sizeof(behaviours));
    memset(nodes, 0, sizeof(nodes));
    topology = (struct topology){.file = "test.json",
                                 .directory = "/",
                                 .pipeline = "p",
                                 .lanes = 3,
                                 .shutdown_timeout_us = 60000000,
                                 .retry_timeout_us = 60000000,
                                 .revoke_timeout_us = 60000000,
                                 .detach_after_us = 1000,
                                 .nodes = nodes};
}

/* Returns the node's behaviour, for the test to change. */
static struct behaviour *add_node(enum topology_kind kind, const sl_role *role) {
    size_t index = topology.n_nodes++;
    struct behaviour *does = &behaviours[index];
    ck_assert_uint_lt(index, NODES_MAX);
    *does = (struct behaviour){
        .index = index, .seed = index + 1, .rows = 1000, .batch = 50, .commits_left = -1};
    snprintf(names[index], sizeof(names[index]), "n%zu", index);
    nodes[index] = (struct topology_node){.name = names[index],
                                          .kind = kind,
                                          .plugin = &plugin,
                                          .role = role,
                                          .config = does,
                                          .inputs = edges[index],
                                          .commit_interval_us = 5000};
    return does;
}

/* To the node added last. */
static void add_input(size_t from, uint32_t output, int64_t buffer) {
    size_t to = topology.n_nodes - 1;
    struct topology_node *node = &nodes[to];
    char *name = input_names[to][node->n_inputs];
    snprintf(name, sizeof(input_names[0][0]), "n%zu%s", from, output == 1 ? ".rejects" : "");
    edges[to][node->n_inputs++] = (struct topology_edge){
        .from = from, .output = output, .to = to, .name = name, .buffer_bytes = buffer};
}

/* ---- what is expected ---- */

/* How often a row leaves by an output. */
static int expected_out(size_t node, uint32_t output, int64_t id) {
    if (nodes[node].kind == TOPOLOGY_SOURCE) {
        return (size_t)(id >> 48) == node ? 1 : 0;
    }
    int times = 0;
    for (size_t i = 0; i < nodes[node].n_inputs; i++) {
        times += expected_out(edges[node][i].from, edges[node][i].output, id);
    }
    if (nodes[node].role->node == &owner_node || nodes[node].role->node == &assigning_node) {
        return times;
    }
    int filter = behaviours[node].filter;
    bool rejected = filter != 0 && (id & UINT32_MAX) % filter == 0;
    return rejected == (output == 1) ? times : 0;
}

/* What is stored for an input of a sink and a partition: "" (the position), "#records", ... */
static int64_t stored_for(size_t n, size_t input, size_t source, int partition, const char *what) {
    char key[KEY_BYTES];
    snprintf(key, sizeof(key), "sluice/p/%s/%s/%s/topic/%d%s", names[n], edges[n][input].name,
             names[source], partition, what);
    return *stored(key);
}

static bool comes_from(size_t node, size_t source) {
    if (node == source || (nodes[node].role->flags & SL_ROLE_OWNS_STREAMS) != 0) {
        return node == source; /* an owner's results are streams of its own */
    }
    for (size_t i = 0; i < nodes[node].n_inputs; i++) {
        if (comes_from(edges[node][i].from, source)) {
            return true;
        }
    }
    return false;
}

/* The counts that are kept with the positions say how many records lie below, and how many rows of
 * them came in. */
static void assert_accounts(size_t n) {
    for (size_t i = 0; i < nodes[n].n_inputs; i++) {
        for (size_t s = 0; s < SOURCES_MAX && nodes[s].kind == TOPOLOGY_SOURCE; s++) {
            for (int p = 0; comes_from(edges[n][i].from, s) && p < PARTITIONS; p++) {
                int64_t rows = 0;
                for (int64_t o = 0; o < behaviours[s].rows; o++) {
                    rows += expected_out(edges[n][i].from, edges[n][i].output, row_id(s, p, o));
                }
                int64_t counted = stored_for(n, i, s, p, "#rows");
                ck_assert_int_eq(stored_for(n, i, s, p, "#records"), stored_for(n, i, s, p, ""));
                ck_assert_int_eq(counted == SL_OFFSET_NONE ? 0 : counted, rows);
            }
        }
    }
}

/* The sink has every row as often as there are ways to it. */
static void assert_has_each_once(size_t n) {
    for (size_t s = 0; s < SOURCES_MAX; s++) {
        for (int p = 0; nodes[s].kind == TOPOLOGY_SOURCE && p < PARTITIONS; p++) {
            for (int64_t o = 0; o < behaviours[s].rows; o++) {
                int expected = 0;
                for (size_t i = 0; i < nodes[n].n_inputs; i++) {
                    expected += expected_out(edges[n][i].from, edges[n][i].output, row_id(s, p, o));
                }
                ck_assert_msg(disk.seen[n][s][p][o] == expected,
                              "n%zu has partition %d offset %d of n%zu %d times, not %d", n, p,
                              (int)o, s, disk.seen[n][s][p][o], expected);
            }
        }
    }
}

static void assert_each_once(void) {
    for (size_t n = 0; n < topology.n_nodes; n++) {
        if (nodes[n].kind == TOPOLOGY_SINK) {
            assert_has_each_once(n);
            if ((nodes[n].role->flags & SL_ROLE_COUNTS) != 0) {
                assert_accounts(n);
            }
        }
    }
}

/* ---- runs ---- */

static int64_t path_bytes;
static int64_t dropped_rows[NODES_MAX]; /* of the last run, by full buffers */
static int64_t detached[NODES_MAX];     /* how often branches to the node left their streams */

static struct host *running;
static int orders; /* restarts that are still to be given, of all nodes in turn */
static int turns;  /* the same of pausing, stopping and resuming; at last all are resumed */
static bool turned;
static void (*at_report)(const struct host_snapshot *snapshot); /* of a run that has begun */
static bool endless;                       /* the run waits for those that are paused */
static int seen_in[HOST_NODE_STOPPED + 1]; /* nodes, by state, in all reports of the run */

static void began(void *arg, struct host *host) {
    (void)arg;
    running = host;
}

static void give_turn(void) {
    if (turns == 0) {
        for (size_t n = 0; n < topology.n_nodes && turned; n++) {
            sl_error_free(host_resume_node(running, names[n]));
        }
        return;
    }
    const char *name = names[(size_t)(turns * 5) % topology.n_nodes];
    sl_error *error = turns % 3 == 0   ? host_resume_node(running, name)
                      : turns % 3 == 1 ? host_pause_node(running, name)
                                       : host_stop_node(running, name);
    /* a reload may have removed it */
    ck_assert(error == NULL || sl_error_is(error, SL_ERROR_CONFLICT) ||
              sl_error_is(error, SL_ERROR_CONFIG));
    sl_error_free(error);
    turned = true;
    turns--;
}

static void progress(void *arg, const struct host_snapshot *snapshot, bool last) {
    (void)arg;
    if (running != NULL && !last) {
        give_turn();
        if (at_report != NULL) {
            at_report(snapshot);
        }
    }
    for (size_t n = 0; n < snapshot->n_nodes; n++) {
        const char *failure = snapshot->nodes[n].failure;
        seen_in[snapshot->nodes[n].state]++;
        ck_assert_msg(failure == NULL || strstr(failure, "have not come to input") == NULL, "%s",
                      failure);
    }
    if (running != NULL && !last && orders > 0) {
        sl_error_free(host_restart_node(running, names[(size_t)orders-- % topology.n_nodes]));
    }
    path_bytes = last ? snapshot->path_bytes : path_bytes;
    for (size_t n = 0; last && n < snapshot->n_nodes; n++) {
        dropped_rows[n] = detached[n] = 0;
        for (size_t i = 0; i < snapshot->nodes[n].n_inputs; i++) {
            dropped_rows[n] += snapshot->nodes[n].inputs[i].dropped_rows;
            detached[n] += snapshot->nodes[n].inputs[i].detached_times;
        }
    }
}

static sl_error *run(void) {
    struct host_outcome outcome = {.left_bytes = 0};
    const struct host_options options = {.outcome = &outcome,
                                         .until_end = !endless,
                                         .progress = progress,
                                         .progress_interval_ms = 3,
                                         .began = began};
    running = NULL;
    turned = false;
    memset(seen_in, 0, sizeof(seen_in));
    sl_error *error = host_run(&topology, &options);
    ck_assert_int_eq(atomic_load(&handles), 0);
    ck_assert_int_eq(outcome.left_bytes, 0);
    return error;
}

static void assert_runs(void) {
    sl_error *error = run();
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
    ck_assert_int_eq(path_bytes, 0);
}

#endif /* TESTS_HOST_TOPOLOGY_H */
