/*
 * What killed processes have left in the folder of plain files: a listing takes unfinished files
 * away that are a day old (lib/store/folder_list.c), and nothing else here lists the folder. Once
 * for each start, on a pool thread and a store handle of its own, since the folder may be large.
 */
#include "plain.h"

#include <stdlib.h>
#include <string.h>

struct plain_sweep {
    sl_node *node; /* NULL: closed. The object's loop */
    atomic_bool stop;
    sl_store *store;
    sl_error *error;
};

static int pass_over(const sl_store_entry *entry, void *arg) {
    const struct plain_sweep *sweep = arg;
    (void)entry;
    return atomic_load(&sweep->stop);
}

static void sweep_free(struct plain_sweep *sweep) {
    if (sweep->store != NULL) {
        sweep->store->ops->close(sweep->store);
    }
    sl_error_free(sweep->error);
    free(sweep);
}

static void run(void *arg) {
    struct plain_sweep *sweep = arg;
    sweep->error = sweep->store->ops->list(sweep->store, "", NULL, 1, pass_over, sweep);
}

static void ended(void *arg) {
    struct plain_sweep *sweep = arg;
    sl_node *node = sweep->node;
    if (node != NULL) {
        node->sweep = NULL;
        if (sweep->error != NULL) {
            node->services->log(node->self, SL_LOG_WARN, "looking for unfinished files: %s",
                                sl_error_message(sweep->error));
        }
    }
    sweep_free(sweep);
}

sl_error *plain_sweep_begin(sl_node *node) {
    const char *url = node->store->ops->url(node->store);
    if (node->sweep != NULL || strncmp(url, "file:", 5) != 0) {
        return NULL; /* object stores keep nothing that is unfinished */
    }
    struct plain_sweep *sweep = calloc(1, sizeof(*sweep));
    if (sweep == NULL) {
        return sl_error_no_memory();
    }
    sweep->node = node;
    const sl_services *s = node->services;
    sl_error *error = s->store_open(node->self, node->config->location, &sweep->store);
    error = error ? error : s->work(node->self, run, ended, sweep);
    if (error != NULL) {
        sweep_free(sweep);
        return error;
    }
    node->sweep = sweep;
    return NULL;
}

void plain_sweep_stop(sl_node *node) {
    if (node->sweep != NULL) {
        atomic_store(&node->sweep->stop, true);
        node->sweep->node = NULL;
        node->sweep = NULL;
    }
}
