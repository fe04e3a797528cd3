/*
 * Schemas as the validator uses them: every schema object reached from the root, its keywords
 * parsed, its references resolved. Made by a set, which owns the documents; immutable afterwards.
 */
#ifndef SLJ_SCHEMA_H
#define SLJ_SCHEMA_H

#include "json/doc.h"
#include "json/regex.h"

/* ---- memory that lives as long as its owner ---- */

typedef struct slj_arena {
    struct slj_arena_block *blocks;
    size_t used;
    size_t capacity;
} slj_arena;

/* Zeroed memory; NULL when short. */
void *slj_arena_alloc(slj_arena *arena, size_t bytes);
char *slj_arena_text(slj_arena *arena, const void *text, size_t bytes);
void slj_arena_free(slj_arena *arena);

/* ---- URIs (uri.c) ---- */

/* RFC 3986, 5.2: resolves `reference` against `base` (both without bounds on their length).
 * Appends to `out`. */
bool slj_uri_resolve(const char *base, const char *reference, sl_buffer *out);

/* ---- resources: what has a URI of its own ---- */

#define SLJ_VOCABULARY_APPLICATOR 1u
#define SLJ_VOCABULARY_UNEVALUATED 2u
#define SLJ_VOCABULARY_VALIDATION 4u
#define SLJ_VOCABULARY_FORMAT_ASSERTION 8u
#define SLJ_VOCABULARY_DEFAULT 7u

typedef struct slj_anchor {
    const uint8_t *name;
    uint32_t bytes;
    uint32_t node;
    bool dynamic;
    struct slj_anchor *next;
} slj_anchor;

typedef struct slj_resource {
    const char *uri; /* without fragment */
    slj_doc *doc;
    uint32_t root;
    uint32_t vocabularies;
    const char *metaschema; /* of its `$schema`; NULL: the draft's own */
    slj_anchor *anchors;
    struct slj_resource *next; /* of the set */
} slj_resource;

/* ---- one schema ---- */

typedef struct slj_schema slj_schema;

typedef struct slj_schema_list {
    slj_schema **items;
    uint32_t n;
} slj_schema_list;

/* A name with what belongs to it: a property, a dependent schema, a dependent list of names. */
typedef struct slj_named {
    const uint8_t *name;
    uint32_t bytes;
    uint32_t node; /* dependentRequired: the array */
    slj_schema *schema;
} slj_named;

typedef struct slj_named_list {
    slj_named *items;
    uint32_t n;
} slj_named_list;

typedef struct slj_pattern {
    slj_regex *regex;
    slj_schema *schema;
} slj_pattern;

typedef enum slj_limit {
    SLJ_MIN_LENGTH,
    SLJ_MAX_LENGTH,
    SLJ_MIN_ITEMS,
    SLJ_MAX_ITEMS,
    SLJ_MIN_PROPERTIES,
    SLJ_MAX_PROPERTIES,
    SLJ_MIN_CONTAINS,
    SLJ_MAX_CONTAINS,
    SLJ_LIMITS,
} slj_limit;

typedef enum slj_bound {
    SLJ_MINIMUM,
    SLJ_MAXIMUM,
    SLJ_EXCLUSIVE_MINIMUM,
    SLJ_EXCLUSIVE_MAXIMUM,
    SLJ_MULTIPLE_OF,
    SLJ_BOUNDS,
} slj_bound;

#define SLJ_TYPE_BIT(kind) (1u << (kind)) /* of slj_kind; true and false count as SLJ_TRUE */
#define SLJ_TYPE_INTEGER (1u << 8)        /* integers only, where SLJ_NUMBER's bit is absent */

