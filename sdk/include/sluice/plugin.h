/*
 * What a plugin is: one const descriptor with up to three roles (source, transform, sink), each
 * with an option table and two sets of operations. A **node** is the one object per node of the
 * topology: it connects, recovers, commits. A **task** is the object per lane: it reads, transforms
 * or encodes. Only `open` of each must exist; what is NULL has the default said beside it.
 *
 * Life of a node and its tasks:
 *   node.open → node.output_schema → node.start → task.open on every lane
 *   for each stream:  node.recover (durable) → node.resolve (source, when nobody has a position) →
 * node.resume → task.attach task.poll | task.process … task.flush → node.commit …   → task.detach →
 * node.suspend at the end: flush and commit once more → node.drained → task.close on every lane →
 * node.close
 *
 * An operation that ends its request with a RETRIABLE error leaves things as they were: it is
 * called again after a pause, until retry.timeout.
 *
 * Operations that take an sl_request may take their time: they end by services->done(request,
 * error), exactly once, from any thread. Arguments stay valid until then. Everything else answers
 * at once. No operation may block unless the role says SL_ROLE_BLOCKING, and then only those of the
 * node.
 */
#ifndef SLUICE_PLUGIN_H
#define SLUICE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/abi.h"
#include "sluice/batch.h"
#include "sluice/error.h"
#include "sluice/option.h"
#include "sluice/services.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The plugin's own structs; the host only passes the pointers on. */
typedef struct sl_node sl_node;
typedef struct sl_task sl_task;

typedef enum sl_guarantee { SL_AT_MOST_ONCE, SL_AT_LEAST_ONCE, SL_EXACTLY_ONCE } sl_guarantee;

enum {
    /* The node's operations may block; it gets a thread of its own. */
    SL_ROLE_BLOCKING = 1u,
    /*
     * Durable: the node keeps its own position of each input stream (recover, flush, commit). A
     * sink without this flag has its positions kept by the host in the state store, after flush and
     * commit succeed: at least once.
     */
    SL_ROLE_DURABLE = 2u,
    /* A durable transform, or a sink that has rejects, must see again what a reader behind it
       lacks: what lies between its resume offset and its own position (it answers the same, and a
       sink writes nothing of it); without it the host withholds batches below the node's own
       position. Of a sink it holds while its rejects are read. */
    SL_ROLE_REPLAYS = 4u,
    /* The node of this transform owns streams: results are emitted by the node, with offsets that
       it numbers itself. */
    SL_ROLE_OWNS_STREAMS = 8u,
    /* Does not give the same rows when it is given the same input again. */
    SL_ROLE_UNREPEATABLE = 16u,
    /* Makes sense only of everything: while some streams of the sources above it are with other
       hosts (services->missing), the host holds the node back. It is given no batch, owns no
       stream and is asked nothing; the other nodes go on. Since 1.1. */
    SL_ROLE_WHOLE = 32u,
    /* With OWNS_STREAMS: the node itself assigns and revokes its streams, named as its outputs
       (services->assign, revoke); without it they are assigned at the start. Since 1.1. */
    SL_ROLE_ASSIGNS = 64u,
    /*
     * Sources: a stream may be read several times at once. The host then makes further streams of
     * the same topic and partition with sl_stream.reader set: each is resumed (at any offset that
     * the source still has), attached, polled, detached and suspended apart from the others, any
     * number of times, always while the stream itself is assigned; never resolved nor acknowledged.
     * Its poll does not answer ENDED: the host knows where to stop. When its records are gone, the
     * error of its poll says which. Since ABI 1.1.
     */
    SL_ROLE_REREADS = 128u,
    /* Durable: recover and commit take any key, so that the host keeps counts beside the positions
     * (a key with "#" and a word behind it, the count in from and to, by the same rules). Since
     * 1.1. */
    SL_ROLE_COUNTS = 256u,
    /* A sink that takes every record and never calls services->reject: errors.tolerance changes
     * nothing of it. Since ABI 1.1. */
    SL_ROLE_TAKES_ALL = 512u,
    /* A sink: a changed one is opened and started beside the old one, which still writes and is
     * closed only after the new one has got its streams. Its first recover comes when the old one
     * has committed what it has. For sinks that hold nothing that another node of the same name
     * could not hold as well, and whose start touches nothing that a writer is at. Since 1.1. */
    SL_ROLE_BESIDE = 1024u
};

