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

/* What stays as it is, beside letters, digits and "-._~". */
#define KEPT "/!$&'()*+,;=:@"

static bool encode(sl_buffer *out, const char *path) {
    return sl_percent_encode(out, path, strlen(path), KEPT);
}

bool delta_uri_append(sl_buffer *out, const sl_delta_file *file) {
    return file->uri != NULL ? sl_buffer_append_text(out, file->uri) : encode(out, file->path);
}

static bool is_kept(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("-._~" KEPT, c) != NULL);
}

/* Whether encoding what it decodes to gives the very same. */
static bool spelt_as_ours(const char *uri) {
    static const char digits[] = "0123456789ABCDEF";
    for (const char *c = uri; *c != 0; c++) {
        if (is_kept(*c)) {
            continue;
        }
        const char *high = *c == '%' && c[1] != 0 ? strchr(digits, c[1]) : NULL;
        const char *low = high != NULL && c[2] != 0 ? strchr(digits, c[2]) : NULL;
        if (low == NULL || is_kept((char)((high - digits) << 4 | (low - digits)))) {
            return false;
        }
        c += 2;
    }
    return true;
}

sl_error *delta_uri_take(const char *uri, sl_delta_file *file) {
    sl_buffer path = SL_BUFFER_INIT;
    (void)sl_percent_decode(&path, uri, strlen(uri));
    if (sl_buffer_text(&path) == NULL) {
        sl_buffer_free(&path);
        return sl_error_no_memory();
    }
    file->path = (char *)path.data;
    if (!spelt_as_ours(uri) && (file->uri = strdup(uri)) == NULL) {
        return sl_error_no_memory();
    }
    return NULL;
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
