/*
 * A parsed document: one array of nodes in document order. Schemas are read this way, and those
 * records that need the full validator. The memory is kept from one document to the next.
 *
 * An array's items and an object's members follow their parent; a member is two nodes, its key (a
 * string) and its value. `end` of a node is the index behind its last descendant, so the next
 * sibling of i is nodes[i].end.
 */
#ifndef SLJ_DOC_H
#define SLJ_DOC_H

#include "json/decimal.h"
#include "json/reader.h"

typedef enum slj_kind {
    SLJ_NULL,
    SLJ_FALSE,
    SLJ_TRUE,
    SLJ_NUMBER,
    SLJ_STRING,
    SLJ_ARRAY,
    SLJ_OBJECT,
} slj_kind;

typedef struct slj_node {
    const uint8_t *text; /* of a string (without escapes) or number; else where it begins */
    uint32_t bytes;
    uint32_t kind;  /* slj_kind */
    uint32_t count; /* items or members */
    uint32_t end;
} slj_node;

typedef struct slj_doc {
    slj_reader reader; /* on failure: reader.reason and error_at, or no_memory */
    slj_node *nodes;
    size_t n;
    size_t capacity;
} slj_doc;

/* Parses one document strictly; zero-initialise `doc` and set reader.max_depth and
 * reader.reject_duplicates before. Without rejecting, of members of one name the last is kept. */
bool slj_doc_parse(slj_doc *doc, const void *text, size_t bytes);
void slj_doc_free(slj_doc *doc);

/* The value of the member `name`, or 0 (the root, which is no member's value). */
uint32_t slj_doc_member(const slj_doc *doc, uint32_t object, const void *name, size_t bytes);
static inline uint32_t slj_doc_get(const slj_doc *doc, uint32_t object, const char *name) {
    return slj_doc_member(doc, object, name, strlen(name));
}

/* Equal as JSON Schema says: numbers by value, members in any order. */
bool slj_doc_equal(const slj_doc *a, uint32_t i, const slj_doc *b, uint32_t j);
/* Equal values have equal hashes. */
uint64_t slj_doc_hash(const slj_doc *doc, uint32_t node);

bool slj_node_is(const slj_node *node, const char *text);
slj_decimal slj_node_decimal(const slj_node *node);
/* A non-negative integer, written in any way JSON allows; false when it is none. */
bool slj_node_size(const slj_node *node, uint64_t *out);

/* Appends the value as JSON text, cut to about `limit` bytes (0: whole). */
bool slj_doc_write(const slj_doc *doc, uint32_t node, size_t limit, sl_buffer *out);

/* "$.a.b[2]": appends one step of a path, ".name" or "['odd name']". */
void slj_path_append_name(sl_buffer *out, const void *name, size_t bytes);

#endif /* SLJ_DOC_H */
