/* The summary at the end of a run (see summary.h). */
#include "cli/summary.h"

#include "cli/numbers.h"
#include "cli/tally.h"
#include "topology/keys.h"

#include <time.h>

#include "sluice/sluice.h"

#define FULL_WORTH_TELLING_US 1000000
#define YEAR_2000_S INT64_C(946684800)

/* ---- rows ---- */

static int64_t bytes_given(const struct snapshot_node *node) {
    int64_t bytes = 0;
    for (size_t i = 0; i < node->n_outputs; i++) {
        bytes += node->outputs[i].memory_bytes;
    }
    return bytes;
}

static int64_t rows_dropped(const struct snapshot_node *node) {
    int64_t rows = 0;
    for (size_t i = 0; i < node->n_dropped; i++) {
        rows += node->dropped[i].rows;
    }
    return rows;
}

/* " + 2 duplicate" */
static void append_dropped(sl_buffer *out, const struct snapshot_node *node,
                           const char *separator) {
    for (size_t i = 0; i < node->n_dropped; i++) {
        (void)sl_buffer_append_text(out, separator);
        number_count(out, node->dropped[i].rows);
        (void)sl_buffer_printf(out, " %s", node->dropped[i].reason);
    }
}

/* ", 2 rejects", of a sink. */
static void append_rejected(sl_buffer *out, const struct snapshot_node *node) {
    if (tally_given(node) > 0) {
        (void)sl_buffer_append_text(out, ", ");
        number_count(out, tally_given(node));
        (void)sl_buffer_append_text(out, " " SL_REJECT_OUTPUT);
    }
}

/* "9 rows in = 7 out + 2 rejects" where rows pass on; "9 rows in; 3 out" where they are summed up.
 */
static void append_flow(sl_buffer *out, const struct snapshot_node *node) {
    int64_t taken = tally_taken(node);
    int64_t sum = tally_given(node) + rows_dropped(node);
    bool passed_on = taken == sum;
    number_count(out, taken);
    (void)sl_buffer_append_text(out, passed_on ? " rows in = " : " rows in; ");
    for (size_t i = 0; i < node->n_outputs; i++) {
        const struct snapshot_output *output = &node->outputs[i];
        if (i > 0 && !passed_on && output->rows == 0) {
            continue; /* nobody reads it, or nothing came */
        }
        (void)sl_buffer_append_text(out, i == 0 ? "" : " + ");
        number_count(out, output->rows);
        (void)sl_buffer_printf(out, " %s", output->name[0] == 0 ? "out" : output->name);
    }
    append_dropped(out, node, " + ");
}

static void append_rows(sl_buffer *out, const struct host_snapshot *s,
                        const struct snapshot_node *node) {
    if (node->kind == TOPOLOGY_TRANSFORM) {
        append_flow(out, node);
    } else {
        bool source = node->kind == TOPOLOGY_SOURCE;
        int64_t rows =
            source ? tally_given(node) : tally_taken(node) - rows_dropped(node) - tally_given(node);
        number_count(out, rows);
        if (source) {
            (void)sl_buffer_append_text(out, " rows read, ");
            number_bytes(out, bytes_given(node));
            (void)sl_buffer_append_text(out, " in memory, ");
        } else { /* what a failed sink took has not all been committed */
            bool failed = node->state == HOST_NODE_FAILED;
            (void)sl_buffer_append_text(out, failed ? " rows taken, " : " rows written, ");
        }
        number_count(out, tally_per_second(rows, s->elapsed_us));
        (void)sl_buffer_append_text(out, "/s");
        if (node->kind == TOPOLOGY_SINK) {
            append_dropped(out, node, ", ");
            append_rejected(out, node);
        }
    }
    int64_t replayed = 0;
    for (size_t i = 0; i < node->n_inputs; i++) {
        replayed += node->inputs[i].replayed_rows;
    }
    if (replayed > 0) {
        (void)sl_buffer_append_text(out, ", ");
        number_count(out, replayed);
        (void)sl_buffer_append_text(out, " had been done before");
    }
}

/* ---- a node ---- */

