/*
 * From a schema to a plan. Schemas that all apply to one value ($ref, allOf, and the one
 * alternative beside null of anyOf or oneOf) are *layers* of one column: the column's type is what
 * all of them allow, its checks are those of all. What a plan cannot check itself is left to the
 * validator, by noting the keyword in `beyond`.
 */
#include "json/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define MAX_LAYERS 48

#define TYPE_NULL SLJ_TYPE_BIT(SLJ_NULL)
#define TYPE_BOOLEAN SLJ_TYPE_BIT(SLJ_TRUE)
#define TYPE_NUMBER SLJ_TYPE_BIT(SLJ_NUMBER)
#define TYPE_STRING SLJ_TYPE_BIT(SLJ_STRING)
#define TYPE_ARRAY SLJ_TYPE_BIT(SLJ_ARRAY)
#define TYPE_OBJECT SLJ_TYPE_BIT(SLJ_OBJECT)
#define TYPE_ALL                                                                                   \
    (TYPE_NULL | TYPE_BOOLEAN | TYPE_NUMBER | SLJ_TYPE_INTEGER | TYPE_STRING | TYPE_ARRAY |        \
     TYPE_OBJECT)

typedef struct layers {
    const slj_schema *items[MAX_LAYERS];
    uint32_t n;
    bool null_alternative; /* an anyOf allows null beside these layers */
} layers;

/* The schemas being planned, outermost first: meeting one again is a recursion. */
typedef struct frame {
    const struct frame *up;
    const layers *layers;
    uint32_t depth;
} frame;

typedef struct maker {
    sl_json_schema *out;
    slj_arena *arena;
    uint32_t max_depth;
} maker;

static sl_error *make_plan(maker *m, const slj_schema *schema, const frame *up, slj_plan **out);

static void leave_to_validator(maker *m, const char *keyword) {
    if (m->out->beyond == NULL) {
        m->out->beyond = keyword;
    }
}

/* ---- types ---- */

static uint32_t kind_types(const slj_doc *doc, uint32_t node) {
    const slj_node *value = &doc->nodes[node];
    if (value->kind == SLJ_NUMBER) {
        slj_decimal decimal = slj_node_decimal(value);
        return slj_decimal_is_integer(&decimal) ? SLJ_TYPE_INTEGER : TYPE_NUMBER;
    }
    return value->kind == SLJ_FALSE ? TYPE_BOOLEAN : SLJ_TYPE_BIT(value->kind);
}

/* The types that a schema speaks of: of `type`, of its choices, or implied by its keywords;
 * TYPE_ALL when it says nothing. */
static uint32_t layer_types(const slj_schema *schema) {
    uint32_t types = schema->types;
    if (types == 0 && schema->const_node != 0) {
        types = kind_types(schema->doc, schema->const_node);
    } else if (types == 0 && schema->enum_node != 0) {
        const slj_node *nodes = schema->doc->nodes;
        for (uint32_t i = schema->enum_node + 1; i < nodes[schema->enum_node].end;
             i = nodes[i].end) {
            types |= kind_types(schema->doc, i);
        }
    } else if (types == 0 && schema->properties.n > 0) {
        types = TYPE_OBJECT;
    } else if (types == 0 && schema->items != NULL) {
        types = TYPE_ARRAY;
    }
    if (types == 0) {
        return TYPE_ALL;
    }
    return types & TYPE_NUMBER ? types | SLJ_TYPE_INTEGER : types;
}

/* Whether null passes one layer. */
static bool layer_takes_null(const slj_schema *schema) {
    bool allowed = schema->types == 0 || (schema->types & TYPE_NULL);
    const slj_node *nodes = schema->doc->nodes;
    if (schema->types == 0 && (schema->properties.n > 0 || schema->items != NULL)) {
        allowed = false; /* they imply a type */
    }
    if (schema->const_node != 0) {
        allowed = allowed && nodes[schema->const_node].kind == SLJ_NULL;
    }
    if (schema->enum_node != 0) {
        bool listed = false;
        for (uint32_t i = schema->enum_node + 1; i < nodes[schema->enum_node].end;
             i = nodes[i].end) {
            listed = listed || nodes[i].kind == SLJ_NULL;
        }
        allowed = allowed && listed;
    }
    return allowed;
}

static bool only_null(const slj_schema *schema) {
    return schema->constant < 0 && schema->types == TYPE_NULL && schema->ref == NULL;
}

