/*
 * gold-agg: what its files share. plugin.c has the descriptor, node.c the operations of the node,
 * commit.c a commit from deltas to a durable entry, chain.c entries and snapshots in the state
 * store, outbox.c results on their way out, group.c several hosts that share the work, task.c the
 * lanes.
 *
 * The chain: numbered entries log/NNN in the node's folder of the state store, each put if absent,
 * which is also the fence against a second writer. An entry holds the position and the clock of
 * every stream, the watermark, the delta of its commit (or names a snapshot base/NNN-TOKEN of the
 * whole state after it), and the results that became final with it: the outbox. So the state is a
 * snapshot and the deltas behind it, and positions, state and results change in one step.
 */
#ifndef GOLD_AGG_GOLD_H
#define GOLD_AGG_GOLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "columns/columns.h"
#include "sluice/plugin.h"
#include "window/window.h"

enum { OUTPUT_RESULTS, OUTPUT_LATE, OUTPUTS };

/* ---- configuration (plugin.c) ---- */

struct gold_hopping {
    int64_t size_us;
    int64_t every_us;
};

struct gold_window {
    int64_t tumbling_us;
    const struct gold_hopping *hopping;
    int64_t session_us;
};

struct gold_config {
    const char *time;
    const struct gold_window *window;
    int64_t lateness_us;
    sl_list group_by;
    sl_map aggregates;
    int64_t idle_us;
    int64_t max_ahead_us;
    const char *record_time;
    int32_t updates;
    int64_t outbox_max_bytes;
    int64_t keep_us;
    int64_t max_skew_us;
    int32_t scope;
};
enum { SCOPE_HOST, SCOPE_GROUP };

/* ---- streams ---- */

/*
 * What a lane and the node tell each other about one stream, so that an idle stream does not hold
 * windows open and still loses no row: the node may raise the floor of its watermark only while
 * nothing has been taken from it since the last delta that the node has merged.
 */
struct shared_clock {
    pthread_mutex_t mutex;
    uint64_t takes;             /* deltas that were begun */
    int64_t at_end_since;       /* of sl_node.watched_us; 0: there is more */
    int64_t floor_us;           /* set by the node */
    _Atomic int64_t reached_us; /* largest event time taken; outside of the mutex, as the next */
    _Atomic int64_t end;        /* offset where it was at its end */
};

/* A stream of the input, by its durable key. */
struct gold_stream {
    struct gold_stream *next;
    char *key;
    const sl_stream *stream; /* NULL: not assigned at present */
    int64_t position;
    sl_window_clock clock; /* at the position */
    uint64_t merged;       /* of shared.takes */
    struct shared_clock shared;
    /* of sl_node.watched_us: when its source last saw where it ends, and when it last had not for
       too long, or had seen more than was taken */
    int64_t seen_us;
    int64_t unsure_us;
    /* scope group: `position` and `clock` are those of the last object of its delta log */
    int64_t logged; /* number of that object, 0: none */
    bool idle;      /* as it says */
    bool listed;    /* the chain has the stream, and what follows is the chain's */
    int64_t applied;
    sl_window_clock applied_clock;
    bool applied_idle;
};

/* What resume hands to attach. */
struct gold_handle {
    sl_window_clock clock;
    struct shared_clock *shared;
};

/* What a lane took from one stream since its last flush. */
struct gold_delta {
    const sl_stream *stream;
    sl_window_table *table;
    sl_window_clock clock;
    struct ArrowArray late; /* released or of the late output's schema */
    uint64_t take;          /* shared.takes when it was begun */
    int64_t partly_late;
    bool moved; /* into a state that is not durable yet */
};

struct gold_piece {
    struct gold_delta *deltas;
    size_t n;
};

void gold_piece_free(struct gold_piece *piece);

/* ---- the chain (chain.c) ---- */

struct entry_stream {
    const char *key; /* borrowed from the entry's bytes, or from the node */
    size_t key_bytes;
    int64_t position; /* in the chain of a group: the last number merged of its delta log */
    sl_window_clock clock;
    bool idle; /* its owner lets its floor follow the others */
};

/* An entry's contents; byte ranges are borrowed from `bytes`. */
struct entry {
    sl_store_bytes bytes;
    int64_t number;
    uint64_t token;
    uint64_t fingerprint;
    int64_t watermark_us;
    int64_t base_number; /* 0: none; number: the state after this very entry */
    uint64_t base_token;
    int64_t first[OUTPUTS]; /* sequence numbers [first, next) */
    int64_t next[OUTPUTS];
    int64_t sent[OUTPUTS]; /* no reader has results from here on */
    int64_t finals;        /* the first of the results; the others were updates */
    int64_t max_event_us;  /* of the finals */
    struct entry_stream *streams;
    size_t n_streams;
    const uint8_t *delta;
    size_t delta_bytes;
    const uint8_t *rows[OUTPUTS]; /* finals, late rows */
    size_t rows_bytes[OUTPUTS];
};

