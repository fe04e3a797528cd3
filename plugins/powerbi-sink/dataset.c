/*
 * The dataset: found by its name among those of the workspace, or made with one table of the
 * input's columns. "Datasets - Get Datasets (In Group)" and "Push Datasets - Datasets PostDataset"
 * of the Power BI REST API.
 */
#include "powerbi.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

sl_error *powerbi_send(sl_node *node, const char *method, const char *url, const sl_buffer *body,
                       uint32_t max_attempts,
                       void (*done)(void *arg, const sl_http_response *response, sl_error *error)) {
    static const sl_http_header json = {"Content-Type", "application/json"};
    const sl_http_request request = {
        .struct_bytes = sizeof(request),
        .method = method,
        .url = url,
        .headers = &json,
        .n_headers = body != NULL ? 1 : 0,
        .body = body != NULL ? body->data : NULL,
        .body_bytes = body != NULL ? body->bytes : 0,
        .max_attempts = max_attempts,
        .max_response_bytes = (size_t)16 << 20,
        .auth = node->auth,
    };
    return node->services->http->send(node->self, &request, done, node);
}

/* The service's own words: {"error": {"code": ..., "message": ...}}. */
static void append_words(sl_buffer *out, const sl_http_response *response) {
    cJSON *json = cJSON_ParseWithLength((const char *)response->body, response->body_bytes);
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(error, "code");
    const cJSON *message = cJSON_GetObjectItemCaseSensitive(error, "message");
    if (cJSON_IsString(code)) {
        sl_buffer_printf(out, " %.100s", code->valuestring);
    }
    if (cJSON_IsString(message)) {
        sl_buffer_printf(out, ": %.400s", message->valuestring);
    }
    cJSON_Delete(json);
}

static const char *advice(int status) {
    switch (status) {
    case 401:
    case 403:
        return "; the identity needs to be a contributor of the workspace, and the tenant must let "
               "service principals use the API";
    case 404:
        return "; it is not there any more, or not in this workspace: a restart makes it anew";
    case 400:
        return "; the table's columns are others than the input's: use another \"dataset\", or "
               "delete the old one";
    default:
        return "";
    }
}

sl_error *powerbi_refused(const sl_node *node, const char *what, const sl_http_response *response) {
    int status = response->status;
    bool later = status == 408 || status == 429 || status >= 500;
    sl_buffer words = SL_BUFFER_INIT;
    append_words(&words, response);
    const char *text = sl_buffer_text(&words);
    sl_error *error =
        sl_error_new(later ? SL_ERROR_RETRIABLE : SL_ERROR_FATAL,
                     "%s dataset \"%s\": the service answers %d%s%s", what, node->config->dataset,
                     status, text != NULL ? text : "", later ? "" : advice(status));
    sl_buffer_free(&words);
    return error;
}

static void finish(sl_node *node, sl_error *error) {
    sl_buffer_free(&node->body);
    node->opened(node, error);
}

/* ".../datasets/ID/tables/TABLE/rows", the table percent-encoded. */
static sl_error *use_dataset(sl_node *node, const char *id) {
    sl_buffer url = SL_BUFFER_INIT;
    sl_buffer_printf(&url, "%s/datasets/%s/tables/", node->base, id);
    sl_percent_encode(&url, node->config->table, strlen(node->config->table), "");
    sl_buffer_append_text(&url, "/rows");
    if (sl_buffer_text(&url) == NULL) {
        sl_buffer_free(&url);
        return sl_error_no_memory();
    }
    free(node->rows_url);
    node->rows_url = (char *)url.data;
    return NULL;
}

/* ---- making ---- */

