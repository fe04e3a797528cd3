/* A sink without the operation that takes rows. */
#include "simple.h"

static const sl_node_ops node = {SIMPLE_NODE};
static const sl_task_ops task = {.struct_bytes = sizeof(sl_task_ops), .open = simple_task_open};
static const sl_role sink = {
    .struct_bytes = sizeof(sl_role), .max_inputs = 1, .node = &node, .task = &task};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {SL_PLUGIN_HEADER,   .name = "no-process",
                                                  .version = "1.0.0", .summary = "takes nothing",
                                                  .licence = "MIT",   .sink = &sink};
