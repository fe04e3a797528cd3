/*
 * Value decoders of data pages: which encodings fit which types, and the loops that append values
 * to a builder. Strings as slices are in reader_strings.c, conversions in reader_convert.c.
 */
#include "parquet/reader_values.h"

#include <stdarg.h>
#include <string.h>

sl_error *sl_pqr_error(const sl_pqr_where *where, sl_error_class error_class, const char *format,
                       ...) {
    va_list args;
    va_start(args, format);
    sl_error *error = sl_error_newv(error_class, format, args);
    va_end(args);
    if (where->column == NULL) {
        return sl_error_wrap(error, "Parquet file \"%s\"", where->file);
    }
    if (where->page_offset < 0) {
        return sl_error_wrap(error, "Parquet file \"%s\": column \"%.256s\", row group %zu",
                             where->file, where->column, where->row_group);
    }
    return sl_error_wrap(error,
                         "Parquet file \"%s\": column \"%.256s\", row group %zu, page at offset "
                         "%lld",
                         where->file, where->column, where->row_group,
                         (long long)where->page_offset);
}

sl_error *sl_pqr_charge(sl_pqr_budget *budget, const sl_pqr_where *where, size_t bytes) {
    if (bytes > budget->limit_bytes - budget->used_bytes) {
        return sl_pqr_error(where, SL_ERROR_UNSUPPORTED,
                            "a batch needs more than the %zu bytes allowed; read fewer rows at a "
                            "time or raise max_batch_bytes",
                            budget->limit_bytes);
    }
    budget->used_bytes += bytes;
    return NULL;
}

static sl_error *too_few(const sl_pqr_values *values) {
    return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                        "it has fewer values than its header says, or malformed ones "
                        "(encoding %d)",
                        (int)values->encoding);
}

static sl_error *misfit(const sl_pqr_values *values) {
    return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                        "encoding %d does not go with the physical type %d", (int)values->encoding,
                        (int)values->leaf->type);
}

/* ---- start ---- */

static sl_error *start_dictionary(sl_pqr_values *values, const uint8_t *data, size_t bytes) {
    if (values->dictionary == NULL) {
        return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                            "it is dictionary-encoded, but no dictionary page came before it");
    }
    if (values->leaf->type == SL_PARQUET_BOOLEAN) {
        return misfit(values);
    }
    if (bytes == 0) { /* a page of nulls only */
        sl_pqr_rle_init(&values->rle, data, 0, 1);
        return NULL;
    }
    if (!sl_pqr_rle_init(&values->rle, data + 1, bytes - 1, data[0])) {
        return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                            "its dictionary indexes have %d bits; at most 32 are allowed",
                            (int)data[0]);
    }
    return NULL;
}

/* Booleans as RLE are preceded by their length. */
static sl_error *start_rle(sl_pqr_values *values, const uint8_t *data, size_t bytes) {
    uint32_t length = 0;
    if (values->leaf->type != SL_PARQUET_BOOLEAN) {
        return misfit(values);
    }
    if (bytes >= 4) {
        memcpy(&length, data, 4);
    }
    if (bytes != 0 && (bytes < 4 || length > bytes - 4)) {
        return too_few(values);
    }
    sl_pqr_rle_init(&values->rle, bytes == 0 ? data : data + 4, length, 1);
    return NULL;
}

static sl_error *start_split(sl_pqr_values *values, const uint8_t *data, size_t bytes) {
    size_t width = values->leaf->stored_bytes;
    if (width == 0 || values->leaf->type == SL_PARQUET_INT96 ||
        width > sizeof(((sl_pqr_scratch *)NULL)->fixed)) {
        return misfit(values);
    }
    if (bytes % width != 0) {
        return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                            "BYTE_STREAM_SPLIT of %zu bytes is no multiple of the width %zu", bytes,
                            width);
    }
    values->at = data;
    values->stream_values = bytes / width;
    return NULL;
}

static sl_error *start_plain(sl_pqr_values *values, const uint8_t *data, size_t bytes) {
    if (values->leaf->type == SL_PARQUET_BOOLEAN) {
        sl_pqr_rle_init_bits(&values->rle, data, bytes);
    } else if (values->leaf->type == SL_PARQUET_BYTE_ARRAY) {
        return sl_pqr_strings_start(values, data, bytes);
    }
    values->at = data;
    values->end = data + bytes;
    return NULL;
}

