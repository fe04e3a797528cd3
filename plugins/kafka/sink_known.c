/*
 * Which positions are known to exist. Brokers forget the offsets of a group to which nobody commits
 * for offsets.retention.minutes (a week): a pipeline that was stopped for longer would begin anew
 * and write everything twice. So the state store keeps a mark for each position, and a position
 * that has a mark but no offset is an error instead of a beginning.
 */
#include "sink_transaction.h"

#include <inttypes.h>
#include <stdio.h>

#define PATH_BYTES 64

static void mark_path(const char *key, char *out) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (const char *c = key; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    }
    snprintf(out, PATH_BYTES, "known/%016" PRIx64, hash);
}

void sink_known_keep(struct sl_node *node, struct sink_place *place) {
    sl_store *store = node->services->state_store(node->self);
    if (place->known || store == NULL || place->stored == SL_OFFSET_NONE) {
        return;
    }
    char path[PATH_BYTES];
    mark_path(place->key, path);
    sl_error *error =
        store->ops->put(store, path, place->key, strlen(place->key), SL_STORE_IF_ABSENT);
    place->known = error == NULL || sl_error_is(error, SL_ERROR_EXISTS);
    if (!place->known) {
        node->services->log(node->self, SL_LOG_WARN, "cannot keep a mark of a position: %s",
                            sl_error_message(error));
    }
    sl_error_free(error);
}

sl_error *sink_known_check(struct sl_node *node, const char *key) {
    sl_store *store = node->services->state_store(node->self);
    if (store == NULL) {
        return NULL;
    }
    char path[PATH_BYTES];
    sl_store_entry entry;
    mark_path(key, path);
    sl_error *error = store->ops->stat(store, path, &entry);
    if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        return NULL;
    }
    return error != NULL
               ? error
               : sl_error_new(
                     SL_ERROR_FATAL,
                     "the position that group \"%s\" kept at %s is gone: brokers forget offsets "
                     "to which nobody commits for offsets.retention.minutes, and somebody may "
                     "have deleted the group. To go on where you know that it stood, commit that "
                     "offset for partition 0 of \"%s\" to this group; to begin anew (rows are "
                     "written again), delete %s/%s",
                     key, node->link.bootstrap, sink_positions_topic(node), store->ops->url(store),
                     path);
}
