/*
 * Edges that drop: rows that do not fit leave the edge, the range that they covered stays, as a
 * marker: an empty batch of the same stream. So positions move on, and what is delivered and what
 * is dropped add up. Neighbouring markers of a stream are one, or a blocked node would collect
 * them.
 */
#include "host/run.h"
#include "lane/lane.h"

#include <stdlib.h>

/* Between two words about an edge that drops. */
enum { LOG_INTERVAL_US = 10000000 };

static void count_dropped(struct lane_edge *edge, const struct lane_task *to, int64_t rows) {
    atomic_fetch_add_explicit(&edge->dropped_rows, rows, memory_order_relaxed);
    int64_t now = sl_monotonic_us();
    if (edge->logged_us != 0 && now - edge->logged_us < LOG_INTERVAL_US) {
        return;
    }
    int64_t all = atomic_load_explicit(&edge->dropped_rows, memory_order_relaxed);
    host_log(to->object.host, SL_LOG_WARN, to->object.node->spec->name,
             "the buffer of input %s is full on lane %u: %lld rows dropped (%s), %lld so far",
             edge->spec->name, (unsigned)to->lane->index, (long long)(all - edge->logged_rows),
             edge->spec->when_full == TOPOLOGY_DROP_NEWEST ? "drop_newest" : "drop_oldest",
             (long long)all);
    edge->logged_us = now;
    edge->logged_rows = all;
}

static sl_error *new_marker(const struct batch *batch, struct batch **out) {
    const sl_batch *pub = &batch->pub;
    sl_error *error = batch_new_empty(pub->schema, pub->stream, pub->flags & SL_BATCH_AT_END,
                                      pub->first_offset, pub->next_offset, batch->read_us, out);
    if (error == NULL) {
        (*out)->records = batch->records;
        (*out)->dropped = batch->dropped + pub->rows;
        (*out)->is_marker = true;
    }
    return error;
}

/* Lets a marker cover the batch, too. Markers are nobody else's: they have not left the edge. */
static void extend(struct batch *marker, const struct batch *batch) {
    marker->records += batch->records;
    marker->dropped += batch->dropped + batch->pub.rows;
    marker->pub.next_offset = batch->pub.next_offset;
    marker->pub.flags = batch->pub.flags & SL_BATCH_AT_END;
}

/* ---- drop_newest: markers collect at the tail ---- */

/* Appends the range of `batch` without its rows. */
static sl_error *append_marker(struct lane_edge *edge, const struct batch *batch) {
    for (struct batch_link *link = edge->markers; link != NULL; link = link->next) {
        if (link->batch->pub.stream == batch->pub.stream) {
            extend(link->batch, batch);
            return NULL;
        }
    }
    struct batch *marker;
    struct batch_link *first = edge->markers;
    struct batch_link **last = edge->tail;
    sl_error *error = new_marker(batch, &marker);
    if (error == NULL && !edge_append(edge, marker)) {
        batch_release(&marker->pub);
        error = sl_error_no_memory();
    }
    if (error == NULL) {
        edge->markers = first != NULL ? first : *last;
    }
    return error;
}

/* ---- drop_oldest: markers collect at the head ---- */

static void unlink_next(struct lane_edge *edge, struct batch_link **at) {
    struct batch_link *link = *at;
    *at = link->next;
    if (edge->tail == &link->next) {
        edge->tail = at;
    }
    edge->queued_bytes -= link->batch->pub.memory_bytes;
    edge->queued_rows -= link->batch->pub.rows;
    batch_release(&link->batch->pub);
    free(link);
}

/* Takes the rows of the oldest batch out, if it is not the newest as well. */
static bool drop_oldest(struct lane_edge *edge, int64_t *dropped, sl_error **error) {
    struct batch_link **at = &edge->head;
    while (*at != NULL && (*at)->batch->is_marker) {
        at = &(*at)->next;
    }
    struct batch_link *oldest = *at;
    if (oldest == NULL || oldest->next == NULL) {
        return false;
    }
    *dropped += oldest->batch->pub.rows;
    for (struct batch_link *link = edge->head; link != oldest; link = link->next) {
        if (link->batch->pub.stream == oldest->batch->pub.stream) {
            extend(link->batch, oldest->batch);
            unlink_next(edge, at);
            return true;
        }
    }
    struct batch *batch = oldest->batch;
    struct batch *marker;
    *error = new_marker(batch, &marker);
    if (*error != NULL) {
        return false;
    }
    edge->queued_bytes -= batch->pub.memory_bytes - marker->pub.memory_bytes;
    edge->queued_rows -= batch->pub.rows;
    oldest->batch = marker;
    batch_release(&batch->pub);
    return true;
}

sl_error *edge_append_or_drop(struct lane_edge *edge, struct lane_task *to, struct batch *batch) {
    sl_error *error = NULL;
    int64_t dropped = 0;
    if (edge->spec->when_full == TOPOLOGY_DROP_NEWEST && edge_is_full(edge, to)) {
        dropped = batch->pub.rows;
        error = append_marker(edge, batch);
        batch_release(&batch->pub);
    } else if (!edge_append(edge, batch)) {
        batch_release(&batch->pub);
        error = sl_error_no_memory();
    }
    while (error == NULL && edge->spec->when_full == TOPOLOGY_DROP_OLDEST &&
           edge_is_full(edge, to) && drop_oldest(edge, &dropped, &error)) {
    }
    if (dropped > 0) {
        count_dropped(edge, to, dropped);
    }
    return error;
}
