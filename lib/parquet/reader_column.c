/*
 * Rows of one column: levels are decoded in blocks, values appended densely and then spread over
 * the slots that nulls leave. Columns outside lists go straight through; columns inside lists stop
 * where the next row begins, and keep what is left of the block.
 */
#include "parquet/reader_column.h"

#include <stdlib.h>
#include <string.h>

sl_error *sl_pqr_column_init(sl_pqr_column *column, const sl_pqr_source *source,
                             const sl_pqr_node *leaf, const struct ArrowSchema *leaf_schema,
                             sl_builder *builder, sl_pqr_scratch *scratch, sl_pqr_budget *budget) {
    memset(column, 0, sizeof(*column));
    column->source = source;
    column->leaf = leaf;
    column->builder = builder;
    column->scratch = scratch;
    column->budget = budget;
    column->where =
        (sl_pqr_where){.file = source->input.name, .column = leaf->path, .page_offset = -1};
    return sl_builder_init(&column->dictionary, leaf_schema);
}

void sl_pqr_column_free(sl_pqr_column *column) {
    sl_pqr_window_free(&column->window);
    sl_builder_free(&column->dictionary);
    sl_buffer_free(&column->previous);
    free(column->page);
    free(column->defs);
    free(column->reps);
    memset(column, 0, sizeof(*column));
}

sl_error *sl_pqr_chunk_range(const sl_pqr_source *source, const sl_pqr_where *where,
                             const sl_pqr_chunk *chunk, int64_t *begin, int64_t *end) {
    /* some writers leave the dictionary's offset 0, or say one behind the data */
    *begin = chunk->data_page_offset;
    if (chunk->dictionary_page_offset > 0 && chunk->dictionary_page_offset < *begin) {
        *begin = chunk->dictionary_page_offset;
    }
    if (*begin < 0 || chunk->compressed_bytes < 0 || chunk->n_values < 0 ||
        *begin > source->input.file_bytes ||
        chunk->compressed_bytes > source->input.file_bytes - *begin) {
        return sl_pqr_error(where, SL_ERROR_CORRUPT,
                            "its column chunk of %lld bytes at offset %lld is not inside the file "
                            "of %lld bytes",
                            (long long)chunk->compressed_bytes, (long long)*begin,
                            (long long)source->input.file_bytes);
    }
    *end = *begin + chunk->compressed_bytes;
    return NULL;
}

sl_error *sl_pqr_column_start(sl_pqr_column *column, const sl_pqr_chunk *chunk, size_t row_group,
                              const sl_pqr_window *span) {
    column->where.row_group = row_group;
    column->where.page_offset = -1;
    column->page_values_left = 0;
    column->block_at = 0;
    column->block_n = 0;
    column->mid_chunk = false;
    column->has_dictionary = false;
    column->codec = chunk->codec;
    column->values_left = chunk->n_values;
    sl_pqr_window_free(&column->window);
    if (span != NULL) {
        column->window = *span;
        column->window.owned = (sl_store_bytes){0};
    }
    return sl_pqr_chunk_range(column->source, &column->where, chunk, &column->at_offset,
                              &column->end_offset);
}

sl_error *sl_pqr_column_check_end(const sl_pqr_column *column) {
    int64_t left = column->values_left + (int64_t)column->page_values_left +
                   (int64_t)(column->block_n - column->block_at);
    return left == 0 ? NULL
                     : sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                                    "it has %lld more values than the row group has rows",
                                    (long long)left);
}

/* ---- bitmaps ---- */

void sl_pqr_append_bits(uint8_t *bits, int64_t at, const uint8_t *flags, size_t n) {
    size_t i = 0;
    for (; i < n && ((at + (int64_t)i) & 7) != 0; i++) {
        sl_bit_append(bits, at + (int64_t)i, flags[i] != 0);
    }
    uint8_t *out = bits + ((at + (int64_t)i) >> 3);
    for (; i < n; i += 8) { /* eight bytes become eight bits; bits past n do not matter */
        uint64_t bytes;
        memcpy(&bytes, flags + i, 8);
        *out++ = (uint8_t)((bytes * UINT64_C(0x0102040810204080)) >> 56);
    }
}

bool sl_pqr_start_validity(sl_builder *builder) {
    if (builder->validity == NULL) {
        size_t bytes = (size_t)(builder->capacity + 7) / 8;
        builder->validity = malloc(bytes + SL_COLUMNS_PADDING);
        if (builder->validity == NULL) {
            return false;
        }
        memset(builder->validity, 0xff, (size_t)(builder->length + 7) / 8);
    }
    return true;
}

/* ---- values into slots ---- */

#define SPREAD_CASE(width)                                                                         \
    case width:                                                                                    \
        while (slot > source) {                                                                    \
            slot--;                                                                                \
            if (valid[slot]) {                                                                     \
                source--;                                                                          \
                memcpy(data + slot * (width), data + source * (width), width);                     \
            } else {                                                                               \
                memset(data + slot * (width), 0, width);                                           \
            }                                                                                      \
        }                                                                                          \
        break;

