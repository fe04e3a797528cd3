/* A plan for people and for programs. */
#ifndef REPORT_PLAN_REPORT_H
#define REPORT_PLAN_REPORT_H

#include "report/json_out.h"
#include "topology/plan.h"

/* Appends lines of text: what is kept is only counted. out->failed tells that memory ran short. */
void plan_text(sl_buffer *out, const struct topology_plan *plan);
/* Writes one JSON object. */
void plan_json(struct json_out *out, const struct topology_plan *plan);

#endif /* REPORT_PLAN_REPORT_H */
