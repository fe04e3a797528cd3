/*
 * The notation of aggregates: function(column) with the column's path, quantile(column, q).
 */
#include "internal.h"

#include <stdlib.h>

static const struct {
    const char *name;
    function_id function;
} functions[] = {
    {"count", FUNCTION_COUNT},
    {"sum", FUNCTION_SUM},
    {"avg", FUNCTION_AVG},
    {"stddev", FUNCTION_STDDEV},
    {"stddev_samp", FUNCTION_STDDEV},
    {"stddev_pop", FUNCTION_STDDEV_POP},
    {"min", FUNCTION_MIN},
    {"max", FUNCTION_MAX},
    {"count_distinct", FUNCTION_COUNT_DISTINCT},
    {"quantile", FUNCTION_QUANTILE},
    {"first", FUNCTION_FIRST},
    {"last", FUNCTION_LAST},
};
#define ALL_FUNCTIONS                                                                              \
    "count, sum, avg, stddev, stddev_samp, stddev_pop, min, max, count_distinct, quantile, "       \
    "first, last"

static const char *skip_space(const char *at) {
    while (*at == ' ' || *at == '\t') {
        at++;
    }
    return at;
}

static char *copy_trimmed(const char *from, const char *to) {
    from = skip_space(from);
    while (to > from && (to[-1] == ' ' || to[-1] == '\t')) {
        to--;
    }
    size_t bytes = to > from ? (size_t)(to - from) : 0;
    char *copy = malloc(bytes + 1);
    if (copy != NULL) {
        memcpy(copy, from, bytes);
        copy[bytes] = 0;
    }
    return copy;
}

/* The end of a path: the next ',' or ')' outside back quotes, or the end of the text. */
static const char *path_end(const char *at) {
    bool quoted = false;
    while (*at != 0 && (quoted || (*at != ',' && *at != ')'))) {
        quoted = quoted != (*at == '`');
        at++;
    }
    return at;
}

static sl_error *find_function(const char *text, const char *name, function_id *out) {
    const char *names[SL_ARRAY_LENGTH(functions)];
    for (size_t i = 0; i < SL_ARRAY_LENGTH(functions); i++) {
        names[i] = functions[i].name;
        if (strcmp(functions[i].name, name) == 0) {
            *out = functions[i].function;
            return NULL;
        }
    }
    const char *near = sl_nearest_name(name, names, SL_ARRAY_LENGTH(functions));
    return sl_error_new(SL_ERROR_CONFIG,
                        "aggregate \"%s\": there is no function \"%s\"%s%s%s; allowed are "
                        "" ALL_FUNCTIONS,
                        text, name, near == NULL ? "" : " (did you mean \"",
                        near == NULL ? "" : near, near == NULL ? "" : "\"?)");
}

static sl_error *malformed(const char *text, const char *why) {
    return sl_error_new(SL_ERROR_CONFIG,
                        "aggregate \"%s\": %s; write it as \"sum(column)\", \"count()\" or "
                        "\"quantile(column, 0.99)\"",
                        text, why);
}

/* The text between the parentheses, from `at`, to which *after is the end. */
static sl_error *parse_arguments(const char *text, const char *at, expression *out) {
    const char *end = path_end(at);
    out->path = copy_trimmed(at, end);
    if (out->path == NULL) {
        return sl_error_no_memory();
    }
    bool has_second = *end == ',';
    if (has_second) {
        const char *number = skip_space(end + 1);
        char *number_end;
        out->q = strtod(number, &number_end);
        end = skip_space(number_end);
        if (number_end == number || strpbrk(number, "xXnN") != NULL || *end != ')') {
            return malformed(text, "after the comma comes one number and \")\"");
        }
    }
    if (*end != ')') {
        return malformed(text, "the closing \")\" is missing");
    }
    if (*skip_space(end + 1) != 0) {
        return malformed(text, "there is text after the closing \")\"");
    }
    if (has_second != (out->function == FUNCTION_QUANTILE)) {
        return malformed(text, has_second ? "only quantile has a second argument"
                                          : "quantile has two arguments");
    }
    if (has_second && !(out->q >= 0 && out->q <= 1)) {
        return malformed(text, "the quantile must be from 0 to 1");
    }
    return NULL;
}

sl_error *expression_parse(const char *text, expression *out) {
    memset(out, 0, sizeof(*out));
    const char *open = strchr(text, '(');
    if (open == NULL) {
        return malformed(text, "the \"(\" after the function's name is missing");
    }
    char *name = copy_trimmed(text, open);
    if (name == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = find_function(text, name, &out->function);
    free(name);
    if (error == NULL) {
        error = parse_arguments(text, open + 1, out);
    }
    if (error == NULL && out->path[0] == 0) {
        if (out->function == FUNCTION_COUNT) {
            free(out->path);
            out->path = NULL;
        } else {
            error = malformed(text, "the column is missing");
        }
    }
    if (error != NULL) {
        expression_free(out);
    }
    return error;
}

void expression_free(expression *parsed) {
    free(parsed->path);
    parsed->path = NULL;
}

sl_error *sl_window_check_expression(const char *text) {
    expression parsed;
    sl_error *error = expression_parse(text, &parsed);
    if (error == NULL) {
        expression_free(&parsed);
    }
    return error;
}
