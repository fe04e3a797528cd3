/* The steps of a kafka sink's transactions, as points: interposes the calls by which the kafka
 * plugin begins, fills and ends them. Kafka makes them durable, no file does, so a power cut takes
 * nothing of them away. */
#include "preload.h"

#include <dlfcn.h>
#include <librdkafka/rdkafka.h>
#include <unistd.h>

#define INTERPOSED __attribute__((visibility("default")))

void *librdkafka_function(const char *name) {
    void *library = dlopen("librdkafka.so.1", RTLD_LAZY | RTLD_NOLOAD);
    void *function = library == NULL ? NULL : dlsym(library, name);
    if (function == NULL) {
        _exit(98);
    }
    return function;
}

/* Runs `call`, which uses `real`, as a point, and returns what it returns. */
#define AT_POINT(which, type, parameters, call)                                                    \
    static type(*real) parameters;                                                                 \
    if (real == NULL) { /* threads may both look it up, and find the same */                       \
        *(void **)&real = librdkafka_function("rd_kafka_" #which);                                 \
    }                                                                                              \
    pass(CALL_##which, KIND_KAFKA, BEFORE);                                                        \
    type result = (call);                                                                          \
    pass(CALL_##which, KIND_KAFKA, AFTER);                                                         \
    return result

INTERPOSED rd_kafka_error_t *rd_kafka_init_transactions(rd_kafka_t *client, int limit_ms) {
    AT_POINT(init_transactions, rd_kafka_error_t *, (rd_kafka_t *, int), real(client, limit_ms));
}

INTERPOSED rd_kafka_error_t *rd_kafka_begin_transaction(rd_kafka_t *client) {
    AT_POINT(begin_transaction, rd_kafka_error_t *, (rd_kafka_t *), real(client));
}

INTERPOSED rd_kafka_error_t *rd_kafka_produceva(rd_kafka_t *client, const rd_kafka_vu_t *parts,
                                                size_t n) {
    AT_POINT(produceva, rd_kafka_error_t *, (rd_kafka_t *, const rd_kafka_vu_t *, size_t),
             real(client, parts, n));
}

INTERPOSED rd_kafka_error_t *rd_kafka_send_offsets_to_transaction(
    rd_kafka_t *client, const rd_kafka_topic_partition_list_t *offsets,
    const rd_kafka_consumer_group_metadata_t *group, int limit_ms) {
    AT_POINT(send_offsets_to_transaction, rd_kafka_error_t *,
             (rd_kafka_t *, const rd_kafka_topic_partition_list_t *,
              const rd_kafka_consumer_group_metadata_t *, int),
             real(client, offsets, group, limit_ms));
}

INTERPOSED rd_kafka_error_t *rd_kafka_commit_transaction(rd_kafka_t *client, int limit_ms) {
    AT_POINT(commit_transaction, rd_kafka_error_t *, (rd_kafka_t *, int), real(client, limit_ms));
}

INTERPOSED rd_kafka_error_t *rd_kafka_abort_transaction(rd_kafka_t *client, int limit_ms) {
    AT_POINT(abort_transaction, rd_kafka_error_t *, (rd_kafka_t *, int), real(client, limit_ms));
}
