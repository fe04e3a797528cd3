/*
 * sl_json_schema: a schema's set, its plan, and the columns as an Arrow schema.
 */
#include <stdio.h>
#include <stdlib.h>

#include "json/options.h"
#include "json/plan.h"

#define RESCUED "_rescued_data"

static sl_error *set_column(struct ArrowSchema *parent, size_t index, const char *name,
                            bool nullable, const slj_plan *plan);

static sl_error *set_children(struct ArrowSchema *parent, const slj_plan *plan) {
    sl_error *error = NULL;
    for (uint32_t i = 0; i < plan->n_fields && error == NULL; i++) {
        const slj_field *field = &plan->fields[i];
        bool required = (plan->required[i / 64] >> (i % 64) & 1) != 0;
        char *name = strndup((const char *)field->name, field->name_bytes);
        error = name == NULL
                    ? sl_error_no_memory()
                    : set_column(parent, i, name, !required || field->plan->nullable, field->plan);
        free(name);
    }
    return error;
}

static sl_error *set_column(struct ArrowSchema *parent, size_t index, const char *name,
                            bool nullable, const slj_plan *plan) {
    static const char *const formats[] = {
        [SLJ_PLAN_STRING] = "u",          [SLJ_PLAN_INTEGER] = "l", [SLJ_PLAN_NUMBER] = "g",
        [SLJ_PLAN_BOOLEAN] = "b",         [SLJ_PLAN_DATE] = "tdD",  [SLJ_PLAN_STRUCT] = "+s",
        [SLJ_PLAN_TIMESTAMP] = "tsu:UTC", [SLJ_PLAN_LIST] = "+l",   [SLJ_PLAN_TEXT] = "u",
        [SLJ_PLAN_DECIMAL] = ""};
    char decimal[32];
    const char *format = formats[plan->kind];
    if (plan->kind == SLJ_PLAN_DECIMAL) {
        snprintf(decimal, sizeof decimal, "d:%d,%d", plan->precision, plan->scale);
        format = decimal;
    }
    size_t n = plan->kind == SLJ_PLAN_STRUCT ? plan->n_fields : plan->kind == SLJ_PLAN_LIST;
    sl_error *error = sl_schema_set_field(parent, index, name, format, nullable, n);
    if (error != NULL) {
        return error;
    }
    struct ArrowSchema *own = parent->children[index];
    if (plan->kind == SLJ_PLAN_LIST) {
        return set_column(own, 0, "element", plan->item->nullable, plan->item);
    }
    return plan->kind == SLJ_PLAN_STRUCT ? set_children(own, plan) : NULL;
}

static sl_error *make_columns(sl_json_schema *schema) {
    const slj_plan *root = schema->root;
    sl_error *error = sl_schema_new_struct(root->n_fields + schema->rescue, &schema->columns);
    if (error == NULL) {
        error = set_children(&schema->columns, root);
    }
    if (error != NULL || !schema->rescue) {
        return error;
    }
    if (sl_schema_find(&schema->columns, RESCUED) >= 0) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "schema $.properties: \"" RESCUED "\" is the name of the column that "
                            "`rescue` adds; rename the property or leave `rescue` out");
    }
    return sl_schema_set_field(&schema->columns, root->n_fields, RESCUED, "u", true, 0);
}

sl_error *sl_json_schema_compile(const char *text, size_t bytes, const sl_json_options *options,
                                 sl_json_schema **out) {
    slj_limits limits;
    sl_error *error = slj_limits_read(options, &limits);
    sl_json_schema *schema = error == NULL ? calloc(1, sizeof *schema) : NULL;
    if (schema == NULL) {
        return error != NULL ? error : sl_error_no_memory();
    }
    schema->max_value_bytes = limits.max_value_bytes;
    schema->max_depth = limits.max_depth;
    schema->duplicates = options == NULL ? SL_JSON_DUPLICATES_REJECT : options->duplicates;
    schema->rescue = options != NULL && options->rescue;
    error = slj_set_new(options, &schema->set);
    if (error == NULL) {
        error = slj_set_load(schema->set, text, bytes, &schema->root_schema);
    }
    if (error == NULL) {
        error = slj_plan_make(schema, limits.max_depth);
    }
    if (error == NULL) {
        error = make_columns(schema);
    }
    if (error == NULL) {
        error = slj_plan_coerce(schema, options);
    }
    if (error != NULL) {
        sl_json_schema_free(schema);
        return error;
    }
    *out = schema;
    return NULL;
}

void sl_json_schema_free(sl_json_schema *schema) {
    if (schema == NULL) {
        return;
    }
    if (schema->columns.release != NULL) {
        schema->columns.release(&schema->columns);
    }
    slj_set_free(schema->set);
    free(schema);
}

const struct ArrowSchema *sl_json_schema_columns(const sl_json_schema *schema) {
    return &schema->columns;
}

bool sl_json_schema_needs_validator(const sl_json_schema *schema, const char **keyword) {
    if (keyword != NULL) {
        *keyword = schema->beyond;
    }
    return schema->beyond != NULL;
}
