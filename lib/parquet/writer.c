/*
 * The writer: rows go to the columns in stripes, row groups end by the memory that they hold, and
 * what is finished goes to the output.
 */
#include "parquet/writer.h"

#include <stdlib.h>
#include <string.h>

#include "parquet/writer_column.h"
#include "parquet/writer_footer.h"

#define DEFAULT_LEVEL 1
#define DEFAULT_PAGE_BYTES ((size_t)1 << 20)
#define DEFAULT_ROW_GROUP_BYTES ((size_t)32 << 20)
#define DEFAULT_DICTIONARY_BYTES ((size_t)1 << 20)
#define MIN_PAGE_BYTES ((size_t)1 << 10)
#define MAX_PAGE_BYTES ((size_t)256 << 20)
/* Rows that go to one column before the next: its dictionary stays in the cache. */
#define STRIPE_ROWS 8192
/* A stripe holds at most this part of a row group. */
#define STRIPE_DIVISOR 4
/* Pages smaller than this are gathered before they go out. */
#define OUTPUT_BYTES ((size_t)64 << 10)
#define MAX_ROW_GROUPS INT32_MAX

struct sl_parquet_writer {
    sl_pqw_column_context context;
    sl_pqw_leaf *leaves;
    size_t n_columns;
    sl_pqw_column *columns;
    sl_buffer schema; /* SchemaElements */
    size_t n_schema;

    sl_parquet_output output;
    void *output_arg;
    sl_buffer gathered;   /* waits to go out */
    int64_t bytes;        /* of the file so far, with `gathered` */
    int64_t rows;         /* of the file */
    int64_t group_rows;   /* of the open row group */
    int64_t group_offset; /* where it begins in the file; 0: nothing of it is out */
    size_t group_memory;  /* that it holds */
    sl_buffer row_groups; /* RowGroup elements of the footer */
    size_t n_row_groups;
    bool broken;   /* an error ended the file */
    bool finished; /* its footer is written */

    sl_parquet_summary summary;
    sl_parquet_column *described; /* n_columns */
    uint8_t *described_strings;   /* 2 * SL_PQW_STATS_STRING_BYTES each */
};

sl_parquet_writer_options sl_parquet_writer_defaults(void) {
    return (sl_parquet_writer_options){.codec = SL_PARQUET_ZSTD,
                                       .level = DEFAULT_LEVEL,
                                       .page_version = 1,
                                       .page_bytes = DEFAULT_PAGE_BYTES,
                                       .row_group_bytes = DEFAULT_ROW_GROUP_BYTES,
                                       .dictionary_bytes = DEFAULT_DICTIONARY_BYTES,
                                       .plain_encodings = false};
}

bool sl_parquet_codec_parse(const char *name, sl_parquet_codec *out) {
    static const struct {
        const char *name;
        sl_parquet_codec codec;
    } codecs[] = {{"zstd", SL_PARQUET_ZSTD},
                  {"snappy", SL_PARQUET_SNAPPY},
                  {"lz4", SL_PARQUET_LZ4_RAW},
                  {"none", SL_PARQUET_UNCOMPRESSED}};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(codecs); i++) {
        if (strcmp(codecs[i].name, name) == 0) {
            *out = codecs[i].codec;
            return true;
        }
    }
    return false;
}

static sl_error *check_options(const sl_parquet_writer_options *options) {
    if (options->page_version != 1 && options->page_version != 2) {
        return sl_error_new(SL_ERROR_CONFIG, "Parquet data page version %d: use 1 or 2",
                            options->page_version);
    }
    if (options->page_bytes < MIN_PAGE_BYTES || options->page_bytes > MAX_PAGE_BYTES) {
        return sl_error_new(SL_ERROR_CONFIG, "Parquet pages of %zu bytes: use %zu to %zu",
                            options->page_bytes, MIN_PAGE_BYTES, MAX_PAGE_BYTES);
    }
    if (options->row_group_bytes == 0 || options->dictionary_bytes > MAX_PAGE_BYTES) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "Parquet row groups of %zu bytes with dictionaries of %zu: row groups "
                            "need more than 0, dictionaries at most %zu",
                            options->row_group_bytes, options->dictionary_bytes, MAX_PAGE_BYTES);
    }
    return NULL;
}