static sl_error *start_delta(sl_pqr_values *values, const uint8_t *data, size_t bytes) {
    sl_parquet_type type = values->leaf->type;
    if (values->encoding == SL_PARQUET_DELTA_BINARY_PACKED) {
        if (type != SL_PARQUET_INT32 && type != SL_PARQUET_INT64) {
            return misfit(values);
        }
        return sl_pqr_delta_init(&values->numbers, data, bytes) ? NULL : too_few(values);
    }
    bool fits = type == SL_PARQUET_BYTE_ARRAY || (type == SL_PARQUET_FIXED_LEN_BYTE_ARRAY &&
                                                  values->encoding == SL_PARQUET_DELTA_BYTE_ARRAY);
    return fits ? sl_pqr_strings_start(values, data, bytes) : misfit(values);
}

sl_error *sl_pqr_values_start(sl_pqr_values *values, const sl_pqr_node *leaf,
                              const sl_pqr_where *where, int32_t encoding, const uint8_t *data,
                              size_t bytes, const sl_builder *dictionary, sl_buffer *previous) {
    memset(values, 0, sizeof(*values));
    values->leaf = leaf;
    values->where = where;
    values->dictionary = dictionary;
    values->previous = previous;
    /* the older name of the same thing */
    values->encoding =
        encoding == SL_PARQUET_PLAIN_DICTIONARY ? SL_PARQUET_RLE_DICTIONARY : encoding;
    switch (values->encoding) {
    case SL_PARQUET_PLAIN:
        return start_plain(values, data, bytes);
    case SL_PARQUET_RLE_DICTIONARY:
        return start_dictionary(values, data, bytes);
    case SL_PARQUET_RLE:
        return start_rle(values, data, bytes);
    case SL_PARQUET_DELTA_BINARY_PACKED:
    case SL_PARQUET_DELTA_LENGTH_BYTE_ARRAY:
    case SL_PARQUET_DELTA_BYTE_ARRAY:
        /* writers leave out even the header when all values are null */
        return bytes == 0 ? NULL : start_delta(values, data, bytes);
    case SL_PARQUET_BYTE_STREAM_SPLIT:
        return start_split(values, data, bytes);
    default:
        return sl_pqr_error(where, SL_ERROR_UNSUPPORTED, "its values have the encoding %d",
                            (int)encoding);
    }
}

/* ---- fixed widths ---- */

static sl_error *convert(sl_pqr_values *values, const uint8_t *in, size_t n, uint8_t *out) {
    const char *fault = sl_pqr_convert_values(values->leaf, in, n, out);
    return fault == NULL ? NULL : sl_pqr_error(values->where, SL_ERROR_CORRUPT, "%s", fault);
}

static sl_error *append_plain(sl_pqr_values *values, size_t n, uint8_t *out) {
    size_t bytes = n * values->leaf->stored_bytes;
    if (bytes > (size_t)(values->end - values->at)) {
        return too_few(values);
    }
    const uint8_t *in = values->at;
    values->at += bytes;
    return convert(values, in, n, out);
}

static sl_error *append_numbers(sl_pqr_values *values, size_t n, uint8_t *out,
                                sl_pqr_scratch *scratch) {
    if (sl_pqr_delta_read(&values->numbers, n, scratch->numbers) != n) {
        return too_few(values);
    }
    if (values->leaf->stored_bytes == 8) {
        return convert(values, (const uint8_t *)scratch->numbers, n, out);
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(scratch->fixed + i * 4, &scratch->numbers[i], 4); /* the low half */
    }
    return convert(values, scratch->fixed, n, out);
}

