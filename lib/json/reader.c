/*
 * The lexical layer's slower half: strings with escapes and non-ASCII text, long numbers, reading
 * over values that no column wants, and duplicate keys.
 */
#include "json/reader.h"

#include <stdlib.h>

/* Memory for a text longer than this is given back when shorter ones follow. */
#define LARGE_BYTES ((size_t)1 << 20)

bool slj_reader_begin(slj_reader *reader, const void *text, size_t bytes) {
    size_t needed = bytes + SLJ_PADDING;
    bool wasteful = reader->text_capacity_bytes > LARGE_BYTES && needed < LARGE_BYTES / 4;
    if (slj_unlikely(needed > reader->text_capacity_bytes || wasteful)) {
        size_t capacity = needed < LARGE_BYTES / 4 ? needed * 2 : needed;
        uint8_t *grown = malloc(capacity);
        if (grown == NULL) {
            reader->no_memory = true;
            return false;
        }
        free(reader->text);
        reader->text = grown;
        reader->text_capacity_bytes = capacity;
    }
    if (bytes > 0) {
        memcpy(reader->text, text, bytes);
    }
    memset(reader->text + bytes, 0, SLJ_PADDING);
    reader->start = reader->text;
    reader->end = reader->text + bytes;
    reader->n_keys = 0;
    reader->key_text.bytes = 0;
    reader->reason = SL_JSON_OK;
    reader->error_at = reader->start;
    return true;
}

void slj_reader_free(slj_reader *reader) {
    free(reader->text);
    free(reader->keys);
    sl_buffer_free(&reader->key_text);
}

const uint8_t *slj_fail(slj_reader *reader, sl_json_reason reason, const uint8_t *at) {
    bool syntax = reason == SL_JSON_BAD_SYNTAX || reason == SL_JSON_BAD_NUMBER ||
                  reason == SL_JSON_BAD_ESCAPE || reason == SL_JSON_BAD_UTF8 ||
                  reason == SL_JSON_CONTROL_CHARACTER || reason == SL_JSON_LONE_SURROGATE;
    reader->reason = syntax && at >= reader->end ? SL_JSON_TRUNCATED : reason;
    reader->error_at = at;
    return NULL;
}

/* ---- strings ---- */

static bool is_continuation(uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

unsigned slj_utf8_sequence(const uint8_t *p) {
    uint8_t lead = p[0];
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xC2 || !is_continuation(p[1])) {
        return 0;
    }
    if (lead < 0xE0) {
        return 2;
    }
    if (!is_continuation(p[2])) {
        return 0;
    }
    if (lead < 0xF0) {
        bool overlong = lead == 0xE0 && p[1] < 0xA0;
        bool surrogate = lead == 0xED && p[1] >= 0xA0;
        return overlong || surrogate ? 0 : 3;
    }
    bool overlong = lead == 0xF0 && p[1] < 0x90;
    bool beyond = lead > 0xF4 || (lead == 0xF4 && p[1] >= 0x90);
    return overlong || beyond || !is_continuation(p[3]) ? 0 : 4;
}

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four hex digits at p, -1 when they are not; stops at the first that is none. */
static int32_t hex4(const uint8_t *p) {
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

/* `p` stands on a backslash; returns the place behind the escape. */
static const uint8_t *scan_escape(slj_reader *reader, const uint8_t *p) {
    if (p[1] != 'u') {
        bool known = p[1] != 0 && strchr("\"\\/bfnrt", p[1]) != NULL;
        return known ? p + 2 : slj_fail(reader, SL_JSON_BAD_ESCAPE, p + 1);
    }
    int32_t unit = hex4(p + 2);
    if (unit < 0) {
        const uint8_t *at = p + 2;
        while (hex_digit(*at) >= 0) {
            at++;
        }
        return slj_fail(reader, SL_JSON_BAD_ESCAPE, at);
    }
    if (unit < 0xD800 || unit > 0xDFFF) {
        return p + 6;
    }
    if (unit > 0xDBFF) {
        return slj_fail(reader, SL_JSON_LONE_SURROGATE, p);
    }
    int32_t low = p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
    if (low < 0xDC00 || low > 0xDFFF) {
        return slj_fail(reader, SL_JSON_LONE_SURROGATE, p + 6 >= reader->end ? p + 6 : p);
    }
    return p + 12;
}

const uint8_t *slj_scan_string(slj_reader *reader, const uint8_t *p, unsigned *flags) {
    unsigned seen = 0;
    for (;;) {
        unsigned hit = slj_special16(slj_load16(p));
        if (hit == 0) {
            p += 16;
            continue;
        }
        p += __builtin_ctz(hit);
        if (*p == '"') {
            *flags = seen;
            return p;
        }
        if (*p == '\\') {
            seen |= SLJ_STRING_ESCAPES;
            p = scan_escape(reader, p);
            if (p == NULL) {
                return NULL;
            }
        } else if (*p < 0x20) {
            return slj_fail(reader, SL_JSON_CONTROL_CHARACTER, p);
        } else {
            seen |= SLJ_STRING_NON_ASCII;
            while (*p >= 0x80) {
                unsigned length = slj_utf8_sequence(p);
                if (length == 0) {
                    return slj_fail(reader, SL_JSON_BAD_UTF8, p);
                }
                p += length;
            }
        }
    }
}

static size_t put_utf8(uint32_t c, uint8_t *out) {
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

size_t slj_unescape(const uint8_t *raw, size_t bytes, uint8_t *out) {
    const uint8_t *end = raw + bytes;
    uint8_t *o = out;
    while (raw < end) {
        if (*raw != '\\') {
            const uint8_t *next = memchr(raw, '\\', (size_t)(end - raw));
            size_t run = (size_t)((next == NULL ? end : next) - raw);
            memmove(o, raw, run); /* may be in place */
            o += run;
            raw += run;
            continue;
        }
        uint8_t kind = raw[1];
        raw += 2;
        switch (kind) {
        case 'b':
            *o++ = '\b';
            break;
        case 'f':
            *o++ = '\f';
            break;
        case 'n':
            *o++ = '\n';
            break;
        case 'r':
            *o++ = '\r';
            break;
        case 't':
            *o++ = '\t';
            break;
        case 'u': {
            uint32_t c = (uint32_t)hex4(raw);
            raw += 4;
            if (c >= 0xD800 && c <= 0xDBFF) {
                c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)hex4(raw + 2) - 0xDC00);
                raw += 6;
            }
            o += put_utf8(c, o);
            break;
        }
        default: /* quote, backslash, slash */
            *o++ = kind;
        }
    }
    return (size_t)(o - out);
}

