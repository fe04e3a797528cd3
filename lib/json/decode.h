/*
 * What the decoder's files share: its state, and how a value fails. values.h reads single values,
 * values.c what is rare among them, decode.c objects, arrays and rows, replaced.c what last_wins
 * takes back, rows.c whole records.
 */
#ifndef SLJ_DECODE_H
#define SLJ_DECODE_H

#include "json/plan.h"

/* One step of the way to the value being read, for JSON paths. */
typedef struct slj_step {
    const slj_field *field; /* a known property, */
    const uint8_t *name;    /* or the raw name of an unknown one, */
    uint32_t name_bytes;
    uint32_t index; /* or (both NULL) an item */
} slj_step;

/* last_wins: the value that a field has so far. */
typedef struct slj_value {
    const uint8_t *at;
    size_t first_rescued; /* properties in it that no column takes */
    size_t n_rescued;
    uint64_t dropped;
    /* why it does not fit, where it does not */
    sl_json_reason reason;
    const uint8_t *fault_at;
    sl_buffer allowed;
    sl_buffer steps; /* from the field's value on */
} slj_value;

/* A property in the decoder's `rescued`. */
typedef struct slj_rescued {
    size_t at; /* of the ',' or '{' before it */
    bool replaced;
} slj_rescued;

/* What the decoder knows about one struct of the plan, from record to record. */
typedef struct slj_object_state {
    uint64_t *seen;    /* bit set over the fields of the object being read */
    uint64_t *failed;  /* last_wins: the value did not fit, a later one may */
    uint16_t *next;    /* next[i]: the field that followed field i last time; next[n_fields]
                          the first one */
    slj_value *values; /* last_wins: of the seen fields */
    uint32_t n_fields;
} slj_object_state;

struct sl_json_decoder {
    slj_reader reader;
    const sl_json_schema *schema;
    slj_object_state *objects;
    slj_matcher *matcher;
    /* the date of the last timestamp, as text and as microseconds */
    uint64_t date_head;
    uint32_t date_tail;
    int64_t date_us;
    /* unknown properties of this record */
    uint64_t dropped_here;
    uint64_t dropped;
    sl_buffer rescued;
    sl_buffer rescued_list; /* last_wins: a slj_rescued for each of them */
    bool any_replaced;      /* of the list */
    /* the failure of this record */
    sl_json_reason reason;
    const uint8_t *value_at; /* the value at fault; NULL: none to show */
    sl_buffer allowed;
    uint32_t n_steps;
    slj_step steps[260];
    sl_buffer unescaped;
    /* full validation */
    slj_check *check;
    slj_doc doc;
};

/* Notes that the value at `at` does not fit; what is allowed follows, printf-like ("" : nothing).
 * Returns NULL. When the value itself is malformed, that is noted instead. */
const uint8_t *slj_misfit(sl_json_decoder *decoder, sl_json_reason reason, const uint8_t *at,
                          const char *format, ...) SL_PRINTF(4, 5);
/* The syntax failure or the lack of memory that the reader has noted. Returns NULL. */
const uint8_t *slj_malformed(sl_json_decoder *decoder);
const uint8_t *slj_no_memory(sl_json_decoder *decoder);

/* last_wins (replaced.c). A rescued property begins where `rescued` ends. False: no memory. */
bool slj_rescued_begins(sl_json_decoder *decoder);
size_t slj_rescued_count(const sl_json_decoder *decoder);
/* A later value replaces this one: what was kept or counted of it goes. */
void slj_value_replaced(sl_json_decoder *decoder, const slj_value *value);
/* The value does not fit, as the decoder says now, which forgets it: a later one may replace it.
 * `depth` is the value's. False: no memory. */
bool slj_value_fails(sl_json_decoder *decoder, slj_value *value, uint32_t depth);
/* Nothing has replaced it: the decoder says again why it does not fit. False: no memory. */
bool slj_value_failed(sl_json_decoder *decoder, const slj_value *value, uint32_t depth);
/* Takes what was replaced out of `rescued`. */
void slj_rescued_end(sl_json_decoder *decoder);
void slj_value_free(slj_value *value);

/* A value that is not of the kind its column asks for: null, a coercion, or a failure. */
const uint8_t *slj_decode_other(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                                sl_builder *out);

/* The slow halves of values.h; each begins anew at the value. */
const uint8_t *slj_decode_string_slow(sl_json_decoder *decoder, const uint8_t *p,
                                      const slj_plan *plan, sl_builder *out);
const uint8_t *slj_decode_timestamp_slow(sl_json_decoder *decoder, const uint8_t *p,
                                         const slj_plan *plan, sl_builder *out);
const uint8_t *slj_decode_date(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                               sl_builder *out);
const uint8_t *slj_decode_text(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                               sl_builder *out, uint32_t depth);
/* The checks of a string beyond its length in ASCII; `text` may be read 8 bytes past its end. */
bool slj_check_string(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                      const uint8_t *text, size_t bytes);
bool slj_check_number(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                      const slj_number *number, double value);
bool slj_check_integer(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                       const slj_number *number, int64_t value);
const uint8_t *slj_store_decimal(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                                 const slj_number *number, sl_builder *out);
/* A number that is malformed, or does not fit an integer column. Returns NULL. */
const uint8_t *slj_bad_number(sl_json_decoder *decoder, const uint8_t *at, const slj_plan *plan,
                              slj_integer_result result);

/* Whole records (rows.c): decode.c's part. */
const uint8_t *slj_decode_object(sl_json_decoder *decoder, const uint8_t *p, const slj_plan *plan,
                                 sl_builder *out, uint32_t depth);

#endif /* SLJ_DECODE_H */
