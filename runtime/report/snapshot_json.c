/* A snapshot as JSON (see snapshot_json.h). */
#include "report/snapshot_json.h"

#include "topology/keys.h"

#include <math.h>

const char *snapshot_state_name(enum host_node_state state) {
    static const char *const names[] = {
        [HOST_NODE_STARTING] = "starting", [HOST_NODE_RUNNING] = "running",
        [HOST_NODE_WAITING] = "waiting",   [HOST_NODE_DRAINED] = "drained",
        [HOST_NODE_FAILED] = "failed",     [HOST_NODE_RESTARTING] = "restarting",
        [HOST_NODE_PAUSED] = "paused",     [HOST_NODE_STOPPED] = "stopped",
    };
    return names[state];
}

/* To a tenth. */
static void write_rate(struct json_out *out, double rows_per_s) {
    json_out_key(out, "rows_per_second");
    json_out_number(out, round(rows_per_s * 10) / 10);
}

static void write_buffer(struct json_out *out, const struct snapshot_input *input) {
    json_out_key(out, "buffer");
    json_out_object(out);
    json_out_member_integer(out, "bytes", input->buffer_bytes);
    json_out_member_integer(out, "limit_bytes", input->buffer_limit_bytes);
    json_out_member_integer(out, "rows", input->waiting_rows);
    json_out_member_integer(out, "oldest_us", input->oldest_us);
    json_out_member_integer(out, "full_us", input->full_us);
    json_out_member_bool(out, "is_full", input->is_full != 0);
    json_out_member_integer(out, "detached", input->detached);
    json_out_member_integer(out, "detached_times", input->detached_times);
    json_out_member_integer(out, "behind", input->behind);
    json_out_key(out, "holds_back");
    json_out_array(out);
    for (size_t i = 0; i < input->n_holds_back; i++) {
        json_out_string(out, input->holds_back[i]);
    }
    json_out_end_array(out);
    json_out_end_object(out);
}

static void write_inputs(struct json_out *out, const struct snapshot_node *node) {
    json_out_key(out, "inputs");
    json_out_array(out);
    for (size_t i = 0; i < node->n_inputs; i++) {
        json_out_object(out);
        json_out_member(out, "name", node->inputs[i].name);
        json_out_member_integer(out, "rows", node->inputs[i].rows);
        write_rate(out, node->inputs[i].rows_per_s);
        json_out_member_integer(out, "batches", node->inputs[i].batches);
        json_out_member_integer(out, "bytes", node->inputs[i].bytes);
        json_out_member_integer(out, "replayed_rows", node->inputs[i].replayed_rows);
        json_out_member_integer(out, "dropped_rows", node->inputs[i].dropped_rows);
        write_buffer(out, &node->inputs[i]);
        json_out_end_object(out);
    }
    json_out_end_array(out);
}

static void write_outputs(struct json_out *out, const struct snapshot_node *node) {
    json_out_key(out, "outputs");
    json_out_array(out);
    for (size_t i = 0; i < node->n_outputs; i++) {
        json_out_object(out);
        json_out_member(out, "name", node->outputs[i].name);
        json_out_member_integer(out, "rows", node->outputs[i].rows);
        write_rate(out, node->outputs[i].rows_per_s);
        json_out_member_integer(out, "batches", node->outputs[i].batches);
        json_out_member_integer(out, "memory_bytes", node->outputs[i].memory_bytes);
        json_out_end_object(out);
    }
    json_out_end_array(out);
}

static void write_reasons(struct json_out *out, const char *key,
                          const struct snapshot_dropped *reasons, size_t n) {
    json_out_key(out, key);
    json_out_object(out);
    for (size_t i = 0; i < n; i++) {
        json_out_member_integer(out, reasons[i].reason, reasons[i].rows);
    }
    json_out_end_object(out);
}

static void write_counts(struct json_out *out, const struct snapshot_node *node) {
    write_reasons(out, "dropped", node->dropped, node->n_dropped);
    write_reasons(out, "rejected", node->rejected, node->n_rejected);
    json_out_key(out, "metrics");
    json_out_object(out);
    for (size_t i = 0; i < node->n_metrics; i++) {
        json_out_member_integer(out, node->metrics[i].name, node->metrics[i].value);
    }
    json_out_end_object(out);
}

static void write_known(struct json_out *out, const char *key, int64_t value) {
    json_out_key(out, key);
    if (value >= 0) {
        json_out_integer(out, value);
    } else {
        json_out_string(out, NULL);
    }
}

