/*
 * libmicrohttpd on the control loop: its epoll descriptor is watched, and a timer runs for its
 * time-outs. A request is gathered whole (bounded), answered at once, and forgotten.
 */
#include "admin/server.h"

#include "admin/exchange.h"
#include "admin/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_REQUEST_BYTES ((size_t)1 << 20)
#define MAX_CONNECTIONS 64u
#define IDLE_TIMEOUT_S 30u
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define CONNECTION_BYTES ((size_t)64 << 10)

struct admin {
    struct host *host;
    struct MHD_Daemon *daemon;
    struct access *access; /* NULL: nobody is asked who he is */
    const char *scheme;
    uv_poll_t poll;
    uv_timer_t timer;
    int closing; /* handles that libuv still has */
};

/* A request while it is gathered. */
struct gathering {
    sl_buffer body;
    bool too_long;
};

/* ---- the loop ---- */

static void run(struct admin *admin) {
    MHD_run(admin->daemon);
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    if (MHD_get_timeout(admin->daemon, &timeout_ms) == MHD_YES) {
        uv_update_time(admin->timer.loop);
        uv_timer_start(&admin->timer, admin->timer.timer_cb, timeout_ms, 0);
    } else {
        uv_timer_stop(&admin->timer);
    }
}

static void ready(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    run(poll->data);
}

static void timeout(uv_timer_t *timer) {
    run(timer->data);
}

/* ---- requests ---- */

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
    struct wanted wanted = {name, nth, NULL};
    MHD_get_connection_values(exchange->server, MHD_GET_ARGUMENT_KIND, match_query, &wanted);
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

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct exchange *exchange) {
    if (exchange->body.failed) {
        sl_buffer_free(&exchange->body);
        exchange->status = 500;
    }
    size_t bytes = exchange->body.bytes;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        bytes, exchange->body.data != NULL ? (void *)exchange->body.data : (void *)"",
        MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    if (exchange->content_type != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, exchange->content_type);
    }
    if (exchange->challenge != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, exchange->challenge);
    }
    if (exchange->status == 429) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    }
    if (exchange->security_policy != NULL) {
        MHD_add_response_header(response, "Content-Security-Policy", exchange->security_policy);
        MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT);
    }
    if (exchange->allow.bytes > 0 && sl_buffer_text(&exchange->allow) != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
                                (const char *)exchange->allow.data);
    }
    if (exchange->location.bytes > 0 && sl_buffer_text(&exchange->location) != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION,
                                (const char *)exchange->location.data);
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)exchange->status, response);
    MHD_destroy_response(response);
    return result;
}

static const char *header(struct MHD_Connection *connection, const char *name) {
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void name_peer(struct MHD_Connection *connection, struct exchange *exchange) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
    if (address != NULL && address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, exchange->peer, sizeof(exchange->peer));
    } else if (address != NULL && address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, exchange->peer, sizeof(exchange->peer));
    }
}

static enum MHD_Result answer(struct admin *admin, struct MHD_Connection *connection,
                              const char *path, const char *method, struct gathering *gathering) {
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL) {
        return MHD_NO;
    }
    const char *accept = header(connection, MHD_HTTP_HEADER_ACCEPT);
    exchange->host = admin->host;
    exchange->method = method;
    exchange->path = path;
    exchange->access = admin->access;
    exchange->authorization = header(connection, MHD_HTTP_HEADER_AUTHORIZATION);
    exchange->origin = header(connection, MHD_HTTP_HEADER_ORIGIN);
    exchange->host_header = header(connection, MHD_HTTP_HEADER_HOST);
    name_peer(connection, exchange);
    exchange->accept = accept != NULL ? accept : "";
    exchange->request_body = gathering->body.data;
    exchange->request_bytes = gathering->body.bytes;
    exchange->query = query;
    exchange->server = connection;
    if (gathering->too_long) {
        exchange_fail(exchange, 413, "the request is longer than %zu bytes", MAX_REQUEST_BYTES);
    } else if (gathering->body.failed) {
        exchange_fail(exchange, 500, "memory is short");
    } else if (!split(path, exchange)) {
        exchange_fail(exchange, 404, "HTTP 404 Not Found");
    } else {
        exchange_answer(exchange);
    }
    enum MHD_Result result = send_answer(connection, exchange);
    sl_buffer_free(&exchange->body);
    sl_buffer_free(&exchange->location);
    sl_buffer_free(&exchange->allow);
    free(exchange);
    return result;
}

static enum MHD_Result access_handler(void *arg, struct MHD_Connection *connection,
                                      const char *path, const char *method, const char *version,
                                      const char *data, size_t *data_bytes, void **context) {
    (void)version;
    struct gathering *gathering = *context;
    if (gathering == NULL) {
        gathering = calloc(1, sizeof(*gathering));
        *context = gathering;
        return gathering != NULL ? MHD_YES : MHD_NO;
    }
    if (*data_bytes > 0) {
        gathering->too_long =
            gathering->too_long || *data_bytes > MAX_REQUEST_BYTES - gathering->body.bytes;
        if (!gathering->too_long) {
            sl_buffer_append(&gathering->body, data, *data_bytes);
        }
        *data_bytes = 0;
        return MHD_YES;
    }
    return answer(arg, connection, path, method, gathering);
}

