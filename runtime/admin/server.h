/*
 * The admin endpoint: an HTTP server on the control loop, without threads of its own. What it
 * answers is decided by routes.c.
 */
#ifndef ADMIN_SERVER_H
#define ADMIN_SERVER_H

#include "host/run.h"

struct admin;

/*
 * Listens where the topology says; *out stays NULL when it says that there shall be none, or when
 * nothing was said and the default's port is taken (which is logged). Errors: CONFIG (the address),
 * FATAL. Control loop.
 */
sl_error *admin_open(struct host *host, struct admin **out);
/* Connections are cut. The loop must run once more. NULL is allowed. Control loop. */
void admin_close(struct admin *admin);

#endif /* ADMIN_SERVER_H */
