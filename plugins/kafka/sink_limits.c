/*
 * Limits of topics and the rows that break them. Rows are not made into records for that: a bound
 * on the largest of the batch settles it, but for batches with rows that may really be too large.
 */
#include "sink_limits.h"

#include <stdio.h>
#include <stdlib.h>

#include "columns/columns.h"
#include "columns/rejects.h"

#define DESCRIBE_LIMIT_MS 5000
#define TOPIC_NAME_MAX 249 /* org.apache.kafka.common.internals.Topic.MAX_NAME_LENGTH */
/* Record batches of message format 2 begin with so much; a record has at most so much beyond its
 * key, value and headers, and a header beyond its name and value (librdkafka counts alike). */
#define BATCH_OVERHEAD 61
#define RECORD_OVERHEAD 36
#define HEADER_OVERHEAD 10
/* Names of dead letters' headers, and what is in them beside columns of the batch. */
#define OTHER_BYTES 4096
#define MESSAGE_BYTES_MIN 1000 /* librdkafka's least message.max.bytes */

/* ---- what the topic takes ---- */

static bool is_set(const sl_map *map, const char *name) {
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->pairs[i].key, name) == 0) {
            return true;
        }
    }
    return false;
}

static int64_t producer_limit(const struct sl_node *node) {
    char text[32] = "";
    size_t bytes = sizeof(text);
    int64_t limit = 0;
    rd_kafka_conf_get(rd_kafka_conf(node->producer), "message.max.bytes", text, &bytes);
    return sl_parse_i64(text, strlen(text), &limit) ? limit : INT64_MAX;
}

struct topic_limits {
    int64_t batch_bytes; /* max.message.bytes */
    bool compacted;
};

static void read_entries(const rd_kafka_ConfigResource_t *resource, struct topic_limits *limits) {
    size_t n = 0;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &n);
    for (size_t i = 0; i < n; i++) {
        const char *name = rd_kafka_ConfigEntry_name(entries[i]);
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (value != NULL && strcmp(name, "max.message.bytes") == 0) {
            (void)sl_parse_i64(value, strlen(value), &limits->batch_bytes);
        } else if (value != NULL && strcmp(name, "cleanup.policy") == 0) {
            limits->compacted = strstr(value, "compact") != NULL;
        }
    }
}

static const char *read_answer(rd_kafka_event_t *event, struct topic_limits *limits) {
    if (event == NULL) {
        return "no answer";
    }
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return rd_kafka_err2str(rd_kafka_event_error(event));
    }
    size_t n = 0;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &n);
    if (n != 1 || rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return n != 1 ? "no answer" : rd_kafka_err2str(rd_kafka_ConfigResource_error(resources[0]));
    }
    read_entries(resources[0], limits);
    return NULL;
}

static void describe_topic(const struct sl_node *node, struct topic_limits *limits) {
    char why[200] = "";
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, node->config->topic);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(node->producer, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(node->producer);
    rd_kafka_AdminOptions_set_request_timeout(options, DESCRIBE_LIMIT_MS, why, sizeof(why));
    rd_kafka_DescribeConfigs(node->producer, &resource, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 2 * DESCRIBE_LIMIT_MS);
    const char *unknown = read_answer(event, limits);
    if (unknown != NULL) {
        node->services->log(node->self, SL_LOG_DEBUG,
                            "what topic \"%s\" takes is not known, so a record that it refuses "
                            "stops the node: %s",
                            node->config->topic, unknown);
    }
    if (event != NULL) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(resource);
}

bool sink_limits_learn(struct sl_node *node) {
    struct topic_limits limits = {.batch_bytes = INT64_MAX};
    if (node->config->topic != NULL && !node->section->embedded) {
        describe_topic(node, &limits);
    }
    bool said = is_set(&node->config->properties, "message.max.bytes") ||
                is_set(&node->section->properties, "message.max.bytes");
    int64_t most = producer_limit(node);
    bool smaller = !said && limits.batch_bytes < most && most > MESSAGE_BYTES_MIN;
    if (smaller) {
        node->batch_bytes_max =
            limits.batch_bytes < MESSAGE_BYTES_MIN ? MESSAGE_BYTES_MIN : limits.batch_bytes;
    }
    bool bound = !said && limits.batch_bytes - BATCH_OVERHEAD < most;
    atomic_store(&node->record_bytes_max, bound ? limits.batch_bytes - BATCH_OVERHEAD : most);
    atomic_store(&node->needs_key, limits.compacted);
    return smaller;
}

/* ---- rows ---- */

struct fault {
    const char *reason;
    char path[160];
    char detail[200];
};

