/*
 * Pages: the window over a chunk's bytes, page headers, checksums, decompression, dictionary pages,
 * and the start of a data page's levels and values. Every size is checked against the chunk, the
 * codec and the limits before memory is asked for.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "parquet/reader_codec.h"
#include "parquet/reader_column.h"
#include "parquet/thrift_decode.h"

/* Statistics in page headers can be long, but not this long. */
#define MAX_HEADER_BYTES ((size_t)16 << 20)
#define FIRST_HEADER_BYTES 256

/* ---- window ---- */

void sl_pqr_window_free(sl_pqr_window *window) {
    if (window->owned.release != NULL) {
        window->owned.release(&window->owned);
    }
    memset(window, 0, sizeof(*window));
}

static bool window_holds(const sl_pqr_window *window, int64_t offset, size_t bytes) {
    return window->data != NULL && offset >= window->offset &&
           (uint64_t)(offset - window->offset) <= window->bytes &&
           bytes <= window->bytes - (size_t)(offset - window->offset);
}

sl_error *sl_pqr_window_fill(const sl_pqr_source *source, const sl_pqr_where *where,
                             sl_pqr_window *window, int64_t offset, size_t bytes,
                             int64_t limit_offset) {
    if (window_holds(window, offset, bytes)) {
        return NULL;
    }
    if (source->input.memory != NULL) {
        sl_pqr_window_free(window);
        window->data = source->input.memory;
        window->bytes = (size_t)source->input.file_bytes;
        return NULL;
    }
    size_t ahead = source->read_bytes > bytes ? source->read_bytes : bytes;
    if ((uint64_t)ahead > (uint64_t)(limit_offset - offset)) {
        ahead = (size_t)(limit_offset - offset);
    }
    sl_store_bytes read = {0};
    sl_error *error = source->input.read(source->input.arg, offset, ahead, &read);
    if (error != NULL) {
        return error;
    }
    if (read.bytes < ahead) {
        size_t got = read.bytes;
        if (read.release != NULL) {
            read.release(&read);
        }
        return sl_pqr_error(where, SL_ERROR_CORRUPT,
                            "%zu bytes were read at offset %lld where %zu are expected", got,
                            (long long)offset, ahead);
    }
    sl_pqr_window_free(window);
    *window = (sl_pqr_window){.data = read.data, .offset = offset, .bytes = ahead, .owned = read};
    return NULL;
}

static const uint8_t *window_at(const sl_pqr_window *window, int64_t offset) {
    return window->data + (offset - window->offset);
}

/* ---- headers ---- */

static void read_data_header(sl_thrift_decoder *thrift, sl_pqr_page_header *header) {
    sl_thrift_in_field field = {0};
    while (sl_thrift_next_field(thrift, &field)) {
        switch (field.id) {
        case SL_PARQUET_F_DATA_NUM_VALUES:
            header->n_values = sl_thrift_in_i32(thrift, &field);
            break;
        case SL_PARQUET_F_DATA_ENCODING:
            header->encoding = sl_thrift_in_i32(thrift, &field);
            break;
        case SL_PARQUET_F_DATA_DEFINITION_LEVEL_ENCODING:
            header->def_encoding = sl_thrift_in_i32(thrift, &field);
            break;
        case SL_PARQUET_F_DATA_REPETITION_LEVEL_ENCODING:
            header->rep_encoding = sl_thrift_in_i32(thrift, &field);
            break;
        default:
            sl_thrift_skip(thrift, &field);
            break;
        }
    }
}

