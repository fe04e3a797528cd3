/*
 * Tables as bytes, version 1; integers are little-endian, "varint" is LEB128, "zigzag" a signed
 * one:
 *
 *   "SLWT", version (1 byte), the plan's fingerprint (8 bytes), varint number of panes;
 *   each pane:   zigzag window start, varint number of rows;
 *   each row:    varint length of the key, the key (pane.c);
 *                sessions: zigzag smallest and largest event time;
 *                the accumulators in the plan's order (accumulator_bytes.c).
 *
 * Panes ascend by their start, rows by their key (and beginning): equal tables give equal bytes.
 */
#include "internal.h"
#include "varint.h"

#include <inttypes.h>
#include <stdlib.h>

#define MAGIC "SLWT"
#define VERSION 1

static bool write_row(const sl_window_plan *plan, table_row *row, sl_buffer *out) {
    bool good =
        varint_write(out, row->key_bytes) && sl_buffer_append(out, row->key, row->key_bytes);
    if (plan->kind == SL_WINDOW_SESSION) {
        good = good && varint_write(out, zigzag(row->first_us)) &&
               varint_write(out, zigzag(row->last_us));
    }
    for (size_t i = 0; i < plan->n_accumulators && good; i++) {
        good = accumulator_write(&plan->accumulators[i], plan->columns, row_state(row), out);
    }
    return good;
}

static bool write_pane(const sl_window_plan *plan, const pane *from, sl_buffer *out) {
    table_row **rows;
    size_t n;
    if (!pane_sorted(from, &rows, &n)) {
        return false;
    }
    bool good = varint_write(out, zigzag(from->start_us)) && varint_write(out, n);
    for (size_t i = 0; i < n && good; i++) {
        good = write_row(plan, rows[i], out);
    }
    free(rows);
    return good;
}

sl_error *sl_window_table_write(const sl_window_table *table, sl_buffer *out) {
    size_t start_bytes = out->bytes;
    uint64_t n_panes = 0;
    for (size_t i = 0; i < table->n_panes; i++) {
        n_panes += table->panes[i]->n_rows > 0 ? 1 : 0;
    }
    uint64_t fingerprint = table->plan->fingerprint;
    bool good = sl_buffer_append(out, MAGIC, 4) && sl_buffer_append_byte(out, VERSION) &&
                sl_buffer_append(out, &fingerprint, sizeof(fingerprint)) &&
                varint_write(out, n_panes);
    for (size_t i = 0; i < table->n_panes && good; i++) {
        good = table->panes[i]->n_rows == 0 || write_pane(table->plan, table->panes[i], out);
    }
    if (!good) {
        out->bytes = start_bytes;
        return sl_error_no_memory();
    }
    return NULL;
}

/* ---- reading ---- */

typedef struct reader {
    sl_window_table *table;
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
} reader;

static sl_error *corrupt(const reader *r, const char *what) {
    return sl_error_new(SL_ERROR_CORRUPT, "stored aggregates: %s at byte %zu of %zu", what,
                        (size_t)(r->at - r->start), (size_t)(r->end - r->start));
}

/* A key of the plan's columns, whole. */
static bool key_is_good(const sl_window_plan *plan, const uint8_t *key, size_t bytes) {
    size_t at = 0;
    for (size_t i = 0; i < plan->n_groups; i++) {
        if (at >= bytes || key[at] > 1) {
            return false;
        }
        if (key[at++] == 0) {
            continue;
        }
        size_t length = plan->groups[i].class == VALUE_WIDE ? 16 : 8;
        if (plan->groups[i].class == VALUE_BYTES) {
            uint32_t stored;
            if (bytes - at < sizeof(stored)) {
                return false;
            }
            memcpy(&stored, key + at, sizeof(stored));
            at += sizeof(stored);
            length = stored;
        }
        if (bytes - at < length) {
            return false;
        }
        at += length;
    }
    return at == bytes;
}

static sl_error *read_row(reader *r, pane *in) {
    const sl_window_plan *plan = r->table->plan;
    uint64_t key_bytes;
    if (!varint_read(&r->at, r->end, &key_bytes) || key_bytes > (size_t)(r->end - r->at) ||
        key_bytes > UINT32_MAX || !key_is_good(plan, r->at, key_bytes)) {
        return corrupt(r, "a bad group key");
    }
    const uint8_t *key = r->at;
    r->at += key_bytes;
    uint64_t hash = key_hash(key, key_bytes);
    table_row *row;
    if (plan->kind == SL_WINDOW_SESSION) {
        uint64_t first;
        uint64_t last;
        if (!varint_read(&r->at, r->end, &first) || !varint_read(&r->at, r->end, &last) ||
            unzigzag(first) > unzigzag(last) || unzigzag(first) < -(INT64_MAX / 8) ||
            unzigzag(last) > INT64_MAX / 8) {
            return corrupt(r, "a bad session");
        }
        row = session_place(plan, in, hash, key, key_bytes, unzigzag(first), unzigzag(last));
    } else {
        row = pane_find(in, hash, key, key_bytes);
        if (row == NULL) {
            row = pane_add_row(plan, in, hash, key, key_bytes, false);
            row = row != NULL && pane_add_key(in, row) ? row : NULL;
        }
    }
    if (row == NULL) {
        return sl_error_no_memory();
    }
    row_changed(in, row);
    for (size_t i = 0; i < plan->n_accumulators; i++) {
        bool bad = false;
        if (!accumulator_read(&plan->accumulators[i], plan->columns, row_state(row), &r->at, r->end,
                              &bad)) {
            return bad ? corrupt(r, "a bad aggregate") : sl_error_no_memory();
        }
    }
    return NULL;
}

static sl_error *read_pane(reader *r) {
    uint64_t start;
    uint64_t n_rows;
    if (!varint_read(&r->at, r->end, &start) || !varint_read(&r->at, r->end, &n_rows) ||
        unzigzag(start) < -(INT64_MAX / 8) || unzigzag(start) > INT64_MAX / 8 || n_rows == 0 ||
        (r->table->plan->kind == SL_WINDOW_SESSION && start != 0)) {
        return corrupt(r, "a bad window");
    }
    pane *in;
    if (!pane_get(r->table, unzigzag(start), &in)) {
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    for (uint64_t i = 0; i < n_rows && error == NULL; i++) {
        error = read_row(r, in);
    }
    return error;
}

sl_error *sl_window_table_read(sl_window_table *table, const void *data, size_t bytes) {
    const uint8_t *at = data;
    reader r = {table, at, at, at + bytes};
    uint64_t fingerprint;
    uint64_t n_panes;
    if (bytes < 13 || memcmp(at, MAGIC, 4) != 0) {
        return corrupt(&r, "no table begins");
    }
    if (at[4] != VERSION) {
        return sl_error_format("the table of aggregates", at[4], VERSION, VERSION);
    }
    memcpy(&fingerprint, at + 5, sizeof(fingerprint));
    if (fingerprint != table->plan->fingerprint) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "stored aggregates were made with other windows, group columns or "
                            "aggregates (plan %016" PRIx64 ", configured is %016" PRIx64
                            "); go back to that configuration, or give the node a new name to "
                            "start afresh",
                            fingerprint, table->plan->fingerprint);
    }
    r.at = at + 13;
    if (!varint_read(&r.at, r.end, &n_panes)) {
        return corrupt(&r, "the number of windows is missing");
    }
    sl_error *error = NULL;
    for (uint64_t i = 0; i < n_panes && error == NULL; i++) {
        error = read_pane(&r);
    }
    return error == NULL && r.at != r.end ? corrupt(&r, "bytes follow the last window") : error;
}
