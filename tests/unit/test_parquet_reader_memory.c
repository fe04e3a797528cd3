/*
 * The Parquet reader when memory runs out: every single allocation of a whole read fails once, and
 * each time the answer is the out-of-memory error and nothing is left behind. This program's own
 * malloc does it (failing_malloc.h).
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

/* struct<s: string, m: map<string, array<integer>>>, 200 rows in pages of a few */
static void write_sample(sl_parquet_codec codec, int page_version, sl_buffer *file) {
    struct ArrowSchema schema;
    struct ArrowArray rows;
    sl_builder b;
    ok(sl_schema_new_struct(2, &schema));
    ok(sl_schema_set_field(&schema, 0, "s", "u", true, 0));
    ok(sl_schema_set_field(&schema, 1, "m", "+m", true, 1));
    ok(sl_schema_set_field(schema.children[1], 0, "entries", "+s", false, 2));
    ok(sl_schema_set_field(schema.children[1]->children[0], 0, "key", "u", false, 0));
    ok(sl_schema_set_field(schema.children[1]->children[0], 1, "value", "+l", true, 1));
    ok(sl_schema_set_field(schema.children[1]->children[0]->children[1], 0, "element", "i", true,
                           0));
    ok(sl_builder_init(&b, &schema));
    for (int64_t i = 0; i < 200; i++) {
        sl_builder *entries = &b.children[1].children[0];
        ck_assert(i % 3 == 0 ? sl_builder_append_null(&b.children[0])
                             : sl_builder_append_bytes(&b.children[0], "some text", (size_t)i % 9));
        ck_assert(sl_builder_append_bytes(&entries->children[0], "key", 3));
        ck_assert(sl_builder_append_i64(&entries->children[1].children[0], i * i));
        ck_assert(sl_builder_append_list(&entries->children[1]));
        ck_assert(sl_builder_append_struct(entries));
        ck_assert(sl_builder_append_list(&b.children[1]));
        ck_assert(sl_builder_append_struct(&b));
    }
    ok(sl_builder_finish(&b, &rows));
    sl_builder_free(&b);
    sl_parquet_writer_options options = sl_parquet_writer_defaults();
    options.codec = codec;
    options.page_version = page_version;
    sl_parquet_writer *writer;
    ok(sl_parquet_writer_new(&schema, &options, into_buffer, file, &writer));
    ok(sl_parquet_writer_append(writer, &rows, 0, rows.length));
    ok(sl_parquet_writer_finish(writer, NULL));
    sl_parquet_writer_free(writer);
    rows.release(&rows);
    schema.release(&schema);
}

static void release_copy(sl_store_bytes *bytes) {
    free(bytes->data);
    bytes->data = NULL;
}

static sl_error *read_copy(void *arg, int64_t offset, size_t bytes, sl_store_bytes *out) {
    uint8_t *copy = malloc(bytes);
    if (copy == NULL) {
        return sl_error_no_memory();
    }
    memcpy(copy, ((sl_buffer *)arg)->data + offset, bytes);
    *out = (sl_store_bytes){copy, bytes, release_copy};
    return NULL;
}

static sl_error *read_all(sl_buffer *file) {
    sl_parquet_input input = {
        .name = "sample", .file_bytes = (int64_t)file->bytes, .read = read_copy, .arg = file};
    const char *columns[] = {"s", "m"};
    sl_parquet_scan_options options = {.columns = columns, .n_columns = 2, .max_rows = 64};
    sl_parquet_reader *reader = NULL;
    sl_parquet_scan *scan = NULL;
    sl_error *error = sl_parquet_reader_open(&input, NULL, &reader);
    if (error == NULL) {
        error = sl_parquet_scan_open(reader, &options, &scan);
    }
    while (error == NULL) {
        struct ArrowArray batch;
        error = sl_parquet_scan_next(scan, &batch);
        if (error != NULL || batch.release == NULL) {
            break;
        }
        batch.release(&batch);
    }
    sl_parquet_scan_close(scan);
    sl_parquet_reader_close(reader);
    return error;
}

START_TEST(each_allocation_fails_once) {
    const sl_parquet_codec codecs[] = {SL_PARQUET_UNCOMPRESSED, SL_PARQUET_SNAPPY, SL_PARQUET_ZSTD,
                                       SL_PARQUET_LZ4_RAW};
    sl_buffer file = SL_BUFFER_INIT;
    write_sample(codecs[_i / 2], 1 + _i % 2, &file);
    long live_before = live;
    bool all = false;
    for (long n = 0; !all; n++) {
        allowed = n;
        sl_error *error = read_all(&file);
        all = allowed > 0; /* some were not even needed */
        allowed = -1;
        ck_assert(all ? error == NULL : error == NULL || sl_error_is(error, SL_ERROR_NO_MEMORY));
        sl_error_free(error);
        ck_assert_int_eq(live, live_before);
    }
    sl_buffer_free(&file);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("parquet_reader_memory");
    TCase *cases = tcase_create("parquet_reader_memory");
    tcase_add_loop_test(cases, each_allocation_fails_once, 0, 8);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