/* An input as a node sees it. */
typedef struct sl_input {
    const char *name;                 /* "events", "silver.rejects" */
    const struct ArrowSchema *schema; /* borrowed for the node's life */
} sl_input;

enum {
    SL_RUN_UNTIL_END = 1u,    /* the run ends at the end of the data there was when it began */
    SL_RUN_VALIDATE_ONLY = 2u /* `sluice validate`: open is called, start never is */
};

typedef struct sl_node_context {
    uint32_t struct_bytes;
    uint32_t flags; /* SL_RUN_* */
    const sl_services *services;
    sl_object *self;
    const char *pipeline;
    const char *name;    /* of the node */
    const void *config;  /* the role's config struct, by its option table */
    const void *section; /* the plugin's section of the topology ("kafka"), by its table; NULL when
                            there is none */
    const sl_input *inputs;
    size_t n_inputs;
    uint32_t lanes;
    uint32_t reserved;
} sl_node_context;

typedef struct sl_task_context {
    uint32_t struct_bytes;
    uint32_t lane;
    const sl_services *services;
    sl_object *self;
} sl_task_context;

/*
 * A position: of all records of `stream` that came in on `input`, those below `to` are done. `key`
 * is its durable name, unique over (pipeline, node, input, source, topic, partition); Delta's
 * txn.appId. Compare-and-set: a commit is valid only while the stored position equals `from`, where
 * SL_OFFSET_NONE means that none is stored.
 */
typedef struct sl_position {
    const sl_stream *stream;
    const char *key;
    uint32_t input;
    uint32_t reserved;
    int64_t from;
    int64_t to;
} sl_position;

enum {
    SL_COMMIT_LAST = 1u /* the clean stop's: nothing follows */
};

typedef struct sl_commit {
    uint32_t struct_bytes;
    uint32_t flags; /* SL_COMMIT_* */
    const sl_position *positions;
    size_t n_positions;
    /*
     * What the tasks' flushes handed over, those that are not NULL, in the order of flushing. They
     * belong to the node once the request ended without error; after a retriable error the same
     * commit is tried again, after any other drop_piece is called for each.
     */
    void *const *pieces;
    size_t n_pieces;
} sl_commit;

