/*
 * What was seen of each partition: offset, timestamp and checksum of some record that was read,
 * kept in the state store. A topic that is deleted and made again has the same name and other
 * records; positions would go on in the midst of them, and what lies before would be skipped. So
 * before reading goes on, and every few seconds while it does, such a record is read once more and
 * compared. (Brokers have ids for topics, which librdkafka 2.0 does not tell.)
 *
 * A record that is gone (retention, compaction) proves nothing, and reading from the beginning of
 * the partition skips nothing: neither is compared.
 */
#include "source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#define COMPARE_LIMIT_US 10000000
#define MARK_BYTES 128
#define MARK_VERSION 1 /* a mark begins with it */
#define LOOKS_AT_ONCE 8

/* ---- marks ---- */

uint64_t source_checksum(const void *key, size_t key_bytes, const void *value, size_t value_bytes) {
    return XXH3_64bits_withSeed(value, value == NULL ? 0 : value_bytes,
                                XXH3_64bits(key, key == NULL ? 0 : key_bytes));
}

void source_see(struct source_partition *partition, const struct source_mark *mark) {
    pthread_mutex_lock(&partition->node->seen_mutex);
    if (!partition->other) {
        partition->seen = *mark;
        partition->looked = partition->looked.offset == SL_OFFSET_NONE ? *mark : partition->looked;
    }
    pthread_mutex_unlock(&partition->node->seen_mutex);
}

/* Names of topics are file names; "." and ".." are no topics. */
static bool mark_path(const struct source_partition *partition, sl_buffer *out) {
    return sl_buffer_printf(out, "seen/%s/%d", partition->topic, (int)partition->number);
}

void source_keep_seen(struct source_partition *partition, bool last) {
    struct sl_node *node = partition->node;
    sl_store *store = node->services->state_store(node->self);
    pthread_mutex_lock(&node->seen_mutex);
    struct source_mark mark = last ? partition->seen : partition->looked;
    bool news = mark.offset != partition->kept_offset && mark.offset != SL_OFFSET_NONE;
    partition->kept_offset = mark.offset;
    pthread_mutex_unlock(&node->seen_mutex);
    sl_buffer path = SL_BUFFER_INIT;
    if (store == NULL || !news || !mark_path(partition, &path)) {
        return;
    }
    char text[MARK_BYTES];
    int bytes = snprintf(text, sizeof(text), "%d %" PRId64 " %" PRId64 " %" PRIu64 "\n",
                         MARK_VERSION, mark.offset, mark.timestamp_ms, mark.checksum);
    sl_error *error =
        store->ops->put(store, sl_buffer_text(&path), text, (size_t)bytes, SL_STORE_VOLATILE);
    if (error != NULL) {
        node->services->log(node->self, SL_LOG_WARN, "cannot keep what was seen: %s",
                            sl_error_message(error));
        sl_error_free(error);
    }
    sl_buffer_free(&path);
}

/* One of another version, or damaged (it is stored without a sync): reading goes on without it. */
static void tell_unread(const struct source_partition *partition, const char *path,
                        const char *text) {
    struct sl_node *node = partition->node;
    sl_store *store = node->services->state_store(node->self);
    int64_t version = MARK_VERSION;
    sl_buffer where = SL_BUFFER_INIT;
    (void)sl_buffer_printf(&where, "%s/%s", store->ops->url(store), path);
    const char *name = sl_buffer_text(&where);
    (void)sl_parse_i64(text, strspn(text, "0123456789"), &version);
    sl_error *error = name == NULL ? sl_error_no_memory()
                      : version != MARK_VERSION
                          ? sl_error_format(name, version, MARK_VERSION, MARK_VERSION)
                          : sl_error_new(SL_ERROR_CORRUPT, "%s is damaged", name);
    node->services->log(node->self, SL_LOG_WARN,
                        "whether %s was deleted and made again is not checked: %s",
                        partition->topic, sl_error_message(error));
    sl_error_free(error);
    sl_buffer_free(&where);
}

