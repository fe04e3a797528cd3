/*
 * Owned Arrow schemas: construction, copies, comparison, metadata. A schema made here owns its
 * format, name and metadata texts and one block with its children; a child that a consumer has
 * moved out (release NULL) is not released again.
 */
#include <stdlib.h>

#include "columns/columns.h"

/* The block behind schema->children: pointers first, then the structs they point to. */
static bool allocate_children(struct ArrowSchema *schema, size_t n) {
    schema->n_children = (int64_t)n;
    if (n == 0) {
        return true;
    }
    size_t each = sizeof(struct ArrowSchema *) + sizeof(struct ArrowSchema);
    struct ArrowSchema **pointers = calloc(n, each);
    if (pointers == NULL) {
        return false;
    }
    struct ArrowSchema *structs = (struct ArrowSchema *)(void *)(pointers + n);
    for (size_t i = 0; i < n; i++) {
        pointers[i] = &structs[i];
    }
    schema->children = pointers;
    return true;
}

static void release_schema(struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children && schema->children != NULL; i++) {
        if (schema->children[i]->release != NULL) {
            schema->children[i]->release(schema->children[i]);
        }
    }
    free(schema->children);
    free((void *)(uintptr_t)schema->format);
    free((void *)(uintptr_t)schema->name);
    free((void *)(uintptr_t)schema->metadata);
    memset(schema, 0, sizeof(*schema));
}

static char *copy_bytes(const char *text, size_t bytes) {
    char *copy = malloc(bytes);
    if (copy != NULL) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

static sl_error *make(struct ArrowSchema *out, const char *name, const char *format, int64_t flags,
                      size_t n_children) {
    memset(out, 0, sizeof(*out));
    out->release = release_schema;
    out->flags = flags;
    out->format = copy_bytes(format, strlen(format) + 1);
    out->name = copy_bytes(name, strlen(name) + 1);
    if (out->format == NULL || out->name == NULL || !allocate_children(out, n_children)) {
        out->n_children = 0;
        release_schema(out);
        return sl_error_no_memory();
    }
    return NULL;
}

sl_error *sl_schema_new_struct(size_t n_fields, struct ArrowSchema *out) {
    return make(out, "", "+s", 0, n_fields);
}

sl_error *sl_schema_set_field(struct ArrowSchema *parent, size_t index, const char *name,
                              const char *format, bool nullable, size_t n_children) {
    if ((int64_t)index >= parent->n_children) {
        return sl_error_new(SL_ERROR_FATAL, "schema field %zu (%s) of a struct with %lld fields",
                            index, name, (long long)parent->n_children);
    }
    struct ArrowSchema made;
    sl_error *error = make(&made, name, format, nullable ? ARROW_FLAG_NULLABLE : 0, n_children);
    if (error != NULL) {
        return error;
    }
    if (parent->children[index]->release != NULL) {
        parent->children[index]->release(parent->children[index]);
    }
    *parent->children[index] = made;
    return NULL;
}

/* ---- metadata: int32 pairs, then (int32 bytes, key, int32 bytes, value) each, native endian ----
 */

static int32_t read_i32(const char *at) {
    int32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static size_t metadata_bytes(const char *metadata) {
    const char *at = metadata + 4;
    for (int64_t i = 2 * (int64_t)read_i32(metadata); i > 0; i--) {
        at += 4 + read_i32(at);
    }
    return (size_t)(at - metadata);
}

const char *sl_schema_metadata(const struct ArrowSchema *schema, const char *key, size_t *bytes) {
    if (schema->metadata == NULL) {
        return NULL;
    }
    size_t key_bytes = strlen(key);
    const char *at = schema->metadata + 4;
    for (int32_t i = read_i32(schema->metadata); i > 0; i--) {
        size_t this_bytes = (size_t)read_i32(at);
        const char *this_key = at + 4;
        const char *value = this_key + this_bytes;
        size_t value_bytes = (size_t)read_i32(value);
        if (this_bytes == key_bytes && memcmp(this_key, key, key_bytes) == 0) {
            *bytes = value_bytes;
            return value + 4;
        }
        at = value + 4 + value_bytes;
    }
    return NULL;
}

static void append_metadata_text(sl_buffer *buffer, const char *text) {
    int32_t bytes = (int32_t)strlen(text);
    sl_buffer_append(buffer, &bytes, sizeof(bytes));
    sl_buffer_append(buffer, text, (size_t)bytes);
}

sl_error *sl_schema_set_metadata(struct ArrowSchema *schema, const char *const *keys,
                                 const char *const *values, size_t n) {
    sl_buffer buffer = SL_BUFFER_INIT;
    int32_t pairs = (int32_t)n;
    sl_buffer_append(&buffer, &pairs, sizeof(pairs));
    for (size_t i = 0; i < n; i++) {
        append_metadata_text(&buffer, keys[i]);
        append_metadata_text(&buffer, values[i]);
    }
    if (buffer.failed) {
        sl_buffer_free(&buffer);
        return sl_error_no_memory();
    }
    free((void *)(uintptr_t)schema->metadata);
    size_t bytes;
    schema->metadata = (const char *)sl_buffer_take(&buffer, &bytes);
    return NULL;
}

/* ---- copies and comparison ---- */

sl_error *sl_schema_copy(const struct ArrowSchema *schema, struct ArrowSchema *out) {
    if (schema->release == NULL || schema->dictionary != NULL) {
        return sl_error_new(SL_ERROR_UNSUPPORTED, "the schema of field \"%s\" is %s",
                            schema->name == NULL ? "" : schema->name,
                            schema->release == NULL ? "released" : "dictionary-encoded");
    }
    struct ArrowSchema made;
    sl_error *error = make(&made, schema->name == NULL ? "" : schema->name, schema->format,
                           schema->flags, (size_t)schema->n_children);
    if (error != NULL) {
        return error;
    }
    if (schema->metadata != NULL) {
        made.metadata = copy_bytes(schema->metadata, metadata_bytes(schema->metadata));
        error = made.metadata == NULL ? sl_error_no_memory() : NULL;
    }
    for (int64_t i = 0; i < schema->n_children && error == NULL; i++) {
        error = sl_schema_copy(schema->children[i], made.children[i]);
    }
    if (error != NULL) {
        made.release(&made);
        return error;
    }
    *out = made;
    return NULL;
}

static bool texts_equal(const char *a, const char *b) {
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

bool sl_schema_equal(const struct ArrowSchema *a, const struct ArrowSchema *b) {
    if (!texts_equal(a->name, b->name) || !texts_equal(a->format, b->format) ||
        ((a->flags ^ b->flags) & ARROW_FLAG_NULLABLE) != 0 || a->n_children != b->n_children) {
        return false;
    }
    for (int64_t i = 0; i < a->n_children; i++) {
        if (!sl_schema_equal(a->children[i], b->children[i])) {
            return false;
        }
    }
    return true;
}

int64_t sl_schema_find(const struct ArrowSchema *schema, const char *name) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (texts_equal(schema->children[i]->name, name)) {
            return i;
        }
    }
    return -1;
}