static void read_data_header_v2(sl_thrift_decoder *thrift, sl_pqr_page_header *header) {
    sl_thrift_in_field field = {0};
    while (sl_thrift_next_field(thrift, &field)) {
        switch (field.id) {
        case SL_PARQUET_F_DATA_V2_NUM_VALUES:
            header->n_values = sl_thrift_in_i32(thrift, &field);
            break;
        case SL_PARQUET_F_DATA_V2_ENCODING:
            header->encoding = sl_thrift_in_i32(thrift, &field);
            break;
        case SL_PARQUET_F_DATA_V2_DEFINITION_LEVELS_BYTE_LENGTH:
            header->def_bytes = sl_thrift_in_i32(thrift, &field);
            break;
        case SL_PARQUET_F_DATA_V2_REPETITION_LEVELS_BYTE_LENGTH:
            header->rep_bytes = sl_thrift_in_i32(thrift, &field);
            break;
        case SL_PARQUET_F_DATA_V2_IS_COMPRESSED:
            header->is_compressed = sl_thrift_in_bool(thrift, &field);
            break;
        default:
            sl_thrift_skip(thrift, &field);
            break;
        }
    }
}

static void read_dictionary_header(sl_thrift_decoder *thrift, sl_pqr_page_header *header) {
    sl_thrift_in_field field = {0};
    while (sl_thrift_next_field(thrift, &field)) {
        if (field.id == SL_PARQUET_F_DICTIONARY_NUM_VALUES) {
            header->n_values = sl_thrift_in_i32(thrift, &field);
        } else if (field.id == SL_PARQUET_F_DICTIONARY_ENCODING) {
            header->encoding = sl_thrift_in_i32(thrift, &field);
        } else {
            sl_thrift_skip(thrift, &field);
        }
    }
}

static void read_header_field(sl_thrift_decoder *thrift, const sl_thrift_in_field *field,
                              sl_pqr_page_header *header) {
    switch (field->id) {
    case SL_PARQUET_F_PAGE_TYPE:
        header->type = sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_PAGE_UNCOMPRESSED_SIZE:
        header->uncompressed_bytes = sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_PAGE_COMPRESSED_SIZE:
        header->compressed_bytes = sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_PAGE_CRC:
        header->has_crc = true;
        header->crc = (uint32_t)sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_PAGE_DATA_HEADER:
        if (sl_thrift_in_struct(thrift, field)) {
            read_data_header(thrift, header);
        }
        break;
    case SL_PARQUET_F_PAGE_DICTIONARY_HEADER:
        if (sl_thrift_in_struct(thrift, field)) {
            read_dictionary_header(thrift, header);
        }
        break;
    case SL_PARQUET_F_PAGE_DATA_HEADER_V2:
        if (sl_thrift_in_struct(thrift, field)) {
            read_data_header_v2(thrift, header);
        }
        break;
    default:
        sl_thrift_skip(thrift, field);
        break;
    }
}

static void decode_header(sl_thrift_decoder *thrift, sl_pqr_page_header *header) {
    *header = (sl_pqr_page_header){.type = -1,
                                   .uncompressed_bytes = -1,
                                   .compressed_bytes = -1,
                                   .n_values = -1,
                                   .encoding = -1,
                                   .def_encoding = SL_PARQUET_RLE,
                                   .rep_encoding = SL_PARQUET_RLE,
                                   .is_compressed = true};
    sl_thrift_in_field field = {0};
    while (sl_thrift_next_field(thrift, &field)) {
        read_header_field(thrift, &field, header);
    }
}

static sl_error *check_header(const sl_pqr_column *column, const sl_pqr_page_header *header) {
    int64_t left = column->end_offset - column->at_offset;
    if (header->uncompressed_bytes < 0 || header->compressed_bytes < 0 ||
        header->compressed_bytes > left) {
        return sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                            "it says %d bytes compressed, %d whole, and its column chunk has %lld "
                            "left",
                            (int)header->compressed_bytes, (int)header->uncompressed_bytes,
                            (long long)left);
    }
    bool has_values = header->type == SL_PARQUET_DATA_PAGE ||
                      header->type == SL_PARQUET_DATA_PAGE_V2 ||
                      header->type == SL_PARQUET_DICTIONARY_PAGE;
    if (has_values && (header->n_values < 0 || header->encoding < 0)) {
        return sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                            "its header has no number of values or no encoding");
    }
    if (has_values && (size_t)header->uncompressed_bytes > column->source->max_page_bytes) {
        return sl_pqr_error(&column->where, SL_ERROR_UNSUPPORTED,
                            "it has %d bytes; max_page_bytes allows %zu",
                            (int)header->uncompressed_bytes, column->source->max_page_bytes);
    }
    return NULL;
}