/* The alternative beside null of `anyOf: [X, {"type": "null"}]`, NULL when it is not of that form.
 */
static const slj_schema *nullable_alternative(const slj_schema_list *list) {
    if (list->n != 2 || only_null(list->items[0]) == only_null(list->items[1])) {
        return NULL;
    }
    return only_null(list->items[0]) ? list->items[1] : list->items[0];
}

static bool on_stack(const frame *up, const slj_schema *schema) {
    for (; up != NULL; up = up->up) {
        for (uint32_t i = 0; i < up->layers->n; i++) {
            if (up->layers->items[i] == schema) {
                return true;
            }
        }
    }
    return false;
}

/* Collects the layers from `schema` on. False: they are recursive or too many, or say nothing that
 * a column could be made of. */
static bool add_layers(maker *m, const slj_schema *schema, const frame *up, layers *out) {
    for (uint32_t i = 0; i < out->n; i++) {
        if (out->items[i] == schema) {
            return true;
        }
    }
    if (out->n == MAX_LAYERS || on_stack(up, schema)) {
        return false;
    }
    if (schema->constant >= 0) {
        if (schema->constant == 0) {
            leave_to_validator(m, "false");
        }
        return true;
    }
    out->items[out->n++] = schema;
    bool good = schema->ref == NULL || add_layers(m, schema->ref, up, out);
    for (uint32_t i = 0; i < schema->all_of.n && good; i++) {
        good = add_layers(m, schema->all_of.items[i], up, out);
    }
    const slj_schema *one = nullable_alternative(&schema->any_of);
    one = one != NULL ? one : nullable_alternative(&schema->one_of);
    if (good && one != NULL && !out->null_alternative) {
        /* null passes here without passing the layers that follow */
        out->null_alternative = layer_takes_null(schema);
        good = add_layers(m, one, up, out);
    }
    return good;
}

/* The keywords that no plan checks. allOf's branches are layers, as are anyOf and oneOf of one
 * alternative beside null. */
static void note_beyond(maker *m, const layers *in) {
    static const char *const names[] = {"allOf", "anyOf", "oneOf"};
    for (uint32_t i = 0; i < in->n; i++) {
        const slj_schema *schema = in->items[i];
        const slj_schema_list *lists[] = {&schema->all_of, &schema->any_of, &schema->one_of};
        const char *keyword = slj_keywords_beyond(schema);
        if (keyword != NULL) {
            leave_to_validator(m, keyword);
        }
        for (size_t k = 1; k < SL_ARRAY_LENGTH(lists); k++) {
            const slj_schema *one = nullable_alternative(lists[k]);
            bool simple = one != NULL && i == 0 && in->null_alternative;
            /* of oneOf, null must not pass the other alternative too */
            simple =
                simple &&
                (k == 1 || (one->constant < 0 && one->types != 0 && !(one->types & TYPE_NULL)));
            if (lists[k]->n > 0 && (!simple || schema->any_of.n * schema->one_of.n > 0)) {
                leave_to_validator(m, names[k]);
            }
        }
    }
}

/* ---- choices: enum and const ---- */

/* The nearest double; beyond its range an infinity. */
static double node_double(const slj_node *node) {
    slj_number number;
    double value = 0;
    if (slj_scan_number(node->text, &number) != NULL) {
        (void)slj_number_to_double(&number, &value);
    }
    return value;
}

static bool choice_from(const slj_plan *plan, const slj_node *node, slj_arena *arena,
                        slj_choice *out, bool *no_memory) {
    slj_decimal decimal;
    slj_i128 wide;
    switch (plan->kind) {
    case SLJ_PLAN_STRING: {
        uint8_t *copy = slj_arena_alloc(arena, (size_t)node->bytes + 8);
        if (node->kind != SLJ_STRING || copy == NULL) {
            *no_memory = *no_memory || copy == NULL;
            return false;
        }
        memcpy(copy, node->text, node->bytes);
        out->text.bytes = copy;
        out->text.n = node->bytes;
        memcpy(&out->text.head, copy, 8);
        if (node->bytes < 8) {
            out->text.head &= (UINT64_C(1) << (8 * node->bytes)) - 1;
        }
        return true;
    }
    case SLJ_PLAN_INTEGER:
        if (node->kind != SLJ_NUMBER) {
            return false;
        }
        decimal = slj_node_decimal(node);
        if (slj_decimal_scale(&decimal, 0, &wide) != SLJ_SCALED_OK || wide > INT64_MAX ||
            wide < INT64_MIN) {
            return false; /* a value that the column never holds */
        }
        out->integer = (int64_t)wide;
        return true;
    case SLJ_PLAN_NUMBER:
        out->number = node->kind == SLJ_NUMBER ? node_double(node) : 0;
        return node->kind == SLJ_NUMBER;
    default: /* boolean */
        out->integer = node->kind == SLJ_TRUE;
        return node->kind == SLJ_TRUE || node->kind == SLJ_FALSE;
    }
}

