/*
 * Opening a Parquet file, and what its footer tells: schema, row groups, metadata, statistics.
 */
#include "parquet/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "parquet/reader_internal.h"

#define DEFAULT_PAGE_BYTES ((size_t)256 << 20)
#define DEFAULT_BATCH_BYTES ((size_t)1 << 30)
#define DEFAULT_READ_BYTES ((size_t)1 << 20)
/* One read gets most footers, and small files whole; less when read_bytes is less. */
#define TAIL_READ_BYTES ((size_t)128 << 10)
#define MIN_TAIL_BYTES ((size_t)64)

/* ---- footer ---- */

static sl_pqr_where whole_file(const sl_parquet_reader *reader) {
    return (sl_pqr_where){.file = reader->name, .page_offset = -1};
}

static sl_error *read_tail(sl_parquet_reader *reader) {
    sl_pqr_where where = whole_file(reader);
    int64_t file_bytes = reader->source.input.file_bytes;
    if (file_bytes < SL_PARQUET_MAGIC_BYTES + SL_PARQUET_TAIL_BYTES) {
        return sl_pqr_error(&where, SL_ERROR_CORRUPT, "%lld bytes are too few for a Parquet file",
                            (long long)file_bytes);
    }
    sl_pqr_source source = reader->source;
    size_t bytes = source.read_bytes < TAIL_READ_BYTES ? source.read_bytes : TAIL_READ_BYTES;
    bytes = bytes < MIN_TAIL_BYTES ? MIN_TAIL_BYTES : bytes;
    bytes = (uint64_t)file_bytes < bytes ? (size_t)file_bytes : bytes;
    source.read_bytes = bytes;
    sl_error *error = sl_pqr_window_fill(&source, &where, &reader->tail,
                                         file_bytes - (int64_t)bytes, bytes, file_bytes);
    if (error == NULL && reader->tail.offset == 0 && reader->source.input.memory == NULL) {
        reader->source.input.memory = reader->tail.data; /* the whole file */
    }
    return error;
}

static const uint8_t *tail_at(const sl_parquet_reader *reader, int64_t offset) {
    return reader->tail.data + (offset - reader->tail.offset);
}

static sl_error *check_magic(const sl_parquet_reader *reader, int64_t offset) {
    const uint8_t *magic = tail_at(reader, offset);
    sl_pqr_where where = whole_file(reader);
    if (memcmp(magic, SL_PARQUET_MAGIC, SL_PARQUET_MAGIC_BYTES) == 0) {
        return NULL;
    }
    if (memcmp(magic, SL_PARQUET_MAGIC_ENCRYPTED, SL_PARQUET_MAGIC_BYTES) == 0) {
        return sl_pqr_error(&where, SL_ERROR_UNSUPPORTED, "its footer is encrypted");
    }
    return sl_pqr_error(&where, SL_ERROR_CORRUPT,
                        "the bytes %02x %02x %02x %02x at offset %lld are not \"PAR1\": this is no "
                        "Parquet file, or not all of one",
                        magic[0], magic[1], magic[2], magic[3], (long long)offset);
}

/* Finds the footer's bytes: in the tail, or by a second read. */
static sl_error *read_footer_bytes(sl_parquet_reader *reader, const uint8_t **footer,
                                   size_t *bytes) {
    sl_pqr_where where = whole_file(reader);
    int64_t file_bytes = reader->source.input.file_bytes;
    int64_t end = file_bytes - SL_PARQUET_TAIL_BYTES;
    uint32_t length;
    memcpy(&length, tail_at(reader, end), 4);
    if (length == 0 || (int64_t)length > end - SL_PARQUET_MAGIC_BYTES) {
        return sl_pqr_error(&where, SL_ERROR_CORRUPT,
                            "a footer of %u bytes in a file of %lld bytes", length,
                            (long long)file_bytes);
    }
    *bytes = length;
    if (end - length >= reader->tail.offset) {
        *footer = tail_at(reader, end - length);
        return NULL;
    }
    sl_error *error = sl_pqr_window_fill(&reader->source, &where, &reader->footer_bytes,
                                         end - length, length, end);
    *footer = error == NULL ? reader->footer_bytes.data : NULL;
    return error;
}

