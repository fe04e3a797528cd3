/*
 * What the demo left, read back from its Delta tables: rows, files and bytes of each layer against
 * the raw bytes of the events, and the rows of the last table that are largest in a column.
 *
 *   report COLUMN ROWS NAME=FOLDER...      the first table's column "value" is the raw events
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "columns/columns.h"
#include "delta/data_file.h"
#include "delta/delta.h"
#include "store/store.h"

struct layer {
    int64_t rows;
    int64_t files;
    int64_t bytes;
};

/* A row of the last table: its cells as text, each ended by a zero byte. */
struct row {
    double rank;
    char *cells;
};

struct reading {
    sl_delta_table *table;
    struct layer layer;
    int64_t value_column; /* -1: not wanted */
    int64_t value_bytes;
    int64_t rank_column; /* -1: not wanted */
    struct row *rows;
    size_t n_rows;
    size_t room;
};

/* ---- reading ---- */

static void add_value_bytes(struct reading *reading, const struct ArrowArray *rows) {
    const struct ArrowArray *values = rows->children[reading->value_column];
    const int32_t *offsets = values->buffers[1];
    if (values->length > 0) {
        reading->value_bytes += offsets[values->offset + values->length] - offsets[values->offset];
    }
}

/* Appends one row's cells and their rank. */
static sl_error *add_row(struct reading *reading, const struct ArrowArray *rows, int64_t row) {
    const struct ArrowSchema *schema = sl_delta_schema(reading->table);
    sl_buffer cells = SL_BUFFER_INIT;
    double rank = 0;
    for (int64_t i = 0; i < schema->n_children; i++) {
        size_t start = cells.bytes;
        bool written = sl_array_append_json(schema->children[i], rows->children[i], row, &cells) &&
                       sl_buffer_append_byte(&cells, 0);
        if (!written) {
            sl_buffer_free(&cells);
            return sl_error_no_memory();
        }
        if (i == reading->rank_column) {
            rank = strtod((const char *)cells.data + start, NULL);
        }
    }
    if (reading->n_rows == reading->room) {
        size_t room = reading->room == 0 ? 1024 : 2 * reading->room;
        struct row *grown = realloc(reading->rows, room * sizeof(*grown));
        if (grown == NULL) {
            sl_buffer_free(&cells);
            return sl_error_no_memory();
        }
        reading->rows = grown;
        reading->room = room;
    }
    size_t bytes;
    reading->rows[reading->n_rows++] = (struct row){rank, (char *)sl_buffer_take(&cells, &bytes)};
    return NULL;
}

static sl_error *visit_rows(struct ArrowArray *rows, void *arg) {
    struct reading *reading = arg;
    sl_error *error = NULL;
    if (reading->value_column >= 0) {
        add_value_bytes(reading, rows);
    }
    for (int64_t i = 0; reading->rank_column >= 0 && i < rows->length && error == NULL; i++) {
        error = add_row(reading, rows, i);
    }
    return error;
}

static sl_error *visit_file(const sl_delta_file *file, void *arg) {
    struct reading *reading = arg;
    reading->layer.rows += file->rows > 0 ? file->rows : 0;
    reading->layer.files++;
    reading->layer.bytes += file->size_bytes;
    if (reading->value_column < 0 && reading->rank_column < 0) {
        return NULL;
    }
    return sl_delta_read_file(reading->table, file, visit_rows, reading);
}

/* ---- printing ---- */

static void print_layer(const char *name, const struct layer *layer, double raw_per_event) {
    double per_row = layer->rows > 0 ? (double)layer->bytes / (double)layer->rows : 0;
    (void)printf("  %-12s %10" PRId64 " %7" PRId64 " %9.1f MiB %10.1f %8.1f %%\n", name,
                 layer->rows, layer->files, (double)layer->bytes / 1048576, per_row,
                 raw_per_event > 0 ? 100 * per_row / raw_per_event : 0);
}

static int by_rank(const void *a, const void *b) {
    double left = ((const struct row *)a)->rank;
    double right = ((const struct row *)b)->rank;
    return (left < right) - (left > right);
}

