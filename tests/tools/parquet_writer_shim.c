/*
 * The Parquet writer as a shared object for Python's ctypes: pyarrow hands its record batches over
 * in the Arrow C data interface, the shim writes them into a file and tells what the writer says
 * about it, as JSON. Used by tests/parquet/.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "columns/columns.h"
#include "parquet/writer.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct shim_options {
    const char *codec;
    int32_t level;
    int32_t page_version;
    uint64_t page_bytes;
    uint64_t row_group_bytes;
    uint64_t dictionary_bytes;
    int32_t plain_encodings;
    int32_t append_rows; /* handed over at a time; 0: whole batches */
} shim_options;

static sl_error *write_file(void *arg, const void *data, size_t bytes) {
    return fwrite(data, 1, bytes, arg) == bytes
               ? NULL
               : sl_error_new(SL_ERROR_RETRIABLE, "the test's file cannot be written");
}

static void put_value(const sl_parquet_column *column, const sl_parquet_value *value,
                      sl_buffer *out) {
    switch (column->type.id) {
    case SL_TYPE_FLOAT:
    case SL_TYPE_DOUBLE:
        sl_buffer_printf(out, "\"%.17g\"", value->f64);
        break;
    case SL_TYPE_UINT64:
        sl_buffer_printf(out, "\"%llu\"", (unsigned long long)value->u64);
        break;
    case SL_TYPE_DECIMAL128:
    case SL_TYPE_UTF8:
    case SL_TYPE_BINARY:
    case SL_TYPE_FIXED_BINARY: { /* bytes in hex */
        bool decimal = column->type.id == SL_TYPE_DECIMAL128;
        const uint8_t *data = decimal ? value->decimal : value->data;
        size_t bytes = decimal ? sizeof(value->decimal) : value->bytes;
        sl_buffer_append_byte(out, '"');
        for (size_t i = 0; i < bytes; i++) {
            sl_buffer_printf(out, "%02x", data[i]);
        }
        sl_buffer_append_byte(out, '"');
        break;
    }
    default:
        sl_buffer_printf(out, "\"%lld\"", (long long)value->i64);
    }
}

static void put_column(const sl_parquet_column *column, sl_buffer *out) {
    sl_buffer_append_text(out, "{\"path\":[");
    for (size_t i = 0; i < column->n_path; i++) {
        sl_buffer_append_text(out, i == 0 ? "" : ",");
        sl_buffer_append_json_string(out, column->path[i], strlen(column->path[i]));
    }
    sl_buffer_printf(out,
                     "],\"repeated\":%d,\"values\":%lld,\"nulls\":%lld,\"nan\":%d,\"bytes\":%lld",
                     column->repeated, (long long)column->values, (long long)column->null_count,
                     column->has_nan, (long long)column->compressed_bytes);
    if (column->has_min) {
        sl_buffer_printf(out, ",\"min_exact\":%d,\"min\":", column->min_exact);
        put_value(column, &column->min, out);
    }
    if (column->has_max) {
        sl_buffer_printf(out, ",\"max_exact\":%d,\"max\":", column->max_exact);
        put_value(column, &column->max, out);
    }
    sl_buffer_append_text(out, "}");
}

static void put_summary(const sl_parquet_summary *summary, sl_buffer *out) {
    sl_buffer_printf(out, "{\"rows\":%lld,\"bytes\":%lld,\"row_groups\":%d,\"columns\":[",
                     (long long)summary->rows, (long long)summary->bytes, summary->row_groups);
    for (size_t i = 0; i < summary->n_columns; i++) {
        sl_buffer_append_text(out, i == 0 ? "" : ",");
        put_column(&summary->columns[i], out);
    }
    sl_buffer_append_text(out, "]}");
}

/* pyarrow's arrays may have offsets, and no padding. */
static sl_error *append_batch(sl_parquet_writer *writer, const struct ArrowSchema *schema,
                              const struct ArrowArray *batch, int64_t at_a_time) {
    struct ArrowArray copy;
    sl_error *error = sl_array_copy(schema, batch, 0, batch->length, &copy);
    if (error != NULL) {
        return error;
    }
    at_a_time = at_a_time == 0 ? copy.length : at_a_time;
    for (int64_t first = 0; first < copy.length && error == NULL; first += at_a_time) {
        int64_t rows = copy.length - first < at_a_time ? copy.length - first : at_a_time;
        error = sl_parquet_writer_append(writer, &copy, first, rows);
    }
    copy.release(&copy);
    return error;
}

static sl_error *write_batches(const char *path, const struct ArrowSchema *schema,
                               struct ArrowArray *const *batches, int32_t n,
                               const shim_options *from, sl_buffer *answer) {
    sl_parquet_writer_options options = sl_parquet_writer_defaults();
    sl_parquet_writer *writer = NULL;
    const sl_parquet_summary *summary = NULL;
    if (!sl_parquet_codec_parse(from->codec, &options.codec)) {
        return sl_error_new(SL_ERROR_CONFIG, "no codec %s", from->codec);
    }
    options.level = from->level;
    options.page_version = from->page_version;
    options.page_bytes = from->page_bytes;
    options.row_group_bytes = from->row_group_bytes;
    options.dictionary_bytes = from->dictionary_bytes;
    options.plain_encodings = from->plain_encodings != 0;
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "cannot open %s", path);
    }
    sl_error *error = sl_parquet_writer_new(schema, &options, write_file, file, &writer);
    for (int32_t i = 0; i < n && error == NULL; i++) {
        error = append_batch(writer, schema, batches[i], from->append_rows);
    }
    if (error == NULL) {
        error = sl_parquet_writer_finish(writer, &summary);
    }
    if (error == NULL) {
        put_summary(summary, answer);
    }
    sl_parquet_writer_free(writer);
    fclose(file);
    return error;
}

/* Answers the summary, or an error's message after "!"; free with shim_free. */
EXPORT char *shim_write(const char *path, const struct ArrowSchema *schema,
                        struct ArrowArray *const *batches, int32_t n, const shim_options *options) {
    sl_buffer answer = SL_BUFFER_INIT;
    sl_error *error = write_batches(path, schema, batches, n, options, &answer);
    if (error != NULL) {
        sl_buffer_clear(&answer);
        sl_buffer_printf(&answer, "!%s: %s", sl_error_class_name(sl_error_get_class(error)),
                         sl_error_message(error));
        sl_error_free(error);
    }
    size_t bytes;
    sl_buffer_append_byte(&answer, 0);
    return (char *)sl_buffer_take(&answer, &bytes);
}

EXPORT void shim_free(char *answer) {
    free(answer);
}
