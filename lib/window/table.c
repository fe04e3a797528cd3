/*
 * Tables: panes by window, updates from batches, merging. An update runs through the rows once to
 * find each one's window and group, then once per accumulator, in chunks that stay in the cache.
 */
#include <stdlib.h>

#define XXH_INLINE_ALL
#include "internal.h"

#include <xxhash.h>

#define TARGETS 4096
#define SAMPLED_ROWS 256
/* years -9999 to 9999: sums and differences with windows and lateness do not overflow */
#define MIN_TIME_US INT64_C(-377705116800000000)
#define MAX_TIME_US INT64_C(253402300800000000)

sl_error *sl_window_table_new(const sl_window_plan *plan, sl_window_table **out) {
    sl_window_table *table = calloc(1, sizeof(*table));
    if (table == NULL) {
        return sl_error_no_memory();
    }
    table->plan = plan;
    *out = table;
    return NULL;
}

void sl_window_table_free(sl_window_table *table) {
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->n_panes; i++) {
        pane_free(table->plan, table->panes[i]);
    }
    for (size_t i = 0; i < MAX_COLUMNS; i++) {
        column_scratch_free(&table->group_scratch[i]);
        column_scratch_free(&table->column_scratch[i]);
    }
    column_scratch_free(&table->time_scratch);
    column_scratch_free(&table->record_time_scratch);
    sl_buffer_free(&table->key);
    free(table->targets);
    free(table->panes);
    free(table);
}

size_t sl_window_table_groups(const sl_window_table *table) {
    size_t groups = 0;
    for (size_t i = 0; i < table->n_panes; i++) {
        groups += table->panes[i]->n_rows;
    }
    return groups;
}

/* Memory of the table's rows outside of blocks, extrapolated from one in so many of them: exact
 * for small tables. */
static size_t extra_bytes(const sl_window_table *table, size_t rows) {
    const sl_window_plan *plan = table->plan;
    size_t step = rows / SAMPLED_ROWS + 1;
    size_t bytes = 0;
    size_t r = 0;
    for (size_t i = 0; i < table->n_panes; i++) {
        const pane *in = table->panes[i];
        for (; r < in->rows_used; r += step) {
            for (size_t a = 0; a < plan->n_accumulators && !in->rows[r]->dead; a++) {
                bytes += accumulator_extra_bytes(&plan->accumulators[a], plan->columns,
                                                 row_state(in->rows[r]));
            }
        }
        r -= in->rows_used;
    }
    return bytes * step;
}

size_t sl_window_table_bytes(const sl_window_table *table) {
    size_t bytes = sizeof(*table);
    size_t rows = 0;
    for (size_t i = 0; i < table->n_panes; i++) {
        const pane *at = table->panes[i];
        bytes += sizeof(*at) + at->block_bytes + at->n_slots * sizeof(slot) +
                 at->rows_capacity * sizeof(table_row *);
        rows += at->rows_used;
    }
    return bytes + extra_bytes(table, rows);
}

/* ---- panes ---- */

static bool insert_pane(sl_window_table *table, size_t index, pane *added) {
    if (table->n_panes == table->panes_capacity) {
        size_t capacity = table->panes_capacity == 0 ? 8 : table->panes_capacity * 2;
        pane **panes = realloc(table->panes, capacity * sizeof(pane *));
        if (panes == NULL) {
            return false;
        }
        table->panes = panes;
        table->panes_capacity = capacity;
    }
    memmove(table->panes + index + 1, table->panes + index,
            (table->n_panes - index) * sizeof(pane *));
    table->panes[index] = added;
    table->n_panes++;
    return true;
}

/* The place of the window's pane; false: where it belongs. */
static bool find_pane(const sl_window_table *table, int64_t start_us, size_t *index) {
    size_t low = 0;
    size_t high = table->n_panes;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table->panes[middle]->start_us < start_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *index = low;
    return low < table->n_panes && table->panes[low]->start_us == start_us;
}

