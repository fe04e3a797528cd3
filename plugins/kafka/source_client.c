/*
 * Making the consumer and asking brokers for offsets: everything that waits for an answer, run on
 * pool threads.
 */
#include "embedded.h"
#include "rights.h"
#include "source.h"

#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A configuration with what every client of this node has; NULL with *error set. */
static rd_kafka_conf_t *new_conf(struct sl_node *node, sl_error **error) {
    rd_kafka_conf_t *conf = kafka_link_conf(&node->link, error);
    if (conf != NULL) {
        *error = kafka_conf_set_map(conf, &node->config->properties);
    }
    if (conf != NULL && *error != NULL) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    return conf;
}

/* ---- topics ---- */

static sl_error *add_topic(struct sl_node *node, const char *name, int64_t partitions) {
    struct source_topic *grown =
        realloc(node->topics, (node->n_topics + 1) * sizeof(*node->topics));
    char *copy = strdup(name);
    node->topics = grown != NULL ? grown : node->topics;
    if (grown == NULL || copy == NULL) {
        free(copy);
        return sl_error_no_memory();
    }
    node->topics[node->n_topics++] =
        (struct source_topic){.name = copy, .partitions = (int32_t)partitions};
    return NULL;
}

static void forget_topics(struct sl_node *node) {
    for (size_t i = 0; i < node->n_topics; i++) {
        free(node->topics[i].name);
    }
    node->n_topics = 0;
}

/* An expression that does not compile matches everything here: librdkafka says what is wrong. */
static bool matches(const char *pattern, const char *name) {
    regex_t compiled;
    sl_buffer anchored = SL_BUFFER_INIT;
    sl_buffer_printf(&anchored, "%s%s", pattern[0] == '^' ? "" : "^", pattern);
    const char *text = sl_buffer_text(&anchored);
    bool found = true;
    if (text != NULL && regcomp(&compiled, text, REG_EXTENDED | REG_NOSUB) == 0) {
        found = regexec(&compiled, name, 0, NULL, 0) == 0;
        regfree(&compiled);
    }
    sl_buffer_free(&anchored);
    return found;
}

bool source_wants(const struct sl_node *node, const char *name) {
    const sl_list *topics = &node->config->topics;
    for (size_t i = 0; i < topics->count; i++) {
        if (strcmp(topics->items[i], name) == 0) {
            return true;
        }
    }
    return node->config->topics_regex != NULL && matches(node->config->topics_regex, name);
}

static sl_error *take_topics(struct sl_node *node, const struct rd_kafka_metadata *metadata) {
    sl_error *error = NULL;
    for (int i = 0; i < metadata->topic_cnt && error == NULL; i++) {
        const rd_kafka_metadata_topic_t *topic = &metadata->topics[i];
        if (topic->err == RD_KAFKA_RESP_ERR_NO_ERROR && source_wants(node, topic->topic)) {
            error = add_topic(node, topic->topic, topic->partition_cnt);
        } else if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR && node->config->topics.count > 0) {
            const char *why = rd_kafka_err2str(topic->err);
            if (kafka_is_refused(topic->err)) {
                error = kafka_refused(&node->link, topic->err, "read the topic", topic->topic,
                                      "READ on it");
            } else if (node->until_end) {
                error = sl_error_new(SL_ERROR_CONFIG,
                                     "topic \"%s\" cannot be read from %s: %s; a run with "
                                     "--until-end needs every topic of \"topics\"",
                                     topic->topic, node->link.bootstrap, why);
            } else {
                node->services->log(node->self, SL_LOG_WARN,
                                    "topic \"%s\" cannot be read from %s yet: %s", topic->topic,
                                    node->link.bootstrap, why);
            }
        }
    }
    return error;
}

/* Asks for the topics with a client of its own, since the real one's memory depends on how many
 * partitions there are. */
