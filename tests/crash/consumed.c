/* How far the process has read, for the question whether rows were in flight when it was killed:
 * interposes the one call by which the kafka plugin takes records, and keeps the next offset of
 * each partition in the shared file. */
#include "preload.h"

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

typedef void on_message_fn(rd_kafka_message_t *message, void *opaque);

struct taking {
    on_message_fn *on_message;
    void *opaque;
};

static void take(rd_kafka_message_t *message, void *arg) {
    struct taking *taking = arg;
    int32_t partition = message->partition;
    if (consumed_next != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR && partition >= 0 &&
        partition < CONSUMED_PARTITIONS) {
        atomic_store(&consumed_next[partition], message->offset + 1);
    }
    taking->on_message(message, taking->opaque);
}

__attribute__((visibility("default"))) int
rd_kafka_consume_callback_queue(rd_kafka_queue_t *queue, int timeout_ms, on_message_fn *on_message,
                                void *opaque) {
    static int (*real)(rd_kafka_queue_t *, int, on_message_fn *, void *);
    if (real == NULL) { /* lanes may both look it up, and find the same */
        *(void **)&real = librdkafka_function("rd_kafka_consume_callback_queue");
    }
    struct taking taking = {on_message, opaque};
    return real(queue, timeout_ms, take, &taking);
}
