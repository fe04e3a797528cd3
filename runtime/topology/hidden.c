/* Secrets of a document, hidden and restored (see hidden.h). */
#include "topology/hidden.h"

#include "topology/loader.h"
#include "topology/options.h"

#define HIDDEN "***"

struct json_value *hidden_parse(struct arena *arena, const struct topology *topology) {
    return json_read(arena, topology->text, topology->text_bytes);
}

/* Known from the options' tables, or by its name, since a section that no node uses has none. */
static bool is_secret(const struct topology *topology, const struct json_value *value) {
    const struct secrets *secrets = &((const struct loaded_topology *)topology)->secrets;
    bool scalar = value->kind == JSON_STRING || value->kind == JSON_NUMBER;
    return scalar && (secrets_stand_at(secrets, value->place.line, value->place.column) ||
                      (value->key != NULL && option_is_secret_name(value->key)));
}

/* "${env:NAME}" and nothing else: no text beside it, and no default. */
static bool is_reference(const char *text) {
    size_t bytes = strlen(text);
    return strncmp(text, "${", 2) == 0 && text[bytes - 1] == '}' &&
           strcspn(text, "}") == bytes - 1 && strstr(text, ":-") == NULL;
}

static bool is_hidden(const struct json_value *value) {
    return value->kind == JSON_STRING && strcmp(value->text, HIDDEN) == 0;
}

void hidden_hide(const struct topology *topology, struct json_value *document) {
    if (is_secret(topology, document) && !is_reference(document->text)) {
        document->kind = JSON_STRING;
        document->text = document->shown = HIDDEN;
    }
    for (struct json_value *child = document->first; child != NULL; child = child->next) {
        hidden_hide(topology, child);
    }
}

bool hidden_restore(const struct topology *topology, const struct json_value *now,
                    struct json_value *next) {
    if (is_hidden(next) && is_secret(topology, now)) {
        next->kind = now->kind;
        next->text = now->text;
        next->shown = now->shown;
        return true;
    }
    bool any = false;
    if (now->kind != next->kind) {
        return false;
    }
    const struct json_value *item = now->first;
    for (struct json_value *child = next->first; child != NULL; child = child->next) {
        const struct json_value *same =
            next->kind == JSON_OBJECT ? json_member(now, child->key) : item;
        any = (same != NULL && hidden_restore(topology, same, child)) || any;
        item = item == NULL ? NULL : item->next;
    }
    return any;
}

static const char *find_left(struct arena *arena, const struct topology *topology,
                             const struct json_value *value, const char *path) {
    if (is_hidden(value) && is_secret(topology, value)) {
        return path;
    }
    const char *found = NULL;
    size_t i = 0;
    for (const struct json_value *child = value->first; child != NULL && found == NULL;
         child = child->next) {
        const char *inner = value->kind == JSON_OBJECT ? json_path_member(arena, path, child->key)
                                                       : json_path_item(arena, path, i++);
        found = find_left(arena, topology, child, inner);
    }
    return found;
}

const char *hidden_left(struct arena *arena, const struct topology *topology,
                        const struct json_value *document) {
    return find_left(arena, topology, document, "$");
}
