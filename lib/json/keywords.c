/*
 * The keywords of a schema object: one table says how each is read, which vocabulary it belongs
 * to, and whether the decoder checks it by itself.
 */
#include <stdlib.h>

#include "json/schema.h"

typedef enum shape {
    SHAPE_SCHEMA,
    SHAPE_SCHEMAS,    /* array of schemas */
    SHAPE_SCHEMA_MAP, /* object of schemas */
    SHAPE_DEFS,       /* the same, only reached by references */
    SHAPE_LIMIT,
    SHAPE_BOUND,
    SHAPE_SPECIAL, /* read by a function */
} shape;

typedef sl_error *(*special_reader)(slj_set *set, slj_schema *schema, uint32_t node);

typedef struct keyword {
    const char *name;
    shape shape;
    uint32_t vocabulary; /* 0: core, always on */
    size_t at;           /* offset in slj_schema, or slj_limit, or slj_bound */
    bool decoder;        /* no business of the validator alone: see plan.c */
    special_reader read;
} keyword;

static sl_error *read_type(slj_set *set, slj_schema *schema, uint32_t node);
static sl_error *read_node(slj_set *set, slj_schema *schema, uint32_t node);
static sl_error *read_pattern(slj_set *set, slj_schema *schema, uint32_t node);
static sl_error *read_patterns(slj_set *set, slj_schema *schema, uint32_t node);
static sl_error *read_unique(slj_set *set, slj_schema *schema, uint32_t node);
static sl_error *read_ref(slj_set *set, slj_schema *schema, uint32_t node);
static sl_error *read_dynamic_ref(slj_set *set, slj_schema *schema, uint32_t node);
static sl_error *read_dependent_required(slj_set *set, slj_schema *schema, uint32_t node);
static sl_error *read_dependencies(slj_set *set, slj_schema *schema, uint32_t node);

#define AT(member) offsetof(slj_schema, member)
#define APPLY SLJ_VOCABULARY_APPLICATOR
#define VALID SLJ_VOCABULARY_VALIDATION
#define UNEVAL SLJ_VOCABULARY_UNEVALUATED
#define SCHEMA(name, member)                                                                       \
    { name, SHAPE_SCHEMA, APPLY, AT(member), false, NULL }
#define SCHEMAS(name, member)                                                                      \
    { name, SHAPE_SCHEMAS, APPLY, AT(member), false, NULL }
#define LIMIT(name, limit, decoder)                                                                \
    { name, SHAPE_LIMIT, VALID, limit, decoder, NULL }
#define BOUND(name, bound)                                                                         \
    { name, SHAPE_BOUND, VALID, bound, true, NULL }
#define SPECIAL(name, vocabulary, member, decoder, read)                                           \
    { name, SHAPE_SPECIAL, vocabulary, member, decoder, read }

