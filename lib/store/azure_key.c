/*
 * SharedKey authorization: an HMAC-SHA256 with the account's key over the request in the canonical
 * form of "Authorize with Shared Key" (Blob service, versions from 2015-02-21 on).
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "store/azure.h"

#define MAX_KEY_BYTES 128

typedef struct key_auth {
    sl_http_auth base;
    char *account;
    unsigned char key[MAX_KEY_BYTES];
    size_t key_bytes;
} key_auth;

static void prepare(sl_http_auth *auth, sl_http *http, uint64_t refused,
                    void (*ready)(void *arg, sl_error *error), void *arg) {
    (void)auth;
    (void)http;
    (void)refused;
    ready(arg, NULL);
}

static const char *header_of(const sl_http_attempt *attempt, const char *name) {
    for (size_t i = 0; i < attempt->n_headers; i++) {
        if (strcasecmp(attempt->headers[i].name, name) == 0) {
            return attempt->headers[i].value;
        }
    }
    return "";
}

static int compare_headers(const void *a, const void *b) {
    return strcasecmp((*(const sl_http_header *const *)a)->name,
                      (*(const sl_http_header *const *)b)->name);
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void append_lower(sl_buffer *out, const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        sl_buffer_append_byte(out, (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
    }
}

/* The x-ms- headers, sorted, "name:value\n" each. `date` is ours, the others the request's. */
static bool add_canonical_headers(sl_buffer *out, const sl_http_attempt *attempt,
                                  const sl_http_header *date) {
    const sl_http_header **sorted = malloc((attempt->n_headers + 1) * sizeof(*sorted));
    if (sorted == NULL) {
        return false;
    }
    size_t n = 0;
    sorted[n++] = date;
    for (size_t i = 0; i < attempt->n_headers; i++) {
        if (strncasecmp(attempt->headers[i].name, "x-ms-", 5) == 0) {
            sorted[n++] = &attempt->headers[i];
        }
    }
    qsort(sorted, n, sizeof(*sorted), compare_headers);
    for (size_t i = 0; i < n; i++) {
        append_lower(out, sorted[i]->name, strlen(sorted[i]->name));
        sl_buffer_append_byte(out, ':');
        sl_buffer_append_text(out, sorted[i]->value);
        sl_buffer_append_byte(out, '\n');
    }
    free(sorted);
    return true;
}

/* "name=value" of a query as "name:value", the name in lower case, both decoded. To be freed. */
static char *canonical_parameter(const char *text, size_t bytes) {
    sl_buffer out = SL_BUFFER_INIT;
    const char *equals = memchr(text, '=', bytes);
    size_t name_bytes = equals != NULL ? (size_t)(equals - text) : bytes;
    append_lower(&out, text, name_bytes);
    sl_buffer_append_byte(&out, ':');
    if (equals != NULL) {
        (void)sl_percent_decode(&out, equals + 1, bytes - name_bytes - 1);
    }
    if (sl_buffer_text(&out) == NULL) {
        sl_buffer_free(&out);
        return NULL;
    }
    return (char *)out.data;
}

/* "\nname:value" of each parameter, sorted. */
static bool add_canonical_query(sl_buffer *out, const char *query) {
    char *sorted[16];
    size_t n = 0;
    bool good = true;
    while (good && *query != 0 && n < SL_ARRAY_LENGTH(sorted)) {
        size_t bytes = strcspn(query, "&");
        sorted[n] = canonical_parameter(query, bytes);
        good = sorted[n] != NULL;
        n += good;
        query += bytes + (query[bytes] == '&');
    }
    if (good) {
        qsort(sorted, n, sizeof(*sorted), compare_texts);
    }
    for (size_t i = 0; i < n; i++) {
        sl_buffer_append_byte(out, '\n');
        sl_buffer_append_text(out, sorted[i]);
        free(sorted[i]);
    }
    return good;
}

