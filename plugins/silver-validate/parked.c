/* See parked.h. */
#include "parked.h"

#include <stdlib.h>
#include <string.h>

struct parked_state {
    struct parked_state *next;
    struct dedup_stream *state;
    int32_t partition;
    int64_t since_us;
    const char *topic; /* behind the source */
    char source[];
};

void parked_init(struct parked *parked) {
    *parked = (struct parked){0};
    pthread_mutex_init(&parked->mutex, NULL);
}

void parked_close(struct parked *parked) {
    (void)parked_drop(parked, INT64_MAX);
    pthread_mutex_destroy(&parked->mutex);
}

/* Takes one out of the list. */
static struct dedup_stream *take_out(struct parked_state **at) {
    struct parked_state *old = *at;
    struct dedup_stream *state = old->state;
    *at = old->next;
    free(old);
    return state;
}

void parked_put(struct parked *parked, const sl_stream *stream, struct dedup_stream *state,
                int64_t now_us) {
    size_t source_bytes = strlen(stream->source) + 1;
    size_t topic_bytes = strlen(stream->topic) + 1;
    struct parked_state *made = malloc(sizeof(*made) + source_bytes + topic_bytes);
    if (made == NULL) {
        dedup_stream_free(state);
        return;
    }
    made->state = state;
    made->partition = stream->partition;
    made->since_us = now_us;
    memcpy(made->source, stream->source, source_bytes);
    made->topic = memcpy(made->source + source_bytes, stream->topic, topic_bytes);
    pthread_mutex_lock(&parked->mutex);
    made->next = parked->first;
    parked->first = made;
    pthread_mutex_unlock(&parked->mutex);
}

static bool is_named(const struct parked_state *parked, const sl_stream *stream) {
    return parked->partition == stream->partition && strcmp(parked->topic, stream->topic) == 0 &&
           strcmp(parked->source, stream->source) == 0;
}

/* Nothing of it waits to be made durable. */
static bool is_of(const struct dedup_stream *state, int64_t offset) {
    return state->next_offset == offset && state->log.entries == 0;
}

/* The newest comes first: older ones of the same name are void. */
struct dedup_stream *parked_take(struct parked *parked, const sl_stream *stream, int64_t offset) {
    struct dedup_stream *found = NULL;
    bool newest = true;
    pthread_mutex_lock(&parked->mutex);
    for (struct parked_state **at = &parked->first; *at != NULL;) {
        if (!is_named(*at, stream)) {
            at = &(*at)->next;
            continue;
        }
        struct dedup_stream *state = take_out(at);
        if (newest && is_of(state, offset)) {
            found = state;
        } else {
            dedup_stream_free(state);
        }
        newest = false;
    }
    pthread_mutex_unlock(&parked->mutex);
    return found;
}

bool parked_drop(struct parked *parked, int64_t before_us) {
    pthread_mutex_lock(&parked->mutex);
    for (struct parked_state **at = &parked->first; *at != NULL;) {
        if ((*at)->since_us < before_us) {
            dedup_stream_free(take_out(at));
        } else {
            at = &(*at)->next;
        }
    }
    bool left = parked->first != NULL;
    pthread_mutex_unlock(&parked->mutex);
    return left;
}
