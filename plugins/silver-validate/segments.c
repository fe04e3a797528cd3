/*
 * Segments. An object `<stream>/<from + 1>.seg`: a header of 64 bytes, then blocks, each
 * {entries: u32, bytes: u32, log}. Little-endian. The number is padded, so that names sort.
 */
#include "segments.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/slots.h"

#define MAGIC "SLDEDUP1" /* the last character is the format's version */
#define NAME_BYTES 24    /* 20 digits and ".seg" */
#define MAX_REMOVED 64   /* in one commit */

struct header {
    char magic[8];
    int64_t from;
    int64_t to;
    int64_t first_clock_us; /* before its first entry */
    int64_t last_clock_us;  /* after its last one */
    uint64_t entries;
    uint64_t payload_bytes;
    uint64_t checksum; /* XXH3-64 of the payload */
};
_Static_assert(sizeof(struct header) == 64, "the header is a format");

struct segment {
    int64_t from;
    int64_t last_clock_us; /* INT64_MAX: not read yet */
};

/* What is known of one stream's chain; segments ascend. */
struct chain {
    char *folder;
    struct segment *items;
    size_t n;
    size_t capacity;
    int64_t position;
    int64_t acknowledged; /* no resume will be below */
    int64_t last_clock_us;
};

struct segments {
    sl_store *store;
    int64_t keep_us;
    sl_slots chains; /* by stream index */
};

sl_error *segments_new(sl_store *store, int64_t keep_us, struct segments **out) {
    struct segments *segments = calloc(1, sizeof(*segments));
    if (segments == NULL) {
        return sl_error_no_memory();
    }
    segments->store = store;
    segments->keep_us = keep_us;
    *out = segments;
    return NULL;
}

