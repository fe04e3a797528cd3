/*
 * Reading objects and arrays into columns: the loop over a record's members.
 *
 * The members of a stream's records come in the same order nearly always, so the key that comes
 * next is predicted from the one before it, and confirmed by one comparison with `"name":`.
 */
#include "json/values.h"

static const uint8_t *decode_value(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                                   sl_builder *out, uint32_t depth);
static const uint8_t *decode_list(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                                  sl_builder *out, uint32_t depth);

#define UNKNOWN UINT32_MAX

static inline bool is_token(const uint8_t *p, const slj_field *field) {
    unsigned equal = slj_equal16(slj_load16(p), slj_load16(field->token));
    if ((equal & field->token_mask) != field->token_mask) {
        return false;
    }
    if (slj_likely(field->token_mask2 == 0)) {
        return true;
    }
    equal = slj_equal16(slj_load16(p + 16), slj_load16(field->token + 16));
    return (equal & field->token_mask2) == field->token_mask2;
}

static uint32_t find_field(const slj_plan *plan, const uint8_t *name, size_t bytes) {
    uint32_t slot = slj_name_hash(name, bytes) & plan->hash_mask;
    for (; plan->by_hash[slot] != 0; slot = (slot + 1) & plan->hash_mask) {
        const slj_field *field = &plan->fields[plan->by_hash[slot] - 1];
        if (field->name_bytes == bytes && memcmp(field->name, name, bytes) == 0) {
            return plan->by_hash[slot] - 1u;
        }
    }
    return UNKNOWN;
}

/* Reads `"key" :` that was not predicted. Returns the place of the value; *index is the field or
 * UNKNOWN, *name the raw key. */
static const uint8_t *read_key(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                               uint32_t *index, slj_step *step) {
    slj_reader *reader = &decoder->reader;
    unsigned flags;
    if (*p != '"') {
        slj_fail(reader, SL_JSON_BAD_SYNTAX, p);
        return slj_malformed(decoder);
    }
    const uint8_t *name = p + 1;
    p = slj_scan_string(reader, name, &flags);
    if (p == NULL) {
        return slj_malformed(decoder);
    }
    size_t bytes = (size_t)(p - name);
    *step = (slj_step){.name = name, .name_bytes = (uint32_t)bytes};
    if (flags & SLJ_STRING_ESCAPES) {
        sl_buffer_clear(&decoder->unescaped);
        if (!sl_buffer_reserve(&decoder->unescaped, bytes + 16)) {
            return slj_no_memory(decoder);
        }
        size_t plain = slj_unescape(name, bytes, decoder->unescaped.data);
        memset(decoder->unescaped.data + plain, 0, 16);
        *index = find_field(plan, decoder->unescaped.data, plain);
    } else {
        *index = find_field(plan, name, bytes);
    }
    if (*index == UNKNOWN && !slj_push_key(reader, name, bytes, flags)) {
        return slj_no_memory(decoder);
    }
    p = slj_skip_space(p + 1);
    if (*p != ':') {
        slj_fail(reader, SL_JSON_BAD_SYNTAX, p);
        return slj_malformed(decoder);
    }
    return slj_skip_space(p + 1);
}

/* The path of a rescued property: dotted, items as [n]. Appends a JSON string. */
static void append_rescued_name(sl_json_decoder *decoder, uint32_t depth) {
    sl_buffer *out = &decoder->rescued;
    sl_buffer_append_byte(out, '"');
    for (uint32_t i = 0; i <= depth; i++) {
        const slj_step *step = &decoder->steps[i];
        if (step->field == NULL && step->name == NULL) {
            sl_buffer_printf(out, "[%u]", step->index);
            continue;
        }
        if (i > 0) {
            sl_buffer_append_byte(out, '.');
        }
        if (step->field != NULL) { /* the token is the name, escaped, in quotes */
            sl_buffer quoted = SL_BUFFER_INIT;
            sl_buffer_append_json_string(&quoted, (const char *)step->field->name,
                                         step->field->name_bytes);
            sl_buffer_append(out, quoted.data + 1, quoted.bytes - 2);
            sl_buffer_free(&quoted);
        } else {
            sl_buffer_append(out, step->name, step->name_bytes);
        }
    }
    sl_buffer_append_text(out, "\":");
}

