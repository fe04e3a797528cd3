/* lib/columns: schemas, paths, builders, copies, checks, JSON text. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "columns/columns.h"
#include "columns/raw.h"

static void ok(sl_error *error) {
    if (error != NULL) {
        ck_abort_msg("%s", sl_error_message(error));
    }
}

static void fails(sl_error *error, sl_error_class error_class, const char *message) {
    ck_assert_ptr_nonnull(error);
    ck_assert_int_eq(sl_error_get_class(error), error_class);
    ck_assert_str_eq(sl_error_message(error), message);
    sl_error_free(error);
}

/* struct<id: long, ok: boolean, name: string, amount: decimal(12,2), tags: array<string>,
 * session: struct<duration_ms: integer, x.y: double>> */
static struct ArrowSchema event_schema(void) {
    struct ArrowSchema schema;
    ok(sl_schema_new_struct(6, &schema));
    ok(sl_schema_set_field(&schema, 0, "id", "l", false, 0));
    ok(sl_schema_set_field(&schema, 1, "ok", "b", true, 0));
    ok(sl_schema_set_field(&schema, 2, "name", "u", true, 0));
    ok(sl_schema_set_field(&schema, 3, "amount", "d:12,2", true, 0));
    ok(sl_schema_set_field(&schema, 4, "tags", "+l", true, 1));
    ok(sl_schema_set_field(schema.children[4], 0, "element", "u", true, 0));
    ok(sl_schema_set_field(&schema, 5, "session", "+s", true, 2));
    ok(sl_schema_set_field(schema.children[5], 0, "duration_ms", "i", true, 0));
    ok(sl_schema_set_field(schema.children[5], 1, "x.y", "g", true, 0));
    return schema;
}

static void append_event(sl_builder *b, int64_t i) {
    sl_builder *c = b->children;
    ck_assert(sl_builder_append_i64(&c[0], i));
    ck_assert(i % 3 == 0 ? sl_builder_append_null(&c[1]) : sl_builder_append_bool(&c[1], i % 2));
    char text[32];
    int n = snprintf(text, sizeof(text), "name-%d", (int)i);
    ck_assert(i % 7 == 6 ? sl_builder_append_null(&c[2])
                         : sl_builder_append_bytes(&c[2], text, (size_t)n));
    sl_i128 cents = (sl_i128)i * 101 - 5;
    ck_assert(sl_builder_append_bytes(&c[3], &cents, 16));
    for (int64_t t = 0; t < i % 4; t++) {
        ck_assert(sl_builder_append_bytes(&c[4].children[0], "tag", (size_t)t));
    }
    ck_assert(i % 5 == 4 ? sl_builder_append_null(&c[4]) : sl_builder_append_list(&c[4]));
    if (i % 6 == 5) {
        ck_assert(sl_builder_append_null(&c[5]));
    } else {
        ck_assert(sl_builder_append_i64(&c[5].children[0], -i));
        ck_assert(sl_builder_append_double(&c[5].children[1], (double)i / 10));
        ck_assert(sl_builder_append_struct(&c[5]));
    }
    ck_assert(sl_builder_append_struct(b));
}

static struct ArrowArray events(const struct ArrowSchema *schema, int64_t n) {
    sl_builder builder;
    ok(sl_builder_init(&builder, schema));
    for (int64_t i = 0; i < n; i++) {
        append_event(&builder, i);
    }
    struct ArrowArray array;
    ok(sl_builder_finish(&builder, &array));
    sl_builder_free(&builder);
    return array;
}

static char *row_text(const struct ArrowSchema *schema, const struct ArrowArray *array,
                      int64_t row) {
    sl_buffer buffer = SL_BUFFER_INIT;
    ck_assert(sl_array_append_json(schema, array, row, &buffer));
    ck_assert_uint_le(buffer.bytes, sl_array_json_bound(schema, array));
    ck_assert_ptr_nonnull(sl_buffer_text(&buffer));
    size_t bytes;
    return (char *)sl_buffer_take(&buffer, &bytes);
}

