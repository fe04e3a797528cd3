/* lib/parquet's writer: encodings byte by byte, files read back by our own reader, bounds on
 * memory, errors and what may follow them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "columns/columns.h"
#include "parquet/encode.h"
#include "parquet/parquet.h"

static void ok(sl_error *error) {
    if (error != NULL) {
        ck_abort_msg("%s", sl_error_message(error));
    }
}

static void fails(sl_error *error, sl_error_class error_class, const char *message) {
    ck_assert_ptr_nonnull(error);
    ck_assert_str_eq(sl_error_message(error), message);
    ck_assert_int_eq(sl_error_get_class(error), error_class);
    sl_error_free(error);
}

static void is_bytes(sl_buffer *buffer, const char *hex) {
    char text[512] = "";
    ck_assert(!buffer->failed && buffer->bytes * 2 < sizeof(text));
    for (size_t i = 0; i < buffer->bytes; i++) {
        sprintf(text + 2 * i, "%02x", buffer->data[i]);
    }
    ck_assert_str_eq(text, hex);
    sl_buffer_free(buffer);
}

/* ---- encodings ---- */

START_TEST(rle_of_the_specification) {
    /* Encodings.md: 0 to 7 in three bits is 10001000 11000110 11111010 */
    const uint8_t values[] = {0, 1, 2, 3, 4, 5, 6, 7};
    sl_buffer out = SL_BUFFER_INIT;
    ck_assert(sl_pqw_rle_encode_u8(values, 8, 3, &out));
    is_bytes(&out, "0388c6fa");
}
END_TEST

START_TEST(rle_runs_and_groups) {
    uint32_t values[40];
    sl_buffer out = SL_BUFFER_INIT;
    for (int i = 0; i < 40; i++) {
        values[i] = i < 8 ? (uint32_t)i % 2 : i < 30 ? 300 : (uint32_t)i % 2;
    }
    ck_assert(sl_pqw_rle_encode_u32(values, 40, 9, &out));
    /* one group, a run of 22 in two bytes, two groups of which six values are padding */
    is_bytes(&out, "03000200080020008000"
                   "2c2c01"
                   "05000200080020008000000200000000000000");
    ck_assert(sl_pqw_rle_encode_run(1, 1000, 1, &out));
    is_bytes(&out, "d00f01");
    ck_assert(sl_pqw_rle_encode_run(0, 3, 0, &out));
    is_bytes(&out, "06");
}
END_TEST

START_TEST(delta_of_the_specification) {
    /* Encodings.md, example 2: 7, 5, 3, 1, 2, 3, 4, 5 */
    const int32_t values[] = {7, 5, 3, 1, 2, 3, 4, 5};
    sl_buffer out = SL_BUFFER_INIT;
    ck_assert(sl_pqw_delta_encode_i32(values, 8, &out));
    is_bytes(&out, "8001"
                   "04"
                   "08"
                   "0e"
                   "03"
                   "02000000"
                   "c03f000000000000");
}
END_TEST

START_TEST(delta_wraps) {
    const int32_t narrow[] = {INT32_MIN, INT32_MAX};
    const int64_t wide[] = {INT64_MIN, INT64_MAX};
    sl_buffer out = SL_BUFFER_INIT;
    ck_assert(sl_pqw_delta_encode_i32(narrow, 2, &out));
    is_bytes(&out, "80010402ffffffff0f0100000000");
    ck_assert(sl_pqw_delta_encode_i64(wide, 2, &out));
    is_bytes(&out, "80010402ffffffffffffffffff010100000000");
    ck_assert(sl_pqw_delta_encode_i64(NULL, 0, &out));
    is_bytes(&out, "8001040000");
}
END_TEST

START_TEST(bits_of_every_width) {
    for (unsigned width = 1; width <= 64; width++) {
        uint64_t values[32];
        uint8_t packed[256 + 8] = {0};
        uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
        for (unsigned i = 0; i < 32; i++) {
            values[i] = (UINT64_C(0x9e3779b97f4a7c15) * (i + 1)) & mask;
        }
        sl_pqw_pack32(values, width, packed);
        for (unsigned i = 0; i < 32; i++) {
            uint64_t value = 0;
            for (unsigned b = 0; b < width; b++) {
                unsigned at = i * width + b;
                value |= (uint64_t)(packed[at / 8] >> (at % 8) & 1) << b;
            }
            ck_assert_uint_eq(value, values[i]);
        }
        ck_assert_uint_eq(packed[4 * width], 0);
    }
}
END_TEST

