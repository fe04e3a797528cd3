/*
 * Assignments: how streams come and go. A source (or a transform that owns streams) offers stream
 * names; the control loop recovers every reader's position, resolves where nobody has one, resumes
 * the nodes, and attaches the streams to their lanes. One assignment or revocation is under way at
 * a time; the others wait in order.
 */
#ifndef DELIVERY_ASSIGNMENT_H
#define DELIVERY_ASSIGNMENT_H

#include "host/object.h"

#include "sluice/services.h"

struct assignment;

/* Takes streams in, of `output` of the owner (a source's 0). Names are copied. Control loop.
 * Errors: NO_MEMORY, FATAL (assigned already). */
sl_error *assignment_add(struct host_node *owner, uint32_t output, const sl_stream_name *names,
                         size_t n);

/* The owner's own streams that are not there yet: one for each output of a transform with
 * SL_ROLE_OWNS_STREAMS; of who assigns them itself, a source say, those that it had when it began
 * to wait. Nothing of other nodes. */
sl_error *assignment_add_own(struct host_node *owner);

/*
 * Gives streams up: reading stops, what was read is committed, the lanes detach,
 * then revoked(arg) runs on the owner's loop. Names that are not assigned are passed over. Control
 * loop.
 */
sl_error *assignment_revoke(struct host_node *owner, const sl_stream_name *names, size_t n,
                            bool lost, void (*revoked)(void *arg), void *arg);

/*
 * Somebody else has moved a position of `node`: every stream that it reads, and those of its own
 * results, are detached, after the other nodes have committed what they have of it, and assigned
 * again from what is stored now. False when that cannot be (a source has ended, memory is short).
 * Control loop.
 */
bool assignment_recover(struct host_node *node);

/* services->missing: nodes with SL_ROLE_WHOLE below the source begin or end to wait. Control loop.
 * Errors: NO_MEMORY. */
sl_error *assignment_missing(struct host_node *source, size_t missing, size_t total);

/*
 * Takes all streams away that go through `node` or are its own, as a recovery does, and calls
 * between(node, turn). Once it is told so by assignment_give_back(turn), they are assigned again,
 * but for its own. False when that cannot be. Control loop.
 */
bool assignment_take_away(struct host_node *node,
                          void (*between)(struct host_node *node, struct assignment *turn));
bool assignment_can_take_away(const struct host_node *node);
void assignment_give_back(struct assignment *turn);

/*
 * The same for several nodes at once: all streams that `concerns` picks are taken away, then
 * between(arg, turn, whole) is called, `whole` false when memory was too short to take any. Those
 * of owners that wait do not come back. False without memory. Control loop.
 */
struct assignment_move {
    bool (*concerns)(const void *arg, const struct stream *stream);
    void (*between)(void *arg, struct assignment *turn, bool whole);
    void *arg;
};
bool assignment_move(struct host *host, const struct assignment_move *move);
/* What a turn has taken away. */
struct stream *const *assignment_streams(const struct assignment *turn, size_t *n);

/* The node begins or ends to wait as node_must_wait says now: the streams that it has, or is to
 * have, are taken away in between. Control loop. Errors: NO_MEMORY. */
sl_error *assignment_turn(struct host_node *node);

/* Goes on with what waits, once the host has started. Control loop. */
void assignment_continue(struct host *host);
/* Revocations that were asked for while the run closes: once the tasks are closed their owners may
 * let go. Control loop. */
void assignment_answer_late(struct host *host);
/* The node is closed to be opened anew: what it has asked for and waits is forgotten. Revocations
 * are answered if it is still there to hear (`answer`). Control loop. */
void assignment_forget_owner(struct host_node *node, bool answer);
/* True when nothing waits or is under way. Nodes may still owe an answer that nobody waits for:
 * host->unheard. */
bool assignment_is_idle(const struct host *host);
/* Nodes that have not answered are waited for as long as host->draining allows. Control loop. */
void assignment_hurry(struct host *host);

/* The stream will not be polled any more. On its lane. */
void assignment_stream_ended(struct stream *stream);
/* A reader's position has moved: tells the owner what all readers have. Control loop. */
void assignment_acknowledge(struct stream *stream);
/* services->overtaken. Control loop. */
void assignment_overtaken(struct stream *stream, int64_t offset);
/* Detaches every stream that is still there, at the end of the run, then calls then(arg). Control
 * loop. */
void assignment_detach_all(struct host *host, void (*then)(void *arg), void *arg);
void assignment_free_all(struct host *host);

/* How long a call to a node may stay unanswered while others wait for it, in microseconds. */
int64_t assignment_patience_us(const struct host *host);

#endif /* DELIVERY_ASSIGNMENT_H */
