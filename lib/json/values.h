/*
 * Reading single values into builders: the common case of each kind, inline in decode.c's loop.
 * Whatever is not common is left to values.c, which starts anew at the value.
 *
 * Each function gets the place of the value's first character and returns the place behind the
 * value, or NULL when it failed. A value is appended whole or not at all.
 */
#ifndef SLJ_VALUES_H
#define SLJ_VALUES_H

#include "json/decode.h"

/* `text` is one of the plan's choices; 8 bytes of it are readable whatever its length. */
static inline bool slj_is_choice(const slj_plan *plan, const uint8_t *text, size_t bytes) {
    uint64_t head = slj_load8(text);
    if (bytes < 8) {
        head &= (UINT64_C(1) << (8 * bytes)) - 1;
    }
    for (uint32_t i = 0; i < plan->n_choices; i++) {
        const slj_choice *choice = &plan->choices[i];
        if (choice->text.head == head && choice->text.n == bytes &&
            (bytes <= 8 || memcmp(choice->text.bytes, text, bytes) == 0)) {
            return true;
        }
    }
    return false;
}

/* Empty text in a column that was asked to take it for null. */
static inline bool slj_is_empty_null(const slj_plan *plan, const uint8_t *p) {
    return (plan->coercions & (1u << SL_JSON_COERCE_EMPTY_TO_NULL)) && plan->nullable &&
           p[0] == '"' && p[1] == '"';
}

SLJ_INLINE const uint8_t *slj_decode_string(sl_json_decoder *decoder, const uint8_t *p,
                                            const slj_plan *plan, sl_builder *out) {
    if (slj_unlikely(*p != '"')) {
        return slj_decode_other(decoder, p, plan, out);
    }
    if (slj_unlikely(!sl_builder_room(out) || !sl_builder_room_bytes(out, 32))) {
        return slj_no_memory(decoder);
    }
    /* Copies 32 bytes, mostly more than there are, and looks for the end in them. What the builder
     * says is read before: the compiler has to think that the copies change it. */
    const uint8_t *text = p + 1;
    int64_t row = out->length;
    size_t begin = out->data_bytes;
    int32_t *offsets = out->offsets;
    uint8_t *to = out->data + begin;
    slj_block16 low = slj_load16(text);
    slj_block16 high = slj_load16(text + 16);
    slj_store16(to, low);
    slj_store16(to + 16, high);
    unsigned hit = slj_special16(low) | slj_special16(high) << 16;
    size_t bytes;
    if (slj_likely(hit != 0)) {
        bytes = (size_t)__builtin_ctz(hit);
    } else {
        bytes = 32;
        for (;;) {
            hit = slj_special16(slj_load16(text + bytes));
            if (hit != 0) {
                break;
            }
            bytes += 16;
        }
        bytes += (size_t)__builtin_ctz(hit);
        if (slj_unlikely(!sl_builder_room_bytes(out, bytes))) {
            return slj_no_memory(decoder);
        }
        memcpy(out->data + begin + 32, text + 32, bytes - 32);
    }
    if (slj_unlikely(text[bytes] != '"')) {
        return slj_decode_string_slow(decoder, p, plan, out);
    }
    if (slj_unlikely(bytes == 0 && slj_is_empty_null(plan, p))) {
        return slj_decode_other(decoder, p, plan, out);
    }
    if (plan->checks != 0) {
        bool good = plan->checks == SLJ_CHECK_LENGTH
                        ? bytes >= plan->min_length && bytes <= plan->max_length
                    : plan->checks == SLJ_CHECK_CHOICES ? slj_is_choice(plan, text, bytes)
                                                        : false;
        if (slj_unlikely(!good) && !slj_check_string(decoder, p, plan, text, bytes)) {
            return NULL;
        }
    }
    out->data_bytes = begin + bytes;
    offsets[row + 1] = (int32_t)(begin + bytes);
    sl_builder_advance(out);
    return text + bytes + 1;
}

static inline bool slj_starts_number(uint8_t c) {
    return (uint8_t)(c - '0') <= 9 || c == '-';
}

SLJ_INLINE const uint8_t *slj_decode_integer(sl_json_decoder *decoder, const uint8_t *p,
                                             const slj_plan *plan, sl_builder *out) {
    if (slj_unlikely(!slj_starts_number(*p))) {
        return slj_decode_other(decoder, p, plan, out);
    }
    slj_number number;
    int64_t value;
    const uint8_t *behind = slj_scan_number(p, &number);
    if (slj_unlikely(behind == NULL)) {
        return slj_bad_number(decoder, p, plan, SLJ_INTEGER_OK);
    }
    if (slj_likely(number.exponent == 0 && !number.inexact && number.mantissa <= INT64_MAX)) {
        value = (int64_t)number.mantissa;
        value = number.negative ? -value : value;
    } else {
        slj_integer_result result = slj_number_to_i64(&number, &value);
        if (result != SLJ_INTEGER_OK) {
            return slj_bad_number(decoder, p, plan, result);
        }
    }
    bool simple = (plan->checks & ~SLJ_CHECK_RANGE) == 0;
    if (slj_unlikely(!simple || value < plan->low || value > plan->high) &&
        !slj_check_integer(decoder, p, plan, &number, value)) {
        return NULL;
    }
    if (slj_unlikely(!sl_builder_room(out))) {
        return slj_no_memory(decoder);
    }
    memcpy(out->data + (size_t)out->length * sizeof value, &value, sizeof value);
    sl_builder_advance(out);
    return behind;
}

