/*
 * Parsing expressions, with their types.
 */
#include "expression_value.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 40

struct parser {
    const char *name; /* of the column */
    const char *text;
    const char *at;
    const struct ArrowSchema *columns;
    struct silver_expression *out;
    sl_error *error;
    int depth;
};

static const struct {
    const char *name;
    uint32_t least, most;
    int argument, result;
} functions[] = {
#define FUNCTION_ROW(constant, name, least, most, argument, result)                                \
    [constant] = {name, least, most, argument, result},
    EXPRESSION_FUNCTION_MAP(FUNCTION_ROW)
#undef FUNCTION_ROW
};

static const char *type_name(enum value_type type) {
    static const char *const names[] = {"integer", "number", "string",
                                        "boolean", "date",   "timestamp"};
    return names[type];
}

static uint32_t parse_sum(struct parser *p);

static uint32_t fail(struct parser *p, const char *what) {
    if (p->error == NULL) {
        p->error = sl_error_new(SL_ERROR_CONFIG, "computed column \"%s\": \"%s\", at byte %zu: %s",
                                p->name, p->text, (size_t)(p->at - p->text), what);
    }
    return 0;
}

static struct term *new_term(struct parser *p, enum term_kind kind, enum value_type type,
                             uint32_t *index) {
    struct silver_expression *out = p->out;
    if (out->n == out->capacity) {
        uint32_t capacity = out->capacity == 0 ? 16 : out->capacity * 2;
        struct term *grown = realloc(out->terms, capacity * sizeof(*grown));
        if (grown == NULL) {
            p->error = p->error != NULL ? p->error : sl_error_no_memory();
            return NULL;
        }
        out->terms = grown;
        out->capacity = capacity;
    }
    *index = out->n++;
    struct term *term = &out->terms[*index];
    memset(term, 0, sizeof(*term));
    term->kind = kind;
    term->type = type;
    return term;
}

static void skip_space(struct parser *p) {
    while (isspace((unsigned char)*p->at)) {
        p->at++;
    }
}

static bool take(struct parser *p, char c) {
    skip_space(p);
    if (*p->at != c) {
        return false;
    }
    p->at++;
    return true;
}

static uint32_t parse_text(struct parser *p) {
    uint32_t index = 0;
    struct term *term = new_term(p, TERM_CONSTANT, VALUE_TEXT, &index);
    if (term == NULL) {
        return 0;
    }
    p->at++;
    for (; *p->at != 0 && (*p->at != '\'' || p->at[1] == '\''); p->at++) {
        p->at += *p->at == '\'';
        sl_buffer_append_byte(&term->scratch, (uint8_t)*p->at);
    }
    if (*p->at == 0) {
        return fail(p, "the text has no closing quote");
    }
    p->at++;
    term->constant.text = (const uint8_t *)sl_buffer_text(&term->scratch);
    term->constant.bytes = term->scratch.bytes;
    if (term->constant.text == NULL) {
        p->error = p->error != NULL ? p->error : sl_error_no_memory();
    }
    return index;
}

static uint32_t parse_number(struct parser *p) {
    uint32_t index = 0;
    size_t bytes = strspn(p->at, "0123456789.");
    bool whole = memchr(p->at, '.', bytes) == NULL;
    struct term *term = new_term(p, TERM_CONSTANT, whole ? VALUE_INTEGER : VALUE_NUMBER, &index);
    char *end;
    if (term == NULL) {
        return 0;
    }
    term->constant.number = strtod(p->at, &end);
    bool good = whole ? sl_parse_i64(p->at, bytes, &term->constant.integer) : end == p->at + bytes;
    if (!good) {
        return fail(p, "not a number");
    }
    p->at += bytes;
    return index;
}

static bool column_type(const struct ArrowSchema *column, struct term *term) {
    sl_type type;
    if (!sl_type_parse(column->format, &type)) {
        return false;
    }
    switch (type.id) {
    case SL_TYPE_INT64:
        term->type = VALUE_INTEGER;
        return true;
    case SL_TYPE_DECIMAL128:
        term->scale = pow(10, type.scale);
        term->type = VALUE_NUMBER;
        return true;
    case SL_TYPE_DOUBLE:
        term->type = VALUE_NUMBER;
        return true;
    case SL_TYPE_UTF8:
        term->type = VALUE_TEXT;
        return true;
    case SL_TYPE_BOOL:
        term->type = VALUE_BOOLEAN;
        return true;
    case SL_TYPE_DATE32:
        term->type = VALUE_DATE;
        return true;
    case SL_TYPE_TIMESTAMP_UTC:
        term->type = VALUE_TIMESTAMP;
        return true;
    default:
        return false;
    }
}

