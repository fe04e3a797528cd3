/* The footer: see writer_footer.h. */
#include "parquet/writer_footer.h"

#include <string.h>

#include "parquet/thrift_write.h"

#define FORMAT_VERSION 2
#define CREATED_BY "sluice version " SL_VERSION

/* ---- schema ---- */

typedef struct integer_type {
    sl_type_id id;
    int8_t bits;
    bool is_signed;
    sl_parquet_converted_type converted;
} integer_type;

static const integer_type integers[] = {
    {SL_TYPE_INT8, 8, true, SL_PARQUET_INT_8},
    {SL_TYPE_INT16, 16, true, SL_PARQUET_INT_16},
    {SL_TYPE_UINT8, 8, false, SL_PARQUET_UINT_8},
    {SL_TYPE_UINT16, 16, false, SL_PARQUET_UINT_16},
    {SL_TYPE_UINT32, 32, false, SL_PARQUET_UINT_32},
    {SL_TYPE_UINT64, 64, false, SL_PARQUET_UINT_64},
};

static void put_converted(sl_thrift_writer *t, sl_parquet_converted_type converted) {
    sl_thrift_i32(t, SL_PARQUET_F_SCHEMA_CONVERTED_TYPE, (int32_t)converted);
}

/* LogicalType with a member that has no fields. */
static void put_logical(sl_thrift_writer *t, int16_t member) {
    sl_thrift_struct(t, SL_PARQUET_F_SCHEMA_LOGICAL_TYPE);
    sl_thrift_empty_struct(t, member);
    sl_thrift_end(t);
}

static void put_timestamp(sl_thrift_writer *t, bool utc) {
    if (utc) { /* the converted type would make local time an instant */
        put_converted(t, SL_PARQUET_TIMESTAMP_MICROS);
    }
    sl_thrift_struct(t, SL_PARQUET_F_SCHEMA_LOGICAL_TYPE);
    sl_thrift_struct(t, SL_PARQUET_F_LOGICAL_TIMESTAMP);
    sl_thrift_bool(t, SL_PARQUET_F_TIMESTAMP_IS_ADJUSTED_TO_UTC, utc);
    sl_thrift_struct(t, SL_PARQUET_F_TIMESTAMP_UNIT);
    sl_thrift_empty_struct(t, SL_PARQUET_F_TIME_UNIT_MICROS);
    sl_thrift_end(t);
    sl_thrift_end(t);
    sl_thrift_end(t);
}

static void put_decimal(sl_thrift_writer *t, const sl_type *type) {
    put_converted(t, SL_PARQUET_DECIMAL);
    sl_thrift_i32(t, SL_PARQUET_F_SCHEMA_SCALE, type->scale);
    sl_thrift_i32(t, SL_PARQUET_F_SCHEMA_PRECISION, type->precision);
    sl_thrift_struct(t, SL_PARQUET_F_SCHEMA_LOGICAL_TYPE);
    sl_thrift_struct(t, SL_PARQUET_F_LOGICAL_DECIMAL);
    sl_thrift_i32(t, SL_PARQUET_F_DECIMAL_SCALE, type->scale);
    sl_thrift_i32(t, SL_PARQUET_F_DECIMAL_PRECISION, type->precision);
    sl_thrift_end(t);
    sl_thrift_end(t);
}

static void put_integer(sl_thrift_writer *t, const integer_type *integer) {
    put_converted(t, integer->converted);
    sl_thrift_struct(t, SL_PARQUET_F_SCHEMA_LOGICAL_TYPE);
    sl_thrift_struct(t, SL_PARQUET_F_LOGICAL_INTEGER);
    sl_thrift_byte(t, SL_PARQUET_F_INTEGER_BIT_WIDTH, integer->bits);
    sl_thrift_bool(t, SL_PARQUET_F_INTEGER_IS_SIGNED, integer->is_signed);
    sl_thrift_end(t);
    sl_thrift_end(t);
}

