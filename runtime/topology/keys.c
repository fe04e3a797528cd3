/* The tables of the host's own keys (see keys.h). */
#include "topology/keys.h"

#define KIB 1024.0
#define TIB (1024.0 * 1024 * 1024 * 1024)
#define MS 1000.0
#define HOUR (3600.0 * 1000000)

const char *const topology_later_keys[] = {NULL};

const char *const topology_when_full_names[] = {[TOPOLOGY_BLOCK] = "block",
                                                [TOPOLOGY_DETACH] = "detach",
                                                [TOPOLOGY_DROP_NEWEST] = "drop_newest",
                                                [TOPOLOGY_DROP_OLDEST] = "drop_oldest",
                                                NULL};

/* Indexes are enum topology_tolerance's. */
static const char *const tolerance_names[] = {
    [TOPOLOGY_TOLERATE_NONE] = "none", [TOPOLOGY_TOLERATE_ALL] = "all", NULL};

#define DURATION_KEY(key, owner, field, default_value, lowest, highest, text)                      \
    {                                                                                              \
        .name = key, .type = SL_OPTION_DURATION, .flags = SL_OPTION_RANGE,                         \
        .offset = offsetof(owner, field), .default_text = default_value, .min = (lowest),          \
        .max = (highest), .doc = text                                                              \
    }
#define BUFFER_KEY(owner, default_value, text)                                                     \
    {                                                                                              \
        .name = "buffer", .type = SL_OPTION_SIZE, .flags = SL_OPTION_RANGE,                        \
        .offset = offsetof(owner, buffer_bytes), .default_text = default_value, .min = KIB,        \
        .max = TIB, .doc = text                                                                    \
    }
#define WHEN_FULL_KEY(owner, default_value)                                                        \
    {                                                                                              \
        .name = "when_full", .type = SL_OPTION_ENUM, .offset = offsetof(owner, when_full),         \
        .default_text = default_value, .enum_names = topology_when_full_names,                     \
        .doc = "what happens when an input's buffer is full"                                       \
    }
#define RESTART_KEYS(owner, default_attempts)                                                      \
    DURATION_KEY("restart.after", owner, restart_after_us, NULL, 100 * MS, HOUR,                   \
                 "a node that has failed is restarted after so long, then after twice that, and "  \
                 "so on; it stays failed when absent"),                                            \
    {                                                                                              \
        .name = "restart.attempts", .type = SL_OPTION_INTEGER, .flags = SL_OPTION_RANGE,           \
        .offset = offsetof(owner, restart_attempts), .default_text = default_attempts, .min = 1,   \
        .max = 1000000, .doc = "restarts in a row, after which it stays failed"                    \
    }
#define JSON_KEY(key, owner, field, flag, text)                                                    \
    {                                                                                              \
        .name = key, .type = SL_OPTION_JSON, .flags = (flag), .offset = offsetof(owner, field),    \
        .doc = text                                                                                \
    }

#define BOOL_KEY(key, owner, field, text)                                                          \
    { .name = key, .type = SL_OPTION_BOOL, .offset = offsetof(owner, field), .doc = text }
#define ERROR_KEYS(owner)                                                                          \
    {.name = TOPOLOGY_KEY_TOLERANCE,                                                               \
     .type = SL_OPTION_ENUM,                                                                       \
     .offset = offsetof(owner, errors.tolerance),                                                  \
     .enum_names = tolerance_names,                                                                \
     .doc = "a record at fault: all goes on, none stops the node; absent: all where the node "     \
            "is a transform with an output \"rejects\", else none"},                               \
        BOOL_KEY(TOPOLOGY_KEY_LOG, owner, errors.log, "each rejected record is logged"),           \
        BOOL_KEY(TOPOLOGY_KEY_LOG_MESSAGES, owner, errors.log_messages,                            \
                 "the log of a rejected record shows its key and value")

