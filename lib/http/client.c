/*
 * The client: libcurl's multi handle on the caller's loop. libcurl says which descriptors and which
 * time-out it waits for; the loop tells it when one has come. What single requests do, with their
 * attempts, is exchange.c's.
 */
#include "http/client.h"

#include <stdio.h>
#include <stdlib.h>

struct socket_watch {
    sl_http *http;
    curl_socket_t fd;
    void *watch;
};

static void take_results(sl_http *http) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        CURLcode code = message->data.result;
        CURL *easy = message->easy_handle;
        struct http_exchange *exchange = NULL;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &exchange);
        curl_multi_remove_handle(http->multi, easy);
        http_exchange_attempt_ended(exchange, code);
    }
}

static void socket_ready(void *arg, unsigned events) {
    struct socket_watch *socket = arg;
    sl_http *http = socket->http;
    int flags = ((events & SL_HTTP_READABLE) != 0 ? CURL_CSELECT_IN : 0) |
                ((events & SL_HTTP_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0);
    int running;
    curl_multi_socket_action(http->multi, socket->fd, flags, &running);
    take_results(http);
}

static void timer_fired(void *arg) {
    sl_http *http = arg;
    int running;
    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_results(http);
}

static int timer_wanted(CURLM *multi, long timeout_ms, void *arg) {
    (void)multi;
    sl_http *http = arg;
    if (timeout_ms < 0) {
        http->loop.timer_stop(http->timer);
    } else {
        http->loop.timer_start(http->timer, (uint64_t)timeout_ms);
    }
    return 0;
}

static struct socket_watch *watch_socket(sl_http *http, curl_socket_t fd) {
    struct socket_watch *socket = calloc(1, sizeof(*socket));
    if (socket == NULL) {
        return NULL;
    }
    socket->http = http;
    socket->fd = fd;
    sl_error *error =
        http->loop.watch(http->loop.context, fd, socket_ready, socket, &socket->watch);
    if (error != NULL) {
        http_log(http, true, "%s", sl_error_message(error));
        sl_error_free(error);
        free(socket);
        return NULL;
    }
    curl_multi_assign(http->multi, fd, socket);
    return socket;
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned) {
    (void)easy;
    sl_http *http = arg;
    struct socket_watch *socket = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            http->loop.unwatch(socket->watch);
            free(socket);
            curl_multi_assign(http->multi, fd, NULL);
        }
        return 0;
    }
    if (socket == NULL) {
        socket = watch_socket(http, fd);
    }
    if (socket == NULL) {
        return -1; /* libcurl ends its transfers with an error, which are tried again */
    }
    unsigned events = (what == CURL_POLL_OUT ? 0 : SL_HTTP_READABLE) |
                      (what == CURL_POLL_IN ? 0 : SL_HTTP_WRITABLE);
    sl_error *error = http->loop.watch_events(socket->watch, events);
    if (error != NULL) {
        sl_error_free(error);
        return -1;
    }
    return 0;
}

/* ---- the inbox ---- */

static void free_client(sl_http *http) {
    while (http->hosts != NULL) {
        struct http_host *next = http->hosts->next;
        free(http->hosts);
        http->hosts = next;
    }
    pthread_mutex_destroy(&http->lock);
    free(http->user_agent);
    free(http->ca_file);
    free(http->cert_file);
    free(http->key_file);
    free(http);
}

