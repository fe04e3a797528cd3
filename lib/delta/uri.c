/*
 * How paths are spelt: in the log as URIs (PROTOCOL.md, "Add File": a relative path or an absolute
 * one, RFC 2396 encoded), in the folder names of partitions as Hive escapes them. The table's state
 * comes from the log alone; a folder's name only helps people.
 */
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"

/* File systems end names here; longer values are cut. */
#define NAME_BYTES 255
#define NULL_VALUE "__HIVE_DEFAULT_PARTITION__"

bool delta_uri_encode(sl_buffer *out, const char *path) {
    return sl_percent_encode(out, path, strlen(path), "/!$&'()*+,;=:@");
}

char *delta_uri_decode(const char *text) {
    sl_buffer path = SL_BUFFER_INIT;
    (void)sl_percent_decode(&path, text, strlen(text));
    if (sl_buffer_text(&path) == NULL) {
        sl_buffer_free(&path);
        return NULL;
    }
    return (char *)path.data;
}

/* Hive's and Spark's set: what file systems and the "name=value" form cannot have. Some readers
 * take partition values from folder names in spite of the protocol, so the spelling matters to
 * them. */
static bool needs_escape(unsigned char c) {
    return c < 0x20 || c == 0x7f || strchr("\"#%'*/:=?\\{[]^", c) != NULL;
}

/* Whole escaped characters up to `limit` bytes. */
static void append_hive(sl_buffer *out, const char *text, size_t limit) {
    size_t begin = out->bytes;
    for (const char *p = text; *p != 0;) {
        size_t n = 1;
        while (((unsigned char)p[n] & 0xc0) == 0x80) {
            n++;
        }
        bool escape = needs_escape((unsigned char)*p);
        if (out->bytes - begin + (escape ? 3 : n) > limit) {
            return;
        }
        if (escape) {
            sl_buffer_printf(out, "%%%02X", (unsigned char)*p);
            n = 1;
        } else {
            sl_buffer_append(out, p, n);
        }
        p += n;
    }
}

bool delta_hive_folder(sl_buffer *out, const char *column, const char *value) {
    size_t begin = out->bytes;
    append_hive(out, column, NAME_BYTES - sizeof(NULL_VALUE));
    sl_buffer_append_byte(out, '=');
    if (value == NULL || value[0] == 0) {
        sl_buffer_append_text(out, NULL_VALUE);
    } else {
        append_hive(out, value, NAME_BYTES - (out->bytes - begin));
    }
    return sl_buffer_append_byte(out, '/');
}
