/*
 * Building columns row by row: for plugins that link no library of ours. Flat columns of int64,
 * double, boolean, text and bytes.
 *
 *     static const sl_field fields[] = {{"id", "l", 0}, {"name", "u", 1}};
 *     sl_rows_schema(fields, 2, &schema);                    // once, for output_schema
 *     sl_rows *rows = sl_rows_new(fields, 2);                // once per task
 *     sl_rows_i64(rows, 0, 42); sl_rows_text(rows, 1, "x", 1); sl_rows_end(rows);
 *     if (!sl_rows_finish(rows, &columns)) { ... out of memory ... }
 *     emission.columns = &columns;
 *
 * A cell that was not set before sl_rows_end is null. Memory that runs short is remembered and told
 * by sl_rows_finish, so that the calls in between need no check. One thread at a time.
 */
#ifndef SLUICE_ROWS_H
#define SLUICE_ROWS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/arrow.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sl_field {
    const char *name;
    const char *format; /* Arrow: "l", "tsu:UTC", "g", "b", "u", "z" */
    int nullable;
} sl_field;

/* What batches promise behind each buffer. */
#define SL_ROWS_PADDING 64

typedef struct sl_rows_cells {
    uint8_t *valid;
    uint8_t *values;  /* 8 bytes a row, or bits; for text the bytes */
    int32_t *offsets; /* text: rows + 1 */
    size_t value_bytes;
    size_t value_room;
    int64_t nulls;
    int set; /* in the row under way */
} sl_rows_cells;

typedef struct sl_rows {
    const sl_field *fields;
    size_t n_fields;
    sl_rows_cells *cells;
    int64_t rows;
    int64_t room;
    int failed;
} sl_rows;

/* ---- schema ---- */

static inline void sl_rows_release_schema(struct ArrowSchema *schema) {
    int64_t i;
    for (i = 0; i < schema->n_children; i++) {
        if (schema->children[i] != NULL && schema->children[i]->release != NULL) {
            schema->children[i]->release(schema->children[i]);
        }
        free(schema->children[i]);
    }
    free(schema->children);
    schema->release = NULL;
}

/* A "+s" schema of the fields, whose names and formats must live as long as it. 0: memory is short,
 * nothing is owned. */
static inline int sl_rows_schema(const sl_field *fields, size_t n_fields, struct ArrowSchema *out) {
    size_t i;
    memset(out, 0, sizeof(*out));
    out->format = "+s";
    out->name = "";
    out->release = sl_rows_release_schema;
    out->children = (struct ArrowSchema **)calloc(n_fields + 1, sizeof(struct ArrowSchema *));
    if (out->children == NULL) {
        out->release = NULL;
        return 0;
    }
    for (i = 0; i < n_fields; i++) {
        struct ArrowSchema *child = (struct ArrowSchema *)calloc(1, sizeof(*child));
        if (child == NULL) {
            sl_rows_release_schema(out);
            return 0;
        }
        child->format = fields[i].format;
        child->name = fields[i].name;
        child->flags = fields[i].nullable ? ARROW_FLAG_NULLABLE : 0;
        child->release = sl_rows_release_schema;
        out->children[i] = child;
        out->n_children++;
    }
    return 1;
}

/* ---- rows ---- */

static inline int sl_rows_is_text(const sl_field *field) {
    return field->format[0] == 'u' || field->format[0] == 'z';
}

static inline void sl_rows_free(sl_rows *rows) {
    size_t i;
    if (rows == NULL) {
        return;
    }
    for (i = 0; rows->cells != NULL && i < rows->n_fields; i++) {
        free(rows->cells[i].valid);
        free(rows->cells[i].values);
        free(rows->cells[i].offsets);
    }
    free(rows->cells);
    free(rows);
}