typedef struct sl_node_ops {
    uint32_t struct_bytes;

    /*
     * Checks the config and the inputs' schemas; no I/O but local files that the config names. On
     * success *out is the node. On failure it has freed its own work, and close is not called.
     * Errors: CONFIG.
     */
    sl_error *(*open)(const sl_node_context *context, sl_node **out);

    /* Fills `out` (owned by the caller) with the schema of an output of the role. Sources and
     * transforms. That of an output SL_REJECT_OUTPUT may be left as it is: it is then that of
     * rejects (batch.h), and filled by services->reject alone. */
    sl_error *(*output_schema)(sl_node *node, uint32_t output, struct ArrowSchema *out);

    /* Connects, opens tables; a source calls services->assign from here on. An error that stays
     * makes the node FAILED and leaves the others alone; of the node's further operations only
     * drained, suspend and close may then be called. NULL: nothing to do. */
    void (*start)(sl_node *node, sl_request *request);

    /* Sets positions[i].from of each to what is stored, or SL_OFFSET_NONE. Durable nodes. */
    void (*recover)(sl_node *node, sl_position *positions, size_t n, sl_request *request);

    /* Sources: the offset at which a stream without any position starts, by the config. Streams
     * that appear once the pipeline has positions of others start at the earliest instead. */
    void (*resolve)(sl_node *node, const sl_stream *stream, int64_t *offset, sl_request *request);

    /*
     * For this node `stream` begins at `offset`; `position` is the node's own (SL_OFFSET_NONE:
     * none, and for a source). Sources seek; stateful nodes load what they need to go on from
     * there. *handle (may stay NULL) is passed to attach of the stream's lane, which then owns it,
     * or to drop_handle. A node with SL_ROLE_OWNS_STREAMS gets this call for its own streams that
     * have readers as well: it must then emit from `offset` on. `position` is then the smallest
     * that one of them needs: what lies between it and `offset` will be asked for by `again`;
     * stream->reached is the largest that one of them has, beyond `offset` when others are behind.
     * Errors: RETRIABLE (tried again), CONFLICT (a reader's: somebody else has gone on from
     * `offset` meanwhile; all are asked for their positions once more), others (the node fails).
     */
    void (*resume)(sl_node *node, const sl_stream *stream, int64_t offset, int64_t position,
                   void **handle, sl_request *request);

    /* The stream left: all its tasks have detached, or none was ever told of it. An owner of
     * streams must not name it from then on. NULL: nothing to do. */
    void (*suspend)(sl_node *node, const sl_stream *stream);

    /*
     * Makes pieces and positions durable in one step, all or nothing. Errors: RETRIABLE (tried
     * again), CONFLICT (a position is not `from`: the host recovers), others (the node fails). One
     * commit of a node is under way at a time. With n_pieces 0 it is a position-only commit. NULL:
     * flush has made everything durable, and hands over no piece.
     */
    void (*commit)(sl_node *node, const sl_commit *commit, sl_request *request);

    /* Frees a piece that will not be committed. */
    void (*drop_piece)(sl_node *node, void *piece);

    /* All inputs have ended and are committed (--until-end, clean stop); for a source: none of its
     * streams is read any more. Once: when a reader loses its position to somebody else at the end
     * of the data, streams may come again all the same. NULL: nothing to do. */
    void (*drained)(sl_node *node);

    /* Every reader of `stream` has made durable what lies below `position`, and none will go back
     * below it. Called for the node's own streams (a source may tell its lag tools, a transform may
     * forget its results), and for the inputs of a node with SL_ROLE_REPLAYS, which may forget what
     * only lower offsets need. NULL: nothing to do. */
    void (*acknowledge)(sl_node *node, const sl_stream *stream, int64_t position);

    /* Ends the node; all tasks are closed, no request is open. */
    void (*close)(sl_node *node);

    /* The guarantee that this config gives; NULL: the role's. May be called without open having
     * been. */
    sl_guarantee (*guarantee)(const void *config);

    /* The role's flags that this config needs, out of the role's own (validation without
       deduplication is not durable, say); NULL: all of them. SL_ROLE_BLOCKING may not be taken
       away. May be called without open having been. */
    uint32_t (*flags)(const void *config);

    /* Frees what resume left in *handle and no task will get: the stream was given up before it was
     * attached. NULL: nothing to do. Since ABI 1.1. */
    void (*drop_handle)(sl_node *node, const sl_stream *stream, void *handle);

    /*
     * With SL_ROLE_OWNS_STREAMS: emits on `stream`, a further reading of an own stream
     * (sl_stream.reader), what was emitted from `offset` on, once more: about max_bytes, at least
     * one batch, at most to the present end, before the request ends. What cannot be repeated
     * (updates) is covered by empty batches, and sent anew on the stream itself when the end is
     * reached. NULL: readers that fall behind hold the node back. Errors: RETRIABLE, and FATAL for
     * results that are no longer kept, which fail the reader. Since ABI 1.1.
     */
    void (*again)(sl_node *node, const sl_stream *stream, int64_t offset, size_t max_bytes,
                  sl_request *request);

    /* Sources: the first offset that the stream still has, and the one that its next record will
     * get. NULL: 0, and not known. Since ABI 1.1. */
    void (*bounds)(sl_node *node, const sl_stream *stream, int64_t *earliest, int64_t *latest,
                   sl_request *request);

    /* As guarantee, where the plugin's section of the topology (sl_node_context.section) has a say
     * in it; asked instead of it. NULL: it has none. Since ABI 1.1. */
    sl_guarantee (*guarantee_in)(const void *config, const void *section);

    /* The node is to be closed, its tasks are, and jobs of it are still on pool threads
     * (services->work): those that nobody needs any more may be told to end early. Once they are
     * back, close follows. NULL: they are waited for. Since ABI 1.1. */
    void (*closing)(sl_node *node);
} sl_node_ops;

typedef struct sl_attach {
    uint32_t struct_bytes;
    uint32_t input;   /* transforms and sinks */
    int64_t offset;   /* the stream begins here */
    int64_t position; /* the node's own (of a sink: or the host's), or SL_OFFSET_NONE */
    void *handle;     /* what resume gave; the task owns it now, also when attach fails */
} sl_attach;

