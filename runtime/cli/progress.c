/* The line that a run shows while it goes on, from the host's snapshots. */
#include "cli/progress.h"

#include "cli/numbers.h"
#include "cli/summary.h"
#include "cli/tally.h"
#include "report/snapshot_json.h"
#include "topology/keys.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TERMINAL_INTERVAL_MS 250
#define LOG_INTERVAL_MS 5000
#define BAR_CELLS 10

struct progress {
    struct log *log;
    bool json;
    int64_t last_rows; /* of the update before, for the rate */
    int64_t last_us;
    sl_buffer summary;
};

struct progress *progress_new(struct log *log, bool json) {
    struct progress *progress = calloc(1, sizeof(*progress));
    if (progress != NULL) {
        progress->log = log;
        progress->json = json;
    }
    return progress;
}

void progress_free(struct progress *progress) {
    if (progress != NULL) {
        sl_buffer_free(&progress->summary);
        free(progress);
    }
}

uint64_t progress_interval_ms(const struct log *log) {
    return log_is_terminal(log) ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS;
}

/* ---- sums ---- */

/* The fullest buffer, 0 to 1. */
static double fullest(const struct host_snapshot *s) {
    double most = 0;
    for (size_t i = 0; i < s->n_nodes; i++) {
        for (size_t k = 0; k < s->nodes[i].n_inputs; k++) {
            const struct snapshot_input *input = &s->nodes[i].inputs[k];
            double limit =
                (double)input->buffer_limit_bytes * (double)(s->lanes > 0 ? s->lanes : 1);
            double fill = limit > 0 ? (double)input->buffer_bytes / limit : 0;
            most = fill > most ? fill : most;
        }
    }
    return most > 1 ? 1 : most;
}

/* How much of what the sources are known to hold has been read, 0 to 1; negative: nobody knows. */
static double share_read(const struct host_snapshot *s) {
    int64_t expected = 0;
    int64_t rows = 0;
    for (size_t i = 0; i < s->n_nodes; i++) {
        const struct snapshot_node *node = &s->nodes[i];
        for (size_t m = 0; m < node->n_metrics; m++) {
            if (strcmp(node->metrics[m].name, SL_METRIC_EXPECTED_ROWS) == 0 &&
                node->metrics[m].value > 0) {
                expected += node->metrics[m].value;
                rows += tally_given(node);
            }
        }
    }
    double share = expected > 0 ? (double)rows / (double)expected : -1;
    return share > 1 ? 1 : share;
}

/* ---- the line ---- */

static void append_bar(sl_buffer *out, double fill) {
    int cells = (int)(fill * BAR_CELLS + 0.5);
    (void)sl_buffer_append_byte(out, '[');
    for (int i = 0; i < BAR_CELLS; i++) {
        (void)sl_buffer_append_byte(out, i < cells ? '#' : '-');
    }
    (void)sl_buffer_append_byte(out, ']');
}

/* The way to the end where there is one, else how full the fullest buffer is. */
static void append_state(sl_buffer *out, const struct host_snapshot *s) {
    double share = share_read(s);
    if (share >= 0) {
        append_bar(out, share);
        (void)sl_buffer_printf(out, " %3d %%", (int)(share * 100));
    } else {
        (void)sl_buffer_append_text(out, "buffers ");
        append_bar(out, fullest(s));
    }
}

/* Cuts the line to the terminal's width: a line that wraps cannot be taken back. */
static void clip(sl_buffer *line) {
    struct winsize size;
    size_t columns =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
    if (line->bytes > columns - 1) {
        line->bytes = columns - 1;
    }
}

static void append_names(sl_buffer *out, const struct snapshot_input *input) {
    for (size_t i = 0; i < input->n_holds_back; i++) {
        const char *between = i == 0 ? "" : i + 1 < input->n_holds_back ? ", " : " and ";
        (void)sl_buffer_printf(out, "%s%s", between, input->holds_back[i]);
    }
}