static void write_partitions(struct json_out *out, const struct snapshot_node *node) {
    json_out_key(out, "partitions");
    json_out_array(out);
    for (size_t i = 0; i < node->n_partitions; i++) {
        const struct snapshot_partition *partition = &node->partitions[i];
        json_out_object(out);
        json_out_member(out, "topic", partition->topic);
        json_out_member_integer(out, "partition", partition->partition);
        json_out_member_integer(out, "next_offset", partition->next_offset);
        write_known(out, "log_end_offset", partition->log_end_offset);
        write_known(out, "lag", partition->lag);
        json_out_end_object(out);
    }
    json_out_end_array(out);
}

static void write_latency(struct json_out *out, const struct snapshot_node *node) {
    json_out_key(out, "latency");
    if (node->latency_p50_us < 0) {
        json_out_string(out, NULL);
        return;
    }
    json_out_object(out);
    json_out_member_integer(out, "p50_us", node->latency_p50_us);
    json_out_member_integer(out, "p99_us", node->latency_p99_us);
    json_out_member_integer(out, "max_us", node->latency_max_us);
    json_out_end_object(out);
}

static void write_node(struct json_out *out, const struct snapshot_node *node) {
    json_out_object(out);
    json_out_member(out, "name", node->name);
    json_out_member(out, "kind", topology_kind_name((enum topology_kind)node->kind));
    json_out_member(out, "plugin", node->plugin);
    json_out_member(out, "state", snapshot_state_name(node->state));
    json_out_key(out, "failure");
    json_out_masked(out, node->failure);
    json_out_member_integer(out, "restarts", node->restarts);
    json_out_member_integer(out, "streams", node->streams);
    json_out_member_integer(out, "cpu_us", node->cpu_us);
    json_out_member_integer(out, "commits", node->commits);
    json_out_member_integer(out, "commit_retries", node->commit_retries);
    json_out_member_integer(out, "process_retries", node->process_retries);
    json_out_member_integer(out, "failures", node->failures);
    write_known(out, "record_age_us", node->age_us);
    write_known(out, "lag", node->lag);
    write_partitions(out, node);
    write_latency(out, node);
    write_inputs(out, node);
    write_outputs(out, node);
    write_counts(out, node);
    json_out_end_object(out);
}

static void write_count(struct json_out *out, const struct snapshot_account *account,
                        const struct snapshot_count *count) {
    json_out_object(out);
    json_out_member(out, "node", count->node);
    json_out_member(out, "input", count->input);
    json_out_member_integer(out, "next_offset", count->next_offset);
    write_known(out, "lag", count->lag);
    json_out_member_integer(out, "records", count->records);
    json_out_member_integer(out, "rows", count->rows);
    json_out_member_integer(out, "dropped", count->dropped);
    json_out_member_integer(out, "elsewhere", count->records - count->rows - count->dropped);
    json_out_member_integer(out, "in_flight", account->read - count->records);
    json_out_end_object(out);
}

static void write_accounts(struct json_out *out, const struct host_snapshot *snapshot) {
    json_out_key(out, "accounts");
    json_out_array(out);
    for (size_t i = 0; i < snapshot->n_accounts; i++) {
        const struct snapshot_account *account = &snapshot->accounts[i];
        json_out_object(out);
        json_out_member(out, "source", account->source);
        json_out_member(out, "topic", account->topic);
        json_out_member_integer(out, "partition", account->partition);
        json_out_member_integer(out, "records", account->read);
        json_out_key(out, "readers");
        json_out_array(out);
        for (size_t k = 0; k < account->n_counts; k++) {
            write_count(out, account, &account->counts[k]);
        }
        json_out_end_array(out);
        json_out_end_object(out);
    }
    json_out_end_array(out);
}

void snapshot_json(struct json_out *out, const struct host_snapshot *snapshot) {
    json_out_object(out);
    json_out_member_integer(out, "elapsed_us", snapshot->elapsed_us);
    json_out_member_integer(out, "cpu_user_us", snapshot->cpu_user_us);
    json_out_member_integer(out, "cpu_system_us", snapshot->cpu_system_us);
    json_out_member_integer(out, "rss_bytes", snapshot->rss_bytes);
    json_out_member_integer(out, "peak_rss_bytes", snapshot->peak_rss_bytes);
    json_out_member_integer(out, "lanes", snapshot->lanes);
    json_out_key(out, "nodes");
    json_out_array(out);
    for (size_t i = 0; i < snapshot->n_nodes; i++) {
        write_node(out, &snapshot->nodes[i]);
    }
    json_out_end_array(out);
    write_accounts(out, snapshot);
    json_out_end_object(out);
}
