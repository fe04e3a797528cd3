/* An option table that writes behind its config struct. */
#include "simple.h"

static const sl_option options[] = {
    {.name = "far", .type = SL_OPTION_INTEGER, .offset = 64, .doc = "outside"}, {.name = NULL}};

static const sl_node_ops node = {SIMPLE_NODE};
static const sl_task_ops task = {SIMPLE_TASK};
static const sl_role sink = {.struct_bytes = sizeof(sl_role),
                             .option_bytes = sizeof(sl_option),
                             .options = options,
                             .config_bytes = 8,
                             .max_inputs = 1,
                             .node = &node,
                             .task = &task};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {SL_PLUGIN_HEADER,   .name = "bad-table",
                                                  .version = "1.0.0", .summary = "has a bad table",
                                                  .licence = "MIT",   .sink = &sink};
