/*
 * Plans: resolves and types the columns, shares accumulators between aggregates, lays out a row's
 * state, makes the schema of results.
 */
#include <stdlib.h>

#define XXH_INLINE_ALL
#include "internal.h"

#include <xxhash.h>

#define MAX_HOPS 1000 /* windows that one row may be in */

/* What building needs beside the plan. */
typedef struct plan_maker {
    const struct ArrowSchema *rows;
    sl_window_plan *plan;
    sl_buffer identity; /* what the fingerprint is made of */
} plan_maker;

static const struct ArrowSchema *field_at(const struct ArrowSchema *rows,
                                          const plan_column *column) {
    const struct ArrowSchema *field = rows;
    for (size_t i = 0; i < column->depth; i++) {
        field = field->children[column->path[i]];
    }
    return field;
}

static sl_error *type_error(const plan_maker *maker, const plan_column *column, const char *what,
                            const char *path, const char *allowed) {
    sl_buffer type = SL_BUFFER_INIT;
    (void)sl_type_describe(field_at(maker->rows, column), &type);
    const char *text = sl_buffer_text(&type);
    sl_error *error = sl_error_new(SL_ERROR_CONFIG, "%s: column \"%s\" is of type %s; allowed %s",
                                   what, path, text == NULL ? "?" : text, allowed);
    sl_buffer_free(&type);
    return error;
}

static sl_error *resolve(const plan_maker *maker, const char *what, const char *path,
                         plan_column *out) {
    sl_error *error = sl_schema_resolve(maker->rows, path, out->path, MAX_PATH, &out->depth);
    if (error != NULL) {
        return sl_error_wrap(error, "%s", what);
    }
    const struct ArrowSchema *field = field_at(maker->rows, out);
    if (!sl_type_parse(field->format, &out->type) || !value_class_of(&out->type, &out->class)) {
        return type_error(maker, out, what, path, "are columns that are not nested");
    }
    return NULL;
}

static sl_error *resolve_time(const plan_maker *maker, const char *what, const char *path,
                              plan_column *out) {
    sl_error *error = resolve(maker, what, path, out);
    if (error == NULL && out->type.id != SL_TYPE_TIMESTAMP_UTC &&
        out->type.id != SL_TYPE_TIMESTAMP_NTZ) {
        error = type_error(maker, out, what, path,
                           "are timestamps (\"format\": \"date-time\" in a JSON Schema)");
    }
    return error;
}

/* ---- accumulators ---- */

static bool is_integer(const sl_type *type) {
    return type->id >= SL_TYPE_INT8 && type->id <= SL_TYPE_UINT64;
}
static bool is_floating(const sl_type *type) {
    return type->id == SL_TYPE_FLOAT || type->id == SL_TYPE_DOUBLE;
}

static bool same_column(const plan_column *a, const plan_column *b) {
    return a->depth == b->depth && memcmp(a->path, b->path, a->depth * sizeof(a->path[0])) == 0;
}

static sl_error *add_column(plan_maker *maker, const plan_column *column, size_t *index) {
    sl_window_plan *plan = maker->plan;
    for (size_t i = 0; i < plan->n_columns; i++) {
        if (same_column(&plan->columns[i], column)) {
            *index = i;
            return NULL;
        }
    }
    if (plan->n_columns == MAX_COLUMNS) {
        return sl_error_new(SL_ERROR_CONFIG, "aggregates: more than %d different input columns",
                            MAX_COLUMNS);
    }
    *index = plan->n_columns;
    plan->columns[plan->n_columns++] = *column;
    return NULL;
}

/* The accumulator of this kind and column, made when there is none. The array has room. */
static size_t add_accumulator(plan_maker *maker, accumulator_kind kind, size_t column,
                              const char *path, const char *format) {
    sl_window_plan *plan = maker->plan;
    for (size_t i = 0; i < plan->n_accumulators; i++) {
        if (plan->accumulators[i].kind == kind &&
            (kind == ACCUMULATE_ROWS || plan->accumulators[i].column == column)) {
            return i;
        }
    }
    plan->accumulators[plan->n_accumulators] = (accumulator){kind, column, plan->state_bytes};
    plan->state_bytes += accumulator_bytes(kind);
    sl_buffer_printf(&maker->identity, "a %d %s %s\n", (int)kind, path == NULL ? "" : path,
                     format == NULL ? "" : format);
    return plan->n_accumulators++;
}

