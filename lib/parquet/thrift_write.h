/*
 * Encoding Thrift structs in the compact protocol (apache/thrift,
 * doc/specs/thrift-compact-protocol.md), as far as Parquet's metadata needs it. Field ids and type
 * codes are in format.h.
 *
 * Nothing here fails by itself: bytes go to a buffer whose `failed` flag tells at the end whether
 * memory was short.
 */
#ifndef SL_PARQUET_THRIFT_WRITE_H
#define SL_PARQUET_THRIFT_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "parquet/format.h"

/* Structs nest this deep at most (FileMetaData to TimeUnit's member: 6). */
#define SL_THRIFT_WRITE_DEPTH 12

typedef struct sl_thrift_writer {
    sl_buffer *out; /* borrowed */
    int depth;
    int16_t last_field[SL_THRIFT_WRITE_DEPTH]; /* of each open struct */
} sl_thrift_writer;

/* Opens the outermost struct; sl_thrift_end closes it as any other. */
void sl_thrift_begin(sl_thrift_writer *writer, sl_buffer *out);

/* Fields of the open struct, in ascending order of id. */
void sl_thrift_bool(sl_thrift_writer *writer, int16_t field, bool value);
void sl_thrift_byte(sl_thrift_writer *writer, int16_t field, int8_t value);
void sl_thrift_i16(sl_thrift_writer *writer, int16_t field, int16_t value);
void sl_thrift_i32(sl_thrift_writer *writer, int16_t field, int32_t value);
void sl_thrift_i64(sl_thrift_writer *writer, int16_t field, int64_t value);
void sl_thrift_binary(sl_thrift_writer *writer, int16_t field, const void *data, size_t bytes);
void sl_thrift_text(sl_thrift_writer *writer, int16_t field, const char *text);
/* A list of n elements of one SL_THRIFT_ type follows by the sl_thrift_element_ functions. */
void sl_thrift_list(sl_thrift_writer *writer, int16_t field, int element_type, size_t n);
void sl_thrift_struct(sl_thrift_writer *writer, int16_t field);
/* A struct field without fields: the members of Thrift's unions are often such. */
void sl_thrift_empty_struct(sl_thrift_writer *writer, int16_t field);

/* Elements of a list. */
void sl_thrift_element_i32(sl_thrift_writer *writer, int32_t value);
void sl_thrift_element_text(sl_thrift_writer *writer, const char *text);
void sl_thrift_element_struct(sl_thrift_writer *writer);

/* Closes the struct opened last. */
void sl_thrift_end(sl_thrift_writer *writer);

#endif /* SL_PARQUET_THRIFT_WRITE_H */
