/*
 * Values and the tree of an expression, between its parser and its evaluation.
 */
#ifndef SILVER_EXPRESSION_VALUE_H
#define SILVER_EXPRESSION_VALUE_H

#include "expression.h"

enum value_type {
    VALUE_INTEGER,
    VALUE_NUMBER,
    VALUE_TEXT,
    VALUE_BOOLEAN,
    VALUE_DATE,      /* days since 1970-01-01 */
    VALUE_TIMESTAMP, /* microseconds since 1970-01-01 UTC */
};

struct value {
    bool null;
    int64_t integer; /* also booleans, dates, timestamps */
    double number;
    const uint8_t *text;
    size_t bytes;
};

/*
 * The functions.
 *   X(constant, name, least arguments, most, argument, result)
 * argument: type of each; ANY: of one type, which is also the result's.
 */
#define EXPRESSION_ANY (-1)
#define EXPRESSION_FUNCTION_MAP(X)                                                                 \
    X(FUNCTION_LOWER, "lower", 1, 1, VALUE_TEXT, VALUE_TEXT)                                       \
    X(FUNCTION_UPPER, "upper", 1, 1, VALUE_TEXT, VALUE_TEXT)                                       \
    X(FUNCTION_TRIM, "trim", 1, 1, VALUE_TEXT, VALUE_TEXT)                                         \
    X(FUNCTION_CONCAT, "concat", 1, 8, VALUE_TEXT, VALUE_TEXT)                                     \
    X(FUNCTION_LENGTH, "length", 1, 1, VALUE_TEXT, VALUE_INTEGER)                                  \
    X(FUNCTION_DATE, "date", 1, 1, VALUE_TIMESTAMP, VALUE_DATE)                                    \
    X(FUNCTION_HOUR, "hour", 1, 1, VALUE_TIMESTAMP, VALUE_INTEGER)                                 \
    X(FUNCTION_EPOCH_MS, "epoch_ms", 1, 1, VALUE_TIMESTAMP, VALUE_INTEGER)                         \
    X(FUNCTION_ROUND, "round", 1, 1, VALUE_NUMBER, VALUE_INTEGER)                                  \
    X(FUNCTION_NUMBER, "number", 1, 1, VALUE_NUMBER, VALUE_NUMBER)                                 \
    X(FUNCTION_COALESCE, "coalesce", 2, 8, EXPRESSION_ANY, EXPRESSION_ANY)

enum function {
#define FUNCTION_ENUM(constant, name, least, most, argument, result) constant,
    EXPRESSION_FUNCTION_MAP(FUNCTION_ENUM)
#undef FUNCTION_ENUM
};

enum term_kind {
    TERM_CONSTANT,
    TERM_COLUMN,
    TERM_NEGATE,
    TERM_OPERATOR,
    TERM_CALL,
    TERM_TO_NUMBER
};

#define EXPRESSION_MAX_ARGUMENTS 8
#define EXPRESSION_MAX_PATH 16

struct term {
    enum term_kind kind;
    enum value_type type;
    char op; /* + - * / */
    enum function function;
    uint32_t arguments[EXPRESSION_MAX_ARGUMENTS]; /* indexes of terms */
    uint32_t n_arguments;
    int64_t path[EXPRESSION_MAX_PATH];
    size_t path_steps;
    double scale; /* of a decimal column: 10^scale */
    struct value constant;
    sl_buffer scratch; /* the text of a constant or of the last result */
};

struct silver_expression {
    struct term *terms;
    uint32_t n;
    uint32_t capacity;
    uint32_t root;
};

#endif /* SILVER_EXPRESSION_VALUE_H */
