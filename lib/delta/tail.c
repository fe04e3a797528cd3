/*
 * The tail: rows by key, kept in the batches that brought them, with a mark for each row that still
 * counts. Batches without such rows are freed, and when most rows of the others are dead they are
 * packed into one.
 */
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"
#include "delta/key_map.h"
#include "delta/read_internal.h"
#include "delta/upsert.h"

/* Dead rows that are not worth packing. */
#define SPARE_ROWS 4096

typedef struct chunk {
    struct ArrowArray rows;
    uint8_t *live; /* a byte for each row */
    int64_t n_live;
    size_t bytes;
} chunk;

struct sl_delta_tail {
    struct ArrowSchema schema;
    int64_t *key;
    bool *partition; /* by place in the key: it is a partition column of the table */
    size_t n_key;
    chunk *chunks;
    const struct ArrowArray **batches; /* pointers to chunks' arrays, for the map */
    size_t n_chunks;
    size_t capacity;
    key_map map;
    int64_t rows; /* in the chunks, dead ones too */
};

sl_error *sl_delta_resolve_key(const struct ArrowSchema *schema, const char *const *key, size_t n,
                               int64_t *indexes_out) {
    if (n == 0) {
        return sl_error_new(SL_ERROR_CONFIG, "no key columns are named");
    }
    for (size_t i = 0; i < n; i++) {
        indexes_out[i] = sl_schema_find(schema, key[i]);
        if (indexes_out[i] < 0) {
            return sl_error_new(SL_ERROR_CONFIG, "the key column \"%s\" is not among the input's",
                                key[i]);
        }
        if (schema->children[indexes_out[i]]->n_children > 0) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "the key column \"%s\" is a struct, list or map; a key column is a "
                                "plain value",
                                key[i]);
        }
    }
    return NULL;
}

sl_error *sl_delta_tail_new(const struct ArrowSchema *schema, const char *const *key, size_t n_key,
                            sl_delta_tail **out) {
    sl_delta_tail *tail = calloc(1, sizeof(*tail));
    int64_t *indexes = calloc(n_key > 0 ? n_key : 1, sizeof(*indexes));
    bool *partition = calloc(n_key > 0 ? n_key : 1, sizeof(*partition));
    if (tail == NULL || indexes == NULL || partition == NULL) {
        free(tail);
        free(indexes);
        free(partition);
        return sl_error_no_memory();
    }
    tail->key = indexes;
    tail->partition = partition;
    tail->n_key = n_key;
    sl_error *error = sl_delta_resolve_key(schema, key, n_key, indexes);
    error = error ? error : sl_schema_copy(schema, &tail->schema);
    if (error != NULL) {
        sl_delta_tail_free(tail);
        return error;
    }
    tail->map.schema = &tail->schema;
    tail->map.columns = tail->key;
    tail->map.n_columns = n_key;
    tail->map.partition = partition;
    *out = tail;
    return NULL;
}

static void chunk_free(chunk *c) {
    if (c->rows.release != NULL) {
        c->rows.release(&c->rows);
    }
    free(c->live);
    *c = (chunk){0};
}

void sl_delta_tail_clear(sl_delta_tail *tail) {
    for (size_t i = 0; i < tail->n_chunks; i++) {
        chunk_free(&tail->chunks[i]);
    }
    tail->n_chunks = 0;
    tail->rows = 0;
    delta_key_map_free(&tail->map);
}

void sl_delta_tail_free(sl_delta_tail *tail) {
    if (tail == NULL) {
        return;
    }
    sl_delta_tail_clear(tail);
    if (tail->schema.release != NULL) {
        tail->schema.release(&tail->schema);
    }
    free(tail->chunks);
    free(tail->batches);
    free(tail->key);
    free(tail->partition);
    free(tail);
}

/* ---- chunks ---- */

/* Chunks may move when they grow: the map finds their arrays through `batches`. */
static void point_at_chunks(sl_delta_tail *tail) {
    for (size_t i = 0; i < tail->n_chunks; i++) {
        tail->batches[i] = &tail->chunks[i].rows;
    }
    tail->map.batches = tail->batches;
}