typedef enum sl_poll_state {
    SL_POLL_MORE,  /* call again */
    SL_POLL_EMPTY, /* nothing there: wake will be called */
    SL_POLL_ENDED  /* --until-end: this stream has ended, nothing will come */
} sl_poll_state;

typedef struct sl_task_ops {
    uint32_t struct_bytes;

    sl_error *(*open)(sl_node *node, const sl_task_context *context, sl_task **out);

    /* A stream begins (again). Transforms and sinks get it once for each input on which the stream
     * arrives. */
    sl_error *(*attach)(sl_task *task, const sl_stream *stream, const sl_attach *how);
    /* It ends: what was built from it and not flushed is to be forgotten. NULL: nothing to do. */
    void (*detach)(sl_task *task, const sl_stream *stream);

    /* Sources: emit about max_bytes of the stream, at least one record when there is one. After a
     * RETRIABLE error it is called again after a pause, until it has given nothing but such errors
     * for retry.timeout; any other error fails the node. What was emitted before is kept. */
    sl_error *(*poll)(sl_task *task, const sl_stream *stream, size_t max_bytes,
                      sl_poll_state *state);

    /*
     * Transforms and sinks: takes one batch (borrowed), in stream order for each stream and input.
     * After a RETRIABLE error nothing of it has been taken: the same batch comes again. Any other
     * error fails the node, whatever errors.tolerance says, RECORD too: an error names no row, and
     * does not say what of the batch is taken, so the host could not go on behind it. Records at
     * fault are handed to services->reject, whose error is returned.
     */
    sl_error *(*process)(sl_task *task, uint32_t input, const sl_batch *batch);

    /*
     * Durable nodes and sinks: *piece becomes what was taken since the last flush (NULL: nothing to
     * hand over), ready for commit: data files are durable when the request ends. process may be
     * called meanwhile; its rows belong to the next flush. One flush of a task is under way at a
     * time. After a RETRIABLE error the same flush is asked for again: it hands over what the first
     * try would have, and what was taken since still belongs to the next.
     */
    void (*flush)(sl_task *task, void **piece, sl_request *request);

    /* Ends the task; streams are detached, no request is open. */
    void (*close)(sl_task *task);
} sl_task_ops;

typedef struct sl_role {
    uint32_t struct_bytes;
    uint32_t flags;     /* SL_ROLE_* */
    uint32_t guarantee; /* sl_guarantee; of a source: EXACTLY_ONCE when it can be replayed from any
                           offset */
    uint32_t option_bytes;    /* sizeof(sl_option) */
    const sl_option *options; /* ends with name NULL */
    size_t config_bytes;      /* size of the config struct */
    /* Names of the outputs, NULL-ended; the first is "" (what the node's bare name means). NULL:
       one output (sources, transforms) or none (sinks). A sink can have one, SL_REJECT_OUTPUT, for
       services->reject; since ABI 1.1. */
    const char *const *outputs;
    /* Inputs that it takes: min..max; 0, 0 for a source. */
    uint32_t min_inputs;
    uint32_t max_inputs;
    const sl_node_ops *node;
    const sl_task_ops *task;
} sl_role;

typedef struct sl_plugin {
    uint32_t abi_major;
    uint32_t abi_minor;
    uint32_t struct_bytes;
    uint32_t reserved;
    const char *name; /* as in the topology: equal to the file's name without .so */
    const char *version;
    const char *summary;   /* one line */
    const char *licence;   /* SPDX */
    const sl_role *source; /* NULL: has no such role */
    const sl_role *transform;
    const sl_role *sink;
    /* A section of the topology, shared by all nodes of this plugin ("kafka": {...}); NULL: none.
     */
    const char *section;
    const sl_option *section_options;
    size_t section_bytes;
} sl_plugin;

/* In a plugin's one file:  SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = { SL_PLUGIN_HEADER,
 * .name = ... }; */
#ifdef __cplusplus
#define SL_PLUGIN_EXPORT extern "C" SL_EXPORT
#else
#define SL_PLUGIN_EXPORT SL_EXPORT
#endif
#define SL_PLUGIN_HEADER SL_ABI_MAJOR, SL_ABI_MINOR, sizeof(sl_plugin), 0

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_PLUGIN_H */
