/*
 * lib/json's schemas: the columns that come of them, the errors of bad ones, what is left to the
 * validator, and verdicts on single documents.
 */
#include <check.h>
#include <stdlib.h>

#include "json/json.h"

static sl_error *compile(const char *text, const sl_json_options *options, sl_json_schema **out) {
    *out = NULL;
    return sl_json_schema_compile(text, strlen(text), options, out);
}

/* "name format[?](children)" of all columns. */
static void describe(const struct ArrowSchema *schema, sl_buffer *out) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        const struct ArrowSchema *child = schema->children[i];
        sl_buffer_printf(out, "%s%s %s%s", i > 0 ? ", " : "", child->name, child->format,
                         child->flags & ARROW_FLAG_NULLABLE ? "?" : "");
        if (child->n_children > 0) {
            sl_buffer_append_text(out, "(");
            describe(child, out);
            sl_buffer_append_text(out, ")");
        }
    }
}

static void columns_are(const char *text, const char *columns, const char *beyond) {
    sl_json_schema *schema;
    sl_error *error = compile(text, NULL, &schema);
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
    sl_buffer out = SL_BUFFER_INIT;
    describe(sl_json_schema_columns(schema), &out);
    ck_assert_str_eq(sl_buffer_text(&out), columns);
    const char *keyword;
    sl_json_schema_needs_validator(schema, &keyword);
    ck_assert_str_eq(keyword == NULL ? "" : keyword, beyond);
    sl_buffer_free(&out);
    sl_json_schema_free(schema);
}

static void fails(const char *text, const sl_json_options *options, const char *message) {
    sl_json_schema *schema;
    sl_error *error = compile(text, options, &schema);
    ck_assert_msg(error != NULL, "accepted: %s", text);
    ck_assert_int_eq(sl_error_get_class(error), SL_ERROR_CONFIG);
    ck_assert_msg(strstr(sl_error_message(error), message) != NULL, "%s", sl_error_message(error));
    sl_error_free(error);
}

START_TEST(columns_of_schemas) {
    columns_are("{\"type\":\"object\",\"required\":[\"b\",\"o\"],\"properties\":{"
                "\"z\":{\"type\":\"string\"},\"b\":{\"type\":\"integer\"},"
                "\"n\":{\"type\":[\"number\",\"null\"]},\"d\":{\"type\":\"number\","
                "\"x-sluice-type\":\"decimal(12,2)\"},\"t\":{\"type\":\"string\",\"format\":"
                "\"date-time\"},\"y\":{\"type\":\"string\",\"format\":\"date\"},"
                "\"o\":{\"type\":\"object\",\"required\":[\"k\"],\"properties\":{\"k\":{\"enum\":["
                "\"a\",\"b\"]}}},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}}}}",
                "z u?, b l, n g?, d d:12,2?, t tsu:UTC?, y tdD?, o +s(k u), l +l?(element b)", "");
}
END_TEST

