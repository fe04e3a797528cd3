/*
 * A run whose configuration is another one than that of the run before: what was read by some nodes
 * and not by others is read to its end as it was read first, then the change takes effect.
 */
#ifndef CLI_CHANGE_H
#define CLI_CHANGE_H

#include "cli/common.h"
#include "host/editions.h"
#include "host/host.h"
#include "host/targets.h"

/* What the run before it is made with. */
struct change_options {
    const struct host_options *host; /* for the log and the network */
    struct plugin_registry *registry;
    bool skip; /* --skip-replay: the change takes effect at once */
};

struct change;

/*
 * Compares the topology with the last edition, and catches up after a change. *stopped: a signal
 * came meanwhile, and the run is over. On success *out (NULL: the topology has no state store) is
 * the caller's. Errors: CONFIG when the old one cannot be run; the store's; those of a run.
 */
sl_error *change_settle(const struct topology *topology, const struct change_options *options,
                        struct change **out, bool *stopped);

/* Which nodes are to be paused; *out is the caller's (targets_close). Errors: targets_open's,
 * once it is not tried again. */
sl_error *change_open_targets(const struct topology *topology, const struct host_options *host,
                              struct targets **out);

/* Reading is about to begin: what has changed takes effect. For host_options.begin; `change` as
 * above. Errors: the store's. */
sl_error *change_begin(void *change);

/* A reload takes effect: `next`, which lives until the run's end, is what runs. For
 * host_options.take_effect. Errors: the store's. */
sl_error *change_follow(void *change, const struct topology *next);

/* The run is over; `level` says that it left its nodes level. A store that fails now is only
 * logged: a later change then catches up in vain. Frees it; NULL is allowed. */
void change_end(struct change *change, bool level);

#endif /* CLI_CHANGE_H */
