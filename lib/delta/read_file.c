/*
 * Reading a data file as rows of the table: the file's columns in the table's order, nulls where an
 * older file lacks a column or a struct's field, constants for partition columns. Buffers are
 * moved, not copied.
 */
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"
#include "delta/read_internal.h"
#include "parquet/reader.h"

#define BATCH_ROWS 8192

/* Owns the arrays that an assembled one is made of. */
typedef struct assembly {
    struct ArrowArray held; /* whose buffers are used; its children have been moved out */
    struct ArrowArray *children;
    struct ArrowArray *pointers[];
} assembly;

static void assembly_release(struct ArrowArray *array) {
    assembly *a = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++) {
        if (a->children[i].release != NULL) {
            a->children[i].release(&a->children[i]);
        }
    }
    if (a->held.release != NULL) {
        a->held.release(&a->held);
    }
    free(a->children);
    free(a);
    memset(array, 0, sizeof(*array));
}

/* An array with n empty children; takes `held` over (zeroed) when it is not NULL. */
static sl_error *assembly_new(int64_t length, size_t n, struct ArrowArray *held,
                              struct ArrowArray *out) {
    static const void *no_buffers[1] = {NULL};
    assembly *a = calloc(1, sizeof(*a) + n * sizeof(a->pointers[0]));
    struct ArrowArray *children = calloc(n > 0 ? n : 1, sizeof(*children));
    if (a == NULL || children == NULL) {
        free(a);
        free(children);
        return sl_error_no_memory();
    }
    a->children = children;
    for (size_t i = 0; i < n; i++) {
        a->pointers[i] = &children[i];
    }
    *out = (struct ArrowArray){.length = length,
                               .n_buffers = 1,
                               .buffers = no_buffers,
                               .n_children = (int64_t)n,
                               .children = a->pointers,
                               .release = assembly_release,
                               .private_data = a};
    if (held != NULL) {
        a->held = *held;
        memset(held, 0, sizeof(*held));
        out->n_buffers = a->held.n_buffers;
        out->buffers = a->held.buffers;
        out->null_count = a->held.null_count;
    }
    return NULL;
}

/* `length` nulls, or one partition value that often. */
static sl_error *repeat(const struct ArrowSchema *schema, const char *text, int64_t length,
                        struct ArrowArray *out) {
    sl_builder builder;
    sl_error *error = sl_builder_init(&builder, schema);
    if (error != NULL) {
        return error;
    }
    error = sl_builder_reserve(&builder, length, 0);
    bool good = error == NULL;
    for (int64_t i = 0; i < length && good; i++) {
        good = delta_partition_append(schema, text, &builder);
    }
    if (good) {
        error = sl_builder_finish(&builder, out);
    } else if (error == NULL) {
        error = sl_error_new(SL_ERROR_CORRUPT,
                             "the partition value \"%s\" of the column \"%s\" is not of its type",
                             text == NULL ? "" : text, schema->name);
    }
    sl_builder_free(&builder);
    return error;
}

static bool same_type(const struct ArrowSchema *table, const struct ArrowSchema *file) {
    sl_type a;
    sl_type b;
    if (!sl_type_parse(table->format, &a) || !sl_type_parse(file->format, &b)) {
        return false;
    }
    bool texts = (a.id == SL_TYPE_UTF8 || a.id == SL_TYPE_BINARY) &&
                 (b.id == SL_TYPE_UTF8 || b.id == SL_TYPE_BINARY);
    return texts || (a.id == b.id && a.width_bytes == b.width_bytes && a.scale == b.scale);
}

/* Moves a column of the file into the shape of the table's: the same, but for fields of structs. */
static sl_error *conform(const struct ArrowSchema *table, const struct ArrowSchema *file,
                         struct ArrowArray *array, struct ArrowArray *out) {
    if (!same_type(table, file)) {
        return sl_error_new(SL_ERROR_CORRUPT,
                            "the column \"%s\" has the Arrow type %s, the table's is %s",
                            table->name, file->format, table->format);
    }
    if (table->n_children == 0) {
        *out = *array;
        memset(array, 0, sizeof(*array));
        return NULL;
    }
    struct ArrowArray made;
    struct ArrowArray **old = array->children;
    bool is_struct = strcmp(table->format, "+s") == 0;
    bool is_entries = is_struct && strcmp(table->name, "entries") == 0;
    sl_error *error = assembly_new(array->length, (size_t)table->n_children, array, &made);
    for (int64_t i = 0; i < table->n_children && error == NULL; i++) {
        const struct ArrowSchema *field = table->children[i];
        int64_t at = is_struct && !is_entries ? sl_schema_find(file, field->name) : i;
        error = at < 0 ? repeat(field, NULL, made.length, made.children[i])
                       : conform(field, file->children[at], old[at], made.children[i]);
        if (error != NULL) {
            made.release(&made);
        }
    }
    if (error == NULL) {
        *out = made;
    }
    return error;
}

typedef struct file_read {
    const sl_delta_table *table;
    const sl_delta_file *file;
    const struct ArrowSchema *as; /* of the batches */
} file_read;

/* Which partition column a column is, or -1. */
static int64_t partition_index(const sl_delta_table *table, const char *name) {
    const delta_texts *columns = &table->metadata.partition_columns;
    for (size_t i = 0; i < columns->n; i++) {
        if (strcmp(columns->items[i], name) == 0) {
            return (int64_t)i;
        }
    }
    return -1;
}