static void completed(void *arg, struct MHD_Connection *connection, void **context,
                      enum MHD_RequestTerminationCode code) {
    (void)arg;
    (void)connection;
    (void)code;
    struct gathering *gathering = *context;
    if (gathering != NULL) {
        sl_buffer_free(&gathering->body);
        free(gathering);
        *context = NULL;
    }
}

SL_PRINTF(2, 0)
static void log_error(void *arg, const char *format, va_list args) {
    struct admin *admin = arg;
    char text[512];
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = 0;
    host_log(admin->host, SL_LOG_DEBUG, "admin", "%s", text);
}

/* ---- opening ---- */

static sl_error *start_daemon(struct admin *admin, const struct listen *listen) {
    const bool tls = listen->cert.bytes > 0;
    const unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0u) |
                           (listen->address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0u);
    struct MHD_OptionItem encryption[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, listen->cert.data},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, listen->key.data},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    const struct MHD_OptionItem none = {MHD_OPTION_END, 0, NULL};
    errno = 0;
    admin->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, access_handler, admin, MHD_OPTION_EXTERNAL_LOGGER, log_error, admin,
        MHD_OPTION_SOCK_ADDR, &listen->address, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
        MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, MHD_OPTION_ARRAY,
        tls ? encryption : &none, MHD_OPTION_END);
    admin->scheme = tls ? "https" : "http";
    if (admin->daemon != NULL) {
        return NULL;
    }
    const char *address = admin->host->topology->admin_listen;
    return tls && errno == 0
               ? sl_error_new(SL_ERROR_CONFIG,
                              "admin.listen: cannot listen on %s: is admin.tls.cert a certificate "
                              "(PEM) and admin.tls.key its key?",
                              address)
               : sl_error_new(SL_ERROR_FATAL, "admin.listen: cannot listen on %s: %s", address,
                              strerror(errno));
}

static void freed(uv_handle_t *handle) {
    struct admin *admin = handle->data;
    if (--admin->closing == 0) {
        access_close(admin->access);
        free(admin);
    }
}

static void attach(struct admin *admin) {
    const union MHD_DaemonInfo *epoll =
        MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_loop_t *uv = &admin->host->control.uv;
    uv_timer_init(uv, &admin->timer);
    uv_poll_init(uv, &admin->poll, epoll->epoll_fd);
    admin->poll.data = admin->timer.data = admin;
    admin->timer.timer_cb = timeout;
    uv_poll_start(&admin->poll, UV_READABLE, ready);
    const union MHD_DaemonInfo *port =
        MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_BIND_PORT);
    const char *listen = admin->host->topology->admin_listen;
    host_log(admin->host, SL_LOG_INFO, "admin", "%s://%.*s:%u", admin->scheme,
             (int)(strrchr(listen, ':') - listen), listen,
             port != NULL ? (unsigned)port->port : 0u);
}

/* An address that others reach, and what is said there can be read on the way. */
static void warn_of_plain_text(const struct admin *admin, const struct listen *listen) {
    if (!listen->loopback && listen->cert.bytes == 0) {
        host_log(admin->host, SL_LOG_WARN, "admin",
                 "%s is reached by others without TLS: credentials travel readable; set "
                 "admin.tls.cert and admin.tls.key",
                 admin->host->topology->admin_listen);
    }
}

static sl_error *open_admin(struct admin *admin, const struct listen *listen) {
    const struct topology *topology = admin->host->topology;
    sl_error *error =
        topology->admin_users != NULL ? access_open(topology->admin_users, &admin->access) : NULL;
    if (error == NULL) {
        error = start_daemon(admin, listen);
    }
    if (error == NULL) {
        warn_of_plain_text(admin, listen);
        attach(admin);
    }
    return error;
}

sl_error *admin_open(struct host *host, struct admin **out) {
    const struct topology *topology = host->topology;
    struct listen listen;
    *out = NULL;
    if (!topology->admin_enabled || (host->options->until_end && topology->admin_by_default)) {
        return NULL;
    }
    struct admin *admin = calloc(1, sizeof(*admin));
    if (admin == NULL) {
        return sl_error_no_memory();
    }
    admin->host = host;
    sl_error *error = listen_read(topology, &listen);
    if (error == NULL) {
        error = open_admin(admin, &listen);
    }
    listen_free(&listen);
    if (error == NULL) {
        *out = admin;
        return NULL;
    }
    access_close(admin->access);
    free(admin);
    if (topology->admin_by_default) {
        host_log(host, SL_LOG_INFO, "admin", "%s; it goes without", sl_error_message(error));
        sl_error_free(error);
        return NULL;
    }
    return error;
}

void admin_close(struct admin *admin) {
    if (admin == NULL) {
        return;
    }
    uv_poll_stop(&admin->poll);
    MHD_stop_daemon(admin->daemon);
    admin->closing = 2;
    uv_close((uv_handle_t *)&admin->poll, freed);
    uv_close((uv_handle_t *)&admin->timer, freed);
}
