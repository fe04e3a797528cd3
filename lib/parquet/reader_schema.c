/*
 * From the flat list of SchemaElements to the tree of reader_schema.h, by the rules of
 * apache/parquet-format, LogicalTypes.md: three-level lists, the older two-level forms by its
 * backward-compatibility rules, maps, and bare repeated fields.
 */
#include "parquet/reader_schema.h"

#include <stdlib.h>

#define MAX_DEPTH 64
#define MAX_PATH_BYTES 4096
/* Of all leaves together: a long group name is repeated in each leaf's path. */
#define MAX_PATHS_BYTES (16 << 20)

typedef struct schema_builder {
    const sl_pqr_element *elements;
    size_t n_elements;
    size_t next; /* element to take */
    size_t n_nodes;
    size_t n_leaves;
    size_t paths_bytes;
    sl_buffer path; /* names from the root, joined by '.' */
    int depth;
} schema_builder;

/* The levels that hold for a field's content. */
typedef struct levels {
    uint8_t def;
    uint8_t rep;
    uint8_t list_def;
} levels;

static sl_error *build_field(schema_builder *builder, levels at, sl_pqr_node *node);
static sl_error *build_content(schema_builder *builder, const sl_pqr_element *element, levels at,
                               bool nullable, sl_pqr_node *node);

static const char *path_text(schema_builder *builder) {
    const char *text = sl_buffer_text(&builder->path);
    return text == NULL ? "?" : text;
}

static sl_error *corrupt(schema_builder *builder, const char *what) {
    return sl_error_new(SL_ERROR_CORRUPT, "the schema at \"%s\": %s", path_text(builder), what);
}

static bool is_group(const sl_pqr_element *element) {
    return element->n_children > 0;
}

/* Takes the next element of the list and appends its name to the path. */
static sl_error *take(schema_builder *builder, const sl_pqr_element **out) {
    if (builder->next >= builder->n_elements) {
        return corrupt(builder, "a group has fewer children than it says");
    }
    const sl_pqr_element *element = &builder->elements[builder->next++];
    if (memchr(element->name.data, 0, element->name.bytes) != NULL) {
        return corrupt(builder, "a name holds a zero byte");
    }
    if (element->n_children < 0 || (is_group(element) && element->type >= 0)) {
        return corrupt(builder, "an element is neither a group nor a value");
    }
    if (element->repetition < SL_PARQUET_REQUIRED || element->repetition > SL_PARQUET_REPEATED) {
        return sl_error_new(SL_ERROR_UNSUPPORTED,
                            "the schema at \"%s\": a field has the repetition type %d; REQUIRED, "
                            "OPTIONAL and REPEATED are read",
                            path_text(builder), (int)element->repetition);
    }
    if (builder->path.bytes > 0) {
        sl_buffer_append_byte(&builder->path, '.');
    }
    sl_buffer_append(&builder->path, element->name.data, element->name.bytes);
    if (builder->path.bytes > MAX_PATH_BYTES) {
        builder->path.bytes = 64;
        return corrupt(builder, "names are longer than 4,096 bytes together");
    }
    *out = element;
    return builder->path.failed ? sl_error_no_memory() : NULL;
}

static char *copy_text(const void *text, size_t bytes) {
    char *copy = malloc(bytes + 1);
    if (copy != NULL) {
        memcpy(copy, text, bytes);
        copy[bytes] = 0;
    }
    return copy;
}

static bool set_name(sl_pqr_node *node, const char *name, size_t bytes) {
    free(node->name);
    node->name = copy_text(name, bytes);
    return node->name != NULL;
}

static bool is_named(const sl_pqr_element *element, const char *name, size_t bytes) {
    return element->name.bytes == bytes && memcmp(element->name.data, name, bytes) == 0;
}

static bool is_list(const sl_pqr_element *element) {
    return element->logical == SL_PARQUET_F_LOGICAL_LIST ||
           (element->logical == 0 && element->converted == SL_PARQUET_LIST);
}

