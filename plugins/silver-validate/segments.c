/*
 * Segments (names: segments_chain.h): a header of 64 bytes, then blocks, each
 * {entries: u32, bytes: u32, log}. Little-endian. Numbers are padded, so that names sort.
 */
#include "segments_chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MAGIC "SLDEDUP1" /* the last character is the format's version */
#define DIGITS 20
#define NAME_BYTES (DIGITS + 4)                /* ".seg" */
#define MERGED_NAME_BYTES (2 * DIGITS + 1 + 4) /* "-" between the numbers */
/* After so long without a commit somebody else may have merged what would have been in our way. */
#define FRESH_US (SEGMENTS_MERGE_AGE_US / 2)

sl_error *segments_new(sl_store *store, const sl_services *services, sl_object *self,
                       int64_t keep_us, struct segments **out) {
    struct segments *segments = calloc(1, sizeof(*segments));
    if (segments == NULL) {
        return sl_error_no_memory();
    }
    segments->store = store;
    segments->services = services;
    segments->self = self;
    segments->keep_us = keep_us;
    *out = segments;
    return NULL;
}

static void chain_free(struct chain *chain) {
    if (chain != NULL) {
        free(chain->folder);
        free(chain->live.items);
        free(chain->dead.items);
        free(chain);
    }
}

void segments_free(struct segments *segments) {
    if (segments != NULL) {
        for (size_t i = 0; i < segments->chains.n; i++) {
            chain_free(segments->chains.items[i]);
        }
        sl_slots_free(&segments->chains);
        free(segments);
    }
}

void segments_forget(struct segments *segments, const sl_stream *stream) {
    chain_free(sl_slots_get(&segments->chains, stream->index));
    sl_slots_set(&segments->chains, stream->index, NULL);
}

/* ---- names ---- */

/* The key as one folder name: bytes beyond letters, digits, '.', '-', '_' as %XX. */
static char *folder_name(const char *key) {
    char *out = malloc(strlen(key) * 3 + 2), *o = out;
    for (; out != NULL && *key != 0; key++) {
        bool plain = (*key >= 'a' && *key <= 'z') || (*key >= 'A' && *key <= 'Z') ||
                     (*key >= '0' && *key <= '9') || *key == '-' || *key == '_' || *key == '.';
        if (plain) {
            *o++ = *key;
        } else {
            o += sprintf(o, "%%%02X", (unsigned)(unsigned char)*key);
        }
    }
    if (out != NULL) {
        *o++ = '/';
        *o = 0;
    }
    return out;
}

sl_error *segment_path(const struct chain *chain, const struct segment *segment, sl_buffer *out,
                       const char **path) {
    sl_buffer_clear(out);
    sl_buffer_printf(out, "%s%0*" PRId64, chain->folder, DIGITS, segment->from + 1);
    if (segment->to != SL_OFFSET_NONE) {
        sl_buffer_printf(out, "-%0*" PRId64, DIGITS, segment->to);
    }
    sl_buffer_append_text(out, ".seg");
    *path = sl_buffer_text(out);
    return *path == NULL ? sl_error_no_memory() : NULL;
}

