/* Small tables for the tests of lib/delta: one schema, batches from literals, rows read back. */
#ifndef DELTA_SUPPORT_H
#define DELTA_SUPPORT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"
#include "delta/upsert.h"
#include "store/store.h"

#define GOOD(call)                                                                                 \
    do {                                                                                           \
        sl_error *good_error = (call);                                                             \
        ck_assert_msg(good_error == NULL, "%s: %s", #call,                                         \
                      good_error == NULL ? "" : sl_error_message(good_error));                     \
    } while (0)

static inline void expect_error(sl_error *error, sl_error_class wanted, const char *part) {
    ck_assert_msg(error != NULL, "no error, expected %s", sl_error_class_name(wanted));
    ck_assert_msg(sl_error_is(error, wanted), "%s: %s",
                  sl_error_class_name(sl_error_get_class(error)), sl_error_message(error));
    ck_assert_msg(part == NULL || strstr(sl_error_message(error), part) != NULL, "%s",
                  sl_error_message(error));
    sl_error_free(error);
}

/* id int64 not null, name string, part string */
static inline void make_schema(struct ArrowSchema *schema) {
    GOOD(sl_schema_new_struct(3, schema));
    GOOD(sl_schema_set_field(schema, 0, "id", "l", false, 0));
    GOOD(sl_schema_set_field(schema, 1, "name", "u", true, 0));
    GOOD(sl_schema_set_field(schema, 2, "part", "u", true, 0));
}

typedef struct row {
    int64_t id;
    const char *name; /* NULL: null */
    const char *part;
} row;

static inline bool put_text(sl_builder *to, const char *text) {
    return text == NULL ? sl_builder_append_null(to)
                        : sl_builder_append_bytes(to, text, strlen(text));
}

static inline void make_batch(const row *rows, size_t n, struct ArrowArray *out) {
    struct ArrowSchema schema;
    sl_builder builder;
    make_schema(&schema);
    GOOD(sl_builder_init(&builder, &schema));
    for (size_t i = 0; i < n; i++) {
        ck_assert(sl_builder_append_i64(&builder.children[0], rows[i].id));
        ck_assert(put_text(&builder.children[1], rows[i].name));
        ck_assert(put_text(&builder.children[2], rows[i].part));
        ck_assert(sl_builder_append_struct(&builder));
    }
    GOOD(sl_builder_finish(&builder, out));
    sl_builder_free(&builder);
    schema.release(&schema);
}

/* Rows that zstd cannot shrink much, so that row groups have some size. */
static inline void noisy_batch(int64_t first, int64_t n, struct ArrowArray *out) {
    row *rows = calloc((size_t)n, sizeof(*rows));
    char(*names)[64] = calloc((size_t)n, 64);
    uint64_t x = (uint64_t)first * 77 + 1;
    for (int64_t i = 0; i < n; i++) {
        for (int j = 0; j < 63; j++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            names[i][j] = (char)(' ' + (x >> 58));
        }
        rows[i] = (row){first + i, names[i], NULL};
    }
    make_batch(rows, (size_t)n, out);
    free(rows);
    free(names);
}

static inline sl_delta_table *make_table(sl_store *store, const char *partition, const char *key,
                                         const char *value) {
    struct ArrowSchema schema;
    sl_delta_table *table = NULL;
    make_schema(&schema);
    sl_delta_create_options options = {.schema = &schema,
                                       .partition_columns = &partition,
                                       .n_partition_columns = partition != NULL,
                                       .configuration_keys = &key,
                                       .configuration_values = &value,
                                       .n_configuration = key != NULL};
    GOOD(sl_delta_create(store, &options, &table));
    schema.release(&schema);
    return table;
}

static inline sl_delta_encoder *make_encoder(sl_delta_table *table, const char *owner) {
    struct ArrowSchema schema;
    sl_delta_encoder *encoder = NULL;
    make_schema(&schema);
    sl_delta_encoder_options options = {.schema = &schema, .tail_owner = owner};
    options.partition_columns = sl_delta_partition_columns(table, &options.n_partition_columns);
    GOOD(sl_delta_encoder_new(&options, &encoder));
    schema.release(&schema);
    return encoder;
}

