/*
 * Fuzzing the Parquet reader: any bytes either give batches that pass the structural check of
 * lib/columns, or an error; and read from memory in large batches they give the same rows as read
 * in small windows and small batches. Limits are small, so that a file which lies about sizes shows
 * as memory or time.
 */
#include <stdlib.h>
#include <string.h>

#include "columns/columns.h"
#include "parquet/reader.h"

#define MAX_ROWS_READ 5000
#define MAX_COMPARED_BYTES 200000

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

/* Appends the batch's rows as JSON lines, up to a limit. */
static void append_rows(const struct ArrowSchema *schema, const struct ArrowArray *batch,
                        sl_buffer *rows) {
    for (int64_t i = 0; i < batch->length && rows->bytes < MAX_COMPARED_BYTES; i++) {
        sl_array_append_json(schema, batch, i, rows);
        sl_buffer_append_byte(rows, '\n');
    }
}

/* Reads up to MAX_ROWS_READ rows; NULL when nothing was wrong. */
static sl_error *scan_rows(const sl_parquet_reader *reader, const sl_parquet_scan_options *options,
                           sl_buffer *rows) {
    sl_parquet_scan *scan = NULL;
    sl_error *error = sl_parquet_scan_open(reader, options, &scan);
    int64_t n = 0;
    while (error == NULL && n < MAX_ROWS_READ) {
        struct ArrowArray batch;
        error = sl_parquet_scan_next(scan, &batch);
        if (error != NULL || batch.release == NULL) {
            break;
        }
        if (sl_array_check(sl_parquet_scan_schema(scan), &batch) != NULL) {
            abort(); /* a batch that breaks Arrow's rules */
        }
        append_rows(sl_parquet_scan_schema(scan), &batch, rows);
        n += batch.length;
        batch.release(&batch);
    }
    sl_parquet_scan_close(scan);
    return error;
}

static sl_error *read_all(const uint8_t *file, size_t bytes, bool in_memory, sl_buffer *rows) {
    sl_parquet_input input = {.name = "fuzz",
                              .file_bytes = (int64_t)bytes,
                              .memory = in_memory ? file : NULL,
                              .read = read_copy};
    sl_parquet_reader_options options = {
        .max_page_bytes = (size_t)1 << 20, .max_batch_bytes = (size_t)8 << 20, .read_bytes = 16};
    sl_parquet_scan_options scan = {.max_rows = in_memory ? 1000 : 7};
    sl_parquet_reader *reader = NULL;
    sl_error *error = sl_parquet_reader_open(&input, &options, &reader);
    if (error == NULL) {
        touch_statistics(reader);
        error = scan_rows(reader, &scan, rows);
    }
    sl_parquet_reader_close(reader);
    return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    sl_buffer large = SL_BUFFER_INIT;
    sl_buffer small = SL_BUFFER_INIT;
    file_data = data;
    sl_error *first = read_all(data, bytes, true, &large);
    sl_error *second = read_all(data, bytes, false, &small);
    bool compared = first == NULL && second == NULL;
    size_t same = large.bytes < small.bytes ? large.bytes : small.bytes;
    if (compared && same > 0 && memcmp(large.data, small.data, same) != 0) {
        abort(); /* how a file is read must not change what is read */
    }
    sl_error_free(first);
    sl_error_free(second);
    sl_buffer_free(&large);
    sl_buffer_free(&small);
    return 0;
}
