/* Rows a second (see rates.h): a ring of samples for each edge. */
#include "host/rates.h"

#include "host/run.h"

#include <stdlib.h>

static int64_t relaxed(const _Atomic int64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

sl_error *rates_init(struct host_node *node) {
    node->input_rates = calloc(node->spec->n_inputs + 1, sizeof(*node->input_rates));
    node->output_rates = calloc(topology_node_outputs(node->spec) + 1, sizeof(*node->output_rates));
    bool short_of_memory = node->input_rates == NULL || node->output_rates == NULL;
    return short_of_memory ? sl_error_no_memory() : NULL;
}

void rates_free(struct host_node *node) {
    free(node->input_rates);
    free(node->output_rates);
}

static void sample_node(struct host_node *node, size_t turn) {
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        int64_t rows = 0;
        for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
            rows += relaxed(&node->tasks[lane].inputs[i].rows);
        }
        node->input_rates[i].rows[turn] = rows;
    }
    for (size_t o = 0; o < topology_node_outputs(node->spec); o++) {
        int64_t rows = 0;
        for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
            rows += relaxed(&node->tasks[lane].rows_out[o]);
        }
        node->output_rates[o].rows[turn] = rows;
    }
}

void rates_sample(struct host *host) {
    struct rate_times *times = &host->rate_times;
    size_t turn = times->n % RATE_SAMPLES;
    for (size_t n = 0; n < host->n_nodes; n++) {
        sample_node(host->nodes[n], turn);
    }
    times->us[turn] = sl_monotonic_us();
    times->n++;
}

double rate_per_second(const struct rate_times *times, const struct rate *rate) {
    if (times->n < 2) {
        return 0;
    }
    size_t newest = (times->n - 1) % RATE_SAMPLES;
    size_t oldest = times->n < RATE_SAMPLES ? 0 : times->n % RATE_SAMPLES;
    int64_t rows = rate->rows[newest] - rate->rows[oldest];
    int64_t us = times->us[newest] - times->us[oldest];
    return rows > 0 && us > 0 ? (double)rows * 1e6 / (double)us : 0;
}
