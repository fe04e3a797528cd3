/*
 * lib/parquet, reading: the decoders on bytes made by hand, old schema forms that few writers make
 * today, and damaged files. Files of other writers are read by tests/parquet/test_reader.py.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "columns/columns.h"
#include "parquet/parquet.h"
#include "parquet/reader_codec.h"
#include "parquet/reader_delta.h"
#include "parquet/reader_rle.h"
#include "parquet/reader_schema.h"
#include "parquet/reader_values.h"
#include "parquet/thrift_decode.h"

static void ok(sl_error *error) {
    if (error != NULL) {
        ck_abort_msg("%s", sl_error_message(error));
    }
}

static void fails(sl_error *error, sl_error_class error_class, const char *part) {
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(sl_error_message(error), part) != NULL, "\"%s\" does not say \"%s\"",
                  sl_error_message(error), part);
    ck_assert_int_eq(sl_error_get_class(error), error_class);
    sl_error_free(error);
}

/* ---- Thrift ---- */

START_TEST(thrift_fields) {
    /* 1: i32 -3, 2: true, 20 (long form): binary "ab", 21: list<i32> [1, 2], stop */
    const uint8_t bytes[] = {0x15, 0x05, 0x11, 0x08, 0x28, 0x02, 'a',
                             'b',  0x19, 0x25, 0x02, 0x04, 0};
    sl_thrift_decoder d;
    sl_thrift_in_field field = {0};
    sl_thrift_in_field number = {.type = SL_THRIFT_I32};
    size_t length;
    sl_thrift_in_init(&d, bytes, sizeof(bytes));
    ck_assert(sl_thrift_next_field(&d, &field) && field.id == 1);
    ck_assert_int_eq(sl_thrift_in_i32(&d, &field), -3);
    ck_assert(sl_thrift_next_field(&d, &field) && field.id == 2);
    ck_assert(sl_thrift_in_bool(&d, &field));
    ck_assert(sl_thrift_next_field(&d, &field) && field.id == 20);
    ck_assert_mem_eq(sl_thrift_in_binary(&d, &field, &length), "ab", 2);
    ck_assert(sl_thrift_next_field(&d, &field) && field.id == 21);
    ck_assert_uint_eq(sl_thrift_in_list(&d, &field, SL_THRIFT_I32), 2);
    ck_assert_int_eq(sl_thrift_in_i32(&d, &number), 1);
    ck_assert_int_eq(sl_thrift_in_i32(&d, &number), 2);
    ck_assert(!sl_thrift_next_field(&d, &field));
    ck_assert_ptr_null(d.failure);
    for (size_t n = 0; n < sizeof(bytes) - 1; n++) { /* cut anywhere: a failure, never a crash */
        sl_thrift_in_field f = {0};
        sl_thrift_in_init(&d, bytes, n);
        while (sl_thrift_next_field(&d, &f)) {
            sl_thrift_skip(&d, &f);
        }
        ck_assert(d.failure != NULL && d.truncated);
    }
}
END_TEST

START_TEST(thrift_refuses) {
    sl_thrift_decoder d;
    sl_thrift_in_field field = {0};
    uint8_t deep[200];
    memset(deep, 0x1c, sizeof(deep)); /* a struct in a struct in ... */
    sl_thrift_in_init(&d, deep, sizeof(deep));
    ck_assert(sl_thrift_next_field(&d, &field));
    sl_thrift_skip(&d, &field);
    ck_assert_str_eq(d.failure, "Thrift values are nested too deeply");

    const uint8_t huge_list[] = {0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f};
    field = (sl_thrift_in_field){0};
    sl_thrift_in_init(&d, huge_list, sizeof(huge_list));
    ck_assert(sl_thrift_next_field(&d, &field));
    ck_assert_uint_eq(sl_thrift_in_list(&d, &field, SL_THRIFT_STRUCT), 0);
    ck_assert_ptr_nonnull(d.failure);

    const uint8_t long_integer[] = {0x16, 0xff, 0xff, 0xff, 0xff, 0xff,
                                    0xff, 0xff, 0xff, 0xff, 0x7f};
    field = (sl_thrift_in_field){0};
    sl_thrift_in_init(&d, long_integer, sizeof(long_integer));
    ck_assert(sl_thrift_next_field(&d, &field));
    sl_thrift_in_i64(&d, &field);
    ck_assert_str_eq(d.failure, "a Thrift integer is longer than 64 bits");
}
END_TEST

