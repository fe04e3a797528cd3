/*
 * Plain files, exactly once: what the inner sink's files share.
 *
 * A flush closes the files of a lane: each holds the rows of one stream from one offset to another.
 * The commit records the closed ranges and their files' names in the state store (closes.h), which
 * is the step that counts, and then stores the files under these names if they are not there yet.
 * After a crash between the two the missing files are made again from the same offsets.
 */
#ifndef BRONZE_PLAIN_H
#define BRONZE_PLAIN_H

#include "bronze.h"
#include "closes.h"

#include <stdatomic.h>

#include "base/base.h"
#include "parquet/compress.h"
#include "parquet/writer.h"

/* Columns of the widened rows. */
enum {
    PLAIN_VALUE,
    PLAIN_KEY,
    PLAIN_HEADERS,
    PLAIN_TOPIC,
    PLAIN_PARTITION,
    PLAIN_OFFSET,
    PLAIN_TIMESTAMP
};

struct plain_config {
    const char *location;
    int32_t format;
    int32_t partition_by;
    sl_parquet_codec codec;
    int32_t level;
    size_t row_group_bytes;
};

struct sl_node {
    const struct plain_config *config;
    const sl_services *services;
    sl_object *self;
    const struct ArrowSchema *schema; /* of the widened rows; borrowed */
    size_t n_inputs;
    struct ArrowSchema file_schema; /* without partition columns */
    struct ArrowSchema raw_schema;  /* of raw records, for the format raw */
    size_t n_partition_columns;
    char layout[64]; /* format, compression and partitioning: what names and contents follow */
    sl_store *store;
    sl_store *state; /* borrowed from the host */
    struct closes closes;
    bool stale;                   /* `closes` is not what the store has: read it again */
    bool recorded;                /* the commit that is tried again has its record already */
    struct plain_replay *replays; /* of the streams that were recovered and not resumed yet */
    size_t n_replays;
    struct plain_sweep *sweep; /* under way; NULL: not */
    sl_metric *files, *bytes, *rows;
};

/* ---- what a crash left (plain_replay.c) ---- */

/* A recorded range: its rows are skipped, or its files are made again. */
struct plain_span {
    int64_t first;
    int64_t next;
    bool missing;
};

/* The recorded ranges of a stream on one input, ascending; from node.recover to task.attach. */
struct plain_replay {
    uint32_t stream;
    uint32_t input;
    int64_t stored; /* the recorded position, which reading again has to reach first */
    struct plain_span *spans;
    size_t n; /* 0: nothing is missing */
};

/* Which of the key's recorded files are there. *offset: where reading has to begin, or -1. */
sl_error *plain_replay_find(const sl_node *node, const char *key, struct plain_replay *out,
                            int64_t *offset);
/* Whether a recorded file is not stored. */
sl_error *plain_is_missing(const sl_node *node, const char *path, bool *missing);
void plain_replay_free(struct plain_replay *replay);
/* What node.resume hands to task.attach: the replays of a stream on all inputs, NULL-ended. */
sl_error *plain_replays_take(const sl_node *node, const sl_stream *stream,
                             struct plain_replay ***out);
void plain_replays_free(struct plain_replay **replays);

/* Takes away what killed processes have left unfinished (plain_sweep.c). Object's loop. */
sl_error *plain_sweep_begin(sl_node *node);
void plain_sweep_stop(sl_node *node);

/* ---- files (plain_file.c) ---- */

/* One file on its way: the rows of a range that fall into one partition. */
struct plain_file {
    int32_t day;
    int32_t hour;
    int64_t rows;
    sl_parquet_writer *writer; /* format parquet */
    sl_buffer lines;           /* text that waits for compression */
    sl_buffer bytes;           /* the file so far */
};

/* What makes files; one for each task. */
struct plain_maker {
    const sl_node *node;
    sl_parquet_writer *idle;      /* of the last file, which keeps its memory */
    sl_pqw_compressor compressor; /* of text */
};

sl_error *plain_maker_init(struct plain_maker *maker, const sl_node *node);
void plain_maker_free(struct plain_maker *maker);
sl_error *plain_file_new(struct plain_maker *maker, struct plain_file **out);
/* Rows [first, first + rows) of widened columns. */
sl_error *plain_file_append(struct plain_maker *maker, struct plain_file *file,
                            const struct ArrowArray *columns, int64_t first, int64_t rows);
/* Afterwards `bytes` is the whole file. */
sl_error *plain_file_finish(struct plain_maker *maker, struct plain_file *file);
size_t plain_file_memory(const struct plain_file *file);
void plain_file_free(struct plain_file *file);
/* The path of a file: partition folders, source, topic, partition and offsets, extension. NULL when
 * memory is short; free() it. */
char *plain_file_path(const sl_node *node, const sl_stream *stream, const struct plain_file *file,
                      int64_t first, int64_t next);

/* ---- pieces (plain_task.c) ---- */

/* A closed range of a stream, with its finished files. */
struct plain_range {
    uint32_t stream; /* index */
    uint32_t input;
    int64_t first;
    int64_t next;
    struct plain_file **files;
    char **paths;
    size_t n_files;
};

struct plain_piece {
    struct plain_range *ranges;
    size_t n;
};

void plain_piece_free(struct plain_piece *piece);

extern const sl_node_ops plain_node_ops; /* plain_node.c */
extern const sl_task_ops plain_task_ops; /* plain_task.c; without process */
sl_error *plain_process(sl_task *task, uint32_t input, const sl_batch *widened,
                        const sl_batch *came);

#endif /* BRONZE_PLAIN_H */
