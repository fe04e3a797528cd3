/*
 * The chain in the state store: entries and snapshots as objects. Integers are little-endian, "i64"
 * has 8 bytes; a block is its length (i64) and its bytes.
 *
 * log/<20 digits>: "SLGA", version (1 byte: 3), number, token, plan fingerprint, watermark, base
 *   number, base token, for each output first and next sequence number and the one below which
 *   results may have been sent (versions before 3 did not say it), number of final rows, their
 *   largest event time, number of streams (i64 each); each stream: block of its key, position,
 *   largest event time, floor, flags (i64 each; flag 1: idle; version 1 had none); blocks of the
 * delta (lib/window), the final rows and the late rows (lib/columns); XXH3 of all before (8 bytes).
 * delta/<16 hex digits: XXH3 of the stream's key>/<20 digits>: a group's delta log, objects as in
 *   log/ with one stream, whose position is the next offset.
 * base/<20 digits>-<16 hex digits>: "SLGB", version (1 byte: 1), block of the table, XXH3 as above.
 */
#include "gold.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define ENTRY_MAGIC "SLGA"
#define BASE_MAGIC "SLGB"
#define ENTRY_VERSION 3
#define BASE_VERSION 1
#define STREAM_IDLE 1
#define PATH_BYTES 64
#define MAX_COLLECTED 1000

uint64_t random_token(void) {
    uint64_t token = 0;
    if (getrandom(&token, sizeof(token), 0) != (ssize_t)sizeof(token)) {
        int64_t now = sl_now_us();
        token = XXH3_64bits(&now, sizeof(now));
    }
    return token;
}

static void entry_path(const char *folder, int64_t number, char out[PATH_BYTES]) {
    (void)snprintf(out, PATH_BYTES, "%s%020" PRId64, folder, number);
}

void delta_folder(const char *key, char out[FOLDER_BYTES]) {
    (void)snprintf(out, FOLDER_BYTES, "delta/%016" PRIx64 "/",
                   (uint64_t)XXH3_64bits(key, strlen(key)));
}

static void base_path(int64_t number, uint64_t token, char out[PATH_BYTES]) {
    (void)snprintf(out, PATH_BYTES, "base/%020" PRId64 "-%016" PRIx64, number, token);
}

/* ---- encoding ---- */

static void put_i64(sl_buffer *out, int64_t value) {
    (void)sl_buffer_append(out, &value, sizeof(value));
}

static void put_u64(sl_buffer *out, uint64_t value) {
    (void)sl_buffer_append(out, &value, sizeof(value));
}

static void put_block(sl_buffer *out, const void *data, size_t bytes) {
    put_i64(out, (int64_t)bytes);
    (void)sl_buffer_append(out, data, bytes);
}

static sl_error *put_checksum(sl_buffer *out) {
    if (!out->failed) {
        put_u64(out, XXH3_64bits(out->data, out->bytes));
    }
    return out->failed ? sl_error_no_memory() : NULL;
}

sl_error *entry_encode(const struct entry *entry, sl_buffer *out) {
    sl_buffer_clear(out);
    (void)sl_buffer_append_text(out, ENTRY_MAGIC);
    (void)sl_buffer_append_byte(out, ENTRY_VERSION);
    put_i64(out, entry->number);
    put_u64(out, entry->token);
    put_u64(out, entry->fingerprint);
    put_i64(out, entry->watermark_us);
    put_i64(out, entry->base_number);
    put_u64(out, entry->base_token);
    for (int i = 0; i < OUTPUTS; i++) {
        put_i64(out, entry->first[i]);
        put_i64(out, entry->next[i]);
        put_i64(out, entry->sent[i]);
    }
    put_i64(out, entry->finals);
    put_i64(out, entry->max_event_us);
    put_i64(out, (int64_t)entry->n_streams);
    for (size_t i = 0; i < entry->n_streams; i++) {
        const struct entry_stream *stream = &entry->streams[i];
        put_block(out, stream->key, stream->key_bytes);
        put_i64(out, stream->position);
        put_i64(out, stream->clock.max_event_us);
        put_i64(out, stream->clock.floor_us);
        put_i64(out, stream->idle ? STREAM_IDLE : 0);
    }
    put_block(out, entry->delta, entry->delta_bytes);
    for (int i = 0; i < OUTPUTS; i++) {
        put_block(out, entry->rows[i], entry->rows_bytes[i]);
    }
    return put_checksum(out);
}