static accumulator_kind kind_of(function_id function, const sl_type *type) {
    switch (function) {
    case FUNCTION_COUNT:
        return ACCUMULATE_COUNT;
    case FUNCTION_MIN:
        return ACCUMULATE_MIN;
    case FUNCTION_MAX:
        return ACCUMULATE_MAX;
    case FUNCTION_COUNT_DISTINCT:
        return ACCUMULATE_DISTINCT;
    case FUNCTION_QUANTILE:
        return ACCUMULATE_SKETCH;
    case FUNCTION_FIRST:
        return ACCUMULATE_FIRST;
    case FUNCTION_LAST:
        return ACCUMULATE_LAST;
    default:
        return is_floating(type) ? ACCUMULATE_DOUBLE_SUM : ACCUMULATE_SUM;
    }
}

static bool needs_number(function_id function) {
    return function == FUNCTION_SUM || function == FUNCTION_AVG || function == FUNCTION_STDDEV ||
           function == FUNCTION_STDDEV_POP || function == FUNCTION_QUANTILE;
}

/* The Arrow format of an aggregate's result; `scratch` has room for 32 bytes. */
static const char *result_format(function_id function, const sl_type *type,
                                 const char *input_format, char *scratch) {
    switch (function) {
    case FUNCTION_COUNT:
    case FUNCTION_COUNT_DISTINCT:
        return "l";
    case FUNCTION_MIN:
    case FUNCTION_MAX:
    case FUNCTION_FIRST:
    case FUNCTION_LAST:
        return input_format;
    case FUNCTION_SUM:
        break;
    default:
        return "g";
    }
    if (is_floating(type)) {
        return "g";
    }
    if (is_integer(type)) {
        return type->id == SL_TYPE_UINT64 ? "d:38,0" : "l";
    }
    sl_buffer text = {(uint8_t *)scratch, 0, 32, false};
    int precision = type->precision + 10 > 38 ? 38 : type->precision + 10;
    (void)sl_buffer_printf(&text, "d:%d,%d", precision, type->scale);
    return scratch;
}

static sl_error *add_aggregate(plan_maker *maker, const sl_window_aggregate *aggregate,
                               const expression *parsed, size_t child) {
    sl_window_plan *plan = maker->plan;
    plan_result *result = &plan->results[plan->n_results];
    *result = (plan_result){.function = parsed->function, .q = parsed->q};
    sl_buffer what = SL_BUFFER_INIT;
    sl_buffer_printf(&what, "aggregate \"%s\": \"%s\"", aggregate->name, aggregate->expression);
    const char *where = sl_buffer_text(&what);
    plan_column column = {0};
    size_t index = 0;
    sl_error *error = where == NULL ? sl_error_no_memory() : NULL;
    const char *format = NULL;
    if (error == NULL && parsed->path != NULL) {
        error = resolve(maker, where, parsed->path, &column);
        if (error == NULL && needs_number(parsed->function) && !is_integer(&column.type) &&
            !is_floating(&column.type) && column.type.id != SL_TYPE_DECIMAL128) {
            error = type_error(maker, &column, where, parsed->path,
                               "are integers, decimals, float and double");
        }
        error = error != NULL ? error : add_column(maker, &column, &index);
        format = error == NULL ? field_at(maker->rows, &column)->format : NULL;
    }
    sl_buffer_free(&what);
    if (error != NULL) {
        return error;
    }
    accumulator_kind kind =
        parsed->path == NULL ? ACCUMULATE_ROWS : kind_of(parsed->function, &column.type);
    result->sum = add_accumulator(maker, kind, index, parsed->path, format);
    if (parsed->function == FUNCTION_STDDEV || parsed->function == FUNCTION_STDDEV_POP) {
        accumulator_kind squares =
            is_floating(&column.type) ? ACCUMULATE_DOUBLE_SQUARES : ACCUMULATE_SQUARES;
        result->squares = add_accumulator(maker, squares, index, parsed->path, format);
    }
    result->scale = column.type.scale;
    plan->n_results++;
    char scratch[32];
    const char *out_format = result_format(parsed->function, &column.type, format, scratch);
    (void)sl_type_parse(out_format, &result->type);
    bool nullable =
        parsed->function != FUNCTION_COUNT && parsed->function != FUNCTION_COUNT_DISTINCT;
    return sl_schema_set_field(&plan->schema, child, aggregate->name, out_format, nullable, 0);
}

