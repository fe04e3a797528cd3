/*
 * One request: authorization, attempts, pauses between them, and the one call that ends it.
 *
 *   begin → authorize → attempt → (401 once: authorize anew) → (may pass: pause → authorize) → done
 */
#include "http/client.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_RESPONSE_BYTES ((size_t)64 << 20)
#define MAX_HEADER_BYTES ((size_t)256 << 10)

static void authorize(struct http_exchange *exchange, uint64_t refused);

void http_exchange_free(struct http_exchange *exchange) {
    if (exchange->easy != NULL) {
        curl_easy_cleanup(exchange->easy);
    }
    curl_slist_free_all(exchange->lines);
    if (exchange->pause != NULL) {
        exchange->http->loop.timer_close(exchange->pause);
    }
    sl_buffer_free(&exchange->response_headers);
    sl_buffer_free(&exchange->response_body);
    free(exchange->headers);
    free(exchange->texts);
    free(exchange);
}

/* Where a message says it happened: no query, which may hold a signature. */
static int place_length(const struct http_exchange *exchange) {
    return (int)strcspn(exchange->request.url, "?");
}

static void unlink_exchange(struct http_exchange *exchange) {
    if (exchange->link != NULL) {
        *exchange->link = exchange->next;
        if (exchange->next != NULL) {
            exchange->next->link = exchange->link;
        }
        exchange->link = NULL;
    }
}

static void finish(struct http_exchange *exchange, const sl_http_response *response,
                   sl_error *error) {
    unlink_exchange(exchange);
    exchange->done(exchange->arg, response, error);
    http_exchange_free(exchange);
}

void http_exchange_cancel(struct http_exchange *exchange) {
    if (exchange->authorizing) {
        exchange->cancelled = true;
        unlink_exchange(exchange);
        return;
    }
    if (exchange->easy != NULL && exchange->http->multi != NULL) {
        curl_multi_remove_handle(exchange->http->multi, exchange->easy);
    }
    finish(exchange, NULL,
           sl_error_new(SL_ERROR_RETRIABLE, "%s %.*s: not done, the program ends",
                        exchange->request.method, place_length(exchange), exchange->request.url));
}

/* ---- what comes back ---- */

static size_t take_header(char *data, size_t size, size_t n, void *arg) {
    struct http_exchange *exchange = arg;
    size_t bytes = size * n;
    sl_buffer *headers = &exchange->response_headers;
    if (bytes >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        sl_buffer_clear(headers); /* of the answer before: 100 Continue, a proxy's CONNECT */
        return bytes;
    }
    const char *colon = memchr(data, ':', bytes);
    if (colon == NULL) {
        return bytes;
    }
    size_t name_bytes = (size_t)(colon - data);
    for (size_t i = 0; i < name_bytes; i++) {
        char c = data[i];
        sl_buffer_append_byte(headers, (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
    }
    const char *value = colon + 1;
    const char *end = data + bytes;
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
    sl_buffer_append_text(headers, ": ");
    sl_buffer_append(headers, value, (size_t)(end - value));
    sl_buffer_append_byte(headers, '\n');
    exchange->head_too_long = headers->bytes > MAX_HEADER_BYTES;
    return headers->failed || exchange->head_too_long ? 0 : bytes;
}

static size_t take_body(char *data, size_t size, size_t n, void *arg) {
    struct http_exchange *exchange = arg;
    size_t bytes = size * n;
    const sl_http_options *options = &exchange->http->options;
    long status = 0;
    if (options->piece != NULL &&
        curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
        status / 100 == 2) {
        return options->piece(options->arg, data, bytes) ? bytes : 0;
    }
    size_t most = exchange->request.max_response_bytes;
    if (bytes > (most != 0 ? most : MAX_RESPONSE_BYTES) - exchange->response_body.bytes) {
        exchange->too_long = true;
        return 0;
    }
    return sl_buffer_append(&exchange->response_body, data, bytes) ? bytes : 0;
}

/* ---- one attempt ---- */

/* Appends "Name: value" lines of `text` to the list; false when memory is short. */
static bool add_lines(struct http_exchange *exchange, char *text) {
    for (char *line = text; line != NULL && *line != 0;) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end++ = 0;
        }
        struct curl_slist *lines = curl_slist_append(exchange->lines, line);
        if (lines == NULL) {
            return false;
        }
        exchange->lines = lines;
        line = end;
    }
    return true;
}

