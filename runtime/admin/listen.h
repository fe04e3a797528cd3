/* Where the endpoint listens, and with which certificate: what the topology says, checked. */
#ifndef ADMIN_LISTEN_H
#define ADMIN_LISTEN_H

#include "topology/topology.h"

#include <sys/socket.h>

struct listen {
    struct sockaddr_storage address;
    sl_buffer cert; /* PEM, ending with a 0 byte; empty: no TLS */
    sl_buffer key;
    sl_buffer client_ca; /* PEM of who signs clients' certificates; empty: none is asked for */
    bool loopback;
};

/* Whether the address is one, and one where the endpoint may listen as it is. Errors: CONFIG. */
sl_error *listen_check(const struct topology *topology);

/*
 * Reads it; blocks. In any case listen_free. Errors: CONFIG: no address, an address that others
 * reach while nobody is asked who he is, half a certificate, a file that cannot be read.
 */
sl_error *listen_read(const struct topology *topology, struct listen *out);
void listen_free(struct listen *listen);

#endif /* ADMIN_LISTEN_H */
