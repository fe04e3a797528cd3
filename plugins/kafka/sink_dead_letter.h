/*
 * Dead letters: rejected records (sluice/batch.h) as the sink writes them: the original key, value,
 * timestamp and headers, and behind these the headers in which Kafka Connect's dead letter queue
 * says what happened.
 */
#ifndef KAFKA_SINK_DEAD_LETTER_H
#define KAFKA_SINK_DEAD_LETTER_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "sluice/batch.h"

#define DEAD_LETTER_HEADERS 10

/* Adds `__connect.errors.*` of a row of rejected records. `input` is the name of the sink's input
 * ("silver.rejects"): its node is the connector. False when librdkafka takes no more. */
bool dead_letter_headers(rd_kafka_headers_t *headers, const char *input, const sl_batch *batch,
                         int64_t row);

#endif /* KAFKA_SINK_DEAD_LETTER_H */