static sl_error *get_mark(const struct source_partition *partition, struct source_mark *mark) {
    struct sl_node *node = partition->node;
    sl_store *store = node->services->state_store(node->self);
    sl_buffer path = SL_BUFFER_INIT;
    mark->offset = SL_OFFSET_NONE;
    if (store == NULL || !mark_path(partition, &path)) {
        return store == NULL ? NULL : sl_error_no_memory();
    }
    sl_store_bytes bytes;
    sl_error *error = store->ops->get(store, sl_buffer_text(&path), 0, MARK_BYTES - 1, &bytes);
    if (error == NULL) {
        char text[MARK_BYTES] = "";
        memcpy(text, bytes.data, bytes.bytes);
        struct source_mark got;
        int version;
        if (sscanf(text, "%d %" SCNd64 " %" SCNd64 " %" SCNu64, &version, &got.offset,
                   &got.timestamp_ms, &got.checksum) == 4 &&
            version == MARK_VERSION) {
            *mark = got;
        } else {
            tell_unread(partition, sl_buffer_text(&path), text);
        }
        bytes.release(&bytes);
    } else if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        error = NULL;
    }
    sl_buffer_free(&path);
    return error;
}

/* ---- comparing ---- */

/* One client outside of the group for all comparisons. */
static sl_error *get_client(struct sl_node *node, rd_kafka_t **out) {
    pthread_mutex_lock(&node->seen_mutex);
    sl_error *error = node->seen_client != NULL ? NULL : source_make_side(node, &node->seen_client);
    *out = node->seen_client;
    pthread_mutex_unlock(&node->seen_mutex);
    return error;
}

static sl_error *made_anew(const struct source_partition *partition, int64_t position,
                           const struct source_mark *mark) {
    sl_buffer path = SL_BUFFER_INIT;
    mark_path(partition, &path);
    const char *name = sl_buffer_text(&path);
    const sl_services *services = partition->node->services;
    sl_store *store = services->state_store(partition->node->self);
    sl_error *error = sl_error_new(
        SL_ERROR_FATAL,
        "%s partition %d is another one than before: what was read at offset %" PRId64 " is no "
        "longer there, so the topic was deleted and made again under its name. The position "
        "%" PRId64 " means nothing in it: give the pipeline a new name and its nodes new targets "
        "to read the new topic from its beginning; or delete %s/%s to go on at that position, and "
        "what lies before it is skipped",
        partition->topic, (int)partition->number, mark->offset, position, store->ops->url(store),
        name == NULL ? "" : name);
    sl_buffer_free(&path);
    return error;
}

static bool is_same(const rd_kafka_message_t *message, const struct source_mark *mark) {
    rd_kafka_timestamp_type_t type;
    int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
    return source_time_us(timestamp_ms) / 1000 == mark->timestamp_ms &&
           source_checksum(message->key, message->key_len, message->payload, message->len) ==
               mark->checksum;
}

static sl_error *compare(struct source_partition *partition, rd_kafka_t *client, int64_t position,
                         const struct source_mark *mark) {
    pthread_mutex_lock(&partition->compare_mutex);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, partition->topic, NULL);
    sl_error *error = NULL;
    if (topic == NULL || rd_kafka_consume_start(topic, partition->number, mark->offset) != 0) {
        error = kafka_error(rd_kafka_last_error(), "cannot look at %s partition %d",
                            partition->topic, (int)partition->number);
    }
    bool asked = error == NULL;
    int64_t end_us = sl_monotonic_us() + COMPARE_LIMIT_US;
    for (bool done = !asked; !done && error == NULL;) {
        rd_kafka_message_t *message = rd_kafka_consume(topic, partition->number, 1000);
        if (message == NULL) {
            error = sl_monotonic_us() < end_us
                        ? NULL
                        : sl_error_new(SL_ERROR_RETRIABLE, "%s partition %d cannot be looked at",
                                       partition->topic, (int)partition->number);
            continue;
        }
        done = true; /* an error of the partition will come up in reading, too */
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->offset == mark->offset &&
            !is_same(message, mark)) {
            error = made_anew(partition, position, mark);
        }
        rd_kafka_message_destroy(message);
    }
    if (asked) {
        rd_kafka_consume_stop(topic, partition->number);
    }
    if (topic != NULL) {
        rd_kafka_topic_destroy(topic);
    }
    pthread_mutex_unlock(&partition->compare_mutex);
    return error;
}

