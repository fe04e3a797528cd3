/*
 * /metrics: Prometheus' text exposition format, version 0.0.4, or OpenMetrics 1.0 for who prefers
 * it. A family is written whole, for all nodes, since its HELP and TYPE may stand only once. Times
 * are seconds, sizes bytes.
 */
#include "admin/accept.h"
#include "admin/handlers.h"
#include "admin/view/credentials.h"
#include "delivery/cycle.h"
#include "host/snapshot_take.h"
#include "lane/tap.h"
#include "report/snapshot_json.h"
#include "topology/keys.h"

#include <inttypes.h>

struct page {
    sl_buffer *out;
    const struct host_snapshot *snapshot;
    bool open_metrics;
    int64_t tap_cpu_us;
};

/* OpenMetrics calls a counter's family without the end that its samples have. */
static void family(const struct page *page, const char *name, const char *type, const char *help) {
    static const char end[] = "_total";
    size_t bytes = strlen(name);
    const size_t end_bytes = sizeof(end) - 1;
    if (page->open_metrics && strcmp(type, "counter") == 0 && bytes > end_bytes &&
        strcmp(name + bytes - end_bytes, end) == 0) {
        bytes -= end_bytes;
    }
    sl_buffer_printf(page->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)bytes, name, help,
                     (int)bytes, name, type);
}

/* A label's value: backslash, quote and line feed are escaped. */
static void label(const struct page *page, const char *separator, const char *name,
                  const char *value) {
    sl_buffer_printf(page->out, "%s%s=\"", separator, name);
    for (const char *p = value; *p != 0; p++) {
        if (*p == '\\' || *p == '"') {
            sl_buffer_append_byte(page->out, '\\');
        }
        sl_buffer_append_byte(page->out, (uint8_t)(*p == '\n' ? ' ' : *p));
    }
    sl_buffer_append_byte(page->out, '"');
}

static void seconds(const struct page *page, int64_t us) {
    sl_buffer_printf(page->out, "%" PRId64 ".%06" PRId64, us / 1000000, us % 1000000);
}

/* ---- the process ---- */

static void one(const struct page *page, const char *name, const char *type, const char *help,
                int64_t value) {
    family(page, name, type, help);
    sl_buffer_printf(page->out, "%s %" PRId64 "\n", name, value);
}

static void one_time(const struct page *page, const char *name, const char *type, const char *help,
                     int64_t us) {
    family(page, name, type, help);
    sl_buffer_printf(page->out, "%s ", name);
    seconds(page, us);
    sl_buffer_append_byte(page->out, '\n');
}

static void write_process(const struct page *page) {
    const struct host_snapshot *s = page->snapshot;
    family(page, "sluice_build_info", "gauge", "the version that runs");
    sl_buffer_printf(page->out, "sluice_build_info{version=\"%s\"} 1\n", SL_VERSION);
    one_time(page, "sluice_uptime_seconds", "gauge", "since the run began", s->elapsed_us);
    one_time(page, "process_cpu_seconds_total", "counter", "user and system time",
             s->cpu_user_us + s->cpu_system_us);
    one(page, "process_resident_memory_bytes", "gauge", "memory in RAM", s->rss_bytes);
    one(page, "sluice_memory_path_bytes", "gauge",
        "memory of batches and of what tasks hold, which memory.max bounds", s->path_bytes);
    one_time(page, "sluice_tap_cpu_seconds_total", "counter",
             "CPU time that lanes have spent on showing rows", page->tap_cpu_us);
    one(page, "sluice_lanes", "gauge", "threads that move data", s->lanes);
    if (s->disk_free_bytes >= 0) {
        one(page, "sluice_state_disk_free_bytes", "gauge", "room on the disk of the state",
            s->disk_free_bytes);
        one(page, "sluice_state_disk_bytes", "gauge", "size of the disk of the state",
            s->disk_bytes);
    }
    family(page, "sluice_loop_lag_seconds", "gauge",
           "how late a loop was, a second ago at most, with what it had to do");
    for (uint32_t i = 0; i <= s->lanes; i++) {
        char loop[24];
        (void)snprintf(loop, sizeof(loop), i == 0 ? "control" : "lane-%u", i - 1);
        sl_buffer_append_text(page->out, "sluice_loop_lag_seconds");
        label(page, "{", "loop", loop);
        sl_buffer_append_text(page->out, "} ");
        seconds(page, i == 0 ? s->control_lag_us : s->lane_lags_us[i - 1]);
        sl_buffer_append_byte(page->out, '\n');
    }
}