/* ---- files ---- */

typedef struct sink {
    sl_buffer bytes;
    int fail_after; /* calls that succeed; < 0: all */
} sink;

static sl_error *collect(void *arg, const void *data, size_t bytes) {
    sink *to = arg;
    if (to->fail_after >= 0 && to->fail_after-- == 0) {
        return sl_error_new(SL_ERROR_RETRIABLE, "the disk is full");
    }
    ck_assert(bytes > 0 && sl_buffer_append(&to->bytes, data, bytes));
    return NULL;
}

static sink new_sink(void) {
    return (sink){SL_BUFFER_INIT, -1};
}

/* struct<id: long not null, name: string, amount: decimal(12,2), wide: decimal(30,0),
 * tags: array<string>, at: timestamp, ok: boolean, by: map<string, double>> */
static struct ArrowSchema sample_schema(void) {
    struct ArrowSchema s;
    ok(sl_schema_new_struct(8, &s));
    ok(sl_schema_set_field(&s, 0, "id", "l", false, 0));
    ok(sl_schema_set_field(&s, 1, "name", "u", true, 0));
    ok(sl_schema_set_field(&s, 2, "amount", "d:12,2", true, 0));
    ok(sl_schema_set_field(&s, 3, "wide", "d:30,0", true, 0));
    ok(sl_schema_set_field(&s, 4, "tags", "+l", true, 1));
    ok(sl_schema_set_field(s.children[4], 0, "element", "u", true, 0));
    ok(sl_schema_set_field(&s, 5, "at", "tsu:UTC", true, 0));
    ok(sl_schema_set_field(&s, 6, "ok", "b", true, 0));
    ok(sl_schema_set_field(&s, 7, "by", "+m", true, 1));
    ok(sl_schema_set_field(s.children[7], 0, "entries", "+s", false, 2));
    ok(sl_schema_set_field(s.children[7]->children[0], 0, "key", "u", false, 0));
    ok(sl_schema_set_field(s.children[7]->children[0], 1, "value", "g", true, 0));
    return s;
}

static void append_text(sl_builder *b, const char *format, int64_t i) {
    char text[64];
    int n = snprintf(text, sizeof(text), format, (long long)i);
    ck_assert(sl_builder_append_bytes(b, text, (size_t)n));
}

static void append_decimal(sl_builder *b, int64_t i) {
    int64_t value[2] = {i, i < 0 ? -1 : 0};
    ck_assert(sl_builder_append_bytes(b, value, 16));
}

static void append_sample(sl_builder *b, int64_t i) {
    sl_builder *c = b->children;
    ck_assert(sl_builder_append_i64(&c[0], i * 3));
    if (i % 5 == 0) {
        ck_assert(sl_builder_append_null(&c[1]));
    } else {
        append_text(&c[1], i % 2 ? "name-%lld" : "few", i % 2 ? i : 0);
    }
    append_decimal(&c[2], i % 2 ? -i : i * 100);
    append_decimal(&c[3], i * INT64_C(1000000007));
    for (int64_t t = 0; t < i % 4; t++) {
        append_text(&c[4].children[0], "tag%lld", t);
    }
    ck_assert(i % 7 == 6 ? sl_builder_append_null(&c[4]) : sl_builder_append_list(&c[4]));
    ck_assert(sl_builder_append_i64(&c[5], INT64_C(1700000000000000) + i * 1001));
    ck_assert(i % 3 == 0 ? sl_builder_append_null(&c[6]) : sl_builder_append_bool(&c[6], i % 2));
    sl_builder *entries = &c[7].children[0];
    for (int64_t t = 0; t < i % 3; t++) {
        append_text(&entries->children[0], "k%lld", t);
        ck_assert(sl_builder_append_double(&entries->children[1], (double)(i + t) / 8));
        ck_assert(sl_builder_append_struct(entries));
    }
    ck_assert(sl_builder_append_list(&c[7]));
    ck_assert(sl_builder_append_struct(b));
}

static struct ArrowArray sample_rows(const struct ArrowSchema *schema, int64_t first,
                                     int64_t rows) {
    sl_builder b;
    struct ArrowArray array;
    ok(sl_builder_init(&b, schema));
    for (int64_t i = first; i < first + rows; i++) {
        append_sample(&b, i);
    }
    ok(sl_builder_finish(&b, &array));
    sl_builder_free(&b);
    return array;
}

