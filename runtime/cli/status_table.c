/* The table of nodes (see status_table.h). */
#include "cli/status_table.h"

#include "cli/numbers.h"

#include <stdlib.h>

enum column { NODE, KIND, STATE, ROWS, RATE, LAG, BUFFER, P50, P99, HELD_BACK_BY, N_COLUMNS };

static const char *const titles[N_COLUMNS] = {[NODE] = "NODE",     [KIND] = "KIND",
                                              [STATE] = "STATE",   [ROWS] = "ROWS",
                                              [RATE] = "ROWS/S",   [LAG] = "LAG",
                                              [BUFFER] = "BUFFER", [P50] = "P50",
                                              [P99] = "P99",       [HELD_BACK_BY] = "HELD BACK BY"};

static bool is_number(enum column column) {
    return column >= ROWS && column <= P99;
}

/* ---- reading ---- */

static int64_t integer(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : 0;
}

static const char *text(const cJSON *object, const char *name) {
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return value != NULL ? value : "";
}

static int64_t sum(const cJSON *node, const char *list, const char *name) {
    int64_t total = 0;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(node, list)) {
        total += integer(item, name);
    }
    return total;
}

/* Of the rows that a source gave, or that another node took. */
static int64_t sum_of(const cJSON *node, const char *name) {
    return sum(node, strcmp(text(node, "kind"), "source") == 0 ? "outputs" : "inputs", name);
}

static const cJSON *find(const cJSON *status, const char *name) {
    const cJSON *node = NULL;
    cJSON_ArrayForEach(node, cJSON_GetObjectItemCaseSensitive(status, "nodes")) {
        if (strcmp(text(node, "name"), name) == 0) {
            return node;
        }
    }
    return NULL;
}

/* ---- cells ---- */

/* Text of the endpoint: what would move the cursor becomes a blank. */
static void append_plain(sl_buffer *out, const char *plain) {
    for (const unsigned char *c = (const unsigned char *)plain; *c != 0; c++) {
        sl_buffer_append_byte(out, *c < 0x20 || *c == 0x7f ? ' ' : *c);
    }
}

/* Since the answer before; of a single one what the endpoint says. */
static void append_rate(sl_buffer *out, const cJSON *status, const cJSON *before,
                        const cJSON *node) {
    if (before == NULL) {
        number_count(out, sum_of(node, "rows_per_second"));
        return;
    }
    int64_t us = integer(status, "elapsed_us") - integer(before, "elapsed_us");
    int64_t rows = sum_of(node, "rows") - sum_of(find(before, text(node, "name")), "rows");
    number_count(out, us > 0 ? (int64_t)((double)rows * 1e6 / (double)us) : 0);
}

/* Records that a source has not read, or that are not durable in another node yet. */
static void append_lag(sl_buffer *out, const cJSON *status, const cJSON *node) {
    const cJSON *lag = cJSON_GetObjectItemCaseSensitive(node, "lag");
    bool known = cJSON_IsNumber(lag);
    int64_t records = integer(node, "lag");
    const cJSON *account = NULL;
    cJSON_ArrayForEach(account, cJSON_GetObjectItemCaseSensitive(status, "accounts")) {
        int64_t most = -1; /* of the node's inputs: they may read the same records */
        const cJSON *reader = NULL;
        cJSON_ArrayForEach(reader, cJSON_GetObjectItemCaseSensitive(account, "readers")) {
            bool own = strcmp(text(reader, "node"), text(node, "name")) == 0;
            bool told = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(reader, "lag"));
            if (own && told && integer(reader, "lag") > most) {
                most = integer(reader, "lag");
            }
        }
        known = known || most >= 0;
        records += most > 0 ? most : 0;
    }
    if (known) {
        number_count(out, records);
    }
}

/* The fullest input's share of its limit on all lanes. */
static void append_fill(sl_buffer *out, const cJSON *status, const cJSON *node) {
    double most = -1;
    int64_t lanes = integer(status, "lanes");
    const cJSON *input = NULL;
    cJSON_ArrayForEach(input, cJSON_GetObjectItemCaseSensitive(node, "inputs")) {
        const cJSON *buffer = cJSON_GetObjectItemCaseSensitive(input, "buffer");
        double limit = (double)integer(buffer, "limit_bytes") * (double)(lanes > 0 ? lanes : 1);
        double fill = limit > 0 ? (double)integer(buffer, "bytes") / limit : 0;
        most = fill > most ? fill : most;
    }
    if (most >= 0) {
        sl_buffer_printf(out, "%.0f %%", (most > 1 ? 1 : most) * 100);
    }
}

static void append_latency(sl_buffer *out, const cJSON *node, const char *name) {
    const cJSON *latency = cJSON_GetObjectItemCaseSensitive(node, "latency");
    if (cJSON_IsObject(latency)) {
        number_duration(out, integer(latency, name));
    }
}

