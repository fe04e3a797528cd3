/*
 * Objects: the host's side of one node or one task, and what they are made of. The structs of the
 * running graph are here because the lanes, the delivery and the services all work on them; who may
 * touch which field is said beside it.
 */
#ifndef HOST_OBJECT_H
#define HOST_OBJECT_H

#include "host/host.h"
#include "host/loop.h"
#include "host/retry.h"
#include "host/targets.h"
#include "topology/graph.h"

#include <stdatomic.h>
#include <stdbool.h>

struct host;
struct host_node;
struct lane;
struct lane_task;
struct stream;
struct reader;
struct place;
struct batch;
struct rejects;

enum object_kind { OBJECT_NODE, OBJECT_TASK };

/* A plugin's own counter or gauge. One writer; read by the control loop. */
struct sl_metric {
    struct sl_metric *next;
    sl_metric_kind kind;
    char *name;
    char *help;
    _Atomic int64_t value;
};

struct sl_object {
    enum object_kind kind;
    struct host *host;
    struct host_node *node;
    struct loop *loop;
    _Atomic(struct sl_metric *) metrics; /* newest first; grows only */
    _Atomic int64_t cpu_us;              /* spent in the plugin's code */
    /* the object's loop */
    unsigned works;                 /* jobs on pool threads that have not come back */
    struct loop_message *when_idle; /* waits for them */
    void (*idle_run)(void *arg);
    void *idle_arg;
};

/*
 * A request that a plugin ends with services->done. `finish` then runs on `home` with the error
 * (moved). The message also carries the call itself to the plugin's loop: the two journeys never
 * overlap.
 */
struct sl_request {
    struct loop_message message;
    struct loop *home;
    void (*finish)(sl_request *request, sl_error *error);
    sl_error *error;
};

/* Where an output goes. */
struct route {
    struct host_node *to;
    uint32_t input;
    size_t edge; /* lane_edge.index */
};

struct dropped_rows {
    const char *_Atomic reason; /* static in the plugin */
    _Atomic int64_t rows;
};
enum { DROPPED_REASONS_MAX = 16 };

/* Rows that a task has rejected, by reason. */
struct rejected_rows {
    char reason[48]; /* as it stands once it is among the first n_rejected */
    _Atomic int64_t rows;
};
enum { REJECTED_REASONS_MAX = 32 };

/* One input of one task: the queue of an edge on one lane. Touched by the lane only, counters read
 * by the control loop. */
struct lane_edge {
    struct batch_link *head;
    struct batch_link **tail;
    struct batch_link *markers; /* the run of dropped ranges at the tail; NULL: none */
    size_t queued_bytes;
    int64_t queued_rows;
    size_t limit_bytes;
    const struct topology_edge *spec;
    struct host_node *from; /* who emits what comes over it */
    size_t index;           /* among all edges of the run */
    int64_t taken_us; /* when the oldest row was read that the task took since its last flush */
    int64_t free_since_us; /* not full any more since */
    int64_t debt_us;       /* time full, paid back by time that it was not; when it last changed */
    int64_t logged_us;     /* the last word about dropped rows */
    int64_t logged_rows;
    /* for show */
    _Atomic int64_t rows;
    _Atomic int64_t batches; /* with rows, as are their bytes */
    _Atomic int64_t bytes;
    _Atomic int64_t replayed_rows;
    _Atomic int64_t dropped_rows;
    _Atomic int64_t fill_bytes; /* queued + held */
    _Atomic int64_t waiting_rows;
    _Atomic int64_t oldest_us;      /* when the oldest waiting row was read; 0: none waits */
    _Atomic int64_t full_since_us;  /* 0: it is not */
    _Atomic int64_t full_us;        /* in all, but for the present time */
    _Atomic int64_t detached_times; /* that a branch left its stream here */
};

/* Batches of one flush, for the latency from read to durable. */
struct latency_sample {
    int64_t read_us;
    int64_t age_us; /* of the batch */
    int64_t rows;
};
struct latency_samples {
    struct latency_sample *items;
    size_t n;
    size_t capacity;
};