static bool is_map(const sl_pqr_element *element) {
    return element->logical == SL_PARQUET_F_LOGICAL_MAP ||
           (element->logical == 0 && (element->converted == SL_PARQUET_MAP ||
                                      element->converted == SL_PARQUET_MAP_KEY_VALUE));
}

/* Element `ahead` of the one to take next is repeated. */
static bool next_is_repeated(const schema_builder *builder, size_t ahead) {
    return builder->next + ahead < builder->n_elements &&
           builder->elements[builder->next + ahead].repetition == SL_PARQUET_REPEATED;
}

static sl_error *set_list_format(sl_pqr_node *node, sl_pqr_kind kind, const char *format) {
    node->kind = kind;
    memcpy(node->format, format, strlen(format) + 1);
    node->children = calloc(1, sizeof(*node->children));
    node->n_children = node->children == NULL ? 0 : 1;
    return node->children == NULL ? sl_error_no_memory() : NULL;
}

/* The levels inside the repeated field of a list or map whose own levels are `at`. */
static levels inside(levels at) {
    return (levels){(uint8_t)(at.def + 1), (uint8_t)(at.rep + 1), (uint8_t)(at.def + 1)};
}

/* "Backward-compatibility rules": is the repeated field itself the element (two levels)? */
static bool repeated_is_element(const schema_builder *builder, const sl_pqr_element *list,
                                const sl_pqr_element *repeated) {
    if (repeated->n_children != 1 || is_named(repeated, "array", 5) ||
        next_is_repeated(builder, 0)) {
        return true;
    }
    size_t bytes = list->name.bytes;
    return repeated->name.bytes == bytes + 6 &&
           memcmp(repeated->name.data, list->name.data, bytes) == 0 &&
           memcmp(repeated->name.data + bytes, "_tuple", 6) == 0;
}

static sl_error *build_list(schema_builder *builder, const sl_pqr_element *element, levels at,
                            sl_pqr_node *node) {
    sl_error *error = set_list_format(node, SL_PQR_LIST, "+l");
    const sl_pqr_element *repeated = NULL;
    if (error == NULL) {
        error = take(builder, &repeated);
    }
    if (error != NULL) {
        return error;
    }
    error = repeated_is_element(builder, element, repeated)
                ? build_content(builder, repeated, inside(at), false, node->children)
                : build_field(builder, inside(at), node->children);
    if (error == NULL && !set_name(node->children, "element", 7)) {
        error = sl_error_no_memory();
    }
    return error;
}

static sl_error *build_map(schema_builder *builder, levels at, sl_pqr_node *node) {
    sl_error *error = set_list_format(node, SL_PQR_MAP, "+m");
    const sl_pqr_element *repeated = NULL;
    if (error == NULL) {
        error = take(builder, &repeated);
    }
    if (error == NULL) {
        error = build_content(builder, repeated, inside(at), false, node->children);
    }
    if (error != NULL) {
        return error;
    }
    sl_pqr_node *entries = node->children;
    bool named = set_name(entries, "entries", 7) && set_name(&entries->children[0], "key", 3) &&
                 set_name(&entries->children[1], "value", 5);
    return named ? NULL : sl_error_no_memory();
}

/* A MAP's repeated field must be a group of key and value, and not be something annotated. */
static bool has_key_value(const schema_builder *builder) {
    if (!next_is_repeated(builder, 0)) {
        return false;
    }
    const sl_pqr_element *repeated = &builder->elements[builder->next];
    return repeated->n_children == 2 && !is_list(repeated);
}