/* ---- RLE ---- */

START_TEST(rle_runs) {
    /* 0..7 in 3 bits (the specification's example), then five times 4 */
    const uint8_t bytes[] = {0x03, 0x88, 0xc6, 0xfa, 0x0a, 0x04};
    uint32_t wide[13];
    uint8_t narrow[13];
    sl_pqr_rle rle;
    ck_assert(sl_pqr_rle_init(&rle, bytes, sizeof(bytes), 3));
    ck_assert_uint_eq(sl_pqr_rle_u32(&rle, 13, wide), 13);
    ck_assert(sl_pqr_rle_init(&rle, bytes, sizeof(bytes), 3));
    for (size_t i = 0; i < 13; i++) { /* one at a time gives the same */
        ck_assert_uint_eq(sl_pqr_rle_u8(&rle, 1, &narrow[i]), 1);
        ck_assert_uint_eq(wide[i], i < 8 ? i : 4);
        ck_assert_uint_eq(narrow[i], wide[i]);
    }
    ck_assert_uint_eq(sl_pqr_rle_u8(&rle, 1, narrow), 0);
    ck_assert(!sl_pqr_rle_init(&rle, bytes, sizeof(bytes), 33));
    ck_assert(sl_pqr_rle_init(&rle, bytes, 0, 0));
    ck_assert_uint_eq(sl_pqr_rle_u32(&rle, 13, wide), 13);
    ck_assert_uint_eq(wide[12], 0);
}
END_TEST

/* Every width, every step, against bits read one by one. */
START_TEST(rle_widths) {
    uint8_t bytes[400];
    uint32_t out[600];
    for (unsigned width = 1; width <= 32; width++) {
        for (size_t step = 1; step <= 64; step = step * 2 + 1) {
            unsigned groups = 390 / width;
            groups = groups > 63 ? 63 : groups;
            bytes[0] = (uint8_t)(groups << 1 | 1);
            for (size_t i = 1; i < sizeof(bytes); i++) {
                bytes[i] = (uint8_t)(i * 73 + width);
            }
            sl_pqr_rle rle;
            ck_assert(sl_pqr_rle_init(&rle, bytes, 1 + (size_t)groups * width, width));
            size_t n = 0;
            for (size_t got = 1; got > 0; n += got) {
                got = sl_pqr_rle_u32(&rle, step, out + n);
            }
            ck_assert_uint_eq(n, (size_t)groups * 8);
            for (size_t i = 0; i < n; i++) {
                uint32_t want = 0;
                for (unsigned bit = 0; bit < width; bit++) {
                    size_t at = i * width + bit;
                    want |= (uint32_t)(bytes[1 + at / 8] >> (at % 8) & 1) << bit;
                }
                ck_assert_uint_eq(out[i], want);
            }
        }
    }
}
END_TEST

START_TEST(rle_refuses) {
    uint8_t out[100];
    sl_pqr_rle rle;
    const uint8_t too_wide[] = {0x08, 0x09}; /* 4 times 9 in 3 bits */
    sl_pqr_rle_init(&rle, too_wide, sizeof(too_wide), 3);
    ck_assert_uint_eq(sl_pqr_rle_u8(&rle, 4, out), 0);
    const uint8_t cut[] = {0x03, 0xff}; /* 8 bits are there of 8 times 3 */
    sl_pqr_rle_init(&rle, cut, sizeof(cut), 3);
    ck_assert_uint_eq(sl_pqr_rle_u8(&rle, 8, out), 2);
    const uint8_t empty_runs[] = {0, 0, 1, 1, 0}; /* no progress must not mean no end */
    sl_pqr_rle_init(&rle, empty_runs, sizeof(empty_runs), 3);
    ck_assert_uint_eq(sl_pqr_rle_u8(&rle, 8, out), 0);
}
END_TEST

