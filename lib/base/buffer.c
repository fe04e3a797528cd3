/*
 * Growing byte buffers: the slow path of growth, text, printf and JSON strings. The hot appends
 * are inline in base.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/utf8.h"

#define FIRST_CAPACITY_BYTES 64

bool sl_buffer_grow(sl_buffer *buffer, size_t more_bytes) {
    size_t wanted;
    if (buffer->failed || !sl_add_size(buffer->bytes, more_bytes, &wanted) ||
        wanted > PTRDIFF_MAX) {
        buffer->failed = true;
        return false;
    }
    if (wanted <= buffer->capacity_bytes) {
        return true;
    }
    size_t capacity = buffer->capacity_bytes + buffer->capacity_bytes / 2;
    if (capacity < wanted || capacity < buffer->capacity_bytes) {
        capacity = wanted;
    }
    if (capacity < FIRST_CAPACITY_BYTES) {
        capacity = FIRST_CAPACITY_BYTES;
    }
    uint8_t *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity_bytes = capacity;
    return true;
}

bool sl_buffer_append_text(sl_buffer *buffer, const char *text) {
    return sl_buffer_append(buffer, text, strlen(text));
}

bool sl_buffer_printf(sl_buffer *buffer, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    size_t room = buffer->capacity_bytes - buffer->bytes;
    char *end = room == 0 ? NULL : (char *)buffer->data + buffer->bytes;
    int length = vsnprintf(end, room, format, args);
    va_end(args);
    bool done = false;
    if (length < 0) {
        buffer->failed = true;
    } else if ((size_t)length < room) {
        done = !buffer->failed;
    } else if (sl_buffer_reserve(buffer, (size_t)length + 1)) {
        (void)vsnprintf((char *)buffer->data + buffer->bytes, (size_t)length + 1, format, again);
        done = true;
    }
    va_end(again);
    if (done) {
        buffer->bytes += (size_t)length;
    }
    return done;
}

static bool append_escape(sl_buffer *buffer, uint8_t byte) {
    switch (byte) {
    case '"':
        return sl_buffer_append(buffer, "\\\"", 2);
    case '\\':
        return sl_buffer_append(buffer, "\\\\", 2);
    case '\n':
        return sl_buffer_append(buffer, "\\n", 2);
    case '\r':
        return sl_buffer_append(buffer, "\\r", 2);
    case '\t':
        return sl_buffer_append(buffer, "\\t", 2);
    case '\b':
        return sl_buffer_append(buffer, "\\b", 2);
    case '\f':
        return sl_buffer_append(buffer, "\\f", 2);
    default: {
        static const char digits[] = "0123456789abcdef";
        char escape[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
        return sl_buffer_append(buffer, escape, sizeof(escape));
    }
    }
}

bool sl_buffer_append_json_string(sl_buffer *buffer, const char *text, size_t bytes) {
    const uint8_t *data = (const uint8_t *)text;
    size_t start_bytes = buffer->bytes;
    size_t run = 0; /* start of what is not copied yet */
    bool good = sl_buffer_append_byte(buffer, '"');
    for (size_t i = 0; i < bytes && good;) {
        uint8_t byte = data[i];
        if (byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\') {
            i++;
            continue;
        }
        size_t skip = 1;
        size_t length = sl_utf8_sequence(data + i, bytes - i, &skip);
        if (length > 1) {
            i += length;
            continue;
        }
        good = sl_buffer_append(buffer, data + run, i - run) &&
               (length == 1 ? append_escape(buffer, byte)
                            : sl_buffer_append(buffer, "\xef\xbf\xbd", 3));
        i += skip;
        run = i;
    }
    good = good && (run == bytes || sl_buffer_append(buffer, data + run, bytes - run)) &&
           sl_buffer_append_byte(buffer, '"');
    if (!good) {
        buffer->bytes = start_bytes;
    }
    return good;
}

const char *sl_buffer_text(sl_buffer *buffer) {
    if (!sl_buffer_reserve(buffer, 1)) {
        return NULL;
    }
    buffer->data[buffer->bytes] = 0;
    return (const char *)buffer->data;
}

uint8_t *sl_buffer_take(sl_buffer *buffer, size_t *bytes) {
    uint8_t *data = buffer->data;
    *bytes = buffer->bytes;
    *buffer = (sl_buffer)SL_BUFFER_INIT;
    return data;
}

void sl_buffer_clear(sl_buffer *buffer) {
    buffer->bytes = 0;
    buffer->failed = false;
}

void sl_buffer_free(sl_buffer *buffer) {
    free(buffer->data);
    *buffer = (sl_buffer)SL_BUFFER_INIT;
}
