/* Sums the counters of all lanes into the plain data of snapshot.h. */
#include "host/snapshot_take.h"

#include "delivery/cycle.h"
#include "delivery/stream.h"
#include "host/network.h"
#include "lane/branch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int64_t relaxed(const _Atomic int64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* One lane's part of an input. */
static void add_edge(const struct lane_edge *edge, int64_t now, struct snapshot_input *input) {
    input->rows += relaxed(&edge->rows);
    input->batches += relaxed(&edge->batches);
    input->bytes += relaxed(&edge->bytes);
    input->replayed_rows += relaxed(&edge->replayed_rows);
    input->dropped_rows += relaxed(&edge->dropped_rows);
    input->detached_times += relaxed(&edge->detached_times);
    input->buffer_bytes += relaxed(&edge->fill_bytes);
    input->waiting_rows += relaxed(&edge->waiting_rows);
    int64_t oldest = relaxed(&edge->oldest_us);
    if (oldest != 0 && now - oldest > input->oldest_us) {
        input->oldest_us = now - oldest;
    }
    int64_t since = relaxed(&edge->full_since_us);
    int64_t full = relaxed(&edge->full_us) + (since != 0 ? now - since : 0);
    input->full_us = full > input->full_us ? full : input->full_us;
    input->is_full = input->is_full || since != 0;
}

static void add_branches(const struct host *host, size_t edge, struct snapshot_input *input) {
    for (size_t s = 0; s < host->n_streams; s++) {
        const struct stream *stream = host->streams[s];
        const struct branch *branch = stream->branch_by_edge == NULL || !stream_is_on(stream, edge)
                                          ? NULL
                                          : stream->branch_by_edge[edge];
        if (branch != NULL) {
            bool apart = atomic_load_explicit(&branch->is_apart, memory_order_relaxed);
            input->detached += apart ? 1 : 0;
            input->behind += apart ? relaxed(&branch->behind) : 0;
        }
    }
}

/* Whose streams flow over a full edge. */
static bool take_held_back(const struct host *host, size_t edge, struct snapshot_input *input) {
    const char **names = calloc(host->n_nodes + 1, sizeof(const char *));
    if (names == NULL) {
        return false;
    }
    size_t n = 0;
    for (size_t s = 0; s < host->n_streams; s++) {
        const struct stream *stream = host->streams[s];
        const char *name = stream->pub.source;
        bool known = stream->state != STREAM_RUNNING || !stream_is_on(stream, edge);
        for (size_t i = 0; i < n && !known; i++) {
            known = names[i] == name;
        }
        if (!known) {
            names[n++] = name;
        }
    }
    input->holds_back = names;
    input->n_holds_back = n;
    return true;
}

static bool take_inputs(const struct host_node *node, struct snapshot_node *out) {
    struct snapshot_input *inputs = calloc(node->spec->n_inputs + 1, sizeof(*inputs));
    if (inputs == NULL) {
        return false;
    }
    int64_t now = sl_monotonic_us();
    bool whole = true;
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        inputs[i].name = node->spec->inputs[i].name;
        inputs[i].buffer_limit_bytes = node->spec->inputs[i].buffer_bytes;
        inputs[i].oldest_us = -1;
        for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
            add_edge(&node->tasks[lane].inputs[i], now, &inputs[i]);
        }
        inputs[i].rows_per_s = rate_per_second(&node->host->rate_times, &node->input_rates[i]);
        add_branches(node->host, node->tasks[0].inputs[i].index, &inputs[i]);
        bool holds = inputs[i].is_full && !atomic_load(&node->failed) &&
                     node->spec->inputs[i].when_full == TOPOLOGY_BLOCK;
        if (holds && !take_held_back(node->host, node->tasks[0].inputs[i].index, &inputs[i])) {
            whole = false;
        }
    }
    out->inputs = inputs;
    out->n_inputs = node->spec->n_inputs;
    return whole;
}

static bool take_outputs(const struct host_node *node, struct snapshot_node *out) {
    struct snapshot_output *outputs = calloc(node->opened->n_outputs + 1, sizeof(*outputs));
    if (outputs == NULL) {
        return false;
    }
    for (size_t o = 0; o < node->opened->n_outputs; o++) {
        outputs[o].name = node->opened->output_names[o];
        outputs[o].rows_per_s = rate_per_second(&node->host->rate_times, &node->output_rates[o]);
        for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
            outputs[o].rows += relaxed(&node->tasks[lane].rows_out[o]);
            outputs[o].batches += relaxed(&node->tasks[lane].batches_out[o]);
            outputs[o].memory_bytes += relaxed(&node->tasks[lane].bytes_out[o]);
        }
    }
    out->outputs = outputs;
    out->n_outputs = node->opened->n_outputs;
    return true;
}

