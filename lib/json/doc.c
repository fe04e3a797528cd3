/*
 * Parsing a document into nodes; equality and hashes of values; writing them.
 */
#include "json/doc.h"

#include <stdlib.h>

static slj_node *push_node(slj_doc *doc, slj_kind kind, const uint8_t *text) {
    if (doc->n == doc->capacity) {
        size_t capacity = doc->capacity == 0 ? 64 : doc->capacity * 2;
        slj_node *grown = realloc(doc->nodes, capacity * sizeof *grown);
        if (grown == NULL) {
            doc->reader.no_memory = true;
            return NULL;
        }
        doc->nodes = grown;
        doc->capacity = capacity;
    }
    slj_node *node = &doc->nodes[doc->n++];
    *node = (slj_node){.text = text, .kind = kind, .end = (uint32_t)doc->n};
    return node;
}

static const uint8_t *parse_string(slj_doc *doc, const uint8_t *p, bool key) {
    slj_reader *reader = &doc->reader;
    unsigned flags;
    const uint8_t *raw = p + 1;
    const uint8_t *quote = slj_scan_string(reader, raw, &flags);
    if (quote == NULL || (key && !slj_push_key(reader, raw, (size_t)(quote - raw), flags))) {
        return NULL;
    }
    slj_node *node = push_node(doc, SLJ_STRING, raw);
    if (node == NULL) {
        return NULL;
    }
    node->bytes = (uint32_t)(quote - raw);
    if (flags & SLJ_STRING_ESCAPES) {
        /* in place: the copy is ours, and what is written is never longer than what was read */
        uint8_t *out = reader->text + (raw - reader->start);
        node->bytes = (uint32_t)slj_unescape(raw, node->bytes, out);
    }
    return quote + 1;
}

static const uint8_t *parse_value(slj_doc *doc, const uint8_t *p, uint32_t depth);

/* From behind an item to the next one, or to `end`; NULL: neither is there. */
static const uint8_t *to_next(slj_doc *doc, const uint8_t *p, uint8_t end) {
    p = slj_skip_space(p);
    if (*p == end) {
        return p;
    }
    if (*p != ',') {
        return slj_fail(&doc->reader, SL_JSON_BAD_SYNTAX, p);
    }
    p = slj_skip_space(p + 1);
    return *p == end ? slj_fail(&doc->reader, SL_JSON_BAD_SYNTAX, p) : p;
}

static const uint8_t *parse_array(slj_doc *doc, const uint8_t *p, uint32_t depth) {
    size_t self = doc->n - 1;
    uint32_t count = 0;
    p = slj_skip_space(p + 1);
    while (*p != ']') {
        p = parse_value(doc, p, depth + 1);
        if (p == NULL) {
            return NULL;
        }
        count++;
        p = to_next(doc, p, ']');
        if (p == NULL) {
            return NULL;
        }
    }
    doc->nodes[self].count = count;
    doc->nodes[self].end = (uint32_t)doc->n;
    return p + 1;
}

static const uint8_t *parse_member(slj_doc *doc, const uint8_t *p, uint32_t depth) {
    if (*p != '"') {
        return slj_fail(&doc->reader, SL_JSON_BAD_SYNTAX, p);
    }
    p = parse_string(doc, p, true);
    if (p == NULL) {
        return NULL;
    }
    p = slj_skip_space(p);
    if (*p != ':') {
        return slj_fail(&doc->reader, SL_JSON_BAD_SYNTAX, p);
    }
    return parse_value(doc, slj_skip_space(p + 1), depth + 1);
}

/* ---- last wins ---- */

#define DROPPED UINT32_MAX /* as the count of a key */

static int compare_members(const void *a, const void *b, void *arg) {
    const slj_node *nodes = arg;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    if (nodes[i].bytes != nodes[j].bytes) {
        return nodes[i].bytes < nodes[j].bytes ? -1 : 1;
    }
    int order = memcmp(nodes[i].text, nodes[j].text, nodes[i].bytes);
    return order != 0 ? order : i < j ? -1 : i > j;
}

