/*
 * lib/json's decoder: what becomes of values, and each reason by which a record is refused, with
 * its path and detail.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "json/block16.h"
#include "json/json.h"

/* One schema with its decoder, and what the last record became. */
typedef struct bench {
    sl_json_schema *schema;
    sl_json_decoder *decoder;
    sl_builder builder;
    sl_json_rejects rejects;
    sl_buffer out;
} bench;

static void no_error(sl_error *error) {
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
}

static bench *bench_new(const char *schema, const sl_json_options *options) {
    bench *b = calloc(1, sizeof(*b));
    no_error(sl_json_schema_compile(schema, strlen(schema), options, &b->schema));
    no_error(sl_json_decoder_new(b->schema, &b->decoder));
    no_error(sl_builder_init(&b->builder, sl_json_schema_columns(b->schema)));
    return b;
}

static void bench_free(bench *b) {
    sl_json_decoder_free(b->decoder);
    sl_builder_free(&b->builder);
    sl_json_rejects_free(&b->rejects);
    sl_buffer_free(&b->out);
    sl_json_schema_free(b->schema);
    free(b);
}

/* The row as JSON, or "reason path detail". */
static const char *decode_bytes(bench *b, const char *text, size_t bytes) {
    bool accepted;
    sl_json_rejects_clear(&b->rejects);
    sl_buffer_clear(&b->out);
    no_error(sl_json_decode_text(b->decoder, text, bytes, 7, &b->builder, &b->rejects, &accepted));
    if (accepted) {
        struct ArrowArray array;
        ck_assert_uint_eq(b->rejects.n, 0);
        no_error(sl_builder_finish(&b->builder, &array));
        no_error(sl_array_check(sl_json_schema_columns(b->schema), &array));
        sl_array_append_json(sl_json_schema_columns(b->schema), &array, 0, &b->out);
        array.release(&array);
    } else {
        ck_assert_uint_eq(b->rejects.n, 1);
        ck_assert_int_eq(b->builder.length, 0);
        const sl_json_reject *reject = &b->rejects.items[0];
        const char *all = (const char *)b->rejects.text.data;
        ck_assert_int_eq(reject->row, 7);
        sl_buffer_printf(&b->out, "%s %.*s %.*s", sl_json_reason_name(reject->reason),
                         (int)reject->path_bytes, all + reject->path_at, (int)reject->detail_bytes,
                         all + reject->detail_at);
    }
    return sl_buffer_text(&b->out);
}

static const char *decode(bench *b, const char *text) {
    return decode_bytes(b, text, strlen(text));
}

/* That the record is refused for this reason, whatever the detail. */
static void refused(bench *b, const char *text, const char *reason) {
    const char *answer = decode(b, text);
    ck_assert_msg(strncmp(answer, reason, strlen(reason)) == 0 && answer[strlen(reason)] == ' ',
                  "%s: %s, not %s", text, answer, reason);
}

#define OBJECT(properties) "{\"type\":\"object\",\"properties\":{" properties "}}"

/* In whichever form they are built: against what the header says of each byte. */
START_TEST(blocks_of_16_bytes) {
    uint8_t text[16 + 15];
    uint64_t state = 1;
    for (int round = 0; round < 20000; round++) {
        uint8_t other[16];
        for (size_t i = 0; i < sizeof(text); i++) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
            text[i] = round < 256 ? (uint8_t)(i % 2 == 0 ? round : 'a') : (uint8_t)(state >> 56);
        }
        const uint8_t *p = text + round % 16;
        unsigned special = 0;
        unsigned equal = 0;
        for (unsigned i = 0; i < 16; i++) {
            other[i] = (state >> i & 1) != 0 ? p[i] : (uint8_t)(p[i] ^ (1u << (state >> 20 & 7)));
            bool plain = p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' && p[i] != '\\';
            special |= (plain ? 0u : 1u) << i;
            equal |= (p[i] == other[i] ? 1u : 0u) << i;
        }
        ck_assert_uint_eq(slj_special16(slj_load16(p)), special);
        ck_assert_uint_eq(slj_equal16(slj_load16(p), slj_load16(other)), equal);
        slj_store16(other, slj_load16(p));
        ck_assert_mem_eq(other, p, 16);
    }
}
END_TEST

