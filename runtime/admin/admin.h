/* The endpoint as its own parts see it: server.c (the daemon on the loop), request.c (requests). */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "host/run.h"

#include <microhttpd.h>

#define ADMIN_MAX_REQUEST_BYTES ((size_t)1 << 20)

struct request;

struct admin {
    struct host *host;
    struct MHD_Daemon *daemon;
    struct access *access; /* NULL: nobody is asked who he is */
    bool needs_certificate;
    double requests_left; /* that may come at once, */
    int64_t requests_us;  /* when that was true */
    const char *scheme;
    uv_poll_t poll;
    uv_timer_t timer;
    struct revision *revision; /* of the topology, under way; NULL: none */
    struct request *waiting;   /* requests whose answers are to come */
    struct follower *followers;
    uv_timer_t beat; /* while there are followers */
    int holders;     /* what still needs this after admin_close: handles and work */
};

/* Lets the daemon see to its connections in the loop's next turn. */
void admin_wake(struct admin *admin);
/* After admin_close, one of its holders is done. */
void admin_release(struct admin *admin);

/* MHD's callbacks; `admin` is the argument of both. */
enum MHD_Result request_handle(void *admin, struct MHD_Connection *connection, const char *path,
                               const char *method, const char *version, const char *data,
                               size_t *data_bytes, void **context);
void request_completed(void *admin, struct MHD_Connection *connection, void **context,
                       enum MHD_RequestTerminationCode code);
/* The endpoint ends: what waits is told so. */
void request_end_waiting(struct admin *admin);

#endif /* ADMIN_ADMIN_H */
