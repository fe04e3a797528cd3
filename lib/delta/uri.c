/*
 * How paths are spelt: in the log as URIs (PROTOCOL.md, "Add File": a relative path or an absolute
 * one, RFC 2396 encoded), in the folder names of partitions as Hive escapes them. The table's state
 * comes from the log alone; a folder's name only helps people.
 */
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"

/* Escaped values longer than this are cut: file systems end names at 255 bytes. */
#define FOLDER_VALUE_BYTES 160

static int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_plain(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

bool delta_uri_encode(sl_buffer *out, const char *path) {
    for (const char *p = path; *p != 0; p++) {
        unsigned char c = (unsigned char)*p;
        if (is_plain(c) || strchr("/~!$&'()*+,;=:@", c) != NULL) {
            sl_buffer_append_byte(out, c);
        } else {
            sl_buffer_printf(out, "%%%02X", c);
        }
    }
    return !out->failed;
}

char *delta_uri_decode(const char *text) {
    char *path = malloc(strlen(text) + 1);
    if (path == NULL) {
        return NULL;
    }
    char *to = path;
    for (const char *p = text; *p != 0; p++) {
        int high = *p == '%' ? hex_value(p[1]) : -1;
        int low = high < 0 ? -1 : hex_value(p[2]);
        if (low >= 0 && (high != 0 || low != 0)) {
            *to++ = (char)(high * 16 + low);
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = 0;
    return path;
}

static void append_hive(sl_buffer *out, const char *text) {
    size_t begin = out->bytes;
    for (const char *p = text; *p != 0 && out->bytes - begin < FOLDER_VALUE_BYTES; p++) {
        unsigned char c = (unsigned char)*p;
        if (is_plain(c) || c == ' ') {
            sl_buffer_append_byte(out, c);
        } else {
            sl_buffer_printf(out, "%%%02X", c);
        }
    }
}

bool delta_hive_folder(sl_buffer *out, const char *column, const char *value) {
    append_hive(out, column);
    sl_buffer_append_byte(out, '=');
    if (value == NULL || value[0] == 0) {
        sl_buffer_append_text(out, "__HIVE_DEFAULT_PARTITION__");
    } else {
        append_hive(out, value);
    }
    return sl_buffer_append_byte(out, '/');
}
