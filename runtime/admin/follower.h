/*
 * Answers that go on: their bodies are written bit by bit, as server-sent events (WHATWG HTML,
 * 9.2) are. What a client does not take is bounded; one that is gone is noticed by the beat, a
 * comment every few seconds. Control loop.
 */
#ifndef ADMIN_FOLLOWER_H
#define ADMIN_FOLLOWER_H

#include "admin/admin.h"
#include "admin/exchange.h"

struct follower;

struct follower_ops {
    /* Every few seconds. NULL: nothing is to be done. */
    void (*beat)(void *arg);
    /* Called once: the client is gone, the endpoint ends, or follower_end was called. The follower
     * is not to be touched any more. */
    void (*gone)(void *arg);
};

/*
 * Within a handler: the answer's body comes from the follower; status and content type are the
 * handler's to set. NULL when memory is short.
 */
struct follower *exchange_follow(struct exchange *exchange, const struct follower_ops *ops,
                                 void *arg);

/* Sends one event with its data, which holds no line break. False: the client is too slow, or
 * memory is short; nothing of it is sent. */
bool follower_send(struct follower *follower, const char *event, const char *data, size_t bytes);
/* Ends the answer after what is sent already. */
void follower_end(struct follower *follower);

/* ---- for request.c and server.c ---- */

struct follower *follower_new(struct admin *admin, struct MHD_Connection *connection,
                              const struct follower_ops *ops, void *arg);
/* The response that it fills; it owns the follower from then on. On failure the follower is freed.
 */
struct MHD_Response *follower_response(struct follower *follower);
/* The endpoint ends. */
void followers_end(struct admin *admin);

#endif /* ADMIN_FOLLOWER_H */