static sl_error *make_lines(struct http_exchange *exchange) {
    const sl_http_request *request = &exchange->request;
    curl_slist_free_all(exchange->lines);
    exchange->lines = NULL;
    sl_buffer text = SL_BUFFER_INIT;
    for (size_t i = 0; i < request->n_headers; i++) {
        const char *value = request->headers[i].value;
        /* libcurl sends a header without a value only when its name ends in ';' */
        sl_buffer_printf(&text, value[0] == 0 ? "%s;%s\n" : "%s: %s\n", request->headers[i].name,
                         value);
    }
    sl_buffer_append_text(&text, "Expect:\n"); /* no round trip before the body */
    sl_error *error = NULL;
    if (request->auth != NULL) {
        sl_http_attempt attempt = {.method = request->method,
                                   .url = request->url,
                                   .headers = request->headers,
                                   .n_headers = request->n_headers,
                                   .body_bytes = request->body_bytes};
        error = request->auth->ops->sign(request->auth, &attempt, &text, &exchange->signed_with);
    }
    if (error == NULL &&
        (sl_buffer_text(&text) == NULL || !add_lines(exchange, (char *)text.data))) {
        error = sl_error_no_memory();
    }
    sl_buffer_free(&text);
    return error;
}

static void set_method(struct http_exchange *exchange) {
    const sl_http_request *request = &exchange->request;
    CURL *easy = exchange->easy;
    bool sends = request->body_bytes > 0 || strcmp(request->method, "PUT") == 0 ||
                 strcmp(request->method, "POST") == 0 || strcmp(request->method, "PATCH") == 0;
    if (sends) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body_bytes > 0 ? request->body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
    }
    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(request->method, sends ? "POST" : "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

static void set_limits(struct http_exchange *exchange) {
    const sl_http_options *options = &exchange->http->options;
    CURL *easy = exchange->easy;
    uint32_t timeout_ms = exchange->request.timeout_ms;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     (long)(timeout_ms != 0 ? timeout_ms : options->timeout_ms));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                     (long)((options->stall_timeout_ms + 999) / 1000));
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
}

static sl_error *make_easy(struct http_exchange *exchange) {
    sl_http *http = exchange->http;
    if (exchange->easy == NULL) {
        exchange->easy = curl_easy_init();
    }
    if (exchange->easy == NULL) {
        return sl_error_no_memory();
    }
    CURL *easy = exchange->easy;
    curl_easy_reset(easy);
    set_limits(exchange);
    set_method(exchange);
    curl_easy_setopt(easy, CURLOPT_URL, exchange->request.url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->lines);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, http->user_agent);
    if ((exchange->request.flags & SL_HTTP_DIRECT) != 0) {
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    }
    if (http->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
    }
    if (http->cert_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, http->cert_file);
        curl_easy_setopt(easy, CURLOPT_SSLKEY,
                         http->key_file != NULL ? http->key_file : http->cert_file);
    }
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->problem);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    return NULL;
}

static void attempt(struct http_exchange *exchange) {
    sl_error *error = make_lines(exchange);
    if (error == NULL) {
        error = make_easy(exchange);
    }
    if (error == NULL) {
        exchange->attempts++;
        exchange->attempt_us = sl_monotonic_us();
        exchange->problem[0] = 0;
        sl_buffer_clear(&exchange->response_headers);
        sl_buffer_clear(&exchange->response_body);
        CURLMcode code = curl_multi_add_handle(exchange->http->multi, exchange->easy);
        error = code == CURLM_OK ? NULL
                                 : sl_error_new(SL_ERROR_FATAL, "%s %.*s: %s",
                                                exchange->request.method, place_length(exchange),
                                                exchange->request.url, curl_multi_strerror(code));
    }
    if (error != NULL) {
        finish(exchange, NULL, error);
    }
}

