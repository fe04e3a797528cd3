/*
 * The decoder's plan: one node for each column, nested as the columns are, with the checks that
 * run while the value is read. Made from a compiled schema; immutable.
 */
#ifndef SLJ_PLAN_H
#define SLJ_PLAN_H

#define SLJ_MAX_PATH 64

#include "json/schema.h"

typedef enum slj_plan_kind {
    SLJ_PLAN_STRING,
    SLJ_PLAN_INTEGER,
    SLJ_PLAN_NUMBER,
    SLJ_PLAN_BOOLEAN,
    SLJ_PLAN_TIMESTAMP,
    SLJ_PLAN_DATE,
    SLJ_PLAN_DECIMAL,
    SLJ_PLAN_STRUCT,
    SLJ_PLAN_LIST,
    SLJ_PLAN_TEXT, /* any value, as its JSON text */
} slj_plan_kind;

/* What has to be checked, so that a value without checks passes one test. */
#define SLJ_CHECK_LENGTH 1u
#define SLJ_CHECK_PATTERN 2u
#define SLJ_CHECK_CHOICES 4u
#define SLJ_CHECK_RANGE 8u
#define SLJ_CHECK_MULTIPLE 16u

typedef struct slj_plan slj_plan;

/* One allowed value of `enum` or `const`, in the column's own type. */
typedef union slj_choice {
    struct {
        const uint8_t *bytes; /* 8 readable bytes at least */
        uint64_t head;        /* the first 8 bytes, 0 where there are fewer */
        uint32_t n;
    } text;
    int64_t integer;
    double number;
} slj_choice;

/* A property. `token` is `"name":`, as compact JSON writes it, in one run to compare with. */
typedef struct slj_field {
    uint8_t token[32]; /* its first 32 bytes, then 0 */
    uint32_t token_bytes;
    uint32_t token_mask;  /* one bit for each of the first 16 bytes of the token */
    uint32_t token_mask2; /* and of the next 16 */
    uint32_t name_bytes;
    const uint8_t *name; /* 8 readable bytes at least */
    slj_plan *plan;
} slj_field;

struct slj_plan {
    slj_plan_kind kind;
    bool nullable;       /* null is an allowed value */
    bool no_additional;  /* struct: additionalProperties is false */
    bool bounds_open[2]; /* number: the bound itself is not allowed */
    uint32_t checks;
    uint32_t coercions; /* bits of sl_json_coercion_kind */
    const slj_schema *schema;

    /* struct */
    slj_field *fields;
    uint32_t n_fields;
    uint32_t n_words;         /* of a bit set over the fields */
    const uint64_t *required; /* bit set */
    const uint16_t *by_hash;  /* index of a field plus 1, 0: empty; linear probing */
    uint32_t hash_mask;
    uint32_t object_index; /* of the decoder's state for this struct */

    /* list */
    slj_plan *item;
    uint64_t min_items, max_items;

    /* strings */
    uint64_t min_length, max_length; /* code points */
    const slj_regex *pattern;

    /* strings, integers, numbers, booleans (integer 0 and 1) */
    const slj_choice *choices;
    uint32_t n_choices;

    /* integers and decimals (scaled): inclusive bounds */
    slj_i128 low, high;
    double low_number, high_number; /* numbers */
    slj_decimal multiple;
    int64_t multiple_integer; /* the divisor when it is an integer, else 0 */
    int32_t precision, scale; /* decimal */
};

struct sl_json_schema {
    slj_set *set;
    slj_schema *root_schema;
    slj_plan *root;
    struct ArrowSchema columns;
    const char *beyond; /* the first keyword for the validator; NULL: none */
    uint32_t n_objects; /* struct plans */
    size_t max_value_bytes;
    uint32_t max_depth;
    sl_json_duplicates duplicates;
    bool rescue;
};

static inline uint32_t slj_name_hash(const uint8_t *name, size_t bytes) {
    uint64_t head = slj_load8(name);
    if (bytes < 8) {
        head &= (UINT64_C(1) << (8 * bytes)) - 1;
    }
    uint64_t tail = bytes > 8 ? slj_load8(name + bytes - 8) : 0;
    uint64_t h = (head ^ (tail * 3) ^ bytes) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(h >> 40);
}

/* Makes the plan of an object's schema (plan.c); memory of the set's arena. */
sl_error *slj_plan_make(sl_json_schema *out, uint32_t max_depth);
/* Turns on the coercions that the options name (coercion.c). */
sl_error *slj_plan_coerce(sl_json_schema *out, const sl_json_options *options);

#endif /* SLJ_PLAN_H */
