/*
 * Delta's schema serialization format (PROTOCOL.md, "Schema Serialization Format") to and from an
 * Arrow schema. A field's Delta metadata is kept as Arrow metadata under DELTA_FIELD_METADATA, so
 * that what other writers put there survives when the schema grows.
 */
#include <stdio.h>
#include <string.h>

#include "delta/internal.h"

#define MAX_NESTING 64

static const struct {
    const char *delta;
    const char *arrow;
} primitives[] = {
    {"string", "u"}, {"long", "l"},   {"integer", "i"},         {"short", "s"},
    {"byte", "c"},   {"float", "f"},  {"double", "g"},          {"boolean", "b"},
    {"binary", "z"}, {"date", "tdD"}, {"timestamp", "tsu:UTC"}, {"timestamp_ntz", "tsu:"},
};

/* ---- from JSON ---- */

static sl_error *parse_type(const json_value *type, struct ArrowSchema *parent, size_t index,
                            const char *name, bool nullable, int depth);

static sl_error *bad(const char *name, const char *what) {
    return sl_error_new(SL_ERROR_CORRUPT, "schemaString: the field \"%s\" %s", name, what);
}

static sl_error *parse_decimal(const char *text, char format[32]) {
    int precision;
    int scale;
    int used = 0;
    if (sscanf(text, "decimal(%3d,%3d)%n", &precision, &scale, &used) != 2 || text[used] != 0 ||
        precision < 1 || precision > 38 || scale < 0 || scale > precision) {
        return sl_error_new(SL_ERROR_UNSUPPORTED, "schemaString: the type \"%s\"", text);
    }
    snprintf(format, 32, "d:%d,%d", precision, scale);
    return NULL;
}

static sl_error *parse_primitive(const char *text, struct ArrowSchema *parent, size_t index,
                                 const char *name, bool nullable) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(primitives); i++) {
        if (strcmp(text, primitives[i].delta) == 0) {
            return sl_schema_set_field(parent, index, name, primitives[i].arrow, nullable, 0);
        }
    }
    if (strncmp(text, "decimal(", 8) == 0) {
        char format[32];
        sl_error *error = parse_decimal(text, format);
        return error != NULL ? error
                             : sl_schema_set_field(parent, index, name, format, nullable, 0);
    }
    return sl_error_new(SL_ERROR_UNSUPPORTED,
                        "the column \"%s\" has the type \"%s\", which sluice does not have", name,
                        text);
}