/* JSON's quotes are for programs, and so are sixteen digits. */
static void print_cell(const char *cell, int width) {
    size_t bytes = strlen(cell);
    char *end;
    double number = strtod(cell, &end);
    if (bytes > (size_t)width && *end == 0) {
        (void)printf("  %-*.2f", width, number);
        return;
    }
    if (bytes > 1 && cell[0] == '"') {
        cell++;
        bytes -= 2;
    }
    (void)printf("  %-*.*s", width, (int)bytes, cell);
}

static int width_of(const char *format) {
    return strncmp(format, "ts", 2) == 0 ? 27 : 12;
}

static void print_top(struct reading *reading, const char *name, const char *column, size_t n) {
    const struct ArrowSchema *schema = sl_delta_schema(reading->table);
    qsort(reading->rows, reading->n_rows, sizeof(*reading->rows), by_rank);
    (void)printf("\nThe top of %s, by %s:\n", name, column);
    for (int64_t i = 0; i < schema->n_children; i++) {
        print_cell(schema->children[i]->name, width_of(schema->children[i]->format));
    }
    (void)printf("\n");
    for (size_t r = 0; r < n && r < reading->n_rows; r++) {
        const char *cell = reading->rows[r].cells;
        for (int64_t i = 0; i < schema->n_children; i++) {
            print_cell(cell, width_of(schema->children[i]->format));
            cell += strlen(cell) + 1;
        }
        (void)printf("\n");
    }
}

/* ---- tables ---- */

struct request {
    const char *column;
    size_t rows;
    double raw_per_event; /* of the first table */
};

static sl_error *read_table(struct reading *reading, const struct request *request, bool first,
                            bool last) {
    const struct ArrowSchema *schema = sl_delta_schema(reading->table);
    reading->value_column = first ? sl_schema_find(schema, "value") : -1;
    reading->rank_column = last ? sl_schema_find(schema, request->column) : -1;
    if (last && reading->rank_column < 0) {
        return sl_error_new(SL_ERROR_CONFIG, "%s has no column \"%s\"",
                            sl_delta_url(reading->table), request->column);
    }
    return sl_delta_visit_files(reading->table, visit_file, reading);
}

static sl_error *report_table(const char *name, const char *folder, struct request *request,
                              bool first, bool last) {
    struct reading reading = {0};
    sl_store *store = NULL;
    sl_error *error = sl_store_open(folder, &(sl_store_options){.read_only = true}, &store);
    error = error != NULL ? error : sl_delta_open(store, &reading.table);
    error = error != NULL ? error : read_table(&reading, request, first, last);
    if (error == NULL && first && reading.layer.rows > 0) {
        request->raw_per_event = (double)reading.value_bytes / (double)reading.layer.rows;
        (void)printf("\n%" PRId64 " events of %.1f bytes\n\n", reading.layer.rows,
                     request->raw_per_event);
        (void)printf("  table              rows   files          size  bytes/row     of raw\n");
    }
    if (error == NULL) {
        print_layer(name, &reading.layer, request->raw_per_event);
    }
    if (error == NULL && last) {
        print_top(&reading, name, request->column, request->rows);
    }
    for (size_t i = 0; i < reading.n_rows; i++) {
        free(reading.rows[i].cells);
    }
    free(reading.rows);
    sl_delta_close(reading.table);
    if (store != NULL) {
        store->ops->close(store);
    }
    return error;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        (void)fprintf(stderr, "usage: report COLUMN ROWS NAME=FOLDER...\n");
        return 2;
    }
    struct request request = {.column = argv[1], .rows = strtoul(argv[2], NULL, 10)};
    for (int i = 3; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals == NULL) {
            (void)fprintf(stderr, "report: \"%s\" is not NAME=FOLDER\n", argv[i]);
            return 2;
        }
        *equals = 0;
        sl_error *error = report_table(argv[i], equals + 1, &request, i == 3, i == argc - 1);
        if (error != NULL) {
            (void)fprintf(stderr, "report: %s\n", sl_error_message(error));
            sl_error_free(error);
            return 1;
        }
    }
    return 0;
}