bool segment_list_push(struct segment_list *list, struct segment segment) {
    if (list->n == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct segment *grown = realloc(list->items, capacity * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->n++] = segment;
    return true;
}

/* ---- reading ---- */

struct listing {
    struct chain *chain;
    int64_t now_us;
    bool no_memory;
};

/* Twenty digits. */
static bool read_number(const char *digits, int64_t *out) {
    size_t zeros = strspn(digits, "0");
    zeros = zeros >= DIGITS ? DIGITS - 1 : zeros;
    return strspn(digits, "0123456789") >= DIGITS &&
           sl_parse_i64(digits + zeros, DIGITS - zeros, out);
}

static bool read_name(const char *name, struct segment *out) {
    size_t bytes = strlen(name);
    bool merged = bytes == MERGED_NAME_BYTES && name[DIGITS] == '-';
    int64_t number = 0;
    out->to = SL_OFFSET_NONE;
    if ((!merged && bytes != NAME_BYTES) || strcmp(name + bytes - 4, ".seg") != 0 ||
        !read_number(name, &number) || (merged && !read_number(name + DIGITS + 1, &out->to))) {
        return false;
    }
    out->from = number - 1;
    return true;
}

/* Names come in order: merged ones before what begins at the same place, the shorter first. */
static bool take_segment(struct chain *chain, struct segment segment) {
    struct segment_list *live = &chain->live;
    struct segment *last = live->n == 0 ? NULL : &live->items[live->n - 1];
    if (last == NULL || segment.from >= last->to) {
        return segment_list_push(live, segment);
    }
    struct segment shorter = segment;
    if (segment.from == last->from && segment.to > last->to) {
        shorter = *last;
        *last = segment;
    }
    return segment_list_push(&chain->dead, shorter);
}

static int visit(const sl_store_entry *entry, void *arg) {
    struct listing *listing = arg;
    const char *slash = strrchr(entry->path, '/');
    struct segment segment = {.last_clock_us = INT64_MAX, .since_us = listing->now_us};
    if (read_name(slash == NULL ? entry->path : slash + 1, &segment)) {
        segment.bytes = entry->bytes < 0 ? INT32_MAX : entry->bytes;
        listing->no_memory = !take_segment(listing->chain, segment);
    }
    return listing->no_memory;
}

static sl_error *list_chain(struct segments *segments, struct chain *chain) {
    int64_t now_us = segments->services->now_us(segments->self);
    struct listing listing = {chain, now_us, false};
    sl_store *store = segments->store;
    sl_error *error = store->ops->list(store, chain->folder, NULL, 0, visit, &listing);
    chain->fresh_us = now_us;
    return error == NULL && listing.no_memory ? sl_error_no_memory() : error;
}

static const struct segment *last_segment(const struct chain *chain) {
    return &chain->live.items[chain->live.n - 1];
}

/* The version of what is a segment, but not of ours; 0: it is none. */
static int other_version(const struct segment_header *header) {
    char version = header->magic[7];
    bool segment = memcmp(header->magic, MAGIC, 7) == 0 && version >= '0' && version <= '9';
    return segment && version != MAGIC[7] ? version : 0;
}

/* The segment as messages name it; NULL when memory is short. Free `out`. */
static const char *where_is(const struct chain *chain, const struct segment *segment,
                            sl_buffer *out) {
    sl_buffer path = SL_BUFFER_INIT;
    const char *text = "";
    sl_error *error = segment_path(chain, segment, &path, &text);
    if (error == NULL) {
        sl_buffer_printf(out, "deduplication segment %s/%s", chain->url, text);
    }
    sl_error_free(error);
    sl_buffer_free(&path);
    return sl_buffer_text(out);
}

static sl_error *unsupported(const struct chain *chain, const struct segment *segment,
                             int version) {
    sl_buffer where = SL_BUFFER_INIT;
    const char *text = where_is(chain, segment, &where);
    sl_error *error = text == NULL
                          ? sl_error_no_memory()
                          : sl_error_format(text, version - '0', MAGIC[7] - '0', MAGIC[7] - '0');
    sl_buffer_free(&where);
    return error;
}

sl_error *segment_corrupt(const struct chain *chain, const struct segment *segment,
                          const char *what) {
    sl_buffer where = SL_BUFFER_INIT;
    const char *text = where_is(chain, segment, &where);
    sl_error *error =
        text == NULL ? sl_error_no_memory() : sl_error_new(SL_ERROR_CORRUPT, "%s: %s", text, what);
    sl_buffer_free(&where);
    return error;
}

/* What is wrong with a segment, or NULL. */
static const char *find_fault(const struct segment *segment, const struct segment_header *header,
                              const sl_store_bytes *bytes, bool whole) {
    size_t payload = bytes->bytes - sizeof(*header);
    if (memcmp(header->magic, MAGIC, 8) != 0) {
        return "it is no deduplication segment";
    }
    if (header->from != segment->from || header->to < header->from || header->last_clock_us < 0 ||
        (segment->to != SL_OFFSET_NONE && header->to != segment->to)) {
        return "its header does not belong to its name";
    }
    bool intact =
        !whole || (payload == header->payload_bytes &&
                   XXH3_64bits(bytes->data + sizeof(*header), payload) == header->checksum);
    return intact ? NULL : "its checksum does not match";
}

sl_error *segment_check(const struct chain *chain, const struct segment *segment, bool whole,
                        const sl_store_bytes *bytes, struct segment_header *header) {
    if (bytes->bytes < sizeof(*header)) {
        return segment_corrupt(chain, segment, "shorter than its header");
    }
    memcpy(header, bytes->data, sizeof(*header));
    int version = other_version(header);
    const char *fault = find_fault(segment, header, bytes, whole);
    return fault == NULL  ? NULL
           : version != 0 ? unsupported(chain, segment, version)
                          : segment_corrupt(chain, segment, fault);
}

sl_error *segment_read(struct segments *segments, const struct chain *chain,
                       const struct segment *segment, bool whole, struct segment_header *header,
                       sl_store_bytes *out) {
    sl_buffer path = SL_BUFFER_INIT;
    const char *text = NULL;
    sl_error *error = segment_path(chain, segment, &path, &text);
    if (error == NULL) {
        int64_t length = whole ? -1 : (int64_t)sizeof(*header);
        error = segments->store->ops->get(segments->store, text, 0, length, out);
    }
    if (error == NULL) {
        error = segment_check(chain, segment, whole, out, header);
        if (error != NULL) {
            out->release(out);
        }
    }
    sl_buffer_free(&path);
    return error;
}

/* Where the last segment of each chain ends, asked for all at once. */
static sl_error *read_positions(struct segments *segments, struct chain *const *chains, size_t n) {
    struct segment_header header;
    sl_buffer *names = calloc(n, sizeof(*names));
    const char **paths = calloc(n, sizeof(*paths));
    sl_store_bytes *bytes = calloc(n, sizeof(*bytes));
    sl_error *error = names == NULL || paths == NULL || bytes == NULL ? sl_error_no_memory() : NULL;
    for (size_t i = 0; i < n && error == NULL; i++) {
        error = segment_path(chains[i], last_segment(chains[i]), &names[i], &paths[i]);
    }
    size_t n_read = 0;
    if (error == NULL) {
        error = sl_store_get_all(segments->store, paths, n, sizeof(header), bytes, &n_read);
    }
    for (size_t i = 0; i < n_read; i++) {
        error = error != NULL
                    ? error
                    : segment_check(chains[i], last_segment(chains[i]), false, &bytes[i], &header);
        if (error == NULL) {
            chains[i]->position = header.to;
            chains[i]->last_clock_us = header.last_clock_us;
        }
        bytes[i].release(&bytes[i]);
    }
    for (size_t i = 0; names != NULL && i < n; i++) {
        sl_buffer_free(&names[i]);
    }
    free(names);
    free((void *)paths);
    free(bytes);
    return error;
}

/* Those of the chains that have segments. */
static sl_error *find_positions(struct segments *segments, struct chain *const *chains, size_t n) {
    struct chain **known = calloc(n + 1, sizeof(struct chain *));
    size_t n_known = 0;
    if (known == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < n; i++) {
        chains[i]->position = SL_OFFSET_NONE;
        chains[i]->acknowledged = SL_OFFSET_NONE;
        if (chains[i]->live.n > 0) {
            known[n_known++] = chains[i];
        }
    }
    sl_error *error = n_known == 0 ? NULL : read_positions(segments, known, n_known);
    free((void *)known);
    return error;
}

static sl_error *chain_new(struct segments *segments, const char *key, struct chain **out) {
    struct chain *chain = calloc(1, sizeof(*chain));
    if (chain == NULL || (chain->folder = folder_name(key)) == NULL) {
        free(chain);
        return sl_error_no_memory();
    }
    chain->url = segments->store->ops->url(segments->store);
    *out = chain; /* the caller's, listed or not */
    return list_chain(segments, chain);
}

sl_error *segments_recover(struct segments *segments, sl_position *positions, size_t n) {
    struct chain **chains = calloc(n + 1, sizeof(struct chain *));
    sl_error *error = chains == NULL ? sl_error_no_memory() : NULL;
    for (size_t i = 0; i < n && error == NULL; i++) {
        error = chain_new(segments, positions[i].key, &chains[i]);
    }
    error = error != NULL ? error : find_positions(segments, chains, n);
    for (size_t i = 0; i < n; i++) {
        const sl_stream *stream = positions[i].stream;
        segments_forget(segments, stream);
        positions[i].from = SL_OFFSET_NONE;
        if (error == NULL && !sl_slots_set(&segments->chains, stream->index, chains[i])) {
            error = sl_error_no_memory();
        }
        if (error == NULL) {
            positions[i].from = chains[i]->position;
            chains[i] = NULL; /* in its slot */
        }
    }
    for (size_t i = 0; chains != NULL && i < n; i++) {
        chain_free(chains[i]);
    }
    free((void *)chains);
    return error;
}

void segments_acknowledge(struct segments *segments, const sl_stream *stream, int64_t position) {
    struct chain *chain = sl_slots_get(&segments->chains, stream->index);
    if (chain != NULL && position > chain->acknowledged) {
        chain->acknowledged = position;
    }
}

bool segments_adopt(struct segments *segments, const sl_stream *stream, int64_t offset,
                    struct dedup_stream *state) {
    const struct chain *chain = sl_slots_get(&segments->chains, stream->index);
    if (chain == NULL || chain->position != offset) {
        return false;
    }
    state->log_from = offset;
    return true;
}

/* ---- writing ---- */

static bool append_payload(sl_buffer *out, struct segment_header *header,
                           const struct dedup_log *const *logs, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct dedup_log *log = logs[i];
        uint32_t sizes[2] = {(uint32_t)log->entries, (uint32_t)log->bytes.bytes};
        header->entries += log->entries;
        if (log->entries > 0) {
            header->last_clock_us = log->last_clock_us;
            sl_buffer_append(out, sizes, sizeof(sizes));
            sl_buffer_append(out, log->bytes.data, log->bytes.bytes);
        }
    }
    return !out->failed;
}