static sl_error *append_split(sl_pqr_values *values, size_t n, uint8_t *out, size_t out_width,
                              sl_pqr_scratch *scratch) {
    size_t width = values->leaf->stored_bytes;
    if (n > values->stream_values - values->stream_at) {
        return too_few(values);
    }
    size_t step = sizeof(scratch->fixed) / width;
    for (size_t done = 0; done < n; done += step) {
        size_t take = n - done < step ? n - done : step;
        for (size_t k = 0; k < width; k++) {
            const uint8_t *stream = values->at + k * values->stream_values + values->stream_at;
            for (size_t i = 0; i < take; i++) {
                scratch->fixed[i * width + k] = stream[i];
            }
        }
        sl_error *error = convert(values, scratch->fixed, take, out + done * out_width);
        if (error != NULL) {
            return error;
        }
        values->stream_at += take;
    }
    return NULL;
}

/* ---- dictionaries ---- */

static sl_error *read_indexes(sl_pqr_values *values, size_t n, uint32_t *indexes) {
    if (sl_pqr_rle_u32(&values->rle, n, indexes) != n) {
        return too_few(values);
    }
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        largest = indexes[i] > largest ? indexes[i] : largest;
    }
    if (n > 0 && largest >= (uint64_t)values->dictionary->length) {
        return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                            "dictionary index %u of a dictionary of %lld values", largest,
                            (long long)values->dictionary->length);
    }
    return NULL;
}

#define GATHER_CASE(width)                                                                         \
    case width:                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                           \
            memcpy(out + i * (width), in + (size_t)indexes[i] * (width), width);                   \
        }                                                                                          \
        break;

static void gather(const uint8_t *in, const uint32_t *indexes, size_t n, size_t width_bytes,
                   uint8_t *out) {
    switch (width_bytes) {
        GATHER_CASE(1)
        GATHER_CASE(2)
        GATHER_CASE(4)
        GATHER_CASE(8)
        GATHER_CASE(16)
    default:
        for (size_t i = 0; i < n; i++) {
            memcpy(out + i * width_bytes, in + (size_t)indexes[i] * width_bytes, width_bytes);
        }
        break;
    }
}

/* Room for `bytes` more string bytes, within the batch's memory. */
static sl_error *reserve_bytes(sl_pqr_values *values, sl_builder *builder, size_t bytes,
                               sl_pqr_budget *budget) {
    sl_error *error = sl_pqr_charge(budget, values->where, bytes);
    return error == NULL ? sl_builder_reserve(builder, 0, bytes) : error;
}

/* Short strings are copied by one 16-byte move: both sides are padded, or `readable` says so. */
static inline void copy_string(uint8_t *out, const uint8_t *in, size_t bytes, bool readable) {
    if (bytes <= 16 && readable) {
        memcpy(out, in, 16);
    } else if (bytes > 0) {
        memcpy(out, in, bytes);
    }
}

static sl_error *append_dictionary_strings(sl_pqr_values *values, size_t n, sl_builder *builder,
                                           const uint32_t *indexes, sl_pqr_budget *budget) {
    const sl_builder *dictionary = values->dictionary;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t *offset = dictionary->offsets + indexes[i];
        bytes += (size_t)(offset[1] - offset[0]);
    }
    sl_error *error = reserve_bytes(values, builder, bytes, budget);
    if (error != NULL) {
        return error;
    }
    int32_t *offsets = builder->offsets + builder->length + 1;
    size_t at = builder->data_bytes;
    for (size_t i = 0; i < n; i++) {
        const int32_t *offset = dictionary->offsets + indexes[i];
        size_t length = (size_t)(offset[1] - offset[0]);
        if (length > 0) {
            copy_string(builder->data + at, dictionary->data + offset[0], length, true);
        }
        at += length;
        offsets[i] = (int32_t)at;
    }
    builder->data_bytes = at;
    return NULL;
}

static sl_error *append_dictionary(sl_pqr_values *values, size_t n, sl_builder *builder,
                                   sl_pqr_scratch *scratch, sl_pqr_budget *budget) {
    sl_error *error = read_indexes(values, n, scratch->indexes);
    if (error != NULL || n == 0) {
        return error;
    }
    if (values->leaf->convert == SL_PQR_STRING) {
        return append_dictionary_strings(values, n, builder, scratch->indexes, budget);
    }
    size_t width = (size_t)builder->type.width_bytes;
    gather(values->dictionary->data, scratch->indexes, n, width,
           builder->data + (size_t)builder->length * width);
    return NULL;
}

