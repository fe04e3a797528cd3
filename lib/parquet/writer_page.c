/*
 * Pages: the open page's levels and values are encoded, compressed and put behind a page header,
 * in the form that goes into the file (apache/parquet-format README, "Data Pages").
 */
#include <stdlib.h>
#include <string.h>

#include "parquet/encode.h"
#include "parquet/thrift_write.h"
#include "parquet/writer_column.h"

/* ---- values ---- */

static bool encode_indexes(const sl_pqw_column *column, sl_buffer *out) {
    unsigned width = sl_pqw_bit_width(column->dictionary.count - 1);
    return sl_buffer_append_byte(out, (uint8_t)width) &&
           sl_pqw_rle_encode_u32((const uint32_t *)(const void *)column->indexes.data,
                                 column->values, width, out);
}

static bool encode_plain_strings(const sl_pqw_column *column, sl_buffer *out) {
    const uint32_t *lengths = (const uint32_t *)(const void *)column->lengths.data;
    const uint8_t *from = sl_pqw_column_raw(column);
    if (!sl_buffer_reserve(out, sl_pqw_column_raw_bytes(column) + column->lengths.bytes)) {
        return false;
    }
    uint8_t *to = out->data + out->bytes;
    for (size_t i = 0; i < column->values; i++) {
        memcpy(to, &lengths[i], sizeof(lengths[i]));
        memcpy(to + sizeof(lengths[i]), from, lengths[i]);
        to += sizeof(lengths[i]) + lengths[i];
        from += lengths[i];
    }
    out->bytes = (size_t)(to - out->data);
    return true;
}

static bool encode_bools(const sl_pqw_column *column, sl_buffer *out) {
    size_t bytes = (column->values + 7) / 8;
    if (!sl_buffer_reserve(out, bytes)) {
        return false;
    }
    sl_pqw_pack_bools(sl_pqw_column_raw(column), column->values, out->data + out->bytes);
    out->bytes += bytes;
    return true;
}

static bool encode_delta(const sl_pqw_column *column, sl_buffer *out) {
    const void *raw = sl_pqw_column_raw(column);
    return column->leaf->width == sizeof(int32_t)
               ? sl_pqw_delta_encode_i32(raw, column->values, out)
               : sl_pqw_delta_encode_i64(raw, column->values, out);
}

sl_error *sl_pqw_column_encode_values(const sl_pqw_column *column, sl_parquet_encoding encoding,
                                      sl_buffer *out, bool *in_raw) {
    bool done = true;
    *in_raw = false;
    if (column->values == 0) {
        return NULL;
    }
    switch (encoding) {
    case SL_PARQUET_RLE_DICTIONARY:
        done = encode_indexes(column, out);
        break;
    case SL_PARQUET_DELTA_BINARY_PACKED:
        done = encode_delta(column, out);
        break;
    case SL_PARQUET_DELTA_LENGTH_BYTE_ARRAY:
        done = sl_pqw_delta_encode_i32((const int32_t *)(const void *)column->lengths.data,
                                       column->values, out);
        *in_raw = true;
        break;
    default:
        if (column->leaf->physical == SL_PARQUET_BOOLEAN) {
            done = encode_bools(column, out);
        } else if (column->leaf->physical == SL_PARQUET_BYTE_ARRAY) {
            done = encode_plain_strings(column, out);
        } else {
            *in_raw = true;
        }
    }
    return done ? NULL : sl_error_no_memory();
}

/* ---- levels ---- */

/* One kind of levels; v1 puts its length before it. `levels` NULL: all are `same`. */
static bool put_levels(const uint8_t *levels, uint8_t same, size_t n, uint8_t largest, int version,
                       sl_buffer *out, size_t *bytes) {
    unsigned width = sl_pqw_bit_width(largest);
    size_t start = out->bytes;
    uint32_t length = 0;
    if (version == 1 && !sl_buffer_append(out, &length, sizeof(length))) {
        return false;
    }
    if (levels == NULL ? !sl_pqw_rle_encode_run(same, n, width, out)
                       : !sl_pqw_rle_encode_u8(levels, n, width, out)) {
        return false;
    }
    *bytes = out->bytes - start;
    if (version == 1) {
        length = (uint32_t)(*bytes - sizeof(length));
        memcpy(out->data + start, &length, sizeof(length));
    }
    return true;
}

typedef struct level_bytes {
    size_t repetition;
    size_t definition;
} level_bytes;

static bool encode_levels(const sl_pqw_column *column, int version, sl_buffer *out,
                          level_bytes *bytes) {
    const sl_pqw_shred_path *path = &column->leaf->shred;
    *bytes = (level_bytes){0, 0};
    if (path->max_repetition > 0 &&
        !put_levels(column->repetition.data, 0, column->entries, path->max_repetition, version, out,
                    &bytes->repetition)) {
        return false;
    }
    return path->max_definition == 0 ||
           put_levels(column->all_present ? NULL : column->definition.data, path->max_definition,
                      column->entries, path->max_definition, version, out, &bytes->definition);
}

