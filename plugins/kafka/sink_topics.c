/*
 * The topics that a producer writes to, by name. Each keeps a handle of librdkafka, which forgets
 * no topic while the producer lives; so their number is bounded.
 */
#include "embedded.h"
#include "sink.h"

#include <stdlib.h>
#include <xxhash.h>

#define BUCKETS_MIN 16

static struct sink_topic **bucket_of(const struct sink_topics *topics, const char *name,
                                     size_t bytes) {
    return &topics->buckets[XXH3_64bits(name, bytes) & (topics->n_buckets - 1)];
}

static struct sink_topic *find(const struct sink_topics *topics, const char *name, size_t bytes) {
    struct sink_topic *topic = topics->n == 0 ? NULL : *bucket_of(topics, name, bytes);
    while (topic != NULL && (topic->name_bytes != bytes || memcmp(topic->name, name, bytes) != 0)) {
        topic = topic->in_bucket;
    }
    return topic;
}

static void link_topic(struct sink_topics *topics, struct sink_topic *topic) {
    struct sink_topic **bucket = bucket_of(topics, topic->name, topic->name_bytes);
    topic->in_bucket = *bucket;
    *bucket = topic;
}

/* Room for one more; false when memory is short. */
static bool grow(struct sink_topics *topics) {
    if (topics->n < topics->n_buckets) {
        return true;
    }
    size_t n = topics->n_buckets == 0 ? BUCKETS_MIN : 2 * topics->n_buckets;
    struct sink_topic **buckets = calloc(n, sizeof(*buckets));
    if (buckets == NULL) {
        return false;
    }
    free(topics->buckets);
    topics->buckets = buckets;
    topics->n_buckets = n;
    for (struct sink_topic *topic = topics->list; topic != NULL; topic = topic->next) {
        link_topic(topics, topic);
    }
    return true;
}

static sl_error *open_topic(struct sl_node *node, struct sink_topic *topic) {
    sl_error *error = NULL;
    if (node->section->embedded) {
        error = embedded_topic(topic->name, node->section->embedded_partitions);
    }
    if (error != NULL) {
        return error;
    }
    topic->flow = flow_get(sink_cluster(node), topic->name);
    if (topic->flow == NULL) {
        return sl_error_no_memory();
    }
    topic->handle = rd_kafka_topic_new(node->producer, topic->name, NULL);
    if (topic->handle == NULL) {
        flow_release(topic->flow);
        return sl_error_new(SL_ERROR_FATAL, "cannot write to a topic named \"%s\": %s", topic->name,
                            rd_kafka_err2str(rd_kafka_last_error()));
    }
    topic->feeds = !node->done_feeding;
    if (topic->feeds) {
        flow_feed(topic->flow);
    }
    return NULL;
}

static sl_error *add(struct sl_node *node, const char *name, size_t bytes,
                     struct sink_topic **out) {
    struct sink_topics *topics = &node->topics;
    if (topics->n >= (size_t)node->config->max_topics) {
        return sl_error_new(SL_ERROR_FATAL,
                            "\"topic_column\" has named more than %lld topics, and the producer "
                            "keeps each in memory: raise \"max_topics\" if they are meant to be so "
                            "many; a restart of the node begins to count anew",
                            (long long)node->config->max_topics);
    }
    struct sink_topic *topic = calloc(1, sizeof(*topic) + bytes + 1);
    if (topic == NULL || !grow(topics)) {
        free(topic);
        return sl_error_no_memory();
    }
    memcpy(topic->name, name, bytes);
    topic->name_bytes = bytes;
    sl_error *error = open_topic(node, topic);
    if (error != NULL) {
        free(topic);
        return error;
    }
    link_topic(topics, topic);
    topic->next = topics->list;
    topics->list = topic;
    topics->n++;
    *out = topic;
    return NULL;
}

sl_error *sink_topic_get(struct sl_node *node, const char *name, size_t bytes,
                         struct sink_topic **out) {
    sl_error *error = NULL;
    pthread_mutex_lock(&node->mutex);
    struct sink_topic *topic = find(&node->topics, name, bytes);
    if (topic != NULL) {
        *out = topic;
    } else {
        error = add(node, name, bytes, out);
    }
    pthread_mutex_unlock(&node->mutex);
    return error;
}

void sink_topics_free(struct sl_node *node) {
    for (struct sink_topic *topic = node->topics.list, *next; topic != NULL; topic = next) {
        next = topic->next;
        rd_kafka_topic_destroy(topic->handle);
        if (topic->feeds) {
            flow_feed_end(topic->flow);
        }
        flow_release(topic->flow);
        free(topic);
    }
    free(node->topics.buckets);
    node->topics = (struct sink_topics){.list = NULL};
}