static sl_error *init_columns(sl_parquet_writer *writer) {
    size_t n;
    writer->columns = calloc(writer->n_columns, sizeof(*writer->columns));
    writer->described = calloc(writer->n_columns, sizeof(*writer->described));
    writer->described_strings = malloc(writer->n_columns * 2 * SL_PQW_STATS_STRING_BYTES);
    if (writer->columns == NULL || writer->described == NULL || writer->described_strings == NULL) {
        free(writer->columns); /* none is initialised */
        writer->columns = NULL;
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    for (n = 0; n < writer->n_columns && error == NULL; n++) {
        error = sl_pqw_column_init(&writer->columns[n], &writer->leaves[n]);
    }
    return error;
}

sl_error *sl_parquet_writer_new(const struct ArrowSchema *schema,
                                const sl_parquet_writer_options *options, sl_parquet_output output,
                                void *arg, sl_parquet_writer **out) {
    sl_parquet_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return sl_error_no_memory();
    }
    writer->context.options = options == NULL ? sl_parquet_writer_defaults() : *options;
    options = &writer->context.options;
    sl_error *error = check_options(options);
    if (error == NULL) {
        error = sl_pqw_compressor_init(&writer->context.compressor, options->codec, options->level);
    }
    if (error == NULL) {
        error = sl_pqw_leaves_new(schema, &writer->leaves, &writer->n_columns);
    }
    if (error == NULL) {
        error = init_columns(writer);
    }
    if (error == NULL) {
        writer->n_schema = sl_pqw_footer_schema(schema, &writer->schema);
        error = writer->schema.failed ? sl_error_no_memory() : NULL;
    }
    if (error != NULL) {
        sl_parquet_writer_free(writer);
        return error;
    }
    sl_parquet_writer_restart(writer, output, arg);
    *out = writer;
    return NULL;
}

void sl_parquet_writer_free(sl_parquet_writer *writer) {
    if (writer == NULL) {
        return;
    }
    for (size_t i = 0; writer->columns != NULL && i < writer->n_columns; i++) {
        sl_pqw_column_free(&writer->columns[i]);
    }
    free(writer->columns);
    free(writer->described);
    free(writer->described_strings);
    sl_pqw_leaves_free(writer->leaves, writer->n_columns);
    sl_pqw_compressor_free(&writer->context.compressor);
    sl_pqw_shredder_free(&writer->context.shredder);
    sl_buffer_free(&writer->context.values);
    sl_buffer_free(&writer->context.image);
    sl_buffer_free(&writer->context.packed);
    sl_buffer_free(&writer->context.header);
    sl_buffer_free(&writer->schema);
    sl_buffer_free(&writer->gathered);
    sl_buffer_free(&writer->row_groups);
    free(writer);
}

void sl_parquet_writer_restart(sl_parquet_writer *writer, sl_parquet_output output, void *arg) {
    for (size_t i = 0; i < writer->n_columns; i++) {
        sl_pqw_column_reset(&writer->columns[i], true);
    }
    sl_buffer_clear(&writer->gathered);
    sl_buffer_clear(&writer->row_groups);
    writer->output = output;
    writer->output_arg = arg;
    writer->bytes = 0;
    writer->rows = 0;
    writer->group_rows = 0;
    writer->group_offset = 0;
    writer->group_memory = 0;
    writer->n_row_groups = 0;
    writer->broken = false;
    writer->finished = false;
}

/* ---- output ---- */

static sl_error *send_gathered(sl_parquet_writer *writer) {
    sl_error *error = NULL;
    if (writer->gathered.bytes > 0) {
        error = writer->output(writer->output_arg, writer->gathered.data, writer->gathered.bytes);
    }
    sl_buffer_clear(&writer->gathered);
    return error;
}

static sl_error *send(sl_parquet_writer *writer, const void *data, size_t bytes) {
    writer->bytes += (int64_t)bytes;
    if (bytes < OUTPUT_BYTES) {
        if (!sl_buffer_append(&writer->gathered, data, bytes)) {
            return sl_error_no_memory();
        }
        return writer->gathered.bytes < OUTPUT_BYTES ? NULL : send_gathered(writer);
    }
    sl_error *error = send_gathered(writer);
    return error != NULL ? error : writer->output(writer->output_arg, data, bytes);
}

static sl_error *send_magic(sl_parquet_writer *writer) {
    return writer->bytes > 0 ? NULL : send(writer, SL_PARQUET_MAGIC, SL_PARQUET_MAGIC_BYTES);
}

