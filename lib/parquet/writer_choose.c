/*
 * How a column chunk is encoded: by what its first values compress to in each form, and by how many
 * distinct values the repeats among them foretell.
 *
 * A dictionary costs hashing, so it must promise to be clearly smaller for numbers, for which the
 * other forms cost next to nothing; for strings it also saves compression. Random strings do not
 * repeat in the sample and never reach the hash table after it.
 */
#include <math.h>

#include "parquet/encode.h"
#include "parquet/writer_column.h"

/* A chunk whose length is not known is taken to be this many times longer than the sample. */
#define EXPECTED_SAMPLES 16
/* Page header and compression frame of a dictionary page. */
#define DICTIONARY_PAGE_OVERHEAD 32.0
/* A number's dictionary must be smaller by this much; PLAIN than DELTA_BINARY_PACKED, whose pages
 * cost less to compress, by that. */
#define NUMBER_DICTIONARY_GAIN 0.9
#define PLAIN_GAIN 0.85
/* Random bits are stored as they are. */
#define DELTA_GAIN 0.95
/* A full sample speaks for this many chunks, so that small files do not pay for one each. */
#define TRUSTED_CHUNKS 16

/* Compressed size of the open page's values in one encoding. */
static sl_error *measure(sl_pqw_column_context *context, const sl_pqw_column *column,
                         sl_parquet_encoding encoding, double *bytes) {
    sl_buffer *image = &context->image;
    bool in_raw;
    sl_buffer_clear(image);
    sl_error *error = sl_pqw_column_encode_values(column, encoding, image, &in_raw);
    if (error == NULL && in_raw &&
        !sl_buffer_append(image, sl_pqw_column_raw(column), sl_pqw_column_raw_bytes(column))) {
        error = sl_error_no_memory();
    }
    sl_buffer_clear(&context->packed);
    if (error == NULL) {
        error = sl_pqw_compress(&context->compressor, NULL, image->data, image->bytes,
                                &context->packed);
    }
    *bytes = (double)context->packed.bytes;
    return error;
}

/*
 * polars (2.1) cannot read the delta encodings below a nullable struct or list when one page of the
 * chunk has nulls and another has none.
 */
static bool delta_allowed(const sl_pqw_column_context *context, const sl_pqw_leaf *leaf) {
    return !context->options.plain_encodings &&
           (leaf->shred.n_steps == 1 || leaf->shred.max_definition == 0);
}

static sl_parquet_encoding string_encoding(const sl_pqw_column_context *context,
                                           const sl_pqw_leaf *leaf) {
    return delta_allowed(context, leaf) ? SL_PARQUET_DELTA_LENGTH_BYTE_ARRAY : SL_PARQUET_PLAIN;
}

/* Sets raw_encoding, raw_cost and raw_ratio. */
static sl_error *choose_raw(sl_pqw_column_context *context, sl_pqw_column *column) {
    const sl_pqw_leaf *leaf = column->leaf;
    double best;
    column->raw_encoding =
        leaf->physical == SL_PARQUET_BYTE_ARRAY ? string_encoding(context, leaf) : SL_PARQUET_PLAIN;
    sl_error *error = measure(context, column, column->raw_encoding, &best);
    double size = (double)(sl_pqw_column_raw_bytes(column) + column->lengths.bytes);
    column->raw_ratio = size > 0 ? best / size : 1;
    bool integer = leaf->physical == SL_PARQUET_INT32 || leaf->physical == SL_PARQUET_INT64;
    if (error == NULL && integer && delta_allowed(context, leaf)) {
        double delta;
        error = measure(context, column, SL_PARQUET_DELTA_BINARY_PACKED, &delta);
        if (error == NULL && best > PLAIN_GAIN * delta && delta < DELTA_GAIN * size) {
            column->raw_encoding = SL_PARQUET_DELTA_BINARY_PACKED;
            best = delta;
        }
    }
    column->raw_cost = best / (double)column->values;
    return error;
}

