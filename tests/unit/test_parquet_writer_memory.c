/*
 * The Parquet writer when memory runs out: every single allocation of two files fails once, and
 * each time the answer is the out-of-memory error, or (a dictionary is given up) a file as good as
 * any, and nothing is left behind. This program's own malloc does it (failing_malloc.h).
 */
#include "failing_malloc.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "columns/columns.h"
#include "parquet/parquet.h"

static void ok(sl_error *error) {
    if (error != NULL) {
        ck_abort_msg("%s", sl_error_message(error));
    }
}

static sl_error *into_buffer(void *arg, const void *data, size_t bytes) {
    return sl_buffer_append(arg, data, bytes) ? NULL : sl_error_no_memory();
}

#define ROWS 6000

/* struct<few: string, many: string, n: long, tags: array<string>> */
static void make_rows(struct ArrowSchema *schema, struct ArrowArray *rows) {
    sl_builder b;
    ok(sl_schema_new_struct(4, schema));
    ok(sl_schema_set_field(schema, 0, "few", "u", true, 0));
    ok(sl_schema_set_field(schema, 1, "many", "u", false, 0));
    ok(sl_schema_set_field(schema, 2, "n", "l", true, 0));
    ok(sl_schema_set_field(schema, 3, "tags", "+l", true, 1));
    ok(sl_schema_set_field(schema->children[3], 0, "element", "u", true, 0));
    ok(sl_builder_init(&b, schema));
    uint64_t x = 1;
    for (int64_t i = 0; i < ROWS; i++) {
        static const char *const few[] = {"DE", "FR", "GB", "a longer one, past sixteen bytes"};
        x = x * 6364136223846793005u + 1442695040888963407u;
        const char *text = few[x >> 62];
        ck_assert(i % 7 == 0 ? sl_builder_append_null(&b.children[0])
                             : sl_builder_append_bytes(&b.children[0], text, strlen(text)));
        ck_assert(sl_builder_append_bytes(&b.children[1], &x, 8));
        ck_assert(sl_builder_append_i64(&b.children[2], i * 3));
        for (uint64_t t = 0; t < (x >> 40) % 3; t++) {
            ck_assert(sl_builder_append_bytes(&b.children[3].children[0], "tag", 3));
        }
        ck_assert(sl_builder_append_list(&b.children[3]));
        ck_assert(sl_builder_append_struct(&b));
    }
    ok(sl_builder_finish(&b, rows));
    sl_builder_free(&b);
}

/* Two files by one writer. */
static sl_error *write_files(const struct ArrowSchema *schema, const struct ArrowArray *rows,
                             const sl_parquet_writer_options *options, sl_buffer *files) {
    sl_parquet_writer *writer;
    sl_error *error = sl_parquet_writer_new(schema, options, into_buffer, &files[0], &writer);
    if (error != NULL) {
        return error;
    }
    for (int i = 0; i < 2 && error == NULL; i++) {
        sl_parquet_writer_restart(writer, into_buffer, &files[i]);
        error = sl_parquet_writer_append(writer, rows, 0, rows->length);
        error = error ? error : sl_parquet_writer_finish(writer, NULL);
    }
    sl_parquet_writer_free(writer);
    return error;
}

static int64_t rows_in(const sl_buffer *file) {
    sl_parquet_reader *reader;
    sl_parquet_scan *scan;
    const sl_parquet_input input = {
        .name = "memory", .file_bytes = (int64_t)file->bytes, .memory = file->data};
    int64_t n = 0;
    ok(sl_parquet_reader_open(&input, NULL, &reader));
    ok(sl_parquet_scan_open(reader, NULL, &scan));
    for (;;) {
        struct ArrowArray batch;
        ok(sl_parquet_scan_next(scan, &batch));
        if (batch.release == NULL) {
            break;
        }
        n += batch.length;
        batch.release(&batch);
    }
    sl_parquet_scan_close(scan);
    sl_parquet_reader_close(reader);
    return n;
}

static void fail_each(const sl_parquet_writer_options *options) {
    struct ArrowSchema schema;
    struct ArrowArray rows;
    make_rows(&schema, &rows);
    bool reached = true;
    int failures = 0;
    for (long i = 0; reached; i++) {
        sl_buffer files[2] = {SL_BUFFER_INIT, SL_BUFFER_INIT};
        long before = live;
        allowed = i;
        sl_error *error = write_files(&schema, &rows, options, files);
        reached = allowed == 0;
        allowed = -1;
        if (error == NULL) {
            ck_assert_int_eq(rows_in(&files[0]), ROWS);
            ck_assert_int_eq(rows_in(&files[1]), ROWS);
        } else {
            ck_assert_msg(sl_error_is(error, SL_ERROR_NO_MEMORY), "%s", sl_error_message(error));
            sl_error_free(error);
            failures++;
        }
        sl_buffer_free(&files[0]);
        sl_buffer_free(&files[1]);
        ck_assert_int_eq(live, before);
    }
    ck_assert_int_gt(failures, 50);
    rows.release(&rows);
    schema.release(&schema);
}

START_TEST(every_allocation_fails_once) {
    sl_parquet_writer_options options = sl_parquet_writer_defaults();
    static const sl_parquet_codec codecs[] = {SL_PARQUET_ZSTD, SL_PARQUET_LZ4_RAW,
                                              SL_PARQUET_UNCOMPRESSED};
    options.codec = codecs[_i % 3];
    options.page_version = 1 + _i / 3;
    options.page_bytes = 1 << 16;
    options.row_group_bytes = 1 << 17;
    fail_each(&options);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("parquet writer without memory");
    TCase *memory = tcase_create("memory");
    tcase_set_timeout(memory, 120);
    tcase_add_loop_test(memory, every_allocation_fails_once, 0, 6);
    suite_add_tcase(suite, memory);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
