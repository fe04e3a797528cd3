/*
 * Checking an instance by a compiled schema: every keyword of draft 2020-12, with the annotations
 * that unevaluatedItems and unevaluatedProperties need. Stops at the first failure.
 */
#include <stdlib.h>

#include "json/schema.h"

/* Schemas inside one another at the same moment: guards against references that never end. */
#define MAX_NESTING 1200
#define DETAIL_BYTES 120
#define SHOWN_ALTERNATIVES 3

struct slj_check {
    const slj_set *set;
    const slj_doc *doc;
    slj_matcher *matcher;
    uint32_t nesting;
    uint32_t quiet; /* above 0: failures are expected and not described */
    bool no_memory;
    bool too_deep; /* sticky: no `not` may turn it round */
    sl_json_reason reason;
    sl_buffer path;
    sl_buffer detail;
    size_t allowed_at; /* where detail goes on behind "found ..., " */
    uint8_t *marks;    /* a stack of flags, one for each child of the values being checked */
    size_t marks_used;
    size_t marks_capacity;
};

/* The resources entered on the way here: the dynamic scope. */
typedef struct scope {
    const struct scope *outer;
    const slj_resource *resource;
} scope;

/* Where in the instance. */
typedef struct place {
    const struct place *up;
    uint32_t node;
    uint32_t key;   /* node of the member's key, 0: an item or the root */
    uint32_t index; /* of the item */
} place;

/* Which children of the value are evaluated: a run in check->marks. NULL: nobody asks. */
typedef struct marks {
    size_t at;
} marks;

static bool apply(slj_check *check, const slj_schema *schema, const place *at, const scope *in,
                  const marks *out);

static const slj_node *node_of(const slj_check *check, const place *at) {
    return &check->doc->nodes[at->node];
}

/* ---- failures ---- */

static void append_path(slj_check *check, const place *at) {
    if (at->up == NULL) {
        sl_buffer_append_byte(&check->path, '$');
        return;
    }
    append_path(check, at->up);
    if (at->key != 0) {
        const slj_node *key = &check->doc->nodes[at->key];
        slj_path_append_name(&check->path, key->text, key->bytes);
    } else {
        sl_buffer_printf(&check->path, "[%u]", at->index);
    }
}

/* Notes a failure; true when the caller should describe it in check->detail. */
static bool fails(slj_check *check, sl_json_reason reason, const place *at) {
    if (check->quiet > 0) {
        return false;
    }
    check->reason = reason;
    check->allowed_at = 0;
    sl_buffer_clear(&check->path);
    sl_buffer_clear(&check->detail);
    append_path(check, at);
    return true;
}

static void append_found(slj_check *check, uint32_t node) {
    sl_buffer_append_text(&check->detail, "found ");
    slj_doc_write(check->doc, node, check->detail.bytes + DETAIL_BYTES, &check->detail);
    sl_buffer_append_text(&check->detail, ", ");
    check->allowed_at = check->detail.bytes;
}

static bool fail(slj_check *check, sl_json_reason reason, const place *at, const char *allowed) {
    if (fails(check, reason, at)) {
        append_found(check, at->node);
        sl_buffer_append_text(&check->detail, allowed);
    }
    return false;
}

/* ", allowed are <value of the schema>" */
static bool fail_by(slj_check *check, sl_json_reason reason, const place *at, const char *words,
                    const slj_schema *schema, uint32_t schema_node) {
    if (fails(check, reason, at)) {
        append_found(check, at->node);
        sl_buffer_printf(&check->detail, "%s ", words);
        slj_doc_write(schema->doc, schema_node, check->detail.bytes + DETAIL_BYTES, &check->detail);
    }
    return false;
}

static bool fail_count(slj_check *check, sl_json_reason reason, const place *at, uint64_t found,
                       const char *words, uint64_t allowed) {
    if (fails(check, reason, at)) {
        sl_buffer_printf(&check->detail, "found %llu, %s %llu", (unsigned long long)found, words,
                         (unsigned long long)allowed);
    }
    return false;
}

/* ---- marks ---- */

