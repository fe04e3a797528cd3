/*
 * librdkafka's properties: checking those that an operator passes through, and making the
 * configuration of a client.
 */
#ifndef KAFKA_PROPERTIES_H
#define KAFKA_PROPERTIES_H

#include "kafka.h"

#include <librdkafka/rdkafka.h>

#include "base/base.h"

/* The `check` of the option maps (sl_option.check). */
const char *kafka_check_property(const char *key, const char *value, const char **nearest);

/* Sets one property; the error (CONFIG) names it. */
sl_error *kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value);
sl_error *kafka_conf_set_number(rd_kafka_conf_t *conf, const char *name, int64_t value);
sl_error *kafka_conf_set_map(rd_kafka_conf_t *conf, const sl_map *map);

/* What every client has: brokers, secrets, the section's properties, the log. `bootstrap` NULL:
 * the section's. */
sl_error *kafka_conf_common(rd_kafka_conf_t *conf, const struct kafka_section *section,
                            const char *bootstrap);

/* A property of librdkafka as the section has it; NULL: not there. */
const char *kafka_section_property(const struct kafka_section *section, const char *name);

/* RETRIABLE, or FATAL for what time does not heal. */
sl_error_class kafka_error_class(rd_kafka_resp_err_t code);
/* An error for a librdkafka code: RETRIABLE, or FATAL for what time does not heal. */
sl_error *kafka_error(rd_kafka_resp_err_t code, const char *format, ...) SL_PRINTF(2, 3);

/* *out is the cluster of a node: its own, or the topology's section (each may be NULL). Refuses one
 * that names no broker, or whose log-in cannot work (CONFIG). */
sl_error *kafka_choose_section(const struct kafka_section *shared, const struct kafka_section *own,
                               const struct kafka_section **out);

#endif /* KAFKA_PROPERTIES_H */
