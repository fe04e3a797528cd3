/*
 * Rows as a tap shows them: JSON, masked. A name on the list masks every column, field, member and
 * map entry so called, at any depth, also inside of payloads that are JSON themselves. What cannot
 * be looked into while something is to be masked is masked whole.
 */
#include "lane/tap.h"
#include "topology/document.h"

#include "columns/rejects.h"
#include "sluice/batch.h"

enum { SHOWN_BYTES = 2048, PARSED_BYTES = 16 * 1024 };

#define MASKED "\"***\""

static bool is_masked(const struct tap_mask *mask, const char *name) {
    for (size_t i = 0; i < mask->names->count; i++) {
        if (strcmp(mask->names->items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- parsed values ---- */

static bool write_value(const struct tap_mask *mask, const struct json_value *value,
                        sl_buffer *out);

/* An entry of a map, or a record's header: its name is a value. */
static bool is_masked_entry(const struct tap_mask *mask, const struct json_value *object) {
    const struct json_value *key = object->n_children == 2 ? json_member(object, "key") : NULL;
    return key != NULL && key->kind == JSON_STRING && json_member(object, "value") != NULL &&
           is_masked(mask, key->text);
}

static bool write_members(const struct tap_mask *mask, const struct json_value *parent,
                          sl_buffer *out) {
    bool object = parent->kind == JSON_OBJECT;
    bool entry = object && is_masked_entry(mask, parent);
    bool good = sl_buffer_append_byte(out, object ? '{' : '[');
    for (const struct json_value *v = parent->first; v != NULL && good; v = v->next) {
        if (v != parent->first) {
            good = sl_buffer_append_byte(out, ',');
        }
        if (object) {
            good = good && sl_buffer_append_json_string(out, v->key, strlen(v->key)) &&
                   sl_buffer_append_byte(out, ':');
        }
        bool hide = object && (is_masked(mask, v->key) || (entry && strcmp(v->key, "value") == 0));
        good = good && (hide ? sl_buffer_append_text(out, MASKED) : write_value(mask, v, out));
    }
    return good && sl_buffer_append_byte(out, object ? '}' : ']');
}

static bool write_value(const struct tap_mask *mask, const struct json_value *value,
                        sl_buffer *out) {
    bool has_members = value->kind == JSON_OBJECT || value->kind == JSON_ARRAY;
    return has_members ? write_members(mask, value, out) : json_write(value, JSON_VALUES, out);
}

/* The parsed object or array; NULL when it is none. */
static const struct json_value *parse(struct arena *arena, const char *text, size_t bytes) {
    const struct json_value *value = json_read(arena, text, bytes);
    return value != NULL && (value->kind == JSON_OBJECT || value->kind == JSON_ARRAY) ? value
                                                                                      : NULL;
}

/* ---- columns ---- */

static bool opens(const char *text, size_t bytes) {
    size_t i = 0;
    while (i < bytes && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r')) {
        i++;
    }
    return i < bytes && (text[i] == '{' || text[i] == '[');
}

static bool write_text(const char *text, size_t bytes, sl_buffer *out) {
    if (bytes <= SHOWN_BYTES) {
        return sl_buffer_append_json_string(out, text, bytes);
    }
    if (!sl_buffer_append_json_string(out, text, SHOWN_BYTES)) {
        return false;
    }
    out->bytes--; /* the closing quote */
    return sl_buffer_append_text(out, "\xe2\x80\xa6\"");
}

/* Texts and binary. */
static bool write_bytes(const struct tap_mask *mask, const char *text, size_t bytes, bool binary,
                        sl_buffer *out) {
    bool may_be_json = bytes <= PARSED_BYTES && opens(text, bytes);
    struct arena arena = {0};
    const struct json_value *value = may_be_json ? parse(&arena, text, bytes) : NULL;
    bool good;
    if (value != NULL) {
        good = write_value(mask, value, out);
    } else if (mask->names->count > 0 && (binary || opens(text, bytes))) {
        good = sl_buffer_append_text(out, MASKED);
    } else {
        good = write_text(text, bytes, out);
    }
    arena_free(&arena);
    return good;
}

/* Structs, lists, maps. */
static bool write_nested(const struct tap_mask *mask, const struct ArrowSchema *schema,
                         const struct ArrowArray *array, int64_t row, sl_buffer *out) {
    if (mask->large) {
        return sl_buffer_append_text(out, "\"\xe2\x80\xa6\"");
    }
    if (mask->names->count == 0) {
        return sl_array_append_json(schema, array, row, out);
    }
    sl_buffer text = SL_BUFFER_INIT;
    struct arena arena = {0};
    bool good = sl_array_append_json(schema, array, row, &text);
    const struct json_value *value =
        good ? parse(&arena, (const char *)text.data, text.bytes) : NULL;
    if (good) {
        good = value != NULL ? write_value(mask, value, out) : sl_buffer_append_text(out, MASKED);
    }
    arena_free(&arena);
    sl_buffer_free(&text);
    return good;
}

static bool write_column(const struct tap_mask *mask, const struct ArrowSchema *schema,
                         const struct ArrowArray *array, int64_t row, sl_buffer *out) {
    sl_type type;
    int64_t at = array->offset + row;
    if (!sl_type_parse(schema->format, &type) || sl_array_is_null(array, at)) {
        return sl_buffer_append_text(out, "null");
    }
    switch (type.id) {
    case SL_TYPE_UTF8:
    case SL_TYPE_BINARY: {
        const int32_t *offsets = array->buffers[1];
        size_t bytes = (size_t)(offsets[at + 1] - offsets[at]);
        const char *text = bytes == 0 ? "" : (const char *)array->buffers[2] + offsets[at];
        return write_bytes(mask, text, bytes, type.id == SL_TYPE_BINARY, out);
    }
    case SL_TYPE_STRUCT:
    case SL_TYPE_LIST:
    case SL_TYPE_MAP:
        return write_nested(mask, schema, array, row, out);
    default:
        return sl_array_append_json(schema, array, row, out);
    }
}

/* Why a record is rejected may quote it. */
static bool quotes(const struct ArrowSchema *schema, int64_t column) {
    return column == SL_REJECT_DETAIL && sl_rejects_of(schema, &(size_t){0}) != NULL;
}

bool tap_append_row(const struct tap_mask *mask, const sl_batch *batch, int64_t row,
                    sl_buffer *out) {
    const struct ArrowSchema *schema = batch->schema;
    bool good = sl_buffer_append_byte(out, '{');
    for (int64_t c = 0; c < schema->n_children && good; c++) {
        const char *name = schema->children[c]->name == NULL ? "" : schema->children[c]->name;
        bool hide = is_masked(mask, name) || (mask->names->count > 0 && quotes(schema, c));
        good =
            (c == 0 || sl_buffer_append_byte(out, ',')) &&
            sl_buffer_append_json_string(out, name, strlen(name)) &&
            sl_buffer_append_byte(out, ':') &&
            (hide ? sl_buffer_append_text(out, MASKED)
                  : write_column(mask, schema->children[c], batch->columns->children[c], row, out));
    }
    return good && sl_buffer_append_byte(out, '}');
}