struct expiries {
    const struct page *page;
    bool any;
};

static void write_expiry(void *arg, const char *credential, int64_t expires_s) {
    struct expiries *expiries = arg;
    const struct page *page = expiries->page;
    const char *name = "sluice_credential_expires_timestamp_seconds";
    if (!expiries->any) {
        family(page, name, "gauge", "when a credential ends that sluice cannot renew, Unix time");
        expiries->any = true;
    }
    sl_buffer_append_text(page->out, name);
    label(page, "{", "credential", credential);
    sl_buffer_printf(page->out, "} %" PRId64 "\n", expires_s);
}

/* ---- nodes ---- */

typedef int64_t (*node_value)(const struct snapshot_node *node);

static void node_labels(const struct page *page, const char *name,
                        const struct snapshot_node *node) {
    sl_buffer_printf(page->out, "%s", name);
    label(page, "{", "node", node->name);
    sl_buffer_append_text(page->out, "} ");
}

static void per_node(const struct page *page, const char *name, const char *type, const char *help,
                     node_value value, bool is_time) {
    family(page, name, type, help);
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        node_labels(page, name, node);
        if (is_time) {
            seconds(page, value(node));
        } else {
            sl_buffer_printf(page->out, "%" PRId64, value(node));
        }
        sl_buffer_append_byte(page->out, '\n');
    }
}

static int64_t node_streams(const struct snapshot_node *node) {
    return node->streams;
}
static int64_t node_cpu(const struct snapshot_node *node) {
    return node->cpu_us;
}
static int64_t node_commits(const struct snapshot_node *node) {
    return node->commits;
}
static int64_t node_retries(const struct snapshot_node *node) {
    return node->commit_retries;
}
static int64_t node_process_retries(const struct snapshot_node *node) {
    return node->process_retries;
}
static int64_t node_failures(const struct snapshot_node *node) {
    return node->failures;
}
static int64_t node_restarts(const struct snapshot_node *node) {
    return node->restarts;
}

static void write_states(const struct page *page) {
    family(page, "sluice_node_info", "gauge", "what each node is, and its state");
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        sl_buffer_append_text(page->out, "sluice_node_info");
        label(page, "{", "node", node->name);
        label(page, ",", "kind", topology_kind_name((enum topology_kind)node->kind));
        label(page, ",", "plugin", node->plugin);
        label(page, ",", "state", snapshot_state_name(node->state));
        sl_buffer_append_text(page->out, "} 1\n");
    }
    family(page, "sluice_node_failed", "gauge", "1: the node is FAILED");
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        node_labels(page, "sluice_node_failed", node);
        sl_buffer_printf(page->out, "%d\n", node->state == HOST_NODE_FAILED);
    }
}

static void write_latencies(const struct page *page) {
    family(page, "sluice_commit_latency_seconds", "summary",
           "from the moment a record was read to the moment its commit was durable, of this run");
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        const struct {
            const char *quantile;
            int64_t us;
        } values[] = {{"0.5", node->latency_p50_us}, {"0.99", node->latency_p99_us}};
        for (size_t i = 0; i < SL_ARRAY_LENGTH(values) && values[i].us >= 0; i++) {
            sl_buffer_append_text(page->out, "sluice_commit_latency_seconds");
            label(page, "{", "node", node->name);
            label(page, ",", "quantile", values[i].quantile);
            sl_buffer_append_text(page->out, "} ");
            seconds(page, values[i].us);
            sl_buffer_append_byte(page->out, '\n');
        }
    }
}