static const sl_option admin_keys[] = {
    {.name = "listen",
     .type = SL_OPTION_STRING,
     .offset = offsetof(struct admin_keys, listen),
     .default_text = TOPOLOGY_ADMIN_LISTEN,
     .doc = "address and port of the REST endpoint; port 0: a free one"},
    {.name = "enabled",
     .type = SL_OPTION_BOOL,
     .offset = offsetof(struct admin_keys, enabled),
     .default_text = "true",
     .doc = "whether there is one"},
    {.name = "users",
     .type = SL_OPTION_PATH,
     .offset = offsetof(struct admin_keys, users),
     .doc = "JSON file of users, with roles and hashes; absent: nobody is asked who he is"},
    {.name = "insecure",
     .type = SL_OPTION_BOOL,
     .offset = offsetof(struct admin_keys, insecure),
     .default_text = "false",
     .doc = "listens where others reach it, though nobody is asked who he is"},
    {.name = "tls.cert",
     .type = SL_OPTION_PATH,
     .offset = offsetof(struct admin_keys, tls_cert),
     .doc = "PEM file of the certificate and its chain; with tls.key the endpoint speaks HTTPS"},
    {.name = "tls.key",
     .type = SL_OPTION_PATH,
     .offset = offsetof(struct admin_keys, tls_key),
     .doc = "PEM file of the certificate's key"},
    {.name = "tls.client_ca",
     .type = SL_OPTION_PATH,
     .offset = offsetof(struct admin_keys, tls_client_ca),
     .doc =
         "PEM file of the authorities that sign clients' certificates; a client has to show one"},
    {.name = NULL},
};

static const sl_option tap_keys[] = {
    {.name = "enabled",
     .type = SL_OPTION_BOOL,
     .offset = offsetof(struct tap_keys, enabled),
     .default_text = "true",
     .doc = "whether the REST endpoint shows rows"},
    {.name = "mask",
     .type = SL_OPTION_LIST,
     .offset = offsetof(struct tap_keys, mask),
     .doc = "names of columns, fields and JSON members whose values it does not show"},
    {.name = NULL},
};

const sl_option topology_top_keys[] = {
    {.name = "$schema",
     .type = SL_OPTION_STRING,
     .offset = offsetof(struct top_keys, schema),
     .doc = "where an editor finds what `sluice inspect --topology-schema` printed"},
    {.name = "pipeline",
     .type = SL_OPTION_STRING,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct top_keys, pipeline),
     .doc = "name of the pipeline; durable positions are kept under it"},
    {.name = "state",
     .type = SL_OPTION_LOCATION,
     .offset = offsetof(struct top_keys, state),
     .doc = "folder or store that keeps the state of nodes and the positions of sinks"},
    {.name = "lanes",
     .type = SL_OPTION_INTEGER,
     .flags = SL_OPTION_RANGE,
     .offset = offsetof(struct top_keys, lanes),
     .min = 1,
     .max = 256,
     .doc = "threads that move data; one per core when absent"},
    {.name = "plugin.path",
     .type = SL_OPTION_LIST,
     .offset = offsetof(struct top_keys, plugin_path),
     .doc = "folders with plugins, searched before those that sluice was installed with"},
    DURATION_KEY("shutdown.timeout", struct top_keys, shutdown_timeout_us, "30s", 0, 24 * HOUR,
                 "time for a clean stop"),
    DURATION_KEY("retry.timeout", struct top_keys, retry_timeout_us, "5m", 0, 24 * HOUR,
                 "how long a retriable error is tried again before the node fails"),
    DURATION_KEY("revoke.timeout", struct top_keys, revoke_timeout_us, "10s", 0, HOUR,
                 "time to flush what a partition that is taken away still has in flight"),
    RESTART_KEYS(struct top_keys, "10"),
    {.name = "memory.max",
     .type = SL_OPTION_SIZE,
     .flags = SL_OPTION_RANGE,
     .offset = offsetof(struct top_keys, memory_max_bytes),
     .min = KIB * KIB,
     .max = 64 * TIB,
     .doc = "memory in batches above which sources stop reading; no bound when absent"},
    DURATION_KEY("commit.interval", struct top_keys, commit_interval_us, "1s", 10 * MS, HOUR,
                 "time between commits of a sink or a stateful transform"),
    BUFFER_KEY(struct top_keys, "32MiB", "bound of the memory that waits on one input"),
    WHEN_FULL_KEY(struct top_keys, "block"),
    {.name = "admin",
     .type = SL_OPTION_OBJECT,
     .offset = offsetof(struct top_keys, admin),
     .options = admin_keys,
     .object_bytes = sizeof(struct admin_keys),
     .doc = "the REST endpoint"},
    {.name = "tap",
     .type = SL_OPTION_OBJECT,
     .offset = offsetof(struct top_keys, tap),
     .options = tap_keys,
     .object_bytes = sizeof(struct tap_keys),
     .doc = "the look at rows that the REST endpoint allows; absent: it allows it, unless "
            "admin.insecure is true"},
    {.name = "http.ca",
     .type = SL_OPTION_PATH,
     .offset = offsetof(struct top_keys, http_ca_file),
     .doc = "file with the certificates of authorities that https:// trusts; the system's when "
            "absent"},
    JSON_KEY("stores", struct top_keys, stores, 0,
             "how remote locations are authorized, an object by the beginning of their URLs"),
    ERROR_KEYS(struct top_keys),
    JSON_KEY("sources", struct top_keys, sources, SL_OPTION_REQUIRED, "an object of named sources"),
    JSON_KEY("transforms", struct top_keys, transforms, 0, "an object of named transforms"),
    JSON_KEY("sinks", struct top_keys, sinks, SL_OPTION_REQUIRED, "an object of named sinks"),
    {.name = NULL},
};