/* Closes the gaps of the members that were dropped. */
static void close_gaps(slj_doc *doc, uint32_t object) {
    slj_node *nodes = doc->nodes;
    uint32_t to = object + 1, end = (uint32_t)doc->n;
    for (uint32_t from = object + 1; from < end;) {
        uint32_t next = nodes[from + 1].end, gap = from - to;
        if (nodes[from].count != DROPPED) {
            for (uint32_t i = from; i < next; i++, to++) {
                nodes[to] = nodes[i];
                nodes[to].end -= gap;
            }
        }
        from = next;
    }
    doc->n = to;
}

/* Drops each member that a later one of the same name replaces; false when memory is short. */
static bool keep_last(slj_doc *doc, uint32_t object, uint32_t *count) {
    uint32_t n = 0;
    uint32_t *members = malloc(*count * sizeof *members);
    if (members == NULL) {
        doc->reader.no_memory = true;
        return false;
    }
    for (uint32_t key = object + 1; key < doc->n; key = doc->nodes[key + 1].end) {
        members[n++] = key;
    }
    qsort_r(members, n, sizeof *members, compare_members, doc->nodes);
    bool dropped = false;
    for (uint32_t i = 0; i + 1 < n; i++) {
        slj_node *a = &doc->nodes[members[i]], *b = &doc->nodes[members[i + 1]];
        if (a->bytes == b->bytes && memcmp(a->text, b->text, a->bytes) == 0) {
            a->count = DROPPED;
            dropped = true;
            --*count;
        }
    }
    free(members);
    if (dropped) {
        close_gaps(doc, object);
    }
    return true;
}

static const uint8_t *parse_object(slj_doc *doc, const uint8_t *p, uint32_t depth) {
    size_t self = doc->n - 1;
    size_t mark = doc->reader.n_keys;
    uint32_t count = 0;
    p = slj_skip_space(p + 1);
    while (*p != '}') {
        p = parse_member(doc, p, depth);
        if (p == NULL) {
            return NULL;
        }
        count++;
        p = to_next(doc, p, '}');
        if (p == NULL) {
            return NULL;
        }
    }
    if (!doc->reader.reject_duplicates && count > 1 && !keep_last(doc, (uint32_t)self, &count)) {
        return NULL;
    }
    doc->nodes[self].count = count;
    doc->nodes[self].end = (uint32_t)doc->n;
    return slj_pop_keys(&doc->reader, mark, p + 1);
}

static const uint8_t *parse_value(slj_doc *doc, const uint8_t *p, uint32_t depth) {
    slj_kind kind;
    switch (*p) {
    case '"':
        return parse_string(doc, p, false);
    case '{':
    case '[':
        if (depth >= doc->reader.max_depth) {
            return slj_fail(&doc->reader, SL_JSON_TOO_DEEP, p);
        }
        kind = *p == '{' ? SLJ_OBJECT : SLJ_ARRAY;
        if (push_node(doc, kind, p) == NULL) {
            return NULL;
        }
        return kind == SLJ_OBJECT ? parse_object(doc, p, depth) : parse_array(doc, p, depth);
    case 't':
        kind = SLJ_TRUE;
        break;
    case 'f':
        kind = SLJ_FALSE;
        break;
    case 'n':
        kind = SLJ_NULL;
        break;
    default:
        kind = SLJ_NUMBER;
    }
    const uint8_t *behind = slj_skip_value(&doc->reader, p, depth);
    slj_node *node = behind == NULL ? NULL : push_node(doc, kind, p);
    if (node == NULL) {
        return NULL;
    }
    node->bytes = (uint32_t)(behind - p);
    return behind;
}

bool slj_doc_parse(slj_doc *doc, const void *text, size_t bytes) {
    slj_reader *reader = &doc->reader;
    doc->n = 0;
    if (!slj_reader_begin(reader, text, bytes)) {
        return false;
    }
    const uint8_t *p = slj_skip_space(reader->start);
    if (p >= reader->end) {
        slj_fail(reader, SL_JSON_EMPTY, p);
        return false;
    }
    p = parse_value(doc, p, 0);
    if (p == NULL) {
        return false;
    }
    p = slj_skip_space(p);
    if (p < reader->end) {
        slj_fail(reader, SL_JSON_TRAILING_BYTES, p);
        return false;
    }
    return true;
}