static bool take_dropped(const struct host_node *node, struct snapshot_node *out) {
    struct snapshot_dropped *dropped = calloc(DROPPED_REASONS_MAX + 1, sizeof(*dropped));
    if (dropped == NULL) {
        return false;
    }
    size_t n = 0;
    for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
        for (size_t i = 0; i < DROPPED_REASONS_MAX; i++) {
            const struct dropped_rows *from = &node->tasks[lane].dropped[i];
            const char *reason = atomic_load(&from->reason);
            if (reason == NULL) {
                break;
            }
            size_t at = 0;
            while (at < n && strcmp(dropped[at].reason, reason) != 0) {
                at++;
            }
            if (at == n) {
                if (n == DROPPED_REASONS_MAX) {
                    continue;
                }
                dropped[n++].reason = reason;
            }
            dropped[at].rows += relaxed(&from->rows);
        }
    }
    out->dropped = dropped;
    out->n_dropped = n;
    return true;
}

/* Reasons are copied by no one: a lane's place for one stays as it is. */
static bool take_rejected(const struct host_node *node, struct snapshot_node *out) {
    size_t room = (size_t)node->host->n_lanes * REJECTED_REASONS_MAX;
    struct snapshot_dropped *rejected = calloc(room + 1, sizeof(*rejected));
    if (rejected == NULL) {
        return false;
    }
    size_t n = 0;
    for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
        const struct lane_task *task = &node->tasks[lane];
        size_t n_here = atomic_load_explicit(&task->n_rejected, memory_order_acquire);
        for (size_t i = 0; i < n_here; i++) {
            size_t at = 0;
            while (at < n && strcmp(rejected[at].reason, task->rejected[i].reason) != 0) {
                at++;
            }
            rejected[at].reason = task->rejected[i].reason;
            rejected[at].rows += relaxed(&task->rejected[i].rows);
            n = at < n ? n : n + 1;
        }
    }
    out->rejected = rejected;
    out->n_rejected = n;
    return true;
}

static size_t count_metrics(const sl_object *object) {
    size_t n = 0;
    for (const sl_metric *m = atomic_load(&object->metrics); m != NULL; m = m->next) {
        n++;
    }
    return n;
}

static void add_metrics(const sl_object *object, struct snapshot_metric *metrics, size_t *n,
                        size_t room) {
    for (const sl_metric *m = atomic_load(&object->metrics); m != NULL; m = m->next) {
        size_t at = 0;
        while (at < *n && strcmp(metrics[at].name, m->name) != 0) {
            at++;
        }
        if (at == *n) {
            if (*n == room) {
                continue;
            }
            metrics[(*n)++] =
                (struct snapshot_metric){m->name, m->help, m->kind == SL_METRIC_GAUGE, 0};
        }
        metrics[at].value += relaxed(&m->value);
    }
}

static bool take_metrics(const struct host_node *node, struct snapshot_node *out) {
    size_t room = count_metrics(&node->object);
    for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
        room += count_metrics(&node->tasks[lane].object);
    }
    struct snapshot_metric *metrics = calloc(room + 1, sizeof(*metrics));
    if (metrics == NULL) {
        return false;
    }
    size_t n = 0;
    add_metrics(&node->object, metrics, &n, room);
    for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
        add_metrics(&node->tasks[lane].object, metrics, &n, room);
    }
    /* objects keep the newest first; here they stand as the plugin made them */
    for (size_t i = 0; i < n / 2; i++) {
        struct snapshot_metric metric = metrics[i];
        metrics[i] = metrics[n - 1 - i];
        metrics[n - 1 - i] = metric;
    }
    out->metrics = metrics;
    out->n_metrics = n;
    return true;
}

static int64_t percentile(const struct cycle *cycle, int64_t total, int64_t per_mille) {
    int64_t wanted = (total * per_mille + 999) / 1000;
    int64_t seen = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += cycle->latency_histogram[i];
        if (seen >= wanted) {
            int64_t bound = cycle_latency_bound_us(i);
            return bound < cycle->latency_max_us ? bound : cycle->latency_max_us;
        }
    }
    return cycle->latency_max_us;
}

static void take_cycle(const struct host_node *node, struct snapshot_node *out) {
    const struct cycle *cycle = &node->cycle;
    int64_t total = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        total += cycle->latency_histogram[i];
    }
    out->commits = cycle->commits;
    out->commit_retries = cycle->retries;
    out->latency_p50_us = total == 0 ? -1 : percentile(cycle, total, 500);
    out->latency_p99_us = total == 0 ? -1 : percentile(cycle, total, 990);
    out->latency_max_us = total == 0 ? -1 : cycle->latency_max_us;
    out->durable_rows = cycle->durable_histogram;
    out->durable_sum_s = cycle->durable_sum_s;
}

