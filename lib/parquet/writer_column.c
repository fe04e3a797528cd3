/* Column chunks: see writer_column.h. */
#include "parquet/writer_column.h"

#include <stdlib.h>
#include <string.h>

/* Rows taken at a time: levels and values of a slice stay in the first-level cache. */
#define SLICE_ROWS 1024
/* The sample by which the encoding is chosen. */
#define SAMPLE_VALUES 4096
#define SAMPLE_BYTES ((size_t)64 << 10)
/* Numbers and indexes gain nothing from pages as large as those of strings. */
#define NUMBER_PAGE_DIVISOR 4

sl_error *sl_pqw_column_init(sl_pqw_column *column, const sl_pqw_leaf *leaf) {
    memset(column, 0, sizeof(*column));
    column->leaf = leaf;
    sl_pqw_dictionary_init(&column->dictionary, (uint32_t)leaf->width);
    if (!sl_buffer_reserve(&column->raw, SL_PQW_HEADROOM)) {
        return sl_error_no_memory();
    }
    sl_pqw_column_reset(column, true);
    return NULL;
}

static void free_pages(sl_pqw_column *column) {
    while (column->first_page != NULL) {
        sl_pqw_column_page *next = column->first_page->next;
        free(column->first_page);
        column->first_page = next;
    }
    column->last_page = NULL;
    free(column->dictionary_page);
    column->dictionary_page = NULL;
}

void sl_pqw_column_free(sl_pqw_column *column) {
    free_pages(column);
    sl_pqw_dictionary_free(&column->dictionary);
    sl_buffer_free(&column->definition);
    sl_buffer_free(&column->repetition);
    sl_buffer_free(&column->raw);
    sl_buffer_free(&column->lengths);
    sl_buffer_free(&column->indexes);
}

void sl_pqw_column_empty_page(sl_pqw_column *column) {
    column->entries = 0;
    column->values = 0;
    column->rows = 0;
    column->all_present = true;
    sl_buffer_clear(&column->definition);
    sl_buffer_clear(&column->repetition);
    sl_buffer_clear(&column->lengths);
    sl_buffer_clear(&column->indexes);
    column->raw.bytes = SL_PQW_HEADROOM;
}

void sl_pqw_column_reset(sl_pqw_column *column, bool file) {
    sl_buffer_clear(&column->raw);
    sl_pqw_column_empty_page(column);
    free_pages(column);
    sl_pqw_dictionary_clear(&column->dictionary);
    column->mode = column->trusted_chunks > 0 ? column->learned_mode : SL_PQW_SAMPLE;
    column->page_bytes = 0;
    column->out_bytes = 0;
    column->uncompressed_bytes = 0;
    memset(column->pages, 0, sizeof(column->pages));
    column->chunk_entries = 0;
    column->chunk_values = 0;
    sl_pqw_stats_clear(&column->stats, column->leaf->stats);
    if (file) {
        column->file_entries = 0;
        column->file_values = 0;
        column->file_bytes = 0;
        sl_pqw_stats_clear(&column->file_stats, column->leaf->stats);
    }
}

size_t sl_pqw_column_memory(const sl_pqw_column *column) {
    size_t dictionary =
        column->mode == SL_PQW_DICTIONARY ? sl_pqw_dictionary_bytes(&column->dictionary) : 0;
    return column->page_bytes - column->out_bytes + sl_pqw_column_raw_bytes(column) +
           column->lengths.bytes + column->indexes.bytes + column->definition.bytes +
           column->repetition.bytes + dictionary;
}

void sl_pqw_column_pages_are_out(sl_pqw_column *column) {
    free_pages(column);
    column->out_bytes = column->page_bytes;
}

/* ---- values ---- */

static sl_error *append_raw(sl_pqw_column_context *context, sl_pqw_column *column,
                            const sl_pqw_shredded *shredded) {
    const void *values;
    if (column->leaf->width == 0) {
        return sl_pqw_leaf_strings(shredded, &column->lengths, &column->raw);
    }
    sl_error *error = sl_pqw_leaf_values(column->leaf, shredded, &context->values, &values);
    if (error != NULL) {
        return error;
    }
    /* read past the end by whoever loads 16 bytes at a time */
    size_t bytes = shredded->values * column->leaf->width;
    if (!sl_buffer_reserve(&column->raw, bytes + 16) ||
        !sl_buffer_append(&column->raw, values, bytes)) {
        return sl_error_no_memory();
    }
    return NULL;
}