static bool holds_back(const cJSON *input, const char *name) {
    const cJSON *buffer = cJSON_GetObjectItemCaseSensitive(input, "buffer");
    const cJSON *held = NULL;
    cJSON_ArrayForEach(held, cJSON_GetObjectItemCaseSensitive(buffer, "holds_back")) {
        if (cJSON_IsString(held) && strcmp(held->valuestring, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The nodes with a full input for which this one waits. */
static void append_holders(sl_buffer *out, const cJSON *status, const char *name) {
    const cJSON *node = NULL;
    cJSON_ArrayForEach(node, cJSON_GetObjectItemCaseSensitive(status, "nodes")) {
        bool holds = false;
        const cJSON *input = NULL;
        cJSON_ArrayForEach(input, cJSON_GetObjectItemCaseSensitive(node, "inputs")) {
            holds = holds || holds_back(input, name);
        }
        if (holds) {
            sl_buffer_append_text(out, out->bytes > 0 ? ", " : "");
            append_plain(out, text(node, "name"));
        }
    }
}

static void fill_row(sl_buffer cells[N_COLUMNS], const cJSON *status, const cJSON *before,
                     const cJSON *node) {
    append_plain(&cells[NODE], text(node, "name"));
    append_plain(&cells[KIND], text(node, "kind"));
    append_plain(&cells[STATE], text(node, "state"));
    number_count(&cells[ROWS], sum_of(node, "rows"));
    append_rate(&cells[RATE], status, before, node);
    append_lag(&cells[LAG], status, node);
    append_fill(&cells[BUFFER], status, node);
    append_latency(&cells[P50], node, "p50_us");
    append_latency(&cells[P99], node, "p99_us");
    append_holders(&cells[HELD_BACK_BY], status, text(node, "name"));
}

/* ---- the table ---- */

static const char *colour_of(const char *state) {
    return strcmp(state, "failed") == 0                                     ? "\033[31m"
           : strcmp(state, "running") == 0 || strcmp(state, "drained") == 0 ? "\033[32m"
                                                                            : "\033[33m";
}

static void append_padded(sl_buffer *out, const sl_buffer *cell, int width, bool right) {
    int blanks = width - (int)cell->bytes;
    sl_buffer_printf(out, "%*s%.*s%*s", right ? blanks : 0, "", (int)cell->bytes,
                     cell->data != NULL ? (const char *)cell->data : "", right ? 0 : blanks, "");
}

/* Row 0 holds the titles. */
static void print_rows(sl_buffer *out, sl_buffer (*rows)[N_COLUMNS], size_t n, bool colours) {
    int widths[N_COLUMNS] = {0};
    for (size_t r = 0; r < n; r++) {
        for (int c = 0; c < N_COLUMNS; c++) {
            widths[c] = (int)rows[r][c].bytes > widths[c] ? (int)rows[r][c].bytes : widths[c];
        }
    }
    for (size_t r = 0; r < n; r++) {
        for (int c = 0; c < N_COLUMNS; c++) {
            const char *state = r > 0 && c == STATE && colours ? sl_buffer_text(&rows[r][c]) : NULL;
            sl_buffer_append_text(out, c > 0 ? "  " : "");
            sl_buffer_append_text(out, state != NULL ? colour_of(state) : "");
            append_padded(out, &rows[r][c], c + 1 < N_COLUMNS ? widths[c] : (int)rows[r][c].bytes,
                          is_number((enum column)c));
            sl_buffer_append_text(out, state != NULL ? "\033[0m" : "");
        }
        while (out->bytes > 0 && out->data[out->bytes - 1] == ' ') {
            out->bytes--;
        }
        sl_buffer_append_byte(out, '\n');
    }
}

static void print_failures(sl_buffer *out, const cJSON *nodes) {
    const cJSON *node = NULL;
    cJSON_ArrayForEach(node, nodes) {
        const char *failure = text(node, "failure");
        if (*failure != 0) {
            append_plain(out, text(node, "name"));
            sl_buffer_append_text(out, ": ");
            append_plain(out, failure);
            sl_buffer_append_byte(out, '\n');
        }
    }
}

static void print_totals(sl_buffer *out, const cJSON *status) {
    sl_buffer_append_text(out, "up ");
    number_seconds(out, integer(status, "elapsed_us"));
    sl_buffer_append_text(out, ", CPU ");
    number_seconds(out, integer(status, "cpu_user_us") + integer(status, "cpu_system_us"));
    sl_buffer_append_text(out, ", at most ");
    number_bytes(out, integer(status, "peak_rss_bytes"));
    sl_buffer_append_text(out, " of memory\n\n");
}

sl_error *status_table(const cJSON *status, const cJSON *before, bool colours, sl_buffer *out) {
    const cJSON *nodes = cJSON_GetObjectItemCaseSensitive(status, "nodes");
    if (!cJSON_IsArray(nodes)) {
        return sl_error_new(SL_ERROR_FATAL, "the answer is no status of a sluice");
    }
    size_t n = (size_t)cJSON_GetArraySize(nodes) + 1;
    sl_buffer(*rows)[N_COLUMNS] = calloc(n, sizeof(*rows));
    if (rows == NULL) {
        return sl_error_no_memory();
    }
    for (int c = 0; c < N_COLUMNS; c++) {
        sl_buffer_append_text(&rows[0][c], titles[c]);
    }
    size_t r = 1;
    const cJSON *node = NULL;
    cJSON_ArrayForEach(node, nodes) {
        fill_row(rows[r++], status, before, node);
    }
    print_totals(out, status);
    print_rows(out, rows, n, colours);
    print_failures(out, nodes);
    for (r = 0; r < n; r++) {
        for (int c = 0; c < N_COLUMNS; c++) {
            out->failed = out->failed || rows[r][c].failed;
            sl_buffer_free(&rows[r][c]);
        }
    }
    free(rows);
    return out->failed ? sl_error_no_memory() : NULL;
}