static sl_error *send_chunk(sl_parquet_writer *writer, const sl_pqw_column *column) {
    sl_error *error = NULL;
    if (column->dictionary_page != NULL) {
        error = send(writer, column->dictionary_page->data, column->dictionary_page->bytes);
    }
    for (const sl_pqw_column_page *page = column->first_page; page != NULL && error == NULL;
         page = page->next) {
        error = send(writer, page->data, page->bytes);
    }
    return error;
}

static sl_error *begin_row_group(sl_parquet_writer *writer) {
    if (writer->n_row_groups == MAX_ROW_GROUPS) {
        return sl_error_new(SL_ERROR_FATAL, "a Parquet file cannot hold more row groups");
    }
    sl_error *error = send_magic(writer);
    writer->group_offset = writer->bytes;
    return error;
}

/* The first chunk begins the row group, so its pages need not wait for the group's end, unless a
 * dictionary is to go before them. Often it is the largest one. */
static sl_error *send_first_chunk(sl_parquet_writer *writer) {
    sl_pqw_column *column = &writer->columns[0];
    if (column->first_page == NULL || !sl_pqw_column_pages_are_final(column)) {
        return NULL;
    }
    sl_error *error = writer->group_offset == 0 ? begin_row_group(writer) : NULL;
    error = error != NULL ? error : send_chunk(writer, column);
    sl_pqw_column_pages_are_out(column);
    return error;
}

static sl_error *end_row_group(sl_parquet_writer *writer) {
    sl_error *error = writer->group_offset == 0 ? begin_row_group(writer) : NULL;
    for (size_t i = 0; i < writer->n_columns && error == NULL; i++) {
        error = sl_pqw_column_end_chunk(&writer->context, &writer->columns[i]);
    }
    if (error != NULL) {
        return error;
    }
    const sl_pqw_footer_row_group group = {
        .columns = writer->columns,
        .n_columns = writer->n_columns,
        .offset = writer->group_offset,
        .rows = writer->group_rows,
        .ordinal = (int32_t)writer->n_row_groups,
        .codec = writer->context.options.codec,
        .data_page = writer->context.options.page_version == 1 ? SL_PARQUET_DATA_PAGE
                                                               : SL_PARQUET_DATA_PAGE_V2,
    };
    sl_pqw_footer_append_row_group(&group, &writer->row_groups);
    if (writer->row_groups.failed) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < writer->n_columns && error == NULL; i++) {
        error = send_chunk(writer, &writer->columns[i]);
        sl_pqw_column_reset(&writer->columns[i], false);
    }
    writer->n_row_groups++;
    writer->group_rows = 0;
    writer->group_offset = 0;
    writer->group_memory = 0;
    return error;
}

static sl_error *check_open(const sl_parquet_writer *writer) {
    if (writer->broken || writer->finished) {
        return sl_error_new(SL_ERROR_FATAL, "the Parquet file is %s",
                            writer->finished ? "finished" : "broken by an earlier error");
    }
    return NULL;
}

sl_error *sl_parquet_writer_end_row_group(sl_parquet_writer *writer) {
    sl_error *error = check_open(writer);
    if (error == NULL && writer->group_rows > 0) {
        error = end_row_group(writer);
        writer->broken = error != NULL;
    }
    return error;
}

/* ---- rows ---- */

static size_t stripe_weight(const sl_parquet_writer *writer, const struct ArrowArray *columns,
                            int64_t first, int64_t rows) {
    size_t total = 0;
    for (size_t i = 0; i < writer->n_columns; i++) {
        total += sl_pqw_shred_weight(&writer->leaves[i].shred, columns, first, rows);
    }
    return total;
}

static sl_error *append_stripe(sl_parquet_writer *writer, const struct ArrowArray *columns,
                               int64_t first, int64_t rows) {
    size_t memory = 0;
    for (size_t i = 0; i < writer->n_columns; i++) {
        sl_error *error =
            sl_pqw_column_append(&writer->context, &writer->columns[i], columns, first, rows);
        if (error == NULL && i == 0) {
            error = send_first_chunk(writer);
        }
        if (error != NULL) {
            return error;
        }
        memory += sl_pqw_column_memory(&writer->columns[i]);
    }
    size_t out = writer->columns[0].out_bytes;
    writer->rows += rows;
    writer->group_rows += rows;
    writer->group_memory = memory;
    return memory + out < writer->context.options.row_group_bytes ? NULL : end_row_group(writer);
}