/* What is full or behind now: who waits for whom is the first thing to know about a slow run. */
static void append_full(const struct host_snapshot *s, sl_buffer *out) {
    for (size_t n = 0; n < s->n_nodes; n++) {
        const struct snapshot_node *node = &s->nodes[n];
        for (size_t i = 0; i < node->n_inputs; i++) {
            const struct snapshot_input *input = &node->inputs[i];
            if (input->detached > 0) {
                (void)sl_buffer_printf(out, "  %s detached from %s, ", node->name, input->name);
                number_count(out, input->behind);
                (void)sl_buffer_append_text(out, " behind");
            }
            if (input->n_holds_back == 0) {
                continue;
            }
            (void)sl_buffer_printf(out, "  %s holds back ", node->name);
            append_names(out, input);
            (void)sl_buffer_append_text(out, " (");
            number_bytes(out, input->buffer_bytes);
            (void)sl_buffer_printf(out, " of %s", input->name);
            if (input->oldest_us >= 0) {
                (void)sl_buffer_append_text(out, ", oldest ");
                number_duration(out, input->oldest_us);
            }
            (void)sl_buffer_append_byte(out, ')');
        }
    }
}

static void append_progress(struct progress *p, const struct host_snapshot *s, sl_buffer *out) {
    int64_t rows = tally_read(s);
    number_seconds(out, s->elapsed_us);
    (void)sl_buffer_append_text(out, s->draining ? "  stopping  " : "  ");
    number_count(out, rows);
    (void)sl_buffer_append_text(out, " rows read (");
    number_count(out, tally_per_second(rows - p->last_rows, s->elapsed_us - p->last_us));
    (void)sl_buffer_append_text(out, "/s)");
    p->last_rows = rows;
    p->last_us = s->elapsed_us;
    for (size_t i = 0; i < s->n_nodes; i++) {
        const struct snapshot_node *node = &s->nodes[i];
        if (node->kind == TOPOLOGY_SINK) {
            (void)sl_buffer_printf(out, "  %s ", node->name);
            number_count(out, tally_taken(node));
            (void)sl_buffer_append_text(out, node->state == HOST_NODE_FAILED ? " FAILED" : "");
        }
    }
    (void)sl_buffer_append_text(out, "  ");
    number_bytes(out, s->rss_bytes);
    append_full(s, out);
}

static void show_status(struct progress *p, const struct host_snapshot *s) {
    sl_buffer line = SL_BUFFER_INIT;
    append_state(&line, s);
    (void)sl_buffer_append_text(&line, "  ");
    append_progress(p, s, &line);
    clip(&line);
    const char *text = sl_buffer_text(&line);
    if (text != NULL) {
        log_set_status(p->log, text);
    }
    sl_buffer_free(&line);
}

static void log_progress(struct progress *p, const struct host_snapshot *s) {
    sl_buffer line = SL_BUFFER_INIT;
    append_progress(p, s, &line);
    const char *text = sl_buffer_text(&line);
    if (text != NULL) {
        log_write(p->log, SL_LOG_INFO, NULL, text);
    }
    sl_buffer_free(&line);
}

/* ---- a run's reports ---- */

static void mask(const void *log, sl_buffer *text) {
    log_mask(*(struct log *const *)log, text);
}

static void append_json(struct progress *p, const struct host_snapshot *snapshot) {
    struct json_out out = {.mask = mask, .mask_arg = &p->log};
    snapshot_json(&out, snapshot);
    (void)sl_buffer_append_byte(&out.text, '\n');
    (void)sl_buffer_append(&p->summary, out.text.data, out.text.bytes);
    p->summary.failed = p->summary.failed || out.text.failed;
    sl_buffer_free(&out.text);
}

void progress_update(void *progress, const struct host_snapshot *snapshot, bool last) {
    struct progress *p = progress;
    if (!last) {
        if (log_is_terminal(p->log)) {
            show_status(p, snapshot);
        } else {
            log_progress(p, snapshot);
        }
        return;
    }
    log_set_status(p->log, NULL);
    sl_buffer_clear(&p->summary);
    if (p->json) {
        append_json(p, snapshot);
        return;
    }
    summary_append(&p->summary, snapshot, p->log);
}

const char *progress_summary(struct progress *progress) {
    return progress->summary.bytes == 0 ? NULL : sl_buffer_text(&progress->summary);
}
