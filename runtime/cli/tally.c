/* Sums over a snapshot (see tally.h). */
#include "cli/tally.h"

#include "topology/keys.h"

int64_t tally_taken(const struct snapshot_node *node) {
    int64_t rows = 0;
    for (size_t i = 0; i < node->n_inputs; i++) {
        rows += node->inputs[i].rows;
    }
    return rows;
}

int64_t tally_given(const struct snapshot_node *node) {
    int64_t rows = 0;
    for (size_t i = 0; i < node->n_outputs; i++) {
        rows += node->outputs[i].rows;
    }
    return rows;
}

int64_t tally_read(const struct host_snapshot *s) {
    int64_t rows = 0;
    for (size_t i = 0; i < s->n_nodes; i++) {
        rows += s->nodes[i].kind == TOPOLOGY_SOURCE ? tally_given(&s->nodes[i]) : 0;
    }
    return rows;
}

int64_t tally_per_second(int64_t rows, int64_t us) {
    return us > 0 ? (int64_t)((double)rows * 1e6 / (double)us) : 0;
}
