/*
 * Commits by transactions, on the node's thread. Whatever goes wrong ends the producer: the next
 * step begins with a new one, whose init_transactions settles what became of the last transaction,
 * and the positions are read again before anything is written. The batches are still there then, so
 * the host's second try of a commit writes them anew.
 */
#include "sink_transaction.h"

#include "rights.h"
#include "sink_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ABORT_LIMIT_MS 10000
#define TAKEOVERS_MAX 10
#define SERVE_MS 100

/* By the id of `client`, which may be another writer's. */
static sl_error *refused_id(const struct sl_node *node, const rd_kafka_t *client) {
    char id[256] = "";
    char right[256];
    size_t bytes = sizeof(id);
    rd_kafka_conf_get(rd_kafka_conf((rd_kafka_t *)(uintptr_t)client), "transactional.id", id,
                      &bytes);
    snprintf(right, sizeof(right), "WRITE on it, and on those that begin with \"sluice/%s/%s\"",
             node->pipeline, node->name);
    return kafka_refused(&node->link, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                         "use the transactional id", id, right);
}

sl_error *sink_transaction_error(const struct sl_node *node, const rd_kafka_t *client,
                                 rd_kafka_error_t *refused, const char *doing) {
    rd_kafka_resp_err_t code = rd_kafka_error_code(refused);
    if (code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED ||
        code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        rd_kafka_error_destroy(refused);
        return code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
                   ? sink_refused(node, code, node->config->topic)
                   : refused_id(node, client);
    }
    sl_error_class error_class =
        code == RD_KAFKA_RESP_ERR__FATAL ? SL_ERROR_RETRIABLE : kafka_error_class(code);
    bool fenced = code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
                  code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
    sl_error *error =
        sl_error_new(error_class, "%s at %s failed: %s%s", doing, node->link.bootstrap,
                     rd_kafka_error_string(refused),
                     fenced ? " (another writer has taken over a position of ours, or has the same "
                              "\"transactional.id\")"
                            : "");
    rd_kafka_error_destroy(refused);
    return error;
}

static sl_error *checked(const struct sl_node *node, const rd_kafka_t *client,
                         rd_kafka_error_t *refused, const char *doing) {
    return refused == NULL ? NULL : sink_transaction_error(node, client, refused, doing);
}

/* ---- recovery ---- */

/* Moves positions of `owner` to us, in a transaction of the owner's id (rule 2). Those that have
 * got another owner meanwhile are left to the caller's next look. */
static sl_error *move_positions(struct sl_node *node, rd_kafka_t *client, const char *owner,
                                const sl_position *positions, size_t n, sl_position *still,
                                int64_t *offsets, struct sink_stored *stored) {
    sl_error *error = sink_positions_read(node, client, positions, n, true, stored);
    size_t n_still = 0;
    for (size_t i = 0; i < n && error == NULL; i++) {
        if (strcmp(stored[i].owner, owner) == 0) {
            still[n_still] = positions[i];
            offsets[n_still++] = stored[i].offset;
        }
    }
    if (error != NULL || n_still == 0) {
        return error;
    }
    error = checked(node, client, rd_kafka_begin_transaction(client), "beginning a transaction");
    if (error == NULL) {
        error =
            sink_positions_send(node, client, still, offsets, n_still, SINK_TRANSACTION_LIMIT_MS);
    }
    return error != NULL ? error
                         : checked(node, client,
                                   rd_kafka_commit_transaction(client, SINK_TRANSACTION_LIMIT_MS),
                                   "taking positions over");
}

