/* What the routes lead to; each fills the answer of its exchange. Control loop. */
#ifndef ADMIN_HANDLERS_H
#define ADMIN_HANDLERS_H

#include "admin/exchange.h"

/* ---- connect/: Kafka Connect's REST API, a node being a connector and its lanes its tasks ---- */

/* connect.c */
void answer_root(struct exchange *exchange);
void answer_connectors(struct exchange *exchange);
void answer_connector(struct exchange *exchange);
void answer_config(struct exchange *exchange);
void answer_status(struct exchange *exchange);
void answer_tasks(struct exchange *exchange);
void answer_task_status(struct exchange *exchange);
/* Answers with the node called so; false after another answer. */
bool connect_write_connector(struct exchange *exchange, const char *name, int status);

/* connectors.c: changes of connectors */
void answer_create(struct exchange *exchange);
void answer_put_config(struct exchange *exchange);
void answer_patch_config(struct exchange *exchange);
void answer_delete(struct exchange *exchange);

/* flow.c */
void answer_topics(struct exchange *exchange);
void answer_reset_topics(struct exchange *exchange);
void answer_offsets(struct exchange *exchange);
/* One of Connect's offsets. */
void offsets_write(struct json_out *out, const char *topic, int64_t partition, int64_t offset);

/* offsets.c: of nodes that are stopped */
void answer_alter_offsets(struct exchange *exchange);
void answer_reset_offsets(struct exchange *exchange);
/* False: the node is not stopped, or keeps its positions itself. */
bool offsets_answer_stopped(struct exchange *exchange, struct host_node *node);

/* lifecycle.c */
void answer_restart(struct exchange *exchange);
void answer_task_restart(struct exchange *exchange);
void answer_pause(struct exchange *exchange);
void answer_stop(struct exchange *exchange);
void answer_resume(struct exchange *exchange);

/* loggers.c */
void answer_loggers(struct exchange *exchange);
void answer_logger(struct exchange *exchange);
void answer_set_logger(struct exchange *exchange);

/* plugins.c */
void answer_plugins(struct exchange *exchange);
void answer_plugin_config(struct exchange *exchange);
/* Writes Connect's definition of an option. */
void plugin_option(struct json_out *out, const sl_option *option, const char *group, int64_t order);

/* validate.c */
void answer_validate(struct exchange *exchange);

/* ---- change/: the topology's document and its history ---- */

/* topology.c */
void answer_topology(struct exchange *exchange);
void answer_put_topology(struct exchange *exchange);
void answer_patch_topology(struct exchange *exchange);
void answer_history(struct exchange *exchange);
void answer_version(struct exchange *exchange);
void answer_roll_back(struct exchange *exchange);

/* ---- view/: how it goes ---- */

/* health.c */
void answer_health(struct exchange *exchange);
void answer_ready(struct exchange *exchange);

/* metrics.c: Prometheus' text format 0.0.4, OpenMetrics 1.0 */
void answer_metrics(struct exchange *exchange);

/* status.c: /v1 */
void answer_v1_status(struct exchange *exchange);
void answer_user(struct exchange *exchange);

/* tap.c */
void answer_tap(struct exchange *exchange);

/* events.c */
void answer_events(struct exchange *exchange);

/* bundle.c */
void answer_bundle(struct exchange *exchange);

/* openapi.c */
void answer_openapi(struct exchange *exchange);

/* page.c: the dashboard */
void answer_front(struct exchange *exchange);
void answer_page_file(struct exchange *exchange);

#endif /* ADMIN_HANDLERS_H */
