/* delta-sink: rows into a Delta table, exactly once. This file is the descriptor and the option
 * table. */
#include "sink.h"

static const char *const MODES[] = {"append", "upsert", NULL};
static const char *const EVOLUTIONS[] = {"additive", "strict", NULL};
static const char *const POSITIONS[] = {"own", "adopt", "start", NULL};
static const char *const OUTPUTS[] = {SL_REJECT_OUTPUT, NULL};
const char *const sink_compressions[] = {"zstd", "snappy", "lz4", "none", NULL};

#define FIELD(member) .offset = offsetof(struct sink_config, member)
#define RANGE(low, high) .flags = SL_OPTION_RANGE, .min = (low), .max = (high)

static const sl_option OPTIONS[] = {
    {.name = "table",
     .type = SL_OPTION_LOCATION,
     .flags = SL_OPTION_REQUIRED | SL_OPTION_EXCLUSIVE,
     FIELD(table),
     .doc = "folder of the table; made when there is none"},
    {.name = "mode",
     .type = SL_OPTION_ENUM,
     FIELD(mode),
     .default_text = "append",
     .enum_names = MODES,
     .doc = "append takes final rows only; upsert keeps one row for each key"},
    {.name = "key",
     .type = SL_OPTION_LIST,
     FIELD(key),
     .doc = "key columns of upsert; those that the input declares unless given"},
    {.name = "delete_when_null",
     .type = SL_OPTION_STRING,
     FIELD(delete_when_null),
     .doc = "with upsert by key: a row in which this column is null deletes its key; \"value\" for "
            "raw records"},
    {.name = "partition_by",
     .type = SL_OPTION_LIST,
     FIELD(partition_by),
     .doc = "partition columns of a new table; an existing table must have the same when given"},
    {.name = "evolution",
     .type = SL_OPTION_ENUM,
     FIELD(evolution),
     .default_text = "additive",
     .enum_names = EVOLUTIONS,
     .doc = "additive adds columns that the table lacks, nullable; strict refuses them"},
    {.name = "properties",
     .type = SL_OPTION_MAP,
     FIELD(properties),
     .doc = "properties of a new table, as \"delta.appendOnly\": \"true\""},
    {.name = "compression",
     .type = SL_OPTION_ENUM,
     FIELD(compression),
     .default_text = "zstd",
     .enum_names = sink_compressions,
     .doc = "compression of data files"},
    {.name = "compression_level",
     .type = SL_OPTION_INTEGER,
     FIELD(compression_level),
     .default_text = "1",
     RANGE(-7, 19),
     .doc = "level of zstd"},
    {.name = "file_size",
     .type = SL_OPTION_SIZE,
     FIELD(file_bytes),
     .default_text = "256MiB",
     RANGE(65536, 1e12),
     .doc = "a data file ends at this size, and at each commit"},
    {.name = "row_group_size",
     .type = SL_OPTION_SIZE,
     FIELD(row_group_bytes),
     .default_text = "32MiB",
     RANGE(65536, 1e10),
     .doc = "memory at which a row group ends"},
    {.name = "memory",
     .type = SL_OPTION_SIZE,
     FIELD(memory_bytes),
     .default_text = "64MiB",
     RANGE(1048576, 1e12),
     .doc = "memory for files that are being written, on each lane; beyond it the largest ends"},
    {.name = "open_files",
     .type = SL_OPTION_INTEGER,
     FIELD(open_files),
     .default_text = "64",
     RANGE(1, 10000),
     .doc = "partitions that are written at a time, on each lane"},
    {.name = "compact",
     .type = SL_OPTION_SIZE,
     FIELD(compact_bytes),
     .default_text = "128MiB",
     RANGE(0, 1e12),
     .doc = "many small files of a partition are put together into files of this size, in the "
            "background; 0: never"},
    {.name = "positions",
     .type = SL_OPTION_ENUM,
     FIELD(positions),
     .default_text = "own",
     .enum_names = POSITIONS,
     .doc = "when the table has positions of a node that the pipeline no longer has: own refuses, "
            "adopt goes on from them, start begins anew"},
    {.name = NULL},
};

static const sl_role SINK = {
    .struct_bytes = sizeof(SINK),
    .flags = SL_ROLE_BLOCKING | SL_ROLE_DURABLE | SL_ROLE_COUNTS | SL_ROLE_REPLAYS | SL_ROLE_BESIDE,
    .guarantee = SL_EXACTLY_ONCE,
    .option_bytes = sizeof(sl_option),
    .options = OPTIONS,
    .config_bytes = sizeof(struct sink_config),
    .outputs = OUTPUTS,
    .min_inputs = 1,
    .max_inputs = 64,
    .node = &sink_node_ops,
    .task = &sink_task_ops,
};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,      .name = "delta-sink",
    .version = SL_VERSION, .summary = "writes rows to a Delta table, appended or replaced by key",
    .licence = "MIT",      .sink = &SINK,
};