START_TEST(bit_packed_levels) {
    const uint8_t bytes[] = {0x05, 0x39, 0x77}; /* 0..7 in 3 bits, from the top: Encodings.md */
    uint8_t out[8];
    sl_pqr_rle rle;
    sl_pqr_rle_init_packed_levels(&rle, bytes, sizeof(bytes), 3);
    ck_assert_uint_eq(sl_pqr_rle_u8(&rle, 8, out), 8);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_eq(out[i], i);
    }
}
END_TEST

/* ---- delta ---- */

START_TEST(delta_example) {
    /* 7, 5, 3, 1, 2, 3, 4, 5: block 128, 4 miniblocks, minimum delta -2, widths 2 0 0 0 */
    const uint8_t bytes[] = {0x80, 0x01, 0x04, 0x08, 0x0e, 0x03, 0x02, 0, 0,
                             0,    0xc0, 0x3f, 0,    0,    0,    0,    0, 0};
    const int64_t want[] = {7, 5, 3, 1, 2, 3, 4, 5};
    int64_t out[9];
    sl_pqr_delta delta;
    ck_assert(sl_pqr_delta_init(&delta, bytes, sizeof(bytes)));
    ck_assert_ptr_eq(sl_pqr_delta_end(&delta), bytes + sizeof(bytes));
    ck_assert_uint_eq(sl_pqr_delta_read(&delta, 3, out), 3);
    ck_assert_uint_eq(sl_pqr_delta_read(&delta, 6, out + 3), 5);
    ck_assert_mem_eq(out, want, sizeof(want));
    for (size_t n = 0; n < sizeof(bytes); n++) {
        if (sl_pqr_delta_init(&delta, bytes, n)) {
            ck_assert_ptr_null(sl_pqr_delta_end(&delta));
            ck_assert_uint_le(sl_pqr_delta_read(&delta, 9, out), 1);
        }
    }
    const uint8_t no_miniblocks[] = {0x80, 0x01, 0x00, 0x08, 0x0e};
    ck_assert(!sl_pqr_delta_init(&delta, no_miniblocks, sizeof(no_miniblocks)));
    const uint8_t many[] = {0x80, 0x01, 0x04, 0xff, 0xff, 0xff, 0xff,
                            0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x0e};
    ck_assert(sl_pqr_delta_init(&delta, many, sizeof(many)));
    ck_assert_ptr_null(sl_pqr_delta_end(&delta));
}
END_TEST

/* ---- conversions and codecs ---- */

START_TEST(decimals) {
    uint8_t out[16];
    const uint8_t minus_two[20] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe};
    const uint8_t too_long[17] = {1};
    const uint8_t sign_lost[17] = {0, 0x80};
    for (size_t n = 1; n <= 20; n++) {
        ck_assert(sl_pqr_convert_decimal(minus_two + 20 - n, n, out));
        ck_assert_uint_eq(out[0], 0xfe);
        ck_assert_uint_eq(out[15], 0xff);
    }
    ck_assert(!sl_pqr_convert_decimal(minus_two, 0, out));
    ck_assert(!sl_pqr_convert_decimal(too_long, 17, out));
    ck_assert(!sl_pqr_convert_decimal(sign_lost, 17, out));
}
END_TEST

START_TEST(conversions_refuse) {
    uint8_t out[16];
    int32_t wide = 128;
    int64_t millis = INT64_MAX / 999;
    uint8_t int96[12] = {0};
    sl_pqr_node node = {.convert = SL_PQR_I32_I8};
    ck_assert_ptr_nonnull(sl_pqr_convert_values(&node, (uint8_t *)&wide, 1, out));
    node.convert = SL_PQR_I32_U8;
    ck_assert_ptr_null(sl_pqr_convert_values(&node, (uint8_t *)&wide, 1, out));
    node.convert = SL_PQR_MILLIS_MICROS;
    ck_assert_ptr_nonnull(sl_pqr_convert_values(&node, (uint8_t *)&millis, 1, out));
    node.convert = SL_PQR_INT96_MICROS;
    memset(int96 + 8, 0xff, 4); /* a day in the eleven millionth year */
    ck_assert_ptr_nonnull(sl_pqr_convert_values(&node, int96, 1, out));
    int64_t nanos = -1;
    int64_t micros;
    node.convert = SL_PQR_NANOS_MICROS;
    ck_assert_ptr_null(sl_pqr_convert_values(&node, (uint8_t *)&nanos, 1, out));
    memcpy(&micros, out, 8);
    ck_assert_int_eq(micros, -1); /* floored */
}
END_TEST

