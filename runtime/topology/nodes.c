/*
 * Nodes and sections: each member of "sources", "transforms" and "sinks" becomes a draft with its
 * plugin, its role and its parsed config. Inputs are only picked up here; wiring.c reads them.
 */
#include "topology/graph.h"
#include "topology/loader.h"

#define MAX_NODE_NAME_BYTES 64

static struct json_place place_of(const struct json_value *value) {
    return value->key != NULL && !value->place.from_set ? value->key_place : value->place;
}

/* ---- names ---- */

static bool is_node_name(const char *name) {
    size_t n = 0;
    for (; name[n] != 0; n++) {
        bool letter = (name[n] >= 'a' && name[n] <= 'z') || (name[n] >= 'A' && name[n] <= 'Z') ||
                      name[n] == '_';
        bool other = (name[n] >= '0' && name[n] <= '9') || name[n] == '-';
        if (!letter && !(n > 0 && other)) {
            return false;
        }
    }
    return n > 0 && n <= MAX_NODE_NAME_BYTES;
}

static void check_name(struct loader *loader, const struct draft *draft) {
    const char *name = draft->node.name;
    struct json_place place = place_of(draft->value);
    if (!is_node_name(name)) {
        topology_fault_add(loader->faults, place, draft->path,
                           "\"%.100s\" is no name for a node: a letter or _, then letters, digits, "
                           "_ and -, %d at most",
                           name, MAX_NODE_NAME_BYTES);
    }
    for (const struct draft *d = loader->drafts; d < draft; d++) {
        /* within one object the parser has said it already */
        if (d->node.kind != draft->node.kind && strcmp(d->node.name, name) == 0) {
            topology_fault_add(
                loader->faults, place, draft->path,
                "the name \"%s\" is taken by a %s (line %d): nodes of all kinds share "
                "their names",
                name, topology_kind_name(d->node.kind), place_of(d->value).line);
            return;
        }
    }
}

/* ---- the keys of a node ---- */

/* True for an option of the plugin that stands at the node instead of in its config. */
static bool is_misplaced(const struct draft *draft, const struct json_value *member) {
    return option_find(topology_node_keys(draft->node.kind), member->key) == NULL &&
           draft->node.role != NULL && option_find(draft->node.role->options, member->key) != NULL;
}

/* Reports keys that are right elsewhere; true when it did. */
static bool fault_misplaced(struct loader *loader, const struct draft *draft,
                            const struct json_value *member) {
    const sl_option *table = topology_node_keys(draft->node.kind);
    const char *path = json_path_member(loader->arena, draft->path, member->key);
    if (option_find(table, member->key) != NULL) {
        return false;
    }
    bool misplaced = is_misplaced(draft, member);
    if (!misplaced && option_find(topology_node_keys(TOPOLOGY_SINK), member->key) != NULL) {
        topology_fault_add(
            loader->faults, member->key_place, path,
            "a source has no \"%s\"; allowed: \"plugin\", \"config\", \"restart.after\", "
            "\"restart.attempts\"",
            member->key);
        return true;
    }
    if (misplaced) {
        topology_fault_add(loader->faults, member->key_place, path,
                           "\"%s\" is an option of the plugin: put it into \"config\"",
                           member->key);
        return true;
    }
    return false;
}

/* A shallow copy of the node's object without what was reported here. */
static struct json_value *plain_keys(struct loader *loader, const struct draft *draft) {
    struct json_value *plain = json_new(loader->arena, JSON_OBJECT, draft->value->place);
    for (const struct json_value *m = draft->value->first; m != NULL && plain != NULL;
         m = m->next) {
        struct json_value *copy = NULL;
        if (!fault_misplaced(loader, draft, m)) {
            copy = arena_alloc(loader->arena, sizeof(*copy));
        }
        if (copy != NULL) {
            *copy = *m;
            json_append(plain, copy, m->key);
            copy->key_place = m->key_place;
        }
    }
    return plain;
}

static void read_plugin(struct loader *loader, struct draft *draft) {
    const struct json_value *name = json_member(draft->value, "plugin");
    if (name == NULL || name->kind != JSON_STRING || name->broken) {
        return; /* the table's parser says so */
    }
    const char *path = json_path_member(loader->arena, draft->path, "plugin");
    const struct plugin *plugin = NULL;
    sl_error *error = plugin_registry_get(loader->registry, name->text, &plugin);
    if (error != NULL) {
        topology_fault_add(loader->faults, name->place, path, "%s", sl_error_message(error));
        sl_error_free(error);
        return;
    }
    draft->node.plugin = plugin;
    draft->node.role = plugin_role(plugin, draft->node.kind);
    if (draft->node.role == NULL) {
        sl_buffer roles = SL_BUFFER_INIT;
        for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
            if (plugin_role(plugin, (enum topology_kind)kind) != NULL) {
                (void)sl_buffer_printf(&roles, "%s a %s", roles.bytes == 0 ? "" : " or",
                                       topology_kind_name((enum topology_kind)kind));
            }
        }
        const char *list = arena_take(loader->arena, &roles);
        topology_fault_add(loader->faults, name->place, path,
                           "the plugin \"%s\" is no %s; it can be%s", name->text,
                           topology_kind_name(draft->node.kind), list == NULL ? "" : list);
    }
}

