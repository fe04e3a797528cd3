/* lib/base: errors, buffers, strict parsing, nearest names. */
#include <check.h>
#include <stdlib.h>

#include "base/base.h"

START_TEST(errors_carry_class_and_text) {
    sl_error *error = sl_error_new(SL_ERROR_CONFIG, "port %d", 99999);
    ck_assert_int_eq(sl_error_get_class(error), SL_ERROR_CONFIG);
    ck_assert_str_eq(sl_error_message(error), "port 99999");
    error = sl_error_wrap(error, "node \"%s\"", "bronze");
    ck_assert_int_eq(sl_error_get_class(error), SL_ERROR_CONFIG);
    ck_assert_str_eq(sl_error_message(error), "node \"bronze\": port 99999");
    char longer[600];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    error = sl_error_wrap(error, "%s", longer);
    ck_assert_uint_eq(strlen(sl_error_message(error)),
                      599 + 2 + strlen("node \"bronze\": port 99999"));
    sl_error_free(error);
    sl_error_free(NULL);
    sl_error_free(sl_error_no_memory());
    ck_assert_str_eq(sl_error_class_name(SL_ERROR_NOT_FOUND), "not_found");
}
END_TEST

START_TEST(other_formats_are_named_with_both_versions) {
    sl_error *error = sl_error_format("state/file", 9, 3, 3);
    ck_assert_int_eq(sl_error_get_class(error), SL_ERROR_UNSUPPORTED);
    ck_assert_str_eq(sl_error_message(error),
                     "state/file has format version 9, this sluice reads version 3; run the sluice "
                     "that wrote it, or a newer one");
    sl_error_free(error);
    error = sl_error_format("state/file", 0, 1, 3);
    ck_assert_ptr_nonnull(
        strstr(sl_error_message(error), "version 0, this sluice reads versions 1 to 3; "));
    sl_error_free(error);
}
END_TEST

START_TEST(buffer_grows_and_hands_over) {
    sl_buffer buffer = SL_BUFFER_INIT;
    for (int i = 0; i < 1000; i++) {
        ck_assert(sl_buffer_printf(&buffer, "%d,", i));
    }
    ck_assert_uint_eq(buffer.bytes, 3890);
    ck_assert(sl_buffer_append_byte(&buffer, 'x'));
    ck_assert(sl_buffer_append(&buffer, NULL, 0));
    ck_assert_str_eq(sl_buffer_text(&buffer) + 3886, "999,x");
    size_t bytes;
    uint8_t *data = sl_buffer_take(&buffer, &bytes);
    ck_assert_uint_eq(bytes, 3891);
    ck_assert_ptr_null(buffer.data);
    free(data);
    ck_assert(!sl_buffer_reserve(&buffer, SIZE_MAX));
    ck_assert(buffer.failed);
    ck_assert(!sl_buffer_append_text(&buffer, "late"));
    sl_buffer_clear(&buffer);
    ck_assert(sl_buffer_append_text(&buffer, "again"));
    sl_buffer_free(&buffer);
}
END_TEST

static void check_json_string(const char *text, size_t bytes, const char *expected) {
    sl_buffer buffer = SL_BUFFER_INIT;
    ck_assert(sl_buffer_append_json_string(&buffer, text, bytes));
    ck_assert_str_eq(sl_buffer_text(&buffer), expected);
    sl_buffer_free(&buffer);
}

START_TEST(private_urls) {
    static const char *const private_ones[] = {
        "https://example.com",   "abfss://c@a.dfs.core.windows.net/x",
        "http://127.0.0.1:80/x", "http://127.1.2.3?a=http:/",
        "http://localhost",      "http://localhost:1/",
        "http://[::1]:80/x"};
    static const char *const open_ones[] = {"http://example.com",
                                            "http://localhost.example.com",
                                            "http://127.0.0.1.example.com",
                                            "http://127.0.0.1@a.b/",
                                            "http://localhost:80@a.b/",
                                            "http://127.example",
                                            "http://[::1].example.com",
                                            "http://[::1",
                                            "http://",
                                            "http://128.0.0.1"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(private_ones); i++) {
        ck_assert_msg(sl_url_is_private(private_ones[i]), "%s", private_ones[i]);
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(open_ones); i++) {
        ck_assert_msg(!sl_url_is_private(open_ones[i]), "%s", open_ones[i]);
    }
}
END_TEST

START_TEST(percent_encoding) {
    sl_buffer out = SL_BUFFER_INIT;
    ck_assert(sl_percent_encode(&out, "a b/~\xc3\xa9%\0", 9, "/"));
    ck_assert_str_eq(sl_buffer_text(&out), "a%20b/~%C3%A9%25%00");
    sl_buffer_clear(&out);
    ck_assert(sl_percent_decode(&out, "a%20b/%c3%A9%25", 15));
    ck_assert_str_eq(sl_buffer_text(&out), "a b/\xc3\xa9%");
    static const char *const broken[] = {"x%", "x%4", "x%4g", "x%00y", "%%41"};
    static const char *const kept[] = {"x%", "x%4", "x%4g", "x%00y", "%A"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(broken); i++) {
        sl_buffer_clear(&out);
        ck_assert(!sl_percent_decode(&out, broken[i], strlen(broken[i])));
        ck_assert_str_eq(sl_buffer_text(&out), kept[i]);
    }
    sl_buffer_free(&out);
}
END_TEST

