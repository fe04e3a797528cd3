/*
 * The metaschemas of draft 2020-12, as the specification defines them (what only annotates is left
 * out): schemas are checked by them, and a schema may refer to them.
 */
#include "json/schema.h"

#define BASE "https://json-schema.org/draft/2020-12/"

#define HEAD(name)                                                                                 \
    "{\"$schema\":\"" BASE "schema\",\"$id\":\"" BASE "meta/" name "\","                           \
    "\"$vocabulary\":{\"" BASE "vocab/" name "\":true},\"$dynamicAnchor\":\"meta\","               \
    "\"type\":[\"object\",\"boolean\"],"

#define SCHEMA "{\"$dynamicRef\":\"#meta\"}"
#define SCHEMA_MAP "{\"type\":\"object\",\"additionalProperties\":" SCHEMA "}"
#define DEF(name) "{\"$ref\":\"#/$defs/" name "\"}"

/* clang-format off: it would not break these lines where they read well */
/* Left as they are: these lines are broken where they read well. */
/* clang-format off */
static const char schema_text[] =
    "{\"$schema\":\"" BASE "schema\",\"$id\":\"" BASE "schema\",\"$vocabulary\":{"
    "\"" BASE "vocab/core\":true,\"" BASE "vocab/applicator\":true,"
    "\"" BASE "vocab/unevaluated\":true,\"" BASE "vocab/validation\":true,"
    "\"" BASE "vocab/meta-data\":true,\"" BASE "vocab/format-annotation\":true,"
    "\"" BASE "vocab/content\":true},\"$dynamicAnchor\":\"meta\",\"allOf\":["
    "{\"$ref\":\"meta/core\"},{\"$ref\":\"meta/applicator\"},{\"$ref\":\"meta/unevaluated\"},"
    "{\"$ref\":\"meta/validation\"},{\"$ref\":\"meta/meta-data\"},"
    "{\"$ref\":\"meta/format-annotation\"},{\"$ref\":\"meta/content\"}],"
    "\"type\":[\"object\",\"boolean\"],\"properties\":{"
    "\"definitions\":" SCHEMA_MAP ",\"dependencies\":{\"type\":\"object\","
    "\"additionalProperties\":{\"anyOf\":[" SCHEMA
    ",{\"$ref\":\"meta/validation#/$defs/stringArray\"}]}},"
    "\"$recursiveAnchor\":{\"$ref\":\"meta/core#/$defs/anchorString\"},"
    "\"$recursiveRef\":{\"$ref\":\"meta/core#/$defs/uriReferenceString\"}}}";

static const char core_text[] =
    HEAD("core")
    "\"properties\":{\"$id\":{\"$ref\":\"#/$defs/uriReferenceString\",\"pattern\":\"^[^#]*#?$\"},"
    "\"$schema\":" DEF("uriString") ",\"$ref\":" DEF("uriReferenceString") ","
    "\"$anchor\":" DEF("anchorString") ",\"$dynamicRef\":" DEF("uriReferenceString") ","
    "\"$dynamicAnchor\":" DEF("anchorString") ",\"$vocabulary\":{\"type\":\"object\","
    "\"propertyNames\":" DEF("uriString") ",\"additionalProperties\":{\"type\":\"boolean\"}},"
    "\"$comment\":{\"type\":\"string\"},\"$defs\":" SCHEMA_MAP "},\"$defs\":{"
    "\"anchorString\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z_][-A-Za-z0-9._]*$\"},"
    "\"uriString\":{\"type\":\"string\",\"format\":\"uri\"},"
    "\"uriReferenceString\":{\"type\":\"string\",\"format\":\"uri-reference\"}}}";

static const char applicator_text[] =
    HEAD("applicator")
    "\"properties\":{\"prefixItems\":" DEF("schemaArray") ",\"items\":" SCHEMA ","
    "\"contains\":" SCHEMA ",\"additionalProperties\":" SCHEMA ",\"properties\":" SCHEMA_MAP ","
    "\"patternProperties\":{\"type\":\"object\",\"additionalProperties\":" SCHEMA ","
    "\"propertyNames\":{\"format\":\"regex\"}},\"dependentSchemas\":" SCHEMA_MAP ","
    "\"propertyNames\":" SCHEMA ",\"if\":" SCHEMA ",\"then\":" SCHEMA ",\"else\":" SCHEMA ","
    "\"allOf\":" DEF("schemaArray") ",\"anyOf\":" DEF("schemaArray") ","
    "\"oneOf\":" DEF("schemaArray") ",\"not\":" SCHEMA "},\"$defs\":{\"schemaArray\":{"
    "\"type\":\"array\",\"minItems\":1,\"items\":" SCHEMA "}}}";

