/*
 * Whole records: limits, the decoder's verdict, the validator where the schema needs it, and the
 * list of rejects.
 */
#include <stdlib.h>

#include "json/decode.h"

#define FOUND_BYTES 100

/* ---- rejects ---- */

void sl_json_rejects_clear(sl_json_rejects *rejects) {
    rejects->n = 0;
    sl_buffer_clear(&rejects->text);
}

void sl_json_rejects_free(sl_json_rejects *rejects) {
    free(rejects->items);
    sl_buffer_free(&rejects->text);
    memset(rejects, 0, sizeof *rejects);
}

static sl_json_reject *push_reject(sl_json_rejects *rejects, int64_t row, sl_json_reason reason) {
    if (rejects->n == rejects->capacity) {
        size_t capacity = rejects->capacity == 0 ? 64 : rejects->capacity * 2;
        sl_json_reject *grown = realloc(rejects->items, capacity * sizeof *grown);
        if (grown == NULL) {
            return NULL;
        }
        rejects->items = grown;
        rejects->capacity = capacity;
    }
    sl_json_reject *reject = &rejects->items[rejects->n];
    *reject = (sl_json_reject){.row = row, .reason = reason, .path_at = rejects->text.bytes};
    return reject;
}

static void end_path(sl_json_rejects *rejects, sl_json_reject *reject) {
    reject->path_bytes = (uint32_t)(rejects->text.bytes - reject->path_at);
    reject->detail_at = rejects->text.bytes;
}

static sl_error *end_reject(sl_json_rejects *rejects, sl_json_reject *reject) {
    reject->detail_bytes = (uint32_t)(rejects->text.bytes - reject->detail_at);
    rejects->n++;
    return rejects->text.failed ? sl_error_no_memory() : NULL;
}

/* ---- describing a failure ---- */

/* `found` and some of the text, as a JSON string when it is no clean JSON itself. */
static void append_found(const uint8_t *text, size_t bytes, bool clean, sl_buffer *out) {
    size_t n = bytes < FOUND_BYTES ? bytes : FOUND_BYTES;
    while (n > 0 && n < bytes && (text[n] & 0xC0) == 0x80) {
        n--;
    }
    sl_buffer_append_text(out, "found ");
    if (clean) {
        sl_buffer_append(out, text, n);
    } else {
        sl_buffer_append_json_string(out, (const char *)text, n);
    }
    if (n < bytes) {
        sl_buffer_append_text(out, "...");
    }
}

static void append_steps(const sl_json_decoder *decoder, sl_buffer *out) {
    sl_buffer_append_byte(out, '$');
    for (uint32_t i = 0; i < decoder->n_steps; i++) {
        const slj_step *step = &decoder->steps[i];
        if (step->field != NULL) {
            slj_path_append_name(out, step->field->name, step->field->name_bytes);
        } else if (step->name != NULL) {
            slj_path_append_name(out, step->name, step->name_bytes);
        } else {
            sl_buffer_printf(out, "[%u]", step->index);
        }
    }
}

static sl_error *reject_malformed(sl_json_decoder *decoder, int64_t row, sl_json_rejects *rejects) {
    const slj_reader *reader = &decoder->reader;
    sl_json_reject *reject = push_reject(rejects, row, reader->reason);
    if (reject == NULL) {
        return sl_error_no_memory();
    }
    size_t at = (size_t)(reader->error_at - reader->start);
    sl_buffer_append_byte(&rejects->text, '$');
    end_path(rejects, reject);
    sl_buffer_printf(&rejects->text, "%s, at byte %zu of %zu", sl_json_reason_text(reader->reason),
                     at, (size_t)(reader->end - reader->start));
    if (reader->error_at < reader->end) {
        size_t left = (size_t)(reader->end - reader->error_at);
        sl_buffer_append_text(&rejects->text, ": ");
        append_found(reader->error_at, left < 20 ? left : 20, false, &rejects->text);
    }
    return end_reject(rejects, reject);
}

/* A value that does not fit. A record that is no JSON at all is reported as that, whatever was
 * found first. */
static sl_error *reject_misfit(sl_json_decoder *decoder, int64_t row, sl_json_rejects *rejects) {
    slj_reader *reader = &decoder->reader;
    const uint8_t *p = slj_skip_value(reader, slj_skip_space(reader->start), 0);
    if (p != NULL && slj_skip_space(p) < reader->end) {
        p = slj_fail(reader, SL_JSON_TRAILING_BYTES, slj_skip_space(p));
    }
    if (reader->no_memory) {
        return sl_error_no_memory();
    }
    if (p == NULL) {
        return reject_malformed(decoder, row, rejects);
    }
    sl_json_reject *reject = push_reject(rejects, row, decoder->reason);
    if (reject == NULL) {
        return sl_error_no_memory();
    }
    append_steps(decoder, &rejects->text);
    end_path(rejects, reject);
    if (decoder->value_at != NULL && decoder->reason != SL_JSON_REQUIRED) {
        const uint8_t *behind = slj_skip_value(reader, decoder->value_at, 0);
        size_t bytes = behind == NULL ? 0 : (size_t)(behind - decoder->value_at);
        append_found(decoder->value_at, bytes, true, &rejects->text);
        sl_buffer_append_text(&rejects->text, ", ");
    }
    sl_buffer_append(&rejects->text, decoder->allowed.data, decoder->allowed.bytes);
    return end_reject(rejects, reject);
}

