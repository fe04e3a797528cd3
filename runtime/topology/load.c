/*
 * Loading a topology: the order of the steps, the file, and the keys at the top. Every step goes on
 * after faults, so that one run reports all of them.
 */
#include "topology/loader.h"
#include "topology/location.h"
#include "topology/substitute.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* Long enough for a sink to commit, short beside what a second reader costs. */
#define DETACH_AFTER_US 1000000
#define MAX_PIPELINE_BYTES 128

static const struct json_place nowhere = {0, 0, false};

/* ---- shared by the loader's parts ---- */

struct option_context loader_context(struct loader *loader, const char *owner) {
    return (struct option_context){.arena = loader->arena,
                                   .faults = loader->faults,
                                   .secrets = &loader->loaded->secrets,
                                   .directory = loader->directory,
                                   .claimed = &loader->claimed,
                                   .owner = owner};
}

const struct plugin *loader_plugin(struct loader *loader, const char *name) {
    const struct plugin *plugin = NULL;
    sl_error *error = plugin_registry_get(loader->registry, name, &plugin);
    if (error != NULL) {
        loader->arena->failed = loader->arena->failed || sl_error_is(error, SL_ERROR_NO_MEMORY);
        sl_error_free(error);
        return NULL;
    }
    return plugin;
}

const sl_role *plugin_role(const struct plugin *plugin, enum topology_kind kind) {
    if (plugin == NULL) {
        return NULL;
    }
    return kind == TOPOLOGY_SOURCE      ? plugin->descriptor.source
           : kind == TOPOLOGY_TRANSFORM ? plugin->descriptor.transform
                                        : plugin->descriptor.sink;
}

/* The member `plugin` of a node of the document, or NULL. */
static const char *plugin_name(const struct json_value *node) {
    const struct json_value *name = json_member(node, "plugin");
    return name != NULL && name->kind == JSON_STRING ? name->text : NULL;
}

static void add_used(struct loader *loader, const char *name) {
    for (size_t i = 0; i < loader->n_used; i++) {
        if (strcmp(loader->used[i].name, name) == 0) {
            return;
        }
    }
    loader->used[loader->n_used++] = (struct used_plugin){name, loader_plugin(loader, name)};
}

/* Looks up every plugin that the document names, as it stands now. */
static void collect_used(struct loader *loader) {
    loader->used = arena_array(loader->arena, TOPOLOGY_MAX_NODES, sizeof(*loader->used));
    loader->n_used = 0;
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        const struct json_value *nodes =
            json_member(loader->root, topology_kind_key((enum topology_kind)kind));
        for (const struct json_value *m = nodes == NULL ? NULL : nodes->first; m != NULL;
             m = m->next) {
            const char *name = plugin_name(m);
            if (name != NULL && loader->used != NULL && loader->n_used < TOPOLOGY_MAX_NODES) {
                add_used(loader, name);
            }
        }
    }
}

static bool reads_section(const struct plugin *plugin, const char *name) {
    return plugin != NULL && plugin->descriptor.section != NULL &&
           strcmp(plugin->descriptor.section, name) == 0;
}

const struct plugin *loader_section(struct loader *loader, const char *name, bool *used) {
    *used = true;
    for (size_t i = 0; i < loader->n_used; i++) {
        if (reads_section(loader->used[i].plugin, name)) {
            return loader->used[i].plugin;
        }
    }
    *used = false;
    const struct plugin *plugin = loader_plugin(loader, name);
    return reads_section(plugin, name) ? plugin : NULL;
}

