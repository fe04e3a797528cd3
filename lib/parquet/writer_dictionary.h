/*
 * The dictionary of one column chunk: distinct values numbered in the order of their first
 * occurrence, kept in the form of the dictionary page (PLAIN). Values of up to 16 bytes, numbers
 * too, are compared in two registers; longer ones by a 128-bit hash and then by their bytes.
 */
#ifndef SL_PARQUET_WRITER_DICTIONARY_H
#define SL_PARQUET_WRITER_DICTIONARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

typedef struct sl_pqw_dictionary_slot {
    uint64_t low;
    uint64_t high;
    uint32_t bytes; /* of the value */
    uint32_t index; /* + 1; 0: free */
} sl_pqw_dictionary_slot;

typedef struct sl_pqw_dictionary {
    sl_pqw_dictionary_slot *slots; /* a power of two; at most half are used */
    uint32_t mask;
    uint32_t count;
    sl_pqw_dictionary_slot last; /* the slot found last */
    uint64_t steps;              /* probes beyond the first */
    sl_buffer page;              /* the dictionary page's payload */
    sl_buffer positions;         /* uint32_t each: where value i begins in `page` */
    uint32_t width; /* bytes of a fixed-width value; 0: with 4 bytes of length before */
    bool exhausted; /* memory was short, or hashing degenerated */
} sl_pqw_dictionary;

void sl_pqw_dictionary_init(sl_pqw_dictionary *dictionary, uint32_t width);
/* Forgets the values, keeps the memory. */
void sl_pqw_dictionary_clear(sl_pqw_dictionary *dictionary);
void sl_pqw_dictionary_free(sl_pqw_dictionary *dictionary);

/* Memory in use. */
size_t sl_pqw_dictionary_bytes(const sl_pqw_dictionary *dictionary);

/*
 * Number n values, adding those that are new. False when the dictionary is exhausted; then indexes
 * is not filled to the end. Values and string data may be read 16 bytes past their end.
 */
bool sl_pqw_dictionary_index_i32(sl_pqw_dictionary *dictionary, const int32_t *values, size_t n,
                                 uint32_t *indexes);
bool sl_pqw_dictionary_index_i64(sl_pqw_dictionary *dictionary, const int64_t *values, size_t n,
                                 uint32_t *indexes);
/* Values of dictionary->width bytes. */
bool sl_pqw_dictionary_index_fixed(sl_pqw_dictionary *dictionary, const uint8_t *values, size_t n,
                                   uint32_t *indexes);
/* Strings one after the other. */
bool sl_pqw_dictionary_index_lengths(sl_pqw_dictionary *dictionary, const uint8_t *data,
                                     const uint32_t *lengths, size_t n, uint32_t *indexes);
/* Strings `rows` (NULL: first, first + 1, ...) of an Arrow array's offsets and data. */
bool sl_pqw_dictionary_index_strings(sl_pqw_dictionary *dictionary, const uint8_t *data,
                                     const int32_t *offsets, int64_t first, const int32_t *rows,
                                     size_t n, uint32_t *indexes);

/* Value i, borrowed until the next insertion. */
const uint8_t *sl_pqw_dictionary_value(const sl_pqw_dictionary *dictionary, uint32_t i,
                                       size_t *bytes);

#endif /* SL_PARQUET_WRITER_DICTIONARY_H */
