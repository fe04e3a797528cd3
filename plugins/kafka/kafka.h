/*
 * What the parts of the kafka plugin share: the config structs and the operation tables.
 */
#ifndef KAFKA_H
#define KAFKA_H

#include "sluice/plugin.h"

/* The topology's section "kafka", or "cluster" of a node. */
struct kafka_section {
    const char *bootstrap;
    int32_t embedded;
    int64_t embedded_partitions;
    const char *sasl_password;
    const char *ssl_key_password;
    const char *ssl_key_pem;
    const char *ssl_keystore_password;
    const char *sasl_oauthbearer_config;
    const char *token_file;
    sl_map properties;
};

enum kafka_start { START_EARLIEST, START_LATEST, START_TIMESTAMP };
enum kafka_isolation { ISOLATION_READ_COMMITTED, ISOLATION_READ_UNCOMMITTED };

struct kafka_source_config {
    const struct kafka_section *cluster; /* instead of the topology's; NULL */
    sl_list topics;
    const char *topics_regex;
    const char *group;
    const char *instance; /* "": a dynamic member */
    int32_t start;        /* enum kafka_start */
    const char *start_timestamp;
    int32_t isolation; /* enum kafka_isolation */
    int64_t memory_bytes;
    sl_map properties;
};

enum kafka_delivery { DELIVERY_AT_LEAST_ONCE, DELIVERY_EXACTLY_ONCE };

struct kafka_sink_config {
    const struct kafka_section *cluster; /* instead of the topology's; NULL */
    const char *topic;
    const char *topic_column;
    int64_t max_topics;
    const char *key;
    int32_t partitioner;
    int32_t compression;
    int64_t memory_bytes;
    int64_t linger_us;
    int32_t delivery; /* enum kafka_delivery */
    const char *transactional_id;
    const char *positions_topic;
    sl_map properties;
};
extern const char *const kafka_partitioners[];
extern const char *const kafka_compressions[];

extern const sl_node_ops kafka_source_node_ops;
extern const sl_task_ops kafka_source_task_ops;
extern const sl_node_ops kafka_sink_node_ops;
extern const sl_task_ops kafka_sink_task_ops;

#endif /* KAFKA_H */