/* What a reader has had of a source's stream since it began, with its position: see accounts.h. */
enum tally { TALLY_RECORDS, TALLY_ROWS, TALLY_DROPPED, TALLIES };

/* How far a flush has covered the stream of a reader. */
struct flushed_to {
    struct reader *reader;
    int64_t to;
    int64_t counts[TALLIES];
};

struct lane_task {
    struct sl_object object; /* first: sl_object* of a task is its lane_task */
    struct lane *lane;
    sl_task *plugin;
    struct lane_edge *inputs;
    struct lane_task *next_ready;
    bool ready;       /* in the lane's list */
    bool paused;      /* by services->pause */
    bool backing_off; /* a retriable error: the retry timer runs */
    bool opened;
    uint32_t next_input; /* turn among the inputs */
    size_t held_bytes;
    const struct batch *current; /* while process runs */
    int64_t dropping;            /* of its rows, so far */
    struct retry retry;
    uv_timer_t retry_timer;
    bool has_timer;
    sl_error *open_error; /* on its way to the control loop */
    int64_t rows_since_flush;
    _Atomic int64_t *rows_out; /* by output */
    _Atomic int64_t *bytes_out;
    _Atomic int64_t *batches_out;
    _Atomic int64_t age_us;  /* of a source: of the oldest record of its last batch, when read */
    _Atomic int64_t retries; /* of process */
    struct dropped_rows dropped[DROPPED_REASONS_MAX];
    struct rejects *rejects; /* NULL: none so far */
    struct rejected_rows rejected[REJECTED_REASONS_MAX];
    _Atomic size_t n_rejected;
    bool refused; /* a record was not tolerated: process under way fails by it */
    /* the positions that its input moves */
    struct reader **readers;
    size_t n_readers;
    size_t capacity_readers;
    /* flush: asked by the control loop, answered by `flush`; what it covers and hands over is the
     * control loop's from then on */
    struct loop_message flush_message;
    sl_request flush;
    void *piece;
    struct flushed_to *flushed_to;
    size_t n_flushed_to;
    size_t capacity_flushed_to;     /* the lane's */
    bool flushed_rows;              /* the flush covers rows, not only offsets */
    bool flush_last;                /* the clean stop's: only once the inputs have run empty */
    bool flush_again;               /* the one before failed and is tried again */
    bool flush_void;                /* ... but what it hands over has been recovered since */
    bool flush_when_empty;          /* asked for, waiting for the inputs */
    struct latency_samples taken;   /* since the last flush */
    struct latency_samples flushed; /* of the flush under way; the control loop takes them */
    struct loop_message drain_message;
    bool drain_asked;
};

enum cycle_state {
    CYCLE_IDLE,
    CYCLE_FLUSHING,
    CYCLE_FLUSH_AGAIN, /* waits for the flush's next try */
    CYCLE_COMMITTING,
    CYCLE_COMMIT_AGAIN,
    CYCLE_STOPPED
};

enum { LATENCY_BUCKETS = 256 };

/* Somebody who waits for a cycle to end; lives at the waiter's. */
struct cycle_waiter {
    struct cycle_waiter *next;
    void (*then)(void *arg);
    void *arg;
    bool hold; /* no further cycle begins by itself until `held` is taken back */
};

/* The commit cycle of one durable node; control loop only but for `dirty`, `kicked` and `wanted`.
 */
