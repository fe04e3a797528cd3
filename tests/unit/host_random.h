/* Random topologies of the host's world, and random fates of their runs; each seed gives its own.
 */
#ifndef TESTS_HOST_RANDOM_H
#define TESTS_HOST_RANDOM_H

#include "host_topology.h"

static uint64_t random_state;

static int below(int n) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int)(random_state % (uint64_t)n);
}

static int sometimes(int n) {
    return below(3) == 0 ? 1 + below(n) : 0;
}

static bool has_input(size_t to, size_t from, uint32_t output) {
    for (size_t i = 0; i < nodes[to].n_inputs; i++) {
        if (edges[to][i].from == from && edges[to][i].output == output) {
            return true;
        }
    }
    return false;
}

static void random_input(size_t n_before) {
    size_t from = (size_t)below((int)n_before);
    uint32_t output = nodes[from].role->outputs != NULL && below(2) == 0 ? 1 : 0;
    size_t to = topology.n_nodes - 1;
    if (!has_input(to, from, output)) {
        add_input(from, output, below(2) == 0 ? 500 + below(5000) : 1 << 20);
        bool detach = below(2) == 0;
        edges[to][nodes[to].n_inputs - 1].when_full = detach ? TOPOLOGY_DETACH : TOPOLOGY_BLOCK;
    }
}

static void random_behaviour(struct behaviour *does) {
    does->seed = (uint64_t)below(1 << 30);
    does->flush = (enum slowness)below(3);
    does->one_in_pauses = below(3) == 0 ? 5 + below(50) : 0;
    does->one_in_holds = below(3) == 0 ? 5 + below(50) : 0;
    does->one_in_retries = below(6) == 0 ? 20 + below(50) : 0;
    does->failing_flushes = sometimes(2);
    does->failing_commits = sometimes(2);
    does->failing_resumes = sometimes(2);
    does->filter = below(3) == 0 ? 0 : 1 + below(5);
    nodes[does->index].commit_interval_us = 1 + below(20000);
    nodes[does->index].restart_after_us = below(2) == 0 ? 1 + below(20000) : 0;
    nodes[does->index].restart_attempts = 6;
}

static void random_topology(void) {
    static const sl_role *const transforms[] = {&split_role, &replay_role, &owner_role,
                                                &whole_role};
    world_reset();
    topology.lanes = (uint32_t)(1 + below(4));
    topology.detach_after_us = below(2) == 0 ? 0 : below(5000);
    topology.memory_max_bytes = below(4) == 0 ? 5000 + below(20000) : 0;
    topology.revoke_timeout_us = below(3) == 0 ? below(10000) : 60000000;
    int n_sources = 1 + below(SOURCES_MAX);
    for (int i = 0; i < n_sources; i++) {
        struct behaviour *does = add_node(TOPOLOGY_SOURCE, &source_role);
        does->rows = 100 + below(400);
        does->batch = 1 + below(100);
        does->one_in_empty = below(2) == 0 ? 2 + below(10) : 0;
        does->lost = below(2) == 0;
        does->tells_missing = below(2) == 0;
        does->seed = (uint64_t)below(1000);
    }
    int n_transforms = below(5);
    int n_sinks = 1 + below(4);
    for (int i = 0; i < n_transforms + n_sinks; i++) {
        bool sink = i >= n_transforms;
        const sl_role *role =
            sink ? (below(2) == 0 ? &sink_role : &blocking_sink_role) : transforms[below(4)];
        size_t before = (size_t)(n_sources + (sink ? n_transforms : i));
        random_behaviour(add_node(sink ? TOPOLOGY_SINK : TOPOLOGY_TRANSFORM, role));
        for (uint32_t input = 0; input < 1 + (uint32_t)below((int)role->max_inputs); input++) {
            random_input(before);
        }
    }
}

/* What happens to one run: nothing, a signal, a node that breaks; streams that leave. */
static void random_fate(void) {
    for (size_t n = 0; n < topology.n_nodes; n++) {
        behaviours[n].commits_left = -1;
        behaviours[n].signal_after = 0;
        behaviours[n].conflicts = sometimes(3);
        behaviours[n].late_conflicts = sometimes(2);
        behaviours[n].applied = below(2) == 0;
        behaviours[n].broken_batches = sometimes(2);
        behaviours[n].broken_commits = sometimes(2);
        behaviours[n].failing_starts = below(12) == 0;
        behaviours[n].passing_starts = below(12) == 0;
        behaviours[n].failing_tasks = below(12) == 0;
        if (nodes[n].kind == TOPOLOGY_SOURCE) {
            behaviours[n].revocations = sometimes(5);
        }
    }
    size_t victim = (size_t)below((int)topology.n_nodes);
    if (below(3) == 0) {
        behaviours[0].signal_after = 1 + below(50);
    } else if (nodes[victim].kind != TOPOLOGY_SOURCE) {
        behaviours[victim].commits_left = below(6);
    }
}

static void random_seed(unsigned seed) {
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < 8; i++) {
        below(2);
    }
}

/* No run ends before all is done. */
static void no_fate(void) {
    topology.revoke_timeout_us = 60000000; /* nothing is dropped while the run ends */
    for (size_t n = 0; n < topology.n_nodes; n++) {
        behaviours[n].broken_batches = behaviours[n].broken_commits = 0;
        behaviours[n].failing_starts = behaviours[n].failing_tasks = 0;
        behaviours[n].passing_starts = 0;
        behaviours[n].commits_left = -1;
        behaviours[n].signal_after = 0;
        behaviours[n].conflicts = sometimes(2); /* these are got over within the run */
        behaviours[n].late_conflicts = sometimes(2);
    }
}

static int number(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : atoi(text);
}

/* For one of ten tests, so that each seed's failure is near its seed's number: its tenth of
 * SLUICE_SEEDS (`otherwise`) seeds, or SLUICE_SEED alone. */
static void run_seeds(int tenth, int otherwise, void (*run_seed)(unsigned seed)) {
    int only = number("SLUICE_SEED", -1);
    for (int seed = tenth; only < 0 && seed < number("SLUICE_SEEDS", otherwise); seed += 10) {
        printf("seed %d\n", seed);
        fflush(stdout);
        run_seed((unsigned)seed);
    }
    if (only >= 0 && tenth == 0) {
        run_seed((unsigned)only);
    }
}

#endif /* TESTS_HOST_RANDOM_H */