static void append_commits(sl_buffer *out, const struct snapshot_node *node) {
    if (node->commits == 0) {
        return;
    }
    (void)sl_buffer_append_text(out, "\n      ");
    number_count(out, node->commits);
    (void)sl_buffer_append_text(out, node->commits == 1 ? " commit" : " commits");
    if (node->commit_retries > 0) {
        (void)sl_buffer_append_text(out, ", tried again ");
        number_count(out, node->commit_retries);
        (void)sl_buffer_append_text(out, " times");
    }
    if (node->latency_p50_us >= 0) {
        (void)sl_buffer_append_text(out, "; read to durable p50 ");
        number_duration(out, node->latency_p50_us);
        (void)sl_buffer_append_text(out, ", p99 ");
        number_duration(out, node->latency_p99_us);
        (void)sl_buffer_append_text(out, ", max ");
        number_duration(out, node->latency_max_us);
    }
}

/* Inputs that have been full for long enough to be felt, and what that has cost. */
static void append_buffers(sl_buffer *out, const struct snapshot_node *node) {
    for (size_t i = 0; i < node->n_inputs; i++) {
        const struct snapshot_input *input = &node->inputs[i];
        if (input->full_us >= FULL_WORTH_TELLING_US) {
            (void)sl_buffer_printf(out, "\n      buffer of %s (", input->name);
            number_bytes(out, input->buffer_limit_bytes);
            (void)sl_buffer_append_text(out, " on each lane) full for ");
            number_duration(out, input->full_us);
        }
        if (input->detached_times > 0) {
            (void)sl_buffer_printf(out, "\n      detached from %s ", input->name);
            number_count(out, input->detached_times);
            (void)sl_buffer_append_text(out, input->detached_times == 1 ? " time" : " times");
        }
        if (input->detached > 0) {
            (void)sl_buffer_append_text(out, ", still ");
            number_count(out, input->behind);
            (void)sl_buffer_append_text(out, " behind");
        }
        if (input->dropped_rows > 0) {
            (void)sl_buffer_printf(out, "\n      dropped from %s, its buffer full: ", input->name);
            number_count(out, input->dropped_rows);
            (void)sl_buffer_append_text(out, " rows");
        }
    }
}

static bool ends_with(const char *text, const char *end) {
    size_t bytes = strlen(text);
    size_t end_bytes = strlen(end);
    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

/* A point in time or a length of it: gauges have no other sign than their size. */
static void append_seconds(sl_buffer *out, int64_t seconds) {
    time_t time = (time_t)seconds;
    struct tm parts;
    char text[32];
    if (seconds > YEAR_2000_S && gmtime_r(&time, &parts) != NULL &&
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts) > 0) {
        (void)sl_buffer_append_text(out, text);
    } else {
        number_count(out, seconds);
        (void)sl_buffer_append_text(out, " s");
    }
}

static void append_metrics(sl_buffer *out, const struct snapshot_node *node) {
    for (size_t i = 0; i < node->n_metrics; i++) {
        const struct snapshot_metric *metric = &node->metrics[i];
        if (metric->value == 0 || strcmp(metric->name, SL_METRIC_EXPECTED_ROWS) == 0) {
            continue; /* the bar shows what was expected */
        }
        (void)sl_buffer_printf(out, "\n      %s ", metric->name);
        if (strstr(metric->name, "_bytes") != NULL) {
            number_bytes(out, metric->value);
        } else if (metric->is_gauge && ends_with(metric->name, "_seconds")) {
            append_seconds(out, metric->value);
        } else {
            number_count(out, metric->value);
        }
    }
}

static void append_failure(sl_buffer *out, struct log *log, const char *failure) {
    sl_buffer masked = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&masked, failure == NULL ? "" : failure);
    log_mask(log, &masked);
    (void)sl_buffer_append_text(out, "\n      FAILED: ");
    (void)sl_buffer_append(out, masked.data, masked.bytes);
    sl_buffer_free(&masked);
}

