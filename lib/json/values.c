/*
 * Reading single values: what values.h leaves. Null, coercions, strings with escapes or non-ASCII
 * text, dates, decimals of unusual form, and all checks that fail.
 */
#include "json/values.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "json/temporal.h"

/* ---- failures ---- */

const uint8_t *slj_no_memory(sl_json_decoder *decoder) {
    decoder->reader.no_memory = true;
    return NULL;
}

const uint8_t *slj_malformed(sl_json_decoder *decoder) {
    decoder->reason = decoder->reader.reason;
    decoder->value_at = NULL;
    return NULL;
}

const uint8_t *slj_misfit(sl_json_decoder *decoder, sl_json_reason reason, const uint8_t *at,
                          const char *format, ...) {
    va_list args;
    char text[256];
    if (slj_skip_value(&decoder->reader, at, 0) == NULL) {
        return slj_malformed(decoder);
    }
    decoder->reason = reason;
    decoder->value_at = at;
    sl_buffer_clear(&decoder->allowed);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sl_buffer_append_text(&decoder->allowed, text);
    return NULL;
}

/* Adds the value of a keyword of the plan's schema to what is allowed. */
static void append_keyword(sl_json_decoder *decoder, const slj_plan *plan, const char *keyword) {
    const slj_schema *schema = plan->schema;
    uint32_t node = schema->constant < 0 ? slj_doc_get(schema->doc, schema->node, keyword) : 0;
    if (node != 0) {
        sl_buffer_append_byte(&decoder->allowed, ' ');
        slj_doc_write(schema->doc, node, decoder->allowed.bytes + 160, &decoder->allowed);
    }
}

static bool misfit_by(sl_json_decoder *decoder, sl_json_reason reason, const uint8_t *at,
                      const slj_plan *plan, const char *words, const char *keyword) {
    slj_misfit(decoder, reason, at, "%s", words);
    if (decoder->reason == reason && decoder->value_at == at) {
        append_keyword(decoder, plan, keyword);
    }
    return false;
}

static const char *kind_name(slj_plan_kind kind) {
    static const char *const names[] = {
        "string",      "integer", "number", "boolean", "date-time string",
        "date string", "number",  "object", "array",   "any JSON value"};
    return names[kind];
}

const uint8_t *slj_bad_number(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                              slj_integer_result result) {
    if (result == SLJ_INTEGER_RANGE) {
        return slj_misfit(decoder, SL_JSON_INTEGER_RANGE, at,
                          "allowed are -9223372036854775808 to 9223372036854775807");
    }
    return slj_misfit(decoder, SL_JSON_TYPE, at, "allowed type: %s", kind_name(plan->kind));
}

/* ---- checks ---- */

static bool misfit_choice(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan) {
    const slj_schema *schema = plan->schema;
    bool single = schema->const_node != 0 && schema->enum_node == 0;
    return misfit_by(decoder, single ? SL_JSON_CONST : SL_JSON_ENUM, at, plan,
                     single ? "allowed is only" : "allowed is one of", single ? "const" : "enum");
}

bool slj_check_string(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                      const uint8_t *text, size_t bytes) {
    if ((plan->checks & SLJ_CHECK_CHOICES) && !slj_is_choice(plan, text, bytes)) {
        return misfit_choice(decoder, at, plan);
    }
    if (plan->checks & SLJ_CHECK_LENGTH) {
        uint64_t length = slj_code_points(text, bytes);
        if (length < plan->min_length) {
            slj_misfit(decoder, SL_JSON_MIN_LENGTH, at, "of length %llu, the shortest is %llu",
                       (unsigned long long)length, (unsigned long long)plan->min_length);
            return false;
        }
        if (length > plan->max_length) {
            slj_misfit(decoder, SL_JSON_MAX_LENGTH, at, "of length %llu, the longest is %llu",
                       (unsigned long long)length, (unsigned long long)plan->max_length);
            return false;
        }
    }
    if (plan->checks & SLJ_CHECK_PATTERN) {
        slj_regex_result result = slj_regex_match(plan->pattern, decoder->matcher, text, bytes);
        if (result != SLJ_REGEX_MATCH) {
            return misfit_by(decoder,
                             result == SLJ_REGEX_LIMIT ? SL_JSON_PATTERN_LIMIT : SL_JSON_PATTERN,
                             at, plan, "the pattern is", "pattern");
        }
    }
    return true;
}

