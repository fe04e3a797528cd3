/*
 * The Azure Blob store: requests, what their answers mean, and the operations that read. Writing is
 * in azure_write.c, listing in azure_list.c, reading of many at once in azure_many.c.
 */
#include "store/azure.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/implementations.h"

#define MAX_GET_BYTES ((size_t)4 << 30)

void sl_azure_header(azure_call *call, const char *name, const char *value) {
    call->headers[call->n_headers++] = (sl_http_header){name, value};
}

sl_error *sl_azure_url(const azure_store *azure, const azure_call *call, char **out) {
    sl_buffer url = SL_BUFFER_INIT;
    sl_buffer_append_text(&url, azure->place.container_url);
    if (call->path != NULL) {
        sl_buffer_append_byte(&url, '/');
        sl_percent_encode(&url, azure->place.root, strlen(azure->place.root), "/");
        sl_percent_encode(&url, call->path, strlen(call->path), "/");
    }
    if (call->query != NULL) {
        sl_buffer_printf(&url, "?%s", call->query);
    }
    if (azure->sas != NULL) {
        sl_buffer_printf(&url, "%c%s", call->query != NULL ? '&' : '?', azure->sas);
    }
    if (sl_buffer_text(&url) == NULL) {
        sl_buffer_free(&url);
        return sl_error_no_memory();
    }
    *out = (char *)url.data;
    return NULL;
}

void sl_azure_request(const azure_store *azure, const azure_call *call, const char *url,
                      sl_http_request *request) {
    *request = (sl_http_request){
        .struct_bytes = sizeof(*request),
        .method = call->method,
        .url = url,
        .headers = call->headers,
        .n_headers = call->n_headers,
        .body = call->body,
        .body_bytes = call->body_bytes,
        .max_response_bytes = MAX_GET_BYTES,
        .auth = azure->auth,
    };
}

sl_error *sl_azure_answer(const azure_store *azure, const azure_call *call, sl_http_answer *out) {
    char *url = NULL;
    sl_error *error = sl_azure_url(azure, call, &url);
    if (error != NULL) {
        return error;
    }
    azure_call whole = *call;
    sl_azure_header(&whole, "x-ms-version", AZURE_VERSION);
    if (strcmp(call->method, "PUT") == 0) {
        sl_azure_header(&whole, "Content-Type", "application/octet-stream");
    }
    sl_http_request request;
    sl_azure_request(azure, &whole, url, &request);
    error = sl_http_perform(azure->http, &request, out);
    free(url);
    return error;
}

sl_error *sl_azure_perform(const azure_store *azure, const azure_call *call, sl_http_answer *out) {
    sl_error *error = sl_azure_answer(azure, call, out);
    if (error != NULL || (out->response.status >= 200 && out->response.status < 300)) {
        return error;
    }
    error = sl_azure_error(azure, call, &out->response);
    sl_http_answer_free(out);
    return error;
}

/* ---- what an answer means ---- */

struct meaning {
    int status;
    const char *code; /* x-ms-error-code; NULL: any */
    sl_error_class error_class;
    const char *advice;
};

/* The first that fits. */
static const struct meaning meanings[] = {
    {409, "BlobAlreadyExists", SL_ERROR_EXISTS, ""},
    {412, "ConditionNotMet", SL_ERROR_EXISTS, ""},
    {412, "TargetConditionNotMet", SL_ERROR_EXISTS, ""},
    {404, "ContainerNotFound", SL_ERROR_CONFIG, "; make the container first"},
    {404, "FilesystemNotFound", SL_ERROR_CONFIG, "; make the container first"},
    {404, NULL, SL_ERROR_NOT_FOUND, ""},
    {409, "ContainerBeingDeleted", SL_ERROR_RETRIABLE, ""},
    {409, "AccountBeingCreated", SL_ERROR_RETRIABLE, ""},
    {400, "Md5Mismatch", SL_ERROR_RETRIABLE, "; the bytes were changed on their way"},
    {401, NULL, SL_ERROR_FATAL, ""},
    {403, "AuthorizationPermissionMismatch", SL_ERROR_FATAL,
     "; the identity needs the role Storage Blob Data Contributor"},
    {403, NULL, SL_ERROR_FATAL, ""},
    {507, NULL, SL_ERROR_RETRIABLE, ""},
};