START_TEST(values_of_every_kind) {
    bench *b = bench_new(
        OBJECT("\"s\":{\"type\":\"string\"},\"i\":{\"type\":\"integer\"},"
               "\"n\":{\"type\":\"number\"},\"b\":{\"type\":\"boolean\"},"
               "\"t\":{\"type\":\"string\",\"format\":\"date-time\"},"
               "\"d\":{\"type\":\"string\",\"format\":\"date\"},"
               "\"m\":{\"type\":\"number\",\"x-sluice-type\":\"decimal(38,2)\"},"
               "\"l\":{\"type\":\"array\",\"items\":{\"type\":[\"integer\",\"null\"]}},"
               "\"o\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"string\"}}},\"a\":{}"),
        NULL);
    ck_assert_str_eq(
        decode(b, "{\"s\":\"a\\u00e9\\n\xf0\x9f\x98\x80\",\"i\":-9223372036854775808,\"n\":1e-7,"
                  "\"b\":true,\"t\":\"2026-11-22T10:00:00.123456+01:00\",\"d\":\"1969-12-31\","
                  "\"m\":123456789012345678901234567890123456.78,\"l\":[1,null,3],"
                  "\"o\":{\"x\":\"y\"},\"a\":[ 1,{}]}"),
        "{\"s\":\"a\xc3\xa9\\n\xf0\x9f\x98\x80\",\"i\":-9223372036854775808,\"n\":1e-07,"
        "\"b\":true,\"t\":\"2026-11-22T09:00:00.123456Z\",\"d\":\"1969-12-31\","
        "\"m\":123456789012345678901234567890123456.78,\"l\":[1,null,3],\"o\":{\"x\":\"y\"},"
        "\"a\":\"[ 1,{}]\"}");
    ck_assert_str_eq(decode(b, " { } "),
                     "{\"s\":null,\"i\":null,\"n\":null,\"b\":null,\"t\":null,\"d\":null,"
                     "\"m\":null,\"l\":null,\"o\":null,\"a\":null}");
    bench_free(b);
}
END_TEST

START_TEST(integers_and_numbers) {
    bench *b = bench_new(OBJECT("\"i\":{\"type\":\"integer\"},\"n\":{\"type\":\"number\"}"), NULL);
    ck_assert_str_eq(decode(b, "{\"i\":1e2,\"n\":0.1}"), "{\"i\":100,\"n\":0.1}");
    ck_assert_str_eq(decode(b, "{\"i\":9223372036854775807.0}"),
                     "{\"i\":9223372036854775807,\"n\":null}");
    ck_assert_str_eq(decode(b, "{\"i\":-0,\"n\":1e-400}"), "{\"i\":0,\"n\":0}");
    ck_assert_str_eq(decode(b, "{\"i\":9223372036854775808}"),
                     "integer_out_of_range $.i found 9223372036854775808, allowed are "
                     "-9223372036854775808 to 9223372036854775807");
    refused(b, "{\"i\":1e19}", "integer_out_of_range");
    refused(b, "{\"i\":1.5}", "type");
    refused(b, "{\"i\":1e-400}", "type");
    refused(b, "{\"n\":1e309}", "number_out_of_range");
    refused(b, "{\"n\":01}", "bad_number");
    refused(b, "{\"n\":-}", "bad_number");
    refused(b, "{\"n\":1.}", "bad_number");
    refused(b, "{\"n\":1e+}", "bad_number");
    refused(b, "{\"n\":+1}", "bad_syntax");
    refused(b, "{\"n\":NaN}", "bad_syntax");
    bench_free(b);
}
END_TEST

START_TEST(doubles_are_correctly_rounded) {
    bench *b = bench_new(OBJECT("\"n\":{\"type\":\"number\"}"), NULL);
    static const char *const texts[] = {"9007199254740993",
                                        "0.30000000000000004",
                                        "2.2250738585072012e-308",
                                        "1.7976931348623157e308",
                                        "123456789012345678901234567890",
                                        "5e-324",
                                        "6.0221407623e23",
                                        "0.000001"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(texts); i++) {
        char text[64];
        bool accepted;
        double value;
        snprintf(text, sizeof(text), "{\"n\":%s}", texts[i]);
        no_error(sl_json_decode_text(b->decoder, text, strlen(text), 0, &b->builder, &b->rejects,
                                     &accepted));
        ck_assert(accepted);
        memcpy(&value, b->builder.children[0].data, sizeof(value));
        ck_assert_double_eq(value, strtod(texts[i], NULL));
        sl_builder_clear(&b->builder);
    }
    bench_free(b);
}
END_TEST