/* All members of a schema object; what is absent is 0 or NULL. */
struct slj_schema {
    const slj_doc *doc;
    const slj_resource *resource;
    uint32_t node;
    int8_t constant; /* 1: true, 0: false, -1: an object */
    bool asserts_format;
    bool unique_items;
    bool has_unevaluated; /* this very schema holds an unevaluated* keyword */
    uint16_t types;
    uint16_t limits_present;
    uint16_t bounds_present;
    uint32_t const_node; /* 0: absent; the root is no keyword's value */
    uint32_t enum_node;
    uint32_t format_node;
    uint32_t required_node;
    uint32_t x_type_node; /* "x-sluice-type" */
    uint64_t limits[SLJ_LIMITS];
    slj_decimal bounds[SLJ_BOUNDS];
    slj_regex *pattern;
    slj_schema *ref;
    slj_schema *dynamic_ref;
    const slj_anchor *dynamic_anchor; /* dynamic_ref is looked up by this name at run time */
    slj_schema_list all_of, any_of, one_of, prefix_items;
    slj_schema *not_schema, *if_schema, *then_schema, *else_schema;
    slj_schema *items, *contains, *property_names, *additional_properties;
    slj_schema *unevaluated_items, *unevaluated_properties;
    slj_named_list properties; /* in the schema's order */
    slj_named_list by_name;    /* the same, sorted by slj_named_compare */
    slj_pattern *patterns;
    uint32_t n_patterns;
    slj_named_list dependent_schemas, dependent_required;
    slj_named_list old_schemas, old_required; /* `dependencies` of older drafts */
};

/* Order by length, then bytes: for bsearch. */
int slj_named_compare(const void *a, const void *b);
const slj_named *slj_named_find(const slj_named_list *sorted, const uint8_t *name, size_t bytes);

/* ---- sets ---- */

typedef struct slj_set slj_set;

/* `options` may be NULL; remotes are copied. */
sl_error *slj_set_new(const sl_json_options *options, slj_set **out);
void slj_set_free(slj_set *set);

/* Reads a schema document, checks it by its metaschema, compiles what it reaches. Borrowed from
 * the set. Errors: CONFIG with the JSON path in the schema. */
sl_error *slj_set_load(slj_set *set, const char *text, size_t bytes, slj_schema **out);

/* The schema of the dynamic anchor `name` in a resource, or NULL; compiled already. */
slj_schema *slj_set_dynamic_target(const slj_set *set, const slj_resource *resource,
                                   const slj_anchor *anchor);

/* A CONFIG error about the value at `node` of a schema document: "schema.json path: message". */
sl_error *slj_schema_error(const slj_doc *doc, uint32_t node, const char *format, ...)
    SL_PRINTF(3, 4);

/* The text of a metaschema document that is built in, NULL when `uri` names none. */
const char *slj_metaschema_text(const char *uri);
#define SLJ_METASCHEMA_URI "https://json-schema.org/draft/2020-12/schema"

/* ---- keywords (keywords.c) ---- */

/* What filling a schema needs of the set: the schema at a node, and the target of a reference. */
sl_error *slj_set_schema_at(slj_set *set, const slj_doc *doc, uint32_t node, slj_schema **out);
sl_error *slj_set_reference(slj_set *set, const slj_schema *from, uint32_t reference_node,
                            slj_schema **out, const slj_anchor **dynamic);
slj_arena *slj_set_arena(slj_set *set);
bool slj_set_asserts_formats(const slj_set *set);

sl_error *slj_keywords_fill(slj_set *set, slj_schema *schema);

/* The first keyword of the schema that only the validator checks, NULL: none. What becomes of
 * allOf, anyOf and oneOf is for the planner to say. */
const char *slj_keywords_beyond(const slj_schema *schema);

/* Visits the subschemas of the schema object at `node`, keyword by keyword. */
typedef sl_error *(*slj_subschema_visit)(void *arg, uint32_t node);
sl_error *slj_keywords_visit(const slj_doc *doc, uint32_t node, slj_subschema_visit visit,
                             void *arg);

/* ---- checking (validate.c) ---- */

typedef struct slj_check slj_check;

slj_check *slj_check_new(const slj_set *set); /* scratch memory; NULL when short */
void slj_check_free(slj_check *check);

/* Checks a parsed document. The verdict's texts are borrowed from `check`. */
sl_error *slj_check_run(slj_check *check, const slj_schema *schema, const slj_doc *doc,
                        sl_json_verdict *out);

/* ---- formats (format.c) ---- */

/* Whether `text` follows the format called `name`; formats that are not known hold always. */
bool slj_format_holds(const uint8_t *name, size_t name_bytes, const uint8_t *text, size_t bytes);

#endif /* SLJ_SCHEMA_H */
