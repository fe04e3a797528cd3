/*
 * columns: Arrow arrays and schemas (the Arrow C data interface) as the one shape of data inside
 * sluice. Builders, owned schema construction, copies, slices and row selection, sizes, hashing of
 * rows.
 *
 * Types in use, by Arrow format string: "b" boolean, "c s i l" int8..int64, "C S I L" unsigned, "f"
 * float, "g" double, "u" utf8, "z" binary (32-bit offsets), "w:N" fixed binary, "tdD" date32,
 * "tsu:UTC" timestamp of microseconds, "tsu:" without zone, "d:P,S" decimal128,
 * "+s" struct, "+l" list, "+m" map.
 *
 * Arrays that cross a node's edge have offset 0 at every level (the host makes it so), validity
 * bitmaps are absent (NULL) when null_count is 0, null_count is never -1, and a top-level batch is
 * a "+s" array without validity bitmap. Buffers may be read SL_COLUMNS_PADDING bytes past their
 * end.
 *
 * Any thread; one object by one thread at a time. Released arrays may be released from any thread.
 */
#ifndef SL_COLUMNS_H
#define SL_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"
#include "sluice/arrow.h"

/* Readable bytes past the end of every buffer that this library allocates (simdjson needs 64). */
#define SL_COLUMNS_PADDING 64

/* ---- types (type.c) ---- */

typedef enum sl_type_id {
    SL_TYPE_BOOL,
    SL_TYPE_INT8,
    SL_TYPE_INT16,
    SL_TYPE_INT32,
    SL_TYPE_INT64,
    SL_TYPE_UINT8,
    SL_TYPE_UINT16,
    SL_TYPE_UINT32,
    SL_TYPE_UINT64,
    SL_TYPE_FLOAT,
    SL_TYPE_DOUBLE,
    SL_TYPE_UTF8,
    SL_TYPE_BINARY,
    SL_TYPE_FIXED_BINARY,
    SL_TYPE_DATE32,
    SL_TYPE_TIMESTAMP_UTC,
    SL_TYPE_TIMESTAMP_NTZ,
    SL_TYPE_DECIMAL128,
    SL_TYPE_STRUCT,
    SL_TYPE_LIST,
    SL_TYPE_MAP
} sl_type_id;

typedef struct sl_type {
    sl_type_id id;
    int32_t width_bytes; /* of one value in the data buffer; 0: bits, variable or nested */
    int32_t precision;   /* decimal */
    int32_t scale;       /* decimal */
} sl_type;

/* Parses an Arrow format string; false when it is none of the types above. */
bool sl_type_parse(const char *format, sl_type *out);
/* "string", "decimal(12,2)", "timestamp", "struct<...>": for messages, in Delta's words. Appends to
 * `out`. */
bool sl_type_describe(const struct ArrowSchema *schema, sl_buffer *out);

/* ---- schemas (schema.c) ---- */

/* A struct schema "+s" with room for n_fields children; fill each with sl_schema_set_field. Owned:
 * out->release(out). */
sl_error *sl_schema_new_struct(size_t n_fields, struct ArrowSchema *out);
/* Makes child `index` a leaf or nested field; `format` and `name` are copied. For "+s", "+l"
 * n_children children are made empty. */
sl_error *sl_schema_set_field(struct ArrowSchema *parent, size_t index, const char *name,
                              const char *format, bool nullable, size_t n_children);
/* Deep copy with metadata. */
sl_error *sl_schema_copy(const struct ArrowSchema *schema, struct ArrowSchema *out);
/* Equal in names, formats, nullability and children (metadata apart). */
bool sl_schema_equal(const struct ArrowSchema *a, const struct ArrowSchema *b);
/* Index of the child called `name`, or -1. */
int64_t sl_schema_find(const struct ArrowSchema *schema, const char *name);
/*
 * Resolves a dotted path into structs ("session.duration_ms"; a name that holds a dot is written
 * `a.b` in back quotes). On success path_out[0..*n) are child indexes from the root, at most max.
 * Errors: CONFIG, with the nearest name at the level that failed.
 */
sl_error *sl_schema_resolve(const struct ArrowSchema *schema, const char *path, int64_t *path_out,
                            size_t max, size_t *n);
/* One key of Arrow metadata; NULL when absent. *bytes gets the length (not 0-terminated). Borrowed.
 */
const char *sl_schema_metadata(const struct ArrowSchema *schema, const char *key, size_t *bytes);
/* Replaces the metadata by these n key-value pairs (0-terminated texts, copied). `schema` must have
 * been made by this library. */
sl_error *sl_schema_set_metadata(struct ArrowSchema *schema, const char *const *keys,
                                 const char *const *values, size_t n);

/* ---- builders (builder.c) ---- */

/*
 * Builds one array of a schema's type. A flat struct on purpose: a decoder may write values and
 * offsets itself after sl_builder_reserve. Not for the ABI. The three buffers: validity (bit = 1
 * valid; allocated at the first null), data (fixed-width values, booleans as bits, or the bytes of
 * strings), offsets (int32, length + 1 entries; strings, lists and maps).
 */
typedef struct sl_builder {
    sl_type type;
    int64_t length; /* rows appended */
    int64_t null_count;
    int64_t capacity; /* rows for which validity (if any), fixed-width data and offsets have room */
    uint8_t *validity;
    uint8_t *data;
    size_t data_bytes;          /* used; strings only */
    size_t data_capacity_bytes; /* strings only */
    int32_t *offsets;
    struct sl_builder *children;
    size_t n_children;
    /* of the last finished array, for the first allocation of the next one */
    int64_t expected_rows;
    size_t expected_bytes;
} sl_builder;