/* n_valid values lie at the front of `data`: each moves to its slot, from the last one on. */
static void spread_fixed(uint8_t *data, size_t width, const uint8_t *valid, size_t n,
                         size_t n_valid) {
    size_t slot = n;
    size_t source = n_valid;
    switch (width) {
        SPREAD_CASE(1)
        SPREAD_CASE(2)
        SPREAD_CASE(4)
        SPREAD_CASE(8)
        SPREAD_CASE(16)
    default:
        while (slot > source) {
            slot--;
            if (valid[slot]) {
                source--;
                memmove(data + slot * width, data + source * width, width);
            } else {
                memset(data + slot * width, 0, width);
            }
        }
        break;
    }
}

/* The same for the ends of strings; a null one ends where the one before it does. */
static void spread_offsets(int32_t *ends, const uint8_t *valid, size_t n, size_t n_valid) {
    size_t source = n_valid;
    int32_t before = ends[-1];
    for (size_t slot = n; slot > source; slot--) {
        ends[slot - 1] = source == 0 ? before : ends[source - 1];
        source -= valid[slot - 1] ? 1 : 0;
    }
}

static sl_error *append_bools(sl_pqr_column *column, const uint8_t *valid, size_t n,
                              size_t n_valid) {
    uint8_t *flags = column->scratch->flags;
    sl_error *error = sl_pqr_values_bools(&column->values, n_valid, flags);
    if (error == NULL) {
        spread_fixed(flags, 1, valid, n, n_valid);
        memset(flags + n, 0, 8);
        sl_pqr_append_bits(column->builder->data, column->builder->length, flags, n);
    }
    return error;
}

/* Appends n slots, of which those with valid[i] (n_valid of them) have a value in the page. */
static sl_error *append_slots(sl_pqr_column *column, const uint8_t *valid, size_t n,
                              size_t n_valid) {
    sl_builder *builder = column->builder;
    sl_error *error = sl_builder_reserve(builder, (int64_t)n, 0);
    if (error != NULL) {
        return error;
    }
    if (n_valid < n && !sl_pqr_start_validity(builder)) {
        return sl_error_no_memory();
    }
    if (column->leaf->convert == SL_PQR_BOOL) {
        error = append_bools(column, valid, n, n_valid);
    } else {
        error = sl_pqr_values_append(&column->values, n_valid, builder, column->scratch,
                                     column->budget);
        if (error == NULL && builder->type.width_bytes > 0) {
            size_t width = (size_t)builder->type.width_bytes;
            spread_fixed(builder->data + (size_t)builder->length * width, width, valid, n, n_valid);
        } else if (error == NULL) {
            spread_offsets(builder->offsets + builder->length + 1, valid, n, n_valid);
        }
    }
    if (error != NULL) {
        return error;
    }
    if (builder->validity != NULL) {
        sl_pqr_append_bits(builder->validity, builder->length, valid, n);
    }
    builder->length += (int64_t)n;
    builder->null_count += (int64_t)(n - n_valid);
    return NULL;
}

/* ---- levels ---- */

/* Room in the kept levels for n more. */
static sl_error *reserve_levels(sl_pqr_column *column, size_t n) {
    size_t wanted = column->n_levels + n;
    if (wanted <= column->levels_capacity) {
        return NULL;
    }
    size_t capacity = wanted + wanted / 2 + SL_PQR_BLOCK;
    uint8_t *defs = realloc(column->defs, capacity);
    if (defs == NULL) {
        return sl_error_no_memory();
    }
    column->defs = defs;
    if (column->leaf->rep_level > 0) {
        uint8_t *reps = realloc(column->reps, capacity);
        if (reps == NULL) {
            return sl_error_no_memory();
        }
        column->reps = reps;
    }
    column->levels_capacity = capacity;
    return NULL;
}

static sl_error *keep(sl_pqr_column *column, const uint8_t *defs, const uint8_t *reps, size_t n) {
    sl_error *error = reserve_levels(column, n);
    if (error != NULL) {
        return error;
    }
    memcpy(column->defs + column->n_levels, defs, n);
    if (column->leaf->rep_level > 0) {
        memcpy(column->reps + column->n_levels, reps, n);
    }
    column->n_levels += n;
    return NULL;
}

static sl_error *decode_levels(const sl_pqr_column *column, sl_pqr_rle *rle, unsigned max, size_t n,
                               uint8_t *out) {
    if (sl_pqr_rle_u8(rle, n, out) != n) {
        return sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                            "it has fewer levels than values, or malformed ones");
    }
    uint8_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        largest = out[i] > largest ? out[i] : largest;
    }
    return largest <= max ? NULL
                          : sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                                         "a level is %u where the schema's largest is %u",
                                         (unsigned)largest, max);
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* valid[i] = levels[i] == max; returns how many. `valid` may be `levels`. */
static size_t mark_valid(const uint8_t *levels, size_t n, unsigned max, uint8_t *valid) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t is = levels[i] == max ? 1 : 0;
        count += is;
        valid[i] = is;
    }
    return count;
}