bool pane_get(sl_window_table *table, int64_t start_us, pane **out) {
    if (table->last != NULL && table->last->start_us == start_us) {
        *out = table->last;
        return true;
    }
    size_t index;
    if (!find_pane(table, start_us, &index)) {
        pane *added = calloc(1, sizeof(*added));
        if (added == NULL) {
            return false;
        }
        added->start_us = start_us;
        if (!insert_pane(table, index, added)) {
            free(added);
            return false;
        }
    }
    table->last = table->panes[index];
    *out = table->last;
    return true;
}

/* ---- the clock ---- */

int64_t sl_window_clock_watermark(const sl_window_plan *plan, const sl_window_clock *clock) {
    int64_t own = clock->max_event_us == SL_TIME_NONE ? SL_TIME_NONE
                                                      : clock->max_event_us - plan->lateness_us;
    return own > clock->floor_us ? own : clock->floor_us;
}

void sl_window_outcome_free(sl_window_outcome *outcome) {
    free(outcome->late);
    memset(outcome, 0, sizeof(*outcome));
}

static bool add_late(sl_window_outcome *outcome, int64_t row) {
    if (outcome->n_late == outcome->late_capacity) {
        size_t capacity = outcome->late_capacity == 0 ? 256 : outcome->late_capacity * 2;
        int32_t *late = realloc(outcome->late, capacity * sizeof(*late));
        if (late == NULL) {
            return false;
        }
        outcome->late = late;
        outcome->late_capacity = capacity;
    }
    outcome->late[outcome->n_late++] = (int32_t)row;
    return true;
}

/* ---- updates ---- */

/* All that one update needs. */
typedef struct update {
    sl_window_table *table;
    const sl_window_plan *plan;
    sl_window_clock *clock;
    sl_window_outcome *outcome;
    column_view time;
    column_view record_time;
    column_view groups[MAX_COLUMNS];
    column_view columns[MAX_COLUMNS];
    row_order order;
    size_t n_targets;
} update;

static bool load_columns(update *u, const struct ArrowArray *batch) {
    const sl_window_plan *plan = u->plan;
    sl_window_table *table = u->table;
    bool good = column_load(&plan->time, batch, &table->time_scratch, &u->time);
    if (plan->has_record_time) {
        good = good &&
               column_load(&plan->record_time, batch, &table->record_time_scratch, &u->record_time);
    }
    for (size_t i = 0; i < plan->n_groups && good; i++) {
        good = column_load(&plan->groups[i], batch, &table->group_scratch[i], &u->groups[i]);
    }
    for (size_t i = 0; i < plan->n_columns && good; i++) {
        good = column_load(&plan->columns[i], batch, &table->column_scratch[i], &u->columns[i]);
    }
    if (good && table->targets == NULL) {
        table->targets = malloc(TARGETS * sizeof(*table->targets));
    }
    return good && table->targets != NULL;
}

static void set_order(update *u, const sl_window_origin *origin) {
    size_t bytes = strlen(origin->topic);
    uint64_t prefix = 0;
    for (size_t i = 0; i < sizeof(prefix); i++) {
        prefix = prefix << 8 | (i < bytes ? (uint8_t)origin->topic[i] : 0u);
    }
    u->order.times = u->time.ints;
    u->order.offsets = origin->offsets;
    u->order.base = (order_key){.topic = prefix,
                                .offset = origin->first_offset,
                                .partition = origin->partition,
                                .topic_hash = (uint32_t)XXH3_64bits(origin->topic, bytes)};
}