/* Every row of the file as JSON text, one a line. */
static char *read_back(const sink *from, int64_t *rows) {
    sl_parquet_reader *reader;
    sl_parquet_scan *scan;
    sl_buffer text = SL_BUFFER_INIT;
    const sl_parquet_input input = {
        .name = "memory", .file_bytes = (int64_t)from->bytes.bytes, .memory = from->bytes.data};
    ok(sl_parquet_reader_open(&input, NULL, &reader));
    ok(sl_parquet_scan_open(reader, NULL, &scan));
    *rows = sl_parquet_reader_rows(reader);
    for (;;) {
        struct ArrowArray batch;
        ok(sl_parquet_scan_next(scan, &batch));
        if (batch.release == NULL) {
            break;
        }
        for (int64_t i = 0; i < batch.length; i++) {
            ck_assert(sl_array_append_json(sl_parquet_scan_schema(scan), &batch, i, &text));
            ck_assert(sl_buffer_append_byte(&text, '\n'));
        }
        batch.release(&batch);
    }
    sl_parquet_scan_close(scan);
    sl_parquet_reader_close(reader);
    ck_assert_ptr_nonnull(sl_buffer_text(&text));
    size_t bytes;
    return (char *)sl_buffer_take(&text, &bytes);
}

static char *as_json(const struct ArrowSchema *schema, const struct ArrowArray *array) {
    sl_buffer text = SL_BUFFER_INIT;
    for (int64_t i = 0; i < array->length; i++) {
        ck_assert(sl_array_append_json(schema, array, i, &text));
        ck_assert(sl_buffer_append_byte(&text, '\n'));
    }
    ck_assert_ptr_nonnull(sl_buffer_text(&text));
    size_t bytes;
    return (char *)sl_buffer_take(&text, &bytes);
}

START_TEST(rows_come_back) {
    struct ArrowSchema schema = sample_schema();
    struct ArrowArray rows = sample_rows(&schema, 0, 6000);
    static const char *const codecs[] = {"zstd", "snappy", "lz4", "none"};
    char *expected = as_json(&schema, &rows);
    sl_parquet_writer_options options = sl_parquet_writer_defaults();
    ck_assert(sl_parquet_codec_parse(codecs[_i % 4], &options.codec));
    ck_assert(!sl_parquet_codec_parse("gzip", &options.codec));
    options.page_version = 1 + _i / 4 % 2;
    options.page_bytes = _i / 8 == 0 ? 2000 : 1 << 20;
    options.row_group_bytes = _i / 8 == 0 ? 50000 : 32 << 20;
    sink to = new_sink();
    sl_parquet_writer *writer;
    const sl_parquet_summary *summary;
    ok(sl_parquet_writer_new(&schema, &options, collect, &to, &writer));
    ok(sl_parquet_writer_append(writer, &rows, 0, 1500));
    ok(sl_parquet_writer_append(writer, &rows, 1500, 0));
    ok(sl_parquet_writer_append(writer, &rows, 1500, 4500));
    ok(sl_parquet_writer_finish(writer, &summary));
    ck_assert_int_eq(summary->rows, 6000);
    ck_assert_int_eq(summary->bytes, (int64_t)to.bytes.bytes);
    ck_assert_int_eq(sl_parquet_writer_bytes(writer), (int64_t)to.bytes.bytes);
    ck_assert_uint_eq(summary->n_columns, 9);
    int64_t n;
    char *text = read_back(&to, &n);
    ck_assert_int_eq(n, 6000);
    ck_assert_str_eq(text, expected);
    sl_parquet_writer_free(writer);
    sl_buffer_free(&to.bytes);
    free(text);
    free(expected);
    rows.release(&rows);
    schema.release(&schema);
}
END_TEST

