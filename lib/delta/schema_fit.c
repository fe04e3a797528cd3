/*
 * Do an input's columns fit the table, and how does the table grow? Names are compared without case
 * (Delta's columns are case-preserving and case-insensitive), then must be spelt alike. Names of a
 * list's and a map's children say nothing and are not compared.
 */
#include <string.h>

#include "delta/internal.h"

/* Characters that Parquet files of Delta tables without column mapping cannot have in a name. */
#define BAD_CHARACTERS " ,;{}()\n\t="

static bool is_nullable(const struct ArrowSchema *field) {
    return (field->flags & ARROW_FLAG_NULLABLE) != 0;
}

/* ---- names and types ---- */

static sl_error *check_name(const char *name, const char *where) {
    if (name == NULL || name[0] == 0) {
        return sl_error_new(SL_ERROR_CONFIG, "a column%s%s has no name", where[0] ? " of " : "",
                            where);
    }
    size_t bad = strcspn(name, BAD_CHARACTERS);
    if (name[bad] == 0) {
        return NULL;
    }
    sl_buffer proposal = SL_BUFFER_INIT;
    for (const char *c = name; *c != 0; c++) {
        sl_buffer_append_byte(&proposal, strchr(BAD_CHARACTERS, *c) != NULL ? '_' : (uint8_t)*c);
    }
    const char *text = sl_buffer_text(&proposal);
    sl_error *error = sl_error_new(
        SL_ERROR_CONFIG,
        "the column name \"%s\"%s%s cannot stand in a Delta table: it holds %s; rename it, for "
        "example to \"%s\"",
        name, where[0] ? " in " : "", where,
        name[bad] == ' '    ? "a space"
        : name[bad] == '\n' ? "a line break"
        : name[bad] == '\t' ? "a tab"
                            : "one of , ; { } ( ) =",
        text == NULL ? "" : text);
    sl_buffer_free(&proposal);
    return error;
}

static sl_error *check_twins(const struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        for (int64_t j = 0; j < i; j++) {
            const char *a = schema->children[j]->name;
            const char *b = schema->children[i]->name;
            if (strcasecmp(a, b) == 0) {
                return sl_error_new(SL_ERROR_CONFIG,
                                    "the columns \"%s\" and \"%s\" %s; rename one, for example to "
                                    "\"%s_2\"",
                                    a, b,
                                    strcmp(a, b) == 0 ? "have one name"
                                                      : "differ only in case, which Delta does "
                                                        "not tell apart",
                                    b);
            }
        }
    }
    return NULL;
}

static sl_error *check_field(const struct ArrowSchema *field);

static sl_error *check_struct(const struct ArrowSchema *schema, const char *where) {
    if (schema->n_children == 0) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s%s has no fields, which Parquet cannot hold; leave it out",
                            where[0] ? "the column " : "the schema", where);
    }
    for (int64_t i = 0; i < schema->n_children; i++) {
        sl_error *error = check_name(schema->children[i]->name, where);
        error = error ? error : check_field(schema->children[i]);
        if (error != NULL) {
            return error;
        }
    }
    return check_twins(schema);
}

