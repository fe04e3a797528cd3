/* Nodes that wait: see whole.c. */
#ifndef DELIVERY_WHOLE_H
#define DELIVERY_WHOLE_H

#include "host/object.h"

/* Whether streams that a node needs are with other hosts is looked up anew: node_must_wait says
 * what comes of it. Control loop. */
void whole_look(struct host_node *node);

#endif /* DELIVERY_WHOLE_H */