static bool describe(const sl_node *node, sl_buffer *out) {
    const struct powerbi_config *config = node->config;
    sl_buffer_append_text(out, "{\"name\":");
    sl_buffer_append_json_string(out, config->dataset, strlen(config->dataset));
    sl_buffer_append_text(out, ",\"defaultMode\":\"Push\",\"tables\":[{\"name\":");
    sl_buffer_append_json_string(out, config->table, strlen(config->table));
    sl_buffer_append_text(out, ",\"columns\":[");
    for (int64_t i = 0; i < node->schema->n_children; i++) {
        const struct ArrowSchema *column = node->schema->children[i];
        sl_buffer_append_text(out, i == 0 ? "{\"name\":" : ",{\"name\":");
        sl_buffer_append_json_string(out, column->name, strlen(column->name));
        sl_buffer_printf(out, ",\"dataType\":\"%s\"}", powerbi_type(column));
    }
    return sl_buffer_append_text(out, "]}]}");
}

static void made(void *arg, const sl_http_response *response, sl_error *error) {
    sl_node *node = arg;
    if (error == NULL && response->status != 201 && response->status != 200) {
        error = powerbi_refused(node, "cannot make the", response);
    }
    if (error == NULL) {
        cJSON *json = cJSON_ParseWithLength((const char *)response->body, response->body_bytes);
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(json, "id");
        error = cJSON_IsString(id)
                    ? use_dataset(node, id->valuestring)
                    : sl_error_new(SL_ERROR_CORRUPT, "the answer to a new dataset has no \"id\"");
        cJSON_Delete(json);
    }
    if (error == NULL) {
        node->services->log(node->self, SL_LOG_INFO, "made the push dataset \"%s\"",
                            node->config->dataset);
    }
    finish(node, error);
}

static sl_error *make(sl_node *node) {
    sl_buffer url = SL_BUFFER_INIT;
    sl_buffer_printf(&url, "%s/datasets?defaultRetentionPolicy=%s", node->base,
                     node->config->retention == POWERBI_BASIC_FIFO ? "basicFIFO" : "None");
    sl_buffer_clear(&node->body);
    const char *text = sl_buffer_text(&url);
    sl_error *error = text == NULL || !describe(node, &node->body)
                          ? sl_error_no_memory()
                          : powerbi_send(node, "POST", text, &node->body, 1, made);
    sl_buffer_free(&url);
    return error;
}

/* ---- finding ---- */

/* The id of the one dataset with our name; *n is how many have it. Borrowed from `json`. */
static const char *find(const sl_node *node, const cJSON *json, size_t *n) {
    const char *found = NULL;
    const cJSON *item = NULL;
    *n = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "value")) {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name");
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(item, "id");
        if (cJSON_IsString(name) && cJSON_IsString(id) &&
            strcmp(name->valuestring, node->config->dataset) == 0) {
            found = id->valuestring;
            (*n)++;
        }
    }
    return found;
}

static void listed(void *arg, const sl_http_response *response, sl_error *error) {
    sl_node *node = arg;
    if (error == NULL && response->status != 200) {
        error = powerbi_refused(node, "cannot look for the", response);
    }
    if (error != NULL) {
        finish(node, error);
        return;
    }
    cJSON *json = cJSON_ParseWithLength((const char *)response->body, response->body_bytes);
    size_t n = 0;
    const char *id = find(node, json, &n);
    if (n > 1) {
        error = sl_error_new(SL_ERROR_CONFIG,
                             "%zu datasets of the workspace are called \"%s\": rename all but one",
                             n, node->config->dataset);
    } else if (n == 1) {
        error = use_dataset(node, id);
        /* what is in it already is not known */
        node->limits.rows_ever = POWERBI_LARGE_TABLE_ROWS;
    }
    cJSON_Delete(json);
    if (error == NULL && n == 0) {
        error = make(node);
        if (error == NULL) {
            return;
        }
    }
    finish(node, error);
}

void powerbi_dataset_open(sl_node *node, void (*done)(sl_node *node, sl_error *error)) {
    node->opened = done;
    sl_buffer url = SL_BUFFER_INIT;
    sl_buffer_printf(&url, "%s/datasets", node->base);
    const char *text = sl_buffer_text(&url);
    sl_error *error =
        text == NULL ? sl_error_no_memory() : powerbi_send(node, "GET", text, NULL, 0, listed);
    sl_buffer_free(&url);
    if (error != NULL) {
        finish(node, error);
    }
}
