/*
 * Positions in the table: a txn of each stream, named by the host
 * ("sluice/<pipeline>/<node>/<input>/<source>/<topic>/<partition>"). A table that holds positions
 * of a node which the pipeline no longer has was written under another name: going on without them
 * would write its rows again.
 */
#include "sink.h"

#include <stdio.h>
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
    char pipeline[512]; /* "sluice/<pipeline>/" */
    char own[1024];     /* "sluice/<pipeline>/<node>/" */
    const char *found;
};

static int find_stranger(const char *app_id, int64_t position, void *arg) {
    struct stranger *stranger = arg;
    (void)position;
    if (strncmp(app_id, stranger->pipeline, strlen(stranger->pipeline)) == 0 &&
        strncmp(app_id, stranger->own, strlen(stranger->own)) != 0) {
        stranger->found = app_id;
        return 1;
    }
    return 0;
}

/* As the host does it in position keys: '/' and '%' percent-encoded. */
static void encode_part(const char *text, char *out, size_t room) {
    size_t n = 0;
    for (const char *c = text; *c != 0 && n + 4 < room; c++) {
        if (*c == '/' || *c == '%') {
            n += (size_t)snprintf(out + n, room - n, "%%%02X", (unsigned char)*c);
        } else {
            out[n++] = *c;
        }
    }
    out[n] = 0;
}

sl_error *sink_check_positions(const struct sl_node *node) {
    char pipeline[400];
    char name[400];
    struct stranger stranger = {.found = NULL};
    if (node->config->positions != POSITIONS_OWN) {
        return NULL;
    }
    encode_part(node->pipeline, pipeline, sizeof(pipeline));
    encode_part(node->name, name, sizeof(name));
    snprintf(stranger.pipeline, sizeof(stranger.pipeline), "sluice/%s/", pipeline);
    snprintf(stranger.own, sizeof(stranger.own), "sluice/%s/%s/", pipeline, name);
    sl_delta_visit_positions(node->table, find_stranger, &stranger);
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
