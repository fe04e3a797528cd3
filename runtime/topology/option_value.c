/*
 * One option's value into its field: every type, what may be shown of it, and the fault when it
 * does not fit. What is allowed in words: option_text.c.
 */
#include "topology/option_value.h"

#include "topology/location.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- messages ---- */

/* What was found, so that it may be shown. */
static void append_found(const struct option_target *t, sl_buffer *out) {
    const struct json_value *value = t->value;
    if (t->option->type == SL_OPTION_SECRET || value->kind == JSON_ARRAY ||
        value->kind == JSON_OBJECT) {
        (void)sl_buffer_append_text(out, json_kind_name(value->kind));
    } else if (value->kind == JSON_STRING) {
        (void)sl_buffer_printf(out, "\"%.200s\"%s", value->shown,
                               value->substituted ? " (its value is not shown)" : "");
    } else {
        (void)sl_buffer_printf(out, "%.200s", value->text);
    }
}

/* "found X; allowed is Y", and what helps. */
static void fault_allowed(const struct option_target *t, const char *hint) {
    sl_buffer text = SL_BUFFER_INIT;
    if (t->value != NULL) {
        (void)sl_buffer_append_text(&text, "found ");
        append_found(t, &text);
    } else {
        (void)sl_buffer_printf(&text, "the plugin's own default \"%s\" does not fit",
                               t->option->default_text);
    }
    (void)sl_buffer_append_text(&text, "; allowed is ");
    option_describe(t->option, &text);
    if (hint != NULL) {
        (void)sl_buffer_printf(&text, "; %s", hint);
    }
    const char *message = sl_buffer_text(&text);
    if (message == NULL) {
        t->context->arena->failed = true;
    } else {
        topology_fault_add(t->context->faults, t->place, t->path, "%s", message);
    }
    sl_buffer_free(&text);
}

/* ---- the effective value ---- */

static void show_text(const struct option_target *t, const char *text) {
    if (t->effective == NULL) {
        return;
    }
    if (t->value != NULL && t->value->substituted) {
        (void)sl_buffer_append_json_string(t->effective, t->value->shown, strlen(t->value->shown));
        return;
    }
    /* what is no reference is shown as it must be written */
    sl_buffer plain = SL_BUFFER_INIT;
    for (const char *at = text; *at != 0; at++) {
        (void)sl_buffer_append_text(&plain, at[0] == '$' && at[1] == '{' ? "$" : "");
        (void)sl_buffer_append_byte(&plain, (uint8_t)*at);
    }
    (void)sl_buffer_append_json_string(t->effective, (const char *)plain.data, plain.bytes);
    t->effective->failed = t->effective->failed || plain.failed;
    sl_buffer_free(&plain);
}

static void show_raw(const struct option_target *t, const char *text) {
    if (t->value != NULL && t->value->substituted) {
        show_text(t, text);
    } else if (t->effective != NULL) {
        (void)sl_buffer_append_text(t->effective, text);
    }
}

/* ---- scalars, from the text of a string, a number or a default ---- */

static bool in_range(const struct option_target *t, double value) {
    return (t->option->flags & SL_OPTION_RANGE) == 0 ||
           (value >= t->option->min && value <= t->option->max);
}

static bool put_integer(const struct option_target *t, const char *text) {
    int64_t value = 0;
    size_t bytes = strlen(text);
    bool good;
    if (t->option->type == SL_OPTION_SIZE) {
        good = sl_parse_size(text, bytes, &value);
    } else if (t->option->type == SL_OPTION_DURATION) {
        good = sl_parse_duration(text, bytes, &value);
    } else {
        good = sl_parse_i64(text, bytes, &value);
    }
    if (!good || !in_range(t, (double)value)) {
        fault_allowed(t, NULL);
        return false;
    }
    *(int64_t *)t->field = value;
    char shown[32];
    if (t->option->type == SL_OPTION_SIZE) {
        show_text(t, sl_format_size(value, shown));
    } else if (t->option->type == SL_OPTION_DURATION) {
        show_text(t, sl_format_duration(value, shown));
    } else {
        show_raw(t, text);
    }
    return true;
}

