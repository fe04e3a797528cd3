/*
 * Fuzzes the decoder: any bytes, by schemas that together use every kind of column, check and
 * option. The first byte chooses among them. What is accepted must be sound Arrow of exactly one
 * row, and be JSON to the parser of documents as well; what is refused must leave nothing behind.
 */
#include <stdlib.h>

#include "json/doc.h"

static const char WIDE[] =
    "{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\",\"maxLength\":9},"
    "\"e\":{\"enum\":[\"a\",\"bb\",null,\"longer than eight\"]},\"i\":{\"type\":\"integer\","
    "\"minimum\":-5,\"multipleOf\":3},\"n\":{\"type\":[\"number\",\"null\"],\"multipleOf\":0.01},"
    "\"b\":{\"type\":\"boolean\"},\"t\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"d\":{\"type\":\"string\",\"format\":\"date\"},\"m\":{\"type\":\"number\","
    "\"x-sluice-type\":\"decimal(20,4)\",\"maximum\":1e6},\"x\":{},"
    "\"p\":{\"type\":\"string\",\"pattern\":\"^(a|b)*c\"},"
    "\"o\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"integer\"},"
    "\"l\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}},"
    "\"required\":[\"k\"]},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
    "\"properties\":{\"v\":{\"type\":[\"integer\",\"null\"]},\"w\":{\"type\":\"string\"}}},"
    "\"maxItems\":4}},\"required\":[\"s\"]}";

static const char BEYOND[] =
    "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/n\"},\"b\":{\"anyOf\":["
    "{\"type\":\"integer\"},{\"type\":\"null\"}]},\"c\":{\"type\":\"array\",\"uniqueItems\":true,"
    "\"items\":{}}},\"unevaluatedProperties\":false,\"if\":{\"required\":[\"a\"]},"
    "\"then\":{\"required\":[\"b\"]},\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{"
    "\"v\":{\"type\":\"integer\"},\"next\":{\"$ref\":\"#/$defs/n\"}}}}}";

static const sl_json_coercion COERCIONS[] = {
    {"s", "number->string,boolean->string,empty->null"},
    {"i", "string->integer"},
    {"n", "string->number"},
    {"b", "string->boolean,integer->boolean"},
    {"t", "epoch_ms->date-time"},
    {"m", "string->number"},
};

#define VARIANTS 5
static sl_json_schema *schemas[VARIANTS];
static sl_json_decoder *decoders[VARIANTS];
static sl_builder builders[VARIANTS];
static sl_json_rejects rejects;
static slj_doc doc;

static void must(bool good) {
    if (!good) {
        abort();
    }
}

static void prepare(void) {
    const sl_json_options options[VARIANTS] = {
        {.max_depth = 32},
        {.max_depth = 32, .duplicates = SL_JSON_DUPLICATES_LAST_WINS, .rescue = true},
        {.max_depth = 32, .rescue = true, .coercions = COERCIONS, .n_coercions = 6},
        {.max_depth = 32},
        {.max_depth = 32, .duplicates = SL_JSON_DUPLICATES_LAST_WINS},
    };
    for (int i = 0; i < VARIANTS; i++) {
        const char *text = i < 3 ? WIDE : BEYOND;
        must(sl_json_schema_compile(text, strlen(text), &options[i], &schemas[i]) == NULL);
        must(sl_json_decoder_new(schemas[i], &decoders[i]) == NULL);
        must(sl_builder_init(&builders[i], sl_json_schema_columns(schemas[i])) == NULL);
    }
}

static bool is_syntax(sl_json_reason reason) {
    return reason <= SL_JSON_DUPLICATE_KEY && reason != SL_JSON_TOO_LARGE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (schemas[0] == NULL) {
        prepare();
    }
    if (bytes == 0) {
        return 0;
    }
    int which = data[0] % VARIANTS;
    sl_builder *builder = &builders[which];
    bool accepted;
    data++;
    bytes--;
    sl_json_rejects_clear(&rejects);
    must(sl_json_decode_text(decoders[which], data, bytes, 0, builder, &rejects, &accepted) ==
         NULL);
    must(rejects.n == !accepted && builder->length == accepted);
    for (size_t i = 0; i < builder->n_children; i++) {
        must(builder->children[i].length == accepted);
    }
    doc.reader.max_depth = 32;
    doc.reader.reject_duplicates = which != 1 && which != 4;
    bool is_json = slj_doc_parse(&doc, data, bytes);
    must(is_json == (accepted || !is_syntax(rejects.items[0].reason)));
    struct ArrowArray array;
    const struct ArrowSchema *columns = sl_json_schema_columns(schemas[which]);
    must(sl_builder_finish(builder, &array) == NULL);
    must(sl_array_check(columns, &array) == NULL);
    array.release(&array);
    return 0;
}
