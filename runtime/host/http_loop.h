/* The loop of lib/http on one of ours. */
#ifndef HOST_HTTP_LOOP_H
#define HOST_HTTP_LOOP_H

#include "host/loop.h"
#include "http/http.h"

/* The table for `loop`, which must run until the client's close and drain its inbox once more. */
sl_http_loop http_loop(struct loop *loop);

#endif /* HOST_HTTP_LOOP_H */
