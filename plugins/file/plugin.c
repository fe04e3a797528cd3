/*
 * file: lines of JSON in local files, as a source (patterns, following) and as a sink (rotation).
 * This file is the descriptor and the option tables.
 */
#include "file.h"

#define SOURCE(member) .offset = offsetof(struct file_source_config, member)
#define SINK(member) .offset = offsetof(struct file_sink_config, member)
#define RANGE(low, high) .flags = SL_OPTION_RANGE, .min = (low), .max = (high)

static const char *const RAW[] = {"value", "record", NULL};

static const sl_option SOURCE_OPTIONS[] = {
    {.name = "path",
     .type = SL_OPTION_PATH,
     SOURCE(path),
     .flags = SL_OPTION_REQUIRED | SL_OPTION_TUNING, /* a stream is one file */
     .doc = "file, or pattern with *, ? and [] (glob(7)); each file is a stream"},
    {.name = "scan",
     .type = SL_OPTION_DURATION,
     SOURCE(scan_us),
     .default_text = "1s",
     .flags = SL_OPTION_RANGE | SL_OPTION_TUNING,
     .min = 1e4,
     .max = 3.6e9,
     .doc = "how often new files and new lines are looked for"},
    {.name = "max_line",
     .type = SL_OPTION_SIZE,
     SOURCE(max_line_bytes),
     .default_text = "64MiB",
     RANGE(1024, 1e9),
     .doc = "a longer line stops the node"},
    {.name = NULL},
};

static const sl_option SINK_OPTIONS[] = {
    {.name = "path",
     .type = SL_OPTION_PATH,
     SINK(path),
     .flags = SL_OPTION_REQUIRED,
     .doc = "file that lines are appended to; its folder is made when it is missing"},
    {.name = "rotate_size",
     .type = SL_OPTION_SIZE,
     SINK(rotate_bytes),
     .default_text = "0",
     RANGE(0, 1e15),
     .doc = "a file that has reached this is put aside; 0: never"},
    {.name = "rotate_interval",
     .type = SL_OPTION_DURATION,
     SINK(rotate_us),
     .default_text = "0s",
     RANGE(0, 1e15),
     .doc = "a file that is this old is put aside; 0: never"},
    {.name = "raw",
     .type = SL_OPTION_ENUM,
     SINK(raw),
     .default_text = "value",
     .enum_names = RAW,
     .doc = "of raw records write the value as it is, or the whole record as an object"},
    {.name = NULL},
};

static const sl_role SOURCE_ROLE = {
    .struct_bytes = sizeof(sl_role),
    .guarantee = SL_EXACTLY_ONCE,
    .option_bytes = sizeof(sl_option),
    .options = SOURCE_OPTIONS,
    .config_bytes = sizeof(struct file_source_config),
    .node = &file_source_node_ops,
    .task = &file_source_task_ops,
};

static const sl_role SINK_ROLE = {
    .struct_bytes = sizeof(sl_role),
    .flags = SL_ROLE_TAKES_ALL,
    .guarantee = SL_AT_LEAST_ONCE,
    .option_bytes = sizeof(sl_option),
    .options = SINK_OPTIONS,
    .config_bytes = sizeof(struct file_sink_config),
    .min_inputs = 1,
    .max_inputs = 64,
    .node = &file_sink_node_ops,
    .task = &file_sink_task_ops,
};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,      .name = "file",
    .version = SL_VERSION, .summary = "lines of JSON in local files",
    .licence = "MIT",      .source = &SOURCE_ROLE,
    .sink = &SINK_ROLE,
};
