/* A grant: what is sent to get a token, and how its answer is read. No public interface. */
#ifndef SL_HTTP_TOKEN_H
#define SL_HTTP_TOKEN_H

#include "http/http.h"

/* What an sl_credential and the environment together say. Strings are owned, NULL when not needed.
 */
struct token_grant {
    sl_credential_kind kind; /* never DEFAULT */
    char *tenant;
    char *client;
    char *secret;
    char *token_file;
    char *authority; /* ends in '/' */
    char *scope;
    char *identity_url;    /* up to and with '?' */
    char *identity_header; /* App Service's X-IDENTITY-HEADER; NULL: IMDS */
    sl_buffer body;        /* of the request under way: it holds secrets, and is wiped */
};

struct token_request {
    sl_http_request request;
    sl_http_header headers[2];
    sl_buffer url;
    sl_buffer body;
};

/* Errors: CONFIG (what is missing, and where it can come from), NO_MEMORY. The grant is to be freed
 * in any case. */
sl_error *token_grant_open(const sl_credential *credential, struct token_grant *grant);
void token_grant_free(struct token_grant *grant);
/* Whether both ask for the same token in the same way. */
bool token_grant_same(const struct token_grant *a, const struct token_grant *b);

/* Makes the request; `out` lives until token_request_keep_body. Errors: RETRIABLE (the token file
 * cannot be read), NO_MEMORY. */
sl_error *token_grant_request(const struct token_grant *grant, struct token_request *out);
/* Ends `request`; its body, which the sending still reads, goes to `grant` (NULL: is freed). */
void token_request_keep_body(struct token_grant *grant, struct token_request *request);

/*
 * Reads the answer (RFC 6749, 5.1 and 5.2). On success `token` holds the token; *lifetime_us from
 * now; *refresh_us when the answer says so, else unchanged. Errors: FATAL (refused, with the
 * authority's own words), RETRIABLE (5xx), CORRUPT.
 */
sl_error *token_grant_read(const struct token_grant *grant, const sl_http_response *response,
                           sl_buffer *token, int64_t *lifetime_us, int64_t *refresh_us);
const char *token_grant_advice(const struct token_grant *grant);

#endif /* SL_HTTP_TOKEN_H */
