/*
 * One request to the admin endpoint and its answer, without a word of the HTTP server's library:
 * what routes.c's handlers see.
 */
#ifndef ADMIN_EXCHANGE_H
#define ADMIN_EXCHANGE_H

#include "admin/access/access.h"
#include "host/run.h"
#include "report/json_out.h"
#include "topology/document.h"

#include "base/base.h"

enum { EXCHANGE_MAX_PARTS = 8, EXCHANGE_PART_BYTES = 256 };

struct exchange {
    struct host *host;
    const char *method;
    const char *path;          /* decoded */
    char peer[64];             /* who asks: an address */
    struct access *access;     /* NULL: nobody is asked who he is */
    const char *authorization; /* headers; NULL: not there */
    const char *origin;
    const char *host_header;
    const struct access_user *user; /* NULL: not known (guard.c) */
    bool checked;                   /* new credentials have been: `user` says how it ended */
    bool needs_certificate;         /* admin.tls.client_ca: the client has to show one */
    const char *certificate;        /* the common name of a good one; NULL: it has shown none */
    /* The path's parts, percent-decoded: "/connectors/gold/status" has three. */
    char parts[EXCHANGE_MAX_PARTS][EXCHANGE_PART_BYTES];
    size_t n_parts;
    const char *accept; /* "" when there is none */
    const uint8_t *request_body;
    size_t request_bytes;
    /* The nth value of a query parameter (0: the first), NULL when there is none; borrowed. */
    const char *(*query)(const struct exchange *exchange, const char *name, size_t nth);
    /* While it waits: the endpoint ends, and answers by itself; the exchange is not to be touched
     * any more. NULL: nobody needs to know. */
    void (*abandon)(struct exchange *exchange);
    void *waiter; /* abandon's own */
    bool waits;
    /* the answer */
    struct follower *follower; /* its body, bit by bit (follower.h); NULL: `body` is */
    int status;
    const char *content_type;
    const char *security_policy; /* header Content-Security-Policy; NULL: none */
    sl_buffer body;
    const char *challenge; /* header WWW-Authenticate; NULL: none */
    sl_buffer location;    /* header Location; empty: none */
    sl_buffer allow;       /* header Allow, of a 405 */
    sl_buffer note;        /* for the record of a change: what it was */
};

/* ---- what is asked for ---- */

/* The node that the path names: /connectors/NODE, /v1/nodes/NODE; NULL after a 404. */
struct host_node *exchange_node(struct exchange *exchange);
/* The node of this name; NULL after a 404. */
struct host_node *exchange_node_called(struct exchange *exchange, const char *name);
/* The lane that the fourth part of the path names; false after a 404. */
bool exchange_task(struct exchange *exchange, const struct host_node *node, int64_t *task);
/* The plugin that the second part of the path names; NULL after a 404. */
const struct plugin *exchange_plugin(struct exchange *exchange);
/* A query parameter that is true, false, or absent (false); false after a 400. */
bool exchange_flag(struct exchange *exchange, const char *name, bool *out);
/* The request's body, which has to be a JSON object, in the arena; NULL after a 400. */
struct json_value *exchange_object(struct exchange *exchange, struct arena *arena);

/* ---- answers ---- */

/* Kafka Connect's form of an error: {"error_code": ..., "message": ...}. */
void exchange_fail(struct exchange *exchange, int status, const char *format, ...) SL_PRINTF(3, 4);
/* Ends the writing of JSON as the answer's body. */
void exchange_json(struct exchange *exchange, int status, struct json_out *out);
/* A writer that masks what is secret in the host's topology. */
struct json_out exchange_writer(const struct exchange *exchange);

/*
 * Within a handler: it returns without an answer, which is to be filled in later, then
 * exchange_finish sends it. The exchange lives so long, and what it borrows. Control loop.
 */
void exchange_wait(struct exchange *exchange);
void exchange_finish(struct exchange *exchange);

/* After exchange_wait: the request is answered from its beginning once more. */
void exchange_again(struct exchange *exchange);

/* Answers the request (routes.c). Control loop. */
void exchange_answer(struct exchange *exchange);

#endif /* ADMIN_EXCHANGE_H */