static const keyword keywords[] = {
    SPECIAL("$ref", 0, 0, true, read_ref),
    SPECIAL("$dynamicRef", 0, 0, false, read_dynamic_ref),
    {"$defs", SHAPE_DEFS, 0, 0, true, NULL},
    {"definitions", SHAPE_DEFS, 0, 0, true, NULL},
    {"properties", SHAPE_SCHEMA_MAP, APPLY, AT(properties), true, NULL},
    SPECIAL("patternProperties", APPLY, 0, false, read_patterns),
    {"additionalProperties", SHAPE_SCHEMA, APPLY, AT(additional_properties), true, NULL},
    SCHEMA("propertyNames", property_names),
    {"items", SHAPE_SCHEMA, APPLY, AT(items), true, NULL},
    SCHEMAS("prefixItems", prefix_items),
    SCHEMA("contains", contains),
    {"allOf", SHAPE_SCHEMAS, APPLY, AT(all_of), true, NULL},
    {"anyOf", SHAPE_SCHEMAS, APPLY, AT(any_of), true, NULL},
    {"oneOf", SHAPE_SCHEMAS, APPLY, AT(one_of), true, NULL},
    SCHEMA("not", not_schema),
    SCHEMA("if", if_schema),
    SCHEMA("then", then_schema),
    SCHEMA("else", else_schema),
    {"dependentSchemas", SHAPE_SCHEMA_MAP, APPLY, AT(dependent_schemas), false, NULL},
    {"unevaluatedItems", SHAPE_SCHEMA, UNEVAL, AT(unevaluated_items), false, NULL},
    {"unevaluatedProperties", SHAPE_SCHEMA, UNEVAL, AT(unevaluated_properties), false, NULL},
    SPECIAL("type", VALID, 0, true, read_type),
    SPECIAL("const", VALID, AT(const_node), true, read_node),
    SPECIAL("enum", VALID, AT(enum_node), true, read_node),
    SPECIAL("required", VALID, AT(required_node), true, read_node),
    SPECIAL("dependentRequired", VALID, 0, false, read_dependent_required),
    SPECIAL("dependencies", APPLY, 0, false, read_dependencies),
    SPECIAL("pattern", VALID, 0, true, read_pattern),
    SPECIAL("uniqueItems", VALID, 0, false, read_unique),
    LIMIT("minLength", SLJ_MIN_LENGTH, true),
    LIMIT("maxLength", SLJ_MAX_LENGTH, true),
    LIMIT("minItems", SLJ_MIN_ITEMS, true),
    LIMIT("maxItems", SLJ_MAX_ITEMS, true),
    LIMIT("minProperties", SLJ_MIN_PROPERTIES, false),
    LIMIT("maxProperties", SLJ_MAX_PROPERTIES, false),
    LIMIT("minContains", SLJ_MIN_CONTAINS, false),
    LIMIT("maxContains", SLJ_MAX_CONTAINS, false),
    BOUND("minimum", SLJ_MINIMUM),
    BOUND("maximum", SLJ_MAXIMUM),
    BOUND("exclusiveMinimum", SLJ_EXCLUSIVE_MINIMUM),
    BOUND("exclusiveMaximum", SLJ_EXCLUSIVE_MAXIMUM),
    BOUND("multipleOf", SLJ_MULTIPLE_OF),
    SPECIAL("format", 0, AT(format_node), true, read_node),
    SPECIAL("x-sluice-type", 0, AT(x_type_node), true, read_node),
};

static const keyword *find_keyword(const slj_node *name) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(keywords); i++) {
        if (slj_node_is(name, keywords[i].name)) {
            return &keywords[i];
        }
    }
    return NULL;
}

/* ---- visiting subschemas ---- */

static sl_error *visit_children(const slj_doc *doc, uint32_t node, bool object,
                                slj_subschema_visit visit, void *arg) {
    sl_error *error = NULL;
    for (uint32_t i = node + 1; i < doc->nodes[node].end && error == NULL;) {
        uint32_t value = object ? i + 1 : i;
        error = visit(arg, value);
        i = doc->nodes[value].end;
    }
    return error;
}

sl_error *slj_keywords_visit(const slj_doc *doc, uint32_t node, slj_subschema_visit visit,
                             void *arg) {
    sl_error *error = NULL;
    const slj_node *nodes = doc->nodes;
    for (uint32_t key = node + 1; key < nodes[node].end && error == NULL;
         key = nodes[key + 1].end) {
        const keyword *known = find_keyword(&nodes[key]);
        slj_kind kind = (slj_kind)nodes[key + 1].kind;
        if (known == NULL) {
            continue;
        }
        bool map = known->shape == SHAPE_SCHEMA_MAP || known->shape == SHAPE_DEFS ||
                   known->read == read_patterns || known->read == read_dependencies;
        if (known->shape == SHAPE_SCHEMA) {
            error = visit(arg, key + 1);
        } else if ((map && kind == SLJ_OBJECT) ||
                   (known->shape == SHAPE_SCHEMAS && kind == SLJ_ARRAY)) {
            error = visit_children(doc, key + 1, map, visit, arg);
        }
    }
    return error;
}

/* ---- shapes ---- */

