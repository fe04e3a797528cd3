/*
 * Credentials that end and that sluice cannot renew by itself: shared access signatures, and the
 * endpoint's certificate. Tokens (Entra) are fetched anew, keys do not end.
 */
#ifndef ADMIN_CREDENTIALS_H
#define ADMIN_CREDENTIALS_H

#include "topology/topology.h"

/* Calls found(arg, name, when it ends) for each; the name is borrowed for the call. Reads the
 * certificate's file, which is small. */
void credentials_list(const struct topology *topology,
                      void (*found)(void *arg, const char *credential, int64_t expires_s),
                      void *arg);

#endif /* ADMIN_CREDENTIALS_H */
