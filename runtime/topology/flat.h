/*
 * Flat configs, as Kafka Connect has them: an object of texts with dotted names, for a node's keys
 * and its plugin's options. Both ways, and what comes back means the same:
 *   an option's members are OPTION.MEMBER; a list is "a,b", or a JSON array where that would not
 *   do; anything else that is no text stands as its JSON; a key of the node that the plugin has an
 *   option for, too, is written node.KEY.
 */
#ifndef TOPOLOGY_FLAT_H
#define TOPOLOGY_FLAT_H

#include "topology/document.h"
#include "topology/topology.h"

#include "sluice/option.h"

/* The option that a name of a flat config is for, or one above it; NULL: the table has none. */
const sl_option *flat_option(const sl_option *table, const char *key);
/* One member of a flat config into `object` (a plugin's config), by `table` (NULL: no options). */
void flat_put(struct arena *arena, const sl_option *table, struct json_value *object,
              const struct json_value *member);
/* The node's own key that a name of a flat config is for; NULL: it is for the plugin. */
const sl_option *flat_node_key(enum topology_kind kind, const sl_option *table, const char *key);

/* A value as its option's type has it, where it is a text that can be read so; else the value. */
const struct json_value *flat_convert(struct arena *arena, const sl_option *option,
                                      const struct json_value *value);

/* A list as a flat config has it; NULL when memory is short. */
const char *flat_list(struct arena *arena, const struct json_value *list);

/* Appends what the node's object in a document says, but for its plugin and inputs, to the flat
 * object `out`. */
void flat_from_node(struct arena *arena, enum topology_kind kind, const sl_option *table,
                    const struct json_value *node, struct json_value *out);

#endif /* TOPOLOGY_FLAT_H */