static sl_error *read_choices(maker *m, const slj_schema *schema, slj_plan *plan) {
    uint32_t list = schema->enum_node, single = schema->const_node;
    if (list == 0 && single == 0) {
        return NULL;
    }
    if (plan->kind > SLJ_PLAN_BOOLEAN || plan->choices != NULL || (list != 0 && single != 0)) {
        leave_to_validator(m, list != 0 ? "enum" : "const");
        return NULL;
    }
    const slj_node *nodes = schema->doc->nodes;
    uint32_t from = list != 0 ? list + 1 : single;
    uint32_t end = nodes[list != 0 ? list : single].end;
    bool no_memory = false;
    slj_choice *choices = slj_arena_alloc(m->arena, (nodes[list].count + 1) * sizeof *choices);
    if (choices == NULL) {
        return sl_error_no_memory();
    }
    for (uint32_t i = from; i < end; i = nodes[i].end) {
        plan->n_choices +=
            choice_from(plan, &nodes[i], m->arena, &choices[plan->n_choices], &no_memory);
    }
    plan->choices = choices;
    plan->checks |= SLJ_CHECK_CHOICES;
    return no_memory ? sl_error_no_memory() : NULL;
}

/* ---- strings and numbers ---- */

static void read_string_checks(maker *m, const slj_schema *schema, slj_plan *plan) {
    bool lengths = (schema->limits_present & (1u << SLJ_MIN_LENGTH | 1u << SLJ_MAX_LENGTH)) != 0;
    if (plan->kind != SLJ_PLAN_STRING) { /* of a date: rare enough for the validator */
        if (lengths || schema->pattern != NULL) {
            leave_to_validator(m, lengths ? "minLength" : "pattern");
        }
        return;
    }
    if (lengths) {
        uint64_t least = schema->limits[SLJ_MIN_LENGTH];
        plan->min_length = least > plan->min_length ? least : plan->min_length;
        if (schema->limits_present & (1u << SLJ_MAX_LENGTH)) {
            uint64_t most = schema->limits[SLJ_MAX_LENGTH];
            plan->max_length = most < plan->max_length ? most : plan->max_length;
        }
        plan->checks |= SLJ_CHECK_LENGTH;
    }
    if (schema->pattern != NULL && plan->pattern != NULL) {
        leave_to_validator(m, "pattern");
    } else if (schema->pattern != NULL) {
        plan->pattern = schema->pattern;
        plan->checks |= SLJ_CHECK_PATTERN;
    }
    if (schema->asserts_format && schema->format_node != 0) {
        leave_to_validator(m, "format");
    }
}

/* A lower bound (`upper` false) or upper bound of integers scaled by 10^scale, made inclusive. */
static void tighten_scaled(slj_plan *plan, const slj_decimal *bound, bool upper, bool open) {
    slj_i128 value;
    slj_scaled_result result = slj_decimal_scale(bound, plan->scale, &value);
    if (result == SLJ_SCALED_RANGE) {
        bool nothing = upper ? bound->negative : !bound->negative;
        if (nothing) { /* beyond every value: no value passes */
            plan->low = 1;
            plan->high = 0;
        }
        return;
    }
    if (result == SLJ_SCALED_FRACTION) { /* rounded down already */
        value += !upper;
    } else if (open) {
        value += upper ? -1 : 1;
    }
    if (upper) {
        plan->high = value < plan->high ? value : plan->high;
    } else {
        plan->low = value > plan->low ? value : plan->low;
    }
}

static void tighten_number(slj_plan *plan, double value, bool upper, bool open) {
    double *bound = upper ? &plan->high_number : &plan->low_number;
    bool tighter = upper ? value < *bound : value > *bound;
    if (tighter) {
        *bound = value;
        plan->bounds_open[upper] = open;
    } else if (value == *bound) {
        plan->bounds_open[upper] = plan->bounds_open[upper] || open;
    }
}

