/* What a URL says about the way to it. */
#include "base/base.h"

#define HTTP "http://"

/* 127.0.0.0/8, written out: "127.0.0.1.example" is somebody else. */
static bool is_loopback_address(const char *host, size_t bytes) {
    unsigned dots = 0;
    for (size_t i = 0; i < bytes; i++) {
        dots += host[i] == '.';
        if (host[i] != '.' && (host[i] < '0' || host[i] > '9')) {
            return false;
        }
    }
    return dots == 3 && bytes > 4 && memcmp(host, "127.", 4) == 0;
}

bool sl_url_is_private(const char *url) {
    static const char *const names[] = {"localhost", "[::1]"};
    if (strncmp(url, HTTP, strlen(HTTP)) != 0) {
        return true;
    }
    const char *host = url + strlen(HTTP);
    size_t bytes = strcspn(host, host[0] == '[' ? "]" : ":/?#");
    bytes += host[bytes] == ']' ? 1 : 0;
    if (strcspn(host, "/?#") > strcspn(host, "@") || strcspn(host + bytes, ":/?#") > 0) {
        return false; /* the host stands behind the '@', or goes on behind the ']' */
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        if (bytes == strlen(names[i]) && memcmp(host, names[i], bytes) == 0) {
            return true;
        }
    }
    return is_loopback_address(host, bytes);
}
