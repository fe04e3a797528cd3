/* Shredding nested arrays into levels and values: see writer_shred.h. */
#include "parquet/writer_shred.h"

#include <string.h>

/*
 * The entries while going down. Live entries have definition level `level`, the others died on the
 * way with a smaller one. Live ones stand for rows of the present array: `first` and following, or
 * those in `rows`.
 */
typedef struct state {
    sl_pqw_shredder *memory;
    const sl_pqw_shred_path *path;
    const struct ArrowArray *array;
    size_t entries;
    uint8_t level;
    uint8_t lists;       /* list steps passed */
    uint8_t *definition; /* NULL: all live */
    uint8_t *repetition; /* NULL: no list passed yet, all 0 */
    size_t live;
    int64_t first;
    int32_t *rows;
    int side; /* which of the paired buffers is in use */
} state;

void sl_pqw_shredder_free(sl_pqw_shredder *shredder) {
    for (int i = 0; i < 2; i++) {
        sl_buffer_free(&shredder->definition[i]);
        sl_buffer_free(&shredder->repetition[i]);
        sl_buffer_free(&shredder->rows[i]);
    }
}

/* Memory for n items; the buffer holds nothing that matters. */
static void *room(sl_buffer *buffer, size_t n, size_t item_bytes) {
    size_t bytes;
    sl_buffer_clear(buffer);
    if (!sl_mul_size(n + 1, item_bytes, &bytes) || !sl_buffer_reserve(buffer, bytes)) {
        return NULL;
    }
    return buffer->data;
}

/* True when bits [first, first + n) are all 1. */
static bool all_set(const uint8_t *bits, int64_t first, size_t n) {
    int64_t end = first + (int64_t)n;
    int64_t i = first;
    for (; i < end && (i & 7) != 0; i++) {
        if (!sl_bit_get(bits, i)) {
            return false;
        }
    }
    for (; i + 64 <= end; i += 64) {
        uint64_t word;
        memcpy(&word, bits + (i >> 3), sizeof(word));
        if (word != UINT64_MAX) {
            return false;
        }
    }
    for (; i < end; i++) {
        if (!sl_bit_get(bits, i)) {
            return false;
        }
    }
    return true;
}

static bool has_null(const state *s, const uint8_t *validity) {
    if (s->rows == NULL) {
        return !all_set(validity, s->first, s->live);
    }
    for (size_t i = 0; i < s->live; i++) {
        if (!sl_bit_get(validity, s->rows[i])) {
            return true;
        }
    }
    return false;
}

/* All live entries are present at this step, too. */
static void raise_level(state *s) {
    if (s->definition != NULL) {
        for (size_t i = 0; i < s->entries; i++) {
            s->definition[i] = (uint8_t)(s->definition[i] + (s->definition[i] == s->level));
        }
    }
    s->level++;
}

/* Lets the null ones of the live entries die at the present level. */
static sl_error *apply_nulls(state *s, const uint8_t *validity) {
    int32_t *rows = s->rows;
    if (rows == NULL) {
        rows = room(&s->memory->rows[s->side], s->live, sizeof(*rows));
    }
    uint8_t *definition = s->definition;
    if (definition == NULL) {
        definition = room(&s->memory->definition[s->side], s->entries, 1);
        if (definition != NULL) {
            memset(definition, s->level, s->entries);
        }
    }
    if (rows == NULL || definition == NULL) {
        return sl_error_no_memory();
    }
    size_t from = 0;
    size_t to = 0;
    for (size_t i = 0; i < s->entries; i++) {
        if (definition[i] != s->level) {
            continue;
        }
        int64_t row = s->rows == NULL ? s->first + (int64_t)from : s->rows[from];
        from++;
        bool valid = sl_bit_get(validity, row);
        definition[i] = (uint8_t)(s->level + valid);
        rows[to] = (int32_t)row;
        to += valid;
    }
    s->definition = definition;
    s->rows = rows;
    s->live = to;
    s->level++;
    return NULL;
}

static sl_error *step_nulls(state *s, const sl_pqw_shred_step *step) {
    const uint8_t *validity = s->array->null_count == 0 ? NULL : s->array->buffers[0];
    if (validity == NULL || s->live == 0 || !has_null(s, validity)) {
        if (step->nullable) {
            raise_level(s);
        }
        return NULL;
    }
    if (!step->nullable) {
        return sl_error_new(SL_ERROR_RECORD,
                            "column %s holds a null, and its schema says that it must not",
                            s->path->described);
    }
    return apply_nulls(s, validity);
}

/* What a list's expansion will hold. */
typedef struct expansion {
    size_t entries;
    size_t values;
    int64_t first;   /* child row of the first value */
    bool contiguous; /* the values are one run of child rows */
} expansion;

