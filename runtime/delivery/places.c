/* See places.h. */
#include "delivery/places.h"

#include <stdlib.h>
#include <string.h>

struct place {
    struct place *next; /* of the node that reads */
    const struct host_node *owner;
    uint32_t output;
    uint32_t input;
    int32_t partition;
    int64_t position;
    char topic[];
};

int64_t places_find(const struct reader *reader) {
    const struct stream *stream = reader->stream;
    for (const struct place *place = reader->node->places; place != NULL; place = place->next) {
        if (place->partition == stream->pub.partition && place->input == reader->input &&
            place->owner == stream->owner && place->output == stream->output &&
            strcmp(place->topic, stream->topic) == 0) {
            return place->position;
        }
    }
    return SL_OFFSET_NONE;
}

sl_error *places_note(const struct reader *reader) {
    const struct stream *stream = reader->stream;
    if (reader->position == SL_OFFSET_NONE || places_find(reader) != SL_OFFSET_NONE) {
        return NULL;
    }
    size_t bytes = strlen(stream->topic) + 1;
    struct place *place = malloc(sizeof(*place) + bytes);
    if (place == NULL) {
        return sl_error_no_memory();
    }
    *place = (struct place){.next = reader->node->places,
                            .owner = stream->owner,
                            .output = stream->output,
                            .input = reader->input,
                            .partition = stream->pub.partition,
                            .position = reader->position};
    memcpy(place->topic, stream->topic, bytes);
    reader->node->places = place;
    return NULL;
}

void places_free(struct host_node *node) {
    while (node->places != NULL) {
        struct place *place = node->places;
        node->places = place->next;
        free(place);
    }
}
