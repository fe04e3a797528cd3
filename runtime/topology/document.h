/*
 * A JSON document that remembers where each value stood. The parser is strict (RFC 8259, UTF-8,
 * no duplicate keys, a depth limit) and goes on after the slips that people make (a comma too many
 * or too few, a comment, single quotes), so that one run reports them all. Numbers keep their text:
 * nothing is rounded before its option's type is known.
 */
#ifndef TOPOLOGY_DOCUMENT_H
#define TOPOLOGY_DOCUMENT_H

#include "topology/arena.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"

#define JSON_MAX_DEPTH 128
#define JSON_MAX_MEMBERS 10000
#define JSON_MAX_BYTES ((size_t)16 * 1024 * 1024)

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* Where something was written. */
struct json_place {
    int line;      /* from 1; 0: not in the file */
    int column;    /* from 1, in characters */
    bool from_set; /* given by --set */
};

struct json_value {
    enum json_kind kind;
    bool truth;          /* JSON_BOOL */
    bool broken;         /* a fault was reported here already: nothing more is to be said */
    bool resolved;       /* substitution has been here */
    bool substituted;    /* the string holds text that came from ${env:} or ${file:} */
    const char *text;    /* strings: decoded; numbers: as written; 0-terminated */
    const char *shown;   /* strings: what may be printed: references instead of their values */
    const char *written; /* strings: as in the document where that had a reference; else NULL */
    struct json_place place;
    /* Members of an object, items of an array, in order. */
    struct json_value *first;
    struct json_value *last;
    size_t n_children;
    /* As a child: */
    struct json_value *next;
    const char *key; /* NULL in an array */
    uint32_t key_hash;
    struct json_place key_place;
};

/*
 * Called with each fault: the place, the JSON path of the value that holds it, and a sentence.
 */
typedef void (*json_fault)(void *arg, struct json_place place, const char *path, const char *text);

/*
 * Parses one document; everything lives in `arena`. Returns NULL when the rest could not be made
 * sense of (a fault says why, or the arena has failed); after smaller slips the document is whole
 * and the faults are reported.
 */
struct json_value *json_parse(struct arena *arena, const char *text, size_t bytes, json_fault fault,
                              void *arg);
/* The same where nobody is told of faults: NULL when there is any, or the arena has failed. */
struct json_value *json_read(struct arena *arena, const char *text, size_t bytes);

/* The member called `key`, or NULL. */
struct json_value *json_member(const struct json_value *object, const char *key);
/* Adds a member or item at the end; `key` (copied by the caller into the arena) is NULL for arrays.
 */
void json_append(struct json_value *parent, struct json_value *child, const char *key);
struct json_value *json_new(struct arena *arena, enum json_kind kind, struct json_place place);

/* "a string", "an object", ... */
const char *json_kind_name(enum json_kind kind);

enum json_form {
    JSON_VALUES, /* strings as they are after substitution */
    JSON_SHOWN,  /* with references instead of substituted values, and without their defaults */
    JSON_WRITTEN /* as in the document: parsed and substituted again it gives the same */
};
/* Appends the value as JSON text. */
bool json_write(const struct json_value *value, enum json_form form, sl_buffer *out);

/* What the parser and the tree share: the hash of a key, and a key's part of a path. */
uint32_t json_hash(const char *key);
void json_path_append(sl_buffer *path, const char *key);

/* The path of a member: "$.a.b" + ".c", or "['c.d']" where the name needs it; in the arena. */
const char *json_path_member(struct arena *arena, const char *path, const char *key);
const char *json_path_item(struct arena *arena, const char *path, size_t index);

#endif /* TOPOLOGY_DOCUMENT_H */