static sl_error *chunk_room(sl_delta_tail *tail) {
    if (tail->n_chunks < tail->capacity) {
        return NULL;
    }
    size_t capacity = tail->capacity == 0 ? 16 : tail->capacity * 2;
    chunk *chunks = realloc(tail->chunks, capacity * sizeof(*chunks));
    if (chunks == NULL) {
        return sl_error_no_memory();
    }
    tail->chunks = chunks;
    const struct ArrowArray **batches = realloc(tail->batches, capacity * sizeof(*batches));
    if (batches == NULL) {
        return sl_error_no_memory();
    }
    tail->batches = batches;
    tail->capacity = capacity;
    point_at_chunks(tail);
    return NULL;
}

/* A free place for a chunk: an emptied one, or a new one at the end. */
static sl_error *chunk_slot(sl_delta_tail *tail, size_t *at) {
    for (size_t i = 0; i < tail->n_chunks; i++) {
        if (tail->chunks[i].rows.release == NULL) {
            *at = i;
            return NULL;
        }
    }
    sl_error *error = chunk_room(tail);
    if (error == NULL) {
        *at = tail->n_chunks++;
        tail->chunks[*at] = (chunk){0};
    }
    return error;
}

static void kill_row(sl_delta_tail *tail, key_place place) {
    chunk *c = &tail->chunks[place.batch];
    c->live[place.row] = 0;
    c->n_live--;
}

/* Frees chunks without live rows. Not while their rows are being looked at. */
static void drop_dead(sl_delta_tail *tail) {
    for (size_t i = 0; i < tail->n_chunks; i++) {
        chunk *c = &tail->chunks[i];
        if (c->rows.release != NULL && c->n_live == 0) {
            tail->rows -= c->rows.length;
            chunk_free(c);
        }
    }
}

/* Takes the array over and enters its rows; of several rows of a key the last counts. */
static sl_error *add_chunk(sl_delta_tail *tail, struct ArrowArray *rows) {
    size_t at;
    sl_error *error = chunk_slot(tail, &at);
    uint8_t *live = error == NULL ? malloc((size_t)rows->length + 1) : NULL;
    if (live == NULL) {
        rows->release(rows);
        return error ? error : sl_error_no_memory();
    }
    memset(live, 1, (size_t)rows->length);
    tail->chunks[at] = (chunk){.rows = *rows, .live = live, .n_live = rows->length};
    memset(rows, 0, sizeof(*rows));
    point_at_chunks(tail);
    chunk *c = &tail->chunks[at];
    c->bytes = sl_array_bytes(&tail->schema, &c->rows);
    tail->rows += c->rows.length;
    delta_rows keys = {&tail->schema, &c->rows, tail->key, tail->n_key, tail->partition};
    for (int64_t i = 0; i < c->rows.length; i++) {
        key_place place = {(uint32_t)at, (uint32_t)i};
        key_place old;
        bool had;
        if (!delta_key_map_put(&tail->map, &keys, i, place, &old, &had)) {
            return sl_error_no_memory();
        }
        if (had) {
            kill_row(tail, old);
        }
    }
    return NULL;
}

/* The live rows of a chunk, by row number; *n of them. */
static sl_error *live_rows(const chunk *c, int32_t **out, int64_t *n) {
    int32_t *indexes = malloc((size_t)(c->n_live > 0 ? c->n_live : 1) * sizeof(*indexes));
    if (indexes == NULL) {
        return sl_error_no_memory();
    }
    *n = 0;
    for (int64_t i = 0; i < c->rows.length; i++) {
        if (c->live[i]) {
            indexes[(*n)++] = (int32_t)i;
        }
    }
    *out = indexes;
    return NULL;
}

/* The live rows of one chunk as an array of their own. */
static sl_error *take_live(const sl_delta_tail *tail, const chunk *c, struct ArrowArray *out) {
    int32_t *indexes = NULL;
    int64_t n = 0;
    sl_error *error = live_rows(c, &indexes, &n);
    error = error ? error : sl_array_take(&tail->schema, &c->rows, indexes, n, out);
    free(indexes);
    return error;
}

