/*
 * Where readers have begun. A node that could not be asked for its position, and turns out to have
 * none once it can be, begins where it would have begun with the others. Kept by its name, since
 * the stream may have gone meanwhile: one entry for each stream that a node was ever given a start
 * of. Control loop.
 */
#ifndef DELIVERY_PLACES_H
#define DELIVERY_PLACES_H

#include "delivery/stream.h"

/* Notes reader->position, unless an earlier one is known. Errors: NO_MEMORY. */
sl_error *places_note(const struct reader *reader);
/* What was noted for streams of this name; SL_OFFSET_NONE: nothing. */
int64_t places_find(const struct reader *reader);
void places_free(struct host_node *node);

#endif /* DELIVERY_PLACES_H */
