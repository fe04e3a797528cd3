/*
 * Scans: the chosen columns of a run of row groups, batch by batch.
 */
#include <stdlib.h>
#include <string.h>

#include "parquet/reader_assemble.h"
#include "parquet/reader_codec.h"
#include "parquet/reader_internal.h"

#define DEFAULT_MAX_ROWS 65536
#define MAX_PATH_DEPTH 64
/* Chosen columns that lie within this many reads' bytes are read at once. */
#define SPAN_READS 8

struct sl_parquet_scan {
    const sl_parquet_reader *reader;
    sl_pqr_budget budget;
    sl_pqr_scratch *scratch;
    struct ArrowSchema schema;
    sl_builder builder;
    sl_pqr_plan plan;
    sl_pqr_column *columns;
    size_t n_columns;
    sl_pqr_window span;
    size_t row_group; /* the next one */
    size_t end_row_group;
    int64_t rows_left; /* of the row group being read */
    int64_t max_rows;
    bool started; /* columns stand in a row group */
    bool failed;
};

/* ---- choosing columns ---- */

static void choose_all(const sl_pqr_node *node, bool *chosen) {
    chosen[node->id] = true;
    for (size_t i = 0; i < node->n_children; i++) {
        choose_all(&node->children[i], chosen);
    }
}

static sl_error *choose_path(const sl_parquet_reader *reader, const char *path, bool *chosen) {
    int64_t indexes[MAX_PATH_DEPTH];
    size_t n;
    sl_error *error = sl_schema_resolve(&reader->schema.arrow, path, indexes, MAX_PATH_DEPTH, &n);
    if (error != NULL) {
        return sl_error_wrap(error, "Parquet file \"%s\"", reader->name);
    }
    const sl_pqr_node *node = &reader->schema.root;
    for (size_t i = 0; i < n; i++) {
        chosen[node->id] = true;
        node = &node->children[indexes[i]];
    }
    choose_all(node, chosen);
    return NULL;
}

static sl_error *choose(const sl_parquet_reader *reader, const sl_parquet_scan_options *options,
                        bool *chosen) {
    chosen[0] = true;
    if (options->columns == NULL) {
        choose_all(&reader->schema.root, chosen);
        return NULL;
    }
    sl_error *error = NULL;
    for (size_t i = 0; i < options->n_columns && error == NULL; i++) {
        error = choose_path(reader, options->columns[i], chosen);
    }
    return error;
}

static size_t count_leaves(const sl_pqr_node *node, const bool *chosen) {
    size_t n = node->kind == SL_PQR_LEAF ? 1 : 0;
    for (size_t i = 0; i < node->n_children; i++) {
        n += chosen[node->children[i].id] ? count_leaves(&node->children[i], chosen) : 0;
    }
    return n;
}

/* ---- the plan: node, builder and schema side by side ---- */

static sl_error *plan_leaf(sl_parquet_scan *scan, const struct ArrowSchema *schema,
                           sl_pqr_plan *plan) {
    plan->column = &scan->columns[scan->n_columns];
    sl_error *error = sl_pqr_column_init(plan->column, &scan->reader->source, plan->node, schema,
                                         plan->builder, scan->scratch, &scan->budget);
    scan->n_columns += error == NULL ? 1 : 0;
    return error;
}

static sl_error *make_plan(sl_parquet_scan *scan, const sl_pqr_node *node, const bool *chosen,
                           const struct ArrowSchema *schema, sl_builder *builder,
                           sl_pqr_plan *plan) {
    plan->node = node;
    plan->builder = builder;
    if (node->kind == SL_PQR_LEAF) {
        return plan_leaf(scan, schema, plan);
    }
    if (builder->n_children == 0) {
        return NULL;
    }
    plan->children = calloc(builder->n_children, sizeof(*plan->children));
    if (plan->children == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < node->n_children; i++) {
        if (!chosen[node->children[i].id]) {
            continue;
        }
        size_t at = plan->n_children++;
        sl_error *error = make_plan(scan, &node->children[i], chosen, schema->children[at],
                                    &builder->children[at], &plan->children[at]);
        if (error != NULL) {
            return error;
        }
    }
    plan->column = plan->children[0].column;
    if (node->kind != SL_PQR_STRUCT || node->nullable) {
        plan->column->keep_levels = true;
    }
    return NULL;
}