static sl_error *build_struct(schema_builder *builder, const sl_pqr_element *element, levels at,
                              sl_pqr_node *node) {
    node->kind = SL_PQR_STRUCT;
    memcpy(node->format, "+s", 3);
    size_t n = (size_t)element->n_children;
    if (n > builder->n_elements - builder->next) {
        return corrupt(builder, "a group has fewer children than it says");
    }
    node->children = n == 0 ? NULL : calloc(n, sizeof(*node->children));
    if (node->children == NULL && n > 0) {
        return sl_error_no_memory();
    }
    node->n_children = n;
    for (size_t i = 0; i < n; i++) {
        sl_error *error = build_field(builder, at, &node->children[i]);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

static sl_error *build_leaf(schema_builder *builder, const sl_pqr_element *element,
                            sl_pqr_node *node) {
    if (element->type < 0) {
        return corrupt(builder, "a group has no children");
    }
    builder->paths_bytes += builder->path.bytes;
    if (builder->paths_bytes > MAX_PATHS_BYTES) {
        return corrupt(builder, "the paths of all columns are longer than 16 MiB together");
    }
    node->kind = SL_PQR_LEAF;
    node->leaf = builder->n_leaves++;
    node->path = copy_text(path_text(builder), builder->path.bytes);
    return node->path == NULL ? sl_error_no_memory() : sl_pqr_leaf_type(element, node);
}

/* Everything of `element` but its repetition, which `at` and `nullable` have taken in. */
static sl_error *build_content(schema_builder *builder, const sl_pqr_element *element, levels at,
                               bool nullable, sl_pqr_node *node) {
    if (builder->depth >= MAX_DEPTH) {
        return sl_error_new(SL_ERROR_UNSUPPORTED,
                            "the schema at \"%.256s\" is nested deeper than "
                            "%d levels",
                            path_text(builder), MAX_DEPTH);
    }
    node->nullable = nullable;
    node->def_level = at.def;
    node->rep_level = at.rep;
    node->list_def = at.list_def;
    node->id = builder->n_nodes++;
    if (!set_name(node, (const char *)element->name.data, element->name.bytes)) {
        return sl_error_no_memory();
    }
    builder->depth++;
    sl_error *error;
    if (!is_group(element)) {
        error = build_leaf(builder, element, node);
    } else if (is_list(element) && element->n_children == 1 && next_is_repeated(builder, 0)) {
        error = build_list(builder, element, at, node);
    } else if (is_map(element) && element->n_children == 1 && has_key_value(builder)) {
        error = build_map(builder, at, node);
    } else {
        error = build_struct(builder, element, at, node);
    }
    builder->depth--;
    return error;
}

/* A repeated field outside LIST and MAP: a list, not null, of elements that are not null. */
static sl_error *build_repeated(schema_builder *builder, const sl_pqr_element *element, levels at,
                                sl_pqr_node *node) {
    node->def_level = at.def;
    node->rep_level = at.rep;
    node->list_def = at.list_def;
    node->id = builder->n_nodes++;
    if (!set_name(node, (const char *)element->name.data, element->name.bytes)) {
        return sl_error_no_memory();
    }
    sl_error *error = set_list_format(node, SL_PQR_LIST, "+l");
    if (error == NULL) {
        error = build_content(builder, element, inside(at), false, node->children);
    }
    if (error == NULL && !set_name(node->children, "element", 7)) {
        error = sl_error_no_memory();
    }
    return error;
}

static sl_error *build_field(schema_builder *builder, levels at, sl_pqr_node *node) {
    size_t path_bytes = builder->path.bytes;
    const sl_pqr_element *element = NULL;
    sl_error *error = take(builder, &element);
    if (error != NULL) {
        return error;
    }
    if (element->repetition == SL_PARQUET_REPEATED) {
        error = build_repeated(builder, element, at, node);
    } else {
        bool nullable = element->repetition == SL_PARQUET_OPTIONAL;
        at.def = (uint8_t)(at.def + (nullable ? 1 : 0));
        error = build_content(builder, element, at, nullable, node);
    }
    builder->path.bytes = path_bytes;
    return error;
}

static void collect_leaves(sl_pqr_node *node, sl_pqr_node **leaves) {
    if (node->kind == SL_PQR_LEAF) {
        leaves[node->leaf] = node;
    }
    for (size_t i = 0; i < node->n_children; i++) {
        collect_leaves(&node->children[i], leaves);
    }
}

static sl_error *build_root(schema_builder *builder, sl_pqr_schema *schema) {
    const sl_pqr_element *root = &builder->elements[0];
    builder->next = 1;
    if (root->n_children < 0) {
        return corrupt(builder, "the root has a negative number of children");
    }
    sl_error *error = build_struct(builder, root, (levels){0, 0, 0}, &schema->root);
    if (error == NULL && builder->next != builder->n_elements) {
        error = corrupt(builder, "there are more elements than the groups hold");
    }
    if (error == NULL && !set_name(&schema->root, "", 0)) {
        error = sl_error_no_memory();
    }
    return error;
}

sl_error *sl_pqr_schema_build(const sl_pqr_footer *footer, sl_pqr_schema *out) {
    schema_builder builder = {.elements = footer->elements,
                              .n_elements = footer->n_elements,
                              .n_nodes = 1}; /* the root is node 0 */
    sl_pqr_schema schema = {.n_nodes = 0};
    sl_error *error = build_root(&builder, &schema);
    sl_buffer_free(&builder.path);
    schema.n_nodes = builder.n_nodes;
    schema.n_leaves = builder.n_leaves;
    if (error == NULL) {
        schema.leaves = calloc(schema.n_leaves + 1, sizeof(sl_pqr_node *));
        error = schema.leaves == NULL ? sl_error_no_memory() : NULL;
    }
    if (error == NULL) {
        collect_leaves(&schema.root, schema.leaves);
        error = sl_pqr_schema_arrow(&schema.root, NULL, &schema.arrow);
    }
    if (error != NULL) {
        sl_pqr_schema_free(&schema);
        return error;
    }
    *out = schema;
    return NULL;
}

static void free_node(sl_pqr_node *node) {
    for (size_t i = 0; i < node->n_children; i++) {
        free_node(&node->children[i]);
    }
    free(node->children);
    free(node->name);
    free(node->path);
}

void sl_pqr_schema_free(sl_pqr_schema *schema) {
    free_node(&schema->root);
    free(schema->leaves);
    if (schema->arrow.release != NULL) {
        schema->arrow.release(&schema->arrow);
    }
    memset(schema, 0, sizeof(*schema));
}

/* ---- Arrow ---- */

static size_t count_chosen(const sl_pqr_node *node, const bool *chosen) {
    size_t n = 0;
    for (size_t i = 0; i < node->n_children; i++) {
        n += chosen == NULL || chosen[node->children[i].id] ? 1 : 0;
    }
    return n;
}

static sl_error *fill_children(const sl_pqr_node *node, const bool *chosen,
                               struct ArrowSchema *arrow) {
    size_t n = 0;
    for (size_t i = 0; i < node->n_children; i++) {
        const sl_pqr_node *child = &node->children[i];
        if (chosen != NULL && !chosen[child->id]) {
            continue;
        }
        sl_error *error = sl_schema_set_field(arrow, n, child->name, child->format, child->nullable,
                                              count_chosen(child, chosen));
        if (error == NULL) {
            error = fill_children(child, chosen, arrow->children[n]);
        }
        if (error != NULL) {
            return error;
        }
        n++;
    }
    return NULL;
}

sl_error *sl_pqr_schema_arrow(const sl_pqr_node *root, const bool *chosen,
                              struct ArrowSchema *out) {
    struct ArrowSchema arrow;
    sl_error *error = sl_schema_new_struct(count_chosen(root, chosen), &arrow);
    if (error != NULL) {
        return error;
    }
    error = fill_children(root, chosen, &arrow);
    if (error != NULL) {
        arrow.release(&arrow);
        return error;
    }
    *out = arrow;
    return NULL;
}
