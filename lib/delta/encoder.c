/*
 * The encoder: batches in, Parquet bytes of one file for each partition out. It decides when a file
 * ends (size, memory, too many partitions, the caller) and describes it for the log. Splitting a
 * batch by partition is in encoder_split.c, storing in upload.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "delta/encoder_internal.h"
#include "delta/stats.h"

#define DEFAULT_FILE_BYTES ((size_t)256 << 20)
#define DEFAULT_MEMORY_BYTES ((size_t)64 << 20)
#define DEFAULT_OPEN_FILES 64
#define DEFAULT_STATS_COLUMNS 32
#define MAX_IDLE 64
/* Memory of a larger file is not kept for the next. */
#define SPARE_MAX_BYTES ((size_t)16 << 20)

/* ---- life ---- */

void delta_out_file_free(out_file *file) {
    if (file == NULL) {
        return;
    }
    if (file->store_writer != NULL) {
        file->store_writer->store->ops->writer_abort(file->store_writer);
    }
    sl_parquet_writer_free(file->writer);
    sl_delta_file_clear(&file->file);
    delta_region_free(&file->bytes);
    free(file->key);
    free(file);
}

static sl_error *make_id(char id[33]) {
    uint8_t b[16];
    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b)) {
        return sl_error_new(SL_ERROR_RETRIABLE, "the system gives no random bytes");
    }
    for (size_t i = 0; i < sizeof(b); i++) {
        snprintf(id + 2 * i, 3, "%02x", b[i]);
    }
    return NULL;
}

static bool is_partition_column(const sl_delta_encoder *encoder, int64_t column) {
    for (size_t i = 0; i < encoder->n_partition_columns; i++) {
        if (encoder->partition_columns[i] == column) {
            return true;
        }
    }
    return false;
}

static sl_error *find_partition_columns(sl_delta_encoder *encoder,
                                        const sl_delta_encoder_options *options) {
    size_t n = options->n_partition_columns;
    encoder->partition_columns = calloc(n > 0 ? n : 1, sizeof(int64_t));
    if (encoder->partition_columns == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < n; i++) {
        int64_t at = sl_schema_find(options->schema, options->partition_columns[i]);
        if (at < 0) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "the rows have no column \"%s\", by which the table is partitioned",
                                options->partition_columns[i]);
        }
        encoder->partition_columns[i] = at;
        encoder->n_partition_columns++;
    }
    return NULL;
}

/* The columns that go into files. */
static sl_error *choose_data_columns(sl_delta_encoder *encoder) {
    size_t all = (size_t)encoder->schema.n_children;
    encoder->data_columns = calloc(all > 0 ? all : 1, sizeof(int64_t));
    if (encoder->data_columns == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < all; i++) {
        if (!is_partition_column(encoder, (int64_t)i)) {
            encoder->data_columns[encoder->n_data_columns++] = (int64_t)i;
        }
    }
    if (encoder->n_data_columns == 0) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "the rows have no columns beside the partition columns");
    }
    sl_error *error = sl_schema_new_struct(encoder->n_data_columns, &encoder->file_schema);
    for (size_t i = 0; i < encoder->n_data_columns && error == NULL; i++) {
        error = sl_schema_copy(encoder->schema.children[encoder->data_columns[i]],
                               encoder->file_schema.children[i]);
    }
    return error;
}