/* What the stored values of a leaf mean. */
static void put_meaning(sl_thrift_writer *t, const sl_type *type) {
    switch (type->id) {
    case SL_TYPE_UTF8:
        put_converted(t, SL_PARQUET_UTF8);
        put_logical(t, SL_PARQUET_F_LOGICAL_STRING);
        return;
    case SL_TYPE_DATE32:
        put_converted(t, SL_PARQUET_DATE);
        put_logical(t, SL_PARQUET_F_LOGICAL_DATE);
        return;
    case SL_TYPE_TIMESTAMP_UTC:
    case SL_TYPE_TIMESTAMP_NTZ:
        put_timestamp(t, type->id == SL_TYPE_TIMESTAMP_UTC);
        return;
    case SL_TYPE_DECIMAL128:
        put_decimal(t, type);
        return;
    default:
        for (size_t i = 0; i < SL_ARRAY_LENGTH(integers); i++) {
            if (integers[i].id == type->id) {
                put_integer(t, &integers[i]);
            }
        }
    }
}

/* A SchemaElement without children. `physical` < 0: a group. */
typedef struct element {
    const char *name;
    int physical;
    int32_t type_length;
    sl_parquet_repetition repetition;
    int32_t children;
} element;

static void begin_element(sl_thrift_writer *t, sl_buffer *out, const element *e) {
    sl_thrift_begin(t, out);
    if (e->physical >= 0) {
        sl_thrift_i32(t, SL_PARQUET_F_SCHEMA_TYPE, e->physical);
    }
    if (e->type_length > 0) {
        sl_thrift_i32(t, SL_PARQUET_F_SCHEMA_TYPE_LENGTH, e->type_length);
    }
    sl_thrift_i32(t, SL_PARQUET_F_SCHEMA_REPETITION_TYPE, (int32_t)e->repetition);
    sl_thrift_text(t, SL_PARQUET_F_SCHEMA_NAME, e->name);
    if (e->physical < 0) {
        sl_thrift_i32(t, SL_PARQUET_F_SCHEMA_NUM_CHILDREN, e->children);
    }
}

static size_t put_field(const struct ArrowSchema *field, const char *name, sl_buffer *out);

static size_t put_leaf(const sl_type *type, const char *name, sl_parquet_repetition repetition,
                       sl_buffer *out) {
    sl_thrift_writer t;
    size_t width;
    element e = {name, 0, 0, repetition, 0};
    e.physical = (int)sl_pqw_leaf_physical(type, &width);
    if (e.physical == SL_PARQUET_FIXED_LEN_BYTE_ARRAY) {
        e.type_length = (int32_t)width;
    }
    begin_element(&t, out, &e);
    put_meaning(&t, type);
    sl_thrift_end(&t);
    return 1;
}

/* The outer group and the repeated one of a list or map; `inner` is the latter's name. */
static void put_repeated(const char *name, sl_parquet_repetition repetition, bool map,
                         sl_buffer *out) {
    sl_thrift_writer t;
    const element outer = {name, -1, 0, repetition, 1};
    begin_element(&t, out, &outer);
    put_converted(&t, map ? SL_PARQUET_MAP : SL_PARQUET_LIST);
    put_logical(&t, map ? SL_PARQUET_F_LOGICAL_MAP : SL_PARQUET_F_LOGICAL_LIST);
    sl_thrift_end(&t);
    const element inner = {map ? SL_PQW_MAP_GROUP : SL_PQW_LIST_GROUP, -1, 0, SL_PARQUET_REPEATED,
                           map ? 2 : 1};
    begin_element(&t, out, &inner);
    sl_thrift_end(&t);
}

