/* The accounts of a snapshot: see snapshot.h and delivery/accounts.h. */
#include "delivery/accounts.h"
#include "host/snapshot_take.h"

#include <stdlib.h>

static bool has_account(const struct stream *stream) {
    return (stream->state == STREAM_RUNNING || stream->state == STREAM_REVOKING) &&
           accounts_read(stream) >= 0;
}

static bool take_account(const struct stream *stream, struct snapshot_account *out) {
    struct snapshot_count *counts = calloc(stream->n_readers + 1, sizeof(*counts));
    if (counts == NULL) {
        return false;
    }
    *out = (struct snapshot_account){.source = stream->owner->spec->name,
                                     .topic = stream->topic,
                                     .partition = stream->pub.partition,
                                     .read = accounts_read(stream),
                                     .counts = counts};
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        if (reader->count_keys[0] == NULL) {
            continue;
        }
        int64_t records = accounts_stored(reader, TALLY_RECORDS);
        out->read = records > out->read ? records : out->read; /* a branch's own reading */
        counts[out->n_counts++] =
            (struct snapshot_count){.node = reader->node->spec->name,
                                    .input = reader->node->spec->inputs[reader->input].name,
                                    .next_offset = reader->stored,
                                    .records = records,
                                    .rows = accounts_stored(reader, TALLY_ROWS),
                                    .dropped = accounts_stored(reader, TALLY_DROPPED)};
    }
    return true;
}

bool snapshot_take_accounts(const struct host *host, struct host_snapshot *out) {
    struct snapshot_account *accounts = calloc(host->n_streams + 1, sizeof(*accounts));
    out->accounts = accounts;
    bool whole = accounts != NULL;
    for (size_t s = 0; s < host->n_streams && whole; s++) {
        if (has_account(host->streams[s])) {
            whole = take_account(host->streams[s], &accounts[out->n_accounts]);
            out->n_accounts += whole ? 1 : 0;
        }
    }
    return whole;
}

void snapshot_free_accounts(struct host_snapshot *snapshot) {
    for (size_t i = 0; i < snapshot->n_accounts; i++) {
        free((void *)(uintptr_t)snapshot->accounts[i].counts);
    }
    free((void *)(uintptr_t)snapshot->accounts);
    snapshot->accounts = NULL;
    snapshot->n_accounts = 0;
}
