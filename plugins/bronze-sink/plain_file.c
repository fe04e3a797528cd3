/* One plain file: rows to Parquet, or to lines that are compressed in frames. */
#include "plain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timestamp.h"
#include "columns/lines.h"

/* Text is compressed in frames of about this size; zstd's readers take many as one stream. */
#define FRAME_BYTES ((size_t)1 << 20)
static sl_error *gather(void *arg, const void *data, size_t bytes) {
    return sl_buffer_append(arg, data, bytes) ? NULL : sl_error_no_memory();
}

sl_error *plain_maker_init(struct plain_maker *maker, const sl_node *node) {
    *maker = (struct plain_maker){.node = node};
    if (node->config->format == FORMAT_PARQUET) {
        return NULL;
    }
    return sl_pqw_compressor_init(&maker->compressor, node->config->codec, node->config->level);
}

void plain_maker_free(struct plain_maker *maker) {
    sl_parquet_writer_free(maker->idle);
    sl_pqw_compressor_free(&maker->compressor);
    *maker = (struct plain_maker){0};
}

static sl_error *begin_parquet(struct plain_maker *maker, struct plain_file *file) {
    const struct plain_config *config = maker->node->config;
    if (maker->idle != NULL) {
        file->writer = maker->idle;
        maker->idle = NULL;
        sl_parquet_writer_restart(file->writer, gather, &file->bytes);
        return NULL;
    }
    sl_parquet_writer_options options = sl_parquet_writer_defaults();
    options.codec = config->codec;
    options.level = config->level;
    options.row_group_bytes = config->row_group_bytes;
    return sl_parquet_writer_new(&maker->node->file_schema, &options, gather, &file->bytes,
                                 &file->writer);
}

sl_error *plain_file_new(struct plain_maker *maker, struct plain_file **out) {
    struct plain_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return sl_error_no_memory();
    }
    if (maker->node->config->format == FORMAT_PARQUET) {
        sl_error *error = begin_parquet(maker, file);
        if (error != NULL) {
            free(file);
            return error;
        }
    }
    *out = file;
    return NULL;
}

static sl_error *compress_lines(struct plain_maker *maker, struct plain_file *file) {
    sl_error *error = sl_pqw_compress(&maker->compressor, NULL, file->lines.data, file->lines.bytes,
                                      &file->bytes);
    sl_buffer_clear(&file->lines);
    return error;
}

static bool append_lines(const sl_node *node, sl_buffer *lines, const struct ArrowArray *columns,
                         int64_t first, int64_t rows) {
    struct ArrowArray view = *columns;
    if (node->config->format == FORMAT_JSONL) {
        view.n_children -= (int64_t)node->n_partition_columns;
        return sl_lines_append(&node->file_schema, &view, first, rows, SL_LINES_RECORD, lines);
    }
    struct ArrowArray *children[SL_RAW_COLUMNS];
    children[SL_RAW_KEY] = columns->children[PLAIN_KEY];
    children[SL_RAW_VALUE] = columns->children[PLAIN_VALUE];
    children[SL_RAW_TIMESTAMP] = columns->children[PLAIN_TIMESTAMP];
    children[SL_RAW_HEADERS] = columns->children[PLAIN_HEADERS];
    children[SL_RAW_OFFSET] = columns->children[PLAIN_OFFSET];
    view.children = children;
    view.n_children = SL_RAW_COLUMNS;
    return sl_lines_append(&node->raw_schema, &view, first, rows, SL_LINES_VALUE, lines);
}

sl_error *plain_file_append(struct plain_maker *maker, struct plain_file *file,
                            const struct ArrowArray *columns, int64_t first, int64_t rows) {
    const sl_node *node = maker->node;
    file->rows += rows;
    if (file->writer != NULL) {
        struct ArrowArray view = *columns;
        view.n_children -= (int64_t)node->n_partition_columns;
        return sl_parquet_writer_append(file->writer, &view, first, rows);
    }
    if (!append_lines(node, &file->lines, columns, first, rows)) {
        return sl_error_no_memory();
    }
    return file->lines.bytes < FRAME_BYTES ? NULL : compress_lines(maker, file);
}

sl_error *plain_file_finish(struct plain_maker *maker, struct plain_file *file) {
    if (file->writer == NULL) {
        sl_error *error = file->lines.bytes > 0 ? compress_lines(maker, file) : NULL;
        sl_buffer_free(&file->lines);
        return error;
    }
    sl_error *error = sl_parquet_writer_finish(file->writer, NULL);
    if (maker->idle == NULL) {
        maker->idle = file->writer;
    } else {
        sl_parquet_writer_free(file->writer);
    }
    file->writer = NULL;
    return error;
}

size_t plain_file_memory(const struct plain_file *file) {
    return file->bytes.bytes + file->lines.bytes +
           (file->writer == NULL ? 0 : sl_parquet_writer_memory_bytes(file->writer));
}

void plain_file_free(struct plain_file *file) {
    if (file != NULL) {
        sl_parquet_writer_free(file->writer);
        sl_buffer_free(&file->lines);
        sl_buffer_free(&file->bytes);
        free(file);
    }
}

/* ---- names ---- */

/* Names of sources and topics, with what a file name may not hold percent-encoded. */
static void put_name(sl_buffer *out, const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c != 0; c++) {
        bool plain = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= 'a' && *c <= 'z') || *c == '.' || *c == '_' || *c == '-';
        if (plain) {
            sl_buffer_append_byte(out, *c);
        } else {
            sl_buffer_printf(out, "%%%02X", *c);
        }
    }
}

static void put_date(sl_buffer *out, int32_t days) {
    int64_t year;
    int month;
    int day;
    sl_civil_from_days(days, &year, &month, &day);
    sl_buffer_printf(out, "%04" PRId64 "-%02d-%02d", year, month, day);
}

static const char *extension(const struct plain_config *config) {
    bool zstd = config->codec == SL_PARQUET_ZSTD;
    switch (config->format) {
    case FORMAT_PARQUET:
        return "parquet";
    case FORMAT_JSONL:
        return zstd ? "jsonl.zst" : "jsonl";
    default:
        return zstd ? "txt.zst" : "txt";
    }
}

char *plain_file_path(const sl_node *node, const sl_stream *stream, const struct plain_file *file,
                      int64_t first, int64_t next) {
    const char *const *columns = bronze_partition_columns(node->config->partition_by);
    sl_buffer path = SL_BUFFER_INIT;
    if (columns[0] != NULL) {
        sl_buffer_printf(&path, "%s=", columns[0]);
        put_date(&path, file->day);
        sl_buffer_append_byte(&path, '/');
        if (columns[1] != NULL) {
            sl_buffer_printf(&path, "%s=%d/", columns[1], (int)file->hour);
        }
    }
    sl_buffer_append_text(&path, "sluice-");
    put_name(&path, stream->source);
    sl_buffer_append_byte(&path, '~');
    put_name(&path, stream->topic);
    sl_buffer_printf(&path, "~%d~%020" PRId64 "-%020" PRId64 ".%s", (int)stream->partition, first,
                     next, extension(node->config));
    size_t bytes;
    if (sl_buffer_text(&path) == NULL) {
        sl_buffer_free(&path);
        return NULL;
    }
    return (char *)sl_buffer_take(&path, &bytes);
}
