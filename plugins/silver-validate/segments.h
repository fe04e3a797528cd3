/*
 * Deduplication's state in the state store: for each stream a chain of segments, one a commit, each
 * put if absent under the position that it starts from, which is also the fence against a second
 * writer. A stream's position is the end of its last segment. Small ones are merged when they have
 * got old. On the node's thread; all but acknowledge and forget block.
 */
#ifndef SILVER_SEGMENTS_H
#define SILVER_SEGMENTS_H

#include "dedup.h"

#include "sluice/batch.h"
#include "sluice/plugin.h"
#include "sluice/services.h"
#include "sluice/store.h"

#define SEGMENTS_MERGE_AGE_US INT64_C(300000000)

struct segments;

/* All is borrowed; of the services the clock and the log are used. Segments are deleted once no
 * reader can need them any more (segments_acknowledge) and the clock is `keep_us` past all use of
 * theirs. */
sl_error *segments_new(sl_store *store, const sl_services *services, sl_object *self,
                       int64_t keep_us, struct segments **out);
void segments_free(struct segments *segments);

/* Fills in where the state of each stream ends: `from`, SL_OFFSET_NONE when there is none. */
sl_error *segments_recover(struct segments *segments, sl_position *positions, size_t n);

/* Builds the state as of `offset`. *out is owned by the caller; its log begins at the stored
 * position. Errors: CORRUPT; FATAL when what is needed has been deleted. */
sl_error *segments_load(struct segments *segments, const sl_stream *stream, int64_t offset,
                        struct dedup_shared *shared, struct dedup_stream **out);

/* The same of a state that is that of `offset` already: false when the chain does not end there. */
bool segments_adopt(struct segments *segments, const sl_stream *stream, int64_t offset,
                    struct dedup_stream *state);

/* Makes the logs durable as the stream's next segment, from..to. Done already: success. Errors:
 * CONFLICT when the stored position is not `from`; the store's. */
sl_error *segments_commit(struct segments *segments, const sl_stream *stream, int64_t from,
                          int64_t to, const struct dedup_log *const *logs, size_t n);

/* No resume of the stream will be below `position` any more. */
void segments_acknowledge(struct segments *segments, const sl_stream *stream, int64_t position);

/* Merges one group of old small segments of the stream, if there is one; whether it tried. What
 * goes wrong is logged, and tried again later. */
bool segments_merge(struct segments *segments, const sl_stream *stream);

/* Deletes segments that no resume can need any more, and what has been merged. */
void segments_collect(struct segments *segments, const sl_stream *stream, int64_t within_us);

/* Forgets what is known of a stream in memory. */
void segments_forget(struct segments *segments, const sl_stream *stream);

#endif /* SILVER_SEGMENTS_H */
