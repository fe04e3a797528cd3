/*
 * Loading a chain: which segments hold what occurred within the window before an offset, and the
 * state that comes of them. The newest are read whole and together before it is known how many are
 * needed: one after the other they would make a start on an object store wait for each of them.
 */
#include "segments_chain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Rounds of 4, 8 and 16 segments, of AHEAD_BYTES in all. */
enum { FIRST_ROUND = 4, LONGEST_ROUND = 16, AHEAD_SEGMENTS = 28 };
#define AHEAD_BYTES (INT64_C(8) << 20)

struct loading {
    struct segments *segments;
    struct chain *chain;
    size_t end; /* of what may be needed: items before it */
    /* read ahead: items [end - n, end), the last of them first */
    size_t n;
    int64_t bytes;
    sl_store_bytes ahead[AHEAD_SEGMENTS];
    bool stopped; /* nothing more is read ahead */
};

/* The next round. What cannot be read now is read when it is needed, and its error told then. */
static void read_ahead(struct loading *loading) {
    sl_buffer names[LONGEST_ROUND];
    const char *paths[LONGEST_ROUND];
    size_t n = 0;
    size_t n_read = 0;
    size_t most = loading->n + FIRST_ROUND;
    sl_error *error = NULL;
    while (n < most && loading->n + n < loading->end && error == NULL) {
        const struct segment *segment =
            &loading->chain->live.items[loading->end - 1 - loading->n - n];
        loading->bytes += segment->bytes;
        if (loading->bytes > AHEAD_BYTES) {
            break;
        }
        names[n] = (sl_buffer)SL_BUFFER_INIT;
        error = segment_path(loading->chain, segment, &names[n], &paths[n]);
        n++;
    }
    if (error == NULL && n > 0) {
        error = sl_store_get_all(loading->segments->store, paths, n, -1,
                                 &loading->ahead[loading->n], &n_read);
    }
    sl_error_free(error);
    for (size_t i = 0; i < n; i++) {
        sl_buffer_free(&names[i]);
    }
    loading->n += n_read;
    loading->stopped = n_read < most || loading->n == AHEAD_SEGMENTS;
}

static void drop_ahead(struct loading *loading) {
    for (size_t i = 0; i < loading->n; i++) {
        loading->ahead[i].release(&loading->ahead[i]);
    }
    loading->n = 0;
}

static void release_nothing(sl_store_bytes *bytes) {
    (void)bytes;
}

/* segment_read of item `i`, or what was read ahead of it. */
static sl_error *read_segment(struct loading *loading, size_t i, bool whole,
                              struct segment_header *header, sl_store_bytes *out) {
    const struct segment *segment = &loading->chain->live.items[i];
    if (i >= loading->end || loading->end - 1 - i >= loading->n) {
        return segment_read(loading->segments, loading->chain, segment, whole, header, out);
    }
    *out = loading->ahead[loading->end - 1 - i];
    out->release = release_nothing;
    return segment_check(loading->chain, segment, whole, out, header);
}

static sl_error *replay_payload(const struct chain *chain, const struct segment *segment,
                                const uint8_t *p, const uint8_t *end, int64_t offset,
                                struct dedup_stream *state) {
    while (p < end) {
        uint32_t sizes[2];
        if ((size_t)(end - p) < sizeof(sizes)) {
            return segment_corrupt(chain, segment, "it ends inside a block");
        }
        memcpy(sizes, p, sizeof(sizes));
        p += sizeof(sizes);
        if (sizes[1] > (size_t)(end - p)) {
            return segment_corrupt(chain, segment, "a block is longer than the segment");
        }
        sl_error *error = dedup_replay(state, p, sizes[1], offset);
        if (error != NULL) {
            return error;
        }
        p += sizes[1];
    }
    return NULL;
}