static sl_error *reject_plain(sl_json_rejects *rejects, int64_t row, sl_json_reason reason,
                              size_t found, size_t allowed) {
    sl_json_reject *reject = push_reject(rejects, row, reason);
    if (reject == NULL) {
        return sl_error_no_memory();
    }
    sl_buffer_append_byte(&rejects->text, '$');
    end_path(rejects, reject);
    sl_buffer_append_text(&rejects->text, sl_json_reason_text(reason));
    if (reason == SL_JSON_TOO_LARGE) {
        sl_buffer_printf(&rejects->text, ": found %zu bytes, allowed are %zu", found, allowed);
    }
    return end_reject(rejects, reject);
}

static sl_error *reject_verdict(const sl_json_verdict *verdict, int64_t row,
                                sl_json_rejects *rejects) {
    sl_json_reject *reject = push_reject(rejects, row, verdict->reason);
    if (reject == NULL) {
        return sl_error_no_memory();
    }
    sl_buffer_append_text(&rejects->text, verdict->path);
    end_path(rejects, reject);
    sl_buffer_append_text(&rejects->text, verdict->detail);
    return end_reject(rejects, reject);
}

/* ---- one record ---- */

/* Reads the record into `out`; false: it failed (or memory is short), and the reason is noted. */
static bool read_record(sl_json_decoder *decoder, sl_builder *out) {
    slj_reader *reader = &decoder->reader;
    const slj_plan *root = decoder->schema->root;
    const uint8_t *p = slj_skip_space(reader->start);
    decoder->n_steps = 0;
    decoder->value_at = NULL;
    decoder->dropped_here = 0;
    decoder->rescued.bytes = decoder->rescued_list.bytes = 0;
    decoder->any_replaced = false;
    if (slj_unlikely(p >= reader->end)) {
        slj_fail(reader, SL_JSON_EMPTY, p);
        return slj_malformed(decoder) != NULL;
    }
    if (slj_unlikely(*p != '{')) {
        return slj_misfit(decoder, SL_JSON_TYPE, p, "allowed type: object") != NULL;
    }
    p = slj_decode_object(decoder, p, root, out, 0);
    if (slj_unlikely(p == NULL)) {
        return false;
    }
    p = slj_skip_space(p);
    if (slj_unlikely(p != reader->end)) {
        /* a value cannot run past the end, for the 0 there is no character of JSON */
        slj_fail(reader, SL_JSON_TRAILING_BYTES, p);
        return slj_malformed(decoder) != NULL;
    }
    if (!decoder->schema->rescue) {
        return true;
    }
    sl_builder *column = &out->children[root->n_fields];
    if (slj_unlikely(decoder->any_replaced)) {
        slj_rescued_end(decoder);
    }
    if (decoder->rescued.bytes == 0) {
        return sl_builder_append_null(column) || slj_no_memory(decoder) != NULL;
    }
    return (sl_buffer_append_byte(&decoder->rescued, '}') &&
            sl_builder_append_bytes(column, decoder->rescued.data, decoder->rescued.bytes)) ||
           slj_no_memory(decoder) != NULL;
}

static sl_error *validate_record(sl_json_decoder *decoder, const void *text, size_t bytes,
                                 int64_t row, sl_json_rejects *rejects, bool *accepted) {
    sl_json_verdict verdict;
    if (!slj_doc_parse(&decoder->doc, text, bytes)) {
        if (decoder->doc.reader.no_memory) {
            return sl_error_no_memory();
        }
        *accepted = false;
        verdict = (sl_json_verdict){decoder->doc.reader.reason, "$",
                                    sl_json_reason_text(decoder->doc.reader.reason)};
        return reject_verdict(&verdict, row, rejects);
    }
    sl_error *error =
        slj_check_run(decoder->check, decoder->schema->root_schema, &decoder->doc, &verdict);
    if (error != NULL || verdict.reason == SL_JSON_OK) {
        return error;
    }
    *accepted = false;
    return reject_verdict(&verdict, row, rejects);
}