static sl_error *set_limits(sl_delta_encoder *encoder, const sl_delta_encoder_options *options) {
    encoder->parquet = sl_parquet_writer_defaults();
    encoder->codec = options->compression == NULL ? "zstd" : options->compression;
    if (!sl_parquet_codec_parse(encoder->codec, &encoder->parquet.codec)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "the compression \"%s\" is not one of zstd, snappy, lz4, none",
                            encoder->codec);
    }
    encoder->codec = encoder->parquet.codec == SL_PARQUET_ZSTD           ? ".zstd"
                     : encoder->parquet.codec == SL_PARQUET_SNAPPY       ? ".snappy"
                     : encoder->parquet.codec == SL_PARQUET_UNCOMPRESSED ? ""
                                                                         : ".lz4";
    if (options->compression_level != 0) {
        encoder->parquet.level = options->compression_level;
    }
    if (options->row_group_bytes > 0) {
        encoder->parquet.row_group_bytes = options->row_group_bytes;
    }
    encoder->file_bytes = options->file_bytes > 0 ? options->file_bytes : DEFAULT_FILE_BYTES;
    encoder->memory_bytes =
        options->memory_bytes > 0 ? options->memory_bytes : DEFAULT_MEMORY_BYTES;
    encoder->open_limit = options->open_files > 0 ? options->open_files : DEFAULT_OPEN_FILES;
    encoder->stats_columns =
        options->stats_columns != 0 ? options->stats_columns : DEFAULT_STATS_COLUMNS;
    return NULL;
}

static sl_error *allocate_lists(sl_delta_encoder *encoder,
                                const sl_delta_encoder_options *options) {
    encoder->open = calloc(encoder->open_limit, sizeof(*encoder->open));
    encoder->idle = calloc(MAX_IDLE, sizeof(*encoder->idle));
    if (options->tail_owner != NULL) {
        encoder->tail_owner = strdup(options->tail_owner);
    }
    return encoder->open == NULL || encoder->idle == NULL ||
                   (options->tail_owner != NULL && encoder->tail_owner == NULL)
               ? sl_error_no_memory()
               : NULL;
}

sl_error *sl_delta_encoder_new(const sl_delta_encoder_options *options, sl_delta_encoder **out) {
    sl_delta_encoder *encoder = calloc(1, sizeof(*encoder));
    if (encoder == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = sl_delta_check_schema(options->schema);
    error = error ? error : sl_schema_copy(options->schema, &encoder->schema);
    error = error ? error : set_limits(encoder, options);
    error = error ? error : allocate_lists(encoder, options);
    error = error ? error : find_partition_columns(encoder, options);
    error = error ? error : choose_data_columns(encoder);
    error = error ? error : make_id(encoder->id);
    if (error != NULL) {
        sl_delta_encoder_free(encoder);
        return error;
    }
    *out = encoder;
    return NULL;
}

static void drop_file(out_file *file) {
    if (file->in_upload) {
        file->dropped = true;
        delta_region_free(&file->bytes);
    } else {
        delta_out_file_free(file);
    }
}

void sl_delta_encoder_discard(sl_delta_encoder *encoder) {
    if (encoder->upload != NULL) {
        encoder->upload->discarded = true;
    }
    for (size_t i = 0; i < encoder->n_open; i++) {
        drop_file(encoder->open[i]);
    }
    encoder->n_open = 0;
    for (size_t i = 0; i < encoder->n_ended; i++) {
        drop_file(encoder->ended[i]);
    }
    encoder->n_ended = 0;
    encoder->n_flushed = 0;
    encoder->rows = 0;
}

void sl_delta_encoder_free(sl_delta_encoder *encoder) {
    if (encoder == NULL) {
        return;
    }
    sl_delta_encoder_discard(encoder);
    for (size_t i = 0; i < encoder->n_idle; i++) {
        sl_parquet_writer_free(encoder->idle[i]);
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(encoder->spare); i++) {
        delta_region_free(&encoder->spare[i]);
    }
    if (encoder->schema.release != NULL) {
        encoder->schema.release(&encoder->schema);
    }
    if (encoder->file_schema.release != NULL) {
        encoder->file_schema.release(&encoder->file_schema);
    }
    delta_split_free(encoder->split);
    free(encoder->data_columns);
    free(encoder->partition_columns);
    free(encoder->open);
    free(encoder->ended);
    free(encoder->idle);
    free(encoder->tail_owner);
    free(encoder);
}

/* ---- files ---- */

static sl_error *gather(void *arg, const void *data, size_t bytes) {
    out_file *file = arg;
    return delta_region_append(&file->bytes, data, bytes) ? NULL : sl_error_no_memory();
}

delta_region delta_encoder_region(sl_delta_encoder *encoder) {
    delta_region region = {0};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(encoder->spare) && region.data == NULL; i++) {
        region = encoder->spare[i];
        encoder->spare[i] = (delta_region){0};
    }
    return region;
}

