/* One request to the admin endpoint (see client.h): lib/http on a loop that lives as long. */
#include "cli/client.h"

#include "host/http_loop.h"

#include <cjson/cJSON.h>
#include <http/http.h>
#include <stdlib.h>

enum { CHANGE_TIMEOUT_MS = 600000, TIMEOUT_MS = 10000, MAX_LINE_BYTES = 16 << 20 };

struct client client_of(const struct cli_args *args) {
    const char *url = cli_args_get(args, "--admin");
    struct client client = {.url = url != NULL ? url : "http://127.0.0.1:8083",
                            .ca_file = cli_args_get(args, "--ca"),
                            .cert_file = cli_args_get(args, "--cert"),
                            .key_file = cli_args_get(args, "--key"),
                            .token = getenv(CLIENT_TOKEN)};
    client.url_bytes = strlen(client.url);
    while (client.url_bytes > 0 && client.url[client.url_bytes - 1] == '/') {
        client.url_bytes--;
    }
    return client;
}

void client_append_part(sl_buffer *path, const char *name) {
    sl_percent_encode(path, name, strlen(name), "");
}

/* ---- the exchange ---- */

struct asking {
    struct loop loop;
    sl_http *http;
    const struct client_request *request;
    sl_buffer *body;
    sl_error *error;
    /* client_follow */
    bool (*line)(void *arg, const char *text);
    void *line_arg;
    bool enough;
};

/* What the caller can do about it. */
static const char *remedy(int status) {
    return status != 401                  ? ""
           : getenv(CLIENT_TOKEN) == NULL ? "; a user's token is taken from " CLIENT_TOKEN
                                          : "; the token is that of " CLIENT_TOKEN;
}

/* What the endpoint says for itself, or the bare status. */
static sl_error *refusal(const sl_http_response *response) {
    cJSON *answer = cJSON_ParseWithLength((const char *)response->body, response->body_bytes);
    const cJSON *message = cJSON_GetObjectItemCaseSensitive(answer, "message");
    /* what was asked is wrong, or it cannot be had: the exit codes differ */
    bool wrong = response->status == 400 || response->status == 404;
    sl_error_class class = wrong ? SL_ERROR_CONFIG : SL_ERROR_FATAL;
    sl_error *error = cJSON_IsString(message)
                          ? sl_error_new(class, "%.8000s (%d)%s", message->valuestring,
                                         response->status, remedy(response->status))
                          : sl_error_new(class, "the endpoint answers %d", response->status);
    cJSON_Delete(answer);
    return error;
}

static void answered(void *arg, const sl_http_response *response, sl_error *error) {
    struct asking *asking = arg;
    asking->error = error;
    if (error != NULL) {
        asking->error =
            sl_error_wrap(error, "the admin endpoint does not answer (a run's log names "
                                 "its address, --admin URL says which to ask)");
    } else if (response->status / 100 != 2) {
        asking->error = refusal(response);
    } else if (!sl_buffer_append(asking->body, response->body, response->body_bytes)) {
        asking->error = sl_error_no_memory();
    }
    loop_stop(&asking->loop);
}

/* Takes the whole lines off the front of what has come. */
static bool take_lines(struct asking *asking) {
    sl_buffer *body = asking->body;
    char *start = (char *)body->data;
    size_t left = body->bytes;
    char *end;
    while (!asking->enough && left > 0 && (end = memchr(start, '\n', left)) != NULL) {
        *end = 0;
        asking->enough = !asking->line(asking->line_arg, start);
        left -= (size_t)(end + 1 - start);
        start = end + 1;
    }
    if (left > 0) {
        memmove(body->data, start, left);
    }
    body->bytes = left;
    return !asking->enough && left <= MAX_LINE_BYTES;
}

static bool take_piece(void *arg, const void *data, size_t bytes) {
    struct asking *asking = arg;
    return sl_buffer_append(asking->body, data, bytes) && take_lines(asking);
}

static sl_error *exchange(struct asking *asking, const struct client *client, const char *url,
                          const char *authorization) {
    const struct client_request *asked = asking->request;
    bool changes = asked->body != NULL;
    const sl_http_options options = {
        .timeout_ms = asking->line != NULL ? UINT32_MAX
                      : changes            ? CHANGE_TIMEOUT_MS
                                           : TIMEOUT_MS,
        .stall_timeout_ms = changes ? CHANGE_TIMEOUT_MS : 0,
        .ca_file = client->ca_file,
        .cert_file = client->cert_file,
        .key_file = client->key_file,
        .piece = asking->line != NULL ? take_piece : NULL,
        .arg = asking,
    };
    const sl_http_header headers[] = {
        {"Accept", asked->accept != NULL ? asked->accept : "application/json"},
        {"Content-Type", "application/json"},
        {"Authorization", authorization},
    };
    const sl_http_loop loop = http_loop(&asking->loop);
    sl_error *error = sl_http_open(&loop, &options, &asking->http);
    if (error != NULL) {
        return error;
    }
    const sl_http_request request = {.struct_bytes = sizeof(request),
                                     .method = asked->method,
                                     .url = url,
                                     .headers = headers,
                                     .n_headers = authorization != NULL ? 3 : 2,
                                     .body = asked->body,
                                     .body_bytes = asked->body_bytes,
                                     .max_attempts = 1};
    error = sl_http_send(asking->http, &request, answered, asking);
    if (error == NULL) {
        loop_run(&asking->loop);
        error = asking->error;
    }
    sl_http_close(asking->http);
    return error;
}

static sl_error *ask(struct asking *asking, const struct client *client) {
    sl_buffer url = SL_BUFFER_INIT;
    sl_buffer_printf(&url, "%.*s%s", (int)client->url_bytes, client->url, asking->request->path);
    sl_buffer bearer = SL_BUFFER_INIT;
    if (client->token != NULL) {
        sl_buffer_printf(&bearer, "Bearer %s", client->token);
    }
    const char *text = sl_buffer_text(&url);
    const char *authorization = client->token != NULL ? sl_buffer_text(&bearer) : NULL;
    bool short_of_memory = text == NULL || (client->token != NULL && authorization == NULL);
    sl_error *error = short_of_memory ? sl_error_no_memory() : loop_init(&asking->loop, "client");
    if (error == NULL) {
        error = exchange(asking, client, text, authorization);
        loop_close(&asking->loop);
    }
    sl_buffer_free(&bearer);
    sl_buffer_free(&url);
    return error;
}

sl_error *client_send(const struct client *client, const struct client_request *request,
                      sl_buffer *answer) {
    struct asking asking = {.request = request, .body = answer};
    return ask(&asking, client);
}

sl_error *client_ask(const struct client *client, const char *method, const char *path,
                     sl_buffer *body) {
    const struct client_request request = {.method = method, .path = path};
    return client_send(client, &request, body);
}

sl_error *client_follow(const struct client *client, const char *path,
                        bool (*line)(void *arg, const char *text), void *arg) {
    sl_buffer body = SL_BUFFER_INIT;
    const struct client_request request = {
        .method = "GET", .path = path, .accept = "text/event-stream"};
    struct asking asking = {.request = &request, .body = &body, .line = line, .line_arg = arg};
    sl_error *error = ask(&asking, client);
    sl_buffer_free(&body);
    if (asking.enough) {
        sl_error_free(error);
        return NULL;
    }
    return error;
}
