/*
 * Prints a Parquet file's rows as JSON lines, or what its footer says: the reader's driver for
 * tests that compare it with other readers.
 *
 *   parquet_to_json [--rows N] [--columns a,b.c] [--read-bytes N] [--memory] FILE
 *   parquet_to_json --about FILE        schema, row groups and statistics as one JSON object
 *   parquet_to_json --metadata KEY FILE the footer's value of that key
 *   parquet_to_json --count FILE        reads everything, prints the number of rows only
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "columns/columns.h"
#include "parquet/reader.h"

typedef struct arguments {
    const char *path;
    const char *columns[64];
    sl_parquet_scan_options scan;
    sl_parquet_reader_options reader;
    bool memory;
    bool about;
    bool count;
    const char *metadata;
} arguments;

static void release_bytes(sl_store_bytes *bytes) {
    free(bytes->data);
    bytes->data = NULL;
}

static sl_error *read_file(void *arg, int64_t offset, size_t bytes, sl_store_bytes *out) {
    uint8_t *data = malloc(bytes == 0 ? 1 : bytes);
    if (data == NULL) {
        return sl_error_no_memory();
    }
    ssize_t got = pread(*(int *)arg, data, bytes, offset);
    *out = (sl_store_bytes){data, got < 0 ? 0 : (size_t)got, release_bytes};
    return NULL;
}

/* ---- --about ---- */

static bool append_schema(const struct ArrowSchema *schema, sl_buffer *out) {
    sl_buffer_append_text(out, "{\"name\":");
    sl_buffer_append_json_string(out, schema->name, strlen(schema->name));
    sl_buffer_printf(out, ",\"format\":\"%s\",\"nullable\":%s,\"children\":[", schema->format,
                     (schema->flags & ARROW_FLAG_NULLABLE) != 0 ? "true" : "false");
    for (int64_t i = 0; i < schema->n_children; i++) {
        sl_buffer_append_text(out, i == 0 ? "" : ",");
        append_schema(schema->children[i], out);
    }
    return sl_buffer_append_text(out, "]}");
}

/* The bound as the library prints a value of that type: an array of one row around it. */
static void append_bound(const char *format, const sl_parquet_bound *bound, sl_buffer *out) {
    if (!bound->present) {
        sl_buffer_append_text(out, "null");
        return;
    }
    int32_t offsets[2] = {0, (int32_t)bound->n_bytes};
    const void *data = bound->bytes != NULL ? (const void *)bound->bytes : bound->value;
    bool variable = format[0] == 'u' || format[0] == 'z';
    const void *buffers[3] = {NULL, variable ? (const void *)offsets : data, data};
    struct ArrowSchema schema = {.format = format, .name = ""};
    struct ArrowArray array = {.length = 1, .n_buffers = variable ? 3 : 2, .buffers = buffers};
    sl_array_append_json(&schema, &array, 0, out);
}

static void append_row_group(const sl_parquet_reader *reader, size_t group, sl_buffer *out) {
    sl_buffer_printf(out, "{\"rows\":%lld,\"columns\":{",
                     (long long)sl_parquet_reader_row_group_rows(reader, group));
    for (size_t i = 0; i < sl_parquet_reader_leaves(reader); i++) {
        sl_parquet_leaf leaf;
        sl_parquet_statistics statistics;
        sl_parquet_reader_leaf(reader, i, &leaf);
        sl_parquet_reader_statistics(reader, group, i, &statistics);
        sl_buffer_append_text(out, i == 0 ? "" : ",");
        sl_buffer_append_json_string(out, leaf.path, strlen(leaf.path));
        sl_buffer_printf(
            out, ":{\"field\":%zu,\"nulls\":%lld,\"values\":%lld,\"min\":", leaf.top_level_field,
            (long long)statistics.null_count, (long long)statistics.values);
        append_bound(leaf.format, &statistics.min, out);
        sl_buffer_append_text(out, ",\"max\":");
        append_bound(leaf.format, &statistics.max, out);
        sl_buffer_append_text(out, "}");
    }
    sl_buffer_append_text(out, "}}");
}

static void print_about(const sl_parquet_reader *reader) {
    sl_buffer out = SL_BUFFER_INIT;
    size_t bytes;
    sl_buffer_append_text(&out, "{\"schema\":");
    append_schema(sl_parquet_reader_schema(reader), &out);
    sl_buffer_printf(&out,
                     ",\"rows\":%lld,\"created_by\":", (long long)sl_parquet_reader_rows(reader));
    const char *created_by = sl_parquet_reader_created_by(reader, &bytes);
    sl_buffer_append_json_string(&out, created_by == NULL ? "" : created_by, bytes);
    sl_buffer_append_text(&out, ",\"row_groups\":[");
    for (size_t i = 0; i < sl_parquet_reader_row_groups(reader); i++) {
        sl_buffer_append_text(&out, i == 0 ? "" : ",");
        append_row_group(reader, i, &out);
    }
    sl_buffer_append_text(&out, "]}");
    puts(sl_buffer_text(&out));
    sl_buffer_free(&out);
}