void delta_encoder_return_region(sl_delta_encoder *encoder, delta_region *region) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(encoder->spare) && region->data != NULL; i++) {
        if (encoder->spare[i].data == NULL && region->bytes <= SPARE_MAX_BYTES) {
            region->bytes = 0;
            encoder->spare[i] = *region;
            *region = (delta_region){0};
        }
    }
    delta_region_free(region);
}

/* Folder and name: "country=FR/sluice-<encoder>-<number>.zstd.parquet". */
static sl_error *name_file(sl_delta_encoder *encoder, out_file *file) {
    sl_buffer path = SL_BUFFER_INIT;
    for (size_t i = 0; i < encoder->n_partition_columns; i++) {
        const char *column = encoder->schema.children[encoder->partition_columns[i]]->name;
        delta_hive_folder(&path, column, file->file.partition_values[i]);
    }
    sl_buffer_printf(&path, SL_DELTA_FILE_PREFIX "%s-%08llu%s.parquet", encoder->id,
                     (unsigned long long)encoder->next_file++, encoder->codec);
    if (path.failed || sl_buffer_text(&path) == NULL) {
        sl_buffer_free(&path);
        return sl_error_no_memory();
    }
    size_t bytes;
    file->file.path = (char *)sl_buffer_take(&path, &bytes);
    return NULL;
}