START_TEST(summary_says_what_delta_needs) {
    struct ArrowSchema schema = sample_schema();
    struct ArrowArray rows = sample_rows(&schema, 1, 1000);
    sink to = new_sink();
    sl_parquet_writer *writer;
    const sl_parquet_summary *summary;
    ok(sl_parquet_writer_new(&schema, NULL, collect, &to, &writer));
    ok(sl_parquet_writer_append(writer, &rows, 0, 1000));
    ok(sl_parquet_writer_finish(writer, &summary));
    const sl_parquet_column *c = summary->columns;
    ck_assert_int_eq(c[0].min.i64, 3);
    ck_assert_int_eq(c[0].max.i64, 3000);
    ck_assert_int_eq(c[0].null_count, 0);
    ck_assert_int_eq(c[1].null_count, 200);
    ck_assert(c[1].min.bytes == 3 && memcmp(c[1].min.data, "few", 3) == 0 && c[1].min_exact);
    ck_assert(c[1].max.bytes == 8 && memcmp(c[1].max.data, "name-999", 8) == 0);
    int64_t decimal[2];
    memcpy(decimal, c[2].min.decimal, 16);
    ck_assert(decimal[0] == -999 && decimal[1] == -1);
    memcpy(decimal, c[3].max.decimal, 16);
    ck_assert(decimal[0] == INT64_C(1000000007000) && decimal[1] == 0);
    ck_assert(c[4].repeated && !c[0].repeated);
    ck_assert_uint_eq(c[4].n_path, 3);
    ck_assert_str_eq(c[4].path[1], "list");
    ck_assert_str_eq(c[7].path[1], "key_value");
    ck_assert(!c[6].min.i64 && c[6].max.i64 == 1);
    sl_parquet_writer_free(writer);
    sl_buffer_free(&to.bytes);
    rows.release(&rows);
    schema.release(&schema);
}
END_TEST

START_TEST(one_writer_makes_many_files) {
    struct ArrowSchema schema = sample_schema();
    sl_parquet_writer *writer;
    sink to = new_sink();
    ok(sl_parquet_writer_new(&schema, NULL, collect, &to, &writer));
    for (int file = 0; file < 40; file++) {
        /* long files, whose sample is trusted later, short ones, one of other data */
        int64_t n = file % 3 == 0 ? 5000 : file;
        struct ArrowArray rows = sample_rows(&schema, file == 5 ? 1 << 20 : 0, n);
        char *expected = as_json(&schema, &rows);
        ok(sl_parquet_writer_append(writer, &rows, 0, n));
        ck_assert_int_eq(sl_parquet_writer_rows(writer), n);
        ok(sl_parquet_writer_finish(writer, NULL));
        int64_t got;
        char *text = read_back(&to, &got);
        ck_assert_str_eq(text, expected);
        free(text);
        free(expected);
        rows.release(&rows);
        sl_buffer_clear(&to.bytes);
        sl_parquet_writer_restart(writer, collect, &to);
    }
    sl_parquet_writer_free(writer);
    sl_buffer_free(&to.bytes);
    schema.release(&schema);
}
END_TEST

START_TEST(memory_is_bounded) {
    struct ArrowSchema schema = sample_schema();
    sl_parquet_writer_options options = sl_parquet_writer_defaults();
    options.row_group_bytes = 1 << 20;
    sl_parquet_writer *writer;
    sink to = new_sink();
    const sl_parquet_summary *summary;
    ok(sl_parquet_writer_new(&schema, &options, collect, &to, &writer));
    for (int64_t i = 0; i < 100; i++) {
        struct ArrowArray rows = sample_rows(&schema, i * 1000, 1000);
        ok(sl_parquet_writer_append(writer, &rows, 0, 1000));
        ck_assert_uint_lt(sl_parquet_writer_memory_bytes(writer), (1 << 20) + (1 << 16));
        rows.release(&rows);
    }
    ck_assert(sl_parquet_writer_bytes(writer) > 0); /* handed out on the way */
    ok(sl_parquet_writer_finish(writer, &summary));
    ck_assert_int_gt(summary->row_groups, 3);
    sl_parquet_writer_free(writer);
    sl_buffer_free(&to.bytes);
    schema.release(&schema);
}
END_TEST

