/*
 * Thrift compact protocol, reading side. See thrift_decode.h.
 */
#include "parquet/thrift_decode.h"

#include <string.h>

/* Deeper than any struct of Parquet's; bounds the recursion over unknown fields. */
#define MAX_SKIP_DEPTH 32

void sl_thrift_in_init(sl_thrift_decoder *decoder, const uint8_t *data, size_t bytes) {
    memset(decoder, 0, sizeof(*decoder));
    decoder->begin = data;
    decoder->at = data;
    decoder->end = data + bytes;
}

void sl_thrift_in_fail(sl_thrift_decoder *decoder, const char *failure) {
    if (decoder->failure == NULL) {
        decoder->failure = failure;
    }
    decoder->at = decoder->end;
}

static void fail_truncated(sl_thrift_decoder *decoder) {
    if (decoder->failure == NULL) {
        decoder->truncated = true;
    }
    sl_thrift_in_fail(decoder, "the bytes end inside a Thrift value");
}

static uint8_t read_byte(sl_thrift_decoder *decoder) {
    if (decoder->at == decoder->end) {
        fail_truncated(decoder);
        return 0;
    }
    return *decoder->at++;
}

static uint64_t read_varint(sl_thrift_decoder *decoder) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = read_byte(decoder);
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return value;
        }
    }
    sl_thrift_in_fail(decoder, "a Thrift integer is longer than 64 bits");
    return 0;
}

