/*
 * URI references resolved against a base: RFC 3986, section 5.2. Nothing is normalised beyond what
 * resolving asks for.
 */
#include <ctype.h>

#include "json/schema.h"

/* A run of the URI's text; text NULL: the part is absent (which differs from empty). */
typedef struct part {
    const char *text;
    size_t bytes;
} part;

typedef struct uri {
    part scheme, authority, path, query, fragment;
} uri;

static part take_until(const char **p, const char *stops) {
    size_t n = strcspn(*p, stops);
    part out = {*p, n};
    *p += n;
    return out;
}

static uri split(const char *text) {
    uri out = {0};
    size_t n = strcspn(text, ":/?#");
    if (text[n] == ':' && n > 0 && isalpha((unsigned char)text[0])) {
        out.scheme = (part){text, n};
        text += n + 1;
    }
    if (text[0] == '/' && text[1] == '/') {
        text += 2;
        out.authority = take_until(&text, "/?#");
    }
    out.path = take_until(&text, "?#");
    if (*text == '?') {
        text++;
        out.query = take_until(&text, "#");
    }
    if (*text == '#') {
        out.fragment = (part){text + 1, strlen(text + 1)};
    }
    return out;
}

static void drop_last_segment(sl_buffer *out, size_t start) {
    while (out->bytes > start && out->data[out->bytes - 1] != '/') {
        out->bytes--;
    }
    if (out->bytes > start) {
        out->bytes--;
    }
}

/* 5.2.4, over the text `in`, appending to `out`. */
static void remove_dot_segments(const char *in, size_t bytes, sl_buffer *out) {
    size_t start = out->bytes;
    const char *end = in + bytes;
    while (in < end) {
        size_t left = (size_t)(end - in);
        if (left >= 3 && memcmp(in, "../", 3) == 0) {
            in += 3;
        } else if (left >= 2 && memcmp(in, "./", 2) == 0) {
            in += 2;
        } else if (left >= 3 && memcmp(in, "/./", 3) == 0) {
            in += 2;
        } else if (left == 2 && memcmp(in, "/.", 2) == 0) {
            sl_buffer_append_byte(out, '/');
            in = end;
        } else if (left >= 4 && memcmp(in, "/../", 4) == 0) {
            in += 3;
            drop_last_segment(out, start);
        } else if (left == 3 && memcmp(in, "/..", 3) == 0) {
            drop_last_segment(out, start);
            sl_buffer_append_byte(out, '/');
            in = end;
        } else if ((left == 1 && *in == '.') || (left == 2 && memcmp(in, "..", 2) == 0)) {
            in = end;
        } else {
            const char *slash = left > 1 ? memchr(in + 1, '/', left - 1) : NULL;
            size_t n = (size_t)((slash == NULL ? end : slash) - in);
            sl_buffer_append(out, in, n);
            in += n;
        }
    }
}

static void merge_paths(const uri *base, const uri *reference, sl_buffer *out) {
    sl_buffer merged = SL_BUFFER_INIT;
    if (base->authority.text != NULL && base->path.bytes == 0) {
        sl_buffer_append_byte(&merged, '/');
    } else {
        size_t n = base->path.bytes;
        while (n > 0 && base->path.text[n - 1] != '/') {
            n--;
        }
        sl_buffer_append(&merged, base->path.text, n);
    }
    sl_buffer_append(&merged, reference->path.text, reference->path.bytes);
    remove_dot_segments((const char *)merged.data, merged.bytes, out);
    out->failed |= merged.failed;
    sl_buffer_free(&merged);
}

static void put_part(sl_buffer *out, const char *before, part p, const char *behind) {
    if (p.text != NULL) {
        sl_buffer_append_text(out, before);
        sl_buffer_append(out, p.text, p.bytes);
        sl_buffer_append_text(out, behind);
    }
}

bool slj_uri_resolve(const char *base_text, const char *reference_text, sl_buffer *out) {
    uri base = split(base_text), reference = split(reference_text);
    bool same_document = reference.scheme.text == NULL && reference.authority.text == NULL &&
                         reference.path.bytes == 0;
    put_part(out, "", reference.scheme.text != NULL ? reference.scheme : base.scheme, ":");
    if (reference.scheme.text != NULL || reference.authority.text != NULL) {
        put_part(out, "//", reference.authority, "");
        remove_dot_segments(reference.path.text, reference.path.bytes, out);
    } else {
        put_part(out, "//", base.authority, "");
        if (same_document) {
            sl_buffer_append(out, base.path.text, base.path.bytes);
        } else if (reference.path.text[0] == '/') {
            remove_dot_segments(reference.path.text, reference.path.bytes, out);
        } else {
            merge_paths(&base, &reference, out);
        }
    }
    put_part(out, "?", same_document && reference.query.text == NULL ? base.query : reference.query,
             "");
    put_part(out, "#", reference.fragment, "");
    return !out->failed;
}