START_TEST(hadoop_lz4) {
    /* two blocks of stored literals: "abc" and "de" */
    const uint8_t bytes[] = {0, 0, 0, 3, 0, 0, 0, 4, 0x30, 'a', 'b', 'c',
                             0, 0, 0, 2, 0, 0, 0, 3, 0x20, 'd', 'e'};
    uint8_t out[5];
    void *zstd = NULL;
    bool no_memory;
    ck_assert(sl_pqr_decompress(SL_PARQUET_LZ4, bytes, sizeof(bytes), out, 5, &zstd, &no_memory));
    ck_assert_mem_eq(out, "abcde", 5);
    ck_assert(!sl_pqr_decompress(SL_PARQUET_LZ4, bytes, sizeof(bytes), out, 4, &zstd, &no_memory));
    ck_assert(sl_pqr_decompress(SL_PARQUET_LZ4, bytes + 8, 4, out, 3, &zstd, &no_memory));
    ck_assert(!sl_pqr_codec_plausible(SL_PARQUET_LZ4_RAW, bytes, 4, 1 << 20));
    ck_assert(!sl_pqr_codec_plausible(SL_PARQUET_UNCOMPRESSED, bytes, 4, 5));
    ck_assert(!sl_pqr_codec_plausible(SL_PARQUET_ZSTD, bytes, 8, 8));
}
END_TEST

/* ---- schemas ---- */

#define GROUP(name_, repetition_, n, converted_)                                                   \
    {                                                                                              \
        .name = {(const uint8_t *)(name_), sizeof(name_) - 1}, .type = -1,                         \
        .repetition = SL_PARQUET_##repetition_, .n_children = (n), .converted = (converted_)       \
    }
#define LEAF(name_, repetition_, type_)                                                            \
    {                                                                                              \
        .name = {(const uint8_t *)(name_), sizeof(name_) - 1}, .type = SL_PARQUET_##type_,         \
        .repetition = SL_PARQUET_##repetition_, .converted = -1                                    \
    }

static sl_error *build(sl_pqr_element *elements, size_t n, sl_pqr_schema *out) {
    sl_pqr_footer footer = {.elements = elements, .n_elements = n};
    return sl_pqr_schema_build(&footer, out);
}

static void expect_type(const sl_pqr_schema *schema, const char *want) {
    sl_buffer text = SL_BUFFER_INIT;
    ck_assert(sl_type_describe(&schema->arrow, &text));
    ck_assert_str_eq(sl_buffer_text(&text), want);
    sl_buffer_free(&text);
}

static void expect_schema(sl_pqr_element *elements, size_t n, const char *want) {
    sl_pqr_schema schema;
    ok(build(elements, n, &schema));
    expect_type(&schema, want);
    sl_pqr_schema_free(&schema);
}