/* NULL when memory is short; `fields` must live as long as the rows. */
static inline sl_rows *sl_rows_new(const sl_field *fields, size_t n_fields) {
    sl_rows *rows = (sl_rows *)calloc(1, sizeof(*rows));
    if (rows == NULL) {
        return NULL;
    }
    rows->fields = fields;
    rows->n_fields = n_fields;
    rows->cells = (sl_rows_cells *)calloc(n_fields + 1, sizeof(sl_rows_cells));
    if (rows->cells == NULL) {
        sl_rows_free(rows);
        return NULL;
    }
    return rows;
}

static inline int sl_rows_resize(void **memory, size_t bytes) {
    void *grown = realloc(*memory, bytes + SL_ROWS_PADDING);
    if (grown == NULL) {
        return 0;
    }
    *memory = grown;
    return 1;
}

/* Room for one more row in every column. */
static inline int sl_rows_reserve(sl_rows *rows) {
    size_t i;
    size_t room;
    if (rows->rows < rows->room || rows->failed) {
        return !rows->failed;
    }
    room = rows->room == 0 ? 1024 : (size_t)rows->room * 2;
    for (i = 0; i < rows->n_fields; i++) {
        sl_rows_cells *cells = &rows->cells[i];
        int whole = sl_rows_resize((void **)&cells->valid, room / 8);
        if (whole && sl_rows_is_text(&rows->fields[i])) {
            whole = sl_rows_resize((void **)&cells->offsets, (room + 1) * sizeof(int32_t));
            if (whole && rows->room == 0) {
                cells->offsets[0] = 0;
                whole = sl_rows_resize((void **)&cells->values, 0);
            }
        } else if (whole) {
            whole = sl_rows_resize((void **)&cells->values, room * sizeof(int64_t));
        }
        if (!whole) {
            rows->failed = 1;
            return 0;
        }
    }
    rows->room = (int64_t)room;
    return 1;
}

static inline void sl_rows_put(sl_rows *rows, size_t column, const void *value) {
    if (sl_rows_reserve(rows)) {
        memcpy(rows->cells[column].values + (size_t)rows->rows * sizeof(int64_t), value,
               sizeof(int64_t));
        rows->cells[column].set = 1;
    }
}

static inline void sl_rows_i64(sl_rows *rows, size_t column, int64_t value) {
    sl_rows_put(rows, column, &value);
}

static inline void sl_rows_double(sl_rows *rows, size_t column, double value) {
    sl_rows_put(rows, column, &value);
}

static inline void sl_rows_bool(sl_rows *rows, size_t column, int value) {
    if (sl_rows_reserve(rows)) {
        uint8_t *byte = &rows->cells[column].values[rows->rows >> 3];
        uint8_t bit = (uint8_t)(1u << (rows->rows & 7));
        *byte = (uint8_t)(value ? *byte | bit : *byte & (uint8_t)~bit);
        rows->cells[column].set = 1;
    }
}

/* Text (UTF-8) and bytes; copied. A second call in one row replaces the first. */
static inline void sl_rows_text(sl_rows *rows, size_t column, const void *data, size_t bytes) {
    sl_rows_cells *cells = &rows->cells[column];
    size_t start;
    if (!sl_rows_reserve(rows)) {
        return;
    }
    start = (size_t)cells->offsets[rows->rows];
    if (bytes > (size_t)INT32_MAX - start) {
        rows->failed = 1;
        return;
    }
    if (start + bytes > cells->value_room) {
        size_t room = (start + bytes) * 2;
        if (!sl_rows_resize((void **)&cells->values, room)) {
            rows->failed = 1;
            return;
        }
        cells->value_room = room;
    }
    if (bytes > 0) {
        memcpy(cells->values + start, data, bytes);
    }
    cells->value_bytes = start + bytes;
    cells->set = 1;
}

