/*
 * delta-sink: what its files share. The node owns the table and commits on its own thread; tasks
 * encode on their lanes (append) or keep the batches for the node (upsert).
 */
#ifndef DELTA_SINK_H
#define DELTA_SINK_H

#include "gate.h"

#include <stdatomic.h>

#include "delta/delta.h"
#include "delta/upsert.h"
#include "sluice/plugin.h"

enum { MODE_APPEND, MODE_UPSERT };
enum { EVOLUTION_ADDITIVE, EVOLUTION_STRICT };
enum { POSITIONS_OWN, POSITIONS_ADOPT, POSITIONS_START };

struct sink_config {
    const char *table;
    int32_t mode;
    sl_list key;
    const char *delete_when_null;
    sl_list partition_by;
    int32_t evolution;
    sl_map properties;
    int32_t compression;
    int64_t compression_level;
    int64_t file_bytes;
    int64_t row_group_bytes;
    int64_t memory_bytes;
    int64_t open_files;
    int64_t compact_bytes;
    int32_t positions;
};

extern const char *const sink_compressions[];

/* How rows reach the table. */
enum sink_way {
    WAY_APPEND, /* tasks make files of them */
    WAY_TAIL,   /* windows: open rows in tail files, final ones appended once */
    WAY_REPLACE /* rows replaced by key wherever they are */
};

struct sl_node {
    /* The node itself, and each piece of work under way, which may outlast close: the last one
     * frees the node with its store. */
    atomic_int users;
    atomic_bool closed;
    const struct sink_config *config;
    const sl_services *services;
    sl_object *self;
    const char *pipeline;
    const char *name;
    const sl_input *inputs; /* from start on with the schemas in `demanded` */
    size_t n_inputs;
    struct ArrowSchema *demanded; /* the inputs', with what the table declares NOT NULL: rows
                                     without it are rejected */
    sl_input *own_inputs;
    enum sink_way way;
    const char **key; /* WAY_TAIL, WAY_REPLACE; texts in key_text or the config */
    size_t n_key;
    char *key_text;
    int64_t delete_column; /* -1: none */
    sl_store *store;
    sl_delta_table *table;
    char **partitions; /* the table's; fixed once it is open, so tasks may read them */
    size_t n_partitions;
    struct ArrowSchema grown; /* the table's schema with the inputs' new columns; release NULL:
                                 nothing to add */
    struct tail_state *tail;
    char token[40];        /* of the commit that is to be tried again */
    int64_t clean_ms;      /* Unix time: when the next clean-up is due */
    int64_t compact_stage; /* of the table's version, when compaction was looked at last */
    bool upkeep;           /* clean-up or compaction is under way */
    sl_metric *commits, *conflicts, *version, *rows, *files, *bytes, *compacted;
};

/* A batch on its way to the node. */
struct sink_kept {
    const sl_batch *batch; /* retained */
    struct sink_passed passed;
};

static inline const struct ArrowArray *sink_kept_rows(const struct sink_kept *kept) {
    return kept->passed.kept.release != NULL ? &kept->passed.kept : kept->batch->columns;
}

/* What a flush hands over. */
struct sink_piece {
    sl_delta_files files;      /* WAY_APPEND */
    struct sink_kept *batches; /* the others, in their order */
    size_t n_batches;
    size_t capacity;
};

/* node.c: one user less; the last frees the node. Any thread. */
void sink_release(struct sl_node *node);

void sink_piece_free(const sl_services *services, struct sink_piece *piece);

/* Options of the encoder for rows of `schema`. */
sl_delta_encoder_options sink_encoder_options(const struct sl_node *node,
                                              const struct ArrowSchema *schema);

/* node.c */
extern const sl_node_ops sink_node_ops;
/* positions.c: the position under the key, or, with positions "adopt", that of the vanished node.
 */
int64_t sink_stored_position(const struct sl_node *node, const char *key);
/* CONFIG when the table has positions of a node of this pipeline that is not us. */
sl_error *sink_check_positions(const struct sl_node *node);
/* Appends "sluice/<pipeline>/<node>/", as the host begins position keys. */
void sink_key_prefix(sl_buffer *out, const char *pipeline, const char *node);
/* The commit's positions for the log, and room for one more; to be freed with free(). */
sl_error *sink_advances(const struct sl_node *node, const sl_commit *commit,
                        sl_delta_advance **out);

/* upkeep.c: checkpoints, clean-up and compaction when they are due; failures are only logged. */
void sink_maintain(struct sl_node *node);
/* The table is open. */
void sink_upkeep_begins(struct sl_node *node);

/* upsert.c */
sl_error *sink_tail_new(struct sl_node *node);
void sink_tail_free(struct sl_node *node);
/* The tail is read from the table again before the next commit. */
void sink_tail_forget(struct sl_node *node);
/* The same, and the files of the commit that was prepared go: it will not be made. */
void sink_tail_undo(struct sl_node *node);
/* Puts the commit's rows into the tail and into files; adds and removes of `info` are filled,
 * borrowed from the tail. `open_rows` is the place behind the advances; it counts as one of them
 * when the number of open rows changes. A commit that is tried again is not put in twice. */
sl_error *sink_tail_prepare(struct sl_node *node, const sl_commit *commit,
                            sl_delta_commit_info *info, sl_delta_advance *open_rows);
void sink_tail_committed(struct sl_node *node);
sl_error *sink_replace(struct sl_node *node, const sl_commit *commit,
                       const sl_delta_advance *advances, sl_delta_conflict *conflict);

/* task.c */
extern const sl_task_ops sink_task_ops;
/* The task's process for rows that were made of another batch, `came`, row by row: it is that one
 * whose records are rejected. WAY_APPEND. */
sl_error *sink_process(sl_task *task, uint32_t input, const sl_batch *batch, const sl_batch *came);

#endif /* DELTA_SINK_H */