static inline void store_rows(sl_delta_table *table, sl_store *store, const row *rows, size_t n,
                              const char *owner, sl_delta_files *files) {
    struct ArrowArray batch;
    sl_delta_encoder *encoder = make_encoder(table, owner);
    make_batch(rows, n, &batch);
    GOOD(sl_delta_encoder_append(encoder, &batch, 0, batch.length));
    GOOD(sl_delta_encoder_store(encoder, store, files));
    sl_delta_encoder_free(encoder);
    batch.release(&batch);
}

/* Appends one row and moves the position of "app" (NULL: none) from `from` to `to`. */
static inline sl_error *append_row(sl_delta_table *table, sl_store *store, int64_t id,
                                   const char *app, int64_t from, int64_t to,
                                   sl_delta_commit_info *info) {
    sl_delta_files files = {0};
    row one = {id, "x", "p"};
    sl_delta_advance advance = {app, from, to};
    store_rows(table, store, &one, 1, NULL, &files);
    info->adds = files.items;
    info->n_adds = files.n;
    info->advances = &advance;
    info->n_advances = app != NULL;
    info->data_change = true;
    sl_error *error = sl_delta_commit(table, info);
    sl_delta_files_free(&files);
    info->adds = NULL;
    info->advances = NULL;
    return error;
}

static inline void append_good(sl_delta_table *table, sl_store *store, int64_t id) {
    sl_delta_commit_info info = {0};
    GOOD(append_row(table, store, id, NULL, 0, 0, &info));
}

/* ---- reading back ---- */

typedef struct read_back {
    sl_delta_table *table;
    sl_buffer lines;
} read_back;

static inline sl_error *read_rows(struct ArrowArray *rows, void *arg) {
    read_back *back = arg;
    for (int64_t i = 0; i < rows->length; i++) {
        ck_assert(sl_array_append_json(sl_delta_schema(back->table), rows, i, &back->lines));
        sl_buffer_append_byte(&back->lines, '\n');
    }
    return NULL;
}

static inline sl_error *read_one(const sl_delta_file *file, void *arg) {
    return sl_delta_read_file(((read_back *)arg)->table, file, read_rows, arg);
}

static inline int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All rows as JSON, sorted, one a line; to be freed. Opens the table anew. */
static inline char *table_text(sl_store *store) {
    read_back back = {0};
    GOOD(sl_delta_open(store, &back.table));
    GOOD(sl_delta_visit_files(back.table, read_one, &back));
    sl_delta_close(back.table);
    char *lines[1000];
    size_t n = 0;
    char *rest = (char *)sl_buffer_text(&back.lines);
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (line[0] != 0) {
            lines[n++] = line;
        }
    }
    qsort(lines, n, sizeof(*lines), compare_lines);
    char *text = calloc(back.lines.bytes + 2, 1);
    for (size_t i = 0; i < n; i++) {
        strcat(text, lines[i]);
        strcat(text, "\n");
    }
    sl_buffer_free(&back.lines);
    return text;
}

static inline void expect_rows(sl_store *store, const char *wanted) {
    char *text = table_text(store);
    ck_assert_str_eq(text, wanted);
    free(text);
}

static inline sl_error *count_one(const sl_delta_file *file, void *arg) {
    (void)file;
    ++*(int64_t *)arg;
    return NULL;
}

static inline int64_t count_files(sl_delta_table *table) {
    int64_t n = 0;
    GOOD(sl_delta_visit_files(table, count_one, &n));
    return n;
}

/* The bytes of a log entry as text; to be freed. */
static inline char *entry_text(sl_store *store, int64_t version) {
    char path[DELTA_PATH_BYTES];
    sl_store_bytes bytes;
    delta_log_path(version, path);
    GOOD(store->ops->get(store, path, 0, -1, &bytes));
    char *text = strndup((char *)bytes.data, bytes.bytes);
    bytes.release(&bytes);
    return text;
}

#endif /* DELTA_SUPPORT_H */
