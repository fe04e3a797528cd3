/* A recursive-descent JSON parser into an arena. Depth is bounded, every read is bounded by the
 * text's end, strings are decoded with surrogate pairs joined. */
#include "delta/json.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 8192

typedef struct json_chunk {
    struct json_chunk *next;
    size_t used;
    size_t capacity;
    _Alignas(16) uint8_t data[];
} json_chunk;

typedef struct parser {
    json_arena *arena;
    const char *begin;
    const char *at;
    const char *end;
    bool no_memory;
} parser;

static void *arena_take(json_arena *arena, size_t bytes) {
    size_t rounded = (bytes + 15) & ~(size_t)15;
    if (rounded < bytes) {
        return NULL;
    }
    json_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->capacity - chunk->used < rounded) {
        size_t capacity = rounded > CHUNK_BYTES ? rounded : CHUNK_BYTES;
        if (capacity > SIZE_MAX - sizeof(*chunk)) {
            return NULL;
        }
        chunk = malloc(sizeof(*chunk) + capacity);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = arena->chunks;
        chunk->used = 0;
        chunk->capacity = capacity;
        arena->chunks = chunk;
    }
    void *out = chunk->data + chunk->used;
    chunk->used += rounded;
    return out;
}

void delta_json_arena_free(json_arena *arena) {
    while (arena->chunks != NULL) {
        json_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
}

static void skip_space(parser *p) {
    while (p->at < p->end &&
           (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')) {
        p->at++;
    }
}

static bool take_char(parser *p, char c) {
    skip_space(p);
    if (p->at < p->end && *p->at == c) {
        p->at++;
        return true;
    }
    return false;
}

static bool hex4(parser *p, uint32_t *out) {
    if (p->end - p->at < 4) {
        return false;
    }
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = *p->at++;
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a' + 10);
        } else {
            return false;
        }
        value = value * 16 + digit;
    }
    *out = value;
    return true;
}

static char *put_utf8(char *out, uint32_t c) {
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | (c >> 6));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | (c >> 12));
        *out++ = (char)(0x80 | ((c >> 6) & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | (c >> 18));
        *out++ = (char)(0x80 | ((c >> 12) & 0x3f));
        *out++ = (char)(0x80 | ((c >> 6) & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* After "\u": one code point, two escapes for a surrogate pair; lone surrogates become U+FFFD. */
static bool unicode_escape(parser *p, char **out) {
    uint32_t c;
    if (!hex4(p, &c)) {
        return false;
    }
    if (c >= 0xd800 && c < 0xdc00 && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u') {
        const char *back = p->at;
        uint32_t low;
        p->at += 2;
        if (!hex4(p, &low)) {
            return false;
        }
        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        } else {
            p->at = back;
        }
    }
    *out = put_utf8(*out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    return true;
}

static bool escape(parser *p, char **out) {
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (p->at >= p->end) {
        return false;
    }
    char c = *p->at++;
    if (c == 'u') {
        return unicode_escape(p, out);
    }
    const char *found = memchr(from, c, sizeof(from) - 1);
    if (found == NULL) {
        return false;
    }
    *(*out)++ = to[found - from];
    return true;
}

/* At the opening quote. Decoding never makes a string longer, so the raw length is enough. */
static bool parse_string(parser *p, const char **text, size_t *bytes) {
    skip_space(p);
    if (p->at >= p->end || *p->at != '"') {
        return false;
    }
    const char *close = ++p->at;
    while (close < p->end && *close != '"') {
        close += *close == '\\' ? 2 : 1;
    }
    if (close >= p->end) {
        p->at = p->end;
        return false;
    }
    char *out = arena_take(p->arena, (size_t)(close - p->at) + 1);
    if (out == NULL) {
        p->no_memory = true;
        return false;
    }
    char *begin = out;
    while (p->at < close) {
        unsigned char c = (unsigned char)*p->at;
        if (c < 0x20) {
            return false;
        }
        p->at++;
        if (c != '\\') {
            *out++ = (char)c;
        } else if (!escape(p, &out)) {
            return false;
        }
    }
    p->at++;
    *out = 0;
    *text = begin;
    *bytes = (size_t)(out - begin);
    return true;
}

static bool digits(parser *p) {
    const char *begin = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9') {
        p->at++;
    }
    return p->at > begin;
}

static bool parse_number(parser *p, json_value *value) {
    const char *begin = p->at;
    if (p->at < p->end && *p->at == '-') {
        p->at++;
    }
    const char *first = p->at;
    if (!digits(p) || (*first == '0' && p->at - first > 1)) {
        return false;
    }
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        if (!digits(p)) {
            return false;
        }
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-')) {
            p->at++;
        }
        if (!digits(p)) {
            return false;
        }
    }
    value->kind = JSON_NUMBER;
    value->bytes = (size_t)(p->at - begin);
    char *copy = arena_take(p->arena, value->bytes + 1);
    if (copy == NULL) {
        p->no_memory = true;
        return false;
    }
    memcpy(copy, begin, value->bytes);
    copy[value->bytes] = 0;
    value->text = copy;
    return true;
}