static void append_node(sl_buffer *out, const struct host_snapshot *s,
                        const struct snapshot_node *node, struct log *log) {
    (void)sl_buffer_printf(out,
                           "  %-9s %s (%s): ", topology_kind_name((enum topology_kind)node->kind),
                           node->name, node->plugin);
    append_rows(out, s, node);
    append_commits(out, node);
    if (node->cpu_us > 0) {
        (void)sl_buffer_append_text(out, "\n      ");
        number_duration(out, node->cpu_us);
        (void)sl_buffer_append_text(out, " in the plugin on the lanes");
    }
    append_buffers(out, node);
    append_metrics(out, node);
    if (node->state == HOST_NODE_FAILED) {
        append_failure(out, log, node->failure);
    }
    (void)sl_buffer_append_byte(out, '\n');
}

/* ---- the whole run ---- */

static void append_totals(sl_buffer *out, const struct host_snapshot *s) {
    int64_t rows = tally_read(s);
    int64_t cpu_us = s->cpu_user_us + s->cpu_system_us;
    (void)sl_buffer_append_text(out, "Ran ");
    number_seconds(out, s->elapsed_us);
    (void)sl_buffer_printf(out, " on %u %s: ", s->lanes, s->lanes == 1 ? "lane" : "lanes");
    number_count(out, rows);
    (void)sl_buffer_append_text(out, " rows read, ");
    number_count(out, tally_per_second(rows, s->elapsed_us));
    (void)sl_buffer_append_text(out, "/s; ");
    (void)sl_buffer_printf(out, "%.2f CPU-s", (double)cpu_us / 1e6);
    if (rows > 0) {
        (void)sl_buffer_printf(out, " (%.2f per million rows)", (double)cpu_us / (double)rows);
    }
    (void)sl_buffer_append_text(out, "; at most ");
    number_bytes(out, s->peak_rss_bytes);
    (void)sl_buffer_append_text(out, " of memory\n");
}

/* Over all partitions of a source: one line for each reader whose counts are kept. */
static void append_reader(sl_buffer *out, const struct host_snapshot *s, const char *source,
                          const struct snapshot_count *of) {
    struct snapshot_count sum = {0};
    int64_t read = 0;
    for (size_t i = 0; i < s->n_accounts; i++) {
        const struct snapshot_account *account = &s->accounts[i];
        for (size_t k = 0; k < account->n_counts; k++) {
            const struct snapshot_count *count = &account->counts[k];
            if (strcmp(account->source, source) == 0 && strcmp(count->node, of->node) == 0 &&
                strcmp(count->input, of->input) == 0) {
                read += account->read;
                sum.records += count->records;
                sum.rows += count->rows;
                sum.dropped += count->dropped;
            }
        }
    }
    (void)sl_buffer_printf(out, "\n      %s: ", of->node);
    number_count(out, read);
    (void)sl_buffer_append_text(out, " = ");
    number_count(out, sum.rows);
    (void)sl_buffer_printf(out, " from %s + ", of->input);
    number_count(out, sum.records - sum.rows - sum.dropped);
    (void)sl_buffer_append_text(out, " that went elsewhere + ");
    number_count(out, sum.dropped);
    (void)sl_buffer_append_text(out, " dropped + ");
    number_count(out, read - sum.records);
    (void)sl_buffer_append_text(out, " in flight");
}

static bool seen_before(const struct host_snapshot *s, size_t account) {
    for (size_t i = 0; i < account; i++) {
        if (strcmp(s->accounts[i].source, s->accounts[account].source) == 0) {
            return true;
        }
    }
    return false;
}

static void append_accounts(sl_buffer *out, const struct host_snapshot *s) {
    for (size_t i = 0; i < s->n_accounts; i++) {
        const struct snapshot_account *account = &s->accounts[i];
        if (seen_before(s, i)) {
            continue;
        }
        (void)sl_buffer_printf(out, "  records of %s since the first run:", account->source);
        for (size_t k = 0; k < account->n_counts; k++) {
            append_reader(out, s, account->source, &account->counts[k]);
        }
        (void)sl_buffer_append_byte(out, '\n');
    }
}

void summary_append(sl_buffer *out, const struct host_snapshot *s, struct log *log) {
    append_totals(out, s);
    for (size_t i = 0; i < s->n_nodes; i++) {
        append_node(out, s, &s->nodes[i], log);
    }
    append_accounts(out, s);
}