struct cycle {
    enum cycle_state state;
    uv_timer_t timer;
    _Atomic bool dirty;  /* a lane has taken rows or coverage since the last flush */
    _Atomic bool kicked; /* a kick is on its way: do not send another */
    _Atomic bool wanted; /* a kick found nothing that was taken: who takes something kicks again */
    bool kick;           /* begin again at once after the cycle under way */
    bool last;           /* the clean stop's cycle */
    bool again;          /* one more cycle after the one under way, whatever the interval */
    bool discard; /* a position was lost to somebody else, or a revocation did not wait: nothing is
                     committed until the streams are recovered */
    bool recover; /* they are to be, once nothing is under way */
    bool held;    /* streams are being detached: what is flushed now could not be covered later */
    uint64_t rests; /* so often nothing was in hand, or under way, that a stream may have part in */
    _Atomic unsigned dropping; /* pieces on their way back to the node, by messages */
    uint32_t conflicts;
    uint32_t abandoned; /* so often in a row, without a commit in between */
    sl_error *flush_error;
    unsigned flushing; /* lanes outstanding */
    bool rows;         /* rows have been flushed since the last commit */
    void **pieces;
    size_t n_pieces;
    size_t capacity_pieces;
    sl_commit commit;
    sl_position *positions;
    size_t n_positions; /* the first n_committing are of these readers, behind them come counts */
    struct reader **committing;
    size_t n_committing;
    sl_request request;
    struct loop_message call;
    struct loop_message kick_message;
    int64_t started_us;
    int64_t last_commit_us;
    struct retry retry; /* of the flush or commit under way */
    int64_t commits;
    int64_t retries;
    struct latency_samples latencies; /* of the pieces in hand */
    int64_t latency_histogram[LATENCY_BUCKETS];
    int64_t latency_max_us;
    int64_t durable_histogram[LATENCY_BUCKETS]; /* from the record's own timestamp on */
    double durable_sum_s;                       /* no integer: timestamps may be of 1970 */
    /* Of the oldest record in the commit under way, for what the node emits by it, on its loop; 0:
     * none is under way. */
    _Atomic int64_t oldest_read_us;
    _Atomic int64_t oldest_age_us;
    struct cycle_waiter *waiters; /* told when all that was taken is committed */
};

/* A node on its way from FAILED back to RUNNING, or to it for the first time while the others do
 * already: see restart.c. Control loop. */
struct restart {
    bool first;           /* it has not started yet */
    sl_error *not_yet;    /* why; it waits for the others' start */
    bool pending;         /* by itself, after a pause */
    bool under_way;       /* from the taking away of its streams to their return */
    bool stops;           /* ... and it stays closed: it was stopped */
    uint32_t attempts;    /* in a row */
    struct retry renewal; /* of one that may be made anew whatever the topology says */
    int64_t revived_us;
    int64_t succeeded;
    int64_t commits;         /* that there were when it was restarted */
    struct assignment *turn; /* while its streams are away */
};

/* A node whose plugin's objects are being closed or opened: see reopen.c. Control loop. */
struct reopening {
    bool closes; /* its plugin is not to be called any more, or was closed */
    bool waits;  /* to be closed, for what it has not answered */
    void (*closed)(struct host_node *node);
    void (*opened)(struct host_node *node, sl_error *error);
    struct cycle_waiter waiter;
    unsigned outstanding; /* lanes */
    sl_error *error;
};

enum drain_state { DRAIN_OPEN, DRAIN_EMPTYING, DRAIN_COMMITTING, DRAIN_DONE };

