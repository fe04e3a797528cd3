/*
 * Computed columns: small expressions over the columns of a row.
 *
 *   amount * quantity        + - * / on numbers, parentheses; integers stay integers but under /
 *   lower(country)           functions, see EXPRESSION_FUNCTION_MAP in expression_value.h
 *   concat(id, '-', page)    'text' in single quotes, '' for one of them inside
 *   session.duration_ms      a dotted path; `a.b` in back quotes is one name
 *
 * Null in, null out (but for coalesce); an integer that overflows and a division by 0 are null.
 */
#ifndef SILVER_EXPRESSION_H
#define SILVER_EXPRESSION_H

#include "base/base.h"
#include "columns/columns.h"

struct silver_expression;

/* `name` is the new column's, for messages. One thread at a time: it holds scratch memory. Errors:
 * CONFIG with the place in the text. */
sl_error *expression_parse(const char *name, const char *text, const struct ArrowSchema *columns,
                           struct silver_expression **out);
void expression_free(struct silver_expression *expression);

/* The Arrow format of the result; static. */
const char *expression_format(const struct silver_expression *expression);

/* Computes row `row` of `columns` and appends it to `out`; false when memory is short. */
bool expression_append(struct silver_expression *expression, const sl_builder *columns, int64_t row,
                       sl_builder *out);

#endif /* SILVER_EXPRESSION_H */