static sl_error *make_column(const file_read *read, const struct ArrowSchema *column,
                             const struct ArrowSchema *file_schema, struct ArrowArray *batch,
                             int64_t rows, struct ArrowArray *out) {
    int64_t partition = partition_index(read->table, column->name);
    if (partition >= 0) {
        const char *text = (size_t)partition < read->file->n_partition_values
                               ? read->file->partition_values[partition]
                               : NULL;
        return repeat(column, text, rows, out);
    }
    int64_t at = file_schema == NULL ? -1 : sl_schema_find(file_schema, column->name);
    return at < 0 ? repeat(column, NULL, rows, out)
                  : conform(column, file_schema->children[at], batch->children[at], out);
}

/* `batch` NULL: none of the columns is in the file. */
static sl_error *visit_batch(const file_read *read, const struct ArrowSchema *file_schema,
                             struct ArrowArray *batch, int64_t rows, sl_delta_visit_rows visit,
                             void *arg) {
    struct ArrowArray made;
    sl_error *error = assembly_new(rows, (size_t)read->as->n_children, NULL, &made);
    if (error != NULL) {
        return error;
    }
    for (int64_t i = 0; i < read->as->n_children && error == NULL; i++) {
        error =
            make_column(read, read->as->children[i], file_schema, batch, rows, made.children[i]);
    }
    error = error ? error : visit(&made, arg);
    if (made.release != NULL) {
        made.release(&made);
    }
    return error;
}

/* Dotted-path names with a dot in them are quoted. */
static sl_error *quote(const char *name, char **out) {
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer_printf(&text, strchr(name, '.') == NULL ? "%s" : "`%s`", name);
    if (text.failed || sl_buffer_text(&text) == NULL) {
        sl_buffer_free(&text);
        return sl_error_no_memory();
    }
    *out = (char *)text.data;
    return NULL;
}

static sl_error *choose(const file_read *read, const struct ArrowSchema *file_schema,
                        delta_texts *out) {
    sl_error *error = NULL;
    for (int64_t i = 0; i < read->as->n_children && error == NULL; i++) {
        const char *name = read->as->children[i]->name;
        if (partition_index(read->table, name) >= 0 || sl_schema_find(file_schema, name) < 0) {
            continue;
        }
        char *quoted = NULL;
        error = quote(name, &quoted);
        error = error ? error : delta_texts_add(out, quoted, strlen(quoted));
        free(quoted);
    }
    return error;
}

/* None of the columns is in the file: rows of constants. */
static sl_error *visit_constants(const file_read *read, int64_t rows, sl_delta_visit_rows visit,
                                 void *arg) {
    sl_error *error = NULL;
    for (int64_t done = 0; done < rows && error == NULL; done += BATCH_ROWS) {
        int64_t n = rows - done < BATCH_ROWS ? rows - done : BATCH_ROWS;
        error = visit_batch(read, NULL, NULL, n, visit, arg);
    }
    return error;
}

static sl_error *scan_file(const file_read *read, const sl_parquet_reader *reader,
                           const delta_texts *columns, sl_delta_visit_rows visit, void *arg) {
    sl_parquet_scan_options options = {.columns = (const char *const *)columns->items,
                                       .n_columns = columns->n,
                                       .max_rows = BATCH_ROWS};
    sl_parquet_scan *scan = NULL;
    sl_error *error = sl_parquet_scan_open(reader, &options, &scan);
    while (error == NULL) {
        struct ArrowArray batch = {0};
        error = sl_parquet_scan_next(scan, &batch);
        if (error != NULL || batch.release == NULL) {
            break;
        }
        error = visit_batch(read, sl_parquet_scan_schema(scan), &batch, batch.length, visit, arg);
        batch.release(&batch);
    }
    sl_parquet_scan_close(scan);
    return error;
}

static sl_error *check_readable(const sl_delta_table *table, const sl_delta_file *file) {
    const char *mode = delta_configuration(table, "delta.columnMapping.mode");
    if (mode != NULL && strcmp(mode, "none") != 0) {
        return sl_error_new(SL_ERROR_UNSUPPORTED,
                            "%s: the table uses the feature \"columnMapping\", which sluice does "
                            "not have",
                            table->url);
    }
    return strstr(file->path, "://") == NULL
               ? NULL
               : sl_error_new(SL_ERROR_UNSUPPORTED,
                              "%s: the file %s lies outside the table (a shallow clone), which "
                              "sluice does not read",
                              table->url, file->path);
}

sl_error *delta_read_as(sl_delta_table *table, const sl_delta_file *file,
                        const struct ArrowSchema *as, sl_delta_visit_rows visit, void *arg) {
    file_read read = {table, file, as};
    delta_texts columns = {0};
    sl_parquet_reader *reader = NULL;
    sl_error *error = check_readable(table, file);
    error = error ? error
                  : sl_parquet_reader_open_store(table->store, file->path, file->size_bytes, NULL,
                                                 &reader);
    error = error ? error : choose(&read, sl_parquet_reader_schema(reader), &columns);
    if (error == NULL && columns.n == 0) {
        error = visit_constants(&read, sl_parquet_reader_rows(reader), visit, arg);
    } else if (error == NULL) {
        error = scan_file(&read, reader, &columns, visit, arg);
    }
    delta_texts_free(&columns);
    sl_parquet_reader_close(reader);
    return error;
}

sl_error *sl_delta_read_file(sl_delta_table *table, const sl_delta_file *file,
                             sl_delta_visit_rows visit, void *arg) {
    return delta_read_as(table, file, &table->schema, visit, arg);
}
