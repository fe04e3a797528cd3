/* Who a client is by its certificate (mutual TLS). */
#ifndef ADMIN_PEER_H
#define ADMIN_PEER_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

/* The common name of the certificate that the client has shown; false when it has shown none, or
 * one that no authority of admin.tls.client_ca has signed, or that is not meant for clients, or not
 * of now. */
bool peer_name(struct MHD_Connection *connection, char *out, size_t room);

#endif /* ADMIN_PEER_H */
