/* From a URL to a store: which implementation, and which folder. */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/azure.h"
#include "store/folder.h"
#include "store/implementations.h"

/* The local path of a file URL; "file:/x", "file:///x" and "file://localhost/x" are one (RFC
 * 8089). */
static sl_error *file_url_path(const char *url, sl_buffer *path) {
    const char *rest = url + strlen("file:");
    if (strncmp(rest, "//", 2) == 0) {
        rest += 2;
        if (strncmp(rest, "localhost/", 10) == 0) {
            rest += strlen("localhost");
        }
    }
    if (rest[0] != '/') {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s: a file URL is written file:///absolute/folder; for a relative "
                            "folder leave \"file:\" out",
                            url);
    }
    if (!sl_percent_decode(path, rest, strlen(rest))) {
        return sl_error_new(SL_ERROR_CONFIG, "%s: '%%' is not followed by two hex digits", url);
    }
    return NULL;
}

/* "name:" at the beginning as RFC 3986 has it, but not a one-letter drive. */
static size_t scheme_length(const char *url) {
    size_t n = 0;
    while (isalnum((unsigned char)url[n]) || (n > 0 && strchr("+-.", url[n]) && url[n] != 0)) {
        n++;
    }
    return n > 1 && url[n] == ':' && isalpha((unsigned char)url[0]) ? n : 0;
}

/* Makes the path absolute and drops trailing slashes, so that messages name a place. */
static sl_error *absolute(const char *url, sl_buffer *path) {
    if (path->bytes > 0 && path->data[0] != '/') {
        char folder[PATH_MAX];
        if (getcwd(folder, sizeof(folder)) == NULL) {
            return sl_error_new(SL_ERROR_CONFIG,
                                "%s: the current folder cannot be found, give an absolute path",
                                url);
        }
        sl_buffer whole = SL_BUFFER_INIT;
        sl_buffer_append_text(&whole, strcmp(folder, "/") == 0 ? "" : folder);
        sl_buffer_append_byte(&whole, '/');
        const uint8_t *rest = path->data;
        size_t bytes = path->bytes;
        while (bytes >= 2 && rest[0] == '.' && rest[1] == '/') {
            rest += 2;
            bytes -= 2;
        }
        sl_buffer_append(&whole, rest, bytes == 1 && rest[0] == '.' ? 0 : bytes);
        whole.failed = whole.failed || path->failed;
        sl_buffer_free(path);
        *path = whole;
    }
    while (path->bytes > 0 && path->data[path->bytes - 1] == '/') {
        path->bytes--;
    }
    return path->failed ? sl_error_no_memory() : NULL;
}

bool sl_store_is_remote(const char *url) {
    return sl_azure_is_url(url);
}

sl_error *sl_store_check_url(const char *url) {
    if (sl_azure_is_url(url)) {
        azure_place place;
        sl_error *error = sl_azure_place_parse(url, &place);
        if (error == NULL) {
            sl_azure_place_free(&place);
        }
        return error;
    }
    sl_store_options read_only = {.read_only = true};
    sl_store *store = NULL;
    sl_error *error = sl_store_open(url, &read_only, &store);
    if (error == NULL) {
        store->ops->close(store);
    }
    return error;
}

sl_error *sl_store_open(const char *url, const sl_store_options *options, sl_store **out) {
    if (sl_azure_is_url(url)) {
        return sl_azure_open(url, options, out);
    }
    sl_buffer path = SL_BUFFER_INIT;
    sl_error *error = NULL;
    size_t scheme = scheme_length(url);
    if (url[0] == 0) {
        error = sl_error_new(SL_ERROR_CONFIG, "the location is empty; give a folder or a file URL");
    } else if (scheme == 4 && strncmp(url, "file", 4) == 0) {
        error = file_url_path(url, &path);
    } else if (scheme != 0) {
        error = sl_error_new(SL_ERROR_CONFIG,
                             "%s: there is no store for \"%.*s:\"; allowed are file:///folder, "
                             "plain paths, and abfss:// and https:// of Azure",
                             url, (int)scheme, url);
    } else {
        sl_buffer_append_text(&path, url);
    }
    if (error == NULL) {
        error = absolute(url, &path);
    }
    if (error == NULL) {
        const char *root = sl_buffer_text(&path);
        bool read_only = options != NULL && options->read_only;
        error = root == NULL ? sl_error_no_memory() : sl_folder_open(root, read_only, out);
    }
    sl_buffer_free(&path);
    return error;
}
