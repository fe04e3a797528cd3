/* The JSON Schema of topologies, for editors. */
#ifndef CLI_TOPOLOGY_SCHEMA_H
#define CLI_TOPOLOGY_SCHEMA_H

#include "plugin/registry.h"

/* Prints the schema for all plugins of the registry that load; an exit code. */
int topology_schema_print(struct plugin_registry *registry);

#endif /* CLI_TOPOLOGY_SCHEMA_H */
