/*
 * Data files: columns in, Parquet files of one Delta table out, one for each tuple of partition
 * values, with the statistics and the description that an `add` action needs; and the way back.
 *
 * Writing is in two halves, because encoding belongs on a lane and storing blocks:
 *
 *     lane:    sl_delta_encoder_append ...   (CPU only: Parquet bytes gather in memory)
 *     lane:    sl_delta_encoder_take         (detaches those bytes as one upload)
 *     worker:  sl_delta_upload_run           (writes them into the store; files that are ended
 *                                             become whole and durable)
 *     lane:    sl_delta_upload_end           (back to the encoder: files stored so far)
 *
 * A sink's flush is: sl_delta_encoder_end_files, wait for the upload under way if there is one,
 * take, run, end; the files that it has then hold every row appended before, and none after.
 * Between flushes a large file is uploaded piece by piece whenever sl_delta_encoder_ready_bytes
 * passes what the task wants to keep in memory. At most one upload of an encoder is under way.
 *
 * An encoder is used by one thread at a time, an upload by one thread at a time; the two may run at
 * the same time.
 */
#ifndef SL_DELTA_DATA_FILE_H
#define SL_DELTA_DATA_FILE_H

#include "delta/delta.h"

typedef struct sl_delta_encoder sl_delta_encoder;
typedef struct sl_delta_upload sl_delta_upload;

typedef struct sl_delta_encoder_options {
    const struct ArrowSchema *schema;     /* "+s" of the batches, partition columns too; copied */
    const char *const *partition_columns; /* of the table, in its order; copied */
    size_t n_partition_columns;
    const char *compression; /* "zstd" (default when NULL), "snappy", "lz4", "none" */
    int compression_level;   /* 0: the codec's default for streams (zstd 1) */
    size_t row_group_bytes;  /* 0: 32 MiB of memory */
    size_t file_bytes;       /* a file is ended beyond this; 0: 256 MiB */
    size_t memory_bytes;     /* largest open file is ended beyond this; 0: 64 MiB */
    size_t open_files;       /* most partitions written at a time; 0: 64 */
    int64_t stats_columns;   /* leaf columns with statistics; 0: 32 (Delta's default), -1: all */
    const char *tail_owner;  /* tag files as this owner's tail; NULL: no */
} sl_delta_encoder_options;

/* On failure nothing is owned. CONFIG: a partition column that the schema lacks, an unknown codec;
 * names and types as sl_delta_check_schema. */
sl_error *sl_delta_encoder_new(const sl_delta_encoder_options *options, sl_delta_encoder **out);
/* Open files are dropped. An upload under way ends on its own: sl_delta_upload_end with NULL. */
void sl_delta_encoder_free(sl_delta_encoder *encoder);

/*
 * Encodes rows [first, first + rows) of a batch of the options' schema, read during the call only.
 * CPU only. After an error part of the rows may be in: discard the encoder's work or free it.
 */
sl_error *sl_delta_encoder_append(sl_delta_encoder *encoder, const struct ArrowArray *array,
                                  int64_t first, int64_t rows);
/* Rows appended since the last sl_delta_encoder_end_files. */
int64_t sl_delta_encoder_rows(const sl_delta_encoder *encoder);
/* Memory held: open row groups and bytes that wait for an upload. */
size_t sl_delta_encoder_memory_bytes(const sl_delta_encoder *encoder);
/* Bytes that an upload would take now. */
size_t sl_delta_encoder_ready_bytes(const sl_delta_encoder *encoder);
/* Ends every open file (writes its footer); rows appended from now on go into new files. CPU only.
 */
sl_error *sl_delta_encoder_end_files(sl_delta_encoder *encoder);

/* True while files of the last sl_delta_encoder_end_files wait for a take. */
bool sl_delta_encoder_has_ended(const sl_delta_encoder *encoder);

/*
 * Detaches bytes into *out; NULL when there is nothing. After sl_delta_encoder_end_files the next
 * take gets exactly the files ended by then, although others may have ended since; otherwise it
 * gets all ended files and the larger open ones' bytes.
 */
sl_error *sl_delta_encoder_take(sl_delta_encoder *encoder, sl_delta_upload **out);
/*
 * Writes into the store. Blocking. After a RETRIABLE failure it may be called again and goes on
 * with the files that are not stored yet. A file that goes up in several pieces cannot be begun
 * again: then the error is CONFLICT, the encoder's work is to be discarded, and its rows are to be
 * read again from the stored positions.
 */
sl_error *sl_delta_upload_run(sl_delta_upload *upload, sl_store *store);
/*
 * Ends the upload (freed in any case). Appends to `files` those that became durable, in the order
 * of their ending. `encoder` NULL: it is gone already, or its work was discarded. Errors:
 * NO_MEMORY; FATAL when the upload did not run to its end, so that rows are missing: discard the
 * encoder's work.
 */
sl_error *sl_delta_upload_end(sl_delta_upload *upload, sl_delta_encoder *encoder,
                              sl_delta_files *files);

/*
 * Drops every row that is not in a file given back by sl_delta_upload_end, as when a stream is
 * lost: open files, ended ones, and, if an upload is under way, its files when it ends (they are
 * not handed over then). The encoder goes on empty.
 */
void sl_delta_encoder_discard(sl_delta_encoder *encoder);

/* Removes files that no commit will name, as far as the store lets it: what stays is found by
 * sl_delta_clean a day later. Blocking. */
void sl_delta_remove_files(sl_store *store, const sl_delta_files *files);

/* end_files, take, run and end in one, for callers on a worker. */
sl_error *sl_delta_encoder_store(sl_delta_encoder *encoder, sl_store *store, sl_delta_files *files);

/*
 * Reads a data file as rows of the table's schema: partition values become columns, columns that
 * the file lacks are null. visit gets batches ("+s", borrowed; it may take one over by zeroing
 * array->release), returns an error to stop.
 */
typedef sl_error *(*sl_delta_visit_rows)(struct ArrowArray *rows, void *arg);
sl_error *sl_delta_read_file(sl_delta_table *table, const sl_delta_file *file,
                             sl_delta_visit_rows visit, void *arg);

/* A partition value as Delta writes it in the log (text, or NULL for null and for ""). `out` is
 * appended to; *null tells. Any thread. */
sl_error *sl_delta_partition_text(const struct ArrowSchema *schema, const struct ArrowArray *array,
                                  int64_t row, sl_buffer *out, bool *null);

#endif /* SL_DELTA_DATA_FILE_H */
