/*
 * Positions as committed offsets: reading them with their owners, and adding them to a transaction.
 * The metadata of an offset is "sluice 1 at OWNER", or "sluice 1 none OWNER" when the position is
 * owned but nothing is stored yet; an offset without metadata was set by an operator and belongs to
 * nobody.
 */
#include "rights.h"
#include "sink_transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_LIMIT_MS 15000
#define STABLE_LIMIT_US ((int64_t)90 * 1000000) /* an abandoned transaction ends after a minute */
#define STABLE_PAUSE_US 200000

static const char AT[] = "sluice 1 at ";
static const char NONE[] = "sluice 1 none ";
enum { VERSION = 1 }; /* the number in both */

/* See "A transaction that does not end" in README.md. */
static const char HANGING[] = ", over which a transaction does not end (kafka-transactions.sh "
                              "find-hanging names it; the kafka plugin's README says more)";

/* ---- places ---- */

struct sink_place *sink_place_get(struct sl_node *node, const char *key) {
    for (size_t i = 0; i < node->n_places; i++) {
        if (strcmp(node->places[i].key, key) == 0) {
            return &node->places[i];
        }
    }
    struct sink_place *grown = realloc(node->places, (node->n_places + 1) * sizeof(*grown));
    char *copy = strdup(key);
    node->places = grown != NULL ? grown : node->places;
    if (grown == NULL || copy == NULL) {
        free(copy);
        return NULL;
    }
    node->places[node->n_places] = (struct sink_place){.key = copy, .stored = SL_OFFSET_NONE};
    return &node->places[node->n_places++];
}

void sink_places_free(struct sl_node *node) {
    for (size_t i = 0; i < node->n_places; i++) {
        free(node->places[i].key);
    }
    free(node->places);
}

const char *sink_positions_topic(const struct sl_node *node) {
    return node->config->positions_topic != NULL ? node->config->positions_topic
                                                 : node->config->topic;
}

/* The brokers do not let us keep the position: by its group, or by the topic that it stands under.
 */
static sl_error *refused(const struct sl_node *node, rd_kafka_resp_err_t code, const char *key) {
    char right[256];
    snprintf(right, sizeof(right), "READ on the groups that begin with \"sluice/%s/%s/\"",
             node->pipeline, node->name);
    return code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
               ? kafka_refused(&node->link, code, "keep a position in the group", key, right)
               : kafka_refused(&node->link, code, "commit positions under the topic",
                               sink_positions_topic(node),
                               node->config->positions_topic != NULL ? "READ on it"
                                                                     : "READ on it, beside WRITE");
}

/* ---- reading ---- */

/* What is no position, or one of another version. */
static sl_error *refuse(const char *key, const char *text, size_t bytes) {
    const size_t head = strlen("sluice ");
    size_t digits = 0;
    int64_t version = VERSION;
    while (head + digits < bytes && text[head + digits] >= '0' && text[head + digits] <= '9') {
        digits++;
    }
    if (digits > 0 && memcmp(text, AT, head) == 0 && sl_parse_i64(text + head, digits, &version) &&
        version != VERSION) {
        char where[256];
        (void)snprintf(where, sizeof(where), "the committed offset of group \"%s\"", key);
        return sl_error_format(where, version, VERSION, VERSION);
    }
    return sl_error_new(SL_ERROR_FATAL,
                        "the committed offset of group \"%s\" has the metadata \"%.*s\", which "
                        "sluice did not write: the group keeps positions of sluice, nothing else "
                        "may commit to it",
                        key, (int)bytes, text);
}

static sl_error *decode(const char *key, const rd_kafka_topic_partition_t *from,
                        struct sink_stored *out) {
    *out = (struct sink_stored){.offset = SL_OFFSET_NONE};
    if (from->offset < 0) {
        return NULL;
    }
    size_t bytes = from->metadata == NULL ? 0 : from->metadata_size;
    const char *text = bytes == 0 ? "" : from->metadata;
    bool at = bytes > sizeof(AT) - 1 && memcmp(text, AT, sizeof(AT) - 1) == 0;
    bool none = bytes > sizeof(NONE) - 1 && memcmp(text, NONE, sizeof(NONE) - 1) == 0;
    size_t head = at ? sizeof(AT) - 1 : sizeof(NONE) - 1;
    if (bytes == 0) {
        out->offset = from->offset;
    } else if ((at || none) && bytes - head < sizeof(out->owner)) {
        out->offset = at ? from->offset : SL_OFFSET_NONE;
        memcpy(out->owner, text + head, bytes - head);
    } else {
        return refuse(key, text, bytes);
    }
    return NULL;
}

