/* Connectors as nodes of a document (see connector.h). */
#include "topology/connector.h"

#include "topology/edit.h"
#include "topology/flat.h"
#include "topology/keys.h"
#include "topology/options.h"

#include <stdio.h>

#define TOPICS_SUFFIX "-topics"

/* ---- keys ---- */

bool connector_owns_key(const sl_option *table, const char *key) {
    static const char *const keys[] = {"name", "connector.class", "tasks.max", "inputs", "topics"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(keys); i++) {
        if (strcmp(keys[i], key) == 0) {
            return flat_option(table, key) == NULL;
        }
    }
    return false;
}

const char *connector_foreign_key(const char *key) {
    static const struct {
        const char *key; /* one that ends with a dot stands for all that begin so */
        const char *instead;
    } known[] = {
        {"transforms", "a transform is a node of its own, which the sink reads"},
        {"transforms.", "a transform is a node of its own, which the sink reads"},
        {"predicates", "a condition belongs to a transform, which is a node of its own"},
        {"predicates.", "a condition belongs to a transform, which is a node of its own"},
        {"key.converter", "keys stay bytes until a transform reads them"},
        {"key.converter.", "keys stay bytes until a transform reads them"},
        {"value.converter", "values stay bytes until a transform (silver-validate) reads them"},
        {"value.converter.", "values stay bytes until a transform (silver-validate) reads them"},
        {"header.converter", "headers stay bytes until a transform reads them"},
        {"header.converter.", "headers stay bytes until a transform reads them"},
        {"topics.regex", "make a source with the plugin kafka and its topics_regex, and name it as "
                         "the input"},
        {"errors.deadletterqueue.", "add a kafka sink whose input is NODE.rejects"},
        {"errors.retry.timeout", "retry.timeout stands at the top of the topology"},
        {"errors.retry.delay.max.ms", "pauses between retries grow to 10 s by themselves"},
        {"config.action.reload", "a secret that has changed is read by a restart of the node"},
        {"consumer.override.", "properties of the consumer stand in the config of the source"},
        {"producer.override.", "properties of the producer stand in the config of a kafka sink"},
        {"admin.override.", "properties of the client stand in the section kafka of the topology"},
        {"topic.creation.", "topics are made by whoever owns them"},
        {"exactly.once.support", "sluice inspect PLUGIN says what each plugin guarantees"},
        {"transaction.boundary", "a commit is a transaction; its time is commit.interval"},
        {"transaction.boundary.interval.ms", "say commit.interval"},
        {"offsets.storage.topic", "positions are kept where the data lives"},
        {"tasks.max.enforce", "lanes are the topology's, for all nodes"},
    };
    for (size_t i = 0; i < SL_ARRAY_LENGTH(known); i++) {
        size_t bytes = strlen(known[i].key);
        if (strncmp(key, known[i].key, bytes) == 0 &&
            (key[bytes] == 0 || known[i].key[bytes - 1] == '.')) {
            return known[i].instead;
        }
    }
    return NULL;
}

/* ---- nodes of the document ---- */

static struct json_value *nodes_of(const struct connectors *in, enum topology_kind kind) {
    struct json_value *nodes = json_member(in->document, topology_kind_key(kind));
    return nodes != NULL && nodes->kind == JSON_OBJECT ? nodes : NULL;
}

struct json_value *connector_find(const struct connectors *in, const char *name,
                                  enum topology_kind *kind) {
    for (int k = TOPOLOGY_SOURCE; k <= TOPOLOGY_SINK; k++) {
        struct json_value *node = json_member(nodes_of(in, (enum topology_kind)k), name);
        if (node != NULL) {
            *kind = (enum topology_kind)k;
            return node;
        }
    }
    return NULL;
}

static bool is_taken(const struct connectors *in, const char *name) {
    enum topology_kind kind;
    return connector_find(in, name, &kind) != NULL;
}

static const char *text_of(const struct json_value *object, const char *key) {
    const struct json_value *value = json_member(object, key);
    return value != NULL && value->kind == JSON_STRING ? value->text : NULL;
}

/* "silver.rejects" of an input, a text or an object with it as "from"; NULL: neither. */
static const char *input_name(const struct json_value *input) {
    return input->kind == JSON_STRING ? input->text : text_of(input, "from");
}