static size_t put_field(const struct ArrowSchema *field, const char *name, sl_buffer *out) {
    sl_type type;
    bool nullable = (field->flags & ARROW_FLAG_NULLABLE) != 0;
    sl_parquet_repetition repetition = nullable ? SL_PARQUET_OPTIONAL : SL_PARQUET_REQUIRED;
    (void)sl_type_parse(field->format, &type); /* sl_pqw_leaves_new has checked it */
    if (type.id == SL_TYPE_LIST) {
        put_repeated(name, repetition, false, out);
        return 2 + put_field(field->children[0], SL_PQW_LIST_ELEMENT, out);
    }
    if (type.id == SL_TYPE_MAP) {
        const struct ArrowSchema *entries = field->children[0];
        put_repeated(name, repetition, true, out);
        return 2 + put_field(entries->children[0], SL_PQW_MAP_KEY, out) +
               put_field(entries->children[1], SL_PQW_MAP_VALUE, out);
    }
    if (type.id != SL_TYPE_STRUCT) {
        return put_leaf(&type, name, repetition, out);
    }
    sl_thrift_writer t;
    const element group = {name, -1, 0, repetition, (int32_t)field->n_children};
    begin_element(&t, out, &group);
    sl_thrift_end(&t);
    size_t n = 1;
    for (int64_t i = 0; i < field->n_children; i++) {
        const struct ArrowSchema *child = field->children[i];
        n += put_field(child, child->name == NULL ? "" : child->name, out);
    }
    return n;
}

size_t sl_pqw_footer_schema(const struct ArrowSchema *schema, sl_buffer *out) {
    sl_thrift_writer t;
    size_t n = 1;
    sl_thrift_begin(&t, out);
    sl_thrift_text(&t, SL_PARQUET_F_SCHEMA_NAME, "schema");
    sl_thrift_i32(&t, SL_PARQUET_F_SCHEMA_NUM_CHILDREN, (int32_t)schema->n_children);
    sl_thrift_end(&t);
    for (int64_t i = 0; i < schema->n_children; i++) {
        const struct ArrowSchema *child = schema->children[i];
        n += put_field(child, child->name == NULL ? "" : child->name, out);
    }
    return n;
}

/* ---- statistics ---- */

/* A value in PLAIN form; returns its bytes. */
static size_t plain_value(const sl_pqw_leaf *leaf, const sl_parquet_value *value,
                          const uint8_t **data, uint8_t *scratch) {
    *data = scratch;
    if (leaf->stats == SL_PQW_STATS_BYTES) {
        *data = value->data;
        return value->bytes;
    }
    if (leaf->stats == SL_PQW_STATS_FLOAT) {
        float narrow = (float)value->f64;
        memcpy(scratch, &narrow, sizeof(narrow));
    } else if (leaf->stats == SL_PQW_STATS_BIG_ENDIAN) {
        for (size_t i = 0; i < leaf->width; i++) {
            scratch[i] = value->decimal[leaf->width - 1 - i];
        }
    } else { /* little-endian numbers: the low bytes come first */
        memcpy(scratch, value->decimal, sizeof(value->decimal));
    }
    return leaf->width;
}

/*
 * A chunk with NaN shows no bounds: engines that order NaN above all numbers (Spark) would skip it
 * wrongly.
 */
static void put_statistics(sl_thrift_writer *t, const sl_pqw_column *column) {
    const sl_pqw_leaf *leaf = column->leaf;
    uint8_t memory[2 * SL_PQW_STATS_STRING_BYTES];
    uint8_t scratch[16];
    sl_parquet_column d = {.type = leaf->type};
    const uint8_t *data;
    sl_pqw_stats_describe(&column->stats, &d, memory);
    bool bounds = !d.has_nan;
    sl_thrift_struct(t, SL_PARQUET_F_COLUMN_STATISTICS);
    sl_thrift_i64(t, SL_PARQUET_F_STATISTICS_NULL_COUNT,
                  column->chunk_entries - column->chunk_values);
    if (bounds && d.has_max) {
        size_t bytes = plain_value(leaf, &d.max, &data, scratch);
        sl_thrift_binary(t, SL_PARQUET_F_STATISTICS_MAX_VALUE, data, bytes);
    }
    if (bounds && d.has_min) {
        size_t bytes = plain_value(leaf, &d.min, &data, scratch);
        sl_thrift_binary(t, SL_PARQUET_F_STATISTICS_MIN_VALUE, data, bytes);
    }
    if (bounds && d.has_max) {
        sl_thrift_bool(t, SL_PARQUET_F_STATISTICS_IS_MAX_VALUE_EXACT, d.max_exact);
    }
    if (bounds && d.has_min) {
        sl_thrift_bool(t, SL_PARQUET_F_STATISTICS_IS_MIN_VALUE_EXACT, d.min_exact);
    }
    sl_thrift_end(t);
}