/* From the record's own timestamp to its durable commit. Bounds are whole octaves, which the
 * cycle's buckets have, too. */
static void write_histogram(const struct page *page, const struct snapshot_node *node) {
    const char *const name = "sluice_durable_latency_seconds";
    int64_t rows = 0;
    size_t bucket = 0;
    for (size_t i = 23; i < LATENCY_BUCKETS; i += 12) {
        while (bucket <= i) {
            rows += node->durable_rows[bucket++];
        }
        sl_buffer_printf(page->out, "%s_bucket", name);
        label(page, "{", "node", node->name);
        sl_buffer_printf(page->out, ",le=\"%g\"} %" PRId64 "\n",
                         (double)cycle_latency_bound_us(i) / 1e6, rows);
    }
    while (bucket < LATENCY_BUCKETS) {
        rows += node->durable_rows[bucket++];
    }
    sl_buffer_printf(page->out, "%s_bucket", name);
    label(page, "{", "node", node->name);
    sl_buffer_printf(page->out, ",le=\"+Inf\"} %" PRId64 "\n%s_sum", rows, name);
    label(page, "{", "node", node->name);
    sl_buffer_printf(page->out, "} %.6f\n%s_count", node->durable_sum_s, name);
    label(page, "{", "node", node->name);
    sl_buffer_printf(page->out, "} %" PRId64 "\n", rows);
}

static void write_histograms(const struct page *page) {
    family(page, "sluice_durable_latency_seconds", "histogram",
           "rows by the time from their record's own timestamp to their durable commit");
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        if (node->latency_p50_us >= 0) {
            write_histogram(page, node);
        }
    }
}

static void write_ages(const struct page *page) {
    family(page, "sluice_source_record_age_seconds", "gauge",
           "how old the records of the last batches were when they were read");
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        if (node->age_us >= 0) {
            node_labels(page, "sluice_source_record_age_seconds", node);
            seconds(page, node->age_us);
            sl_buffer_append_byte(page->out, '\n');
        }
    }
}

static void partition_labels(const struct page *page, const char *topic, int32_t partition) {
    label(page, ",", "topic", topic);
    sl_buffer_printf(page->out, ",partition=\"%" PRId32 "\"} ", partition);
}

typedef int64_t (*partition_value)(const struct snapshot_partition *partition);

/* What is -1 is not known, and left out. */
static void per_partition(const struct page *page, const char *name, const char *help,
                          partition_value value) {
    family(page, name, "gauge", help);
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        for (size_t i = 0; i < node->n_partitions; i++) {
            if (value(&node->partitions[i]) < 0) {
                continue;
            }
            sl_buffer_append_text(page->out, name);
            label(page, "{", "node", node->name);
            partition_labels(page, node->partitions[i].topic, node->partitions[i].partition);
            sl_buffer_printf(page->out, "%" PRId64 "\n", value(&node->partitions[i]));
        }
    }
}

static int64_t partition_next(const struct snapshot_partition *partition) {
    return partition->next_offset;
}
static int64_t partition_end(const struct snapshot_partition *partition) {
    return partition->log_end_offset;
}
static int64_t partition_lag(const struct snapshot_partition *partition) {
    return partition->lag;
}

static void write_durable_lags(const struct page *page) {
    family(page, "sluice_durable_lag_records", "gauge",
           "records of a source's partition that the node has not made durable yet, at most");
    for (size_t a = 0; a < page->snapshot->n_accounts; a++) {
        const struct snapshot_account *account = &page->snapshot->accounts[a];
        for (size_t i = 0; i < account->n_counts; i++) {
            const struct snapshot_count *count = &account->counts[i];
            if (count->lag < 0) {
                continue;
            }
            sl_buffer_append_text(page->out, "sluice_durable_lag_records");
            label(page, "{", "node", count->node);
            label(page, ",", "input", count->input);
            label(page, ",", "source", account->source);
            partition_labels(page, account->topic, account->partition);
            sl_buffer_printf(page->out, "%" PRId64 "\n", count->lag);
        }
    }
}

