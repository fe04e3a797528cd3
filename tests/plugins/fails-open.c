/* A sink whose open always fails, and quotes what it was given. */
#include "simple.h"

struct config {
    const char *text;
};

static const sl_option options[] = {{.name = "text",
                                     .type = SL_OPTION_STRING,
                                     .offset = offsetof(struct config, text),
                                     .default_text = "nothing",
                                     .doc = "what it complains about"},
                                    {.name = NULL}};

static sl_error *open(const sl_node_context *context, sl_node **out) {
    (void)out;
    const struct config *config = context->config;
    return sl_error_new(SL_ERROR_CONFIG, "\"%s\" is not what this sink wants", config->text);
}

static const sl_node_ops node = {.struct_bytes = sizeof(sl_node_ops), .open = open};
static const sl_task_ops task = {SIMPLE_TASK};

static const sl_role sink = {.struct_bytes = sizeof(sl_role),
                             .guarantee = SL_AT_MOST_ONCE,
                             .option_bytes = sizeof(sl_option),
                             .options = options,
                             .config_bytes = sizeof(struct config),
                             .min_inputs = 1,
                             .max_inputs = 1,
                             .node = &node,
                             .task = &task};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {SL_PLUGIN_HEADER,   .name = "fails-open",
                                                  .version = "1.0.0", .summary = "never opens",
                                                  .licence = "MIT",   .sink = &sink};
