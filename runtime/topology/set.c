/*
 * --set a.b.c=value: changes the document before it is read. A name may hold dots itself
 * ("memory.max", "kafka.bootstrap.servers"): at each level the longest name that is there, or that
 * the level's option table knows, is taken; a name in back quotes is taken as it is.
 */
#include "topology/loader.h"

/* Where a path has got to: the object and the table that describes it. */
struct position {
    struct json_value *object;
    const sl_option *table; /* NULL: not known */
    bool any_keys;          /* a map: what is left is one key */
    enum { AT_TOP, AT_NODES, AT_NODE, AT_OPTIONS } level;
    enum topology_kind kind;
    const char *path;
};

#define MAX_PATH_BYTES 1024

static const struct json_place set_place = {0, 0, true};

/* ---- one step ---- */

static bool knows(const struct position *at, const char *name) {
    return json_member(at->object, name) != NULL || option_find(at->table, name) != NULL;
}

/*
 * The next name of the path; *rest moves behind it and its dot. NULL when a back quote has no end
 * or memory is short.
 */
static const char *next_name(struct loader *loader, const struct position *at, const char **rest) {
    const char *text = *rest;
    if (*text == '`') {
        const char *end = strchr(text + 1, '`');
        if (end == NULL || (end[1] != 0 && end[1] != '.')) {
            return NULL;
        }
        *rest = end[1] == '.' ? end + 2 : end + 1;
        return arena_copy(loader->arena, text + 1, (size_t)(end - text) - 1);
    }
    size_t n = strlen(text);
    while (n > 0) {
        const char *name = arena_copy(loader->arena, text, n);
        if (name == NULL) {
            return NULL;
        }
        if (knows(at, name)) {
            *rest = text + n + (text[n] == '.' ? 1 : 0);
            return name;
        }
        do {
            n--;
        } while (n > 0 && text[n] != '.');
    }
    bool whole = at->any_keys || (at->table != NULL && option_rest(at->table) != NULL);
    n = whole ? strlen(text) : strcspn(text, ".");
    *rest = text + n + (text[n] == '.' ? 1 : 0);
    return arena_copy(loader->arena, text, n);
}

static const sl_option *config_table(struct loader *loader, const struct position *at) {
    const struct json_value *name = json_member(at->object, "plugin");
    if (name == NULL || name->kind != JSON_STRING) {
        return NULL;
    }
    const sl_role *role = plugin_role(loader_plugin(loader, name->text), at->kind);
    return role == NULL ? NULL : role->options;
}

/* What describes the member `name` of the position. */
static struct position describe(struct loader *loader, const struct position *at,
                                const char *name) {
    struct position next = {.level = AT_OPTIONS, .kind = at->kind};
    next.path = json_path_member(loader->arena, at->path, name);
    if (at->level == AT_TOP) {
        for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
            if (strcmp(name, topology_kind_key((enum topology_kind)kind)) == 0) {
                next.level = AT_NODES;
                next.kind = (enum topology_kind)kind;
                return next;
            }
        }
        bool used;
        const struct plugin *plugin = option_find(topology_top_keys, name) != NULL
                                          ? NULL
                                          : loader_section(loader, name, &used);
        next.table = plugin == NULL ? NULL : plugin->descriptor.section_options;
    } else if (at->level == AT_NODES) {
        next.level = AT_NODE;
        next.table = topology_node_keys(at->kind);
    } else if (at->level == AT_NODE) {
        next.table = strcmp(name, "config") == 0 ? config_table(loader, at) : NULL;
    } else {
        const sl_option *option = option_find(at->table, name);
        next.table = option != NULL && option->type == SL_OPTION_OBJECT ? option->options : NULL;
        next.any_keys = option != NULL && option->type == SL_OPTION_MAP;
    }
    return next;
}

/* ---- values ---- */

static void mark_as_set(struct json_value *value) {
    value->place = set_place;
    value->key_place = set_place;
    for (struct json_value *child = value->first; child != NULL; child = child->next) {
        mark_as_set(child);
    }
}

