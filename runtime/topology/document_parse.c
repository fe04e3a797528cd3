/*
 * The strict JSON parser with places (see document.h): one pass over the bytes, recursive over
 * containers up to JSON_MAX_DEPTH, which also keeps the path of the value at hand for its faults.
 */
#include "topology/document.h"

#include <stdint.h>
#include <stdio.h>

#define MAX_SHOWN_PATH_BYTES 200

struct parser {
    struct arena *arena;
    const uint8_t *text;
    size_t bytes;
    size_t at;
    int line;
    size_t line_start;
    size_t passed_columns; /* continuation bytes of UTF-8 on this line so far */
    size_t counted_to;     /* where that count ends */
    size_t token_end;      /* end of the last token that was understood */
    struct json_place token_end_place;
    int depth;
    bool stopped; /* a fault after which nothing can be made of the rest */
    sl_buffer path;
    json_fault fault;
    void *fault_arg;
};

/* ---- places and faults ---- */

static struct json_place place_here(struct parser *p) {
    for (; p->counted_to < p->at; p->counted_to++) {
        if ((p->text[p->counted_to] & 0xc0) == 0x80) {
            p->passed_columns++;
        }
    }
    return (struct json_place){p->line, (int)(p->at - p->line_start - p->passed_columns) + 1,
                               false};
}

static void start_line(struct parser *p) {
    p->line++;
    p->line_start = p->at;
    p->counted_to = p->at;
    p->passed_columns = 0;
}

SL_PRINTF(3, 4)
static void report(struct parser *p, struct json_place place, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char text[512];
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const char *path = sl_buffer_text(&p->path);
    char clipped[MAX_SHOWN_PATH_BYTES + sizeof("...")];
    if (path != NULL && p->path.bytes > MAX_SHOWN_PATH_BYTES) {
        (void)snprintf(clipped, sizeof(clipped), "%.*s...", MAX_SHOWN_PATH_BYTES, path);
        path = clipped;
    }
    p->fault(p->fault_arg, place, path == NULL ? "$" : path, text);
}

/* What stands at the cursor, for messages. */
static const char *found_here(const struct parser *p, char out[16]) {
    if (p->at >= p->bytes) {
        return "the end of the file";
    }
    uint8_t c = p->text[p->at];
    if (c == '"') {
        return "a double quote";
    }
    if (c < 0x20 || c >= 0x7f) {
        (void)snprintf(out, 16, "byte 0x%02x", c);
    } else {
        (void)snprintf(out, 16, "\"%c\"", c);
    }
    return out;
}

/* ---- characters ---- */

static int peek(const struct parser *p) {
    return p->at < p->bytes ? p->text[p->at] : -1;
}

static void skip_comment(struct parser *p) {
    bool block = p->text[p->at + 1] == '*';
    p->at += 2;
    while (p->at < p->bytes) {
        if (p->text[p->at] == '\n') {
            if (!block) {
                return;
            }
            p->at++;
            start_line(p);
        } else if (block && p->text[p->at] == '*' && p->at + 1 < p->bytes &&
                   p->text[p->at + 1] == '/') {
            p->at += 2;
            return;
        } else {
            p->at++;
        }
    }
}

static void skip_space(struct parser *p) {
    for (;;) {
        int c = peek(p);
        if (c == '\n') {
            p->at++;
            start_line(p);
        } else if (c == ' ' || c == '\t' || c == '\r') {
            p->at++;
        } else if (c == '/' && p->at + 1 < p->bytes &&
                   (p->text[p->at + 1] == '/' || p->text[p->at + 1] == '*')) {
            report(p, place_here(p), "a comment: JSON has none; take it out");
            skip_comment(p);
        } else {
            return;
        }
    }
}

static void token_ends(struct parser *p) {
    p->token_end = p->at;
    p->token_end_place = place_here(p);
}

static bool is_word(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '+' || c == '.';
}

/* ---- strings ---- */