/* Decodes the header at at_offset and moves past it. */
static sl_error *read_header(sl_pqr_column *column, sl_pqr_page_header *header) {
    size_t left = (size_t)(column->end_offset - column->at_offset);
    size_t bytes = FIRST_HEADER_BYTES;
    column->where.page_offset = column->at_offset;
    for (;;) {
        bytes = bytes < left ? bytes : left;
        sl_error *error = sl_pqr_window_fill(column->source, &column->where, &column->window,
                                             column->at_offset, bytes, column->end_offset);
        if (error != NULL) {
            return error;
        }
        sl_thrift_decoder thrift;
        sl_thrift_in_init(&thrift, window_at(&column->window, column->at_offset), bytes);
        decode_header(&thrift, header);
        if (thrift.failure == NULL) {
            column->at_offset += thrift.at - thrift.begin;
            return check_header(column, header);
        }
        if (!thrift.truncated || bytes == left || bytes >= MAX_HEADER_BYTES) {
            return sl_pqr_error(&column->where, SL_ERROR_CORRUPT, "its header: %s", thrift.failure);
        }
        bytes *= 8;
    }
}

/* ---- bodies ---- */

static bool page_reserve(sl_pqr_column *column, size_t bytes) {
    if (bytes + SL_COLUMNS_PADDING <= column->page_capacity) {
        return true;
    }
    free(column->page);
    column->page_capacity = bytes + bytes / 8 + SL_COLUMNS_PADDING;
    column->page = malloc(column->page_capacity);
    if (column->page == NULL) {
        column->page_capacity = 0;
    }
    return column->page != NULL;
}

static sl_error *decompress(sl_pqr_column *column, int32_t codec, const uint8_t *in,
                            size_t in_bytes, size_t out_bytes) {
    if (!sl_pqr_codec_plausible(codec, in, in_bytes, out_bytes)) {
        return sl_pqr_error(&column->where, SL_ERROR_CORRUPT, "%zu bytes of %s cannot be %zu bytes",
                            in_bytes, sl_pqr_codec_name(codec), out_bytes);
    }
    bool no_memory = false;
    if (!page_reserve(column, out_bytes)) {
        return sl_error_no_memory();
    }
    if (!sl_pqr_decompress(codec, in, in_bytes, column->page, out_bytes, &column->scratch->zstd,
                           &no_memory)) {
        return no_memory ? sl_error_no_memory()
                         : sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                                        "%zu bytes of %s do not decompress to %zu bytes", in_bytes,
                                        sl_pqr_codec_name(codec), out_bytes);
    }
    return NULL;
}

/* The body as it stands in the file, its checksum verified; moves past it. */
static sl_error *read_body(sl_pqr_column *column, const sl_pqr_page_header *header,
                           const uint8_t **body) {
    size_t bytes = (size_t)header->compressed_bytes;
    sl_error *error = sl_pqr_window_fill(column->source, &column->where, &column->window,
                                         column->at_offset, bytes, column->end_offset);
    if (error != NULL) {
        return error;
    }
    *body = window_at(&column->window, column->at_offset);
    column->at_offset += header->compressed_bytes;
    if (header->has_crc) {
        uint32_t crc = (uint32_t)crc32(0, *body, (uInt)bytes);
        if (crc != header->crc) {
            return sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                                "its checksum is %08x where the header says %08x", crc,
                                header->crc);
        }
    }
    return NULL;
}