static const char unevaluated_text[] =
    HEAD("unevaluated")
    "\"properties\":{\"unevaluatedItems\":" SCHEMA ",\"unevaluatedProperties\":" SCHEMA "}}";

static const char validation_text[] =
    HEAD("validation")
    "\"properties\":{\"type\":{\"anyOf\":[" DEF("simpleTypes") ",{\"type\":\"array\","
    "\"items\":" DEF("simpleTypes") ",\"minItems\":1,\"uniqueItems\":true}]},"
    "\"const\":true,\"enum\":{\"type\":\"array\",\"items\":true},"
    "\"multipleOf\":{\"type\":\"number\",\"exclusiveMinimum\":0},"
    "\"maximum\":{\"type\":\"number\"},\"exclusiveMaximum\":{\"type\":\"number\"},"
    "\"minimum\":{\"type\":\"number\"},\"exclusiveMinimum\":{\"type\":\"number\"},"
    "\"maxLength\":" DEF("size") ",\"minLength\":" DEF("size") ","
    "\"pattern\":{\"type\":\"string\",\"format\":\"regex\"},"
    "\"maxItems\":" DEF("size") ",\"minItems\":" DEF("size") ","
    "\"uniqueItems\":{\"type\":\"boolean\"},"
    "\"maxContains\":" DEF("size") ",\"minContains\":" DEF("size") ","
    "\"maxProperties\":" DEF("size") ",\"minProperties\":" DEF("size") ","
    "\"required\":" DEF("stringArray") ",\"dependentRequired\":{\"type\":\"object\","
    "\"additionalProperties\":" DEF("stringArray") "}},\"$defs\":{"
    "\"size\":{\"type\":\"integer\",\"minimum\":0},"
    "\"nonNegativeInteger\":" DEF("size") ",\"nonNegativeIntegerDefault0\":" DEF("size") ","
    "\"simpleTypes\":{\"enum\":[\"array\",\"boolean\",\"integer\",\"null\",\"number\","
    "\"object\",\"string\"]},\"stringArray\":{\"type\":\"array\","
    "\"items\":{\"type\":\"string\"},\"uniqueItems\":true}}}";

static const char meta_data_text[] =
    HEAD("meta-data")
    "\"properties\":{\"title\":{\"type\":\"string\"},\"description\":{\"type\":\"string\"},"
    "\"default\":true,\"deprecated\":{\"type\":\"boolean\"},\"readOnly\":{\"type\":\"boolean\"},"
    "\"writeOnly\":{\"type\":\"boolean\"},\"examples\":{\"type\":\"array\",\"items\":true}}}";

static const char format_annotation_text[] =
    HEAD("format-annotation") "\"properties\":{\"format\":{\"type\":\"string\"}}}";

static const char format_assertion_text[] =
    HEAD("format-assertion") "\"properties\":{\"format\":{\"type\":\"string\"}}}";

static const char content_text[] =
    HEAD("content")
    "\"properties\":{\"contentEncoding\":{\"type\":\"string\"},"
    "\"contentMediaType\":{\"type\":\"string\"},\"contentSchema\":" SCHEMA "}}";
/* clang-format on */

static const struct {
    const char *uri;
    const char *text;
} documents[] = {
    {BASE "schema", schema_text},
    {BASE "meta/core", core_text},
    {BASE "meta/applicator", applicator_text},
    {BASE "meta/unevaluated", unevaluated_text},
    {BASE "meta/validation", validation_text},
    {BASE "meta/meta-data", meta_data_text},
    {BASE "meta/format-annotation", format_annotation_text},
    {BASE "meta/format-assertion", format_assertion_text},
    {BASE "meta/content", content_text},
};

const char *slj_metaschema_text(const char *uri) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(documents); i++) {
        if (strcmp(documents[i].uri, uri) == 0) {
            return documents[i].text;
        }
    }
    return NULL;
}
