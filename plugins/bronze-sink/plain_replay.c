/* What a crash between record and files has left: ranges whose files are missing. */
#include "plain.h"

#include <stdlib.h>
#include <string.h>

void plain_replay_free(struct plain_replay *replay) {
    free(replay->spans);
    free(replay);
}

void plain_replays_free(struct plain_replay **replays) {
    for (size_t i = 0; replays != NULL && replays[i] != NULL; i++) {
        plain_replay_free(replays[i]);
    }
    free(replays);
}

/* The span of a file's range, made when there is none. Files of one range lie next to each other in
 * the record, ranges ascend. */
static struct plain_span *span_of(struct plain_replay *replay, const struct closes_file *file) {
    if (replay->n > 0 && replay->spans[replay->n - 1].first == file->first) {
        return &replay->spans[replay->n - 1];
    }
    struct plain_span *grown = realloc(replay->spans, (replay->n + 1) * sizeof(*grown));
    if (grown == NULL) {
        return NULL;
    }
    replay->spans = grown;
    grown[replay->n] = (struct plain_span){file->first, file->next, false};
    return &grown[replay->n++];
}

sl_error *plain_is_missing(const sl_node *node, const char *path, bool *missing) {
    sl_store_entry entry;
    sl_error *error = node->store->ops->stat(node->store, path, &entry);
    *missing = sl_error_is(error, SL_ERROR_NOT_FOUND);
    if (*missing) {
        sl_error_free(error);
        error = NULL;
    }
    return error;
}

sl_error *plain_replay_find(const sl_node *node, const char *key, struct plain_replay *out,
                            int64_t *offset) {
    const struct closes *closes = &node->closes;
    sl_error *error = NULL;
    *offset = closes_position(closes, key);
    out->stored = *offset;
    for (size_t i = 0; i < closes->n_files && error == NULL; i++) {
        const struct closes_file *file = &closes->files[i];
        bool missing = false;
        if (strcmp(file->key, key) != 0) {
            continue;
        }
        struct plain_span *span = span_of(out, file);
        error = span == NULL ? sl_error_no_memory() : plain_is_missing(node, file->path, &missing);
        if (error == NULL && missing) {
            span->missing = true;
            *offset = span->first < *offset ? span->first : *offset;
        }
    }
    bool any = *offset >= 0 && *offset < out->stored;
    if (error == NULL && any && strcmp(closes->layout, node->layout) != 0) {
        error = sl_error_new(SL_ERROR_CONFIG,
                             "files of the last close are not stored yet, and they have to be made "
                             "as they were recorded (%s), not as the topology says now (%s); run "
                             "once with the former settings",
                             closes->layout, node->layout);
    }
    if (!any) {
        out->n = 0;
    }
    return error;
}

sl_error *plain_replays_take(const sl_node *node, const sl_stream *stream,
                             struct plain_replay ***out) {
    size_t n = 0;
    struct plain_replay **replays = calloc(node->n_replays + 1, sizeof(*replays));
    if (replays == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < node->n_replays; i++) {
        const struct plain_replay *from = &node->replays[i];
        if (from->stream != stream->index || from->n == 0) {
            continue;
        }
        struct plain_replay *copy = calloc(1, sizeof(*copy));
        replays[n] = copy;
        if (copy != NULL) {
            *copy = *from;
            copy->spans = malloc(from->n * sizeof(*copy->spans));
        }
        if (copy == NULL || copy->spans == NULL) {
            plain_replays_free(replays);
            return sl_error_no_memory();
        }
        memcpy(copy->spans, from->spans, from->n * sizeof(*copy->spans));
        n++;
    }
    *out = replays;
    return NULL;
}
