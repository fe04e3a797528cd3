/* Percent-encoding, RFC 3986, 2.1. */
#include "base/base.h"

static bool is_unreserved(unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != 0 && strchr("-._~", c) != NULL);
}

bool sl_percent_encode(sl_buffer *out, const char *text, size_t bytes, const char *keep) {
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_unreserved(c) || (c != 0 && strchr(keep, c) != NULL)) {
            sl_buffer_append_byte(out, c);
        } else {
            sl_buffer_printf(out, "%%%02X", c);
        }
    }
    return !out->failed;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool sl_percent_decode(sl_buffer *out, const char *text, size_t bytes) {
    bool whole = true;
    for (size_t i = 0; i < bytes; i++) {
        bool escape = text[i] == '%';
        int high = escape && i + 2 < bytes ? hex_digit(text[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        if (low >= 0 && high + low > 0) {
            sl_buffer_append_byte(out, (uint8_t)(high * 16 + low));
            i += 2;
        } else {
            whole = whole && !escape;
            sl_buffer_append_byte(out, (uint8_t)text[i]);
        }
    }
    return whole;
}
