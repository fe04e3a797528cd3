/*
 * The schema of raw records and the builder for it.
 */
#include "columns/raw.h"

#include "base/utf8.h"

static const struct raw_field {
    const char *name;
    const char *format;
    bool nullable;
} FIELDS[SL_RAW_COLUMNS] = {
    [SL_RAW_KEY] = {"key", "z", true},
    [SL_RAW_VALUE] = {"value", "z", true},
    [SL_RAW_TIMESTAMP] = {"timestamp", "tsu:UTC", false},
    [SL_RAW_HEADERS] = {"headers", "+l", true},
    [SL_RAW_OFFSET] = {"offset", "l", false},
};

sl_error *sl_raw_set_headers(struct ArrowSchema *headers) {
    sl_error *error = sl_schema_set_field(headers, 0, "item", "+s", false, 2);
    if (error == NULL) {
        error = sl_schema_set_field(headers->children[0], 0, "key", "u", false, 0);
    }
    if (error == NULL) {
        error = sl_schema_set_field(headers->children[0], 1, "value", "z", true, 0);
    }
    return error;
}

sl_error *sl_raw_schema(struct ArrowSchema *out) {
    sl_error *error = sl_schema_new_struct(SL_RAW_COLUMNS, out);
    if (error != NULL) {
        return error;
    }
    for (size_t i = 0; i < SL_RAW_COLUMNS && error == NULL; i++) {
        error = sl_schema_set_field(out, i, FIELDS[i].name, FIELDS[i].format, FIELDS[i].nullable,
                                    i == SL_RAW_HEADERS ? 1 : 0);
    }
    if (error == NULL) {
        error = sl_raw_set_headers(out->children[SL_RAW_HEADERS]);
    }
    if (error != NULL) {
        out->release(out);
    }
    return error;
}

bool sl_raw_is(const struct ArrowSchema *schema) {
    if (schema->n_children != SL_RAW_COLUMNS) {
        return false;
    }
    for (size_t i = 0; i < SL_RAW_COLUMNS; i++) {
        if (strcmp(schema->children[i]->name, FIELDS[i].name) != 0 ||
            strcmp(schema->children[i]->format, FIELDS[i].format) != 0) {
            return false;
        }
    }
    const struct ArrowSchema *headers = schema->children[SL_RAW_HEADERS];
    return headers->n_children == 1 && headers->children[0]->n_children == 2;
}

sl_error *sl_raw_builder_init(sl_raw_builder *builder) {
    struct ArrowSchema schema;
    sl_error *error = sl_raw_schema(&schema);
    if (error != NULL) {
        return error;
    }
    error = sl_builder_init(&builder->root, &schema);
    schema.release(&schema);
    return error;
}

sl_error *sl_raw_reserve(sl_raw_builder *builder, int64_t rows) {
    sl_error *error = sl_builder_reserve(&builder->root, rows, 0);
    for (size_t i = 0; i < SL_RAW_COLUMNS && error == NULL; i++) {
        error = sl_builder_reserve(&builder->root.children[i], rows, 0);
    }
    return error;
}

static bool replace_bad(sl_buffer *out, const uint8_t *text, size_t bytes) {
    bool good = true;
    for (size_t at = 0; at < bytes && good;) {
        size_t skip;
        size_t length = sl_utf8_sequence(text + at, bytes - at, &skip);
        good = length > 0 ? sl_buffer_append(out, text + at, length)
                          : sl_buffer_append(out, "\xef\xbf\xbd", 3);
        at += length > 0 ? length : skip;
    }
    return good;
}

bool sl_raw_append_header_name(sl_raw_builder *builder, const char *name, size_t bytes) {
    sl_builder *names = &builder->root.children[SL_RAW_HEADERS].children[0].children[0];
    if (sl_utf8_is_valid(name, bytes)) {
        return sl_builder_append_bytes(names, name, bytes);
    }
    sl_buffer text = SL_BUFFER_INIT;
    bool good = replace_bad(&text, (const uint8_t *)name, bytes) &&
                sl_builder_append_bytes(names, text.data, text.bytes);
    sl_buffer_free(&text);
    return good;
}