static void write_lags(const struct page *page) {
    per_partition(page, "sluice_source_next_offset", "the offset that is read next",
                  partition_next);
    per_partition(page, "sluice_source_log_end_offset",
                  "the offset behind the last record of the partition", partition_end);
    per_partition(page, "sluice_source_lag_records",
                  "records of the partition that are not read yet, at most", partition_lag);
    write_durable_lags(page);
}

typedef int64_t (*output_value)(const struct snapshot_output *output);

static void per_output(const struct page *page, const char *name, const char *help,
                       output_value value) {
    family(page, name, "counter", help);
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        for (size_t i = 0; i < node->n_outputs; i++) {
            sl_buffer_append_text(page->out, name);
            label(page, "{", "node", node->name);
            label(page, ",", "output", node->outputs[i].name);
            sl_buffer_printf(page->out, "} %" PRId64 "\n", value(&node->outputs[i]));
        }
    }
}

static int64_t output_rows(const struct snapshot_output *output) {
    return output->rows;
}
static int64_t output_batches(const struct snapshot_output *output) {
    return output->batches;
}
static int64_t output_bytes(const struct snapshot_output *output) {
    return output->memory_bytes;
}

static void write_reasons(const struct page *page, const char *name,
                          const struct snapshot_node *node, const struct snapshot_dropped *reasons,
                          size_t n) {
    for (size_t i = 0; i < n; i++) {
        sl_buffer_append_text(page->out, name);
        label(page, "{", "node", node->name);
        label(page, ",", "reason", reasons[i].reason);
        sl_buffer_printf(page->out, "} %" PRId64 "\n", reasons[i].rows);
    }
}

static void write_outputs(const struct page *page) {
    per_output(page, "sluice_output_rows_total", "rows that left on an output", output_rows);
    per_output(page, "sluice_output_batches_total", "batches in which they left", output_batches);
    per_output(page, "sluice_output_bytes_total", "memory of their columns, uncompressed",
               output_bytes);
    family(page, "sluice_dropped_rows_total", "counter",
           "rows that left on no output, by the plugin's reason");
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        write_reasons(page, "sluice_dropped_rows_total", node, node->dropped, node->n_dropped);
    }
    family(page, "sluice_rejected_rows_total", "counter",
           "rows that were rejected, by the plugin's reason");
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        write_reasons(page, "sluice_rejected_rows_total", node, node->rejected, node->n_rejected);
    }
}

/* ---- inputs ---- */

typedef int64_t (*input_value)(const struct snapshot_input *input);

static void per_input(const struct page *page, const char *name, const char *type, const char *help,
                      input_value value, bool is_time) {
    family(page, name, type, help);
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        for (size_t i = 0; i < node->n_inputs; i++) {
            sl_buffer_append_text(page->out, name);
            label(page, "{", "node", node->name);
            label(page, ",", "input", node->inputs[i].name);
            sl_buffer_append_text(page->out, "} ");
            if (is_time) {
                seconds(page, value(&node->inputs[i]));
            } else {
                sl_buffer_printf(page->out, "%" PRId64, value(&node->inputs[i]));
            }
            sl_buffer_append_byte(page->out, '\n');
        }
    }
}

/* A sample for each pair of a full input and a node whose streams wait for it; there is none while
 * nobody waits. */
static void write_holds_back(const struct page *page) {
    family(page, "sluice_input_holds_back", "gauge",
           "1: the streams of the node \"held\" wait because the input is full");
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        for (size_t i = 0; i < node->n_inputs; i++) {
            const struct snapshot_input *input = &node->inputs[i];
            for (size_t held = 0; held < input->n_holds_back; held++) {
                sl_buffer_append_text(page->out, "sluice_input_holds_back");
                label(page, "{", "node", node->name);
                label(page, ",", "input", input->name);
                label(page, ",", "held", input->holds_back[held]);
                sl_buffer_append_text(page->out, "} 1\n");
            }
        }
    }
}