START_TEST(texts_that_are_no_json) {
    bench *b = bench_new(OBJECT("\"s\":{\"type\":\"string\"}"), NULL);
    static const struct {
        const char *text;
        const char *reason;
    } cases[] = {
        {"", "empty"},
        {" \n", "empty"},
        {"{", "truncated"},
        {"{\"s\":\"ab", "truncated"},
        {"{\"s\":\"a\\", "truncated"},
        {"{\"s\":tr", "truncated"},
        {"{\"x\":[1,", "truncated"},
        {"{\"x\":-", "truncated"},
        {"{\"x\":1e", "truncated"},
        {"{} {}", "trailing_bytes"},
        {"{}x", "trailing_bytes"},
        {"{,}", "bad_syntax"},
        {"{\"s\":\"a\",}", "bad_syntax"},
        {"{\"s\" \"a\"}", "bad_syntax"},
        {"{s:1}", "bad_syntax"},
        {"{\"x\":[1 2]}", "bad_syntax"},
        {"{\"x\":[1,]}", "bad_syntax"},
        {"\xef\xbb\xbf{}", "bad_syntax"},
        {"{\"s\":\"\\x\"}", "bad_escape"},
        {"{\"s\":\"\\u12g4\"}", "bad_escape"},
        {"{\"s\":\"\xff\"}", "bad_utf8"},
        {"{\"s\":\"\xc0\xaf\"}", "bad_utf8"},
        {"{\"s\":\"\xed\xa0\x80\"}", "bad_utf8"},
        {"{\"x\":\"\xf4\x90\x80\x80\"}", "bad_utf8"},
        {"{\"s\":\"\\ud800\"}", "lone_surrogate"},
        {"{\"s\":\"\\udc00\\ud800\"}", "lone_surrogate"},
        {"{\"s\":\"a\tb\"}", "control_character"},
        {"{\"s\":\"a\",\"s\":\"b\"}", "duplicate_key"},
        {"{\"s\":\"a\",\"\\u0073\":\"b\"}", "duplicate_key"},
        {"{\"x\":1,\"y\":2,\"x\":3}", "duplicate_key"},
        {"{\"x\":{\"y\":1,\"y\":2}}", "duplicate_key"},
        {"[]", "type"},
        {"null", "type"},
        {"\"{}\"", "type"},
    };
    for (size_t i = 0; i < SL_ARRAY_LENGTH(cases); i++) {
        refused(b, cases[i].text, cases[i].reason);
    }
    const char *answer = decode_bytes(b, "{\"s\":\"a\0b\"}", 11);
    ck_assert_msg(strncmp(answer, "control_character", 17) == 0, "%s", answer);
    /* what is no JSON at all is reported as that, whatever misfits before */
    refused(b, "{\"s\":1,\"x\":tru}", "bad_syntax");
    bench_free(b);
}
END_TEST

START_TEST(limits) {
    sl_json_options options = {.max_depth = 4, .max_value_bytes = 40};
    bench *b = bench_new(OBJECT("\"s\":{\"type\":\"string\"}"), &options);
    ck_assert_str_eq(decode(b, "{\"x\":[[[1]]]}"), "{\"s\":null}");
    refused(b, "{\"x\":[[[[1]]]]}", "too_deep");
    refused(b, "{\"x\":\"0123456789012345678901234567890123456789\"}", "too_large");
    bench_free(b);
    options.max_depth = 1000;
    sl_json_schema *schema;
    sl_error *error = sl_json_schema_compile("{}", 2, &options, &schema);
    ck_assert(sl_error_is(error, SL_ERROR_CONFIG));
    sl_error_free(error);
}
END_TEST