/* ---- decoding ---- */

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed; /* stays, so that one check at the end is enough */
    int version;
};

static uint64_t get_u64(struct cursor *cursor) {
    uint64_t value = 0;
    if (cursor->end - cursor->at < (ptrdiff_t)sizeof(value)) {
        cursor->failed = true;
        return 0;
    }
    memcpy(&value, cursor->at, sizeof(value));
    cursor->at += sizeof(value);
    return value;
}

static int64_t get_i64(struct cursor *cursor) {
    return (int64_t)get_u64(cursor);
}

static const uint8_t *get_block(struct cursor *cursor, size_t *bytes) {
    int64_t length = get_i64(cursor);
    if (cursor->failed || length < 0 || length > cursor->end - cursor->at) {
        cursor->failed = true;
        *bytes = 0;
        return NULL;
    }
    const uint8_t *data = cursor->at;
    *bytes = (size_t)length;
    cursor->at += length;
    return data;
}

static sl_error *corrupt(sl_store *store, const char *path, const char *what) {
    return sl_error_new(SL_ERROR_CORRUPT,
                        "%s/%s: %s; restore it, or delete the node's state and "
                        "its tables to start afresh",
                        store->ops->url(store), path, what);
}

static sl_error *other_version(sl_store *store, const char *path, int version, int newest) {
    sl_buffer where = SL_BUFFER_INIT;
    (void)sl_buffer_printf(&where, "%s/%s", store->ops->url(store), path);
    const char *text = sl_buffer_text(&where);
    sl_error *error =
        text == NULL ? sl_error_no_memory() : sl_error_format(text, version, 1, newest);
    sl_buffer_free(&where);
    return error;
}

/* Checks an object's frame, and releases what has another; *cursor is set behind magic and version.
 */
static sl_error *open_object(sl_store *store, const char *path, const char *magic, int newest,
                             sl_store_bytes *bytes, struct cursor *cursor) {
    sl_error *error = NULL;
    const uint8_t *data = bytes->data;
    uint64_t checksum = 0;
    if (bytes->bytes < 13 || memcmp(data, magic, 4) != 0) {
        error = corrupt(store, path, "this is no state of gold-agg");
    } else if (data[4] < 1 || data[4] > newest) {
        error = other_version(store, path, data[4], newest);
    } else {
        memcpy(&checksum, data + bytes->bytes - 8, sizeof(checksum));
        if (XXH3_64bits(data, bytes->bytes - 8) != checksum) {
            error = corrupt(store, path, "the checksum is wrong");
        }
    }
    if (error != NULL) {
        bytes->release(bytes);
        return error;
    }
    *cursor = (struct cursor){data + 5, data + bytes->bytes - 8, false, data[4]};
    return NULL;
}

static bool get_streams(struct cursor *cursor, struct entry *out) {
    int64_t n = get_i64(cursor);
    if (cursor->failed || n < 0 || n > cursor->end - cursor->at) {
        return false;
    }
    out->streams = calloc((size_t)n + 1, sizeof(*out->streams));
    for (int64_t i = 0; i < n && out->streams != NULL; i++) {
        struct entry_stream *stream = &out->streams[i];
        stream->key = (const char *)get_block(cursor, &stream->key_bytes);
        stream->position = get_i64(cursor);
        stream->clock.max_event_us = get_i64(cursor);
        stream->clock.floor_us = get_i64(cursor);
        stream->idle = cursor->version > 1 && get_i64(cursor) == STREAM_IDLE;
    }
    out->n_streams = (size_t)n;
    return out->streams != NULL && !cursor->failed;
}