struct host_node {
    struct sl_object object; /* first: sl_object* of a node is its host_node */
    struct host *host;
    size_t index; /* in host->all */
    const struct topology_node *spec;
    struct graph_node *opened;
    const sl_node_ops *ops;
    const sl_task_ops *task_ops;
    uint32_t flags; /* SL_ROLE_* that hold under this config */
    bool has_cycle; /* sinks and durable transforms */
    bool passes;    /* rows of a stream go through it on the lane */
    bool own_thread;
    struct loop own_loop;
    struct lane_task *tasks; /* one per lane */
    struct route **routes;   /* by output */
    size_t *n_routes;
    size_t first_output;      /* its own among all outputs of the run */
    _Atomic uint32_t *tapped; /* by output: the taps that look at it (lane/tap.h) */
    struct rate *input_rates;
    struct rate *output_rates;
    sl_store *state_store;
    struct cycle cycle;
    struct keeper *keeper; /* positions of a sink that keeps none itself */
    struct place *places;  /* where it began, see places.h. Control loop */
    /* control loop only */
    enum host_node_state state;
    sl_error *failure;
    _Atomic bool failed;        /* the same, for the lanes */
    sl_error *_Atomic reported; /* a failure on its way to the control loop */
    _Atomic bool renewable;     /* ... that passes if the node is made anew */
    struct loop_message reported_message;
    bool all_assigned;
    size_t open_streams;  /* owned, not ended */
    size_t n_streams;     /* owned, assigned */
    bool was_read;        /* a source: there are positions of its streams */
    size_t missing;       /* of a source: streams that are with other hosts */
    enum target target;   /* by the operator */
    bool kept_out;        /* by a reload, that closes or opens it */
    bool must_wait;       /* for streams that are missing */
    _Atomic bool waiting; /* for these, or by order: nothing flows to it. It becomes what
                             node_must_wait says when its streams are detached */
    enum drain_state drain;
    bool reopens; /* it is to be open again once its draining is through */
    bool told_drained;
    unsigned emptying; /* lanes outstanding */
    struct loop_message drained_message;
    struct cycle_waiter drain_waiter;
    sl_request start;
    struct loop_message start_message;
    struct retry start_retry;
    int64_t start_asked_us; /* while its first start is waited for */
    bool has_started;       /* by itself: it waits for the others' start, or not any more */
    int64_t failed_us;
    int64_t failures;    /* since the run began */
    unsigned overtaken;  /* refused in a row, since somebody else has gone on from there */
    unsigned unanswered; /* calls that nobody waits for: it is not closed before they come back */
    struct restart restart;
    struct reopening reopening;
};

/* Control loop. */
static inline bool node_must_wait(const struct host_node *node) {
    return node->must_wait || node->target != TARGET_RUNNING || node->kept_out;
}
/* What it is in while it neither fails nor changes. */
static inline enum host_node_state node_resting_state(const struct host_node *node) {
    if (node->target == TARGET_STOPPED && node->opened->node == NULL) {
        return HOST_NODE_STOPPED;
    }
    if (node->target != TARGET_RUNNING) {
        return HOST_NODE_PAUSED;
    }
    return atomic_load(&node->waiting) ? HOST_NODE_WAITING : HOST_NODE_RUNNING;
}
/* It says itself which streams of its own there are. */
static inline bool node_assigns(const struct host_node *node) {
    return node->spec->kind == TOPOLOGY_SOURCE || (node->flags & SL_ROLE_ASSIGNS) != 0;
}
/* It may fall behind the other readers of its streams: each of its inputs is detached when full. */
static inline bool node_may_fall_behind(const struct host_node *node) {
    for (size_t i = 0; i < node->spec->n_inputs; i++) {
        if (node->spec->inputs[i].when_full != TOPOLOGY_DETACH) {
            return false;
        }
    }
    return true;
}
/* It has not come to its end, or goes on after it. */
static inline bool node_is_open(const struct host_node *node) {
    return node->drain == DRAIN_OPEN || node->reopens;
}
/* Its plugin's objects are closed, or could not be opened. */
static inline bool node_is_closed(const struct host_node *node) {
    return node->opened->node == NULL;
}

static inline struct lane_task *object_task(sl_object *object) {
    return (struct lane_task *)(void *)object;
}
static inline struct host_node *object_node(sl_object *object) {
    return (struct host_node *)(void *)object;
}

/* The node whose plugin code runs on this thread, for the crash handler. */
extern _Thread_local const char *object_running;

struct object_clock {
    const char *outer;
    int64_t started_us;
};
/* Brackets a call into a plugin: names it for the crash handler, adds its CPU time to the object.
 */
struct object_clock object_enter(const sl_object *object);
void object_leave(sl_object *object, struct object_clock clock);

/* A job has come back. On the object's loop. */
void object_work_ended(sl_object *object);
/* True when no job is under way; otherwise run(arg) is posted to the loop, by `message`, once none
 * is. On the object's loop. */
bool object_is_idle(sl_object *object, struct loop_message *message, void (*run)(void *arg),
                    void *arg);

void object_free_metrics(sl_object *object);
/* What its gauges say has ended with the plugin's object; counters go on. On its loop. */
void object_reset_gauges(sl_object *object);

#endif /* HOST_OBJECT_H */
