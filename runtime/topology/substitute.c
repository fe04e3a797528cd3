/* Substitution of references in strings: values only, never names; what was put in is not looked
 * at again. */
#include "topology/substitute.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_FILE_BYTES ((size_t)1024 * 1024)

struct context {
    const char *directory;
    struct arena *arena;
    struct secrets *secrets;
    struct topology_faults *faults;
};

static bool is_env_name(const char *name) {
    if (!((*name >= 'A' && *name <= 'Z') || (*name >= 'a' && *name <= 'z') || *name == '_')) {
        return false;
    }
    for (; *name != 0; name++) {
        bool good = (*name >= 'A' && *name <= 'Z') || (*name >= 'a' && *name <= 'z') ||
                    (*name >= '0' && *name <= '9') || *name == '_';
        if (!good) {
            return false;
        }
    }
    return true;
}

/* env:NAME or env:NAME:-default; *name_out gets the reference without its default. */
static const char *from_environment(struct context *c, const struct json_value *value,
                                    const char *path, const char *inside, const char **name_out) {
    const char *name = inside + 4;
    const char *fallback = strstr(name, ":-");
    if (fallback != NULL) {
        name = arena_copy(c->arena, name, (size_t)(fallback - name));
        fallback += 2;
        if (name == NULL) {
            return NULL;
        }
    }
    *name_out = arena_printf(c->arena, "env:%s", name);
    if (!is_env_name(name)) {
        topology_fault_add(c->faults, value->place, path,
                           "\"${%s}\": \"%s\" is no name of an environment variable (letters, "
                           "digits and _, not a digit first)",
                           inside, name);
        return NULL;
    }
    const char *found = getenv(name);
    if (found == NULL && fallback == NULL) {
        topology_fault_add(c->faults, value->place, path,
                           "the environment variable %s is not set; set it, or write a default: "
                           "${env:%s:-default}",
                           name, name);
    }
    return found != NULL ? found : fallback;
}

static const char *read_text(struct context *c, FILE *file, const char **why) {
    sl_buffer out = SL_BUFFER_INIT;
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0 && out.bytes <= MAX_FILE_BYTES) {
        (void)sl_buffer_append(&out, chunk, n);
    }
    if (ferror(file) != 0) {
        *why = strerror(errno);
    } else if (out.bytes > MAX_FILE_BYTES) {
        *why = "it is larger than 1 MiB";
    } else if (out.bytes > 0 && memchr(out.data, 0, out.bytes) != NULL) {
        *why = "it holds a 0 byte";
    }
    if (*why != NULL) {
        sl_buffer_free(&out);
        return NULL;
    }
    if (out.bytes > 0 && out.data[out.bytes - 1] == '\n') {
        out.bytes--;
        out.bytes -= out.bytes > 0 && out.data[out.bytes - 1] == '\r' ? 1 : 0;
    }
    return arena_take(c->arena, &out);
}

static const char *from_file(struct context *c, const struct json_value *value, const char *path,
                             const char *inside, const char **name_out) {
    const char *name = inside + 5;
    *name_out = inside;
    if (*name == 0) {
        topology_fault_add(c->faults, value->place, path,
                           "\"${file:}\" names no file; write ${file:/path}");
        return NULL;
    }
    const char *full = *name == '/' ? name : arena_printf(c->arena, "%s/%s", c->directory, name);
    if (full == NULL) {
        return NULL;
    }
    const char *why = NULL;
    const char *text = NULL;
    FILE *file = fopen(full, "re");
    if (file == NULL) {
        c->arena->failed = c->arena->failed || errno == ENOMEM;
        why = strerror(errno);
    } else {
        text = read_text(c, file, &why);
        (void)fclose(file);
    }
    if (why != NULL) {
        topology_fault_add(c->faults, value->place, path, "the file %s cannot be read: %s", full,
                           why);
    }
    return text;
}

/* The value of the reference whose inside (between "${" and "}") this is; NULL after a fault. */
static const char *resolve(struct context *c, struct json_value *value, const char *path,
                           const char *inside, const char **name) {
    if (strncmp(inside, "env:", 4) == 0) {
        return from_environment(c, value, path, inside, name);
    }
    if (strncmp(inside, "file:", 5) == 0) {
        return from_file(c, value, path, inside, name);
    }
    topology_fault_add(c->faults, value->place, path,
                       "\"${%.60s}\": allowed are ${env:NAME}, ${env:NAME:-default} and "
                       "${file:/path}; a plain \"${\" is written \"$${\"",
                       inside);
    return NULL;
}

static void substitute_string(struct context *c, struct json_value *value, const char *path) {
    if (value->resolved || strstr(value->text, "${") == NULL) {
        return;
    }
    value->resolved = true;
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer shown = SL_BUFFER_INIT;
    const char *at = value->text;
    while (*at != 0 && !value->broken) {
        if (strncmp(at, "$${", 3) == 0) {
            (void)sl_buffer_append_text(&text, "${");
            (void)sl_buffer_append_text(&shown, "$${");
            at += 3;
        } else if (strncmp(at, "${", 2) != 0) {
            (void)sl_buffer_append_byte(&text, (uint8_t)*at);
            (void)sl_buffer_append_byte(&shown, (uint8_t)*at);
            at++;
        } else {
            const char *end = strchr(at, '}');
            const char *inside =
                end == NULL ? NULL : arena_copy(c->arena, at + 2, (size_t)(end - at) - 2);
            const char *name = NULL;
            if (end == NULL) {
                topology_fault_add(c->faults, value->place, path,
                                   "\"${\" without \"}\"; a plain \"${\" is written \"$${\"");
            }
            const char *put = inside == NULL ? NULL : resolve(c, value, path, inside, &name);
            value->broken = put == NULL;
            if (put != NULL && name != NULL) {
                value->substituted = true;
                secrets_add(c->secrets, c->arena, put);
                (void)sl_buffer_append_text(&text, put);
                (void)sl_buffer_printf(&shown, "${%s}", name);
                at = end + 1;
            }
        }
    }
    const char *new_text = arena_take(c->arena, &text);
    const char *new_shown = arena_take(c->arena, &shown);
    if (new_text != NULL && new_shown != NULL && !value->broken) {
        value->written = value->text;
        value->text = new_text;
        value->shown = new_shown;
    }
}

static void walk(struct context *c, struct json_value *value, const char *path) {
    if (value->kind == JSON_STRING) {
        substitute_string(c, value, path);
    }
    size_t i = 0;
    for (struct json_value *child = value->first; child != NULL; child = child->next, i++) {
        walk(c, child,
             value->kind == JSON_OBJECT ? json_path_member(c->arena, path, child->key)
                                        : json_path_item(c->arena, path, i));
    }
}

void substitute(struct json_value *value, const char *path, const char *directory,
                struct arena *arena, struct secrets *secrets, struct topology_faults *faults) {
    struct context c = {directory, arena, secrets, faults};
    walk(&c, value, path);
}
