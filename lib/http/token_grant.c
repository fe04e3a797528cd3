/*
 * The grants: client credentials with a secret (RFC 6749, 4.4.2) or with a federated token as the
 * assertion (RFC 7523, 2.2), and managed identities by IMDS or App Service. All are written from
 * Microsoft's public documentation of these endpoints.
 */
#include "http/token.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PUBLIC_AUTHORITY "https://login.microsoftonline.com/"
#define PUBLIC_IMDS "http://169.254.169.254"
#define IMDS_PATH "/metadata/identity/oauth2/token?api-version=2018-02-01&"
#define APP_SERVICE_QUERY "?api-version=2019-08-01&"
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define MAX_TOKEN_FILE_BYTES (64 << 10)
#define MAX_LIFETIME_S (INT64_C(366) * 86400) /* what claims to live longer is replaced then */

/* ---- making ---- */

static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != 0 ? value : NULL;
}

/* Copies `given`, or the environment's `name`, or `fallback`; false when memory is short. */
static bool take(char **out, const char *given, const char *name, const char *fallback) {
    const char *value = given != NULL && given[0] != 0 ? given : NULL;
    if (value == NULL && name != NULL) {
        value = environment(name);
    }
    if (value == NULL) {
        value = fallback;
    }
    *out = value != NULL ? strdup(value) : NULL;
    return value == NULL || *out != NULL;
}

static bool end_with_slash(char **text) {
    size_t bytes = strlen(*text);
    if (bytes > 0 && (*text)[bytes - 1] == '/') {
        return true;
    }
    char *longer = realloc(*text, bytes + 2);
    if (longer == NULL) {
        return false;
    }
    memcpy(longer + bytes, "/", 2);
    *text = longer;
    return true;
}

static sl_credential_kind choose(const sl_credential *credential) {
    if (credential->kind != SL_CREDENTIAL_DEFAULT) {
        return (sl_credential_kind)credential->kind;
    }
    bool application = (credential->tenant != NULL || environment("AZURE_TENANT_ID") != NULL) &&
                       (credential->client != NULL || environment("AZURE_CLIENT_ID") != NULL);
    if (application && (credential->secret != NULL || environment("AZURE_CLIENT_SECRET") != NULL)) {
        return SL_CREDENTIAL_CLIENT_SECRET;
    }
    if (application &&
        (credential->token_file != NULL || environment("AZURE_FEDERATED_TOKEN_FILE") != NULL)) {
        return SL_CREDENTIAL_WORKLOAD_IDENTITY;
    }
    return SL_CREDENTIAL_MANAGED_IDENTITY;
}

static sl_error *missing(const char *what, const char *variable) {
    return sl_error_new(SL_ERROR_CONFIG,
                        "%s is missing; give it, or set the environment variable %s", what,
                        variable);
}

static bool take_identity_url(struct token_grant *grant, const sl_credential *credential) {
    const char *app_service = environment("IDENTITY_ENDPOINT");
    const char *header = environment("IDENTITY_HEADER");
    bool is_app_service =
        credential->identity_endpoint == NULL && app_service != NULL && header != NULL;
    sl_buffer url = SL_BUFFER_INIT;
    if (is_app_service) {
        grant->identity_header = strdup(header);
        sl_buffer_printf(&url, "%s%s", app_service, APP_SERVICE_QUERY);
    } else {
        const char *host = credential->identity_endpoint;
        if (host == NULL) {
            host = environment("AZURE_POD_IDENTITY_AUTHORITY_HOST");
        }
        if (host == NULL) {
            host = PUBLIC_IMDS;
        }
        size_t bytes = strlen(host);
        sl_buffer_printf(&url, "%.*s%s", (int)(bytes - (bytes > 0 && host[bytes - 1] == '/')), host,
                         IMDS_PATH);
    }
    if (sl_buffer_text(&url) == NULL || (is_app_service && grant->identity_header == NULL)) {
        sl_buffer_free(&url);
        return false;
    }
    grant->identity_url = (char *)url.data;
    return true;
}

sl_error *token_grant_open(const sl_credential *credential, struct token_grant *grant) {
    grant->kind = choose(credential);
    bool secret = grant->kind == SL_CREDENTIAL_CLIENT_SECRET;
    bool identity = grant->kind == SL_CREDENTIAL_MANAGED_IDENTITY;
    bool copied =
        take(&grant->scope, credential->scope, NULL, NULL) &&
        take(&grant->client, credential->client, "AZURE_CLIENT_ID", NULL) &&
        take(&grant->tenant, credential->tenant, "AZURE_TENANT_ID", NULL) &&
        (!secret || take(&grant->secret, credential->secret, "AZURE_CLIENT_SECRET", NULL)) &&
        (secret || identity ||
         take(&grant->token_file, credential->token_file, "AZURE_FEDERATED_TOKEN_FILE", NULL)) &&
        take(&grant->authority, credential->authority, "AZURE_AUTHORITY_HOST", PUBLIC_AUTHORITY) &&
        end_with_slash(&grant->authority) && (!identity || take_identity_url(grant, credential));
    if (!copied) {
        return sl_error_no_memory();
    }
    if (identity) {
        return NULL;
    }
    if (grant->tenant == NULL) {
        return missing("\"tenant\"", "AZURE_TENANT_ID");
    }
    if (grant->client == NULL) {
        return missing("\"client_id\"", "AZURE_CLIENT_ID");
    }
    if (secret && grant->secret == NULL) {
        return missing("\"client_secret\"", "AZURE_CLIENT_SECRET");
    }
    if (!secret && grant->token_file == NULL) {
        return missing("\"token_file\"", "AZURE_FEDERATED_TOKEN_FILE");
    }
    return NULL;
}

