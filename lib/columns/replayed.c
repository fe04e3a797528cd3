/* See replayed.h. */
#include "columns/replayed.h"

#include <stdlib.h>

sl_error *sl_replayed_open(sl_replayed *replayed, size_t n_inputs) {
    *replayed = (sl_replayed){calloc(n_inputs + 1, sizeof(sl_slots)), n_inputs};
    return replayed->positions == NULL ? sl_error_no_memory() : NULL;
}

void sl_replayed_close(sl_replayed *replayed) {
    for (size_t i = 0; replayed->positions != NULL && i < replayed->n_inputs; i++) {
        for (size_t k = 0; k < replayed->positions[i].n; k++) {
            free(sl_slots_get(&replayed->positions[i], k));
        }
        sl_slots_free(&replayed->positions[i]);
    }
    free(replayed->positions);
    replayed->positions = NULL;
}

sl_error *sl_replayed_attach(sl_replayed *replayed, const sl_stream *stream, uint32_t input,
                             int64_t position) {
    if (position == SL_OFFSET_NONE) {
        return NULL;
    }
    int64_t *kept = malloc(sizeof(*kept));
    if (kept == NULL) {
        return sl_error_no_memory();
    }
    *kept = position;
    if (!sl_slots_set(&replayed->positions[input], stream->index, kept)) {
        free(kept);
        return sl_error_no_memory();
    }
    return NULL;
}

void sl_replayed_detach(sl_replayed *replayed, const sl_stream *stream) {
    for (size_t i = 0; i < replayed->n_inputs; i++) {
        free(sl_slots_get(&replayed->positions[i], stream->index));
        (void)sl_slots_set(&replayed->positions[i], stream->index, NULL);
    }
}