static sl_error *check_row_group(const sl_parquet_reader *reader, size_t index) {
    const sl_pqr_row_group *group = &reader->footer.row_groups[index];
    sl_pqr_where where = whole_file(reader);
    if (group->n_chunks != reader->schema.n_leaves) {
        return sl_pqr_error(&where, SL_ERROR_CORRUPT,
                            "row group %zu has %zu column chunks, the schema %zu columns", index,
                            group->n_chunks, reader->schema.n_leaves);
    }
    for (size_t i = 0; i < group->n_chunks; i++) {
        const sl_pqr_node *leaf = reader->schema.leaves[i];
        const sl_pqr_chunk *chunk = &group->chunks[i];
        if (chunk->has_meta_data && chunk->type != (int32_t)leaf->type) {
            return sl_pqr_error(&where, SL_ERROR_CORRUPT,
                                "column \"%.256s\" has the physical type %d in the schema and %d "
                                "in row group %zu",
                                leaf->path, (int)leaf->type, (int)chunk->type, index);
        }
    }
    return NULL;
}

static sl_error *check_footer(const sl_parquet_reader *reader) {
    int64_t rows = 0;
    for (size_t i = 0; i < reader->footer.n_row_groups; i++) {
        sl_error *error = check_row_group(reader, i);
        if (error != NULL) {
            return error;
        }
        if (__builtin_add_overflow(rows, reader->footer.row_groups[i].n_rows, &rows)) {
            rows = -1;
            break;
        }
    }
    if (rows != reader->footer.n_rows) {
        sl_pqr_where where = whole_file(reader);
        return sl_pqr_error(&where, SL_ERROR_CORRUPT,
                            "it says %lld rows, its row groups %lld together",
                            (long long)reader->footer.n_rows, (long long)rows);
    }
    return NULL;
}

static sl_error *read_footer(sl_parquet_reader *reader) {
    const uint8_t *footer = NULL;
    size_t bytes = 0;
    sl_error *error = read_tail(reader);
    if (error == NULL) {
        error = check_magic(reader, reader->source.input.file_bytes - SL_PARQUET_MAGIC_BYTES);
    }
    if (error == NULL && reader->tail.offset == 0) {
        error = check_magic(reader, 0);
    }
    if (error == NULL) {
        error = read_footer_bytes(reader, &footer, &bytes);
    }
    if (error != NULL) {
        return error;
    }
    error = sl_pqr_footer_decode(footer, bytes, &reader->footer);
    if (error == NULL) {
        error = sl_pqr_schema_build(&reader->footer, &reader->schema);
    }
    if (error != NULL) {
        return sl_error_wrap(error, "Parquet file \"%s\"", reader->name);
    }
    return check_footer(reader);
}

/* ---- open and close ---- */

static size_t or_default(size_t value, size_t default_value) {
    return value == 0 ? default_value : value;
}

static sl_parquet_reader *new_reader(const sl_parquet_input *input,
                                     const sl_parquet_reader_options *options) {
    sl_parquet_reader_options none = {0};
    options = options == NULL ? &none : options;
    sl_parquet_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return NULL;
    }
    reader->name = strdup(input->name == NULL ? "" : input->name);
    if (reader->name == NULL) {
        free(reader);
        return NULL;
    }
    reader->source.input = *input;
    reader->source.input.name = reader->name;
    reader->source.max_page_bytes = or_default(options->max_page_bytes, DEFAULT_PAGE_BYTES);
    reader->source.read_bytes = or_default(options->read_bytes, DEFAULT_READ_BYTES);
    reader->max_batch_bytes = or_default(options->max_batch_bytes, DEFAULT_BATCH_BYTES);
    return reader;
}

