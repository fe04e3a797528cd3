/*
 * Decodes FileMetaData (parquet.thrift) into structs. Arrays grow while elements really come, each
 * of which must hold its required fields, so that a count in a small file cannot ask for much
 * memory.
 */
#include "parquet/reader_footer.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "parquet/thrift_decode.h"

/* Elements of a schema; a wide table has a few thousand. */
#define MAX_ELEMENTS 131072

typedef struct footer_decoder {
    sl_thrift_decoder thrift;
    bool no_memory;
} footer_decoder;

/* Room for element `n` of an array that doubles; zeroes it. NULL: memory is short. */
static void *grow(footer_decoder *decoder, void *array, size_t n, size_t element_bytes) {
    if ((n & (n - 1)) != 0) {
        return array; /* it has grown to the next power of two already */
    }
    size_t bytes;
    size_t capacity = n == 0 ? 1 : n * 2;
    void *grown = sl_mul_size(capacity, element_bytes, &bytes) ? realloc(array, bytes) : NULL;
    if (grown == NULL) {
        decoder->no_memory = true;
        sl_thrift_in_fail(&decoder->thrift, "out of memory");
    }
    return grown;
}

static sl_pqr_text read_text(sl_thrift_decoder *thrift, const sl_thrift_in_field *field) {
    sl_pqr_text text;
    text.data = sl_thrift_in_binary(thrift, field, &text.bytes);
    return text;
}

/* ---- schema ---- */

static void read_time_unit(sl_thrift_decoder *thrift, sl_pqr_element *element) {
    sl_thrift_in_field field = {0};
    while (sl_thrift_next_field(thrift, &field)) {
        element->unit = field.id;
        sl_thrift_skip(thrift, &field);
    }
}

/* The struct of a LogicalType that has fields of its own. */
static void read_logical_fields(sl_thrift_decoder *thrift, sl_pqr_element *element) {
    sl_thrift_in_field field = {0};
    while (sl_thrift_next_field(thrift, &field)) {
        bool time = element->logical == SL_PARQUET_F_LOGICAL_TIME ||
                    element->logical == SL_PARQUET_F_LOGICAL_TIMESTAMP;
        if (time && field.id == SL_PARQUET_F_TIMESTAMP_IS_ADJUSTED_TO_UTC) {
            element->utc = sl_thrift_in_bool(thrift, &field);
        } else if (time && field.id == SL_PARQUET_F_TIMESTAMP_UNIT &&
                   sl_thrift_in_struct(thrift, &field)) {
            read_time_unit(thrift, element);
        } else if (element->logical == SL_PARQUET_F_LOGICAL_DECIMAL &&
                   field.id == SL_PARQUET_F_DECIMAL_SCALE) {
            element->scale = sl_thrift_in_i32(thrift, &field);
        } else if (element->logical == SL_PARQUET_F_LOGICAL_DECIMAL &&
                   field.id == SL_PARQUET_F_DECIMAL_PRECISION) {
            element->precision = sl_thrift_in_i32(thrift, &field);
        } else if (element->logical == SL_PARQUET_F_LOGICAL_INTEGER &&
                   field.id == SL_PARQUET_F_INTEGER_BIT_WIDTH) {
            element->bit_width = sl_thrift_in_i32(thrift, &field);
        } else if (element->logical == SL_PARQUET_F_LOGICAL_INTEGER &&
                   field.id == SL_PARQUET_F_INTEGER_IS_SIGNED) {
            element->is_signed = sl_thrift_in_bool(thrift, &field);
        } else {
            sl_thrift_skip(thrift, &field);
        }
    }
}

static void read_logical(sl_thrift_decoder *thrift, sl_pqr_element *element) {
    sl_thrift_in_field field = {0};
    while (sl_thrift_next_field(thrift, &field)) {
        element->logical = field.id;
        if (sl_thrift_in_struct(thrift, &field)) {
            read_logical_fields(thrift, element);
        }
    }
}

