/*
 * An edition as a topology that can run again: its text is put together and loaded (see edition.h).
 * What files held is put into files in memory, which the plugins read by their paths.
 */
#include "topology/edition_parts.h"
#include "topology/loader.h"

#include <sys/mman.h>
#include <unistd.h>

#define HIDDEN "***"

/* `value` of the edition, with what it does not hold (secrets, references' defaults) from `now`,
 * the value at the same place today (NULL: none). */
static void append_restored(const struct json_value *value, const struct json_value *now,
                            sl_buffer *out) {
    if (value->kind == JSON_STRING) {
        bool known = now != NULL && now->kind == JSON_STRING &&
                     (strcmp(value->text, HIDDEN) == 0 || strcmp(value->text, now->shown) == 0);
        (void)json_write(known ? now : value, JSON_WRITTEN, out);
        return;
    }
    if (value->kind != JSON_OBJECT && value->kind != JSON_ARRAY) {
        (void)json_write(value, JSON_WRITTEN, out);
        return;
    }
    bool object = value->kind == JSON_OBJECT;
    const struct json_value *item = now != NULL && now->kind == JSON_ARRAY ? now->first : NULL;
    (void)sl_buffer_append_byte(out, object ? '{' : '[');
    for (const struct json_value *m = value->first; m != NULL; m = m->next) {
        const struct json_value *same = item;
        if (object) {
            edition_append_key(out, m->key);
            same = now != NULL && now->kind == JSON_OBJECT ? json_member(now, m->key) : NULL;
        }
        append_restored(m, same, out);
        (void)sl_buffer_append_text(out, m->next == NULL ? "" : ",");
        item = item == NULL ? NULL : item->next;
    }
    (void)sl_buffer_append_byte(out, object ? '}' : ']');
}

/* A file that holds `text` and has no name; its path. NULL: errno says why. */
static const char *make_file(struct edition *edition, const char *text) {
    size_t bytes = strlen(text);
    int file = edition->n_files == EDITION_MAX_FILES ? -1 : memfd_create("sluice", MFD_CLOEXEC);
    if (file < 0) {
        return NULL;
    }
    edition->files[edition->n_files++] = file;
    for (size_t at = 0; at < bytes;) {
        ssize_t n = write(file, text + at, bytes - at);
        if (n <= 0) {
            return NULL;
        }
        at += (size_t)n;
    }
    return arena_printf(&edition->arena, "/proc/self/fd/%d", file);
}

/* The options of `node` as they were, those that are only tuning as they are today (`table`, and
 * `today` from the document; NULL: the node is not there any more). */
static sl_error *append_config(struct edition *edition, const struct json_value *node,
                               const sl_option *table, const struct json_value *today,
                               sl_buffer *out) {
    const struct json_value *config = json_member(node, "config");
    const struct json_value *files = json_member(node, "files");
    const char *separator = "{";
    for (const struct json_value *m = config->first; m != NULL; m = m->next) {
        const struct json_value *file = json_member(files, m->key);
        if (option_is_tuning(table, m->key)) {
            continue;
        }
        (void)sl_buffer_append_text(out, separator);
        separator = ",";
        edition_append_key(out, m->key);
        if (file == NULL) {
            append_restored(m, today == NULL ? NULL : json_member(today, m->key), out);
            continue;
        }
        const char *path = make_file(edition, file->text);
        if (path == NULL) {
            return sl_error_new(SL_ERROR_FATAL, "a file in memory cannot be made");
        }
        (void)sl_buffer_append_json_string(out, path, strlen(path));
    }
    for (const struct json_value *m = today == NULL ? NULL : today->first; m != NULL; m = m->next) {
        if (option_is_tuning(table, m->key)) {
            (void)sl_buffer_append_text(out, separator);
            separator = ",";
            edition_append_key(out, m->key);
            (void)json_write(m, JSON_WRITTEN, out);
        }
    }
    (void)sl_buffer_append_text(out, *separator == '{' ? "{}" : "}");
    return NULL;
}

static const struct topology_node *find_today(const struct topology *topology,
                                              enum topology_kind kind, const char *name) {
    for (size_t i = 0; i < topology->n_nodes; i++) {
        const struct topology_node *node = &topology->nodes[i];
        if (node->kind == kind && strcmp(node->name, name) == 0) {
            return node;
        }
    }
    return NULL;
}

static sl_error *append_old_node(struct edition *edition, enum topology_kind kind,
                                 const struct json_value *node, const struct topology *now,
                                 sl_buffer *out) {
    const struct topology_node *same = find_today(now, kind, node->key);
    const struct json_value *document = ((const struct loaded_topology *)now)->root;
    const struct json_value *today =
        same == NULL ? NULL : json_member(edition_node(document, kind, node->key), "config");
    edition_append_key(out, node->key);
    (void)sl_buffer_append_byte(out, '{');
    edition_append_member(out, "plugin", edition_text(node, "plugin"));
    if (json_member(node, "inputs") != NULL) {
        edition_append_key(out, "inputs");
        (void)json_write(json_member(node, "inputs"), JSON_WRITTEN, out);
        (void)sl_buffer_append_byte(out, ',');
    }
    edition_append_key(out, "config");
    sl_error *error =
        append_config(edition, node, same == NULL ? NULL : same->role->options, today, out);
    (void)sl_buffer_append_byte(out, '}');
    return error;
}

static sl_error *append_nodes(struct edition *edition, enum topology_kind kind,
                              const struct topology *now, sl_buffer *out) {
    const struct json_value *nodes = json_member(edition->root, topology_kind_key(kind));
    sl_error *error = NULL;
    (void)sl_buffer_append_byte(out, ',');
    edition_append_key(out, topology_kind_key(kind));
    (void)sl_buffer_append_byte(out, '{');
    for (const struct json_value *n = nodes->first; n != NULL && error == NULL; n = n->next) {
        error = append_old_node(edition, kind, n, now, out);
        (void)sl_buffer_append_text(out, n->next == NULL ? "" : ",");
    }
    (void)sl_buffer_append_byte(out, '}');
    return error;
}

static bool is_kind_key(const char *key) {
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        if (strcmp(key, topology_kind_key((enum topology_kind)kind)) == 0) {
            return true;
        }
    }
    return false;
}

sl_error *edition_restore(struct edition *then, const struct topology *now,
                          struct plugin_registry *registry, struct topology **out,
                          struct topology_faults **faults) {
    const struct json_value *document = ((const struct loaded_topology *)now)->root;
    sl_buffer text = SL_BUFFER_INIT;
    sl_error *error = NULL;
    *faults = NULL;
    (void)sl_buffer_append_text(&text, "{\"$schema\":\"\"");
    for (const struct json_value *m = document->first; m != NULL; m = m->next) {
        if (!is_kind_key(m->key) && strcmp(m->key, "$schema") != 0) {
            (void)sl_buffer_append_byte(&text, ',');
            edition_append_key(&text, m->key);
            (void)json_write(m, JSON_WRITTEN, &text);
        }
    }
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK && error == NULL; kind++) {
        error = append_nodes(then, (enum topology_kind)kind, now, &text);
    }
    (void)sl_buffer_append_byte(&text, '}');
    if (error == NULL && (text.failed || then->arena.failed)) {
        error = sl_error_no_memory();
    }
    if (error == NULL) {
        error = topology_load_text((const char *)text.data, text.bytes, now->file, now->directory,
                                   NULL, registry, out, faults);
    }
    sl_buffer_free(&text);
    return error;
}