static void check_same_row(const struct ArrowSchema *schema, const struct ArrowArray *a, int64_t i,
                           const struct ArrowArray *b, int64_t j) {
    char *x = row_text(schema, a, i);
    char *y = row_text(schema, b, j);
    ck_assert_str_eq(x, y);
    free(x);
    free(y);
}

START_TEST(types) {
    sl_type type;
    ck_assert(sl_type_parse("d:38,10", &type));
    ck_assert_int_eq(type.precision, 38);
    ck_assert_int_eq(type.scale, 10);
    ck_assert(sl_type_parse("d:5,0,128", &type));
    ck_assert(sl_type_parse("w:16", &type));
    ck_assert_int_eq(type.width_bytes, 16);
    static const char *const bad[] = {"",        "d:39,0",     "d:5,6", "d:5", "d:5,1,256",
                                      "w:0",     "w:-1",       "+L",    "U",   "n",
                                      "tsm:UTC", "tsu:+01:00", "+s:12", "x"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(bad); i++) {
        ck_assert_msg(!sl_type_parse(bad[i], &type), "%s", bad[i]);
    }
    struct ArrowSchema schema = event_schema();
    sl_buffer text = SL_BUFFER_INIT;
    ck_assert(sl_type_describe(&schema, &text));
    ck_assert_str_eq(sl_buffer_text(&text),
                     "struct<id:long,ok:boolean,name:string,amount:decimal(12,2),"
                     "tags:array<string>,session:struct<duration_ms:integer,x.y:double>>");
    sl_buffer_free(&text);
    schema.release(&schema);
    ck_assert_ptr_null(schema.release);
}
END_TEST

START_TEST(schemas_copy_and_compare) {
    struct ArrowSchema schema = event_schema();
    const char *keys[] = {"key", "empty"};
    const char *values[] = {"window_start,country", ""};
    ok(sl_schema_set_metadata(&schema, keys, values, 2));
    struct ArrowSchema copy;
    ok(sl_schema_copy(&schema, &copy));
    ck_assert(sl_schema_equal(&schema, &copy));
    size_t bytes;
    const char *value = sl_schema_metadata(&copy, "key", &bytes);
    ck_assert_uint_eq(bytes, 20);
    ck_assert_int_eq(memcmp(value, "window_start,country", 20), 0);
    ck_assert_ptr_nonnull(sl_schema_metadata(&copy, "empty", &bytes));
    ck_assert_uint_eq(bytes, 0);
    ck_assert_ptr_null(sl_schema_metadata(&copy, "absent", &bytes));
    /* a consumer may move a child out */
    struct ArrowSchema moved = *copy.children[5];
    copy.children[5]->release = NULL;
    copy.release(&copy);
    ck_assert_str_eq(moved.children[1]->name, "x.y");
    moved.release(&moved);
    ok(sl_schema_copy(&schema, &copy));
    ok(sl_schema_set_field(&copy, 5, "session", "+s", false, 0));
    ck_assert(!sl_schema_equal(&schema, &copy));
    copy.release(&copy);
    schema.release(&schema);
}
END_TEST

