/*
 * What a URL of Azure names. Accepted are
 *   abfss://container@account.dfs.core.windows.net/folder   (abfs:, wasbs:, wasb: alike)
 *   https://account.blob.core.windows.net/container/folder  (.dfs. too)
 *   http://127.0.0.1:10000/account/container/folder         (Azurite, and other hosts by address)
 */
#include <ctype.h>
#include <stdlib.h>

#include "store/azure.h"

bool sl_azure_is_url(const char *url) {
    static const char *const schemes[] = {"abfss://", "abfs://",  "wasbs://",
                                          "wasb://",  "https://", "http://"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(schemes); i++) {
        if (strncmp(url, schemes[i], strlen(schemes[i])) == 0) {
            return true;
        }
    }
    return false;
}

void sl_azure_place_free(azure_place *place) {
    free(place->container_url);
    free(place->account);
    free(place->container);
    free(place->root);
    *place = (azure_place){0};
}

static sl_error *bad_url(const char *url, const char *what) {
    return sl_error_new(
        SL_ERROR_CONFIG,
        "%.*s: %s; allowed are abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER,"
        " https://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER and "
        "http://ADDRESS:PORT/ACCOUNT/CONTAINER/FOLDER",
        (int)strcspn(url, "?"), url, what);
}

/* A host that is an address or a plain name has its account in the path, as Azurite's. */
static bool is_path_style(const char *host, size_t bytes) {
    size_t name = 0;
    bool number = true;
    while (name < bytes && host[name] != ':') {
        number = number && (isdigit((unsigned char)host[name]) || host[name] == '.');
        name++;
    }
    return number || host[0] == '[' || memchr(host, '.', name) == NULL;
}

/* The folder: percent-decoded, one slash at its end or empty. */
static sl_error *take_root(const char *url, const char *path, size_t bytes, char **out) {
    sl_buffer root = SL_BUFFER_INIT;
    while (bytes > 0 && path[bytes - 1] == '/') {
        bytes--;
    }
    if (!sl_percent_decode(&root, path, bytes)) {
        sl_buffer_free(&root);
        return bad_url(url, "'%' is not followed by two hex digits");
    }
    const char *text = sl_buffer_text(&root);
    sl_error *error = text == NULL   ? sl_error_no_memory()
                      : text[0] == 0 ? NULL
                                     : sl_store_check_path(url, text);
    if (error == NULL && root.bytes > 0 &&
        (!sl_buffer_append_byte(&root, '/') || sl_buffer_text(&root) == NULL)) {
        error = sl_error_no_memory();
    }
    if (error != NULL) {
        sl_buffer_free(&root);
        return error;
    }
    *out = (char *)root.data;
    return NULL;
}

struct parts {
    const char *host;
    size_t host_bytes;
    const char *account;
    size_t account_bytes;
    const char *container;
    size_t container_bytes;
    const char *folder;
    size_t folder_bytes;
    bool path_style;
    bool plain; /* http:, without TLS */
};

static const char *next_segment(const char *at, const char **segment, size_t *bytes) {
    *segment = at;
    *bytes = strcspn(at, "/?#");
    at += *bytes;
    return *at == '/' ? at + 1 : at;
}

static sl_error *split(const char *url, struct parts *parts) {
    const char *rest = strstr(url, "//") + 2;
    bool hadoop = url[0] == 'a' || url[0] == 'w';
    parts->plain = !hadoop && strncmp(url, "http://", 7) == 0;
    if (hadoop) {
        size_t bytes = strcspn(rest, "@/?#");
        if (rest[bytes] != '@') {
            return bad_url(url, "there is no CONTAINER@ before the host");
        }
        parts->container = rest;
        parts->container_bytes = bytes;
        rest += bytes + 1;
    }
    rest = next_segment(rest, &parts->host, &parts->host_bytes);
    parts->path_style = is_path_style(parts->host, parts->host_bytes);
    if (parts->path_style) {
        rest = next_segment(rest, &parts->account, &parts->account_bytes);
    } else {
        parts->account = parts->host;
        const char *dot = memchr(parts->host, '.', parts->host_bytes);
        parts->account_bytes = (size_t)(dot - parts->host);
    }
    if (!hadoop) {
        rest = next_segment(rest, &parts->container, &parts->container_bytes);
    }
    parts->folder = rest;
    parts->folder_bytes = strcspn(rest, "?#");
    if (rest[parts->folder_bytes] != 0) {
        return bad_url(url, "a location has no '?' or '#'; credentials belong into \"stores\"");
    }
    if (parts->host_bytes == 0 || parts->account_bytes == 0) {
        return bad_url(url, "there is no account");
    }
    return NULL;
}

/* The Blob endpoint stands beside the DFS endpoint under the same name. */
static char *container_url(const struct parts *parts) {
    sl_buffer url = SL_BUFFER_INIT;
    const char *dfs = memmem(parts->host, parts->host_bytes, ".dfs.", 5);
    sl_buffer_append_text(&url, parts->plain ? "http://" : "https://");
    if (dfs != NULL) {
        sl_buffer_append(&url, parts->host, (size_t)(dfs - parts->host));
        sl_buffer_append_text(&url, ".blob.");
        sl_buffer_append(&url, dfs + 5, parts->host_bytes - (size_t)(dfs + 5 - parts->host));
    } else {
        sl_buffer_append(&url, parts->host, parts->host_bytes);
    }
    sl_buffer_append_byte(&url, '/');
    if (parts->path_style) {
        sl_buffer_append(&url, parts->account, parts->account_bytes);
        sl_buffer_append_byte(&url, '/');
    }
    sl_buffer_append(&url, parts->container, parts->container_bytes);
    if (sl_buffer_text(&url) == NULL) {
        sl_buffer_free(&url);
        return NULL;
    }
    return (char *)url.data;
}

sl_error *sl_azure_account(const char *url, char **out) {
    struct parts parts = {0};
    sl_error *error = split(url, &parts);
    if (error != NULL) {
        return error;
    }
    *out = strndup(parts.account, parts.account_bytes);
    return *out == NULL ? sl_error_no_memory() : NULL;
}

sl_error *sl_azure_place_parse(const char *url, azure_place *out) {
    struct parts parts = {0};
    sl_error *error = split(url, &parts);
    if (error == NULL && parts.container_bytes == 0) {
        error = bad_url(url, "there is no container");
    }
    if (error != NULL) {
        return error;
    }
    azure_place place = {
        .container_url = container_url(&parts),
        .account = strndup(parts.account, parts.account_bytes),
        .container = strndup(parts.container, parts.container_bytes),
    };
    if (place.container_url == NULL || place.account == NULL || place.container == NULL) {
        error = sl_error_no_memory();
    } else {
        error = take_root(url, parts.folder, parts.folder_bytes, &place.root);
    }
    if (error != NULL) {
        sl_azure_place_free(&place);
        return error;
    }
    *out = place;
    return NULL;
}
