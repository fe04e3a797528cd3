/* What all readers of a stream have made durable, told to those who may forget it. */
#include "delivery/assignment.h"
#include "delivery/stream.h"
#include "host/run.h"

#include <stdlib.h>

struct acknowledgement {
    struct host_node *node;
    struct stream *stream;
    int64_t position;
};

static void acknowledge(void *arg) {
    struct acknowledgement *ack = arg;
    struct host_node *node = ack->node;
    if (node->opened->node != NULL) { /* else it could not be opened again */
        struct object_clock clock = object_enter(&node->object);
        node->ops->acknowledge(node->opened->node, &ack->stream->pub, ack->position);
        object_leave(&node->object, clock);
    }
    stream_let_go(ack->stream);
    free(ack);
}

/* Lost for want of memory: the next commit says it again. */
static void tell_acknowledged(struct host_node *node, struct stream *stream, int64_t position) {
    struct acknowledgement *ack =
        node->ops->acknowledge == NULL ? NULL : (struct acknowledgement *)malloc(sizeof(*ack));
    if (ack == NULL) {
        return;
    }
    *ack = (struct acknowledgement){node, stream, position};
    stream_use(stream);
    sl_error *error = loop_post_new(node->object.loop, acknowledge, ack);
    if (error != NULL) {
        sl_error_free(error);
        stream_let_go(stream);
        free(ack);
    }
}

/* What the readers of a stream have. A reader that failed holds a source's offsets back, which it
 * goes on from one day, but no outbox: that has a bound. */
static int64_t smallest_stored(const struct stream *stream) {
    bool outbox = (stream->owner->flags & SL_ROLE_OWNS_STREAMS) != 0;
    int64_t smallest = INT64_MAX;
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        if ((!outbox || !atomic_load(&reader->node->failed)) && reader->stored < smallest) {
            smallest = reader->stored;
        }
    }
    return smallest;
}

/* Nobody is told of a stream that he has not resumed: he hears all of it once it runs. */
void assignment_acknowledge(struct stream *stream) {
    int64_t smallest = smallest_stored(stream);
    bool resumed = stream->state == STREAM_RUNNING || stream->state == STREAM_REVOKING;
    if (!resumed || stream->left_out || smallest == SL_OFFSET_NONE || smallest == INT64_MAX ||
        smallest <= stream->acknowledged) {
        return;
    }
    stream->acknowledged = smallest;
    tell_acknowledged(stream->owner, stream, smallest);
    for (size_t r = 0; r < stream->n_readers; r++) {
        struct host_node *node = stream->readers[r].node;
        if ((node->flags & SL_ROLE_REPLAYS) != 0 && !atomic_load(&node->failed)) {
            tell_acknowledged(node, stream, smallest);
        }
    }
}

static bool is_detachable(const struct stream *stream, const struct reader *reader) {
    const struct lane_edge *edge = &reader->node->tasks[stream->lane->index].inputs[reader->input];
    return stream->branch_by_edge != NULL && stream->branch_by_edge[edge->index] != NULL;
}

/* Position numbers say what is lost; nobody skips it silently. */
static void fail_overtaken(const struct stream *stream, const struct reader *reader,
                           int64_t offset) {
    int64_t first = reader->stored == SL_OFFSET_NONE ? 0 : reader->stored;
    host_node_failed(
        reader->node,
        sl_error_new(
            SL_ERROR_FATAL,
            "results %lld to %lld of %s%s%s are no longer kept for it: it has fallen behind "
            "further than the outbox may grow; raise \"outbox.max\" of \"%s\", and mend "
            "what makes this node slow",
            (long long)first, (long long)offset - 1, stream->pub.source,
            stream->topic[0] != 0 ? "." : "", stream->topic, stream->pub.source));
}

void assignment_overtaken(struct stream *stream, int64_t offset) {
    bool any = false;
    for (size_t r = 0; r < stream->n_readers; r++) {
        const struct reader *reader = &stream->readers[r];
        if (reader->stored < offset && is_detachable(stream, reader) &&
            !atomic_load(&reader->node->failed)) {
            fail_overtaken(stream, reader, offset);
            any = true;
        }
    }
    if (smallest_stored(stream) == INT64_MAX) {
        tell_acknowledged(stream->owner, stream, offset); /* nobody is left to need them */
    } else if (any) {
        assignment_acknowledge(stream);
    }
}