static bool take_node(const struct host_node *node, struct snapshot_node *out) {
    out->name = node->spec->name;
    out->plugin = node->spec->plugin->descriptor.name;
    out->kind = (int)node->spec->kind;
    out->state = node->state;
    out->failure = node->failure != NULL ? sl_error_message(node->failure) : NULL;
    out->streams = (int64_t)node->n_streams;
    out->restarts = node->restart.succeeded;
    out->failures = node->failures;
    out->age_us = out->lag = -1;
    out->cpu_us = relaxed(&node->object.cpu_us);
    for (uint32_t lane = 0; lane < node->host->n_lanes; lane++) {
        out->cpu_us += relaxed(&node->tasks[lane].object.cpu_us);
        out->process_retries += relaxed(&node->tasks[lane].retries);
        int64_t age_us = relaxed(&node->tasks[lane].age_us);
        out->age_us = age_us > out->age_us ? age_us : out->age_us;
    }
    take_cycle(node, out);
    return take_inputs(node, out) && take_outputs(node, out) && take_dropped(node, out) &&
           take_rejected(node, out) && take_metrics(node, out) &&
           snapshot_take_partitions(node, out);
}

static bool take_vitals(const struct host *host, struct host_snapshot *out) {
    int64_t *lags_us = calloc(host->n_lanes + 1, sizeof(*lags_us));
    for (uint32_t lane = 0; lags_us != NULL && lane < host->n_lanes; lane++) {
        lags_us[lane] = loop_lag_us(&host->lanes[lane].loop);
    }
    out->control_lag_us = host->vitals.control_lag_us;
    out->lane_lags_us = lags_us;
    out->disk_free_bytes = host->vitals.has_disk ? host->vitals.disk_free_bytes : -1;
    out->disk_bytes = host->vitals.has_disk ? host->vitals.disk_bytes : -1;
    return lags_us != NULL;
}

static int64_t timeval_us(struct timeval time) {
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

static int64_t resident_bytes(void) {
    FILE *statm = fopen("/proc/self/statm", "r");
    long pages = 0;
    if (statm != NULL) {
        if (fscanf(statm, "%*s %ld", &pages) != 1) {
            pages = 0;
        }
        fclose(statm);
    }
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static bool take_http(const struct host *host, struct host_snapshot *out) {
    struct snapshot_http *http = NULL;
    bool whole = network_counts(host->network, &http, &out->n_http);
    out->http = http;
    return whole;
}

bool snapshot_take(struct host *host, struct host_snapshot *out) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    *out = (struct host_snapshot){
        .elapsed_us = sl_monotonic_us() - host->started_us,
        .cpu_user_us = timeval_us(usage.ru_utime),
        .cpu_system_us = timeval_us(usage.ru_stime),
        .rss_bytes = resident_bytes(),
        .peak_rss_bytes = (int64_t)usage.ru_maxrss * 1024,
        .path_bytes = relaxed(&host->memory_bytes),
        .lanes = host->n_lanes,
        .until_end = host->options->until_end,
        .draining = host->draining,
    };
    struct snapshot_node *nodes = calloc(host->n_nodes + 1, sizeof(*nodes));
    if (nodes == NULL) {
        return false;
    }
    out->nodes = nodes;
    out->n_nodes = host->n_nodes;
    bool whole =
        snapshot_take_accounts(host, out) && take_http(host, out) && take_vitals(host, out);
    for (size_t n = 0; n < host->n_nodes && whole; n++) {
        whole = take_node(host->nodes[n], &nodes[n]);
    }
    if (!whole) {
        snapshot_free(out);
    }
    return whole;
}

void snapshot_free(struct host_snapshot *snapshot) {
    struct snapshot_node *nodes = (struct snapshot_node *)(uintptr_t)snapshot->nodes;
    for (size_t n = 0; nodes != NULL && n < snapshot->n_nodes; n++) {
        for (size_t i = 0; i < nodes[n].n_inputs; i++) {
            free((void *)(uintptr_t)nodes[n].inputs[i].holds_back);
        }
        free((void *)(uintptr_t)nodes[n].inputs);
        free((void *)(uintptr_t)nodes[n].outputs);
        free((void *)(uintptr_t)nodes[n].dropped);
        free((void *)(uintptr_t)nodes[n].rejected);
        free((void *)(uintptr_t)nodes[n].metrics);
        free((void *)(uintptr_t)nodes[n].partitions);
    }
    free(nodes);
    free((void *)(uintptr_t)snapshot->http);
    free((void *)(uintptr_t)snapshot->lane_lags_us);
    snapshot->lane_lags_us = NULL;
    snapshot->nodes = NULL;
    snapshot->http = NULL;
    snapshot_free_accounts(snapshot);
}
