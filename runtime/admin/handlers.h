/* What the routes lead to; each fills the answer of its exchange. Control loop. */
#ifndef ADMIN_HANDLERS_H
#define ADMIN_HANDLERS_H

#include "admin/exchange.h"
#include "topology/document.h"

/* page.c: the dashboard */
void answer_front(struct exchange *exchange);
void answer_page_file(struct exchange *exchange);

/* health.c */
void answer_health(struct exchange *exchange);
void answer_ready(struct exchange *exchange);

/* metrics.c: Prometheus' text format 0.0.4 */
void answer_metrics(struct exchange *exchange);

/* connect.c: Kafka Connect's REST API, a node being a connector and its lanes its tasks */
void answer_root(struct exchange *exchange);
void answer_connectors(struct exchange *exchange);
void answer_connector(struct exchange *exchange);
void answer_config(struct exchange *exchange);
void answer_status(struct exchange *exchange);
void answer_tasks(struct exchange *exchange);
/* Answers with the node called so; false after another answer. */
bool connect_write_connector(struct exchange *exchange, const char *name, int status);
void answer_task_status(struct exchange *exchange);

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

/* tap.c */
void answer_tap(struct exchange *exchange);

/* events.c */
void answer_events(struct exchange *exchange);

/* bundle.c */
void answer_bundle(struct exchange *exchange);

/* openapi.c */
void answer_openapi(struct exchange *exchange);

/* status.c: /v1 */
void answer_v1_status(struct exchange *exchange);
void answer_user(struct exchange *exchange);

/* topology.c */
void answer_topology(struct exchange *exchange);
void answer_put_topology(struct exchange *exchange);
void answer_patch_topology(struct exchange *exchange);
void answer_history(struct exchange *exchange);
void answer_version(struct exchange *exchange);
void answer_roll_back(struct exchange *exchange);

/* connectors.c: Kafka Connect's changes of connectors */
void answer_create(struct exchange *exchange);
void answer_put_config(struct exchange *exchange);
void answer_patch_config(struct exchange *exchange);
void answer_delete(struct exchange *exchange);

/* The node that the path names: /connectors/NODE, /v1/nodes/NODE; NULL after a 404. */
struct host_node *exchange_node(struct exchange *exchange);
/* The node of this name; NULL after a 404. */
struct host_node *exchange_node_called(struct exchange *exchange, const char *name);
/* The lane that the fourth part of the path names; false after a 404. */
bool exchange_task(struct exchange *exchange, const struct host_node *node, int64_t *task);
/* The plugin that the second part of the path names; NULL after a 404. */
const struct plugin *exchange_plugin(struct exchange *exchange);
/* A query parameter that is true, false, or absent (false); false after a 400. */
bool exchange_flag(struct exchange *exchange, const char *name, bool *out);
/* The request's body, which has to be a JSON object, in the arena; NULL after a 400. */
struct json_value *exchange_object(struct exchange *exchange, struct arena *arena);

#endif /* ADMIN_HANDLERS_H */