static bool put_number(const struct option_target *t, const char *text) {
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    bool decimal = strspn(text, "0123456789+-.eE") == strlen(text);
    if (!decimal || end == text || *end != 0 || !isfinite(value) || !in_range(t, value)) {
        fault_allowed(t, NULL);
        return false;
    }
    *(double *)t->field = value;
    show_raw(t, text);
    return true;
}

static bool put_bool(const struct option_target *t, const char *text) {
    bool truth = strcmp(text, "true") == 0;
    if (!truth && strcmp(text, "false") != 0) {
        fault_allowed(t, NULL);
        return false;
    }
    *(int32_t *)t->field = truth ? 1 : 0;
    show_raw(t, text);
    return true;
}

static bool put_enum(const struct option_target *t, const char *text) {
    const char *const *names = t->option->enum_names;
    size_t n = 0;
    for (; names[n] != NULL; n++) {
        if (strcmp(names[n], text) == 0) {
            *(int32_t *)t->field = (int32_t)n;
            show_text(t, text);
            return true;
        }
    }
    const char *nearest = sl_nearest_name(text, names, n);
    char hint[160];
    (void)snprintf(hint, sizeof(hint), "did you mean \"%s\"?", nearest == NULL ? "" : nearest);
    fault_allowed(t, nearest == NULL ? NULL : hint);
    return false;
}

static bool put_text(const struct option_target *t, const char *text) {
    const char *copy = arena_text(t->context->arena, text);
    *(const char **)t->field = copy;
    if (t->option->type != SL_OPTION_SECRET) {
        show_text(t, text);
        return copy != NULL;
    }
    secrets_add(t->context->secrets, t->context->arena, text);
    if (t->value != NULL) {
        secrets_add_place(t->context->secrets, t->context->arena, t->value->place.line,
                          t->value->place.column);
    }
    if (t->effective != NULL) {
        (void)sl_buffer_append_text(t->effective, "\"***\"");
    }
    return copy != NULL;
}

static bool put_path(const struct option_target *t, const char *text) {
    if (*text == 0) {
        fault_allowed(t, "an empty text names no file");
        return false;
    }
    const char *path = location_path(t->context->arena, t->context->directory, text);
    *(const char **)t->field = path;
    if (path != NULL) {
        show_text(t, path);
    }
    return path != NULL;
}

static bool claim(const struct option_target *t, const char *url) {
    const struct option_context *context = t->context;
    const char *key = location_key(context->arena, url);
    struct claimed_location *made = arena_alloc(context->arena, sizeof(*made));
    if (key == NULL || made == NULL) {
        return false;
    }
    for (const struct claimed_location *c = *context->claimed; c != NULL; c = c->next) {
        if (strcmp(c->key, key) == 0) {
            topology_fault_add(context->faults, t->place, t->path,
                               "%s is the \"%s\" of %s (line %d), too: two nodes cannot write to "
                               "one place; give each its own",
                               t->value != NULL && t->value->substituted ? t->value->shown : url,
                               t->option->name, c->owner, c->line);
            return false;
        }
    }
    *made = (struct claimed_location){*context->claimed, key, context->owner, t->place.line};
    *context->claimed = made;
    return true;
}

static bool put_location(const struct option_target *t, const char *text) {
    const char *why;
    const char *url = location_url(t->context->arena, t->context->directory, text, &why);
    if (url == NULL) {
        fault_allowed(t, why);
        return false;
    }
    *(const char **)t->field = url;
    show_text(t, url);
    return (t->option->flags & SL_OPTION_EXCLUSIVE) == 0 || claim(t, url);
}

/* ---- lists, maps, objects, JSON ---- */

static bool put_list(const struct option_target *t, const char *const *items, size_t n) {
    sl_list list = {n, items};
    *(sl_list *)t->field = list;
    return items != NULL || n == 0;
}