static sl_error *append(sl_parquet_writer *writer, const struct ArrowArray *columns, int64_t first,
                        int64_t rows) {
    size_t limit = writer->context.options.row_group_bytes / STRIPE_DIVISOR;
    while (rows > 0) {
        int64_t part = rows < STRIPE_ROWS ? rows : STRIPE_ROWS;
        while (part > 1 && stripe_weight(writer, columns, first, part) > limit) {
            part /= 2;
        }
        sl_error *error = append_stripe(writer, columns, first, part);
        if (error != NULL) {
            return error;
        }
        first += part;
        rows -= part;
    }
    return NULL;
}

sl_error *sl_parquet_writer_append(sl_parquet_writer *writer, const struct ArrowArray *columns,
                                   int64_t first, int64_t rows) {
    sl_error *error = check_open(writer);
    if (error != NULL) {
        return error;
    }
    if (first < 0 || rows < 0 || first > columns->length - rows || columns->offset != 0) {
        error = sl_error_new(SL_ERROR_CONFIG,
                             "rows %lld to %lld of an array of %lld rows with offset %lld",
                             (long long)first, (long long)(first + rows),
                             (long long)columns->length, (long long)columns->offset);
    } else {
        error = append(writer, columns, first, rows);
    }
    writer->broken = error != NULL;
    return error;
}

int64_t sl_parquet_writer_rows(const sl_parquet_writer *writer) {
    return writer->rows;
}

int64_t sl_parquet_writer_bytes(const sl_parquet_writer *writer) {
    return writer->bytes - (int64_t)writer->gathered.bytes;
}

size_t sl_parquet_writer_memory_bytes(const sl_parquet_writer *writer) {
    return writer->group_memory + writer->gathered.bytes + writer->row_groups.bytes;
}

/* ---- the end ---- */

static void describe(sl_parquet_writer *writer) {
    for (size_t i = 0; i < writer->n_columns; i++) {
        const sl_pqw_column *column = &writer->columns[i];
        const sl_pqw_leaf *leaf = column->leaf;
        sl_parquet_column *to = &writer->described[i];
        *to = (sl_parquet_column){
            .path = (const char *const *)leaf->path,
            .n_path = leaf->n_path,
            .repeated = leaf->shred.max_repetition > 0,
            .type = leaf->type,
            .values = column->file_entries,
            .null_count = column->file_entries - column->file_values,
            .compressed_bytes = column->file_bytes,
        };
        sl_pqw_stats_describe(&column->file_stats, to,
                              writer->described_strings + i * 2 * SL_PQW_STATS_STRING_BYTES);
    }
    writer->summary = (sl_parquet_summary){.rows = writer->rows,
                                           .bytes = writer->bytes,
                                           .row_groups = (int32_t)writer->n_row_groups,
                                           .columns = writer->described,
                                           .n_columns = writer->n_columns};
}

static sl_error *finish(sl_parquet_writer *writer) {
    sl_error *error = writer->group_rows > 0 ? end_row_group(writer) : send_magic(writer);
    if (error != NULL) {
        return error;
    }
    const sl_pqw_footer_file file = {.schema = &writer->schema,
                                     .n_schema = writer->n_schema,
                                     .row_groups = &writer->row_groups,
                                     .n_row_groups = writer->n_row_groups,
                                     .rows = writer->rows,
                                     .n_columns = writer->n_columns};
    size_t before = writer->gathered.bytes;
    sl_pqw_footer_append_file(&file, &writer->gathered);
    if (writer->gathered.failed) {
        return sl_error_no_memory();
    }
    writer->bytes += (int64_t)(writer->gathered.bytes - before);
    return send_gathered(writer);
}

sl_error *sl_parquet_writer_finish(sl_parquet_writer *writer, const sl_parquet_summary **out) {
    sl_error *error = check_open(writer);
    if (error != NULL) {
        return error;
    }
    error = finish(writer);
    if (error != NULL) {
        writer->broken = true;
        return error;
    }
    writer->finished = true;
    describe(writer);
    if (out != NULL) {
        *out = &writer->summary;
    }
    return NULL;
}