static bool reads(const struct json_value *node, const char *name) {
    const struct json_value *inputs = json_member(node, "inputs");
    size_t bytes = strlen(name);
    for (const struct json_value *i = inputs == NULL ? NULL : inputs->first; i != NULL;
         i = i->next) {
        const char *from = input_name(i);
        if (from != NULL && strncmp(from, name, bytes) == 0 &&
            (from[bytes] == 0 || from[bytes] == '.')) {
            return true;
        }
    }
    return false;
}

/* A node that reads `name`, but for the one called `besides` (may be NULL); NULL: none. */
static const char *find_reader(const struct connectors *in, const char *name, const char *besides) {
    for (int k = TOPOLOGY_TRANSFORM; k <= TOPOLOGY_SINK; k++) {
        const struct json_value *nodes = nodes_of(in, (enum topology_kind)k);
        for (const struct json_value *n = nodes == NULL ? NULL : nodes->first; n != NULL;
             n = n->next) {
            if (reads(n, name) && (besides == NULL || strcmp(n->key, besides) != 0)) {
                return n->key;
            }
        }
    }
    return NULL;
}

/* ---- plugins ---- */

static const sl_option *table_of(const struct plugin *plugin, enum topology_kind kind) {
    const sl_role *role = plugin_role(plugin, kind);
    return role == NULL ? NULL : role->options;
}

static bool takes_topics(const struct plugin *plugin) {
    const sl_option *topics = option_find(table_of(plugin, TOPOLOGY_SOURCE), "topics");
    return topics != NULL && topics->type == SL_OPTION_LIST;
}

/* The plugin that reads topics: that of a source that is there, or else the first that can. */
static sl_error *find_topics_plugin(const struct connectors *in, const char **out) {
    const struct plugin *plugin = NULL;
    const struct json_value *sources = nodes_of(in, TOPOLOGY_SOURCE);
    *out = NULL;
    for (const struct json_value *s = sources == NULL ? NULL : sources->first; s != NULL;
         s = s->next) {
        const char *name = text_of(s, "plugin");
        sl_error_free(name == NULL ? NULL : plugin_registry_get(in->registry, name, &plugin));
        if (plugin != NULL && takes_topics(plugin)) {
            *out = name;
            return NULL;
        }
    }
    const char *const *names = NULL;
    size_t n = 0;
    sl_error *error = plugin_registry_names(in->registry, &names, &n);
    for (size_t i = 0; i < n && error == NULL && *out == NULL; i++) {
        sl_error_free(plugin_registry_get(in->registry, names[i], &plugin));
        *out = plugin != NULL && takes_topics(plugin) ? names[i] : NULL;
    }
    return error != NULL || *out != NULL
               ? error
               : sl_error_new(SL_ERROR_CONFIG, "topics: no plugin here reads topics");
}

/* ---- topics ---- */

