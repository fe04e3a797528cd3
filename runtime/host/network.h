/*
 * The process's way out: one HTTP client on a loop of its own, and one authorization for each
 * credential, so that connections, limits and tokens are shared by all lanes and plugins, and by
 * what reads the state store before and beside them. The thread begins with the first URL that
 * needs it.
 */
#ifndef HOST_NETWORK_H
#define HOST_NETWORK_H

#include "host/snapshot.h"
#include "http/http.h"
#include "topology/topology.h"

#include "store/store.h"

struct network;

typedef void (*network_log)(void *arg, bool warning, const char *text);

/* The topology's "stores" say who pays; it lives longer. `log` may be NULL; called on the network's
 * loop. Errors: NO_MEMORY. */
sl_error *network_new(const struct topology *topology, network_log log, void *log_arg,
                      struct network **out);
/* Ends requests under way; every store must be closed. NULL is allowed. */
void network_free(struct network *network);

/*
 * Opens the store at `url`: a folder, or a remote one with the credential of the longest prefix in
 * "stores" that fits. Any thread. Errors: CONFIG, NO_MEMORY.
 */
sl_error *network_store_open(struct network *network, const char *url, bool read_only,
                             sl_store **out);

/* From now on lines go to `log` instead; NULL: to that of network_new again. Once it returns, the
 * one before is not called any more. Any thread but the network's. */
void network_log_to(struct network *network, network_log log, void *log_arg);

/* The client, begun when it is not yet. Any thread. */
sl_error *network_http(struct network *network, sl_http **out);

/* What was sent so far, and how it was answered. *out is to be freed, its texts live as long as the
 * network. False when memory is short. Any thread. */
bool network_counts(struct network *network, struct snapshot_http **out, size_t *n);

/*
 * The authorization by tokens for a credential: the same for all that name the same one, so that
 * its tokens are fetched once. Any thread. Errors: those of sl_http_token_auth.
 */
sl_error *network_auth_open(struct network *network, const sl_credential *credential,
                            sl_http_auth **out);
/* One of its users is done with it. When nobody is left it ends on the client's loop, behind the
 * requests that used it. Any thread. */
void network_auth_close(struct network *network, sl_http_auth *auth);

#endif /* HOST_NETWORK_H */