/*
 * The config with a place-holder for each option that stands beside it: what is there by mistake is
 * not missing.
 */
static const struct json_value *with_misplaced(struct loader *loader, const struct draft *draft,
                                               const struct json_value *config) {
    struct json_value *whole = NULL;
    for (const struct json_value *m = draft->value->first; m != NULL; m = m->next) {
        if (!is_misplaced(draft, m) || json_member(config, m->key) != NULL) {
            continue;
        }
        if (whole == NULL) {
            whole = json_new(loader->arena, JSON_OBJECT, draft->value->place);
            if (whole != NULL && config != NULL) {
                *whole = *config;
            }
        }
        struct json_value *holder = json_new(loader->arena, JSON_NULL, m->place);
        if (whole != NULL && holder != NULL) {
            holder->broken = true;
            json_append(whole, holder, m->key);
        }
    }
    return whole != NULL ? whole : config;
}

static void read_config(struct loader *loader, struct draft *draft) {
    const struct json_value *config = json_member(draft->value, "config");
    const sl_role *role = draft->node.role;
    struct topology_node *node = &draft->node;
    struct json_place place = config == NULL ? place_of(draft->value) : config->place;
    node->config_path = json_path_member(loader->arena, draft->path, "config");
    node->line = place.line;
    node->column = place.column;
    if (config != NULL && config->kind != JSON_OBJECT) {
        if (!config->broken) {
            topology_fault_add(loader->faults, config->place, node->config_path,
                               "found %s; allowed is an object with the plugin's options",
                               json_kind_name(config->kind));
        }
        return;
    }
    if (role == NULL) {
        return;
    }
    config = with_misplaced(loader, draft, config);
    const char *owner =
        arena_printf(loader->arena, "%s \"%s\"", topology_kind_name(node->kind), node->name);
    struct option_context context = loader_context(loader, owner == NULL ? "" : owner);
    sl_buffer effective = SL_BUFFER_INIT;
    size_t errors = topology_faults_errors(loader->faults);
    node->config = options_parse(&context, role->options, role->config_bytes, config, place,
                                 node->config_path, &effective);
    node->config_json = arena_take(loader->arena, &effective);
    draft->good_config = node->config != NULL && topology_faults_errors(loader->faults) == errors;
}

/* The node's own key, else the top's, else `otherwise`. */
static int32_t either(const struct loader *loader, const struct draft *draft, const char *key,
                      int32_t own, int32_t top, int32_t otherwise) {
    return json_member(draft->value, key) != NULL   ? own
           : json_member(loader->root, key) != NULL ? top
                                                    : otherwise;
}

static void settle_errors(const struct loader *loader, struct draft *draft) {
    const struct error_keys *own = &draft->keys.errors;
    const struct error_keys *top = &loader->top.errors;
    struct topology_node *node = &draft->node;
    bool rejects = node->role != NULL && node->kind == TOPOLOGY_TRANSFORM &&
                   topology_rejects_output(node) != TOPOLOGY_NO_OUTPUT;
    node->tolerance = (enum topology_tolerance)either(
        loader, draft, TOPOLOGY_KEY_TOLERANCE, own->tolerance, top->tolerance,
        rejects ? TOPOLOGY_TOLERATE_ALL : TOPOLOGY_TOLERATE_NONE);
    node->errors_log = either(loader, draft, TOPOLOGY_KEY_LOG, own->log, top->log, 0) != 0;
    node->errors_log_messages = either(loader, draft, TOPOLOGY_KEY_LOG_MESSAGES, own->log_messages,
                                       top->log_messages, 0) != 0;
}

static void pick_inputs(struct loader *loader, struct draft *draft) {
    const struct json_value *inputs = json_member(draft->value, "inputs");
    draft->broken_inputs = inputs == NULL;
    if (draft->node.kind == TOPOLOGY_SOURCE || inputs == NULL || inputs->broken) {
        return;
    }
    if (inputs->kind == JSON_ARRAY) {
        draft->inputs = inputs;
        return;
    }
    const char *path = json_path_member(loader->arena, draft->path, "inputs");
    draft->broken_inputs = true;
    if (inputs->kind == JSON_STRING) {
        topology_fault_add(loader->faults, inputs->place, path,
                           "found \"%.100s\"; allowed is an array: [\"%.100s\"]", inputs->shown,
                           inputs->shown);
    } else {
        topology_fault_add(loader->faults, inputs->place, path,
                           "found %s; allowed is an array of the nodes that it reads",
                           json_kind_name(inputs->kind));
    }
}

