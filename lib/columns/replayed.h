/*
 * Which batches a task's node has taken already. A sink whose rejects are read sees them again
 * (SL_ROLE_REPLAYS), so that what it rejected comes again, and writes nothing of them.
 */
#ifndef SL_COLUMNS_REPLAYED_H
#define SL_COLUMNS_REPLAYED_H

#include "base/base.h"
#include "base/slots.h"
#include "sluice/batch.h"

typedef struct sl_replayed {
    sl_slots *positions; /* by input and stream: int64_t, where the node stood when it began */
    size_t n_inputs;
} sl_replayed;

sl_error *sl_replayed_open(sl_replayed *replayed, size_t n_inputs);
/* Of one that is all zero, too. */
void sl_replayed_close(sl_replayed *replayed);
/* To be called by the task's attach, with what it is told, and by its detach. NO_MEMORY. */
sl_error *sl_replayed_attach(sl_replayed *replayed, const sl_stream *stream, uint32_t input,
                             int64_t position);
void sl_replayed_detach(sl_replayed *replayed, const sl_stream *stream);

/* Batches are cut at every node's position, so none lies on both sides of it. */
static inline bool sl_replayed_has(const sl_replayed *replayed, uint32_t input,
                                   const sl_batch *batch) {
    const int64_t *position =
        (const int64_t *)sl_slots_get(&replayed->positions[input], batch->stream->index);
    return position != NULL && batch->next_offset <= *position;
}

#endif /* SL_COLUMNS_REPLAYED_H */
