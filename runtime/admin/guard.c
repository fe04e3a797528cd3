/*
 * Who may pass. Besides credentials it is about browsers, which carry requests of foreign pages: a
 * change is refused when it comes from a page of another origin (cross-site request forgery), and
 * where nobody is asked who he is, the request has to name the machine by an address or localhost
 * (DNS rebinding).
 */
#include "admin/guard.h"

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

bool guard_lets_in(struct exchange *exchange, enum access_role role) {
    const char *why = distrusted(exchange);
    if (why != NULL) {
        exchange_fail(exchange, 403, "%s", why);
        return false;
    }
    if (exchange->access == NULL) {
        return true;
    }
    enum access_answer known =
        access_look_up(exchange->access, exchange->authorization, &exchange->user);
    if (role == ACCESS_NOBODY) {
        return true;
    }
    if (known == ACCESS_TOO_MANY) {
        exchange_fail(exchange, 429, "too many failed log-ins");
        return false;
    }
    if (known != ACCESS_GRANTED) {
        exchange->challenge = CHALLENGE;
        exchange_fail(exchange, 401, "user and password, or a token, are missing or wrong");
        return false;
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
