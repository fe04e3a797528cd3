/* Who may pass to a route, and the record of who has. Control loop. */
#ifndef ADMIN_GUARD_H
#define ADMIN_GUARD_H

#include "admin/exchange.h"

/* False after a 401, 403 or 429, or when the exchange waits for its log-in and will come again.
 * Fills exchange->user. */
bool guard_lets_in(struct exchange *exchange, enum access_role role);
/* One line of log for a request that was to change something, once it is answered. */
void guard_record(struct exchange *exchange);

#endif /* ADMIN_GUARD_H */
