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
    sl_error *error = loop_post_new(node->object.loop, acknowledge, ack);
    if (error != NULL) {
        sl_error_free(error);
        free(ack);
    }
}

void assignment_acknowledge(struct stream *stream) {
    int64_t smallest = INT64_MAX;
    for (size_t r = 0; r < stream->n_readers; r++) {
        smallest = stream->readers[r].stored < smallest ? stream->readers[r].stored : smallest;
    }
    if (stream->state == STREAM_DETACHED || stream->left_out || smallest == SL_OFFSET_NONE ||
        smallest == INT64_MAX || smallest <= stream->acknowledged) {
        return;
    }
    stream->acknowledged = smallest;
    tell_acknowledged(stream->owner, stream, smallest);
    for (size_t r = 0; r < stream->n_readers; r++) {
        if ((stream->readers[r].node->flags & SL_ROLE_REPLAYS) != 0) {
            tell_acknowledged(stream->readers[r].node, stream, smallest);
        }
    }
}
