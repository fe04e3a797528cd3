/* Pieces: batches that tasks keep until the node writes them. */
#include "sink_transaction.h"

#include <stdlib.h>

sl_error *sink_piece_add(struct sink_piece **piece, const sl_services *services, uint32_t input,
                         const sl_batch *batch, sink_faults *faults) {
    struct sink_piece *to = *piece;
    if (to == NULL || to->n == to->capacity) {
        size_t capacity = to == NULL ? 16 : to->capacity * 2;
        struct sink_piece *grown = realloc(to, sizeof(*to) + capacity * sizeof(to->kept[0]));
        if (grown == NULL) {
            return sl_error_no_memory();
        }
        grown->n = to == NULL ? 0 : grown->n;
        grown->capacity = capacity;
        *piece = to = grown;
    }
    services->retain(batch);
    to->kept[to->n++] = (struct sink_kept){.input = input, .batch = batch, .faults = faults};
    return NULL;
}

static void let_go(const struct sink_kept *kept, const sl_services *services) {
    services->release(kept->batch);
    free(kept->faults);
}

void sink_piece_forget(struct sink_piece *piece, const sl_services *services,
                       const sl_stream *stream) {
    size_t kept = 0;
    for (size_t i = 0; piece != NULL && i < piece->n; i++) {
        if (piece->kept[i].batch->stream == stream) {
            let_go(&piece->kept[i], services);
        } else {
            piece->kept[kept++] = piece->kept[i];
        }
    }
    if (piece != NULL) {
        piece->n = kept;
    }
}

void sink_piece_free(struct sink_piece *piece, const sl_services *services) {
    for (size_t i = 0; piece != NULL && i < piece->n; i++) {
        let_go(&piece->kept[i], services);
    }
    free(piece);
}
