/*
 * http: a client for HTTP(S) on the caller's event loop, on libcurl's multi interface. Connections
 * are reused, certificates verified, proxies taken from the environment; attempts that may pass
 * later are repeated with growing, jittered pauses, bounded in time and by a budget, so that a
 * service in trouble is not asked more often than one that works. Authorization is an object of its
 * own (auth.c, token.c).
 *
 * The loop is a table of functions, so that the library knows no loop's library. Everything here
 * runs on that loop but what says "any thread".
 */
#ifndef SL_HTTP_HTTP_H
#define SL_HTTP_HTTP_H

#include "base/base.h"
#include "sluice/http.h"

/* ---- the loop ---- */

enum { SL_HTTP_READABLE = 1u, SL_HTTP_WRITABLE = 2u };

/* struct_bytes is not needed: host and library are built together. */
typedef struct sl_http_loop {
    void *context;
    /* Calls ready(arg, SL_HTTP_*) while `fd` is in one of the states of `events`. */
    sl_error *(*watch)(void *context, int fd, void (*ready)(void *arg, unsigned events), void *arg,
                       void **out);
    sl_error *(*watch_events)(void *watch, unsigned events);
    /* Ends the watch at once; the descriptor may be closed when it returns. */
    void (*unwatch)(void *watch);
    /* A timer that calls fire(arg) once after each start. */
    sl_error *(*timer_open)(void *context, void (*fire)(void *arg), void *arg, void **out);
    void (*timer_start)(void *timer, uint64_t delay_ms); /* anew when it runs already */
    void (*timer_stop)(void *timer);
    void (*timer_close)(void *timer);
    /* Runs run(arg) on the loop soon. Any thread. */
    sl_error *(*post)(void *context, void (*run)(void *arg), void *arg);
} sl_http_loop;

/* ---- the client (client.c, exchange.c) ---- */

typedef struct sl_http sl_http;

/* One attempt at a host ("name" or "name:port", as in the URL): the answer's status (0: none came)
 * and how long it took. On the loop. */
typedef void (*sl_http_count)(void *arg, const char *host, int status, int64_t us);

typedef struct sl_http_options {
    uint32_t connect_timeout_ms;   /* 0: 10,000 */
    uint32_t timeout_ms;           /* of one attempt; 0: 120,000 */
    uint32_t stall_timeout_ms;     /* without a byte in either direction; 0: 20,000 */
    uint32_t retry_timeout_ms;     /* attempts begin within it; 0: 30,000 */
    uint32_t connections_per_host; /* 0: 16 */
    const char *user_agent;        /* copied; NULL: "sluice" */
    const char *ca_file;           /* copied; NULL: the system's */
    const char *cert_file;         /* copied; PEM of the client's own certificate; NULL: none */
    const char *key_file;          /* copied; of its key */
    void (*log)(void *arg, bool warning, const char *text); /* NULL: silent */
    sl_http_count count;                                    /* NULL: not counted */
    /* The body of an answer 2xx comes in pieces, and `done` sees none of it; false ends it with an
     * error. NULL: it is gathered. */
    bool (*piece)(void *arg, const void *data, size_t bytes);
    void *arg; /* of log, count and piece */
} sl_http_options;

/* `loop` is copied. On failure nothing is left. Errors: FATAL, NO_MEMORY. */
sl_error *sl_http_open(const sl_http_loop *loop, const sl_http_options *options, sl_http **out);
/* Requests under way end with an error before it returns. */
void sl_http_close(sl_http *http);

/* `response` and `error`: exactly one is not NULL; the error is moved, the response borrowed for
 * the call. */
typedef void (*sl_http_done)(void *arg, const sl_http_response *response, sl_error *error);

/*
 * Sends; done(arg, ...) is called once, on the loop, unless an error is returned. Everything but
 * body and auth is copied. Any thread. Errors: CONFIG (not a URL), NO_MEMORY; by `done`: RETRIABLE
 * (no answer within the time), FATAL (TLS, a URL that cannot be), those of the authorization.
 */
sl_error *sl_http_send(sl_http *http, const sl_http_request *request, sl_http_done done, void *arg);

/* An sl_http_response of one's own. */
typedef struct sl_http_answer {
    sl_http_response response;
    sl_buffer headers;
    sl_buffer body;
} sl_http_answer;

/* Sends and waits. Any thread but the loop's own. On success *out is the caller's
 * (sl_http_answer_free). */
sl_error *sl_http_perform(sl_http *http, const sl_http_request *request, sl_http_answer *out);
void sl_http_answer_free(sl_http_answer *answer);
/* Copies a response, for a caller that keeps it. */
sl_error *sl_http_answer_copy(const sl_http_response *response, sl_http_answer *out);

/* The value of a header (name in lower case), up to its line's end; NULL when there is none.
 * Borrowed, *bytes long. Any thread. */
const char *sl_http_header_value(const sl_http_response *response, const char *name, size_t *bytes);

/* ---- authorization ---- */

/* What an attempt is about to send. */
typedef struct sl_http_attempt {
    const char *method;
    const char *url;
    const sl_http_header *headers;
    size_t n_headers;
    size_t body_bytes;
} sl_http_attempt;

/* An implementation's object begins with this. All on the client's loop. */
typedef struct sl_http_auth_ops {
    /*
     * Calls ready(arg, error) once, now or later, when attempts can be signed. `refused`: number
     * of what the last attempt was signed with when its answer was 401, so that it is not used
     * again; 0: nothing was refused.
     */
    void (*prepare)(sl_http_auth *auth, sl_http *http, uint64_t refused,
                    void (*ready)(void *arg, sl_error *error), void *arg);
    /* Appends "Name: value\n" for each header to add; *number is that of what they are made of, 0
     * when there is never another. */
    sl_error *(*sign)(sl_http_auth *auth, const sl_http_attempt *attempt, sl_buffer *headers,
                      uint64_t *number);
    /* What a reader of a 401 or 403 can do; for messages. */
    const char *(*advice)(const sl_http_auth *auth);
    void (*close)(sl_http_auth *auth);
} sl_http_auth_ops;

struct sl_http_auth {
    const sl_http_auth_ops *ops;
};

/*
 * Bearer tokens of Microsoft Entra ID (token.c): OAuth 2.0 client credentials (RFC 6749, 4.4),
 * with a client secret or an assertion (RFC 7523), and managed identities. Strings are copied; the
 * environment is read here. Errors: CONFIG (what is missing, and where it can come from),
 * NO_MEMORY.
 */
sl_error *sl_http_token_auth(const sl_credential *credential, sl_http_auth **out);
/* Whether two made by sl_http_token_auth are of one credential and scope: then one will do. Any
 * thread. */
bool sl_http_token_auth_same(const sl_http_auth *a, const sl_http_auth *b);
/* Ends it; no request may use it any more. NULL is allowed. On the loop, or after the client's
 * close. */
void sl_http_auth_close(sl_http_auth *auth);

/* ---- retries (retry.c) ---- */

/* Whether an answer of this status may be another one later. */
bool sl_http_status_may_pass(int status);
/*
 * The pause before attempt `attempt` + 1 (1: the first has failed), ms: exponential from 100 ms to
 * 10 s with full jitter by `random` (any 64 bits), but not less than the answer asks for by
 * retry-after-ms, x-ms-retry-after-ms or Retry-After (seconds or an HTTP date, RFC 9110 10.2.3).
 */
uint64_t sl_http_retry_pause_ms(uint32_t attempt, const sl_http_response *response, uint64_t random,
                                int64_t now_us);

#endif /* SL_HTTP_HTTP_H */
