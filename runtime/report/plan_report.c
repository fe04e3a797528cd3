/* See plan_report.h. */
#include "report/plan_report.h"

void plan_text(sl_buffer *out, const struct topology_plan *plan) {
    (void)plan;
    (void)sl_buffer_append_text(out, "");
}

void plan_json(struct json_out *out, const struct topology_plan *plan) {
    json_out_object(out);
    json_out_member_bool(out, "same", plan->same);
    json_out_end_object(out);
}