/* The first column's pages need not wait for the others, and are read back all the same. */
START_TEST(the_first_column_goes_out_at_once) {
    struct ArrowSchema schema;
    sl_builder b;
    ok(sl_schema_new_struct(2, &schema));
    ok(sl_schema_set_field(&schema, 0, "noise", "z", true, 0));
    ok(sl_schema_set_field(&schema, 1, "number", "l", true, 0));
    sl_parquet_writer_options options = sl_parquet_writer_defaults();
    options.page_bytes = 64 << 10;
    options.row_group_bytes = 300 << 10;
    sl_parquet_writer *writer;
    sink to = new_sink();
    ok(sl_parquet_writer_new(&schema, &options, collect, &to, &writer));
    for (int file = 0; file < 2; file++) {
        struct ArrowArray rows;
        ok(sl_builder_init(&b, &schema));
        bool done = true;
        uint64_t noise[20] = {1};
        for (int64_t i = 0; i < 3000; i++) {
            for (size_t k = 0; k < 20; k++) {
                noise[k] = (noise[(k + 19) % 20] ^ noise[k]) * UINT64_C(0x9e3779b97f4a7c15) + k;
            }
            done = done && sl_builder_append_bytes(&b.children[0], noise, sizeof(noise)) &&
                   sl_builder_append_i64(&b.children[1], i * i) && sl_builder_append_struct(&b);
        }
        ck_assert(done);
        ok(sl_builder_finish(&b, &rows));
        sl_builder_free(&b);
        ok(sl_parquet_writer_append(writer, &rows, 0, 1200));
        ck_assert_uint_gt(to.bytes.bytes, 0); /* before the first row group ends */
        ck_assert_uint_lt(sl_parquet_writer_memory_bytes(writer), 200 << 10);
        ok(sl_parquet_writer_append(writer, &rows, 1200, 1800));
        const sl_parquet_summary *summary;
        ok(sl_parquet_writer_finish(writer, &summary));
        ck_assert_int_gt(summary->row_groups, 1);
        char *expected = as_json(&schema, &rows);
        int64_t n;
        char *text = read_back(&to, &n);
        ck_assert_str_eq(text, expected);
        free(text);
        free(expected);
        rows.release(&rows);
        sl_buffer_clear(&to.bytes);
        sl_parquet_writer_restart(writer, collect, &to);
    }
    sl_parquet_writer_free(writer);
    sl_buffer_free(&to.bytes);
    schema.release(&schema);
}
END_TEST

START_TEST(an_error_of_the_output_ends_the_file) {
    struct ArrowSchema schema = sample_schema();
    struct ArrowArray rows = sample_rows(&schema, 0, 10);
    sl_parquet_writer *writer;
    sink to = new_sink();
    to.fail_after = 0;
    ok(sl_parquet_writer_new(&schema, NULL, collect, &to, &writer));
    ok(sl_parquet_writer_append(writer, &rows, 0, 10));
    fails(sl_parquet_writer_finish(writer, NULL), SL_ERROR_RETRIABLE, "the disk is full");
    fails(sl_parquet_writer_append(writer, &rows, 0, 1), SL_ERROR_FATAL,
          "the Parquet file is broken by an earlier error");
    to.fail_after = -1;
    sl_parquet_writer_restart(writer, collect, &to);
    ok(sl_parquet_writer_append(writer, &rows, 0, 10));
    ok(sl_parquet_writer_finish(writer, NULL));
    fails(sl_parquet_writer_append(writer, &rows, 0, 1), SL_ERROR_FATAL,
          "the Parquet file is finished");
    int64_t n;
    free(read_back(&to, &n));
    ck_assert_int_eq(n, 10);
    sl_parquet_writer_free(writer);
    sl_buffer_free(&to.bytes);
    rows.release(&rows);
    schema.release(&schema);
}
END_TEST

START_TEST(an_unfinished_file_is_dropped) {
    struct ArrowSchema schema = sample_schema();
    struct ArrowArray rows = sample_rows(&schema, 0, 6000);
    sl_parquet_writer *writer;
    sink to = new_sink();
    ok(sl_parquet_writer_new(&schema, NULL, collect, &to, &writer));
    ok(sl_parquet_writer_append(writer, &rows, 0, 6000));
    ok(sl_parquet_writer_end_row_group(writer));
    ok(sl_parquet_writer_end_row_group(writer));
    ok(sl_parquet_writer_append(writer, &rows, 0, 6000));
    sl_parquet_writer_free(writer);
    sl_parquet_writer_free(NULL);
    sl_buffer_free(&to.bytes);
    rows.release(&rows);
    schema.release(&schema);
}
END_TEST

