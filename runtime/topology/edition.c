/*
 * {"format": 1, "sluice": "0.1.0", "pipeline": "p", "sources": {NAME: NODE}, "transforms": …,
 * "sinks": …}, where NODE is {"plugin": …, "version": …, "inputs": […], "config": {…}, "files":
 * {OPTION: contents}}. The config is the effective one, with "***" for secrets and with references.
 */
#include "topology/edition.h"

#include "topology/graph.h"
#include "topology/loader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define FORMAT 1
#define HIDDEN "***"
#define MAX_FILE_BYTES ((size_t)16 * 1024 * 1024)
#define MAX_FILES 256

struct edition {
    struct arena arena;
    const struct json_value *root;
    int files[MAX_FILES]; /* of restored topologies: their contents in memory */
    size_t n_files;
};

/* ---- writing ---- */

static void append_key(sl_buffer *out, const char *key) {
    (void)sl_buffer_append_json_string(out, key, strlen(key));
    (void)sl_buffer_append_byte(out, ':');
}

static void append_member(sl_buffer *out, const char *key, const char *text) {
    append_key(out, key);
    (void)sl_buffer_append_json_string(out, text, strlen(text));
    (void)sl_buffer_append_byte(out, ',');
}

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
            append_key(out, o->name);
            (void)sl_buffer_append_json_string(out, (const char *)text.data, text.bytes);
            separator = ",";
        }
        out->failed = out->failed || text.failed;
        sl_buffer_free(&text);
    }
    (void)sl_buffer_append_byte(out, '}');
}

static void append_node(sl_buffer *out, const struct topology_node *node) {
    append_key(out, node->name);
    (void)sl_buffer_append_byte(out, '{');
    append_member(out, "plugin", node->plugin->descriptor.name);
    append_member(out, "version", node->plugin->descriptor.version);
    if (node->kind != TOPOLOGY_SOURCE) {
        append_key(out, "inputs");
        for (size_t i = 0; i < node->n_inputs; i++) {
            (void)sl_buffer_append_text(out, i == 0 ? "[" : ",");
            (void)sl_buffer_append_json_string(out, node->inputs[i].name,
                                               strlen(node->inputs[i].name));
        }
        (void)sl_buffer_append_text(out, "],");
    }
    append_key(out, "config");
    (void)sl_buffer_append_text(out, node->config_json);
    (void)sl_buffer_append_text(out, ",\"files\":");
    (void)sl_buffer_append_text(out, node->files_json == NULL ? "{}" : node->files_json);
    (void)sl_buffer_append_byte(out, '}');
}