static bool is_one_of(const char *text, const char *const *list) {
    for (; *list != NULL; list++) {
        if (strcmp(*list, text) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the top ---- */

/* The section nearest to a misspelt key, or NULL when a key of the host is nearer. */
static const char *nearest_section(struct loader *loader, const char *key) {
    const char *names[TOPOLOGY_MAX_NODES + 1];
    size_t n = 0;
    for (size_t i = 0; i < loader->n_used; i++) {
        const struct plugin *plugin = loader->used[i].plugin;
        if (plugin != NULL && plugin->descriptor.section != NULL) {
            names[n++] = plugin->descriptor.section;
        }
    }
    const char *nearest = sl_nearest_name(key, names, n);
    const char *own = option_nearest(topology_top_keys, key);
    if (nearest == NULL || own == NULL) {
        return nearest;
    }
    const char *both[] = {own, nearest};
    return sl_nearest_name(key, both, 2) == nearest ? nearest : NULL;
}

/* True when some node wants a plugin of this name that is not there: that is the fault to report.
 */
static bool names_missing_plugin(const struct loader *loader, const char *key) {
    for (size_t i = 0; i < loader->n_used; i++) {
        if (loader->used[i].plugin == NULL && strcmp(loader->used[i].name, key) == 0) {
            return true;
        }
    }
    return false;
}

/* Deals with a key at the top that is not the host's; true when nothing is left to say. */
static bool settle_section(struct loader *loader, const struct json_value *member) {
    const char *path = json_path_member(loader->arena, "$", member->key);
    if (is_one_of(member->key, topology_later_keys)) {
        topology_fault_add(loader->faults, member->key_place, path,
                           "\"%s\" is not available in this version; take it out", member->key);
        return true;
    }
    bool used;
    const struct plugin *plugin = loader_section(loader, member->key, &used);
    if (plugin != NULL) {
        if (!used) {
            topology_warning_add(loader->faults, member->key_place, path,
                                 "no node uses the plugin \"%s\", which reads this section",
                                 plugin->descriptor.name);
        }
        return true;
    }
    const char *nearest = nearest_section(loader, member->key);
    if (nearest != NULL) {
        topology_fault_add(loader->faults, member->key_place, path,
                           "unknown key \"%s\"; did you mean \"%s\"?", member->key, nearest);
        return true;
    }
    return names_missing_plugin(loader, member->key);
}

static void check_pipeline(struct loader *loader) {
    const struct json_value *value = json_member(loader->root, "pipeline");
    const char *name = loader->top.pipeline;
    if (name == NULL || value == NULL) {
        return;
    }
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    if (n == 0 || name[n] != 0 || n > MAX_PIPELINE_BYTES || name[0] == '.') {
        topology_fault_add(loader->faults, value->place, "$.pipeline",
                           "found \"%.150s\"; allowed is a name of letters, digits, _, - and ., %d "
                           "at most, that does not begin with a dot",
                           value->shown, MAX_PIPELINE_BYTES);
    }
}

/* The host's own keys; sections are left to their plugins' tables. */
static bool read_top(struct loader *loader) {
    struct json_value *own = json_new(loader->arena, JSON_OBJECT, loader->root->place);
    for (const struct json_value *m = loader->root->first; m != NULL && own != NULL; m = m->next) {
        struct json_value *copy = NULL;
        if (option_find(topology_top_keys, m->key) != NULL || !settle_section(loader, m)) {
            copy = arena_alloc(loader->arena, sizeof(*copy));
        }
        if (copy != NULL) {
            *copy = *m;
            json_append(own, copy, m->key);
            copy->key_place = m->key_place;
        }
    }
    struct option_context context = loader_context(loader, "");
    const struct top_keys *top = own == NULL
                                     ? NULL
                                     : options_parse(&context, topology_top_keys, sizeof(*top), own,
                                                     loader->root->place, "$", NULL);
    if (top == NULL) {
        return false;
    }
    loader->top = *top;
    check_pipeline(loader);
    return true;
}

static void fill_top(const struct loader *loader) {
    struct topology *topology = &loader->loaded->topology;
    const struct top_keys *top = &loader->top;
    topology->pipeline = top->pipeline;
    topology->state_url = top->state;
    topology->lanes = (uint32_t)top->lanes;
    topology->shutdown_timeout_us = top->shutdown_timeout_us;
    topology->retry_timeout_us = top->retry_timeout_us;
    topology->revoke_timeout_us = top->revoke_timeout_us;
    topology->memory_max_bytes = top->memory_max_bytes;
    topology->detach_after_us = DETACH_AFTER_US;
    topology->http_ca_file = top->http_ca_file;
    topology->tap_enabled =
        top->tap != NULL ? top->tap->enabled != 0 : top->admin == NULL || top->admin->insecure == 0;
    topology->tap_mask = top->tap != NULL ? top->tap->mask : (sl_list){0, NULL};
    topology->admin_by_default = top->admin == NULL;
    topology->admin_enabled = top->admin == NULL || top->admin->enabled != 0;
    topology->admin_listen = top->admin == NULL ? TOPOLOGY_ADMIN_LISTEN : top->admin->listen;
    if (top->admin != NULL) {
        topology->admin_insecure = top->admin->insecure != 0;
        topology->admin_users = top->admin->users;
        topology->admin_tls_cert = top->admin->tls_cert;
        topology->admin_tls_key = top->admin->tls_key;
        topology->admin_tls_client_ca = top->admin->tls_client_ca;
    }
}

/* ---- the steps ---- */

static void add_syntax_fault(void *arg, struct json_place place, const char *path,
                             const char *text) {
    struct loader *loader = arg;
    topology_fault_add(loader->faults, place, path, "%s", text);
}

/* One folder of "plugin.path"; one that is not there is a fault. */
static sl_error *add_plugin_path(struct loader *loader, const struct json_value *value,
                                 const char *path) {
    const char *folder = value->kind == JSON_STRING && !value->broken
                             ? location_path(loader->arena, loader->directory, value->text)
                             : NULL;
    sl_error *error = folder == NULL ? NULL : plugin_registry_add_path(loader->registry, folder);
    if (sl_error_is(error, SL_ERROR_CONFIG)) {
        topology_fault_add(loader->faults, value->place, path, "%s", sl_error_message(error));
        sl_error_free(error);
        error = NULL;
    }
    return error;
}

static sl_error *add_plugin_paths(struct loader *loader, const struct topology_options *options) {
    for (size_t i = 0; options != NULL && i < options->n_plugin_paths; i++) {
        sl_error *error = plugin_registry_add_path(loader->registry, options->plugin_paths[i]);
        if (error != NULL) {
            return error;
        }
    }
    struct json_value *value = json_member(loader->root, "plugin.path");
    if (value == NULL) {
        return NULL;
    }
    substitute(value, "$['plugin.path']", loader->directory, loader->arena,
               &loader->loaded->secrets, loader->faults);
    /* what is wrong with its type is reported with the other keys */
    if (value->kind != JSON_ARRAY) {
        return add_plugin_path(loader, value, "$['plugin.path']");
    }
    sl_error *error = NULL;
    size_t i = 0;
    for (const struct json_value *item = value->first; item != NULL && error == NULL;
         item = item->next) {
        error =
            add_plugin_path(loader, item, json_path_item(loader->arena, "$['plugin.path']", i++));
    }
    return error;
}

/* Everything from the text to the checked drafts. */
static sl_error *read_document(struct loader *loader, const char *text, size_t bytes,
                               const struct topology_options *options) {
    loader->root = json_parse(loader->arena, text, bytes, add_syntax_fault, loader);
    if (loader->root == NULL || loader->root->broken) {
        return NULL;
    }
    if (loader->root->kind != JSON_OBJECT) {
        topology_fault_add(loader->faults, loader->root->place, "$",
                           "found %s; a topology is an object: {\"pipeline\": ..., \"sources\": "
                           "..., \"sinks\": ...}",
                           json_kind_name(loader->root->kind));
        return NULL;
    }
    loader_apply_sets(loader, options, false);
    if (loader->root->kind != JSON_OBJECT) {
        return NULL;
    }
    sl_error *error = add_plugin_paths(loader, options);
    if (error != NULL) {
        return error;
    }
    collect_used(loader);
    loader_apply_sets(loader, options, true);
    substitute(loader->root, "$", loader->directory, loader->arena, &loader->loaded->secrets,
               loader->faults);
    collect_used(loader);
    if (loader->arena->failed || !read_top(loader) || !loader_read_nodes(loader)) {
        return sl_error_no_memory();
    }
    loader_read_sections(loader);
    loader_read_stores(loader);
    loader_wire(loader);
    return NULL;
}

/* The error that sums the faults up, or NULL. */
static sl_error *verdict(const struct loader *loader) {
    size_t n = topology_faults_errors(loader->faults);
    if (loader->arena->failed || topology_faults_failed(loader->faults)) {
        return sl_error_no_memory();
    }
    return n == 0 ? NULL
                  : sl_error_new(SL_ERROR_CONFIG, "%s: %zu %s", loader->file, n,
                                 n == 1 ? "fault" : "faults");
}

sl_error *topology_load_text(const char *text, size_t bytes, const char *file,
                             const char *directory, const struct topology_options *options,
                             struct plugin_registry *registry, struct topology **out,
                             struct topology_faults **faults) {
    struct loaded_topology *loaded = calloc(1, sizeof(*loaded));
    *faults = topology_faults_new();
    if (loaded == NULL || *faults == NULL) {
        free(loaded);
        return sl_error_no_memory();
    }
    struct loader loader = {
        .loaded = loaded, .arena = &loaded->arena, .faults = *faults, .registry = registry};
    loader.file = arena_text(&loaded->arena, file);
    loader.directory = arena_text(&loaded->arena, directory);
    loaded->topology.text = arena_copy(&loaded->arena, text, bytes);
    loaded->topology.text_bytes = bytes;
    sl_error *error =
        loaded->arena.failed ? sl_error_no_memory() : read_document(&loader, text, bytes, options);
    error = error != NULL ? error : verdict(&loader);
    if (error == NULL && !(loader_finish(&loader) && loader_note_compared(&loader))) {
        error = sl_error_no_memory();
    }
    topology_faults_sort(*faults);
    topology_faults_mask(*faults, &loaded->secrets);
    if (error != NULL) {
        topology_free(&loaded->topology);
        return error;
    }
    loaded->topology.file = loader.file;
    loaded->topology.directory = loader.directory;
    loaded->root = loader.root;
    fill_top(&loader);
    *out = &loaded->topology;
    return NULL;
}

/* ---- the file ---- */

static sl_error *read_file(const char *file, sl_buffer *out) {
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "%s cannot be read: %s", file, strerror(errno));
    }
    char chunk[16384];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), stream)) > 0 && out->bytes <= JSON_MAX_BYTES) {
        (void)sl_buffer_append(out, chunk, n);
    }
    int failed = ferror(stream) != 0 ? errno : 0;
    (void)fclose(stream);
    if (failed != 0) {
        return sl_error_new(SL_ERROR_CONFIG, "%s cannot be read: %s", file, strerror(failed));
    }
    return out->failed ? sl_error_no_memory() : NULL;
}