static bool has_code(const struct meaning *meaning, const char *code, size_t bytes) {
    return meaning->code == NULL ||
           (strlen(meaning->code) == bytes && memcmp(meaning->code, code, bytes) == 0);
}

sl_error *sl_azure_error(const azure_store *azure, const azure_call *call,
                         const sl_http_response *response) {
    size_t code_bytes = 0;
    size_t id_bytes = 0;
    const char *code = sl_http_header_value(response, "x-ms-error-code", &code_bytes);
    const char *id = sl_http_header_value(response, "x-ms-request-id", &id_bytes);
    code = code != NULL ? code : "";
    sl_error_class error_class =
        sl_http_status_may_pass(response->status) ? SL_ERROR_RETRIABLE : SL_ERROR_FATAL;
    const char *advice = "";
    for (size_t i = 0; i < SL_ARRAY_LENGTH(meanings); i++) {
        if (meanings[i].status == response->status && has_code(&meanings[i], code, code_bytes)) {
            error_class = meanings[i].error_class;
            advice = meanings[i].advice;
            break;
        }
    }
    bool denied = response->status == 401 || response->status == 403;
    const char *who = azure->auth != NULL  ? azure->auth->ops->advice(azure->auth)
                      : azure->sas != NULL ? "check the SAS, its rights and its end"
                                           : "name a credential for this URL in \"stores\"";
    const char *slash = azure->place.root != NULL && call->path != NULL ? "/" : "";
    return sl_error_new(error_class, "cannot %s %s%s%s: the service answers %d%s%.*s%s%.*s%s%s%s%s",
                        call->action, azure->url, slash, call->path != NULL ? call->path : "",
                        response->status, code_bytes > 0 ? " " : "", (int)code_bytes, code,
                        id != NULL ? " (request id " : "", (int)id_bytes, id != NULL ? id : "",
                        id != NULL ? ")" : "", advice, denied ? "; " : "", denied ? who : "");
}

/* ---- reading ---- */

static const char *azure_url(const sl_store *store) {
    return ((const azure_store *)store)->url;
}

static void bytes_release(sl_store_bytes *bytes) {
    free(bytes->data);
    bytes->data = NULL;
    bytes->bytes = 0;
}

static sl_error *azure_stat(sl_store *store, const char *path, sl_store_entry *out) {
    azure_store *azure = (azure_store *)store;
    sl_error *error = sl_store_check_path(azure->url, path);
    if (error != NULL) {
        return error;
    }
    azure_call call = {.method = "HEAD", .action = "stat", .path = path};
    sl_http_answer answer;
    error = sl_azure_perform(azure, &call, &answer);
    if (error != NULL) {
        return error;
    }
    size_t bytes = 0;
    const char *value = sl_http_header_value(&answer.response, "content-length", &bytes);
    int64_t size = -1;
    if (value != NULL) {
        sl_parse_i64(value, bytes, &size);
    }
    value = sl_http_header_value(&answer.response, "last-modified", &bytes);
    out->path = path;
    out->bytes = size;
    out->modified_ms = value != NULL ? sl_azure_date_ms(value, bytes) : 0;
    sl_http_answer_free(&answer);
    return NULL;
}

static sl_error *empty(sl_store_bytes *out) {
    uint8_t *data = malloc(1);
    if (data == NULL) {
        return sl_error_no_memory();
    }
    *out = (sl_store_bytes){.data = data, .bytes = 0, .release = bytes_release};
    return NULL;
}

sl_error *sl_azure_take_body(const azure_store *azure, const azure_call *call,
                             sl_http_answer *answer, sl_store_bytes *out) {
    int status = answer->response.status;
    if (status != 200 && status != 206 && status != 416) {
        return sl_azure_error(azure, call, &answer->response);
    }
    if (status == 416 || answer->body.data == NULL) {
        return empty(out);
    }
    out->data = sl_buffer_take(&answer->body, &out->bytes);
    out->release = bytes_release;
    return NULL;
}

