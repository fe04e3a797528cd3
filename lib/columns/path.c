/*
 * Dotted paths into structs: "session.duration_ms", and `a.b` in back quotes for a name that holds
 * a dot. (sl_schema_resolve)
 */
#include <stdlib.h>

#include "columns/columns.h"

#define MAX_NAMES_SHOWN 12

/* Copies the next part of *at into `part`, moves *at behind it and its dot. */
static sl_error *next_part(const char *path, const char **at, sl_buffer *part, bool *last) {
    const char *text = *at;
    sl_buffer_clear(part);
    if (*text == '`') {
        const char *end = strchr(text + 1, '`');
        if (end == NULL || (end[1] != 0 && end[1] != '.')) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "column path %s: a back-quoted name must end in a back quote "
                                "followed by a dot or the end",
                                path);
        }
        sl_buffer_append(part, text + 1, (size_t)(end - text - 1));
        text = end + 1;
    } else {
        size_t bytes = strcspn(text, ".");
        sl_buffer_append(part, text, bytes);
        text += bytes;
    }
    *last = *text == 0;
    *at = *last ? text : text + 1;
    if (part->failed) {
        return sl_error_no_memory();
    }
    if (part->bytes == 0) {
        return sl_error_new(SL_ERROR_CONFIG, "column path \"%s\": a name between dots is empty",
                            path);
    }
    return sl_buffer_text(part) == NULL ? sl_error_no_memory() : NULL;
}

static sl_error *unknown_name(const struct ArrowSchema *level, const char *path, const char *name,
                              const char *where) {
    size_t n = (size_t)level->n_children;
    const char **names = calloc(n + 1, sizeof(*names));
    sl_buffer list = SL_BUFFER_INIT;
    if (names == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < n; i++) {
        names[i] = level->children[i]->name == NULL ? "" : level->children[i]->name;
        if (i < MAX_NAMES_SHOWN) {
            sl_buffer_printf(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
        }
    }
    if (n > MAX_NAMES_SHOWN) {
        sl_buffer_printf(&list, " and %zu more", n - MAX_NAMES_SHOWN);
    }
    const char *near = sl_nearest_name(name, names, n);
    const char *shown = sl_buffer_text(&list);
    sl_error *error =
        n > 0 && shown == NULL
            ? sl_error_no_memory()
            : sl_error_new(SL_ERROR_CONFIG,
                           "column \"%s\": there is no \"%s\" in %s%s%s%s; it has %s", path, name,
                           where, near == NULL ? "" : " (did you mean \"", near == NULL ? "" : near,
                           near == NULL ? "" : "\"?)", n == 0 ? "no columns" : shown);
    sl_buffer_free(&list);
    free(names);
    return error;
}

sl_error *sl_schema_resolve(const struct ArrowSchema *schema, const char *path, int64_t *path_out,
                            size_t max, size_t *n) {
    const struct ArrowSchema *level = schema;
    const char *at = path;
    sl_buffer part = SL_BUFFER_INIT;
    bool last = false;
    sl_error *error = NULL;
    *n = 0;
    while (!last && error == NULL) {
        error = next_part(path, &at, &part, &last);
        if (error != NULL) {
            break;
        }
        int64_t index = sl_schema_find(level, (const char *)part.data);
        if (index < 0) {
            error = unknown_name(level, path, (const char *)part.data,
                                 *n == 0 ? "the input" : level->name);
        } else if (*n == max) {
            error =
                sl_error_new(SL_ERROR_CONFIG, "column \"%s\": deeper than %zu structs", path, max);
        } else {
            path_out[(*n)++] = index;
            level = level->children[index];
            if (!last && strcmp(level->format, "+s") != 0) {
                sl_buffer type = SL_BUFFER_INIT;
                sl_type_describe(level, &type);
                const char *text = sl_buffer_text(&type);
                error =
                    text == NULL
                        ? sl_error_no_memory()
                        : sl_error_new(SL_ERROR_CONFIG,
                                       "column \"%s\": \"%s\" is of type %s, which has no fields; "
                                       "write a name that holds a dot in back quotes",
                                       path, level->name, text);
                sl_buffer_free(&type);
            }
        }
    }
    sl_buffer_free(&part);
    return error;
}
