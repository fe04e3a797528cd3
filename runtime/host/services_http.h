/* services->http: requests of plugins, sent by the host's network. */
#ifndef HOST_SERVICES_HTTP_H
#define HOST_SERVICES_HTTP_H

#include "host/object.h"

extern const sl_http_service host_http_service;

#endif /* HOST_SERVICES_HTTP_H */
