/*
 * HTTP as a plugin sees it: one request, one response, and the credential that pays for it. The
 * host sends (connections, limits, proxies, retries and tokens are its own); a plugin reaches it by
 * services->http, the host's own parts by lib/http.
 *
 * No message, log line or metric holds a header's value, a body, or what follows '?' in a URL:
 * signatures and tokens travel there.
 */
#ifndef SLUICE_HTTP_H
#define SLUICE_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/error.h"
#include "sluice/option.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adds the authorization to each attempt of a request; made from an sl_credential. */
typedef struct sl_http_auth sl_http_auth;

typedef struct sl_http_header {
    const char *name;
    const char *value;
} sl_http_header;

typedef enum sl_http_flags {
    SL_HTTP_DIRECT = 1u /* past any proxy: a service of the machine itself */
} sl_http_flags;

typedef struct sl_http_request {
    uint32_t struct_bytes;
    uint32_t timeout_ms; /* of one attempt; 0: the client's */
    const char *method;
    const char *url; /* http:// or https://, percent-encoded */
    const sl_http_header *headers;
    size_t n_headers;
    const void *body; /* borrowed until the request is done; NULL when body_bytes is 0 */
    size_t body_bytes;
    /*
     * Attempts in all; 0: as many as the client's retry time allows. Tried again are attempts
     * without a whole answer, and answers 408, 429, 500, 502, 503 and 504. A server may have acted
     * on an attempt that was tried again, also on the only one that is counted: a connection that
     * was used before may end just then, and is replaced silently.
     */
    uint32_t max_attempts;
    uint32_t flags;            /* of sl_http_flags */
    size_t max_response_bytes; /* of the body; 0: 64 MiB. A longer one is an error. */
    sl_http_auth *auth;        /* NULL: none; kept by its owner until the request is done */
} sl_http_request;

/* Any status that came, 4xx and 5xx included, is a response and no error. */
typedef struct sl_http_response {
    uint32_t struct_bytes;
    int32_t status;
    const char *headers; /* "name: value\n" for each, names in lower case; ends with 0 */
    const uint8_t *body;
    size_t body_bytes;
    uint32_t attempts;
    uint32_t reserved;
} sl_http_response;

/*
 * Who asks. Tokens are fetched once for all users of an sl_http_auth, early enough before they end,
 * and anew after a 401.
 */
typedef enum sl_credential_kind {
    SL_CREDENTIAL_NONE,
    SL_CREDENTIAL_CLIENT_SECRET,     /* OAuth 2.0 client credentials with a secret */
    SL_CREDENTIAL_WORKLOAD_IDENTITY, /* the same with a federated token as the assertion */
    SL_CREDENTIAL_MANAGED_IDENTITY,  /* the machine's own, by IMDS or App Service */
    SL_CREDENTIAL_DEFAULT            /* the first of the three that the environment provides for */
} sl_credential_kind;

/*
 * Strings may be NULL where the environment has them, by the names of Azure's own libraries:
 * AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_FEDERATED_TOKEN_FILE,
 * AZURE_AUTHORITY_HOST, AZURE_POD_IDENTITY_AUTHORITY_HOST, IDENTITY_ENDPOINT, IDENTITY_HEADER.
 */
typedef struct sl_credential {
    uint32_t struct_bytes;
    uint32_t kind;          /* sl_credential_kind */
    const char *scope;      /* "https://storage.azure.com/.default"; required unless NONE */
    const char *tenant;     /* of the directory */
    const char *client;     /* of the application; a managed identity: of a user-assigned one */
    const char *secret;     /* CLIENT_SECRET */
    const char *token_file; /* WORKLOAD_IDENTITY; read again for each token */
    const char *authority;  /* "https://login.microsoftonline.com/" */
    const char *identity_endpoint; /* MANAGED_IDENTITY: "http://169.254.169.254/" */
} sl_credential;

/* A credential as an operator writes it: entries for an option table whose struct `owner` has
 * `member` of this type. What they are called is what they are called everywhere. Since ABI 1.1. */
typedef struct sl_credential_options {
    const char *tenant;
    const char *client_id;
    const char *client_secret;
    const char *token_file;
    const char *authority;
    const char *identity_endpoint;
} sl_credential_options;

#define SL_CREDENTIAL_OPTION(owner, member, field, kind, text)                                     \
    { .name = #field, .type = kind, .offset = offsetof(owner, member.field), .doc = text }
#define SL_CREDENTIAL_OPTIONS(owner, member)                                                       \
    SL_CREDENTIAL_OPTION(owner, member, tenant, SL_OPTION_STRING,                                  \
                         "directory of the application; else AZURE_TENANT_ID"),                    \
        SL_CREDENTIAL_OPTION(                                                                      \
            owner, member, client_id, SL_OPTION_STRING,                                            \
            "the application, or a user-assigned identity; else AZURE_CLIENT_ID"),                 \
        SL_CREDENTIAL_OPTION(owner, member, client_secret, SL_OPTION_SECRET,                       \
                             "client-secret: the application's secret; else AZURE_CLIENT_SECRET"), \
        SL_CREDENTIAL_OPTION(                                                                      \
            owner, member, token_file, SL_OPTION_PATH,                                             \
            "workload-identity: the federated token; else AZURE_FEDERATED_TOKEN_FILE"),            \
        SL_CREDENTIAL_OPTION(owner, member, authority, SL_OPTION_STRING,                           \
                             "where tokens are asked for; else AZURE_AUTHORITY_HOST, else "        \
                             "https://login.microsoftonline.com/"),                                \
        SL_CREDENTIAL_OPTION(                                                                      \
            owner, member, identity_endpoint, SL_OPTION_STRING,                                    \
            "managed-identity: the metadata service; else http://169.254.169.254")
#define SL_CREDENTIAL_AUTH_DOC                                                                     \
    "the credential; default: the first of client-secret, workload-identity and "                  \
    "managed-identity that the environment provides for"

static inline sl_credential sl_credential_of(sl_credential_kind kind, const char *scope,
                                             const sl_credential_options *options) {
    sl_credential credential;
    credential.struct_bytes = sizeof(credential);
    credential.kind = (uint32_t)kind;
    credential.scope = scope;
    credential.tenant = options->tenant;
    credential.client = options->client_id;
    credential.secret = options->client_secret;
    credential.token_file = options->token_file;
    credential.authority = options->authority;
    credential.identity_endpoint = options->identity_endpoint;
    return credential;
}

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_HTTP_H */
