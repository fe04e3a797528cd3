/*
 * Streams and batches: what flows.
 *
 * A stream is one ordered, replayable sequence of records: a partition of a source's topic, or an
 * output of a stateful transform. A batch is a run of rows of one stream in Arrow columns,
 * immutable once emitted, shared by reference count.
 */
#ifndef SLUICE_BATCH_H
#define SLUICE_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/arrow.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SL_OFFSET_NONE (-1)          /* no position is stored */
#define SL_EVENT_TIME_NONE INT64_MIN /* no row has an event time */

/*
 * Made by the host, the same pointer for the stream's whole assignment. It is freed, and its index
 * given to another, once it has been detached and suspended and no batch, request or piece of it is
 * under way any more: what a task or node keeps of a stream goes with detach or suspend. A stream
 * that was given up before it was attached is suspended only at the nodes that read it; what the
 * owner had resumed goes to drop_handle.
 */
typedef struct sl_stream {
    uint32_t struct_bytes;
    uint32_t index;     /* small number, unique in the process while assigned */
    const char *source; /* name of the node that owns the stream */
    const char
        *topic; /* Kafka topic; for a transform's stream the name of the output, "" for its first */
    int32_t partition; /* Kafka partition, or 0 */
    uint32_t lane;     /* the lane that runs it */
    uint32_t epoch;    /* differs between two assignments of a partition */
    /* 0, or a further reading of a stream that is read already, for a branch of the topology that
       fell behind; equal for the streams of one branch. Since ABI 1.1. */
    uint32_t reader;
    /* To sl_node_ops.resume of the node that owns it (SL_ROLE_OWNS_STREAMS): the largest position
       that a reader has stored, 0 when none has one. Since ABI 1.1. */
    int64_t reached;
} sl_stream;

enum {
    /* Rows of open windows: each replaces the row of its key. A batch holds either such rows or
       final ones. */
    SL_BATCH_UPDATES = 1u,
    /* The stream has no more records at present (Kafka: partition EOF). Empty batches carry it,
       too. */
    SL_BATCH_AT_END = 2u
};

/*
 * Borrowed for the length of a call unless retained. `columns` is a "+s" array with offset 0 at
 * every level and no validity bitmap at the top; validity buffers are NULL where null_count is 0.
 * Buffers may be read 64 bytes past their end. A batch *covers* [first_offset, next_offset):
 * offsets without a row were filtered out or never existed. It may be empty.
 */
typedef struct sl_batch {
    uint32_t struct_bytes;
    uint32_t flags;
    const struct ArrowSchema *schema;
    const struct ArrowArray *columns;
    int64_t rows;
    const sl_stream *stream;
    int64_t first_offset;
    int64_t next_offset;
    int64_t max_event_time_us; /* largest event time of its rows; SL_EVENT_TIME_NONE */
    size_t memory_bytes;       /* memory that the batch keeps alive */
    uint32_t epoch;            /* of the stream when the batch was made */
    uint32_t reserved;
} sl_batch;

/*
 * The columns of a raw record, as sources of records (kafka, file, generator) emit them, in this
 * order:
 *   key        binary, nullable     "z"
 *   value      binary, nullable     "z"   (null: tombstone)
 *   timestamp  timestamp us UTC     "tsu:UTC"
 *   headers    list of struct<key: utf8, value: binary nullable>, nullable
 *   offset     int64                "l"   strictly ascending
 */
enum { SL_RAW_KEY, SL_RAW_VALUE, SL_RAW_TIMESTAMP, SL_RAW_HEADERS, SL_RAW_OFFSET, SL_RAW_COLUMNS };

/*
 * The columns of an output `rejects`: the record as it came, and why it was not taken.
 *   reason     utf8                 "u"   one of the plugin's own short names: "type", "too_large"
 *   path       utf8                 "u"   JSON path into the record: "$.tags[3]"
 *   detail     utf8                 "u"   what was found, what is allowed
 *   value      binary, nullable     "z"   the record's bytes; of a row without any, the row as JSON
 *   topic      utf8                 "u"
 *   partition  int32                "i"
 *   offset     int64                "l"
 *   timestamp  timestamp us UTC, nullable  "tsu:UTC"
 *   key        binary, nullable     "z"
 *   headers    as of a raw record
 * The metadata key SL_REJECT_METADATA of the schema names the plugin that rejects.
 */
enum {
    SL_REJECT_REASON,
    SL_REJECT_PATH,
    SL_REJECT_DETAIL,
    SL_REJECT_VALUE,
    SL_REJECT_TOPIC,
    SL_REJECT_PARTITION,
    SL_REJECT_OFFSET,
    SL_REJECT_TIMESTAMP,
    SL_REJECT_KEY,
    SL_REJECT_HEADERS,
    SL_REJECT_COLUMNS
};
#define SL_REJECT_OUTPUT "rejects"
#define SL_REJECT_METADATA "sluice.rejects"

/* Why a record is not taken; texts need no 0 byte at their end, and are copied. */
typedef struct sl_reject {
    uint32_t struct_bytes;
    uint32_t reserved;
    const char *reason;
    size_t reason_bytes;
    const char *path;
    size_t path_bytes;
    const char *detail;
    size_t detail_bytes;
} sl_reject;

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_BATCH_H */