/* memcpy without a call for what group columns mostly hold. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t bytes) {
    if (bytes > 16) {
        memcpy(to, from, bytes);
    } else if (bytes >= 8) {
        uint64_t ends[2];
        memcpy(&ends[0], from, 8);
        memcpy(&ends[1], from + bytes - 8, 8);
        memcpy(to, &ends[0], 8);
        memcpy(to + bytes - 8, &ends[1], 8);
    } else {
        for (size_t i = 0; i < bytes; i++) {
            to[i] = from[i];
        }
    }
}

/* Appends the group column's value of the row. */
static inline bool append_key(sl_buffer *key, const column_view *view, int64_t row) {
    size_t bytes = 0;
    const uint8_t *data = NULL;
    bool null = view_is_null(view, row);
    bool text = view->class == VALUE_BYTES && !null;
    if (text) {
        data = view_bytes(view, row, &bytes);
    }
    if (!sl_buffer_reserve(key, 1 + sizeof(sl_i128) + bytes)) {
        return false;
    }
    uint8_t *to = key->data + key->bytes;
    *to++ = !null;
    if (text) {
        uint32_t length = (uint32_t)bytes;
        memcpy(to, &length, sizeof(length));
        copy_short(to + sizeof(length), data, bytes);
        to += sizeof(length) + bytes;
    } else if (!null && view->class == VALUE_WIDE) {
        sl_i128 wide = view_wide(view, row);
        memcpy(to, &wide, sizeof(wide));
        to += sizeof(wide);
    } else if (!null) {
        memcpy(to, &view->ints[row], sizeof(view->ints[row]));
        to += sizeof(view->ints[row]);
    }
    key->bytes = (size_t)(to - key->data);
    return true;
}

static bool build_key(update *u, int64_t row) {
    sl_buffer *key = &u->table->key;
    sl_buffer_clear(key);
    for (size_t i = 0; i < u->plan->n_groups; i++) {
        if (!append_key(key, &u->groups[i], row)) {
            return false;
        }
    }
    return sl_buffer_reserve(key, 1); /* data is there, also for a key without columns */
}

/* Adds the collected pairs to their accumulators. */
static bool apply_targets(update *u) {
    const sl_window_plan *plan = u->plan;
    target *targets = u->table->targets;
    for (size_t i = 0; plan->kind == SL_WINDOW_SESSION && i < u->n_targets; i++) {
        const table_row *row = (const table_row *)(const void *)(targets[i].state - ROW_HEAD_BYTES);
        while (row->dead) {
            row = row->next;
        }
        targets[i].state = row_state(row);
    }
    bool good = true;
    for (size_t i = 0; i < plan->n_accumulators && good; i++) {
        good = accumulator_update(&plan->accumulators[i], plan->columns, u->columns, &u->order,
                                  targets, u->n_targets);
    }
    u->n_targets = 0;
    return good;
}

static bool add_target(update *u, table_row *row, int64_t batch_row) {
    u->table->targets[u->n_targets++] = (target){row_state(row), (int32_t)batch_row};
    return u->n_targets < TARGETS || apply_targets(u);
}

/* Counts `row` in the pane of the window that begins at start_us; its key is built. */
static bool place(update *u, int64_t row, int64_t start_us, uint64_t hash) {
    const sl_buffer *key = &u->table->key;
    pane *in;
    if (!pane_get(u->table, start_us, &in)) {
        return false;
    }
    table_row *found;
    if (u->plan->kind == SL_WINDOW_SESSION) {
        int64_t time = u->time.ints[row];
        found = session_place(u->plan, in, hash, key->data, key->bytes, time, time);
    } else {
        found = pane_find(in, hash, key->data, key->bytes);
        if (found == NULL) {
            found = pane_add_row(u->plan, in, hash, key->data, key->bytes, false);
            if (found == NULL || !pane_add_key(in, found)) {
                return false;
            }
        }
    }
    if (found == NULL) {
        return false;
    }
    row_changed(in, found);
    return add_target(u, found, row);
}

static int64_t floor_to(int64_t time, int64_t step) {
    int64_t rest = time % step;
    return time - (rest < 0 ? rest + step : rest);
}

/* One row that counts for the clock: into its windows, or late. */
static bool update_row(update *u, int64_t row, int64_t *newest) {
    const sl_window_plan *plan = u->plan;
    int64_t time = u->time.ints[row];
    int64_t watermark = sl_window_clock_watermark(plan, u->clock);
    u->clock->max_event_us = time > u->clock->max_event_us ? time : u->clock->max_event_us;
    bool built = false;
    bool skipped = false;
    uint64_t hash = 0;
    bool session = plan->kind == SL_WINDOW_SESSION;
    if (!session && (time < *newest || time - *newest >= plan->every_us)) {
        *newest = floor_to(time, plan->every_us);
    }
    int64_t start = session ? time : *newest;
    do {
        if (start + plan->size_us <= watermark) {
            skipped = true;
            break; /* the windows before end even earlier */
        }
        if (!built) {
            if (!build_key(u, row)) {
                return false;
            }
            hash = key_hash(u->table->key.data, u->table->key.bytes);
            built = true;
        }
        if (!place(u, row, session ? 0 : start, hash)) {
            return false;
        }
        start -= plan->every_us;
    } while (!session && start + plan->size_us > time);
    if (skipped && built) {
        u->outcome->partly_late++;
    }
    return built || add_late(u->outcome, row);
}