/* ---- between attempts ---- */

static void authorized(void *arg, sl_error *error) {
    struct http_exchange *exchange = arg;
    exchange->authorizing = false;
    if (exchange->cancelled) {
        sl_error_free(error);
        http_exchange_cancel(exchange);
    } else if (error != NULL) {
        finish(exchange, NULL,
               sl_error_wrap(error, "%s %.*s", exchange->request.method, place_length(exchange),
                             exchange->request.url));
    } else {
        attempt(exchange);
    }
}

static void authorize(struct http_exchange *exchange, uint64_t refused) {
    sl_http_auth *auth = exchange->request.auth;
    if (auth == NULL) {
        attempt(exchange);
    } else {
        exchange->authorizing = true;
        auth->ops->prepare(auth, exchange->http, refused, authorized, exchange);
    }
}

void http_exchange_begin(struct http_exchange *exchange) {
    exchange->host = http_host_of(exchange->http, exchange->request.url);
    exchange->since_us = sl_monotonic_us();
    if (exchange->host == NULL) {
        finish(exchange, NULL, sl_error_no_memory());
    } else {
        authorize(exchange, 0);
    }
}

static void pause_over(void *arg) {
    authorize(arg, 0);
}

/* True when another attempt will follow; what went wrong is `what`. */
static bool try_again(struct http_exchange *exchange, const sl_http_response *response,
                      const char *what) {
    sl_http *http = exchange->http;
    const sl_http_request *request = &exchange->request;
    uint64_t pause_ms =
        sl_http_retry_pause_ms(exchange->attempts, response, http_random(http), sl_now_us());
    int64_t spent_ms = (sl_monotonic_us() - exchange->since_us) / 1000;
    if ((request->max_attempts != 0 && exchange->attempts >= request->max_attempts) ||
        spent_ms + (int64_t)pause_ms > (int64_t)http->options.retry_timeout_ms ||
        exchange->host->retries_left < 1) {
        return false;
    }
    if (exchange->pause == NULL) {
        sl_error *error =
            http->loop.timer_open(http->loop.context, pause_over, exchange, &exchange->pause);
        if (error != NULL) {
            sl_error_free(error);
            return false;
        }
    }
    exchange->host->retries_left -= 1;
    http_log(http, exchange->attempts > 1, "%s %.*s: %s; attempt %u in %llu ms", request->method,
             place_length(exchange), request->url, what, exchange->attempts + 1,
             (unsigned long long)pause_ms);
    http->loop.timer_start(exchange->pause, pause_ms);
    return true;
}

static void count(struct http_exchange *exchange, int status) {
    sl_http *http = exchange->http;
    if (http->options.count != NULL) {
        http->options.count(http->options.arg, exchange->host->name, status,
                            sl_monotonic_us() - exchange->attempt_us);
    }
}

/* ---- no answer ---- */

static const char *advice_for(CURLcode code) {
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        return "; the server's certificate is not trusted: check the host name and the "
               "authorities' certificates";
    case CURLE_COULDNT_RESOLVE_HOST:
        return "; check the host's name and the name server";
    default:
        return "";
    }
}

static sl_error_class class_for(CURLcode code) {
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return SL_ERROR_FATAL;
    default:
        return SL_ERROR_RETRIABLE;
    }
}

/* Trying again would not help: an answer beyond our bounds or libcurl's, or no memory. NULL: other
 * reasons. libcurl refuses a line longer than CURL_MAX_HTTP_HEADER as if memory were short. */
