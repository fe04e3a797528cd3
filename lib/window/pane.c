/*
 * Panes: the groups of one window. An open-addressing table from key to row; rows and keys lie in
 * blocks that never move. A key is the group columns' values in one piece of memory: for each
 * column 1 and the value (a length before strings), or 0 for null.
 */
#include <stdlib.h>

#define XXH_INLINE_ALL
#include "internal.h"

#include <xxhash.h>

#define FIRST_SLOTS 32u
#define FIRST_BLOCK_BYTES ((size_t)4096)
#define MAX_BLOCK_BYTES ((size_t)1 << 20)
#define BLOCK_HEAD_BYTES ((sizeof(block) + 15) & ~(size_t)15)

uint64_t key_hash(const uint8_t *key, size_t key_bytes) {
    return XXH3_64bits(key, key_bytes);
}

/* `bytes` of memory aligned to 16; blocks double in size. */
static uint8_t *allocate(pane *in, block **list, size_t bytes) {
    bytes = (bytes + 15) & ~(size_t)15;
    block *head = *list;
    if (head == NULL || head->capacity_bytes - head->used_bytes < bytes) {
        size_t capacity = head == NULL ? FIRST_BLOCK_BYTES : head->capacity_bytes * 2;
        capacity = capacity > MAX_BLOCK_BYTES ? MAX_BLOCK_BYTES : capacity;
        capacity = capacity < bytes ? bytes : capacity;
        block *added = malloc(BLOCK_HEAD_BYTES + capacity);
        if (added == NULL) {
            return NULL;
        }
        *added = (block){head, 0, capacity};
        *list = added;
        head = added;
        in->block_bytes += BLOCK_HEAD_BYTES + capacity;
    }
    uint8_t *at = (uint8_t *)head + BLOCK_HEAD_BYTES + head->used_bytes;
    head->used_bytes += bytes;
    return at;
}

static void free_blocks(block *list) {
    while (list != NULL) {
        block *next = list->next;
        free(list);
        list = next;
    }
}

void pane_free_row_values(const sl_window_plan *plan, table_row *row) {
    for (size_t i = 0; i < plan->n_accumulators; i++) {
        accumulator_free(&plan->accumulators[i], plan->columns, row_state(row));
    }
}

void pane_free(const sl_window_plan *plan, pane *freed) {
    for (size_t i = 0; i < freed->rows_used; i++) {
        if (!freed->rows[i]->dead) {
            pane_free_row_values(plan, freed->rows[i]);
        }
    }
    free_blocks(freed->row_blocks);
    free_blocks(freed->key_blocks);
    free(freed->rows);
    free(freed->slots);
    free(freed);
}

table_row *pane_find(const pane *searched, uint64_t hash, const uint8_t *key, size_t key_bytes) {
    if (searched->n_slots == 0) {
        return NULL;
    }
    size_t mask = searched->n_slots - 1;
    for (size_t i = hash & mask; searched->slots[i].row != NULL; i = (i + 1) & mask) {
        const slot *at = &searched->slots[i];
        if (at->hash == hash && at->row->key_bytes == key_bytes &&
            memcmp(at->row->key, key, key_bytes) == 0) {
            return at->row;
        }
    }
    return NULL;
}

static void insert(slot *slots, size_t n_slots, table_row *row) {
    size_t mask = n_slots - 1;
    size_t i = row->hash & mask;
    while (slots[i].row != NULL) {
        i = (i + 1) & mask;
    }
    slots[i] = (slot){row->hash, row};
}

bool pane_add_key(pane *to, table_row *row) {
    if ((to->n_keys + 1) * 2 > to->n_slots) {
        size_t n = to->n_slots == 0 ? FIRST_SLOTS : to->n_slots * 2;
        slot *slots = calloc(n, sizeof(*slots));
        if (slots == NULL) {
            return false;
        }
        for (size_t i = 0; i < to->n_slots; i++) {
            if (to->slots[i].row != NULL) {
                insert(slots, n, to->slots[i].row);
            }
        }
        free(to->slots);
        to->slots = slots;
        to->n_slots = n;
    }
    insert(to->slots, to->n_slots, row);
    to->n_keys++;
    return true;
}

table_row *pane_add_row(const sl_window_plan *plan, pane *to, uint64_t hash, const uint8_t *key,
                        size_t key_bytes, bool known) {
    if (to->rows_used == to->rows_capacity) {
        size_t capacity = to->rows_capacity == 0 ? 16 : to->rows_capacity * 2;
        table_row **rows = realloc(to->rows, capacity * sizeof(table_row *));
        if (rows == NULL) {
            return NULL;
        }
        to->rows = rows;
        to->rows_capacity = capacity;
    }
    size_t bytes = ROW_HEAD_BYTES + plan->state_bytes;
    table_row *row = (table_row *)(void *)allocate(to, &to->row_blocks, bytes);
    uint8_t *copy = known || row == NULL ? NULL : allocate(to, &to->key_blocks, key_bytes + 1);
    if (row == NULL || (!known && copy == NULL)) {
        return NULL;
    }
    memset(row, 0, bytes);
    if (!known && key_bytes > 0) {
        memcpy(copy, key, key_bytes);
    }
    row->hash = hash;
    row->key = known ? key : copy;
    row->key_bytes = (uint32_t)key_bytes;
    to->rows[to->rows_used++] = row;
    to->n_rows++;
    return row;
}

bool row_merge(const sl_window_plan *plan, table_row *row, const uint8_t *other_state) {
    bool good = true;
    for (size_t i = 0; i < plan->n_accumulators && good; i++) {
        good =
            accumulator_merge(&plan->accumulators[i], plan->columns, row_state(row), other_state);
    }
    return good;
}

static int compare_rows(const void *a, const void *b) {
    const table_row *x = *(table_row *const *)a;
    const table_row *y = *(table_row *const *)b;
    size_t shared = x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes;
    int order = memcmp(x->key, y->key, shared);
    if (order == 0 && x->key_bytes != y->key_bytes) {
        order = x->key_bytes < y->key_bytes ? -1 : 1;
    }
    return order != 0 ? order : x->first_us < y->first_us ? -1 : x->first_us > y->first_us;
}

bool pane_sorted(const pane *from, table_row ***out, size_t *n) {
    table_row **sorted = malloc((from->n_rows + 1) * sizeof(table_row *));
    if (sorted == NULL) {
        return false;
    }
    *n = 0;
    for (size_t i = 0; i < from->rows_used; i++) {
        if (!from->rows[i]->dead) {
            sorted[(*n)++] = from->rows[i];
        }
    }
    qsort(sorted, *n, sizeof(sorted[0]), compare_rows);
    *out = sorted;
    return true;
}

int64_t row_window_start(const sl_window_plan *plan, const pane *in, const table_row *row) {
    return plan->kind == SL_WINDOW_SESSION ? row->first_us : in->start_us;
}

int64_t row_window_end(const sl_window_plan *plan, const pane *in, const table_row *row) {
    return (plan->kind == SL_WINDOW_SESSION ? row->last_us : in->start_us) + plan->size_us;
}