START_TEST(checks_say_what_is_allowed) {
    bench *b = bench_new(
        "{\"type\":\"object\",\"required\":[\"e\"],\"additionalProperties\":false,\"properties\":{"
        "\"e\":{\"type\":\"string\",\"enum\":[\"page_view\",\"refund\"]},"
        "\"i\":{\"type\":\"integer\",\"minimum\":1,\"exclusiveMaximum\":10,\"multipleOf\":2},"
        "\"s\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":3},"
        "\"p\":{\"type\":\"string\",\"pattern\":\"^a+$\"},"
        "\"t\":{\"type\":\"string\",\"format\":\"date-time\"},"
        "\"c\":{\"const\":5},\"m\":{\"type\":\"number\",\"x-sluice-type\":\"decimal(5,2)\"},"
        "\"o\":{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"minItems\":1,"
        "\"items\":{\"type\":\"boolean\"}}}}}}",
        NULL);
    static const struct {
        const char *members;
        const char *answer;
    } cases[] = {
        {"\"e\":\"x\"", "enum $.e found \"x\", allowed is one of [\"page_view\",\"refund\"]"},
        {"\"i\":2", "required $ missing property \"e\""},
        {"\"e\":\"refund\",\"z\":1", "additional_property $.z found 1, no property of this name is "
                                     "allowed"},
        {"\"e\":\"refund\",\"i\":0", "minimum $.i found 0, the minimum is 1"},
        {"\"e\":\"refund\",\"i\":10", "exclusive_maximum $.i found 10, it must be below 10"},
        {"\"e\":\"refund\",\"i\":3", "multiple_of $.i found 3, it must be a multiple of 2"},
        {"\"e\":\"refund\",\"i\":\"2\"", "type $.i found \"2\", allowed type: integer"},
        {"\"e\":\"refund\",\"i\":null", "type $.i found null, allowed type: integer"},
        {"\"e\":\"refund\",\"s\":\"\xc3\xa9\"",
         "min_length $.s found \"\xc3\xa9\", of length 1, the shortest is 2"},
        {"\"e\":\"refund\",\"s\":\"abcd\"",
         "max_length $.s found \"abcd\", of length 4, the longest is 3"},
        {"\"e\":\"refund\",\"p\":\"ab\"", "pattern $.p found \"ab\", the pattern is \"^a+$\""},
        {"\"e\":\"refund\",\"t\":\"now\"", "format $.t found \"now\", allowed is a date-time of "
                                           "RFC 3339, \"2026-11-22T10:00:00.123Z\""},
        {"\"e\":\"refund\",\"c\":6", "const $.c found 6, allowed is only 5"},
        {"\"e\":\"refund\",\"m\":1000",
         "decimal_out_of_range $.m found 1000, decimal(5,2) holds 3 digits before the point and 2 "
         "behind it"},
        {"\"e\":\"refund\",\"m\":0.001",
         "decimal_out_of_range $.m found 0.001, decimal(5,2) holds 3 digits before the point and 2 "
         "behind it"},
        {"\"e\":\"refund\",\"o\":{\"l\":[]}", "min_items $.o.l found [], of 0 items, the least is "
                                              "1"},
        {"\"e\":\"refund\",\"o\":{\"l\":[true,0]}", "type $.o.l[1] found 0, allowed type: boolean"},
    };
    for (size_t i = 0; i < SL_ARRAY_LENGTH(cases); i++) {
        char text[200];
        snprintf(text, sizeof(text), "{%s}", cases[i].members);
        ck_assert_str_eq(decode(b, text), cases[i].answer);
    }
    const char *answer =
        decode(b, "{\"e\":\"refund\",\"s\":\"\xc3\xa9\xc3\xa9\xc3\xa9\",\"m\":1.50}");
    ck_assert_msg(strstr(answer, "\"m\":1.50") != NULL, "%s", answer);
    bench_free(b);
}
END_TEST

START_TEST(exact_multiples) {
    bench *b = bench_new(OBJECT("\"n\":{\"type\":\"number\",\"multipleOf\":0.01},"
                                "\"i\":{\"type\":\"integer\",\"multipleOf\":2}"),
                         NULL);
    ck_assert_str_eq(decode(b, "{\"n\":19.99}"), "{\"n\":19.99,\"i\":null}");
    refused(b, "{\"n\":19.999}", "multiple_of");
    refused(b, "{\"n\":1e-400}", "multiple_of");
    refused(b, "{\"i\":9223372036854775807.0}", "multiple_of");
    bench_free(b);
}
END_TEST