/* The examples of LogicalTypes.md, "Backward-compatibility rules". */
START_TEST(list_forms) {
    sl_pqr_element three_levels[] = {
        GROUP("root", REQUIRED, 1, -1), GROUP("l", OPTIONAL, 1, SL_PARQUET_LIST),
        GROUP("list", REPEATED, 1, -1), LEAF("element", OPTIONAL, INT32)};
    expect_schema(three_levels, 4, "struct<l:array<integer>>");
    sl_pqr_element repeated_leaf[] = {GROUP("root", REQUIRED, 1, -1),
                                      GROUP("l", OPTIONAL, 1, SL_PARQUET_LIST),
                                      LEAF("element", REPEATED, INT32)};
    expect_schema(repeated_leaf, 3, "struct<l:array<integer>>");
    sl_pqr_element two_fields[] = {
        GROUP("root", REQUIRED, 1, -1), GROUP("l", OPTIONAL, 1, SL_PARQUET_LIST),
        GROUP("element", REPEATED, 2, -1), LEAF("a", REQUIRED, INT32), LEAF("b", REQUIRED, INT64)};
    expect_schema(two_fields, 5, "struct<l:array<struct<a:integer,b:long>>>");
    sl_pqr_element array[] = {GROUP("root", REQUIRED, 1, -1),
                              GROUP("l", OPTIONAL, 1, SL_PARQUET_LIST),
                              GROUP("array", REPEATED, 1, -1), LEAF("a", REQUIRED, INT32)};
    expect_schema(array, 4, "struct<l:array<struct<a:integer>>>");
    sl_pqr_element tuple[] = {GROUP("root", REQUIRED, 1, -1),
                              GROUP("l", OPTIONAL, 1, SL_PARQUET_LIST),
                              GROUP("l_tuple", REPEATED, 1, -1), LEAF("a", REQUIRED, INT32)};
    expect_schema(tuple, 4, "struct<l:array<struct<a:integer>>>");
    sl_pqr_element bare[] = {GROUP("root", REQUIRED, 2, -1), LEAF("i", REPEATED, INT32),
                             GROUP("g", REPEATED, 1, -1), LEAF("a", OPTIONAL, DOUBLE)};
    expect_schema(bare, 4, "struct<i:array<integer>,g:array<struct<a:double>>>");
    sl_pqr_element map[] = {GROUP("root", REQUIRED, 1, -1),
                            GROUP("m", OPTIONAL, 1, SL_PARQUET_MAP_KEY_VALUE),
                            GROUP("map", REPEATED, 2, -1), LEAF("k", REQUIRED, BYTE_ARRAY),
                            LEAF("v", OPTIONAL, BOOLEAN)};
    expect_schema(map, 5, "struct<m:map<binary,boolean>>");
    sl_pqr_element lists[] = {
        GROUP("root", REQUIRED, 1, -1), GROUP("l", OPTIONAL, 1, SL_PARQUET_LIST),
        GROUP("array", REPEATED, 1, SL_PARQUET_LIST), LEAF("array", REPEATED, INT32)};
    expect_schema(lists, 4, "struct<l:array<array<integer>>>");
}
END_TEST

START_TEST(levels) {
    sl_pqr_element elements[] = {GROUP("root", REQUIRED, 1, -1),
                                 GROUP("l", OPTIONAL, 1, SL_PARQUET_LIST),
                                 GROUP("list", REPEATED, 1, -1), GROUP("element", OPTIONAL, 1, -1),
                                 LEAF("x", REQUIRED, INT32)};
    sl_pqr_schema schema;
    ok(build(elements, 5, &schema));
    ck_assert_uint_eq(schema.n_leaves, 1);
    const sl_pqr_node *leaf = schema.leaves[0];
    ck_assert_str_eq(leaf->path, "l.list.element.x");
    ck_assert_uint_eq(leaf->def_level, 3);
    ck_assert_uint_eq(leaf->rep_level, 1);
    ck_assert_uint_eq(leaf->list_def, 2);
    sl_pqr_schema_free(&schema);
}
END_TEST

START_TEST(bad_schemas) {
    sl_pqr_schema schema;
    sl_pqr_element missing[] = {GROUP("root", REQUIRED, 2, -1), LEAF("a", REQUIRED, INT32)};
    fails(build(missing, 2, &schema), SL_ERROR_CORRUPT, "fewer children");
    sl_pqr_element extra[] = {GROUP("root", REQUIRED, 1, -1), LEAF("a", REQUIRED, INT32),
                              LEAF("b", REQUIRED, INT32)};
    fails(build(extra, 3, &schema), SL_ERROR_CORRUPT, "more elements");
    sl_pqr_element empty[] = {GROUP("root", REQUIRED, 1, -1), GROUP("g", REQUIRED, 0, -1)};
    fails(build(empty, 2, &schema), SL_ERROR_CORRUPT, "a group has no children");
    sl_pqr_element fixed[] = {GROUP("root", REQUIRED, 1, -1),
                              LEAF("f", REQUIRED, FIXED_LEN_BYTE_ARRAY)};
    fails(build(fixed, 2, &schema), SL_ERROR_CORRUPT, "FIXED_LEN_BYTE_ARRAY of 0 bytes");
    sl_pqr_element decimal[] = {GROUP("root", REQUIRED, 1, -1), LEAF("d", REQUIRED, BYTE_ARRAY)};
    decimal[1].converted = SL_PARQUET_DECIMAL;
    decimal[1].precision = 39;
    fails(build(decimal, 2, &schema), SL_ERROR_UNSUPPORTED, "a decimal of 39 digits");
    sl_pqr_element deep[100];
    for (size_t i = 0; i < 100; i++) {
        deep[i] = (sl_pqr_element)GROUP("g", REPEATED, 1, -1);
    }
    deep[99] = (sl_pqr_element)LEAF("x", REPEATED, INT32);
    fails(build(deep, 100, &schema), SL_ERROR_UNSUPPORTED, "nested deeper than 64 levels");
}
END_TEST