static sl_error *read_header(struct loading *loading, size_t i, struct segment_header *header) {
    struct chain *chain = loading->chain;
    sl_store_bytes bytes = {0};
    struct segment *segment = &chain->live.items[i];
    if (loading->end - 1 - i == loading->n && !loading->stopped) {
        read_ahead(loading);
    }
    sl_error *error = read_segment(loading, i, false, header, &bytes);
    if (error == NULL) {
        bytes.release(&bytes);
        segment->last_clock_us = header->last_clock_us;
    }
    if (error == NULL && i + 1 < chain->live.n && header->to != segment[1].from) {
        error = segment_corrupt(chain, segment, "the next segment does not start at its end");
    }
    return error;
}

/* Segments go when all readers have said that they are beyond them: perhaps to another process that
 * does the same work, since this one has asked for the positions. */
static sl_error *too_old(const struct chain *chain, int64_t offset) {
    return sl_error_new(SL_ERROR_CONFLICT,
                        "deduplication cannot go on at offset %" PRId64
                        ": the state that is kept begins at offset %" PRId64
                        "; raise `deduplicate.keep`, or start again with a new state",
                        offset, chain->live.items[0].from);
}

/*
 * Which segments hold what occurred within W before `offset`: items [*first, *end). Goes back from
 * the one that holds the offset, by headers alone.
 */
static sl_error *find_range(struct loading *loading, int64_t offset, int64_t within_us,
                            size_t *first, size_t *end) {
    const struct chain *chain = loading->chain;
    struct segment_header header;
    size_t i = chain->live.n;
    while (i > 0 && chain->live.items[i - 1].from >= offset) {
        i--;
    }
    *first = *end = i;
    if (i == 0) {
        return chain->live.n == 0 || chain->live.items[0].from == SL_OFFSET_NONE
                   ? NULL
                   : too_old(chain, offset);
    }
    loading->end = i;
    sl_error *error = read_header(loading, i - 1, &header);
    /* the clock at the offset is not below this */
    int64_t needed_us = error == NULL ? header.first_clock_us - within_us : 0;
    while (error == NULL && i > 0 && header.last_clock_us >= needed_us) {
        *first = --i;
        if (header.first_clock_us < needed_us || i == 0) {
            break;
        }
        error = read_header(loading, i - 1, &header);
    }
    return error;
}

sl_error *segments_load(struct segments *segments, const sl_stream *stream, int64_t offset,
                        struct dedup_shared *shared, struct dedup_stream **out) {
    struct chain *chain = sl_slots_get(&segments->chains, stream->index);
    struct dedup_stream *state = dedup_stream_new(shared);
    struct loading loading = {.segments = segments, .chain = chain};
    size_t first = 0, end = 0;
    int64_t first_clock_us = 0;
    if (state == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error =
        chain == NULL ? NULL : find_range(&loading, offset, shared->within_us, &first, &end);
    for (size_t i = first; i < end && error == NULL; i++) {
        struct segment_header header;
        sl_store_bytes bytes = {0};
        const struct segment *segment = &chain->live.items[i];
        error = read_segment(&loading, i, true, &header, &bytes);
        if (error != NULL) {
            break;
        }
        if (i == first && header.first_clock_us > 0) {
            first_clock_us = header.first_clock_us;
            dedup_tick(state, first_clock_us);
        }
        error = replay_payload(chain, segment, bytes.data + sizeof(header),
                               bytes.data + bytes.bytes, offset, state);
        bytes.release(&bytes);
    }
    drop_ahead(&loading);
    if (error == NULL && end > 0 && first == 0 && chain->live.items[0].from != SL_OFFSET_NONE &&
        first_clock_us >= state->clock_us - shared->within_us) {
        error = too_old(chain, offset);
    }
    if (error != NULL) {
        dedup_stream_free(state);
        return error;
    }
    state->log_from = chain == NULL ? SL_OFFSET_NONE : chain->position;
    state->next_offset = offset;
    *out = state;
    return NULL;
}