START_TEST(rows_that_do_not_fit) {
    struct ArrowSchema schema;
    sl_builder b;
    struct ArrowArray rows;
    sl_parquet_writer *writer;
    sink to = new_sink();
    ok(sl_schema_new_struct(1, &schema));
    ok(sl_schema_set_field(&schema, 0, "d", "d:3,1", true, 0));
    ok(sl_builder_init(&b, &schema));
    append_decimal(&b.children[0], 1000);
    ck_assert(sl_builder_append_struct(&b));
    ok(sl_builder_finish(&b, &rows));
    sl_builder_free(&b);
    ok(sl_parquet_writer_new(&schema, NULL, collect, &to, &writer));
    fails(sl_parquet_writer_append(writer, &rows, 0, 1), SL_ERROR_RECORD,
          "column d: a value does not fit decimal(3,1)");
    sl_parquet_writer_restart(writer, collect, &to);
    fails(sl_parquet_writer_append(writer, &rows, 0, 2), SL_ERROR_CONFIG,
          "rows 0 to 2 of an array of 1 rows with offset 0");
    sl_parquet_writer_free(writer);
    rows.release(&rows);
    schema.release(&schema);
}
END_TEST

/* Arrow lets an array have no buffer for strings of which none has a byte. */
START_TEST(strings_may_have_no_bytes) {
    struct ArrowSchema schema;
    sl_builder b;
    struct ArrowArray rows[2];
    sl_parquet_writer *writer;
    sink to = new_sink();
    ok(sl_schema_new_struct(1, &schema));
    ok(sl_schema_set_field(&schema, 0, "s", "u", false, 0));
    for (int k = 0; k < 2; k++) {
        ok(sl_builder_init(&b, &schema));
        for (int64_t i = 0; i < 5000; i++) { /* few values: a dictionary */
            ck_assert(sl_builder_append_bytes(&b.children[0], "abc", k == 0 ? i % 4 : 0));
            ck_assert(sl_builder_append_struct(&b));
        }
        ok(sl_builder_finish(&b, &rows[k]));
        sl_builder_free(&b);
    }
    free((void *)(uintptr_t)rows[1].children[0]->buffers[2]);
    rows[1].children[0]->buffers[2] = NULL;
    ok(sl_parquet_writer_new(&schema, NULL, collect, &to, &writer));
    ok(sl_parquet_writer_append(writer, &rows[0], 0, 5000));
    ok(sl_parquet_writer_append(writer, &rows[1], 0, 5000));
    ok(sl_parquet_writer_finish(writer, NULL));
    int64_t n;
    char *text = read_back(&to, &n);
    ck_assert_int_eq(n, 10000);
    ck_assert_str_eq(text + strlen(text) - strlen("{\"s\":\"\"}\n"), "{\"s\":\"\"}\n");
    free(text);
    sl_parquet_writer_free(writer);
    sl_buffer_free(&to.bytes);
    rows[0].release(&rows[0]);
    rows[1].release(&rows[1]);
    schema.release(&schema);
}
END_TEST

START_TEST(schemas_that_do_not_fit) {
    struct ArrowSchema schema;
    sl_parquet_writer *writer;
    ok(sl_schema_new_struct(0, &schema));
    fails(sl_parquet_writer_new(&schema, NULL, collect, NULL, &writer), SL_ERROR_CONFIG,
          "a Parquet file needs at least one column");
    schema.release(&schema);
    ok(sl_schema_new_struct(1, &schema));
    ok(sl_schema_set_field(&schema, 0, "w", "w:0", true, 0));
    sl_error *error = sl_parquet_writer_new(&schema, NULL, collect, NULL, &writer);
    ck_assert_int_eq(sl_error_get_class(error), SL_ERROR_CONFIG);
    sl_error_free(error);
    schema.release(&schema);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("parquet writer");
    TCase *encodings = tcase_create("encodings");
    tcase_add_test(encodings, rle_of_the_specification);
    tcase_add_test(encodings, rle_runs_and_groups);
    tcase_add_test(encodings, delta_of_the_specification);
    tcase_add_test(encodings, delta_wraps);
    tcase_add_test(encodings, bits_of_every_width);
    suite_add_tcase(suite, encodings);
    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 60);
    tcase_add_loop_test(files, rows_come_back, 0, 16);
    tcase_add_test(files, summary_says_what_delta_needs);
    tcase_add_test(files, one_writer_makes_many_files);
    tcase_add_test(files, memory_is_bounded);
    tcase_add_test(files, the_first_column_goes_out_at_once);
    tcase_add_test(files, an_error_of_the_output_ends_the_file);
    tcase_add_test(files, an_unfinished_file_is_dropped);
    tcase_add_test(files, rows_that_do_not_fit);
    tcase_add_test(files, strings_may_have_no_bytes);
    tcase_add_test(files, schemas_that_do_not_fit);
    suite_add_tcase(suite, files);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
