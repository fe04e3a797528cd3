/* When credentials end (see credentials.h). */
#include "admin/view/credentials.h"

#include <openssl/asn1.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

/* "2026-12-31", "2026-12-31T23:59Z", "2026-12-31T23:59:59Z", with ':' as it is or as %3A. */
static bool parse_expiry(const char *text, size_t bytes, int64_t *out) {
    char plain[32];
    size_t n = 0;
    for (size_t i = 0; i < bytes && n < sizeof(plain) - 1; i++) {
        bool colon = i + 2 < bytes && text[i] == '%' && text[i + 1] == '3' &&
                     (text[i + 2] == 'A' || text[i + 2] == 'a');
        plain[n++] = colon ? ':' : text[i];
        i += colon ? 2 : 0;
    }
    plain[n] = 0;
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(plain, forms[i], &tm);
        if (end != NULL && *end == 0) {
            *out = (int64_t)timegm(&tm);
            return true;
        }
    }
    return false;
}

/* Its member "se" (signed expiry). */
static bool sas_expiry(const char *sas, int64_t *out) {
    while (*sas == '?' || *sas == '&') {
        sas++;
    }
    while (*sas != 0) {
        size_t bytes = strcspn(sas, "&");
        if (strncmp(sas, "se=", 3) == 0) {
            return parse_expiry(sas + 3, bytes - 3, out);
        }
        sas += bytes + (sas[bytes] == '&');
    }
    return false;
}

static bool certificate_expiry(const char *path, int64_t *out) {
    FILE *file = fopen(path, "re");
    X509 *certificate = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    struct tm tm = {0};
    bool good = certificate != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1;
    if (good) {
        *out = (int64_t)timegm(&tm);
    }
    X509_free(certificate);
    if (file != NULL) {
        (void)fclose(file);
    }
    return good;
}

void credentials_list(const struct topology *topology,
                      void (*found)(void *arg, const char *credential, int64_t expires_s),
                      void *arg) {
    int64_t expires_s;
    for (size_t i = 0; i < topology->n_stores; i++) {
        const struct topology_store *store = &topology->stores[i];
        if (store->auth == TOPOLOGY_AUTH_SAS && store->sas != NULL &&
            sas_expiry(store->sas, &expires_s)) {
            found(arg, store->url, expires_s);
        }
    }
    if (topology->admin_tls_cert != NULL &&
        certificate_expiry(topology->admin_tls_cert, &expires_s)) {
        found(arg, "admin.tls.cert", expires_s);
    }
}