static sl_error *read_schemas(slj_set *set, slj_schema *schema, uint32_t node,
                              slj_schema_list *out) {
    const slj_doc *doc = schema->doc;
    if (doc->nodes[node].kind != SLJ_ARRAY) {
        return slj_schema_error(doc, node, "must be an array of schemas");
    }
    out->items = slj_arena_alloc(slj_set_arena(set), doc->nodes[node].count * sizeof *out->items);
    sl_error *error = out->items == NULL ? sl_error_no_memory() : NULL;
    for (uint32_t i = node + 1; i < doc->nodes[node].end && error == NULL; i = doc->nodes[i].end) {
        error = slj_set_schema_at(set, doc, i, &out->items[out->n++]);
    }
    return error;
}

int slj_named_compare(const void *a, const void *b) {
    const slj_named *x = a, *y = b;
    if (x->bytes != y->bytes) {
        return x->bytes < y->bytes ? -1 : 1;
    }
    return memcmp(x->name, y->name, x->bytes);
}

const slj_named *slj_named_find(const slj_named_list *sorted, const uint8_t *name, size_t bytes) {
    if (sorted->n == 0) {
        return NULL;
    }
    slj_named wanted = {.name = name, .bytes = (uint32_t)bytes};
    return bsearch(&wanted, sorted->items, sorted->n, sizeof *sorted->items, slj_named_compare);
}

static sl_error *read_named(slj_set *set, slj_schema *schema, uint32_t node, bool schemas,
                            slj_named_list *out) {
    const slj_doc *doc = schema->doc;
    if (doc->nodes[node].kind != SLJ_OBJECT) {
        return slj_schema_error(doc, node, "must be an object");
    }
    out->items = slj_arena_alloc(slj_set_arena(set), doc->nodes[node].count * sizeof *out->items);
    sl_error *error = out->items == NULL ? sl_error_no_memory() : NULL;
    for (uint32_t key = node + 1; key < doc->nodes[node].end && error == NULL;
         key = doc->nodes[key + 1].end) {
        slj_named *named = &out->items[out->n++];
        *named = (slj_named){doc->nodes[key].text, doc->nodes[key].bytes, key + 1, NULL};
        if (schemas) {
            error = slj_set_schema_at(set, doc, key + 1, &named->schema);
        }
    }
    return error;
}

/* `by_name`: the properties again, in the order of bsearch. */
static sl_error *sort_properties(slj_set *set, slj_schema *schema) {
    size_t bytes = schema->properties.n * sizeof(slj_named);
    slj_named *copy = slj_arena_alloc(slj_set_arena(set), bytes);
    if (copy == NULL) {
        return sl_error_no_memory();
    }
    if (bytes > 0) {
        memcpy(copy, schema->properties.items, bytes);
        qsort(copy, schema->properties.n, sizeof *copy, slj_named_compare);
    }
    schema->by_name = (slj_named_list){copy, schema->properties.n};
    return NULL;
}

static sl_error *read_limit(slj_schema *schema, uint32_t node, slj_limit limit) {
    if (!slj_node_size(&schema->doc->nodes[node], &schema->limits[limit])) {
        return slj_schema_error(schema->doc, node, "must be an integer of 0 or more");
    }
    schema->limits_present |= (uint16_t)(1u << limit);
    return NULL;
}

static sl_error *read_bound(slj_schema *schema, uint32_t node, slj_bound bound) {
    const slj_node *value = &schema->doc->nodes[node];
    if (value->kind != SLJ_NUMBER) {
        return slj_schema_error(schema->doc, node, "must be a number");
    }
    slj_decimal decimal = slj_node_decimal(value);
    schema->bounds[bound] = decimal;
    if (bound == SLJ_MULTIPLE_OF) {
        if (decimal.first == NULL || decimal.negative) {
            return slj_schema_error(schema->doc, node, "must be above 0");
        }
        if (decimal.first_power - decimal.last_power >= SLJ_DIVISOR_DIGITS) {
            return slj_schema_error(schema->doc, node, "has more than %d digits",
                                    SLJ_DIVISOR_DIGITS);
        }
    }
    schema->bounds_present |= (uint16_t)(1u << bound);
    return NULL;
}

/* ---- keywords of their own shape ---- */

static const char *const type_names[] = {"null",   "boolean", "boolean", "number",
                                         "string", "array",   "object"};