/* ---- whole files, made by our own writer ---- */

static sl_error *into_buffer(void *arg, const void *data, size_t bytes) {
    return sl_buffer_append(arg, data, bytes) ? NULL : sl_error_no_memory();
}

/* struct<n: long, s: string, l: array<struct<x: integer>>> */
static struct ArrowSchema sample_schema(void) {
    struct ArrowSchema schema;
    ok(sl_schema_new_struct(3, &schema));
    ok(sl_schema_set_field(&schema, 0, "n", "l", false, 0));
    ok(sl_schema_set_field(&schema, 1, "s", "u", true, 0));
    ok(sl_schema_set_field(&schema, 2, "l", "+l", true, 1));
    ok(sl_schema_set_field(schema.children[2], 0, "element", "+s", true, 1));
    ok(sl_schema_set_field(schema.children[2]->children[0], 0, "x", "i", true, 0));
    return schema;
}

static void append_sample(sl_builder *b, int64_t i) {
    sl_builder *list = &b->children[2];
    sl_builder *element = &list->children[0];
    char text[32];
    size_t bytes = (size_t)snprintf(text, sizeof(text), "text %d", (int)(i % 20));
    ck_assert(sl_builder_append_i64(&b->children[0], i));
    ck_assert(i % 3 == 0 ? sl_builder_append_null(&b->children[1])
                         : sl_builder_append_bytes(&b->children[1], text, bytes));
    for (int64_t k = 0; k < i % 4; k++) {
        if (k == 2) {
            ck_assert(sl_builder_append_null(element));
        } else {
            ck_assert(sl_builder_append_i64(&element->children[0], i * 10 + k));
            ck_assert(sl_builder_append_struct(element));
        }
    }
    ck_assert(i % 7 == 4 ? sl_builder_append_null(list) : sl_builder_append_list(list));
    ck_assert(sl_builder_append_struct(b));
}

/* The file's bytes in `file`; the rows in `rows`. */
static void write_sample(int64_t n, int page_version, sl_parquet_codec codec, sl_buffer *file,
                         struct ArrowSchema *schema, struct ArrowArray *rows) {
    sl_builder builder;
    *schema = sample_schema();
    ok(sl_builder_init(&builder, schema));
    for (int64_t i = 0; i < n; i++) {
        append_sample(&builder, i);
    }
    ok(sl_builder_finish(&builder, rows));
    sl_builder_free(&builder);
    sl_parquet_writer_options options = sl_parquet_writer_defaults();
    options.codec = codec;
    options.page_version = page_version;
    options.page_bytes = 4096;
    sl_parquet_writer *writer;
    ok(sl_parquet_writer_new(schema, &options, into_buffer, file, &writer));
    ok(sl_parquet_writer_append(writer, rows, 0, n));
    ok(sl_parquet_writer_finish(writer, NULL));
    sl_parquet_writer_free(writer);
}

static void append_lines(const struct ArrowSchema *schema, const struct ArrowArray *rows,
                         sl_buffer *out) {
    for (int64_t i = 0; i < rows->length; i++) {
        ck_assert(sl_array_append_json(schema, rows, i, out));
        ck_assert(sl_buffer_append_byte(out, '\n'));
    }
}

