/*
 * Positions that do not move are committed again from time to time: brokers forget an offset that
 * nobody commits for offsets.retention.minutes (a week; a day before Kafka 2.0), also of a
 * partition that is idle while others are written, and of a sink that has nothing to write at all.
 *
 * The rules of sink_transaction.h hold here as for a commit: a position is read by the present
 * producer, after its init_transactions, and sent only as it was read and if it is ours. Should
 * another writer take it over in between, it has fenced this producer, and the transaction fails.
 * One that is not there any more is sent as this producer knew it: while it is not fenced nobody
 * else can have moved it.
 */
#include "sink_transaction.h"

#include <stdlib.h>

#define EVERY_MS 5000
#define MAX_AGE_US ((int64_t)6 * 3600 * 1000000)
#define AFTER_FAILURE_US ((int64_t)60 * 1000000)
/* Commits of the node wait for a transaction under way: it is small, and waits for no broker that
 * is away. */
#define AT_ONCE 16
#define LIMIT_MS 5000
#define LAST_LIMIT_US ((int64_t)5 * 1000000)

struct batch {
    size_t n;
    size_t n_sent;
    struct sink_place *places[AT_ONCE];
    sl_position asked[AT_ONCE]; /* keys only */
    struct sink_stored stored[AT_ONCE];
    sl_position sent[AT_ONCE];
    int64_t offsets[AT_ONCE];
};

static void take_old(struct sl_node *node, int64_t now_us, struct batch *batch) {
    for (size_t i = 0; i < node->n_places && batch->n < AT_ONCE; i++) {
        struct sink_place *place = &node->places[i];
        bool old = place->sent_us == 0 || now_us - place->sent_us >= MAX_AGE_US;
        if (old && place->stored != SL_OFFSET_NONE) {
            batch->asked[batch->n] = (sl_position){.key = place->key};
            batch->places[batch->n++] = place;
        }
    }
}

/* What of it is to be sent. A position that somebody else has is theirs to keep. */
static void choose(struct sl_node *node, struct batch *batch) {
    for (size_t i = 0; i < batch->n; i++) {
        struct sink_place *place = batch->places[i];
        const struct sink_stored *found = &batch->stored[i];
        bool forgotten = found->offset == SL_OFFSET_NONE && found->owner[0] == '\0' &&
                         place->incarnation == node->incarnation;
        if (strcmp(found->owner, node->writer_id) == 0) {
            place->stored = found->offset;
            place->incarnation = node->incarnation;
        } else if (!forgotten) {
            continue;
        }
        batch->sent[batch->n_sent] = batch->asked[i];
        batch->offsets[batch->n_sent++] = place->stored;
    }
}

static sl_error *send_chosen(struct sl_node *node, const struct batch *batch) {
    rd_kafka_error_t *refused = rd_kafka_begin_transaction(node->producer);
    if (refused != NULL) {
        return sink_transaction_error(node, node->producer, refused, "beginning a transaction");
    }
    sl_error *error = sink_positions_send(node, node->producer, batch->sent, batch->offsets,
                                          batch->n_sent, LIMIT_MS);
    if (error != NULL) {
        return error;
    }
    refused = rd_kafka_commit_transaction(node->producer, LIMIT_MS);
    return refused == NULL
               ? NULL
               : sink_transaction_error(node, node->producer, refused, "committing a transaction");
}

static sl_error *refresh(struct sl_node *node, struct batch *batch) {
    sl_error *error =
        sink_positions_read(node, node->producer, batch->asked, batch->n, true, batch->stored);
    if (error != NULL) {
        return error;
    }
    choose(node, batch);
    error = batch->n_sent == 0 ? NULL : send_chosen(node, batch);
    if (error != NULL) {
        sink_disconnect(node); /* the next producer settles what became of the transaction */
        return error;
    }
    for (size_t i = 0; i < batch->n; i++) {
        batch->places[i]->sent_us = sl_monotonic_us();
    }
    return NULL;
}

/* Some of what is old; *more: there may be others. Best effort, since a commit that needs a
 * position finds out itself what has become of it. */
static void refresh_some(struct sl_node *node, bool *more) {
    struct batch batch = {.n = 0};
    int64_t now_us = sl_monotonic_us();
    *more = false;
    if (now_us < node->refresh_from_us) {
        return;
    }
    take_old(node, now_us, &batch);
    sl_error *error = batch.n == 0 ? NULL : sink_connect(node);
    error = error != NULL || batch.n == 0 ? error : refresh(node, &batch);
    if (error != NULL) {
        node->refresh_from_us = sl_monotonic_us() + AFTER_FAILURE_US;
        node->services->log(node->self, SL_LOG_WARN,
                            "positions that do not move could not be committed again, which "
                            "brokers want now and then, and which is tried again: %s",
                            sl_error_message(error));
        sl_error_free(error);
        return;
    }
    *more = batch.n == AT_ONCE;
}

static void on_timer(void *arg) {
    bool more = false;
    refresh_some(arg, &more);
}

sl_error *sink_refresh_start(struct sl_node *node) {
    return node->refresh_timer != NULL
               ? NULL
               : node->services->timer_start(node->self, EVERY_MS, EVERY_MS, on_timer, node,
                                             &node->refresh_timer);
}

void sink_refresh_last(struct sl_node *node) {
    int64_t end_us = sl_monotonic_us() + LAST_LIMIT_US;
    bool more = node->producer != NULL && !node->broken;
    while (more && sl_monotonic_us() < end_us) {
        refresh_some(node, &more);
    }
}

void sink_refresh_stop(struct sl_node *node) {
    if (node->refresh_timer != NULL) {
        node->services->timer_stop(node->refresh_timer);
        node->refresh_timer = NULL;
    }
}