START_TEST(last_wins) {
    sl_json_options options = {.duplicates = SL_JSON_DUPLICATES_LAST_WINS};
    bench *b = bench_new(OBJECT("\"s\":{\"type\":\"string\"},\"l\":{\"type\":\"array\",\"items\":{"
                                "\"type\":\"integer\"}},\"o\":{\"type\":\"object\",\"properties\":"
                                "{\"x\":{\"type\":\"integer\"}}}"),
                         &options);
    ck_assert_str_eq(decode(b, "{\"s\":\"a\",\"l\":[1,2],\"o\":{\"x\":1,\"x\":2},\"l\":[3],"
                               "\"s\":\"b\"}"),
                     "{\"s\":\"b\",\"l\":[3],\"o\":{\"x\":2}}");
    /* a value that is replaced need not fit */
    ck_assert_str_eq(decode(b, "{\"l\":[1,\"x\"],\"o\":{\"x\":\"y\"},\"o\":{},\"l\":[]}"),
                     "{\"s\":null,\"l\":[],\"o\":{\"x\":null}}");
    ck_assert_str_eq(decode(b, "{\"o\":{\"x\":1},\"o\":{\"x\":\"y\"}}"),
                     "type $.o.x found \"y\", allowed type: integer");
    refused(b, "{\"s\":1,\"s\":tru,\"s\":\"a\"}", "bad_syntax");
    /* of several misfits the record's first counts, not the schema's */
    ck_assert_str_eq(decode(b, "{\"o\":{\"x\":\"y\"},\"l\":[1,\"z\"],\"s\":1,\"o\":{}}"),
                     "type $.l[1] found \"z\", allowed type: integer");
    bench_free(b);
}
END_TEST

START_TEST(last_wins_leaves_nothing_of_what_is_replaced) {
    sl_json_options options = {.duplicates = SL_JSON_DUPLICATES_LAST_WINS, .rescue = true};
    const char *schema = OBJECT("\"s\":{\"type\":\"string\"},\"o\":{\"type\":\"object\","
                                "\"properties\":{\"x\":{\"type\":\"integer\"}}}");
    bench *b = bench_new(schema, &options);
    ck_assert_str_eq(decode(b, "{\"o\":{\"u\":1},\"v\":2,\"o\":{\"x\":3,\"w\":4}}"),
                     "{\"s\":null,\"o\":{\"x\":3},"
                     "\"_rescued_data\":\"{\\\"v\\\":2,\\\"o.w\\\":4}\"}");
    ck_assert_str_eq(decode(b, "{\"o\":{\"u\":1,\"x\":\"y\",\"t\":1},\"o\":{\"x\":3}}"),
                     "{\"s\":null,\"o\":{\"x\":3},\"_rescued_data\":null}");
    ck_assert_str_eq(decode(b, "{\"o\":{\"u\":1}}"),
                     "{\"s\":null,\"o\":{\"x\":null},\"_rescued_data\":\"{\\\"o.u\\\":1}\"}");
    bench_free(b);
    options.rescue = false;
    b = bench_new(schema, &options);
    decode(b, "{\"o\":{\"u\":1,\"v\":1},\"o\":{\"u\":1}}");
    ck_assert_uint_eq(sl_json_decoder_dropped(b->decoder), 1);
    bench_free(b);
}
END_TEST

