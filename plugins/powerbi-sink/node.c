/*
 * The node: opens the dataset at start, and at each commit posts what the lanes handed over, one
 * POST after another. A POST that was accepted is not sent again when the rest of its commit is
 * tried again.
 */
#include "powerbi.h"

#include <stdlib.h>

/* ---- opening ---- */

/* "a,b" of the schema's metadata as a list, or the option's. */
static sl_error *take_key(sl_node *node) {
    node->key = node->config->key;
    size_t bytes = 0;
    const char *text = sl_schema_metadata(node->schema, "sluice.key", &bytes);
    if (node->key.count == 0 && text != NULL) {
        size_t most = 1;
        for (size_t i = 0; i < bytes; i++) {
            most += text[i] == ',';
        }
        node->key_names = strndup(text, bytes);
        const char **items = calloc(most, sizeof(*items));
        if (node->key_names == NULL || items == NULL) {
            free(items);
            return sl_error_no_memory();
        }
        node->key.items = node->key_items = items;
        char *rest = node->key_names;
        while (rest != NULL) {
            items[node->key.count++] = strsep(&rest, ",");
        }
    }
    if (node->key.count == 0) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "\"coalesce\" needs to know what a row's key is: give \"key\", since "
                            "the input declares none");
    }
    for (size_t i = 0; i < node->key.count; i++) {
        if (sl_schema_find(node->schema, node->key.items[i]) < 0) {
            return sl_error_new(SL_ERROR_CONFIG, "key: the input has no column \"%s\"",
                                node->key.items[i]);
        }
    }
    return NULL;
}

static sl_error *take_base(sl_node *node) {
    const struct powerbi_config *config = node->config;
    size_t bytes = strlen(config->endpoint);
    while (bytes > 0 && config->endpoint[bytes - 1] == '/') {
        bytes--;
    }
    sl_buffer base = SL_BUFFER_INIT;
    sl_buffer_printf(&base, "%.*s/v1.0/myorg", (int)bytes, config->endpoint);
    if (config->workspace != NULL) {
        sl_buffer_printf(&base, "/groups/%s", config->workspace);
    }
    if (sl_buffer_text(&base) == NULL) {
        sl_buffer_free(&base);
        return sl_error_no_memory();
    }
    node->base = (char *)base.data;
    return NULL;
}

static sl_error *check(sl_node *node) {
    const char *workspace = node->config->workspace;
    if (workspace != NULL && workspace[strspn(workspace, "0123456789abcdefABCDEF-")] != 0) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "workspace is \"%s\"; allowed is its id, as in the workspace's URL: "
                            "f089354e-8366-4e18-aea3-4cb4a3a50b48",
                            workspace);
    }
    const char *endpoint = node->config->endpoint;
    bool http = strncmp(endpoint, "https://", 8) == 0 || strncmp(endpoint, "http://", 7) == 0;
    if (!http || !sl_url_is_private(endpoint)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "endpoint is \"%s\"; allowed is https://, so that tokens travel "
                            "encrypted",
                            endpoint);
    }
    return powerbi_check_columns(node->schema);
}

static void node_close(sl_node *node) {
    if (node->auth != NULL) {
        node->services->http->auth_close(node->self, node->auth);
    }
    if (node->timer != NULL) {
        node->services->timer_stop(node->timer);
    }
    powerbi_rows_free(node->posting);
    sl_buffer_free(&node->body);
    free(node->key_items);
    free(node->key_names);
    free(node->base);
    free(node->rows_url);
    free(node);
}

static void make_metrics(sl_node *node) {
    const sl_services *services = node->services;
    sl_object *self = node->self;
    node->posted = services->metric(self, SL_METRIC_COUNTER, "powerbi_rows_posted_total",
                                    "rows that the service has accepted");
    node->posts = services->metric(self, SL_METRIC_COUNTER, "powerbi_posts_total", "POSTs of rows");
    node->throttled = services->metric(self, SL_METRIC_COUNTER, "powerbi_throttled_total",
                                       "POSTs that the service answered with 429");
    node->waited_ms = services->metric(self, SL_METRIC_COUNTER, "powerbi_waited_ms_total",
                                       "time in which the service's limits held POSTs back");
}

static sl_error *node_open(const sl_node_context *context, sl_node **out) {
    sl_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return sl_error_no_memory();
    }
    node->services = context->services;
    node->self = context->self;
    node->config = context->config;
    node->schema = context->inputs[0].schema;
    node->limits.keeps_all = node->config->retention == POWERBI_RETAIN_ALL;
    sl_error *error = check(node);
    if (error == NULL && node->config->coalesce != 0) {
        error = take_key(node);
    }
    if (error == NULL) {
        error = take_base(node);
    }
    if (error != NULL) {
        node_close(node);
        return error;
    }
    make_metrics(node);
    *out = node;
    return NULL;
}

static void end_request(sl_node *node, sl_error *error) {
    sl_request *request = node->request;
    node->request = NULL;
    node->services->done(request, error);
}

static sl_error *open_auth(sl_node *node) {
    const struct powerbi_config *config = node->config;
    if (config->auth == SL_CREDENTIAL_NONE || node->auth != NULL) {
        return NULL;
    }
    const sl_credential credential =
        sl_credential_of((sl_credential_kind)config->auth, config->scope, &config->login);
    return node->services->http->auth_open(node->self, &credential, &node->auth);
}

static void node_start(sl_node *node, sl_request *request) {
    node->request = request;
    sl_error *error = open_auth(node);
    if (error != NULL) {
        end_request(node, error);
    } else {
        powerbi_dataset_open(node, end_request);
    }
}