static bool append_utf8(sl_buffer *out, uint32_t c) {
    uint8_t bytes[4];
    size_t n;
    if (c < 0x80) {
        bytes[0] = (uint8_t)c;
        n = 1;
    } else if (c < 0x800) {
        bytes[0] = (uint8_t)(0xc0 | (c >> 6));
        bytes[1] = (uint8_t)(0x80 | (c & 0x3f));
        n = 2;
    } else if (c < 0x10000) {
        bytes[0] = (uint8_t)(0xe0 | (c >> 12));
        bytes[1] = (uint8_t)(0x80 | ((c >> 6) & 0x3f));
        bytes[2] = (uint8_t)(0x80 | (c & 0x3f));
        n = 3;
    } else {
        bytes[0] = (uint8_t)(0xf0 | (c >> 18));
        bytes[1] = (uint8_t)(0x80 | ((c >> 12) & 0x3f));
        bytes[2] = (uint8_t)(0x80 | ((c >> 6) & 0x3f));
        bytes[3] = (uint8_t)(0x80 | (c & 0x3f));
        n = 4;
    }
    return sl_buffer_append(out, bytes, n);
}

static bool hex4(const struct parser *p, size_t at, uint32_t *out) {
    if (p->bytes - at < 4) {
        return false;
    }
    uint32_t value = 0;
    for (size_t i = 0; i < 4; i++) {
        uint8_t c = p->text[at + i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16u;
        if (digit == 16) {
            return false;
        }
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

/* \uXXXX, the cursor on the 'u'. */
static void unicode_escape(struct parser *p, sl_buffer *out) {
    uint32_t c;
    struct json_place place = place_here(p);
    p->at++;
    if (!hex4(p, p->at, &c)) {
        report(p, place, "\\u needs four hexadecimal digits");
        return;
    }
    p->at += 4;
    uint32_t low;
    if (c >= 0xd800 && c <= 0xdbff && p->bytes - p->at >= 6 && p->text[p->at] == '\\' &&
        p->text[p->at + 1] == 'u' && hex4(p, p->at + 2, &low) && low >= 0xdc00 && low <= 0xdfff) {
        p->at += 6;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (c >= 0xd800 && c <= 0xdfff) {
        report(p, place, "\\u%04x is half of a surrogate pair and names no character", c);
    } else if (c == 0) {
        report(p, place, "the character U+0000 is not allowed in a topology");
    } else {
        (void)append_utf8(out, c);
    }
}

static void escape(struct parser *p, sl_buffer *out) {
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    p->at++;
    int c = peek(p);
    const char *name = c > 0 ? strchr(names, c) : NULL;
    if (name != NULL) {
        (void)sl_buffer_append_byte(out, (uint8_t)values[name - names]);
        p->at++;
    } else if (c == 'u') {
        unicode_escape(p, out);
    } else {
        char found[16];
        report(p, place_here(p),
               "%s after \\: allowed are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX",
               found_here(p, found));
    }
}

/* Length of the well-formed UTF-8 sequence at the cursor, or 0. */
static size_t utf8_length(const struct parser *p) {
    const uint8_t *s = p->text + p->at;
    size_t left = p->bytes - p->at;
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (n == 1) {
        return 1;
    }
    if (s[0] < 0xc2 || s[0] > 0xf4 || left < n) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool outside = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return overlong || outside ? 0 : n;
}

/* A string in the quotes that the cursor stands on; NULL when the parser stopped. */
static const char *parse_string(struct parser *p) {
    struct json_place start = place_here(p);
    uint8_t quote = p->text[p->at++];
    if (quote == '\'') {
        report(p, start, "single quotes: JSON has strings and names in double quotes only");
    }
    sl_buffer out = SL_BUFFER_INIT;
    bool bad_utf8 = false;
    for (;;) {
        int c = peek(p);
        if (c < 0 || c == '\n') {
            report(p, start, "the string that begins here does not end on its line");
            p->stopped = true;
            sl_buffer_free(&out);
            return NULL;
        }
        if (c == quote) {
            p->at++;
            break;
        }
        if (c == '\\') {
            escape(p, &out);
            continue;
        }
        size_t n = utf8_length(p);
        if (n == 0 && !bad_utf8) {
            report(p, place_here(p), "byte 0x%02x is not UTF-8", (unsigned)c);
            bad_utf8 = true;
        } else if (c < 0x20) {
            report(p, place_here(p), "control character 0x%02x in a string; write \\u%04x",
                   (unsigned)c, (unsigned)c);
        }
        (void)sl_buffer_append(&out, p->text + p->at, n == 0 || c < 0x20 ? 0 : n);
        p->at += n == 0 ? 1 : n;
    }
    token_ends(p);
    return arena_take(p->arena, &out);
}

/* ---- values ---- */

static struct json_value *parse_value(struct parser *p);

static bool is_number(const char *s) {
    s += *s == '-';
    if (*s == '0') {
        s++;
    } else if (*s >= '1' && *s <= '9') {
        while (*s >= '0' && *s <= '9') {
            s++;
        }
    } else {
        return false;
    }
    if (*s == '.') {
        s++;
        if (*s < '0' || *s > '9') {
            return false;
        }
        while (*s >= '0' && *s <= '9') {
            s++;
        }
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        if (*s < '0' || *s > '9') {
            return false;
        }
        while (*s >= '0' && *s <= '9') {
            s++;
        }
    }
    return *s == 0;
}

static struct json_value *parse_word(struct parser *p) {
    struct json_place place = place_here(p);
    size_t start = p->at;
    while (is_word(peek(p))) {
        p->at++;
    }
    token_ends(p);
    const char *word = arena_copy(p->arena, (const char *)p->text + start, p->at - start);
    struct json_value *value = json_new(p->arena, JSON_NULL, place);
    if (word == NULL || value == NULL) {
        p->stopped = true;
        return NULL;
    }
    value->text = word;
    value->shown = word;
    if (is_number(word)) {
        value->kind = JSON_NUMBER;
    } else if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        value->kind = JSON_BOOL;
        value->truth = word[0] == 't';
    } else if (strcmp(word, "null") != 0) {
        bool digit = word[0] == '-' || word[0] == '+' || word[0] == '.' ||
                     (word[0] >= '0' && word[0] <= '9');
        value->broken = true;
        if (digit) {
            report(p, place, "\"%.60s\" is no number as JSON writes one", word);
        } else {
            report(p, place,
                   "the word \"%.60s\": a value is a string in double quotes, a number, true, "
                   "false, null, an object or an array",
                   word);
        }
    }
    return value;
}

static void check_duplicate(struct parser *p, const struct json_value *object, const char *key,
                            uint32_t hash, struct json_place place) {
    for (const struct json_value *m = object->first; m != NULL; m = m->next) {
        if (m->key_hash == hash && strcmp(m->key, key) == 0) {
            report(p, place, "\"%.100s\" stands twice in this object; the first is on line %d", key,
                   m->key_place.line);
            return;
        }
    }
}

/* A member's name; NULL when the parser stopped. */
static const char *parse_key(struct parser *p, struct json_place opened) {
    int c = peek(p);
    if (c == '"' || c == '\'') {
        return parse_string(p);
    }
    if (is_word(c)) {
        struct json_place place = place_here(p);
        size_t start = p->at;
        while (is_word(peek(p))) {
            p->at++;
        }
        token_ends(p);
        report(p, place, "the name %.*s must stand in double quotes",
               (int)(p->at - start > 60 ? 60 : p->at - start), (const char *)p->text + start);
        return arena_copy(p->arena, (const char *)p->text + start, p->at - start);
    }
    char found[16];
    if (c < 0) {
        report(p, place_here(p), "the file ends inside the object that begins on line %d",
               opened.line);
    } else {
        report(p, place_here(p),
               "found %s where a name in double quotes or \"}\" is expected (the object begins on "
               "line %d)",
               found_here(p, found), opened.line);
    }
    p->stopped = true;
    return NULL;
}

static void parse_colon(struct parser *p) {
    skip_space(p);
    int c = peek(p);
    if (c == ':') {
        p->at++;
    } else {
        char found[16];
        report(p, place_here(p), "found %s where \":\" is expected after a name",
               found_here(p, found));
        if (c == '=' || c == ';') {
            p->at++;
        } else if (c != '"' && c != '{' && c != '[' && !is_word(c)) {
            p->stopped = true;
        }
    }
    skip_space(p);
}

/*
 * After a child: true when another follows. `close` is the bracket that ends the container.
 */
static bool parse_separator(struct parser *p, char close, const char *what,
                            struct json_place opened) {
    skip_space(p);
    int c = peek(p);
    if (c == ',') {
        struct json_place place = place_here(p);
        p->at++;
        token_ends(p);
        skip_space(p);
        if (peek(p) == close) {
            report(p, place, "a comma before \"%c\": take it out", close);
            p->at++;
            token_ends(p);
            return false;
        }
        return true;
    }
    if (c == close) {
        p->at++;
        token_ends(p);
        return false;
    }
    if (c == '"' || (close == ']' && (c == '{' || c == '[' || is_word(c)))) {
        report(p, p->token_end_place, "a comma is missing here");
        return true;
    }
    if (c < 0) {
        report(p, place_here(p), "the file ends inside the %s that begins on line %d", what,
               opened.line);
    } else {
        char found[16];
        report(p, place_here(p),
               "found %s where \",\" or \"%c\" is expected (the %s begins on line %d)",
               found_here(p, found), close, what, opened.line);
    }
    p->stopped = true;
    return false;
}

static void parse_member(struct parser *p, struct json_value *object) {
    struct json_place key_place = place_here(p);
    const char *key = parse_key(p, object->place);
    if (key == NULL) {
        p->stopped = true;
        return;
    }
    uint32_t hash = json_hash(key);
    size_t path_bytes = p->path.bytes;
    json_path_append(&p->path, key);
    check_duplicate(p, object, key, hash, key_place);
    parse_colon(p);
    struct json_value *value = p->stopped ? NULL : parse_value(p);
    if (value != NULL) {
        json_append(object, value, key);
        value->key_place = key_place;
    }
    p->path.bytes = path_bytes;
    if (object->n_children > JSON_MAX_MEMBERS) {
        report(p, object->place, "more than %d members in one object", JSON_MAX_MEMBERS);
        p->stopped = true;
    }
}

static void parse_item(struct parser *p, struct json_value *array) {
    size_t path_bytes = p->path.bytes;
    (void)sl_buffer_printf(&p->path, "[%zu]", array->n_children);
    struct json_value *value = parse_value(p);
    if (value != NULL) {
        json_append(array, value, NULL);
    }
    p->path.bytes = path_bytes;
}

static struct json_value *parse_container(struct parser *p, bool object) {
    struct json_value *value = json_new(p->arena, object ? JSON_OBJECT : JSON_ARRAY, place_here(p));
    if (value == NULL || ++p->depth > JSON_MAX_DEPTH) {
        if (value != NULL) {
            report(p, value->place, "nested deeper than %d levels", JSON_MAX_DEPTH);
        }
        p->stopped = true;
        return NULL;
    }
    char close = object ? '}' : ']';
    p->at++;
    token_ends(p);
    skip_space(p);
    bool more = peek(p) != close;
    if (!more) {
        p->at++;
        token_ends(p);
    }
    while (more && !p->stopped) {
        if (object) {
            parse_member(p, value);
        } else {
            parse_item(p, value);
        }
        more = !p->stopped && parse_separator(p, close, object ? "object" : "array", value->place);
    }
    p->depth--;
    return value;
}

static struct json_value *parse_value(struct parser *p) {
    skip_space(p);
    int c = peek(p);
    if (c == '{' || c == '[') {
        return parse_container(p, c == '{');
    }
    if (c == '"' || c == '\'') {
        struct json_value *value = json_new(p->arena, JSON_STRING, place_here(p));
        const char *text = parse_string(p);
        if (value == NULL || text == NULL) {
            p->stopped = true;
            return NULL;
        }
        value->text = text;
        value->shown = text;
        return value;
    }
    if (is_word(c)) {
        return parse_word(p);
    }
    char found[16];
    report(p, place_here(p), "found %s where a value is expected", found_here(p, found));
    p->stopped = true;
    return NULL;
}

struct json_value *json_parse(struct arena *arena, const char *text, size_t bytes, json_fault fault,
                              void *arg) {
    struct parser p = {.arena = arena,
                       .text = (const uint8_t *)text,
                       .bytes = bytes,
                       .line = 1,
                       .fault = fault,
                       .fault_arg = arg};
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    (void)sl_buffer_append_text(&p.path, "$");
    struct json_value *value = NULL;
    if (bytes > JSON_MAX_BYTES) {
        report(&p, (struct json_place){0, 0, false}, "larger than %zu bytes", JSON_MAX_BYTES);
        p.stopped = true;
    } else {
        if (bytes >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
            p.at = 3;
            start_line(&p);
            p.line = 1;
        }
        value = parse_value(&p);
    }
    if (!p.stopped) {
        skip_space(&p);
        if (p.at < bytes) {
            char found[16];
            report(&p, place_here(&p), "found %s after the end of the document",
                   found_here(&p, found));
        }
    }
    if (p.path.failed) {
        arena->failed = true;
    }
    sl_buffer_free(&p.path);
    return p.stopped || arena->failed ? NULL : value;
}

static void note_fault(void *arg, struct json_place place, const char *path, const char *text) {
    (void)place;
    (void)path;
    (void)text;
    *(bool *)arg = true;
}

struct json_value *json_read(struct arena *arena, const char *text, size_t bytes) {
    bool faulty = false;
    struct json_value *value = json_parse(arena, text, bytes, note_fault, &faulty);
    return faulty ? NULL : value;
}
