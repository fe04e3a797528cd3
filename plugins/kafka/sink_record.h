/*
 * From a row to a record of Kafka: its topic, key, value, timestamp and headers.
 */
#ifndef KAFKA_SINK_RECORD_H
#define KAFKA_SINK_RECORD_H

#include "sink.h"

struct sink_bytes {
    const void *data; /* NULL: null */
    size_t bytes;
};

struct sink_record {
    struct sink_bytes key;
    struct sink_bytes value;
    int64_t timestamp_ms; /* 0: now */
    rd_kafka_headers_t *headers;
};

/* What one thread makes records with; zero-initialise but for `node`. */
struct sink_writer {
    struct sl_node *node;
    struct sink_topic *topic; /* of the last record */
    sl_buffer key;
    sl_buffer value;
};
void sink_writer_free(struct sink_writer *writer);

/* The name of the topic where a row goes, as it stands there; null when there is none. */
struct sink_bytes sink_record_topic(const struct sink_writer *writer, const sl_batch *batch,
                                    uint32_t input, int64_t row);
/* Whether the row's record has a key. */
bool sink_record_has_key(const struct sink_writer *writer, const sl_batch *batch, uint32_t input,
                         int64_t row);
/* The record of a row, wherever it goes. Keys and values point into the batch or the writer until
 * the next record; headers belong to the caller until they are produced. */
sl_error *sink_record_fill(struct sink_writer *writer, const sl_batch *batch, uint32_t input,
                           int64_t row, struct sink_record *record);
/* The same and, in writer->topic, where it goes. The row is not at fault (sink_limits.h). */
sl_error *sink_record_make(struct sink_writer *writer, const sl_batch *batch, uint32_t input,
                           int64_t row, struct sink_record *record);

/* Hands the record to the producer, which copies it; takes the headers in any case but QUEUE_FULL,
 * where they are freed, since the record is made again. */
rd_kafka_resp_err_t sink_record_produce(struct sink_writer *writer, struct sink_record *record,
                                        void *opaque);

/* Why the producer did not take a record (FATAL). */
sl_error *sink_record_refused(const struct sink_writer *writer, const sl_batch *batch, int64_t row,
                              const struct sink_record *record, rd_kafka_resp_err_t code);

#endif /* KAFKA_SINK_RECORD_H */
