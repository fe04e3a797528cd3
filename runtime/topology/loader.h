/*
 * One load of a topology in progress, shared by the loader's parts: load.c (the order of things and
 * the top), set.c (--set), stores.c, nodes.c (nodes and sections), wiring.c (inputs, cycles,
 * order), compared.c (what a plan compares).
 */
#ifndef TOPOLOGY_LOADER_H
#define TOPOLOGY_LOADER_H

#include "topology/document.h"
#include "topology/faults.h"
#include "topology/keys.h"
#include "topology/options.h"
#include "topology/secrets.h"

#define TOPOLOGY_MAX_NODES 1000

/* The topology and what it owns; `topology` is what callers see. */
struct loaded_topology {
    struct topology topology; /* first */
    struct arena arena;
    struct secrets secrets;
    const struct json_value *root; /* the document, --set and references put in */
};

/* A node while it is loaded. */
struct draft {
    struct topology_node node; /* role and plugin are NULL when they are not there */
    const struct json_value *value;
    const char *path; /* "$.sinks.bronze" */
    struct node_keys keys;
    bool has_when_full;
    bool good_config;                /* no fault in it: the plugin may be asked about it */
    const struct json_value *inputs; /* the array; NULL: none that could be read */
    struct topology_edge *edges;     /* indexes are of loader.drafts */
    const struct json_value **edge_values;
    size_t n_edges;
    bool broken_inputs; /* some input has a fault already */
    size_t n_readers;
};

struct used_plugin {
    const char *name;
    const struct plugin *plugin; /* NULL: it cannot be loaded */
};

struct loader {
    struct loaded_topology *loaded;
    struct arena *arena;
    struct topology_faults *faults;
    struct plugin_registry *registry;
    const char *file;
    const char *directory;
    struct json_value *root;
    struct top_keys top;
    struct used_plugin *used; /* every plugin that a node names, each once */
    size_t n_used;
    struct draft *drafts;
    size_t n_drafts;
    struct claimed_location *claimed;
};

/* The context of options_parse for the node or part that `owner` names. */
struct option_context loader_context(struct loader *loader, const char *owner);
/* A plugin by name, NULL when it cannot be had; nothing is reported. */
const struct plugin *loader_plugin(struct loader *loader, const char *name);

/* set.c: applies those of --set that do (or do not) reach into a config or a section. */
void loader_apply_sets(struct loader *loader, const struct topology_options *options,
                       bool inside_plugins);
/* The plugin whose section of the topology is called `name`: one that a node uses, or else any on
 * the path; NULL. *used says which. */
const struct plugin *loader_section(struct loader *loader, const char *name, bool *used);

/* nodes.c: the drafts from the document, then the sections. False when memory is short. */
bool loader_read_nodes(struct loader *loader);
void loader_read_sections(struct loader *loader);

/* stores.c: the entries of "stores". */
void loader_read_stores(struct loader *loader);

/* wiring.c: edges of the drafts, cycles, counts; and the order, when there is no fault. */
void loader_wire(struct loader *loader);
bool loader_finish(struct loader *loader);

/* when_full.c: refuses a "when_full" that cannot hold for its input, once there is no other fault.
 */
void loader_check_edges(struct loader *loader);

/* compared.c: what a plan compares, once there is no fault. False when memory is short. */
bool loader_note_compared(struct loader *loader);

#endif /* TOPOLOGY_LOADER_H */