static sl_error *no_room(const struct http_exchange *exchange, CURLcode code, bool answered) {
    const sl_http_request *request = &exchange->request;
    size_t most = request->max_response_bytes;
    if (exchange->too_long || exchange->head_too_long) {
        most = exchange->head_too_long ? MAX_HEADER_BYTES : most != 0 ? most : MAX_RESPONSE_BYTES;
        return sl_error_new(SL_ERROR_FATAL, "%s %.*s: %s longer than %zu bytes", request->method,
                            place_length(exchange), request->url,
                            exchange->head_too_long ? "the answer's headers are" : "the answer is",
                            most);
    }
    if (code == CURLE_OUT_OF_MEMORY && answered) {
        return sl_error_new(SL_ERROR_NO_MEMORY,
                            "%s %.*s: a header of the answer is longer than %d bytes, or memory is "
                            "short",
                            request->method, place_length(exchange), request->url,
                            CURL_MAX_HTTP_HEADER);
    }
    bool short_of_memory = code == CURLE_OUT_OF_MEMORY || code == CURLE_WRITE_ERROR;
    return short_of_memory ? sl_error_no_memory() : NULL;
}

static void no_answer(struct http_exchange *exchange, CURLcode code, bool answered) {
    const sl_http_request *request = &exchange->request;
    const char *what = exchange->problem[0] != 0 ? exchange->problem : curl_easy_strerror(code);
    count(exchange, 0);
    sl_error *error = no_room(exchange, code, answered);
    if (error != NULL) {
        finish(exchange, NULL, error);
        return;
    }
    sl_error_class error_class = class_for(code);
    if (error_class == SL_ERROR_RETRIABLE && try_again(exchange, NULL, what)) {
        return;
    }
    finish(exchange, NULL,
           sl_error_new(error_class, "%s %.*s: %s (%u attempt%s)%s", request->method,
                        place_length(exchange), request->url, what, exchange->attempts,
                        exchange->attempts == 1 ? "" : "s", advice_for(code)));
}

/* ---- an answer ---- */

static void describe(const sl_http_response *response, char *out, size_t out_bytes) {
    size_t code_bytes = 0;
    size_t id_bytes = 0;
    const char *code = sl_http_header_value(response, "x-ms-error-code", &code_bytes);
    const char *id = sl_http_header_value(response, "x-ms-request-id", &id_bytes);
    if (id == NULL) {
        id = sl_http_header_value(response, "requestid", &id_bytes); /* Power BI's */
    }
    snprintf(out, out_bytes, "answer %d%s%.*s%s%.*s", response->status, code != NULL ? " " : "",
             (int)code_bytes, code != NULL ? code : "", id != NULL ? ", request id " : "",
             (int)id_bytes, id != NULL ? id : "");
}

void http_exchange_attempt_ended(struct http_exchange *exchange, CURLcode code) {
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status == 0) {
        no_answer(exchange, code, status != 0);
        return;
    }
    count(exchange, (int)status);
    sl_http_response response = {
        .struct_bytes = sizeof(response),
        .status = (int32_t)status,
        .headers = sl_buffer_text(&exchange->response_headers),
        .body = exchange->response_body.data,
        .body_bytes = exchange->response_body.bytes,
        .attempts = exchange->attempts,
    };
    if (response.headers == NULL) {
        finish(exchange, NULL, sl_error_no_memory());
        return;
    }
    if (status == 401 && exchange->request.auth != NULL && !exchange->renewed) {
        exchange->renewed = true;
        authorize(exchange, exchange->signed_with);
        return;
    }
    char what[200];
    describe(&response, what, sizeof(what));
    if (sl_http_status_may_pass((int)status)) {
        if (try_again(exchange, &response, what)) {
            return;
        }
    } else if (exchange->host->retries_left < HTTP_RETRIES_MOST) {
        exchange->host->retries_left += HTTP_RETRIES_BACK;
    }
    http_log(exchange->http, false, "%s %.*s: %s", exchange->request.method, place_length(exchange),
             exchange->request.url, what);
    finish(exchange, &response, NULL);
}