static bool is_topic_name(const char *name, size_t bytes) {
    bool good = bytes > 0 && bytes <= TOPIC_NAME_MAX && !(bytes == 1 && name[0] == '.') &&
                !(bytes == 2 && name[0] == '.' && name[1] == '.');
    for (size_t i = 0; i < bytes && good; i++) {
        char c = name[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-';
    }
    return good;
}

static bool check_topic_name(const struct sink_writer *writer, const sl_batch *batch,
                             uint32_t input, int64_t row, struct fault *fault) {
    struct sink_bytes name = sink_record_topic(writer, batch, input, row);
    if (is_topic_name(name.data, name.bytes)) {
        return true;
    }
    int shown = (int)(name.bytes < 60 ? name.bytes : 60);
    fault->reason = "topic";
    (void)snprintf(fault->path, sizeof(fault->path), "$.%.150s",
                   writer->node->config->topic_column);
    (void)snprintf(fault->detail, sizeof(fault->detail),
                   "found %s%.*s%s, allowed is a topic's name: 1 to %d of a-z A-Z 0-9 . _ -",
                   name.data == NULL ? "null" : "\"", name.data == NULL ? 0 : shown,
                   name.data == NULL ? "" : (const char *)name.data, name.data == NULL ? "" : "\"",
                   TOPIC_NAME_MAX);
    return false;
}

static int64_t headers_bytes(const rd_kafka_headers_t *headers) {
    int64_t sum = 0;
    const char *name = NULL;
    const void *value = NULL;
    size_t bytes = 0;
    for (size_t i = 0;
         headers != NULL && rd_kafka_header_get_all(headers, i, &name, &value, &bytes) == 0; i++) {
        sum += (int64_t)(strlen(name) + bytes) + HEADER_OVERHEAD;
    }
    return sum;
}

static sl_error *check_size(struct sink_writer *writer, const sl_batch *batch, uint32_t input,
                            int64_t row, struct fault *fault) {
    struct sink_record record;
    sl_error *error = sink_record_fill(writer, batch, input, row, &record);
    if (error != NULL) {
        return error;
    }
    int64_t limit = atomic_load(&writer->node->record_bytes_max);
    int64_t bytes = (int64_t)(record.key.bytes + record.value.bytes) + RECORD_OVERHEAD +
                    headers_bytes(record.headers);
    if (record.headers != NULL) {
        rd_kafka_headers_destroy(record.headers);
    }
    if (bytes > limit) {
        fault->reason = "too_large";
        (void)snprintf(fault->path, sizeof(fault->path), "$");
        (void)snprintf(fault->detail, sizeof(fault->detail),
                       "found a record of %lld bytes, allowed are %lld (\"message.max.bytes\" "
                       "here, \"max.message.bytes\" of the topic)",
                       (long long)bytes, (long long)limit);
    }
    return NULL;
}

static void check_key(const struct sink_writer *writer, const sl_batch *batch, uint32_t input,
                      int64_t row, struct fault *fault) {
    if (!sink_record_has_key(writer, batch, input, row)) {
        fault->reason = "key";
        (void)snprintf(fault->path, sizeof(fault->path), "$%s%.150s",
                       writer->node->config->key == NULL ? "" : ".",
                       writer->node->config->key == NULL ? "" : writer->node->config->key);
        (void)snprintf(fault->detail, sizeof(fault->detail),
                       "found no key, which topic \"%.100s\" needs, since it is compacted",
                       writer->node->config->topic);
    }
}

/* What has to be looked at in each row. */
struct checks {
    bool topic;
    bool key;
    bool size;
};

static sl_error *check_row(struct sink_writer *writer, const struct checks *checks,
                           const sl_batch *batch, uint32_t input, int64_t row,
                           struct fault *fault) {
    fault->reason = NULL;
    if (checks->topic && !check_topic_name(writer, batch, input, row, fault)) {
        return NULL;
    }
    if (checks->key) {
        check_key(writer, batch, input, row, fault);
    }
    return checks->size && fault->reason == NULL ? check_size(writer, batch, input, row, fault)
                                                 : NULL;
}

/* Key and value of a row, or value and headers of a dead letter, which repeat some columns, are no
 * longer than twice the row. */
static bool may_be_too_large(const struct sl_node *node, const sl_batch *batch) {
    int64_t limit = atomic_load(&node->record_bytes_max);
    size_t bound = 2 * sl_array_json_bound(batch->schema, batch->columns) + OTHER_BYTES;
    return limit < 0 || bound > (uint64_t)limit;
}

static sl_error *mark(struct sink_writer *writer, sl_object *task, const sl_batch *batch,
                      int64_t row, const struct fault *fault, sink_faults **faults) {
    const sl_reject why = sl_reject_of(fault->reason, fault->path, fault->detail);
    if (*faults == NULL) {
        *faults = calloc((size_t)batch->rows / 8 + 1, 1);
    }
    if (*faults == NULL) {
        return sl_error_no_memory();
    }
    (*faults)[row >> 3] |= (uint8_t)(1u << (row & 7));
    return writer->node->services->reject(task, batch, row, &why);
}

sl_error *sink_find_faults(struct sink_writer *writer, sl_object *task, uint32_t input,
                           const sl_batch *batch, sink_faults **faults) {
    const struct sl_node *node = writer->node;
    const struct checks checks = {.topic = node->config->topic_column != NULL,
                                  .key = atomic_load(&node->needs_key),
                                  .size = may_be_too_large(node, batch)};
    bool any = checks.topic || checks.key || checks.size;
    sl_error *error = NULL;
    *faults = NULL;
    for (int64_t row = 0; row < batch->rows && any && error == NULL; row++) {
        struct fault fault;
        error = check_row(writer, &checks, batch, input, row, &fault);
        if (error == NULL && fault.reason != NULL) {
            error = mark(writer, task, batch, row, &fault, faults);
        }
    }
    if (error != NULL) {
        free(*faults);
        *faults = NULL;
    }
    return error;
}