/* ---- pages ---- */

/* header, then `plain` bytes as they are, then `packed`: a page of the chunk, owned by the caller.
 */
static sl_pqw_column_page *new_page(const sl_buffer *header, const uint8_t *plain,
                                    size_t plain_bytes, const uint8_t *packed,
                                    size_t packed_bytes) {
    size_t bytes = header->bytes + plain_bytes + packed_bytes;
    sl_pqw_column_page *page = header->failed ? NULL : malloc(sizeof(*page) + bytes);
    if (page != NULL) {
        page->next = NULL;
        page->bytes = bytes;
        memcpy(page->data, header->data, header->bytes);
        if (plain_bytes > 0) {
            memcpy(page->data + header->bytes, plain, plain_bytes);
        }
        if (packed_bytes > 0) {
            memcpy(page->data + header->bytes + plain_bytes, packed, packed_bytes);
        }
    }
    return page;
}

static void begin_header(sl_thrift_writer *thrift, sl_buffer *out, sl_parquet_page_type type,
                         size_t uncompressed, size_t compressed) {
    sl_buffer_clear(out);
    sl_thrift_begin(thrift, out);
    sl_thrift_i32(thrift, SL_PARQUET_F_PAGE_TYPE, (int32_t)type);
    sl_thrift_i32(thrift, SL_PARQUET_F_PAGE_UNCOMPRESSED_SIZE, (int32_t)uncompressed);
    sl_thrift_i32(thrift, SL_PARQUET_F_PAGE_COMPRESSED_SIZE, (int32_t)compressed);
}

static sl_error *page_v1(sl_pqw_column_context *context, sl_pqw_column *column,
                         sl_parquet_encoding encoding, const uint8_t *body, size_t bytes,
                         sl_pqw_column_page **out) {
    sl_buffer_clear(&context->packed);
    sl_error *error =
        sl_pqw_compress(&context->compressor, &column->hint, body, bytes, &context->packed);
    if (error != NULL) {
        return error;
    }
    sl_thrift_writer thrift;
    begin_header(&thrift, &context->header, SL_PARQUET_DATA_PAGE, bytes, context->packed.bytes);
    sl_thrift_struct(&thrift, SL_PARQUET_F_PAGE_DATA_HEADER);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DATA_NUM_VALUES, (int32_t)column->entries);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DATA_ENCODING, (int32_t)encoding);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DATA_DEFINITION_LEVEL_ENCODING, SL_PARQUET_RLE);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DATA_REPETITION_LEVEL_ENCODING, SL_PARQUET_RLE);
    sl_thrift_end(&thrift);
    sl_thrift_end(&thrift);
    *out = new_page(&context->header, NULL, 0, context->packed.data, context->packed.bytes);
    return *out == NULL ? sl_error_no_memory() : NULL;
}

/* Levels stay uncompressed, and values that compression does not make smaller do, too. */
static sl_error *page_v2(sl_pqw_column_context *context, sl_pqw_column *column,
                         sl_parquet_encoding encoding, const uint8_t *body, size_t bytes,
                         level_bytes levels, sl_pqw_column_page **out) {
    size_t level_total = levels.repetition + levels.definition;
    const uint8_t *packed = body + level_total;
    size_t packed_bytes = bytes - level_total;
    bool compressed = false;
    if (packed_bytes > 0 && context->compressor.codec != SL_PARQUET_UNCOMPRESSED) {
        sl_buffer_clear(&context->packed);
        sl_error *error = sl_pqw_compress(&context->compressor, &column->hint, packed, packed_bytes,
                                          &context->packed);
        if (error != NULL) {
            return error;
        }
        compressed = context->packed.bytes < packed_bytes;
        packed = compressed ? context->packed.data : packed;
        packed_bytes = compressed ? context->packed.bytes : packed_bytes;
    }
    sl_thrift_writer thrift;
    begin_header(&thrift, &context->header, SL_PARQUET_DATA_PAGE_V2, bytes,
                 level_total + packed_bytes);
    sl_thrift_struct(&thrift, SL_PARQUET_F_PAGE_DATA_HEADER_V2);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DATA_V2_NUM_VALUES, (int32_t)column->entries);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DATA_V2_NUM_NULLS,
                  (int32_t)(column->entries - column->values));
    sl_thrift_i32(&thrift, SL_PARQUET_F_DATA_V2_NUM_ROWS, (int32_t)column->rows);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DATA_V2_ENCODING, (int32_t)encoding);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DATA_V2_DEFINITION_LEVELS_BYTE_LENGTH,
                  (int32_t)levels.definition);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DATA_V2_REPETITION_LEVELS_BYTE_LENGTH,
                  (int32_t)levels.repetition);
    sl_thrift_bool(&thrift, SL_PARQUET_F_DATA_V2_IS_COMPRESSED, compressed);
    sl_thrift_end(&thrift);
    sl_thrift_end(&thrift);
    *out = new_page(&context->header, body, level_total, packed, packed_bytes);
    return *out == NULL ? sl_error_no_memory() : NULL;
}