/* Reads all of a file; the rows as text in `out` (may be NULL). */
static sl_error *read_all(const uint8_t *data, size_t bytes, int64_t max_rows, sl_buffer *out) {
    sl_parquet_input input = {.name = "sample", .file_bytes = (int64_t)bytes, .memory = data};
    sl_parquet_scan_options options = {.max_rows = max_rows};
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
        ok(sl_array_check(sl_parquet_scan_schema(scan), &batch));
        if (out != NULL) {
            append_lines(sl_parquet_scan_schema(scan), &batch, out);
        }
        batch.release(&batch);
    }
    sl_parquet_scan_close(scan);
    sl_parquet_reader_close(reader);
    return error;
}

START_TEST(round_trip) {
    const sl_parquet_codec codecs[] = {SL_PARQUET_UNCOMPRESSED, SL_PARQUET_SNAPPY, SL_PARQUET_ZSTD,
                                       SL_PARQUET_LZ4_RAW};
    sl_buffer file = SL_BUFFER_INIT;
    sl_buffer want = SL_BUFFER_INIT;
    sl_buffer got = SL_BUFFER_INIT;
    struct ArrowSchema schema;
    struct ArrowArray rows;
    write_sample(5000, 1 + _i % 2, codecs[_i / 2], &file, &schema, &rows);
    append_lines(&schema, &rows, &want);
    ok(read_all(file.data, file.bytes, 333, &got));
    ck_assert_uint_eq(got.bytes, want.bytes);
    ck_assert_mem_eq(got.data, want.data, want.bytes);
    rows.release(&rows);
    schema.release(&schema);
    sl_buffer_free(&file);
    sl_buffer_free(&want);
    sl_buffer_free(&got);
}
END_TEST

/* Each byte of a file flipped, and the file cut at each length: an error or rows, never a crash. */
START_TEST(damaged_files) {
    sl_buffer file = SL_BUFFER_INIT;
    struct ArrowSchema schema;
    struct ArrowArray rows;
    write_sample(100, 1 + _i, SL_PARQUET_UNCOMPRESSED, &file, &schema, &rows);
    for (size_t n = 0; n < file.bytes; n++) {
        uint8_t *cut = malloc(n == 0 ? 1 : n); /* its own block, so that over-reads show */
        memcpy(cut, file.data, n);
        sl_error *error = read_all(cut, n, 0, NULL);
        ck_assert_ptr_nonnull(error);
        sl_error_free(error);
        free(cut);
    }
    uint8_t *copy = malloc(file.bytes);
    for (size_t i = 0; i < file.bytes; i++) {
        for (unsigned flip = 1; flip < 256; flip = flip * 4 + 3) {
            memcpy(copy, file.data, file.bytes);
            copy[i] ^= (uint8_t)flip;
            sl_error_free(read_all(copy, file.bytes, 0, NULL));
        }
    }
    free(copy);
    rows.release(&rows);
    schema.release(&schema);
    sl_buffer_free(&file);
}
END_TEST

START_TEST(no_parquet_at_all) {
    const uint8_t text[] = "this is a text and no Parquet file";
    uint8_t encrypted[64] = "PARE";
    uint8_t footer[64] = "PAR1";
    memcpy(encrypted + 60, "PARE", 4);
    memcpy(footer + 60, "PAR1", 4);
    footer[56] = 200;
    fails(read_all(text, 0, 0, NULL), SL_ERROR_CORRUPT, "0 bytes are too few");
    fails(read_all(text, 11, 0, NULL), SL_ERROR_CORRUPT, "11 bytes are too few");
    fails(read_all(text, sizeof(text), 0, NULL), SL_ERROR_CORRUPT, "are not \"PAR1\"");
    fails(read_all(encrypted, 64, 0, NULL), SL_ERROR_UNSUPPORTED, "its footer is encrypted");
    fails(read_all(footer, 64, 0, NULL), SL_ERROR_CORRUPT, "a footer of 200 bytes in a file of 64");
}
END_TEST

/* A store of one object that counts what is asked of it. */
typedef struct one_file_store {
    sl_store store;
    sl_buffer file;
    int gets;
    bool fail;
} one_file_store;

static sl_error *get_file(sl_store *store, const char *path, int64_t offset, int64_t length,
                          sl_store_bytes *out) {
    one_file_store *self = (one_file_store *)store;
    (void)path;
    if (self->fail && self->gets > 0) {
        return sl_error_new(SL_ERROR_RETRIABLE, "the network is down");
    }
    self->gets++;
    *out = (sl_store_bytes){self->file.data + offset, (size_t)length, NULL};
    return NULL;
}

