/*
 * A keeper: the positions of a sink that keeps none itself, in the state store as numbered versions
 * that are put if absent. At least once: what was sent after the last stored version is sent again
 * after a crash. The hosts of a group share the versions. Without a state store positions live as
 * long as the process.
 */
#ifndef DELIVERY_KEEPER_H
#define DELIVERY_KEEPER_H

#include "host/object.h"

struct keeper;

/* `store` (NULL allowed) is the node's folder of the state store, borrowed for the keeper's life.
 */
sl_error *keeper_new(struct host_node *node, sl_store *store, struct keeper **out);
/* Sets positions[i].from of each. Ends `request` with the result. Control loop. */
void keeper_recover(struct keeper *keeper, sl_position *positions, size_t n, sl_request *request);
/* Makes positions[i].to durable if each still is `from`; SL_OFFSET_NONE forgets one. Errors:
 * CONFLICT (another host has moved one of them), RETRIABLE. Control loop, one call at a time. */
void keeper_store(struct keeper *keeper, const sl_position *positions, size_t n,
                  sl_request *request);
/* Each position that is kept, once a keeper_recover (of none, too) has succeeded, and as long as
 * nothing else was asked of the keeper; `key` is borrowed. Control loop. */
void keeper_each(const struct keeper *keeper,
                 void (*take)(void *arg, const char *key, int64_t offset), void *arg);
void keeper_free(struct keeper *keeper);

#endif /* DELIVERY_KEEPER_H */
