/*
 * The effective topology: what the operator's JSON means after substitution, defaults, plugin
 * loading and strict checking. Read-only once loaded; the host, `validate` and the admin endpoint
 * read it.
 *
 * Loading reports all faults of a file in one run, each with file, line, JSON path, what was found,
 * what is allowed and the nearest right name.
 */
#ifndef TOPOLOGY_H
#define TOPOLOGY_H

#include "plugin/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "sluice/http.h"
#include "sluice/plugin.h"

enum topology_kind { TOPOLOGY_SOURCE, TOPOLOGY_TRANSFORM, TOPOLOGY_SINK };

enum topology_when_full {
    TOPOLOGY_BLOCK,
    TOPOLOGY_DETACH,
    TOPOLOGY_DROP_NEWEST,
    TOPOLOGY_DROP_OLDEST
};

#define TOPOLOGY_ADMIN_LISTEN "127.0.0.1:8083"

enum topology_auth {
    TOPOLOGY_AUTH_DEFAULT,
    TOPOLOGY_AUTH_NONE,
    TOPOLOGY_AUTH_SHARED_KEY,
    TOPOLOGY_AUTH_SAS,
    TOPOLOGY_AUTH_CLIENT_SECRET,
    TOPOLOGY_AUTH_WORKLOAD_IDENTITY,
    TOPOLOGY_AUTH_MANAGED_IDENTITY
};

/* An entry of "stores": how the URLs that begin with `url` are authorized. */
struct topology_store {
    const char *url;
    enum topology_auth auth;
    sl_credential_kind credential; /* of those that are tokens; else NONE */
    const char *key;
    const char *sas;
    sl_credential_options login;
};

/* The role that a plugin (NULL is allowed) has for a kind of node, or NULL. */
const sl_role *plugin_role(const struct plugin *plugin, enum topology_kind kind);

/* What a node does with a record that is at fault. */
enum topology_tolerance { TOPOLOGY_TOLERATE_NONE, TOPOLOGY_TOLERATE_ALL };

/* One input of a node: an edge of the graph. */
struct topology_edge {
    size_t from;      /* index of the node that emits */
    uint32_t output;  /* which of its outputs */
    size_t to;        /* index of the node that takes */
    uint32_t input;   /* which of its inputs */
    const char *name; /* as written: "events", "silver.rejects" */
    int64_t buffer_bytes;
    enum topology_when_full when_full;
};

/* Where a node begins to read a stream of which others have positions already, and it has none. */
enum topology_start {
    TOPOLOGY_START_SOURCE, /* where the source's own config says */
    TOPOLOGY_START_EARLIEST,
    TOPOLOGY_START_LATEST,
    TOPOLOGY_START_WITH_OTHERS /* at the smallest position of the others */
};

struct topology_node {
    const char *name;
    enum topology_kind kind;
    const struct plugin *plugin; /* runtime/plugin/registry.h */
    const sl_role *role;         /* the plugin's role for this kind (host's copy, full size) */
    const void *config;          /* parsed by role->options */
    const void *section;         /* parsed section of the plugin, or NULL */
    const char
        *config_json; /* effective config with secrets and substituted values masked, for display */
    const char *files_json; /* {OPTION: contents} of files that are configuration; NULL: not read */
    uint64_t hidden;        /* digest of the config's values that config_json does not show */
    const char *config_path; /* "$.sinks.bronze.config" */
    int line; /* of the config in the file, or of the node when it has none; 0: none */
    int column;
    int64_t commit_interval_us;
    int64_t restart_after_us; /* 0: it stays FAILED */
    uint32_t restart_attempts;
    enum topology_start start;
    enum topology_tolerance tolerance;
    bool errors_log;          /* each rejected record is logged, */
    bool errors_log_messages; /* with its key and value */
    struct topology_edge *inputs;
    size_t n_inputs;
};

struct topology {
    const char *file;      /* as given */
    const char *directory; /* absolute; relative paths start here */
    const char *text;      /* the document as it was read, before --set and references */
    size_t text_bytes;
    const char *settings_json; /* the document without its nodes and their defaults, for display */
    uint64_t settings_hidden;  /* digest of values that settings_json does not show */
    const char *pipeline;
    const char *state_url; /* NULL: none given (a fault when a node needs one) */
    uint32_t lanes;        /* 0: one per core */
    int64_t shutdown_timeout_us;
    int64_t retry_timeout_us;
    int64_t revoke_timeout_us;
    int64_t memory_max_bytes; /* 0: no bound */
    const char *admin_listen; /* "127.0.0.1:8083" */
    bool admin_enabled;
    bool admin_by_default; /* nothing was said about it */
    bool admin_insecure;
    const char *admin_users; /* file; NULL: nobody is asked who he is */
    const char *admin_tls_cert;
    const char *admin_tls_key;
    const char *admin_tls_client_ca; /* NULL: clients show no certificate */
    bool tap_enabled;                /* the endpoint may show rows, */
    sl_list tap_mask;                /* but not the values of what is called so */
    const char *http_ca_file;        /* of authorities' certificates; NULL: the system's */
    int64_t detach_after_us;         /* for so long a full edge holds back what it could leave */
    const struct topology_store *stores;
    size_t n_stores;
    struct topology_node *nodes; /* in topological order: every node after those that it reads */
    size_t n_nodes;
};

/* One fault. Borrowed from its list. */
struct topology_fault {
    int line;         /* from 1; 0: no place in the file */
    int column;       /* from 1, in characters */
    bool from_set;    /* the value was given by --set */
    bool warning;     /* the topology loads all the same */
    const char *path; /* JSON path, "$.sinks.bronze.config.table" */
    const char *text; /* what was found, what is allowed, the nearest right name */
};
struct topology_faults;

struct topology_options {
    const char *const *sets; /* "a.b.c=value" of --set */
    size_t n_sets;
    const char *const *plugin_paths; /* of --plugin-path, searched first */
    size_t n_plugin_paths;
};

/*
 * Loads a file. On success *out is the topology (topology_free), *faults holds only warnings. On
 * failure returns a CONFIG error that says how many faults there are, and *faults lists them
 * (topology_faults_free). The registry keeps the plugins loaded and must live longer than the
 * topology.
 */
sl_error *topology_load(const char *file, const struct topology_options *options,
                        struct plugin_registry *registry, struct topology **out,
                        struct topology_faults **faults);
/* The same from memory; `file` names it in faults, relative paths start at `directory`. */
sl_error *topology_load_text(const char *text, size_t bytes, const char *file,
                             const char *directory, const struct topology_options *options,
                             struct plugin_registry *registry, struct topology **out,
                             struct topology_faults **faults);
void topology_free(struct topology *topology);

size_t topology_faults_count(const struct topology_faults *faults);
const struct topology_fault *topology_faults_at(const struct topology_faults *faults, size_t i);
void topology_faults_free(struct topology_faults *faults);
/* Errors among them, warnings apart. */
size_t topology_faults_errors(const struct topology_faults *faults);

/*
 * Replaces every secret value (secret options, values that came from ${env:} and ${file:}) that
 * occurs in `text` by "***". Every line of output that may quote outside text passes through it.
 * Any thread, after loading.
 */
void topology_mask(const struct topology *topology, sl_buffer *text);
/* The same in faults that were added after loading. */
void topology_mask_faults(const struct topology *topology, struct topology_faults *faults);

#endif /* TOPOLOGY_H */