/* ---- chunks and row groups ---- */

static void put_encodings(sl_thrift_writer *t, const sl_pqw_column *column) {
    bool used[SL_PQW_ENCODINGS] = {false};
    size_t n = 0;
    used[SL_PARQUET_RLE] = true; /* levels */
    used[SL_PARQUET_PLAIN] = column->dictionary_page != NULL;
    for (int i = 0; i < SL_PQW_ENCODINGS; i++) {
        used[i] = used[i] || column->pages[i] > 0;
        n += used[i];
    }
    sl_thrift_list(t, SL_PARQUET_F_COLUMN_ENCODINGS, SL_THRIFT_I32, n);
    for (int i = 0; i < SL_PQW_ENCODINGS; i++) {
        if (used[i]) {
            sl_thrift_element_i32(t, i);
        }
    }
}

static void put_encoding_count(sl_thrift_writer *t, sl_parquet_page_type type, int encoding,
                               int32_t count) {
    sl_thrift_element_struct(t);
    sl_thrift_i32(t, SL_PARQUET_F_ENCODING_STATS_PAGE_TYPE, (int32_t)type);
    sl_thrift_i32(t, SL_PARQUET_F_ENCODING_STATS_ENCODING, encoding);
    sl_thrift_i32(t, SL_PARQUET_F_ENCODING_STATS_COUNT, count);
    sl_thrift_end(t);
}

/* Tells readers whether a dictionary covers all pages. */
static void put_encoding_stats(sl_thrift_writer *t, const sl_pqw_column *column,
                               sl_parquet_page_type data_page) {
    size_t n = column->dictionary_page != NULL;
    for (int i = 0; i < SL_PQW_ENCODINGS; i++) {
        n += column->pages[i] > 0;
    }
    sl_thrift_list(t, SL_PARQUET_F_COLUMN_ENCODING_STATS, SL_THRIFT_STRUCT, n);
    if (column->dictionary_page != NULL) {
        put_encoding_count(t, SL_PARQUET_DICTIONARY_PAGE, SL_PARQUET_PLAIN, 1);
    }
    for (int i = 0; i < SL_PQW_ENCODINGS; i++) {
        if (column->pages[i] > 0) {
            put_encoding_count(t, data_page, i, column->pages[i]);
        }
    }
}

static void put_chunk(sl_thrift_writer *t, const sl_pqw_footer_row_group *group,
                      const sl_pqw_column *column, int64_t offset) {
    const sl_pqw_leaf *leaf = column->leaf;
    int64_t data_offset = offset;
    if (column->dictionary_page != NULL) {
        data_offset += (int64_t)column->dictionary_page->bytes;
    }
    sl_thrift_element_struct(t);
    sl_thrift_i64(t, SL_PARQUET_F_CHUNK_FILE_OFFSET, offset);
    sl_thrift_struct(t, SL_PARQUET_F_CHUNK_META_DATA);
    sl_thrift_i32(t, SL_PARQUET_F_COLUMN_TYPE, (int32_t)leaf->physical);
    put_encodings(t, column);
    sl_thrift_list(t, SL_PARQUET_F_COLUMN_PATH_IN_SCHEMA, SL_THRIFT_BINARY, leaf->n_path);
    for (size_t i = 0; i < leaf->n_path; i++) {
        sl_thrift_element_text(t, leaf->path[i]);
    }
    sl_thrift_i32(t, SL_PARQUET_F_COLUMN_CODEC, (int32_t)group->codec);
    sl_thrift_i64(t, SL_PARQUET_F_COLUMN_NUM_VALUES, column->chunk_entries);
    sl_thrift_i64(t, SL_PARQUET_F_COLUMN_TOTAL_UNCOMPRESSED_SIZE,
                  (int64_t)column->uncompressed_bytes);
    sl_thrift_i64(t, SL_PARQUET_F_COLUMN_TOTAL_COMPRESSED_SIZE, (int64_t)column->page_bytes);
    sl_thrift_i64(t, SL_PARQUET_F_COLUMN_DATA_PAGE_OFFSET, data_offset);
    if (column->dictionary_page != NULL) {
        sl_thrift_i64(t, SL_PARQUET_F_COLUMN_DICTIONARY_PAGE_OFFSET, offset);
    }
    put_statistics(t, column);
    put_encoding_stats(t, column, group->data_page);
    sl_thrift_end(t);
    sl_thrift_end(t);
}

