/*
 * libmicrohttpd on the control loop: its epoll descriptor is watched, and a timer runs for its
 * time-outs. Requests: request.c.
 */
#include "admin/server.h"

#include "admin/access/access.h"
#include "admin/admin.h"
#include "admin/follower.h"
#include "admin/listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_CONNECTIONS 64u
#define IDLE_TIMEOUT_S 30u
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define CONNECTION_BYTES ((size_t)64 << 10)

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

void admin_wake(struct admin *admin) {
    uv_timer_start(&admin->timer, timeout, 0, 0);
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
    const unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME |
                           (tls ? MHD_USE_TLS : 0u) |
                           (listen->address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0u);
    struct MHD_OptionItem encryption[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, listen->cert.data},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, listen->key.data},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {listen->client_ca.bytes > 0 ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0,
         listen->client_ca.data},
        {MHD_OPTION_END, 0, NULL},
    };
    const struct MHD_OptionItem none = {MHD_OPTION_END, 0, NULL};
    errno = 0;
    admin->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, request_handle, admin, MHD_OPTION_EXTERNAL_LOGGER, log_error, admin,
        MHD_OPTION_SOCK_ADDR, &listen->address, MHD_OPTION_NOTIFY_COMPLETED, request_completed,
        admin, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, MHD_OPTION_ARRAY,
        tls ? encryption : &none, MHD_OPTION_END);
    admin->scheme = tls ? "https" : "http";
    admin->needs_certificate = listen->client_ca.bytes > 0;
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

void admin_release(struct admin *admin) {
    if (--admin->holders == 0) {
        access_close(admin->access);
        free(admin);
    }
}

static void freed(uv_handle_t *handle) {
    admin_release(handle->data);
}

static void attach(struct admin *admin) {
    const union MHD_DaemonInfo *epoll =
        MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_loop_t *uv = &admin->host->control.uv;
    admin->holders = 3; /* the handles */
    uv_timer_init(uv, &admin->timer);
    uv_timer_init(uv, &admin->beat);
    uv_poll_init(uv, &admin->poll, epoll->epoll_fd);
    admin->poll.data = admin->timer.data = admin->beat.data = admin;
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
    request_end_waiting(admin);
    followers_end(admin);
    MHD_stop_daemon(admin->daemon);
    uv_close((uv_handle_t *)&admin->poll, freed);
    uv_close((uv_handle_t *)&admin->beat, freed);
    uv_close((uv_handle_t *)&admin->timer, freed);
}
