/*
 * Rows to lines. Nothing here knows files.
 */
#include "columns/lines.h"

#include "columns/raw.h"

/* Line ends inside a value become spaces; nearly no value has one. */
static void replace(uint8_t *data, size_t bytes, int byte) {
    for (uint8_t *at = memchr(data, byte, bytes); at != NULL;
         at = memchr(at, byte, bytes - (size_t)(at - data))) {
        *at = ' ';
    }
}

static bool append_value(const struct ArrowArray *values, int64_t row, sl_buffer *out) {
    if (sl_array_is_null(values, row)) {
        return sl_buffer_append(out, "null\n", 5);
    }
    const int32_t *offsets = values->buffers[1];
    const uint8_t *data = values->buffers[2];
    size_t bytes = (size_t)(offsets[row + 1] - offsets[row]);
    if (!sl_buffer_reserve(out, bytes + 1)) {
        return false;
    }
    uint8_t *line = out->data + out->bytes;
    if (bytes > 0) {
        memcpy(line, data + offsets[row], bytes);
        replace(line, bytes, '\n');
        replace(line, bytes, '\r');
    }
    line[bytes] = '\n';
    out->bytes += bytes + 1;
    return true;
}

bool sl_lines_append(const struct ArrowSchema *schema, const struct ArrowArray *array,
                     int64_t first, int64_t rows, sl_lines_raw raw, sl_buffer *out) {
    size_t before = out->bytes;
    bool values = raw == SL_LINES_VALUE && sl_raw_is(schema);
    for (int64_t row = first; row < first + rows; row++) {
        bool good = values ? append_value(array->children[SL_RAW_VALUE], row, out)
                           : sl_array_append_json(schema, array, row, out) &&
                                 sl_buffer_append_byte(out, '\n');
        if (!good) {
            out->bytes = before;
            return false;
        }
    }
    return true;
}
