/*
 * Changing a parsed document: members set and removed, merge patches, and its text for a file.
 * Values that are put in are copied but for what is below them, which they share with the original.
 */
#ifndef TOPOLOGY_EDIT_H
#define TOPOLOGY_EDIT_H

#include "report/json_out.h"
#include "topology/document.h"

/* A string; NULL when memory is short. `text` is copied. */
struct json_value *json_new_string(struct arena *arena, const char *text);
/* Appends a copy of the value to an object or array (key NULL; else it is copied). */
void json_add(struct arena *arena, struct json_value *parent, const char *key,
              const struct json_value *value);
/* The member `key` becomes a copy of the value, at its place or, when it is new, at the end. */
void json_set(struct arena *arena, struct json_value *object, const char *key,
              const struct json_value *value);
/* False when there is no such member. */
bool json_remove(struct json_value *object, const char *key);
/* The member, which becomes an empty object when it is not there; NULL when memory is short. */
struct json_value *json_want_object(struct arena *arena, struct json_value *object,
                                    const char *key);

/* Whether both mean the same JSON, members in any order, numbers by their text. */
bool json_same(const struct json_value *a, const struct json_value *b);

/* JSON Merge Patch (RFC 7386): `target` (NULL: nothing) is changed; the result may be another value
 * when it or the patch is no object. NULL when memory is short. */
struct json_value *json_merge_patch(struct arena *arena, struct json_value *target,
                                    const struct json_value *patch);

/* Writes the value as it was written, in lines. */
void json_print(struct json_out *out, const struct json_value *value);

#endif /* TOPOLOGY_EDIT_H */
