/*
 * {"format": 1, "sluice": "0.1.0", "pipeline": "p", "sources": {NAME: NODE}, "transforms": …,
 * "sinks": …}, where NODE is {"plugin": …, "version": …, "inputs": […], "config": {…}, "files":
 * {OPTION: contents}}. The config is the effective one, with "***" for secrets and with references.
 */
#include "topology/edition_parts.h"
#include "topology/keys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FORMAT 1
#define MAX_FILE_BYTES ((size_t)16 * 1024 * 1024)

/* ---- what the parts share ---- */

void edition_append_key(sl_buffer *out, const char *key) {
    (void)sl_buffer_append_json_string(out, key, strlen(key));
    (void)sl_buffer_append_byte(out, ':');
}

void edition_append_member(sl_buffer *out, const char *key, const char *text) {
    edition_append_key(out, key);
    (void)sl_buffer_append_json_string(out, text, strlen(text));
    (void)sl_buffer_append_byte(out, ',');
}

void edition_note_fault(void *arg, struct json_place place, const char *path, const char *text) {
    struct edition_fault *first = arg;
    if (first->text[0] == 0) {
        (void)snprintf(first->text, sizeof(first->text), "line %d, %s: %s", place.line, path, text);
    }
}

const char *edition_text(const struct json_value *object, const char *key) {
    return json_member(object, key)->text;
}

const struct json_value *edition_node(const struct json_value *root, enum topology_kind kind,
                                      const char *name) {
    return json_member(json_member(root, topology_kind_key(kind)), name);
}

/* ---- writing ---- */

/* The file's contents; false when it cannot be read, which the plugin will say. */
static bool read_contents(const char *path, sl_buffer *out) {
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe holds nobody up */
    if (file < 0) {
        return false;
    }
    char chunk[16384];
    ssize_t n;
    while ((n = read(file, chunk, sizeof(chunk))) > 0 && out->bytes <= MAX_FILE_BYTES) {
        (void)sl_buffer_append(out, chunk, (size_t)n);
    }
    (void)close(file);
    return n == 0;
}

static bool is_content(const sl_option *option) {
    return option->type == SL_OPTION_PATH && (option->flags & SL_OPTION_CONTENT) != 0;
}

void edition_write_files(const struct topology_node *node, sl_buffer *out) {
    const char *separator = "";
    (void)sl_buffer_append_byte(out, '{');
    for (const sl_option *o = node->role->options; o != NULL && o->name != NULL; o++) {
        const char *path = NULL;
        sl_buffer text = SL_BUFFER_INIT;
        if (is_content(o)) {
            memcpy(&path, (const char *)node->config + o->offset, sizeof(path));
        }
        if (path != NULL && read_contents(path, &text)) {
            (void)sl_buffer_append_text(out, separator);
            edition_append_key(out, o->name);
            (void)sl_buffer_append_json_string(out, (const char *)text.data, text.bytes);
            separator = ",";
        }
        out->failed = out->failed || text.failed;
        sl_buffer_free(&text);
    }
    (void)sl_buffer_append_byte(out, '}');
}

static void append_node(sl_buffer *out, const struct topology_node *node) {
    edition_append_key(out, node->name);
    (void)sl_buffer_append_byte(out, '{');
    edition_append_member(out, "plugin", node->plugin->descriptor.name);
    edition_append_member(out, "version", node->plugin->descriptor.version);
    if (node->kind != TOPOLOGY_SOURCE) {
        edition_append_key(out, "inputs");
        for (size_t i = 0; i < node->n_inputs; i++) {
            (void)sl_buffer_append_text(out, i == 0 ? "[" : ",");
            (void)sl_buffer_append_json_string(out, node->inputs[i].name,
                                               strlen(node->inputs[i].name));
        }
        (void)sl_buffer_append_text(out, "],");
    }
    edition_append_key(out, "config");
    (void)sl_buffer_append_text(out, node->config_json);
    (void)sl_buffer_append_text(out, ",\"files\":");
    (void)sl_buffer_append_text(out, node->files_json == NULL ? "{}" : node->files_json);
    (void)sl_buffer_append_byte(out, '}');
}