size_t slj_code_points(const uint8_t *text, size_t bytes) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        n += !is_continuation(text[i]);
    }
    return n;
}

/* ---- keys ---- */

bool slj_push_key(slj_reader *reader, const uint8_t *raw, size_t bytes, unsigned flags) {
    if (reader->n_keys == reader->keys_capacity) {
        size_t capacity = reader->keys_capacity == 0 ? 64 : reader->keys_capacity * 2;
        slj_key *grown = realloc(reader->keys, capacity * sizeof *grown);
        if (grown == NULL) {
            reader->no_memory = true;
            return false;
        }
        reader->keys = grown;
        reader->keys_capacity = capacity;
    }
    slj_key *key = &reader->keys[reader->n_keys++];
    key->unescaped = (flags & SLJ_STRING_ESCAPES) != 0;
    key->bytes = (uint32_t)bytes;
    key->at = (uint32_t)(raw - reader->start);
    if (key->unescaped) {
        if (!sl_buffer_reserve(&reader->key_text, bytes)) {
            reader->no_memory = true;
            return false;
        }
        uint8_t *out = reader->key_text.data + reader->key_text.bytes;
        key->at = (uint32_t)reader->key_text.bytes;
        key->bytes = (uint32_t)slj_unescape(raw, bytes, out);
        reader->key_text.bytes += key->bytes;
    }
    return true;
}

static const uint8_t *key_text(const slj_reader *reader, const slj_key *key) {
    return (key->unescaped ? reader->key_text.data : reader->start) + key->at;
}

static int compare_keys(const void *a, const void *b, void *arg) {
    const slj_key *x = a, *y = b;
    if (x->bytes != y->bytes) {
        return x->bytes < y->bytes ? -1 : 1;
    }
    return x->bytes == 0 ? 0 : memcmp(key_text(arg, x), key_text(arg, y), x->bytes);
}

const uint8_t *slj_pop_keys(slj_reader *reader, size_t mark, const uint8_t *p) {
    size_t n = reader->n_keys - mark;
    reader->n_keys = mark;
    if (n < 2 || !reader->reject_duplicates) {
        return p;
    }
    slj_key *keys = reader->keys + mark;
    const slj_key *twice = NULL;
    if (n <= 16) {
        for (size_t i = 1; i < n && twice == NULL; i++) {
            for (size_t j = 0; j < i && twice == NULL; j++) {
                twice = compare_keys(&keys[i], &keys[j], reader) == 0 ? &keys[i] : NULL;
            }
        }
    } else {
        qsort_r(keys, n, sizeof *keys, compare_keys, reader);
        for (size_t i = 1; i < n && twice == NULL; i++) {
            twice = compare_keys(&keys[i], &keys[i - 1], reader) == 0 ? &keys[i] : NULL;
        }
    }
    if (twice == NULL) {
        return p;
    }
    return slj_fail(reader, SL_JSON_DUPLICATE_KEY,
                    twice->unescaped ? p : reader->start + twice->at);
}

/* ---- numbers ---- */