static int64_t input_rows(const struct snapshot_input *input) {
    return input->rows;
}
static int64_t input_batches(const struct snapshot_input *input) {
    return input->batches;
}
static int64_t input_taken_bytes(const struct snapshot_input *input) {
    return input->bytes;
}
static int64_t input_replayed(const struct snapshot_input *input) {
    return input->replayed_rows;
}
static int64_t input_dropped(const struct snapshot_input *input) {
    return input->dropped_rows;
}
static int64_t input_bytes(const struct snapshot_input *input) {
    return input->buffer_bytes;
}
static int64_t input_limit(const struct snapshot_input *input) {
    return input->buffer_limit_bytes;
}
static int64_t input_waiting(const struct snapshot_input *input) {
    return input->waiting_rows;
}
static int64_t input_oldest(const struct snapshot_input *input) {
    return input->oldest_us < 0 ? 0 : input->oldest_us;
}
static int64_t input_full_time(const struct snapshot_input *input) {
    return input->full_us;
}
static int64_t input_is_full(const struct snapshot_input *input) {
    return input->is_full != 0;
}

static int64_t input_detached(const struct snapshot_input *input) {
    return input->detached;
}
static int64_t input_detached_times(const struct snapshot_input *input) {
    return input->detached_times;
}
static int64_t input_behind(const struct snapshot_input *input) {
    return input->behind;
}

static void write_inputs(const struct page *page) {
    per_input(page, "sluice_input_rows_total", "counter", "rows taken from an input", input_rows,
              false);
    per_input(page, "sluice_input_batches_total", "counter", "batches in which they came",
              input_batches, false);
    per_input(page, "sluice_input_bytes_total", "counter", "memory of their columns, uncompressed",
              input_taken_bytes, false);
    per_input(page, "sluice_input_replayed_rows_total", "counter",
              "rows withheld because the node had them already", input_replayed, false);
    per_input(page, "sluice_input_dropped_rows_total", "counter", "rows dropped by when_full",
              input_dropped, false);
    per_input(page, "sluice_input_buffer_bytes", "gauge",
              "memory that waits on the input or is held of it, all lanes", input_bytes, false);
    per_input(page, "sluice_input_buffer_limit_bytes", "gauge", "its bound on one lane",
              input_limit, false);
    per_input(page, "sluice_input_waiting_rows", "gauge", "rows that wait on the input",
              input_waiting, false);
    per_input(page, "sluice_input_oldest_seconds", "gauge",
              "age of the oldest row that waits or is not flushed; 0: none", input_oldest, true);
    per_input(page, "sluice_input_full_seconds_total", "counter",
              "how long the input has been full", input_full_time, true);
    per_input(page, "sluice_input_full", "gauge", "1: the input is full on some lane",
              input_is_full, false);
    per_input(page, "sluice_input_detached", "gauge",
              "streams that the input has fallen behind of (when_full: detach)", input_detached,
              false);
    per_input(page, "sluice_input_detachments_total", "counter",
              "how often streams have left the input behind", input_detached_times, false);
    per_input(page, "sluice_input_behind_records", "gauge",
              "offsets between those streams and what the input got", input_behind, false);
    write_holds_back(page);
}

/* ---- what goes out by HTTP ---- */

static void http_labels(const struct page *page, const char *name,
                        const struct snapshot_http *http) {
    char status[16] = "none";
    if (http->status != 0) {
        snprintf(status, sizeof(status), "%d", http->status);
    }
    sl_buffer_append_text(page->out, name);
    label(page, "{", "host", http->host);
    label(page, ",", "status", status);
    sl_buffer_append_text(page->out, "} ");
}

