/* See accounts.h. */
#include "delivery/accounts.h"

#include "host/run.h"

#include <stdlib.h>
#include <string.h>

static const char *const suffixes[TALLIES] = {
    [TALLY_RECORDS] = "#records", [TALLY_ROWS] = "#rows", [TALLY_DROPPED] = "#dropped"};

static bool is_kept(const struct reader *reader) {
    const struct host_node *node = reader->node;
    return reader->stream->owner->spec->kind == TOPOLOGY_SOURCE &&
           (node->keeper != NULL || (node->flags & SL_ROLE_COUNTS) != 0);
}

sl_error *accounts_open(struct reader *reader) {
    for (int i = 0; i < TALLIES && is_kept(reader); i++) {
        sl_buffer key = SL_BUFFER_INIT;
        sl_buffer_append_text(&key, reader->key);
        sl_buffer_append_text(&key, suffixes[i]);
        if (sl_buffer_text(&key) == NULL) {
            sl_buffer_free(&key);
            return sl_error_no_memory();
        }
        size_t bytes;
        reader->count_keys[i] = (char *)sl_buffer_take(&key, &bytes);
        reader->stored_counts[i] = SL_OFFSET_NONE;
    }
    return NULL;
}

void accounts_free(struct reader *reader) {
    for (int i = 0; i < TALLIES; i++) {
        free(reader->count_keys[i]);
    }
}

static bool counts(const struct reader *reader) {
    return reader->count_keys[0] != NULL;
}

static sl_position entry(struct reader *reader, int tally, int64_t from, int64_t to) {
    return (sl_position){.stream = &reader->stream->pub,
                         .key = reader->count_keys[tally],
                         .input = reader->input,
                         .from = from,
                         .to = to};
}

size_t accounts_ask(struct reader *reader, sl_position *out) {
    for (int i = 0; i < TALLIES && counts(reader); i++) {
        out[i] = entry(reader, i, SL_OFFSET_NONE, SL_OFFSET_NONE);
    }
    return counts(reader) ? TALLIES : 0;
}

void accounts_answer(struct reader *reader, const sl_position *answers) {
    for (int i = 0; i < TALLIES && counts(reader); i++) {
        reader->stored_counts[i] = answers[i].from;
    }
}

/* What is 0 so far need not be stored. */
static bool moves(const struct reader *reader, int tally) {
    int64_t stored = reader->stored_counts[tally];
    return reader->pending_counts[tally] != (stored == SL_OFFSET_NONE ? 0 : stored);
}

size_t accounts_move(struct reader *reader, sl_position *out) {
    size_t n = 0;
    for (int i = 0; i < TALLIES && counts(reader); i++) {
        if (moves(reader, i)) {
            out[n++] = entry(reader, i, reader->stored_counts[i], reader->pending_counts[i]);
        }
    }
    return n;
}

void accounts_moved(struct reader *reader) {
    for (int i = 0; i < TALLIES; i++) {
        if (moves(reader, i)) {
            reader->stored_counts[i] = reader->pending_counts[i];
        }
    }
}

void accounts_begin(struct stream *stream) {
    const struct reader *ahead = NULL;
    for (size_t r = 0; r < stream->n_readers; r++) {
        struct reader *reader = &stream->readers[r];
        for (int i = 0; i < TALLIES; i++) {
            reader->counts[i] = accounts_stored(reader, (enum tally)i);
        }
        if (counts(reader) && !atomic_load(&reader->node->failed) &&
            (ahead == NULL || reader->position > ahead->position)) {
            ahead = reader;
        }
    }
    stream->counted = ahead != NULL;
    if (ahead != NULL) {
        stream->count_from = ahead->position;
        atomic_store(&stream->read, ahead->counts[TALLY_RECORDS]);
    }
}

void accounts_sent(struct stream *stream, const struct batch *batch) {
    if (stream->counted && batch->pub.first_offset >= stream->count_from) {
        atomic_fetch_add_explicit(&stream->read, batch->records, memory_order_relaxed);
    }
}

int64_t accounts_read(const struct stream *stream) {
    return stream->counted ? atomic_load_explicit(&stream->read, memory_order_relaxed) : -1;
}