static void read_element_field(sl_thrift_decoder *thrift, const sl_thrift_in_field *field,
                               sl_pqr_element *element) {
    switch (field->id) {
    case SL_PARQUET_F_SCHEMA_TYPE:
        element->type = sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_SCHEMA_TYPE_LENGTH:
        element->type_length = sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_SCHEMA_REPETITION_TYPE:
        element->repetition = sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_SCHEMA_NAME:
        element->name = read_text(thrift, field);
        break;
    case SL_PARQUET_F_SCHEMA_NUM_CHILDREN:
        element->n_children = sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_SCHEMA_CONVERTED_TYPE:
        element->converted = sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_SCHEMA_SCALE:
        element->scale = sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_SCHEMA_PRECISION:
        element->precision = sl_thrift_in_i32(thrift, field);
        break;
    case SL_PARQUET_F_SCHEMA_LOGICAL_TYPE:
        if (sl_thrift_in_struct(thrift, field)) {
            read_logical(thrift, element);
        }
        break;
    default:
        sl_thrift_skip(thrift, field);
        break;
    }
}

static void read_schema(footer_decoder *decoder, const sl_thrift_in_field *list,
                        sl_pqr_footer *footer) {
    sl_thrift_decoder *thrift = &decoder->thrift;
    size_t count = sl_thrift_in_list(thrift, list, SL_THRIFT_STRUCT);
    if (footer->n_elements > 0) {
        sl_thrift_in_fail(thrift, "FileMetaData has two schemas");
    }
    if (count > MAX_ELEMENTS) {
        sl_thrift_in_fail(thrift, "the schema has more than 131,072 elements");
    }
    for (size_t i = 0; i < count && thrift->failure == NULL; i++) {
        void *grown = grow(decoder, footer->elements, i, sizeof(*footer->elements));
        if (grown == NULL) {
            return;
        }
        footer->elements = grown;
        footer->elements[i] =
            (sl_pqr_element){.type = -1, .repetition = -1, .converted = -1, .n_children = 0};
        sl_thrift_in_field field = {0};
        while (sl_thrift_next_field(thrift, &field)) {
            read_element_field(thrift, &field, &footer->elements[i]);
        }
        if (footer->elements[i].name.data == NULL) {
            sl_thrift_in_fail(thrift, "a SchemaElement has no name");
        }
        footer->n_elements = i + 1;
    }
}

/* ---- row groups ---- */

static void read_statistics(sl_thrift_decoder *thrift, sl_pqr_chunk *chunk) {
    sl_thrift_in_field field = {0};
    while (sl_thrift_next_field(thrift, &field)) {
        switch (field.id) {
        case SL_PARQUET_F_STATISTICS_MAX:
            chunk->max = read_text(thrift, &field);
            break;
        case SL_PARQUET_F_STATISTICS_MIN:
            chunk->min = read_text(thrift, &field);
            break;
        case SL_PARQUET_F_STATISTICS_NULL_COUNT:
            chunk->null_count = sl_thrift_in_i64(thrift, &field);
            break;
        case SL_PARQUET_F_STATISTICS_MAX_VALUE:
            chunk->max_value = read_text(thrift, &field);
            break;
        case SL_PARQUET_F_STATISTICS_MIN_VALUE:
            chunk->min_value = read_text(thrift, &field);
            break;
        case SL_PARQUET_F_STATISTICS_IS_MAX_VALUE_EXACT:
            chunk->max_exact = sl_thrift_in_bool(thrift, &field);
            break;
        case SL_PARQUET_F_STATISTICS_IS_MIN_VALUE_EXACT:
            chunk->min_exact = sl_thrift_in_bool(thrift, &field);
            break;
        default:
            sl_thrift_skip(thrift, &field);
            break;
        }
    }
}