/* Which of two keywords set the bound that was passed. */
static bool misfit_range(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                         bool upper) {
    const slj_schema *schema = plan->schema;
    unsigned open_bit = 1u << (upper ? SLJ_EXCLUSIVE_MAXIMUM : SLJ_EXCLUSIVE_MINIMUM);
    unsigned closed_bit = 1u << (upper ? SLJ_MAXIMUM : SLJ_MINIMUM);
    bool open = (schema->bounds_present & open_bit) != 0;
    if (open && (schema->bounds_present & closed_bit)) { /* both are there: the tighter one */
        const slj_decimal *a =
            &schema->bounds[upper ? SLJ_EXCLUSIVE_MAXIMUM : SLJ_EXCLUSIVE_MINIMUM];
        const slj_decimal *b = &schema->bounds[upper ? SLJ_MAXIMUM : SLJ_MINIMUM];
        int order = slj_decimal_compare(a, b);
        open = upper ? order <= 0 : order >= 0;
    }
    if (upper) {
        return open ? misfit_by(decoder, SL_JSON_EXCLUSIVE_MAXIMUM, at, plan, "it must be below",
                                "exclusiveMaximum")
                    : misfit_by(decoder, SL_JSON_MAXIMUM, at, plan, "the maximum is", "maximum");
    }
    return open ? misfit_by(decoder, SL_JSON_EXCLUSIVE_MINIMUM, at, plan, "it must be above",
                            "exclusiveMinimum")
                : misfit_by(decoder, SL_JSON_MINIMUM, at, plan, "the minimum is", "minimum");
}

static bool check_multiple(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                           const slj_number *number) {
    slj_decimal value = slj_decimal_from_text(number->text, number->bytes);
    return slj_decimal_is_multiple(&value, &plan->multiple) ||
           misfit_by(decoder, SL_JSON_MULTIPLE_OF, at, plan, "it must be a multiple of",
                     "multipleOf");
}

bool slj_check_integer(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                       const slj_number *number, int64_t value) {
    if (value < plan->low || value > plan->high) {
        return misfit_range(decoder, at, plan, value > plan->high);
    }
    if (plan->checks & SLJ_CHECK_MULTIPLE) {
        bool good = plan->multiple_integer != 0 && value % plan->multiple_integer == 0;
        if (!good && !check_multiple(decoder, at, plan, number)) {
            return false;
        }
    }
    if (plan->checks & SLJ_CHECK_CHOICES) {
        for (uint32_t i = 0; i < plan->n_choices; i++) {
            if (plan->choices[i].integer == value) {
                return true;
            }
        }
        return misfit_choice(decoder, at, plan);
    }
    return true;
}

bool slj_check_number(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                      const slj_number *number, double value) {
    bool low = plan->bounds_open[0] ? value > plan->low_number : value >= plan->low_number;
    bool high = plan->bounds_open[1] ? value < plan->high_number : value <= plan->high_number;
    if (!low || !high) {
        return misfit_range(decoder, at, plan, !high);
    }
    if ((plan->checks & SLJ_CHECK_MULTIPLE) && !check_multiple(decoder, at, plan, number)) {
        return false;
    }
    if (plan->checks & SLJ_CHECK_CHOICES) {
        for (uint32_t i = 0; i < plan->n_choices; i++) {
            if (plan->choices[i].number == value) {
                return true;
            }
        }
        return misfit_choice(decoder, at, plan);
    }
    return true;
}

