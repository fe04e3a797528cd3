/*
 * Computing expressions, row by row.
 */
#include "expression_value.h"

#include <math.h>
#include <string.h>

#define US_PER_DAY INT64_C(86400000000)
#define US_PER_HOUR INT64_C(3600000000)

static bool evaluate(struct silver_expression *e, uint32_t index, const sl_builder *columns,
                     int64_t row, struct value *out);

static int64_t floor_divide(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static void read_column(const struct term *term, const sl_builder *column, int64_t row,
                        struct value *out) {
    for (size_t i = 0; i < term->path_steps; i++) {
        column = &column->children[term->path[i]];
        if (column->null_count > 0 && !sl_bit_get(column->validity, row)) {
            out->null = true;
            return;
        }
    }
    __extension__ __int128 wide;
    int32_t days;
    switch (column->type.id) {
    case SL_TYPE_UTF8:
        out->text = column->data + column->offsets[row];
        out->bytes = (size_t)(column->offsets[row + 1] - column->offsets[row]);
        break;
    case SL_TYPE_DOUBLE:
        memcpy(&out->number, column->data + row * 8, 8);
        break;
    case SL_TYPE_DECIMAL128:
        memcpy(&wide, column->data + row * 16, 16);
        out->number = (double)wide / term->scale;
        break;
    case SL_TYPE_BOOL:
        out->integer = sl_bit_get(column->data, row);
        break;
    case SL_TYPE_DATE32:
        memcpy(&days, column->data + row * 4, 4);
        out->integer = days;
        break;
    default:
        memcpy(&out->integer, column->data + row * 8, 8);
        break;
    }
}

static void operate(const struct term *term, const struct value *a, const struct value *b,
                    struct value *out) {
    bool integer = term->type == VALUE_INTEGER;
    switch (term->op) {
    case '+':
        out->null = integer && __builtin_add_overflow(a->integer, b->integer, &out->integer);
        out->number = a->number + b->number;
        break;
    case '-':
        out->null = integer && __builtin_sub_overflow(a->integer, b->integer, &out->integer);
        out->number = a->number - b->number;
        break;
    case '*':
        out->null = integer && __builtin_mul_overflow(a->integer, b->integer, &out->integer);
        out->number = a->number * b->number;
        break;
    default:
        out->null = b->number == 0;
        out->number = out->null ? 0 : a->number / b->number;
        break;
    }
}

static bool change_case(struct term *term, const struct value *a, bool upper, struct value *out) {
    sl_buffer *to = &term->scratch;
    sl_buffer_clear(to);
    if (!sl_buffer_reserve(to, a->bytes + 1)) {
        return false;
    }
    for (size_t i = 0; i < a->bytes; i++) { /* ASCII letters */
        uint8_t c = a->text[i];
        bool letter = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
        to->data[i] = letter ? c ^ 0x20 : c;
    }
    out->text = to->data;
    out->bytes = a->bytes;
    return true;
}

static void trim(const struct value *a, struct value *out) {
    *out = *a;
    while (out->bytes > 0 && out->text[0] <= ' ') {
        out->text++;
        out->bytes--;
    }
    while (out->bytes > 0 && out->text[out->bytes - 1] <= ' ') {
        out->bytes--;
    }
}

static int64_t code_points(const struct value *a) {
    int64_t n = 0;
    for (size_t i = 0; i < a->bytes; i++) {
        n += (a->text[i] & 0xC0) != 0x80;
    }
    return n;
}

/* A function of one argument that is not null. */
static bool call(struct term *term, const struct value *a, struct value *out) {
    switch (term->function) {
    case FUNCTION_LOWER:
    case FUNCTION_UPPER:
        return change_case(term, a, term->function == FUNCTION_UPPER, out);
    case FUNCTION_TRIM:
        trim(a, out);
        break;
    case FUNCTION_LENGTH:
        out->integer = code_points(a);
        break;
    case FUNCTION_DATE:
        out->integer = floor_divide(a->integer, US_PER_DAY);
        break;
    case FUNCTION_HOUR:
        out->integer =
            floor_divide(a->integer, US_PER_HOUR) - floor_divide(a->integer, US_PER_DAY) * 24;
        break;
    case FUNCTION_EPOCH_MS:
        out->integer = floor_divide(a->integer, 1000);
        break;
    case FUNCTION_ROUND:
        out->number = round(a->number);
        out->null = !(out->number >= -9223372036854775808.0 && out->number < 9223372036854775808.0);
        out->integer = out->null ? 0 : (int64_t)out->number;
        break;
    default:
        *out = *a;
        break;
    }
    return true;
}

static bool call_many(struct silver_expression *e, uint32_t index, const sl_builder *columns,
                      int64_t row, struct value *out) {
    struct term *term = &e->terms[index];
    bool coalesce = term->function == FUNCTION_COALESCE;
    if (!coalesce) {
        sl_buffer_clear(&term->scratch);
    }
    for (uint32_t i = 0; i < term->n_arguments; i++) {
        struct value value = {0};
        if (!evaluate(e, term->arguments[i], columns, row, &value)) {
            return false;
        }
        if (coalesce && !value.null) {
            *out = value;
            return true;
        }
        if (!coalesce && value.null) {
            out->null = true;
            return true;
        }
        if (!coalesce && !sl_buffer_append(&term->scratch, value.text, value.bytes)) {
            return false;
        }
    }
    out->null = coalesce;
    out->text = term->scratch.data;
    out->bytes = term->scratch.bytes;
    return true;
}

static bool evaluate(struct silver_expression *e, uint32_t index, const sl_builder *columns,
                     int64_t row, struct value *out) {
    struct term *term = &e->terms[index];
    struct value a = {0}, b = {0};
    if (term->kind == TERM_CONSTANT) {
        *out = term->constant;
        return true;
    }
    if (term->kind == TERM_COLUMN) {
        read_column(term, columns, row, out);
        return true;
    }
    bool many = term->kind == TERM_CALL &&
                (term->function == FUNCTION_CONCAT || term->function == FUNCTION_COALESCE);
    if (many) {
        return call_many(e, index, columns, row, out);
    }
    if (!evaluate(e, term->arguments[0], columns, row, &a) ||
        (term->n_arguments > 1 && !evaluate(e, term->arguments[1], columns, row, &b))) {
        return false;
    }
    if (a.null || b.null) {
        out->null = true;
        return true;
    }
    switch (term->kind) {
    case TERM_TO_NUMBER:
        out->number = (double)a.integer;
        return true;
    case TERM_NEGATE:
        out->number = -a.number;
        out->null = term->type == VALUE_INTEGER && a.integer == INT64_MIN;
        out->integer = out->null ? 0 : -a.integer;
        return true;
    case TERM_OPERATOR:
        operate(term, &a, &b, out);
        return true;
    default:
        return call(term, &a, out);
    }
}

bool expression_append(struct silver_expression *e, const sl_builder *columns, int64_t row,
                       sl_builder *out) {
    struct value value = {0};
    if (!evaluate(e, e->root, columns, row, &value)) {
        return false;
    }
    enum value_type type = e->terms[e->root].type;
    if (value.null || (type == VALUE_NUMBER && !isfinite(value.number))) {
        return sl_builder_append_null(out);
    }
    switch (type) {
    case VALUE_NUMBER:
        return sl_builder_append_double(out, value.number);
    case VALUE_TEXT:
        return sl_builder_append_bytes(out, value.text, value.bytes);
    case VALUE_BOOLEAN:
        return sl_builder_append_bool(out, value.integer != 0);
    default:
        return sl_builder_append_i64(out, value.integer);
    }
}
