/* Leaf columns of the file's schema: see writer_leaf.h. */
#include "parquet/writer_leaf.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LEAVES 10000

/* The walk down the schema: what lies above the present node. */
typedef struct walk {
    sl_pqw_shred_step steps[SL_PQW_SHRED_MAX_STEPS];
    size_t n_steps;
    const char *names[3 * SL_PQW_SHRED_MAX_STEPS];
    size_t n_names;
    uint8_t definition;
    uint8_t repetition;
    sl_pqw_leaf *leaves;
    size_t n;
    size_t capacity;
} walk;

/* Of a decimal as FIXED_LEN_BYTE_ARRAY. */
static size_t decimal_bytes(int32_t precision) {
    /* smallest n with 10^precision <= 2^(8n - 1) */
    static const uint8_t bytes[] = {1,  1,  1,  2,  2,  3,  3,  4,  4,  4,  5,  5,  6,
                                    6,  6,  7,  7,  8,  8,  9,  9,  9,  10, 10, 11, 11,
                                    11, 12, 12, 13, 13, 13, 14, 14, 15, 15, 16, 16, 16};
    return bytes[precision];
}

typedef struct mapping {
    sl_type_id id;
    sl_parquet_type physical;
    size_t width;
    sl_pqw_stats_kind stats;
} mapping;

static const mapping mappings[] = {
    {SL_TYPE_BOOL, SL_PARQUET_BOOLEAN, 1, SL_PQW_STATS_BOOL},
    {SL_TYPE_INT8, SL_PARQUET_INT32, 4, SL_PQW_STATS_I32},
    {SL_TYPE_INT16, SL_PARQUET_INT32, 4, SL_PQW_STATS_I32},
    {SL_TYPE_INT32, SL_PARQUET_INT32, 4, SL_PQW_STATS_I32},
    {SL_TYPE_INT64, SL_PARQUET_INT64, 8, SL_PQW_STATS_I64},
    {SL_TYPE_UINT8, SL_PARQUET_INT32, 4, SL_PQW_STATS_U32},
    {SL_TYPE_UINT16, SL_PARQUET_INT32, 4, SL_PQW_STATS_U32},
    {SL_TYPE_UINT32, SL_PARQUET_INT32, 4, SL_PQW_STATS_U32},
    {SL_TYPE_UINT64, SL_PARQUET_INT64, 8, SL_PQW_STATS_U64},
    {SL_TYPE_FLOAT, SL_PARQUET_FLOAT, 4, SL_PQW_STATS_FLOAT},
    {SL_TYPE_DOUBLE, SL_PARQUET_DOUBLE, 8, SL_PQW_STATS_DOUBLE},
    {SL_TYPE_UTF8, SL_PARQUET_BYTE_ARRAY, 0, SL_PQW_STATS_BYTES},
    {SL_TYPE_BINARY, SL_PARQUET_BYTE_ARRAY, 0, SL_PQW_STATS_BYTES},
    {SL_TYPE_DATE32, SL_PARQUET_INT32, 4, SL_PQW_STATS_I32},
    {SL_TYPE_TIMESTAMP_UTC, SL_PARQUET_INT64, 8, SL_PQW_STATS_I64},
    {SL_TYPE_TIMESTAMP_NTZ, SL_PARQUET_INT64, 8, SL_PQW_STATS_I64},
};

/* False when Parquet has no place for the type. */
static bool map_type(const sl_type *type, mapping *out) {
    *out = (mapping){type->id, SL_PARQUET_FIXED_LEN_BYTE_ARRAY, 0, SL_PQW_STATS_BYTES};
    if (type->id == SL_TYPE_FIXED_BINARY) {
        out->width = (size_t)type->width_bytes;
        return type->width_bytes > 0;
    }
    if (type->id == SL_TYPE_DECIMAL128) {
        if (type->precision < 1 || type->precision > 38) {
            return false;
        }
        if (type->precision <= 9) {
            *out = (mapping){type->id, SL_PARQUET_INT32, 4, SL_PQW_STATS_I32};
        } else if (type->precision <= 18) {
            *out = (mapping){type->id, SL_PARQUET_INT64, 8, SL_PQW_STATS_I64};
        } else {
            out->width = decimal_bytes(type->precision);
            out->stats = SL_PQW_STATS_BIG_ENDIAN;
        }
        return true;
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(mappings); i++) {
        if (mappings[i].id == type->id) {
            *out = mappings[i];
            return true;
        }
    }
    return false;
}

