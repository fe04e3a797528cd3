/*
 * The host's way out: one HTTP client on a loop of its own, and one authorization for each entry of
 * the topology's "stores", so that connections, limits and tokens are shared by all lanes and
 * plugins. The thread begins with the first URL that needs it.
 */
#ifndef HOST_NETWORK_H
#define HOST_NETWORK_H

#include "host/snapshot.h"
#include "http/http.h"
#include "topology/topology.h"

#include "store/store.h"

struct network;

/* `log` may be NULL; called on the network's loop. Errors: NO_MEMORY. */
sl_error *network_new(const struct topology *topology,
                      void (*log)(void *arg, bool warning, const char *text), void *log_arg,
                      struct network **out);
/* Ends requests under way; every store must be closed. NULL is allowed. */
void network_free(struct network *network);

/*
 * Opens the store at `url`: a folder, or a remote one with the credential of the longest prefix in
 * "stores" that fits. Any thread. Errors: CONFIG, NO_MEMORY.
 */
sl_error *network_store_open(struct network *network, const char *url, bool read_only,
                             sl_store **out);

/* The client, begun when it is not yet. Any thread. */
sl_error *network_http(struct network *network, sl_http **out);

/* What was sent so far, and how it was answered. *out is to be freed, its texts live as long as the
 * network. False when memory is short. Any thread. */
bool network_counts(struct network *network, struct snapshot_http **out, size_t *n);

/* Ends an authorization that requests of the client may have used: on its loop, behind them. */
void network_auth_close(struct network *network, sl_http_auth *auth);

#endif /* HOST_NETWORK_H */