/* The body decompressed: in the window, or in column->page. */
static sl_error *whole_body(sl_pqr_column *column, const sl_pqr_page_header *header,
                            const uint8_t **body, size_t *bytes) {
    sl_error *error = read_body(column, header, body);
    *bytes = (size_t)header->uncompressed_bytes;
    if (error != NULL) {
        return error;
    }
    if (column->codec == SL_PARQUET_UNCOMPRESSED) {
        *bytes = (size_t)header->compressed_bytes;
        return NULL;
    }
    error = decompress(column, column->codec, *body, (size_t)header->compressed_bytes, *bytes);
    *body = column->page;
    return error;
}

/* ---- dictionary pages ---- */

static sl_error *append_dictionary(sl_pqr_column *column, const uint8_t *body, size_t bytes,
                                   size_t n) {
    sl_builder *dictionary = &column->dictionary;
    sl_pqr_budget page = {0, bytes}; /* what is read can only shrink: lengths fall away */
    sl_pqr_values values;
    sl_error *error = sl_pqr_values_start(&values, column->leaf, &column->where, SL_PARQUET_PLAIN,
                                          body, bytes, NULL, &column->previous);
    while (error == NULL && n > 0) {
        size_t take = n < SL_PQR_BLOCK ? n : SL_PQR_BLOCK;
        error = sl_builder_reserve(dictionary, (int64_t)take, 0);
        if (error == NULL) {
            error = sl_pqr_values_append(&values, take, dictionary, column->scratch, &page);
        }
        dictionary->length += (int64_t)take;
        n -= take;
    }
    return error;
}

static sl_error *read_dictionary(sl_pqr_column *column, const sl_pqr_page_header *header) {
    const uint8_t *body;
    size_t bytes;
    if (column->has_dictionary) {
        return sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                            "it is the second dictionary page of its column chunk");
    }
    if (column->leaf->type == SL_PARQUET_BOOLEAN ||
        (header->encoding != SL_PARQUET_PLAIN && header->encoding != SL_PARQUET_PLAIN_DICTIONARY)) {
        return sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                            "a dictionary page of physical type %d and encoding %d",
                            (int)column->leaf->type, (int)header->encoding);
    }
    sl_error *error = whole_body(column, header, &body, &bytes);
    if (error == NULL) {
        sl_builder_clear(&column->dictionary);
        error = append_dictionary(column, body, bytes, (size_t)header->n_values);
    }
    column->has_dictionary = error == NULL;
    return error;
}

/* ---- data pages ---- */

static sl_error *levels_too_long(const sl_pqr_column *column) {
    return sl_pqr_error(&column->where, SL_ERROR_CORRUPT, "its levels pass its end");
}

/* Levels of a v1 page: their length first, or, in the deprecated encoding, known by their number.
 */
static sl_error *start_levels(sl_pqr_column *column, unsigned max, int32_t encoding, size_t n,
                              const uint8_t **body, size_t *bytes, sl_pqr_rle *out) {
    unsigned width = sl_pqr_level_width(max);
    size_t length = 0;
    if (max == 0) {
        sl_pqr_rle_init(out, *body, 0, 0);
        return NULL;
    }
    if (encoding == SL_PARQUET_BIT_PACKED) {
        length = (n * width + 7) / 8;
        if (length > *bytes) {
            return levels_too_long(column);
        }
        sl_pqr_rle_init_packed_levels(out, *body, length, width);
    } else if (encoding == SL_PARQUET_RLE) {
        uint32_t stored = 0;
        if (*bytes >= 4) {
            memcpy(&stored, *body, 4);
        }
        if (*bytes < 4 || stored > *bytes - 4) {
            return levels_too_long(column);
        }
        sl_pqr_rle_init(out, *body + 4, stored, width);
        length = (size_t)stored + 4;
    } else {
        return sl_pqr_error(&column->where, SL_ERROR_CORRUPT, "its levels have the encoding %d",
                            (int)encoding);
    }
    *body += length;
    *bytes -= length;
    return NULL;
}

