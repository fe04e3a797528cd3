/*
 * The sink with "delivery": "exactly-once": each commit of the node is one Kafka transaction with
 * the rows and the positions that they bring the node to.
 *
 * A position is the committed offset of a group that nobody joins, whose name is the position's key
 * (sluice/PIPELINE/NODE/INPUT/SOURCE/TOPIC/PARTITION). Brokers want offsets to be of a partition
 * that exists: it stands under partition 0 of the sink's own topic, whatever the stream is.
 *
 * Kafka compares nothing when offsets are committed. What makes a commit compare-and-set is that
 * each position has an owner, written in the metadata beside it: the transactional id of the one
 * writer that may move it. The rules:
 *
 *   1. A position is written only in a transaction of its owner's id, by a producer that has read
 *      the owner after its init_transactions.
 *   2. So a new owner takes a position over in a transaction *of the old owner's id*.
 *
 * init_transactions fences every older producer of its id and ends its open transaction; so of all
 * who ever read "the owner is X", only the last one to begin with X's id can still write. A host
 * that was stopped and goes on finds itself fenced, begins anew, and reads that the position is no
 * longer its own. A position that nobody has yet belongs to the id of the node itself.
 */
#ifndef KAFKA_SINK_TRANSACTION_H
#define KAFKA_SINK_TRANSACTION_H

#include "sink_limits.h"

#define SINK_TRANSACTION_LIMIT_MS 60000

/* ---- pieces: what tasks hand over (sink_piece.c) ---- */

struct sink_kept {
    uint32_t input;
    const sl_batch *batch; /* retained */
    sink_faults *faults;   /* rows that are not written; owned */
};
struct sink_piece {
    size_t n;
    size_t capacity;
    struct sink_kept kept[];
};
/* Keeps a batch; makes the piece when *piece is NULL. Takes `faults` unless it fails. Errors:
 * NO_MEMORY. */
sl_error *sink_piece_add(struct sink_piece **piece, const sl_services *services, uint32_t input,
                         const sl_batch *batch, sink_faults *faults);
/* Lets go of the stream's batches; NULL is allowed. */
void sink_piece_forget(struct sink_piece *piece, const sl_services *services,
                       const sl_stream *stream);
void sink_piece_free(struct sink_piece *piece, const sl_services *services);

/* ---- commits (sink_transaction.c); node thread, all block ---- */

/* node.recover and node.commit. */
sl_error *sink_recover(struct sl_node *node, sl_position *positions, size_t n);
sl_error *sink_commit(struct sl_node *node, const sl_commit *commit);

/* An error of the transactional API: RETRIABLE, or FATAL for what time does not heal; frees
 * `refused`. */
sl_error *sink_transaction_error(const struct sl_node *node, const rd_kafka_t *client,
                                 rd_kafka_error_t *refused, const char *doing);

/* ---- positions (sink_positions.c) ---- */

struct sink_place {
    char *key;
    int64_t stored;       /* SL_OFFSET_NONE: nothing yet */
    unsigned incarnation; /* of the producer that has read it */
    int64_t sent_us;      /* when we sent it, or saw it with another owner; 0: not in this run */
    bool known;           /* the state store has a mark of it */
};
/* What is stored for a position. */
struct sink_stored {
    int64_t offset;
    char owner[256]; /* "": nobody has it yet */
};

/* The place of a key, made when it is new; NULL: no memory. */
struct sink_place *sink_place_get(struct sl_node *node, const char *key);
void sink_places_free(struct sl_node *node);

/* Reads what is stored; `stable`: once no transaction is pending over it. One that a stopped owner
 * has open ends only when somebody begins with that owner's id. */
sl_error *sink_positions_read(struct sl_node *node, rd_kafka_t *client,
                              const sl_position *positions, size_t n, bool stable,
                              struct sink_stored *out);

/* Adds positions to the client's open transaction, each with `offsets[i]`, owned by this node. Each
 * may take limit_ms. */
sl_error *sink_positions_send(struct sl_node *node, rd_kafka_t *client,
                              const sl_position *positions, const int64_t *offsets, size_t n,
                              int limit_ms);

/* The topic under which positions are committed. */
const char *sink_positions_topic(const struct sl_node *node);

/* ---- marks of positions (sink_known.c) ---- */

/* Keeps a mark of a position that is stored; a failure is only logged. */
void sink_known_keep(struct sl_node *node, struct sink_place *place);
/* FATAL when a position of which nothing is stored has a mark. */
sl_error *sink_known_check(struct sl_node *node, const char *key);

/* ---- positions that do not move (sink_refresh.c) ---- */

/* Begins to look after them, unless it has begun. Errors: NO_MEMORY. */
sl_error *sink_refresh_start(struct sl_node *node);
/* Those that were not sent in this run, at its end: the next may be as short, and the one after. */
void sink_refresh_last(struct sl_node *node);
void sink_refresh_stop(struct sl_node *node);

/* ---- owners ---- */

/* The transactional id of an owner: of the node itself when it is "". Into `out`. */
void sink_owner_id(const struct sl_node *node, const char *owner, sl_buffer *out);

#endif /* KAFKA_SINK_TRANSACTION_H */
