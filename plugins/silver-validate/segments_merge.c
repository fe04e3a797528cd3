/*
 * Merging small segments, so that their number follows the size of the state and not the number of
 * commits. Which segments become one is settled by their offsets alone: those that begin in one
 * block of 2^LEVEL offsets, all of them. Blocks are nested or apart, never half over one another,
 * and what a block becomes is the same bytes whoever merges it; so two processes that both believe
 * to be the stream's owner cannot harm each other, and a merge may be cut short anywhere: first the
 * whole is put, then its parts are deleted, and a reader that finds both takes the whole.
 *
 * The names of single commits are the fence against a second writer (segments.h). Deleting them
 * would open it for one that stood still meanwhile; so only names of some age are deleted, and a
 * writer that has heard nothing for less than that looks whether the chain still ends with it.
 */
#include "segments_chain.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_MIN 4
#define MERGED_BYTES_MAX (8 << 20)
#define AGAIN_AFTER_US INT64_C(60000000)
#define MAX_REMOVED 64 /* in one commit */

static const unsigned LEVELS[] = {6, 10, 14, 18};

struct run {
    size_t first;
    size_t end;
};

static int64_t block_of(const struct segment *segment, unsigned level) {
    return (segment->from + 1) >> level;
}

/* Whether a block's segments are all there, old enough, many, and small. */
static bool may_merge(const struct chain *chain, const struct run *run, int64_t now_us) {
    const struct segment *items = chain->live.items;
    bool from_first = run->first > 0 || items[0].from == SL_OFFSET_NONE;
    int64_t bytes = 0;
    int64_t since_us = INT64_MIN;
    for (size_t i = run->first; i < run->end; i++) {
        bytes += items[i].bytes;
        since_us = items[i].since_us > since_us ? items[i].since_us : since_us;
    }
    return from_first && run->end - run->first >= PARTS_MIN && bytes <= MERGED_BYTES_MAX &&
           now_us - since_us >= SEGMENTS_MERGE_AGE_US;
}

/* The last segment, which holds the position, is in no run: its block may grow. */
static bool find_run(const struct chain *chain, int64_t now_us, struct run *run) {
    const struct segment_list *live = &chain->live;
    for (size_t l = 0; l < SL_ARRAY_LENGTH(LEVELS); l++) {
        for (*run = (struct run){0, 0}; run->end < live->n; run->first = run->end) {
            int64_t block = block_of(&live->items[run->first], LEVELS[l]);
            while (run->end < live->n && block_of(&live->items[run->end], LEVELS[l]) == block) {
                run->end++;
            }
            if (run->end < live->n && may_merge(chain, run, now_us)) {
                return true;
            }
        }
    }
    return false;
}

static sl_error *append_part(struct segments *segments, const struct chain *chain, size_t i,
                             struct segment_header *whole, sl_buffer *bytes) {
    const struct segment *part = &chain->live.items[i];
    struct segment_header header;
    sl_store_bytes read = {0};
    sl_error *error = segment_read(segments, chain, part, true, &header, &read);
    if (error != NULL) {
        return error;
    }
    if (header.to != chain->live.items[i + 1].from) {
        error = segment_corrupt(chain, part, "the next segment does not start at its end");
    } else if (!sl_buffer_append(bytes, read.data + sizeof(header), header.payload_bytes)) {
        error = sl_error_no_memory();
    }
    read.release(&read);
    if (whole->first_clock_us < 0) {
        whole->first_clock_us = header.first_clock_us;
    }
    whole->last_clock_us = header.last_clock_us;
    whole->entries += header.entries;
    return error;
}

/* The whole in place of its parts, which are dead from now on. */
static bool replace(struct chain *chain, const struct run *run, struct segment whole) {
    struct segment_list *live = &chain->live;
    for (size_t i = run->first; i < run->end; i++) {
        const struct segment *part = &live->items[i];
        whole.since_us = part->since_us > whole.since_us ? part->since_us : whole.since_us;
        if (!segment_list_push(&chain->dead, *part)) {
            return false; /* the next recovery finds those that are not listed */
        }
    }
    live->items[run->first] = whole;
    memmove(live->items + run->first + 1, live->items + run->end,
            (live->n - run->end) * sizeof(*live->items));
    live->n -= run->end - run->first - 1;
    return true;
}