/* Levels and values of the open page as one run of bytes, in `image` or in the raw buffer with its
 * headroom. */
static sl_error *assemble(sl_pqw_column_context *context, sl_pqw_column *column,
                          sl_parquet_encoding encoding, level_bytes *levels, const uint8_t **body,
                          size_t *bytes) {
    sl_buffer *image = &context->image;
    bool in_raw;
    sl_buffer_clear(image);
    if (!encode_levels(column, context->options.page_version, image, levels)) {
        return sl_error_no_memory();
    }
    sl_error *error = sl_pqw_column_encode_values(column, encoding, image, &in_raw);
    if (error != NULL) {
        return error;
    }
    if (in_raw && image->bytes <= SL_PQW_HEADROOM) {
        uint8_t *start = column->raw.data + SL_PQW_HEADROOM - image->bytes;
        if (image->bytes > 0) {
            memcpy(start, image->data, image->bytes);
        }
        *body = start;
        *bytes = image->bytes + sl_pqw_column_raw_bytes(column);
        return NULL;
    }
    if (in_raw &&
        !sl_buffer_append(image, sl_pqw_column_raw(column), sl_pqw_column_raw_bytes(column))) {
        return sl_error_no_memory();
    }
    *body = image->data;
    *bytes = image->bytes;
    return NULL;
}

static void add_raw_stats(sl_pqw_column *column) {
    if (column->leaf->width > 0) {
        sl_pqw_stats_add(&column->stats, sl_pqw_column_raw(column), column->values,
                         column->leaf->width);
    } else {
        sl_pqw_stats_add_strings(&column->stats, sl_pqw_column_raw(column),
                                 (const uint32_t *)(const void *)column->lengths.data,
                                 column->values);
    }
}

sl_error *sl_pqw_column_flush_page(sl_pqw_column_context *context, sl_pqw_column *column) {
    bool dictionary = column->mode == SL_PQW_DICTIONARY;
    sl_parquet_encoding encoding = column->values == 0 ? SL_PARQUET_PLAIN
                                   : dictionary        ? SL_PARQUET_RLE_DICTIONARY
                                                       : column->raw_encoding;
    level_bytes levels;
    const uint8_t *body = NULL;
    size_t bytes = 0;
    sl_pqw_column_page *page = NULL;
    if (column->entries == 0) {
        return NULL;
    }
    sl_error *error = assemble(context, column, encoding, &levels, &body, &bytes);
    if (error == NULL) {
        error = context->options.page_version == 1
                    ? page_v1(context, column, encoding, body, bytes, &page)
                    : page_v2(context, column, encoding, body, bytes, levels, &page);
    }
    if (error != NULL) {
        return error;
    }
    if (column->last_page == NULL) {
        column->first_page = page;
    } else {
        column->last_page->next = page;
    }
    column->last_page = page;
    column->page_bytes += page->bytes;
    column->uncompressed_bytes += context->header.bytes + bytes;
    column->pages[encoding]++;
    column->chunk_entries += (int64_t)column->entries;
    column->chunk_values += (int64_t)column->values;
    if (!dictionary) {
        add_raw_stats(column);
    }
    sl_pqw_column_empty_page(column);
    return NULL;
}

sl_error *sl_pqw_column_make_dictionary_page(sl_pqw_column_context *context,
                                             sl_pqw_column *column) {
    const sl_buffer *payload = &column->dictionary.page;
    sl_buffer_clear(&context->packed);
    sl_error *error = sl_pqw_compress(&context->compressor, NULL, payload->data, payload->bytes,
                                      &context->packed);
    if (error != NULL) {
        return error;
    }
    sl_thrift_writer thrift;
    begin_header(&thrift, &context->header, SL_PARQUET_DICTIONARY_PAGE, payload->bytes,
                 context->packed.bytes);
    sl_thrift_struct(&thrift, SL_PARQUET_F_PAGE_DICTIONARY_HEADER);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DICTIONARY_NUM_VALUES, (int32_t)column->dictionary.count);
    sl_thrift_i32(&thrift, SL_PARQUET_F_DICTIONARY_ENCODING, SL_PARQUET_PLAIN);
    sl_thrift_end(&thrift);
    sl_thrift_end(&thrift);
    column->dictionary_page =
        new_page(&context->header, NULL, 0, context->packed.data, context->packed.bytes);
    if (column->dictionary_page == NULL) {
        return sl_error_no_memory();
    }
    column->page_bytes += column->dictionary_page->bytes;
    column->uncompressed_bytes += context->header.bytes + payload->bytes;
    return NULL;
}