static sl_error *add_type(slj_schema *schema, uint32_t node) {
    const slj_node *name = &schema->doc->nodes[node];
    if (slj_node_is(name, "integer")) {
        schema->types |= SLJ_TYPE_INTEGER;
        return NULL;
    }
    for (unsigned kind = 0; kind < SL_ARRAY_LENGTH(type_names); kind++) {
        if (kind != SLJ_FALSE && slj_node_is(name, type_names[kind])) {
            schema->types |= (uint16_t)SLJ_TYPE_BIT(kind);
            return NULL;
        }
    }
    return slj_schema_error(schema->doc, node,
                            "found \"%.*s\", allowed are array, boolean, integer, null, number, "
                            "object, string",
                            name->kind == SLJ_STRING ? (int)name->bytes : 0,
                            (const char *)name->text);
}

static sl_error *read_type(slj_set *set, slj_schema *schema, uint32_t node) {
    (void)set;
    const slj_node *nodes = schema->doc->nodes;
    if (nodes[node].kind != SLJ_ARRAY) {
        return add_type(schema, node);
    }
    sl_error *error = NULL;
    for (uint32_t i = node + 1; i < nodes[node].end && error == NULL; i = nodes[i].end) {
        error = add_type(schema, i);
    }
    return error;
}

/* Keywords whose value is looked at later: only its place is kept. */
static sl_error *read_node(slj_set *set, slj_schema *schema, uint32_t node) {
    (void)set;
    const slj_node *nodes = schema->doc->nodes;
    const keyword *known = find_keyword(&nodes[node - 1]);
    bool names = known->at == AT(required_node);
    if ((names || known->at == AT(enum_node)) && nodes[node].kind != SLJ_ARRAY) {
        return slj_schema_error(schema->doc, node, "must be an array");
    }
    for (uint32_t i = node + 1; names && i < nodes[node].end; i = nodes[i].end) {
        if (nodes[i].kind != SLJ_STRING) {
            return slj_schema_error(schema->doc, i, "must be a string");
        }
    }
    if (known->at == AT(format_node)) {
        if (nodes[node].kind != SLJ_STRING) {
            return slj_schema_error(schema->doc, node, "must be a string");
        }
        schema->asserts_format =
            slj_set_asserts_formats(set) ||
            (schema->resource->vocabularies & SLJ_VOCABULARY_FORMAT_ASSERTION) != 0;
    }
    memcpy((char *)schema + known->at, &node, sizeof node);
    return NULL;
}

static sl_error *make_regex(const slj_schema *schema, uint32_t node, slj_regex **out) {
    char message[256];
    const slj_node *text = &schema->doc->nodes[node];
    if (text->kind != SLJ_STRING) {
        return slj_schema_error(schema->doc, node, "must be a string");
    }
    *out = slj_regex_new(text->text, text->bytes, message);
    if (*out == NULL && message[0] == 0) {
        return sl_error_no_memory();
    }
    return *out != NULL
               ? NULL
               : slj_schema_error(schema->doc, node, "not a regular expression: %s", message);
}

static sl_error *read_pattern(slj_set *set, slj_schema *schema, uint32_t node) {
    (void)set;
    return make_regex(schema, node, &schema->pattern);
}

static sl_error *read_patterns(slj_set *set, slj_schema *schema, uint32_t node) {
    const slj_doc *doc = schema->doc;
    if (doc->nodes[node].kind != SLJ_OBJECT) {
        return slj_schema_error(doc, node, "must be an object");
    }
    schema->patterns =
        slj_arena_alloc(slj_set_arena(set), doc->nodes[node].count * sizeof *schema->patterns);
    sl_error *error = schema->patterns == NULL ? sl_error_no_memory() : NULL;
    for (uint32_t key = node + 1; key < doc->nodes[node].end && error == NULL;
         key = doc->nodes[key + 1].end) {
        slj_pattern *pattern = &schema->patterns[schema->n_patterns++];
        error = make_regex(schema, key, &pattern->regex);
        if (error == NULL) {
            error = slj_set_schema_at(set, doc, key + 1, &pattern->schema);
        }
    }
    return error;
}

static sl_error *read_unique(slj_set *set, slj_schema *schema, uint32_t node) {
    (void)set;
    schema->unique_items = schema->doc->nodes[node].kind == SLJ_TRUE;
    return NULL;
}

