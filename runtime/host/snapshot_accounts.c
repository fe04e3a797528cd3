/* The accounts and the lag of a snapshot: see snapshot.h and delivery/accounts.h. */
#include "delivery/accounts.h"
#include "host/snapshot_take.h"

#include <stdlib.h>

/* ---- lag ---- */

/* Records from `next` to the end of what the stream has; -1: one of the two is not known. */
static int64_t lag_behind(const struct stream *stream, int64_t next) {
    int64_t end = atomic_load_explicit(&stream->log_end, memory_order_relaxed);
    if (end == SL_OFFSET_NONE || next == SL_OFFSET_NONE) {
        return -1;
    }
    return end > next ? end - next : 0;
}

/* Without a commit so far: where it began. */
static int64_t durable_offset(const struct reader *reader) {
    return reader->stored == SL_OFFSET_NONE ? reader->position : reader->stored;
}

static bool is_here(const struct stream *stream) {
    return stream->state == STREAM_RUNNING || stream->state == STREAM_REVOKING;
}

static struct snapshot_partition partition_of(const struct stream *stream) {
    int64_t next = atomic_load_explicit(&stream->next_offset, memory_order_relaxed);
    int64_t end = atomic_load_explicit(&stream->log_end, memory_order_relaxed);
    return (struct snapshot_partition){.topic = stream->topic,
                                       .partition = stream->pub.partition,
                                       .next_offset = next,
                                       .log_end_offset = end == SL_OFFSET_NONE ? -1 : end,
                                       .lag = lag_behind(stream, next)};
}

bool snapshot_take_partitions(const struct host_node *node, struct snapshot_node *out) {
    const struct host *host = node->host;
    if (node->spec->kind != TOPOLOGY_SOURCE) {
        return true;
    }
    struct snapshot_partition *partitions = calloc(node->n_streams + 1, sizeof(*partitions));
    size_t n = 0;
    for (size_t s = 0; s < host->n_streams && n < node->n_streams && partitions != NULL; s++) {
        if (host->streams[s]->owner == node && is_here(host->streams[s])) {
            partitions[n] = partition_of(host->streams[s]);
            int64_t lag = partitions[n++].lag;
            out->lag = lag < 0 ? out->lag : lag + (out->lag < 0 ? 0 : out->lag);
        }
    }
    out->partitions = partitions;
    out->n_partitions = n;
    return partitions != NULL;
}

/* ---- accounts ---- */

static bool has_account(const struct stream *stream) {
    return is_here(stream) && accounts_read(stream) >= 0;
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
                                    .lag = lag_behind(stream, durable_offset(reader)),
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
