/*
 * The editions of a pipeline's configuration in its state store, and who has run under them:
 *   config/<20 digits>.json   editions, each put if absent under the next number
 *   runs/<host>-<pid>-<token> one object for each run that has not ended level
 * As long as there is an object in runs/, some nodes may be ahead of others: a run died, or another
 * host is at work.
 */
#ifndef HOST_EDITIONS_H
#define HOST_EDITIONS_H

#include "topology/edition.h"

#include <stdbool.h>

struct editions;
struct network;

/* Reads what is stored. The topology has a state store and lives longer, as does the network.
 * Blocks, as all of this. Errors: the store's, edition_parse's. */
sl_error *editions_open(const struct topology *topology, struct network *network,
                        struct editions **out);
void editions_close(struct editions *editions);

/* The last edition and its number; NULL: none. Borrowed. */
struct edition *editions_last(const struct editions *editions, int64_t *number);
/* True when some run has not ended level. */
bool editions_uneven(const struct editions *editions);

/* Stores the topology as the next edition. Another host that does the same at this moment is no
 * fault. Errors: CONFLICT (somebody stored another one), the store's. */
sl_error *editions_add(struct editions *editions);
/* The topology that was added is replaced by this one, which lives as long: the same, if it is
 * another edition. */
sl_error *editions_follow(struct editions *editions, const struct topology *next);
/* A run begins. */
sl_error *editions_run_begins(struct editions *editions);
/* It has ended level: forgets it, and those of this host that died before it. */
sl_error *editions_run_ended_level(struct editions *editions);

#endif /* HOST_EDITIONS_H */