/* A value deep in structs that does not fit is read once, not twice as often with each level. */
START_TEST(last_wins_reads_a_misfit_once) {
    enum { LEVELS = 40 };
    sl_json_options options = {.duplicates = SL_JSON_DUPLICATES_LAST_WINS};
    sl_buffer schema = SL_BUFFER_INIT;
    sl_buffer record = SL_BUFFER_INIT;
    sl_buffer expected = SL_BUFFER_INIT;
    sl_buffer_append_text(&expected, "type $");
    for (int i = 0; i < LEVELS; i++) {
        sl_buffer_append_text(&schema, "{\"type\":\"object\",\"properties\":{\"o\":");
        sl_buffer_append_text(&record, "{\"o\":");
        sl_buffer_append_text(&expected, ".o");
    }
    sl_buffer_append_text(&schema, "{\"type\":\"integer\"}");
    sl_buffer_append_text(&record, "\"y\"");
    sl_buffer_append_text(&expected, " found \"y\", allowed type: integer");
    for (int i = 0; i < LEVELS; i++) {
        sl_buffer_append_text(&schema, "}}");
        sl_buffer_append_text(&record, "}");
    }
    bench *b = bench_new(sl_buffer_text(&schema), &options);
    ck_assert_str_eq(decode(b, sl_buffer_text(&record)), sl_buffer_text(&expected));
    bench_free(b);
    sl_buffer_free(&schema);
    sl_buffer_free(&record);
    sl_buffer_free(&expected);
}
END_TEST

START_TEST(rescue_keeps_what_is_not_named) {
    sl_json_options options = {.rescue = true};
    bench *b = bench_new(OBJECT("\"s\":{\"type\":\"string\"},\"o\":{\"type\":\"object\","
                                "\"properties\":{\"x\":{\"type\":\"integer\"}}},\"l\":{\"type\":"
                                "\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"v\":{"
                                "\"type\":\"integer\"}}}}"),
                         &options);
    ck_assert_str_eq(decode(b, "{\"u\\u0041\":[1, 2],\"o\":{\"x\":1,\"z\":\"q\"},\"l\":[{},{\"w\":"
                               "true}]}"),
                     "{\"s\":null,\"o\":{\"x\":1},\"l\":[{\"v\":null},{\"v\":null}],"
                     "\"_rescued_data\":\"{\\\"u\\\\u0041\\\":[1, 2],\\\"o.z\\\":\\\"q\\\","
                     "\\\"l[1].w\\\":true}\"}");
    ck_assert_str_eq(decode(b, "{}"), "{\"s\":null,\"o\":null,\"l\":null,\"_rescued_data\":null}");
    bench_free(b);
    b = bench_new(OBJECT("\"s\":{\"type\":\"string\"}"), NULL);
    decode(b, "{\"a\":1,\"b\":2}");
    decode(b, "{\"a\":1,\"b\":}");
    ck_assert_uint_eq(sl_json_decoder_dropped(b->decoder), 2);
    bench_free(b);
}
END_TEST

START_TEST(coercions) {
    static const sl_json_coercion list[] = {{"i", "string->integer,empty->null"},
                                            {"n", "string->number"},
                                            {"b", "string->boolean,integer->boolean"},
                                            {"s", "number->string,boolean->string"},
                                            {"t", "epoch_ms->date-time"},
                                            {"o.m", "string->number"},
                                            {"l", "string->integer"}};
    sl_json_options options = {.coercions = list, .n_coercions = SL_ARRAY_LENGTH(list)};
    bench *b = bench_new(
        OBJECT("\"i\":{\"type\":[\"integer\",\"null\"],\"maximum\":100},"
               "\"n\":{\"type\":\"number\"},\"b\":{\"type\":\"boolean\"},"
               "\"s\":{\"type\":\"string\"},\"t\":{\"type\":\"string\",\"format\":\"date-time\"},"
               "\"o\":{\"type\":\"object\",\"properties\":{\"m\":{\"type\":\"number\","
               "\"x-sluice-type\":\"decimal(4,2)\"}}},"
               "\"l\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}"),
        &options);
    ck_assert_str_eq(decode(b, "{\"i\":\"42\",\"n\":\"1.5e1\",\"b\":\"true\",\"s\":1.50,"
                               "\"t\":1795341600123,\"o\":{\"m\":\"9.99\"},\"l\":[1,\"2\"]}"),
                     "{\"i\":42,\"n\":15,\"b\":true,\"s\":\"1.50\","
                     "\"t\":\"2026-11-22T10:00:00.123Z\",\"o\":{\"m\":9.99},\"l\":[1,2]}");
    ck_assert_str_eq(decode(b, "{\"i\":\"\",\"b\":0,\"s\":false}"),
                     "{\"i\":null,\"n\":null,\"b\":false,\"s\":\"false\",\"t\":null,\"o\":null,"
                     "\"l\":null}");
    refused(b, "{\"i\":\"101\"}", "maximum");
    refused(b, "{\"i\":\"4x\"}", "coercion");
    refused(b, "{\"i\":\" 4\"}", "coercion");
    refused(b, "{\"b\":2}", "coercion");
    refused(b, "{\"n\":\"\"}", "coercion");
    refused(b, "{\"i\":true}", "type");
    bench_free(b);
}
END_TEST

