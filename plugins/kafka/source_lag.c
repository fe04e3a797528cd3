/*
 * How far each partition reaches, and whether that is known at present. The client learns the high
 * watermark with each answer to a fetch, and nothing is asked for what moves. A watermark that
 * stands still tells nothing: the client may not fetch (all that it may read ahead waits for the
 * lanes), the broker may be away while producers wait for it, or nothing may have come. Then the
 * brokers are asked, by one request to each leader.
 */
#include "source.h"

#include <stdlib.h>

/* It is asked again soon; a stop of the node waits for the question. */
#define ENDS_LIMIT_MS 3000

static bool is_read(const struct source_partition *partition) {
    return partition->assigned && !partition->given_up && !partition->leaving &&
           partition->stream != NULL;
}

static int64_t cached_high(const struct source_partition *partition) {
    int64_t low = -1;
    int64_t high = -1;
    rd_kafka_resp_err_t code = rd_kafka_get_watermark_offsets(
        partition->node->client, partition->topic, partition->number, &low, &high);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? high : -1;
}

void source_tell_ends(struct sl_node *node) {
    for (size_t i = 0; i < node->n_partitions; i++) {
        struct source_partition *partition = node->partitions[i];
        if (!is_read(partition)) {
            continue;
        }
        int64_t high = cached_high(partition);
        int64_t end = high > partition->asked_high ? high : partition->asked_high;
        if (end >= 0) {
            node->services->log_end_offset(node->self, partition->stream, end);
        }
    }
}

/* ---- asking ---- */

void source_begin_seeing(struct source_partition *partition) {
    struct sl_node *node = partition->node;
    partition->high = cached_high(partition); /* which may be old */
    if (!node->section->embedded) {
        node->services->end_seen(node->self, partition->stream, INT64_MAX);
    }
}

/* Of an open transaction there are records behind the end that the broker tells. */
static void say_seen(const struct source_partition *partition, int64_t end) {
    const struct sl_node *node = partition->node;
    int64_t high = cached_high(partition);
    node->services->end_seen(node->self, partition->stream, high > end ? high : end);
}

struct question {
    struct sl_node *node;
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t code;
};

/* On a pool thread. */
static void ask_run(void *arg) {
    struct question *question = arg;
    question->code =
        rd_kafka_offsets_for_times(question->node->client, question->list, ENDS_LIMIT_MS);
}

/* What a broker did not say is asked for again; meanwhile it is not known. */
static void ask_done(void *arg) {
    struct question *question = arg;
    struct sl_node *node = question->node;
    node->asks_ends = false;
    for (int i = 0; i < question->list->cnt && question->code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        const rd_kafka_topic_partition_t *told = &question->list->elems[i];
        struct source_partition *partition =
            source_partition_get(node, told->topic, told->partition);
        if (partition != NULL && told->err == RD_KAFKA_RESP_ERR_NO_ERROR && told->offset >= 0) {
            partition->asked_high = told->offset;
            if (is_read(partition)) {
                say_seen(partition, told->offset);
            }
        }
    }
    rd_kafka_topic_partition_list_destroy(question->list);
    free(question);
}

/* Since it was last looked at. */
static bool has_moved(struct source_partition *partition) {
    int64_t before = partition->high;
    partition->high = cached_high(partition);
    return partition->high != before && partition->high >= 0;
}

void source_ask_ends(struct sl_node *node) {
    if (node->section->embedded || node->asks_ends) {
        return; /* the embedded broker does not know the question, and is never away */
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (size_t i = 0; i < node->n_partitions; i++) {
        struct source_partition *partition = node->partitions[i];
        if (!is_read(partition)) {
            continue;
        }
        if (has_moved(partition)) {
            say_seen(partition, partition->high);
        } else {
            rd_kafka_topic_partition_list_add(list, partition->topic, partition->number)->offset =
                RD_KAFKA_OFFSET_END; /* as a time: the end */
        }
    }
    struct question *question = list->cnt == 0 ? NULL : malloc(sizeof(*question));
    if (question == NULL) {
        rd_kafka_topic_partition_list_destroy(list);
        return;
    }
    *question = (struct question){.node = node, .list = list};
    sl_error *error = node->services->work(node->self, ask_run, ask_done, question);
    if (error != NULL) {
        sl_error_free(error);
        rd_kafka_topic_partition_list_destroy(list);
        free(question);
        return;
    }
    node->asks_ends = true;
}