static void read_meta_data(sl_thrift_decoder *thrift, sl_pqr_chunk *chunk) {
    sl_thrift_in_field field = {0};
    unsigned required = 0;
    while (sl_thrift_next_field(thrift, &field)) {
        required |= field.id < 32 && field.id >= 0 ? 1u << field.id : 0;
        switch (field.id) {
        case SL_PARQUET_F_COLUMN_TYPE:
            chunk->type = sl_thrift_in_i32(thrift, &field);
            break;
        case SL_PARQUET_F_COLUMN_CODEC:
            chunk->codec = sl_thrift_in_i32(thrift, &field);
            break;
        case SL_PARQUET_F_COLUMN_NUM_VALUES:
            chunk->n_values = sl_thrift_in_i64(thrift, &field);
            break;
        case SL_PARQUET_F_COLUMN_TOTAL_COMPRESSED_SIZE:
            chunk->compressed_bytes = sl_thrift_in_i64(thrift, &field);
            break;
        case SL_PARQUET_F_COLUMN_DATA_PAGE_OFFSET:
            chunk->data_page_offset = sl_thrift_in_i64(thrift, &field);
            break;
        case SL_PARQUET_F_COLUMN_DICTIONARY_PAGE_OFFSET:
            chunk->dictionary_page_offset = sl_thrift_in_i64(thrift, &field);
            break;
        case SL_PARQUET_F_COLUMN_STATISTICS:
            if (sl_thrift_in_struct(thrift, &field)) {
                read_statistics(thrift, chunk);
            }
            break;
        default:
            sl_thrift_skip(thrift, &field);
            break;
        }
    }
    unsigned wanted = 1u << SL_PARQUET_F_COLUMN_TYPE | 1u << SL_PARQUET_F_COLUMN_CODEC |
                      1u << SL_PARQUET_F_COLUMN_NUM_VALUES |
                      1u << SL_PARQUET_F_COLUMN_TOTAL_COMPRESSED_SIZE |
                      1u << SL_PARQUET_F_COLUMN_DATA_PAGE_OFFSET;
    if ((required & wanted) != wanted) {
        sl_thrift_in_fail(thrift, "a ColumnMetaData lacks required fields");
    }
    chunk->has_meta_data = true;
}

static void read_chunk(sl_thrift_decoder *thrift, sl_pqr_chunk *chunk) {
    sl_thrift_in_field field = {0};
    while (sl_thrift_next_field(thrift, &field)) {
        if (field.id == SL_PARQUET_F_CHUNK_META_DATA && sl_thrift_in_struct(thrift, &field)) {
            read_meta_data(thrift, chunk);
        } else {
            /* crypto_metadata and encrypted_column_metadata are fields 8 and 9 */
            chunk->encrypted = chunk->encrypted || field.id == 8 || field.id == 9;
            chunk->external = chunk->external || field.id == SL_PARQUET_F_CHUNK_FILE_PATH;
            sl_thrift_skip(thrift, &field);
        }
    }
    if (!chunk->has_meta_data && !chunk->encrypted) {
        sl_thrift_in_fail(thrift, "a ColumnChunk has no meta_data");
    }
}

static void read_chunks(footer_decoder *decoder, const sl_thrift_in_field *list,
                        sl_pqr_row_group *group) {
    sl_thrift_decoder *thrift = &decoder->thrift;
    size_t count = sl_thrift_in_list(thrift, list, SL_THRIFT_STRUCT);
    if (group->n_chunks > 0) {
        sl_thrift_in_fail(thrift, "a RowGroup has two lists of columns");
    }
    for (size_t i = 0; i < count && thrift->failure == NULL; i++) {
        void *grown = grow(decoder, group->chunks, i, sizeof(*group->chunks));
        if (grown == NULL) {
            return;
        }
        group->chunks = grown;
        group->chunks[i] = (sl_pqr_chunk){.null_count = -1};
        read_chunk(thrift, &group->chunks[i]);
        group->n_chunks = i + 1;
    }
}

static void read_row_groups(footer_decoder *decoder, const sl_thrift_in_field *list,
                            sl_pqr_footer *footer) {
    sl_thrift_decoder *thrift = &decoder->thrift;
    size_t count = sl_thrift_in_list(thrift, list, SL_THRIFT_STRUCT);
    if (footer->n_row_groups > 0) {
        sl_thrift_in_fail(thrift, "FileMetaData has two lists of row groups");
    }
    for (size_t i = 0; i < count && thrift->failure == NULL; i++) {
        void *grown = grow(decoder, footer->row_groups, i, sizeof(*footer->row_groups));
        if (grown == NULL) {
            return;
        }
        footer->row_groups = grown;
        sl_pqr_row_group *group = &footer->row_groups[i];
        *group = (sl_pqr_row_group){.n_rows = -1};
        footer->n_row_groups = i + 1;
        sl_thrift_in_field field = {0};
        while (sl_thrift_next_field(thrift, &field)) {
            if (field.id == SL_PARQUET_F_ROW_GROUP_COLUMNS) {
                read_chunks(decoder, &field, group);
            } else if (field.id == SL_PARQUET_F_ROW_GROUP_NUM_ROWS) {
                group->n_rows = sl_thrift_in_i64(thrift, &field);
            } else {
                sl_thrift_skip(thrift, &field);
            }
        }
        if (group->n_rows < 0) {
            sl_thrift_in_fail(thrift, "a RowGroup has no num_rows, or a negative one");
        }
    }
}