const uint8_t *slj_store_decimal(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                                 const slj_number *number, sl_builder *out) {
    slj_decimal decimal = slj_decimal_from_text(number->text, number->bytes);
    slj_i128 value, limit = 1;
    slj_scaled_result result = slj_decimal_scale(&decimal, plan->scale, &value);
    for (int32_t i = 0; i < plan->precision; i++) {
        limit *= 10;
    }
    bool holds = result == SLJ_SCALED_OK && value < limit && value > -limit;
    bool in_range = result != SLJ_SCALED_RANGE && value >= plan->low && value <= plan->high;
    if ((plan->checks & SLJ_CHECK_RANGE) && !in_range &&
        (holds || !(value < limit && value > -limit))) {
        /* out of the schema's bounds: that says more than the type does */
        bool upper = result == SLJ_SCALED_RANGE ? !decimal.negative : value > plan->high;
        unsigned bits = upper ? 1u << SLJ_MAXIMUM | 1u << SLJ_EXCLUSIVE_MAXIMUM
                              : 1u << SLJ_MINIMUM | 1u << SLJ_EXCLUSIVE_MINIMUM;
        if (plan->schema->bounds_present & bits) {
            misfit_range(decoder, at, plan, upper);
            return NULL;
        }
    }
    if (!holds) {
        return slj_misfit(decoder, SL_JSON_DECIMAL_RANGE, at,
                          "decimal(%d,%d) holds %d digits before the point and %d behind it",
                          plan->precision, plan->scale, plan->precision - plan->scale, plan->scale);
    }
    if (!in_range) {
        misfit_range(decoder, at, plan, value > plan->high);
        return NULL;
    }
    if ((plan->checks & SLJ_CHECK_MULTIPLE) && !check_multiple(decoder, at, plan, number)) {
        return NULL;
    }
    return sl_builder_append_bytes(out, &value, sizeof value) ? at : slj_no_memory(decoder);
}

/* ---- strings ---- */

/* The string at p: its text without escapes, readable 8 bytes past its end; NULL when malformed. */
static const uint8_t *string_text(sl_json_decoder *decoder, const uint8_t *p, const uint8_t **text,
                                  size_t *bytes) {
    unsigned flags;
    const uint8_t *quote = slj_scan_string(&decoder->reader, p + 1, &flags);
    if (quote == NULL) {
        return slj_malformed(decoder);
    }
    *text = p + 1;
    *bytes = (size_t)(quote - p - 1);
    if (flags & SLJ_STRING_ESCAPES) {
        sl_buffer_clear(&decoder->unescaped);
        if (!sl_buffer_reserve(&decoder->unescaped, *bytes + 16)) {
            return slj_no_memory(decoder);
        }
        *bytes = slj_unescape(*text, *bytes, decoder->unescaped.data);
        *text = decoder->unescaped.data;
        memset(decoder->unescaped.data + *bytes, 0, 16);
    }
    return quote + 1;
}

const uint8_t *slj_decode_string_slow(sl_json_decoder *decoder, const uint8_t *p,
                                      const slj_plan *plan, sl_builder *out) {
    const uint8_t *text;
    size_t bytes;
    const uint8_t *behind = string_text(decoder, p, &text, &bytes);
    if (behind == NULL || (plan->checks != 0 && !slj_check_string(decoder, p, plan, text, bytes))) {
        return NULL;
    }
    return sl_builder_append_bytes(out, text, bytes) ? behind : slj_no_memory(decoder);
}

const uint8_t *slj_decode_timestamp_slow(sl_json_decoder *decoder, const uint8_t *p,
                                         const slj_plan *plan, sl_builder *out) {
    const uint8_t *text;
    size_t bytes;
    int64_t us;
    int32_t days;
    if (*p != '"' || slj_is_empty_null(plan, p)) {
        return slj_decode_other(decoder, p, plan, out);
    }
    const uint8_t *behind = string_text(decoder, p, &text, &bytes);
    if (behind == NULL) {
        return NULL;
    }
    if (!slj_parse_date_time(text, bytes, &us)) {
        return slj_misfit(decoder, SL_JSON_FORMAT, p,
                          "allowed is a date-time of RFC 3339, \"2026-11-22T10:00:00.123Z\"");
    }
    if (text[10] == 'T' && slj_parse_date(text, 10, &days)) {
        decoder->date_head = slj_load8(text);
        memcpy(&decoder->date_tail, text + 7, sizeof decoder->date_tail);
        decoder->date_us = (int64_t)days * INT64_C(86400000000);
    }
    return sl_builder_append_i64(out, us) ? behind : slj_no_memory(decoder);
}