/* Takes the bytes of an entry. */
static sl_error *read_entry(sl_store *store, const char *path, int64_t number, sl_store_bytes bytes,
                            struct entry *out) {
    struct cursor cursor;
    memset(out, 0, sizeof(*out));
    out->bytes = bytes;
    sl_error *error = open_object(store, path, ENTRY_MAGIC, ENTRY_VERSION, &out->bytes, &cursor);
    if (error != NULL) {
        return error;
    }
    out->number = get_i64(&cursor);
    out->token = get_u64(&cursor);
    out->fingerprint = get_u64(&cursor);
    out->watermark_us = get_i64(&cursor);
    out->base_number = get_i64(&cursor);
    out->base_token = get_u64(&cursor);
    for (int i = 0; i < OUTPUTS; i++) {
        out->first[i] = get_i64(&cursor);
        out->next[i] = get_i64(&cursor);
        out->sent[i] = cursor.version > 2 ? get_i64(&cursor) : out->next[i];
    }
    out->finals = get_i64(&cursor);
    out->max_event_us = get_i64(&cursor);
    bool good = get_streams(&cursor, out);
    out->delta = get_block(&cursor, &out->delta_bytes);
    for (int i = 0; i < OUTPUTS; i++) {
        out->rows[i] = get_block(&cursor, &out->rows_bytes[i]);
        good = good && out->first[i] >= 0 && out->next[i] >= out->first[i];
    }
    if (!good || cursor.failed || out->number != number || out->finals < 0 ||
        out->finals > out->next[OUTPUT_RESULTS] - out->first[OUTPUT_RESULTS]) {
        entry_free(out);
        return corrupt(store, path, "the entry is malformed");
    }
    return NULL;
}

sl_error *entries_get(sl_store *store, const char *folder, int64_t first, size_t n,
                      struct entry *out, size_t *n_got) {
    char names[ENTRIES_AT_A_TIME][PATH_BYTES];
    const char *paths[ENTRIES_AT_A_TIME];
    sl_store_bytes bytes[ENTRIES_AT_A_TIME];
    size_t n_read = 0;
    for (size_t i = 0; i < n; i++) {
        entry_path(folder, first + (int64_t)i, names[i]);
        paths[i] = names[i];
    }
    sl_error *unread = sl_store_get_all(store, paths, n, -1, bytes, &n_read);
    sl_error *error = NULL;
    *n_got = 0;
    for (size_t i = 0; i < n_read; i++) {
        if (error != NULL) {
            bytes[i].release(&bytes[i]);
            continue;
        }
        error = read_entry(store, paths[i], first + (int64_t)i, bytes[i], &out[i]);
        *n_got += error == NULL;
    }
    if (error == NULL) {
        return unread;
    }
    sl_error_free(unread);
    return error;
}

sl_error *entry_get(sl_store *store, const char *folder, int64_t number, struct entry *out) {
    size_t n_got;
    return entries_get(store, folder, number, 1, out, &n_got);
}

sl_error *entry_fault(sl_store *store, const char *folder, int64_t number, sl_error *error) {
    char path[PATH_BYTES];
    entry_path(folder, number, path);
    return error == NULL ? NULL : sl_error_wrap(error, "%s/%s", store->ops->url(store), path);
}

void entry_free(struct entry *entry) {
    free(entry->streams);
    if (entry->bytes.release != NULL) {
        entry->bytes.release(&entry->bytes);
    }
    memset(entry, 0, sizeof(*entry));
}

/* After an unclear answer the entry that is there may be ours: its token says so. */
static bool is_ours(sl_store *store, const char *path, const sl_buffer *bytes) {
    sl_store_bytes found;
    sl_error *error = store->ops->get(store, path, 0, -1, &found);
    if (error != NULL) {
        sl_error_free(error);
        return false;
    }
    bool same = found.bytes == bytes->bytes && memcmp(found.data, bytes->data, bytes->bytes) == 0;
    found.release(&found);
    return same;
}

sl_error *entry_put(sl_store *store, const char *folder, int64_t number, const sl_buffer *bytes) {
    char path[PATH_BYTES];
    entry_path(folder, number, path);
    sl_error *error = store->ops->put(store, path, bytes->data, bytes->bytes, SL_STORE_IF_ABSENT);
    if (!sl_error_is(error, SL_ERROR_EXISTS)) {
        return error;
    }
    sl_error_free(error);
    if (is_ours(store, path, bytes)) {
        return NULL;
    }
    return sl_error_new(SL_ERROR_CONFLICT,
                        "%s/%s was written by another sluice: two of them run this node, which "
                        "only one may",
                        store->ops->url(store), path);
}