static bool push_marks(slj_check *check, const place *at, marks *out) {
    uint32_t n = node_of(check, at)->count;
    if (check->marks_used + n > check->marks_capacity) {
        size_t capacity = (check->marks_used + n) * 2 + 64;
        uint8_t *grown = realloc(check->marks, capacity);
        if (grown == NULL) {
            check->no_memory = true;
            return false;
        }
        check->marks = grown;
        check->marks_capacity = capacity;
    }
    out->at = check->marks_used;
    if (n > 0) {
        memset(check->marks + out->at, 0, n);
    }
    check->marks_used += n;
    return true;
}

/* Drops the marks again, adding them to `into` (may be NULL) first when `keep`. */
static void pop_marks(slj_check *check, const place *at, const marks *from, const marks *into,
                      bool keep) {
    uint32_t n = node_of(check, at)->count;
    for (uint32_t i = 0; keep && into != NULL && i < n; i++) {
        check->marks[into->at + i] |= check->marks[from->at + i];
    }
    check->marks_used = from->at;
}

static void mark(slj_check *check, const marks *out, uint32_t child) {
    if (out != NULL) {
        check->marks[out->at + child] = 1;
    }
}

/* Applies a schema whose failure does not fail the whole: its marks count only on success. */
static bool try_apply(slj_check *check, const slj_schema *schema, const place *at, const scope *in,
                      const marks *out) {
    marks own;
    if (out == NULL) {
        check->quiet++;
        bool holds = apply(check, schema, at, in, NULL);
        check->quiet--;
        return holds;
    }
    if (!push_marks(check, at, &own)) {
        return false;
    }
    check->quiet++;
    bool holds = apply(check, schema, at, in, &own);
    check->quiet--;
    pop_marks(check, at, &own, out, holds);
    return holds;
}

/* ---- keywords of any value ---- */

static bool has_type(const slj_schema *schema, const slj_node *node) {
    unsigned kind = node->kind == SLJ_FALSE ? SLJ_TRUE : node->kind;
    if (schema->types & SLJ_TYPE_BIT(kind)) {
        return true;
    }
    if (node->kind != SLJ_NUMBER || !(schema->types & SLJ_TYPE_INTEGER)) {
        return false;
    }
    slj_decimal decimal = slj_node_decimal(node);
    return slj_decimal_is_integer(&decimal);
}

static bool check_any(slj_check *check, const slj_schema *schema, const place *at) {
    if (schema->types != 0 && !has_type(schema, node_of(check, at))) {
        return fail_by(check, SL_JSON_TYPE, at, "allowed type:", schema,
                       slj_doc_get(schema->doc, schema->node, "type"));
    }
    if (schema->const_node != 0 &&
        !slj_doc_equal(check->doc, at->node, schema->doc, schema->const_node)) {
        return fail_by(check, SL_JSON_CONST, at, "allowed is only", schema, schema->const_node);
    }
    if (schema->enum_node != 0) {
        const slj_node *nodes = schema->doc->nodes;
        uint32_t i = schema->enum_node + 1;
        while (i < nodes[schema->enum_node].end &&
               !slj_doc_equal(check->doc, at->node, schema->doc, i)) {
            i = nodes[i].end;
        }
        if (i >= nodes[schema->enum_node].end) {
            return fail_by(check, SL_JSON_ENUM, at, "allowed is one of", schema, schema->enum_node);
        }
    }
    return true;
}