/* The absolute folder that holds the file. */
static sl_error *folder_of(const char *file, char out[PATH_MAX]) {
    if (realpath(file, out) == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "%s cannot be read: %s", file, strerror(errno));
    }
    char *slash = strrchr(out, '/');
    slash[slash == out ? 1 : 0] = 0;
    return NULL;
}

sl_error *topology_load(const char *file, const struct topology_options *options,
                        struct plugin_registry *registry, struct topology **out,
                        struct topology_faults **faults) {
    char directory[PATH_MAX];
    sl_buffer text = SL_BUFFER_INIT;
    *faults = NULL;
    sl_error *error = folder_of(file, directory);
    error = error != NULL ? error : read_file(file, &text);
    if (error != NULL) {
        struct topology_faults *list = topology_faults_new();
        if (list != NULL) {
            topology_fault_add(list, nowhere, "$", "%s", sl_error_message(error));
        }
        *faults = list;
    } else {
        error = topology_load_text((const char *)text.data, text.bytes, file, directory, options,
                                   registry, out, faults);
    }
    sl_buffer_free(&text);
    return error;
}

void topology_free(struct topology *topology) {
    struct loaded_topology *loaded = (struct loaded_topology *)topology;
    if (loaded != NULL) {
        arena_free(&loaded->arena);
        free(loaded);
    }
}

/* ---- what is secret ---- */

void topology_mask(const struct topology *topology, sl_buffer *text) {
    secrets_mask(&((const struct loaded_topology *)topology)->secrets, text);
}

void topology_mask_faults(const struct topology *topology, struct topology_faults *faults) {
    topology_faults_mask(faults, &((const struct loaded_topology *)topology)->secrets);
}