static sl_error *add_aggregates(plan_maker *maker, const sl_window_config *config) {
    sl_window_plan *plan = maker->plan;
    plan->accumulators = calloc(config->n_aggregates * 2 + 1, sizeof(*plan->accumulators));
    plan->results = calloc(config->n_aggregates + 1, sizeof(*plan->results));
    if (plan->accumulators == NULL || plan->results == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = NULL;
    for (size_t i = 0; i < config->n_aggregates && error == NULL; i++) {
        expression parsed;
        error = expression_parse(config->aggregates[i].expression, &parsed);
        if (error != NULL) {
            return sl_error_wrap(error, "aggregates.%s", config->aggregates[i].name);
        }
        error = add_aggregate(maker, &config->aggregates[i], &parsed, 2 + plan->n_groups + i);
        expression_free(&parsed);
    }
    return error;
}

/* ---- groups ---- */

/* "session.page" becomes "session_page"; back quotes go, what they quote stays as it is. */
static void group_name(const char *path, sl_buffer *out) {
    bool quoted = false;
    for (const char *at = path; *at != 0; at++) {
        if (*at == '`') {
            quoted = !quoted;
        } else {
            sl_buffer_append_byte(out, *at == '.' && !quoted ? '_' : (uint8_t)*at);
        }
    }
}

static sl_error *add_groups(plan_maker *maker, const sl_window_config *config) {
    sl_window_plan *plan = maker->plan;
    if (config->n_group_by > MAX_COLUMNS) {
        return sl_error_new(SL_ERROR_CONFIG, "group_by: more than %d columns", MAX_COLUMNS);
    }
    for (size_t i = 0; i < config->n_group_by; i++) {
        const char *path = config->group_by[i];
        plan_column *column = &plan->groups[i];
        sl_error *error = resolve(maker, "group_by", path, column);
        if (error == NULL && column->class == VALUE_DOUBLE) {
            error = type_error(maker, column, "group_by", path,
                               "are types with exact values: round it in a computed column first");
        }
        if (error != NULL) {
            return error;
        }
        const struct ArrowSchema *field = field_at(maker->rows, column);
        sl_buffer name = SL_BUFFER_INIT;
        group_name(path, &name);
        const char *text = sl_buffer_text(&name);
        /* a field of a struct that may be null may be null, so the group may */
        error = text == NULL
                    ? sl_error_no_memory()
                    : sl_schema_set_field(&plan->schema, 2 + i, text, field->format, true, 0);
        sl_buffer_free(&name);
        if (error != NULL) {
            return error;
        }
        plan->n_groups++;
        sl_buffer_printf(&maker->identity, "g %s %s\n", path, field->format);
    }
    return NULL;
}

/* ---- the result's schema ---- */

static sl_error *check_names(const struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        const char *name = schema->children[i]->name;
        if (sl_schema_find(schema, name) != i) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "two columns of the result would be called \"%s\"; give each "
                                "aggregate a name that no group column has and that is not "
                                "window_start or window_end",
                                name);
        }
    }
    return NULL;
}

static sl_error *set_key(sl_window_plan *plan) {
    sl_buffer key = SL_BUFFER_INIT;
    sl_buffer_append_text(&key, "window_start");
    for (size_t i = 0; i < plan->n_groups; i++) {
        sl_buffer_printf(&key, ",%s", plan->schema.children[2 + i]->name);
    }
    const char *names[] = {"sluice.key"};
    const char *values[] = {sl_buffer_text(&key)};
    sl_error *error = values[0] == NULL ? sl_error_no_memory()
                                        : sl_schema_set_metadata(&plan->schema, names, values, 1);
    sl_buffer_free(&key);
    return error;
}