sl_parquet_type sl_pqw_leaf_physical(const sl_type *type, size_t *width) {
    mapping found;
    (void)map_type(type, &found);
    *width = found.width;
    return found.physical;
}

static char *join(const char *const *names, size_t n) {
    sl_buffer text = SL_BUFFER_INIT;
    for (size_t i = 0; i < n; i++) {
        sl_buffer_printf(&text, i == 0 ? "%s" : ".%s", names[i]);
    }
    if (sl_buffer_text(&text) == NULL) {
        sl_buffer_free(&text);
        return NULL;
    }
    size_t bytes;
    return (char *)sl_buffer_take(&text, &bytes);
}

static void leaf_clear(sl_pqw_leaf *leaf) {
    for (size_t i = 0; i < leaf->n_path; i++) {
        free(leaf->path[i]);
    }
    free(leaf->path);
    free(leaf->described);
    free(leaf->shred.steps);
}

void sl_pqw_leaves_free(sl_pqw_leaf *leaves, size_t n) {
    for (size_t i = 0; i < n; i++) {
        leaf_clear(&leaves[i]);
    }
    free(leaves);
}

static sl_error *leaf_fill(sl_pqw_leaf *leaf, const walk *w, const sl_type *type) {
    leaf->type = *type;
    leaf->path = calloc(w->n_names, sizeof(*leaf->path));
    leaf->described = join(w->names, w->n_names);
    leaf->shred.steps = malloc(w->n_steps * sizeof(*w->steps));
    if (leaf->path == NULL || leaf->described == NULL || leaf->shred.steps == NULL) {
        return sl_error_no_memory();
    }
    memcpy(leaf->shred.steps, w->steps, w->n_steps * sizeof(*w->steps));
    for (; leaf->n_path < w->n_names; leaf->n_path++) {
        leaf->path[leaf->n_path] = strdup(w->names[leaf->n_path]);
        if (leaf->path[leaf->n_path] == NULL) {
            return sl_error_no_memory();
        }
    }
    leaf->shred.n_steps = w->n_steps;
    leaf->shred.max_definition = w->definition;
    leaf->shred.max_repetition = w->repetition;
    leaf->shred.described = leaf->described;
    mapping found;
    if (!map_type(type, &found)) {
        return sl_error_new(SL_ERROR_CONFIG, "column %s: Parquet has no place for its type",
                            leaf->described);
    }
    leaf->physical = found.physical;
    leaf->width = found.width;
    leaf->stats = found.stats;
    leaf->shred.value_bytes = found.width;
    return NULL;
}

static sl_error *add_leaf(walk *w, const sl_type *type) {
    if (w->n == w->capacity) {
        size_t capacity = w->capacity == 0 ? 16 : w->capacity * 2;
        sl_pqw_leaf *leaves =
            capacity > MAX_LEAVES * 2 ? NULL : realloc(w->leaves, capacity * sizeof(*leaves));
        if (leaves == NULL) {
            return capacity > MAX_LEAVES * 2
                       ? sl_error_new(SL_ERROR_CONFIG, "more than %d columns", MAX_LEAVES)
                       : sl_error_no_memory();
        }
        w->leaves = leaves;
        w->capacity = capacity;
    }
    sl_pqw_leaf *leaf = &w->leaves[w->n];
    memset(leaf, 0, sizeof(*leaf));
    sl_error *error = leaf_fill(leaf, w, type);
    if (error != NULL) {
        leaf_clear(leaf);
        return error;
    }
    w->n++;
    return NULL;
}

static const char *name_of(const struct ArrowSchema *schema) {
    return schema->name == NULL ? "" : schema->name;
}

