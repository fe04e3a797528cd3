/*
 * How many partitions of the node's topics are with other members of the group: the broker says how
 * many there are, the group which of them are ours. Asked at the start and after each rebalance,
 * which new partitions and topics bring about, too.
 */
#include "source.h"

#include <stdlib.h>

static size_t count_ours(const struct sl_node *node) {
    size_t ours = 0;
    for (size_t i = 0; i < node->n_partitions; i++) {
        ours += node->partitions[i]->owned && !node->partitions[i]->leaving ? 1 : 0;
    }
    return ours;
}

size_t source_count_missing(const struct sl_node *node) {
    size_t ours = count_ours(node);
    return node->n_known > ours ? node->n_known - ours : 0;
}

void source_tell_missing(struct sl_node *node) {
    size_t ours = count_ours(node);
    if (ours > node->n_known) {
        node->n_known = ours; /* newer than what was asked for last */
    }
    node->services->missing(node->self, node->n_known - ours, node->n_known);
}

/* ---- asking ---- */

struct count_job {
    struct sl_node *node;
    size_t partitions;
    bool answered;
};

static bool count(struct count_job *job, rd_kafka_topic_t *topic) {
    const struct rd_kafka_metadata *metadata = NULL;
    if (rd_kafka_metadata(job->node->client, topic == NULL, topic, &metadata,
                          SOURCE_QUERY_LIMIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
    }
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const rd_kafka_metadata_topic_t *found = &metadata->topics[i];
        if (found->err == RD_KAFKA_RESP_ERR_NO_ERROR && source_wants(job->node, found->topic)) {
            job->partitions += (size_t)found->partition_cnt;
        }
    }
    rd_kafka_metadata_destroy(metadata);
    return true;
}

static void count_run(void *arg) {
    struct count_job *job = arg;
    const sl_list *names = &job->node->config->topics;
    job->answered = names->count > 0 || count(job, NULL);
    for (size_t i = 0; i < names->count && job->answered; i++) {
        rd_kafka_topic_t *topic = rd_kafka_topic_new(job->node->client, names->items[i], NULL);
        job->answered = topic != NULL && count(job, topic);
        if (topic != NULL) {
            rd_kafka_topic_destroy(topic);
        }
    }
}

static void count_done(void *arg) {
    struct count_job *job = arg;
    struct sl_node *node = job->node;
    if (job->answered && job->partitions != node->n_known) {
        node->n_known = job->partitions;
        source_tell_missing(node);
    }
    free(job);
}

void source_count_partitions(struct sl_node *node) {
    struct count_job *job = node->section->embedded ? NULL : calloc(1, sizeof(*job));
    if (job == NULL) {
        return; /* the next rebalance asks again */
    }
    job->node = node;
    sl_error *error = node->services->work(node->self, count_run, count_done, job);
    if (error != NULL) {
        sl_error_free(error);
        free(job);
    }
}
