/*
 * Editions compared: what of a topology has changed in a way that other rows come out, or only in
 * tuning (see edition.h).
 */
#include "topology/edition_parts.h"
#include "topology/graph.h"
#include "topology/keys.h"
#include "topology/options.h"

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
            edition_append_key(out, m->key);
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

/* What of a node has changed; nothing appended: nothing. */
static void compare_node(const struct json_value *then, const struct json_value *now,
                         const sl_role *role, sl_buffer *out, sl_buffer *versions) {
    const char *plugin = edition_text(now, "plugin");
    if (strcmp(edition_text(then, "plugin"), plugin) != 0) {
        (void)sl_buffer_printf(out, "plugin %s is now %s", edition_text(then, "plugin"), plugin);
        return;
    }
    if (strcmp(edition_text(then, "version"), edition_text(now, "version")) != 0) {
        (void)sl_buffer_printf(out, "%s %s is now %s", plugin, edition_text(then, "version"),
                               edition_text(now, "version"));
        (void)sl_buffer_printf(versions, "%s%s %s", versions->bytes == 0 ? "" : ", ", plugin,
                               edition_text(then, "version"));
    }
    if (differs(then, now, "inputs", NULL, &out->failed)) {
        (void)sl_buffer_printf(out, "%sinputs", out->bytes == 0 ? "" : ", ");
    }
    list_differences(json_member(then, "config"), json_member(now, "config"), role->options, "",
                     out);
    list_differences(json_member(then, "files"), json_member(now, "files"), NULL,
                     " (what the file holds)", out);
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
        const struct json_value *before = edition_node(then->root, node->kind, node->name);
        const struct json_value *after = edition_node(root, node->kind, node->name);
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
    struct edition_fault fault = {""};
    found.nodes = arena_array(&then->arena, now->n_nodes, sizeof(*found.nodes));
    sl_error *error = edition_write(now, &today);
    const struct json_value *root = error != NULL
                                        ? NULL
                                        : json_parse(&then->arena, (const char *)today.data,
                                                     today.bytes, edition_note_fault, &fault);
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
