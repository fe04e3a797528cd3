/*
 * Bearer tokens of Microsoft Entra ID. One token for all requests of one credential: it is fetched
 * when the first request needs it, anew in the background well before it ends, and after a 401.
 * What a grant sends is in token_grant.c.
 */
#include "http/token.h"

#include "http/client.h"

#include <stdlib.h>

/* Of a token that lives less than ten minutes these are a quarter and a half of its life. */
#define MARGIN_US (INT64_C(60) * 1000000) /* this near to its end it is not used */
#define EARLY_US (INT64_C(300) * 1000000) /* it is replaced this long before its end */
#define RETRY_US (INT64_C(30) * 1000000)  /* after a renewal that failed */

struct waiter {
    struct waiter *next;
    void (*ready)(void *arg, sl_error *error);
    void *arg;
};

typedef struct token_auth {
    sl_http_auth base;
    struct token_grant grant;
    sl_http *http; /* of the fetch under way */
    sl_buffer token;
    uint64_t number;    /* of the token: how many there have been */
    int64_t refresh_us; /* from here on a new one is fetched */
    int64_t useless_us; /* from here on it is not used */
    bool fetching;
    bool closed; /* while a fetch was under way: its end frees this */
    struct waiter *waiters;
} token_auth;

static void token_free(token_auth *auth) {
    token_grant_free(&auth->grant);
    if (auth->token.data != NULL) {
        explicit_bzero(auth->token.data, auth->token.capacity_bytes);
    }
    sl_buffer_free(&auth->token);
    free(auth);
}

static void tell_waiters(token_auth *auth, const sl_error *error) {
    struct waiter *waiter = auth->waiters;
    auth->waiters = NULL;
    while (waiter != NULL) {
        struct waiter *next = waiter->next;
        waiter->ready(waiter->arg, error == NULL ? NULL
                                                 : sl_error_new(sl_error_get_class(error), "%s",
                                                                sl_error_message(error)));
        free(waiter);
        waiter = next;
    }
}

/* Takes the token of an answer: NULL, or why it has none. */
static sl_error *take(token_auth *auth, const sl_http_response *response) {
    int64_t lifetime_us = 0;
    int64_t refresh_us = -1;
    sl_buffer token = SL_BUFFER_INIT;
    sl_error *error = token_grant_read(&auth->grant, response, &token, &lifetime_us, &refresh_us);
    if (error != NULL) {
        sl_buffer_free(&token);
        return error;
    }
    sl_buffer_free(&auth->token);
    auth->token = token;
    auth->number++;
    int64_t now_us = sl_monotonic_us();
    bool lives_long = lifetime_us > 2 * EARLY_US;
    if (refresh_us < 0 || refresh_us > lifetime_us) {
        refresh_us = lives_long ? lifetime_us - EARLY_US : lifetime_us / 2;
    }
    auth->refresh_us = now_us + refresh_us;
    auth->useless_us = now_us + lifetime_us - (lives_long ? MARGIN_US : lifetime_us / 4);
    return NULL;
}

/* One that is still good goes on: nobody waits then, and only the log says it. */
static void no_token(token_auth *auth, sl_error *error) {
    auth->refresh_us = sl_monotonic_us() + RETRY_US;
    if (auth->waiters == NULL && !auth->http->closed) {
        http_log(auth->http, true, "the token is not renewed: %s", sl_error_message(error));
    }
    tell_waiters(auth, error);
    sl_error_free(error);
}

static void fetched(void *arg, const sl_http_response *response, sl_error *error) {
    token_auth *auth = arg;
    auth->fetching = false;
    if (error == NULL) {
        error = take(auth, response);
    }
    if (error != NULL) {
        no_token(auth, error);
    } else {
        tell_waiters(auth, NULL);
    }
    if (auth->closed) {
        token_free(auth);
    }
}

static void fetch(token_auth *auth, sl_http *http) {
    struct token_request request = {0};
    auth->http = http;
    sl_error *error = token_grant_request(&auth->grant, &request);
    if (error == NULL) {
        auth->fetching = true;
        error = sl_http_send(http, &request.request, fetched, auth);
        auth->fetching = error == NULL;
    }
    if (error != NULL) {
        no_token(auth, error);
    }
    token_request_keep_body(auth->fetching ? &auth->grant : NULL, &request);
}

static void prepare(sl_http_auth *base, sl_http *http, uint64_t refused,
                    void (*ready)(void *arg, sl_error *error), void *arg) {
    token_auth *auth = (token_auth *)base;
    int64_t now_us = sl_monotonic_us();
    if (refused != 0 && refused == auth->number) {
        auth->useless_us = 0;
    }
    if (auth->token.bytes > 0 && now_us < auth->useless_us) {
        if (now_us >= auth->refresh_us && !auth->fetching) {
            fetch(auth, http);
        }
        ready(arg, NULL);
        return;
    }
    struct waiter *waiter = malloc(sizeof(*waiter));
    if (waiter == NULL) {
        ready(arg, sl_error_no_memory());
        return;
    }
    *waiter = (struct waiter){.next = auth->waiters, .ready = ready, .arg = arg};
    auth->waiters = waiter;
    if (!auth->fetching) {
        fetch(auth, http);
    }
}

static sl_error *sign(sl_http_auth *base, const sl_http_attempt *attempt, sl_buffer *headers,
                      uint64_t *number) {
    (void)attempt;
    token_auth *auth = (token_auth *)base;
    sl_buffer_append_text(headers, "Authorization: Bearer ");
    sl_buffer_append(headers, auth->token.data, auth->token.bytes);
    sl_buffer_append_byte(headers, '\n');
    *number = auth->number;
    return headers->failed ? sl_error_no_memory() : NULL;
}

static const char *advice(const sl_http_auth *base) {
    return token_grant_advice(&((const token_auth *)base)->grant);
}

static void close_auth(sl_http_auth *base) {
    token_auth *auth = (token_auth *)base;
    if (auth->fetching) {
        auth->closed = true;
    } else {
        token_free(auth);
    }
}

static const sl_http_auth_ops token_ops = {
    .prepare = prepare,
    .sign = sign,
    .advice = advice,
    .close = close_auth,
};

sl_error *sl_http_token_auth(const sl_credential *credential, sl_http_auth **out) {
    token_auth *auth = calloc(1, sizeof(*auth));
    if (auth == NULL) {
        return sl_error_no_memory();
    }
    auth->base.ops = &token_ops;
    sl_error *error = token_grant_open(credential, &auth->grant);
    if (error != NULL) {
        token_free(auth);
        return error;
    }
    *out = &auth->base;
    return NULL;
}

bool sl_http_token_auth_same(const sl_http_auth *a, const sl_http_auth *b) {
    return token_grant_same(&((const token_auth *)a)->grant, &((const token_auth *)b)->grant);
}