const uint8_t *slj_decode_date(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                               sl_builder *out) {
    const uint8_t *text;
    size_t bytes;
    int32_t days;
    if (*p != '"' || slj_is_empty_null(plan, p)) {
        return slj_decode_other(decoder, p, plan, out);
    }
    const uint8_t *behind = string_text(decoder, p, &text, &bytes);
    if (behind == NULL) {
        return NULL;
    }
    if (!slj_parse_date(text, bytes, &days)) {
        return slj_misfit(decoder, SL_JSON_FORMAT, p,
                          "allowed is a date of RFC 3339, \"2026-11-22\"");
    }
    return sl_builder_append_i64(out, days) ? behind : slj_no_memory(decoder);
}

const uint8_t *slj_decode_text(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                               sl_builder *out, uint32_t depth) {
    (void)plan;
    const uint8_t *behind = slj_skip_value(&decoder->reader, p, depth);
    if (behind == NULL) {
        return slj_malformed(decoder);
    }
    bool good = *p == 'n' ? sl_builder_append_null(out)
                          : sl_builder_append_bytes(out, p, (size_t)(behind - p));
    return good ? behind : slj_no_memory(decoder);
}

/* ---- null, booleans with checks, coercions ---- */

static bool takes(const slj_plan *plan, sl_json_coercion_kind kind) {
    return (plan->coercions & (1u << kind)) != 0;
}

static const uint8_t *append_boolean(sl_json_decoder *decoder, const uint8_t *p,
                                     const uint8_t *behind, const slj_plan *plan, bool value,
                                     sl_builder *out) {
    for (uint32_t i = 0; (plan->checks & SLJ_CHECK_CHOICES) && i <= plan->n_choices; i++) {
        if (i == plan->n_choices) {
            misfit_choice(decoder, p, plan);
            return NULL;
        }
        if (plan->choices[i].integer == value) {
            break;
        }
    }
    return sl_builder_append_bool(out, value) ? behind : slj_no_memory(decoder);
}

/* A string that holds a number: decodes the number in it, as if it stood there without quotes. */
static const uint8_t *number_in_string(sl_json_decoder *decoder, const uint8_t *p,
                                       const slj_plan *plan, sl_builder *out) {
    const uint8_t *text, *end = NULL;
    size_t bytes;
    slj_number number;
    const uint8_t *behind = string_text(decoder, p, &text, &bytes);
    if (behind == NULL) {
        return NULL;
    }
    if (slj_starts_number(*text)) {
        end = slj_scan_number(text, &number);
    }
    if (end != text + bytes) {
        return slj_misfit(decoder, SL_JSON_COERCION, p, "it does not hold a number");
    }
    int64_t integer;
    double value;
    switch (plan->kind) {
    case SLJ_PLAN_INTEGER:
        if (slj_number_to_i64(&number, &integer) != SLJ_INTEGER_OK) {
            return slj_misfit(decoder, SL_JSON_COERCION, p, "it does not hold a 64-bit integer");
        }
        return slj_check_integer(decoder, p, plan, &number, integer)
                   ? (sl_builder_append_i64(out, integer) ? behind : slj_no_memory(decoder))
                   : NULL;
    case SLJ_PLAN_NUMBER:
        if (!slj_number_to_double(&number, &value)) {
            return slj_misfit(decoder, SL_JSON_COERCION, p, "beyond the range of a double");
        }
        return slj_check_number(decoder, p, plan, &number, value)
                   ? (sl_builder_append_double(out, value) ? behind : slj_no_memory(decoder))
                   : NULL;
    default:
        return slj_store_decimal(decoder, p, plan, &number, out) == NULL ? NULL : behind;
    }
}

static const uint8_t *coerce_string(sl_json_decoder *decoder, const uint8_t *p,
                                    const slj_plan *plan, sl_builder *out) {
    if (takes(plan, SL_JSON_COERCE_STRING_TO_INTEGER) ||
        takes(plan, SL_JSON_COERCE_STRING_TO_NUMBER)) {
        return number_in_string(decoder, p, plan, out);
    }
    const uint8_t *text;
    size_t bytes;
    const uint8_t *behind = string_text(decoder, p, &text, &bytes);
    if (behind == NULL) {
        return NULL;
    }
    bool yes = bytes == 4 && memcmp(text, "true", 4) == 0;
    bool no = bytes == 5 && memcmp(text, "false", 5) == 0;
    if (!yes && !no) {
        return slj_misfit(decoder, SL_JSON_COERCION, p, "allowed are \"true\" and \"false\"");
    }
    return append_boolean(decoder, p, behind, plan, yes, out);
}

