/*
 * The mock cluster lives on a producer of its own. It has one broker, so that one connection a
 * client is enough, and keeps the list of its topics, because making one twice is an error there.
 */
#include "embedded.h"

#include "properties.h"

#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdlib.h>

struct topic {
    struct topic *next;
    int64_t partitions;
    char name[];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static size_t shares;
static rd_kafka_t *owner;
static rd_kafka_mock_cluster_t *cluster;
static struct topic *topics;

static sl_error *start(void) {
    char why[400] = "";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, NULL); /* it would warn that it knows no broker */
    sl_error *error = kafka_conf_set(conf, "client.id", "sluice-embedded");
    owner = error == NULL ? rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why)) : NULL;
    if (owner == NULL) {
        rd_kafka_conf_destroy(conf);
        return error != NULL
                   ? error
                   : sl_error_new(SL_ERROR_FATAL, "cannot start the embedded broker: %s", why);
    }
    cluster = rd_kafka_mock_cluster_new(owner, 1);
    if (cluster == NULL) {
        rd_kafka_destroy(owner);
        return sl_error_new(SL_ERROR_FATAL, "cannot start the embedded broker: its listening "
                                            "socket on 127.0.0.1 could not be opened");
    }
    return NULL;
}

sl_error *embedded_acquire(const char **bootstrap) {
    pthread_mutex_lock(&mutex);
    sl_error *error = shares == 0 ? start() : NULL;
    if (error == NULL) {
        shares++;
        *bootstrap = rd_kafka_mock_cluster_bootstraps(cluster);
    }
    pthread_mutex_unlock(&mutex);
    return error;
}

void embedded_release(void) {
    pthread_mutex_lock(&mutex);
    if (--shares == 0) {
        rd_kafka_mock_cluster_destroy(cluster);
        rd_kafka_destroy(owner);
        while (topics != NULL) {
            struct topic *next = topics->next;
            free(topics);
            topics = next;
        }
    }
    pthread_mutex_unlock(&mutex);
}

static sl_error *make_topic(const char *name, int64_t partitions) {
    size_t bytes = strlen(name) + 1;
    struct topic *topic = malloc(sizeof(*topic) + bytes);
    if (topic == NULL) {
        return sl_error_no_memory();
    }
    rd_kafka_resp_err_t code = rd_kafka_mock_topic_create(cluster, name, (int)partitions, 1);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        free(topic);
        return kafka_error(code, "cannot make the topic \"%s\" in the embedded broker", name);
    }
    topic->partitions = partitions;
    memcpy(topic->name, name, bytes);
    topic->next = topics;
    topics = topic;
    return NULL;
}

sl_error *embedded_topic(const char *name, int64_t partitions) {
    pthread_mutex_lock(&mutex);
    struct topic *topic = topics;
    while (topic != NULL && strcmp(topic->name, name) != 0) {
        topic = topic->next;
    }
    sl_error *error = topic == NULL ? make_topic(name, partitions) : NULL;
    pthread_mutex_unlock(&mutex);
    return error;
}

void embedded_visit(void (*visit)(void *arg, const char *topic, int64_t partitions), void *arg) {
    pthread_mutex_lock(&mutex);
    for (const struct topic *topic = topics; topic != NULL; topic = topic->next) {
        visit(arg, topic->name, topic->partitions);
    }
    pthread_mutex_unlock(&mutex);
}
