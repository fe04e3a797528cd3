/*
 * gold-agg: the descriptor, the option table and the plan that the options make.
 */
#include "gold.h"

static const sl_option hopping_options[] = {
    {.name = "size",
     .type = SL_OPTION_DURATION,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct gold_hopping, size_us),
     .doc = "length of each window"},
    {.name = "every",
     .type = SL_OPTION_DURATION,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct gold_hopping, every_us),
     .doc = "distance between the beginnings of windows; at most size"},
    {.name = NULL},
};

static const sl_option window_options[] = {
    {.name = "tumbling",
     .type = SL_OPTION_DURATION,
     .offset = offsetof(struct gold_window, tumbling_us),
     .doc = "windows of this length, one after the other, aligned to 1970-01-01T00:00:00Z"},
    {.name = "hopping",
     .type = SL_OPTION_OBJECT,
     .offset = offsetof(struct gold_window, hopping),
     .options = hopping_options,
     .object_bytes = sizeof(struct gold_hopping),
     .doc = "overlapping windows"},
    {.name = "session",
     .type = SL_OPTION_DURATION,
     .offset = offsetof(struct gold_window, session_us),
     .doc = "windows of a group's rows that are less than this gap apart"},
    {.name = NULL},
};

static const char *const scopes[] = {"host", "group", NULL};

static const sl_option options[] = {
    {.name = "time",
     .type = SL_OPTION_STRING,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct gold_config, time),
     .doc = "column with the event time, a timestamp; dots lead into structs"},
    {.name = "window",
     .type = SL_OPTION_OBJECT,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct gold_config, window),
     .options = window_options,
     .object_bytes = sizeof(struct gold_window),
     .doc = "one of {\"tumbling\": \"10s\"}, {\"hopping\": {\"size\": \"1m\", \"every\": "
            "\"10s\"}}, {\"session\": \"5m\"}"},
    {.name = "lateness",
     .type = SL_OPTION_DURATION,
     .offset = offsetof(struct gold_config, lateness_us),
     .default_text = "0s",
     .doc = "how far a partition's watermark stays behind its largest event time"},
    {.name = "group_by",
     .type = SL_OPTION_LIST,
     .offset = offsetof(struct gold_config, group_by),
     .doc = "columns whose values make a group; a path a.b gives a column a_b"},
    {.name = "aggregates",
     .type = SL_OPTION_MAP,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct gold_config, aggregates),
     .doc = "columns of the result: count(), count(x), sum, avg, stddev, stddev_pop, min, max, "
            "count_distinct, quantile(x, 0.99), first, last"},
    {.name = "idle",
     .type = SL_OPTION_DURATION,
     .offset = offsetof(struct gold_config, idle_us),
     .default_text = "30s",
     .doc = "a partition at its end for this long no longer holds windows open; 0s: it always "
            "does"},
    {.name = "max_ahead",
     .type = SL_OPTION_DURATION,
     .offset = offsetof(struct gold_config, max_ahead_us),
     .default_text = "0s",
     .doc = "rows whose event time is more than this beyond their record_time are dropped and "
            "move no watermark; 0s: none are"},
    {.name = "record_time",
     .type = SL_OPTION_STRING,
     .offset = offsetof(struct gold_config, record_time),
     .doc = "column with the record's own (Kafka) timestamp, for max_ahead; without it "
            "_timestamp, then timestamp"},
    {.name = "updates",
     .type = SL_OPTION_BOOL,
     .offset = offsetof(struct gold_config, updates),
     .default_text = "true",
     .doc = "send the present rows of open windows at each commit (sessions: never)"},
    {.name = "outbox.max",
     .type = SL_OPTION_SIZE,
     .flags = SL_OPTION_RANGE | SL_OPTION_TUNING,
     .offset = offsetof(struct gold_config, outbox_max_bytes),
     .default_text = "256MiB",
     .min = 1048576,
     .max = 1e15,
     .doc = "results that wait for slow readers; beyond it no more is committed"},
    {.name = "keep",
     .type = SL_OPTION_DURATION,
     .flags = SL_OPTION_RANGE | SL_OPTION_TUNING,
     .offset = offsetof(struct gold_config, keep_us),
     .default_text = "1h",
     .min = 60e6,
     .max = 3.2e14,
     .doc = "how long entries of the state stay that are no longer needed"},
    {.name = "max_skew",
     .type = SL_OPTION_DURATION,
     .flags = SL_OPTION_TUNING,
     .offset = offsetof(struct gold_config, max_skew_us),
     .default_text = "0s",
     .doc = "partitions that are further ahead in event time than this wait for those behind; 0s: "
            "none does"},
    {.name = "scope",
     .type = SL_OPTION_ENUM,
     .offset = offsetof(struct gold_config, scope),
     .default_text = "host",
     .enum_names = scopes,
     .doc = "of several hosts: host: the one with all partitions aggregates, the others wait; "
            "group: each aggregates the partitions that it has, one merges"},
    {.name = NULL},
};

static const char *const outputs[] = {"", "late", NULL};

static const sl_role transform = {
    .struct_bytes = sizeof(sl_role),
    .flags =
        SL_ROLE_BLOCKING | SL_ROLE_DURABLE | SL_ROLE_OWNS_STREAMS | SL_ROLE_WHOLE | SL_ROLE_ASSIGNS,
    .guarantee = SL_EXACTLY_ONCE,
    .option_bytes = sizeof(sl_option),
    .options = options,
    .config_bytes = sizeof(struct gold_config),
    .outputs = outputs,
    .min_inputs = 1,
    .max_inputs = 1,
    .node = &gold_node_ops,
    .task = &gold_task_ops,
};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,
    .name = "gold-agg",
    .version = SL_VERSION,
    .summary = "aggregates over windows of event time: exact, mergeable, each result once",
    .licence = "MIT",
    .transform = &transform,
};
