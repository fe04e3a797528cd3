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
#define VERSION 1 /* a mark is it and the key; version 0 was the key alone */

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
    sl_buffer text = SL_BUFFER_INIT;
    mark_path(place->key, path);
    sl_error *error = sl_buffer_printf(&text, "%d %s\n", VERSION, place->key)
                          ? store->ops->put(store, path, text.data, text.bytes, SL_STORE_IF_ABSENT)
                          : sl_error_no_memory();
    sl_buffer_free(&text);
    place->known = error == NULL || sl_error_is(error, SL_ERROR_EXISTS);
    if (!place->known) {
        node->services->log(node->self, SL_LOG_WARN, "cannot keep a mark of a position: %s",
                            sl_error_message(error));
    }
    sl_error_free(error);
}

/* A mark of a version to come may say something else. What is no mark at all was one. */
static sl_error *check_version(sl_store *store, const char *path, const sl_store_bytes *mark) {
    const char *text = (const char *)mark->data;
    size_t digits = 0;
    int64_t version = 0;
    while (digits < mark->bytes && text[digits] >= '0' && text[digits] <= '9') {
        digits++;
    }
    if (digits == 0 || !sl_parse_i64(text, digits, &version) || version <= VERSION) {
        return NULL;
    }
    sl_buffer where = SL_BUFFER_INIT;
    (void)sl_buffer_printf(&where, "%s/%s", store->ops->url(store), path);
    const char *name = sl_buffer_text(&where);
    sl_error *error =
        name == NULL ? sl_error_no_memory() : sl_error_format(name, version, 0, VERSION);
    sl_buffer_free(&where);
    return error;
}

sl_error *sink_known_check(struct sl_node *node, const char *key) {
    sl_store *store = node->services->state_store(node->self);
    if (store == NULL) {
        return NULL;
    }
    char path[PATH_BYTES];
    sl_store_bytes mark;
    mark_path(key, path);
    sl_error *error = store->ops->get(store, path, 0, -1, &mark);
    if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        return NULL;
    }
    if (error == NULL) {
        error = check_version(store, path, &mark);
        mark.release(&mark);
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
