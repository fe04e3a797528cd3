/*
 * One column chunk on its way into the file: values gather in an open page, full pages are encoded
 * and compressed, the chunk's statistics add up. How values are encoded is decided by a sample of
 * the chunk's first ones (writer_choose.c) and corrected when a dictionary turns out too large.
 */
#ifndef SL_PARQUET_WRITER_COLUMN_H
#define SL_PARQUET_WRITER_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parquet/compress.h"
#include "parquet/writer.h"
#include "parquet/writer_dictionary.h"
#include "parquet/writer_leaf.h"

/* Free space before the raw values of a page, so that levels can be put there without moving the
 * values. */
#define SL_PQW_HEADROOM ((size_t)16 << 10)
#define SL_PQW_ENCODINGS (SL_PARQUET_BYTE_STREAM_SPLIT + 1)

/* What the columns of one writer share. */
typedef struct sl_pqw_column_context {
    sl_parquet_writer_options options;
    sl_pqw_compressor compressor;
    sl_pqw_shredder shredder;
    sl_buffer values; /* gathered values of a slice */
    sl_buffer image;  /* a page before compression */
    sl_buffer packed; /* and after */
    sl_buffer header;
} sl_pqw_column_context;

/* A page as it goes into the file, header and all. */
typedef struct sl_pqw_column_page {
    struct sl_pqw_column_page *next;
    size_t bytes;
    uint8_t data[];
} sl_pqw_column_page;

typedef enum sl_pqw_column_mode {
    SL_PQW_SAMPLE, /* not decided: the values wait in raw form */
    SL_PQW_RAW,
    SL_PQW_DICTIONARY
} sl_pqw_column_mode;

typedef struct sl_pqw_column {
    const sl_pqw_leaf *leaf;

    /* The open page: levels, and values in raw form or as indexes into the dictionary. */
    size_t entries;
    size_t values;
    int64_t rows;
    bool all_present;     /* every definition level is the largest; `definition` is empty */
    sl_buffer definition; /* uint8_t */
    sl_buffer repetition; /* uint8_t */
    sl_buffer raw;        /* after SL_PQW_HEADROOM: values one after the other */
    sl_buffer lengths;    /* uint32_t of each string in `raw` */
    sl_buffer indexes;    /* uint32_t */

    /* The chunk. */
    sl_pqw_column_mode mode;
    sl_parquet_encoding raw_encoding;
    sl_pqw_dictionary dictionary;
    double raw_cost;  /* compressed bytes of a raw value in the sample; 0: not measured */
    double raw_ratio; /* compressed size of raw values in relation to their size */
    sl_pqw_column_page *first_page;
    sl_pqw_column_page *last_page;
    sl_pqw_column_page *dictionary_page;
    size_t page_bytes; /* of all pages, as in the file */
    size_t out_bytes;  /* of those that went out before the chunk's end */
    size_t uncompressed_bytes;
    int32_t pages[SL_PQW_ENCODINGS]; /* data pages of each encoding */
    int64_t chunk_entries;
    int64_t chunk_values; /* entries that are not null */
    sl_pqw_stats stats;

    /* What the last sample said: it holds for some chunks without another one. */
    sl_pqw_column_mode learned_mode;
    int trusted_chunks;
    sl_pqw_compress_hint hint;

    /* The file. */
    size_t expected_values; /* of a chunk, by the last one */
    int64_t file_entries;
    int64_t file_values;
    int64_t file_bytes;
    sl_pqw_stats file_stats;
} sl_pqw_column;

sl_error *sl_pqw_column_init(sl_pqw_column *column, const sl_pqw_leaf *leaf);
void sl_pqw_column_free(sl_pqw_column *column);
/* Forgets the open page. */
void sl_pqw_column_empty_page(sl_pqw_column *column);
/* Forgets the open page and the chunk; `file` too: what was counted for the file. */
void sl_pqw_column_reset(sl_pqw_column *column, bool file);

/* Appends rows of the root array. */
sl_error *sl_pqw_column_append(sl_pqw_column_context *context, sl_pqw_column *column,
                               const struct ArrowArray *columns, int64_t first, int64_t rows);
/* Ends the last page, makes the dictionary page, adds the chunk to the file's figures. */
sl_error *sl_pqw_column_end_chunk(sl_pqw_column_context *context, sl_pqw_column *column);
/* Memory of the open page and of the chunk's pages. */
size_t sl_pqw_column_memory(const sl_pqw_column *column);

/* True when nothing will have to go into the file before the chunk's first page. */
static inline bool sl_pqw_column_pages_are_final(const sl_pqw_column *column) {
    return column->mode == SL_PQW_RAW && column->pages[SL_PARQUET_RLE_DICTIONARY] == 0;
}
/* Forgets the pages made so far: they are in the file. */
void sl_pqw_column_pages_are_out(sl_pqw_column *column);

/* ---- between the writer's files ---- */

static inline const uint8_t *sl_pqw_column_raw(const sl_pqw_column *column) {
    return column->raw.data + SL_PQW_HEADROOM;
}
static inline size_t sl_pqw_column_raw_bytes(const sl_pqw_column *column) {
    return column->raw.bytes - SL_PQW_HEADROOM;
}

/* Decides how the chunk is encoded, by the open page's values; `final`: they are all there is
 * (writer_choose.c). */
sl_error *sl_pqw_column_choose(sl_pqw_column_context *context, sl_pqw_column *column, bool final);
/* True when the dictionary has cost more than raw values would have (writer_choose.c). */
bool sl_pqw_column_dictionary_failed(const sl_pqw_column *column);

/* Encodes the open page's values in `encoding` at the end of `out`. False in *in_raw: all is in
 * `out`; true: the raw bytes follow it as they are (writer_page.c). */
sl_error *sl_pqw_column_encode_values(const sl_pqw_column *column, sl_parquet_encoding encoding,
                                      sl_buffer *out, bool *in_raw);
/* Makes a page of what is open and empties it (writer_page.c). */
sl_error *sl_pqw_column_flush_page(sl_pqw_column_context *context, sl_pqw_column *column);
sl_error *sl_pqw_column_make_dictionary_page(sl_pqw_column_context *context, sl_pqw_column *column);

#endif /* SL_PARQUET_WRITER_COLUMN_H */