static void free_plan(sl_pqr_plan *plan) {
    for (size_t i = 0; i < plan->n_children; i++) {
        free_plan(&plan->children[i]);
    }
    free(plan->children);
}

static sl_error *prepare(sl_parquet_scan *scan, const bool *chosen) {
    const sl_pqr_node *root = &scan->reader->schema.root;
    sl_error *error = sl_pqr_schema_arrow(root, chosen, &scan->schema);
    if (error == NULL) {
        error = sl_builder_init(&scan->builder, &scan->schema);
    }
    if (error != NULL) {
        return error;
    }
    scan->scratch = calloc(1, sizeof(*scan->scratch));
    scan->columns = calloc(count_leaves(root, chosen) + 1, sizeof(*scan->columns));
    if (scan->scratch == NULL || scan->columns == NULL) {
        return sl_error_no_memory();
    }
    return make_plan(scan, root, chosen, &scan->schema, &scan->builder, &scan->plan);
}

sl_error *sl_parquet_scan_open(const sl_parquet_reader *reader,
                               const sl_parquet_scan_options *options, sl_parquet_scan **out) {
    sl_parquet_scan_options none = {0};
    options = options == NULL ? &none : options;
    size_t n_groups = reader->footer.n_row_groups;
    size_t first = options->first_row_group < n_groups ? options->first_row_group : n_groups;
    bool to_the_last = options->n_row_groups == 0 || options->n_row_groups > n_groups - first;
    bool *chosen = calloc(reader->schema.n_nodes, sizeof(*chosen));
    sl_parquet_scan *scan = calloc(1, sizeof(*scan));
    if (chosen == NULL || scan == NULL) {
        free(chosen);
        free(scan);
        return sl_error_no_memory();
    }
    scan->reader = reader;
    scan->budget.limit_bytes = reader->max_batch_bytes;
    scan->row_group = first;
    scan->end_row_group = to_the_last ? n_groups : first + options->n_row_groups;
    scan->max_rows = options->max_rows > 0 ? options->max_rows : DEFAULT_MAX_ROWS;
    sl_error *error = choose(reader, options, chosen);
    if (error == NULL) {
        error = prepare(scan, chosen);
    }
    free(chosen);
    if (error != NULL) {
        sl_parquet_scan_close(scan);
        return error;
    }
    *out = scan;
    return NULL;
}

void sl_parquet_scan_close(sl_parquet_scan *scan) {
    if (scan == NULL) {
        return;
    }
    for (size_t i = 0; i < scan->n_columns; i++) {
        sl_pqr_column_free(&scan->columns[i]);
    }
    free(scan->columns);
    free_plan(&scan->plan);
    sl_builder_free(&scan->builder);
    sl_pqr_window_free(&scan->span);
    if (scan->scratch != NULL) {
        sl_pqr_codec_free(scan->scratch->zstd);
        sl_buffer_free(&scan->scratch->assembled);
        free(scan->scratch);
    }
    if (scan->schema.release != NULL) {
        scan->schema.release(&scan->schema);
    }
    free(scan);
}

const struct ArrowSchema *sl_parquet_scan_schema(const sl_parquet_scan *scan) {
    return &scan->schema;
}

/* ---- row groups ---- */

static sl_error *check_chunk(const sl_pqr_column *column, const sl_pqr_chunk *chunk) {
    if (chunk->encrypted || chunk->external) {
        return sl_pqr_error(&column->where, SL_ERROR_UNSUPPORTED, "it is %s",
                            chunk->encrypted ? "encrypted" : "kept in another file");
    }
    if (!sl_pqr_codec_supported(chunk->codec)) {
        return sl_pqr_error(&column->where, SL_ERROR_UNSUPPORTED,
                            "it is compressed by codec %d (%s); UNCOMPRESSED, SNAPPY, GZIP, LZ4, "
                            "LZ4_RAW and ZSTD are read",
                            (int)chunk->codec, sl_pqr_codec_name(chunk->codec));
    }
    return NULL;
}

static const sl_pqr_chunk *chunk_of(const sl_parquet_scan *scan, const sl_pqr_column *column) {
    return &scan->reader->footer.row_groups[scan->row_group].chunks[column->leaf->leaf];
}