void sl_pqw_footer_append_row_group(const sl_pqw_footer_row_group *group, sl_buffer *out) {
    sl_thrift_writer t;
    int64_t offset = group->offset;
    int64_t uncompressed = 0;
    sl_thrift_begin(&t, out);
    sl_thrift_list(&t, SL_PARQUET_F_ROW_GROUP_COLUMNS, SL_THRIFT_STRUCT, group->n_columns);
    for (size_t i = 0; i < group->n_columns; i++) {
        put_chunk(&t, group, &group->columns[i], offset);
        offset += (int64_t)group->columns[i].page_bytes;
        uncompressed += (int64_t)group->columns[i].uncompressed_bytes;
    }
    sl_thrift_i64(&t, SL_PARQUET_F_ROW_GROUP_TOTAL_BYTE_SIZE, uncompressed);
    sl_thrift_i64(&t, SL_PARQUET_F_ROW_GROUP_NUM_ROWS, group->rows);
    sl_thrift_i64(&t, SL_PARQUET_F_ROW_GROUP_FILE_OFFSET, group->offset);
    sl_thrift_i64(&t, SL_PARQUET_F_ROW_GROUP_TOTAL_COMPRESSED_SIZE, offset - group->offset);
    if (group->ordinal <= INT16_MAX) {
        sl_thrift_i16(&t, SL_PARQUET_F_ROW_GROUP_ORDINAL, (int16_t)group->ordinal);
    }
    sl_thrift_end(&t);
}

void sl_pqw_footer_append_file(const sl_pqw_footer_file *file, sl_buffer *out) {
    sl_thrift_writer t;
    size_t start = out->bytes;
    sl_thrift_begin(&t, out);
    sl_thrift_i32(&t, SL_PARQUET_F_FILE_VERSION, FORMAT_VERSION);
    sl_thrift_list(&t, SL_PARQUET_F_FILE_SCHEMA, SL_THRIFT_STRUCT, file->n_schema);
    sl_buffer_append(out, file->schema->data, file->schema->bytes);
    sl_thrift_i64(&t, SL_PARQUET_F_FILE_NUM_ROWS, file->rows);
    sl_thrift_list(&t, SL_PARQUET_F_FILE_ROW_GROUPS, SL_THRIFT_STRUCT, file->n_row_groups);
    if (file->n_row_groups > 0) {
        sl_buffer_append(out, file->row_groups->data, file->row_groups->bytes);
    }
    sl_thrift_text(&t, SL_PARQUET_F_FILE_CREATED_BY, CREATED_BY);
    sl_thrift_list(&t, SL_PARQUET_F_FILE_COLUMN_ORDERS, SL_THRIFT_STRUCT, file->n_columns);
    for (size_t i = 0; i < file->n_columns; i++) {
        sl_thrift_element_struct(&t);
        sl_thrift_empty_struct(&t, SL_PARQUET_F_COLUMN_ORDER_TYPE_ORDER);
        sl_thrift_end(&t);
    }
    sl_thrift_end(&t);
    uint32_t length = (uint32_t)(out->bytes - start);
    sl_buffer_append(out, &length, sizeof(length));
    sl_buffer_append(out, SL_PARQUET_MAGIC, SL_PARQUET_MAGIC_BYTES);
}