static bool index_sample(sl_pqw_column *column) {
    sl_pqw_dictionary *dictionary = &column->dictionary;
    size_t n = column->values;
    sl_buffer_clear(&column->indexes);
    if (!sl_buffer_reserve(&column->indexes, n * sizeof(uint32_t))) {
        sl_buffer_clear(&column->indexes);
        return false;
    }
    uint32_t *indexes = (uint32_t *)(void *)column->indexes.data;
    const void *raw = sl_pqw_column_raw(column);
    bool done;
    if (column->leaf->width == 0) {
        done = sl_pqw_dictionary_index_lengths(
            dictionary, raw, (const uint32_t *)(const void *)column->lengths.data, n, indexes);
    } else if (column->leaf->width == sizeof(int32_t)) {
        done = sl_pqw_dictionary_index_i32(dictionary, raw, n, indexes);
    } else if (column->leaf->width == sizeof(int64_t)) {
        done = sl_pqw_dictionary_index_i64(dictionary, raw, n, indexes);
    } else {
        done = sl_pqw_dictionary_index_fixed(dictionary, raw, n, indexes);
    }
    column->indexes.bytes = done ? n * sizeof(uint32_t) : 0;
    return done;
}

/*
 * How many distinct values n would have when `sample` had `distinct` ones, if all are equally
 * frequent: among D values a sample has D * (1 - e^(-sample / D)) distinct ones.
 */
static double expected_distinct(double sample, double distinct, double n) {
    double low = distinct;
    double high = 1e12;
    if (distinct >= sample) {
        return n;
    }
    while (high - low > low * 0.01) {
        double middle = sqrt(low * high);
        if (-middle * expm1(-sample / middle) < distinct) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return -low * expm1(-n / low);
}

static sl_error *dictionary_pays(sl_pqw_column_context *context, sl_pqw_column *column, bool final,
                                 bool *pays) {
    double sample = (double)column->values;
    double distinct = (double)column->dictionary.count;
    double n = final ? sample : fmax(sample * EXPECTED_SAMPLES, (double)column->expected_values);
    double all = fmax(distinct, expected_distinct(sample, distinct, n));
    double entry = (double)column->dictionary.page.bytes / distinct;
    double index;
    *pays = false;
    if (all * entry > (double)context->options.dictionary_bytes) {
        return NULL;
    }
    sl_error *error = measure(context, column, SL_PARQUET_RLE_DICTIONARY, &index);
    double more_bits = (double)sl_pqw_bit_width((uint64_t)all - (all >= 1)) -
                       (double)sl_pqw_bit_width((uint64_t)distinct - 1);
    double cost = n * (index / sample + more_bits / 8) + all * entry * column->raw_ratio +
                  DICTIONARY_PAGE_OVERHEAD;
    double gain = column->leaf->width == 0 ? 1 : NUMBER_DICTIONARY_GAIN;
    *pays = cost < gain * n * column->raw_cost;
    return error;
}

static sl_error *choose(sl_pqw_column_context *context, sl_pqw_column *column, bool final,
                        bool *dictionary) {
    bool repeats = index_sample(column) && column->dictionary.count < column->values;
    *dictionary = false;
    if (column->leaf->physical == SL_PARQUET_BYTE_ARRAY && !repeats) {
        column->raw_encoding = string_encoding(context, column->leaf);
        return NULL;
    }
    sl_error *error = choose_raw(context, column);
    if (error == NULL && repeats) {
        error = dictionary_pays(context, column, final, dictionary);
    }
    return error;
}

sl_error *sl_pqw_column_choose(sl_pqw_column_context *context, sl_pqw_column *column, bool final) {
    bool dictionary = false;
    if (column->values == 0) {
        return NULL; /* nothing to tell by */
    }
    if (column->leaf->physical != SL_PARQUET_BOOLEAN) {
        sl_error *error = choose(context, column, final, &dictionary);
        if (error != NULL) {
            return error;
        }
    }
    if (dictionary) {
        column->mode = SL_PQW_DICTIONARY;
        column->raw.bytes = SL_PQW_HEADROOM;
        sl_buffer_clear(&column->lengths);
    } else {
        column->mode = SL_PQW_RAW;
        sl_pqw_dictionary_clear(&column->dictionary);
        sl_buffer_clear(&column->indexes);
    }
    column->learned_mode = column->mode;
    column->trusted_chunks = final ? 0 : TRUSTED_CHUNKS;
    return NULL;
}

bool sl_pqw_column_dictionary_failed(const sl_pqw_column *column) {
    double values = (double)column->chunk_values;
    double cost =
        (double)column->page_bytes + (double)column->dictionary.page.bytes * column->raw_ratio;
    return cost > values * column->raw_cost;
}