static bool check_number(slj_check *check, const slj_schema *schema, const place *at) {
    static const struct {
        sl_json_reason reason;
        const char *words;
    } texts[SLJ_BOUNDS] = {
        [SLJ_MINIMUM] = {SL_JSON_MINIMUM, "the minimum is"},
        [SLJ_MAXIMUM] = {SL_JSON_MAXIMUM, "the maximum is"},
        [SLJ_EXCLUSIVE_MINIMUM] = {SL_JSON_EXCLUSIVE_MINIMUM, "it must be above"},
        [SLJ_EXCLUSIVE_MAXIMUM] = {SL_JSON_EXCLUSIVE_MAXIMUM, "it must be below"},
        [SLJ_MULTIPLE_OF] = {SL_JSON_MULTIPLE_OF, "it must be a multiple of"},
    };
    static const char *const names[SLJ_BOUNDS] = {"minimum", "maximum", "exclusiveMinimum",
                                                  "exclusiveMaximum", "multipleOf"};
    slj_decimal value = slj_node_decimal(node_of(check, at));
    for (unsigned bound = 0; bound < SLJ_BOUNDS; bound++) {
        const slj_decimal *limit = &schema->bounds[bound];
        if (!(schema->bounds_present & (1u << bound))) {
            continue;
        }
        int order = bound == SLJ_MULTIPLE_OF ? 0 : slj_decimal_compare(&value, limit);
        bool good = bound == SLJ_MINIMUM             ? order >= 0
                    : bound == SLJ_MAXIMUM           ? order <= 0
                    : bound == SLJ_EXCLUSIVE_MINIMUM ? order > 0
                    : bound == SLJ_EXCLUSIVE_MAXIMUM ? order < 0
                                                     : slj_decimal_is_multiple(&value, limit);
        if (!good) {
            return fail_by(check, texts[bound].reason, at, texts[bound].words, schema,
                           slj_doc_get(schema->doc, schema->node, names[bound]));
        }
    }
    return true;
}

static bool above(const slj_schema *schema, slj_limit limit, uint64_t n) {
    return (schema->limits_present & (1u << limit)) && n > schema->limits[limit];
}

static bool below(const slj_schema *schema, slj_limit limit, uint64_t n) {
    return (schema->limits_present & (1u << limit)) && n < schema->limits[limit];
}

static bool check_string(slj_check *check, const slj_schema *schema, const place *at) {
    const slj_node *node = node_of(check, at);
    if (schema->limits_present & (1u << SLJ_MIN_LENGTH | 1u << SLJ_MAX_LENGTH)) {
        uint64_t length = slj_code_points(node->text, node->bytes);
        if (below(schema, SLJ_MIN_LENGTH, length)) {
            return fail_count(check, SL_JSON_MIN_LENGTH, at, length, "the shortest length is",
                              schema->limits[SLJ_MIN_LENGTH]);
        }
        if (above(schema, SLJ_MAX_LENGTH, length)) {
            return fail_count(check, SL_JSON_MAX_LENGTH, at, length, "the longest length is",
                              schema->limits[SLJ_MAX_LENGTH]);
        }
    }
    if (schema->pattern != NULL) {
        slj_regex_result result =
            slj_regex_match(schema->pattern, check->matcher, node->text, node->bytes);
        if (result != SLJ_REGEX_MATCH) {
            return fail_by(
                check, result == SLJ_REGEX_LIMIT ? SL_JSON_PATTERN_LIMIT : SL_JSON_PATTERN, at,
                "the pattern is", schema, slj_doc_get(schema->doc, schema->node, "pattern"));
        }
    }
    if (schema->asserts_format && schema->format_node != 0) {
        const slj_node *name = &schema->doc->nodes[schema->format_node];
        if (!slj_format_holds(name->text, name->bytes, node->text, node->bytes)) {
            return fail_by(check, SL_JSON_FORMAT, at, "the format is", schema, schema->format_node);
        }
    }
    return true;
}

/* ---- arrays ---- */

typedef struct hashed_item {
    uint64_t hash;
    uint32_t node;
} hashed_item;

