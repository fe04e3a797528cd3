/* Parsing an object by an option table (see options.h). One value: option_value.c. */
#include "topology/option_value.h"

/* The member for an option, or NULL. */
static const struct json_value *given(const struct json_value *object, const sl_option *option) {
    return object == NULL ? NULL : json_member(object, option->name);
}

/* True when an unknown key of the object is probably this option misspelt. */
static bool misspelt(const struct json_value *object, const sl_option *table,
                     const sl_option *option) {
    for (const struct json_value *m = object == NULL ? NULL : object->first; m != NULL;
         m = m->next) {
        if (option_find(table, m->key) == NULL) {
            const char *nearest = option_nearest(table, m->key);
            if (nearest != NULL && strcmp(nearest, option->name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void start_member(sl_buffer *effective, const char *name, bool *first) {
    if (effective != NULL) {
        (void)sl_buffer_append_text(effective, *first ? "" : ",");
        (void)sl_buffer_append_json_string(effective, name, strlen(name));
        (void)sl_buffer_append_byte(effective, ':');
        *first = false;
    }
}

/* Takes back a member whose value could not be shown. */
static bool parse_option(struct option_target *t, bool *first) {
    size_t mark = t->effective == NULL ? 0 : t->effective->bytes;
    bool was_first = *first;
    start_member(t->effective, t->option->name, first);
    bool good = t->value != NULL ? option_put(t) : option_put_text(t, t->option->default_text);
    if (!good && t->effective != NULL && !t->effective->failed) {
        t->effective->bytes = mark;
        *first = was_first;
    }
    return good;
}

static bool parse_known(const struct option_context *context, const sl_option *table,
                        const sl_option *option, const struct json_value *object,
                        struct json_place place, const char *path, void *config,
                        sl_buffer *effective, bool *first) {
    const struct json_value *value = given(object, option);
    struct option_target t = {.context = context,
                              .option = option,
                              .value = value,
                              .place = value == NULL ? place : value->place,
                              .path = json_path_member(context->arena, path, option->name),
                              .field = (char *)config + option->offset,
                              .effective = effective};
    if (value == NULL && (option->flags & SL_OPTION_REQUIRED) != 0) {
        if (!misspelt(object, table, option)) {
            topology_fault_add(context->faults, place, t.path, "\"%s\" is missing: %s",
                               option->name, option->doc == NULL ? "required" : option->doc);
        }
        return false;
    }
    if (value == NULL && option->default_text == NULL) {
        return true;
    }
    if (value != NULL && (option->flags & SL_OPTION_DEPRECATED) != 0) {
        topology_warning_add(context->faults, value->key_place, t.path, "\"%s\" is deprecated: %s",
                             option->name, option->doc == NULL ? "" : option->doc);
    }
    return parse_option(&t, first);
}

static void fault_unknown(const struct option_context *context, const sl_option *table,
                          const struct json_value *member, const char *path) {
    const char *nearest = option_nearest(table, member->key);
    const char *member_path = json_path_member(context->arena, path, member->key);
    if (nearest != NULL) {
        topology_fault_add(context->faults, member->key_place, member_path,
                           "unknown key \"%s\"; did you mean \"%s\"?", member->key, nearest);
        return;
    }
    sl_buffer names = SL_BUFFER_INIT;
    option_list_names(table, &names);
    const char *list = arena_take(context->arena, &names);
    topology_fault_add(context->faults, member->key_place, member_path,
                       "unknown key \"%s\"; allowed: %s", member->key,
                       list == NULL || *list == 0 ? "none" : list);
}

/* A key that no option has: the rest option's, or a fault. */
static bool parse_rest(const struct option_context *context, const sl_option *table,
                       const sl_option *rest, const struct json_value *member, const char *path,
                       sl_pair *pair) {
    *pair = option_make_pair(context, member);
    if (member->broken || pair->value == NULL) {
        return false;
    }
    const char *nearest = NULL;
    const char *why = rest->check == NULL ? NULL : rest->check(pair->key, pair->value, &nearest);
    if (why == NULL) {
        return true;
    }
    const char *own = option_nearest(table, member->key);
    if (own != NULL) {
        const char *both[] = {own, nearest};
        nearest = sl_nearest_name(member->key, both, nearest == NULL ? 1 : 2);
    }
    const char *member_path = json_path_member(context->arena, path, member->key);
    if (nearest != NULL) {
        topology_fault_add(context->faults, member->key_place, member_path,
                           "\"%s\": %s; did you mean \"%s\"?", member->key, why, nearest);
    } else {
        topology_fault_add(context->faults, member->key_place, member_path, "\"%s\": %s",
                           member->key, why);
    }
    return false;
}

static bool parse_unknown(const struct option_context *context, const sl_option *table,
                          const struct json_value *object, const char *path, void *config,
                          sl_buffer *effective, bool *first) {
    const sl_option *rest = option_rest(table);
    sl_pair *pairs =
        rest == NULL ? NULL : arena_array(context->arena, object->n_children + 1, sizeof(*pairs));
    size_t n = 0;
    bool good = true;
    for (const struct json_value *m = object->first; m != NULL; m = m->next) {
        if (option_find(table, m->key) != NULL) {
            continue;
        }
        if (rest == NULL) {
            fault_unknown(context, table, m, path);
            good = false;
        } else if (pairs != NULL && parse_rest(context, table, rest, m, path, &pairs[n])) {
            option_show_member(m, *first, effective);
            *first = effective == NULL ? *first : false;
            n++;
        } else {
            good = false;
        }
    }
    if (rest != NULL && pairs != NULL) {
        sl_map *map = (sl_map *)(void *)((char *)config + rest->offset);
        *map = (sl_map){n, pairs};
    }
    return good;
}

bool options_parse_into(const struct option_context *context, const sl_option *table,
                        const struct json_value *object, struct json_place place, const char *path,
                        void *config, sl_buffer *effective) {
    bool first = true;
    bool good = true;
    if (effective != NULL) {
        (void)sl_buffer_append_byte(effective, '{');
    }
    for (const sl_option *o = table; o != NULL && o->name != NULL; o++) {
        if ((o->flags & SL_OPTION_REST) == 0) {
            good = parse_known(context, table, o, object, place, path, config, effective, &first) &&
                   good;
        }
    }
    if (object != NULL) {
        good = parse_unknown(context, table, object, path, config, effective, &first) && good;
    }
    if (effective != NULL) {
        (void)sl_buffer_append_byte(effective, '}');
    }
    return good;
}

void *options_parse(const struct option_context *context, const sl_option *table,
                    size_t struct_bytes, const struct json_value *object, struct json_place place,
                    const char *path, sl_buffer *effective) {
    void *config = arena_alloc(context->arena, struct_bytes);
    if (config != NULL) {
        (void)options_parse_into(context, table, object, place, path, config, effective);
    }
    return config;
}
