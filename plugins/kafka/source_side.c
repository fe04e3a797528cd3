/*
 * Readers outside of the group, for branches of the topology that fell behind (sl_stream.reader):
 * one client without membership for each branch, and on it one queue for each partition that the
 * branch lacks something of. What may block (starting, stopping, asking for watermarks, ending a
 * client) runs on pool threads.
 */
#include "source.h"
#include "wakeup.h"

#include <stdlib.h>

/* Long enough for a broker that is there; the host tries again. */
#define SIDE_QUERY_LIMIT_MS 5000

/* One partition of one branch. Lives as long as the node, as partitions do. */
struct source_side {
    struct source_side *next;
    struct source_partition *partition;
    uint32_t reader;
    struct side_client *client; /* while it is read, and until it is stopped */
    rd_kafka_topic_t *topic;
    bool stopping;
};

/* The client of a branch. Guarded by the node's side_mutex. */
struct side_client {
    struct side_client *next;
    uint32_t reader;
    unsigned users;
    rd_kafka_t *client;
};

struct side_job {
    struct source_side *side;
    sl_request *request; /* NULL: stopping */
    int64_t offset;
    void **out;
    struct source_handle *handle;
    sl_error *error;
};

/* ---- clients ---- */

static sl_error *take_client(struct source_side *side) {
    struct sl_node *node = side->partition->node;
    sl_error *error = NULL;
    pthread_mutex_lock(&node->side_mutex);
    struct side_client *found = node->side_clients;
    while (found != NULL && found->reader != side->reader) {
        found = found->next;
    }
    if (found == NULL) {
        found = calloc(1, sizeof(*found));
        error = found == NULL ? sl_error_no_memory() : source_make_side(node, &found->client);
        if (error == NULL) {
            found->reader = side->reader;
            found->next = node->side_clients;
            node->side_clients = found;
        } else {
            free(found);
        }
    }
    if (error == NULL) {
        found->users++;
        side->client = found;
    }
    pthread_mutex_unlock(&node->side_mutex);
    return error;
}

static void give_client_back(struct source_side *side) {
    struct sl_node *node = side->partition->node;
    struct side_client *client = side->client;
    side->client = NULL;
    pthread_mutex_lock(&node->side_mutex);
    bool last = --client->users == 0;
    struct side_client **at = &node->side_clients;
    while (last && *at != client) {
        at = &(*at)->next;
    }
    if (last) {
        *at = client->next;
    }
    pthread_mutex_unlock(&node->side_mutex);
    if (last) {
        kafka_link_end(&node->link, client->client, SOURCE_END_LIMIT_S);
        free(client);
    }
}

/* ---- starting ---- */

/* What retention has taken is said with its exact range. */
static sl_error *check_range(const struct source_side *side, int64_t offset) {
    const struct source_partition *partition = side->partition;
    int64_t low = 0;
    int64_t high = 0;
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(side->client->client, partition->topic, partition->number,
                                         &low, &high, SIDE_QUERY_LIMIT_MS);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_error(code, "cannot ask %s for the offsets of %s partition %d",
                           partition->node->link.bootstrap, partition->topic,
                           (int)partition->number);
    }
    if (offset >= low && offset <= high) {
        return NULL;
    }
    return sl_error_new(SL_ERROR_FATAL,
                        "records %lld to %lld of %s partition %d are no longer on the broker: "
                        "they were deleted before this branch, which had fallen behind, could read "
                        "them. Raise the topic's retention, and mend what makes the branch slow; "
                        "nothing is skipped silently",
                        (long long)(offset < low ? offset : high),
                        (long long)(offset < low ? low : offset) - 1, partition->topic,
                        (int)partition->number);
}

static sl_error *start_side(struct source_side *side, int64_t offset,
                            struct source_handle *handle) {
    const struct source_partition *partition = side->partition;
    rd_kafka_t *client = side->client->client;
    sl_error *error = check_range(side, offset);
    if (error != NULL) {
        return error;
    }
    side->topic = rd_kafka_topic_new(client, partition->topic, NULL);
    handle->queue = rd_kafka_queue_new(client);
    if (side->topic == NULL ||
        rd_kafka_consume_start_queue(side->topic, partition->number, offset, handle->queue) != 0) {
        error = kafka_error(rd_kafka_last_error(), "cannot read %s partition %d aside",
                            partition->topic, (int)partition->number);
        if (side->topic != NULL) {
            rd_kafka_topic_destroy(side->topic);
            side->topic = NULL;
        }
    }
    return error;
}

