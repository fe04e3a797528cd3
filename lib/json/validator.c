/*
 * sl_json_validator: one schema, one scratch document, one verdict at a time. And the names of the
 * reasons.
 */
#include <stdlib.h>

#include "json/options.h"
#include "json/schema.h"

struct sl_json_validator {
    slj_set *set;
    slj_schema *root;
    slj_check *check;
    slj_doc doc;
    sl_buffer detail;
    size_t max_value_bytes;
};

static const struct {
    const char *name;
    const char *text;
} reasons[] = {
#define REASON(constant, name, text) [constant] = {name, text},
    SL_JSON_REASON_MAP(REASON)
#undef REASON
};

const char *sl_json_reason_name(sl_json_reason reason) {
    return reasons[reason].name;
}

const char *sl_json_reason_text(sl_json_reason reason) {
    return reasons[reason].text;
}

sl_error *slj_limits_read(const sl_json_options *options, slj_limits *out) {
    static const sl_json_options none;
    options = options == NULL ? &none : options;
    out->max_value_bytes =
        options->max_value_bytes == 0 ? SLJ_DEFAULT_VALUE_BYTES : options->max_value_bytes;
    out->max_depth = options->max_depth == 0 ? SLJ_DEFAULT_DEPTH : options->max_depth;
    if (out->max_value_bytes > SLJ_MAX_VALUE_BYTES) {
        return sl_error_new(SL_ERROR_CONFIG, "the largest record is %zu bytes, allowed is %zu",
                            out->max_value_bytes, SLJ_MAX_VALUE_BYTES);
    }
    if (out->max_depth > SLJ_MAX_DEPTH) {
        return sl_error_new(SL_ERROR_CONFIG, "the depth is %u, allowed is %u", out->max_depth,
                            SLJ_MAX_DEPTH);
    }
    return NULL;
}

sl_error *sl_json_validator_new(const char *text, size_t bytes, const sl_json_options *options,
                                sl_json_validator **out) {
    slj_limits limits;
    sl_error *error = slj_limits_read(options, &limits);
    sl_json_validator *validator = error == NULL ? calloc(1, sizeof *validator) : NULL;
    if (validator == NULL) {
        return error != NULL ? error : sl_error_no_memory();
    }
    validator->max_value_bytes = limits.max_value_bytes;
    validator->doc.reader.max_depth = limits.max_depth;
    validator->doc.reader.reject_duplicates =
        options == NULL || options->duplicates == SL_JSON_DUPLICATES_REJECT;
    error = slj_set_new(options, &validator->set);
    if (error == NULL) {
        error = slj_set_load(validator->set, text, bytes, &validator->root);
    }
    if (error == NULL) {
        validator->check = slj_check_new(validator->set);
        error = validator->check == NULL ? sl_error_no_memory() : NULL;
    }
    if (error != NULL) {
        sl_json_validator_free(validator);
        return error;
    }
    *out = validator;
    return NULL;
}

void sl_json_validator_free(sl_json_validator *validator) {
    if (validator != NULL) {
        slj_check_free(validator->check);
        slj_set_free(validator->set);
        slj_doc_free(&validator->doc);
        sl_buffer_free(&validator->detail);
        free(validator);
    }
}

static sl_error *refuse(sl_json_validator *validator, sl_json_reason reason, size_t at,
                        sl_json_verdict *out) {
    sl_buffer_clear(&validator->detail);
    sl_buffer_printf(&validator->detail, "%s, at byte %zu", sl_json_reason_text(reason), at);
    const char *detail = sl_buffer_text(&validator->detail);
    *out = (sl_json_verdict){reason, "$", detail};
    return detail == NULL ? sl_error_no_memory() : NULL;
}

sl_error *sl_json_validate(sl_json_validator *validator, const void *text, size_t bytes,
                           sl_json_verdict *out) {
    const slj_reader *reader = &validator->doc.reader;
    if (bytes > validator->max_value_bytes) {
        return refuse(validator, SL_JSON_TOO_LARGE, bytes, out);
    }
    if (!slj_doc_parse(&validator->doc, text, bytes)) {
        return reader->no_memory ? sl_error_no_memory()
                                 : refuse(validator, reader->reason,
                                          (size_t)(reader->error_at - reader->start), out);
    }
    return slj_check_run(validator->check, validator->root, &validator->doc, out);
}