/* From `offset` on, `length` bytes or (negative) to the end; a range beyond the end is empty. */
static sl_error *get_range(azure_store *azure, const char *path, int64_t offset, int64_t length,
                           sl_store_bytes *out) {
    char range[64];
    azure_call call = {.method = "GET", .action = "read", .path = path};
    if (length >= 0) {
        snprintf(range, sizeof(range), "bytes=%lld-%lld", (long long)offset,
                 (long long)(offset + (length - 1)));
        sl_azure_header(&call, "x-ms-range", range);
    } else if (offset > 0) {
        snprintf(range, sizeof(range), "bytes=%lld-", (long long)offset);
        sl_azure_header(&call, "x-ms-range", range);
    }
    sl_http_answer answer;
    sl_error *error = sl_azure_answer(azure, &call, &answer);
    if (error != NULL) {
        return error;
    }
    error = sl_azure_take_body(azure, &call, &answer, out);
    sl_http_answer_free(&answer);
    return error;
}

static sl_error *azure_get(sl_store *store, const char *path, int64_t offset, int64_t length,
                           sl_store_bytes *out) {
    azure_store *azure = (azure_store *)store;
    sl_error *error = sl_store_check_path(azure->url, path);
    if (error == NULL && (offset < 0 || length == 0)) {
        /* the service knows no range from the end, and none without a byte */
        sl_store_entry entry = {0};
        error = azure_stat(store, path, &entry);
        offset = offset >= 0 ? offset : offset < -entry.bytes ? 0 : entry.bytes + offset;
        if (error == NULL && length == 0) {
            return empty(out);
        }
    }
    return error != NULL ? error : get_range(azure, path, offset, length, out);
}

static sl_error *azure_remove(sl_store *store, const char *path) {
    azure_store *azure = (azure_store *)store;
    sl_error *error = sl_store_check_path(azure->url, path);
    if (error == NULL) {
        error = sl_azure_may_write(azure, "remove", path);
    }
    if (error != NULL) {
        return error;
    }
    azure_call call = {.method = "DELETE", .action = "remove", .path = path};
    sl_http_answer answer;
    error = sl_azure_perform(azure, &call, &answer);
    if (error == NULL) {
        sl_http_answer_free(&answer);
    } else if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        error = NULL;
    }
    return error;
}

sl_error *sl_azure_may_write(const azure_store *azure, const char *action, const char *path) {
    if (!azure->read_only) {
        return NULL;
    }
    return sl_error_new(SL_ERROR_FATAL, "cannot %s %s/%s: the store was opened for reading only",
                        action, azure->url, path);
}

/* ---- opening ---- */

static void azure_close(sl_store *store) {
    azure_store *azure = (azure_store *)store;
    if (azure->sas != NULL) {
        explicit_bzero(azure->sas, strlen(azure->sas));
    }
    free(azure->sas);
    free(azure->url);
    sl_azure_place_free(&azure->place);
    free(azure);
}

static const sl_store_ops azure_ops = {
    .struct_bytes = sizeof(sl_store_ops),
    .url = azure_url,
    .put = sl_azure_put,
    .get = azure_get,
    .stat = azure_stat,
    .list = sl_azure_list,
    .remove = azure_remove,
    .writer_open = sl_azure_writer_open,
    .writer_write = sl_azure_writer_write,
    .writer_commit = sl_azure_writer_commit,
    .writer_abort = sl_azure_writer_abort,
    .close = azure_close,
    .get_all = sl_azure_get_all,
};

static char *without_slash(const char *url) {
    size_t bytes = strlen(url);
    while (bytes > 0 && url[bytes - 1] == '/') {
        bytes--;
    }
    return strndup(url, bytes);
}

sl_error *sl_azure_open(const char *url, const sl_store_options *options, sl_store **out) {
    if (options == NULL || options->http == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "%s: there is no network here, give a folder", url);
    }
    azure_store *azure = calloc(1, sizeof(*azure));
    if (azure == NULL) {
        return sl_error_no_memory();
    }
    azure->base.ops = &azure_ops;
    azure->read_only = options->read_only;
    azure->http = options->http;
    azure->auth = options->auth;
    const char *sas = options->sas;
    azure->sas = sas != NULL ? strdup(sas + (sas[0] == '?')) : NULL;
    azure->url = without_slash(url);
    sl_error *error = azure->url == NULL || (sas != NULL && azure->sas == NULL)
                          ? sl_error_no_memory()
                          : sl_azure_place_parse(url, &azure->place);
    if (error != NULL) {
        azure_close(&azure->base);
        return error;
    }
    *out = &azure->base;
    return NULL;
}
