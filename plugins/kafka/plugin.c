/*
 * kafka: topics as sources and sinks, through librdkafka. This file is the descriptor and the
 * option tables.
 */
#include "kafka.h"
#include "properties.h"

const char *const kafka_partitioners[] = {"murmur2_random", "murmur2", "consistent_random",
                                          "consistent",     "random",  NULL};
const char *const kafka_compressions[] = {"zstd", "lz4", "snappy", "gzip", "none", NULL};
static const char *const STARTS[] = {"earliest", "latest", "timestamp", NULL};
static const char *const ISOLATIONS[] = {"read_committed", "read_uncommitted", NULL};

#define SECTION(member) .offset = offsetof(struct kafka_section, member)
#define SOURCE(member) .offset = offsetof(struct kafka_source_config, member)
#define SINK(member) .offset = offsetof(struct kafka_sink_config, member)
#define RANGE(low, high) .flags = SL_OPTION_RANGE, .min = (low), .max = (high)

static const sl_option SECTION_OPTIONS[] = {
    {.name = "bootstrap.servers",
     .type = SL_OPTION_STRING,
     SECTION(bootstrap),
     .doc = "brokers to begin with, \"host:port,host:port\""},
    {.name = "embedded",
     .type = SL_OPTION_BOOL,
     SECTION(embedded),
     .default_text = "false",
     .doc = "start a broker inside this process, for trials: its topics end with the process"},
    {.name = "embedded.partitions",
     .type = SL_OPTION_INTEGER,
     SECTION(embedded_partitions),
     .default_text = "8",
     RANGE(1, 1000),
     .doc = "partitions of each topic of the embedded broker"},
    {.name = "sasl.password",
     .type = SL_OPTION_SECRET,
     SECTION(sasl_password),
     .doc = "password for SASL PLAIN and SCRAM"},
    {.name = "ssl.key.password",
     .type = SL_OPTION_SECRET,
     SECTION(ssl_key_password),
     .doc = "pass phrase of the client's private key"},
    {.name = "ssl.key.pem",
     .type = SL_OPTION_SECRET,
     SECTION(ssl_key_pem),
     .doc = "the client's private key as PEM text"},
    {.name = "ssl.keystore.password",
     .type = SL_OPTION_SECRET,
     SECTION(ssl_keystore_password),
     .doc = "password of the client's PKCS#12 key store"},
    {.name = "sasl.oauthbearer.config",
     .type = SL_OPTION_SECRET,
     SECTION(sasl_oauthbearer_config),
     .doc = "SASL OAUTHBEARER settings"},
    {.name = "properties",
     .type = SL_OPTION_MAP,
     SECTION(properties),
     .flags = SL_OPTION_REST,
     .check = kafka_check_property,
     .doc = "any other property of librdkafka, for all kafka nodes"},
    {.name = NULL},
};

static const sl_option SOURCE_OPTIONS[] = {
    {.name = "topics", .type = SL_OPTION_LIST, SOURCE(topics), .doc = "topics to read"},
    {.name = "topics_regex",
     .type = SL_OPTION_STRING,
     SOURCE(topics_regex),
     .doc = "instead of topics: a POSIX extended regular expression, matched from the beginning of "
            "the name"},
    {.name = "group",
     .type = SL_OPTION_STRING,
     SOURCE(group),
     .doc = "consumer group; sluice-PIPELINE-NODE unless given"},
    {.name = "group.instance.id",
     .type = SL_OPTION_STRING,
     SOURCE(instance),
     .doc = "static membership, so that a restart keeps its partitions; "
            "HOST-PIPELINE-NODE-HASH OF THE TOPICS unless given, \"\" turns it off"},
    {.name = "start",
     .type = SL_OPTION_ENUM,
     SOURCE(start),
     .default_text = "earliest",
     .enum_names = STARTS,
     .doc = "where to begin in a partition of which nobody has a position yet; topics and "
            "partitions that appear later begin at earliest"},
    {.name = "start_timestamp",
     .type = SL_OPTION_STRING,
     SOURCE(start_timestamp),
     .doc = "with start \"timestamp\": RFC 3339, or milliseconds of Unix time"},
    {.name = "isolation",
     .type = SL_OPTION_ENUM,
     SOURCE(isolation),
     .default_text = "read_committed",
     .enum_names = ISOLATIONS,
     .doc = "whether records of open and aborted transactions are left out"},
    {.name = "memory",
     .type = SL_OPTION_SIZE,
     SOURCE(memory_bytes),
     .default_text = "16MiB",
     RANGE(1048576, 1e12),
     .doc = "records read ahead, over all partitions; more where one fetch is larger"},
    {.name = "properties",
     .type = SL_OPTION_MAP,
     SOURCE(properties),
     .flags = SL_OPTION_REST,
     .check = kafka_check_property,
     .doc = "any other consumer property of librdkafka, for this node"},
    {.name = NULL},
};

