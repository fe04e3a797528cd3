/*
 * The types in use: from Arrow format strings, and in Delta's words for messages.
 */
#include "columns/columns.h"

static const struct {
    const char *format;
    sl_type type;
    const char *word;
} plain_types[] = {
    {"b", {SL_TYPE_BOOL, 0, 0, 0}, "boolean"},
    {"c", {SL_TYPE_INT8, 1, 0, 0}, "byte"},
    {"s", {SL_TYPE_INT16, 2, 0, 0}, "short"},
    {"i", {SL_TYPE_INT32, 4, 0, 0}, "integer"},
    {"l", {SL_TYPE_INT64, 8, 0, 0}, "long"},
    {"C", {SL_TYPE_UINT8, 1, 0, 0}, "uint8"},
    {"S", {SL_TYPE_UINT16, 2, 0, 0}, "uint16"},
    {"I", {SL_TYPE_UINT32, 4, 0, 0}, "uint32"},
    {"L", {SL_TYPE_UINT64, 8, 0, 0}, "uint64"},
    {"f", {SL_TYPE_FLOAT, 4, 0, 0}, "float"},
    {"g", {SL_TYPE_DOUBLE, 8, 0, 0}, "double"},
    {"u", {SL_TYPE_UTF8, 0, 0, 0}, "string"},
    {"z", {SL_TYPE_BINARY, 0, 0, 0}, "binary"},
    {"tdD", {SL_TYPE_DATE32, 4, 0, 0}, "date"},
    {"tsu:UTC", {SL_TYPE_TIMESTAMP_UTC, 8, 0, 0}, "timestamp"},
    {"tsu:", {SL_TYPE_TIMESTAMP_NTZ, 8, 0, 0}, "timestamp_ntz"},
    {"+s", {SL_TYPE_STRUCT, 0, 0, 0}, "struct"},
    {"+l", {SL_TYPE_LIST, 0, 0, 0}, "array"},
    {"+m", {SL_TYPE_MAP, 0, 0, 0}, "map"},
};

static bool parse_decimal(const char *text, sl_type *out) {
    const char *comma = strchr(text, ',');
    int64_t precision;
    int64_t scale;
    if (comma == NULL || !sl_parse_i64(text, (size_t)(comma - text), &precision)) {
        return false;
    }
    const char *scale_text = comma + 1;
    const char *width = strchr(scale_text, ',');
    size_t scale_bytes = width == NULL ? strlen(scale_text) : (size_t)(width - scale_text);
    if (!sl_parse_i64(scale_text, scale_bytes, &scale) ||
        (width != NULL && strcmp(width, ",128") != 0) || precision < 1 || precision > 38 ||
        scale < 0 || scale > precision) {
        return false;
    }
    *out = (sl_type){SL_TYPE_DECIMAL128, 16, (int32_t)precision, (int32_t)scale};
    return true;
}

bool sl_type_parse(const char *format, sl_type *out) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(plain_types); i++) {
        if (strcmp(format, plain_types[i].format) == 0) {
            *out = plain_types[i].type;
            return true;
        }
    }
    int64_t width;
    if (format[0] == 'w' && format[1] == ':' &&
        sl_parse_i64(format + 2, strlen(format + 2), &width) && width > 0 && width <= INT32_MAX) {
        *out = (sl_type){SL_TYPE_FIXED_BINARY, (int32_t)width, 0, 0};
        return true;
    }
    return format[0] == 'd' && format[1] == ':' && parse_decimal(format + 2, out);
}

static bool describe_children(const struct ArrowSchema *schema, const sl_type *type,
                              sl_buffer *out) {
    const struct ArrowSchema *parent = schema;
    if (type->id == SL_TYPE_MAP && schema->n_children == 1) {
        parent = schema->children[0];
    }
    bool good = sl_buffer_append_byte(out, '<');
    for (int64_t i = 0; i < parent->n_children && good; i++) {
        const struct ArrowSchema *child = parent->children[i];
        good = (i == 0 || sl_buffer_append_byte(out, ',')) &&
               (type->id != SL_TYPE_STRUCT ||
                sl_buffer_printf(out, "%s:", child->name == NULL ? "" : child->name)) &&
               sl_type_describe(child, out);
    }
    return good && sl_buffer_append_byte(out, '>');
}

bool sl_type_describe(const struct ArrowSchema *schema, sl_buffer *out) {
    sl_type type;
    if (!sl_type_parse(schema->format, &type)) {
        return sl_buffer_printf(out, "Arrow type \"%s\"", schema->format);
    }
    if (type.id == SL_TYPE_DECIMAL128) {
        return sl_buffer_printf(out, "decimal(%d,%d)", type.precision, type.scale);
    }
    if (type.id == SL_TYPE_FIXED_BINARY) {
        return sl_buffer_printf(out, "binary(%d)", type.width_bytes);
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(plain_types); i++) {
        if (plain_types[i].type.id == type.id) {
            bool nested = type.id >= SL_TYPE_STRUCT;
            return sl_buffer_append_text(out, plain_types[i].word) &&
                   (!nested || describe_children(schema, &type, out));
        }
    }
    return false;
}
