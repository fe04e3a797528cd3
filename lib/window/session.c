/*
 * Sessions: per group, intervals of event time that grow together. Two rows belong to one session
 * when they are less than the gap apart, or when rows between them connect them; so the sessions of
 * a set of rows do not depend on the order in which they come or are merged.
 */
#include "internal.h"

#include <stdlib.h>

/* Less than the gap between [first_us, last_us] and the row's session. */
static bool connects(const sl_window_plan *plan, const table_row *row, int64_t first_us,
                     int64_t last_us) {
    return first_us - row->last_us < plan->size_us && row->first_us - last_us < plan->size_us;
}

/* The session `row` takes in `gone`; pending targets of `gone` find `row` through its next. */
static bool absorb(const sl_window_plan *plan, pane *in, table_row *row, table_row *gone) {
    if (!row_merge(plan, row, row_state(gone))) {
        return false;
    }
    row->first_us = gone->first_us < row->first_us ? gone->first_us : row->first_us;
    row->last_us = gone->last_us > row->last_us ? gone->last_us : row->last_us;
    if (gone->changed) {
        in->n_changed--;
    }
    pane_free_row_values(plan, gone);
    gone->dead = true;
    gone->next = row;
    in->n_rows--;
    return true;
}

/* The head of a list stays where the slot points to; others come behind it. */
table_row *session_place(const sl_window_plan *plan, pane *in, uint64_t hash, const uint8_t *key,
                         size_t key_bytes, int64_t first_us, int64_t last_us) {
    table_row *head = pane_find(in, hash, key, key_bytes);
    table_row *found = NULL;
    for (table_row *row = head, *before = NULL; row != NULL;) {
        table_row *next = row->next;
        if (!connects(plan, row, first_us, last_us)) {
            before = row;
        } else if (found == NULL) {
            found = row;
            found->first_us = first_us < found->first_us ? first_us : found->first_us;
            found->last_us = last_us > found->last_us ? last_us : found->last_us;
            before = row;
        } else {
            before->next = next;
            if (!absorb(plan, in, found, row)) {
                return NULL;
            }
        }
        row = next;
    }
    if (found != NULL) {
        return found;
    }
    found = pane_add_row(plan, in, hash, head == NULL ? key : head->key, key_bytes, head != NULL);
    if (found == NULL) {
        return NULL;
    }
    found->first_us = first_us;
    found->last_us = last_us;
    if (head == NULL) {
        return pane_add_key(in, found) ? found : NULL;
    }
    found->next = head->next;
    head->next = found;
    return found;
}

/*
 * A row may come that is in time (its own window [t, t + gap) ends after the watermark) and
 * connects to a session as long as the watermark is less than a gap after the session's end. So
 * only then is it closed.
 */
bool session_is_closed(const sl_window_plan *plan, const table_row *row, int64_t watermark) {
    return watermark != SL_TIME_NONE && watermark - plan->size_us >= row->last_us + plan->size_us;
}

/* Moves the state of `row`, and with it what it owns, to a new row of `to`. On failure `row` has it
 * still. */
static bool move_row(const sl_window_plan *plan, pane *to, table_row *row) {
    table_row *head = pane_find(to, row->hash, row->key, row->key_bytes);
    table_row *moved = pane_add_row(plan, to, row->hash, head == NULL ? row->key : head->key,
                                    row->key_bytes, head != NULL);
    if (moved == NULL || (head == NULL && !pane_add_key(to, moved))) {
        return false;
    }
    memcpy(row_state(moved), row_state(row), plan->state_bytes);
    moved->first_us = row->first_us;
    moved->last_us = row->last_us;
    moved->changed = row->changed;
    to->n_changed += row->changed ? 1 : 0;
    if (head != NULL) {
        moved->next = head->next;
        head->next = moved;
    }
    row->dead = true;
    return true;
}

bool session_remove(const sl_window_plan *plan, pane *from, int64_t watermark) {
    pane *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL) {
        return false;
    }
    for (size_t i = 0; i < from->rows_used; i++) {
        table_row *row = from->rows[i];
        if (row->dead) {
            continue;
        }
        if (session_is_closed(plan, row, watermark)) {
            pane_free_row_values(plan, row);
            row->dead = true;
        } else if (!move_row(plan, fresh, row)) {
            pane_free(plan, fresh);
            return false;
        }
    }
    pane old = *from;
    *from = *fresh;
    *fresh = old;
    pane_free(plan, fresh);
    return true;
}