static const sl_option SINK_OPTIONS[] = {
    {.name = "topic", .type = SL_OPTION_STRING, SINK(topic), .doc = "topic to write to"},
    {.name = "topic_column",
     .type = SL_OPTION_STRING,
     SINK(topic_column),
     .doc = "instead of topic: path of the text column that names each row's topic"},
    {.name = "key",
     .type = SL_OPTION_STRING,
     SINK(key),
     .doc = "path of the column that becomes the record's key; raw records keep their own"},
    {.name = "partitioner",
     .type = SL_OPTION_ENUM,
     SINK(partitioner),
     .default_text = "murmur2_random",
     .enum_names = kafka_partitioners,
     .doc = "how keys choose partitions; murmur2_random does as the Java client"},
    {.name = "compression",
     .type = SL_OPTION_ENUM,
     SINK(compression),
     .default_text = "lz4",
     .enum_names = kafka_compressions,
     .doc = "codec of record batches"},
    {.name = "memory",
     .type = SL_OPTION_SIZE,
     SINK(memory_bytes),
     .default_text = "64MiB",
     RANGE(1048576, 1e12),
     .doc = "records that wait for their acknowledgement"},
    {.name = "linger",
     .type = SL_OPTION_DURATION,
     SINK(linger_us),
     .default_text = "20ms",
     RANGE(0, 9e8),
     .doc = "how long a record may wait for others of its batch"},
    {.name = "properties",
     .type = SL_OPTION_MAP,
     SINK(properties),
     .flags = SL_OPTION_REST,
     .check = kafka_check_property,
     .doc = "any other producer property of librdkafka, for this node"},
    {.name = NULL},
};

static const sl_role SOURCE_ROLE = {
    .struct_bytes = sizeof(sl_role),
    .guarantee = SL_EXACTLY_ONCE,
    .option_bytes = sizeof(sl_option),
    .options = SOURCE_OPTIONS,
    .config_bytes = sizeof(struct kafka_source_config),
    .node = &kafka_source_node_ops,
    .task = &kafka_source_task_ops,
};

static const sl_role SINK_ROLE = {
    .struct_bytes = sizeof(sl_role),
    .guarantee = SL_AT_LEAST_ONCE,
    .option_bytes = sizeof(sl_option),
    .options = SINK_OPTIONS,
    .config_bytes = sizeof(struct kafka_sink_config),
    .min_inputs = 1,
    .max_inputs = 64,
    .node = &kafka_sink_node_ops,
    .task = &kafka_sink_task_ops,
};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,
    .name = "kafka",
    .version = SL_VERSION,
    .summary = "Kafka topics as sources and sinks",
    .licence = "MIT",
    .source = &SOURCE_ROLE,
    .sink = &SINK_ROLE,
    .section = "kafka",
    .section_options = SECTION_OPTIONS,
    .section_bytes = sizeof(struct kafka_section),
};
