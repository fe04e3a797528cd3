/* What client.c and exchange.c share: no public interface. */
#ifndef SL_HTTP_CLIENT_H
#define SL_HTTP_CLIENT_H

#include "http/http.h"

#include <curl/curl.h>
#include <pthread.h>

/* Retries that one host may still cost: each takes one, each answer that is none gives back a part.
 * Keeps a fleet's retries from drowning a service that is coming back. */
struct http_host {
    struct http_host *next;
    double retries_left;
    char name[]; /* "host:port" as in the URL */
};
#define HTTP_RETRIES_MOST 100.0
#define HTTP_RETRIES_BACK 0.2

struct http_exchange;

struct sl_http {
    sl_http_loop loop;
    sl_http_options options;
    char *user_agent;
    char *ca_file;
    char *cert_file;
    char *key_file;
    CURLM *multi;
    void *timer;
    struct http_exchange *under_way; /* doubly linked */
    struct http_host *hosts;
    uint64_t random;
    /* The inbox: requests of other threads until the loop takes them. */
    pthread_mutex_t lock;
    struct http_exchange *inbox; /* newest first */
    size_t posts;                /* drains that the loop has not run yet */
    bool closed;
};

/* One request and its attempts. */
struct http_exchange {
    sl_http *http;
    struct http_exchange *next;
    struct http_exchange **link; /* what points here, in sl_http.under_way */
    sl_http_request request;     /* with copies of what is not borrowed */
    sl_http_header *headers;
    char *texts; /* all copied strings */
    struct http_host *host;
    sl_http_done done;
    void *arg;
    CURL *easy;
    struct curl_slist *lines;
    sl_buffer response_headers;
    sl_buffer response_body;
    bool too_long;      /* the body */
    bool head_too_long; /* the headers */
    bool renewed;
    uint64_t signed_with; /* number of the last attempt's authorization */
    bool authorizing;     /* prepare has not called back yet */
    bool cancelled;       /* the client closes: it ends when prepare calls back */
    uint32_t attempts;
    int64_t since_us;   /* the first attempt's begin */
    int64_t attempt_us; /* this one's */
    void *pause;
    char problem[CURL_ERROR_SIZE];
};

/* Begins an exchange that the inbox held; it ends by itself. */
void http_exchange_begin(struct http_exchange *exchange);
/* libcurl is done with its handle, which is out of the multi. */
void http_exchange_attempt_ended(struct http_exchange *exchange, CURLcode code);
/* Ends it with an error: the client closes. */
void http_exchange_cancel(struct http_exchange *exchange);
void http_exchange_free(struct http_exchange *exchange);

/* The host's record, made when it is new; NULL when memory is short. */
struct http_host *http_host_of(sl_http *http, const char *url);
uint64_t http_random(sl_http *http);
void http_log(sl_http *http, bool warning, const char *format, ...) SL_PRINTF(3, 4);

#endif /* SL_HTTP_CLIENT_H */