static void read_number_checks(maker *m, const slj_schema *schema, slj_plan *plan) {
    for (unsigned bound = SLJ_MINIMUM; bound <= SLJ_EXCLUSIVE_MAXIMUM; bound++) {
        if (!(schema->bounds_present & (1u << bound))) {
            continue;
        }
        bool upper = bound == SLJ_MAXIMUM || bound == SLJ_EXCLUSIVE_MAXIMUM;
        bool open = bound == SLJ_EXCLUSIVE_MINIMUM || bound == SLJ_EXCLUSIVE_MAXIMUM;
        const slj_decimal *value = &schema->bounds[bound];
        if (plan->kind == SLJ_PLAN_NUMBER) {
            static const char *const names[] = {"minimum", "maximum", "exclusiveMinimum",
                                                "exclusiveMaximum"};
            uint32_t node = slj_doc_get(schema->doc, schema->node, names[bound]);
            tighten_number(plan, node_double(&schema->doc->nodes[node]), upper, open);
        } else {
            tighten_scaled(plan, value, upper, open);
        }
        plan->checks |= SLJ_CHECK_RANGE;
    }
    if (!(schema->bounds_present & (1u << SLJ_MULTIPLE_OF))) {
        return;
    }
    if (plan->checks & SLJ_CHECK_MULTIPLE) {
        leave_to_validator(m, "multipleOf");
        return;
    }
    slj_i128 divisor;
    plan->multiple = schema->bounds[SLJ_MULTIPLE_OF];
    bool whole = slj_decimal_scale(&plan->multiple, 0, &divisor) == SLJ_SCALED_OK;
    plan->multiple_integer = whole && divisor <= INT64_MAX ? (int64_t)divisor : 0;
    plan->checks |= SLJ_CHECK_MULTIPLE;
}

/* ---- the kind of a column ---- */

/* "decimal(12,2)" */
static sl_error *read_decimal_type(const slj_schema *schema, uint32_t types, slj_plan *plan) {
    const slj_node *text = &schema->doc->nodes[schema->x_type_node];
    char own[64] = "";
    int precision = 0, scale = 0, used = 0;
    if (text->kind == SLJ_STRING && text->bytes < sizeof own) {
        memcpy(own, text->text, text->bytes);
    }
    bool good = sscanf(own, "decimal(%2d,%2d)%n", &precision, &scale, &used) == 2 &&
                (size_t)used == strlen(own);
    if (!good || precision < 1 || precision > 38 || scale < 0 || scale > precision) {
        return slj_schema_error(
            schema->doc, schema->x_type_node,
            "found \"%.*s\", allowed are \"decimal(P,S)\" with 1 <= P <= 38 and "
            "0 <= S <= P, and \"json\"",
            text->bytes < 60 ? (int)text->bytes : 60, text->text);
    }
    if ((types & ~(TYPE_NULL | TYPE_NUMBER | SLJ_TYPE_INTEGER)) != 0) {
        return slj_schema_error(schema->doc, schema->x_type_node,
                                "a decimal is for \"type\": \"number\" or \"integer\"");
    }
    plan->kind = SLJ_PLAN_DECIMAL;
    plan->precision = precision;
    plan->scale = scale;
    return NULL;
}

static slj_plan_kind kind_of_string(const layers *in) {
    for (uint32_t i = 0; i < in->n; i++) {
        const slj_schema *schema = in->items[i];
        const slj_node *format = &schema->doc->nodes[schema->format_node];
        if (schema->format_node != 0 && slj_node_is(format, "date-time")) {
            return SLJ_PLAN_TIMESTAMP;
        }
        if (schema->format_node != 0 && slj_node_is(format, "date")) {
            return SLJ_PLAN_DATE;
        }
    }
    return SLJ_PLAN_STRING;
}

static bool has_properties(const layers *in) {
    for (uint32_t i = 0; i < in->n; i++) {
        if (in->items[i]->properties.n > 0) {
            return true;
        }
    }
    return false;
}

static const slj_schema *items_of(const layers *in) {
    for (uint32_t i = 0; i < in->n; i++) {
        if (in->items[i]->items != NULL && in->items[i]->prefix_items.n == 0) {
            return in->items[i]->items;
        }
    }
    return NULL;
}

