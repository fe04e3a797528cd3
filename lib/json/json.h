/*
 * json: JSON (RFC 8259) into typed Arrow columns, directed by a JSON Schema (draft 2020-12), and a
 * full validator of that draft.
 *
 *   sl_json_schema    what a schema says, compiled: the columns, and the checks of each. Immutable;
 *                     shared by any number of threads.
 *   sl_json_decoder   decodes rows by one sl_json_schema; holds scratch memory; one thread at a
 *                     time.
 *   sl_json_validator validates single documents by a schema; no columns; one thread at a time.
 *
 * Nothing is ever fetched: a $ref to a document that was not given is a CONFIG error.
 */
#ifndef SL_JSON_H
#define SL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "columns/columns.h"
#include "sluice/arrow.h"

/*
 * Why a record was refused. The names are stable: they are written to quarantine tables.
 *   X(constant, name, text)
 * The first group says that the text is no acceptable JSON, the second that it does not fit its
 * column, the third which keyword of the schema failed.
 */
#define SL_JSON_REASON_MAP(X)                                                                      \
    X(SL_JSON_OK, "ok", "accepted")                                                                \
    X(SL_JSON_NULL_VALUE, "null_value", "the record has no value")                                 \
    X(SL_JSON_EMPTY, "empty", "the text is empty or only white space")                             \
    X(SL_JSON_TOO_LARGE, "too_large", "the text is longer than the limit")                         \
    X(SL_JSON_TOO_DEEP, "too_deep", "nested deeper than the limit")                                \
    X(SL_JSON_TRUNCATED, "truncated", "the text ends inside a value")                              \
    X(SL_JSON_TRAILING_BYTES, "trailing_bytes", "bytes follow the value")                          \
    X(SL_JSON_BAD_SYNTAX, "bad_syntax", "an unexpected character")                                 \
    X(SL_JSON_BAD_NUMBER, "bad_number", "not a JSON number")                                       \
    X(SL_JSON_BAD_ESCAPE, "bad_escape", "an escape sequence that JSON does not have")              \
    X(SL_JSON_BAD_UTF8, "bad_utf8", "bytes that are not UTF-8")                                    \
    X(SL_JSON_LONE_SURROGATE, "lone_surrogate", "half of a surrogate pair")                        \
    X(SL_JSON_CONTROL_CHARACTER, "control_character", "an unescaped control character")            \
    X(SL_JSON_DUPLICATE_KEY, "duplicate_key", "a key occurs twice in an object")                   \
    X(SL_JSON_NUMBER_RANGE, "number_out_of_range", "a number beyond the range of double")          \
    X(SL_JSON_INTEGER_RANGE, "integer_out_of_range", "an integer beyond 64 bits")                  \
    X(SL_JSON_DECIMAL_RANGE, "decimal_out_of_range", "more digits than the decimal holds")         \
    X(SL_JSON_COERCION, "coercion", "a value that the coercion cannot convert")                    \
    X(SL_JSON_TYPE, "type", "a value of another type")                                             \
    X(SL_JSON_REQUIRED, "required", "a required property is missing")                              \
    X(SL_JSON_ADDITIONAL_PROPERTY, "additional_property", "a property that is not allowed")        \
    X(SL_JSON_ENUM, "enum", "not one of the allowed values")                                       \
    X(SL_JSON_CONST, "const", "not the one allowed value")                                         \
    X(SL_JSON_FORMAT, "format", "text that does not follow its format")                            \
    X(SL_JSON_PATTERN, "pattern", "text that does not match the pattern")                          \
    X(SL_JSON_PATTERN_LIMIT, "pattern_limit", "matching the pattern took too long")                \
    X(SL_JSON_MIN_LENGTH, "min_length", "text shorter than allowed")                               \
    X(SL_JSON_MAX_LENGTH, "max_length", "text longer than allowed")                                \
    X(SL_JSON_MINIMUM, "minimum", "a number below the minimum")                                    \
    X(SL_JSON_MAXIMUM, "maximum", "a number above the maximum")                                    \
    X(SL_JSON_EXCLUSIVE_MINIMUM, "exclusive_minimum", "a number not above the minimum")            \
    X(SL_JSON_EXCLUSIVE_MAXIMUM, "exclusive_maximum", "a number not below the maximum")            \
    X(SL_JSON_MULTIPLE_OF, "multiple_of", "not a multiple")                                        \
    X(SL_JSON_MIN_ITEMS, "min_items", "fewer items than allowed")                                  \
    X(SL_JSON_MAX_ITEMS, "max_items", "more items than allowed")                                   \
    X(SL_JSON_UNIQUE_ITEMS, "unique_items", "two equal items")                                     \
    X(SL_JSON_CONTAINS, "contains", "too few or too many items that match `contains`")             \
    X(SL_JSON_MIN_PROPERTIES, "min_properties", "fewer properties than allowed")                   \
    X(SL_JSON_MAX_PROPERTIES, "max_properties", "more properties than allowed")                    \
    X(SL_JSON_PROPERTY_NAMES, "property_names", "a property name that is not allowed")             \
    X(SL_JSON_DEPENDENT_REQUIRED, "dependent_required", "a property that another one requires")    \
    X(SL_JSON_FALSE_SCHEMA, "false_schema", "nothing is allowed here")                             \
    X(SL_JSON_ANY_OF, "any_of", "no alternative of anyOf fits")                                    \
    X(SL_JSON_ONE_OF, "one_of", "not exactly one alternative of oneOf fits")                       \
    X(SL_JSON_NOT, "not", "the schema under `not` fits")                                           \
    X(SL_JSON_UNEVALUATED, "unevaluated", "an item or property that no schema covers")             \
    X(SL_JSON_SCHEMA_DEPTH, "schema_depth", "validation nests too deeply")