static int compare_hashes(const void *a, const void *b) {
    const hashed_item *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static bool check_unique(slj_check *check, const place *at) {
    const slj_node *nodes = check->doc->nodes;
    uint32_t n = nodes[at->node].count, k = 0;
    hashed_item *items = malloc(((size_t)n + 1) * sizeof *items);
    if (items == NULL) {
        check->no_memory = true;
        return false;
    }
    for (uint32_t i = at->node + 1; i < nodes[at->node].end; i = nodes[i].end) {
        items[k++] = (hashed_item){slj_doc_hash(check->doc, i), i};
    }
    qsort(items, n, sizeof *items, compare_hashes);
    bool unique = true;
    for (uint32_t i = 1; i < n && unique; i++) {
        for (uint32_t j = i; j-- > 0 && items[j].hash == items[i].hash && unique;) {
            unique = !slj_doc_equal(check->doc, items[i].node, check->doc, items[j].node);
        }
    }
    free(items);
    return unique ? true : fail(check, SL_JSON_UNIQUE_ITEMS, at, "all items must differ");
}

static bool check_contains(slj_check *check, const slj_schema *schema, const place *at,
                           const scope *in, const marks *out) {
    const slj_node *nodes = check->doc->nodes;
    uint64_t matches = 0;
    place item = {.up = at, .index = 0};
    for (item.node = at->node + 1; item.node < nodes[at->node].end;
         item.node = nodes[item.node].end, item.index++) {
        if (try_apply(check, schema->contains, &item, in, NULL)) {
            matches++;
            mark(check, out, item.index);
        }
    }
    uint64_t least =
        schema->limits_present & (1u << SLJ_MIN_CONTAINS) ? schema->limits[SLJ_MIN_CONTAINS] : 1;
    if (matches < least) {
        return fail_count(check, SL_JSON_CONTAINS, at, matches, "the least that match is", least);
    }
    return !above(schema, SLJ_MAX_CONTAINS, matches) ||
           fail_count(check, SL_JSON_CONTAINS, at, matches, "the most that match is",
                      schema->limits[SLJ_MAX_CONTAINS]);
}

static bool check_array(slj_check *check, const slj_schema *schema, const place *at,
                        const scope *in, const marks *out) {
    const slj_node *nodes = check->doc->nodes;
    uint32_t n = nodes[at->node].count;
    if (below(schema, SLJ_MIN_ITEMS, n)) {
        return fail_count(check, SL_JSON_MIN_ITEMS, at, n, "the least is",
                          schema->limits[SLJ_MIN_ITEMS]);
    }
    if (above(schema, SLJ_MAX_ITEMS, n)) {
        return fail_count(check, SL_JSON_MAX_ITEMS, at, n, "the most is",
                          schema->limits[SLJ_MAX_ITEMS]);
    }
    place item = {.up = at, .index = 0};
    for (item.node = at->node + 1; item.node < nodes[at->node].end;
         item.node = nodes[item.node].end, item.index++) {
        const slj_schema *by = item.index < schema->prefix_items.n
                                   ? schema->prefix_items.items[item.index]
                                   : schema->items;
        if (by == NULL) {
            break;
        }
        if (!apply(check, by, &item, in, NULL)) {
            return false;
        }
        mark(check, out, item.index);
    }
    if (schema->unique_items && !check_unique(check, at)) {
        return false;
    }
    return schema->contains == NULL || check_contains(check, schema, at, in, out);
}

/* ---- objects ---- */

static bool check_required(slj_check *check, const slj_schema *schema, uint32_t list,
                           const place *at, sl_json_reason reason) {
    const slj_node *nodes = schema->doc->nodes;
    for (uint32_t i = list + 1; i < nodes[list].end; i = nodes[i].end) {
        if (slj_doc_member(check->doc, at->node, nodes[i].text, nodes[i].bytes) == 0) {
            if (fails(check, reason, at)) {
                sl_buffer_append_text(&check->detail, "missing property ");
                slj_doc_write(schema->doc, i, 0, &check->detail);
            }
            return false;
        }
    }
    return true;
}

static bool check_name(slj_check *check, const slj_schema *schema, const place *member,
                       const scope *in) {
    place name = {.up = member->up, .node = member->key, .key = member->key};
    check->quiet++;
    bool holds = apply(check, schema->property_names, &name, in, NULL);
    check->quiet--;
    if (!holds && fails(check, SL_JSON_PROPERTY_NAMES, member)) {
        sl_buffer_append_text(&check->detail, "the name is not allowed by `propertyNames`");
    }
    return holds;
}

static bool check_member(slj_check *check, const slj_schema *schema, const place *member,
                         const scope *in, const marks *out) {
    const slj_node *key = &check->doc->nodes[member->key];
    bool covered = false;
    if (schema->property_names != NULL && !check_name(check, schema, member, in)) {
        return false;
    }
    const slj_named *named = slj_named_find(&schema->by_name, key->text, key->bytes);
    if (named != NULL) {
        covered = true;
        if (!apply(check, named->schema, member, in, NULL)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < schema->n_patterns; i++) {
        slj_regex_result result =
            slj_regex_match(schema->patterns[i].regex, check->matcher, key->text, key->bytes);
        if (result == SLJ_REGEX_LIMIT) {
            return fail(check, SL_JSON_PATTERN_LIMIT, member, "its name");
        }
        if (result == SLJ_REGEX_MATCH) {
            covered = true;
            if (!apply(check, schema->patterns[i].schema, member, in, NULL)) {
                return false;
            }
        }
    }
    if (!covered && schema->additional_properties != NULL) {
        if (schema->additional_properties->constant == 0) {
            return fail(check, SL_JSON_ADDITIONAL_PROPERTY, member,
                        "no property of this name is allowed");
        }
        if (!apply(check, schema->additional_properties, member, in, NULL)) {
            return false;
        }
        covered = true;
    }
    if (covered) {
        mark(check, out, member->index);
    }
    return true;
}

static bool check_dependents(slj_check *check, const slj_schema *schema,
                             const slj_named_list *required, const slj_named_list *schemas,
                             const place *at, const scope *in, const marks *out) {
    for (uint32_t i = 0; i < required->n; i++) {
        const slj_named *d = &required->items[i];
        if (slj_doc_member(check->doc, at->node, d->name, d->bytes) != 0 &&
            !check_required(check, schema, d->node, at, SL_JSON_DEPENDENT_REQUIRED)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < schemas->n; i++) {
        const slj_named *d = &schemas->items[i];
        if (slj_doc_member(check->doc, at->node, d->name, d->bytes) != 0 &&
            !apply(check, d->schema, at, in, out)) {
            return false;
        }
    }
    return true;
}

static bool check_object(slj_check *check, const slj_schema *schema, const place *at,
                         const scope *in, const marks *out) {
    const slj_node *nodes = check->doc->nodes;
    uint32_t n = nodes[at->node].count;
    if (below(schema, SLJ_MIN_PROPERTIES, n)) {
        return fail_count(check, SL_JSON_MIN_PROPERTIES, at, n, "the least is",
                          schema->limits[SLJ_MIN_PROPERTIES]);
    }
    if (above(schema, SLJ_MAX_PROPERTIES, n)) {
        return fail_count(check, SL_JSON_MAX_PROPERTIES, at, n, "the most is",
                          schema->limits[SLJ_MAX_PROPERTIES]);
    }
    if (schema->required_node != 0 &&
        !check_required(check, schema, schema->required_node, at, SL_JSON_REQUIRED)) {
        return false;
    }
    place member = {.up = at, .index = 0};
    for (uint32_t key = at->node + 1; key < nodes[at->node].end; key = nodes[key + 1].end) {
        member.key = key;
        member.node = key + 1;
        if (!check_member(check, schema, &member, in, out)) {
            return false;
        }
        member.index++;
    }
    return check_dependents(check, schema, &schema->dependent_required, &schema->dependent_schemas,
                            at, in, out) &&
           check_dependents(check, schema, &schema->old_required, &schema->old_schemas, at, in,
                            out);
}

/* ---- schemas applied to the same value ---- */

static bool apply_dynamic(slj_check *check, const slj_schema *schema, const place *at,
                          const scope *in, const marks *out) {
    const slj_schema *target = schema->dynamic_ref;
    if (schema->dynamic_anchor != NULL) {
        for (const scope *s = in; s != NULL; s = s->outer) { /* the outermost one counts */
            const slj_schema *other =
                slj_set_dynamic_target(check->set, s->resource, schema->dynamic_anchor);
            target = other != NULL ? other : target;
        }
    }
    return apply(check, target, at, in, out);
}

/* Adds why the alternative that has just failed does not fit: what it allows, and where, when that
 * is inside of the value. */
static void append_why(const slj_check *check, size_t path_bytes, sl_buffer *out) {
    bool inside = check->path.bytes > path_bytes;
    size_t from = inside ? 0 : check->allowed_at;
    size_t bytes = check->detail.bytes - from;
    const uint8_t *text = check->detail.data + from;
    size_t shown = bytes < 2 * DETAIL_BYTES ? bytes : 2 * DETAIL_BYTES;
    while (shown < bytes && shown > 0 && (text[shown] & 0xC0) == 0x80) {
        shown--; /* whole characters */
    }
    sl_buffer_append_text(out, out->bytes == 0 ? ": " : "; or: ");
    if (inside) {
        sl_buffer_append(out, check->path.data, check->path.bytes);
        sl_buffer_append_text(out, ": ");
    }
    sl_buffer_append(out, text, shown);
    sl_buffer_append_text(out, shown < bytes ? "..." : "");
}

/* None of the list fits: applies the first few once more, to say why. */
static bool fail_alternatives(slj_check *check, sl_json_reason reason, const slj_schema_list *list,
                              const place *at, const scope *in, const char *words) {
    sl_buffer why = SL_BUFFER_INIT;
    if (!fails(check, reason, at)) {
        return false;
    }
    size_t path_bytes = check->path.bytes;
    for (uint32_t i = 0; i < list->n && i < SHOWN_ALTERNATIVES; i++) {
        sl_buffer_clear(&check->detail);
        if (!apply(check, list->items[i], at, in, NULL) && check->detail.bytes > 0) {
            append_why(check, path_bytes, &why);
        }
    }
    sl_buffer_append_text(&why, list->n > SHOWN_ALTERNATIVES ? "; or others" : "");
    (void)fail(check, reason, at, words);
    sl_buffer_append(&check->detail, why.data, why.bytes);
    check->no_memory = check->no_memory || why.failed;
    sl_buffer_free(&why);
    return false;
}

static bool check_alternatives(slj_check *check, const slj_schema *schema, const place *at,
                               const scope *in, const marks *out) {
    uint32_t matches = 0;
    for (uint32_t i = 0; i < schema->any_of.n && (matches == 0 || out != NULL); i++) {
        matches += try_apply(check, schema->any_of.items[i], at, in, out);
    }
    if (schema->any_of.n > 0 && matches == 0) {
        return fail_alternatives(check, SL_JSON_ANY_OF, &schema->any_of, at, in,
                                 "no alternative of `anyOf` fits");
    }
    matches = 0;
    for (uint32_t i = 0; i < schema->one_of.n; i++) {
        matches += try_apply(check, schema->one_of.items[i], at, in, out);
    }
    if (schema->one_of.n > 0 && matches == 0) {
        return fail_alternatives(check, SL_JSON_ONE_OF, &schema->one_of, at, in,
                                 "no alternative of `oneOf` fits");
    }
    if (matches > 1) {
        return fail(check, SL_JSON_ONE_OF, at, "more than one alternative of `oneOf` fits");
    }
    return true;
}

static bool check_in_place(slj_check *check, const slj_schema *schema, const place *at,
                           const scope *in, const marks *out) {
    if (schema->ref != NULL && !apply(check, schema->ref, at, in, out)) {
        return false;
    }
    if (schema->dynamic_ref != NULL && !apply_dynamic(check, schema, at, in, out)) {
        return false;
    }
    for (uint32_t i = 0; i < schema->all_of.n; i++) {
        if (!apply(check, schema->all_of.items[i], at, in, out)) {
            return false;
        }
    }
    if (!check_alternatives(check, schema, at, in, out)) {
        return false;
    }
    if (schema->not_schema != NULL && try_apply(check, schema->not_schema, at, in, NULL)) {
        return fail(check, SL_JSON_NOT, at, "the schema under `not` fits");
    }
    if (schema->if_schema == NULL) {
        return true;
    }
    const slj_schema *then = try_apply(check, schema->if_schema, at, in, out) ? schema->then_schema
                                                                              : schema->else_schema;
    return then == NULL || apply(check, then, at, in, out);
}

static bool check_unevaluated(slj_check *check, const slj_schema *schema, const place *at,
                              const scope *in, const marks *own) {
    const slj_node *nodes = check->doc->nodes;
    bool object = nodes[at->node].kind == SLJ_OBJECT;
    const slj_schema *by = object ? schema->unevaluated_properties : schema->unevaluated_items;
    if (by == NULL || nodes[at->node].kind < SLJ_ARRAY) {
        return true;
    }
    place child = {.up = at, .index = 0};
    for (uint32_t i = at->node + 1; i < nodes[at->node].end;
         i = nodes[child.node].end, child.index++) {
        child.key = object ? i : 0;
        child.node = object ? i + 1 : i;
        if (check->marks[own->at + child.index]) {
            continue;
        }
        if (by->constant == 0) {
            return fail(check, SL_JSON_UNEVALUATED, &child, "no schema covers it");
        }
        if (!apply(check, by, &child, in, NULL)) {
            return false;
        }
        mark(check, own, child.index);
    }
    return true;
}

static bool apply_keywords(slj_check *check, const slj_schema *schema, const place *at,
                           const scope *in, const marks *out) {
    if (!check_any(check, schema, at)) {
        return false;
    }
    bool good = true;
    switch (node_of(check, at)->kind) {
    case SLJ_NUMBER:
        good = schema->bounds_present == 0 || check_number(check, schema, at);
        break;
    case SLJ_STRING:
        good = check_string(check, schema, at);
        break;
    case SLJ_ARRAY:
        good = check_array(check, schema, at, in, out);
        break;
    case SLJ_OBJECT:
        good = check_object(check, schema, at, in, out);
        break;
    default:
        break;
    }
    return good && check_in_place(check, schema, at, in, out);
}

static bool apply(slj_check *check, const slj_schema *schema, const place *at, const scope *in,
                  const marks *out) {
    if (schema->constant >= 0) {
        return schema->constant != 0 ||
               fail(check, SL_JSON_FALSE_SCHEMA, at, "nothing is allowed here");
    }
    if (check->nesting >= MAX_NESTING) {
        check->too_deep = true;
    }
    if (check->too_deep || check->no_memory) {
        return false;
    }
    check->nesting++;
    scope here = {in, schema->resource};
    const scope *inside = in != NULL && in->resource == schema->resource ? in : &here;
    bool good;
    if (schema->has_unevaluated) {
        marks own;
        good = push_marks(check, at, &own);
        if (good) {
            good = apply_keywords(check, schema, at, inside, &own) &&
                   check_unevaluated(check, schema, at, inside, &own);
            pop_marks(check, at, &own, out, good);
        }
    } else {
        good = apply_keywords(check, schema, at, inside, out);
    }
    check->nesting--;
    return good;
}

/* ---- the check ---- */

slj_check *slj_check_new(const slj_set *set) {
    slj_check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        return NULL;
    }
    check->set = set;
    check->matcher = slj_matcher_new();
    if (check->matcher == NULL) {
        free(check);
        return NULL;
    }
    return check;
}

void slj_check_free(slj_check *check) {
    if (check != NULL) {
        slj_matcher_free(check->matcher);
        sl_buffer_free(&check->path);
        sl_buffer_free(&check->detail);
        free(check->marks);
        free(check);
    }
}

sl_error *slj_check_run(slj_check *check, const slj_schema *schema, const slj_doc *doc,
                        sl_json_verdict *out) {
    check->doc = doc;
    check->nesting = check->quiet = 0;
    check->marks_used = 0;
    check->allowed_at = 0;
    check->no_memory = check->too_deep = false;
    check->reason = SL_JSON_OK;
    sl_buffer_clear(&check->path);
    sl_buffer_clear(&check->detail);
    place root = {.node = 0};
    bool good = apply(check, schema, &root, NULL, NULL);
    if (check->too_deep && !check->no_memory) {
        good = false;
        fails(check, SL_JSON_SCHEMA_DEPTH, &root);
        sl_buffer_printf(&check->detail, "schemas refer to each other more than %d deep",
                         MAX_NESTING);
    }
    const char *path = sl_buffer_text(&check->path);
    const char *detail = sl_buffer_text(&check->detail);
    if (check->no_memory || path == NULL || detail == NULL) {
        return sl_error_no_memory();
    }
    *out = (sl_json_verdict){good ? SL_JSON_OK : check->reason, path, detail};
    return NULL;
}