static const uint8_t *coerce_epoch(sl_json_decoder *decoder, const uint8_t *p,
                                   const uint8_t *behind, const slj_number *number,
                                   int64_t us_per_unit, sl_builder *out) {
    int64_t value;
    if (slj_number_to_i64(number, &value) != SLJ_INTEGER_OK ||
        __builtin_mul_overflow(value, us_per_unit, &value)) {
        return slj_misfit(decoder, SL_JSON_COERCION, p, "it is no integer time since 1970");
    }
    return sl_builder_append_i64(out, value) ? behind : slj_no_memory(decoder);
}

static const uint8_t *coerce_number(sl_json_decoder *decoder, const uint8_t *p,
                                    const uint8_t *behind, const slj_number *number,
                                    const slj_plan *plan, sl_builder *out) {
    int64_t value;
    if (takes(plan, SL_JSON_COERCE_NUMBER_TO_STRING)) {
        if (plan->checks != 0 && !slj_check_string(decoder, p, plan, p, (size_t)(behind - p))) {
            return NULL;
        }
        return sl_builder_append_bytes(out, p, (size_t)(behind - p)) ? behind
                                                                     : slj_no_memory(decoder);
    }
    if (takes(plan, SL_JSON_COERCE_INTEGER_TO_BOOLEAN)) {
        if (slj_number_to_i64(number, &value) != SLJ_INTEGER_OK || value < 0 || value > 1) {
            return slj_misfit(decoder, SL_JSON_COERCION, p, "allowed are 0 and 1");
        }
        return append_boolean(decoder, p, behind, plan, value == 1, out);
    }
    return coerce_epoch(decoder, p, behind, number,
                        takes(plan, SL_JSON_COERCE_EPOCH_US)   ? 1
                        : takes(plan, SL_JSON_COERCE_EPOCH_MS) ? 1000
                                                               : 1000000,
                        out);
}

const uint8_t *slj_decode_other(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                                sl_builder *out) {
    const uint32_t from_string = 1u << SL_JSON_COERCE_STRING_TO_INTEGER |
                                 1u << SL_JSON_COERCE_STRING_TO_NUMBER |
                                 1u << SL_JSON_COERCE_STRING_TO_BOOLEAN;
    const uint32_t from_number = 1u << SL_JSON_COERCE_NUMBER_TO_STRING |
                                 1u << SL_JSON_COERCE_INTEGER_TO_BOOLEAN |
                                 1u << SL_JSON_COERCE_EPOCH_S | 1u << SL_JSON_COERCE_EPOCH_MS |
                                 1u << SL_JSON_COERCE_EPOCH_US;
    const uint8_t *behind = slj_skip_value(&decoder->reader, p, 0);
    if (behind == NULL) {
        return slj_malformed(decoder);
    }
    if ((*p == 'n' && plan->nullable) || slj_is_empty_null(plan, p)) {
        return sl_builder_append_null(out) ? behind : slj_no_memory(decoder);
    }
    bool truth = *p == 't' || *p == 'f';
    if (truth && plan->kind == SLJ_PLAN_BOOLEAN) {
        return append_boolean(decoder, p, behind, plan, *p == 't', out);
    }
    if (truth && takes(plan, SL_JSON_COERCE_BOOLEAN_TO_STRING)) {
        if (plan->checks != 0 && !slj_check_string(decoder, p, plan, p, (size_t)(behind - p))) {
            return NULL;
        }
        return sl_builder_append_bytes(out, p, (size_t)(behind - p)) ? behind
                                                                     : slj_no_memory(decoder);
    }
    if (*p == '"' && (plan->coercions & from_string)) {
        return coerce_string(decoder, p, plan, out);
    }
    slj_number number;
    if (slj_starts_number(*p) && (plan->coercions & from_number) &&
        slj_scan_number(p, &number) != NULL) {
        return coerce_number(decoder, p, behind, &number, plan, out);
    }
    return slj_misfit(decoder, SL_JSON_TYPE, p, "allowed type: %s%s", kind_name(plan->kind),
                      plan->nullable ? " or null" : "");
}
