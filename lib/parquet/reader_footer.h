/*
 * FileMetaData as structs: what the reader keeps of a Parquet footer. Texts point into the footer's
 * bytes, which must live as long.
 */
#ifndef SL_PARQUET_READER_FOOTER_H
#define SL_PARQUET_READER_FOOTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parquet/format.h"
#include "sluice/error.h"

/* Bytes of the footer; data NULL: the field is absent. */
typedef struct sl_pqr_text {
    const uint8_t *data;
    size_t bytes;
} sl_pqr_text;

/* SchemaElement. Enumerations keep the file's numbers, which may be unknown ones; -1: absent. */
typedef struct sl_pqr_element {
    sl_pqr_text name;
    int32_t type;
    int32_t type_length;
    int32_t repetition;
    int32_t n_children;
    int32_t converted;
    int32_t scale;
    int32_t precision;
    int32_t logical; /* SL_PARQUET_F_LOGICAL_...; 0: absent */
    int32_t unit;    /* SL_PARQUET_F_TIME_UNIT_... of TIME and TIMESTAMP */
    bool utc;        /* isAdjustedToUTC */
    int32_t bit_width;
    bool is_signed;
} sl_pqr_element;

/* ColumnChunk with its ColumnMetaData and Statistics. */
typedef struct sl_pqr_chunk {
    int32_t type;
    int32_t codec;
    int64_t n_values;
    int64_t compressed_bytes;
    int64_t data_page_offset;
    int64_t dictionary_page_offset; /* 0: absent */
    sl_pqr_text min, max;           /* deprecated, signed order */
    sl_pqr_text min_value, max_value;
    bool min_exact, max_exact;
    int64_t null_count; /* -1: absent */
    bool has_meta_data;
    bool encrypted;
    bool external; /* in another file */
} sl_pqr_chunk;

typedef struct sl_pqr_row_group {
    sl_pqr_chunk *chunks;
    size_t n_chunks;
    int64_t n_rows;
} sl_pqr_row_group;

typedef struct sl_pqr_key_value {
    sl_pqr_text key;
    sl_pqr_text value;
} sl_pqr_key_value;

typedef struct sl_pqr_footer {
    sl_pqr_element *elements;
    size_t n_elements;
    sl_pqr_row_group *row_groups;
    size_t n_row_groups;
    sl_pqr_key_value *key_values;
    size_t n_key_values;
    int64_t n_rows;
    sl_pqr_text created_by;
    bool has_column_orders;
} sl_pqr_footer;

/*
 * Decodes a footer. On failure nothing is owned; CORRUPT names the offset within the footer. On
 * success: sl_pqr_footer_free. Memory stays within a small multiple of the footer's bytes.
 */
sl_error *sl_pqr_footer_decode(const uint8_t *data, size_t bytes, sl_pqr_footer *out);
void sl_pqr_footer_free(sl_pqr_footer *footer);

#endif /* SL_PARQUET_READER_FOOTER_H */
