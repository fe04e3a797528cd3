/* Flat configs to nested ones and back (see flat.h). */
#include "topology/flat.h"

#include "topology/edit.h"
#include "topology/keys.h"
#include "topology/options.h"

#define NODE_PREFIX "node."

/* ---- names ---- */

/* "OPTION.rest" of an option that has members; NULL: there is none. */
static const sl_option *find_outer(const sl_option *table, const char *key) {
    for (const sl_option *o = table; o != NULL && o->name != NULL; o++) {
        size_t bytes = strlen(o->name);
        if ((o->type == SL_OPTION_OBJECT || o->type == SL_OPTION_MAP) &&
            (o->flags & SL_OPTION_REST) == 0 && strncmp(key, o->name, bytes) == 0 &&
            key[bytes] == '.' && key[bytes + 1] != 0) {
            return o;
        }
    }
    return NULL;
}

const sl_option *flat_option(const sl_option *table, const char *key) {
    const sl_option *option = table == NULL ? NULL : option_find(table, key);
    return option != NULL ? option : find_outer(table, key);
}

static bool is_written_apart(const char *key) {
    return strcmp(key, "plugin") == 0 || strcmp(key, "inputs") == 0 || strcmp(key, "config") == 0;
}

const sl_option *flat_node_key(enum topology_kind kind, const sl_option *table, const char *key) {
    bool prefixed = strncmp(key, NODE_PREFIX, strlen(NODE_PREFIX)) == 0;
    if (!prefixed && flat_option(table, key) != NULL) {
        return NULL;
    }
    key += prefixed ? strlen(NODE_PREFIX) : 0;
    return is_written_apart(key) ? NULL : option_find(topology_node_keys(kind), key);
}

/* ---- nested from flat ---- */

static struct json_value *split(struct arena *arena, const struct json_value *value) {
    struct json_value *array = json_new(arena, JSON_ARRAY, value->place);
    for (const char *text = value->text; array != NULL && *text != 0;) {
        size_t bytes = strcspn(text, ",");
        const char *from = text;
        const char *to = text + bytes;
        for (; from < to && *from == ' '; from++) {
        }
        for (; to > from && to[-1] == ' '; to--) {
        }
        const char *item = arena_copy(arena, from, (size_t)(to - from));
        if (item == NULL) {
            return NULL;
        }
        struct json_value *made = json_new_string(arena, item);
        if (made == NULL) {
            return NULL;
        }
        made->place = value->place;
        json_append(array, made, NULL);
        text += bytes + (text[bytes] == ',');
    }
    return array;
}

static bool is_read_as(uint32_t type, enum json_kind kind) {
    switch (type) {
    case SL_OPTION_INTEGER:
    case SL_OPTION_NUMBER:
        return kind == JSON_NUMBER;
    case SL_OPTION_BOOL:
        return kind == JSON_BOOL;
    case SL_OPTION_LIST:
        return kind == JSON_ARRAY;
    case SL_OPTION_MAP:
    case SL_OPTION_OBJECT:
        return kind == JSON_OBJECT;
    case SL_OPTION_JSON:
        return true;
    default:
        return false;
    }
}

/* Places inside what was read are those of the text that it stood in. */
static void place_all(struct json_value *value, struct json_place place) {
    value->place = value->key_place = place;
    for (struct json_value *child = value->first; child != NULL; child = child->next) {
        place_all(child, place);
    }
}

const struct json_value *flat_convert(struct arena *arena, const sl_option *option,
                                      const struct json_value *value) {
    if (value->kind != JSON_STRING || option == NULL || option->type == SL_OPTION_STRING) {
        return value;
    }
    struct json_value *parsed = json_read(arena, value->text, strlen(value->text));
    if (parsed != NULL && is_read_as(option->type, parsed->kind)) {
        place_all(parsed, value->place);
        return parsed;
    }
    return option->type == SL_OPTION_LIST ? split(arena, value) : value;
}

static void put(struct arena *arena, const sl_option *table, struct json_value *object,
                const char *key, const struct json_value *value) {
    const sl_option *option = table == NULL ? NULL : option_find(table, key);
    const sl_option *outer = option != NULL ? NULL : find_outer(table, key);
    struct json_value *inner = outer == NULL ? NULL : json_want_object(arena, object, outer->name);
    if (inner != NULL && inner->kind == JSON_OBJECT) {
        inner->place = value->place;
        const sl_option *members = outer->type == SL_OPTION_OBJECT ? outer->options : NULL;
        put(arena, members, inner, key + strlen(outer->name) + 1, value);
        return;
    }
    const struct json_value *converted = flat_convert(arena, option, value);
    if (converted != NULL) {
        json_set(arena, object, key, converted);
        struct json_value *member = json_member(object, key);
        if (member != NULL) {
            member->key_place = value->place;
        }
    }
}