sl_error *edition_write(const struct topology *topology, sl_buffer *out) {
    (void)sl_buffer_printf(out, "{\"format\":%d,", FORMAT);
    edition_append_member(out, "sluice", SL_VERSION);
    edition_append_key(out, "pipeline");
    (void)sl_buffer_append_json_string(out, topology->pipeline, strlen(topology->pipeline));
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        const char *separator = "";
        (void)sl_buffer_append_byte(out, ',');
        edition_append_key(out, topology_kind_key((enum topology_kind)kind));
        (void)sl_buffer_append_byte(out, '{');
        for (size_t i = 0; i < topology->n_nodes; i++) {
            if (topology->nodes[i].kind == (enum topology_kind)kind) {
                (void)sl_buffer_append_text(out, separator);
                append_node(out, &topology->nodes[i]);
                separator = ",";
            }
        }
        (void)sl_buffer_append_byte(out, '}');
    }
    (void)sl_buffer_append_text(out, "}\n");
    return out->failed ? sl_error_no_memory() : NULL;
}

/* ---- reading ---- */

static bool has_text(const struct json_value *object, const char *key) {
    const struct json_value *member = json_member(object, key);
    return member != NULL && member->kind == JSON_STRING;
}

static bool has_object(const struct json_value *object, const char *key) {
    const struct json_value *member = json_member(object, key);
    return member != NULL && member->kind == JSON_OBJECT;
}

static bool holds_texts(const struct json_value *object) {
    bool texts = true;
    for (const struct json_value *m = object->first; m != NULL && texts; m = m->next) {
        texts = m->kind == JSON_STRING;
    }
    return texts;
}

static bool is_whole(const struct json_value *root) {
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        const struct json_value *nodes =
            json_member(root, topology_kind_key((enum topology_kind)kind));
        if (nodes == NULL || nodes->kind != JSON_OBJECT) {
            return false;
        }
        for (const struct json_value *n = nodes->first; n != NULL; n = n->next) {
            if (n->kind != JSON_OBJECT || !has_text(n, "plugin") || !has_text(n, "version") ||
                !has_object(n, "config") || !has_object(n, "files") ||
                !holds_texts(json_member(n, "files"))) {
                return false;
            }
        }
    }
    return has_text(root, "pipeline");
}

static sl_error *check(const struct edition *edition, const char *where, const char *fault) {
    const struct json_value *root = edition->root;
    if (edition->arena.failed) {
        return sl_error_no_memory();
    }
    if (root == NULL || fault[0] != 0 || root->kind != JSON_OBJECT) {
        return sl_error_new(SL_ERROR_CORRUPT, "%s is no edition of a configuration: %s", where,
                            fault[0] == 0 ? "it is no JSON object" : fault);
    }
    const struct json_value *format = json_member(root, "format");
    int64_t number = 0;
    if (format == NULL || format->kind != JSON_NUMBER ||
        !sl_parse_i64(format->text, strlen(format->text), &number)) {
        return sl_error_new(SL_ERROR_CORRUPT,
                            "%s is no edition of a configuration: it has no \"format\"", where);
    }
    if (number != FORMAT) {
        return sl_error_format(where, number, FORMAT, FORMAT);
    }
    return is_whole(root)
               ? NULL
               : sl_error_new(SL_ERROR_CORRUPT,
                              "%s is no edition of a configuration: parts are missing", where);
}

sl_error *edition_parse(const char *text, size_t bytes, const char *where, struct edition **out) {
    struct edition *edition = calloc(1, sizeof(*edition));
    if (edition == NULL) {
        return sl_error_no_memory();
    }
    struct edition_fault fault = {""};
    edition->root = json_parse(&edition->arena, text, bytes, edition_note_fault, &fault);
    sl_error *error = check(edition, where, fault.text);
    if (error != NULL) {
        edition_free(edition);
        return error;
    }
    *out = edition;
    return NULL;
}

void edition_free(struct edition *edition) {
    if (edition != NULL) {
        for (size_t i = 0; i < edition->n_files; i++) {
            (void)close(edition->files[i]);
        }
        arena_free(&edition->arena);
        free(edition);
    }
}