/* Ends the row. */
static inline void sl_rows_end(sl_rows *rows) {
    size_t i;
    if (!sl_rows_reserve(rows)) {
        return;
    }
    for (i = 0; i < rows->n_fields; i++) {
        sl_rows_cells *cells = &rows->cells[i];
        uint8_t bit = (uint8_t)(1u << (rows->rows & 7));
        uint8_t *byte = &cells->valid[rows->rows >> 3];
        if (cells->set) {
            *byte = (uint8_t)(*byte | bit);
        } else {
            *byte = (uint8_t)(*byte & (uint8_t)~bit);
            cells->nulls++;
            if (!sl_rows_is_text(&rows->fields[i])) {
                memset(cells->values + (size_t)rows->rows * sizeof(int64_t), 0,
                       rows->fields[i].format[0] == 'b' ? 0 : sizeof(int64_t));
            }
        }
        if (sl_rows_is_text(&rows->fields[i])) {
            cells->offsets[rows->rows + 1] = (int32_t)cells->value_bytes;
        }
        cells->set = 0;
    }
    rows->rows++;
}

/* ---- handing over ---- */

static inline void sl_rows_release_array(struct ArrowArray *array) {
    int64_t i;
    for (i = 0; i < array->n_buffers; i++) {
        free((void *)(uintptr_t)array->buffers[i]);
    }
    for (i = 0; i < array->n_children; i++) {
        if (array->children[i] != NULL && array->children[i]->release != NULL) {
            array->children[i]->release(array->children[i]);
        }
        free(array->children[i]);
    }
    free(array->children);
    free(array->buffers);
    array->release = NULL;
}

static inline int sl_rows_new_array(struct ArrowArray *array, size_t n_buffers, size_t n_children) {
    memset(array, 0, sizeof(*array));
    array->buffers = (const void **)calloc(n_buffers + 1, sizeof(void *));
    array->children = (struct ArrowArray **)calloc(n_children + 1, sizeof(struct ArrowArray *));
    array->release = sl_rows_release_array;
    if (array->buffers == NULL || array->children == NULL) {
        sl_rows_release_array(array);
        return 0;
    }
    return 1;
}

/* Moves the cells of one column into an array of its own. */
static inline struct ArrowArray *sl_rows_take_column(sl_rows *rows, size_t column) {
    sl_rows_cells *cells = &rows->cells[column];
    int text = sl_rows_is_text(&rows->fields[column]);
    struct ArrowArray *array = (struct ArrowArray *)malloc(sizeof(*array));
    if (array == NULL || !sl_rows_new_array(array, 3, 0)) {
        free(array);
        return NULL;
    }
    array->length = rows->rows;
    array->null_count = cells->nulls;
    array->n_buffers = text ? 3 : 2;
    if (cells->nulls > 0) {
        array->buffers[0] = cells->valid;
    } else {
        free(cells->valid);
    }
    array->buffers[1] = text ? (const void *)cells->offsets : (const void *)cells->values;
    if (text) {
        array->buffers[2] = cells->values;
    }
    memset(cells, 0, sizeof(*cells));
    return array;
}

/*
 * Moves the rows into `out` as a "+s" array (owned by the caller), and leaves `rows` empty and
 * usable. 0: memory ran short somewhere since the last call; the rows are lost, nothing is owned.
 */
static inline int sl_rows_finish(sl_rows *rows, struct ArrowArray *out) {
    size_t i;
    int whole = sl_rows_reserve(rows) && sl_rows_new_array(out, 1, rows->n_fields);
    if (whole) {
        out->length = rows->rows;
        out->n_buffers = 1;
        for (i = 0; i < rows->n_fields && whole; i++) {
            out->children[i] = sl_rows_take_column(rows, i);
            whole = out->children[i] != NULL;
            out->n_children += whole;
        }
        if (!whole) {
            sl_rows_release_array(out);
        }
    }
    for (i = 0; i < rows->n_fields; i++) {
        free(rows->cells[i].valid);
        free(rows->cells[i].values);
        free(rows->cells[i].offsets);
        memset(&rows->cells[i], 0, sizeof(rows->cells[i]));
    }
    rows->rows = 0;
    rows->room = 0;
    rows->failed = 0;
    return whole;
}

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_ROWS_H */