const double slj_powers_of_ten[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
const uint32_t slj_small_powers[9] = {1,      10,      100,      1000,     10000,
                                      100000, 1000000, 10000000, 100000000};

const uint8_t *slj_scan_long_digits(const uint8_t *p, unsigned digits, slj_number *out,
                                    unsigned *total) {
    while (*p >= '0' && *p <= '9') {
        if (digits < 19) {
            out->mantissa = out->mantissa * 10 + (uint64_t)(*p - '0');
        } else {
            out->inexact = true;
        }
        digits += digits < 1u << 30;
        p++;
    }
    *total = digits;
    return p;
}

const uint8_t *slj_scan_exponent(const uint8_t *p, slj_number *out) {
    p++;
    bool negative = *p == '-';
    p += *p == '-' || *p == '+';
    if (*p < '0' || *p > '9') {
        return NULL;
    }
    int32_t value = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value < 100000000 ? value * 10 + (*p - '0') : value;
    }
    out->exponent += negative ? -value : value;
    return p;
}

/* ---- reading over values ---- */

static const uint8_t *skip_number(slj_reader *reader, const uint8_t *p) {
    slj_number number;
    const uint8_t *behind = slj_scan_number(p, &number);
    if (behind != NULL) {
        return behind;
    }
    /* Where it breaks: an end there means that the text was cut. */
    p += *p == '-';
    if (p[0] == '0' && p[1] >= '0' && p[1] <= '9') {
        return slj_fail(reader, SL_JSON_BAD_NUMBER, p + 1);
    }
    while (*p != 0 && strchr("0123456789.eE+-", *p) != NULL) {
        p++;
    }
    return slj_fail(reader, SL_JSON_BAD_NUMBER, p);
}

static const uint8_t *skip_literal(slj_reader *reader, const uint8_t *p, const char *literal) {
    for (; *literal != 0; literal++, p++) {
        if (*p != (uint8_t)*literal) {
            return slj_fail(reader, SL_JSON_BAD_SYNTAX, p);
        }
    }
    return p;
}

static const uint8_t *skip_array(slj_reader *reader, const uint8_t *p, uint32_t depth) {
    p = slj_skip_space(p + 1);
    if (*p == ']') {
        return p + 1;
    }
    for (;;) {
        p = slj_skip_value(reader, p, depth + 1);
        if (p == NULL) {
            return NULL;
        }
        p = slj_skip_space(p);
        if (*p == ']') {
            return p + 1;
        }
        if (*p != ',') {
            return slj_fail(reader, SL_JSON_BAD_SYNTAX, p);
        }
        p = slj_skip_space(p + 1);
    }
}

/* Reads `"key" :`, remembers the key, and returns the place of the value. */
static const uint8_t *skip_key(slj_reader *reader, const uint8_t *p) {
    unsigned flags;
    if (*p != '"') {
        return slj_fail(reader, SL_JSON_BAD_SYNTAX, p);
    }
    const uint8_t *raw = p + 1;
    p = slj_scan_string(reader, raw, &flags);
    if (p == NULL || !slj_push_key(reader, raw, (size_t)(p - raw), flags)) {
        return NULL;
    }
    p = slj_skip_space(p + 1);
    return *p == ':' ? slj_skip_space(p + 1) : slj_fail(reader, SL_JSON_BAD_SYNTAX, p);
}

static const uint8_t *skip_object(slj_reader *reader, const uint8_t *p, uint32_t depth) {
    size_t mark = reader->n_keys;
    p = slj_skip_space(p + 1);
    if (*p == '}') {
        return p + 1;
    }
    for (;;) {
        p = skip_key(reader, p);
        if (p != NULL) {
            p = slj_skip_value(reader, p, depth + 1);
        }
        if (p == NULL) {
            return NULL;
        }
        p = slj_skip_space(p);
        if (*p == '}') {
            return slj_pop_keys(reader, mark, p + 1);
        }
        if (*p != ',') {
            return slj_fail(reader, SL_JSON_BAD_SYNTAX, p);
        }
        p = slj_skip_space(p + 1);
    }
}

const uint8_t *slj_skip_value(slj_reader *reader, const uint8_t *p, uint32_t depth) {
    unsigned flags;
    switch (*p) {
    case '"':
        p = slj_scan_string(reader, p + 1, &flags);
        return p == NULL ? NULL : p + 1;
    case '{':
    case '[':
        if (depth >= reader->max_depth) {
            return slj_fail(reader, SL_JSON_TOO_DEEP, p);
        }
        return *p == '{' ? skip_object(reader, p, depth) : skip_array(reader, p, depth);
    case 't':
        return skip_literal(reader, p, "true");
    case 'f':
        return skip_literal(reader, p, "false");
    case 'n':
        return skip_literal(reader, p, "null");
    default:
        if (*p == '-' || (*p >= '0' && *p <= '9')) {
            return skip_number(reader, p);
        }
        return slj_fail(reader, SL_JSON_BAD_SYNTAX, p);
    }
}