/* Takes `reader`, which a failure frees. */
static sl_error *open_reader(sl_parquet_reader *reader, sl_parquet_reader **out) {
    sl_error *error = read_footer(reader);
    if (error != NULL) {
        sl_parquet_reader_close(reader);
        return error;
    }
    *out = reader;
    return NULL;
}

sl_error *sl_parquet_reader_open(const sl_parquet_input *input,
                                 const sl_parquet_reader_options *options,
                                 sl_parquet_reader **out) {
    sl_parquet_reader *reader = new_reader(input, options);
    return reader == NULL ? sl_error_no_memory() : open_reader(reader, out);
}

static sl_error *read_store(void *arg, int64_t offset, size_t bytes, sl_store_bytes *out) {
    sl_parquet_reader *reader = arg;
    return reader->store->ops->get(reader->store, reader->path, offset, (int64_t)bytes, out);
}

sl_error *sl_parquet_reader_open_store(sl_store *store, const char *path, int64_t file_bytes,
                                       const sl_parquet_reader_options *options,
                                       sl_parquet_reader **out) {
    if (file_bytes < 0) {
        sl_store_entry entry = {0};
        sl_error *error = store->ops->stat(store, path, &entry);
        if (error != NULL) {
            return error;
        }
        file_bytes = entry.bytes;
    }
    sl_parquet_input input = {.name = path, .file_bytes = file_bytes, .read = read_store};
    sl_parquet_reader *reader = new_reader(&input, options);
    if (reader == NULL) {
        return sl_error_no_memory();
    }
    reader->store = store;
    reader->path = reader->name;
    reader->source.input.arg = reader;
    return open_reader(reader, out);
}

void sl_parquet_reader_close(sl_parquet_reader *reader) {
    if (reader == NULL) {
        return;
    }
    sl_pqr_schema_free(&reader->schema);
    sl_pqr_footer_free(&reader->footer);
    sl_pqr_window_free(&reader->footer_bytes);
    sl_pqr_window_free(&reader->tail);
    free(reader->name);
    free(reader);
}

/* ---- what the footer says ---- */

const struct ArrowSchema *sl_parquet_reader_schema(const sl_parquet_reader *reader) {
    return &reader->schema.arrow;
}

int64_t sl_parquet_reader_rows(const sl_parquet_reader *reader) {
    return reader->footer.n_rows;
}

size_t sl_parquet_reader_row_groups(const sl_parquet_reader *reader) {
    return reader->footer.n_row_groups;
}

int64_t sl_parquet_reader_row_group_rows(const sl_parquet_reader *reader, size_t row_group) {
    return reader->footer.row_groups[row_group].n_rows;
}

const char *sl_parquet_reader_created_by(const sl_parquet_reader *reader, size_t *bytes) {
    *bytes = reader->footer.created_by.bytes;
    return (const char *)reader->footer.created_by.data;
}

const char *sl_parquet_reader_metadata(const sl_parquet_reader *reader, const char *key,
                                       size_t *bytes) {
    size_t key_bytes = strlen(key);
    for (size_t i = 0; i < reader->footer.n_key_values; i++) {
        const sl_pqr_key_value *pair = &reader->footer.key_values[i];
        if (pair->key.bytes == key_bytes && memcmp(pair->key.data, key, key_bytes) == 0) {
            *bytes = pair->value.bytes;
            return (const char *)pair->value.data;
        }
    }
    return NULL;
}

size_t sl_parquet_reader_leaves(const sl_parquet_reader *reader) {
    return reader->schema.n_leaves;
}

void sl_parquet_reader_leaf(const sl_parquet_reader *reader, size_t leaf, sl_parquet_leaf *out) {
    const sl_pqr_node *node = reader->schema.leaves[leaf];
    const sl_pqr_node *root = &reader->schema.root;
    size_t field = root->n_children;
    while (field > 0 && root->children[field - 1].id > node->id) {
        field--; /* ids are in depth-first order */
    }
    *out = (sl_parquet_leaf){.path = node->path,
                             .format = node->format,
                             .type = node->type,
                             .repeated = node->rep_level > 0,
                             .top_level_field = field - 1};
}