/* Memory of n slots, strings' bytes aside, and of the levels that they came from. Levels count even
 * where they are not kept: a run of two thousand million of them takes a few bytes of a file. */
static sl_error *charge_slots(sl_pqr_column *column, size_t n, size_t levels) {
    size_t width = column->builder->type.width_bytes > 0 ? (size_t)column->builder->type.width_bytes
                                                         : sizeof(int32_t);
    return sl_pqr_charge(column->budget, &column->where, n * width + n / 8 + 2 * levels);
}

/* ---- columns outside lists: a level is a row ---- */

static sl_error *read_flat_block(sl_pqr_column *column, size_t n) {
    uint8_t valid[SL_PQR_BLOCK + 8];
    size_t n_valid = n;
    unsigned max = column->leaf->def_level;
    sl_error *error = charge_slots(column, n, column->keep_levels ? n : 0);
    if (error != NULL) {
        return error;
    }
    if (max == 0) {
        memset(valid, 1, n);
    } else {
        error = decode_levels(column, &column->def, max, n, valid);
        if (error == NULL && column->keep_levels) {
            error = keep(column, valid, NULL, n);
        }
        if (error != NULL) {
            return error;
        }
        n_valid = mark_valid(valid, n, max, valid);
    }
    memset(valid + n, 0, 8);
    error = append_slots(column, valid, n, n_valid);
    column->page_values_left -= n;
    return error;
}

static sl_error *read_flat(sl_pqr_column *column, int64_t rows) {
    while (rows > 0) {
        sl_error *error = sl_pqr_column_next_page(column);
        if (error != NULL) {
            return error;
        }
        size_t n = smaller(column->page_values_left, SL_PQR_BLOCK);
        n = (uint64_t)rows < n ? (size_t)rows : n;
        error = read_flat_block(column, n);
        if (error != NULL) {
            return error;
        }
        rows -= (int64_t)n;
    }
    return NULL;
}

/* ---- columns inside lists: a row begins at repetition level 0 ---- */

static sl_error *fill_block(sl_pqr_column *column) {
    sl_error *error = sl_pqr_column_next_page(column);
    if (error != NULL) {
        return error;
    }
    size_t n = smaller(column->page_values_left, SL_PQR_BLOCK);
    error = decode_levels(column, &column->rep, column->leaf->rep_level, n, column->block_rep);
    if (error == NULL) {
        error = decode_levels(column, &column->def, column->leaf->def_level, n, column->block_def);
    }
    if (error == NULL && !column->mid_chunk && column->block_rep[0] != 0) {
        error = sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                             "its column chunk begins in the middle of a row");
    }
    column->mid_chunk = true;
    column->block_at = 0;
    column->block_n = error == NULL ? n : 0;
    column->page_values_left -= n;
    return error;
}

/* Levels [block_at, block_at + n) become slots: those at which the nearest list has an element. */
static sl_error *use_levels(sl_pqr_column *column, size_t n) {
    const uint8_t *defs = column->block_def + column->block_at;
    if (n == 0) {
        return NULL;
    }
    uint8_t valid[SL_PQR_BLOCK + 8];
    size_t slots = 0;
    size_t n_valid = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t is = defs[i] == column->leaf->def_level ? 1 : 0;
        valid[slots] = is;
        slots += defs[i] >= column->leaf->list_def ? 1 : 0;
        n_valid += is;
    }
    memset(valid + slots, 0, 8);
    sl_error *error = charge_slots(column, slots, n);
    if (error == NULL && column->keep_levels) {
        error = keep(column, defs, column->block_rep + column->block_at, n);
    }
    if (error == NULL && slots > 0) {
        error = append_slots(column, valid, slots, n_valid);
    }
    column->block_at += n;
    return error;
}

/* Levels of the block up to where row *rows + 1 begins; counts down the rows that begin. */
static size_t levels_of_rows(const sl_pqr_column *column, int64_t *rows) {
    size_t at = column->block_at;
    for (; at < column->block_n; at++) {
        if (column->block_rep[at] == 0) {
            if (*rows == 0) {
                break;
            }
            --*rows;
        }
    }
    return at - column->block_at;
}

static sl_error *read_repeated(sl_pqr_column *column, int64_t rows) {
    for (;;) {
        if (column->block_at == column->block_n) {
            bool ended = column->values_left == 0 && column->page_values_left == 0;
            if (ended && rows == 0) {
                return NULL;
            }
            sl_error *error = fill_block(column);
            if (error != NULL) {
                return error;
            }
        }
        size_t n = levels_of_rows(column, &rows);
        sl_error *error = use_levels(column, n);
        if (error != NULL || column->block_at < column->block_n) {
            return error;
        }
    }
}

sl_error *sl_pqr_column_read(sl_pqr_column *column, int64_t rows) {
    if (rows == 0) {
        return NULL;
    }
    return column->leaf->rep_level == 0 ? read_flat(column, rows) : read_repeated(column, rows);
}
