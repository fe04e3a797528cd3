/*
 * Decoder of Thrift's compact protocol over bytes in memory: what Parquet footers and page headers
 * are made of. It never reads outside its range, never allocates, and once it has failed every
 * further call returns nothing (0, false), so that a caller may check once at its end.
 *
 * Specification: apache/thrift, doc/specs/thrift-compact-protocol.md.
 */
#ifndef SL_PARQUET_THRIFT_DECODE_H
#define SL_PARQUET_THRIFT_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parquet/format.h"

typedef struct sl_thrift_decoder {
    const uint8_t *begin;
    const uint8_t *at;
    const uint8_t *end;
    const char *failure; /* NULL while good, else what is wrong (static text) */
    bool truncated;      /* it failed because the bytes ended: more bytes may help */
} sl_thrift_decoder;

/* A field of a struct; zero-initialise before the struct's first sl_thrift_next_field. */
typedef struct sl_thrift_in_field {
    int32_t id;
    uint8_t type; /* SL_THRIFT_...; TRUE and FALSE are a boolean's value */
} sl_thrift_in_field;

void sl_thrift_in_init(sl_thrift_decoder *decoder, const uint8_t *data, size_t bytes);
void sl_thrift_in_fail(sl_thrift_decoder *decoder, const char *failure);

/* Moves to the struct's next field; false at its end or after a failure. The caller must read or
 * skip each field's value. */
bool sl_thrift_next_field(sl_thrift_decoder *decoder, sl_thrift_in_field *field);

/* The field's value; another type in the bytes is a failure. */
int64_t sl_thrift_in_i64(sl_thrift_decoder *decoder, const sl_thrift_in_field *field);
int32_t sl_thrift_in_i32(sl_thrift_decoder *decoder, const sl_thrift_in_field *field);
bool sl_thrift_in_bool(sl_thrift_decoder *decoder, const sl_thrift_in_field *field);
/* Borrowed from the decoder's bytes; *bytes is 0 and the result NULL after a failure. */
const uint8_t *sl_thrift_in_binary(sl_thrift_decoder *decoder, const sl_thrift_in_field *field,
                                   size_t *bytes);
/* True when the field is a struct, to be read by sl_thrift_next_field with a fresh field. */
bool sl_thrift_in_struct(sl_thrift_decoder *decoder, const sl_thrift_in_field *field);
/*
 * Number of elements of a list field; each must be of `element_type`, or it is a failure. Every
 * element takes at least one byte, so the count never passes the bytes that are left.
 */
size_t sl_thrift_in_list(sl_thrift_decoder *decoder, const sl_thrift_in_field *field,
                         uint8_t element_type);
/* Skips the field's value, whatever it is. */
void sl_thrift_skip(sl_thrift_decoder *decoder, const sl_thrift_in_field *field);

#endif /* SL_PARQUET_THRIFT_DECODE_H */