static bool put_array(const struct option_target *t) {
    const struct json_value *array = t->value;
    const char **items = arena_array(t->context->arena, array->n_children + 1, sizeof(*items));
    size_t n = 0;
    for (const struct json_value *item = array->first; item != NULL && items != NULL;
         item = item->next) {
        if (item->broken) {
            return false;
        }
        if (item->kind != JSON_STRING) {
            struct option_target at = *t;
            at.value = item;
            at.place = item->place;
            at.path = json_path_item(t->context->arena, t->path, n);
            fault_allowed(&at, NULL);
            return false;
        }
        items[n++] = arena_text(t->context->arena, item->text);
    }
    if (t->effective != NULL) {
        (void)json_write(array, JSON_SHOWN, t->effective);
    }
    return put_list(t, items, n);
}

/* One string, or a default's "a,b". */
static bool put_one_or_split(const struct option_target *t, const char *text) {
    size_t n = 1;
    for (const char *c = text; t->value == NULL && *c != 0; c++) {
        n += *c == ',' ? 1 : 0;
    }
    const char **items = arena_array(t->context->arena, n, sizeof(*items));
    if (items == NULL) {
        return false;
    }
    if (t->value != NULL) {
        items[0] = arena_text(t->context->arena, text);
    }
    for (size_t i = 0; t->value == NULL && i < n; i++) {
        size_t bytes = strcspn(text, ",");
        items[i] = arena_copy(t->context->arena, text, bytes);
        text += bytes + (text[bytes] == ',' ? 1 : 0);
    }
    if (t->effective != NULL) {
        (void)sl_buffer_append_byte(t->effective, '[');
        for (size_t i = 0; i < n && items[i] != NULL; i++) {
            (void)sl_buffer_append_text(t->effective, i == 0 ? "" : ",");
            show_text(t, items[i]);
        }
        (void)sl_buffer_append_byte(t->effective, ']');
    }
    return put_list(t, items, n);
}

/* A member of a map: its value as text. */
sl_pair option_make_pair(const struct option_context *context, const struct json_value *member) {
    sl_pair pair = {member->key, NULL};
    if (member->kind == JSON_STRING) {
        pair.value = arena_text(context->arena, member->text);
    } else {
        sl_buffer text = SL_BUFFER_INIT;
        (void)json_write(member, JSON_VALUES, &text);
        pair.value = arena_take(context->arena, &text);
    }
    if (option_is_secret_name(member->key) && pair.value != NULL) {
        secrets_add(context->secrets, context->arena, pair.value);
        secrets_add_place(context->secrets, context->arena, member->place.line,
                          member->place.column);
    }
    return pair;
}

void option_show_member(const struct json_value *member, bool first, sl_buffer *effective) {
    if (effective == NULL) {
        return;
    }
    (void)sl_buffer_append_text(effective, first ? "" : ",");
    (void)sl_buffer_append_json_string(effective, member->key, strlen(member->key));
    (void)sl_buffer_append_byte(effective, ':');
    if (option_is_secret_name(member->key)) {
        (void)sl_buffer_append_text(effective, "\"***\"");
    } else {
        (void)json_write(member, JSON_SHOWN, effective);
    }
}

static bool put_map(const struct option_target *t) {
    const struct json_value *object = t->value;
    sl_pair *pairs = arena_array(t->context->arena, object->n_children + 1, sizeof(*pairs));
    size_t n = 0;
    if (t->effective != NULL) {
        (void)sl_buffer_append_byte(t->effective, '{');
    }
    for (const struct json_value *m = object->first; m != NULL && pairs != NULL; m = m->next) {
        option_show_member(m, n == 0, t->effective);
        pairs[n++] = option_make_pair(t->context, m);
    }
    if (t->effective != NULL) {
        (void)sl_buffer_append_byte(t->effective, '}');
    }
    *(sl_map *)t->field = (sl_map){n, pairs};
    return pairs != NULL;
}

static bool put_object(const struct option_target *t) {
    void *nested = arena_alloc(t->context->arena, t->option->object_bytes);
    *(const void **)t->field = nested;
    return nested != NULL && options_parse_into(t->context, t->option->options, t->value, t->place,
                                                t->path, nested, t->effective);
}

