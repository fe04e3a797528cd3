/* A transform that owns streams (it cannot do without "state"), and a sink that keeps no positions.
 */
#include "simple.h"

static const sl_node_ops node = {SIMPLE_NODE};
static const sl_task_ops task = {SIMPLE_TASK};

static const char *const outputs[] = {"", "late", NULL};

static const sl_role transform = {.struct_bytes = sizeof(sl_role),
                                  .flags = SL_ROLE_DURABLE | SL_ROLE_OWNS_STREAMS,
                                  .guarantee = SL_EXACTLY_ONCE,
                                  .outputs = outputs,
                                  .min_inputs = 1,
                                  .max_inputs = UINT32_MAX,
                                  .node = &node,
                                  .task = &task};
static const sl_role sink = {.struct_bytes = sizeof(sl_role),
                             .guarantee = SL_AT_LEAST_ONCE,
                             .min_inputs = 1,
                             .max_inputs = UINT32_MAX,
                             .node = &node,
                             .task = &task};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,   .name = "stateful",
    .version = "1.0.0", .summary = "has state, or keeps none",
    .licence = "MIT",   .transform = &transform,
    .sink = &sink};
