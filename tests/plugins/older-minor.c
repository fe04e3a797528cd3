/*
 * A plugin as an older minor of the ABI would have built it: its descriptor, its operations and its
 * options end earlier than today's. What it does not know must be NULL or 0 to the host. The
 * layouts here are copies of the beginnings of the SDK's structs, as such a build has them.
 */
#include "simple.h"

#include <stddef.h>

struct older_option { /* before `options` */
    const char *name;
    uint32_t type;
    uint32_t flags;
    size_t offset;
    const char *default_text;
    double min;
    double max;
    const char *const *enum_names;
};

struct older_node_ops { /* before `recover` */
    uint32_t struct_bytes;
    sl_error *(*open)(const sl_node_context *context, sl_node **out);
    sl_error *(*output_schema)(sl_node *node, uint32_t output, struct ArrowSchema *out);
};

struct older_plugin { /* before `section` */
    uint32_t abi_major;
    uint32_t abi_minor;
    uint32_t struct_bytes;
    uint32_t reserved;
    const char *name;
    const char *version;
    const char *summary;
    const char *licence;
    const sl_role *source;
    const sl_role *transform;
    const sl_role *sink;
};

struct config {
    int64_t first;
    int64_t second;
};

static const struct older_option options[] = {
    {.name = "first",
     .type = SL_OPTION_INTEGER,
     .flags = SL_OPTION_RANGE,
     .offset = offsetof(struct config, first),
     .default_text = "7",
     .min = 0,
     .max = 9},
    {.name = "second", .type = SL_OPTION_INTEGER, .offset = offsetof(struct config, second)},
    {.name = NULL}};

/* Such a plugin knows no close: nothing is allocated. */
static sl_error *open_the_only_one(const sl_node_context *context, sl_node **out) {
    static sl_node the_only_one;
    (void)context;
    *out = &the_only_one;
    return NULL;
}

static const struct older_node_ops node = {
    .struct_bytes = sizeof(node), .open = open_the_only_one, .output_schema = simple_output_schema};
static const sl_task_ops task = {SIMPLE_TASK};

static const sl_role sink = {.struct_bytes = sizeof(sl_role),
                             .guarantee = SL_AT_LEAST_ONCE,
                             .option_bytes = sizeof(struct older_option),
                             .options = (const sl_option *)(const void *)options,
                             .config_bytes = sizeof(struct config),
                             .min_inputs = 1,
                             .max_inputs = 1,
                             .node = (const sl_node_ops *)(const void *)&node,
                             .task = &task};

SL_PLUGIN_EXPORT const struct older_plugin sluice_plugin = {.abi_major = SL_ABI_MAJOR,
                                                            .struct_bytes = sizeof(sluice_plugin),
                                                            .name = "older-minor",
                                                            .version = "0.9.0",
                                                            .summary = "of an older minor",
                                                            .licence = "MIT",
                                                            .sink = &sink};
