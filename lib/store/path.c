/* Which paths a store takes: relative, '/'-separated, UTF-8, no ".", "..", empty part or control
 * character. The same rules for every implementation, so that what works on one works on all. */
#include <string.h>

#include "store/store.h"

static const char *part_fault(const char *part, size_t bytes) {
    if (bytes == 0) {
        return "has an empty part";
    }
    if ((bytes == 1 && part[0] == '.') || (bytes == 2 && part[0] == '.' && part[1] == '.')) {
        return "has the part \".\" or \"..\"";
    }
    if (bytes > 255) {
        return "has a part longer than 255 bytes";
    }
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)part[i];
        if (c < 0x20 || c == 0x7f) {
            return "holds a control character";
        }
    }
    return NULL;
}

/* Length of the UTF-8 sequence at `s`, 0 when it is none (RFC 3629: no surrogates, no overlong). */
static size_t utf8_length(const unsigned char *s, size_t rest) {
    if (s[0] < 0x80) {
        return 1;
    }
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || rest < n) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) {
        return 0;
    }
    return n;
}

static const char *text_fault(const char *path, size_t bytes) {
    for (size_t i = 0; i < bytes;) {
        size_t n = utf8_length((const unsigned char *)path + i, bytes - i);
        if (n == 0) {
            return "is not UTF-8";
        }
        i += n;
    }
    for (size_t start = 0;;) {
        const char *slash = memchr(path + start, '/', bytes - start);
        size_t end = slash == NULL ? bytes : (size_t)(slash - path);
        const char *fault = part_fault(path + start, end - start);
        if (fault != NULL || slash == NULL) {
            return fault;
        }
        start = end + 1;
    }
}

static sl_error *fault_error(const char *url, const char *path, const char *fault) {
    return sl_error_new(SL_ERROR_CONFIG,
                        "%s: the path \"%s\" %s; paths are relative to the store's root, "
                        "'/'-separated, without \".\", \"..\" or empty parts",
                        url, path, fault);
}

sl_error *sl_store_check_path(const char *url, const char *path) {
    const char *fault = text_fault(path, strlen(path));
    return fault == NULL ? NULL : fault_error(url, path, fault);
}

sl_error *sl_store_check_prefix(const char *url, const char *prefix) {
    size_t bytes = strlen(prefix);
    if (bytes == 0) {
        return NULL;
    }
    if (prefix[bytes - 1] != '/') {
        return fault_error(url, prefix, "is to be a folder but does not end in '/'");
    }
    const char *fault = text_fault(prefix, bytes - 1);
    return fault == NULL ? NULL : fault_error(url, prefix, fault);
}