static bool has_item(const struct json_value *list, const char *text) {
    for (const struct json_value *i = list->first; i != NULL; i = i->next) {
        if (i->kind == JSON_STRING && strcmp(i->text, text) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether the source reads these topics and no others. */
static bool reads_topics(const struct json_value *source, const struct json_value *topics) {
    const struct json_value *given = json_member(json_member(source, "config"), "topics");
    if (given == NULL || (given->kind != JSON_ARRAY && given->kind != JSON_STRING)) {
        return false;
    }
    if (given->kind == JSON_STRING) {
        return topics->n_children == 1 && has_item(topics, given->text);
    }
    for (const struct json_value *i = given->first; i != NULL; i = i->next) {
        if (i->kind != JSON_STRING || !has_item(topics, i->text)) {
            return false;
        }
    }
    return given->n_children == topics->n_children;
}

/* The source behind the only input of a node, when it is one that names topics; NULL. */
static const struct json_value *topics_source(const struct connectors *in,
                                              const struct json_value *node) {
    const struct json_value *inputs = json_member(node, "inputs");
    const struct json_value *only =
        inputs != NULL && inputs->kind == JSON_ARRAY && inputs->n_children == 1 ? inputs->first
                                                                                : NULL;
    if (only == NULL || only->kind != JSON_STRING) {
        return NULL;
    }
    const struct json_value *source = json_member(nodes_of(in, TOPOLOGY_SOURCE), only->text);
    const char *name = source == NULL ? NULL : text_of(source, "plugin");
    const struct plugin *plugin = NULL;
    sl_error_free(name == NULL ? NULL : plugin_registry_get(in->registry, name, &plugin));
    const struct json_value *topics = json_member(json_member(source, "config"), "topics");
    return plugin != NULL && takes_topics(plugin) && topics != NULL && topics->n_children > 0
               ? source
               : NULL;
}

/* The name of a source that reads just these topics: of the one the node reads already, if that
 * does, or else the first; NULL: none. */
static const char *find_source(const struct connectors *in, const struct json_value *node,
                               const struct json_value *topics) {
    const struct json_value *own = node == NULL ? NULL : topics_source(in, node);
    if (own != NULL && reads_topics(own, topics)) {
        return own->key;
    }
    const struct json_value *sources = nodes_of(in, TOPOLOGY_SOURCE);
    for (const struct json_value *s = sources == NULL ? NULL : sources->first; s != NULL;
         s = s->next) {
        if (reads_topics(s, topics)) {
            return s->key;
        }
    }
    return NULL;
}

static const char *free_name(const struct connectors *in, const char *node) {
    const char *name = arena_printf(in->arena, "%s" TOPICS_SUFFIX, node);
    for (int i = 2; name != NULL && is_taken(in, name); i++) {
        name = arena_printf(in->arena, "%s" TOPICS_SUFFIX "-%d", node, i);
    }
    return name;
}

/* The source that was made for this node's topics, as long as nobody else reads it: its topics can
 * be changed, so that its positions hold. */
static struct json_value *own_source(const struct connectors *in, const char *node) {
    const char *name = arena_printf(in->arena, "%s" TOPICS_SUFFIX, node);
    struct json_value *source =
        name == NULL ? NULL : json_member(nodes_of(in, TOPOLOGY_SOURCE), name);
    return source != NULL && find_reader(in, name, node) == NULL ? source : NULL;
}

static sl_error *make_source(const struct connectors *in, const char *node,
                             const struct json_value *topics, const char **out) {
    struct arena *arena = in->arena;
    const char *plugin = NULL;
    sl_error *error = find_topics_plugin(in, &plugin);
    if (error != NULL) {
        return error;
    }
    struct json_value *source = json_new(arena, JSON_OBJECT, topics->place);
    struct json_value *config = json_new(arena, JSON_OBJECT, topics->place);
    struct json_value *sources =
        json_want_object(arena, in->document, topology_kind_key(TOPOLOGY_SOURCE));
    *out = free_name(in, node);
    if (source == NULL || config == NULL || sources == NULL || *out == NULL) {
        return sl_error_no_memory();
    }
    json_add(arena, config, "topics", topics);
    json_add(arena, source, "plugin", json_new_string(arena, plugin));
    json_add(arena, source, "config", config);
    json_add(arena, sources, *out, source);
    return NULL;
}

static void drop_own_source(const struct connectors *in, const char *node) {
    const struct json_value *own = own_source(in, node);
    if (own != NULL && find_reader(in, own->key, NULL) == NULL) {
        (void)json_remove(nodes_of(in, TOPOLOGY_SOURCE), own->key);
    }
}

/* ---- a config's parts ---- */

static const sl_option list_option = {.name = "inputs", .type = SL_OPTION_LIST};

/* The array that a text of names, or a JSON array, is; NULL: neither is given. */
static const struct json_value *list_of(const struct connectors *in,
                                        const struct json_value *config, const char *key) {
    const struct json_value *value = json_member(config, key);
    return value == NULL || value->kind == JSON_NULL ? NULL
                                                     : flat_convert(in->arena, &list_option, value);
}

static sl_error *fault(const char *key, const char *what) {
    return sl_error_new(SL_ERROR_CONFIG, "%s: %s", key, what);
}

/* What the node reads, as "inputs". */
static sl_error *settle_inputs(const struct connectors *in, const char *name,
                               const struct json_value *before, const struct json_value *config,
                               struct json_value *node) {
    const struct json_value *inputs = list_of(in, config, "inputs");
    const struct json_value *topics = list_of(in, config, "topics");
    if (inputs != NULL && topics != NULL) {
        return fault("topics", "inputs says what is read, too; give one of them");
    }
    if (inputs != NULL) {
        json_add(in->arena, node, "inputs", inputs);
        return NULL;
    }
    if (topics == NULL || topics->kind != JSON_ARRAY || topics->n_children == 0) {
        return fault("topics",
                     "what the node reads is missing: name topics of Kafka here, or nodes "
                     "as inputs");
    }
    const char *source = find_source(in, before, topics);
    struct json_value *own = source != NULL ? NULL : own_source(in, name);
    struct json_value *own_config = own == NULL ? NULL : json_member(own, "config");
    sl_error *error = NULL;
    if (own_config != NULL && own_config->kind == JSON_OBJECT) {
        json_set(in->arena, own_config, "topics", topics);
        source = own->key;
    } else if (source == NULL) {
        error = make_source(in, name, topics, &source);
    }
    struct json_value *list = json_new(in->arena, JSON_ARRAY, topics->place);
    if (error == NULL && list != NULL) {
        json_add(in->arena, list, NULL, json_new_string(in->arena, source));
        json_add(in->arena, node, "inputs", list);
    }
    return error;
}

bool connector_tasks(const struct json_value *config, int64_t *tasks) {
    const struct json_value *given = json_member(config, "tasks.max");
    *tasks = 0;
    if (given == NULL || given->kind == JSON_NULL) {
        return true;
    }
    return (given->kind == JSON_STRING || given->kind == JSON_NUMBER) &&
           sl_parse_i64(given->text, strlen(given->text), tasks) && *tasks >= 1;
}

static sl_error *check_own(const char *name, const struct json_value *config) {
    const struct json_value *given = json_member(config, "name");
    if (given != NULL && (given->kind != JSON_STRING || strcmp(given->text, name) != 0)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "Connector name configuration (%.200s) doesn't match connector name "
                            "(%.200s)",
                            given->kind == JSON_STRING ? given->text : json_kind_name(given->kind),
                            name);
    }
    int64_t tasks;
    return connector_tasks(config, &tasks) ? NULL : fault("tasks.max", CONNECTOR_TASKS_ALLOWED);
}

/* The kind that the node was, if the plugin can be that; else the only one it can be; else a source
 * unless the config says that it reads other nodes. */
static enum topology_kind choose_kind(const struct plugin *plugin, const struct json_value *config,
                                      const enum topology_kind *before) {
    if (before != NULL && plugin_role(plugin, *before) != NULL) {
        return *before;
    }
    bool reader = json_member(config, "inputs") != NULL ||
                  (json_member(config, "topics") != NULL && !takes_topics(plugin));
    if (plugin_role(plugin, TOPOLOGY_SOURCE) != NULL &&
        (!reader || (plugin_role(plugin, TOPOLOGY_TRANSFORM) == NULL &&
                     plugin_role(plugin, TOPOLOGY_SINK) == NULL))) {
        return TOPOLOGY_SOURCE;
    }
    return plugin_role(plugin, TOPOLOGY_TRANSFORM) != NULL ? TOPOLOGY_TRANSFORM : TOPOLOGY_SINK;
}

/* The node's keys and the plugin's options. */
static sl_error *put_members(const struct connectors *in, enum topology_kind kind,
                             const sl_option *table, const struct json_value *config,
                             struct json_value *node) {
    struct arena *arena = in->arena;
    struct json_value *options = json_new(arena, JSON_OBJECT, config->place);
    for (const struct json_value *m = config->first; m != NULL && options != NULL; m = m->next) {
        const char *instead =
            flat_option(table, m->key) == NULL ? connector_foreign_key(m->key) : NULL;
        const sl_option *key = flat_node_key(kind, table, m->key);
        if (m->kind == JSON_NULL || connector_owns_key(table, m->key)) {
            continue;
        }
        if (instead != NULL) {
            return fault(m->key, instead);
        }
        if (key != NULL) {
            json_set(arena, node, key->name, flat_convert(arena, key, m));
        } else {
            flat_put(arena, table, options, m);
        }
    }
    json_add(arena, node, "config", options);
    return NULL;
}

static sl_error *make_node(const struct connectors *in, const char *name,
                           const struct json_value *before, const struct json_value *config,
                           enum topology_kind *kind, struct json_value **out) {
    const char *class = text_of(config, "connector.class");
    if (class == NULL) {
        return fault("connector.class", "the plugin's name is missing");
    }
    const struct plugin *plugin = NULL;
    sl_error *error = plugin_registry_get(in->registry, class, &plugin);
    if (error != NULL) {
        return sl_error_wrap(error, "Failed to find any class that implements Connector");
    }
    *kind = choose_kind(plugin, config, before == NULL ? NULL : kind);
    const sl_option *table = table_of(plugin, *kind);
    *out = json_new(in->arena, JSON_OBJECT, config->place);
    if (*out == NULL) {
        return sl_error_no_memory();
    }
    json_add(in->arena, *out, "plugin", json_new_string(in->arena, class));
    if (*kind != TOPOLOGY_SOURCE) {
        error = settle_inputs(in, name, before, config, *out);
    }
    return error != NULL ? error : put_members(in, *kind, table, config, *out);
}

/* ---- the whole ---- */

sl_error *connector_put(const struct connectors *in, const char *name,
                        const struct json_value *config) {
    enum topology_kind was = TOPOLOGY_SINK;
    struct json_value *before = connector_find(in, name, &was);
    enum topology_kind kind = was;
    struct json_value *node = NULL;
    sl_error *error = check_own(name, config);
    error = error != NULL ? error : make_node(in, name, before, config, &kind, &node);
    if (error != NULL) {
        return error;
    }
    if (before != NULL && kind != was) {
        (void)json_remove(nodes_of(in, was), name);
    }
    struct json_value *nodes = json_want_object(in->arena, in->document, topology_kind_key(kind));
    if (nodes == NULL || nodes->kind != JSON_OBJECT) {
        return sl_error_no_memory();
    }
    json_set(in->arena, nodes, name, node);
    drop_own_source(in, name);
    return in->arena->failed ? sl_error_no_memory() : NULL;
}

sl_error *connector_remove(const struct connectors *in, const char *name) {
    enum topology_kind kind;
    if (connector_find(in, name, &kind) == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "Connector %s not found", name);
    }
    const char *reader = find_reader(in, name, NULL);
    if (reader != NULL) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s is read by %s: delete that first, or change what it reads", name,
                            reader);
    }
    (void)json_remove(nodes_of(in, kind), name);
    drop_own_source(in, name);
    return in->arena->failed ? sl_error_no_memory() : NULL;
}