#define PLUGIN_KEY                                                                                 \
    {                                                                                              \
        .name = "plugin", .type = SL_OPTION_STRING, .flags = SL_OPTION_REQUIRED,                   \
        .offset = offsetof(struct node_keys, plugin), .doc = "name of the plugin"                  \
    }
#define CONFIG_KEY                                                                                 \
    JSON_KEY("config", struct node_keys, config, 0, "an object with the plugin's options")

static const sl_option source_keys[] = {
    PLUGIN_KEY, CONFIG_KEY, RESTART_KEYS(struct node_keys, NULL), {.name = NULL}};

/* Indexes are enum topology_start's, less the one that has no name. */
static const char *const start_names[] = {[TOPOLOGY_START_EARLIEST - 1] = "earliest",
                                          [TOPOLOGY_START_LATEST - 1] = "latest",
                                          [TOPOLOGY_START_WITH_OTHERS - 1] = "with_others",
                                          NULL};

static const sl_option reader_keys[] = {
    PLUGIN_KEY,
    JSON_KEY("inputs", struct node_keys, inputs, SL_OPTION_REQUIRED,
             "an array of the nodes that it reads: [\"events\", \"silver.rejects\"]"),
    CONFIG_KEY,
    DURATION_KEY("commit.interval", struct node_keys, commit_interval_us, NULL, 10 * MS, HOUR,
                 "time between commits of this node"),
    BUFFER_KEY(struct node_keys, NULL, "bound of the memory that waits on each of its inputs"),
    WHEN_FULL_KEY(struct node_keys, NULL),
    RESTART_KEYS(struct node_keys, NULL),
    {.name = "start",
     .type = SL_OPTION_ENUM,
     .offset = offsetof(struct node_keys, start),
     .enum_names = start_names,
     .doc = "where it begins to read what others read already and it does not; absent: where the "
            "source's own start says"},
    ERROR_KEYS(struct node_keys),
    {.name = NULL},
};

const sl_option topology_input_keys[] = {
    {.name = "from",
     .type = SL_OPTION_STRING,
     .flags = SL_OPTION_REQUIRED,
     .offset = offsetof(struct input_keys, from),
     .doc = "the node, or node.output, that is read"},
    BUFFER_KEY(struct input_keys, NULL, "bound of the memory that waits on this input"),
    WHEN_FULL_KEY(struct input_keys, NULL),
    {.name = NULL},
};

const sl_option *topology_node_keys(enum topology_kind kind) {
    return kind == TOPOLOGY_SOURCE ? source_keys : reader_keys;
}

const char *topology_kind_name(enum topology_kind kind) {
    static const char *const names[] = {"source", "transform", "sink"};
    return names[kind];
}

const char *topology_kind_key(enum topology_kind kind) {
    static const char *const keys[] = {"sources", "transforms", "sinks"};
    return keys[kind];
}