/* False in *done: the dictionary is exhausted; the indexes are as before. */
static sl_error *append_indexes(sl_pqw_column_context *context, sl_pqw_column *column,
                                const sl_pqw_shredded *shredded, bool *done) {
    size_t n = shredded->values;
    sl_pqw_dictionary *dictionary = &column->dictionary;
    if (!sl_buffer_reserve(&column->indexes, n * sizeof(uint32_t))) {
        return sl_error_no_memory();
    }
    uint32_t *indexes = (uint32_t *)(void *)(column->indexes.data + column->indexes.bytes);
    *done = true;
    if (n == 0) {
        return NULL;
    }
    if (column->leaf->width == 0) {
        static const uint8_t nothing[SL_COLUMNS_PADDING]; /* no buffer: no string has a byte */
        const void *const *buffers = shredded->leaf->buffers;
        const uint8_t *data = buffers[2] != NULL ? buffers[2] : nothing;
        *done = sl_pqw_dictionary_index_strings(dictionary, data, buffers[1], shredded->first,
                                                shredded->rows, n, indexes);
    } else {
        const void *values;
        sl_error *error = sl_pqw_leaf_values(column->leaf, shredded, &context->values, &values);
        if (error != NULL) {
            return error;
        }
        *done = column->leaf->width == sizeof(int32_t)
                    ? sl_pqw_dictionary_index_i32(dictionary, values, n, indexes)
                : column->leaf->width == sizeof(int64_t)
                    ? sl_pqw_dictionary_index_i64(dictionary, values, n, indexes)
                    : sl_pqw_dictionary_index_fixed(dictionary, values, n, indexes);
    }
    *done = *done && dictionary->page.bytes <= context->options.dictionary_bytes;
    column->indexes.bytes += *done ? n * sizeof(uint32_t) : 0;
    return NULL;
}

/* ---- leaving the dictionary ---- */

/* Bytes of the open page's values in raw form. */
static size_t expanded_bytes(const sl_pqw_column *column) {
    const uint32_t *indexes = (const uint32_t *)(const void *)column->indexes.data;
    size_t total = 0;
    for (size_t i = 0; i < column->values; i++) {
        size_t bytes;
        (void)sl_pqw_dictionary_value(&column->dictionary, indexes[i], &bytes);
        total += bytes;
    }
    return total;
}

/* Turns the open page's indexes into raw values again. */
static sl_error *expand(sl_pqw_column *column) {
    const uint32_t *indexes = (const uint32_t *)(const void *)column->indexes.data;
    for (size_t i = 0; i < column->values; i++) {
        size_t bytes;
        const uint8_t *value = sl_pqw_dictionary_value(&column->dictionary, indexes[i], &bytes);
        uint32_t length = (uint32_t)bytes;
        sl_buffer_append(&column->raw, value, bytes);
        if (column->leaf->width == 0) {
            sl_buffer_append(&column->lengths, &length, sizeof(length));
        }
    }
    if (!sl_buffer_reserve(&column->raw, 16) || column->lengths.failed) {
        return sl_error_no_memory();
    }
    sl_buffer_clear(&column->indexes);
    return NULL;
}

/*
 * From here on values are raw. Pages that were made stay as they are, with their dictionary; when
 * there is none yet, the open page is turned back and the dictionary forgotten.
 */
static sl_error *leave_dictionary(sl_pqw_column_context *context, sl_pqw_column *column) {
    bool used = column->pages[SL_PARQUET_RLE_DICTIONARY] > 0;
    if (!used && expanded_bytes(column) <= context->options.page_bytes) {
        sl_error *error = expand(column);
        if (error != NULL) {
            return error;
        }
        sl_pqw_dictionary_clear(&column->dictionary);
    } else {
        sl_error *error = sl_pqw_column_flush_page(context, column);
        if (error != NULL) {
            return error;
        }
    }
    column->mode = SL_PQW_RAW;
    return NULL;
}

static sl_error *append_values(sl_pqw_column_context *context, sl_pqw_column *column,
                               const sl_pqw_shredded *shredded) {
    if (column->mode == SL_PQW_DICTIONARY) {
        bool done = false;
        sl_error *error = append_indexes(context, column, shredded, &done);
        if (error != NULL || done) {
            return error;
        }
        error = leave_dictionary(context, column);
        if (error != NULL) {
            return error;
        }
    }
    return append_raw(context, column, shredded);
}

/* ---- levels ---- */

static bool append_levels(sl_pqw_column *column, const sl_pqw_shredded *shredded) {
    const sl_pqw_shred_path *path = &column->leaf->shred;
    size_t n = shredded->entries;
    if (path->max_repetition > 0) {
        sl_buffer_append(&column->repetition, shredded->repetition, n);
    }
    if (shredded->definition == NULL && column->all_present) {
        return !column->repetition.failed;
    }
    if (column->all_present) {
        if (!sl_buffer_reserve(&column->definition, column->entries + n)) {
            return false;
        }
        memset(column->definition.data, path->max_definition, column->entries);
        column->definition.bytes = column->entries;
        column->all_present = false;
    }
    if (shredded->definition != NULL) {
        sl_buffer_append(&column->definition, shredded->definition, n);
    } else if (sl_buffer_reserve(&column->definition, n)) {
        memset(column->definition.data + column->definition.bytes, path->max_definition, n);
        column->definition.bytes += n;
    }
    return !column->definition.failed && !column->repetition.failed;
}