static void chain_free(struct chain *chain) {
    if (chain != NULL) {
        free(chain->folder);
        free(chain->items);
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

static sl_error *segment_path(const struct chain *chain, int64_t from, sl_buffer *out,
                              const char **path) {
    sl_buffer_clear(out);
    sl_buffer_printf(out, "%s%020" PRId64 ".seg", chain->folder, from + 1);
    *path = sl_buffer_text(out);
    return *path == NULL ? sl_error_no_memory() : NULL;
}

static bool push_segment(struct chain *chain, struct segment segment) {
    if (chain->n == chain->capacity) {
        size_t capacity = chain->capacity == 0 ? 64 : chain->capacity * 2;
        struct segment *grown = realloc(chain->items, capacity * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        chain->items = grown;
        chain->capacity = capacity;
    }
    chain->items[chain->n++] = segment;
    return true;
}

/* ---- reading ---- */

struct listing {
    struct chain *chain;
    bool no_memory;
};

static int visit(const sl_store_entry *entry, void *arg) {
    struct listing *listing = arg;
    const char *slash = strrchr(entry->path, '/');
    const char *name = slash == NULL ? entry->path : slash + 1;
    int64_t number;
    if (strlen(name) != NAME_BYTES || strcmp(name + 20, ".seg") != 0) {
        return 0;
    }
    while (*name == '0' && name[1] != '.') {
        name++;
    }
    if (!sl_parse_i64(name, strcspn(name, "."), &number)) {
        return 0;
    }
    listing->no_memory = !push_segment(listing->chain, (struct segment){number - 1, INT64_MAX});
    return listing->no_memory;
}

/* The version of what is a segment, but not of ours; 0: it is none. */
static int other_version(const struct header *header) {
    char version = header->magic[7];
    bool segment = memcmp(header->magic, MAGIC, 7) == 0 && version >= '0' && version <= '9';
    return segment && version != MAGIC[7] ? version : 0;
}

static sl_error *unsupported(const struct chain *chain, int64_t from, int version) {
    return sl_error_new(SL_ERROR_UNSUPPORTED,
                        "deduplication segment %s%020" PRId64 ".seg has format version %c, this "
                        "silver-validate reads version %c",
                        chain->folder, from + 1, version, MAGIC[7]);
}

static sl_error *corrupt(const struct chain *chain, int64_t from, const char *what) {
    return sl_error_new(SL_ERROR_CORRUPT, "deduplication segment %s%020" PRId64 ".seg: %s",
                        chain->folder, from + 1, what);
}

/* Reads a segment, or only its header. `out` is to be released by the caller. */
static sl_error *read_segment(struct segments *segments, const struct chain *chain, int64_t from,
                              bool whole, struct header *header, sl_store_bytes *out) {
    sl_buffer path = SL_BUFFER_INIT;
    const char *text;
    sl_error *error = segment_path(chain, from, &path, &text);
    if (error == NULL) {
        int64_t length = whole ? -1 : (int64_t)sizeof(*header);
        error = segments->store->ops->get(segments->store, text, 0, length, out);
    }
    sl_buffer_free(&path);
    if (error != NULL) {
        return error;
    }
    const char *wrong = NULL;
    int version = 0;
    if (out->bytes < sizeof(*header)) {
        wrong = "shorter than its header";
    } else {
        memcpy(header, out->data, sizeof(*header));
        size_t payload = out->bytes - sizeof(*header);
        version = other_version(header);
        if (memcmp(header->magic, MAGIC, 8) != 0) {
            wrong = "it is no deduplication segment";
        } else if (header->from != from || header->to < from || header->last_clock_us < 0) {
            wrong = "its header does not belong to its name";
        } else if (whole &&
                   (payload != header->payload_bytes ||
                    XXH3_64bits(out->data + sizeof(*header), payload) != header->checksum)) {
            wrong = "its checksum does not match";
        }
    }
    if (wrong != NULL) {
        out->release(out);
        return version != 0 ? unsupported(chain, from, version) : corrupt(chain, from, wrong);
    }
    return NULL;
}

sl_error *segments_recover(struct segments *segments, const sl_stream *stream, const char *key,
                           int64_t *position) {
    struct chain *chain = calloc(1, sizeof(*chain));
    if (chain == NULL || (chain->folder = folder_name(key)) == NULL) {
        free(chain);
        return sl_error_no_memory();
    }
    struct listing listing = {chain, false};
    sl_store *store = segments->store;
    sl_error *error = store->ops->list(store, chain->folder, NULL, 0, visit, &listing);
    if (error == NULL && listing.no_memory) {
        error = sl_error_no_memory();
    }
    chain->position = SL_OFFSET_NONE;
    chain->acknowledged = SL_OFFSET_NONE;
    if (error == NULL && chain->n > 0) {
        struct header header;
        sl_store_bytes bytes = {0};
        error =
            read_segment(segments, chain, chain->items[chain->n - 1].from, false, &header, &bytes);
        if (error == NULL) {
            bytes.release(&bytes);
            chain->position = header.to;
            chain->last_clock_us = header.last_clock_us;
        }
    }
    segments_forget(segments, stream);
    if (error == NULL && !sl_slots_set(&segments->chains, stream->index, chain)) {
        error = sl_error_no_memory();
    }
    if (error != NULL) {
        chain_free(chain);
        return error;
    }
    *position = chain->position;
    return NULL;
}

static sl_error *replay_payload(const struct chain *chain, int64_t from, const uint8_t *p,
                                const uint8_t *end, int64_t offset, struct dedup_stream *state) {
    while (p < end) {
        uint32_t sizes[2];
        if ((size_t)(end - p) < sizeof(sizes)) {
            return corrupt(chain, from, "it ends inside a block");
        }
        memcpy(sizes, p, sizeof(sizes));
        p += sizeof(sizes);
        if (sizes[1] > (size_t)(end - p)) {
            return corrupt(chain, from, "a block is longer than the segment");
        }
        sl_error *error = dedup_replay(state, p, sizes[1], offset);
        if (error != NULL) {
            return error;
        }
        p += sizes[1];
    }
    return NULL;
}

static sl_error *read_header(struct segments *segments, struct chain *chain, size_t i,
                             struct header *header) {
    sl_store_bytes bytes = {0};
    sl_error *error = read_segment(segments, chain, chain->items[i].from, false, header, &bytes);
    if (error == NULL) {
        bytes.release(&bytes);
        chain->items[i].last_clock_us = header->last_clock_us;
    }
    if (error == NULL && i + 1 < chain->n && header->to != chain->items[i + 1].from) {
        error = corrupt(chain, header->from, "the next segment does not start at its end");
    }
    return error;
}

static sl_error *too_old(const struct chain *chain, int64_t offset) {
    return sl_error_new(SL_ERROR_FATAL,
                        "deduplication cannot go on at offset %" PRId64
                        ": the state that is kept begins at offset %" PRId64
                        "; raise `deduplicate.keep`, or start again with a new state",
                        offset, chain->items[0].from);
}

/*
 * Which segments hold what occurred within W before `offset`: items [*first, *end). Goes back from
 * the one that holds the offset, by headers alone.
 */
static sl_error *find_range(struct segments *segments, struct chain *chain, int64_t offset,
                            int64_t within_us, size_t *first, size_t *end) {
    struct header header;
    size_t i = chain->n;
    while (i > 0 && chain->items[i - 1].from >= offset) {
        i--;
    }
    *first = *end = i;
    if (i == 0) {
        return chain->n == 0 || chain->items[0].from == SL_OFFSET_NONE ? NULL
                                                                       : too_old(chain, offset);
    }
    sl_error *error = read_header(segments, chain, i - 1, &header);
    /* the clock at the offset is not below this */
    int64_t needed_us = error == NULL ? header.first_clock_us - within_us : 0;
    while (error == NULL && i > 0 && header.last_clock_us >= needed_us) {
        *first = --i;
        if (header.first_clock_us < needed_us || i == 0) {
            break;
        }
        error = read_header(segments, chain, i - 1, &header);
    }
    return error;
}

void segments_acknowledge(struct segments *segments, const sl_stream *stream, int64_t position) {
    struct chain *chain = sl_slots_get(&segments->chains, stream->index);
    if (chain != NULL && position > chain->acknowledged) {
        chain->acknowledged = position;
    }
}

sl_error *segments_load(struct segments *segments, const sl_stream *stream, int64_t offset,
                        struct dedup_shared *shared, struct dedup_stream **out) {
    struct chain *chain = sl_slots_get(&segments->chains, stream->index);
    struct dedup_stream *state = dedup_stream_new(shared);
    size_t first = 0, end = 0;
    int64_t first_clock_us = 0;
    if (state == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error =
        chain == NULL ? NULL : find_range(segments, chain, offset, shared->within_us, &first, &end);
    for (size_t i = first; i < end && error == NULL; i++) {
        struct header header;
        sl_store_bytes bytes = {0};
        int64_t from = chain->items[i].from;
        error = read_segment(segments, chain, from, true, &header, &bytes);
        if (error != NULL) {
            break;
        }
        if (i == first && header.first_clock_us > 0) {
            first_clock_us = header.first_clock_us;
            dedup_tick(state, first_clock_us);
        }
        error = replay_payload(chain, from, bytes.data + sizeof(header), bytes.data + bytes.bytes,
                               offset, state);
        bytes.release(&bytes);
    }
    if (error == NULL && end > 0 && first == 0 && chain->items[0].from != SL_OFFSET_NONE &&
        first_clock_us >= state->clock_us - shared->within_us) {
        error = too_old(chain, offset);
    }
    if (error != NULL) {
        dedup_stream_free(state);
        return error;
    }
    state->log_from = chain == NULL ? SL_OFFSET_NONE : chain->position;
    segments_acknowledge(segments, stream, offset); /* it is the smallest of all positions */
    *out = state;
    return NULL;
}

/* ---- writing ---- */

static bool append_payload(sl_buffer *out, struct header *header,
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

static sl_error *put_segment(struct segments *segments, struct chain *chain, int64_t from,
                             int64_t to, const struct dedup_log *const *logs, size_t n,
                             int64_t *last_clock_us) {
    struct header header = {.magic = MAGIC,
                            .from = from,
                            .to = to,
                            .first_clock_us = chain->last_clock_us,
                            .last_clock_us = chain->last_clock_us};
    sl_buffer bytes = SL_BUFFER_INIT, path = SL_BUFFER_INIT;
    const char *text;
    sl_error *error = segment_path(chain, from, &path, &text);
    sl_buffer_append(&bytes, &header, sizeof(header));
    if (error == NULL && !append_payload(&bytes, &header, logs, n)) {
        error = sl_error_no_memory();
    }
    if (error == NULL) {
        header.payload_bytes = bytes.bytes - sizeof(header);
        header.checksum = XXH3_64bits(bytes.data + sizeof(header), header.payload_bytes);
        memcpy(bytes.data, &header, sizeof(header));
        *last_clock_us = header.last_clock_us;
        error = segments->store->ops->put(segments->store, text, bytes.data, bytes.bytes,
                                          SL_STORE_IF_ABSENT);
    }
    if (sl_error_is(error, SL_ERROR_EXISTS)) { /* ours, when an answer got lost */
        sl_store_bytes there = {0};
        sl_error *unread = segments->store->ops->get(segments->store, text, 0, -1, &there);
        if (unread != NULL) {
            sl_error_free(error);
            error = unread;
        } else if (there.bytes == bytes.bytes && memcmp(there.data, bytes.data, there.bytes) == 0) {
            sl_error_free(error);
            error = NULL;
            there.release(&there);
        } else {
            there.release(&there);
        }
    }
    sl_buffer_free(&bytes);
    sl_buffer_free(&path);
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
    int64_t last_clock_us = chain->last_clock_us;
    sl_error *error = put_segment(segments, chain, from, to, logs, n, &last_clock_us);
    if (sl_error_is(error, SL_ERROR_EXISTS)) {
        sl_error_free(error);
        return sl_error_new(SL_ERROR_CONFLICT,
                            "another writer has committed deduplication of %s/%d from %" PRId64,
                            stream->topic, (int)stream->partition, from);
    }
    if (error != NULL) {
        return error;
    }
    chain->position = to;
    chain->last_clock_us = last_clock_us;
    return push_segment(chain, (struct segment){from, last_clock_us}) ? NULL : sl_error_no_memory();
}

/* The clock at the end of a segment; INT64_MAX, "not to be deleted", when it cannot be read. */
static int64_t last_clock(struct segments *segments, struct chain *chain, size_t i) {
    struct header header;
    if (chain->items[i].last_clock_us == INT64_MAX) {
        sl_error_free(read_header(segments, chain, i, &header)); /* asked again the next time */
    }
    return chain->items[i].last_clock_us;
}

/* The clock at the acknowledged offset, or a little less: at the end of the last segment below. */
static int64_t acknowledged_clock(struct segments *segments, struct chain *chain) {
    size_t below = 0;
    while (below + 1 < chain->n && chain->items[below + 1].from <= chain->acknowledged) {
        below++;
    }
    return below == 0 ? INT64_MIN : last_clock(segments, chain, below - 1);
}

void segments_collect(struct segments *segments, const sl_stream *stream, int64_t within_us) {
    struct chain *chain = sl_slots_get(&segments->chains, stream->index);
    size_t dead = 0;
    if (chain == NULL) {
        return;
    }
    int64_t needed_us = chain->last_clock_us - within_us - segments->keep_us;
    int64_t acknowledged_us = acknowledged_clock(segments, chain);
    if (acknowledged_us == INT64_MIN || acknowledged_us == INT64_MAX) {
        return;
    }
    if (acknowledged_us - within_us < needed_us) {
        needed_us = acknowledged_us - within_us;
    }
    /* the last one stays: it holds the position */
    while (dead + 1 < chain->n && dead < MAX_REMOVED &&
           last_clock(segments, chain, dead) < needed_us) {
        sl_buffer path = SL_BUFFER_INIT;
        const char *text;
        sl_error *error = segment_path(chain, chain->items[dead].from, &path, &text);
        if (error == NULL) {
            error = segments->store->ops->remove(segments->store, text);
        }
        sl_buffer_free(&path);
        if (error != NULL) { /* it stays until the next time */
            sl_error_free(error);
            break;
        }
        dead++;
    }
    memmove(chain->items, chain->items + dead, (chain->n - dead) * sizeof(*chain->items));
    chain->n -= dead;
}
