/* A descriptor whose name is not the file's. */
#include "simple.h"

static const sl_node_ops node = {SIMPLE_NODE};
static const sl_task_ops task = {SIMPLE_TASK};
static const sl_role sink = {
    .struct_bytes = sizeof(sl_role), .max_inputs = 1, .node = &node, .task = &task};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {SL_PLUGIN_HEADER,   .name = "right-name",
                                                  .version = "1.0.0", .summary = "misnamed",
                                                  .licence = "MIT",   .sink = &sink};