static void wipe(sl_buffer *buffer) {
    if (buffer->data != NULL) {
        explicit_bzero(buffer->data, buffer->capacity_bytes);
    }
    sl_buffer_free(buffer);
}

enum { GRANT_STRINGS = 8 };

static void list_strings(const struct token_grant *grant, char *out[GRANT_STRINGS]) {
    char *const strings[GRANT_STRINGS] = {grant->tenant,       grant->client,         grant->secret,
                                          grant->token_file,   grant->authority,      grant->scope,
                                          grant->identity_url, grant->identity_header};
    memcpy(out, strings, sizeof(strings));
}

void token_grant_free(struct token_grant *grant) {
    if (grant->secret != NULL) {
        explicit_bzero(grant->secret, strlen(grant->secret));
    }
    char *strings[GRANT_STRINGS];
    list_strings(grant, strings);
    for (size_t i = 0; i < GRANT_STRINGS; i++) {
        free(strings[i]);
    }
    wipe(&grant->body);
}

bool token_grant_same(const struct token_grant *a, const struct token_grant *b) {
    char *of_a[GRANT_STRINGS];
    char *of_b[GRANT_STRINGS];
    list_strings(a, of_a);
    list_strings(b, of_b);
    bool same = a->kind == b->kind;
    for (size_t i = 0; i < GRANT_STRINGS; i++) {
        same = same && (of_a[i] == NULL || of_b[i] == NULL ? of_a[i] == of_b[i]
                                                           : strcmp(of_a[i], of_b[i]) == 0);
    }
    return same;
}

/* ---- asking ---- */

/* application/x-www-form-urlencoded: "name=value", value percent-encoded. */
static void add_field(sl_buffer *form, const char *name, const char *value, size_t bytes) {
    if (form->bytes > 0 && form->data[form->bytes - 1] != '&' &&
        form->data[form->bytes - 1] != '?') {
        sl_buffer_append_byte(form, '&');
    }
    sl_buffer_printf(form, "%s=", name);
    sl_percent_encode(form, value, bytes, "");
}

static sl_error *add_assertion(const struct token_grant *grant, sl_buffer *form) {
    FILE *file = fopen(grant->token_file, "re");
    if (file == NULL) {
        return sl_error_new(SL_ERROR_RETRIABLE, "cannot read the federated token %s: %s",
                            grant->token_file, strerror(errno));
    }
    char *text = malloc(MAX_TOKEN_FILE_BYTES);
    size_t bytes = text != NULL ? fread(text, 1, MAX_TOKEN_FILE_BYTES, file) : 0;
    fclose(file);
    while (bytes > 0 && (text[bytes - 1] == '\n' || text[bytes - 1] == '\r')) {
        bytes--;
    }
    sl_error *error = NULL;
    if (text == NULL) {
        error = sl_error_no_memory();
    } else if (bytes == 0) {
        error =
            sl_error_new(SL_ERROR_RETRIABLE, "the federated token %s is empty", grant->token_file);
    } else {
        add_field(form, "client_assertion_type", ASSERTION_TYPE, strlen(ASSERTION_TYPE));
        add_field(form, "client_assertion", text, bytes);
        explicit_bzero(text, bytes);
    }
    free(text);
    return error;
}

static sl_error *application_request(const struct token_grant *grant, struct token_request *out) {
    sl_error *error = NULL;
    sl_buffer_printf(&out->url, "%s%s/oauth2/v2.0/token", grant->authority, grant->tenant);
    add_field(&out->body, "grant_type", "client_credentials", strlen("client_credentials"));
    add_field(&out->body, "client_id", grant->client, strlen(grant->client));
    add_field(&out->body, "scope", grant->scope, strlen(grant->scope));
    if (grant->kind == SL_CREDENTIAL_CLIENT_SECRET) {
        add_field(&out->body, "client_secret", grant->secret, strlen(grant->secret));
    } else {
        error = add_assertion(grant, &out->body);
    }
    out->headers[0] = (sl_http_header){"Content-Type", "application/x-www-form-urlencoded"};
    out->request.method = "POST";
    out->request.n_headers = 1;
    return error;
}

