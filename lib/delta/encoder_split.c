/*
 * Splits a batch by its tuples of partition values. A tuple whose rows lie together goes to its
 * file as a range, without a copy; others are gathered by row index first. Rows are told apart by a
 * hash and a comparison of the typed values; a tuple becomes text once per batch.
 */
#include <stdlib.h>
#include <string.h>

#include "delta/encoder_internal.h"
#include "delta/rows.h"

/* One tuple of the batch. */
typedef struct tuple {
    int64_t example; /* a row that has it */
    int64_t rows;
    int64_t last; /* its last row */
    uint64_t hash;
    size_t offset; /* of its rows in `indexes` */
} tuple;

/* Memory of the last batch. */
struct split {
    tuple *tuples;
    size_t n_tuples;
    size_t tuple_capacity;
    uint32_t *slots; /* tuple number + 1; a power of two of them */
    size_t n_slots;
    uint32_t *row_tuples; /* tuple number of each row */
    int32_t *indexes;     /* rows ordered by tuple */
    size_t row_capacity;
};

void delta_split_free(struct split *split) {
    if (split != NULL) {
        free(split->tuples);
        free(split->slots);
        free(split->row_tuples);
        free(split->indexes);
        free(split);
    }
}

static delta_rows rows_of(const sl_delta_encoder *encoder, const struct ArrowArray *array) {
    return (delta_rows){&encoder->schema, array, encoder->partition_columns,
                        encoder->n_partition_columns, NULL};
}

static sl_error *reserve_rows(struct split *split, size_t rows) {
    if (rows <= split->row_capacity) {
        return NULL;
    }
    uint32_t *row_tuples = realloc(split->row_tuples, rows * sizeof(*row_tuples));
    if (row_tuples == NULL) {
        return sl_error_no_memory();
    }
    split->row_tuples = row_tuples;
    int32_t *indexes = realloc(split->indexes, rows * sizeof(*indexes));
    if (indexes == NULL) {
        return sl_error_no_memory();
    }
    split->indexes = indexes;
    split->row_capacity = rows;
    return NULL;
}

static sl_error *grow_slots(struct split *split) {
    size_t n = split->n_slots == 0 ? 64 : split->n_slots * 2;
    uint32_t *slots = calloc(n, sizeof(*slots));
    if (slots == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < split->n_tuples; i++) {
        size_t at = (size_t)split->tuples[i].hash & (n - 1);
        while (slots[at] != 0) {
            at = (at + 1) & (n - 1);
        }
        slots[at] = (uint32_t)i + 1;
    }
    free(split->slots);
    split->slots = slots;
    split->n_slots = n;
    return NULL;
}

static sl_error *add_tuple(struct split *split, int64_t row, uint64_t hash, size_t slot) {
    if (split->n_tuples == split->tuple_capacity) {
        size_t capacity = split->tuple_capacity == 0 ? 32 : split->tuple_capacity * 2;
        tuple *tuples = realloc(split->tuples, capacity * sizeof(*tuples));
        if (tuples == NULL) {
            return sl_error_no_memory();
        }
        split->tuples = tuples;
        split->tuple_capacity = capacity;
    }
    split->tuples[split->n_tuples] = (tuple){.example = row, .hash = hash};
    split->slots[slot] = (uint32_t)++split->n_tuples;
    return split->n_tuples * 2 > split->n_slots ? grow_slots(split) : NULL;
}

/* The tuple of a row that differs from the row before it. */
static sl_error *find_tuple(struct split *split, const delta_rows *rows, int64_t row,
                            uint32_t *out) {
    uint64_t hash = delta_rows_hash(rows, row);
    size_t at = (size_t)hash & (split->n_slots - 1);
    for (; split->slots[at] != 0; at = (at + 1) & (split->n_slots - 1)) {
        const tuple *t = &split->tuples[split->slots[at] - 1];
        if (t->hash == hash && delta_rows_equal(rows, t->example, rows, row)) {
            *out = split->slots[at] - 1;
            return NULL;
        }
    }
    *out = (uint32_t)split->n_tuples;
    return add_tuple(split, row, hash, at);
}

static sl_error *assign(struct split *split, const delta_rows *values, int64_t first,
                        int64_t rows) {
    uint32_t current = 0;
    for (int64_t i = 0; i < rows; i++) {
        int64_t row = first + i;
        if (i == 0 || !delta_rows_equal(values, row - 1, values, row)) {
            sl_error *error = find_tuple(split, values, row, &current);
            if (error != NULL) {
                return error;
            }
        }
        split->row_tuples[i] = current;
        split->tuples[current].rows++;
        split->tuples[current].last = row;
    }
    return NULL;
}

/* Row numbers ordered by tuple, as sl_array_take wants them. */
static void order_rows(struct split *split, int64_t first, int64_t rows) {
    size_t offset = 0;
    for (size_t i = 0; i < split->n_tuples; i++) {
        split->tuples[i].offset = offset;
        offset += (size_t)split->tuples[i].rows;
    }
    for (int64_t i = 0; i < rows; i++) {
        tuple *t = &split->tuples[split->row_tuples[i]];
        split->indexes[t->offset++] = (int32_t)(first + i);
    }
}

static sl_error *write_tuple(sl_delta_encoder *encoder, const struct ArrowArray *array,
                             const tuple *t) {
    out_file *file = NULL;
    sl_error *error = delta_encoder_file(encoder, array, t->example, &file);
    if (error != NULL) {
        return error;
    }
    if (t->last - t->example + 1 == t->rows) {
        return delta_encoder_write(encoder, file, array, t->example, t->rows);
    }
    struct ArrowArray taken;
    const int32_t *indexes = encoder->split->indexes + t->offset - t->rows;
    error = sl_array_take(&encoder->schema, array, indexes, t->rows, &taken);
    if (error == NULL) {
        error = delta_encoder_write(encoder, file, &taken, 0, t->rows);
        taken.release(&taken);
    }
    return error;
}

sl_error *delta_encoder_split(sl_delta_encoder *encoder, const struct ArrowArray *array,
                              int64_t first, int64_t rows) {
    if (encoder->split == NULL) {
        encoder->split = calloc(1, sizeof(*encoder->split));
        if (encoder->split == NULL) {
            return sl_error_no_memory();
        }
    }
    struct split *split = encoder->split;
    split->n_tuples = 0;
    sl_error *error = reserve_rows(split, (size_t)rows);
    if (error == NULL && split->n_slots == 0) {
        error = grow_slots(split);
    } else if (error == NULL) {
        memset(split->slots, 0, split->n_slots * sizeof(*split->slots));
    }
    delta_rows values = rows_of(encoder, array);
    error = error ? error : assign(split, &values, first, rows);
    if (error != NULL) {
        return error;
    }
    if (split->n_tuples > 1) {
        order_rows(split, first, rows);
    }
    for (size_t i = 0; i < split->n_tuples && error == NULL; i++) {
        error = write_tuple(encoder, array, &split->tuples[i]);
    }
    return error;
}