static sl_error *look_topics_up(struct sl_node *node) {
    sl_error *error = NULL;
    rd_kafka_conf_t *conf = new_conf(node, &error);
    rd_kafka_t *scout = NULL;
    if (error == NULL) {
        rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR);
        error = kafka_link_client(&node->link, RD_KAFKA_CONSUMER, conf, &scout);
    }
    if (error != NULL) {
        return error;
    }
    const sl_list *names = &node->config->topics;
    rd_kafka_topic_t **topics = calloc(names->count + 1, sizeof(*topics));
    for (size_t i = 0; topics != NULL && i < names->count; i++) {
        topics[i] = rd_kafka_topic_new(scout, names->items[i], NULL);
    }
    const struct rd_kafka_metadata *metadata = NULL;
    error = kafka_link_ask(&node->link, scout, names->count == 0, NULL, SOURCE_QUERY_LIMIT_MS,
                           &metadata);
    if (error == NULL) {
        error = take_topics(node, metadata);
        rd_kafka_metadata_destroy(metadata);
    }
    for (size_t i = 0; topics != NULL && i < names->count; i++) {
        if (topics[i] != NULL) {
            rd_kafka_topic_destroy(topics[i]);
        }
    }
    free((void *)topics);
    rd_kafka_destroy_flags(scout, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return error;
}

struct embedded_visit {
    struct sl_node *node;
    sl_error *error;
};

static void visit_embedded(void *arg, const char *topic, int64_t partitions) {
    struct embedded_visit *visit = arg;
    if (visit->error == NULL && source_wants(visit->node, topic)) {
        visit->error = add_topic(visit->node, topic, partitions);
    }
}

static sl_error *start_embedded(struct sl_node *node) {
    sl_error *error = NULL;
    if (!node->has_broker) {
        error = embedded_acquire(&node->link.bootstrap);
        node->has_broker = error == NULL;
    }
    for (size_t i = 0; i < node->config->topics.count && error == NULL; i++) {
        error = embedded_topic(node->config->topics.items[i], node->section->embedded_partitions);
    }
    struct embedded_visit visit = {.node = node, .error = error};
    if (error == NULL) {
        embedded_visit(visit_embedded, &visit);
    }
    return visit.error;
}

/* ---- the client ---- */

/* The prefetch of one partition in KiB, so that all together keep to the option "memory". */
static int64_t prefetch_kib(const struct sl_node *node) {
    int64_t partitions = 0;
    for (size_t i = 0; i < node->n_topics; i++) {
        partitions += node->topics[i].partitions;
    }
    int64_t kib = node->config->memory_bytes / 1024 / (partitions == 0 ? 8 : partitions);
    return kib < 256 ? 256 : kib > 1048576 ? 1048576 : kib;
}

/* The same for the same topics with the same partitions, in any order (FNV-1a of each, summed). */
static uint32_t topics_hash(const struct sl_node *node) {
    uint64_t sum = 0;
    for (size_t i = 0; i < node->n_topics; i++) {
        uint64_t hash = UINT64_C(0xcbf29ce484222325);
        for (const char *c = node->topics[i].name; *c != '\0'; c++) {
            hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
        }
        sum += (hash ^ (uint32_t)node->topics[i].partitions) * UINT64_C(0x100000001b3);
    }
    return (uint32_t)(sum ^ sum >> 32);
}

/*
 * A static member that comes back within its session gets its old assignment, whatever it now
 * subscribes to: brokers rebalance only for another instance id (KIP-345). So the default one
 * changes with the topics and their partitions; the group waits once for the old member's session.
 */
