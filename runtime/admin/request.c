/*
 * A request: gathered whole (bounded), then answered, at once or when what it asked for is done.
 * Until then its connection is suspended. It lives until the library says that it is over.
 */
#include "admin/access/guard.h"
#include "admin/access/peer.h"
#include "admin/admin.h"
#include "admin/exchange.h"
#include "admin/follower.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

enum { REQUESTS_A_SECOND = 1000 };

struct request {
    struct exchange exchange; /* first */
    struct admin *admin;
    struct MHD_Connection *connection;
    sl_buffer body;
    bool too_long;
    bool answered;
    char name[256]; /* of the client, by its certificate */
    /* among admin->waiting */
    struct request *next;
    struct request *previous;
};

/* ---- what is asked ---- */

struct wanted {
    const char *name;
    size_t nth;
    const char *value;
};

static enum MHD_Result match_query(void *arg, enum MHD_ValueKind kind, const char *name,
                                   const char *value) {
    (void)kind;
    struct wanted *wanted = arg;
    if (strcmp(name, wanted->name) == 0 && wanted->nth-- == 0) {
        wanted->value = value != NULL ? value : "";
        return MHD_NO;
    }
    return MHD_YES;
}

static const char *query(const struct exchange *exchange, const char *name, size_t nth) {
    const struct request *request = (const struct request *)exchange;
    struct wanted wanted = {name, nth, NULL};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, match_query, &wanted);
    return wanted.value;
}

/* Splits the path, which libmicrohttpd has decoded; false when it has too many or too long parts.
 */
static bool split(const char *path, struct exchange *exchange) {
    while (*path != 0) {
        size_t bytes = strcspn(path, "/");
        if (bytes > 0) {
            if (exchange->n_parts == EXCHANGE_MAX_PARTS || bytes >= EXCHANGE_PART_BYTES) {
                return false;
            }
            memcpy(exchange->parts[exchange->n_parts], path, bytes);
            exchange->parts[exchange->n_parts++][bytes] = 0;
        }
        path += bytes + (path[bytes] == '/');
    }
    return true;
}

static const char *header(const struct request *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static void name_peer(struct request *request) {
    char *peer = request->exchange.peer;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
    if (address != NULL && address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, peer, sizeof(request->exchange.peer));
    } else if (address != NULL && address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, peer, sizeof(request->exchange.peer));
    }
}

/* What borrows from the connection stays while it is suspended. */
static void fill_exchange(struct request *request, const char *path, const char *method) {
    struct exchange *exchange = &request->exchange;
    const char *accept = header(request, MHD_HTTP_HEADER_ACCEPT);
    exchange->host = request->admin->host;
    exchange->method = method;
    exchange->path = path;
    exchange->access = request->admin->access;
    exchange->authorization = header(request, MHD_HTTP_HEADER_AUTHORIZATION);
    exchange->origin = header(request, MHD_HTTP_HEADER_ORIGIN);
    exchange->host_header = header(request, MHD_HTTP_HEADER_HOST);
    name_peer(request);
    exchange->needs_certificate = request->admin->needs_certificate;
    if (exchange->needs_certificate &&
        peer_name(request->connection, request->name, sizeof(request->name))) {
        exchange->certificate = request->name;
    }
    exchange->accept = accept != NULL ? accept : "";
    exchange->request_body = request->body.data;
    exchange->request_bytes = request->body.bytes;
    exchange->query = query;
}

/* ---- the answer ---- */

static void add_header(struct MHD_Response *response, const char *name, const char *value) {
    if (value != NULL) {
        MHD_add_response_header(response, name, value);
    }
}

/* An empty one is none. */
static const char *text_of(sl_buffer *buffer) {
    return buffer->bytes > 0 ? sl_buffer_text(buffer) : NULL;
}