static struct http_exchange *take_inbox(sl_http *http) {
    pthread_mutex_lock(&http->lock);
    struct http_exchange *newest = http->inbox;
    http->inbox = NULL;
    pthread_mutex_unlock(&http->lock);
    struct http_exchange *oldest = NULL;
    while (newest != NULL) {
        struct http_exchange *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void drain(void *arg) {
    sl_http *http = arg;
    pthread_mutex_lock(&http->lock);
    http->posts--;
    bool last = http->closed && http->posts == 0;
    bool closed = http->closed;
    pthread_mutex_unlock(&http->lock);
    if (last) {
        free_client(http);
    }
    if (closed) {
        return;
    }
    struct http_exchange *exchange = take_inbox(http);
    while (exchange != NULL) {
        struct http_exchange *next = exchange->next;
        exchange->next = http->under_way;
        exchange->link = &http->under_way;
        if (exchange->next != NULL) {
            exchange->next->link = &exchange->next;
        }
        http->under_way = exchange;
        http_exchange_begin(exchange);
        exchange = next;
    }
}

static sl_error *post(sl_http *http, struct http_exchange *exchange) {
    pthread_mutex_lock(&http->lock);
    bool wake = http->posts == 0;
    exchange->next = http->inbox;
    http->inbox = exchange;
    http->posts += wake;
    pthread_mutex_unlock(&http->lock);
    sl_error *error = wake ? http->loop.post(http->loop.context, drain, http) : NULL;
    if (error == NULL) {
        return NULL;
    }
    /* Taken out again. Requests that came meanwhile stay, and go with the next one's post. */
    pthread_mutex_lock(&http->lock);
    http->posts--;
    struct http_exchange **link = &http->inbox;
    while (*link != exchange) {
        link = &(*link)->next;
    }
    *link = exchange->next;
    pthread_mutex_unlock(&http->lock);
    return error;
}

/* ---- making and ending ---- */

static sl_error *open_multi(sl_http *http) {
    http->multi = curl_multi_init();
    if (http->multi == NULL) {
        return sl_error_no_memory();
    }
    sl_error *error = http->loop.timer_open(http->loop.context, timer_fired, http, &http->timer);
    if (error != NULL) {
        return error;
    }
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    long connections = http->options.connections_per_host;
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, 4 * connections);
    return NULL;
}

static void close_multi(sl_http *http) {
    if (http->multi != NULL) {
        curl_multi_cleanup(http->multi); /* tells socket_wanted of each descriptor it closes */
    }
    if (http->timer != NULL) {
        http->loop.timer_close(http->timer);
    }
    http->multi = NULL;
    http->timer = NULL;
}

static void set_defaults(sl_http_options *options) {
    uint32_t *fields[] = {&options->connect_timeout_ms, &options->timeout_ms,
                          &options->stall_timeout_ms, &options->retry_timeout_ms,
                          &options->connections_per_host};
    static const uint32_t defaults[] = {10000, 120000, 20000, 30000, 16};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(fields); i++) {
        if (*fields[i] == 0) {
            *fields[i] = defaults[i];
        }
    }
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_status;
static void start_curl(void) {
    curl_status = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* False when memory is short; NULL stays so. */
static bool copy_path(const char *path, char **out) {
    *out = path != NULL ? strdup(path) : NULL;
    return path == NULL || *out != NULL;
}

sl_error *sl_http_open(const sl_http_loop *loop, const sl_http_options *options, sl_http **out) {
    pthread_once(&curl_once, start_curl);
    if (curl_status != CURLE_OK) {
        return sl_error_new(SL_ERROR_FATAL, "libcurl does not start: %s",
                            curl_easy_strerror(curl_status));
    }
    sl_http *http = calloc(1, sizeof(*http));
    if (http == NULL) {
        return sl_error_no_memory();
    }
    http->loop = *loop;
    http->options = *options;
    set_defaults(&http->options);
    http->random = (uint64_t)sl_now_us() ^ (uint64_t)(uintptr_t)http << 16;
    pthread_mutex_init(&http->lock, NULL);
    http->user_agent = strdup(options->user_agent != NULL ? options->user_agent : "sluice");
    bool copied = http->user_agent != NULL && copy_path(options->ca_file, &http->ca_file) &&
                  copy_path(options->cert_file, &http->cert_file) &&
                  copy_path(options->key_file, &http->key_file);
    sl_error *error = copied ? open_multi(http) : sl_error_no_memory();
    if (error != NULL) {
        close_multi(http);
        free_client(http);
        return error;
    }
    *out = http;
    return NULL;
}

void sl_http_close(sl_http *http) {
    pthread_mutex_lock(&http->lock);
    http->closed = true;
    pthread_mutex_unlock(&http->lock);
    struct http_exchange *waiting = take_inbox(http);
    while (waiting != NULL) {
        struct http_exchange *next = waiting->next;
        http_exchange_cancel(waiting);
        waiting = next;
    }
    while (http->under_way != NULL) {
        http_exchange_cancel(http->under_way);
    }
    close_multi(http);
    pthread_mutex_lock(&http->lock);
    bool last = http->posts == 0;
    pthread_mutex_unlock(&http->lock);
    if (last) {
        free_client(http); /* else the last drain does */
    }
}

/* ---- sending ---- */

static size_t copy_text(char *to, size_t at, const char *text, const char **out) {
    size_t bytes = strlen(text) + 1;
    if (to != NULL) {
        memcpy(to + at, text, bytes);
        *out = to + at;
    }
    return at + bytes;
}

/* Copies method, URL and headers into `to` (NULL: only counts); returns their bytes. */
static size_t copy_request(struct http_exchange *exchange, const sl_http_request *from, char *to) {
    size_t at = copy_text(to, 0, from->method, &exchange->request.method);
    at = copy_text(to, at, from->url, &exchange->request.url);
    for (size_t i = 0; i < from->n_headers; i++) {
        sl_http_header *header = exchange->headers != NULL ? &exchange->headers[i] : NULL;
        const char *ignored;
        at = copy_text(to, at, from->headers[i].name, header != NULL ? &header->name : &ignored);
        at = copy_text(to, at, from->headers[i].value, header != NULL ? &header->value : &ignored);
    }
    return at;
}

static sl_error *exchange_new(sl_http *http, const sl_http_request *request,
                              struct http_exchange **out) {
    struct http_exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange == NULL) {
        return sl_error_no_memory();
    }
    exchange->http = http;
    exchange->request = *request;
    exchange->texts = malloc(copy_request(exchange, request, NULL));
    exchange->headers = calloc(request->n_headers + 1, sizeof(*exchange->headers));
    if (exchange->texts == NULL || exchange->headers == NULL) {
        http_exchange_free(exchange);
        return sl_error_no_memory();
    }
    copy_request(exchange, request, exchange->texts);
    exchange->request.headers = exchange->headers;
    *out = exchange;
    return NULL;
}

sl_error *sl_http_send(sl_http *http, const sl_http_request *request, sl_http_done done,
                       void *arg) {
    const char *url = request->url;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "\"%.*s\" is no URL to send to; allowed are http:// and https://",
                            (int)strcspn(url, "?"), url);
    }
    struct http_exchange *exchange = NULL;
    sl_error *error = exchange_new(http, request, &exchange);
    if (error != NULL) {
        return error;
    }
    exchange->done = done;
    exchange->arg = arg;
    error = post(http, exchange);
    if (error != NULL) {
        http_exchange_free(exchange);
    }
    return error;
}

/* ---- small things ---- */

struct http_host *http_host_of(sl_http *http, const char *url) {
    const char *name = strstr(url, "//") + 2;
    size_t bytes = strcspn(name, "/?#");
    for (struct http_host *host = http->hosts; host != NULL; host = host->next) {
        if (strncmp(host->name, name, bytes) == 0 && host->name[bytes] == 0) {
            return host;
        }
    }
    struct http_host *host = calloc(1, sizeof(*host) + bytes + 1);
    if (host != NULL) {
        memcpy(host->name, name, bytes);
        host->retries_left = HTTP_RETRIES_MOST;
        host->next = http->hosts;
        http->hosts = host;
    }
    return host;
}

/* xorshift64*: only for jitter. */
uint64_t http_random(sl_http *http) {
    uint64_t x = http->random != 0 ? http->random : 1;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    http->random = x;
    return x * UINT64_C(2685821657736338717);
}

void http_log(sl_http *http, bool warning, const char *format, ...) {
    if (http->options.log == NULL) {
        return;
    }
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    http->options.log(http->options.arg, warning, text);
}