/* ---- the rest ---- */

static void read_key_values(footer_decoder *decoder, const sl_thrift_in_field *list,
                            sl_pqr_footer *footer) {
    sl_thrift_decoder *thrift = &decoder->thrift;
    size_t count = sl_thrift_in_list(thrift, list, SL_THRIFT_STRUCT);
    if (footer->n_key_values > 0) {
        sl_thrift_in_fail(thrift, "FileMetaData has two lists of key-value metadata");
    }
    for (size_t i = 0; i < count && thrift->failure == NULL; i++) {
        void *grown = grow(decoder, footer->key_values, i, sizeof(*footer->key_values));
        if (grown == NULL) {
            return;
        }
        footer->key_values = grown;
        sl_pqr_key_value *pair = &footer->key_values[i];
        *pair = (sl_pqr_key_value){.value = {.data = NULL}};
        sl_thrift_in_field field = {0};
        while (sl_thrift_next_field(thrift, &field)) {
            if (field.id == SL_PARQUET_F_KEY_VALUE_KEY) {
                pair->key = read_text(thrift, &field);
            } else if (field.id == SL_PARQUET_F_KEY_VALUE_VALUE) {
                pair->value = read_text(thrift, &field);
            } else {
                sl_thrift_skip(thrift, &field);
            }
        }
        if (pair->key.data == NULL) {
            sl_thrift_in_fail(thrift, "a KeyValue has no key");
        }
        footer->n_key_values = i + 1;
    }
}

static void read_file_field(footer_decoder *decoder, const sl_thrift_in_field *field,
                            sl_pqr_footer *footer) {
    switch (field->id) {
    case SL_PARQUET_F_FILE_SCHEMA:
        read_schema(decoder, field, footer);
        break;
    case SL_PARQUET_F_FILE_NUM_ROWS:
        footer->n_rows = sl_thrift_in_i64(&decoder->thrift, field);
        break;
    case SL_PARQUET_F_FILE_ROW_GROUPS:
        read_row_groups(decoder, field, footer);
        break;
    case SL_PARQUET_F_FILE_KEY_VALUE_METADATA:
        read_key_values(decoder, field, footer);
        break;
    case SL_PARQUET_F_FILE_CREATED_BY:
        footer->created_by = read_text(&decoder->thrift, field);
        break;
    case SL_PARQUET_F_FILE_COLUMN_ORDERS:
        footer->has_column_orders = true;
        sl_thrift_skip(&decoder->thrift, field);
        break;
    default:
        sl_thrift_skip(&decoder->thrift, field);
        break;
    }
}

sl_error *sl_pqr_footer_decode(const uint8_t *data, size_t bytes, sl_pqr_footer *out) {
    footer_decoder decoder = {.no_memory = false};
    sl_pqr_footer footer = {.n_rows = -1};
    sl_thrift_in_init(&decoder.thrift, data, bytes);
    sl_thrift_in_field field = {0};
    const uint8_t *last = data;
    while (sl_thrift_next_field(&decoder.thrift, &field)) {
        last = decoder.thrift.at;
        read_file_field(&decoder, &field, &footer);
    }
    if (decoder.thrift.failure == NULL && (footer.n_elements == 0 || footer.n_rows < 0)) {
        decoder.thrift.failure = "FileMetaData lacks its schema or num_rows";
    }
    if (decoder.thrift.failure == NULL) {
        *out = footer;
        return NULL;
    }
    sl_pqr_footer_free(&footer);
    if (decoder.no_memory) {
        return sl_error_no_memory();
    }
    return sl_error_new(SL_ERROR_CORRUPT,
                        "%s (in field %d of FileMetaData, which begins at byte %zu of the footer)",
                        decoder.thrift.failure, (int)field.id, (size_t)(last - data));
}

void sl_pqr_footer_free(sl_pqr_footer *footer) {
    for (size_t i = 0; i < footer->n_row_groups; i++) {
        free(footer->row_groups[i].chunks);
    }
    free(footer->row_groups);
    free(footer->key_values);
    free(footer->elements);
    memset(footer, 0, sizeof(*footer));
}