static void add_text(const struct connectors *in, struct json_value *out, const char *key,
                     const char *text) {
    json_add(in->arena, out, key, json_new_string(in->arena, text));
}

/* "topics" where that says it all, else "inputs". */
static void add_inputs(const struct connectors *in, const struct json_value *node,
                       struct json_value *out) {
    const struct json_value *source = topics_source(in, node);
    const struct json_value *list = source != NULL
                                        ? json_member(json_member(source, "config"), "topics")
                                        : json_member(node, "inputs");
    if (list != NULL) {
        const char *text = flat_list(in->arena, list);
        add_text(in, out, source != NULL ? "topics" : "inputs", text == NULL ? "" : text);
    }
}

sl_error *connector_config(const struct connectors *in, const char *name, struct json_value **out) {
    enum topology_kind kind = TOPOLOGY_SINK;
    const struct json_value *node = connector_find(in, name, &kind);
    const char *class = node == NULL ? NULL : text_of(node, "plugin");
    const struct plugin *plugin = NULL;
    if (class == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "Connector %s not found", name);
    }
    sl_error *error = plugin_registry_get(in->registry, class, &plugin);
    *out = json_new(in->arena, JSON_OBJECT, node->place);
    if (error != NULL || *out == NULL) {
        return error != NULL ? error : sl_error_no_memory();
    }
    char lanes[16];
    (void)snprintf(lanes, sizeof(lanes), "%u", in->lanes);
    add_text(in, *out, "name", name);
    add_text(in, *out, "connector.class", class);
    add_text(in, *out, "tasks.max", lanes);
    if (kind != TOPOLOGY_SOURCE) {
        add_inputs(in, node, *out);
    }
    flat_from_node(in->arena, kind, table_of(plugin, kind), node, *out);
    return in->arena->failed ? sl_error_no_memory() : NULL;
}