sl_error *sl_window_table_update(sl_window_table *table, sl_window_clock *clock,
                                 const sl_window_origin *origin, const struct ArrowArray *batch,
                                 sl_window_outcome *outcome) {
    update u = {.table = table, .plan = table->plan, .clock = clock, .outcome = outcome};
    outcome->n_late = 0;
    outcome->without_time = 0;
    outcome->ahead = 0;
    outcome->partly_late = 0;
    if (batch->length == 0) {
        return NULL;
    }
    if (!load_columns(&u, batch)) {
        return sl_error_no_memory();
    }
    set_order(&u, origin);
    int64_t newest = MIN_TIME_US - 1; /* the newest window of the row before */
    newest = floor_to(newest, table->plan->every_us);
    for (int64_t row = 0; row < batch->length; row++) {
        int64_t time = u.time.ints[row];
        if (view_is_null(&u.time, row) || time < MIN_TIME_US || time > MAX_TIME_US) {
            outcome->without_time++;
        } else if (table->plan->has_record_time && !view_is_null(&u.record_time, row) &&
                   time - table->plan->max_ahead_us > u.record_time.ints[row]) {
            outcome->ahead++;
        } else if (!update_row(&u, row, &newest)) {
            return sl_error_no_memory();
        }
    }
    return apply_targets(&u) ? NULL : sl_error_no_memory();
}

/* ---- merging ---- */

/* Takes the state of `other`, a row of a pane that is about to go. */
static bool merge_row(sl_window_table *table, pane *in, table_row *other) {
    const sl_window_plan *plan = table->plan;
    table_row *row;
    if (plan->kind == SL_WINDOW_SESSION) {
        row = session_place(plan, in, other->hash, other->key, other->key_bytes, other->first_us,
                            other->last_us);
    } else {
        row = pane_find(in, other->hash, other->key, other->key_bytes);
        if (row == NULL) {
            row = pane_add_row(plan, in, other->hash, other->key, other->key_bytes, false);
            if (row == NULL || !pane_add_key(in, row)) {
                return false;
            }
            memcpy(row_state(row), row_state(other), plan->state_bytes);
            other->dead = true; /* what its state owns has another owner */
            row_changed(in, row);
            return true;
        }
    }
    if (row == NULL || !row_merge(plan, row, row_state(other))) {
        return false;
    }
    row_changed(in, row);
    return true;
}

/* Merges `from` into the table's pane of its window, or makes it that. */
static bool merge_pane(sl_window_table *table, pane *from) {
    size_t index;
    if (!find_pane(table, from->start_us, &index)) {
        for (size_t r = 0; from->n_changed < from->n_rows && r < from->rows_used; r++) {
            if (!from->rows[r]->dead) {
                row_changed(from, from->rows[r]);
            }
        }
        return insert_pane(table, index, from);
    }
    pane *in = table->panes[index];
    for (size_t r = 0; r < from->rows_used; r++) {
        if (!from->rows[r]->dead && !merge_row(table, in, from->rows[r])) {
            return false;
        }
    }
    pane_free(table->plan, from);
    return true;
}

sl_error *sl_window_table_merge(sl_window_table *table, sl_window_table *other) {
    size_t n = 0;
    while (n < other->n_panes && merge_pane(table, other->panes[n])) {
        n++;
    }
    other->last = NULL;
    if (n > 0) {
        other->n_panes -= n;
        memmove(other->panes, other->panes + n, other->n_panes * sizeof(pane *));
    }
    return other->n_panes == 0 ? NULL : sl_error_no_memory();
}