/* A property that no column takes. */
static const uint8_t *pass_unknown(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                                   uint32_t depth) {
    if (plan->no_additional) {
        return slj_misfit(decoder, SL_JSON_ADDITIONAL_PROPERTY, p,
                          "no property of this name is allowed");
    }
    const uint8_t *behind = slj_skip_value(&decoder->reader, p, depth);
    if (behind == NULL) {
        return slj_malformed(decoder);
    }
    if (decoder->schema->rescue) {
        sl_buffer *out = &decoder->rescued;
        if (decoder->schema->duplicates == SL_JSON_DUPLICATES_LAST_WINS &&
            !slj_rescued_begins(decoder)) {
            return slj_no_memory(decoder);
        }
        sl_buffer_append_byte(out, out->bytes == 0 ? '{' : ',');
        append_rescued_name(decoder, depth - 1);
        if (!sl_buffer_append(out, p, (size_t)(behind - p))) {
            return slj_no_memory(decoder);
        }
    } else {
        decoder->dropped_here++;
    }
    return behind;
}

/* last_wins: reads the value of a field, which has one already if `again`. A value that does not
 * fit counts only if none follows. */
static const uint8_t *decode_overridable(sl_json_decoder *decoder, const uint8_t *p,
                                         const slj_plan *plan, uint32_t index, bool again,
                                         sl_builder *out, uint32_t depth) {
    slj_object_state *state = &decoder->objects[plan->object_index];
    slj_value *value = &state->values[index];
    uint64_t bit = UINT64_C(1) << (index % 64);
    sl_builder *column = &out->children[index];
    if (again) {
        slj_value_replaced(decoder, value);
        sl_builder_truncate(column, out->length);
    }
    state->failed[index / 64] &= ~bit;
    uint64_t dropped = decoder->dropped_here;
    value->at = p;
    value->first_rescued = slj_rescued_count(decoder);
    const uint8_t *behind = decode_value(decoder, p, plan->fields[index].plan, column, depth);
    if (behind == NULL && !decoder->reader.no_memory) {
        behind = slj_skip_value(&decoder->reader, p, depth);
        if (behind == NULL) {
            return slj_malformed(decoder);
        }
        if (!slj_value_fails(decoder, value, depth)) {
            return slj_no_memory(decoder);
        }
        sl_builder_truncate(column, out->length);
        state->failed[index / 64] |= bit;
    }
    value->n_rescued = slj_rescued_count(decoder) - value->first_rescued;
    value->dropped = decoder->dropped_here - dropped;
    return behind;
}

/* True when every value of last_wins fits; else the decoder says why the first one does not. */
static bool settle_failures(sl_json_decoder *decoder, const slj_plan *plan, uint32_t depth) {
    const slj_object_state *state = &decoder->objects[plan->object_index];
    const slj_value *first = NULL;
    for (uint32_t i = 0; i < plan->n_fields; i++) {
        bool failed = state->failed[i / 64] >> (i % 64) & 1;
        if (failed && (first == NULL || state->values[i].at < first->at)) {
            first = &state->values[i];
            decoder->steps[depth - 1] = (slj_step){.field = &plan->fields[i]};
        }
    }
    if (first != NULL && !slj_value_failed(decoder, first, depth)) {
        slj_no_memory(decoder);
    }
    return first == NULL;
}

/* The object's end: what is missing, duplicates among unknown keys, the row itself. */
static const uint8_t *close_object(sl_json_decoder *decoder, const uint8_t *start,
                                   const uint8_t *behind, const slj_plan *plan, sl_builder *out,
                                   size_t mark) {
    const slj_object_state *state = &decoder->objects[plan->object_index];
    for (uint32_t w = 0; w < plan->n_words; w++) {
        uint32_t in_word = plan->n_fields - w * 64;
        uint64_t all = in_word >= 64 ? UINT64_MAX : (UINT64_C(1) << in_word) - 1;
        uint64_t missing = all & ~state->seen[w];
        uint64_t wanted = missing & plan->required[w];
        if (slj_unlikely(wanted != 0)) {
            const slj_field *field = &plan->fields[w * 64 + (uint32_t)__builtin_ctzll(wanted)];
            slj_misfit(decoder, SL_JSON_REQUIRED, start, "missing property \"%.*s\"",
                       (int)(field->name_bytes < 200 ? field->name_bytes : 200),
                       (const char *)field->name);
            return NULL;
        }
        for (; missing != 0; missing &= missing - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(missing);
            if (!sl_builder_append_null(&out->children[i])) {
                return slj_no_memory(decoder);
            }
        }
    }
    if (slj_unlikely(decoder->reader.n_keys != mark) &&
        slj_pop_keys(&decoder->reader, mark, behind) == NULL) {
        return slj_malformed(decoder);
    }
    if (slj_unlikely(!sl_builder_room(out))) {
        return slj_no_memory(decoder);
    }
    sl_builder_advance(out);
    return behind;
}