void slj_doc_free(slj_doc *doc) {
    slj_reader_free(&doc->reader);
    free(doc->nodes);
}

uint32_t slj_doc_member(const slj_doc *doc, uint32_t object, const void *name, size_t bytes) {
    const slj_node *nodes = doc->nodes;
    uint32_t found = 0;
    if (nodes[object].kind != SLJ_OBJECT) {
        return 0;
    }
    for (uint32_t key = object + 1; key < nodes[object].end; key = nodes[key + 1].end) {
        if (nodes[key].bytes == bytes && memcmp(nodes[key].text, name, bytes) == 0) {
            found = key + 1;
        }
    }
    return found;
}

/* ---- values ---- */

bool slj_node_is(const slj_node *node, const char *text) {
    return node->kind == SLJ_STRING && node->bytes == strlen(text) &&
           memcmp(node->text, text, node->bytes) == 0;
}

slj_decimal slj_node_decimal(const slj_node *node) {
    return slj_decimal_from_text(node->text, node->bytes);
}

bool slj_node_size(const slj_node *node, uint64_t *out) {
    slj_i128 value;
    if (node->kind != SLJ_NUMBER) {
        return false;
    }
    slj_decimal decimal = slj_node_decimal(node);
    if (slj_decimal_scale(&decimal, 0, &value) != SLJ_SCALED_OK || value < 0 || value > INT64_MAX) {
        return false;
    }
    *out = (uint64_t)value;
    return true;
}

static bool equal_objects(const slj_doc *a, uint32_t i, const slj_doc *b, uint32_t j) {
    uint32_t guess = j + 1; /* members mostly come in the same order */
    for (uint32_t key = i + 1; key < a->nodes[i].end; key = a->nodes[key + 1].end) {
        const slj_node *name = &a->nodes[key];
        uint32_t value = 0;
        if (guess < b->nodes[j].end && b->nodes[guess].bytes == name->bytes &&
            memcmp(b->nodes[guess].text, name->text, name->bytes) == 0) {
            value = guess + 1;
        } else {
            value = slj_doc_member(b, j, name->text, name->bytes);
        }
        if (value == 0 || !slj_doc_equal(a, key + 1, b, value)) {
            return false;
        }
        guess = b->nodes[value].end;
    }
    return true;
}

bool slj_doc_equal(const slj_doc *a, uint32_t i, const slj_doc *b, uint32_t j) {
    const slj_node *x = &a->nodes[i], *y = &b->nodes[j];
    if (x->kind != y->kind || x->count != y->count) {
        return false;
    }
    switch (x->kind) {
    case SLJ_STRING:
        return x->bytes == y->bytes && memcmp(x->text, y->text, x->bytes) == 0;
    case SLJ_NUMBER: {
        slj_decimal p = slj_node_decimal(x), q = slj_node_decimal(y);
        return slj_decimal_compare(&p, &q) == 0;
    }
    case SLJ_OBJECT:
        return equal_objects(a, i, b, j);
    case SLJ_ARRAY:
        for (i++, j++; i < (uint32_t)(x->end); i = a->nodes[i].end, j = b->nodes[j].end) {
            if (!slj_doc_equal(a, i, b, j)) {
                return false;
            }
        }
        return true;
    default:
        return true;
    }
}

