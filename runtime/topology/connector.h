/*
 * A connector of Kafka Connect, a name with a flat config, as a node of a topology's document, and
 * back. Only the document is changed: whether it makes a topology, loading it says.
 *   connector.class  the plugin
 *   inputs           what the node reads: "events,silver.rejects", or a JSON array
 *   topics           instead of inputs: the topics of Kafka that it reads, through a source that
 *                    reads just them, which is found, or made as NODE-topics
 *   tasks.max        accepted, without effect: each node has a task on every lane, and how many
 *                    lanes there are is the topology's
 * and the node's keys and the plugin's options (flat.h).
 */
#ifndef TOPOLOGY_CONNECTOR_H
#define TOPOLOGY_CONNECTOR_H

#include "topology/document.h"
#include "topology/topology.h"

#define CONNECTOR_TASKS_ALLOWED "allowed is an integer from 1"

/* The document that is asked or changed, which is an object. Everything made lives in `arena`. */
struct connectors {
    struct arena *arena;
    struct plugin_registry *registry;
    struct json_value *document;
    uint32_t lanes; /* shown as tasks.max */
};

/* The node's object in the document and its kind; NULL: there is none. */
struct json_value *connector_find(const struct connectors *in, const char *name,
                                  enum topology_kind *kind);

/* The node's flat config on *out: all members are texts. Errors: CONFIG (its plugin), NO_MEMORY. */
sl_error *connector_config(const struct connectors *in, const char *name, struct json_value **out);

/* Adds a node, or replaces it. Errors: CONFIG (a sentence for who wrote the config), NO_MEMORY;
 * the document may then be half changed. */
sl_error *connector_put(const struct connectors *in, const char *name,
                        const struct json_value *config);
/* Takes the node out, and the source that was made for its topics when nothing else reads it.
 * Errors: CONFIG (others read it, or it is not there). */
sl_error *connector_remove(const struct connectors *in, const char *name);

/* What the config says as tasks.max on *tasks, 0: nothing; false when it is no integer from 1. */
bool connector_tasks(const struct json_value *config, int64_t *tasks);
/* Whether `key` belongs to the connector, and to no option of the plugin. */
bool connector_owns_key(const sl_option *table, const char *key);
/* Why a key of Kafka Connect's workers has no meaning here, and what has; NULL: nothing is known.
 */
const char *connector_foreign_key(const char *key);

#endif /* TOPOLOGY_CONNECTOR_H */