static sl_error *walk_children(walk *w, const struct ArrowSchema *schema, const char *const *names);

/* One field below the present node, called `name` in the file. */
static sl_error *walk_field(walk *w, const struct ArrowSchema *field, int64_t child,
                            const char *name) {
    sl_type type;
    if (w->n_steps + 2 > SL_PQW_SHRED_MAX_STEPS) { /* a map takes two */
        return sl_error_new(SL_ERROR_CONFIG, "column %s is nested deeper than %d levels",
                            w->names[0], SL_PQW_SHRED_MAX_STEPS);
    }
    if (field->dictionary != NULL || !sl_type_parse(field->format, &type)) {
        return sl_error_new(SL_ERROR_CONFIG, "column %s: Arrow type \"%s\"%s is not supported",
                            name, field->format,
                            field->dictionary != NULL ? " with a dictionary" : "");
    }
    const size_t n_steps = w->n_steps;
    const size_t n_names = w->n_names;
    const uint8_t definition = w->definition;
    const uint8_t repetition = w->repetition;
    bool list = type.id == SL_TYPE_LIST || type.id == SL_TYPE_MAP;
    bool nullable = (field->flags & ARROW_FLAG_NULLABLE) != 0;
    w->steps[w->n_steps++] = (sl_pqw_shred_step){child, nullable, list};
    w->names[w->n_names++] = name;
    w->definition = (uint8_t)(w->definition + nullable + list);
    w->repetition = (uint8_t)(w->repetition + list);

    sl_error *error = NULL;
    if (type.id == SL_TYPE_LIST) {
        static const char *const names[] = {SL_PQW_LIST_ELEMENT};
        w->names[w->n_names++] = SL_PQW_LIST_GROUP;
        error = walk_children(w, field, names);
    } else if (type.id == SL_TYPE_MAP) {
        /* Arrow's entries struct is Parquet's repeated group: a step, but no name of its own */
        static const char *const names[] = {SL_PQW_MAP_KEY, SL_PQW_MAP_VALUE};
        if (field->n_children != 1 || field->children[0]->n_children != 2) {
            error = sl_error_new(SL_ERROR_CONFIG, "map %s needs one child of two fields", name);
        } else {
            w->names[w->n_names++] = SL_PQW_MAP_GROUP;
            w->steps[w->n_steps++] = (sl_pqw_shred_step){0, false, false};
            error = walk_children(w, field->children[0], names);
        }
    } else if (type.id == SL_TYPE_STRUCT) {
        error = walk_children(w, field, NULL);
    } else {
        error = add_leaf(w, &type);
    }
    w->n_steps = n_steps;
    w->n_names = n_names;
    w->definition = definition;
    w->repetition = repetition;
    return error;
}

static sl_error *walk_children(walk *w, const struct ArrowSchema *schema,
                               const char *const *names) {
    if (schema->n_children == 0) {
        return w->n_names == 0
                   ? sl_error_new(SL_ERROR_CONFIG, "a Parquet file needs at least one column")
                   : sl_error_new(SL_ERROR_CONFIG,
                                  "struct %s has no fields: Parquet cannot hold an empty group",
                                  name_of(schema));
    }
    sl_error *error = NULL;
    for (int64_t i = 0; i < schema->n_children && error == NULL; i++) {
        const struct ArrowSchema *field = schema->children[i];
        error = walk_field(w, field, i, names == NULL ? name_of(field) : names[i]);
    }
    return error;
}

sl_error *sl_pqw_leaves_new(const struct ArrowSchema *schema, sl_pqw_leaf **out, size_t *n) {
    walk w = {.n = 0};
    if (strcmp(schema->format, "+s") != 0) {
        return sl_error_new(SL_ERROR_CONFIG, "a Parquet schema is a struct (\"+s\"), not \"%s\"",
                            schema->format);
    }
    sl_error *error = walk_children(&w, schema, NULL);
    if (error != NULL) {
        sl_pqw_leaves_free(w.leaves, w.n);
        return error;
    }
    *out = w.leaves;
    *n = w.n;
    return NULL;
}