/* Writes the entry's contents (all but `bytes`) as bytes. */
sl_error *entry_encode(const struct entry *entry, sl_buffer *out);
#define CHAIN_FOLDER "log/"
enum { FOLDER_BYTES = 32 };
/* Reads <folder><number>; NOT_FOUND, CORRUPT. On success free with entry_free. */
sl_error *entry_get(sl_store *store, const char *folder, int64_t number, struct entry *out);
/* Reads those of `n` numbers from `first` on, ENTRIES_AT_A_TIME at most, in the time of one.
 * out[0] to out[*n_got - 1] are the caller's, also after an error, which is that of the next. */
enum { ENTRIES_AT_A_TIME = 8 };
sl_error *entries_get(sl_store *store, const char *folder, int64_t first, size_t n,
                      struct entry *out, size_t *n_got);
void entry_free(struct entry *entry);
/* `error`, of the contents of <folder><number>, with its name; NULL stays NULL. */
sl_error *entry_fault(sl_store *store, const char *folder, int64_t number, sl_error *error);
/* Puts encoded bytes as <folder><number>. CONFLICT when another writer was first. */
sl_error *entry_put(sl_store *store, const char *folder, int64_t number, const sl_buffer *bytes);
/* The largest number in the folder, 0 when it is empty. */
sl_error *chain_last(sl_store *store, const char *folder, int64_t *number);
sl_error *base_put(sl_store *store, int64_t number, uint64_t token, const sl_buffer *table);
/* Merges base/<number>-<token> into `table`. */
sl_error *base_load(sl_store *store, int64_t number, uint64_t token, sl_window_table *table,
                    size_t *bytes);
/* Deletes the folder's objects with numbers below `limit` that are older than before_ms. */
sl_error *chain_collect(sl_store *store, const char *folder, int64_t limit, int64_t before_ms);
/* The folder of a partition's delta log. */
void delta_folder(const char *key, char out[FOLDER_BYTES]);
uint64_t random_token(void);

/* ---- the node ---- */

/* Results that are durable and not yet durable downstream. */
struct outbox_item {
    int64_t number; /* of the entry */
    int64_t next;
    size_t bytes;
};

struct own_stream {
    const sl_stream *stream; /* NULL until it is resumed, and when nobody reads it */
    int64_t absent_us;       /* since when that is so: what a reader needs only it says */
    int64_t acknowledged;
    int64_t emitted; /* results below are sent */
    struct outbox_item *items;
    size_t n_items;
    size_t capacity;
    size_t bytes;
    /* a reader that fell behind and comes to the end with the next entry of all open windows */
    const sl_stream *follower;
    int64_t follower_at;
};

/* A commit that is encoded and not yet durable; kept for the next try after a retriable error. */
struct prepared {
    bool used;
    struct entry entry;
    sl_buffer bytes;
    sl_buffer delta;
    sl_buffer rows_bytes[OUTPUTS];
    struct ArrowArray finals;
    struct ArrowArray updates;
    struct ArrowArray late;
    int64_t updates_max_event_us;
    bool of_commit; /* of the host's, not one of the node's own */
    const void *first_piece;
    size_t n_pieces;
    bool has_base;
    bool refreshes; /* its updates are all open windows */
    size_t taken;   /* objects of delta logs */
};

/* Whether this host of a group is the one that merges. */
enum merging { MERGES_NOT, MERGES, MERGES_NO_MORE };

struct sl_node {
    const sl_services *services;
    sl_object *self;
    const struct gold_config *config;
    const char *name;
    const struct ArrowSchema *rows_schema;
    sl_window_plan *plan;
    int64_t offset_column; /* of the input: the records' offsets; -1: none */
    sl_store *store;
    uint32_t flags;

    bool loaded; /* what follows is what the chain says */
    bool fresh;  /* and has not changed since the start, when it was loaded */
    sl_window_table *state;
    struct gold_stream *streams;
    int64_t number; /* of the last entry */
    int64_t base_number;
    uint64_t base_token;
    size_t base_bytes;
    size_t delta_bytes; /* since the base */
    int64_t watermark_us;
    int64_t next[OUTPUTS]; /* sequence numbers */
    int64_t sent[OUTPUTS]; /* as in the last entry */
    struct prepared prepared;
    struct own_stream outputs[OUTPUTS];
    sl_timer *timer;
    sl_timer *skew_timer;
    _Atomic int64_t skew_limit_us; /* max_skew: streams that have reached more wait */
    int64_t started_us;
    int64_t looked_us; /* time of the host's clock at the last tick */
    /* Since it has started, from 1 on, as far as it was awake; and since it last was not: what
       passes by while the process stands still, or when the clock is set, makes no stream idle. */
    _Atomic int64_t watched_us;
    int64_t awake_since;
    bool warned;  /* of partitions that nobody reads */
    bool refresh; /* a reader that fell behind has missed updates */
    /* scope group */
    enum merging merging;
    bool backlog;     /* more lies there than was taken at once */
    bool slept;       /* for so long that others may have collected what they merged */
    int64_t awake_us; /* when it last was known not to have slept */
    sl_builder finals_builder;
    sl_builder updates_builder;