static void write_http(const struct page *page) {
    const struct host_snapshot *s = page->snapshot;
    family(page, "sluice_http_requests_total", "counter",
           "requests that were sent, each attempt, by the answer; none: none came");
    for (size_t i = 0; i < s->n_http; i++) {
        http_labels(page, "sluice_http_requests_total", &s->http[i]);
        sl_buffer_printf(page->out, "%" PRId64 "\n", s->http[i].attempts);
    }
    family(page, "sluice_http_request_seconds_total", "counter", "how long they took, in all");
    for (size_t i = 0; i < s->n_http; i++) {
        http_labels(page, "sluice_http_request_seconds_total", &s->http[i]);
        seconds(page, s->http[i].us);
        sl_buffer_append_byte(page->out, '\n');
    }
}

/* ---- what plugins count ---- */

static bool is_first(const struct host_snapshot *snapshot, size_t node, const char *name) {
    for (size_t n = 0; n < node; n++) {
        for (size_t i = 0; i < snapshot->nodes[n].n_metrics; i++) {
            if (strcmp(snapshot->nodes[n].metrics[i].name, name) == 0) {
                return false;
            }
        }
    }
    return true;
}

static void write_plugin_family(const struct page *page, size_t first,
                                const struct snapshot_metric *metric) {
    char name[256];
    (void)snprintf(name, sizeof(name), "sluice_%s", metric->name);
    family(page, name, metric->is_gauge ? "gauge" : "counter", metric->help);
    for (size_t n = first; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        for (size_t i = 0; i < node->n_metrics; i++) {
            if (strcmp(node->metrics[i].name, metric->name) == 0) {
                sl_buffer_printf(page->out, "sluice_%s", metric->name);
                label(page, "{", "node", node->name);
                sl_buffer_printf(page->out, "} %" PRId64 "\n", node->metrics[i].value);
            }
        }
    }
}

static void write_plugin_metrics(const struct page *page) {
    for (size_t n = 0; n < page->snapshot->n_nodes; n++) {
        const struct snapshot_node *node = &page->snapshot->nodes[n];
        for (size_t i = 0; i < node->n_metrics; i++) {
            if (is_first(page->snapshot, n, node->metrics[i].name)) {
                write_plugin_family(page, n, &node->metrics[i]);
            }
        }
    }
}

static void write_nodes(const struct page *page) {
    write_states(page);
    per_node(page, "sluice_node_streams", "gauge", "streams that the node owns", node_streams,
             false);
    per_node(page, "sluice_node_cpu_seconds_total", "counter", "time inside the plugin's code",
             node_cpu, true);
    per_node(page, "sluice_node_commits_total", "counter", "commits", node_commits, false);
    per_node(page, "sluice_node_commit_retries_total", "counter", "commits tried again",
             node_retries, false);
    per_node(page, "sluice_node_process_retries_total", "counter", "batches tried again",
             node_process_retries, false);
    per_node(page, "sluice_node_failures_total", "counter", "how often the node has failed",
             node_failures, false);
    per_node(page, "sluice_node_restarts_total", "counter", "restarts that have succeeded",
             node_restarts, false);
    write_latencies(page);
    write_histograms(page);
    write_ages(page);
    write_lags(page);
}

void answer_metrics(struct exchange *exchange) {
    static const char open_metrics[] = "application/openmetrics-text";
    struct host_snapshot snapshot;
    if (!snapshot_take(exchange->host, &snapshot)) {
        exchange_fail(exchange, 500, "memory is short");
        return;
    }
    const struct page page = {&exchange->body, &snapshot,
                              accept_quality(exchange->accept, open_metrics) >
                                  accept_quality(exchange->accept, "text/plain"),
                              taps_cpu_us(exchange->host)};
    struct expiries expiries = {.page = &page};
    write_process(&page);
    credentials_list(exchange->host->settings, write_expiry, &expiries);
    write_nodes(&page);
    write_outputs(&page);
    write_inputs(&page);
    write_http(&page);
    write_plugin_metrics(&page);
    if (page.open_metrics) {
        sl_buffer_append_text(&exchange->body, "# EOF\n");
    }
    snapshot_free(&snapshot);
    exchange->status = 200;
    exchange->content_type = page.open_metrics
                                 ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                 : "text/plain; version=0.0.4; charset=utf-8";
}