static sl_error *merge(struct segments *segments, struct chain *chain, const struct run *run) {
    struct segment whole = {.from = chain->live.items[run->first].from,
                            .to = chain->live.items[run->end].from,
                            .since_us = INT64_MIN};
    struct segment_header header = {.from = whole.from, .to = whole.to, .first_clock_us = -1};
    sl_buffer bytes = SL_BUFFER_INIT;
    sl_error *error =
        sl_buffer_append(&bytes, &header, sizeof(header)) ? NULL : sl_error_no_memory();
    for (size_t i = run->first; i < run->end && error == NULL; i++) {
        error = append_part(segments, chain, i, &header, &bytes);
    }
    if (error == NULL) {
        error = segment_put(segments, chain, &whole, &header, &bytes);
    }
    if (sl_error_is(error, SL_ERROR_EXISTS)) { /* the same, from an earlier try or another's */
        sl_error_free(error);
        error = NULL;
    }
    whole.bytes = (int64_t)bytes.bytes;
    whole.last_clock_us = header.last_clock_us;
    sl_buffer_free(&bytes);
    return error != NULL || replace(chain, run, whole) ? error : sl_error_no_memory();
}

bool segments_merge(struct segments *segments, const sl_stream *stream) {
    struct chain *chain = sl_slots_get(&segments->chains, stream->index);
    int64_t now_us = segments->services->now_us(segments->self);
    struct run run;
    if (chain == NULL || chain->live.n == 0 || now_us < chain->merge_after_us ||
        !find_run(chain, now_us, &run)) {
        return false;
    }
    sl_error *error = merge(segments, chain, &run);
    if (error != NULL) {
        chain->merge_after_us = now_us + AGAIN_AFTER_US;
        segments->services->log(segments->self, SL_LOG_WARN,
                                "segments of deduplication are not merged: %s",
                                sl_error_message(error));
        sl_error_free(error);
    }
    return true;
}

/* Deletes the first so many; returns how many of them it did. */
static size_t remove_first(struct segments *segments, const struct chain *chain,
                           struct segment_list *list, size_t n) {
    sl_buffer path = SL_BUFFER_INIT;
    size_t done = 0;
    for (sl_error *error = NULL; done < n && error == NULL; done += error == NULL ? 1 : 0) {
        const char *text = NULL;
        error = segment_path(chain, &list->items[done], &path, &text);
        error = error != NULL ? error : segments->store->ops->remove(segments->store, text);
        if (error != NULL) { /* they stay until the next time */
            sl_error_free(error);
            break;
        }
    }
    sl_buffer_free(&path);
    if (done > 0) {
        memmove(list->items, list->items + done, (list->n - done) * sizeof(*list->items));
    }
    list->n -= done;
    return done;
}

/* ---- deleting ---- */

/* The clock at the end of a segment; INT64_MAX, "not to be deleted", when it cannot be read. */
static int64_t last_clock(struct segments *segments, struct chain *chain, size_t i) {
    struct segment *segment = &chain->live.items[i];
    struct segment_header header;
    sl_store_bytes bytes = {0};
    if (segment->last_clock_us == INT64_MAX) {
        sl_error *error = segment_read(segments, chain, segment, false, &header, &bytes);
        if (error == NULL) {
            bytes.release(&bytes);
            segment->last_clock_us = header.last_clock_us;
        }
        sl_error_free(error); /* asked again the next time */
    }
    return segment->last_clock_us;
}

/* The clock at the acknowledged offset, or a little less: at the end of the last segment below. */
static int64_t acknowledged_clock(struct segments *segments, struct chain *chain) {
    size_t below = 0;
    while (below + 1 < chain->live.n && chain->live.items[below + 1].from <= chain->acknowledged) {
        below++;
    }
    return below == 0 ? INT64_MIN : last_clock(segments, chain, below - 1);
}

void segments_collect(struct segments *segments, const sl_stream *stream, int64_t within_us) {
    struct chain *chain = sl_slots_get(&segments->chains, stream->index);
    size_t old = 0;
    if (chain == NULL) {
        return;
    }
    size_t n_dead = chain->dead.n < MAX_REMOVED ? chain->dead.n : MAX_REMOVED;
    size_t removed = remove_first(segments, chain, &chain->dead, n_dead);
    int64_t needed_us = chain->last_clock_us - within_us - segments->keep_us;
    int64_t acknowledged_us = acknowledged_clock(segments, chain);
    if (acknowledged_us == INT64_MIN || acknowledged_us == INT64_MAX) {
        return;
    }
    if (acknowledged_us - within_us < needed_us) {
        needed_us = acknowledged_us - within_us;
    }
    /* The last one stays: it holds the position. One from before the first clock is as old as what
     * follows it: without it the rest would begin at an offset that nothing can be resumed at. */
    for (size_t i = 0; i + 1 < chain->live.n && removed + i < MAX_REMOVED; i++) {
        int64_t clock_us = last_clock(segments, chain, i);
        if (clock_us >= needed_us) {
            break;
        }
        old = clock_us > 0 ? i + 1 : old;
    }
    (void)remove_first(segments, chain, &chain->live, old);
}
