/*
 * Fuzzing the Parquet reader: any bytes either give batches that pass the structural check of
 * lib/columns, or an error. The last byte, which a file does not need, chooses how the file is
 * read; limits are small, so that a file which lies about sizes shows as memory or time.
 */
#include <stdlib.h>
#include <string.h>

#include "columns/columns.h"
#include "parquet/reader.h"

#define MAX_ROWS_READ 20000

static const uint8_t *file_data;

static void release_copy(sl_store_bytes *bytes) {
    free(bytes->data);
    bytes->data = NULL;
}

/* An exact copy, so that AddressSanitizer sees every byte read past a window. */
static sl_error *read_copy(void *arg, int64_t offset, size_t bytes, sl_store_bytes *out) {
    (void)arg;
    uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
    if (copy == NULL) {
        return sl_error_no_memory();
    }
    memcpy(copy, file_data + offset, bytes);
    *out = (sl_store_bytes){copy, bytes, release_copy};
    return NULL;
}

static void touch_statistics(const sl_parquet_reader *reader) {
    for (size_t group = 0; group < sl_parquet_reader_row_groups(reader) && group < 4; group++) {
        for (size_t i = 0; i < sl_parquet_reader_leaves(reader); i++) {
            sl_parquet_leaf leaf;
            sl_parquet_statistics statistics;
            sl_parquet_reader_leaf(reader, i, &leaf);
            sl_parquet_reader_statistics(reader, group, i, &statistics);
        }
    }
}

static void read_all(const sl_parquet_reader *reader, int64_t max_rows) {
    sl_parquet_scan_options options = {.max_rows = max_rows};
    sl_parquet_scan *scan = NULL;
    sl_error *error = sl_parquet_scan_open(reader, &options, &scan);
    sl_buffer line = SL_BUFFER_INIT;
    int64_t rows = 0;
    while (error == NULL && rows < MAX_ROWS_READ) {
        struct ArrowArray batch;
        error = sl_parquet_scan_next(scan, &batch);
        if (error != NULL || batch.release == NULL) {
            break;
        }
        error = sl_array_check(sl_parquet_scan_schema(scan), &batch);
        if (error != NULL) {
            abort(); /* a batch that breaks Arrow's rules */
        }
        for (int64_t i = 0; i < batch.length && i < 50; i++) {
            sl_buffer_clear(&line);
            sl_array_append_json(sl_parquet_scan_schema(scan), &batch, i, &line);
        }
        rows += batch.length;
        batch.release(&batch);
    }
    sl_error_free(error);
    sl_buffer_free(&line);
    sl_parquet_scan_close(scan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes == 0) {
        return 0;
    }
    unsigned mode = data[bytes - 1] == '1' ? 0 : data[bytes - 1]; /* files end in "PAR1" */
    uint8_t *file = malloc(bytes);
    if (file == NULL) {
        return 0;
    }
    memcpy(file, data, bytes);
    file[bytes - 1] = '1';
    file_data = file;
    sl_parquet_input input = {.name = "fuzz",
                              .file_bytes = (int64_t)bytes,
                              .memory = (mode & 1) != 0 ? NULL : file,
                              .read = read_copy};
    sl_parquet_reader_options options = {.max_page_bytes = (size_t)1 << 20,
                                         .max_batch_bytes = (size_t)8 << 20,
                                         .read_bytes = (mode & 2) != 0 ? 16 : 4096};
    sl_parquet_reader *reader = NULL;
    sl_error *error = sl_parquet_reader_open(&input, &options, &reader);
    if (error == NULL) {
        touch_statistics(reader);
        read_all(reader, (mode & 4) != 0 ? 7 : 1000);
    }
    sl_error_free(error);
    sl_parquet_reader_close(reader);
    free(file);
    return 0;
}
