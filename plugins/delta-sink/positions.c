/*
 * Positions in the table: a txn of each stream, named by the host
 * ("sluice/<pipeline>/<node>/<input>/<source>/<topic>/<partition>"). A table that holds positions
 * of a node which the pipeline no longer has was written under another name: going on without them
 * would write its rows again.
 */
#include "sink.h"

#include <stdlib.h>
#include <string.h>

/* The part of a key behind "sluice/<pipeline>/"; NULL when the key is not of that pipeline. Both
 * keys must be the host's. */
static const char *behind_pipeline(const char *key, const char *like) {
    const char *slash = strchr(like, '/');
    slash = slash == NULL ? NULL : strchr(slash + 1, '/');
    if (slash == NULL) {
        return NULL;
    }
    size_t bytes = (size_t)(slash - like) + 1;
    return strncmp(key, like, bytes) == 0 ? key + bytes : NULL;
}

/* Searching for what another node left for the same input and stream. */
struct search {
    const char *key; /* ours */
    int64_t position;
};

static int match_stream(const char *app_id, int64_t position, void *arg) {
    struct search *search = arg;
    const char *ours = behind_pipeline(search->key, search->key);
    const char *theirs = behind_pipeline(app_id, search->key);
    ours = ours == NULL ? NULL : strchr(ours, '/');
    theirs = theirs == NULL ? NULL : strchr(theirs, '/');
    if (ours != NULL && theirs != NULL && strcmp(ours, theirs) == 0) {
        search->position = position;
        return 1;
    }
    return 0;
}

static int64_t adopted(const struct sl_node *node, const char *key) {
    struct search search = {key, SL_DELTA_NO_POSITION};
    if (node->config->positions == POSITIONS_ADOPT) {
        sl_delta_visit_positions(node->table, match_stream, &search);
    }
    return search.position;
}

int64_t sink_stored_position(const struct sl_node *node, const char *key) {
    int64_t position = sl_delta_position(node->table, key);
    return position == SL_DELTA_NO_POSITION ? adopted(node, key) : position;
}

/* Looks for a key of this pipeline and another node. */
struct stranger {
    const char *own; /* "sluice/<pipeline>/<node>/" */
    const char *found;
};

static int find_stranger(const char *app_id, int64_t position, void *arg) {
    struct stranger *stranger = arg;
    (void)position;
    if (behind_pipeline(app_id, stranger->own) != NULL &&
        strncmp(app_id, stranger->own, strlen(stranger->own)) != 0) {
        stranger->found = app_id;
        return 1;
    }
    return 0;
}

/* As the host does it in position keys: '/' and '%' percent-encoded. */
static void encode_part(sl_buffer *out, const char *text) {
    for (const char *c = text; *c != 0; c++) {
        if (*c == '/' || *c == '%') {
            sl_buffer_printf(out, "%%%02X", (unsigned char)*c);
        } else {
            sl_buffer_append_byte(out, (uint8_t)*c);
        }
    }
}

void sink_key_prefix(sl_buffer *out, const char *pipeline, const char *node) {
    sl_buffer_append_text(out, "sluice/");
    encode_part(out, pipeline);
    sl_buffer_append_byte(out, '/');
    encode_part(out, node);
    sl_buffer_append_byte(out, '/');
}

sl_error *sink_check_positions(const struct sl_node *node) {
    if (node->config->positions != POSITIONS_OWN) {
        return NULL;
    }
    sl_buffer own = SL_BUFFER_INIT;
    sink_key_prefix(&own, node->pipeline, node->name);
    struct stranger stranger = {.own = sl_buffer_text(&own)};
    if (stranger.own == NULL) {
        sl_buffer_free(&own);
        return sl_error_no_memory();
    }
    sl_delta_visit_positions(node->table, find_stranger, &stranger);
    sl_buffer_free(&own);
    if (stranger.found == NULL) {
        return NULL;
    }
    return sl_error_new(SL_ERROR_CONFIG,
                        "%s: the table has positions of another node of this pipeline (%s), so "
                        "this node would write again what that one wrote; set \"positions\" to "
                        "\"adopt\" to go on from them, or to \"start\" to begin anew",
                        sl_delta_url(node->table), stranger.found);
}

sl_error *sink_advances(const struct sl_node *node, const sl_commit *commit,
                        sl_delta_advance **out) {
    sl_delta_advance *advances = calloc(commit->n_positions + 1, sizeof(*advances));
    if (advances == NULL) {
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < commit->n_positions; i++) {
        const sl_position *position = &commit->positions[i];
        int64_t from = position->from;
        if (sl_delta_position(node->table, position->key) == SL_DELTA_NO_POSITION &&
            from != SL_OFFSET_NONE && from == adopted(node, position->key)) {
            from = SL_DELTA_NO_POSITION; /* stored under the vanished node's name only */
        }
        advances[i] = (sl_delta_advance){position->key, from, position->to};
    }
    *out = advances;
    return NULL;
}
