/* The footer: FileMetaData of parquet.thrift. */
#ifndef SL_PARQUET_WRITER_FOOTER_H
#define SL_PARQUET_WRITER_FOOTER_H

#include "parquet/writer_column.h"

/* Appends the `schema` list's SchemaElements; returns their number. */
size_t sl_pqw_footer_schema(const struct ArrowSchema *schema, sl_buffer *out);

/* Where a row group's chunks lie in the file. */
typedef struct sl_pqw_footer_row_group {
    const sl_pqw_column *columns;
    size_t n_columns;
    int64_t offset; /* of the first chunk */
    int64_t rows;
    int32_t ordinal;
    sl_parquet_codec codec;
    sl_parquet_page_type data_page; /* of the writer's page version */
} sl_pqw_footer_row_group;

/* Appends one RowGroup, an element of the `row_groups` list. The chunks are ended. */
void sl_pqw_footer_append_row_group(const sl_pqw_footer_row_group *group, sl_buffer *out);

typedef struct sl_pqw_footer_file {
    const sl_buffer *schema; /* by sl_pqw_footer_schema */
    size_t n_schema;
    const sl_buffer *row_groups;
    size_t n_row_groups;
    int64_t rows;
    size_t n_columns;
} sl_pqw_footer_file;

/* Appends FileMetaData, its length and the magic. */
void sl_pqw_footer_append_file(const sl_pqw_footer_file *file, sl_buffer *out);

#endif /* SL_PARQUET_WRITER_FOOTER_H */
