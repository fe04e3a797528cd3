/* Log lines (see log.h): masked, formatted and written under one mutex. */
#include "cli/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct log {
    int fd;
    _Atomic(sl_log_level) level;
    enum log_format format;
    bool terminal;
    bool colours;
    pthread_mutex_t mutex; /* guards what follows, and keeps lines whole */
    void (*mask)(const void *arg, sl_buffer *text);
    const void *mask_arg;
    sl_buffer status; /* the status line; empty: none */
};

static const char *const level_names[] = {
    [SL_LOG_ERROR] = "error",
    [SL_LOG_WARN] = "warn",
    [SL_LOG_INFO] = "info",
    [SL_LOG_DEBUG] = "debug",
};

bool log_parse_level(const char *text, sl_log_level *out) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(level_names); i++) {
        if (strcmp(level_names[i], text) == 0) {
            *out = (sl_log_level)i;
            return true;
        }
    }
    return false;
}

bool log_parse_format(const char *text, enum log_format *out) {
    *out = strcmp(text, "json") == 0 ? LOG_JSON : LOG_TEXT;
    return *out == LOG_JSON || strcmp(text, "text") == 0;
}

bool log_colours(int fd) {
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    return isatty(fd) == 1 && (no_color == NULL || *no_color == 0) &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

struct log *log_open(int fd, sl_log_level level, enum log_format format) {
    struct log *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        return NULL;
    }
    log->fd = fd;
    atomic_init(&log->level, level);
    log->format = format;
    log->terminal = isatty(fd) == 1 && format == LOG_TEXT;
    log->colours = log_colours(fd);
    if (pthread_mutex_init(&log->mutex, NULL) != 0) {
        free(log);
        return NULL;
    }
    return log;
}

void log_close(struct log *log) {
    if (log != NULL) {
        log_set_status(log, NULL);
        (void)pthread_mutex_destroy(&log->mutex);
        sl_buffer_free(&log->status);
        free(log);
    }
}

sl_log_level log_level(const struct log *log) {
    return atomic_load_explicit(&log->level, memory_order_relaxed);
}

void log_set_level(struct log *log, sl_log_level level) {
    atomic_store_explicit(&log->level, level, memory_order_relaxed);
}

void log_set_mask(struct log *log, void (*mask)(const void *arg, sl_buffer *text),
                  const void *arg) {
    (void)pthread_mutex_lock(&log->mutex);
    log->mask = mask;
    log->mask_arg = arg;
    (void)pthread_mutex_unlock(&log->mutex);
}

void log_mask(struct log *log, sl_buffer *text) {
    (void)pthread_mutex_lock(&log->mutex);
    if (log->mask != NULL) {
        log->mask(log->mask_arg, text);
    }
    (void)pthread_mutex_unlock(&log->mutex);
}

bool log_is_terminal(const struct log *log) {
    return log->terminal;
}

/* ---- lines ---- */

/* RFC 3339 in UTC with milliseconds. */
static void append_time(sl_buffer *out) {
    int64_t now_us = sl_now_us();
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm parts;
    char text[32] = "";
    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    }
    (void)sl_buffer_printf(out, "%s.%03dZ", text, (int)(now_us / 1000 % 1000));
}

static void format_text(const struct log *log, sl_log_level level, const char *node,
                        const char *message, sl_buffer *out) {
    static const char *const labels[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};
    static const char *const colours[] = {"\033[31m", "\033[33m", "\033[32m", "\033[2m"};
    append_time(out);
    (void)sl_buffer_printf(out, " %s%s%s ", log->colours ? colours[level] : "", labels[level],
                           log->colours ? "\033[0m" : "");
    size_t start = out->bytes;
    if (node != NULL) {
        (void)sl_buffer_printf(out, "%s: ", node);
    }
    (void)sl_buffer_append_text(out, message);
    for (size_t i = start; i < out->bytes; i++) {
        if (out->data[i] < 0x20 || out->data[i] == 0x7f) {
            out->data[i] = ' ';
        }
    }
}

static void format_json(sl_log_level level, const char *node, const char *message, sl_buffer *out) {
    (void)sl_buffer_append_text(out, "{\"time\":\"");
    append_time(out);
    (void)sl_buffer_printf(out, "\",\"level\":\"%s\"", level_names[level]);
    if (node != NULL) {
        (void)sl_buffer_append_text(out, ",\"node\":");
        (void)sl_buffer_append_json_string(out, node, strlen(node));
    }
    (void)sl_buffer_append_text(out, ",\"message\":");
    (void)sl_buffer_append_json_string(out, message, strlen(message));
    (void)sl_buffer_append_byte(out, '}');
}

static void write_all(int fd, const sl_buffer *text) {
    size_t at = 0;
    while (at < text->bytes) {
        ssize_t n = write(fd, text->data + at, text->bytes - at);
        if (n <= 0) {
            return; /* nobody can be told */
        }
        at += (size_t)n;
    }
}

void log_write(struct log *log, sl_log_level level, const char *node, const char *message) {
    if (level > log_level(log)) {
        return;
    }
    sl_buffer masked = SL_BUFFER_INIT;
    sl_buffer line = SL_BUFFER_INIT;
    sl_buffer whole = SL_BUFFER_INIT;
    (void)sl_buffer_append_text(&masked, message);
    (void)pthread_mutex_lock(&log->mutex);
    if (log->mask != NULL) {
        log->mask(log->mask_arg, &masked);
    }
    const char *text = sl_buffer_text(&masked);
    text = text == NULL ? "(out of memory)" : text;
    if (log->format == LOG_JSON) {
        format_json(level, node, text, &line);
    } else {
        format_text(log, level, node, text, &line);
    }
    if (log->status.bytes > 0) {
        (void)sl_buffer_append_text(&whole, "\r\033[K");
    }
    (void)sl_buffer_append(&whole, line.data, line.bytes);
    (void)sl_buffer_append_byte(&whole, '\n');
    (void)sl_buffer_append(&whole, log->status.data, log->status.bytes);
    write_all(log->fd, &whole);
    (void)pthread_mutex_unlock(&log->mutex);
    sl_buffer_free(&masked);
    sl_buffer_free(&line);
    sl_buffer_free(&whole);
}

void log_printf(struct log *log, sl_log_level level, const char *node, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char text[4096];
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_write(log, level, node, text);
}

void log_set_status(struct log *log, const char *text) {
    if (!log->terminal) {
        return;
    }
    (void)pthread_mutex_lock(&log->mutex);
    if (text != NULL || log->status.bytes > 0) {
        sl_buffer line = SL_BUFFER_INIT;
        sl_buffer_clear(&log->status);
        if (text != NULL) {
            (void)sl_buffer_append_text(&log->status, text);
        }
        (void)sl_buffer_append_text(&line, "\r\033[K");
        (void)sl_buffer_append(&line, log->status.data, log->status.bytes);
        write_all(log->fd, &line);
        sl_buffer_free(&line);
    }
    (void)pthread_mutex_unlock(&log->mutex);
}