static struct MHD_Response *make_response(struct exchange *exchange) {
    if (exchange->follower != NULL) {
        return follower_response(exchange->follower);
    }
    if (exchange->body.failed) {
        sl_buffer_free(&exchange->body);
        exchange->status = 500;
    }
    return MHD_create_response_from_buffer(exchange->body.bytes,
                                           exchange->body.data != NULL ? (void *)exchange->body.data
                                                                       : (void *)"",
                                           MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result send_answer(struct request *request) {
    struct exchange *exchange = &request->exchange;
    struct MHD_Response *response = make_response(exchange);
    if (response == NULL) {
        return MHD_NO;
    }
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, exchange->content_type);
    add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, exchange->challenge);
    add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, exchange->status == 429 ? "1" : NULL);
    if (exchange->security_policy != NULL) {
        add_header(response, "Content-Security-Policy", exchange->security_policy);
        add_header(response, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT);
    }
    add_header(response, MHD_HTTP_HEADER_ALLOW, text_of(&exchange->allow));
    add_header(response, MHD_HTTP_HEADER_LOCATION, text_of(&exchange->location));
    add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    add_header(response, "X-Content-Type-Options", "nosniff");
    enum MHD_Result result =
        MHD_queue_response(request->connection, (unsigned)exchange->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- answers that take their time ---- */

struct follower *exchange_follow(struct exchange *exchange, const struct follower_ops *ops,
                                 void *arg) {
    struct request *request = (struct request *)exchange;
    exchange->follower = follower_new(request->admin, request->connection, ops, arg);
    return exchange->follower;
}

void exchange_wait(struct exchange *exchange) {
    struct request *request = (struct request *)exchange;
    struct admin *admin = request->admin;
    exchange->waits = true;
    request->previous = NULL;
    request->next = admin->waiting;
    if (request->next != NULL) {
        request->next->previous = request;
    }
    admin->waiting = request;
    MHD_suspend_connection(request->connection);
}

static void unlink_waiting(struct request *request) {
    struct admin *admin = request->admin;
    *(request->previous != NULL ? &request->previous->next : &admin->waiting) = request->next;
    if (request->next != NULL) {
        request->next->previous = request->previous;
    }
    request->exchange.waits = false;
}

void exchange_finish(struct exchange *exchange) {
    struct request *request = (struct request *)exchange;
    unlink_waiting(request);
    guard_record(exchange);
    MHD_resume_connection(request->connection);
    admin_wake(request->admin);
}

void exchange_again(struct exchange *exchange) {
    struct request *request = (struct request *)exchange;
    unlink_waiting(request);
    exchange->abandon = NULL;
    exchange->n_parts = 0;
    request->answered = false;
    MHD_resume_connection(request->connection);
    admin_wake(request->admin);
}

void request_end_waiting(struct admin *admin) {
    while (admin->waiting != NULL) {
        struct exchange *exchange = &admin->waiting->exchange;
        if (exchange->abandon != NULL) {
            exchange->abandon(exchange);
        }
        exchange_fail(exchange, 503, "sluice ends");
        exchange_finish(exchange);
    }
}

/* ---- the library's callbacks ---- */

/* A bucket of a second's requests. */
static bool may_answer(struct admin *admin) {
    int64_t now_us = sl_monotonic_us();
    admin->requests_left += (double)(now_us - admin->requests_us) / 1e6 * REQUESTS_A_SECOND;
    admin->requests_us = now_us;
    if (admin->requests_left > REQUESTS_A_SECOND) {
        admin->requests_left = REQUESTS_A_SECOND;
    }
    if (admin->requests_left < 1) {
        return false;
    }
    admin->requests_left -= 1;
    return true;
}

static enum MHD_Result answer(struct request *request, const char *path, const char *method) {
    struct exchange *exchange = &request->exchange;
    fill_exchange(request, path, method);
    request->answered = true;
    if (!may_answer(request->admin)) {
        exchange_fail(exchange, 429, "too many requests: more than %d a second", REQUESTS_A_SECOND);
    } else if (request->too_long) {
        exchange_fail(exchange, 413, "the request is longer than %zu bytes",
                      ADMIN_MAX_REQUEST_BYTES);
    } else if (request->body.failed) {
        exchange_fail(exchange, 500, "memory is short");
    } else if (!split(path, exchange)) {
        exchange_fail(exchange, 404, "HTTP 404 Not Found");
    } else {
        exchange_answer(exchange);
    }
    return exchange->waits ? MHD_YES : send_answer(request);
}

enum MHD_Result request_handle(void *admin, struct MHD_Connection *connection, const char *path,
                               const char *method, const char *version, const char *data,
                               size_t *data_bytes, void **context) {
    (void)version;
    struct request *request = *context;
    if (request == NULL) {
        request = calloc(1, sizeof(*request));
        *context = request;
        if (request == NULL) {
            return MHD_NO;
        }
        request->admin = admin;
        request->connection = connection;
        return MHD_YES;
    }
    if (*data_bytes > 0) {
        request->too_long =
            request->too_long || *data_bytes > ADMIN_MAX_REQUEST_BYTES - request->body.bytes;
        if (!request->too_long) {
            sl_buffer_append(&request->body, data, *data_bytes);
        }
        *data_bytes = 0;
        return MHD_YES;
    }
    return request->answered ? send_answer(request) : answer(request, path, method);
}

void request_completed(void *admin, struct MHD_Connection *connection, void **context,
                       enum MHD_RequestTerminationCode code) {
    (void)admin;
    (void)connection;
    (void)code;
    struct request *request = *context;
    if (request != NULL) {
        sl_buffer_free(&request->body);
        sl_buffer_free(&request->exchange.body);
        sl_buffer_free(&request->exchange.location);
        sl_buffer_free(&request->exchange.allow);
        sl_buffer_free(&request->exchange.note);
        free(request);
        *context = NULL;
    }
}
