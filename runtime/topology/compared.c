/*
 * What a loaded topology keeps to be compared with the one that follows it: the contents of files
 * that are configuration, the settings that belong to no node, and digests of the values that are
 * never shown. See plan.h.
 */
#include "topology/edition.h"
#include "topology/loader.h"

#include <string.h>
#include <xxhash.h>

/* Keys of the top that are defaults of nodes' keys, or that have taken effect with the load. */
static const char *const of_nodes[] = {"$schema",
                                       "plugin.path",
                                       "sources",
                                       "transforms",
                                       "sinks",
                                       "commit.interval",
                                       "buffer",
                                       "when_full",
                                       "restart.after",
                                       "restart.attempts",
                                       TOPOLOGY_KEY_TOLERANCE,
                                       TOPOLOGY_KEY_LOG,
                                       TOPOLOGY_KEY_LOG_MESSAGES};

static bool is_of_nodes(const char *key) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(of_nodes); i++) {
        if (strcmp(key, of_nodes[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const sl_option *find_option(const sl_option *table, const char *key) {
    const sl_option *option = table == NULL ? NULL : option_find(table, key);
    return option != NULL || table == NULL ? option : option_rest(table);
}

/*
 * The digest of the hidden texts in a value, each with its place, in any order of keys: texts of
 * secret options, of keys that look like secrets, and those that came from references.
 */
static uint64_t digest(const struct json_value *value, const sl_option *table, bool secret,
                       uint64_t place) {
    if (value->kind == JSON_STRING) {
        bool hidden = secret || value->substituted;
        return hidden ? XXH64(value->text, strlen(value->text), place) : 0;
    }
    uint64_t sum = 0;
    uint64_t index = 0;
    for (const struct json_value *m = value->first; m != NULL; m = m->next, index++) {
        const sl_option *option = m->key == NULL ? NULL : find_option(table, m->key);
        bool is_secret = secret || (option != NULL && option->type == SL_OPTION_SECRET) ||
                         (m->key != NULL && option_is_secret_name(m->key));
        uint64_t at = m->key == NULL ? XXH64(&index, sizeof(index), place)
                                     : XXH64(m->key, strlen(m->key), place);
        sum += digest(m, option == NULL ? NULL : option->options, is_secret, at);
    }
    return sum;
}

static bool note_settings(struct loader *loader) {
    struct topology *topology = &loader->loaded->topology;
    sl_buffer text = SL_BUFFER_INIT;
    const char *separator = "{";
    for (const struct json_value *m = loader->root->first; m != NULL; m = m->next) {
        if (!is_of_nodes(m->key)) {
            (void)sl_buffer_append_text(&text, separator);
            (void)sl_buffer_append_json_string(&text, m->key, strlen(m->key));
            (void)sl_buffer_append_byte(&text, ':');
            (void)json_write(m, JSON_SHOWN, &text);
            topology->settings_hidden += digest(m, NULL, true, json_hash(m->key));
            separator = ",";
        }
    }
    (void)sl_buffer_append_text(&text, *separator == '{' ? "{}" : "}");
    secrets_mask(&loader->loaded->secrets, &text);
    topology->settings_json = arena_take(loader->arena, &text);
    /* masking blanks all when memory is short */
    return topology->settings_json != NULL && topology->settings_json[0] == '{';
}

static bool note_node(struct loader *loader, struct topology_node *node) {
    const struct json_value *value =
        json_member(json_member(loader->root, topology_kind_key(node->kind)), node->name);
    const struct json_value *config = json_member(value, "config");
    sl_buffer files = SL_BUFFER_INIT;
    node->hidden = config == NULL ? 0 : digest(config, node->role->options, false, 0);
    edition_write_files(node, &files);
    node->files_json = arena_take(loader->arena, &files);
    return node->files_json != NULL;
}

bool loader_note_compared(struct loader *loader) {
    struct topology *topology = &loader->loaded->topology;
    bool good = note_settings(loader);
    for (size_t i = 0; i < topology->n_nodes && good; i++) {
        good = note_node(loader, &topology->nodes[i]);
    }
    return good;
}
