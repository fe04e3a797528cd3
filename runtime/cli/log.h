/*
 * The log: one line for each message on stderr, as text or as JSON, written whole. On a terminal a
 * status line (progress) stays below it. Secrets are masked in every message once a mask is set.
 *
 * Any thread, after log_open.
 */
#ifndef CLI_LOG_H
#define CLI_LOG_H

#include <stdbool.h>

#include "base/base.h"
#include "sluice/services.h"

enum log_format { LOG_TEXT, LOG_JSON };

struct log;

/* Writes to `fd` messages up to `level`. NULL when memory is short. */
struct log *log_open(int fd, sl_log_level level, enum log_format format);
/* The level, and another one from here on. */
sl_log_level log_level(const struct log *log);
void log_set_level(struct log *log, sl_log_level level);
/* Every message passes through `mask` from here on; NULL: none. `arg` must outlive the log or the
 * next call. */
void log_set_mask(struct log *log, void (*mask)(const void *arg, sl_buffer *text), const void *arg);
/* Masks other text as messages are. */
void log_mask(struct log *log, sl_buffer *text);
/* `node` may be NULL. Line breaks in `message` become blanks. */
void log_write(struct log *log, sl_log_level level, const char *node, const char *message);
void log_printf(struct log *log, sl_log_level level, const char *node, const char *format, ...)
    SL_PRINTF(4, 5);
/* True when the log goes to a terminal as text: a status line may stand there. */
bool log_is_terminal(const struct log *log);
/* Replaces the status line; NULL takes it away. Nothing happens when it is no terminal. */
void log_set_status(struct log *log, const char *text);
void log_close(struct log *log);

/* "error", "warn", "info", "debug"; false when `text` is none of them. */
bool log_parse_level(const char *text, sl_log_level *out);
bool log_parse_format(const char *text, enum log_format *out);

/* True when colours may be written to `fd`: a terminal, NO_COLOR not set, TERM not "dumb". */
bool log_colours(int fd);

#endif /* CLI_LOG_H */
