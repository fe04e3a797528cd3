/* Replacing the topology while it runs: see host.h, and reload.c for how. */
#ifndef HOST_RELOAD_H
#define HOST_RELOAD_H

#include "host/run.h"

/* Replaces what is secret in any topology of the run by "***". Any thread. */
void reload_mask(struct host *host, sl_buffer *text);

/* ---- reload_check.c ---- */

/* Refuses the plan when the run's state forbids it at present. Control loop. */
void reload_check(const struct host *host, const struct topology *next, struct topology_plan *plan);
/* By index of plan->nodes: whether other rows may come to it or out of it. NULL: memory is short.
 */
bool *reload_find_affected(const struct topology_plan *plan, const struct topology *next);
/*
 * Whether all of the affected nodes have the same position of each source stream that was taken
 * away for them, so that a change of rows takes effect at one offset. NULL, or CONFLICT with who
 * has not. Control loop.
 */
struct assignment;
sl_error *reload_check_level(const struct assignment *turn, struct host *host,
                             const struct topology_plan *plan, const bool *affected);

#endif /* HOST_RELOAD_H */
