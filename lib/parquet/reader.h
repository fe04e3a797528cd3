/*
 * The Parquet reader: opens a file by its footer, shows its schema as an Arrow schema, and reads
 * chosen columns in batches of rows with memory bounded by pages and batches, not by files.
 *
 * It reads what Spark, delta-rs, Arrow, DuckDB and sluice write: nested lists (3-level, and the
 * older 2-level forms), maps and structs; data pages v1 and v2; the encodings PLAIN, dictionary,
 * RLE, BIT_PACKED levels, DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY,
 * BYTE_STREAM_SPLIT; the codecs none, snappy, gzip, zstd, LZ4_RAW and the older LZ4. Page checksums
 * are verified where they are present. Specification: apache/parquet-format 2.10.
 *
 * Parquet types become these Arrow types (lib/columns): integers of 8 to 64 bits, signed and not;
 * DECIMAL up to 38 digits, whatever it is stored as, "d:P,S"; DATE "tdD"; TIMESTAMP of any unit
 * "tsu:UTC" when adjusted to UTC, else "tsu:" (nanoseconds are floored to microseconds); INT96
 * "tsu:UTC"; FLOAT16 "f"; STRING, ENUM and JSON "u" (the bytes are not checked to be UTF-8); TIME
 * and INTERVAL as the plain integer or fixed binary that they are stored as. A list's child is
 * named "element", a map's children "entries", "key" and "value", whatever the file calls them.
 *
 * Bytes of the file are never trusted: a file that does not follow the format gives
 * SL_ERROR_CORRUPT with file, column, row group and page offset; one that uses what is not read
 * here (encryption, brotli, lzo, wider decimals) SL_ERROR_UNSUPPORTED. Errors of `read` are handed
 * on.
 *
 * Threads: a reader does not change once it is open, so scans of one reader may run on several
 * threads if its `read` may; one scan is used by one thread at a time.
 */
#ifndef SL_PARQUET_READER_H
#define SL_PARQUET_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parquet/format.h"
#include "sluice/arrow.h"
#include "sluice/error.h"
#include "sluice/store.h"

typedef struct sl_parquet_reader sl_parquet_reader;
typedef struct sl_parquet_scan sl_parquet_scan;

/* Where the bytes are: in memory, or behind a callback. */
typedef struct sl_parquet_input {
    const char *name;      /* for messages; copied */
    int64_t file_bytes;    /* the file's size */
    const uint8_t *memory; /* the whole file, which must outlive the reader; or NULL: */
    /* Reads exactly `bytes` from `offset`, both inside the file; the reader releases *out. */
    sl_error *(*read)(void *arg, int64_t offset, size_t bytes, sl_store_bytes *out);
    void *arg;
} sl_parquet_input;

/* Limits; a field that is 0 has its default. */
typedef struct sl_parquet_reader_options {
    size_t max_page_bytes;  /* of one page, decompressed; default 256 MiB */
    size_t max_batch_bytes; /* of one batch's values; default 1 GiB. Up to twice is allocated. */
    size_t read_bytes;      /* of one read of a column; default 1 MiB. A row group whose chosen
                               columns lie within eight times this is read at once. */
} sl_parquet_reader_options;

/*
 * Opens a file; `options` may be NULL. On success *out is owned by the caller
 * (sl_parquet_reader_close), on failure untouched.
 */
sl_error *sl_parquet_reader_open(const sl_parquet_input *input,
                                 const sl_parquet_reader_options *options, sl_parquet_reader **out);
/* Opens an object of a store, which must outlive the reader; file_bytes < 0: not known. */
sl_error *sl_parquet_reader_open_store(sl_store *store, const char *path, int64_t file_bytes,
                                       const sl_parquet_reader_options *options,
                                       sl_parquet_reader **out);
/* NULL is allowed. Scans must have been closed. */
void sl_parquet_reader_close(sl_parquet_reader *reader);

