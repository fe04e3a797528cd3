/* See plan.h. */
#include "topology/plan.h"

sl_error *topology_plan_new(const struct topology *now, const struct topology *next,
                            struct topology_plan **out) {
    (void)now;
    (void)next;
    *out = NULL;
    return sl_error_new(SL_ERROR_CONFLICT, "a plan: this build cannot make it yet");
}

void topology_plan_refuse(struct topology_plan *plan, const char *sentence) {
    (void)plan;
    (void)sentence;
}

void topology_plan_free(struct topology_plan *plan) {
    (void)plan;
}

const char *plan_action_name(enum plan_action action) {
    static const char *const names[] = {[PLAN_KEPT] = "kept",
                                        [PLAN_CHANGED] = "changed",
                                        [PLAN_REOPENED] = "reopened",
                                        [PLAN_ADDED] = "added",
                                        [PLAN_REMOVED] = "removed"};
    return names[action];
}