static sl_error *read_ref(slj_set *set, slj_schema *schema, uint32_t node) {
    const slj_anchor *ignored = NULL;
    return slj_set_reference(set, schema, node, &schema->ref, &ignored);
}

static sl_error *read_dynamic_ref(slj_set *set, slj_schema *schema, uint32_t node) {
    return slj_set_reference(set, schema, node, &schema->dynamic_ref, &schema->dynamic_anchor);
}

static sl_error *read_dependent_required(slj_set *set, slj_schema *schema, uint32_t node) {
    sl_error *error = read_named(set, schema, node, false, &schema->dependent_required);
    for (uint32_t i = 0; i < schema->dependent_required.n && error == NULL; i++) {
        uint32_t list = schema->dependent_required.items[i].node;
        if (schema->doc->nodes[list].kind != SLJ_ARRAY) {
            error = slj_schema_error(schema->doc, list, "must be an array of strings");
        }
    }
    return error;
}

/* Split since: names that are arrays went to dependentRequired, schemas to dependentSchemas. */
static sl_error *read_dependencies(slj_set *set, slj_schema *schema, uint32_t node) {
    const slj_node *nodes = schema->doc->nodes;
    sl_error *error = read_named(set, schema, node, false, &schema->old_required);
    slj_named_list *required = &schema->old_required, *schemas = &schema->old_schemas;
    uint32_t n = required->n;
    schemas->items = slj_arena_alloc(slj_set_arena(set), n * sizeof *schemas->items);
    if (error == NULL && schemas->items == NULL) {
        error = sl_error_no_memory();
    }
    required->n = 0;
    for (uint32_t i = 0; i < n && error == NULL; i++) {
        slj_named named = required->items[i];
        if (nodes[named.node].kind == SLJ_ARRAY) {
            required->items[required->n++] = named;
        } else {
            error = slj_set_schema_at(set, schema->doc, named.node, &named.schema);
            schemas->items[schemas->n++] = named;
        }
    }
    return error;
}

static sl_error *read_keyword(slj_set *set, slj_schema *schema, const keyword *known,
                              uint32_t node) {
    char *member = (char *)schema + known->at;
    switch (known->shape) {
    case SHAPE_SCHEMA:
        return slj_set_schema_at(set, schema->doc, node, (slj_schema **)(void *)member);
    case SHAPE_SCHEMAS:
        return read_schemas(set, schema, node, (slj_schema_list *)(void *)member);
    case SHAPE_SCHEMA_MAP:
        return read_named(set, schema, node, true, (slj_named_list *)(void *)member);
    case SHAPE_LIMIT:
        return read_limit(schema, node, (slj_limit)known->at);
    case SHAPE_BOUND:
        return read_bound(schema, node, (slj_bound)known->at);
    case SHAPE_SPECIAL:
        return known->read(set, schema, node);
    case SHAPE_DEFS:
        break;
    }
    return NULL;
}

sl_error *slj_keywords_fill(slj_set *set, slj_schema *schema) {
    const slj_node *nodes = schema->doc->nodes;
    sl_error *error = NULL;
    for (uint32_t key = schema->node + 1; key < nodes[schema->node].end && error == NULL;
         key = nodes[key + 1].end) {
        const keyword *known = find_keyword(&nodes[key]);
        if (known == NULL ||
            (known->vocabulary != 0 && !(schema->resource->vocabularies & known->vocabulary))) {
            continue;
        }
        error = read_keyword(set, schema, known, key + 1);
    }
    schema->has_unevaluated =
        schema->unevaluated_items != NULL || schema->unevaluated_properties != NULL;
    return error != NULL ? error : sort_properties(set, schema);
}

const char *slj_keywords_beyond(const slj_schema *schema) {
    const slj_node *nodes = schema->doc->nodes;
    for (uint32_t key = schema->node + 1; key < nodes[schema->node].end; key = nodes[key + 1].end) {
        const keyword *known = find_keyword(&nodes[key]);
        bool on = known != NULL && (known->vocabulary == 0 ||
                                    (schema->resource->vocabularies & known->vocabulary) != 0);
        if (on && !known->decoder) {
            return known->name;
        }
    }
    return NULL;
}
