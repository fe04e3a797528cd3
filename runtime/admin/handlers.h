/* What the routes lead to; each fills the answer of its exchange. Control loop. */
#ifndef ADMIN_HANDLERS_H
#define ADMIN_HANDLERS_H

#include "admin/exchange.h"

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
void answer_task_status(struct exchange *exchange);

/* plugins.c */
void answer_plugins(struct exchange *exchange);
void answer_plugin_config(struct exchange *exchange);

/* status.c: /v1 */
void answer_v1_status(struct exchange *exchange);
void answer_v1_topology(struct exchange *exchange);

/* The node that the second part of the path names; NULL after a 404. */
struct host_node *exchange_node(struct exchange *exchange);

#endif /* ADMIN_HANDLERS_H */
