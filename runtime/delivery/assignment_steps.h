/*
 * What the parts of assignments share: an assignment is a queue entry with streams and the step
 * that it is at. A step starts work on other loops and counts it in `outstanding`; the next one
 * begins when all has answered. Control loop only.
 *
 *   assign.c        recover → resolve → store starts → resume → attach → running
 *   revoke.c        stop → commit → detach → suspend, and maybe assigned again
 *   whole.c         nodes that wait for streams of other hosts
 *   calls.c         one call of a node within a step
 *   patience.c      calls that are not answered
 *   acknowledge.c   what all readers have
 */
#ifndef DELIVERY_ASSIGNMENT_STEPS_H
#define DELIVERY_ASSIGNMENT_STEPS_H

#include "delivery/assignment.h"
#include "delivery/attach.h"
#include "delivery/cycle.h"
#include "delivery/stream.h"
#include "host/run.h"

enum call_kind { CALL_RECOVER, CALL_RESOLVE, CALL_BOUNDS, CALL_STORE_START, CALL_RESUME };

/* One call of one node within a step. */
struct call {
    sl_request request;
    struct loop_message message;
    struct call *next;
    struct assignment *assignment;
    enum call_kind kind;
    struct host_node *node;
    struct stream *stream;
    struct reader *reader;   /* of a reader's resume */
    struct reader **readers; /* of positions */
    sl_position *positions;  /* of the readers, and counts of theirs behind */
    size_t n;
    size_t n_positions;
    sl_commit commit;
    int64_t offset;
    void *handle;
    bool answered;
    bool late;        /* nobody waits for it any more, and it may be answered at any time */
    int64_t asked_us; /* 0: it waits to be tried again */
    struct retry retry;
};

struct assignment {
    struct assignment *next;
    struct host *host;
    struct host_node *owner;
    struct stream **streams;
    size_t n_streams;
    struct call *calls;
    unsigned outstanding;
    sl_error *error;
    void (*after_commit)(struct assignment *a);  /* NULL: detach, as a revocation does */
    void (*step)(struct assignment *assignment); /* when nothing is outstanding */
    bool running;
    bool leaves; /* a revocation or a recovery */
    int64_t asked_us;
    bool late;    /* revoke.timeout has passed since */
    bool put_off; /* a call failed while a revocation waits: its streams are assigned again later */
    bool overtaken; /* a node has been refused by a position that somebody else has moved */
    bool unheard;   /* the same, but its calls are still under way: nobody waits for them */
    /* revocation; its streams may have several owners */
    bool again;   /* they are assigned anew afterwards */
    bool turns;   /* its owner begins or ends to wait in between */
    bool not_own; /* those of `owner` are not assigned anew */
    void (*between)(struct host_node *node, struct assignment *turn);
    struct assignment_move move; /* of several nodes; `owner` is NULL then */
    bool moves;
    bool gathered_none; /* for want of memory */
    bool lost;
    void (*revoked)(void *arg);
    void *revoked_arg;
    bool answered; /* early, since the owner is closed */
    struct cycle_waiter *waiters;
};

/* ---- assignment.c ---- */

/* An assignment of `owner` (NULL: it is of several nodes) that begins with `step`, with room for n
 * streams; NULL without memory. */
struct assignment *assignment_new(struct host *host, struct host_node *owner, size_t n,
                                  void (*step)(struct assignment *a));
void assignment_free(struct assignment *a);
/* It gets its turn when those before it have ended. */
void assignment_queue(struct assignment *a);
/* Tells the owner of a revocation that it is through, unless it has been told, or is closed.
 * Errors: NO_MEMORY. */
sl_error *assignment_answer(struct assignment *a);
/* The first revocation that waits behind it, or NULL. */
const struct assignment *assignment_revocation_behind(const struct assignment *a);
/* The revocation that may not wait for this assignment: itself, or one behind it; NULL. */
const struct assignment *assignment_pressing(const struct assignment *a);
/* From now on it waits for its nodes until revoke.timeout has passed since it was asked for. */
void assignment_start_deadline(struct assignment *a);
/* It looks once more, after so long, at the nodes that it waits for. */
void assignment_wait_longer(struct assignment *a, int64_t us);
/* Begins the next step, or fails, once nothing is outstanding. */
void assignment_go_on(struct assignment *a);
/* The last step: frees it, and lets the next one begin. */
void assignment_end(struct assignment *a);
/* Its streams, forgotten by now, get their turn once more, behind what waits. */
void assignment_assign_again(struct assignment *a);
/* The stream is gone for good: what is said of it from now on is not heard. */
void assignment_forget_stream(struct stream *stream);
/* An answer of attach.h's functions. */
void assignment_answered(void *assignment, sl_error *error);

/* What a node has resumed for a stream and no task will take. */
void assignment_drop_handle(struct host_node *node, struct stream *stream, void **handle);

/* ---- calls.c ---- */

/* A call that call_start begins, freed with the assignment. NULL without memory, which the
 * assignment's error then says. */
struct call *call_new(struct assignment *a, enum call_kind kind, struct host_node *node);
void call_start(struct call *call);
void calls_free(struct assignment *a);
/* What it asks of the node: "resuming". */
const char *call_name(const struct call *call);
/* A reader's failure is its own; without the owner there is nothing to read. In a run that ends
 * neither is a failure. Takes the error. */
void call_failed(struct call *call, sl_error *error);

/* ---- patience.c ---- */

/* The call is made now: it is waited for so long, and no longer. */
void patience_begin(struct call *call);
/* A late call has come back. Takes the error. */
void patience_answered(struct call *call, sl_error *error);

/* ---- revoke.c ---- */

/* Every node that reads one of the streams commits what it has of them; then a->after_commit. */
void assignment_commit(struct assignment *a);
/* Those of its nodes that have not committed by now do not hold it up any longer. */
void assignment_commit_no_longer(struct assignment *a);
/* Takes in every attached stream that `concerns` picks, to be revoked; false without memory, which
 * the assignment's error then says. No other assignment is under way. */
bool assignment_gather(struct assignment *a,
                       bool (*concerns)(const struct host_node *, const struct stream *));
/* The first step of a revocation, once its streams are known. */
void assignment_stop(struct assignment *a);

/* ---- whole.c ---- */

/* The owner of an assignment that `turns` begins or ends to wait: its streams are detached. */
void whole_turn(struct assignment *a);

#endif /* DELIVERY_ASSIGNMENT_STEPS_H */
