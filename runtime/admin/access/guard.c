/*
 * Who may pass. Besides credentials it is about browsers, which carry requests of foreign pages: a
 * change is refused when it comes from a page of another origin (cross-site request forgery), and
 * where nobody is asked who he is, the request has to name the machine by an address or localhost
 * (DNS rebinding).
 */
#include "admin/access/guard.h"

#include "admin/admin.h"
#include "lane/tap.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define CHALLENGE "Basic realm=\"sluice\", charset=\"UTF-8\""

static bool changes(const struct exchange *exchange) {
    return strcmp(exchange->method, "GET") != 0 && strcmp(exchange->method, "HEAD") != 0;
}

/* "https://host:port" of the page is where it was sent to. */
static bool is_own_page(const struct exchange *exchange) {
    const char *slashes = exchange->origin != NULL ? strstr(exchange->origin, "://") : NULL;
    return exchange->origin == NULL || (slashes != NULL && exchange->host_header != NULL &&
                                        strcmp(slashes + 3, exchange->host_header) == 0);
}

static bool names_an_address(const struct exchange *exchange) {
    const char *name = exchange->host_header;
    if (name == NULL || *name == '[') {
        return true;
    }
    size_t bytes = strcspn(name, ":");
    return (bytes == strlen("localhost") && strncmp(name, "localhost", bytes) == 0) ||
           strspn(name, "0123456789.") >= bytes;
}

/* NULL: it may. */
static const char *distrusted(const struct exchange *exchange) {
    if (changes(exchange) && !is_own_page(exchange)) {
        return "a page of another origin may not change anything here";
    }
    if (exchange->access == NULL && !exchange->host->topology->admin_insecure &&
        !names_an_address(exchange)) {
        return "without admin.users this endpoint is asked by an address or as localhost";
    }
    return NULL;
}

/* ---- log-ins ---- */

/* New credentials on their way through the pool. */
struct login {
    uv_work_t work;
    struct admin *admin;
    struct access_check *check;
    struct exchange *exchange; /* NULL: it has been answered without */
};

static void login_work(uv_work_t *work) {
    struct login *login = work->data;
    access_check_run(login->check);
    OPENSSL_thread_stop(); /* what OpenSSL keeps for this thread would outlive it at the end */
}

static void login_checked(uv_work_t *work, int status) {
    (void)status;
    struct login *login = work->data;
    struct exchange *exchange = login->exchange;
    const struct access_user *user = access_check_end(login->admin->access, login->check);
    if (exchange != NULL) {
        exchange->user = user;
        exchange->checked = true;
        exchange_again(exchange);
    }
    admin_release(login->admin);
    free(login);
}

static void login_abandoned(struct exchange *exchange) {
    struct login *login = exchange->waiter;
    login->exchange = NULL;
}

/* The exchange waits, and is answered anew once it is known whose the credentials are; false: they
 * cannot be anybody's. */
static bool begin_login(struct exchange *exchange) {
    struct login *login = calloc(1, sizeof(*login));
    if (login == NULL) {
        return false;
    }
    *login = (struct login){.admin = exchange->host->admin, .exchange = exchange};
    login->check = access_check_new(exchange->access, exchange->authorization);
    if (login->check == NULL) {
        free(login);
        return false;
    }
    login->work.data = login;
    exchange_wait(exchange);
    exchange->abandon = login_abandoned;
    exchange->waiter = login;
    login->admin->holders++;
    uv_queue_work(&exchange->host->control.uv, &login->work, login_work, login_checked);
    return true;
}

/* ---- who asks ---- */

static void refresh(struct exchange *exchange) {
    sl_error *error;
    if (!access_refresh(exchange->access, &error)) {
        return;
    }
    if (error != NULL) {
        host_log(exchange->host, SL_LOG_ERROR, "admin", "%s; the users stay as they were",
                 sl_error_message(error));
        sl_error_free(error);
        return;
    }
    host_log(exchange->host, SL_LOG_INFO, "audit",
             "the file of admin.users has changed: read anew");
    taps_end(exchange->host); /* who looks may not be allowed to any more */
}

static enum access_answer identify(struct exchange *exchange) {
    if (exchange->checked) {
        return exchange->user != NULL ? ACCESS_GRANTED : ACCESS_UNKNOWN;
    }
    refresh(exchange);
    if (exchange->certificate != NULL) {
        exchange->user = access_by_certificate(exchange->access, exchange->certificate);
        if (exchange->user != NULL) {
            return ACCESS_GRANTED;
        }
    }
    return access_look_up(exchange->access, exchange->authorization, &exchange->user);
}

static bool refuse(struct exchange *exchange, enum access_answer known) {
    if (known == ACCESS_TOO_MANY) {
        exchange_fail(exchange, 429, "too many failed log-ins");
    } else {
        exchange->challenge = CHALLENGE;
        exchange_fail(exchange, 401, "user and password, or a token, are missing or wrong");
    }
    return false;
}

bool guard_lets_in(struct exchange *exchange, enum access_role role) {
    const char *why = distrusted(exchange);
    if (why != NULL) {
        exchange_fail(exchange, 403, "%s", why);
        return false;
    }
    if (exchange->needs_certificate && exchange->certificate == NULL && role != ACCESS_NOBODY) {
        exchange_fail(exchange, 401,
                      "a client's certificate is needed, signed by an authority of "
                      "admin.tls.client_ca");
        return false;
    }
    if (exchange->access == NULL) {
        return true;
    }
    enum access_answer known = identify(exchange);
    if (role == ACCESS_NOBODY) {
        return true;
    }
    if (known == ACCESS_UNCHECKED && begin_login(exchange)) {
        return false;
    }
    if (known != ACCESS_GRANTED) {
        return refuse(exchange, known);
    }
    if (exchange->user->role < role) {
        exchange_fail(exchange, 403, "%s is %s; this is for the role %s", exchange->user->name,
                      access_role_name(exchange->user->role), access_role_name(role));
        return false;
    }
    return true;
}

void guard_record(struct exchange *exchange) {
    if (changes(exchange)) {
        const char *note = exchange->note.bytes > 0 ? sl_buffer_text(&exchange->note) : NULL;
        host_log(exchange->host, SL_LOG_INFO, "audit", "%s at %s: %s %s: %s%s%d",
                 exchange->user != NULL ? exchange->user->name : "somebody", exchange->peer,
                 exchange->method, exchange->path, note != NULL ? note : "",
                 note != NULL ? ": " : "", exchange->status);
    }
}