static sl_error *take_over(struct sl_node *node, const char *owner, const sl_position *positions,
                           size_t n) {
    rd_kafka_t *client = NULL;
    sl_buffer id = SL_BUFFER_INIT;
    sink_owner_id(node, owner, &id);
    const char *text = sl_buffer_text(&id);
    sl_position *still = calloc(n + 1, sizeof(*still));
    int64_t *offsets = calloc(n + 1, sizeof(*offsets));
    struct sink_stored *stored = calloc(n + 1, sizeof(*stored));
    sl_error *error = text == NULL || still == NULL || offsets == NULL || stored == NULL
                          ? sl_error_no_memory()
                          : sink_producer_new(node, text, &client);
    if (error == NULL) {
        error = checked(node, client, rd_kafka_init_transactions(client, SINK_TRANSACTION_LIMIT_MS),
                        "beginning as another writer");
    }
    if (error == NULL) {
        error = move_positions(node, client, owner, positions, n, still, offsets, stored);
    }
    if (client != NULL) {
        rd_kafka_destroy(client);
    }
    free(still);
    free(offsets);
    free(stored);
    sl_buffer_free(&id);
    return error;
}

static size_t first_of_others(const struct sl_node *node, const struct sink_stored *stored,
                              size_t n) {
    size_t first = 0;
    while (first < n && strcmp(stored[first].owner, node->writer_id) == 0) {
        first++;
    }
    return first;
}

/* Takes over all positions of the first owner that is not us; *done when there is none. */
static sl_error *take_some_over(struct sl_node *node, const sl_position *positions,
                                const struct sink_stored *stored, size_t n, bool *done) {
    size_t first = first_of_others(node, stored, n);
    *done = first == n;
    sl_position *theirs = *done ? NULL : calloc(n, sizeof(*theirs));
    if (theirs == NULL) {
        return *done ? NULL : sl_error_no_memory();
    }
    size_t n_theirs = 0;
    for (size_t i = first; i < n; i++) {
        if (strcmp(stored[i].owner, stored[first].owner) == 0) {
            theirs[n_theirs++] = positions[i];
        }
    }
    sl_error *error = take_over(node, stored[first].owner, theirs, n_theirs);
    free(theirs);
    return error;
}

/* Every round but the last takes positions over; the last finds all of them ours. */
static sl_error *own_all(struct sl_node *node, const sl_position *positions, size_t n,
                         struct sink_stored *stored) {
    for (int i = 0; i < TAKEOVERS_MAX; i++) {
        bool done = false;
        sl_error *error = sink_positions_read(node, node->producer, positions, n, false, stored);
        if (error == NULL) {
            error = take_some_over(node, positions, stored, n, &done);
        }
        if (error == NULL && done) {
            error = sink_positions_read(node, node->producer, positions, n, true, stored);
            done = error == NULL && first_of_others(node, stored, n) == n;
        }
        if (error != NULL || done) {
            return error;
        }
    }
    return sl_error_new(SL_ERROR_RETRIABLE, "other writers take the same positions over");
}

sl_error *sink_recover(struct sl_node *node, sl_position *positions, size_t n) {
    struct sink_stored *stored = calloc(n + 1, sizeof(*stored));
    sl_error *error = stored == NULL ? sl_error_no_memory() : sink_connect(node);
    if (error == NULL) {
        error = own_all(node, positions, n, stored);
    }
    for (size_t i = 0; i < n && error == NULL; i++) {
        struct sink_place *place = sink_place_get(node, positions[i].key);
        if (place == NULL) {
            error = sl_error_no_memory();
            break;
        }
        if (stored[i].offset == SL_OFFSET_NONE) {
            error = sink_known_check(node, positions[i].key);
        }
        place->stored = positions[i].from = stored[i].offset;
        place->incarnation = node->incarnation;
        sink_known_keep(node, place);
    }
    free(stored);
    return error != NULL ? error : sink_refresh_start(node);
}

/* ---- before a commit ---- */

static sl_error *conflict(const sl_position *position, int64_t stored, const char *owner) {
    return sl_error_new(SL_ERROR_CONFLICT,
                        "the position of %s partition %d is %" PRId64 " and belongs to \"%s\", "
                        "where this commit goes on from %" PRId64,
                        position->stream->topic, (int)position->stream->partition, stored, owner,
                        position->from);
}