START_TEST(paths_resolve) {
    struct ArrowSchema schema = event_schema();
    int64_t path[4];
    size_t n;
    ok(sl_schema_resolve(&schema, "session.duration_ms", path, 4, &n));
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(path[0], 5);
    ck_assert_int_eq(path[1], 0);
    ok(sl_schema_resolve(&schema, "session.`x.y`", path, 4, &n));
    ck_assert_int_eq(path[1], 1);
    fails(sl_schema_resolve(&schema, "sesion.duration_ms", path, 4, &n), SL_ERROR_CONFIG,
          "column \"sesion.duration_ms\": there is no \"sesion\" in the input (did you mean "
          "\"session\"?); it has id, ok, name, amount, tags, session");
    fails(sl_schema_resolve(&schema, "name.x", path, 4, &n), SL_ERROR_CONFIG,
          "column \"name.x\": \"name\" is of type string, which has no fields; write a name that "
          "holds a dot in back quotes");
    fails(sl_schema_resolve(&schema, "id.", path, 4, &n), SL_ERROR_CONFIG,
          "column \"id.\": \"id\" is of type long, which has no fields; write a name that holds a "
          "dot in back quotes");
    fails(sl_schema_resolve(&schema, "session.duration_ms", path, 1, &n), SL_ERROR_CONFIG,
          "column \"session.duration_ms\": deeper than 1 structs");
    fails(sl_schema_resolve(&schema, "", path, 4, &n), SL_ERROR_CONFIG,
          "column path \"\": a name between dots is empty");
    sl_error *error = sl_schema_resolve(&schema, "`open", path, 4, &n);
    ck_assert_ptr_nonnull(error);
    sl_error_free(error);
    schema.release(&schema);
}
END_TEST

START_TEST(rows_as_json) {
    struct ArrowSchema schema = event_schema();
    struct ArrowArray array = events(&schema, 10);
    ok(sl_array_check(&schema, &array));
    char *text = row_text(&schema, &array, 0);
    ck_assert_str_eq(text, "{\"id\":0,\"ok\":null,\"name\":\"name-0\",\"amount\":-0.05,"
                           "\"tags\":[],\"session\":{\"duration_ms\":0,\"x.y\":0}}");
    free(text);
    text = row_text(&schema, &array, 7);
    ck_assert_str_eq(text, "{\"id\":7,\"ok\":true,\"name\":\"name-7\",\"amount\":7.02,"
                           "\"tags\":[\"\",\"t\",\"ta\"],\"session\":{\"duration_ms\":-7,"
                           "\"x.y\":0.7}}");
    free(text);
    text = row_text(&schema, &array, 5);
    ck_assert_ptr_nonnull(strstr(text, "\"session\":null"));
    free(text);
    array.release(&array);
    ck_assert_ptr_null(array.release);
    schema.release(&schema);
}
END_TEST

START_TEST(special_values_as_json) {
    static const struct {
        const char *format;
        int64_t value;
        const char *text;
    } cases[] = {{"tsu:UTC", 0, "\"1970-01-01T00:00:00Z\""},
                 {"tsu:UTC", -1, "\"1969-12-31T23:59:59.999999Z\""},
                 {"tsu:", INT64_C(1709164800123000), "\"2024-02-29T00:00:00.123\""},
                 {"tdD", -719162, "\"0001-01-01\""},
                 {"tdD", 2932896, "\"9999-12-31\""},
                 {"c", -128, "-128"},
                 {"C", 255, "255"},
                 {"S", 65535, "65535"},
                 {"L", -1, "18446744073709551615"},
                 {"I", 4294967295, "4294967295"}};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(cases); i++) {
        struct ArrowSchema schema;
        ok(sl_schema_new_struct(1, &schema));
        ok(sl_schema_set_field(&schema, 0, "x", cases[i].format, true, 0));
        sl_builder builder;
        ok(sl_builder_init(&builder, schema.children[0]));
        ck_assert(sl_builder_append_i64(&builder, cases[i].value));
        struct ArrowArray array;
        ok(sl_builder_finish(&builder, &array));
        char *text = row_text(schema.children[0], &array, 0);
        ck_assert_str_eq(text, cases[i].text);
        free(text);
        array.release(&array);
        sl_builder_free(&builder);
        schema.release(&schema);
    }
}
END_TEST