static sl_error *choose_kind(maker *m, const layers *in, slj_plan *plan) {
    uint32_t types = TYPE_ALL;
    for (uint32_t i = 0; i < in->n; i++) {
        types &= layer_types(in->items[i]) | (in->null_alternative ? TYPE_NULL : 0);
    }
    plan->kind = SLJ_PLAN_TEXT;
    for (uint32_t i = 0; i < in->n; i++) {
        const slj_schema *schema = in->items[i];
        if (schema->x_type_node == 0) {
            continue;
        }
        const slj_node *text = &schema->doc->nodes[schema->x_type_node];
        if (!(types & TYPE_NUMBER)) {
            leave_to_validator(m, "type"); /* a decimal by itself does not insist on integers */
        }
        return slj_node_is(text, "json") ? NULL : read_decimal_type(schema, types, plan);
    }
    switch (types & ~TYPE_NULL) {
    case TYPE_STRING:
        plan->kind = kind_of_string(in);
        break;
    case SLJ_TYPE_INTEGER:
        plan->kind = SLJ_PLAN_INTEGER;
        break;
    case TYPE_NUMBER | SLJ_TYPE_INTEGER:
        plan->kind = SLJ_PLAN_NUMBER;
        break;
    case TYPE_BOOLEAN:
        plan->kind = SLJ_PLAN_BOOLEAN;
        break;
    case TYPE_OBJECT:
        plan->kind = has_properties(in) ? SLJ_PLAN_STRUCT : SLJ_PLAN_TEXT;
        break;
    case TYPE_ARRAY:
        plan->kind = items_of(in) != NULL ? SLJ_PLAN_LIST : SLJ_PLAN_TEXT;
        break;
    default:
        break;
    }
    return NULL;
}

/* ---- structs and lists ---- */

static sl_error *check_name(const slj_schema *schema, const slj_named *named,
                            const slj_plan *plan) {
    if (memchr(named->name, 0, named->bytes) != NULL || named->bytes == 0) {
        return slj_schema_error(schema->doc, named->node - 1,
                                "a column's name may not be empty or hold a 0 character");
    }
    for (uint32_t i = 0; i < plan->n_fields; i++) {
        const slj_field *other = &plan->fields[i];
        if (other->name_bytes == named->bytes &&
            strncasecmp((const char *)other->name, (const char *)named->name, named->bytes) == 0) {
            return slj_schema_error(schema->doc, named->node - 1,
                                    "\"%.*s\" and \"%.*s\" differ only in case, which tables do "
                                    "not tell apart; rename one of them",
                                    (int)named->bytes, (const char *)named->name,
                                    (int)other->name_bytes, (const char *)other->name);
        }
    }
    return NULL;
}