static inline void clear_state(slj_object_state *state, const slj_plan *plan) {
    state->seen[0] = state->failed[0] = 0;
    if (slj_unlikely(plan->n_words > 1)) {
        memset(state->seen, 0, plan->n_words * sizeof *state->seen);
        memset(state->failed, 0, plan->n_words * sizeof *state->failed);
    }
}

/* Inline where values are read in a loop: the call would cost as much as a short value. */
SLJ_INLINE const uint8_t *decode_here(sl_json_decoder *decoder, const uint8_t *p,
                                      const slj_plan *plan, sl_builder *out, uint32_t depth) {
    switch (plan->kind) {
    case SLJ_PLAN_STRING:
        return slj_decode_string(decoder, p, plan, out);
    case SLJ_PLAN_INTEGER:
        return slj_decode_integer(decoder, p, plan, out);
    case SLJ_PLAN_NUMBER:
        return slj_decode_number(decoder, p, plan, out);
    case SLJ_PLAN_BOOLEAN:
        return slj_decode_boolean(decoder, p, plan, out);
    case SLJ_PLAN_TIMESTAMP:
        return slj_decode_timestamp(decoder, p, plan, out);
    case SLJ_PLAN_DATE:
        return slj_decode_date(decoder, p, plan, out);
    case SLJ_PLAN_DECIMAL:
        return slj_decode_decimal(decoder, p, plan, out);
    case SLJ_PLAN_STRUCT:
        return slj_likely(*p == '{') ? slj_decode_object(decoder, p, plan, out, depth)
                                     : slj_decode_other(decoder, p, plan, out);
    case SLJ_PLAN_LIST:
        return slj_likely(*p == '[') ? decode_list(decoder, p, plan, out, depth)
                                     : slj_decode_other(decoder, p, plan, out);
    case SLJ_PLAN_TEXT:
        break;
    }
    return slj_decode_text(decoder, p, plan, out, depth);
}

static const uint8_t *decode_value(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                                   sl_builder *out, uint32_t depth) {
    return decode_here(decoder, p, plan, out, depth);
}

/* An object being read: what each of its members needs, at hand. */
typedef struct members {
    const slj_plan *plan;
    const slj_field *fields;
    slj_object_state *state;
    uint16_t *next;
    sl_builder *out;
    sl_builder *columns;
    slj_step *step;
    uint32_t depth;
    bool last_wins;
    uint64_t seen; /* the first word of the state's bit set */
} members;

/* Notes that the object has the field; true when it had it before. */
SLJ_INLINE bool note_seen(members *in, uint32_t index) {
    uint64_t bit = UINT64_C(1) << (index % 64);
    uint64_t before = in->seen;
    if (slj_likely(index < 64)) {
        in->seen = before | bit;
    } else {
        before = in->state->seen[index / 64];
        in->state->seen[index / 64] = before | bit;
    }
    return (before & bit) != 0;
}

/* One member from its key on; returns the place behind its value. *previous is the field before it
 * and becomes this one. */
SLJ_INLINE const uint8_t *decode_member(sl_json_decoder *decoder, const uint8_t *p, members *in,
                                        uint32_t *previous) {
    uint32_t index = in->next[*previous];
    const slj_field *field = &in->fields[index];
    if (slj_likely(is_token(p, field))) {
        p += field->token_bytes;
        if (slj_unlikely(*p <= ' ')) {
            p = slj_skip_space(p);
        }
    } else {
        p = read_key(decoder, p, in->plan, &index, in->step);
        if (p == NULL) {
            return NULL;
        }
        if (index == UNKNOWN) {
            return pass_unknown(decoder, p, in->plan, in->depth + 1);
        }
        field = &in->fields[index];
        in->next[*previous] = (uint16_t)index;
    }
    *previous = index;
    in->step->field = field;
    bool twice = note_seen(in, index);
    if (slj_unlikely(in->last_wins)) {
        return decode_overridable(decoder, p, in->plan, index, twice, in->out, in->depth + 1);
    }
    if (slj_unlikely(twice)) {
        slj_fail(&decoder->reader, SL_JSON_DUPLICATE_KEY, p);
        return slj_malformed(decoder);
    }
    return decode_here(decoder, p, field->plan, &in->columns[index], in->depth + 1);
}