static sl_error *check_field(const struct ArrowSchema *field) {
    if (strcmp(field->format, "+s") == 0) {
        return check_struct(field, field->name);
    }
    for (int64_t i = 0; i < field->n_children; i++) {
        const struct ArrowSchema *child = field->children[i];
        bool entries = strcmp(field->format, "+m") == 0;
        for (int64_t j = 0; entries && j < child->n_children; j++) {
            sl_error *error = check_field(child->children[j]);
            if (error != NULL) {
                return error;
            }
        }
        sl_error *error = entries ? NULL : check_field(child);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

sl_error *sl_delta_check_schema(const struct ArrowSchema *schema) {
    sl_error *error = check_struct(schema, "");
    sl_buffer text = SL_BUFFER_INIT;
    error = error ? error : delta_schema_write(schema, &text); /* the types */
    sl_buffer_free(&text);
    return error;
}

/* ---- fitting ---- */

typedef struct fit {
    sl_delta_evolution evolution;
    const char *url;
    bool changed;
} fit;

static sl_error *fit_field(fit *f, const struct ArrowSchema *table, const struct ArrowSchema *input,
                           const char *path);

static sl_error *type_error(const fit *f, const struct ArrowSchema *table,
                            const struct ArrowSchema *input, const char *path) {
    sl_buffer a = SL_BUFFER_INIT;
    sl_buffer b = SL_BUFFER_INIT;
    sl_type_describe(table, &a);
    sl_type_describe(input, &b);
    const char *table_type = sl_buffer_text(&a);
    const char *input_type = sl_buffer_text(&b);
    sl_error *error =
        sl_error_new(SL_ERROR_CONFIG,
                     "%s: the column \"%s\" is %s in the table and %s in the input; cast or rename "
                     "it before the sink",
                     f->url, path, table_type == NULL ? table->format : table_type,
                     input_type == NULL ? input->format : input_type);
    sl_buffer_free(&a);
    sl_buffer_free(&b);
    return error;
}

static int64_t find_folded(const struct ArrowSchema *schema, const char *name) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (strcasecmp(schema->children[i]->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static bool path_append(sl_buffer *out, const char *path, const char *name) {
    return sl_buffer_printf(out, "%s%s%s", path, path[0] ? "." : "", name) &&
           sl_buffer_text(out) != NULL;
}

/* One field of the input against the struct `table`. */
static sl_error *fit_child(fit *f, const struct ArrowSchema *table, const struct ArrowSchema *child,
                           const char *path) {
    sl_buffer whole = SL_BUFFER_INIT;
    if (!path_append(&whole, path, child->name)) {
        sl_buffer_free(&whole);
        return sl_error_no_memory();
    }
    const char *name = (const char *)whole.data;
    int64_t at = find_folded(table, child->name);
    sl_error *error = NULL;
    if (at < 0 && f->evolution == SL_DELTA_STRICT) {
        error = sl_error_new(SL_ERROR_CONFIG,
                             "%s: the table has no column \"%s\", and its schema may not change "
                             "(evolution strict); add the column to the table, drop it before the "
                             "sink, or set evolution to additive",
                             f->url, name);
    } else if (at < 0) {
        f->changed = true;
    } else if (strcmp(table->children[at]->name, child->name) != 0) {
        error = sl_error_new(SL_ERROR_CONFIG,
                             "%s: the input's column \"%s\" differs only in case from the table's "
                             "\"%s\"; rename it so that they are spelt alike",
                             f->url, name, table->children[at]->name);
    } else {
        error = fit_field(f, table->children[at], child, name);
    }
    sl_buffer_free(&whole);
    return error;
}

static sl_error *fit_struct(fit *f, const struct ArrowSchema *table,
                            const struct ArrowSchema *input, const char *path) {
    for (int64_t i = 0; i < input->n_children; i++) {
        sl_error *error = fit_child(f, table, input->children[i], path);
        if (error != NULL) {
            return error;
        }
    }
    for (int64_t i = 0; i < table->n_children; i++) {
        const struct ArrowSchema *field = table->children[i];
        if (!is_nullable(field) && find_folded(input, field->name) < 0) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "%s: the table's column \"%s%s%s\" is NOT NULL and the input does "
                                "not have it",
                                f->url, path, path[0] ? "." : "", field->name);
        }
    }
    return NULL;
}

static bool same_leaf(const struct ArrowSchema *table, const struct ArrowSchema *input) {
    sl_type a;
    sl_type b;
    return sl_type_parse(table->format, &a) && sl_type_parse(input->format, &b) && a.id == b.id &&
           a.width_bytes == b.width_bytes && a.precision == b.precision && a.scale == b.scale &&
           table->n_children == input->n_children;
}

static sl_error *fit_field(fit *f, const struct ArrowSchema *table, const struct ArrowSchema *input,
                           const char *path) {
    bool both_structs = strcmp(table->format, "+s") == 0 && strcmp(input->format, "+s") == 0;
    if (!both_structs && !same_leaf(table, input)) {
        return type_error(f, table, input, path);
    }
    if (!is_nullable(table) && is_nullable(input)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s: the column \"%s\" is NOT NULL in the table and may be null in "
                            "the input",
                            f->url, path);
    }
    if (both_structs) {
        return fit_struct(f, table, input, path);
    }
    for (int64_t i = 0; i < table->n_children; i++) {
        /* a map's entries are a struct of key and value, whatever they are called */
        const struct ArrowSchema *a = table->children[i];
        const struct ArrowSchema *b = input->children[i];
        bool entries = strcmp(table->format, "+m") == 0;
        sl_error *error = NULL;
        for (int64_t j = 0; entries && j < a->n_children && error == NULL; j++) {
            error = fit_field(f, a->children[j], b->children[j], path);
        }
        error = entries ? error : fit_field(f, a, b, path);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

/* ---- demanding ---- */

static bool demand_children(const struct ArrowSchema *table, struct ArrowSchema *field);

static bool demand_field(const struct ArrowSchema *table, struct ArrowSchema *field) {
    bool changed = !is_nullable(table) && is_nullable(field);
    if (changed) {
        field->flags &= ~(int64_t)ARROW_FLAG_NULLABLE;
    }
    return demand_children(table, field) || changed;
}

/* By name in structs, by place in lists and maps; what does not correspond is for the fit to say.
 */
static bool demand_children(const struct ArrowSchema *table, struct ArrowSchema *field) {
    bool by_name = strcmp(table->format, "+s") == 0 && strcmp(field->format, "+s") == 0;
    bool changed = false;
    for (int64_t i = 0; i < field->n_children; i++) {
        int64_t at = by_name ? sl_schema_find(table, field->children[i]->name) : i;
        if (at >= 0 && at < table->n_children) {
            changed = demand_field(table->children[at], field->children[i]) || changed;
        }
    }
    return changed;
}

sl_error *sl_delta_demand(const struct ArrowSchema *table, const struct ArrowSchema *input,
                          bool *changed, struct ArrowSchema *out) {
    sl_error *error = sl_schema_copy(input, out);
    if (error == NULL) {
        *changed = demand_children(table, out);
    }
    return error;
}

/* ---- growing ---- */

/* Everything below a new column is nullable: older files have none of it. */
static void make_nullable(struct ArrowSchema *field) {
    field->flags |= ARROW_FLAG_NULLABLE;
}

static sl_error *grow_field(const struct ArrowSchema *table, const struct ArrowSchema *input,
                            struct ArrowSchema *out);

static sl_error *grow_struct(const struct ArrowSchema *table, const struct ArrowSchema *input,
                             struct ArrowSchema *out) {
    size_t added = 0;
    for (int64_t i = 0; i < input->n_children; i++) {
        added += sl_schema_find(table, input->children[i]->name) < 0;
    }
    struct ArrowSchema grown;
    sl_error *error = sl_schema_new_struct((size_t)table->n_children + added, &grown);
    if (error != NULL) {
        return error;
    }
    for (int64_t i = 0; i < table->n_children && error == NULL; i++) {
        int64_t at = sl_schema_find(input, table->children[i]->name);
        error = at < 0 ? sl_schema_copy(table->children[i], grown.children[i])
                       : grow_field(table->children[i], input->children[at], grown.children[i]);
    }
    int64_t next = table->n_children;
    for (int64_t i = 0; i < input->n_children && error == NULL; i++) {
        if (sl_schema_find(table, input->children[i]->name) < 0) {
            error = sl_schema_copy(input->children[i], grown.children[next]);
            if (error == NULL) {
                make_nullable(grown.children[next++]);
            }
        }
    }
    if (error != NULL) {
        grown.release(&grown);
        return error;
    }
    *out = grown;
    return NULL;
}

/* Children that correspond by place: a list's element, a map's key and value. */
static sl_error *grow_children(const struct ArrowSchema *table, const struct ArrowSchema *input,
                               struct ArrowSchema *copy) {
    for (int64_t i = 0; i < table->n_children; i++) {
        struct ArrowSchema child;
        sl_error *error = grow_field(table->children[i], input->children[i], &child);
        if (error != NULL) {
            return error;
        }
        copy->children[i]->release(copy->children[i]);
        *copy->children[i] = child;
    }
    return NULL;
}

/* A copy of the table's field whose structs have the input's further fields, too. */
static sl_error *grow_field(const struct ArrowSchema *table, const struct ArrowSchema *input,
                            struct ArrowSchema *out) {
    struct ArrowSchema copy;
    sl_error *error = sl_schema_copy(table, &copy);
    if (error != NULL) {
        return error;
    }
    if (strcmp(table->format, "+s") == 0) {
        struct ArrowSchema grown;
        error = grow_struct(table, input, &grown);
        if (error == NULL) { /* the children move; name, flags and metadata stay the copy's */
            struct ArrowSchema **children = copy.children;
            int64_t n = copy.n_children;
            copy.children = grown.children;
            copy.n_children = grown.n_children;
            grown.children = children;
            grown.n_children = n;
            grown.release(&grown);
        }
    }
    if (error == NULL && strcmp(table->format, "+m") == 0) {
        error = grow_children(table->children[0], input->children[0], copy.children[0]);
    } else if (error == NULL && strcmp(table->format, "+l") == 0) {
        error = grow_children(table, input, &copy);
    }
    if (error != NULL) {
        copy.release(&copy);
        return error;
    }
    *out = copy;
    return NULL;
}

sl_error *sl_delta_fit_schema_to(const char *url, const struct ArrowSchema *table,
                                 const struct ArrowSchema *input, sl_delta_evolution evolution,
                                 bool *changed, struct ArrowSchema *merged) {
    fit f = {.evolution = evolution, .url = url};
    sl_error *error = sl_delta_check_schema(input);
    error = error ? error : fit_struct(&f, table, input, "");
    if (error != NULL) {
        return error;
    }
    *changed = f.changed;
    return f.changed ? grow_field(table, input, merged) : NULL;
}

sl_error *sl_delta_fit_schema(const sl_delta_table *table, const struct ArrowSchema *input,
                              sl_delta_evolution evolution, bool *changed,
                              struct ArrowSchema *merged) {
    return sl_delta_fit_schema_to(table->url, &table->schema, input, evolution, changed, merged);
}