START_TEST(copies_and_takes_agree) {
    struct ArrowSchema schema = event_schema();
    struct ArrowArray array = events(&schema, 1000);
    struct ArrowArray part;
    ok(sl_array_copy(&schema, &array, 333, 400, &part));
    ok(sl_array_check(&schema, &part));
    ck_assert_int_eq(part.length, 400);
    for (int64_t i = 0; i < 400; i++) {
        check_same_row(&schema, &part, i, &array, 333 + i);
    }
    int32_t indexes[300];
    for (int32_t i = 0; i < 300; i++) {
        indexes[i] = (i * 271) % 400;
    }
    /* a view with an offset at the top: what is taken is relative to it */
    struct ArrowArray view = part;
    view.offset = 100;
    view.length = 300;
    struct ArrowArray taken;
    for (int32_t i = 0; i < 300; i++) {
        indexes[i] %= 300;
    }
    ok(sl_array_take(&schema, &view, indexes, 300, &taken));
    ok(sl_array_check(&schema, &taken));
    for (int64_t i = 0; i < 300; i++) {
        check_same_row(&schema, &taken, i, &array, 433 + indexes[i]);
    }
    ck_assert_uint_gt(sl_array_bytes(&schema, &array), sl_array_bytes(&schema, &part));
    taken.release(&taken);
    part.release(&part);
    array.release(&array);
    schema.release(&schema);
}
END_TEST

START_TEST(truncate_undoes_rows) {
    struct ArrowSchema schema = event_schema();
    sl_builder builder;
    ok(sl_builder_init(&builder, &schema));
    struct ArrowArray whole = events(&schema, 200);
    for (int round = 0; round < 3; round++) {
        for (int64_t i = builder.length; i < 200; i++) {
            append_event(&builder, i);
        }
        sl_builder_truncate(&builder, 150 - round * 50);
        /* half a row: some children are one ahead */
        ck_assert(sl_builder_append_i64(&builder.children[0], 1));
        ck_assert(sl_builder_append_null(&builder.children[2]));
        ck_assert(sl_builder_append_bytes(&builder.children[4].children[0], "x", 1));
        sl_builder_truncate(&builder, builder.length);
    }
    for (int64_t i = builder.length; i < 200; i++) {
        append_event(&builder, i);
    }
    struct ArrowArray array;
    ok(sl_builder_finish(&builder, &array));
    ok(sl_array_check(&schema, &array));
    for (int64_t i = 0; i < 200; i++) {
        check_same_row(&schema, &array, i, &whole, i);
    }
    ck_assert_int_eq(array.children[1]->null_count, whole.children[1]->null_count);
    sl_builder_truncate(&builder, 0);
    struct ArrowArray none;
    ok(sl_builder_finish(&builder, &none));
    ok(sl_array_check(&schema, &none));
    ck_assert_int_eq(none.length, 0);
    none.release(&none);
    ok(sl_array_empty(&schema, &none));
    ok(sl_array_check(&schema, &none));
    none.release(&none);
    array.release(&array);
    whole.release(&whole);
    sl_builder_free(&builder);
    schema.release(&schema);
}
END_TEST

START_TEST(no_validity_without_nulls) {
    struct ArrowSchema schema = event_schema();
    struct ArrowArray array = events(&schema, 3);
    ck_assert_ptr_null(array.buffers[0]);
    ck_assert_ptr_null(array.children[0]->buffers[0]);
    ck_assert_ptr_nonnull(array.children[1]->buffers[0]);
    ck_assert_int_eq(array.children[1]->null_count, 1);
    array.release(&array);
    schema.release(&schema);
}
END_TEST

