/*
 * What the files of silver-validate share: options, and the parts that node.c and task.c put
 * together. The node reads the schema and keeps deduplication's segments; a task decodes, drops
 * duplicates, computes columns, and emits.
 */
#ifndef SILVER_H
#define SILVER_H

#include "dedup.h"
#include "expression.h"
#include "parked.h"

#include "base/base.h"
#include "columns/columns.h"
#include "json/json.h"
#include "sluice/plugin.h"

enum { SILVER_OUTPUT_ROWS, SILVER_OUTPUT_REJECTS /* the host fills it: services->reject */ };

struct silver_dedup_config {
    sl_list key;
    int64_t within_us;
    int64_t max_ahead_us; /* 0: no bound */
    int64_t keep_us;
    int64_t memory_bytes;
    const char *spill;
};

struct silver_config {
    const char *schema;
    sl_map coerce;
    sl_map computed;
    const struct silver_dedup_config *deduplicate; /* NULL: off */
    int32_t rescue;
    int32_t duplicate_keys; /* sl_json_duplicates */
    int32_t check_formats;
    int64_t max_depth;
    int64_t max_record_bytes;
};

#define SILVER_MAX_KEYS 8
#define SILVER_MAX_PATH 16

/* A column by its child indexes from the root. */
struct silver_path {
    int64_t steps[SILVER_MAX_PATH];
    size_t n;
};

struct sl_node {
    const sl_services *services;
    sl_object *self;
    const struct silver_config *config;
    sl_json_schema *schema;
    struct ArrowSchema rows_schema; /* schema's columns, computed ones, _topic _partition _offset */
    struct silver_expression **computed;
    size_t n_computed;
    size_t first_computed; /* column index */
    struct silver_path keys[SILVER_MAX_KEYS];
    size_t n_keys;
    struct dedup_shared dedup; /* the tables' memory, counted over all lanes */
    struct segments *segments; /* NULL without deduplication */
    struct parked parked;      /* states of streams that may come back */
    sl_timer *parked_timer;    /* NULL: none is parked for long */
    size_t turn;               /* whose segments are merged next */
};

/* What a flush hands over: the log of each stream since the last one. */
struct silver_piece_item {
    const sl_stream *stream;
    uint32_t epoch;
    struct dedup_log log;
};
struct silver_piece {
    size_t n;
    struct silver_piece_item items[];
};
void silver_piece_free(struct silver_piece *piece);

extern const sl_node_ops silver_node_ops;
extern const sl_task_ops silver_task_ops;

#endif /* SILVER_H */