static bool has_field(const slj_plan *plan, const uint8_t *name, size_t bytes, uint32_t *index) {
    for (uint32_t i = 0; i < plan->n_fields; i++) {
        if (plan->fields[i].name_bytes == bytes && memcmp(plan->fields[i].name, name, bytes) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

static uint32_t low_bits(uint32_t n) {
    return n >= 16 ? 0xFFFFu : (1u << n) - 1;
}

static bool set_field(maker *m, slj_field *field, const slj_named *named) {
    uint8_t *name = slj_arena_alloc(m->arena, (size_t)named->bytes + 8);
    sl_buffer token = SL_BUFFER_INIT;
    sl_buffer_append_json_string(&token, (const char *)named->name, named->bytes);
    sl_buffer_append_byte(&token, ':');
    bool good = name != NULL && !token.failed;
    if (good) {
        memcpy(name, named->name, named->bytes);
        field->name = name;
        field->name_bytes = named->bytes;
        field->token_bytes = (uint32_t)token.bytes;
        if (token.bytes <= sizeof field->token) { /* a longer one goes by the slow path */
            memcpy(field->token, token.data, token.bytes);
            uint32_t n = (uint32_t)token.bytes;
            field->token_mask = low_bits(n);
            field->token_mask2 = n > 16 ? low_bits(n - 16) : 0;
        } else {
            field->token_mask = 1u << 16; /* never seen: always the slow path */
        }
    }
    sl_buffer_free(&token);
    return good;
}

static sl_error *add_fields(maker *m, const slj_schema *schema, const frame *here, slj_plan *plan) {
    sl_error *error = NULL;
    for (uint32_t i = 0; i < schema->properties.n && error == NULL; i++) {
        const slj_named *named = &schema->properties.items[i];
        uint32_t index;
        if (has_field(plan, named->name, named->bytes, &index)) {
            leave_to_validator(m, "properties"); /* in two layers: the first gives the type */
            continue;
        }
        error = check_name(schema, named, plan);
        if (error == NULL) {
            slj_field *field = &plan->fields[plan->n_fields++];
            error = set_field(m, field, named) ? NULL : sl_error_no_memory();
            if (error == NULL) {
                error = make_plan(m, named->schema, here, &field->plan);
            }
        }
    }
    return error;
}

static void read_additional(maker *m, const layers *in, slj_plan *plan) {
    uint32_t with_properties = 0;
    for (uint32_t i = 0; i < in->n; i++) {
        with_properties += in->items[i]->properties.n > 0;
    }
    for (uint32_t i = 0; i < in->n; i++) {
        const slj_schema *schema = in->items[i];
        const slj_schema *additional = schema->additional_properties;
        if (additional == NULL || additional->constant == 1) {
            continue;
        }
        /* it speaks of its own layer's properties */
        bool own = with_properties == 1 && schema->properties.n > 0 && schema->n_patterns == 0;
        if (additional->constant == 0 && own) {
            plan->no_additional = true;
        } else {
            leave_to_validator(m, "additionalProperties");
        }
    }
}

static void read_required(maker *m, const layers *in, slj_plan *plan, uint64_t *words) {
    for (uint32_t i = 0; i < in->n; i++) {
        const slj_schema *schema = in->items[i];
        const slj_node *nodes = schema->doc->nodes;
        if (schema->required_node == 0) {
            continue;
        }
        for (uint32_t k = schema->required_node + 1; k < nodes[schema->required_node].end; k++) {
            uint32_t index;
            if (has_field(plan, nodes[k].text, nodes[k].bytes, &index)) {
                words[index / 64] |= UINT64_C(1) << (index % 64);
            } else {
                leave_to_validator(m, "required"); /* of a property that is no column */
            }
        }
    }
}

static sl_error *index_fields(maker *m, const layers *in, slj_plan *plan) {
    uint32_t size = 4;
    while (size < plan->n_fields * 2) {
        size *= 2;
    }
    plan->n_words = plan->n_fields / 64 + 1;
    plan->hash_mask = size - 1;
    uint64_t *words = slj_arena_alloc(m->arena, plan->n_words * sizeof *words);
    uint16_t *table = slj_arena_alloc(m->arena, size * sizeof *table);
    if (words == NULL || table == NULL) {
        return sl_error_no_memory();
    }
    for (uint32_t i = 0; i < plan->n_fields; i++) {
        uint32_t slot =
            slj_name_hash(plan->fields[i].name, plan->fields[i].name_bytes) & (size - 1);
        while (table[slot] != 0) {
            slot = (slot + 1) & (size - 1);
        }
        table[slot] = (uint16_t)(i + 1);
    }
    read_required(m, in, plan, words);
    plan->required = words;
    plan->by_hash = table;
    plan->object_index = m->out->n_objects++;
    return NULL;
}

static sl_error *fill_struct(maker *m, const layers *in, const frame *here, slj_plan *plan) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < in->n; i++) {
        most += in->items[i]->properties.n;
    }
    if (most > 10000) {
        return slj_schema_error(plan->schema->doc, plan->schema->node,
                                "%u properties, at most 10000 columns are supported", most);
    }
    plan->fields = slj_arena_alloc(m->arena, most * sizeof *plan->fields);
    sl_error *error = plan->fields == NULL ? sl_error_no_memory() : NULL;
    for (uint32_t i = 0; i < in->n && error == NULL; i++) {
        error = add_fields(m, in->items[i], here, plan);
    }
    if (error == NULL) {
        read_additional(m, in, plan);
        error = index_fields(m, in, plan);
    }
    return error;
}

static sl_error *fill_list(maker *m, const layers *in, const frame *here, slj_plan *plan) {
    const slj_schema *items = items_of(in);
    for (uint32_t i = 0; i < in->n; i++) {
        const slj_schema *schema = in->items[i];
        if (schema->items != NULL && schema->items != items) {
            leave_to_validator(m, "items");
        }
        if (schema->limits_present & (1u << SLJ_MIN_ITEMS)) {
            uint64_t least = schema->limits[SLJ_MIN_ITEMS];
            plan->min_items = least > plan->min_items ? least : plan->min_items;
        }
        if (schema->limits_present & (1u << SLJ_MAX_ITEMS)) {
            uint64_t most = schema->limits[SLJ_MAX_ITEMS];
            plan->max_items = most < plan->max_items ? most : plan->max_items;
        }
    }
    return make_plan(m, items, here, &plan->item);
}

/* ---- one column ---- */

static bool says_nothing(const layers *in) {
    for (uint32_t i = 0; i < in->n; i++) {
        const slj_schema *s = in->items[i];
        if (s->types != 0 || s->const_node != 0 || s->enum_node != 0 || s->limits_present != 0 ||
            s->bounds_present != 0 || s->pattern != NULL || s->required_node != 0 ||
            s->properties.n > 0 || s->items != NULL || s->additional_properties != NULL ||
            (s->asserts_format && s->format_node != 0)) {
            return false;
        }
    }
    return true;
}

static sl_error *fill_plan(maker *m, const layers *in, const frame *here, slj_plan *plan) {
    sl_error *error = NULL;
    switch (plan->kind) {
    case SLJ_PLAN_STRUCT:
        error = fill_struct(m, in, here, plan);
        break;
    case SLJ_PLAN_LIST:
        error = fill_list(m, in, here, plan);
        break;
    case SLJ_PLAN_TEXT:
        if (!says_nothing(in)) {
            leave_to_validator(m, "type");
        }
        plan->nullable = true;
        return NULL;
    default:
        break;
    }
    for (uint32_t i = 0; i < in->n && error == NULL; i++) {
        const slj_schema *schema = in->items[i];
        if (plan->kind == SLJ_PLAN_STRING || plan->kind == SLJ_PLAN_TIMESTAMP ||
            plan->kind == SLJ_PLAN_DATE) {
            read_string_checks(m, schema, plan);
        } else if (plan->kind == SLJ_PLAN_INTEGER || plan->kind == SLJ_PLAN_NUMBER ||
                   plan->kind == SLJ_PLAN_DECIMAL) {
            read_number_checks(m, schema, plan);
        }
        error = read_choices(m, schema, plan);
    }
    return error;
}

static sl_error *make_plan(maker *m, const slj_schema *schema, const frame *up, slj_plan **out) {
    layers in = {.n = 0};
    frame here = {up, &in, up == NULL ? 1 : up->depth + 1};
    slj_plan *plan = slj_arena_alloc(m->arena, sizeof *plan);
    if (plan == NULL) {
        return sl_error_no_memory();
    }
    *out = plan;
    plan->schema = schema;
    plan->max_length = plan->max_items = UINT64_MAX;
    plan->low_number = -INFINITY;
    plan->high_number = INFINITY;
    if (!add_layers(m, schema, up, &in) || here.depth > m->max_depth) {
        plan->kind = SLJ_PLAN_TEXT;
        plan->nullable = true;
        leave_to_validator(m, "$ref");
        return NULL;
    }
    note_beyond(m, &in);
    plan->nullable = true;
    for (uint32_t i = 0; i < in.n && !in.null_alternative; i++) {
        plan->nullable = plan->nullable && layer_takes_null(in.items[i]);
    }
    sl_error *error = choose_kind(m, &in, plan);
    slj_i128 limit = 1;
    if (plan->kind == SLJ_PLAN_INTEGER) {
        plan->low = INT64_MIN;
        plan->high = INT64_MAX;
    } else {
        for (int32_t i = 0; i < plan->precision; i++) {
            limit *= 10;
        }
        plan->low = 1 - limit;
        plan->high = limit - 1;
    }
    return error != NULL ? error : fill_plan(m, &in, &here, plan);
}

sl_error *slj_plan_make(sl_json_schema *out, uint32_t max_depth) {
    maker m = {out, slj_set_arena(out->set), max_depth};
    sl_error *error = make_plan(&m, out->root_schema, NULL, &out->root);
    if (error == NULL && out->root->kind != SLJ_PLAN_STRUCT) {
        error = slj_schema_error(out->root_schema->doc, out->root_schema->node,
                                 "the records must be objects with `properties`: they become the "
                                 "columns");
    }
    return error;
}
