/* See gate.h. Nearly every batch passes as it is: only one that is suspect is looked at by row. */
#include "gate.h"

#include <stdlib.h>

#include "columns/rejects.h"

void sink_passed_free(struct sink_passed *passed) {
    if (passed->kept.release != NULL) {
        passed->kept.release(&passed->kept);
    }
    if (passed->faulty.release != NULL) {
        passed->faulty.release(&passed->faulty);
    }
}

static bool is_deletion(const struct sink_look *look, int64_t row) {
    return look->delete_column >= 0 &&
           sl_array_is_null(look->rows->children[look->delete_column], row);
}

/* Rejects the rows at fault. Their numbers go to the end of `rows`, the others' to its beginning;
 * *n_faulty says how many they are. */
static sl_error *sort_rows(const struct sink_gate *gate, const sl_batch *came,
                           const struct sink_look *look, int32_t *rows, int64_t *n_faulty) {
    int64_t good = 0;
    int64_t bad = came->rows;
    for (int64_t row = 0; row < came->rows; row++) {
        sl_delta_row_fault fault;
        if (is_deletion(look, row) ||
            !sl_delta_row_is_at_fault(&look->rules, look->rows, row, &fault)) {
            rows[good++] = (int32_t)row;
            continue;
        }
        rows[--bad] = (int32_t)row;
        const sl_reject why = sl_reject_of(fault.reason, fault.path, fault.detail);
        sl_error *error = (came->flags & SL_BATCH_UPDATES) != 0
                              ? NULL
                              : gate->services->reject(gate->self, came, row, &why);
        if (error != NULL) {
            return error;
        }
    }
    *n_faulty = came->rows - good;
    return NULL;
}

static sl_error *leave_out(const struct sink_gate *gate, const sl_batch *came,
                           const struct sink_look *look, struct sink_passed *out) {
    int32_t *rows = malloc((size_t)came->rows * sizeof(*rows));
    int64_t n_faulty = 0;
    sl_error *error =
        rows == NULL ? sl_error_no_memory() : sort_rows(gate, came, look, rows, &n_faulty);
    if (error == NULL && n_faulty > 0) {
        int64_t n = came->rows - n_faulty;
        error = sl_array_take(look->rules.schema, look->rows, rows, n, &out->kept);
        error =
            error ? error
                  : sl_array_take(look->rules.schema, look->rows, rows + n, n_faulty, &out->faulty);
        out->rows = &out->kept;
    }
    free(rows);
    return error;
}

sl_error *sink_gate_pass(struct sink_gate *gate, uint32_t input, const sl_batch *came,
                         const struct sink_look *look, struct sink_passed *out) {
    *out = (struct sink_passed){.rows = look->rows};
    sl_error *error =
        sl_delta_rows_suspect(&look->rules, look->rows) ? leave_out(gate, came, look, out) : NULL;
    if (error != NULL || sl_replayed_has(&gate->replayed, input, came)) {
        sink_passed_free(out);
        *out = (struct sink_passed){0};
    }
    return error;
}