/* ---- slices ---- */

static size_t open_bytes(const sl_pqw_column *column) {
    return sl_pqw_column_raw_bytes(column) + column->lengths.bytes + column->indexes.bytes +
           column->definition.bytes + column->repetition.bytes;
}

static size_t page_limit(const sl_pqw_column_context *context, const sl_pqw_column *column) {
    bool strings = column->leaf->width == 0 && column->mode != SL_PQW_DICTIONARY;
    return strings ? context->options.page_bytes
                   : context->options.page_bytes / NUMBER_PAGE_DIVISOR;
}

/* Decides and ends the page as far as it is time to. */
static sl_error *settle(sl_pqw_column_context *context, sl_pqw_column *column) {
    if (column->mode == SL_PQW_SAMPLE &&
        (column->values >= SAMPLE_VALUES || open_bytes(column) >= SAMPLE_BYTES ||
         open_bytes(column) >= page_limit(context, column))) {
        sl_error *error = sl_pqw_column_choose(context, column, false);
        if (error != NULL) {
            return error;
        }
    }
    if (open_bytes(column) < page_limit(context, column)) {
        return NULL;
    }
    sl_error *error = sl_pqw_column_flush_page(context, column);
    if (error == NULL && column->mode == SL_PQW_DICTIONARY &&
        sl_pqw_column_dictionary_failed(column)) {
        error = leave_dictionary(context, column);
    }
    return error;
}

static sl_error *append_slice(sl_pqw_column_context *context, sl_pqw_column *column,
                              const struct ArrowArray *columns, int64_t first, int64_t rows) {
    sl_pqw_shredded shredded;
    sl_error *error =
        sl_pqw_shred(&context->shredder, &column->leaf->shred, columns, first, rows, &shredded);
    error = error != NULL ? error : append_values(context, column, &shredded);
    if (error != NULL) {
        return error;
    }
    if (!append_levels(column, &shredded)) {
        return sl_error_no_memory();
    }
    column->entries += shredded.entries;
    column->values += shredded.values;
    column->rows += rows;
    return settle(context, column);
}

sl_error *sl_pqw_column_append(sl_pqw_column_context *context, sl_pqw_column *column,
                               const struct ArrowArray *columns, int64_t first, int64_t rows) {
    size_t limit = context->options.page_bytes / NUMBER_PAGE_DIVISOR;
    int64_t end = first + rows;
    while (first < end) {
        int64_t part = end - first < SLICE_ROWS ? end - first : SLICE_ROWS;
        size_t weight;
        while ((weight = sl_pqw_shred_weight(&column->leaf->shred, columns, first, part)) > limit &&
               part > 1) {
            part /= 2;
        }
        if (weight > SL_PARQUET_ROW_MAX_BYTES) {
            return sl_error_new(SL_ERROR_RECORD,
                                "column %s: a row of %zu bytes is too large for a page (at most "
                                "%zu)",
                                column->leaf->described, weight, SL_PARQUET_ROW_MAX_BYTES);
        }
        sl_error *error = append_slice(context, column, columns, first, part);
        if (error != NULL) {
            return error;
        }
        first += part;
    }
    return NULL;
}

static void add_dictionary_stats(sl_pqw_column *column) {
    const sl_pqw_dictionary *dictionary = &column->dictionary;
    if (column->leaf->width > 0) {
        sl_pqw_stats_add(&column->stats, dictionary->page.data, dictionary->count,
                         column->leaf->width);
        return;
    }
    for (uint32_t i = 0; i < dictionary->count; i++) {
        size_t bytes;
        const uint8_t *value = sl_pqw_dictionary_value(dictionary, i, &bytes);
        sl_pqw_stats_add_string(&column->stats, value, bytes);
    }
}

sl_error *sl_pqw_column_end_chunk(sl_pqw_column_context *context, sl_pqw_column *column) {
    sl_error *error = NULL;
    if (column->mode == SL_PQW_SAMPLE) {
        error = sl_pqw_column_choose(context, column, true);
    }
    error = error != NULL ? error : sl_pqw_column_flush_page(context, column);
    if (error == NULL && column->pages[SL_PARQUET_RLE_DICTIONARY] > 0) {
        add_dictionary_stats(column);
        error = sl_pqw_column_make_dictionary_page(context, column);
    }
    if (error != NULL) {
        return error;
    }
    if (column->mode != column->learned_mode) {
        column->trusted_chunks = 0;
    } else if (column->trusted_chunks > 0) {
        column->trusted_chunks--;
    }
    column->expected_values = (size_t)column->chunk_values;
    column->file_entries += column->chunk_entries;
    column->file_values += column->chunk_values;
    column->file_bytes += (int64_t)column->page_bytes;
    sl_pqw_stats_merge(&column->file_stats, &column->stats);
    return NULL;
}
