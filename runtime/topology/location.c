/* Making paths and locations absolute and regular (see location.h). */
#include "topology/location.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>

#include "store/store.h"

#define FILE_SCHEME "file:"

/* Appends an absolute path without empty, "." and ".." parts. */
static void append_regular(sl_buffer *out, const char *path) {
    size_t start = out->bytes;
    while (*path != 0) {
        size_t n = strcspn(path, "/");
        if (n == 2 && strncmp(path, "..", 2) == 0) {
            while (out->bytes > start && out->data[out->bytes - 1] != '/') {
                out->bytes--;
            }
            out->bytes -= out->bytes > start ? 1 : 0;
        } else if (n > 0 && !(n == 1 && *path == '.')) {
            (void)sl_buffer_append_byte(out, '/');
            (void)sl_buffer_append(out, path, n);
        }
        path += n + (path[n] == '/' ? 1 : 0);
    }
    if (out->bytes == start) {
        (void)sl_buffer_append_byte(out, '/');
    }
}

const char *location_path(struct arena *arena, const char *directory, const char *text) {
    while (strncmp(text, "./", 2) == 0) {
        text += 2;
    }
    return *text == '/' ? arena_text(arena, text) : arena_printf(arena, "%s/%s", directory, text);
}

/* Bytes of "scheme" in "scheme://...", or 0. */
static size_t scheme_bytes(const char *text) {
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) ||
           (n > 0 && strchr("+-.", text[n]) != NULL && text[n] != 0)) {
        n++;
    }
    return n > 1 && strncmp(text + n, "://", 3) == 0 && isalpha((unsigned char)text[0]) ? n : 0;
}

static bool is_file_url(const char *text) {
    return strncasecmp(text, FILE_SCHEME, strlen(FILE_SCHEME)) == 0;
}

/* The part of a file URL from its path's first slash on; NULL when it has another host. */
static const char *file_url_path(const char *url) {
    const char *rest = url + strlen(FILE_SCHEME);
    if (strncmp(rest, "//", 2) == 0) {
        rest += 2;
        if (strncmp(rest, "localhost/", 10) == 0) {
            rest += strlen("localhost");
        }
    }
    return *rest == '/' ? rest : NULL;
}

/* What lib/store says about the URL. */
static bool is_known_store(struct arena *arena, const char *url, const char **why) {
    sl_error *error = sl_store_check_url(url);
    if (sl_error_is(error, SL_ERROR_NO_MEMORY)) {
        arena->failed = true;
        return false;
    }
    if (error != NULL) {
        *why = arena_text(arena, sl_error_message(error));
        sl_error_free(error);
        return false;
    }
    return true;
}

const char *location_url(struct arena *arena, const char *directory, const char *text,
                         const char **why) {
    *why = NULL;
    sl_buffer out = SL_BUFFER_INIT;
    if (*text == 0) {
        *why = "an empty text names no folder";
        return NULL;
    }
    if (is_file_url(text)) {
        const char *path = file_url_path(text);
        if (path == NULL) {
            *why = "a file URL is written \"file:///absolute/folder\"; a relative folder is "
                   "written without \"file:\"";
            return NULL;
        }
        (void)sl_buffer_append_text(&out, "file://");
        append_regular(&out, path);
    } else if (scheme_bytes(text) > 0) {
        (void)sl_buffer_append_text(&out, text);
    } else {
        sl_buffer regular = SL_BUFFER_INIT;
        const char *full = location_path(arena, directory, text);
        if (full != NULL) {
            append_regular(&regular, full);
        }
        const char *path = sl_buffer_text(&regular);
        if (path == NULL) {
            out.failed = true;
        } else {
            (void)sl_buffer_append_text(&out, "file://");
            /* what may stand in a path unescaped, less what would be read as something else */
            (void)sl_percent_encode(&out, path, strlen(path), "/!$&'()*+,;=:@");
        }
        sl_buffer_free(&regular);
    }
    const char *url = arena_take(arena, &out);
    return url != NULL && is_known_store(arena, url, why) ? url : NULL;
}

/* The path with links followed as far as it exists. */
static void append_real(sl_buffer *out, const char *path) {
    char real[PATH_MAX];
    sl_buffer head = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&head, path);
    size_t bytes = head.bytes;
    while (!head.failed && bytes > 0) {
        head.bytes = bytes;
        const char *text = sl_buffer_text(&head);
        if (text != NULL && realpath(text, real) != NULL) {
            (void)sl_buffer_append_text(out, strcmp(real, "/") == 0 ? "" : real);
            (void)sl_buffer_append_text(out, path + bytes);
            sl_buffer_free(&head);
            return;
        }
        do {
            bytes--;
        } while (bytes > 0 && path[bytes] != '/');
    }
    out->failed = out->failed || head.failed;
    sl_buffer_free(&head);
    (void)sl_buffer_append_text(out, path);
}

const char *location_key(struct arena *arena, const char *url) {
    sl_buffer out = SL_BUFFER_INIT;
    const char *path = is_file_url(url) ? file_url_path(url) : NULL;
    if (path != NULL) {
        sl_buffer decoded = SL_BUFFER_INIT;
        (void)sl_percent_decode(&decoded, path, strlen(path));
        const char *plain = sl_buffer_text(&decoded);
        (void)sl_buffer_append_text(&out, "file://");
        if (plain != NULL) {
            append_real(&out, plain);
        }
        out.failed = out.failed || plain == NULL;
        sl_buffer_free(&decoded);
        return arena_take(arena, &out);
    }
    /* scheme and host fold; the path does not */
    size_t host = scheme_bytes(url) + 3;
    size_t folded = host + strcspn(url + host, "/");
    for (size_t i = 0; i < folded; i++) {
        (void)sl_buffer_append_byte(&out, (uint8_t)tolower((unsigned char)url[i]));
    }
    size_t end = strlen(url);
    while (end > folded && url[end - 1] == '/') {
        end--;
    }
    (void)sl_buffer_append(&out, url + folded, end - folded);
    return arena_take(arena, &out);
}