sl_error *segment_put(struct segments *segments, const struct chain *chain,
                      const struct segment *segment, struct segment_header *header,
                      sl_buffer *bytes) {
    sl_buffer path = SL_BUFFER_INIT;
    const char *text = NULL;
    sl_error *error = segment_path(chain, segment, &path, &text);
    if (error == NULL) {
        memcpy(header->magic, MAGIC, sizeof(header->magic));
        header->payload_bytes = bytes->bytes - sizeof(*header);
        header->checksum = XXH3_64bits(bytes->data + sizeof(*header), header->payload_bytes);
        memcpy(bytes->data, header, sizeof(*header));
        error = segments->store->ops->put(segments->store, text, bytes->data, bytes->bytes,
                                          SL_STORE_IF_ABSENT);
    }
    if (sl_error_is(error, SL_ERROR_EXISTS)) { /* ours, when an answer got lost */
        sl_store_bytes there = {0};
        sl_error *unread = segments->store->ops->get(segments->store, text, 0, -1, &there);
        bool same = unread == NULL && there.bytes == bytes->bytes &&
                    memcmp(there.data, bytes->data, there.bytes) == 0;
        if (unread == NULL) {
            there.release(&there);
        }
        if (unread != NULL || same) {
            sl_error_free(error);
            error = unread;
        }
    }
    sl_buffer_free(&path);
    return error;
}