static expansion measure_lists(const state *s, const int32_t *offsets) {
    expansion e = {s->entries - s->live, 0, 0, true};
    int64_t end = -1;
    for (size_t i = 0; i < s->live; i++) {
        int64_t row = s->rows == NULL ? s->first + (int64_t)i : s->rows[i];
        int64_t begin = offsets[row];
        int64_t length = offsets[row + 1] - begin;
        e.entries += length == 0 ? 1 : (size_t)length;
        e.values += (size_t)length;
        if (length > 0) {
            e.contiguous = e.contiguous && (end < 0 || end == begin);
            e.first = end < 0 ? begin : e.first;
            end = begin + length;
        }
    }
    return e;
}

/* Writes the expansion into the other side's buffers. `rows` NULL: contiguous. */
static void expand(const state *s, const int32_t *offsets, uint8_t *definition, uint8_t *repetition,
                   int32_t *rows) {
    uint8_t inner = (uint8_t)(s->lists + 1);
    uint8_t present = (uint8_t)(s->level + 1);
    size_t from = 0;
    size_t to = 0;
    for (size_t i = 0; i < s->entries; i++) {
        uint8_t outer = s->repetition == NULL ? 0 : s->repetition[i];
        uint8_t reached = s->definition == NULL ? s->level : s->definition[i];
        int64_t length = 0;
        if (reached == s->level) {
            int64_t row = s->rows == NULL ? s->first + (int64_t)from : s->rows[from];
            from++;
            length = offsets[row + 1] - offsets[row];
            for (int64_t k = 0; rows != NULL && k < length; k++) {
                *rows++ = (int32_t)(offsets[row] + k);
            }
        }
        repetition[to] = outer;
        definition[to++] = length == 0 ? reached : present;
        for (int64_t k = 1; k < length; k++) {
            repetition[to] = inner;
            definition[to++] = present;
        }
    }
}

static sl_error *step_list(state *s) {
    const int32_t *offsets = s->array->buffers[1];
    expansion e = {s->entries - s->live, 0, 0, true};
    if (s->live > 0) {
        e = measure_lists(s, offsets);
    }
    int other = 1 - s->side;
    uint8_t *definition = room(&s->memory->definition[other], e.entries, 1);
    uint8_t *repetition = room(&s->memory->repetition[other], e.entries, 1);
    int32_t *rows = e.contiguous ? NULL : room(&s->memory->rows[other], e.values, sizeof(*rows));
    if (definition == NULL || repetition == NULL || (rows == NULL && !e.contiguous)) {
        return sl_error_no_memory();
    }
    expand(s, offsets, definition, repetition, rows);
    s->side = other;
    s->definition = e.entries == e.values ? NULL : definition;
    s->repetition = repetition;
    s->rows = rows;
    s->first = e.first;
    s->entries = e.entries;
    s->live = e.values;
    s->level++;
    s->lists++;
    return NULL;
}

static sl_error *descend(state *s, const sl_pqw_shred_step *step) {
    if (step->child >= s->array->n_children) {
        return sl_error_new(SL_ERROR_CONFIG, "column %s: the array has no child %lld",
                            s->path->described, (long long)step->child);
    }
    s->array = s->array->children[step->child];
    if (s->array->offset != 0) {
        return sl_error_new(SL_ERROR_CONFIG, "column %s: the array has an offset (%lld), not 0",
                            s->path->described, (long long)s->array->offset);
    }
    return NULL;
}

sl_error *sl_pqw_shred(sl_pqw_shredder *shredder, const sl_pqw_shred_path *path,
                       const struct ArrowArray *columns, int64_t first, int64_t rows,
                       sl_pqw_shredded *out) {
    state s = {.memory = shredder,
               .path = path,
               .array = columns,
               .entries = (size_t)rows,
               .live = (size_t)rows,
               .first = first};
    for (size_t i = 0; i < path->n_steps; i++) {
        sl_error *error = descend(&s, &path->steps[i]);
        error = error != NULL ? error : step_nulls(&s, &path->steps[i]);
        if (error == NULL && path->steps[i].list) {
            error = step_list(&s);
        }
        if (error != NULL) {
            return error;
        }
    }
    *out =
        (sl_pqw_shredded){s.array, s.entries, s.definition, s.repetition, s.live, s.first, s.rows};
    return NULL;
}

size_t sl_pqw_shred_weight(const sl_pqw_shred_path *path, const struct ArrowArray *columns,
                           int64_t first, int64_t rows) {
    const struct ArrowArray *array = columns;
    for (size_t i = 0; i < path->n_steps && rows > 0; i++) {
        if (path->steps[i].child >= array->n_children) {
            return 0; /* sl_pqw_shred will say it */
        }
        array = array->children[path->steps[i].child];
        if (path->steps[i].list) {
            const int32_t *offsets = array->buffers[1];
            rows = offsets[first + rows] - offsets[first];
            first = offsets[first];
        }
    }
    size_t count = (size_t)rows;
    if (path->value_bytes > 0 || count == 0) {
        return count * (path->value_bytes + 1);
    }
    const int32_t *offsets = array->buffers[1];
    return (size_t)(offsets[first + rows] - offsets[first]) + count * (sizeof(uint32_t) + 1);
}