static void identity_request(const struct token_grant *grant, struct token_request *out) {
    static const char suffix[] = "/.default";
    size_t bytes = strlen(grant->scope);
    if (bytes > strlen(suffix) && strcmp(grant->scope + bytes - strlen(suffix), suffix) == 0) {
        bytes -= strlen(suffix);
    }
    sl_buffer_append_text(&out->url, grant->identity_url);
    add_field(&out->url, "resource", grant->scope, bytes);
    if (grant->client != NULL) {
        add_field(&out->url, "client_id", grant->client, strlen(grant->client));
    }
    if (grant->identity_header != NULL) {
        out->headers[0] = (sl_http_header){"X-IDENTITY-HEADER", grant->identity_header};
    } else {
        out->headers[0] = (sl_http_header){"Metadata", "true"};
    }
    out->request.method = "GET";
    out->request.n_headers = 1;
    out->request.flags = SL_HTTP_DIRECT;
}

sl_error *token_grant_request(const struct token_grant *grant, struct token_request *out) {
    sl_error *error = NULL;
    if (grant->kind == SL_CREDENTIAL_MANAGED_IDENTITY) {
        identity_request(grant, out);
    } else {
        error = application_request(grant, out);
    }
    const char *url = sl_buffer_text(&out->url);
    if (error == NULL && (url == NULL || out->body.failed)) {
        error = sl_error_no_memory();
    }
    out->request.struct_bytes = sizeof(out->request);
    out->request.url = url;
    out->request.headers = out->headers;
    out->request.body = out->body.data;
    out->request.body_bytes = out->body.bytes;
    out->request.timeout_ms = 30000;
    return error;
}

void token_request_keep_body(struct token_grant *grant, struct token_request *request) {
    sl_buffer_free(&request->url);
    if (grant == NULL) {
        wipe(&request->body);
    } else {
        wipe(&grant->body);
        grant->body = request->body;
    }
}

/* ---- the answer ---- */

/* A number, or a number in a string, as IMDS writes it; -1 when it is neither. */
static int64_t number_field(const cJSON *json, const char *name) {
    const cJSON *field = cJSON_GetObjectItemCaseSensitive(json, name);
    int64_t number = -1;
    if (cJSON_IsNumber(field) && field->valuedouble >= 0 && field->valuedouble < 1e15) {
        return (int64_t)field->valuedouble;
    }
    if (cJSON_IsString(field) &&
        !sl_parse_i64(field->valuestring, strlen(field->valuestring), &number)) {
        return -1;
    }
    return number;
}

static const char *text_field(const cJSON *json, const char *name) {
    const cJSON *field = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsString(field) ? field->valuestring : NULL;
}

static sl_error *refused(const struct token_grant *grant, const sl_http_response *response,
                         const cJSON *json) {
    const char *what = text_field(json, "error_description");
    if (what == NULL) {
        what = text_field(json, "error");
    }
    bool later = sl_http_status_may_pass(response->status);
    return sl_error_new(later ? SL_ERROR_RETRIABLE : SL_ERROR_FATAL,
                        "no token for %s: %.*s (answer %d)%s%s", grant->scope,
                        what != NULL ? (int)strcspn(what, "\r\n") : 9,
                        what != NULL ? what : "no reason", response->status, later ? "" : "; ",
                        later ? "" : token_grant_advice(grant));
}

static sl_error *read_token(const struct token_grant *grant, const cJSON *json, sl_buffer *token,
                            int64_t *lifetime_us, int64_t *refresh_us) {
    const char *text = text_field(json, "access_token");
    int64_t seconds = number_field(json, "expires_in");
    int64_t expires_on = number_field(json, "expires_on");
    int64_t refresh_in = number_field(json, "refresh_in");
    if (seconds < 0 && expires_on >= 0) {
        seconds = expires_on - sl_now_us() / 1000000;
    }
    if (text == NULL || text[0] == 0 || strpbrk(text, "\r\n") != NULL || seconds <= 0) {
        return sl_error_new(SL_ERROR_CORRUPT,
                            "the answer to the request of a token for %s lacks %s", grant->scope,
                            seconds > 0 ? "\"access_token\"" : "\"expires_in\"");
    }
    sl_buffer_append_text(token, text);
    *lifetime_us = (seconds < MAX_LIFETIME_S ? seconds : MAX_LIFETIME_S) * 1000000;
    if (refresh_in > 0) {
        *refresh_us = (refresh_in < MAX_LIFETIME_S ? refresh_in : MAX_LIFETIME_S) * 1000000;
    }
    return token->failed ? sl_error_no_memory() : NULL;
}

sl_error *token_grant_read(const struct token_grant *grant, const sl_http_response *response,
                           sl_buffer *token, int64_t *lifetime_us, int64_t *refresh_us) {
    cJSON *json = cJSON_ParseWithLength((const char *)response->body, response->body_bytes);
    sl_error *error;
    if (response->status != 200) {
        error = refused(grant, response, json);
    } else {
        error = read_token(grant, json, token, lifetime_us, refresh_us);
    }
    cJSON_Delete(json);
    return error;
}

const char *token_grant_advice(const struct token_grant *grant) {
    switch (grant->kind) {
    case SL_CREDENTIAL_CLIENT_SECRET:
        return "check tenant, client_id and client_secret, and the application's roles";
    case SL_CREDENTIAL_WORKLOAD_IDENTITY:
        return "check tenant and client_id, and the application's federated credential";
    default:
        return "check that this machine has a managed identity, and its roles";
    }
}
