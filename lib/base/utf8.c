/* UTF-8, checked: most text is ASCII, which goes by words. */
#include "base/utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

size_t sl_ascii_prefix(const void *text, size_t bytes) {
    const uint8_t *data = text;
    size_t at = 0;
    while (at + 4 * sizeof(uint64_t) <= bytes) {
        uint64_t words[4];
        memcpy(words, data + at, sizeof(words));
        if (((words[0] | words[1] | words[2] | words[3]) & HIGH_BITS) != 0) {
            break;
        }
        at += sizeof(words);
    }
    while (at < bytes && data[at] < 0x80) {
        at++;
    }
    return at;
}

size_t sl_utf8_sequence(const uint8_t *text, size_t bytes, size_t *skip) {
    uint8_t lead = text[0];
    *skip = 1;
    if (lead < 0x80) {
        return 1;
    }
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4) {
        return 0;
    }
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    for (size_t i = 1; i < length; i++) {
        if (i >= bytes || text[i] < low || text[i] > high) {
            *skip = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

bool sl_utf8_is_valid(const void *text, size_t bytes) {
    const uint8_t *data = text;
    size_t at = sl_ascii_prefix(data, bytes);
    while (at < bytes) {
        size_t skip;
        size_t length = sl_utf8_sequence(data + at, bytes - at, &skip);
        if (length == 0) {
            return false;
        }
        at += length;
        if (length == 1) {
            at += sl_ascii_prefix(data + at, bytes - at);
        }
    }
    return true;
}