/* A builder for `schema` (nested too). On failure nothing is owned. CONFIG: a type not in use. */
sl_error *sl_builder_init(sl_builder *builder, const struct ArrowSchema *schema);
void sl_builder_free(sl_builder *builder);
/* Forgets the rows, keeps the memory. */
void sl_builder_clear(sl_builder *builder);
/* Drops the rows at and after `length` at every level: undoes a half-written row. */
void sl_builder_truncate(sl_builder *builder, int64_t length);
/* Room for `rows` more rows (this level) and `bytes` more string bytes. NO_MEMORY; FATAL when a
 * string column would pass 2^31-1 bytes or an array 2^31-1 rows. */
sl_error *sl_builder_reserve(sl_builder *builder, int64_t rows, size_t bytes);
/*
 * Appends one value; false when memory is short or a string column passes 2^31-1 bytes, and then
 * the builder is unchanged (a nested one: truncate it). The type must fit. Inline, below, are:
 *   sl_builder_append_bool(builder, bool)
 *   sl_builder_append_i64(builder, int64_t)    any integer, date or timestamp width
 *   sl_builder_append_double(builder, double)  float and double
 *   sl_builder_append_bytes(builder, const void *, size_t)
 *       utf8, binary, fixed binary, decimal128 (16 bytes, little-endian)
 */
/* The same value for `n` rows, of which utf8 and binary take bytes. */
bool sl_builder_repeat_i64(sl_builder *builder, int64_t value, int64_t n);
bool sl_builder_repeat_bytes(sl_builder *builder, const void *data, size_t bytes, int64_t n);
/* Nested: children of a struct get a null too, a list gets an empty slot. */
bool sl_builder_append_null(sl_builder *builder);
/* After the children have got their values: closes a struct row, or a list/map row that ends at the
 * child's present length. */
bool sl_builder_append_struct(sl_builder *builder);
bool sl_builder_append_list(sl_builder *builder);
/*
 * Moves what was built into `out` (owned by the caller, released with out->release), leaves the
 * builder empty and usable. On failure nothing is owned and the builder is empty too.
 */
sl_error *sl_builder_finish(sl_builder *builder, struct ArrowArray *out);

/* ---- arrays (array.c) ---- */

static inline bool sl_bit_get(const uint8_t *bits, int64_t i) {
    return ((bits[i >> 3] >> (i & 7)) & 1) != 0;
}
/* True when row `i` (absolute: offset added by the caller) is null. */
static inline bool sl_array_is_null(const struct ArrowArray *array, int64_t i) {
    return array->null_count != 0 && array->buffers[0] != NULL &&
           !sl_bit_get((const uint8_t *)array->buffers[0], i);
}

/* Bytes of memory that the array keeps alive (its buffers, recursively), by type and length. */
size_t sl_array_bytes(const struct ArrowSchema *schema, const struct ArrowArray *array);
/* Structural check of an array from outside against a schema: children, buffers, offsets ascending,
 * lengths. CONFIG error when wrong. Arrays may have offsets and a null_count of -1 here, and in the
 * copies below, which make both regular. */
sl_error *sl_array_check(const struct ArrowSchema *schema, const struct ArrowArray *array);
/* Deep copy of rows [first, first + rows) with offset 0 everywhere. */
sl_error *sl_array_copy(const struct ArrowSchema *schema, const struct ArrowArray *array,
                        int64_t first, int64_t rows, struct ArrowArray *out);
/* Deep copy of the rows `indexes[0..n)` in that order. */
sl_error *sl_array_take(const struct ArrowSchema *schema, const struct ArrowArray *array,
                        const int32_t *indexes, int64_t n, struct ArrowArray *out);
/* Appends rows [first, first + rows) of `array` to a builder of the same type. */
sl_error *sl_builder_append_array(sl_builder *builder, const struct ArrowSchema *schema,
                                  const struct ArrowArray *array, int64_t first, int64_t rows);
/* An empty array of the schema's type. */
sl_error *sl_array_empty(const struct ArrowSchema *schema, struct ArrowArray *out);
/*
 * Appends the rows to `out` in a versioned format of our own (array_bytes.c), for state in a store;
 * the schema is not part of it. NO_MEMORY.
 */
sl_error *sl_array_write(const struct ArrowSchema *schema, const struct ArrowArray *array,
                         sl_buffer *out);
/* Reads what write has written, with the same schema. CORRUPT when it is not that, UNSUPPORTED when
 * another version of the format has. */
sl_error *sl_array_read(const struct ArrowSchema *schema, const void *data, size_t bytes,
                        struct ArrowArray *out);
/*
 * Writes one value as JSON text (RFC 8259) into `out`: structs as objects, lists and maps as
 * arrays, timestamps as RFC 3339 in UTC, decimals as numbers, binary as base64, non-finite doubles
 * as null. False when memory is short, and then `out` is unchanged. (json_text.c)
 */
bool sl_array_append_json(const struct ArrowSchema *schema, const struct ArrowArray *array,
                          int64_t row, sl_buffer *out);
/* No row of the array is longer than so many bytes as JSON; a look at the lengths, not at the
 * values. */
size_t sl_array_json_bound(const struct ArrowSchema *schema, const struct ArrowArray *array);

#include "columns/builder_inline.h"

#endif /* SL_COLUMNS_H */
