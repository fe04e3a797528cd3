/*
 * Branches: the part of a stream's path behind one edge with `when_full: detach`.
 *
 * A branch that holds its stream back leaves it: the stream goes on and passes the edge by. What
 * the edge lacks comes later by a *feed*: a second stream of the same records, with a reader of its
 * own (of a source), or sent again from the outbox (of a transform that owns the stream). A feed
 * runs through the tasks above the edge, which keep no state, and its batches change into those of
 * the branch's stream at the edge. So the node behind it sees one stream without gaps, and its
 * positions, commits, recoveries and revocations know nothing of feeds.
 *
 * A feed is cut where the stream has come to: once it is delivered up to there, the branch joins,
 * and the feed ends. Everything here happens on the stream's lane, but for the start of a reader.
 * docs/architecture/backpressure.md has the whole of it.
 */
#ifndef LANE_BRANCH_H
#define LANE_BRANCH_H

#include "delivery/stream.h"
#include "host/retry.h"
#include "lane/lane.h"

enum feed_state { FEED_NONE, FEED_STARTING, FEED_READING };

struct branch {
    struct branch *next; /* of the lane's list: apart, or its feed has not ended yet */
    bool listed;
    struct stream *main;
    struct stream *feed;
    struct lane_edge *edge; /* where it begins */
    struct lane_task *task; /* that reads the edge */
    bool *below;            /* by edge of the topology: the edge itself and all behind it */
    int64_t begins;         /* when the stream is attached, the edge gets what lies from here on */
    bool begins_apart;
    bool apart;
    int64_t delivered_to; /* the edge has got all below */
    int64_t passed_to;    /* the stream went past the edge up to here */
    int64_t joins_at;     /* the feed has been cut here; SL_OFFSET_NONE: not yet */
    enum feed_state state;
    bool asked; /* the owner of the stream is sending results again */
    int64_t asked_from;
    int64_t failed_at;     /* polling failed when so much was delivered */
    int64_t not_before_us; /* a failed start is tried again */
    struct retry retry;
    /* the start of a reader on the control loop, or what the owner is asked */
    struct loop_message message;
    sl_request request;
    sl_error *error;
    void *handle;
    /* for show */
    _Atomic bool is_apart;
    _Atomic int64_t behind; /* offsets between it and its stream */
};

/* ---- on the lane ---- */

/* Hands a batch of the stream, or of the feed, to the branch's edge if it is the branch's turn.
 * `batch` stays the caller's. */
void branch_push(struct branch *branch, struct stream *from, struct batch *batch);
/* Whether the stream goes past an edge now, since a branch at or above it is apart. */
bool branch_passes_by(const struct stream *stream, size_t edge);
/* A full edge may be left: the branch's time has come. */
bool branch_may_leave(const struct branch *branch);
void branch_leave(struct branch *branch);
/* A feed's batch on its way out of the source, without what the stream has not read yet. Takes
 * `batch`; *out NULL: nothing is left. */
sl_error *branch_limit(struct stream *feed, uint32_t output, struct batch *batch,
                       struct batch **out);
/* A feed of this stream that is so close behind that it goes first; NULL. */
struct stream *branch_first(const struct stream *stream);
/* Whether a feed has something to do. */
bool branch_wants(const struct stream *feed);
/* Asks the owner of the stream for more results. */
void branch_ask(struct stream *feed);
/* Polling a feed has failed: its reader is started anew, which may tell better why it cannot be;
 * when nothing has come since the last time, the node behind the edge fails. Takes the error. */
void branch_poll_failed(struct stream *feed, sl_error *error);
/* Joins, starts and ends what is due. After each turn of the lane. */
void branches_look(struct lane *lane);
/* The task lacks rows that are still to come by a feed. */
bool branches_owe(const struct lane_task *task);
/* A stream that has ended must be read on for some branch. */
bool branches_are_apart(const struct stream *stream);

/* ---- delivery/feed.c ---- */

/* Makes the branches of a stream whose edges are known. Errors: NO_MEMORY. */
sl_error *branches_new(struct stream *stream);
void branches_free(struct stream *stream);
/* Decides where each branch begins, and with them the stream: *start comes in as the smallest
 * position of all its readers, who know theirs. Errors: NO_MEMORY. */
sl_error *branches_place(struct stream *stream, int64_t *start);
/* Where an edge of the stream begins. */
int64_t branches_begin(const struct stream *stream, size_t edge);

/* On the lane: the stream is attached; it stops, so that no feed starts any more and those that run
 * end; calls to plugins for its feeds are under way. */
void branches_attach(struct stream *stream);
void branches_stop(struct stream *stream);
bool branches_are_busy(const struct stream *stream);
/* Begins to read from what is delivered; ends it. */
void feed_start(struct branch *branch);
void feed_end(struct branch *branch);

#endif /* LANE_BRANCH_H */