START_TEST(keys_in_any_order_and_number) {
    sl_buffer schema = SL_BUFFER_INIT, text = SL_BUFFER_INIT;
    sl_buffer_append_text(&schema, "{\"type\":\"object\",\"required\":[\"c199\"],\"properties\":{");
    sl_buffer_append_text(&text, "{");
    for (int i = 0; i < 200; i++) {
        sl_buffer_printf(&schema, "%s\"c%d\":{\"type\":\"integer\"}", i > 0 ? "," : "", i);
        sl_buffer_printf(&text, "%s \"c%d\" : %d", i > 0 ? "," : "", 199 - i, 199 - i);
    }
    sl_buffer_append_text(&schema, "}}");
    sl_buffer_append_text(&text, "}");
    bench *b = bench_new(sl_buffer_text(&schema), NULL);
    for (int round = 0; round < 3; round++) {
        const char *answer = decode(b, sl_buffer_text(&text));
        ck_assert_msg(strstr(answer, "\"c0\":0,\"c1\":1,") != NULL, "%s", answer);
        ck_assert_msg(strstr(answer, "\"c199\":199}") != NULL, "%s", answer);
        refused(b, "{\"c0\":1}", "required");
    }
    bench_free(b);
    sl_buffer_free(&schema);
    sl_buffer_free(&text);
}
END_TEST

START_TEST(batches_report_rows) {
    bench *b = bench_new(OBJECT("\"s\":{\"type\":\"string\"}"), NULL);
    char data[256] = "{\"s\":\"a\"}[]{\"s\":\"b\"}";
    int32_t offsets[] = {0, 9, 11, 11, 20};
    uint8_t validity[] = {0x0B};
    const void *buffers[] = {validity, offsets, data};
    struct ArrowArray values = {.length = 4, .null_count = 1, .n_buffers = 3, .buffers = buffers};
    no_error(sl_json_decode(b->decoder, &values, 0, 4, &b->builder, &b->rejects));
    ck_assert_int_eq(b->builder.length, 2);
    ck_assert_uint_eq(b->rejects.n, 2);
    ck_assert_int_eq(b->rejects.items[0].row, 1);
    ck_assert_int_eq(b->rejects.items[0].reason, SL_JSON_TYPE);
    ck_assert_int_eq(b->rejects.items[1].row, 2);
    ck_assert_int_eq(b->rejects.items[1].reason, SL_JSON_NULL_VALUE);
    bench_free(b);
}
END_TEST

START_TEST(malicious_patterns_end) {
    bench *b = bench_new(OBJECT("\"s\":{\"type\":\"string\",\"pattern\":\"^(a+)+$\"}"), NULL);
    refused(b, "{\"s\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"}",
            "pattern_limit");
    bench_free(b);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("json_decode");
    TCase *cases = tcase_create("decode");
    tcase_add_test(cases, blocks_of_16_bytes);
    tcase_add_test(cases, values_of_every_kind);
    tcase_add_test(cases, integers_and_numbers);
    tcase_add_test(cases, doubles_are_correctly_rounded);
    tcase_add_test(cases, texts_that_are_no_json);
    tcase_add_test(cases, limits);
    tcase_add_test(cases, checks_say_what_is_allowed);
    tcase_add_test(cases, exact_multiples);
    tcase_add_test(cases, last_wins);
    tcase_add_test(cases, last_wins_leaves_nothing_of_what_is_replaced);
    tcase_add_test(cases, last_wins_reads_a_misfit_once);
    tcase_add_test(cases, rescue_keeps_what_is_not_named);
    tcase_add_test(cases, coercions);
    tcase_add_test(cases, keys_in_any_order_and_number);
    tcase_add_test(cases, batches_report_rows);
    tcase_add_test(cases, malicious_patterns_end);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
