/*
 * Lenient conversions: which ones a column takes, by the options. They apply to the value as it was
 * read, before the schema's checks, which then judge the converted value.
 */
#include "json/plan.h"

static const struct {
    const char *name;
    uint32_t kinds; /* bits of slj_plan_kind */
} coercions[] = {
    [SL_JSON_COERCE_STRING_TO_INTEGER] = {"string->integer", 1u << SLJ_PLAN_INTEGER},
    [SL_JSON_COERCE_STRING_TO_NUMBER] = {"string->number",
                                         1u << SLJ_PLAN_NUMBER | 1u << SLJ_PLAN_DECIMAL},
    [SL_JSON_COERCE_STRING_TO_BOOLEAN] = {"string->boolean", 1u << SLJ_PLAN_BOOLEAN},
    [SL_JSON_COERCE_INTEGER_TO_BOOLEAN] = {"integer->boolean", 1u << SLJ_PLAN_BOOLEAN},
    [SL_JSON_COERCE_NUMBER_TO_STRING] = {"number->string", 1u << SLJ_PLAN_STRING},
    [SL_JSON_COERCE_BOOLEAN_TO_STRING] = {"boolean->string", 1u << SLJ_PLAN_STRING},
    [SL_JSON_COERCE_EPOCH_S] = {"epoch_s->date-time", 1u << SLJ_PLAN_TIMESTAMP},
    [SL_JSON_COERCE_EPOCH_MS] = {"epoch_ms->date-time", 1u << SLJ_PLAN_TIMESTAMP},
    [SL_JSON_COERCE_EPOCH_US] = {"epoch_us->date-time", 1u << SLJ_PLAN_TIMESTAMP},
    [SL_JSON_COERCE_EMPTY_TO_NULL] = {"empty->null", UINT32_MAX},
};

static bool find_coercion(const char *name, size_t bytes, size_t *index) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(coercions); i++) {
        if (strlen(coercions[i].name) == bytes && memcmp(coercions[i].name, name, bytes) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

static sl_error *unknown_coercion(const char *column, const char *name, size_t bytes,
                                  const slj_plan *plan) {
    sl_buffer allowed = SL_BUFFER_INIT;
    for (size_t i = 0; i < SL_ARRAY_LENGTH(coercions); i++) {
        if (coercions[i].kinds & (1u << plan->kind)) {
            sl_buffer_printf(&allowed, "%s\"%s\"", allowed.bytes == 0 ? "" : ", ",
                             coercions[i].name);
        }
    }
    const char *list = sl_buffer_text(&allowed);
    sl_error *error = sl_error_new(
        SL_ERROR_CONFIG, "coercion of \"%s\": found \"%.*s\", allowed for this column: %s", column,
        (int)bytes, name, list == NULL ? "" : list);
    sl_buffer_free(&allowed);
    return error;
}

/* The plan at a path of child indexes; of a list, that of its items. NULL for _rescued_data. */
static slj_plan *plan_of_column(slj_plan *plan, const int64_t *path, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (path[i] >= plan->n_fields) {
            return NULL;
        }
        plan = plan->fields[path[i]].plan;
    }
    while (plan->kind == SLJ_PLAN_LIST) {
        plan = plan->item;
    }
    return plan;
}

sl_error *slj_plan_coerce(sl_json_schema *out, const sl_json_options *options) {
    for (size_t i = 0; options != NULL && i < options->n_coercions; i++) {
        const sl_json_coercion *given = &options->coercions[i];
        int64_t path[SLJ_MAX_PATH];
        size_t n = 0;
        sl_error *error = sl_schema_resolve(&out->columns, given->column, path, SLJ_MAX_PATH, &n);
        if (error != NULL) {
            return sl_error_wrap(error, "coercion");
        }
        if (out->beyond != NULL) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "coercion of \"%s\": not possible with this schema, because its "
                                "`%s` is checked on the record as it was received",
                                given->column, out->beyond);
        }
        slj_plan *plan = plan_of_column(out->root, path, n);
        if (plan == NULL) {
            return sl_error_new(SL_ERROR_CONFIG, "coercion of \"%s\": it is no property",
                                given->column);
        }
        for (const char *name = given->name; *name != 0;) {
            size_t bytes = strcspn(name, ","), index;
            if (!find_coercion(name, bytes, &index) ||
                !(coercions[index].kinds & (1u << plan->kind))) {
                return unknown_coercion(given->column, name, bytes, plan);
            }
            plan->coercions |= 1u << index;
            name += bytes + (name[bytes] == ',');
        }
    }
    return NULL;
}
