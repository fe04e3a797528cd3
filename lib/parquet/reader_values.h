/*
 * The values of a data page, whatever their encoding, appended densely (nulls take no place here)
 * to a column's builder; and what all parts of the reader need to say where a fault is.
 */
#ifndef SL_PARQUET_READER_VALUES_H
#define SL_PARQUET_READER_VALUES_H

#include "columns/columns.h"
#include "parquet/reader_delta.h"
#include "parquet/reader_rle.h"
#include "parquet/reader_schema.h"

/* Values and levels are handled in blocks of this many. */
#define SL_PQR_BLOCK 1024

/* Where in which file: the beginning of every message. */
typedef struct sl_pqr_where {
    const char *file;
    const char *column; /* NULL: the file as a whole */
    size_t row_group;
    int64_t page_offset; /* of the page's header; < 0: none yet */
} sl_pqr_where;

sl_error *sl_pqr_error(const sl_pqr_where *where, sl_error_class error_class, const char *format,
                       ...) SL_PRINTF(3, 4);

/* The memory that a batch may take. */
typedef struct sl_pqr_budget {
    size_t used_bytes;
    size_t limit_bytes;
} sl_pqr_budget;

sl_error *sl_pqr_charge(sl_pqr_budget *budget, const sl_pqr_where *where, size_t bytes);

typedef struct sl_pqr_slice {
    const uint8_t *data;
    size_t bytes;
} sl_pqr_slice;

/* Room for one block's steps, shared by the columns of a scan. */
typedef struct sl_pqr_scratch {
    uint32_t indexes[SL_PQR_BLOCK];
    int64_t numbers[SL_PQR_BLOCK];
    sl_pqr_slice slices[SL_PQR_BLOCK];
    uint8_t fixed[SL_PQR_BLOCK * 16];
    uint8_t flags[SL_PQR_BLOCK + 8];
    sl_buffer assembled; /* DELTA_BYTE_ARRAY values */
    void *zstd;          /* ZSTD_DCtx */
} sl_pqr_scratch;

/* A page's values, being read. */
typedef struct sl_pqr_values {
    const sl_pqr_node *leaf;
    const sl_pqr_where *where;
    int32_t encoding;
    const sl_builder *dictionary; /* values already converted */
    const uint8_t *at;
    const uint8_t *end;
    sl_pqr_rle rle;        /* dictionary indexes, booleans */
    sl_pqr_delta numbers;  /* integers, or the lengths of (suffixes of) strings */
    sl_pqr_delta prefixes; /* DELTA_BYTE_ARRAY */
    sl_buffer *previous;   /* DELTA_BYTE_ARRAY: the last value, kept between blocks */
    size_t stream_values;  /* BYTE_STREAM_SPLIT */
    size_t stream_at;
} sl_pqr_values;

/*
 * Starts on the values of a page. `previous` is the column's own buffer. CORRUPT when the encoding
 * does not fit the type or its header is malformed.
 */
sl_error *sl_pqr_values_start(sl_pqr_values *values, const sl_pqr_node *leaf,
                              const sl_pqr_where *where, int32_t encoding, const uint8_t *data,
                              size_t bytes, const sl_builder *dictionary, sl_buffer *previous);

/*
 * Appends the next n <= SL_PQR_BLOCK values at builder->length, where there is room for n rows, but
 * leaves length and validity alone: data, and for strings offsets and data_bytes, are written. Not
 * for booleans. CORRUPT when the page has fewer.
 */
sl_error *sl_pqr_values_append(sl_pqr_values *values, size_t n, sl_builder *builder,
                               sl_pqr_scratch *scratch, sl_pqr_budget *budget);
/* The same for booleans: a byte each, 0 or 1. */
sl_error *sl_pqr_values_bools(sl_pqr_values *values, size_t n, uint8_t *out);

/* The next n values of a string encoding, not copied: fewer than n when they would need more than
 * about a megabyte to be assembled. (reader_strings.c) */
sl_error *sl_pqr_values_slices(sl_pqr_values *values, size_t n, sl_pqr_scratch *scratch,
                               size_t *n_slices);
/* Starts a string encoding: finds its lengths and data. (reader_strings.c) */
sl_error *sl_pqr_strings_start(sl_pqr_values *values, const uint8_t *data, size_t bytes);

/*
 * Converts n stored values of leaf->stored_bytes each, one after the other at `in`, into Arrow
 * values at `out`. NULL, or what is wrong with a value (static text). (reader_convert.c)
 */
const char *sl_pqr_convert_values(const sl_pqr_node *leaf, const uint8_t *in, size_t n,
                                  uint8_t *out);
/* Big-endian two's complement of any length into 16 little-endian bytes; false when it is empty or
 * does not fit. (reader_convert.c) */
bool sl_pqr_convert_decimal(const uint8_t *in, size_t bytes, uint8_t out[16]);

#endif /* SL_PARQUET_READER_VALUES_H */