/* ---- statistics ---- */

/* Where signed comparison of the stored value is the type's order: the deprecated bounds hold. */
static bool has_signed_order(const sl_pqr_node *leaf) {
    switch (leaf->type) {
    case SL_PARQUET_BOOLEAN:
    case SL_PARQUET_FLOAT:
    case SL_PARQUET_DOUBLE:
        return true;
    case SL_PARQUET_INT32:
    case SL_PARQUET_INT64:
        return strchr("CSIL", leaf->format[0]) == NULL;
    default:
        return false;
    }
}

/* NaN tells nothing; either zero may stand for both. */
static bool settle_float(const sl_pqr_node *leaf, bool is_max, uint8_t value[16]) {
    if (strcmp(leaf->format, "f") == 0) {
        float number;
        memcpy(&number, value, sizeof(number));
        if (number == 0) {
            number = is_max ? 0.0f : -0.0f;
            memcpy(value, &number, sizeof(number));
        }
        return !isnan(number);
    }
    if (strcmp(leaf->format, "g") == 0) {
        double number;
        memcpy(&number, value, sizeof(number));
        if (number == 0) {
            number = is_max ? 0.0 : -0.0;
            memcpy(value, &number, sizeof(number));
        }
        return !isnan(number);
    }
    return true;
}

static sl_parquet_bound make_bound(const sl_pqr_node *leaf, sl_pqr_text text, bool exact,
                                   bool is_max) {
    sl_parquet_bound bound = {.exact = true};
    bool is_binary = leaf->convert == SL_PQR_STRING || leaf->format[0] == 'w';
    if (text.data == NULL || leaf->convert == SL_PQR_INT96_MICROS) {
        return bound;
    }
    if (is_binary) {
        bound.present = true;
        bound.exact = exact;
        bound.bytes = text.data;
        bound.n_bytes = text.bytes;
    } else if (leaf->convert == SL_PQR_BOOL) {
        bound.present = text.bytes == 1 && text.data[0] <= 1;
        bound.value[0] = bound.present ? text.data[0] : 0;
    } else if (leaf->convert == SL_PQR_STRING_DECIMAL) {
        bound.present = sl_pqr_convert_decimal(text.data, text.bytes, bound.value);
    } else {
        bound.present = text.bytes == leaf->stored_bytes &&
                        sl_pqr_convert_values(leaf, text.data, 1, bound.value) == NULL &&
                        settle_float(leaf, is_max, bound.value);
    }
    return bound;
}

void sl_parquet_reader_statistics(const sl_parquet_reader *reader, size_t row_group, size_t leaf,
                                  sl_parquet_statistics *out) {
    const sl_pqr_chunk *chunk = &reader->footer.row_groups[row_group].chunks[leaf];
    const sl_pqr_node *node = reader->schema.leaves[leaf];
    const sl_pqr_text none = {NULL, 0};
    /* without column_orders the meaning of min_value and max_value is undefined */
    bool ordered = reader->footer.has_column_orders &&
                   (chunk->min_value.data != NULL || chunk->max_value.data != NULL);
    bool deprecated = !ordered && has_signed_order(node);
    sl_pqr_text min = ordered ? chunk->min_value : deprecated ? chunk->min : none;
    sl_pqr_text max = ordered ? chunk->max_value : deprecated ? chunk->max : none;
    *out = (sl_parquet_statistics){.values = chunk->n_values,
                                   .null_count = chunk->null_count < 0 ? -1 : chunk->null_count,
                                   .min = make_bound(node, min, chunk->min_exact, false),
                                   .max = make_bound(node, max, chunk->max_exact, true)};
}