static void read_node(struct loader *loader, struct draft *draft) {
    check_name(loader, draft);
    if (draft->value->kind != JSON_OBJECT) {
        draft->broken_inputs = true;
        if (!draft->value->broken) {
            topology_fault_add(loader->faults, draft->value->place, draft->path,
                               "found %s; allowed is an object with \"plugin\", %s\"config\"",
                               json_kind_name(draft->value->kind),
                               draft->node.kind == TOPOLOGY_SOURCE ? "" : "\"inputs\", ");
        }
        return;
    }
    read_plugin(loader, draft);
    const struct json_value *plain = plain_keys(loader, draft);
    struct option_context context = loader_context(loader, "");
    struct node_keys *keys =
        plain == NULL ? NULL
                      : options_parse(&context, topology_node_keys(draft->node.kind), sizeof(*keys),
                                      plain, place_of(draft->value), draft->path, NULL);
    if (keys == NULL) {
        return;
    }
    draft->keys = *keys;
    draft->has_when_full = json_member(draft->value, "when_full") != NULL;
    draft->node.commit_interval_us =
        keys->commit_interval_us != 0 ? keys->commit_interval_us : loader->top.commit_interval_us;
    draft->node.restart_after_us =
        keys->restart_after_us != 0 ? keys->restart_after_us : loader->top.restart_after_us;
    draft->node.restart_attempts =
        (uint32_t)(keys->restart_attempts != 0 ? keys->restart_attempts
                                               : loader->top.restart_attempts);
    if (json_member(draft->value, "start") != NULL) {
        draft->node.start = (enum topology_start)(keys->start + 1);
    }
    settle_errors(loader, draft);
    read_config(loader, draft);
    pick_inputs(loader, draft);
}

/* ---- all nodes ---- */

static void read_kind(struct loader *loader, enum topology_kind kind) {
    const struct json_value *nodes = json_member(loader->root, topology_kind_key(kind));
    if (nodes == NULL || nodes->broken) {
        return;
    }
    const char *path = json_path_member(loader->arena, "$", topology_kind_key(kind));
    if (nodes->kind != JSON_OBJECT) {
        topology_fault_add(loader->faults, nodes->place, path,
                           "found %s; allowed is an object of named %s",
                           json_kind_name(nodes->kind), topology_kind_key(kind));
        return;
    }
    if (nodes->n_children == 0 && kind != TOPOLOGY_TRANSFORM) {
        topology_fault_add(loader->faults, nodes->place, path, "a topology needs at least one %s",
                           topology_kind_name(kind));
    }
    for (const struct json_value *m = nodes->first; m != NULL; m = m->next) {
        if (loader->n_drafts == TOPOLOGY_MAX_NODES) {
            topology_fault_add(loader->faults, m->place, path, "more than %d nodes",
                               TOPOLOGY_MAX_NODES);
            return;
        }
        struct draft *draft = &loader->drafts[loader->n_drafts++];
        draft->node.name = m->key;
        draft->node.kind = kind;
        draft->value = m;
        draft->path = json_path_member(loader->arena, path, m->key);
        read_node(loader, draft);
    }
}

bool loader_read_nodes(struct loader *loader) {
    size_t n = 0;
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK; kind++) {
        const struct json_value *nodes =
            json_member(loader->root, topology_kind_key((enum topology_kind)kind));
        n += nodes == NULL ? 0 : nodes->n_children;
    }
    n = n > TOPOLOGY_MAX_NODES ? TOPOLOGY_MAX_NODES : n;
    loader->drafts = arena_array(loader->arena, n, sizeof(*loader->drafts));
    for (int kind = TOPOLOGY_SOURCE; kind <= TOPOLOGY_SINK && loader->drafts != NULL; kind++) {
        read_kind(loader, (enum topology_kind)kind);
    }
    return loader->drafts != NULL;
}

/* ---- sections ---- */

static const void *read_section(struct loader *loader, const struct plugin *plugin) {
    const sl_plugin *descriptor = &plugin->descriptor;
    const struct json_value *value = json_member(loader->root, descriptor->section);
    const char *path = json_path_member(loader->arena, "$", descriptor->section);
    if (value == NULL || value->broken) {
        return NULL;
    }
    if (value->kind != JSON_OBJECT) {
        topology_fault_add(loader->faults, value->place, path,
                           "found %s; allowed is an object with the options that all nodes of "
                           "plugin \"%s\" share",
                           json_kind_name(value->kind), descriptor->name);
        return NULL;
    }
    struct option_context context = loader_context(loader, descriptor->section);
    return options_parse(&context, descriptor->section_options, descriptor->section_bytes, value,
                         value->place, path, NULL);
}

void loader_read_sections(struct loader *loader) {
    for (size_t i = 0; i < loader->n_drafts; i++) {
        struct topology_node *node = &loader->drafts[i].node;
        if (node->plugin == NULL || node->plugin->descriptor.section == NULL) {
            continue;
        }
        size_t same = 0;
        while (loader->drafts[same].node.plugin != node->plugin) {
            same++;
        }
        node->section =
            same < i ? loader->drafts[same].node.section : read_section(loader, node->plugin);
    }
}