sl_error *edition_write(const struct topology *topology, sl_buffer *out) {
    (void)sl_buffer_printf(out, "{\"format\":%d,", FORMAT);
    append_member(out, "sluice", SL_VERSION);
    append_key(out, "pipeline");
    (void)sl_buffer_append_json_string(out, topology->pipeline, strlen(topology->pipeline));
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        const char *separator = "";
        (void)sl_buffer_append_byte(out, ',');
        append_key(out, topology_kind_key((enum topology_kind)kind));
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

struct first_fault {
    char text[256];
};

static void note_fault(void *arg, struct json_place place, const char *path, const char *text) {
    struct first_fault *first = arg;
    if (first->text[0] == 0) {
        (void)snprintf(first->text, sizeof(first->text), "line %d, %s: %s", place.line, path, text);
    }
}

static bool has_text(const struct json_value *object, const char *key) {
    const struct json_value *member = json_member(object, key);
    return member != NULL && member->kind == JSON_STRING;
}

static bool has_object(const struct json_value *object, const char *key) {
    const struct json_value *member = json_member(object, key);
    return member != NULL && member->kind == JSON_OBJECT;
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
                !has_object(n, "config") || !has_object(n, "files")) {
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
        return sl_error_new(SL_ERROR_UNSUPPORTED,
                            "%s has format version %lld, this sluice reads version %d", where,
                            (long long)number, FORMAT);
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
    struct first_fault fault = {""};
    edition->root = json_parse(&edition->arena, text, bytes, note_fault, &fault);
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

/* ---- comparing ---- */

/* The value without what is only tuning: equal texts give equal rows. */
static void append_essence(const struct json_value *value, const sl_option *table, sl_buffer *out) {
    if (value->kind != JSON_OBJECT || table == NULL) {
        (void)json_write(value, JSON_SHOWN, out);
        return;
    }
    for (const struct json_value *m = value->first; m != NULL; m = m->next) {
        const sl_option *option = option_find(table, m->key);
        option = option != NULL ? option : option_rest(table);
        if (option == NULL || (option->flags & SL_OPTION_TUNING) == 0) {
            append_key(out, m->key);
            append_essence(m, option == NULL ? NULL : option->options, out);
        }
    }
}

/* Whether a member differs between two objects. */
static bool differs(const struct json_value *a, const struct json_value *b, const char *key,
                    const sl_option *table, bool *failed) {
    sl_buffer texts[2] = {SL_BUFFER_INIT, SL_BUFFER_INIT};
    const struct json_value *values[2] = {json_member(a, key), json_member(b, key)};
    for (int i = 0; i < 2; i++) {
        if (values[i] != NULL) {
            append_essence(values[i], table, &texts[i]);
        }
        *failed = *failed || texts[i].failed;
    }
    bool same = texts[0].bytes == texts[1].bytes && texts[0].failed == texts[1].failed &&
                (texts[0].bytes == 0 || memcmp(texts[0].data, texts[1].data, texts[0].bytes) == 0);
    sl_buffer_free(&texts[0]);
    sl_buffer_free(&texts[1]);
    return !same;
}

/* Lists the members of two objects that differ. */
static void list_differences(const struct json_value *a, const struct json_value *b,
                             const sl_option *table, const char *suffix, sl_buffer *out) {
    for (int side = 0; side < 2; side++) {
        const struct json_value *one = side == 0 ? a : b;
        const struct json_value *other = side == 0 ? b : a;
        for (const struct json_value *m = one->first; m != NULL; m = m->next) {
            const sl_option *option = table == NULL ? NULL : option_find(table, m->key);
            option = option != NULL || table == NULL ? option : option_rest(table);
            bool seen = side == 1 && json_member(other, m->key) != NULL;
            if (seen || (option != NULL && (option->flags & SL_OPTION_TUNING) != 0) ||
                !differs(one, other, m->key, option == NULL ? NULL : option->options,
                         &out->failed)) {
                continue;
            }
            (void)sl_buffer_printf(out, "%s%s%s", out->bytes == 0 ? "" : ", ", m->key, suffix);
        }
    }
}

static const char *text_of(const struct json_value *object, const char *key) {
    return json_member(object, key)->text;
}

/* What of a node has changed; nothing appended: nothing. */
static void compare_node(const struct json_value *then, const struct json_value *now,
                         const sl_role *role, sl_buffer *out, sl_buffer *versions) {
    const char *plugin = text_of(now, "plugin");
    if (strcmp(text_of(then, "plugin"), plugin) != 0) {
        (void)sl_buffer_printf(out, "plugin %s is now %s", text_of(then, "plugin"), plugin);
        return;
    }
    if (strcmp(text_of(then, "version"), text_of(now, "version")) != 0) {
        (void)sl_buffer_printf(out, "%s %s is now %s", plugin, text_of(then, "version"),
                               text_of(now, "version"));
        (void)sl_buffer_printf(versions, "%s%s %s", versions->bytes == 0 ? "" : ", ", plugin,
                               text_of(then, "version"));
    }
    if (differs(then, now, "inputs", NULL, &out->failed)) {
        (void)sl_buffer_printf(out, "%sinputs", out->bytes == 0 ? "" : ", ");
    }
    list_differences(json_member(then, "config"), json_member(now, "config"), role->options, "",
                     out);
    list_differences(json_member(then, "files"), json_member(now, "files"), NULL,
                     " (what the file holds)", out);
}

static const struct json_value *find_node(const struct json_value *root, enum topology_kind kind,
                                          const char *name) {
    return json_member(json_member(root, topology_kind_key(kind)), name);
}

static bool is_same(const struct json_value *a, const struct json_value *b, bool *failed) {
    sl_buffer texts[2] = {SL_BUFFER_INIT, SL_BUFFER_INIT};
    (void)json_write(a, JSON_SHOWN, &texts[0]);
    (void)json_write(b, JSON_SHOWN, &texts[1]);
    *failed = *failed || texts[0].failed || texts[1].failed;
    bool same = texts[0].bytes == texts[1].bytes && !texts[0].failed && !texts[1].failed &&
                memcmp(texts[0].data, texts[1].data, texts[0].bytes) == 0;
    sl_buffer_free(&texts[0]);
    sl_buffer_free(&texts[1]);
    return same;
}

/* Whether rows for others come out of the node. */
static bool gives_rows(const struct topology *topology, size_t index) {
    const struct topology_node *node = &topology->nodes[index];
    return node->kind != TOPOLOGY_SINK ||
           topology_output_is_read(topology, index, topology_rejects_output(node));
}

static size_t count_nodes(const struct json_value *root) {
    size_t n = 0;
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        const char *key = topology_kind_key((enum topology_kind)kind);
        for (const struct json_value *m = json_member(root, key)->first; m != NULL; m = m->next) {
            n++;
        }
    }
    return n;
}

/* What is said of a comparison, as it grows. */
struct findings {
    sl_buffer text;
    sl_buffer versions;
    const char **nodes;
    size_t n_nodes;
    size_t n_alike;
};

static void compare_nodes(struct edition *then, const struct topology *now,
                          const struct json_value *root, struct findings *found) {
    for (size_t i = 0; i < now->n_nodes; i++) {
        const struct topology_node *node = &now->nodes[i];
        const struct json_value *before = find_node(then->root, node->kind, node->name);
        const struct json_value *after = find_node(root, node->kind, node->name);
        sl_buffer what = SL_BUFFER_INIT;
        sl_buffer versions = SL_BUFFER_INIT;
        if (before == NULL) {
            continue;
        }
        bool gives = gives_rows(now, i);
        compare_node(before, after, node->role, &what, gives ? &found->versions : &versions);
        if (what.bytes == 0) {
            found->n_alike++;
        } else if (gives) {
            found->nodes[found->n_nodes++] = arena_text(&then->arena, node->name);
            (void)sl_buffer_printf(&found->text, "%s%s (%.*s)", found->text.bytes == 0 ? "" : ", ",
                                   node->name, (int)what.bytes, (const char *)what.data);
        }
        found->text.failed = found->text.failed || what.failed;
        sl_buffer_free(&what);
        sl_buffer_free(&versions);
    }
}

/* The text, kept by the edition; NULL: none. */
static const char *keep_text(struct edition *edition, sl_buffer *text) {
    bool some = text->bytes > 0;
    edition->arena.failed = edition->arena.failed || text->failed;
    const char *kept = some ? arena_take(&edition->arena, text) : NULL;
    sl_buffer_free(text);
    return kept;
}

sl_error *edition_compare(struct edition *then, const struct topology *now,
                          struct edition_change *out) {
    *out = (struct edition_change){0};
    struct findings found = {.text = SL_BUFFER_INIT, .versions = SL_BUFFER_INIT};
    sl_buffer today = SL_BUFFER_INIT;
    struct first_fault fault = {""};
    found.nodes = arena_array(&then->arena, now->n_nodes, sizeof(*found.nodes));
    sl_error *error = edition_write(now, &today);
    const struct json_value *root =
        error != NULL
            ? NULL
            : json_parse(&then->arena, (const char *)today.data, today.bytes, note_fault, &fault);
    if (root != NULL && found.nodes != NULL) {
        compare_nodes(then, now, root, &found);
        out->same = is_same(then->root, root, &then->arena.failed);
        out->alike = found.n_alike == now->n_nodes && found.n_alike == count_nodes(then->root);
    }
    out->nodes = found.nodes;
    out->n_nodes = found.n_nodes;
    out->text = keep_text(then, &found.text);
    out->plugins = keep_text(then, &found.versions);
    sl_buffer_free(&today);
    return error != NULL ? error : then->arena.failed || root == NULL ? sl_error_no_memory() : NULL;
}

/* ---- a topology again ---- */

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
            append_key(out, m->key);
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
    int file = edition->n_files == MAX_FILES ? -1 : memfd_create("sluice", MFD_CLOEXEC);
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
        append_key(out, m->key);
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
            append_key(out, m->key);
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
        same == NULL ? NULL : json_member(find_node(document, kind, node->key), "config");
    append_key(out, node->key);
    (void)sl_buffer_append_byte(out, '{');
    append_member(out, "plugin", text_of(node, "plugin"));
    if (json_member(node, "inputs") != NULL) {
        append_key(out, "inputs");
        (void)json_write(json_member(node, "inputs"), JSON_WRITTEN, out);
        (void)sl_buffer_append_byte(out, ',');
    }
    append_key(out, "config");
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
    append_key(out, topology_kind_key(kind));
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
            append_key(&text, m->key);
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