/* Takes the answer to a question for one group's one offset; its code. */
static rd_kafka_resp_err_t take_answer(rd_kafka_event_t *event, const char *key,
                                       struct sink_stored *out, sl_error **error) {
    rd_kafka_resp_err_t code =
        event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return code;
    }
    size_t n = 0;
    const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event), &n);
    const rd_kafka_error_t *refused = n == 1 ? rd_kafka_group_result_error(groups[0]) : NULL;
    const rd_kafka_topic_partition_list_t *list =
        n == 1 ? rd_kafka_group_result_partitions(groups[0]) : NULL;
    if (refused != NULL) {
        return rd_kafka_error_code(refused);
    }
    if (list == NULL || list->cnt != 1) {
        return RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    if (list->elems[0].err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        *error = decode(key, &list->elems[0], out);
    }
    return list->elems[0].err;
}

/* Asks once. UNSTABLE_OFFSET_COMMIT: a transaction over the position is under way. */
static rd_kafka_resp_err_t ask(struct sl_node *node, rd_kafka_t *client, const char *key,
                               bool stable, struct sink_stored *out, sl_error **error) {
    char why[200] = "";
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, sink_positions_topic(node), 0);
    rd_kafka_ListConsumerGroupOffsets_t *request = rd_kafka_ListConsumerGroupOffsets_new(key, list);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    rd_kafka_AdminOptions_set_request_timeout(options, READ_LIMIT_MS, why, sizeof(why));
    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_require_stable_offsets(options, stable));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_ListConsumerGroupOffsets(client, &request, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, READ_LIMIT_MS + 1000);
    rd_kafka_resp_err_t code = take_answer(event, key, out, error);
    if (event != NULL) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ListConsumerGroupOffsets_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    return code;
}

static sl_error *read_one(struct sl_node *node, rd_kafka_t *client, const char *key, bool stable,
                          struct sink_stored *out) {
    int64_t end_us = sl_monotonic_us() + STABLE_LIMIT_US;
    for (;;) {
        sl_error *error = NULL;
        rd_kafka_resp_err_t code = ask(node, client, key, stable, out, &error);
        if (error != NULL || code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            return error;
        }
        if (kafka_is_refused(code)) {
            return refused(node, code, key);
        }
        bool unstable = code == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT;
        if (!unstable || sl_monotonic_us() >= end_us) {
            return kafka_error(code, "cannot read the position that group \"%s\" keeps at %s%s",
                               key, node->link.bootstrap, unstable ? HANGING : "");
        }
        usleep(STABLE_PAUSE_US);
    }
}

sl_error *sink_positions_read(struct sl_node *node, rd_kafka_t *client,
                              const sl_position *positions, size_t n, bool stable,
                              struct sink_stored *out) {
    sl_error *error = NULL;
    for (size_t i = 0; i < n && error == NULL; i++) {
        error = read_one(node, client, positions[i].key, stable, &out[i]);
    }
    return error;
}

/* ---- writing ---- */

static bool set_metadata(const struct sl_node *node, rd_kafka_t *client, int64_t offset,
                         rd_kafka_topic_partition_t *to) {
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer_printf(&text, "%s%s", offset == SL_OFFSET_NONE ? NONE : AT, node->writer_id);
    to->metadata = text.failed ? NULL : rd_kafka_mem_malloc(client, text.bytes);
    if (to->metadata != NULL) {
        memcpy(to->metadata, text.data, text.bytes);
        to->metadata_size = text.bytes;
    }
    sl_buffer_free(&text);
    return to->metadata != NULL;
}

static sl_error *not_sent(const struct sl_node *node, const rd_kafka_t *client, const char *key,
                          rd_kafka_error_t *said) {
    rd_kafka_resp_err_t code = rd_kafka_error_code(said);
    if (code != RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED &&
        code != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        return sink_transaction_error(node, client, said, "adding a position to a transaction");
    }
    rd_kafka_error_destroy(said);
    return refused(node, code, key);
}

static sl_error *send_one(struct sl_node *node, rd_kafka_t *client, const char *key, int64_t offset,
                          int limit_ms) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *to =
        rd_kafka_topic_partition_list_add(list, sink_positions_topic(node), 0);
    to->offset = offset == SL_OFFSET_NONE ? 0 : offset;
    sl_error *error = set_metadata(node, client, offset, to) ? NULL : sl_error_no_memory();
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new(key);
    if (error == NULL) {
        rd_kafka_error_t *said =
            rd_kafka_send_offsets_to_transaction(client, list, group, limit_ms);
        error = said == NULL ? NULL : not_sent(node, client, key, said);
    }
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(list);
    return error;
}

sl_error *sink_positions_send(struct sl_node *node, rd_kafka_t *client,
                              const sl_position *positions, const int64_t *offsets, size_t n,
                              int limit_ms) {
    sl_error *error = NULL;
    for (size_t i = 0; i < n && error == NULL; i++) {
        error = send_one(node, client, positions[i].key, offsets[i], limit_ms);
    }
    return error;
}

void sink_owner_id(const struct sl_node *node, const char *owner, sl_buffer *out) {
    if (owner[0] != '\0') {
        sl_buffer_append_text(out, owner);
    } else {
        sl_buffer_printf(out, "sluice/%s/%s", node->pipeline, node->name);
    }
}
