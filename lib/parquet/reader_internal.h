/* What an open reader holds, for the files that implement reader.h. */
#ifndef SL_PARQUET_READER_INTERNAL_H
#define SL_PARQUET_READER_INTERNAL_H

#include "parquet/reader_column.h"

struct sl_parquet_reader {
    sl_pqr_source source;
    char *name;
    sl_store *store; /* opened by sl_parquet_reader_open_store: read with `path` */
    char *path;
    size_t max_batch_bytes;
    sl_pqr_window tail;         /* the file's last bytes: all of a small file */
    sl_pqr_window footer_bytes; /* what `footer` points into, when not in `tail` */
    sl_pqr_footer footer;
    sl_pqr_schema schema;
};

#endif /* SL_PARQUET_READER_INTERNAL_H */