static bool parse_word(parser *p, json_value *value) {
    static const struct {
        const char *word;
        size_t bytes;
        json_kind kind;
    } words[] = {{"null", 4, JSON_NULL}, {"true", 4, JSON_TRUE}, {"false", 5, JSON_FALSE}};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(words); i++) {
        if ((size_t)(p->end - p->at) >= words[i].bytes &&
            memcmp(p->at, words[i].word, words[i].bytes) == 0) {
            p->at += words[i].bytes;
            value->kind = words[i].kind;
            return true;
        }
    }
    return false;
}

static json_value *parse_value(parser *p, int depth);

static bool parse_children(parser *p, json_value *parent, char close, int depth) {
    json_value **link = &parent->child;
    if (take_char(p, close)) {
        return true;
    }
    do {
        const char *name = NULL;
        size_t name_bytes = 0;
        if (close == '}' && (!parse_string(p, &name, &name_bytes) || !take_char(p, ':'))) {
            return false;
        }
        json_value *child = parse_value(p, depth + 1);
        if (child == NULL) {
            return false;
        }
        child->name = name;
        *link = child;
        link = &child->next;
    } while (take_char(p, ','));
    return take_char(p, close);
}

static json_value *parse_value(parser *p, int depth) {
    skip_space(p);
    if (p->at >= p->end || depth > JSON_MAX_DEPTH) {
        return NULL;
    }
    json_value *value = arena_take(p->arena, sizeof(*value));
    if (value == NULL) {
        p->no_memory = true;
        return NULL;
    }
    memset(value, 0, sizeof(*value));
    bool good;
    char c = *p->at;
    if (c == '{' || c == '[') {
        p->at++;
        value->kind = c == '{' ? JSON_OBJECT : JSON_ARRAY;
        good = parse_children(p, value, c == '{' ? '}' : ']', depth);
    } else if (c == '"') {
        value->kind = JSON_STRING;
        good = parse_string(p, &value->text, &value->bytes);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        good = parse_number(p, value);
    } else {
        good = parse_word(p, value);
    }
    return good ? value : NULL;
}

sl_error *delta_json_parse(json_arena *arena, const char *text, size_t bytes,
                           const json_value **out) {
    parser p = {.arena = arena, .begin = text, .at = text, .end = text + bytes};
    const json_value *value = parse_value(&p, 0);
    if (value != NULL) {
        skip_space(&p);
    }
    if (p.no_memory) {
        return sl_error_no_memory();
    }
    if (value == NULL || p.at != p.end) {
        return sl_error_new(SL_ERROR_CORRUPT, "not JSON at byte %zu", (size_t)(p.at - p.begin));
    }
    *out = value;
    return NULL;
}

const json_value *delta_json_member(const json_value *object, const char *name) {
    if (object == NULL || object->kind != JSON_OBJECT) {
        return NULL;
    }
    for (const json_value *v = object->child; v != NULL; v = v->next) {
        if (strcmp(v->name, name) == 0) {
            return v->kind == JSON_NULL ? NULL : v;
        }
    }
    return NULL;
}

const char *delta_json_text(const json_value *object, const char *name) {
    const json_value *value = delta_json_member(object, name);
    return value != NULL && value->kind == JSON_STRING ? value->text : NULL;
}

bool delta_json_int(const json_value *object, const char *name, int64_t *out) {
    const json_value *value = delta_json_member(object, name);
    if (value == NULL || value->kind != JSON_NUMBER) {
        return false;
    }
    size_t bytes = value->bytes;
    const char *dot = memchr(value->text, '.', bytes);
    if (dot != NULL) { /* "12.0": some writers print longs as doubles */
        for (const char *c = dot + 1; *c != 0; c++) {
            if (*c != '0') {
                return false;
            }
        }
        bytes = (size_t)(dot - value->text);
    }
    return sl_parse_i64(value->text, bytes, out);
}

bool delta_json_bool(const json_value *object, const char *name, bool fallback) {
    const json_value *value = delta_json_member(object, name);
    if (value == NULL || (value->kind != JSON_TRUE && value->kind != JSON_FALSE)) {
        return fallback;
    }
    return value->kind == JSON_TRUE;
}

static bool write_children(const json_value *parent, sl_buffer *out) {
    for (const json_value *v = parent->child; v != NULL; v = v->next) {
        if (v != parent->child) {
            sl_buffer_append_byte(out, ',');
        }
        if (parent->kind == JSON_OBJECT) {
            sl_buffer_append_json_string(out, v->name, strlen(v->name));
            sl_buffer_append_byte(out, ':');
        }
        delta_json_write(v, out);
    }
    return !out->failed;
}

bool delta_json_write(const json_value *value, sl_buffer *out) {
    switch (value->kind) {
    case JSON_NULL:
        return sl_buffer_append_text(out, "null");
    case JSON_FALSE:
        return sl_buffer_append_text(out, "false");
    case JSON_TRUE:
        return sl_buffer_append_text(out, "true");
    case JSON_NUMBER:
        return sl_buffer_append(out, value->text, value->bytes);
    case JSON_STRING:
        return sl_buffer_append_json_string(out, value->text, value->bytes);
    case JSON_ARRAY:
    case JSON_OBJECT:
        sl_buffer_append_byte(out, value->kind == JSON_ARRAY ? '[' : '{');
        write_children(value, out);
        return sl_buffer_append_byte(out, value->kind == JSON_ARRAY ? ']' : '}');
    }
    return false;
}