/* ---- committing ---- */

/* Of those whose rows a refused POST may have held. */
#define SHOWN_POSITIONS 8

static void post_next(sl_node *node);

static void end_commit(sl_node *node, sl_error *error) {
    node->commit = error == NULL ? NULL : node->commit;
    end_request(node, error);
}

static void accepted(sl_node *node) {
    struct powerbi_rows *rows = node->posting;
    node->services->metric_add(node->posted, rows->rows);
    node->posting = rows->next;
    rows->next = NULL;
    powerbi_rows_free(rows);
    post_next(node);
}

static int64_t retry_after_us(const sl_node *node, const sl_http_response *response) {
    size_t bytes = 0;
    int64_t seconds = 0;
    const char *value = node->services->http->header(response, "retry-after", &bytes);
    if (value == NULL || !sl_parse_i64(value, bytes, &seconds) || seconds < 0 || seconds > 86400) {
        seconds = 60;
    }
    return seconds * 1000000;
}

/* The service does not say which row it does not like: the commit's offsets go before its words. */
static sl_error *name_offsets(const sl_node *node, sl_error *error) {
    sl_buffer places = SL_BUFFER_INIT;
    for (size_t i = 0; i < node->commit->n_positions && i < SHOWN_POSITIONS; i++) {
        const sl_position *position = &node->commit->positions[i];
        if (strchr(position->key, '#') == NULL) { /* a position, not a count beside one */
            sl_buffer_printf(
                &places, "%s%s partition %d offsets %lld to %lld", places.bytes > 0 ? ", " : "",
                position->stream->topic, (int)position->stream->partition,
                (long long)(position->from < 0 ? 0 : position->from), (long long)position->to - 1);
        }
    }
    const char *text = sl_buffer_text(&places);
    error = sl_error_wrap(error, "rows of %s", text != NULL ? text : "this commit");
    sl_buffer_free(&places);
    return error;
}

static void answered(void *arg, const sl_http_response *response, sl_error *error) {
    sl_node *node = arg;
    int64_t now_us = node->services->now_us(node->self);
    bool good = error == NULL && response->status >= 200 && response->status < 300;
    node->services->metric_add(node->posts, 1);
    powerbi_limits_posted(&node->limits, now_us, good ? node->posting->rows : 0);
    if (good) {
        accepted(node);
    } else if (error == NULL && response->status == 429) {
        node->limits.not_before_us = now_us + retry_after_us(node, response);
        node->services->metric_add(node->throttled, 1);
        post_next(node);
    } else {
        error = error ? error : powerbi_refused(node, "cannot post rows to", response);
        end_commit(node, sl_error_is(error, SL_ERROR_FATAL) ? name_offsets(node, error) : error);
    }
}

static void wait_over(void *arg) {
    sl_node *node = arg;
    node->services->timer_stop(node->timer);
    node->timer = NULL;
    post_next(node);
}

static sl_error *wait_for(sl_node *node, int64_t wait_us) {
    uint64_t wait_ms = (uint64_t)wait_us / 1000 + 1;
    node->services->metric_add(node->waited_ms, (int64_t)wait_ms);
    if (wait_ms > 5000) {
        node->services->log(node->self, SL_LOG_INFO,
                            "the limits of push datasets hold rows back for %llu s",
                            (unsigned long long)(wait_ms / 1000));
    }
    return node->services->timer_start(node->self, wait_ms, 0, wait_over, node, &node->timer);
}

static void post_next(sl_node *node) {
    struct powerbi_rows *rows = node->posting;
    if (rows == NULL) {
        end_commit(node, NULL);
        return;
    }
    int64_t now_us = node->services->now_us(node->self);
    int64_t wait_us = powerbi_limits_wait(&node->limits, now_us, rows->rows);
    sl_error *error = NULL;
    if (wait_us > 0) {
        error = wait_for(node, wait_us);
    } else {
        sl_buffer_clear(&node->body);
        sl_buffer_append_text(&node->body, "{\"rows\":[");
        sl_buffer_append(&node->body, rows->json.data, rows->json.bytes);
        error = sl_buffer_append_text(&node->body, "]}")
                    ? powerbi_send(node, "POST", node->rows_url, &node->body, 1, answered)
                    : sl_error_no_memory();
    }
    if (error != NULL) {
        end_commit(node, error);
    }
}

/* Moves the pieces' rows into one list; the host keeps no piece of ours once the commit is done. */
static void take_pieces(sl_node *node, const sl_commit *commit) {
    struct powerbi_rows **end = &node->posting;
    for (size_t i = 0; i < commit->n_pieces; i++) {
        *end = commit->pieces[i];
        while (*end != NULL) {
            end = &(*end)->next;
        }
    }
    powerbi_rows_merge(node->posting);
}

static void node_commit(sl_node *node, const sl_commit *commit, sl_request *request) {
    node->request = request;
    if (node->commit == NULL) {
        take_pieces(node, commit);
        node->commit = commit;
    }
    post_next(node);
}

/* Pieces of a commit that was begun are in `posting`. */
static void node_drop_piece(sl_node *node, void *piece) {
    if (node->commit == NULL) {
        powerbi_rows_free(piece);
        return;
    }
    powerbi_rows_free(node->posting);
    node->posting = NULL;
}

const sl_node_ops powerbi_node_ops = {
    .struct_bytes = sizeof(sl_node_ops),
    .open = node_open,
    .start = node_start,
    .commit = node_commit,
    .drop_piece = node_drop_piece,
    .close = node_close,
};