static bool string_to_sign(const key_auth *auth, const sl_http_attempt *attempt,
                           const sl_http_header *date, sl_buffer *out) {
    static const char *const names[] = {"content-md5",         "content-type", "date",
                                        "if-modified-since",   "if-match",     "if-none-match",
                                        "if-unmodified-since", "range"};
    sl_buffer_printf(out, "%s\n%s\n%s\n", attempt->method, header_of(attempt, "content-encoding"),
                     header_of(attempt, "content-language"));
    if (attempt->body_bytes > 0) {
        sl_buffer_printf(out, "%zu", attempt->body_bytes);
    }
    sl_buffer_append_byte(out, '\n');
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        sl_buffer_append_text(out, header_of(attempt, names[i]));
        sl_buffer_append_byte(out, '\n');
    }
    const char *path = strchr(strstr(attempt->url, "//") + 2, '/');
    size_t path_bytes = path != NULL ? strcspn(path, "?") : 0;
    bool good = add_canonical_headers(out, attempt, date);
    sl_buffer_printf(out, "/%s%.*s", auth->account, (int)path_bytes, path != NULL ? path : "");
    if (path != NULL && path[path_bytes] == '?') {
        good = good && add_canonical_query(out, path + path_bytes + 1);
    }
    return good && !out->failed;
}

static sl_error *sign(sl_http_auth *base, const sl_http_attempt *attempt, sl_buffer *headers,
                      uint64_t *number) {
    const key_auth *auth = (const key_auth *)base;
    *number = 0;
    char text[64];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    sl_http_header date = {"x-ms-date", text};
    sl_buffer to_sign = SL_BUFFER_INIT;
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_bytes = 0;
    char encoded[EVP_MAX_MD_SIZE * 2];
    sl_error *error = NULL;
    if (!string_to_sign(auth, attempt, &date, &to_sign) ||
        HMAC(EVP_sha256(), auth->key, (int)auth->key_bytes, to_sign.data, to_sign.bytes, mac,
             &mac_bytes) == NULL) {
        error = sl_error_no_memory();
    } else {
        EVP_EncodeBlock((unsigned char *)encoded, mac, (int)mac_bytes);
        sl_buffer_printf(headers, "x-ms-date: %s\nAuthorization: SharedKey %s:%s\n", text,
                         auth->account, encoded);
        error = headers->failed ? sl_error_no_memory() : NULL;
    }
    sl_buffer_free(&to_sign);
    return error;
}

static const char *advice(const sl_http_auth *auth) {
    (void)auth;
    return "check the account's key, and this machine's clock";
}

static void close_auth(sl_http_auth *base) {
    key_auth *auth = (key_auth *)base;
    explicit_bzero(auth->key, sizeof(auth->key));
    free(auth->account);
    free(auth);
}

static const sl_http_auth_ops key_ops = {
    .prepare = prepare,
    .sign = sign,
    .advice = advice,
    .close = close_auth,
};

/* Decodes base64 strictly; false when it is none, empty or too long. */
static bool decode_key(const char *text, key_auth *auth) {
    size_t chars = strlen(text);
    unsigned char bytes[MAX_KEY_BYTES + 3];
    if (chars == 0 || chars % 4 != 0 || chars / 4 * 3 > sizeof(bytes)) {
        return false;
    }
    int decoded = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)chars);
    size_t padding = (size_t)(text[chars - 1] == '=') + (size_t)(text[chars - 2] == '=');
    if (decoded < 0 || (size_t)decoded <= padding || (size_t)decoded - padding > MAX_KEY_BYTES) {
        return false;
    }
    auth->key_bytes = (size_t)decoded - padding;
    memcpy(auth->key, bytes, auth->key_bytes);
    explicit_bzero(bytes, sizeof(bytes));
    return true;
}

sl_error *sl_store_shared_key_auth(const char *url, const char *key, sl_http_auth **out) {
    key_auth *auth = calloc(1, sizeof(*auth));
    if (auth == NULL) {
        return sl_error_no_memory();
    }
    auth->base.ops = &key_ops;
    sl_error *error = sl_azure_account(url, &auth->account);
    if (error == NULL && !decode_key(key, auth)) {
        error = sl_error_new(SL_ERROR_CONFIG, "the key of the account \"%s\" is not base64",
                             auth->account);
    }
    if (error != NULL) {
        close_auth(&auth->base);
        return error;
    }
    *out = &auth->base;
    return NULL;
}