static sl_error *check_window(const sl_window_config *config) {
    char size[32];
    char every[32];
    if (config->size_us <= 0 || (config->kind == SL_WINDOW_HOPPING &&
                                 (config->every_us <= 0 || config->every_us > config->size_us))) {
        return sl_error_new(
            SL_ERROR_CONFIG,
            "window: a size of %s%s%s; sizes and gaps are above 0, and \"every\" is "
            "from above 0 to \"size\"",
            sl_format_duration(config->size_us, size),
            config->kind == SL_WINDOW_HOPPING ? " every " : "",
            config->kind == SL_WINDOW_HOPPING ? sl_format_duration(config->every_us, every) : "");
    }
    if (config->kind == SL_WINDOW_HOPPING && config->size_us / config->every_us > MAX_HOPS) {
        return sl_error_new(
            SL_ERROR_CONFIG,
            "window: a size of %s every %s puts each row into more than %d windows; "
            "make \"every\" longer",
            sl_format_duration(config->size_us, size), sl_format_duration(config->every_us, every),
            MAX_HOPS);
    }
    if (config->lateness_us < 0 || config->max_ahead_us < 0 ||
        config->lateness_us > INT64_MAX / 4 || config->size_us > INT64_MAX / 8) {
        return sl_error_new(SL_ERROR_CONFIG, "window: size, lateness or max_ahead is out of range");
    }
    return NULL;
}

static sl_error *build(plan_maker *maker, const sl_window_config *config) {
    sl_window_plan *plan = maker->plan;
    sl_error *error = check_window(config);
    if (error != NULL) {
        return error;
    }
    plan->kind = config->kind;
    plan->size_us = config->size_us;
    plan->every_us = config->kind == SL_WINDOW_HOPPING ? config->every_us : config->size_us;
    plan->lateness_us = config->lateness_us;
    plan->max_ahead_us = config->max_ahead_us;
    plan->has_record_time = config->record_time != NULL && config->max_ahead_us > 0;
    sl_buffer_printf(&maker->identity, "w %d %lld %lld %s\n", (int)plan->kind,
                     (long long)plan->size_us, (long long)plan->every_us, config->time);
    error = resolve_time(maker, "time", config->time, &plan->time);
    if (error == NULL && plan->has_record_time) {
        error = resolve_time(maker, "record_time", config->record_time, &plan->record_time);
    }
    error = error != NULL ? error
                          : sl_schema_new_struct(2 + config->n_group_by + config->n_aggregates,
                                                 &plan->schema);
    const char *utc = "tsu:UTC";
    error = error != NULL ? error
                          : sl_schema_set_field(&plan->schema, 0, "window_start", utc, false, 0);
    error =
        error != NULL ? error : sl_schema_set_field(&plan->schema, 1, "window_end", utc, false, 0);
    error = error != NULL ? error : add_groups(maker, config);
    error = error != NULL ? error : add_aggregates(maker, config);
    error = error != NULL ? error : check_names(&plan->schema);
    error = error != NULL ? error : set_key(plan);
    if (error == NULL && maker->identity.failed) {
        error = sl_error_no_memory();
    }
    if (error == NULL) {
        plan->fingerprint = XXH3_64bits(maker->identity.data, maker->identity.bytes);
    }
    return error;
}

sl_error *sl_window_plan_new(const struct ArrowSchema *rows, const sl_window_config *config,
                             sl_window_plan **out) {
    plan_maker maker = {rows, calloc(1, sizeof(sl_window_plan)), SL_BUFFER_INIT};
    if (maker.plan == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = build(&maker, config);
    sl_buffer_free(&maker.identity);
    if (error != NULL) {
        sl_window_plan_free(maker.plan);
        return error;
    }
    *out = maker.plan;
    return NULL;
}

void sl_window_plan_free(sl_window_plan *plan) {
    if (plan == NULL) {
        return;
    }
    if (plan->schema.release != NULL) {
        plan->schema.release(&plan->schema);
    }
    free(plan->accumulators);
    free(plan->results);
    free(plan);
}

const struct ArrowSchema *sl_window_plan_results(const sl_window_plan *plan) {
    return &plan->schema;
}

uint64_t sl_window_plan_fingerprint(const sl_window_plan *plan) {
    return plan->fingerprint;
}
