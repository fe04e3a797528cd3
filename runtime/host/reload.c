/* Changing what runs while it runs: see host.h. */
#include "host/run.h"

static sl_error *on_its_way(const char *what) {
    return sl_error_new(SL_ERROR_CONFLICT, "%s: this build cannot do it yet", what);
}

sl_error *host_plan(struct host *host, const struct topology *next, struct topology_plan **out) {
    return topology_plan_new(host->topology, next, out);
}

void host_reload(struct host *host, struct topology *next, void (*done)(void *arg, sl_error *error),
                 void *arg) {
    (void)host;
    topology_free(next);
    done(arg, on_its_way("a reload"));
}
