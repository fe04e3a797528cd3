/*
 * The host as a plugin sees it while its configuration is only checked: `open` may ask for memory,
 * logs, metrics and stores (read-only); nothing flows, nothing is scheduled.
 */
#ifndef CLI_VALIDATE_SERVICES_H
#define CLI_VALIDATE_SERVICES_H

#include "topology/topology.h"

#include "sluice/services.h"

struct validate_host;

sl_error *validate_host_new(const struct topology *topology, struct validate_host **out);
void validate_host_free(struct validate_host *host);

/* What plugins logged about a node while it was opened, warnings and information: note `i`, or NULL
 * behind the last. Borrowed. */
const char *validate_host_note(const struct validate_host *host, size_t index, size_t i);

extern const sl_services validate_services;
/* The object of node `index`; `host` is the struct validate_host. For graph_open. */
sl_object *validate_host_object(void *host, size_t index);

#endif /* CLI_VALIDATE_SERVICES_H */