/* ---- strings ---- */

/* `done` values have already been appended past builder->length. */
static sl_error *append_strings(sl_pqr_values *values, size_t done, size_t n, sl_builder *builder,
                                sl_pqr_scratch *scratch, sl_pqr_budget *budget) {
    const sl_pqr_slice *slices = scratch->slices;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += slices[i].bytes;
    }
    sl_error *error = reserve_bytes(values, builder, bytes, budget);
    if (error != NULL) {
        return error;
    }
    bool in_page = values->encoding != SL_PARQUET_DELTA_BYTE_ARRAY;
    int32_t *offsets = builder->offsets + builder->length + 1 + done;
    size_t at = builder->data_bytes;
    for (size_t i = 0; i < n; i++) {
        bool readable = in_page && values->end - slices[i].data >= 16;
        if (slices[i].bytes > 0) {
            copy_string(builder->data + at, slices[i].data, slices[i].bytes, readable);
        }
        at += slices[i].bytes;
        offsets[i] = (int32_t)at;
    }
    builder->data_bytes = at;
    return NULL;
}

/* Decimals of any length, or fixed binary in a string encoding. */
static sl_error *append_fixed_slices(sl_pqr_values *values, size_t done, size_t n,
                                     sl_builder *builder, const sl_pqr_slice *slices) {
    size_t width = (size_t)builder->type.width_bytes;
    uint8_t *out = builder->data + ((size_t)builder->length + done) * width;
    for (size_t i = 0; i < n; i++, out += width) {
        if (values->leaf->convert == SL_PQR_STRING_DECIMAL) {
            if (!sl_pqr_convert_decimal(slices[i].data, slices[i].bytes, out)) {
                return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                                    "a decimal of %zu bytes is empty or does not fit into 128 bits",
                                    slices[i].bytes);
            }
            continue;
        }
        if (slices[i].bytes != values->leaf->stored_bytes) {
            return sl_pqr_error(values->where, SL_ERROR_CORRUPT,
                                "a value of %zu bytes in a column of fixed length %zu",
                                slices[i].bytes, values->leaf->stored_bytes);
        }
        sl_error *error = convert(values, slices[i].data, 1, out);
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}

static sl_error *append_slices(sl_pqr_values *values, size_t n, sl_builder *builder,
                               sl_pqr_scratch *scratch, sl_pqr_budget *budget) {
    size_t done = 0;
    while (done < n) {
        size_t got;
        sl_error *error = sl_pqr_values_slices(values, n - done, scratch, &got);
        if (error == NULL) {
            error = values->leaf->convert == SL_PQR_STRING
                        ? append_strings(values, done, got, builder, scratch, budget)
                        : append_fixed_slices(values, done, got, builder, scratch->slices);
        }
        if (error != NULL) {
            return error;
        }
        done += got;
    }
    return NULL;
}

/* ---- */

sl_error *sl_pqr_values_append(sl_pqr_values *values, size_t n, sl_builder *builder,
                               sl_pqr_scratch *scratch, sl_pqr_budget *budget) {
    if (n == 0) {
        return NULL;
    }
    size_t width = (size_t)builder->type.width_bytes;
    uint8_t *out = width == 0 ? NULL : builder->data + (size_t)builder->length * width;
    switch (values->encoding) {
    case SL_PARQUET_RLE_DICTIONARY:
        return append_dictionary(values, n, builder, scratch, budget);
    case SL_PARQUET_DELTA_BINARY_PACKED:
        return append_numbers(values, n, out, scratch);
    case SL_PARQUET_BYTE_STREAM_SPLIT:
        return append_split(values, n, out, width, scratch);
    case SL_PARQUET_PLAIN:
        if (values->leaf->type != SL_PARQUET_BYTE_ARRAY) {
            return append_plain(values, n, out);
        }
        return append_slices(values, n, builder, scratch, budget);
    default:
        return append_slices(values, n, builder, scratch, budget);
    }
}

sl_error *sl_pqr_values_bools(sl_pqr_values *values, size_t n, uint8_t *out) {
    return sl_pqr_rle_u8(&values->rle, n, out) == n ? NULL : too_few(values);
}
