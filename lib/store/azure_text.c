/* Encodings of the Blob service's requests: base64 of MD5, random marks, dates. */
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "store/azure.h"

sl_error *sl_azure_md5(const void *data, size_t bytes, char out[25]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_bytes = 0;
    if (EVP_Digest(bytes > 0 ? data : "", bytes, digest, &digest_bytes, EVP_md5(), NULL) != 1 ||
        digest_bytes != 16) {
        return sl_error_new(SL_ERROR_FATAL, "OpenSSL computes no MD5 here, which Azure checks by");
    }
    EVP_EncodeBlock((unsigned char *)out, digest, 16);
    return NULL;
}

sl_error *sl_azure_random(char out[AZURE_TOKEN_CHARS + 1]) {
    unsigned char bytes[AZURE_TOKEN_CHARS / 2];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return sl_error_new(SL_ERROR_RETRIABLE, "the system gives no random bytes");
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
    return NULL;
}

int64_t sl_azure_date_ms(const char *text, size_t bytes) {
    char copy[64];
    struct tm when = {0};
    if (bytes >= sizeof(copy)) {
        return 0;
    }
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    const char *end = strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &when);
    return end != NULL && *end == 0 ? (int64_t)timegm(&when) * 1000 : 0;
}