/* The producer is another one since the positions were read (rule 1). */
static sl_error *read_again(struct sl_node *node, const sl_position *positions, size_t n) {
    struct sink_stored *stored = calloc(n + 1, sizeof(*stored));
    sl_error *error = stored == NULL
                          ? sl_error_no_memory()
                          : sink_positions_read(node, node->producer, positions, n, true, stored);
    for (size_t i = 0; i < n && error == NULL; i++) {
        struct sink_place *place = sink_place_get(node, positions[i].key);
        if (place == NULL) {
            error = sl_error_no_memory();
        } else if (strcmp(stored[i].owner, node->writer_id) != 0) {
            error = conflict(&positions[i], stored[i].offset, stored[i].owner);
        } else {
            place->stored = stored[i].offset;
            place->incarnation = node->incarnation;
        }
    }
    free(stored);
    return error;
}

/* *done: an earlier try, whose answer was lost, had arrived. */
static sl_error *check_positions(struct sl_node *node, const sl_commit *commit, bool *done) {
    const sl_position *positions = commit->positions;
    bool stale = false;
    for (size_t i = 0; i < commit->n_positions; i++) {
        const struct sink_place *place = sink_place_get(node, positions[i].key);
        stale = stale || place == NULL || place->incarnation != node->incarnation;
    }
    sl_error *error = stale ? read_again(node, positions, commit->n_positions) : NULL;
    *done = commit->n_positions > 0;
    for (size_t i = 0; i < commit->n_positions && error == NULL; i++) {
        *done = *done && sink_place_get(node, positions[i].key)->stored == positions[i].to;
    }
    for (size_t i = 0; i < commit->n_positions && error == NULL && !*done; i++) {
        int64_t stored = sink_place_get(node, positions[i].key)->stored;
        if (stored != positions[i].from) {
            error = conflict(&positions[i], stored, node->writer_id);
        }
    }
    return error;
}

/* ---- writing ---- */

static const sl_position *position_of(const sl_commit *commit, const struct sink_kept *kept) {
    for (size_t i = 0; i < commit->n_positions; i++) {
        const sl_position *position = &commit->positions[i];
        if (position->stream == kept->batch->stream && position->input == kept->input) {
            return position;
        }
    }
    return NULL;
}

/* Another writer has ended this producer, or the transaction has failed: what the next producer
 * finds stored decides, as everywhere in a transaction. */
static bool ends_producer(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__FENCED ||
           code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
           code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH || code == RD_KAFKA_RESP_ERR__STATE;
}

static sl_error *write_row(struct sink_writer *writer, const struct sink_kept *kept, int64_t row,
                           int64_t end_us) {
    struct sl_node *node = writer->node;
    for (;;) {
        struct sink_record record;
        sl_error *error = sink_record_make(writer, kept->batch, kept->input, row, &record);
        if (error != NULL) {
            return error;
        }
        rd_kafka_resp_err_t code = sink_record_produce(writer, &record, NULL);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            node->handed++;
            return NULL;
        }
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || sl_monotonic_us() >= end_us) {
            error = sink_record_refused(writer, kept->batch, row, &record, code);
            if (ends_producer(code) && sl_error_is(error, SL_ERROR_FATAL)) {
                error->error_class = SL_ERROR_RETRIABLE;
            }
            return error;
        }
        sink_serve(node, SERVE_MS);
    }
}

/* Rows of a stream that the commit does not speak of were read before it left: they are not ours
 * to write. */
static sl_error *write_pieces(struct sl_node *node, const sl_commit *commit, int64_t end_us) {
    struct sink_writer writer = {.node = node};
    sl_error *error = NULL;
    for (size_t p = 0; p < commit->n_pieces && error == NULL; p++) {
        const struct sink_piece *piece = commit->pieces[p];
        for (size_t i = 0; i < piece->n && error == NULL; i++) {
            const struct sink_kept *kept = &piece->kept[i];
            const sl_position *position = position_of(commit, kept);
            if (position != NULL && (kept->batch->first_offset < position->from ||
                                     kept->batch->next_offset > position->to)) {
                error = sl_error_new(
                    SL_ERROR_CONFLICT, "rows of %s partition %d lie outside of their commit",
                    kept->batch->stream->topic, (int)kept->batch->stream->partition);
            }
            int64_t rows = position == NULL ? 0 : kept->batch->rows;
            for (int64_t row = 0; row < rows && error == NULL; row++) {
                if (!sink_is_fault(kept->faults, row)) {
                    error = write_row(&writer, kept, row, end_us);
                }
            }
            sink_serve(node, 0);
        }
    }
    sink_writer_free(&writer);
    return error;
}