/* JSON when it is, else a string. */
static struct json_value *make_value(struct loader *loader, const char *text) {
    struct json_value *value = json_read(loader->arena, text, strlen(text));
    if (value == NULL) {
        value = json_new(loader->arena, JSON_STRING, set_place);
        const char *copy = arena_text(loader->arena, text);
        if (value == NULL || copy == NULL) {
            return NULL;
        }
        value->text = copy;
        value->shown = copy;
    }
    mark_as_set(value);
    return value;
}

static void replace(struct json_value *old, const struct json_value *made) {
    struct json_value kept = *old;
    *old = *made;
    old->key = kept.key;
    old->key_hash = kept.key_hash;
    old->key_place = kept.key_place;
    old->next = kept.next;
}

static struct json_value *item_at(struct json_value *array, const char *name) {
    int64_t index;
    if (!sl_parse_i64(name, strlen(name), &index) || index < 0) {
        return NULL;
    }
    struct json_value *item = array->first;
    for (; item != NULL && index > 0; index--) {
        item = item->next;
    }
    return item;
}

/* ---- a whole path ---- */

static void fault(struct loader *loader, const char *path, const char *set, const char *why) {
    int shown = (int)strcspn(set, "=");
    topology_fault_add(loader->faults, set_place, path, "--set %.*s: %s", shown, set, why);
}

/* The child of `at` called `name`, made as an object when it is not there; NULL after a fault. */
static struct json_value *descend(struct loader *loader, struct position *at, const char *name,
                                  const char *set) {
    struct json_value *child = NULL;
    if (at->object->kind == JSON_OBJECT) {
        child = json_member(at->object, name);
        if (child == NULL) {
            child = json_new(loader->arena, JSON_OBJECT, set_place);
            if (child != NULL) {
                json_append(at->object, child, name);
            }
        }
    } else if (at->object->kind == JSON_ARRAY) {
        child = item_at(at->object, name);
        if (child == NULL) {
            fault(loader, at->path, set, "the array has no such item");
        }
    } else {
        fault(loader, at->path, set, "what stands there is no object");
    }
    return child;
}

static void apply(struct loader *loader, const char *set, const char *value_text) {
    size_t bytes = (size_t)(value_text - set) - 1;
    if (bytes > MAX_PATH_BYTES) {
        fault(loader, "$", "", "a path of more than 1024 bytes");
        return;
    }
    const char *rest = arena_copy(loader->arena, set, bytes);
    int depth = 0;
    struct position at = {
        .object = loader->root, .table = topology_top_keys, .level = AT_TOP, .path = "$"};
    struct json_value *target = loader->root;
    while (rest != NULL && *rest != 0) {
        const char *name = next_name(loader, &at, &rest);
        if (name == NULL || *name == 0 || ++depth > JSON_MAX_DEPTH) {
            fault(loader, at.path, set, "a path is names with dots between; see --help");
            return;
        }
        struct position next = describe(loader, &at, name);
        target = descend(loader, &at, name, set);
        if (target == NULL) {
            return;
        }
        next.object = target;
        at = next;
    }
    struct json_value *value = make_value(loader, value_text);
    if (value != NULL) {
        replace(target, value);
    }
}

static bool reaches_into_plugins(const char *set) {
    static const char *const tops[] = {"sources.", "transforms.", "sinks."};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(tops); i++) {
        if (strncmp(set, tops[i], strlen(tops[i])) == 0) {
            const char *config = strstr(set, ".config.");
            return config != NULL && config < strchr(set, '=');
        }
    }
    for (const sl_option *o = topology_top_keys; o->name != NULL; o++) {
        size_t n = strlen(o->name);
        if (strncmp(set, o->name, n) == 0 && (set[n] == '=' || set[n] == '.')) {
            return false;
        }
    }
    return true;
}

void loader_apply_sets(struct loader *loader, const struct topology_options *options,
                       bool inside_plugins) {
    for (size_t i = 0; options != NULL && i < options->n_sets; i++) {
        const char *set = options->sets[i];
        const char *equals = strchr(set, '=');
        if (equals == NULL || equals == set) {
            if (!inside_plugins) {
                fault(loader, "$", set, "a value is given as NAME=VALUE");
            }
        } else if (reaches_into_plugins(set) == inside_plugins) {
            apply(loader, set, equals + 1);
        }
    }
}
