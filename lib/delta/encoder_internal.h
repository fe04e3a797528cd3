/* What encoder.c, encoder_split.c and upload.c share. No public interface. */
#ifndef SL_DELTA_ENCODER_INTERNAL_H
#define SL_DELTA_ENCODER_INTERNAL_H

#include "delta/data_file.h"
#include "delta/internal.h"
#include "delta/region.h"
#include "parquet/writer.h"

/*
 * A data file on its way. While it is open the encoder fills `bytes`; an upload takes them out and
 * alone touches `store_writer`. Once ended it belongs to the upload that takes its last bytes.
 */
typedef struct out_file {
    sl_delta_file file;
    delta_region bytes;
    sl_store_writer *store_writer; /* some pieces are in the store already */
    sl_parquet_writer *writer;     /* NULL once ended */
    char *key;                     /* the tuple of partition values */
    int64_t rows;
    bool ended;
    bool in_upload;
    bool dropped; /* discarded while an upload had it: that frees it when it ends */
} out_file;

/* One file's bytes in an upload. */
typedef struct upload_item {
    out_file *file;
    delta_region bytes;
    bool last; /* the file ends with them: the upload owns it */
    bool stored;
} upload_item;

struct sl_delta_upload {
    upload_item *items;
    size_t n;
    bool discarded; /* by the encoder's thread, read when it ends */
};

struct sl_delta_encoder {
    struct ArrowSchema schema;      /* of the batches */
    struct ArrowSchema file_schema; /* without partition columns */
    int64_t *data_columns;          /* indexes into `schema` */
    size_t n_data_columns;
    int64_t *partition_columns; /* in the table's order */
    size_t n_partition_columns;
    sl_parquet_writer_options parquet;
    const char *codec; /* for file names */
    size_t file_bytes;
    size_t memory_bytes;
    size_t open_limit;
    int64_t stats_columns;
    char *tail_owner;
    char id[33]; /* random: no two encoders write one name */
    uint64_t next_file;
    int64_t rows;
    out_file **open; /* being written, one for each partition */
    size_t n_open;
    out_file **ended; /* waiting for an upload */
    size_t n_ended;
    size_t n_flushed; /* of these, the first ones: they wait since the last end_files */
    size_t ended_capacity;
    sl_parquet_writer **idle; /* writers of ended files, which keep what they learnt */
    size_t n_idle;
    delta_region spare[2]; /* of files that are stored: one is filled while the other is written */
    sl_delta_upload *upload; /* under way */
    /* of the batch being split; kept for its memory (encoder_split.c) */
    struct split *split;
};

/* encoder.c: the open file of the row's partition, opened when there is none. */
sl_error *delta_encoder_file(sl_delta_encoder *encoder, const struct ArrowArray *array, int64_t row,
                             out_file **out);
/* Appends rows of the whole batch (partition columns are left out) to one file. */
sl_error *delta_encoder_write(sl_delta_encoder *encoder, out_file *file,
                              const struct ArrowArray *array, int64_t first, int64_t rows);
void delta_out_file_free(out_file *file);
/* Empty memory for a file's bytes, used before if there is some; and back. */
delta_region delta_encoder_region(sl_delta_encoder *encoder);
void delta_encoder_return_region(sl_delta_encoder *encoder, delta_region *region);

/* encoder_split.c: rows to the files of their partitions. */
sl_error *delta_encoder_split(sl_delta_encoder *encoder, const struct ArrowArray *array,
                              int64_t first, int64_t rows);
void delta_split_free(struct split *split);

#endif /* SL_DELTA_ENCODER_INTERNAL_H */