static sl_error *wait_for_deliveries(struct sl_node *node, int64_t end_us) {
    while (node->answered < node->handed && !atomic_load(&node->has_failed)) {
        if (sl_monotonic_us() >= end_us) {
            return sl_error_new(SL_ERROR_RETRIABLE,
                                "%lld of %lld records were not acknowledged by %s in time",
                                (long long)(node->handed - node->answered), (long long)node->handed,
                                node->link.bootstrap);
        }
        sink_serve(node, SERVE_MS);
    }
    return atomic_load(&node->has_failed) ? sink_failure(node) : NULL;
}

static sl_error *send_positions(struct sl_node *node, const sl_commit *commit) {
    int64_t *offsets = calloc(commit->n_positions + 1, sizeof(*offsets));
    if (offsets == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < commit->n_positions; i++) {
        offsets[i] = commit->positions[i].to;
    }
    sl_error *error = sink_positions_send(node, node->producer, commit->positions, offsets,
                                          commit->n_positions, SINK_TRANSACTION_LIMIT_MS);
    free(offsets);
    return error;
}

/* Records of a transaction that has failed are only purged. Beginning another one, which is never
 * done while one is under way, is refused with the reason. */
static sl_error *find_refusal(const struct sl_node *node, sl_error *error) {
    rd_kafka_error_t *said = rd_kafka_begin_transaction(node->producer);
    if (said == NULL || !kafka_is_refused(rd_kafka_error_code(said))) {
        rd_kafka_error_destroy(said);
        return error;
    }
    sl_error_free(error);
    return sink_transaction_error(node, node->producer, said, "writing");
}

static sl_error *transact(struct sl_node *node, const sl_commit *commit) {
    int64_t end_us = sl_monotonic_us() + (int64_t)SINK_TRANSACTION_LIMIT_MS * 1000;
    sl_error *error = checked(node, node->producer, rd_kafka_begin_transaction(node->producer),
                              "beginning a transaction");
    if (error != NULL) {
        return error;
    }
    error = write_pieces(node, commit, end_us);
    error = error != NULL ? error : wait_for_deliveries(node, end_us);
    if (error != NULL) {
        return find_refusal(node, error);
    }
    error = send_positions(node, commit);
    if (error == NULL) {
        error = checked(node, node->producer,
                        rd_kafka_commit_transaction(node->producer, SINK_TRANSACTION_LIMIT_MS),
                        "committing a transaction");
    }
    return error;
}

sl_error *sink_commit(struct sl_node *node, const sl_commit *commit) {
    bool done = false;
    sl_error *error = sink_connect(node);
    if (error == NULL) {
        error = check_positions(node, commit, &done);
    }
    if (error != NULL || done) {
        return error;
    }
    error = transact(node, commit);
    if (error != NULL) {
        /* Best effort: the next producer's init_transactions does it, too, if there is a next. */
        rd_kafka_error_t *refused = rd_kafka_abort_transaction(node->producer, ABORT_LIMIT_MS);
        if (refused != NULL) {
            rd_kafka_error_destroy(refused);
        }
        sink_disconnect(node);
        return error;
    }
    for (size_t i = 0; i < commit->n_positions; i++) {
        struct sink_place *place = sink_place_get(node, commit->positions[i].key);
        place->stored = commit->positions[i].to;
        place->sent_us = sl_monotonic_us();
        sink_known_keep(node, place);
    }
    return NULL;
}
