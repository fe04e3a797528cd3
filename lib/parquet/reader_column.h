/*
 * One column chunk being read: a window over its bytes, its pages, and the values of a batch.
 */
#ifndef SL_PARQUET_READER_COLUMN_H
#define SL_PARQUET_READER_COLUMN_H

#include "parquet/reader.h"
#include "parquet/reader_values.h"

/* Where bytes come from and what may be taken; shared by all columns of a scan. */
typedef struct sl_pqr_source {
    sl_parquet_input input; /* name owned by the reader */
    size_t max_page_bytes;
    size_t read_bytes;
} sl_pqr_source;

/* Bytes [offset, offset + bytes) of the file. */
typedef struct sl_pqr_window {
    const uint8_t *data;
    int64_t offset;
    size_t bytes;
    sl_store_bytes owned; /* release NULL: borrowed */
} sl_pqr_window;

/* Makes the window hold [offset, offset + bytes), reading up to limit_offset ahead. */
sl_error *sl_pqr_window_fill(const sl_pqr_source *source, const sl_pqr_where *where,
                             sl_pqr_window *window, int64_t offset, size_t bytes,
                             int64_t limit_offset);
void sl_pqr_window_free(sl_pqr_window *window);

/* PageHeader with whichever of its page-specific headers there is. */
typedef struct sl_pqr_page_header {
    int32_t type;
    int32_t uncompressed_bytes;
    int32_t compressed_bytes;
    bool has_crc;
    uint32_t crc;
    int32_t n_values;
    int32_t encoding;
    int32_t def_encoding;
    int32_t rep_encoding;
    int32_t def_bytes; /* v2 */
    int32_t rep_bytes; /* v2 */
    bool is_compressed;
} sl_pqr_page_header;

typedef struct sl_pqr_column {
    const sl_pqr_source *source;
    const sl_pqr_node *leaf;
    sl_pqr_scratch *scratch;
    sl_pqr_budget *budget;
    sl_builder *builder;
    sl_pqr_where where;

    /* the chunk */
    int32_t codec;
    int64_t at_offset; /* next page header */
    int64_t end_offset;
    int64_t values_left; /* of the chunk, beyond the page */
    sl_pqr_window window;
    sl_builder dictionary;
    bool has_dictionary;

    /* the page */
    uint8_t *page; /* decompressed bytes, kept between pages */
    size_t page_capacity;
    size_t page_values_left; /* levels not yet decoded */
    sl_pqr_rle rep;
    sl_pqr_rle def;
    sl_pqr_values values;
    sl_buffer previous;

    /* decoded levels not yet used (repeated columns only) */
    uint8_t block_rep[SL_PQR_BLOCK];
    uint8_t block_def[SL_PQR_BLOCK];
    size_t block_at;
    size_t block_n;
    bool mid_chunk; /* the chunk's first level has been seen */

    /* levels of the batch, kept when lists or structs are assembled from this column */
    bool keep_levels;
    uint8_t *defs;
    uint8_t *reps; /* only of repeated columns */
    size_t n_levels;
    size_t levels_capacity;
} sl_pqr_column;

/* Begins a column's life; `builder` has the leaf's type. On failure nothing is owned. */
sl_error *sl_pqr_column_init(sl_pqr_column *column, const sl_pqr_source *source,
                             const sl_pqr_node *leaf, const struct ArrowSchema *leaf_schema,
                             sl_builder *builder, sl_pqr_scratch *scratch, sl_pqr_budget *budget);
void sl_pqr_column_free(sl_pqr_column *column);

/* Begins a chunk. `span`: bytes already in memory that hold the chunk, or NULL. */
sl_error *sl_pqr_column_start(sl_pqr_column *column, const sl_pqr_chunk *chunk, size_t row_group,
                              const sl_pqr_window *span);
/* Range of the file that holds the chunk's pages; CORRUPT when it is not inside the file. */
sl_error *sl_pqr_chunk_range(const sl_pqr_source *source, const sl_pqr_where *where,
                             const sl_pqr_chunk *chunk, int64_t *begin, int64_t *end);

/* Goes to the chunk's next data page; CORRUPT at the chunk's end. (reader_page.c) */
sl_error *sl_pqr_column_next_page(sl_pqr_column *column);

/* Appends `rows` rows to the builder and, when they are kept, to the levels. (reader_column.c) */
sl_error *sl_pqr_column_read(sl_pqr_column *column, int64_t rows);
/* After a chunk's last row: nothing may be left. */
sl_error *sl_pqr_column_check_end(const sl_pqr_column *column);

/* Bits that a level up to `max` takes. */
static inline unsigned sl_pqr_level_width(unsigned max) {
    return max == 0 ? 0 : 32u - (unsigned)__builtin_clz(max);
}

/* Appends n flags (bytes 0 or 1) to a bitmap at bit `at`; flags may be read 8 bytes at a time up to
 * the multiple of 8 past n. (reader_column.c) */
void sl_pqr_append_bits(uint8_t *bits, int64_t at, const uint8_t *flags, size_t n);
/* The builder gets its validity bitmap, all rows so far valid, if it has none. (reader_column.c) */
bool sl_pqr_start_validity(sl_builder *builder);

#endif /* SL_PARQUET_READER_COLUMN_H */
