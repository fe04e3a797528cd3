/*
 * raw: the columns of a raw record (sluice/batch.h) for every source of records: the schema, and a
 * builder with its five columns at hand.
 */
#ifndef SL_COLUMNS_RAW_H
#define SL_COLUMNS_RAW_H

#include "columns/columns.h"
#include "sluice/batch.h"

/* Fills `out` (owned by the caller) with the schema of raw records. */
sl_error *sl_raw_schema(struct ArrowSchema *out);

/* Gives a list field ("+l", one child) the items that headers have. */
sl_error *sl_raw_set_headers(struct ArrowSchema *headers);

/* Whether `schema` has the raw layout: names and formats in their order. */
bool sl_raw_is(const struct ArrowSchema *schema);

/* The builder of raw rows: `root` is the struct, the columns are its children by SL_RAW_*. */
typedef struct sl_raw_builder {
    sl_builder root;
} sl_raw_builder;

/* On failure nothing is owned. */
sl_error *sl_raw_builder_init(sl_raw_builder *builder);
static inline void sl_raw_builder_free(sl_raw_builder *builder) {
    sl_builder_free(&builder->root);
}

/* Room for `rows` rows about as long as those of the array before. NO_MEMORY. */
sl_error *sl_raw_reserve(sl_raw_builder *builder, int64_t rows);
/*
 * Appends key and value (NULL: null) and what goes with them. Then come the row's headers, if any
 * (sl_raw_append_header), then sl_raw_end_row. False when memory is short or a column is full: the
 * caller truncates the root to the rows before.
 */
static inline bool sl_raw_append(sl_raw_builder *builder, const void *key, size_t key_bytes,
                                 const void *value, size_t value_bytes, int64_t timestamp_us,
                                 int64_t offset) {
    sl_builder *columns = builder->root.children;
    return (key != NULL ? sl_builder_append_bytes(&columns[SL_RAW_KEY], key, key_bytes)
                        : sl_builder_append_null(&columns[SL_RAW_KEY])) &&
           (value != NULL ? sl_builder_append_bytes(&columns[SL_RAW_VALUE], value, value_bytes)
                          : sl_builder_append_null(&columns[SL_RAW_VALUE])) &&
           sl_builder_append_i64(&columns[SL_RAW_TIMESTAMP], timestamp_us) &&
           sl_builder_append_i64(&columns[SL_RAW_OFFSET], offset);
}
/* A header's name is text: bytes of it that are none become U+FFFD, as in the Java client. */
bool sl_raw_append_header_name(sl_raw_builder *builder, const char *name, size_t bytes);
static inline bool sl_raw_append_header(sl_raw_builder *builder, const char *name,
                                        size_t name_bytes, const void *value, size_t value_bytes) {
    sl_builder *item = &builder->root.children[SL_RAW_HEADERS].children[0];
    return sl_raw_append_header_name(builder, name, name_bytes) &&
           (value != NULL ? sl_builder_append_bytes(&item->children[1], value, value_bytes)
                          : sl_builder_append_null(&item->children[1])) &&
           sl_builder_append_struct(item);
}
/* Closes the headers' list (empty, not null, without any: no validity bitmap) and the row. */
static inline bool sl_raw_end_row(sl_raw_builder *builder) {
    return sl_builder_append_list(&builder->root.children[SL_RAW_HEADERS]) &&
           sl_builder_append_struct(&builder->root);
}
static inline int64_t sl_raw_rows(const sl_raw_builder *builder) {
    return builder->root.length;
}
/* Bytes of keys and values so far: what a source compares with the max_bytes of poll. */
static inline size_t sl_raw_bytes(const sl_raw_builder *builder) {
    const sl_builder *columns = builder->root.children;
    return columns[SL_RAW_KEY].data_bytes + columns[SL_RAW_VALUE].data_bytes;
}

#endif /* SL_COLUMNS_RAW_H */