void flat_put(struct arena *arena, const sl_option *table, struct json_value *object,
              const struct json_value *member) {
    put(arena, table, object, member->key, member);
}

/* ---- flat from nested ---- */

static void add_text(struct arena *arena, struct json_value *out, const char *path,
                     const char *text, struct json_place place) {
    struct json_value *value = text == NULL ? NULL : json_new_string(arena, text);
    if (value != NULL) {
        value->place = place;
        json_add(arena, out, path, value);
    }
}

static const char *json_text(struct arena *arena, const struct json_value *value) {
    sl_buffer text = SL_BUFFER_INIT;
    (void)json_write(value, JSON_WRITTEN, &text);
    return arena_take(arena, &text);
}

/* "a,b", NULL when the items are not such that it can be split again. */
static const char *list_text(struct arena *arena, const struct json_value *list) {
    sl_buffer text = SL_BUFFER_INIT;
    bool plain = list->n_children > 0;
    for (const struct json_value *item = list->first; item != NULL && plain; item = item->next) {
        size_t bytes = strlen(item->text);
        plain = item->kind == JSON_STRING && bytes > 0 && strchr(item->text, ',') == NULL &&
                item->text[0] != ' ' && item->text[bytes - 1] != ' ';
        (void)sl_buffer_printf(&text, "%s%s", item == list->first ? "" : ",", item->text);
    }
    const char *joined = arena_take(arena, &text);
    struct json_value *parsed =
        plain && joined != NULL ? json_read(arena, joined, strlen(joined)) : NULL;
    return plain && (parsed == NULL || parsed->kind != JSON_ARRAY) ? joined : NULL;
}

const char *flat_list(struct arena *arena, const struct json_value *list) {
    const char *joined = list->kind == JSON_ARRAY ? list_text(arena, list) : NULL;
    return joined != NULL              ? joined
           : list->kind == JSON_STRING ? list->text
                                       : json_text(arena, list);
}

static const char *value_text(struct arena *arena, const sl_option *option,
                              const struct json_value *value) {
    uint32_t type = option == NULL ? SL_OPTION_STRING : option->type;
    if (value->kind == JSON_STRING) {
        bool misread =
            type == SL_OPTION_JSON && json_read(arena, value->text, strlen(value->text)) != NULL;
        return misread ? json_text(arena, value) : value->text;
    }
    return type == SL_OPTION_LIST ? flat_list(arena, value) : json_text(arena, value);
}

static void flatten(struct arena *arena, const sl_option *table, const char *prefix,
                    const struct json_value *object, struct json_value *out);

static void flatten_member(struct arena *arena, const sl_option *option, const char *path,
                           const struct json_value *value, struct json_value *out) {
    bool has_members = option != NULL &&
                       (option->type == SL_OPTION_OBJECT || option->type == SL_OPTION_MAP) &&
                       (option->flags & SL_OPTION_REST) == 0;
    if (has_members && value->kind == JSON_OBJECT && value->n_children > 0) {
        const sl_option *members = option->type == SL_OPTION_OBJECT ? option->options : NULL;
        flatten(arena, members, arena_printf(arena, "%s.", path), value, out);
    } else if (value->kind != JSON_NULL) {
        add_text(arena, out, path, value_text(arena, option, value), value->place);
    }
}

static void flatten(struct arena *arena, const sl_option *table, const char *prefix,
                    const struct json_value *object, struct json_value *out) {
    for (const struct json_value *m = object->first; m != NULL && prefix != NULL; m = m->next) {
        const char *path = arena_printf(arena, "%s%s", prefix, m->key);
        if (path != NULL) {
            flatten_member(arena, table == NULL ? NULL : option_find(table, m->key), path, m, out);
        }
    }
}

void flat_from_node(struct arena *arena, enum topology_kind kind, const sl_option *table,
                    const struct json_value *node, struct json_value *out) {
    for (const struct json_value *m = node->first; m != NULL; m = m->next) {
        if (is_written_apart(m->key)) {
            continue;
        }
        const sl_option *key = option_find(topology_node_keys(kind), m->key);
        const char *prefix = flat_option(table, m->key) != NULL ? NODE_PREFIX : "";
        const char *path = arena_printf(arena, "%s%s", prefix, m->key);
        if (path != NULL && m->kind != JSON_NULL) {
            add_text(arena, out, path, value_text(arena, key, m), m->place);
        }
    }
    const struct json_value *config = json_member(node, "config");
    if (config != NULL && config->kind == JSON_OBJECT) {
        flatten(arena, table, "", config, out);
    }
}