/* Repeated values are what as many single ones are, also behind nulls and behind nothing. */
START_TEST(repeated_values) {
    static const char *const formats[] = {"i", "l", "u", "z"};
    for (size_t f = 0; f < SL_ARRAY_LENGTH(formats); f++) {
        for (int64_t n = 0; n < 70; n++) {
            struct ArrowSchema schema;
            struct ArrowArray arrays[2];
            sl_buffer bytes[2] = {SL_BUFFER_INIT, SL_BUFFER_INIT};
            ok(sl_schema_new_struct(1, &schema));
            ok(sl_schema_set_field(&schema, 0, "x", formats[f], true, 0));
            for (int way = 0; way < 2; way++) {
                sl_builder b;
                ok(sl_builder_init(&b, &schema));
                sl_builder *column = &b.children[0];
                ck_assert(n % 3 != 1 || sl_builder_append_null(column));
                const char *text = n % 5 == 0 ? "" : "events";
                for (int64_t i = 0; way == 0 && i < n; i++) {
                    ck_assert(f < 2 ? sl_builder_append_i64(column, -n)
                                    : sl_builder_append_bytes(column, text, strlen(text)));
                }
                ck_assert(way == 0 ||
                          (f < 2 ? sl_builder_repeat_i64(column, -n, n)
                                 : sl_builder_repeat_bytes(column, text, strlen(text), n)));
                while (b.length < column->length) {
                    ck_assert(sl_builder_append_struct(&b));
                }
                ok(sl_builder_finish(&b, &arrays[way]));
                ok(sl_array_check(&schema, &arrays[way]));
                ok(sl_array_write(&schema, &arrays[way], &bytes[way]));
                arrays[way].release(&arrays[way]);
                sl_builder_free(&b);
            }
            ck_assert_uint_eq(bytes[0].bytes, bytes[1].bytes);
            ck_assert_int_eq(memcmp(bytes[0].data, bytes[1].data, bytes[0].bytes), 0);
            sl_buffer_free(&bytes[0]);
            sl_buffer_free(&bytes[1]);
            schema.release(&schema);
        }
    }
}
END_TEST

START_TEST(bad_arrays_are_refused) {
    struct ArrowSchema schema = event_schema();
    struct ArrowArray array = events(&schema, 10);
    int32_t *offsets = (int32_t *)(uintptr_t)array.children[2]->buffers[1];
    int32_t kept = offsets[5];
    offsets[5] = 10000;
    fails(sl_array_check(&schema, &array), SL_ERROR_CONFIG,
          "Arrow array of field \"name\" (type \"u\"): offsets are negative or descend");
    offsets[5] = kept;
    array.children[0]->length = 9;
    fails(sl_array_check(&schema, &array), SL_ERROR_CONFIG,
          "Arrow array of field \"\" (type \"+s\"): a child is shorter than its parent needs");
    array.children[0]->length = 10;
    array.children[0]->null_count = 1;
    fails(sl_array_check(&schema, &array), SL_ERROR_CONFIG,
          "Arrow array of field \"id\" (type \"l\"): null_count does not fit its length and "
          "validity bitmap");
    array.release(&array);
    schema.release(&schema);
}
END_TEST

START_TEST(bytes_round_trip) {
    struct ArrowSchema schema = event_schema();
    for (int64_t n = 0; n < 300; n = n * 3 + 1) {
        struct ArrowArray array = events(&schema, n);
        sl_buffer bytes = SL_BUFFER_INIT;
        ok(sl_array_write(&schema, &array, &bytes));
        struct ArrowArray back;
        ok(sl_array_read(&schema, bytes.data, bytes.bytes, &back));
        ck_assert_int_eq(back.length, n);
        ck_assert_int_eq(back.children[1]->null_count, array.children[1]->null_count);
        for (int64_t i = 0; i < n; i++) {
            check_same_row(&schema, &back, i, &array, i);
        }
        back.release(&back);
        for (size_t cut = 0; cut < bytes.bytes; cut++) { /* exact copies: ASan sees overreads */
            uint8_t *shorter = malloc(cut + 1);
            memcpy(shorter, bytes.data, cut);
            shorter = realloc(shorter, cut == 0 ? 1 : cut);
            sl_error *error = sl_array_read(&schema, shorter, cut, &back);
            ck_assert(sl_error_is(error, SL_ERROR_CORRUPT));
            sl_error_free(error);
            free(shorter);
        }
        uint8_t version = bytes.data[0];
        bytes.data[0] = 99;
        sl_error *unread = sl_array_read(&schema, bytes.data, bytes.bytes, &back);
        ck_assert_str_eq(sl_error_message(unread),
                         "the block of rows has format version 99, this sluice reads version 1; "
                         "run the sluice that wrote it, or a newer one");
        sl_error_free(unread);
        bytes.data[0] = version;
        uint32_t seed = 7;
        for (int round = 0; round < 500; round++) {
            seed = seed * 1664525 + 1013904223;
            size_t place = (seed >> 8) % bytes.bytes;
            uint8_t kept = bytes.data[place];
            bytes.data[place] = (uint8_t)(seed >> 3);
            sl_error *error = sl_array_read(&schema, bytes.data, bytes.bytes, &back);
            if (error == NULL) {
                back.release(&back);
            }
            sl_error_free(error);
            bytes.data[place] = kept;
        }
        sl_buffer_free(&bytes);
        array.release(&array);
    }
    schema.release(&schema);
}
END_TEST