static uint32_t parse_column(struct parser *p, const char *first, size_t bytes) {
    uint32_t index = 0;
    char path[512];
    if (bytes >= sizeof(path)) {
        return fail(p, "the name is too long");
    }
    memcpy(path, first, bytes);
    path[bytes] = 0;
    struct term *term = new_term(p, TERM_COLUMN, VALUE_TEXT, &index);
    if (term == NULL) {
        return 0;
    }
    sl_error *error =
        sl_schema_resolve(p->columns, path, term->path, EXPRESSION_MAX_PATH, &term->path_steps);
    if (error != NULL) {
        p->error = sl_error_wrap(error, "computed column \"%s\"", p->name);
        return 0;
    }
    const struct ArrowSchema *column = p->columns;
    for (size_t i = 0; i < term->path_steps; i++) {
        column = column->children[term->path[i]];
    }
    if (!column_type(column, term)) {
        return fail(p, "a column of this type cannot be computed with");
    }
    return index;
}

/* Makes a number of an integer. */
static uint32_t to_number(struct parser *p, uint32_t index) {
    if (p->error != NULL || p->out->terms[index].type != VALUE_INTEGER) {
        return index;
    }
    uint32_t converted = index;
    struct term *term = new_term(p, TERM_TO_NUMBER, VALUE_NUMBER, &converted);
    if (term != NULL) {
        term->arguments[0] = index;
        term->n_arguments = 1;
    }
    return converted;
}

static uint32_t check_call(struct parser *p, uint32_t index) {
    struct term *term = &p->out->terms[index];
    enum function function = term->function;
    if (term->n_arguments < functions[function].least) {
        return fail(p, "too few arguments");
    }
    int wanted = functions[function].argument;
    if (wanted == EXPRESSION_ANY) {
        wanted = (int)p->out->terms[term->arguments[0]].type;
        term->type = (enum value_type)wanted;
    }
    for (uint32_t i = 0; i < p->out->terms[index].n_arguments; i++) {
        uint32_t argument = p->out->terms[index].arguments[i];
        if (wanted == VALUE_NUMBER) { /* may move the terms */
            argument = to_number(p, argument);
            p->out->terms[index].arguments[i] = argument;
        }
        if (p->error == NULL && (int)p->out->terms[argument].type != wanted) {
            char text[160];
            snprintf(text, sizeof(text), "%s takes a %s here, found a %s", functions[function].name,
                     type_name((enum value_type)wanted), type_name(p->out->terms[argument].type));
            return fail(p, text);
        }
    }
    return index;
}

static uint32_t parse_call(struct parser *p, const char *name, size_t bytes) {
    uint32_t index = 0;
    size_t function = 0;
    while (function < SL_ARRAY_LENGTH(functions) &&
           !(strlen(functions[function].name) == bytes &&
             memcmp(functions[function].name, name, bytes) == 0)) {
        function++;
    }
    if (function == SL_ARRAY_LENGTH(functions)) {
        p->at = name;
        return fail(p, "no such function; there are lower, upper, trim, concat, length, date, "
                       "hour, epoch_ms, round, number, coalesce");
    }
    struct term *term = new_term(p, TERM_CALL, (enum value_type)functions[function].result, &index);
    if (term == NULL) {
        return 0;
    }
    term->function = (enum function)function;
    do {
        uint32_t argument = parse_sum(p);
        if (p->error != NULL) {
            return 0;
        }
        term = &p->out->terms[index];
        if (term->n_arguments == functions[function].most) {
            return fail(p, "too many arguments");
        }
        term->arguments[term->n_arguments++] = argument;
    } while (take(p, ','));
    return take(p, ')') ? check_call(p, index) : fail(p, "expected ')' or ','");
}