/* All live rows into one chunk. */
static sl_error *pack(sl_delta_tail *tail) {
    sl_builder builder;
    sl_error *error = sl_builder_init(&builder, &tail->schema);
    if (error != NULL) {
        return error;
    }
    for (size_t i = 0; i < tail->n_chunks && error == NULL; i++) {
        const chunk *c = &tail->chunks[i];
        struct ArrowArray taken;
        if (c->n_live == 0) {
            continue;
        }
        error = take_live(tail, c, &taken);
        if (error == NULL) {
            error = sl_builder_append_array(&builder, &tail->schema, &taken, 0, taken.length);
            taken.release(&taken);
        }
    }
    struct ArrowArray packed = {0};
    error = error ? error : sl_builder_finish(&builder, &packed);
    sl_builder_free(&builder);
    if (error == NULL) {
        sl_delta_tail_clear(tail);
        error = add_chunk(tail, &packed);
    }
    return error;
}

static sl_error *settle(sl_delta_tail *tail) {
    drop_dead(tail);
    int64_t live = (int64_t)tail->map.n;
    return tail->rows - live > live + SPARE_ROWS ? pack(tail) : NULL;
}

/* ---- the interface ---- */

sl_error *sl_delta_tail_put(sl_delta_tail *tail, const struct ArrowArray *rows) {
    struct ArrowArray copy;
    if (rows->length == 0) {
        return NULL;
    }
    sl_error *error = sl_array_copy(&tail->schema, rows, 0, rows->length, &copy);
    error = error ? error : add_chunk(tail, &copy);
    return error ? error : settle(tail);
}

sl_error *sl_delta_tail_drop(sl_delta_tail *tail, const struct ArrowArray *rows) {
    delta_rows keys = {&tail->schema, rows, tail->key, tail->n_key, tail->partition};
    for (int64_t i = 0; i < rows->length; i++) {
        key_place old;
        if (delta_key_map_remove(&tail->map, &keys, i, &old)) {
            kill_row(tail, old);
        }
    }
    return settle(tail);
}

int64_t sl_delta_tail_rows(const sl_delta_tail *tail) {
    return (int64_t)tail->map.n;
}

size_t sl_delta_tail_memory_bytes(const sl_delta_tail *tail) {
    size_t bytes = tail->map.n_slots * sizeof(key_slot);
    for (size_t i = 0; i < tail->n_chunks; i++) {
        bytes += tail->chunks[i].bytes;
    }
    return bytes;
}

sl_error *sl_delta_tail_write(const sl_delta_tail *tail, sl_delta_encoder *encoder) {
    sl_error *error = NULL;
    for (size_t i = 0; i < tail->n_chunks && error == NULL; i++) {
        const chunk *c = &tail->chunks[i];
        if (c->n_live == 0) {
            continue;
        }
        if (c->n_live == c->rows.length) {
            error = sl_delta_encoder_append(encoder, &c->rows, 0, c->rows.length);
            continue;
        }
        struct ArrowArray taken;
        error = take_live(tail, c, &taken);
        if (error == NULL) {
            error = sl_delta_encoder_append(encoder, &taken, 0, taken.length);
            taken.release(&taken);
        }
    }
    return error;
}

static sl_error *put_rows(struct ArrowArray *rows, void *arg) {
    return sl_delta_tail_put(arg, rows);
}

sl_error *sl_delta_tail_load(sl_delta_tail *tail, sl_delta_table *table, const char *owner,
                             sl_delta_files *files) {
    sl_delta_files found = {0};
    sl_delta_tail_clear(tail);
    for (size_t i = 0; i < tail->n_key; i++) {
        tail->partition[i] = delta_is_partition(table, tail->schema.children[tail->key[i]]->name);
    }
    sl_error *error = sl_delta_tail_files(table, owner, &found);
    for (size_t i = 0; i < found.n && error == NULL; i++) {
        error = delta_read_as(table, &found.items[i], &tail->schema, put_rows, tail);
    }
    error = error ? error : sl_delta_files_move(files, &found);
    sl_delta_files_free(&found);
    return error;
}
