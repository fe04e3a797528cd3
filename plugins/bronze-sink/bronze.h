/*
 * bronze-sink: what its files share. The plugin widens raw records by where they come from and
 * hands them to one of two inner sinks, which have the shape of a plugin's role themselves: that of
 * delta-sink, or plain files (plain_node.c).
 */
#ifndef BRONZE_H
#define BRONZE_H

#include "base/base.h"
#include "sluice/plugin.h"

enum { FORMAT_DELTA, FORMAT_PARQUET, FORMAT_JSONL, FORMAT_RAW };
enum {
    PARTITION_NONE,
    PARTITION_EVENT_DATE,
    PARTITION_EVENT_HOUR,
    PARTITION_INGEST_DATE,
    PARTITION_INGEST_HOUR
};

struct bronze_config {
    const char *table;
    int32_t format;
    int32_t partition_by;
    int32_t compression;
    int64_t compression_level;
    int64_t file_bytes;
    int64_t row_group_bytes;
    int64_t memory_bytes;
    int64_t open_files;
    int64_t compact_bytes;
    sl_map properties;
    int32_t positions;
};

/* A sink inside: the operations, and how its config is made. */
struct bronze_inner {
    const sl_node_ops *node;
    const sl_task_ops *task;
    /* In place of the task's: rows of `widened` are those of `came`, whose records are rejected. */
    sl_error *(*process)(sl_task *task, uint32_t input, const sl_batch *widened,
                         const sl_batch *came);
    /* The config that `node` expects, from ours; to be freed with free(). */
    sl_error *(*config)(const struct bronze_config *config, void **out);
    bool ingest_time; /* rows carry when they came; plain files must be the same when made again */
};

extern const struct bronze_inner bronze_delta; /* delta.c */
extern const struct bronze_inner bronze_plain; /* plain_node.c */

/* Partition columns, NULL-ended, at most two. */
const char *const *bronze_partition_columns(int32_t partition_by);

extern const sl_node_ops bronze_node_ops; /* node.c */
extern const sl_task_ops bronze_task_ops; /* task.c */

struct bronze_node {
    const struct bronze_config *config;
    const struct bronze_inner *inner;
    sl_node *inside;
    void *inner_config;
    const sl_services *services;
    struct ArrowSchema schema; /* of the rows that the inner sink gets */
    sl_input *inputs;          /* with that schema */
};

#endif /* BRONZE_H */
