/*
 * Assembly of nested columns. Each inner node looks at the levels of one column below it; the
 * others must come to the same lengths, which is checked, since offsets into a shorter child would
 * point outside it.
 */
#include "parquet/reader_assemble.h"

#include <string.h>

/* One pass over a column's levels. */
typedef struct level_walk {
    const uint8_t *defs;
    const uint8_t *reps; /* NULL: all 0 */
    size_t n;
} level_walk;

static level_walk walk_of(const sl_pqr_column *column) {
    return (level_walk){column->defs, column->leaf->rep_level > 0 ? column->reps : NULL,
                        column->n_levels};
}

static inline uint8_t rep_at(const level_walk *walk, size_t i) {
    return walk->reps == NULL ? 0 : walk->reps[i];
}

static sl_error *check_length(const sl_pqr_plan *plan, int64_t rows) {
    if (plan->builder->length == rows) {
        return NULL;
    }
    return sl_pqr_error(&plan->column->where, SL_ERROR_CORRUPT,
                        "it has %lld values where the other columns of the same struct or list "
                        "have %lld",
                        (long long)plan->builder->length, (long long)rows);
}

/* Reserves rows at once and makes room for nulls if the node may have any. */
static sl_error *prepare(const sl_pqr_plan *plan, size_t rows) {
    sl_pqr_column *column = plan->column;
    sl_error *error = sl_pqr_charge(column->budget, &column->where, rows * sizeof(int32_t));
    if (error == NULL) {
        error = sl_builder_reserve(plan->builder, (int64_t)rows, 0);
    }
    if (error == NULL && plan->node->nullable && !sl_pqr_start_validity(plan->builder)) {
        error = sl_error_no_memory();
    }
    return error;
}

/* How many instances of the node there are. */
static size_t count_instances(const sl_pqr_node *node, const level_walk *walk) {
    size_t count = 0;
    for (size_t i = 0; i < walk->n; i++) {
        count += rep_at(walk, i) <= node->rep_level && walk->defs[i] >= node->list_def ? 1 : 0;
    }
    return count;
}

static void append_instance(sl_builder *builder, const sl_pqr_node *node, uint8_t def) {
    if (builder->validity != NULL) {
        bool valid = def >= node->def_level;
        sl_bit_append(builder->validity, builder->length, valid);
        builder->null_count += valid ? 0 : 1;
    }
    builder->length++;
}

static sl_error *assemble_struct(const sl_pqr_plan *plan, int64_t rows) {
    const sl_pqr_node *node = plan->node;
    if (!node->nullable) { /* levels would tell nothing new, and may not have been kept */
        sl_error *error = prepare(plan, (size_t)rows);
        plan->builder->length = error == NULL ? rows : 0;
        return error;
    }
    level_walk walk = walk_of(plan->column);
    sl_error *error = prepare(plan, count_instances(node, &walk));
    for (size_t i = 0; i < walk.n && error == NULL; i++) {
        if (rep_at(&walk, i) <= node->rep_level && walk.defs[i] >= node->list_def) {
            append_instance(plan->builder, node, walk.defs[i]);
        }
    }
    return error;
}

/* *elements: length that the list's child must have. */
static sl_error *assemble_list(const sl_pqr_plan *plan, int64_t *elements) {
    const sl_pqr_node *node = plan->node;
    sl_builder *builder = plan->builder;
    level_walk walk = walk_of(plan->column);
    sl_error *error = prepare(plan, count_instances(node, &walk));
    if (error != NULL) {
        return error;
    }
    int32_t count = 0;
    for (size_t i = 0; i < walk.n; i++) {
        uint8_t rep = rep_at(&walk, i);
        uint8_t def = walk.defs[i];
        if (rep <= node->rep_level && def >= node->list_def) {
            append_instance(builder, node, def);
            builder->offsets[builder->length] = count;
        }
        if (rep <= node->rep_level + 1 && def > node->def_level) {
            if (builder->length == 0 || count == INT32_MAX) {
                return sl_pqr_error(&plan->column->where, SL_ERROR_CORRUPT,
                                    "an element of a list stands outside any list");
            }
            builder->offsets[builder->length] = ++count;
        }
    }
    *elements = count;
    return NULL;
}

sl_error *sl_pqr_assemble(const sl_pqr_plan *plan, int64_t rows) {
    sl_error *error = NULL;
    int64_t child_rows = rows;
    if (plan->node->kind == SL_PQR_STRUCT) {
        error = assemble_struct(plan, rows);
    } else if (plan->node->kind != SL_PQR_LEAF) {
        error = assemble_list(plan, &child_rows);
    }
    for (size_t i = 0; i < plan->n_children && error == NULL; i++) {
        error = sl_pqr_assemble(&plan->children[i], child_rows);
    }
    return error == NULL ? check_length(plan, rows) : error;
}