static sl_error *start_page_v1(sl_pqr_column *column, const sl_pqr_page_header *header) {
    const uint8_t *body;
    size_t bytes;
    size_t n = (size_t)header->n_values;
    sl_error *error = whole_body(column, header, &body, &bytes);
    if (error == NULL) {
        error = start_levels(column, column->leaf->rep_level, header->rep_encoding, n, &body,
                             &bytes, &column->rep);
    }
    if (error == NULL) {
        error = start_levels(column, column->leaf->def_level, header->def_encoding, n, &body,
                             &bytes, &column->def);
    }
    if (error != NULL) {
        return error;
    }
    return sl_pqr_values_start(&column->values, column->leaf, &column->where, header->encoding,
                               body, bytes, column->has_dictionary ? &column->dictionary : NULL,
                               &column->previous);
}

/* Levels of a v2 page stand before the compressed values, uncompressed themselves. */
static sl_error *start_page_v2(sl_pqr_column *column, const sl_pqr_page_header *header) {
    const uint8_t *body;
    sl_error *error = read_body(column, header, &body);
    if (error != NULL) {
        return error;
    }
    int64_t levels = (int64_t)header->rep_bytes + header->def_bytes;
    if (header->rep_bytes < 0 || header->def_bytes < 0 || levels > header->compressed_bytes ||
        levels > header->uncompressed_bytes) {
        return levels_too_long(column);
    }
    size_t rep_bytes = (size_t)header->rep_bytes;
    size_t def_bytes = (size_t)header->def_bytes;
    size_t packed = (size_t)header->compressed_bytes - (size_t)levels;
    size_t whole = (size_t)header->uncompressed_bytes - (size_t)levels;
    const uint8_t *values = body + levels;
    if (header->is_compressed && column->codec != SL_PARQUET_UNCOMPRESSED) {
        if (whole > 0) { /* nothing is nothing, whatever the codec makes of it */
            error = decompress(column, column->codec, values, packed, whole);
            values = column->page;
        }
        packed = whole;
    }
    if (error != NULL) {
        return error;
    }
    sl_pqr_rle_init(&column->rep, body, rep_bytes, sl_pqr_level_width(column->leaf->rep_level));
    sl_pqr_rle_init(&column->def, body + rep_bytes, def_bytes,
                    sl_pqr_level_width(column->leaf->def_level));
    return sl_pqr_values_start(&column->values, column->leaf, &column->where, header->encoding,
                               values, packed, column->has_dictionary ? &column->dictionary : NULL,
                               &column->previous);
}

static sl_error *start_data_page(sl_pqr_column *column, const sl_pqr_page_header *header) {
    if (header->n_values > column->values_left) {
        return sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                            "it has %d values, its column chunk only %lld more",
                            (int)header->n_values, (long long)column->values_left);
    }
    sl_error *error = header->type == SL_PARQUET_DATA_PAGE ? start_page_v1(column, header)
                                                           : start_page_v2(column, header);
    if (error == NULL) {
        column->page_values_left = (size_t)header->n_values;
        column->values_left -= header->n_values;
    }
    return error;
}

sl_error *sl_pqr_column_next_page(sl_pqr_column *column) {
    while (column->page_values_left == 0) {
        if (column->at_offset >= column->end_offset) {
            return sl_pqr_error(&column->where, SL_ERROR_CORRUPT,
                                "its pages end before the row group's last row (%lld of its "
                                "values are missing)",
                                (long long)column->values_left);
        }
        sl_pqr_page_header header;
        sl_error *error = read_header(column, &header);
        if (error != NULL) {
            return error;
        }
        switch (header.type) {
        case SL_PARQUET_DICTIONARY_PAGE:
            error = read_dictionary(column, &header);
            break;
        case SL_PARQUET_DATA_PAGE:
        case SL_PARQUET_DATA_PAGE_V2:
            error = start_data_page(column, &header);
            break;
        default: /* an index page, or a kind that came later: not needed */
            column->at_offset += header.compressed_bytes;
            break;
        }
        if (error != NULL) {
            return error;
        }
    }
    return NULL;
}