START_TEST(references_and_alternatives) {
    columns_are("{\"$ref\":\"#/$defs/event\",\"$defs\":{\"event\":{\"type\":\"object\","
                "\"properties\":{\"a\":{\"$ref\":\"#/$defs/small\"},\"b\":{\"anyOf\":[{\"type\":"
                "\"integer\"},{\"type\":\"null\"}]}},\"required\":[\"a\",\"b\"]},"
                "\"small\":{\"type\":\"integer\",\"maximum\":9}}}",
                "a l, b l?", "");
    columns_are("{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}},"
                "{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"string\"}},"
                "\"required\":[\"b\"]}]}",
                "a u?, b u", "");
    columns_are("{\"type\":\"object\",\"properties\":{\"t\":{\"$ref\":\"#/$defs/tree\"}},"
                "\"$defs\":{\"tree\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":"
                "\"integer\"},\"next\":{\"$ref\":\"#/$defs/tree\"}}}}}",
                "t +s?(v l?, next u?)", "$ref");
    columns_are("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":[\"string\",\"integer\"]},"
                "\"b\":{},\"c\":{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}}}",
                "a u?, b u?, c u?", "type");
    columns_are("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},"
                "\"if\":{\"required\":[\"a\"]},\"then\":false}",
                "a u?", "if");
}
END_TEST

START_TEST(bad_schemas_name_the_place) {
    fails("{\"type\":\"object\",", NULL, "line 1, column 18");
    fails("{\"type\":\"strin\"}", NULL,
          "schema $.type: found \"strin\", no alternative of `anyOf` fits: allowed is one of "
          "[\"array\",\"boolean\",\"integer\",\"null\",\"number\",\"object\",\"string\"]; or: "
          "allowed type: \"array\"");
    fails("{\"type\":[\"null\",\"strin\"]}", NULL, "$.type[1]: found \"strin\", allowed is one of");
    fails("{\"type\":\"string\"}", NULL, "must be objects with `properties`");
    fails("{\"type\":\"object\",\"properties\":{\"a\":{\"minLength\":-1}}}", NULL,
          "schema $.properties.a.minLength: found -1, the minimum is 0");
    fails("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"(\"}}}",
          NULL, "schema $.properties.a.pattern: not a regular expression");
    fails("{\"type\":\"object\",\"properties\":{\"Name\":{},\"name\":{}}}", NULL,
          "schema $.properties.name: \"name\" and \"Name\" differ only in case");
    fails("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\","
          "\"x-sluice-type\":\"decimal(40,2)\"}}}",
          NULL, "schema $.properties.a.x-sluice-type: found \"decimal(40,2)\", allowed are");
    fails("{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/x\"}}}", NULL,
          "schema $.properties.a['$ref']: \"#/$defs/x\" leads nowhere");
    fails("{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"http://x.example/y\"}}}", NULL,
          "nothing is fetched");
    fails("{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", NULL,
          "supported is draft 2020-12");
    fails("{\"type\":\"object\",\"type\":\"object\"}", NULL, "a key occurs twice");
    sl_json_options options = {.rescue = true};
    fails("{\"type\":\"object\",\"properties\":{\"_rescued_data\":{}}}", &options, "`rescue` adds");
}
END_TEST

START_TEST(bad_coercions) {
    const char *schema = "{\"type\":\"object\",\"properties\":{\"amount\":{\"type\":\"integer\"}}}";
    sl_json_coercion one = {"amont", "string->integer"};
    sl_json_options options = {.coercions = &one, .n_coercions = 1};
    fails(schema, &options, "amount");
    one = (sl_json_coercion){"amount", "string->boolean"};
    fails(schema, &options, "allowed for this column: \"string->integer\", \"empty->null\"");
    one = (sl_json_coercion){"amount", "string->integer"};
    fails("{\"type\":\"object\",\"properties\":{\"amount\":{\"type\":\"integer\"}},"
          "\"minProperties\":1}",
          &options, "`minProperties` is checked on the record as it was received");
}
END_TEST

START_TEST(verdicts) {
    const char *text = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\","
                       "\"items\":{\"type\":\"integer\"},\"uniqueItems\":true}},"
                       "\"unevaluatedProperties\":false,\"anyOf\":[{\"required\":[\"a\"]},"
                       "{\"properties\":{\"b\":true}}]}";
    sl_json_validator *validator;
    sl_json_verdict verdict;
    sl_error *error = sl_json_validator_new(text, strlen(text), NULL, &validator);
    ck_assert_ptr_null(error);
    static const struct {
        const char *text;
        sl_json_reason reason;
        const char *path;
    } cases[] = {
        {"{\"a\":[1,2]}", SL_JSON_OK, ""},
        {"{\"b\":1}", SL_JSON_OK, ""},
        {"{\"a\":[1,\"x\"]}", SL_JSON_TYPE, "$.a[1]"},
        {"{\"a\":[1,2,1.0]}", SL_JSON_UNIQUE_ITEMS, "$.a"},
        {"{\"a\":[],\"it's\":1}", SL_JSON_UNEVALUATED, "$['it\\'s']"},
        {"{\"a\":[1}", SL_JSON_BAD_SYNTAX, "$"},
    };
    for (size_t i = 0; i < SL_ARRAY_LENGTH(cases); i++) {
        error = sl_json_validate(validator, cases[i].text, strlen(cases[i].text), &verdict);
        ck_assert_ptr_null(error);
        ck_assert_msg(verdict.reason == cases[i].reason, "%s: %s", cases[i].text, verdict.detail);
        ck_assert_str_eq(verdict.path, cases[i].path);
    }
    sl_json_validator_free(validator);
}
END_TEST

START_TEST(alternatives_say_what_they_allow) {
    const char *text =
        "{\"properties\":{\"a\":{\"oneOf\":[{\"type\":\"null\"},{\"anyOf\":["
        "{\"type\":\"integer\"},{\"minLength\":3}]},{\"maxLength\":1},{\"const\":0}]}}}";
    sl_json_validator *validator;
    sl_json_verdict verdict;
    ck_assert_ptr_null(sl_json_validator_new(text, strlen(text), NULL, &validator));
    ck_assert_ptr_null(sl_json_validate(validator, "{\"a\":\"xy\"}", 10, &verdict));
    ck_assert_int_eq(verdict.reason, SL_JSON_ONE_OF);
    ck_assert_str_eq(verdict.path, "$.a");
    ck_assert_str_eq(verdict.detail,
                     "found \"xy\", no alternative of `oneOf` fits: allowed type: \"null\"; or: no "
                     "alternative of `anyOf` fits: allowed type: \"integer\"; or: found 2, the "
                     "shortest length is 3; or: found 2, the longest length is 1; or others");
    sl_json_validator_free(validator);
}
END_TEST

START_TEST(endless_references_end) {
    const char *text = "{\"$ref\":\"#\"}";
    sl_json_validator *validator;
    sl_json_verdict verdict;
    ck_assert_ptr_null(sl_json_validator_new(text, strlen(text), NULL, &validator));
    ck_assert_ptr_null(sl_json_validate(validator, "{}", 2, &verdict));
    ck_assert_int_eq(verdict.reason, SL_JSON_SCHEMA_DEPTH);
    sl_json_validator_free(validator);
}
END_TEST

START_TEST(remotes_are_given) {
    sl_json_remote remote = {"http://x.example/int.json", "{\"type\":\"integer\"}", 18};
    sl_json_options options = {.remotes = &remote, .n_remotes = 1};
    sl_json_schema *schema;
    sl_error *error = compile("{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":"
                              "\"http://x.example/int.json\"}}}",
                              &options, &schema);
    ck_assert_msg(error == NULL, "%s", error == NULL ? "" : sl_error_message(error));
    ck_assert_str_eq(sl_json_schema_columns(schema)->children[0]->format, "l");
    sl_json_schema_free(schema);
}
END_TEST

START_TEST(reasons_have_names) {
    ck_assert_str_eq(sl_json_reason_name(SL_JSON_BAD_UTF8), "bad_utf8");
    ck_assert_str_eq(sl_json_reason_name(SL_JSON_SCHEMA_DEPTH), "schema_depth");
    ck_assert_str_eq(sl_json_reason_text(SL_JSON_NULL_VALUE), "the record has no value");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("json_schema");
    TCase *cases = tcase_create("schema");
    tcase_add_test(cases, columns_of_schemas);
    tcase_add_test(cases, references_and_alternatives);
    tcase_add_test(cases, bad_schemas_name_the_place);
    tcase_add_test(cases, bad_coercions);
    tcase_add_test(cases, verdicts);
    tcase_add_test(cases, alternatives_say_what_they_allow);
    tcase_add_test(cases, endless_references_end);
    tcase_add_test(cases, remotes_are_given);
    tcase_add_test(cases, reasons_have_names);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
