/* The compact protocol's encoder: see thrift_write.h. */
#include "parquet/thrift_write.h"

#include <assert.h>
#include <string.h>

#include "parquet/encode.h"

#define SHORT_LIST 15

static void put_varint(sl_buffer *out, uint64_t value) {
    uint8_t bytes[SL_PQW_VARINT_MAX_BYTES];
    sl_buffer_append(out, bytes, sl_pqw_varint_encode(value, bytes));
}

static uint64_t zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static void put_field(sl_thrift_writer *writer, int16_t field, int type) {
    int16_t *last = &writer->last_field[writer->depth - 1];
    int delta = field - *last;
    if (delta > 0 && delta <= 15) {
        sl_buffer_append_byte(writer->out, (uint8_t)(delta << 4 | type));
    } else {
        sl_buffer_append_byte(writer->out, (uint8_t)type);
        put_varint(writer->out, zigzag(field));
    }
    *last = field;
}

static void open_struct(sl_thrift_writer *writer) {
    assert(writer->depth < SL_THRIFT_WRITE_DEPTH);
    writer->last_field[writer->depth++] = 0;
}

void sl_thrift_begin(sl_thrift_writer *writer, sl_buffer *out) {
    writer->out = out;
    writer->depth = 0;
    open_struct(writer);
}

void sl_thrift_bool(sl_thrift_writer *writer, int16_t field, bool value) {
    put_field(writer, field, value ? SL_THRIFT_TRUE : SL_THRIFT_FALSE);
}

void sl_thrift_byte(sl_thrift_writer *writer, int16_t field, int8_t value) {
    put_field(writer, field, SL_THRIFT_BYTE);
    sl_buffer_append_byte(writer->out, (uint8_t)value);
}

void sl_thrift_i16(sl_thrift_writer *writer, int16_t field, int16_t value) {
    put_field(writer, field, SL_THRIFT_I16);
    put_varint(writer->out, zigzag(value));
}

void sl_thrift_i32(sl_thrift_writer *writer, int16_t field, int32_t value) {
    put_field(writer, field, SL_THRIFT_I32);
    put_varint(writer->out, zigzag(value));
}

void sl_thrift_i64(sl_thrift_writer *writer, int16_t field, int64_t value) {
    put_field(writer, field, SL_THRIFT_I64);
    put_varint(writer->out, zigzag(value));
}

static void put_binary(sl_buffer *out, const void *data, size_t bytes) {
    put_varint(out, bytes);
    sl_buffer_append(out, data, bytes);
}

void sl_thrift_binary(sl_thrift_writer *writer, int16_t field, const void *data, size_t bytes) {
    put_field(writer, field, SL_THRIFT_BINARY);
    put_binary(writer->out, data, bytes);
}

void sl_thrift_text(sl_thrift_writer *writer, int16_t field, const char *text) {
    sl_thrift_binary(writer, field, text, strlen(text));
}

void sl_thrift_list(sl_thrift_writer *writer, int16_t field, int element_type, size_t n) {
    put_field(writer, field, SL_THRIFT_LIST);
    if (n < SHORT_LIST) {
        sl_buffer_append_byte(writer->out, (uint8_t)((int)n << 4 | element_type));
    } else {
        sl_buffer_append_byte(writer->out, (uint8_t)(SHORT_LIST << 4 | element_type));
        put_varint(writer->out, n);
    }
}

void sl_thrift_struct(sl_thrift_writer *writer, int16_t field) {
    put_field(writer, field, SL_THRIFT_STRUCT);
    open_struct(writer);
}

void sl_thrift_empty_struct(sl_thrift_writer *writer, int16_t field) {
    sl_thrift_struct(writer, field);
    sl_thrift_end(writer);
}

void sl_thrift_element_i32(sl_thrift_writer *writer, int32_t value) {
    put_varint(writer->out, zigzag(value));
}

void sl_thrift_element_text(sl_thrift_writer *writer, const char *text) {
    put_binary(writer->out, text, strlen(text));
}

void sl_thrift_element_struct(sl_thrift_writer *writer) {
    open_struct(writer);
}

void sl_thrift_end(sl_thrift_writer *writer) {
    sl_buffer_append_byte(writer->out, SL_THRIFT_STOP);
    writer->depth--;
}