static sl_error *fill_partition_values(sl_delta_encoder *encoder, const struct ArrowArray *array,
                                       int64_t row, sl_delta_file *file) {
    size_t n = encoder->n_partition_columns;
    if (n == 0) {
        return NULL;
    }
    file->partition_values = calloc(n, sizeof(char *));
    if (file->partition_values == NULL) {
        return sl_error_no_memory();
    }
    file->n_partition_values = n;
    for (size_t i = 0; i < n; i++) {
        int64_t at = encoder->partition_columns[i];
        sl_buffer text = SL_BUFFER_INIT;
        bool null = false;
        sl_error *error = sl_delta_partition_text(encoder->schema.children[at], array->children[at],
                                                  row, &text, &null);
        if (error == NULL && !null) {
            size_t bytes;
            error = sl_buffer_text(&text) == NULL ? sl_error_no_memory() : NULL;
            file->partition_values[i] =
                error == NULL ? (char *)sl_buffer_take(&text, &bytes) : NULL;
        }
        sl_buffer_free(&text);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

/* The tuple as one text: lengths keep ("a", "bc") and ("ab", "c") apart. */
static sl_error *partition_key(const sl_delta_file *file, char **out) {
    sl_buffer key = SL_BUFFER_INIT;
    for (size_t i = 0; i < file->n_partition_values; i++) {
        const char *value = file->partition_values[i];
        if (value == NULL) {
            sl_buffer_append_text(&key, "-;");
        } else {
            sl_buffer_printf(&key, "%zu:%s;", strlen(value), value);
        }
    }
    if (key.failed || sl_buffer_text(&key) == NULL) {
        sl_buffer_free(&key);
        return sl_error_no_memory();
    }
    *out = (char *)key.data;
    return NULL;
}

static sl_error *start_writer(sl_delta_encoder *encoder, out_file *file) {
    if (encoder->n_idle > 0) {
        file->writer = encoder->idle[--encoder->n_idle];
        sl_parquet_writer_restart(file->writer, gather, file);
        return NULL;
    }
    return sl_parquet_writer_new(&encoder->file_schema, &encoder->parquet, gather, file,
                                 &file->writer);
}

static sl_error *end_file(sl_delta_encoder *encoder, size_t at);

static size_t file_memory(const out_file *file) {
    return sl_parquet_writer_memory_bytes(file->writer) + file->bytes.bytes;
}

static sl_error *end_largest(sl_delta_encoder *encoder) {
    size_t largest = 0;
    for (size_t i = 1; i < encoder->n_open; i++) {
        if (file_memory(encoder->open[i]) > file_memory(encoder->open[largest])) {
            largest = i;
        }
    }
    return end_file(encoder, largest);
}

sl_error *delta_encoder_file(sl_delta_encoder *encoder, const struct ArrowArray *array, int64_t row,
                             out_file **out) {
    out_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = fill_partition_values(encoder, array, row, &file->file);
    error = error ? error : partition_key(&file->file, &file->key);
    for (size_t i = 0; i < encoder->n_open && error == NULL; i++) {
        if (strcmp(encoder->open[i]->key, file->key) == 0) {
            delta_out_file_free(file);
            *out = encoder->open[i];
            return NULL;
        }
    }
    if (error == NULL && encoder->n_open == encoder->open_limit) {
        error = end_largest(encoder);
    }
    error = error ? error : name_file(encoder, file);
    error = error ? error : start_writer(encoder, file);
    if (error != NULL) {
        delta_out_file_free(file);
        return error;
    }
    file->bytes = delta_encoder_region(encoder);
    encoder->open[encoder->n_open++] = file;
    *out = file;
    return NULL;
}

/* The batch without its partition columns: the children are borrowed. */
sl_error *delta_encoder_write(sl_delta_encoder *encoder, out_file *file,
                              const struct ArrowArray *array, int64_t first, int64_t rows) {
    struct ArrowArray *few[64];
    struct ArrowArray **children = few;
    if (encoder->n_data_columns > SL_ARRAY_LENGTH(few)) {
        children = malloc(encoder->n_data_columns * sizeof(*children));
        if (children == NULL) {
            return sl_error_no_memory();
        }
    }
    for (size_t i = 0; i < encoder->n_data_columns; i++) {
        children[i] = array->children[encoder->data_columns[i]];
    }
    struct ArrowArray view = *array;
    view.n_children = (int64_t)encoder->n_data_columns;
    view.children = children;
    view.release = NULL;
    sl_error *error = sl_parquet_writer_append(file->writer, &view, first, rows);
    if (children != few) {
        free(children);
    }
    if (error == NULL) {
        file->rows += rows;
    }
    return error;
}

/* ---- ending files ---- */

static sl_error *describe(sl_delta_encoder *encoder, out_file *file,
                          const sl_parquet_summary *summary) {
    sl_buffer stats = SL_BUFFER_INIT;
    sl_error *error =
        delta_stats_write(&encoder->file_schema, summary, encoder->stats_columns, &stats);
    if (error == NULL && sl_buffer_text(&stats) == NULL) {
        error = sl_error_no_memory();
    }
    if (error != NULL) {
        sl_buffer_free(&stats);
        return error;
    }
    size_t bytes;
    file->file.stats = (char *)sl_buffer_take(&stats, &bytes);
    file->file.rows = summary->rows;
    file->file.size_bytes = summary->bytes;
    file->file.modified_ms = sl_now_us() / 1000;
    file->file.data_change = true;
    if (encoder->tail_owner != NULL) {
        file->file.tail_owner = strdup(encoder->tail_owner);
        return file->file.tail_owner == NULL ? sl_error_no_memory() : NULL;
    }
    return NULL;
}

static sl_error *ended_room(sl_delta_encoder *encoder) {
    if (encoder->n_ended < encoder->ended_capacity) {
        return NULL;
    }
    size_t capacity = encoder->ended_capacity == 0 ? 8 : encoder->ended_capacity * 2;
    out_file **ended = realloc(encoder->ended, capacity * sizeof(*ended));
    if (ended == NULL) {
        return sl_error_no_memory();
    }
    encoder->ended = ended;
    encoder->ended_capacity = capacity;
    return NULL;
}

/* Writes the footer of the open file `at` and moves it to the ended ones. */
static sl_error *end_file(sl_delta_encoder *encoder, size_t at) {
    out_file *file = encoder->open[at];
    const sl_parquet_summary *summary = NULL;
    sl_error *error = ended_room(encoder);
    error = error ? error : sl_parquet_writer_finish(file->writer, &summary);
    error = error ? error : describe(encoder, file, summary);
    if (error != NULL) {
        return error;
    }
    if (encoder->n_idle < MAX_IDLE) {
        encoder->idle[encoder->n_idle++] = file->writer;
    } else {
        sl_parquet_writer_free(file->writer);
    }
    file->writer = NULL;
    file->ended = true;
    encoder->ended[encoder->n_ended++] = file;
    encoder->open[at] = encoder->open[--encoder->n_open];
    return NULL;
}

sl_error *sl_delta_encoder_end_files(sl_delta_encoder *encoder) {
    while (encoder->n_open > 0) {
        sl_error *error = end_file(encoder, 0);
        if (error != NULL) {
            return error;
        }
    }
    encoder->rows = 0;
    encoder->n_flushed = encoder->n_ended;
    return NULL;
}

bool sl_delta_encoder_has_ended(const sl_delta_encoder *encoder) {
    return encoder->n_flushed > 0;
}

/* After an append: files that are large enough, or too large for the memory, end. */
static sl_error *end_full(sl_delta_encoder *encoder) {
    size_t total = 0;
    for (size_t i = encoder->n_open; i-- > 0;) {
        out_file *file = encoder->open[i];
        size_t held = file_memory(file);
        if ((size_t)sl_parquet_writer_bytes(file->writer) >= encoder->file_bytes) {
            sl_error *error = end_file(encoder, i);
            if (error != NULL) {
                return error;
            }
        } else {
            total += held;
        }
    }
    return total > encoder->memory_bytes ? end_largest(encoder) : NULL;
}

sl_error *sl_delta_encoder_append(sl_delta_encoder *encoder, const struct ArrowArray *array,
                                  int64_t first, int64_t rows) {
    if (rows <= 0) {
        return NULL;
    }
    sl_error *error;
    if (encoder->n_partition_columns > 0) {
        error = delta_encoder_split(encoder, array, first, rows);
    } else {
        out_file *file = encoder->n_open > 0 ? encoder->open[0] : NULL;
        error = file == NULL ? delta_encoder_file(encoder, array, first, &file) : NULL;
        error = error ? error : delta_encoder_write(encoder, file, array, first, rows);
    }
    if (error != NULL) {
        return error;
    }
    encoder->rows += rows;
    return end_full(encoder);
}

/* ---- looking ---- */

int64_t sl_delta_encoder_rows(const sl_delta_encoder *encoder) {
    return encoder->rows;
}

size_t sl_delta_encoder_memory_bytes(const sl_delta_encoder *encoder) {
    size_t bytes = 0;
    for (size_t i = 0; i < encoder->n_open; i++) {
        bytes += file_memory(encoder->open[i]);
    }
    for (size_t i = 0; i < encoder->n_ended; i++) {
        bytes += encoder->ended[i]->bytes.bytes;
    }
    return bytes;
}

size_t sl_delta_encoder_ready_bytes(const sl_delta_encoder *encoder) {
    size_t bytes = 0;
    for (size_t i = 0; i < encoder->n_open; i++) {
        bytes += encoder->open[i]->bytes.bytes;
    }
    for (size_t i = 0; i < encoder->n_ended; i++) {
        bytes += encoder->ended[i]->bytes.bytes;
    }
    return bytes;
}
