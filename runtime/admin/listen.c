/* Addresses and certificates (see listen.h). */
#include "admin/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PEM_BYTES = 1 << 20 };

/* "127.0.0.1:8083", "[::1]:8083" */
static bool parse_address(const char *text, struct sockaddr_storage *out) {
    char host[64];
    const char *colon = strrchr(text, ':');
    int64_t port = -1;
    if (colon == NULL || !sl_parse_i64(colon + 1, strlen(colon + 1), &port) || port < 0 ||
        port > 65535) {
        return false;
    }
    size_t bytes = (size_t)(colon - text);
    bool bracketed = bytes >= 2 && text[0] == '[' && text[bytes - 1] == ']';
    if (bytes - 2 * bracketed >= sizeof(host)) {
        return false;
    }
    memcpy(host, text + bracketed, bytes - 2 * bracketed);
    host[bytes - 2 * bracketed] = 0;
    memset(out, 0, sizeof(*out));
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4->sin_addr) ==
        1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        return true;
    }
    return false;
}

static bool is_loopback(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static sl_error *check_address(const struct topology *topology, struct listen *out) {
    if (!parse_address(topology->admin_listen, &out->address)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "admin.listen is \"%s\"; allowed is ADDRESS:PORT, as 127.0.0.1:8083",
                            topology->admin_listen);
    }
    out->loopback = is_loopback(&out->address);
    if (!out->loopback && topology->admin_users == NULL && topology->admin_tls_client_ca == NULL &&
        !topology->admin_insecure) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "admin.listen is \"%s\", which others reach, and nobody is asked who "
                            "he is: set admin.users, or listen on one of this machine's own "
                            "addresses, as 127.0.0.1:8083 (or set admin.insecure to true)",
                            topology->admin_listen);
    }
    return NULL;
}

sl_error *listen_check(const struct topology *topology) {
    struct listen listen;
    return check_address(topology, &listen);
}

static sl_error *read_pem(const char *key, const char *path, sl_buffer *out) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "admin.%s: %s cannot be read: %s", key, path,
                            strerror(errno));
    }
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0 && out->bytes <= MAX_PEM_BYTES) {
        sl_buffer_append(out, chunk, n);
    }
    bool bad = ferror(file) != 0 || out->bytes == 0 || out->bytes > MAX_PEM_BYTES;
    OPENSSL_cleanse(chunk, sizeof(chunk));
    (void)fclose(file);
    if (bad) {
        return sl_error_new(SL_ERROR_CONFIG, "admin.%s: %s is no PEM file", key, path);
    }
    return sl_buffer_text(out) != NULL ? NULL : sl_error_no_memory();
}

static sl_error *read_certificate(const struct topology *topology, struct listen *out) {
    if (topology->admin_tls_cert == NULL && topology->admin_tls_key == NULL) {
        return topology->admin_tls_client_ca == NULL
                   ? NULL
                   : sl_error_new(SL_ERROR_CONFIG, "admin: tls.client_ca asks clients for "
                                                   "certificates, which takes TLS: tls.cert and "
                                                   "tls.key are missing");
    }
    if (topology->admin_tls_cert == NULL || topology->admin_tls_key == NULL) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "admin: tls.cert and tls.key belong together; %s is "
                            "missing",
                            topology->admin_tls_cert == NULL ? "tls.cert" : "tls.key");
    }
    if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "admin.tls.cert: this libmicrohttpd was built without TLS");
    }
    sl_error *error = read_pem("tls.cert", topology->admin_tls_cert, &out->cert);
    if (error == NULL) {
        error = read_pem("tls.key", topology->admin_tls_key, &out->key);
    }
    if (error == NULL && topology->admin_tls_client_ca != NULL) {
        error = read_pem("tls.client_ca", topology->admin_tls_client_ca, &out->client_ca);
    }
    return error;
}

sl_error *listen_read(const struct topology *topology, struct listen *out) {
    *out = (struct listen){0};
    sl_error *error = check_address(topology, out);
    return error != NULL ? error : read_certificate(topology, out);
}

void listen_free(struct listen *listen) {
    if (listen->key.data != NULL) {
        OPENSSL_cleanse(listen->key.data, listen->key.bytes);
    }
    sl_buffer_free(&listen->cert);
    sl_buffer_free(&listen->key);
    sl_buffer_free(&listen->client_ca);
}
