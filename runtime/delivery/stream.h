/*
 * Streams and their readers: who has got how far. A reader is the position of one (node, input)
 * with a commit cycle on one stream.
 */
#ifndef DELIVERY_STREAM_H
#define DELIVERY_STREAM_H

#include "host/object.h"
#include "host/retry.h"

enum stream_state {
    STREAM_ASSIGNED,
    STREAM_ATTACHING, /* lanes may have rows of it from here on */
    STREAM_RUNNING,
    STREAM_REVOKING,
    STREAM_DETACHED
};

struct branch;

struct reader {
    struct stream *stream;
    struct host_node *node;
    uint32_t input;
    char *key;    /* durable name of the position */
    void *handle; /* of node.resume, on its way to the task; taken from here on the lane */
    /* control loop */
    int64_t stored;  /* durable: SL_OFFSET_NONE or the next offset that the node needs */
    int64_t pending; /* flushed, not committed yet; SL_OFFSET_NONE: nothing */
    /* the same of its counts: see accounts.h */
    char *count_keys[TALLIES]; /* NULL: they are not kept */
    int64_t stored_counts[TALLIES];
    int64_t pending_counts[TALLIES];
    uint64_t rests; /* of the node's cycle when the stream went: see gone.c */
    /* lane */
    int64_t counts[TALLIES];
    int64_t position; /* what was stored at the attach: batches that end there or below are
                         withheld, from a node with SL_ROLE_REPLAYS those that do at `begins` */
    int64_t begins;   /* what resume and attach are told */
    int64_t covered;  /* taken up to here */
};

struct stream {
    sl_stream pub; /* first: sl_stream* of the host's is its stream */
    struct host *host;
    struct host_node *owner;
    uint32_t output; /* of the owner */
    struct lane *lane;
    char *topic;
    struct reader *readers;
    size_t n_readers;
    struct reader *
        *reader_by_edge; /* by edge of the topology; NULL where the node keeps no position */
    bool *on_edge;       /* by edge: the stream flows there */
    size_t n_all_edges;  /* of the run, and outputs, when it was wired: later ones are not its */
    size_t n_all_outputs;
    /* lane */
    struct lane_task *source; /* polls it; NULL for streams that a transform's node emits */
    struct lane_edge **edges; /* on its lane, where backpressure is felt */
    struct lane_task **edge_tasks;
    size_t n_edges;
    bool *told;          /* by place in edge_tasks: the task knows the stream */
    bool *held;          /* by place in edge_tasks: the task lets the stream wait for others */
    bool entered;        /* its lane has begun to attach it */
    int64_t *emitted_to; /* by output of the topology */
    bool counted;        /* some reader's counts are kept */
    int64_t count_from;  /* records from here on add to `read` */
    _Atomic int64_t read;
    _Atomic int64_t next_offset; /* the source reads on from here */
    _Atomic int64_t log_end;     /* what it has ends here, it says; SL_OFFSET_NONE: not known */
    _Atomic int64_t seen_end;    /* where it ended when that was last seen, at seen_us */
    _Atomic int64_t seen_us;     /* monotonic; 0: its source does not say when */
    int64_t stop;                /* nothing is read from here on; INT64_MAX: no bound */
    int64_t *cuts;               /* ascending positions at which batches are cut */
    size_t n_cuts;
    size_t next_cut;
    struct stream *next_stopping; /* of the lane's list */
    struct retry retry;           /* of polls that fail */
    int64_t not_before_us;        /* the next poll; 0: at once */
    bool attached;
    bool awake;
    bool ended;
    bool at_end;       /* nothing came behind its last batch */
    bool end_waits;    /* its end is not told before its branches have joined */
    bool stopping;     /* no feed starts any more */
    bool detach_waits; /* for plugins that are busy with its feeds */
    /* parts of its path that may leave it, see lane/branch.h; branch_by_edge NULL: none */
    struct branch **branches;
    size_t n_branches;
    struct branch **branch_by_edge;
    struct branch *fed;   /* it is the feed of this branch */
    _Atomic int64_t uses; /* see stream_use; of a feed they count at its stream */
    /* control loop */
    enum stream_state state;
    int64_t offset;   /* where reading began */
    int64_t earliest; /* of a stream that somebody has no position of: see sl_node_ops.bounds */
    int64_t latest;
    bool start_known; /* what `offset`, `earliest` and `latest` were before it was placed was asked
                       */
    void *handle;     /* of the owner's node.resume */
    bool ended_seen;
    bool leaving;   /* a revocation waits or is under way: the name may be assigned anew */
    bool left_out;  /* of a node that waits: it will need the stream from where it is now */
    bool set_aside; /* detached since its owner, who assigns it, waits: it comes back with it */
    int64_t acknowledged;
    struct loop_message ended_message;
    struct loop_message lane_message; /* attach, stop or detach under way, and its answer */
    void (*then)(void *arg, sl_error *error);
    void *then_arg;
    sl_error *then_error;
    struct stream *next_gone; /* of host->gone */
    uint64_t owner_rests;     /* rests of the owner's cycle when it went */
    bool told_gone;           /* its readers know, also of one that was never attached */
    bool named;               /* an assignment, or a call of it, names it: gone.c looks */
};

/* Lanes may have rows of it. Control loop. */
static inline bool stream_is_attached(const struct stream *stream) {
    return stream->state == STREAM_ATTACHING || stream->state == STREAM_RUNNING ||
           stream->state == STREAM_REVOKING;
}

/* Whether it flows over an edge of the run. Control loop. */
static inline bool stream_is_on(const struct stream *stream, size_t edge) {
    return edge < stream->n_all_edges && stream->on_edge[edge];
}

static inline struct stream *stream_of(const sl_stream *pub) {
    return (struct stream *)(uintptr_t)pub;
}

/*
 * Who has a pointer to a stream, or to a feed of it, and is not waited for before it is detached (a
 * batch, a message on its way, a branch in its lane's list) uses it: it is not freed before that is
 * over. Any thread that has it from one who uses it, or to whom it is attached.
 */
void stream_use(struct stream *stream);
void stream_let_go(struct stream *stream);

/* A stream of `owner`'s output, as yet without readers. The host frees it when it has gone. Errors:
 * NO_MEMORY. */
sl_error *stream_new(struct host_node *owner, uint32_t output, const char *topic, int32_t partition,
                     struct stream **out);
/* Finds its edges and readers by walking the graph; nodes that wait are left out. Once. Errors:
 * NO_MEMORY. */
sl_error *stream_wire(struct stream *stream);
/* Whether the node is a reader of the stream, which is not detached. */
bool stream_is_read_by(const struct stream *stream, const struct host_node *node);
/* Whether it flows to the node when nobody waits: through nodes that let it pass. */
bool stream_flows_to(const struct stream *stream, const struct host_node *node);
void stream_free(struct stream *stream);
/* sl_stream.index of a stream or feed to be; stream_free gives it back. Control loop. */
uint32_t stream_take_index(struct host *host);

/* Detached streams leave the host's list, and are freed once nobody can refer to them any more.
 * Control loop, not from within anything that has a stream in hand. */
void streams_forget_gone(struct host *host);
/* The same, soon: some have just been detached. Control loop. */
void streams_look_at_gone(struct host *host);
/* All of them, at the end of the run. */
void streams_free_gone(struct host *host);

/* The newest stream of this name that is not detached, or NULL. */
struct stream *stream_find(const struct host_node *owner, const char *topic, int32_t partition);

#endif /* DELIVERY_STREAM_H */
