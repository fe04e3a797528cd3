/*
 * The running host, as its own parts see it: the graph, the lanes, the end of a run, and small
 * services that all parts need.
 */
#ifndef HOST_RUN_H
#define HOST_RUN_H

#include "host/events.h"
#include "host/object.h"
#include "host/rates.h"
#include "host/vitals.h"
#include "host/watchdog.h"
#include "lane/lane.h"

/* A run ends before it has had more nodes than this, those that reloads replaced among them. */
enum { HOST_NODES_MAX = 8192 };

/* A topology that followed the first one, and the graph of what was opened for it. */
struct reloaded {
    struct reloaded *next; /* the one before */
    struct topology *topology;
    struct graph *graph;
};

struct host {
    const struct topology *topology; /* that runs. Control loop */
    const struct topology *settings; /* the first one: all but nodes is from it. Any thread */
    const struct host_options *options;
    struct loop control;
    struct lane *lanes;
    uint32_t n_lanes;
    struct graph *graph;
    struct network *network; /* the way out: stores and HTTP; options->network, or its own */
    struct admin *admin;     /* the REST endpoint; NULL: none */
    struct tap *taps;
    struct events *events; /* the log's last lines */
    struct vitals vitals;
    struct rate_times rate_times;
    struct host_node **nodes; /* those of `topology`, in its order. Control loop */
    size_t n_nodes;
    struct host_node **all; /* that were ever made, HOST_NODES_MAX at most */
    size_t n_made;          /* of them. Control loop */
    _Atomic size_t n_all;   /* published to the lanes: those before it stay as they are */
    size_t n_edges;         /* of all nodes */
    size_t n_outputs;
    struct stream **streams; /* those that are here or may come back, and what has just gone */
    size_t n_streams;
    size_t capacity_streams;
    struct stream *gone;       /* the others, as long as somebody may refer to them */
    uint32_t n_stream_indexes; /* given to streams and feeds, of which some are free again */
    uint32_t *free_indexes;
    size_t n_free_indexes;
    size_t capacity_free_indexes;
    uint32_t n_epochs; /* given to streams */
    struct loop_message gone_message;
    bool looks_at_gone;             /* it is on its way */
    struct assignment *assignments; /* waiting for the nodes to start, or under way */
    struct assignment *unheard;     /* were under way: nodes have still to answer */
    bool started;                   /* every node has started, or failed to */
    uv_work_t begin_work;           /* options->begin */
    bool has_begun;                 /* options->began was called */
    bool draining;                  /* reading has stopped for good */
    bool finished;
    bool signalled; /* once; the second signal ends at once */
    struct loop_message end_message;
    unsigned outstanding; /* of the step under way: starts, opens, closes */
    sl_error *error;      /* the first failure */
    uv_signal_t sigterm;
    uv_signal_t sigint;
    struct watchdog shutdown; /* of a stop: until all is closed */
    uv_timer_t deadline;      /* of the revocation under way */
    uv_timer_t starting;      /* patience with the nodes' starts */
    uv_timer_t patience;      /* with the calls of the assignment under way */
    uv_timer_t progress;
    uv_work_t store_work; /* options->targets */
    bool storing;
    sl_error *store_error;
    int64_t started_us;
    struct reload *reload;              /* under way; NULL: none */
    _Atomic(struct reloaded *) reloads; /* the newest first */
    bool uneven;                        /* a reload or a restart was cut short by the run's end */
    struct later *laters;               /* what waits to be tried again */
    _Atomic int64_t memory_bytes;       /* of batches, and held by tasks */
};

const struct topology *host_topology(const struct host *host);
const sl_services *host_services(void);

/* How many there are in host->all. Any thread. */
static inline size_t host_count_all(const struct host *host) {
    return atomic_load_explicit(&host->n_all, memory_order_acquire);
}

/* How the plugins' nodes are opened. */
struct graph_options host_graph_options(struct host *host);

/* Any thread. */
void host_log(struct host *host, sl_log_level level, const char *node, const char *format, ...)
    SL_PRINTF(4, 5);

/* Counts memory that the data path holds, or gives back (negative). Any thread. */
static inline void host_charge(struct host *host, int64_t bytes) {
    atomic_fetch_add_explicit(&host->memory_bytes, bytes, memory_order_relaxed);
}

/*
 * Whether a failed step of the control loop is to be tried again: it may be, and the run does not
 * end. Then the error is logged as a warning and freed, and again(arg) runs after a pause;
 * otherwise the error stays the caller's. Control loop.
 */
bool host_try_again(struct host *host, struct retry *retry, const char *node, const char *step,
                    sl_error *error, void (*again)(void *arg), void *arg);

/* Runs run(arg) on the control loop after a pause, or when host_hurry is called. False without
 * memory. Control loop. */
bool host_later(struct host *host, uint64_t delay_ms, void (*run)(void *arg), void *arg);
/* What waits for its next try has it now. Control loop. */
void host_hurry(struct host *host);
/* Nothing is tried again any more. */
void host_forget_laters(struct host *host);

/* services->done */
void host_done(sl_request *request, sl_error *error);

/* Calls the node's start on its loop; `finish` hears of it. Control loop. */
void host_start_node(struct host_node *node, void (*finish)(sl_request *request, sl_error *error));
/* Lanes drop what waits before nodes that have failed, and poll what these held back. */
void host_release_lanes(struct host *host);

/* The node stops with this error (taken); the others go on. Any thread. */
void host_node_failed(struct host_node *node, sl_error *error);

/* Something has ended: sees what else has ended by it, up to the whole run. Control loop. */
void host_advance(struct host *host);
/* The inputs of a task have run empty while its node drains. On the lane. */
void host_task_empty(struct lane_task *task);
/* Stop reading, drain, commit, end. Control loop. */
void host_drain(struct host *host);
/* What flows to the node is to be read again, though it may have come to its end: all that is
 * drained, or being drained, from the owners of those streams on is open again until the end comes
 * once more. Nothing in a run that is told to end. Control loop. */
void host_reopen(struct host_node *reader);

#endif /* HOST_RUN_H */
