/*
 * The table's upkeep. Checkpoints are written by the node between commits: they are bounded by the
 * interval between them. Clean-up looks at every file of the table, and compaction rewrites some,
 * so they run beside the commits, on a pool thread and a table handle of their own.
 */
#include "sink.h"

#include <stdlib.h>

#include "delta/compact.h"

#define FIRST_CLEAN_MS (INT64_C(600) * 1000)
#define CLEAN_INTERVAL_MS (INT64_C(3600) * 1000)
/* Versions of the table after which somebody looks for small files. */
#define COMPACT_VERSIONS 64
/* A partition's files are put together when so many are smaller than an eighth of what they become:
 * each row is rewritten once or twice, not in every pass. */
#define COMPACT_FILES 32
#define COMPACT_SHARE 8

struct upkeep {
    struct sl_node *node;
    int64_t now_ms;
    bool clean;
    bool compact;
    sl_delta_encoder_options encoder;
    sl_error *error;
    sl_delta_cleaned cleaned;
    sl_delta_compact_info compacted;
};

static void upkeep_run(void *arg) {
    struct upkeep *u = arg;
    sl_delta_table *table = NULL;
    u->error = sl_delta_open(u->node->store, &table);
    if (u->error == NULL && u->compact) {
        u->compacted = (sl_delta_compact_info){
            .encoder = &u->encoder,
            .small_bytes = (int64_t)u->encoder.file_bytes / COMPACT_SHARE,
            .least_files = COMPACT_FILES,
            .stop = &u->node->closed,
        };
        u->error = sl_delta_compact(table, &u->compacted);
    }
    if (u->error == NULL && u->clean) {
        u->error = sl_delta_clean(table, u->now_ms, &u->node->closed, &u->cleaned);
    }
    sl_delta_close(table);
}

static void warn(const struct sl_node *node, const sl_error *error) {
    node->services->log(node->self, SL_LOG_WARN, "upkeep of %s: %s", sl_delta_url(node->table),
                        sl_error_message(error));
}

static void tell(const struct sl_node *node, const struct upkeep *u) {
    const sl_delta_compact_info *compacted = &u->compacted;
    if (compacted->commits > 0) {
        node->services->metric_add(node->compacted, compacted->files_before);
        node->services->log(node->self, SL_LOG_INFO,
                            "%s: put %lld small files with %lld rows together into %lld",
                            sl_delta_url(node->table), (long long)compacted->files_before,
                            (long long)compacted->rows, (long long)compacted->files_after);
    }
    if (u->cleaned.data_files + u->cleaned.log_entries > 0) {
        node->services->log(node->self, SL_LOG_INFO,
                            "%s: removed %lld data files (%lld bytes) and %lld log entries "
                            "that nobody needs",
                            sl_delta_url(node->table), (long long)u->cleaned.data_files,
                            (long long)u->cleaned.data_bytes, (long long)u->cleaned.log_entries);
    }
}

static void upkeep_done(void *arg) {
    struct upkeep *u = arg;
    struct sl_node *node = u->node;
    if (!node->closed) {
        node->upkeep = false;
        if (u->error != NULL) {
            warn(node, u->error);
        }
        tell(node, u);
    }
    sl_error_free(u->error);
    free(u);
    sink_release(node);
}

static sl_error *start_upkeep(struct sl_node *node, int64_t now_ms, bool clean, bool compact) {
    struct upkeep *u = calloc(1, sizeof(*u));
    if (u == NULL) {
        return sl_error_no_memory();
    }
    *u = (struct upkeep){.node = node, .now_ms = now_ms, .clean = clean, .compact = compact};
    u->encoder = sink_encoder_options(node, NULL);
    u->encoder.file_bytes = (size_t)node->config->compact_bytes;
    atomic_fetch_add(&node->users, 1);
    node->upkeep = true;
    sl_error *error = node->services->work(node->self, upkeep_run, upkeep_done, u);
    if (error != NULL) {
        node->upkeep = false;
        sink_release(node);
        free(u);
    }
    return error;
}

static bool clean_is_due(struct sl_node *node, int64_t now_ms) {
    if (node->clean_ms == 0) { /* not at once: a start has better things to do */
        node->clean_ms = now_ms + FIRST_CLEAN_MS;
    }
    if (now_ms < node->clean_ms) {
        return false;
    }
    node->clean_ms = now_ms + CLEAN_INTERVAL_MS;
    return true;
}

/* Told by the version, so that many short runs add up, too. */
static int64_t compact_stage(const struct sl_node *node) {
    return sl_delta_version(node->table) / COMPACT_VERSIONS;
}

void sink_upkeep_begins(struct sl_node *node) {
    node->compact_stage = compact_stage(node);
}

static bool compaction_is_due(struct sl_node *node) {
    int64_t stage = compact_stage(node);
    bool due = node->config->compact_bytes > 0 && stage > node->compact_stage;
    node->compact_stage = stage;
    return due;
}

void sink_maintain(struct sl_node *node) {
    sl_error *error = NULL;
    if (sl_delta_checkpoint_due(node->table)) {
        error = sl_delta_checkpoint(node->table);
    }
    if (error == NULL && !node->upkeep) {
        int64_t now_ms = node->services->now_us(node->self) / 1000;
        bool clean = clean_is_due(node, now_ms);
        bool compact = compaction_is_due(node);
        error = clean || compact ? start_upkeep(node, now_ms, clean, compact) : NULL;
    }
    if (error != NULL) {
        warn(node, error);
        sl_error_free(error);
    }
}
