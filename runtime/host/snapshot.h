/*
 * A snapshot: the numbers of a run at one moment, as the command line, the summary and (later) the
 * admin endpoint show them. Plain data, made on the control loop from counters that the lanes
 * write; valid for the length of the callback that gets it.
 */
#ifndef HOST_SNAPSHOT_H
#define HOST_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

enum host_node_state {
    HOST_NODE_STARTING,
    HOST_NODE_RUNNING,
    HOST_NODE_WAITING, /* for streams of its sources that are with other hosts */
    HOST_NODE_DRAINED, /* all its input has ended and is committed */
    HOST_NODE_FAILED,
    HOST_NODE_RESTARTING, /* it had failed, or was told to */
    HOST_NODE_PAUSED,     /* by order; open, with nothing to do */
    HOST_NODE_STOPPED     /* by order; closed */
};

struct snapshot_output {
    const char *name; /* "" for the first */
    int64_t rows;
    double rows_per_s; /* over the last seconds */
    int64_t batches;
    int64_t memory_bytes; /* of the columns, uncompressed */
};

struct snapshot_dropped {
    const char *reason;
    int64_t rows;
};

/* A counter or gauge that the plugin keeps, summed over the node and its tasks. */
struct snapshot_metric {
    const char *name;
    const char *help;
    int is_gauge;
    int64_t value;
};

/* A stream of a source that is here. */
struct snapshot_partition {
    const char *topic;
    int32_t partition;
    int64_t next_offset;    /* to be read */
    int64_t log_end_offset; /* behind the last record that there is; -1: the source does not say */
    int64_t lag;            /* records between the two, at most; -1: not known */
};

struct snapshot_input {
    const char *name;
    int64_t rows;               /* taken */
    double rows_per_s;          /* over the last seconds */
    int64_t batches;            /* in which they came */
    int64_t bytes;              /* of their columns, uncompressed */
    int64_t replayed_rows;      /* withheld because the node had them already */
    int64_t dropped_rows;       /* by when_full */
    int64_t buffer_bytes;       /* waiting and held, all lanes */
    int64_t buffer_limit_bytes; /* of one lane */
    int64_t waiting_rows;
    int64_t oldest_us; /* age of the oldest row that waits or is held and not flushed; -1: none */
    int64_t full_us;   /* how long it has been full in all, on the lane where that was longest */
    int is_full;       /* at present, on some lane */
    int64_t detached;  /* streams that have left it behind at present */
    int64_t detached_times; /* since the run began */
    int64_t behind;         /* offsets between those streams and what the input got, in all */
    const char *const *holds_back; /* sources, and nodes that own streams, that wait because it is
                                      full */
    size_t n_holds_back;
};

struct snapshot_node {
    const char *name;
    const char *plugin;
    int kind; /* enum topology_kind */
    enum host_node_state state;
    const char *failure; /* message; NULL */
    const struct snapshot_input *inputs;
    size_t n_inputs;
    const struct snapshot_output *outputs;
    size_t n_outputs;
    const struct snapshot_dropped *dropped;
    size_t n_dropped;
    const struct snapshot_dropped *rejected; /* rows, by the plugin's reason */
    size_t n_rejected;
    const struct snapshot_metric *metrics;
    size_t n_metrics;
    const struct snapshot_partition *partitions; /* of a source */
    size_t n_partitions;
    int64_t lag;      /* of a source: of all its partitions whose lag is known; -1: of none */
    int64_t streams;  /* that it owns and that are assigned */
    int64_t restarts; /* that have succeeded */
    int64_t commits;
    int64_t commit_retries;
    /* From the moment a record was read by sluice to the moment its commit was durable; -1: nothing
     * committed. */
    int64_t latency_p50_us;
    int64_t latency_p99_us;
    int64_t latency_max_us;
    /* The same from the record's own timestamp on: rows by cycle_latency_bound_us, LATENCY_BUCKETS
     * of them, and the sum of their times. Borrowed. */
    const int64_t *durable_rows;
    double durable_sum_s;
    int64_t process_retries;
    int64_t failures;
    int64_t age_us; /* of a source: how old the records of its last batches were when read; -1: not
                       known */
    int64_t cpu_us; /* time spent inside the plugin's task operations, all lanes */
};

/* What a reader of a source's stream has made durable, since the pipeline began. Of `records` of
 * the source, `rows` reached it, `dropped` left on no output, the others left on other outputs. */
struct snapshot_count {
    const char *node;
    const char *input;
    int64_t next_offset; /* up to here; -1: nothing yet */
    int64_t lag;         /* records of the source behind that, at most; -1: not known */
    int64_t records;
    int64_t rows;
    int64_t dropped;
};

/* A stream of a source that is here, and the readers whose counts are kept. */
struct snapshot_account {
    const char *source;
    const char *topic;
    int32_t partition;
    int64_t read; /* records since the pipeline began; what a reader lacks of them is in flight */
    const struct snapshot_count *counts;
    size_t n_counts;
};

/* Requests to one host that were answered by one status. */
struct snapshot_http {
    const char *host;
    int status; /* 0: no answer came */
    int64_t attempts;
    int64_t us; /* that they took in all */
};

struct host_snapshot {
    int64_t elapsed_us; /* since the run began */
    int64_t cpu_user_us;
    int64_t cpu_system_us;
    int64_t rss_bytes;
    int64_t peak_rss_bytes;
    int64_t path_bytes; /* memory of batches on the data path and held by tasks; what memory.max
                           bounds */
    uint32_t lanes;
    int64_t control_lag_us;      /* how late the control loop was with what it had to do */
    const int64_t *lane_lags_us; /* by lane */
    int64_t disk_free_bytes;     /* where the state is; -1: not known, or not on a local disk */
    int64_t disk_bytes;
    int until_end;
    int draining;
    const struct snapshot_node *nodes; /* in the topology's order */
    size_t n_nodes;
    const struct snapshot_account *accounts;
    size_t n_accounts;
    const struct snapshot_http *http;
    size_t n_http;
};

#endif /* HOST_SNAPSHOT_H */