static sl_error *parse_fields(const json_value *fields, struct ArrowSchema *schema, int depth) {
    size_t i = 0;
    for (const json_value *field = fields->child; field != NULL; field = field->next, i++) {
        const char *name = delta_json_text(field, "name");
        if (name == NULL) {
            return bad("?", "has no name");
        }
        sl_error *error = parse_type(delta_json_member(field, "type"), schema, i, name,
                                     delta_json_bool(field, "nullable", true), depth + 1);
        const json_value *metadata = delta_json_member(field, "metadata");
        if (error == NULL && metadata != NULL && metadata->child != NULL) {
            sl_buffer text = SL_BUFFER_INIT;
            delta_json_write(metadata, &text);
            const char *key = DELTA_FIELD_METADATA;
            const char *value = sl_buffer_text(&text);
            error = value == NULL || text.failed
                        ? sl_error_no_memory()
                        : sl_schema_set_metadata(schema->children[i], &key, &value, 1);
            sl_buffer_free(&text);
        }
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

static size_t count(const json_value *array) {
    size_t n = 0;
    for (const json_value *v = array->child; v != NULL; v = v->next) {
        n++;
    }
    return n;
}

static sl_error *parse_map(const json_value *type, struct ArrowSchema *parent, size_t index,
                           const char *name, bool nullable, int depth) {
    sl_error *error = sl_schema_set_field(parent, index, name, "+m", nullable, 1);
    if (error == NULL) {
        error = sl_schema_set_field(parent->children[index], 0, "entries", "+s", false, 2);
    }
    if (error != NULL) {
        return error;
    }
    struct ArrowSchema *entries = parent->children[index]->children[0];
    error = parse_type(delta_json_member(type, "keyType"), entries, 0, "key", false, depth + 1);
    return error != NULL ? error
                         : parse_type(delta_json_member(type, "valueType"), entries, 1, "value",
                                      delta_json_bool(type, "valueContainsNull", true), depth + 1);
}

static sl_error *parse_nested(const json_value *type, struct ArrowSchema *parent, size_t index,
                              const char *name, bool nullable, int depth) {
    const char *kind = delta_json_text(type, "type");
    if (kind != NULL && strcmp(kind, "struct") == 0) {
        const json_value *fields = delta_json_member(type, "fields");
        if (fields == NULL || fields->kind != JSON_ARRAY) {
            return bad(name, "is a struct without fields");
        }
        sl_error *error = sl_schema_set_field(parent, index, name, "+s", nullable, count(fields));
        return error != NULL ? error : parse_fields(fields, parent->children[index], depth);
    }
    if (kind != NULL && strcmp(kind, "array") == 0) {
        sl_error *error = sl_schema_set_field(parent, index, name, "+l", nullable, 1);
        return error != NULL
                   ? error
                   : parse_type(delta_json_member(type, "elementType"), parent->children[index], 0,
                                "element", delta_json_bool(type, "containsNull", true), depth + 1);
    }
    if (kind != NULL && strcmp(kind, "map") == 0) {
        return parse_map(type, parent, index, name, nullable, depth);
    }
    return bad(name, "has a type that is none of struct, array, map");
}

static sl_error *parse_type(const json_value *type, struct ArrowSchema *parent, size_t index,
                            const char *name, bool nullable, int depth) {
    if (depth > MAX_NESTING) {
        return bad(name, "is nested too deep");
    }
    if (type != NULL && type->kind == JSON_STRING) {
        return parse_primitive(type->text, parent, index, name, nullable);
    }
    if (type == NULL || type->kind != JSON_OBJECT) {
        return bad(name, "has no type");
    }
    return parse_nested(type, parent, index, name, nullable, depth);
}

sl_error *delta_schema_parse(const char *schema_string, struct ArrowSchema *out) {
    json_arena arena = {0};
    const json_value *root = NULL;
    struct ArrowSchema schema = {0};
    sl_error *error = delta_json_parse(&arena, schema_string, strlen(schema_string), &root);
    if (error != NULL) {
        error = sl_error_wrap(error, "schemaString");
    } else {
        const json_value *fields = delta_json_member(root, "fields");
        if (fields == NULL || fields->kind != JSON_ARRAY) {
            error = sl_error_new(SL_ERROR_CORRUPT, "schemaString: no list \"fields\"");
        } else {
            error = sl_schema_new_struct(count(fields), &schema);
            error = error != NULL ? error : parse_fields(fields, &schema, 0);
        }
    }
    delta_json_arena_free(&arena);
    if (error != NULL) {
        if (schema.release != NULL) {
            schema.release(&schema);
        }
        return error;
    }
    *out = schema;
    return NULL;
}

/* ---- to JSON ---- */

static sl_error *write_type(const struct ArrowSchema *schema, sl_buffer *out);

static bool nullable(const struct ArrowSchema *schema) {
    return (schema->flags & ARROW_FLAG_NULLABLE) != 0;
}

static const char *truth(bool value) {
    return value ? "true" : "false";
}

static sl_error *write_fields(const struct ArrowSchema *schema, sl_buffer *out) {
    sl_buffer_append_text(out, "{\"type\":\"struct\",\"fields\":[");
    for (int64_t i = 0; i < schema->n_children; i++) {
        const struct ArrowSchema *field = schema->children[i];
        sl_buffer_append_text(out, i == 0 ? "{\"name\":" : ",{\"name\":");
        sl_buffer_append_json_string(out, field->name, strlen(field->name));
        sl_buffer_append_text(out, ",\"type\":");
        sl_error *error = write_type(field, out);
        if (error != NULL) {
            return error;
        }
        size_t bytes;
        const char *metadata = sl_schema_metadata(field, DELTA_FIELD_METADATA, &bytes);
        sl_buffer_printf(out, ",\"nullable\":%s,\"metadata\":%.*s}", truth(nullable(field)),
                         metadata == NULL ? 2 : (int)bytes, metadata == NULL ? "{}" : metadata);
    }
    sl_buffer_append_text(out, "]}");
    return NULL;
}

static sl_error *write_list(const struct ArrowSchema *schema, sl_buffer *out) {
    const struct ArrowSchema *element = schema->children[0];
    sl_buffer_append_text(out, "{\"type\":\"array\",\"elementType\":");
    sl_error *error = write_type(element, out);
    sl_buffer_printf(out, ",\"containsNull\":%s}", truth(nullable(element)));
    return error;
}

static sl_error *write_map(const struct ArrowSchema *schema, sl_buffer *out) {
    const struct ArrowSchema *entries = schema->children[0];
    sl_buffer_append_text(out, "{\"type\":\"map\",\"keyType\":");
    sl_error *error = write_type(entries->children[0], out);
    sl_buffer_append_text(out, ",\"valueType\":");
    error = error != NULL ? error : write_type(entries->children[1], out);
    sl_buffer_printf(out, ",\"valueContainsNull\":%s}", truth(nullable(entries->children[1])));
    return error;
}

static sl_error *write_type(const struct ArrowSchema *schema, sl_buffer *out) {
    sl_type type;
    if (!sl_type_parse(schema->format, &type)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "the column \"%s\" has the Arrow type \"%s\", which "
                            "Delta does not have",
                            schema->name, schema->format);
    }
    switch (type.id) {
    case SL_TYPE_STRUCT:
        return write_fields(schema, out);
    case SL_TYPE_LIST:
        return write_list(schema, out);
    case SL_TYPE_MAP:
        return write_map(schema, out);
    case SL_TYPE_DECIMAL128:
        sl_buffer_printf(out, "\"decimal(%d,%d)\"", type.precision, type.scale);
        return NULL;
    case SL_TYPE_TIMESTAMP_UTC: /* any spelling of the zone */
        sl_buffer_append_text(out, "\"timestamp\"");
        return NULL;
    default:
        break;
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(primitives); i++) {
        if (strcmp(schema->format, primitives[i].arrow) == 0) {
            sl_buffer_printf(out, "\"%s\"", primitives[i].delta);
            return NULL;
        }
    }
    sl_buffer name = SL_BUFFER_INIT;
    sl_type_describe(schema, &name);
    const char *text = sl_buffer_text(&name);
    sl_error *error = sl_error_new(SL_ERROR_CONFIG,
                                   "the column \"%s\" has the type %s, which Delta does not have; "
                                   "cast it to a signed integer, binary or string",
                                   schema->name, text == NULL ? schema->format : text);
    sl_buffer_free(&name);
    return error;
}

sl_error *delta_schema_write(const struct ArrowSchema *schema, sl_buffer *out) {
    sl_error *error = write_fields(schema, out);
    return error == NULL && out->failed ? sl_error_no_memory() : error;
}