START_TEST(json_strings_are_valid_utf8) {
    check_json_string("", 0, "\"\"");
    check_json_string("a\"b\\c\n\r\t\b\f\x01\x1f", 12,
                      "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001f\"");
    check_json_string("a\0b", 3, "\"a\\u0000b\"");
    check_json_string("gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x98\x80", 13,
                      "\"gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x98\x80\"");
    check_json_string("\xff", 1, "\"\xef\xbf\xbd\"");
    check_json_string("a\xc0\x80z", 4, "\"a\xef\xbf\xbd\xef\xbf\xbdz\"");
    check_json_string("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    check_json_string("\xf0\x9f\x98", 3, "\"\xef\xbf\xbd\"");
    check_json_string("\xe2\x82", 2, "\"\xef\xbf\xbd\"");
    check_json_string("\xf4\x90\x80\x80", 4,
                      "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}
END_TEST

START_TEST(integers_are_strict) {
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {{"0", true, 0},
                 {"-1", true, -1},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808", true, INT64_MIN},
                 {"9223372036854775808", false, 0},
                 {"-9223372036854775809", false, 0},
                 {"99999999999999999999", false, 0},
                 {"", false, 0},
                 {"-", false, 0},
                 {"+1", false, 0},
                 {" 1", false, 0},
                 {"1 ", false, 0},
                 {"01", false, 0},
                 {"1a", false, 0},
                 {"1.0", false, 0}};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(cases); i++) {
        int64_t value = 7;
        ck_assert_msg(sl_parse_i64(cases[i].text, strlen(cases[i].text), &value) == cases[i].good,
                      "%s", cases[i].text);
        ck_assert_int_eq(value, cases[i].good ? cases[i].value : 7);
    }
}
END_TEST

START_TEST(sizes_and_durations) {
    static const struct {
        const char *text;
        int64_t size;     /* -1: malformed */
        int64_t duration; /* -1: malformed */
    } cases[] = {{"64", 64, -1},
                 {"0", 0, 0},
                 {"8KiB", 8192, -1},
                 {"32MiB", 33554432, -1},
                 {"1GiB", 1073741824, -1},
                 {"10kB", 10000, -1},
                 {"5MB", 5000000, -1},
                 {"5 MB", -1, -1},
                 {"5mb", -1, -1},
                 {"9999999999GiB", -1, -1},
                 {"250ms", -1, 250000},
                 {"10s", -1, 10000000},
                 {"5m", -1, 300000000},
                 {"2h", -1, INT64_C(7200000000)},
                 {"1d", -1, INT64_C(86400000000)},
                 {"1h30m", -1, INT64_C(5400000000)},
                 {"30m1h", -1, -1},
                 {"1m1m", -1, -1},
                 {"100us", -1, 100},
                 {"10", 10, -1},
                 {"-5s", -1, -1},
                 {"1.5s", -1, -1},
                 {"s", -1, -1},
                 {"999999999d", -1, -1},
                 {"", -1, -1}};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(cases); i++) {
        const char *text = cases[i].text;
        int64_t size = -1;
        int64_t duration = -1;
        ck_assert_msg(sl_parse_size(text, strlen(text), &size) == (cases[i].size >= 0), "%s", text);
        ck_assert_msg(sl_parse_duration(text, strlen(text), &duration) == (cases[i].duration >= 0),
                      "%s", text);
        ck_assert(cases[i].size < 0 || size == cases[i].size);
        ck_assert(cases[i].duration < 0 || duration == cases[i].duration);
    }
    char out[32];
    ck_assert_str_eq(sl_format_size(33554432, out), "32MiB");
    ck_assert_str_eq(sl_format_size(10000, out), "10kB");
    ck_assert_str_eq(sl_format_size(1023, out), "1023");
    ck_assert_str_eq(sl_format_size(0, out), "0");
    ck_assert_str_eq(sl_format_duration(10000000, out), "10s");
    ck_assert_str_eq(sl_format_duration(INT64_C(5400000000), out), "90m");
    ck_assert_str_eq(sl_format_duration(1500, out), "1500us");
    ck_assert_str_eq(sl_format_duration(0, out), "0s");
}
END_TEST

START_TEST(nearest_names) {
    static const char *const names[] = {"topics", "group", "start", "schema", "deduplicate", "key"};
    size_t n = SL_ARRAY_LENGTH(names);
    ck_assert_str_eq(sl_nearest_name("topcis", names, n), "topics");
    ck_assert_str_eq(sl_nearest_name("Topics", names, n), "topics");
    ck_assert_str_eq(sl_nearest_name("dedupliacte", names, n), "deduplicate");
    ck_assert_str_eq(sl_nearest_name("kye", names, n), "key");
    ck_assert_str_eq(sl_nearest_name("shema", names, n), "schema");
    ck_assert_ptr_null(sl_nearest_name("password", names, n));
    ck_assert_ptr_null(sl_nearest_name("", names, n));
    ck_assert_ptr_null(sl_nearest_name("zz", names, n));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base");
    TCase *cases = tcase_create("base");
    tcase_add_test(cases, errors_carry_class_and_text);
    tcase_add_test(cases, other_formats_are_named_with_both_versions);
    tcase_add_test(cases, buffer_grows_and_hands_over);
    tcase_add_test(cases, percent_encoding);
    tcase_add_test(cases, private_urls);
    tcase_add_test(cases, json_strings_are_valid_utf8);
    tcase_add_test(cases, integers_are_strict);
    tcase_add_test(cases, sizes_and_durations);
    tcase_add_test(cases, nearest_names);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