typedef enum sl_json_reason {
#define SL_JSON_REASON_ENUM(constant, name, text) constant,
    SL_JSON_REASON_MAP(SL_JSON_REASON_ENUM)
#undef SL_JSON_REASON_ENUM
} sl_json_reason;

/* The stable name ("bad_utf8") and the text of a reason; static. */
const char *sl_json_reason_name(sl_json_reason reason);
const char *sl_json_reason_text(sl_json_reason reason);

/* ---- options ---- */

typedef enum sl_json_duplicates {
    SL_JSON_DUPLICATES_REJECT,    /* a key that occurs twice rejects the record */
    SL_JSON_DUPLICATES_LAST_WINS, /* the last value counts, the ones before are not looked at */
} sl_json_duplicates;

/*
 * Lenient conversions, off unless asked for, column by column.
 *   X(constant, name, meaning)
 */
#define SL_JSON_COERCION_MAP(X)                                                                    \
    X(SL_JSON_COERCE_STRING_TO_INTEGER, "string->integer", "\"42\" for an integer")                \
    X(SL_JSON_COERCE_STRING_TO_NUMBER, "string->number", "\"4.2\" for a number or decimal")        \
    X(SL_JSON_COERCE_STRING_TO_BOOLEAN, "string->boolean", "\"true\" and \"false\"")               \
    X(SL_JSON_COERCE_INTEGER_TO_BOOLEAN, "integer->boolean", "1 and 0")                            \
    X(SL_JSON_COERCE_NUMBER_TO_STRING, "number->string", "42 becomes \"42\", as it is written")    \
    X(SL_JSON_COERCE_BOOLEAN_TO_STRING, "boolean->string", "true becomes \"true\"")                \
    X(SL_JSON_COERCE_EPOCH_S, "epoch_s->date-time", "seconds since 1970-01-01 UTC")                \
    X(SL_JSON_COERCE_EPOCH_MS, "epoch_ms->date-time", "milliseconds since 1970-01-01 UTC")         \
    X(SL_JSON_COERCE_EPOCH_US, "epoch_us->date-time", "microseconds since 1970-01-01 UTC")         \
    X(SL_JSON_COERCE_EMPTY_TO_NULL, "empty->null", "\"\" for null in a nullable column")

typedef enum sl_json_coercion_kind {
#define SL_JSON_COERCION_ENUM(constant, name, meaning) constant,
    SL_JSON_COERCION_MAP(SL_JSON_COERCION_ENUM)
#undef SL_JSON_COERCION_ENUM
} sl_json_coercion_kind;

typedef struct sl_json_coercion {
    const char *column; /* dotted path, as sl_schema_resolve takes it; of a list: its items */
    const char *name;   /* one of SL_JSON_COERCION_MAP's names, or several with commas between */
} sl_json_coercion;

/* A document that $ref may name. Borrowed during the call that takes it. */
typedef struct sl_json_remote {
    const char *uri;
    const char *text;
    size_t bytes;
} sl_json_remote;

typedef struct sl_json_options {
    size_t max_value_bytes; /* of one record; 0: 64 MiB; at most 1 GiB */
    uint32_t max_depth;     /* of arrays and objects; 0: 64; at most 256 */
    sl_json_duplicates duplicates;
    bool rescue;         /* unknown properties are kept as JSON text in the column _rescued_data */
    bool assert_formats; /* every `format` is checked, not only date-time and date */
    const sl_json_coercion *coercions;
    size_t n_coercions;
    const sl_json_remote *remotes;
    size_t n_remotes;
} sl_json_options;

/* ---- schemas and columns ---- */

typedef struct sl_json_schema sl_json_schema;

