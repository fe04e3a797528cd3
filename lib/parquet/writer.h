/*
 * Writing Parquet (apache/parquet-format 2.10) from columns: a file goes out in pieces through a
 * callback, so that the caller decides where it is kept. Every type of columns.h, nested to any
 * depth.
 *
 * Memory stays at about one page of raw values for each leaf column plus the compressed pages of
 * the open row group, which are handed out when it ends, those of the first column at once if they
 * need no dictionary. Work is CPU only and without allocation per row.
 *
 * Arrow to Parquet: lists in the standard three levels (`list.element`), maps as
 * `key_value.key/value`, decimals as INT32 up to precision 9, INT64 up to 18, else
 * FIXED_LEN_BYTE_ARRAY (as Spark writes them), timestamps as INT64 microseconds with
 * isAdjustedToUTC as the zone says.
 *
 * Any thread; one writer by one thread at a time.
 */
#ifndef SL_PARQUET_WRITER_H
#define SL_PARQUET_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "columns/columns.h"
#include "parquet/format.h"

typedef struct sl_parquet_writer sl_parquet_writer;

/* A row's values in one leaf column fit one page: at most so many bytes, with up to 17 for each
 * value beside its own. What a page's header can say is below 2^31; the rest is room for levels. */
#define SL_PARQUET_ROW_MAX_BYTES ((size_t)1 << 30)

/* Takes the file's next bytes, borrowed for the call. An error ends the file: only
 * sl_parquet_writer_restart and sl_parquet_writer_free may follow. */
typedef sl_error *(*sl_parquet_output)(void *arg, const void *data, size_t bytes);

/* Make one with sl_parquet_writer_defaults() and change what differs. */
typedef struct sl_parquet_writer_options {
    sl_parquet_codec codec;  /* ZSTD; SNAPPY, LZ4_RAW, UNCOMPRESSED */
    int level;               /* of zstd: 1; negative ones are faster still */
    int page_version;        /* data pages: 1 or 2; default 1 */
    size_t page_bytes;       /* raw values of one page; 1 MiB */
    size_t row_group_bytes;  /* size at which a row group ends; 32 MiB */
    size_t dictionary_bytes; /* a dictionary that outgrows this is given up; 1 MiB */
    /* Only PLAIN and dictionary pages, which every reader knows (checkpoints); else also
     * DELTA_BINARY_PACKED and DELTA_LENGTH_BYTE_ARRAY. */
    bool plain_encodings;
} sl_parquet_writer_options;

sl_parquet_writer_options sl_parquet_writer_defaults(void);

/* "zstd", "snappy", "lz4" (LZ4_RAW), "none"; false for another name. */
bool sl_parquet_codec_parse(const char *name, sl_parquet_codec *out);

/*
 * A writer of files with the columns of `schema` ("+s", copied). `options` NULL: the defaults. Its
 * first file begins; `output` is called from sl_parquet_writer_append and _finish. On failure
 * nothing is owned. Errors: CONFIG (options out of range, a schema without columns or with an empty
 * struct), NO_MEMORY.
 */
sl_error *sl_parquet_writer_new(const struct ArrowSchema *schema,
                                const sl_parquet_writer_options *options, sl_parquet_output output,
                                void *arg, sl_parquet_writer **out);

/*
 * Appends rows [first, first + rows) of a "+s" array of the writer's schema, with offset 0 at every
 * level and buffers that may be read SL_COLUMNS_PADDING bytes past their end. Read during the call
 * only. Errors: RECORD (a null in a required column, a value too large for a page), NO_MEMORY,
 * CONFIG (an array that does not fit the schema), the output's. After an error the file cannot
 * go on: restart or free.
 */
sl_error *sl_parquet_writer_append(sl_parquet_writer *writer, const struct ArrowArray *columns,
                                   int64_t first, int64_t rows);

/* Ends the open row group now. Nothing happens when it has no rows. */
sl_error *sl_parquet_writer_end_row_group(sl_parquet_writer *writer);

/* Rows appended to the present file. */
int64_t sl_parquet_writer_rows(const sl_parquet_writer *writer);
/* Bytes given to the output so far. */
int64_t sl_parquet_writer_bytes(const sl_parquet_writer *writer);
/* Memory that the open row group holds: raw pages, and compressed ones that are not out. */
size_t sl_parquet_writer_memory_bytes(const sl_parquet_writer *writer);

/* ---- what a finished file holds ---- */

/*
 * A smallest or largest value; which member by the column's type:
 *   bool, int8..int64, uint8..uint32, date, timestamp: i64; uint64: u64; float, double: f64;
 *   decimal: decimal (16 bytes, little-endian, as in Arrow); utf8, binary, fixed: data, bytes.
 */
typedef struct sl_parquet_value {
    union {
        int64_t i64;
        uint64_t u64;
        double f64;
        uint8_t decimal[16];
        struct {
            const uint8_t *data;
            size_t bytes;
        };
    };
} sl_parquet_value;

typedef struct sl_parquet_column {
    const char *const *path; /* path_in_schema: "session", "page" or "tags", "list", "element" */
    size_t n_path;
    bool repeated; /* lies in a list or map: `values` is not the number of rows */
    sl_type type;
    int64_t values;     /* with nulls, and one for each empty or null list */
    int64_t null_count; /* of these; a null or an empty ancestor counts */
    bool has_nan;
    /*
     * False when there is no value. Floats: NaN left out, and a zero counts as -0.0 for min and
     * as +0.0 for max. Strings and binaries are cut to 64 bytes (whole characters of utf8), max
     * rounded up, and then not exact; a max that cannot be rounded up has no `has_max`.
     */
    bool has_min;
    bool has_max;
    bool min_exact;
    bool max_exact;
    sl_parquet_value min;
    sl_parquet_value max;
    int64_t compressed_bytes; /* of all its pages with their headers */
} sl_parquet_column;

typedef struct sl_parquet_summary {
    int64_t rows;
    int64_t bytes; /* of the whole file */
    int32_t row_groups;
    const sl_parquet_column *columns; /* leaves, in the schema's depth-first order */
    size_t n_columns;
} sl_parquet_summary;

/*
 * Ends the row group and writes the footer. *out (may be NULL) is borrowed until restart or free.
 * A file without rows is a valid one. After an error: restart or free.
 */
sl_error *sl_parquet_writer_finish(sl_parquet_writer *writer, const sl_parquet_summary **out);

/*
 * Begins the next file of the same schema, keeping memory and what was learned about the data; an
 * unfinished file is dropped. The new file's first bytes go out with its first row group.
 */
void sl_parquet_writer_restart(sl_parquet_writer *writer, sl_parquet_output output, void *arg);

/* Drops an unfinished file. NULL is allowed. */
void sl_parquet_writer_free(sl_parquet_writer *writer);

#endif /* SL_PARQUET_WRITER_H */
