/* Asking the admin endpoint of a running sluice: one request, one answer. Blocks.
 * Who asks is said by a token in the environment, since other users read command lines. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/args.h"

#include "base/base.h"

#define CLI_ADMIN_OPTION                                                                           \
    {"--admin", "URL", "where the running sluice answers (default http://127.0.0.1:8083)"},        \
        {"--ca", "FILE", "certificates (PEM) by which an https:// address is known"},              \
        {"--cert", "FILE", "one's own certificate (PEM), where the endpoint asks for one"}, {      \
        "--key", "FILE", "its key (PEM; default: in the same file)"                                \
    }
/* for the commands' details */
#define CLIENT_TOKEN "SLUICE_ADMIN_TOKEN"

struct client {
    const char *url; /* without a slash at its end; borrowed */
    size_t url_bytes;
    const char *ca_file;   /* NULL: the system's */
    const char *cert_file; /* NULL: none */
    const char *key_file;
    const char *token; /* of the environment; NULL: none */
};

/* What the options say. */
struct client client_of(const struct cli_args *args);

/* Texts are borrowed. */
struct client_request {
    const char *method;
    const char *path;
    const char *accept; /* NULL: JSON */
    const char *body;   /* JSON; NULL: none. With one the answer may take its time. */
    size_t body_bytes;
};

/* The body of an answer of status 2xx goes to *answer; errors as client_ask's. */
sl_error *client_send(const struct client *client, const struct client_request *request,
                      sl_buffer *answer);

/*
 * Sends METHOD to `path` ("/v1/status"). The body of an answer of status 2xx goes to *body (freed
 * by the caller in any case). Errors: RETRIABLE (nobody answers there), FATAL (any other answer;
 * the message is the endpoint's).
 */
sl_error *client_ask(const struct client *client, const char *method, const char *path,
                     sl_buffer *body);

/*
 * The same with GET for an answer without an end: each line of it, without its line feed, goes to
 * line(arg, ...), 0-terminated, borrowed for the call; false ends it, which is success.
 */
sl_error *client_follow(const struct client *client, const char *path,
                        bool (*line)(void *arg, const char *text), void *arg);

/* Appends `name` percent-encoded, as one part of a path. */
void client_append_part(sl_buffer *path, const char *name);

#endif /* CLI_CLIENT_H */
