/* The tree of a JSON document, its text again, and the paths of its values (see document.h). */
#include "topology/document.h"

#include <stdint.h>

/* FNV-1a. */
uint32_t json_hash(const char *text) {
    uint32_t hash = 2166136261u;
    for (; *text != 0; text++) {
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    }
    return hash;
}

struct json_value *json_new(struct arena *arena, enum json_kind kind, struct json_place place) {
    struct json_value *value = arena_alloc(arena, sizeof(*value));
    if (value != NULL) {
        value->kind = kind;
        value->place = place;
        value->text = "";
        value->shown = "";
    }
    return value;
}

void json_append(struct json_value *parent, struct json_value *child, const char *key) {
    child->key = key;
    child->key_hash = key == NULL ? 0 : json_hash(key);
    child->key_place = child->place;
    child->next = NULL;
    if (parent->last == NULL) {
        parent->first = child;
    } else {
        parent->last->next = child;
    }
    parent->last = child;
    parent->n_children++;
}

struct json_value *json_member(const struct json_value *object, const char *key) {
    if (object == NULL || object->kind != JSON_OBJECT) {
        return NULL;
    }
    uint32_t hash = json_hash(key);
    for (struct json_value *m = object->first; m != NULL; m = m->next) {
        if (m->key_hash == hash && strcmp(m->key, key) == 0) {
            return m;
        }
    }
    return NULL;
}

const char *json_kind_name(enum json_kind kind) {
    switch (kind) {
    case JSON_NULL:
        return "null";
    case JSON_BOOL:
        return "a boolean";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "an array";
    case JSON_OBJECT:
        return "an object";
    }
    return "a value";
}

bool json_write(const struct json_value *value, enum json_form form, sl_buffer *out) {
    const char *text = form == JSON_VALUES                              ? value->text
                       : form == JSON_WRITTEN && value->written != NULL ? value->written
                                                                        : value->shown;
    switch (value->kind) {
    case JSON_NULL:
        return sl_buffer_append_text(out, "null");
    case JSON_BOOL:
        return sl_buffer_append_text(out, value->truth ? "true" : "false");
    case JSON_NUMBER:
        return sl_buffer_append_text(out, text);
    case JSON_STRING:
        return sl_buffer_append_json_string(out, text, strlen(text));
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    bool object = value->kind == JSON_OBJECT;
    (void)sl_buffer_append_byte(out, object ? '{' : '[');
    for (const struct json_value *child = value->first; child != NULL; child = child->next) {
        if (child != value->first) {
            (void)sl_buffer_append_byte(out, ',');
        }
        if (object) {
            (void)sl_buffer_append_json_string(out, child->key, strlen(child->key));
            (void)sl_buffer_append_byte(out, ':');
        }
        (void)json_write(child, form, out);
    }
    return sl_buffer_append_byte(out, object ? '}' : ']');
}

/* ---- paths (RFC 9535: .name, or ['name'] where the name is no identifier) ---- */

static bool is_plain_name(const char *key) {
    if (*key == 0 || (*key >= '0' && *key <= '9')) {
        return false;
    }
    for (; *key != 0; key++) {
        bool good = (*key >= 'a' && *key <= 'z') || (*key >= 'A' && *key <= 'Z') ||
                    (*key >= '0' && *key <= '9') || *key == '_' || *key == '-';
        if (!good) {
            return false;
        }
    }
    return true;
}

void json_path_append(sl_buffer *path, const char *key) {
    if (is_plain_name(key)) {
        (void)sl_buffer_printf(path, ".%s", key);
        return;
    }
    (void)sl_buffer_append_text(path, "['");
    for (; *key != 0; key++) {
        if (*key == '\'' || *key == '\\') {
            (void)sl_buffer_append_byte(path, '\\');
        }
        if ((uint8_t)*key < 0x20) {
            (void)sl_buffer_printf(path, "\\u%04x", (unsigned)(uint8_t)*key);
        } else {
            (void)sl_buffer_append_byte(path, (uint8_t)*key);
        }
    }
    (void)sl_buffer_append_text(path, "']");
}

const char *json_path_member(struct arena *arena, const char *path, const char *key) {
    sl_buffer out = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&out, path);
    json_path_append(&out, key);
    const char *made = arena_take(arena, &out);
    return made == NULL ? path : made;
}

const char *json_path_item(struct arena *arena, const char *path, size_t index) {
    const char *made = arena_printf(arena, "%s[%zu]", path, index);
    return made == NULL ? path : made;
}
