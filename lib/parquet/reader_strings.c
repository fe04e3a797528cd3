/*
 * BYTE_ARRAY values as slices: PLAIN, DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY (the latter for
 * FIXED_LEN_BYTE_ARRAY too). Slices point into the page, or into a buffer of assembled values.
 */
#include <string.h>

#include "parquet/reader_values.h"

/* DELTA_BYTE_ARRAY can repeat a long prefix for two bytes a value: a block is cut short here. */
#define MAX_ASSEMBLED_BYTES ((size_t)1 << 20)

static sl_error *malformed(const sl_pqr_values *values) {
    return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                        "the lengths of its strings are malformed (encoding %d)",
                        (int)values->encoding);
}

sl_error *sl_pqr_strings_start(sl_pqr_values *values, const uint8_t *data, size_t bytes) {
    const uint8_t *end = data + bytes;
    if (values->encoding == SL_PARQUET_DELTA_BYTE_ARRAY) {
        if (!sl_pqr_delta_init(&values->prefixes, data, bytes)) {
            return malformed(values);
        }
        data = sl_pqr_delta_end(&values->prefixes);
        values->previous->bytes = 0;
    }
    if (values->encoding != SL_PARQUET_PLAIN) {
        if (data == NULL || !sl_pqr_delta_init(&values->numbers, data, (size_t)(end - data))) {
            return malformed(values);
        }
        data = sl_pqr_delta_end(&values->numbers);
    }
    if (data == NULL) {
        return malformed(values);
    }
    values->at = data;
    values->end = end;
    return NULL;
}

static sl_error *plain_slices(sl_pqr_values *values, size_t n, sl_pqr_slice *slices) {
    const uint8_t *at = values->at;
    const uint8_t *end = values->end;
    for (size_t i = 0; i < n; i++) {
        uint32_t bytes = 0;
        bool good = end - at >= 4;
        if (good) {
            memcpy(&bytes, at, 4);
            at += 4;
        }
        if (!good || bytes > (size_t)(end - at)) {
            return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                                "a string of %u bytes passes the end of the page", bytes);
        }
        slices[i] = (sl_pqr_slice){at, bytes};
        at += bytes;
    }
    values->at = at;
    return NULL;
}

/* The next n lengths into scratch->numbers, none negative or longer than a page can be. */
static bool read_lengths(sl_pqr_delta *delta, size_t n, int64_t *out) {
    if (sl_pqr_delta_read(delta, n, out) != n) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        out[i] = (int32_t)out[i]; /* lengths are INT32: sums wrap at 32 bits */
        good = good && out[i] >= 0;
    }
    return good;
}

static sl_error *delta_length_slices(sl_pqr_values *values, size_t n, sl_pqr_scratch *scratch) {
    if (!read_lengths(&values->numbers, n, scratch->numbers)) {
        return malformed(values);
    }
    for (size_t i = 0; i < n; i++) {
        size_t bytes = (size_t)scratch->numbers[i];
        if (bytes > (size_t)(values->end - values->at)) {
            return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                                "a string of %zu bytes passes the end of the page", bytes);
        }
        scratch->slices[i] = (sl_pqr_slice){values->at, bytes};
        values->at += bytes;
    }
    return NULL;
}

/* Makes the next value out of the last one's prefix and a suffix; it ends scratch->assembled. */
static sl_error *assemble(sl_pqr_values *values, sl_pqr_scratch *scratch, size_t *bytes) {
    int64_t prefix;
    int64_t suffix;
    if (!read_lengths(&values->prefixes, 1, &prefix) ||
        !read_lengths(&values->numbers, 1, &suffix)) {
        return malformed(values);
    }
    if ((size_t)prefix > values->previous->bytes ||
        (size_t)suffix > (size_t)(values->end - values->at)) {
        return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                            "a string of prefix %lld and suffix %lld passes what there is",
                            (long long)prefix, (long long)suffix);
    }
    sl_buffer *previous = values->previous;
    previous->bytes = (size_t)prefix;
    bool good = sl_buffer_append(previous, values->at, (size_t)suffix) &&
                sl_buffer_append(&scratch->assembled, previous->data, previous->bytes);
    if (!good) {
        sl_buffer_clear(previous);
        return sl_error_no_memory();
    }
    values->at += suffix;
    *bytes = previous->bytes;
    return NULL;
}

static sl_error *delta_slices(sl_pqr_values *values, size_t n, sl_pqr_scratch *scratch,
                              size_t *n_slices) {
    sl_buffer_clear(&scratch->assembled);
    size_t done = 0;
    while (done < n && (done == 0 || scratch->assembled.bytes < MAX_ASSEMBLED_BYTES)) {
        sl_error *error = assemble(values, scratch, &scratch->slices[done].bytes);
        if (error != NULL) {
            return error;
        }
        done++;
    }
    /* the buffer has moved while it grew: only now do the slices point */
    const uint8_t *at = scratch->assembled.data;
    for (size_t i = 0; i < done; i++) {
        scratch->slices[i].data = at;
        at = at == NULL ? at : at + scratch->slices[i].bytes;
    }
    *n_slices = done;
    return NULL;
}

sl_error *sl_pqr_values_slices(sl_pqr_values *values, size_t n, sl_pqr_scratch *scratch,
                               size_t *n_slices) {
    *n_slices = n;
    switch (values->encoding) {
    case SL_PARQUET_PLAIN:
        return plain_slices(values, n, scratch->slices);
    case SL_PARQUET_DELTA_LENGTH_BYTE_ARRAY:
        return delta_length_slices(values, n, scratch);
    default:
        return delta_slices(values, n, scratch, n_slices);
    }
}