static sl_error *set_identity(struct sl_node *node, rd_kafka_conf_t *conf) {
    sl_buffer text = SL_BUFFER_INIT;
    char host[256] = "host";
    gethostname(host, sizeof(host) - 1);
    if (node->config->group != NULL) {
        sl_buffer_append_text(&text, node->config->group);
    } else {
        sl_buffer_printf(&text, "sluice-%s-%s", node->pipeline, node->name);
    }
    const char *value = sl_buffer_text(&text);
    free(node->group);
    node->group = value == NULL ? NULL : strdup(value);
    sl_error *error =
        node->group == NULL ? sl_error_no_memory() : kafka_conf_set(conf, "group.id", node->group);
    sl_buffer_clear(&text);
    const char *instance = node->config->instance;
    if (instance == NULL) {
        sl_buffer_printf(&text, "%s-%s-%s-%08" PRIx32, host, node->pipeline, node->name,
                         topics_hash(node));
        instance = sl_buffer_text(&text);
    }
    if (error == NULL && instance == NULL) {
        error = sl_error_no_memory();
    }
    if (error == NULL && instance[0] != '\0' && !node->section->embedded) {
        error = kafka_conf_set(conf, "group.instance.id", instance);
    }
    sl_buffer_free(&text);
    return error;
}

