/*
 * lib/json when memory runs out: every single allocation of compiling a schema and decoding records
 * by it fails once, and each time the answer is an error and nothing is left behind. This program's
 * own malloc does it (failing_malloc.h).
 */
#include "failing_malloc.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "json/json.h"

static const char PLAIN[] =
    "{\"type\":\"object\",\"required\":[\"s\"],\"properties\":{\"s\":{\"type\":\"string\","
    "\"pattern\":\"^a\"},\"t\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"l\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"v\":{\"enum\":["
    "\"x\",\"y\",null]}}}},\"m\":{\"type\":\"number\",\"x-sluice-type\":\"decimal(9,2)\"}}}";

static const char BEYOND[] =
    "{\"$ref\":\"#/$defs/o\",\"unevaluatedProperties\":{\"type\":\"integer\"},\"$defs\":{\"o\":{"
    "\"$anchor\":\"o\",\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\"},\"l\":{"
    "\"type\":\"array\",\"uniqueItems\":true,\"contains\":{\"type\":\"null\"}}},"
    "\"patternProperties\":{\"^p\":{\"minLength\":2}}}}}";

static const char *const RECORDS[] = {
    "{\"s\":\"a\\u00e9\",\"t\":\"2026-11-22T10:00:00Z\",\"l\":[{\"v\":\"x\"},{}],\"m\":1.5}",
    "{\"s\":\"b\",\"k\\u0041\":1}",
    "{\"s\":\"abc\",\"pq\":\"xyz\",\"z\":1,\"l\":[1,null,{\"q\":[]}]}",
    "{\"s\":\"abc\",\"z\":\"a\",\"z\":2}",
    "{\"s\":",
};

/* Everything that can be done with a schema; the first error. */
static sl_error *use(const char *text, const sl_json_options *options) {
    sl_json_schema *schema = NULL;
    sl_json_decoder *decoder = NULL;
    sl_builder builder = {0};
    sl_json_rejects rejects = {0};
    sl_error *error = sl_json_schema_compile(text, strlen(text), options, &schema);
    if (error != NULL) {
        return error;
    }
    error = sl_json_decoder_new(schema, &decoder);
    if (error == NULL) {
        error = sl_builder_init(&builder, sl_json_schema_columns(schema));
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(RECORDS) && error == NULL; i++) {
        bool accepted;
        error = sl_json_decode_text(decoder, RECORDS[i], strlen(RECORDS[i]), 0, &builder, &rejects,
                                    &accepted);
    }
    sl_json_rejects_free(&rejects);
    sl_builder_free(&builder);
    sl_json_decoder_free(decoder);
    sl_json_schema_free(schema);
    return error;
}

static void fail_each(const char *text, const sl_json_options *options) {
    sl_error_free(use(text, options)); /* what is made once in a process is made now */
    long before = live;
    long n = 0;
    for (bool done = false; !done; n++) {
        allowed = n;
        sl_error *error = use(text, options);
        /* refused memory that PCRE2's JIT asks for only makes matching slower */
        done = allowed > 0;
        allowed = -1;
        ck_assert_msg(error == NULL || sl_error_is(error, SL_ERROR_NO_MEMORY), "allocation %ld: %s",
                      n, error == NULL ? "" : sl_error_message(error));
        ck_assert_msg(error == NULL || !done, "%s", error == NULL ? "" : sl_error_message(error));
        sl_error_free(error);
        ck_assert_msg(live == before, "%ld blocks are left after allocation %ld fails",
                      live - before, n);
    }
    ck_assert_int_gt(n, 40);
}

START_TEST(every_allocation_fails_once) {
    static const sl_json_coercion coercion = {"m", "string->number"};
    const sl_json_options options[] = {
        {0},
        {.duplicates = SL_JSON_DUPLICATES_LAST_WINS, .rescue = true},
        {.coercions = &coercion, .n_coercions = 1},
    };
    for (size_t i = 0; i < 2 * SL_ARRAY_LENGTH(options); i++) {
        only_one = i % 2 == 1;
        fail_each(PLAIN, &options[i / 2]);
        fail_each(BEYOND, i / 2 == 2 ? NULL : &options[i / 2]);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("json_memory");
    TCase *cases = tcase_create("memory");
    tcase_add_test(cases, every_allocation_fails_once);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