    sl_metric *windows_metric;
    sl_metric *late_metric;
    sl_metric *partly_late_metric;
    sl_metric *overflow_metric;
    sl_metric *groups_metric;
    sl_metric *state_metric;
    sl_metric *watermark_metric;
};

/* Loads the state from the chain when it is not loaded. */
sl_error *node_load(sl_node *node);
/* What is in memory is no longer what is stored: the next use loads it again. */
void node_unload(sl_node *node);
struct gold_stream *node_find_stream(sl_node *node, const sl_stream *stream);
/* The stream of `key`, made when it is new. */
sl_error *node_stream_of(sl_node *node, const char *key, size_t key_bytes,
                         struct gold_stream **out);

/* ---- commits (commit.c) ---- */

sl_error *commit_run(sl_node *node, const sl_commit *commit);
/* Commits without deltas: closes what an idle stream no longer holds open, sends readers what they
 * lack; in a group merges. */
sl_error *commit_alone(sl_node *node);
/* A stream is idle when it is at its end for long enough and nothing was taken that is not merged.
 */
bool stream_is_idle(const sl_node *node, struct gold_stream *stream);
/* Raises the floor of an idle stream, so that its later rows are judged by it; false when it has
 * woken up. */
bool stream_raise_floor(const sl_node *node, struct gold_stream *stream, int64_t watermark);
/* The late rows of a commit's deltas, of one stream (NULL: of all), as one array; released when
 * there are none. */
sl_error *commit_late_rows(sl_node *node, const sl_commit *commit, const struct gold_stream *stream,
                           struct ArrowArray *out);
void prepared_free(struct prepared *prepared);
bool commit_sends_updates(const sl_node *node);
/* The smallest watermark of the streams that are not idle (of all idle ones the largest); at least
 * the present one. May raise the floors of idle streams. */
int64_t commit_watermark(sl_node *node);

/* ---- the outbox (outbox.c) ---- */

sl_error *outbox_emit(sl_node *node, struct prepared *prepared);
/* Results are durable that were not sent to the output's readers. */
bool outbox_lacks(const sl_node *node, uint32_t output);
/* An entry has to say of some of them that they may be sent. */
bool outbox_unsaid(const sl_node *node);
/* Sends them; no windows may be open whose rows were sent as updates. */
sl_error *outbox_catch_up(sl_node *node);
/* Sends from `offset` on; keeps what lies from `needed` on (SL_OFFSET_NONE: the same) for readers
 * that begin apart. */
sl_error *outbox_resume(sl_node *node, uint32_t output, const sl_stream *stream, int64_t offset,
                        int64_t needed);
/* Sends what was sent from `offset` on to a reader that fell behind, about max_bytes. */
sl_error *outbox_again(sl_node *node, const sl_stream *stream, int64_t offset, size_t max_bytes);
void outbox_acknowledge(sl_node *node, const sl_stream *stream, int64_t position);
/* An error (RETRIABLE) when readers are too far behind; those that may be left behind are. */
sl_error *outbox_check(const sl_node *node);
/* Lowers *limit to the number of the first entry that a reader may still need. What one needs that
 * has not come, or was there within `keep`, nobody knows. */
sl_error *outbox_limit(sl_node *node, int64_t now_us, int64_t *limit);

/* ---- several hosts (group.c) ---- */

bool node_in_group(const sl_node *node);
/* The number by which the chain knows the plan: of a group and of one host they differ. */
uint64_t node_fingerprint(const sl_node *node);
/* How long what is no longer needed stays: `keep`, in a group an hour at least. */
int64_t node_keep_us(const sl_node *node);
/* Refuses an entry of another plan or scope. CONFIG. */
sl_error *node_check_entry(const sl_node *node, const struct entry *entry);
/* Refuses a configuration that is not the state's. */
sl_error *group_start(sl_node *node);
/* Finds the positions in the delta logs; streams that are new are entered into the chain. */
sl_error *group_recover(sl_node *node, sl_position *positions, size_t n);
/* Writes the commit's deltas, one object for each stream, and merges if it is this host that does.
 */
sl_error *group_commit(sl_node *node, const sl_commit *commit);
/* Once a second: takes over or hands over the merging, lets idle streams follow, merges. */
void group_tick(sl_node *node);
/* A commit of the host that merges. RETRIABLE: it does not merge any more. */
sl_error *group_merge(sl_node *node);
/* If this host merges: all that lies there, since the run may end with this. What fails is tried
 * again at the next commit or tick, or fails the node. */
void group_merge_all(sl_node *node);
/* What the chain's last entry says of the streams. */
sl_error *group_apply(sl_node *node, const struct entry *last);
/* Merges the next objects of all delta logs into the state, as part of a commit. */
sl_error *group_take(sl_node *node, struct prepared *prepared);
/* The smallest published watermark: floors of idle streams follow the others. */
int64_t group_watermark(const sl_node *node);
/* Deletes what is merged and older than before_ms. */
sl_error *group_collect(sl_node *node, int64_t before_ms);

extern const sl_node_ops gold_node_ops;
extern const sl_task_ops gold_task_ops;

#endif /* GOLD_AGG_GOLD_H */