static sl_error *stat_file(sl_store *store, const char *path, sl_store_entry *out) {
    *out = (sl_store_entry){path, (int64_t)((one_file_store *)store)->file.bytes, 0};
    return NULL;
}

START_TEST(reads_of_a_store) {
    static const sl_store_ops ops = {.get = get_file, .stat = stat_file};
    one_file_store store = {.store = {&ops}};
    struct ArrowSchema schema;
    struct ArrowArray rows;
    struct ArrowArray batch;
    sl_parquet_reader *reader;
    sl_parquet_scan *scan;
    write_sample(100000, 1, SL_PARQUET_UNCOMPRESSED, &store.file, &schema, &rows);
    ck_assert_uint_gt(store.file.bytes, 256 * 1024);
    ok(sl_parquet_reader_open_store(&store.store, "f.parquet", -1, NULL, &reader));
    ck_assert_int_eq(store.gets, 1); /* the tail */
    ck_assert_int_eq(sl_parquet_reader_rows(reader), 100000);
    sl_parquet_scan_options options = {.max_rows = 1000};
    ok(sl_parquet_scan_open(reader, &options, &scan));
    ok(sl_parquet_scan_next(scan, &batch));
    ck_assert_int_eq(batch.length, 1000);
    ck_assert_int_eq(store.gets, 2); /* the chosen columns lie close together: one read */
    batch.release(&batch);
    sl_parquet_scan_close(scan);
    ok(sl_parquet_scan_open(reader, &options, &scan));
    store.fail = true;
    fails(sl_parquet_scan_next(scan, &batch), SL_ERROR_RETRIABLE, "the network is down");
    fails(sl_parquet_scan_next(scan, &batch), SL_ERROR_FATAL, "has failed before");
    sl_parquet_scan_close(scan);
    sl_parquet_reader_close(reader);
    rows.release(&rows);
    schema.release(&schema);
    sl_buffer_free(&store.file);
}
END_TEST

START_TEST(batches_are_bounded) {
    sl_buffer file = SL_BUFFER_INIT;
    struct ArrowSchema schema;
    struct ArrowArray rows;
    struct ArrowArray batch;
    sl_parquet_reader *reader;
    sl_parquet_scan *scan;
    write_sample(5000, 1, SL_PARQUET_ZSTD, &file, &schema, &rows);
    sl_parquet_input input = {
        .name = "sample", .file_bytes = (int64_t)file.bytes, .memory = file.data};
    sl_parquet_reader_options options = {.max_batch_bytes = 1000};
    ok(sl_parquet_reader_open(&input, &options, &reader));
    ok(sl_parquet_scan_open(reader, NULL, &scan));
    fails(sl_parquet_scan_next(scan, &batch), SL_ERROR_UNSUPPORTED, "more than the 1000 bytes");
    sl_parquet_scan_close(scan);
    sl_parquet_reader_close(reader);
    rows.release(&rows);
    schema.release(&schema);
    sl_buffer_free(&file);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("parquet_reader");
    TCase *cases = tcase_create("parquet_reader");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, thrift_fields);
    tcase_add_test(cases, thrift_refuses);
    tcase_add_test(cases, rle_runs);
    tcase_add_test(cases, rle_widths);
    tcase_add_test(cases, rle_refuses);
    tcase_add_test(cases, bit_packed_levels);
    tcase_add_test(cases, delta_example);
    tcase_add_test(cases, decimals);
    tcase_add_test(cases, conversions_refuse);
    tcase_add_test(cases, hadoop_lz4);
    tcase_add_test(cases, list_forms);
    tcase_add_test(cases, levels);
    tcase_add_test(cases, bad_schemas);
    tcase_add_loop_test(cases, round_trip, 0, 8);
    tcase_add_loop_test(cases, damaged_files, 0, 2);
    tcase_add_test(cases, no_parquet_at_all);
    tcase_add_test(cases, reads_of_a_store);
    tcase_add_test(cases, batches_are_bounded);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