/* ---- the chain as a whole ---- */

static int64_t number_of(const char *path, const char *folder) {
    size_t folder_bytes = strlen(folder);
    const char *digits = path + folder_bytes;
    if (strncmp(path, folder, folder_bytes) != 0 || strspn(digits, "0123456789") != 20) {
        return 0;
    }
    return (int64_t)strtoull(digits, NULL, 10);
}

struct last_of {
    const char *folder;
    int64_t *number;
};

static int keep_last(const sl_store_entry *entry, void *arg) {
    const struct last_of *last = arg;
    int64_t number = number_of(entry->path, last->folder);
    *last->number = number > *last->number ? number : *last->number;
    return 0;
}

sl_error *chain_last(sl_store *store, const char *folder, int64_t *number) {
    struct last_of last = {folder, number};
    *number = 0;
    return store->ops->list(store, folder, NULL, 0, keep_last, &last);
}

sl_error *base_put(sl_store *store, int64_t number, uint64_t token, const sl_buffer *table) {
    char path[PATH_BYTES];
    sl_buffer bytes = SL_BUFFER_INIT;
    base_path(number, token, path);
    (void)sl_buffer_append_text(&bytes, BASE_MAGIC);
    (void)sl_buffer_append_byte(&bytes, BASE_VERSION);
    put_block(&bytes, table->data, table->bytes);
    sl_error *error = put_checksum(&bytes);
    if (error == NULL) {
        error = store->ops->put(store, path, bytes.data, bytes.bytes, 0);
    }
    sl_buffer_free(&bytes);
    return error;
}

sl_error *base_load(sl_store *store, int64_t number, uint64_t token, sl_window_table *table,
                    size_t *bytes) {
    char path[PATH_BYTES];
    sl_store_bytes object;
    struct cursor cursor;
    base_path(number, token, path);
    sl_error *error = store->ops->get(store, path, 0, -1, &object);
    if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        return corrupt(store, path, "the last entry needs this snapshot, and it is not there");
    }
    error = error != NULL ? error
                          : open_object(store, path, BASE_MAGIC, BASE_VERSION, &object, &cursor);
    if (error != NULL) {
        return error;
    }
    const uint8_t *block = get_block(&cursor, bytes);
    error = cursor.failed ? sl_error_new(SL_ERROR_CORRUPT, "the snapshot is malformed")
                          : sl_window_table_read(table, block, *bytes);
    object.release(&object);
    return error == NULL ? NULL : sl_error_wrap(error, "%s/%s", store->ops->url(store), path);
}

struct collected {
    int64_t limit;
    int64_t before_ms;
    const char *folder;
    size_t n;
    char (*paths)[PATH_BYTES];
};

static int collect(const sl_store_entry *entry, void *arg) {
    struct collected *collected = arg;
    int64_t number = number_of(entry->path, collected->folder);
    if (number >= collected->limit || collected->n == MAX_COLLECTED) {
        return 1; /* numbers ascend */
    }
    if (number > 0 && entry->modified_ms > 0 && entry->modified_ms < collected->before_ms &&
        strlen(entry->path) < PATH_BYTES) {
        memcpy(collected->paths[collected->n++], entry->path, strlen(entry->path) + 1);
    }
    return 0;
}

sl_error *chain_collect(sl_store *store, const char *folder, int64_t limit, int64_t before_ms) {
    struct collected collected = {.limit = limit, .before_ms = before_ms, .folder = folder};
    collected.paths = malloc(MAX_COLLECTED * sizeof(*collected.paths));
    if (collected.paths == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = store->ops->list(store, folder, NULL, 0, collect, &collected);
    for (size_t i = 0; i < collected.n && error == NULL; i++) {
        error = store->ops->remove(store, collected.paths[i]);
    }
    free(collected.paths);
    return error;
}