SLJ_INLINE const uint8_t *slj_decode_number(sl_json_decoder *decoder, const uint8_t *p,
                                            const slj_plan *plan, sl_builder *out) {
    if (slj_unlikely(!slj_starts_number(*p))) {
        return slj_decode_other(decoder, p, plan, out);
    }
    slj_number number;
    double value;
    const uint8_t *behind = slj_scan_number(p, &number);
    if (slj_unlikely(behind == NULL)) {
        return slj_bad_number(decoder, p, plan, SLJ_INTEGER_OK);
    }
    if (slj_unlikely(!slj_number_to_double(&number, &value))) {
        return slj_misfit(decoder, SL_JSON_NUMBER_RANGE, p, "the range of a double");
    }
    if (plan->checks != 0 && !slj_check_number(decoder, p, plan, &number, value)) {
        return NULL;
    }
    if (slj_unlikely(!sl_builder_room(out))) {
        return slj_no_memory(decoder);
    }
    memcpy(out->data + (size_t)out->length * sizeof value, &value, sizeof value);
    sl_builder_advance(out);
    return behind;
}

SLJ_INLINE const uint8_t *slj_decode_decimal(sl_json_decoder *decoder, const uint8_t *p,
                                             const slj_plan *plan, sl_builder *out) {
    if (slj_unlikely(!slj_starts_number(*p))) {
        return slj_decode_other(decoder, p, plan, out);
    }
    slj_number number;
    const uint8_t *behind = slj_scan_number(p, &number);
    if (slj_unlikely(behind == NULL)) {
        return slj_bad_number(decoder, p, plan, SLJ_INTEGER_OK);
    }
    int32_t shift = plan->scale + number.exponent;
    if (slj_unlikely(number.inexact || shift < 0 || shift > 7 || number.mantissa >> 63 != 0 ||
                     (plan->checks & SLJ_CHECK_MULTIPLE) != 0)) {
        return slj_store_decimal(decoder, p, plan, &number, out) == NULL ? NULL : behind;
    }
    slj_i128 value = (slj_i128)number.mantissa * slj_small_powers[shift];
    value = number.negative ? -value : value;
    if (slj_unlikely(value < plan->low || value > plan->high)) {
        return slj_store_decimal(decoder, p, plan, &number, out) == NULL ? NULL : behind;
    }
    if (slj_unlikely(!sl_builder_room(out))) {
        return slj_no_memory(decoder);
    }
    memcpy(out->data + (size_t)out->length * sizeof value, &value, sizeof value);
    sl_builder_advance(out);
    return behind;
}

static inline const uint8_t *slj_decode_boolean(sl_json_decoder *decoder, const uint8_t *p,
                                                const slj_plan *plan, sl_builder *out) {
    bool value = memcmp(p, "true", 4) == 0;
    if (slj_unlikely((!value && memcmp(p, "false", 5) != 0) || plan->checks != 0)) {
        return slj_decode_other(decoder, p, plan, out);
    }
    if (slj_unlikely(!sl_builder_append_bool(out, value))) {
        return slj_no_memory(decoder);
    }
    return p + (value ? 4 : 5);
}

/* "2026-11-22T10:00:00.123Z": the date is mostly that of the record before; the time is checked
 * and read eight characters at once. Anything else is left to the slow path. */
SLJ_INLINE const uint8_t *slj_decode_timestamp(sl_json_decoder *decoder, const uint8_t *p,
                                               const slj_plan *plan, sl_builder *out) {
    const uint8_t *text = p + 1;
    uint32_t tail;
    memcpy(&tail, text + 7, sizeof tail);
    if (slj_unlikely(*p != '"' || slj_load8(text) != decoder->date_head ||
                     tail != decoder->date_tail)) {
        return slj_decode_timestamp_slow(decoder, p, plan, out);
    }
    /* "hh:mm:ss" minus "00:00:00": digits become 0 to 9, colons 0 */
    uint64_t time = slj_load8(text + 11) ^ UINT64_C(0x30303A30303A3030);
    uint64_t other = ((time + UINT64_C(0x76767F76767F7676)) | time) & UINT64_C(0x8080808080808080);
    unsigned hours = (unsigned)((time & 0xFF) * 10 + (time >> 8 & 0xFF));
    unsigned minutes = (unsigned)((time >> 24 & 0xFF) * 10 + (time >> 32 & 0xFF));
    unsigned seconds = (unsigned)((time >> 48 & 0xFF) * 10 + (time >> 56));
    const uint8_t *behind = text + 19;
    uint32_t fraction = 0;
    unsigned digits = 6;
    if (*behind == '.') {
        digits = slj_digits8(behind + 1, &fraction);
        behind += 1 + digits;
    }
    if (slj_unlikely(other != 0 || hours > 23 || minutes > 59 || seconds > 59 || digits == 0 ||
                     digits > 6 || behind[0] != 'Z' || behind[1] != '"')) {
        return slj_decode_timestamp_slow(decoder, p, plan, out);
    }
    int64_t value = decoder->date_us + (int64_t)((hours * 60 + minutes) * 60 + seconds) * 1000000 +
                    (int64_t)(fraction * slj_small_powers[6 - digits]);
    if (slj_unlikely(!sl_builder_room(out))) {
        return slj_no_memory(decoder);
    }
    memcpy(out->data + (size_t)out->length * sizeof value, &value, sizeof value);
    sl_builder_advance(out);
    return behind + 2;
}

#endif /* SLJ_VALUES_H */