/* The object's end; mostly all of its fields were there. */
static inline const uint8_t *end_object(sl_json_decoder *decoder, const uint8_t *start,
                                        const uint8_t *behind, const members *in, size_t mark) {
    sl_builder *out = in->out;
    bool whole = in->plan->n_fields - 1 < 64 &&
                 in->seen == UINT64_MAX >> (64 - in->plan->n_fields) &&
                 decoder->reader.n_keys == mark && out->length < out->capacity;
    if (slj_likely(whole)) {
        sl_builder_advance(out);
        return behind;
    }
    in->state->seen[0] = in->seen;
    return close_object(decoder, start, behind, in->plan, out, mark);
}

const uint8_t *slj_decode_object(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                                 sl_builder *out, uint32_t depth) {
    slj_object_state *state = &decoder->objects[plan->object_index];
    members in = {plan,
                  plan->fields,
                  state,
                  state->next,
                  out,
                  out->children,
                  &decoder->steps[depth],
                  depth,
                  decoder->schema->duplicates == SL_JSON_DUPLICATES_LAST_WINS,
                  0};
    size_t mark = decoder->reader.n_keys;
    const uint8_t *start = p;
    uint32_t previous = plan->n_fields;
    clear_state(state, plan);
    p++;
    if (slj_unlikely(*p != '"')) {
        p = slj_skip_space(p);
    }
    if (*p == '}') {
        return close_object(decoder, start, p + 1, plan, out, mark);
    }
    for (;;) {
        p = decode_member(decoder, p, &in, &previous);
        if (slj_unlikely(p == NULL)) {
            decoder->n_steps = decoder->n_steps == 0 ? depth + 1 : decoder->n_steps;
            return NULL;
        }
        if (slj_unlikely(*p <= ' ')) {
            p = slj_skip_space(p);
        }
        if (slj_likely(*p == ',')) {
            p++;
            if (slj_unlikely(*p != '"')) {
                p = slj_skip_space(p);
            }
            continue;
        }
        if (slj_likely(*p == '}')) {
            break;
        }
        slj_fail(&decoder->reader, SL_JSON_BAD_SYNTAX, p);
        return slj_malformed(decoder);
    }
    if (slj_unlikely(in.last_wins) && !settle_failures(decoder, plan, depth + 1)) {
        return NULL;
    }
    return end_object(decoder, start, p + 1, &in, mark);
}

static const uint8_t *decode_list(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                                  sl_builder *out, uint32_t depth) {
    const uint8_t *start = p;
    const slj_plan *item = plan->item;
    sl_builder *items = &out->children[0];
    uint32_t n = 0;
    decoder->steps[depth] = (slj_step){0};
    p = slj_skip_space(p + 1);
    while (*p != ']') {
        decoder->steps[depth].index = n;
        p = decode_here(decoder, p, item, items, depth + 1);
        if (slj_unlikely(p == NULL)) {
            decoder->n_steps = decoder->n_steps == 0 ? depth + 1 : decoder->n_steps;
            return NULL;
        }
        n++;
        p = slj_skip_space(p);
        if (*p == ',') {
            p = slj_skip_space(p + 1);
            if (slj_likely(*p != ']')) {
                continue;
            }
            slj_fail(&decoder->reader, SL_JSON_BAD_SYNTAX, p);
            return slj_malformed(decoder);
        }
        if (slj_unlikely(*p != ']')) {
            slj_fail(&decoder->reader, SL_JSON_BAD_SYNTAX, p);
            return slj_malformed(decoder);
        }
    }
    if (slj_unlikely(n < plan->min_items || n > plan->max_items)) {
        bool few = n < plan->min_items;
        return slj_misfit(decoder, few ? SL_JSON_MIN_ITEMS : SL_JSON_MAX_ITEMS, start,
                          "of %u items, the %s is %llu", n, few ? "least" : "most",
                          (unsigned long long)(few ? plan->min_items : plan->max_items));
    }
    if (slj_unlikely(items->length > INT32_MAX - 1 || !sl_builder_room(out))) {
        return slj_no_memory(decoder);
    }
    out->offsets[out->length + 1] = (int32_t)items->length;
    sl_builder_advance(out);
    return p + 1;
}