/*
 * Compiles a JSON Schema whose instances are objects into columns, in the order of `properties`:
 * string -> utf8, integer -> int64, number -> double, boolean, date-time -> timestamp UTC in
 * microseconds (digits beyond are cut), date -> date32, "x-sluice-type": "decimal(P,S)" ->
 * decimal128, object with `properties` -> struct, array with `items` -> list. What has no single
 * type (anyOf of several, a recursive $ref, an object without `properties`, or "x-sluice-type":
 * "json") becomes utf8 holding the JSON text as it was received. A column may be null when `type`
 * allows null or when the property is not required.
 *
 * Keywords beyond those that the decoder checks by itself (see sl_json_schema_needs_validator) are
 * checked by the validator for each record.
 *
 * `options` may be NULL. On success *out is owned by the caller (sl_json_schema_free). Errors:
 * CONFIG, with the JSON path of the place in the schema.
 */
sl_error *sl_json_schema_compile(const char *text, size_t bytes, const sl_json_options *options,
                                 sl_json_schema **out);
void sl_json_schema_free(sl_json_schema *schema);

/* The columns as a struct schema, borrowed. The last one is _rescued_data when options.rescue. */
const struct ArrowSchema *sl_json_schema_columns(const sl_json_schema *schema);

/* True when each record is parsed a second time by the validator; *keyword (may be NULL) gets the
 * first keyword that makes it so, borrowed. */
bool sl_json_schema_needs_validator(const sl_json_schema *schema, const char **keyword);

/* ---- decoding ---- */

/* One refused record. The texts lie in sl_json_rejects.text. */
typedef struct sl_json_reject {
    int64_t row; /* of the input column, as the caller numbers it */
    sl_json_reason reason;
    uint32_t path_bytes;
    uint32_t detail_bytes;
    size_t path_at;   /* "$.session.duration_ms", "$.tags[3]"; "$" for the whole record */
    size_t detail_at; /* what was found and what is allowed */
} sl_json_reject;

/* Zero-initialise; sl_json_rejects_clear keeps the memory, _free gives it back. */
typedef struct sl_json_rejects {
    sl_json_reject *items;
    size_t n;
    size_t capacity;
    sl_buffer text;
} sl_json_rejects;

void sl_json_rejects_clear(sl_json_rejects *rejects);
void sl_json_rejects_free(sl_json_rejects *rejects);

typedef struct sl_json_decoder sl_json_decoder;

/* The decoder borrows `schema`, which must outlive it. Errors: NO_MEMORY. */
sl_error *sl_json_decoder_new(const sl_json_schema *schema, sl_json_decoder **out);
void sl_json_decoder_free(sl_json_decoder *decoder);

/*
 * Decodes rows [first, first + rows) of a binary (or utf8) array and appends each accepted one to
 * `out`, a builder of sl_json_schema_columns; each other one is added to `rejects`, in the order of
 * the rows. `out` never holds half a row. Errors: NO_MEMORY (rows before are appended; the caller
 * gives the batch up), CONFIG when a column would pass 2 GiB.
 */
sl_error *sl_json_decode(sl_json_decoder *decoder, const struct ArrowArray *values, int64_t first,
                         int64_t rows, sl_builder *out, sl_json_rejects *rejects);

/* Decodes one text; like sl_json_decode for a single row numbered `row`. *accepted says which. */
sl_error *sl_json_decode_text(sl_json_decoder *decoder, const void *text, size_t bytes, int64_t row,
                              sl_builder *out, sl_json_rejects *rejects, bool *accepted);

/* Properties that were dropped since the decoder was made (accepted records only). */
uint64_t sl_json_decoder_dropped(const sl_json_decoder *decoder);

/* ---- checking and validating single documents ---- */

/* What is wrong with a document. `path` and `detail` are borrowed from the object that judged. */
typedef struct sl_json_verdict {
    sl_json_reason reason; /* SL_JSON_OK: nothing */
    const char *path;      /* JSON path into the instance */
    const char *detail;
} sl_json_verdict;

typedef struct sl_json_validator sl_json_validator;

/*
 * A validator for one schema (2020-12, every vocabulary; format asserts with
 * options->assert_formats or by the format-assertion vocabulary). The schema is itself validated by
 * its metaschema. Owned by the caller. Errors: CONFIG with the place in the schema.
 */
sl_error *sl_json_validator_new(const char *text, size_t bytes, const sl_json_options *options,
                                sl_json_validator **out);
void sl_json_validator_free(sl_json_validator *validator);

/* Parses and validates one document. Errors: NO_MEMORY only; the verdict is valid until the next
 * call. */
sl_error *sl_json_validate(sl_json_validator *validator, const void *text, size_t bytes,
                           sl_json_verdict *out);

#endif /* SL_JSON_H */