/* ---- what the footer says; all results are borrowed from the reader, and indexes must be below
 * sl_parquet_reader_row_groups and sl_parquet_reader_leaves ---- */

const struct ArrowSchema *sl_parquet_reader_schema(const sl_parquet_reader *reader);
int64_t sl_parquet_reader_rows(const sl_parquet_reader *reader);
size_t sl_parquet_reader_row_groups(const sl_parquet_reader *reader);
int64_t sl_parquet_reader_row_group_rows(const sl_parquet_reader *reader, size_t row_group);
/* The writer's name; not 0-terminated; NULL when absent. */
const char *sl_parquet_reader_created_by(const sl_parquet_reader *reader, size_t *bytes);
/* The footer's key-value metadata: the value of `key`, not 0-terminated; NULL when absent. */
const char *sl_parquet_reader_metadata(const sl_parquet_reader *reader, const char *key,
                                       size_t *bytes);

/* ---- leaves: the columns that a file really has ---- */

typedef struct sl_parquet_leaf {
    const char *path;       /* names joined by '.', as they stand in the file */
    const char *format;     /* Arrow format of its values */
    sl_parquet_type type;   /* how they are stored */
    bool repeated;          /* it lies within a list or a map */
    size_t top_level_field; /* index of the field of the schema that it belongs to */
} sl_parquet_leaf;

size_t sl_parquet_reader_leaves(const sl_parquet_reader *reader);
void sl_parquet_reader_leaf(const sl_parquet_reader *reader, size_t leaf, sl_parquet_leaf *out);

/* One bound of a column chunk's values. */
typedef struct sl_parquet_bound {
    bool present;
    bool exact;           /* the value occurs; else it is only a bound (truncated text) */
    const uint8_t *bytes; /* strings and binary: borrowed from the reader; else NULL */
    size_t n_bytes;
    uint8_t value[16]; /* else: one value as it stands in an Arrow buffer (a boolean is a byte) */
} sl_parquet_bound;

typedef struct sl_parquet_statistics {
    int64_t values;     /* with nulls, and one for each empty or null list */
    int64_t null_count; /* -1: not known */
    sl_parquet_bound min;
    sl_parquet_bound max;
} sl_parquet_statistics;

/*
 * What the footer knows of one column chunk. Bounds that cannot be trusted are left out: the
 * deprecated ones where their signed order is not the type's, NaN, INT96, malformed ones.
 */
void sl_parquet_reader_statistics(const sl_parquet_reader *reader, size_t row_group, size_t leaf,
                                  sl_parquet_statistics *out);

/* ---- reading ---- */

typedef struct sl_parquet_scan_options {
    /*
     * The fields to read: dotted paths into structs as sl_schema_resolve takes them ("add.path"),
     * each with all below it; NULL: everything. An unknown one is a CONFIG error. The order of the
     * file stays.
     */
    const char *const *columns;
    size_t n_columns;
    size_t first_row_group;
    size_t n_row_groups; /* 0: to the last */
    int64_t max_rows;    /* of a batch; 0: 65,536. A batch never spans row groups. */
} sl_parquet_scan_options;

/* `options` may be NULL: everything. On success *out is owned by the caller. */
sl_error *sl_parquet_scan_open(const sl_parquet_reader *reader,
                               const sl_parquet_scan_options *options, sl_parquet_scan **out);
/* The schema of the batches. Borrowed. */
const struct ArrowSchema *sl_parquet_scan_schema(const sl_parquet_scan *scan);
/*
 * The next batch: an Arrow array of the scan's schema with offset 0 everywhere, owned by the caller
 * (out->release(out)) and independent of scan and reader. At the end out->release is NULL. After an
 * error the scan can only be closed.
 */
sl_error *sl_parquet_scan_next(sl_parquet_scan *scan, struct ArrowArray *out);
/* NULL is allowed. */
void sl_parquet_scan_close(sl_parquet_scan *scan);

#endif /* SL_PARQUET_READER_H */