sl_error *sl_json_decode_text(sl_json_decoder *decoder, const void *text, size_t bytes, int64_t row,
                              sl_builder *out, sl_json_rejects *rejects, bool *accepted) {
    slj_reader *reader = &decoder->reader;
    int64_t before = out->length;
    *accepted = false;
    if (slj_unlikely(bytes == 0)) {
        return reject_plain(rejects, row, SL_JSON_EMPTY, 0, 0);
    }
    if (slj_unlikely(bytes > decoder->schema->max_value_bytes)) {
        return reject_plain(rejects, row, SL_JSON_TOO_LARGE, bytes,
                            decoder->schema->max_value_bytes);
    }
    if (slj_unlikely(!slj_reader_begin(reader, text, bytes))) {
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    *accepted = read_record(decoder, out);
    if (slj_unlikely(!*accepted)) {
        sl_builder_truncate(out, before);
        if (reader->no_memory) {
            return sl_error_no_memory();
        }
        return decoder->value_at == NULL ? reject_malformed(decoder, row, rejects)
                                         : reject_misfit(decoder, row, rejects);
    }
    if (slj_unlikely(decoder->schema->beyond != NULL)) {
        error = validate_record(decoder, text, bytes, row, rejects, accepted);
        if (error != NULL || !*accepted) {
            sl_builder_truncate(out, before);
            return error;
        }
    }
    decoder->dropped += decoder->dropped_here;
    return error;
}

/* ---- a batch ---- */

/* Rows at once; the bytes of strings grow by what the batch before had. */
static sl_error *reserve(sl_builder *out, int64_t rows) {
    sl_error *error = sl_builder_reserve(out, rows, 0);
    for (size_t i = 0; i < out->n_children && error == NULL; i++) {
        error = sl_builder_reserve(&out->children[i], rows, 0);
    }
    return error;
}

sl_error *sl_json_decode(sl_json_decoder *decoder, const struct ArrowArray *values, int64_t first,
                         int64_t rows, sl_builder *out, sl_json_rejects *rejects) {
    const int32_t *offsets = values->buffers[1];
    const uint8_t *data = values->buffers[2];
    sl_error *error = reserve(out, rows);
    for (int64_t row = first; row < first + rows && error == NULL; row++) {
        int64_t i = values->offset + row;
        bool accepted;
        if (slj_unlikely(sl_array_is_null(values, i))) {
            error = reject_plain(rejects, row, SL_JSON_NULL_VALUE, 0, 0);
            continue;
        }
        size_t bytes = (size_t)(offsets[i + 1] - offsets[i]);
        error =
            sl_json_decode_text(decoder, data + offsets[i], bytes, row, out, rejects, &accepted);
    }
    return error;
}

uint64_t sl_json_decoder_dropped(const sl_json_decoder *decoder) {
    return decoder->dropped;
}

/* ---- the decoder ---- */

static bool make_object_states(sl_json_decoder *decoder, const slj_plan *plan) {
    if (plan->kind == SLJ_PLAN_LIST) {
        return make_object_states(decoder, plan->item);
    }
    if (plan->kind != SLJ_PLAN_STRUCT) {
        return true;
    }
    slj_object_state *state = &decoder->objects[plan->object_index];
    state->seen = calloc(plan->n_words, sizeof *state->seen);
    state->failed = calloc(plan->n_words, sizeof *state->failed);
    state->next = calloc((size_t)plan->n_fields + 1, sizeof *state->next);
    state->values = calloc(plan->n_fields, sizeof *state->values);
    state->n_fields = plan->n_fields;
    if (state->seen == NULL || state->failed == NULL || state->next == NULL ||
        state->values == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < plan->n_fields; i++) {
        state->next[i] = (uint16_t)(i + 1 < plan->n_fields ? i + 1 : 0);
        if (!make_object_states(decoder, plan->fields[i].plan)) {
            return false;
        }
    }
    return true;
}

sl_error *sl_json_decoder_new(const sl_json_schema *schema, sl_json_decoder **out) {
    sl_json_decoder *decoder = calloc(1, sizeof *decoder);
    if (decoder == NULL) {
        return sl_error_no_memory();
    }
    decoder->schema = schema;
    bool reject_duplicates = schema->duplicates == SL_JSON_DUPLICATES_REJECT;
    decoder->reader.max_depth = decoder->doc.reader.max_depth = schema->max_depth;
    decoder->reader.reject_duplicates = decoder->doc.reader.reject_duplicates = reject_duplicates;
    decoder->objects = calloc(schema->n_objects, sizeof *decoder->objects);
    decoder->matcher = slj_matcher_new();
    decoder->check = schema->beyond == NULL ? NULL : slj_check_new(schema->set);
    if (decoder->objects == NULL || decoder->matcher == NULL ||
        (schema->beyond != NULL && decoder->check == NULL) ||
        !make_object_states(decoder, schema->root)) {
        sl_json_decoder_free(decoder);
        return sl_error_no_memory();
    }
    *out = decoder;
    return NULL;
}

static void free_object_state(slj_object_state *state) {
    for (uint32_t i = 0; state->values != NULL && i < state->n_fields; i++) {
        slj_value_free(&state->values[i]);
    }
    free(state->seen);
    free(state->failed);
    free(state->next);
    free(state->values);
}

void sl_json_decoder_free(sl_json_decoder *decoder) {
    if (decoder == NULL) {
        return;
    }
    for (uint32_t i = 0; decoder->objects != NULL && i < decoder->schema->n_objects; i++) {
        free_object_state(&decoder->objects[i]);
    }
    free(decoder->objects);
    slj_reader_free(&decoder->reader);
    slj_matcher_free(decoder->matcher);
    slj_check_free(decoder->check);
    slj_doc_free(&decoder->doc);
    sl_buffer_free(&decoder->rescued);
    sl_buffer_free(&decoder->rescued_list);
    sl_buffer_free(&decoder->allowed);
    sl_buffer_free(&decoder->unescaped);
    free(decoder);
}
