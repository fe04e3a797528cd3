/* A plugin's request goes to the network's loop and its response back to the loop of the object
 * that asked: see services_http.h. */
#include "host/services_http.h"

#include "host/network.h"
#include "host/run.h"

#include <stdlib.h>

struct call {
    sl_object *self;
    void (*done)(void *arg, const sl_http_response *response, sl_error *error);
    void *arg;
    sl_http_answer answer;
    sl_error *error;
    struct loop_message message;
};

static void deliver(void *arg) {
    struct call *call = arg;
    sl_object *self = call->self;
    struct object_clock clock = object_enter(self);
    call->done(call->arg, call->error == NULL ? &call->answer.response : NULL, call->error);
    object_leave(self, clock);
    object_work_ended(self);
    sl_http_answer_free(&call->answer);
    free(call);
}

/* On the network's loop. */
static void answered(void *arg, const sl_http_response *response, sl_error *error) {
    struct call *call = arg;
    call->error = error != NULL ? error : sl_http_answer_copy(response, &call->answer);
    loop_post(call->self->loop, &call->message, deliver, call);
}

static sl_error *send_request(sl_object *self, const sl_http_request *request,
                              void (*done)(void *arg, const sl_http_response *response,
                                           sl_error *error),
                              void *arg) {
    sl_http *http = NULL;
    sl_error *error = network_http(self->host->network, &http);
    struct call *call = error == NULL ? calloc(1, sizeof(*call)) : NULL;
    if (call == NULL) {
        return error != NULL ? error : sl_error_no_memory();
    }
    *call = (struct call){.self = self, .done = done, .arg = arg};
    self->works++; /* the object stays until the answer is there */
    error = sl_http_send(http, request, answered, call);
    if (error != NULL) {
        object_work_ended(self);
        free(call);
    }
    return error;
}

static sl_error *auth_open(sl_object *self, const sl_credential *credential, sl_http_auth **out) {
    return network_auth_open(self->host->network, credential, out);
}

static void auth_close(sl_object *self, sl_http_auth *auth) {
    network_auth_close(self->host->network, auth);
}

const sl_http_service host_http_service = {
    .struct_bytes = sizeof(sl_http_service),
    .auth_open = auth_open,
    .auth_close = auth_close,
    .send = send_request,
    .header = sl_http_header_value,
};