/* The range of the file that holds all chosen chunks, each of which is checked. */
static sl_error *find_span(sl_parquet_scan *scan, int64_t *begin, int64_t *end) {
    *begin = INT64_MAX;
    *end = 0;
    for (size_t i = 0; i < scan->n_columns; i++) {
        sl_pqr_column *column = &scan->columns[i];
        const sl_pqr_chunk *chunk = chunk_of(scan, column);
        int64_t first;
        int64_t last;
        column->where.row_group = scan->row_group;
        column->where.page_offset = -1;
        sl_error *error = check_chunk(column, chunk);
        if (error == NULL) {
            error = sl_pqr_chunk_range(&scan->reader->source, &column->where, chunk, &first, &last);
        }
        if (error != NULL) {
            return error;
        }
        *begin = first < *begin ? first : *begin;
        *end = last > *end ? last : *end;
    }
    return NULL;
}

/* Reads all chosen chunks at once when they lie close together. */
static sl_error *read_span(sl_parquet_scan *scan) {
    const sl_pqr_source *source = &scan->reader->source;
    int64_t begin;
    int64_t end;
    sl_error *error = find_span(scan, &begin, &end);
    sl_pqr_window_free(&scan->span);
    if (error != NULL || scan->n_columns == 0 || source->input.memory != NULL || end <= begin ||
        (uint64_t)(end - begin) / SPAN_READS > source->read_bytes) {
        return error;
    }
    return sl_pqr_window_fill(source, &scan->columns[0].where, &scan->span, begin,
                              (size_t)(end - begin), end);
}

static sl_error *check_ends(const sl_parquet_scan *scan) {
    sl_error *error = NULL;
    for (size_t i = 0; i < scan->n_columns && error == NULL && scan->started; i++) {
        error = sl_pqr_column_check_end(&scan->columns[i]);
    }
    return error;
}

static sl_error *start_row_group(sl_parquet_scan *scan) {
    sl_error *error = read_span(scan);
    const sl_pqr_window *span = scan->span.data == NULL ? NULL : &scan->span;
    for (size_t i = 0; i < scan->n_columns && error == NULL; i++) {
        sl_pqr_column *column = &scan->columns[i];
        error = sl_pqr_column_start(column, chunk_of(scan, column), scan->row_group, span);
    }
    scan->rows_left = scan->reader->footer.row_groups[scan->row_group].n_rows;
    scan->started = true;
    scan->row_group++;
    return error;
}

/* ---- batches ---- */

static sl_error *fill_batch(sl_parquet_scan *scan, int64_t rows) {
    sl_error *error = NULL;
    scan->budget.used_bytes = 0;
    for (size_t i = 0; i < scan->n_columns && error == NULL; i++) {
        scan->columns[i].n_levels = 0;
        error = sl_pqr_column_read(&scan->columns[i], rows);
    }
    for (size_t i = 0; i < scan->plan.n_children && error == NULL; i++) {
        error = sl_pqr_assemble(&scan->plan.children[i], rows);
    }
    scan->builder.length = rows;
    return error;
}

static sl_error *next_batch(sl_parquet_scan *scan, struct ArrowArray *out) {
    sl_error *error = NULL;
    while (scan->rows_left == 0 && error == NULL) {
        error = check_ends(scan);
        if (error == NULL && scan->row_group == scan->end_row_group) {
            scan->started = false;
            memset(out, 0, sizeof(*out));
            return NULL;
        }
        if (error == NULL) {
            error = start_row_group(scan);
        }
    }
    if (error != NULL) {
        return error;
    }
    int64_t rows = scan->rows_left < scan->max_rows ? scan->rows_left : scan->max_rows;
    error = fill_batch(scan, rows);
    if (error == NULL) {
        scan->rows_left -= rows;
        error = scan->rows_left == 0 ? check_ends(scan) : NULL;
    }
    return error == NULL ? sl_builder_finish(&scan->builder, out) : error;
}

sl_error *sl_parquet_scan_next(sl_parquet_scan *scan, struct ArrowArray *out) {
    if (scan->failed) {
        return sl_error_new(SL_ERROR_FATAL,
                            "Parquet file \"%s\": this scan has failed before and cannot go on",
                            scan->reader->name);
    }
    sl_error *error = next_batch(scan, out);
    scan->failed = error != NULL;
    return error;
}
