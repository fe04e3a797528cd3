/* The Delta table: delta-sink's own operations, compiled into this plugin too, in append mode over
 * the widened rows. */
#include "bronze.h"
#include "sink.h"

#include <stdlib.h>

/* The names behind both plugins' option, which delta-sink's own descriptor would define. */
const char *const sink_compressions[] = {"zstd", "snappy", "lz4", "none", NULL};

static sl_error *make_config(const struct bronze_config *from, void **out) {
    struct sink_config *config = calloc(1, sizeof(*config));
    if (config == NULL) {
        return sl_error_no_memory();
    }
    const char *const *columns = bronze_partition_columns(from->partition_by);
    size_t n = 0;
    while (columns[n] != NULL) {
        n++;
    }
    *config = (struct sink_config){
        .table = from->table,
        .mode = MODE_APPEND,
        .partition_by = {n, columns},
        .evolution = EVOLUTION_ADDITIVE,
        .properties = from->properties,
        .compression = from->compression,
        .compression_level = from->compression_level,
        .file_bytes = from->file_bytes,
        .row_group_bytes = from->row_group_bytes,
        .memory_bytes = from->memory_bytes,
        .open_files = from->open_files,
        .compact_bytes = from->compact_bytes,
        .positions = from->positions,
    };
    *out = config;
    return NULL;
}

const struct bronze_inner bronze_delta = {
    .node = &sink_node_ops,
    .task = &sink_task_ops,
    .process = sink_process,
    .config = make_config,
    .ingest_time = true,
};