static void start_run(void *arg) {
    struct side_job *job = arg;
    struct source_side *side = job->side;
    struct source_handle *handle = calloc(1, sizeof(*handle));
    if (handle == NULL) {
        job->error = sl_error_no_memory();
        return;
    }
    *handle = (struct source_handle){
        .partition = side->partition, .fd = wakeup_new(), .end = SL_OFFSET_NONE, .aside = true};
    if (handle->fd < 0) {
        job->error = sl_error_new(SL_ERROR_RETRIABLE, "no descriptor is left for a reader");
    }
    job->error = job->error != NULL ? job->error : take_client(side);
    job->error = job->error != NULL ? job->error : start_side(side, job->offset, handle);
    if (job->error == NULL) {
        job->handle = handle;
        return;
    }
    source_handle_free(handle);
    if (side->client != NULL) {
        give_client_back(side);
    }
}

static void start_done(void *arg) {
    struct side_job *job = arg;
    const sl_services *services = job->side->partition->node->services;
    sl_request *request = job->request;
    sl_error *error = job->error;
    *job->out = job->handle;
    free(job);
    services->done(request, error);
}

/* ---- stopping ---- */

static void stop_run(void *arg) {
    struct side_job *job = arg;
    struct source_side *side = job->side;
    rd_kafka_consume_stop(side->topic, side->partition->number);
    rd_kafka_topic_destroy(side->topic);
    side->topic = NULL;
    give_client_back(side);
}

static void stop_done(void *arg) {
    struct side_job *job = arg;
    job->side->stopping = false;
    free(job);
}

/* ---- the node's half ---- */

static struct source_side *side_of(struct sl_node *node, const sl_stream *stream) {
    struct source_side *side = node->sides;
    while (side != NULL &&
           (side->reader != stream->reader || side->partition->number != stream->partition ||
            strcmp(side->partition->topic, stream->topic) != 0)) {
        side = side->next;
    }
    struct source_partition *partition =
        side != NULL ? NULL : source_partition_get(node, stream->topic, stream->partition);
    if (partition != NULL && (side = calloc(1, sizeof(*side))) != NULL) {
        side->partition = partition;
        side->reader = stream->reader;
        side->next = node->sides;
        node->sides = side;
    }
    return side;
}

static sl_error *start_job(struct source_side *side, struct side_job job, void (*run)(void *),
                           void (*done)(void *)) {
    const struct sl_node *node = side->partition->node;
    struct side_job *made = malloc(sizeof(*made));
    if (made == NULL) {
        return sl_error_no_memory();
    }
    *made = job;
    sl_error *error = node->services->work(node->self, run, done, made);
    if (error != NULL) {
        free(made);
    }
    return error;
}

void source_side_resume(struct sl_node *node, const sl_stream *stream, int64_t offset,
                        void **handle, sl_request *request) {
    struct source_side *side = side_of(node, stream);
    sl_error *error = NULL;
    if (side == NULL) {
        error = sl_error_no_memory();
    } else if (side->stopping) {
        error = sl_error_new(SL_ERROR_RETRIABLE, "its last reader is still being stopped");
    } else {
        error = start_job(
            side,
            (struct side_job){.side = side, .request = request, .offset = offset, .out = handle},
            start_run, start_done);
    }
    if (error != NULL) {
        node->services->done(request, error);
    }
}

void source_side_suspend(struct sl_node *node, const sl_stream *stream) {
    struct source_side *side = side_of(node, stream);
    if (side == NULL || side->topic == NULL || side->stopping) {
        return;
    }
    side->stopping = true;
    sl_error *error = start_job(side, (struct side_job){.side = side}, stop_run, stop_done);
    if (error != NULL) {
        node->services->fail(node->self, error); /* without memory it cannot be stopped */
    }
}

void source_sides_free(struct sl_node *node) {
    while (node->sides != NULL) {
        struct source_side *side = node->sides;
        node->sides = side->next;
        free(side);
    }
    pthread_mutex_destroy(&node->side_mutex);
}