static void print_metadata(const sl_parquet_reader *reader, const char *key) {
    size_t bytes = 0;
    const char *value = sl_parquet_reader_metadata(reader, key, &bytes);
    printf("%.*s\n", value == NULL ? 6 : (int)bytes, value == NULL ? "(none)" : value);
}

/* ---- rows ---- */

static void print_batch(const struct ArrowSchema *schema, const struct ArrowArray *batch,
                        sl_buffer *line) {
    for (int64_t row = 0; row < batch->length; row++) {
        sl_buffer_clear(line);
        sl_array_append_json(schema, batch, row, line);
        sl_buffer_append_byte(line, '\n');
        fwrite(line->data, 1, line->bytes, stdout);
    }
}

static sl_error *print_rows(const sl_parquet_reader *reader, const arguments *args) {
    sl_parquet_scan *scan = NULL;
    sl_error *error = sl_parquet_scan_open(reader, &args->scan, &scan);
    sl_buffer line = SL_BUFFER_INIT;
    int64_t rows = 0;
    while (error == NULL) {
        struct ArrowArray batch;
        error = sl_parquet_scan_next(scan, &batch);
        if (error != NULL || batch.release == NULL) {
            break;
        }
        error = sl_array_check(sl_parquet_scan_schema(scan), &batch);
        rows += batch.length;
        if (error == NULL && !args->count) {
            print_batch(sl_parquet_scan_schema(scan), &batch, &line);
        }
        batch.release(&batch);
    }
    if (error == NULL && args->count) {
        printf("%lld\n", (long long)rows);
    }
    sl_buffer_free(&line);
    sl_parquet_scan_close(scan);
    return error;
}

/* ---- */

static bool parse(int argc, char **argv, arguments *args) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--about") == 0) {
            args->about = true;
        } else if (strcmp(argv[i], "--count") == 0) {
            args->count = true;
        } else if (strcmp(argv[i], "--memory") == 0) {
            args->memory = true;
        } else if (strcmp(argv[i], "--rows") == 0) {
            args->scan.max_rows = atoll(value);
            i++;
        } else if (strcmp(argv[i], "--metadata") == 0) {
            args->metadata = value;
            i++;
        } else if (strcmp(argv[i], "--read-bytes") == 0) {
            args->reader.read_bytes = (size_t)atoll(value);
            i++;
        } else if (strcmp(argv[i], "--columns") == 0 && i + 1 < argc) {
            args->scan.columns = args->columns;
            for (char *name = strtok(argv[++i], ","); name != NULL && args->scan.n_columns < 64;
                 name = strtok(NULL, ",")) {
                args->columns[args->scan.n_columns++] = name;
            }
        } else {
            args->path = argv[i];
        }
    }
    return args->path != NULL;
}

static sl_error *run(const arguments *args, int file, int64_t file_bytes, uint8_t *memory) {
    sl_parquet_input input = {.name = args->path,
                              .file_bytes = file_bytes,
                              .memory = memory,
                              .read = read_file,
                              .arg = &file};
    sl_parquet_reader *reader = NULL;
    sl_error *error = sl_parquet_reader_open(&input, &args->reader, &reader);
    if (error == NULL && args->metadata != NULL) {
        print_metadata(reader, args->metadata);
    } else if (error == NULL && args->about) {
        print_about(reader);
    } else if (error == NULL) {
        error = print_rows(reader, args);
    }
    sl_parquet_reader_close(reader);
    return error;
}

int main(int argc, char **argv) {
    arguments args = {0};
    if (!parse(argc, argv, &args)) {
        fputs("usage: parquet_to_json [options] FILE\n", stderr);
        return 2;
    }
    int file = open(args.path, O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        perror(args.path);
        return 2;
    }
    uint8_t *memory = args.memory ? malloc((size_t)status.st_size + 1) : NULL;
    if (memory != NULL && pread(file, memory, (size_t)status.st_size, 0) != status.st_size) {
        perror(args.path);
        return 2;
    }
    sl_error *error = run(&args, file, status.st_size, memory);
    free(memory);
    close(file);
    if (error != NULL) {
        fprintf(stderr, "%s: %s\n", sl_error_class_name(sl_error_get_class(error)),
                sl_error_message(error));
        sl_error_free(error);
        return 1;
    }
    return 0;
}
