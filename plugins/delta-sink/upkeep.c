/*
 * The table's upkeep. Checkpoints are written by the node between commits: they are bounded by the
 * interval between them. Clean-up looks at every file of the table, so it runs beside the commits,
 * on a pool thread and a table handle of its own.
 */
#include "sink.h"

#include <stdlib.h>

#define FIRST_CLEAN_MS (INT64_C(600) * 1000)
#define CLEAN_INTERVAL_MS (INT64_C(3600) * 1000)

struct cleaning {
    struct sl_node *node;
    int64_t now_ms;
    sl_error *error;
    sl_delta_cleaned cleaned;
};

static void clean_run(void *arg) {
    struct cleaning *c = arg;
    sl_delta_table *table = NULL;
    c->error = sl_delta_open(c->node->store, &table);
    if (c->error == NULL) {
        c->error = sl_delta_clean(table, c->now_ms, &c->cleaned);
    }
    sl_delta_close(table);
}

static void warn(const struct sl_node *node, const sl_error *error) {
    node->services->log(node->self, SL_LOG_WARN, "upkeep of %s: %s", sl_delta_url(node->table),
                        sl_error_message(error));
}

static void clean_done(void *arg) {
    struct cleaning *c = arg;
    struct sl_node *node = c->node;
    if (!node->closed) {
        node->cleaning = false;
        if (c->error != NULL) {
            warn(node, c->error);
        } else if (c->cleaned.data_files + c->cleaned.log_entries > 0) {
            node->services->log(node->self, SL_LOG_INFO,
                                "%s: removed %lld data files (%lld bytes) and %lld log entries "
                                "that nobody needs",
                                sl_delta_url(node->table), (long long)c->cleaned.data_files,
                                (long long)c->cleaned.data_bytes,
                                (long long)c->cleaned.log_entries);
        }
    }
    sl_error_free(c->error);
    free(c);
    sink_release(node);
}

static sl_error *start_cleaning(struct sl_node *node, int64_t now_ms) {
    struct cleaning *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return sl_error_no_memory();
    }
    *c = (struct cleaning){.node = node, .now_ms = now_ms};
    atomic_fetch_add(&node->users, 1);
    node->cleaning = true;
    sl_error *error = node->services->work(node->self, clean_run, clean_done, c);
    if (error != NULL) {
        node->cleaning = false;
        sink_release(node);
        free(c);
    }
    return error;
}

void sink_maintain(struct sl_node *node) {
    sl_error *error = NULL;
    if (sl_delta_checkpoint_due(node->table)) {
        error = sl_delta_checkpoint(node->table);
    }
    int64_t now_ms = node->services->now_us(node->self) / 1000;
    if (node->clean_ms == 0) { /* not at once: a start has better things to do */
        node->clean_ms = now_ms + FIRST_CLEAN_MS;
    }
    if (error == NULL && now_ms >= node->clean_ms && !node->cleaning) {
        node->clean_ms = now_ms + CLEAN_INTERVAL_MS;
        error = start_cleaning(node, now_ms);
    }
    if (error != NULL) {
        warn(node, error);
        sl_error_free(error);
    }
}