static int64_t read_zigzag(sl_thrift_decoder *decoder) {
    uint64_t value = read_varint(decoder);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

bool sl_thrift_next_field(sl_thrift_decoder *decoder, sl_thrift_in_field *field) {
    uint8_t head = read_byte(decoder);
    if (head == SL_THRIFT_STOP || decoder->failure != NULL) {
        return false;
    }
    unsigned delta = head >> 4;
    int64_t id = delta != 0 ? field->id + (int64_t)delta : read_zigzag(decoder);
    if (id < INT16_MIN || id > INT16_MAX) {
        sl_thrift_in_fail(decoder, "a Thrift field id is outside 16 bits");
    }
    field->id = (int32_t)id;
    field->type = head & 0x0f;
    return decoder->failure == NULL;
}

int64_t sl_thrift_in_i64(sl_thrift_decoder *decoder, const sl_thrift_in_field *field) {
    switch (field->type) {
    case SL_THRIFT_BYTE:
        return (int8_t)read_byte(decoder);
    case SL_THRIFT_I16:
    case SL_THRIFT_I32:
    case SL_THRIFT_I64:
        return read_zigzag(decoder);
    default:
        sl_thrift_in_fail(decoder, "a Thrift field that must be an integer has another type");
        return 0;
    }
}

int32_t sl_thrift_in_i32(sl_thrift_decoder *decoder, const sl_thrift_in_field *field) {
    int64_t value = sl_thrift_in_i64(decoder, field);
    if (value < INT32_MIN || value > INT32_MAX) {
        sl_thrift_in_fail(decoder, "a Thrift field of 32 bits has a larger value");
        return 0;
    }
    return (int32_t)value;
}

bool sl_thrift_in_bool(sl_thrift_decoder *decoder, const sl_thrift_in_field *field) {
    if (field->type != SL_THRIFT_TRUE && field->type != SL_THRIFT_FALSE) {
        sl_thrift_in_fail(decoder, "a Thrift field that must be a boolean has another type");
    }
    return field->type == SL_THRIFT_TRUE;
}

static const uint8_t *read_binary(sl_thrift_decoder *decoder, size_t *bytes) {
    uint64_t length = read_varint(decoder);
    *bytes = 0;
    if (length > (size_t)(decoder->end - decoder->at)) {
        fail_truncated(decoder);
    }
    if (decoder->failure != NULL) {
        return NULL;
    }
    const uint8_t *data = decoder->at;
    decoder->at += length;
    *bytes = (size_t)length;
    return data;
}

const uint8_t *sl_thrift_in_binary(sl_thrift_decoder *decoder, const sl_thrift_in_field *field,
                                   size_t *bytes) {
    if (field->type != SL_THRIFT_BINARY) {
        sl_thrift_in_fail(decoder, "a Thrift field that must be binary has another type");
    }
    return read_binary(decoder, bytes);
}

bool sl_thrift_in_struct(sl_thrift_decoder *decoder, const sl_thrift_in_field *field) {
    if (field->type != SL_THRIFT_STRUCT) {
        sl_thrift_in_fail(decoder, "a Thrift field that must be a struct has another type");
    }
    return decoder->failure == NULL;
}

/* Header of a list or set: the count, and the elements' type. */
static size_t read_list(sl_thrift_decoder *decoder, uint8_t *element_type) {
    uint8_t head = read_byte(decoder);
    uint64_t count = head >> 4;
    if (count == 15) {
        count = read_varint(decoder);
    }
    *element_type = head & 0x0f;
    if (count > (size_t)(decoder->end - decoder->at)) {
        fail_truncated(decoder);
    }
    return decoder->failure == NULL ? (size_t)count : 0;
}

size_t sl_thrift_in_list(sl_thrift_decoder *decoder, const sl_thrift_in_field *field,
                         uint8_t element_type) {
    if (field->type != SL_THRIFT_LIST) {
        sl_thrift_in_fail(decoder, "a Thrift field that must be a list has another type");
    }
    uint8_t found = 0;
    size_t count = read_list(decoder, &found);
    if (count > 0 && found != element_type) {
        sl_thrift_in_fail(decoder, "a Thrift list has elements of another type");
    }
    return decoder->failure == NULL ? count : 0;
}

static void skip_value(sl_thrift_decoder *decoder, uint8_t type, int depth);

static void skip_elements(sl_thrift_decoder *decoder, int depth) {
    uint8_t type = 0;
    size_t count = read_list(decoder, &type);
    for (size_t i = 0; i < count && decoder->failure == NULL; i++) {
        if (type == SL_THRIFT_TRUE || type == SL_THRIFT_FALSE) {
            read_byte(decoder); /* inside a list a boolean is a byte */
        } else {
            skip_value(decoder, type, depth);
        }
    }
}

static void skip_map(sl_thrift_decoder *decoder, int depth) {
    uint64_t count = read_varint(decoder);
    if (count == 0) {
        return;
    }
    uint8_t types = read_byte(decoder);
    if (count > (size_t)(decoder->end - decoder->at)) {
        fail_truncated(decoder);
    }
    for (uint64_t i = 0; i < 2 * count && decoder->failure == NULL; i++) {
        uint8_t type = i % 2 == 0 ? types >> 4 : types & 0x0f;
        if (type == SL_THRIFT_TRUE || type == SL_THRIFT_FALSE) {
            read_byte(decoder);
        } else {
            skip_value(decoder, type, depth);
        }
    }
}

static void skip_bytes(sl_thrift_decoder *decoder, size_t bytes) {
    if (bytes > (size_t)(decoder->end - decoder->at)) {
        fail_truncated(decoder);
    } else {
        decoder->at += bytes;
    }
}

static void skip_struct(sl_thrift_decoder *decoder, int depth) {
    sl_thrift_in_field field = {0};
    while (sl_thrift_next_field(decoder, &field)) {
        skip_value(decoder, field.type, depth);
    }
}

static void skip_value(sl_thrift_decoder *decoder, uint8_t type, int depth) {
    size_t bytes;
    if (depth >= MAX_SKIP_DEPTH) {
        sl_thrift_in_fail(decoder, "Thrift values are nested too deeply");
        return;
    }
    switch (type) {
    case SL_THRIFT_TRUE:
    case SL_THRIFT_FALSE:
        break;
    case SL_THRIFT_BYTE:
        read_byte(decoder);
        break;
    case SL_THRIFT_I16:
    case SL_THRIFT_I32:
    case SL_THRIFT_I64:
        read_varint(decoder);
        break;
    case SL_THRIFT_DOUBLE:
        skip_bytes(decoder, 8);
        break;
    case SL_THRIFT_BINARY:
        read_binary(decoder, &bytes);
        break;
    case SL_THRIFT_LIST:
    case SL_THRIFT_SET:
        skip_elements(decoder, depth + 1);
        break;
    case SL_THRIFT_MAP:
        skip_map(decoder, depth + 1);
        break;
    case SL_THRIFT_STRUCT:
        skip_struct(decoder, depth + 1);
        break;
    default:
        sl_thrift_in_fail(decoder, "a Thrift value has an unknown type");
        break;
    }
}

void sl_thrift_skip(sl_thrift_decoder *decoder, const sl_thrift_in_field *field) {
    skip_value(decoder, field->type, 0);
}
