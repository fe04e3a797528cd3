/*
 * Fuzzes schemas: the text before the first 0 byte is a schema, what follows an instance. Compiling
 * ends with an object or with an error of the operator's, and the decoder and the validator agree
 * on what is valid wherever the columns hold the value.
 */
#include <stdlib.h>

#include "json/json.h"

static bool fits_no_column(sl_json_reason reason) {
    return reason == SL_JSON_INTEGER_RANGE || reason == SL_JSON_NUMBER_RANGE ||
           reason == SL_JSON_DECIMAL_RANGE || reason == SL_JSON_TYPE || reason == SL_JSON_FORMAT ||
           reason == SL_JSON_PATTERN_LIMIT;
}

static bool decode(const char *schema_text, size_t schema_bytes, const void *data, size_t bytes,
                   sl_json_reason *reason) {
    sl_json_schema *schema;
    sl_json_decoder *decoder;
    sl_builder builder;
    sl_json_rejects rejects = {0};
    bool accepted = false;
    sl_error *error = sl_json_schema_compile(schema_text, schema_bytes, NULL, &schema);
    if (error != NULL) {
        sl_error_free(error);
        return false;
    }
    if (sl_json_decoder_new(schema, &decoder) != NULL ||
        sl_builder_init(&builder, sl_json_schema_columns(schema)) != NULL ||
        sl_json_decode_text(decoder, data, bytes, 0, &builder, &rejects, &accepted) != NULL) {
        abort();
    }
    *reason = accepted ? SL_JSON_OK : rejects.items[0].reason;
    sl_json_rejects_free(&rejects);
    sl_builder_free(&builder);
    sl_json_decoder_free(decoder);
    sl_json_schema_free(schema);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    const uint8_t *zero = bytes == 0 ? NULL : memchr(data, 0, bytes);
    size_t schema_bytes = zero == NULL ? bytes : (size_t)(zero - data);
    const uint8_t *instance = zero == NULL ? (const uint8_t *)"{}" : zero + 1;
    size_t instance_bytes = zero == NULL ? 2 : bytes - schema_bytes - 1;
    sl_json_validator *validator;
    sl_json_verdict verdict;
    sl_json_reason reason;
    sl_error *error = sl_json_validator_new((const char *)data, schema_bytes, NULL, &validator);
    if (error != NULL) {
        if (sl_error_get_class(error) != SL_ERROR_CONFIG) {
            abort();
        }
        sl_error_free(error);
        return 0;
    }
    if (sl_json_validate(validator, instance, instance_bytes, &verdict) != NULL) {
        abort();
    }
    if (decode((const char *)data, schema_bytes, instance, instance_bytes, &reason) &&
        verdict.reason != SL_JSON_SCHEMA_DEPTH && !fits_no_column(reason) &&
        (reason == SL_JSON_OK) != (verdict.reason == SL_JSON_OK)) {
        abort();
    }
    sl_json_validator_free(validator);
    return 0;
}