static bool is_passed_through(const struct sl_node *node, const char *name) {
    const sl_map *maps[] = {&node->section->properties, &node->config->properties};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(maps); i++) {
        for (size_t j = 0; j < maps[i]->count; j++) {
            if (strcmp(maps[i]->pairs[j].key, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static sl_error *set_consumer(struct sl_node *node, rd_kafka_conf_t *conf) {
    char prefetch[24];
    char fetch[24];
    int64_t kib = prefetch_kib(node);
    snprintf(prefetch, sizeof(prefetch), "%lld", (long long)kib);
    snprintf(fetch, sizeof(fetch), "%lld", (long long)(kib < 1024 ? kib : 1024) * 1024);
    const struct {
        const char *name;
        const char *value;
        bool replaceable; /* by what the operator passes through */
    } values[] = {
        {"enable.auto.commit", "false", false},
        {"enable.auto.offset.store", "false", false},
        {"auto.offset.reset", "error", false},
        {"enable.partition.eof", "true", false},
        {"partition.assignment.strategy", "cooperative-sticky", false},
        {"isolation.level",
         node->config->isolation == ISOLATION_READ_COMMITTED ? "read_committed"
                                                             : "read_uncommitted",
         false},
        {"queued.max.messages.kbytes", prefetch, true},
        {"fetch.message.max.bytes", fetch, true},
        /* The mock cluster answers an empty fetch only when its wait is over. */
        {"fetch.wait.max.ms", node->section->embedded ? "10" : "100", true},
    };
    sl_error *error = NULL;
    for (size_t i = 0; i < SL_ARRAY_LENGTH(values) && error == NULL; i++) {
        if (!values[i].replaceable || !is_passed_through(node, values[i].name)) {
            error = kafka_conf_set(conf, values[i].name, values[i].value);
        }
    }
    return error;
}

sl_error *source_make_side(struct sl_node *node, rd_kafka_t **out) {
    sl_error *error = NULL;
    rd_kafka_conf_t *conf = new_conf(node, &error);
    if (error != NULL) {
        return error;
    }
    error = set_consumer(node, conf);
    if (error != NULL) {
        rd_kafka_conf_destroy(conf);
        return error;
    }
    return kafka_link_client(&node->link, RD_KAFKA_CONSUMER, conf, out);
}

sl_error *source_connect(struct sl_node *node) {
    forget_topics(node);
    sl_error *error = node->section->embedded ? start_embedded(node) : look_topics_up(node);
    rd_kafka_conf_t *conf = error == NULL ? new_conf(node, &error) : NULL;
    if (error != NULL) {
        return error;
    }
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR |
                                       RD_KAFKA_EVENT_OFFSET_COMMIT);
    error = set_consumer(node, conf);
    error = error != NULL ? error : set_identity(node, conf);
    if (error != NULL) {
        rd_kafka_conf_destroy(conf);
        return error;
    }
    char kib[24] = "0";
    size_t bytes = sizeof(kib);
    rd_kafka_conf_get(conf, "queued.max.messages.kbytes", kib, &bytes);
    node->prefetch_bytes = strtoll(kib, NULL, 10) * 1024;
    error = kafka_link_client(&node->link, RD_KAFKA_CONSUMER, conf, &node->client);
    if (error == NULL) {
        rd_kafka_poll_set_consumer(node->client);
    }
    return error;
}

/* ---- offsets ---- */

sl_error *source_watermarks(struct sl_node *node, const char *topic, int32_t number, int64_t *low,
                            int64_t *high) {
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(node->client, topic, number, low,
                                                                high, SOURCE_QUERY_LIMIT_MS);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? NULL
               : kafka_error(code, "cannot ask %s for the offsets of %s partition %d",
                             node->link.bootstrap, topic, (int)number);
}

sl_error *source_find_end(struct sl_node *node, const char *topic, int32_t number, int64_t *out) {
    int64_t low = 0;
    return source_watermarks(node, topic, number, &low, out);
}

static sl_error *find_timestamp(struct sl_node *node, const char *topic, int32_t number,
                                int64_t *out) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *asked = rd_kafka_topic_partition_list_add(list, topic, number);
    asked->offset = node->start_timestamp_ms;
    rd_kafka_resp_err_t code =
        rd_kafka_offsets_for_times(node->client, list, SOURCE_QUERY_LIMIT_MS);
    code = code != RD_KAFKA_RESP_ERR_NO_ERROR ? code : asked->err;
    int64_t offset = asked->offset;
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_error(code, "cannot ask %s for the offset of a timestamp in %s partition %d",
                           node->link.bootstrap, topic, (int)number);
    }
    *out = offset;
    /* No record is as young: begin at the end. */
    return offset >= 0 ? NULL : source_find_end(node, topic, number, out);
}

static bool existed_at_start(const struct sl_node *node, const char *topic, int32_t number) {
    for (size_t i = 0; i < node->n_topics; i++) {
        if (strcmp(node->topics[i].name, topic) == 0) {
            return number < node->topics[i].partitions;
        }
    }
    return false;
}

sl_error *source_find_start(struct sl_node *node, const char *topic, int32_t number, int64_t *out) {
    int64_t low = 0;
    int64_t high = 0;
    if (node->config->start == START_TIMESTAMP && existed_at_start(node, topic, number)) {
        return find_timestamp(node, topic, number, out);
    }
    sl_error *error = source_watermarks(node, topic, number, &low, &high);
    if (error == NULL) {
        bool latest = node->config->start == START_LATEST && existed_at_start(node, topic, number);
        *out = latest ? high : low;
    }
    return error;
}

/* ---- positions ---- */

sl_error *source_out_of_range(const struct source_partition *partition, int64_t position,
                              int64_t begin, int64_t end) {
    char range[96] = "";
    if (begin >= 0 && end >= 0) {
        snprintf(range, sizeof(range), " (it has offsets %lld to %lld)", (long long)begin,
                 (long long)end);
    }
    return sl_error_new(SL_ERROR_FATAL,
                        "%s partition %d: the position %lld is not on the broker%s; records may "
                        "have been deleted before they were read, or the topic was made anew. "
                        "Nothing is skipped silently: raise the topic's retention, or give the "
                        "pipeline a new name to start again",
                        partition->topic, (int)partition->number, (long long)position, range);
}

sl_error *source_check_position(struct source_partition *partition, int64_t position) {
    struct sl_node *node = partition->node;
    int64_t begin = 0;
    int64_t end = 0;
    if (node->section->embedded) {
        return NULL;
    }
    sl_error *error = source_watermarks(node, partition->topic, partition->number, &begin, &end);
    if (error == NULL && position < begin) {
        error = source_out_of_range(partition, position, begin, end);
    }
    return error != NULL ? error : source_check_seen(partition, position, begin, end);
}
