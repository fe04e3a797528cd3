/*
 * last_wins: what becomes of a value when a later one of the same key replaces it. What it left
 * among the rescued properties is marked, and taken out when the record has been read. Why it does
 * not fit is kept until its object ends, and not found a second time: structs within structs, each
 * read twice, would take a time that doubles with every level.
 */
#include "json/decode.h"

/* ---- rescued properties ---- */

static slj_rescued *list(const sl_json_decoder *decoder) {
    return (slj_rescued *)(void *)decoder->rescued_list.data;
}

size_t slj_rescued_count(const sl_json_decoder *decoder) {
    return decoder->rescued_list.bytes / sizeof(slj_rescued);
}

bool slj_rescued_begins(sl_json_decoder *decoder) {
    const slj_rescued one = {.at = decoder->rescued.bytes};
    return sl_buffer_append(&decoder->rescued_list, &one, sizeof one);
}

void slj_value_replaced(sl_json_decoder *decoder, const slj_value *value) {
    decoder->dropped_here -= value->dropped;
    decoder->any_replaced = decoder->any_replaced || value->n_rescued > 0;
    for (size_t i = 0; i < value->n_rescued; i++) {
        list(decoder)[value->first_rescued + i].replaced = true;
    }
}

void slj_rescued_end(sl_json_decoder *decoder) {
    uint8_t *text = decoder->rescued.data;
    size_t n = slj_rescued_count(decoder);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const slj_rescued *one = &list(decoder)[i];
        size_t end = i + 1 < n ? one[1].at : decoder->rescued.bytes;
        if (!one->replaced) {
            memmove(text + kept, text + one->at, end - one->at);
            text[kept] = kept == 0 ? '{' : ',';
            kept += end - one->at;
        }
    }
    decoder->rescued.bytes = kept;
}

/* ---- values that do not fit ---- */

bool slj_value_fails(sl_json_decoder *decoder, slj_value *value, uint32_t depth) {
    uint32_t n = decoder->n_steps > depth ? decoder->n_steps - depth : 0;
    value->reason = decoder->reason;
    value->fault_at = decoder->value_at;
    sl_buffer_clear(&value->allowed);
    sl_buffer_clear(&value->steps);
    decoder->n_steps = 0;
    return sl_buffer_append(&value->allowed, decoder->allowed.data, decoder->allowed.bytes) &&
           sl_buffer_append(&value->steps, &decoder->steps[depth], n * sizeof(slj_step));
}

bool slj_value_failed(sl_json_decoder *decoder, const slj_value *value, uint32_t depth) {
    decoder->reason = value->reason;
    decoder->value_at = value->fault_at;
    decoder->n_steps = depth + (uint32_t)(value->steps.bytes / sizeof(slj_step));
    if (value->steps.bytes > 0) {
        memcpy(&decoder->steps[depth], value->steps.data, value->steps.bytes);
    }
    sl_buffer_clear(&decoder->allowed);
    return sl_buffer_append(&decoder->allowed, value->allowed.data, value->allowed.bytes);
}

void slj_value_free(slj_value *value) {
    sl_buffer_free(&value->allowed);
    sl_buffer_free(&value->steps);
}