START_TEST(reserve_refuses_too_much) {
    struct ArrowSchema schema = event_schema();
    sl_builder builder;
    ok(sl_builder_init(&builder, schema.children[2]));
    sl_error *error = sl_builder_reserve(&builder, 1, (size_t)INT32_MAX + 1);
    ck_assert(sl_error_is(error, SL_ERROR_FATAL));
    sl_error_free(error);
    ok(sl_builder_reserve(&builder, 1000, 5000));
    ck_assert_int_ge(builder.capacity, 1000);
    sl_builder_free(&builder);
    schema.release(&schema);
}
END_TEST

START_TEST(header_names_are_text) {
    static const struct {
        const char *given;
        const char *kept;
    } names[] = {{"trace", "trace"},
                 {"Zo\xc3\xab", "Zo\xc3\xab"},
                 {"caf\xe9s", "caf\xef\xbf\xbds"},
                 {"", ""},
                 {"\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd"}};
    sl_raw_builder builder;
    ck_assert_ptr_null(sl_raw_builder_init(&builder));
    ck_assert(sl_raw_append(&builder, NULL, 0, NULL, 0, 0, 0));
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        ck_assert(sl_raw_append_header(&builder, names[i].given, strlen(names[i].given), "v", 1));
    }
    ck_assert(sl_raw_end_row(&builder));
    struct ArrowArray rows;
    ck_assert_ptr_null(sl_builder_finish(&builder.root, &rows));
    const struct ArrowArray *kept = rows.children[SL_RAW_HEADERS]->children[0]->children[0];
    const int32_t *offsets = kept->buffers[1];
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        size_t bytes = (size_t)(offsets[i + 1] - offsets[i]);
        ck_assert_uint_eq(bytes, strlen(names[i].kept));
        ck_assert_int_eq(memcmp((const char *)kept->buffers[2] + offsets[i], names[i].kept, bytes),
                         0);
    }
    rows.release(&rows);
    sl_raw_builder_free(&builder);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("columns");
    TCase *cases = tcase_create("columns");
    tcase_add_test(cases, types);
    tcase_add_test(cases, schemas_copy_and_compare);
    tcase_add_test(cases, paths_resolve);
    tcase_add_test(cases, rows_as_json);
    tcase_add_test(cases, special_values_as_json);
    tcase_add_test(cases, copies_and_takes_agree);
    tcase_add_test(cases, truncate_undoes_rows);
    tcase_add_test(cases, no_validity_without_nulls);
    tcase_add_test(cases, repeated_values);
    tcase_add_test(cases, bad_arrays_are_refused);
    tcase_add_test(cases, bytes_round_trip);
    tcase_add_test(cases, reserve_refuses_too_much);
    tcase_add_test(cases, header_names_are_text);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