static uint64_t mix(uint64_t h) {
    h ^= h >> 32;
    h *= UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

static uint64_t hash_bytes(const uint8_t *p, size_t bytes, uint64_t h) {
    for (size_t i = 0; i < bytes; i++) {
        h = (h ^ p[i]) * UINT64_C(0x100000001B3);
    }
    return mix(h);
}

static uint64_t hash_number(const slj_node *node) {
    slj_decimal decimal = slj_node_decimal(node);
    if (decimal.first == NULL) {
        return mix(SLJ_NUMBER);
    }
    uint64_t h = (uint64_t)decimal.first_power * 2 + decimal.negative;
    for (const uint8_t *p = decimal.first; p <= decimal.last; p++) {
        h = *p == '.' ? h : (h ^ *p) * UINT64_C(0x100000001B3);
    }
    return mix(h);
}

uint64_t slj_doc_hash(const slj_doc *doc, uint32_t index) {
    const slj_node *node = &doc->nodes[index];
    uint64_t h = mix(node->kind + 1);
    switch (node->kind) {
    case SLJ_NUMBER:
        return hash_number(node);
    case SLJ_STRING:
        return hash_bytes(node->text, node->bytes, h);
    case SLJ_ARRAY:
        for (uint32_t i = index + 1; i < node->end; i = doc->nodes[i].end) {
            h = mix(h ^ slj_doc_hash(doc, i));
        }
        return h;
    case SLJ_OBJECT: /* a sum, so that the order does not count */
        for (uint32_t i = index + 1; i < node->end; i = doc->nodes[i + 1].end) {
            h += mix(slj_doc_hash(doc, i) * 3 + slj_doc_hash(doc, i + 1));
        }
        return h;
    default:
        return h;
    }
}

/* ---- writing ---- */

static bool write_children(const slj_doc *doc, uint32_t index, size_t limit, sl_buffer *out) {
    const slj_node *node = &doc->nodes[index];
    bool object = node->kind == SLJ_OBJECT;
    sl_buffer_append_byte(out, object ? '{' : '[');
    for (uint32_t i = index + 1; i < node->end; i = doc->nodes[object ? i + 1 : i].end) {
        if (i != index + 1) {
            sl_buffer_append_byte(out, ',');
        }
        if (limit != 0 && out->bytes >= limit) {
            sl_buffer_append_text(out, "...");
            break;
        }
        if (object) {
            slj_doc_write(doc, i, limit, out);
            sl_buffer_append_byte(out, ':');
        }
        slj_doc_write(doc, object ? i + 1 : i, limit, out);
    }
    return sl_buffer_append_byte(out, object ? '}' : ']');
}

bool slj_doc_write(const slj_doc *doc, uint32_t index, size_t limit, sl_buffer *out) {
    const slj_node *node = &doc->nodes[index];
    size_t bytes = node->bytes;
    switch (node->kind) {
    case SLJ_ARRAY:
    case SLJ_OBJECT:
        return write_children(doc, index, limit, out);
    case SLJ_STRING:
        if (limit != 0 && bytes > limit) {
            for (bytes = limit; bytes > 0 && (node->text[bytes] & 0xC0) == 0x80; bytes--) {
            }
            sl_buffer_append_json_string(out, (const char *)node->text, bytes);
            return sl_buffer_append_text(out, "...");
        }
        return sl_buffer_append_json_string(out, (const char *)node->text, bytes);
    default:
        return sl_buffer_append(out, node->text, limit != 0 && bytes > limit ? limit : bytes);
    }
}

static bool plain_name(const uint8_t *name, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        bool letter = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
                      name[i] == '_' || name[i] >= 0x80;
        if (!letter && !(i > 0 && ((name[i] >= '0' && name[i] <= '9') || name[i] == '-'))) {
            return false;
        }
    }
    return bytes > 0;
}

void slj_path_append_name(sl_buffer *out, const void *name, size_t bytes) {
    const uint8_t *text = name;
    if (plain_name(text, bytes)) {
        sl_buffer_append_byte(out, '.');
        sl_buffer_append(out, text, bytes);
        return;
    }
    sl_buffer_append_text(out, "['"); /* RFC 9535's quoting */
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\'' || text[i] == '\\') {
            sl_buffer_append_byte(out, '\\');
        }
        if (text[i] < 0x20) {
            sl_buffer_printf(out, "\\u%04x", text[i]);
        } else {
            sl_buffer_append_byte(out, text[i]);
        }
    }
    sl_buffer_append_text(out, "']");
}
