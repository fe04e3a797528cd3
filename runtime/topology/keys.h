/*
 * The keys of the topology that are the host's own, as option tables: what stands at the top, at a
 * node, and at an input written as an object.
 */
#ifndef TOPOLOGY_KEYS_H
#define TOPOLOGY_KEYS_H

#include "topology/topology.h"

#include "sluice/option.h"

/* Where the keys are absent the top's hold; see nodes.c. */
struct error_keys {
    int32_t tolerance;
    int32_t log;
    int32_t log_messages;
};

/* "admin" */
struct admin_keys {
    const char *listen;
    int32_t enabled;
    const char *users;
    int32_t insecure;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_client_ca;
};

/* "tap" */
struct tap_keys {
    int32_t enabled;
    sl_list mask;
};

struct top_keys {
    const char *schema; /* for editors; nothing here reads it */
    const char *pipeline;
    const char *state;
    int64_t lanes;
    sl_list plugin_path;
    int64_t shutdown_timeout_us;
    int64_t retry_timeout_us;
    int64_t revoke_timeout_us;
    int64_t restart_after_us;
    int64_t restart_attempts;
    int64_t memory_max_bytes;
    int64_t commit_interval_us;
    int64_t buffer_bytes;
    int32_t when_full;
    const char *http_ca_file;
    const struct admin_keys *admin;
    const struct tap_keys *tap;
    struct error_keys errors;
    /* what the loader reads from the document itself */
    const char *stores;
    const char *sources;
    const char *transforms;
    const char *sinks;
};
extern const sl_option topology_top_keys[];

/* Numbers are 0 and when_full TOPOLOGY_BLOCK where the key is absent. */
struct node_keys {
    const char *plugin;
    const char *inputs;
    const char *config;
    int64_t commit_interval_us;
    int64_t buffer_bytes;
    int32_t when_full;
    int64_t restart_after_us;
    int64_t restart_attempts;
    int32_t start;
    struct error_keys errors;
};
#define TOPOLOGY_KEY_TOLERANCE "errors.tolerance"
#define TOPOLOGY_KEY_LOG "errors.log.enable"
#define TOPOLOGY_KEY_LOG_MESSAGES "errors.log.include.messages"
/* By kind: a source has neither inputs nor what belongs to them. */
const sl_option *topology_node_keys(enum topology_kind kind);

struct input_keys {
    const char *from;
    int64_t buffer_bytes;
    int32_t when_full;
};
extern const sl_option topology_input_keys[];

/* "source", "transform", "sink"; "sources", ... */
const char *topology_kind_name(enum topology_kind kind);
const char *topology_kind_key(enum topology_kind kind);
/* Keys with a meaning to come, which this version refuses by name. NULL-ended. */
extern const char *const topology_later_keys[];
/* By enum topology_when_full. NULL-ended. */
extern const char *const topology_when_full_names[];

#endif /* TOPOLOGY_KEYS_H */
