/* Changing a parsed document (see edit.h). */
#include "topology/edit.h"

static const struct json_place nowhere = {0, 0, false};

static struct json_value *copy_of(struct arena *arena, const struct json_value *value) {
    struct json_value *copy = arena_alloc(arena, sizeof(*copy));
    if (copy != NULL) {
        *copy = *value;
        copy->next = NULL;
    }
    return copy;
}

struct json_value *json_new_string(struct arena *arena, const char *text) {
    struct json_value *value = json_new(arena, JSON_STRING, nowhere);
    const char *copy = arena_text(arena, text);
    if (value == NULL || copy == NULL) {
        return NULL;
    }
    value->text = value->shown = copy;
    return value;
}

/* ---- members ---- */

void json_add(struct arena *arena, struct json_value *parent, const char *key,
              const struct json_value *value) {
    struct json_value *copy = value == NULL ? NULL : copy_of(arena, value);
    const char *name = key == NULL ? NULL : arena_text(arena, key);
    if (copy != NULL && (key == NULL || name != NULL)) {
        json_append(parent, copy, name);
    }
}

void json_set(struct arena *arena, struct json_value *object, const char *key,
              const struct json_value *value) {
    struct json_value *member = json_member(object, key);
    if (member == NULL) {
        json_add(arena, object, key, value);
        return;
    }
    const struct json_value old = *member;
    *member = *value;
    member->key = old.key;
    member->key_hash = old.key_hash;
    member->key_place = old.key_place;
    member->next = old.next;
}

bool json_remove(struct json_value *object, const char *key) {
    struct json_value *member = json_member(object, key);
    if (member == NULL) {
        return false;
    }
    struct json_value **at = &object->first;
    struct json_value *before = NULL;
    while (*at != member) {
        before = *at;
        at = &before->next;
    }
    *at = member->next;
    if (object->last == member) {
        object->last = before;
    }
    object->n_children--;
    return true;
}

struct json_value *json_want_object(struct arena *arena, struct json_value *object,
                                    const char *key) {
    struct json_value *member = json_member(object, key);
    if (member == NULL) {
        const struct json_value *empty = json_new(arena, JSON_OBJECT, nowhere);
        json_add(arena, object, key, empty);
        member = json_member(object, key);
    }
    return member;
}

/* ---- comparing ---- */

static bool same_members(const struct json_value *a, const struct json_value *b) {
    for (const struct json_value *m = a->first; m != NULL; m = m->next) {
        const struct json_value *other = json_member(b, m->key);
        if (other == NULL || !json_same(m, other)) {
            return false;
        }
    }
    return true;
}

static bool same_items(const struct json_value *a, const struct json_value *b) {
    const struct json_value *other = b->first;
    for (const struct json_value *item = a->first; item != NULL; item = item->next) {
        if (!json_same(item, other)) {
            return false;
        }
        other = other->next;
    }
    return true;
}

bool json_same(const struct json_value *a, const struct json_value *b) {
    if (a->kind != b->kind || a->n_children != b->n_children) {
        return false;
    }
    switch (a->kind) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return a->truth == b->truth;
    case JSON_NUMBER:
    case JSON_STRING:
        return strcmp(a->text, b->text) == 0;
    case JSON_ARRAY:
        return same_items(a, b);
    case JSON_OBJECT:
        return same_members(a, b);
    }
    return false;
}

/* ---- merge patch ---- */

struct json_value *json_merge_patch(struct arena *arena, struct json_value *target,
                                    const struct json_value *patch) {
    if (patch->kind != JSON_OBJECT) {
        return copy_of(arena, patch);
    }
    if (target == NULL || target->kind != JSON_OBJECT) {
        target = json_new(arena, JSON_OBJECT, nowhere);
    }
    for (const struct json_value *m = patch->first; m != NULL && target != NULL; m = m->next) {
        if (m->kind == JSON_NULL) {
            (void)json_remove(target, m->key);
            continue;
        }
        const struct json_value *merged = json_merge_patch(arena, json_member(target, m->key), m);
        if (merged == NULL) {
            return NULL;
        }
        if (merged != json_member(target, m->key)) {
            json_set(arena, target, m->key, merged);
        }
    }
    return target;
}

/* ---- text ---- */

static void print_children(struct json_out *out, const struct json_value *value) {
    for (const struct json_value *child = value->first; child != NULL; child = child->next) {
        if (value->kind == JSON_OBJECT) {
            json_out_key(out, child->key);
        }
        json_print(out, child);
    }
}

void json_print(struct json_out *out, const struct json_value *value) {
    switch (value->kind) {
    case JSON_NULL:
        json_out_string(out, NULL);
        return;
    case JSON_BOOL:
        json_out_bool(out, value->truth);
        return;
    case JSON_NUMBER:
        json_out_raw(out, value->text);
        return;
    case JSON_STRING:
        json_out_string(out, value->written != NULL ? value->written : value->text);
        return;
    case JSON_ARRAY:
        json_out_array(out);
        print_children(out, value);
        json_out_end_array(out);
        return;
    case JSON_OBJECT:
        json_out_object(out);
        print_children(out, value);
        json_out_end_object(out);
        return;
    }
}