static bool put_json(const struct option_target *t, const char *default_text) {
    const char *made;
    if (t->value == NULL) {
        made = arena_text(t->context->arena, default_text);
    } else {
        sl_buffer text = SL_BUFFER_INIT;
        (void)json_write(t->value, JSON_VALUES, &text);
        made = arena_take(t->context->arena, &text);
    }
    *(const char **)t->field = made;
    if (t->effective != NULL && t->value != NULL) {
        (void)json_write(t->value, JSON_SHOWN, t->effective);
    } else if (made != NULL) {
        show_raw(t, made);
    }
    return made != NULL;
}

/* ---- one option ---- */

bool option_put_text(const struct option_target *t, const char *text) {
    switch ((sl_option_type)t->option->type) {
    case SL_OPTION_STRING:
    case SL_OPTION_SECRET:
        return put_text(t, text);
    case SL_OPTION_INTEGER:
    case SL_OPTION_SIZE:
    case SL_OPTION_DURATION:
        return put_integer(t, text);
    case SL_OPTION_NUMBER:
        return put_number(t, text);
    case SL_OPTION_ENUM:
        return put_enum(t, text);
    case SL_OPTION_BOOL:
        return put_bool(t, text);
    case SL_OPTION_LIST:
        return put_one_or_split(t, text);
    case SL_OPTION_PATH:
        return put_path(t, text);
    case SL_OPTION_LOCATION:
        return put_location(t, text);
    case SL_OPTION_JSON:
        return put_json(t, text);
    case SL_OPTION_MAP:
    case SL_OPTION_OBJECT:
        break;
    }
    fault_allowed(t, NULL);
    return false;
}

/*
 * Which kinds of JSON value an option takes as text. A string is taken for a number or a boolean
 * only when it came from a reference, which cannot be written without quotes.
 */
static bool takes_text(const sl_option *option, const struct json_value *value) {
    switch ((sl_option_type)option->type) {
    case SL_OPTION_INTEGER:
    case SL_OPTION_NUMBER:
        return value->kind == JSON_NUMBER || (value->kind == JSON_STRING && value->substituted);
    case SL_OPTION_SIZE:
        return value->kind == JSON_NUMBER || value->kind == JSON_STRING;
    case SL_OPTION_BOOL:
        return value->kind == JSON_BOOL || (value->kind == JSON_STRING && value->substituted);
    case SL_OPTION_STRING:
    case SL_OPTION_SECRET:
    case SL_OPTION_DURATION:
    case SL_OPTION_ENUM:
    case SL_OPTION_LIST:
    case SL_OPTION_PATH:
    case SL_OPTION_LOCATION:
        return value->kind == JSON_STRING;
    case SL_OPTION_MAP:
    case SL_OPTION_OBJECT:
    case SL_OPTION_JSON:
        break;
    }
    return false;
}

/* A hint for a value of the wrong kind that is nearly right. */
static const char *kind_hint(const sl_option *option, const struct json_value *value) {
    if (value->kind == JSON_NULL) {
        return "for the default leave the key out";
    }
    bool number = option->type == SL_OPTION_INTEGER || option->type == SL_OPTION_NUMBER;
    int64_t ignored;
    if (value->kind == JSON_STRING &&
        ((number && sl_parse_i64(value->text, strlen(value->text), &ignored)) ||
         (option->type == SL_OPTION_BOOL &&
          (strcmp(value->text, "true") == 0 || strcmp(value->text, "false") == 0)))) {
        return "write it without quotes";
    }
    if (value->kind == JSON_NUMBER && option->type == SL_OPTION_DURATION) {
        return "write a unit, too";
    }
    return NULL;
}

bool option_put(const struct option_target *t) {
    const struct json_value *value = t->value;
    uint32_t type = t->option->type;
    if (value->broken) {
        return false;
    }
    if (type == SL_OPTION_JSON) {
        return put_json(t, NULL);
    }
    if (type == SL_OPTION_LIST && value->kind == JSON_ARRAY) {
        return put_array(t);
    }
    if (type == SL_OPTION_MAP && value->kind == JSON_OBJECT) {
        return put_map(t);
    }
    if (type == SL_OPTION_OBJECT && value->kind == JSON_OBJECT) {
        return put_object(t);
    }
    if (!takes_text(t->option, value)) {
        fault_allowed(t, kind_hint(t->option, value));
        return false;
    }
    return option_put_text(t, value->text);
}