/* One of this process, if there is one: the state store's may be older, or not there yet. */
static sl_error *best_mark(struct source_partition *partition, struct source_mark *mark) {
    pthread_mutex_lock(&partition->node->seen_mutex);
    *mark = partition->looked;
    pthread_mutex_unlock(&partition->node->seen_mutex);
    if (mark->offset != SL_OFFSET_NONE) {
        return NULL;
    }
    sl_error *error = get_mark(partition, mark);
    if (error == NULL) {
        pthread_mutex_lock(&partition->node->seen_mutex);
        partition->looked = *mark;
        pthread_mutex_unlock(&partition->node->seen_mutex);
    }
    return error;
}

sl_error *source_check_seen(struct source_partition *partition, int64_t position, int64_t begin,
                            int64_t end) {
    struct source_mark mark;
    rd_kafka_t *client = NULL;
    sl_error *error = best_mark(partition, &mark);
    if (error != NULL || mark.offset == SL_OFFSET_NONE || mark.offset < begin ||
        position <= begin) {
        return error;
    }
    if (mark.offset >= end) {
        return made_anew(partition, position, &mark);
    }
    error = get_client(partition->node, &client);
    return error != NULL ? error : compare(partition, client, position, &mark);
}

/* ---- looking again, while it is read ---- */

/*
 * A topic that is made again and filled within moments is read on by librdkafka 2.0 as if nothing
 * had been. So every few seconds one partition of each topic is compared, at a record from before.
 */

struct look {
    struct sl_node *node;
    size_t n;
    struct source_partition *partitions[LOOKS_AT_ONCE];
    sl_error *error;
};

static sl_error *look_at(struct source_partition *partition) {
    struct sl_node *node = partition->node;
    pthread_mutex_lock(&node->seen_mutex);
    struct source_mark before = partition->looked;
    struct source_mark now = partition->seen;
    pthread_mutex_unlock(&node->seen_mutex);
    rd_kafka_t *client = NULL;
    sl_error *error = get_client(node, &client);
    error = error != NULL ? error : compare(partition, client, now.offset + 1, &before);
    bool other = sl_error_is(error, SL_ERROR_FATAL);
    if (error != NULL && !other) {
        sl_error_free(error); /* the next look will tell */
        return NULL;
    }
    pthread_mutex_lock(&node->seen_mutex);
    partition->other = other;
    partition->seen = other ? before : partition->seen;
    partition->looked = other ? before : now;
    pthread_mutex_unlock(&node->seen_mutex);
    return error;
}

static void look_run(void *arg) {
    struct look *look = arg;
    for (size_t i = 0; i < look->n && look->error == NULL; i++) {
        look->error = look_at(look->partitions[i]);
    }
}

static void look_done(void *arg) {
    struct look *look = arg;
    struct sl_node *node = look->node;
    node->looks = false;
    if (look->error != NULL) {
        node->services->fail(node->self, look->error);
    }
    free(look);
}

/* It was read since it was looked at. */
static bool has_news(struct source_partition *partition) {
    pthread_mutex_lock(&partition->node->seen_mutex);
    bool news = partition->seen.offset != partition->looked.offset;
    pthread_mutex_unlock(&partition->node->seen_mutex);
    return news && partition->owned && !partition->leaving;
}

static bool has_topic(const struct look *look, const char *topic) {
    for (size_t i = 0; i < look->n; i++) {
        if (strcmp(look->partitions[i]->topic, topic) == 0) {
            return true;
        }
    }
    return false;
}

void source_look_again(struct sl_node *node) {
    struct look *look = node->looks || node->section->embedded ? NULL : calloc(1, sizeof(*look));
    if (look == NULL) {
        return;
    }
    look->node = node;
    size_t from = node->look_from;
    for (size_t i = 0; i < node->n_partitions && look->n < LOOKS_AT_ONCE; i++) {
        struct source_partition *partition = node->partitions[(from + i) % node->n_partitions];
        if (has_news(partition) && !has_topic(look, partition->topic)) {
            look->partitions[look->n++] = partition;
            node->look_from = (from + i + 1) % node->n_partitions;
        }
    }
    sl_error *error =
        look->n == 0 ? NULL : node->services->work(node->self, look_run, look_done, look);
    node->looks = look->n > 0 && error == NULL;
    if (!node->looks) {
        sl_error_free(error);
        free(look);
    }
}