static uint32_t parse_primary(struct parser *p) {
    skip_space(p);
    if (take(p, '(')) {
        uint32_t inner = parse_sum(p);
        return p->error != NULL || take(p, ')') ? inner : fail(p, "expected ')'");
    }
    if (*p->at == '\'') {
        return parse_text(p);
    }
    if (isdigit((unsigned char)*p->at)) {
        return parse_number(p);
    }
    const char *first = p->at;
    while (isalnum((unsigned char)*p->at) || *p->at == '_' || *p->at == '.' || *p->at == '`' ||
           (unsigned char)*p->at >= 0x80) {
        if (*p->at == '`') {
            const char *close = strchr(p->at + 1, '`');
            if (close == NULL) {
                return fail(p, "the name has no closing back quote");
            }
            p->at = close;
        }
        p->at++;
    }
    size_t bytes = (size_t)(p->at - first);
    if (bytes == 0) {
        return fail(p, "expected a column, a number, a 'text', a function or '('");
    }
    return take(p, '(') ? parse_call(p, first, bytes) : parse_column(p, first, bytes);
}

static uint32_t parse_unary(struct parser *p) {
    if (++p->depth > MAX_DEPTH) {
        return fail(p, "nested too deeply");
    }
    uint32_t index;
    if (take(p, '-')) {
        uint32_t inner = parse_unary(p);
        enum value_type type = p->error != NULL ? VALUE_INTEGER : p->out->terms[inner].type;
        if (p->error == NULL && type > VALUE_NUMBER) {
            fail(p, "'-' is for numbers");
        }
        struct term *term = p->error != NULL ? NULL : new_term(p, TERM_NEGATE, type, &index);
        if (term == NULL) {
            return 0;
        }
        term->arguments[0] = inner;
        term->n_arguments = 1;
    } else {
        index = parse_primary(p);
    }
    p->depth--;
    return index;
}

static uint32_t combine(struct parser *p, char op, uint32_t left, uint32_t right) {
    uint32_t index = 0;
    if (p->error != NULL) {
        return 0;
    }
    enum value_type a = p->out->terms[left].type, b = p->out->terms[right].type;
    if (a > VALUE_NUMBER || b > VALUE_NUMBER) {
        char text[160];
        snprintf(text, sizeof(text), "'%c' is for numbers, found a %s and a %s", op, type_name(a),
                 type_name(b));
        return fail(p, text);
    }
    bool number = a == VALUE_NUMBER || b == VALUE_NUMBER || op == '/';
    if (number) {
        left = to_number(p, left);
        right = to_number(p, right);
    }
    struct term *term = new_term(p, TERM_OPERATOR, number ? VALUE_NUMBER : VALUE_INTEGER, &index);
    if (term != NULL) {
        term->op = op;
        term->arguments[0] = left;
        term->arguments[1] = right;
        term->n_arguments = 2;
    }
    return index;
}

static uint32_t parse_product(struct parser *p) {
    uint32_t left = parse_unary(p);
    while (p->error == NULL) {
        char op = take(p, '*') ? '*' : take(p, '/') ? '/' : 0;
        if (op == 0) {
            break;
        }
        left = combine(p, op, left, parse_unary(p));
    }
    return left;
}

static uint32_t parse_sum(struct parser *p) {
    uint32_t left = parse_product(p);
    while (p->error == NULL) {
        char op = take(p, '+') ? '+' : take(p, '-') ? '-' : 0;
        if (op == 0) {
            break;
        }
        left = combine(p, op, left, parse_product(p));
    }
    return left;
}

sl_error *expression_parse(const char *name, const char *text, const struct ArrowSchema *columns,
                           struct silver_expression **out) {
    struct silver_expression *expression = calloc(1, sizeof(*expression));
    if (expression == NULL) {
        return sl_error_no_memory();
    }
    struct parser p = {name, text, text, columns, expression, NULL, 0};
    expression->root = parse_sum(&p);
    skip_space(&p);
    if (p.error == NULL && *p.at != 0) {
        fail(&p, "expected an operator or the end");
    }
    if (p.error != NULL) {
        expression_free(expression);
        return p.error;
    }
    *out = expression;
    return NULL;
}

void expression_free(struct silver_expression *expression) {
    if (expression != NULL) {
        for (uint32_t i = 0; i < expression->n; i++) {
            sl_buffer_free(&expression->terms[i].scratch);
        }
        free(expression->terms);
        free(expression);
    }
}

const char *expression_format(const struct silver_expression *expression) {
    static const char *const formats[] = {"l", "g", "u", "b", "tdD", "tsu:UTC"};
    return formats[expression->terms[expression->root].type];
}
