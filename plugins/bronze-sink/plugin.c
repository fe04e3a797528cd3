/* bronze-sink: raw records as they came, into a Delta table or plain files. This file is the
 * descriptor and the option table. */
#include "bronze.h"
#include "sink.h"

static const char *const FORMATS[] = {"delta", "parquet", "jsonl", "raw", NULL};
static const char *const PARTITIONS[] = {"none",        "event_date",  "event_hour",
                                         "ingest_date", "ingest_hour", NULL};
static const char *const POSITIONS[] = {"own", "adopt", "start", NULL};
static const char *const OUTPUTS[] = {SL_REJECT_OUTPUT, NULL};

#define FIELD(member) .offset = offsetof(struct bronze_config, member)
#define RANGE(low, high) .flags = SL_OPTION_RANGE, .min = (low), .max = (high)

static const sl_option OPTIONS[] = {
    {.name = "table",
     .type = SL_OPTION_LOCATION,
     .flags = SL_OPTION_REQUIRED | SL_OPTION_EXCLUSIVE,
     FIELD(table),
     .doc = "folder of the table, or of the files; made when there is none"},
    {.name = "format",
     .type = SL_OPTION_ENUM,
     FIELD(format),
     .default_text = "delta",
     .enum_names = FORMATS,
     .doc = "delta: a Delta table; parquet, jsonl (records as JSON objects), raw (values, one a "
            "line): plain files, made at each commit, so raise commit.interval with them"},
    {.name = "partition_by",
     .type = SL_OPTION_ENUM,
     FIELD(partition_by),
     .default_text = "none",
     .enum_names = PARTITIONS,
     .doc =
         "columns that files are partitioned by: day, or day and hour, of the record's timestamp "
         "(event) or of its arrival (ingest; only with format delta); in UTC"},
    {.name = "compression",
     .type = SL_OPTION_ENUM,
     FIELD(compression),
     .default_text = "zstd",
     .enum_names = sink_compressions,
     .doc = "compression of Delta's and Parquet's files; text files are written as zstd or none"},
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
     .doc = "with format delta: a data file ends at this size, and at each commit"},
    {.name = "row_group_size",
     .type = SL_OPTION_SIZE,
     FIELD(row_group_bytes),
     .default_text = "8MiB",
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
     .doc = "with format delta: partitions that are written at a time, on each lane"},
    {.name = "properties",
     .type = SL_OPTION_MAP,
     FIELD(properties),
     .doc = "properties of a new Delta table, as \"delta.appendOnly\": \"true\""},
    {.name = "compact",
     .type = SL_OPTION_SIZE,
     FIELD(compact_bytes),
     .default_text = "128MiB",
     RANGE(0, 1e12),
     .doc = "with format delta: many small files of a partition are put together into files of "
            "this size, in the "
            "background; 0: never"},
    {.name = "positions",
     .type = SL_OPTION_ENUM,
     FIELD(positions),
     .default_text = "own",
     .enum_names = POSITIONS,
     .doc = "when the Delta table has positions of a node that the pipeline no longer has: own "
            "refuses, adopt goes on from them, start begins anew"},
    {.name = NULL},
};

static const sl_role SINK = {
    .struct_bytes = sizeof(SINK),
    .flags = SL_ROLE_BLOCKING | SL_ROLE_DURABLE | SL_ROLE_COUNTS | SL_ROLE_REPLAYS | SL_ROLE_BESIDE,
    .guarantee = SL_EXACTLY_ONCE,
    .option_bytes = sizeof(sl_option),
    .options = OPTIONS,
    .config_bytes = sizeof(struct bronze_config),
    .outputs = OUTPUTS,
    .min_inputs = 1,
    .max_inputs = 64,
    .node = &bronze_node_ops,
    .task = &bronze_task_ops,
};

SL_PLUGIN_EXPORT const sl_plugin sluice_plugin = {
    SL_PLUGIN_HEADER,
    .name = "bronze-sink",
    .version = SL_VERSION,
    .summary = "writes raw records as they came, to a Delta table or to plain files",
    .licence = "MIT",
    .sink = &SINK,
};