static sl_error *put_logs(struct segments *segments, const struct chain *chain, int64_t to,
                          const struct dedup_log *const *logs, size_t n, struct segment *segment) {
    struct segment_header header = {.from = segment->from,
                                    .to = to,
                                    .first_clock_us = chain->last_clock_us,
                                    .last_clock_us = chain->last_clock_us};
    sl_buffer bytes = SL_BUFFER_INIT;
    sl_buffer_append(&bytes, &header, sizeof(header));
    sl_error *error = append_payload(&bytes, &header, logs, n)
                          ? segment_put(segments, chain, segment, &header, &bytes)
                          : sl_error_no_memory();
    segment->last_clock_us = header.last_clock_us;
    segment->bytes = (int64_t)bytes.bytes;
    sl_buffer_free(&bytes);
    return error;
}

static sl_error *overtaken(const sl_stream *stream, int64_t from) {
    return sl_error_new(SL_ERROR_CONFLICT,
                        "another writer has committed deduplication of %s/%d from %" PRId64,
                        stream->topic, (int)stream->partition, from);
}

/* We have put the segment at `from`. Unless we knew the chain's end a moment ago, its name proves
 * nothing: the one that was in our way may have been merged. */
static sl_error *check_end(struct segments *segments, const sl_stream *stream, struct chain *chain,
                           int64_t from) {
    int64_t now_us = segments->services->now_us(segments->self);
    if (now_us >= chain->fresh_us && now_us - chain->fresh_us < FRESH_US) {
        chain->fresh_us = now_us;
        return NULL;
    }
    struct chain now = {.folder = chain->folder};
    sl_error *error = list_chain(segments, &now);
    if (error == NULL && (now.live.n == 0 || now.live.items[now.live.n - 1].from != from)) {
        error = overtaken(stream, from);
    }
    if (error == NULL) {
        chain->fresh_us = now.fresh_us;
    }
    free(now.live.items);
    free(now.dead.items);
    return error;
}

sl_error *segments_commit(struct segments *segments, const sl_stream *stream, int64_t from,
                          int64_t to, const struct dedup_log *const *logs, size_t n) {
    struct chain *chain = sl_slots_get(&segments->chains, stream->index);
    if (chain != NULL && chain->position == to) {
        return NULL;
    }
    if (chain == NULL || chain->position != from) {
        return sl_error_new(SL_ERROR_CONFLICT,
                            "deduplication of %s/%d stands at %" PRId64 ", not at %" PRId64,
                            stream->topic, (int)stream->partition,
                            chain == NULL ? SL_OFFSET_NONE : chain->position, from);
    }
    struct segment segment = {
        .from = from, .to = SL_OFFSET_NONE, .since_us = segments->services->now_us(segments->self)};
    sl_error *error = put_logs(segments, chain, to, logs, n, &segment);
    if (sl_error_is(error, SL_ERROR_EXISTS)) {
        sl_error_free(error);
        return overtaken(stream, from);
    }
    error = error != NULL ? error : check_end(segments, stream, chain, from);
    if (error != NULL) {
        return error;
    }
    chain->position = to;
    chain->last_clock_us = segment.last_clock_us;
    return segment_list_push(&chain->live, segment) ? NULL : sl_error_no_memory();
}
